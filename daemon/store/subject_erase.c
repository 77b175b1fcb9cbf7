/*
 * subject_erase.c - finding a person in all live claims, and forgetting them.
 *
 *     find -> [keep hashes] -> own feeds: append erasures, and claims without the contact -> others' feeds: a new generation, so that
 *     the map takes them anew -> the map is asked to clear its index -> the log is cut
 *
 * Each step is a transaction of its own, and all can be repeated.
 */
#include "daemon/store/subject_internal.h"

#include "daemon/store/review.h"
#include "protocol/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A search in progress. */
struct search {
    struct feeds *feeds;
    const struct subject_question *question;
    bool derived; /* second walk: own claims that were copied from one that goes */
    struct subject_test test;
    struct feed_head head;
    cJSON *matches, *ask;
    size_t count;
    bool more;
    bool act; /* collect own claims, too */
    struct own_claim *claims;
    struct kept {
        char *line, *areas, *body, *on_behalf_of;
        struct entry entry;
        cJSON *match; /* borrowed from `matches` */
    } * kept;
    size_t claim_count;
    uint64_t waiting[SUBJECT_MATCHES_MAX]; /* submissions that are going to be rejected */
    cJSON *waiting_matches[SUBJECT_MATCHES_MAX];
    size_t waiting_count;
    struct fault *fault;
};

static const char *action_name(bool own, enum subject_action action)
{
    if (own)
        return action == SUBJECT_ALL ? "erase" : "remove";
    return action == SUBJECT_ALL ? "block" : "block-part";
}

static char *copy_span(struct span span)
{
    return span.data ? strndup(span.data, span.size) : NULL;
}

static void kept_free(struct kept *kept)
{
    free(kept->line);
    free(kept->areas);
    free(kept->body);
    free(kept->on_behalf_of);
}

/* An own claim's successor: an erasure, or the claim without the hit. */
static int collect(struct search *search, const char *line, size_t size, const cJSON *body,
                   enum subject_action action, cJSON *match)
{
    struct kept *kept = &search->kept[search->claim_count];
    memset(kept, 0, sizeof(*kept));
    kept->match = match;
    kept->line = strndup(line, size);
    if (!kept->line || entry_parse(kept->line, size, &kept->entry, search->fault) != KAART_OK)
        goto failed;
    const struct entry *entry = &kept->entry;
    kept->areas = copy_span(entry->areas);
    kept->on_behalf_of = copy_span(entry->on_behalf_of);
    if (action == SUBJECT_PART && !(kept->body = cJSON_PrintUnformatted(body)))
        goto failed;
    search->claims[search->claim_count++] = (struct own_claim){
        .op = action == SUBJECT_PART ? ENTRY_ASSERT : ENTRY_ERASE,
        .kind = entry->kind,
        .id = entry->id,
        .source = entry->source,
        .role = entry->role,
        .areas = kept->areas,
        .on_behalf_of = kept->on_behalf_of,
        .body = kept->body,
        .verified = action == SUBJECT_PART ? entry->verified : DAY_NONE,
        .missing_since = action == SUBJECT_PART ? entry->missing_since : DAY_NONE,
        .salted = entry->salt.data != NULL,
    };
    return KAART_OK;
failed:
    kept_free(kept);
    return fault_set(search->fault, KAART_NOMEM, "no memory");
}

static void list_origin(struct search *search)
{
    char origin[FEED_NAME_MAX_SIZE + 1];
    snprintf(origin, sizeof(origin), "%.*s", (int)strcspn(search->head.checkpoint.feed, "/"),
             search->head.checkpoint.feed);
    for (const cJSON *item = search->ask->child; item; item = item->next)
        if (strcmp(item->valuestring, origin) == 0)
            return;
    cJSON_AddItemToArray(search->ask, cJSON_CreateString(origin));
}

static cJSON *describe(struct search *search, const struct entry *entry, enum subject_action action,
                       cJSON *fields)
{
    cJSON *match = cJSON_CreateObject();
    cJSON_AddStringToObject(match, "feed", search->head.checkpoint.feed);
    cJSON_AddBoolToObject(match, "own", search->head.own);
    cJSON_AddNumberToObject(match, "seq", (double)entry->seq);
    cJSON_AddStringToObject(match, "kind", entry->kind);
    cJSON_AddStringToObject(match, "id", entry->id);
    cJSON_AddStringToObject(match, "source", entry->source);
    cJSON_AddStringToObject(match, "role", entry->role);
    cJSON_AddStringToObject(match, "action", action_name(search->head.own, action));
    cJSON_AddItemToObject(match, "fields", fields);
    cJSON_AddItemToArray(search->matches, match);
    if (!search->head.own)
        list_origin(search);
    return match;
}

/* A claim of the record that was asked for. */
static bool is_record(const struct subject_question *question, const struct entry *entry)
{
    return strcmp(question->kind, entry->kind) == 0 && strcmp(question->id, entry->id) == 0 &&
           (!question->source || strcmp(question->source, entry->source) == 0);
}

static bool same_member(const cJSON *a, const cJSON *b, const char *name)
{
    const char *x = json_get_string(a, name), *y = json_get_string(b, name);
    return x && y && strcmp(x, y) == 0;
}

/* Whether `derived_from` names a claim that goes as a whole, and the claim itself is not listed yet. */
static bool is_derived(const struct search *search, const struct entry *entry, const cJSON *body)
{
    const cJSON *from = json_get(body, "derived_from");
    bool found = false;
    if (!from)
        return false;
    for (const cJSON *match = search->matches->child; match; match = match->next) {
        const char *action = json_get_string(match, "action"), *feed = json_get_string(match, "feed");
        if (!json_get(match, "seq")) /* a submission: nothing can be copied from it */
            continue;
        bool whole = strcmp(action, "erase") == 0 || strcmp(action, "block") == 0;
        if (strcmp(feed, search->head.checkpoint.feed) == 0 &&
            (uint64_t)cJSON_GetNumberValue(json_get(match, "seq")) == entry->seq)
            return false;
        found = found || (whole && same_member(from, match, "feed") && same_member(from, match, "kind") &&
                          same_member(from, match, "id") && same_member(from, match, "source"));
    }
    return found;
}

static enum subject_action judge(struct search *search, const struct entry *entry, cJSON *body, cJSON *fields)
{
    if (search->derived)
        return is_derived(search, entry, body) ? SUBJECT_ALL : SUBJECT_NONE;
    if (!search->question->text)
        return is_record(search->question, entry) ? SUBJECT_ALL : SUBJECT_NONE;
    search->test.fields = fields;
    enum subject_action action = subject_redact(&search->test, body);
    search->test.fields = NULL;
    return action;
}

static int look_at(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct search *search = context;
    struct entry entry;
    (void)seq;
    (void)leaf;
    int code = entry_parse(line, size, &entry, search->fault);
    if (code != KAART_OK || entry.op != ENTRY_ASSERT)
        return code;
    cJSON *body = json_parse(entry.body.data, entry.body.size, search->fault), *fields = cJSON_CreateArray();
    if (!body || !fields)
        code = fault_set(search->fault, KAART_NOMEM, "no memory");
    enum subject_action action = code == KAART_OK ? judge(search, &entry, body, fields) : SUBJECT_NONE;
    if (code == KAART_OK && search->test.failed)
        code = fault_set(search->fault, KAART_IO, "a value could not be looked at");
    if (code == KAART_OK && action != SUBJECT_NONE && search->count == SUBJECT_MATCHES_MAX) {
        search->more = true;
    } else if (code == KAART_OK && action != SUBJECT_NONE) {
        cJSON *match = describe(search, &entry, action, fields);
        fields = NULL;
        search->count++;
        if (search->act && search->head.own)
            code = collect(search, line, size, body, action, match);
    }
    cJSON_Delete(fields);
    cJSON_Delete(body);
    return code;
}

static int search_feed(void *context, const struct feed_head *head)
{
    struct search *search = context;
    search->head = *head;
    /* A record is erased where it is this node's own; so are copies. */
    if (!head->held || (!head->own && (search->derived || !search->question->text)))
        return KAART_OK;
    return feeds_raw_entries(search->feeds, head->id, head->generation, look_at, search, search->fault);
}

/* What residents submitted and nobody has decided yet. */
static int look_at_submission(void *context, const struct submission *submission)
{
    struct search *search = context;
    if (!submission->body.data || search->count == SUBJECT_MATCHES_MAX)
        return KAART_OK;
    cJSON *body = json_parse(submission->body.data, submission->body.size, search->fault),
          *fields = cJSON_CreateArray(), *match = cJSON_CreateObject();
    int code = body && fields && match ? KAART_OK : fault_set(search->fault, KAART_NOMEM, "no memory");
    search->test.fields = fields;
    if (code != KAART_OK || subject_redact(&search->test, body) == SUBJECT_NONE) {
        cJSON_Delete(fields);
        cJSON_Delete(match);
    } else {
        cJSON_AddStringToObject(match, "feed", submission->feed);
        cJSON_AddTrueToObject(match, "own");
        cJSON_AddNumberToObject(match, "submission", (double)submission->number);
        cJSON_AddStringToObject(match, "kind", submission->kind);
        cJSON_AddStringToObject(match, "id", submission->id);
        cJSON_AddStringToObject(match, "source", submission->source);
        cJSON_AddStringToObject(match, "role", REVIEW_ROLE);
        cJSON_AddStringToObject(match, "action", "reject");
        cJSON_AddItemToObject(match, "fields", fields);
        cJSON_AddItemToArray(search->matches, match);
        search->waiting[search->waiting_count] = submission->number;
        search->waiting_matches[search->waiting_count++] = match;
        search->count++;
    }
    search->test.fields = NULL;
    cJSON_Delete(body);
    if (code == KAART_OK && search->test.failed)
        code = fault_set(search->fault, KAART_IO, "a value could not be looked at");
    return code;
}

static int search_all(struct search *search, struct fault *fault)
{
    search->fault = fault;
    search->matches = cJSON_CreateArray();
    search->ask = cJSON_CreateArray();
    if (!search->matches || !search->ask)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = feeds_list(search->feeds, search_feed, search, fault);
    if (code == KAART_OK && search->question->text)
        code = review_list(search->feeds, false, 0, REVIEW_QUEUE_MAX, look_at_submission, search, fault);
    search->derived = true;
    return code == KAART_OK && search->count > 0 ? feeds_list(search->feeds, search_feed, search, fault)
                                                 : code;
}

static int report_of(struct search *search, int code, cJSON **report, struct fault *fault)
{
    cJSON *out = code == KAART_OK ? cJSON_CreateObject() : NULL;
    if (code == KAART_OK && !out)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    if (code == KAART_OK) {
        cJSON_AddItemToObject(out, "matches", search->matches);
        cJSON_AddItemToObject(out, "ask", search->ask);
        cJSON_AddBoolToObject(out, "more", search->more);
        *report = out;
    } else {
        cJSON_Delete(search->matches);
        cJSON_Delete(search->ask);
    }
    return code;
}

static struct search *search_new(struct feeds *feeds, const struct subject_question *question, int *code,
                                 struct fault *fault)
{
    struct search *search = calloc(1, sizeof(*search));
    *code = search ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
    if (!search)
        return NULL;
    search->feeds = search->test.feeds = feeds;
    search->question = question;
    if (question->text)
        *code = subject_test_text(feeds, question->text, &search->test, fault);
    return search;
}

static void search_free(struct search *search)
{
    if (!search)
        return;
    for (size_t i = 0; search->kept && i < search->claim_count; i++)
        kept_free(&search->kept[i]);
    subject_test_clear(&search->test);
    free(search->claims);
    free(search->kept);
    free(search);
}

int subject_find(struct feeds *feeds, const struct subject_question *question, cJSON **report,
                 struct fault *fault)
{
    int code;
    struct search *search = search_new(feeds, question, &code, fault);
    if (code == KAART_OK)
        code = report_of(search, search_all(search, fault), report, fault);
    search_free(search);
    return code;
}

/* ---- erasing ---- */

static const struct subject_keys *keys_of(const struct subject_keys *keys, size_t count, const char *feed)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].feed, feed) == 0)
            return &keys[i];
    return NULL;
}

static const char *outcome_name(enum own_outcome outcome)
{
    static const char *const names[] = {"added", "changed", "unchanged", "erased", "absent", "refused"};
    return names[outcome];
}

/* Claims of one feed, from `from` to `to`, in batches. */
static int append_feed(struct search *search, const struct subject_keys *with, size_t from, size_t to,
                       int64_t now_ms, struct fault *fault)
{
    struct own_result *results = calloc(to - from, sizeof(*results));
    int code = results ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
    if (code == KAART_OK)
        code = feeds_append(search->feeds, with->feed, with->keys, with->key_count, now_ms,
                            search->claims + from, to - from, false, results, fault);
    for (size_t i = from; code == KAART_OK && i < to; i++)
        cJSON_AddStringToObject(search->kept[i].match, "outcome", outcome_name(results[i - from].outcome));
    free(results);
    return code;
}

/* Feeds are searched one by one, so claims of one stand together, but for copies, which come behind all others. */
static int append_own(struct search *search, const struct subject_keys *keys, size_t key_count,
                      int64_t now_ms, struct fault *fault)
{
    int code = KAART_OK;
    for (size_t from = 0, to; code == KAART_OK && from < search->claim_count; from = to) {
        const char *feed = json_get_string(search->kept[from].match, "feed");
        const struct subject_keys *with = keys_of(keys, key_count, feed);
        for (to = from + 1; to < search->claim_count; to++)
            if (strcmp(json_get_string(search->kept[to].match, "feed"), feed) != 0)
                break;
        code = with ? append_feed(search, with, from, to, now_ms, fault)
                    : fault_set(fault, KAART_KEY, "%s: the configuration has no key for it any more", feed);
    }
    return code;
}

/* What is decided is not kept [REV-7]. */
static int reject_waiting(struct search *search, int64_t now_ms, struct fault *fault)
{
    int code = KAART_OK;
    for (size_t i = 0; code == KAART_OK && i < search->waiting_count; i++) {
        code = review_reject(search->feeds, search->waiting[i], "", "erased at the request of a person in it",
                             now_ms, fault);
        if (code == KAART_OK)
            cJSON_AddStringToObject(search->waiting_matches[i], "outcome", "rejected");
    }
    return code;
}

/* The search, with hashes kept, and new generations for others' feeds with a match: one transaction. */
static int block(struct search *search, struct fault *fault)
{
    int code = transaction_begin(search->feeds, fault);
    if (code != KAART_OK)
        return code;
    if (search->question->text)
        code = subject_test_keep(&search->test, search->question->text, fault);
    if (code == KAART_OK)
        code = search_all(search, fault);
    const char *last = "";
    for (const cJSON *match = code == KAART_OK ? search->matches->child : NULL; match && code == KAART_OK;
         match = match->next) {
        const char *feed = json_get_string(match, "feed");
        if (cJSON_IsTrue(json_get(match, "own")) || strcmp(feed, last) == 0)
            continue;
        last = feed;
        code = generation_renew(search->feeds, feed, fault);
    }
    if (code == KAART_OK)
        code = transaction_commit(search->feeds, fault);
    transaction_end(search->feeds);
    return code;
}

static int erase_found(struct search *search, const struct subject_keys *keys, size_t key_count,
                       int64_t now_ms, struct fault *fault)
{
    search->act = true;
    search->claims = calloc(SUBJECT_MATCHES_MAX, sizeof(*search->claims));
    search->kept = calloc(SUBJECT_MATCHES_MAX, sizeof(*search->kept));
    if (!search->claims || !search->kept)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = search->question->text ? subject_key_ensure(search->feeds, fault) : KAART_OK;
    if (code == KAART_OK)
        code = block(search, fault);
    if (code == KAART_OK)
        code = append_own(search, keys, key_count, now_ms, fault);
    if (code == KAART_OK)
        code = reject_waiting(search, now_ms, fault);
    if (code == KAART_OK && search->count > 0)
        code = feeds_ask_purge(search->feeds, fault);
    if (code == KAART_OK && search->count > 0 && log_truncate(search->feeds, NULL) != KAART_OK)
        search->feeds->bytes_linger = true; /* a reader was in the way: feeds_tidy goes on */
    return code;
}

int subject_erase(struct feeds *feeds, const struct subject_question *question,
                  const struct subject_keys *keys, size_t key_count, int64_t now_ms, cJSON **report,
                  struct fault *fault)
{
    int code;
    struct search *search = search_new(feeds, question, &code, fault);
    if (code == KAART_OK)
        code = report_of(search, erase_found(search, keys, key_count, now_ms, fault), report, fault);
    search_free(search);
    return code;
}

/* ---- allowing ---- */

/* Others' feeds, for whoever follows them. */
static int renew_others(struct feeds *feeds, struct fault *fault)
{
    struct feed_head *head = calloc(1, sizeof(*head));
    int code = head ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
    while (code == KAART_OK) {
        char after[FEED_NAME_MAX_SIZE + 1];
        memcpy(after, head->checkpoint.feed, sizeof(after));
        code = head_load_after(feeds, after, head, fault);
        if (code == KAART_OK && head->held && !head->own)
            code = generation_renew(feeds, head->checkpoint.feed, fault);
    }
    free(head);
    return code == KAART_UNKNOWN ? KAART_OK : code;
}

int subject_allow(struct feeds *feeds, const char *text, struct fault *fault)
{
    struct subject_test test;
    bool any, was = false;
    int code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = subject_test_blocked(feeds, &test, &any, fault);
    if (code == KAART_OK && any)
        code = subject_test_forget(&test, text, &was, fault);
    if (code == KAART_OK && !was)
        code = fault_set(fault, KAART_UNKNOWN, "No value like that is blocked.");
    if (code == KAART_OK)
        code = renew_others(feeds, fault);
    if (code == KAART_OK)
        code = transaction_commit(feeds, fault);
    transaction_end(feeds);
    subject_test_clear(&test);
    return code;
}
