/*
 * cmd_fetch.c - kaartctl fetch: a feed as data, for whoever wants no node. The store in DIR is that of a node without own feeds.
 */
#include "daemon/config/config_private.h"
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int exit_code(int code)
{
    switch (code) {
    case 0:
        return CTL_DONE;
    case KAART_IO:
    case KAART_UNKNOWN:
        return CTL_UNREACHABLE;
    case KAART_NOMEM:
    case KAART_INVALID:
    case KAART_BUSY:
    case KAART_CORRUPT:
        return CTL_FAILED;
    default:
        return CTL_UNPROVEN;
    }
}

static int take_keys(struct fetch_options *options, const char *const *texts)
{
    struct fault fault;
    for (size_t i = 0; i < FEED_KEYS_MAX && texts[i]; i++) {
        struct verifier_key *key = &options->keys[options->key_count];
        if (verifier_key_parse(texts[i], strlen(texts[i]), key, &fault) < 0)
            return ctl_say(CTL_USAGE, "--key: %s", fault.text);
        if (strcmp(key->name, options->keys[0].name) != 0)
            return ctl_say(CTL_USAGE, "--key: keys of two feeds, %s and %s; fetch takes one feed at a time",
                           options->keys[0].name, key->name);
        options->key_count++;
    }
    return options->key_count > 0
               ? CTL_DONE
               : ctl_say(
                     CTL_USAGE,
                     "--key is missing: the feed's verifier key, which its operator sees with kaartctl key");
}

static int check_options(const struct fetch_options *options)
{
    struct fault fault;
    char host[128];
    if (config_check_url(options->url, &fault) < 0)
        return ctl_say(CTL_USAGE, "%s", fault.text);
    if (options->pin && config_check_pin(options->pin, &fault) < 0)
        return ctl_say(CTL_USAGE, "--pin: %s", fault.text);
    if (options->ca_file && config_check_file(options->ca_file, &fault) < 0)
        return ctl_say(CTL_USAGE, "--ca: %s", fault.text);
    if (strncmp(options->url, "http://", 7) != 0)
        return CTL_DONE;
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(options->url + 7, ":/"), options->url + 7);
    if (!options->allow_plain_http || !config_is_loopback(host))
        return ctl_say(CTL_USAGE, "plain http is refused: use https (to loopback: --allow-plain-http)");
    return CTL_DONE;
}

/* ---- a directory for this run alone ---- */

static char temporary[256];
static const char *const temporary_files[] = {"feeds.db", "feeds.db-wal", "feeds.db-shm", "feeds.db-journal",
                                              "feeds.db.lock"};

/* Only what may be called in a signal handler. */
static void remove_temporary(void)
{
    char name[sizeof(temporary) + 32];
    for (size_t i = 0; i < COUNT(temporary_files); i++) {
        strcpy(name, temporary);
        strcat(name, "/");
        strcat(name, temporary_files[i]);
        unlink(name);
    }
    rmdir(temporary);
}

static void on_signal(int number)
{
    remove_temporary();
    signal(number, SIG_DFL);
    raise(number);
}

static int make_temporary(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(temporary, sizeof(temporary), "%s/kaartctl.XXXXXX",
             where && *where && strlen(where) < 200 ? where : "/tmp");
    if (!mkdtemp(temporary))
        return ctl_say(CTL_FAILED, "%s cannot be made: %s", temporary, strerror(errno));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, on_signal);
    return CTL_DONE;
}

static int tidy(struct feeds *feeds, struct fault *fault)
{
    bool more = true;
    int code = 0;
    while (code == 0 && more)
        code = feeds_tidy(feeds, &more, fault);
    return code;
}

static int fetch_into(const struct fetch_options *options, const char *directory, bool keep, size_t *lines,
                      bool *behind, struct fault *fault)
{
    char path[512];
    struct feeds *feeds = NULL;
    struct told *told = NULL;
    if (snprintf(path, sizeof(path), "%s/feeds.db", directory) >= (int)sizeof(path))
        return fault_set(fault, KAART_INVALID, "the name of the state directory is too long");
    int code = feeds_open(path, true, NULL, &feeds, fault);
    snprintf(path, sizeof(path), "%s/told.db", directory);
    if (code == 0 && keep)
        code = told_open(path, &told, fault);
    if (code == 0)
        code = fetch_feed(feeds, options, behind, fault);
    if (code == 0)
        code = fetch_tell(feeds, options->keys[0].name, told, stdout, lines, fault);
    if (code == 0 && keep)
        code = tidy(feeds, fault);
    told_close(told);
    feeds_close(feeds);
    return code;
}

int ctl_fetch(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct fetch_options fetch = {0};
    const char *state = NULL, *keys[FEED_KEYS_MAX + 1] = {NULL};
    const struct ctl_option options[] = {{"key", CTL_LIST, keys},
                                         {"state", CTL_VALUE, &state},
                                         {"pin", CTL_VALUE, &fetch.pin},
                                         {"ca", CTL_VALUE, &fetch.ca_file},
                                         {"allow-plain-http", CTL_FLAG, &fetch.allow_plain_http}};
    char **words;
    size_t count, lines = 0;
    bool behind = false;
    struct fault fault = {""};
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 1, &words, &count);
    if (code != CTL_DONE)
        return code;
    fetch.url = words[0];
    if ((code = take_keys(&fetch, keys)) != CTL_DONE || (code = check_options(&fetch)) != CTL_DONE)
        return code;
    umask(027);
    if (state && mkdir(state, 0750) < 0 && errno != EEXIST)
        return ctl_say(CTL_FAILED, "%s cannot be made: %s", state, strerror(errno));
    if (!state && (code = make_temporary()) != CTL_DONE)
        return code;
    int result = fetch_into(&fetch, state ? state : temporary, state != NULL, &lines, &behind, &fault);
    if (!state)
        remove_temporary();
    if (result < 0)
        return ctl_say(exit_code(result), "%s%s%s",
                       exit_code(result) == CTL_UNPROVEN ? kaart_strerror(result) : "",
                       exit_code(result) == CTL_UNPROVEN ? ": " : "", fault.text);
    if (behind)
        ctl_say(0, "the node shows an older state than the one in %s; nothing was taken from it", state);
    return CTL_DONE;
}
