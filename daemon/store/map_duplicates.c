/*
 * map_duplicates.c - records that could be one, with what speaks for it. A person decides: nothing is merged here.
 * spec/resolution.md, section "Likely duplicates".
 *
 *     every record --traits--> (hash, record) --sort--> groups that share a trait --pairs--> sort, merge, score --> the likeliest,
 *                                                            |                               read again: evidence, links
 *                                                            +-- too many: only equal names pair, and the trait is reported
 *
 * Time is n log n: the size of the groups whose members are all compared has a bound. In memory stand a hash for each trait and a
 * name for each record; a hash that two traits share costs a look, since the evidence is made of the records themselves.
 */
#include "daemon/store/map_duplicates.h"

#include "daemon/store/map_internal.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Some 100 bytes each with its traits; a region has tens of thousands. */
#define RECORDS_MAX 500000
#define KEYS_MAX (RECORDS_MAX * 8)
#define PAIRS_MAX 1000000
/* More records than these with one number or site, or one postcode: a helpdesk, a portal, a tower. Among them equal names only are paired. */
#define COMMON_MAX 12
#define COMMON_POSTCODE_MAX 24
/* That many traits of which too much was found are listed, the commonest first. */
#define COMMON_LISTED_MAX 50
/* What passes as a similar name [DUP-2]. */
#define SIMILAR 80

/* What can be entered twice. Contracts, terms and the like are told apart by what they refer to [DUP-1]. */
static const char *const kinds[] = {"activity",     "location", "organization",
                                    "professional", "program",  "service"};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

static const char *const trait_names[] = {[TRAIT_IDENTIFIER] = "identifier",
                                          [TRAIT_POSTCODE] = "name-postcode",
                                          [TRAIT_PHONE] = "phone",
                                          [TRAIT_WEBSITE] = "website"};

struct known {
    uint8_t uuid[16];
    uint8_t kind;
    uint16_t members; /* how much is known of it */
    char *name;       /* normalised */
};

struct key {
    uint64_t hash; /* of kind, type and value */
    uint32_t record;
    uint32_t type;
};

struct pair {
    uint32_t a, b;   /* a < b */
    uint16_t traits; /* bit 1 << trait_type */
    uint16_t score;
};

struct common {
    uint64_t hash;
    uint32_t record, type, count;
};

struct duplicates {
    struct map *map;
    struct known *records;
    size_t record_count, record_room;
    struct key *keys;
    size_t key_count, key_room;
    struct pair *pairs;
    size_t pair_count, pair_room;
    struct common common[COMMON_LISTED_MAX];
    size_t common_count;
    bool full; /* pairs were left out */
    struct fault *fault;
};

static int no_memory(struct fault *fault)
{
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

/* Room for one more of `size` bytes. */
static int grow(void **items, size_t *room, size_t count, size_t size, struct fault *fault)
{
    if (count < *room)
        return KAART_OK;
    size_t more = *room ? *room * 2 : 1024;
    void *grown = realloc(*items, more * size);
    if (!grown)
        return no_memory(fault);
    *items = grown;
    *room = more;
    return KAART_OK;
}

/* ---- the records' traits ---- */

static int kind_number(const char *kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i], kind) == 0)
            return (int)i;
    return -1;
}

/* FNV-1a: spread enough to group by; what is grouped is compared itself before it is shown. */
static uint64_t trait_hash(uint8_t kind, const struct trait *trait)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    hash = (hash ^ kind) * 0x100000001b3ULL;
    hash = (hash ^ (uint64_t)trait->type) * 0x100000001b3ULL;
    for (const char *at = trait->value; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 0x100000001b3ULL;
    return hash;
}

static int keep_keys(struct duplicates *all, const struct traits *traits, uint32_t record, uint8_t kind)
{
    int code = KAART_OK;
    for (size_t i = 0; !code && i < traits->count; i++) {
        if (all->key_count >= KEYS_MAX) {
            all->full = true;
            return KAART_OK;
        }
        code = grow((void **)&all->keys, &all->key_room, all->key_count, sizeof *all->keys, all->fault);
        if (!code)
            all->keys[all->key_count++] = (struct key){.hash = trait_hash(kind, &traits->items[i]),
                                                       .record = record,
                                                       .type = (uint32_t)traits->items[i].type};
    }
    return code;
}

static int take_record(void *context, const char *kind, const char *id, const char *json)
{
    struct duplicates *all = context;
    struct traits traits;
    int number = kind_number(kind);
    if (number < 0)
        return KAART_OK;
    if (all->record_count >= RECORDS_MAX)
        return fault_set(all->fault, KAART_LIMIT,
                         "There are more than %d records; compare them one kind at a time.", RECORDS_MAX);
    int code =
        grow((void **)&all->records, &all->record_room, all->record_count, sizeof *all->records, all->fault);
    if (code)
        return code;
    cJSON *record = cJSON_Parse(json);
    if (!record)
        return no_memory(all->fault);
    traits_of(kind, record, &traits);
    int members = cJSON_GetArraySize(record);
    struct known *known = &all->records[all->record_count];
    known->kind = (uint8_t)number;
    known->members = (uint16_t)(members > UINT16_MAX ? UINT16_MAX : members);
    known->name = strdup(traits.name);
    map_uuid_bytes(id, known->uuid);
    cJSON_Delete(record);
    if (!known->name)
        return no_memory(all->fault);
    return keep_keys(all, &traits, (uint32_t)all->record_count++, known->kind);
}

/* ---- pairs ---- */

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

/* Whether a shared trait speaks for itself, or only beside similar names [DUP-2]. */
static bool needs_name(const struct duplicates *all, const struct key *key)
{
    if (key->type == TRAIT_IDENTIFIER)
        return false;
    return key->type == TRAIT_POSTCODE || strcmp(kinds[all->records[key->record].kind], "organization") != 0;
}

static int add_pair(struct duplicates *all, const struct key *x, const struct key *y)
{
    uint32_t a = x->record < y->record ? x->record : y->record, b = x->record ^ y->record ^ a;
    if (a == b)
        return KAART_OK;
    if (all->pair_count >= PAIRS_MAX) {
        all->full = true;
        return KAART_OK;
    }
    int code = grow((void **)&all->pairs, &all->pair_room, all->pair_count, sizeof *all->pairs, all->fault);
    if (!code)
        all->pairs[all->pair_count++] = (struct pair){.a = a, .b = b, .traits = (uint16_t)(1u << x->type)};
    return code;
}

static int pair_all(struct duplicates *all, const struct key *keys, size_t count, bool by_name)
{
    int code = KAART_OK;
    for (size_t i = 0; !code && i < count; i++)
        for (size_t j = i + 1; !code && j < count; j++)
            if (!by_name || name_similarity(all->records[keys[i].record].name,
                                            all->records[keys[j].record].name) >= SIMILAR)
                code = add_pair(all, &keys[i], &keys[j]);
    return code;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct duplicates *all = context;
    const struct key *x = a, *y = b;
    int order = strcmp(all->records[x->record].name, all->records[y->record].name);
    return order ? order : x->record < y->record ? -1 : x->record > y->record;
}

/* The commonest are kept. */
static void note_common(struct duplicates *all, const struct key *key, size_t count)
{
    size_t place = all->common_count;
    while (place && all->common[place - 1].count < count)
        place--;
    if (place == COMMON_LISTED_MAX)
        return;
    if (all->common_count < COMMON_LISTED_MAX)
        all->common_count++;
    memmove(&all->common[place + 1], &all->common[place],
            (all->common_count - place - 1) * sizeof *all->common);
    all->common[place] = (struct common){
        .hash = key->hash, .record = key->record, .type = key->type, .count = (uint32_t)count};
}

/* [DUP-3]: of too many records only those with equal names, unless these are too many as well. */
static int pair_common(struct duplicates *all, struct key *keys, size_t count)
{
    int code = KAART_OK;
    note_common(all, keys, count);
    qsort_r(keys, count, sizeof *keys, compare_names, all);
    for (size_t i = 0, end; !code && i < count; i = end) {
        const char *name = all->records[keys[i].record].name;
        for (end = i + 1; end < count && strcmp(all->records[keys[end].record].name, name) == 0;)
            end++;
        if (*name && end - i <= COMMON_MAX)
            code = pair_all(all, &keys[i], end - i, false);
    }
    return code;
}

static int make_pairs(struct duplicates *all)
{
    int code = KAART_OK;
    if (all->key_count > 1)
        qsort(all->keys, all->key_count, sizeof *all->keys, compare_keys);
    for (size_t i = 0, end; !code && i < all->key_count; i = end) {
        struct key *first = &all->keys[i];
        for (end = i + 1; end < all->key_count && all->keys[end].hash == first->hash &&
                          all->keys[end].type == first->type;)
            end++;
        if (end - i > (first->type == TRAIT_POSTCODE ? COMMON_POSTCODE_MAX : COMMON_MAX))
            code = pair_common(all, first, end - i);
        else
            code = pair_all(all, first, end - i, needs_name(all, first));
    }
    return code;
}

/* ---- how likely ---- */

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return x->b < y->b ? -1 : x->b > y->b;
}

static int likeliest_first(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return compare_pairs(a, b);
}

/* Points for an order only: a number that one alone should have outweighs all else. */
static uint16_t score_of(const struct duplicates *all, const struct pair *pair)
{
    int score = name_similarity(all->records[pair->a].name, all->records[pair->b].name) / 4;
    score += pair->traits & 1u << TRAIT_IDENTIFIER ? 60 : 0;
    score += pair->traits & 1u << TRAIT_POSTCODE ? 10 : 0;
    score += pair->traits & 1u << TRAIT_PHONE ? 15 : 0;
    score += pair->traits & 1u << TRAIT_WEBSITE ? 15 : 0;
    return (uint16_t)score;
}

/* Each pair once, with all that it shares, in order. */
static void merge_pairs(struct duplicates *all)
{
    size_t count = 0;
    if (all->pair_count > 1)
        qsort(all->pairs, all->pair_count, sizeof *all->pairs, compare_pairs);
    for (size_t i = 0; i < all->pair_count; i++) {
        if (count && compare_pairs(&all->pairs[count - 1], &all->pairs[i]) == 0)
            all->pairs[count - 1].traits |= all->pairs[i].traits;
        else
            all->pairs[count++] = all->pairs[i];
    }
    all->pair_count = count;
    for (size_t i = 0; i < count; i++)
        all->pairs[i].score = score_of(all, &all->pairs[i]);
    if (count > 1)
        qsort(all->pairs, count, sizeof *all->pairs, likeliest_first);
}

/* ---- what is told ---- */

/* A record as it is now. */
struct side {
    struct found_record found;
    struct traits traits;
    cJSON *record;
    char (*parts)[UUID_TEXT_SIZE + 1];
    size_t part_count;
};

static void side_clear(struct side *side)
{
    found_record_clear(&side->found);
    cJSON_Delete(side->record);
    free(side->parts);
    memset(side, 0, sizeof *side);
}

/* KAART_UNKNOWN: it has gone meanwhile. */
static int side_read(struct duplicates *all, uint32_t record, struct side *side)
{
    char id[UUID_TEXT_SIZE + 1];
    const char *kind = kinds[all->records[record].kind];
    memset(side, 0, sizeof *side);
    map_uuid_text(all->records[record].uuid, id);
    int code = map_find(all->map, kind, id, &side->found, all->fault);
    if (!code && !side->found.shown)
        code = KAART_UNKNOWN;
    if (!code && !(side->record = cJSON_Parse(side->found.json)))
        code = no_memory(all->fault);
    if (!code)
        code = map_link_parts(all->map, id, &side->parts, &side->part_count, all->fault);
    if (code)
        side_clear(side);
    else
        traits_of(kind, side->record, &side->traits);
    return code;
}

/* [DUP-4]: a steward has said already that they are, or are not. */
static int is_settled(struct duplicates *all, const struct pair *pair, bool *settled)
{
    char a[UUID_TEXT_SIZE + 1], b[UUID_TEXT_SIZE + 1], id[UUID_TEXT_SIZE + 1];
    struct found_record found;
    *settled = false;
    map_uuid_text(all->records[pair->a].uuid, a);
    map_uuid_text(all->records[pair->b].uuid, b);
    int code = identity_of_pair(a, b, id);
    if (!code)
        code = map_find(all->map, "relation", id, &found, all->fault);
    if (code)
        return code == KAART_UNKNOWN ? KAART_OK : code;
    cJSON *relation = found.shown ? cJSON_Parse(found.json) : NULL;
    const char *type = json_get_string(relation, "type");
    *settled = type && (strcmp(type, "same-as") == 0 || strcmp(type, "not-same-as") == 0);
    cJSON_Delete(relation);
    found_record_clear(&found);
    return KAART_OK;
}

static bool add_evidence(cJSON *list, const struct traits *a, const struct traits *b, bool organization)
{
    int similarity = name_similarity(a->name, b->name);
    for (size_t i = 0; i < a->count; i++) {
        const struct trait *trait = &a->items[i];
        bool needs = trait->type == TRAIT_POSTCODE || (trait->type != TRAIT_IDENTIFIER && !organization);
        if (!traits_have(b, trait->type, trait->value) || (needs && similarity < SIMILAR))
            continue;
        cJSON *item = cJSON_CreateObject();
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return false;
        }
        if (!cJSON_AddStringToObject(item, "type", trait_names[trait->type]) ||
            !cJSON_AddStringToObject(item, "value", trait->value) ||
            (needs && !cJSON_AddNumberToObject(item, "nameSimilarity", similarity)))
            return false;
    }
    return true;
}

static bool add_side(cJSON *to, const char *name, const struct side *side)
{
    cJSON *object = cJSON_AddObjectToObject(to, name);
    const char *called = record_name(side->found.place.kind, side->record);
    return object && cJSON_AddStringToObject(object, "id", side->found.place.id) &&
           cJSON_AddStringToObject(object, "name", called ? called : "") &&
           (!side->part_count || cJSON_AddNumberToObject(object, "parts", (double)side->part_count));
}

/* A proposal: whoever has parts stays the main record, else the one that more is known of. */
static bool a_is_main(const struct duplicates *all, const struct pair *pair, const struct side *a,
                      const struct side *b)
{
    if ((a->part_count != 0) != (b->part_count != 0))
        return a->part_count != 0;
    return all->records[pair->a].members >= all->records[pair->b].members;
}

/* *told: it was appended; otherwise there is nothing to show for it any more. */
static int tell_pair(struct duplicates *all, const struct pair *pair, cJSON *list, bool *told)
{
    struct side a, b = {0};
    cJSON *item = cJSON_CreateObject();
    *told = false;
    int code = side_read(all, pair->a, &a);
    if (!code)
        code = side_read(all, pair->b, &b);
    if (code) {
        cJSON_Delete(item);
        side_clear(&a);
        return code == KAART_UNKNOWN ? KAART_OK : code;
    }
    bool first = a_is_main(all, pair, &a, &b);
    const char *kind = kinds[all->records[pair->a].kind];
    cJSON *evidence;
    bool good = item && cJSON_AddStringToObject(item, "kind", kind) &&
                add_side(item, "alias", first ? &b : &a) && add_side(item, "main", first ? &a : &b) &&
                cJSON_AddNumberToObject(item, "score", pair->score) &&
                (evidence = cJSON_AddArrayToObject(item, "evidence")) &&
                add_evidence(evidence, &a.traits, &b.traits, strcmp(kind, "organization") == 0);
    side_clear(&a);
    side_clear(&b);
    if (good && evidence->child && (*told = cJSON_AddItemToArray(list, item)))
        return KAART_OK;
    cJSON_Delete(item);
    return good ? KAART_OK : no_memory(all->fault);
}

static int tell_pairs(struct duplicates *all, cJSON *list, size_t limit, bool *more)
{
    int code = KAART_OK;
    size_t count = 0;
    *more = all->full;
    for (size_t i = 0; !code && i < all->pair_count; i++) {
        bool settled, told = false;
        code = is_settled(all, &all->pairs[i], &settled);
        if (code || settled)
            continue;
        if (count == limit) {
            *more = true;
            break;
        }
        code = tell_pair(all, &all->pairs[i], list, &told);
        count += told;
    }
    return code;
}

/* The value is read of one of those who have it. */
static int tell_common(struct duplicates *all, cJSON *list)
{
    for (size_t i = 0; i < all->common_count; i++) {
        const struct common *common = &all->common[i];
        struct side side;
        uint8_t kind = all->records[common->record].kind;
        int code = side_read(all, common->record, &side);
        if (code == KAART_UNKNOWN)
            continue;
        if (code)
            return code;
        for (size_t j = 0; !code && j < side.traits.count; j++) {
            const struct trait *trait = &side.traits.items[j];
            if (trait->type != common->type || trait_hash(kind, trait) != common->hash)
                continue;
            cJSON *item = cJSON_CreateObject();
            if (!item || !cJSON_AddItemToArray(list, item)) {
                cJSON_Delete(item);
                code = no_memory(all->fault);
                break;
            }
            if (!cJSON_AddStringToObject(item, "kind", kinds[kind]) ||
                !cJSON_AddStringToObject(
                    item, "type", trait->type == TRAIT_POSTCODE ? "postcode" : trait_names[trait->type]) ||
                !cJSON_AddStringToObject(item, "value", trait->value) ||
                !cJSON_AddNumberToObject(item, "records", common->count))
                code = no_memory(all->fault);
        }
        side_clear(&side);
        if (code)
            return code;
    }
    return KAART_OK;
}

static int tell(struct duplicates *all, size_t limit, cJSON *out)
{
    bool more = false;
    cJSON *list = cJSON_AddArrayToObject(out, "duplicates"),
          *common = cJSON_AddArrayToObject(out, "tooCommon");
    int code = list && common ? map_read_begin(all->map, all->fault) : no_memory(all->fault);
    if (code)
        return code;
    code = tell_pairs(all, list, limit, &more);
    if (!code)
        code = tell_common(all, common);
    map_read_end(all->map);
    if (!code && (!cJSON_AddBoolToObject(out, "more", more) ||
                  !cJSON_AddNumberToObject(out, "compared", (double)all->record_count)))
        code = no_memory(all->fault);
    return code;
}

int map_duplicates(struct map *map, const char *kind, size_t limit, cJSON **out, struct fault *fault)
{
    struct duplicates *all = calloc(1, sizeof *all);
    *out = NULL;
    if (!all)
        return no_memory(fault);
    all->map = map;
    all->fault = fault;
    int code = KAART_OK;
    if (kind && kind_number(kind) < 0)
        code = fault_set(
            fault, KAART_INVALID,
            "Duplicates are looked for among records of the kinds activity, location, organization, "
            "professional, program and service.");
    if (!code)
        code = map_export(map, kind, take_record, all, fault);
    if (!code)
        code = make_pairs(all);
    if (!code) {
        merge_pairs(all);
        code = (*out = cJSON_CreateObject()) ? tell(all, limit, *out) : no_memory(fault);
    }
    for (size_t i = 0; i < all->record_count; i++)
        free(all->records[i].name);
    free(all->records);
    free(all->keys);
    free(all->pairs);
    free(all);
    if (code) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return code;
}
