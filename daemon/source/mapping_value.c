/*
 * mapping_value.c - works out one value of a mapping for one row: where it comes from, then how it is
 * converted.
 *
 *     pointer, template, ... -> trim -> split -> (each element:) pad, case -> table -> as -> default,
 * required
 *
 * An empty text counts as absent, since registers write "" where they know nothing. null counts as absent
 * too, unless the mapping says that it means "has none".
 */
#include "daemon/source/convert.h"
#include "daemon/source/mapping_parts.h"
#include "daemon/source/pointer.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements of a list in a row that are looked at: an entry has 64 KiB in all. */
#define ELEMENTS_MAX 2000

static int no_memory(struct making *making)
{
    return fault_set(&making->fault, KAART_NOMEM, "out of memory");
}

/* ---- places in the row and in the record ---- */

const cJSON *reach_get(const struct reach *reach, const struct scope *scope)
{
    for (unsigned i = 0; i < reach->outwards && scope != NULL; i++)
        scope = scope->outer;
    return scope != NULL ? pointer_get(scope->item, reach->pointer) : NULL;
}

static size_t field_enter(struct making *making, const char *name)
{
    size_t before = strlen(making->field);
    snprintf(making->field + before, sizeof(making->field) - before, "%s%s", before > 0 ? "/" : "", name);
    return before;
}

static size_t field_enter_index(struct making *making, size_t index)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    return field_enter(making, name);
}

static void field_leave(struct making *making, size_t before)
{
    making->field[before] = '\0';
}

int making_problem(struct making *making, bool warning, const char *field, const char *message)
{
    struct mapping_output *output = making->output;
    if (output->problem_count - making->first_problem >= MAPPING_ROW_PROBLEMS_MAX)
        return KAART_OK;
    if (output->problem_count == output->problem_room) {
        size_t room = output->problem_room > 0 ? output->problem_room * 2 : 16;
        struct mapping_problem *grown = realloc(output->problems, room * sizeof(*grown));
        if (grown == NULL)
            return no_memory(making);
        output->problems = grown;
        output->problem_room = room;
    }
    struct mapping_problem *problem = &output->problems[output->problem_count++];
    problem->row = making->row;
    problem->warning = warning;
    snprintf(problem->field, sizeof(problem->field), "%s", field);
    snprintf(problem->message, sizeof(problem->message), "%s", message);
    return KAART_OK;
}

/* ---- texts ---- */

/* A scalar as text, trimmed; NULL where it is none or memory is short. Malloc'ed. */
static char *scalar_text(const cJSON *value)
{
    char number[40];
    const char *text = number;
    if (cJSON_IsString(value))
        text = value->valuestring;
    else if (cJSON_IsBool(value))
        text = cJSON_IsTrue(value) ? "true" : "false";
    else if (cJSON_IsNumber(value) && fabs(value->valuedouble) < 1e15 &&
             value->valuedouble == floor(value->valuedouble))
        snprintf(number, sizeof(number), "%.0f", value->valuedouble);
    else if (cJSON_IsNumber(value))
        snprintf(number, sizeof(number), "%.15g", value->valuedouble);
    else
        return NULL;
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    return strndup(text, size);
}

static bool is_scalar(const cJSON *value)
{
    return cJSON_IsString(value) || cJSON_IsNumber(value) || cJSON_IsBool(value);
}

/* Whether a row says something here. */
static bool says_something(const cJSON *value)
{
    if (value == NULL || cJSON_IsNull(value))
        return false;
    return !cJSON_IsString(value) || value->valuestring[strspn(value->valuestring, " \t\r\n")] != '\0';
}

/* ---- conditions ---- */

static bool scalar_equals(const cJSON *value, const cJSON *wanted)
{
    char *a = scalar_text(value), *b = scalar_text(wanted);
    bool same = a != NULL && b != NULL && strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

static bool test_holds(const struct condition *condition, const struct scope *scope)
{
    const cJSON *value = reach_get(&condition->reach, scope);
    if (condition->equals == NULL)
        return says_something(value) == condition->present;
    if (!cJSON_IsArray(condition->equals))
        return scalar_equals(value, condition->equals);
    const cJSON *wanted = NULL;
    cJSON_ArrayForEach(wanted, condition->equals)
    {
        if (scalar_equals(value, wanted))
            return true;
    }
    return false;
}

bool condition_holds(const struct condition *condition, const struct scope *scope)
{
    if (condition->form == CONDITION_TEST)
        return test_holds(condition, scope);
    if (condition->form == CONDITION_NOT)
        return !condition_holds(&condition->parts[0], scope);
    bool any = condition->form == CONDITION_ANY;
    for (size_t i = 0; i < condition->part_count; i++) {
        if (condition_holds(&condition->parts[i], scope) == any)
            return any;
    }
    return !any;
}

/* ---- conversions of one scalar ---- */

static cJSON *text_node(struct making *making, const char *text, int *code)
{
    cJSON *node = cJSON_CreateString(text);
    if (node == NULL)
        *code = no_memory(making);
    return node;
}

static int convert_to_number(struct making *making, const struct value *value, const cJSON *from, cJSON **out)
{
    double number = 0;
    char quoted[CONVERT_QUOTE_MAX + 8];
    int code = KAART_OK;
    if (cJSON_IsNumber(from))
        number = from->valuedouble;
    else if (cJSON_IsString(from))
        code = convert_number(from->valuestring, value->dutch, &number, &making->fault);
    else
        code = fault_set(&making->fault, KAART_INVALID, "%s is no number", convert_quote(from, quoted));
    if (code == KAART_OK && value->as == AS_INTEGER && number != floor(number))
        code = fault_set(&making->fault, KAART_INVALID, "%s is no whole number", convert_quote(from, quoted));
    if (code != KAART_OK)
        return code;
    *out = cJSON_CreateNumber(number);
    return *out != NULL ? KAART_OK : no_memory(making);
}

/* A number is taken for degrees, anything else for a point. */
static int convert_to_degrees(struct making *making, const struct value *value, const cJSON *from,
                              cJSON **out)
{
    struct fault ignored;
    double latitude = 0, longitude = 0, degrees = 0;
    if (cJSON_IsNumber(from)) {
        degrees = from->valuedouble;
    } else if (!cJSON_IsString(from) ||
               convert_number(from->valuestring, false, &degrees, &ignored) != KAART_OK) {
        int code = convert_point(from, &latitude, &longitude, &making->fault);
        if (code != KAART_OK)
            return code;
        degrees = value->as == AS_LATITUDE ? latitude : longitude;
    }
    *out = cJSON_CreateNumber(degrees);
    return *out != NULL ? KAART_OK : no_memory(making);
}

static int convert_to_boolean(struct making *making, const struct value *value, const char *text, cJSON **out)
{
    bool truth = false;
    int code = convert_boolean(text, value->yes, value->no, &truth, &making->fault);
    if (code != KAART_OK)
        return code;
    *out = cJSON_CreateBool(truth);
    return *out != NULL ? KAART_OK : no_memory(making);
}

static int convert_text(struct making *making, const struct value *value, const char *text, cJSON **out)
{
    char fixed[DAY_TEXT_SIZE + 1] = "";
    char *made = NULL;
    int code = KAART_OK;
    switch (value->as) {
    case AS_HTML:
        code = convert_html(text, &made, &making->fault);
        break;
    case AS_URL:
        code = convert_url(text, &made, &making->fault);
        break;
    case AS_DATE:
        code = convert_date(text, value->patterns, fixed, &making->fault);
        break;
    case AS_TIME:
        code = convert_time(text, fixed, &making->fault);
        break;
    case AS_POSTCODE:
        code = convert_postcode(text, fixed, &making->fault);
        break;
    default:
        made = strdup(text);
        code = made != NULL ? KAART_OK : no_memory(making);
        break;
    }
    if (code == KAART_OK && (made != NULL ? made[0] : fixed[0]) != '\0')
        *out = text_node(making, made != NULL ? made : fixed, &code);
    free(made);
    return code;
}

/* `as`, for one element that says something. *out stays NULL where nothing is left of it (HTML without text).
 */
static int convert_as(struct making *making, const struct value *value, const cJSON *from, cJSON **out)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    if (value->as == AS_NUMBER || value->as == AS_INTEGER)
        return convert_to_number(making, value, from, out);
    if (value->as == AS_LATITUDE || value->as == AS_LONGITUDE)
        return convert_to_degrees(making, value, from, out);
    if (value->as == AS_IT_IS && !cJSON_IsString(from)) {
        *out = cJSON_Duplicate(from, true);
        return *out != NULL ? KAART_OK : no_memory(making);
    }
    if (!is_scalar(from))
        return fault_set(&making->fault, KAART_INVALID, "%s stands where a text or number belongs",
                         convert_quote(from, quoted));
    char *text = scalar_text(from);
    if (text == NULL)
        return no_memory(making);
    int code = value->as == AS_BOOLEAN ? convert_to_boolean(making, value, text, out)
                                       : convert_text(making, value, text, out);
    free(text);
    return code;
}

/* What the table has for it; "*" stands for whatever is not listed. */
static int look_up(struct making *making, const struct value *value, const cJSON *from, const cJSON **found)
{
    char quoted[CONVERT_QUOTE_MAX + 8];
    char *key = scalar_text(from);
    if (key == NULL)
        return is_scalar(from) ? no_memory(making)
                               : fault_set(&making->fault, KAART_INVALID, "%s cannot be looked up in a table",
                                           convert_quote(from, quoted));
    *found = cJSON_GetObjectItemCaseSensitive(value->table, key);
    if (*found == NULL)
        *found = cJSON_GetObjectItemCaseSensitive(value->table, "*");
    free(key);
    if (*found == NULL)
        return fault_set(&making->fault, KAART_INVALID, "%s is not in the mapping's table",
                         convert_quote(from, quoted));
    return KAART_OK;
}

/* Leading zeros that a spreadsheet took away, and letters' case. */
static int adjust(struct making *making, const struct value *value, const cJSON *from, cJSON **out)
{
    char padded[48];
    char *text = scalar_text(from);
    if (text == NULL)
        return is_scalar(from) ? no_memory(making) : KAART_OK;
    size_t size = strlen(text);
    for (char *p = text; *p != '\0'; p++) {
        if (value->upper)
            *p = (char)toupper((unsigned char)*p);
        else if (value->lower)
            *p = (char)tolower((unsigned char)*p);
    }
    const char *result = text;
    if (value->pad > size && size > 0 && strspn(text, "0123456789") == size) {
        memset(padded, '0', value->pad - size);
        memcpy(padded + value->pad - size, text, size + 1);
        result = padded;
    }
    int code = KAART_OK;
    *out = text_node(making, result, &code);
    free(text);
    return code;
}

/* One element through pad, case, table and as. *out NULL: nothing is left. */
static int convert_one(struct making *making, const struct value *value, const cJSON *from, cJSON **out)
{
    cJSON *adjusted = NULL;
    const cJSON *found = NULL;
    int code = KAART_OK;
    *out = NULL;
    if (!says_something(from))
        return KAART_OK;
    if (value->pad > 0 || value->upper || value->lower) {
        code = adjust(making, value, from, &adjusted);
        if (adjusted != NULL)
            from = adjusted;
    }
    if (code == KAART_OK && value->table != NULL) {
        code = look_up(making, value, from, &found);
        if (code == KAART_OK)
            from = found;
    }
    if (code == KAART_OK && says_something(from))
        code = convert_as(making, value, from, out);
    cJSON_Delete(adjusted);
    return code;
}

/* convert_one, and what the mapping wants done where that fails. */
static int convert_or_bear(struct making *making, const struct value *value, const cJSON *from, cJSON **out)
{
    int code = convert_one(making, value, from, out);
    if (code != KAART_INVALID || value->broken == BROKEN_RECORD)
        return code;
    code = making_problem(making, true, making->field, making->fault.text);
    if (code == KAART_OK && value->broken == BROKEN_KEEP) {
        *out = cJSON_Duplicate(from, true);
        code = *out != NULL ? KAART_OK : no_memory(making);
    }
    return code;
}

static int convert_list(struct making *making, const struct value *value, const cJSON *list, cJSON **out)
{
    cJSON *made = cJSON_CreateArray();
    const cJSON *from = NULL;
    size_t index = 0;
    int code = made != NULL ? KAART_OK : no_memory(making);
    cJSON_ArrayForEach(from, list)
    {
        cJSON *element = NULL;
        if (code != KAART_OK)
            break;
        size_t before = field_enter_index(making, index);
        if (index++ >= ELEMENTS_MAX)
            code = fault_set(&making->fault, KAART_INVALID, "has more than %d elements", ELEMENTS_MAX);
        else
            code = convert_or_bear(making, value, from, &element);
        if (element != NULL)
            cJSON_AddItemToArray(made, element);
        if (code != KAART_INVALID)
            field_leave(making, before);
    }
    if (code != KAART_OK || made->child == NULL) {
        cJSON_Delete(made);
        return code;
    }
    *out = made;
    return KAART_OK;
}

static int split_text(struct making *making, const char *text, const char *separator, cJSON **list)
{
    size_t skip = strlen(separator);
    *list = cJSON_CreateArray();
    if (*list == NULL)
        return no_memory(making);
    for (;;) {
        const char *end = strstr(text, separator);
        char *part = end != NULL ? strndup(text, (size_t)(end - text)) : strdup(text);
        cJSON *element = part != NULL ? cJSON_CreateString(part) : NULL;
        free(part);
        if (element == NULL)
            return no_memory(making);
        cJSON_AddItemToArray(*list, element);
        if (end == NULL)
            return KAART_OK;
        text = end + skip;
    }
}

/* ---- where values come from ---- */

static int from_template(struct making *making, const struct value *value, const struct scope *scope,
                         cJSON **out)
{
    char *text = NULL, *written = NULL;
    size_t size = 0;
    size_t present = 0, pointers = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL)
        return no_memory(making);
    for (size_t i = 0; i < value->piece_count; i++) {
        const struct piece *piece = &value->pieces[i];
        if (piece->text != NULL) {
            fputs(piece->text, stream);
            continue;
        }
        char *part = scalar_text(reach_get(&piece->reach, scope));
        pointers++;
        if (part != NULL && part[0] != '\0') {
            present++;
            fputs(part, stream);
        }
        free(part);
    }
    if (fclose(stream) != 0) {
        free(text);
        return no_memory(making);
    }
    int code = KAART_OK;
    if (present > 0 && (!value->needs_all || present == pointers)) {
        written = text; /* blanks that stood beside what is absent collapse */
        for (const char *p = text; *p != '\0'; p++) {
            if (*p != ' ' || (written > text && written[-1] != ' '))
                *written++ = *p;
        }
        while (written > text && written[-1] == ' ')
            written--;
        *written = '\0';
        *out = text_node(making, text, &code);
    }
    free(text);
    return code;
}

/* Members that are constants do not make an object present: an address of which only the country is known is
 * none. */
static int from_object(struct making *making, const struct value *value, const struct scope *scope,
                       cJSON **out)
{
    cJSON *object = cJSON_CreateObject();
    struct fault first = {""};
    char first_field[sizeof(making->field)];
    bool asked = false, told = false, lacking = false;
    int code = object != NULL ? KAART_OK : no_memory(making);
    for (size_t i = 0; i < value->member_count && code == KAART_OK; i++) {
        const struct value_member *member = &value->members[i];
        cJSON *made = NULL;
        size_t before = field_enter(making, member->name);
        code = value_make(making, member->value, scope, &made);
        asked = asked || member->value->form != VALUE_CONSTANT;
        told = told || (made != NULL && !making->substituted);
        if (made != NULL && !cJSON_AddItemToObject(object, member->name, made)) {
            cJSON_Delete(made);
            code = no_memory(making);
        }
        if (code == KAART_INVALID && making->missing) { /* a fault only if the object is there at all */
            if (!lacking) {
                first = making->fault;
                memcpy(first_field, making->field, sizeof(first_field));
            }
            lacking = true;
            code = KAART_OK;
        }
        if (code != KAART_INVALID)
            field_leave(making, before);
    }
    making->missing = false;
    if (code == KAART_OK && lacking && told) {
        making->fault = first;
        memcpy(making->field, first_field, sizeof(first_field));
        code = KAART_INVALID;
    }
    if (code != KAART_OK || (asked && !told)) {
        cJSON_Delete(object);
        return code;
    }
    making->substituted = !told;
    *out = object;
    return KAART_OK;
}

static int from_list(struct making *making, const struct value *value, const struct scope *scope, cJSON **out)
{
    cJSON *list = cJSON_CreateArray();
    bool told = false;
    int code = list != NULL ? KAART_OK : no_memory(making);
    for (size_t i = 0; i < value->member_count && code == KAART_OK; i++) {
        cJSON *made = NULL;
        size_t before = field_enter_index(making, i);
        code = value_make(making, value->members[i].value, scope, &made);
        told = told || (made != NULL && !making->substituted);
        if (made != NULL)
            cJSON_AddItemToArray(list, made);
        if (code != KAART_INVALID)
            field_leave(making, before);
    }
    if (code != KAART_OK || list->child == NULL) {
        cJSON_Delete(list);
        return code;
    }
    making->substituted = !told;
    *out = list;
    return KAART_OK;
}

/* The first of several values that is present, converted by its own rules. */
static int from_first(struct making *making, const struct value *value, const struct scope *scope,
                      cJSON **out)
{
    int code = KAART_OK;
    for (size_t i = 0; i < value->member_count && code == KAART_OK && *out == NULL; i++)
        code = value_make(making, value->members[i].value, scope, out);
    return code;
}

static const cJSON *first_present(const struct value *value, const struct scope *scope)
{
    const cJSON *found = NULL;
    for (size_t i = 0; i < value->reach_count; i++) {
        const cJSON *here = reach_get(&value->reaches[i], scope);
        if (says_something(here))
            return here;
        if (found == NULL)
            found = here;
    }
    return found; /* perhaps null, which may mean "has none" */
}

static int from_each(struct making *making, const struct value *value, const struct scope *scope, cJSON **out)
{
    const cJSON *items = first_present(value, scope);
    char quoted[CONVERT_QUOTE_MAX + 8];
    if (!says_something(items))
        return KAART_OK;
    if (!cJSON_IsArray(items) && !cJSON_IsObject(items))
        return fault_set(&making->fault, KAART_INVALID, "%s stands where a list belongs",
                         convert_quote(items, quoted));
    cJSON *list = cJSON_CreateArray();
    const cJSON *item =
        cJSON_IsArray(items) ? items->child : items; /* one object is taken for a list of one */
    size_t index = 0;
    int code = list != NULL ? KAART_OK : no_memory(making);
    for (; item != NULL && code == KAART_OK; item = cJSON_IsArray(items) ? item->next : NULL) {
        struct scope inner = {item, scope};
        cJSON *made = NULL;
        size_t before = field_enter_index(making, index);
        if (index++ >= ELEMENTS_MAX)
            code = fault_set(&making->fault, KAART_INVALID, "has more than %d elements", ELEMENTS_MAX);
        else
            code = value_make(making, value->members[0].value, &inner, &made);
        if (made != NULL)
            cJSON_AddItemToArray(list, made);
        if (code != KAART_INVALID)
            field_leave(making, before);
    }
    if (code != KAART_OK || list->child == NULL) {
        cJSON_Delete(list);
        return code;
    }
    making->substituted = false;
    *out = list;
    return KAART_OK;
}

static int from_reference(struct making *making, const struct value *value, cJSON **out)
{
    char id[UUID_TEXT_SIZE + 1];
    int code = record_identify(making, value->record, making->levels, making->level_count, id);
    if (code == KAART_OK && id[0] != '\0')
        *out = text_node(making, id, &code);
    return code;
}

static int from_references(struct making *making, const struct value *value, cJSON **out)
{
    cJSON *ids = cJSON_CreateArray();
    int code = ids != NULL ? record_identify_all(making, value->record, ids) : no_memory(making);
    if (code != KAART_OK || ids->child == NULL) {
        cJSON_Delete(ids);
        return code;
    }
    *out = ids;
    return KAART_OK;
}

/* A point in one value, or x and y in two. */
static int from_rd(struct making *making, const struct value *value, const struct scope *scope, cJSON **out)
{
    double axes[2] = {0, 0}, latitude = 0, longitude = 0;
    char quoted[CONVERT_QUOTE_MAX + 8];
    int code = KAART_OK;
    if (value->reach_count == 1) {
        const cJSON *point = reach_get(&value->reaches[0], scope);
        if (!says_something(point))
            return KAART_OK;
        code = convert_point(point, &latitude, &longitude, &making->fault);
    } else {
        for (size_t i = 0; i < 2 && code == KAART_OK; i++) {
            const cJSON *axis = reach_get(&value->reaches[i], scope);
            if (!says_something(axis))
                return KAART_OK;
            if (cJSON_IsNumber(axis))
                axes[i] = axis->valuedouble;
            else if (cJSON_IsString(axis))
                code = convert_number(axis->valuestring, strchr(axis->valuestring, ',') != NULL, &axes[i],
                                      &making->fault);
            else
                code = fault_set(&making->fault, KAART_INVALID, "%s is no RD coordinate",
                                 convert_quote(axis, quoted));
        }
        if (code == KAART_OK)
            code = convert_rd(axes[0], axes[1], &latitude, &longitude, &making->fault);
    }
    if (code != KAART_OK)
        return code;
    *out = cJSON_CreateNumber(value->as == AS_LATITUDE ? latitude : longitude);
    return *out != NULL ? KAART_OK : no_memory(making);
}

/* ---- one value ---- */

static int take(struct making *making, const struct value *value, const struct scope *scope, cJSON **out)
{
    const cJSON *found = NULL;
    switch (value->form) {
    case VALUE_POINTER:
        found = first_present(value, scope);
        break;
    case VALUE_CONSTANT:
        found = value->constant;
        break;
    case VALUE_TEMPLATE:
        return from_template(making, value, scope, out);
    case VALUE_OBJECT:
        return from_object(making, value, scope, out);
    case VALUE_LIST:
        return from_list(making, value, scope, out);
    case VALUE_EACH:
        return from_each(making, value, scope, out);
    case VALUE_REFERENCE:
        return from_reference(making, value, out);
    case VALUE_REFERENCES:
        return from_references(making, value, out);
    case VALUE_RD:
        return from_rd(making, value, scope, out);
    case VALUE_FIRST:
        return from_first(making, value, scope, out);
    }
    if (found == NULL || (!says_something(found) && !cJSON_IsNull(found)))
        return KAART_OK;
    *out = cJSON_Duplicate(found, true);
    return *out != NULL ? KAART_OK : no_memory(making);
}

/* Splits and converts what was taken, and hands over the result in its place. */
static int convert(struct making *making, const struct value *value, cJSON **taken)
{
    cJSON *list = NULL, *made = NULL;
    int code = KAART_OK;
    if (value->form == VALUE_RD || cJSON_IsNull(*taken))
        return KAART_OK;
    if (value->split != NULL && cJSON_IsString(*taken))
        code = split_text(making, (*taken)->valuestring, value->split, &list);
    const cJSON *from = list != NULL ? list : *taken;
    bool point = value->as == AS_LATITUDE || value->as == AS_LONGITUDE; /* a list of two numbers is one */
    if (code == KAART_OK)
        code = cJSON_IsArray(from) && !point ? convert_list(making, value, from, &made)
                                             : convert_or_bear(making, value, from, &made);
    cJSON_Delete(list);
    cJSON_Delete(*taken);
    *taken = made;
    return code;
}

/* A source of its own kind may be broken as a whole (no list, a point outside the country). */
static int bear_broken_source(struct making *making, const struct value *value, int code)
{
    if (code != KAART_INVALID || value->broken == BROKEN_RECORD || making->missing)
        return code;
    return making_problem(making, true, making->field, making->fault.text);
}

int value_make(struct making *making, const struct value *value, const struct scope *scope, cJSON **out)
{
    cJSON *taken = NULL;
    making->missing = false;
    making->substituted = value->form == VALUE_CONSTANT;
    bool wanted = value->when == NULL || condition_holds(value->when, scope);
    int code = wanted ? take(making, value, scope, &taken) : KAART_OK;
    code = bear_broken_source(making, value, code);
    if (code == KAART_OK && taken != NULL && value->form != VALUE_OBJECT && value->form != VALUE_EACH)
        code = convert(making, value, &taken);
    if (code == KAART_OK && cJSON_IsNull(taken) && !value->keep_null && value->form != VALUE_CONSTANT) {
        cJSON_Delete(taken);
        taken = NULL;
    }
    if (code == KAART_OK && taken == NULL && value->substitute != NULL && wanted) {
        taken = cJSON_Duplicate(value->substitute, true);
        making->substituted = true;
        code = taken != NULL ? KAART_OK : no_memory(making);
    }
    if (code == KAART_OK && taken == NULL && value->required && wanted) {
        const char *where =
            value->form == VALUE_POINTER && value->reach_count > 0 ? value->reaches[0].pointer : NULL;
        making->missing = true;
        code = fault_set(&making->fault, KAART_INVALID, "is required, and the row has nothing%s%s",
                         where != NULL ? " at " : "", where != NULL ? where : "");
    }
    if (code != KAART_OK) {
        cJSON_Delete(taken);
        taken = NULL;
    }
    *out = taken;
    return code;
}

int value_make_text(struct making *making, const struct value *value, const struct scope *scope, char **out)
{
    cJSON *made = NULL;
    char quoted[CONVERT_QUOTE_MAX + 8];
    *out = NULL;
    int code = value_make(making, value, scope, &made);
    if (code == KAART_OK && made != NULL && !is_scalar(made)) {
        code = fault_set(&making->fault, KAART_INVALID, "%s stands where a text or number belongs",
                         convert_quote(made, quoted));
    } else if (code == KAART_OK && made != NULL) {
        *out = scalar_text(made);
        code = *out != NULL ? KAART_OK : no_memory(making);
    }
    cJSON_Delete(made);
    return code;
}
