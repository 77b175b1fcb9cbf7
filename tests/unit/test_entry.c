/* test_entry.c - the envelope: each member, each rule, and what an origin writes. */
#include "protocol/entry.h"
#include "tests/unit/unit.h"

#define ID "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e"
#define ENVELOPE                                                                                             \
    "\"kind\":\"service\",\"id\":\"" ID                                                                      \
    "\",\"source\":\"desk\",\"role\":\"editor\",\"at\":\"2026-11-21T19:04:05.123Z\""

static struct fault fault;
static struct entry entry;

static int parse(const char *line)
{
    return entry_parse(line, strlen(line), &entry, &fault);
}

/* An assert with these members before the rest; refused, and the text names the member or clause. */
static void refuses(const char *line, const char *words)
{
    fault.text[0] = '\0';
    if (parse(line) == KAART_OK)
        fail_msg("accepted %s", line);
    if (!strstr(fault.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", line, fault.text, words);
}

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.data, text, span.size) == 0;
}

static void test_everything(void **state)
{
    (void)state;
    assert_ok(parse("{\"seq\":41,\"op\":\"assert\"," ENVELOPE
                    ",\"verified\":\"2026-11-01\",\"missing_since\":\"2026-11-02\","
                    "\"on_behalf_of\":\"" ID "\",\"salt\":\"00112233445566778899aabbccddeeff\","
                    "\"areas\":[\"GM0356\", "
                    "\"WK035601\",\"BU03560101\"],\"x_more\":{\"a\":1},\"body\":{\"name\":\"n\"}}"));
    assert_int_equal(entry.seq, 41);
    assert_int_equal(entry.op, ENTRY_ASSERT);
    assert_string_equal(entry.kind, "service");
    assert_string_equal(entry.id, ID);
    assert_string_equal(entry.source, "desk");
    assert_string_equal(entry.role, "editor");
    assert_int_equal(entry.at_ms, 1795287845123);
    assert_int_equal(entry.missing_since - entry.verified, 1);
    assert_true(span_is(entry.on_behalf_of, ID));
    assert_true(span_is(entry.salt, "00112233445566778899aabbccddeeff"));
    assert_true(span_is(entry.areas, "[\"GM0356\", \"WK035601\",\"BU03560101\"]"));
    assert_true(span_is(entry.body, "{\"name\":\"n\"}"));
}

static void test_least(void **state)
{
    (void)state;
    assert_ok(parse("{\"seq\":0,\"op\":\"retract\"," ENVELOPE "}"));
    assert_int_equal(entry.op, ENTRY_RETRACT);
    assert_int_equal(entry.verified, DAY_NONE);
    assert_int_equal(entry.missing_since, DAY_NONE);
    assert_null(entry.on_behalf_of.data);
    assert_null(entry.salt.data);
    assert_null(entry.areas.data);
    assert_null(entry.body.data);
    assert_ok(parse("{" ENVELOPE ",\"op\":\"erase\",\"seq\":1099511627775}"));
    assert_int_equal(entry.op, ENTRY_ERASE);
    assert_true(entry.seq == SEQ_MAX);
    assert_ok(parse("{\"seq\":0,\"op\":\"assert\"," ENVELOPE ",\"areas\":[],\"body\":{}}"));
    assert_true(span_is(entry.areas, "[]"));
}

/* [ENTRY-4]: each required member, and each value of the table. */
static void test_members(void **state)
{
    (void)state;
    refuses("{\"op\":\"retract\"," ENVELOPE "}", "seq is missing");
    refuses("{\"seq\":1," ENVELOPE "}", "op is missing");
    refuses("{\"seq\":1,\"op\":\"retract\",\"id\":\"" ID
            "\",\"source\":\"a\",\"role\":\"a\",\"at\":\"2026-11-21T19:04:05.123Z\"}",
            "kind is missing");
    refuses("{\"seq\":1,\"op\":\"retract\",\"kind\":\"a\",\"source\":\"a\",\"role\":\"a\",\"at\":\"2026-11-"
            "21T19:04:05.123Z\"}",
            "id is missing");
    refuses("{\"seq\":1,\"op\":\"retract\",\"kind\":\"a\",\"id\":\"" ID
            "\",\"role\":\"a\",\"at\":\"2026-11-21T19:04:05.123Z\"}",
            "source is missing");
    refuses("{\"seq\":1,\"op\":\"retract\",\"kind\":\"a\",\"id\":\"" ID
            "\",\"source\":\"a\",\"at\":\"2026-11-21T19:04:05.123Z\"}",
            "role is missing");
    refuses("{\"seq\":1,\"op\":\"retract\",\"kind\":\"a\",\"id\":\"" ID "\",\"source\":\"a\",\"role\":\"a\"}",
            "at is missing");
    refuses("{\"seq\":1,\"op\":\"assert\"," ENVELOPE "}", "assert without a body [ENTRY-5]");
    refuses("{\"seq\":1,\"op\":\"retract\"," ENVELOPE ",\"body\":{}}", "retract with a body [ENTRY-5]");
    refuses("{\"seq\":1,\"op\":\"erase\"," ENVELOPE ",\"body\":{}}", "erase with a body [ENTRY-5]");
    refuses("{\"seq\":1,\"op\":\"close\"," ENVELOPE "}", "ENTRY-5");
    refuses("{\"seq\":1,\"op\":\"Assert\"," ENVELOPE ",\"body\":{}}", "ENTRY-5");
    refuses("{\"seq\":1,\"op\":1," ENVELOPE "}", "ENTRY-5");
    refuses("{\"seq\":1,\"op\":\"assert\"," ENVELOPE ",\"body\":[]}", "body must be");
    refuses("{\"seq\":1,\"op\":\"assert\"," ENVELOPE ",\"body\":null}", "body must be");
    refuses("{\"seq\":1,\"op\":\"retract\"," ENVELOPE ",\"next\":5}", "ENTRY-6");
    refuses("{\"seq\":1,\"op\":\"retract\"," ENVELOPE ",\"checkpoint\":\"\"}", "ENTRY-6");
}

/* Values that must be refused for a member. */
static void test_values(void **state)
{
    static const struct {
        const char *name, *values[12];
    } cases[] = {
        {"seq", {"-1", "1.0", "1e0", "\"1\"", "1099511627776", "true", "null", "-0"}},
        {"kind",
         {"\"\"", "\"Service\"", "\"a b\"", "1", "null", "\"\\u0061\"",
          "\"abcdefghijklmnopqrstuvwxyz0123456\""}},
        {"source", {"\"9\"", "[]", "\"a/b\""}},
        {"role", {"\"\"", "{}", "false"}},
        {"id",
         {"\"\"", "\"0B6E7A52-6D8A-5C3E-9F55-1F0A2B3C4D5E\"", "\"0b6e7a526d8a5c3e9f551f0a2b3c4d5e\"",
          "null"}},
        {"at",
         {"\"2026-11-21T19:04:05Z\"", "\"2026-11-21T19:04:05.123+00:00\"", "\"2026-02-30T19:04:05.123Z\"",
          "1795287845123"}},
        {"verified", {"\"2026-11-1\"", "\"2026-11-31\"", "null", "\"\"", "20261101"}},
        {"missing_since", {"\"2026-11-31\"", "null"}},
        {"on_behalf_of", {"\"x\"", "null", "[]", "\"0B6E7A52-6D8A-5C3E-9F55-1F0A2B3C4D5E\""}},
        {"salt",
         {"\"\"", "\"00112233445566778899AABBCCDDEEFF\"", "\"00112233445566778899aabbccddeef\"",
          "\"00112233445566778899aabbccddeeff0\"", "null"}},
        {"areas",
         {"\"GM0356\"", "null", "[\"GM356\"]", "[356]", "[[\"GM0356\"]]", "[null]", "[\"\"]",
          "[\"G\\u004d0356\"]", "{}"}},
    };
    static const char *const rest[] = {"\"seq\":1",           "\"kind\":\"service\"",
                                       "\"source\":\"desk\"", "\"role\":\"editor\"",
                                       "\"id\":\"" ID "\"",   "\"at\":\"2026-11-21T19:04:05.123Z\""};

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (const char *const *value = cases[c].values; *value; value++) {
            char line[600];
            size_t used =
                (size_t)snprintf(line, sizeof line, "{\"op\":\"retract\",\"%s\":%s", cases[c].name, *value);

            for (size_t r = 0; r < 6; r++)
                if (strncmp(rest[r] + 1, cases[c].name, strlen(cases[c].name)) != 0)
                    used += (size_t)snprintf(line + used, sizeof line - used, ",%s", rest[r]);
            snprintf(line + used, sizeof line - used, "}");
            refuses(line, cases[c].name);
        }
}

/* [ENTRY-2]: no escapes in the envelope, though JSON would have them mean the same. [ENTRY-7]: what is
 * unknown is kept. */
static void test_escapes_and_unknown(void **state)
{
    (void)state;
    refuses("{\"\\u0073eq\":1,\"op\":\"retract\"," ENVELOPE "}", "ENTRY-2");
    refuses("{\"seq\":1,\"op\":\"retract\"," ENVELOPE ",\"ne\\u0078t\":1}", "ENTRY-2");
    refuses("{\"seq\":1,\"op\":\"r\\u0065tract\"," ENVELOPE "}", "ENTRY-2");
    assert_ok(
        parse("{\"seq\":1,\"op\":\"retract\"," ENVELOPE ",\"x\":\"\\u0041\",\"Seq\":\"-\",\"bodyy\":3}"));
    refuses("{\"seq\":1,\"op\":\"assert\"," ENVELOPE ",\"body\":{\"\\u0073eq\":2,\"seq\":3}}", "JSON-5");
    assert_ok(parse("{\"seq\":1,\"op\":\"assert\"," ENVELOPE ",\"body\":{\"next\":1,\"\\u0073eq\":2}}"));
    assert_ok(
        parse("{\"seq\":1,\"op\":\"assert\",\"kind\":\"spaceship\",\"id\":\"" ID
              "\",\"source\":\"a\",\"role\":\"pilot\",\"at\":\"2026-11-21T19:04:05.123Z\",\"body\":{}}"));
}

/* [JSON-10]: 65,536 bytes are a line, one more is not. */
static void test_size(void **state)
{
    static const char head[] = "{\"seq\":1,\"op\":\"assert\"," ENVELOPE ",\"body\":{\"d\":\"";
    char *line = malloc(ENTRY_SIZE_MAX + 2);

    (void)state;
    assert_non_null(line);
    memset(line, 'x', ENTRY_SIZE_MAX + 1);
    memcpy(line, head, sizeof head - 1);
    memcpy(line + ENTRY_SIZE_MAX - 3, "\"}}", 3);
    assert_ok(entry_parse(line, ENTRY_SIZE_MAX, &entry, &fault));
    memcpy(line + ENTRY_SIZE_MAX - 3, "x\"}}", 4);
    assert_fault(entry_parse(line, ENTRY_SIZE_MAX + 1, &entry, &fault), KAART_LIMIT, "JSON-10");
    free(line);
}

static void test_key(void **state)
{
    struct hasher *hasher = hasher_new();
    struct entry_key a, b;
    struct hash hash;

    (void)state;
    assert_non_null(hasher);
    assert_int_equal(entry_key(hasher, "service", ID, "desk", &a), KAART_OK);
    assert_int_equal(hasher_digest(hasher, "service\0" ID "\0desk", 8 + 37 + 4, &hash), KAART_OK);
    assert_memory_equal(a.bytes, hash.bytes, sizeof a.bytes);
    assert_int_equal(entry_key(hasher, "servic", ID, "edesk", &b), KAART_OK);
    assert_memory_not_equal(a.bytes, b.bytes, sizeof a.bytes);
    hasher_free(hasher);
}

static struct entry sample(void)
{
    return (struct entry){
        .seq = 7,
        .op = ENTRY_ASSERT,
        .kind = "service",
        .id = ID,
        .source = "desk",
        .role = "provider",
        .at_ms = 1795287845123,
        .verified = 20758,
        .missing_since = 20760,
        .on_behalf_of = {ID, UUID_TEXT_SIZE},
        .salt = {"00112233445566778899aabbccddeeff", 32},
        .areas = {"[\"GM0356\"]", 10},
        .body = {"{\"name\":\"n\"}", 12},
    };
}

static void test_format(void **state)
{
    struct entry made = sample();
    char *line;
    size_t size;

    (void)state;
    assert_ok(entry_format(&made, &line, &size, &fault));
    assert_int_equal(
        strncmp(line,
                "{\"seq\":7,\"op\":\"assert\",\"kind\":\"service\",\"id\":\"" ID
                "\",\"source\":\"desk\",\"role\":\"provider\",\"at\":\"2026-11-21T19:04:05.123Z\","
                "\"verified\":\"2026-11-01\",\"missing_since\":\"2026-11-03\",\"on_behalf_of\":\"" ID
                "\",\"salt\":\"00112233445566778899aabbccddeeff\",\"areas\":[\"GM0356\"],\"body\":{\"name\":"
                "\"n\"}}",
                size),
        0);
    free(line);
    made = sample();
    made.op = ENTRY_RETRACT;
    made.verified = made.missing_since = DAY_NONE;
    made.on_behalf_of = made.salt = made.areas = made.body = (struct span){NULL, 0};
    assert_ok(entry_format(&made, &line, &size, &fault));
    assert_ok(entry_parse(line, size, &entry, &fault));
    free(line);
}

/* A node never signs what others refuse, nor what a body smuggles into the envelope. */
static void test_format_refuses(void **state)
{
    struct entry made;
    char *line = NULL;
    size_t size;

#define refused(change, code, words)                                                                         \
    do {                                                                                                     \
        made = sample();                                                                                     \
        change;                                                                                              \
        assert_fault(entry_format(&made, &line, &size, &fault), code, words);                                \
    } while (0)

    (void)state;
    refused(made.seq = SEQ_MAX + 1, KAART_SYNTAX, "seq");
    refused(made.kind[0] = 'S', KAART_SYNTAX, "kind");
    refused(made.id[0] = 'x', KAART_SYNTAX, "id");
    refused(made.source[0] = '\0', KAART_SYNTAX, "source");
    refused(made.body = ((struct span){NULL, 0}), KAART_SYNTAX, "ENTRY-5");
    refused(made.op = ENTRY_ERASE, KAART_SYNTAX, "ENTRY-5");
    refused(made.body = ((struct span){"{\"a\":1", 6}), KAART_SYNTAX, "JSON");
    refused(made.body = ((struct span){"{\n}", 3}), KAART_SYNTAX, "JSON");
    refused(made.body = ((struct span){"{},\"x\":{}", 9}), KAART_SYNTAX, "not one JSON value");
    refused(made.areas = ((struct span){"[],\"verified2\":[]", 17}), KAART_SYNTAX, "not one JSON value");
    refused(made.areas = ((struct span){"[\"NL\"]", 6}), KAART_SYNTAX, "areas");
    refused(made.salt = ((struct span){"00", 2}), KAART_SYNTAX, "salt");
    refused(made.on_behalf_of = ((struct span){"x\",\"y\":\"z", 9}), KAART_SYNTAX, "on_behalf_of");
    assert_null(line);
}

/* Any byte of a line changed: still refused, or an entry with sound members. */
static void test_mutations(void **state)
{
    struct random random = random_start("entry mutations");
    struct entry made = sample();
    char *line;
    size_t size;

    (void)state;
    assert_ok(entry_format(&made, &line, &size, &fault));
    for (int i = 0; i < 50000; i++) {
        size_t at = random_below(&random, size);
        char was = line[at];

        line[at] = (char)random_below(&random, 256);
        if (entry_parse(line, size, &entry, &fault) == KAART_OK) {
            assert_true(entry.seq <= SEQ_MAX);
            assert_true(syntax_is_name(entry.kind, strlen(entry.kind)));
            assert_true(syntax_is_uuid(entry.id, strlen(entry.id)));
            assert_true((entry.op == ENTRY_ASSERT) == (entry.body.data != NULL));
        }
        line[at] = was;
    }
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_escapes_and_unknown),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_refuses),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
