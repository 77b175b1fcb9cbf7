/*
 * fetch_transfer.c - one feed from one node into a store, with blocking libcurl.
 *
 *     checkpoint --compare with what is held--+--> same, behind: done
 *                                             +--> newer: delta from the held size ---fails the proof---+
 *                                             +--> nothing held, higher epoch, below the floor: full <--+
 *                                             +--> fork: refused
 */
#include "daemon/ctl/fetch.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

/* One response: pages are PAGE_SIZE_MAX, but another implementation may cut them larger. */
#define RESPONSE_SIZE_MAX (64LL * 1024 * 1024)
/* An epoch that changes while it is copied begins the copy again. */
#define ATTEMPTS_MAX 3
#define CONNECT_TIMEOUT_S 15L
#define IDLE_TIMEOUT_S 30L

struct transfer {
    struct feeds *feeds;
    const struct fetch_options *options;
    const char *feed;
    CURL *curl;
    struct fault *fault;
    /* the response that is under way */
    struct stage *stage; /* its body goes there, or to `note` */
    char note[NOTE_SIZE_MAX + 1];
    size_t note_size;
    curl_off_t received;
    int code;
};

static size_t take_body(char *bytes, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t size = one * count;
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return size;                        /* what a refusal says is not for programs */
    transfer->received += (curl_off_t)size; /* counted after decompression */
    if (transfer->received > RESPONSE_SIZE_MAX)
        transfer->code = fault_set(transfer->fault, KAART_LIMIT, "a response of more than %lld MiB",
                                   RESPONSE_SIZE_MAX >> 20);
    else if (transfer->stage)
        transfer->code = stage_write(transfer->stage, bytes, size, transfer->fault);
    else if (transfer->note_size + size > NOTE_SIZE_MAX)
        transfer->code =
            fault_set(transfer->fault, KAART_LIMIT, "a checkpoint of more than %d bytes", NOTE_SIZE_MAX);
    else
        memcpy(transfer->note + transfer->note_size, bytes, size);
    transfer->note_size += transfer->stage || transfer->code < 0 ? 0 : size;
    return transfer->code < 0 ? 0 : size;
}

static int set_up(struct transfer *transfer)
{
    char pin[128];
    const struct fetch_options *options = transfer->options;
    CURL *curl = transfer->curl = curl_easy_init();
    if (!curl)
        return KAART_NOMEM;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, options->allow_plain_http ? "http,https" : "https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, IDLE_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)RESPONSE_SIZE_MAX);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kaartctl/" KAARTD_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    if (options->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->ca_file);
    if (options->pin) {
        snprintf(pin, sizeof(pin), "sha256//%s", options->pin + strlen("sha256/"));
        curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pin);
        if (!options->ca_file) { /* the pin decides instead of the CAs, as in a peer's section */
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        }
    }
    return 0;
}

/* GET URL/v1/feeds/FEED/TAIL. */
static int get(struct transfer *transfer, const char *tail)
{
    char url[1024], problem[CURL_ERROR_SIZE] = "";
    size_t size = strlen(transfer->options->url);
    long status = 0;
    while (size > 0 && transfer->options->url[size - 1] == '/')
        size--;
    if (snprintf(url, sizeof(url), "%.*s/v1/feeds/%s/%s", (int)size, transfer->options->url, transfer->feed,
                 tail) >= (int)sizeof(url))
        return fault_set(transfer->fault, KAART_INVALID, "the URL is too long");
    transfer->note_size = 0;
    transfer->received = 0;
    transfer->code = 0;
    curl_easy_setopt(transfer->curl, CURLOPT_URL, url);
    curl_easy_setopt(transfer->curl, CURLOPT_ERRORBUFFER, problem);
    CURLcode code = curl_easy_perform(transfer->curl);
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->code < 0)
        return transfer->code;
    if (code != CURLE_OK)
        return fault_set(transfer->fault, KAART_IO, "%s: %s", url,
                         *problem ? problem : curl_easy_strerror(code));
    if (status == 404)
        return fault_set(
            transfer->fault, KAART_UNKNOWN,
            "the node does not show the feed %s (404): is the URL right, or is the feed restricted?",
            transfer->feed);
    if (status != 200)
        return fault_set(transfer->fault, KAART_IO, "%s: status %ld", url, status);
    return 0;
}

static int open_note(struct transfer *transfer, const char *note, size_t size, struct checkpoint *checkpoint)
{
    return checkpoint_open(note, size, transfer->feed, transfer->options->keys, transfer->options->key_count,
                           checkpoint, transfer->fault);
}

/* The responses of one plan, up to the checkpoint, and the switch. KAART_OVERTAKEN: the epoch changed meanwhile. */
static int run_plan(struct transfer *transfer, const struct stage_plan *plan)
{
    char tail[96];
    uint64_t since = plan->since;
    struct stage_progress progress = {0};
    struct checkpoint checkpoint;
    int code = stage_open(transfer->feeds, plan, &transfer->stage, &since, transfer->fault);
    while (code == 0 && !progress.complete) {
        snprintf(tail, sizeof(tail), "changes?epoch=%llu&since=%llu", (unsigned long long)plan->epoch,
                 (unsigned long long)since);
        code = get(transfer, tail);
        if (code == 0)
            code = stage_end_response(transfer->stage, &progress, transfer->fault);
        since = progress.next;
    }
    if (code == 0)
        code = open_note(transfer, progress.note, progress.note_size, &checkpoint);
    if (code == 0 && checkpoint.epoch != plan->epoch)
        code = fault_set(transfer->fault, KAART_OVERTAKEN, "a new epoch began while it was copied");
    struct stage *stage = transfer->stage;
    transfer->stage = NULL;
    if (code == 0)
        return stage_commit(stage, &checkpoint, progress.note, progress.note_size, transfer->fault);
    if (code == KAART_IO) /* the connection broke: the next run goes on here */
        stage_keep(stage);
    else
        stage_drop(stage);
    return code;
}

static int copy_full(struct transfer *transfer, const struct checkpoint *offered)
{
    struct stage_plan plan = {.feed = transfer->feed,
                              .source = "fetch",
                              .full = true,
                              .epoch = offered->epoch,
                              .entries_max = FULL_SYNC_FACTOR * offered->live + FULL_SYNC_SLACK};
    return run_plan(transfer, &plan);
}

/* Whether a full copy may do what a delta could not: the fault lies in what was sent, not in the way or the signature. */
static bool full_may_help(int code)
{
    return code == KAART_ROOT || code == KAART_ORDER || code == KAART_OVERTAKEN || code == KAART_LIMIT;
}

static int follow(struct transfer *transfer, const struct feed_head *held, const struct checkpoint *offered,
                  bool *behind)
{
    enum checkpoint_relation relation =
        held ? checkpoint_compare(&held->checkpoint, offered) : CHECKPOINT_FULL;
    struct stage_plan delta = {.feed = transfer->feed, .source = "fetch", .epoch = offered->epoch};
    int code = 0;
    switch (relation) {
    case CHECKPOINT_SAME:
        return 0;
    case CHECKPOINT_BEHIND:
        *behind = true;
        return 0;
    case CHECKPOINT_FORK:
        return fault_set(transfer->fault, KAART_FORK,
                         "%s: the origin signed two histories: position %llu of epoch %llu has two states; "
                         "ask its operator",
                         transfer->feed, (unsigned long long)offered->size,
                         (unsigned long long)offered->epoch);
    case CHECKPOINT_HEARTBEAT:
    case CHECKPOINT_NEWER:
        delta.since = held->checkpoint.size;
        delta.entries_max = offered->size - held->checkpoint.size + FULL_SYNC_SLACK;
        code = run_plan(transfer, &delta);
        return full_may_help(code) ? copy_full(transfer, offered) : code;
    case CHECKPOINT_FULL:
        return copy_full(transfer, offered);
    }
    return code;
}

int fetch_feed(struct feeds *feeds, const struct fetch_options *options, bool *behind, struct fault *fault)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    struct feed_head *held = calloc(1, sizeof(*held));
    struct checkpoint offered;
    int code = transfer && held ? 0 : KAART_NOMEM;
    *behind = false;
    if (code == 0) {
        *transfer = (struct transfer){
            .feeds = feeds, .options = options, .feed = options->keys[0].name, .fault = fault};
        code = set_up(transfer);
    }
    for (int attempt = 0; code == 0 && attempt < ATTEMPTS_MAX; attempt++) {
        int known = feeds_head(feeds, transfer->feed, held, fault);
        code = known == KAART_UNKNOWN ? 0 : known;
        if (code == 0)
            code = get(transfer, "checkpoint");
        if (code == 0)
            code = open_note(transfer, transfer->note, transfer->note_size, &offered);
        if (code == 0)
            code = follow(transfer, known == 0 && held->held ? held : NULL, &offered, behind);
        if (code != KAART_OVERTAKEN)
            break;
        code = attempt + 1 < ATTEMPTS_MAX ? 0 : code;
    }
    if (transfer)
        curl_easy_cleanup(transfer->curl);
    free(transfer);
    free(held);
    return code == KAART_NOMEM ? fault_set(fault, code, "out of memory") : code;
}
