// SPDX-License-Identifier: BSD-3-Clause
/*
 * The seeds of fuzz_groups are what we read today: bytes of another form would be refused at once, and nothing behind that tried.
 *
 *     unit_query test_fuzz_seeds                         reads them
 *     SC_WRITE_SEEDS=FOLDER unit_query test_fuzz_seeds   makes such files by today's form
 */
#include "../../fuzz/fuzz_groups.h"
#include "group_kit.h"
#include "query/request.h"
#include "query_kit.h"

static struct sc_request *make_request(unsigned shape)
{
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_error err = {0};
    assert_non_null(r);
    const struct fuzz_shape *s = &fuzz_shapes[shape];
    if (sc_request_aggregate(NULL, s->keys, s->orders, s->fields, r, &err) != SC_OK)
        fail_msg("%s", err.message);
    r->aggregate.seed = 5;
    return r;
}

/* Narrow, middle and wide keys, nulls, strings. */
static void fill(struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    for (uint64_t n = 0; n < 12; n++) {
        struct sc_value values[SC_MAX_KEYS] = {{0}};
        uint8_t row[KIT_ROW_BYTES] = {0};
        char text[16];
        for (uint32_t k = 0; k < a->key_count; k++) {
            struct sc_value *v = &values[k];
            v->u = n % 5 == 4 && a->keys[k].cell == SC_CELL_ALL ? n << 40 : n;
            v->addr = n % 3 == 2 ? (struct sc_addr){{0x20, 1, [15] = (uint8_t)n}} : sc_addr_v4((uint32_t)n);
            v->length = (uint32_t)snprintf(text, sizeof(text), "app %u", (unsigned)n % 4);
            v->bytes = (const uint8_t *)text;
            v->null = n % 7 == 6;
        }
        assert_true(kit_put_key(groups, values, row));
        for (uint32_t i = 0; i < a->accumulator_count; i++)
            sc_store_le64(row + (size_t)8 * i, 1 + n + i);
        sc_entry_set_seen(a, row, (UINT64_C(1) << a->accumulator_count) - 1);
        uint8_t *entry = sc_groups_find_entry(groups, row);
        assert_non_null(entry);
        sc_groups_combine(a, entry, row);
    }
}

static void write_seed(const char *folder, unsigned shape, unsigned part)
{
    char path[1024];
    struct sc_buf bytes = {0};
    struct sc_request *r = make_request(shape);
    struct sc_groups *groups = sc_groups_create(&r->aggregate), *target = fuzz_target(groups, part);
    if (target != NULL) {
        fill(target);
        sc_buf_append_u8(&bytes, (uint8_t)(part * FUZZ_SHAPES + shape));
        assert_int_equal(sc_groups_write(target, &bytes), SC_OK);
        snprintf(path, sizeof(path), "%s/shape-%u-%u", folder, shape, part);
        kit_write_file(path, bytes.data, bytes.len);
    }
    sc_buf_free(&bytes);
    sc_groups_free(groups);
    free(r);
}

/* @return whether there is one. */
static bool read_seed(const char *folder, unsigned shape, unsigned part)
{
    char path[1024];
    size_t length;
    struct sc_error err = {0};
    struct sc_request *r = make_request(shape);
    struct sc_groups *groups = sc_groups_create(&r->aggregate), *target = fuzz_target(groups, part);
    bool there = target != NULL;
    if (there) {
        snprintf(path, sizeof(path), "%s/shape-%u-%u", folder, shape, part);
        uint8_t *bytes = kit_read_file(path, &length);
        assert_int_equal(bytes[0], part * FUZZ_SHAPES + shape);
        if (sc_groups_read(target, bytes + 1, length - 1, &err) != SC_OK)
            fail_msg("%s: %s; make it anew", path, err.message);
        assert_true(sc_groups_count(target) > 8);
        free(bytes);
    }
    sc_groups_free(groups);
    free(r);
    return there;
}

static void seeds_are_of_today(void **state)
{
    (void)state;
    const char *folder = getenv("SC_WRITE_SEEDS");
    unsigned seeds = 0;
    for (unsigned shape = 0; shape < FUZZ_SHAPES; shape++) {
        for (unsigned part = 0; part < FUZZ_PARTS; part++) {
            if (folder != NULL)
                write_seed(folder, shape, part);
            seeds += read_seed(folder != NULL ? folder : SC_SOURCE_DIR "/tests/fuzz/seeds/fuzz_groups", shape,
                               part);
        }
    }
    assert_int_equal(seeds, FUZZ_SHAPES + 3 + 2);
}

UNIT(test_fuzz_seeds)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds_are_of_today)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
