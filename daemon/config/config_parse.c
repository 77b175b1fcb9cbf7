/*
 * config_parse.c - from a configuration file to sections of (key, value, line), by libconfuse.
 *
 *     text --blank_comments--> text --find_unclosed--> libconfuse --+--> sections
 *                               ^                                  |
 *                               +--- cut out an unknown option <---+
 *
 * libconfuse ends at its first error, miscounts lines after a C comment, and takes a missing brace at the end
 * of the file in silence. So comments are blanked first, open quotes and braces are found first, and an
 * unknown option is reported, cut out of the text (its lines stay) and the rest parsed again.
 *
 * libconfuse has global state and its callbacks no context: one load at a time (kaartd and kaartctl load on
 * their main thread).
 */
#include "daemon/config/config_private.h"
#include "protocol/syntax.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Sections nest two deep (policy, group); the outermost level is the first. */
#define DEPTH_MAX 4
/* An option of this name, which nobody can write without meaning it, has a default that libconfuse parses
 * when a section opens: that is how the line of the section's head is known. */
#define HEAD_OPTION ".head"

struct parse {
    struct config_reader *reader;
    char *text;
    size_t file;
    struct config_section *open[DEPTH_MAX];
    size_t depth;
    size_t first_section; /* where this file's begin in the reader */
    char unknown[128];    /* option that ended this pass; empty: none */
    int unknown_line;
};

static struct parse *current;

/* ---- before libconfuse ---- */

/* The end of the quoted string that starts at `at`; the text's end if it is not closed. */
static size_t skip_quoted(const char *text, size_t at)
{
    char quote = text[at++];
    while (text[at] != '\0' && text[at] != quote)
        at += text[at] == '\\' && text[at + 1] != '\0' ? 2 : 1;
    return text[at] == '\0' ? at : at + 1;
}

static void blank(char *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (text[i] != '\n')
            text[i] = ' ';
}

static void blank_comments(char *text)
{
    size_t at = 0;
    while (text[at] != '\0') {
        size_t end = at;
        if (text[at] == '"' || text[at] == '\'') {
            at = skip_quoted(text, at);
        } else if (text[at] == '#' || (text[at] == '/' && text[at + 1] == '/')) {
            end = at + strcspn(text + at, "\n");
            blank(text, at, end);
            at = end;
        } else if (text[at] == '/' && text[at + 1] == '*') {
            const char *close = strstr(text + at + 2, "*/");
            end = close ? (size_t)(close - text) + 2 : strlen(text);
            blank(text, at, end);
            at = end;
        } else {
            at++;
        }
    }
}

static int line_of(const char *text, size_t at)
{
    int line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* Complains about the quote or brace that stays open to the end; true if there is one. */
static bool find_unclosed(struct parse *parse)
{
    const char *text = parse->text;
    size_t open[DEPTH_MAX + 1], depth = 0, at = 0, length = strlen(text);
    while (at < length) {
        if (text[at] == '"' || text[at] == '\'') {
            size_t end = skip_quoted(text, at);
            if (end == length && (end < at + 2 || text[end - 1] != text[at])) {
                config_complain(parse->reader, parse->file, line_of(text, at), "this quote is not closed");
                return true;
            }
            at = end;
            continue;
        }
        if (text[at] == '{' && depth <= DEPTH_MAX)
            open[depth++] = at;
        else if (text[at] == '}' && depth > 0)
            depth--;
        at++;
    }
    if (depth > 0)
        config_complain(parse->reader, parse->file, line_of(text, open[depth - 1]),
                        "this brace is not closed");
    return depth > 0;
}

/* ---- libconfuse's callbacks ---- */

static const struct config_kind *kind_of(const char *name)
{
    for (size_t i = 1; i < config_kind_count; i++)
        if (strcmp(config_kinds[i].name, name) == 0)
            return &config_kinds[i];
    return &config_kinds[0];
}

static const struct config_key *key_of(const struct config_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->key_count; i++)
        if (strcmp(kind->keys[i].name, name) == 0)
            return &kind->keys[i];
    return NULL;
}

static struct config_section *open_section(struct parse *parse, const struct config_kind *kind,
                                           const char *title, int line)
{
    struct config_reader *reader = parse->reader;
    struct config_section **grown =
        realloc(reader->sections, (reader->section_count + 1) * sizeof(struct config_section *));
    if (!grown)
        return NULL;
    reader->sections = grown;
    struct config_section *section = calloc(1, sizeof(*section));
    if (!section)
        return NULL;
    section->kind = kind;
    section->file = parse->file;
    section->line = line;
    if (title && !(section->title = strdup(title))) {
        free(section);
        return NULL;
    }
    reader->sections[reader->section_count++] = section;
    return section;
}

static bool add_item(struct config_section *section, const struct config_key *key, const char *value,
                     int line)
{
    struct config_item *grown = realloc(section->items, (section->count + 1) * sizeof(struct config_item));
    if (!grown)
        return false;
    section->items = grown;
    char *copy = strdup(value);
    if (!copy)
        return false;
    section->items[section->count++] = (struct config_item){key, copy, line};
    /* cppcheck-suppress memleak ; the item has it */
    return true;
}

/* A value, or an element of a list. Called at the line on which it stands. */
static int on_value(cfg_t *cfg, cfg_opt_t *option, const char *value, void *result)
{
    struct parse *parse = current;
    *(const char **)result = value;
    if (strcmp(option->name, HEAD_OPTION) == 0) {
        if (parse->depth >= DEPTH_MAX)
            return -1;
        struct config_section *section =
            open_section(parse, kind_of(cfg_name(cfg)), cfg_title(cfg), cfg->line);
        if (!section) {
            parse->reader->nomem = true;
            return -1;
        }
        parse->open[parse->depth++] = section;
        return 0;
    }
    struct config_section *section = parse->open[parse->depth - 1];
    const struct config_key *key = key_of(section->kind, option->name);
    const struct config_item *earlier = config_item(section, option->name);
    /* libconfuse has made room for this value already: index 0 means that an earlier assignment was thrown
     * away */
    if (key && earlier && option->nvalues <= 1) {
        config_complain_section(parse->reader, section, cfg->line, "%s is set twice (first on line %d)",
                                option->name, earlier->line);
        return 0;
    }
    if (key && !add_item(section, key, value, cfg->line)) {
        parse->reader->nomem = true;
        return -1;
    }
    return 0;
}

static int on_section_end(cfg_t *cfg, cfg_opt_t *option)
{
    (void)cfg;
    (void)option;
    current->depth--;
    return 0;
}

static void on_error(cfg_t *cfg, const char *format, va_list arguments)
{
    struct parse *parse = current;
    char text[256];
    vsnprintf(text, sizeof(text), format, arguments);
    const char unknown[] = "no such option '";
    if (strncmp(text, unknown, sizeof(unknown) - 1) == 0) {
        snprintf(parse->unknown, sizeof(parse->unknown), "%.*s",
                 (int)strcspn(text + sizeof(unknown) - 1, "'"), text + sizeof(unknown) - 1);
        parse->unknown_line = cfg->line;
        return;
    }
    parse->reader->cut_short = true;
    config_complain(parse->reader, parse->file, cfg->line, "%s; the file was not read beyond this", text);
}

/* ---- the passes ---- */

static void drop_sections(struct parse *parse)
{
    struct config_reader *reader = parse->reader;
    while (reader->section_count > parse->first_section)
        config_section_free(reader->sections[--reader->section_count]);
    parse->depth = 0;
}

/* Builds libconfuse's table of one kind from ours; children are the kinds that stand in it. Free with
 * free_options. */
static cfg_opt_t *make_options(const struct config_kind *kind)
{
    cfg_opt_t *options = calloc(kind->key_count + config_kind_count + 2, sizeof(*options));
    size_t count = 0;
    if (!options)
        return NULL;
    if (kind != &config_kinds[0])
        options[count++] = (cfg_opt_t)CFG_STR_LIST_CB(HEAD_OPTION, "{open}", CFGF_NONE, on_value);
    for (size_t i = 0; i < kind->key_count; i++) {
        const struct config_key *key = &kind->keys[i];
        if (key->type == CONFIG_LIST || key->type == CONFIG_OTHER_LIST)
            options[count++] = (cfg_opt_t)CFG_STR_LIST_CB(key->name, 0, CFGF_NODEFAULT, on_value);
        else
            options[count++] = (cfg_opt_t)CFG_STR_CB(key->name, 0, CFGF_NODEFAULT, on_value);
    }
    for (size_t i = 1; i < config_kind_count; i++) {
        const struct config_kind *child = &config_kinds[i];
        const char *parent = child->parent ? child->parent : "";
        if (strcmp(parent, kind->name) != 0)
            continue;
        cfg_opt_t section = CFG_SEC(child->name, NULL, child->titled ? CFGF_MULTI | CFGF_TITLE : CFGF_MULTI);
        section.subopts = make_options(child);
        section.validcb = on_section_end;
        options[count++] = section;
        if (!section.subopts)
            break;
    }
    options[count] = (cfg_opt_t)CFG_END();
    return options;
}

static void free_options(cfg_opt_t *options)
{
    for (size_t i = 0; options && options[i].name; i++)
        if (options[i].type == CFGT_SEC)
            free_options(options[i].subopts);
    free(options);
}

static size_t skip_blank(const char *text, size_t at)
{
    while (text[at] != '\0' && isspace((unsigned char)text[at]))
        at++;
    return at;
}

static size_t skip_word(const char *text, size_t at)
{
    if (text[at] == '"' || text[at] == '\'')
        return skip_quoted(text, at);
    return at + strcspn(text + at, " \t\r\n\"'={}()+,");
}

/* The end of the statement whose name ends at `at`: `= value`, `= { ... }`, `{ ... }` or `title { ... }`. */
static size_t skip_statement(const char *text, size_t at)
{
    size_t depth = 0;
    at = skip_blank(text, at);
    if (text[at] == '=' || text[at] == '+') {
        at += text[at] == '+' && text[at + 1] == '=' ? 2 : 1;
        at = skip_blank(text, at);
        if (text[at] != '{')
            return skip_word(text, at);
    } else if (text[at] != '{') {
        at = skip_blank(text, skip_word(text, at));
        if (text[at] != '{')
            return at;
    }
    do {
        if (text[at] == '"' || text[at] == '\'') {
            at = skip_quoted(text, at);
            continue;
        }
        depth += text[at] == '{';
        depth -= text[at] == '}';
        at++;
    } while (depth > 0 && text[at] != '\0');
    return at;
}

/* Where the unknown name stands as a word on its line: where a sign of assignment follows, else the last
 * place. */
static bool find_word(const char *text, int line, const char *word, size_t *found)
{
    size_t at = 0, size = strlen(word);
    bool any = false;
    for (int l = 1; l < line && text[at] != '\0'; l++)
        at += strcspn(text + at, "\n") + (text[at + strcspn(text + at, "\n")] == '\n');
    while (text[at] != '\0' && text[at] != '\n') {
        size_t end = skip_word(text, at);
        if (end == at) {
            at++;
            continue;
        }
        size_t next = skip_blank(text, end);
        if (end - at == size && memcmp(text + at, word, size) == 0) {
            *found = at;
            any = true;
            if (text[next] == '=' || text[next] == '+')
                return true;
        }
        at = end;
    }
    return any;
}

/* One pass of libconfuse. 0: done (with or without complaints); 1: an unknown option was cut out, again
 * please. */
static int parse_once(struct parse *parse)
{
    int result = 0;
    cfg_opt_t *options = make_options(&config_kinds[0]);
    cfg_t *cfg = options ? cfg_init(options, CFGF_NONE) : NULL;
    parse->unknown[0] = '\0';
    parse->open[0] = open_section(parse, &config_kinds[0], NULL, 0);
    parse->depth = 1;
    if (!cfg || !parse->open[0]) {
        parse->reader->nomem = true;
        goto out;
    }
    cfg_set_error_function(cfg, on_error);
    cfg_parse_buf(cfg, parse->text);
    if (parse->unknown[0] == '\0')
        goto out;
    const struct config_section *section = parse->open[parse->depth - 1];
    size_t at;
    config_complain_section(parse->reader, section, parse->unknown_line, "unknown option or section \"%s\"",
                            parse->unknown);
    if (!find_word(parse->text, parse->unknown_line, parse->unknown, &at)) {
        parse->reader->cut_short = true;
        goto out;
    }
    blank(parse->text, at, skip_statement(parse->text, at + strlen(parse->unknown)));
    drop_sections(parse);
    result = 1;
out:
    if (cfg)
        cfg_free(cfg);
    free_options(options);
    return result;
}

/* The first line that is not text: 0 if all are. */
static int line_not_text(const char *text, size_t size)
{
    int line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        if (memchr(text + at, '\0', length) || !syntax_is_utf8(text + at, length))
            return line;
        at += length + 1;
    }
    return 0;
}

/* The whole file with a NUL added; complains and returns NULL if that cannot be had. */
static char *read_text(struct config_reader *reader, size_t file)
{
    const char *path = reader->files[file];
    char *text = NULL;
    FILE *stream = fopen(path, "r");
    struct stat status;
    if (!stream || fstat(fileno(stream), &status) < 0) {
        config_complain(reader, file, 0, "cannot be read: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > CONFIG_FILE_SIZE_MAX) {
        config_complain(reader, file, 0,
                        S_ISREG(status.st_mode) ? "is larger than a configuration can be" : "is not a file");
        goto out;
    }
    if (!(text = malloc((size_t)status.st_size + 1))) {
        reader->nomem = true;
        goto out;
    }
    size_t size = fread(text, 1, (size_t)status.st_size, stream);
    text[size] = '\0';
    int line = line_not_text(text, size);
    if (ferror(stream) || line > 0) {
        config_complain(reader, file, line, "%s", ferror(stream) ? strerror(errno) : "is not text in UTF-8");
        free(text);
        text = NULL;
    }
out:
    if (!text)
        reader->io = true;
    if (stream)
        fclose(stream);
    return text;
}

void config_parse_file(struct config_reader *reader, const char *path)
{
    char **grown = realloc(reader->files, (reader->file_count + 1) * sizeof(char *));
    if (grown)
        reader->files = grown;
    char *name = grown ? strdup(path) : NULL;
    if (!name) {
        reader->nomem = true;
        return;
    }
    reader->files[reader->file_count] = name;
    struct parse parse = {
        .reader = reader, .file = reader->file_count++, .first_section = reader->section_count};
    if (!(parse.text = read_text(reader, parse.file)))
        return;
    current = &parse;
    blank_comments(parse.text);
    if (find_unclosed(&parse))
        reader->cut_short = true;
    else
        for (int pass = 0; pass < CONFIG_UNKNOWN_MAX && parse_once(&parse) == 1; pass++)
            ;
    current = NULL;
    free(parse.text);
}

void config_section_free(struct config_section *section)
{
    if (!section)
        return;
    for (size_t i = 0; i < section->count; i++)
        free(section->items[i].value);
    free(section->items);
    free(section->title);
    free(section);
}
