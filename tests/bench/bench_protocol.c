/*
 * bench_protocol.c - what it costs to verify a stream of 100,000 entries of 1.2 KB: parse, key, leaf, tree. Prints one
 * line of seconds and ratios; run it alone on a core.
 */
#include "protocol/hash.h"
#include "protocol/stream.h"
#include "protocol/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRIES 100000
#define ENTRY_SIZE 1200

struct bench {
    struct hasher *hasher;
    struct tree_builder *builder;
    bool hash;
    size_t entries;
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* An entry such as a municipality writes: some twenty members, addresses, schedules, a paragraph of text. */
static size_t write_entry(char *at, unsigned seq)
{
    int size = sprintf(
        at,
        "{\"seq\":%u,\"op\":\"assert\",\"kind\":\"service\",\"id\":\"%08x-6d8a-5c3e-9f55-1f0a2b3c4d5e\","
        "\"source\":\"contracted-care\","
        "\"role\":\"contract\",\"at\":\"2026-11-21T19:04:05.123Z\",\"verified\":\"2026-11-01\",\"areas\":["
        "\"GM0356\"],\"body\":{\"name\":"
        "\"Begeleiding thuis "
        "%u\",\"status\":\"active\",\"organization_id\":\"0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e\",\"url\":"
        "\"https://www.voorbeeld.example/"
        "begeleiding\",\"email\":\"info@voorbeeld.example\",\"phones\":[{\"number\":\"+31 30 000 00 00\","
        "\"type\":\"voice\"}],\"schedules\":[{\"byday\":\"MO,TU,WE,TH,FR\",\"opens_at\":\"09:00\",\"closes_"
        "at\":\"17:00\",\"timezone\":"
        "\"Europe/"
        "Amsterdam\"}],\"languages\":[\"nl\",\"en\"],\"eligibility\":{\"minimum_age\":18,\"maximum_age\":"
        "null},\"costs\":[{"
        "\"amount\":21.5,\"currency\":\"EUR\"}],\"attributes\":[{\"taxonomy\":\"wmo\",\"code\":\"02A04\"},{"
        "\"taxonomy\":\"thema\","
        "\"code\":\"wonen\"}],\"description\":\"",
        seq, seq, seq);
    static const char text[] =
        "Wij helpen inwoners om zo lang mogelijk zelfstandig te wonen, met een caf\xc3\xa9 en een inloop. ";

    while (size < ENTRY_SIZE - 100)
        size += sprintf(at + size, "%s", text);
    size += sprintf(at + size, "\"}}\n");
    return (size_t)size;
}

static int on_entry(void *context, const struct entry *entry, const char *line, size_t size,
                    struct fault *fault)
{
    struct bench *bench = context;
    struct entry_key key;
    struct hash leaf;

    bench->entries++;
    if (!bench->hash)
        return KAART_OK;
    if (entry_key(bench->hasher, entry->kind, entry->id, entry->source, &key) != KAART_OK ||
        hasher_leaf(bench->hasher, line, size, &leaf) != KAART_OK)
        return KAART_NOMEM;
    return tree_builder_add(bench->builder, entry->seq, &leaf, fault);
}

static double run(const char *stream, size_t size, struct bench *bench)
{
    const struct stream_events events = {bench, on_entry, NULL, NULL};
    struct stream_reader *reader = stream_reader_new(0, 0, &events);
    struct fault fault;
    double start = now_s();

    bench->entries = 0;
    for (size_t at = 0; at < size; at += 16384)
        if (stream_reader_write(reader, stream + at, size - at < 16384 ? size - at : 16384, &fault) !=
            KAART_OK) {
            fprintf(stderr, "%s\n", fault.text);
            exit(1);
        }
    stream_reader_free(reader);
    return now_s() - start;
}

int main(void)
{
    struct bench bench = {.hasher = hasher_new()};
    char *stream = malloc((size_t)ENTRIES * 2 * ENTRY_SIZE);
    size_t size = 0;
    struct hash root;
    struct fault fault;
    double parse_s, verify_s, start;

    if (!stream || !bench.hasher)
        return 1;
    for (unsigned i = 0; i < ENTRIES; i++)
        size += write_entry(stream + size, i);
    bench.builder = tree_builder_new(bench.hasher, NULL);
    parse_s = run(stream, size, &bench);
    bench.hash = true;
    verify_s = run(stream, size, &bench);
    start = now_s();
    if (tree_builder_finish(bench.builder, &root, &fault) != KAART_OK)
        return 1;
    verify_s += now_s() - start;
    printf("%zu entries, %zu MB: parse %.3f s (%.0f MB/s), parse and hash %.3f s (%.0f MB/s)\n",
           bench.entries, size / 1000000, parse_s, (double)size / 1e6 / parse_s, verify_s,
           (double)size / 1e6 / verify_s);
    tree_builder_free(bench.builder);
    hasher_free(bench.hasher);
    free(stream);
    return 0;
}
