// SPDX-License-Identifier: BSD-3-Clause
/*
 * Hashes of what exporters send: every bit of the input reaches every bit that chooses a slot, a tag, a partition or a rank, whatever
 * the seed; and keys that were chosen to meet in one place of a table whose seed is known (or of a fixed hash, as there was) are
 * spread by another. The tables are read from inside: what counts is the longest stretch of taken slots, that is the longest search.
 */
#include "base/hash.h"
#include "group/table.h"

#include "query_kit.h"

#define FLOOD 61440u
#define CELLS 4096u

static const uint64_t seeds[] = {1, 0, UINT64_C(0x8000000000000000), UINT64_C(0x123456789abcdef0)};

/* ---- quality ---- */

enum pattern { COUNTING, HIGH_COUNTING, STRIDES, BIT_PAIRS, PATTERNS };

static uint64_t input(enum pattern pattern, uint32_t i)
{
    switch (pattern) {
    case COUNTING:
        return i;
    case HIGH_COUNTING:
        return (uint64_t)i << 48 | (uint64_t)i >> 16;
    case STRIDES:
        return i * UINT64_C(0x100000000);
    default:
        return UINT64_C(1) << i % 64 ^ UINT64_C(1) << i / 64 % 64 ^ (uint64_t)(i / 4096) << 20;
    }
}

/* The inputs into CELLS cells by 12 bits of the hash: no more in one than chance would put there. */
static void check_spread(const uint64_t *hashes, uint32_t count, unsigned shift)
{
    static uint32_t cells[CELLS];
    double squares = 0, mean = (double)count / CELLS;
    memset(cells, 0, sizeof(cells));
    for (uint32_t i = 0; i < count; i++)
        cells[hashes[i] >> shift & (CELLS - 1)]++;
    for (uint32_t c = 0; c < CELLS; c++)
        squares += ((double)cells[c] - mean) * ((double)cells[c] - mean) / mean;
    /* chi square with 4,095 degrees of freedom: mean 4,095, standard deviation 90 */
    if (squares > 4095 + 8 * 90)
        fail_msg("chi square %.0f at bit %u", squares, shift);
}

static uint64_t hash_of(unsigned way, uint64_t v, uint64_t seed)
{
    switch (way) {
    case 0:
        return sc_hash_u64(v, seed);
    case 1:
        return sc_hash_pair(v, UINT64_C(0x20010db800010002), seed);
    case 2:
        return sc_hash_pair(UINT64_C(0x20010db800010002), v, seed);
    default:
        return sc_hash_end(sc_hash_more(sc_hash_begin(seed), v, seed));
    }
}

static int compare_hashes(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void test_all_bits_spread(void **state)
{
    static uint64_t hashes[FLOOD];
    (void)state;
    for (unsigned s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
        for (unsigned way = 0; way < 4; way++) {
            for (enum pattern p = COUNTING; p < BIT_PAIRS; p++) {
                uint32_t count = FLOOD;
                for (uint32_t i = 0; i < count; i++)
                    hashes[i] = hash_of(way, input(p, i), seeds[s]);
                for (unsigned shift = 0; shift <= 52; shift += 4)
                    check_spread(hashes, count, shift);
                qsort(hashes, count, sizeof(hashes[0]), compare_hashes);
                for (uint32_t i = 1; i < count; i++)
                    assert_true(hashes[i] != hashes[i - 1]);
            }
        }
    }
}

/* Each bit of the input turns each bit of the output about half the times. */
static void test_avalanche(void **state)
{
    enum { TRIALS = 2000 };
    uint64_t random = 7;
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            uint32_t turned[64] = {0};
            for (unsigned t = 0; t < TRIALS; t++) {
                uint64_t v = kit_random(&random), seed = kit_random(&random);
                uint64_t difference = hash_of(way, v, seed) ^ hash_of(way, v ^ UINT64_C(1) << bit, seed);
                for (unsigned o = 0; o < 64; o++)
                    turned[o] += difference >> o & 1;
            }
            for (unsigned o = 0; o < 64; o++)
                if (turned[o] < TRIALS * 42 / 100 || turned[o] > TRIALS * 58 / 100)
                    fail_msg("way %u: bit %u turns bit %u %u times of %u", way, bit, o, turned[o], TRIALS);
        }
    }
}

static void test_seeds_differ(void **state)
{
    struct sc_request *r = calloc(2, sizeof(*r));
    struct sc_error err;
    (void)state;
    assert_non_null(r);
    assert_true(sc_hash_draw_seed() != sc_hash_draw_seed());
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sc_request_aggregate(NULL, "srcip", NULL, NULL, &r[i], &err), SC_OK);
    assert_true(r[0].aggregate.seed != r[1].aggregate.seed);
    free(r);
}

/* ---- floods ---- */

/* The number that times `a` is 1. */
static uint64_t inverse(uint64_t a)
{
    uint64_t x = a;
    for (unsigned i = 0; i < 6; i++)
        x *= 2 - a * x;
    return x;
}

/* An address of one /64 for which the fixed hash that there was gives 0x12345678, for any i. */
static struct sc_addr crafted_address(uint32_t i)
{
    uint64_t high = UINT64_C(0x20010db800010002);
    uint64_t h = (high ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    uint64_t wanted = UINT64_C(0x12345678) << 32 | (uint32_t)(i * 2654435761u);
    struct sc_addr a;
    sc_store_be64(a.b, high);
    sc_store_be64(a.b + 8, wanted * inverse(UINT64_C(0xc4ceb9fe1a85ec53)) ^ h ^ h >> 32);
    return a;
}

/* A number that the fixed hash that there was of the keys of groups put into one partition and one slot. */
static uint64_t crafted_number(uint32_t i)
{
    uint64_t product = (UINT64_C(0x12000000) | i) << 32 | (i ^ UINT64_C(0x345678));
    return product * inverse(UINT64_C(0x9e3779b97f4a7c15)) ^ UINT64_C(0x2545f4914f6cdd1d);
}

struct stretch {
    uint32_t now, longest;
};

static void note_slot(struct stretch *s, bool taken)
{
    s->now = taken ? s->now + 1 : 0;
    s->longest = s->now > s->longest ? s->now : s->longest;
}

static uint32_t longest_in_groups(const struct sc_groups *groups)
{
    struct stretch s = {0};
    for (unsigned p = 0; p < SC_PARTITIONS; p++, s.now = 0) {
        for (uint32_t i = 0; i < groups->partitions[p].slot_count; i++)
            note_slot(&s, groups->partitions[p].slots[i] != 0);
    }
    return s.longest;
}

/* Of tables that are up to half full; of groups, up to three quarters. By chance 100 and 400 are never met. */
#define HALF_FULL 200u
#define MORE_FULL 1000u

static void test_addresses_of_a_row_group(void **state)
{
    struct sc_address_set set = {.seed = 5};
    struct stretch s = {0};
    (void)state;
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct sc_addr a = crafted_address(i);
        assert_int_equal(sc_address_set_add(&set, &a), i);
    }
    for (uint32_t i = 0; i < set.table.size; i++)
        note_slot(&s, set.table.slots[i] != 0);
    assert_in_range(s.longest, 2, HALF_FULL);
    sc_address_set_free(&set);
}

/* Whatever was in it before, and how much memory it kept. */
static void test_addresses_of_the_next_row_group(void **state)
{
    static const uint32_t counts[] = {0, 1, 900, 1024, 1025, FLOOD, 10, FLOOD, 5000, 0, 3};
    struct sc_address_set set = {.seed = 5};
    (void)state;
    for (uint32_t g = 0; g < sizeof(counts) / sizeof(counts[0]); g++) {
        sc_address_set_clear(&set);
        set.seed = 5;
        for (uint32_t i = 0; i < 2 * counts[g]; i++) {
            struct sc_addr a = crafted_address(g * 1000 + i % counts[g]);
            assert_int_equal(sc_address_set_add(&set, &a), i % counts[g]);
        }
        assert_int_equal(set.count, counts[g]);
        assert_int_equal(sc_address_set_sort(&set), SC_OK);
        assert_non_null(set.rank);
    }
    sc_address_set_free(&set);
}

static void test_batch_ids(void **state)
{
    struct sc_span_set set = {0};
    struct stretch s = {0};
    (void)state;
    for (uint32_t i = 0; i < FLOOD; i++) {
        uint64_t wanted = UINT64_C(0x12345678) << 32 | i;
        struct sc_span span = {.stream = wanted * inverse(UINT64_C(0xff51afd7ed558ccd))};
        bool fresh;
        assert_int_equal(sc_span_set_add(&set, &span, &fresh), SC_OK);
        assert_true(fresh && sc_span_set_has(&set, &span));
    }
    for (uint32_t i = 0; i < set.table.size; i++)
        note_slot(&s, set.table.slots[i] != 0);
    assert_in_range(s.longest, 2, HALF_FULL);
    sc_span_set_free(&set);
}

static struct sc_column_key address_key(void)
{
    return (struct sc_column_key){SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS};
}

static struct sc_column_key bytes_key(void)
{
    return (struct sc_column_key){SC_PEN_IANA, 1, 0, SC_COLUMN_UINT};
}

static struct sc_batch *make_flood(void)
{
    struct sc_batch *b = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column *address = sc_batch_begin(b, address_key(), NULL, 16, FLOOD);
    struct sc_column *bytes = sc_batch_begin(b, bytes_key(), NULL, 8, FLOOD);
    assert_true(address != NULL && bytes != NULL);
    b->window_ms = KIT_WINDOW;
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct sc_addr a = crafted_address(i);
        sc_column_put_addr(address, &a);
        sc_column_put_u64(bytes, crafted_number(i));
    }
    sc_batch_commit(b, FLOOD);
    assert_int_equal(sc_batch_finish(b), SC_OK);
    return b;
}

static char *make_flooded_store(void)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_batch *b = make_flood();
    assert_non_null(w);
    query_append(w, b);
    sc_batch_free(b);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    return store;
}

/* All groups of a query over the store. */
static struct sc_groups *group_by(const char *store, const char *keys, struct sc_request *r)
{
    struct sc_source source;
    struct sc_error err = {0};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_groups *groups;
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_request_aggregate(NULL, keys, NULL, "flows", r, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(
        sc_query_aggregate(&source, &options, &r->aggregate, 1, 0, &groups, &summary, &stats, &err), SC_OK);
    sc_source_close(&source);
    assert_int_equal(sc_groups_count(groups), FLOOD);
    return groups;
}

static void test_groups(void **state)
{
    static const char *const keys[] = {"srcip", "bytes", "srcip,bytes", "bytes,srcip"};
    struct sc_request *r = malloc(sizeof(*r));
    char *store = make_flooded_store();
    (void)state;
    assert_non_null(r);
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sc_groups *groups = group_by(store, keys[i], r);
        struct stretch s = {0};
        assert_in_range(longest_in_groups(groups), 2, MORE_FULL);
        for (uint32_t n = 0; n < groups->interner.table_size; n++)
            note_slot(&s, groups->interner.table[n] != 0);
        assert_in_range(s.longest, 0, HALF_FULL);
        sc_groups_free(groups);
    }
    free(r);
    kit_remove(store);
}

/* What is stored is the same, whatever was drawn. */
static void test_stored_bytes_know_no_seed(void **state)
{
    struct sc_batch *batch = make_flood();
    struct sc_buf bytes[2] = {{0}, {0}};
    (void)state;
    kit_span(batch, 1, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct sc_row_group_encoder encoder;
        struct sc_row_stats stats;
        assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
        encoder.columns.seed = seeds[i + 2];
        assert_int_equal(sc_row_group_encode(&encoder, batch, &bytes[i], &stats, NULL), SC_OK);
        sc_row_stats_free(&stats);
        sc_row_group_encoder_free(&encoder);
    }
    assert_int_equal(bytes[0].len, bytes[1].len);
    assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].len);
    sc_buf_free(&bytes[0]);
    sc_buf_free(&bytes[1]);
    sc_batch_free(batch);
}

UNIT(test_hash)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_bits_spread),
        cmocka_unit_test(test_avalanche),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_addresses_of_a_row_group),
        cmocka_unit_test(test_addresses_of_the_next_row_group),
        cmocka_unit_test(test_batch_ids),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_stored_bytes_know_no_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
