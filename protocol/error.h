/*
 * error.h - the one error enum of kaartd, and the text for people that goes with it.
 *
 * Every function that can fail returns KAART_OK (0) or one of the negative codes below. The code is for
 * programs (what to do next), the text in `struct fault` is for people (what was wrong, where, and which
 * clause of spec/ says so).
 */
#ifndef KAARTD_PROTOCOL_ERROR_H
#define KAARTD_PROTOCOL_ERROR_H

enum kaart_error {
    KAART_OK = 0,
    KAART_NOMEM = -1,      /* memory could not be had */
    KAART_SYNTAX = -2,     /* bytes that break a grammar of spec/: an envelope fault, a malformed note */
    KAART_LIMIT = -3,      /* larger, longer, deeper or more than limits.h allows */
    KAART_SIGNATURE = -4,  /* no configured key signed it, or a configured key's signature is wrong */
    KAART_ROOT = -5,       /* the live set does not have the signed root, or not the signed count */
    KAART_ORDER = -6,      /* entries out of order, or outside the range that was asked for */
    KAART_KEY = -7,        /* a key that cannot be used: malformed, unreadable, for another feed */
    KAART_FORK = -8,       /* equivocation: the origin signed two histories (spec/feed.md, "Only death") */
    KAART_INVALID = -9,    /* well-formed, but not what the profile, policy or mapping allows */
    KAART_UNKNOWN = -10,   /* no such feed, record, peer, key ... */
    KAART_OVERTAKEN = -11, /* the state it was built on is no longer the held one; start again from there */
    KAART_IO = -12,        /* disk or network failed; the text says how */
    KAART_CLOCK = -13,     /* the clock is too far behind what this node has signed already */
    KAART_GUARD = -14,     /* signing waits for, or was stopped by, the own-head guard */
    KAART_BUSY = -15,      /* a bounded queue or slot is full; try again later */
    KAART_CORRUPT = -16,   /* the own database contradicts itself */
};

/* What went wrong, in one line of UTF-8 for people. Never holds secrets or persons; ids only. */
struct fault {
    char text[512];
};

/* The code's name in words ("root mismatch"); never NULL. Static storage. */
const char *kaart_strerror(int code);

/* Formats into `fault` (may be NULL). Truncates silently; replaces control characters and broken UTF-8 by '?', since
 * much of what is quoted comes from strangers. The arguments may quote the text that is there. */
void fault_write(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline int fault_code(int code)
{
    return code;
}

/* fault_set(fault, code, format, ...) does that and gives `code`, so that `return fault_set(f, KAART_SYNTAX, ...)` reads
 * well. A macro, so that compilers and analyzers see that what comes back is not 0. */
#define fault_set(fault, code, ...) (fault_write((fault), __VA_ARGS__), fault_code(code))

/* Puts "prefix: " before the text that is there; for callers that know the object (feed, file, line). */
void fault_prefix(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
