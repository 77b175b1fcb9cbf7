/*
 * cmd_records.c - single records: put, retract, get, why, search, export.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A record read from standard input or a file: more is not one entry. */
#define RECORD_SIZE_MAX (4 * ENTRY_SIZE_MAX)

int ctl_need_id(const char *id)
{
    return syntax_is_uuid(id, strlen(id))
               ? CTL_DONE
               : ctl_say(CTL_USAGE,
                         "\"%s\" is not a record's id, a UUID in lower case; kaartctl search finds ids", id);
}

int ctl_need_kind(const char *kind)
{
    return record_kind_known(kind)
               ? CTL_DONE
               : ctl_say(CTL_USAGE,
                         "there is no kind \"%s\": organization, service, location, ...; see spec/records.md",
                         kind);
}

/* ---- put and retract ---- */

/* Sends one line and tells the outcome. */
static int send_line(struct ctl *ctl, const struct ctl_claim *options, cJSON *line)
{
    cJSON *answer = NULL;
    char *body = ctl_print_exact(line);
    char *path = ctl_path("import", (const char *const[]){"source", options->source, "role", options->role,
                                                          "feed", options->feed, NULL});
    int code = body && path ? ctl_ask(ctl, "POST", path, body, strlen(body), &answer)
                            : ctl_say(CTL_FAILED, "out of memory");
    free(body);
    free(path);
    if (code != CTL_DONE)
        return code;
    const cJSON *results = json_get(answer, "results"), *result = results ? results->child : NULL;
    const char *outcome = json_get_string(result, "outcome");
    bool refused = !outcome || strcmp(outcome, "refused") == 0;
    const cJSON *problems = json_get(result, "problems");
    for (const cJSON *problem = problems && !ctl->json ? problems->child : NULL; problem;
         problem = problem->next) {
        const char *pointer = json_get_string(problem, "pointer"),
                   *message = json_get_string(problem, "message"),
                   *severity = json_get_string(problem, "severity");
        bool warning = severity && strcmp(severity, "warning") == 0;
        ctl_say(0, "%s%s%s%s", warning ? "warning: " : "", pointer ? pointer : "",
                pointer && *pointer ? ": " : "", message ? message : "");
    }
    if (ctl->json)
        ctl_print_json(cJSON_Duplicate(result, true));
    else if (outcome)
        printf("%s %s: %s%s\n", json_get_string(result, "kind"), json_get_string(result, "id"), outcome,
               strcmp(outcome, "absent") == 0 ? " (this source says nothing about it)" : "");
    if (!ctl->json && json_get(result, "submission"))
        printf("what becomes of it: kaartctl review show %.0f\n",
               json_get(result, "submission")->valuedouble);
    cJSON_Delete(answer);
    return refused ? CTL_FAILED : CTL_DONE;
}

static cJSON *read_record(const char *name)
{
    struct fault fault;
    cJSON *json = NULL;
    bool input = strcmp(name, "-") == 0;
    FILE *file = input ? stdin : fopen(name, "r");
    char *text = malloc(RECORD_SIZE_MAX + 1);
    if (!file || !text) {
        ctl_say(CTL_FAILED, "%s cannot be read: %s", name, strerror(errno));
        goto out;
    }
    size_t size = fread(text, 1, RECORD_SIZE_MAX + 1, file);
    if (ferror(file))
        ctl_say(CTL_FAILED, "%s cannot be read: %s", name, strerror(errno));
    else if (size > RECORD_SIZE_MAX)
        ctl_say(CTL_FAILED, "%s is larger than one record can be; kaartctl import takes many", name);
    else if (!(json = json_parse(text, size, &fault)))
        ctl_say(CTL_FAILED, "%s: %s", name, fault.text);
    if (json && !cJSON_IsObject(json)) {
        ctl_say(CTL_FAILED, "%s holds no JSON object", name);
        cJSON_Delete(json);
        json = NULL;
    }
out:
    if (file && !input)
        fclose(file);
    free(text);
    return json;
}

/* What the source says now, to be changed; an empty object if nothing. */
static int read_claim(struct ctl *ctl, const struct ctl_claim *options, const char *kind, const char *id,
                      cJSON **body)
{
    char claim[128];
    cJSON *answer = NULL;
    snprintf(claim, sizeof(claim), "claims/%.32s/%.36s", kind, id);
    char *path =
        ctl_path(claim, (const char *const[]){"source", options->source, "feed", options->feed, NULL});
    int code = !path ? ctl_say(CTL_FAILED, "out of memory")
               : strcmp(options->role, "resident") == 0
                   ? CTL_DONE /* every submission is a source of its own */
                   : ctl_ask_quietly(ctl, "GET", path, &answer);
    free(path);
    if (code != CTL_DONE)
        return code;
    *body = answer ? cJSON_DetachItemFromObjectCaseSensitive(answer, "body") : NULL;
    cJSON_Delete(answer);
    if (!*body &&
        (*body =
             cJSON_CreateObject())) /* a first word about single fields, not about the whole record [REC-5] */
        cJSON_AddTrueToObject(*body, "partial");
    return *body ? CTL_DONE : ctl_say(CTL_FAILED, "out of memory");
}

/* "name=value": value is JSON if it reads as such, else a text; an empty value takes the member away. */
int ctl_set_field(cJSON *body, const char *text)
{
    const char *sign = strchr(text, '=');
    char name[128];
    struct fault fault;
    if (!sign || sign == text || (size_t)(sign - text) >= sizeof(name))
        return ctl_say(CTL_USAGE, "\"%s\" is not FIELD=VALUE", text);
    snprintf(name, sizeof(name), "%.*s", (int)(sign - text), text);
    cJSON_DeleteItemFromObjectCaseSensitive(body, name);
    if (sign[1] == '\0')
        return CTL_DONE;
    cJSON *value = json_parse(sign + 1, strlen(sign + 1), &fault);
    if (!value)
        value = cJSON_CreateString(sign + 1);
    if (!value || !cJSON_AddItemToObject(body, name, value))
        return ctl_say(CTL_FAILED, "out of memory");
    return CTL_DONE;
}

static cJSON *make_line(const char *kind, const char *id, const struct ctl_claim *options, cJSON *body)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "kind", kind);
    cJSON_AddStringToObject(line, "id", id);
    cJSON_AddStringToObject(line, "op", body ? "assert" : "retract");
    if (options->verified)
        cJSON_AddStringToObject(line, "verified", options->verified);
    if (options->on_behalf_of)
        cJSON_AddStringToObject(line, "onBehalfOf", options->on_behalf_of);
    if (options->areas)
        cJSON_AddItemToObject(line, "areas", cJSON_Duplicate(options->areas, true));
    if (body)
        cJSON_AddItemToObject(line, "body", body);
    return line;
}

/* A file alone: {"kind","id","body"}, as export and fetch print it. The body is left in *body; the words are in `wrapped`. */
static int read_wrapped(const char *name, cJSON **wrapped, const char *words[2], cJSON **body)
{
    if (!(*wrapped = read_record(name)))
        return CTL_FAILED;
    words[0] = json_get_string(*wrapped, "kind");
    words[1] = json_get_string(*wrapped, "id");
    *body = cJSON_DetachItemFromObjectCaseSensitive(*wrapped, json_get(*wrapped, "body") ? "body" : "record");
    if (words[0] && words[1] && cJSON_IsObject(*body))
        return CTL_DONE;
    return ctl_say(CTL_FAILED,
                   "%s is no {\"kind\", \"id\", \"body\"}; if it is the body alone, name kind and id before "
                   "it: put KIND ID %s",
                   name, name);
}

int ctl_send_claim(struct ctl *ctl, const struct ctl_claim *options, const char *kind, const char *id,
                   cJSON *body)
{
    const char *said = body ? json_get_string(body, "id") : NULL;
    if (said && strcmp(said, id) != 0) {
        ctl_say(CTL_FAILED, "the record says that its id is %s, not %s", said, id);
        cJSON_Delete(body);
        return CTL_FAILED;
    }
    if (body)
        cJSON_DeleteItemFromObjectCaseSensitive(body, "id");
    cJSON *line = make_line(kind, id, options, body);
    int code = send_line(ctl, options, line);
    cJSON_Delete(line);
    return code;
}

static int put(struct ctl *ctl, const struct ctl_claim *options, char **words, size_t count)
{
    int code = CTL_DONE;
    cJSON *body = NULL, *wrapped = NULL;
    const char *record[2] = {words[0], count > 1 ? words[1] : NULL};
    bool from_file = count > 2 && !strchr(words[2], '=');
    if (count == 1)
        code = read_wrapped(words[0], &wrapped, record, &body);
    if (code == CTL_DONE)
        code = ctl_need_kind(record[0]);
    if (code == CTL_DONE)
        code = ctl_need_id(record[1]);
    if (code == CTL_DONE && count == 2)
        code = ctl_say(CTL_USAGE, "what is to be said? Name a file (- is standard input) or FIELD=VALUE");
    if (code == CTL_DONE && from_file)
        code = (body = read_record(words[2])) ? CTL_DONE : CTL_FAILED;
    else if (code == CTL_DONE && count > 2)
        code = read_claim(ctl, options, record[0], record[1], &body);
    for (size_t i = from_file ? 3 : 2; i < count && code == CTL_DONE; i++)
        code = ctl_set_field(body, words[i]);
    if (code == CTL_DONE)
        code = ctl_send_claim(ctl, options, record[0], record[1], body);
    else
        cJSON_Delete(body);
    cJSON_Delete(wrapped);
    return code;
}

int ctl_put(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct ctl_claim claim = {.source = "editor", .role = "editor", .feed = "public"};
    const struct ctl_option options[] = {{"source", CTL_VALUE, &claim.source},
                                         {"role", CTL_VALUE, &claim.role},
                                         {"feed", CTL_VALUE, &claim.feed},
                                         {"verified", CTL_VALUE, &claim.verified},
                                         {"on-behalf-of", CTL_VALUE, &claim.on_behalf_of}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 200, &words, &count);
    return code == CTL_DONE ? put(ctl, &claim, words, count) : code;
}

int ctl_retract(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct ctl_claim claim = {.source = "editor", .role = "editor", .feed = "public"};
    const struct ctl_option options[] = {{"source", CTL_VALUE, &claim.source},
                                         {"role", CTL_VALUE, &claim.role},
                                         {"feed", CTL_VALUE, &claim.feed},
                                         {"on-behalf-of", CTL_VALUE, &claim.on_behalf_of}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 2, 2, &words, &count);
    if (code != CTL_DONE || (code = ctl_need_kind(words[0])) != CTL_DONE ||
        (code = ctl_need_id(words[1])) != CTL_DONE)
        return code;
    return ctl_send_claim(ctl, &claim, words[0], words[1], NULL);
}

/* ---- get ---- */

/* "houten.example (home), editor desk, confirmed 2026-11-01" */
void ctl_describe_origin(const cJSON *claim, char *text, size_t size)
{
    const char *feed = json_get_string(claim, "feed"), *role = json_get_string(claim, "role"),
               *source = json_get_string(claim, "source"), *verified = json_get_string(claim, "verified"),
               *at = json_get_string(claim, "at"), *missing = json_get_string(claim, "missingSince"),
               *counts_as = json_get_string(claim, "countsAs");
    bool own_name = source && role && strcmp(source, role) != 0;
    FILE *out = fmemopen(text, size, "w");
    text[0] = '\0';
    if (!out)
        return;
    fprintf(out, "%.*s%s, %s", (int)strcspn(feed ? feed : "?", "/"), feed ? feed : "?",
            cJSON_IsTrue(json_get(claim, "home")) ? " (home)" : "", role ? role : "?");
    if (counts_as && role && strcmp(counts_as, role) != 0)
        fprintf(out, " (counts as %s)", counts_as);
    fprintf(out, "%s%s", own_name ? " " : "", own_name ? source : "");
    if (verified)
        fprintf(out, ", confirmed %s", verified);
    else if (at)
        fprintf(out, ", said %.10s", at);
    if (cJSON_IsTrue(json_get(claim, "stale")))
        fputs(", stale", out);
    if (missing)
        fprintf(out, ", not in the register since %s", missing);
    fclose(out);
    text[size - 1] = '\0';
}

/* Origins that the fields of one record come from; a record of more is cut to the last of them. */
#define ORIGINS_MAX 64

struct origins {
    char text[ORIGINS_MAX][256];
    size_t count;
};

/* The number, from 1, under which this origin is listed below the fields. */
static size_t number_of(struct origins *origins, const cJSON *claim)
{
    char text[sizeof(origins->text[0])];
    ctl_describe_origin(claim, text, sizeof(text));
    for (size_t i = 0; i < origins->count; i++)
        if (strcmp(origins->text[i], text) == 0)
            return i + 1;
    if (origins->count < ORIGINS_MAX)
        strcpy(origins->text[origins->count++], text);
    return origins->count;
}

static void add_field_row(struct ctl_table *table, const cJSON *member, const cJSON *from,
                          struct origins *origins, bool *differs)
{
    char number[32] = "";
    char *value = ctl_value_text(member);
    bool contested = cJSON_IsTrue(json_get(from, "differs"));
    if (from)
        snprintf(number, sizeof(number), "[%zu]%s", number_of(origins, from), contested ? "*" : "");
    *differs = *differs || contested;
    ctl_table_add(table, (const char *const[]){member->string, number, value, NULL});
    free(value);
}

/* Of a merged record: that the id that was asked for is another one's now, and whose words it is made of [LINK-3]. */
static void print_parts(const cJSON *answer)
{
    const char *asked = json_get_string(answer, "mergedFrom"), *id = json_get_string(answer, "id");
    const cJSON *parts = json_get(answer, "parts");
    if (asked)
        printf("%s is an alias of %s\n", asked, id ? id : "");
    for (const cJSON *part = parts ? parts->child : NULL; part; part = part->next)
        if (cJSON_IsString(part))
            printf("part: %s (to take it apart: kaartctl unlink %s %s)\n", part->valuestring,
                   part->valuestring, id ? id : "");
}

static void print_record(const cJSON *answer)
{
    const cJSON *record = json_get(answer, "record"), *provenance = json_get(answer, "provenance");
    const char *missing = json_get_string(answer, "missingSince"), *kind = json_get_string(answer, "kind"),
               *id = json_get_string(answer, "id"), *name = json_get_string(answer, "name");
    struct origins *origins = calloc(1, sizeof(*origins));
    bool differs = false;
    if (!origins)
        return;
    printf("%s %s%s%s\n", kind ? kind : "", id ? id : "", name && *name ? ", " : "", name ? name : "");
    print_parts(answer);
    if (missing)
        printf("not in the register since %s\n", missing);
    struct ctl_table *table = ctl_table_new((const char *const[]){"FIELD", "FROM", "VALUE", NULL});
    for (const cJSON *member = record ? record->child : NULL; member; member = member->next)
        if (strcmp(member->string, "id") != 0)
            add_field_row(table, member, json_get(provenance, member->string), origins, &differs);
    ctl_table_print(table, stdout);
    ctl_table_free(table);
    putchar('\n');
    for (size_t i = 0; i < origins->count; i++)
        printf("[%zu] %s\n", i + 1, ctl_text_clean(origins->text[i]));
    if (differs)
        printf("*   others say something else: kaartctl why %s\n", id ? id : "");
    free(origins);
}

static int ask_record(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv,
                      const char *tail, void (*print)(const cJSON *answer))
{
    const char *kind = NULL, *audience = NULL;
    const struct ctl_option options[] = {{"kind", CTL_VALUE, &kind}, {"audience", CTL_VALUE, &audience}};
    char **words, record[128];
    size_t count;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 1, &words, &count);
    if (code != CTL_DONE || (code = ctl_need_id(words[0])) != CTL_DONE ||
        (kind && (code = ctl_need_kind(kind)) != CTL_DONE))
        return code;
    snprintf(record, sizeof(record), "records/%.36s%s", words[0], tail);
    code = ctl_ask_for(ctl, record, (const char *const[]){"kind", kind, "audience", audience, NULL}, &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    print(answer);
    cJSON_Delete(answer);
    return CTL_DONE;
}

int ctl_get(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    return ask_record(ctl, command, argc, argv, "", print_record);
}

/* ---- why ---- */

static void print_voice(const char *mark, const cJSON *voice)
{
    char origin[512];
    char *value = ctl_value_text(json_get(voice, "value"));
    ctl_describe_origin(voice, origin, sizeof(origin));
    printf("  %s %s\n      %s\n", mark, value ? ctl_text_clean(value) : "", ctl_text_clean(origin));
    free(value);
}

static void print_why(const cJSON *answer)
{
    const char *kind = json_get_string(answer, "kind"), *id = json_get_string(answer, "id"),
               *home = json_get_string(answer, "home"), *called = json_get_string(answer, "name");
    printf("%s %s%s%s%s%s\n", kind ? kind : "", id ? id : "", called ? ", " : "", called ? called : "",
           home ? ", home: " : "", home ? home : "");
    print_parts(answer);
    const cJSON *fields = json_get(answer, "fields");
    for (const cJSON *field = fields ? fields->child : NULL; field; field = field->next) {
        const char *name = json_get_string(field, "field"), *rule = json_get_string(field, "because");
        const cJSON *others = json_get(field, "others");
        printf("\n%s%s%s\n", name ? name : "", rule ? ": " : "", rule ? rule : "");
        print_voice("=", field);
        for (const cJSON *other = others ? others->child : NULL; other; other = other->next)
            print_voice("-", other);
    }
    const cJSON *passed = json_get(answer, "notCounting");
    if (passed && passed->child)
        printf("\nclaims that do not count\n");
    for (const cJSON *claim = passed ? passed->child : NULL; claim; claim = claim->next) {
        char origin[512];
        const char *reason = json_get_string(claim, "because");
        ctl_describe_origin(claim, origin, sizeof(origin));
        printf("  - %s: %s\n", ctl_text_clean(origin), reason ? reason : "");
    }
}

int ctl_why(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    return ask_record(ctl, command, argc, argv, "/why", print_why);
}

/* ---- search ---- */

/* Whether the words were found elsewhere than in the name. */
static bool says_more(const cJSON *hit)
{
    const char *snippet = json_get_string(hit, "snippet"), *name = json_get_string(hit, "name");
    while (snippet && name && *snippet) {
        if (*snippet == '[' || *snippet == ']')
            snippet++;
        else if (*snippet++ != *name++)
            return true;
    }
    return false;
}

/* The address, else the text in which the words were found. */
static const char *where(const cJSON *hit)
{
    const char *place = json_get_string(hit, "place");
    return place && *place ? place : says_more(hit) ? json_get_string(hit, "snippet") : "";
}

int ctl_search(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *kind = NULL, *limit = NULL, *offset = NULL, *audience = NULL;
    const struct ctl_option options[] = {{"kind", CTL_VALUE, &kind},
                                         {"limit", CTL_VALUE, &limit},
                                         {"offset", CTL_VALUE, &offset},
                                         {"audience", CTL_VALUE, &audience}};
    char **words, query[1024] = "";
    size_t count;
    cJSON *answer = NULL;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, 50, &words, &count);
    if (code != CTL_DONE || (kind && (code = ctl_need_kind(kind)) != CTL_DONE))
        return code;
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(query);
        snprintf(query + used, sizeof(query) - used, "%s%s", i ? " " : "", words[i]);
    }
    code = ctl_ask_for(ctl, "search",
                       (const char *const[]){"q", query, "kind", kind, "limit", limit, "offset", offset,
                                             "audience", audience, NULL},
                       &answer);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        return ctl_print_json(answer);
    if (!answer->child)
        printf("nothing found for \"%s\"\n", query);
    struct ctl_table *table = ctl_table_new((const char *const[]){"ID", "KIND", "NAME", "WHERE", NULL});
    for (const cJSON *hit = answer->child; hit; hit = hit->next)
        ctl_table_add(table, (const char *const[]){json_get_string(hit, "id"), json_get_string(hit, "kind"),
                                                   json_get_string(hit, "name"), where(hit), NULL});
    if (answer->child)
        ctl_table_print(table, stdout);
    ctl_table_free(table);
    cJSON_Delete(answer);
    return CTL_DONE;
}

/* ---- export ---- */

int ctl_export(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    const char *kind = NULL, *audience = NULL;
    const struct ctl_option options[] = {{"kind", CTL_VALUE, &kind}, {"audience", CTL_VALUE, &audience}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 0, 0, &words, &count);
    if (code != CTL_DONE || (kind && (code = ctl_need_kind(kind)) != CTL_DONE))
        return code;
    char *path = ctl_path("export", (const char *const[]){"kind", kind, "audience", audience, NULL});
    code = path ? ctl_ask_stream(ctl, path, stdout) : ctl_say(CTL_FAILED, "out of memory");
    free(path);
    return code;
}
