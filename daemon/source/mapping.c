/*
 * mapping.c - reads a mapping file and checks all of it, so that what uses it later meets no surprises. Each
 * fault names its place as a JSON Pointer into the file, what is wrong and what would be right.
 * spec/sources.md.
 */
#include "daemon/source/mapping.h"
#include "daemon/source/convert.h"
#include "daemon/source/mapping_parts.h"
#include "daemon/source/pointer.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The version of the format, the member "mapping" of the file. */
#define MAPPING_VERSION 1
/* Records in a mapping file; the richest known has nine. */
#define RECORDS_MAX 64
/* More faults than this are not worth reading in one go. */
#define FAULTS_MAX 100

struct loader {
    mapping_report *report;
    void *context;
    struct fault *fault;
    size_t faults;
    bool out_of_memory;
    char path[400]; /* of the object at hand */
    size_t path_size;
    struct mapping *mapping;
    const cJSON *tables;
    size_t record;    /* index of the record at hand */
    unsigned depth;   /* of values */
    unsigned in_each; /* scopes around the value at hand, without the row's own */
};

/* ---- telling what is wrong ---- */

static void bad(struct loader *l, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static size_t enter(struct loader *l, const char *name)
{
    size_t before = l->path_size;
    if (l->path_size + 1 < sizeof(l->path))
        l->path[l->path_size++] = '/';
    for (; *name != '\0' && l->path_size + 3 < sizeof(l->path); name++) {
        if (*name == '~' || *name == '/') {
            l->path[l->path_size++] = '~';
            l->path[l->path_size++] = *name == '~' ? '0' : '1';
        } else {
            l->path[l->path_size++] = *name;
        }
    }
    l->path[l->path_size] = '\0';
    return before;
}

static size_t enter_index(struct loader *l, size_t index)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    return enter(l, name);
}

static void leave(struct loader *l, size_t before)
{
    l->path_size = before;
    l->path[before] = '\0';
}

/* A fault at the member `name` of the object at hand, or at that itself (NULL). */
static void bad(struct loader *l, const char *name, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    size_t before = name != NULL ? enter(l, name) : l->path_size;
    if (l->faults == 0)
        fault_set(l->fault, KAART_INVALID, "%s: %s", l->path_size > 0 ? l->path : "the mapping", message);
    if (l->faults++ < FAULTS_MAX && l->report != NULL)
        l->report(l->context, l->path, message);
    leave(l, before);
}

static void *reserve(struct loader *l, size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        l->out_of_memory = true;
    return memory;
}

/* ---- small readers ---- */

/* Remarks may stand anywhere. */
static bool is_remark(const char *name)
{
    return name[0] == '$' || strcmp(name, "comment") == 0;
}

static bool is_object(struct loader *l, const cJSON *json, const char *what)
{
    if (cJSON_IsObject(json))
        return true;
    bad(l, NULL, "must be an object%s%s", what[0] != '\0' ? ": " : "", what);
    return false;
}

/* Every member must be one of `allowed` (separated by blanks). */
static void only(struct loader *l, const cJSON *object, const char *allowed)
{
    const cJSON *member = NULL;
    cJSON_ArrayForEach(member, object)
    {
        size_t size = strlen(member->string);
        const char *found = is_remark(member->string) ? member->string : NULL;
        for (const char *p = allowed; found == NULL && (p = strstr(p, member->string)) != NULL; p++) {
            if ((p == allowed || p[-1] == ' ') && (p[size] == ' ' || p[size] == '\0') && size > 0)
                found = p;
        }
        if (found == NULL)
            bad(l, member->string, "is unknown here; known are: %s", allowed);
    }
}

static const char *text_of(struct loader *l, const cJSON *object, const char *name, bool required)
{
    const cJSON *value = json_get(object, name);
    if (value == NULL) {
        if (required)
            bad(l, name, "is missing");
        return NULL;
    }
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        bad(l, name, "must be a text that is not empty");
        return NULL;
    }
    return value->valuestring;
}

static const char *pointer_of(struct loader *l, const cJSON *object, const char *name, bool required)
{
    const cJSON *value = json_get(object, name);
    if (cJSON_IsString(value) && pointer_is_valid(value->valuestring))
        return value->valuestring;
    if (value != NULL || required)
        bad(l, name, "%s a JSON Pointer such as \"/items\"%s",
            value != NULL ? "must be" : "is missing:", value != NULL ? " (\"\" is the whole document)" : "");
    return NULL;
}

static bool flag_of(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *value = json_get(object, name);
    if (value != NULL && !cJSON_IsBool(value))
        bad(l, name, "must be true or false");
    return cJSON_IsTrue(value);
}

static long count_of(struct loader *l, const cJSON *object, const char *name, long least, long most,
                     long otherwise)
{
    const cJSON *value = json_get(object, name);
    if (value == NULL)
        return otherwise;
    if (!cJSON_IsNumber(value) || value->valuedouble < (double)least || value->valuedouble > (double)most ||
        value->valuedouble != (double)(long)value->valuedouble) {
        bad(l, name, "must be a whole number from %ld to %ld", least, most);
        return otherwise;
    }
    return (long)value->valuedouble;
}

/* One of a list of words; its place in `words`, or `otherwise` where absent. */
static int word_of(struct loader *l, const cJSON *object, const char *name, const char *const *words,
                   int otherwise)
{
    char all[240] = "";
    const cJSON *value = json_get(object, name);
    if (value == NULL)
        return otherwise;
    for (int i = 0; words[i] != NULL; i++) {
        if (cJSON_IsString(value) && strcmp(value->valuestring, words[i]) == 0)
            return i;
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
    }
    bad(l, name, "must be one of %s", all);
    return otherwise;
}

/* "^^/naam": levels outwards, and a pointer. */
static bool read_reach(struct loader *l, const char *text, struct reach *reach, const char *where)
{
    size_t outwards = strspn(text, "^");
    if (!pointer_is_valid(text + outwards)) {
        bad(l, where,
            "\"%.60s\" must be a JSON Pointer such as \"/naam\" (\"^/naam\" for the item around it)", text);
        return false;
    }
    if (outwards > l->in_each) {
        bad(l, where, "\"%.60s\" reaches %zu levels outwards, but only %u lists (\"each\") stand around it",
            text, outwards, l->in_each);
        return false;
    }
    reach->outwards = (unsigned)outwards;
    reach->pointer = text + outwards;
    return true;
}

/* ---- conditions ---- */

static void read_condition(struct loader *l, const cJSON *json, struct condition *condition);

static void read_conditions(struct loader *l, const cJSON *list, struct condition *condition)
{
    size_t count = (size_t)cJSON_GetArraySize(list);
    const cJSON *part = NULL;
    if (count == 0)
        bad(l, NULL, "must hold at least one condition");
    condition->parts = reserve(l, count, sizeof(*condition->parts));
    if (condition->parts == NULL)
        return;
    cJSON_ArrayForEach(part, list)
    {
        size_t before = enter_index(l, condition->part_count);
        read_condition(l, part, &condition->parts[condition->part_count++]);
        leave(l, before);
    }
}

static void read_test(struct loader *l, const cJSON *json, struct condition *condition)
{
    only(l, json, "pointer equals present");
    const char *text = text_of(l, json, "pointer", true);
    condition->form = CONDITION_TEST;
    condition->equals = json_get(json, "equals");
    condition->present = json_get(json, "present") == NULL || flag_of(l, json, "present");
    if (text != NULL)
        read_reach(l, text, &condition->reach, "pointer");
    if (condition->equals != NULL && json_get(json, "present") != NULL)
        bad(l, "present", "cannot stand beside \"equals\": one of the two is asked");
    if (cJSON_IsObject(condition->equals) || cJSON_IsNull(condition->equals))
        bad(l, "equals", "must be a text, a number, true or false, or a list of these");
}

static void read_condition(struct loader *l, const cJSON *json, struct condition *condition)
{
    if (++l->depth > VALUE_DEPTH_MAX) {
        bad(l, NULL, "is nested deeper than %d", VALUE_DEPTH_MAX);
    } else if (cJSON_IsArray(json)) {
        condition->form = CONDITION_ALL;
        read_conditions(l, json, condition);
    } else if (is_object(l, json,
                         "{\"pointer\":\"/type\",\"equals\":\"zorg\"}, or a list of which all must hold")) {
        const cJSON *any = json_get(json, "any"), *not = json_get(json, "not");
        if (any != NULL) {
            size_t before = enter(l, "any");
            condition->form = CONDITION_ANY;
            if (cJSON_IsArray(any))
                read_conditions(l, any, condition);
            else
                bad(l, NULL, "must be a list of conditions of which one must hold");
            leave(l, before);
        } else if (not != NULL) {
            size_t before = enter(l, "not");
            condition->form = CONDITION_NOT;
            condition->parts = reserve(l, 1, sizeof(*condition->parts));
            if (condition->parts != NULL) {
                condition->part_count = 1;
                read_condition(l, not, condition->parts);
            }
            leave(l, before);
        } else {
            read_test(l, json, condition);
        }
    }
    l->depth--;
}

static struct condition *optional_condition(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *json = json_get(object, name);
    if (json == NULL)
        return NULL;
    struct condition *condition = reserve(l, 1, sizeof(*condition));
    size_t before = enter(l, name);
    if (condition != NULL)
        read_condition(l, json, condition);
    leave(l, before);
    return condition;
}

/* ---- values ---- */

static void read_value(struct loader *l, const cJSON *json, struct value *value);

static struct value *new_value(struct loader *l, const cJSON *json, const char *name)
{
    struct value *value = reserve(l, 1, sizeof(*value));
    size_t before = enter(l, name);
    if (value != NULL)
        read_value(l, json, value);
    leave(l, before);
    return value;
}

/* A pointer, or a list of them. */
static void read_reaches(struct loader *l, const cJSON *json, struct value *value)
{
    size_t count = cJSON_IsArray(json) ? (size_t)cJSON_GetArraySize(json) : 1;
    value->reaches = reserve(l, count, sizeof(*value->reaches));
    if (value->reaches == NULL)
        return;
    if (count == 0)
        bad(l, NULL, "must hold at least one JSON Pointer");
    const cJSON *each = cJSON_IsArray(json) ? json->child : json;
    for (; value->reach_count < count; each = each->next) {
        if (cJSON_IsString(each))
            read_reach(l, each->valuestring, &value->reaches[value->reach_count], NULL);
        else
            bad(l, NULL,
                "must be a JSON Pointer such as \"/naam\", or a list of them (the first that is present "
                "counts)");
        value->reach_count++;
    }
}

static struct piece *next_piece(struct loader *l, struct value *value)
{
    struct piece *grown = realloc(value->pieces, (value->piece_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        l->out_of_memory = true;
        return NULL;
    }
    value->pieces = grown;
    memset(&grown[value->piece_count], 0, sizeof(*grown));
    return &grown[value->piece_count++];
}

/* Takes `size` bytes of a template as its next piece. */
static void add_piece(struct loader *l, struct value *value, const char *text, size_t size, bool pointer)
{
    struct piece *piece = next_piece(l, value);
    char *part = piece != NULL ? strndup(text, size) : NULL;
    if (part == NULL) {
        l->out_of_memory = true;
        return;
    }
    *(pointer ? &piece->owned : &piece->text) = part;
    if (pointer)
        read_reach(l, part, &piece->reach, NULL);
}

/* "{/voornaam} {/achternaam}"; "{{" is a brace. */
static void read_template(struct loader *l, const char *text, struct value *value)
{
    bool pointers = false;
    while (*text != '\0' && !l->out_of_memory) {
        size_t size = strcspn(text, "{");
        if (size > 0) {
            add_piece(l, value, text, size, false);
            text += size;
        } else if (text[1] == '{') {
            add_piece(l, value, "{", 1, false);
            text += 2;
        } else {
            size = strcspn(text, "}");
            if (text[size] == '\0') {
                bad(l, NULL, "has a \"{\" without its \"}\"; a brace itself is written \"{{\"");
                return;
            }
            add_piece(l, value, text + 1, size - 1, true);
            pointers = true;
            text += size + 1;
        }
    }
    if (!pointers)
        bad(l, NULL, "has no \"{/pointer}\" in it; a fixed text is written {\"constant\":\"...\"}");
}

static void read_members(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *member = NULL;
    value->members = reserve(l, (size_t)cJSON_GetArraySize(json), sizeof(*value->members));
    if (value->members == NULL)
        return;
    cJSON_ArrayForEach(member, json)
    {
        char index[24];
        snprintf(index, sizeof(index), "%zu", value->member_count);
        if (member->string != NULL && member->string[0] == '$')
            continue;
        struct value_member *made = &value->members[value->member_count++];
        made->name = member->string;
        made->value = new_value(l, member, member->string != NULL ? member->string : index);
    }
}

static void read_each(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *item = json_get(json, "item");
    size_t before = enter(l, "each");
    read_reaches(l, json_get(json, "each"), value);
    leave(l, before);
    value->members = reserve(l, 1, sizeof(*value->members));
    if (value->members == NULL)
        return;
    if (item == NULL) {
        bad(l, "item", "is missing: what one element becomes");
        return;
    }
    l->in_each++;
    value->member_count = 1;
    value->members[0].value = new_value(l, item, "item");
    l->in_each--;
}

static bool find_record(const struct mapping *mapping, const char *name, size_t *index)
{
    for (*index = 0; *index < mapping->record_count; (*index)++) {
        const char *other = mapping->records[*index].name;
        if (other != NULL && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

/* Whether `other` is one record wherever `own` is: it may only stand in lists that `own` stands in as well.
 */
static bool encloses(const struct record *other, const struct record *own)
{
    bool within = other->each_count <= own->each_count;
    for (size_t i = 0; within && i < other->each_count; i++)
        within = strcmp(other->each[i], own->each[i]) == 0;
    return within;
}

static void read_reference(struct loader *l, const cJSON *json, struct value *value, bool single)
{
    const struct mapping *mapping = l->mapping;
    if (!cJSON_IsString(json) || !find_record(mapping, json->valuestring, &value->record)) {
        value->record = 0;
        bad(l, NULL, "must be the \"name\" of a record of this mapping");
    } else if (single && !encloses(&mapping->records[value->record], &mapping->records[l->record])) {
        bad(l, NULL,
            "\"%s\" can be several records here (its \"each\" is not one of this record's): use "
            "\"references\"",
            json->valuestring);
    }
}

static void read_form(struct loader *l, const cJSON *json, struct value *value)
{
    static const char *const forms[] = {"pointer",   "constant",   "template", "object", "list", "each",
                                        "reference", "references", "rd",       "first",  NULL};
    const cJSON *found = NULL;
    size_t count = 0;
    for (int i = 0; forms[i] != NULL; i++) {
        const cJSON *member = json_get(json, forms[i]);
        if (member == NULL)
            continue;
        found = member;
        value->form = (enum value_form)i;
        count++;
    }
    if (count != 1) {
        bad(l, NULL,
            "%s of pointer, constant, template, object, list, each, reference, references, rd, first must "
            "say where "
            "the value comes from",
            count == 0 ? "one" : "only one");
        return;
    }
    if (value->form == VALUE_EACH) {
        read_each(l, json, value);
        return;
    }
    size_t before = enter(l, found->string);
    switch (value->form) {
    case VALUE_CONSTANT:
        value->constant = found;
        break;
    case VALUE_TEMPLATE:
        if (cJSON_IsString(found))
            read_template(l, found->valuestring, value);
        else
            bad(l, NULL, "must be a text such as \"{/straat} {/huisnummer}\"");
        break;
    case VALUE_OBJECT:
        if (is_object(l, found, "members and their values"))
            read_members(l, found, value);
        break;
    case VALUE_FIRST:
    case VALUE_LIST:
        if (cJSON_IsArray(found))
            read_members(l, found, value);
        else
            bad(l, NULL, "must be a list of values");
        break;
    case VALUE_REFERENCE:
    case VALUE_REFERENCES:
        read_reference(l, found, value, value->form == VALUE_REFERENCE);
        break;
    default:
        read_reaches(l, found, value);
        if (value->form == VALUE_RD && value->reach_count > 2)
            bad(l, NULL, "must be one pointer (to a point) or two (to x and y)");
        break;
    }
    leave(l, before);
}

static void read_patterns(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *format = json_get(json, "format");
    if (format == NULL) {
        value->patterns[0] = "yyyy-mm-dd";
        value->patterns[1] = "yyyy-mm-ddT*";
        return;
    }
    const cJSON *each = cJSON_IsArray(format) ? format->child : format;
    size_t count = 0;
    for (; each != NULL; each = cJSON_IsArray(format) ? each->next : NULL) {
        if (!cJSON_IsString(each) || !convert_date_pattern_is_valid(each->valuestring) ||
            count == DATE_PATTERNS_MAX) {
            bad(l, "format",
                "must be up to %d forms of a date with yyyy, mm (or m, or mmmm for a Dutch name) and dd (or "
                "d), such as "
                "\"dd-mm-yyyy\"; \"*\" at the end ignores the rest",
                DATE_PATTERNS_MAX);
            return;
        }
        value->patterns[count++] = each->valuestring;
    }
}

static void read_words(struct loader *l, const cJSON *json, const char *name, const cJSON **words)
{
    *words = json_get(json, name);
    if (*words != NULL && !cJSON_IsArray(*words))
        bad(l, name, "must be a list of words, such as [\"ja\"]");
}

static void read_table(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *table = json_get(json, "table");
    if (cJSON_IsString(table)) {
        value->table = json_get(l->tables, table->valuestring);
        if (!cJSON_IsObject(value->table))
            bad(l, "table", "\"%.40s\" is no table in /tables", table->valuestring);
    } else if (cJSON_IsObject(table)) {
        value->table = table;
    } else if (table != NULL) {
        bad(l, "table", "must be the name of a table in /tables, or an object {\"from\":to}");
    }
}

/* Members that belong to one conversion alone. */
static void check_fits(struct loader *l, const cJSON *json, const struct value *value)
{
    if (json_get(json, "format") != NULL && value->as != AS_DATE && value->as != AS_NUMBER &&
        value->as != AS_INTEGER)
        bad(l, "format", "belongs to \"as\":\"date\", \"number\" or \"integer\"");
    if ((value->yes != NULL || value->no != NULL) && value->as != AS_BOOLEAN)
        bad(l, value->yes != NULL ? "true" : "false", "belongs to \"as\":\"boolean\"");
    if (value->form == VALUE_RD && value->as != AS_LATITUDE && value->as != AS_LONGITUDE)
        bad(l, "as", "must be \"latitude\" or \"longitude\" beside \"rd\"");
    if (value->form == VALUE_RD && (value->split != NULL || value->table != NULL))
        bad(l, NULL, "\"split\" and \"table\" have no meaning beside \"rd\"");
    if (json_get(json, "item") != NULL && value->form != VALUE_EACH)
        bad(l, "item", "belongs to \"each\"");
    if (value->needs_all && value->form != VALUE_TEMPLATE)
        bad(l, "needs-all", "belongs to \"template\"");
}

static void read_conversion(struct loader *l, const cJSON *json, struct value *value)
{
    static const char *const as[] = {"",         "text",      "html",    "date", "time",
                                     "number",   "integer",   "boolean", "url",  "postcode",
                                     "latitude", "longitude", NULL};
    static const char *const broken[] = {"skip-record", "drop", "keep", NULL};
    static const char *const nulls[] = {"absent", "none", NULL};
    static const char *const cases[] = {"upper", "lower", NULL};
    value->as = (enum value_as)word_of(l, json, "as", as, AS_IT_IS);
    value->broken = (enum value_broken)word_of(l, json, "if-broken", broken, BROKEN_RECORD);
    value->keep_null = word_of(l, json, "null", nulls, 0) == 1;
    int letters = word_of(l, json, "case", cases, -1);
    value->upper = letters == 0;
    value->lower = letters == 1;
    value->when = optional_condition(l, json, "when");
    value->split = text_of(l, json, "split", false);
    value->required = flag_of(l, json, "required");
    value->needs_all = flag_of(l, json, "needs-all");
    value->pad = (unsigned)count_of(l, json, "pad", 1, 40, 0);
    value->substitute = json_get(json, "default");
    read_words(l, json, "true", &value->yes);
    read_words(l, json, "false", &value->no);
    read_table(l, json, value);
    if (value->as == AS_DATE) {
        read_patterns(l, json, value);
    } else if (value->as == AS_NUMBER || value->as == AS_INTEGER) {
        static const char *const numbers[] = {"plain", "dutch", NULL};
        value->dutch = word_of(l, json, "format", numbers, 0) == 1;
    }
    check_fits(l, json, value);
}

static void read_value(struct loader *l, const cJSON *json, struct value *value)
{
    if (++l->depth > VALUE_DEPTH_MAX) {
        bad(l, NULL, "is nested deeper than %d", VALUE_DEPTH_MAX);
    } else if (cJSON_IsString(json)) {
        value->form = VALUE_POINTER;
        if (json->valuestring[0] == '/' || json->valuestring[0] == '^')
            read_reaches(l, json, value);
        else
            bad(l, NULL,
                "\"%.60s\" is no JSON Pointer such as \"/naam\"; a fixed text is written "
                "{\"constant\":\"...\"}",
                json->valuestring);
    } else if (is_object(l, json,
                         "a value is a JSON Pointer (\"/naam\") or an object such as {\"template\":\"{/a} "
                         "{/b}\"}")) {
        only(l, json,
             "pointer constant template object list each item reference references rd first when as format "
             "split table "
             "default required "
             "null if-broken needs-all true false pad case");
        read_form(l, json, value);
        read_conversion(l, json, value);
    }
    l->depth--;
}

static struct value *optional_value(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *json = json_get(object, name);
    return json != NULL ? new_value(l, json, name) : NULL;
}

/* ---- records ---- */

static void read_identifiers(struct loader *l, const cJSON *json, struct record *record)
{
    static const char *const schemes[] = {"kvk", "oin", "agb", "vestigingsnummer", NULL};
    const cJSON *each = NULL;
    if (json == NULL)
        return;
    size_t before = enter(l, "identifiers");
    if (!cJSON_IsArray(json))
        bad(l, NULL, "must be a list of {\"scheme\":\"kvk\",\"value\":\"/kvkNummer\"}, the best one first");
    record->identifiers = reserve(l, (size_t)cJSON_GetArraySize(json), sizeof(*record->identifiers));
    cJSON_ArrayForEach(each, json)
    {
        if (record->identifiers == NULL || !cJSON_IsArray(json))
            break;
        size_t within = enter_index(l, record->identifier_count);
        struct identifier *identifier = &record->identifiers[record->identifier_count++];
        if (is_object(l, each, "{\"scheme\":\"kvk\",\"value\":\"/kvkNummer\"}")) {
            only(l, each, "scheme value");
            int scheme = word_of(l, each, "scheme", schemes, -1);
            if (json_get(each, "scheme") == NULL)
                bad(l, "scheme", "is missing: kvk, oin, agb or vestigingsnummer");
            else if (scheme >= 0 && record->kind != NULL &&
                     strcmp(record->kind, scheme == 3 ? "location" : "organization") != 0)
                bad(l, "scheme", "\"%s\" identifies %s", schemes[scheme],
                    scheme == 3 ? "a location" : "an organization");
            identifier->scheme = scheme >= 0 ? schemes[scheme] : NULL;
            identifier->value = optional_value(l, each, "value");
            if (identifier->value == NULL)
                bad(l, "value", "is missing: where the number stands");
        }
        leave(l, within);
    }
    leave(l, before);
}

static void read_identity(struct loader *l, const cJSON *json, struct record *record)
{
    size_t before = enter(l, "id"), parent = 0;
    record->parent = -1;
    if (json == NULL) {
        bad(l, NULL,
            "is missing: which record a row speaks of, {\"identifiers\":[...],\"external\":\"/id\"}");
    } else if (is_object(l, json,
                         "{\"identifiers\":[...],\"external\":\"/id\",\"parent\":\"name of a record\"}")) {
        only(l, json, "identifiers external parent personal");
        read_identifiers(l, json_get(json, "identifiers"), record);
        record->external = optional_value(l, json, "external");
        record->personal = optional_condition(l, json, "personal");
        const char *name = text_of(l, json, "parent", false);
        if (name != NULL) {
            if (find_record(l->mapping, name, &parent) && parent < l->record &&
                encloses(&l->mapping->records[parent], record))
                record->parent = (long)parent;
            else
                bad(l, "parent",
                    "must be the name of a record that stands above this one, in no list that this one is "
                    "not in");
        }
        if (record->identifier_count == 0 && record->external == NULL)
            bad(l, NULL, "needs \"identifiers\", or \"external\": the row's own key in the register");
        if (record->personal != NULL && record->external == NULL)
            bad(l, "external", "is missing: beside \"personal\" the id is made from the register's own key");
    }
    leave(l, before);
}

static void read_each_levels(struct loader *l, const cJSON *json, struct record *record)
{
    const cJSON *each = cJSON_IsArray(json) ? json->child : json;
    for (; each != NULL; each = cJSON_IsArray(json) ? each->next : NULL) {
        if (!cJSON_IsString(each) || each->valuestring[0] != '/' || !pointer_is_valid(each->valuestring) ||
            record->each_count == EACH_DEPTH_MAX) {
            bad(l, "each",
                "must be a JSON Pointer to a list within the row, such as \"/producten\", or up to %d of "
                "them, one within the other",
                EACH_DEPTH_MAX);
            return;
        }
        record->each[record->each_count++] = each->valuestring;
    }
}

/* Names, kinds and lists first, so that references may look ahead. */
static void read_record_head(struct loader *l, const cJSON *json, struct record *record)
{
    size_t same = 0;
    if (!is_object(l, json, "{\"name\":...,\"kind\":...,\"id\":...,\"fields\":...}"))
        return;
    only(l, json, "name kind each when id areas fields");
    const char *name = text_of(l, json, "name", true);
    record->kind = text_of(l, json, "kind", true);
    if (name != NULL && !syntax_is_name(name, strlen(name)))
        bad(l, "name", "must be [a-z][a-z0-9_-]*, at most %d characters", NAME_MAX_SIZE);
    else if (name != NULL && find_record(l->mapping, name, &same))
        bad(l, "name", "\"%s\" is the name of another record already", name);
    record->name = name;
    if (record->kind != NULL && !record_kind_known(record->kind))
        bad(l, "kind",
            "\"%.40s\" is no kind of record (spec/records.md: organization, service, location, contract, "
            "...)",
            record->kind);
    else if (record->kind != NULL && strcmp(record->kind, "confirmation") == 0)
        bad(l, "kind", "confirmations are written by the run itself");
    read_each_levels(l, json_get(json, "each"), record);
}

/* The member by which a record hangs on the first one, for the fuse: a provider that vanishes with its
 * products is one row. */
static const char *member_to_main(const struct mapping *mapping, const struct record *record)
{
    for (size_t i = 0; i < record->fields.member_count; i++) {
        const struct value *value = record->fields.members[i].value;
        if (value != NULL && value->form == VALUE_REFERENCE && value->record == 0)
            return record->fields.members[i].name;
    }
    /* or by way of a record in between (a place of a service) */
    for (size_t i = 0; i < record->fields.member_count; i++) {
        const struct value *value = record->fields.members[i].value;
        if (value != NULL && value->form == VALUE_REFERENCE && &mapping->records[value->record] != record)
            return record->fields.members[i].name;
    }
    return NULL;
}

static void read_record_rest(struct loader *l, const cJSON *json, struct record *record)
{
    const cJSON *fields = json_get(json, "fields");
    if (!cJSON_IsObject(json))
        return;
    l->in_each = (unsigned)record->each_count;
    record->when = optional_condition(l, json, "when");
    read_identity(l, json_get(json, "id"), record);
    record->areas = optional_value(l, json, "areas");
    record->fields.form = VALUE_OBJECT;
    size_t before = enter(l, "fields");
    if (fields == NULL)
        bad(l, NULL, "is missing: the members of the record and where they come from");
    else if (is_object(l, fields, "the members of the record and where they come from"))
        read_members(l, fields, &record->fields);
    for (size_t i = 0; i < record->fields.member_count; i++) {
        if (record_member_reserved(record->fields.members[i].name) &&
            strcmp(record->fields.members[i].name, "verified") != 0)
            bad(l, record->fields.members[i].name, "belongs to the claim and cannot be mapped");
    }
    leave(l, before);
}

static void read_records(struct loader *l, const cJSON *list)
{
    size_t before = enter(l, "records");
    int count = cJSON_GetArraySize(list);
    const cJSON *json = NULL;
    if (!cJSON_IsArray(list) || count == 0 || count > RECORDS_MAX) {
        bad(l, NULL, "must be a list of 1 to %d records that a row becomes", RECORDS_MAX);
        leave(l, before);
        return;
    }
    l->mapping->records = reserve(l, (size_t)count, sizeof(*l->mapping->records));
    if (l->mapping->records == NULL)
        return;
    cJSON_ArrayForEach(json, list)
    {
        size_t within = enter_index(l, l->mapping->record_count);
        read_record_head(l, json, &l->mapping->records[l->mapping->record_count]);
        l->mapping->record_count++;
        leave(l, within);
    }
    l->record = 0;
    cJSON_ArrayForEach(json, list)
    {
        size_t within = enter_index(l, l->record);
        read_record_rest(l, json, &l->mapping->records[l->record]);
        leave(l, within);
        l->record++;
    }
    for (size_t i = 1; i < l->mapping->record_count; i++)
        l->mapping->records[i].main_member = member_to_main(l->mapping, &l->mapping->records[i]);
    leave(l, before);
}

/* ---- the listing ---- */

static void read_rows(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    static const char *const forms[] = {"array", "members", "one", NULL};
    if (cJSON_IsObject(json)) {
        size_t before = enter(l, "rows");
        only(l, json, "pointer form total");
        listing->rows = pointer_of(l, json, "pointer", true);
        listing->form = (enum mapping_rows)word_of(l, json, "form", forms, MAPPING_ROWS_ARRAY);
        listing->total = pointer_of(l, json, "total", false);
        leave(l, before);
    } else if (cJSON_IsString(json) && pointer_is_valid(json->valuestring)) {
        listing->rows = json->valuestring;
    } else {
        bad(l, "rows",
            "%s a JSON Pointer to the list of rows, such as \"/items\" (\"\" where the document is the list)",
            json == NULL ? "is missing:" : "must be");
    }
}

static void read_paging(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    static const char *const types[] = {"none", "next", "link", "page", "offset", "cursor", "hal", NULL};
    if (json == NULL)
        return;
    size_t before = enter(l, "paging");
    if (is_object(l, json, "{\"type\":\"next\",\"next\":\"/next\"}")) {
        only(l, json, "type next more pages parameter size-parameter size first");
        int type = word_of(l, json, "type", types, 0);
        if (json_get(json, "type") == NULL)
            bad(l, "type", "is missing: none, next, hal, link, page, offset or cursor");
        bool hal = type == 6;
        listing->paging = hal ? MAPPING_PAGING_NEXT : (enum mapping_paging)type;
        bool counts = listing->paging == MAPPING_PAGING_PAGE || listing->paging == MAPPING_PAGING_OFFSET;
        bool cursor = listing->paging == MAPPING_PAGING_CURSOR;
        listing->next = hal ? "/_links/next/href"
                            : pointer_of(l, json, "next", listing->paging == MAPPING_PAGING_NEXT || cursor);
        listing->more = pointer_of(l, json, "more", false);
        listing->pages = pointer_of(l, json, "pages", false);
        listing->parameter = text_of(l, json, "parameter", counts || cursor);
        listing->size_parameter = text_of(l, json, "size-parameter", false);
        listing->size = count_of(l, json, "size", 1, 100000, 0);
        listing->first = count_of(l, json, "first", 0, 1, listing->paging == MAPPING_PAGING_OFFSET ? 0 : 1);
        if (listing->size_parameter != NULL && listing->size == 0)
            bad(l, "size", "is missing: what \"size-parameter\" is to ask for");
        if (hal && json_get(json, "next") != NULL)
            bad(l, "next", "is /_links/next/href with \"type\":\"hal\"");
    }
    leave(l, before);
}

static void read_headers(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    const cJSON *header = NULL;
    if (json == NULL)
        return;
    size_t before = enter(l, "headers");
    if (is_object(l, json, "names and values of request headers"))
        listing->headers = json;
    cJSON_ArrayForEach(header, listing->headers)
    {
        if (!cJSON_IsString(header) || strpbrk(header->valuestring, "\r\n") != NULL ||
            strpbrk(header->string, ": \r\n") != NULL)
            bad(l, header->string, "must be one line of text");
        else if (strcasecmp(header->string, "Authorization") == 0 ||
                 strcasecmp(header->string, "Cookie") == 0)
            bad(l, header->string, "is a secret: it belongs in the source's token-file, not in the mapping");
    }
    leave(l, before);
}

static void read_tables(struct loader *l, const cJSON *tables)
{
    const cJSON *table = NULL;
    l->tables = tables;
    if (tables == NULL)
        return;
    size_t before = enter(l, "tables");
    if (is_object(l, tables, "tables by name")) {
        cJSON_ArrayForEach(table, tables)
        {
            if (!cJSON_IsObject(table) && !is_remark(table->string))
                bad(l, table->string, "must be an object {\"from\":to}; \"*\" stands for what is not listed");
        }
    }
    leave(l, before);
}

static void read_document(struct loader *l, const cJSON *json)
{
    static const char *const etags[] = {"page", "listing", NULL};
    const cJSON *version = json_get(json, "mapping");
    if (!is_object(l, json, "a mapping file"))
        return;
    only(l, json, "mapping description rows paging etag headers tables records");
    if (!cJSON_IsNumber(version) || version->valuedouble != MAPPING_VERSION)
        bad(l, "mapping", "must be %d, the version of the format", MAPPING_VERSION);
    read_rows(l, json_get(json, "rows"), &l->mapping->listing);
    read_paging(l, json_get(json, "paging"), &l->mapping->listing);
    l->mapping->listing.etag_covers_listing = word_of(l, json, "etag", etags, 0) == 1;
    read_headers(l, json_get(json, "headers"), &l->mapping->listing);
    read_tables(l, json_get(json, "tables"));
    read_records(l, json_get(json, "records"));
}

int mapping_load(const char *text, size_t size, mapping_report *report, void *context, struct mapping **out,
                 struct fault *fault)
{
    struct loader l = {.report = report, .context = context, .fault = fault};
    *out = NULL;
    l.mapping = calloc(1, sizeof(*l.mapping));
    if (l.mapping == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    if (size > MAPPING_SIZE_MAX) {
        mapping_free(l.mapping);
        return fault_set(fault, KAART_LIMIT, "the mapping is larger than %d bytes", MAPPING_SIZE_MAX);
    }
    l.mapping->document = json_parse(text, size, fault);
    if (l.mapping->document == NULL) {
        mapping_free(l.mapping);
        if (report != NULL && fault != NULL)
            report(context, "", fault->text);
        return KAART_SYNTAX;
    }
    read_document(&l, l.mapping->document);
    if (l.faults > 0 || l.out_of_memory) {
        mapping_free(l.mapping);
        return l.faults > 0 ? KAART_INVALID : fault_set(fault, KAART_NOMEM, "out of memory");
    }
    *out = l.mapping;
    return KAART_OK;
}

/* ---- taking apart ---- */

/* Frees what it holds, not itself. */
void condition_free(struct condition *condition)
{
    if (condition == NULL)
        return;
    for (size_t i = 0; i < condition->part_count; i++)
        condition_free(&condition->parts[i]);
    free(condition->parts);
}

/* Frees what it holds, not itself. */
void value_free(struct value *value)
{
    if (value == NULL)
        return;
    for (size_t i = 0; i < value->member_count; i++) {
        value_free(value->members[i].value);
        free(value->members[i].value);
    }
    for (size_t i = 0; i < value->piece_count; i++) {
        free(value->pieces[i].text);
        free(value->pieces[i].owned);
    }
    condition_free(value->when);
    free(value->when);
    free(value->members);
    free(value->pieces);
    free(value->reaches);
}

void mapping_free(struct mapping *mapping)
{
    if (mapping == NULL)
        return;
    for (size_t i = 0; i < mapping->record_count; i++) {
        struct record *record = &mapping->records[i];
        for (size_t j = 0; j < record->identifier_count; j++) {
            value_free(record->identifiers[j].value);
            free(record->identifiers[j].value);
        }
        free(record->identifiers);
        value_free(record->external);
        free(record->external);
        value_free(record->areas);
        free(record->areas);
        value_free(&record->fields);
        condition_free(record->when);
        free(record->when);
        condition_free(record->personal);
        free(record->personal);
    }
    free(mapping->records);
    cJSON_Delete(mapping->document);
    free(mapping);
}

/* ---- what others may ask ---- */

const struct mapping_listing *mapping_listing(const struct mapping *mapping)
{
    return &mapping->listing;
}

const char *mapping_main_kind(const struct mapping *mapping)
{
    return mapping->records[0].kind;
}

bool mapping_parent_member(const struct mapping *mapping, size_t n, const char **kind, const char **member)
{
    if (n >= mapping->record_count)
        return false;
    *kind = mapping->records[n].kind;
    *member = mapping->records[n].main_member;
    return true;
}
