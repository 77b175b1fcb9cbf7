/*
 * test_config.c - configurations good and bad, with the exact messages that an operator sees.
 *
 * Every case writes its files to a directory of its own; `~` in texts and messages stands for that directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/config/config.h"

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUTEN_SEED 7
#define OWN_SEED 1

static char directory[64];
static char key_public[VERIFIER_KEY_TEXT_SIZE], key_houten[VERIFIER_KEY_TEXT_SIZE],
    key_other[VERIFIER_KEY_TEXT_SIZE];

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_key(const char *file, const char *feed, uint8_t seed_byte,
                     char verifier[VERIFIER_KEY_TEXT_SIZE])
{
    uint8_t seed[ED25519_SIZE];
    struct signing_key key;
    struct fault fault;
    char text[SIGNING_KEY_TEXT_SIZE + 1];
    memset(seed, seed_byte, sizeof(seed));
    assert_int_equal(signing_key_from_seed(feed, seed, &key, &fault), 0);
    verifier_key_format(&key.verifier, verifier);
    if (!file)
        return;
    signing_key_format(&key, text);
    strcat(text, "\n");
    write_file(file, text, 0600);
}

static int set_up(void **state)
{
    char other[VERIFIER_KEY_TEXT_SIZE];
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test-config.XXXXXX");
    assert_non_null(mkdtemp(directory));
    make_key("public.key", "nieuwegein.example/public", OWN_SEED, key_public);
    make_key("pro.key", "nieuwegein.example/professionals", 2, other);
    make_key("same.key", "nieuwegein.example/professionals", OWN_SEED, other);
    make_key("foreign.key", "utrecht.example/public", 3, other);
    make_key(NULL, "houten.example/public", HOUTEN_SEED, key_houten);
    make_key(NULL, "ijsselstein.example/public", 8, key_other);
    make_key("open.key", "nieuwegein.example/public", OWN_SEED, other);
    char path[256];
    snprintf(path, sizeof(path), "%s/open.key", directory);
    assert_int_equal(chmod(path, 0640), 0);
    write_file("broken.key", "PRIVATE+KEY+nieuwegein.example/public+00000000+AAAA\n", 0600);
    write_file("token", "a-token\n", 0600);
    write_file("open.token", "a-token\n", 0644);
    write_file("empty.token", "\n", 0600);
    write_file("two.token", "one two\n", 0600);
    write_file("map.json", "{}", 0644);
    write_file("tls.crt", "", 0644);
    write_file("tls.key", "", 0600);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* `~` to the directory, `%P`, `%H`, `%O` to the verifier keys of this node, of houten and of another. */
static char *expand(const char *text)
{
    char *out = malloc(65536);
    size_t used = 0;
    assert_non_null(out);
    for (; *text; text++) {
        const char *insert = *text == '~'                  ? directory
                             : strncmp(text, "%P", 2) == 0 ? key_public
                             : strncmp(text, "%H", 2) == 0 ? key_houten
                             : strncmp(text, "%O", 2) == 0 ? key_other
                                                           : NULL;
        assert_true(used < 60000);
        if (insert)
            used += (size_t)sprintf(out + used, "%s", insert);
        else
            out[used++] = *text;
        text += insert && *text == '%';
    }
    out[used] = '\0';
    return out;
}

static struct config *load(const char *text, char **errors, int *code)
{
    struct config *config = NULL;
    char *expanded = expand(text), path[256];
    size_t size = 0;
    FILE *stream = open_memstream(errors, &size);
    write_file("k.conf", expanded, 0644);
    snprintf(path, sizeof(path), "%s/k.conf", directory);
    *code = config_load(path, stream, &config);
    fclose(stream);
    free(expanded);
    return config;
}

static struct config *load_good(const char *text)
{
    char *errors = NULL;
    int code;
    struct config *config = load(text, &errors, &code);
    assert_string_equal(errors, "");
    assert_int_equal(code, 0);
    free(errors);
    return config;
}

static void expect_errors(const char *text, const char *expected)
{
    char *errors = NULL, *wanted = expand(expected);
    int code;
    struct config *config = load(text, &errors, &code);
    if (strcmp(errors, wanted) != 0) /* cmocka cuts long messages */
        fprintf(stderr, "got:\n%s\nexpected:\n%s\n", errors, wanted);
    assert_string_equal(errors, wanted);
    assert_true(code < 0);
    assert_null(config);
    free(errors);
    free(wanted);
}

#define NODE "node { name = nieuwegein.example\n}\n"

static void test_minimal(void **state)
{
    (void)state;
    struct config *config = load_good(NODE);
    assert_string_equal(config->node.name, "nieuwegein.example");
    assert_string_equal(config->node.state, "/var/lib/kaartd");
    assert_string_equal(config->node.own_head, "/var/lib/kaartd/own-head");
    assert_string_equal(config->node.socket, "/var/lib/kaartd/kaartd.socket");
    assert_int_equal(config->node.guard_quorum, 2);
    assert_int_equal(config->node.guard_wait_ms, 3600 * 1000);
    assert_null(config->node.areas[0]);
    assert_null(config->node.proxy);
    assert_int_equal(config->feed_count + config->peer_count + config->source_count + config->listen_count,
                     0);
    config_free(config);
}

static void test_whole(void **state)
{
    (void)state;
    struct config *config = load_good(
        "# comment\n/* another */ node {\n  name = \"nieuwegein.example\"\n  state = \"state\"\n areas = "
        "{\"GM0356\", \"WK035601\"}\n"
        "  guard-wait = never guard-peers = 0 proxy = \"\" }\n"
        "feed public { key = \"public.key\" licence = CC0-1.0 }\n"
        "feed professionals { key = ~/pro.key readers = { \"houten.example\" } }\n"
        "listen public { address = \"[::]:8443\" tls-certificate = tls.crt tls-key = tls.key }\n"
        "listen local { address = \"127.0.0.1:0\" }\n"
        "peer houten.example { url = \"https://kaart.houten.example:8443/\" feed-keys = { \"%H\", \"%O\" } "
        "relay = yes push = on\n"
        "  tls-pins = { \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" } pull-every = \"90 s\" "
        "areas = { GM0321 } }\n"
        "source contracts { type = json url = \"https://c.example/v1?all=1\" mapping = map.json role = "
        "contract token-file = token\n"
        "  missing-for = \"2 weeks\" max-size = \"10 MB\" }\n"
        "writer w { token-file = token role = editor }\n"
        "policy { group contact { order = { provider@home, editor } stale-after = \"18 months\" } }\n");
    char path[128];
    snprintf(path, sizeof(path), "%s/state", directory);
    assert_string_equal(config->node.state, path);
    assert_string_equal(config->node.areas[1], "WK035601");
    assert_int_equal(config->node.guard_wait_ms, -1);
    assert_int_equal(config->feed_count, 2);
    assert_string_equal(config->feeds[1].name, "nieuwegein.example/professionals");
    assert_string_equal(config->listens[0].host, "::");
    assert_int_equal(config->listens[0].port, 8443);
    assert_int_equal(config->listens[1].port, 0);
    const struct config_peer *peer = config_peer(config, "houten.example");
    assert_non_null(peer);
    assert_string_equal(peer->url, "https://kaart.houten.example:8443");
    assert_int_equal(peer->feed_key_count, 2);
    assert_int_equal(peer->pull_every_ms, 90000);
    assert_true(peer->push && peer->relay && !peer->steward);
    assert_string_equal(peer->client_pins[0], peer->tls_pins[0]);
    assert_string_equal(peer->roles[0], "editor");
    assert_string_equal(peer->roles[5], "import");
    assert_null(peer->roles[6]);
    const struct config_source *source = config_source(config, "contracts");
    assert_non_null(source);
    assert_string_equal(source->areas[0], "GM0356");
    assert_int_equal(source->missing_for_ms, 14LL * 86400 * 1000);
    assert_int_equal(source->max_size_bytes, 10000000);
    assert_string_equal(source->feed, "public");
    assert_string_equal(config->writers[0].feeds[0], "public");
    assert_string_equal(config->groups[0].order[0], "provider@home");
    config_free(config);
}

static void test_feed_keys(void **state)
{
    (void)state;
    struct verifier_key keys[FEED_KEYS_MAX];
    char text[VERIFIER_KEY_TEXT_SIZE];
    struct config *config = load_good(
        NODE
        "feed public { key = public.key }\n"
        "peer houten.example { url = \"https://h.example\" feed-keys = { \"%H\" } }\n"
        "peer hub.example { url = \"https://hub.example\" relay = yes feed-keys = { \"%H\", \"%O\" } }\n");
    assert_int_equal(config_feed_keys(config, "nieuwegein.example/public", keys), 1);
    verifier_key_format(&keys[0], text);
    assert_string_equal(text, key_public);
    assert_int_equal(config_feed_keys(config, "houten.example/public", keys),
                     1); /* twice configured, once counted */
    assert_int_equal(config_feed_keys(config, "ijsselstein.example/public", keys), 1);
    assert_int_equal(config_feed_keys(config, "unknown.example/public", keys), 0);
    config_free(config);
}

static void test_include(void **state)
{
    char path[128];
    (void)state;
    snprintf(path, sizeof(path), "%s/peers.d", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    struct config *config = load_good(NODE "include-dir = \"peers.d\"\n"); /* may be empty */
    assert_int_equal(config->peer_count, 0);
    config_free(config);
    char *peer = expand("peer houten.example { url = \"https://h.example\" feed-keys = { \"%H\" } }\n");
    write_file("peers.d/b.conf", peer, 0644);
    write_file("peers.d/ignored.txt", "nonsense {", 0644);
    write_file("peers.d/.hidden.conf", "nonsense {", 0644);
    config = load_good(NODE "include-dir = \"peers.d\"\n");
    assert_int_equal(config->peer_count, 1);
    assert_non_null(strstr(config->peers[0].file, "/peers.d/b.conf"));
    config_free(config);
    write_file("peers.d/c.conf",
               "\npeer houten.example { url = \"ftp://h.example\" feed-keys = { x } }\ninclude-dir = x\n",
               0644);
    expect_errors(NODE "include-dir = \"peers.d\"\nwrong = 1\n",
                  "~/k.conf:4: unknown option or section \"wrong\"\n"
                  "~/peers.d/c.conf:2: peer houten.example: stands twice (first at ~/peers.d/b.conf:1)\n"
                  "~/peers.d/c.conf:2: peer houten.example: url: \"ftp://h.example\" is not a URL, as in "
                  "\"https://kaart.houten.example:8443\"\n"
                  "~/peers.d/c.conf:2: peer houten.example: feed-keys: key: does not begin with a feed's "
                  "name and + [NOTE-9]\n"
                  "~/peers.d/c.conf:3: include-dir: only the main file may include others\n");
    expect_errors(NODE "include-dir = \"nowhere\"\n",
                  "~/k.conf:3: include-dir: ~/nowhere cannot be read: No such file or directory\n");
    free(peer);
}

static void test_syntax(void **state)
{
    (void)state;
    expect_errors("", "~/k.conf: the node section is missing\n");
    expect_errors("node {\n name = \"nieuwegein.example\n}\n", "~/k.conf:2: this quote is not closed\n");
    expect_errors("# {\nnode {\n name = \"nieuwegein.example\"\n", "~/k.conf:2: this brace is not closed\n");
    expect_errors("node { name nieuwegein.example }\n",
                  "~/k.conf:1: missing equal sign after option 'name'; the file was not read beyond this\n"
                  "~/k.conf:1: node: name is missing\n");
    expect_errors("/* a\n b */ node { name = nieuwegein.example }\n/* x */\n\n}\n",
                  "~/k.conf:5: unexpected closing brace; the file was not read beyond this\n");
    expect_errors(NODE "\xff\n", "~/k.conf:3: is not text in UTF-8\n");
    expect_errors(NODE "peer { }\n",
                  "~/k.conf:3: missing title for section 'peer'; the file was not read beyond this\n");
    /* and a good one after a quote that stayed open */
    config_free(load_good(NODE));
}

static void test_unknown_options(void **state)
{
    (void)state;
    expect_errors("node { name = nieuwegein.example\n  colour = \"red }\" }\n"
                  "nodes x {\n  a { b = c }\n  name = 1\n}\n"
                  "peer houten.example {\n  url = \"https://h.example\" urls = { \"a\", \"b\" }\n  feed-keys "
                  "= { \"%H\" }\n  pull-every = soon\n}\n",
                  "~/k.conf:2: node: unknown option or section \"colour\"\n"
                  "~/k.conf:3: unknown option or section \"nodes\"\n"
                  "~/k.conf:8: peer houten.example: unknown option or section \"urls\"\n"
                  "~/k.conf:10: peer houten.example: pull-every: \"soon\" is not a duration: write a number "
                  "and s, m, h, days or weeks, as in \"15m\"\n");
}

static void test_all_at_once(void **state)
{
    (void)state;
    expect_errors(
        "node {\n  name = Nieuwegein\n  areas = { \"GM0356\", \"GM356\",\n    \"GM0356\" }\n  guard-peers = "
        "many\n}\n"
        "node {\n  name = x.example\n}\n"
        "feed public {\n}\n"
        "feed public { key = \"/nowhere/key\" readers = { \"houten.example\" } }\n"
        "peer houten.example {\n  push = maybe\n  roles = { \"boss\" }\n  kinds = { \"services\" }\n  url = "
        "\"http://h.example\"\n}\n"
        "source s {\n  type = xml url = \"https://user:secret@c.example\"\n mapping = none.json role = "
        "contract feed = secret\n}\n"
        "policy { group contact { order = { provider@work, \"owner@home\" } stale-after = \"18 moons\" } "
        "group colour { } }\n",
        "~/k.conf:2: node: name: \"Nieuwegein\" is not a lower-case DNS name, as in \"houten.example\"\n"
        "~/k.conf:3: node: areas: \"GM356\" is not a CBS code: GM and 4, WK and 6, or BU and 8 digits\n"
        "~/k.conf:4: node: areas: \"GM0356\" is listed twice\n"
        "~/k.conf:5: node: guard-peers: \"many\" is not a whole number\n"
        "~/k.conf:7: node: stands twice (first at ~/k.conf:1)\n"
        "~/k.conf:10: feed public: key is missing\n"
        "~/k.conf:12: feed public: stands twice (first at ~/k.conf:10)\n"
        "~/k.conf:12: feed public: key: /nowhere/key cannot be read: No such file or directory\n"
        "~/k.conf:12: feed public: readers: everybody may read the public feed\n"
        "~/k.conf:12: feed public: readers: \"houten.example\" has no client-pins, by which it would be "
        "known; a restricted feed needs mutual TLS\n"
        "~/k.conf:13: peer houten.example: feed-keys is missing: ask its operator for what `kaartctl key` "
        "prints there\n"
        "~/k.conf:14: peer houten.example: push: \"maybe\" is neither yes nor no\n"
        "~/k.conf:15: peer houten.example: roles: \"boss\" is no role: contract, provider, editor, "
        "coordinator, resident, import\n"
        "~/k.conf:16: peer houten.example: kinds: \"services\" is no kind of record: organization, service, "
        "location, service_at_location, program, taxonomy_term, contract, activity, relation, "
        "request, professional, confirmation\n"
        "~/k.conf:17: peer houten.example: url: plain http is refused: use https\n"
        "~/k.conf:20: source s: type: \"xml\" is no type of source: json\n"
        "~/k.conf:20: source s: url: holds a user name or password; secrets stand in files of their own\n"
        "~/k.conf:21: source s: mapping: ~/none.json cannot be read: No such file or directory\n"
        "~/k.conf:21: source s: feed: \"secret\" is no feed of this node (there is no such feed section)\n"
        "~/k.conf:23: group contact: order: \"provider@work\" is neither a role nor role@home\n"
        "~/k.conf:23: group contact: order: \"owner\" is no role: contract, provider, editor, coordinator, "
        "resident, import\n"
        "~/k.conf:23: group contact: stale-after: \"18 moons\" is not a time of days, months or years, as in "
        "\"18 months\", or \"never\"\n"
        "~/k.conf:23: group colour: \"colour\" is no field group: identity, place, contact, hours, access, "
        "description, classification, status\n");
}

static void test_keys_of_feeds(void **state)
{
    (void)state;
    expect_errors(NODE "feed public { key = ~/open.key }\n",
                  "~/k.conf:3: feed public: key: ~/open.key can be read by others than its owner; type: "
                  "chmod 600 ~/open.key\n");
    expect_errors(NODE "feed public { key = foreign.key }\n",
                  "~/k.conf:3: feed public: key: ~/foreign.key is a key of utrecht.example/public, not of "
                  "nieuwegein.example/public\n");
    expect_errors(NODE "feed public { key = public.key }\nfeed professionals { key = same.key }\n",
                  "~/k.conf:4: feed professionals: key: is also the key of feed public; make one with "
                  "kaartctl keygen\n");
    expect_errors(NODE "feed public { key = ~ }\n", "~/k.conf:3: feed public: key: ~ is not a file\n");
    expect_errors(
        NODE "feed Public { key = public.key }\n",
        "~/k.conf:3: feed Public: \"Public\" is not a name: a-z, then a-z, 0-9, _ and -, at most 32\n"
        "~/k.conf:3: feed Public: key: ~/public.key is a key of nieuwegein.example/public, not of "
        "nieuwegein.example/Public\n");
    expect_errors(NODE "feed public { key = public.key next-key = public.key key = public.key }\n",
                  "~/k.conf:3: feed public: key is set twice (first on line 3)\n");
    char *errors = NULL;
    int code;
    assert_null(load(NODE "feed public { key = broken.key }\n", &errors, &code));
    assert_int_equal(code, KAART_INVALID);
    assert_non_null(strstr(errors, "k.conf:3: feed public: key: "));
    assert_non_null(strstr(errors, "broken.key"));
    free(errors);
}

static void test_keys_of_peers(void **state)
{
    (void)state;
    expect_errors(NODE
                  "peer houten.example { url = \"https://h.example\"\n feed-keys = { \"%H\",\n\"%O\" } }\n",
                  "~/k.conf:5: peer houten.example: feed-keys: the key of ijsselstein.example/public is "
                  "another origin's; only a peer with relay = yes brings feeds of others\n");
    expect_errors(NODE
                  "peer houten.example { url = \"https://h.example\" feed-keys = { \"%P\" } relay = yes }\n",
                  "~/k.conf:3: peer houten.example: feed-keys: nieuwegein.example/public is a feed of this "
                  "node itself\n");
    expect_errors(
        NODE "peer houten.example { url = \"https://h.example\" feed-keys = { \"%H\", \"%H\" } }\n",
        "~/k.conf:3: peer houten.example: feed-keys: this key of houten.example/public is listed twice\n");
    expect_errors(NODE "peer houten.example { push = yes }\npeer nieuwegein.example { url = "
                       "\"https://h.example\" relay = yes }\n",
                  "~/k.conf:3: peer houten.example: push: needs the peer's url\n"
                  "~/k.conf:3: peer houten.example: has neither url (to pull from it) nor client-pins (to "
                  "know it when it pushes)\n"
                  "~/k.conf:4: peer nieuwegein.example: is this node itself\n");
    expect_errors(NODE "peer houten.example { url = \"https://h.example\" relay = yes tls-pins = { "
                       "\"sha256/abc\" } pull-every = \"40 days\" full-sync-every = \"0\" }\n",
                  "~/k.conf:3: peer houten.example: tls-pins: \"sha256/abc\" is not a pin: \"sha256/\" and "
                  "the base64 of 32 bytes\n"
                  "~/k.conf:3: peer houten.example: pull-every: \"40 days\" is more than 31 days\n"
                  "~/k.conf:3: peer houten.example: full-sync-every: \"0\" is less than 1s\n");
}

static void test_listen(void **state)
{
    (void)state;
    expect_errors(
        NODE "listen a { address = \"0.0.0.0:80\" }\nlisten b { address = localhost:80 }\nlisten c { }\n"
             "listen d { address = \"10.0.0.1:8080\" behind-proxy = { proxy } }\n"
             "listen e { address = \"127.0.0.1:90000\" tls-key = tls.key }\n",
        "~/k.conf:3: listen a: plain http is refused on 0.0.0.0: set tls-certificate and tls-key, or "
        "behind-proxy to the addresses of the proxy that ends TLS\n"
        "~/k.conf:4: listen b: address: \"localhost:80\" is not a numeric address and port, as in "
        "\"0.0.0.0:8443\" or \"[::]:8443\"\n"
        "~/k.conf:5: listen c: address is missing\n"
        "~/k.conf:6: listen d: behind-proxy: \"proxy\" is not a numeric address, as in \"127.0.0.1\"\n"
        "~/k.conf:7: listen e: address: \"127.0.0.1:90000\" is not a numeric address and port, as in "
        "\"0.0.0.0:8443\" or \"[::]:8443\"\n"
        "~/k.conf:7: listen e: tls-certificate and tls-key belong together; tls-certificate is missing\n");
    expect_errors(NODE "listen a { address = \"127.0.0.1:80\" }\nlisten b { address = \"127.0.0.1:80\" }\n",
                  "~/k.conf:4: listen b: address: listen a has the same (~/k.conf:3)\n");
}

static void test_secrets(void **state)
{
    (void)state;
    expect_errors(
        NODE "feed public { key = public.key }\n"
             "source a { type = json url = \"https://c.example\" mapping = map.json role = contract "
             "token-file = open.token }\n"
             "source b { type = json url = \"https://c.example\" mapping = map.json role = contract "
             "token-file = empty.token }\n"
             "source c { type = json url = \"https://c.example\" mapping = map.json role = contract "
             "token-file = two.token }\n"
             "writer w { token-file = nowhere role = provider }\n"
             "writer v { token-file = token role = editor on-behalf-of = "
             "\"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\" feeds = { other } }\n",
        "~/k.conf:4: source a: token-file: ~/open.token can be read by others than its owner; type: chmod "
        "600 ~/open.token\n"
        "~/k.conf:5: source b: token-file: ~/empty.token is empty\n"
        "~/k.conf:6: source c: token-file: ~/two.token is not one line without blanks\n"
        "~/k.conf:7: writer w: token-file: ~/nowhere cannot be read: No such file or directory\n"
        "~/k.conf:7: writer w: on-behalf-of is missing: a provider's token is bound to the organisation it "
        "speaks for\n"
        "~/k.conf:8: writer v: on-behalf-of: only a provider speaks for an organisation, not a writer in the "
        "role editor\n"
        "~/k.conf:8: writer v: feeds: \"other\" is no feed of this node (there is no such feed section)\n");
    char path[128], *secret = NULL;
    struct fault fault;
    snprintf(path, sizeof(path), "%s/token", directory);
    assert_int_equal(config_read_secret(path, &secret, &fault), 0);
    assert_string_equal(secret, "a-token");
    free(secret);
}

static void test_plain_http(void **state)
{
    (void)state;
    expect_errors(NODE "peer houten.example { url = \"http://127.0.0.1:8080\" relay = yes }\n",
                  "~/k.conf:3: peer houten.example: url: plain http is refused: use https, or, on one "
                  "machine, allow-plain-http = yes in the node section\n");
    config_free(load_good("node { name = nieuwegein.example allow-plain-http = yes }\n"
                          "peer houten.example { url = \"http://127.0.0.1:8080\" relay = yes }\n"
                          "peer b.example { url = \"http://[::1]:8080\" relay = yes }\n"));
    expect_errors("node { name = nieuwegein.example allow-plain-http = yes }\npeer houten.example { url = "
                  "\"http://h.example\" relay = yes }\n",
                  "~/k.conf:2: peer houten.example: url: plain http is refused: use https\n");
}

static void test_guard(void **state)
{
    (void)state;
    expect_errors(
        "node { name = nieuwegein.example guard-ask = { \"houten.example\", \"b.example\" } guard-wait = "
        "always\n client-key = tls.key }\n"
        "peer b.example { client-pins = { \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" } }\n",
        "~/k.conf:1: node: guard-wait: \"always\" is not a duration: write a number and s, m, h, days or "
        "weeks, as in \"15m\", or \"never\"\n"
        "~/k.conf:1: node: client-certificate and client-key belong together; client-certificate is missing\n"
        "~/k.conf:1: node: guard-ask: \"houten.example\" is no peer in this configuration\n"
        "~/k.conf:1: node: guard-ask: \"b.example\" has no url, so it cannot be asked\n");
}

static void test_unreadable(void **state)
{
    char *errors = NULL;
    size_t size = 0;
    struct config *config = NULL;
    (void)state;
    FILE *stream = open_memstream(&errors, &size);
    assert_int_equal(config_load("/nowhere/kaartd.conf", stream, &config), KAART_IO);
    assert_int_equal(config_load(directory, stream, &config), KAART_IO);
    fclose(stream);
    char *wanted =
        expand("/nowhere/kaartd.conf: cannot be read: No such file or directory\n~: is not a file\n");
    assert_string_equal(errors, wanted);
    free(wanted);
    free(errors);
}

/* kaartctl's user may not read the keys, and needs only the socket. */
static void test_node_only(void **state)
{
    char path[128];
    struct config *config = NULL;
    (void)state;
    write_file("k.conf", NODE "feed public { key = \"/root/no/such.key\" }\npeer x.example { }\n", 0644);
    snprintf(path, sizeof(path), "%s/k.conf", directory);
    assert_int_equal(config_load_node(path, stderr, &config), 0);
    assert_string_equal(config->node.socket, "/var/lib/kaartd/kaartd.socket");
    assert_int_equal(config->peer_count, 0);
    assert_string_equal(config->feeds[0].name, "nieuwegein.example/public");
    config_free(config);
}

/* peers.example.conf says nothing wrong: with its paths put here, it loads. */
static void test_example(void **state)
{
    char path[128], *text = calloc(1, 65536), *moved = calloc(1, 65536);
    (void)state;
    FILE *file = fopen("peers.example.conf", "r");
    if (!file) /* run from elsewhere */
        skip();
    assert_true(fread(text, 1, 65535, file) > 1000);
    fclose(file);
    snprintf(path, sizeof(path), "%s/peers.d", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file("professionals.key", "", 0600);
    make_key("professionals.key", "nieuwegein.example/professionals", 2, key_other);
    write_file("client.crt", "", 0644);
    write_file("client.key", "", 0600);
    write_file("contracted-care.json", "{}", 0644);
    write_file("contracted-care.token", "t\n", 0600);
    write_file("zorg4nieuwegein.token", "t\n", 0600);
    const char *from = text;
    for (const char *at; (at = strstr(from, "/etc/kaartd")); from = at + 11) {
        strncat(moved, from, (size_t)(at - from));
        strcat(moved, directory);
    }
    strcat(moved, from);
    struct config *config = load_good(moved);
    assert_int_equal(config->peer_count, 1);
    assert_int_equal(config->source_count, 1);
    assert_int_equal(config->feed_count, 2);
    config_free(config);
    free(text);
    free(moved);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_minimal),     CASE(test_whole),         CASE(test_feed_keys),
        CASE(test_include),     CASE(test_syntax),        CASE(test_unknown_options),
        CASE(test_all_at_once), CASE(test_keys_of_feeds), CASE(test_keys_of_peers),
        CASE(test_listen),      CASE(test_secrets),       CASE(test_plain_http),
        CASE(test_guard),       CASE(test_unreadable),    CASE(test_node_only),
        CASE(test_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
