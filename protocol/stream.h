/*
 * stream.h - reader and writer of a change stream: lines of entries, then one control line. spec/feed.md,
 * "Exchange".
 *
 *            entry                       {"checkpoint":"<note>"}
 *   READING -------> READING   READING ---------------------------> ENDED   (this response reaches the head)
 *                              READING ---{"next":M}---------------> ENDED   (ask again with since = M)
 *   any fault: FAILED, and the first fault stays.
 *
 * A feed of a million entries passes through memory for one line.
 */
#ifndef KAARTD_PROTOCOL_STREAM_H
#define KAARTD_PROTOCOL_STREAM_H

#include "protocol/entry.h"
#include "protocol/error.h"

#include <stddef.h>
#include <stdint.h>

/* Each may refuse with a negative code, which then is the reader's fault. `line` has no LF; it is valid
 * during the call. */
struct stream_events {
    void *context;
    int (*entry)(void *context, const struct entry *entry, const char *line, size_t size,
                 struct fault *fault);
    /* The note, unescaped, not yet opened. */
    int (*checkpoint)(void *context, const char *note, size_t size, struct fault *fault);
    int (*next)(void *context, uint64_t since, struct fault *fault);
};

struct stream_reader;

/* Reads a stream that was asked for with `since`; refuses more than `entries_max` entries (0: no bound).
 * NULL: no memory. */
struct stream_reader *stream_reader_new(uint64_t since, uint64_t entries_max,
                                        const struct stream_events *events);
void stream_reader_free(struct stream_reader *reader);

/* Takes bytes as they come, in pieces of any size. Entries must increase strictly in `seq` from `since` on
 * and not decrease in `at`. `next` must be the last seq + 1 and come after at least one entry. 0 or the first
 * fault, for ever after. */
int stream_reader_write(struct stream_reader *reader, const char *bytes, size_t size, struct fault *fault);

/* The end of the response: it must have ended right after the LF of a control line. */
int stream_reader_finish(struct stream_reader *reader, struct fault *fault);

/* Control lines with their LF, allocated with malloc. 0 or KAART_NOMEM. */
int stream_format_checkpoint(const char *note, size_t note_size, char **line, size_t *size);
int stream_format_next(uint64_t since, char **line, size_t *size);

#endif
