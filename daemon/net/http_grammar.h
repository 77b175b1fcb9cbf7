/*
 * http_grammar.h - the packaged HTTP/1.1 parser behind one small interface, and our stricter rules on top of
 * it.
 *
 * A request is read in two steps, so that a head is either whole and checked, or not seen at all:
 *
 *     http_grammar_find_head -> http_grammar_head -> http_grammar_body* (until `complete`)
 *
 * No sockets and no state but the struct's. Errors are HTTP statuses (400, 413, 417, 431, 501, 505): the
 * connection ends after any of them.
 */
#ifndef KAARTD_NET_HTTP_GRAMMAR_H
#define KAARTD_NET_HTTP_GRAMMAR_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Request line and fields. Ours are below 1 KiB; a proxy adds a client certificate of some 2 kB. */
#define HTTP_HEAD_MAX 8192
/* Fields of one head; browsers send about 20, proxies add a dozen. */
#define HTTP_FIELDS_MAX 64
/* Members of one query; the largest search of ours takes 10. */
#define HTTP_QUERY_MAX 32

struct http_pair {
    const char *name, *value;
};

/* The head as read; every string points into the buffer that was handed to http_grammar_head and ends with
 * NUL. */
struct http_head {
    const char *method, *target;
    struct http_pair fields[HTTP_FIELDS_MAX];
    size_t field_count;
    unsigned minor; /* HTTP/1.x */
    bool keep_alive;
    bool has_body;
    bool chunked;
    uint64_t content_length; /* where not chunked */
    bool expects_continue;
    bool gzip_body; /* Content-Encoding: gzip */
};

struct http_grammar {
    http_parser parser;
    bool complete; /* the request has ended */
    /* in use during one call */
    struct http_head *head;
    size_t name_size[HTTP_FIELDS_MAX], value_size[HTTP_FIELDS_MAX], target_size;
    int status;
    const char *why;
    bool in_head;
    int framing;             /* what may come next between the data of chunks */
    unsigned framing_digits; /* of the present chunk's size */
    const char *unframed;    /* first byte of this call not yet looked at as framing */
    void (*data)(void *context, const char *bytes, size_t size);
    void *context;
};

/* Looks for the end of a head in `bytes`; *scanned (0 at first) keeps what was looked at in earlier calls.
 * The size of the head with its empty line, or 0: not complete. Status 400 (bare LF, bare CR, control
 * characters) or 431 (too large) in *status, else 0 there. */
size_t http_grammar_find_head(const char *bytes, size_t size, size_t *scanned, int *status, const char **why);

/* Reads a head of exactly `size` bytes; `bytes` is changed (NULs). 0 or a status, then *why says what is
 * wrong. */
int http_grammar_head(struct http_grammar *grammar, char *bytes, size_t size, struct http_head *out,
                      const char **why);

/* Reads body bytes: *consumed of them. data(context, ...) gets them without framing; it may call
 * http_grammar_stop, and then not all is consumed. `complete` tells the end. 0 or a status. */
int http_grammar_body(struct http_grammar *grammar, const char *bytes, size_t size, size_t *consumed,
                      void (*data)(void *context, const char *bytes, size_t size), void *context,
                      const char **why);
void http_grammar_stop(struct http_grammar *grammar);

/*
 * Takes a target apart, in place: *path is percent-decoded once, begins with '/', is valid UTF-8 without
 * control characters, and has no empty, "." or ".." segments (but may end with one '/'); an encoded slash is
 * refused. Query members are decoded ('+' is a space); one that comes twice is refused. Absolute form is
 * accepted, its authority dropped. `target` is changed. 0 or 400.
 */
int http_target_parse(char *target, const char **path, struct http_pair query[HTTP_QUERY_MAX],
                      size_t *query_count, const char **why);

/* The value of a field, in any case of its name; NULL if absent. */
const char *http_field(const struct http_pair *fields, size_t count, const char *name);
/* Whether a comma-separated list (Accept-Encoding) accepts gzip: named, or by "*", with a weight above 0. */
bool http_accepts_gzip(const char *accept_encoding);
/* Reason phrases. Never NULL. */
const char *http_reason(int status);

#endif
