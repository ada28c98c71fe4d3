// SPDX-License-Identifier: BSD-3-Clause
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void sc_buf_free(struct sc_buf *buf)
{
    free(buf->data);
    *buf = (struct sc_buf){0};
}

uint8_t *sc_buf_take(struct sc_buf *buf)
{
    uint8_t *bytes = buf->data;
    if (buf->len != 0 &&
        buf->cap - buf->len > buf->len / 8) { /* what is held is counted, much room for more is not */
        bytes = realloc(buf->data, buf->len);
        bytes = bytes == NULL ? buf->data : bytes;
    }
    *buf = (struct sc_buf){0};
    return bytes;
}

uint8_t *sc_buf_reserve(struct sc_buf *buf, size_t extra)
{
    if (extra > buf->cap - buf->len) {
        size_t want = buf->cap + buf->cap / 2 + 64;
        if (want < buf->len + extra)
            want = buf->len + extra;
        uint8_t *data = extra > SIZE_MAX - buf->len ? NULL : realloc(buf->data, want);
        if (data == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->cap = want;
    }
    return buf->data + buf->len;
}

void sc_buf_append(struct sc_buf *buf, const void *bytes, size_t count)
{
    if (count == 0)
        return;
    uint8_t *place = sc_buf_reserve(buf, count);
    if (place == NULL)
        return;
    memcpy(place, bytes, count);
    buf->len += count;
}

void sc_buf_append_str(struct sc_buf *buf, const char *text)
{
    sc_buf_append(buf, text, strlen(text));
}

void sc_buf_printf(struct sc_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *place = need < 0 ? NULL : sc_buf_reserve(buf, (size_t)need + 1);
    if (place != NULL) {
        vsnprintf((char *)place, (size_t)need + 1, format, again);
        buf->len += (size_t)need;
    }
    va_end(again);
}

void sc_buf_append_u64(struct sc_buf *buf, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    sc_buf_append(buf, digits + at, sizeof(digits) - at);
}
