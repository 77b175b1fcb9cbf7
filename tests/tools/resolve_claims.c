/*
 * resolve_claims.c - the resolver on a line: reads cases as NDJSON, writes what was decided as NDJSON. For comparing with
 * another implementation.
 *
 *   in   {"policy":text,"day":day,"claims":[{"feed","seq","leaf","kind","id","source","role","at","verified","missing_since",
 *         "confirmed":{"at","verified"},"excepted","on_behalf_of","areas","body","invalid"}]}
 *   out  {"home","next_day","standings":[...],"fields":{name:[winner's place, rule, [places of the others]]}}
 */
#include "protocol/json.h"
#include "protocol/resolve.h"
#include "protocol/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MAX 256

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "resolve_claims: %s\n", what);
        exit(1);
    }
}

static int32_t day_of(const cJSON *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int32_t day = DAY_NONE;
    must(!text || syntax_day_parse(text, strlen(text), &day) == KAART_OK, name);
    return day;
}

static int64_t instant_of(const cJSON *object, const char *name)
{
    const char *text = json_get_string(object, name);
    int64_t instant = 0;
    must(text && syntax_instant_parse(text, strlen(text), &instant) == KAART_OK, name);
    return instant;
}

static void read_claim(const cJSON *from, struct claim *to)
{
    const char *leaf = json_get_string(from, "leaf");
    const cJSON *confirmed = json_get(from, "confirmed");
    memset(to, 0, sizeof *to);
    to->feed = json_get_string(from, "feed");
    to->kind = json_get_string(from, "kind");
    to->id = json_get_string(from, "id");
    to->source = json_get_string(from, "source");
    to->role = json_get_string(from, "role");
    must(to->feed && to->kind && to->id && to->source && to->role && leaf, "member of a claim");
    must(hex_decode(leaf, strlen(leaf), to->leaf.bytes, HASH_SIZE) == KAART_OK, "leaf");
    to->seq = (uint64_t)json_get(from, "seq")->valuedouble;
    to->at_ms = instant_of(from, "at");
    to->verified = day_of(from, "verified");
    to->missing_since = day_of(from, "missing_since");
    to->confirmed = DAY_NONE;
    to->excepted = cJSON_IsTrue(json_get(from, "excepted"));
    if (cJSON_IsObject(confirmed)) {
        to->confirmed_at_ms = instant_of(confirmed, "at");
        to->confirmed = day_of(confirmed, "verified");
        if (to->confirmed == DAY_NONE)
            to->confirmed = syntax_day_of(to->confirmed_at_ms);
    }
    to->on_behalf_of = json_get_string(from, "on_behalf_of");
    to->areas = json_get(from, "areas");
    to->body = json_get(from, "body");
    to->invalid = cJSON_IsTrue(json_get(from, "invalid"));
}

static void write_result(const struct resolution *resolution, size_t count)
{
    char day[DAY_TEXT_SIZE + 1];
    cJSON *out = cJSON_CreateObject(), *standings = cJSON_AddArrayToObject(out, "standings"),
          *fields = cJSON_AddObjectToObject(out, "fields");
    if (resolution->home)
        cJSON_AddStringToObject(out, "home", resolution->home);
    else
        cJSON_AddNullToObject(out, "home");
    if (resolution->next_day == DAY_NONE) {
        cJSON_AddNullToObject(out, "next_day");
    } else {
        syntax_day_format(resolution->next_day, day);
        cJSON_AddStringToObject(out, "next_day", day);
    }
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(standings, cJSON_CreateString(claim_standing_name(resolution->standings[i])));
    for (size_t i = 0; i < resolution->field_count; i++) {
        const struct resolved_field *field = &resolution->fields[i];
        cJSON *list = cJSON_AddArrayToObject(fields, field->name), *others = cJSON_CreateArray();
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)field->winner));
        cJSON_AddItemToArray(list, cJSON_CreateString(resolve_rule_name(field->rule)));
        for (size_t j = 0; j < field->other_count; j++)
            cJSON_AddItemToArray(others, cJSON_CreateNumber((double)field->others[j]));
        cJSON_AddItemToArray(list, others);
    }
    char *text = cJSON_PrintUnformatted(out);
    must(text != NULL, "memory");
    puts(text);
    cJSON_free(text);
    cJSON_Delete(out);
}

static void resolve_line(const char *line, size_t size)
{
    static struct claim claims[CLAIMS_MAX];
    struct fault fault = {""};
    struct policy *policy = NULL;
    struct resolution *resolution = NULL;
    size_t count = 0;
    cJSON *input = cJSON_ParseWithLength(line, size);
    const cJSON *item;
    const char *text = input ? json_get_string(input, "policy") : NULL;
    must(text != NULL, "not a case");
    if (policy_parse(text, strlen(text), &policy, &fault)) {
        fprintf(stderr, "resolve_claims: policy: %s\n", fault.text);
        exit(1);
    }
    cJSON_ArrayForEach(item, json_get(input, "claims"))
    {
        must(count < CLAIMS_MAX, "too many claims");
        read_claim(item, &claims[count++]);
    }
    must(resolve_record(policy, claims, count, day_of(input, "day"), &resolution) == KAART_OK, "memory");
    write_result(resolution, count);
    resolution_free(resolution);
    policy_release(policy);
    cJSON_Delete(input);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, stdin)) > 0)
        resolve_line(line, (size_t)size);
    free(line);
    return 0;
}
