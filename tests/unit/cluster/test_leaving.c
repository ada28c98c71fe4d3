// SPDX-License-Identifier: BSD-3-Clause
/* When a member that leaves may go, by what all of them say: only when nothing is left open. */
#include "store_kit.h"

#include "cluster/leaving.h"

enum { NODES = 3, A = 0, B, LEAVER, WINDOW_S = 300 };

#define LAST_MS UINT64_C(1699999800000)
#define END_MS  (LAST_MS + WINDOW_S * UINT64_C(1000))

static struct sc_member members[NODES];
static const struct sc_cluster cluster = {.members = members, .count = NODES, .replication = 2, .version = 7};
static struct sc_survey_node nodes[NODES];
static struct sc_survey survey = {.cluster = &cluster, .nodes = nodes};
static struct sc_holding held = {.window_ms = LAST_MS};

static json_t *answer(uint64_t whole_to_ms)
{
    return json_pack("{s:{s:i}, s:{s:i, s:{s:I}, s:{s:i}}, s:[s]}", "store", "window_s", WINDOW_S, "cluster",
                     "version", 7, "healing", "whole_to_ms", (json_int_t)whole_to_ms, "proxy",
                     "waiting_batches", 0, "copies_of", "a");
}

/* All is as it has to be for the member to go on. */
static void begin(enum sc_member_state state)
{
    static const char *const names[NODES] = {"a", "b", "leaver"};
    for (uint32_t i = 0; i < NODES; i++) {
        members[i] = (struct sc_member){.subcollector = true};
        snprintf(members[i].name, sizeof(members[i].name), "%s", names[i]);
        nodes[i] = (struct sc_survey_node){.member = &members[i], .root = answer(END_MS), .has_held = true};
    }
    members[LEAVER].state = state;
    members[LEAVER].subcollector = nodes[LEAVER].has_held = state == SC_MEMBER_DRAINING;
    nodes[LEAVER].left_out = state == SC_MEMBER_GONE;
    nodes[LEAVER].held = (struct sc_holdings){.list = &held, .count = 1};
}

static void set(uint32_t node, const char *part, const char *key, json_t *value)
{
    json_t *cluster_part = json_object_get(nodes[node].root, "cluster");
    json_object_set_new(part == NULL ? cluster_part : json_object_get(cluster_part, part), key, value);
}

static void forget(uint32_t node)
{
    json_decref(nodes[node].root);
    nodes[node].root = NULL;
}

static void end(bool may_go, const char *words)
{
    struct sc_leaving leaving = sc_leaving_judge(&survey, &nodes[LEAVER]);
    assert_true(leaving.leaves);
    assert_int_equal(leaving.may_go, may_go);
    if (strstr(leaving.words, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", leaving.words, words);
    for (uint32_t i = 0; i < NODES; i++)
        forget(i);
}

static void who_stays_does_not_leave(void **state)
{
    (void)state;
    begin(SC_MEMBER_ACTIVE);
    struct sc_leaving leaving = sc_leaving_judge(&survey, &nodes[LEAVER]);
    assert_false(leaving.leaves || leaving.may_go);
    assert_string_equal(leaving.words, "");
    for (uint32_t i = 0; i < NODES; i++)
        forget(i);
}

static void one_that_drains(void **state)
{
    (void)state;
    begin(SC_MEMBER_DRAINING);
    end(true, "all that it holds is with others");
    begin(SC_MEMBER_DRAINING);
    set(B, "healing", "whole_to_ms", json_integer((json_int_t)END_MS - 1));
    end(false, "b has not yet all");
    begin(SC_MEMBER_DRAINING);
    set(A, NULL, "version", json_integer(6));
    end(false, "a does not run with this version");
    begin(SC_MEMBER_DRAINING);
    forget(B);
    end(false, "b does not run");
    begin(SC_MEMBER_DRAINING);
    forget(LEAVER);
    end(false, "it does not say what it holds");
    begin(SC_MEMBER_DRAINING);
    nodes[LEAVER].has_held = false;
    end(false, "it does not say what it holds");
    begin(SC_MEMBER_DRAINING);
    nodes[LEAVER].held.unreadable = 2;
    end(false, "2 files or row groups of it cannot be read");
    begin(SC_MEMBER_DRAINING);
    set(LEAVER, "proxy", "waiting_batches", json_integer(3));
    end(false, "3 batches wait in its outbox");
    begin(SC_MEMBER_DRAINING);
    json_object_set_new(json_object_get(nodes[A].root, "store"), "window_s", json_integer(WINDOW_S + 1));
    end(false, "a has not yet all"); /* the last window may be as long */
    begin(SC_MEMBER_DRAINING);
    members[B].state = SC_MEMBER_DRAINING; /* it is to hold nothing */
    set(B, "healing", "whole_to_ms", json_integer(0));
    end(true, "all that it holds is with others");
}

static void one_that_is_gone(void **state)
{
    (void)state;
    begin(SC_MEMBER_GONE);
    forget(LEAVER);
    end(true, "nobody has windows of it");
    begin(SC_MEMBER_GONE);
    json_array_append_new(json_object_get(nodes[B].root, "copies_of"), json_string("leaver"));
    end(false, "b has windows of it");
    begin(SC_MEMBER_GONE);
    forget(A);
    end(false, "a does not say");
    begin(SC_MEMBER_GONE);
    json_object_del(nodes[A].root, "copies_of"); /* of an earlier version */
    end(false, "a does not say");
}

static void a_store_names_the_lanes_that_it_has_copies_of(void **state)
{
    (void)state;
    char *store = kit_folder(), path[600];
    json_t *root = json_object();
    sc_leaving_to_answer(store, root);
    assert_int_equal(json_array_size(json_object_get(root, "copies_of")), 0);
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, store);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER "/empty", store);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER "/full", store);
    const struct sc_store_options options = {.lane = 5, .window_s = WINDOW_S};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    assert_non_null(w);
    struct sc_batch *batch = kit_batch(0, 10, KIT_WINDOW);
    kit_span(batch, 1, 0);
    batch->spans[0].lane = 5;
    assert_int_equal(sc_store_writer_append(w, batch, NULL), SC_OK);
    sc_batch_free(batch);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    sc_leaving_to_answer(store, root);
    assert_int_equal(json_array_size(json_object_get(root, "copies_of")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "copies_of"), 0)), "full");
    json_decref(root);
    kit_remove(store);
}

UNIT(test_leaving)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_stays_does_not_leave),
        cmocka_unit_test(one_that_drains),
        cmocka_unit_test(one_that_is_gone),
        cmocka_unit_test(a_store_names_the_lanes_that_it_has_copies_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
