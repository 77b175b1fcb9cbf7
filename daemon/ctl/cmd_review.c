/*
 * cmd_review.c - kaartctl review: what residents submitted, and what editors decide about it.
 */
#include "daemon/ctl/ctl.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Numbers that one `approve` takes. */
#define NUMBERS_MAX 200

struct review {
    struct ctl *ctl;
    bool all;
    const char *reason, *editor;
    struct ctl_submission submission;
};

static int need_number(const char *text)
{
    uint64_t number;
    return syntax_decimal_parse(text, strlen(text), JSON_INTEGER_MAX, &number) == 0 && number > 0
               ? CTL_DONE
               : ctl_say(
                     CTL_USAGE,
                     "\"%s\" is not the number of a submission; kaartctl review list shows those that wait",
                     text);
}

/* A member as text, "" where there is none. */
static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text ? text : "";
}

/* ---- list ---- */

static void add_row(struct ctl_table *table, const cJSON *submission)
{
    char number[64];
    ctl_table_add(table, (const char *const[]){ctl_member(submission, "number", number),
                                               text_of(submission, "state"), text_of(submission, "submitted"),
                                               text_of(submission, "decided"), text_of(submission, "kind"),
                                               text_of(submission, "id"),
                                               *text_of(submission, "name") ? text_of(submission, "name")
                                                                            : text_of(submission, "reason"),
                                               NULL});
}

/* Page after page, into one array. */
static int ask_list(struct review *review, cJSON *list, double *waiting)
{
    char after[32] = "";
    for (;;) {
        cJSON *answer = NULL, *item;
        char *path = ctl_path("review", (const char *const[]){"all", review->all ? "true" : NULL, "after",
                                                              *after ? after : NULL, NULL});
        int code =
            path ? ctl_ask(review->ctl, "GET", path, NULL, 0, &answer) : ctl_say(CTL_FAILED, "out of memory");
        free(path);
        if (code != CTL_DONE)
            return code;
        cJSON *page = cJSON_GetObjectItemCaseSensitive(answer, "submissions");
        while (page && (item = cJSON_DetachItemFromArray(page, 0)))
            cJSON_AddItemToArray(list, item);
        const cJSON *next = json_get(answer, "next"), *count = json_get(answer, "waiting");
        *waiting = cJSON_IsNumber(count) ? count->valuedouble : 0;
        bool more = cJSON_IsNumber(next);
        if (more)
            snprintf(after, sizeof(after), "%.0f", next->valuedouble);
        cJSON_Delete(answer);
        if (!more)
            return CTL_DONE;
    }
}

static int run_list(struct review *review)
{
    double waiting = 0;
    char number[32];
    cJSON *list = cJSON_CreateArray();
    if (!list)
        return ctl_say(CTL_FAILED, "out of memory");
    int code = ask_list(review, list, &waiting);
    if (code == CTL_DONE && review->ctl->json)
        return ctl_print_json(list);
    if (code == CTL_DONE) {
        struct ctl_table *table = ctl_table_new(
            (const char *const[]){"NUMBER", "STATE", "SUBMITTED", "DECIDED", "KIND", "ID", "NAME", NULL});
        for (const cJSON *item = list->child; item; item = item->next)
            add_row(table, item);
        ctl_table_print(table, stdout);
        ctl_table_free(table);
        if (waiting > 0)
            printf("%s%s wait%s: kaartctl review show NUMBER\n", list->child ? "\n" : "",
                   ctl_count(waiting, number), waiting > 1 ? "" : "s");
        else
            printf("%snothing waits\n", list->child ? "\n" : "");
    }
    cJSON_Delete(list);
    return code;
}

/* ---- show ---- */

static const char *effect_in_words(const cJSON *field)
{
    static const struct {
        const char *effect, *words;
    } words[] = {{"adds", "is added"},
                 {"changes", "changes"},
                 {"same", "says the same"},
                 {"stays", "stays as it is: others go first"}};
    const char *effect = text_of(field, "effect");
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(words[i].effect, effect) == 0)
            return words[i].words;
    return effect;
}

static void print_preview(const cJSON *preview)
{
    const char *standing = text_of(preview, "standing"), *main = text_of(preview, "main");
    if (cJSON_IsNull(json_get(preview, "now")))
        printf("the map has no such record: it would be new\n");
    if (*main)
        printf("it is another name of record %s, and would count there\n", main);
    if (strcmp(standing, "counts") != 0)
        printf("it would not count: %s\n", standing);
    struct ctl_table *table =
        ctl_table_new((const char *const[]){"FIELD", "NOW", "SUBMITTED", "IF APPROVED", NULL});
    const cJSON *fields = json_get(preview, "fields");
    for (const cJSON *field = fields ? fields->child : NULL; field; field = field->next) {
        const cJSON *now = json_get(field, "now"), *said = json_get(field, "said");
        char *now_text = now ? ctl_value_text(now) : NULL, *said_text = said ? ctl_value_text(said) : NULL;
        ctl_table_add(table, (const char *const[]){text_of(field, "field"), now_text ? now_text : "",
                                                   said_text ? said_text : "", effect_in_words(field), NULL});
        free(now_text);
        free(said_text);
    }
    printf("\n");
    ctl_table_print(table, stdout);
    ctl_table_free(table);
}

/* "7: rejected 2026-11-21 by Vries: it does not exist any more" */
static void print_submission(const cJSON *submission)
{
    char number[64];
    const char *state = text_of(submission, "state"), *decided = text_of(submission, "decided"),
               *editor = text_of(submission, "editor"), *reason = text_of(submission, "reason");
    const cJSON *same = json_get(submission, "sameSubmitter");
    printf("%s: %s", ctl_member(submission, "number", number), state);
    if (*decided)
        printf(" %s%s%s%s%s", decided, *editor ? " by " : "", editor, *reason ? ": " : "", reason);
    printf("\n%s %s%s%s, submitted %s for %s\n", text_of(submission, "kind"), text_of(submission, "id"),
           *text_of(submission, "name") ? ", " : "", text_of(submission, "name"),
           text_of(submission, "submitted"), text_of(submission, "feed"));
    if (strcmp(state, "approved") == 0)
        printf("in the feed as source %s\n", text_of(submission, "source"));
    if (cJSON_IsNumber(same) && same->valuedouble > 1)
        printf("%.0f wait from whoever submitted this\n", same->valuedouble);
    if (json_get(submission, "preview"))
        print_preview(json_get(submission, "preview"));
}

static void clean(cJSON *value)
{
    for (; value; value = value->next) {
        if (cJSON_IsString(value))
            ctl_text_clean(value->valuestring);
        clean(value->child); /* the daemon's JSON is at most JSON_DEPTH_MAX and a few deep */
    }
}

static int run_show(struct review *review, const char *number)
{
    char path[64];
    cJSON *answer = NULL;
    int code = need_number(number);
    if (code != CTL_DONE)
        return code;
    snprintf(path, sizeof(path), "review/%.20s", number);
    code = ctl_ask(review->ctl, "GET", path, NULL, 0, &answer);
    if (code != CTL_DONE)
        return code;
    if (review->ctl->json)
        return ctl_print_json(answer);
    clean(answer);
    print_submission(answer);
    if (strcmp(text_of(answer, "state"), "waiting") == 0)
        printf("\nkaartctl review approve %s, or reject %s --reason TEXT\n", number, number);
    cJSON_Delete(answer);
    return CTL_DONE;
}

/* ---- approve, reject ---- */

static int decide(struct review *review, const char *verb, const char *number, cJSON **answer)
{
    char path[64];
    cJSON *decision = cJSON_CreateObject();
    if (review->editor)
        cJSON_AddStringToObject(decision, "editor", review->editor);
    if (review->reason)
        cJSON_AddStringToObject(decision, "reason", review->reason);
    char *body = decision ? cJSON_PrintUnformatted(decision) : NULL;
    snprintf(path, sizeof(path), "review/%.20s/%s", number, verb);
    int code = body ? ctl_ask(review->ctl, "POST", path, body, strlen(body), answer)
                    : ctl_say(CTL_FAILED, "out of memory");
    free(body);
    cJSON_Delete(decision);
    return code;
}

/* Each by itself: one that cannot be approved does not hold up the others. */
static int run_decisions(struct review *review, const char *verb, char **numbers, size_t count)
{
    size_t done = 0;
    int code = CTL_DONE, last = CTL_DONE;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count && code == CTL_DONE; i++)
        code = need_number(numbers[i]);
    for (size_t i = 0; i < count && code == CTL_DONE && last != CTL_UNREACHABLE; i++) {
        cJSON *answer = NULL;
        int result = decide(review, verb, numbers[i], &answer);
        done += result == CTL_DONE;
        last = result == CTL_DONE ? last : result;
        if (result == CTL_DONE && !review->ctl->json) {
            clean(answer);
            print_submission(answer);
        }
        if (answer)
            cJSON_AddItemToArray(list, answer);
    }
    if (code == CTL_DONE && review->ctl->json)
        code = ctl_print_json(list);
    else
        cJSON_Delete(list);
    if (code != CTL_DONE)
        return code;
    return last == CTL_FAILED && done > 0 ? CTL_PARTLY : last;
}

static int run_reject(struct review *review, char **numbers, size_t count)
{
    if (!review->reason || !*review->reason)
        return ctl_say(CTL_USAGE, "why? The submitter may ask: --reason TEXT");
    return run_decisions(review, "reject", numbers, count);
}

/* ---- the command ---- */

int ctl_review(struct ctl *ctl, const struct ctl_command *command, int argc, char **argv)
{
    struct review review = {.ctl = ctl};
    const struct ctl_option options[] = {{"all", CTL_FLAG, &review.all},
                                         {"reason", CTL_VALUE, &review.reason},
                                         {"as-editor", CTL_VALUE, &review.editor},
                                         {"submitter", CTL_VALUE, &review.submission.submitter},
                                         {"kind", CTL_VALUE, &review.submission.kind},
                                         {"areas", CTL_VALUE, &review.submission.areas},
                                         {"feed", CTL_VALUE, &review.submission.feed},
                                         {"dry-run", CTL_FLAG, &review.submission.dry_run}};
    char **words;
    size_t count;
    int code = ctl_read_options(ctl, command, argc, argv, options, COUNT(options), 1, NUMBERS_MAX + 1, &words,
                                &count);
    if (code != CTL_DONE)
        return code;
    const char *verb = words[0];
    if (strcmp(verb, "list") == 0 && count == 1)
        return run_list(&review);
    if (strcmp(verb, "show") == 0 && count == 2)
        return run_show(&review, words[1]);
    if (strcmp(verb, "approve") == 0 && count >= 2)
        return run_decisions(&review, "approve", words + 1, count - 1);
    if (strcmp(verb, "reject") == 0 && count == 2)
        return run_reject(&review, words + 1, count - 1);
    review.submission.file = count == 2 ? words[1] : NULL;
    if (strcmp(verb, "submit") == 0 && count == 2)
        return ctl_submit(ctl, &review.submission);
    return ctl_say(CTL_USAGE, "what is meant? usage: kaartctl review %s", command->arguments);
}
