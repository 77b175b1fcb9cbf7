/*
 * cmd_policy.c - who is believed for what: policy show, check, diff and sums.
 *
 * check and the reading of a file for diff need no daemon: a file is a configuration, or a policy's canonical text.
 */
#include "daemon/ctl/cmd_policy.h"
#include "daemon/config/policy_config.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* As the daemon takes them: 10,000 peers. */
#define FILE_SIZE_MAX (4u * 1024 * 1024)
/* Of a value, what is shown in a line. */
#define VALUE_COLUMNS 60

/* ---- files ---- */

/* malloc'ed with a NUL; NULL after a message. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = file ? malloc(FILE_SIZE_MAX + 1) : NULL;
    if (!text) {
        ctl_say(CTL_FAILED, "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    *size = fread(text, 1, FILE_SIZE_MAX + 1, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (!failed && *size <= FILE_SIZE_MAX) {
        text[*size] = '\0';
        return text;
    }
    ctl_say(CTL_FAILED, "%s: %s", path, failed ? "cannot be read" : "is too large for a policy");
    free(text);
    return NULL;
}

/* The library names a line in its text; here it stands where compilers put it. */
static int say_fault(const char *path, const struct fault *fault)
{
    unsigned line = 0;
    int used = 0;
    if (sscanf(fault->text, "line %u: %n", &line, &used) == 1 && used > 0)
        fprintf(stderr, "%s:%u: %s\n", path, line, fault->text + used);
    else
        fprintf(stderr, "%s: %s\n", path, fault->text);
    return CTL_FAILED;
}

static int policy_of_text(const char *path, const char *text, size_t size, struct policy **out)
{
    struct fault fault = {""};
    return policy_parse(text, size, out, &fault) == 0 ? CTL_DONE : say_fault(path, &fault);
}

static int policy_of_config(const char *path, struct policy **out)
{
    struct config *config = NULL;
    int code = config_load_policy(path, stderr, &config);
    if (code == 0)
        code = policy_from_config(config, out, stderr);
    config_free(config);
    return code == 0 ? CTL_DONE : CTL_FAILED;
}

/* *canonical: it was a policy's text, not a configuration. */
static int policy_of_file(const char *path, struct policy **out, bool *canonical)
{
    static const char begins[] = "kaartd-policy/";
    size_t size;
    char *text = read_file(path, &size);
    if (!text)
        return CTL_FAILED;
    *canonical = strncmp(text, begins, strlen(begins)) == 0;
    int code = *canonical ? policy_of_text(path, text, size, out) : policy_of_config(path, out);
    free(text);
    return code;
}

/* ---- show ---- */

static const cJSON *first(const cJSON *list)
{
    return list ? list->child : NULL;
}

static void add_line(struct ctl_table *table, const cJSON *place, const char *line, size_t size)
{
    char from[512] = "default", *copy = strndup(line, size);
    const char *file = json_get_string(place, "file");
    const cJSON *at = json_get(place, "at");
    if (file)
        snprintf(from, sizeof(from), "%.400s:%d", file, at ? at->valueint : 0);
    ctl_table_add(table, (const char *const[]){from, copy, NULL});
    free(copy);
}

/* The daemon names a place for each line but the header, in their order. */
static void print_policy(const cJSON *policy)
{
    const char *text = json_get_string(policy, "text"), *hash = json_get_string(policy, "hash");
    const cJSON *place = first(json_get(policy, "from"));
    struct ctl_table *table = ctl_table_new((const char *const[]){"FROM", "LINE", NULL});
    printf("hash  %s\n\n", hash ? hash : "?");
    const char *line = text ? strchr(text, '\n') : NULL;
    for (line = line ? line + 1 : NULL; line && *line && place; place = place->next) {
        size_t size = strcspn(line, "\n");
        add_line(table, place, line, size);
        line += size + (line[size] == '\n');
    }
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

static int show(struct ctl *ctl, bool text_only)
{
    cJSON *policy = NULL;
    int code = ctl_ask(ctl, "GET", "policy", NULL, 0, &policy);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(policy);
    if (text_only)
        fputs(json_get_string(policy, "text") ? json_get_string(policy, "text") : "", stdout);
    else
        print_policy(policy);
    cJSON_Delete(policy);
    return CTL_DONE;
}

/* ---- check ---- */

static int check(struct ctl *ctl, const char *path)
{
    struct policy *policy = NULL;
    bool canonical;
    char hex[HASH_SIZE * 2 + 1];
    int code = policy_of_file(path, &policy, &canonical);
    if (code != CTL_DONE)
        return code;
    hex_encode(policy_hash(policy)->bytes, HASH_SIZE, hex);
    if (ctl->json) {
        cJSON *result = cJSON_CreateObject();
        cJSON_AddStringToObject(result, "file", path);
        cJSON_AddStringToObject(result, "form", canonical ? "canonical" : "configuration");
        cJSON_AddStringToObject(result, "hash", hex);
        cJSON_AddStringToObject(result, "text", policy_text(policy, NULL));
        code = ctl_print_json(result);
    } else {
        printf("%s: %s, hash %s\n", path,
               canonical ? "a policy in canonical form" : "the policy of this configuration is valid", hex);
    }
    policy_release(policy);
    return code;
}

/* ---- diff: the other policy ---- */

/* The policy in force with another word about one peer. `what`: "suspended=yes", "suspended=no", or NULL: without its line. Frees `text`. */
static char *edited(char *text, const char *peer, const char *what)
{
    char line[300];
    size_t size = 0;
    char *out = NULL;
    snprintf(line, sizeof(line), "\norigin %s ", peer);
    char *own = text ? strstr(text, "\norigin ") : NULL, *at = text ? strstr(text, line) : NULL;
    if (!at || at == own) {
        ctl_say(CTL_FAILED,
                at ? "%s is this node itself"
                   : "the policy in force has no peer \"%s\"; kaartctl policy show lists them",
                peer);
        free(text);
        return NULL;
    }
    char *end = strchr(at + 1, '\n');
    FILE *stream = end ? open_memstream(&out, &size) : NULL;
    if (stream && what) {
        static const char word[] = " suspended=";
        char *last = NULL; /* the last word of the line */
        for (char *next = strstr(at, word); next && next < end; next = strstr(next + 1, word))
            last = next;
        fprintf(stream, "%.*s %s%s", (int)((last ? last : end) - text), text, what, end);
    } else if (stream) {
        fprintf(stream, "%.*s%s", (int)(at - text), text, end);
    }
    if (!stream || fclose(stream) != 0)
        ctl_say(CTL_FAILED, "out of memory");
    free(text);
    return out;
}

struct wanted {
    const char *suspend[CTL_LIST_MAX + 1], *resume[CTL_LIST_MAX + 1], *without[CTL_LIST_MAX + 1];
    const char *limit;
};

static char *edit_each(char *text, const char *const *peers, const char *what)
{
    for (size_t i = 0; text && peers[i]; i++)
        text = edited(text, peers[i], what);
    return text;
}

/* malloc'ed; NULL after a message. */
static char *text_of_edits(struct ctl *ctl, const struct wanted *wanted, int *code)
{
    cJSON *policy = NULL;
    *code = ctl_ask(ctl, "GET", "policy", NULL, 0, &policy);
    if (*code != CTL_DONE)
        return NULL;
    const char *now = json_get_string(policy, "text");
    char *text = now ? strdup(now) : NULL;
    cJSON_Delete(policy);
    text = edit_each(text, wanted->suspend, "suspended=yes");
    text = edit_each(text, wanted->resume, "suspended=no");
    text = edit_each(text, wanted->without, NULL);
    if (!text)
        *code = CTL_FAILED;
    return text;
}

static char *text_of_file(const char *path, int *code)
{
    struct policy *policy = NULL;
    bool canonical;
    *code = policy_of_file(path, &policy, &canonical);
    char *text = *code == CTL_DONE ? strdup(policy_text(policy, NULL)) : NULL;
    policy_release(policy);
    if (*code == CTL_DONE && !text)
        *code = ctl_say(CTL_FAILED, "out of memory");
    return text;
}

/* ---- diff: what it would change ---- */

/* At most VALUE_COLUMNS of it, cut at a character's border. */
static void print_value(const cJSON *value)
{
    char *text = cJSON_IsNull(value) ? strdup("(has none)") : ctl_value_text(value);
    if (!text)
        return;
    ctl_text_clean(text);
    size_t size = strlen(text), cut = size > VALUE_COLUMNS ? VALUE_COLUMNS : size;
    while (cut < size && cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--;
    printf("%.*s%s", (int)cut, text, cut < size ? "..." : "");
    free(text);
}

static void print_side(const cJSON *side)
{
    const char *feed = json_get_string(side, "feed"), *role = json_get_string(side, "role"),
               *as = json_get_string(side, "countsAs");
    if (!feed) {
        fputs("nobody", stdout);
        return;
    }
    printf("%s, %s%s%s%s", feed, role ? role : "?", as ? " (counts as " : "", as ? as : "", as ? ")" : "");
}

static void print_change(const cJSON *change)
{
    const cJSON *from = json_get(change, "from"), *to = json_get(change, "to");
    bool same = cJSON_IsTrue(json_get(change, "sameValue"));
    printf("  %s: ", json_get_string(change, "field"));
    print_side(from);
    fputs("  ->  ", stdout);
    print_side(to);
    if (same) {
        fputs("\n    same value: ", stdout);
        print_value(json_get(to, "value"));
    } else {
        fputs("\n    ", stdout);
        if (json_get(from, "value"))
            print_value(json_get(from, "value"));
        else
            fputs("(nothing)", stdout);
        fputs("  ->  ", stdout);
        if (json_get(to, "value"))
            print_value(json_get(to, "value"));
        else
            fputs("(nothing)", stdout);
    }
    putchar('\n');
}

static void print_changes(const cJSON *changes)
{
    const char *last = "";
    for (const cJSON *change = first(changes); change; change = change->next) {
        char head[400];
        const char *id = json_get_string(change, "id"), *name = json_get_string(change, "name");
        if (id && strcmp(id, last) != 0) {
            snprintf(head, sizeof(head), "%s %s  %.200s", json_get_string(change, "kind"), id,
                     name ? name : "");
            puts(ctl_text_clean(head));
            last = id;
        }
        print_change(change);
    }
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *number = json_get(object, name);
    return number ? number->valuedouble : 0;
}

static void print_feeds(const cJSON *feeds)
{
    char gains[32], loses[32];
    struct ctl_table *table = ctl_table_new((const char *const[]){"  FEED", "GAINS", "LOSES", NULL});
    for (const cJSON *feed = first(feeds); feed; feed = feed->next) {
        char name[400];
        snprintf(name, sizeof(name), "  %.380s", feed->string);
        ctl_count(number_of(feed, "gains"), gains);
        ctl_count(number_of(feed, "loses"), loses);
        ctl_table_add(table, (const char *const[]){name, gains, loses, NULL});
    }
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

static void print_totals(const cJSON *result)
{
    const cJSON *changed = json_get(result, "changed");
    char text[7][32];
    double more = number_of(result, "more");
    if (more > 0)
        printf("... and %s more; --limit shows more of them\n", ctl_count(more, text[0]));
    if (number_of(changed, "fields") > 0) {
        printf("%s%s of %s records would change: %s fields would have another winner, %s of them another "
               "value; %s records would appear, %s disappear\n",
               first(json_get(result, "changes")) ? "\n" : "",
               ctl_count(number_of(changed, "records"), text[1]),
               ctl_count(number_of(result, "records"), text[2]),
               ctl_count(number_of(changed, "fields"), text[3]),
               ctl_count(number_of(changed, "values"), text[4]),
               ctl_count(number_of(changed, "appear"), text[5]),
               ctl_count(number_of(changed, "disappear"), text[6]));
        print_feeds(json_get(result, "feeds"));
    } else {
        printf("nothing would change: every field of %s records keeps its winner\n",
               ctl_count(number_of(result, "records"), text[2]));
    }
    for (const cJSON *origin = first(json_get(result, "notHeld")); origin; origin = origin->next)
        if (cJSON_IsString(origin))
            printf("not held: %s/public. What it says is not here yet, so that what it would change is not "
                   "among the above\n",
                   origin->valuestring);
    if (cJSON_IsFalse(json_get(result, "caughtUp")))
        puts("the map is still being made from the feeds: ask again when kaartctl status says that it is "
             "caught up");
    if (number_of(result, "incomplete") > 0)
        printf("%s records changed while they were looked at: ask again\n",
               ctl_count(number_of(result, "incomplete"), text[0]));
}

static int ask_diff(struct ctl *ctl, const char *text, const char *limit)
{
    cJSON *result = NULL;
    char *path = ctl_path("policy/diff", (const char *const[]){"limit", limit, NULL});
    int code =
        path ? ctl_ask(ctl, "POST", path, text, strlen(text), &result) : ctl_say(CTL_FAILED, "out of memory");
    free(path);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(result);
    print_changes(json_get(result, "changes"));
    print_totals(result);
    cJSON_Delete(result);
    return CTL_DONE;
}

static int diff(struct ctl *ctl, const char *path, const struct wanted *wanted)
{
    int code = CTL_DONE;
    bool edits = wanted->suspend[0] || wanted->resume[0] || wanted->without[0];
    if (edits == (path != NULL))
        return ctl_say(CTL_USAGE,
                       "what is meant: policy diff FILE, or policy diff with --suspend, --resume or "
                       "--without and a peer?");
    char *text = path ? text_of_file(path, &code) : text_of_edits(ctl, wanted, &code);
    if (text)
        code = ask_diff(ctl, text, wanted->limit);
    free(text);
    return code;
}

int ctl_policy(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct wanted wanted = {.limit = NULL};
    struct sums_options sums = {.url = NULL};
    bool text_only = false;
    const struct ctl_option options[] = {
        {"text", CTL_FLAG, &text_only},      {"suspend", CTL_LIST, wanted.suspend},
        {"resume", CTL_LIST, wanted.resume}, {"without", CTL_LIST, wanted.without},
        {"limit", CTL_VALUE, &wanted.limit}, {"pin", CTL_VALUE, &sums.pin},
        {"ca", CTL_VALUE, &sums.ca_file},
    };
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 2, &words, &count);
    if (code != CTL_DONE)
        return code;
    const char *argument = count == 2 ? words[1] : NULL;
    if (strcmp(words[0], "show") == 0 && !argument)
        return show(ctl, text_only);
    if (strcmp(words[0], "check") == 0)
        return check(ctl, argument ? argument : ctl->config_path);
    if (strcmp(words[0], "diff") == 0)
        return diff(ctl, argument, &wanted);
    sums.url = argument;
    if (strcmp(words[0], "sums") == 0)
        return ctl_policy_sums(ctl, &sums);
    return ctl_say(CTL_USAGE,
                   "what is meant: policy show, policy check [FILE], policy diff ..., or policy sums "
                   "[PEER|URL]?");
}
