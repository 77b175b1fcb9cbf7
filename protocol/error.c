/*
 * error.c - error codes in words, and the one line of text that goes with a failure.
 */
#include "protocol/error.h"
#include "protocol/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *kaart_strerror(int code)
{
    switch (code) {
    case KAART_OK:
        return "no error";
    case KAART_NOMEM:
        return "out of memory";
    case KAART_SYNTAX:
        return "malformed input";
    case KAART_LIMIT:
        return "limit exceeded";
    case KAART_SIGNATURE:
        return "signature not accepted";
    case KAART_ROOT:
        return "root mismatch";
    case KAART_ORDER:
        return "out of order";
    case KAART_KEY:
        return "unusable key";
    case KAART_FORK:
        return "equivocation";
    case KAART_INVALID:
        return "not allowed";
    case KAART_UNKNOWN:
        return "not found";
    case KAART_OVERTAKEN:
        return "overtaken";
    case KAART_IO:
        return "input/output failed";
    case KAART_CLOCK:
        return "clock behind what was signed";
    case KAART_GUARD:
        return "signing withheld";
    case KAART_BUSY:
        return "busy";
    case KAART_CORRUPT:
        return "database contradicts itself";
    default:
        return "unknown error";
    }
}

/* C0, DEL and the C1 controls, which some terminals obey as well. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Much of what is quoted comes from strangers: afterwards the text is one line of well-formed UTF-8. A
 * sequence that truncation cut in two becomes a question mark as well. */
static void clean(char *text)
{
    size_t left = strlen(text);
    char *out = text;

    while (left > 0) {
        uint32_t code = 0;
        size_t step = utf8_step(text, left, &code);

        if (step == 0 || is_control(code)) {
            *out++ = '?';
            step = step ? step : 1;
        } else {
            memmove(out, text, step);
            out += step;
        }
        text += step;
        left -= step;
    }
    *out = '\0';
}

void fault_write(struct fault *fault, const char *format, ...)
{
    char text[sizeof(struct fault)]; /* what is quoted can be the text that is there */
    va_list arguments;

    if (!fault)
        return;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    clean(text);
    memcpy(fault->text, text, strlen(text) + 1);
}

void fault_prefix(struct fault *fault, const char *format, ...)
{
    char before[sizeof(struct fault)];
    va_list arguments;
    int length;
    size_t used, rest;

    if (!fault)
        return;
    va_start(arguments, format);
    length = vsnprintf(before, sizeof before, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    used = (size_t)length < sizeof before - 3 ? (size_t)length : sizeof before - 3;
    before[used++] = ':';
    before[used++] = ' ';
    before[used] = '\0';
    rest = strlen(fault->text);
    if (rest > sizeof fault->text - 1 - used)
        rest = sizeof fault->text - 1 - used;
    memmove(fault->text + used, fault->text, rest);
    memcpy(fault->text, before, used);
    fault->text[used + rest] = '\0';
    clean(fault->text);
}
