/*
 * limits.h - every bound of the protocol, each with its reason. Bounds of one module alone stand at the top
 * of that module.
 */
#ifndef KAARTD_PROTOCOL_LIMITS_H
#define KAARTD_PROTOCOL_LIMITS_H

/* An entry's line without its LF. A large HSDS service with all its children is some 25 kB; beyond 64 KiB is
 * data that belongs behind a link. Bounds the reader's memory. */
#define ENTRY_SIZE_MAX 65536

/* Nesting of one entry. HSDS "full" documents reach 9; cJSON's own recursion is safe far beyond 32. */
#define JSON_DEPTH_MAX 32

/* Members of one object; duplicates are found by comparing, so this bounds the work. HSDS objects have < 60.
 */
#define JSON_MEMBERS_MAX 1024

/* Integers are exact in every JSON implementation up to here (RFC 7493 section 2.2). */
#define JSON_INTEGER_MAX 9007199254740992LL

/* Positions are below 2^40: the height of the state tree. 35,000 changes a second for a year. */
#define TREE_HEIGHT 40
#define SEQ_MAX ((1ULL << TREE_HEIGHT) - 1)

/* kind, source, role, audience: [a-z][a-z0-9_-]{0,31} */
#define NAME_MAX_SIZE 32

/* An origin is a lower-case DNS name (RFC 1035: 253 octets). */
#define ORIGIN_MAX_SIZE 253

/* Audiences of which one node keeps a map: `public`, and one for each circle of readers. Each costs three open databases, so a handful is
 * usual and more than this a mistake. */
#define AUDIENCES_MAX 16

/* origin "/" audience */
#define FEED_NAME_MAX_SIZE (ORIGIN_MAX_SIZE + 1 + NAME_MAX_SIZE)

/* A lower-case UUID in text. */
#define UUID_TEXT_SIZE 36

/* A signed note: 16 signatures (C2SP signed-note asks to accept so many) of some 400 bytes each, and the
 * text. */
#define NOTE_SIZE_MAX 8192
#define NOTE_SIGNATURES_MAX 16

/* Keys configured for one feed; two during a rotation, with room for one that was forgotten. */
#define FEED_KEYS_MAX 4

/* A node refuses to sign when its last own `at` is further ahead of its clock than this. */
#define CLOCK_AHEAD_MAX_MS (10LL * 60 * 1000)

/* An origin signs an unchanged state anew at least this often, so that stale can be told from quiet. */
#define HEARTBEAT_MS (60LL * 60 * 1000)

/* One page of a change stream, uncompressed: large enough that 100,000 records take some dozens of requests,
 * small enough that a hundred slow readers cost a few hundred MB at worst. At least one entry is always sent.
 */
#define PAGE_SIZE_MAX (4u * 1024 * 1024)

/* Entries written in one transaction: 100,000 in one held the only writer for 2 s (ENGINEERING, SQLite). */
#define BATCH_ENTRIES_MAX 2000

/* A full sync takes at most this multiple of the checkpoint's `live` plus a floor: entries replaced while it
 * ran. */
#define FULL_SYNC_FACTOR 2
#define FULL_SYNC_SLACK 10000

/* At most one full sync per (feed, source) in this time: a stampede guard. */
#define FULL_SYNC_EVERY_MS (60LL * 60 * 1000)

#endif
