/*
 * table.c - aligned columns for people, with an eye for UTF-8.
 */
#include "daemon/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

struct ctl_table {
    size_t columns;
    size_t rows; /* the headings are the first */
    char **cells;
};

static void *need(void *memory)
{
    if (!memory) {
        fputs("kaartctl: out of memory\n", stderr);
        exit(CTL_FAILED);
    }
    return memory;
}

/* The character at `text` (0xfffd for a stray byte) and its length. */
static unsigned decode(const char *text, size_t *size)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t more = byte[0] < 0x80 ? 0 : byte[0] >= 0xf0 ? 3 : byte[0] >= 0xe0 ? 2 : byte[0] >= 0xc2 ? 1 : 9;
    unsigned point = more == 0 ? byte[0] : byte[0] & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (more == 9 || (byte[i] & 0xc0) != 0x80) {
            *size = 1;
            return 0xfffd;
        }
        point = point << 6 | (byte[i] & 0x3fu);
    }
    *size = more + 1;
    return point;
}

static size_t width_of(unsigned point)
{
    static const struct {
        unsigned from, to;
        size_t width;
    } ranges[] = {{0x0300, 0x036f, 0},  {0x200b, 0x200f, 0}, {0x20d0, 0x20f0, 0}, {0xfe00, 0xfe0f, 0},
                  {0x1100, 0x115f, 2},  {0x2e80, 0x303e, 2}, {0x3041, 0xa4cf, 2}, {0xac00, 0xd7a3, 2},
                  {0xf900, 0xfaff, 2},  {0xfe30, 0xfe6f, 2}, {0xff00, 0xff60, 2}, {0x1f300, 0x1faff, 2},
                  {0x20000, 0x3fffd, 2}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (point >= ranges[i].from && point <= ranges[i].to)
            return ranges[i].width;
    return 1;
}

size_t ctl_text_width(const char *text)
{
    size_t width = 0, size;
    for (; *text; text += size)
        width += width_of(decode(text, &size));
    return width;
}

char *ctl_text_clean(char *text)
{
    size_t size;
    for (char *at = text; *at; at += size) {
        unsigned point = decode(at, &size);
        if (*at == '\n' || *at == '\t' || *at == '\r')
            *at = ' ';
        else if (point < ' ' ||
                 (point >= 0x7f && point < 0xa0)) /* C1 controls too: terminals obey some of them */
            memset(at, '?', size);
        else if (point == 0xfffd && size == 1) /* a stray byte */
            *at = '?';
    }
    return text;
}

static void add_row(struct ctl_table *table, const char *const *cells)
{
    table->cells = need(realloc(table->cells, (table->rows + 1) * table->columns * sizeof(char *)));
    for (size_t i = 0; i < table->columns; i++)
        table->cells[table->rows * table->columns + i] =
            ctl_text_clean(need(strdup(cells[i] ? cells[i] : "")));
    table->rows++;
}

struct ctl_table *ctl_table_new(const char *const *headings)
{
    struct ctl_table *table = need(calloc(1, sizeof(*table)));
    while (headings[table->columns])
        table->columns++;
    add_row(table, headings);
    return table;
}

void ctl_table_add(struct ctl_table *table, const char *const *cells)
{
    add_row(table, cells);
}

void ctl_table_print(const struct ctl_table *table, FILE *out)
{
    if (table->rows == 1) /* headings over nothing */
        return;
    size_t *widths = need(calloc(table->columns, sizeof(size_t)));
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t width = ctl_text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t row = 0; row < table->rows; row++) {
        char *const *cells = &table->cells[row * table->columns];
        size_t last = table->columns;
        while (last > 0 && cells[last - 1][0] == '\0')
            last--;
        for (size_t i = 0; i < last; i++) {
            fputs(cells[i], out);
            if (i + 1 < last)
                fprintf(out, "%*s", (int)(widths[i] - ctl_text_width(cells[i]) + 2), "");
        }
        fputc('\n', out);
    }
    free(widths);
}

void ctl_table_free(struct ctl_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}
