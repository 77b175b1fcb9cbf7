/*
 * source_run.c - the steps of one run, on the loop. Work goes to the source thread (t) and the writer (w),
 * one job at a time:
 *
 *     prepare(t) --> fetch --> open(t) --> map(t) <--> write(w) --+--> fetch (next page)
 *         |            |          |           |                   |
 *         | accept     | 304      | no        | half a list       | last page
 *         |            | failed   | listing   |                   v
 *         +------------+----------+-----------+--------------> settle(t) --> gone(t) <--> write(w) -->
 * save(w) --> ended
 *
 * What is listed is written as it comes, since additions and changes apply whatever happens to the rest of
 * the list. What is gone is settled at the end. The state is saved last, so that a crash before it makes the
 * next run look at everything again.
 */
#include "daemon/log.h"
#include "daemon/source/source_run_parts.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole run, waits and all: registers of 100,000 rows deliver in minutes. */
#define RUN_TIME_MAX_MS (60LL * 60 * 1000)
/* When a worker's queue is full. */
#define POST_AGAIN_MS 50

static void fetch(struct source_run *run);
static void map(struct source_run *run);
static void settle(struct source_run *run);
static void gone(struct source_run *run);
static void save(struct source_run *run);

/* ---- settings ---- */

static bool copy(char **to, const char *from)
{
    *to = from != NULL && from[0] != '\0' ? strdup(from) : NULL;
    return *to != NULL || from == NULL || from[0] == '\0';
}

static char *areas_json(char *const *areas)
{
    cJSON *list = cJSON_CreateArray();
    for (; list != NULL && *areas != NULL; areas++)
        cJSON_AddItemToArray(list, cJSON_CreateString(*areas));
    char *text = list != NULL ? cJSON_PrintUnformatted(list) : NULL;
    cJSON_Delete(list);
    return text;
}

static bool copy_pins(struct source_settings *settings, char *const *pins)
{
    size_t count = 0;
    while (pins != NULL && pins[count] != NULL)
        count++;
    settings->tls_pins = calloc(count + 1, sizeof(*settings->tls_pins));
    for (size_t i = 0; settings->tls_pins != NULL && i < count; i++) {
        if (!copy(&settings->tls_pins[i], pins[i]))
            return false;
    }
    return settings->tls_pins != NULL;
}

static bool copy_texts(struct source_settings *settings, const struct config *config,
                       const struct config_source *source, const struct config_feed *feed)
{
    const struct config_node *node = &config->node;
    settings->areas = areas_json(source->areas);
    return settings->areas != NULL && copy(&settings->name, source->name) &&
           copy(&settings->type, source->type) && copy(&settings->url, source->url) &&
           copy(&settings->mapping, source->mapping) && copy(&settings->role, source->role) &&
           copy(&settings->token_file, source->token_file) &&
           copy(&settings->tls_ca_file, source->tls_ca_file) && copy(&settings->feed, feed->name) &&
           copy(&settings->audience, feed->audience) && copy(&settings->origin, node->name) &&
           copy(&settings->proxy, node->proxy) &&
           copy(&settings->client_certificate, node->client_certificate) &&
           copy(&settings->client_key, node->client_key) && copy_pins(settings, source->tls_pins) &&
           asprintf(&settings->feeds_path, "%s/feeds.db", node->state) > 0;
}

int source_settings_copy(const struct config *config, const struct config_source *source,
                         struct source_settings **out)
{
    const struct config_feed *feed = config_feed(config, source->feed);
    struct source_settings *settings = calloc(1, sizeof(*settings));
    *out = NULL;
    if (feed == NULL || settings == NULL) {
        free(settings);
        return feed == NULL ? KAART_UNKNOWN : KAART_NOMEM;
    }
    settings->allow_plain_http = config->node.allow_plain_http;
    settings->every_ms = source->every_ms;
    settings->missing_for_ms = source->missing_for_ms;
    settings->missing_runs = source->missing_runs;
    settings->fuse_percent = source->fuse_percent;
    settings->fuse_rows = source->fuse_rows;
    settings->max_size_bytes = source->max_size_bytes;
    settings->keys[settings->key_count++] = feed->key;
    if (feed->next_key_path != NULL)
        settings->keys[settings->key_count++] = feed->next_key;
    if (!copy_texts(settings, config, source, feed)) {
        source_settings_free(settings);
        return KAART_NOMEM;
    }
    *out = settings;
    return KAART_OK;
}

void source_settings_free(struct source_settings *settings)
{
    if (settings == NULL)
        return;
    char *texts[] = {settings->name,
                     settings->type,
                     settings->url,
                     settings->mapping,
                     settings->role,
                     settings->token_file,
                     settings->tls_ca_file,
                     settings->feed,
                     settings->audience,
                     settings->origin,
                     settings->areas,
                     settings->proxy,
                     settings->client_certificate,
                     settings->client_key,
                     settings->feeds_path};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    for (size_t i = 0; settings->tls_pins != NULL && settings->tls_pins[i] != NULL; i++)
        free(settings->tls_pins[i]);
    free(settings->tls_pins);
    for (size_t i = 0; i < settings->key_count; i++)
        signing_key_wipe(&settings->keys[i]);
    free(settings);
}

/* ---- beginning and end ---- */

static void free_run(struct source_run *run)
{
    run_clear_claims(run);
    free(run->claims);
    if (run->token != NULL)
        OPENSSL_cleanse(run->token, strlen(run->token));
    OPENSSL_cleanse(run->secret, sizeof(run->secret));
    free(run->token);
    free(run->text);
    free(run->content_type);
    free(run->link);
    free(run->etag);
    free(run->last_modified);
    free(run->held);
    diff_verdict_clear(&run->verdict);
    source_diff_free(run->diff);
    mapping_output_clear(&run->output);
    mapping_free(run->mapping);
    cJSON_Delete(run->problems);
    cJSON_Delete(run->records);
    cJSON_Delete(run->excepted);
    cJSON_Delete(run->missing);
    cJSON_Delete(run->state);
    source_settings_free(run->settings);
    free(run);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_run(handle->data);
}

/* Logs hold counts and reasons, not what the rows say. */
static void log_end(const struct source_run *run)
{
    const struct run_counts *counts = &run->counts;
    if (run->mode == RUN_DRY)
        return;
    if (run->end == END_FAILED || run->end == END_BROKEN || run->end == END_TRIPPED)
        log_warning("source", "%s: run %lld: %s: %s", run->settings->name, (long long)run->number,
                    run->end == END_FAILED ? "failed" : "nothing is retracted, waiting for \"source accept\"",
                    run->fault.text);
    log_info("source",
             "%s: run %lld: rows=%zu added=%zu changed=%zu returned=%zu unchanged=%zu missing=%zu "
             "retracted=%zu errors=%zu",
             run->settings->name, (long long)run->number, counts->rows, counts->added, counts->changed,
             counts->returned, counts->unchanged, counts->missing, counts->retracted, counts->errors);
}

static void finish(struct source_run *run, cJSON *report)
{
    bool kept = run->mode != RUN_DRY && run->end != END_CANCELLED;
    struct run_outcome outcome = {
        .report = report,
        .state = kept ? run->state : NULL,
        .failed = run->end == END_FAILED || run->end == END_BROKEN,
        .retry_after_ms = run->retry_after_ms,
    };
    if (kept)
        run->state = NULL;
    log_end(run);
    if (run->wrote)
        node_feed_changed(run->node, run->settings->feed);
    run->ended(run->context, &outcome);
    cJSON_Delete(report);
    cJSON_Delete(outcome.state);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

static void finish_cancelled(struct source_run *run)
{
    run->end = END_CANCELLED;
    fault_set(&run->fault, KAART_IO, "the run was ended");
    run->finished_ms = node_now_ms();
    finish(run, run_report(run));
}

/* ---- jobs ---- */

static void post_again(uv_timer_t *timer);

static void post(struct source_run *run, struct worker *worker, void (*job)(void *, void *),
                 void (*done)(void *))
{
    run->posted_to = worker;
    run->posted_run = job;
    run->posted_done = done;
    if (worker_post(worker, job, done, run) != KAART_OK)
        uv_timer_start(&run->timer, post_again, POST_AGAIN_MS, 0);
}

static void post_again(uv_timer_t *timer)
{
    struct source_run *run = timer->data;
    if (run->cancelled)
        finish_cancelled(run);
    else
        post(run, run->posted_to, run->posted_run, run->posted_done);
}

/* Ends the listing for a reason that is in run->fault, and goes on with what is certain. */
static void end_listing(struct source_run *run, enum run_end end)
{
    run->end = end;
    settle(run);
}

/* A foreign answer that makes no sense is broken; anything else is our failure. */
static enum run_end end_of(int code)
{
    return code == KAART_INVALID || code == KAART_SYNTAX || code == KAART_LIMIT ? END_BROKEN : END_FAILED;
}

/* ---- writing ---- */

static void write_claims(void *state, void *job)
{
    struct feeds *feeds = state;
    struct source_run *run = job;
    struct fault fault = {""}; /* run->fault may hold why the listing ends */
    struct own_claim *claims = calloc(BATCH_ENTRIES_MAX, sizeof(*claims));
    struct own_result *results = calloc(BATCH_ENTRIES_MAX, sizeof(*results));
    run->code =
        claims != NULL && results != NULL ? KAART_OK : fault_set(&run->fault, KAART_NOMEM, "out of memory");
    for (size_t first = 0; first < run->claim_count && run->code == KAART_OK; first += BATCH_ENTRIES_MAX) {
        size_t count =
            run->claim_count - first < BATCH_ENTRIES_MAX ? run->claim_count - first : BATCH_ENTRIES_MAX;
        for (size_t i = 0; i < count; i++)
            claims[i] = run->claims[first + i].claim;
        run->code = feeds_append(feeds, run->settings->feed, run->settings->keys, run->settings->key_count,
                                 node_now_ms(), claims, count, false, results, &fault);
        for (size_t i = 0; i < count && run->code == KAART_OK; i++) {
            struct run_claim *claim = &run->claims[first + i];
            claim->outcome = results[i].outcome;
            if (claim->outcome == OWN_REFUSED)
                run_problem(run, false, claim->row, claim->claim.kind, results[i].fault.text);
        }
    }
    if (fault.text[0] != '\0' && run->code != KAART_OK)
        run->fault = fault;
    free(claims);
    free(results);
}

/* What follows when the claims of a slice are written. */
static void after_write(struct source_run *run)
{
    run_count_claims(run);
    run_clear_claims(run);
    if (run->end != END_OPEN && run->settled)
        save(run);
    else if (run->end != END_OPEN)
        gone(run);
    else if (run->slice_code != KAART_OK) /* the slice ended with it */
        end_listing(run, end_of(run->slice_code));
    else if (!run->page_done)
        map(run);
    else if (run->next_url[0] == '\0')
        end_listing(run, END_OK);
    else
        fetch(run);
}

static void written(void *job)
{
    struct source_run *run = job;
    if (run->code != KAART_OK) { /* what was not written is found again by the next run */
        run->end = END_FAILED;
        run_clear_claims(run);
        save(run);
    } else if (run->cancelled) {
        run_count_claims(run);
        finish_cancelled(run);
    } else {
        after_write(run);
    }
}

static void write_slice(struct source_run *run)
{
    if (run->claim_count == 0 || run->mode == RUN_DRY)
        after_write(run);
    else
        post(run, run->node->writer, write_claims, written);
}

/* ---- what is gone ---- */

static void gone_done(void *job)
{
    struct source_run *run = job;
    if (run->cancelled) {
        finish_cancelled(run);
        return;
    }
    if (run->code != KAART_OK) {
        run->end = END_FAILED;
        run_clear_claims(run);
        save(run);
        return;
    }
    write_slice(run);
}

static void gone(struct source_run *run)
{
    post(run, run->thinker, think_gone, gone_done);
}

static void settled(void *job)
{
    struct source_run *run = job;
    if (run->cancelled) {
        finish_cancelled(run);
        return;
    }
    if (run->code != KAART_OK)
        run->end = END_FAILED;
    gone(run);
}

static void settle(struct source_run *run)
{
    post(run, run->thinker, think_settle, settled);
}

/* ---- rows ---- */

static void mapped(void *job)
{
    struct source_run *run = job;
    if (run->cancelled) {
        finish_cancelled(run);
        return;
    }
    run->slice_code = run->code;
    write_slice(run);
}

static void map(struct source_run *run)
{
    post(run, run->thinker, think_map, mapped);
}

static void opened(void *job)
{
    struct source_run *run = job;
    if (run->cancelled)
        finish_cancelled(run);
    else if (run->code != KAART_OK)
        end_listing(run, end_of(run->code));
    else if (run->end == END_NOT_MODIFIED)
        settle(run);
    else
        map(run);
}

/* ---- pages ---- */

/* A header's value for as long as the page is at hand; a missing one is NULL, and so is one when memory is
 * short. */
static void keep(char **to, const char *from)
{
    free(*to);
    *to = from != NULL ? strdup(from) : NULL;
}

static void take_page(struct source_run *run, struct page_answer *answer)
{
    free(run->text);
    run->text = answer->text;
    run->size = answer->size;
    answer->text = NULL;
    run->received_bytes += run->size;
    keep(&run->content_type, answer->content_type);
    keep(&run->link, answer->link);
    if (run->counts.pages == 0) {
        keep(&run->etag, answer->etag);
        keep(&run->last_modified, answer->last_modified);
    }
    if (run->text == NULL) { /* an empty body */
        run->text = strdup("");
        run->size = 0;
    }
    post(run, run->thinker, think_open, opened);
}

static bool nothing_was_missing(const struct source_run *run)
{
    const cJSON *count = json_get(run->state, "missingCount");
    return cJSON_IsNumber(count) && count->valuedouble == 0;
}

static void fetched(void *context, struct page_answer *answer)
{
    struct source_run *run = context;
    run->fetch = NULL;
    if (answer->outcome == PAGE_CAME) {
        take_page(run, answer);
        return;
    }
    if (answer->outcome == PAGE_NOT_MODIFIED && run->conditional) {
        run->end = END_NOT_MODIFIED;
        if (nothing_was_missing(run))
            settle(run);
        else
            post(run, run->thinker, think_open, opened); /* what is missing may be due */
        return;
    }
    run->retry_after_ms = answer->retry_after_ms;
    if (answer->outcome == PAGE_NOT_MODIFIED)
        fault_set(&run->fault, KAART_IO,
                  "the register answers 304, though it was not asked whether anything changed");
    else
        fault_set(&run->fault, KAART_IO, "%s", answer->fault.text);
    end_listing(run, END_FAILED);
}

/* Whether it may be asked if anything changed: what is known stems from the same mapping, url, role and
 * areas. */
static bool may_ask_conditionally(const struct source_run *run)
{
    const char *fingerprint = json_get_string(run->state, "fingerprint");
    return run->mode == RUN_WRITE && run->counts.pages == 0 && fingerprint != NULL &&
           strcmp(fingerprint, run->fingerprint) == 0;
}

static void fetch(struct source_run *run)
{
    const struct source_settings *settings = run->settings;
    int64_t left_ms = run->started_ms + RUN_TIME_MAX_MS - node_now_ms();
    if (run->counts.pages > 0)
        memcpy(run->url, run->next_url, sizeof(run->url));
    free(run->text); /* done with */
    run->text = NULL;
    if (left_ms <= 0 || run->received_bytes >= settings->max_size_bytes) {
        if (left_ms <= 0)
            fault_set(&run->fault, KAART_LIMIT, "the run takes longer than an hour");
        else
            fault_set(&run->fault, KAART_LIMIT, "the list is larger than max-size allows (%llu bytes)",
                      (unsigned long long)settings->max_size_bytes);
        end_listing(run, END_FAILED);
        return;
    }
    run->conditional = may_ask_conditionally(run);
    struct page_request request = {
        .url = run->url,
        .token = run->token,
        .token_header = mapping_listing(run->mapping)->token_header,
        .headers = mapping_listing(run->mapping)->headers,
        .etag = run->conditional ? json_get_string(run->state, "etag") : NULL,
        .last_modified = run->conditional ? json_get_string(run->state, "lastModified") : NULL,
        .tls_pins = settings->tls_pins[0] != NULL ? (const char *const *)settings->tls_pins : NULL,
        .tls_ca_file = settings->tls_ca_file,
        .client_certificate = settings->client_certificate,
        .client_key = settings->client_key,
        .proxy = settings->proxy,
        .allow_plain_http = settings->allow_plain_http,
        .size_max = settings->max_size_bytes - run->received_bytes,
        .time_max_ms = (uint64_t)left_ms,
    };
    run->conditional = request.etag != NULL || request.last_modified != NULL;
    if (page_fetch_start(run->node->loop, run->node->client, &request, fetched, run, &run->fetch,
                         &run->fault) != KAART_OK)
        end_listing(run, END_FAILED);
}

/* ---- the first step ---- */

static void keep_secret(void *state, void *job)
{
    struct feeds *feeds = state;
    struct source_run *run = job;
    char *other = NULL, text[65];
    int code = feeds_get_value(feeds, SOURCE_SECRET_KEY, &other,
                               &run->fault); /* another source may have been faster */
    if (code == KAART_OK) {
        code = hex_decode(other, strlen(other), run->secret, sizeof(run->secret));
    } else if (code == KAART_UNKNOWN) {
        hex_encode(run->secret, sizeof(run->secret), text);
        code = feeds_set_value(feeds, SOURCE_SECRET_KEY, text, &run->fault);
        OPENSSL_cleanse(text, sizeof(text));
    }
    free(other);
    run->code = code;
}

static void first_page(struct source_run *run)
{
    int code = page_first_url(run->settings->url, mapping_listing(run->mapping), run->url, &run->fault);
    if (code != KAART_OK)
        end_listing(run, END_FAILED);
    else
        fetch(run);
}

static void secret_kept(void *job)
{
    struct source_run *run = job;
    if (run->cancelled)
        finish_cancelled(run);
    else if (run->code != KAART_OK)
        end_listing(run, END_FAILED);
    else
        first_page(run);
}

static void prepared(void *job)
{
    struct source_run *run = job;
    if (run->cancelled)
        finish_cancelled(run);
    else if (run->code != KAART_OK)
        end_listing(run, END_FAILED);
    else if (run->mode == RUN_ACCEPT)
        end_listing(run, END_ACCEPTED);
    else if (run->secret_is_new && run->mode == RUN_WRITE)
        post(run, run->node->writer, keep_secret, secret_kept);
    else
        first_page(run);
}

/* ---- the last step ---- */

static void write_state(void *state, void *job)
{
    struct feeds *feeds = state;
    struct source_run *run = job;
    char key[64];
    char *text = cJSON_PrintUnformatted(run->state);
    source_held_key(run->settings->name, key);
    run->code = text != NULL ? KAART_OK : fault_set(&run->fault, KAART_NOMEM, "out of memory");
    if (run->code == KAART_OK && run->held_changed)
        run->code = feeds_set_value(feeds, key, run->held, &run->fault);
    source_state_key(run->settings->name, key);
    if (run->code == KAART_OK)
        run->code = feeds_set_value(feeds, key, text, &run->fault);
    free(text);
}

static void saved(void *job)
{
    struct source_run *run = job;
    if (run->code != KAART_OK)
        log_error("source", "%s: run %lld: its state could not be kept: %s", run->settings->name,
                  (long long)run->number, run->fault.text);
    finish(run, run->report);
}

static void save(struct source_run *run)
{
    run->finished_ms = node_now_ms();
    if (run->mode == RUN_DRY) {
        finish(run, run_report(run));
        return;
    }
    run_update_state(run);
    run->report = run_report(run);
    run_keep_report(run, run->report);
    post(run, run->node->writer, write_state, saved);
}

/* ---- from outside ---- */

static int64_t number_of(const struct source_run *run)
{
    const cJSON *last = json_get(run->state, "runs");
    if (run->mode == RUN_ACCEPT)
        last = json_get(json_get(run->state, "waiting"), "run");
    int64_t number = cJSON_IsNumber(last) ? (int64_t)last->valuedouble : 0;
    return run->mode == RUN_ACCEPT ? number : number + 1;
}

int source_run_start(struct node *node, struct worker *thinker, struct source_settings *settings,
                     const cJSON *state, enum run_mode mode, source_run_ended *ended, void *context,
                     struct source_run **out)
{
    struct source_run *run = calloc(1, sizeof(*run));
    *out = NULL;
    if (run == NULL) {
        source_settings_free(settings);
        return KAART_NOMEM;
    }
    run->node = node;
    run->thinker = thinker;
    run->settings = settings;
    run->mode = mode;
    run->ended = ended;
    run->context = context;
    run->retry_after_ms = -1;
    run->started_ms = node_now_ms();
    run->state = state != NULL ? cJSON_Duplicate(state, true) : cJSON_CreateObject();
    run->problems = cJSON_CreateArray();
    run->records = cJSON_CreateArray();
    run->excepted = cJSON_CreateArray();
    if (run->state == NULL || run->problems == NULL || run->records == NULL || run->excepted == NULL) {
        free_run(run);
        return KAART_NOMEM;
    }
    run->number = number_of(run);
    uv_timer_init(node->loop, &run->timer);
    run->timer.data = run;
    *out = run;
    post(run, thinker, think_prepare, prepared);
    return KAART_OK;
}

static void on_cancelled(uv_timer_t *timer)
{
    finish_cancelled(timer->data);
}

void source_run_cancel(struct source_run *run)
{
    if (run->cancelled)
        return;
    run->cancelled = true;
    if (run->fetch != NULL) { /* otherwise a job is out, whose end sees it */
        page_fetch_cancel(run->fetch);
        run->fetch = NULL;
        uv_timer_start(&run->timer, on_cancelled, 0, 0);
    }
}
