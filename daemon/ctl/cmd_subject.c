/*
 * cmd_subject.c - erase and subject: what this node says of a record or a person goes, what others say is blocked here.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *what(const cJSON *match, bool dry_run)
{
    const char *action = json_get_string(match, "action"), *outcome = json_get_string(match, "outcome");
    if (outcome && strcmp(outcome, "refused") == 0)
        return "REFUSED";
    if (!action)
        return "";
    if (strcmp(action, "erase") == 0)
        return dry_run ? "would be erased" : "erased";
    if (strcmp(action, "remove") == 0)
        return dry_run ? "would be taken out" : "taken out";
    if (strcmp(action, "reject") == 0)
        return dry_run ? "submission would be rejected" : "submission rejected";
    if (strcmp(action, "block") == 0)
        return dry_run ? "would be blocked here" : "blocked here";
    return dry_run ? "part would be blocked here" : "part blocked here";
}

static const char *fields_of(const cJSON *match, char *text, size_t size)
{
    const cJSON *fields = json_get(match, "fields");
    text[0] = '\0';
    for (const cJSON *field = fields ? fields->child : NULL; field; field = field->next) {
        size_t used = strlen(text);
        if (cJSON_IsString(field) && used + 2 < size)
            snprintf(text + used, size - used, "%s%s", used ? " " : "", field->valuestring);
    }
    return ctl_text_clean(text);
}

static void print_matches(const cJSON *matches, bool dry_run)
{
    char fields[512];
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"WHAT", "FEED", "SOURCE", "KIND", "ID", "FIELDS", NULL});
    for (const cJSON *match = matches->child; match; match = match->next)
        ctl_table_add(table,
                      (const char *const[]){what(match, dry_run), json_get_string(match, "feed"),
                                            json_get_string(match, "source"), json_get_string(match, "kind"),
                                            json_get_string(match, "id"),
                                            fields_of(match, fields, sizeof(fields)), NULL});
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

/* Who has to be asked, and what cannot be known. */
static void print_others(const cJSON *answer, bool dry_run)
{
    const cJSON *ask = json_get(answer, "ask");
    bool own = false;
    for (const cJSON *match = json_get(answer, "matches")->child; match; match = match->next)
        own = own || (cJSON_IsTrue(json_get(match, "own")) && !json_get(match, "submission"));
    if (ask && ask->child) {
        printf("\nOnly their origin can erase the others' claims; ask:");
        for (const cJSON *origin = ask->child; origin; origin = origin->next)
            printf(" %s", origin->valuestring);
        printf("\n");
    }
    if (own && !dry_run)
        printf("\nPeers erase it when they follow; kaartctl erase --status shows who has confirmed it. That "
               "third\n"
               "parties delete their copies has hereby been requested, not proven.\n");
    if (cJSON_IsTrue(json_get(answer, "more")))
        printf("\nThere is more than one answer holds; ask again.\n");
}

static int print_answer(struct ctl *ctl, cJSON *answer, bool erasing, bool dry_run)
{
    bool refused = false;
    const cJSON *matches = json_get(answer, "matches");
    for (const cJSON *match = matches ? matches->child : NULL; match; match = match->next) {
        const char *outcome = json_get_string(match, "outcome");
        refused = refused || (outcome && strcmp(outcome, "refused") == 0);
    }
    if (ctl->json) {
        ctl_print_json(answer);
        return refused ? CTL_PARTLY : CTL_DONE;
    }
    if (!matches || !matches->child) {
        printf("No live claim answers to that.\n");
    } else {
        print_matches(matches, dry_run);
        print_others(answer, dry_run);
        if (erasing && dry_run)
            printf("\nNothing was changed. To do it, say it again with --yes.\n");
    }
    cJSON_Delete(answer);
    return refused ? CTL_PARTLY : CTL_DONE;
}

/* Consumes `question`. */
static int post_question(struct ctl *ctl, cJSON *question, cJSON **answer)
{
    char *body = cJSON_PrintUnformatted(question);
    int code = body ? ctl_ask(ctl, "POST", "erase", body, strlen(body), answer)
                    : ctl_say(CTL_FAILED, "out of memory");
    free(body);
    cJSON_Delete(question);
    return code;
}

/* Consumes `question`. */
static int ask(struct ctl *ctl, cJSON *question, bool erasing, bool dry_run)
{
    cJSON *answer = NULL;
    cJSON_AddBoolToObject(question, "dryRun", dry_run);
    int code = post_question(ctl, question, &answer);
    return code == CTL_DONE ? print_answer(ctl, answer, erasing, dry_run) : code;
}

static int allow(struct ctl *ctl, const char *text)
{
    cJSON *answer = NULL, *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "text", text);
    cJSON_AddBoolToObject(question, "allow", true);
    int code = post_question(ctl, question, &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    cJSON_Delete(answer);
    printf("It is let in again. What others say of it is shown again; what this node said has to be said "
           "anew.\n");
    return CTL_DONE;
}

/* ---- whom an erasure has reached ---- */

static void print_erasure(struct ctl_table *table, const cJSON *erasure, const char *list, const char *state)
{
    const cJSON *peers = json_get(erasure, list);
    for (const cJSON *peer = peers ? peers->child : NULL; peer; peer = peer->next) {
        const cJSON *size = json_get(peer, "size");
        char seq[32], held[32] = "nothing seen";
        snprintf(seq, sizeof(seq), "%.0f", json_get(erasure, "seq")->valuedouble);
        if (cJSON_IsNumber(size))
            snprintf(held, sizeof(held), "%.0f", size->valuedouble);
        ctl_table_add(table,
                      (const char *const[]){json_get_string(erasure, "feed"), seq,
                                            json_get_string(erasure, "kind"), json_get_string(erasure, "id"),
                                            json_get_string(peer, "peer"), state, held, NULL});
    }
}

static void print_reached(const cJSON *answer)
{
    const cJSON *erasures = json_get(answer, "erasures");
    if (!erasures || !erasures->child) {
        printf("No erasure stands in this node's feeds.\n");
        return;
    }
    struct ctl_table *table = ctl_table_new(
        (const char *const[]){"FEED", "POSITION", "KIND", "ID", "PEER", "ERASURE", "HOLDS UP TO", NULL});
    for (const cJSON *erasure = erasures->child; erasure; erasure = erasure->next) {
        print_erasure(table, erasure, "confirmed", "confirmed");
        print_erasure(table, erasure, "notYet", "not yet");
    }
    ctl_table_print(table, stdout);
    ctl_table_free(table);
    printf("\nConfirmed: since this node started, the peer has shown that it follows the feed beyond the "
           "erasure.\n"
           "That it, or any third party that has a copy, deleted the bytes is requested, not proven.\n");
    if (cJSON_IsTrue(json_get(answer, "more")))
        printf("\nThere is more than one answer holds; ask for one record: KIND ID.\n");
}

/* Consumes `question`. */
static int show_status(struct ctl *ctl, cJSON *question)
{
    cJSON *answer = NULL;
    cJSON_AddBoolToObject(question, "status", true);
    int code = post_question(ctl, question, &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    print_reached(answer);
    cJSON_Delete(answer);
    return CTL_DONE;
}

int ctl_erase(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *source = NULL;
    bool yes = false, status = false;
    const struct ctl_option options[] = {
        {"source", CTL_VALUE, &source}, {"yes", CTL_FLAG, &yes}, {"status", CTL_FLAG, &status}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 2, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (status && (yes || source))
        return ctl_say(CTL_USAGE, "erase --status only shows; it goes without --yes and --source");
    if (status && count == 0)
        return show_status(ctl, cJSON_CreateObject());
    if (count != 2)
        return ctl_say(CTL_USAGE, "erase KIND ID, not %zu words; see kaartctl erase --help", count);
    if (!syntax_is_uuid(words[1], strlen(words[1])))
        return ctl_say(CTL_USAGE, "\"%s\" is not a record's id; kaartctl search finds ids", words[1]);
    if (!record_kind_known(words[0]))
        return ctl_say(CTL_USAGE, "there is no kind \"%s\"; see spec/records.md", words[0]);
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "kind", words[0]);
    cJSON_AddStringToObject(question, "id", words[1]);
    if (source)
        cJSON_AddStringToObject(question, "source", source);
    if (status)
        return show_status(ctl, question);
    return ask(ctl, question, true, !yes);
}

int ctl_subject(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    bool yes = false;
    const struct ctl_option options[] = {{"yes", CTL_FLAG, &yes}};
    char **words, text[1024] = "";
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 2, 20, &words, &count);
    if (code != CTL_DONE)
        return code;
    bool erasing = strcmp(words[0], "erase") == 0, allowing = strcmp(words[0], "allow") == 0;
    if (!erasing && !allowing && strcmp(words[0], "find") != 0)
        return ctl_say(CTL_USAGE, "subject find TEXT, erase TEXT or allow TEXT, not \"%s\"", words[0]);
    for (size_t i = 1; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s", i > 1 ? " " : "", words[i]);
    }
    if (allowing)
        return allow(ctl, text);
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "text", text);
    return ask(ctl, question, erasing, !erasing || !yes);
}
