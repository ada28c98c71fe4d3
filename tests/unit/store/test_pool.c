// SPDX-License-Identifier: BSD-3-Clause
/* Rows that are gathered with their addresses as codes are encoded as those with addresses are, byte for byte. */
#include "flow/gather.h"
#include "store/row_group_encode.h"

#include "store_kit.h"

enum { SOURCES = 4, SOURCE_ROWS = 3000, SPAN_ROWS = 500, SPANS = SOURCE_ROWS / SPAN_ROWS };

static const struct sc_column_key keys[] = {
    {0, 8, 0, SC_COLUMN_ADDRESS}, {0, 12, 0, SC_COLUMN_ADDRESS}, {0, 15, 0, SC_COLUMN_ADDRESS}};

/* Below, within and above the IPv4 range, and at its ends. */
static struct sc_addr address_of(uint64_t h, uint32_t different)
{
    uint32_t n = (uint32_t)(h >> 8) % different;
    struct sc_addr a = sc_addr_v4(n * 77777);
    if (h % 5 == 0)
        a.b[0] = 0x20;
    else if (h % 7 == 0)
        a.b[10] = 0;
    else if (h % 101 == 0)
        a = sc_addr_v4(h % 2 == 0 ? 0 : UINT32_MAX);
    return a;
}

/* The second column has nulls, the third none of some sources' rows. */
static void put_addresses(struct sc_batch *batch, unsigned k, uint64_t seed, uint32_t different)
{
    struct sc_column *c = sc_batch_begin(batch, keys[k], NULL, 16, SOURCE_ROWS);
    assert_non_null(c);
    for (uint32_t row = 0; row < SOURCE_ROWS; row++) {
        struct sc_addr a = address_of(kit_mix(seed * 3 + k, row), different);
        if (k == 1 && kit_mix(seed, row) % 3 == 0)
            assert_int_equal(sc_column_put_null(c), SC_OK);
        else
            sc_column_put_addr(c, &a);
    }
}

/* A file of row groups, each of several batches. */
static void write_sources(const char *path, uint32_t different)
{
    const struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    for (uint32_t i = 0; i < SOURCES; i++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        for (unsigned k = 0; k < (i % 2 == 0 ? 3u : 2u); k++)
            put_addresses(batch, k, i, different);
        sc_batch_commit(batch, SOURCE_ROWS);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        batch->spans = calloc(SPANS, sizeof(*batch->spans));
        batch->span_count = SPANS;
        for (uint32_t s = 0; s < SPANS; s++)
            batch->spans[s] =
                (struct sc_span){.stream = i, .sequence = s, .first_row = s * SPAN_ROWS, .rows = SPAN_ROWS};
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
}

/* The spans that `taken` has a bit for, of all sources. */
static void gather(const char *path, unsigned taken, struct sc_gather *out)
{
    struct sc_read_context context;
    struct sc_segment *segment;
    struct sc_row_group *group;
    const struct sc_column *column;
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    for (uint32_t i = 0; i < segment->group_count; i++) {
        sc_read_context_reset(&context); /* the next dictionary may lie where the last one did */
        assert_int_equal(sc_row_group_open(&context, segment, i, &group, NULL), SC_OK);
        for (uint32_t e = 0; e < group->entry_count; e++)
            assert_int_equal(sc_row_group_column_at(group, e, &column, NULL), SC_OK);
        sc_gather_next_source(out);
        for (uint32_t s = 0; s < group->span_count; s++) {
            if ((taken >> s & 1) != 0)
                assert_int_equal(sc_gather_add(out, (const struct sc_column *const *)group->columns,
                                               group->entry_count, &group->spans[s], &sc_group_bounds),
                                 SC_OK);
        }
    }
    sc_segment_close(segment);
    sc_read_context_free(&context);
    assert_int_equal(sc_batch_finish(out->batch), SC_OK);
}

static void encode(const struct sc_gather *from, struct sc_buf *out)
{
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, from->batch, out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
}

/* Reused after a reset, too. */
static void expect_same(const char *path, unsigned taken, struct sc_gather *pooled)
{
    struct sc_gather flat;
    struct sc_buf x = {0}, y = {0};
    assert_int_equal(sc_gather_init(&flat, SC_RECORDS_FLOWS), SC_OK);
    gather(path, taken, &flat);
    gather(path, taken, pooled);
    assert_true(pooled->batch->pools && pooled->batch->pool.count != 0 && !flat.batch->pools);
    assert_int_equal(pooled->weight.row_bits, flat.weight.row_bits);
    encode(&flat, &x);
    encode(pooled, &y);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    assert_int_equal(sc_gather_reset(pooled), SC_OK);
    sc_buf_free(&x);
    sc_buf_free(&y);
    sc_gather_free(&flat);
}

/* Few addresses, many, and so many that those of single rows are taken out of their dictionary; all batches, or not all. */
static void codes_are_encoded_as_addresses_are(void **state)
{
    (void)state;
    static const uint32_t different[] = {1, 2, 300, 1u << 20};
    static const unsigned taken[] = {0x3f, 0x01, 0x2a};
    for (size_t d = 0; d < sizeof(different) / sizeof(different[0]); d++) {
        char *folder = kit_folder(), path[300];
        struct sc_gather pooled;
        snprintf(path, sizeof(path), "%s/1.sclive", folder);
        write_sources(path, different[d]);
        assert_int_equal(sc_gather_init(&pooled, SC_RECORDS_FLOWS), SC_OK);
        sc_gather_pool_addresses(&pooled);
        for (size_t t = 0; t < sizeof(taken) / sizeof(taken[0]); t++)
            expect_same(path, taken[t], &pooled);
        sc_gather_free(&pooled);
        kit_remove(folder);
    }
}

UNIT(test_pool)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_encoded_as_addresses_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
