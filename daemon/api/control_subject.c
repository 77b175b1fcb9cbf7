/*
 * control_subject.c - POST /control/v1/erase: a record's own claims, or all that speaks of a person. The text stands in the body, since
 * paths may be logged: {"text"} or {"kind","id","source"}, and "dryRun" (default true: say what would happen). {"text","allow":true} takes a
 * block back; {"status":true}, perhaps with "kind" and "id", lists the erasures that own feeds carry, and which peers confirmed each.
 *
 *     exchange --body--> dry run: [reader: subject_find] --> answer
 *                        status:  [reader: subject_erasures] --> what sync knows of peers --> answer
 *                        else:    [writer: subject_erase or subject_allow] --> answer; the map and the peers follow
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/subject.h"
#include "daemon/sync/sync.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define BODY_SIZE_MAX 4096

struct erasure {
    struct node *node;
    struct http_exchange *exchange;
    cJSON *asked; /* the body; the question points into it */
    struct subject_question question;
    bool dry_run, allow, status;
    struct subject_keys *keys; /* of every own feed */
    char **names;
    size_t key_count;
    cJSON *report;
    int code;
    struct fault fault;
};

static void erasure_free(struct erasure *erasure)
{
    if (!erasure)
        return;
    for (size_t i = 0; i < erasure->key_count; i++)
        free(erasure->names[i]);
    if (erasure->keys)
        OPENSSL_cleanse(erasure->keys, erasure->key_count * sizeof(*erasure->keys));
    free(erasure->keys);
    free(erasure->names);
    cJSON_Delete(erasure->report);
    cJSON_Delete(erasure->asked);
    exchange_release(erasure->exchange);
    free(erasure);
}

static void run_find(void *state, void *job)
{
    struct node_readers *readers = state;
    struct erasure *erasure = job;
    erasure->code = subject_find(readers->feeds, &erasure->question, &erasure->report, &erasure->fault);
}

static void run_status(void *state, void *job)
{
    struct node_readers *readers = state;
    struct erasure *erasure = job;
    erasure->code = subject_erasures(readers->feeds, erasure->question.kind, erasure->question.id,
                                     &erasure->report, &erasure->fault);
}

static void run_erase(void *state, void *job)
{
    struct erasure *erasure = job;
    erasure->code = subject_erase(state, &erasure->question, erasure->keys, erasure->key_count, node_now_ms(),
                                  &erasure->report, &erasure->fault);
}

static void run_allow(void *state, void *job)
{
    struct erasure *erasure = job;
    erasure->code = subject_allow(state, erasure->question.text, &erasure->fault);
    if (erasure->code == KAART_OK && !(erasure->report = cJSON_CreateObject()))
        erasure->code = KAART_NOMEM;
}

/* Every feed may be shown otherwise now. */
static void tell_of_all(struct erasure *erasure)
{
    const struct config *config = erasure->node->config;
    for (size_t i = 0; i < config->peer_count; i++)
        for (size_t k = 0; k < config->peers[i].feed_key_count; k++)
            node_feed_changed(erasure->node, config->peers[i].feed_keys[k].name);
}

static void tell_followers(struct erasure *erasure)
{
    const cJSON *matches = json_get(erasure->report, "matches");
    const char *last = "";
    for (const cJSON *match = matches ? matches->child : NULL; match; match = match->next) {
        const char *feed = json_get_string(match, "feed");
        if (strcmp(feed, last) != 0)
            node_feed_changed(erasure->node, feed);
        last = feed;
    }
}

static void add_confirmations(struct erasure *erasure)
{
    const cJSON *erasures = json_get(erasure->report, "erasures");
    for (cJSON *item = erasures->child; item; item = item->next)
        sync_add_confirmations(erasure->node->sync, json_get_string(item, "feed"),
                               (uint64_t)json_get(item, "epoch")->valuedouble,
                               (uint64_t)json_get(item, "seq")->valuedouble, item);
}

static void erasure_done(void *job)
{
    struct erasure *erasure = job;
    if (erasure->code < 0) {
        control_problem(erasure->exchange, erasure->code, erasure->fault.text);
    } else {
        if (erasure->status)
            add_confirmations(erasure);
        else if (erasure->allow)
            tell_of_all(erasure);
        else if (!erasure->dry_run)
            tell_followers(erasure);
        if (!erasure->status)
            cJSON_AddBoolToObject(erasure->report, "dryRun", erasure->dry_run);
        control_respond(erasure->exchange, erasure->report);
        erasure->report = NULL;
    }
    erasure_free(erasure);
}

/* ---- the question (loop) ---- */

static int take_question(struct erasure *erasure)
{
    struct subject_question *question = &erasure->question;
    const cJSON *dry_run = json_get(erasure->asked, "dryRun");
    question->text = json_get_string(erasure->asked, "text");
    question->kind = json_get_string(erasure->asked, "kind");
    question->id = json_get_string(erasure->asked, "id");
    question->source = json_get_string(erasure->asked, "source");
    erasure->status = cJSON_IsTrue(json_get(erasure->asked, "status"));
    erasure->dry_run = erasure->status || !cJSON_IsFalse(dry_run);
    erasure->allow = question->text && cJSON_IsTrue(json_get(erasure->asked, "allow"));
    bool record = question->kind && question->id && syntax_is_name(question->kind, strlen(question->kind)) &&
                  syntax_is_uuid(question->id, strlen(question->id)) &&
                  (!question->source || syntax_is_name(question->source, strlen(question->source)));
    if (erasure->status && !question->text && !question->kind && !question->id && !question->source)
        return KAART_OK; /* of all */
    if (erasure->status && (question->text || question->source))
        return fault_set(&erasure->fault, KAART_INVALID,
                         "Of what to show the state is either a kind and an id, or nothing: of all.");
    if (question->text ? question->kind || question->id || question->source : !record)
        return fault_set(&erasure->fault, KAART_INVALID,
                         "What to erase is either a text, or a kind and an id (and perhaps a source).");
    return KAART_OK;
}

static int take_keys(struct erasure *erasure)
{
    const struct config *config = erasure->node->config;
    erasure->keys = calloc(config->feed_count + 1, sizeof(*erasure->keys));
    erasure->names = calloc(config->feed_count + 1, sizeof(*erasure->names));
    if (!erasure->keys || !erasure->names)
        return fault_set(&erasure->fault, KAART_NOMEM, "no memory");
    for (size_t i = 0; i < config->feed_count; i++) {
        const struct config_feed *feed = &config->feeds[i];
        struct subject_keys *keys = &erasure->keys[i];
        if (!(erasure->names[i] = strdup(feed->name)))
            return fault_set(&erasure->fault, KAART_NOMEM, "no memory");
        erasure->key_count = i + 1;
        keys->feed = erasure->names[i];
        keys->keys[keys->key_count++] = feed->key;
        if (feed->next_key_path)
            keys->keys[keys->key_count++] = feed->next_key;
    }
    return KAART_OK;
}

static void body_complete(void *context, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct node *node = context;
    struct erasure *erasure = calloc(1, sizeof(*erasure));
    if (!erasure) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return;
    }
    erasure->node = node;
    erasure->exchange = exchange;
    exchange_hold(exchange);
    erasure->asked = json_parse(bytes, size, &erasure->fault);
    int code = erasure->asked ? take_question(erasure) : KAART_INVALID;
    if (code == KAART_OK && !erasure->dry_run && !erasure->allow)
        code = take_keys(erasure);
    if (code == KAART_OK) {
        code = erasure->allow     ? worker_post(node->writer, run_allow, erasure_done, erasure)
               : erasure->status  ? worker_post(node->reader, run_status, erasure_done, erasure)
               : erasure->dry_run ? worker_post(node->reader, run_find, erasure_done, erasure)
                                  : worker_post(node->writer, run_erase, erasure_done, erasure);
        if (code == KAART_OK)
            return; /* the job is the worker's now */
        fault_set(&erasure->fault, code, "The store is busy; try again in a moment.");
    }
    control_problem(exchange, code, erasure->fault.text);
    erasure_free(erasure);
}

void control_erase(struct node *node, struct http_exchange *exchange)
{
    exchange_collect(exchange, BODY_SIZE_MAX, body_complete, node);
}
