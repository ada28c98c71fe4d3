// SPDX-License-Identifier: BSD-3-Clause
/* Who takes part in the attempts of a query, by what came of those before; a script stands in for ssh. */
#include "cluster/crew.h"
#include "cluster/ranks.h"
#include "unit.h"

#include "store_kit.h"

#include <signal.h>
#include <string.h>

enum { NODES = 3 };

static struct sc_member members[] = {
    {.name = "a", .address = {.host = "192.0.2.1"}, .subcollector = true},
    {.name = "p", .address = {.host = "192.0.2.9"}, .proxy = true},
    {.name = "b", .address = {.host = "192.0.2.2"}, .proxy = true, .subcollector = true},
    {.name = "c", .address = {.host = "192.0.2.3"}, .subcollector = true},
};
static const struct sc_cluster cluster = {.members = members, .count = 4};

/* ---- kit ---- */

/* Nobody can be probed, unless a test has a script for it. */
static void begin(struct sc_crew *c, const char *here)
{
    struct sc_error err;
    assert_int_equal(sc_crew_init(c, &cluster, here, &err), SC_OK);
    c->ssh = "/nonexistent/ssh";
    c->program = "/p/sc-query-rank";
    sc_crew_choose_ranks(c);
}

static struct sc_crew_node *node(const struct sc_crew *c, const char *name)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (strcmp(c->nodes[i].member->name, name) == 0)
            return &c->nodes[i];
    }
    fail_msg("no node %s", name);
    return NULL;
}

static void check_ranks(const struct sc_crew *c, const char *const *names, uint32_t count)
{
    assert_int_equal(c->rank_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(c->ranks[i].node, names[i]);
        if (names[i][0] == '\0')
            assert_null(c->of_rank[i]);
        else
            assert_ptr_equal(c->of_rank[i], node(c, names[i]));
    }
}

static void check_given_up(const struct sc_crew *c, const char *name, const char *problem)
{
    assert_true(node(c, name)->given_up);
    assert_string_equal(node(c, name)->problem, problem);
}

/* An attempt that ended so; its ranks were heard at these times. */
struct attempt {
    struct sc_job_rank ranks[NODES + 1];
    struct sc_job_result result;
    struct sc_crew_failure failure;
};

static void fail_attempt(struct attempt *a, enum sc_job_end end, uint32_t rank)
{
    *a = (struct attempt){.result = {.end = end, .rank = rank, .answer_status = -1, .signal = SIGKILL}};
    for (uint32_t i = 0; i <= NODES; i++)
        a->ranks[i].heard_ms = 100000;
    a->result.ranks = a->ranks;
    a->failure =
        (struct sc_crew_failure){.result = &a->result, .said = "", .launch_ms = 20000, .silence_ms = 10000};
}

/* Stands in for ssh: answers by the host, which stands before the words for it. @return its path, to be removed. */
static char *write_script(const char *cases)
{
    char *path = kit_folder(), *script;
    assert_true(asprintf(&script, "%s/ssh", path) > 0);
    free(path);
    FILE *f = fopen(script, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\ncase \"$*\" in\n%s*) echo 'sc-query " SC_RANKS_VERSION "';;\nesac\n", cases);
    assert_int_equal(fchmod(fileno(f), 0755), 0);
    assert_int_equal(fclose(f), 0);
    return script;
}

static void remove_script(char *script)
{
    *strrchr(script, '/') = '\0';
    kit_remove(script);
}

/* ---- ranks ---- */

static void rank_0_is_here(void **state)
{
    struct sc_crew c;
    (void)state;
    begin(&c, NULL);
    check_ranks(&c, (const char *[]){"", "a", "b", "c"}, 4);
    assert_string_equal(c.ranks[2].host, "192.0.2.2");
    sc_crew_free(&c);
    begin(&c, "b");
    check_ranks(&c, (const char *[]){"b", "a", "c"}, 3);
    assert_null(c.ranks[0].host);
    node(&c, "b")->given_up = true; /* then it only gathers */
    node(&c, "a")->given_up = true;
    sc_crew_choose_ranks(&c);
    check_ranks(&c, (const char *[]){"", "c"}, 2);
    assert_int_equal(sc_crew_left(&c), 1);
    sc_crew_free(&c);
    begin(&c, "p"); /* which is no subcollector */
    check_ranks(&c, (const char *[]){"", "a", "b", "c"}, 4);
    sc_crew_free(&c);
}

static void nodes_of_this_machine_need_no_ssh(void **state)
{
    struct sc_crew c;
    (void)state;
    begin(&c, NULL);
    for (uint32_t i = 0; i < c.node_count; i++)
        c.nodes[i].local = i % 2 == 0;
    sc_crew_choose_ranks(&c);
    for (uint32_t i = 1; i < c.rank_count; i++) {
        assert_string_equal(c.ranks[i].node, c.of_rank[i]->member->name);
        assert_true((c.ranks[i].host == NULL) == c.of_rank[i]->local);
    }
    sc_crew_free(&c);
}

/* ---- what came of an attempt ---- */

static void one_that_the_others_outlived_was_silent(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    fail_attempt(&a, SC_JOB_SILENT, 2);
    a.ranks[2].heard_ms = 90000;
    a.ranks[1].heard_ms = 99900; /* a late beat is no silence */
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "b", "it was silent for 10 s");
    assert_int_equal(sc_crew_left(&c), 2);
    sc_crew_free(&c);
}

static void all_that_never_were_heard_are_given_up_at_once(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    fail_attempt(&a, SC_JOB_SILENT, 1);
    a.ranks[1].heard_ms = a.ranks[3].heard_ms = 0;
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "a", "it was silent for 10 s");
    check_given_up(&c, "c", "it was silent for 10 s");
    assert_int_equal(sc_crew_left(&c), 1);
    sc_crew_free(&c);
}

static void when_nobody_stands_out_it_is_tried_once_more(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    fail_attempt(&a, SC_JOB_SILENT, 1);
    assert_true(sc_crew_learn(&c, &a.failure));
    assert_int_equal(sc_crew_left(&c), NODES);
    assert_false(sc_crew_learn(&c, &a.failure));
    assert_int_equal(sc_crew_left(&c), NODES);
    sc_crew_free(&c);
    char *script = write_script("");
    begin(&c, NULL);
    c.ssh = script;
    fail_attempt(&a, SC_JOB_EXITED, UINT32_MAX);
    for (unsigned i = 0; i < 3; i++) /* twice where it ended by itself */
        assert_int_equal(sc_crew_learn(&c, &a.failure), i < 2);
    assert_int_equal(sc_crew_left(&c), NODES);
    sc_crew_free(&c);
    remove_script(script);
}

static void one_death_may_be_an_accident(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    fail_attempt(&a, SC_JOB_DIED, 3);
    assert_true(sc_crew_learn(&c, &a.failure));
    assert_int_equal(sc_crew_left(&c), NODES);
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "c", "its part of the query died twice: Killed");
    assert_int_equal(sc_crew_left(&c), 2);
    sc_crew_free(&c);
}

/* The guard is dead, too. */
static void mpiexec_may_say_who_died(void **state)
{
    char *script = write_script("");
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    c.ssh = script;
    fail_attempt(&a, SC_JOB_EXITED, UINT32_MAX);
    a.failure.said = "mpirun noticed that process rank 1 with PID 0 on node a exited on signal 9 (Killed).\n";
    for (unsigned i = 0; i < 2; i++)
        assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "a", "its part of the query died twice");
    assert_int_equal(sc_crew_left(&c), 2);
    sc_crew_free(&c);
    remove_script(script);
}

/* Nobody is probed then: with this ssh all would be given up. */
static void what_ssh_says_of_a_host_is_believed(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    fail_attempt(&a, SC_JOB_UNSTARTED, 3);
    a.failure.said = "Warning\nssh: connect to host 192.0.2.3 port 22: No route to host\nORTE was unable\n";
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "c", "ssh: connect to host 192.0.2.3 port 22: No route to host");
    assert_int_equal(sc_crew_left(&c), 2);
    sc_crew_choose_ranks(&c);
    assert_true(sc_crew_learn(&c, &a.failure)); /* it is no news: the others are probed */
    check_given_up(&c, "a", "cannot start /nonexistent/ssh: No such file or directory");
    assert_int_equal(sc_crew_left(&c), 0);
    sc_crew_free(&c);
}

static void nodes_are_probed_when_nothing_tells_why(void **state)
{
    char *script = write_script("*192.0.2.1*) echo 'sc-query 0.0.1'; echo more;;\n"
                                "*192.0.2.2*) echo >&2; echo 'Permission\tdenied' >&2; exit 255;;\n");
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, NULL);
    c.ssh = script;
    fail_attempt(&a, SC_JOB_EXITED, UINT32_MAX);
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "a", "it has version 0.0.1 of sc-query, this is " SC_RANKS_VERSION);
    check_given_up(&c, "b", "Permission denied");
    assert_int_equal(sc_crew_left(&c), 1);
    assert_false(sc_crew_is_alone(&c));
    sc_crew_free(&c);
    remove_script(script);
}

static void a_rank_that_never_started_is_given_up_when_its_node_seems_well(void **state)
{
    char *script = write_script("");
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, "b");
    c.ssh = script;
    fail_attempt(&a, SC_JOB_UNSTARTED, 2);
    assert_true(sc_crew_learn(&c, &a.failure));
    check_given_up(&c, "c", "its part of the query did not start within 20 s");
    assert_int_equal(sc_crew_left(&c), 2);
    sc_crew_free(&c);
    remove_script(script);
}

static void rank_0_names_those_that_cannot_take_part(void **state)
{
    struct sc_crew c;
    struct attempt a;
    (void)state;
    begin(&c, "a");
    fail_attempt(&a, SC_JOB_EXITED, UINT32_MAX);
    assert_false(sc_crew_leave_out(&c, &a.result));
    strcpy(a.ranks[1].leave_out, "it has version 7 of sc-query, this is 8");
    strcpy(a.ranks[2].leave_out, ":");
    assert_true(sc_crew_leave_out(&c, &a.result));
    check_given_up(&c, "b", "it has version 7 of sc-query, this is 8");
    check_given_up(&c, "c", "?"); /* which mpiexec would read */
    assert_false(sc_crew_leave_out(&c, &a.result));
    assert_false(sc_crew_is_alone(&c));
    node(&c, "c")->other_version = true;
    assert_true(sc_crew_is_alone(&c));
    sc_crew_free(&c);
}

UNIT(test_crew)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_0_is_here),
        cmocka_unit_test(nodes_of_this_machine_need_no_ssh),
        cmocka_unit_test(one_that_the_others_outlived_was_silent),
        cmocka_unit_test(all_that_never_were_heard_are_given_up_at_once),
        cmocka_unit_test(when_nobody_stands_out_it_is_tried_once_more),
        cmocka_unit_test(one_death_may_be_an_accident),
        cmocka_unit_test(mpiexec_may_say_who_died),
        cmocka_unit_test(what_ssh_says_of_a_host_is_believed),
        cmocka_unit_test(nodes_are_probed_when_nothing_tells_why),
        cmocka_unit_test(a_rank_that_never_started_is_given_up_when_its_node_seems_well),
        cmocka_unit_test(rank_0_names_those_that_cannot_take_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
