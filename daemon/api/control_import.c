/*
 * control_import.c - POST /control/v1/import: lines of claims into an own feed, with a result for each line.
 *
 *     exchange --body--> [reader: parse and check each line] --> [writer: feeds_append] --> answer
 *                                                                        |
 *                                                       node_feed_changed: the map and the peers follow
 *
 * A line: {"kind","id","op","areas","verified","onBehalfOf","body"}; op (default assert) and the last four may be absent. Query:
 * source, role, feed (an audience; default public), dryRun. A bad line does not hold up the others.
 *
 * What is said in role `resident` does not enter the feed: it is queued for review (store/review.h), the source is that of its number, and a line may
 * name its "submitter". The outcome is "held", with the number of the submission.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/feeds.h"
#include "daemon/store/review.h"
#include "protocol/limits.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* Who is turned away by the queue asks again in an hour: its bounds follow the day and the editors' work. */
#define RETRY_AFTER_S "3600"

/* One line as understood; `bad` lines are not appended. */
struct line {
    char kind[NAME_MAX_SIZE + 1];
    char id[UUID_TEXT_SIZE + 1];
    char on_behalf_of[UUID_TEXT_SIZE + 1];
    char *areas; /* JSON array, or NULL: the node's */
    char *body;  /* without white space outside strings */
    int32_t verified;
    enum entry_op op;
    bool bad;
    char *submitter;     /* role resident: or NULL */
    bool held;           /* for review */
    uint64_t submission; /* its number; 0 in a dry run */
    cJSON *problems;     /* [{"severity","pointer","message"}], or NULL */
};

struct import {
    struct node *node;
    struct http_exchange *exchange;
    char *bytes;
    size_t size;
    char feed[FEED_NAME_MAX_SIZE + 1];
    const char *audience; /* in `feed`, after the slash */
    struct signing_key keys[2];
    size_t key_count;
    char source[NAME_MAX_SIZE + 1], role[NAME_MAX_SIZE + 1];
    char *areas; /* of the node, as a JSON array; NULL: none */
    bool dry_run;
    bool review;      /* role resident: the queue instead of the feed */
    bool turned_away; /* a bound of the queue is reached */
    struct line *lines;
    size_t line_count;
    struct own_result *results; /* of the good lines, in order */
    int code;
    struct fault fault;
};

static void import_free(struct import *import)
{
    if (!import)
        return;
    OPENSSL_cleanse(import->keys, sizeof(import->keys));
    for (size_t i = 0; i < import->line_count; i++) {
        free(import->lines[i].areas);
        free(import->lines[i].body);
        free(import->lines[i].submitter);
        cJSON_Delete(import->lines[i].problems);
    }
    free(import->lines);
    free(import->results);
    free(import->bytes);
    free(import->areas);
    exchange_release(import->exchange);
    free(import);
}

/* ---- reading lines (reader's thread) ---- */

static void add_problem(struct line *line, const char *severity, const char *pointer, const char *message)
{
    cJSON *problem = cJSON_CreateObject();
    if (!line->problems)
        line->problems = cJSON_CreateArray();
    cJSON_AddStringToObject(problem, "severity", severity);
    cJSON_AddStringToObject(problem, "pointer", pointer);
    cJSON_AddStringToObject(problem, "message", message);
    cJSON_AddItemToArray(line->problems, problem);
}

static void spoil(struct line *line, const char *pointer, const char *message)
{
    add_problem(line, "error", pointer, message);
    line->bad = true;
}

/* A string's value into `text`; false if it is no string, has escapes, or is too long. */
static bool take_text(struct span value, char *text, size_t capacity)
{
    if (value.size < 2 || value.data[0] != '"' || value.size - 2 >= capacity ||
        memchr(value.data, '\\', value.size))
        return false;
    memcpy(text, value.data + 1, value.size - 2);
    text[value.size - 2] = '\0';
    return true;
}

static char *take_json(struct span value)
{
    char *text = strndup(value.data, value.size);
    if (text)
        cJSON_Minify(text);
    return text;
}

static int take_op(struct line *line, const char *name)
{
    for (int op = ENTRY_ASSERT; op <= ENTRY_ERASE; op++)
        if (strcmp(entry_op_name((enum entry_op)op), name) == 0) {
            line->op = (enum entry_op)op;
            return 0;
        }
    return KAART_INVALID;
}

static int take_member(void *context, struct span name, struct span value, struct fault *fault)
{
    struct line *line = context;
    char text[64];
    size_t size;
    bool is_text = take_text(value, text, sizeof(text));
#define IS(word) (name.size == sizeof(word) - 1 && memcmp(name.data, word, name.size) == 0)
    if (IS("kind") && is_text && syntax_is_name(text, strlen(text)))
        snprintf(line->kind, sizeof(line->kind), "%.32s", text);
    else if (IS("id") && is_text && syntax_is_uuid(text, strlen(text)))
        snprintf(line->id, sizeof(line->id), "%.36s", text);
    else if (IS("onBehalfOf") && is_text && syntax_is_uuid(text, strlen(text)))
        snprintf(line->on_behalf_of, sizeof(line->on_behalf_of), "%.36s", text);
    else if (IS("op") && is_text && take_op(line, text) == 0)
        return 0;
    else if (IS("verified") && is_text && syntax_day_parse(text, strlen(text), &line->verified) == 0)
        return 0;
    else if (IS("areas") && value.data[0] == '[')
        return (line->areas = take_json(value)) ? 0 : KAART_NOMEM;
    else if (IS("body") && value.data[0] == '{')
        return (line->body = take_json(value)) ? 0 : KAART_NOMEM;
    else if (IS("submitter") && value.data[0] == '"')
        return (line->submitter = json_unescape(value, &size)) ? 0 : KAART_NOMEM;
    else
        return fault_set(fault, KAART_INVALID, "member \"%.*s\" is unknown or not valid", (int)name.size,
                         name.data);
#undef IS
    return 0;
}

static void hear_finding(void *context, enum record_severity severity, const char *pointer,
                         const char *message)
{
    add_problem(context, severity == RECORD_ERROR ? "error" : "warning", pointer, message);
}

static int check_body(const struct import *import, struct line *line)
{
    struct fault fault;
    cJSON *body = json_parse(line->body, strlen(line->body), &fault);
    if (!body) {
        spoil(line, "", fault.text);
        return 0;
    }
    int code = record_check(line->kind, line->id, body, import->audience, hear_finding, line);
    if (code == KAART_UNKNOWN)
        spoil(line, "", "there is no such kind of record [REC-1]");
    else if (code == KAART_INVALID)
        line->bad = true;
    cJSON_Delete(body);
    return code == KAART_NOMEM ? code : 0;
}

/* What only review knows. [REV-2] */
static bool check_review(const struct import *import, struct line *line)
{
    if (!import->review && line->submitter)
        spoil(line, "", "only what is said in role resident has a submitter");
    else if (!import->review && line->op == ENTRY_ASSERT &&
             strncmp(import->source, REVIEW_SOURCE_PREFIX, sizeof(REVIEW_SOURCE_PREFIX) - 1) == 0)
        spoil(line, "", "sources resident-... are for what residents said and an editor approved [REV-6]");
    else if (import->review && line->op != ENTRY_ASSERT)
        spoil(line, "",
              "what a resident said is withdrawn by an editor: retract KIND ID --source resident-NUMBER "
              "[REV-2]");
    else if (import->review && line->on_behalf_of[0])
        spoil(line, "", "a resident speaks for no organisation [REV-2]");
    else if (import->review && strcmp(line->kind, "confirmation") == 0)
        spoil(line, "", "a resident has no source to confirm [REV-2]");
    return !line->bad;
}

static int read_line(const struct import *import, const char *text, size_t size, struct line *line)
{
    struct fault fault;
    line->verified = DAY_NONE;
    int code = json_check_object(text, size, take_member, line, &fault);
    if (code == KAART_NOMEM)
        return code;
    if (code < 0)
        spoil(line, "", fault.text);
    else if (!line->kind[0] || !line->id[0])
        spoil(line, "", "kind or id is missing");
    else if ((line->op == ENTRY_ASSERT) != (line->body != NULL))
        spoil(line, "", line->body ? "a retraction has no body" : "body is missing");
    else if (strcmp(import->role, "provider") == 0 && !line->on_behalf_of[0])
        spoil(line, "", "a provider's claim names the organisation it speaks for: onBehalfOf is missing");
    else if (check_review(import, line) && line->body)
        return check_body(import, line);
    return 0;
}

static void run_read(void *state, void *job)
{
    struct import *import = job;
    const char *at = import->bytes, *end = import->bytes + import->size;
    (void)state;
    if (!(import->lines = calloc(BATCH_ENTRIES_MAX, sizeof(struct line)))) {
        import->code = KAART_NOMEM;
        return;
    }
    while (at < end && import->code == 0) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (import->line_count == BATCH_ENTRIES_MAX) {
            import->code =
                fault_set(&import->fault, KAART_LIMIT, "A batch has more than %d lines.", BATCH_ENTRIES_MAX);
            return;
        }
        import->code = read_line(import, at, size, &import->lines[import->line_count++]);
        at += size + 1;
    }
}

/* ---- appending (writer's thread) ---- */

static void run_append(void *state, void *job)
{
    struct import *import = job;
    size_t count = 0;
    struct own_claim *claims = calloc(import->line_count + 1, sizeof(*claims));
    import->results = calloc(import->line_count + 1, sizeof(*import->results));
    if (!claims || !import->results) {
        import->code = KAART_NOMEM;
        goto out;
    }
    for (size_t i = 0; i < import->line_count; i++) {
        const struct line *line = &import->lines[i];
        if (line->bad)
            continue;
        claims[count++] = (struct own_claim){
            .op = line->op,
            .kind = line->kind,
            .id = line->id,
            .source = import->source,
            .role = import->role,
            .areas = line->areas ? line->areas : import->areas,
            .on_behalf_of = line->on_behalf_of[0] ? line->on_behalf_of : NULL,
            .body = line->body,
            .verified = line->verified,
            .missing_since = DAY_NONE,
            /* [ENTRY] personal data: no kept hash may confirm a guess */
            .salted =
                strcmp(import->audience, AUDIENCE_PUBLIC) != 0 || strcmp(line->kind, "professional") == 0,
            .renew = line->verified != DAY_NONE,
        };
    }
    if (count > 0)
        import->code = feeds_append(state, import->feed, import->keys, import->key_count, node_now_ms(),
                                    claims, count, import->dry_run, import->results, &import->fault);
out:
    free(claims);
}

/* ---- queueing (writer's thread) ---- */

/* A line that is turned away does not hold up the others, nor take back their numbers. */
static void hold_line(struct import *import, struct feeds *feeds, struct line *line)
{
    struct fault fault = {""};
    const struct review_claim claim = {
        .feed = import->feed,
        .kind = line->kind,
        .id = line->id,
        .areas = line->areas ? line->areas : import->areas,
        .body = line->body,
        .verified = line->verified,
    };
    int code = import->dry_run
                   ? 0
                   : review_submit(feeds, &claim, line->submitter, node_now_ms(), &line->submission, &fault);
    line->held = code == 0;
    if (code < 0)
        spoil(line, "", fault.text);
    if (code == KAART_BUSY && !import->turned_away) {
        import->turned_away = true;
        import->fault = fault;
    }
}

static void run_hold(void *state, void *job)
{
    struct import *import = job;
    for (size_t i = 0; i < import->line_count; i++)
        if (!import->lines[i].bad)
            hold_line(import, state, &import->lines[i]);
}

/* ---- the answer (loop) ---- */

static const char *outcome_name(enum own_outcome outcome)
{
    static const char *const names[] = {"added", "changed", "unchanged", "retracted", "absent", "refused"};
    return names[outcome];
}

static cJSON *describe_line(struct line *line, size_t number, const struct own_result *result)
{
    cJSON *item = cJSON_CreateObject();
    if (!item)
        return NULL;
    if (result && result->outcome == OWN_REFUSED)
        spoil(line, "", result->fault.text);
    cJSON_AddNumberToObject(item, "line", (double)number);
    cJSON_AddStringToObject(item, "kind", line->kind);
    cJSON_AddStringToObject(item, "id", line->id);
    cJSON_AddStringToObject(item, "outcome",
                            line->held ? "held"
                            : result   ? outcome_name(result->outcome)
                                       : "refused");
    if (line->submission)
        cJSON_AddNumberToObject(item, "submission", (double)line->submission);
    if (result &&
        (result->outcome == OWN_ADDED || result->outcome == OWN_CHANGED || result->outcome == OWN_RETRACTED))
        cJSON_AddNumberToObject(item, "seq", (double)result->seq);
    if (line->problems) {
        cJSON_AddItemToObject(item, "problems", line->problems);
        line->problems = NULL;
    }
    return item;
}

static bool nothing_held(const struct import *import)
{
    for (size_t i = 0; i < import->line_count; i++)
        if (import->lines[i].held)
            return false;
    return true;
}

static void append_done(void *job)
{
    struct import *import = job;
    if (import->code < 0) {
        control_problem(import->exchange, import->code, import->fault.text);
        import_free(import);
        return;
    }
    if (import->turned_away && nothing_held(import)) {
        exchange_set_header(import->exchange, "Retry-After", RETRY_AFTER_S);
        exchange_problem(import->exchange, 429, "Too many submissions", "%s", import->fault.text);
        import_free(import);
        return;
    }
    bool moved = false;
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "feed", import->feed);
    cJSON_AddBoolToObject(answer, "dryRun", import->dry_run);
    cJSON *results = cJSON_AddArrayToObject(answer, "results");
    for (size_t i = 0, good = 0; i < import->line_count; i++) {
        const struct own_result *result =
            import->review || import->lines[i].bad ? NULL : &import->results[good++];
        moved = moved || (result && result->outcome != OWN_UNCHANGED && result->outcome != OWN_ABSENT &&
                          result->outcome != OWN_REFUSED);
        cJSON_AddItemToArray(results, describe_line(&import->lines[i], i + 1, result));
    }
    if (moved && !import->dry_run)
        node_feed_changed(import->node, import->feed);
    control_respond(import->exchange, answer);
    import_free(import);
}

static void read_done(void *job)
{
    struct import *import = job;
    int code = import->code;
    if (code == 0) {
        /* once posted, the job is the writer's: nothing of it may be looked at here */
        code = worker_post(import->node->writer, import->review ? run_hold : run_append, append_done, import);
        if (code == 0)
            return;
        fault_set(&import->fault, code, "The store is busy; try again in a moment.");
    }
    control_problem(import->exchange, code, import->fault.text);
    import_free(import);
}

/* ---- the question (loop) ---- */

static void body_data(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct import *import = context;
    (void)exchange;
    char *grown = import->code == 0 ? realloc(import->bytes, import->size + size + 1) : NULL;
    if (!grown) {
        import->code = KAART_NOMEM;
        return;
    }
    import->bytes = grown;
    memcpy(grown + import->size, bytes, size);
    import->size += size;
}

/* Called in every case; if not complete, the caller has gone or has been told that it was too much. */
static void body_end(void *context, struct http_exchange *exchange, bool complete)
{
    struct import *import = context;
    int code = import->code;
    if (complete && code == 0)
        code = worker_post(import->node->reader, run_read, read_done, import);
    if (complete && code == 0)
        return;
    if (complete)
        control_problem(exchange, code,
                        code == KAART_BUSY ? "The store is busy; try again in a moment." : NULL);
    import_free(import);
}

static int take_name(struct http_exchange *exchange, const char *name, char *to, struct fault *fault)
{
    const char *value = exchange_query(exchange, name);
    if (!value || !syntax_is_name(value, strlen(value)))
        return fault_set(fault, KAART_INVALID, "%s is missing or not a name (a-z, then a-z, 0-9, _ and -).",
                         name);
    snprintf(to, NAME_MAX_SIZE + 1, "%.32s", value);
    return 0;
}

static int take_feed(struct import *import, const struct config *config, const char *audience,
                     struct fault *fault)
{
    const struct config_feed *feed = config_feed(config, audience ? audience : AUDIENCE_PUBLIC);
    if (!feed)
        return fault_set(fault, KAART_INVALID, "This node has no feed \"%s\"; add a feed section to %s.",
                         audience ? audience : AUDIENCE_PUBLIC, config->path);
    snprintf(import->feed, sizeof(import->feed), "%s", feed->name);
    import->audience = strchr(import->feed, '/') + 1;
    import->keys[import->key_count++] = feed->key;
    if (feed->next_key_path)
        import->keys[import->key_count++] = feed->next_key;
    return 0;
}

static int take_areas(struct import *import, const struct config *config)
{
    if (!config->node.areas[0])
        return 0;
    cJSON *areas = cJSON_CreateArray();
    for (char **area = config->node.areas; areas && *area; area++)
        cJSON_AddItemToArray(areas, cJSON_CreateString(*area));
    import->areas = areas ? cJSON_PrintUnformatted(areas) : NULL;
    cJSON_Delete(areas);
    return import->areas ? 0 : KAART_NOMEM;
}

void control_import(struct node *node, struct http_exchange *exchange)
{
    struct fault fault = {""};
    const char *dry_run = exchange_query(exchange, "dryRun");
    struct import *import = calloc(1, sizeof(*import));
    if (!import) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return;
    }
    import->node = node;
    import->exchange = exchange;
    exchange_hold(exchange);
    import->dry_run = dry_run && strcmp(dry_run, "true") == 0;
    int code = take_name(exchange, "source", import->source, &fault);
    if (code == 0)
        code = take_name(exchange, "role", import->role, &fault);
    import->review = strcmp(import->role, REVIEW_ROLE) == 0;
    if (code == 0)
        code = take_feed(import, node->config, exchange_query(exchange, "feed"), &fault);
    if (code == 0)
        code = take_areas(import, node->config);
    if (code < 0) {
        control_problem(exchange, code, fault.text);
        import_free(import);
        return;
    }
    exchange_stream(exchange, CONTROL_IMPORT_SIZE_MAX, body_data, body_end, import);
}
