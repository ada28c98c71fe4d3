// SPDX-License-Identifier: BSD-3-Clause
/* What members of a cluster say of themselves, asked and compared; a script stands in for ssh and gives prepared answers. */
#include "cluster/survey.h"
#include "unit.h"

#include "query_kit.h"

#define STREAM UINT64_C(0xfeedfacecafe0001)

enum { A, B, C, NODES };

static struct sc_member members[NODES] = {
    {.name = "a", .address = {.host = "192.0.2.1"}, .proxy = true, .subcollector = true},
    {.name = "b", .address = {.host = "192.0.2.2"}, .subcollector = true},
    {.name = "c", .address = {.host = "192.0.2.3"}, .proxy = true, .subcollector = true},
};
static const struct sc_cluster cluster = {.members = members, .count = NODES, .replication = 2, .version = 7};

/* ---- answers ---- */

struct lab {
    char *folder;
    char script[600];
    struct sc_survey survey;
};

/* A node without an answer is as one that ssh cannot reach. From the second time on it may have another one. */
static void begin(struct lab *lab)
{
    *lab = (struct lab){.folder = kit_folder()};
    snprintf(lab->script, sizeof(lab->script), "%s/ssh", lab->folder);
    FILE *f = fopen(lab->script, "we");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\ncd %s\n"
            "case \"$*\" in *here*) n=a;; *192.0.2.1*) n=none;; *192.0.2.2*) n=b;; *) n=c;; esac\n"
            "if [ -e $n.asked ] && [ -e $n.again ]; then cat $n.again; exit; fi\n"
            ": > $n.asked\n"
            "if [ -e $n ]; then cat $n; exit; fi\n"
            "echo Warning >&2; echo 'No route to host' >&2; exit 255\n",
            lab->folder);
    assert_int_equal(fchmod(fileno(f), 0755), 0);
    assert_int_equal(fclose(f), 0);
}

static void end(struct lab *lab)
{
    sc_survey_free(&lab->survey);
    kit_remove(lab->folder);
}

/* Batches 0 to `last` of a window (none: UINT32_MAX), of which `safe` ought to be somewhere. */
static json_t *held_json(uint32_t last, uint64_t safe)
{
    struct sc_holdings held = {0};
    struct sc_tally t = {.proxy = "a", .stream = STREAM, .window_ms = KIT_WINDOW, .window_s = 300};
    struct sc_holding one = {KIT_WINDOW, STREAM, 0, last, 1, 0, 0};
    struct sc_tally_lane *lane = sc_tally_lane(&t, 1);
    assert_non_null(lane);
    lane->safe.batches[0] = lane->accepted.batches[0] = safe;
    if (last != UINT32_MAX)
        assert_int_equal(sc_holdings_add(&held, &one), SC_OK);
    assert_int_equal(sc_holdings_add_tally(&held, &t), SC_OK);
    sc_holdings_settle(&held);
    json_t *json = sc_holdings_to_json(&held);
    sc_holdings_free(&held);
    return json;
}

/* That of a node that is well; `held` is taken over. */
static json_t *answer(const char *name, json_t *held)
{
    json_t *root =
        json_pack("{s:s, s:I, s:{s:s}, s:{s:s, s:i, s:[{s:s, s:b}, {s:s, s:b}, {s:s}]}}", "version",
                  SC_VERSION, "now_ms", (json_int_t)KIT_WINDOW + 5000, "store", "last_sync",
                  "2027-01-15T08:00:03.500Z", "cluster", "node", name, "version", 7, "members", "name", "a",
                  "usable", 1, "name", "b", "usable", strcmp(name, "a") == 0, "name", "c");
    assert_non_null(root);
    json_object_set_new(root, "held", held);
    return root;
}

static void give(const struct lab *lab, const char *file, json_t *root)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", lab->folder, file);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

static void run(struct lab *lab)
{
    const char *here[] = {lab->script, "here", NULL}, *there[] = {"sc-admin", "status", NULL};
    const struct sc_survey_options options = {
        .node = "a", .ssh = lab->script, .here = here, .there = there, .timeout_ms = 60000, .windows = 3};
    struct sc_error err;
    assert_int_equal(sc_survey_run(&lab->survey, &options, &cluster, &err), SC_OK);
}

/* ---- facts ---- */

static void all_are_asked_and_compared(void **state)
{
    struct lab lab;
    uint32_t usable, proxies;
    char differs[160];
    (void)state;
    begin(&lab);
    give(&lab, "a", answer("a", held_json(9, 10)));
    give(&lab, "b", answer("b", held_json(9, 10)));
    give(&lab, "c", answer("c", held_json(UINT32_MAX, 10)));
    run(&lab);
    for (uint32_t i = 0; i < NODES; i++) {
        assert_string_equal(lab.survey.nodes[i].problem, "");
        assert_true(sc_survey_runs(&lab.survey.nodes[i]));
        assert_int_equal(sc_survey_lag_ms(&lab.survey.nodes[i]), 1500);
        assert_false(sc_survey_differs(&lab.survey, &lab.survey.nodes[i], differs, sizeof(differs)));
    }
    assert_int_equal(lab.survey.window_count, 1);
    assert_int_equal(lab.survey.windows[0].whole, 10);
    assert_int_equal(sc_survey_missing(&lab.survey), 0);
    sc_survey_taken_by(&lab.survey, &members[B], &usable, &proxies);
    assert_int_equal(usable, 1);
    assert_int_equal(proxies, 3);
    sc_survey_taken_by(&lab.survey, &members[C], &usable, &proxies);
    assert_int_equal(proxies, 0);
    end(&lab);
}

static void a_node_that_does_not_answer_has_a_problem(void **state)
{
    struct lab lab;
    (void)state;
    begin(&lab);
    give(&lab, "a",
         json_pack("{s:s, s:s, s:o}", "version", SC_VERSION, "problem", "no collector runs", "held",
                   held_json(9, 10)));
    give(&lab, "b", json_pack("[]"));
    run(&lab);
    assert_string_equal(lab.survey.nodes[A].problem, "no collector runs");
    assert_false(sc_survey_runs(&lab.survey.nodes[A]));
    assert_true(sc_survey_lag_ms(&lab.survey.nodes[A]) == UINT64_MAX);
    assert_string_equal(lab.survey.nodes[B].problem, "no status came, exit status 0");
    assert_string_equal(lab.survey.nodes[C].problem, "No route to host");
    assert_null(lab.survey.nodes[C].root);
    assert_int_equal(lab.survey.windows[0].single, 10); /* its files count all the same */
    end(&lab);
}

/* What came to b after it had answered, and before a did. */
static void what_seems_missing_is_asked_for_again(void **state)
{
    struct lab lab;
    (void)state;
    begin(&lab);
    give(&lab, "a", answer("a", held_json(UINT32_MAX, 10)));
    give(&lab, "b", answer("b", held_json(7, 8)));
    give(&lab, "b.again", answer("b", held_json(19, 20)));
    give(&lab, "c", answer("c", held_json(7, 8)));
    give(&lab, "c.again", answer("c", held_json(14, 20)));
    run(&lab);
    assert_int_equal(sc_survey_missing(&lab.survey), 0);
    assert_int_equal(lab.survey.windows[0].known, 20);
    assert_int_equal(lab.survey.windows[0].whole, 15);
    end(&lab);
    begin(&lab); /* and when it is no better then, it is missing */
    give(&lab, "a", answer("a", held_json(UINT32_MAX, 10)));
    give(&lab, "b", answer("b", held_json(7, 8)));
    give(&lab, "c", answer("c", held_json(7, 8)));
    run(&lab);
    assert_int_equal(sc_survey_missing(&lab.survey), 2);
    end(&lab);
}

static void one_that_falls_silent_in_between_is_counted_as_it_was(void **state)
{
    struct lab lab;
    (void)state;
    begin(&lab);
    give(&lab, "a", answer("a", held_json(UINT32_MAX, 10)));
    give(&lab, "b", answer("b", held_json(7, 8)));
    give(&lab, "b.again", json_pack("[]"));
    give(&lab, "c", answer("c", held_json(7, 8)));
    run(&lab);
    assert_string_equal(lab.survey.nodes[B].problem, "no status came, exit status 0");
    assert_int_equal(lab.survey.windows[0].whole, 8);
    assert_int_equal(sc_survey_missing(&lab.survey), 2);
    end(&lab);
}

static void check_differs(const struct lab *lab, unsigned node, const char *how)
{
    char differs[160];
    assert_true(sc_survey_differs(&lab->survey, &lab->survey.nodes[node], differs, sizeof(differs)));
    assert_string_equal(differs, how);
}

static void what_differs_is_told(void **state)
{
    struct lab lab;
    json_t *a = answer("a", held_json(9, 10)), *b = answer("x", held_json(9, 10)),
           *c = answer("c", held_json(9, 10));
    (void)state;
    begin(&lab);
    json_object_set_new(json_object_get(a, "cluster"), "version", json_integer(6));
    json_object_set_new(c, "version", json_string("0.0.1"));
    give(&lab, "a", a);
    give(&lab, "b", b);
    give(&lab, "c", c);
    run(&lab);
    check_differs(&lab, A, "its collector has version 6 of the membership file, not 7");
    check_differs(&lab, B, "it takes itself for member x");
    check_differs(&lab, C, "it runs version 0.0.1, not " SC_VERSION);
    end(&lab);
}

/* ---- many nodes ---- */

/* Each is a proxy that gives batches to the first and to one that no file knows. */
static void a_thousand_nodes_are_asked(void **state)
{
    struct sc_cluster many = {.count = SC_CLUSTER_MAX_MEMBERS, .replication = 2, .version = 7};
    struct lab lab;
    struct sc_error err;
    uint32_t usable, proxies;
    (void)state;
    begin(&lab);
    many.members = calloc(many.count, sizeof(*many.members));
    assert_non_null(many.members);
    for (uint32_t i = 0; i < many.count; i++) {
        many.members[i] = (struct sc_member){.address = {.host = "192.0.2.9"}, .proxy = true};
        snprintf(many.members[i].name, sizeof(many.members[i].name), "node-%u", i);
    }
    give(&lab, "c",
         json_pack("{s:s, s:{}, s:o, s:{s:[{s:s, s:b}, {s:s, s:b}]}}", "version", SC_VERSION, "store", "held",
                   held_json(9, 10), "cluster", "members", "name", "node-0", "usable", 1, "name", "gone",
                   "usable", 1));
    const char *const there[] = {"status", NULL};
    const struct sc_survey_options options = {
        .ssh = lab.script, .here = there, .there = there, .timeout_ms = 60000, .windows = 3};
    assert_int_equal(sc_survey_run(&lab.survey, &options, &many, &err), SC_OK);
    for (uint32_t i = 0; i < many.count; i++)
        assert_string_equal(lab.survey.nodes[i].problem, "");
    sc_survey_taken_by(&lab.survey, &many.members[0], &usable, &proxies);
    assert_true(usable == many.count && proxies == many.count);
    sc_survey_taken_by(&lab.survey, &many.members[1], &usable, &proxies);
    assert_true(usable == 0 && proxies == 0);
    assert_int_equal(lab.survey.windows[0].whole, 10);
    end(&lab);
    free(many.members);
}

UNIT(test_survey)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_asked_and_compared),
        cmocka_unit_test(a_node_that_does_not_answer_has_a_problem),
        cmocka_unit_test(what_seems_missing_is_asked_for_again),
        cmocka_unit_test(one_that_falls_silent_in_between_is_counted_as_it_was),
        cmocka_unit_test(what_differs_is_told),
        cmocka_unit_test(a_thousand_nodes_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
