/* pull_words.c - what a pull has come to, in words for operators. Knows of the machine what pull_get_status tells everybody. */
#include "protocol/pull.h"

#include <inttypes.h>
#include <stdio.h>

const char *pull_condition_name(enum pull_condition condition)
{
    switch (condition) {
    case PULL_CONDITION_NEW:
        return "not asked yet";
    case PULL_CONDITION_IN_STEP:
        return "in step";
    case PULL_CONDITION_BEHIND:
        return "behind";
    case PULL_CONDITION_CATCHING_UP:
        return "catching up";
    case PULL_CONDITION_FULL_DUE:
        return "full sync due";
    case PULL_CONDITION_ABSENT:
        return "absent";
    case PULL_CONDITION_UNREACHABLE:
        return "unreachable";
    case PULL_CONDITION_REFUSED:
        return "refused";
    case PULL_CONDITION_LOCAL:
        return "own store in trouble";
    case PULL_CONDITION_FROZEN:
        return "frozen";
    }
    return "";
}

/* ", next full sync in 42 min" or ", next attempt in 12 s". */
static void explain_next(const struct pull_status *status, int64_t now_ms, char *text, size_t size)
{
    char words[RETRY_WORDS_SIZE];
    int64_t at = status->full_due_ms ? status->full_due_ms : status->next_ms;

    if (status->busy) {
        snprintf(text, size, "%s is running", status->full ? "a full sync" : "an exchange");
        return;
    }
    retry_words(at - now_ms, words);
    snprintf(text, size, "next %s %s%s", status->full_due_ms ? "full sync" : "attempt",
             at > now_ms ? "in " : "", words);
}

/* How far a source of the same epoch is behind: in positions, and in time. */
static void explain_lag(const struct pull_status *status, char text[PULL_EXPLAIN_SIZE], const char *next)
{
    const struct checkpoint *held = &status->held.checkpoint, *offered = &status->offered;
    char lag[RETRY_WORDS_SIZE];

    retry_words((held->time_s - offered->time_s) * 1000, lag);
    snprintf(text, PULL_EXPLAIN_SIZE,
             "behind: offers size %" PRIu64 ", signed %s before the held size %" PRIu64
             "; nothing was taken; %s",
             offered->size, held->time_s > offered->time_s ? lag : "no time", held->size, next);
}

void pull_explain(const struct pull *pull, int64_t now_ms, char text[PULL_EXPLAIN_SIZE])
{
    struct pull_status status;
    char next[96];
    const struct checkpoint *held = &status.held.checkpoint, *offered = &status.offered;

    pull_get_status(pull, &status);
    explain_next(&status, now_ms, next, sizeof(next));
    switch (status.condition) {
    case PULL_CONDITION_NEW:
        snprintf(text, PULL_EXPLAIN_SIZE, "not asked yet; %s", next);
        break;
    case PULL_CONDITION_IN_STEP:
        snprintf(text, PULL_EXPLAIN_SIZE, "in step at size %" PRIu64 "; %s", held->size, next);
        break;
    case PULL_CONDITION_BEHIND:
        if (offered->epoch != held->epoch)
            snprintf(text, PULL_EXPLAIN_SIZE,
                     "behind: offers epoch %" PRIu64 ", held is epoch %" PRIu64 "; nothing was taken; %s",
                     offered->epoch, held->epoch, next);
        else
            explain_lag(&status, text, next);
        break;
    case PULL_CONDITION_CATCHING_UP:
        snprintf(text, PULL_EXPLAIN_SIZE, "catching up: %s", next);
        break;
    case PULL_CONDITION_FULL_DUE:
        snprintf(text, PULL_EXPLAIN_SIZE,
                 "no delta leads from epoch %" PRIu64 " size %" PRIu64 " to epoch %" PRIu64 " size %" PRIu64
                 "; %s",
                 held->epoch, held->size, offered->epoch, offered->size, next);
        break;
    case PULL_CONDITION_ABSENT:
        snprintf(text, PULL_EXPLAIN_SIZE, "%s; %s", status.text, next);
        break;
    case PULL_CONDITION_UNREACHABLE:
        snprintf(text, PULL_EXPLAIN_SIZE, "%s (failure %u in a row); what is held stays in service; %s",
                 status.text, status.failures, next);
        break;
    case PULL_CONDITION_REFUSED:
        snprintf(text, PULL_EXPLAIN_SIZE, "refused: %s; nothing was changed; %s", status.text, next);
        break;
    case PULL_CONDITION_LOCAL:
        snprintf(text, PULL_EXPLAIN_SIZE, "the own store could not take it: %s; %s", status.text, next);
        break;
    case PULL_CONDITION_FROZEN:
        snprintf(text, PULL_EXPLAIN_SIZE,
                 "frozen at epoch %" PRIu64 " size %" PRIu64
                 ": %s; only a higher epoch under a configured key leads on",
                 held->epoch, held->size,
                 status.text[0] ? status.text : "the origin signed two histories (spec/feed.md [DEATH-2])");
        break;
    }
}
