/*
 * client.c - questions to the daemon: HTTP over its Unix socket.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An answer that is read whole: status of 10,000 peers is some 10 MB. */
#define ANSWER_SIZE_MAX (64u * 1024 * 1024)
#define PROBLEM_SIZE_MAX 65536
/* While the store is busy (503), one question is asked again once a second for so long. */
#define BUSY_SECONDS_MAX 60

struct answer {
    CURL *curl;
    char *bytes; /* what is kept: everything, or, when streaming, the text of a refusal */
    size_t size;
    FILE *out; /* where a streamed answer goes; NULL: kept */
    bool broken;
};

char *ctl_path(const char *path, const char *const *pairs)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    fputs(path, stream);
    char sign = '?';
    for (size_t i = 0; pairs && pairs[i]; i += 2) {
        char *escaped = pairs[i + 1] ? curl_easy_escape(NULL, pairs[i + 1], 0) : NULL;
        if (escaped) {
            fprintf(stream, "%c%s=%s", sign, pairs[i], escaped);
            sign = '&';
        }
        curl_free(escaped);
    }
    return fclose(stream) == 0 ? text : NULL;
}

static size_t take_bytes(char *bytes, size_t one, size_t count, void *context)
{
    struct answer *answer = context;
    size_t size = one * count;
    long status = 0;
    curl_easy_getinfo(answer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (answer->out && status == 200) {
        if (fwrite(bytes, 1, size, answer->out) == size)
            return size;
        answer->broken = true;
        return 0;
    }
    if (answer->size + size > (answer->out ? PROBLEM_SIZE_MAX : ANSWER_SIZE_MAX))
        return 0;
    char *grown = realloc(answer->bytes, answer->size + size + 1);
    if (!grown)
        return 0;
    answer->bytes = grown;
    memcpy(grown + answer->size, bytes, size);
    answer->size += size;
    grown[answer->size] = '\0';
    return size;
}

static int say_unreachable(const char *socket, CURL *curl, CURLcode code)
{
    long number = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
    if (number == EACCES || (access(socket, F_OK) == 0 && access(socket, W_OK) < 0 && errno == EACCES))
        return ctl_say(
            CTL_UNREACHABLE,
            "you may not talk to kaartd at %s: be root, or join the socket's group (adduser YOU kaartd)",
            socket);
    if (code == CURLE_COULDNT_CONNECT || access(socket, F_OK) < 0)
        return ctl_say(CTL_UNREACHABLE,
                       "kaartd does not answer at %s (%s). Is it running? Try: systemctl status kaartd",
                       socket,
                       number                     ? strerror((int)number)
                       : access(socket, F_OK) < 0 ? "no such socket"
                                                  : "refused");
    return ctl_say(CTL_UNREACHABLE, "kaartd at %s broke off: %s", socket, curl_easy_strerror(code));
}

/* The words of a problem+json, or of whatever it is. */
static int say_problem(long status, const struct answer *answer)
{
    struct fault fault;
    cJSON *problem = answer->bytes ? json_parse(answer->bytes, answer->size, &fault) : NULL;
    const char *title = json_get_string(problem, "title"), *detail = json_get_string(problem, "detail");
    int code = title || detail ? ctl_say(CTL_FAILED, "%s%s%s", title ? title : "",
                                         title && detail ? ": " : "", detail ? detail : "")
                               : ctl_say(CTL_FAILED, "kaartd answered with status %ld", status);
    cJSON_Delete(problem);
    return code;
}

static int perform(struct ctl *ctl, const char *method, const char *path, const char *body, size_t body_size,
                   struct answer *answer, long *status)
{
    int result = CTL_FAILED;
    const struct config *config = ctl_config(ctl);
    if (!config)
        return CTL_FAILED;
    char url[2048];
    CURL *curl = answer->curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
    if (!curl || !headers ||
        snprintf(url, sizeof(url), "http://kaartd/control/v1/%s", path) >= (int)sizeof(url)) {
        ctl_say(CTL_FAILED, "the question is too long, or there is no memory");
        goto out;
    }
    headers = curl_slist_append(headers, "Expect:"); /* the answer to it costs a round for nothing */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, config->node.socket);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
    }
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    if (answer->broken)
        result = ctl_say(CTL_FAILED, "the output cannot be written: %s", strerror(errno));
    else if (code != CURLE_OK)
        result = say_unreachable(config->node.socket, curl, code);
    else
        result = CTL_DONE;
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    answer->curl = NULL;
    return result;
}

static int ask(struct ctl *ctl, const char *method, const char *path, const char *body, size_t size,
               bool quiet, cJSON **json)
{
    struct answer answer = {0};
    struct fault fault;
    long status = 503;
    int result = CTL_DONE;
    *json = NULL;
    for (int second = 0; result == CTL_DONE && status == 503 && second < BUSY_SECONDS_MAX; second++) {
        if (second > 0)
            sleep(1);
        answer.size = 0;
        result = perform(ctl, method, path, body, size, &answer, &status);
    }
    if (result == CTL_DONE && status == 404 && quiet)
        goto out;
    if (result == CTL_DONE && status != 200)
        result = say_problem(status, &answer);
    else if (result == CTL_DONE &&
             !(*json = json_parse(answer.bytes ? answer.bytes : "", answer.size, &fault)))
        result = ctl_say(CTL_FAILED, "kaartd's answer is not understood: %s", fault.text);
out:
    free(answer.bytes);
    return result;
}

int ctl_ask(struct ctl *ctl, const char *method, const char *path, const char *body, size_t size,
            cJSON **answer)
{
    return ask(ctl, method, path, body, size, false, answer);
}

int ctl_ask_for(struct ctl *ctl, const char *path, const char *const *pairs, cJSON **answer)
{
    char *whole = ctl_path(path, pairs);
    int code = whole ? ctl_ask(ctl, "GET", whole, NULL, 0, answer) : ctl_say(CTL_FAILED, "out of memory");
    free(whole);
    return code;
}

int ctl_ask_quietly(struct ctl *ctl, const char *method, const char *path, cJSON **answer)
{
    return ask(ctl, method, path, NULL, 0, true, answer);
}

int ctl_ask_stream(struct ctl *ctl, const char *path, FILE *out)
{
    struct answer answer = {.out = out};
    long status = 0;
    int result = perform(ctl, "GET", path, NULL, 0, &answer, &status);
    if (result == CTL_DONE && status != 200)
        result = say_problem(status, &answer);
    if (result == CTL_DONE && fflush(out) != 0)
        result = ctl_say(CTL_FAILED, "the output cannot be written: %s", strerror(errno));
    free(answer.bytes);
    return result;
}

int ctl_print_json(cJSON *json)
{
    char *text = json ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (!text)
        return ctl_say(CTL_FAILED, "out of memory");
    puts(text);
    free(text);
    return fflush(stdout) == 0 ? CTL_DONE
                               : ctl_say(CTL_FAILED, "the output cannot be written: %s", strerror(errno));
}
