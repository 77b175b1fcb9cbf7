/*
 * map_conflicts.c - the editors' work list: every field on which claims that count say different things.
 *
 *     rows whose provenance says that something differs --resolve again--> fields --keep what is asked for--> in order
 *
 * What nobody's rank decided stands first: there the later word won, or chance.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

/* Conflicts that are put in order; a map with more has other worries. Also bounds the memory (some 2 kB each). */
#define CONFLICTS_MAX 10000

struct search {
    struct map *map;
    const struct policy *policy;
    int32_t day;
    const struct map_conflict_options *options;
    bool wanted[GROUP_COUNT];
    cJSON *ranked, *equal; /* decided by rank, and not */
    size_t count;
    bool full;
    struct fault *fault;
};

static bool is_of(const struct claim *claim, const char *origin)
{
    size_t size = strlen(origin);
    return strncmp(claim->feed, origin, size) == 0 && claim->feed[size] == '/';
}

static const cJSON *said(const struct resolved_field *field, const struct claim *claims, size_t index)
{
    return index == field->winner ? field->value : json_get(claims[index].body, field->name);
}

/* Whether the origin says something else than anybody else does. */
static bool concerns(const struct resolved_field *field, const struct claim *claims, const char *origin)
{
    for (size_t i = 0; i <= field->other_count; i++) {
        size_t x = i < field->other_count ? field->others[i] : field->winner;
        if (!is_of(&claims[x], origin))
            continue;
        for (size_t j = 0; j <= field->other_count; j++) {
            size_t y = j < field->other_count ? field->others[j] : field->winner;
            if (!is_of(&claims[y], origin) && !json_equal(said(field, claims, x), said(field, claims, y)))
                return true;
        }
    }
    return false;
}

/* Whether the winner and the best of those who say something else stand at the same place. */
static bool same_rank(const struct search *search, const struct resolution *resolution,
                      const struct resolved_field *field, const struct claim *claims)
{
    const struct claim_judgement *winner = &resolution->judgements[field->winner];
    unsigned place = claim_place(search->policy, &claims[field->winner], winner, field->group);
    for (size_t i = 0; i < field->other_count; i++) {
        const struct claim_judgement *other = &resolution->judgements[field->others[i]];
        if (json_equal(said(field, claims, field->others[i]), field->value))
            continue;
        return winner->pin == other->pin &&
               (winner->stale >> field->group & 1) == (other->stale >> field->group & 1) &&
               place == claim_place(search->policy, &claims[field->others[i]], other, field->group);
    }
    return false;
}

/* Those who say the same as the winner are no part of the conflict. */
static void drop_agreeing(cJSON *conflict)
{
    const cJSON *value = json_get(conflict, "value");
    cJSON *others = cJSON_GetObjectItemCaseSensitive(conflict, "others");
    for (cJSON *other = others ? others->child : NULL, *next; other; other = next) {
        next = other->next;
        if (json_equal(json_get(other, "value"), value))
            cJSON_Delete(cJSON_DetachItemViaPointer(others, other));
    }
}

static int add_conflict(struct search *search, sqlite3_stmt *row, const struct resolution *resolution,
                        const struct resolved_field *field, const struct claim *claims)
{
    char id[UUID_TEXT_SIZE + 1];
    bool equal = same_rank(search, resolution, field, claims);
    if (search->count++ >= CONFLICTS_MAX) {
        search->full = true;
        return KAART_OK;
    }
    cJSON *conflict = map_add_field(equal ? search->equal : search->ranked, resolution, field, claims);
    map_uuid_text(sqlite3_column_blob(row, 2), id);
    if (!conflict || !cJSON_AddStringToObject(conflict, "kind", (const char *)sqlite3_column_text(row, 1)) ||
        !cJSON_AddStringToObject(conflict, "id", id) ||
        !cJSON_AddStringToObject(conflict, "name", (const char *)sqlite3_column_text(row, 3)) ||
        !cJSON_AddBoolToObject(conflict, "sameRank", equal))
        return fault_set(search->fault, KAART_NOMEM, "out of memory");
    drop_agreeing(conflict);
    return KAART_OK;
}

static int look_at(struct search *search, sqlite3_stmt *row)
{
    struct record_place place;
    struct record_members members = {0};
    struct record_claims claims = {0};
    struct resolution *resolution = NULL;
    int code = map_record_place(search->map, sqlite3_column_int64(row, 0), &place, search->fault);
    if (!code)
        code = map_record_members(search->map, &place, &members, search->fault);
    if (!code)
        code = record_claims_load(search->map, members.records, members.count, NULL, &claims, search->fault);
    if (!code)
        code = resolve_record(search->policy, claims.claims, claims.count, search->day, &resolution);
    for (size_t i = 0; !code && i < resolution->field_count && !search->full; i++) {
        const struct resolved_field *field = &resolution->fields[i];
        if (!field->differs || !search->wanted[field->group])
            continue;
        if (search->options->about && !concerns(field, claims.claims, search->options->about))
            continue;
        code = add_conflict(search, row, resolution, field, claims.claims);
    }
    resolution_free(resolution);
    record_claims_clear(&claims);
    free(members.records);
    return code;
}

static int scan(struct search *search)
{
    sqlite3_stmt *row;
    int code = map_statement(search->map, Q_RECORD_DIFFERS, &row, search->fault);
    while (!code && !search->full && (code = map_step(search->map, row, search->fault)) > 0)
        code = look_at(search, row);
    sqlite3_reset(row);
    return code < 0 ? code : KAART_OK;
}

/* Equal ones first, then the others, up to the limit. NULL without memory. */
static cJSON *in_order(struct search *search, bool *more)
{
    cJSON *list = cJSON_CreateArray(), *from[] = {search->equal, search->ranked};
    size_t count = 0;
    for (size_t i = 0; list && i < 2; i++)
        for (cJSON *item; count < search->options->limit && (item = cJSON_DetachItemFromArray(from[i], 0));
             count++)
            cJSON_AddItemToArray(list, item);
    *more = search->full || search->equal->child || search->ranked->child;
    return list;
}

static int choose_groups(struct search *search)
{
    static const enum field_group usual[] = {GROUP_CONTACT, GROUP_PLACE, GROUP_HOURS, GROUP_STATUS};
    const char *name = search->options->group;
    enum field_group group;
    for (size_t i = 0; !name && i < sizeof usual / sizeof *usual; i++)
        search->wanted[usual[i]] = true;
    if (!name)
        return KAART_OK;
    if (field_group_parse(name, strlen(name), &group))
        return fault_set(search->fault, KAART_INVALID,
                         "there is no field group \"%s\": identity, place, contact, hours, access, "
                         "description, classification, status",
                         name);
    search->wanted[group] = true;
    return KAART_OK;
}

int map_conflicts(struct map *map, const struct policy *policy, int32_t day,
                  const struct map_conflict_options *options, cJSON **out, bool *more, struct fault *fault)
{
    struct search search = {.map = map,
                            .policy = policy,
                            .day = day,
                            .options = options,
                            .ranked = cJSON_CreateArray(),
                            .equal = cJSON_CreateArray(),
                            .fault = fault};
    *out = NULL;
    int code = search.ranked && search.equal ? choose_groups(&search)
                                             : fault_set(fault, KAART_NOMEM, "out of memory");
    if (!code && !(code = map_read_begin(map, fault))) {
        code = scan(&search);
        map_read_end(map);
    }
    if (!code && !(*out = in_order(&search, more)))
        code = fault_set(fault, KAART_NOMEM, "out of memory");
    cJSON_Delete(search.ranked);
    cJSON_Delete(search.equal);
    return code;
}
