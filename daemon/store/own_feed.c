/*
 * own_feed.c - what this node says: claims become entries, and every change ends in one signed checkpoint.
 *
 *     claims -> compared with the live entries -> lines, rows, dead rows -> tree -> read back -> sign -> publish
 *
 * All of it is one transaction until publish (publication.c). Whatever fails before leaves the feed as it
 * was.
 */
#include "daemon/store/feeds_internal.h"
#include "daemon/store/subject_internal.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SALT_BYTES 16

/* Whether an own feed may be signed: the guard's word. Feeds that are not listed may not. */
struct permission {
    struct permission *next;
    char feed[FEED_NAME_MAX_SIZE + 1];
    bool allowed;
    char reason[256];
};

/* One append under way. */
struct append {
    struct feeds *feeds;
    struct feed_head head;
    bool dry_run;
    uint64_t start; /* the size before */
    uint64_t size;  /* the size after */
    uint64_t live;
    int64_t at_ms;
    struct tree_change *dead; /* positions below `start`, in the order of the claims */
    size_t dead_count;
    struct tree_change *born; /* position start + i */
    bool erases;
};

void permissions_free(struct feeds *feeds)
{
    while (feeds->permissions != NULL) {
        struct permission *next = feeds->permissions->next;
        free(feeds->permissions);
        feeds->permissions = next;
    }
}

void feeds_allow_signing(struct feeds *feeds, const char *name, bool allowed, const char *reason)
{
    struct permission *permission = feeds->permissions;
    while (permission != NULL && strcmp(permission->feed, name) != 0)
        permission = permission->next;
    if (permission == NULL) {
        permission = calloc(1, sizeof(*permission));
        if (permission == NULL)
            return; /* not listed: not allowed, which is safe */
        snprintf(permission->feed, sizeof(permission->feed), "%s", name);
        permission->next = feeds->permissions;
        feeds->permissions = permission;
    }
    permission->allowed = allowed;
    snprintf(permission->reason, sizeof(permission->reason), "%s", reason != NULL ? reason : "");
    if (allowed)
        publication_catch_up(feeds, NULL);
}

static const struct permission *permission_of(const struct feeds *feeds, const char *name)
{
    const struct permission *permission = feeds->permissions;
    while (permission != NULL && strcmp(permission->feed, name) != 0)
        permission = permission->next;
    return permission;
}

bool signing_allowed(const struct feeds *feeds, const char *name)
{
    const struct permission *permission = permission_of(feeds, name);
    return permission != NULL && permission->allowed;
}

static int may_sign(const struct feeds *feeds, const char *name, struct fault *fault)
{
    if (signing_allowed(feeds, name))
        return KAART_OK;
    const struct permission *permission = permission_of(feeds, name);
    return fault_set(fault, KAART_GUARD, "%s is not signed: %s", name,
                     permission != NULL && permission->reason[0] != '\0'
                         ? permission->reason
                         : "its own head has not been compared yet"); /* [GUARD-2] */
}

static int check_keys(const char *name, const struct signing_key *keys, size_t key_count, struct fault *fault)
{
    if (key_count == 0 || key_count > FEED_KEYS_MAX)
        return fault_set(fault, KAART_KEY, "%s: 1 to %d keys sign a feed, not %zu", name, FEED_KEYS_MAX,
                         key_count);
    for (size_t i = 0; i < key_count; i++)
        if (strcmp(keys[i].verifier.name, name) != 0)
            return fault_set(fault, KAART_KEY, "%s cannot be signed with a key of %s", name,
                             keys[i].verifier.name);
    return KAART_OK;
}

/* ---- does a claim say anything new? ---- */

static bool same_json(struct span old, const char *new)
{
    if (old.data == NULL || new == NULL)
        return old.data == NULL && new == NULL;
    if (strlen(new) == old.size && memcmp(new, old.data, old.size) == 0)
        return true;
    cJSON *a = json_parse(old.data, old.size, NULL), *b = json_parse(new, strlen(new), NULL);
    bool same = a != NULL && b != NULL && json_equal(a, b);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return same;
}

static bool same_text(struct span old, const char *new)
{
    if (old.data == NULL || new == NULL)
        return old.data == NULL && new == NULL;
    return strlen(new) == old.size && memcmp(new, old.data, old.size) == 0;
}

static bool is_unchanged(const struct entry *old, const struct own_claim *claim)
{
    return old->op == claim->op && strcmp(old->role, claim->role) == 0 &&
           old->missing_since == claim->missing_since && (old->salt.data != NULL) == claim->salted &&
           same_text(old->on_behalf_of, claim->on_behalf_of) && same_json(old->areas, claim->areas) &&
           same_json(old->body, claim->body) && (!claim->renew || old->verified == claim->verified);
}

/* What the claim does to the live entry under its key (`old`, or NULL). */
static enum own_outcome outcome_of(const struct own_claim *claim, const struct entry *old)
{
    if (claim->op == ENTRY_ASSERT) {
        if (old == NULL || old->op != ENTRY_ASSERT)
            return OWN_ADDED;
        return is_unchanged(old, claim) ? OWN_UNCHANGED : OWN_CHANGED;
    }
    if (old == NULL || old->op == ENTRY_ERASE || (old->op == ENTRY_RETRACT && claim->op == ENTRY_RETRACT))
        return OWN_ABSENT;
    return OWN_RETRACTED;
}

/* ---- one claim ---- */

static bool copy_text(char *to, size_t size, const char *text)
{
    return text != NULL && snprintf(to, size, "%s", text) < (int)size;
}

static struct span span_of(const char *text)
{
    return (struct span){.data = text, .size = text != NULL ? strlen(text) : 0};
}

/* [ENTRY-15] A new claim with personal data has a random id, so that no hash that is kept confirms a guess. Made of no guess, and thus
 * allowed: a source's confirmation [ID-8], and what two random ids have to do with each other [ID-7]. */
static int check_id(const struct own_claim *claim, struct fault *fault)
{
    char pair[UUID_TEXT_SIZE + 1];
    if (!claim->salted || claim->op != ENTRY_ASSERT || uuid_is_random(claim->id) ||
        strcmp(claim->kind, "confirmation") == 0)
        return KAART_OK;
    if (strcmp(claim->kind, "relation") == 0 && claim->body) {
        cJSON *body = json_parse(claim->body, strlen(claim->body), NULL);
        const char *from = json_get_string(body, "from_id"), *to = json_get_string(body, "to_id");
        bool named =
            from && to && identity_of_pair(from, to, pair) == KAART_OK && strcmp(pair, claim->id) == 0;
        cJSON_Delete(body);
        if (named)
            return KAART_OK;
    }
    return fault_set(
        fault, KAART_INVALID,
        "the id can be guessed: a professional, and every record in a restricted feed, has a random "
        "one; give it one (uuidgen) and keep it [ENTRY-15]");
}

/* The envelope of a claim; `salt` is its buffer. KAART_INVALID: a name that cannot be one. */
static int envelope_of(const struct own_claim *claim, uint64_t seq, int64_t at_ms,
                       char salt[SALT_BYTES * 2 + 1], struct entry *out, struct fault *fault)
{
    memset(out, 0, sizeof(*out));
    out->seq = seq;
    out->op = claim->op;
    if (!copy_text(out->kind, sizeof(out->kind), claim->kind) ||
        !copy_text(out->id, sizeof(out->id), claim->id) ||
        !copy_text(out->source, sizeof(out->source), claim->source) ||
        !copy_text(out->role, sizeof(out->role), claim->role))
        return fault_set(fault, KAART_INVALID, "kind, id, source or role is missing or too long");
    out->at_ms = at_ms;
    out->verified = claim->verified;
    out->missing_since = claim->missing_since;
    out->on_behalf_of = span_of(claim->on_behalf_of);
    out->areas = span_of(claim->areas);
    out->body = span_of(claim->body);
    if (claim->salted) { /* [ENTRY-15] */
        unsigned char random[SALT_BYTES];
        if (RAND_bytes(random, sizeof(random)) != 1)
            return fault_set(fault, KAART_IO, "no random numbers could be had");
        hex_encode(random, sizeof(random), salt);
        out->salt = span_of(salt);
    }
    return KAART_OK;
}

/* The live entry under a key: its row, its line (malloc'ed, NULL if there is none) and that line parsed. */
static int find_live(struct append *append, const struct entry *wanted, const struct entry_key *key,
                     struct row *row, char **line, struct entry *old, struct fault *fault)
{
    size_t size;
    *line = NULL;
    if (append->head.generation == 0)
        return KAART_OK;
    int code = row_by_key(append->feeds, append->head.generation, key, row, fault);
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    if (code == KAART_OK)
        code = line_load(append->feeds, row->line, line, &size, fault);
    if (code != KAART_OK)
        return code;
    if (entry_parse(*line, size, old, fault) != KAART_OK)
        return fault_set(fault, KAART_CORRUPT, "feeds.db: entry %llu is no entry",
                         (unsigned long long)row->seq);
    if (strcmp(old->kind, wanted->kind) != 0 || strcmp(old->id, wanted->id) != 0 ||
        strcmp(old->source, wanted->source) != 0)
        return fault_set(fault, KAART_INVALID, "its key has the same hash as that of %s %s", old->kind,
                         old->id);
    return KAART_OK;
}

/* The entry that is replaced dies. [ENTRY-10] */
static int bury(struct append *append, const struct row *row, struct fault *fault)
{
    int code = row_kill(append->feeds, append->head.generation, row, false, fault);
    if (row->seq >= append->start)
        memset(&append->born[row->seq - append->start].leaf, 0, HASH_SIZE);
    else
        append->dead[append->dead_count++] = (struct tree_change){.position = row->seq};
    append->live--;
    return code;
}

static int write_entry(struct append *append, const struct entry_key *key, enum entry_op op, const char *line,
                       size_t size, struct fault *fault)
{
    struct row row = {.seq = append->size, .op = op, .key = *key};
    int code = hasher_leaf(append->feeds->hasher, line, size, &row.leaf);
    if (code != KAART_OK)
        return fault_set(fault, code, "no memory");
    code = line_add(append->feeds, line, size, &row.line, fault);
    if (code == KAART_OK)
        code = row_put(append->feeds, append->head.generation, &row, fault);
    if (code != KAART_OK)
        return code;
    append->born[append->size - append->start] = (struct tree_change){.position = row.seq, .leaf = row.leaf};
    append->size++;
    append->live++;
    append->erases = append->erases || op == ENTRY_ERASE;
    return KAART_OK;
}

static int take_allowed(struct append *append, const struct own_claim *claim, struct own_result *result,
                        struct fault *fault)
{
    char salt[SALT_BYTES * 2 + 1];
    struct entry entry, old;
    struct entry_key key;
    struct row row;
    char *line = NULL, *old_line = NULL;
    size_t size;
    /* The claim's own faults refuse the claim; only those of memory and disk end the append. */
    int code = envelope_of(claim, append->size, append->at_ms, salt, &entry, &result->fault);
    if (code == KAART_OK)
        code = entry_format(&entry, &line, &size, &result->fault);
    if (code == KAART_OK)
        code = entry_key(append->feeds->hasher, entry.kind, entry.id, entry.source, &key);
    if (code == KAART_NOMEM || code == KAART_IO) {
        fault_set(fault, code, "%s", code == KAART_NOMEM ? "no memory" : result->fault.text);
        goto done;
    }
    if (code == KAART_OK) {
        code = find_live(append, &entry, &key, &row, &old_line, &old, fault);
        if (code == KAART_INVALID && fault != NULL)
            result->fault = *fault;
        else if (code != KAART_OK)
            goto done;
    }
    if (code == KAART_OK && old_line == NULL)
        code = check_id(claim, &result->fault);
    if (code != KAART_OK) {
        result->outcome = OWN_REFUSED;
        code = KAART_OK;
        goto done;
    }
    result->outcome = outcome_of(claim, old_line != NULL ? &old : NULL);
    result->seq = old_line != NULL ? row.seq : 0;
    if (result->outcome == OWN_UNCHANGED || result->outcome == OWN_ABSENT)
        goto done;
    result->seq = append->size;
    if (old_line != NULL)
        code = bury(append, &row, fault);
    if (code == KAART_OK)
        code = write_entry(append, &key, claim->op, line, size, fault);
done:
    free(line);
    free(old_line);
    return code;
}

/* What was erased at somebody's request does not come back with the next import: list elements that hold it are left out, and a claim that is about
 * it is refused. */
static int take_claim(struct append *append, const struct own_claim *claim, struct own_result *result,
                      struct fault *fault)
{
    struct own_claim allowed = *claim;
    enum subject_action action = SUBJECT_NONE;
    char *kept = NULL;
    int code =
        claim->body != NULL ? subject_filter(append->feeds, claim->body, &kept, &action, fault) : KAART_OK;
    if (code == KAART_OK && action == SUBJECT_ALL) {
        result->outcome = OWN_REFUSED;
        fault_set(&result->fault, KAART_INVALID,
                  "it holds what was erased at somebody's request, and is not taken again");
        return KAART_OK;
    }
    if (kept != NULL)
        allowed.body = kept;
    if (code == KAART_OK)
        code = take_allowed(append, &allowed, result, fault);
    free(kept);
    return code;
}

/* ---- tree and signature ---- */

static int by_position(const void *a, const void *b)
{
    uint64_t x = ((const struct tree_change *)a)->position, y = ((const struct tree_change *)b)->position;
    return (x > y) - (x < y);
}

/* A leaf as the rows on disk have it: from the line read back, which must agree with what was noted. */
static int read_back(struct append *append, uint64_t seq, struct hash *leaf, struct fault *fault)
{
    struct row row;
    char *line = NULL;
    size_t size;
    int code = row_at(append->feeds, append->head.generation, seq, &row, fault);
    memset(leaf, 0, sizeof(*leaf));
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    if (code == KAART_OK)
        code = line_load(append->feeds, row.line, &line, &size, fault);
    if (code == KAART_OK)
        code = hasher_leaf(append->feeds->hasher, line, size, leaf);
    if (code == KAART_OK && !hash_equal(leaf, &row.leaf))
        code = fault_set(fault, KAART_CORRUPT, "entry %llu was not stored as it was written",
                         (unsigned long long)seq);
    free(line);
    return code;
}

/* Stores the changed nodes, computes the root, and computes it once more from what the rows now say. */
static int update_tree(struct append *append, struct hash *root, struct fault *fault)
{
    struct tree_rows rows = {.feeds = append->feeds, .generation = append->head.generation};
    struct tree_storage storage = tree_rows_storage(&rows);
    size_t born = (size_t)(append->size - append->start), count = append->dead_count + born;
    struct hash again;
    /* `dead` has room for all; what is born lies behind what died. */
    qsort(append->dead, append->dead_count, sizeof(*append->dead), by_position);
    struct tree_change *changes = append->dead;
    memcpy(changes + append->dead_count, append->born, born * sizeof(*changes));
    int code = tree_update(append->feeds->hasher, &storage, changes, count, root, fault);
    for (size_t i = 0; code == KAART_OK && i < count; i++)
        code = read_back(append, changes[i].position, &changes[i].leaf, fault);
    storage.store = NULL;
    if (code == KAART_OK)
        code = tree_update(append->feeds->hasher, &storage, changes, count, &again, fault);
    if (code == KAART_OK && !hash_equal(root, &again))
        code = fault_set(fault, KAART_CORRUPT, "%s: the tree read back has another root; nothing is signed",
                         append->head.checkpoint.feed);
    return code;
}

/* Signs what the append led to, makes it the head and publishes it. Ends the transaction. */
static int sign_and_publish(struct append *append, const struct hash *root, const struct signing_key *keys,
                            size_t key_count, int64_t now_ms, int64_t last_at_ms, struct fault *fault)
{
    struct feeds *feeds = append->feeds;
    const struct checkpoint *held = &append->head.checkpoint;
    struct checkpoint checkpoint = *held;
    char text[CHECKPOINT_TEXT_MAX], *note = NULL;
    size_t note_size;
    checkpoint.size = append->size;
    checkpoint.live = append->live;
    checkpoint.root = *root;
    checkpoint.time_s = now_ms / 1000 > held->time_s ? now_ms / 1000 : held->time_s; /* [CP-6] */
    size_t size = checkpoint_format(&checkpoint, text);
    int code = note_sign(text, size, keys, key_count, &note, &note_size, fault);
    if (code == KAART_OK)
        code = feed_switch(feeds, append->head.id, true, append->head.generation, note, note_size, last_at_ms,
                           false, fault);
    if (code == KAART_OK)
        code = publish(feeds, held->feed, note, note_size, false, fault);
    free(note);
    if (code == KAART_OK && append->erases && log_truncate(feeds, NULL) != KAART_OK)
        feeds->bytes_linger = true; /* a reader was in the way: feeds_tidy goes on */
    return code;
}

/* ---- the append ---- */

/* Loads the head, inside the transaction, or prepares that of a new feed. */
static int append_begin(struct append *append, const char *name, int64_t now_ms, int64_t *last_at_ms,
                        struct fault *fault)
{
    struct checkpoint *checkpoint = &append->head.checkpoint;
    int64_t id;
    int code = feed_id_of(append->feeds, name, true, &id, fault);
    if (code == KAART_OK)
        code = head_load_id(append->feeds, id, &append->head, fault);
    if (code == KAART_OK)
        code = feed_last_at(append->feeds, id, last_at_ms, fault);
    if (code != KAART_OK)
        return code;
    if (append->head.frozen[0] != '\0')
        return fault_set(fault, KAART_FORK, "%s is frozen: %s", name, append->head.frozen);
    if (!append->head.held) {
        checkpoint->epoch = (uint64_t)(now_ms / 1000);
        code = generation_add(append->feeds, id, &append->head.generation, fault);
        if (code != KAART_OK)
            return code;
    }
    if (*last_at_ms - now_ms > CLOCK_AHEAD_MAX_MS || checkpoint->time_s * 1000 - now_ms > CLOCK_AHEAD_MAX_MS)
        return fault_set(
            fault, KAART_CLOCK,
            "%s: the clock is %lld s behind what this node has signed already; put it right first", name,
            (long long)((*last_at_ms > checkpoint->time_s * 1000 ? *last_at_ms - now_ms
                                                                 : checkpoint->time_s * 1000 - now_ms) /
                        1000)); /* [ENTRY-13] */
    append->start = append->size = checkpoint->size;
    append->live = checkpoint->live;
    append->at_ms = now_ms > *last_at_ms ? now_ms : *last_at_ms; /* [ENTRY-12] */
    return KAART_OK;
}

static int append_run(struct append *append, const char *name, const struct signing_key *keys,
                      size_t key_count, int64_t now_ms, const struct own_claim *claims, size_t count,
                      bool heartbeat, struct own_result *results, struct fault *fault)
{
    struct hash root;
    int64_t last_at_ms;
    int code = append_begin(append, name, now_ms, &last_at_ms, fault);
    if (code == KAART_OK && append->start + count > SEQ_MAX)
        code = fault_set(fault, KAART_LIMIT, "%s: its positions are used up; start a new epoch", name);
    for (size_t i = 0; code == KAART_OK && i < count; i++)
        code = take_claim(append, &claims[i], &results[i], fault);
    if (code != KAART_OK || append->dry_run || (append->size == append->start && !heartbeat))
        return code;
    code = update_tree(append, &root, fault);
    if (code == KAART_OK && append->size == append->start && append->head.held &&
        !hash_equal(&root, &append->head.checkpoint.root))
        code = fault_set(fault, KAART_CORRUPT, "%s: the stored tree has another root than the head", name);
    if (code == KAART_OK)
        code = sign_and_publish(append, &root, keys, key_count, now_ms,
                                append->size > append->start ? append->at_ms : last_at_ms, fault);
    return code;
}

static int append_all(struct feeds *feeds, const char *name, const struct signing_key *keys, size_t key_count,
                      int64_t now_ms, const struct own_claim *claims, size_t count, bool dry_run,
                      bool heartbeat, struct own_result *results, struct fault *fault)
{
    int code = check_keys(name, keys, key_count, fault);
    if (code == KAART_OK && !dry_run)
        code = may_sign(feeds, name, fault);
    if (code == KAART_OK && feeds->own_head == NULL)
        code = fault_set(fault, KAART_INVALID, "%s: a store without an own-head copy has no own feeds", name);
    if (code == KAART_OK && count > BATCH_ENTRIES_MAX)
        code = fault_set(fault, KAART_LIMIT, "at most %d claims at a time", BATCH_ENTRIES_MAX);
    if (code != KAART_OK)
        return code;
    struct append *append = calloc(1, sizeof(*append));
    if (append == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    append->feeds = feeds;
    append->dry_run = dry_run;
    append->dead = calloc(2 * count + 1, sizeof(*append->dead));
    append->born = calloc(count + 1, sizeof(*append->born));
    if (append->dead == NULL || append->born == NULL)
        code = fault_set(fault, KAART_NOMEM, "no memory");
    if (count > 0)
        memset(results, 0, count * sizeof(*results));
    if (code == KAART_OK)
        code = transaction_begin(feeds, fault);
    if (code == KAART_OK) {
        code = append_run(append, name, keys, key_count, now_ms, claims, count, heartbeat, results, fault);
        transaction_end(feeds); /* of what was not published */
    }
    free(append->dead);
    free(append->born);
    free(append);
    return code;
}

int feeds_append(struct feeds *feeds, const char *name, const struct signing_key *keys, size_t key_count,
                 int64_t now_ms, const struct own_claim *claims, size_t count, bool dry_run,
                 struct own_result *results, struct fault *fault)
{
    return append_all(feeds, name, keys, key_count, now_ms, claims, count, dry_run, false, results, fault);
}

int feeds_heartbeat(struct feeds *feeds, const char *name, const struct signing_key *keys, size_t key_count,
                    int64_t now_ms, struct fault *fault)
{
    return append_all(feeds, name, keys, key_count, now_ms, NULL, 0, false, true, NULL, fault);
}
