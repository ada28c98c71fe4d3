// SPDX-License-Identifier: BSD-3-Clause
/* Batches of flow records: columns that come and go, widths that grow, nulls, rollback, reuse, copies. */
#include "flow/batch.h"

#include "store_kit.h"

static const struct sc_column_key uint_key = {0, 500, 0, SC_COLUMN_UINT};
static const struct sc_column_key int_key = {0, 501, 0, SC_COLUMN_INT};
static const struct sc_column_key bytes_key = {0, 502, 0, SC_COLUMN_BYTES};
static const struct sc_column_key addr_key = {0, 503, 0, SC_COLUMN_ADDRESS};

static struct sc_batch *new_batch(void)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    return batch;
}

static struct sc_column *begin(struct sc_batch *batch, struct sc_column_key key, unsigned width, uint32_t n)
{
    struct sc_column *c = sc_batch_begin(batch, key, NULL, width, n);
    assert_non_null(c);
    return c;
}

static void put_run(struct sc_batch *batch, struct sc_column_key key, unsigned width, uint64_t value,
                    uint32_t n)
{
    struct sc_column *c = begin(batch, key, width, n);
    for (uint32_t i = 0; i < n; i++)
        sc_column_put_u64(c, value);
}

/* ---- schema ---- */

static void schema_slots(void **state)
{
    (void)state;
    struct sc_schema schema;
    sc_schema_init(&schema, 1000);
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 1000; i++) {
            struct sc_column_key key = {i % 3, (uint16_t)(i * 7), (uint8_t)(i % 2), (uint8_t)(i % 5)};
            assert_int_equal(sc_schema_slot(&schema, key), i);
        }
    }
    assert_int_equal(sc_schema_slot(&schema, (struct sc_column_key){9, 9, 9, 0}), SC_NO_SLOT);
    assert_int_equal(sc_schema_slot(&schema, (struct sc_column_key){0, 0, 0, 0}),
                     0); /* known ones still are */
    sc_schema_free(&schema);
    assert_int_equal(sc_schema_slot(&schema, (struct sc_column_key){9, 9, 9, 0}), 0);
    sc_schema_free(&schema);
}

/* Columns that were not used since the last reset leave the batch; a slot that another key has now is no hint for the old one. */
static void unused_columns_leave(void **state)
{
    (void)state;
    enum { COLUMNS = 3000 };
    struct sc_batch *batch = new_batch();
    uint32_t hint = SC_NO_SLOT;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < COLUMNS; i++)
            put_run(batch, (struct sc_column_key){100000 + round, (uint16_t)i, 0, SC_COLUMN_UINT}, 4, i, 1);
        struct sc_column *c = sc_batch_begin(batch, uint_key, &hint, 4, 1);
        assert_true(sc_column_key_equal(c->key, uint_key));
        assert_int_equal(sc_batch_slot(batch, bytes_key, hint), SC_NO_SLOT);
        sc_column_put_u64(c, round);
        sc_batch_commit(batch, 1);
        assert_int_equal(batch->used, COLUMNS + 1);
        assert_ptr_equal(batch->columns[hint], c);
        uint64_t serial = batch->serial;
        sc_batch_reset(batch);
        assert_true(batch->serial != serial);
        assert_true(batch->schema.count <= COLUMNS + 1);
        assert_int_equal(sc_batch_memory(batch) < 3000 * 2048, true);
    }
    sc_batch_reset(batch);
    assert_int_equal(batch->schema.count, 0);
    sc_batch_free(batch);
}

/* What a batch has been given beyond what it needs is given back, and its values stay. */
static void packing_gives_back(void **state)
{
    (void)state;
    struct sc_batch *batch = new_batch();
    for (uint32_t rows = 60000; rows != 0; rows = rows == 60000 ? 10 : 0) {
        struct sc_column *b = begin(batch, bytes_key, 0, rows);
        for (uint32_t i = 0; i < rows; i++)
            assert_int_equal(sc_column_put_bytes(b, "0123456789abcdef", i % 16), SC_OK);
        sc_batch_commit(batch, rows);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        size_t finished = sc_batch_finished_bytes(batch), given = sc_batch_memory(batch);
        sc_batch_pack(batch);
        assert_true(sc_batch_memory(batch) <= given);
        assert_true(sc_batch_memory(batch) <= 2 * finished + (64 << 10));
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t length;
            const uint8_t *bytes = sc_column_bytes(sc_batch_find(batch, bytes_key), i, &length);
            assert_int_equal(length, i % 16);
            assert_memory_equal(bytes, "0123456789abcdef", length);
        }
        if (rows == 60000)
            sc_batch_reset(batch);
    }
    sc_batch_free(batch);
}

/* ---- appending ---- */

static void columns_that_begin_late_or_end_early(void **state)
{
    (void)state;
    struct sc_batch *batch = new_batch();
    put_run(batch, uint_key, 4, 11, 100);
    sc_batch_commit(batch, 100);
    put_run(batch, int_key, 4, (uint64_t)-3, 200);
    sc_batch_commit(batch, 200);
    put_run(batch, uint_key, 4, 12, 1);
    sc_batch_commit(batch, 1);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    assert_int_equal(batch->rows, 301);
    const struct sc_column *u = sc_batch_find(batch, uint_key), *i = sc_batch_find(batch, int_key);
    assert_non_null(u);
    assert_non_null(i);
    assert_int_equal(u->rows, 301);
    assert_int_equal(i->rows, 301);
    assert_int_equal(u->nulls, 200);
    assert_int_equal(i->nulls, 101);
    for (uint32_t row = 0; row < 301; row++) {
        bool middle = row >= 100 && row < 300;
        assert_int_equal(sc_column_is_null(u, row), middle);
        assert_int_equal(sc_column_is_null(i, row), !middle);
        assert_true(sc_column_u64(u, row) == (middle ? 0 : row == 300 ? 12 : 11));
        assert_true(sc_column_u64(i, row) == (middle ? (uint64_t)-3 : 0));
    }
    assert_null(sc_batch_find(batch, bytes_key));
    assert_true(sc_batch_memory(batch) > 301 * 8);
    sc_batch_free(batch);
}

static void widths_grow(void **state)
{
    (void)state;
    struct sc_batch *batch = new_batch();
    unsigned widths[] = {1, 2, 4, 8, 1};
    for (unsigned i = 0; i < 5; i++) {
        put_run(batch, uint_key, widths[i], kit_mask(8 * widths[i]), 3);
        put_run(batch, int_key, widths[i], (uint64_t)-1 - i, 3);
        sc_batch_commit(batch, 3);
    }
    for (uint32_t row = 0; row < 15; row++) {
        assert_true(sc_column_u64(batch->columns[0], row) == kit_mask(8 * widths[row / 3]));
        assert_true(sc_column_u64(batch->columns[1], row) == (uint64_t)-1 - row / 3);
    }
    assert_int_equal(batch->columns[0]->width, 8);
    sc_batch_free(batch);
}

static void rollback_forgets_the_run(void **state)
{
    (void)state;
    struct sc_batch *batch = new_batch();
    struct sc_column *c = begin(batch, bytes_key, 0, 70);
    for (uint32_t i = 0; i < 70; i++)
        assert_int_equal(i % 2 ? sc_column_put_null(c) : sc_column_put_bytes(c, "abc", 3), SC_OK);
    sc_batch_commit(batch, 70);
    c = begin(batch, bytes_key, 0, 90);
    for (uint32_t i = 0; i < 90; i++)
        assert_int_equal(i % 3 ? sc_column_put_null(c) : sc_column_put_bytes(c, "defghij", 7), SC_OK);
    put_run(batch, uint_key, 8, 5, 90);
    sc_batch_rollback(batch);
    assert_int_equal(batch->rows, 70);
    assert_int_equal(c->rows, 70);
    assert_int_equal(c->nulls, 35);
    c = begin(batch, bytes_key, 0, 90);
    for (uint32_t i = 0; i < 90; i++)
        assert_int_equal(sc_column_put_bytes(c, "xy", 2), SC_OK);
    sc_batch_commit(batch, 90);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    assert_int_equal(c->nulls, 35);
    assert_null(sc_batch_find(batch, uint_key)); /* null in every row */
    for (uint32_t row = 0; row < 160; row++) {
        uint32_t length;
        const uint8_t *bytes = sc_column_bytes(c, row, &length);
        assert_int_equal(sc_column_is_null(c, row), row < 70 && row % 2);
        assert_int_equal(length, row >= 70 ? 2 : row % 2 ? 0 : 3);
        assert_memory_equal(bytes, row >= 70 ? "xy" : "abc", length);
    }
    sc_batch_free(batch);
}

static void reset_keeps_nothing_but_memory(void **state)
{
    (void)state;
    struct sc_batch *batch = new_batch();
    for (uint32_t round = 0; round < 4; round++) {
        uint32_t rows = 100 + round * 700;
        struct sc_column *c =
            begin(batch, (struct sc_column_key){0, 503, (uint8_t)(round % 2), SC_COLUMN_ADDRESS}, 16, rows);
        for (uint32_t i = 0; i < rows; i++) {
            struct sc_addr a = sc_addr_v4(i + round);
            sc_column_put_addr(c, &a);
        }
        sc_batch_commit(batch, rows);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        kit_span(batch, 1, 1);
        const struct sc_column *found = sc_batch_find(batch, c->key);
        assert_ptr_equal(found, c);
        assert_int_equal(c->rows, rows);
        assert_int_equal(c->nulls, 0);
        assert_int_equal(sc_addr_get_v4(sc_column_addr(c, rows - 1)), rows - 1 + round);
        sc_batch_reset(batch);
        assert_int_equal(batch->rows, 0);
        assert_int_equal(batch->span_count, 0);
        assert_null(sc_batch_find(batch, addr_key));
    }
    sc_batch_free(batch);
}

/* ---- a long random history against a plain model ---- */

enum { SLOTS = 12, RUNS = 120, MOST = 40 * RUNS };

struct model {
    bool null[SLOTS][MOST];
    uint64_t value[SLOTS][MOST];
};

static struct sc_column_key slot_key(uint32_t slot)
{
    static const uint8_t kinds[] = {SC_COLUMN_UINT, SC_COLUMN_INT, SC_COLUMN_FLOAT, SC_COLUMN_ADDRESS,
                                    SC_COLUMN_BYTES};
    return (struct sc_column_key){slot, (uint16_t)(slot + 1), 0, kinds[slot % 5]};
}

/* The value as its kind and width keep it. */
static uint64_t narrow(struct sc_column_key key, unsigned width, uint64_t v)
{
    if (key.kind == SC_COLUMN_UINT)
        return v & kit_mask(8 * width);
    if (key.kind == SC_COLUMN_INT)
        return (uint64_t)((int64_t)(v << (64 - 8 * width)) >> (64 - 8 * width));
    return v;
}

static void put_value(struct sc_column *c, uint64_t v)
{
    if (c->key.kind == SC_COLUMN_ADDRESS) {
        struct sc_addr a = {{0}};
        sc_store_be64(a.b + 8, v);
        sc_column_put_addr(c, &a);
    } else if (c->key.kind == SC_COLUMN_BYTES) {
        assert_int_equal(sc_column_put_bytes(c, &v, (uint32_t)(v % 9)), SC_OK);
    } else {
        sc_column_put_u64(c, v);
    }
}

static void check_value(const struct sc_column *c, uint32_t row, bool null, uint64_t v)
{
    assert_int_equal(sc_column_is_null(c, row), null);
    uint32_t length;
    if (null)
        return;
    if (c->key.kind == SC_COLUMN_ADDRESS) {
        assert_true(sc_load_be64(sc_column_addr(c, row)->b + 8) == v);
    } else if (c->key.kind == SC_COLUMN_BYTES) {
        const uint8_t *bytes = sc_column_bytes(c, row, &length);
        assert_int_equal(length, v % 9);
        assert_memory_equal(bytes, &v, length);
    } else {
        assert_true(sc_column_u64(c, row) == v);
    }
}

static void random_run(struct sc_batch *batch, struct model *m, uint64_t *seed)
{
    uint32_t n = (uint32_t)(kit_random(seed) % 40), at = batch->rows;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        for (uint32_t i = 0; i < n; i++)
            m->null[slot][at + i] = true;
        if (kit_random(seed) % 3 == 0)
            continue;
        struct sc_column_key key = slot_key(slot);
        unsigned width = key.kind == SC_COLUMN_FLOAT ? 8 : 1u << kit_random(seed) % 4;
        struct sc_column *c = begin(batch, key, width, n);
        bool nulls = kit_random(seed) % 2 == 0;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t v = narrow(key, width, kit_random(seed));
            bool null = nulls && kit_random(seed) % 4 == 0;
            m->null[slot][at + i] = null;
            m->value[slot][at + i] = v;
            if (null)
                assert_int_equal(sc_column_put_null(c), SC_OK);
            else
                put_value(c, v);
        }
    }
    if (kit_random(seed) % 5 == 0)
        sc_batch_rollback(batch);
    else
        sc_batch_commit(batch, n);
}

static void check_model(const struct sc_batch *batch, const struct model *m)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        const struct sc_column *c = sc_batch_find(batch, slot_key(slot));
        uint32_t nulls = 0;
        for (uint32_t row = 0; row < batch->rows; row++)
            nulls += m->null[slot][row];
        assert_int_equal(c == NULL, nulls == batch->rows);
        if (c == NULL)
            continue;
        assert_int_equal(c->rows, batch->rows);
        assert_int_equal(c->nulls, nulls);
        for (uint32_t row = 0; row < batch->rows; row++)
            check_value(c, row, m->null[slot][row], m->value[slot][row]);
    }
}

static void random_history(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof(*m));
    assert_non_null(m);
    struct sc_batch *batch = new_batch();
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t random = seed;
        for (unsigned run = 0; run < RUNS; run++)
            random_run(batch, m, &random);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        check_model(batch, m);
        sc_batch_reset(batch);
    }
    sc_batch_free(batch);
    free(m);
}

/* ---- copies ---- */

static void copies_of_any_form(void **state)
{
    (void)state;
    static const uint64_t values[] = {3, 70000, UINT64_C(1) << 40};
    static const uint64_t small[] = {9};
    static const uint32_t offsets[] = {0, 1, 1, 4};
    uint8_t codes[] = {0, 2, 1, 0, 2, 2};
    uint64_t valid = 0x3d; /* row 1 is null */
    struct sc_column dict = {.key = uint_key,
                             .form = SC_FORM_DICT,
                             .width = 1,
                             .rows = 6,
                             .nulls = 1,
                             .valid = &valid,
                             .values = codes,
                             .dict = {3, values, NULL, NULL}};
    struct sc_column constant = {
        .key = int_key, .form = SC_FORM_CONST, .width = 1, .rows = 6, .dict = {1, small, NULL, NULL}};
    struct sc_column bytes = {.key = bytes_key,
                              .form = SC_FORM_DICT,
                              .width = 1,
                              .rows = 6,
                              .values = codes,
                              .dict = {3, NULL, offsets, (const uint8_t *)"axyz"}};
    const struct sc_column *columns[] = {&dict, NULL, &constant, &bytes};
    struct sc_batch *batch = new_batch();
    assert_int_equal(sc_batch_append_rows(batch, columns, 4, 4, 2), SC_OK);
    assert_int_equal(sc_batch_append_rows(batch, columns, 4, 3, 0), SC_OK);
    assert_int_equal(sc_batch_append_rows(batch, columns, 4, 0, 4), SC_OK);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    assert_int_equal(batch->rows, 6);
    for (uint32_t row = 0; row < 6; row++) {
        uint32_t from = (row + 4) % 6, length;
        const struct sc_column *u = sc_batch_find(batch, uint_key), *b = sc_batch_find(batch, bytes_key);
        assert_int_equal(u->form, SC_FORM_FLAT);
        assert_int_equal(sc_column_is_null(u, row), from == 1);
        assert_true(sc_column_u64(u, row) == (from == 1 ? 0 : values[codes[from]]));
        assert_int_equal(sc_column_u64(sc_batch_find(batch, int_key), row), 9);
        const uint8_t *text = sc_column_bytes(b, row, &length);
        assert_int_equal(length, offsets[codes[from] + 1] - offsets[codes[from]]);
        assert_memory_equal(text, "axyz" + offsets[codes[from]], length);
    }
    sc_batch_free(batch);
}

/* A schema that is full: nothing of the rows is taken. */
static void refused_copies_leave_no_trace(void **state)
{
    (void)state;
    struct sc_batch *from = kit_batch(0, 10, 0), *to = new_batch();
    to->schema.limit = 3;
    assert_int_equal(
        sc_batch_append_rows(to, (const struct sc_column *const *)from->columns, from->slots, 0, 10),
        SC_NOMEM);
    assert_int_equal(to->rows, 0);
    assert_int_equal(sc_batch_finish(to), SC_OK);
    for (uint32_t i = 0; i < to->slots; i++)
        assert_true(to->columns[i] == NULL || to->columns[i]->rows == 0);
    sc_batch_free(from);
    sc_batch_free(to);
}

static void kinds_and_widths_of_types(void **state)
{
    (void)state;
    assert_int_equal(sc_column_kind_of(SC_TYPE_MAC_ADDRESS), SC_COLUMN_UINT);
    assert_int_equal(sc_column_width_of(SC_TYPE_MAC_ADDRESS), 8);
    assert_int_equal(sc_column_kind_of(SC_TYPE_SIGNED16), SC_COLUMN_INT);
    assert_int_equal(sc_column_width_of(SC_TYPE_SIGNED16), 2);
    assert_int_equal(sc_column_kind_of(SC_TYPE_FLOAT32), SC_COLUMN_FLOAT);
    assert_int_equal(sc_column_width_of(SC_TYPE_FLOAT32), 8);
    assert_int_equal(sc_column_kind_of(SC_TYPE_IPV4_ADDRESS), SC_COLUMN_ADDRESS);
    assert_int_equal(sc_column_width_of(SC_TYPE_IPV6_ADDRESS), 16);
    assert_int_equal(sc_column_kind_of(SC_TYPE_BASIC_LIST), SC_COLUMN_BYTES);
    assert_int_equal(sc_column_kind_of(SC_TYPE_BOOLEAN), SC_COLUMN_UINT);
    assert_int_equal(sc_column_width_of(SC_TYPE_BOOLEAN), 1);
    assert_int_equal(sc_column_width_of(SC_TYPE_DATE_TIME_SECONDS), 4);
    assert_int_equal(sc_column_width_of(SC_TYPE_DATE_TIME_NANOSECONDS), 8);
}

/* Of all lengths about those that are counted at once, and of bytes that are full. */
static void bits_are_counted(void **state)
{
    (void)state;
    uint64_t seed = 1, x[100], y[100];
    for (unsigned round = 0; round < 3; round++) {
        uint32_t expected = 0;
        for (uint32_t w = 0; w < 100; w++) {
            x[w] = round == 0 ? UINT64_MAX : kit_random(&seed);
            y[w] = round == 1 ? UINT64_MAX : kit_random(&seed) | (0 - (uint64_t)(round == 0));
        }
        for (uint32_t words = 0; words <= 100; words++) {
            assert_int_equal(sc_bitmap_count_both(x, y, words), expected);
            for (uint64_t left = words < 100 ? x[words] & y[words] : 0; left != 0; left &= left - 1)
                expected++;
        }
    }
}

UNIT(test_batch)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_slots),
        cmocka_unit_test(unused_columns_leave),
        cmocka_unit_test(packing_gives_back),
        cmocka_unit_test(columns_that_begin_late_or_end_early),
        cmocka_unit_test(widths_grow),
        cmocka_unit_test(rollback_forgets_the_run),
        cmocka_unit_test(reset_keeps_nothing_but_memory),
        cmocka_unit_test(random_history),
        cmocka_unit_test(copies_of_any_form),
        cmocka_unit_test(refused_copies_leave_no_trace),
        cmocka_unit_test(kinds_and_widths_of_types),
        cmocka_unit_test(bits_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
