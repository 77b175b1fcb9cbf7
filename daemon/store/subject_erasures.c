/*
 * subject_erasures.c - the erasures that own feeds carry to whoever follows them. spec/feed.md [ENTRY-14].
 */
#include "daemon/store/feeds_internal.h"
#include "daemon/store/subject.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    struct feeds *feeds;
    const char *kind, *id;
    cJSON *erasures;
    size_t count;
    bool more;
    struct fault *fault;
};

static bool is_asked(const struct listing *listing, const struct entry *entry)
{
    return !listing->kind || (strcmp(listing->kind, entry->kind) == 0 && strcmp(listing->id, entry->id) == 0);
}

static int add(struct listing *listing, const struct feed_head *head, const struct entry *entry)
{
    char at[INSTANT_TEXT_SIZE + 1];
    cJSON *item = cJSON_CreateObject();

    if (!item)
        return fault_set(listing->fault, KAART_NOMEM, "no memory");
    syntax_instant_format(entry->at_ms, at);
    cJSON_AddStringToObject(item, "feed", head->checkpoint.feed);
    cJSON_AddNumberToObject(item, "epoch", (double)head->checkpoint.epoch);
    cJSON_AddNumberToObject(item, "seq", (double)entry->seq);
    cJSON_AddStringToObject(item, "kind", entry->kind);
    cJSON_AddStringToObject(item, "id", entry->id);
    cJSON_AddStringToObject(item, "source", entry->source);
    cJSON_AddStringToObject(item, "at", at);
    cJSON_AddItemToArray(listing->erasures, item);
    listing->count++;
    return KAART_OK;
}

static int look_at(struct listing *listing, const struct feed_head *head, sqlite3_stmt *row)
{
    struct entry entry;
    const char *slot = sqlite3_column_blob(row, 1);
    size_t size = line_size(slot, (size_t)sqlite3_column_bytes(row, 1));

    if (entry_parse(slot, size, &entry, listing->fault) != KAART_OK)
        return fault_set(listing->fault, KAART_CORRUPT, "feeds.db: a stored line is no entry");
    if (!is_asked(listing, &entry))
        return KAART_OK;
    if (listing->count == SUBJECT_MATCHES_MAX) {
        listing->more = true;
        return KAART_OK;
    }
    return add(listing, head, &entry);
}

/* In a transaction. */
static int list_feed(struct listing *listing, const struct feed_head *head)
{
    sqlite3_stmt *statement;
    int code = statement_get(listing->feeds, QUERY_ENTRY_ERASURES, &statement, listing->fault);

    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, head->generation);
    while (!listing->more && (code = statement_step(listing->feeds, statement, listing->fault)) > 0)
        if ((code = look_at(listing, head, statement)) != KAART_OK)
            break;
    sqlite3_reset(statement);
    return code;
}

static int list_all(struct listing *listing, struct feed_head *head)
{
    char after[FEED_NAME_MAX_SIZE + 1] = "";
    int code;

    while ((code = head_load_after(listing->feeds, after, head, listing->fault)) == KAART_OK) {
        memcpy(after, head->checkpoint.feed, sizeof(after));
        if (head->own && head->held && (code = list_feed(listing, head)) != KAART_OK)
            return code;
    }
    return code == KAART_UNKNOWN ? KAART_OK : code;
}

int subject_erasures(struct feeds *feeds, const char *kind, const char *id, cJSON **report,
                     struct fault *fault)
{
    struct listing listing = {.feeds = feeds, .kind = kind, .id = id, .fault = fault};
    struct feed_head *head = calloc(1, sizeof(*head));
    cJSON *object = cJSON_CreateObject();
    int code;

    listing.erasures = cJSON_AddArrayToObject(object, "erasures");
    if (!head || !listing.erasures) {
        code = fault_set(fault, KAART_NOMEM, "no memory");
        goto done;
    }
    code = transaction_begin_read(feeds, fault);
    if (code != KAART_OK)
        goto done;
    code = list_all(&listing, head);
    transaction_end(feeds);
    if (code == KAART_OK) {
        cJSON_AddBoolToObject(object, "more", listing.more);
        *report = object;
        object = NULL;
    }
done:
    cJSON_Delete(object);
    free(head);
    return code;
}
