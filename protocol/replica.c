/*
 * replica.c - a feed's live set in memory. The states are in replica.h.
 *
 * A stream is applied to a copy of the live set (lines are shared, and counted); only if root, count and the
 * rules agree does the copy take the place of what was held.
 */
#include "protocol/replica.h"
#include "protocol/stream.h"

#include <stdlib.h>
#include <string.h>

/* The bytes of an entry, shared by the sets that hold it. */
struct line {
    size_t owners;
    size_t size;
    char bytes[];
};

struct item {
    uint64_t seq;
    struct entry_key key;
    struct hash leaf;
    bool tombstone;
    struct line *line; /* NULL: dead, until live_compact */
};

/* Items in order of seq, and a table from key to the item that is live under it. */
struct live {
    struct item *items;
    size_t count, capacity;
    size_t *slots; /* index + 1 into items, 0: free; open addressing, a power of two */
    size_t slot_count;
};

struct replica {
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct verifier_key keys[FEED_KEYS_MAX];
    size_t key_count;
    struct hasher *hasher;
    struct live live;
    bool held, frozen;
    struct line **pending; /* appended, not yet signed */
    size_t pending_count, pending_capacity;
    uint64_t next; /* the least position that may be appended */
    struct checkpoint head;
    char note[NOTE_SIZE_MAX];
    size_t note_size;
};

const char *replica_outcome_name(enum replica_outcome outcome)
{
    static const char *const names[] = {"applied", "same", "behind", "full-needed", "refused", "fork"};

    return names[outcome];
}

/* ---- live set ---- */

static struct line *line_new(const char *bytes, size_t size)
{
    struct line *line = malloc(sizeof *line + size);

    if (line) {
        line->owners = 1;
        line->size = size;
        memcpy(line->bytes, bytes, size);
    }
    return line;
}

static void line_drop(struct line *line)
{
    if (line && --line->owners == 0)
        free(line);
}

static void live_clear(struct live *live)
{
    for (size_t i = 0; i < live->count; i++)
        line_drop(live->items[i].line);
    free(live->items);
    free(live->slots);
    memset(live, 0, sizeof *live);
}

/* The slot where a key is or would be. Keys are cut from SHA-256, so their bytes serve as the hash. */
static size_t *find_slot(const struct live *live, const struct entry_key *key)
{
    uint64_t hash;
    size_t at;

    memcpy(&hash, key->bytes, sizeof hash);
    for (at = (size_t)hash & (live->slot_count - 1);; at = (at + 1) & (live->slot_count - 1))
        if (live->slots[at] == 0 || memcmp(&live->items[live->slots[at] - 1].key, key, sizeof *key) == 0)
            return &live->slots[at];
}

/* Makes the table anew, for `slot_count` slots. */
static int index_items(struct live *live, size_t slot_count)
{
    size_t *slots = calloc(slot_count, sizeof *slots);

    if (!slots)
        return KAART_NOMEM;
    free(live->slots);
    live->slots = slots;
    live->slot_count = slot_count;
    for (size_t i = 0; i < live->count; i++)
        if (live->items[i].line)
            *find_slot(live, &live->items[i].key) = i + 1;
    return KAART_OK;
}

/* Room for one more item, with the table at most half full. */
static int make_room(struct live *live)
{
    if (live->count == live->capacity) {
        size_t capacity = live->capacity ? 2 * live->capacity : 64;
        struct item *items = realloc(live->items, capacity * sizeof *items);

        if (!items)
            return KAART_NOMEM;
        live->items = items;
        live->capacity = capacity;
    }
    if (2 * (live->count + 1) > live->slot_count)
        return index_items(live, live->slot_count ? 2 * live->slot_count : 256);
    return KAART_OK;
}

/* A copy that shares the lines. */
static int live_copy(const struct live *from, struct live *to)
{
    memset(to, 0, sizeof *to);
    if (from->count == 0)
        return KAART_OK;
    to->items = malloc(from->count * sizeof *to->items);
    if (!to->items)
        return KAART_NOMEM;
    memcpy(to->items, from->items, from->count * sizeof *to->items);
    to->count = to->capacity = from->count;
    for (size_t i = 0; i < to->count; i++)
        if (to->items[i].line)
            to->items[i].line->owners++;
    return index_items(to, from->slot_count);
}

/* Adds an entry and kills the one whose key it has [ENTRY-10]. */
static int live_add(struct live *live, struct hasher *hasher, const struct entry *entry, const char *line,
                    size_t size)
{
    struct item *item;
    size_t *slot;
    int code = make_room(live);

    if (code != KAART_OK)
        return code;
    item = &live->items[live->count];
    item->seq = entry->seq;
    item->tombstone = entry->op != ENTRY_ASSERT;
    code = entry_key(hasher, entry->kind, entry->id, entry->source, &item->key);
    if (code == KAART_OK)
        code = hasher_leaf(hasher, line, size, &item->leaf);
    if (code != KAART_OK)
        return code;
    item->line = line_new(line, size);
    if (!item->line)
        return KAART_NOMEM;
    slot = find_slot(live, &item->key);
    if (*slot) {
        line_drop(live->items[*slot - 1].line); /* [ENTRY-11] */
        live->items[*slot - 1].line = NULL;
    }
    *slot = ++live->count;
    return KAART_OK;
}

/* Drops tombstones below the floor [CP-9], and removes what is dead. */
static int live_compact(struct live *live, uint64_t floor)
{
    size_t kept = 0;

    for (size_t i = 0; i < live->count; i++) {
        struct item *item = &live->items[i];

        if (item->line && item->tombstone && item->seq < floor) {
            line_drop(item->line);
            item->line = NULL;
        }
        if (item->line)
            live->items[kept++] = *item;
    }
    live->count = kept;
    return live->slot_count ? index_items(live, live->slot_count) : KAART_OK;
}

/* The first of items[0 ... count) at or beyond a position. */
static size_t lower_bound(const struct item *items, size_t count, uint64_t seq)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (items[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- tree ---- */

/* The node of a height over these items, all of which lie under it. Five calls deep at most. */
static int node_of_items(struct hasher *hasher, const struct item *items, size_t count, unsigned height,
                         struct hash *out);

static int children_of_items(struct hasher *hasher, const struct item *items, size_t count, unsigned height,
                             struct hash out[TREE_FANOUT])
{
    unsigned shift = height - TREE_STEP;

    memset(out, 0, TREE_FANOUT * sizeof *out);
    while (count > 0) {
        uint64_t index = items[0].seq >> shift;
        size_t under = lower_bound(items, count, (index + 1) << shift);
        int code = node_of_items(hasher, items, under, shift, &out[index % TREE_FANOUT]);

        if (code != KAART_OK)
            return code;
        items += under;
        count -= under;
    }
    return KAART_OK;
}

static int node_of_items(struct hasher *hasher, const struct item *items, size_t count, unsigned height,
                         struct hash *out)
{
    struct hash children[TREE_FANOUT];
    int code;

    if (height == 0) {
        *out = items->leaf;
        return KAART_OK;
    }
    code = children_of_items(hasher, items, count, height, children);
    return code == KAART_OK ? tree_fold(hasher, children, out) : code;
}

/* struct tree_storage.children over a replica */
static int replica_children(void *context, unsigned height, uint64_t index, struct hash out[TREE_FANOUT],
                            struct fault *fault)
{
    const struct replica *replica = context;
    const struct live *live = &replica->live;
    size_t first = lower_bound(live->items, live->count, index << height);
    size_t end = lower_bound(live->items, live->count, (index + 1) << height);

    if (children_of_items(replica->hasher, live->items + first, end - first, height, out) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", replica->feed);
    return KAART_OK;
}

int replica_path(const struct replica *replica, uint64_t position, struct hash siblings[TREE_HEIGHT],
                 struct hash *leaf, struct fault *fault)
{
    struct tree_storage storage = {.context = (void *)replica, .children = replica_children};
    size_t index = replica_find(replica, position);

    memset(leaf, 0, sizeof *leaf);
    if (index < replica->live.count)
        *leaf = replica->live.items[index].leaf;
    return tree_path(replica->hasher, &storage, position, siblings, fault);
}

/* ---- life ---- */

struct replica *replica_new(const char *feed, const struct verifier_key *keys, size_t key_count)
{
    struct replica *replica;

    if (key_count > FEED_KEYS_MAX || !syntax_is_feed(feed, strlen(feed)))
        return NULL;
    replica = calloc(1, sizeof *replica);
    if (!replica)
        return NULL;
    memcpy(replica->feed, feed, strlen(feed) + 1);
    memcpy(replica->keys, keys, key_count * sizeof *keys);
    replica->key_count = key_count;
    replica->hasher = hasher_new();
    if (!replica->hasher) {
        replica_free(replica);
        return NULL;
    }
    return replica;
}

void replica_free(struct replica *replica)
{
    if (!replica)
        return;
    live_clear(&replica->live);
    for (size_t i = 0; i < replica->pending_count; i++)
        line_drop(replica->pending[i]);
    free(replica->pending);
    hasher_free(replica->hasher);
    free(replica);
}

/* ---- subscriber ---- */

/* A stream on its way to become what is held. */
struct offer {
    struct replica *replica;
    bool full;
    struct live live;
    size_t entries;
    uint64_t last_seq;
    bool complete;
    char note[NOTE_SIZE_MAX];
    size_t note_size;
};

static int offered_entry(void *context, const struct entry *entry, const char *line, size_t size,
                         struct fault *fault)
{
    struct offer *offer = context;

    /* over all pages together [STREAM-6]; no effect before the root matched [SYNC-8] */
    offer->entries++;
    offer->last_seq = entry->seq;
    if (live_add(&offer->live, offer->replica->hasher, entry, line, size) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", offer->replica->feed);
    return KAART_OK;
}

static int offered_checkpoint(void *context, const char *note, size_t size, struct fault *fault)
{
    struct offer *offer = context;

    (void)fault; /* the reader has checked the size */
    offer->complete = true;
    memcpy(offer->note, note, size);
    offer->note_size = size;
    return KAART_OK;
}

/* Reads the whole stream into the offer. */
static int read_stream(struct offer *offer, const char *stream, size_t size, struct fault *fault)
{
    const struct stream_events events = {
        .context = offer, .entry = offered_entry, .checkpoint = offered_checkpoint, .next = NULL};
    uint64_t since = offer->full ? 0 : offer->replica->head.size;
    struct stream_reader *reader = stream_reader_new(since, 0, &events);
    int code;

    if (!reader)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", offer->replica->feed);
    code = stream_reader_write(reader, stream, size, fault);
    if (code == KAART_OK)
        code = stream_reader_finish(reader, fault);
    stream_reader_free(reader);
    if (code == KAART_OK && !offer->complete)
        code = fault_set(fault, KAART_ORDER, "replica of %s: the stream ends before the head [STREAM-5]",
                         offer->replica->feed);
    return code;
}

/* Root and count of what would be live [SYNC-3] [SYNC-4]. */
static int verify_live(struct offer *offer, const struct checkpoint *head, struct fault *fault)
{
    const char *feed = offer->replica->feed;
    struct hash root;

    if (offer->entries > 0 && offer->last_seq >= head->size)
        return fault_set(fault, KAART_ORDER, "replica of %s: entry %llu beyond size %llu [STREAM-4]", feed,
                         (unsigned long long)offer->last_seq, (unsigned long long)head->size);
    if (offer->full && offer->entries > FULL_SYNC_FACTOR * head->live + FULL_SYNC_SLACK)
        return fault_set(fault, KAART_LIMIT, "replica of %s: %zu entries for %llu live ones [SYNC-5]", feed,
                         offer->entries, (unsigned long long)head->live);
    if (live_compact(&offer->live, head->floor) != KAART_OK)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", feed);
    if (offer->live.count != head->live)
        return fault_set(fault, KAART_ROOT, "replica of %s: %zu live entries, signed are %llu [SYNC-4]", feed,
                         offer->live.count, (unsigned long long)head->live);
    if (node_of_items(offer->replica->hasher, offer->live.items, offer->live.count, TREE_HEIGHT, &root) !=
        KAART_OK)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", feed);
    if (!hash_equal(&root, &head->root))
        return fault_set(fault, KAART_ROOT,
                         "replica of %s: the live set does not have the signed root [SYNC-4]", feed);
    return KAART_OK;
}

/* [DEATH-1]: what is live below the held size was live there, with the same leaf. */
static int check_only_death(const struct offer *offer, struct fault *fault)
{
    const struct replica *replica = offer->replica;
    const struct live *held = &replica->live, *live = &offer->live;
    size_t h = 0;

    for (size_t i = 0; i < live->count && live->items[i].seq < replica->head.size; i++) {
        while (h < held->count && held->items[h].seq < live->items[i].seq)
            h++;
        if (h == held->count || held->items[h].seq != live->items[i].seq ||
            !hash_equal(&held->items[h].leaf, &live->items[i].leaf))
            return fault_set(fault, KAART_FORK, "replica of %s: position %llu is not what was held [DEATH-1]",
                             replica->feed, (unsigned long long)live->items[i].seq);
    }
    return KAART_OK;
}

/* Puts the offer in the place of what was held. */
static void take_offer(struct offer *offer, const struct checkpoint *head)
{
    struct replica *replica = offer->replica;

    live_clear(&replica->live);
    replica->live = offer->live;
    memset(&offer->live, 0, sizeof offer->live);
    replica->head = *head;
    memcpy(replica->note, offer->note, offer->note_size);
    replica->note_size = offer->note_size;
    replica->next = head->size;
    replica->held = true;
    replica->frozen = false;
}

static enum replica_outcome freeze(struct replica *replica, struct fault *fault)
{
    replica->frozen = true;
    fault_prefix(fault, "%s is frozen", replica->feed);
    return REPLICA_FORK;
}

/* The table of spec/feed.md, section 10, as far as it needs no entries. True: *outcome is final. */
static bool settle(struct offer *offer, const struct checkpoint *head, enum replica_outcome *outcome,
                   int *code, struct fault *fault)
{
    struct replica *replica = offer->replica;
    enum checkpoint_relation relation =
        replica->held ? checkpoint_compare(&replica->head, head) : CHECKPOINT_FULL;
    bool quiet = relation == CHECKPOINT_SAME || relation == CHECKPOINT_HEARTBEAT;

    if (replica->frozen && head->epoch == replica->head.epoch) {
        *code = fault_set(fault, KAART_FORK, "replica of %s: frozen in this epoch [DEATH-6]", replica->feed);
        *outcome = REPLICA_REFUSED;
    } else if (relation == CHECKPOINT_FORK) {
        *code = fault_set(fault, KAART_FORK, "two histories of epoch %llu are signed [DEATH-2]",
                          (unsigned long long)head->epoch);
        *outcome = freeze(replica, fault);
    } else if (relation == CHECKPOINT_BEHIND) {
        *outcome = REPLICA_BEHIND; /* [SYNC-1] */
    } else if (relation == CHECKPOINT_FULL && !offer->full) {
        *outcome = REPLICA_FULL_NEEDED;
    } else if (quiet && !offer->full && offer->entries > 0) {
        *code =
            fault_set(fault, KAART_ORDER,
                      "replica of %s: entries beside the held state's checkpoint [SYNC-12]", replica->feed);
        *outcome = REPLICA_REFUSED;
    } else if (relation == CHECKPOINT_SAME && !offer->full) {
        *outcome = REPLICA_SAME;
    } else {
        return false;
    }
    return true;
}

static enum replica_outcome judge(struct offer *offer, int *code, struct fault *fault)
{
    struct replica *replica = offer->replica;
    struct checkpoint head;
    enum replica_outcome outcome;

    *code = checkpoint_open(offer->note, offer->note_size, replica->feed, replica->keys, replica->key_count,
                            &head, fault);
    if (*code != KAART_OK)
        return REPLICA_REFUSED;
    if (settle(offer, &head, &outcome, code, fault))
        return outcome;
    *code = verify_live(offer, &head, fault);
    if (*code != KAART_OK)
        return REPLICA_REFUSED;
    if (offer->full && replica->held && head.epoch == replica->head.epoch) { /* [DEATH-5] */
        *code = check_only_death(offer, fault);
        if (*code != KAART_OK)
            return freeze(replica, fault);
    }
    take_offer(offer, &head);
    return REPLICA_APPLIED;
}

enum replica_outcome replica_offer(struct replica *replica, const char *stream, size_t size, bool full,
                                   int *code, struct fault *fault)
{
    struct offer *offer = calloc(1, sizeof *offer);
    enum replica_outcome outcome = REPLICA_REFUSED;
    int result;

    if (!offer) {
        result = fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", replica->feed);
        goto out;
    }
    offer->replica = replica;
    offer->full = full || !replica->held;
    result = offer->full ? KAART_OK : live_copy(&replica->live, &offer->live);
    if (result == KAART_OK)
        result = read_stream(offer, stream, size, fault);
    else
        fault_set(fault, result, "replica of %s: out of memory", replica->feed);
    if (result == KAART_OK)
        outcome = judge(offer, &result, fault);
    live_clear(&offer->live);
out:
    free(offer);
    if (code)
        *code = result;
    return outcome;
}

/* ---- what is held ---- */

const struct checkpoint *replica_head(const struct replica *replica)
{
    return replica->held ? &replica->head : NULL;
}

const char *replica_note(const struct replica *replica, size_t *size)
{
    *size = replica->note_size;
    return replica->held ? replica->note : NULL;
}

bool replica_frozen(const struct replica *replica)
{
    return replica->frozen;
}

size_t replica_live(const struct replica *replica)
{
    return replica->live.count;
}

const char *replica_line(const struct replica *replica, size_t index, uint64_t *seq, size_t *size)
{
    const struct item *item = &replica->live.items[index];

    if (seq)
        *seq = item->seq;
    *size = item->line->size;
    return item->line->bytes;
}

size_t replica_find(const struct replica *replica, uint64_t seq)
{
    const struct live *live = &replica->live;
    size_t index = lower_bound(live->items, live->count, seq);

    return index < live->count && live->items[index].seq == seq ? index : live->count;
}

bool replica_equal(const struct replica *a, const struct replica *b)
{
    if (a->held != b->held || a->live.count != b->live.count)
        return false;
    if (a->held && (a->head.epoch != b->head.epoch || a->head.size != b->head.size))
        return false;
    for (size_t i = 0; i < a->live.count; i++) {
        const struct item *x = &a->live.items[i], *y = &b->live.items[i];

        if (x->seq != y->seq || x->line->size != y->line->size ||
            memcmp(x->line->bytes, y->line->bytes, x->line->size) != 0)
            return false;
    }
    return true;
}

int replica_stream(const struct replica *replica, uint64_t since, char **stream, size_t *size)
{
    const struct live *live = &replica->live;
    size_t first = lower_bound(live->items, live->count, since), used = 0, control_size, total;
    char *control, *text;
    int code;

    if (!replica->held)
        return KAART_UNKNOWN;
    code = stream_format_checkpoint(replica->note, replica->note_size, &control, &control_size);
    if (code != KAART_OK)
        return code;
    total = control_size;
    for (size_t i = first; i < live->count; i++)
        total += live->items[i].line->size + 1;
    text = malloc(total + 1);
    if (text) {
        for (size_t i = first; i < live->count; i++) {
            memcpy(text + used, live->items[i].line->bytes, live->items[i].line->size);
            used += live->items[i].line->size;
            text[used++] = '\n';
        }
        memcpy(text + used, control, control_size);
        text[total] = '\0';
    }
    free(control);
    *stream = text;
    *size = total;
    return text ? KAART_OK : KAART_NOMEM;
}

/* ---- origin ---- */

int replica_append(struct replica *replica, const char *line, size_t size, struct fault *fault)
{
    struct entry entry;
    struct line *kept;
    int code = entry_parse(line, size, &entry, fault);

    if (code != KAART_OK)
        return code;
    if (entry.seq < replica->next)
        return fault_set(fault, KAART_ORDER, "replica of %s: position %llu is used [ENTRY-9]", replica->feed,
                         (unsigned long long)entry.seq);
    if (replica->pending_count == replica->pending_capacity) {
        size_t capacity = replica->pending_capacity ? 2 * replica->pending_capacity : 16;
        struct line **pending = realloc(replica->pending, capacity * sizeof *pending);

        if (!pending)
            return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", replica->feed);
        replica->pending = pending;
        replica->pending_capacity = capacity;
    }
    kept = line_new(line, size);
    if (!kept)
        return fault_set(fault, KAART_NOMEM, "replica of %s: out of memory", replica->feed);
    replica->pending[replica->pending_count++] = kept;
    replica->next = entry.seq + 1;
    return KAART_OK;
}

/* The live set with what was appended, and without the tombstones below the floor. */
static int next_live(const struct replica *replica, uint64_t floor, struct live *live)
{
    int code = live_copy(&replica->live, live);

    for (size_t i = 0; i < replica->pending_count && code == KAART_OK; i++) {
        const struct line *line = replica->pending[i];
        struct entry entry;
        struct fault ignored;

        code = entry_parse(line->bytes, line->size, &entry, &ignored);
        if (code == KAART_OK)
            code = live_add(live, replica->hasher, &entry, line->bytes, line->size);
    }
    if (code == KAART_OK)
        code = live_compact(live, floor);
    return code;
}

/* Puts a signed state in the place of the last one. */
static void take_signed(struct replica *replica, struct live *live, const struct checkpoint *head,
                        const char *note, size_t note_size)
{
    live_clear(&replica->live);
    replica->live = *live;
    memset(live, 0, sizeof *live);
    for (size_t i = 0; i < replica->pending_count; i++)
        line_drop(replica->pending[i]);
    replica->pending_count = 0;
    replica->head = *head;
    replica->next = head->size;
    memcpy(replica->note, note, note_size);
    replica->note_size = note_size;
    replica->held = true;
}

int replica_sign(struct replica *replica, const struct signing_key *keys, size_t key_count, uint64_t epoch,
                 uint64_t floor, int64_t time_s, struct fault *fault)
{
    struct checkpoint head = {.epoch = epoch, .floor = floor, .time_s = time_s};
    bool burn = replica->held && floor > replica->head.floor && replica->next == replica->head.size;
    char text[CHECKPOINT_TEXT_MAX], *note = NULL;
    struct live live = {0};
    size_t note_size;
    int code;

    if (replica->held && epoch != replica->head.epoch && replica->head.size > 0)
        return fault_set(fault, KAART_INVALID, "replica of %s: a new epoch begins with an empty one",
                         replica->feed);
    code = next_live(replica, floor, &live);
    if (code == KAART_OK)
        code = node_of_items(replica->hasher, live.items, live.count, TREE_HEIGHT, &head.root);
    if (code != KAART_OK) {
        fault_set(fault, code, "replica of %s: out of memory", replica->feed);
        goto out;
    }
    memcpy(head.feed, replica->feed, sizeof head.feed);
    head.size = replica->next + (burn ? 1 : 0); /* [CP-10] */
    head.live = live.count;
    code = note_sign(text, checkpoint_format(&head, text), keys, key_count, &note, &note_size, fault);
    if (code == KAART_OK)
        take_signed(replica, &live, &head, note, note_size);
out:
    free(note);
    live_clear(&live);
    return code;
}
