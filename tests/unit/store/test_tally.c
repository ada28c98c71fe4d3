// SPDX-License-Identifier: BSD-3-Clause
/* Tallies and streams: files and back, merged by the greater number, and what a query concludes from them. */
#include "source/expect.h"
#include "store_kit.h"

#include "store/tally.h"

#define STREAM UINT64_C(0x00ab54a98ceb1f0a)

static struct sc_tally make(uint32_t lanes, uint64_t accepted, uint64_t safe)
{
    struct sc_tally t = {.proxy = "n1", .stream = STREAM, .window_ms = KIT_WINDOW, .window_s = 300};
    for (uint32_t i = 0; i < lanes; i++) {
        struct sc_tally_lane *l = sc_tally_lane(&t, 7 + i);
        assert_non_null(l);
        l->accepted = (struct sc_tally_count){{accepted, 1}, {accepted * 100, 5}};
        l->safe = (struct sc_tally_count){{safe, 1}, {safe * 100, 5}};
    }
    return t;
}

static void written_and_read(void **state)
{
    (void)state;
    char *store = kit_folder(), path[4096];
    struct sc_error err = {0};
    for (uint32_t lanes = 0; lanes <= SC_TALLY_MAX_LANES; lanes += 64) {
        struct sc_tally t = make(lanes, UINT64_MAX / 100, 3), back;
        assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
        sc_tally_path(store, STREAM, KIT_WINDOW, path, sizeof(path));
        assert_int_equal(sc_tally_read(path, &back, &err), SC_OK);
        assert_string_equal(back.proxy, "n1");
        assert_true(back.stream == STREAM && back.window_ms == KIT_WINDOW && back.window_s == 300);
        assert_int_equal(back.lane_count, lanes);
        for (uint32_t i = 0; i < lanes; i++)
            assert_true(sc_tally_lane_equal(&t.lanes[i], &back.lanes[i]));
        sc_tally_free(&t);
        sc_tally_free(&back);
    }
    struct sc_catalogue catalogue = {0};
    assert_int_equal(sc_catalogue_add(&catalogue, store, &err), SC_OK);
    assert_true(catalogue.tally_count == 1 && catalogue.count == 0 && catalogue.foreign == 0);
    assert_true(catalogue.tallies[0].window_ms == KIT_WINDOW);
    sc_catalogue_free(&catalogue);
    kit_remove(store);
}

/* In whatever order they are met; the file has them by number. */
static void lanes_are_in_order(void **state)
{
    (void)state;
    struct sc_tally t = {.window_s = 300};
    for (uint32_t i = 0; i < SC_TALLY_MAX_LANES; i++)
        sc_tally_lane(&t, i * 1657 % SC_TALLY_MAX_LANES)->safe.batches[0] = i;
    assert_null(sc_tally_lane(&t, SC_TALLY_MAX_LANES));
    assert_int_equal(t.lane_count, SC_TALLY_MAX_LANES);
    for (uint32_t i = 0; i < SC_TALLY_MAX_LANES; i++) {
        assert_int_equal(t.lanes[i].lane, i);
        assert_int_equal(sc_tally_lane(&t, i * 1657 % SC_TALLY_MAX_LANES)->safe.batches[0], i);
    }
    sc_tally_free(&t);
}

/* Cut anywhere, a file is read as what its whole lines say, or not at all; never as more. */
static void cut_files(void **state)
{
    (void)state;
    char *store = kit_folder(), path[4096];
    struct sc_error err = {0};
    struct sc_tally t = make(3, 9, 4), back;
    size_t length;
    assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
    sc_tally_path(store, STREAM, KIT_WINDOW, path, sizeof(path));
    uint8_t *bytes = kit_read_file(path, &length);
    for (size_t n = 0; n < length; n++) {
        kit_write_file(path, bytes, n);
        enum sc_status status = sc_tally_read(path, &back, &err);
        assert_true(status == SC_OK || status == SC_DAMAGED);
        for (uint32_t i = 0; status == SC_OK && i < back.lane_count; i++)
            assert_true(back.lanes[i].accepted.batches[0] <= 9 && back.lanes[i].safe.records[0] <= 400);
        if (status == SC_OK)
            sc_tally_free(&back);
    }
    kit_write_file(path, "securitycloud tally 2\n", 22);
    assert_int_equal(sc_tally_read(path, &back, &err), SC_DAMAGED);
    free(bytes);
    sc_tally_free(&t);
    kit_remove(store);
}

static void merged(void **state)
{
    (void)state;
    struct sc_tally a = make(2, 9, 4), b = make(3, 7, 6);
    assert_int_equal(sc_tally_merge(&a, &b), SC_OK);
    assert_int_equal(a.lane_count, 3);
    assert_int_equal(a.lanes[0].accepted.batches[0], 9);
    assert_int_equal(a.lanes[0].safe.batches[0], 6);
    assert_int_equal(a.lanes[2].accepted.records[0], 700);
    sc_tally_free(&a);
    sc_tally_free(&b);
}

static void streams(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_stream *all;
    uint32_t count;
    assert_int_equal(sc_stream_list(store, &all, &count, &err), SC_OK);
    assert_int_equal(count, 0);
    struct sc_stream first = {"n1", 1, 1000, false}, other = {"n2", 2, 1000, false},
                     second = {"n1", 3, 5000, false};
    assert_int_equal(sc_stream_write(store, &first, NULL, &err), SC_OK);
    assert_int_equal(sc_stream_write(store, &other, NULL, &err), SC_OK);
    for (int closed = 0; closed < 2; closed++) {
        struct sc_stream read;
        second.closed = closed != 0;
        assert_int_equal(sc_stream_write(store, &second, NULL, &err), SC_OK);
        assert_int_equal(sc_stream_list(store, &all, &count, &err), SC_OK);
        assert_int_equal(count, 3);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(all[i].closed, all[i].stream == 3 && closed != 0);
        free(all);
        assert_int_equal(sc_stream_read(store, 3, &read), SC_OK);
        assert_int_equal(read.closed, closed);
        assert_int_equal(read.heard_ms, 5000);
        assert_string_equal(read.proxy, "n1");
    }
    kit_remove(store);
}

/* ---- the judgement ---- */

struct said {
    unsigned count;
    char first[512], last[512];
};

static void say(void *arg, const char *sentence)
{
    struct said *s = arg;
    s->count++;
    snprintf(s->last, sizeof(s->last), "%s", sentence);
    if (s->count == 1)
        snprintf(s->first, sizeof(s->first), "%s", sentence);
}

/* Accepts `lost` batches of each lane as lost, or only closes the stream. */
static void accept_loss(const char *store, uint64_t lost, bool closed)
{
    struct sc_losses losses = {0};
    struct sc_error err = {0};
    const struct sc_stream stream = {.proxy = "n1", .stream = STREAM, .closed = closed};
    for (uint32_t lane = 7; lane < 9 && lost != 0; lane++) {
        const struct sc_loss loss = {STREAM, KIT_WINDOW, 300, lane, {{lost, 0}, {lost * 100, 0}}};
        assert_int_equal(sc_losses_add(&losses, &loss), SC_OK);
    }
    assert_int_equal(sc_losses_add_stream(&losses, &stream), SC_OK);
    assert_int_equal(sc_losses_write(store, &losses, NULL, &err), SC_OK);
    sc_losses_free(&losses);
}

/* What was accepted as lost before, and what the judgement tells of it. */
struct accepted {
    uint64_t lost;
    bool closed;
    struct sc_known_lost known;
};

/* `found` batches of 100 records of each of two lanes; 9 were accepted and `safe` made safe in each. */
static struct said judge_with(struct accepted *accepted, uint64_t safe, unsigned found, bool closed,
                              uint64_t heard_ms, uint64_t begin_ms, uint64_t end_ms)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_tally t = make(2, 9, safe);
    struct sc_stream stream = {"n1", STREAM, heard_ms, closed};
    const uint64_t now_ms = KIT_WINDOW + 1000000;
    struct sc_catalogue catalogue = {0};
    struct sc_expected expected = {0};
    struct said said = {0};
    const char *const paths[] = {store};
    assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
    assert_int_equal(sc_stream_write(store, &stream, NULL, &err), SC_OK);
    if (accepted->lost != 0 || accepted->closed)
        accept_loss(store, accepted->lost, accepted->closed);
    assert_int_equal(sc_catalogue_add(&catalogue, store, &err), SC_OK);
    assert_int_equal(sc_expected_load(&expected, paths, 1, &catalogue, now_ms, say, &said), SC_OK);
    for (unsigned i = 0; i < 2 * found; i++) {
        const struct sc_span span = {.stream = STREAM, .lane = 7 + i % 2, .sequence = i / 2, .rows = 100};
        assert_int_equal(sc_expected_found(&expected, &span, KIT_WINDOW), SC_OK);
    }
    const struct sc_expected_range range = {SC_RECORDS_FLOWS, begin_ms, end_ms};
    sc_expected_judge(&expected, &range, say, &said);
    accepted->known = expected.known_lost;
    sc_expected_free(&expected);
    sc_catalogue_free(&catalogue);
    sc_tally_free(&t);
    kit_remove(store);
    return said;
}

static struct said judge(uint64_t safe, unsigned found, bool closed, uint64_t heard_ms, uint64_t begin_ms,
                         uint64_t end_ms)
{
    struct accepted nothing = {0};
    struct said said = judge_with(&nothing, safe, found, closed, heard_ms, begin_ms, end_ms);
    assert_int_equal(nothing.known.windows, 0);
    return said;
}

/* Of a stream that is closed everything that was accepted ought to be there, safe or not. */
static void judged_when_closed(void **state)
{
    (void)state;
    struct said said = judge(5, 7, true, 0, 0, UINT64_MAX);
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "4 of 18 batches of proxy n1 are missing, with 400 records"));
    assert_int_equal(judge(5, 9, true, 0, 0, UINT64_MAX).count, 0);
}

static void judged_after_a_loss_was_accepted(void **state)
{
    (void)state;
    uint64_t now = KIT_WINDOW + 1000000;
    struct accepted a = {.lost = 2};
    assert_int_equal(judge_with(&a, 9, 7, true, 0, 0, UINT64_MAX).count, 0);
    assert_true(a.known.windows == 1 && a.known.batches == 4 && a.known.records == 400);
    assert_int_equal(judge_with(&a, 9, 9, true, 0, 0, UINT64_MAX).count, 0); /* it came back */
    assert_int_equal(a.known.windows, 0);
    struct said said = judge_with(&a, 9, 6, true, 0, 0, UINT64_MAX); /* more is missing now */
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "2 of 18 batches of proxy n1 are missing, with 200 records"));
    assert_true(a.known.batches == 4 && a.known.records == 400);
    assert_int_equal(judge_with(&a, 5, 5, false, now - 5000, 0, UINT64_MAX).count,
                     2); /* a stream is no loss */
    a = (struct accepted){.closed = true};
    assert_int_equal(judge_with(&a, 9, 9, false, now - 5000, 0, UINT64_MAX).count, 0);
    assert_int_equal(judge_with(&a, 5, 5, false, now - 5000, 0, UINT64_MAX).count, 1);
    a.lost = 4;
    assert_int_equal(judge_with(&a, 5, 5, false, now - 5000, 0, UINT64_MAX).count, 0);
    assert_int_equal(a.known.records, 800);
}

static void judged(void **state)
{
    (void)state;
    uint64_t now = KIT_WINDOW + 1000000;
    assert_int_equal(judge(9, 9, true, 0, 0, UINT64_MAX).count, 0);
    assert_int_equal(judge(9, 12, true, 0, 0, UINT64_MAX).count, 0); /* the tally is older than the data */
    struct said said = judge(9, 7, true, 0, 0, UINT64_MAX);
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "4 of 18 batches of proxy n1 are missing, with 400 records"));
    assert_int_equal(judge(9, 7, true, 0, KIT_WINDOW + 300000, UINT64_MAX).count,
                     0); /* another time is asked for */
    assert_int_equal(judge(9, 7, true, 0, 0, KIT_WINDOW).count, 0);
    /* On its way, while the proxy is heard of; else it waits for somebody. */
    assert_int_equal(judge(5, 5, false, now - 1000, 0, UINT64_MAX).count, 0);
    assert_int_equal(judge(5, 5, false, now - 5000, 0, UINT64_MAX).count, 2);
    said = judge(9, 9, false, now - 5000, 0, UINT64_MAX);
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "proxy n1 is silent since"));
    assert_int_equal(judge(9, 9, false, now - 5000, 0, now - 6000).count, 0); /* before it fell silent */
    /* A node whose clock is ahead is no witness. */
    said = judge(9, 9, false, now + 3600000, 0, UINT64_MAX);
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "the clocks of the nodes differ"));
    assert_int_equal(judge(9, 9, true, now + 3600000, 0, UINT64_MAX).count, 0);
    assert_int_equal(judge(9, 9, false, now + 1000, 0, UINT64_MAX).count, 0);
}

/* Two nodes heard of a proxy; the clock of one is an hour ahead. */
static struct said judge_two(uint64_t heard_ms, uint64_t heard_too_ms)
{
    const uint64_t now_ms = KIT_WINDOW + 1000000;
    char *one = kit_folder(), *two = kit_folder();
    struct sc_error err = {0};
    struct sc_catalogue catalogue = {0};
    struct sc_expected expected = {0};
    struct said said = {0};
    const char *const paths[] = {one, two};
    const struct sc_stream streams[] = {{"n1", STREAM, heard_ms, false}, {"n1", STREAM, heard_too_ms, false}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sc_stream_write(paths[i], &streams[i], NULL, &err), SC_OK);
    assert_int_equal(sc_expected_load(&expected, paths, 2, &catalogue, now_ms, say, &said), SC_OK);
    const struct sc_expected_range range = {SC_RECORDS_FLOWS, 0, UINT64_MAX};
    sc_expected_judge(&expected, &range, say, &said);
    sc_expected_free(&expected);
    kit_remove(one);
    kit_remove(two);
    return said;
}

/* A proxy that was killed has several streams in a window; that each lacks the same is no reason to say it once. */
static void the_streams_of_a_proxy_are_added_up(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_catalogue catalogue = {0};
    struct sc_expected expected = {0};
    struct said said = {0};
    const char *const paths[] = {store};
    for (uint64_t i = 0; i < 3; i++) {
        struct sc_tally t = make(2, 9, 9);
        t.stream = STREAM + i;
        snprintf(t.proxy, sizeof(t.proxy), "n%d", i == 1 ? 2 : 1);
        struct sc_stream stream = {"n1", STREAM + i, 0, true};
        assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
        assert_int_equal(sc_stream_write(store, &stream, NULL, &err), SC_OK);
        sc_tally_free(&t);
    }
    assert_int_equal(sc_catalogue_add(&catalogue, store, &err), SC_OK);
    assert_int_equal(sc_expected_load(&expected, paths, 1, &catalogue, KIT_WINDOW, say, &said), SC_OK);
    const struct sc_expected_range range = {SC_RECORDS_FLOWS, 0, UINT64_MAX};
    sc_expected_judge(&expected, &range, say, &said);
    assert_int_equal(said.count, 2);
    assert_non_null(strstr(said.last, "18 of 18 batches of proxy n2 are missing, with 1800 records"));
    assert_non_null(strstr(said.first, "36 of 36 batches of proxy n1 are missing, with 3600 records"));
    sc_expected_free(&expected);
    sc_catalogue_free(&catalogue);
    kit_remove(store);
}

static void a_clock_that_is_ahead_hides_no_silence(void **state)
{
    (void)state;
    const uint64_t now = KIT_WINDOW + 1000000, hour = 3600000;
    assert_int_equal(judge_two(now - 1000, now + hour).count, 0);
    assert_int_equal(judge_two(now + hour, now - 1000).count, 0);
    assert_int_equal(judge_two(now - 1000, now - hour).count, 0);
    struct said said = judge_two(now - 5000, now + hour);
    assert_int_equal(said.count, 1);
    assert_non_null(strstr(said.last, "proxy n1 is silent since"));
    assert_int_equal(judge_two(now + hour, now - 5000).count, 1);
}

UNIT(test_tally)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(lanes_are_in_order),
        cmocka_unit_test(cut_files),
        cmocka_unit_test(merged),
        cmocka_unit_test(streams),
        cmocka_unit_test(judged),
        cmocka_unit_test(judged_when_closed),
        cmocka_unit_test(judged_after_a_loss_was_accepted),
        cmocka_unit_test(a_clock_that_is_ahead_hides_no_silence),
        cmocka_unit_test(the_streams_of_a_proxy_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
