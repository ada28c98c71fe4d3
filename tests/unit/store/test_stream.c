// SPDX-License-Identifier: BSD-3-Clause
/* Streams: every layout and width round trips at both efforts; damaged heads and payloads are refused, never
 * trusted. */
#include "store/stream.h"

#include "store_kit.h"

#include <lz4.h>
#include <zstd.h>

static struct sc_stream_decoder decoder;

static int set_up(void **state)
{
    (void)state;
    return sc_stream_decoder_init(&decoder) == SC_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sc_stream_decoder_free(&decoder);
    return 0;
}

/* ---- decoding ---- */

/* Decodes bytes that lie at the very end of an allocation, so that the sanitizer sees a read past them. */
static enum sc_status decode(const uint8_t *bytes, size_t length, uint32_t max, unsigned width, uint64_t *out,
                             struct sc_stream_head *head)
{
    uint8_t *exact = malloc(length == 0 ? 1 : length);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    struct sc_cursor in = {.data = exact, .len = length};
    enum sc_status status = sc_stream_head_read(&in, max, head);
    if (status == SC_OK && head->layout == SC_LAYOUT_BYTES)
        status = sc_stream_get_bytes(&decoder, &in, head, (uint8_t *)out);
    else if (status == SC_OK)
        status = sc_stream_get_integers(&decoder, &in, head, width, out);
    if (status == SC_OK)
        assert_true(in.pos <= length);
    free(exact);
    return status;
}

static uint64_t value_at(const void *out, unsigned width, uint32_t i)
{
    uint64_t v = 0;
    memcpy(&v, (const uint8_t *)out + (size_t)i * width, width);
    return v;
}

static void check_widths(const uint8_t *bytes, size_t length, const uint64_t *values, uint32_t count)
{
    struct sc_stream_head head;
    uint64_t *out = calloc((size_t)count + 1, sizeof(*out));
    assert_non_null(out);
    for (unsigned width = 1; width <= 8; width *= 2) {
        assert_int_equal(decode(bytes, length, count, width, out, &head), SC_OK);
        assert_int_equal(head.count, count);
        for (uint32_t i = 0; i < count; i++) {
            if (value_at(out, width, i) != (values[i] & kit_mask(8 * width)))
                fail_msg("layout %u width %u: value %u of %u differs", head.layout, width, i, count);
        }
    }
    if (count > 0)
        assert_int_equal(decode(bytes, length, count - 1, 8, out, &head), SC_DAMAGED);
    free(out);
}

/* All tests run with each. */
static uint16_t format;

static unsigned round_trip(enum sc_effort effort, const uint64_t *values, uint32_t count)
{
    struct sc_stream_encoder encoder;
    struct sc_buf out = {0};
    assert_int_equal(sc_stream_encoder_init(&encoder, effort), SC_OK);
    encoder.format = format;
    sc_buf_append_str(&out, "in front");
    assert_int_equal(sc_stream_put_integers(&encoder, values, count, &out), SC_OK);
    check_widths(out.data + 8, out.len - 8, values, count);
    unsigned layout = out.data[8];
    sc_buf_free(&out);
    sc_stream_encoder_free(&encoder);
    return layout;
}

/* ---- round trips ---- */

static const uint32_t counts[] = {0, 1, 2, 7, 8, 9, 63, 64, 65, 255, 1000, 4095, 4096, 4097, 9001};

static void every_bit_width(void **state)
{
    (void)state;
    uint64_t seed = 1, values[1100];
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (unsigned c = 0; c < 11; c++) {
            uint64_t base = bits == 64 ? 0 : kit_random(&seed) & ~kit_mask(bits);
            for (uint32_t i = 0; i < counts[c]; i++)
                values[i] = base + (kit_random(&seed) & kit_mask(bits));
            if (counts[c] > 1) { /* both ends of the range occur */
                values[0] = base;
                values[counts[c] - 1] = base + kit_mask(bits);
            }
            unsigned layout = round_trip(SC_EFFORT_LIVE, values, counts[c]);
            if (counts[c] > 1 && bits != 0)
                assert_int_equal(layout, bits == 8 || bits == 16 || bits == 32 || bits == 64
                                             ? SC_LAYOUT_PLAIN
                                             : SC_LAYOUT_BITS);
            else
                assert_int_equal(layout, SC_LAYOUT_CONST);
            round_trip(SC_EFFORT_SEALED, values, counts[c]);
        }
    }
}

static void every_shape(void **state)
{
    (void)state;
    uint64_t seed = 2;
    uint64_t *values = calloc(9001, sizeof(*values));
    assert_non_null(values);
    static const enum sc_layout layouts[][5] = {
        {SC_LAYOUT_CONST, SC_LAYOUT_PLAIN, SC_LAYOUT_BITS, SC_LAYOUT_PLANES, SC_LAYOUT_DELTA},
        {SC_LAYOUT_CONST, SC_LAYOUT_PLAIN, SC_LAYOUT_BITS, SC_LAYOUT_BLOCKS, SC_LAYOUT_STEPS},
    };
    bool met[SC_LAYOUT_STEPS + 1] = {false};
    for (unsigned shape = 0; shape < 8; shape++) {
        for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            uint64_t walk = UINT64_C(1) << 41;
            for (uint32_t i = 0; i < counts[c]; i++) {
                uint64_t r = kit_random(&seed);
                walk += shape == 1 ? 1 : r % 4;
                uint64_t by_shape[] = {42,          walk,        walk, r % 3 == 0 ? r : 5,
                                       r % 7 << 40, 0 - (r % 3), i,    i % 2 == 0 ? 0 : UINT64_MAX};
                values[i] = by_shape[shape];
            }
            met[round_trip(SC_EFFORT_LIVE, values, counts[c])] = true;
            met[round_trip(SC_EFFORT_SEALED, values, counts[c])] = true;
        }
    }
    for (unsigned i = 0; i < 5; i++)
        assert_true(met[layouts[format - 1][i]]);
    free(values);
}

static void byte_streams(void **state)
{
    (void)state;
    uint64_t seed = 3, out[2048];
    uint8_t bytes[9001];
    struct sc_stream_head head;
    for (int effort = SC_EFFORT_LIVE; effort <= SC_EFFORT_SEALED; effort++) {
        struct sc_stream_encoder encoder;
        assert_int_equal(sc_stream_encoder_init(&encoder, (enum sc_effort)effort), SC_OK);
        for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            for (unsigned noisy = 0; noisy < 2; noisy++) {
                struct sc_buf buf = {0};
                for (uint32_t i = 0; i < counts[c]; i++)
                    bytes[i] = noisy ? (uint8_t)kit_random(&seed) : (uint8_t)(i / 50);
                assert_int_equal(sc_stream_put_bytes(&encoder, bytes, counts[c], &buf), SC_OK);
                assert_int_equal(decode(buf.data, buf.len, counts[c], 1, out, &head), SC_OK);
                assert_int_equal(head.count, counts[c]);
                assert_memory_equal(out, bytes, counts[c]);
                if (counts[c] >= 1000 && !noisy)
                    assert_true(buf.len < counts[c] / 2);
                sc_buf_free(&buf);
            }
        }
        sc_stream_encoder_free(&encoder);
    }
}

/* ---- forms that a reader must take although our writer does not choose them ---- */

static void put_head(struct sc_buf *out, unsigned layout, unsigned width, unsigned compression,
                     uint32_t count, size_t raw, size_t stored, uint64_t base)
{
    uint8_t front[4] = {(uint8_t)layout, (uint8_t)width, (uint8_t)compression, 0};
    sc_buf_append(out, front, sizeof(front));
    sc_buf_append_le32(out, count);
    sc_buf_append_le32(out, (uint32_t)raw);
    sc_buf_append_le32(out, (uint32_t)stored);
    sc_buf_append_le64(out, base);
}

static void put_compressed(struct sc_buf *out, unsigned layout, unsigned width, unsigned compression,
                           uint32_t count, const void *payload, size_t raw, uint64_t base)
{
    char packed[20000];
    int n = compression == SC_COMPRESS_LZ4 ? LZ4_compress_default(payload, packed, (int)raw, sizeof(packed))
                                           : (int)ZSTD_compress(packed, sizeof(packed), payload, raw, 1);
    assert_true(n > 0);
    put_head(out, layout, width, compression, count, raw, (size_t)n, base);
    sc_buf_append(out, packed, (size_t)n);
}

static void compressed_plain_and_bits(void **state)
{
    (void)state;
    uint64_t values[500];
    uint8_t payload[4096 + 8] = {0};
    for (unsigned compression = SC_COMPRESS_LZ4; compression <= SC_COMPRESS_ZSTD; compression++) {
        for (unsigned width = 1; width <= 8; width *= 2) {
            struct sc_buf out = {0};
            for (uint32_t i = 0; i < 500; i++) {
                uint64_t v = i % 10 * (kit_mask(8 * width) / 10);
                memcpy(payload + (size_t)i * width, &v, width);
                values[i] = v + 1000;
            }
            put_compressed(&out, SC_LAYOUT_PLAIN, width, compression, 500, payload, (size_t)500 * width,
                           1000);
            check_widths(out.data, out.len, values, 500);
            sc_buf_free(&out);
        }
        for (unsigned bits = 1; bits <= 64; bits++) {
            struct sc_buf out = {0};
            memset(payload, 0xff, sizeof(payload)); /* every value is 2^bits - 1 */
            for (uint32_t i = 0; i < 500; i++)
                values[i] = 7 + kit_mask(bits);
            put_compressed(&out, SC_LAYOUT_BITS, bits, compression, 500, payload, (500 * bits + 7) / 8 + 8,
                           7);
            check_widths(out.data, out.len, values, 500);
            sc_buf_free(&out);
        }
    }
}

static void planes_by_hand(void **state)
{
    (void)state;
    static const uint8_t plane[3] = {1, 2, 255};
    static const uint64_t planes[3] = {10 + 0x090001, 10 + 0x090002, 10 + 0x0900ff};
    static const uint64_t delta[3] = {100 - 1, 100 - 1 + 1, 100 - 1 + 1 - 128}; /* zigzag 1, 2, 255 */
    struct sc_buf out = {0};
    put_head(&out, SC_LAYOUT_PLANES, 3, SC_COMPRESS_NONE, 3, 9, 7 + 5 + 5, 10);
    sc_buf_append_le32(&out, 3);
    sc_buf_append(&out, plane, 3);
    sc_buf_append_le32(&out, (uint32_t)SC_COMPRESS_REPEAT << 30 | 1);
    sc_buf_append_u8(&out, 0);
    sc_buf_append_le32(&out, (uint32_t)SC_COMPRESS_REPEAT << 30 | 1);
    sc_buf_append_u8(&out, 9);
    check_widths(out.data, out.len, planes, 3);
    sc_buf_clear(&out);
    put_head(&out, SC_LAYOUT_DELTA, 1, SC_COMPRESS_NONE, 3, 3, 7, 100);
    sc_buf_append_le32(&out, 3);
    sc_buf_append(&out, plane, 3);
    check_widths(out.data, out.len, delta, 3);
    sc_buf_free(&out);
}

/* ---- damage ---- */

static void impossible_heads(void **state)
{
    (void)state;
    static const struct {
        unsigned layout, width, compression;
        uint32_t count, raw, stored;
    } heads[] = {
        {6, 1, 0, 4, 4, 4},          {255, 1, 0, 4, 4, 4}, /* layouts */
        {1, 0, 0, 4, 0, 0},          {1, 3, 0, 4, 12, 12},
        {1, 16, 0, 4, 64, 64}, /* widths of PLAIN */
        {2, 0, 0, 4, 8, 8},          {2, 65, 0, 4, 41, 41},
        {3, 9, 0, 4, 36, 36},                            /* of BITS and PLANES */
        {4, 9, 0, 4, 36, 36},        {5, 2, 0, 4, 8, 8}, /* of DELTA and BYTES */
        {1, 1, 3, 4, 4, 4},          {1, 1, 9, 4, 4, 4},
        {3, 1, 1, 4, 4, 8}, /* compressions */
        {1, 1, 0, 4, 5, 5},          {1, 1, 0, 4, 4, 3},
        {2, 8, 0, 4, 4, 4}, /* lengths */
        {0, 0, 0, 4, 1, 1},          {0, 0, 0, 4, 0, 1},
        {5, 1, 0, 4, 4, 5},          {1, 1, 0, 70, 70, 70},
        {2, 1, 0, 4, 9, 200},                                      /* too many; not there */
        {1, 8, 0, 0x20000001, 8, 8}, {2, 64, 0, 0x20000000, 8, 8}, /* would overflow 32 bits */
    };
    uint8_t payload[64] = {0};
    uint64_t out[64];
    struct sc_stream_head head;
    for (unsigned i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct sc_buf buf = {0};
        put_head(&buf, heads[i].layout, heads[i].width, heads[i].compression, heads[i].count, heads[i].raw,
                 heads[i].stored, 0);
        sc_buf_append(&buf, payload, sizeof(payload));
        if (decode(buf.data, buf.len, 64, 8, out, &head) != SC_DAMAGED)
            fail_msg("head %u was believed", i);
        sc_buf_free(&buf);
    }
}

static void impossible_payloads(void **state)
{
    (void)state;
    uint8_t payload[64] = {0};
    uint64_t out[64];
    struct sc_stream_head head;
    for (unsigned compression = SC_COMPRESS_LZ4; compression <= SC_COMPRESS_ZSTD; compression++) {
        struct sc_buf buf = {0};
        put_compressed(&buf, SC_LAYOUT_BYTES, 1, compression, 40, payload, 40, 0);
        sc_store_le32(buf.data + 4, 50); /* claims more than it holds */
        sc_store_le32(buf.data + 8, 50);
        assert_int_equal(decode(buf.data, buf.len, 64, 8, out, &head), SC_DAMAGED);
        sc_store_le32(buf.data + 4, 30); /* and less */
        sc_store_le32(buf.data + 8, 30);
        assert_int_equal(decode(buf.data, buf.len, 64, 8, out, &head), SC_DAMAGED);
        sc_buf_free(&buf);
    }
    static const uint32_t words[] = {5,
                                     0x3fffffffu,
                                     (uint32_t)SC_COMPRESS_ZSTD << 30 | 4,
                                     (uint32_t)SC_COMPRESS_LZ4 << 30 | 4,
                                     (uint32_t)SC_COMPRESS_REPEAT << 30 | 2,
                                     (uint32_t)SC_COMPRESS_REPEAT << 30};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct sc_buf buf = {0};
        put_head(&buf, SC_LAYOUT_PLANES, 1, SC_COMPRESS_NONE, 4, 4, 8, 0);
        sc_buf_append_le32(&buf, words[i]);
        sc_buf_append(&buf, "\1\2\3\4", 4);
        assert_int_equal(decode(buf.data, buf.len, 64, 8, out, &head), SC_DAMAGED);
        sc_buf_free(&buf);
    }
}

/* Integers where bytes are expected, and the other way round. */
static void wrong_kind(void **state)
{
    (void)state;
    uint64_t out[8];
    struct sc_stream_head head;
    struct sc_buf buf = {0};
    put_head(&buf, SC_LAYOUT_BYTES, 1, SC_COMPRESS_NONE, 4, 4, 4, 0);
    sc_buf_append(&buf, "\1\2\3\4", 4);
    struct sc_cursor in = {.data = buf.data, .len = buf.len};
    assert_int_equal(sc_stream_head_read(&in, 8, &head), SC_OK);
    assert_int_equal(sc_stream_get_integers(&decoder, &in, &head, 8, out), SC_DAMAGED);
    buf.data[0] = SC_LAYOUT_PLAIN;
    in = (struct sc_cursor){.data = buf.data, .len = buf.len};
    assert_int_equal(sc_stream_head_read(&in, 8, &head), SC_OK);
    assert_int_equal(sc_stream_get_bytes(&decoder, &in, &head, (uint8_t *)out), SC_DAMAGED);
    sc_buf_free(&buf);
}

static void make_sample(struct sc_stream_encoder *encoder, unsigned shape, struct sc_buf *out)
{
    uint64_t seed = shape, values[300];
    for (uint32_t i = 0; i < 300; i++) {
        uint64_t r = kit_random(&seed);
        uint64_t by_shape[] = {7, r & 0x1ff, r & 0xff, r % 5 << 30, UINT64_C(1) << 40 | i * 1000, r};
        values[i] = by_shape[shape];
    }
    enum sc_status status = shape == 5 ? sc_stream_put_bytes(encoder, values, 1000, out)
                                       : sc_stream_put_integers(encoder, values, 300, out);
    assert_int_equal(status, SC_OK);
}

/* Any flipped bit and any cut: decoded to something or refused, never a crash, a hang or a read outside. */
static void flips_and_cuts(void **state)
{
    (void)state;
    uint64_t *out = calloc(2048, sizeof(*out));
    assert_non_null(out);
    struct sc_stream_head head;
    for (int effort = SC_EFFORT_LIVE; effort <= SC_EFFORT_SEALED; effort++) {
        struct sc_stream_encoder encoder;
        assert_int_equal(sc_stream_encoder_init(&encoder, (enum sc_effort)effort), SC_OK);
        encoder.format = format;
        for (unsigned shape = 0; shape < 6; shape++) {
            struct sc_buf buf = {0};
            make_sample(&encoder, shape, &buf);
            for (size_t bit = 0; bit < 8 * buf.len; bit++) {
                buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                enum sc_status status = decode(buf.data, buf.len, 1000, 8, out, &head);
                assert_true(status == SC_OK || status == SC_DAMAGED);
                buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            for (size_t length = 0; length < buf.len; length++)
                assert_int_equal(decode(buf.data, length, 1000, 8, out, &head), SC_DAMAGED);
            sc_buf_free(&buf);
        }
        sc_stream_encoder_free(&encoder);
    }
    free(out);
}

UNIT(test_stream)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_width),     cmocka_unit_test(every_shape),
        cmocka_unit_test(byte_streams),        cmocka_unit_test(compressed_plain_and_bits),
        cmocka_unit_test(planes_by_hand),      cmocka_unit_test(impossible_heads),
        cmocka_unit_test(impossible_payloads), cmocka_unit_test(wrong_kind),
        cmocka_unit_test(flips_and_cuts),
    };
    int failed = 0;
    for (format = 1; format <= SC_SEGMENT_VERSION; format++)
        failed += cmocka_run_group_tests(tests, set_up, tear_down);
    return failed;
}
