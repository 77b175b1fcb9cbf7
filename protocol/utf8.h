/*
 * utf8.h - one step through UTF-8 (RFC 3629), for the modules of protocol/ that look at text byte by byte.
 */
#ifndef KAARTD_PROTOCOL_UTF8_H
#define KAARTD_PROTOCOL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length (1 to 4) of the well-formed sequence at `text`, of which `left` bytes can be read; 0 if there is
 * none: truncated, overlong, a surrogate, above U+10FFFF. With *code (may be NULL) the code point. */
static inline size_t utf8_step(const char *text, size_t left, uint32_t *code)
{
    const unsigned char *b = (const unsigned char *)text;
    size_t length;
    uint32_t value, least;

    if (left == 0)
        return 0;
    if (b[0] < 0x80) {
        if (code)
            *code = b[0];
        return 1;
    }
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    length = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (left < length)
        return 0;
    value = b[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (b[i] & 0x3fu);
    }
    least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    if (code)
        *code = value;
    return length;
}

#endif
