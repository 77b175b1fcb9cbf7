/*
 * documents.c - finds where records begin and end by counting braces outside strings; see documents.h.
 */
#include "daemon/ctl/documents.h"

#include <stdio.h>
#include <string.h>

struct walk {
    const char *text;
    size_t size;
    size_t number;
    size_t line, line_at; /* line of position line_at */
    document_function *each;
    void *context;
};

static size_t skip_space(const struct walk *walk, size_t at)
{
    while (at < walk->size && strchr(" \t\r\n", walk->text[at]) && walk->text[at] != '\0')
        at++;
    return at;
}

/* Behind the string that starts at `at`; the size if it does not end. */
static size_t skip_string(const struct walk *walk, size_t at)
{
    for (at++; at < walk->size && walk->text[at] != '"'; at++)
        if (walk->text[at] == '\\')
            at++;
    return at < walk->size ? at + 1 : walk->size;
}

/* Behind the value that starts at `at`, below `end`; *closed tells whether its braces close. */
static size_t skip_value(const struct walk *walk, size_t at, size_t end, bool *closed)
{
    size_t depth = 0;
    *closed = true;
    while (at < end) {
        char c = walk->text[at];
        if (c == '"') {
            at = skip_string(walk, at);
            if (depth == 0)
                return at;
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']' || c == '}'))
            return at;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
        if (depth == 0 && (c == '}' || c == ']'))
            return at;
    }
    *closed = depth == 0;
    return end;
}

static int give(struct walk *walk, size_t from, size_t to, const char *pointer, const char *problem)
{
    struct document document = {.number = ++walk->number, .problem = problem};
    for (; walk->line_at < from; walk->line_at++)
        walk->line += walk->text[walk->line_at] == '\n';
    document.line = walk->line;
    snprintf(document.pointer, sizeof(document.pointer), "%s", pointer);
    document.text = (struct span){walk->text + from, problem ? 0 : to - from};
    return walk->each(walk->context, &document);
}

/* The elements of the array that starts at `at`; *end is behind it. */
static int walk_array(struct walk *walk, size_t at, const char *prefix, size_t *end)
{
    char pointer[32];
    int code = 0;
    bool closed = true;
    size_t index = 0;
    for (at = skip_space(walk, at + 1); code == 0 && at < walk->size && walk->text[at] != ']';
         at = skip_space(walk, at)) {
        if (walk->text[at] == ',') {
            at++;
            continue;
        }
        size_t stop = skip_value(walk, at, walk->size, &closed);
        snprintf(pointer, sizeof(pointer), "%s/%zu", prefix, index++);
        if (!closed)
            code = give(walk, at, stop, pointer, "the file ends in the middle of a record");
        else if (stop == at)
            code = give(walk, at, at + 1, pointer, "a record or the end of the list was expected here");
        else
            code = give(walk, at, stop, pointer, NULL);
        at = stop == at ? at + 1 : stop;
    }
    if (code == 0 && closed && at >= walk->size)
        code = give(walk, walk->size, walk->size, prefix, "the file ends before the list does");
    *end = at < walk->size ? at + 1 : walk->size;
    return code;
}

/* Where the value of an object's member `contents` starts, if it is a list; 0 if there is none. */
static size_t find_contents(const struct walk *walk, size_t at)
{
    bool closed;
    for (at = skip_space(walk, at + 1); at < walk->size && walk->text[at] == '"'; at = skip_space(walk, at)) {
        size_t name = at, value;
        at = skip_space(walk, skip_string(walk, at));
        if (at >= walk->size || walk->text[at] != ':')
            return 0;
        value = skip_space(walk, at + 1);
        if (walk->size - name > 10 && memcmp(walk->text + name, "\"contents\"", 10) == 0 &&
            value < walk->size && walk->text[value] == '[')
            return value;
        at = skip_space(walk, skip_value(walk, value, walk->size, &closed));
        if (at < walk->size && walk->text[at] == ',')
            at++;
    }
    return 0;
}

static int walk_objects(struct walk *walk, size_t at)
{
    int code = 0;
    bool closed;
    size_t end = 0;
    for (at = skip_space(walk, at); code == 0 && at < walk->size; at = skip_space(walk, at)) {
        size_t contents = walk->text[at] == '{' ? find_contents(walk, at) : 0;
        size_t stop = skip_value(walk, at, walk->size, &closed);
        if (walk->text[at] == '[')
            code = walk_array(walk, at, "", &end);
        else if (contents)
            code = walk_array(walk, contents, "/contents", &end);
        else if (!closed)
            code = give(walk, at, stop, "", "the file ends in the middle of a record");
        else if (stop == at || walk->text[at] != '{')
            return give(walk, at, at, "", "a record was expected here: { or [");
        else
            code = give(walk, at, stop, "", NULL);
        at = walk->text[at] == '[' || (contents && !closed) ? end : stop;
    }
    return code;
}

static int walk_lines(struct walk *walk, size_t at)
{
    int code = 0;
    while (code == 0 && at < walk->size) {
        const char *newline = memchr(walk->text + at, '\n', walk->size - at);
        size_t stop = newline ? (size_t)(newline - walk->text) : walk->size, from = at, to = stop;
        while (from < to && strchr(" \t\r", walk->text[from]))
            from++;
        while (to > from && strchr(" \t\r", walk->text[to - 1]))
            to--;
        if (from < to)
            code = give(walk, from, to, "", NULL);
        at = stop + 1;
    }
    return code;
}

/* A first line that is a whole object, and another object after it. */
static bool is_ndjson(const struct walk *walk, size_t at)
{
    bool closed;
    const char *newline = memchr(walk->text + at, '\n', walk->size - at);
    if (walk->text[at] != '{' || !newline || find_contents(walk, at))
        return false;
    size_t end = (size_t)(newline - walk->text);
    size_t stop = skip_value(walk, at, end, &closed), next = skip_space(walk, end);
    return closed && skip_space(walk, stop) >= end && next < walk->size && walk->text[next] == '{';
}

int documents_each(const char *text, size_t size, document_function *each, void *context)
{
    struct walk walk = {.text = text, .size = size, .line = 1, .each = each, .context = context};
    size_t start = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    size_t at = skip_space(&walk, start);
    if (at == size)
        return give(&walk, 0, 0, "", "there is no record in it");
    return is_ndjson(&walk, at) ? walk_lines(&walk, at) : walk_objects(&walk, at);
}
