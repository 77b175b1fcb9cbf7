/*
 * sources.c - the sources of a node: when each runs, by itself or when the operator says so.
 *
 *                       +--- interval with jitter; sooner, with backoff, after a failure ----+
 *                       v                                                                    |
 *     loading --> waiting ---- timer, or "source run" ----> running ----> ended -------------+
 *        |           ^  |                                      |
 *        |           |  +-- "source accept" (a run that waits) +
 *        |           +-- may not sign yet: look again soon
 *        +-- the state of the last runs, from feeds.db
 *
 * A reload keeps what runs; a source that went away ends its run and then itself.
 */
#include "daemon/source/sources.h"
#include "daemon/log.h"
#include "daemon/source/source_run_parts.h"
#include "daemon/sync/sync.h"
#include "protocol/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jobs that may wait for the source thread: one run a source, and loading. */
#define THINKER_QUEUE_MAX 256
/* The first runs after a start spread over this, so that ten sources do not begin at once. */
#define START_SPREAD_MS 5000
/* First wait after a failure; doubled up to the interval. */
#define FAILURE_WAIT_MS 60000
/* While signing waits for the own-head guard. */
#define GUARD_WAIT_MS 5000

struct source {
    struct sources *sources;
    char *name;
    uv_timer_t timer;
    struct source_run *run;
    cJSON *state; /* of the last runs; NULL until loaded */
    bool loaded, leaving;
    enum run_mode mode;
    int64_t next_ms;    /* wall clock; 0: none */
    sources_done *done; /* whoever asked for the run */
    void *context;
    struct source *next;
};

struct sources {
    struct node *node;
    struct worker *thinker;
    struct source_thinker thinking;
    struct source *list;
    size_t closing; /* sources whose timers close */
    bool stopping;
    void (*stopped)(void *context);
    void *stopped_context;
};

static void schedule(struct source *source, int64_t wait_ms);

/* ---- the end of sources ---- */

static void finish_stop(struct sources *sources)
{
    void (*stopped)(void *) = sources->stopped;
    void *context = sources->stopped_context;
    worker_stop(sources->thinker);
    source_thinker_close(&sources->thinking);
    free(sources);
    stopped(context);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct source *source = handle->data;
    struct sources *sources = source->sources;
    cJSON_Delete(source->state);
    free(source->name);
    free(source);
    sources->closing--;
    if (sources->stopping && sources->list == NULL && sources->closing == 0)
        finish_stop(sources);
}

/* Takes it off the list; its memory goes when its timer is closed. */
static void remove_source(struct source *source)
{
    struct source **link = &source->sources->list;
    while (*link != source)
        link = &(*link)->next;
    *link = source->next;
    source->sources->closing++;
    uv_close((uv_handle_t *)&source->timer, on_timer_closed);
}

static void leave(struct source *source)
{
    source->leaving = true;
    uv_timer_stop(&source->timer);
    if (source->run != NULL)
        source_run_cancel(source->run);
    else if (source->loaded)
        remove_source(source);
}

/* ---- schedule ---- */

static const struct config_source *configuration_of(const struct source *source)
{
    return config_source(source->sources->node->config, source->name);
}

static int64_t number_in(const cJSON *state, const char *name)
{
    const cJSON *value = json_get(state, name);
    return cJSON_IsNumber(value) ? (int64_t)value->valuedouble : 0;
}

static int64_t wait_after(const struct source *source, const struct run_outcome *outcome, int64_t every_ms)
{
    int64_t wait = retry_interval(every_ms, node_random32());
    if (outcome->failed) {
        unsigned failures = (unsigned)number_in(source->state, "failures");
        int64_t sooner =
            retry_backoff(failures > 0 ? failures : 1, FAILURE_WAIT_MS, every_ms, node_random32());
        wait = sooner < wait ? sooner : wait;
    }
    if (outcome->retry_after_ms > wait)
        wait = outcome->retry_after_ms < RETRY_AFTER_MAX_MS ? outcome->retry_after_ms : RETRY_AFTER_MAX_MS;
    return wait;
}

static void on_ended(void *context, struct run_outcome *outcome)
{
    struct source *source = context;
    const struct config_source *configured = configuration_of(source);
    bool dry = source->mode == RUN_DRY;
    source->run = NULL;
    if (outcome->state != NULL) {
        cJSON_Delete(source->state);
        source->state = outcome->state;
        outcome->state = NULL;
    }
    if (source->done != NULL)
        source->done(source->context, outcome->report);
    source->done = NULL;
    if (source->leaving) {
        remove_source(source);
        return;
    }
    if (configured == NULL || configured->every_ms <= 0)
        return;
    if (dry || source->mode == RUN_ACCEPT) { /* as it was */
        int64_t left = source->next_ms - node_now_ms();
        schedule(source, left > 0 ? left : 0);
        return;
    }
    schedule(source, wait_after(source, outcome, configured->every_ms));
}

static int start_run(struct source *source, enum run_mode mode)
{
    struct sources *sources = source->sources;
    struct source_settings *settings = NULL;
    const struct config_source *configured = configuration_of(source);
    int code = configured != NULL ? source_settings_copy(sources->node->config, configured, &settings)
                                  : KAART_UNKNOWN;
    uv_timer_stop(&source->timer);
    source->mode = mode;
    if (code == KAART_OK)
        code = source_run_start(sources->node, sources->thinker, settings, source->state, mode, on_ended,
                                source, &source->run);
    return code;
}

static void on_timer(uv_timer_t *timer)
{
    struct source *source = timer->data;
    const struct config_source *configured = configuration_of(source);
    const struct node *node = source->sources->node;
    const char *reason = NULL;
    if (configured == NULL || source->run != NULL)
        return;
    const struct config_feed *feed = config_feed(node->config, configured->feed);
    if (feed != NULL && node->sync != NULL && !sync_may_sign(node->sync, feed->name, &reason)) {
        schedule(source, GUARD_WAIT_MS); /* what it finds could not be said yet */
        return;
    }
    int code = start_run(source, RUN_WRITE);
    if (code != KAART_OK) {
        log_error("source", "%s: cannot run: %s", source->name, kaart_strerror(code));
        schedule(source, retry_interval(configured->every_ms, node_random32()));
    }
}

static void schedule(struct source *source, int64_t wait_ms)
{
    source->next_ms = node_now_ms() + wait_ms;
    uv_timer_start(&source->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* The first time: when the last run's interval is over, or soon. */
static void schedule_first(struct source *source)
{
    const struct config_source *configured = configuration_of(source);
    if (configured == NULL || configured->every_ms <= 0)
        return;
    int64_t last = number_in(source->state, "lastRun");
    int64_t due = last > 0 ? last + retry_interval(configured->every_ms, node_random32()) - node_now_ms() : 0;
    int64_t soon = retry_spread(START_SPREAD_MS, node_random32());
    if (due > configured->every_ms * 2) /* the clock was set back */
        due = soon;
    schedule(source, due > soon ? due : soon);
}

/* ---- loading ---- */

struct loading {
    struct source *source;
    char key[64];
    char *feeds_path;
    char *value;
    int code;
    struct fault fault;
};

static void load_state(void *state, void *job)
{
    struct source_thinker *thinker = state;
    struct loading *loading = job;
    loading->code = KAART_OK;
    if (thinker->feeds == NULL)
        loading->code = feeds_open(loading->feeds_path, false, NULL, &thinker->feeds, &loading->fault);
    if (loading->code == KAART_OK)
        loading->code = feeds_get_value(thinker->feeds, loading->key, &loading->value, &loading->fault);
}

static void state_loaded(void *job)
{
    struct loading *loading = job;
    struct source *source = loading->source;
    source->loaded = true;
    if (loading->code == KAART_OK)
        source->state = cJSON_Parse(loading->value);
    else if (loading->code != KAART_UNKNOWN)
        log_error("source", "%s: the state of the last runs cannot be read: %s", source->name,
                  loading->fault.text);
    free(loading->value);
    free(loading->feeds_path);
    free(loading);
    if (source->leaving)
        remove_source(source);
    else
        schedule_first(source);
}

static int load(struct source *source)
{
    struct sources *sources = source->sources;
    struct loading *loading = calloc(1, sizeof(*loading));
    if (loading == NULL)
        return KAART_NOMEM;
    loading->source = source;
    source_state_key(source->name, loading->key);
    int code = asprintf(&loading->feeds_path, "%s/feeds.db", sources->node->config->node.state) > 0
                   ? KAART_OK
                   : KAART_NOMEM;
    if (code == KAART_OK)
        code = worker_post(sources->thinker, load_state, state_loaded, loading);
    if (code != KAART_OK) {
        free(loading->feeds_path);
        free(loading);
    }
    return code;
}

static int add_source(struct sources *sources, const char *name)
{
    struct source *source = calloc(1, sizeof(*source));
    if (source == NULL || (source->name = strdup(name)) == NULL) {
        free(source);
        return KAART_NOMEM;
    }
    source->sources = sources;
    uv_timer_init(sources->node->loop, &source->timer);
    source->timer.data = source;
    struct source **link = &sources->list;
    while (*link != NULL)
        link = &(*link)->next;
    *link = source;
    int code = load(source);
    if (code != KAART_OK)
        remove_source(source);
    return code;
}

/* ---- from outside ---- */

static struct source *find(const struct sources *sources, const char *name)
{
    for (struct source *source = sources->list; source != NULL; source = source->next) {
        if (!source->leaving && strcmp(source->name, name) == 0)
            return source;
    }
    return NULL;
}

static int add_configured(struct sources *sources)
{
    const struct config *config = sources->node->config;
    for (size_t i = 0; i < config->source_count; i++) {
        int code = find(sources, config->sources[i].name) == NULL
                       ? add_source(sources, config->sources[i].name)
                       : KAART_OK;
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

int sources_start(struct node *node, struct sources **out)
{
    struct sources *sources = calloc(1, sizeof(*sources));
    *out = NULL;
    if (sources == NULL)
        return KAART_NOMEM;
    sources->node = node;
    int code = worker_start(node->loop, "source", THINKER_QUEUE_MAX, &sources->thinking, &sources->thinker);
    if (code != KAART_OK) {
        free(sources);
        return code;
    }
    *out = sources;
    code = add_configured(sources);
    if (code != KAART_OK)
        log_error("source", "some sources could not be set up: %s", kaart_strerror(code));
    return KAART_OK;
}

void sources_reload(struct sources *sources)
{
    struct source *next = NULL;
    for (struct source *source = sources->list; source != NULL; source = next) {
        next = source->next;
        if (source->leaving)
            continue;
        if (configuration_of(source) == NULL)
            leave(source);
        else if (source->loaded && source->run == NULL)
            schedule_first(source); /* the interval may have changed */
    }
    if (add_configured(sources) != KAART_OK)
        log_error("source", "a new source could not be set up");
}

void sources_stop(struct sources *sources, void (*stopped)(void *context), void *context)
{
    struct source *next = NULL;
    sources->stopping = true;
    sources->stopped = stopped;
    sources->stopped_context = context;
    if (sources->list == NULL && sources->closing == 0) {
        finish_stop(sources);
        return;
    }
    for (struct source *source = sources->list; source != NULL; source = next) {
        next = source->next;
        if (!source->leaving)
            leave(source);
    }
}

int sources_run(struct sources *sources, const char *name, bool dry_run, sources_done *done, void *context)
{
    struct source *source = find(sources, name);
    if (source == NULL)
        return KAART_UNKNOWN;
    if (source->run != NULL || !source->loaded)
        return KAART_BUSY;
    int code = start_run(source, dry_run ? RUN_DRY : RUN_WRITE);
    if (code != KAART_OK)
        return code;
    source->done = done;
    source->context = context;
    return KAART_OK;
}

int sources_accept(struct sources *sources, const char *name, int64_t run, sources_done *done, void *context,
                   struct fault *fault)
{
    struct source *source = find(sources, name);
    if (source == NULL)
        return fault_set(fault, KAART_UNKNOWN, "there is no source %.40s", name);
    if (source->run != NULL || !source->loaded)
        return fault_set(fault, KAART_BUSY, "source %s is running: try again when it is done", source->name);
    const cJSON *waiting = json_get(source->state, "waiting");
    if (!cJSON_IsObject(waiting))
        return fault_set(fault, KAART_UNKNOWN, "no run of source %s waits to be accepted", source->name);
    if (number_in(waiting, "run") != run)
        return fault_set(fault, KAART_UNKNOWN, "run %lld of source %s does not wait; run %lld does",
                         (long long)run, source->name, (long long)number_in(waiting, "run"));
    int code = start_run(source, RUN_ACCEPT);
    if (code != KAART_OK)
        return fault_set(fault, code, "source %s cannot run: %s", source->name, kaart_strerror(code));
    source->done = done;
    source->context = context;
    return KAART_OK;
}

/* ---- status ---- */

static const char *state_name(const struct source *source)
{
    const cJSON *last = cJSON_GetArrayItem(json_get(source->state, "history"), 0);
    if (source->run != NULL)
        return "running";
    if (cJSON_IsObject(json_get(source->state, "waiting")))
        return "waiting";
    const char *ended = json_get_string(last, "state");
    return ended != NULL ? ended : "never run";
}

static void add_copy(cJSON *to, const char *name, const cJSON *value)
{
    cJSON_AddItemToObject(to, name, value != NULL ? cJSON_Duplicate(value, true) : cJSON_CreateNull());
}

static void add_moment(cJSON *to, const char *name, int64_t instant_ms)
{
    cJSON_AddItemToObject(to, name, instant_ms > 0 ? run_instant(instant_ms) : cJSON_CreateNull());
}

static cJSON *status_of(const struct source *source)
{
    cJSON *status = cJSON_CreateObject();
    const struct config_source *configured = configuration_of(source);
    const cJSON *waiting = json_get(source->state, "waiting");
    const cJSON *missing = json_get(source->state, "missing");
    bool waiting_by_fuse = number_in(waiting, "held") > 0;
    cJSON_AddStringToObject(status, "source", source->name);
    cJSON_AddStringToObject(status, "type", configured != NULL ? configured->type : "");
    cJSON_AddStringToObject(status, "url",
                            configured != NULL && configured->url != NULL ? configured->url : "");
    cJSON_AddStringToObject(status, "feed", configured != NULL ? configured->feed : "");
    cJSON_AddStringToObject(status, "role", configured != NULL ? configured->role : "");
    cJSON_AddStringToObject(status, "state", state_name(source));
    add_copy(status, "lastRun", cJSON_GetArrayItem(json_get(source->state, "history"), 0));
    add_moment(status, "lastSuccess", number_in(source->state, "lastSuccess"));
    add_moment(status, "nextRun", source->run == NULL ? source->next_ms : 0);
    cJSON_AddNumberToObject(status, "failures", (double)number_in(source->state, "failures"));
    cJSON_AddItemToObject(status, "missing",
                          missing != NULL ? cJSON_Duplicate(missing, true) : cJSON_CreateArray());
    cJSON_AddNumberToObject(status, "missingCount", (double)number_in(source->state, "missingCount"));
    add_copy(status, "waiting", cJSON_IsObject(waiting) ? json_get(waiting, "run") : NULL);
    add_copy(status, "waitingReason", cJSON_IsObject(waiting) ? json_get(waiting, "reason") : NULL);
    add_copy(status, "held", cJSON_IsObject(waiting) ? json_get(waiting, "held") : NULL);
    add_copy(status, "fuse", waiting_by_fuse ? waiting : NULL);
    add_copy(status, "runs", json_get(source->state, "history"));
    return status;
}

cJSON *sources_status(const struct sources *sources)
{
    cJSON *list = cJSON_CreateArray();
    for (const struct source *source = sources->list; list != NULL && source != NULL; source = source->next) {
        if (!source->leaving)
            cJSON_AddItemToArray(list, status_of(source));
    }
    return list;
}
