// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sums of many row groups are what 128 bits say, cut to 2^64-1, wherever in the scan they could pass 64 bits and wherever they do: by
 * any key, by one and by several threads, put together from partial results and with rows added to such.
 */
#include "base/saturate.h"

#include "query_kit.h"

#define BATCHES  24u
#define ROWS     5000u
#define GROUPS   3u
#define PARTIALS 3u
#define RANKS    12u

enum { RECEIVED, SOURCE, PROTO, BYTES, PACKETS, FLAGS, FIRST, LAST, COLUMNS };

__extension__ typedef unsigned __int128 wide;

struct reference {
    wide bytes[GROUPS], packets[GROUPS];
    uint32_t passed_at; /* the batch in which the first sum passed 64 bits; BATCHES: none */
};

/* How the counters of a batch lie: values of so many bits, in a few of which there are nulls. */
struct spread {
    uint64_t seed;
    uint32_t rows, variety; /* 0: any value */
    unsigned bits;
    bool nulls;
};

static const uint64_t protocols[GROUPS] = {1, 6, 17};

static uint32_t group_of(const struct spread *s, uint32_t row)
{
    return (uint32_t)(kit_mix(row, s->seed) % GROUPS);
}

static bool is_null(const struct spread *s, unsigned column, uint32_t row)
{
    return s->nulls && column == BYTES && row % 7 == 3;
}

static uint64_t cell(const struct spread *s, unsigned column, uint32_t row)
{
    uint64_t number = s->variety == 0 ? row : row % s->variety;
    switch (column) {
    case PROTO:
        return protocols[group_of(s, row)];
    case BYTES:
        return kit_mix(number, s->seed + BYTES) & kit_mask(s->bits);
    case PACKETS:
        return kit_mix(number, s->seed + PACKETS) & kit_mask(s->bits - 2);
    case FLAGS:
        return row % 64;
    default:
        return KIT_WINDOW + column;
    }
}

static struct sc_batch *make_batch(const struct spread *s)
{
    static const enum query_column columns[COLUMNS] = {Q_RECEIVED, Q_SOURCE, Q_PROTO,    Q_BYTES,
                                                       Q_PACKETS,  Q_FLAGS,  Q_FIRST_MS, Q_LAST_MS};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = KIT_WINDOW;
    for (unsigned i = 0; i < COLUMNS; i++) {
        struct sc_column *c = sc_batch_begin(batch, query_rules[columns[i]].key, NULL, 8, s->rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < s->rows; row++) {
            struct sc_addr address = sc_addr_v4(0x0a000000u + group_of(s, row));
            if (i == SOURCE)
                sc_column_put_addr(c, &address);
            else if (is_null(s, i, row))
                assert_int_equal(sc_column_put_null(c), SC_OK);
            else
                sc_column_put_u64(c, cell(s, i, row));
        }
    }
    sc_batch_commit(batch, s->rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

static void refer(struct reference *ref, const struct spread *s, uint32_t index)
{
    for (uint32_t row = 0; row < s->rows; row++) {
        uint32_t group = group_of(s, row);
        ref->bytes[group] += is_null(s, BYTES, row) ? 0 : cell(s, BYTES, row);
        ref->packets[group] += cell(s, PACKETS, row);
        if (ref->bytes[group] >> 64 != 0 && ref->passed_at == BATCHES)
            ref->passed_at = index;
    }
}

/* One of three batches has narrow counters, whatever the others have. */
static struct spread spread_of(uint64_t *seed, unsigned bits)
{
    static const uint32_t rows[] = {100, ROWS, ROWS}, varieties[] = {0, 0, 1, 40};
    uint64_t h = kit_random(seed);
    return (struct spread){.seed = h >> 16,
                           .rows = rows[h % 3],
                           .variety = varieties[h >> 4 & 3],
                           .bits = (h >> 8) % 3 == 0 ? 20 : bits,
                           .nulls = (h >> 12 & 3) == 0};
}

static char *make_store(struct reference *ref, unsigned bits)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    uint64_t seed = bits;
    assert_non_null(w);
    *ref = (struct reference){.passed_at = BATCHES};
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct spread spread = spread_of(&seed, bits);
        struct sc_batch *batch = make_batch(&spread);
        query_append(w, batch);
        sc_batch_free(batch);
        refer(ref, &spread, b);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    return store;
}

static uint64_t cut(wide sum, unsigned times)
{
    return sum * times >> 64 != 0 ? SC_SATURATED : (uint64_t)sum * times;
}

static uint32_t group_of_entry(const struct sc_request *r, const struct sc_groups *groups,
                               const uint8_t *entry)
{
    struct sc_value key = sc_groups_value(groups, entry, &r->columns[0].result);
    if (key.type == SC_VALUE_ADDRESS)
        return key.addr.b[15];
    uint32_t group = 0;
    while (group < GROUPS && protocols[group] != key.u)
        group++;
    return group;
}

/* All rows were added `times` times. */
static void check(const struct sc_request *r, const struct sc_groups *groups, const struct reference *ref,
                  unsigned times)
{
    struct sc_result all;
    struct sc_error err = {0};
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    assert_int_equal(all.count, GROUPS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        uint32_t group = group_of_entry(r, groups, all.entries[i]);
        assert_true(group < GROUPS);
        struct sc_value bytes = query_result_value(r, groups, all.entries[i], "bytes");
        assert_true(bytes.u == cut(ref->bytes[group], times));
        assert_true(bytes.saturated == (bytes.u == SC_SATURATED));
        assert_true(query_result_value(r, groups, all.entries[i], "packets").u ==
                    cut(ref->packets[group], times));
    }
    free(all.entries);
}

static enum sc_status add_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                               struct sc_selection *selection, struct sc_error *err)
{
    struct sc_groups **partials = arg;
    (void)thread;
    return sc_groups_add_rows(partials[unit % PARTIALS], group, selection, err);
}

/* Every row group to one of the partial results. */
static void add_all(struct sc_source *source, struct sc_groups **partials)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1};
    struct sc_scan_consumer consumer = {.unit = add_unit, .arg = partials};
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    assert_int_equal(source->unit_count, BATCHES);
    assert_int_equal(sc_scan_run(source, &options, &consumer, &stats, &err), SC_OK);
}

static struct sc_groups *make_groups(const struct sc_request *r)
{
    struct sc_groups *groups = sc_groups_create(&r->aggregate);
    assert_non_null(groups);
    return groups;
}

/* Rows that follow what was put together from others, of whose bound these groups saw nothing. */
static void check_more_rows(struct sc_source *source, const struct sc_request *r, const struct reference *ref,
                            struct sc_groups *groups, unsigned times)
{
    struct sc_groups *same[PARTIALS] = {groups, groups, groups};
    struct sc_error err = {0};
    check(r, groups, ref, times);
    add_all(source, same);
    assert_int_equal(sc_groups_join(same, 1, NULL, 1, &err), SC_OK);
    check(r, groups, ref, times + 1);
}

/* As threads and ranks put their results together: the partial results of one scan, and the whole of many. */
static void check_partials(struct sc_source *source, const struct sc_request *r, const struct reference *ref)
{
    struct sc_groups *partials[PARTIALS], *ranks[1 + RANKS], *to = make_groups(r);
    struct sc_buf bytes = {0};
    struct sc_error err = {0};
    for (unsigned i = 0; i < PARTIALS; i++)
        partials[i] = make_groups(r);
    add_all(source, partials);
    assert_int_equal(sc_groups_join(partials, PARTIALS, NULL, 2, &err), SC_OK);
    assert_int_equal(sc_groups_write(partials[0], &bytes), SC_OK);
    check_more_rows(source, r, ref, partials[0], 1);
    for (unsigned i = 0; i <= RANKS; i++) {
        ranks[i] = make_groups(r);
        if (i == 0)
            continue;
        assert_int_equal(sc_groups_read(to, bytes.data, bytes.len, &err), SC_OK);
        assert_int_equal(sc_groups_read(ranks[i], bytes.data, bytes.len, &err), SC_OK);
    }
    check_more_rows(source, r, ref, to, RANKS);
    assert_int_equal(sc_groups_join(ranks, 1 + RANKS, NULL, 2, &err), SC_OK);
    check_more_rows(source, r, ref, ranks[0], RANKS);
    sc_buf_free(&bytes);
    sc_groups_free(to);
    for (unsigned i = 0; i < PARTIALS; i++)
        sc_groups_free(partials[i]);
    for (unsigned i = 0; i <= RANKS; i++)
        sc_groups_free(ranks[i]);
}

static void check_threads(struct sc_source *source, struct sc_request *r, const struct reference *ref)
{
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
        struct sc_scan_stats stats = {0};
        struct sc_error err = {0};
        struct sc_summary summary;
        struct sc_groups *groups;
        assert_int_equal(
            sc_query_aggregate(source, &options, &r->aggregate, 1, 0, &groups, &summary, &stats, &err),
            SC_OK);
        check(r, groups, ref, 1);
        wide all = 0;
        for (uint32_t g = 0; g < GROUPS; g++)
            all += ref->bytes[g];
        assert_true(summary.bytes == cut(all, 1));
        sc_groups_free(groups);
    }
}

/* `bits` of the greatest counters; the first sum passes 64 bits in a batch from `from` to `to`. */
static void run(unsigned bits, uint32_t from, uint32_t to)
{
    static const char *const keys[] = {"proto", "srcip", "proto,srcip"},
                             *const columns[] = {"flows,packets,bytes,first,last,flags", "bytes,packets"};
    struct sc_request *r = calloc(1, sizeof(*r));
    struct reference ref;
    struct sc_source source;
    struct sc_error err = {0};
    char *store = make_store(&ref, bits);
    assert_non_null(r);
    assert_in_range(ref.passed_at, from, to);
    query_open(&source, store);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(sc_request_aggregate(NULL, keys[i % 3], "bytes#desc", columns[i / 3], r, &err),
                         SC_OK);
        check_threads(&source, r, &ref);
        check_partials(&source, r, &ref);
    }
    sc_source_close(&source);
    kit_remove(store);
    free(r);
}

static void of_usual_counters(void **state)
{
    (void)state;
    run(32, BATCHES, BATCHES);
    run(40, BATCHES, BATCHES);
}

/* The sums of one scan could not have passed, or could; those of many do. */
static void that_could_have_passed(void **state)
{
    (void)state;
    run(47, BATCHES, BATCHES);
    run(48, BATCHES, BATCHES);
    run(51, BATCHES, BATCHES);
}

static void that_pass_in_the_middle(void **state)
{
    (void)state;
    for (unsigned bits = 53; bits < 56; bits++)
        run(bits, 1, BATCHES - 2);
}

static void that_pass_at_once(void **state)
{
    (void)state;
    run(64, 0, 0);
}

UNIT(test_saturate_scan)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_usual_counters),
        cmocka_unit_test(that_could_have_passed),
        cmocka_unit_test(that_pass_in_the_middle),
        cmocka_unit_test(that_pass_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
