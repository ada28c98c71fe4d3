// SPDX-License-Identifier: BSD-3-Clause
/*
 * What members lack together: random copies, counted one by one; a script stands for ssh and gives prepared answers. What they are then
 * asked to record, they record; who is another one is not taken for a member.
 */
#include "cluster/acceptance.h"

#include "base/clock.h"
#include "query_kit.h"

#include <string.h>

#define STREAM  UINT64_C(0xfeedfacecafe0001)
#define LANES   2u
#define WINDOWS 2u
#define NUMBERS 40u /* of a lane; the first half in the first window */

enum { A, B, C, NODES };

static struct sc_member members[NODES] = {
    {.name = "a", .address = {.host = "192.0.2.1"}, .subcollector = true},
    {.name = "b", .address = {.host = "192.0.2.2"}, .subcollector = true},
    {.name = "c", .address = {.host = "192.0.2.3"}, .subcollector = true},
};
static const struct sc_cluster cluster = {.members = members, .count = NODES, .replication = 2, .version = 7};

struct lab {
    uint64_t random;
    char *folder;
    char script[600];
    struct sc_survey survey;
    bool answers[NODES], holds[NODES][LANES][NUMBERS];
    uint32_t accepted[LANES], safe[LANES]; /* batches, by number */
    bool closed, silent;
    uint32_t found; /* losses that the judgement told */
};

/* A node whose answers are not there is as one that ssh cannot reach. What it reads is kept. */
static void begin(struct lab *lab, uint64_t seed)
{
    *lab = (struct lab){.random = seed, .folder = kit_folder()};
    snprintf(lab->script, sizeof(lab->script), "%s/ssh", lab->folder);
    FILE *f = fopen(lab->script, "we");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\ncd %s\n"
            "case \"$*\" in *192.0.2.1*) n=a;; *192.0.2.2*) n=b;; *) n=c;; esac\n"
            "cat > $n.read\nwhat=tell\n"
            "case \"$(cat $n.read)\" in *'\"lanes\":{'*) what=lanes;; *record*) what=record;; esac\n"
            "if [ -e $n.$what ]; then cat $n.$what; exit; fi\n"
            "echo 'No route to host' >&2; exit 255\n",
            lab->folder);
    assert_int_equal(fchmod(fileno(f), 0755), 0);
    assert_int_equal(fclose(f), 0);
}

static void begin_survey(struct lab *lab)
{
    static const char *const there[] = {"sc-admin", "accept-loss", "--member", NULL};
    const struct sc_survey_options options = {
        .ssh = lab->script, .here = there, .there = there, .timeout_ms = 60000, .subcollectors = true};
    assert_int_equal(sc_survey_begin(&lab->survey, &options, &cluster, NULL), SC_OK);
}

static void end(struct lab *lab)
{
    sc_survey_free(&lab->survey);
    kit_remove(lab->folder);
}

static void put(const struct lab *lab, unsigned node, const char *what, json_t *root)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s.%s", lab->folder, members[node].name, what);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

/* ---- what there is ---- */

static uint64_t window_of(uint32_t number)
{
    return KIT_WINDOW + (number < NUMBERS / 2 ? 0 : 300000);
}

static unsigned kind_of(uint32_t number)
{
    return number % 5 == 0;
}

static uint32_t rows_of(uint32_t number)
{
    return 1 + number * 7 % 50;
}

static void count(struct sc_tally_count *c, uint32_t number)
{
    c->batches[kind_of(number)]++;
    c->records[kind_of(number)] += rows_of(number);
}

static void place(struct lab *lab)
{
    lab->closed = kit_random(&lab->random) % 3 == 0;
    lab->silent = kit_random(&lab->random) % 2 == 0;
    for (unsigned n = 0; n < NODES; n++)
        lab->answers[n] = n == A || kit_random(&lab->random) % 4 != 0;
    for (unsigned l = 0; l < LANES; l++) {
        unsigned whole = kit_random(&lab->random) % 3;
        lab->accepted[l] = (uint32_t)(kit_random(&lab->random) % (NUMBERS + 1));
        lab->safe[l] = (uint32_t)(kit_random(&lab->random) % (lab->accepted[l] + 1));
        for (uint32_t i = 0; i < lab->accepted[l]; i++) {
            for (unsigned n = 0; n < NODES; n++)
                lab->holds[n][l][i] = whole == 0 ? n == A : kit_random(&lab->random) % 4 == 0;
        }
    }
}

static struct sc_holdings holdings_of(const struct lab *lab, unsigned node, bool records)
{
    struct sc_holdings h = {0};
    for (uint32_t l = 0; l < LANES; l++) {
        for (uint32_t i = 0; i < NUMBERS; i++) {
            const struct sc_holding one = {
                window_of(i), STREAM, i, i, l, records ? rows_of(i) : 0, records ? kind_of(i) : 0};
            if (lab->holds[node][l][i])
                assert_int_equal(sc_holdings_add(&h, &one), SC_OK);
        }
    }
    sc_holdings_settle(&h);
    return h;
}

static void add_tallies(const struct lab *lab, struct sc_holdings *h)
{
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint64_t window_ms = KIT_WINDOW + w * UINT64_C(300000);
        struct sc_tally t = {.proxy = "p", .stream = STREAM, .window_ms = window_ms, .window_s = 300};
        for (uint32_t l = 0; l < LANES; l++) {
            struct sc_tally_lane *lane = sc_tally_lane(&t, l);
            assert_non_null(lane);
            for (uint32_t i = 0; i < lab->accepted[l]; i++) {
                if (window_of(i) == window_ms)
                    count(&lane->accepted, i);
                if (window_of(i) == window_ms && i < lab->safe[l])
                    count(&lane->safe, i);
            }
        }
        assert_int_equal(sc_holdings_add_tally(h, &t), SC_OK);
    }
}

/* Each by a clock of its own. */
static json_t *tell(const struct lab *lab, unsigned node, struct sc_holdings *h)
{
    json_int_t now = (json_int_t)sc_clock_wall_ms() + (json_int_t)node * 3600000 - 3600000;
    add_tallies(lab, h);
    return json_pack("{s:s, s:I, s:I, s:o, s:[{s:s, s:s, s:I, s:b}]}", "node", members[node].name, "now_ms",
                     now, "horizon_ms", (json_int_t)0, "held", sc_holdings_to_json(h), "streams", "proxy",
                     "p", "stream", "feedfacecafe0001", "heard_ms", now - (lab->silent ? 10000 : 1000),
                     "closed", (int)lab->closed);
}

static void prepare(const struct lab *lab)
{
    for (unsigned n = 0; n < NODES; n++) {
        struct sc_holdings held = holdings_of(lab, n, false), detail = holdings_of(lab, n, true);
        if (lab->answers[n]) {
            put(lab, n, "tell", tell(lab, n, &held));
            put(lab, n, "lanes",
                json_pack("{s:s, s:o}", "node", members[n].name, "held", sc_holdings_to_json(&detail)));
        }
        sc_holdings_free(&held);
        sc_holdings_free(&detail);
    }
}

/* ---- one by one ---- */

static bool is_held(const struct lab *lab, uint32_t lane, uint32_t number)
{
    bool held = false;
    for (unsigned n = 0; n < NODES; n++)
        held = held || (lab->answers[n] && lab->holds[n][lane][number]);
    return held;
}

static uint64_t over(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What nobody holds of what was accepted, when nothing more can come; else of what is safe. */
static struct sc_tally_count lost_of(const struct lab *lab, uint64_t window_ms, uint32_t lane)
{
    struct sc_tally_count told = {0}, held = {0}, lost = {0};
    uint32_t expected = lab->closed || lab->silent ? lab->accepted[lane] : lab->safe[lane];
    for (uint32_t i = 0; i < lab->accepted[lane]; i++) {
        if (window_of(i) == window_ms && i < expected)
            count(&told, i);
        if (window_of(i) == window_ms && is_held(lab, lane, i))
            count(&held, i);
    }
    for (unsigned kind = 0; kind < 2; kind++) {
        lost.batches[kind] = over(told.batches[kind], held.batches[kind]);
        lost.records[kind] = lost.batches[kind] == 0 ? 0 : over(told.records[kind], held.records[kind]);
    }
    return lost;
}

static void on_lost(void *arg, const struct sc_tally *tally, const struct sc_loss *loss)
{
    struct lab *lab = arg;
    struct sc_tally_count want = lost_of(lab, loss->window_ms, loss->lane);
    unsigned kind = loss->lost.batches[1] != 0;
    assert_true(tally->stream == STREAM && loss->lost.batches[kind] == want.batches[kind] &&
                loss->lost.records[kind] == want.records[kind]);
    lab->found++;
}

static void on_silent(void *arg, const struct sc_stream *stream)
{
    const struct lab *lab = arg;
    assert_true(lab->silent && !lab->closed && stream->stream == STREAM);
}

static uint32_t count_losses(const struct lab *lab)
{
    uint32_t losses = 0;
    for (unsigned w = 0; w < WINDOWS; w++) {
        for (uint32_t l = 0; l < LANES; l++) {
            struct sc_tally_count lost = lost_of(lab, KIT_WINDOW + w * UINT64_C(300000), l);
            losses += (lost.batches[0] != 0) + (lost.batches[1] != 0);
        }
    }
    return losses;
}

static void as_counted_one_by_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 25; seed++) {
        struct lab lab;
        const struct sc_loss_sink sink = {on_lost, on_silent, &lab};
        struct sc_error err = {0};
        begin(&lab, seed);
        place(&lab);
        prepare(&lab);
        begin_survey(&lab);
        assert_int_equal(sc_acceptance_ask(&lab.survey, &err), SC_OK);
        assert_int_equal(sc_acceptance_judge(&lab.survey, &sink, &err), SC_OK);
        for (unsigned n = 0; n < NODES; n++)
            assert_string_equal(lab.survey.nodes[n].problem, lab.answers[n] ? "" : "No route to host");
        assert_int_equal(lab.found, count_losses(&lab));
        end(&lab);
    }
}

/* ---- what is recorded ---- */

static void what_it_is_asked_to_record_it_records(void **state)
{
    (void)state;
    struct lab lab;
    struct sc_losses losses = {0}, read = {0};
    struct sc_error err = {0};
    const struct sc_loss loss = {STREAM, KIT_WINDOW, 300, 7, {{3, 1}, {300, 9}}};
    const struct sc_stream stream = {.proxy = "p", .stream = STREAM, .closed = true};
    char path[600];
    begin(&lab, 0);
    put(&lab, A, "record", json_pack("{s:s}", "node", "a"));
    put(&lab, B, "record", json_pack("{s:s, s:s}", "node", "b", "problem", "cannot write it"));
    put(&lab, C, "record", json_pack("{s:s}", "node", "b"));
    begin_survey(&lab);
    assert_int_equal(sc_losses_add(&losses, &loss), SC_OK);
    assert_int_equal(sc_losses_add_stream(&losses, &stream), SC_OK);
    assert_int_equal(sc_acceptance_record(&lab.survey, &losses, &err), SC_OK);
    assert_string_equal(lab.survey.nodes[A].problem, "");
    assert_string_equal(lab.survey.nodes[B].problem, "cannot write it");
    assert_string_equal(lab.survey.nodes[C].problem, "it takes itself for member b");
    snprintf(path, sizeof(path), "%s/a.read", lab.folder);
    json_t *request = json_load_file(path, 0, NULL);
    for (unsigned times = 0; times < 2; times++) {
        json_t *answer = sc_acceptance_answer(lab.folder, "a", request);
        assert_string_equal(json_string_value(json_object_get(answer, "node")), "a");
        assert_null(json_object_get(answer, "problem"));
        json_decref(answer);
    }
    json_decref(request);
    assert_int_equal(sc_losses_read(lab.folder, &read, &err), SC_OK);
    assert_true(read.count == 1 && read.stream_count == 1 && read.streams[0].closed);
    assert_memory_equal(&read.list[0].lost, &loss.lost, sizeof(loss.lost));
    sc_losses_free(&read);
    sc_losses_free(&losses);
    end(&lab);
}

static void nonsense_is_named(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "{}", "{\"do\": \"dance\"}", "{\"do\": \"record\", \"losses\": 3}",
        "{\"do\": \"record\", \"losses\": {\"windows\": [], \"unreadable\": 0, \"losses\": [{\"stream\": "
        "\"1\", \"closed\": true, \"lanes\": []}]}}",
        "{\"do\": \"tell\", \"lanes\": []}"};
    char *store = kit_folder();
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        json_t *request = json_loads(requests[i], 0, NULL),
               *answer = sc_acceptance_answer(store, NULL, request);
        assert_non_null(strstr(json_string_value(json_object_get(answer, "problem")), "makes no sense"));
        assert_true(json_is_null(json_object_get(answer, "node")));
        json_decref(request);
        json_decref(answer);
    }
    kit_remove(store);
}

UNIT(test_acceptance)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_counted_one_by_one),
        cmocka_unit_test(what_it_is_asked_to_record_it_records),
        cmocka_unit_test(nonsense_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
