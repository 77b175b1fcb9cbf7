/* fuzz_entry.c - any bytes as a line: the strict check, cJSON behind it, and the envelope. */
#include "protocol/entry.h"
#include "protocol/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* What the strict check lets through, cJSON must read, and a value equals itself. */
static void check_tree(const char *text, size_t size)
{
    struct fault fault;
    cJSON *tree;

    if (json_check_document(text, size, 0, &fault) != KAART_OK)
        return;
    tree = json_parse(text, size, &fault);
    must(tree != NULL);
    must(json_equal(tree, tree));
    cJSON_Delete(tree);
}

static bool inside(struct span span, const char *line, size_t size)
{
    return !span.data || (span.data >= line && span.data + span.size <= line + size);
}

static bool same(struct span a, struct span b)
{
    return a.size == b.size && (!a.data == !b.data) && (!a.data || memcmp(a.data, b.data, a.size) == 0);
}

/* Written anew and read back, an entry says the same. */
static void check_round_trip(const struct entry *entry)
{
    struct fault fault;
    struct entry back;
    char *line;
    size_t size;

    if (entry_format(entry, &line, &size, &fault) != KAART_OK)
        return; /* too long, now that it has no more escapes or members than needed: cannot be */
    must(entry_parse(line, size, &back, &fault) == KAART_OK);
    must(back.seq == entry->seq && back.op == entry->op && back.at_ms == entry->at_ms);
    must(back.verified == entry->verified && back.missing_since == entry->missing_since);
    must(strcmp(back.kind, entry->kind) == 0 && strcmp(back.id, entry->id) == 0);
    must(same(back.body, entry->body) && same(back.areas, entry->areas));
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct fault fault;
    struct entry entry;

    check_tree(text, size);
    if (entry_parse(text, size, &entry, &fault) != KAART_OK) {
        must(fault.text[0] != '\0');
        return 0;
    }
    must(size <= ENTRY_SIZE_MAX && syntax_is_utf8(text, size) && !memchr(text, '\n', size));
    must(entry.seq <= SEQ_MAX && (entry.op == ENTRY_ASSERT) == (entry.body.data != NULL));
    must(inside(entry.body, text, size) && inside(entry.areas, text, size));
    must(inside(entry.salt, text, size) && inside(entry.on_behalf_of, text, size));
    check_round_trip(&entry);
    return 0;
}
