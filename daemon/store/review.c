/*
 * review.c - the queue of what residents say: a row each, its words in a slot of `line` (lines.c: there they can be overwritten).
 *
 *     approve:  TAKING, committed -> feeds_append, committed -> APPROVED and the words overwritten, committed
 *
 * A crash between two of these leaves TAKING; review_settle finds the claim in the feed by its key, which the number makes its own.
 */
#include "daemon/store/review.h"
#include "daemon/store/feeds_internal.h"
#include "daemon/store/subject_internal.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The key of the submitters' hashes, in hex, in this store's values. */
#define SUBMITTER_KEY "review-key"
#define SUBMITTER_KEY_SIZE 32
/* Room around areas and body. */
#define WRAPPING_SIZE 128

const char *review_state_name(enum review_state state)
{
    static const char *const names[] = {"waiting", "waiting", "approved", "rejected"};
    return names[state];
}

static bool is_text(const char *text, size_t size_max)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return size <= size_max && syntax_is_utf8(text, size);
}

/* ---- who submits ---- */

/* The random key, made on first use. */
static int submitter_key(struct feeds *feeds, unsigned char key[SUBMITTER_KEY_SIZE], struct fault *fault)
{
    char hex[2 * SUBMITTER_KEY_SIZE + 1], *value = NULL;
    int code = feeds_get_value(feeds, SUBMITTER_KEY, &value, fault);
    if (code == KAART_UNKNOWN) {
        if (RAND_bytes(key, SUBMITTER_KEY_SIZE) != 1)
            return fault_set(fault, KAART_IO, "no random numbers could be had");
        hex_encode(key, SUBMITTER_KEY_SIZE, hex);
        code = feeds_set_value(feeds, SUBMITTER_KEY, hex, fault);
        OPENSSL_cleanse(hex, sizeof(hex));
        return code;
    }
    if (code == KAART_OK && (strlen(value) != 2 * SUBMITTER_KEY_SIZE ||
                             hex_decode(value, 2 * SUBMITTER_KEY_SIZE, key, SUBMITTER_KEY_SIZE) != 0))
        code = fault_set(fault, KAART_CORRUPT, "feeds.db: the key of the submitters' hashes is none");
    free(value);
    return code;
}

/* HMAC-SHA-256: without the store's key nobody can try names. [REV-4] */
static int submitter_hash(struct feeds *feeds, const char *submitter, struct hash *out, struct fault *fault)
{
    unsigned char key[SUBMITTER_KEY_SIZE];
    unsigned size = 0;
    if (submitter == NULL)
        submitter = "";
    if (!is_text(submitter, REVIEW_SUBMITTER_MAX))
        return fault_set(fault, KAART_INVALID,
                         "the submitter is no line of UTF-8 text of at most %d bytes [REV-4]",
                         REVIEW_SUBMITTER_MAX);
    int code = submitter_key(feeds, key, fault);
    if (code != KAART_OK)
        return code;
    if (HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)submitter, strlen(submitter), out->bytes,
             &size) == NULL ||
        size != HASH_SIZE)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    OPENSSL_cleanse(key, sizeof(key));
    return code;
}

/* ---- submitting ---- */

/* A statement's one number; `hash` NULL: without a binding. */
static int count_rows(struct feeds *feeds, enum query query, const struct hash *hash, uint64_t *count,
                      struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = statement_get(feeds, query, &statement, fault);
    if (code != KAART_OK)
        return code;
    if (hash != NULL)
        bind_bytes(statement, 1, hash->bytes, HASH_SIZE);
    code = statement_step(feeds, statement, fault);
    if (code > 0) {
        *count = column_number(statement, 0);
        sqlite3_reset(statement);
        code = KAART_OK;
    }
    return code;
}

/* [REV-5] */
static int check_bounds(struct feeds *feeds, const struct hash *hash, struct fault *fault)
{
    uint64_t count;
    int code = count_rows(feeds, QUERY_REVIEW_RATE_GET, hash, &count, fault);
    if (code == KAART_OK && count >= REVIEW_PER_DAY_MAX)
        return fault_set(
            fault, KAART_BUSY,
            "this submitter has submitted %d today; more can be submitted tomorrow (UTC) [REV-5]",
            REVIEW_PER_DAY_MAX);
    if (code == KAART_OK)
        code = count_rows(feeds, QUERY_REVIEW_SUBMITTER_COUNT, hash, &count, fault);
    if (code == KAART_OK && count >= REVIEW_WAITING_PER_SUBMITTER_MAX)
        return fault_set(fault, KAART_BUSY,
                         "%d submissions of this submitter wait; more can be submitted once editors have "
                         "decided [REV-5]",
                         REVIEW_WAITING_PER_SUBMITTER_MAX);
    if (code == KAART_OK)
        code = count_rows(feeds, QUERY_REVIEW_OPEN_COUNT, NULL, &count, fault);
    if (code == KAART_OK && count >= REVIEW_QUEUE_MAX)
        return fault_set(fault, KAART_BUSY,
                         "%d submissions wait; more can be submitted once editors have decided some [REV-5]",
                         REVIEW_QUEUE_MAX);
    return code;
}

static int count_submission(struct feeds *feeds, const struct hash *hash, int32_t day, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_REVIEW_RATE_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_bytes(statement, 1, hash->bytes, HASH_SIZE);
    sqlite3_bind_int(statement, 2, day);
    return statement_run(feeds, statement, fault);
}

/* Counts of other days are nobody's business any more. */
static int forget_counts(struct feeds *feeds, int32_t day, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_REVIEW_RATE_TIDY, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int(statement, 1, day);
    return statement_run(feeds, statement, fault);
}

static int add_row(struct feeds *feeds, const struct review_claim *claim, const char *text,
                   const struct hash *hash, int32_t day, uint64_t *number, struct fault *fault)
{
    sqlite3_stmt *statement;
    uint64_t line;
    int code = line_add(feeds, text, strlen(text), &line, fault);
    if (code == KAART_OK)
        code = statement_get(feeds, QUERY_REVIEW_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_text(statement, 1, claim->feed);
    bind_text(statement, 2, claim->kind);
    bind_text(statement, 3, claim->id);
    bind_number(statement, 4, line);
    bind_bytes(statement, 5, hash->bytes, HASH_SIZE);
    sqlite3_bind_int(statement, 6, day);
    code = statement_run(feeds, statement, fault);
    *number = (uint64_t)sqlite3_last_insert_rowid(feeds->db);
    return code;
}

/* {"areas":[...],"verified":"2026-11-21","body":{...}}; malloc'ed. */
static char *wrap_claim(const struct review_claim *claim)
{
    char day[DAY_TEXT_SIZE + 1] = "";
    size_t size = strlen(claim->body) + (claim->areas != NULL ? strlen(claim->areas) : 0) + WRAPPING_SIZE;
    char *text = malloc(size);
    if (text == NULL)
        return NULL;
    if (claim->verified != DAY_NONE)
        syntax_day_format(claim->verified, day);
    snprintf(text, size, "{%s%s%s%s%s%s\"body\":%s}", claim->areas != NULL ? "\"areas\":" : "",
             claim->areas != NULL ? claim->areas : "", claim->areas != NULL ? "," : "",
             day[0] != '\0' ? "\"verified\":\"" : "", day, day[0] != '\0' ? "\"," : "", claim->body);
    return text;
}

/* What was erased at somebody's request does not come back this way: the words without it. *text malloc'ed. */
static int wrap_allowed(struct feeds *feeds, const struct review_claim *claim, char **text,
                        struct fault *fault)
{
    enum subject_action action;
    char *kept = NULL;
    struct review_claim allowed = *claim;
    int code = subject_filter(feeds, claim->body, &kept, &action, fault);
    if (code == KAART_OK && action == SUBJECT_ALL)
        code = fault_set(fault, KAART_INVALID,
                         "it holds what was erased at somebody's request, and is not taken again");
    if (code != KAART_OK)
        return code;
    if (kept != NULL)
        allowed.body = kept;
    *text = wrap_claim(&allowed);
    free(kept);
    return *text != NULL ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
}

int review_submit(struct feeds *feeds, const struct review_claim *claim, const char *submitter,
                  int64_t now_ms, uint64_t *number, struct fault *fault)
{
    struct hash hash;
    int32_t day = syntax_day_of(now_ms);
    if (strlen(claim->kind) > NAME_MAX_SIZE || !syntax_is_uuid(claim->id, strlen(claim->id)) ||
        !syntax_is_feed(claim->feed, strlen(claim->feed)))
        return fault_set(fault, KAART_INVALID, "kind, id or feed is none");
    size_t size = strlen(claim->body) + (claim->areas != NULL ? strlen(claim->areas) : 0);
    if (size > REVIEW_SIZE_MAX)
        return fault_set(fault, KAART_LIMIT, "%zu bytes were submitted; at most %d are taken [REV-3]", size,
                         REVIEW_SIZE_MAX);
    int code = submitter_hash(feeds, submitter, &hash, fault);
    if (code != KAART_OK)
        return code;
    char *text = NULL;
    code = wrap_allowed(feeds, claim, &text, fault);
    if (code != KAART_OK)
        return code;
    code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        goto done;
    code = forget_counts(feeds, day, fault);
    if (code == KAART_OK)
        code = check_bounds(feeds, &hash, fault);
    if (code == KAART_OK)
        code = add_row(feeds, claim, text, &hash, day, number, fault);
    if (code == KAART_OK)
        code = count_submission(feeds, &hash, day, fault);
    if (code == KAART_OK)
        code = transaction_commit(feeds, fault);
    transaction_end(feeds);
done:
    free(text);
    return code;
}

/* ---- reading ---- */

void submission_clear(struct submission *submission)
{
    free(submission->text);
    submission->text = NULL;
    submission->areas = submission->body = (struct span){NULL, 0};
}

static int take_member(void *context, struct span name, struct span value, struct fault *fault)
{
    struct submission *submission = context;
    if (name.size == 4 && memcmp(name.data, "body", 4) == 0)
        submission->body = value;
    else if (name.size == 5 && memcmp(name.data, "areas", 5) == 0)
        submission->areas = value;
    else if (value.size != DAY_TEXT_SIZE + 2 ||
             syntax_day_parse(value.data + 1, DAY_TEXT_SIZE, &submission->verified) != 0)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: a submission is not as it was written");
    return KAART_OK;
}

static void copy_column(sqlite3_stmt *statement, int column, char *to, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(to, size, "%s", text != NULL ? text : "");
}

/* The row under the statement, with its words. */
static int read_row(struct feeds *feeds, sqlite3_stmt *statement, struct submission *out, uint64_t *line,
                    struct fault *fault)
{
    struct hash hash;
    size_t size = 0;
    memset(out, 0, sizeof(*out));
    out->number = column_number(statement, 0);
    out->state = (enum review_state)sqlite3_column_int(statement, 1);
    copy_column(statement, 2, out->feed, sizeof(out->feed));
    copy_column(statement, 3, out->kind, sizeof(out->kind));
    copy_column(statement, 4, out->id, sizeof(out->id));
    *line = column_number(statement, 5);
    bool waits = sqlite3_column_bytes(statement, 6) == HASH_SIZE;
    if (waits)
        memcpy(hash.bytes, sqlite3_column_blob(statement, 6), HASH_SIZE);
    out->submitted = sqlite3_column_int(statement, 7);
    out->decided = sqlite3_column_int(statement, 8);
    copy_column(statement, 9, out->editor, sizeof(out->editor));
    copy_column(statement, 10, out->reason, sizeof(out->reason));
    out->verified = DAY_NONE;
    snprintf(out->source, sizeof(out->source), REVIEW_SOURCE_PREFIX "%llu", (unsigned long long)out->number);
    if (out->state > REVIEW_REJECTED)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: submission %llu has no state",
                         (unsigned long long)out->number);
    int code = waits ? count_rows(feeds, QUERY_REVIEW_SUBMITTER_COUNT, &hash, &out->same_submitter, fault)
                     : KAART_OK;
    if (code == KAART_OK && *line != 0)
        code = line_load(feeds, *line, &out->text, &size, fault);
    if (code == KAART_OK && out->text != NULL &&
        json_check_object(out->text, size, take_member, out, fault) != KAART_OK)
        code = fault_set(fault, KAART_CORRUPT, "feeds.db: submission %llu is not as it was written",
                         (unsigned long long)out->number);
    if (code != KAART_OK)
        submission_clear(out);
    return code;
}

/* The row, in the caller's transaction. */
static int load(struct feeds *feeds, uint64_t number, struct submission *out, uint64_t *line,
                struct fault *fault)
{
    sqlite3_stmt *statement;
    memset(out, 0, sizeof(*out));
    int code = statement_get(feeds, QUERY_REVIEW_GET, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, number);
    code = statement_step(feeds, statement, fault);
    if (code == 0)
        return fault_set(fault, KAART_UNKNOWN, "there is no submission %llu", (unsigned long long)number);
    if (code > 0) {
        code = read_row(feeds, statement, out, line, fault);
        sqlite3_reset(statement);
    }
    return code;
}

int review_get(struct feeds *feeds, uint64_t number, struct submission *out, struct fault *fault)
{
    uint64_t line;
    memset(out, 0, sizeof(*out));
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = load(feeds, number, out, &line, fault);
    transaction_end(feeds);
    return code;
}

int review_list(struct feeds *feeds, bool all, uint64_t after, size_t limit, review_each *each, void *context,
                struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = statement_get(feeds, QUERY_REVIEW_LIST, &statement, fault);
    if (code == KAART_OK) {
        bind_number(statement, 1, after);
        sqlite3_bind_int(statement, 2, all);
        bind_number(statement, 3, limit);
        while ((code = statement_step(feeds, statement, fault)) > 0) {
            struct submission submission;
            uint64_t line;
            code = read_row(feeds, statement, &submission, &line, fault);
            if (code == KAART_OK)
                code = each(context, &submission);
            submission_clear(&submission);
            if (code != KAART_OK)
                break;
        }
        sqlite3_reset(statement);
    }
    transaction_end(feeds);
    return code;
}

int review_waiting(struct feeds *feeds, uint64_t *count, struct fault *fault)
{
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = count_rows(feeds, QUERY_REVIEW_OPEN_COUNT, NULL, count, fault);
    transaction_end(feeds);
    return code;
}

/* ---- deciding ---- */

/* The row's new state; beyond TAKING its words and its submitter go. In the caller's transaction. */
static int set_state(struct feeds *feeds, const struct submission *submission, uint64_t line,
                     enum review_state state, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = KAART_OK;
    if (state > REVIEW_TAKING)
        code = line_delete(feeds, line, false, fault); /* [REV-7] */
    if (code == KAART_OK)
        code = statement_get(feeds, QUERY_REVIEW_SET, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, submission->number);
    sqlite3_bind_int(statement, 2, state);
    if (submission->decided != DAY_NONE)
        sqlite3_bind_int(statement, 3, submission->decided);
    bind_text(statement, 4, submission->editor);
    bind_text(statement, 5, submission->reason);
    return statement_run(feeds, statement, fault);
}

/* The same in a transaction of its own, from what the row is now. */
static int change_state(struct feeds *feeds, const struct submission *submission, enum review_state state,
                        struct fault *fault)
{
    struct submission now = {0};
    uint64_t line;
    int code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = load(feeds, submission->number, &now, &line, fault);
    if (code == KAART_OK)
        code = set_state(feeds, submission, line, state, fault);
    if (code == KAART_OK)
        code = transaction_commit(feeds, fault);
    transaction_end(feeds);
    submission_clear(&now);
    if (code == KAART_OK && state > REVIEW_TAKING)
        log_truncate(feeds, NULL); /* a reader was in the way: feeds_tidy goes on */
    return code;
}

static char *text_of(struct span span)
{
    return span.data != NULL ? strndup(span.data, span.size) : NULL;
}

/* The claim goes into the feed, or is only tried. Its key is its own, so that to say it again changes nothing [REV-6]. */
static int say(struct feeds *feeds, const struct submission *submission, const struct signing_key *keys,
               size_t key_count, int64_t now_ms, bool dry_run, struct own_result *result, struct fault *fault)
{
    const char *audience = strchr(submission->feed, '/') + 1;
    char *areas = text_of(submission->areas), *body = text_of(submission->body);
    struct own_claim claim = {
        .op = ENTRY_ASSERT,
        .kind = submission->kind,
        .id = submission->id,
        .source = submission->source,
        .role = REVIEW_ROLE,
        .areas = areas,
        .body = body,
        .verified = submission->verified,
        .missing_since = DAY_NONE,
        /* [ENTRY-15] */
        .salted = strcmp(audience, AUDIENCE_PUBLIC) != 0 || strcmp(submission->kind, "professional") == 0,
    };
    int code = body == NULL || (submission->areas.data != NULL && areas == NULL)
                   ? fault_set(fault, KAART_NOMEM, "no memory")
                   : feeds_append(feeds, submission->feed, keys, key_count, now_ms, &claim, 1, dry_run,
                                  result, fault);
    if (code == KAART_OK && result->outcome == OWN_REFUSED)
        code = fault_set(fault, KAART_INVALID, "the feed refuses it: %s", result->fault.text);
    free(areas);
    free(body);
    return code;
}

/* Before anything changes. A restored queue may count up to a number that the feed, taken back from peers, has already. */
static int try_to_say(struct feeds *feeds, const struct submission *submission,
                      const struct signing_key *keys, size_t key_count, int64_t now_ms, struct fault *fault)
{
    struct own_result result = {0};
    int code = say(feeds, submission, keys, key_count, now_ms, true, &result, fault);
    if (code == KAART_OK && result.outcome == OWN_CHANGED)
        code = fault_set(fault, KAART_INVALID,
                         "%s has something else under source %s already (was the queue restored from a "
                         "backup?); reject it and have it submitted anew [REV-6]",
                         submission->feed, submission->source);
    return code;
}

/* Whether the feed holds the claim of this number. */
static int is_taken(struct feeds *feeds, const struct submission *submission, bool *taken,
                    struct fault *fault)
{
    struct entry_key key;
    uint64_t seq;
    size_t size;
    char *line = NULL;
    struct entry entry;
    *taken = false;
    if (entry_key(feeds->hasher, submission->kind, submission->id, submission->source, &key) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = feeds_entry_by_key(feeds, submission->feed, &key, &seq, &line, &size, fault);
    if (code == KAART_OK)
        *taken = entry_parse(line, size, &entry, NULL) == KAART_OK && entry.op == ENTRY_ASSERT;
    free(line);
    return code == KAART_UNKNOWN ? KAART_OK : code;
}

/* What was half approved is approved if the feed has it, and waits otherwise. */
static int settle(struct feeds *feeds, struct submission *submission, bool *taken, struct fault *fault)
{
    int code = is_taken(feeds, submission, taken, fault);
    if (code == KAART_OK && !*taken) {
        submission->decided = DAY_NONE;
        submission->editor[0] = '\0';
    }
    if (code == KAART_OK)
        code = change_state(feeds, submission, *taken ? REVIEW_APPROVED : REVIEW_WAITING, fault);
    return code;
}

/* [REV-6] */
static int approve(struct feeds *feeds, struct submission *submission, const struct signing_key *keys,
                   size_t key_count, int64_t now_ms, bool *changed, struct fault *fault)
{
    struct own_result result = {0};
    struct fault ignored;
    int code = try_to_say(feeds, submission, keys, key_count, now_ms, fault);
    if (code == KAART_OK)
        code = change_state(feeds, submission, REVIEW_TAKING, fault);
    if (code != KAART_OK)
        return code;
    code = say(feeds, submission, keys, key_count, now_ms, false, &result, fault);
    if (code != KAART_OK) {
        /* It may be in the feed all the same. Where even this fails, review_settle does it after a start. */
        (void)settle(feeds, submission, changed, &ignored);
        return code;
    }
    *changed = true;
    return change_state(feeds, submission, REVIEW_APPROVED, fault);
}

int review_approve(struct feeds *feeds, uint64_t number, const char *editor, const struct signing_key *keys,
                   size_t key_count, int64_t now_ms, bool *changed, struct fault *fault)
{
    struct submission submission;
    *changed = false;
    if (!is_text(editor, REVIEW_EDITOR_MAX))
        return fault_set(fault, KAART_INVALID, "the editor is no line of UTF-8 text of at most %d bytes",
                         REVIEW_EDITOR_MAX);
    int code = review_get(feeds, number, &submission, fault);
    if (code != KAART_OK)
        return code;
    if (submission.state == REVIEW_REJECTED) {
        code = fault_set(fault, KAART_INVALID,
                         "submission %llu was rejected, and what was said is gone; it can be submitted anew",
                         (unsigned long long)number);
    } else if (submission.state != REVIEW_APPROVED) {
        submission.decided = syntax_day_of(now_ms);
        snprintf(submission.editor, sizeof(submission.editor), "%s", editor);
        code = approve(feeds, &submission, keys, key_count, now_ms, changed, fault);
    }
    submission_clear(&submission);
    return code;
}

int review_reject(struct feeds *feeds, uint64_t number, const char *editor, const char *reason,
                  int64_t now_ms, struct fault *fault)
{
    struct submission submission;
    bool taken = false;
    if (!is_text(editor, REVIEW_EDITOR_MAX) || !is_text(reason, REVIEW_REASON_MAX) || reason[0] == '\0')
        return fault_set(
            fault, KAART_INVALID,
            "a rejection has a reason, one line of UTF-8 text of at most %d bytes, and an editor "
            "at most %d [REV-7]",
            REVIEW_REASON_MAX, REVIEW_EDITOR_MAX);
    int code = review_get(feeds, number, &submission, fault);
    if (code != KAART_OK)
        return code;
    if (submission.state == REVIEW_TAKING) /* the disk failed when it was approved */
        code = settle(feeds, &submission, &taken, fault);
    if (code == KAART_OK && (submission.state == REVIEW_APPROVED || taken))
        code = fault_set(fault, KAART_INVALID,
                         "submission %llu was approved; to withdraw it: kaartctl retract %s %s --source %s",
                         (unsigned long long)number, submission.kind, submission.id, submission.source);
    if (code != KAART_OK || submission.state == REVIEW_REJECTED)
        goto done;
    submission.decided = syntax_day_of(now_ms);
    snprintf(submission.editor, sizeof(submission.editor), "%s", editor);
    snprintf(submission.reason, sizeof(submission.reason), "%s", reason);
    code = change_state(feeds, &submission, REVIEW_REJECTED, fault);
done:
    submission_clear(&submission);
    return code;
}

/* ---- after a crash ---- */

/* The first that is half approved; KAART_UNKNOWN without one. */
static int find_taking(struct feeds *feeds, struct submission *out, struct fault *fault)
{
    sqlite3_stmt *statement;
    uint64_t line;
    int code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        return code;
    code = statement_get(feeds, QUERY_REVIEW_TAKING, &statement, fault);
    if (code == KAART_OK && (code = statement_step(feeds, statement, fault)) > 0) {
        code = read_row(feeds, statement, out, &line, fault);
        sqlite3_reset(statement);
    } else if (code == KAART_OK) {
        code = KAART_UNKNOWN;
    }
    transaction_end(feeds);
    return code;
}

int review_settle(struct feeds *feeds, struct fault *fault)
{
    for (;;) {
        struct submission submission;
        bool taken = false;
        int code = find_taking(feeds, &submission, fault);
        if (code != KAART_OK)
            return code == KAART_UNKNOWN ? KAART_OK : code;
        code = settle(feeds, &submission, &taken, fault);
        submission_clear(&submission);
        if (code != KAART_OK)
            return code;
    }
}
