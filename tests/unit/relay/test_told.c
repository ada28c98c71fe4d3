// SPDX-License-Identifier: BSD-3-Clause
/* What proxies have told a node, in short and as records: the same on every node that was told the same. */
#include "store_kit.h"

#include "relay/stock.h"

enum { TALLIES = 6, LANES = 3, WINDOWS = 3, STREAMS = 2 };

static uint64_t window_of(uint32_t i)
{
    return KIT_WINDOW + i % WINDOWS * UINT64_C(300000);
}

/* Number i is of stream i / WINDOWS and window i % WINDOWS. */
static void write_tally(const char *store, uint32_t i, uint64_t batches, bool backwards)
{
    struct sc_tally_lane lanes[LANES];
    struct sc_tally tally = {.stream = 100 + i / WINDOWS,
                             .window_ms = window_of(i),
                             .window_s = 300,
                             .lane_count = LANES,
                             .lanes = lanes};
    snprintf(tally.proxy, sizeof(tally.proxy), "proxy-%u", i / WINDOWS);
    for (uint32_t k = 0; k < LANES; k++) {
        uint32_t lane = backwards ? LANES - 1 - k : k;
        lanes[k] = (struct sc_tally_lane){.lane = 10 + lane,
                                          .accepted = {.batches = {batches + lane, 1}, .records = {7, 8}},
                                          .safe = {.batches = {i, lane}, .records = {3, 4}}};
    }
    assert_int_equal(sc_tally_write(store, &tally, NULL, NULL), SC_OK);
}

static void write_stream(const char *store, uint32_t i, uint64_t heard_ms, bool closed)
{
    struct sc_stream stream = {.stream = 100 + i, .heard_ms = heard_ms, .closed = closed};
    snprintf(stream.proxy, sizeof(stream.proxy), "proxy-%u", i);
    assert_int_equal(sc_stream_write(store, &stream, NULL, NULL), SC_OK);
}

static char *make_store(bool backwards)
{
    char *path = kit_folder();
    for (uint32_t i = 0; i < TALLIES; i++)
        write_tally(path, backwards ? TALLIES - 1 - i : i, 20, backwards);
    for (uint32_t i = 0; i < STREAMS; i++)
        write_stream(path, backwards ? STREAMS - 1 - i : i, 1000 + backwards, false);
    return path;
}

static void refresh(struct sc_stock *stock)
{
    struct sc_error err = {0};
    if (sc_stock_refresh(stock, &err) != SC_OK)
        fail_msg("%s", err.message);
}

/* By their order: the streams, then the windows. */
static void assert_digests(const struct sc_stock *stock, uint32_t windows)
{
    assert_int_equal(stock->digest_count, 1 + windows);
    for (uint32_t i = 0; i < stock->digest_count; i++) {
        assert_int_equal(stock->digests[i].lane, SC_TOLD_LANE);
        assert_true(i == 0 || stock->digests[i].window_ms > stock->digests[i - 1].window_ms);
    }
    assert_int_equal(stock->digests[0].window_ms, 0);
    assert_int_equal(stock->digests[0].batches, STREAMS);
}

/* Whose digests differ, a bit for each. */
static uint32_t differing(const struct sc_stock *x, const struct sc_stock *y)
{
    uint32_t bits = 0;
    assert_int_equal(x->digest_count, y->digest_count);
    for (uint32_t i = 0; i < x->digest_count; i++) {
        assert_true(x->digests[i].window_ms == y->digests[i].window_ms);
        bits |= (uint32_t)(x->digests[i].hash != y->digests[i].hash) << i;
    }
    return bits;
}

/* In whatever order it was told, and of streams whenever they were heard of. */
static void the_same_words_have_the_same_digests(void **state)
{
    (void)state;
    char *paths[2] = {make_store(false), make_store(true)};
    struct sc_stock one = {.store = paths[0]}, other = {.store = paths[1]};
    refresh(&one);
    refresh(&other);
    assert_digests(&one, WINDOWS);
    assert_int_equal(differing(&one, &other), 0);
    write_tally(paths[1], 4, 21, false);
    refresh(&other);
    assert_int_equal(differing(&one, &other), 1u << (1 + 4 % WINDOWS));
    write_tally(paths[1], 4, 20, false);
    write_stream(paths[1], 1, 99999, false);
    refresh(&other);
    assert_int_equal(differing(&one, &other), 0);
    write_stream(paths[1], 1, 99999, true);
    refresh(&other);
    assert_int_equal(differing(&one, &other), 1);
    for (uint32_t i = 0; i < 2; i++)
        kit_remove(paths[i]);
    sc_stock_free(&one);
    sc_stock_free(&other);
}

/* Those of a window, or the streams; with digests of a range that has the window, and the streams in any. */
static void records_are_what_was_told(void **state)
{
    (void)state;
    char *path = make_store(false);
    struct sc_stock stock = {.store = path};
    struct sc_link_told *list = NULL;
    struct sc_link_digest *digests;
    uint32_t count = 0;
    refresh(&stock);
    assert_int_equal(sc_told_records(&stock.told, window_of(1), &list, &count), SC_OK);
    assert_int_equal(count, STREAMS * LANES);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_link_tally *t = &list[i].tally;
        assert_false(list[i].is_stream);
        assert_true(t->window_ms == window_of(1) && t->window_s == 300);
        assert_true(t->stream == 100 + i / LANES && t->lane.accepted.batches[0] == 10 + t->lane.lane);
        assert_int_equal(list[i].proxy[6], '0' + (char)(i / LANES));
    }
    free(list);
    list = NULL;
    count = 0;
    assert_int_equal(sc_told_records(&stock.told, 0, &list, &count), SC_OK);
    assert_int_equal(count, STREAMS);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(list[i].is_stream && list[i].stream.heard_ms == 1000 && !list[i].stream.closed);
        assert_string_equal(list[i].proxy, list[i].stream.proxy);
    }
    free(list);
    assert_int_equal(sc_stock_digests(&stock, window_of(1), window_of(1) + 300000, &digests, &count), SC_OK);
    assert_int_equal(count, 2);
    assert_true(digests[0].window_ms == 0 && digests[1].window_ms == window_of(1));
    free(digests);
    sc_stock_free(&stock);
    kit_remove(path);
}

/* One that can't be read is told of when it can. */
static void files_change_and_go(void **state)
{
    (void)state;
    char *path = make_store(false), file[600];
    struct sc_stock stock = {.store = path}, whole = {.store = path};
    refresh(&whole);
    refresh(&stock);
    sc_tally_path(path, 100, window_of(0), file, sizeof(file));
    size_t length;
    uint8_t *bytes = kit_read_file(file, &length);
    bytes[length / 2] ^= 1;
    kit_write_file(file, bytes, length);
    refresh(&stock);
    assert_int_not_equal(stock.digest_count == whole.digest_count ? differing(&stock, &whole) : 1, 0);
    bytes[length / 2] ^= 1;
    kit_write_file(file, bytes, length);
    refresh(&stock);
    assert_int_equal(differing(&stock, &whole), 0);
    for (uint32_t stream = 100; stream < 100 + STREAMS; stream++) {
        sc_tally_path(path, stream, window_of(0), file, sizeof(file));
        assert_int_equal(unlink(file), 0);
    }
    refresh(&stock);
    assert_digests(&stock, WINDOWS - 1);
    free(bytes);
    sc_stock_free(&stock);
    sc_stock_free(&whole);
    kit_remove(path);
}

UNIT(test_told)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_words_have_the_same_digests),
        cmocka_unit_test(records_are_what_was_told),
        cmocka_unit_test(files_change_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
