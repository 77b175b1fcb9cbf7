/*
 * control_api.c - /control/v1/...: what kaartctl asks. Only on the Unix socket, whose file permission says who may.
 *
 *   GET  status                         this node at a glance
 *   GET  feeds                          every feed it holds
 *   POST feeds/{audience}/sign          the operator decides that an own feed may be signed
 *   GET  peers                          sync_status
 *   POST sync?peer=                     pull now
 *   POST rebuild                        the maps anew from the feeds                       control_rebuild.c
 *   GET  sources                        sources_status
 *   POST sources/{name}/run?dryRun=     one run; answers with its report
 *   POST sources/{name}/accept?run=     what the fuse held back
 *   GET  records/{id}?kind=             the resolved record
 *   GET  records/{id}/why?kind=         where each field comes from
 *   GET  claims/{kind}/{id}?source=&feed=   what one source of an own feed says, as it stands there
 *   GET  proof?feed=&seq=               of one claim; without seq: of two histories     control_proof.c
 *   GET  search?q=&kind=&limit=&offset=
 *   GET  conflicts?group=&about=&limit=   where claims differ                                    control_edit.c
 *   GET  stale?before=&origin=&limit=     what was confirmed too long ago                        control_edit.c
 *   GET  link?alias=&main=              what to say so that two records are one                  control_link.c
 *   GET  unlink?one=&other=             what to say so that they are two                         control_link.c
 *   GET  duplicates?kind=&limit=        records that could be one                                control_link.c
 *   GET  export?kind=                   every resolved record, NDJSON                       control_export.c
 *
 * Whatever reads a map takes audience=; without it, that is the public one [RES-2]. Restricted maps are answered here only.
 *
 *   POST import?source=&role=&feed=&dryRun=   lines of claims, NDJSON; a result for each    control_import.c
 *   GET  policy                         the policy in force, and where each line is from    control_policy.c
 *   POST policy/diff?limit=             what another policy would change
 *   GET  policy/sums                    the sums that /v1/map/sums publishes
 *   GET  review..., POST review/...         what residents say, and what editors decide     control_review.c
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/config/audience_config.h"
#include "daemon/source/sources.h"
#include "daemon/store/feeds.h"
#include "daemon/store/review.h"
#include "daemon/sync/sync.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "/control/v1/"
#define JSON_TYPE "application/json"

/* ---- answers ---- */

void control_respond(struct http_exchange *exchange, cJSON *result)
{
    char *text = result ? cJSON_PrintUnformatted(result) : NULL;
    cJSON_Delete(result);
    if (text)
        exchange_respond(exchange, 200, JSON_TYPE, text, strlen(text));
    else
        exchange_problem(exchange, 500, "Out of memory", "The answer did not fit into memory.");
}

void control_problem(struct http_exchange *exchange, int code, const char *detail)
{
    static const struct {
        int code, status;
        const char *title;
    } problems[] = {
        {KAART_UNKNOWN, 404, "Not found"},
        {KAART_INVALID, 400, "Not valid"},
        {KAART_SYNTAX, 400, "Not valid"},
        {KAART_LIMIT, 413, "Too large"},
        {KAART_BUSY, 503, "Busy"},
        {KAART_GUARD, 409, "Not signed yet (kaartctl status shows why, kaartctl sign decides)"},
        {KAART_CLOCK, 409, "The clock is behind"},
        {KAART_OVERTAKEN, 409, "Overtaken"},
        {KAART_CORRUPT, 500, "The database contradicts itself"},
        {KAART_NOMEM, 500, "Out of memory"},
        {KAART_IO, 500, "Disk or network failed"},
    };
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
        if (problems[i].code == code) {
            if (code == KAART_BUSY)
                exchange_set_header(exchange, "Retry-After", "1");
            exchange_problem(exchange, problems[i].status, problems[i].title, "%s",
                             detail && *detail ? detail : kaart_strerror(code));
            return;
        }
    exchange_problem(exchange, 500, "Failed", "%s", detail && *detail ? detail : kaart_strerror(code));
}

/* ---- jobs ---- */

bool control_take_audience(struct node *node, struct http_exchange *exchange,
                           char audience[NAME_MAX_SIZE + 1])
{
    struct audiences known;
    struct fault fault;
    char list[AUDIENCES_MAX * (NAME_MAX_SIZE + 2) + 1] = "";
    const char *asked = exchange_query(exchange, "audience");
    asked = asked ? asked : AUDIENCE_PUBLIC;
    audiences_from_config(node->config, &known);
    if (audiences_have(&known, asked)) {
        snprintf(audience, NAME_MAX_SIZE + 1, "%s", asked);
        return true;
    }
    for (size_t i = 0; i < known.count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", known.names[i]);
    }
    fault_set(&fault, KAART_INVALID, "This node has no map for the audience \"%.64s\": it has %s.", asked,
              list);
    control_problem(exchange, KAART_INVALID, fault.text);
    return false;
}

struct control_job *control_job_new(struct node *node, struct http_exchange *exchange)
{
    char audience[NAME_MAX_SIZE + 1];
    if (!control_take_audience(node, exchange, audience))
        return NULL;
    struct control_job *job = calloc(1, sizeof(*job));
    if (!job) {
        control_problem(exchange, KAART_NOMEM, NULL);
        return NULL;
    }
    job->node = node;
    job->exchange = exchange;
    memcpy(job->audience, audience, sizeof(audience));
    job->day = syntax_day_of(node_now_ms());
    exchange_hold(exchange);
    return job;
}

void control_job_free(struct control_job *job)
{
    exchange_release(job->exchange);
    free(job->kind);
    free(job->id);
    free(job->source);
    free(job->feed);
    free(job->query);
    policy_release(job->policy);
    cJSON_Delete(job->result);
    free(job);
}

bool control_job_take(struct control_job *job, char **to, const char *value)
{
    if (!value || (*to = strdup(value)))
        return true;
    control_problem(job->exchange, KAART_NOMEM, NULL);
    control_job_free(job);
    return false;
}

static void run_job(void *state, void *argument)
{
    struct control_job *job = argument;
    struct node_readers readers = *(struct node_readers *)state;
    job->code = maps_get(readers.maps, job->audience, &readers.map, &job->fault);
    if (job->code == 0)
        job->run(&readers, job);
}

static void job_done(void *argument)
{
    struct control_job *job = argument;
    if (job->code < 0) {
        control_problem(job->exchange, job->code, job->fault.text);
    } else {
        control_respond(job->exchange, job->result);
        job->result = NULL;
    }
    control_job_free(job);
}

void control_job_post(struct control_job *job)
{
    if (worker_post(job->node->reader, run_job, job_done, job) == 0)
        return;
    control_problem(job->exchange, KAART_BUSY, "The store is busy; try again in a moment.");
    control_job_free(job);
}

/* ---- feeds and status ---- */

static void add_instant(cJSON *object, const char *name, int64_t unix_s)
{
    char text[SECONDS_TEXT_SIZE + 1];
    syntax_seconds_format(unix_s, text);
    cJSON_AddStringToObject(object, name, text);
}

static int add_feed(void *context, const struct feed_head *head)
{
    cJSON *feed = cJSON_CreateObject();
    char root[2 * HASH_SIZE + 1];
    if (!feed || !cJSON_AddItemToArray(context, feed))
        return KAART_NOMEM;
    cJSON_AddStringToObject(feed, "feed", head->checkpoint.feed);
    cJSON_AddBoolToObject(feed, "own", head->own);
    cJSON_AddBoolToObject(feed, "held", head->held);
    if (head->held) {
        hex_encode(head->checkpoint.root.bytes, HASH_SIZE, root);
        cJSON_AddNumberToObject(feed, "epoch", (double)head->checkpoint.epoch);
        cJSON_AddNumberToObject(feed, "size", (double)head->checkpoint.size);
        cJSON_AddNumberToObject(feed, "live", (double)head->checkpoint.live);
        cJSON_AddNumberToObject(feed, "floor", (double)head->checkpoint.floor);
        cJSON_AddStringToObject(feed, "root", root);
        add_instant(feed, "time", head->checkpoint.time_s);
    }
    if (head->frozen[0] != '\0')
        cJSON_AddStringToObject(feed, "frozen", head->frozen);
    return 0;
}

static void run_feeds(struct node_readers *readers, struct control_job *job)
{
    job->code = feeds_list(readers->feeds, add_feed, job->result, &job->fault);
}

static void get_feeds(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    struct control_job *job = control_job_new(node, exchange);
    if (!job)
        return;
    job->result = cJSON_CreateArray();
    job->run = run_feeds;
    control_job_post(job);
}

/* The sums of each map that "maps" names. */
static int fill_maps(struct node_readers *readers, cJSON *maps, struct fault *fault)
{
    int code = 0;
    for (cJSON *empty = maps ? maps->child : NULL, *next; empty && code == 0; empty = next) {
        struct map *map;
        cJSON *status = NULL;
        next = empty->next;
        code = maps_get(readers->maps, empty->string, &map, fault);
        if (code == 0)
            code = map_status(map, &status, fault);
        if (code == KAART_BUSY)
            code = 0; /* stays null: it is being made */
        else if (code == 0 && !cJSON_ReplaceItemInObjectCaseSensitive(maps, empty->string, status))
            code = KAART_NOMEM;
    }
    return code;
}

static void run_status(struct node_readers *readers, struct control_job *job)
{
    cJSON *map = NULL;
    uint64_t waiting = 0;
    job->code = feeds_list(readers->feeds, add_feed, cJSON_GetObjectItemCaseSensitive(job->result, "feeds"),
                           &job->fault);
    if (job->code == 0)
        job->code = review_waiting(readers->feeds, &waiting, &job->fault);
    cJSON_AddNumberToObject(job->result, "reviewWaiting", (double)waiting);
    if (job->code == 0)
        job->code = map_status(readers->map, &map, &job->fault);
    if (map)
        cJSON_AddItemToObject(job->result, "map", map);
    if (job->code == 0)
        job->code = fill_maps(readers, cJSON_GetObjectItemCaseSensitive(job->result, "maps"), &job->fault);
}

/* "maps" with a null for each audience, or for the one that was asked for. */
static void add_audiences(struct node *node, struct http_exchange *exchange, cJSON *maps)
{
    struct audiences audiences;
    const char *asked = exchange_query(exchange, "audience");
    audiences_from_config(node->config, &audiences);
    for (size_t i = 0; i < audiences.count; i++)
        if (!asked || strcmp(asked, audiences.names[i]) == 0)
            cJSON_AddNullToObject(maps, audiences.names[i]);
}

static void get_status(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    struct control_job *job = control_job_new(node, exchange);
    if (!job)
        return;
    cJSON *status = job->result = cJSON_CreateObject();
    cJSON_AddStringToObject(status, "node", node->config->node.name);
    cJSON_AddStringToObject(status, "version", KAARTD_VERSION);
    cJSON_AddStringToObject(status, "configuration", node->config->path);
    add_instant(status, "started", node->started_ms / 1000);
    add_instant(status, "now", node_now_ms() / 1000);
    cJSON *areas = cJSON_AddArrayToObject(status, "areas");
    for (char **area = node->config->node.areas; *area; area++)
        cJSON_AddItemToArray(areas, cJSON_CreateString(*area));
    cJSON_AddItemToObject(status, "signing", sync_own_status(node->sync));
    cJSON_AddNumberToObject(status, "peers", (double)node->config->peer_count);
    cJSON_AddNumberToObject(status, "sources", (double)node->config->source_count);
    cJSON *waiting = cJSON_AddObjectToObject(status, "jobsWaiting");
    cJSON_AddNumberToObject(waiting, "writer", (double)worker_load(node->writer));
    cJSON_AddNumberToObject(waiting, "mapper", (double)worker_load(node->mapper));
    cJSON_AddNumberToObject(waiting, "reader", (double)worker_load(node->reader));
    cJSON_AddArrayToObject(status, "feeds");
    add_audiences(node, exchange, cJSON_AddObjectToObject(status, "maps"));
    job->run = run_status;
    control_job_post(job);
}

/* What the own-head guard waits for is decided by the operator; the answer is how it stands then. */
static void post_sign(struct node *node, struct http_exchange *exchange, const char *argument)
{
    struct fault fault;
    const struct config_feed *feed = config_feed(node->config, argument);
    int code = feed ? sync_decide(node->sync, feed->name) : KAART_UNKNOWN;
    if (code == 0) {
        control_respond(exchange, sync_own_status(node->sync));
        return;
    }
    fault_set(&fault, code, "This node has no feed \"%s\" of its own; kaartctl status lists them.", argument);
    control_problem(exchange, code, fault.text);
}

/* ---- peers and sources ---- */

static void get_peers(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_respond(exchange, sync_status(node->sync));
}

static void post_sync(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    struct fault fault = {""};
    const char *peer = exchange_query(exchange, "peer");
    int code = sync_now(node->sync, peer);
    if (code == KAART_UNKNOWN)
        fault_set(&fault, code, "There is no peer \"%s\" in the configuration; kaartctl peers lists them.",
                  peer);
    if (code < 0) {
        control_problem(exchange, code, fault.text);
        return;
    }
    cJSON *result = cJSON_CreateObject();
    cJSON_AddStringToObject(result, "started", peer ? peer : "all peers");
    control_respond(exchange, result);
}

static void get_sources(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_respond(exchange, sources_status(node->sources));
}

static void source_done(void *context, const cJSON *report)
{
    struct http_exchange *exchange = context;
    control_respond(exchange, cJSON_Duplicate(report, true));
    exchange_release(exchange);
}

static bool is_true(const char *value)
{
    return value && strcmp(value, "true") == 0;
}

static void post_source_run(struct node *node, struct http_exchange *exchange, const char *argument)
{
    struct fault fault = {""};
    exchange_hold(exchange);
    int code = sources_run(node->sources, argument, is_true(exchange_query(exchange, "dryRun")), source_done,
                           exchange);
    if (code == 0)
        return;
    if (code == KAART_UNKNOWN)
        fault_set(&fault, code,
                  "There is no source \"%s\" in the configuration; kaartctl sources lists them.", argument);
    else if (code == KAART_BUSY)
        fault_set(&fault, code, "Source %s is running already; kaartctl sources shows when it is done.",
                  argument);
    control_problem(exchange, code, fault.text);
    exchange_release(exchange);
}

static void post_source_accept(struct node *node, struct http_exchange *exchange, const char *argument)
{
    struct fault fault = {""};
    uint64_t run = 0;
    const char *text = exchange_query(exchange, "run");
    if (!text || syntax_decimal_parse(text, strlen(text), INT64_MAX, &run) < 0) {
        control_problem(exchange, KAART_INVALID,
                        "The number of the run is missing; kaartctl sources shows which run waits.");
        return;
    }
    exchange_hold(exchange);
    int code = sources_accept(node->sources, argument, (int64_t)run, source_done, exchange, &fault);
    if (code == 0)
        return;
    control_problem(exchange, code, fault.text);
    exchange_release(exchange);
}

/* ---- records ---- */

static void run_get(struct node_readers *readers, struct control_job *job)
{
    job->code = map_get(readers->map, job->kind, job->id, &job->result, &job->fault);
}

static void run_why(struct node_readers *readers, struct control_job *job)
{
    job->code = map_why(readers->map, job->policy, job->day, job->kind, job->id, &job->result, &job->fault);
}

static void run_search(struct node_readers *readers, struct control_job *job)
{
    job->code =
        map_search(readers->map, job->query, job->kind, job->limit, job->offset, &job->result, &job->fault);
}

static bool check_id(struct http_exchange *exchange, const char *id)
{
    if (syntax_is_uuid(id, strlen(id)))
        return true;
    struct fault fault;
    fault_set(&fault, KAART_INVALID,
              "\"%s\" is not a record's id, a UUID in lower case; kaartctl search finds ids.", id);
    control_problem(exchange, KAART_INVALID, fault.text);
    return false;
}

static void post_record_job(struct node *node, struct http_exchange *exchange, const char *id,
                            void (*run)(struct node_readers *readers, struct control_job *job))
{
    if (!check_id(exchange, id))
        return;
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->id, id) ||
        !control_job_take(job, &job->kind, exchange_query(exchange, "kind")))
        return;
    job->policy = policy_hold(node->policy);
    job->run = run;
    control_job_post(job);
}

static void get_record(struct node *node, struct http_exchange *exchange, const char *argument)
{
    post_record_job(node, exchange, argument, run_get);
}

static void get_why(struct node *node, struct http_exchange *exchange, const char *argument)
{
    post_record_job(node, exchange, argument, run_why);
}

static bool take_number(struct http_exchange *exchange, const char *name, size_t fallback, size_t max,
                        size_t *number)
{
    uint64_t value = fallback;
    const char *text = exchange_query(exchange, name);
    if (text && syntax_decimal_parse(text, strlen(text), max, &value) < 0) {
        struct fault fault;
        fault_set(&fault, KAART_INVALID, "%s is not a number from 0 to %zu.", name, max);
        control_problem(exchange, KAART_INVALID, fault.text);
        return false;
    }
    *number = (size_t)value;
    return true;
}

static void get_search(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    size_t limit, offset;
    const char *query = exchange_query(exchange, "q");
    if (!query || !*query) {
        control_problem(exchange, KAART_INVALID, "What is to be searched for? q is missing.");
        return;
    }
    if (!take_number(exchange, "limit", 20, CONTROL_SEARCH_MAX, &limit) ||
        !take_number(exchange, "offset", 0, 1000000, &offset))
        return;
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->query, query) ||
        !control_job_take(job, &job->kind, exchange_query(exchange, "kind")))
        return;
    job->limit = limit;
    job->offset = offset;
    job->run = run_search;
    control_job_post(job);
}

/* ---- one claim of an own feed ---- */

static void run_claim(struct node_readers *readers, struct control_job *job)
{
    struct entry_key key;
    uint64_t seq;
    char *line = NULL;
    size_t size = 0;
    struct hasher *hasher = hasher_new();
    job->code = hasher ? entry_key(hasher, job->kind, job->id, job->source, &key) : KAART_NOMEM;
    if (job->code == 0)
        job->code = feeds_entry_by_key(readers->feeds, job->feed, &key, &seq, &line, &size, &job->fault);
    if (job->code == KAART_UNKNOWN)
        fault_set(&job->fault, KAART_UNKNOWN, "Source %s says nothing about %s %s in %s.", job->source,
                  job->kind, job->id, job->feed);
    if (job->code == 0 && !(job->result = json_parse(line, size, &job->fault)))
        job->code = KAART_CORRUPT;
    free(line);
    hasher_free(hasher);
}

static void get_claim(struct node *node, struct http_exchange *exchange, const char *argument)
{
    const char *slash = strchr(argument, '/');
    const char *source = exchange_query(exchange, "source"), *audience = exchange_query(exchange, "feed");
    const struct config_feed *feed = config_feed(node->config, audience ? audience : "public");
    if (!slash || !check_id(exchange, slash + 1))
        return;
    if (!feed || !source) {
        control_problem(exchange, KAART_INVALID,
                        feed ? "source is missing."
                             : "This node has no such feed; kaartctl feeds lists them.");
        return;
    }
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->id, slash + 1) || !control_job_take(job, &job->source, source) ||
        !control_job_take(job, &job->feed, feed->name))
        return;
    if (!(job->kind = strndup(argument, (size_t)(slash - argument)))) {
        control_problem(exchange, KAART_NOMEM, NULL);
        control_job_free(job);
        return;
    }
    job->run = run_claim;
    control_job_post(job);
}

/* ---- routes ---- */

static void post_import(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_import(node, exchange);
}

static void get_proof(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_proof(node, exchange);
}

static void get_conflicts(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_conflicts(node, exchange);
}

static void get_stale(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_stale(node, exchange);
}

static void post_rebuild(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_rebuild(node, exchange);
}

static void get_link(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_link(node, exchange);
}

static void get_unlink(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_unlink(node, exchange);
}

static void get_duplicates(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_duplicates(node, exchange);
}

static void get_export(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_export(node, exchange);
}

static void get_policy(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_policy(node, exchange);
}

static void post_policy_diff(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_policy_diff(node, exchange);
}

static void get_policy_sums(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_policy_sums(node, exchange);
}

static void get_reviews(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_review_list(node, exchange);
}

static void post_approve(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_review_decide(node, exchange, true);
}

static void post_reject(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_review_decide(node, exchange, false);
}

static void post_erase(struct node *node, struct http_exchange *exchange, const char *argument)
{
    (void)argument;
    control_erase(node, exchange);
}

struct route {
    const char *method;
    const char *head; /* what the path begins with, after the prefix */
    const char *tail; /* what it ends with; what is between is the argument. NULL: no argument, head is all */
    void (*answer)(struct node *node, struct http_exchange *exchange, const char *argument);
};

static const struct route routes[] = {
    {"GET", "status", NULL, get_status},
    {"GET", "feeds", NULL, get_feeds},
    {"POST", "feeds/", "/sign", post_sign},
    {"GET", "peers", NULL, get_peers},
    {"POST", "sync", NULL, post_sync},
    {"POST", "rebuild", NULL, post_rebuild},
    {"GET", "sources", NULL, get_sources},
    {"POST", "sources/", "/run", post_source_run},
    {"POST", "sources/", "/accept", post_source_accept},
    {"GET", "records/", "/why", get_why},
    {"GET", "records/", "", get_record},
    {"GET", "claims/", "", get_claim},
    {"GET", "search", NULL, get_search},
    {"GET", "proof", NULL, get_proof},
    {"GET", "export", NULL, get_export},
    {"GET", "conflicts", NULL, get_conflicts},
    {"GET", "stale", NULL, get_stale},
    {"GET", "link", NULL, get_link},
    {"GET", "unlink", NULL, get_unlink},
    {"GET", "duplicates", NULL, get_duplicates},
    {"POST", "import", NULL, post_import},
    {"GET", "policy", NULL, get_policy},
    {"POST", "policy/diff", NULL, post_policy_diff},
    {"GET", "policy/sums", NULL, get_policy_sums},
    {"GET", "review", NULL, get_reviews},
    {"GET", "review/", "", control_review_show},
    {"POST", "review/", "/approve", post_approve},
    {"POST", "review/", "/reject", post_reject},
    {"POST", "erase", NULL, post_erase},
};

/* Whether the path fits the route; its argument goes to `argument`. */
static bool route_fits(const struct route *route, const char *path, char *argument, size_t size)
{
    size_t head = strlen(route->head), tail = route->tail ? strlen(route->tail) : 0, length = strlen(path);
    if (!route->tail)
        return strcmp(path, route->head) == 0;
    if (length <= head + tail || length - head - tail >= size || strncmp(path, route->head, head) != 0 ||
        strcmp(path + length - tail, route->tail) != 0)
        return false;
    snprintf(argument, size, "%.*s", (int)(length - head - tail), path + head);
    return true;
}

bool control_api_handle(struct node *node, struct http_exchange *exchange)
{
    const char *path = exchange_path(exchange);
    char argument[256];
    bool known = false;
    /* elsewhere the control API does not exist: not even a 403 says that it might */
    if (strncmp(path, PREFIX, sizeof(PREFIX) - 1) != 0 || !exchange_local(exchange))
        return false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!route_fits(&routes[i], path + sizeof(PREFIX) - 1, argument, sizeof(argument)))
            continue;
        known = true;
        if (strcmp(exchange_method(exchange), routes[i].method) != 0)
            continue;
        routes[i].answer(node, exchange, argument);
        return true;
    }
    if (known)
        exchange_problem(exchange, 405, "Method not allowed", "%s is not answered by %s.", path,
                         exchange_method(exchange));
    else
        exchange_problem(exchange, 404, "Not found", "%s is not part of the control API of kaartd %s.", path,
                         KAARTD_VERSION);
    return true;
}
