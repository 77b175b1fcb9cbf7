/*
 * publication.c - committed is not yet published: readers see a state of an own feed only once the own-head
 * copy has it. [GUARD-1]
 *
 *     writer:  BEGIN .. sign .. [write and sync COPY.new] | lock | COMMIT | rename COPY.new, sync directory | unlock
 *     reader:                                             | waits for the lock                              | BEGIN, first read
 *
 * What can fail for want of space (COPY.new) fails before the commit, and everything is rolled back. If the
 * rename fails after it, own feeds are withheld from readers until a later attempt succeeds. A crash between
 * commit and rename leaves the database ahead of the copy by states that nobody has seen:
 * publication_catch_up completes the copy at the next start.
 *
 * The lock is one per database file and process; connections find it by path.
 */
#include "daemon/store/feeds_internal.h"

#include "daemon/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct publication {
    struct publication *next;
    char *path; /* resolved */
    unsigned users;
    uv_rwlock_t lock; /* held for writing from COMMIT to the synced copy */
    bool withheld;    /* under `lock` */
};

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t registry_lock;
static struct publication *registry;
static bool registry_usable;

static void registry_init(void)
{
    registry_usable = uv_mutex_init(&registry_lock) == 0;
}

static struct publication *publication_new(const char *path)
{
    struct publication *publication = calloc(1, sizeof(*publication));
    if (publication == NULL)
        return NULL;
    publication->path = strdup(path);
    if (publication->path == NULL || uv_rwlock_init(&publication->lock) != 0) {
        free(publication->path);
        free(publication);
        return NULL;
    }
    publication->next = registry;
    registry = publication;
    return publication;
}

int publication_attach(const char *path, struct publication **out, struct fault *fault)
{
    uv_once(&once, registry_init);
    if (!registry_usable)
        return fault_set(fault, KAART_NOMEM, "no memory");
    char *resolved = realpath(path, NULL);
    if (resolved == NULL)
        return fault_set(fault, KAART_IO, "%s: %s", path, strerror(errno));
    uv_mutex_lock(&registry_lock);
    struct publication *found = registry;
    while (found != NULL && strcmp(found->path, resolved) != 0)
        found = found->next;
    if (found == NULL)
        found = publication_new(resolved);
    if (found != NULL)
        found->users++;
    uv_mutex_unlock(&registry_lock);
    free(resolved);
    *out = found;
    return found != NULL ? KAART_OK : fault_set(fault, KAART_NOMEM, "no memory");
}

void publication_detach(struct publication *publication)
{
    if (publication == NULL)
        return;
    uv_mutex_lock(&registry_lock);
    if (--publication->users == 0) {
        struct publication **link = &registry;
        while (*link != publication)
            link = &(*link)->next;
        *link = publication->next;
        uv_rwlock_destroy(&publication->lock);
        free(publication->path);
        free(publication);
    }
    uv_mutex_unlock(&registry_lock);
}

void publication_read_lock(struct publication *publication)
{
    uv_rwlock_rdlock(&publication->lock);
}

void publication_read_unlock(struct publication *publication)
{
    uv_rwlock_rdunlock(&publication->lock);
}

bool publication_withheld(struct publication *publication)
{
    uv_rwlock_rdlock(&publication->lock);
    bool withheld = publication->withheld;
    uv_rwlock_rdunlock(&publication->lock);
    return withheld;
}

static void set_withheld(struct publication *publication, bool withheld)
{
    uv_rwlock_wrlock(&publication->lock);
    publication->withheld = withheld;
    uv_rwlock_wrunlock(&publication->lock);
}

/* COPY.new with `note` in place of the feed's older one. */
static int prepare_copy(struct feeds *feeds, const char *name, const char *note, size_t note_size,
                        bool taken_back, struct fault *fault)
{
    struct own_heads *heads;
    struct checkpoint copied, wanted;
    const char *old = NULL;
    size_t old_size;
    int code = own_heads_read(feeds->own_head, &heads, fault);
    if (code != KAART_OK)
        return code;
    code = note_checkpoint(note, note_size, &wanted, fault);
    if (code == KAART_OK && own_heads_get(heads, name, &old, &old_size, &copied)) {
        enum checkpoint_relation relation = checkpoint_compare(&copied, &wanted);
        bool ahead = relation == CHECKPOINT_BEHIND || relation == CHECKPOINT_FORK;
        /* The guard should have seen this; here is the last place to notice. [GUARD-2] */
        if (ahead && !taken_back)
            code = fault_set(fault, KAART_GUARD,
                             "%s: the own-head copy %s is ahead of this database; nothing is signed", name,
                             feeds->own_head);
        if (ahead)
            note = old;
    }
    if (code == KAART_OK && note != old)
        code = own_heads_set(heads, name, note, note_size, fault);
    if (code == KAART_OK)
        code = own_heads_prepare(heads, feeds->own_head, fault);
    own_heads_free(heads);
    return code;
}

int publish(struct feeds *feeds, const char *name, const char *note, size_t note_size, bool taken_back,
            struct fault *fault)
{
    struct fault why;
    if (feeds->own_head == NULL) {
        transaction_end(feeds);
        return fault_set(fault, KAART_INVALID, "%s: a store without an own-head copy has no own feeds", name);
    }
    int code = prepare_copy(feeds, name, note, note_size, taken_back, fault);
    if (code != KAART_OK) {
        transaction_end(feeds);
        return code;
    }
    uv_rwlock_wrlock(&feeds->publication->lock);
    code = transaction_commit(feeds, fault);
    if (code == KAART_OK) {
        /* It is committed, so it is no error any more; but nobody sees it before the copy has it. */
        feeds->publication->withheld = own_heads_install(feeds->own_head, &why) != KAART_OK;
        if (feeds->publication->withheld)
            log_error("store", "%s; own feeds are withheld until it can be written", why.text);
    }
    uv_rwlock_wrunlock(&feeds->publication->lock);
    return code;
}

/* Adds the database's head of one feed where the copy lags behind. */
static int catch_up_one(struct own_heads *heads, const struct feed_head *head, bool may_add, bool *changed,
                        struct fault *fault)
{
    struct checkpoint copied;
    const char *note;
    size_t size;
    bool known = own_heads_get(heads, head->checkpoint.feed, &note, &size, &copied);
    if (known) {
        enum checkpoint_relation relation = checkpoint_compare(&copied, &head->checkpoint);
        if (relation != CHECKPOINT_NEWER && relation != CHECKPOINT_HEARTBEAT && relation != CHECKPOINT_FULL)
            return KAART_OK;
    } else if (!may_add) {
        /* A copy that was lost must not be made up from a database that may be an old backup. */
        return KAART_OK;
    }
    *changed = true;
    return own_heads_set(heads, head->checkpoint.feed, head->note, head->note_size, fault);
}

int publication_catch_up(struct feeds *feeds, struct fault *fault)
{
    struct own_heads *heads = NULL;
    struct feed_head head = {.checkpoint = {.feed = ""}};
    struct fault why;
    bool changed = false, any = false;
    if (feeds->own_head == NULL)
        return KAART_OK;
    int code = own_heads_read(feeds->own_head, &heads, &why);
    while (code == KAART_OK) {
        char after[FEED_NAME_MAX_SIZE + 1];
        memcpy(after, head.checkpoint.feed, sizeof(after));
        int found = head_load_after(feeds, after, &head, fault);
        if (found == KAART_UNKNOWN)
            break;
        if (found != KAART_OK) { /* the database's fault, not the copy's */
            own_heads_free(heads);
            return found;
        }
        any = any || (head.own && head.held);
        if (head.own && head.held)
            code = catch_up_one(heads, &head, signing_allowed(feeds, head.checkpoint.feed), &changed, &why);
    }
    if (code == KAART_OK && changed)
        code = own_heads_prepare(heads, feeds->own_head, &why);
    if (code == KAART_OK && changed)
        code = own_heads_install(feeds->own_head, &why);
    own_heads_free(heads);
    /* Without its copy an own feed is neither signed nor shown, but the node can do all the rest. */
    if (code != KAART_OK)
        log_error("store", "%s%s", why.text, any ? "; own feeds are withheld until it can be written" : "");
    set_withheld(feeds->publication, code != KAART_OK);
    return KAART_OK;
}
