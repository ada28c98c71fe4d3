// SPDX-License-Identifier: BSD-3-Clause
/* What nodes hold, compared: random placements against counting one by one; from the files of a store; as JSON and back, also
 * from one that makes no sense. */
#include "cluster/holdings.h"
#include "query_kit.h"

#define STREAM UINT64_C(0xfeedfacecafe0001)

/* ---- random placements ---- */

#define NODES   5u
#define WINDOWS 3u
#define LANES   2u
#define NUMBERS 60u

struct world {
    uint64_t random;
    struct sc_holdings nodes[NODES];
    bool answered[NODES];
    bool holds[NODES][WINDOWS][LANES][NUMBERS];
    uint64_t accepted[WINDOWS][LANES], safe[WINDOWS][LANES];
};

static uint64_t window_ms(unsigned w)
{
    return KIT_WINDOW + (uint64_t)w * 300000;
}

static void add_held(struct world *w, unsigned node, unsigned window, unsigned lane, uint64_t first,
                     uint64_t last)
{
    struct sc_holding one = {window_ms(window), STREAM, first, last, lane, 0, 0};
    assert_int_equal(sc_holdings_add(&w->nodes[node], &one), SC_OK);
    for (uint64_t n = first; n <= last; n++)
        w->holds[node][window][lane][n] = true;
}

/* Intervals that touch and overlap, in any order. */
static void place(struct world *w, unsigned node)
{
    for (unsigned i = 0; i < 12; i++) {
        uint64_t first = kit_random(&w->random) % NUMBERS;
        uint64_t last = first + kit_random(&w->random) % 12;
        add_held(w, node, (unsigned)(kit_random(&w->random) % WINDOWS),
                 (unsigned)(kit_random(&w->random) % LANES), first, last < NUMBERS ? last : NUMBERS - 1);
    }
    for (unsigned window = 0; window < WINDOWS; window++) {
        struct sc_tally t = {.proxy = "p", .stream = STREAM, .window_ms = window_ms(window), .window_s = 300};
        for (unsigned lane = 0; lane < LANES; lane++) {
            struct sc_tally_lane *l = sc_tally_lane(&t, lane);
            assert_non_null(l);
            l->safe.batches[0] = kit_random(&w->random) % NUMBERS;
            l->accepted.batches[0] = l->safe.batches[0];
            l->accepted.batches[1] = kit_random(&w->random) % 20;
            uint64_t *safe = &w->safe[window][lane];
            if (!w->answered[node])
                continue;
            *safe = l->safe.batches[0] > *safe ? l->safe.batches[0] : *safe;
        }
        /* Merged number by number, as everywhere. */
        assert_int_equal(sc_holdings_add_tally(&w->nodes[node], &t), SC_OK);
    }
    sc_holdings_settle(&w->nodes[node]);
}

static void count_accepted(struct world *w)
{
    for (unsigned window = 0; window < WINDOWS; window++) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            uint64_t most[2] = {0, 0};
            for (unsigned n = 0; n < NODES; n++) {
                const struct sc_tally_lane *l = sc_tally_lane(&w->nodes[n].tallies[window], lane);
                for (unsigned k = 0; k < 2 && w->answered[n]; k++)
                    most[k] = l->accepted.batches[k] > most[k] ? l->accepted.batches[k] : most[k];
            }
            w->accepted[window][lane] = most[0] + most[1];
        }
    }
}

static bool is_held(const struct world *w, unsigned window)
{
    for (unsigned i = 0; i < NODES * LANES * NUMBERS; i++) {
        unsigned node = i / (LANES * NUMBERS), lane = i / NUMBERS % LANES;
        if (w->answered[node] && w->holds[node][window][lane][i % NUMBERS])
            return true;
    }
    return false;
}

/* Of windows that all have expired who should hold them (`excused`) nothing is missed. */
static struct sc_window_copies count_one_by_one(const struct world *w, unsigned window, unsigned replication,
                                                bool excused)
{
    struct sc_window_copies c = {.window_ms = window_ms(window)};
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint64_t held = 0;
        for (unsigned n = 0; n < NUMBERS; n++) {
            unsigned copies = 0;
            for (unsigned node = 0; node < NODES; node++)
                copies += w->answered[node] && w->holds[node][window][lane][n];
            held += copies != 0;
            c.whole += copies >= replication;
            c.single += copies == 1 && replication > 1;
            c.fewer += copies > 1 && copies < replication;
        }
        if (excused)
            continue;
        uint64_t safe = w->safe[window][lane], there = held > safe ? held : safe;
        c.missing += safe > held ? safe - held : 0;
        c.waiting += w->accepted[window][lane] > there ? w->accepted[window][lane] - there : 0;
    }
    c.known = c.whole + c.single + c.fewer + c.missing + c.waiting;
    return c;
}

static void as_counted_one_by_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct world *w = calloc(1, sizeof(*w));
        assert_non_null(w);
        w->random = seed;
        const struct sc_holdings *nodes[NODES];
        for (unsigned n = 0; n < NODES; n++) {
            w->answered[n] = kit_random(&w->random) % 4 != 0;
            place(w, n);
            nodes[n] = w->answered[n] ? &w->nodes[n] : NULL;
        }
        count_accepted(w);
        unsigned replication = 1 + (unsigned)(seed % 3), most = 1 + (unsigned)(seed % 4);
        const bool expired = seed % 5 == 0; /* the first window */
        const struct sc_horizons horizons = {.least_ms = expired ? window_ms(1) : 0};
        struct sc_window_copies *got;
        uint32_t count, expected = 0;
        assert_int_equal(sc_copies_compare(nodes, NODES, replication, most, &horizons, &got, &count), SC_OK);
        for (unsigned n = 0; n < NODES; n++)
            expected = w->answered[n] ? WINDOWS - (expired && !is_held(w, 0)) : expected;
        assert_int_equal(count, expected < most ? expected : most);
        for (uint32_t i = 0; i < count; i++) {
            unsigned window = WINDOWS - count + i;
            struct sc_window_copies want = count_one_by_one(w, window, replication, expired && window == 0);
            assert_memory_equal(&got[i], &want, sizeof(want));
        }
        free(got);
        for (unsigned n = 0; n < NODES; n++)
            sc_holdings_free(&w->nodes[n]);
        free(w);
    }
}

/* ---- JSON ---- */

static void check_equal(const struct sc_holdings *a, const struct sc_holdings *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        assert_true(a->list[i].window_ms == b->list[i].window_ms && a->list[i].stream == b->list[i].stream &&
                    a->list[i].lane == b->list[i].lane && a->list[i].first == b->list[i].first &&
                    a->list[i].last == b->list[i].last);
    assert_int_equal(a->unreadable, b->unreadable);
    assert_int_equal(a->tally_count, b->tally_count);
    for (uint32_t i = 0; i < a->tally_count; i++) {
        const struct sc_tally *s = &a->tallies[i], *t = &b->tallies[i];
        assert_true(s->stream == t->stream && s->window_ms == t->window_ms && s->window_s == t->window_s);
        assert_string_equal(s->proxy, t->proxy);
        assert_int_equal(s->lane_count, t->lane_count);
        for (uint32_t l = 0; l < s->lane_count; l++)
            assert_true(sc_tally_lane_equal(&s->lanes[l], &t->lanes[l]));
    }
}

static void json_and_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world *w = calloc(1, sizeof(*w));
        struct sc_holdings back;
        struct sc_error err = {0};
        assert_non_null(w);
        w->random = seed;
        place(w, 0);
        w->nodes[0].unreadable = (uint32_t)seed;
        json_t *json = sc_holdings_to_json(&w->nodes[0]);
        assert_non_null(json);
        assert_int_equal(sc_holdings_from_json(json, &back, &err), SC_OK);
        check_equal(&w->nodes[0], &back);
        json_decref(json);
        sc_holdings_free(&back);
        sc_holdings_free(&w->nodes[0]);
        free(w);
    }
}

/* Batches are one interval as far as they have the same records; those of several nodes are there once. */
static void with_records(void **state)
{
    (void)state;
    const struct sc_holding told[] = {
        {window_ms(0), STREAM, 0, 0, 7, 100, 0}, {window_ms(0), STREAM, 1, 1, 7, 100, 0},
        {window_ms(0), STREAM, 2, 2, 7, 90, 0},  {window_ms(0), STREAM, 3, 3, 7, 90, 1},
        {window_ms(0), STREAM, 1, 2, 8, 5, 1},   {window_ms(0), STREAM, 0, 1, 7, 100, 0}};
    struct sc_holdings h = {0}, back;
    struct sc_error err = {0};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        assert_int_equal(sc_holdings_add(&h, &told[i]), SC_OK);
    sc_holdings_settle(&h);
    json_t *json = sc_holdings_to_json(&h);
    assert_int_equal(sc_holdings_from_json(json, &back, &err), SC_OK);
    json_decref(json);
    check_equal(&h, &back);
    assert_int_equal(back.count, 4);
    uint64_t records[2] = {0, 0};
    for (uint32_t i = 0; i < back.count; i++)
        records[back.list[i].kind] += (back.list[i].last - back.list[i].first + 1) * back.list[i].rows;
    assert_true(records[0] == 290 && records[1] == 100);
    const struct sc_holding *first = sc_holdings_find(&back, window_ms(0), STREAM, 7);
    assert_true(first == &back.list[0] && first->first == 0 && first->last == 1);
    assert_ptr_equal(sc_holdings_find(&back, window_ms(0), STREAM, 8), &back.list[3]);
    assert_null(sc_holdings_find(&back, window_ms(0), STREAM, 9));
    assert_null(sc_holdings_find(&back, window_ms(1), STREAM, 7));
    sc_holdings_free(&back);
    sc_holdings_free(&h);
}

/* Nodes that contradict each other, or one that lies: a batch is there once all the same. */
static void contradictions(void **state)
{
    (void)state;
    const struct sc_holding told[] = {{window_ms(0), STREAM, 0, 9, 7, 100, 0},
                                      {window_ms(0), STREAM, 3, 5, 7, 90, 0},
                                      {window_ms(0), STREAM, 8, 12, 7, 80, 1}};
    struct sc_holdings h = {0};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        assert_int_equal(sc_holdings_add(&h, &told[i]), SC_OK);
    sc_holdings_settle(&h);
    assert_int_equal(h.count, 2);
    assert_true(h.list[0].first == 0 && h.list[0].last == 9 && h.list[0].rows == 100);
    assert_true(h.list[1].first == 10 && h.list[1].last == 12 && h.list[1].rows == 80);
    sc_holdings_free(&h);
}

/* All that a node needs to record it. */
static void losses_and_back(void **state)
{
    (void)state;
    struct sc_holdings told = {0}, back;
    struct sc_error err = {0};
    const struct sc_loss loss = {STREAM, window_ms(1), 300, 7, {{4, 1}, {400, 9}}};
    const struct sc_stream stream = {.proxy = "alpha", .stream = STREAM, .closed = true};
    assert_int_equal(sc_losses_add(&told.losses, &loss), SC_OK);
    assert_int_equal(sc_losses_add_stream(&told.losses, &stream), SC_OK);
    json_t *json = sc_holdings_to_json(&told);
    assert_int_equal(sc_holdings_from_json(json, &back, &err), SC_OK);
    assert_true(back.losses.count == 1 && back.losses.stream_count == 1);
    assert_memory_equal(&back.losses.list[0].lost, &loss.lost, sizeof(loss.lost));
    assert_true(back.losses.list[0].window_ms == window_ms(1) && back.losses.list[0].window_s == 300 &&
                back.losses.list[0].lane == 7);
    assert_true(back.losses.streams[0].closed && strcmp(back.losses.streams[0].proxy, "alpha") == 0);
    json_decref(json);
    sc_holdings_free(&told);
    sc_holdings_free(&back);
}

static void makes_no_sense(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"windows\": [], \"unreadable\": 0, \"losses\": 7}",
        "{\"windows\": [], \"unreadable\": 0, \"losses\": [{\"stream\": \"1\"}]}",
        "{\"windows\": [], \"unreadable\": 0, \"losses\": [{\"stream\": \"1\", \"closed\": true, \"lanes\": "
        "[{\"start_ms\": 1, \"lane\": \"1\", \"batches\": [1]}]}]}",
        "{\"windows\": [], \"unreadable\": 0, \"losses\": [{\"proxy\": \"a\\nwindow\", \"stream\": \"1\", "
        "\"closed\": true, "
        "\"lanes\": []}]}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [{\"stream\": \"1\", \"lane\": \"1\", \"batches\": [[1, "
        "2, 2, "
        "9]]}], \"tallies\": []}], \"unreadable\": 0}",
        "{\"windows\": 3, \"unreadable\": 0}",
        "{\"windows\": [], \"unreadable\": -1}",
        "{\"windows\": [7], \"unreadable\": 0}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [], \"tallies\": [{}]}], \"unreadable\": 0}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [{\"stream\": \"xyz\", \"lane\": \"1\", \"batches\": "
        "[]}], "
        "\"tallies\": []}], \"unreadable\": 0}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [{\"stream\": \"1\", \"lane\": \"100000000\", "
        "\"batches\": []}], "
        "\"tallies\": []}], \"unreadable\": 0}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [{\"stream\": \"1\", \"lane\": \"1\", \"batches\": [[2, "
        "1]]}], "
        "\"tallies\": []}], \"unreadable\": 0}",
        "{\"windows\": [{\"start_ms\": 1, \"held\": [], \"tallies\": [{\"proxy\": \"p\", \"stream\": \"1\", "
        "\"seconds\": 300, \"lanes\": [{\"lane\": \"1\", \"numbers\": [1, 2, 3]}]}]}], \"unreadable\": 0}",
    };
    struct sc_holdings out;
    struct sc_error err = {0};
    assert_int_equal(sc_holdings_from_json(NULL, &out, &err), SC_MALFORMED);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *json = json_loads(texts[i], 0, NULL);
        assert_non_null(json);
        if (sc_holdings_from_json(json, &out, &err) != SC_MALFORMED)
            fail_msg("%s", texts[i]);
        assert_int_equal(out.count + out.tally_count, 0);
        json_decref(json);
    }
}

/* ---- what was accepted as lost ---- */

/* Of 15 accepted batches 10 are safe, and the first `held` are here; what another node tells is lost. */
static struct sc_window_copies with_losses(uint64_t held, uint64_t lost, bool closed)
{
    struct sc_holdings here = {0}, told = {0}, other;
    struct sc_holding one = {window_ms(0), STREAM, 0, held - 1, 7, 0, 0};
    struct sc_tally t = {.proxy = "p", .stream = STREAM, .window_ms = window_ms(0), .window_s = 300};
    struct sc_loss loss = {STREAM, window_ms(0), 300, 7, {{lost - 1, 1}, {0, 0}}};
    const struct sc_loss elsewhere = {STREAM + 1, window_ms(0), 300, 7, {{100, 0}, {0, 0}}};
    const struct sc_stream stream = {.proxy = "p", .stream = STREAM, .closed = closed};
    struct sc_error err = {0};
    struct sc_tally_lane *l = sc_tally_lane(&t, 7);
    assert_non_null(l);
    l->accepted.batches[0] = 15;
    l->safe.batches[0] = 10;
    assert_int_equal(sc_holdings_add(&here, &one), SC_OK);
    assert_int_equal(sc_holdings_add_tally(&here, &t), SC_OK);
    assert_int_equal(sc_losses_add(&told.losses, &loss), SC_OK);
    assert_int_equal(sc_losses_add(&told.losses, &elsewhere), SC_OK);
    assert_int_equal(sc_losses_add_stream(&told.losses, &stream), SC_OK);
    json_t *json = sc_holdings_to_json(&told);
    assert_int_equal(sc_holdings_from_json(json, &other, &err), SC_OK);
    const struct sc_holdings *const nodes[] = {&here, &other};
    const struct sc_horizons none = {0};
    struct sc_window_copies *windows, first;
    uint32_t count;
    assert_int_equal(sc_copies_compare(nodes, 2, 1, 10, &none, &windows, &count), SC_OK);
    assert_int_equal(count, 1);
    first = windows[0];
    free(windows);
    json_decref(json);
    sc_holdings_free(&here);
    sc_holdings_free(&told);
    sc_holdings_free(&other);
    assert_int_equal(first.known, 15);
    assert_int_equal(first.whole, held);
    return first;
}

static void accepted_losses(void **state)
{
    (void)state;
    struct sc_window_copies w = with_losses(6, 4, false);
    assert_true(w.missing == 0 && w.lost == 4 && w.waiting == 5);
    w = with_losses(6, 3, false); /* one more is missing since */
    assert_true(w.missing == 1 && w.lost == 3 && w.waiting == 5);
    w = with_losses(8, 9, false); /* some turned up; what waits is none of the lost */
    assert_true(w.missing == 0 && w.lost == 2 && w.waiting == 5);
    w = with_losses(6, 9, true);
    assert_true(w.missing == 0 && w.lost == 9 && w.waiting == 0);
}

/* ---- a store's files ---- */

static void write_window(struct sc_store_writer *w, unsigned window, uint64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct sc_batch *batch = kit_batch(first + i, 1, window_ms(window));
        kit_span(batch, STREAM, first + i);
        query_append(w, batch);
        sc_batch_free(batch);
    }
}

/* Those that are asked for, batch by batch, with their records. */
static void lanes_of_a_store(const char *store)
{
    struct sc_holdings wanted = {0}, h;
    struct sc_error err = {0};
    const struct sc_holding other = {.window_ms = window_ms(0), .stream = STREAM + 1};
    struct sc_holding lane = other;
    assert_int_equal(sc_holdings_add(&wanted, &other), SC_OK);
    assert_int_equal(sc_holdings_read_lanes(store, &wanted, &h, &err), SC_OK);
    assert_true(h.count == 0 && h.tally_count == 0 && h.losses.count == 0);
    lane.window_ms = window_ms(1);
    lane.stream = STREAM;
    assert_int_equal(sc_holdings_add(&wanted, &lane), SC_OK);
    sc_holdings_settle(&wanted);
    assert_int_equal(sc_holdings_read_lanes(store, &wanted, &h, &err), SC_OK);
    assert_int_equal(h.count, 1); /* one record each: all the same */
    assert_true(h.list[0].window_ms == window_ms(1) && h.list[0].first == 10 && h.list[0].last == 24 &&
                h.list[0].rows == 1 && h.list[0].kind == SC_RECORDS_FLOWS);
    sc_holdings_free(&h);
    sc_holdings_free(&wanted);
}

static void from_a_store(void **state)
{
    (void)state;
    char *store = kit_folder(), lane[600];
    struct sc_error err = {0};
    struct sc_holdings h;
    snprintf(lane, sizeof(lane), "%s/.replica", store);
    assert_int_equal(mkdir(lane, 0755), 0);
    snprintf(lane, sizeof(lane), "%s/.replica/n2", store);
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    write_window(w, 0, 0, 10);
    write_window(w, 1, 10, 5);
    assert_int_equal(sc_store_writer_seal(w, window_ms(1), &err), SC_OK);
    write_window(w, 1, 20, 5);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    w = sc_store_writer_open(lane, NULL, &err); /* the same again, and what closes the gap */
    assert_non_null(w);
    write_window(w, 1, 12, 8);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    struct sc_tally t = {.proxy = "p", .stream = STREAM, .window_ms = window_ms(2), .window_s = 300};
    assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
    struct sc_losses losses = {0};
    for (unsigned i = 0; i < 2; i++) {
        const struct sc_loss loss = {STREAM, window_ms(i), 300, 7, {{i + 1, 0}, {0, 0}}};
        assert_int_equal(sc_losses_add(&losses, &loss), SC_OK);
    }
    assert_int_equal(sc_losses_add_stream(&losses, &(struct sc_stream){.proxy = "p", .stream = STREAM}),
                     SC_OK);
    assert_int_equal(sc_losses_write(store, &losses, NULL, &err), SC_OK);
    sc_losses_free(&losses);
    assert_int_equal(sc_holdings_read(store, 10, &h, &err), SC_OK);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.losses.count, 2);
    assert_true(h.list[0].window_ms == window_ms(0) && h.list[0].first == 0 && h.list[0].last == 9);
    assert_true(h.list[1].window_ms == window_ms(1) && h.list[1].first == 10 && h.list[1].last == 24);
    assert_int_equal(h.tally_count, 1);
    assert_int_equal(h.unreadable, 0);
    sc_holdings_free(&h);
    assert_int_equal(sc_holdings_read(store, 2, &h, &err), SC_OK); /* the windows 1 and 2 */
    assert_int_equal(h.count, 1);
    assert_int_equal(h.list[0].first, 10);
    assert_true(h.losses.count == 1 && h.losses.list[0].window_ms == window_ms(1));
    sc_holdings_free(&h);
    assert_int_equal(sc_holdings_read(store, 1, &h, &err), SC_OK);
    assert_true(h.count == 0 && h.tally_count == 1);
    sc_holdings_free(&h);
    lanes_of_a_store(store);
    kit_remove(store);
    assert_int_equal(sc_holdings_read("/nonexistent/store", 1, &h, &err), SC_NOTFOUND);
}

UNIT(test_holdings)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_counted_one_by_one), cmocka_unit_test(json_and_back),
        cmocka_unit_test(with_records),          cmocka_unit_test(contradictions),
        cmocka_unit_test(losses_and_back),       cmocka_unit_test(makes_no_sense),
        cmocka_unit_test(accepted_losses),       cmocka_unit_test(from_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
