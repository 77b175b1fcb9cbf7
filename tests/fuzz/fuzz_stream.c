/* fuzz_stream.c - any bytes as a change stream: the outcome may not depend on where it is cut. The first byte says into what
 * pieces. */
#include "protocol/replica.h"
#include "protocol/stream.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* What a reader said of a stream. */
struct outcome {
    int code;
    struct fault fault;
    uint64_t entries, last_seq, next;
    size_t line_bytes, notes, note_size;
};

static int on_entry(void *context, const struct entry *entry, const char *line, size_t size,
                    struct fault *fault)
{
    struct outcome *outcome = context;

    (void)fault;
    must(line[0] == '{' && line[size - 1] == '}');
    must(outcome->entries == 0 || entry->seq > outcome->last_seq);
    outcome->entries++;
    outcome->last_seq = entry->seq;
    outcome->line_bytes += size;
    return KAART_OK;
}

static int on_checkpoint(void *context, const char *note, size_t size, struct fault *fault)
{
    struct outcome *outcome = context;
    char *line;
    size_t line_size;

    (void)fault;
    outcome->notes++;
    outcome->note_size = size;
    must(size <= NOTE_SIZE_MAX);
    must(stream_format_checkpoint(note, size, &line, &line_size) == KAART_OK);
    free(line);
    return KAART_OK;
}

static int on_next(void *context, uint64_t since, struct fault *fault)
{
    (void)fault;
    ((struct outcome *)context)->next = since;
    return KAART_OK;
}

static void read_pieces(const char *stream, size_t size, size_t piece, struct outcome *outcome)
{
    const struct stream_events events = {outcome, on_entry, on_checkpoint, on_next};
    struct stream_reader *reader = stream_reader_new(0, 1000, &events);

    memset(outcome, 0, sizeof *outcome);
    must(reader != NULL);
    for (size_t at = 0; at < size && outcome->code == KAART_OK; at += piece)
        outcome->code =
            stream_reader_write(reader, stream + at, size - at < piece ? size - at : piece, &outcome->fault);
    if (outcome->code == KAART_OK)
        outcome->code = stream_reader_finish(reader, &outcome->fault);
    stream_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *stream = (const char *)data + 1;
    struct outcome whole, pieces;
    struct verifier_key key;
    struct replica *replica;
    struct fault fault;

    if (size < 1)
        return 0;
    read_pieces(stream, size - 1, SIZE_MAX, &whole);
    read_pieces(stream, size - 1, (size_t)data[0] + 1, &pieces);
    must(memcmp(&whole, &pieces, sizeof whole) == 0 || whole.code == pieces.code);
    must(whole.entries == pieces.entries && whole.next == pieces.next && whole.notes == pieces.notes);
    must((whole.code == KAART_OK) == (whole.fault.text[0] == '\0'));
    must(whole.code != KAART_OK || (whole.notes == 1) != (whole.next != 0));

    must(verifier_key_parse(HOUTEN_KEY, strlen(HOUTEN_KEY), &key, &fault) == KAART_OK);
    replica = replica_new(key.name, &key, 1);
    must(replica != NULL);
    if (replica_offer(replica, stream, size - 1, true, NULL, &fault) == REPLICA_APPLIED)
        must(replica_live(replica) == replica_head(replica)->live);
    else
        must(replica_head(replica) == NULL);
    replica_free(replica);
    return 0;
}
