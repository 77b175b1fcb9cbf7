/*
 * source_diff.c - what changed since the source last spoke. The life of one claim, as the entries themselves
 * tell it:
 *
 *             listed                    not listed                          not listed for missing_runs runs
 *     (none) -------> asserted -----------------------> missing_since = day ---- and missing_for ---->
 * retracted ^                                      |
 *                        +---------------- listed again --------+
 *
 * Nothing about a claim is remembered outside its live entry (whose `at` is the moment it went missing) and
 * the moments of the last complete runs, so a crash at any point loses nothing: the next run sees the same
 * and decides the same.
 */
#include "daemon/source/source_diff.h"
#include "protocol/entry.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The profile has 12 kinds; strange ones may stand in an old feed. */
#define KINDS_MAX 64
/* Half of the claims of a hash, enough to tell two bodies apart. */
#define CONTENT_SIZE 16

enum { FLAG_FORMER = 1, FLAG_LISTED = 2, FLAG_BROKEN = 4, FLAG_EXPLAINED = 8 };

struct item {
    uint8_t id[16];
    uint8_t content[CONTENT_SIZE]; /* of the former claim, or of the row that was listed first */
    uint64_t seq;
    int64_t at_ms;
    int32_t missing_since;
    uint32_t row;
    uint8_t kind;
    uint8_t flags;
};

struct source_diff {
    char source[NAME_MAX_SIZE + 1];
    char role[NAME_MAX_SIZE + 1];
    struct hasher *hasher;
    char kinds[KINDS_MAX][NAME_MAX_SIZE + 1];
    size_t kind_count;
    size_t unidentified[KINDS_MAX]; /* the row of the first, per kind */
    struct item *items;
    size_t count, room;
    uint32_t *slots; /* index + 1 into items; 0: free */
    size_t slot_count;
    int32_t confirmed;
    size_t live;
};

struct source_diff *source_diff_new(const char *source, const char *role)
{
    struct source_diff *diff = calloc(1, sizeof(*diff));
    if (diff == NULL)
        return NULL;
    snprintf(diff->source, sizeof(diff->source), "%s", source);
    snprintf(diff->role, sizeof(diff->role), "%s", role);
    diff->confirmed = DAY_NONE;
    diff->slot_count = 1024;
    diff->slots = calloc(diff->slot_count, sizeof(*diff->slots));
    diff->hasher = hasher_new();
    if (diff->slots == NULL || diff->hasher == NULL) {
        source_diff_free(diff);
        return NULL;
    }
    return diff;
}

void source_diff_free(struct source_diff *diff)
{
    if (diff == NULL)
        return;
    hasher_free(diff->hasher);
    free(diff->items);
    free(diff->slots);
    free(diff);
}

/* ---- the table ---- */

/* A UUID's 32 digits to 16 bytes; the text was checked by whoever made it. */
static void pack_id(const char *text, uint8_t id[16])
{
    char digits[33];
    size_t size = 0;
    for (const char *p = text; *p != '\0' && size < 32; p++) {
        if (*p != '-')
            digits[size++] = *p;
    }
    memset(id, 0, 16);
    hex_decode(digits, size, id, 16);
}

static void unpack_id(const uint8_t id[16], char text[UUID_TEXT_SIZE + 1])
{
    char digits[33];
    hex_encode(id, 16, digits);
    snprintf(text, UUID_TEXT_SIZE + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12,
             digits + 16, digits + 20);
}

static bool find_kind(const struct source_diff *diff, const char *kind, uint8_t *index)
{
    for (size_t i = 0; i < diff->kind_count; i++) {
        if (strcmp(diff->kinds[i], kind) == 0) {
            *index = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static int intern_kind(struct source_diff *diff, const char *kind, uint8_t *index)
{
    if (find_kind(diff, kind, index))
        return KAART_OK;
    if (diff->kind_count == KINDS_MAX)
        return KAART_LIMIT;
    snprintf(diff->kinds[diff->kind_count], sizeof(diff->kinds[0]), "%s", kind);
    *index = (uint8_t)diff->kind_count++;
    return KAART_OK;
}

/* The slot that holds the record, or the free one where it belongs. Ids are hashes or random, so their bytes
 * spread well. */
static size_t slot_of(const struct source_diff *diff, uint8_t kind, const uint8_t id[16])
{
    uint64_t start = 0;
    memcpy(&start, id + 8, sizeof(start));
    size_t slot = (size_t)(start ^ ((uint64_t)kind * 0x9E3779B97F4A7C15ULL)) & (diff->slot_count - 1);
    while (diff->slots[slot] != 0) {
        const struct item *item = &diff->items[diff->slots[slot] - 1];
        if (item->kind == kind && memcmp(item->id, id, 16) == 0)
            break;
        slot = (slot + 1) & (diff->slot_count - 1);
    }
    return slot;
}

static int grow_slots(struct source_diff *diff)
{
    uint32_t *bigger = calloc(diff->slot_count * 2, sizeof(*bigger));
    if (bigger == NULL)
        return KAART_NOMEM;
    free(diff->slots);
    diff->slots = bigger;
    diff->slot_count *= 2;
    for (size_t i = 0; i < diff->count; i++)
        diff->slots[slot_of(diff, diff->items[i].kind, diff->items[i].id)] = (uint32_t)(i + 1);
    return KAART_OK;
}

static struct item *find_item(const struct source_diff *diff, const char *kind, const char *id)
{
    uint8_t index = 0, packed[16];
    if (!find_kind(diff, kind, &index))
        return NULL;
    pack_id(id, packed);
    uint32_t at = diff->slots[slot_of(diff, index, packed)];
    return at != 0 ? &diff->items[at - 1] : NULL;
}

/* The record's item, made if there is none. */
static int item_for(struct source_diff *diff, const char *kind, const char *id, struct item **out)
{
    struct item made = {.missing_since = DAY_NONE};
    *out = find_item(diff, kind, id);
    if (*out != NULL)
        return KAART_OK;
    int code = intern_kind(diff, kind, &made.kind);
    if (code == KAART_OK && diff->count * 2 >= diff->slot_count)
        code = grow_slots(diff);
    if (code != KAART_OK)
        return code;
    if (diff->count == diff->room) {
        size_t room = diff->room > 0 ? diff->room * 2 : 512;
        struct item *grown = realloc(diff->items, room * sizeof(*grown));
        if (grown == NULL)
            return KAART_NOMEM;
        diff->items = grown;
        diff->room = room;
    }
    pack_id(id, made.id);
    diff->slots[slot_of(diff, made.kind, made.id)] = (uint32_t)(diff->count + 1);
    diff->items[diff->count] = made;
    *out = &diff->items[diff->count++];
    return KAART_OK;
}

/* What makes two claims of one source the same: body, areas and role. */
static int content_hash(struct source_diff *diff, struct span body, struct span areas, const char *role,
                        uint8_t out[CONTENT_SIZE])
{
    struct hash parts[3], whole;
    int code = hasher_digest(diff->hasher, body.data, body.size, &parts[0]);
    if (code == KAART_OK)
        code = hasher_digest(diff->hasher, areas.data != NULL ? areas.data : "", areas.size, &parts[1]);
    if (code == KAART_OK)
        code = hasher_digest(diff->hasher, role, strlen(role), &parts[2]);
    if (code == KAART_OK)
        code = hasher_digest(diff->hasher, parts, sizeof(parts), &whole);
    if (code == KAART_OK)
        memcpy(out, whole.bytes, CONTENT_SIZE);
    return code;
}

/* ---- what was said before ---- */

int source_diff_former(struct source_diff *diff, const char *line, size_t size, struct fault *fault)
{
    struct entry entry;
    struct item *item = NULL;
    int code = entry_parse(line, size, &entry, fault);
    if (code != KAART_OK || entry.op != ENTRY_ASSERT || strcmp(entry.source, diff->source) != 0)
        return code;
    if (strcmp(entry.kind, "confirmation") == 0) {
        diff->confirmed = entry.verified;
        return KAART_OK;
    }
    code = item_for(diff, entry.kind, entry.id, &item);
    if (code == KAART_OK)
        code = content_hash(diff, entry.body, entry.areas, entry.role, item->content);
    if (code != KAART_OK)
        return fault_set(fault, code, "out of memory, or more than %d kinds of record", KINDS_MAX);
    item->flags |= FLAG_FORMER;
    item->seq = entry.seq;
    item->at_ms = entry.at_ms;
    item->missing_since = entry.missing_since;
    diff->live++;
    return KAART_OK;
}

bool source_diff_known(void *diff, const char *kind, const char *id)
{
    const struct item *item = find_item(diff, kind, id);
    return item != NULL && (item->flags & FLAG_FORMER) != 0;
}

int32_t source_diff_confirmed(const struct source_diff *diff)
{
    return diff->confirmed;
}

size_t source_diff_live(const struct source_diff *diff)
{
    return diff->live;
}

/* ---- what is listed now ---- */

int source_diff_listed(struct source_diff *diff, const char *kind, const char *id, const char *body,
                       const char *areas, size_t row, enum diff_outcome *outcome, size_t *first_row)
{
    struct item *item = NULL;
    uint8_t content[CONTENT_SIZE];
    struct span body_span = {body, strlen(body)}, areas_span = {areas, areas != NULL ? strlen(areas) : 0};
    int code = item_for(diff, kind, id, &item);
    if (code == KAART_OK)
        code = content_hash(diff, body_span, areas_span, diff->role, content);
    if (code != KAART_OK)
        return code;
    bool same = memcmp(content, item->content, CONTENT_SIZE) == 0;
    bool former = (item->flags & FLAG_FORMER) != 0;
    *first_row = item->row;
    if ((item->flags & FLAG_LISTED) != 0 && (item->flags & FLAG_BROKEN) == 0) {
        *outcome = same ? DIFF_REPEATED : DIFF_CONTRADICTS;
        return KAART_OK;
    }
    *outcome = !former                           ? DIFF_NEW
               : item->missing_since != DAY_NONE ? DIFF_RETURNED
               : same                            ? DIFF_UNCHANGED
                                                 : DIFF_CHANGED;
    item->flags = (uint8_t)((item->flags | FLAG_LISTED) & ~FLAG_BROKEN);
    item->row = (uint32_t)row;
    memcpy(item->content, content, CONTENT_SIZE);
    return KAART_OK;
}

int source_diff_present(struct source_diff *diff, const char *kind, const char *id, size_t row)
{
    struct item *item = NULL;
    int code = item_for(diff, kind, id, &item);
    if (code == KAART_OK && (item->flags & FLAG_LISTED) == 0) {
        item->flags |= FLAG_LISTED | FLAG_BROKEN;
        item->row = (uint32_t)row;
    }
    return code;
}

void source_diff_unidentified(struct source_diff *diff, const char *kind, size_t row)
{
    uint8_t index = 0;
    if (intern_kind(diff, kind, &index) == KAART_OK && diff->unidentified[index] == 0)
        diff->unidentified[index] = row;
}

bool source_diff_was_listed(const struct source_diff *diff, const char *kind, const char *id)
{
    const struct item *item = find_item(diff, kind, id);
    return item != NULL && (item->flags & FLAG_LISTED) != 0;
}

/* ---- what is gone ---- */

static bool is_gone(const struct item *item)
{
    return (item->flags & FLAG_FORMER) != 0 && (item->flags & FLAG_LISTED) == 0;
}

static bool newly_gone(const struct item *item)
{
    return is_gone(item) && item->missing_since == DAY_NONE;
}

/* A record whose parent vanished as well is no row of its own. The parent may be of any kind. */
static bool vanished_anywhere(const struct source_diff *diff, const char *id)
{
    for (size_t i = 0; i < diff->kind_count; i++) {
        const struct item *item = find_item(diff, diff->kinds[i], id);
        if (item != NULL && is_gone(item))
            return true;
    }
    return false;
}

static int explain(struct source_diff *diff, const struct diff_rules *rules, struct fault *fault)
{
    char parent[UUID_TEXT_SIZE + 1];
    for (size_t i = 0; i < diff->count && rules->parent != NULL; i++) {
        struct item *item = &diff->items[i];
        if (!newly_gone(item))
            continue;
        parent[0] = '\0';
        int code = rules->parent(rules->parent_context, diff->kinds[item->kind], item->seq, parent, fault);
        if (code != KAART_OK)
            return code;
        if (parent[0] != '\0' && vanished_anywhere(diff, parent))
            item->flags |= FLAG_EXPLAINED;
    }
    return KAART_OK;
}

static void trip(struct diff_verdict *verdict, const char *reason)
{
    if (!verdict->tripped)
        snprintf(verdict->reason, sizeof(verdict->reason), "%s", reason);
    verdict->tripped = true;
}

/* The fuse for one kind of record. [SRC-5] */
static void test_kind(const struct source_diff *diff, size_t kind, const struct diff_rules *rules,
                      struct diff_verdict *verdict)
{
    size_t before = 0, vanished = 0, gone = 0;
    char reason[200];
    for (size_t i = 0; i < diff->count; i++) {
        const struct item *item = &diff->items[i];
        if (item->kind != kind || (item->flags & FLAG_FORMER) == 0 || item->missing_since != DAY_NONE)
            continue;
        before++;
        if (newly_gone(item)) {
            gone++;
            vanished += (item->flags & FLAG_EXPLAINED) == 0;
        }
    }
    bool many = before < DIFF_FEW_ROWS ? vanished >= rules->fuse_rows
                                       : vanished * 100 > (size_t)rules->fuse_percent * before;
    if (vanished > 0 && many) {
        snprintf(reason, sizeof(reason), "%zu of %zu records of kind %s are not in the list any more",
                 vanished, before, diff->kinds[kind]);
        trip(verdict, reason);
    } else if (gone > 0 && diff->unidentified[kind] > 0) {
        snprintf(reason, sizeof(reason),
                 "row %zu cannot be told apart, and may be one of %zu records of kind %s that seem gone",
                 diff->unidentified[kind], gone, diff->kinds[kind]);
        trip(verdict, reason);
    }
}

/* What becomes of one record that is not listed. [SRC-4] */
static enum gone_step step_of(const struct item *item, const struct diff_rules *rules)
{
    size_t runs = 1; /* this one */
    if (item->missing_since == DAY_NONE)
        return rules->missing_runs <= 1 && rules->missing_for_ms <= 0 ? GONE_RETRACT : GONE_MARK;
    runs++; /* the one that marked it */
    for (size_t i = 0; i < rules->complete_run_count; i++)
        runs += rules->complete_runs[i] > item->at_ms;
    bool long_enough = rules->now_ms - item->at_ms >= rules->missing_for_ms;
    return runs >= rules->missing_runs && long_enough ? GONE_RETRACT : GONE_KEEP;
}

static int list_gone(const struct source_diff *diff, const struct diff_rules *rules,
                     struct diff_verdict *verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < diff->count; i++)
        count += is_gone(&diff->items[i]);
    verdict->gone = malloc((count + 1) * sizeof(*verdict->gone));
    if (verdict->gone == NULL)
        return KAART_NOMEM;
    for (size_t i = 0; i < diff->count; i++) {
        const struct item *item = &diff->items[i];
        if (!is_gone(item) || (rules->unchanged_listing && item->missing_since == DAY_NONE))
            continue;
        struct diff_gone *gone = &verdict->gone[verdict->gone_count++];
        *gone = (struct diff_gone){.seq = item->seq, .missing_since = item->missing_since};
        memcpy(gone->kind, diff->kinds[item->kind], sizeof(gone->kind));
        unpack_id(item->id, gone->id);
        gone->step = step_of(item, rules);
        verdict->missing += gone->step != GONE_RETRACT;
    }
    return KAART_OK;
}

int source_diff_settle(struct source_diff *diff, const struct diff_rules *rules, struct diff_verdict *verdict,
                       struct fault *fault)
{
    *verdict = (struct diff_verdict){.tripped = false};
    if (!rules->unchanged_listing) {
        int code = explain(diff, rules, fault);
        if (code != KAART_OK)
            return code;
        if (rules->rows == 0 && diff->live > 0)
            trip(verdict, "the list is empty");
        for (size_t i = 0; i < diff->kind_count; i++)
            test_kind(diff, i, rules, verdict);
    }
    if (list_gone(diff, rules, verdict) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    return KAART_OK;
}

void diff_verdict_clear(struct diff_verdict *verdict)
{
    free(verdict->gone);
    *verdict = (struct diff_verdict){.tripped = false};
}
