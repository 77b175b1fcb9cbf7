/*
 * cmd_import.c - kaartctl import: a file of HSDS JSON becomes claims of one source.
 *
 *     file --documents--> JSON --hsds--> records --batches--> POST import --> results, each with its place in the file
 *
 * The file is mapped, so that memory is for a batch and the own ids of the records. With --strict everything is first sent as a dry run.
 */
#include "daemon/ctl/ctl.h"
#include "daemon/ctl/documents.h"
#include "daemon/ctl/hsds.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of a batch: with one more line of ENTRY_SIZE_MAX below what the daemon takes at once. */
#define BATCH_SIZE_MAX (4u * 1024 * 1024)
/* Problems that are printed one by one; the rest is counted. */
#define PROBLEMS_SHOWN_MAX 200
#define PROBLEMS_KEPT_MAX 10000
/* A record with all that is embedded in it. */
#define DOCUMENT_SIZE_MAX (16u * 1024 * 1024)

/* Where a line of the batch stands in the file. */
struct place {
    size_t line, record;
    char pointer[HSDS_POINTER_SIZE + 32];
};

struct import {
    struct ctl *ctl;
    const char *file; /* as it is called in messages */
    char *path;       /* of the question */
    struct hsds *hsds;
    const char *areas_json, *verified, *on_behalf_of;
    const char *submitter_json; /* or NULL */
    bool dry_run, quiet;
    struct document document; /* that is being taken apart */
    struct place places[BATCH_ENTRIES_MAX];
    size_t count;
    char *batch;
    size_t batch_size;
    FILE *stream; /* writes the batch */
    void *sent;   /* tsearch tree of "kind id": what is embedded again and again is sent once */
    size_t records, added, changed, unchanged, held, refused, repeated, warnings, shown;
    cJSON *problems;
    cJSON *submissions; /* [{"number","kind","id"}]: what was held for review */
    int code;           /* of what ended it: CTL_... */
    int64_t ticked_ms;
};

/* ---- what is told ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void show_progress(struct import *import, bool last)
{
    char records[32], refused[32];
    if (!isatty(STDERR_FILENO) || import->ctl->json || (!last && now_ms() - import->ticked_ms < 200))
        return;
    import->ticked_ms = now_ms();
    fprintf(stderr, "\r\033[K%s records%s%s%s%s", ctl_count((double)import->records, records),
            import->refused ? ", " : "", import->refused ? ctl_count((double)import->refused, refused) : "",
            import->refused ? " refused" : "", last ? "\r\033[K" : "");
    fflush(stderr);
}

static void keep_problem(struct import *import, const struct place *place, const char *severity,
                         const char *message)
{
    if (cJSON_GetArraySize(import->problems) >= PROBLEMS_KEPT_MAX)
        return;
    cJSON *problem = cJSON_CreateObject();
    cJSON_AddStringToObject(problem, "file", import->file);
    cJSON_AddNumberToObject(problem, "line", (double)place->line);
    cJSON_AddNumberToObject(problem, "record", (double)place->record);
    cJSON_AddStringToObject(problem, "pointer", place->pointer);
    cJSON_AddStringToObject(problem, "severity", severity);
    cJSON_AddStringToObject(problem, "message", message);
    cJSON_AddItemToArray(import->problems, problem);
}

static void tell(struct import *import, const struct place *place, const char *severity, const char *message)
{
    bool warning = strcmp(severity, "warning") == 0;
    import->warnings += warning;
    if (import->ctl->json) {
        keep_problem(import, place, severity, message);
        return;
    }
    if ((warning && import->quiet) || import->shown++ >= PROBLEMS_SHOWN_MAX)
        return;
    char text[1024];
    snprintf(text, sizeof(text), "%s:%zu: record %zu%s%s: %s%s", import->file, place->line, place->record,
             *place->pointer ? " " : "", place->pointer, warning ? "warning: " : "", message);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    fprintf(stderr, "%s\n", ctl_text_clean(text));
}

/* ---- batches ---- */

/* The number by which the submitter can ask what became of it. */
static void keep_submission(struct import *import, const cJSON *result)
{
    cJSON *submission = json_get(result, "submission") ? cJSON_CreateObject() : NULL;
    const char *kind = json_get_string(result, "kind"), *id = json_get_string(result, "id");
    if (!submission)
        return;
    cJSON_AddItemToObject(submission, "number", cJSON_Duplicate(json_get(result, "submission"), false));
    cJSON_AddStringToObject(submission, "kind", kind ? kind : "");
    cJSON_AddStringToObject(submission, "id", id ? id : "");
    cJSON_AddItemToArray(import->submissions, submission);
}

static void take_result(struct import *import, const cJSON *result)
{
    const cJSON *number = json_get(result, "line");
    size_t line = cJSON_IsNumber(number) ? (size_t)number->valuedouble : 0;
    const char *outcome = json_get_string(result, "outcome");
    if (line == 0 || line > import->count || !outcome)
        return;
    import->added += strcmp(outcome, "added") == 0;
    import->changed += strcmp(outcome, "changed") == 0;
    import->unchanged += strcmp(outcome, "unchanged") == 0;
    import->refused += strcmp(outcome, "refused") == 0;
    import->held += strcmp(outcome, "held") == 0;
    keep_submission(import, result);
    for (const cJSON *problem = json_get(result, "problems") ? json_get(result, "problems")->child : NULL;
         problem; problem = problem->next) {
        struct place place = import->places[line - 1];
        const char *pointer = json_get_string(problem, "pointer"),
                   *severity = json_get_string(problem, "severity"),
                   *message = json_get_string(problem, "message");
        size_t used = strlen(place.pointer);
        snprintf(place.pointer + used, sizeof(place.pointer) - used, "%s", pointer ? pointer : "");
        tell(import, &place, severity ? severity : "error", message ? message : "");
    }
}

static bool open_batch(struct import *import)
{
    free(import->batch);
    import->batch = NULL;
    import->count = 0;
    import->stream = open_memstream(&import->batch, &import->batch_size);
    return import->stream != NULL;
}

static int send_batch(struct import *import)
{
    cJSON *answer = NULL;
    bool written = import->stream && fclose(import->stream) == 0;
    import->stream = NULL;
    if (!written)
        return ctl_say(CTL_FAILED, "out of memory");
    if (import->count > 0) {
        int code = ctl_ask(import->ctl, "POST", import->path, import->batch, import->batch_size, &answer);
        if (code != CTL_DONE && import->held > 0 && !import->dry_run)
            ctl_say(0, "the records before line %zu are held for review: kaartctl review list",
                    import->places[0].line);
        if (code != CTL_DONE && import->added + import->changed + import->unchanged > 0 && !import->dry_run)
            ctl_say(0, "the records before line %zu are taken; the same command again goes on from there",
                    import->places[0].line);
        if (code != CTL_DONE)
            return code;
        for (const cJSON *result = json_get(answer, "results") ? json_get(answer, "results")->child : NULL;
             result; result = result->next)
            take_result(import, result);
        cJSON_Delete(answer);
    }
    show_progress(import, false);
    return open_batch(import) ? CTL_DONE : ctl_say(CTL_FAILED, "out of memory");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* True the first time. Without memory it says so too: a record sent twice does no harm. */
static bool first_time(struct import *import, const char *kind, const char *id)
{
    char *key = malloc(strlen(kind) + strlen(id) + 2);
    if (!key)
        return true;
    sprintf(key, "%s %s", kind, id);
    char **place = tsearch(key, &import->sent, by_text);
    bool first = !place || *place == key;
    if (!place || *place != key)
        free(key);
    return first;
}

static void take_problem(void *context, const char *pointer, const char *message);

static int take_record(void *context, const struct hsds_record *record)
{
    struct import *import = context;
    bool first = first_time(import, record->kind, record->id);
    if (record->embedded && !first) { /* the same organisation stands in each of its services */
        import->repeated++;
        return 0;
    }
    char *body = ctl_print_exact(record->body);
    if (!body) {
        import->code = ctl_say(CTL_FAILED, "out of memory");
        return KAART_NOMEM;
    }
    if (strlen(body) > ENTRY_SIZE_MAX) { /* would only fill the batch */
        char text[128];
        snprintf(text, sizeof(text), "is %zu bytes; an entry has room for %d", strlen(body), ENTRY_SIZE_MAX);
        take_problem(import, record->pointer, text);
        free(body);
        return 0;
    }
    struct place *place = &import->places[import->count++];
    place->line = import->document.line;
    place->record = import->document.number;
    snprintf(place->pointer, sizeof(place->pointer), "%s", record->pointer);
    fprintf(import->stream, "{\"kind\":\"%s\",\"id\":\"%s\"", record->kind, record->id);
    const char *verified = import->verified ? import->verified : record->verified;
    if (*verified)
        fprintf(import->stream, ",\"verified\":\"%s\"", verified);
    char *areas = !import->areas_json && record->areas ? cJSON_PrintUnformatted(record->areas) : NULL;
    if (import->areas_json || areas)
        fprintf(import->stream, ",\"areas\":%s", areas ? areas : import->areas_json);
    free(areas);
    if (import->on_behalf_of)
        fprintf(import->stream, ",\"onBehalfOf\":\"%s\"", import->on_behalf_of);
    if (import->submitter_json)
        fprintf(import->stream, ",\"submitter\":%s", import->submitter_json);
    fprintf(import->stream, ",\"body\":%s}\n", body);
    free(body);
    import->records++;
    fflush(import->stream);
    if (import->count < BATCH_ENTRIES_MAX && import->batch_size < BATCH_SIZE_MAX)
        return 0;
    import->code = send_batch(import);
    return import->code == CTL_DONE ? 0 : KAART_IO;
}

static void take_problem(void *context, const char *pointer, const char *message)
{
    struct import *import = context;
    struct place place = {.line = import->document.line, .record = import->document.number};
    snprintf(place.pointer, sizeof(place.pointer), "%s", pointer);
    import->records++;
    import->refused++;
    tell(import, &place, "error", message);
}

/* ---- documents ---- */

/* The line of an error within a record: json.c names the byte. */
static void tell_syntax(struct import *import, const struct document *document, const char *message)
{
    size_t offset = 0, lines = 0;
    const char *at = strstr(message, "at byte ");
    if (at)
        offset = strtoul(at + 8, NULL, 10);
    for (size_t i = 0; i < offset && i < document->text.size; i++)
        lines += document->text.data[i] == '\n';
    import->document.line += lines;
    take_problem(import, document->pointer, message);
}

static cJSON *read_document(const struct document *document, struct fault *fault)
{
    if (document->text.size > DOCUMENT_SIZE_MAX) {
        fault_set(fault, KAART_LIMIT, "the record is larger than %u MiB", DOCUMENT_SIZE_MAX >> 20);
        return NULL;
    }
    return json_parse(document->text.data, document->text.size, fault);
}

static int learn_document(void *context, const struct document *document)
{
    struct import *import = context;
    struct fault fault;
    cJSON *json = document->problem ? NULL : read_document(document, &fault);
    int code = json ? hsds_learn(import->hsds, json) : 0;
    cJSON_Delete(json);
    return code;
}

static int take_document(void *context, const struct document *document)
{
    struct import *import = context;
    struct fault fault;
    import->document = *document;
    if (document->problem) {
        take_problem(import, document->pointer, document->problem);
        return 0;
    }
    cJSON *json = read_document(document, &fault);
    if (!json) {
        tell_syntax(import, document, fault.text);
        return 0;
    }
    struct hsds_events events = {import, take_record, take_problem};
    int code = hsds_split(import->hsds, json, document->pointer, &events);
    cJSON_Delete(json);
    if (code == KAART_NOMEM)
        import->code = ctl_say(CTL_FAILED, "out of memory");
    return code;
}

/* ---- the file ---- */

/* Standard input goes to an unlinked file first: it is read twice. */
static int spool_input(void)
{
    char buffer[65536];
    FILE *file = tmpfile();
    if (!file)
        return -1;
    for (size_t size; (size = fread(buffer, 1, sizeof(buffer), stdin)) > 0;)
        if (fwrite(buffer, 1, size, file) != size) {
            fclose(file);
            return -1;
        }
    int descriptor = fflush(file) == 0 ? dup(fileno(file)) : -1;
    fclose(file);
    return descriptor;
}

/* *size 0 and "" for an empty file. NULL after a message. */
static const char *map_file(const char *name, size_t *size)
{
    struct stat status;
    int descriptor = strcmp(name, "-") == 0 ? spool_input() : open(name, O_RDONLY | O_CLOEXEC);
    void *text = MAP_FAILED;
    *size = 0;
    if (descriptor >= 0 && fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
        *size = (size_t)status.st_size;
        text = *size ? mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0) : (void *)(uintptr_t) "";
    } else if (descriptor >= 0) {
        errno = EISDIR;
    }
    if (text == MAP_FAILED)
        ctl_say(CTL_FAILED, "%s cannot be read: %s", name, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return text == MAP_FAILED ? NULL : text;
}

/* ---- the command ---- */

struct settings {
    const char *source, *role, *feed, *kind, *areas, *verified, *on_behalf_of, *submitter;
    bool strict, dry_run, quiet;
};

static char *areas_to_json(const char *areas)
{
    cJSON *list = cJSON_CreateArray();
    char *copy = strdup(areas), *rest = copy, *text = NULL;
    for (char *area; copy && (area = strsep(&rest, ", "));)
        if (*area) {
            if (!syntax_is_area(area, strlen(area))) {
                ctl_say(CTL_USAGE,
                        "--areas: \"%s\" is not a CBS code: GM and 4, WK and 6, or BU and 8 digits", area);
                goto out;
            }
            cJSON_AddItemToArray(list, cJSON_CreateString(area));
        }
    text = cJSON_PrintUnformatted(list);
out:
    free(copy);
    cJSON_Delete(list);
    return text;
}

static int check_settings(const struct settings *settings)
{
    int32_t day;
    if (!syntax_is_name(settings->source, strlen(settings->source)))
        return ctl_say(CTL_USAGE, "--source: \"%s\" is not a name: a-z, then a-z, 0-9, _ and -, at most 32",
                       settings->source);
    if (settings->kind && !record_kind_known(settings->kind))
        return ctl_say(CTL_USAGE,
                       "--kind: there is no kind \"%s\"; spec/records.md lists them (organization, service, "
                       "location, ...)",
                       settings->kind);
    if (settings->verified && syntax_day_parse(settings->verified, strlen(settings->verified), &day) < 0)
        return ctl_say(CTL_USAGE, "--verified: \"%s\" is not a day, as in 2026-11-21", settings->verified);
    if (settings->on_behalf_of && !syntax_is_uuid(settings->on_behalf_of, strlen(settings->on_behalf_of)))
        return ctl_say(CTL_USAGE, "--on-behalf-of: \"%s\" is not a record's id", settings->on_behalf_of);
    return CTL_DONE;
}

static int run_pass(struct import *import, const struct settings *settings, const char *text, size_t size,
                    bool dry_run)
{
    import->dry_run = dry_run;
    import->path =
        ctl_path("import", (const char *const[]){"source", settings->source, "role", settings->role, "feed",
                                                 settings->feed, "dryRun", dry_run ? "true" : NULL, NULL});
    if (!import->path || !open_batch(import))
        return ctl_say(CTL_FAILED, "out of memory");
    int code = documents_each(text, size, take_document, import);
    if (code == 0)
        import->code = send_batch(import);
    show_progress(import, true);
    if (import->stream)
        fclose(import->stream);
    import->stream = NULL;
    free(import->batch);
    import->batch = NULL;
    free(import->path);
    tdestroy(import->sent, free);
    import->sent = NULL;
    return import->code;
}

static void print_submissions(const struct import *import)
{
    for (const cJSON *submission = import->submissions->child; submission; submission = submission->next)
        printf("submission %.0f: %s %s\n", json_get(submission, "number")->valuedouble,
               json_get_string(submission, "kind"), json_get_string(submission, "id"));
    if (import->submissions->child)
        printf("what becomes of it: kaartctl review show NUMBER\n");
}

static int print_summary(struct import *import, bool taken)
{
    char number[6][32];
    int code = import->refused == 0                           ? CTL_DONE
               : import->refused == import->records || !taken ? CTL_FAILED
                                                              : CTL_PARTLY;
    if (import->ctl->json) {
        cJSON *summary = cJSON_CreateObject();
        cJSON_AddStringToObject(summary, "file", import->file);
        cJSON_AddBoolToObject(summary, "taken", taken && !import->dry_run);
        cJSON_AddNumberToObject(summary, "records", (double)import->records);
        cJSON_AddNumberToObject(summary, "added", (double)import->added);
        cJSON_AddNumberToObject(summary, "changed", (double)import->changed);
        cJSON_AddNumberToObject(summary, "unchanged", (double)import->unchanged);
        cJSON_AddNumberToObject(summary, "held", (double)import->held);
        cJSON_AddNumberToObject(summary, "refused", (double)import->refused);
        cJSON_AddNumberToObject(summary, "warnings", (double)import->warnings);
        cJSON_AddItemToObject(summary, "problems", import->problems);
        cJSON_AddItemToObject(summary, "submissions", import->submissions);
        import->problems = import->submissions = NULL;
        int printed = ctl_print_json(summary);
        return printed == CTL_DONE ? code : printed;
    }
    if (import->shown > PROBLEMS_SHOWN_MAX)
        fprintf(stderr, "%s: ... and %zu more; all of them: --json\n", import->file,
                import->shown - PROBLEMS_SHOWN_MAX);
    printf("%s%s record%s: %s added, %s changed, %s unchanged, %s refused",
           import->dry_run ? "would be: " : "", ctl_count((double)import->records, number[0]),
           import->records == 1 ? "" : "s", ctl_count((double)import->added, number[1]),
           ctl_count((double)import->changed, number[2]), ctl_count((double)import->unchanged, number[3]),
           ctl_count((double)import->refused, number[4]));
    if (import->held > 0)
        printf(", %s held for review", ctl_count((double)import->held, number[5]));
    printf("%s\n", taken ? "" : "; nothing was taken (--strict)");
    print_submissions(import);
    return code;
}

static void start_again(struct import *import)
{
    import->records = import->added = import->changed = import->unchanged = import->held = import->refused =
        import->repeated = import->warnings = 0;
    import->quiet = true;
    import->shown = 0;
    cJSON_Delete(import->problems);
    import->problems = cJSON_CreateArray();
}

static int run_import(struct import *import, const struct settings *settings, const char *text, size_t size)
{
    if (documents_each(text, size, learn_document, import) < 0)
        return ctl_say(CTL_FAILED, "out of memory");
    if (settings->strict && !settings->dry_run) {
        int code = run_pass(import, settings, text, size, true);
        if (code != CTL_DONE)
            return code;
        if (import->refused > 0) {
            import->dry_run = false;
            return print_summary(import, false);
        }
        start_again(import);
    }
    int code = run_pass(import, settings, text, size, settings->dry_run);
    return code == CTL_DONE ? print_summary(import, true) : code;
}

/* A text as JSON. NULL after a message. */
static char *quote(const char *text)
{
    cJSON *value = syntax_is_utf8(text, strlen(text)) ? cJSON_CreateString(text) : NULL;
    char *quoted = value ? cJSON_PrintUnformatted(value) : NULL;
    cJSON_Delete(value);
    if (!quoted)
        ctl_say(CTL_FAILED, "--submitter is no UTF-8 text");
    return quoted;
}

static int import_text(struct import *import, const struct config *config, const struct settings *settings,
                       const char *text, size_t size)
{
    import->verified = settings->verified;
    import->on_behalf_of = settings->on_behalf_of;
    import->quiet = settings->quiet;
    import->problems = cJSON_CreateArray();
    import->submissions = cJSON_CreateArray();
    import->hsds = hsds_new(config->node.name, settings->source, settings->kind);
    int code = import->hsds && import->problems && import->submissions
                   ? run_import(import, settings, text, size)
                   : ctl_say(CTL_FAILED, "out of memory");
    hsds_free(import->hsds);
    cJSON_Delete(import->problems);
    cJSON_Delete(import->submissions);
    return code;
}

static int import_file(struct ctl *ctl, const struct settings *settings, const char *file)
{
    size_t size;
    char *areas = NULL, *submitter = NULL;
    int code = check_settings(settings);
    if (code == CTL_DONE && settings->areas && !(areas = areas_to_json(settings->areas)))
        code = CTL_USAGE;
    if (code == CTL_DONE && settings->submitter && !(submitter = quote(settings->submitter)))
        code = CTL_USAGE;
    const struct config *config = code == CTL_DONE ? ctl_config(ctl) : NULL;
    if (!config)
        goto out;
    code = CTL_FAILED;
    const char *text = map_file(file, &size);
    struct import *import = text ? calloc(1, sizeof(*import)) : NULL;
    if (!import)
        goto out;
    import->ctl = ctl;
    import->file = strcmp(file, "-") == 0 ? "standard input" : file;
    import->areas_json = areas;
    import->submitter_json = submitter;
    code = import_text(import, config, settings, text, size);
    free(import);
out:
    free(areas);
    free(submitter);
    return code == CTL_DONE && !config ? CTL_FAILED : code;
}

int ctl_import(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct settings settings = {.source = "editor", .role = "editor", .feed = "public"};
    const struct ctl_option options[] = {
        {"source", CTL_VALUE, &settings.source},
        {"role", CTL_VALUE, &settings.role},
        {"feed", CTL_VALUE, &settings.feed},
        {"kind", CTL_VALUE, &settings.kind},
        {"areas", CTL_VALUE, &settings.areas},
        {"verified", CTL_VALUE, &settings.verified},
        {"on-behalf-of", CTL_VALUE, &settings.on_behalf_of},
        {"strict", CTL_FLAG, &settings.strict},
        {"dry-run", CTL_FLAG, &settings.dry_run},
        {"quiet", CTL_FLAG, &settings.quiet},
    };
    char **files;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, sizeof(options) / sizeof(options[0]), 1, 1,
                                &files, &count);
    return code == CTL_DONE ? import_file(ctl, &settings, files[0]) : code;
}

int ctl_submit(struct ctl *ctl, const struct ctl_submission *submission)
{
    const struct settings settings = {.source = "resident",
                                      .role = "resident",
                                      .feed = submission->feed ? submission->feed : "public",
                                      .kind = submission->kind,
                                      .areas = submission->areas,
                                      .submitter = submission->submitter,
                                      .dry_run = submission->dry_run};
    return import_file(ctl, &settings, submission->file);
}
