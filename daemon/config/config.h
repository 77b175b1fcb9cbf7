/*
 * config.h - the configuration as understood: read with libconfuse, every error collected with file and line.
 *
 * Immutable after loading; a reload makes a new one and the old one lives until nobody uses it. All strings
 * are owned by the struct config; absent strings are NULL (an empty string in the file counts as absent),
 * lists end with NULL and are never NULL themselves. Durations are in milliseconds, sizes in bytes.
 */
#ifndef KAARTD_DAEMON_CONFIG_H
#define KAARTD_DAEMON_CONFIG_H

#include "protocol/error.h"
#include "protocol/note.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config_node {
    char *name;     /* origin */
    char *state;    /* directory */
    char *own_head; /* path of the own-head copy */
    char **areas;   /* for which this node is home */
    char *proxy;    /* outbound */
    char *client_certificate;
    char *client_key;
    char *socket;       /* Unix socket; default STATE/kaartd.socket */
    char **guard_peers; /* key `guard-ask`: names of peers asked by the own-head guard; empty: all that hold
                           the feed */
    unsigned guard_quorum; /* key `guard-peers`: how many must answer; default 2, or all if fewer */
    int64_t guard_wait_ms; /* default 1 h; -1 (`never`): do not sign without them */
    bool allow_plain_http; /* only for tests and loopback: peers' and sources' http:// URLs on loopback */
    char *file;
    int line;
};

struct config_feed {
    char *audience; /* section title */
    char *name;     /* "origin/audience" */
    char *key_path;
    struct signing_key key; /* read and checked at load: refused when group or others may read the file */
    char *next_key_path;    /* rotation: signs as well; NULL */
    struct signing_key next_key;
    char *licence;
    char **readers; /* peers that may read a restricted feed; empty for `public` */
    int line;
    char *file;
};

struct config_listen {
    char *title;
    char *host;
    uint16_t port;
    char *tls_certificate; /* NULL: plain http, loopback or behind-proxy only */
    char *tls_key;
    char **behind_proxy; /* numeric addresses */
    char *file;
    int line;
};

struct config_peer {
    char *name;
    char *url; /* https://host[:port][/prefix], no trailing slash; NULL: a peer that only pushes to us */
    struct verifier_key *feed_keys;
    size_t feed_key_count; /* of any feed of this origin, or, with relay, listed here for others */
    char **tls_pins;       /* "sha256/BASE64" of the SPKI */
    char *tls_ca_file;
    char **client_pins; /* SPKI pins of the client certificate by which it authenticates to us; default:
                           tls_pins */
    char **areas;
    char **roles; /* default: editor, provider, contract, coordinator, resident, import */
    char **kinds; /* empty: all */
    bool steward;
    bool suspended;
    int64_t pull_every_ms; /* default 15 min; 0: never pull (push only) */
    bool push;
    bool relay;
    char **show_areas;
    char **show_themes;
    int64_t full_sync_every_ms; /* default FULL_SYNC_EVERY_MS */
    char *file;
    int line;
};

struct config_source {
    char *name;
    char *type; /* "json" */
    char *url;
    char *mapping; /* path */
    char *role;
    char *feed;       /* audience of an own feed; default "public" */
    char *token_file; /* bearer; refused when group or others may read it */
    char **tls_pins;
    char *tls_ca_file;
    char **areas;            /* default: the node's */
    int64_t every_ms;        /* default 6 h */
    unsigned missing_runs;   /* default 2 */
    int64_t missing_for_ms;  /* default 3 days */
    unsigned fuse_percent;   /* default 20 */
    unsigned fuse_rows;      /* default 3, where there are fewer than 50 rows */
    uint64_t max_size_bytes; /* of one run; default 256 MiB */
    char *file;
    int line;
};

struct config_writer {
    char *name;
    char *token_file;
    char *role;
    char **kinds;
    char **feeds;
    char *on_behalf_of;
    char *file;
    int line;
};

/* One `group` of the policy section, as written; the policy module checks and completes it. */
struct config_group {
    char *name;
    char **order;      /* "role" or "role@home" */
    char *stale_after; /* "18 months", "30 days", "2 years" */
    char *file;
    int line;
};

struct config {
    char *path;
    struct config_node node;
    struct config_feed *feeds;
    size_t feed_count;
    struct config_listen *listens;
    size_t listen_count;
    struct config_peer *peers;
    size_t peer_count;
    struct config_source *sources;
    size_t source_count;
    struct config_writer *writers;
    size_t writer_count;
    struct config_group *groups;
    size_t group_count;
};

/*
 * Reads `path` and the *.conf files of its include-dir. Every error goes to `errors` as "file:line: message"
 * LF; reading goes on after an error, so that one run shows all of them. Checks names, keys (and their
 * permissions), URLs, paths, durations, ranges, duplicates, and that sections are complete; it opens no
 * sockets or databases. KAART_OK with *out (free with config_free), or KAART_INVALID / KAART_IO / KAART_NOMEM
 * with at least one line written.
 */
int config_load(const char *path, FILE *errors, struct config **out);
/* Reads only the node section and the names and paths of the feeds: no key file is opened, other sections are
 * not looked at. For kaartctl, whose user may talk to the daemon but not read its keys. Same results; but where
 * the node's name and socket could be read in spite of errors, *out is set beside the error: the daemon goes on with
 * what it had loaded before, and can still be asked. */
int config_load_node(const char *path, FILE *errors, struct config **out);
/* Reads what the policy is made of: node, peers and groups, and the feeds' names. Keys and certificates are named but not opened, so that anybody who may read the configuration can
 * check a policy. Same results. */
int config_load_policy(const char *path, FILE *errors, struct config **out);
void config_free(struct config *config);

/* Borrowed, or NULL. */
const struct config_peer *config_peer(const struct config *config, const char *name);
const struct config_source *config_source(const struct config *config, const char *name);
const struct config_feed *config_feed(const struct config *config, const char *audience);

/* The keys configured for exactly `feed` ("origin/audience"), own feeds included; up to FEED_KEYS_MAX copied
 * to `keys`. Returns how many. */
size_t config_feed_keys(const struct config *config, const char *feed,
                        struct verifier_key keys[FEED_KEYS_MAX]);

/* Reads a one-line secret (token) from a file only its owner may read; *secret is malloc'ed, wipe and free
 * it. */
int config_read_secret(const char *path, char **secret, struct fault *fault);
/* Reads and checks a signing key file (PRIVATE+KEY+...), same permission rule. */
int config_read_signing_key(const char *path, struct signing_key *key, struct fault *fault);

#endif
