/*
 * convert_html.c - HTML fragments, as registers keep them in description fields, to readable text.
 *
 * Not a browser: block elements break lines, list items get a dash, other tags go, entities are resolved.
 * Whatever looks broken is kept as text, so that nothing an editor wrote disappears ("opvang < 12 jaar"
 * stays).
 */
#include "daemon/source/convert.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Text under construction. White space is held back until something visible follows; `breaks` counts line
 * breaks among it. */
struct writer {
    char *text;
    size_t size;
    unsigned breaks;
    bool space;
};

static void write_bytes(struct writer *writer, const char *bytes, size_t size)
{
    if (writer->size > 0) {
        unsigned breaks = writer->breaks > 2 ? 2 : writer->breaks;
        for (unsigned i = 0; i < breaks; i++)
            writer->text[writer->size++] = '\n';
        if (breaks == 0 && writer->space)
            writer->text[writer->size++] = ' ';
    }
    writer->breaks = 0;
    writer->space = false;
    memcpy(writer->text + writer->size, bytes, size);
    writer->size += size;
}

static void write_break(struct writer *writer, unsigned breaks)
{
    if (writer->breaks < breaks)
        writer->breaks = breaks;
}

static void write_character(struct writer *writer, uint32_t code)
{
    char utf8[4];
    size_t size = 0;
    if (code == 0xA0 || code == ' ' || code == '\t' || code == '\n' || code == '\r') {
        writer->space = true;
        return;
    }
    if (code == 0xAD || code == 0xFEFF || code == 0x200B || code < 0x20)
        return; /* soft hyphens, marks and control characters */
    if (code < 0x80) {
        utf8[size++] = (char)code;
    } else if (code < 0x800) {
        utf8[size++] = (char)(0xC0 | (code >> 6));
        utf8[size++] = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        utf8[size++] = (char)(0xE0 | (code >> 12));
        utf8[size++] = (char)(0x80 | ((code >> 6) & 0x3F));
        utf8[size++] = (char)(0x80 | (code & 0x3F));
    } else {
        utf8[size++] = (char)(0xF0 | (code >> 18));
        utf8[size++] = (char)(0x80 | ((code >> 12) & 0x3F));
        utf8[size++] = (char)(0x80 | ((code >> 6) & 0x3F));
        utf8[size++] = (char)(0x80 | (code & 0x3F));
    }
    write_bytes(writer, utf8, size);
}

/* Names of U+00A0 .. U+00FF in order (HTML 4, section 24.2.1). */
static const char *const latin1[96] = {
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",
    "ordf",   "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",
    "acute",  "micro",  "para",   "middot", "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12",
    "frac34", "iquest", "Agrave", "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil",
    "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde",
    "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",
    "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute", "acirc",  "atilde", "auml",   "aring",
    "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute", "icirc",  "iuml",
    "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide", "oslash", "ugrave",
    "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml",
};

static const struct {
    const char *name;
    uint32_t code;
} named[] = {
    {"amp", '&'},      {"lt", '<'},       {"gt", '>'},       {"quot", '"'},      {"apos", '\''},
    {"euro", 0x20AC},  {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018},  {"rsquo", 0x2019},
    {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"bdquo", 0x201E}, {"hellip", 0x2026}, {"bull", 0x2022},
    {"trade", 0x2122}, {"rarr", 0x2192},  {"larr", 0x2190},  {"zwnj", 0x200B},   {"zwj", 0x200B},
    {"ensp", ' '},     {"emsp", ' '},     {"thinsp", ' '},
};

static uint32_t entity_code(const char *name, size_t size)
{
    if (name[0] == '#') {
        bool hexadecimal = size > 1 && (name[1] == 'x' || name[1] == 'X');
        char *end = NULL;
        unsigned long code = strtoul(name + (hexadecimal ? 2 : 1), &end, hexadecimal ? 16 : 10);
        bool good = end == name + size && isxdigit((unsigned char)end[-1]) && code > 0 && code <= 0x10FFFF &&
                    (code < 0xD800 || code > 0xDFFF);
        return good ? (uint32_t)code : 0;
    }
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (strlen(named[i].name) == size && memcmp(named[i].name, name, size) == 0)
            return named[i].code;
    }
    for (size_t i = 0; i < 96; i++) {
        if (strlen(latin1[i]) == size && memcmp(latin1[i], name, size) == 0)
            return (uint32_t)(0xA0 + i);
    }
    return 0;
}

/* Behind the entity at `p`, whose character it writes; `p` itself where it is none. */
static const char *take_entity(const char *p, struct writer *writer)
{
    size_t size = strspn(p + 1, "#0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (size < 2 || size > 10 || p[1 + size] != ';')
        return p;
    uint32_t code = entity_code(p + 1, size);
    if (code == 0)
        return p;
    write_character(writer, code);
    return p + size + 2;
}

static bool name_is(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && strncasecmp(name, wanted, size) == 0;
}

static bool is_block(const char *name, size_t size)
{
    static const char *const blocks[] = {"p",  "div", "ul", "ol", "h1", "h2",    "h3",      "h4",
                                         "h5", "h6",  "dl", "tr", "hr", "table", "section", "article"};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (name_is(name, size, blocks[i]))
            return true;
    }
    return false;
}

/* Behind `</name>`, or the end of the text. */
static const char *skip_element(const char *p, const char *name, size_t size)
{
    while ((p = strstr(p, "</")) != NULL) {
        if (strncasecmp(p + 2, name, size) == 0) {
            const char *end = strchr(p, '>');
            return end != NULL ? end + 1 : p + strlen(p);
        }
        p += 2;
    }
    return "";
}

/* The end of a tag, where attribute values may hold '>'; NULL if it never ends. */
static const char *tag_end(const char *p)
{
    char quote = '\0';
    for (; *p != '\0'; p++) {
        if (quote != '\0')
            quote = *p == quote ? '\0' : quote;
        else if (*p == '"' || *p == '\'')
            quote = *p;
        else if (*p == '>')
            return p;
    }
    return NULL;
}

/* Behind the tag at `p`; `p` itself where it is none. */
static const char *take_tag(const char *p, struct writer *writer)
{
    if (strncmp(p, "<!--", 4) == 0) {
        const char *end = strstr(p + 4, "-->");
        return end != NULL ? end + 3 : p + strlen(p);
    }
    bool closing = p[1] == '/';
    const char *name = p + (closing ? 2 : 1);
    if (!isalpha((unsigned char)*name) && *name != '!')
        return p;
    const char *end = tag_end(name);
    if (end == NULL)
        return p;
    size_t size = 0;
    while (isalnum((unsigned char)name[size]))
        size++;
    if (!closing && (name_is(name, size, "script") || name_is(name, size, "style")))
        return skip_element(end + 1, name, size);
    if (name_is(name, size, "br"))
        writer->breaks++;
    else if (is_block(name, size))
        write_break(writer, name_is(name, size, "p") ? 2 : 1);
    else if (name_is(name, size, "li"))
        write_break(writer, 1);
    else if (name_is(name, size, "td") || name_is(name, size, "th"))
        writer->space = true;
    if (!closing && name_is(name, size, "li")) {
        write_bytes(writer, "-", 1);
        writer->space = true;
    }
    return end + 1;
}

int convert_html(const char *html, char **text, struct fault *fault)
{
    /* Nothing grows but a held-back white space, which stood for at least one byte, and "- " for "<li>". */
    struct writer writer = {.text = malloc(strlen(html) + 4)};
    if (writer.text == NULL)
        return fault_set(fault, KAART_NOMEM, "out of memory");
    for (const char *p = html; *p != '\0';) {
        const char *next = p;
        if (*p == '<')
            next = take_tag(p, &writer);
        else if (*p == '&')
            next = take_entity(p, &writer);
        if (next != p) {
            p = next;
        } else if ((unsigned char)*p <= ' ') {
            writer.space = true;
            p++;
        } else {
            write_bytes(&writer, p, 1);
            p++;
        }
    }
    writer.text[writer.size] = '\0';
    *text = writer.text;
    return KAART_OK;
}
