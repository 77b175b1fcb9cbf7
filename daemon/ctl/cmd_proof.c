/*
 * cmd_proof.c - prove: one claim as a text that anybody can check who has the feed's key; verify: that check, and the check of a proof that an
 * origin signed two histories.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/proof.h"
#include "protocol/syntax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Claims about one record from which prove chooses; a record that more than these speak about needs --feed and --source. */
#define CHOICES_MAX 200

/* ---- prove ---- */

struct choice {
    const char *feed, *source, *role;
    double seq;
};

static void add_choice(struct choice choices[CHOICES_MAX], size_t *count, const cJSON *claim,
                       const char *feed, const char *source)
{
    struct choice choice = {.feed = json_get_string(claim, "feed"),
                            .source = json_get_string(claim, "source"),
                            .role = json_get_string(claim, "role"),
                            .seq = cJSON_GetNumberValue(json_get(claim, "seq"))};
    if (!choice.feed || !choice.source || (feed && strcmp(feed, choice.feed) != 0) ||
        (source && strcmp(source, choice.source) != 0))
        return;
    for (size_t i = 0; i < *count; i++)
        if (choices[i].seq >= choice.seq && choices[i].seq <= choice.seq &&
            strcmp(choices[i].feed, choice.feed) == 0)
            return;
    if (*count < CHOICES_MAX)
        choices[(*count)++] = choice;
}

static size_t find_choices(const cJSON *why, const char *feed, const char *source,
                           struct choice choices[CHOICES_MAX])
{
    size_t count = 0;
    const cJSON *fields = json_get(why, "fields"), *passed = json_get(why, "notCounting");
    for (const cJSON *field = fields ? fields->child : NULL; field; field = field->next) {
        const cJSON *others = json_get(field, "others");
        add_choice(choices, &count, field, feed, source);
        for (const cJSON *other = others ? others->child : NULL; other; other = other->next)
            add_choice(choices, &count, other, feed, source);
    }
    for (const cJSON *claim = passed ? passed->child : NULL; claim; claim = claim->next)
        add_choice(choices, &count, claim, feed, source);
    return count;
}

static int ask_to_choose(const struct choice *choices, size_t count, const char *id)
{
    if (count == 0)
        return ctl_say(CTL_FAILED, "there is no such claim about %s; kaartctl why %s shows who says what", id,
                       id);
    ctl_say(0, "several sources speak about %s; choose with --feed and --source:", id);
    struct ctl_table *table = ctl_table_new((const char *const[]){"FEED", "SOURCE", "ROLE", NULL});
    for (size_t i = 0; i < count; i++)
        ctl_table_add(table,
                      (const char *const[]){choices[i].feed, choices[i].source, choices[i].role, NULL});
    ctl_table_print(table, stderr);
    ctl_table_free(table);
    return CTL_USAGE;
}

/* `choice` without a source: what was kept when the feed froze. */
static int print_proof(struct ctl *ctl, const struct choice *choice)
{
    char number[32];
    const char *seq = choice->source ? number : NULL;
    cJSON *answer = NULL;
    snprintf(number, sizeof(number), "%.0f", choice->seq);
    int code =
        ctl_ask_for(ctl, "proof", (const char *const[]){"feed", choice->feed, "seq", seq, NULL}, &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    const char *proof = json_get_string(answer, "proof");
    fputs(proof ? proof : "", stdout);
    cJSON_Delete(answer);
    return CTL_DONE;
}

int ctl_prove(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *kind = NULL, *feed = NULL, *source = NULL;
    const struct ctl_option options[] = {
        {"kind", CTL_VALUE, &kind}, {"feed", CTL_VALUE, &feed}, {"source", CTL_VALUE, &source}};
    struct choice choices[CHOICES_MAX];
    char **words, record[128];
    size_t count;
    cJSON *why = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 1, &words, &count);
    if (code != CTL_DONE)
        return code;
    if (syntax_is_feed(words[0], strlen(words[0])))
        return print_proof(ctl, &(struct choice){.feed = words[0]});
    if (!syntax_is_uuid(words[0], strlen(words[0])))
        return ctl_say(CTL_USAGE,
                       "\"%s\" is not a record's id, a UUID in lower case; kaartctl search finds ids",
                       words[0]);
    const char *slash =
        feed ? strchr(feed, '/') : NULL; /* the map of the feed's audience tells where the claim stands */
    snprintf(record, sizeof(record), "records/%.36s/why", words[0]);
    code = ctl_ask_for(ctl, record,
                       (const char *const[]){"kind", kind, "audience", slash ? slash + 1 : NULL, NULL}, &why);
    if (code != CTL_DONE)
        return code;
    count = find_choices(why, feed, source, choices);
    code = count == 1 ? print_proof(ctl, &choices[0]) : ask_to_choose(choices, count, words[0]);
    cJSON_Delete(why);
    return code;
}

/* ---- verify ---- */

static int read_proof(const char *name, char **text, size_t *size)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    int code = CTL_DONE;
    *text = malloc(PROOF_SIZE_MAX + 1);
    *size = file && *text ? fread(*text, 1, PROOF_SIZE_MAX + 1, file) : 0;
    if (!file || !*text || ferror(file))
        code = ctl_say(CTL_FAILED, "%s cannot be read: %s", name, strerror(errno));
    else if (*size > PROOF_SIZE_MAX)
        code = ctl_say(CTL_FAILED, "%s is larger than a proof can be", name);
    else
        (*text)[*size] = '\0';
    if (file && file != stdin)
        fclose(file);
    return code;
}

/* The name on the note's `feed` line: only to find the keys, which then decide. */
static bool find_feed(const char *text, char feed[FEED_NAME_MAX_SIZE + 1])
{
    const char *line = strstr(text, "\nkaartd-feed/v1\nfeed ");
    size_t size = line ? strcspn(line + 21, "\n") : 0;
    if (size == 0 || size > FEED_NAME_MAX_SIZE || !syntax_is_feed(line + 21, size))
        return false;
    memcpy(feed, line + 21, size);
    feed[size] = '\0';
    return true;
}

static int take_keys(struct ctl *ctl, const char *const *texts, const char *text,
                     struct verifier_key keys[FEED_KEYS_MAX], size_t *count)
{
    char feed[FEED_NAME_MAX_SIZE + 1];
    struct fault fault;
    struct config *config = NULL;
    for (*count = 0; *count < FEED_KEYS_MAX && texts[*count]; (*count)++)
        if (verifier_key_parse(texts[*count], strlen(texts[*count]), &keys[*count], &fault) < 0)
            return ctl_say(CTL_USAGE, "--key: %s", fault.text);
    if (*count > 0)
        return CTL_DONE;
    if (!find_feed(text, feed))
        return ctl_say(CTL_UNPROVEN, "this is no proof of kaartd: there is no checkpoint in it");
    if (config_load(ctl->config_path, stderr, &config) < 0)
        return ctl_say(CTL_FAILED, "no --key is given, and the configuration cannot be used");
    *count = config_feed_keys(config, feed, keys);
    config_free(config);
    return *count > 0 ? CTL_DONE
                      : ctl_say(CTL_FAILED, "the configuration has no key for %s; give it with --key", feed);
}

static void add_checkpoint(cJSON *json, const struct checkpoint *checkpoint)
{
    char time[SECONDS_TEXT_SIZE + 1];
    syntax_seconds_format(checkpoint->time_s, time);
    cJSON_AddStringToObject(json, "feed", checkpoint->feed);
    cJSON_AddNumberToObject(json, "epoch", (double)checkpoint->epoch);
    cJSON_AddNumberToObject(json, "size", (double)checkpoint->size);
    cJSON_AddStringToObject(json, "signed", time);
}

static int tell_claim(struct ctl *ctl, const struct claim_proof *proof)
{
    struct fault fault;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "holds", true);
    cJSON_AddStringToObject(json, "proves", proof->line.data ? "claim" : "nothing at this position");
    add_checkpoint(json, &proof->checkpoint);
    cJSON_AddNumberToObject(json, "position", (double)proof->position);
    if (proof->line.data)
        cJSON_AddItemToObject(json, "entry", json_parse(proof->line.data, proof->line.size, &fault));
    if (ctl->json)
        return ctl_print_json(json);
    printf("holds: %s, as its origin signed it at %s (epoch %llu, size %llu)\n", proof->checkpoint.feed,
           json_get_string(json, "signed"), (unsigned long long)proof->checkpoint.epoch,
           (unsigned long long)proof->checkpoint.size);
    if (proof->line.data) {
        char at[INSTANT_TEXT_SIZE + 1];
        syntax_instant_format(proof->entry.at_ms, at);
        printf("says:  %s %s %s, source %s in the role %s, at %s\n%.*s\n", entry_op_name(proof->entry.op),
               proof->entry.kind, proof->entry.id, proof->entry.source, proof->entry.role, at,
               (int)proof->entry.body.size, proof->entry.body.data ? proof->entry.body.data : "");
    } else {
        printf("says:  position %llu was dead\n", (unsigned long long)proof->position);
    }
    puts("It does not say that nothing newer was signed since.");
    cJSON_Delete(json);
    return CTL_DONE;
}

static int tell_fork(struct ctl *ctl, const struct fork_proof *proof)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "holds", true);
    cJSON_AddStringToObject(json, "proves", "two histories");
    add_checkpoint(json, &proof->longer.checkpoint);
    if (proof->with_position)
        cJSON_AddNumberToObject(json, "position", (double)proof->position);
    if (ctl->json)
        return ctl_print_json(json);
    printf("holds: whoever has the key of %s signed two histories in epoch %llu: sizes %llu and %llu do not "
           "fit together\n",
           proof->longer.checkpoint.feed, (unsigned long long)proof->longer.checkpoint.epoch,
           (unsigned long long)proof->shorter.checkpoint.size,
           (unsigned long long)proof->longer.checkpoint.size);
    if (proof->with_position)
        printf("       they differ at position %llu\n", (unsigned long long)proof->position);
    puts("Its operator has to start a new epoch (and to find out how it came about: a restored backup, or a "
         "stolen key).");
    cJSON_Delete(json);
    return CTL_DONE;
}

static int verify(struct ctl *ctl, const char *text, size_t size, const struct verifier_key *keys,
                  size_t count)
{
    struct fault fault = {""};
    bool fork = strncmp(text, "kaartd-fork/", 12) == 0;
    struct claim_proof *claim = calloc(1, sizeof(*claim));
    struct fork_proof *two = calloc(1, sizeof(*two));
    int code = !claim || !two ? KAART_NOMEM
               : fork         ? fork_proof_verify(text, size, keys, count, two, &fault)
                              : claim_proof_verify(text, size, keys, count, claim, &fault);
    int result = code < 0 && code == KAART_NOMEM ? ctl_say(CTL_FAILED, "out of memory")
                 : code < 0
                     ? ctl_say(CTL_UNPROVEN, "it does not hold: %s: %s", kaart_strerror(code), fault.text)
                 : fork ? tell_fork(ctl, two)
                        : tell_claim(ctl, claim);
    free(claim);
    free(two);
    return result;
}

int ctl_verify(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *texts[FEED_KEYS_MAX + 1] = {NULL};
    const struct ctl_option options[] = {{"key", CTL_LIST, texts}};
    struct verifier_key keys[FEED_KEYS_MAX];
    char **words, *text = NULL;
    size_t count, size = 0, key_count = 0;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 1, &words, &count);
    if (code != CTL_DONE)
        return code;
    code = read_proof(words[0], &text, &size);
    if (code == CTL_DONE)
        code = take_keys(ctl, texts, text, keys, &key_count);
    if (code == CTL_DONE)
        code = verify(ctl, text, size, keys, key_count);
    free(text);
    return code;
}
