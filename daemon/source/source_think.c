/*
 * source_think.c - the parts of a run that cost time, on the source thread: reading what was said before,
 * pages into rows, rows into claims, and what is gone. Between these jobs the loop fetches and the writer
 * writes; a slice of work is bounded, so that a run of 100,000 rows keeps little in memory and can be ended.
 */
#include "daemon/source/source_run_parts.h"
#include "protocol/identity.h"
#include "protocol/record.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries read in one go: the reading transaction is short. */
#define FORMER_PAGE 2000

static int no_memory(struct source_run *run)
{
    return fault_set(&run->fault, KAART_NOMEM, "out of memory");
}

/* ---- before the first request ---- */

static int open_thinker(struct source_thinker *thinker, struct source_run *run)
{
    if (thinker->hasher == NULL)
        thinker->hasher = hasher_new();
    if (thinker->hasher == NULL)
        return no_memory(run);
    if (thinker->feeds != NULL)
        return KAART_OK;
    return feeds_open(run->settings->feeds_path, false, NULL, &thinker->feeds, &run->fault);
}

void source_thinker_close(struct source_thinker *thinker)
{
    feeds_close(thinker->feeds);
    hasher_free(thinker->hasher);
    *thinker = (struct source_thinker){NULL, NULL};
}

static int read_file(const char *path, char **text, size_t *size, struct fault *fault)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fault_set(fault, KAART_IO, "mapping %s: %m", path);
    *text = malloc(MAPPING_SIZE_MAX + 2);
    *size = *text != NULL ? fread(*text, 1, MAPPING_SIZE_MAX + 1, file) : 0;
    bool failed = ferror(file) != 0;
    fclose(file);
    if (*text == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    (*text)[*size] = '\0';
    return failed ? fault_set(fault, KAART_IO, "mapping %s cannot be read", path) : KAART_OK;
}

/* What decides, besides the register, what a listing becomes: a 304 is worth something only if none of it
 * changed. */
static int take_fingerprint(struct source_thinker *thinker, struct source_run *run, const char *text,
                            size_t size)
{
    const struct source_settings *settings = run->settings;
    struct hash parts[2];
    char *rest = NULL;
    int length = asprintf(&rest, "%s\n%s\n%s\n%s\n%s", settings->url, settings->role, settings->feed,
                          settings->areas, KAARTD_VERSION);
    if (length < 0)
        return no_memory(run);
    int code = hasher_digest(thinker->hasher, text, size, &parts[0]);
    if (code == KAART_OK)
        code = hasher_digest(thinker->hasher, rest, (size_t)length, &parts[1]);
    if (code == KAART_OK)
        code = hasher_digest(thinker->hasher, parts, sizeof(parts), &parts[0]);
    if (code == KAART_OK)
        hex_encode(parts[0].bytes, HASH_SIZE, run->fingerprint);
    free(rest);
    return code == KAART_OK ? code : no_memory(run);
}

static int load_mapping(struct source_thinker *thinker, struct source_run *run)
{
    char *text = NULL;
    size_t size = 0;
    int code = read_file(run->settings->mapping, &text, &size, &run->fault);
    if (code == KAART_OK) {
        code = mapping_load(text, size, NULL, NULL, &run->mapping, &run->fault);
        if (code != KAART_OK)
            fault_prefix(&run->fault, "mapping %s", run->settings->mapping);
    }
    if (code == KAART_OK)
        code = take_fingerprint(thinker, run, text, size);
    free(text);
    return code;
}

/* The secret behind ids about persons: made once, kept with the feeds. */
static int load_secret(struct source_thinker *thinker, struct source_run *run)
{
    char *value = NULL;
    int code = feeds_get_value(thinker->feeds, SOURCE_SECRET_KEY, &value, &run->fault);
    if (code == KAART_OK && hex_decode(value, strlen(value), run->secret, sizeof(run->secret)) != KAART_OK)
        code =
            fault_set(&run->fault, KAART_CORRUPT, "the value %s in feeds.db is damaged", SOURCE_SECRET_KEY);
    free(value);
    if (code != KAART_UNKNOWN)
        return code;
    run->secret_is_new = true;
    if (RAND_bytes(run->secret, sizeof(run->secret)) != 1)
        return fault_set(&run->fault, KAART_IO, "no random numbers");
    return KAART_OK;
}

static int load_held(struct source_thinker *thinker, struct source_run *run)
{
    char key[64];
    source_held_key(run->settings->name, key);
    int code = feeds_get_value(thinker->feeds, key, &run->held, &run->fault);
    for (const char *p = run->held; p != NULL && *p != '\0'; p++)
        run->held_count += *p == '\n';
    return code == KAART_UNKNOWN ? KAART_OK : code;
}

/* What is accepted must be what the operator was told of. */
static int check_held(struct source_thinker *thinker, struct source_run *run)
{
    const char *told = json_get_string(json_get(run->state, "waiting"), "hash");
    const char *held = run->held != NULL ? run->held : "";
    char hex[2 * HASH_SIZE + 1] = "";
    struct hash hash;
    if (run->held_count > 0 && hasher_digest(thinker->hasher, held, strlen(held), &hash) == KAART_OK)
        hex_encode(hash.bytes, HASH_SIZE, hex);
    if (told == NULL || strcmp(told, hex) != 0)
        return fault_set(
            &run->fault, KAART_CORRUPT,
            "what waits is not what run %lld held back (a crash came in between): run the source again",
            (long long)run->number);
    return KAART_OK;
}

void think_prepare(void *state, void *job)
{
    struct source_thinker *thinker = state;
    struct source_run *run = job;
    run->code = open_thinker(thinker, run);
    if (run->code == KAART_OK)
        run->code = load_held(thinker, run);
    if (run->code == KAART_OK && run->mode == RUN_ACCEPT)
        run->code = check_held(thinker, run);
    if (run->code == KAART_OK && run->mode != RUN_ACCEPT)
        run->code = load_mapping(thinker, run);
    if (run->code == KAART_OK && run->mode != RUN_ACCEPT)
        run->code = load_secret(thinker, run);
    if (run->code == KAART_OK && run->mode != RUN_ACCEPT && run->settings->token_file != NULL) {
        run->code = config_read_secret(run->settings->token_file, &run->token, &run->fault);
        if (run->code != KAART_OK)
            fault_prefix(&run->fault, "token-file");
    }
}

/* ---- what was said before ---- */

struct former_walk {
    struct source_run *run;
    uint64_t next;
    size_t seen;
};

static int add_former(void *context, uint64_t seq, const struct hash *leaf, const char *line, size_t size)
{
    struct former_walk *walk = context;
    (void)leaf;
    walk->next = seq + 1;
    walk->seen++;
    return source_diff_former(walk->run->diff, line, size, &walk->run->fault);
}

static int load_former(struct source_thinker *thinker, struct source_run *run)
{
    struct feed_head head;
    struct former_walk walk = {.run = run};
    run->diff = source_diff_new(run->settings->name, run->settings->role);
    if (run->diff == NULL)
        return no_memory(run);
    int code = feeds_head(thinker->feeds, run->settings->feed, &head, &run->fault);
    if (code == KAART_UNKNOWN || (code == KAART_OK && !head.held))
        return KAART_OK; /* nothing was ever said in this feed */
    do {
        walk.seen = 0;
        if (code == KAART_OK)
            code = feeds_entries(thinker->feeds, head.id, head.generation, walk.next, FORMER_PAGE, add_former,
                                 &walk, &run->fault);
    } while (code == KAART_OK && walk.seen == FORMER_PAGE);
    return code;
}

/* ---- a page ---- */

static int check_not_repeated(struct source_thinker *thinker, struct source_run *run)
{
    struct hash hash;
    if (hasher_digest(thinker->hasher, run->text, run->size, &hash) != KAART_OK)
        return no_memory(run);
    if (run->counts.pages > 1 && hash_equal(&hash, &run->text_hash))
        return fault_set(&run->fault, KAART_INVALID,
                         "page %zu is page %zu again: does the register know this way of paging?",
                         run->counts.pages, run->counts.pages - 1);
    run->text_hash = hash;
    return KAART_OK;
}

void think_open(void *state, void *job)
{
    struct source_thinker *thinker = state;
    struct source_run *run = job;
    run->code = run->diff == NULL ? load_former(thinker, run) : KAART_OK;
    if (run->code != KAART_OK || run->text == NULL)
        return;
    if (run->size >= 3 &&
        memcmp(run->text, "\xEF\xBB\xBF", 3) == 0) /* a byte order mark, though RFC 8259 forbids it */
        memset(run->text, ' ', 3);
    run->row_offset = 0;
    run->page_rows = 0;
    run->page_done = false;
    run->counts.pages++;
    run->code = page_open(run->text, run->size, run->content_type, mapping_listing(run->mapping), &run->rows,
                          &run->fault);
    if (run->code == KAART_OK)
        run->code = check_not_repeated(thinker, run);
}

/* ---- rows into claims ---- */

static char *copy_text(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

/* Makes room for a claim whose strings are copied; `body` and `areas` are taken over, also on failure. */
static int add_claim(struct source_run *run, enum claim_purpose purpose, const char *kind, const char *id,
                     char *body, char *areas, size_t row)
{
    if (run->claim_count == run->claim_room) {
        size_t room = run->claim_room > 0 ? run->claim_room * 2 : 128;
        struct run_claim *grown = realloc(run->claims, room * sizeof(*grown));
        if (grown == NULL) {
            free(body);
            free(areas);
            return no_memory(run);
        }
        run->claims = grown;
        run->claim_room = room;
    }
    const struct source_settings *settings = run->settings;
    struct run_claim *made = &run->claims[run->claim_count++];
    *made = (struct run_claim){.purpose = purpose, .row = row};
    made->claim = (struct own_claim){
        .op = purpose == CLAIM_RETRACT ? ENTRY_RETRACT : ENTRY_ASSERT,
        .kind = copy_text(kind),
        .id = copy_text(id),
        .source = settings->name,
        .role = settings->role,
        .areas = areas != NULL ? areas : copy_text(settings->areas),
        .body = body,
        .verified = purpose == CLAIM_RETRACT ? DAY_NONE : syntax_day_of(run->started_ms),
        .missing_since = DAY_NONE,
        .salted = strcmp(settings->audience, AUDIENCE_PUBLIC) != 0 || strcmp(kind, "professional") == 0,
    };
    bool complete = made->claim.kind != NULL && made->claim.id != NULL && made->claim.areas != NULL &&
                    (body != NULL || purpose == CLAIM_RETRACT);
    return complete ? KAART_OK : no_memory(run);
}

/* Where a body breaks the profile. */
struct checked {
    struct source_run *run;
    const struct mapping_record *record;
};

static void note_finding(void *context, enum record_severity severity, const char *pointer,
                         const char *message)
{
    const struct checked *checked = context;
    char field[200];
    snprintf(field, sizeof(field), "%s%s", checked->record->name, pointer);
    run_problem(checked->run, severity == RECORD_WARNING, checked->record->row, field, message);
}

/* It is there, but what it says cannot be told: the former claim stays, and is not confirmed. */
static int keep_former(struct source_run *run, const struct mapping_record *record)
{
    char key[NAME_MAX_SIZE + UUID_TEXT_SIZE + 2];
    run->counts.broken++;
    if (record->id[0] == '\0') {
        source_diff_unidentified(run->diff, record->kind, record->row);
        return KAART_OK;
    }
    snprintf(key, sizeof(key), "%s/%s", record->kind, record->id);
    if (source_diff_known(run->diff, record->kind, record->id) &&
        cJSON_GetArraySize(run->excepted) < EXCEPTED_MAX)
        cJSON_AddItemToArray(run->excepted, cJSON_CreateString(key));
    return source_diff_present(run->diff, record->kind, record->id, record->row) == KAART_OK ? KAART_OK
                                                                                             : no_memory(run);
}

static int add_listed(struct source_run *run, const struct mapping_record *record, enum diff_outcome outcome,
                      char *body, char *areas)
{
    switch (outcome) {
    case DIFF_NEW:
        return add_claim(run, CLAIM_ADD, record->kind, record->id, body, areas, record->row);
    case DIFF_CHANGED:
        return add_claim(run, CLAIM_CHANGE, record->kind, record->id, body, areas, record->row);
    case DIFF_RETURNED:
        return add_claim(run, CLAIM_RETURN, record->kind, record->id, body, areas, record->row);
    case DIFF_UNCHANGED:
        run->counts.unchanged++;
        break;
    case DIFF_REPEATED:
        run->counts.repeated++;
        break;
    case DIFF_CONTRADICTS:
        run->counts.repeated++;
        break;
    }
    free(body);
    free(areas);
    return KAART_OK;
}

static int take_record(struct source_run *run, const struct mapping_record *record)
{
    char message[160];
    struct checked checked = {run, record};
    run->counts.records++;
    if (record->body == NULL)
        return keep_former(run, record);
    int code =
        record_check(record->kind, record->id, record->body, run->settings->audience, note_finding, &checked);
    if (code == KAART_NOMEM)
        return no_memory(run);
    if (code != KAART_OK)
        return keep_former(run, record);
    char *body = cJSON_PrintUnformatted(record->body);
    char *areas =
        record->areas != NULL ? cJSON_PrintUnformatted(record->areas) : strdup(run->settings->areas);
    enum diff_outcome outcome = DIFF_NEW;
    size_t first_row = 0;
    if (body == NULL || areas == NULL ||
        source_diff_listed(run->diff, record->kind, record->id, body, areas, record->row, &outcome,
                           &first_row) != KAART_OK) {
        free(body);
        free(areas);
        return no_memory(run);
    }
    if (outcome == DIFF_CONTRADICTS) {
        snprintf(message, sizeof(message), "says otherwise about %s %s than row %zu, which counts",
                 record->kind, record->id, first_row);
        run_problem(run, true, record->row, record->name, message);
    }
    return add_listed(run, record, outcome, body, areas);
}

static int take_output(struct source_run *run)
{
    int code = KAART_OK;
    for (size_t i = 0; i < run->output.problem_count; i++) {
        const struct mapping_problem *problem = &run->output.problems[i];
        run_problem(run, problem->warning, problem->row, problem->field, problem->message);
    }
    for (size_t i = 0; i < run->output.record_count && code == KAART_OK; i++)
        code = take_record(run, &run->output.records[i]);
    mapping_output_clear(&run->output);
    return code;
}

/* A row whose bytes break the rules (a lone surrogate, a member twice) can be any of the records that are known. */
static int skip_row(struct source_run *run, const struct fault *fault)
{
    const char *kind = NULL, *member = NULL;
    run_problem(run, false, run->counts.rows, "", fault->text);
    for (size_t i = 0; mapping_parent_member(run->mapping, i, &kind, &member); i++)
        source_diff_unidentified(run->diff, kind, run->counts.rows);
    run->counts.broken++;
    return KAART_OK;
}

static int take_row(struct source_thinker *thinker, struct source_run *run, struct span text)
{
    struct mapping_context context = {
        .hasher = thinker->hasher,
        .origin = run->settings->origin,
        .source = run->settings->name,
        .secret = run->secret,
        .restricted = strcmp(run->settings->audience, AUDIENCE_PUBLIC) != 0,
        .known = source_diff_known,
        .known_context = run->diff,
    };
    struct fault fault = {""};
    run->counts.rows++;
    run->page_rows++;
    int code = json_check_document(text.data, text.size, 0, &fault);
    if (code != KAART_OK && code != KAART_NOMEM)
        return skip_row(run, &fault);
    cJSON *row = cJSON_ParseWithLength(text.data, text.size);
    if (row == NULL)
        return no_memory(run);
    code = mapping_row(run->mapping, &context, row, run->counts.rows, &run->output);
    cJSON_Delete(row);
    return code == KAART_OK ? take_output(run) : no_memory(run);
}

void think_map(void *state, void *job)
{
    struct source_run *run = job;
    const struct mapping_listing *listing = mapping_listing(run->mapping);
    struct span row;
    size_t taken = 0;
    run->code = KAART_OK;
    while (run->code == KAART_OK && run->claim_count < SLICE_CLAIMS && taken++ < SLICE_ROWS) {
        if (!page_row(listing, run->rows, &run->row_offset, &row)) {
            struct page_walk walk = {run->counts.pages, run->counts.rows, run->page_rows};
            run->page_done = true;
            run->code = page_next_url(run->url, run->text, run->size, run->link, listing, &walk,
                                      run->next_url, &run->fault);
            return;
        }
        run->code = take_row(state, run, row);
    }
}

/* ---- what is gone ---- */

struct parent_search {
    struct source_thinker *thinker;
    struct source_run *run;
    struct feed_head head;
};

/* The former claim's entry; KAART_UNKNOWN if it is not live any more. *line is malloc'ed and holds what
 * `entry` points to. */
static int read_former(struct source_thinker *thinker, const struct feed_head *head, uint64_t seq,
                       char **line, struct entry *entry, struct fault *fault)
{
    struct hash leaf;
    size_t size = 0;
    *line = NULL;
    int code = feeds_entry_at(thinker->feeds, head->id, head->generation, seq, &leaf, line, &size, fault);
    return code == KAART_OK ? entry_parse(*line, size, entry, fault) : code;
}

static int find_parent(void *context, const char *kind, uint64_t seq, char parent[UUID_TEXT_SIZE + 1],
                       struct fault *fault)
{
    struct parent_search *search = context;
    struct entry entry;
    char *line = NULL;
    const char *record_kind = NULL, *member = NULL;
    cJSON *body = NULL;
    int code = read_former(search->thinker, &search->head, seq, &line, &entry, fault);
    if (code == KAART_OK)
        body = cJSON_ParseWithLength(entry.body.data, entry.body.size);
    for (size_t i = 0; body != NULL && mapping_parent_member(search->run->mapping, i, &record_kind, &member);
         i++) {
        const char *id =
            member != NULL && strcmp(record_kind, kind) == 0 ? json_get_string(body, member) : NULL;
        if (id != NULL && strlen(id) == UUID_TEXT_SIZE)
            memcpy(parent, id, UUID_TEXT_SIZE + 1);
    }
    cJSON_Delete(body);
    free(line);
    return code == KAART_UNKNOWN ? KAART_OK : code;
}

/* Moments of the last complete runs, out of the state. */
static size_t complete_runs(const struct source_run *run, int64_t moments[COMPLETE_RUNS_MAX])
{
    const cJSON *moment = NULL;
    size_t count = 0;
    cJSON_ArrayForEach(moment, json_get(run->state, "completeRuns"))
    {
        if (cJSON_IsNumber(moment) && count < COMPLETE_RUNS_MAX)
            moments[count++] = (int64_t)moment->valuedouble;
    }
    return count;
}

static int list_missing(struct source_run *run)
{
    char since[DAY_TEXT_SIZE + 1];
    cJSON_Delete(run->missing);
    run->missing = cJSON_CreateArray();
    for (size_t i = 0; i < run->verdict.gone_count && run->missing != NULL; i++) {
        const struct diff_gone *gone = &run->verdict.gone[i];
        if (gone->step == GONE_RETRACT || cJSON_GetArraySize(run->missing) >= STATE_MISSING_MAX)
            continue;
        cJSON *item = cJSON_CreateObject();
        syntax_day_format(gone->step == GONE_MARK ? syntax_day_of(run->started_ms) : gone->missing_since,
                          since);
        cJSON_AddStringToObject(item, "kind", gone->kind);
        cJSON_AddStringToObject(item, "id", gone->id);
        cJSON_AddStringToObject(item, "since", since);
        cJSON_AddItemToArray(run->missing, item);
    }
    return run->missing != NULL ? KAART_OK : no_memory(run);
}

/* Writes down what waits for the operator, so that accepting it carries out exactly this. */
static int hold(struct source_thinker *thinker, struct source_run *run)
{
    char *text = NULL;
    size_t size = 0;
    struct hash hash;
    FILE *stream = open_memstream(&text, &size);
    free(run->held);
    run->held = NULL;
    run->held_count = 0;
    if (stream == NULL)
        return no_memory(run);
    for (size_t i = 0; i < run->verdict.gone_count; i++) {
        const struct diff_gone *gone = &run->verdict.gone[i];
        if (gone->step == GONE_KEEP)
            continue;
        fprintf(stream, "%llu %s %s\n", (unsigned long long)gone->seq, gone->kind, gone->id);
        run->held_count++;
    }
    if (fclose(stream) != 0) {
        free(text);
        return no_memory(run);
    }
    run->held = text;
    if (hasher_digest(thinker->hasher, text, size, &hash) != KAART_OK)
        return no_memory(run);
    hex_encode(hash.bytes, HASH_SIZE, run->held_hash);
    run->held_changed = true;
    return KAART_OK;
}

/* Takes apart what waits; with `unlisted_only`, what was listed meanwhile is left out. */
static int read_held(struct source_run *run, bool unlisted_only)
{
    char kind[NAME_MAX_SIZE + 1], id[UUID_TEXT_SIZE + 1];
    unsigned long long seq = 0;
    int used = 0;
    diff_verdict_clear(&run->verdict);
    run->verdict.gone = calloc(run->held_count + 1, sizeof(*run->verdict.gone));
    if (run->verdict.gone == NULL)
        return no_memory(run);
    for (const char *p = run->held; p != NULL && run->verdict.gone_count < run->held_count; p += used) {
        if (sscanf(p, "%llu %32s %36s\n%n", &seq, kind, id, &used) != 3)
            break;
        if (unlisted_only && source_diff_was_listed(run->diff, kind, id))
            continue;
        struct diff_gone *gone = &run->verdict.gone[run->verdict.gone_count++];
        memcpy(gone->kind, kind, sizeof(kind));
        memcpy(gone->id, id, sizeof(id));
        gone->seq = seq;
        gone->missing_since = DAY_NONE;
        gone->step = GONE_RETRACT;
    }
    return KAART_OK;
}

static size_t missing_before(const struct source_run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->verdict.gone_count; i++)
        count += run->verdict.gone[i].missing_since != DAY_NONE;
    return count;
}

static int settle_listing(struct source_thinker *thinker, struct source_run *run)
{
    int64_t moments[COMPLETE_RUNS_MAX];
    struct parent_search search = {.thinker = thinker, .run = run};
    struct diff_rules rules = {
        .fuse_percent = run->settings->fuse_percent,
        .fuse_rows = run->settings->fuse_rows,
        .missing_runs = run->settings->missing_runs,
        .missing_for_ms = run->settings->missing_for_ms,
        .now_ms = node_now_ms(),
        .complete_runs = moments,
        .complete_run_count = complete_runs(run, moments),
        .rows = run->counts.rows,
        .unchanged_listing = run->end == END_NOT_MODIFIED,
        .parent = find_parent,
        .parent_context = &search,
    };
    if (run->diff == NULL) /* nothing changed, and nothing was missing */
        return list_missing(run);
    int code = feeds_head(thinker->feeds, run->settings->feed, &search.head, &run->fault);
    if (code == KAART_OK || code == KAART_UNKNOWN)
        code = source_diff_settle(run->diff, &rules, &run->verdict, &run->fault);
    if (code != KAART_OK)
        return code;
    run->counts.missing = run->verdict.missing;
    if (run->verdict.tripped) {
        run->end = END_TRIPPED;
        run->counts.missing = missing_before(run);
        fault_set(&run->fault, KAART_INVALID, "%s", run->verdict.reason);
        return hold(thinker, run);
    }
    return list_missing(run);
}

/* A run that did not see the whole list: what waits loses what was listed after all. */
static int prune_held(struct source_thinker *thinker, struct source_run *run)
{
    int code = read_held(run, true);
    if (code == KAART_OK && run->verdict.gone_count < run->held_count)
        code = hold(thinker, run);
    return code;
}

void think_settle(void *state, void *job)
{
    struct source_run *run = job;
    bool whole = run->end == END_OK || run->end == END_NOT_MODIFIED;
    run->gone_next = 0;
    run->code = KAART_OK;
    if (whole)
        run->code = settle_listing(state, run);
    else if (run->mode == RUN_ACCEPT)
        run->code = read_held(run, false);
    else if (run->diff != NULL && run->held_count > 0)
        run->code = prune_held(state, run);
}

/* The day on which a claim was last known to be right: its own, or that of a confirmation since. */
static int32_t last_verified(const struct source_run *run, const struct entry *entry)
{
    int32_t confirmed = run->diff != NULL ? source_diff_confirmed(run->diff) : DAY_NONE;
    return confirmed != DAY_NONE && (entry->verified == DAY_NONE || confirmed > entry->verified)
               ? confirmed
               : entry->verified;
}

/* A claim that is marked keeps its exact bytes. */
static int mark_missing(struct source_run *run, const struct diff_gone *gone, const struct entry *entry)
{
    char *body = strndup(entry->body.data, entry->body.size);
    char *areas = entry->areas.data != NULL ? strndup(entry->areas.data, entry->areas.size) : NULL;
    int code = add_claim(run, CLAIM_MISSING, gone->kind, gone->id, body, areas, 0);
    if (code != KAART_OK)
        return code;
    struct own_claim *claim = &run->claims[run->claim_count - 1].claim;
    claim->verified = last_verified(run, entry);
    claim->missing_since = syntax_day_of(run->started_ms);
    return KAART_OK;
}

static int take_gone(struct source_thinker *thinker, struct source_run *run, const struct feed_head *head,
                     const struct diff_gone *gone)
{
    struct entry entry;
    struct fault fault = {""};
    char *line = NULL;
    if (gone->step == GONE_KEEP)
        return KAART_OK;
    int code = read_former(thinker, head, gone->seq, &line, &entry, &fault);
    if (code == KAART_OK)
        code = gone->step == GONE_MARK ? mark_missing(run, gone, &entry)
                                       : add_claim(run, CLAIM_RETRACT, gone->kind, gone->id, NULL, NULL, 0);
    free(line);
    if (code != KAART_OK && code != KAART_UNKNOWN && fault.text[0] != '\0')
        run->fault = fault;
    return code == KAART_UNKNOWN ? KAART_OK
                                 : code; /* said anew, or withdrawn, since: it does not hold any more */
}

/* One entry says for all unchanged claims that they were found as they stand. [SRC-6] */
static int add_confirmation(struct source_run *run)
{
    char id[UUID_TEXT_SIZE + 1];
    cJSON *body = cJSON_CreateObject();
    const cJSON *listed = json_get(run->state, "listed");
    double rows = run->end == END_NOT_MODIFIED && cJSON_IsNumber(listed) ? listed->valuedouble
                                                                         : (double)run->counts.rows;
    cJSON_AddNumberToObject(body, "listed", rows);
    if (cJSON_GetArraySize(run->excepted) > 0)
        cJSON_AddItemToObject(body, "except", cJSON_Duplicate(run->excepted, true));
    char *text = body != NULL ? cJSON_PrintUnformatted(body) : NULL;
    cJSON_Delete(body);
    if (text == NULL ||
        identity_of_confirmation(run->settings->origin, run->settings->name, id) != KAART_OK) {
        free(text);
        return no_memory(run);
    }
    int code = add_claim(run, CLAIM_CONFIRM, "confirmation", id, text, NULL, 0);
    if (code == KAART_OK)
        run->claims[run->claim_count - 1].claim.renew = true;
    return code;
}

void think_gone(void *state, void *job)
{
    struct source_run *run = job;
    struct source_thinker *thinker = state;
    struct feed_head head;
    bool held_back = run->end == END_TRIPPED || run->end == END_BROKEN || run->end == END_FAILED ||
                     run->end == END_CANCELLED;
    run->code = held_back ? KAART_OK : feeds_head(thinker->feeds, run->settings->feed, &head, &run->fault);
    bool empty = run->code == KAART_UNKNOWN;
    if (empty)
        run->code = KAART_OK;
    while (!held_back && !empty && run->code == KAART_OK && run->gone_next < run->verdict.gone_count &&
           run->claim_count < SLICE_CLAIMS)
        run->code = take_gone(thinker, run, &head, &run->verdict.gone[run->gone_next++]);
    if (run->code != KAART_OK || (!held_back && !empty && run->gone_next < run->verdict.gone_count))
        return;
    run->settled = true;
    if (run->end == END_OK || run->end == END_NOT_MODIFIED)
        run->code = add_confirmation(run);
}
