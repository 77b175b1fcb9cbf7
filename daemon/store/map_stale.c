/*
 * map_stale.c - the work list of those who keep records up to date: what an origin supplies and has not confirmed for long.
 */
#include "daemon/store/map_internal.h"

#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are put in order; *total counts the others too. */
#define STALE_MAX 100000

struct stale {
    char kind[NAME_MAX_SIZE + 1], id[UUID_TEXT_SIZE + 1], source[NAME_MAX_SIZE + 1], role[NAME_MAX_SIZE + 1];
    char *name, *feed;
    int32_t verified, missing;
};

struct list {
    struct stale *items;
    size_t count, room, total;
};

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

static int keep(struct list *list, sqlite3_stmt *row, const cJSON *claim, int32_t verified,
                struct fault *fault)
{
    const cJSON *missing = json_get(claim, "missing");
    const char *source = json_get_string(claim, "source"), *role = json_get_string(claim, "role"),
               *feed = json_get_string(claim, "feed");
    list->total++;
    if (list->count >= STALE_MAX)
        return KAART_OK;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        struct stale *grown = realloc(list->items, room * sizeof *grown);
        if (!grown)
            return no_memory(fault);
        list->items = grown;
        list->room = room;
    }
    struct stale *item = &list->items[list->count];
    memset(item, 0, sizeof *item);
    snprintf(item->kind, sizeof item->kind, "%s", (const char *)sqlite3_column_text(row, 0));
    map_uuid_text(sqlite3_column_blob(row, 1), item->id);
    snprintf(item->source, sizeof item->source, "%s", source ? source : "");
    snprintf(item->role, sizeof item->role, "%s", role ? role : "");
    item->verified = verified;
    item->missing = missing ? missing->valueint : DAY_NONE;
    item->name = strdup((const char *)sqlite3_column_text(row, 2));
    item->feed = strdup(feed ? feed : "");
    list->count++;
    return item->name && item->feed ? KAART_OK : no_memory(fault);
}

static int look_at(struct map *map, sqlite3_stmt *row, const char *origin, int32_t day, int32_t before,
                   struct list *list, struct fault *fault)
{
    int code = KAART_OK;
    size_t size = strlen(origin);
    cJSON *provenance = cJSON_Parse((const char *)sqlite3_column_text(row, 3));
    const cJSON *claims = json_get(provenance, "claims");
    if (!provenance)
        return no_memory(fault);
    for (const cJSON *claim = claims ? claims->child : NULL; claim && !code; claim = claim->next) {
        const char *feed = json_get_string(claim, "feed");
        int32_t verified = DAY_NONE;
        if (!feed || strncmp(feed, origin, size) != 0 || feed[size] != '/')
            continue;
        code = map_winner_day(map, claim, day, &verified, fault);
        if (!code && verified < before)
            code = keep(list, row, claim, verified, fault);
    }
    cJSON_Delete(provenance);
    return code;
}

static int longest_ago_first(const void *a, const void *b)
{
    const struct stale *x = a, *y = b;
    if (x->verified != y->verified)
        return x->verified < y->verified ? -1 : 1;
    int order = strcmp(x->kind, y->kind);
    return order ? order : strcmp(x->id, y->id);
}

static bool add_day(cJSON *object, const char *name, int32_t day)
{
    char text[DAY_TEXT_SIZE + 1];
    if (day == DAY_NONE)
        return true;
    syntax_day_format(day, text);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool add_item(cJSON *array, const struct stale *item)
{
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return false;
    }
    return cJSON_AddStringToObject(object, "kind", item->kind) &&
           cJSON_AddStringToObject(object, "id", item->id) &&
           cJSON_AddStringToObject(object, "name", item->name) &&
           cJSON_AddStringToObject(object, "feed", item->feed) &&
           cJSON_AddStringToObject(object, "source", item->source) &&
           cJSON_AddStringToObject(object, "role", item->role) &&
           add_day(object, "verified", item->verified) && add_day(object, "missingSince", item->missing);
}

static int scan(struct map *map, const char *origin, int32_t day, int32_t before, struct list *list,
                struct fault *fault)
{
    sqlite3_stmt *row;
    int code = map_statement(map, Q_RECORD_ALL, &row, fault);
    while (!code && (code = map_step(map, row, fault)) > 0)
        code = look_at(map, row, origin, day, before, list, fault);
    sqlite3_reset(row);
    return code < 0 ? code : KAART_OK;
}

int map_stale(struct map *map, const char *origin, int32_t day, int32_t before, size_t limit, cJSON **out,
              size_t *total, struct fault *fault)
{
    struct list list = {0};
    cJSON *array = cJSON_CreateArray();
    *out = NULL;
    int code = array ? map_read_begin(map, fault) : no_memory(fault);
    if (!code) {
        code = scan(map, origin, day, before, &list, fault);
        map_read_end(map);
    }
    if (!code && list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, longest_ago_first);
    for (size_t i = 0; !code && i < list.count && i < limit; i++)
        if (!add_item(array, &list.items[i]))
            code = no_memory(fault);
    for (size_t i = 0; i < list.count; i++) {
        free(list.items[i].name);
        free(list.items[i].feed);
    }
    free(list.items);
    *total = list.total;
    if (code)
        cJSON_Delete(array);
    else
        *out = array;
    return code;
}
