/*
 * cmd_link.c - records that are the same: link, unlink, duplicates.
 *
 * kaartd says what has to be said and refuses what would not take effect; here it is shown, and said like any other claim.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = object ? json_get_string(object, name) : NULL;
    return text ? text : "";
}

static void print_record(const char *mark, const cJSON *record)
{
    char name[256];
    const cJSON *parts = json_get(record, "parts");
    snprintf(name, sizeof(name), "%.255s", text_of(record, "name"));
    printf("  %s %s%s%s", mark, text_of(record, "id"), *name ? ", " : "", ctl_text_clean(name));
    if (parts)
        printf(" (of %.0f parts)", parts->valuedouble + 1);
    putchar('\n');
}

/* ---- link and unlink ---- */

static void print_said(const cJSON *plan)
{
    const cJSON *said = json_get(plan, "said");
    for (const cJSON *claim = said ? said->child : NULL; claim; claim = claim->next)
        printf("  said: %s by %s, %s %s, %.10s\n", text_of(claim, "type"), text_of(claim, "feed"),
               text_of(claim, "role"), text_of(claim, "source"), text_of(claim, "at"));
}

/* One sentence on what happens, or would. */
static void print_plan(const cJSON *plan, bool link, bool dry_run)
{
    const char *action = text_of(plan, "action"), *type = text_of(plan, "type");
    print_record(link ? "alias" : "one  ", json_get(plan, link ? "alias" : "one"));
    print_record(link ? "main " : "other", json_get(plan, link ? "main" : "other"));
    print_said(plan);
    if (strcmp(action, "none") == 0)
        printf("nothing to do: %s\n", link ? "the one is an alias of the other already"
                                           : "it is said already that they are not the same");
    else if (strcmp(action, "retract") == 0)
        printf("%s this node's own word (%s, source %s)%s\n", dry_run ? "would take back" : "takes back",
               type, text_of(plan, "source"),
               link ? "; what others say links them" : "; both are records of their own again");
    else
        printf("%s: %s%s\n", dry_run ? "would say" : "says", type,
               link ? ""
               : strcmp(text_of(plan, "now"), "same-as") == 0
                   ? ", against what others say; both are records of their own again"
                   : "; duplicates leaves them out from now on");
}

static int say_plan(struct ctl *ctl, const char *reason, const char *audience, cJSON *plan)
{
    const bool asserts = strcmp(text_of(plan, "action"), "assert") == 0;
    cJSON *body = asserts ? cJSON_DetachItemFromObjectCaseSensitive(plan, "body") : NULL;
    const struct ctl_claim claim = {
        .source = text_of(plan, "source"), .role = text_of(plan, "role"), .feed = audience};
    if (body && reason && !cJSON_AddStringToObject(body, "description", reason)) {
        cJSON_Delete(body);
        return ctl_say(CTL_FAILED, "out of memory");
    }
    if (asserts && !body)
        return ctl_say(CTL_FAILED, "kaartd's answer is not understood");
    return ctl_send_claim(ctl, &claim, "relation", text_of(plan, "relation"), body);
}

static int settle(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv, bool link)
{
    const char *reason = NULL, *kind = NULL, *audience = "public";
    bool dry_run = false;
    const struct ctl_option options[] = {{"reason", CTL_VALUE, &reason},
                                         {"kind", CTL_VALUE, &kind},
                                         {"audience", CTL_VALUE, &audience},
                                         {"dry-run", CTL_FLAG, &dry_run}};
    char **words;
    size_t count;
    cJSON *plan = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 2, 2, &words, &count);
    if (code != CTL_DONE || (code = ctl_need_id(words[0])) != CTL_DONE ||
        (code = ctl_need_id(words[1])) != CTL_DONE || (kind && (code = ctl_need_kind(kind)) != CTL_DONE))
        return code;
    code = ctl_ask_for(ctl, command->name,
                       (const char *const[]){link ? "alias" : "one", words[0], link ? "main" : "other",
                                             words[1], "kind", kind, "audience", audience, NULL},
                       &plan);
    if (code != CTL_DONE)
        return code;
    const bool nothing = strcmp(text_of(plan, "action"), "none") == 0;
    if (ctl->json && (dry_run || nothing))
        return ctl_print_json(plan);
    if (!ctl->json)
        print_plan(plan, link, dry_run);
    if (!dry_run && !nothing)
        code = say_plan(ctl, reason, audience, plan);
    cJSON_Delete(plan);
    return code;
}

int ctl_link(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    return settle(ctl, command, argc, argv, true);
}

int ctl_unlink(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    return settle(ctl, command, argc, argv, false);
}

/* ---- duplicates ---- */

static void print_evidence(const cJSON *evidence)
{
    for (const cJSON *item = evidence ? evidence->child : NULL; item; item = item->next) {
        char value[256];
        const cJSON *similarity = json_get(item, "nameSimilarity");
        snprintf(value, sizeof(value), "%.255s", text_of(item, "value"));
        printf("  same %s %s",
               strcmp(text_of(item, "type"), "name-postcode") == 0 ? "postcode" : text_of(item, "type"),
               ctl_text_clean(value));
        if (similarity && similarity->valuedouble >= 100)
            fputs(", same name", stdout);
        else if (similarity)
            printf(", names alike for %.0f%%", similarity->valuedouble);
        putchar('\n');
    }
}

static void print_duplicates(const cJSON *answer, const char *audience)
{
    const cJSON *list = json_get(answer, "duplicates"), *common = json_get(answer, "tooCommon"),
                *compared = json_get(answer, "compared");
    char number[32];
    for (const cJSON *pair = list ? list->child : NULL; pair; pair = pair->next) {
        const cJSON *alias = json_get(pair, "alias"), *main = json_get(pair, "main");
        puts(text_of(pair, "kind"));
        print_record("-", alias);
        print_record("-", main);
        print_evidence(json_get(pair, "evidence"));
        const char *option = audience ? " --audience " : "", *of = audience ? audience : "";
        printf("  the same:     kaartctl link %s %s%s%s\n", text_of(alias, "id"), text_of(main, "id"), option,
               of);
        printf("  not the same: kaartctl unlink %s %s%s%s\n\n", text_of(alias, "id"), text_of(main, "id"),
               option, of);
    }
    if (!list || !list->child)
        printf("no duplicates among %s records\n", ctl_count(compared ? compared->valuedouble : 0, number));
    if (cJSON_IsTrue(json_get(answer, "more")))
        puts("... and more: --limit, --kind");
    if (common && common->child)
        puts("too common to say anything; of these only records with the same name were compared:");
    for (const cJSON *item = common ? common->child : NULL; item; item = item->next) {
        char value[256];
        const cJSON *records = json_get(item, "records");
        snprintf(value, sizeof(value), "%.255s", text_of(item, "value"));
        printf("  %s %s: %s records of kind %s\n", text_of(item, "type"), ctl_text_clean(value),
               ctl_count(records ? records->valuedouble : 0, number), text_of(item, "kind"));
    }
}

int ctl_duplicates(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *kind = NULL, *limit = NULL, *audience = NULL;
    const struct ctl_option options[] = {
        {"kind", CTL_VALUE, &kind}, {"limit", CTL_VALUE, &limit}, {"audience", CTL_VALUE, &audience}};
    char **words;
    size_t count;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 0, &words, &count);
    if (code != CTL_DONE || (kind && (code = ctl_need_kind(kind)) != CTL_DONE))
        return code;
    code =
        ctl_ask_for(ctl, "duplicates",
                    (const char *const[]){"kind", kind, "limit", limit, "audience", audience, NULL}, &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    print_duplicates(answer, audience);
    cJSON_Delete(answer);
    return CTL_DONE;
}
