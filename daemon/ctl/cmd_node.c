/*
 * cmd_node.c - the node at work: status, feeds, peers, sync, sources, source.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Asks; with --json the answer is printed and *answer stays NULL. */
static int ask_or_print(struct ctl *ctl, const char *method, const char *path, cJSON **answer)
{
    int code = ctl_ask(ctl, method, path, NULL, 0, answer);
    if (code != CTL_DONE || !ctl->json)
        return code;
    code = ctl_print_json(*answer);
    *answer = NULL;
    return code;
}

static int read_no_options(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    char **words;
    size_t count;
    return ctl_read_options(ctl, command, argc, argv, NULL, 0, 0, 0, &words, &count);
}

static const cJSON *first(const cJSON *list)
{
    return list ? list->child : NULL;
}

/* ---- feeds ---- */

static const char *feed_state(const cJSON *feed)
{
    const char *frozen = json_get_string(feed, "frozen");
    if (frozen)
        return frozen;
    return cJSON_IsTrue(json_get(feed, "held")) ? cJSON_IsTrue(json_get(feed, "own")) ? "own" : "held"
                                                : "nothing yet";
}

static void add_feed_row(struct ctl_table *table, const cJSON *feed)
{
    char size[32], live[32], age[40];
    const cJSON *live_count = json_get(feed, "live"), *size_count = json_get(feed, "size");
    ctl_table_add(table, (const char *const[]){json_get_string(feed, "feed"), feed_state(feed),
                                               live_count ? ctl_count(live_count->valuedouble, live) : "-",
                                               size_count ? ctl_count(size_count->valuedouble, size) : "-",
                                               ctl_ago(json_get_string(feed, "time"), age), NULL});
}

static void print_feeds(const cJSON *feeds)
{
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"FEED", "STATE", "ENTRIES", "POSITION", "SIGNED", NULL});
    for (const cJSON *feed = first(feeds); feed; feed = feed->next)
        add_feed_row(table, feed);
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

int ctl_feeds(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    cJSON *feeds = NULL;
    int code = read_no_options(ctl, command, argc, argv);
    if (code != CTL_DONE || (code = ask_or_print(ctl, "GET", "feeds", &feeds)) != CTL_DONE || !feeds)
        return code;
    if (feeds->child)
        print_feeds(feeds);
    else
        puts("no feeds yet: say something (kaartctl import) or add a peer to the configuration");
    cJSON_Delete(feeds);
    return CTL_DONE;
}

/* ---- peers ---- */

static void print_peer(const cJSON *peer)
{
    char age[40];
    const char *url = json_get_string(peer, "url"), *state = json_get_string(peer, "state"),
               *error = json_get_string(peer, "lastError"), *error_at = json_get_string(peer, "lastErrorAt"),
               *success = json_get_string(peer, "lastSuccess");
    printf("%s: %s, last success %s%s%s\n", json_get_string(peer, "peer"), state ? state : "?",
           success ? ctl_ago(success, age) : "never", url ? ", " : "", url ? url : "");
    if (error)
        printf("  last error %s: %s\n", ctl_ago(error_at, age), error);
    for (const cJSON *refusal = first(json_get(peer, "refusals")); refusal; refusal = refusal->next)
        printf("  refused %.0f x: %s\n", refusal->valuedouble, refusal->string);
}

static void add_peer_rows(struct ctl_table *table, const cJSON *peer, const char *list, const char *direction)
{
    char entries[32], lag[32], age[40];
    for (const cJSON *feed = first(json_get(peer, list)); feed; feed = feed->next) {
        const cJSON *live = json_get(json_get(feed, "held"), "live"), *behind = json_get(feed, "lag");
        const char *detail = json_get_string(feed, "errorText");
        ctl_table_add(table,
                      (const char *const[]){json_get_string(peer, "peer"), direction,
                                            json_get_string(feed, "feed"), json_get_string(feed, "state"),
                                            live ? ctl_count(live->valuedouble, entries) : "-",
                                            behind ? ctl_count(behind->valuedouble, lag) : "-",
                                            ctl_ago(json_get_string(feed, "lastSuccess"), age),
                                            detail ? detail : json_get_string(feed, "detail"), NULL});
    }
}

int ctl_peers(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    cJSON *peers = NULL;
    int code = read_no_options(ctl, command, argc, argv);
    if (code != CTL_DONE || (code = ask_or_print(ctl, "GET", "peers", &peers)) != CTL_DONE || !peers)
        return code;
    if (!peers->child)
        puts("no peers: add a peer section to the configuration, as what `kaartctl key` prints at the other "
             "node");
    struct ctl_table *table = ctl_table_new(
        (const char *const[]){"PEER", "", "FEED", "STATE", "ENTRIES", "BEHIND", "LAST", "", NULL});
    for (const cJSON *peer = peers->child; peer; peer = peer->next) {
        print_peer(peer);
        add_peer_rows(table, peer, "feeds", "<-");
        add_peer_rows(table, peer, "pushes", "->");
    }
    if (peers->child) {
        putchar('\n');
        ctl_table_print(table, stdout);
    }
    ctl_table_free(table);
    cJSON_Delete(peers);
    return CTL_DONE;
}

/* ---- sync ---- */

/* Whether a moment (instant or null) is not before `since`. */
static bool not_before(const cJSON *object, const char *name, int64_t since_ms)
{
    const char *text = json_get_string(object, name);
    int64_t instant, seconds;
    if (text && syntax_instant_parse(text, strlen(text), &instant) == 0)
        return instant >= since_ms;
    return text && syntax_seconds_parse(text, strlen(text), &seconds) == 0 &&
           seconds * 1000 + 999 >= since_ms;
}

/* A peer is through when each of its feeds was looked at since, with or without success. */
static bool peer_done(const cJSON *peer, int64_t since_ms, bool *failed)
{
    bool error = not_before(peer, "lastErrorAt", since_ms),
         success = not_before(peer, "lastSuccess", since_ms);
    for (const cJSON *feed = first(json_get(peer, "feeds")); feed; feed = feed->next) {
        if (cJSON_IsTrue(json_get(feed, "busy")))
            return false;
        if (!not_before(feed, "lastSuccess", since_ms) && !error)
            return false;
        *failed = *failed || (!not_before(feed, "lastSuccess", since_ms) && error);
    }
    return success || error || !json_get_string(peer, "url") || !first(json_get(peer, "feeds"));
}

static int wait_for_peers(struct ctl *ctl, const char *name, int64_t since_ms, long timeout_s)
{
    const struct timespec pause = {0, 200 * 1000 * 1000};
    for (time_t end = time(NULL) + timeout_s;;) {
        cJSON *peers = NULL;
        bool done = true, failed = false;
        int code = ctl_ask(ctl, "GET", "peers", NULL, 0, &peers);
        if (code != CTL_DONE)
            return code;
        for (const cJSON *peer = peers->child; peer; peer = peer->next) {
            const char *peer_name = json_get_string(peer, "peer");
            if (!name || (peer_name && strcmp(peer_name, name) == 0))
                done = peer_done(peer, since_ms, &failed) && done;
        }
        if (done || time(NULL) >= end) {
            for (const cJSON *peer = peers->child; peer && !ctl->json; peer = peer->next)
                if (!name || strcmp(json_get_string(peer, "peer"), name) == 0)
                    print_peer(peer);
            if (ctl->json)
                ctl_print_json(cJSON_Duplicate(peers, true));
            cJSON_Delete(peers);
            if (!done)
                return ctl_say(CTL_FAILED, "not through after %ld s; kaartctl peers shows how far it is",
                               timeout_s);
            return failed ? CTL_FAILED : CTL_DONE;
        }
        cJSON_Delete(peers);
        nanosleep(&pause, NULL);
    }
}

int ctl_sync(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    bool wait = false;
    const char *timeout = "60";
    const struct ctl_option options[] = {{"wait", CTL_FLAG, &wait}, {"timeout", CTL_VALUE, &timeout}};
    char **words;
    size_t count;
    uint64_t timeout_s;
    cJSON *answer = NULL;
    struct timespec now;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 1, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (syntax_decimal_parse(timeout, strlen(timeout), 86400, &timeout_s) < 0)
        return ctl_say(CTL_USAGE, "--timeout: \"%s\" is not a number of seconds", timeout);
    clock_gettime(CLOCK_REALTIME, &now);
    char *path = ctl_path("sync", (const char *const[]){"peer", count ? words[0] : NULL, NULL});
    code = path ? ctl_ask(ctl, "POST", path, NULL, 0, &answer) : ctl_say(CTL_FAILED, "out of memory");
    free(path);
    if (code != CTL_DONE)
        return code;
    if (!wait && ctl->json)
        return ctl_print_json(answer);
    if (!wait)
        printf("asked: %s; kaartctl peers shows what comes of it\n", json_get_string(answer, "started"));
    cJSON_Delete(answer);
    if (!wait)
        return CTL_DONE;
    return wait_for_peers(ctl, count ? words[0] : NULL, now.tv_sec * 1000LL + now.tv_nsec / 1000000,
                          (long)timeout_s);
}

/* ---- sources ---- */

static void describe_counts(const cJSON *run, char *text, size_t size)
{
    static const char *const parts[] = {"added", "changed", "unchanged", "missing", "retracted"};
    text[0] = '\0';
    for (size_t i = 0; i < COUNT(parts); i++) {
        const cJSON *count = json_get(run, parts[i]);
        size_t used = strlen(text);
        if (cJSON_IsNumber(count) && count->valuedouble > 0)
            snprintf(text + used, size - used, "%s%.0f %s", used ? ", " : "", count->valuedouble, parts[i]);
    }
}

static void add_source_row(struct ctl_table *table, const cJSON *source)
{
    char age[40], next[40], counts[128];
    const cJSON *run = json_get(source, "lastRun");
    describe_counts(run, counts, sizeof(counts));
    ctl_table_add(table,
                  (const char *const[]){
                      json_get_string(source, "source"), json_get_string(source, "state"),
                      ctl_ago(json_get_string(run, "ended"), age), counts,
                      ctl_ago(json_get_string(source, "nextRun"), next),
                      json_get_string(source, "waitingReason") ? "" : json_get_string(run, "reason"), NULL});
}

/* What an operator has to look at: rows that are gone, and a run that waits. */
static void print_source_cares(const cJSON *source)
{
    char number[64];
    const char *name = json_get_string(source, "source"), *waiting = ctl_member(source, "waiting", number),
               *reason = json_get_string(source, "waitingReason");
    for (const cJSON *gone = first(json_get(source, "missing")); gone; gone = gone->next)
        printf("%s: %s %s is not listed since %s\n", name, json_get_string(gone, "kind"),
               json_get_string(gone, "id"), json_get_string(gone, "since"));
    if (waiting)
        printf("%s: run %s waits: %s\n  to carry out its retractions: kaartctl source accept %s %s\n", name,
               waiting, reason ? reason : "", name, waiting);
}

int ctl_sources(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    cJSON *sources = NULL;
    int code = read_no_options(ctl, command, argc, argv);
    if (code != CTL_DONE || (code = ask_or_print(ctl, "GET", "sources", &sources)) != CTL_DONE || !sources)
        return code;
    if (!sources->child)
        puts("no sources: add a source section to the configuration");
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"SOURCE", "STATE", "LAST RUN", "WITH", "NEXT", "", NULL});
    for (const cJSON *source = sources->child; source; source = source->next)
        add_source_row(table, source);
    if (sources->child)
        ctl_table_print(table, stdout);
    for (const cJSON *source = sources->child; source; source = source->next)
        print_source_cares(source);
    ctl_table_free(table);
    cJSON_Delete(sources);
    return CTL_DONE;
}

static void print_findings(const cJSON *list, const char *mark)
{
    for (const cJSON *finding = first(list); finding; finding = finding->next) {
        char row[64], line[1024];
        const char *field = json_get_string(finding, "field"), *message = json_get_string(finding, "message");
        const char *number = ctl_member(finding, "row", row);
        snprintf(line, sizeof(line), "%s%s%s%s%s: %s", mark, number ? "row " : "the listing",
                 number ? number : "", field && *field ? ", " : "", field ? field : "",
                 message ? message : "");
        printf("  %s\n", ctl_text_clean(line));
    }
}

/* "3 pages, 15 rows, 71 unchanged": what is not zero, in the report's order. */
static void print_counts(const cJSON *report)
{
    static const char *const left_out[] = {"run", "durationMs", "waiting", "errorCount", "warningCount"};
    const char *separator = "  ";
    for (const cJSON *member = first(report); member; member = member->next) {
        bool shown = cJSON_IsNumber(member) && member->valuedouble > 0;
        for (size_t i = 0; i < COUNT(left_out); i++)
            shown = shown && strcmp(member->string, left_out[i]) != 0;
        if (!shown)
            continue;
        printf("%s%.0f %s", separator, member->valuedouble,
               strcmp(member->string, "newlyMissing") == 0 ? "newly missing" : member->string);
        separator = ", ";
    }
    puts(*separator == ' ' ? "  nothing" : "");
}

static int print_report(struct ctl *ctl, cJSON *report)
{
    char number[64], waits[64];
    const char *state = json_get_string(report, "state"), *reason = json_get_string(report, "reason"),
               *name = json_get_string(report, "source"), *run = ctl_member(report, "run", number),
               *waiting = ctl_member(report, "waiting", waits);
    bool failed = !state || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;
    if (ctl->json) {
        ctl_print_json(report);
        return failed ? CTL_FAILED : CTL_DONE;
    }
    printf("%s%s%s: %s%s%s%s\n", name ? name : "?", run ? ", run " : "", run ? run : "", state ? state : "?",
           cJSON_IsTrue(json_get(report, "dryRun")) ? " (a dry run: nothing was changed)" : "",
           reason ? ": " : "", reason ? reason : "");
    print_counts(report);
    print_findings(json_get(report, "errors"), "");
    print_findings(json_get(report, "warnings"), "warning: ");
    if (waiting)
        printf("  to carry out its retractions: kaartctl source accept %s %s\n", name ? name : "?", waiting);
    cJSON_Delete(report);
    return failed ? CTL_FAILED : CTL_DONE;
}

int ctl_source(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    bool dry_run = false;
    const struct ctl_option options[] = {{"dry-run", CTL_FLAG, &dry_run}};
    char **words, route[128], *path = NULL;
    size_t count;
    cJSON *report = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 2, 3, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (!syntax_is_name(words[1], strlen(words[1])))
        return ctl_say(CTL_USAGE, "\"%s\" is not a source's name; kaartctl sources lists them", words[1]);
    snprintf(route, sizeof(route), "sources/%.32s/%.16s", words[1], words[0]);
    if (strcmp(words[0], "run") == 0 && count == 2)
        path = ctl_path(route, (const char *const[]){"dryRun", dry_run ? "true" : NULL, NULL});
    else if (strcmp(words[0], "accept") == 0 && count == 3 && !dry_run)
        path = ctl_path(route, (const char *const[]){"run", words[2], NULL});
    else
        return ctl_say(CTL_USAGE, "what is meant: source run NAME [--dry-run], or source accept NAME RUN?");
    code = path ? ctl_ask(ctl, "POST", path, NULL, 0, &report) : ctl_say(CTL_FAILED, "out of memory");
    free(path);
    return code == CTL_DONE ? print_report(ctl, report) : code;
}

/* ---- status ---- */

/* One for each audience; null where it is not made yet. */
static void print_map(const cJSON *map)
{
    char number[32];
    bool public = strcmp(map->string, AUDIENCE_PUBLIC) == 0;
    printf("map       %s%s", public ? "" : map->string, public ? "" : ": ");
    if (!cJSON_IsObject(map)) {
        puts("is being made");
        return;
    }
    const cJSON *caught_up = json_get(map, "caughtUp"), *claims = json_get(map, "claims");
    printf("%s claims%s", claims ? ctl_count(claims->valuedouble, number) : "?",
           cJSON_IsFalse(caught_up) ? ", not caught up yet" : "");
    for (const cJSON *kind = first(json_get(map, "records")); kind; kind = kind->next)
        printf(", %s %s", ctl_count(kind->valuedouble, number), kind->string);
    putchar('\n');
}

static void print_signing(const cJSON *feeds)
{
    for (const cJSON *feed = first(feeds); feed; feed = feed->next) {
        const char *reason = json_get_string(feed, "reason");
        bool may = cJSON_IsTrue(json_get(feed, "maySign"));
        printf("signs     %s: %s%s%s\n", json_get_string(feed, "feed"), may ? "yes" : "not now",
               reason && *reason ? ": " : "", reason ? reason : "");
    }
}

int ctl_sign(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    char **words, route[64];
    size_t count;
    cJSON *feeds = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, NULL, 0, 1, 1, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (!syntax_is_name(words[0], strlen(words[0])))
        return ctl_say(CTL_USAGE,
                       "\"%s\" is not an audience, as in public; kaartctl status lists the own feeds",
                       words[0]);
    snprintf(route, sizeof(route), "feeds/%.32s/sign", words[0]);
    if ((code = ask_or_print(ctl, "POST", route, &feeds)) != CTL_DONE || !feeds)
        return code;
    print_signing(feeds);
    cJSON_Delete(feeds);
    return CTL_DONE;
}

int ctl_status(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *audience = NULL;
    const struct ctl_option options[] = {{"audience", CTL_VALUE, &audience}};
    cJSON *status = NULL;
    char age[40], number[64], **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, 1, 0, 0, &words, &count);
    if (code != CTL_DONE)
        return code;
    char *path = ctl_path("status", (const char *const[]){"audience", audience, NULL});
    code = path ? ask_or_print(ctl, "GET", path, &status) : ctl_say(CTL_FAILED, "out of memory");
    free(path);
    if (code != CTL_DONE || !status)
        return code;
    char *areas = ctl_value_text(json_get(status, "areas"));
    printf("node      %s (kaartd %s), running since %s\n", json_get_string(status, "node"),
           json_get_string(status, "version"), ctl_ago(json_get_string(status, "started"), age));
    printf("areas     %s\n", areas && *areas ? areas : "none");
    free(areas);
    print_signing(json_get(status, "signing"));
    for (const cJSON *map = first(json_get(status, "maps")); map; map = map->next)
        print_map(map);
    printf("peers     %s\n", ctl_member(status, "peers", number));
    printf("sources   %s\n", ctl_member(status, "sources", number));
    const cJSON *waiting = json_get(status, "reviewWaiting");
    if (cJSON_IsNumber(waiting) && waiting->valuedouble > 0)
        printf("review    %s to decide: kaartctl review list\n", ctl_count(waiting->valuedouble, number));
    putchar('\n');
    print_feeds(json_get(status, "feeds"));
    cJSON_Delete(status);
    return CTL_DONE;
}
