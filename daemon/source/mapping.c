/*
 * mapping.c - reads a mapping file and checks all of it, so that what uses it later meets no surprises. Each
 * fault names its place as a JSON Pointer into the file, what is wrong and what would be right.
 * spec/sources.md.
 */
#include "daemon/source/mapping.h"
#include "daemon/source/mapping_loader.h"
#include "daemon/source/pointer.h"
#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The version of the format, the member "mapping" of the file. */
#define MAPPING_VERSION 1
/* Records in a mapping file; the richest known has nine. */
#define RECORDS_MAX 64

/* ---- records ---- */

static void read_identifiers(struct loader *l, const cJSON *json, struct record *record)
{
    static const char *const schemes[] = {"kvk", "oin", "agb", "vestigingsnummer", NULL};
    const cJSON *each = NULL;
    if (json == NULL)
        return;
    size_t before = loader_enter(l, "identifiers");
    if (!cJSON_IsArray(json))
        loader_bad(l, NULL,
                   "must be a list of {\"scheme\":\"kvk\",\"value\":\"/kvkNummer\"}, the best one first");
    record->identifiers = loader_reserve(l, (size_t)cJSON_GetArraySize(json), sizeof(*record->identifiers));
    cJSON_ArrayForEach(each, json)
    {
        if (record->identifiers == NULL || !cJSON_IsArray(json))
            break;
        size_t within = loader_enter_index(l, record->identifier_count);
        struct identifier *identifier = &record->identifiers[record->identifier_count++];
        if (loader_is_object(l, each, "{\"scheme\":\"kvk\",\"value\":\"/kvkNummer\"}")) {
            loader_only(l, each, "scheme value");
            int scheme = loader_word(l, each, "scheme", schemes, -1);
            if (json_get(each, "scheme") == NULL)
                loader_bad(l, "scheme", "is missing: kvk, oin, agb or vestigingsnummer");
            else if (scheme >= 0 && record->kind != NULL &&
                     strcmp(record->kind, scheme == 3 ? "location" : "organization") != 0)
                loader_bad(l, "scheme", "\"%s\" identifies %s", schemes[scheme],
                           scheme == 3 ? "a location" : "an organization");
            identifier->scheme = scheme >= 0 ? schemes[scheme] : NULL;
            identifier->value = loader_value(l, each, "value");
            if (identifier->value == NULL)
                loader_bad(l, "value", "is missing: where the number stands");
        }
        loader_leave(l, within);
    }
    loader_leave(l, before);
}

static void read_identity(struct loader *l, const cJSON *json, struct record *record)
{
    size_t before = loader_enter(l, "id"), parent = 0;
    record->parent = -1;
    if (json == NULL) {
        loader_bad(l, NULL,
                   "is missing: which record a row speaks of, {\"identifiers\":[...],\"external\":\"/id\"}");
    } else if (loader_is_object(
                   l, json, "{\"identifiers\":[...],\"external\":\"/id\",\"parent\":\"name of a record\"}")) {
        loader_only(l, json, "identifiers external parent personal");
        read_identifiers(l, json_get(json, "identifiers"), record);
        record->external = loader_value(l, json, "external");
        record->personal = loader_condition(l, json, "personal");
        const char *name = loader_text(l, json, "parent", false);
        if (name != NULL) {
            if (loader_find_record(l->mapping, name, &parent) && parent < l->record &&
                loader_encloses(&l->mapping->records[parent], record))
                record->parent = (long)parent;
            else
                loader_bad(
                    l, "parent",
                    "must be the name of a record that stands above this one, in no list that this one is "
                    "not in");
        }
        if (record->identifier_count == 0 && record->external == NULL)
            loader_bad(l, NULL, "needs \"identifiers\", or \"external\": the row's own key in the register");
        if (record->personal != NULL && record->external == NULL)
            loader_bad(l, "external",
                       "is missing: beside \"personal\" the id is made from the register's own key");
    }
    loader_leave(l, before);
}

static void read_each_levels(struct loader *l, const cJSON *json, struct record *record)
{
    const cJSON *each = cJSON_IsArray(json) ? json->child : json;
    for (; each != NULL; each = cJSON_IsArray(json) ? each->next : NULL) {
        if (!cJSON_IsString(each) || each->valuestring[0] != '/' || !pointer_is_valid(each->valuestring) ||
            record->each_count == EACH_DEPTH_MAX) {
            loader_bad(
                l, "each",
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
    if (!loader_is_object(l, json, "{\"name\":...,\"kind\":...,\"id\":...,\"fields\":...}"))
        return;
    loader_only(l, json, "name kind each when id areas fields");
    const char *name = loader_text(l, json, "name", true);
    record->kind = loader_text(l, json, "kind", true);
    if (name != NULL && !syntax_is_name(name, strlen(name)))
        loader_bad(l, "name", "must be [a-z][a-z0-9_-]*, at most %d characters", NAME_MAX_SIZE);
    else if (name != NULL && loader_find_record(l->mapping, name, &same))
        loader_bad(l, "name", "\"%s\" is the name of another record already", name);
    record->name = name;
    if (record->kind != NULL && !record_kind_known(record->kind))
        loader_bad(
            l, "kind",
            "\"%.40s\" is no kind of record (spec/records.md: organization, service, location, contract, "
            "...)",
            record->kind);
    else if (record->kind != NULL && strcmp(record->kind, "confirmation") == 0)
        loader_bad(l, "kind", "confirmations are written by the run itself");
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
    record->when = loader_condition(l, json, "when");
    read_identity(l, json_get(json, "id"), record);
    record->areas = loader_value(l, json, "areas");
    record->fields.form = VALUE_OBJECT;
    size_t before = loader_enter(l, "fields");
    if (fields == NULL)
        loader_bad(l, NULL, "is missing: the members of the record and where they come from");
    else if (loader_is_object(l, fields, "the members of the record and where they come from"))
        loader_members(l, fields, &record->fields);
    for (size_t i = 0; i < record->fields.member_count; i++) {
        if (record_member_reserved(record->fields.members[i].name) &&
            strcmp(record->fields.members[i].name, "verified") != 0)
            loader_bad(l, record->fields.members[i].name, "belongs to the claim and cannot be mapped");
    }
    loader_leave(l, before);
}

static void read_records(struct loader *l, const cJSON *list)
{
    size_t before = loader_enter(l, "records");
    int count = cJSON_GetArraySize(list);
    const cJSON *json = NULL;
    if (!cJSON_IsArray(list) || count == 0 || count > RECORDS_MAX) {
        loader_bad(l, NULL, "must be a list of 1 to %d records that a row becomes", RECORDS_MAX);
        loader_leave(l, before);
        return;
    }
    l->mapping->records = loader_reserve(l, (size_t)count, sizeof(*l->mapping->records));
    if (l->mapping->records == NULL)
        return;
    cJSON_ArrayForEach(json, list)
    {
        size_t within = loader_enter_index(l, l->mapping->record_count);
        read_record_head(l, json, &l->mapping->records[l->mapping->record_count]);
        l->mapping->record_count++;
        loader_leave(l, within);
    }
    l->record = 0;
    cJSON_ArrayForEach(json, list)
    {
        size_t within = loader_enter_index(l, l->record);
        read_record_rest(l, json, &l->mapping->records[l->record]);
        loader_leave(l, within);
        l->record++;
    }
    for (size_t i = 1; i < l->mapping->record_count; i++)
        l->mapping->records[i].main_member = member_to_main(l->mapping, &l->mapping->records[i]);
    loader_leave(l, before);
}

/* ---- the listing ---- */

static void read_rows(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    static const char *const forms[] = {"array", "members", "one", NULL};
    if (cJSON_IsObject(json)) {
        size_t before = loader_enter(l, "rows");
        loader_only(l, json, "pointer form total");
        listing->rows = loader_pointer(l, json, "pointer", true);
        listing->form = (enum mapping_rows)loader_word(l, json, "form", forms, MAPPING_ROWS_ARRAY);
        listing->total = loader_pointer(l, json, "total", false);
        loader_leave(l, before);
    } else if (cJSON_IsString(json) && pointer_is_valid(json->valuestring)) {
        listing->rows = json->valuestring;
    } else {
        loader_bad(
            l, "rows",
            "%s a JSON Pointer to the list of rows, such as \"/items\" (\"\" where the document is the list)",
            json == NULL ? "is missing:" : "must be");
    }
}

static void read_paging(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    static const char *const types[] = {"none", "next", "link", "page", "offset", "cursor", "hal", NULL};
    if (json == NULL)
        return;
    size_t before = loader_enter(l, "paging");
    if (loader_is_object(l, json, "{\"type\":\"next\",\"next\":\"/next\"}")) {
        loader_only(l, json, "type next more pages parameter size-parameter size first");
        int type = loader_word(l, json, "type", types, 0);
        if (json_get(json, "type") == NULL)
            loader_bad(l, "type", "is missing: none, next, hal, link, page, offset or cursor");
        bool hal = type == 6;
        listing->paging = hal ? MAPPING_PAGING_NEXT : (enum mapping_paging)type;
        bool counts = listing->paging == MAPPING_PAGING_PAGE || listing->paging == MAPPING_PAGING_OFFSET;
        bool cursor = listing->paging == MAPPING_PAGING_CURSOR;
        listing->next =
            hal ? "/_links/next/href"
                : loader_pointer(l, json, "next", listing->paging == MAPPING_PAGING_NEXT || cursor);
        listing->more = loader_pointer(l, json, "more", false);
        listing->pages = loader_pointer(l, json, "pages", false);
        listing->parameter = loader_text(l, json, "parameter", counts || cursor);
        listing->size_parameter = loader_text(l, json, "size-parameter", false);
        listing->size = loader_count(l, json, "size", 1, 100000, 0);
        listing->first =
            loader_count(l, json, "first", 0, 1, listing->paging == MAPPING_PAGING_OFFSET ? 0 : 1);
        if (listing->size_parameter != NULL && listing->size == 0)
            loader_bad(l, "size", "is missing: what \"size-parameter\" is to ask for");
        if (hal && json_get(json, "next") != NULL)
            loader_bad(l, "next", "is /_links/next/href with \"type\":\"hal\"");
    }
    loader_leave(l, before);
}

static void read_headers(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    const cJSON *header = NULL;
    if (json == NULL)
        return;
    size_t before = loader_enter(l, "headers");
    if (loader_is_object(l, json, "names and values of request headers"))
        listing->headers = json;
    cJSON_ArrayForEach(header, listing->headers)
    {
        if (!cJSON_IsString(header) || strpbrk(header->valuestring, "\r\n") != NULL ||
            strpbrk(header->string, ": \r\n") != NULL)
            loader_bad(l, header->string, "must be one line of text");
        else if (strcasecmp(header->string, "Authorization") == 0 ||
                 strcasecmp(header->string, "Cookie") == 0)
            loader_bad(l, header->string,
                       "is a secret: it belongs in the source's token-file, not in the mapping");
    }
    loader_leave(l, before);
}

/* Where the register wants its key in a header of its own ("apikey"). */
static void read_token_header(struct loader *l, const cJSON *json, struct mapping_listing *listing)
{
    const char *name = loader_text(l, json, "token-header", false);
    size_t size = name != NULL ? strlen(name) : 0;
    if (name != NULL &&
        (size > 64 ||
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != size))
        loader_bad(l, "token-header", "must be the name of a header, such as \"apikey\"");
    else
        listing->token_header = name;
}

static void read_tables(struct loader *l, const cJSON *tables)
{
    const cJSON *table = NULL;
    l->tables = tables;
    if (tables == NULL)
        return;
    size_t before = loader_enter(l, "tables");
    if (loader_is_object(l, tables, "tables by name")) {
        cJSON_ArrayForEach(table, tables)
        {
            if (!cJSON_IsObject(table) && !loader_is_remark(table->string))
                loader_bad(l, table->string,
                           "must be an object {\"from\":to}; \"*\" stands for what is not listed");
        }
    }
    loader_leave(l, before);
}

static void read_document(struct loader *l, const cJSON *json)
{
    static const char *const etags[] = {"page", "listing", NULL};
    const cJSON *version = json_get(json, "mapping");
    if (!loader_is_object(l, json, "a mapping file"))
        return;
    loader_only(l, json, "mapping description rows paging etag headers token-header tables records");
    if (!cJSON_IsNumber(version) || version->valuedouble != MAPPING_VERSION)
        loader_bad(l, "mapping", "must be %d, the version of the format", MAPPING_VERSION);
    read_rows(l, json_get(json, "rows"), &l->mapping->listing);
    read_paging(l, json_get(json, "paging"), &l->mapping->listing);
    l->mapping->listing.etag_covers_listing = loader_word(l, json, "etag", etags, 0) == 1;
    read_headers(l, json_get(json, "headers"), &l->mapping->listing);
    read_token_header(l, json, &l->mapping->listing);
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
