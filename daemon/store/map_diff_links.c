/*
 * map_diff_links.c - the links between records that there would be under another policy, without a table.
 *
 * The same rules as in map_link.c: a link is in force if its alias has one main only and that main is no alias itself [LINK-2].
 */
#include "daemon/store/map_internal.h"

#include <stdlib.h>
#include <string.h>

/* Only stewards' relations are links; some 15 MB. */
#define LINKS_MAX 100000

struct link_set {
    struct link *by_alias, *by_main; /* the same links in two orders, each once */
    size_t count, room;
};

struct link_set *link_set_new(void)
{
    return calloc(1, sizeof(struct link_set));
}

void link_set_free(struct link_set *set)
{
    if (!set)
        return;
    free(set->by_alias);
    free(set->by_main);
    free(set);
}

int link_set_add(struct link_set *set, const struct link *link, struct fault *fault)
{
    if (set->count == LINKS_MAX)
        return fault_set(fault, KAART_LIMIT,
                         "there would be more than %d links between records, too many for a dry run",
                         LINKS_MAX);
    if (set->count == set->room) {
        size_t room = set->room * 2 + 16;
        struct link *grown = realloc(set->by_alias, room * sizeof *grown);
        if (!grown)
            return fault_set(fault, KAART_NOMEM, "out of memory");
        set->by_alias = grown;
        set->room = room;
    }
    set->by_alias[set->count++] = *link;
    return KAART_OK;
}

static int compare_by_alias(const void *a, const void *b)
{
    const struct link *x = a, *y = b;
    int order = strcmp(x->alias, y->alias);
    return order ? order : strcmp(x->main, y->main);
}

static int compare_by_main(const void *a, const void *b)
{
    const struct link *x = a, *y = b;
    int order = strcmp(x->main, y->main);
    return order ? order : strcmp(x->alias, y->alias);
}

int link_set_close(struct link_set *set, struct fault *fault)
{
    size_t kept = 0;
    if (set->count > 1)
        qsort(set->by_alias, set->count, sizeof *set->by_alias, compare_by_alias);
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || compare_by_alias(&set->by_alias[kept - 1], &set->by_alias[i]) != 0)
            set->by_alias[kept++] = set->by_alias[i];
    set->count = kept;
    set->by_main = calloc(kept + 1, sizeof *set->by_main);
    if (!set->by_main)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    if (kept == 0)
        return KAART_OK;
    memcpy(set->by_main, set->by_alias, kept * sizeof *set->by_main);
    qsort(set->by_main, kept, sizeof *set->by_main, compare_by_main);
    return KAART_OK;
}

/* The first link that is not before `id` in its order. */
static size_t lower_bound(const struct link *links, size_t count, bool by_main, const char *id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(by_main ? links[middle].main : links[middle].alias, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many mains an alias has; *first: the place of the first. */
static size_t mains_of(const struct link_set *set, const char *alias, size_t *first)
{
    size_t end = *first = lower_bound(set->by_alias, set->count, false, alias);
    while (end < set->count && strcmp(set->by_alias[end].alias, alias) == 0)
        end++;
    return end - *first;
}

/* Relations are not merged themselves. */
static bool can_merge(const struct record_place *place)
{
    return strcmp(place->kind, "relation") != 0;
}

const char *link_set_main(const struct link_set *set, const struct record_place *place)
{
    size_t at, ignored;
    if (!can_merge(place) || mains_of(set, place->id, &at) != 1)
        return NULL;
    const char *main = set->by_alias[at].main;
    return mains_of(set, main, &ignored) == 0 ? main : NULL;
}

int link_set_parts(const struct link_set *set, const struct record_place *place,
                   int (*part)(void *context, const char *alias), void *context)
{
    size_t ignored, told = 0;
    int code = KAART_OK;
    if (!can_merge(place) || mains_of(set, place->id, &ignored) > 0)
        return KAART_OK;
    for (size_t i = lower_bound(set->by_main, set->count, true, place->id);
         i < set->count && strcmp(set->by_main[i].main, place->id) == 0 && told < LINK_PARTS_MAX && !code;
         i++) {
        if (mains_of(set, set->by_main[i].alias, &ignored) != 1)
            continue;
        told++;
        code = part(context, set->by_main[i].alias);
    }
    return code;
}
