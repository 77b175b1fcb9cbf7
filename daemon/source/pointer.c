/*
 * pointer.c - JSON Pointer on trees, and on text that was checked before (so that skipping needs no error
 * paths: whatever would run past the end ends the walk).
 */
#include "daemon/source/pointer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Nesting of a whole answer: that of a row (JSON_DEPTH_MAX) and of what stands around the rows. */
#define OUTLINE_DEPTH_MAX 63

bool pointer_is_valid(const char *pointer)
{
    if (pointer[0] != '\0' && pointer[0] != '/')
        return false;
    for (const char *p = pointer; *p != '\0'; p++) {
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    }
    return true;
}

/* One token of a pointer, from behind its slash. */
struct token {
    const char *text;
    size_t size;
};

static bool next_token(const char **pointer, struct token *token)
{
    if (**pointer != '/')
        return false;
    token->text = *pointer + 1;
    token->size = strcspn(token->text, "/");
    *pointer = token->text + token->size;
    return true;
}

/* Resolves ~0 and ~1 while comparing. */
static bool token_is(const struct token *token, const char *name, size_t name_size)
{
    size_t at = 0;
    for (size_t i = 0; i < token->size; i++) {
        char c = token->text[i];
        if (c == '~')
            c = token->text[++i] == '0' ? '~' : '/';
        if (at >= name_size || name[at++] != c)
            return false;
    }
    return at == name_size;
}

/* An array index: plain decimal without leading zeros. */
static bool token_index(const struct token *token, size_t *index)
{
    if (token->size == 0 || token->size > 9 || (token->text[0] == '0' && token->size > 1))
        return false;
    *index = 0;
    for (size_t i = 0; i < token->size; i++) {
        if (token->text[i] < '0' || token->text[i] > '9')
            return false;
        *index = *index * 10 + (size_t)(token->text[i] - '0');
    }
    return true;
}

static const cJSON *member_of(const cJSON *from, const struct token *token)
{
    const cJSON *child = NULL;
    size_t index = 0;
    if (cJSON_IsObject(from)) {
        cJSON_ArrayForEach(child, from)
        {
            if (token_is(token, child->string, strlen(child->string)))
                return child;
        }
    } else if (cJSON_IsArray(from) && token_index(token, &index)) {
        cJSON_ArrayForEach(child, from)
        {
            if (index-- == 0)
                return child;
        }
    }
    return NULL;
}

const cJSON *pointer_get(const cJSON *from, const char *pointer)
{
    struct token token;
    while (from != NULL && next_token(&pointer, &token))
        from = member_of(from, &token);
    return from;
}

/* ---- on text ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct span text, size_t at)
{
    while (at < text.size && is_space(text.data[at]))
        at++;
    return at;
}

/* Behind the string that begins at `at`. */
static size_t skip_string(struct span text, size_t at)
{
    for (at++; at < text.size; at++) {
        if (text.data[at] == '\\')
            at++;
        else if (text.data[at] == '"')
            return at + 1;
    }
    return text.size;
}

/* Behind the value that begins at `at`. Counting brackets is enough, since the text was checked. */
static size_t skip_value(struct span text, size_t at)
{
    size_t depth = 0;
    while (at < text.size) {
        char c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
            if (depth == 0)
                return at;
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at; /* the end of the container around a number or a word */
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || is_space(c))) {
            return at;
        }
        at++;
    }
    return text.size;
}

bool span_is_closed(struct span text)
{
    uint64_t objects = 0; /* a bit for each level: brace or bracket */
    unsigned depth = 0;
    size_t at = skip_space(text, 0);
    if (at == text.size || (text.data[at] != '{' && text.data[at] != '['))
        return false;
    while (at < text.size) {
        char c = text.data[at++];
        if (c == '"') {
            at = skip_string(text, at - 1);
            if (text.data[at - 1] != '"')
                return false;
        } else if (c == '{' || c == '[') {
            if (depth++ == OUTLINE_DEPTH_MAX)
                return false;
            objects = objects << 1 | (c == '{');
        } else if (c == '}' || c == ']') {
            if ((objects & 1) != (c == '}'))
                return false;
            objects >>= 1;
            if (--depth == 0)
                return skip_space(text, at) == text.size;
        }
    }
    return false;
}

bool span_is_separated(struct span list)
{
    size_t at = skip_space(list, 1);
    if (at < list.size && list.data[at] == ']')
        return true;
    while (at < list.size) {
        size_t end = skip_value(list, at);
        if (end == at)
            return false; /* a comma or bracket where a value belongs */
        at = skip_space(list, end);
        if (at < list.size && list.data[at] == ']')
            return true;
        if (at >= list.size || list.data[at] != ',')
            return false;
        at = skip_space(list, at + 1);
    }
    return false;
}

/* The next value of a container, with its member's name (quotes included) where it is an object. */
static bool next_member(struct span container, size_t *offset, struct span *name, struct span *value)
{
    size_t at = *offset == 0 ? skip_space(container, 0) + 1 : *offset;
    at = skip_space(container, at);
    if (at < container.size && container.data[at] == ',')
        at = skip_space(container, at + 1);
    if (at >= container.size || container.data[at] == '}' || container.data[at] == ']')
        return false;
    *name = (struct span){NULL, 0};
    if (container.data[skip_space(container, 0)] == '{') {
        size_t end = skip_string(container, at);
        *name = (struct span){container.data + at, end - at};
        at = skip_space(container, skip_space(container, end) + 1);
    }
    size_t end = skip_value(container, at);
    *value = (struct span){container.data + at, end - at};
    *offset = end;
    return true;
}

bool span_next(struct span container, size_t *offset, struct span *element)
{
    struct span name;
    return next_member(container, offset, &name, element);
}

/* Names with escapes are rare; cJSON resolves them. */
static bool name_is(struct span name, const struct token *token)
{
    if (memchr(name.data, '\\', name.size) == NULL)
        return token_is(token, name.data + 1, name.size - 2);
    cJSON *resolved = cJSON_ParseWithLength(name.data, name.size);
    bool same =
        cJSON_IsString(resolved) && token_is(token, resolved->valuestring, strlen(resolved->valuestring));
    cJSON_Delete(resolved);
    return same;
}

static bool find_member(struct span container, const struct token *token, struct span *value)
{
    size_t offset = 0, index = 0, count = 0;
    struct span name;
    bool object = container.data[0] == '{';
    if (!object && (container.data[0] != '[' || !token_index(token, &index)))
        return false;
    while (next_member(container, &offset, &name, value)) {
        if (object ? name_is(name, token) : count++ == index)
            return true;
    }
    return false;
}

bool pointer_find(struct span document, const char *pointer, struct span *value)
{
    size_t start = skip_space(document, 0);
    size_t end = document.size;
    while (end > start && is_space(document.data[end - 1]))
        end--;
    struct span here = {document.data + start, end - start};
    struct token token;
    while (next_token(&pointer, &token)) {
        if (here.size == 0 || !find_member(here, &token, &here))
            return false;
    }
    *value = here;
    return here.size > 0;
}
