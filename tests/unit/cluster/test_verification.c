// SPDX-License-Identifier: BSD-3-Clause
/* A script stands for ssh and gives prepared answers: what is joined, what is asked a second time, what is left out, and what makes no
 * sense; and what a member answers for its files. */
#include "cluster/verification.h"

#include "base/clock.h"
#include "cluster/over.h"
#include "query_kit.h"
#include "store/horizon.h"

#include <string.h>
#include <unistd.h>

#define STREAM UINT64_C(0xfeedfacecafe0001)
#define NODES  3u
#define SETTLE 5000u
#define LANE_A 21u

enum { A, B, C };

static struct sc_member members[NODES] = {
    {.name = "a", .lane = LANE_A, .address = {.host = "192.0.2.1"}, .subcollector = true},
    {.name = "b", .lane = 22, .address = {.host = "192.0.2.2"}, .subcollector = true},
    {.name = "c", .lane = 23, .address = {.host = "192.0.2.3"}, .subcollector = true},
};
static const struct sc_cluster cluster = {.members = members, .count = NODES, .replication = 2};

static const struct sc_retention keeps_all;

struct lab {
    char *folder;
    char script[600];
    uint64_t now_ms;
    struct sc_verification v;
};

static void begin(struct lab *lab)
{
    *lab = (struct lab){.folder = kit_folder(), .now_ms = sc_clock_wall_ms()};
    snprintf(lab->script, sizeof(lab->script), "%s/ssh", lab->folder);
    FILE *f = fopen(lab->script, "we");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\ncd %s\n"
            "case \"$*\" in *192.0.2.1*) n=a;; *192.0.2.2*) n=b;; *) n=c;; esac\n"
            "cat > $n.read\nwhat=all\n"
            "case \"$(cat $n.read)\" in *lanes*) what=lanes; cp $n.read $n.again;; esac\n"
            "if [ -e $n.$what ]; then echo; echo; cat $n.$what; exit; fi\n"
            "echo 'No route to host' >&2; exit 255\n",
            lab->folder);
    assert_int_equal(fchmod(fileno(f), 0755), 0);
    assert_int_equal(fclose(f), 0);
}

static void run(struct lab *lab)
{
    static const char *const there[] = {"sc-admin", "verify", "--member", NULL};
    const struct sc_survey_options options = {
        .ssh = lab->script, .here = there, .there = there, .timeout_ms = 60000, .subcollectors = true};
    assert_int_equal(sc_verification_run(&lab->v, &options, &cluster, SETTLE, NULL), SC_OK);
}

static void end(struct lab *lab)
{
    sc_verification_free(&lab->v);
    kit_remove(lab->folder);
}

static void put(const struct lab *lab, unsigned node, const char *what, json_t *root)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s.%s", lab->folder, members[node].name, what);
    assert_non_null(root);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

/* What the script was asked the second time; NULL: it was not, or not this one. */
static json_t *asked_again(const struct lab *lab, unsigned node)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s.again", lab->folder, members[node].name);
    json_t *request = json_load_file(path, 0, NULL);
    json_t *lanes = json_incref(json_object_get(json_object_get(request, "lanes"), members[node].name));
    json_decref(request);
    return lanes;
}

/* A window that began so long ago. */
static uint64_t ago(const struct lab *lab, unsigned seconds)
{
    return lab->now_ms - (uint64_t)seconds * 1000;
}

/* The batches `first` to `last` of lane a; none when first is greater. */
static json_t *held(uint64_t window_ms, int first, int last, uint32_t rows, bool tallies)
{
    struct sc_holdings h = {0};
    const struct sc_holding one = {window_ms, STREAM, (uint64_t)first, (uint64_t)last, LANE_A, rows, 0};
    if (first <= last)
        assert_int_equal(sc_holdings_add(&h, &one), SC_OK);
    if (tallies) {
        struct sc_tally t = {.proxy = "p", .stream = STREAM, .window_ms = window_ms, .window_s = 60};
        struct sc_tally_lane *lane = sc_tally_lane(&t, LANE_A);
        assert_non_null(lane);
        lane->accepted.batches[0] = lane->safe.batches[0] = 10;
        lane->accepted.records[0] = lane->safe.records[0] = 1000;
        assert_int_equal(sc_holdings_add_tally(&h, &t), SC_OK);
    }
    sc_holdings_settle(&h);
    json_t *json = sc_holdings_to_json(&h);
    sc_holdings_free(&h);
    return json;
}

/* Takes over both lists. */
static json_t *answer(const struct lab *lab, unsigned node, json_t *whole, json_t *damaged)
{
    json_int_t now = (json_int_t)lab->now_ms;
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:[{s:s, s:s, s:I, s:b}]}", "node", members[node].name,
                     "now_ms", now, "horizon_ms", (json_int_t)0, "held", whole, "damaged", damaged, "streams",
                     "proxy", "p", "stream", "feedfacecafe0001", "heard_ms", now, "closed", 1);
}

static void put_all(const struct lab *lab, unsigned node, uint64_t window_ms, int first, int last)
{
    put(lab, node, "all",
        answer(lab, node, held(window_ms, first, last, 0, true), held(window_ms, 1, 0, 0, false)));
}

static void put_again(const struct lab *lab, unsigned node, uint64_t window_ms, int first, int last)
{
    put(lab, node, "lanes",
        json_pack("{s:s, s:o}", "node", members[node].name, "held",
                  held(window_ms, first, last, 100, false)));
}

/* ---- joined ---- */

static void whole_is_asked_once(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    put_all(&lab, A, ago(&lab, 600), 0, 9);
    put_all(&lab, B, ago(&lab, 600), 0, 9);
    put_all(&lab, C, ago(&lab, 600), 1, 0);
    run(&lab);
    assert_true(lab.v.lack_count == 0 && lab.v.missing_count == 0 && lab.v.members[C].told);
    assert_null(asked_again(&lab, A));
    end(&lab);
}

/* One has told early, and the last batches came to it meanwhile. */
static void what_came_meanwhile_is_no_lack(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    put_all(&lab, A, ago(&lab, 600), 0, 7);
    put_again(&lab, A, ago(&lab, 600), 0, 9);
    put_all(&lab, B, ago(&lab, 600), 0, 9);
    put_again(&lab, B, ago(&lab, 600), 1, 0);
    put_all(&lab, C, ago(&lab, 600), 1, 0);
    put_again(&lab, C, ago(&lab, 600), 1, 0);
    run(&lab);
    assert_true(lab.v.lack_count == 0 && lab.v.missing_count == 0);
    json_t *lanes = asked_again(&lab, A), *none = asked_again(&lab, B);
    assert_non_null(lanes);
    assert_null(none); /* it is not asked for anything */
    json_decref(lanes);
    end(&lab);
}

static void what_lacks_still_is_told(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    for (unsigned n = 0; n < NODES; n++)
        put_again(&lab, n, ago(&lab, 600), n == B ? 0 : 1, n == B ? 7 : 0);
    put(&lab, A, "all",
        answer(&lab, A, held(ago(&lab, 600), 1, 0, 0, true), held(ago(&lab, 600), 0, 3, 0, false)));
    put_all(&lab, B, ago(&lab, 600), 0, 7);
    put_all(&lab, C, ago(&lab, 600), 1, 0);
    run(&lab);
    assert_int_equal(lab.v.lack_count, 1);
    const struct sc_lack *lack = lab.v.lacks;
    assert_true(lack->member == A && lack->lane == LANE_A && lack->window_ms == ago(&lab, 600) &&
                lack->damaged == 4 && lack->absent == 4 && lack->left == 1);
    assert_true(lab.v.members[A].absent == 4 && lab.v.members[A].damaged_batches == 4);
    assert_int_equal(lab.v.missing_count, 1);
    assert_non_null(strstr(lab.v.missing[0], "2 of 10 batches of proxy p are missing, with 200 records"));
    end(&lab);
}

/* Between the two looks at member a, it or all expire the window. */
static void look_while_it_expires(bool all_expire, bool by_kept_from)
{
    struct lab lab;
    begin(&lab);
    const uint64_t window_ms = ago(&lab, 600);
    const json_int_t behind = (json_int_t)window_ms + 1;
    for (unsigned n = 0; n < NODES; n++) {
        put_all(&lab, n, window_ms, n == B ? 0 : 1, n == B ? 8 : 0);
        json_t *root =
            json_pack("{s:s, s:o, s:I, s:I}", "node", members[n].name, "held",
                      held(window_ms, n == B ? 0 : 1, n == B ? 8 : 0, 100, false), "horizon_ms",
                      all_expire ? behind : 0, "kept_from_ms", by_kept_from && n == A ? behind : 0);
        put(&lab, n, "lanes", root);
    }
    run(&lab);
    assert_int_equal(lab.v.missing_count, all_expire ? 0 : 1);
    assert_int_equal(lab.v.lack_count, by_kept_from ? 0 : 1);
    end(&lab);
}

static void what_expires_meanwhile_is_no_lack(void **state)
{
    (void)state;
    look_while_it_expires(false, false);
    look_while_it_expires(true, false);
    look_while_it_expires(false, true);
}

/* It may hold by now what it did not; what was damaged is so still. */
static void who_cannot_look_again_has_a_problem(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    put(&lab, A, "all",
        answer(&lab, A, held(ago(&lab, 600), 0, 6, 0, true), held(ago(&lab, 600), 7, 8, 0, false)));
    put_all(&lab, B, ago(&lab, 600), 0, 9);
    put_all(&lab, C, ago(&lab, 600), 1, 0);
    for (unsigned n = 0; n < NODES; n++)
        put(&lab, n, "lanes", json_pack("{s:s, s:s}", "node", members[n].name, "problem", "cannot read it"));
    run(&lab);
    assert_string_equal(lab.v.survey.nodes[A].problem, "cannot read it");
    assert_true(lab.v.lack_count == 1 && lab.v.lacks[0].damaged == 2 && lab.v.lacks[0].absent == 0);
    assert_true(lab.v.members[A].absent == 0 && lab.v.members[A].damaged_batches == 2);
    end(&lab);
}

static void who_is_silent_lacks_nothing(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    put_all(&lab, B, ago(&lab, 600), 0, 9);
    put(&lab, C, "all", json_pack("{s:s, s:s}", "node", "c", "problem", "cannot read it"));
    run(&lab);
    assert_true(lab.v.lack_count == 0 && lab.v.missing_count == 0 && !lab.v.members[A].told);
    assert_string_equal(lab.v.survey.nodes[A].problem, "No route to host");
    assert_string_equal(lab.v.survey.nodes[C].problem, "cannot read it");
    end(&lab);
}

/* By the clock of the one that looked first, and the length of its windows. */
static void windows_that_are_not_over_are_left_out(void **state)
{
    (void)state;
    static const struct {
        unsigned ago_s, behind_s;
        bool judged;
    } cases[] = {{600, 0, true}, {70, 0, true},   {62, 0, false},
                 {30, 0, false}, {70, 40, false}, {130, 40, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab lab;
        begin(&lab);
        uint64_t window_ms = ago(&lab, cases[i].ago_s);
        put_all(&lab, A, window_ms, 1, 0);
        put_again(&lab, A, window_ms, 1, 0);
        put_all(&lab, B, window_ms, 0, 9);
        put_again(&lab, B, window_ms, 0, 9);
        lab.now_ms -= cases[i].behind_s * UINT64_C(1000);
        put_all(&lab, C, window_ms, 1, 0);
        put_again(&lab, C, window_ms, 1, 0);
        run(&lab);
        assert_int_equal(lab.v.lack_count, cases[i].judged ? 1 : 0);
        assert_int_equal(lab.v.over_ms, lab.now_ms - SETTLE);
        end(&lab);
    }
}

/* A window of an hour that is not over leaves out itself, and not those of a minute before it or in it. */
static void each_window_has_its_own_length(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    const uint64_t begun = ago(&lab, 1200), over = ago(&lab, 600);
    put_all(&lab, B, over, 0, 9);
    put_again(&lab, B, over, 0, 9);
    for (unsigned n = A; n <= C; n += C) {
        put_all(&lab, n, over, 1, 0);
        put_again(&lab, n, over, 1, 0);
    }
    json_t *whole = held(over, 0, 9, 0, true), *windows = json_object_get(whole, "windows");
    json_array_append_new(windows, json_pack("{s:I, s:[], s:[{s:s, s:s, s:i, s:[]}]}", "start_ms",
                                             (json_int_t)begun, "held", "tallies", "proxy", "q", "stream",
                                             "1", "seconds", 3600, "lanes"));
    put(&lab, B, "all", answer(&lab, B, whole, held(over, 1, 0, 0, false)));
    run(&lab);
    assert_true(lab.v.lack_count == 1 && lab.v.lacks[0].member == A && lab.v.lacks[0].absent == 10);
    assert_int_equal(lab.v.left_from_ms, begun);
    end(&lab);
}

/* Of which no tally tells. */
static void a_window_without_a_tally_may_be_as_long_as_any(void **state)
{
    (void)state;
    static const struct {
        uint32_t seconds, ago_s;
        bool over;
    } cases[] = {{0, 86399, false},   {0, 86400, true},   {60, 59, false}, {60, 60, true},
                 {3600, 3599, false}, {3600, 3600, true}, {60, 0, false},  {86400, 86400, true}};
    const uint64_t now_ms = UINT64_C(1000000000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_over over = {.end_ms = now_ms};
        struct sc_holdings h = {0};
        struct sc_tally t = {.proxy = "p", .stream = 1, .window_ms = 1, .window_s = cases[i].seconds};
        const struct sc_holding one = {.window_ms = now_ms - cases[i].ago_s * UINT64_C(1000), .stream = 1};
        if (cases[i].seconds != 0)
            assert_int_equal(sc_holdings_add_tally(&h, &t), SC_OK);
        assert_int_equal(sc_holdings_add(&h, &one), SC_OK);
        sc_holdings_settle(&h);
        assert_int_equal(sc_over_hear(&over, &h), SC_OK);
        sc_over_settle(&over);
        sc_over_leave_out(&over, &h);
        assert_int_equal(h.count, cases[i].over ? 1 : 0);
        assert_int_equal(over.left_from_ms, cases[i].over ? 0 : one.window_ms);
        sc_holdings_free(&h);
        sc_over_free(&over);
    }
}

/* It says nothing that could be judged by, and does not keep the others from being judged. */
static void a_wrong_clock_is_a_problem(void **state)
{
    (void)state;
    const json_int_t now = (json_int_t)sc_clock_wall_ms();
    json_t *clocks[] = {NULL,
                        json_string("x"),
                        json_real((double)now),
                        json_integer(-1),
                        json_integer(0),
                        json_integer(now - 90000),
                        json_integer(now + 900000)};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct lab lab;
        begin(&lab);
        for (unsigned n = 0; n < NODES; n++) {
            put_all(&lab, n, ago(&lab, 600), n == B ? 0 : 1, n == B ? 9 : 0);
            put_again(&lab, n, ago(&lab, 600), n == B ? 0 : 1, n == B ? 9 : 0);
        }
        json_t *root =
            answer(&lab, C, held(ago(&lab, 600), 1, 0, 0, true), held(ago(&lab, 600), 1, 0, 0, false));
        json_object_del(root, "now_ms");
        if (clocks[i] != NULL)
            json_object_set_new(root, "now_ms", clocks[i]);
        put(&lab, C, "all", root);
        run(&lab);
        assert_non_null(strstr(lab.v.survey.nodes[C].problem, "its clock is "));
        assert_true(!lab.v.members[C].told && lab.v.lack_count == 1 && lab.v.lacks[0].member == A);
        end(&lab);
    }
}

static void an_answer_that_makes_no_sense_is_a_problem(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "[]",
        "{\"node\": \"a\"}",
        "{\"node\": \"b\"}",
        "{\"node\": 3, \"held\": {}}",
        "{\"node\": \"a\", \"held\": {\"windows\": [], \"unreadable\": 0}}",
        "{\"node\": \"a\", \"held\": {\"windows\": [], \"unreadable\": 0}, \"damaged\": {\"windows\": 7}}"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct lab lab;
        begin(&lab);
        put(&lab, A, "all", json_loads(answers[i], 0, NULL));
        put_all(&lab, B, ago(&lab, 600), 0, 9);
        put_all(&lab, C, ago(&lab, 600), 1, 0);
        run(&lab);
        assert_true(lab.v.survey.nodes[A].problem[0] != '\0' && !lab.v.members[A].told);
        assert_int_equal(lab.v.lack_count, 0);
        end(&lab);
    }
}

/* What a member is to keep is told by its clock, and never reaches beyond now. */
static void what_is_kept_is_by_the_clock_of_who_asks(void **state)
{
    (void)state;
    static const struct {
        int ahead_s, kept_ago_s;
        bool lacks;
    } cases[] = {{0, 630, true},    {0, 590, false},   {40, 595, true},
                 {-40, 630, false}, {-40, 590, false}, {0, -864000, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab lab;
        begin(&lab);
        const uint64_t window_ms = ago(&lab, 600);
        const json_int_t kept = (json_int_t)lab.now_ms - cases[i].kept_ago_s * 1000;
        for (unsigned n = 0; n < NODES; n++) {
            put_all(&lab, n, window_ms, n == B ? 0 : 1, n == B ? 9 : 0);
            put_again(&lab, n, window_ms, n == B ? 0 : 1, n == B ? 9 : 0);
        }
        lab.now_ms += (uint64_t)(cases[i].ahead_s * INT64_C(1000));
        json_t *root = answer(&lab, A, held(window_ms, 1, 0, 0, true), held(window_ms, 1, 0, 0, false));
        json_object_set_new(root, "kept_from_ms", json_integer(kept));
        put(&lab, A, "all", root);
        run(&lab);
        assert_int_equal(lab.v.lack_count, cases[i].lacks ? 1 : 0);
        assert_true(lab.v.members[A].kept_from_ms <= lab.v.asked_ms);
        end(&lab);
    }
}

/* By whatever it tells of it, in figures or in words. */
static void damage_is_told_in_many_ways(void **state)
{
    (void)state;
    static const char *const answers[] = {"{}", "{\"damaged_files\": 1}", "{\"more_findings\": 1}",
                                          "{\"failed\": \"cannot list it\"}", "{\"findings\": [{}]}"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct sc_verified_member m = {.answer = json_loads(answers[i], 0, NULL)};
        assert_true(sc_verified_is_damaged(&m) == (i != 0));
        json_decref(m.answer);
    }
    const struct sc_verified_member batches = {.damaged_batches = 1}, unreadable = {.unreadable = 1};
    assert_true(sc_verified_is_damaged(&batches) && sc_verified_is_damaged(&unreadable));
}

/* Values of any kind where others are awaited. */
static void odd_values_do_no_harm(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab);
    json_t *root = answer(&lab, A, held(ago(&lab, 600), 0, 9, 0, true), held(ago(&lab, 600), 1, 0, 0, false));
    json_object_set_new(root, "horizon_ms", json_string("x"));
    json_object_set_new(root, "horizons", json_integer(-1));
    json_object_set_new(root, "streams", json_pack("[s, {s:i}]", "x", "proxy", 7));
    json_object_set_new(root, "findings", json_true());
    json_object_set_new(root, "store", json_integer(3));
    put(&lab, A, "all", root);
    put_all(&lab, B, ago(&lab, 600), 0, 9);
    put_all(&lab, C, ago(&lab, 600), 1, 0);
    run(&lab);
    assert_true(lab.v.members[A].told && lab.v.lack_count == 0 && lab.v.missing_count == 0);
    end(&lab);
}

/* ---- the side of a member ---- */

static void write_window(const char *store, uint64_t window_ms, uint64_t first)
{
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    for (uint64_t i = first; i < first + 5; i++) {
        struct sc_batch *batch = kit_batch(i, 20, window_ms);
        kit_span(batch, STREAM, i);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
}

static void take_progress(void *arg, uint64_t bytes, uint64_t of_bytes)
{
    uint64_t *last = arg;
    assert_true(bytes > *last && bytes <= of_bytes);
    *last = bytes;
}

static struct sc_holdings read_held(const json_t *root, const char *key)
{
    struct sc_holdings h;
    assert_int_equal(sc_holdings_from_json(json_object_get(root, key), &h, NULL), SC_OK);
    return h;
}

static void check_all(const char *store)
{
    uint64_t last = 0;
    json_t *request = json_object(),
           *root = sc_verification_answer(store, "a", &keeps_all, request, take_progress, &last);
    struct sc_holdings whole = read_held(root, "held"), damaged = read_held(root, "damaged");
    assert_true(whole.count == 2 && whole.list[0].first == 0 && whole.list[0].last == 4 &&
                whole.list[1].first == 5 && whole.list[1].last == 9 && damaged.count == 0);
    assert_int_equal(json_integer_value(json_object_get(root, "records")), 200);
    assert_true(last > 0 && json_array_size(json_object_get(root, "findings")) == 0);
    sc_holdings_free(&whole);
    sc_holdings_free(&damaged);
    json_decref(request);
    json_decref(root);
}

/* Of the lanes that it is asked for by its name; another's are none of its. */
static void check_lanes(const char *store, const char *name, uint32_t count)
{
    struct sc_holdings lanes = {0};
    const struct sc_holding one = {.window_ms = KIT_WINDOW, .stream = STREAM};
    assert_int_equal(sc_holdings_add(&lanes, &one), SC_OK);
    json_t *request = json_pack("{s:{s:o}}", "lanes", name, sc_holdings_to_json(&lanes));
    json_t *root = sc_verification_answer(store, "a", &keeps_all, request, NULL, NULL);
    struct sc_holdings whole = read_held(root, "held");
    assert_int_equal(whole.count, count);
    if (count != 0)
        assert_true(whole.list[0].window_ms == KIT_WINDOW && whole.list[0].last == 4 &&
                    whole.list[0].rows == 20);
    sc_holdings_free(&whole);
    sc_holdings_free(&lanes);
    json_decref(request);
    json_decref(root);
}

static void a_member_answers_for_its_files(void **state)
{
    (void)state;
    char *store = kit_folder();
    write_window(store, KIT_WINDOW, 0);
    write_window(store, KIT_WINDOW + 300000, 5);
    check_all(store);
    check_lanes(store, "a", 1);
    check_lanes(store, "b", 0);
    kit_remove(store);
}

static json_t *ask_for_lanes(const char *store)
{
    struct sc_holdings lanes = {0};
    const struct sc_holding one = {.window_ms = KIT_WINDOW, .stream = STREAM};
    assert_int_equal(sc_holdings_add(&lanes, &one), SC_OK);
    json_t *request = json_pack("{s:{s:o}}", "lanes", "a", sc_holdings_to_json(&lanes));
    json_t *root = sc_verification_answer(store, "a", &keeps_all, request, NULL, NULL);
    sc_holdings_free(&lanes);
    json_decref(request);
    return root;
}

/* When it is asked again: it is none that has nothing. */
static void who_cannot_look_says_so(void **state)
{
    (void)state;
    char *store = kit_folder(), path[600];
    write_window(store, KIT_WINDOW, 0);
    json_t *root = ask_for_lanes(store);
    assert_true(json_is_object(json_object_get(root, "held")) && json_object_get(root, "problem") == NULL);
    assert_true(json_is_integer(json_object_get(root, "horizon_ms")) &&
                json_is_integer(json_object_get(root, "kept_from_ms")));
    json_decref(root);
    snprintf(path, sizeof(path), "%s/loop.scs", store);
    assert_int_equal(symlink(path, path), 0); /* too many links: an error as of a disk */
    root = ask_for_lanes(path);
    assert_true(json_object_get(root, "held") == NULL && json_is_string(json_object_get(root, "problem")));
    json_decref(root);
    kit_remove(store);
}

static uint64_t kept_from(const char *store, uint64_t bytes)
{
    const struct sc_retention retention = {.bytes = bytes};
    json_t *request = json_object(),
           *root = sc_verification_answer(store, "a", &retention, request, NULL, NULL);
    uint64_t from_ms = (uint64_t)json_integer_value(json_object_get(root, "kept_from_ms"));
    json_decref(request);
    json_decref(root);
    return from_ms;
}

/* What somebody deleted by hand is to be there all the same; what there is no room for is not, whether it ever was there or not. */
static void what_is_kept_by_size_is_what_healing_asks_for(void **state)
{
    (void)state;
    const struct sc_retention by_hand = {.bytes = 1};
    struct sc_expiry e;
    char *store = kit_folder();
    write_window(store, KIT_WINDOW, 0);
    write_window(store, KIT_WINDOW + 300000, 5);
    assert_int_equal(kept_from(store, 1), KIT_WINDOW + 300001);
    assert_int_equal(kept_from(store, UINT64_C(1) << 30), 0);
    assert_int_equal(sc_store_expire(store, &by_hand, KIT_WINDOW + 600000, false, NULL, &e, NULL), SC_OK);
    assert_int_equal(e.windows, 1);
    assert_true(sc_store_horizon(store) > KIT_WINDOW);
    assert_int_equal(kept_from(store, UINT64_C(1) << 30), 0);
    assert_int_equal(kept_from("/nonexistent/store", 1), 0);
    kit_remove(store);
}

static void a_store_that_is_not_there_is_named(void **state)
{
    (void)state;
    json_t *request = json_object(),
           *root = sc_verification_answer("/nonexistent/store", "a", &keeps_all, request, NULL, NULL);
    const json_t *finding = json_array_get(json_object_get(root, "findings"), 0);
    assert_string_equal(json_string_value(json_object_get(finding, "text")), "the store is not there");
    assert_null(json_object_get(root, "problem"));
    struct sc_holdings whole = read_held(root, "held");
    assert_int_equal(whole.count, 0);
    json_decref(request);
    json_decref(root);
}

/* In names of files, and in sentences: they are told all the same. */
static void bytes_that_are_no_text_are_made_visible(void **state)
{
    (void)state;
    json_t *request = json_object();
    json_t *root = sc_verification_answer("/nonexistent/\xff", "a", &keeps_all, request, NULL, NULL);
    const json_t *finding = json_array_get(json_object_get(root, "findings"), 0);
    assert_string_equal(json_string_value(json_object_get(finding, "path")), "/nonexistent/\\xff");
    assert_string_equal(json_string_value(json_object_get(root, "store")), "/nonexistent/\\xff");
    json_decref(root);
    char *store = kit_folder(), path[600];
    snprintf(path, sizeof(path), "%s/\xff.scs", store);
    assert_int_equal(symlink(path, path), 0);
    root = sc_verification_answer(path, "a", &keeps_all, request, NULL, NULL);
    assert_non_null(strstr(json_string_value(json_object_get(root, "problem")), "\\xff.scs"));
    kit_remove(store);
    json_decref(root);
    json_decref(request);
}

/* Those that are too many are counted. */
static void findings_have_a_bound(void **state)
{
    (void)state;
    char *store = kit_folder(), path[600];
    for (unsigned i = 0; i < 1003; i++) {
        snprintf(path, sizeof(path), "%s/20200101T0000%02uZ-%016x.scs", store, i % 60, i + 1);
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fclose(f), 0);
    }
    json_t *request = json_object();
    json_t *root = sc_verification_answer(store, "a", &keeps_all, request, NULL, NULL);
    assert_int_equal(json_array_size(json_object_get(root, "findings")), 1000);
    assert_int_equal(json_integer_value(json_object_get(root, "more_findings")), 3);
    assert_int_equal(json_integer_value(json_object_get(root, "damaged_files")), 1003);
    json_decref(root);
    json_decref(request);
    kit_remove(store);
}

UNIT(test_verification)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_is_asked_once),
        cmocka_unit_test(what_came_meanwhile_is_no_lack),
        cmocka_unit_test(what_lacks_still_is_told),
        cmocka_unit_test(what_expires_meanwhile_is_no_lack),
        cmocka_unit_test(who_cannot_look_again_has_a_problem),
        cmocka_unit_test(who_is_silent_lacks_nothing),
        cmocka_unit_test(windows_that_are_not_over_are_left_out),
        cmocka_unit_test(each_window_has_its_own_length),
        cmocka_unit_test(a_window_without_a_tally_may_be_as_long_as_any),
        cmocka_unit_test(a_wrong_clock_is_a_problem),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_a_problem),
        cmocka_unit_test(what_is_kept_is_by_the_clock_of_who_asks),
        cmocka_unit_test(damage_is_told_in_many_ways),
        cmocka_unit_test(bytes_that_are_no_text_are_made_visible),
        cmocka_unit_test(findings_have_a_bound),
        cmocka_unit_test(odd_values_do_no_harm),
        cmocka_unit_test(a_member_answers_for_its_files),
        cmocka_unit_test(what_is_kept_by_size_is_what_healing_asks_for),
        cmocka_unit_test(who_cannot_look_says_so),
        cmocka_unit_test(a_store_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
