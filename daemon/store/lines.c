/*
 * lines.c - the exact bytes of entries, in slots that never move.
 *
 *     line_add ---> USED ---- line_free ----------------> FREE ---- line_add ----> USED
 *                    |                                     ^
 *                    +------- later ---> DEAD -- lines_bury+
 *
 * Dead means gone [ENTRY-11], and secure_delete alone does not see to that: where SQLite balances a tree, it leaves copies of moved cells in
 * the gaps of pages. So rows of `line` are only ever appended, which moves nothing, and then overwritten in place by values of the same
 * length: zeros when the entry dies, another entry's bytes later. A slot's length is the line's, rounded up; what follows the line is NUL, which
 * no line contains [JSON-4].
 */
#include "daemon/store/feeds_internal.h"

#include <stdlib.h>
#include <string.h>

/* Lengths are multiples of this: some 32 bytes a line are given up, so that a slot fits lines that are about as long. */
#define SLOT_STEP 64

/* A free slot is taken if at most a quarter of it stays unused. */
#define SLOT_USABLE(size) ((size) + (size) / 4)

static size_t slot_size(size_t size)
{
    return (size + SLOT_STEP - 1) / SLOT_STEP * SLOT_STEP;
}

size_t line_size(const char *slot, size_t size)
{
    const char *end = size > 0 ? memchr(slot, '\0', size) : NULL;
    return end != NULL ? (size_t)(end - slot) : size;
}

/* The smallest free slot that fits: *slot 0 if there is none. It is taken off the list. */
static int take_free(struct feeds *feeds, size_t wanted, uint64_t *slot, size_t *size, struct fault *fault)
{
    sqlite3_stmt *statement;
    *slot = 0;
    int code = statement_get(feeds, QUERY_SLOT_FIND, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, wanted);
    bind_number(statement, 2, SLOT_USABLE(wanted));
    code = statement_step(feeds, statement, fault);
    if (code <= 0)
        return code;
    *size = (size_t)column_number(statement, 0);
    *slot = column_number(statement, 1);
    sqlite3_reset(statement);
    code = statement_get(feeds, QUERY_SLOT_TAKE, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, *size);
    bind_number(statement, 2, *slot);
    return statement_run(feeds, statement, fault);
}

int line_add(struct feeds *feeds, const char *line, size_t size, uint64_t *id, struct fault *fault)
{
    sqlite3_stmt *statement;
    size_t padded = slot_size(size);
    if (size > ENTRY_SIZE_MAX || size == 0)
        return fault_set(fault, KAART_LIMIT, "a line of %zu bytes", size);
    int code = take_free(feeds, padded, id, &padded, fault);
    if (code != KAART_OK)
        return code;
    bool reused = *id != 0;
    code = statement_get(feeds, reused ? QUERY_LINE_OVERWRITE : QUERY_LINE_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    memcpy(feeds->slot, line, size);
    memset(feeds->slot + size, 0, padded - size);
    bind_bytes(statement, 1, feeds->slot, padded);
    if (reused)
        bind_number(statement, 2, *id);
    code = statement_run(feeds, statement, fault);
    if (!reused)
        *id = (uint64_t)sqlite3_last_insert_rowid(feeds->db);
    return code;
}

/* A slot's length; KAART_CORRUPT if there is no such slot. */
static int slot_length(struct feeds *feeds, uint64_t line, size_t *size, struct fault *fault)
{
    sqlite3_stmt *statement;
    int code = statement_get(feeds, QUERY_SLOT_LENGTH, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, line);
    code = statement_step(feeds, statement, fault);
    if (code <= 0)
        return code < 0 ? code : fault_set(fault, KAART_CORRUPT, "feeds.db: an entry's line is not there");
    *size = (size_t)column_number(statement, 0);
    sqlite3_reset(statement);
    return KAART_OK;
}

/* Overwrites with zeros, and puts the slot on the list of those that can be used again. */
static int line_free(struct feeds *feeds, uint64_t line, struct fault *fault)
{
    sqlite3_stmt *statement;
    size_t size = 0;
    int code = slot_length(feeds, line, &size, fault);
    if (code == KAART_OK)
        code = statement_get(feeds, QUERY_LINE_ZERO, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, line);
    bind_number(statement, 2, size);
    code = statement_run(feeds, statement, fault);
    if (code == KAART_OK)
        code = statement_get(feeds, QUERY_SLOT_FREE, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, size);
    bind_number(statement, 2, line);
    return statement_run(feeds, statement, fault);
}

int line_delete(struct feeds *feeds, uint64_t line, bool later, struct fault *fault)
{
    sqlite3_stmt *statement;
    if (line == 0)
        return KAART_OK;
    feeds->bytes_linger = true;
    if (!later)
        return line_free(feeds, line, fault);
    int code = statement_get(feeds, QUERY_DEAD_ADD, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, line);
    return statement_run(feeds, statement, fault);
}

/* The first lines that wait. */
static int dead_lines(struct feeds *feeds, uint64_t lines[BATCH_ENTRIES_MAX], size_t *count,
                      struct fault *fault)
{
    sqlite3_stmt *statement;
    *count = 0;
    int code = statement_get(feeds, QUERY_DEAD_FIND, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, BATCH_ENTRIES_MAX);
    while (*count < BATCH_ENTRIES_MAX && (code = statement_step(feeds, statement, fault)) > 0)
        lines[(*count)++] = column_number(statement, 0);
    sqlite3_reset(statement);
    return code < 0 ? code : KAART_OK;
}

int lines_bury(struct feeds *feeds, size_t *count, struct fault *fault)
{
    uint64_t lines[BATCH_ENTRIES_MAX];
    int code = dead_lines(feeds, lines, count, fault);
    for (size_t i = 0; code == KAART_OK && i < *count; i++) {
        sqlite3_stmt *statement;
        code = line_free(feeds, lines[i], fault);
        if (code == KAART_OK)
            code = statement_get(feeds, QUERY_DEAD_DELETE, &statement, fault);
        if (code != KAART_OK)
            break;
        bind_number(statement, 1, lines[i]);
        code = statement_run(feeds, statement, fault);
    }
    return code;
}

int line_load(struct feeds *feeds, uint64_t line, char **bytes, size_t *size, struct fault *fault)
{
    sqlite3_stmt *statement;
    if (line == 0)
        return fault_set(fault, KAART_UNKNOWN, "the claim was erased");
    int code = statement_get(feeds, QUERY_LINE_GET, &statement, fault);
    if (code != KAART_OK)
        return code;
    bind_number(statement, 1, line);
    code = statement_step(feeds, statement, fault);
    if (code <= 0)
        return code < 0 ? code : fault_set(fault, KAART_CORRUPT, "feeds.db: an entry's line is not there");
    const char *slot = sqlite3_column_blob(statement, 0);
    *size = line_size(slot, (size_t)sqlite3_column_bytes(statement, 0));
    *bytes = malloc(*size + 1);
    if (*bytes != NULL) {
        memcpy(*bytes, slot, *size);
        (*bytes)[*size] = '\0';
        code = KAART_OK;
    } else {
        code = fault_set(fault, KAART_NOMEM, "no memory");
    }
    sqlite3_reset(statement);
    return code;
}

int same_key(struct feeds *feeds, const struct entry *entry, uint64_t line, bool *same, struct fault *fault)
{
    char *bytes = NULL;
    size_t size;
    struct entry other;
    if (line == 0) { /* forgotten: only its hash is left to go by */
        *same = true;
        return KAART_OK;
    }
    int code = line_load(feeds, line, &bytes, &size, fault);
    if (code == KAART_OK && entry_parse(bytes, size, &other, fault) != KAART_OK)
        code = fault_set(fault, KAART_CORRUPT, "feeds.db: a stored line is no entry");
    if (code == KAART_OK)
        *same = strcmp(entry->kind, other.kind) == 0 && strcmp(entry->id, other.id) == 0 &&
                strcmp(entry->source, other.source) == 0;
    free(bytes);
    return code;
}

int log_truncate(struct feeds *feeds, struct fault *fault)
{
    int code = sqlite3_wal_checkpoint_v2(feeds->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code != SQLITE_OK)
        return store_fault(feeds, code, fault);
    feeds->bytes_linger = false;
    return KAART_OK;
}
