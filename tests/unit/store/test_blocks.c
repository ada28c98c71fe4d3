// SPDX-License-Identifier: BSD-3-Clause
/* Blocks: whatever the values, all of them and any of them come back, by each variant of the code; whatever the bytes, nothing breaks. */
#include "store_kit.h"

#include "store/blocks.h"

enum { MOST = 5 * SC_BLOCK_VALUES + 77, RUNS = 400 };

struct desk {
    enum sc_vectors vectors;
    uint64_t seed;
    uint64_t values[MOST];
    uint64_t asked[(MOST + 63) / 64];
    uint32_t count;
    bool steps;
    struct sc_buf payload;
    void *out; /* as large as the values are: a byte more is noticed */
};

static uint64_t below(struct desk *d, uint64_t n)
{
    return kit_random(&d->seed) % n;
}

/* Of so many bits, with some that are longer, and ascending where steps are wanted. */
static void draw_values(struct desk *d)
{
    unsigned bits = (unsigned)below(d, 65), more = (unsigned)below(d, 65);
    uint64_t base = kit_random(&d->seed), odd = 1 + below(d, 200);
    d->steps = below(d, 3) == 0;
    for (uint32_t i = 0; i < d->count; i++) {
        uint64_t r = kit_random(&d->seed) & kit_mask(below(d, odd) == 0 ? more : bits);
        d->values[i] = d->steps && i > 0 ? d->values[i - 1] + r : base + r;
    }
}

static void draw_rows(struct desk *d)
{
    uint64_t part = 1 + below(d, 300);
    memset(d->asked, 0, sizeof(d->asked));
    for (uint32_t i = 0; i < d->count; i++) {
        if (below(d, part) == 0)
            d->asked[i / 64] |= UINT64_C(1) << i % 64;
    }
}

static uint64_t value_at(const void *out, unsigned width, uint32_t i)
{
    uint64_t v = 0;
    memcpy(&v, (const uint8_t *)out + (size_t)i * width, width);
    return v;
}

static void check_all(struct desk *d, unsigned width)
{
    assert_int_equal(
        sc_blocks_get(d->vectors, d->payload.data, d->payload.len, d->count, d->steps, width, d->out), SC_OK);
    for (uint32_t i = 0; i < d->count; i++)
        assert_true(value_at(d->out, width, i) == (d->values[i] & kit_mask(8 * width)));
}

/* Rows that are not asked for have their value, or what was there before. */
static void check_rows(struct desk *d, unsigned width)
{
    memset(d->out, 0xa5, (size_t)d->count * width);
    assert_int_equal(sc_blocks_get_rows(d->vectors, d->payload.data, d->payload.len, d->count, d->steps,
                                        width, d->asked, d->out),
                     SC_OK);
    for (uint32_t i = 0; i < d->count; i++) {
        uint64_t found = value_at(d->out, width, i);
        bool asked = (d->asked[i / 64] >> i % 64 & 1) != 0;
        if (found != (d->values[i] & kit_mask(8 * width)))
            assert_true(!asked && found == (UINT64_C(0xa5a5a5a5a5a5a5a5) & kit_mask(8 * width)));
    }
}

/* A value of the block or any other, or one next to it. */
static uint64_t draw_bound(struct desk *d)
{
    uint64_t any = below(d, 4) == 0 ? kit_random(&d->seed) : d->values[below(d, d->count)];
    return any + below(d, 3) - 1;
}

/* Places of values in a range are added to a set; where nothing is asked for of a block, nothing need be. */
static void check_match(struct desk *d, bool some)
{
    uint64_t found[(MOST + 63) / 64], before[(MOST + 63) / 64];
    uint64_t low = draw_bound(d), high = draw_bound(d);
    for (unsigned w = 0; w < (MOST + 63) / 64; w++)
        found[w] = before[w] = below(d, 3) == 0 ? kit_random(&d->seed) : 0;
    if (low > high) {
        uint64_t lower = high;
        high = low;
        low = lower;
    }
    assert_int_equal(sc_blocks_match(d->vectors, d->payload.data, d->payload.len, d->count, low, high,
                                     some ? d->asked : NULL, found),
                     SC_OK);
    for (uint32_t i = 0; i < MOST; i++) {
        bool in = i < d->count && d->values[i] >= low && d->values[i] <= high;
        bool was = (before[i / 64] >> i % 64 & 1) != 0, is = (found[i / 64] >> i % 64 & 1) != 0;
        bool asked = !some || (d->asked[i / 64] >> i % 64 & 1) != 0;
        assert_true(asked ? is == (was || in) : is == was || in);
    }
}

static void put(struct desk *d)
{
    sc_buf_clear(&d->payload);
    assert_int_equal(sc_blocks_put(d->values, d->count, d->steps, &d->payload), SC_OK);
    assert_int_equal(d->payload.len, sc_blocks_size(d->values, d->count, d->steps));
    if (d->count != 0 &&
        (!d->steps || sc_blocks_ascend(d->values, d->count))) /* of few blocks all are looked at */
        assert_true(sc_blocks_estimate(d->values, d->count) <= d->payload.len);
    assert_true(sc_buf_ok(&d->payload));
}

/* The payload in memory of its own size. */
static void fit(struct desk *d)
{
    uint8_t *fitted = malloc(d->payload.len + (d->payload.len == 0));
    assert_non_null(fitted);
    memcpy(fitted, d->payload.data, d->payload.len);
    free(d->payload.data);
    d->payload.data = fitted;
    d->payload.cap = d->payload.len;
}

static struct desk *make_desk(uint64_t seed, uint32_t run)
{
    static const uint32_t counts[] = {1, 2, 15, 16, 17, 31, 32, 33, 1023, 1024, 1025, 2048, MOST};
    struct desk *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    d->seed = seed;
    d->vectors = sc_machine_vectors();
    d->count =
        run % 2 == 0 ? counts[run / 2 % (sizeof(counts) / sizeof(counts[0]))] : 1 + (uint32_t)below(d, MOST);
    draw_values(d);
    draw_rows(d);
    put(d);
    fit(d);
    d->out = malloc((size_t)d->count * 8);
    assert_non_null(d->out);
    return d;
}

static void free_desk(struct desk *d)
{
    sc_buf_free(&d->payload);
    free(d->out);
    free(d);
}

static void any_values(void **state)
{
    (void)state;
    for (unsigned vectors = 0; vectors < SC_VECTORS_COUNT; vectors++) {
        if (!sc_machine_has((enum sc_vectors)vectors))
            continue;
        for (uint32_t run = 0; run < RUNS; run++) {
            struct desk *d = make_desk(run, run);
            d->vectors = (enum sc_vectors)vectors;
            for (unsigned width = 1; width <= 8; width *= 2) {
                free(d->out);
                d->out = malloc((size_t)d->count * width);
                assert_non_null(d->out);
                check_all(d, width);
                check_rows(d, width);
                if (!d->steps)
                    check_match(d, width < 4);
            }
            free_desk(d);
        }
    }
}

/* Nothing is known of bytes that were changed but that they are refused, or give some values. */
static void any_bytes(void **state)
{
    (void)state;
    for (uint32_t run = 0; run < 10 * RUNS; run++) {
        struct desk *d = make_desk(run, run);
        size_t heads = (size_t)(d->count + SC_BLOCK_VALUES - 1) / SC_BLOCK_VALUES * 16;
        size_t at = run % 3 == 0 ? below(d, d->payload.len) : below(d, heads);
        d->payload.data[at] = (uint8_t)kit_random(&d->seed);
        if (run % 5 == 0)
            d->payload.len = below(d, d->payload.len + 1);
        fit(d);
        (void)sc_blocks_get(d->vectors, d->payload.data, d->payload.len, d->count, d->steps, 8, d->out);
        (void)sc_blocks_get_rows(d->vectors, d->payload.data, d->payload.len, d->count, d->steps, 8, d->asked,
                                 d->out);
        uint64_t found[(MOST + 63) / 64] = {0};
        (void)sc_blocks_match(d->vectors, d->payload.data, d->payload.len, d->count, d->values[0],
                              UINT64_MAX / 2, run % 2 == 0 ? d->asked : NULL, found);
        free_desk(d);
    }
}

/* A payload of another length than its blocks have is no payload. */
static void every_length(void **state)
{
    (void)state;
    struct desk *d = make_desk(1, 8);
    for (size_t length = 0; length < d->payload.len; length++) {
        assert_int_equal(sc_blocks_get(d->vectors, d->payload.data, length, d->count, d->steps, 8, d->out),
                         SC_DAMAGED);
        assert_int_equal(
            sc_blocks_get_rows(d->vectors, d->payload.data, length, d->count, d->steps, 8, d->asked, d->out),
            SC_DAMAGED);
        uint64_t found[(MOST + 63) / 64] = {0};
        assert_int_equal(
            sc_blocks_match(d->vectors, d->payload.data, length, d->count, 0, UINT64_MAX, NULL, found),
            SC_DAMAGED);
    }
    sc_buf_append_u8(&d->payload, 0);
    assert_int_equal(
        sc_blocks_get(d->vectors, d->payload.data, d->payload.len, d->count, d->steps, 8, d->out),
        SC_DAMAGED);
    free_desk(d);
}

/* What the widths cost: a few long numbers do not make all of a block wide. */
static void exceptions_are_cheap(void **state)
{
    (void)state;
    struct desk *d = make_desk(1, 0);
    for (uint32_t i = 0; i < SC_BLOCK_VALUES; i++)
        d->values[i] = i % 100 == 7 ? UINT64_C(1) << 40 : i % 8;
    assert_int_equal(sc_blocks_size(d->values, SC_BLOCK_VALUES, false), 16 + 3 * 128 + 11 * (2 + 8));
    for (uint32_t i = 0; i < SC_BLOCK_VALUES; i++)
        d->values[i] = 1000 * (uint64_t)i;
    assert_int_equal(sc_blocks_size(d->values, SC_BLOCK_VALUES, true), 16 + 10 * 128);
    free_desk(d);
}

UNIT(test_blocks)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_values),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(every_length),
        cmocka_unit_test(exceptions_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
