// SPDX-License-Identifier: BSD-3-Clause
/*
 * Streams: the two building blocks of every chunk. An integer stream holds n unsigned 64 bit integers, a byte
 * stream (layout BYTES) n bytes; each begins with a 24-byte head and is self-contained. How many there must
 * be follows from the chunk. A stream of none is there all the same.
 *
 *   offset  size
 *        0     1  layout (enum sc_layout)
 *        1     1  width: bytes of a value (PLAIN, PLANES, DELTA; BYTES: 1) or bits (BITS); CONST: 0
 *        2     1  compression of the whole payload (PLAIN, BYTES, BITS): 0 none, 1 LZ4 block, 2 Zstandard
 *                 frame; CONST, PLANES, DELTA: 0
 *        3     1  0
 *        4     4  count of values
 *        8     4  payload length when decompressed; PLANES, DELTA: count * width
 *       12     4  payload length as stored, directly behind the head; PLANES, DELTA: of all planes with their
 *                 u32s
 *       16     8  base, added to every value modulo 2^64 (DELTA: the value before the first)
 *
 *   CONST   no payload; every value is base.
 *   PLAIN   value - base, little-endian, `width` of 1, 2, 4 or 8 bytes.
 *   BITS    value - base, `width` bits each, 1 to 64, the first value in the lowest bits of the first byte:
 *           ceil(count * width / 8) bytes, and 8 zero bytes at the end, which the payload length counts.
 *   PLANES  `width` byte planes, 1 to 8, of value - base, the lowest first. Each plane is a u32 and its
 *           stored bytes; the u32 has the compression in the top two bits (as above; 3: one repeated byte,
 *           which follows, stored length 1) and the stored length in the lower 30. A plane is `count` bytes
 *           when decompressed, its i-th byte that of the i-th value.
 *   DELTA   planes as in PLANES, but of the zigzag differences of consecutive values (nothing is subtracted
 *           from those): s = value - value before, as a signed 64 bit number; zigzag(s) = 2s when s >= 0,
 *           -2s - 1 when s < 0.
 *   BYTES   the bytes themselves.
 *   BLOCKS, STEPS   format 2 only; width 0, base 0: see blocks.h.
 *
 * A context belongs to one thread.
 */
#ifndef SC_STORE_STREAM_H
#define SC_STORE_STREAM_H

#include "base/buf.h"
#include "base/status.h"
#include "store/blocks.h"

enum sc_layout {
    SC_LAYOUT_CONST = 0,
    SC_LAYOUT_PLAIN = 1,
    SC_LAYOUT_BITS = 2,
    SC_LAYOUT_PLANES = 3,
    SC_LAYOUT_DELTA = 4,
    SC_LAYOUT_BYTES = 5,
    SC_LAYOUT_BLOCKS = 6,
    SC_LAYOUT_STEPS = 7,
};

enum sc_compression {
    SC_COMPRESS_NONE = 0,
    SC_COMPRESS_LZ4 = 1,
    SC_COMPRESS_ZSTD = 2,
    SC_COMPRESS_REPEAT = 3
};

#define SC_STREAM_HEAD 24

/* How hard the encoder tries. LIVE: bit-packing only, for files that live for one window; every format has it. SEALED: blocks, of
 * which queries read what they need; in format 1 the smallest of some layouts. PACKED: that in any format. */
enum sc_effort { SC_EFFORT_LIVE, SC_EFFORT_SEALED, SC_EFFORT_PACKED };

struct sc_stream_encoder {
    enum sc_effort effort;
    uint16_t format;     /* of the segment: 1 knows no blocks */
    void *zstd;          /* ZSTD_CCtx */
    struct sc_buf plane; /* scratch */
    struct sc_buf packed;
    uint64_t *delta; /* scratch of delta_cap values */
    uint32_t delta_cap;
};

/* Of the newest format. */
enum sc_status sc_stream_encoder_init(struct sc_stream_encoder *encoder, enum sc_effort effort);
void sc_stream_encoder_free(struct sc_stream_encoder *encoder);

/* Appends one stream to `out`. @return SC_OK or SC_NOMEM. */
enum sc_status sc_stream_put_integers(struct sc_stream_encoder *encoder, const uint64_t *values,
                                      uint32_t count, struct sc_buf *out);
enum sc_status sc_stream_put_bytes(struct sc_stream_encoder *encoder, const void *bytes, uint32_t count,
                                   struct sc_buf *out);

/* About what the stream will take, by a sample of its blocks; 0 where only doing it would tell. */
size_t sc_stream_estimate(const struct sc_stream_encoder *encoder, const uint64_t *values, uint32_t count);

struct sc_stream_decoder {
    void *zstd; /* ZSTD_DCtx */
    enum sc_vectors vectors;
    struct sc_buf scratch;
};

enum sc_status sc_stream_decoder_init(struct sc_stream_decoder *decoder);
void sc_stream_decoder_free(struct sc_stream_decoder *decoder);

struct sc_stream_head {
    uint8_t layout, width, compression;
    uint32_t count, raw, stored;
    uint64_t base;
};

/*
 * Reads a head and checks that it is possible: known layout, width and compression, at most `max_count`
 * values, payload within the cursor. The cursor moves past the head. @return SC_OK or SC_DAMAGED.
 */
enum sc_status sc_stream_head_read(struct sc_cursor *in, uint32_t max_count, struct sc_stream_head *head);

/* Whether the stream that begins here is in blocks: sc_stream_get_rows sets none but those in which it is asked for a value. */
bool sc_stream_is_in_blocks(const struct sc_cursor *in);
/* sc_blocks_match of an integer stream of exactly `count`; *done stays false where it is not in such blocks. */
enum sc_status sc_stream_match(struct sc_stream_decoder *decoder, struct sc_cursor *in, uint32_t count,
                               uint64_t low, uint64_t high, const uint64_t *wanted, uint64_t *out,
                               bool *done);

/*
 * Decodes the payload behind a head. `width` = 1, 2, 4 or 8: bytes of one value of `out`, which has room for
 * head->count values (and is 8-byte aligned); values are taken modulo 2^(8 * width).
 * @return SC_OK, SC_DAMAGED, SC_NOMEM.
 */
enum sc_status sc_stream_get_integers(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                      const struct sc_stream_head *head, unsigned width, void *out);
/* Likewise, but of layouts in blocks only the values whose bits are set; others are set or left as they are. */
enum sc_status sc_stream_get_rows(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                  const struct sc_stream_head *head, unsigned width, const uint64_t *bits,
                                  void *out);
enum sc_status sc_stream_get_bytes(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                   const struct sc_stream_head *head, uint8_t *out);

#endif
