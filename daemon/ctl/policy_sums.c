/*
 * policy_sums.c - kaartctl policy sums: the three hashes of this node, beside those of another one. spec/resolution.md [SUM-4].
 */
#include "daemon/config/config_private.h"
#include "daemon/ctl/cmd_policy.h"
#include "protocol/json.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_SIZE_MAX 65536
#define TIMEOUT_S 30L
/* Of a hash, what people compare by eye. */
#define DIGITS_SHOWN 16

static const struct {
    const char *member, *label;
} compared[] = {{"day", "day"}, {"claimSet", "claim set"}, {"policy", "policy"}, {"map", "map"}};
#define COMPARED (sizeof(compared) / sizeof(compared[0]))

/* ---- asking another node ---- */

struct answer {
    char bytes[ANSWER_SIZE_MAX + 1];
    size_t size;
};

static size_t take_bytes(char *bytes, size_t one, size_t count, void *context)
{
    struct answer *answer = context;
    size_t size = one * count;
    if (answer->size + size > ANSWER_SIZE_MAX)
        return 0;
    memcpy(answer->bytes + answer->size, bytes, size);
    answer->size += size;
    return size;
}

struct server {
    char *url;  /* where /v1 begins */
    char *pins; /* as libcurl wants them; NULL: the CAs decide */
    char *ca_file;
    bool plain_http;
};

static void server_clear(struct server *server)
{
    free(server->url);
    free(server->pins);
    free(server->ca_file);
}

/* "sha256/A", "sha256/B" -> "sha256//A;sha256//B" */
static char *curl_pins(const char *const *pins)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    for (size_t i = 0; stream && pins[i]; i++)
        fprintf(stream, "%ssha256//%s", i ? ";" : "", pins[i] + strlen("sha256/"));
    return stream && fclose(stream) == 0 ? text : NULL;
}

static int server_of_url(const struct sums_options *options, struct server *out)
{
    struct fault fault = {""};
    if (strncmp(options->url, "https://", 8) != 0)
        return ctl_say(CTL_USAGE, "%s: an https:// URL, or the name of a peer of the configuration",
                       options->url);
    if (options->pin && config_check_pin(options->pin, &fault) < 0)
        return ctl_say(CTL_USAGE, "--pin: %s", fault.text);
    if (options->ca_file && config_check_file(options->ca_file, &fault) < 0)
        return ctl_say(CTL_USAGE, "--ca: %s", fault.text);
    out->url = strdup(options->url);
    out->pins = options->pin ? curl_pins((const char *const[]){options->pin, NULL}) : NULL;
    out->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    return CTL_DONE;
}

static int server_of_peer(struct ctl *ctl, const char *name, struct server *out)
{
    struct config *config = NULL;
    int code = CTL_DONE;
    if (config_load_policy(ctl->config_path, stderr, &config) < 0)
        return ctl_say(CTL_FAILED, "the configuration cannot be used; name another with -c FILE");
    const struct config_peer *peer = config_peer(config, name);
    if (!peer || !peer->url) {
        code = ctl_say(CTL_FAILED,
                       peer ? "peer %s has no url, so that it cannot be asked"
                            : "there is no peer \"%s\" in the configuration; kaartctl peers lists them",
                       name);
    } else {
        out->url = strdup(peer->url);
        out->pins = peer->tls_pins[0] ? curl_pins((const char *const *)peer->tls_pins) : NULL;
        out->ca_file = peer->tls_ca_file ? strdup(peer->tls_ca_file) : NULL;
        out->plain_http = config->node.allow_plain_http;
    }
    config_free(config);
    return code;
}

static void set_up(CURL *curl, const struct server *server, struct answer *answer)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, server->plain_http ? "http,https" : "https");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kaartctl/" KAARTD_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (server->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca_file);
    if (server->pins) {
        curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, server->pins);
        if (!server->ca_file) { /* the pin decides instead of the CAs, as in a peer's section */
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        }
    }
}

static int get_sums(const struct server *server, cJSON **out)
{
    char url[1024], problem[CURL_ERROR_SIZE] = "";
    struct fault fault = {""};
    long status = 0;
    size_t size = strlen(server->url);
    while (size > 0 && server->url[size - 1] == '/')
        size--;
    if (snprintf(url, sizeof(url), "%.*s/v1/map/sums", (int)size, server->url) >= (int)sizeof(url))
        return ctl_say(CTL_USAGE, "the URL is too long");
    struct answer *answer = calloc(1, sizeof(*answer));
    CURL *curl = answer ? curl_easy_init() : NULL;
    int result = CTL_DONE;
    if (!curl) {
        free(answer);
        return ctl_say(CTL_FAILED, "out of memory");
    }
    set_up(curl, server, answer);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        result = ctl_say(CTL_UNREACHABLE, "%s: %s", url, *problem ? problem : curl_easy_strerror(code));
    else if (status != 200)
        result = ctl_say(CTL_FAILED, "%s: status %ld%s", url, status,
                         status == 404 ? ": that node does not publish its sums" : "");
    else if (!(*out = json_parse(answer->bytes, answer->size, &fault)))
        result = ctl_say(CTL_FAILED, "%s: the answer is not understood: %s", url, fault.text);
    free(answer);
    return result;
}

static int ask_other(struct ctl *ctl, const struct sums_options *options, cJSON **out)
{
    struct server server = {0};
    int code = strstr(options->url, "://") ? server_of_url(options, &server)
                                           : server_of_peer(ctl, options->url, &server);
    if (code == CTL_DONE && !server.url)
        code = ctl_say(CTL_FAILED, "out of memory");
    if (code == CTL_DONE)
        code = get_sums(&server, out);
    server_clear(&server);
    return code;
}

/* ---- telling ---- */

static bool same(const cJSON *here, const cJSON *there, const char *member)
{
    const char *a = json_get_string(here, member), *b = json_get_string(there, member);
    return a && b && strcmp(a, b) == 0;
}

static const char *word(const cJSON *sums, const char *member, bool whole, char text[80])
{
    const char *value = sums ? json_get_string(sums, member) : NULL;
    snprintf(text, 80, "%.*s", whole ? 79 : DIGITS_SHOWN, value ? value : "not yet");
    return text;
}

static void print_verdict(const cJSON *here, const cJSON *there)
{
    if (same(here, there, "map") && same(here, there, "day"))
        puts("\nboth show the same map");
    else if (!json_get_string(here, "map") || !json_get_string(there, "map"))
        puts("\nthe map of one is still being made from its feeds: ask again in a moment");
    else if (!same(here, there, "claimSet"))
        puts("\nthey do not hold the same claims: kaartctl feeds, and kaartctl peers, show how far each feed "
             "is");
    else if (!same(here, there, "policy"))
        puts("\nthe same claims under another policy: kaartctl policy show --text there, and kaartctl policy "
             "diff FILE here, show what that changes");
    else if (!same(here, there, "day"))
        puts("\nthe same claims and policy on another day");
    else
        puts("\nthe same claims, policy and day, but another map: one of the two has a fault. A map is "
             "made anew if map.db is removed while kaartd does not run");
}

static void print_sums(const cJSON *here, const cJSON *there)
{
    char a[80], b[80];
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"", "HERE", there ? "THERE" : "", "", NULL});
    for (size_t i = 0; i < COMPARED; i++)
        ctl_table_add(table,
                      (const char *const[]){compared[i].label, word(here, compared[i].member, !there, a),
                                            there ? word(there, compared[i].member, false, b) : "",
                                            !there                                  ? ""
                                            : same(here, there, compared[i].member) ? "same"
                                                                                    : "differs",
                                            NULL});
    ctl_table_print(table, stdout);
    ctl_table_free(table);
    if (there)
        print_verdict(here, there);
    else if (cJSON_IsFalse(json_get(here, "caughtUp")))
        puts("\nthe map is still being made from the feeds");
}

/* Consumes both. */
static int print_json(cJSON *here, cJSON *there)
{
    cJSON *result = cJSON_CreateObject(), *equal = cJSON_AddObjectToObject(result, "same");
    for (size_t i = 0; i < COMPARED; i++)
        cJSON_AddBoolToObject(equal, compared[i].member, same(here, there, compared[i].member));
    cJSON_AddItemToObject(result, "here", here);
    cJSON_AddItemToObject(result, "there", there);
    return ctl_print_json(result);
}

int ctl_policy_sums(struct ctl *ctl, const struct sums_options *options)
{
    cJSON *here = NULL, *there = NULL;
    int code = ctl_ask(ctl, "GET", "policy/sums", NULL, 0, &here);
    if (code == CTL_DONE && options->url)
        code = ask_other(ctl, options, &there);
    if (code == CTL_DONE && ctl->json) {
        code = there ? print_json(here, there) : ctl_print_json(here);
        here = there = NULL;
    } else if (code == CTL_DONE) {
        print_sums(here, there);
    }
    cJSON_Delete(here);
    cJSON_Delete(there);
    return code;
}
