// SPDX-License-Identifier: BSD-3-Clause
/* Decoding of streams. The bytes are not trusted: every length is checked before it is used. */
#include "store/stream.h"

#include "store/blocks.h"

#include <lz4.h>
#include <zstd.h>

enum sc_status sc_stream_decoder_init(struct sc_stream_decoder *decoder)
{
    *decoder = (struct sc_stream_decoder){.vectors = sc_machine_vectors()};
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
    case SC_LAYOUT_BLOCKS:
    case SC_LAYOUT_STEPS:
        return h->width == 0 && h->compression == SC_COMPRESS_NONE;
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
    default: /* SC_COMPRESS_ZSTD */
        return ZSTD_decompressDCtx(decoder->zstd, out, raw, stored, stored_length) == raw ? SC_OK
                                                                                          : SC_DAMAGED;
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

/* The byte planes of a stream, expanded. What is one byte repeated is in `constant`, and has no plane. */
struct planes {
    const uint8_t *bytes[8];
    uint64_t constant;
};

/* Values that are put together at a time: they stay in the first cache. */
#define TILE 512u

/* Planes k and k + 1 as 16 bit numbers. False when both are constant. */
static bool pair_planes(const struct planes *planes, unsigned k, size_t at, uint32_t n, uint16_t *out)
{
    const uint8_t *low = planes->bytes[k], *high = planes->bytes[k + 1];
    if (low != NULL && high != NULL) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint16_t)(low[at + i] | high[at + i] << 8);
    } else if (low != NULL) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = low[at + i];
    } else if (high != NULL) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint16_t)(high[at + i] << 8);
    }
    return low != NULL || high != NULL;
}

/* Planes k to k + 3 as 32 bit numbers, likewise: bytes, then pairs of them, pair up cheaply. */
static bool join_planes(const struct planes *planes, unsigned k, size_t at, uint32_t n, uint32_t *out)
{
    uint16_t low[TILE], high[TILE];
    bool has_low = pair_planes(planes, k, at, n, low);
    if (!pair_planes(planes, k + 2, at, n, high)) {
        for (uint32_t i = 0; i < n && has_low; i++)
            out[i] = low[i];
        return has_low;
    }
    if (!has_low)
        memset(low, 0, n * sizeof(low[0]));
    for (uint32_t i = 0; i < n; i++)
        out[i] = (uint32_t)low[i] | (uint32_t)high[i] << 16;
    return true;
}

/* `n` values from `at` on. A plane beyond the width of the values does not count. */
static void tile_u8(uint8_t *out, const struct planes *planes, size_t at, uint32_t n, uint64_t base)
{
    const uint8_t *plane = planes->bytes[0];
    if (plane == NULL)
        memset(out, (int)(uint8_t)base, n);
    for (uint32_t i = 0; i < n && plane != NULL; i++)
        out[i] = (uint8_t)(base + plane[at + i]);
}

static void tile_u16(uint16_t *out, const struct planes *planes, size_t at, uint32_t n, uint64_t base)
{
    if (!pair_planes(planes, 0, at, n, out))
        memset(out, 0, n * sizeof(*out));
    for (uint32_t i = 0; i < n && (uint16_t)base != 0; i++)
        out[i] = (uint16_t)(out[i] + base);
}

static void tile_u32(uint32_t *out, const struct planes *planes, size_t at, uint32_t n, uint64_t base)
{
    if (!join_planes(planes, 0, at, n, out))
        memset(out, 0, n * sizeof(*out));
    for (uint32_t i = 0; i < n && (uint32_t)base != 0; i++)
        out[i] += (uint32_t)base;
}

static void tile_u64(uint64_t *out, const struct planes *planes, size_t at, uint32_t n, uint64_t base)
{
    uint32_t half[TILE];
    if (!join_planes(planes, 0, at, n, half))
        memset(half, 0, sizeof(half));
    for (uint32_t i = 0; i < n; i++)
        out[i] = base + half[i];
    if (join_planes(planes, 4, at, n, half)) {
        for (uint32_t i = 0; i < n; i++)
            out[i] += (uint64_t)half[i] << 32;
    }
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
        uint32_t i = 0;                                                                                      \
        /* Up to 15 bits four values, too; eight of them end with a byte. */                                 \
        for (; bits <= 15 && count - i >= 8; i += 8, p += bits) {                                            \
            uint64_t first = sc_load_le64(p), second = sc_load_le64(p + bits / 2) >> (bits % 2 * 4);         \
            for (unsigned k = 0; k < 4; k++, first >>= bits, second >>= bits) {                              \
                out[i + k] = (type)(base + (first & mask));                                                  \
                out[i + k + 4] = (type)(base + (second & mask));                                             \
            }                                                                                                \
        }                                                                                                    \
        for (size_t at = 0; i < count; i++, at += bits) {                                                    \
            uint64_t v = sc_load_le64(p + at / 8) >> (at % 8);                                               \
            if (bits > 57 && at % 8 + bits > 64)                                                             \
                v |= (uint64_t)p[at / 8 + 8] << (64 - at % 8);                                               \
            out[i] = (type)(base + (v & mask));                                                              \
        }                                                                                                    \
    }                                                                                                        \
    static void tiles_##suffix(type *out, const struct planes *planes, uint32_t count, uint64_t base)        \
    {                                                                                                        \
        for (uint32_t at = 0; at < count; at += TILE)                                                        \
            tile_##suffix(out + at, planes, at, count - at < TILE ? count - at : TILE, base);                \
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

/* One plane: in place where it is stored as it is, else to `place`. */
static enum sc_status get_plane(struct sc_stream_decoder *decoder, struct sc_cursor *in, uint32_t count,
                                unsigned number, uint8_t *place, struct planes *planes)
{
    uint32_t word = sc_cursor_le32(in);
    size_t stored_length = word & 0x3fffffffu;
    unsigned compression = word >> 30;
    const uint8_t *stored = sc_cursor_take(in, stored_length);
    if (stored == NULL)
        return SC_DAMAGED;
    if (compression == SC_COMPRESS_REPEAT) {
        if (stored_length != 1)
            return SC_DAMAGED;
        planes->constant += (uint64_t)stored[0] << (8 * number);
        return SC_OK;
    }
    if (compression == SC_COMPRESS_NONE) {
        planes->bytes[number] = stored;
        return stored_length == count ? SC_OK : SC_DAMAGED;
    }
    planes->bytes[number] = place;
    return expand(decoder, compression, stored, stored_length, place, count);
}

/* All planes of a stream; they live in its bytes and in the scratch buffer. */
static enum sc_status get_planes(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                 const struct sc_stream_head *head, struct planes *planes)
{
    const uint8_t *start = sc_cursor_take(in, head->stored);
    if (start == NULL)
        return SC_DAMAGED;
    struct sc_cursor stored = {.data = start, .len = head->stored};
    sc_buf_clear(&decoder->scratch);
    uint8_t *place = sc_buf_reserve(&decoder->scratch, (size_t)head->count * head->width + 1);
    if (place == NULL)
        return SC_NOMEM;
    *planes = (struct planes){0};
    for (unsigned p = 0; p < head->width; p++)
        SC_TRY(get_plane(decoder, &stored, head->count, p, place + (size_t)p * head->count, planes));
    return SC_OK;
}

static uint64_t undelta(uint64_t *values, uint32_t count, uint64_t previous)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t z = values[i];
        previous += (z >> 1) ^ (0 - (z & 1));
        values[i] = previous;
    }
    return previous;
}

static void sum_deltas(const struct planes *planes, uint32_t count, uint64_t previous, unsigned width,
                       uint8_t *out)
{
    uint64_t tile[TILE];
    for (uint32_t at = 0; at < count; at += TILE) {
        uint32_t n = count - at < TILE ? count - at : TILE;
        uint64_t *values = width == 8 ? (uint64_t *)(void *)out + at : tile;
        tile_u64(values, planes, at, n, planes->constant);
        previous = undelta(values, n, previous);
        if (width != 8)
            BY_WIDTH(width, plain, out + (size_t)at * width, (const uint8_t *)tile, n, 8, 0);
    }
}

enum sc_status sc_stream_get_integers(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                      const struct sc_stream_head *head, unsigned width, void *out)
{
    const uint8_t *p;
    struct planes planes;
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
    case SC_LAYOUT_DELTA:
        SC_TRY(get_planes(decoder, in, head, &planes));
        if (head->layout == SC_LAYOUT_DELTA)
            sum_deltas(&planes, head->count, head->base, width, out);
        else
            BY_WIDTH(width, tiles, out, &planes, head->count, head->base + planes.constant);
        return SC_OK;
    case SC_LAYOUT_BLOCKS:
    case SC_LAYOUT_STEPS:
        SC_TRY(payload(decoder, in, head, &p));
        return sc_blocks_get(decoder->vectors, p, head->stored, head->count, head->layout == SC_LAYOUT_STEPS,
                             width, out);
    default:
        return SC_DAMAGED;
    }
}

static bool is_blocks(uint8_t layout)
{
    return layout == SC_LAYOUT_BLOCKS || layout == SC_LAYOUT_STEPS;
}

bool sc_stream_is_in_blocks(const struct sc_cursor *in)
{
    struct sc_cursor peek = *in;
    return is_blocks(sc_cursor_u8(&peek)) && !peek.failed;
}

enum sc_status sc_stream_get_rows(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                  const struct sc_stream_head *head, unsigned width, const uint64_t *bits,
                                  void *out)
{
    if (!is_blocks(head->layout))
        return sc_stream_get_integers(decoder, in, head, width, out);
    const uint8_t *p = sc_cursor_take(in, head->stored);
    return p == NULL ? SC_DAMAGED
                     : sc_blocks_get_rows(decoder->vectors, p, head->stored, head->count,
                                          head->layout == SC_LAYOUT_STEPS, width, bits, out);
}

enum sc_status sc_stream_match(struct sc_stream_decoder *decoder, struct sc_cursor *in, uint32_t count,
                               uint64_t low, uint64_t high, const uint64_t *wanted, uint64_t *out, bool *done)
{
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(in, count, &head));
    if (head.count != count)
        return SC_DAMAGED;
    if (head.layout != SC_LAYOUT_BLOCKS)
        return SC_OK;
    *done = true;
    const uint8_t *p = sc_cursor_take(in, head.stored);
    return p == NULL ? SC_DAMAGED
                     : sc_blocks_match(decoder->vectors, p, head.stored, count, low, high, wanted, out);
}

enum sc_status sc_stream_get_bytes(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                   const struct sc_stream_head *head, uint8_t *out)
{
    const uint8_t *stored = sc_cursor_take(in, head->stored);
    if (stored == NULL || head->layout != SC_LAYOUT_BYTES)
        return SC_DAMAGED;
    return expand(decoder, head->compression, stored, head->stored, out, head->raw);
}
