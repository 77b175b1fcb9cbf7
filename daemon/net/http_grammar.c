/*
 * http_grammar.c - see http_grammar.h.
 *
 * The distribution builds its parser lenient: it lets bare line feeds, folded lines and spaces before colons
 * pass. Each of these has been used to smuggle a second request past a proxy, so the head is checked byte by
 * byte before the parser sees it, and so are the bytes between chunks.
 */
#include "daemon/net/http_grammar.h"

#include "protocol/syntax.h"

#include <string.h>
#include <strings.h>

/* Digits of a chunk's size: 64 bits' worth; no chunk extensions, so this bounds what stands between two
 * chunks. */
#define CHUNK_DIGITS_MAX 16

/* Makes the parser's own bound higher than ours, which then always is the one that speaks. */
_Static_assert(HTTP_HEAD_MAX < HTTP_MAX_HEADER_SIZE,
               "the parser's bound on heads must not be the smaller one");

static int refuse(struct http_grammar *grammar, int status, const char *why)
{
    if (grammar->status == 0) {
        grammar->status = status;
        grammar->why = why;
    }
    return -1;
}

/* ---- the head ---- */

/* One line of a head, without its CR LF: what no line may hold, and that it is no continuation of the last.
 */
static const char *line_fault(const char *line, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        unsigned char c = (unsigned char)line[i];

        if (c == '\n')
            return "a bare line feed in the head";
        if (c == '\r')
            return "a bare carriage return in the head";
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return "a control character in the head";
    }
    return NULL;
}

size_t http_grammar_find_head(const char *bytes, size_t size, size_t *scanned, int *status, const char **why)
{
    size_t start = *scanned; /* always the start of a line */

    *status = 0;
    for (;;) {
        const char *end = memchr(bytes + start, '\n', size - start);
        size_t length;

        if (!end) {
            *why = "the head is too large";
            *status = size >= HTTP_HEAD_MAX ? 431 : 0;
            return 0;
        }
        length = (size_t)(end - bytes) - start;
        if (start + length + 1 > HTTP_HEAD_MAX) {
            *why = "the head is too large";
            *status = 431;
            return 0;
        }
        if (length == 0 || end[-1] != '\r') {
            *why = "a bare line feed in the head";
            *status = 400;
            return 0;
        }
        if (length == 1)
            return start + 2;
        *why = line_fault(bytes + start, length - 1);
        if (!*why && start > 0 && (bytes[start] == ' ' || bytes[start] == '\t'))
            *why = "a folded line in the head";
        if (*why) {
            *status = 400;
            return 0;
        }
        start += length + 1;
        *scanned = start;
    }
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http_grammar *grammar = parser->data;

    if (grammar->target_size)
        return refuse(grammar, 400, "a broken request line");
    grammar->head->target = at;
    grammar->target_size = size;
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t size)
{
    struct http_grammar *grammar = parser->data;
    struct http_head *head = grammar->head;

    if (!grammar->in_head)
        return refuse(grammar, 400, "trailer fields are not accepted");
    if (head->field_count == HTTP_FIELDS_MAX)
        return refuse(grammar, 431, "too many fields in the head");
    head->fields[head->field_count].name = at;
    grammar->name_size[head->field_count] = size;
    head->fields[head->field_count].value = at + size;
    grammar->value_size[head->field_count++] = 0;
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct http_grammar *grammar = parser->data;
    struct http_head *head = grammar->head;

    if (!grammar->in_head || head->field_count == 0)
        return refuse(grammar, 400, "trailer fields are not accepted");
    while (size && (at[size - 1] == ' ' || at[size - 1] == '\t'))
        size--;
    head->fields[head->field_count - 1].value = at;
    grammar->value_size[head->field_count - 1] = size;
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    parser->upgrade = 0; /* no upgrades: the request goes on as HTTP/1.1 */
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_grammar *grammar = parser->data;

    grammar->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

/* What may come next between the data of chunks:
 *
 *     FRAMING_SIZE --hex...CR--> FRAMING_SIZE_LF --LF--> FRAMING_DATA --data--> FRAMING_CR --CR--> FRAMING_LF
 * --LF--> FRAMING_SIZE FRAMING_DATA --CR--> FRAMING_LF  (the last chunk: the body ends)
 */
enum { FRAMING_SIZE, FRAMING_SIZE_LF, FRAMING_DATA, FRAMING_CR, FRAMING_LF };

static bool framing_step(struct http_grammar *grammar, char c)
{
    switch (grammar->framing) {
    case FRAMING_SIZE:
        if (c == '\r' && grammar->framing_digits > 0) {
            grammar->framing = FRAMING_SIZE_LF;
            return true;
        }
        return ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) &&
               ++grammar->framing_digits <= CHUNK_DIGITS_MAX;
    case FRAMING_SIZE_LF:
        grammar->framing = FRAMING_DATA;
        return c == '\n';
    case FRAMING_DATA:
    case FRAMING_CR:
        grammar->framing = FRAMING_LF;
        return c == '\r';
    default:
        grammar->framing = FRAMING_SIZE;
        grammar->framing_digits = 0;
        return c == '\n';
    }
}

static int check_framing(struct http_grammar *grammar, const char *bytes, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++)
        if (!framing_step(grammar, bytes[i]))
            return refuse(grammar, 400,
                          bytes[i] == ';' ? "chunk extensions are not accepted" : "broken chunk framing");
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct http_grammar *grammar = parser->data;

    if (grammar->unframed) {
        if (check_framing(grammar, grammar->unframed, (size_t)(at - grammar->unframed)))
            return -1;
        if (grammar->framing != FRAMING_DATA && grammar->framing != FRAMING_CR)
            return refuse(grammar, 400, "broken chunk framing");
        grammar->unframed = at + size;
        grammar->framing = FRAMING_CR; /* also when more of this chunk's data follows */
    }
    grammar->data(grammar->context, at, size);
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static bool is_token(const char *text, size_t size)
{
    static const char OTHERS[] = "!#$%&'*+-.^_`|~";
    size_t i;

    for (i = 0; i < size; i++) {
        char c = text[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              memchr(OTHERS, c, sizeof(OTHERS) - 1)))
            return false;
    }
    return size > 0;
}

/* Puts NULs behind names and values: behind a name stands a colon, behind a value CR or white space. */
static int end_strings(struct http_grammar *grammar, char *bytes)
{
    struct http_head *head = grammar->head;
    size_t i;

    for (i = 0; i < head->field_count; i++) {
        char *name_end = bytes + (head->fields[i].name - bytes) + grammar->name_size[i];
        char *value_end = bytes + (head->fields[i].value - bytes) + grammar->value_size[i];

        if (*name_end != ':' || !is_token(head->fields[i].name, grammar->name_size[i]))
            return refuse(grammar, 400, "a field name that is no token");
        if (grammar->value_size[i] == 0) {
            head->fields[i].value = "";
            *name_end = '\0';
            continue;
        }
        *name_end = '\0';
        *value_end = '\0';
    }
    bytes[(size_t)(head->target - bytes) + grammar->target_size] = '\0';
    return 0;
}

static size_t count_fields(const struct http_head *head, const char *name)
{
    size_t i, count = 0;

    for (i = 0; i < head->field_count; i++)
        count += strcasecmp(head->fields[i].name, name) == 0;
    return count;
}

static bool is_host(const char *value)
{
    return strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%") ==
           strlen(value);
}

/* The fields that decide where a request ends and what it is for. */
static int check_fields(struct http_grammar *grammar)
{
    struct http_head *head = grammar->head;
    size_t lengths = count_fields(head, "Content-Length"),
           encodings = count_fields(head, "Transfer-Encoding");
    size_t hosts = count_fields(head, "Host");
    const char *value;

    if (hosts > 1 || (hosts == 0 && head->minor == 1))
        return refuse(grammar, 400, hosts ? "more than one Host" : "no Host");
    if (hosts && !is_host(http_field(head->fields, head->field_count, "Host")))
        return refuse(grammar, 400, "a Host that is no host");
    if (lengths > 1)
        return refuse(grammar, 400, "more than one Content-Length");
    if (lengths && encodings)
        return refuse(grammar, 400, "both Content-Length and Transfer-Encoding");
    if (encodings > 1 || (encodings && head->minor == 0))
        return refuse(grammar, 400, "a Transfer-Encoding that is not allowed here");
    if (encodings &&
        strcasecmp(http_field(head->fields, head->field_count, "Transfer-Encoding"), "chunked") != 0)
        return refuse(grammar, 501, "a transfer coding other than chunked");
    head->chunked = encodings == 1;
    if (lengths) {
        value = http_field(head->fields, head->field_count, "Content-Length");
        if (syntax_decimal_parse(value, strlen(value), UINT64_C(1) << 53, &head->content_length))
            return refuse(grammar, 400, "a Content-Length that is no plain number");
    }
    head->has_body = head->chunked || head->content_length > 0;
    value = http_field(head->fields, head->field_count, "Expect");
    if (value && strcasecmp(value, "100-continue") != 0)
        return refuse(grammar, 417, "an expectation other than 100-continue");
    head->expects_continue = value != NULL && head->minor == 1;
    value = http_field(head->fields, head->field_count, "Content-Encoding");
    if (value && strcasecmp(value, "gzip") != 0 && strcasecmp(value, "identity") != 0)
        return refuse(grammar, 415, "a content coding other than gzip");
    head->gzip_body = value && strcasecmp(value, "gzip") == 0;
    return 0;
}

static int check_method(struct http_grammar *grammar)
{
    switch (grammar->parser.method) {
    case HTTP_GET:
    case HTTP_HEAD:
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
    case HTTP_DELETE:
    case HTTP_OPTIONS:
        return 0;
    default:
        return refuse(grammar, 501, "a method that is not served here");
    }
}

static int parser_status(const struct http_grammar *grammar, const char **why)
{
    *why = http_errno_description(HTTP_PARSER_ERRNO(&grammar->parser));
    switch (HTTP_PARSER_ERRNO(&grammar->parser)) {
    case HPE_HEADER_OVERFLOW:
        return 431;
    case HPE_INVALID_TRANSFER_ENCODING:
        return 501;
    default:
        return 400;
    }
}

int http_grammar_head(struct http_grammar *grammar, char *bytes, size_t size, struct http_head *out,
                      const char **why)
{
    size_t taken;
    enum http_errno error;

    memset(grammar, 0, sizeof(*grammar));
    memset(out, 0, sizeof(*out));
    http_parser_init(&grammar->parser, HTTP_REQUEST);
    grammar->parser.data = grammar;
    grammar->head = out;
    grammar->in_head = true;
    taken = http_parser_execute(&grammar->parser, &SETTINGS, bytes, size);
    error = HTTP_PARSER_ERRNO(&grammar->parser);
    if (grammar->status == 0 && ((error != HPE_OK && error != HPE_PAUSED) || taken != size)) {
        grammar->status = parser_status(grammar, &grammar->why);
        if (error == HPE_OK)
            grammar->why = "a broken head";
    }
    if (grammar->status == 0 && (grammar->parser.http_major != 1 || grammar->parser.http_minor > 1))
        refuse(grammar, 505, "not HTTP/1.1");
    out->minor = grammar->parser.http_minor;
    out->method = http_method_str((enum http_method)grammar->parser.method);
    if (grammar->status == 0 && !out->target)
        refuse(grammar, 400, "a broken request line");
    if (grammar->status == 0 && end_strings(grammar, bytes) == 0 && check_method(grammar) == 0)
        check_fields(grammar);
    out->keep_alive = http_should_keep_alive(&grammar->parser) != 0;
    grammar->in_head = false;
    grammar->head = NULL;
    *why = grammar->why;
    return grammar->status;
}

int http_grammar_body(struct http_grammar *grammar, const char *bytes, size_t size, size_t *consumed,
                      void (*data)(void *context, const char *bytes, size_t size), void *context,
                      const char **why)
{
    bool chunked = (grammar->parser.flags & F_CHUNKED) != 0;
    enum http_errno error;

    *consumed = 0;
    if (grammar->complete || size == 0)
        return 0;
    grammar->data = data;
    grammar->context = context;
    grammar->unframed = chunked ? bytes : NULL;
    if (HTTP_PARSER_ERRNO(&grammar->parser) == HPE_PAUSED)
        http_parser_pause(&grammar->parser, 0);
    *consumed = http_parser_execute(&grammar->parser, &SETTINGS, bytes, size);
    error = HTTP_PARSER_ERRNO(&grammar->parser);
    if (grammar->status == 0 && error != HPE_OK && error != HPE_PAUSED)
        grammar->status = parser_status(grammar, &grammar->why);
    if (grammar->status == 0 && grammar->unframed && grammar->unframed < bytes + *consumed)
        check_framing(grammar, grammar->unframed, (size_t)(bytes + *consumed - grammar->unframed));
    *why = grammar->why;
    return grammar->status;
}

void http_grammar_stop(struct http_grammar *grammar)
{
    http_parser_pause(&grammar->parser, 1);
}

/* ---- the target ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes in place and ends with NUL. Refuses broken escapes, control characters and invalid UTF-8.
 * `slashes`: whether %2F may stand for one. */
static const char *percent_decode(char *text, bool plus_is_space, bool slashes)
{
    char *to = text;
    const char *from = text;

    while (*from) {
        int c = (unsigned char)*from++;

        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = hex_value(from[0]), low = high < 0 ? -1 : hex_value(from[1]);

            if (low < 0)
                return "a broken percent escape";
            c = high * 16 + low;
            from += 2;
            if (c == '/' && !slashes)
                return "an encoded slash in the path";
        }
        if (c < 0x20 || c == 0x7f)
            return "a control character in the target";
        *to++ = (char)c;
    }
    *to = '\0';
    return syntax_is_utf8(text, (size_t)(to - text)) ? NULL : "the target is no valid UTF-8";
}

static const char *path_fault(const char *path)
{
    const char *segment = path + 1;

    if (path[0] != '/')
        return "a target that is no path";
    while (*segment) {
        size_t size = strcspn(segment, "/");

        if (size == 0 || (size == 1 && segment[0] == '.') || (size == 2 && memcmp(segment, "..", 2) == 0))
            return "an empty or dotted segment in the path";
        if (memchr(segment, '\\', size))
            return "a backslash in the path";
        segment += size;
        if (*segment == '/')
            segment++;
    }
    return NULL;
}

static const char *query_parse(char *text, struct http_pair query[HTTP_QUERY_MAX], size_t *count)
{
    while (text && *text) {
        char *next = strchr(text, '&');
        char *value;
        const char *fault;
        size_t i;

        if (next)
            *next++ = '\0';
        if (*text == '\0') {
            text = next;
            continue;
        }
        if (*count == HTTP_QUERY_MAX)
            return "too many query members";
        value = strchr(text, '=');
        if (value)
            *value++ = '\0';
        fault = percent_decode(text, true, true);
        if (!fault && value)
            fault = percent_decode(value, true, true);
        if (fault)
            return fault;
        for (i = 0; i < *count; i++)
            if (strcmp(query[i].name, text) == 0)
                return "a query member that comes twice";
        query[*count].name = text;
        query[(*count)++].value = value ? value : "";
        text = next;
    }
    return NULL;
}

/* Drops "http://authority" of an absolute-form target (RFC 9112 section 3.2.2). */
static char *drop_authority(char *target)
{
    char *rest = NULL;

    if (strncasecmp(target, "http://", 7) == 0)
        rest = target + 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        rest = target + 8;
    return rest ? rest + strcspn(rest, "/?") : target;
}

int http_target_parse(char *target, const char **path, struct http_pair query[HTTP_QUERY_MAX],
                      size_t *query_count, const char **why)
{
    char *start = drop_authority(target), *mark;

    *query_count = 0;
    *path = "/";
    if (strchr(start, '#')) {
        *why = "a fragment in the target";
        return 400;
    }
    mark = strchr(start, '?');
    if (mark)
        *mark++ = '\0';
    *why = percent_decode(start, false, false);
    if (!*why)
        *why = path_fault(start);
    if (!*why)
        *why = query_parse(mark, query, query_count);
    if (*why)
        return 400;
    *path = start;
    return 0;
}

/* ---- small things ---- */

const char *http_field(const struct http_pair *fields, size_t count, const char *name)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcasecmp(fields[i].name, name) == 0)
            return fields[i].value;
    return NULL;
}

/* Whether a coding's parameters give it weight 0 ("gzip;q=0"). */
static bool weight_is_zero(const char *parameters, size_t size)
{
    const char *q = memchr(parameters, '=', size);

    if (!q)
        return false;
    for (q++; q < parameters + size; q++)
        if (*q >= '1' && *q <= '9')
            return false;
    return true;
}

bool http_accepts_gzip(const char *list)
{
    bool any = false;

    while (list && *list) {
        size_t size, name;

        list += strspn(list, " \t,");
        size = strcspn(list, ",");
        name = strcspn(list, "; \t,");
        if (name == 4 && strncasecmp(list, "gzip", 4) == 0)
            return !weight_is_zero(list + name, size - name);
        if (name == 1 && *list == '*')
            any = !weight_is_zero(list + name, size - name);
        list += size;
    }
    return any;
}

const char *http_reason(int status)
{
    switch (status) {
#define XX(number, name, text)                                                                               \
    case number:                                                                                             \
        return #text;
        HTTP_STATUS_MAP(XX)
#undef XX
    default:
        return "Unknown";
    }
}
