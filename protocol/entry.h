/*
 * entry.h - one line of a feed: what one source says about one record. spec/feed.md, section "Entry".
 *
 *     {"seq":41,"op":"assert","kind":"service","id":"0b6e...","source":"contracted-care","role":"contract",
 *      "at":"2026-11-21T19:04:05.123Z","verified":"2026-11-01","areas":["GM0356"],"body":{...}}
 *
 * The exact bytes are what is hashed, stored, served and relayed [ENTRY-1]. Nothing re-serialises an entry: entry_parse
 * reads the envelope in place, entry_format is used once, by the origin.
 */
#ifndef KAARTD_PROTOCOL_ENTRY_H
#define KAARTD_PROTOCOL_ENTRY_H

#include "protocol/error.h"
#include "protocol/hash.h"
#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/syntax.h"

#include <stdint.h>

enum entry_op {
    ENTRY_ASSERT,  /* has a body */
    ENTRY_RETRACT, /* the source withdraws its claim; no body */
    ENTRY_ERASE,   /* legal erasure; no body */
};

struct entry {
    uint64_t seq;
    enum entry_op op;
    char kind[NAME_MAX_SIZE + 1];
    char id[UUID_TEXT_SIZE + 1];
    char source[NAME_MAX_SIZE + 1];
    char role[NAME_MAX_SIZE + 1];
    int64_t at_ms;
    int32_t verified;      /* day on which the source last confirmed the content; DAY_NONE if absent */
    int32_t missing_since; /* day since which the source's register no longer lists it; DAY_NONE if absent */
    struct span on_behalf_of; /* without quotes: the organisation's UUID; NULL data if absent */
    struct span salt;         /* without quotes: 32 hex digits; NULL data if absent */
    struct span areas;        /* JSON array of area codes; NULL data if absent */
    struct span body;         /* JSON object; NULL data unless ENTRY_ASSERT */
};

/* The key (kind, id, source) within a feed, as 16 bytes: SHA-256 of the three, NUL between them, cut. */
struct entry_key {
    uint8_t bytes[16];
};

/*
 * Parses a line (without LF). The spans of `out` point into `line`. Checks the whole envelope (spec/feed.md
 * [ENTRY-n]): required members seq op kind id source role at; assert has an object `body`, the others none;
 * `areas` is an array of CBS codes; `verified` and `missing_since` days; `on_behalf_of` a UUID; `salt` 32 hex
 * digits; no members named checkpoint or next; other unknown members are allowed and kept in the bytes. An
 * unknown kind or role is no fault. 0, KAART_SYNTAX, KAART_LIMIT or KAART_NOMEM; the text names the member.
 */
int entry_parse(const char *line, size_t size, struct entry *out, struct fault *fault);

/* The key of an entry. 0, KAART_NOMEM, or KAART_LIMIT for texts longer than a name, a UUID and a name. */
int entry_key(struct hasher *hasher, const char *kind, const char *id, const char *source,
              struct entry_key *out);

/*
 * Writes an entry's line (no LF) into *line, allocated with malloc, for the caller to free. `entry->body` and
 * `areas` are copied byte for byte, so they must be JSON already free of white space outside strings; the
 * result is parsed again with entry_parse before it is returned, so that this node can never sign what others
 * refuse. 0 or an error of entry_parse.
 */
int entry_format(const struct entry *entry, char **line, size_t *size, struct fault *fault);

const char *entry_op_name(enum entry_op op);

#endif
