// SPDX-License-Identifier: BSD-3-Clause
/* Aggregation: random keys and output fields over random stores are what a naive grouping of the same records
 * gives; partial results merge to the same in any split and order, in memory and through bytes. */
#include "aggregate_kit.h"

/* ---- random requests ---- */

static const char *const value_words[] = {
    "flows",
    "bytes",
    "packets",
    "flags",
    "duration",
    "bps",
    "pps",
    "bpp",
    "first",
    "last",
    "outbytes",
    "min(bytes)",
    "max(packets)",
    "avg(bytes)",
    "sum(tos)",
    "gap",
    "min(duration)",
    "max(first)",
    "avg(flows)",
    "sum(bytes)",
    "max(dstport)",
    "distinct(dstip)",
    "distinct(srcip/24/64)",
    "distinct(srcport)",
    "distinct(appname)",
    "distinct(first/10s)",
    "distinct(bytes/100000)",
    "distinct(srcmac)",
    "distinct(64999:77)",
    "p50(bytes)",
    "p95(bytes)",
    "p99.9(packets)",
    "p1(duration)",
    "p99(tos)",
    "p50(dstport)",
    "p75(inif)",
};

static uint32_t most_keys = 4, tried_values = 6;

static bool random_request(struct query_table *t, struct reference *ref, struct sc_request *r)
{
    char keys[512] = "", fields[512] = "", orders[64] = "";
    bool pair = false;
    size_t words = sizeof(key_words) / sizeof(key_words[0]);
    ref->key_count = (uint32_t)(kit_random(&t->seed) % most_keys);
    ref->value_count = 0;
    ref->key_count += ref->key_count == 0 && kit_random(&t->seed) % 2 == 0;
    for (uint32_t k = 0; k < ref->key_count; k++) {
        struct key *key = &ref->keys[k];
        do
            make_key(&key_words[kit_random(&t->seed) % words], key);
        while (key->pair && pair);
        pair = pair || key->pair;
        snprintf(keys + strlen(keys), sizeof(keys) - strlen(keys), "%s%s", k == 0 ? "" : ",",
                 key->word->text);
    }
    for (unsigned i = 0; i < tried_values; i++) {
        const char *word = value_words[kit_random(&t->seed) % (sizeof(value_words) / sizeof(value_words[0]))];
        bool known = false;
        for (uint32_t k = 0; k < ref->value_count; k++)
            known = known || strcmp(ref->values[k].text, word) == 0;
        for (uint32_t k = 0; k < ref->key_count; k++) /* a key is not summed too */
            known = known || strcmp(ref->keys[k].word->name, word) == 0;
        if (known)
            continue;
        snprintf(fields + strlen(fields), sizeof(fields) - strlen(fields), "%s%s",
                 ref->value_count == 0 ? "" : ",", word);
        add_value(ref, word);
    }
    if (ref->value_count != 0 && kit_random(&t->seed) % 4 != 0) {
        static const char *const directions[] = {"", "#asc", "#desc"};
        snprintf(orders, sizeof(orders), "%s%s", ref->values[kit_random(&t->seed) % ref->value_count].text,
                 directions[kit_random(&t->seed) % 3]);
    }
    if (ref->key_count == 0) /* one group of all: the command line has no way to ask for it */
        return false;
    struct sc_error err = {0};
    enum sc_status asked =
        sc_request_aggregate(NULL, keys, orders[0] == '\0' ? NULL : orders, fields, r, &err);
    if (asked != SC_OK && most_keys > 4) /* too many sums */
        return false;
    if (asked != SC_OK)
        fail_msg("%s (%s) %s: %s", keys, fields, orders, err.message);
    return true;
}

static void check_summary(const struct query_table *t, const struct sc_filter *filter, bool scaled,
                          const struct sc_summary *got)
{
    static const char *const names[] = {"flows", "packets", "bytes"};
    uint64_t want[4] = {0};
    for (uint64_t id = 0; id < t->records; id++) {
        if (!query_matches(t, filter, id))
            continue;
        want[3]++;
        for (unsigned i = 0; i < 3; i++) {
            struct sc_field f = query_field(names[i]);
            if (scaled)
                sc_field_scale(&f);
            struct sc_value v = query_field_value(t, &f, id);
            want[i] += v.null ? 0 : v.u;
        }
    }
    assert_int_equal(got->records, want[3]);
    assert_int_equal(got->flows, want[0]);
    assert_int_equal(got->packets, want[1]);
    assert_int_equal(got->bytes, want[2]);
}

static void through_bytes(struct sc_groups *to, const struct sc_groups *from)
{
    struct sc_buf bytes = {0};
    struct sc_error err = {0};
    assert_int_equal(sc_groups_write(from, &bytes), SC_OK);
    assert_int_equal(sc_groups_read(to, bytes.data, bytes.len, &err), SC_OK);
    sc_buf_free(&bytes);
}

/* With what distinct values and percentiles are made of left apart, as it has to meet that of others. */
static struct sc_groups *run_apart(struct sc_source *source, const struct sc_filter *filter,
                                   const uint8_t *wanted, bool scaled, unsigned threads, struct sc_request *r,
                                   struct sc_summary *summary)
{
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = threads, .wanted = wanted, .scale_sampling = scaled};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .keep_values = true};
    struct sc_groups *groups = NULL;
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    assert_int_equal(sc_aggregate_run(&request, source, &options, &groups, summary, &stats, &err), SC_OK);
    return groups;
}

/* The same through parts: units split at random, partial results merged in memory or through bytes. */
static void check_parts(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                        struct reference *ref, struct sc_request *r)
{
    unsigned parts = 2 + (unsigned)(kit_random(&t->seed) % 3);
    uint8_t *part_of = malloc(source->unit_count + 1), *wanted = malloc(source->unit_count + 1);
    struct sc_groups *all = NULL;
    struct sc_error err = {0};
    assert_non_null(part_of);
    assert_non_null(wanted);
    for (uint32_t u = 0; u < source->unit_count; u++)
        part_of[u] = (uint8_t)(kit_random(&t->seed) % parts);
    for (unsigned part = 0; part < parts; part++) {
        struct sc_summary summary;
        for (uint32_t u = 0; u < source->unit_count; u++)
            wanted[u] = part_of[u] == part;
        struct sc_groups *one = run_apart(source, filter, wanted, ref->scaled, 1 + part % 2, r, &summary);
        if (all == NULL) {
            all = one;
            continue;
        }
        if (kit_random(&t->seed) % 2 == 0) {
            struct sc_groups *into = part % 2 == 0 ? all : one, *from = into == all ? one : all;
            struct sc_groups *both[] = {into, from};
            assert_int_equal(sc_groups_join(both, 2, NULL, 3, &err), SC_OK);
            assert_int_equal(sc_groups_count(from), 0);
            sc_groups_free(from);
            all = into;
        } else {
            uint32_t values;
            through_bytes(all, one);
            assert_int_equal(sc_groups_make_values(one, &values), SC_OK);
            assert_int_equal(sc_groups_make_values(all, &values), SC_OK);
            for (uint32_t i = 0; i < values; i++)
                through_bytes(*sc_groups_values(all, i), *sc_groups_values(one, i));
            sc_groups_free(one);
        }
    }
    assert_int_equal(sc_groups_settle_values(all, 1 + (unsigned)(kit_random(&t->seed) % 3), &err), SC_OK);
    check_groups(ref, r, all);
    sc_groups_free(all);
    free(part_of);
    free(wanted);
}

/* ---- order ---- */

static bool stands_before(const struct sc_request *r, const struct sc_groups *groups, const uint8_t *x,
                          const uint8_t *y)
{
    for (uint32_t i = 0; i < r->order_count + r->aggregate.key_count; i++) {
        struct sc_result_column key = {.source = SC_RESULT_KEY, .a = i - r->order_count};
        bool by_order = i < r->order_count;
        const struct sc_result_column *c = by_order ? &r->orders[i].column : &key;
        struct sc_value a = sc_groups_value(groups, x, c), b = sc_groups_value(groups, y, c);
        if (a.null != b.null)
            return b.null;
        if (a.null)
            continue;
        bool less, more;
        if (a.type == SC_VALUE_ADDRESS) {
            less = memcmp(a.addr.b, b.addr.b, 16) < 0;
            more = memcmp(a.addr.b, b.addr.b, 16) > 0;
        } else if (a.type == SC_VALUE_STRING || a.type == SC_VALUE_BYTES) {
            uint32_t n = a.length < b.length ? a.length : b.length;
            int order = n == 0 ? 0 : memcmp(a.bytes, b.bytes, n);
            less = order < 0 || (order == 0 && a.length < b.length);
            more = order > 0 || (order == 0 && a.length > b.length);
        } else if (a.type == SC_VALUE_FLOAT) {
            less = a.f < b.f;
            more = a.f > b.f;
        } else if (a.type == SC_VALUE_INT) {
            less = (int64_t)a.u < (int64_t)b.u;
            more = (int64_t)a.u > (int64_t)b.u;
        } else {
            less = a.u < b.u;
            more = a.u > b.u;
        }
        if (less || more)
            return by_order && r->orders[i].descending ? more : less;
    }
    return false;
}

static void check_order(struct query_table *t, const struct sc_request *r, const struct sc_groups *groups)
{
    struct sc_result all, some;
    struct sc_error err = {0};
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    for (uint64_t i = 1; i < all.count; i++)
        assert_true(stands_before(r, groups, all.entries[i - 1], all.entries[i]));
    for (unsigned i = 0; i < 3; i++) {
        uint64_t limit = 1 + kit_random(&t->seed) % (i == 0 ? 3 : all.count + 2);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &some, &err), SC_OK);
        assert_int_equal(some.count, limit < all.count ? limit : all.count);
        for (uint64_t k = 0; k < some.count; k++)
            assert_ptr_equal(some.entries[k], all.entries[k]);
        free(some.entries);
    }
    free(all.entries);
}

/* ---- closed groups, and groups apart, against the same reference ---- */

/* The winners alone, filled by a scan of their own. */
static void check_closed(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                         struct reference *ref, struct sc_request *r, struct sc_groups *groups)
{
    struct sc_result winners;
    struct sc_error err = {0};
    uint64_t limit = 1 + kit_random(&t->seed) % 6;
    struct partly partly;
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &winners, &err), SC_OK);
    make_partly(source, filter, ref->scaled, r, groups, &winners, kit_random(&t->seed), &partly);
    struct sc_seed seed = {.from = partly.groups, .winners = &partly.winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.filter = filter,
                                      .time = Q_ALWAYS,
                                      .threads = 1 + (unsigned)(kit_random(&t->seed) % 3),
                                      .no_summary = true,
                                      .scale_sampling = ref->scaled};
    struct sc_groups *filled = NULL;
    struct sc_summary unused;
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, source, &options, &filled, &unused, &stats, &err), SC_OK);
    assert_int_equal(sc_groups_count(filled), winners.count);
    struct sc_result all;
    assert_int_equal(sc_groups_top(filled, r->orders, r->order_count, 0, &all, &err), SC_OK);
    for (uint64_t i = 0; i < all.count; i++) {
        char key[KEY_MAX];
        uint32_t before = ref->count;
        entry_key(r, filled, all.entries[i], key);
        const struct ref_group *g = find_group(ref, key);
        if (ref->count != before)
            fail_msg("%s: closed: there is no group %s", r->name, key);
        check_entry(ref, r, filled, all.entries[i], g);
    }
    free(all.entries);
    sc_groups_free(filled);
    free_partly(&partly);
    free(winners.entries);
}

#define SPILLERS 3u

struct spiller {
    struct sc_groups *partials[SPILLERS];
    uint64_t seed;
};

static enum sc_status spill_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                 struct sc_selection *selection, struct sc_error *err)
{
    struct spiller *s = arg;
    struct sc_groups *g = s->partials[unit % SPILLERS];
    (void)thread;
    if (kit_random(&s->seed) % 3 == 0)
        g->spill.apart = 1 + kit_random(&s->seed) % 3000; /* as after rows that met no group */
    enum sc_status status = sc_groups_add_rows(g, group, selection, err);
    if (status == SC_OK && kit_random(&s->seed) % 2 == 0)
        status = sc_groups_consider_spill(g, 1);
    return status;
}

static void check_apart(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                        struct reference *ref, struct sc_request *r, const struct sc_groups *groups)
{
    struct spiller s = {.seed = kit_random(&t->seed)};
    struct sc_error err = {0};
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = 1, .scale_sampling = ref->scaled};
    struct sc_scan_consumer consumer = {.unit = spill_unit, .arg = &s};
    struct sc_scan_stats stats = {0};
    uint64_t limit = 1 + kit_random(&t->seed) % 5;
    struct sc_keep keep = {r->orders, r->order_count, limit};
    bool keeps = kit_random(&t->seed) % 2 == 0;
    for (unsigned i = 0; i < SPILLERS; i++) {
        s.partials[i] = sc_groups_create(&r->aggregate);
        assert_non_null(s.partials[i]);
        sc_groups_set_spill_budget(s.partials[i], 1 + kit_random(&t->seed) % 100000);
        if (kit_random(&t->seed) % 3 != 0) {
            /* a small share, so that much goes to the file, and a limit that nothing passes */
            sc_groups_set_memory_limit(s.partials[i], UINT64_C(64) << (10 + kit_random(&t->seed) % 5), 1);
            s.partials[i]->spill.limit = UINT64_C(1) << 40;
        }
    }
    assert_int_equal(sc_scan_run(source, &options, &consumer, &stats, &err), SC_OK);
    assert_int_equal(sc_groups_join(s.partials, SPILLERS, keeps ? &keep : NULL,
                                    1 + (unsigned)(kit_random(&t->seed) % 4), &err),
                     SC_OK);
    if (!keeps) {
        check_groups(ref, r, s.partials[0]);
    } else {
        char *want = dump(r, groups, limit), *got = dump(r, s.partials[0], limit);
        assert_string_equal(got, want);
        free(want);
        free(got);
    }
    for (unsigned i = 0; i < SPILLERS; i++)
        sc_groups_free(s.partials[i]);
}

static uint64_t proven; /* groups, by all checks */

/* ---- the greatest sums by cells ---- */

/* A sum of the request; UINT32_MAX: there is none. */
static uint32_t find_sum(const struct sc_aggregate *a)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (a->accumulators[i].how == SC_ACCUMULATE_SUM && a->accumulators[i].field.type == SC_VALUE_UINT)
            return i;
    }
    return UINT32_MAX;
}

static struct sc_groups *scan_cells(struct sc_source *source, const struct sc_filter *filter,
                                    unsigned threads, struct sc_aggregate *aggregate, unsigned hash_bits,
                                    const struct sc_chosen_cells *chosen)
{
    struct sc_aggregate_run request = {
        .aggregates = &aggregate, .count = 1, .hash_bits = hash_bits, .chosen = chosen};
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = threads, .no_summary = true};
    struct sc_groups *groups = NULL;
    struct sc_summary unused;
    struct sc_scan_stats stats = {0};
    struct sc_error err;
    assert_int_equal(sc_aggregate_run(&request, source, &options, &groups, &unused, &stats, &err), SC_OK);
    return groups;
}

static uint64_t count_greater(const struct sc_groups *groups, const struct sc_request *r, uint64_t least)
{
    struct sc_result all;
    struct sc_error err;
    uint64_t n = 0;
    assert_int_equal(sc_groups_top(groups, r->orders, 1, 0, &all, &err), SC_OK);
    for (; n < all.count; n++) {
        struct sc_value v = sc_groups_value(groups, all.entries[n], &r->orders[0].column);
        if (v.null || v.u <= least)
            break;
    }
    free(all.entries);
    return n;
}

/* All groups that have more than what is left in other cells are found, with all their sums. */
static void check_cells(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                        const struct sc_request *r, const struct sc_groups *groups)
{
    uint32_t sum = find_sum(&r->aggregate);
    struct sc_request *by_sum = malloc(sizeof(*by_sum));
    struct sc_aggregate narrow = r->aggregate;
    struct sc_chosen_cells chosen;
    assert_non_null(by_sum);
    if (sum == UINT32_MAX) {
        free(by_sum);
        return;
    }
    *by_sum = *r;
    by_sum->orders[0] = (struct sc_result_order){
        .column = {.source = SC_RESULT_ACCUMULATOR, .type = SC_VALUE_UINT, .a = sum}, .descending = true};
    by_sum->order_count = 1;
    narrow.accumulator_count = 0;
    sc_aggregate_add_like(&narrow, &r->aggregate.accumulators[sum]);
    sc_aggregate_prepare(&narrow);
    unsigned threads = 1 + (unsigned)(kit_random(&t->seed) % 3),
             bits = 6 + (unsigned)(kit_random(&t->seed) % 8);
    struct sc_groups *cells = scan_cells(source, filter, threads, &narrow, bits, NULL);
    bool proof = kit_random(&t->seed) % 2 == 0;
    enum sc_status status = sc_groups_choose_cells(cells, 1 + kit_random(&t->seed) % 20, proof, &chosen);
    if (status == SC_OK) {
        struct sc_groups *found = scan_cells(source, filter, threads, &by_sum->aggregate, 0, &chosen);
        uint64_t n = count_greater(groups, by_sum, chosen.left);
        char *want = n == 0 ? NULL : dump(by_sum, groups, n), *got = n == 0 ? NULL : dump(by_sum, found, n);
        if (n != 0)
            assert_string_equal(got, want);
        assert_true(sc_groups_count(found) <= sc_groups_count(groups));
        proven += n;
        free(want);
        free(got);
        free(chosen.bits);
        sc_groups_free(found);
    } else {
        assert_true(status == SC_NOTFOUND && proof);
    }
    sc_groups_free(cells);
    free(by_sum);
}

static void random_aggregations(uint64_t seed, uint32_t batches, uint32_t most, unsigned requests)
{
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    assert_non_null(r);
    query_table_make(&t, seed, batches, most);
    query_open(&source, t.store);
    for (unsigned i = 0; i < requests; i++) {
        struct reference ref = {0};
        query_set_vectors(i);
        if (!random_request(&t, &ref, r))
            continue;
        ref.scaled = i % 4 == 1;
        if (ref.scaled)
            sc_request_scale(r);
        char *text = i % 3 == 0 ? NULL : query_random_filter(&t, 1);
        struct sc_filter *filter = text == NULL ? NULL : query_parse(text);
        struct sc_summary summary;
        group_all(&t, &ref, filter);
        struct sc_groups *groups = run(&source, filter, NULL, ref.scaled, 1 + i % 4, r, &summary);
        check_groups(&ref, r, groups);
        check_order(&t, r, groups);
        check_summary(&t, filter, ref.scaled, &summary);
        if (ref.count != 0)
            check_closed(&t, &source, filter, &ref, r, groups);
        check_apart(&t, &source, filter, &ref, r, groups);
        if (!ref.scaled)
            check_cells(&t, &source, filter, r, groups);
        sc_groups_free(groups);
        check_parts(&t, &source, filter, &ref, r);
        free_reference(&ref);
        sc_filter_free(filter);
        free(text);
    }
    sc_source_close(&source);
    query_table_free(&t);
    free(r);
}

static void aggregations_over_small_groups(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        random_aggregations(seed, 24, 120, 80);
}

/* A head of four bytes, and more than eight sums. */
static void aggregations_of_many_keys(void **state)
{
    (void)state;
    most_keys = 11;
    tried_values = 14;
    for (uint64_t seed = 101; seed <= 104; seed++)
        random_aggregations(seed, 16, 200, 40);
    random_aggregations(105, 6, 5000, 12);
    most_keys = 4;
    tried_values = 6;
}

static void aggregations_over_large_groups(void **state)
{
    (void)state;
    random_aggregations(40, 8, 4000, 16);
    printf("# %llu groups proven\n", (unsigned long long)proven);
    assert_true(proven > 100);
}

/* ---- one group of all rows ---- */

static void no_keys(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request r = {.name = "none"};
    struct reference ref = {0};
    struct sc_error err = {0};
    struct sc_summary summary;
    struct sc_field bytes = query_field("bytes");
    query_table_make(&t, 9, 8, 100);
    query_open(&source, t.store);
    assert_int_equal(sc_aggregate_add(&r.aggregate, &bytes, SC_ACCUMULATE_SUM), 0);
    sc_aggregate_prepare(&r.aggregate);
    add_value(&ref, "sum(bytes)");
    snprintf(r.columns[0].label, sizeof(r.columns[0].label), "sum(bytes)");
    r.columns[0].result = (struct sc_result_column){.source = SC_RESULT_ACCUMULATOR, .type = SC_VALUE_UINT};
    r.column_count = 1;
    group_all(&t, &ref, NULL);
    assert_int_equal(ref.count, 1);
    struct sc_groups *groups = run(&source, NULL, NULL, false, 2, &r, &summary);
    check_groups(&ref, &r, groups);
    sc_groups_free(groups);
    struct sc_filter *none = query_parse("not any");
    groups = run(&source, none, NULL, false, 2, &r, &summary);
    assert_int_equal(sc_groups_count(groups), 0);
    assert_int_equal(summary.records, 0);
    sc_groups_free(groups);
    sc_filter_free(none);
    free_reference(&ref);
    sc_source_close(&source);
    query_table_free(&t);
    (void)err;
}

/* ---- keys wider than their element says ---- */

static void wide_keys(void **state)
{
    (void)state;
    struct query_table t = {.seed = 3, .store = kit_folder()};
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(t.store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 4; b++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        static const enum query_column columns[] = {Q_ID, Q_RECEIVED, Q_PROTO, Q_DESTINATION_PORT, Q_BYTES};
        batch->window_ms = KIT_WINDOW;
        for (unsigned i = 0; i < 5; i++) {
            struct sc_column *c = sc_batch_begin(batch, query_rules[columns[i]].key, NULL, 8, 500);
            for (uint32_t row = 0; row < 500; row++) {
                uint64_t v = i == 0 ? t.records + row : i == 1 ? KIT_WINDOW + row : row % 7;
                /* Beyond the width of its element, and equal to others in the lower bits. */
                sc_column_put_u64(
                    c, i >= 2 && i <= 3 && b >= 2 && row % 5 == 0 ? v | UINT64_C(1) << (16 + 8 * b) : v);
            }
        }
        sc_batch_commit(batch, 500);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        query_keep(&t, batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, t.store);
    struct sc_request *r = malloc(sizeof(*r));
    assert_non_null(r);
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct reference ref = {.key_count = 2};
        struct sc_summary summary;
        make_key(&key_words[16], &ref.keys[0]);
        assert_string_equal(ref.keys[0].word->text, "proto");
        static const struct key_word port = {"dstport", "dstport", 0, 0, 0};
        make_key(&port, &ref.keys[1]);
        add_value(&ref, "bytes");
        add_value(&ref, "flows");
        group_all(&t, &ref, NULL);
        assert_int_equal(sc_request_aggregate(NULL, "proto,dstport", "bytes", "bytes,flows", r, &err), SC_OK);
        assert_int_equal(r->aggregate.key_bytes[SC_KEY_NARROW], 4); /* a head, 1 and 2 bytes */
        struct sc_groups *groups = run(&source, NULL, NULL, false, threads, r, &summary);
        check_groups(&ref, r, groups);
        check_order(&t, r, groups);
        assert_int_equal(summary.records, 2000); /* of one scan, not of both */
        sc_groups_free(groups);
        free_reference(&ref);
    }
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- several in one scan, threads, top ---- */

static void same_for_any_number_of_threads(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = calloc(2, sizeof(*r));
    struct sc_error err = {0};
    char *first[2] = {NULL, NULL};
    query_table_make(&t, 77, 30, 200);
    query_open(&source, t.store);
    for (unsigned threads = 1; threads <= 8; threads++) {
        assert_int_equal(
            sc_request_aggregate(NULL, "srcip,srcport,dstport", "flows#desc", "flows,bytes,bps", &r[0], &err),
            SC_OK);
        assert_int_equal(sc_request_aggregate(NULL, "appname,ip/24/48", "bytes#asc", NULL, &r[1], &err),
                         SC_OK);
        struct sc_aggregate aggregates[2] = {r[0].aggregate, r[1].aggregate};
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
        struct sc_groups *groups[2];
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        assert_int_equal(
            sc_query_aggregate(&source, &options, aggregates, 2, 0, groups, &summary, &stats, &err), SC_OK);
        for (unsigned i = 0; i < 2; i++) {
            char *text = dump(&r[i], groups[i], 25);
            if (threads == 1)
                first[i] = text;
            else
                assert_string_equal(text, first[i]);
            if (threads != 1)
                free(text);
            sc_groups_free(groups[i]);
        }
    }
    free(first[0]);
    free(first[1]);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- damaged partial results ---- */

static void bytes_that_are_no_groups(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_summary summary;
    struct sc_buf bytes = {0};
    query_table_make(&t, 13, 4, 60);
    query_open(&source, t.store);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,appname,proto", "flows", NULL, r, &err), SC_OK);
    struct sc_groups *groups = run(&source, NULL, NULL, false, 1, r, &summary);
    assert_int_equal(sc_groups_write(groups, &bytes), SC_OK);
    for (size_t length = 0; length < bytes.len; length++) {
        struct sc_groups *to = sc_groups_create(&r->aggregate);
        uint8_t *cut = malloc(length + 1); /* so that the sanitizer sees a read behind it */
        memcpy(cut, bytes.data, length);
        assert_int_equal(sc_groups_read(to, cut, length, &err), SC_DAMAGED);
        free(cut);
        sc_groups_free(to);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct sc_groups *to = sc_groups_create(&r->aggregate);
        uint8_t *copy = malloc(bytes.len);
        memcpy(copy, bytes.data, bytes.len);
        copy[kit_random(&t.seed) % bytes.len] ^= (uint8_t)(1u << (kit_random(&t.seed) % 8));
        enum sc_status status = sc_groups_read(to, copy, bytes.len, &err);
        assert_true(status == SC_OK || status == SC_DAMAGED);
        struct sc_result top;
        if (status == SC_OK) { /* whatever it says can be shown */
            assert_int_equal(sc_groups_top(to, r->orders, r->order_count, 0, &top, &err), SC_OK);
            free(top.entries);
        }
        free(copy);
        sc_groups_free(to);
    }
    sc_buf_free(&bytes);
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

UNIT(test_aggregate)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregations_over_small_groups),
        cmocka_unit_test(aggregations_of_many_keys),
        cmocka_unit_test(aggregations_over_large_groups),
        cmocka_unit_test(no_keys),
        cmocka_unit_test(wide_keys),
        cmocka_unit_test(same_for_any_number_of_threads),
        cmocka_unit_test(bytes_that_are_no_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
