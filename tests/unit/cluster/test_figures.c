// SPDX-License-Identifier: BSD-3-Clause
/* What nodes say of their part in an answer, between ranks that are threads; and the command that starts them. */
#include "cluster/figures.h"
#include "cluster/launch.h"
#include "ranks_threads.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 3, COPIES = 6 };

struct part {
    struct sc_ranks ranks;
    struct sc_figures figures;
    enum sc_status status;
    pthread_t thread;
};

static const char *const names[RANKS] = {"", "alpha", "be\"ta"};

/* Rank r reads r copies from the home and one replica; others lie there and are not read. */
static void *run_part(void *arg)
{
    struct part *p = arg;
    struct sc_read_plan_copy copies[COPIES] = {{.rank = SC_RANK_REPLICA + 1, .state = SC_COPY_ASSIGNED},
                                               {.rank = 0, .state = SC_COPY_SPARE},
                                               {.rank = 1, .state = SC_COPY_UNREADABLE},
                                               {.rank = SC_RANK_REPLICA, .state = SC_COPY_SPARE}};
    uint32_t count = 4;
    for (uint32_t i = 0; i < p->ranks.rank; i++)
        copies[count++] = (struct sc_read_plan_copy){.rank = (uint16_t)(i % 2), .state = SC_COPY_ASSIGNED};
    struct sc_source source = {.plan = {.copies = copies, .count = count}};
    struct sc_scan_stats scan = {.units_read = 10 + p->ranks.rank, .units_pruned = 20, .rows_read = 30};
    scan.bytes_read = UINT64_MAX - p->ranks.rank;
    scan.rows_selected = 25;
    for (unsigned i = 0; i < SC_SCAN_STAGES; i++)
        scan.spent_ns[i] = 100 + i;
    struct sc_error err;
    p->status = sc_figures_gather(&p->ranks, names[p->ranks.rank], &source, &scan, 40 + p->ranks.rank,
                                  &p->figures, &err);
    return NULL;
}

static void rank_0_gets_the_figures_of_those_that_read(void **state)
{
    struct part parts[RANKS] = {0};
    (void)state;
    struct sc_ranks_threads *threads = sc_ranks_threads_create(RANKS);
    for (uint32_t i = 0; i < RANKS; i++) {
        parts[i].ranks = sc_ranks_threads_rank(threads, i);
        assert_int_equal(pthread_create(&parts[i].thread, NULL, run_part, &parts[i]), 0);
    }
    for (uint32_t i = 0; i < RANKS; i++) {
        pthread_join(parts[i].thread, NULL);
        assert_int_equal(parts[i].status, SC_OK);
    }
    struct sc_figures *f = &parts[0].figures;
    assert_int_equal(parts[1].figures.count, 0);
    assert_int_equal(sc_figures_add_absent(f, "gamma", "it does not answer"), SC_OK);
    assert_int_equal(f->count, 3);
    assert_int_equal(f->answered, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct sc_node_figures *n = &f->nodes[i];
        uint32_t rank = i + 1;
        assert_string_equal(n->name, names[rank]);
        assert_string_equal(n->version, SC_VERSION);
        assert_string_equal(n->problem, "");
        assert_int_equal(n->home_batches, rank);
        assert_int_equal(n->replica_batches, 1);
        assert_int_equal(n->scan.units_read, 10 + rank);
        assert_int_equal(n->scan.units_pruned, 20);
        assert_int_equal(n->scan.rows_read, 30);
        assert_true(n->scan.bytes_read == UINT64_MAX - rank);
        assert_int_equal(n->scan.rows_selected, 25);
        for (unsigned stage = 0; stage < SC_SCAN_STAGES; stage++)
            assert_int_equal(n->scan.spent_ns[stage], 100 + stage);
        assert_int_equal(n->records, 40 + rank);
    }
    assert_string_equal(f->nodes[2].name, "gamma");
    assert_string_equal(f->nodes[2].problem, "it does not answer");
    sc_figures_free(f);
    sc_ranks_threads_free(threads);
}

/* ---- what a rank says that makes no sense ---- */

static const uint8_t *told;
static size_t told_length;

static enum sc_status pass_told(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                struct sc_buf *receive, struct sc_error *err)
{
    (void)arg;
    (void)to;
    (void)send;
    (void)from;
    (void)err;
    sc_buf_clear(receive);
    sc_buf_append_le64(receive, told_length); /* as it goes through the tree of ranks */
    sc_buf_append(receive, told, told_length);
    return SC_OK;
}

static void what_makes_no_sense_is_damage(void **state)
{
    static uint8_t bytes[4 + SC_FIGURES_TEXT_MAX + 100] = {5,   0,   0, 0, 'a', 'l', 'p',
                                                           'h', 'a', 5, 0, 0,   0,   '0'};
    struct sc_ranks ranks = {.count = 2, .pass = pass_told};
    struct sc_source source = {0};
    struct sc_scan_stats scan = {0};
    struct sc_error err;
    (void)state;
    told = bytes;
    for (told_length = 1; told_length < 4 + 5 + 4 + 5 + (8 + SC_SCAN_STAGES) * 8; told_length++) {
        struct sc_figures f = {0};
        assert_int_equal(sc_figures_gather(&ranks, "", &source, &scan, 0, &f, &err), SC_DAMAGED);
        sc_figures_free(&f);
    }
    struct sc_figures f = {0};
    assert_int_equal(sc_figures_gather(&ranks, "", &source, &scan, 0, &f, &err), SC_OK);
    assert_int_equal(f.answered, 1);
    sc_figures_free(&f);
    bytes[0] = SC_FIGURES_TEXT_MAX & 0xff; /* a name that is too long */
    bytes[1] = SC_FIGURES_TEXT_MAX >> 8;
    told_length = sizeof(bytes);
    assert_int_equal(sc_figures_gather(&ranks, "", &source, &scan, 0, &f, &err), SC_DAMAGED);
    sc_figures_free(&f);
}

/* ---- the command ---- */

static size_t find(const struct sc_words *words, const char *word, size_t from)
{
    while (from < words->count && strcmp(words->list[from], word) != 0)
        from++;
    return from;
}

static void the_command_has_words_for_each_rank(void **state)
{
    char *query[] = {"-f", "a : b", NULL},
         *first[] = {"--attempt", "2", "--absent", "gamma", "it is down", NULL};
    char *bad[] = {":", NULL};
    const struct sc_launch_rank ranks[] = {{.node = ""}, {.node = "alpha", .host = "192.0.2.1"}};
    struct sc_launch l = {.connect_s = 5,
                          .mpiexec = "mpiexec",
                          .guard = "/p/sc-query-guard",
                          .program = "/p/sc-query-rank",
                          .ssh = "ssh -F x",
                          .ranks = ranks,
                          .rank_count = 2,
                          .query = query,
                          .first = first};
    struct sc_error err;
    (void)state;
    for (l.draw = 0; l.draw < 100000000; l.draw = l.draw * 3 + 1) {
        struct sc_words words = {0};
        assert_int_equal(sc_launch_words(&l, &words, &err), SC_OK);
        size_t second = find(&words, ":", 0);
        assert_true(find(&words, "--absent", 0) < second);
        assert_true(find(&words, "it is down", 0) < second);
        assert_int_equal(find(&words, "--absent", second), words.count);
        assert_true(find(&words, "0.0.0.2", second) < words.count);
        assert_string_equal(words.list[second - 1], "a : b");
        assert_int_equal(find(&words, "a : b", second), words.count);
        assert_string_equal(words.list[words.count - 1], "alpha");
        for (size_t at = find(&words, "/p/sc-query-rank", 0); at < words.count;
             at = find(&words, "/p/sc-query-rank", at + 1))
            assert_string_equal(words.list[at - 1], "/p/sc-query-guard");
        unsigned a, b, c, d;
        size_t v4 = find(&words, "oob_tcp_dynamic_ipv4_ports", 0);
        size_t v6 = find(&words, "oob_tcp_dynamic_ipv6_ports", 0);
        assert_int_equal(sscanf(words.list[v4 + 1], "%u,%u,%u,%u", &a, &b, &c, &d), 3);
        assert_true(a >= 23000 && a < 23250 && b >= 23000 && b < 23250 && c >= 23000 && c < 23250);
        assert_int_equal(sscanf(words.list[v6 + 1], "%u,%u,%u,%u", &a, &b, &c, &d), 3);
        assert_true(a >= 23250 && a < 23500 && b >= 23250 && b < 23500 && c >= 23250 && c < 23500);
        sc_words_free(&words);
    }
    struct sc_words words = {0};
    l.first = bad;
    assert_int_equal(sc_launch_words(&l, &words, &err), SC_USAGE);
    l.first = NULL;
    l.query = bad;
    assert_int_equal(sc_launch_words(&l, &words, &err), SC_USAGE);
    sc_words_free(&words);
}

UNIT(test_figures)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_0_gets_the_figures_of_those_that_read),
        cmocka_unit_test(what_makes_no_sense_is_damage),
        cmocka_unit_test(the_command_has_words_for_each_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
