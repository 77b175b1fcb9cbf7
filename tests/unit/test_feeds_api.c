/*
 * test_feeds_api.c - what is served to peers and what is taken from them, through the real server and a real store.
 *
 * The node is nieuwegein.example. Houten pushes only (it has no URL); Utrecht can be pulled; Zeist is a reader of the professionals' feed.
 */
#include "tests/unit/store_fixture.h"

#include <stdbool.h>

#include "daemon/api/access.h"
#include "daemon/api/api.h"
#include "daemon/log.h"
#include "daemon/net/http_server.h"
#include "daemon/sync/sync.h"
#include "protocol/hash.h"
#include "tests/unit/loopback.h"

#include <zlib.h>

#define HOUTEN "houten.example/public"
#define UTRECHT "utrecht.example/public"
#define PROFESSIONALS "nieuwegein.example/professionals"
#define HOUTEN_PROFESSIONALS "houten.example/professionals"

/* ---- the parts of the node that are not under test ---- */

static struct {
    unsigned changed, hints, moved, own_seen;
    char feed[FEED_NAME_MAX_SIZE + 1];
} told;

void node_feed_changed(struct node *node, const char *feed)
{
    (void)node;
    told.changed++;
    snprintf(told.feed, sizeof(told.feed), "%s", feed);
}

void sync_hint(struct sync *sync, const char *feed)
{
    (void)sync;
    told.hints++;
    snprintf(told.feed, sizeof(told.feed), "%s", feed);
}

void sync_head_moved(struct sync *sync, const char *feed)
{
    (void)sync;
    (void)feed;
    told.moved++;
}

void sync_own_seen(struct sync *sync, const char *feed, const struct checkpoint *head)
{
    (void)sync;
    (void)feed;
    (void)head;
    told.own_seen++;
}

bool map_api_handle(struct node *node, struct http_exchange *exchange)
{
    (void)node;
    (void)exchange;
    return false;
}

bool control_api_handle(struct node *node, struct http_exchange *exchange)
{
    (void)node;
    exchange_problem(exchange, 200, "control", "control");
    return true;
}

/* ---- the node ---- */

enum { PEER_HOUTEN, PEER_UTRECHT, PEER_ZEIST, PEER_COUNT, NOBODY };

static struct node node;
static struct node_readers readers;
static struct fixture *store;
static struct http_server *server;
static bool server_closed;
static struct config config;
static struct config_feed own_feeds[2];
static struct config_peer peers[PEER_COUNT];
static char pins[PEER_COUNT][TLS_PIN_SIZE], client_cert[PEER_COUNT][3000];
static char *no_strings[] = {NULL};
static char *readers_of_professionals[] = {(char *)(uintptr_t) "zeist.example", NULL};
static char *peer_pins[PEER_COUNT][2];
static struct verifier_key houten_keys[2], utrecht_keys[1];

static void make_identity(int peer)
{
    char directory[] = "/tmp/kaartd-test-XXXXXX", path[64], command[80], text[2900];
    unsigned char *der = NULL;
    X509 *certificate;
    int size;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/peer", directory);
    make_certificate(path, pins[peer], &certificate);
    size = i2d_X509(certificate, &der);
    assert_in_range(size, 1, 2000);
    base64_encode(der, (size_t)size, text);
    snprintf(client_cert[peer], sizeof(client_cert[peer]), "Client-Cert: :%s:\r\n", text);
    OPENSSL_free(der);
    X509_free(certificate);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    peer_pins[peer][0] = pins[peer];
    peers[peer].client_pins = peer_pins[peer];
}

static void make_config(void)
{
    static char name[] = "nieuwegein.example", public_name[] = FEED, professionals[] = PROFESSIONALS,
                licence[] = "CC0-1.0";
    static char audience_public[] = "public", audience_professionals[] = "professionals";
    static char houten[] = "houten.example", utrecht[] = "utrecht.example", zeist[] = "zeist.example";
    static char url[] = "https://utrecht.example";

    memset(&config, 0, sizeof(config));
    memset(peers, 0, sizeof(peers));
    config.node.name = name;
    own_feeds[0] = (struct config_feed){
        .audience = audience_public, .name = public_name, .licence = licence, .readers = no_strings};
    own_feeds[1] = (struct config_feed){
        .audience = audience_professionals, .name = professionals, .readers = readers_of_professionals};
    config.feeds = own_feeds;
    config.feed_count = 2;
    peers[PEER_HOUTEN].name = houten;
    peers[PEER_HOUTEN].feed_keys = houten_keys;
    peers[PEER_HOUTEN].feed_key_count = 2;
    peers[PEER_UTRECHT].name = utrecht;
    peers[PEER_UTRECHT].url = url;
    peers[PEER_UTRECHT].pull_every_ms = 1000;
    peers[PEER_UTRECHT].feed_keys = utrecht_keys;
    peers[PEER_UTRECHT].feed_key_count = 1;
    peers[PEER_ZEIST].name = zeist;
    config.peers = peers;
    config.peer_count = PEER_COUNT;
    for (int i = 0; i < PEER_COUNT; i++)
        if (pins[i][0])
            peers[i].client_pins = peer_pins[i];
        else
            make_identity(i);
}

static void on_closed(void *context)
{
    *(bool *)context = true;
}

/* Another origin, with a store of its own. */
static struct fixture *origin_new(const char *feed, uint8_t seed)
{
    struct fixture *origin = fixture_new();

    fixture_key(origin, feed, seed);
    return origin;
}

static struct fixture *houten, *utrecht;

static void start(void)
{
    static const char *const PROXIES[] = {"127.0.0.1", NULL};
    struct http_listen_options options = {.host = "127.0.0.1", .behind_proxy = PROXIES};
    struct signing_key professionals;
    uint8_t seed[ED25519_SIZE] = {9};
    char id[UUID_TEXT_SIZE + 1];
    struct own_result result;
    struct own_claim claim;

    memset(&told, 0, sizeof(told));
    memset(&node, 0, sizeof(node));
    houten = origin_new(HOUTEN, 21);
    utrecht = origin_new(UTRECHT, 22);
    houten_keys[0] = houten->verifier;
    memset(seed, 23, sizeof(seed));
    assert_ok(signing_key_from_seed(HOUTEN_PROFESSIONALS, seed, &professionals, &fault));
    houten_keys[1] = professionals.verifier;
    utrecht_keys[0] = utrecht->verifier;
    make_config();
    store = fixture_new();
    feeds_allow_signing(store->feeds, FEED, true, "");
    for (unsigned i = 0; i < 20; i++)
        say(store, i, "{\"name\":\"Dienst\"}", NOW_MS + i);
    assert_ok(signing_key_from_seed(PROFESSIONALS, seed, &professionals, &fault));
    feeds_allow_signing(store->feeds, PROFESSIONALS, true, "");
    claim = claim_of(id_of(1, id), "{\"name\":\"Huisarts\"}");
    claim.salted = true;
    assert_ok(feeds_append(store->feeds, PROFESSIONALS, &professionals, 1, NOW_MS, &claim, 1, false, &result,
                           &fault));
    own_feeds[0].key = store->key;
    own_feeds[1].key = professionals;
    feeds_allow_signing(houten->feeds, HOUTEN, true, "");
    feeds_allow_signing(utrecht->feeds, UTRECHT, true, "");
    assert_ok(feeds_open(store->path, false, NULL, &readers.feeds, &fault));
    loop_open();
    node.loop = &test_loop;
    node.config = &config;
    node.sync = (struct sync *)&told; /* only handed on */
    assert_int_equal(worker_start(&test_loop, "writer", 64, store->feeds, &node.writer), 0);
    assert_int_equal(worker_start(&test_loop, "reader", 64, &readers, &node.reader), 0);
    assert_ok(http_server_start(&test_loop, &options, NULL, api_handle, &node, &server, &fault));
}

static void stop(void)
{
    server_closed = false;
    http_server_stop(server, 20, on_closed, &server_closed);
    run_until(&server_closed);
    worker_stop(node.writer);
    worker_stop(node.reader);
    push_api_close(&node);
    loop_close();
    feeds_close(readers.feeds);
    fixture_free(store);
    fixture_free(houten);
    fixture_free(utrecht);
}

/* ---- asking ---- */

struct answer {
    struct caller caller;
    int status;
    const char *body;
    size_t size;
};

static struct answer finish_answer(struct caller caller)
{
    struct answer answer = {.caller = caller};
    char *end;

    caller_wait_closed(&answer.caller);
    end = strstr(answer.caller.got, "\r\n\r\n");
    while (end && strncmp(answer.caller.got, "HTTP/1.1 100", 12) == 0) {
        answer.caller.size -= (size_t)(end + 4 - answer.caller.got);
        memmove(answer.caller.got, end + 4, answer.caller.size + 1);
        end = strstr(answer.caller.got, "\r\n\r\n");
    }
    if (!end)
        fail_msg("no answer: \"%.300s\"", answer.caller.got);
    answer.status = atoi(answer.caller.got + 9);
    answer.body = end + 4;
    answer.size = answer.caller.size - (size_t)(end + 4 - answer.caller.got);
    return answer;
}

static struct caller begin(int peer, const char *method, const char *path, const char *fields,
                           size_t body_size)
{
    struct caller caller = caller_open(http_server_port(server));
    char head[6000], length[64] = "";

    if (strcmp(method, "POST") == 0)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_size);
    snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s%s\r\n", method, path,
             peer < PEER_COUNT ? client_cert[peer] : "", fields, length);
    caller_say(&caller, head);
    return caller;
}

static struct answer ask(int peer, const char *method, const char *path, const char *fields)
{
    return finish_answer(begin(peer, method, path, fields, 0));
}

static struct answer post(int peer, const char *path, const char *fields, const void *body, size_t size)
{
    struct caller caller = begin(peer, "POST", path, fields, size);

    caller_send(&caller, body, size);
    return finish_answer(caller);
}

static void expect(struct answer answer, int status, const char *wanted)
{
    if (answer.status != status || !strstr(answer.caller.got, wanted))
        fail_msg("wanted %d \"%s\", got \"%.700s\"", status, wanted, answer.caller.got);
    caller_close(&answer.caller);
}

static void expect_without(struct answer answer, const char *unwanted)
{
    assert_int_equal(answer.status, 200);
    assert_null(strstr(answer.caller.got, unwanted));
    caller_close(&answer.caller);
}

static struct feed_head head_of(struct feeds *feeds, const char *feed)
{
    static struct feed_head head;

    assert_ok(feeds_head(feeds, feed, &head, &fault));
    return head;
}

static void etag_field(const char *got, char field[200])
{
    const char *tag = strstr(got, "ETag: ");

    assert_non_null(tag);
    snprintf(field, 200, "If-None-Match: %.*s\r\n", (int)strcspn(tag + 6, "\r"), tag + 6);
}

/* ---- serving ---- */

static void test_routes(void **state)
{
    (void)state;
    start();
    expect(ask(NOBODY, "GET", "/healthz", ""), 200, "ok\n");
    expect(ask(NOBODY, "POST", "/healthz", ""), 405, "Allow: GET, HEAD");
    expect(ask(NOBODY, "GET", "/nowhere", ""), 404, "application/problem+json");
    expect(ask(NOBODY, "GET", "/v1/nowhere", ""), 404, "API-Version: 1.0.0");
    expect(ask(NOBODY, "GET", "/control/v1/status", ""), 404, "nothing is served");
    expect(ask(NOBODY, "GET", "/v1/feeds/", ""), 404, "");
    expect(ask(NOBODY, "GET", "/v1/feeds/x/y/checkpoint/", ""), 404, "");
    expect(ask(NOBODY, "GET", "/v1/feeds/UPPER.example/public/checkpoint", ""), 404, "");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/other", ""), 404, "");
    expect(ask(NOBODY, "DELETE", "/v1/feeds/" FEED "/checkpoint", ""), 405, "Allow: GET, HEAD, POST");
    expect(ask(NOBODY, "POST", "/v1/feeds", ""), 405, "Allow: GET, HEAD");
    expect(ask(NOBODY, "GET", "/v1/feeds", ""), 200, "API-Version: 1.0.0");
    stop();
}

static void test_list(void **state)
{
    (void)state;
    start();
    expect(ask(NOBODY, "GET", "/v1/feeds", ""), 200,
           "{\"feeds\":[{\"feed\":\"" FEED "\",\"checkpoint\":\"kaartd-feed/v1\\nfeed ");
    expect(ask(NOBODY, "GET", "/v1/feeds", ""), 200, "\"licence\":\"CC0-1.0\"");
    expect_without(ask(NOBODY, "GET", "/v1/feeds", ""), "professionals");
    expect_without(ask(PEER_HOUTEN, "GET", "/v1/feeds", ""), "professionals");
    expect(ask(PEER_ZEIST, "GET", "/v1/feeds", ""), 200, "\"feed\":\"" PROFESSIONALS "\"");
    peers[PEER_ZEIST].suspended = true;
    expect_without(ask(PEER_ZEIST, "GET", "/v1/feeds", ""), "professionals");
    stop();
}

static void test_checkpoint(void **state)
{
    struct answer first, second;
    char field[200], list[400];

    (void)state;
    start();
    first = ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", "");
    assert_int_equal(first.status, 200);
    assert_non_null(strstr(first.caller.got, "text/plain; charset=utf-8"));
    assert_string_equal(first.body, head_of(readers.feeds, FEED).note);
    etag_field(first.caller.got, field);
    second = ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", field);
    assert_int_equal(second.status, 304);
    assert_int_equal(second.size, 0);
    assert_non_null(strstr(second.caller.got, "ETag: W/\""));
    caller_close(&second.caller);
    snprintf(list, sizeof(list), "If-None-Match: \"x\", %s", strstr(field, "W/") + 2);
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", list), 304, "");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", "If-None-Match: *\r\n"), 304, "");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", "If-None-Match: \"x\"\r\n"), 200, "epoch");
    expect(ask(NOBODY, "HEAD", "/v1/feeds/" FEED "/checkpoint", ""), 200, "Content-Length: ");
    caller_close(&first.caller);
    first = ask(NOBODY, "GET", "/v1/feeds/" PROFESSIONALS "/checkpoint", ""); /* [HTTP-8] */
    second = ask(NOBODY, "GET", "/v1/feeds/nobody.example/professionals/checkpoint", "");
    assert_int_equal(first.status, 404);
    assert_string_equal(strstr(first.caller.got, "GMT"), strstr(second.caller.got, "GMT"));
    caller_close(&first.caller);
    caller_close(&second.caller);
    first = ask(PEER_HOUTEN, "GET", "/v1/feeds/" PROFESSIONALS "/changes?epoch=1&since=0", "");
    second = ask(PEER_HOUTEN, "GET", "/v1/feeds/nobody.example/public/changes?epoch=1&since=0", "");
    assert_int_equal(first.status, 404);
    assert_string_equal(strstr(first.caller.got, "GMT"), strstr(second.caller.got, "GMT"));
    caller_close(&first.caller);
    caller_close(&second.caller);
    expect(ask(PEER_ZEIST, "GET", "/v1/feeds/" PROFESSIONALS "/checkpoint", ""), 200,
           "Cache-Control: no-store");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/checkpoint", ""), 200, "Cache-Control: no-cache");
    stop();
}

static void test_changes(void **state)
{
    struct checkpoint held;
    struct answer answer;
    char path[200], field[200], plain[20000];
    unsigned char packed[20000];
    z_stream stream = {0};

    (void)state;
    start();
    held = head_of(readers.feeds, FEED).checkpoint;
    snprintf(path, sizeof(path), "/v1/feeds/" FEED "/changes?epoch=%llu&since=0",
             (unsigned long long)held.epoch);
    answer = ask(NOBODY, "GET", path, "");
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.caller.got, "application/x-ndjson"));
    assert_int_equal(caller_count(&answer.caller, "{\"seq\":"), 20);
    assert_non_null(strstr(answer.body, "{\"checkpoint\":\""));
    etag_field(answer.caller.got, field);
    snprintf(plain, sizeof(plain), "%s", answer.body);
    caller_close(&answer.caller);
    answer = ask(NOBODY, "GET", path, "Accept-Encoding: gzip\r\n");
    assert_non_null(strstr(answer.caller.got, "Content-Encoding: gzip"));
    assert_true(answer.size < strlen(plain) / 2);
    inflateInit2(&stream, 15 + 16);
    stream.next_in = (Bytef *)(uintptr_t)answer.body;
    stream.avail_in = (uInt)answer.size;
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, strlen(plain));
    assert_memory_equal(packed, plain, strlen(plain));
    inflateEnd(&stream);
    caller_close(&answer.caller);
    expect(ask(NOBODY, "GET", path, field), 200,
           "{\"seq\":0,"); /* [HTTP-6]: the caller still lacks entries */
    snprintf(path, sizeof(path), "/v1/feeds/" FEED "/changes?epoch=%llu&since=%llu",
             (unsigned long long)held.epoch, (unsigned long long)held.size);
    expect(ask(NOBODY, "GET", path, field), 304, "");
    expect_without(ask(NOBODY, "GET", path, ""), "{\"seq\":");
    snprintf(path, sizeof(path), "/v1/feeds/" FEED "/changes?epoch=%llu&since=15",
             (unsigned long long)held.epoch);
    expect_without(ask(NOBODY, "GET", path, ""), "{\"seq\":14");
    expect_without(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=7&since=0", ""),
                   "{\"seq\":"); /* [STREAM-7] */
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes", ""), 400, "epoch");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1", ""), 400, "since");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1&since=-1", ""), 400, "since");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1&since=01", ""), 400, "since");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1&since=0x1", ""), 400, "since");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1&since=99999999999999999999", ""), 400,
           "since");
    expect(ask(NOBODY, "GET", "/v1/feeds/" FEED "/changes?epoch=1&epoch=1&since=0", ""), 400, "comes twice");
    stop();
}

static void test_etags(void **state)
{
    (void)state;
    assert_true(access_etag_matches("W/\"a\"", "W/\"a\""));
    assert_true(access_etag_matches("\"a\"", "W/\"a\""));
    assert_true(access_etag_matches("\"b\" , W/\"a\"", "W/\"a\""));
    assert_true(access_etag_matches("*", "W/\"a\""));
    assert_false(access_etag_matches("\"aa\"", "W/\"a\""));
    assert_false(access_etag_matches("a", "W/\"a\""));
    assert_false(access_etag_matches(", ,", "W/\"a\""));
    assert_false(access_etag_matches("", "W/\"a\""));
    assert_false(access_etag_matches(NULL, "W/\"a\""));
}

/* ---- pushes ---- */

static const char TEXT[] = "Content-Type: text/plain; charset=utf-8\r\n";
static const char NDJSON[] = "Content-Type: application/x-ndjson\r\n";

static struct answer offer(int peer, struct fixture *from)
{
    struct feed_head head = head_of(from->feeds, from->verifier.name);
    char path[400];

    snprintf(path, sizeof(path), "/v1/feeds/%s/checkpoint", from->verifier.name);
    return post(peer, path, TEXT, head.note, head.note_size);
}

static struct feeds_page page_of(struct fixture *from, uint64_t epoch, uint64_t since, size_t size_max)
{
    struct feeds_page page;

    assert_ok(feeds_page(from->feeds, from->verifier.name, epoch, since, size_max, &page, &fault));
    return page;
}

static void changes_path(const struct fixture *from, uint64_t epoch, uint64_t since, char path[400])
{
    snprintf(path, 400, "/v1/feeds/%s/changes?epoch=%llu&since=%llu", from->verifier.name,
             (unsigned long long)epoch, (unsigned long long)since);
}

static struct answer push(int peer, struct fixture *from, uint64_t since, size_t size_max)
{
    struct checkpoint held = head_of(from->feeds, from->verifier.name).checkpoint;
    struct feeds_page page = page_of(from, held.epoch, since, size_max);
    struct answer answer;
    char path[400];

    changes_path(from, held.epoch, since, path);
    answer = post(peer, path, NDJSON, page.bytes, page.size);
    free(page.bytes);
    return answer;
}

static void fill(struct fixture *from, unsigned first, unsigned count, const char *body)
{
    for (unsigned i = 0; i < count; i++)
        say(from, first + i, body, NOW_MS + 1000 + first + i);
}

/* {"epoch":E,"position":N,"wanted":B} with the epoch that `from` has. */
static void expect_position(struct answer answer, int status, const struct fixture *from, uint64_t position,
                            const char *wanted)
{
    char text[200];
    uint64_t epoch = head_of(from->feeds, from->verifier.name).checkpoint.epoch;

    snprintf(text, sizeof(text), "\"epoch\":%llu,\"position\":%llu%s%s", (unsigned long long)epoch,
             (unsigned long long)position, wanted ? ",\"wanted\":" : "", wanted ? wanted : "");
    expect(answer, status, text);
}

static void assert_same_head(struct fixture *from)
{
    assert_string_equal(head_of(readers.feeds, from->verifier.name).note,
                        head_of(from->feeds, from->verifier.name).note);
}

static void test_push(void **state)
{
    struct signing_key key;

    (void)state;
    start();
    fill(houten, 0, 30, "{\"name\":\"Zorg\"}");
    expect(offer(NOBODY, houten), 404, "no such feed");
    expect(offer(PEER_ZEIST, houten), 200, "\"wanted\":true"); /* any peer may bring a public feed */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect_position(push(PEER_HOUTEN, houten, 0, PAGE_SIZE_MAX), 200, houten, 30, "false");
    assert_same_head(houten);
    assert_int_equal(told.changed, 1);
    assert_int_equal(told.moved, 1);
    assert_string_equal(told.feed, HOUTEN);
    expect(ask(NOBODY, "GET", "/v1/feeds", ""), 200, "\"feed\":\"" HOUTEN "\""); /* relayed */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 30, "false");       /* nothing new */
    assert_int_equal(told.hints, 0);
    fill(houten, 30, 5, "{\"name\":\"Meer zorg\"}");
    fill(houten, 0, 3, "{\"name\":\"Andere zorg\"}");
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 30, "true"); /* a delta */
    expect_position(push(PEER_HOUTEN, houten, 30, PAGE_SIZE_MAX), 200, houten, 38, "false");
    assert_same_head(houten);
    key = houten->key;
    assert_ok(feeds_heartbeat(houten->feeds, HOUTEN, &key, 1, NOW_MS + 3600000, &fault));
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 38, "true"); /* a heartbeat */
    expect_position(push(PEER_HOUTEN, houten, 38, PAGE_SIZE_MAX), 200, houten, 38, "false");
    assert_same_head(houten);
    assert_int_equal(told.changed, 3);
    stop();
}

static void test_push_pages(void **state)
{
    struct answer answer;
    uint64_t next = 0;
    unsigned pages = 0;

    (void)state;
    start();
    fill(houten, 0, 50, "{\"name\":\"Zorg\"}");
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    do {
        answer = push(PEER_HOUTEN, houten, next, 2000);
        if (answer.status != 200)
            fail_msg("page %u from %llu: \"%s\"", pages, (unsigned long long)next, answer.body);
        next = strtoull(strstr(answer.body, "\"position\":") + 11, NULL, 10);
        pages++;
        assert_true(pages < 40);
        if (strstr(answer.body, "\"wanted\":false")) {
            caller_close(&answer.caller);
            break;
        }
        caller_close(&answer.caller);
        if (pages == 2) /* what came is not begun again, whether the peer comes back with a new offer ... */
            expect_position(offer(PEER_HOUTEN, houten), 200, houten, next, "true");
        if (pages == 3) { /* ... or from the wrong place */
            expect_position(push(PEER_HOUTEN, houten, 0, 2000), 409, houten, next, NULL);
        }
    } while (true);
    assert_int_equal(pages, 5);
    assert_same_head(houten);
    stop();
}

static void test_push_large(void **state)
{
    struct answer answer;
    char *body = malloc(60001), claim[61000];
    struct feeds_page page;
    char path[400], *packed;
    z_stream stream = {0};
    uint64_t epoch;

    (void)state;
    start();
    for (int i = 0; i < 60000; i++)
        body[i] = (char)('a' + ((unsigned)i * 2654435761u >> 17) % 26);
    body[60000] = '\0';
    snprintf(claim, sizeof(claim), "{\"name\":\"%s\"}", body);
    for (unsigned i = 0; i < 150; i++) {
        claim[20] = (char)('a' + i % 26);
        claim[40] = (char)('a' + i / 26);
        say(houten, i, claim, NOW_MS + i);
    }
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    epoch = head_of(houten->feeds, HOUTEN).checkpoint.epoch;
    page = page_of(houten, epoch, 0, 16u << 20);
    assert_true(page.size > 8u << 20);
    packed = malloc(page.size);
    deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = (Bytef *)page.bytes;
    stream.avail_in = (uInt)page.size;
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)page.size;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    changes_path(houten, epoch, 0, path);
    answer = post(PEER_HOUTEN, path, "Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n",
                  packed, stream.total_out);
    expect_position(answer, 200, houten, 150, "false");
    assert_same_head(houten);
    free(packed);
    free(page.bytes);
    free(body);
    /* and out again: several pages of 4 MiB, each with next */
    changes_path(houten, epoch, 0, path);
    expect(ask(NOBODY, "GET", path, ""), 200, "{\"next\":");
    stop();
}

static void test_push_unasked(void **state)
{
    char path[400];

    (void)state;
    start();
    fill(houten, 0, 3, "{\"name\":\"Zorg\"}");
    expect(push(NOBODY, houten, 0, PAGE_SIZE_MAX), 404, "no such feed");
    expect(push(PEER_HOUTEN, houten, 0, PAGE_SIZE_MAX), 409,
           "\"epoch\":0,\"position\":0"); /* without an offer [PUSH-5] */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect(push(PEER_ZEIST, houten, 0, PAGE_SIZE_MAX), 409, "\"position\":0"); /* on another's offer */
    changes_path(houten, 5, 0, path);
    expect(post(PEER_HOUTEN, path, NDJSON, "x", 1), 409, "offer a newer checkpoint");
    changes_path(houten, 5, 0, path);
    expect(post(PEER_HOUTEN, path, "", "x", 1), 415, "application/x-ndjson");
    expect(post(PEER_HOUTEN, "/v1/feeds/" HOUTEN "/changes", NDJSON, "x", 1), 400, "epoch");
    expect(post(PEER_HOUTEN, "/v1/feeds/" HOUTEN "/checkpoint", "", "x", 1), 415, "text/plain");
    expect(post(PEER_HOUTEN, "/v1/feeds/" HOUTEN "/checkpoint", TEXT, "x", 1), 400, "does not open");
    expect(post(PEER_HOUTEN, "/v1/feeds/unknown.example/public/checkpoint", TEXT, "x", 1), 404,
           "no such feed");
    expect(post(PEER_ZEIST, "/v1/feeds/" HOUTEN_PROFESSIONALS "/checkpoint", TEXT, "x", 1), 404,
           "no such feed");
    expect(post(PEER_HOUTEN, "/v1/feeds/" HOUTEN_PROFESSIONALS "/checkpoint", TEXT, "x", 1), 400,
           "does not open");
    {
        char *large = calloc(1, NOTE_SIZE_MAX + 1);

        expect(post(PEER_HOUTEN, "/v1/feeds/" HOUTEN "/checkpoint", TEXT, large, NOTE_SIZE_MAX + 1), 413,
               "larger");
        free(large);
    }
    peers[PEER_HOUTEN].suspended = true;
    expect(offer(PEER_HOUTEN, houten), 404, "no such feed");
    stop();
}

static void test_hints(void **state)
{
    (void)state;
    start();
    fill(utrecht, 0, 3, "{\"name\":\"Zorg\"}");
    expect(offer(PEER_UTRECHT, utrecht), 200,
           "{\"epoch\":0,\"position\":0,\"wanted\":false}"); /* it can be pulled [PUSH-3] */
    assert_int_equal(told.hints, 1);
    assert_string_equal(told.feed, UTRECHT);
    expect(push(PEER_UTRECHT, utrecht, 0, PAGE_SIZE_MAX), 409, "offer a newer checkpoint");
    expect(offer(PEER_HOUTEN, store), 200, "\"wanted\":false"); /* our own, and nothing new in it */
    assert_int_equal(told.hints, 1);
    stop();
}

static void test_push_refused(void **state)
{
    struct feeds_page page;
    struct checkpoint held;
    char path[400], *line;

    (void)state;
    start();
    fill(houten, 0, 10, "{\"name\":\"Zorg\"}");
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect_position(push(PEER_HOUTEN, houten, 0, PAGE_SIZE_MAX), 200, houten, 10, "false");
    fill(houten, 10, 10, "{\"name\":\"Zorg\"}");
    held = head_of(houten->feeds, HOUTEN).checkpoint;
    changes_path(houten, held.epoch, 10, path);
    /* one byte altered */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 10, "true");
    page = page_of(houten, held.epoch, 10, PAGE_SIZE_MAX);
    *strstr(page.bytes, "Zorg") = 'B';
    expect(post(PEER_HOUTEN, path, NDJSON, page.bytes, page.size), 400, "root");
    free(page.bytes);
    assert_int_equal(head_of(readers.feeds, HOUTEN).checkpoint.size, 10);
    assert_int_equal(told.changed, 1);
    /* after that, only everything will do, and not at once, since a full sync went before */
    expect(offer(PEER_HOUTEN, houten), 429, "Retry-After: ");
    peers[PEER_HOUTEN].full_sync_every_ms = 1;
    run_for(5);
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    /* an entry left out */
    page = page_of(houten, held.epoch, 0, PAGE_SIZE_MAX);
    line = strchr(page.bytes, '\n') + 1;
    changes_path(houten, held.epoch, 0, path);
    expect(post(PEER_HOUTEN, path, NDJSON, line, page.size - (size_t)(line - page.bytes)), 400,
           "Bad Request");
    run_for(5);
    /* no control line; nonsense; nothing */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect(post(PEER_HOUTEN, path, NDJSON, page.bytes, (size_t)(line - page.bytes)), 400, "Bad Request");
    run_for(5);
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect(post(PEER_HOUTEN, path, NDJSON, "{\"seq\":nonsense}\n", 17), 400, "Bad Request");
    run_for(5);
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect(post(PEER_HOUTEN, path, NDJSON, "", 0), 400, "Bad Request");
    run_for(5);
    /* the whole, at last */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect_position(post(PEER_HOUTEN, path, NDJSON, page.bytes, page.size), 200, houten, 20, "false");
    assert_same_head(houten);
    free(page.bytes);
    stop();
}

static void test_push_interrupted(void **state)
{
    struct feeds_page page;
    struct checkpoint held;
    struct caller caller;
    struct answer answer;
    char path[400];
    uint64_t position;

    (void)state;
    start();
    fill(houten, 0, 400, "{\"name\":\"Zorg\"}");
    held = head_of(houten->feeds, HOUTEN).checkpoint;
    changes_path(houten, held.epoch, 0, path);
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    page = page_of(houten, held.epoch, 0, PAGE_SIZE_MAX);
    caller = begin(PEER_HOUTEN, "POST", path, NDJSON, page.size);
    caller_send(&caller, page.bytes, page.size * 3 / 4);
    run_for(100);
    /* meanwhile: the same feed from another peer, and again from this one */
    expect(offer(PEER_ZEIST, houten), 200, "\"wanted\":true");
    expect(push(PEER_ZEIST, houten, 0, PAGE_SIZE_MAX), 409, "under way");
    expect(push(PEER_HOUTEN, houten, 0, PAGE_SIZE_MAX), 409, "under way");
    caller_close(&caller);
    run_for(100);
    assert_int_equal(head_of(readers.feeds, HOUTEN).held, false);
    answer = offer(PEER_HOUTEN, houten);
    assert_int_equal(answer.status, 200);
    position = strtoull(strstr(answer.body, "\"position\":") + 11, NULL, 10);
    caller_close(&answer.caller);
    assert_true(position <= 300);
    expect_position(push(PEER_HOUTEN, houten, position, PAGE_SIZE_MAX), 200, houten, 400, "false");
    assert_same_head(houten);
    free(page.bytes);
    stop();
}

static void test_push_fork(void **state)
{
    struct fixture *twin;
    struct feed_head head;

    (void)state;
    start();
    fill(houten, 0, 5, "{\"name\":\"Zorg\"}");
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 0, "true");
    expect_position(push(PEER_HOUTEN, houten, 0, PAGE_SIZE_MAX), 200, houten, 5, "false");
    twin = origin_new(HOUTEN, 21); /* the same key, another history */
    feeds_allow_signing(twin->feeds, HOUTEN, true, "");
    fill(twin, 0, 5, "{\"name\":\"Niets\"}");
    assert_int_equal(head_of(twin->feeds, HOUTEN).checkpoint.epoch,
                     head_of(houten->feeds, HOUTEN).checkpoint.epoch);
    expect(offer(PEER_HOUTEN, twin), 200, "\"wanted\":false");
    run_for(100);
    head = head_of(readers.feeds, HOUTEN);
    assert_non_null(strstr(head.frozen, "two histories"));
    assert_int_equal(told.hints, 0);
    fill(houten, 5, 5, "{\"name\":\"Zorg\"}"); /* nothing more of this epoch [DEATH-6] */
    expect_position(offer(PEER_HOUTEN, houten), 200, houten, 5, "false");
    expect(push(PEER_HOUTEN, houten, 5, PAGE_SIZE_MAX), 409, "\"position\":5");
    fixture_free(twin);
    stop();
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_routes),       cmocka_unit_test(test_list),
        cmocka_unit_test(test_checkpoint),   cmocka_unit_test(test_changes),
        cmocka_unit_test(test_etags),        cmocka_unit_test(test_push),
        cmocka_unit_test(test_push_pages),   cmocka_unit_test(test_push_large),
        cmocka_unit_test(test_push_unasked), cmocka_unit_test(test_hints),
        cmocka_unit_test(test_push_refused), cmocka_unit_test(test_push_interrupted),
        cmocka_unit_test(test_push_fork),
    };

    log_init(LOG_LEVEL_ERROR, false);
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
