/*
 * source_page.c - one page of a listing, distrustfully: registers answer with error pages and status 200,
 * with half lists, and with links to elsewhere.
 */
#include "daemon/source/source_page.h"
#include "daemon/source/pointer.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- URLs ---- */

/* Sets a query parameter: what the URL has of that name goes first, so that counting on does not pile up. */
static CURLUcode set_parameter(CURLU *url, const char *name, const char *value)
{
    char *query = NULL;
    char *text = NULL;
    size_t size = 0, name_size = strlen(name);
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL)
        return CURLUE_OUT_OF_MEMORY;
    if (curl_url_get(url, CURLUPART_QUERY, &query, 0) != CURLUE_OK)
        query = NULL;
    for (const char *p = query; p != NULL && *p != '\0';) {
        size_t part = strcspn(p, "&");
        bool same = part >= name_size && strncmp(p, name, name_size) == 0 &&
                    (part == name_size || p[name_size] == '=');
        if (!same && part > 0)
            fprintf(stream, "%s%.*s", ftell(stream) > 0 ? "&" : "", (int)part, p);
        p += part + (p[part] == '&');
    }
    curl_free(query);
    if (fclose(stream) != 0) {
        free(text);
        return CURLUE_OUT_OF_MEMORY;
    }
    CURLUcode result = curl_url_set(url, CURLUPART_QUERY, size > 0 ? text : NULL, 0);
    free(text);
    char *pair = NULL;
    if (result != CURLUE_OK || asprintf(&pair, "%s=%s", name, value) < 0)
        return CURLUE_OUT_OF_MEMORY;
    result = curl_url_set(url, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE);
    free(pair);
    return result;
}

static int write_url(CURLU *url, char out[SOURCE_URL_MAX], struct fault *fault)
{
    char *text = NULL;
    if (curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    size_t size = strlen(text);
    if (size < SOURCE_URL_MAX)
        memcpy(out, text, size + 1);
    curl_free(text);
    return size < SOURCE_URL_MAX ? KAART_OK
                                 : fault_set(fault, KAART_INVALID,
                                             "the next page's URL is longer than %d bytes", SOURCE_URL_MAX);
}

static CURLUcode set_number(CURLU *url, const char *name, long number)
{
    char text[24];
    snprintf(text, sizeof(text), "%ld", number);
    return set_parameter(url, name, text);
}

int page_first_url(const char *url, const struct mapping_listing *listing, char out[SOURCE_URL_MAX],
                   struct fault *fault)
{
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    bool counts = listing->paging == MAPPING_PAGING_PAGE || listing->paging == MAPPING_PAGING_OFFSET;
    int code = KAART_OK;
    CURLUcode result = curl_url_set(parsed, CURLUPART_URL, url, 0);
    if (result == CURLUE_OK && listing->size_parameter != NULL)
        result = set_number(parsed, listing->size_parameter, listing->size);
    if (result == CURLUE_OK && counts)
        result = set_number(parsed, listing->parameter, listing->first);
    if (result != CURLUE_OK)
        code = fault_set(fault, KAART_INVALID, "the source's url is none: %s", curl_url_strerror(result));
    else
        code = write_url(parsed, out, fault);
    curl_url_cleanup(parsed);
    return code;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *first = NULL, *second = NULL;
    bool same = curl_url_get(a, part, &first, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(b, part, &second, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                strcasecmp(first, second) == 0;
    curl_free(first);
    curl_free(second);
    return same;
}

/* The URL that a link on page `url` leads to. The credentials of one origin must never go to another. [SRC-2]
 */
static int follow_link(const char *url, const char *link, char out[SOURCE_URL_MAX], struct fault *fault)
{
    CURLU *here = curl_url(), *there = curl_url();
    int code = KAART_OK;
    if (here == NULL || there == NULL) {
        code = fault_set(fault, KAART_NOMEM, "out of memory");
    } else if (curl_url_set(here, CURLUPART_URL, url, 0) != CURLUE_OK ||
               curl_url_set(there, CURLUPART_URL, url, 0) != CURLUE_OK ||
               curl_url_set(there, CURLUPART_URL, link, 0) != CURLUE_OK) {
        code = fault_set(fault, KAART_INVALID, "the link to the next page (\"%.100s\") is no URL", link);
    } else if (!same_part(here, there, CURLUPART_SCHEME) || !same_part(here, there, CURLUPART_HOST) ||
               !same_part(here, there, CURLUPART_PORT)) {
        code = fault_set(fault, KAART_INVALID,
                         "the link to the next page (\"%.100s\") leads to another origin", link);
    } else {
        curl_url_set(there, CURLUPART_FRAGMENT, NULL, 0);
        code = write_url(there, out, fault);
    }
    if (code == KAART_OK && strcmp(out, url) == 0)
        code = fault_set(fault, KAART_INVALID, "the link to the next page leads to the same page");
    curl_url_cleanup(here);
    curl_url_cleanup(there);
    return code;
}

/* ---- is it a listing ---- */

static bool type_is_json(const char *content_type)
{
    size_t size = strcspn(content_type, "; ");
    return (size == 16 && strncasecmp(content_type, "application/json", size) == 0) ||
           (size > 5 && strncasecmp(content_type + size - 5, "+json", 5) == 0);
}

static const char *name_of_type(char first)
{
    return first == '{'   ? "an object"
           : first == '[' ? "a list"
           : first == '"' ? "a text"
           : first == 'n' ? "null"
                          : "a number or word";
}

/* What the strict check says of a text that is none, or is not closed. */
static int refuse_json(const char *text, size_t size, struct fault *fault)
{
    struct fault reason = {""};
    if (json_check_document(text, size, SOURCE_MEMBERS_MAX, &reason) == KAART_NOMEM)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    return fault_set(fault, KAART_INVALID, "the answer is no JSON: %.300s",
                     reason.text[0] != '\0' ? reason.text : "it is nested too deep");
}

/* The strict check of everything but the rows of a list. Those are checked one by one, so that a bad one does not spoil the others. */
static int check_around(const char *text, size_t size, const struct mapping_listing *listing,
                        struct span rows, struct fault *fault)
{
    struct fault reason = {""};
    int code = KAART_OK;
    if (listing->form != MAPPING_ROWS_ARRAY) {
        code = json_check_document(text, size, SOURCE_MEMBERS_MAX, &reason);
    } else if (!span_is_separated(rows)) {
        return refuse_json(text, size, fault);
    } else {
        size_t before = (size_t)(rows.data - text), after = size - before - rows.size;
        char *around = malloc(before + after + 2);
        if (around == NULL)
            return fault_set(fault, KAART_NOMEM, "out of memory");
        memcpy(around, text, before);
        memcpy(around + before, "[]", 2);
        memcpy(around + before + 2, rows.data + rows.size, after);
        code = json_check_document(around, before + after + 2, SOURCE_MEMBERS_MAX, &reason);
        free(around);
    }
    if (code == KAART_NOMEM)
        return fault_set(fault, code, "out of memory");
    return code == KAART_OK ? code
                            : fault_set(fault, KAART_INVALID, "the answer is no JSON: %.300s", reason.text);
}

int page_open(const char *text, size_t size, const char *content_type, const struct mapping_listing *listing,
              struct span *rows, struct fault *fault)
{
    size_t at = 0;
    while (at < size && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
        at++;
    if (at == size)
        return fault_set(fault, KAART_INVALID, "the answer is empty");
    if (text[at] == '<')
        return fault_set(fault, KAART_INVALID, "the answer is a web page (HTML), not JSON");
    if (content_type != NULL && !type_is_json(content_type) &&
        strncasecmp(content_type, "text/plain", 10) != 0)
        return fault_set(fault, KAART_INVALID, "the answer says it is %.60s, not application/json",
                         content_type);
    if (!span_is_closed((struct span){text, size}))
        return refuse_json(text, size, fault);
    if (!pointer_find((struct span){text, size}, listing->rows, rows))
        return fault_set(fault, KAART_INVALID,
                         "the answer has nothing at \"%s\", where the mapping says the rows are",
                         listing->rows);
    char wanted = listing->form == MAPPING_ROWS_ARRAY ? '[' : '{';
    if (rows->data[0] != wanted)
        return fault_set(fault, KAART_INVALID, "the answer has %s at \"%s\" where %s with the rows belongs",
                         name_of_type(rows->data[0]), listing->rows, name_of_type(wanted));
    return check_around(text, size, listing, *rows, fault);
}

bool page_row(const struct mapping_listing *listing, struct span rows, size_t *offset, struct span *row)
{
    if (listing->form != MAPPING_ROWS_ONE)
        return span_next(rows, offset, row);
    if (*offset > 0)
        return false;
    *offset = rows.size;
    *row = rows;
    return true;
}

/* ---- which page comes next ---- */

/* A scalar at a pointer; NULL where there is none. To be deleted. */
static cJSON *scalar_at(const char *text, size_t size, const char *pointer)
{
    struct span found;
    if (pointer == NULL || !pointer_find((struct span){text, size}, pointer, &found) ||
        found.data[0] == '{' || found.data[0] == '[')
        return NULL;
    return cJSON_ParseWithLength(found.data, found.size);
}

/* The URL in `<URL>; rel="next"` of a Link header, in `out`; false where there is none. RFC 8288. */
static bool link_next(const char *header, char out[SOURCE_URL_MAX])
{
    while (header != NULL && (header = strchr(header, '<')) != NULL) {
        const char *end = strchr(header, '>');
        if (end == NULL)
            return false;
        const char *parameters = end + 1;
        size_t size = strcspn(parameters, "<"); /* up to the next link */
        for (const char *p = parameters; p + 4 < parameters + size; p++) {
            if (strncasecmp(p, "rel", 3) != 0 || (p[-1] != ';' && p[-1] != ' '))
                continue;
            const char *value = p + 3 + strspn(p + 3, " =");
            value += *value == '"';
            bool next =
                strncasecmp(value, "next", 4) == 0 && !isalnum((unsigned char)value[4]) && value[4] != '-';
            if (next && (size_t)(end - header) < SOURCE_URL_MAX) {
                memcpy(out, header + 1, (size_t)(end - header - 1));
                out[end - header - 1] = '\0';
                return true;
            }
        }
        header = end;
    }
    return false;
}

/* Whether a page that is asked for by number follows. */
static bool more_counted(const char *text, size_t size, const struct mapping_listing *listing,
                         const struct page_walk *walk)
{
    cJSON *pages = scalar_at(text, size, listing->pages);
    bool more = walk->page_rows > 0;
    if (cJSON_IsNumber(pages))
        more = (double)walk->pages < pages->valuedouble;
    else if (listing->size > 0 && listing->more == NULL)
        more = walk->page_rows >= (size_t)listing->size;
    cJSON_Delete(pages);
    return more;
}

static int next_counted(const char *url, const struct mapping_listing *listing, const struct page_walk *walk,
                        char out[SOURCE_URL_MAX], struct fault *fault)
{
    CURLU *parsed = curl_url();
    long number = listing->first + (long)(listing->paging == MAPPING_PAGING_PAGE ? walk->pages : walk->rows);
    int code = KAART_NOMEM;
    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        set_number(parsed, listing->parameter, number) == CURLUE_OK)
        code = write_url(parsed, out, fault);
    else
        fault_set(fault, code, "out of memory");
    curl_url_cleanup(parsed);
    return code;
}

static int next_by_cursor(const char *url, const cJSON *cursor, const struct mapping_listing *listing,
                          char out[SOURCE_URL_MAX], struct fault *fault)
{
    CURLU *parsed = curl_url();
    char number[40];
    const char *text = number;
    if (cJSON_IsString(cursor))
        text = cursor->valuestring;
    else
        snprintf(number, sizeof(number), "%.15g", cursor->valuedouble);
    int code = KAART_NOMEM;
    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        set_parameter(parsed, listing->parameter, text) == CURLUE_OK)
        code = write_url(parsed, out, fault);
    else
        fault_set(fault, code, "out of memory");
    curl_url_cleanup(parsed);
    if (code == KAART_OK && strcmp(out, url) == 0)
        code = fault_set(fault, KAART_INVALID, "the register gave the same cursor again");
    return code;
}

/* Half a list is no list. [SRC-5] */
static int check_total(const char *text, size_t size, const struct mapping_listing *listing,
                       const struct page_walk *walk, struct fault *fault)
{
    cJSON *total = scalar_at(text, size, listing->total);
    int code = KAART_OK;
    if (cJSON_IsNumber(total) && total->valuedouble != (double)walk->rows)
        code = fault_set(fault, KAART_INVALID, "the register says it has %.0f rows, but %zu came",
                         total->valuedouble, walk->rows);
    else if (listing->total != NULL && !cJSON_IsNumber(total))
        code = fault_set(fault, KAART_INVALID,
                         "the answer has no number at \"%s\", where the mapping says the total is",
                         listing->total);
    cJSON_Delete(total);
    return code;
}

static bool is_empty(const cJSON *value)
{
    return !cJSON_IsNumber(value) && (!cJSON_IsString(value) || value->valuestring[0] == '\0');
}

int page_next_url(const char *url, const char *text, size_t size, const char *link,
                  const struct mapping_listing *listing, const struct page_walk *walk,
                  char out[SOURCE_URL_MAX], struct fault *fault)
{
    char target[SOURCE_URL_MAX];
    int code = KAART_OK;
    out[0] = '\0';
    cJSON *more = scalar_at(text, size, listing->more);
    cJSON *next = scalar_at(text, size, listing->next);
    bool ended = cJSON_IsFalse(more);
    if (ended) {
        /* it says so itself */
    } else if (listing->paging == MAPPING_PAGING_NEXT && cJSON_IsString(next) &&
               next->valuestring[0] != '\0') {
        code = follow_link(url, next->valuestring, out, fault);
    } else if (listing->paging == MAPPING_PAGING_LINK && link_next(link, target)) {
        code = follow_link(url, target, out, fault);
    } else if (listing->paging == MAPPING_PAGING_CURSOR && !is_empty(next)) {
        code = next_by_cursor(url, next, listing, out, fault);
    } else if ((listing->paging == MAPPING_PAGING_PAGE || listing->paging == MAPPING_PAGING_OFFSET) &&
               more_counted(text, size, listing, walk)) {
        code = next_counted(url, listing, walk, out, fault);
    }
    cJSON_Delete(more);
    cJSON_Delete(next);
    if (code == KAART_OK && out[0] != '\0' && walk->pages >= SOURCE_PAGES_MAX)
        code = fault_set(fault, KAART_INVALID, "more than %d pages", SOURCE_PAGES_MAX);
    if (code == KAART_OK && out[0] == '\0')
        code = check_total(text, size, listing, walk, fault);
    if (code != KAART_OK)
        out[0] = '\0';
    return code;
}
