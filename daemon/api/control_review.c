/*
 * control_review.c - editorial review of what residents say. Submitting is POST import with role `resident` (control_import.c).
 *
 *   GET  review?all=&after=          {"submissions":[...],"waiting","next"}: REVIEW_PAGE at a time, `next` is the following `after`
 *   GET  review/{number}             one, with the claim, what the map says now, and what would change
 *   POST review/{number}/approve     {"editor"}
 *   POST review/{number}/reject      {"editor","reason"}
 *
 * What people wrote (editor, reason) travels in bodies, not in addresses, which end up in logs.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/feeds.h"
#include "daemon/store/maps.h"
#include "daemon/store/review.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* Submissions of one answer: some 3 MB at worst, since names alone are told of them. */
#define REVIEW_PAGE 500
/* {"editor","reason"} with every byte escaped. */
#define DECISION_SIZE_MAX 8192

static void add_day(cJSON *object, const char *name, int32_t day)
{
    char text[DAY_TEXT_SIZE + 1];
    if (day == DAY_NONE)
        return;
    syntax_day_format(day, text);
    cJSON_AddStringToObject(object, name, text);
}

static cJSON *parse_span(struct span span)
{
    return span.data ? cJSON_ParseWithLength(span.data, span.size) : NULL;
}

/* What is always told; `body` NULL once it was decided. */
static cJSON *describe(const struct submission *submission, const cJSON *body)
{
    cJSON *object = cJSON_CreateObject();
    const char *name = body ? record_name(submission->kind, body) : NULL;
    if (!object)
        return NULL;
    cJSON_AddNumberToObject(object, "number", (double)submission->number);
    cJSON_AddStringToObject(object, "state", review_state_name(submission->state));
    cJSON_AddStringToObject(object, "kind", submission->kind);
    cJSON_AddStringToObject(object, "id", submission->id);
    if (name)
        cJSON_AddStringToObject(object, "name", name);
    cJSON_AddStringToObject(object, "feed", submission->feed);
    if (submission->state != REVIEW_REJECTED)
        cJSON_AddStringToObject(object, "source", submission->source);
    add_day(object, "submitted", submission->submitted);
    if (submission->state == REVIEW_APPROVED || submission->state == REVIEW_REJECTED) {
        add_day(object, "decided", submission->decided);
        cJSON_AddStringToObject(object, "editor", submission->editor);
    } else {
        cJSON_AddNumberToObject(object, "sameSubmitter", (double)submission->same_submitter);
    }
    if (submission->state == REVIEW_REJECTED)
        cJSON_AddStringToObject(object, "reason", submission->reason);
    return object;
}

/* ---- list ---- */

struct listing {
    cJSON *list;
    size_t count;
    uint64_t last;
};

static int add_submission(void *context, const struct submission *submission)
{
    struct listing *listing = context;
    cJSON *body = parse_span(submission->body), *object = describe(submission, body);
    cJSON_Delete(body);
    if (!object || !cJSON_AddItemToArray(listing->list, object)) {
        cJSON_Delete(object);
        return KAART_NOMEM;
    }
    listing->count++;
    listing->last = submission->number;
    return 0;
}

static void run_list(struct node_readers *readers, struct control_job *job)
{
    uint64_t waiting = 0;
    struct listing listing = {.list = cJSON_AddArrayToObject(job->result, "submissions")};
    job->code = listing.list ? review_waiting(readers->feeds, &waiting, &job->fault) : KAART_NOMEM;
    if (job->code == 0)
        job->code = review_list(readers->feeds, job->limit != 0, job->seq, REVIEW_PAGE, add_submission,
                                &listing, &job->fault);
    cJSON_AddNumberToObject(job->result, "waiting", (double)waiting);
    if (listing.count == REVIEW_PAGE)
        cJSON_AddNumberToObject(job->result, "next", (double)listing.last);
}

static bool take_number(struct http_exchange *exchange, const char *text, size_t size, uint64_t *number)
{
    struct fault fault;
    if (syntax_decimal_parse(text, size, JSON_INTEGER_MAX, number) == 0)
        return true;
    fault_set(&fault, KAART_INVALID, "\"%.*s\" is not the number of a submission.", (int)size, text);
    control_problem(exchange, KAART_INVALID, fault.text);
    return false;
}

void control_review_list(struct node *node, struct http_exchange *exchange)
{
    const char *all = exchange_query(exchange, "all"), *after = exchange_query(exchange, "after");
    uint64_t number = 0;
    if (after && !take_number(exchange, after, strlen(after), &number))
        return;
    struct control_job *job = control_job_new(node, exchange);
    if (!job)
        return;
    job->seq = number;
    job->limit = all && strcmp(all, "true") == 0;
    job->result = cJSON_CreateObject();
    job->run = run_list;
    control_job_post(job);
}

/* ---- show ---- */

/* What would change if it were approved at this moment. */
static int add_preview(struct node_readers *readers, struct control_job *job,
                       const struct submission *submission, const cJSON *areas, const cJSON *body)
{
    cJSON *preview = NULL;
    const struct claim claim = {
        .feed = submission->feed,
        .seq = SEQ_MAX,
        .kind = submission->kind,
        .id = submission->id,
        .source = submission->source,
        .role = REVIEW_ROLE,
        .at_ms = node_now_ms(),
        .verified = submission->verified,
        .missing_since = DAY_NONE,
        .confirmed = DAY_NONE,
        .areas = areas,
        .body = body,
    };
    struct map *map; /* of the feed's audience */
    int code = maps_get(readers->maps, strchr(submission->feed, '/') + 1, &map, &job->fault);
    if (code == 0)
        code = map_preview(map, job->policy, job->day, &claim, &preview, &job->fault);
    if (code == 0 && !cJSON_AddItemToObject(job->result, "preview", preview)) {
        cJSON_Delete(preview);
        code = KAART_NOMEM;
    }
    return code;
}

static void run_show(struct node_readers *readers, struct control_job *job)
{
    struct submission submission;
    job->code = review_get(readers->feeds, job->seq, &submission, &job->fault);
    if (job->code == KAART_UNKNOWN)
        fault_set(&job->fault, KAART_UNKNOWN,
                  "There is no submission %llu; kaartctl review list shows those that wait.",
                  (unsigned long long)job->seq);
    if (job->code < 0)
        return;
    cJSON *body = parse_span(submission.body), *areas = parse_span(submission.areas);
    job->result = describe(&submission, body);
    if (!job->result)
        job->code = KAART_NOMEM;
    if (job->code == 0 && body) {
        add_day(job->result, "verified", submission.verified);
        job->code = add_preview(readers, job, &submission, areas, body);
        cJSON_AddItemToObject(job->result, "areas", areas ? areas : cJSON_CreateArray());
        cJSON_AddItemToObject(job->result, "body", body);
        body = areas = NULL;
    }
    cJSON_Delete(body);
    cJSON_Delete(areas);
    submission_clear(&submission);
}

void control_review_show(struct node *node, struct http_exchange *exchange, const char *argument)
{
    uint64_t number;
    if (!take_number(exchange, argument, strlen(argument), &number))
        return;
    struct control_job *job = control_job_new(node, exchange);
    if (!job)
        return;
    job->seq = number;
    job->policy = policy_hold(node->policy);
    job->run = run_show;
    control_job_post(job);
}

/* ---- decide ---- */

struct decision {
    struct node *node;
    struct http_exchange *exchange;
    const struct config *config; /* of the moment it was posted: lives until the job is done (node.c) */
    uint64_t number;
    bool approve, changed;
    char *editor, *reason;
    char feed[FEED_NAME_MAX_SIZE + 1];
    cJSON *result;
    int code;
    struct fault fault;
};

static void decision_free(struct decision *decision)
{
    exchange_release(decision->exchange);
    free(decision->editor);
    free(decision->reason);
    cJSON_Delete(decision->result);
    free(decision);
}

/* The keys of the feed that the submission is meant for. */
static int take_keys(const struct decision *decision, struct signing_key keys[2], size_t *count,
                     struct fault *fault)
{
    const struct config_feed *feed = config_feed(decision->config, strchr(decision->feed, '/') + 1);
    *count = 0;
    if (!feed || strcmp(feed->name, decision->feed) != 0)
        return fault_set(fault, KAART_INVALID, "This node has no feed %s any more; reject the submission.",
                         decision->feed);
    keys[(*count)++] = feed->key;
    if (feed->next_key_path)
        keys[(*count)++] = feed->next_key;
    return 0;
}

static int approve(struct feeds *feeds, struct decision *decision)
{
    struct signing_key keys[2];
    size_t count;
    struct submission submission;
    int code = review_get(feeds, decision->number, &submission, &decision->fault);
    if (code < 0)
        return code;
    snprintf(decision->feed, sizeof(decision->feed), "%s", submission.feed);
    submission_clear(&submission);
    code = take_keys(decision, keys, &count, &decision->fault);
    if (code == 0)
        code = review_approve(feeds, decision->number, decision->editor, keys, count, node_now_ms(),
                              &decision->changed, &decision->fault);
    OPENSSL_cleanse(keys, sizeof(keys));
    return code;
}

/* On the writer's thread. */
static void run_decision(void *state, void *context)
{
    struct decision *decision = context;
    struct submission submission;
    decision->code = decision->approve ? approve(state, decision)
                                       : review_reject(state, decision->number, decision->editor,
                                                       decision->reason, node_now_ms(), &decision->fault);
    if (decision->code < 0 || review_get(state, decision->number, &submission, &decision->fault) < 0)
        return;
    decision->result = describe(&submission, NULL);
    submission_clear(&submission);
}

static void decision_done(void *context)
{
    struct decision *decision = context;
    if (decision->changed)
        node_feed_changed(decision->node, decision->feed);
    if (decision->code < 0) {
        control_problem(decision->exchange, decision->code, decision->fault.text);
    } else {
        control_respond(decision->exchange, decision->result);
        decision->result = NULL;
    }
    decision_free(decision);
}

/* Of {"editor":"...","reason":"..."}; both may be absent. */
static int read_decision(struct decision *decision, const char *bytes, size_t size, struct fault *fault)
{
    cJSON *json = size > 0 ? json_parse(bytes, size, fault) : cJSON_CreateObject();
    if (!json)
        return KAART_INVALID;
    const char *editor = json_get_string(json, "editor"), *reason = json_get_string(json, "reason");
    decision->editor = strdup(editor ? editor : "");
    decision->reason = strdup(reason ? reason : "");
    cJSON_Delete(json);
    return decision->editor && decision->reason ? 0 : fault_set(fault, KAART_NOMEM, "out of memory");
}

static void decide(struct node *node, struct http_exchange *exchange, const char *bytes, size_t size,
                   bool approving)
{
    struct fault fault = {""};
    uint64_t number;
    const char *path = exchange_path(exchange) + sizeof("/control/v1/review/") - 1;
    if (!take_number(exchange, path, strcspn(path, "/"), &number))
        return;
    struct decision *decision = calloc(1, sizeof(*decision));
    if (!decision) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return;
    }
    *decision = (struct decision){
        .node = node, .exchange = exchange, .config = node->config, .number = number, .approve = approving};
    exchange_hold(exchange);
    int code = read_decision(decision, bytes, size, &fault);
    if (code == 0)
        code = worker_post(node->writer, run_decision, decision_done, decision);
    if (code == 0)
        return;
    control_problem(exchange, code,
                    code == KAART_BUSY ? "The store is busy; try again in a moment." : fault.text);
    decision_free(decision);
}

static void on_approve(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    decide(context, exchange, bytes, size, true);
}

static void on_reject(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    decide(context, exchange, bytes, size, false);
}

void control_review_decide(struct node *node, struct http_exchange *exchange, bool approving)
{
    exchange_collect(exchange, DECISION_SIZE_MAX, approving ? on_approve : on_reject, node);
}
