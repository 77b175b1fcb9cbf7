/*
 * marks.c - two things the store remembers for the guard: that a shutdown was clean, and that a feed is
 * frozen.
 */
#include "daemon/store/feeds_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLEAN_KEY "clean"

int feeds_mark_clean(struct feeds *feeds, struct fault *fault)
{
    return feeds_set_value(feeds, CLEAN_KEY, "yes", fault);
}

int feeds_take_clean(struct feeds *feeds, bool *clean, struct fault *fault)
{
    char *value = NULL;
    int code = feeds_get_value(feeds, CLEAN_KEY, &value, fault);
    *clean = code == KAART_OK && strcmp(value, "yes") == 0;
    free(value);
    if (code == KAART_UNKNOWN)
        return KAART_OK;
    return code == KAART_OK ? feeds_set_value(feeds, CLEAN_KEY, NULL, fault) : code;
}

int freeze(struct feeds *feeds, int64_t id, const char *reason, const char *proof, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_FEED_FREEZE, &statement, fault);
    if (code != KAART_OK)
        return code;
    sqlite3_bind_int64(statement, 1, id);
    bind_text(statement, 2, reason);
    bind_text(statement, 3, proof);
    return statement_run(feeds, statement, fault);
}

int feeds_freeze(struct feeds *feeds, const char *name, const char *reason, const char *proof,
                 struct fault *fault)
{
    struct feed_head *head = malloc(sizeof(*head));
    if (head == NULL)
        return fault_set(fault, KAART_NOMEM, "no memory");
    int code = transaction_begin(feeds, fault);
    if (code != KAART_OK)
        goto done;
    code = head_load(feeds, name, head, fault);
    if (code == KAART_OK)
        code = freeze(feeds, head->id, reason, proof, fault);
    if (code == KAART_OK)
        code = transaction_commit(feeds, fault);
    transaction_end(feeds);
done:
    free(head);
    return code;
}

int feeds_ask_purge(struct feeds *feeds, struct fault *fault)
{
    char *old = NULL, number[32];
    int code = feeds_get_value(feeds, PURGE_KEY, &old, fault);
    if (code != KAART_OK && code != KAART_UNKNOWN)
        return code;
    snprintf(number, sizeof(number), "%llu", old != NULL ? strtoull(old, NULL, 10) + 1 : 1ULL);
    free(old);
    return feeds_set_value(feeds, PURGE_KEY, number, fault);
}
