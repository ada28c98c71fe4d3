// SPDX-License-Identifier: BSD-3-Clause
/* Fields over whole columns agree with the scalar reference, row by row, for every named field and any
 * columns. */
#include "flow/vector.h"

#include "store_kit.h"

enum { MOST_COLUMNS = 96, MOST_ROWS = 200 };

/* Columns in any form, as the store's reader gives them; the data belong to the pool. */
struct pool {
    struct sc_column columns[MOST_COLUMNS];
    const struct sc_column *list[MOST_COLUMNS];
    uint32_t count;
    void *memory[6 * MOST_COLUMNS];
    uint32_t allocated;
};

static void *pool_alloc(struct pool *pool, size_t size)
{
    void *p = calloc(1, size + 16);
    assert_non_null(p);
    pool->memory[pool->allocated++] = p;
    return p;
}

static void pool_free(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->allocated; i++)
        free(pool->memory[i]);
    *pool = (struct pool){0};
}

static void make_nulls(struct pool *pool, struct sc_column *c, uint64_t *seed)
{
    uint64_t often = kit_random(seed) % 4;
    if (often == 0)
        return;
    c->valid = pool_alloc(pool, sc_bitmap_words(c->rows) * 8);
    for (uint32_t row = 0; row < c->rows; row++) {
        bool null = kit_random(seed) % 4 < often;
        c->nulls += null;
        c->valid[row / 64] |= (uint64_t)!null << (row % 64);
    }
}

static uint64_t small_or_large(uint64_t *seed)
{
    uint64_t r = kit_random(seed);
    return r >> (r % 64);
}

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void fill_codes(struct pool *pool, struct sc_column *c, uint32_t entries, uint64_t *seed)
{
    c->width = (uint8_t)(1u << kit_random(seed) % 3);
    c->values = pool_alloc(pool, (size_t)c->rows * c->width);
    for (uint32_t row = 0; row < c->rows; row++) {
        uint32_t code = sc_column_is_null(c, row) ? 0 : (uint32_t)(kit_random(seed) % entries);
        memcpy((uint8_t *)c->values + (size_t)row * c->width, &code, c->width);
    }
}

static void fill_integers(struct pool *pool, struct sc_column *c, uint64_t *seed)
{
    if (c->form == SC_FORM_FLAT) {
        c->width = (uint8_t)(1u << kit_random(seed) % 4);
        c->values = pool_alloc(pool, (size_t)c->rows * c->width);
        for (uint32_t row = 0; row < c->rows; row++) {
            uint64_t v = sc_column_is_null(c, row) ? 0 : small_or_large(seed);
            memcpy((uint8_t *)c->values + (size_t)row * c->width, &v, c->width);
        }
        return;
    }
    uint32_t entries = c->form == SC_FORM_CONST ? 1 : 1 + (uint32_t)(kit_random(seed) % 10);
    uint64_t *values = pool_alloc(pool, entries * sizeof(*values));
    for (uint32_t i = 0; i < entries; i++)
        values[i] = small_or_large(seed);
    qsort(values, entries, sizeof(*values), ascending);
    c->dict = (struct sc_dictionary){.count = entries, .values = values};
    c->width = 1;
    if (c->form == SC_FORM_DICT)
        fill_codes(pool, c, entries, seed);
}

static void fill_addresses(struct pool *pool, struct sc_column *c, uint64_t *seed)
{
    uint32_t entries = c->form == SC_FORM_FLAT ? c->rows : 7;
    struct sc_addr *values = pool_alloc(pool, entries * sizeof(*values));
    for (uint32_t i = 0; i < entries; i++) {
        values[i] = sc_addr_v4((uint32_t)kit_random(seed));
        if (kit_random(seed) % 3 == 0)
            values[i].b[0] = 0x20;
    }
    c->width = sizeof(*values);
    if (c->form == SC_FORM_FLAT) {
        c->values = values;
        return;
    }
    c->form = SC_FORM_DICT; /* addresses are never stored as a constant */
    c->dict = (struct sc_dictionary){.count = entries, .values = values};
    fill_codes(pool, c, entries, seed);
}

static void fill_bytes(struct pool *pool, struct sc_column *c, uint64_t *seed)
{
    c->form = SC_FORM_FLAT;
    c->offsets = pool_alloc(pool, ((size_t)c->rows + 1) * sizeof(uint32_t));
    c->heap = pool_alloc(pool, (size_t)c->rows * 4);
    for (uint32_t row = 0; row < c->rows; row++)
        c->offsets[row + 1] =
            c->offsets[row] + (sc_column_is_null(c, row) ? 0 : (uint32_t)(kit_random(seed) % 5));
}

static void add_column(struct pool *pool, struct sc_column_key key, uint32_t rows, uint64_t *seed)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->list[i] != NULL && sc_column_key_equal(pool->list[i]->key, key))
            return;
    }
    if (pool->count == MOST_COLUMNS)
        return;
    struct sc_column *c = &pool->columns[pool->count];
    *c = (struct sc_column){.key = key, .rows = rows, .form = (uint8_t)(kit_random(seed) % 3)};
    make_nulls(pool, c, seed);
    if (key.kind == SC_COLUMN_ADDRESS)
        fill_addresses(pool, c, seed);
    else if (key.kind == SC_COLUMN_BYTES)
        fill_bytes(pool, c, seed);
    else
        fill_integers(pool, c, seed);
    pool->list[pool->count++] = kit_random(seed) % 16 == 0 ? NULL : c;
}

/* Some of the columns that the field, or what it is computed from, may read. */
static void add_sources(struct pool *pool, const struct sc_field *field, uint32_t rows, uint64_t *seed)
{
    static const struct sc_column_key bases[] = {{SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT, 0, SC_COLUMN_UINT},
                                                 {SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, 0, SC_COLUMN_UINT}};
    for (unsigned s = 0; s < field->source_count; s++) {
        if (kit_random(seed) % 3 != 0)
            add_column(pool, field->sources[s].key, rows, seed);
    }
    for (unsigned b = 0; b < 2; b++) {
        if (kit_random(seed) % 2 == 0)
            add_column(pool, bases[b], rows, seed);
    }
    static const char *const others[] = {"first", "last"};
    for (unsigned k = 0;
         k < 2 && (field->computed == SC_COMPUTED_DURATION || strcmp(field->name, "last") == 0); k++) {
        struct sc_field other;
        assert_int_equal(sc_field_find(NULL, others[k], strlen(others[k]), &other, NULL), SC_OK);
        for (unsigned s = 0; s < other.source_count; s++) {
            if (kit_random(seed) % 2 == 0)
                add_column(pool, other.sources[s].key, rows, seed);
        }
    }
}

static void compare_integers(const struct sc_field *field, const struct pool *pool, uint32_t rows)
{
    uint64_t *values = malloc((rows + 1) * sizeof(*values)), *valid = malloc(sc_bitmap_words(rows) * 8 + 8);
    assert_non_null(values);
    assert_non_null(valid);
    memset(values, 0xa5, rows * sizeof(*values));
    memset(valid, 0xa5, sc_bitmap_words(rows) * 8);
    bool any = false;
    bool told = sc_field_integers(field, pool->list, pool->count, rows, values, valid);
    for (uint32_t row = 0; row < rows; row++) {
        struct sc_value want = sc_field_value(field, pool->list, pool->count, row);
        any = any || !want.null;
        if ((valid[row / 64] >> (row % 64) & 1) == want.null)
            fail_msg("%s row %u of %u: null is %d", field->name, row, rows, want.null);
        if (values[row] != (want.null ? 0 : want.u))
            fail_msg("%s row %u of %u: %llu, want %llu", field->name, row, rows,
                     (unsigned long long)values[row], (unsigned long long)want.u);
    }
    assert_int_equal(told, any);
    if (rows % 64 != 0)
        assert_true(valid[rows / 64] >> (rows % 64) == 0);
    free(values);
    free(valid);
}

static void compare(const struct sc_field *field, uint32_t rounds)
{
    static const uint32_t counts[] = {1, 63, 64, 65, 130, MOST_ROWS};
    uint64_t seed = field->name[0] * 1000u + (unsigned char)field->name[1];
    struct pool *pool = calloc(1, sizeof(*pool));
    assert_non_null(pool);
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t rows = counts[round % 6];
        add_sources(pool, field, rows, &seed);
        if (field->type != SC_VALUE_ADDRESS && field->type != SC_VALUE_FLOAT &&
            field->type != SC_VALUE_BYTES && field->type != SC_VALUE_STRING)
            compare_integers(field, pool, rows);
        pool_free(pool);
    }
    free(pool);
}

static void short_names(void **state)
{
    (void)state;
    struct sc_field field;
    const char *aliases;
    size_t n = 0;
    for (; sc_field_at(n, &field, &aliases); n++)
        compare(&field, 300);
    assert_true(n > 40);
}

static void every_element(void **state)
{
    (void)state;
    const struct sc_ie *e;
    for (size_t i = 0; (e = sc_ie_at(i)) != NULL; i++) {
        struct sc_field field;
        assert_int_equal(sc_field_find(NULL, e->name, strlen(e->name), &field, NULL), SC_OK);
        compare(&field, 12);
    }
}

static void widening(void **state)
{
    (void)state;
    uint64_t seed = 4, values[MOST_ROWS];
    struct pool *pool = calloc(1, sizeof(*pool));
    assert_non_null(pool);
    for (unsigned round = 0; round < 600; round++) {
        struct sc_column_key key = {0, 500, 0, round % 2 == 0 ? SC_COLUMN_UINT : SC_COLUMN_INT};
        uint32_t rows = 1 + (uint32_t)(kit_random(&seed) % MOST_ROWS);
        add_column(pool, key, rows, &seed);
        sc_column_widen(&pool->columns[0], rows, values);
        for (uint32_t row = 0; row < rows; row++)
            assert_true(values[row] == sc_column_u64(&pool->columns[0], row));
        pool_free(pool);
    }
    free(pool);
}

UNIT(test_vector)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_names),
        cmocka_unit_test(every_element),
        cmocka_unit_test(widening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
