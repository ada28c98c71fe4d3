// SPDX-License-Identifier: BSD-3-Clause
/* Selecting rows: whatever statistics, Bloom filters, dictionaries and vector loops make of a filter and a
 * time range, it is what the scalar reference says of each row. */
#include "query_kit.h"

/* The records that a selector finds in a whole source, counted by number. */
static void select_all(struct sc_source *source, const struct sc_filter *filter,
                       const struct sc_time_bounds *time, bool bloom, uint8_t *found, uint64_t records)
{
    struct sc_selector selector;
    struct sc_read_context context;
    struct sc_error err = {0};
    assert_int_equal(sc_selector_init(&selector, filter, time, bloom, &err), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    memset(found, 0, records);
    for (uint32_t u = 0; u < source->unit_count; u++) {
        const struct sc_source_unit *unit = &source->units[u];
        const struct sc_segment *segment = source->segments[unit->segment];
        struct sc_row_group *group;
        struct sc_selection selection;
        const struct sc_column *id;
        if (!sc_selector_group_possible(&selector, &segment->groups[unit->group]))
            continue;
        sc_read_context_reset(&context);
        assert_int_equal(sc_row_group_open(&context, segment, unit->group, &group, &err), SC_OK);
        if (sc_selector_run(&selector, group, unit, &selection, &err) != SC_OK)
            fail_msg("%s", err.message);
        assert_int_equal(selection.all, selection.count == group->rows);
        assert_int_equal(sc_row_group_column(group, query_rules[Q_ID].key, &id, &err), SC_OK);
        uint32_t count = 0;
        for (uint32_t row = 0; row < (uint32_t)sc_bitmap_words(group->rows) * 64; row++) {
            if ((selection.rows[row / 64] >> (row % 64) & 1) == 0)
                continue;
            assert_true(row < group->rows);
            uint64_t number = sc_column_u64(id, row);
            assert_true(number < records);
            found[number]++;
            count++;
        }
        assert_int_equal(count, selection.count);
    }
    sc_selector_free(&selector);
    sc_read_context_free(&context);
}

static bool first_present(const struct query_table *t, const char *const *names, uint64_t id, uint64_t *out)
{
    for (; *names != NULL; names++) {
        struct sc_field field = query_field(*names);
        struct sc_value v = query_field_value(t, &field, id);
        *out = v.u;
        if (!v.null)
            return true;
    }
    return false;
}

/* A record without the time counts at its observation time, and without that when it was received. */
static bool in_time(const struct query_table *t, const struct sc_time_bounds *time, uint64_t id)
{
    static const char *const selection[] = {"first", "observationTimeMilliseconds", "received", NULL};
    static const char *const last[] = {"last", "first", "observationTimeMilliseconds", "received", NULL};
    static const char *const received[] = {"received", NULL};
    uint64_t from, to;
    if (time->begin_ms == 0 && time->end_ms == UINT64_MAX)
        return true;
    const char *const *names = time->field == SC_TIME_LAST       ? last
                               : time->field == SC_TIME_RECEIVED ? received
                                                                 : selection;
    if (!first_present(t, names, id, &from))
        return false;
    to = from;
    if (time->field == SC_TIME_OVERLAP)
        first_present(t, last, id, &to);
    return from < time->end_ms && to >= time->begin_ms;
}

static void check(struct query_table *t, struct sc_source *source, const char *text,
                  const struct sc_time_bounds *time, bool bloom)
{
    struct sc_filter *filter = text == NULL ? NULL : query_parse(text);
    uint8_t *found = malloc(t->records);
    assert_non_null(found);
    select_all(source, filter, time, bloom, found, t->records);
    for (uint64_t id = 0; id < t->records; id++) {
        unsigned want = query_matches(t, filter, id) && in_time(t, time, id);
        if (found[id] != want)
            fail_msg("%s: record %llu is found %u times, want %u (bloom %d, time field %d)",
                     text == NULL ? "any" : text, (unsigned long long)id, found[id], want, bloom,
                     (int)time->field);
    }
    free(found);
    sc_filter_free(filter);
}

/* ---- random filters ---- */

static void random_filters(uint64_t seed, uint32_t batches, uint32_t most, unsigned filters)
{
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, seed, batches, most);
    query_open(&source, t.store);
    assert_int_equal(source.missing_count, 0);
    for (unsigned i = 0; i < filters; i++) {
        query_set_vectors(i / 4);
        char *text = query_random_filter(&t, i % 4);
        check(&t, &source, text, &Q_ALWAYS, i % 2 == 0);
        if (i % 3 == 0)
            check(&t, &source, text, &Q_ALWAYS, i % 2 != 0);
        free(text);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

static void filters_over_small_groups(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        random_filters(seed, 24, 200, 150);
}

static void filters_over_large_groups(void **state)
{
    (void)state;
    random_filters(101, 12, 6000, 60);
}

/* Each field alone with each operator: fixed texts, so that none depends on luck. */
static void every_plain_comparison(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "any",
        "not any",
        "proto 6",
        "proto in [0-255]",
        "proto > 255",
        "proto < 0",
        "dstport >= 0",
        "dstport > 65535",
        "dstport in [0-100 200-65535]",
        "not dstport in [80 443]",
        "bytes < 1",
        "bytes <= 18446744073709551615",
        "bytes > 1099511627776",
        "flags S",
        "flags SA",
        "flags = 0",
        "srcip = 0.0.0.0/0",
        "srcip = ::/0",
        "srcip = ::",
        "srcip > 255.255.255.255",
        "srcip < 0.0.0.0",
        "srcip in [10.0.0.0/24 10.0.2.0/23 2001:db8::/64]",
        "not ip 10/8",
        "src and dst ip 10.0.0.0/8",
        "exists nexthop",
        "not exists nexthop",
        "ipv4",
        "ipv6",
        "not ipv4 and not ipv6",
        "tcp or udp",
        "srcip 10.0.0.1 or srcip 10.0.0.2 and proto 6",
        "appname = \"\"",
        "appname contains \"ETH\"",
        "interfaceName contains \"\"",
        "absoluteError < 0",
        "mibObjectValueInteger < 0",
        "mibObjectValueInteger >= -5",
        "duration = 0",
        "not exists duration",
        "bps > 0",
        "not bps > 0",
        "eventtime > 2027-01-15",
        "not eventtime > 2027-01-15",
        "exists flowStartMicroseconds",
        "flows = 1",
        "flows > 1",
        "srcmac = 00:00:00:00:00:00",
        "ttl 1",
        "not ttl 1",
    };
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 7, 60, 90);
    query_open(&source, t.store);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        check(&t, &source, texts[i], &Q_ALWAYS, true);
        check(&t, &source, texts[i], &Q_ALWAYS, false);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- time ---- */

static void time_bounds(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed < 34; seed++) {
        struct query_table t;
        struct sc_source source;
        query_table_make(&t, seed, 40, 60);
        query_open(&source, t.store);
        for (unsigned i = 0; i < 120; i++) {
            uint64_t begin = KIT_WINDOW - 120000 + kit_random(&t.seed) % 400000;
            uint64_t length = i % 7 == 0 ? 1 : kit_random(&t.seed) % 100000 + 1;
            struct sc_time_bounds time = {.begin_ms = i % 11 == 0 ? 0 : begin,
                                          .end_ms = i % 13 == 0 ? UINT64_MAX : begin + length,
                                          .field = (enum sc_time_field)(i % 4)};
            check(&t, &source, i % 3 == 0 ? "proto in [0-128]" : NULL, &time, true);
        }
        sc_source_close(&source);
        query_table_free(&t);
    }
}

/* Rows that have neither first nor last, in row groups of their own: statistics must not prune them away. */
static void times_without_times(void **state)
{
    (void)state;
    struct query_table t = {.seed = 5, .store = kit_folder()};
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(t.store, NULL, &err);
    struct sc_source source;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        static const enum query_column columns[] = {Q_FIRST_MS, Q_LAST_MS, Q_OBSERVED};
        batch->window_ms = KIT_WINDOW;
        for (unsigned i = 0; i < 5; i++) {
            enum query_column q = i == 0 ? Q_ID : i == 1 ? Q_RECEIVED : columns[i - 2];
            if (i == kind + 1 || (kind == 3 && i >= 2)) /* without first; last; observed; without all three */
                continue;
            if (kind == 0 && i == 2)
                continue;
            struct sc_column *c = sc_batch_begin(batch, query_rules[q].key, NULL, 8, 100);
            for (uint32_t row = 0; row < 100; row++)
                sc_column_put_u64(c, q == Q_ID ? t.records + row : KIT_WINDOW + 1000 * i + row);
        }
        /* The number is needed to tell the records apart, the receive time as every record has one. */
        sc_batch_commit(batch, 100);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        query_keep(&t, batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, t.store);
    for (unsigned i = 0; i < 400; i++) {
        struct sc_time_bounds time = {.begin_ms = KIT_WINDOW + 50 * (i / 4),
                                      .end_ms = KIT_WINDOW + 50 * (i / 4) + 500,
                                      .field = (enum sc_time_field)(i % 4)};
        check(&t, &source, NULL, &time, true);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- ranges ---- */

static void ranges_of_units(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 55, 8, 1500);
    query_open(&source, t.store);
    for (unsigned i = 0; i < 40; i++) {
        struct sc_row_range ranges[3];
        struct sc_source_unit unit = source.units[i % source.unit_count];
        struct sc_read_context context;
        struct sc_row_group *group;
        struct sc_selector selector;
        struct sc_selection selection;
        struct sc_error err = {0};
        uint32_t rows = source.segments[unit.segment]->groups[unit.group].rows, at = 0;
        unit.ranges = ranges;
        unit.range_count = 0;
        for (unsigned r = 0; r < 3 && at < rows; r++) {
            uint32_t first = at + (uint32_t)(kit_random(&t.seed) % (rows - at));
            uint32_t count = 1 + (uint32_t)(kit_random(&t.seed) % (rows - first));
            ranges[unit.range_count++] = (struct sc_row_range){first, count};
            at = first + count;
        }
        assert_int_equal(sc_read_context_init(&context), SC_OK);
        assert_int_equal(sc_selector_init(&selector, NULL, &Q_ALWAYS, true, &err), SC_OK);
        assert_int_equal(sc_row_group_open(&context, source.segments[unit.segment], unit.group, &group, &err),
                         SC_OK);
        assert_int_equal(sc_selector_run(&selector, group, &unit, &selection, &err), SC_OK);
        for (uint32_t row = 0; row < rows; row++) {
            bool inside = false;
            for (uint32_t r = 0; r < unit.range_count; r++)
                inside = inside || (row >= ranges[r].first && row - ranges[r].first < ranges[r].rows);
            assert_int_equal(selection.rows[row / 64] >> (row % 64) & 1, inside);
        }
        sc_selector_free(&selector);
        sc_read_context_free(&context);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- what is read ---- */

static uint64_t bytes_for(struct sc_source *source, const char *text, bool bloom)
{
    struct sc_filter *filter = query_parse(text);
    struct sc_selector selector;
    struct sc_read_context context;
    struct sc_row_group *group;
    struct sc_selection selection;
    struct sc_error err = {0};
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_selector_init(&selector, filter, &Q_ALWAYS, bloom, &err), SC_OK);
    assert_int_equal(sc_row_group_open(&context, source->segments[0], 0, &group, &err), SC_OK);
    uint64_t before = context.bytes_read;
    assert_int_equal(sc_selector_run(&selector, group, &source->units[0], &selection, &err), SC_OK);
    uint64_t read = context.bytes_read - before;
    sc_selector_free(&selector);
    sc_read_context_free(&context);
    sc_filter_free(filter);
    return read;
}

static void statistics_save_reading(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_batch *batch = kit_batch(0, 5000, KIT_WINDOW);
    query_append(w, batch);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(bytes_for(&source, "packets > 0", true), 0);
    assert_int_equal(bytes_for(&source, "packets > 1000", true), 0);
    assert_int_equal(bytes_for(&source, "dstport 53", true), 0); /* no such column */
    assert_int_equal(bytes_for(&source, "srcport 53 and packets > 1000", true) > 0, true);
    assert_int_equal(bytes_for(&source, "packets > 1000 and srcport 53", true), 0);
    assert_int_equal(bytes_for(&source, "packets > 0 or srcport 53", true), 0);
    uint64_t with = bytes_for(&source, "srcip 192.0.2.1", true);
    uint64_t without = bytes_for(&source, "srcip 192.0.2.1", false);
    assert_true(with > 0);
    assert_int_equal(with, without); /* a live file has no filters */
    sc_source_close(&source);
    sc_batch_free(batch);
    kit_remove(store);
}

/* Flows between so many hosts that the filter has many pages. */
static struct sc_batch *many_hosts(void)
{
    enum { ROWS = 8192 };
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = KIT_WINDOW;
    for (unsigned i = KIT_SOURCE; i <= KIT_DESTINATION; i++) {
        struct sc_column *c = sc_batch_begin(batch, kit_keys[i], NULL, 8, ROWS);
        assert_non_null(c);
        for (uint64_t row = 0; row < ROWS; row++) {
            struct sc_addr a = sc_addr_v4(0x0a000000u | ((uint32_t)kit_mix(row, i) & 0xffffffu));
            sc_column_put_addr(c, &a);
        }
    }
    sc_batch_commit(batch, ROWS);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

static void absent_hosts_cost_a_page(void **state)
{
    (void)state;
    enum { PAGE = 4096 };
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_batch *batch = many_hosts();
    query_append(w, batch);
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_true(bytes_for(&source, "srcip 198.18.255.254", false) > PAGE);
    assert_int_equal(bytes_for(&source, "srcip 198.18.255.254", true), PAGE);
    assert_int_equal(bytes_for(&source, "host 198.18.255.254", true), PAGE); /* asked of both columns */
    assert_int_equal(bytes_for(&source, "net 198.18.0.0/16", true), PAGE);
    assert_in_range(bytes_for(&source, "host in [198.18.255.254 198.18.7.7]", true), PAGE, 2 * PAGE);
    sc_source_close(&source);
    sc_batch_free(batch);
    kit_remove(store);
}

UNIT(test_select)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plain_comparison),    cmocka_unit_test(filters_over_small_groups),
        cmocka_unit_test(filters_over_large_groups), cmocka_unit_test(time_bounds),
        cmocka_unit_test(times_without_times),       cmocka_unit_test(ranges_of_units),
        cmocka_unit_test(statistics_save_reading),   cmocka_unit_test(absent_hosts_cost_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
