// SPDX-License-Identifier: BSD-3-Clause
/* What rows weigh, how they are cut, and how they are gathered: the weight foretold is the weight that comes. */
#include "flow/gather.h"

#include "base/bounds.h"
#include "store_kit.h"

enum { COLUMNS = 40, ROWS = 700 };

static struct sc_column_key key_of(uint32_t i)
{
    static const uint8_t kinds[] = {SC_COLUMN_UINT, SC_COLUMN_INT, SC_COLUMN_FLOAT, SC_COLUMN_ADDRESS,
                                    SC_COLUMN_BYTES};
    return (struct sc_column_key){1, (uint16_t)i, 0, kinds[i % sizeof(kinds)]};
}

static void put_random(struct sc_column *c, uint64_t h)
{
    static const uint8_t zeros[64];
    struct sc_addr address = sc_addr_v4((uint32_t)h);
    if (c->key.kind == SC_COLUMN_ADDRESS)
        sc_column_put_addr(c, &address);
    else if (c->key.kind == SC_COLUMN_BYTES)
        assert_int_equal(sc_column_put_bytes(c, zeros, h % 64), SC_OK);
    else
        sc_column_put_u64(c, h);
}

/* Columns from full to nearly empty: runs of rows have a value each, or none. */
static struct sc_batch *random_batch(uint64_t seed, uint32_t rows)
{
    static const uint8_t widths[] = {1, 2, 4, 8};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        unsigned width = key_of(i).kind == SC_COLUMN_FLOAT ? 8 : widths[kit_mix(seed, i) % 4];
        uint64_t run = 1 + kit_mix(seed + 1, i) % 300, one_in = 1 + kit_mix(seed + 2, i) % 5;
        struct sc_column *c = sc_batch_begin(batch, key_of(i), NULL, width, rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++) {
            if (kit_mix(row / run, i) % one_in == 0)
                put_random(c, kit_mix(seed ^ row, i));
            else
                assert_int_equal(sc_column_put_null(c), SC_OK);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

static const struct sc_column *const *columns_of(const struct sc_batch *batch)
{
    return (const struct sc_column *const *)batch->columns;
}

static struct sc_weight weight_of(const struct sc_batch *batch)
{
    return sc_batch_weight(columns_of(batch), batch->slots, 0, batch->rows);
}

static void assert_same(const struct sc_weight *x, const struct sc_weight *y)
{
    assert_int_equal(x->rows, y->rows);
    assert_int_equal(x->columns, y->columns);
    assert_int_equal(x->row_bits, y->row_bits);
    assert_int_equal(x->heap, y->heap);
}

static void what_there_is_counts(void **state)
{
    (void)state;
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column *c = sc_batch_begin(batch, (struct sc_column_key){0, 1, 0, SC_COLUMN_UINT}, NULL, 4, 10);
    for (uint32_t i = 0; i < 10; i++)
        sc_column_put_u64(c, i);
    c = sc_batch_begin(batch, (struct sc_column_key){0, 2, 0, SC_COLUMN_BYTES}, NULL, 0, 10);
    assert_int_equal(sc_column_put_bytes(c, "abcde", 5), SC_OK);
    for (uint32_t i = 1; i < 10; i++)
        assert_int_equal(sc_column_put_null(c), SC_OK);
    sc_batch_commit(batch, 10);
    struct sc_weight weight = weight_of(batch);
    assert_true(weight.rows == 10 && weight.columns == 2 && weight.row_bits == 2 * 33 && weight.heap == 5);
    assert_int_equal(sc_weight_bytes(&weight), (2 * 33 * 10 + 7) / 8 + 5);
    weight = sc_batch_weight(columns_of(batch), batch->slots, 1, 9); /* the bytes are null in all of these */
    assert_true(weight.columns == 1 && weight.row_bits == 33 && weight.heap == 0);
    sc_batch_free(batch);
}

/* Several spans of several batches: after each, the gather weighs what its batch does. */
static void the_weight_foretold_comes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        uint64_t random = seed;
        struct sc_gather gather;
        assert_int_equal(sc_gather_init(&gather, SC_RECORDS_OPTIONS), SC_OK);
        for (uint32_t i = 0; i < 8; i++) {
            if (i == 5)
                assert_int_equal(sc_gather_reset(&gather), SC_OK);
            struct sc_batch *batch = random_batch(seed * 100 + i, ROWS);
            struct sc_span span = {
                .stream = 7, .sequence = i, .first_row = (uint32_t)(kit_random(&random) % ROWS)};
            span.rows = 1 + (uint32_t)(kit_random(&random) % (ROWS - span.first_row));
            assert_int_equal(sc_gather_add(&gather, columns_of(batch), batch->slots, &span, &sc_group_bounds),
                             SC_OK);
            assert_int_equal(sc_batch_finish(gather.batch), SC_OK);
            struct sc_weight weight = weight_of(gather.batch);
            assert_same(&gather.weight, &weight);
            assert_true(sc_spans_cover(gather.batch));
            sc_batch_free(batch);
        }
        assert_int_equal(gather.batch->record_kind, SC_RECORDS_OPTIONS);
        assert_int_equal(gather.batch->span_count, 3);
        sc_gather_free(&gather);
    }
}

/* Each piece keeps to the bounds, and with a row more it would not. */
static void a_cut_is_as_large_as_may_be(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sc_batch *batch = random_batch(seed, ROWS);
        const struct sc_bounds bounds = {1 + kit_mix(seed, 1) % ROWS, 25 + kit_mix(seed, 2) % COLUMNS,
                                         4000 + kit_mix(seed, 3) % 100000};
        for (uint32_t first = 0, n; first < ROWS; first += n) {
            n = sc_bounds_cut(&bounds, columns_of(batch), batch->slots, first, ROWS - first);
            struct sc_weight weight = sc_batch_weight(columns_of(batch), batch->slots, first, n);
            assert_true(n == 1 || sc_bounds_hold(&bounds, &weight));
            if (first + n == ROWS)
                break;
            weight = sc_batch_weight(columns_of(batch), batch->slots, first, n + 1);
            assert_false(sc_bounds_hold(&bounds, &weight));
        }
        sc_batch_free(batch);
    }
}

/* Columns that are kept for reuse may be wider than the rows need: not so that these would not fit. */
static void reuse_takes_no_room(void **state)
{
    (void)state;
    static const struct sc_column_key key = {1, 1, 0, SC_COLUMN_UINT};
    const struct sc_bounds bounds = {100, 1, 900};
    const struct sc_span all = {.rows = 100};
    struct sc_gather gather;
    assert_int_equal(sc_gather_init(&gather, SC_RECORDS_FLOWS), SC_OK);
    for (unsigned width = 8; width != 0; width /= 2) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        const struct sc_bounds least = {100, 1, (100 * (8 * width + 1) + 7) / 8};
        struct sc_column *c = sc_batch_begin(batch, key, NULL, width, 100);
        for (uint32_t row = 0; row < 100; row++)
            sc_column_put_u64(c, row);
        sc_batch_commit(batch, 100);
        assert_int_equal(sc_gather_add(&gather, columns_of(batch), batch->slots, &all, &bounds), SC_OK);
        assert_int_equal(sc_gather_reset(&gather), SC_OK);
        assert_int_equal(sc_gather_add(&gather, columns_of(batch), batch->slots, &all, &least), SC_OK);
        struct sc_weight weight = weight_of(gather.batch);
        assert_same(&gather.weight, &weight);
        assert_int_equal(sc_gather_reset(&gather), SC_OK);
        sc_batch_free(batch);
    }
    sc_gather_free(&gather);
}

static void what_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    struct sc_gather gather;
    struct sc_batch *batch = random_batch(1, ROWS), *other = random_batch(2, ROWS);
    const struct sc_span all = {.rows = ROWS};
    struct sc_weight weight = weight_of(batch);
    const struct sc_bounds exact = {ROWS, weight.columns, sc_weight_bytes(&weight)};
    const struct sc_bounds least[] = {{ROWS - 1, exact.columns, exact.bytes},
                                      {ROWS, exact.columns - 1, exact.bytes},
                                      {ROWS, exact.columns, exact.bytes - 1}};
    assert_int_equal(sc_gather_init(&gather, SC_RECORDS_FLOWS), SC_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sc_gather_add(&gather, columns_of(batch), batch->slots, &all, &least[i]), SC_LIMIT);
    assert_true(gather.batch->rows == 0 && gather.batch->span_count == 0);
    assert_int_equal(sc_gather_add(&gather, columns_of(batch), batch->slots, &all, &exact), SC_OK);
    assert_int_equal(sc_gather_add(&gather, columns_of(other), other->slots, &all, &exact), SC_LIMIT);
    assert_int_equal(gather.batch->span_count, 1);
    assert_same(&gather.weight, &weight);
    sc_batch_free(batch);
    sc_batch_free(other);
    sc_gather_free(&gather);
}

static void assert_same_value(const struct sc_column *x, uint32_t x_row, const struct sc_column *y,
                              uint32_t y_row)
{
    uint32_t x_length, y_length;
    if (x->key.kind == SC_COLUMN_ADDRESS) {
        assert_true(sc_addr_equal(sc_column_addr(x, x_row), sc_column_addr(y, y_row)));
    } else if (x->key.kind == SC_COLUMN_BYTES) {
        const uint8_t *a = sc_column_bytes(x, x_row, &x_length), *b = sc_column_bytes(y, y_row, &y_length);
        assert_int_equal(x_length, y_length);
        assert_memory_equal(a, b, x_length);
    } else {
        assert_true(sc_column_u64(x, x_row) == sc_column_u64(y, y_row));
    }
}

/* Rows [first, first + n) of `from` stand in `to` from row `at` on. */
static void expect_rows(const struct sc_batch *to, uint32_t at, const struct sc_batch *from, uint32_t first,
                        uint32_t n)
{
    for (uint32_t i = 0; i < COLUMNS; i++) {
        const struct sc_column *x = sc_batch_find(to, key_of(i)), *y = sc_batch_find(from, key_of(i));
        for (uint32_t row = 0; row < n; row++) {
            bool null = y == NULL || sc_column_is_null(y, first + row);
            assert_int_equal(x == NULL || sc_column_is_null(x, at + row), null);
            if (!null)
                assert_same_value(x, at + row, y, first + row);
        }
    }
}

/* Any rows of some batches, nulls at any places, one behind the other; addresses as such or as codes. */
static void what_is_gathered_is_what_was_there(void **state)
{
    (void)state;
    enum { SPANS = 12 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sc_gather gather;
        struct sc_span spans[SPANS];
        struct sc_batch *batches[3] = {random_batch(seed, ROWS), random_batch(seed + 100, ROWS),
                                       random_batch(seed + 200, ROWS)};
        assert_int_equal(sc_gather_init(&gather, SC_RECORDS_FLOWS), SC_OK);
        if (seed % 2 == 1)
            sc_gather_pool_addresses(&gather);
        for (uint32_t i = 0; i < SPANS; i++) {
            const struct sc_batch *from = batches[i % 3];
            uint32_t first = (uint32_t)(kit_mix(seed, i) % (ROWS - 1));
            spans[i] = (struct sc_span){.first_row = first};
            spans[i].rows = 1 + (uint32_t)(kit_mix(seed + 9, i) % (ROWS - first));
            sc_gather_next_source(&gather);
            assert_int_equal(
                sc_gather_add(&gather, columns_of(from), from->slots, &spans[i], &sc_group_bounds), SC_OK);
        }
        assert_int_equal(sc_batch_finish(gather.batch), SC_OK);
        for (uint32_t i = 0; i < SPANS; i++)
            expect_rows(gather.batch, gather.batch->spans[i].first_row, batches[i % 3], spans[i].first_row,
                        spans[i].rows);
        for (uint32_t i = 0; i < 3; i++)
            sc_batch_free(batches[i]);
        sc_gather_free(&gather);
    }
}

UNIT(test_gather)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_there_is_counts),
        cmocka_unit_test(the_weight_foretold_comes),
        cmocka_unit_test(a_cut_is_as_large_as_may_be),
        cmocka_unit_test(reuse_takes_no_room),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(what_is_gathered_is_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
