// SPDX-License-Identifier: BSD-3-Clause
/* The plan of a query over several nodes, what ranks tell each other for it, and the words that start them. */
#include "cluster/inventory.h"
#include "cluster/launch.h"
#include "cluster/planner.h"
#include "conf/cluster.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW UINT64_C(1795596000000)

/* ---- the plan ---- */

enum { RANKS = 3, BATCHES = 6, ROWS = 10 };

/* Which ranks hold a batch, as bits; the one whose home it is comes first for it. */
static const unsigned held[BATCHES] = {0x3, 0x6, 0x5, 0x7, 0x1, 0x4}, home_of[BATCHES] = {0, 1, 2, 1, 0, 2};

/* As sc_inventory_get_runs wants them: by lane, then number. */
static void put_rank(unsigned rank, struct sc_buf *out)
{
    for (unsigned home = 0; home < RANKS; home++) {
        for (unsigned b = 0; b < BATCHES; b++) {
            const struct sc_id_run run = {77, b, b, home + 1, home == rank ? 0 : SC_RANK_REPLICA};
            if ((held[b] >> rank & 1) != 0 && home_of[b] == home)
                sc_inventory_put_run(&run, out);
        }
    }
}

static struct sc_planner *make_planner(void)
{
    struct sc_planner *p = sc_planner_create(RANKS);
    assert_non_null(p);
    for (unsigned rank = 0; rank < RANKS; rank++) {
        struct sc_buf bytes = {0};
        put_rank(rank, &bytes);
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        assert_int_equal(sc_planner_add(p, &in), SC_OK);
        assert_int_equal(sc_cursor_left(&in), 0);
        sc_buf_free(&bytes);
    }
    assert_int_equal(sc_planner_assign(p), SC_OK);
    return p;
}

/* The batches that a rank is to read, as bits. */
static unsigned assigned_to(const struct sc_planner *p, unsigned rank)
{
    struct sc_buf out[RANKS] = {{0}};
    struct sc_id_run *runs;
    unsigned batches = 0;
    uint32_t count;
    sc_planner_put_assignments(p, out);
    struct sc_cursor in = {.data = out[rank].data, .len = out[rank].len};
    assert_int_equal(sc_inventory_get_runs(&in, &runs, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t b = runs[i].first; b <= runs[i].last; b++)
            batches |= 1u << b;
    }
    free(runs);
    for (unsigned r = 0; r < RANKS; r++)
        sc_buf_free(&out[r]);
    return batches;
}

/* What a source with these lost batches would send. */
static void put_lost(unsigned batches, struct sc_buf *out)
{
    struct sc_segment segments[BATCHES], *list[BATCHES];
    struct sc_source_group groups[BATCHES];
    struct sc_read_plan_copy copies[BATCHES];
    uint32_t lost[BATCHES], count = 0;
    for (uint32_t b = 0; b < BATCHES; b++) {
        segments[b] = (struct sc_segment){.window_ms = WINDOW + UINT64_C(60000) * (b / 2)};
        list[b] = &segments[b];
        groups[b] = (struct sc_source_group){.segment = b};
        copies[b] = (struct sc_read_plan_copy){
            .span = {.stream = 77, .lane = home_of[b] + 1, .sequence = b, .rows = ROWS}, .group = b};
        if (batches >> b & 1)
            lost[count++] = b;
    }
    const struct sc_source source = {
        .segments = list, .groups = groups, .plan.copies = copies, .lost = lost, .lost_count = count};
    sc_inventory_put_lost(&source, out);
}

static enum sc_status lose(struct sc_planner *p, unsigned rank, unsigned batches)
{
    struct sc_buf bytes = {0};
    put_lost(batches, &bytes);
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    enum sc_status status = sc_planner_lost(p, rank, &in);
    sc_buf_free(&bytes);
    return status;
}

static void each_batch_is_read_once_and_at_home(void **state)
{
    struct sc_planner *p = make_planner();
    (void)state;
    assert_int_equal(assigned_to(p, 0), 0x11);
    assert_int_equal(assigned_to(p, 1), 0x0a);
    assert_int_equal(assigned_to(p, 2), 0x24);
    sc_planner_free(p);
}

static void what_a_rank_cannot_read_goes_to_another_and_then_is_missing(void **state)
{
    struct sc_source source = {0};
    struct sc_planner *p = make_planner();
    bool again = false;
    (void)state;
    assert_int_equal(lose(p, 1, 0x0a), SC_OK); /* both have other holders */
    assert_int_equal(sc_planner_reassign(p, &source, &again), SC_OK);
    assert_true(again);
    assert_int_equal(source.missing_count, 0);
    assert_int_equal(assigned_to(p, 0) | assigned_to(p, 2), 0x3f);
    assert_int_equal(assigned_to(p, 0) & assigned_to(p, 2), 0);
    assert_int_equal(lose(p, 2, 0x20), SC_OK); /* nobody else has it */
    assert_int_equal(sc_planner_reassign(p, &source, &again), SC_OK);
    assert_false(again);
    assert_int_equal(source.missing_count, 1);
    assert_non_null(strstr(source.missing[0], "no node can read it"));
    assert_int_equal(sc_planner_reassign(p, &source, &again), SC_OK);
    assert_false(again);
    assert_int_equal(source.missing_count, 1);
    sc_planner_free(p);
    sc_source_close(&source);
}

static enum sc_status add_bytes(const uint8_t *bytes, size_t length)
{
    struct sc_planner *p = sc_planner_create(1);
    struct sc_cursor in = {.data = bytes, .len = length};
    enum sc_status status = sc_planner_add(p, &in);
    sc_planner_free(p);
    return status;
}

static void bytes_that_make_no_sense_are_refused(void **state)
{
    static const struct sc_id_run first = {.stream = 7, .first = 4, .last = 9, .lane = 2};
    static const struct sc_id_run wrong[] = {
        {7, 9, 12, 2, 0}, {7, 2, 3, 2, 0}, {7, 11, 10, 2, 0}, {7, 10, 12, 1, 0}, {6, 10, 12, 2, 0}};
    struct sc_buf bytes = {0};
    (void)state;
    put_rank(0, &bytes);
    size_t one = bytes.len / 4; /* it has four */
    for (size_t cut = 0; cut <= bytes.len; cut++)
        assert_int_equal(add_bytes(bytes.data, cut), cut % one == 0 ? SC_OK : SC_DAMAGED);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sc_buf_clear(&bytes);
        sc_inventory_put_run(&first, &bytes);
        sc_inventory_put_run(&wrong[i], &bytes);
        assert_int_equal(add_bytes(bytes.data, bytes.len), SC_DAMAGED);
    }
    sc_buf_free(&bytes);
}

static void only_the_reader_of_a_batch_loses_it(void **state)
{
    struct sc_planner *p = make_planner();
    struct sc_buf bytes = {0};
    (void)state;
    assert_int_equal(lose(p, 0, 0x02), SC_DAMAGED); /* it has it, but another one reads it */
    assert_int_equal(lose(p, 0, 0x20), SC_DAMAGED); /* it does not have it */
    put_lost(0x01, &bytes);
    for (size_t cut = 1; cut < bytes.len; cut++) {
        struct sc_cursor in = {.data = bytes.data, .len = cut};
        assert_int_equal(sc_planner_lost(p, 0, &in), SC_DAMAGED);
    }
    sc_planner_free(p);
    sc_buf_free(&bytes);
}

/* ---- what ranks tell ---- */

static void fill_horizons(struct sc_horizons *h)
{
    const struct sc_member_horizon members[] = {{.lane = 3, .own = true, .horizon_ms = WINDOW - 1},
                                                {.lane = 4, .horizon_ms = WINDOW}};
    const struct sc_lane_holders lane = {.lane = 3, .count = 2, .holders = {3, 4}};
    h->version = 7;
    for (int i = 0; i < 2; i++)
        assert_int_equal(sc_horizons_add_member(h, &members[i]), SC_OK);
    assert_int_equal(sc_horizons_add_lane(h, &lane), SC_OK);
    sc_horizons_settle(h);
}

static void fill_expected(struct sc_expected *e)
{
    struct sc_tally t = {.proxy = "n1", .stream = 5, .window_ms = WINDOW, .window_s = 60};
    struct sc_tally_lane *lane = sc_tally_lane(&t, 3);
    struct sc_stream s = {.proxy = "n1", .stream = 5, .heard_ms = WINDOW + 1, .closed = true};
    struct sc_loss l = {
        .stream = 5, .window_ms = WINDOW, .window_s = 60, .lane = 3, .lost = {{1, 0}, {7, 0}}};
    assert_non_null(lane);
    lane->accepted = (struct sc_tally_count){{9, 1}, {900, 4}};
    lane->safe = (struct sc_tally_count){{8, 1}, {800, 4}};
    fill_horizons(&e->horizons);
    assert_int_equal(sc_expected_add_tally(e, &t), SC_OK);
    assert_int_equal(sc_expected_add_stream(e, &s), SC_OK);
    assert_int_equal(sc_losses_add(&e->losses, &l), SC_OK);
    sc_tally_free(&t);
}

static const struct sc_expected_range always = {.kind = SC_RECORDS_FLOWS, .end_ms = UINT64_MAX};

static void put_all(const struct sc_expected *e, struct sc_buf *out)
{
    sc_inventory_put_expected(e, out);
    sc_inventory_put_tallies(e, &always, NULL, out);
}

static enum sc_status get_all(struct sc_cursor *in, struct sc_expected *e)
{
    SC_TRY(sc_inventory_get_expected(in, e));
    return sc_inventory_get_tallies(in, e);
}

static void what_is_expected_comes_back(void **state)
{
    struct sc_expected e = {0}, back = {0};
    struct sc_buf bytes = {0}, again = {0};
    (void)state;
    fill_expected(&e);
    put_all(&e, &bytes);
    for (int twice = 0; twice < 2; twice++) { /* what two ranks say is the same as what one says */
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        assert_int_equal(get_all(&in, &back), SC_OK);
        assert_int_equal(sc_cursor_left(&in), 0);
    }
    assert_int_equal(sc_expected_merge_tallies(&back), SC_OK);
    put_all(&back, &again);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        struct sc_expected part = {0};
        struct sc_cursor in = {.data = bytes.data, .len = cut};
        assert_int_equal(get_all(&in, &part), SC_DAMAGED);
        sc_expected_free(&part);
    }
    sc_expected_free(&e);
    sc_expected_free(&back);
    sc_buf_free(&bytes);
    sc_buf_free(&again);
}

/* Tallies of other times stay where they are, but for one that says that there are any. */
static void tallies_of_the_range_are_told(void **state)
{
    static const struct {
        uint64_t begin_ms, end_ms;
        uint32_t told;
    } cases[] = {{WINDOW, WINDOW + 1, 1},
                 {WINDOW - 1, WINDOW + 60000, 1},
                 {WINDOW + 59999, WINDOW + 60001, 2},
                 {WINDOW, WINDOW + 600000, 10},
                 {0, UINT64_MAX, 10},
                 {0, WINDOW, 1},
                 {WINDOW + 600000, UINT64_MAX, 1}};
    struct sc_expected e = {.horizons = {.least_ms = WINDOW - 600000}}, none = {0};
    struct sc_buf bytes = {0};
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        struct sc_tally t = {.proxy = "n1", .stream = 5, .window_ms = WINDOW + 60000 * i, .window_s = 60};
        assert_non_null(sc_tally_lane(&t, 3));
        assert_int_equal(sc_expected_add_tally(&e, &t), SC_OK);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sc_expected_range range = {.begin_ms = cases[i].begin_ms, .end_ms = cases[i].end_ms};
        struct sc_expected back = {0};
        sc_buf_clear(&bytes);
        sc_inventory_put_tallies(&e, &range, NULL, &bytes);
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        assert_int_equal(sc_inventory_get_tallies(&in, &back), SC_OK);
        assert_int_equal(back.tally_count, cases[i].told);
        sc_expected_free(&back);
    }
    sc_buf_clear(&bytes);
    sc_inventory_put_tallies(&none, &always, NULL, &bytes);
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    assert_int_equal(sc_inventory_get_tallies(&in, &none), SC_OK);
    assert_int_equal(none.tally_count, 0);
    sc_expected_free(&e);
    sc_buf_free(&bytes);
}

/* Rank 0's digest leaves what is news: another number, or a window that it does not know. */
static void only_news_of_tallies_is_told(void **state)
{
    struct sc_expected e = {0};
    struct sc_inventory_digest digest;
    struct sc_buf bytes = {0}, told = {0};
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        struct sc_tally t = {.proxy = "n1", .stream = 5, .window_ms = WINDOW + 60000 * i, .window_s = 60};
        assert_non_null(sc_tally_lane(&t, 3));
        assert_int_equal(sc_expected_add_tally(&e, &t), SC_OK);
        if (i == 3)
            sc_inventory_put_digest(&e, &always, 99, &bytes);
    }
    e.tallies[1].lanes[0].accepted.records[1]++;
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    assert_int_equal(sc_inventory_get_digest(&in, &digest), SC_OK);
    assert_int_equal(digest.count, 4);
    sc_inventory_put_tallies(&e, &always, &digest, &told);
    struct sc_expected news = {0};
    in = (struct sc_cursor){.data = told.data, .len = told.len};
    assert_int_equal(sc_inventory_get_tallies(&in, &news), SC_OK);
    assert_int_equal(news.tally_count, 2);
    assert_true(news.tallies[0].window_ms == WINDOW + 60000 && news.tallies[1].window_ms == WINDOW + 240000);
    sc_inventory_digest_free(&digest);
    in = (struct sc_cursor){.data = bytes.data, .len = bytes.len - 1};
    assert_int_equal(sc_inventory_get_digest(&in, &digest), SC_DAMAGED);
    sc_inventory_digest_free(&digest);
    sc_expected_free(&news);
    sc_expected_free(&e);
    sc_buf_free(&bytes);
    sc_buf_free(&told);
}

static void a_summary_comes_back(void **state)
{
    const struct sc_summary s = {.records = 1,
                                 .flows = 2,
                                 .packets = UINT64_MAX,
                                 .bytes = 4,
                                 .sampled = 5,
                                 .intervals = {10, 20},
                                 .interval_count = 2,
                                 .more_intervals = true};
    struct sc_summary back;
    struct sc_buf bytes = {0};
    (void)state;
    sc_inventory_put_summary(&s, &bytes);
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        struct sc_cursor in = {.data = bytes.data, .len = cut};
        assert_int_equal(sc_inventory_get_summary(&in, &back), cut == bytes.len ? SC_OK : SC_DAMAGED);
    }
    assert_true(back.packets == UINT64_MAX);
    assert_int_equal(back.sampled, 5);
    assert_int_equal(back.interval_count, 2);
    assert_int_equal(back.intervals[1], 20);
    assert_true(back.more_intervals);
    bytes.data[40] = SC_MAX_INTERVALS + 1;
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    assert_int_equal(sc_inventory_get_summary(&in, &back), SC_DAMAGED);
    sc_buf_free(&bytes);
}

/* ---- words ---- */

static void patterns_are_expanded(void **state)
{
    static const char *const cases[][2] = {{"/store", "/store"},
                                           {"/s/%n/x", "/s/node/x"},
                                           {"%h%n", "hostnode"},
                                           {"100%%", "100%"},
                                           {"%", "%"},
                                           {"a%b", "a%b"},
                                           {"", ""},
                                           {"%%h", "%h"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = sc_words_expand(cases[i][0], "host", "node");
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static size_t find(const struct sc_words *words, const char *word, size_t from)
{
    while (from < words->count && strcmp(words->list[from], word) != 0)
        from++;
    return from;
}

static enum sc_status launch(const char *host, char *word, struct sc_words *out, struct sc_error *err)
{
    static char own[] = "--attempt", number[] = "1";
    const struct sc_launch_rank ranks[] = {{.node = "a"}, {.node = "b", .host = host}};
    char *query[] = {word, NULL}, *first[] = {own, number, NULL};
    const struct sc_launch l = {.connect_s = 5,
                                .mpiexec = "mpiexec",
                                .guard = "/x/guard",
                                .program = "/x/rank",
                                .ssh = "ssh -i key",
                                .ranks = ranks,
                                .rank_count = 2,
                                .query = query,
                                .first = first};
    return sc_launch_words(&l, out, err);
}

static void ranks_are_started_with_their_words(void **state)
{
    struct sc_words words = {0};
    struct sc_error err;
    char odd[] = "src ip 10/8\n' \" $HOME;";
    (void)state;
    assert_int_equal(launch("10.0.0.2", odd, &words, &err), SC_OK);
    assert_string_equal(words.list[0], "mpiexec");
    assert_null(words.list[words.count]);
    size_t agent = find(&words, "plm_rsh_agent", 0);
    static const char ssh[] =
        "/x/guard --reach ,10.0.0.2, ssh -i key -x -o BatchMode=yes -o ConnectTimeout=5 ";
    assert_int_equal(strncmp(words.list[agent + 1], ssh, sizeof(ssh) - 1), 0);
    size_t host = find(&words, "--host", 0), colon = find(&words, ":", 0);
    assert_string_equal(words.list[host + 1], "localhost");
    assert_string_equal(words.list[colon - 1], odd);
    assert_true(find(&words, "--attempt", 0) < colon);
    assert_int_equal(find(&words, "--attempt", colon), words.count);
    assert_string_equal(words.list[find(&words, "--host", colon) + 1], "0.0.0.2");
    assert_string_equal(words.list[find(&words, "--node", colon) + 1], "b");
    assert_string_equal(words.list[colon - 2], "--");
    assert_int_equal(find(&words, "--", colon), words.count);
    assert_int_equal(find(&words, odd, colon), words.count);
    sc_words_free(&words);
}

/* What the kernel takes for a new program is a quarter of the stack at most, 2 MiB by default, with the environment; of one word 32
 * pages. */
static void a_long_query_for_many_nodes_is_a_command(void **state)
{
    enum { NODES = SC_CLUSTER_MAX_MEMBERS, FILTER = 100000, MOST_WORD = 32 * 4096 };
    static struct sc_launch_rank ranks[NODES];
    static char names[NODES][SC_CLUSTER_NAME_MAX], filter[FILTER + 1];
    char *query[] = {filter, NULL};
    const struct sc_launch l = {.mpiexec = "mpiexec",
                                .guard = "/usr/local/bin/sc-query-guard",
                                .program = "/usr/local/bin/sc-query-rank",
                                .ssh = "ssh",
                                .ranks = ranks,
                                .rank_count = NODES,
                                .query = query};
    struct sc_words words = {0};
    struct sc_error err;
    size_t bytes = 0;
    (void)state;
    memset(filter, 'x', FILTER);
    for (unsigned i = 0; i < NODES; i++) {
        memset(names[i], 'a' + (int)(i % 26), SC_CLUSTER_NAME_MAX - 1);
        ranks[i] =
            (struct sc_launch_rank){.node = names[i], .host = "2001:db8:1234:5678:9abc:def0:1234:5678"};
    }
    assert_int_equal(sc_launch_words(&l, &words, &err), SC_OK);
    for (size_t i = 0; i < words.count; i++) {
        assert_true(strlen(words.list[i]) < MOST_WORD);
        bytes += strlen(words.list[i]) + 1 + sizeof(char *);
    }
    assert_true(bytes > FILTER && bytes < 768 * 1024);
    sc_words_free(&words);
}

static void hosts_and_words_that_would_be_options_are_refused(void **state)
{
    static const char *const hosts[] = {
        "-oProxyCommand=x", "a b", "a'b", "a\"b", "a\nb", "", "a;b", "$(x)", "a,b", "a|b"};
    struct sc_error err;
    char good[] = "any", colon[] = ":";
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct sc_words words = {0};
        assert_int_equal(launch(hosts[i], good, &words, &err), SC_USAGE);
        assert_int_equal(words.count, 0);
    }
    struct sc_words words = {0};
    assert_int_equal(launch("b", colon, &words, &err), SC_USAGE);
    sc_words_free(&words);
}

UNIT(test_planner)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_batch_is_read_once_and_at_home),
        cmocka_unit_test(what_a_rank_cannot_read_goes_to_another_and_then_is_missing),
        cmocka_unit_test(bytes_that_make_no_sense_are_refused),
        cmocka_unit_test(only_the_reader_of_a_batch_loses_it),
        cmocka_unit_test(what_is_expected_comes_back),
        cmocka_unit_test(tallies_of_the_range_are_told),
        cmocka_unit_test(only_news_of_tallies_is_told),
        cmocka_unit_test(a_summary_comes_back),
        cmocka_unit_test(patterns_are_expanded),
        cmocka_unit_test(ranks_are_started_with_their_words),
        cmocka_unit_test(a_long_query_for_many_nodes_is_a_command),
        cmocka_unit_test(hosts_and_words_that_would_be_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
