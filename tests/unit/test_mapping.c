/*
 * test_mapping.c - mapping files good and bad, every way a value can be had and converted, identities. spec/sources.md.
 */
#include "daemon/source/mapping.h"
#include "protocol/identity.h"
#include "protocol/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A mapping of one record whose members are FIELDS. Single quotes stand for double ones, for reading. */
#define HEAD "{'mapping':1,'rows':'/items','tables':{'t':{'J':true,'N':false,'*':'anders'}},'records':["
#define RECORD(fields) "{'name':'main','kind':'organization','id':{'external':'/id'},'fields':{" fields "}}"
#define ONE(fields) HEAD RECORD(fields) "]}"

static char *quotes(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p != '\0'; p++)
        *p = *p == '\'' ? '"' : *p;
    return copy;
}

static struct mapping *load(const char *text)
{
    struct mapping *mapping = NULL;
    struct fault fault = {""};
    char *json = quotes(text);
    if (mapping_load(json, strlen(json), NULL, NULL, &mapping, &fault) != KAART_OK)
        fail_msg("%s", fault.text);
    free(json);
    return mapping;
}

static struct mapping_context context = {.origin = "nieuwegein.example",
                                         .source = "care",
                                         .secret = (const unsigned char *)"0123456789abcdef0123456789abcdef"};

static void map_row(const struct mapping *mapping, const char *row, struct mapping_output *output)
{
    char *json = quotes(row);
    cJSON *parsed = cJSON_Parse(json);
    assert_non_null(parsed);
    context.hasher = hasher_new();
    *output = (struct mapping_output){0};
    assert_int_equal(mapping_row(mapping, &context, parsed, 7, output), KAART_OK);
    hasher_free(context.hasher);
    cJSON_Delete(parsed);
    free(json);
}

/* The body of the one record that fields make of a row, as text with single quotes. */
static char *body_of(const char *fields, const char *row, struct mapping_output *output)
{
    char file[4000], *text = NULL;
    snprintf(file, sizeof(file),
             HEAD "{'name':'main','kind':'organization','id':{'external':'/id'},'fields':{%s}}]}", fields);
    struct mapping *mapping = load(file);
    map_row(mapping, row, output);
    assert_int_equal(output->record_count, 1);
    if (output->records[0].body != NULL)
        text = cJSON_PrintUnformatted(output->records[0].body);
    for (char *p = text; p != NULL && *p != '\0'; p++)
        *p = *p == '"' ? '\'' : *p;
    mapping_free(mapping);
    return text;
}

static void expect(const char *fields, const char *row, const char *expected)
{
    struct mapping_output output;
    char *text = body_of(fields, row, &output);
    for (size_t i = 0; i < output.problem_count && text == NULL; i++)
        print_message("%s: %s\n", output.problems[i].field, output.problems[i].message);
    assert_non_null(text);
    assert_string_equal(text, expected);
    mapping_output_clear(&output);
    free(text);
}

/* The record must be broken, for a reason that says `part` at `field`. */
static void expect_broken(const char *fields, const char *row, const char *field, const char *part)
{
    struct mapping_output output;
    char *text = body_of(fields, row, &output);
    assert_null(text);
    assert_int_equal(output.problem_count, 1);
    assert_false(output.problems[0].warning);
    assert_int_equal(output.problems[0].row, 7);
    assert_string_equal(output.problems[0].field, field);
    if (strstr(output.problems[0].message, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", output.problems[0].message, part);
    mapping_output_clear(&output);
}

/* ---- values ---- */

static void test_pointers(void **state)
{
    (void)state;
    expect("'a':'/x'", "{'id':1,'x':' Lister '}", "{'a':'Lister'}");
    expect("'a':'/x/1/y','b':'/z~1z/~0'", "{'id':1,'x':[0,{'y':5}],'z/z':{'~':true}}", "{'a':5,'b':true}");
    expect("'a':{'pointer':['/x','/y']}", "{'id':1,'x':'  ','y':'tweede'}", "{'a':'tweede'}");
    expect("'a':'/x','b':'/y','c':'/z','d':'/q'", "{'id':1,'x':null,'y':'','z':[],'q':3}", "{'d':3}");
    expect("'a':{'pointer':'/x','null':'none'},'b':'/y'", "{'id':1,'x':null,'y':1}", "{'a':null,'b':1}");
    expect("'a':'/x','b':'/Y'", "{'id':1,'x':1,'y':2}", "{'a':1}");
    expect("'a':{'constant':{'v':[1]}},'b':'/id'", "{'id':1}", "{'a':{'v':[1]},'b':1}");
    expect("'a':{'pointer':'/x','default':'geen'},'b':'/id'", "{'id':1}", "{'a':'geen','b':1}");
    expect_broken("'a':{'pointer':'/x','required':true},'b':'/id'", "{'id':1}", "main/a", "nothing at /x");
}

static void test_templates(void **state)
{
    (void)state;
    expect("'a':{'template':'{/s} {/n}{/l} {/t}'}", "{'id':1,'s':'Dorpsstraat','n':12,'l':'','t':'bis'}",
           "{'a':'Dorpsstraat 12 bis'}");
    expect("'a':{'template':'{/s} {/n}'},'b':'/id'", "{'id':1}", "{'b':1}");
    expect("'a':{'template':'{/s}, {/n}','needs-all':true},'b':'/id'", "{'id':1,'s':'x'}", "{'b':1}");
    expect("'a':{'template':'{{{/s}}'}", "{'id':1,'s':'x'}", "{'a':'{x}'}");
    expect("'a':{'first':['/x',{'template':'nr {/id}'}]}", "{'id':1}", "{'a':'nr 1'}");
}

static void test_objects_and_lists(void **state)
{
    (void)state;
    const char *phones =
        "'phones':{'list':[{'object':{'number':'/tel','type':{'constant':'voice'}}}]},'b':'/id'";
    expect(phones, "{'id':1,'tel':'030'}", "{'phones':[{'number':'030','type':'voice'}],'b':1}");
    expect(phones, "{'id':1,'tel':''}", "{'b':1}"); /* constants alone make no phone */
    expect("'a':{'each':'/x','item':{'object':{'n':'/n','row':'^/id'}}}", "{'id':1,'x':[{'n':1},{'n':2}]}",
           "{'a':[{'n':1,'row':1},{'n':2,'row':1}]}");
    expect("'a':{'each':'/x','item':{'object':{'n':{'pointer':'/n','required':true}}}}",
           "{'id':1,'x':{'n':1}}", "{'a':[{'n':1}]}");
    expect("'a':{'each':'/x','item':{'pointer':''}}", "{'id':1,'x':['p','q']}", "{'a':['p','q']}");
    expect("'a':{'object':{'n':{'pointer':'/n','required':true},'m':'/m'}},'b':'/id'", "{'id':1}", "{'b':1}");
    expect_broken("'a':{'object':{'n':{'pointer':'/n','required':true},'m':'/m'}}", "{'id':1,'m':2}",
                  "main/a/n", "required");
    expect_broken("'a':{'each':'/x','item':'/n'}", "{'id':1,'x':'tekst'}", "main/a", "where a list belongs");
}

static void test_tables_and_splits(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','table':'t'}", "{'id':1,'x':'J'}", "{'a':true}");
    expect("'a':{'pointer':'/x','table':'t'}", "{'id':1,'x':'?'}", "{'a':'anders'}");
    expect("'a':{'pointer':'/x','split':';','table':{'1':'een','2':'twee'}}", "{'id':1,'x':'1; 2 ;'}",
           "{'a':['een','twee']}");
    expect("'a':{'pointer':'/x','table':{'1':'een'}}", "{'id':1,'x':[1,'1']}", "{'a':['een','een']}");
    expect("'a':{'pointer':'/x','table':{'1':'een'},'if-broken':'drop'}", "{'id':1,'x':[1,2]}",
           "{'a':['een']}");
    expect("'a':{'pointer':'/x','table':{'1':'een'},'if-broken':'keep'}", "{'id':1,'x':2}", "{'a':2}");
    expect("'a':{'pointer':'/x','table':{'1':''}},'b':'/id'", "{'id':1,'x':1}", "{'b':1}");
    expect_broken("'a':{'pointer':'/x','split':',','table':{'1':'een'}}", "{'id':1,'x':'1,3'}", "main/a/1",
                  "\"3\" is not in the mapping's table");
}

static void test_dates_and_times(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','as':'date'}", "{'id':1,'x':'2025-03-01'}", "{'a':'2025-03-01'}");
    expect("'a':{'pointer':'/x','as':'date'}", "{'id':1,'x':'2025-03-01T00:00:00Z'}", "{'a':'2025-03-01'}");
    expect("'a':{'pointer':'/x','as':'date','format':'d-m-yyyy'}", "{'id':1,'x':'1-3-2025'}",
           "{'a':'2025-03-01'}");
    expect("'a':{'pointer':'/x','as':'date','format':['yyyymmdd','d mmmm yyyy']}",
           "{'id':1,'x':'1 Maart 2025'}", "{'a':'2025-03-01'}");
    expect("'a':{'pointer':'/x','as':'date','format':'yyyymmdd'}", "{'id':1,'x':20250301}",
           "{'a':'2025-03-01'}");
    expect("'a':{'pointer':'/x','as':'time'},'b':{'pointer':'/y','as':'time'}",
           "{'id':1,'x':'9.00 uur','y':'0830'}", "{'a':'09:00','b':'08:30'}");
    expect_broken("'a':{'pointer':'/x','as':'date','format':'dd-mm-yyyy'}", "{'id':1,'x':'31-02-2025'}",
                  "main/a", "\"31-02-2025\" is no date in the form dd-mm-yyyy");
    expect_broken("'a':{'pointer':'/x','as':'time'}", "{'id':1,'x':'25:00'}", "main/a", "no time of day");
}

static void test_numbers_and_words(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','as':'number'},'b':{'pointer':'/y','as':'integer'}",
           "{'id':1,'x':'12.5','y':'7'}", "{'a':12.5,'b':7}");
    expect("'a':{'pointer':'/x','as':'number','format':'dutch'}", "{'id':1,'x':'\xE2\x82\xAC 1.234,50'}",
           "{'a':1234.5}");
    expect("'a':{'pointer':'/x','as':'number','format':'dutch'}", "{'id':1,'x':'12,-'}", "{'a':12}");
    expect("'a':{'pointer':'/x','as':'boolean'},'b':{'pointer':'/y','as':'boolean'}",
           "{'id':1,'x':'Ja','y':0}", "{'a':true,'b':false}");
    expect("'a':{'pointer':'/x','as':'boolean','true':['open'],'false':['dicht']}", "{'id':1,'x':'dicht'}",
           "{'a':false}");
    expect("'a':{'pointer':'/x','as':'text'},'b':{'pointer':'/y','pad':8}", "{'id':1,'x':12,'y':1234567}",
           "{'a':'12','b':'01234567'}");
    expect("'a':{'pointer':'/x','case':'upper'}", "{'id':1,'x':'gm0356'}", "{'a':'GM0356'}");
    expect_broken("'a':{'pointer':'/x','as':'integer'}", "{'id':1,'x':1.5}", "main/a",
                  "1.5 is no whole number");
    expect_broken("'a':{'pointer':'/x','as':'number','format':'dutch'}", "{'id':1,'x':'1.23'}", "main/a",
                  "no number such as 1.234,56");
    expect_broken("'a':{'pointer':'/x','as':'number'}", "{'id':1,'x':'inf'}", "main/a", "no number");
    expect_broken("'a':{'pointer':'/x','as':'boolean'}", "{'id':1,'x':'misschien'}", "main/a",
                  "neither yes nor no");
    expect_broken("'a':{'pointer':'/x','as':'text'}", "{'id':1,'x':{'y':1}}", "main/a",
                  "an object stands where a text or number belongs");
}

static void test_links_and_postcodes(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','as':'url'},'b':{'pointer':'/y','as':'url'}",
           "{'id':1,'x':'www.a.example/b','y':'http://b.example'}",
           "{'a':'https://www.a.example/b','b':'http://b.example'}");
    expect("'a':{'pointer':'/x','as':'postcode'}", "{'id':1,'x':'3431ab'}", "{'a':'3431 AB'}");
    expect_broken("'a':{'pointer':'/x','as':'url'}", "{'id':1,'x':'javascript://x.y'}", "main/a",
                  "no web address");
    expect_broken("'a':{'pointer':'/x','as':'url'}", "{'id':1,'x':'op aanvraag'}", "main/a",
                  "no web address");
    expect_broken("'a':{'pointer':'/x','as':'postcode'}", "{'id':1,'x':'0431 AB'}", "main/a",
                  "no postal code");
}

static void test_html(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','as':'html'}",
           "{'id':1,'x':'<p>Caf&eacute; &amp; meer&nbsp;hier</p><p "
           "class=\\\"a>b\\\">Twee<br/>drie</p><ul><li>een</li><li>twee</li></ul><!-- weg "
           "--><script>x<y</script>'}",
           "{'a':'Caf\xC3\xA9 & meer hier\\n\\nTwee\\ndrie\\n\\n- een\\n- twee'}");
    expect("'a':{'pointer':'/x','as':'html'}",
           "{'id':1,'x':'kinderen < 12 jaar &onbekend; &#x1F600;&#8364;'}",
           "{'a':'kinderen < 12 jaar &onbekend; \xF0\x9F\x98\x80\xE2\x82\xAC'}");
    expect("'a':{'pointer':'/x','as':'html'},'b':'/id'", "{'id':1,'x':'<p> </p>'}", "{'b':1}");
}

static double number_at(const char *fields, const char *row, const char *name)
{
    struct mapping_output output;
    char *text = body_of(fields, row, &output);
    assert_non_null(text);
    const cJSON *value = json_get(output.records[0].body, name);
    assert_true(cJSON_IsNumber(value));
    double number = value->valuedouble;
    free(text);
    mapping_output_clear(&output);
    return number;
}

/* Amersfoort's tower is the origin of RD; the other points are from RDNAPTRANS examples and the KVK's test data. */
static void test_rd(void **state)
{
    (void)state;
    const char *two = "'lat':{'rd':['/x','/y'],'as':'latitude'},'lon':{'rd':['/x','/y'],'as':'longitude'}";
    const char *one = "'lat':{'pointer':'/p','as':'latitude'},'lon':{'rd':'/p','as':'longitude'}";
    const char *amersfoort = "{'id':1,'x':155000,'y':'463000'}";
    assert_float_equal(number_at(two, amersfoort, "lat"), 52.15517, 0.00002);
    assert_float_equal(number_at(two, amersfoort, "lon"), 5.38721, 0.00002);
    const char *utrecht = "{'id':1,'x':136225.65,'y':'456469,782'}";
    assert_float_equal(number_at(two, utrecht, "lat"), 52.096163, 0.00002);
    assert_float_equal(number_at(two, utrecht, "lon"), 5.113226, 0.00002);
    const char *amsterdam = "{'id':1,'p':'SRID=28992;POINT (120749 487051)'}";
    assert_float_equal(number_at(one, amsterdam, "lat"), 52.37019, 0.0005);
    assert_float_equal(number_at(one, amsterdam, "lon"), 4.88384, 0.0005);
    assert_float_equal(number_at(one, "{'id':1,'p':[155000,463000]}", "lat"), 52.15517, 0.00002);
    assert_float_equal(number_at(one, "{'id':1,'p':'SRID=4326;POINT(5.1 52.1)'}", "lon"), 5.1, 0.000001);
    assert_float_equal(number_at("'lat':{'pointer':'/p','as':'latitude'}", "{'id':1,'p':'100'}", "lat"), 100,
                       0); /* warns later, and stays */
    expect_broken(two, "{'id':1,'x':463000,'y':155000}", "main/lat", "lies outside RD");
    expect("'lat':{'rd':['/x','/y'],'as':'latitude','if-broken':'drop'},'b':'/id'", "{'id':1,'x':0,'y':0}",
           "{'b':1}");
    expect("'lat':{'rd':['/x','/y'],'as':'latitude'},'b':'/id'", "{'id':1,'x':1}", "{'b':1}");
}

static void test_conditions(void **state)
{
    (void)state;
    expect("'a':{'pointer':'/x','when':{'pointer':'/w','equals':['p',2]}},'b':'/id'", "{'id':1,'x':1,'w':2}",
           "{'a':1,'b':1}");
    expect("'a':{'pointer':'/x','when':{'pointer':'/w','equals':'p'},'required':true},'b':'/id'",
           "{'id':1,'w':2}", "{'b':1}");
    expect("'a':{'pointer':'/x','when':{'not':{'pointer':'/w','present':true}}}", "{'id':1,'x':1,'w':''}",
           "{'a':1}");
    expect("'a':{'pointer':'/x','when':{'any':[{'pointer':'/w','equals':1},{'pointer':'/w'}]}}",
           "{'id':1,'x':1,'w':9}", "{'a':1}");
    expect("'a':{'pointer':'/x','when':[{'pointer':'/w'},{'pointer':'/v','present':false}]},'b':'/id'",
           "{'id':1,'x':1,'w':9,'v':1}", "{'b':1}");
}

/* ---- records ---- */

static const char PROVIDERS[] =
    "{'mapping':1,'rows':'','records':["
    "{'name':'provider','kind':'organization','id':{'identifiers':[{'scheme':'kvk','value':{'pointer':'/"
    "kvk','pad':8}}],'external':'/id',"
    " 'personal':{'pointer':'/form','equals':'eenmanszaak'}},"
    " 'fields':{'name':{'pointer':'/name','required':true},'services':{'references':'product'}}},"
    "{'name':'product','kind':'service','each':'/products','id':{'external':'/"
    "id','parent':'provider'},'areas':'/area',"
    " 'fields':{'name':'/name','organization_id':{'reference':'provider'},'by':'^/"
    "name','terms':{'references':'term'}}},"
    "{'name':'term','kind':'taxonomy_term','each':['/products','/"
    "terms'],'id':{'external':{'pointer':''},'parent':'product'},"
    " 'fields':{'name':{'pointer':''},'parent_id':{'reference':'product'}}},"
    "{'name':'agreement','kind':'contract','when':{'pointer':'/contract'},'id':{'external':'/"
    "contract','parent':'provider'},"
    " 'fields':{'organization_id':{'reference':'provider'},'buyer':{'constant':'GM0356'}}}]}";

static void test_records(void **state)
{
    (void)state;
    struct mapping *mapping = load(PROVIDERS);
    struct mapping_output output;
    char kvk[UUID_TEXT_SIZE + 1], product[UUID_TEXT_SIZE + 1];
    map_row(mapping,
            "{'id':'A','kvk':1234567,'name':'X','contract':'C1','products':["
            "{'id':1,'name':'p','area':'GM0356','terms':['t','u']},{'id':2,'name':'q','terms':['v']}]}",
            &output);
    assert_int_equal(output.problem_count, 0);
    assert_int_equal(output.record_count, 7);
    assert_int_equal(identity_of_identifier("kvk", "01234567", kvk), KAART_OK);
    assert_int_equal(identity_of_external("nieuwegein.example", "care", "service", kvk, "1", product),
                     KAART_OK);
    const struct mapping_record *r = output.records;
    assert_string_equal(r[0].id, kvk);
    assert_string_equal(r[1].id, product);
    assert_string_equal(r[1].kind, "service");
    assert_string_equal(json_get_string(r[1].body, "organization_id"), kvk);
    assert_string_equal(json_get_string(r[1].body, "by"), "X");
    assert_int_equal(cJSON_GetArraySize(json_get(r[1].body, "terms")), 2);
    assert_int_equal(cJSON_GetArraySize(json_get(r[2].body, "terms")), 1);
    assert_int_equal(cJSON_GetArraySize(json_get(r[0].body, "services")), 2);
    assert_string_equal(cJSON_GetArrayItem(json_get(r[0].body, "services"), 0)->valuestring, product);
    assert_string_equal(cJSON_GetArrayItem(r[1].areas, 0)->valuestring, "GM0356");
    assert_null(r[2].areas);
    assert_string_equal(json_get_string(r[3].body, "parent_id"), product);
    assert_string_equal(r[6].kind, "contract");
    const char *kind = NULL, *member = NULL;
    assert_string_equal(mapping_main_kind(mapping), "organization");
    assert_true(mapping_parent_member(mapping, 1, &kind, &member));
    assert_string_equal(member, "organization_id");
    assert_true(mapping_parent_member(mapping, 2, &kind, &member));
    assert_string_equal(member, "parent_id");
    assert_false(mapping_parent_member(mapping, 4, &kind, &member));
    mapping_output_clear(&output);
    mapping_free(mapping);
}

static bool knows_external(void *expected, const char *kind, const char *id)
{
    (void)kind;
    return strcmp(id, expected) == 0;
}

static void test_identities(void **state)
{
    (void)state;
    struct mapping *mapping = load(PROVIDERS);
    struct mapping_output output;
    char kvk[UUID_TEXT_SIZE + 1], external[UUID_TEXT_SIZE + 1], personal[UUID_TEXT_SIZE + 1];
    assert_int_equal(identity_of_identifier("kvk", "90000011", kvk), KAART_OK);
    assert_int_equal(identity_of_external("nieuwegein.example", "care", "organization", NULL, "A", external),
                     KAART_OK);
    /* without an identifier, or with a broken one: the register's own key */
    map_row(mapping, "{'id':'A','name':'X'}", &output);
    assert_string_equal(output.records[0].id, external);
    mapping_output_clear(&output);
    map_row(mapping, "{'id':'A','name':'X','kvk':'9000'}", &output);
    assert_string_not_equal(output.records[0].id, external); /* 00009000 is one */
    mapping_output_clear(&output);
    map_row(mapping, "{'id':'A','name':'X','kvk':'onbekend'}", &output);
    assert_string_equal(output.records[0].id, external);
    assert_true(output.problem_count == 1 && output.problems[0].warning);
    assert_string_equal(output.problems[0].field, "provider/id");
    mapping_output_clear(&output);
    /* an id never changes when a better identifier appears [SRC-7] */
    context.known = knows_external;
    context.known_context = external;
    map_row(mapping, "{'id':'A','name':'X','kvk':'90000011'}", &output);
    assert_string_equal(output.records[0].id, external);
    mapping_output_clear(&output);
    context.known = NULL;
    map_row(mapping, "{'id':'A','name':'X','kvk':'90000011'}", &output);
    assert_string_equal(output.records[0].id, kvk);
    mapping_output_clear(&output);
    /* a person: not to be guessed from the number, but the same each time [SRC-8] */
    map_row(mapping, "{'id':'A','name':'X','kvk':'90000011','form':'eenmanszaak'}", &output);
    assert_string_not_equal(output.records[0].id, kvk);
    assert_string_not_equal(output.records[0].id, external);
    memcpy(personal, output.records[0].id, sizeof(personal));
    mapping_output_clear(&output);
    map_row(mapping, "{'id':'A','name':'Y','form':'eenmanszaak'}", &output);
    assert_string_equal(output.records[0].id, personal);
    mapping_output_clear(&output);
    /* for a restricted feed all ids are so [ENTRY-15] */
    context.restricted = true;
    map_row(mapping, "{'id':'A','name':'X','kvk':'90000011'}", &output);
    assert_string_equal(output.records[0].id, personal);
    assert_true(uuid_is_random(output.records[0].id));
    mapping_output_clear(&output);
    context.restricted = false;
    mapping_free(mapping);
}

static void test_broken_rows(void **state)
{
    (void)state;
    struct mapping *mapping = load(PROVIDERS);
    struct mapping_output output;
    /* a record that fails does not take the others of its row along, and is told to be there */
    map_row(mapping,
            "{'id':'A','kvk':90000011,'contract':'C1','products':[{'id':1,'name':'p','area':'Utrecht'},{'"
            "name':'q'}]}",
            &output);
    assert_int_equal(output.record_count, 4);
    assert_null(output.records[0].body);
    assert_int_equal(strlen(output.records[0].id), UUID_TEXT_SIZE);
    assert_null(output.records[1].body);
    assert_int_equal(output.records[2].id[0], '\0');
    assert_non_null(output.records[3].body);
    assert_int_equal(output.problem_count, 3);
    assert_string_equal(output.problems[1].field, "product/areas");
    assert_non_null(strstr(output.problems[1].message, "\"Utrecht\" is no CBS area code"));
    mapping_output_clear(&output);
    map_row(mapping, "['geen object']", &output);
    assert_int_equal(output.record_count, 4);
    assert_int_equal(output.records[0].id[0], '\0');
    assert_string_equal(output.problems[0].message, "the row is no object");
    mapping_output_clear(&output);
    map_row(mapping, "{'id':'A','name':'X','products':'geen'}", &output);
    assert_int_equal(output.records[1].id[0], '\0');
    mapping_output_clear(&output);
    mapping_free(mapping);
}

/* ---- bad files ---- */

struct heard {
    char pointer[200], message[400];
    size_t count;
};

static void hear(void *heard_context, const char *pointer, const char *message)
{
    struct heard *heard = heard_context;
    if (heard->count++ == 0) {
        snprintf(heard->pointer, sizeof(heard->pointer), "%s", pointer);
        snprintf(heard->message, sizeof(heard->message), "%s", message);
    }
}

static void expect_fault(const char *text, const char *pointer, const char *part)
{
    struct heard heard = {.count = 0};
    struct mapping *mapping = NULL;
    struct fault fault = {""};
    char *json = quotes(text);
    int code = mapping_load(json, strlen(json), hear, &heard, &mapping, &fault);
    assert_null(mapping);
    assert_true(code == KAART_INVALID || code == KAART_SYNTAX);
    assert_true(heard.count >= 1);
    if (strcmp(heard.pointer, pointer) != 0 || strstr(heard.message, part) == NULL)
        fail_msg("at %s: %s\nwanted at %s: %s", heard.pointer, heard.message, pointer, part);
    assert_non_null(strstr(fault.text, part));
    free(json);
}

static void test_bad_files(void **state)
{
    (void)state;
    expect_fault("{'mapping':1,", "", "JSON");
    expect_fault("[]", "", "must be an object");
    expect_fault("{'mapping':2,'rows':'','records':[" RECORD("'a':'/x'") "]}", "/mapping", "must be 1");
    expect_fault("{'mapping':1,'records':[" RECORD("'a':'/x'") "]}", "/rows", "is missing");
    expect_fault("{'mapping':1,'rows':'items','records':[" RECORD("'a':'/x'") "]}", "/rows",
                 "must be a JSON Pointer");
    expect_fault("{'mapping':1,'rows':'','record':[],'records':[" RECORD("'a':'/x'") "]}", "/record",
                 "unknown here; known are: mapping");
    expect_fault("{'mapping':1,'rows':''}", "/records", "must be a list of 1 to");
    expect_fault("{'mapping':1,'rows':'','paging':{'type':'nxt'},'records':[" RECORD("'a':'/x'") "]}",
                 "/paging/type", "must be one of \"none\", \"next\"");
    expect_fault("{'mapping':1,'rows':'','paging':{'type':'next'},'records':[" RECORD("'a':'/x'") "]}",
                 "/paging/next", "is missing");
    expect_fault("{'mapping':1,'rows':'','paging':{'type':'page'},'records':[" RECORD("'a':'/x'") "]}",
                 "/paging/parameter", "is missing");
    expect_fault(
        "{'mapping':1,'rows':'','headers':{'Authorization':'Bearer x'},'records':[" RECORD("'a':'/x'") "]}",
        "/headers/Authorization", "secret");
    expect_fault("{'mapping':1,'rows':'','':1,'records':[" RECORD("'a':'/x'") "]}", "/", "unknown here");
    expect_fault("{'mapping':1,'rows':'','token-header':'a b','records':[" RECORD("'a':'/x'") "]}",
                 "/token-header", "name of a header");
    expect_fault(ONE("'a':'naam'"), "/records/0/fields/a",
                 "is no JSON Pointer such as \"/naam\"; a fixed text is written");
    expect_fault(ONE("'a':{'pointer':'/x','template':'{/y}'}"), "/records/0/fields/a", "only one of pointer");
    expect_fault(ONE("'a':{'as':'date'}"), "/records/0/fields/a", "one of pointer");
    expect_fault(ONE("'a':{'pointer':'/x','as':'datum'}"), "/records/0/fields/a/as", "must be one of");
    expect_fault(ONE("'a':{'pointer':'/x','as':'date','format':'DD-MM-YYYY'}"), "/records/0/fields/a/format",
                 "yyyy, mm");
    expect_fault(ONE("'a':{'pointer':'/x','format':'dutch'}"), "/records/0/fields/a/format", "belongs to");
    expect_fault(ONE("'a':{'pointer':'/x','tabel':'t'}"), "/records/0/fields/a/tabel", "unknown here");
    expect_fault(ONE("'a':{'pointer':'/x','table':'u'}"), "/records/0/fields/a/table", "no table in /tables");
    expect_fault(ONE("'a':{'template':'{/x'}"), "/records/0/fields/a/template", "without its \"}\"");
    expect_fault(ONE("'a':{'template':'vast'}"), "/records/0/fields/a/template", "has no \"{/pointer}\"");
    expect_fault(ONE("'a':{'pointer':'/x~2'}"), "/records/0/fields/a/pointer", "must be a JSON Pointer");
    expect_fault(ONE("'a':'^/x'"), "/records/0/fields/a", "only 0 lists");
    expect_fault(ONE("'a':{'reference':'other'}"), "/records/0/fields/a/reference",
                 "must be the \"name\" of a record");
    expect_fault(ONE("'a':{'each':'/x'}"), "/records/0/fields/a/item", "is missing");
    expect_fault(ONE("'a/b':{'object':{'c':{'pointer':7}}}"), "/records/0/fields/a~1b/object/c/pointer",
                 "must be a JSON Pointer");
    expect_fault(ONE("'a':{'pointer':'/x','when':{'equals':1}}"), "/records/0/fields/a/when/pointer",
                 "is missing");
    expect_fault(ONE("'pin_reason':'/x'"), "/records/0/fields/pin_reason", "belongs to the claim");
    expect_fault(HEAD "{'name':'a','kind':'organisation','id':{'external':'/id'},'fields':{}}]}",
                 "/records/0/kind", "is no kind of record");
    expect_fault(HEAD "{'name':'A b','kind':'service','id':{'external':'/id'},'fields':{}}]}",
                 "/records/0/name", "must be [a-z]");
    expect_fault(HEAD "{'name':'a','kind':'service','fields':{}}]}", "/records/0/id", "is missing");
    expect_fault(HEAD "{'name':'a','kind':'service','id':{},'fields':{}}]}", "/records/0/id",
                 "needs \"identifiers\"");
    expect_fault(HEAD "{'name':'a','kind':'service','id':{'external':'/id'}}]}", "/records/0/fields",
                 "is missing");
    expect_fault(
        HEAD
        "{'name':'a','kind':'service','id':{'identifiers':[{'scheme':'kvk','value':'/k'}]},'fields':{}}]}",
        "/records/0/id/identifiers/0/scheme", "identifies an organization");
    expect_fault(HEAD "{'name':'a','kind':'organization','id':{'identifiers':[{'scheme':'bsn','value':'/"
                      "k'}]},'fields':{}}]}",
                 "/records/0/id/identifiers/0/scheme", "must be one of \"kvk\"");
    expect_fault(HEAD "{'name':'a','kind':'service','id':{'external':'/id','parent':'b'},'fields':{}},"
                      "{'name':'b','kind':'organization','id':{'external':'/id'},'fields':{}}]}",
                 "/records/0/id/parent", "stands above this one");
    expect_fault(HEAD RECORD("'a':'/x'") "," RECORD("'a':'/x'") "]}", "/records/1/name",
                 "is the name of another record");
    expect_fault(
        HEAD "{'name':'a','kind':'organization','id':{'external':'/id'},'fields':{'s':{'reference':'b'}}},"
             "{'name':'b','kind':'service','each':'/p','id':{'external':'/id'},'fields':{}}]}",
        "/records/0/fields/s/reference", "use \"references\"");
}

static void test_listing(void **state)
{
    (void)state;
    struct mapping *mapping =
        load("{'mapping':1,'rows':{'pointer':'/a/b','form':'members','total':'/n'},'etag':'listing',"
             "'headers':{'Accept':'application/hal+json'},'token-header':'apikey',"
             "'paging':{'type':'hal'},'records':[" RECORD("'a':'/x'") "]}");
    const struct mapping_listing *listing = mapping_listing(mapping);
    assert_string_equal(listing->rows, "/a/b");
    assert_int_equal(listing->form, MAPPING_ROWS_MEMBERS);
    assert_string_equal(listing->total, "/n");
    assert_int_equal(listing->paging, MAPPING_PAGING_NEXT);
    assert_string_equal(listing->next, "/_links/next/href");
    assert_true(listing->etag_covers_listing);
    assert_string_equal(listing->token_header, "apikey");
    mapping_free(mapping);
}

/* The mappings that are installed with the program. */
static void test_installed(void **state)
{
    (void)state;
    FILE *file = fopen("daemon/source/mappings/contracted-care.json", "r");
    if (file == NULL)
        skip();
    char *text = calloc(1, MAPPING_SIZE_MAX);
    size_t size = fread(text, 1, MAPPING_SIZE_MAX - 1, file);
    fclose(file);
    struct mapping *mapping = NULL;
    struct fault fault = {""};
    if (mapping_load(text, size, NULL, NULL, &mapping, &fault) != KAART_OK)
        fail_msg("%s", fault.text);
    mapping_free(mapping);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_objects_and_lists),
        cmocka_unit_test(test_tables_and_splits),
        cmocka_unit_test(test_dates_and_times),
        cmocka_unit_test(test_numbers_and_words),
        cmocka_unit_test(test_links_and_postcodes),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_rd),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_broken_rows),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_installed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
