/*
 * stream.c - a change stream, line by line. The states are in stream.h.
 *
 * A line that lies whole in the bytes handed in is read there; only one that is cut in two is gathered in a
 * buffer.
 */
#include "protocol/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { READING, ENDED, FAILED };

struct stream_reader {
    enum state state;
    int code; /* the first fault, and its text */
    struct fault fault;
    uint64_t since, entries_max, entries;
    uint64_t next_seq; /* the least seq that may come */
    int64_t at_ms;     /* of the last entry */
    struct stream_events events;
    size_t partial; /* bytes of an unfinished line */
    char line[ENTRY_SIZE_MAX];
};

struct stream_reader *stream_reader_new(uint64_t since, uint64_t entries_max,
                                        const struct stream_events *events)
{
    struct stream_reader *reader = malloc(sizeof *reader);

    if (!reader)
        return NULL;
    reader->state = READING;
    reader->code = KAART_OK;
    reader->fault.text[0] = '\0';
    reader->since = reader->next_seq = since;
    reader->entries_max = entries_max;
    reader->entries = 0;
    reader->at_ms = INT64_MIN;
    reader->events = *events;
    reader->partial = 0;
    return reader;
}

void stream_reader_free(struct stream_reader *reader)
{
    free(reader);
}

/* ---- entries ---- */

static int read_entry(struct stream_reader *reader, const char *line, size_t size)
{
    struct entry entry;
    int code = entry_parse(line, size, &entry, &reader->fault);

    if (code != KAART_OK)
        return code; /* [ENTRY-8] */
    if (entry.seq < reader->next_seq)
        return fault_set(&reader->fault, KAART_ORDER,
                         "stream: entry %llu where %llu or more must come [STREAM-3]",
                         (unsigned long long)entry.seq, (unsigned long long)reader->next_seq);
    if (entry.at_ms < reader->at_ms)
        return fault_set(&reader->fault, KAART_ORDER,
                         "stream: entry %llu is older than the one before it [STREAM-3]",
                         (unsigned long long)entry.seq);
    if (reader->entries_max && reader->entries == reader->entries_max)
        return fault_set(&reader->fault, KAART_LIMIT, "stream: more than %llu entries [SYNC-5]",
                         (unsigned long long)reader->entries_max);
    reader->entries++;
    reader->next_seq = entry.seq + 1;
    reader->at_ms = entry.at_ms;
    if (!reader->events.entry)
        return KAART_OK;
    return reader->events.entry(reader->events.context, &entry, line, size, &reader->fault);
}

/* ---- control lines ---- */

/* What a control line holds: its one member. */
struct control {
    size_t members;
    struct span checkpoint, next;
};

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

static int read_control_member(void *context, struct span name, struct span value, struct fault *fault)
{
    struct control *control = context;

    (void)fault;
    control->members++;
    if (span_is(name, "checkpoint"))
        control->checkpoint = value;
    else if (span_is(name, "next"))
        control->next = value;
    return KAART_OK;
}

/* Whether the first member has a control line's name. If it stands further on, the line is read as an entry,
 * which may have no such member; either way more than one member is refused. */
static bool is_control(const char *line, size_t size)
{
    static const char checkpoint[] = "\"checkpoint\"", next[] = "\"next\"";
    size_t at = 1;

    while (at < size && line[at] == ' ')
        at++;
    return (size - at >= sizeof checkpoint - 1 &&
            memcmp(line + at, checkpoint, sizeof checkpoint - 1) == 0) ||
           (size - at >= sizeof next - 1 && memcmp(line + at, next, sizeof next - 1) == 0);
}

static int end_with_checkpoint(struct stream_reader *reader, struct span value)
{
    char *note;
    size_t size;
    int code;

    note = json_unescape(value, &size);
    if (!note)
        return fault_set(&reader->fault, KAART_NOMEM, "stream: out of memory");
    if (size > NOTE_SIZE_MAX)
        code = fault_set(&reader->fault, KAART_LIMIT, "stream: a note of more than %d bytes [NOTE-1]",
                         NOTE_SIZE_MAX);
    else
        code = reader->events.checkpoint
                   ? reader->events.checkpoint(reader->events.context, note, size, &reader->fault)
                   : KAART_OK;
    free(note);
    return code;
}

static int end_with_next(struct stream_reader *reader, struct span value)
{
    uint64_t next;

    if (syntax_decimal_parse(value.data, value.size, SEQ_MAX + 1, &next) != KAART_OK)
        return fault_set(&reader->fault, KAART_SYNTAX, "stream: next is no position [STREAM-2]");
    if (reader->entries == 0 || next != reader->next_seq)
        return fault_set(&reader->fault, KAART_ORDER,
                         "stream: next is %llu, but must follow the last of some entries [STREAM-5]",
                         (unsigned long long)next);
    return reader->events.next ? reader->events.next(reader->events.context, next, &reader->fault) : KAART_OK;
}

static int read_control(struct stream_reader *reader, const char *line, size_t size)
{
    struct control control = {0};
    int code = json_check_object(line, size, read_control_member, &control, &reader->fault);

    if (code != KAART_OK)
        return code;
    if (control.members != 1)
        return fault_set(&reader->fault, KAART_SYNTAX,
                         "stream: a control line with more than one member [STREAM-2]");
    reader->state = ENDED;
    if (control.next.data)
        return end_with_next(reader, control.next);
    if (control.checkpoint.data[0] != '"')
        return fault_set(&reader->fault, KAART_SYNTAX, "stream: the checkpoint is no string [STREAM-2]");
    return end_with_checkpoint(reader, control.checkpoint);
}

/* ---- lines ---- */

static int read_line(struct stream_reader *reader, const char *line, size_t size)
{
    if (reader->state == ENDED)
        return fault_set(&reader->fault, KAART_SYNTAX, "stream: more after the control line [STREAM-8]");
    if (size > ENTRY_SIZE_MAX)
        return fault_set(&reader->fault, KAART_LIMIT, "stream: a line of more than %d bytes [JSON-10]",
                         ENTRY_SIZE_MAX);
    return size > 1 && is_control(line, size) ? read_control(reader, line, size)
                                              : read_entry(reader, line, size);
}

/* Bytes of a line whose LF [STREAM-1] has not come yet. */
static int gather(struct stream_reader *reader, const char *bytes, size_t size)
{
    if (size == 0)
        return KAART_OK;
    if (reader->state == ENDED)
        return fault_set(&reader->fault, KAART_SYNTAX, "stream: more after the control line [STREAM-8]");
    if (size > sizeof reader->line - reader->partial)
        return fault_set(&reader->fault, KAART_LIMIT, "stream: a line of more than %d bytes [JSON-10]",
                         ENTRY_SIZE_MAX);
    memcpy(reader->line + reader->partial, bytes, size);
    reader->partial += size;
    return KAART_OK;
}

/* The next line or the rest of it. *used: the bytes that were taken. */
static int take(struct stream_reader *reader, const char *bytes, size_t size, size_t *used)
{
    const char *newline = memchr(bytes, '\n', size);
    size_t length = newline ? (size_t)(newline - bytes) : size;
    int code;

    *used = newline ? length + 1 : size;
    if (newline && reader->partial == 0)
        return read_line(reader, bytes, length);
    code = gather(reader, bytes, length);
    if (code != KAART_OK || !newline)
        return code;
    length = reader->partial;
    reader->partial = 0;
    return read_line(reader, reader->line, length);
}

/* Keeps the first fault, and shows it. */
static int fail(struct stream_reader *reader, int code, struct fault *fault)
{
    reader->state = FAILED;
    reader->code = code;
    if (fault)
        *fault = reader->fault;
    return code;
}

int stream_reader_write(struct stream_reader *reader, const char *bytes, size_t size, struct fault *fault)
{
    while (reader->state != FAILED && size > 0) {
        size_t used;
        int code = take(reader, bytes, size, &used);

        if (code != KAART_OK)
            return fail(reader, code, fault);
        bytes += used;
        size -= used;
    }
    return reader->state == FAILED ? fail(reader, reader->code, fault) : KAART_OK;
}

int stream_reader_finish(struct stream_reader *reader, struct fault *fault)
{
    if (reader->state == FAILED)
        return fail(reader, reader->code, fault);
    if (reader->state == ENDED)
        return KAART_OK;
    return fail(reader,
                fault_set(&reader->fault, KAART_SYNTAX, "stream: ends %s [STREAM-8]",
                          reader->partial ? "within a line" : "without a control line"),
                fault);
}

/* ---- writing ---- */

int stream_format_checkpoint(const char *note, size_t note_size, char **line, size_t *size)
{
    static const char begin[] = "{\"checkpoint\":\"", end[] = "\"}\n";
    size_t used = sizeof begin - 1;
    char *text = malloc(used + 2 * note_size + sizeof end);

    if (!text)
        return KAART_NOMEM;
    memcpy(text, begin, used);
    for (size_t i = 0; i < note_size; i++) {
        if (note[i] == '"' || note[i] == '\\' || note[i] == '\n')
            text[used++] = '\\';
        text[used++] = note[i] == '\n' ? 'n' : note[i];
    }
    memcpy(text + used, end, sizeof end);
    *line = text;
    *size = used + sizeof end - 1;
    return KAART_OK;
}

int stream_format_next(uint64_t since, char **line, size_t *size)
{
    char *text = malloc(48);

    if (!text)
        return KAART_NOMEM;
    *size = (size_t)snprintf(text, 48, "{\"next\":%llu}\n", (unsigned long long)since);
    *line = text;
    return KAART_OK;
}
