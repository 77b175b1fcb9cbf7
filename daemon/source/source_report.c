/*
 * source_report.c - what a run tells (the report) and what a source keeps between runs (the state, one
 * bounded JSON object):
 *
 *     {"runs":12,                    number of the last run
 *      "completeRuns":[ms,...],      when the last complete runs began: missing records are counted by them
 *      "etag","lastModified","fingerprint"   only after a run that left nothing undone
 *      "listed":412,"records":1630,  rows and records of the last listing
 *      "missing":[{"kind","id","since"}],"missingCount":3,
 *      "waiting":{"run":11,"reason":"...","held":84} or null,
 *      "failures":0,"lastSuccess":ms,
 *      "history":[report, ...]}      newest first, without records
 */
#include "daemon/source/source_run_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_state_key(const char *name, char key[64])
{
    snprintf(key, 64, "source/%.40s/state", name);
}

void source_held_key(const char *name, char key[64])
{
    snprintf(key, 64, "source/%.40s/held", name);
}

/* ---- while the run goes on ---- */

void run_problem(struct source_run *run, bool warning, size_t row, const char *field, const char *message)
{
    *(warning ? &run->counts.warnings : &run->counts.errors) += 1;
    if (cJSON_GetArraySize(run->problems) >= REPORT_PROBLEMS_MAX)
        return;
    cJSON *problem = cJSON_CreateObject();
    if (row > 0)
        cJSON_AddNumberToObject(problem, "row", (double)row);
    cJSON_AddStringToObject(problem, "field", field);
    cJSON_AddStringToObject(problem, "message", message);
    if (warning)
        cJSON_AddBoolToObject(problem, "warning", true);
    cJSON_AddItemToArray(run->problems, problem);
}

/* One of the records that a dry run shows. */
static void show_record(struct source_run *run, const struct run_claim *claim)
{
    static const char *const purposes[] = {"add", "change", "return", "missing", "retract", "confirm"};
    if (claim->purpose == CLAIM_CONFIRM || cJSON_GetArraySize(run->records) >= REPORT_RECORDS_MAX)
        return;
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "op", purposes[claim->purpose]);
    cJSON_AddStringToObject(record, "kind", claim->claim.kind);
    cJSON_AddStringToObject(record, "id", claim->claim.id);
    if (claim->row > 0)
        cJSON_AddNumberToObject(record, "row", (double)claim->row);
    if (claim->claim.body != NULL)
        cJSON_AddItemToObject(record, "body", cJSON_Parse(claim->claim.body));
    cJSON_AddItemToArray(run->records, record);
}

static void count_claim(struct source_run *run, const struct run_claim *claim)
{
    struct run_counts *counts = &run->counts;
    switch (claim->purpose) {
    case CLAIM_ADD:
        counts->added++;
        break;
    case CLAIM_CHANGE:
        counts->changed++;
        break;
    case CLAIM_RETURN:
        counts->returned++;
        break;
    case CLAIM_MISSING:
        counts->newly_missing++;
        break;
    case CLAIM_RETRACT:
        counts->retracted += claim->outcome != OWN_ABSENT;
        break;
    case CLAIM_CONFIRM:
        break;
    }
}

void run_count_claims(struct source_run *run)
{
    for (size_t i = 0; i < run->claim_count; i++) {
        const struct run_claim *claim = &run->claims[i];
        bool upsert = claim->purpose == CLAIM_ADD || claim->purpose == CLAIM_CHANGE;
        if (run->mode == RUN_DRY)
            show_record(run, claim);
        if (claim->outcome == OWN_REFUSED)
            run->counts.refused++;
        else if (upsert && claim->outcome == OWN_UNCHANGED)
            run->counts.unchanged++; /* the same but for the order of its members */
        else
            count_claim(run, claim);
        run->wrote = run->wrote || (run->mode != RUN_DRY && claim->outcome != OWN_REFUSED &&
                                    claim->outcome != OWN_UNCHANGED);
    }
}

void run_clear_claims(struct source_run *run)
{
    for (size_t i = 0; i < run->claim_count; i++) {
        const struct own_claim *claim = &run->claims[i].claim;
        free((void *)(uintptr_t)claim->kind);
        free((void *)(uintptr_t)claim->id);
        free((void *)(uintptr_t)claim->areas);
        free((void *)(uintptr_t)claim->body);
    }
    run->claim_count = 0;
}

/* ---- the report ---- */

cJSON *run_instant(int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE + 1];
    syntax_instant_format(instant_ms, text);
    return cJSON_CreateString(text);
}

static const char *end_name(enum run_end end)
{
    switch (end) {
    case END_OK:
        return "ok";
    case END_NOT_MODIFIED:
        return "not-modified";
    case END_BROKEN:
    case END_TRIPPED:
        return "waiting";
    case END_ACCEPTED:
        return "accepted";
    case END_CANCELLED:
        return "cancelled";
    case END_OPEN:
    case END_FAILED:
        break;
    }
    return "failed";
}

static void add_counts(cJSON *report, const struct run_counts *counts)
{
    const struct {
        const char *name;
        size_t count;
    } members[] = {
        {"pages", counts->pages},           {"rows", counts->rows},
        {"listed", counts->records},        {"added", counts->added},
        {"changed", counts->changed},       {"returned", counts->returned},
        {"unchanged", counts->unchanged},   {"repeated", counts->repeated},
        {"missing", counts->missing},       {"newlyMissing", counts->newly_missing},
        {"retracted", counts->retracted},   {"refused", counts->refused},
        {"broken", counts->broken},         {"errorCount", counts->errors},
        {"warningCount", counts->warnings},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        cJSON_AddNumberToObject(report, members[i].name, (double)members[i].count);
}

/* Problems of one severity, at most `most`. */
static cJSON *problems_of(const cJSON *problems, bool warnings, int most)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *problem = NULL;
    cJSON_ArrayForEach(problem, problems)
    {
        if ((json_get(problem, "warning") != NULL) != warnings || cJSON_GetArraySize(list) >= most)
            continue;
        cJSON *copy = cJSON_Duplicate(problem, true);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "warning");
        cJSON_AddItemToArray(list, copy);
    }
    return list;
}

/* The run that the operator may accept, if one waits after this. */
static cJSON *waiting_run(const struct source_run *run)
{
    const cJSON *waiting = json_get(json_get(run->state, "waiting"), "run");
    return cJSON_IsNumber(waiting) ? cJSON_Duplicate(waiting, false) : cJSON_CreateNull();
}

cJSON *run_report(const struct source_run *run)
{
    cJSON *report = cJSON_CreateObject();
    if (report == NULL)
        return NULL;
    cJSON_AddStringToObject(report, "source", run->settings->name);
    if (run->mode == RUN_DRY)
        cJSON_AddNullToObject(report, "run");
    else
        cJSON_AddNumberToObject(report, "run", (double)run->number);
    cJSON_AddBoolToObject(report, "dryRun", run->mode == RUN_DRY);
    cJSON_AddStringToObject(report, "state", end_name(run->end));
    if (run->fault.text[0] != '\0' && run->end != END_OK && run->end != END_NOT_MODIFIED &&
        run->end != END_ACCEPTED)
        cJSON_AddStringToObject(report, "reason", run->fault.text);
    cJSON_AddItemToObject(report, "started", run_instant(run->started_ms));
    cJSON_AddItemToObject(report, "ended", run_instant(run->finished_ms));
    cJSON_AddNumberToObject(report, "durationMs", (double)(run->finished_ms - run->started_ms));
    add_counts(report, &run->counts);
    if (run->end == END_TRIPPED)
        cJSON_AddNumberToObject(report, "held", (double)run->held_count);
    cJSON_AddItemToObject(report, "waiting", waiting_run(run));
    cJSON_AddItemToObject(report, "errors", problems_of(run->problems, false, REPORT_PROBLEMS_MAX));
    cJSON_AddItemToObject(report, "warnings", problems_of(run->problems, true, REPORT_PROBLEMS_MAX));
    if (run->mode == RUN_DRY)
        cJSON_AddItemToObject(report, "records", cJSON_Duplicate(run->records, true));
    return report;
}

/* ---- the state ---- */

static void set(cJSON *object, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (value != NULL)
        cJSON_AddItemToObject(object, name, value);
}

static void set_text(cJSON *object, const char *name, const char *text)
{
    set(object, name, text != NULL ? cJSON_CreateString(text) : NULL);
}

static void add_complete_run(cJSON *state, int64_t started_ms)
{
    cJSON *moments = cJSON_GetObjectItemCaseSensitive(state, "completeRuns");
    if (!cJSON_IsArray(moments)) {
        set(state, "completeRuns", cJSON_CreateArray());
        moments = cJSON_GetObjectItemCaseSensitive(state, "completeRuns");
    }
    cJSON_InsertItemInArray(moments, 0, cJSON_CreateNumber((double)started_ms));
    while (cJSON_GetArraySize(moments) > COMPLETE_RUNS_MAX)
        cJSON_DeleteItemFromArray(moments, COMPLETE_RUNS_MAX);
}

/* The register may be asked "has anything changed?" only after a run that took everything in; and a first
 * page speaks for all pages only if the mapping says so. */
static void keep_validators(struct source_run *run)
{
    if (run->end == END_NOT_MODIFIED)
        return;
    bool whole = run->end == END_OK && run->counts.refused == 0 &&
                 (run->counts.pages == 1 || mapping_listing(run->mapping)->etag_covers_listing);
    set_text(run->state, "etag", whole ? run->etag : NULL);
    set_text(run->state, "lastModified", whole ? run->last_modified : NULL);
    set_text(run->state, "fingerprint", whole ? run->fingerprint : NULL);
}

/* Whether the very same already waits: then the number by which the operator knows it stays. */
static bool waits_already(const struct source_run *run)
{
    const char *hash = json_get_string(json_get(run->state, "waiting"), "hash");
    return hash != NULL && strcmp(hash, run->held_hash) == 0;
}

static void keep_waiting(struct source_run *run)
{
    const cJSON *held = json_get(json_get(run->state, "waiting"), "held");
    bool holds = cJSON_IsNumber(held) && held->valuedouble > 0;
    if (run->end == END_OK || run->end == END_NOT_MODIFIED || run->end == END_ACCEPTED) {
        set(run->state, "waiting", cJSON_CreateNull());
        free(run->held);
        run->held = NULL;
        run->held_count = 0;
        run->held_changed = true;
    } else if ((run->end == END_TRIPPED && !waits_already(run)) || (run->end == END_BROKEN && !holds)) {
        cJSON *waiting = cJSON_CreateObject();
        cJSON_AddNumberToObject(waiting, "run", (double)run->number);
        cJSON_AddStringToObject(waiting, "reason", run->fault.text);
        cJSON_AddNumberToObject(waiting, "held", run->end == END_TRIPPED ? (double)run->held_count : 0);
        cJSON_AddStringToObject(waiting, "hash", run->end == END_TRIPPED ? run->held_hash : "");
        set(run->state, "waiting", waiting);
    } else if (holds && run->held_changed) {
        cJSON *waiting =
            cJSON_GetObjectItemCaseSensitive(run->state, "waiting"); /* less than before, if anything */
        set(waiting, "held", cJSON_CreateNumber((double)run->held_count));
        set(waiting, "hash", cJSON_CreateString(run->held_hash));
    }
}

void run_keep_report(struct source_run *run, const cJSON *report)
{
    cJSON *state = run->state;
    cJSON *history = cJSON_GetObjectItemCaseSensitive(state, "history");
    cJSON *entry = cJSON_Duplicate(report, true);
    if (!cJSON_IsArray(history)) {
        set(state, "history", cJSON_CreateArray());
        history = cJSON_GetObjectItemCaseSensitive(state, "history");
    }
    set(entry, "errors", problems_of(json_get(report, "errors"), false, HISTORY_PROBLEMS_MAX));
    set(entry, "warnings", problems_of(json_get(report, "warnings"), false, HISTORY_PROBLEMS_MAX));
    cJSON_InsertItemInArray(history, 0, entry);
    while (cJSON_GetArraySize(history) > HISTORY_MAX)
        cJSON_DeleteItemFromArray(history, HISTORY_MAX);
}

void run_update_state(struct source_run *run)
{
    const cJSON *records = json_get(run->state, "records");
    bool complete = run->end == END_OK || run->end == END_NOT_MODIFIED;
    bool answered = complete || run->end == END_TRIPPED || run->end == END_ACCEPTED;
    const cJSON *failures = json_get(run->state, "failures");
    double failed = cJSON_IsNumber(failures) ? failures->valuedouble + 1 : 1;
    if (run->end == END_NOT_MODIFIED && cJSON_IsNumber(records))
        run->counts.unchanged = (size_t)records->valuedouble;
    keep_waiting(run);
    if (run->end == END_ACCEPTED)
        return;
    keep_validators(run);
    set(run->state, "runs", cJSON_CreateNumber((double)run->number));
    set(run->state, "lastRun", cJSON_CreateNumber((double)run->started_ms));
    set(run->state, "failures", cJSON_CreateNumber(answered ? 0 : failed));
    if (run->end == END_OK) {
        set(run->state, "listed", cJSON_CreateNumber((double)run->counts.rows));
        set(run->state, "records", cJSON_CreateNumber((double)run->counts.records));
    }
    if (!complete)
        return;
    add_complete_run(run->state, run->started_ms);
    set(run->state, "missing", run->missing);
    run->missing = NULL;
    set(run->state, "missingCount", cJSON_CreateNumber((double)run->counts.missing));
    set(run->state, "lastSuccess", cJSON_CreateNumber((double)run->started_ms));
}
