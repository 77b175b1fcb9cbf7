/*
 * log.c - one line per event on standard error, written with one write(2) so that threads do not mix their
 * lines.
 */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Longer than any fault text with its ids; a longer line is cut. */
#define LINE_SIZE_MAX 1024

static enum log_level level_max = LOG_LEVEL_INFO;
static bool for_journald;

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_levels[] = {3, 4, 6, 7};

void log_init(enum log_level level, bool journald)
{
    level_max = level;
    for_journald = journald;
}

static int write_prefix(char *line, size_t size, enum log_level level, const char *area)
{
    if (for_journald)
        return snprintf(line, size, "<%d>%s: ", syslog_levels[level], area);
    struct timespec now;
    struct tm utc;
    char time[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
    return snprintf(line, size, "%s.%03ldZ %s %s: ", time, now.tv_nsec / 1000000, level_names[level], area);
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    if (level > level_max)
        return;
    int used = write_prefix(line, sizeof(line) - 1, level, area);
    if (used < 0 || (size_t)used >= sizeof(line) - 1)
        return;
    size_t room = sizeof(line) - 1 - (size_t)used;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + used, room, format, arguments);
    va_end(arguments);
    if (wanted < 0)
        return;
    size_t size = (size_t)used + ((size_t)wanted < room ? (size_t)wanted : room - 1);
    for (size_t i = 0; i < size; i++) /* much of what is quoted comes from strangers */
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[size++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
}
