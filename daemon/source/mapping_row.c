/*
 * mapping_row.c - turns one row into records: walks the lists a record stands in, decides which record it is,
 * and fills its members.
 *
 *     row --> for each record of the mapping --> each, each, ... --> when? --> id --> fields --> record
 *                                                                               |        |
 *                                                          unidentified <-------+        +---> present, but
 * broken
 *
 * A record that could not be identified or read is handed on as such, since a row that is there but broken
 * must not count as gone.
 */
#include "daemon/source/convert.h"
#include "daemon/source/mapping_parts.h"
#include "daemon/source/pointer.h"
#include "protocol/identity.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids that one row can offer for a record: its identifiers and the register's own key. */
#define CANDIDATES_MAX 8

struct candidates {
    char ids[CANDIDATES_MAX][UUID_TEXT_SIZE + 1];
    size_t count;
};

/* ---- identity [SRC-7] ---- */

/* An identifier with a typing error is passed over with a warning: the next one, or the register's key, still
 * tells which record it is. */
static int offer_identifiers(struct making *making, const struct record *record, const struct scope *scope,
                             bool own, struct candidates *candidates)
{
    char message[240];
    for (size_t i = 0; i < record->identifier_count && candidates->count + 1 < CANDIDATES_MAX; i++) {
        const struct identifier *identifier = &record->identifiers[i];
        char *text = NULL;
        int code = value_make_text(making, identifier->value, scope, &text);
        if (code == KAART_OK && text != NULL) {
            code = identity_of_identifier(identifier->scheme, text, candidates->ids[candidates->count]);
            if (code == KAART_OK)
                candidates->count++;
            else if (code == KAART_INVALID)
                fault_set(&making->fault, code, "\"%.40s\" is no %s number", text, identifier->scheme);
        }
        free(text);
        if (code == KAART_INVALID) {
            snprintf(message, sizeof(message), "%s: %.180s; it does not serve as identifier",
                     identifier->scheme, making->fault.text);
            code = own ? making_problem(making, true, making->field, message) : KAART_OK;
        }
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

static bool is_personal(const struct mapping_context *context, const struct record *record,
                        const struct scope *scope)
{
    return context->restricted || (record->personal != NULL && condition_holds(record->personal, scope));
}

/* Ids about persons: as good as random for whoever does not hold the node's secret, yet the same in every
 * run. */
static int personal_id(struct making *making, const struct record *record, const char *parent,
                       const char *external, char id[UUID_TEXT_SIZE + 1])
{
    const struct mapping_context *context = making->context;
    char *text = NULL;
    size_t size = 0;
    struct hash hash;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL)
        return fault_set(&making->fault, KAART_NOMEM, "out of memory");
    fwrite(context->secret, 1, 32, stream);
    fprintf(stream, "%s%c%s%c%s%c%s%c%s", context->origin, 0, context->source, 0, record->kind, 0,
            parent != NULL ? parent : "", 0, external);
    int code = fclose(stream) == 0 ? hasher_digest(context->hasher, text, size, &hash) : KAART_NOMEM;
    if (code == KAART_OK)
        uuid_v4_from(hash.bytes, id);
    else
        fault_set(&making->fault, code, "out of memory");
    free(text);
    return code;
}

static int offer_external(struct making *making, const struct record *record,
                          const struct scope *const *levels, size_t level_count, bool personal,
                          struct candidates *candidates)
{
    const struct mapping_context *context = making->context;
    const struct scope *scope = levels[record->each_count];
    char parent[UUID_TEXT_SIZE + 1] = "";
    char *external = NULL;
    char *id = candidates->ids[candidates->count];
    int code = value_make_text(making, record->external, scope, &external);
    if (code != KAART_OK || external == NULL || external[0] == '\0')
        goto done;
    if (record->parent >= 0)
        code = record_identify(making, (size_t)record->parent, levels, level_count, parent);
    if (code != KAART_OK)
        goto done;
    const char *above = parent[0] != '\0' ? parent : NULL;
    if (personal)
        code = personal_id(making, record, above, external, id);
    else
        code = identity_of_external(context->origin, context->source, record->kind, above, external, id);
    if (code == KAART_OK)
        candidates->count++;
    else if (code == KAART_INVALID)
        fault_set(&making->fault, code, "\"%.60s\" does not serve as external id", external);

done:
    free(external);
    return code;
}

/* Which record this is. A candidate under which the source has a live claim already wins, so that an id never
 * changes when a better identifier appears. `own`: the record being made, whose warnings are wanted. */
static int choose_id(struct making *making, const struct record *record, const struct scope *const *levels,
                     size_t level_count, bool own, char id[UUID_TEXT_SIZE + 1])
{
    const struct mapping_context *context = making->context;
    struct candidates candidates = {.count = 0};
    bool personal = is_personal(context, record, levels[record->each_count]);
    int code = KAART_OK;
    if (!personal)
        code = offer_identifiers(making, record, levels[record->each_count], own, &candidates);
    if (code == KAART_OK && record->external != NULL)
        code = offer_external(making, record, levels, level_count, personal, &candidates);
    if (code != KAART_OK)
        return code;
    if (candidates.count == 0)
        return fault_set(
            &making->fault, KAART_INVALID,
            "%s: the row has no usable identifier%s, so that it cannot be told which record it is",
            record->name, record->external != NULL ? " and no key of its own" : "");
    size_t chosen = 0;
    for (size_t i = 0; i < candidates.count && context->known != NULL; i++) {
        if (context->known(context->known_context, record->kind, candidates.ids[i])) {
            chosen = i;
            break;
        }
    }
    memcpy(id, candidates.ids[chosen], UUID_TEXT_SIZE + 1);
    return KAART_OK;
}

int record_identify(struct making *making, size_t index, const struct scope *const *levels,
                    size_t level_count, char id[UUID_TEXT_SIZE + 1])
{
    const struct record *record = &making->mapping->records[index];
    id[0] = '\0';
    if (record->when != NULL && !condition_holds(record->when, levels[record->each_count]))
        return KAART_OK;
    return choose_id(making, record, levels, level_count, false, id);
}

/* ---- the lists that a record stands in ---- */

typedef int instance_function(struct making *making, const struct record *record,
                              const struct scope *const *levels, size_t level_count, void *context);

/* Calls `each` for every instance of a record; levels[0 .. level_count - 1] are given already. */
static int expand(struct making *making, const struct record *record,
                  const struct scope *levels[EACH_DEPTH_MAX + 1], size_t level_count, instance_function *each,
                  void *context)
{
    if (level_count == record->each_count + 1)
        return each(making, record, levels, level_count, context);
    const struct scope *outer = levels[level_count - 1];
    const cJSON *items = pointer_get(outer->item, record->each[level_count - 1]);
    if (items == NULL || cJSON_IsNull(items))
        return KAART_OK;
    if (!cJSON_IsArray(items) && !cJSON_IsObject(items))
        return fault_set(&making->fault, KAART_INVALID, "%s: a list belongs at %s", record->name,
                         record->each[level_count - 1]);
    const cJSON *item =
        cJSON_IsArray(items) ? items->child : items; /* one object is taken for a list of one */
    for (; item != NULL; item = cJSON_IsArray(items) ? item->next : NULL) {
        struct scope inner = {item, outer};
        /* cppcheck-suppress autoVariables ; taken back below */
        levels[level_count] = &inner;
        int code = expand(making, record, levels, level_count + 1, each, context);
        levels[level_count] = NULL;
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

static int add_instance_id(struct making *making, const struct record *record,
                           const struct scope *const *levels, size_t level_count, void *context)
{
    char id[UUID_TEXT_SIZE + 1];
    cJSON *ids = context;
    int code = record_identify(making, (size_t)(record - making->mapping->records), levels, level_count, id);
    if (code != KAART_OK || id[0] == '\0')
        return code;
    const cJSON *same = NULL;
    cJSON_ArrayForEach(same, ids)
    {
        if (strcmp(same->valuestring, id) == 0)
            return KAART_OK;
    }
    cJSON *text = cJSON_CreateString(id);
    if (text == NULL)
        return fault_set(&making->fault, KAART_NOMEM, "out of memory");
    cJSON_AddItemToArray(ids, text);
    return KAART_OK;
}

int record_identify_all(struct making *making, size_t index, cJSON *ids)
{
    const struct record *record = &making->mapping->records[index];
    const struct record *own = making->record;
    const struct scope *levels[EACH_DEPTH_MAX + 1] = {NULL};
    size_t shared = 0;
    while (shared < record->each_count && shared < own->each_count && shared + 1 < making->level_count &&
           strcmp(record->each[shared], own->each[shared]) == 0)
        shared++;
    for (size_t i = 0; i <= shared; i++)
        levels[i] = making->levels[i];
    return expand(making, record, levels, shared + 1, add_instance_id, ids);
}

/* ---- one record ---- */

static struct mapping_record *next_record(struct making *making, const struct record *record)
{
    struct mapping_output *output = making->output;
    if (output->record_count == output->record_room) {
        size_t room = output->record_room > 0 ? output->record_room * 2 : 16;
        struct mapping_record *grown = realloc(output->records, room * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        output->records = grown;
        output->record_room = room;
    }
    struct mapping_record *made = &output->records[output->record_count++];
    *made = (struct mapping_record){.name = record->name, .kind = record->kind, .row = making->row};
    return made;
}

/* Area codes, as a list; a single one is taken for a list of one. */
static int make_areas(struct making *making, const struct record *record, const struct scope *scope,
                      cJSON **areas)
{
    cJSON *made = NULL;
    const cJSON *code_node = NULL;
    char quoted[CONVERT_QUOTE_MAX + 8];
    if (record->areas == NULL)
        return KAART_OK;
    snprintf(making->field, sizeof(making->field), "%s/areas", record->name);
    int code = value_make(making, record->areas, scope, &made);
    if (code == KAART_OK && cJSON_IsString(made)) {
        cJSON *list = cJSON_CreateArray();
        if (list == NULL)
            code = fault_set(&making->fault, KAART_NOMEM, "out of memory");
        else
            cJSON_AddItemToArray(list, made);
        made = list != NULL ? list : made;
    }
    if (code == KAART_OK && made != NULL && !cJSON_IsArray(made))
        code = fault_set(&making->fault, KAART_INVALID, "must be area codes");
    cJSON_ArrayForEach(code_node, made)
    {
        if (code == KAART_OK && (!cJSON_IsString(code_node) ||
                                 !syntax_is_area(code_node->valuestring, strlen(code_node->valuestring))))
            code = fault_set(&making->fault, KAART_INVALID, "%s is no CBS area code such as GM0356",
                             convert_quote(code_node, quoted));
    }
    if (code != KAART_OK)
        cJSON_Delete(made);
    else
        *areas = made;
    return code;
}

static int make_body(struct making *making, const struct record *record, const struct scope *scope,
                     bool personal, cJSON **body)
{
    snprintf(making->field, sizeof(making->field), "%s", record->name);
    int code = value_make(making, &record->fields, scope, body);
    if (code == KAART_OK && *body == NULL)
        return fault_set(&making->fault, KAART_INVALID, "the row says nothing about this record");
    if (code == KAART_OK && !personal && identity_is_person(record->kind, *body)) {
        cJSON_Delete(*body);
        *body = NULL;
        return fault_set(&making->fault, KAART_INVALID,
                         "is about one person, whose id must not be guessable: say in /id/personal which "
                         "rows are [SRC-8]");
    }
    return code;
}

/* Notes why a record is broken, and passes on what ends the whole row. */
static int note_broken(struct making *making, int code)
{
    return code == KAART_INVALID ? making_problem(making, false, making->field, making->fault.text) : code;
}

static int make_record(struct making *making, const struct record *record, const struct scope *const *levels,
                       size_t level_count, void *context)
{
    size_t *made_count = context;
    const struct scope *scope = levels[record->each_count];
    char id[UUID_TEXT_SIZE + 1] = "";
    if (record->when != NULL && !condition_holds(record->when, scope))
        return KAART_OK;
    if (++*made_count > MAPPING_ROW_RECORDS_MAX)
        return fault_set(&making->fault, KAART_INVALID, "the row becomes more than %d records",
                         MAPPING_ROW_RECORDS_MAX);
    memcpy(making->levels, levels, level_count * sizeof(levels[0]));
    making->level_count = level_count;
    making->record = record;
    snprintf(making->field, sizeof(making->field), "%s/id", record->name);
    bool personal = is_personal(making->context, record, scope);
    int code = choose_id(making, record, levels, level_count, true, id);
    struct mapping_record *made = code == KAART_NOMEM ? NULL : next_record(making, record);
    if (made == NULL)
        return fault_set(&making->fault, KAART_NOMEM, "out of memory");
    if (code != KAART_OK)
        return note_broken(making, code); /* without an id: unidentified */
    memcpy(made->id, id, sizeof(id));
    cJSON *body = NULL, *areas = NULL;
    code = make_body(making, record, scope, personal, &body);
    if (code == KAART_OK)
        code = make_areas(making, record, scope, &areas);
    if (code != KAART_OK) {
        cJSON_Delete(body);
        return note_broken(making, code);
    }
    made->body = body;
    made->areas = areas;
    return KAART_OK;
}

int mapping_row(const struct mapping *mapping, const struct mapping_context *context, const cJSON *row,
                size_t number, struct mapping_output *output)
{
    struct scope scope = {row, NULL};
    struct making making = {.mapping = mapping,
                            .context = context,
                            .output = output,
                            .row = number,
                            .first_problem = output->problem_count};
    size_t made_count = 0;
    for (size_t i = 0; i < mapping->record_count; i++) {
        const struct record *record = &mapping->records[i];
        const struct scope *levels[EACH_DEPTH_MAX + 1] = {&scope};
        int code = KAART_INVALID;
        snprintf(making.field, sizeof(making.field), "%s", record->name);
        if (cJSON_IsObject(row))
            code = expand(&making, record, levels, 1, make_record, &made_count);
        else
            fault_set(&making.fault, code, "the row is no object");
        if (code == KAART_INVALID) { /* which of its records are there cannot be told */
            if (next_record(&making, record) == NULL)
                return KAART_NOMEM;
            code = making_problem(&making, false, making.field, making.fault.text);
        }
        if (code != KAART_OK)
            return code;
    }
    return KAART_OK;
}

void mapping_output_clear(struct mapping_output *output)
{
    for (size_t i = 0; i < output->record_count; i++) {
        cJSON_Delete(output->records[i].body);
        cJSON_Delete(output->records[i].areas);
    }
    free(output->records);
    free(output->problems);
    *output = (struct mapping_output){0};
}
