// SPDX-License-Identifier: BSD-3-Clause
/* Who takes part in a query and what they have in common, between ranks that are threads. */
#include "cluster/beat.h"
#include "cluster/share.h"
#include "ranks_threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

#define RANKS 5u

/* ---- ranks ---- */

struct rank {
    struct sc_ranks ranks;
    struct sc_ranks_threads *threads;
    enum sc_status (*work)(struct rank *r);
    const void *given; /* to the work */
    pthread_t thread;
    enum sc_status status;
    struct sc_error err;
    char node[16];
    int supervisor_fd;
    uint64_t number;
    struct sc_words words;
    struct sc_ie_learned learned;
    struct sc_stored_columns *columns;
    struct sc_row_stats totals;
};

/* One that cannot go on ends all, as it does over MPI; one that was stopped goes on. */
static void *rank_main(void *arg)
{
    struct rank *r = arg;
    r->status = r->work(r);
    if (r->status != SC_OK && r->status != SC_CANCELLED)
        sc_ranks_threads_stop(r->threads);
    return NULL;
}

static void run_some(struct rank *all, uint32_t count, enum sc_status (*work)(struct rank *r),
                     const void *given)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(count);
    assert_non_null(threads);
    for (uint32_t i = 0; i < count; i++) {
        all[i].threads = threads;
        all[i].ranks = sc_ranks_threads_rank(threads, i);
        all[i].work = work;
        all[i].given = given;
        snprintf(all[i].node, sizeof(all[i].node), "n%u", i);
        assert_int_equal(pthread_create(&all[i].thread, NULL, rank_main, &all[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(all[i].thread, NULL);
    sc_ranks_threads_free(threads);
}

static void run(struct rank *all, enum sc_status (*work)(struct rank *r), const void *given)
{
    run_some(all, RANKS, work, given);
}

static void all_succeeded(const struct rank *all)
{
    for (uint32_t i = 0; i < RANKS; i++) {
        if (all[i].status != SC_OK)
            fail_msg("rank %u: %s", i, all[i].err.message);
    }
}

/* Rank 0 judged so; the others waited for it, and did not go on. */
static void rank_0_ended_all(const struct rank *all, enum sc_status status)
{
    assert_int_equal(all[0].status, status);
    for (uint32_t i = 1; i < RANKS; i++)
        assert_int_equal(all[i].status, SC_CANCELLED);
}

/* ---- who takes part ---- */

static enum sc_status tell_version(struct rank *r)
{
    const char *const *versions = r->given;
    const struct sc_muster m = {&r->ranks, r->node, r->supervisor_fd};
    return sc_muster_version(&m, versions[r->ranks.rank], &r->err);
}

static enum sc_status tell_excuse(struct rank *r)
{
    const char *const *excuses = r->given;
    const struct sc_muster m = {&r->ranks, r->node, r->supervisor_fd};
    return sc_muster_excuse(&m, excuses[r->ranks.rank], &r->err);
}

/* What rank 0 says to its supervisor while all do the work. */
static void run_supervised(struct rank *all, enum sc_status (*work)(struct rank *r), const void *given,
                           char *said, size_t size)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (uint32_t i = 0; i < RANKS; i++)
        all[i].supervisor_fd = ends[1];
    run(all, work, given);
    close(ends[1]);
    ssize_t n = read(ends[0], said, size - 1);
    assert_true(n >= 0);
    said[n] = '\0';
    close(ends[0]);
}

/* The next of the lines that were said, which names `rank`. @return what is behind it. */
static const char *check_line(const char *said, uint32_t rank, const char *why)
{
    char told[SC_LEAVE_OUT_MAX];
    uint32_t named;
    const char *end = strchr(said, '\n');
    assert_non_null(end);
    assert_true(sc_leave_out_line_parse(said, (size_t)(end - said), &named, told));
    assert_int_equal(named, rank);
    assert_string_equal(told, why);
    return end + 1;
}

static void ranks_of_one_version_go_on(void **state)
{
    static const char *const versions[RANKS] = {"1.2", "1.2", "1.2", "1.2", "1.2"};
    struct rank all[RANKS] = {0};
    char said[4096];
    (void)state;
    run_supervised(all, tell_version, versions, said, sizeof(said));
    all_succeeded(all);
    assert_string_equal(said, "");
}

static void ranks_of_another_version_than_rank_0_are_named(void **state)
{
    static const char *const versions[RANKS] = {"1.2", "1.2", "1.2.1", "1.2", ""};
    struct rank all[RANKS] = {0};
    char said[4096];
    (void)state;
    run_supervised(all, tell_version, versions, said, sizeof(said));
    rank_0_ended_all(all, SC_UNSUPPORTED);
    assert_string_equal(all[0].err.message, "node n2: it has version 1.2.1 of sc-query, this is 1.2");
    const char *rest = check_line(said, 2, "it has version 1.2.1 of sc-query, this is 1.2");
    rest = check_line(rest, 4, "it has version  of sc-query, this is 1.2");
    assert_string_equal(rest, "");
}

static void programs_of_one_protocol_understand_each_other(void **state)
{
    static const struct {
        const char *ours, *theirs;
        bool understand;
    } cases[] = {
        {"1.2 (ranks 3)", "1.2 (ranks 3)", true},
        {"1.2 (ranks 3)", "0.9 (ranks 3)", true},
        {"1.2 (ranks 3)", "1.2 (ranks 4)", false},
        {"1.2 (ranks 3)", "1.2 (ranks 33)", false},
        {"1.2 (ranks 3)", "1.2", false},
        {"1.2", "1.2 (ranks 3)", false},
        {"1.2", "1.2", true},
        {"1.2", "1.3", false},
        {"1.2 (ranks 3)", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(sc_ranks_understand(cases[i].ours, cases[i].theirs, strlen(cases[i].theirs)),
                         cases[i].understand);
}

static void without_a_supervisor_the_first_is_named(void **state)
{
    static const char *const versions[RANKS] = {"2", "2", "2", "1", "1"};
    struct rank all[RANKS] = {0};
    (void)state;
    for (uint32_t i = 0; i < RANKS; i++)
        all[i].supervisor_fd = -1;
    run(all, tell_version, versions);
    rank_0_ended_all(all, SC_UNSUPPORTED);
    assert_string_equal(all[0].err.message, "node n3: it has version 1 of sc-query, this is 2");
}

static void excuses_are_handed_on(void **state)
{
    char lengthy[2 * SC_LEAVE_OUT_MAX];
    memset(lengthy, 'x', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = '\0';
    const char *const none[RANKS] = {"", "", "", "", ""};
    const char *const excuses[RANKS] = {"", "/data: no\nsuch file", "", lengthy, ""};
    struct rank all[RANKS] = {0};
    char said[4096];
    (void)state;
    run_supervised(all, tell_excuse, none, said, sizeof(said));
    all_succeeded(all);
    assert_string_equal(said, "");
    run_supervised(all, tell_excuse, excuses, said, sizeof(said));
    rank_0_ended_all(all, SC_UNSUPPORTED);
    assert_string_equal(all[0].err.message, "node n1: /data: no\nsuch file");
    const char *rest = check_line(said, 1, "/data: no?such file");
    lengthy[SC_LEAVE_OUT_MAX - 1] = '\0';
    rest = check_line(rest, 3, lengthy);
    assert_string_equal(rest, "");
}

/* ---- what rank 0 knows ---- */

static enum sc_status share_words(struct rank *r)
{
    const char *const *words = r->given;
    for (uint32_t i = 0; r->ranks.rank == 0 && words[i] != NULL; i++)
        sc_words_add(&r->words, words[i]);
    return sc_share_words(&r->ranks, &r->words, &r->err);
}

static void check_words(const char *const *words, uint32_t count)
{
    struct rank all[RANKS] = {0};
    run(all, share_words, words);
    all_succeeded(all);
    for (uint32_t i = 0; i < RANKS; i++) {
        assert_int_equal(all[i].words.count, count);
        for (uint32_t k = 0; k < count; k++)
            assert_string_equal(all[i].words.list[k], words[k]);
        if (count != 0)
            assert_null(all[i].words.list[count]);
        sc_words_free(&all[i].words);
    }
}

static void all_hear_the_words_of_rank_0(void **state)
{
    static const char *const words[] = {"sc-query", "-f", "proto tcp and\nport 53", "", "--", "%n/store",
                                        "",         NULL};
    (void)state;
    check_words(words, 7);
    check_words(words + 7, 0);
}

static enum sc_status tell(struct rank *r)
{
    r->number = r->ranks.rank + 77;
    return sc_ranks_tell(&r->ranks, &r->number, 1, &r->err);
}

static void all_take_the_number_of_rank_0(void **state)
{
    struct rank all[RANKS] = {0};
    (void)state;
    run(all, tell, NULL);
    all_succeeded(all);
    for (uint32_t i = 0; i < RANKS; i++)
        assert_int_equal(all[i].number, 77);
}

/* ---- the tree ---- */

#define MOST_RANKS 20u

struct heard {
    uint32_t next;
    uint64_t sum;
};

/* Rank r says r bytes of the value r. */
static enum sc_status hear(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct heard *h = arg;
    (void)err;
    assert_int_equal(rank, h->next++);
    assert_int_equal(sc_cursor_left(in), rank);
    while (sc_cursor_left(in) != 0)
        h->sum += sc_cursor_u8(in);
    return SC_OK;
}

static enum sc_status collect_and_tell(struct rank *r)
{
    struct sc_buf mine = {0};
    struct heard heard = {0};
    for (uint32_t i = 0; i < r->ranks.rank; i++)
        sc_buf_append_u8(&mine, (uint8_t)r->ranks.rank);
    enum sc_status status = sc_ranks_collect_short(&r->ranks, &mine, hear, &heard, &r->err);
    sc_buf_free(&mine);
    assert_int_equal(heard.next, r->ranks.rank == 0 ? r->ranks.count : 0);
    r->number = heard.sum;
    return status == SC_OK ? sc_ranks_tell(&r->ranks, &r->number, 1, &r->err) : status;
}

static void each_is_heard_in_its_turn_and_hears(void **state)
{
    (void)state;
    uint64_t sum = 0;
    for (uint32_t count = 1; count <= MOST_RANKS; count++) {
        struct rank all[MOST_RANKS] = {0};
        sum += (uint64_t)(count - 1) * (count - 1);
        run_some(all, count, collect_and_tell, NULL);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(all[i].status, SC_OK);
            assert_int_equal(all[i].number, sum);
        }
    }
}

/* ---- how ranks fared ---- */

static enum sc_status agree(struct rank *r)
{
    const enum sc_status *fared = r->given;
    return sc_ranks_agree(&r->ranks, fared[r->ranks.rank], &r->err);
}

static void one_that_was_stopped_makes_all_partial(void **state)
{
    enum sc_status fared[RANKS] = {SC_OK};
    struct rank all[RANKS] = {0};
    (void)state;
    run(all, agree, fared);
    all_succeeded(all);
    for (uint32_t stopped = 0; stopped < RANKS; stopped++) {
        fared[stopped] = SC_CANCELLED;
        run(all, agree, fared);
        for (uint32_t i = 0; i < RANKS; i++) {
            assert_int_equal(all[i].status, SC_CANCELLED);
            if (i != stopped) /* by another */
                assert_string_equal(all[i].err.message, "before everything was read");
        }
        fared[stopped] = SC_OK;
    }
}

static void one_that_failed_is_told_at_once(void **state)
{
    static const enum sc_status fared[RANKS] = {SC_OK, SC_OK, SC_IO, SC_CANCELLED, SC_OK};
    struct rank all[RANKS] = {0};
    (void)state;
    run(all, agree, fared);
    for (uint32_t i = 0; i < RANKS; i++)
        assert_int_equal(all[i].status, i == 2 ? SC_IO : SC_CANCELLED);
}

/* ---- what any rank knows ---- */

/* Of rank r: elements r and r + 1 of an enterprise; the later definition of an element holds. */
static enum sc_status share_learned(struct rank *r)
{
    for (uint32_t i = r->ranks.rank; i < r->ranks.rank + 2; i++) {
        struct sc_ie_definition d = {.pen = 64999, .id = (uint16_t)(100 - i), .type = 4};
        d.since_ms = 1000 + (r->ranks.rank % 2 == 0 ? r->ranks.rank : 100 - r->ranks.rank);
        d.semantics = (uint8_t)r->ranks.rank;
        snprintf(d.name, sizeof(d.name), "element%uof%u", i, r->ranks.rank);
        assert_int_equal(sc_ie_learned_add(&r->learned, &d), SC_IE_NEW);
    }
    return sc_share_learned(&r->ranks, &r->learned, &r->err);
}

static void all_know_the_elements_that_any_has_learned(void **state)
{
    static const uint8_t holds[RANKS + 1] = {0, 1, 1, 3, 3, 4}; /* by whom element i was defined last */
    struct rank all[RANKS] = {0};
    (void)state;
    run(all, share_learned, NULL);
    all_succeeded(all);
    for (uint32_t r = 0; r < RANKS; r++) {
        assert_int_equal(all[r].learned.count, RANKS + 1);
        for (uint32_t i = 0; i <= RANKS; i++) {
            char name[32];
            struct sc_ie ie;
            snprintf(name, sizeof(name), "element%uof%u", i, holds[i]);
            assert_true(sc_ie_learned_find_name(&all[r].learned, name, strlen(name), &ie));
            assert_int_equal(ie.id, 100 - i);
            assert_int_equal(all[r].learned.entries[RANKS - i].semantics, holds[i]);
        }
        sc_ie_learned_free(&all[r].learned);
    }
}

static void put_column(struct sc_buf *out, uint16_t id, bool misfits)
{
    sc_buf_append_le32(out, 64999);
    sc_buf_append_le16(out, id);
    sc_buf_append_u8(out, 0);
    sc_buf_append_u8(out, SC_COLUMN_BYTES);
    sc_buf_append_u8(out, misfits);
}

/* Of rank r: columns r + 2, r + 1, and one that all have, which has values of another type at rank 3. */
static enum sc_status share_columns(struct rank *r)
{
    const struct sc_ie_learned *learned = r->given;
    struct sc_buf mine = {0};
    put_column(&mine, (uint16_t)(100 + r->ranks.rank + 2), false);
    put_column(&mine, (uint16_t)(100 + r->ranks.rank + 1), false);
    put_column(&mine, 7, r->ranks.rank == 3);
    struct sc_cursor in = {.data = mine.data, .len = mine.len};
    r->columns = calloc(1, sizeof(*r->columns));
    assert_non_null(r->columns);
    sc_stored_columns_init(r->columns, learned);
    assert_int_equal(sc_stored_columns_take(r->columns, &in, &r->err), SC_OK);
    sc_buf_free(&mine);
    return sc_share_columns(&r->ranks, r->columns, &r->err);
}

static void all_list_the_columns_that_any_has_stored(void **state)
{
    static const uint16_t order[RANKS + 2] = {102, 101, 7, 103, 104, 105, 106};
    struct sc_ie_definition d = {.pen = 64999, .id = 7, .type = 4, .name = "seven"};
    struct sc_ie_learned learned = {0};
    struct rank all[RANKS] = {0};
    (void)state;
    assert_int_equal(sc_ie_learned_add(&learned, &d), SC_IE_NEW);
    run(all, share_columns, &learned);
    all_succeeded(all);
    for (uint32_t r = 0; r < RANKS; r++) {
        const struct sc_stored_columns *c = all[r].columns;
        assert_int_equal(c->schema.count, RANKS + 2);
        for (uint32_t i = 0; i < RANKS + 2; i++) {
            assert_int_equal(c->schema.keys[i].id, order[i]);
            assert_int_equal(c->has_misfits[i], order[i] == 7);
        }
        sc_stored_columns_free(all[r].columns);
        free(all[r].columns);
    }
    sc_ie_learned_free(&learned);
}

/* Rank r has stored r + 1 records of protocol 6 and as many of protocol 20 + r; rank 2 has nothing. */
static enum sc_status share_totals(struct rank *r)
{
    struct sc_row_stats mine;
    struct sc_protocol_total of[2] = {{.protocol = 6}, {.protocol = 20 + r->ranks.rank}};
    sc_row_stats_init(&r->totals);
    sc_row_stats_init(&mine);
    for (uint32_t i = 0; i < 2; i++) {
        of[i].records = of[i].flows = r->ranks.rank + 1;
        of[i].packets = 10 * of[i].records;
        of[i].bytes = UINT64_MAX / 8 * of[i].records;
    }
    mine.protocols = of;
    mine.protocol_count = 2;
    if (r->ranks.rank != 2)
        assert_int_equal(sc_row_stats_merge(&r->totals, &mine), SC_OK);
    return sc_share_totals(&r->ranks, &r->totals, &r->err);
}

static void rank_0_adds_up_the_totals(void **state)
{
    struct rank all[RANKS] = {0};
    (void)state;
    run(all, share_totals, NULL);
    all_succeeded(all);
    const struct sc_row_stats *sum = &all[0].totals;
    assert_int_equal(sum->protocol_count, RANKS);
    assert_int_equal(sum->protocols[0].protocol, 6);
    assert_int_equal(sum->protocols[0].records, 1 + 2 + 4 + 5);
    assert_int_equal(sum->protocols[0].packets, 10 * (1 + 2 + 4 + 5));
    assert_true(sum->protocols[0].bytes == UINT64_MAX); /* saturated */
    for (uint32_t i = 1; i < RANKS; i++) {
        uint32_t rank = i <= 2 ? i - 1 : i;
        assert_int_equal(sum->protocols[i].protocol, 20 + rank);
        assert_int_equal(sum->protocols[i].flows, rank + 1);
    }
    for (uint32_t i = 0; i < RANKS; i++)
        sc_row_stats_free(&all[i].totals);
}

/* ---- what a rank says that makes no sense ---- */

static enum sc_status pass_told(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                struct sc_buf *receive, struct sc_error *err)
{
    const struct sc_buf *told = arg;
    (void)to;
    (void)send;
    (void)err;
    if (from == SC_NO_RANK)
        return SC_OK;
    sc_buf_clear(receive);
    sc_buf_append(receive, told->data, told->len);
    return SC_OK;
}

/* As it goes through the tree. */
static void put_framed(const char *text, struct sc_buf *out)
{
    sc_buf_append_le64(out, strlen(text));
    sc_buf_append_str(out, text);
}

static void what_makes_no_sense_is_damage(void **state)
{
    struct sc_buf told = {0}, in_tree = {0};
    struct sc_ranks root = {.count = 2, .pass = pass_told, .arg = &in_tree},
                    other = {.count = 2, .rank = 1, .pass = pass_told, .arg = &told};
    struct sc_error err;
    struct sc_words words = {0};
    struct sc_stored_columns *columns = calloc(1, sizeof(*columns));
    struct sc_ie_learned learned = {0};
    struct sc_row_stats totals;
    uint64_t number = 0;
    (void)state;
    assert_non_null(columns);
    sc_buf_append_str(&told, "5 cut");
    put_framed("5 cut", &in_tree);
    assert_int_equal(sc_share_words(&other, &words, &err), SC_DAMAGED);
    assert_int_equal(words.count, 0);
    assert_int_equal(sc_ranks_tell(&other, &number, 1, &err), SC_DAMAGED);
    sc_stored_columns_init(columns, &learned);
    assert_int_equal(sc_share_columns(&root, columns, &err), SC_DAMAGED);
    sc_stored_columns_free(columns);
    free(columns);
    sc_row_stats_init(&totals);
    assert_int_equal(sc_share_totals(&root, &totals, &err), SC_DAMAGED);
    assert_int_equal(sc_share_learned(&root, &learned, &err),
                     SC_OK); /* elements without names are no damage */
    assert_int_equal(learned.count, 0);
    for (size_t cut = 0; cut < in_tree.len; cut++) {
        struct sc_buf part = {.data = in_tree.data, .len = cut};
        root.arg = &part;
        assert_int_equal(sc_share_learned(&root, &learned, &err), SC_DAMAGED);
    }
    root.arg = &in_tree;
    put_framed("one too many", &in_tree);
    assert_int_equal(sc_share_learned(&root, &learned, &err), SC_DAMAGED);
    sc_row_stats_free(&totals);
    sc_buf_free(&told);
    sc_buf_free(&in_tree);
}

UNIT(test_muster)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_one_version_go_on),
        cmocka_unit_test(programs_of_one_protocol_understand_each_other),
        cmocka_unit_test(ranks_of_another_version_than_rank_0_are_named),
        cmocka_unit_test(without_a_supervisor_the_first_is_named),
        cmocka_unit_test(excuses_are_handed_on),
        cmocka_unit_test(all_hear_the_words_of_rank_0),
        cmocka_unit_test(all_take_the_number_of_rank_0),
        cmocka_unit_test(each_is_heard_in_its_turn_and_hears),
        cmocka_unit_test(one_that_was_stopped_makes_all_partial),
        cmocka_unit_test(one_that_failed_is_told_at_once),
        cmocka_unit_test(all_know_the_elements_that_any_has_learned),
        cmocka_unit_test(all_list_the_columns_that_any_has_stored),
        cmocka_unit_test(rank_0_adds_up_the_totals),
        cmocka_unit_test(what_makes_no_sense_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
