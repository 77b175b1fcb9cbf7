/* test_json.c - the strict check: every rule, both sides of every limit; and the look-ups on trees. */
#include "protocol/json.h"
#include "protocol/limits.h"
#include "tests/unit/unit.h"

static struct fault fault;

static int check_object(const char *text)
{
    return json_check_object(text, strlen(text), NULL, NULL, &fault);
}

static int check_document(const char *text)
{
    return json_check_document(text, strlen(text), 0, &fault);
}

static void accepts(const char *text)
{
    if (check_object(text) != KAART_OK)
        fail_msg("refused %s: %s", text, fault.text);
}

/* Refused, and for this reason. */
static void refuses(const char *text, const char *why)
{
    fault.text[0] = '\0';
    if (check_object(text) == KAART_OK)
        fail_msg("accepted %s", text);
    if (!strstr(fault.text, why))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, fault.text, why);
}

static void test_grammar(void **state)
{
    (void)state;
    accepts("{}");
    accepts("{ }");
    accepts("{\"a\":[]}");
    accepts("{ \"a\" : [ 1 , -2.5e+3 , true , false , null , \"x\" , { } , [ ] ] , \"b\" : { \"a\" : 1 } }");
    refuses("", "JSON-9");
    refuses("{", "JSON-9");
    refuses("[]", "JSON-9");
    refuses(" {}", "JSON-9");
    refuses("{} ", "JSON-9");
    refuses("{}{}", "JSON-9");
    refuses("{},{}", "JSON-9");
    refuses("\"{}\"", "JSON-9");
    refuses("{\"a\"}", "8259");
    refuses("{\"a\":}", "8259");
    refuses("{\"a\":1,}", "8259");
    refuses("{,\"a\":1}", "8259");
    refuses("{\"a\":1 \"b\":2}", "8259");
    refuses("{a:1}", "8259");
    refuses("{'a':1}", "8259");
    refuses("{\"a\":[1,]}", "8259");
    refuses("{\"a\":[,1]}", "8259");
    refuses("{\"a\":[1 2]}", "8259");
    refuses("{\"a\":[1}", "8259");
    refuses("{\"a\":tru}", "8259");
    refuses("{\"a\":True}", "8259");
    refuses("{\"a\":nullx}", "8259");
    refuses("{\"a\":NaN}", "8259");
    refuses("{\"a\":/**/1}", "8259");
    refuses("{\"a\":\"x}", "8259");
    refuses("{\"a:1}", "8259");
    refuses("{\"a\":\"x\\\"}", "8259");
}

static void test_numbers(void **state)
{
    static const char *const good[] = {"0",
                                       "-0",
                                       "10",
                                       "0.0",
                                       "-0.5",
                                       "1e0",
                                       "1E-999999999999",
                                       "0e999999999999",
                                       "0.000e400",
                                       "1.0E+2",
                                       "9007199254740992",
                                       "-9007199254740992",
                                       "9007199254740993.0",
                                       "1e308",
                                       "1.7976931348623157e308",
                                       "1.7976931348623158e308",
                                       "0.017976931348623157e310",
                                       "17976931348623157e292"};
    static const char *const grammar[] = {"00", "01",  "-01", "+1",   ".5",  "1.",  "1.e2",
                                          "1e", "1e+", "-",   "0x10", "1_0", "--1", "1e1.5"};
    static const char *const large[] = {"9007199254740993",
                                        "-9007199254740993",
                                        "99999999999999999999",
                                        "1e309",
                                        "-1e309",
                                        "1.8e308",
                                        "0.0001e313",
                                        "1e99999999999999999999",
                                        "1.797693134862315807937289714053035e308"};
    char text[80];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(text, sizeof text, "{\"a\":%s}", good[i]);
        accepts(text);
    }
    for (size_t i = 0; i < sizeof grammar / sizeof grammar[0]; i++) {
        snprintf(text, sizeof text, "{\"a\":%s}", grammar[i]);
        refuses(text, "8259");
    }
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        snprintf(text, sizeof text, "{\"a\":%s}", large[i]);
        refuses(text, "JSON-8");
    }
}

/* The check of finiteness against the C library's conversion (in the C locale, in which tests run). */
static void test_finite(void **state)
{
    struct random random = random_start("finite");

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[120];
        int zeros = (int)random_below(&random, 4);
        double value;
        bool finite;

        snprintf(text, sizeof text, "{\"a\":%s%.*s%llu.%.*s%lluE%d}", random_below(&random, 2) ? "-" : "",
                 zeros ? 0 : 3, zeros ? "" : "179", (unsigned long long)(1 + random_below(&random, 1000000)),
                 zeros, "000", (unsigned long long)random_below(&random, 1000000),
                 (int)random_below(&random, 30) + 290);
        value = strtod(text + 5, NULL);
        finite = !(value - value != 0); /* not so for an infinity */
        if ((check_object(text) == KAART_OK) != finite)
            fail_msg("%s: %s", text, finite ? fault.text : "accepted");
    }
    /* the least that rounds to infinity, and one below it in the last digit */
    {
        static const char digits[] =
            "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587"
            "207096330286"
            "416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730"
            "270069855571"
            "36695962284291481986083493647529271907416844436551070434271155969950809304288017790417449779";
        char text[400];

        assert_int_equal(strlen(digits), 308);
        snprintf(text, sizeof text, "{\"a\":%s2.0}", digits);
        refuses(text, "JSON-8");
        snprintf(text, sizeof text, "{\"a\":%s1.99999}", digits);
        accepts(text);
        snprintf(text, sizeof text, "{\"a\":0.%s2e309}", digits);
        refuses(text, "JSON-8");
    }
}

static void test_strings(void **state)
{
    (void)state;
    accepts("{\"a\":\"\\\"\\\\\\/"
            "\\b\\f\\n\\r\\t\\u00e9\\uD83C\\uDF37\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xb7\x7f\"}");
    refuses("{\"a\":\"\\x\"}", "8259");
    refuses("{\"a\":\"\\u12\"}", "8259");
    refuses("{\"a\":\"\\u12g4\"}", "8259");
    refuses("{\"a\":\"\\uD800\"}", "JSON-2");
    refuses("{\"a\":\"\\uDC00\"}", "JSON-2");
    refuses("{\"a\":\"\\uD800x\"}", "JSON-2");
    refuses("{\"a\":\"\\uD800\\n\"}", "JSON-2");
    refuses("{\"a\":\"\\uD800\\uD800\"}", "JSON-2");
    refuses("{\"a\":\"\\uDC00\\uD800\"}", "JSON-2");
    refuses("{\"\\udfff\":1}", "JSON-2");
    refuses("{\"a\":\"\\u0000\"}", "JSON-3");
    refuses("{\"a\\u0000\":1}", "JSON-3");
    refuses("{\"a\":\"\t\"}", "JSON-4");
    refuses("{\"a\":\"\x1f\"}", "JSON-4");
    refuses("{\"\n\":1}", "JSON-4");
    refuses("{\"a\":\"\xc0\x80\"}", "JSON-1");
    refuses("{\"a\":\"\xed\xa0\x80\"}", "JSON-1");
    refuses("{\"a\":\"\xc3\"}", "JSON-1");
    refuses("{\"\xff\":1}", "JSON-1");
    assert_int_equal(json_check_object("{\"a\":\"\0\"}", 9, NULL, NULL, &fault), KAART_SYNTAX);
    assert_int_equal(json_check_object("{\0}", 3, NULL, NULL, &fault), KAART_SYNTAX);
    /* every byte at every place of a word of eight */
    for (int byte = 0; byte < 256; byte++)
        for (int place = 0; place < 17; place++) {
            char text[32] = "{\"a\":\"aaaaaaaaaaaaaaaaa\"}";
            bool good = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

            text[6 + place] = (char)byte;
            assert_int_equal(json_check_object(text, 25, NULL, NULL, &fault) == KAART_OK, good);
        }
}

/* White space other than space only in documents [JSON-4]. */
static void test_white_space(void **state)
{
    (void)state;
    refuses("{\t\"a\":1}", "8259");
    refuses("{\"a\":1\n}", "8259");
    assert_ok(check_document("\r\n\t {\n\"a\" :\t[ 1 ,\r2 ] } \n"));
    assert_ok(check_document("[]"));
    assert_ok(check_document(" 1 "));
    assert_ok(check_document("\"x\""));
    assert_fault(check_document(""), KAART_SYNTAX, "no value");
    assert_fault(check_document("  "), KAART_SYNTAX, "no value");
    assert_fault(check_document("[]x"), KAART_SYNTAX, "more after");
    assert_fault(check_document("\xef\xbb\xbf{}"), KAART_SYNTAX, "no value");
    assert_fault(check_document("{\"a\":\"\n\"}"), KAART_SYNTAX, "JSON-4");
    assert_fault(check_document("\v[]"), KAART_SYNTAX, "no value");
}

static void test_duplicates(void **state)
{
    (void)state;
    accepts("{\"a\":1,\"A\":2,\"a \":3,\"\":4,\"aa\":5,\"\xc3\xa9\":6}");
    accepts("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}");
    refuses("{\"a\":1,\"a\":1}", "duplicate member \"a\" at byte 8 [JSON-5]");
    refuses("{\"\":1,\"\":1}", "JSON-5");
    refuses("{\"a\":1,\"b\":2,\"a\":3}", "JSON-5");
    refuses("{\"x\":{\"a\":1,\"a\":2}}", "JSON-5");
    refuses("{\"x\":[[{\"a\":1,\"a\":2}]]}", "JSON-5");
    refuses("{\"a\":{\"b\":1},\"c\":{\"d\":1},\"a\":1}", "JSON-5");
    refuses("{\"a\":1,\"\\u0061\":1}", "JSON-5");
    refuses("{\"\\u0061\":1,\"\\u0061\":1}", "JSON-5");
    refuses("{\"/\":1,\"\\/\":1}", "JSON-5");
    refuses("{\"\xc3\xa9\":1,\"\\u00E9\":1}", "JSON-5");
    refuses("{\"\xf0\x9f\x8c\xb7\":1,\"\\ud83c\\udf37\":1}", "JSON-5");
    accepts("{\"\\\\u0061\":1,\"\\u0061\":1}");
}

/* `count` members in an object within `depth` arrays; the one at `repeat` is named as the one at `as`,
 * escaped. */
static char *members(size_t count, size_t repeat, size_t as)
{
    char *text = malloc(count * 32 + 3);
    size_t used = 1;

    assert_non_null(text);
    text[0] = '{';
    for (size_t i = 0; i < count; i++)
        used += (size_t)sprintf(text + used, i == repeat ? "%s\"m\\u0065mber%zu\":0" : "%s\"member%zu\":0",
                                i ? "," : "", i == repeat ? as : i);
    strcpy(text + used, "}");
    return text;
}

/* Duplicates among few and among many names, and [JSON-7]. */
static void test_many_members(void **state)
{
    static const size_t counts[] = {2, 23, 24, 25, 26, 27, 127, 128, 129, 130, 1024};
    char *text;

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t count = counts[i];

        text = members(count, count, 0);
        accepts(text);
        free(text);
        for (size_t place = 1; place<count; place += count> 200 ? 341 : 1) {
            text = members(count, place, place / 2);
            refuses(text, "JSON-5");
            free(text);
        }
    }
    text = members(JSON_MEMBERS_MAX + 1, SIZE_MAX, 0);
    assert_fault(check_object(text), KAART_LIMIT, "JSON-7");
    assert_fault(check_document(text), KAART_LIMIT, "JSON-7");
    assert_ok(json_check_document(text, strlen(text), JSON_MEMBERS_MAX + 1, &fault));
    assert_fault(json_check_document(text, strlen(text), 10, &fault), KAART_LIMIT, "more than 10 members");
    free(text);
}

static char *nested(size_t depth, const char *open, const char *close)
{
    char *text = calloc(1, depth * (strlen(open) + strlen(close)) + 16);

    assert_non_null(text);
    strcpy(text, "{\"a\":");
    for (size_t i = 1; i < depth; i++)
        strcat(text, open);
    strcat(text, "1");
    for (size_t i = 1; i < depth; i++)
        strcat(text, close);
    strcat(text, "}");
    return text;
}

/* [JSON-6] */
static void test_depth(void **state)
{
    static const char *const shapes[][2] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"b\":0,\"a\":[", "]}]"}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *text = nested(JSON_DEPTH_MAX, shapes[i][0], shapes[i][1]);

        accepts(text);
        free(text);
        text = nested(JSON_DEPTH_MAX + 1, shapes[i][0], shapes[i][1]);
        assert_fault(check_object(text), KAART_LIMIT, "JSON-6");
        free(text);
    }
    {
        char *text = nested(20000, shapes[2][0], shapes[2][1]);

        assert_fault(check_object(text), KAART_LIMIT, "JSON-6");
        free(text);
    }
}

struct log {
    char text[400];
    size_t stop_after;
};

static int log_member(void *context, struct span name, struct span value, struct fault *out)
{
    struct log *log = context;
    size_t used = strlen(log->text);

    snprintf(log->text + used, sizeof log->text - used, "%.*s=%.*s;", (int)name.size, name.data,
             (int)value.size, value.data);
    if (log->stop_after && --log->stop_after == 0)
        return fault_set(out, KAART_INVALID, "enough");
    return KAART_OK;
}

static void test_callback(void **state)
{
    static const char text[] = "{\"a\": 1,\"\\u0062\":\"x\",\"c\":{\"d\":[1, 2]} ,\"e\":[ ]}";
    struct log log = {"", 0};

    (void)state;
    assert_ok(json_check_object(text, strlen(text), log_member, &log, &fault));
    assert_string_equal(log.text, "a=1;\\u0062=\"x\";c={\"d\":[1, 2]};e=[ ];");
    log = (struct log){"", 2};
    assert_fault(json_check_object(text, strlen(text), log_member, &log, &fault), KAART_INVALID, "enough");
    assert_string_equal(log.text, "a=1;\\u0062=\"x\";");
}

static void unescapes(const char *value, const char *wanted)
{
    size_t size;
    char *text = json_unescape((struct span){value, strlen(value)}, &size);

    assert_non_null(text);
    assert_int_equal(size, strlen(wanted));
    assert_string_equal(text, wanted);
    free(text);
}

static void test_unescape(void **state)
{
    (void)state;
    unescapes("\"\"", "");
    unescapes("\"plain \xc3\xa9\"", "plain \xc3\xa9");
    unescapes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    unescapes("\"\\u0041\\u00e9\\u20AC\\ud83c\\udf37\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xb7");
}

static void test_parse_and_get(void **state)
{
    static const char text[] = "{\"name\":\"x\",\"Name\":\"y\",\"n\":1,\"o\":{\"z\":null}}";
    cJSON *tree = json_parse(text, strlen(text), &fault);

    (void)state;
    assert_non_null(tree);
    assert_string_equal(json_get_string(tree, "name"), "x");
    assert_string_equal(json_get_string(tree, "Name"), "y");
    assert_null(json_get_string(tree, "NAME"));
    assert_null(json_get_string(tree, "n"));
    assert_true(cJSON_IsNull(json_get(json_get(tree, "o"), "z")));
    assert_null(json_get(json_get(tree, "n"), "z"));
    assert_null(json_get(NULL, "z"));
    cJSON_Delete(tree);
    assert_null(json_parse("{\"a\":1,\"a\":2}", 13, &fault));
    assert_non_null(strstr(fault.text, "JSON-5"));
}

static bool equal(const char *a, const char *b)
{
    cJSON *x = cJSON_Parse(a), *y = cJSON_Parse(b);
    bool same = json_equal(x, y);

    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(same, json_equal(y, x));
    cJSON_Delete(x);
    cJSON_Delete(y);
    return same;
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(
        equal("{\"a\":1,\"b\":[true,null,\"x\"]}", "{ \"b\": [true, null, \"\\u0078\"], \"a\": 1.0 }"));
    assert_true(equal("{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":3,\"a\":1,\"b\":2}"));
    assert_true(equal("[]", "[]"));
    assert_false(equal("{\"a\":1}", "{\"A\":1}"));
    assert_false(equal("{\"a\":1}", "{\"a\":1,\"b\":1}"));
    assert_false(equal("{\"a\":null}", "{\"b\":null}"));
    assert_false(equal("[1,2]", "[2,1]"));
    assert_false(equal("[1]", "[1,1]"));
    assert_false(equal("{}", "[]"));
    assert_false(equal("0", "false"));
    assert_false(equal("true", "false"));
    assert_false(equal("1", "1.0000000001"));
    assert_false(equal("\"a\"", "\"b\""));
    assert_true(json_equal(NULL, NULL));
}

/* Whatever the check lets through, cJSON reads; so do mutations of valid texts, the few of them that pass. */
static void test_mutations(void **state)
{
    static const char seed[] = "{\"a\":[1,-2.5e3,true,false,null,\"x\\u00e9\\n\xc3\xa9\"],\"b\":{\"c\":\"\","
                               "\"d\":[{}]},\"e\":\"\\ud83c\\udf37\"}";
    struct random random = random_start("mutations");
    int passed = 0;

    (void)state;
    for (int round = 0; round < 50000; round++) {
        char text[sizeof seed];
        size_t size = sizeof seed - 1;

        memcpy(text, seed, sizeof seed);
        for (uint64_t changes = 1 + random_below(&random, 3); changes > 0; changes--)
            text[random_below(&random, size)] = (char)random_below(&random, 256);
        if (json_check_object(text, size, NULL, NULL, &fault) == KAART_OK) {
            cJSON *tree = json_parse(text, size, &fault);

            assert_non_null(tree);
            cJSON_Delete(tree);
            passed++;
        }
        /* cut anywhere, nothing is valid */
        assert_int_not_equal(json_check_object(seed, random_below(&random, size), NULL, NULL, &fault),
                             KAART_OK);
    }
    assert_true(passed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_finite),        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_white_space),   cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_many_members),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_callback),      cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_parse_and_get), cmocka_unit_test(test_equal),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
