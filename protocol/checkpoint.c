/*
 * checkpoint.c - the eight lines of a feed's head, and what one head means to somebody who holds another.
 */
#include "protocol/checkpoint.h"
#include "protocol/json.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <string.h>

static const char format_line[] = "kaartd-feed/v1";

/* `size` is the next unused position, so it can be one beyond the last [CP-1]. */
#define SIZE_LIMIT (SEQ_MAX + 1)

/* Walks through the lines of the text; a fault stays, and is looked at once, at the end. */
struct lines {
    const char *at, *end;
    const char *wrong; /* the label of the first line that was not as it must be */
};

/* The value behind "label "; empty, and a fault, if the next line is another one. */
static struct span next_value(struct lines *lines, const char *label)
{
    size_t label_size = strlen(label);
    const char *newline =
        lines->at < lines->end ? memchr(lines->at, '\n', (size_t)(lines->end - lines->at)) : NULL;
    struct span value = {"", 0};

    if (lines->wrong)
        return value;
    if (!newline || (size_t)(newline - lines->at) <= label_size ||
        memcmp(lines->at, label, label_size) != 0 || lines->at[label_size] != ' ') {
        lines->wrong = label;
        return value;
    }
    value.data = lines->at + label_size + 1;
    value.size = (size_t)(newline - value.data);
    lines->at = newline + 1;
    return value;
}

static uint64_t next_decimal(struct lines *lines, const char *label, uint64_t max)
{
    struct span value = next_value(lines, label);
    uint64_t number = 0;

    if (!lines->wrong && syntax_decimal_parse(value.data, value.size, max, &number) != KAART_OK)
        lines->wrong = label;
    return number;
}

static void read_lines(struct lines *lines, struct checkpoint *out)
{
    size_t first_size = sizeof format_line - 1, root_size = HASH_SIZE;
    struct span value;

    if ((size_t)(lines->end - lines->at) <= first_size || memcmp(lines->at, format_line, first_size) != 0 ||
        lines->at[first_size] != '\n') {
        lines->wrong = format_line;
        return;
    }
    lines->at += first_size + 1;
    value = next_value(lines, "feed");
    if (!lines->wrong && !syntax_is_feed(value.data, value.size))
        lines->wrong = "feed";
    if (lines->wrong)
        return;
    memcpy(out->feed, value.data, value.size);
    out->epoch = next_decimal(lines, "epoch", JSON_INTEGER_MAX);
    out->size = next_decimal(lines, "size", SIZE_LIMIT);
    out->live = next_decimal(lines, "live", SIZE_LIMIT);
    out->floor = next_decimal(lines, "floor", SIZE_LIMIT);
    value = next_value(lines, "root");
    if (!lines->wrong && (base64_decode(value.data, value.size, out->root.bytes, &root_size) != KAART_OK ||
                          root_size != HASH_SIZE))
        lines->wrong = "root";
    value = next_value(lines, "time");
    if (!lines->wrong && syntax_seconds_parse(value.data, value.size, &out->time_s) != KAART_OK)
        lines->wrong = "time";
}

int checkpoint_parse(const char *text, size_t size, struct checkpoint *out, struct fault *fault)
{
    struct lines lines = {.at = text, .end = text + size};

    memset(out, 0, sizeof *out);
    read_lines(&lines, out);
    if (lines.wrong)
        return fault_set(fault, KAART_SYNTAX, "checkpoint: the line \"%s\" is missing or malformed [CP-1]",
                         lines.wrong);
    if (lines.at != lines.end)
        return fault_set(fault, KAART_SYNTAX, "checkpoint: more than its eight lines [CP-1]");
    if (out->live > out->size || out->floor > out->size)
        return fault_set(fault, KAART_SYNTAX, "checkpoint: live or floor beyond size [CP-2]");
    if (hash_is_zero(&out->root) != (out->live == 0))
        return fault_set(fault, KAART_SYNTAX,
                         "checkpoint: the root does not go with %llu live entries [CP-2]",
                         (unsigned long long)out->live);
    return KAART_OK;
}

size_t checkpoint_format(const struct checkpoint *checkpoint, char text[CHECKPOINT_TEXT_MAX])
{
    char root[48], time[SECONDS_TEXT_SIZE + 1];

    base64_encode(checkpoint->root.bytes, HASH_SIZE, root);
    syntax_seconds_format(checkpoint->time_s, time);
    return (size_t)snprintf(text, CHECKPOINT_TEXT_MAX,
                            "%s\nfeed %s\nepoch %llu\nsize %llu\nlive %llu\nfloor %llu\nroot %s\ntime %s\n",
                            format_line, checkpoint->feed, (unsigned long long)checkpoint->epoch,
                            (unsigned long long)checkpoint->size, (unsigned long long)checkpoint->live,
                            (unsigned long long)checkpoint->floor, root, time);
}

int checkpoint_open(const char *note, size_t size, const char *feed, const struct verifier_key *keys,
                    size_t key_count, struct checkpoint *out, struct fault *fault)
{
    size_t text_size = 0;
    int code;

    for (size_t i = 0; i < key_count; i++)
        if (strcmp(keys[i].name, feed) != 0)
            return fault_set(fault, KAART_KEY, "checkpoint of %s: a key of %s is no key for it [CP-3]", feed,
                             keys[i].name);
    code = note_open(note, size, keys, key_count, &text_size, fault);
    if (code == KAART_OK)
        code = checkpoint_parse(note, text_size, out, fault);
    if (code == KAART_OK && strcmp(out->feed, feed) != 0)
        code = fault_set(fault, KAART_SIGNATURE, "checkpoint of %s: it speaks of %s [CP-3]", feed, out->feed);
    return code;
}

/* Of one epoch and size. */
static enum checkpoint_relation compare_times(const struct checkpoint *held, const struct checkpoint *offered)
{
    if (!hash_equal(&held->root, &offered->root) || held->live != offered->live ||
        held->floor != offered->floor)
        return CHECKPOINT_FORK; /* [DEATH-2] (a) */
    if (offered->time_s == held->time_s)
        return CHECKPOINT_SAME;
    return offered->time_s > held->time_s ? CHECKPOINT_HEARTBEAT : CHECKPOINT_BEHIND;
}

/* Whether the longer of two heads of an epoch goes back in time or floor: [DEATH-2] (b), (c). */
static bool goes_back(const struct checkpoint *shorter, const struct checkpoint *longer)
{
    return longer->time_s < shorter->time_s || longer->floor < shorter->floor;
}

/* Newer is greater (epoch, size, time) [CP-7], as long as nothing goes back [CP-6]. */
enum checkpoint_relation checkpoint_compare(const struct checkpoint *held, const struct checkpoint *offered)
{
    if (offered->epoch != held->epoch)
        return offered->epoch > held->epoch ? CHECKPOINT_FULL : CHECKPOINT_BEHIND; /* [SYNC-2] */
    if (offered->size == held->size)
        return compare_times(held, offered);
    if (offered->size < held->size)
        return goes_back(offered, held) ? CHECKPOINT_FORK : CHECKPOINT_BEHIND;
    if (goes_back(held, offered))
        return CHECKPOINT_FORK;
    return held->size < offered->floor ? CHECKPOINT_FULL : CHECKPOINT_NEWER;
}
