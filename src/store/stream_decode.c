// SPDX-License-Identifier: BSD-3-Clause
/* Decoding of streams. The bytes are not trusted: every length is checked before it is used. */
#include "store/stream.h"

#include <lz4.h>
#include <zstd.h>

enum sc_status sc_stream_decoder_init(struct sc_stream_decoder *decoder)
{
    *decoder = (struct sc_stream_decoder){0};
    decoder->zstd = ZSTD_createDCtx();
    return decoder->zstd == NULL ? SC_NOMEM : SC_OK;
}

void sc_stream_decoder_free(struct sc_stream_decoder *decoder)
{
    ZSTD_freeDCtx(decoder->zstd);
    sc_buf_free(&decoder->scratch);
    *decoder = (struct sc_stream_decoder){0};
}

static bool head_possible(const struct sc_stream_head *h)
{
    uint64_t count = h->count;
    switch (h->layout) {
    case SC_LAYOUT_CONST:
        return h->raw == 0 && h->stored == 0;
    case SC_LAYOUT_PLAIN:
        return (h->width == 1 || h->width == 2 || h->width == 4 || h->width == 8) &&
               h->raw == count * h->width;
    case SC_LAYOUT_BITS:
        return h->width >= 1 && h->width <= 64 && h->raw == (count * h->width + 7) / 8 + 8;
    case SC_LAYOUT_PLANES:
    case SC_LAYOUT_DELTA:
        return h->width <= 8 && h->raw == count * h->width && h->compression == SC_COMPRESS_NONE;
    case SC_LAYOUT_BYTES:
        return h->width == 1 && h->raw == count;
    default:
        return false;
    }
}

enum sc_status sc_stream_head_read(struct sc_cursor *in, uint32_t max_count, struct sc_stream_head *head)
{
    head->layout = sc_cursor_u8(in);
    head->width = sc_cursor_u8(in);
    head->compression = sc_cursor_u8(in);
    sc_cursor_u8(in);
    head->count = sc_cursor_le32(in);
    head->raw = sc_cursor_le32(in);
    head->stored = sc_cursor_le32(in);
    head->base = sc_cursor_le64(in);
    if (in->failed || head->count > max_count || head->compression > SC_COMPRESS_ZSTD ||
        head->stored > sc_cursor_left(in) || head->raw > INT32_MAX || !head_possible(head))
        return SC_DAMAGED;
    if (head->layout != SC_LAYOUT_PLANES && head->layout != SC_LAYOUT_DELTA &&
        head->compression == SC_COMPRESS_NONE && head->raw != head->stored)
        return SC_DAMAGED;
    return SC_OK;
}

/* Exactly `raw` bytes to `out`. */
static enum sc_status expand(struct sc_stream_decoder *decoder, unsigned compression, const uint8_t *stored,
                             size_t stored_length, uint8_t *out, size_t raw)
{
    switch (compression) {
    case SC_COMPRESS_NONE:
        if (stored_length != raw)
            return SC_DAMAGED;
        memcpy(out, stored, raw);
        return SC_OK;
    case SC_COMPRESS_LZ4:
        return LZ4_decompress_safe((const char *)stored, (char *)out, (int)stored_length, (int)raw) ==
                       (int)raw
                   ? SC_OK
                   : SC_DAMAGED;
    case SC_COMPRESS_ZSTD:
        return ZSTD_decompressDCtx(decoder->zstd, out, raw, stored, stored_length) == raw ? SC_OK
                                                                                          : SC_DAMAGED;
    default: /* SC_COMPRESS_REPEAT */
        if (stored_length != 1)
            return SC_DAMAGED;
        memset(out, stored[0], raw);
        return SC_OK;
    }
}

/* The payload in place when stored plain, else decompressed into the scratch buffer. */
static enum sc_status payload(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                              const struct sc_stream_head *head, const uint8_t **out)
{
    const uint8_t *stored = sc_cursor_take(in, head->stored);
    if (stored == NULL)
        return SC_DAMAGED;
    *out = stored;
    if (head->compression == SC_COMPRESS_NONE)
        return SC_OK;
    sc_buf_clear(&decoder->scratch);
    uint8_t *place = sc_buf_reserve(&decoder->scratch, head->raw);
    if (place == NULL)
        return SC_NOMEM;
    *out = place;
    return expand(decoder, head->compression, stored, head->stored, place, head->raw);
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses
#define DEFINE_UNPACK(type, suffix)                                                                          \
    static void fill_##suffix(type *out, uint32_t count, uint64_t base)                                      \
    {                                                                                                        \
        for (uint32_t i = 0; i < count; i++)                                                                 \
            out[i] = (type)base;                                                                             \
    }                                                                                                        \
    static void plain_##suffix(type *out, const uint8_t *p, uint32_t count, unsigned width, uint64_t base)   \
    {                                                                                                        \
        switch (width) {                                                                                     \
        case 1:                                                                                              \
            for (uint32_t i = 0; i < count; i++)                                                             \
                out[i] = (type)(base + p[i]);                                                                \
            break;                                                                                           \
        case 2:                                                                                              \
            for (uint32_t i = 0; i < count; i++)                                                             \
                out[i] = (type)(base + sc_load_le16(p + 2 * (size_t)i));                                     \
            break;                                                                                           \
        case 4:                                                                                              \
            for (uint32_t i = 0; i < count; i++)                                                             \
                out[i] = (type)(base + sc_load_le32(p + 4 * (size_t)i));                                     \
            break;                                                                                           \
        default:                                                                                             \
            for (uint32_t i = 0; i < count; i++)                                                             \
                out[i] = (type)(base + sc_load_le64(p + 8 * (size_t)i));                                     \
            break;                                                                                           \
        }                                                                                                    \
    }                                                                                                        \
    /* Up to 57 bits a value lies within one 8-byte load. */                                                 \
    static void bits_##suffix(type *out, const uint8_t *p, uint32_t count, unsigned bits, uint64_t base)     \
    {                                                                                                        \
        uint64_t mask = bits == 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;                               \
        size_t at = 0;                                                                                       \
        for (uint32_t i = 0; i < count; i++, at += bits) {                                                   \
            uint64_t v = sc_load_le64(p + at / 8) >> (at % 8);                                               \
            if (bits > 57 && at % 8 + bits > 64)                                                             \
                v |= (uint64_t)p[at / 8 + 8] << (64 - at % 8);                                               \
            out[i] = (type)(base + (v & mask));                                                              \
        }                                                                                                    \
    }                                                                                                        \
    static void plane_##suffix(type *out, const uint8_t *plane, uint32_t count, unsigned shift)              \
    {                                                                                                        \
        if (shift >= 8 * sizeof(type))                                                                       \
            return;                                                                                          \
        for (uint32_t i = 0; i < count; i++)                                                                 \
            out[i] = (type)(out[i] + ((type)plane[i] << shift));                                             \
    }

// NOLINTEND(bugprone-macro-parentheses)
DEFINE_UNPACK(uint8_t, u8)
DEFINE_UNPACK(uint16_t, u16)
DEFINE_UNPACK(uint32_t, u32)
DEFINE_UNPACK(uint64_t, u64)

#define BY_WIDTH(width, function, out, ...)                                                                  \
    do {                                                                                                     \
        if ((width) == 1)                                                                                    \
            function##_u8((uint8_t *)(out), __VA_ARGS__);                                                    \
        else if ((width) == 2)                                                                               \
            function##_u16((uint16_t *)(out), __VA_ARGS__);                                                  \
        else if ((width) == 4)                                                                               \
            function##_u32((uint32_t *)(out), __VA_ARGS__);                                                  \
        else                                                                                                 \
            function##_u64((uint64_t *)(out), __VA_ARGS__);                                                  \
    } while (0)

static enum sc_status add_planes(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                 const struct sc_stream_head *head, unsigned width, void *out)
{
    sc_buf_clear(&decoder->scratch);
    uint8_t *plane = sc_buf_reserve(&decoder->scratch, (size_t)head->count + 1);
    if (plane == NULL)
        return SC_NOMEM;
    for (unsigned p = 0; p < head->width; p++) {
        uint32_t word = sc_cursor_le32(in);
        size_t stored_length = word & 0x3fffffffu;
        const uint8_t *stored = sc_cursor_take(in, stored_length);
        if (stored == NULL)
            return SC_DAMAGED;
        unsigned compression = word >> 30;
        if (compression == SC_COMPRESS_REPEAT && stored_length == 1 && stored[0] == 0)
            continue;
        SC_TRY(expand(decoder, compression, stored, stored_length, plane, head->count));
        BY_WIDTH(width, plane, out, plane, head->count, 8 * p);
    }
    return SC_OK;
}

static void undelta(uint64_t *values, uint32_t count, uint64_t previous)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t z = values[i];
        previous += (z >> 1) ^ (0 - (z & 1));
        values[i] = previous;
    }
}

static enum sc_status get_delta(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                const struct sc_stream_head *head, unsigned width, void *out)
{
    if (width == 8) {
        memset(out, 0, (size_t)head->count * 8);
        SC_TRY(add_planes(decoder, in, head, 8, out));
        undelta(out, head->count, head->base);
        return SC_OK;
    }
    struct sc_buf wide = {0};
    uint8_t *place = sc_buf_reserve(&wide, (size_t)head->count * 8 + 8);
    if (place == NULL)
        return SC_NOMEM;
    enum sc_status status = get_delta(decoder, in, head, 8, place);
    if (status == SC_OK)
        BY_WIDTH(width, plain, out, place, head->count, 8, 0);
    sc_buf_free(&wide);
    return status;
}

enum sc_status sc_stream_get_integers(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                      const struct sc_stream_head *head, unsigned width, void *out)
{
    const uint8_t *p;
    switch (head->layout) {
    case SC_LAYOUT_CONST:
        BY_WIDTH(width, fill, out, head->count, head->base);
        return SC_OK;
    case SC_LAYOUT_PLAIN:
        SC_TRY(payload(decoder, in, head, &p));
        BY_WIDTH(width, plain, out, p, head->count, head->width, head->base);
        return SC_OK;
    case SC_LAYOUT_BITS:
        SC_TRY(payload(decoder, in, head, &p));
        BY_WIDTH(width, bits, out, p, head->count, head->width, head->base);
        return SC_OK;
    case SC_LAYOUT_PLANES:
    case SC_LAYOUT_DELTA: {
        const uint8_t *start = sc_cursor_take(in, head->stored);
        if (start == NULL)
            return SC_DAMAGED;
        struct sc_cursor planes = {.data = start, .len = head->stored};
        if (head->layout == SC_LAYOUT_DELTA)
            return get_delta(decoder, &planes, head, width, out);
        BY_WIDTH(width, fill, out, head->count, head->base);
        return add_planes(decoder, &planes, head, width, out);
    }
    default:
        return SC_DAMAGED;
    }
}

enum sc_status sc_stream_get_bytes(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                   const struct sc_stream_head *head, uint8_t *out)
{
    const uint8_t *stored = sc_cursor_take(in, head->stored);
    if (stored == NULL || head->layout != SC_LAYOUT_BYTES)
        return SC_DAMAGED;
    return expand(decoder, head->compression, stored, head->stored, out, head->raw);
}
