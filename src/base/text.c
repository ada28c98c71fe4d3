// SPDX-License-Identifier: BSD-3-Clause
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned sc_utf8_length(const uint8_t *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    unsigned n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > left)
        return 0;
    for (unsigned i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    /* longer than needed, surrogates, above U+10FFFF */
    bool bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
               (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : n;
}

uint32_t sc_utf8_code_point(const uint8_t *s, unsigned length)
{
    if (length == 1)
        return s[0];
    uint32_t point = s[0] & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++)
        point = point << 6 | (s[i] & 0x3f);
    return point;
}

bool sc_text_is_obeyed(const uint8_t *s, unsigned length)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x061c, 0x061c}, {0x180e, 0x180e}, {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    uint32_t point = sc_utf8_code_point(s, length);
    if (point >= 0x20 && point < 0x7f)
        return false;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (point >= ranges[i][0] && point <= ranges[i][1])
            return true;
    }
    return false;
}

static char *put_byte(char *p, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    *p++ = '\\';
    *p++ = 'x';
    *p++ = digits[byte >> 4];
    *p++ = digits[byte & 15];
    return p;
}

char *sc_text_put_visible(char *p, const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned n = sc_utf8_length(text + i, length - i), bytes = n == 0 ? 1 : n;
        bool escaped = n == 0 || sc_text_is_obeyed(text + i, n);
        for (unsigned k = 0; k < bytes; k++, i++) {
            if (escaped)
                p = put_byte(p, text[i]);
            else
                *p++ = (char)text[i];
        }
    }
    return p;
}

void sc_buf_append_visible(struct sc_buf *buf, const char *text, size_t length)
{
    char *start = (char *)sc_buf_reserve(buf, 4 * length + 1);
    if (start != NULL)
        buf->len += (size_t)(sc_text_put_visible(start, (const uint8_t *)text, length) - start);
}

void sc_say(FILE *stream, const char *before, const char *text)
{
    struct sc_buf line = {0};
    sc_buf_printf(&line, "%s ", before);
    sc_buf_append_visible(&line, text, strlen(text));
    sc_buf_append_u8(&line, '\n');
    if (sc_buf_ok(&line))
        fwrite(line.data, 1, line.len, stream);
    sc_buf_free(&line);
}

bool sc_text_number(const char *text, bool units, uint64_t *out)
{
    static const char suffixes[] = "kMGT";
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9')
        return false;
    const char *suffix = *end == '\0' || !units ? NULL : strchr(suffixes, *end == 'K' ? 'k' : *end);
    if (*end != '\0' && (suffix == NULL || end[1] != '\0'))
        return false;
    for (const char *s = suffixes; suffix != NULL && s <= suffix; s++) {
        if (__builtin_mul_overflow(v, 1000, &v))
            return false;
    }
    *out = v;
    return true;
}
