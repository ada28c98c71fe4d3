// SPDX-License-Identifier: BSD-3-Clause
/*
 * A growable byte buffer. Zero-initialise to start ({0}); sc_buf_free when done; the bytes belong to the
 * buffer. An append that cannot get memory sets `failed` and keeps what is there, so that a writer may
 * append many times and check once (sc_buf_ok) before it uses the result.
 */
#ifndef SC_BASE_BUF_H
#define SC_BASE_BUF_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sc_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

void sc_buf_free(struct sc_buf *buf);
/* The bytes, of which the caller is the owner now (free), with little room behind them; the buffer is empty then. */
uint8_t *sc_buf_take(struct sc_buf *buf);

/* Room for `extra` more bytes. Returns the place to write them (then add to len), or NULL without memory. */
uint8_t *sc_buf_reserve(struct sc_buf *buf, size_t extra);

void sc_buf_append(struct sc_buf *buf, const void *bytes, size_t count);
void sc_buf_append_str(struct sc_buf *buf, const char *text);
void sc_buf_printf(struct sc_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Decimal digits of v, no terminator. */
void sc_buf_append_u64(struct sc_buf *buf, uint64_t v);

static inline bool sc_buf_ok(const struct sc_buf *buf)
{
    return !buf->failed;
}

static inline void sc_buf_clear(struct sc_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static inline void sc_buf_append_u8(struct sc_buf *buf, uint8_t v)
{
    if (buf->len == buf->cap && sc_buf_reserve(buf, 1) == NULL)
        return;
    buf->data[buf->len++] = v;
}

static inline void sc_buf_append_le16(struct sc_buf *buf, uint16_t v)
{
    sc_buf_append(buf, &v, sizeof(v));
}

static inline void sc_buf_append_le32(struct sc_buf *buf, uint32_t v)
{
    sc_buf_append(buf, &v, sizeof(v));
}

static inline void sc_buf_append_le64(struct sc_buf *buf, uint64_t v)
{
    sc_buf_append(buf, &v, sizeof(v));
}

/*
 * A bounded reader over bytes that are not trusted. Every get checks the length first; the first
 * failure sets `failed`, gives zero, and all later gets fail too, so that a parser checks once at the end.
 */
struct sc_cursor {
    const uint8_t *data;
    size_t len;
    size_t pos;
    bool failed;
};

static inline size_t sc_cursor_left(const struct sc_cursor *c)
{
    return c->len - c->pos;
}

/* `count` bytes in place, or NULL. */
static inline const uint8_t *sc_cursor_take(struct sc_cursor *c, size_t count)
{
    if (c->failed || count > c->len - c->pos) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->data + c->pos;
    c->pos += count;
    return p;
}

static inline uint8_t sc_cursor_u8(struct sc_cursor *c)
{
    const uint8_t *p = sc_cursor_take(c, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t sc_cursor_le16(struct sc_cursor *c)
{
    const uint8_t *p = sc_cursor_take(c, 2);
    return p == NULL ? 0 : sc_load_le16(p);
}

static inline uint32_t sc_cursor_le32(struct sc_cursor *c)
{
    const uint8_t *p = sc_cursor_take(c, 4);
    return p == NULL ? 0 : sc_load_le32(p);
}

static inline uint64_t sc_cursor_le64(struct sc_cursor *c)
{
    const uint8_t *p = sc_cursor_take(c, 8);
    return p == NULL ? 0 : sc_load_le64(p);
}

#endif
