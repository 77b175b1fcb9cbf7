/* test_stream.c - reader and writer of change streams, in pieces of every size. */
#include "protocol/stream.h"
#include "tests/unit/unit.h"

#define REST                                                                                                 \
    "\"kind\":\"service\",\"id\":\"0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e\",\"source\":\"desk\",\"role\":"     \
    "\"editor\","                                                                                            \
    "\"at\":\"2026-11-21T19:04:05.123Z\"}\n"
#define ENTRY(seq) "{\"seq\":" #seq ",\"op\":\"retract\"," REST

static struct fault fault;

/* What came out, as text; refuses what a test names. */
struct log {
    char text[400];
    int refuse_entry, refuse_checkpoint, refuse_next;
};

static int log_entry(void *context, const struct entry *entry, const char *line, size_t size,
                     struct fault *out)
{
    struct log *log = context;
    size_t used = strlen(log->text);

    snprintf(log->text + used, sizeof log->text - used, "%llu;", (unsigned long long)entry->seq);
    assert_true(size > 2 && line[0] == '{' && line[size - 1] == '}');
    return log->refuse_entry ? fault_set(out, log->refuse_entry, "no more") : KAART_OK;
}

static int log_checkpoint(void *context, const char *note, size_t size, struct fault *out)
{
    struct log *log = context;
    size_t used = strlen(log->text);

    snprintf(log->text + used, sizeof log->text - used, "note %.*s", (int)size, note);
    return log->refuse_checkpoint ? fault_set(out, log->refuse_checkpoint, "not this one") : KAART_OK;
}

static int log_next(void *context, uint64_t since, struct fault *out)
{
    struct log *log = context;
    size_t used = strlen(log->text);

    snprintf(log->text + used, sizeof log->text - used, "next %llu", (unsigned long long)since);
    return log->refuse_next ? fault_set(out, log->refuse_next, "stop") : KAART_OK;
}

static struct stream_reader *new_reader(struct log *log, uint64_t since, uint64_t max)
{
    const struct stream_events events = {log, log_entry, log_checkpoint, log_next};
    struct stream_reader *reader = stream_reader_new(since, max, &events);

    assert_non_null(reader);
    return reader;
}

/* Reads a whole stream in pieces of one size. */
static int read_pieces(const char *stream, size_t size, size_t piece, struct log *log)
{
    struct stream_reader *reader = new_reader(log, 3, 0);
    int code = KAART_OK;

    log->text[0] = '\0';
    for (size_t at = 0; at < size && code == KAART_OK; at += piece)
        code = stream_reader_write(reader, stream + at, size - at < piece ? size - at : piece, &fault);
    if (code == KAART_OK)
        code = stream_reader_finish(reader, &fault);
    stream_reader_free(reader);
    return code;
}

static int read_all(const char *stream, struct log *log)
{
    return read_pieces(stream, strlen(stream), SIZE_MAX, log);
}

static void test_good(void **state)
{
    struct log log = {.text = ""};

    (void)state;
    assert_ok(read_all(ENTRY(3) ENTRY(9) "{\"checkpoint\":\"a\\nb\"}\n", &log));
    assert_string_equal(log.text, "3;9;note a\nb");
    assert_ok(read_all(ENTRY(4) "{\"next\":5}\n", &log));
    assert_string_equal(log.text, "4;next 5");
    assert_ok(read_all("{\"checkpoint\":\"\"}\n", &log));
    assert_string_equal(log.text, "note ");
    assert_ok(read_all("{  \"checkpoint\" : \"\\u0061\" }\n", &log));
    assert_string_equal(log.text, "note a");
    stream_reader_free(NULL);
}

/* The outcome does not depend on where the network cuts; an envelope fault refuses the whole [ENTRY-8]. */
static void test_every_cut(void **state)
{
    static const char good[] = ENTRY(3) ENTRY(9) "{\"checkpoint\":\"a\\nb\"}\n";
    static const char bad[] = ENTRY(3) "{\"seq\":9}\n{\"checkpoint\":\"a\"}\n";
    struct log log = {.text = ""};

    (void)state;
    for (size_t piece = 1; piece < sizeof good; piece++) {
        assert_ok(read_pieces(good, sizeof good - 1, piece, &log));
        assert_string_equal(log.text, "3;9;note a\nb");
        assert_fault(read_pieces(bad, sizeof bad - 1, piece, &log), KAART_SYNTAX, "op is missing");
        assert_string_equal(log.text, "3;");
    }
    for (size_t cut = 0; cut <= sizeof good - 1; cut++) { /* in two */
        struct stream_reader *reader = new_reader(&log, 3, 0);

        log.text[0] = '\0';
        assert_ok(stream_reader_write(reader, good, cut, &fault));
        assert_ok(stream_reader_write(reader, good + cut, sizeof good - 1 - cut, &fault));
        assert_ok(stream_reader_finish(reader, &fault));
        assert_string_equal(log.text, "3;9;note a\nb");
        stream_reader_free(reader);
    }
    for (size_t end = 0; end < sizeof good - 1; end++) /* ended too early */
        assert_fault(read_pieces(good, end, SIZE_MAX, &log), KAART_SYNTAX, "STREAM-8");
}

static void refuses(const char *stream, int code, const char *words)
{
    struct log log = {.text = ""};

    assert_fault(read_all(stream, &log), code, words);
    assert_fault(read_pieces(stream, strlen(stream), 1, &log), code, words);
}

static void test_order(void **state)
{
    (void)state;
    refuses(ENTRY(2) "{\"checkpoint\":\"\"}\n", KAART_ORDER, "STREAM-3");
    refuses(ENTRY(3) ENTRY(3) "{\"checkpoint\":\"\"}\n", KAART_ORDER, "STREAM-3");
    refuses(ENTRY(4) ENTRY(3) "{\"checkpoint\":\"\"}\n", KAART_ORDER, "STREAM-3");
    refuses(ENTRY(4) "{\"seq\":5,\"op\":\"retract\",\"kind\":\"a\",\"id\":\"0b6e7a52-6d8a-5c3e-9f55-"
                     "1f0a2b3c4d5e\",\"source\":\"a\",\"role\":\"a\","
                     "\"at\":\"2026-11-21T19:04:05.122Z\"}\n",
            KAART_ORDER, "older than the one before");
}

static void test_control_lines(void **state)
{
    (void)state;
    refuses(ENTRY(3) "{\"next\":5}\n", KAART_ORDER, "STREAM-5");
    refuses(ENTRY(3) "{\"next\":3}\n", KAART_ORDER, "STREAM-5");
    refuses("{\"next\":3}\n", KAART_ORDER, "STREAM-5");
    refuses("{\"next\":0}\n", KAART_ORDER, "STREAM-5");
    refuses(ENTRY(3) "{\"next\":\"4\"}\n", KAART_SYNTAX, "STREAM-2");
    refuses(ENTRY(3) "{\"next\":4.0}\n", KAART_SYNTAX, "STREAM-2");
    refuses(ENTRY(3) "{\"next\":-4}\n", KAART_SYNTAX, "STREAM-2");
    refuses(ENTRY(3) "{\"next\":4,\"x\":1}\n", KAART_SYNTAX, "STREAM-2");
    refuses("{\"checkpoint\":1}\n", KAART_SYNTAX, "STREAM-2");
    refuses("{\"checkpoint\":null}\n", KAART_SYNTAX, "STREAM-2");
    refuses("{\"checkpoint\":\"\",\"next\":1}\n", KAART_SYNTAX, "STREAM-2");
    refuses("{\"checkpoint\":\"\",\"checkpoint\":\"\"}\n", KAART_SYNTAX, "JSON-5");
    refuses("{\"checkpoint\":\"\"} \n", KAART_SYNTAX, "JSON-9");
    refuses("{\"checkpointx\":\"\"}\n", KAART_SYNTAX, "seq is missing");
    refuses("{\"checkpoint\":\"\"}\n\n", KAART_SYNTAX, "STREAM-8");
    refuses("{\"checkpoint\":\"\"}\nx", KAART_SYNTAX, "STREAM-8");
    refuses("{\"checkpoint\":\"\"}\n" ENTRY(3), KAART_SYNTAX, "STREAM-8");
    refuses(ENTRY(3) "{\"next\":4}\n{\"next\":4}\n", KAART_SYNTAX, "STREAM-8");
    refuses("{\"checkpoint\":\"\"}\r\n", KAART_SYNTAX, "JSON");
    refuses("\n", KAART_SYNTAX, "JSON-9");
    refuses("{}\n", KAART_SYNTAX, "seq is missing");
    refuses("{\n", KAART_SYNTAX, "JSON-9");
    refuses("", KAART_SYNTAX, "STREAM-8");
    refuses(ENTRY(3), KAART_SYNTAX, "without a control line");
}

/* A line of 65,536 bytes passes, one more does not, with or without its LF, whole or in pieces. */
static void test_line_size(void **state)
{
    static const char head[] = "{\"seq\":3,\"x\":\"", tail[] = "\",\"op\":\"retract\"," REST;
    char *stream = malloc(ENTRY_SIZE_MAX + 2);
    struct log log = {.text = ""};

    (void)state;
    assert_non_null(stream);
    for (size_t size = ENTRY_SIZE_MAX; size <= ENTRY_SIZE_MAX + 1; size++)
        for (size_t piece = 1000; piece < 200000; piece += 65537) {
            memset(stream, 'x', size);
            memcpy(stream, head, sizeof head - 1);
            memcpy(stream + size + 1 - (sizeof tail - 1), tail, sizeof tail - 1);
            if (size == ENTRY_SIZE_MAX)
                assert_fault(read_pieces(stream, size + 1, piece, &log), KAART_SYNTAX,
                             "STREAM-8"); /* the line itself passed */
            else
                assert_fault(read_pieces(stream, size + 1, piece, &log), KAART_LIMIT, "JSON-10");
            memset(stream, 'x', size);
            assert_fault(read_pieces(stream, size, piece, &log),
                         size == ENTRY_SIZE_MAX ? KAART_SYNTAX : KAART_LIMIT,
                         size == ENTRY_SIZE_MAX ? "within a line" : "JSON-10");
        }
    free(stream);
}

static void test_note_size(void **state)
{
    char *note = malloc(NOTE_SIZE_MAX + 1), *line;
    struct log log = {.text = ""};
    size_t size;

    (void)state;
    assert_non_null(note);
    memset(note, '\n', NOTE_SIZE_MAX + 1);
    assert_int_equal(stream_format_checkpoint(note, NOTE_SIZE_MAX, &line, &size), KAART_OK);
    assert_ok(read_pieces(line, size, SIZE_MAX, &log));
    free(line);
    assert_int_equal(stream_format_checkpoint(note, NOTE_SIZE_MAX + 1, &line, &size), KAART_OK);
    assert_fault(read_pieces(line, size, SIZE_MAX, &log), KAART_LIMIT, "NOTE-1");
    free(line);
    free(note);
}

static void test_entries_max(void **state)
{
    static const char two[] = ENTRY(3) ENTRY(4), end[] = "{\"checkpoint\":\"\"}\n";
    struct log log = {.text = ""};
    struct stream_reader *reader = new_reader(&log, 0, 2);

    (void)state;
    assert_ok(stream_reader_write(reader, two, strlen(two), &fault));
    assert_ok(stream_reader_write(reader, end, strlen(end), &fault));
    assert_ok(stream_reader_finish(reader, &fault));
    stream_reader_free(reader);
    reader = new_reader(&log, 0, 1);
    assert_fault(stream_reader_write(reader, two, strlen(two), &fault), KAART_LIMIT, "SYNC-5");
    stream_reader_free(reader);
}

/* The first fault stays, whatever comes after it; and whoever listens can refuse. */
static void test_first_fault(void **state)
{
    static const char stream[] = ENTRY(3) "{\"checkpoint\":\"\"}\n";
    struct log log = {.refuse_entry = KAART_IO};
    struct stream_reader *reader = new_reader(&log, 0, 0);

    (void)state;
    assert_fault(stream_reader_write(reader, stream, strlen(stream), &fault), KAART_IO, "no more");
    assert_fault(stream_reader_write(reader, "x", 1, &fault), KAART_IO, "no more");
    assert_fault(stream_reader_write(reader, "", 0, &fault), KAART_IO, "no more");
    assert_fault(stream_reader_finish(reader, &fault), KAART_IO, "no more");
    assert_int_equal(stream_reader_finish(reader, NULL), KAART_IO);
    assert_string_equal(log.text, "3;");
    stream_reader_free(reader);
    log = (struct log){.refuse_checkpoint = KAART_SIGNATURE};
    assert_fault(read_all(stream, &log), KAART_SIGNATURE, "not this one");
    log = (struct log){.refuse_next = KAART_BUSY};
    assert_fault(read_all(ENTRY(3) "{\"next\":4}\n", &log), KAART_BUSY, "stop");
}

static void test_format(void **state)
{
    char *line;
    size_t size;

    (void)state;
    assert_int_equal(stream_format_checkpoint("a \"b\"\\\n\xe2\x80\x94\n", 11, &line, &size), KAART_OK);
    assert_string_equal(line, "{\"checkpoint\":\"a \\\"b\\\"\\\\\\n\xe2\x80\x94\\n\"}\n");
    assert_int_equal(size, strlen(line));
    free(line);
    assert_int_equal(stream_format_next(SEQ_MAX + 1, &line, &size), KAART_OK);
    assert_string_equal(line, "{\"next\":1099511627776}\n");
    assert_int_equal(size, strlen(line));
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_order),       cmocka_unit_test(test_control_lines),
        cmocka_unit_test(test_line_size),   cmocka_unit_test(test_note_size),
        cmocka_unit_test(test_entries_max), cmocka_unit_test(test_first_fault),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
