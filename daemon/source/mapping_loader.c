/*
 * mapping_loader.c - the parts of a mapping file: small readers, conditions, values. Each fault names its place as a JSON Pointer into the
 * file, what is wrong and what would be right. spec/sources.md.
 */
#include "daemon/source/mapping_loader.h"
#include "daemon/source/convert.h"
#include "daemon/source/pointer.h"
#include "protocol/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More faults than this are not worth reading in one go. */
#define FAULTS_MAX 100

/* ---- telling what is wrong ---- */

size_t loader_enter(struct loader *l, const char *name)
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

size_t loader_enter_index(struct loader *l, size_t index)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    return loader_enter(l, name);
}

void loader_leave(struct loader *l, size_t before)
{
    l->path_size = before;
    l->path[before] = '\0';
}

/* A fault at the member `name` of the object at hand, or at that itself (NULL). */
void loader_bad(struct loader *l, const char *name, const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    size_t before = name != NULL ? loader_enter(l, name) : l->path_size;
    if (l->faults == 0)
        fault_set(l->fault, KAART_INVALID, "%s: %s", l->path_size > 0 ? l->path : "the mapping", message);
    if (l->faults++ < FAULTS_MAX && l->report != NULL)
        l->report(l->context, l->path, message);
    loader_leave(l, before);
}

void *loader_reserve(struct loader *l, size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        l->out_of_memory = true;
    return memory;
}

/* ---- small readers ---- */

/* Remarks may stand anywhere. */
bool loader_is_remark(const char *name)
{
    return name[0] == '$' || strcmp(name, "comment") == 0;
}

bool loader_is_object(struct loader *l, const cJSON *json, const char *what)
{
    if (cJSON_IsObject(json))
        return true;
    loader_bad(l, NULL, "must be an object%s%s", what[0] != '\0' ? ": " : "", what);
    return false;
}

/* Whether a word is among those of a list with blanks between. */
static bool is_among(const char *words, const char *word)
{
    size_t size = strlen(word);
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        if (length == size && memcmp(words, word, size) == 0)
            return true;
        words += length + strspn(words + length, " ");
    }
    return false;
}

void loader_only(struct loader *l, const cJSON *object, const char *allowed)
{
    const cJSON *member = NULL;
    cJSON_ArrayForEach(member, object)
    {
        if (!loader_is_remark(member->string) && !is_among(allowed, member->string))
            loader_bad(l, member->string, "is unknown here; known are: %s", allowed);
    }
}

const char *loader_text(struct loader *l, const cJSON *object, const char *name, bool required)
{
    const cJSON *value = json_get(object, name);
    if (value == NULL) {
        if (required)
            loader_bad(l, name, "is missing");
        return NULL;
    }
    if (!cJSON_IsString(value) || value->valuestring[0] == '\0') {
        loader_bad(l, name, "must be a text that is not empty");
        return NULL;
    }
    return value->valuestring;
}

const char *loader_pointer(struct loader *l, const cJSON *object, const char *name, bool required)
{
    const cJSON *value = json_get(object, name);
    if (cJSON_IsString(value) && pointer_is_valid(value->valuestring))
        return value->valuestring;
    if (value != NULL || required)
        loader_bad(
            l, name, "%s a JSON Pointer such as \"/items\"%s",
            value != NULL ? "must be" : "is missing:", value != NULL ? " (\"\" is the whole document)" : "");
    return NULL;
}

bool loader_flag(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *value = json_get(object, name);
    if (value != NULL && !cJSON_IsBool(value))
        loader_bad(l, name, "must be true or false");
    return cJSON_IsTrue(value);
}

long loader_count(struct loader *l, const cJSON *object, const char *name, long least, long most,
                  long otherwise)
{
    const cJSON *value = json_get(object, name);
    if (value == NULL)
        return otherwise;
    if (!cJSON_IsNumber(value) || value->valuedouble < (double)least || value->valuedouble > (double)most ||
        value->valuedouble != (double)(long)value->valuedouble) {
        loader_bad(l, name, "must be a whole number from %ld to %ld", least, most);
        return otherwise;
    }
    return (long)value->valuedouble;
}

/* One of a list of words; its place in `words`, or `otherwise` where absent. */
int loader_word(struct loader *l, const cJSON *object, const char *name, const char *const *words,
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
    loader_bad(l, name, "must be one of %s", all);
    return otherwise;
}

/* "^^/naam": levels outwards, and a pointer. */
static bool read_reach(struct loader *l, const char *text, struct reach *reach, const char *where)
{
    size_t outwards = strspn(text, "^");
    if (!pointer_is_valid(text + outwards)) {
        loader_bad(l, where,
                   "\"%.60s\" must be a JSON Pointer such as \"/naam\" (\"^/naam\" for the item around it)",
                   text);
        return false;
    }
    if (outwards > l->in_each) {
        loader_bad(l, where,
                   "\"%.60s\" reaches %zu levels outwards, but only %u lists (\"each\") stand around it",
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
        loader_bad(l, NULL, "must hold at least one condition");
    condition->parts = loader_reserve(l, count, sizeof(*condition->parts));
    if (condition->parts == NULL)
        return;
    cJSON_ArrayForEach(part, list)
    {
        size_t before = loader_enter_index(l, condition->part_count);
        read_condition(l, part, &condition->parts[condition->part_count++]);
        loader_leave(l, before);
    }
}

static void read_test(struct loader *l, const cJSON *json, struct condition *condition)
{
    loader_only(l, json, "pointer equals present");
    const char *text = loader_text(l, json, "pointer", true);
    condition->form = CONDITION_TEST;
    condition->equals = json_get(json, "equals");
    condition->present = json_get(json, "present") == NULL || loader_flag(l, json, "present");
    if (text != NULL)
        read_reach(l, text, &condition->reach, "pointer");
    if (condition->equals != NULL && json_get(json, "present") != NULL)
        loader_bad(l, "present", "cannot stand beside \"equals\": one of the two is asked");
    if (cJSON_IsObject(condition->equals) || cJSON_IsNull(condition->equals))
        loader_bad(l, "equals", "must be a text, a number, true or false, or a list of these");
}

static void read_condition(struct loader *l, const cJSON *json, struct condition *condition)
{
    if (++l->depth > VALUE_DEPTH_MAX) {
        loader_bad(l, NULL, "is nested deeper than %d", VALUE_DEPTH_MAX);
    } else if (cJSON_IsArray(json)) {
        condition->form = CONDITION_ALL;
        read_conditions(l, json, condition);
    } else if (loader_is_object(
                   l, json,
                   "{\"pointer\":\"/type\",\"equals\":\"zorg\"}, or a list of which all must hold")) {
        const cJSON *any = json_get(json, "any"), *not = json_get(json, "not");
        if (any != NULL) {
            size_t before = loader_enter(l, "any");
            condition->form = CONDITION_ANY;
            if (cJSON_IsArray(any))
                read_conditions(l, any, condition);
            else
                loader_bad(l, NULL, "must be a list of conditions of which one must hold");
            loader_leave(l, before);
        } else if (not != NULL) {
            size_t before = loader_enter(l, "not");
            condition->form = CONDITION_NOT;
            condition->parts = loader_reserve(l, 1, sizeof(*condition->parts));
            if (condition->parts != NULL) {
                condition->part_count = 1;
                read_condition(l, not, condition->parts);
            }
            loader_leave(l, before);
        } else {
            read_test(l, json, condition);
        }
    }
    l->depth--;
}

struct condition *loader_condition(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *json = json_get(object, name);
    if (json == NULL)
        return NULL;
    struct condition *condition = loader_reserve(l, 1, sizeof(*condition));
    size_t before = loader_enter(l, name);
    if (condition != NULL)
        read_condition(l, json, condition);
    loader_leave(l, before);
    return condition;
}

/* ---- values ---- */

static void read_value(struct loader *l, const cJSON *json, struct value *value);

static struct value *new_value(struct loader *l, const cJSON *json, const char *name)
{
    struct value *value = loader_reserve(l, 1, sizeof(*value));
    size_t before = loader_enter(l, name);
    if (value != NULL)
        read_value(l, json, value);
    loader_leave(l, before);
    return value;
}

/* A pointer, or a list of them. */
static void read_reaches(struct loader *l, const cJSON *json, struct value *value)
{
    size_t count = cJSON_IsArray(json) ? (size_t)cJSON_GetArraySize(json) : 1;
    value->reaches = loader_reserve(l, count, sizeof(*value->reaches));
    if (value->reaches == NULL)
        return;
    if (count == 0)
        loader_bad(l, NULL, "must hold at least one JSON Pointer");
    const cJSON *each = cJSON_IsArray(json) ? json->child : json;
    for (; value->reach_count < count; each = each->next) {
        if (cJSON_IsString(each))
            read_reach(l, each->valuestring, &value->reaches[value->reach_count], NULL);
        else
            loader_bad(
                l, NULL,
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
                loader_bad(l, NULL, "has a \"{\" without its \"}\"; a brace itself is written \"{{\"");
                return;
            }
            add_piece(l, value, text + 1, size - 1, true);
            pointers = true;
            text += size + 1;
        }
    }
    if (!pointers)
        loader_bad(l, NULL, "has no \"{/pointer}\" in it; a fixed text is written {\"constant\":\"...\"}");
}

void loader_members(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *member = NULL;
    value->members = loader_reserve(l, (size_t)cJSON_GetArraySize(json), sizeof(*value->members));
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
    size_t before = loader_enter(l, "each");
    read_reaches(l, json_get(json, "each"), value);
    loader_leave(l, before);
    value->members = loader_reserve(l, 1, sizeof(*value->members));
    if (value->members == NULL)
        return;
    if (item == NULL) {
        loader_bad(l, "item", "is missing: what one element becomes");
        return;
    }
    l->in_each++;
    value->member_count = 1;
    value->members[0].value = new_value(l, item, "item");
    l->in_each--;
}

bool loader_find_record(const struct mapping *mapping, const char *name, size_t *index)
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
bool loader_encloses(const struct record *other, const struct record *own)
{
    bool within = other->each_count <= own->each_count;
    for (size_t i = 0; within && i < other->each_count; i++)
        within = strcmp(other->each[i], own->each[i]) == 0;
    return within;
}

static void read_reference(struct loader *l, const cJSON *json, struct value *value, bool single)
{
    const struct mapping *mapping = l->mapping;
    if (!cJSON_IsString(json) || !loader_find_record(mapping, json->valuestring, &value->record)) {
        value->record = 0;
        loader_bad(l, NULL, "must be the \"name\" of a record of this mapping");
    } else if (single && !loader_encloses(&mapping->records[value->record], &mapping->records[l->record])) {
        loader_bad(l, NULL,
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
        loader_bad(
            l, NULL,
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
    size_t before = loader_enter(l, found->string);
    switch (value->form) {
    case VALUE_CONSTANT:
        value->constant = found;
        break;
    case VALUE_TEMPLATE:
        if (cJSON_IsString(found))
            read_template(l, found->valuestring, value);
        else
            loader_bad(l, NULL, "must be a text such as \"{/straat} {/huisnummer}\"");
        break;
    case VALUE_OBJECT:
        if (loader_is_object(l, found, "members and their values"))
            loader_members(l, found, value);
        break;
    case VALUE_FIRST:
    case VALUE_LIST:
        if (cJSON_IsArray(found))
            loader_members(l, found, value);
        else
            loader_bad(l, NULL, "must be a list of values");
        break;
    case VALUE_REFERENCE:
    case VALUE_REFERENCES:
        read_reference(l, found, value, value->form == VALUE_REFERENCE);
        break;
    default:
        read_reaches(l, found, value);
        if (value->form == VALUE_RD && value->reach_count > 2)
            loader_bad(l, NULL, "must be one pointer (to a point) or two (to x and y)");
        break;
    }
    loader_leave(l, before);
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
            loader_bad(
                l, "format",
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
        loader_bad(l, name, "must be a list of words, such as [\"ja\"]");
}

static void read_table(struct loader *l, const cJSON *json, struct value *value)
{
    const cJSON *table = json_get(json, "table");
    if (cJSON_IsString(table)) {
        value->table = json_get(l->tables, table->valuestring);
        if (!cJSON_IsObject(value->table))
            loader_bad(l, "table", "\"%.40s\" is no table in /tables", table->valuestring);
    } else if (cJSON_IsObject(table)) {
        value->table = table;
    } else if (table != NULL) {
        loader_bad(l, "table", "must be the name of a table in /tables, or an object {\"from\":to}");
    }
}

/* Members that belong to one conversion alone. */
static void check_fits(struct loader *l, const cJSON *json, const struct value *value)
{
    if (json_get(json, "format") != NULL && value->as != AS_DATE && value->as != AS_NUMBER &&
        value->as != AS_INTEGER)
        loader_bad(l, "format", "belongs to \"as\":\"date\", \"number\" or \"integer\"");
    if ((value->yes != NULL || value->no != NULL) && value->as != AS_BOOLEAN)
        loader_bad(l, value->yes != NULL ? "true" : "false", "belongs to \"as\":\"boolean\"");
    if (value->form == VALUE_RD && value->as != AS_LATITUDE && value->as != AS_LONGITUDE)
        loader_bad(l, "as", "must be \"latitude\" or \"longitude\" beside \"rd\"");
    if (value->form == VALUE_RD && (value->split != NULL || value->table != NULL))
        loader_bad(l, NULL, "\"split\" and \"table\" have no meaning beside \"rd\"");
    if (json_get(json, "item") != NULL && value->form != VALUE_EACH)
        loader_bad(l, "item", "belongs to \"each\"");
    if (value->needs_all && value->form != VALUE_TEMPLATE)
        loader_bad(l, "needs-all", "belongs to \"template\"");
}

static void read_conversion(struct loader *l, const cJSON *json, struct value *value)
{
    static const char *const as[] = {"",         "text",      "html",    "date", "time",
                                     "number",   "integer",   "boolean", "url",  "postcode",
                                     "latitude", "longitude", NULL};
    static const char *const broken[] = {"skip-record", "drop", "keep", NULL};
    static const char *const nulls[] = {"absent", "none", NULL};
    static const char *const cases[] = {"upper", "lower", NULL};
    value->as = (enum value_as)loader_word(l, json, "as", as, AS_IT_IS);
    value->broken = (enum value_broken)loader_word(l, json, "if-broken", broken, BROKEN_RECORD);
    value->keep_null = loader_word(l, json, "null", nulls, 0) == 1;
    int letters = loader_word(l, json, "case", cases, -1);
    value->upper = letters == 0;
    value->lower = letters == 1;
    value->when = loader_condition(l, json, "when");
    value->split = loader_text(l, json, "split", false);
    value->required = loader_flag(l, json, "required");
    value->needs_all = loader_flag(l, json, "needs-all");
    value->pad = (unsigned)loader_count(l, json, "pad", 1, 40, 0);
    value->substitute = json_get(json, "default");
    read_words(l, json, "true", &value->yes);
    read_words(l, json, "false", &value->no);
    read_table(l, json, value);
    if (value->as == AS_DATE) {
        read_patterns(l, json, value);
    } else if (value->as == AS_NUMBER || value->as == AS_INTEGER) {
        static const char *const numbers[] = {"plain", "dutch", NULL};
        value->dutch = loader_word(l, json, "format", numbers, 0) == 1;
    }
    check_fits(l, json, value);
}

static void read_value(struct loader *l, const cJSON *json, struct value *value)
{
    if (++l->depth > VALUE_DEPTH_MAX) {
        loader_bad(l, NULL, "is nested deeper than %d", VALUE_DEPTH_MAX);
    } else if (cJSON_IsString(json)) {
        value->form = VALUE_POINTER;
        if (json->valuestring[0] == '/' || json->valuestring[0] == '^')
            read_reaches(l, json, value);
        else
            loader_bad(l, NULL,
                       "\"%.60s\" is no JSON Pointer such as \"/naam\"; a fixed text is written "
                       "{\"constant\":\"...\"}",
                       json->valuestring);
    } else if (loader_is_object(
                   l, json,
                   "a value is a JSON Pointer (\"/naam\") or an object such as {\"template\":\"{/a} "
                   "{/b}\"}")) {
        loader_only(
            l, json,
            "pointer constant template object list each item reference references rd first when as format "
            "split table "
            "default required "
            "null if-broken needs-all true false pad case");
        read_form(l, json, value);
        read_conversion(l, json, value);
    }
    l->depth--;
}

struct value *loader_value(struct loader *l, const cJSON *object, const char *name)
{
    const cJSON *json = json_get(object, name);
    return json != NULL ? new_value(l, json, name) : NULL;
}
