// SPDX-License-Identifier: BSD-3-Clause
/* Encoding of streams: the smallest of a few layouts, found on a sample. The format is in stream.h. */
#include "store/stream.h"

#include "base/array.h"
#include "store/blocks.h"
#include "store/format.h"

#include <lz4.h>
#include <stdlib.h>
#include <zstd.h>

#define SAMPLE       4096u
#define SAMPLE_CHUNK 1024u
#define ZSTD_LEVEL   3
#define FEW          256u /* so many values are soon decoded, and take less room without a block's head */

/* Bit-packing is read so much faster than compressed planes that it may cost a third more. */
static bool bits_win(size_t bits_size, size_t packed_size)
{
    return bits_size <= packed_size + packed_size / 3;
}

/* A plane as it is costs nothing to read: entropy coding, which is all that can be done to most low bytes, must save a third. */
static bool plane_wins(size_t packed_size, size_t size)
{
    return packed_size != 0 && packed_size + packed_size / 2 <= size;
}

enum sc_status sc_stream_encoder_init(struct sc_stream_encoder *encoder, enum sc_effort effort)
{
    *encoder = (struct sc_stream_encoder){.effort = effort, .format = SC_SEGMENT_VERSION};
    encoder->zstd = ZSTD_createCCtx();
    return encoder->zstd == NULL ? SC_NOMEM : SC_OK;
}

void sc_stream_encoder_free(struct sc_stream_encoder *encoder)
{
    ZSTD_freeCCtx(encoder->zstd);
    sc_buf_free(&encoder->plane);
    sc_buf_free(&encoder->packed);
    free(encoder->delta);
    *encoder = (struct sc_stream_encoder){0};
}

static void put_head(struct sc_buf *out, enum sc_layout layout, unsigned width,
                     enum sc_compression compression, uint32_t count, size_t raw, size_t stored,
                     uint64_t base)
{
    sc_buf_append_u8(out, (uint8_t)layout);
    sc_buf_append_u8(out, (uint8_t)width);
    sc_buf_append_u8(out, (uint8_t)compression);
    sc_buf_append_u8(out, 0);
    sc_buf_append_le32(out, count);
    sc_buf_append_le32(out, (uint32_t)raw);
    sc_buf_append_le32(out, (uint32_t)stored);
    sc_buf_append_le64(out, base);
}

static unsigned bit_length(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/* Compresses into encoder->packed, by LZ4 or Zstandard. Returns its size, 0 when it does not pay (less than 1/16 won) or no
 * memory. */
static size_t compress(struct sc_stream_encoder *encoder, enum sc_compression how, const void *bytes,
                       size_t count)
{
    bool zstd = how == SC_COMPRESS_ZSTD;
    size_t bound = zstd ? ZSTD_compressBound(count) : (size_t)LZ4_compressBound((int)count);
    sc_buf_clear(&encoder->packed);
    uint8_t *place = bound == 0 ? NULL : sc_buf_reserve(&encoder->packed, bound);
    if (place == NULL)
        return 0;
    size_t n = zstd ? ZSTD_compressCCtx(encoder->zstd, place, bound, bytes, count, ZSTD_LEVEL)
                    : (size_t)LZ4_compress_default(bytes, (char *)place, (int)count, (int)bound);
    return n == 0 || ZSTD_isError(n) || n + n / 16 >= count ? 0 : n;
}

static bool all_same(const uint8_t *bytes, size_t count)
{
    return count > 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static void put_plane(struct sc_stream_encoder *encoder, const uint8_t *plane, uint32_t count,
                      struct sc_buf *out)
{
    if (all_same(plane, count)) {
        sc_buf_append_le32(out, (uint32_t)SC_COMPRESS_REPEAT << 30 | 1);
        sc_buf_append_u8(out, plane[0]);
        return;
    }
    size_t n = compress(encoder, SC_COMPRESS_ZSTD, plane, count);
    if (!plane_wins(n, count)) {
        sc_buf_append_le32(out, count);
        sc_buf_append(out, plane, count);
    } else {
        sc_buf_append_le32(out, (uint32_t)SC_COMPRESS_ZSTD << 30 | (uint32_t)n);
        sc_buf_append(out, encoder->packed.data, n);
    }
}

/* Planes of (value - base); `raw` in the head is count * width. */
static enum sc_status put_planes(struct sc_stream_encoder *encoder, enum sc_layout layout,
                                 const uint64_t *values, uint32_t count, uint64_t base, unsigned width,
                                 struct sc_buf *out)
{
    sc_buf_clear(&encoder->plane);
    uint8_t *plane = sc_buf_reserve(&encoder->plane, count);
    if (plane == NULL)
        return SC_NOMEM;
    uint64_t subtract = layout == SC_LAYOUT_DELTA ? 0 : base;
    size_t head_at = out->len;
    put_head(out, layout, width, SC_COMPRESS_NONE, count, (size_t)count * width, 0, base);
    size_t start = out->len;
    for (unsigned p = 0; p < width; p++) {
        for (uint32_t i = 0; i < count; i++)
            plane[i] = (uint8_t)((values[i] - subtract) >> (8 * p));
        put_plane(encoder, plane, count, out);
    }
    if (!sc_buf_ok(out))
        return SC_NOMEM;
    sc_store_le32(out->data + head_at + 12, (uint32_t)(out->len - start));
    return SC_OK;
}

static enum sc_status put_bits(const uint64_t *values, uint32_t count, uint64_t base, unsigned bits,
                               struct sc_buf *out)
{
    size_t size = ((size_t)count * bits + 7) / 8 + 8;
    put_head(out, SC_LAYOUT_BITS, bits, SC_COMPRESS_NONE, count, size, size, base);
    uint8_t *place = sc_buf_reserve(out, size);
    if (place == NULL)
        return SC_NOMEM;
    uint64_t word = 0;
    unsigned filled = 0;
    uint8_t *p = place;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v = values[i] - base;
        word |= v << filled;
        filled += bits;
        if (filled >= 64) {
            sc_store_le64(p, word);
            p += 8;
            filled -= 64;
            word = filled == 0 ? 0 : v >> (bits - filled);
        }
    }
    size_t tail = size - (size_t)(p - place);
    memset(p, 0, tail);
    memcpy(p, &word, tail < 8 ? tail : 8);
    out->len += size;
    return SC_OK;
}

static enum sc_status put_plain(const uint64_t *values, uint32_t count, uint64_t base, unsigned width,
                                struct sc_buf *out)
{
    size_t size = (size_t)count * width;
    put_head(out, SC_LAYOUT_PLAIN, width, SC_COMPRESS_NONE, count, size, size, base);
    uint8_t *p = sc_buf_reserve(out, size);
    if (p == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < count; i++, p += width) {
        uint64_t v = values[i] - base;
        memcpy(p, &v, width);
    }
    out->len += size;
    return SC_OK;
}

static enum sc_status put_bits_of(const uint64_t *values, uint32_t count, uint64_t base, unsigned bits,
                                  struct sc_buf *out)
{
    bool whole = bits == 8 || bits == 16 || bits == 32 || bits == 64;
    return whole ? put_plain(values, count, base, bits / 8, out) : put_bits(values, count, base, bits, out);
}

/* Zigzag differences to encoder->delta; returns the largest. The value before the first is values[0]. */
static uint64_t make_delta(struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count)
{
    uint64_t previous = values[0], seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t d = (int64_t)(values[i] - previous);
        encoder->delta[i] = (uint64_t)d << 1 ^ (uint64_t)(d >> 63);
        seen |= encoder->delta[i];
        previous = values[i];
    }
    return seen;
}

/* Bytes that the layout needs for the values, by doing it. */
static size_t planes_size(struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count,
                          uint64_t base, unsigned width, enum sc_layout layout, struct sc_buf *scratch)
{
    sc_buf_clear(scratch);
    if (put_planes(encoder, layout, values, count, base, width, scratch) != SC_OK)
        return SIZE_MAX;
    return scratch->len;
}

static unsigned bytes_of(unsigned bits)
{
    return (bits + 7) / 8;
}

/* Four runs of the values stand for all: consecutive, since differences need neighbours. */
static enum sc_layout choose(struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count,
                             uint64_t base, unsigned bits)
{
    uint64_t sample[SAMPLE];
    const uint64_t *from = values;
    uint32_t n = count;
    if (count > SAMPLE) {
        for (uint32_t k = 0; k < SAMPLE / SAMPLE_CHUNK; k++)
            memcpy(sample + (size_t)k * SAMPLE_CHUNK,
                   values + (size_t)(count - SAMPLE_CHUNK) * k / (SAMPLE / SAMPLE_CHUNK - 1),
                   SAMPLE_CHUNK * sizeof(*sample));
        from = sample;
        n = SAMPLE;
    }
    struct sc_buf scratch = {0};
    size_t best = planes_size(encoder, from, n, base, bytes_of(bits), SC_LAYOUT_PLANES, &scratch);
    enum sc_layout pick = SC_LAYOUT_PLANES;
    if (sc_array_reserve(encoder->delta, encoder->delta_cap, n)) {
        uint64_t most = make_delta(encoder, from, n);
        size_t size = planes_size(encoder, encoder->delta, n, from[0], bytes_of(bit_length(most)),
                                  SC_LAYOUT_DELTA, &scratch);
        if (size + size / 16 < best) {
            best = size;
            pick = SC_LAYOUT_DELTA;
        }
    }
    if (bits_win(((size_t)n * bits + 7) / 8 + 8, best))
        pick = SC_LAYOUT_BITS;
    sc_buf_free(&scratch);
    return pick;
}

static enum sc_status put_delta(struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count,
                                struct sc_buf *out)
{
    if (!sc_array_reserve(encoder->delta, encoder->delta_cap, count))
        return SC_NOMEM;
    uint64_t most = make_delta(encoder, values, count);
    return put_planes(encoder, SC_LAYOUT_DELTA, encoder->delta, count, values[0], bytes_of(bit_length(most)),
                      out);
}

static enum sc_status put_blocks(const uint64_t *values, uint32_t count, struct sc_buf *out)
{
    bool steps = sc_blocks_ascend(values, count) &&
                 sc_blocks_size(values, count, true) < sc_blocks_size(values, count, false);
    size_t head_at = out->len;
    put_head(out, steps ? SC_LAYOUT_STEPS : SC_LAYOUT_BLOCKS, 0, SC_COMPRESS_NONE, count, 0, 0, 0);
    size_t start = out->len;
    if (!sc_buf_ok(out) || sc_blocks_put(values, count, steps, out) != SC_OK)
        return SC_NOMEM;
    sc_store_le32(out->data + head_at + 8, (uint32_t)(out->len - start));
    sc_store_le32(out->data + head_at + 12, (uint32_t)(out->len - start));
    return SC_OK;
}

static bool has_blocks(const struct sc_stream_encoder *encoder, uint32_t count)
{
    return encoder->effort == SC_EFFORT_SEALED && encoder->format > 1 && count >= FEW;
}

size_t sc_stream_estimate(const struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count)
{
    return has_blocks(encoder, count) ? SC_STREAM_HEAD + sc_blocks_estimate(values, count) : 0;
}

static bool is_const(const uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (values[i] != values[0])
            return false;
    }
    return true;
}

/* By the range of all values. */
static enum sc_status put_in_range(struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count,
                                   struct sc_buf *out)
{
    uint64_t min = values[0], max = min;
    for (uint32_t i = 1; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    unsigned bits = bit_length(max - min);
    if (encoder->effort == SC_EFFORT_LIVE || (encoder->effort == SC_EFFORT_SEALED && encoder->format > 1) ||
        count < 64)
        return put_bits_of(values, count, min, bits, out);
    switch (choose(encoder, values, count, min, bits)) {
    case SC_LAYOUT_PLANES:
        return put_planes(encoder, SC_LAYOUT_PLANES, values, count, min, bytes_of(bits), out);
    case SC_LAYOUT_DELTA:
        return put_delta(encoder, values, count, out);
    default:
        return put_bits_of(values, count, min, bits, out);
    }
}

enum sc_status sc_stream_put_integers(struct sc_stream_encoder *encoder, const uint64_t *values,
                                      uint32_t count, struct sc_buf *out)
{
    if (is_const(values, count)) {
        put_head(out, SC_LAYOUT_CONST, 0, SC_COMPRESS_NONE, count, 0, 0, count == 0 ? 0 : values[0]);
        return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
    }
    SC_TRY(has_blocks(encoder, count) ? put_blocks(values, count, out)
                                      : put_in_range(encoder, values, count, out));
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

enum sc_status sc_stream_put_bytes(struct sc_stream_encoder *encoder, const void *bytes, uint32_t count,
                                   struct sc_buf *out)
{
    enum sc_compression compression = encoder->effort == SC_EFFORT_LIVE ? SC_COMPRESS_LZ4 : SC_COMPRESS_ZSTD;
    size_t n = count < 64 ? 0 : compress(encoder, compression, bytes, count);
    if (n == 0)
        compression = SC_COMPRESS_NONE;
    put_head(out, SC_LAYOUT_BYTES, 1, compression, count, count, n == 0 ? count : n, 0);
    if (n == 0)
        sc_buf_append(out, bytes, count);
    else
        sc_buf_append(out, encoder->packed.data, n);
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}
