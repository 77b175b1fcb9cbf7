/*
 * cmd_edit.c - the work of editors: conflicts, pin, unpin, stale, confirm.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/policy.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS_PER_S 1000LL

static int32_t today(void)
{
    return syntax_day_of((int64_t)time(NULL) * MS_PER_S);
}

/* A day, or a time from today: "12mo", "12 months", "1 year", "90 days". `direction` 1: ahead, -1: back. */
static int read_day(const char *text, int direction, int32_t *day)
{
    char *unit = NULL;
    if (syntax_day_parse(text, strlen(text), day) == 0)
        return 0;
    long number = isdigit((unsigned char)text[0]) ? strtol(text, &unit, 10) : -1;
    if (number < 0 || number > 10000)
        return KAART_INVALID;
    while (*unit == ' ')
        unit++;
    if (strcmp(unit, "d") == 0 || strcmp(unit, "day") == 0 || strcmp(unit, "days") == 0)
        *day = today() + direction * (int32_t)number;
    else if (strcmp(unit, "mo") == 0 || strcmp(unit, "month") == 0 || strcmp(unit, "months") == 0)
        *day = syntax_day_add_months(today(), direction * (int)number);
    else if (strcmp(unit, "y") == 0 || strcmp(unit, "year") == 0 || strcmp(unit, "years") == 0)
        *day = syntax_day_add_months(today(), direction * 12 * (int)number);
    else
        return KAART_INVALID;
    return 0;
}

static int need_group(const char *name, enum field_group *group)
{
    if (field_group_parse(name, strlen(name), group) == 0)
        return CTL_DONE;
    return ctl_say(CTL_USAGE,
                   "there is no field group \"%s\": identity, place, contact, hours, access, description, "
                   "classification, status",
                   name);
}

/* ---- conflicts ---- */

static void print_said(const char *mark, const cJSON *claim)
{
    char origin[512];
    char *value = ctl_value_text(json_get(claim, "value"));
    ctl_describe_origin(claim, origin, sizeof(origin));
    printf("  %s %s\n      %s\n", mark, value ? ctl_text_clean(value) : "", ctl_text_clean(origin));
    free(value);
}

static void print_command(const cJSON *conflict, const cJSON *claim, const char *purpose)
{
    const char *source = json_get_string(claim, "source");
    if (source && strncmp(source, PIN_SOURCE_PREFIX, strlen(PIN_SOURCE_PREFIX)) == 0)
        printf("  %s kaartctl unpin %s %s %s\n", "the pin goes: ", json_get_string(conflict, "kind"),
               json_get_string(conflict, "id"), source + strlen(PIN_SOURCE_PREFIX));
    else
        printf("  %s kaartctl pin %s %s %s --from %s --source %s --reason '...' --expires '12 months'\n",
               purpose, json_get_string(conflict, "kind"), json_get_string(conflict, "id"),
               json_get_string(conflict, "group"), json_get_string(claim, "feed"), source ? source : "");
}

static void print_conflict(const cJSON *conflict)
{
    const char *name = json_get_string(conflict, "name");
    const cJSON *others = json_get(conflict, "others");
    printf("%s %s%s%s, %s (%s): %s\n", json_get_string(conflict, "kind"), json_get_string(conflict, "id"),
           name && *name ? ", " : "", name ? name : "", json_get_string(conflict, "field"),
           json_get_string(conflict, "group"), json_get_string(conflict, "because"));
    if (cJSON_IsTrue(json_get(conflict, "hidesNewer")))
        puts("  the pin hides something that was said after it");
    print_said("=", conflict);
    for (const cJSON *other = others ? others->child : NULL; other; other = other->next)
        print_said("-", other);
    print_command(conflict, conflict, "to keep this: ");
    if (others && others->child)
        print_command(conflict, others->child, "to take other:");
    putchar('\n');
}

int ctl_conflicts(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *group = NULL, *about = NULL, *limit = NULL, *audience = NULL;
    const struct ctl_option options[] = {{"group", CTL_VALUE, &group},
                                         {"about", CTL_VALUE, &about},
                                         {"limit", CTL_VALUE, &limit},
                                         {"audience", CTL_VALUE, &audience}};
    char **words;
    size_t count;
    enum field_group parsed;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 0, &words, &count);
    if (code != CTL_DONE || (group && (code = need_group(group, &parsed)) != CTL_DONE))
        return code;
    code = ctl_ask_for(
        ctl, "conflicts",
        (const char *const[]){"group", group, "about", about, "limit", limit, "audience", audience, NULL},
        &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    const cJSON *conflicts = json_get(answer, "conflicts");
    for (const cJSON *conflict = conflicts ? conflicts->child : NULL; conflict; conflict = conflict->next)
        print_conflict(conflict);
    if (!conflicts || !conflicts->child)
        puts("no conflicts");
    if (cJSON_IsTrue(json_get(answer, "more")))
        puts("... and more: --limit");
    cJSON_Delete(answer);
    return CTL_DONE;
}

/* ---- pin ---- */

struct pin_options {
    const char *reason, *expires, *from, *source, *role, *feed;
};

static void copy_value(cJSON *body, const char *field, const cJSON *claim, const struct pin_options *options)
{
    const char *feed = json_get_string(claim, "feed"), *source = json_get_string(claim, "source");
    const cJSON *value = json_get(claim, "value");
    if (feed && source && value && strcmp(feed, options->from) == 0 &&
        (!options->source || strcmp(source, options->source) == 0))
        cJSON_AddItemToObject(body, field, cJSON_Duplicate(value, true));
}

/* Whether two sources of the feed speak about fields of the group: then --source has to choose. */
static bool is_ambiguous(const cJSON *claim, const char *from, const char **seen)
{
    const char *feed = json_get_string(claim, "feed"), *source = json_get_string(claim, "source");
    if (!feed || !source || strcmp(feed, from) != 0)
        return false;
    if (*seen && strcmp(*seen, source) != 0)
        return true;
    *seen = source;
    return false;
}

/* The fields of the group as the claim of (from, source) has them. */
static int copy_fields(const cJSON *why, const char *group, struct pin_options *options, cJSON *body)
{
    const cJSON *fields = json_get(why, "fields");
    const char *seen = NULL;
    for (const cJSON *field = fields ? fields->child : NULL; field; field = field->next) {
        const char *name = json_get_string(field, "field"), *of = json_get_string(field, "group");
        const cJSON *others = json_get(field, "others");
        if (!name || !of || strcmp(of, group) != 0)
            continue;
        bool ambiguous = is_ambiguous(field, options->from, &seen);
        copy_value(body, name, field, options);
        for (const cJSON *other = others ? others->child : NULL; other; other = other->next) {
            ambiguous = ambiguous || is_ambiguous(other, options->from, &seen);
            copy_value(body, name, other, options);
        }
        if (ambiguous && !options->source)
            return ctl_say(CTL_USAGE, "several sources of %s speak about %s; choose with --source",
                           options->from, group);
    }
    if (!body->child)
        return ctl_say(
            CTL_FAILED,
            "%s%s%s says nothing of the group %s about this record; kaartctl why shows who says what",
            options->from, options->source ? " source " : "", options->source ? options->source : "", group);
    if (!options->source)
        options->source = seen; /* borrowed from `why`: for derived_from, before that goes */
    return CTL_DONE;
}

static int read_why(struct ctl *ctl, const char *audience, const char *kind, const char *id, cJSON **why)
{
    char record[128];
    snprintf(record, sizeof(record), "records/%.36s/why", id);
    int code = ctl_ask_for(ctl, record, (const char *const[]){"kind", kind, "audience", audience, NULL}, why);
    return code;
}

static int fill_pin(struct ctl *ctl, struct pin_options *options, char **words, size_t count, cJSON *body)
{
    enum field_group group;
    cJSON *why = NULL;
    int code = CTL_DONE;
    (void)field_group_parse(words[2], strlen(words[2]), &group);
    if (options->from) {
        code = read_why(ctl, options->feed, words[0], words[1], &why);
        if (code == CTL_DONE)
            code = copy_fields(why, words[2], options, body);
        if (code == CTL_DONE) {
            cJSON *derived = cJSON_AddObjectToObject(body, "derived_from");
            cJSON_AddStringToObject(derived, "feed", options->from);
            cJSON_AddStringToObject(derived, "kind", words[0]);
            cJSON_AddStringToObject(derived, "id", words[1]);
            cJSON_AddStringToObject(derived, "source", options->source);
        }
        cJSON_Delete(why);
    }
    for (size_t i = 3; i < count && code == CTL_DONE; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(words[i], "="), words[i]);
        if (field_group_of(words[0], name) != group)
            code = ctl_say(CTL_USAGE, "%s is a field of the group %s, not of %s", name,
                           field_group_name(field_group_of(words[0], name)), words[2]);
        else
            code = ctl_set_field(body, words[i]);
    }
    return code;
}

static int pin(struct ctl *ctl, struct pin_options *options, char **words, size_t count)
{
    char source[NAME_MAX_SIZE + 1], day[DAY_TEXT_SIZE + 1];
    enum field_group group;
    int32_t expires;
    int code;
    if ((code = ctl_need_kind(words[0])) != CTL_DONE || (code = ctl_need_id(words[1])) != CTL_DONE ||
        (code = need_group(words[2], &group)) != CTL_DONE)
        return code;
    if (!options->reason || !*options->reason || !options->expires)
        return ctl_say(CTL_USAGE,
                       "a pin has a --reason, and a last day: --expires 2027-05-01, or --expires '6 months'");
    if (read_day(options->expires, 1, &expires) < 0 || expires < today())
        return ctl_say(CTL_USAGE,
                       "--expires: \"%s\" is not a day ahead, as in 2027-05-01, nor a time, as in '6 months'",
                       options->expires);
    if (!options->from && count < 4)
        return ctl_say(CTL_USAGE, "what is to hold? FIELD=VALUE..., or --from FEED [--source NAME], whose "
                                  "fields of the group are taken");
    cJSON *body = cJSON_CreateObject();
    code = body ? fill_pin(ctl, options, words, count, body) : ctl_say(CTL_FAILED, "out of memory");
    if (code != CTL_DONE) {
        cJSON_Delete(body);
        return code;
    }
    syntax_day_format(expires, day);
    cJSON_AddTrueToObject(body, "partial");
    cJSON_AddStringToObject(body, "pin_reason", options->reason);
    cJSON_AddStringToObject(body, "pin_expires", day);
    snprintf(source, sizeof(source), PIN_SOURCE_PREFIX "%s", words[2]);
    const struct ctl_claim claim = {.source = source, .role = options->role, .feed = options->feed};
    return ctl_send_claim(ctl, &claim, words[0], words[1], body);
}

int ctl_pin(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct pin_options pin_options = {.role = "editor", .feed = "public"};
    const struct ctl_option options[] = {
        {"reason", CTL_VALUE, &pin_options.reason}, {"expires", CTL_VALUE, &pin_options.expires},
        {"from", CTL_VALUE, &pin_options.from},     {"source", CTL_VALUE, &pin_options.source},
        {"role", CTL_VALUE, &pin_options.role},     {"feed", CTL_VALUE, &pin_options.feed}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 3, 100, &words, &count);
    return code == CTL_DONE ? pin(ctl, &pin_options, words, count) : code;
}

int ctl_unpin(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *feed = "public";
    char source[NAME_MAX_SIZE + 1];
    const struct ctl_option options[] = {{"feed", CTL_VALUE, &feed}};
    char **words;
    size_t count;
    enum field_group group;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 3, 3, &words, &count);
    if (code != CTL_DONE || (code = ctl_need_kind(words[0])) != CTL_DONE ||
        (code = ctl_need_id(words[1])) != CTL_DONE || (code = need_group(words[2], &group)) != CTL_DONE)
        return code;
    snprintf(source, sizeof(source), PIN_SOURCE_PREFIX "%s", words[2]);
    const struct ctl_claim claim = {.source = source, .role = "editor", .feed = feed};
    return ctl_send_claim(ctl, &claim, words[0], words[1], NULL);
}

/* ---- stale ---- */

static void print_stale(const cJSON *answer)
{
    const cJSON *list = json_get(answer, "stale"), *total = json_get(answer, "total");
    char number[32];
    size_t shown = 0;
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"CONFIRMED", "KIND", "ID", "SOURCE", "NAME", "", NULL});
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next, shown++) {
        char missing[64] = "";
        if (json_get_string(item, "missingSince"))
            snprintf(missing, sizeof(missing), "not in the register since %.10s",
                     json_get_string(item, "missingSince"));
        ctl_table_add(table,
                      (const char *const[]){json_get_string(item, "verified"), json_get_string(item, "kind"),
                                            json_get_string(item, "id"), json_get_string(item, "source"),
                                            json_get_string(item, "name"), missing, NULL});
    }
    ctl_table_print(table, stdout);
    ctl_table_free(table);
    if (shown == 0)
        puts("nothing: all of it was confirmed since");
    else if (total && total->valuedouble > (double)shown)
        printf("... of %s: --limit\n", ctl_count(total->valuedouble, number));
}

int ctl_stale(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *older = "12 months", *origin = NULL, *limit = NULL, *audience = NULL;
    const struct ctl_option options[] = {{"older-than", CTL_VALUE, &older},
                                         {"origin", CTL_VALUE, &origin},
                                         {"limit", CTL_VALUE, &limit},
                                         {"audience", CTL_VALUE, &audience}};
    char **words, day[DAY_TEXT_SIZE + 1];
    size_t count;
    int32_t before;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 0, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (read_day(older, -1, &before) < 0)
        return ctl_say(CTL_USAGE, "--older-than: \"%s\" is not a time, as in 12mo, 90d or 1y, nor a day",
                       older);
    syntax_day_format(before, day);
    code = ctl_ask_for(
        ctl, "stale",
        (const char *const[]){"before", day, "origin", origin, "limit", limit, "audience", audience, NULL},
        &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    print_stale(answer);
    cJSON_Delete(answer);
    return CTL_DONE;
}

/* ---- confirm ---- */

struct confirm_options {
    const char *kind, *source, *feed, *verified;
};

/* The kind of the record that has this id. */
static int find_kind(struct ctl *ctl, const char *audience, const char *id, char kind[NAME_MAX_SIZE + 1])
{
    char route[128];
    cJSON *record = NULL;
    snprintf(route, sizeof(route), "records/%.36s", id);
    int code = ctl_ask_for(ctl, route, (const char *const[]){"audience", audience, NULL}, &record);
    if (code == CTL_DONE)
        snprintf(kind, NAME_MAX_SIZE + 1, "%.32s",
                 json_get_string(record, "kind") ? json_get_string(record, "kind") : "");
    cJSON_Delete(record);
    return code;
}

/* The claim as it stands, said again with today as the day of confirmation. */
static int confirm(struct ctl *ctl, const struct confirm_options *options, const char *id)
{
    char kind[NAME_MAX_SIZE + 1], route[128];
    cJSON *entry = NULL;
    int code = CTL_DONE;
    snprintf(kind, sizeof(kind), "%.32s", options->kind ? options->kind : "");
    if (!options->kind && (code = find_kind(ctl, options->feed, id, kind)) != CTL_DONE)
        return code;
    snprintf(route, sizeof(route), "claims/%.32s/%.36s", kind, id);
    code = ctl_ask_for(ctl, route,
                       (const char *const[]){"source", options->source, "feed", options->feed, NULL}, &entry);
    if (code != CTL_DONE)
        return code;
    cJSON *body = cJSON_DetachItemFromObjectCaseSensitive(entry, "body");
    const struct ctl_claim claim = {.source = options->source,
                                    .role = json_get_string(entry, "role"),
                                    .feed = options->feed,
                                    .verified = options->verified,
                                    .on_behalf_of = json_get_string(entry, "on_behalf_of"),
                                    .areas = json_get(entry, "areas")};
    if (!body) {
        code =
            ctl_say(CTL_FAILED, "source %s has withdrawn what it said about %s; there is nothing to confirm",
                    options->source, id);
    } else if (json_get(entry, "missing_since")) {
        code =
            ctl_say(CTL_FAILED,
                    "the register of source %s does not list %s any more; only the register can confirm it",
                    options->source, id);
        cJSON_Delete(body);
    } else {
        code = ctl_send_claim(ctl, &claim, kind, id, body);
    }
    cJSON_Delete(entry);
    return code;
}

int ctl_confirm(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    char now[DAY_TEXT_SIZE + 1];
    struct confirm_options confirming = {.source = "editor", .feed = "public", .verified = now};
    const struct ctl_option options[] = {{"kind", CTL_VALUE, &confirming.kind},
                                         {"source", CTL_VALUE, &confirming.source},
                                         {"feed", CTL_VALUE, &confirming.feed},
                                         {"verified", CTL_VALUE, &confirming.verified}};
    char **words;
    size_t count;
    int32_t day;
    syntax_day_format(today(), now);
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 1000, &words, &count);
    if (code != CTL_DONE || (confirming.kind && (code = ctl_need_kind(confirming.kind)) != CTL_DONE))
        return code;
    if (syntax_day_parse(confirming.verified, strlen(confirming.verified), &day) < 0 || day > today())
        return ctl_say(CTL_USAGE, "--verified: \"%s\" is not a day up to today, as in 2026-11-21",
                       confirming.verified);
    for (size_t i = 0; i < count; i++)
        if ((code = ctl_need_id(words[i])) != CTL_DONE)
            return code;
    int worst = CTL_DONE;
    for (size_t i = 0; i < count && worst != CTL_UNREACHABLE; i++)
        if ((code = confirm(ctl, &confirming, words[i])) != CTL_DONE)
            worst = code;
    return worst;
}
