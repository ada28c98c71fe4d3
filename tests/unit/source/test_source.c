// SPDX-License-Identifier: BSD-3-Clause
/* What a query reads: paths, windows, kinds of records, batches held twice; and what it says when something
 * cannot be read. */
#include "query_kit.h"

#include <fcntl.h>

static uint64_t count_records(struct sc_source *source)
{
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_groups *none[1];
    struct sc_error err = {0};
    if (sc_query_aggregate(source, &options, NULL, 0, 0, none, &summary, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    return summary.records;
}

static enum sc_status open_paths(struct sc_source *source, const char *const *paths, uint32_t count,
                                 struct sc_error *err)
{
    struct sc_source_bounds bounds = {0};
    return sc_source_open(paths, count, &bounds, source, err);
}

/* ---- paths ---- */

static void nothing_there(void **state)
{
    (void)state;
    struct sc_source source;
    struct sc_error err = {0};
    const char *path = "/nonexistent/store";
    assert_int_equal(open_paths(&source, &path, 1, &err), SC_NOTFOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(source.unit_count, 0);
    char *store = kit_folder();
    query_open(&source, store);
    assert_int_equal(source.segment_count, 0);
    assert_int_equal(source.missing_count, 0);
    assert_int_equal(count_records(&source), 0);
    sc_source_close(&source);
    kit_remove(store);
}

static void foreign_files(void **state)
{
    (void)state;
    char *store = kit_folder(), *other = kit_folder(), path[512];
    struct sc_source source;
    struct sc_error err = {0};
    snprintf(path, sizeof(path), "%s/capture.pcap", other);
    kit_write_file(path, "\xd4\xc3\xb2\xa1 not ours at all", 20);
    const char *paths[] = {path, store};
    assert_int_equal(open_paths(&source, paths, 1, &err), SC_NOT_OURS);
    assert_non_null(strstr(err.message, "capture.pcap"));
    /* One of several: the answer is partial. */
    assert_int_equal(open_paths(&source, paths, 2, &err), SC_OK);
    assert_int_equal(source.readable_paths, 1);
    assert_int_equal(source.missing_count, 1);
    assert_non_null(strstr(source.missing[0], "capture.pcap"));
    sc_source_close(&source);
    const char *folder = other; /* nor is a folder of such files a store without flows */
    assert_int_equal(open_paths(&source, &folder, 1, &err), SC_NOT_OURS);
    kit_remove(store);
    kit_remove(other);
}

static void every_path_once(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_error err = {0};
    char year[512], twice[512];
    query_table_make(&t, 3, 12, 50);
    snprintf(year, sizeof(year), "%s/2027", t.store);
    snprintf(twice, sizeof(twice), "%s/./2027/", t.store);
    const char *paths[] = {t.store, year, twice, t.store};
    for (uint32_t n = 1; n <= 4; n++) {
        assert_int_equal(open_paths(&source, paths, n, &err), SC_OK);
        assert_int_equal(count_records(&source), t.records);
        assert_int_equal(source.missing_count, 0);
        sc_source_close(&source);
    }
    query_open(&source, t.store);
    uint64_t sum = 0;
    struct sc_source one;
    for (uint32_t i = 0; i < source.segment_count; i++) { /* segment by segment */
        query_open(&one, source.segments[i]->path);
        assert_int_equal(one.segment_count, 1);
        sum += count_records(&one);
        sc_source_close(&one);
    }
    assert_int_equal(sum, t.records);
    sc_source_close(&source);
    query_table_free(&t);
}

/* The same batches in two stores, as two nodes of a cluster hold them. */
static void copies_in_two_stores(void **state)
{
    (void)state;
    char *stores[2] = {kit_folder(), kit_folder()};
    struct sc_error err = {0};
    struct sc_source source;
    for (unsigned node = 0; node < 2; node++) {
        struct sc_store_writer *w = sc_store_writer_open(stores[node], NULL, &err);
        assert_non_null(w);
        for (unsigned b = 0; b < 6; b++) { /* 0 to 3 and 2 to 5 */
            if (node == 0 ? b >= 4 : b < 2)
                continue;
            struct sc_batch *batch = kit_batch(b * 1000, 1000, KIT_WINDOW);
            kit_span(batch, 5, b);
            query_append(w, batch);
            sc_batch_free(batch);
        }
        if (node == 0)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
        assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    }
    const char *paths[] = {stores[0], stores[1]};
    assert_int_equal(open_paths(&source, paths, 2, &err), SC_OK);
    assert_int_equal(count_records(&source), 6000);
    sc_source_close(&source);
    kit_remove(stores[0]);
    kit_remove(stores[1]);
}

/* ---- kinds and windows ---- */

static void kinds_and_windows(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct query_table t = {.seed = 4};
    struct sc_store_options options = {.window_s = Q_WINDOW_S};
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, &options, &err);
    assert_non_null(w);
    for (unsigned i = 0; i < 3; i++) {
        struct sc_batch *batch = kit_batch(i * 100, 100 * (i + 1), KIT_WINDOW + i * Q_WINDOW_S * 1000);
        query_append(w, batch);
        sc_batch_free(batch);
        query_options(w, &t, KIT_WINDOW + i * Q_WINDOW_S * 1000);
        if (i == 1)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned i = 0; i < 5; i++) {
            const char *path = store;
            struct sc_source source;
            struct sc_source_bounds bounds = {.options = kind == 1};
            uint64_t window = KIT_WINDOW + (i - 1) * Q_WINDOW_S * 1000;
            bounds.window_ms = i == 0 ? 0 : window + (i == 2 ? Q_WINDOW_S * 1000 - 1 : i == 3 ? 1 : 0);
            assert_int_equal(sc_source_open(&path, 1, &bounds, &source, &err), SC_OK);
            uint64_t want = kind == 1 ? (i == 0 ? 9 : 3) : i == 0 ? 600 : 100 * i;
            assert_int_equal(count_records(&source), i == 4 ? 0 : want);
            sc_source_close(&source);
        }
    }
    kit_remove(store);
}

/* ---- damage ---- */

struct damaged {
    char *store;
    char path[1024];
    uint64_t offset, length; /* of the chunk */
};

/* A sealed segment of 3 row groups of 20,000 flows. */
static void make_damageable(struct damaged *d)
{
    struct sc_error err = {0};
    struct sc_store_writer *w;
    *d = (struct damaged){.store = kit_folder()};
    w = sc_store_writer_open(d->store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 3; b++) {
        struct sc_batch *batch = kit_batch(b * 20000, 20000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK); /* stays live: one row group per batch */
    struct sc_source source;
    query_open(&source, d->store);
    assert_int_equal(source.unit_count, 3);
    snprintf(d->path, sizeof(d->path), "%s", source.segments[0]->path);
    sc_source_close(&source);
}

/* Flips one byte of a chunk: of a column, or with a key of PEN 1 of the Bloom filter. */
static void damage(const struct damaged *d, uint32_t index, struct sc_column_key key)
{
    struct sc_source source;
    struct sc_read_context context;
    struct sc_row_group *group;
    struct sc_error err = {0};
    uint64_t at = 0;
    query_open(&source, d->store);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, source.segments[0], index, &group, &err), SC_OK);
    for (uint32_t i = 0; i < group->entry_count; i++) {
        const struct sc_entry *e = &group->entries[i];
        bool bloom = key.pen == 1 && sc_chunk_is_filter(e->role);
        if (bloom || (e->role == SC_CHUNK_COLUMN && sc_column_key_equal(e->key, key)))
            at = group->ref->offset + e->offset + e->length / 2;
    }
    assert_true(at != 0);
    sc_read_context_free(&context);
    sc_source_close(&source);
    int fd = open(d->path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static uint64_t count_groups(struct sc_source *source, const char *keys, const char *order,
                             const char *fields, const char *filter_text, bool no_summary, bool bloom,
                             struct sc_summary *summary)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_groups *groups[1] = {NULL};
    struct sc_scan_stats stats = {0};
    struct sc_filter *filter = filter_text == NULL ? NULL : query_parse(filter_text);
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = 2, .no_summary = no_summary, .no_bloom = !bloom};
    assert_int_equal(sc_request_aggregate(NULL, keys, order, fields, r, &err), SC_OK);
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 10};
    /* Little memory for the many groups of a test that wants the two scans. */
    uint64_t memory = strcmp(keys, "flowId") == 0 ? 1 << 22 : 0;
    assert_int_equal(sc_query_top(source, &options, &top, 1, memory, groups, summary, &stats, &err), SC_OK);
    uint64_t count = sc_groups_count(groups[0]);
    sc_groups_free(groups[0]);
    sc_filter_free(filter);
    free(r);
    return count;
}

static void damage_that_matters(void **state)
{
    (void)state;
    struct damaged d;
    struct sc_source source;
    struct sc_summary summary;
    make_damageable(&d);
    damage(&d, 1, kit_keys[KIT_PACKETS]);
    query_open(&source, d.store);
    assert_int_equal(source.missing_count, 0);
    /* Not needed: complete. */
    count_groups(&source, "srcport", "flows", "flows,bytes", NULL, true, true, &summary);
    assert_int_equal(source.missing_count, 0);
    count_groups(&source, "srcip", "flows", "flows", "proto 6", true, true, &summary);
    assert_int_equal(source.missing_count, 0);
    /* The summary of all rows comes from statistics. */
    count_groups(&source, "srcport", "flows", "flows,bytes", NULL, false, true, &summary);
    assert_int_equal(summary.records, 60000);
    assert_int_equal(source.missing_count, 0);
    /* Needed: the row group is left out whole, and it is said once. */
    count_groups(&source, "proto", "flows", "flows,packets", NULL, false, true, &summary);
    assert_int_equal(summary.records, 40000);
    assert_int_equal(source.missing_count, 1);
    assert_non_null(strstr(source.missing[0], d.path));
    count_groups(&source, "srcport", "flows", "flows", "packets in [1 5 60]", true, true, &summary);
    assert_int_equal(source.missing_count, 1);
    sc_source_close(&source);
    kit_remove(d.store);
}

/* The second scan of a top N finds damage that the first had no reason to look at. */
static void damage_seen_late(void **state)
{
    (void)state;
    struct damaged d;
    struct sc_source source;
    struct sc_summary summary;
    make_damageable(&d);
    damage(&d, 1, kit_keys[KIT_PACKETS]);
    query_open(&source, d.store);
    uint64_t groups = count_groups(&source, "flowId", "bytes", "bytes,packets,min(packets),flows,first,last",
                                   NULL, false, true, &summary);
    assert_int_equal(groups, 10);
    assert_int_equal(summary.records, 40000);
    assert_int_equal(source.missing_count, 1);
    sc_source_close(&source);
    kit_remove(d.store);
}

static void damaged_bloom(void **state)
{
    (void)state;
    struct damaged d;
    struct sc_source source;
    struct sc_summary with, without;
    struct sc_error err = {0};
    struct sc_store_writer *w;
    make_damageable(&d);
    w = sc_store_writer_open(d.store, NULL, &err); /* only sealed row groups have filters */
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, d.store);
    assert_true(source.segments[0]->sealed);
    snprintf(d.path, sizeof(d.path), "%s", source.segments[0]->path);
    sc_source_close(&source);
    damage(&d, 0, (struct sc_column_key){.pen = 1});
    query_open(&source, d.store);
    count_groups(&source, "srcip", "flows", "flows", "srcip 10.0.0.7", false, true, &with);
    count_groups(&source, "srcip", "flows", "flows", "srcip 10.0.0.7", false, false, &without);
    assert_int_equal(with.records, without.records);
    assert_true(with.records > 0);
    assert_int_equal(source.missing_count, 0);
    sc_source_close(&source);
    kit_remove(d.store);
}

static void unfinished_tail(void **state)
{
    (void)state;
    struct damaged d;
    struct sc_source source;
    make_damageable(&d);
    size_t length;
    uint8_t *bytes = kit_read_file(d.path, &length);
    query_open(&source, d.store);
    uint64_t third = source.segments[0]->groups[2].offset;
    sc_source_close(&source);
    for (size_t cut = third; cut < length; cut += 1 + (length - third) / 23) {
        kit_write_file(d.path, bytes, cut);
        query_open(&source, d.store);
        assert_int_equal(source.missing_count, 0);
        assert_int_equal(count_records(&source), 40000);
        assert_int_equal(source.missing_count, 0);
        sc_source_close(&source);
    }
    /* A hole in the middle is damage: what lies behind is still there. */
    memset(bytes + third - 5000, 0, 100);
    bytes[third - 20000] ^= 1;
    kit_write_file(d.path, bytes, length);
    query_open(&source, d.store);
    struct sc_summary summary;
    count_groups(&source,
                 "flowId,srcip,dstip,proto,srcport,srcas,interfaceName,mibObjectValueInteger,64999:77#2",
                 "flows", "flows,packets,bytes,first,last", NULL, false, true, &summary);
    assert_int_equal(summary.records, 40000);
    assert_int_equal(source.missing_count, 1);
    sc_source_close(&source);
    free(bytes);
    kit_remove(d.store);
}

UNIT(test_source)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_there),     cmocka_unit_test(foreign_files),
        cmocka_unit_test(every_path_once),   cmocka_unit_test(copies_in_two_stores),
        cmocka_unit_test(kinds_and_windows), cmocka_unit_test(damage_that_matters),
        cmocka_unit_test(damage_seen_late),  cmocka_unit_test(damaged_bloom),
        cmocka_unit_test(unfinished_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
