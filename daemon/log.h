/*
 * log.h - one line per event on standard error: "LEVEL area: message key=value ...", with a time unless
 * journald adds it. Logs hold ids (peer, feed, record), never persons or secrets. Any thread may call.
 */
#ifndef KAARTD_DAEMON_LOG_H
#define KAARTD_DAEMON_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Call once before threads start. `journald`: prefix lines with <3>..<7> (sd-daemon(3)) instead of a time. */
void log_init(enum log_level level, bool journald);
/* `area`: "sync", "source", "store", "net", "config", "guard", "node". Control characters in the result
 * become '?'. */
void log_write(enum log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_write(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_write(LOG_LEVEL_WARNING, area, __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_LEVEL_DEBUG, area, __VA_ARGS__)

#endif
