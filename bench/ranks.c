// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a cluster query does at rank 0 and between ranks, with ranks that are threads and holdings that are made up: how many bytes,
 * how many messages, how much time of rank 0, for numbers of nodes that nobody has. Prints one object of JSON.
 *
 *     bench-ranks reduce [--ranks=N] [--groups=N] [--rows=N] [--limit=N] [--way=auto|gather|exchange|tput] [--home]
 *     bench-ranks plan [--ranks=N] [--batches=N] [--windows=N] [--copies=N] [--streams=N] [--gaps=N] [--away=N] [--tallies]
 *     bench-ranks tallies [--ranks=N] [--proxies=N] [--windows=N] [--open=N]
 *
 * reduce: the greatest sums by source address; --rows of all ranks, whose addresses are Zipf distributed over --groups. A row is met
 * by any rank, with --home each address by one rank only.
 * plan: --batches of each rank, of each --copies copies, in --streams streams and --windows windows; what rank 0 reads, assigns and
 * tells. Each copy lacks --gaps batches of each stream; of --away ranks there is none. With --tallies they are judged for these windows.
 * tallies: what rank 0 reads and merges, of --windows windows and --proxies proxies, with a lane for each rank: it hears from the first
 * ranks of a tree of those that it does not know, in the last --open windows.
 */
#include "base/clock.h"
#include "cluster/inventory.h"
#include "cluster/planner.h"
#include "cluster/reduce.h"
#include "group/table.h"
#include "query/request.h"
#include "ranks_threads.h"

#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define STACK_BYTES ((size_t)256 << 10)
#define BATCH_ROWS  7680u
#define WINDOW_MS   UINT64_C(300000)
#define FIRST_MS    (UINT64_C(1795596000000) / WINDOW_MS * WINDOW_MS)

struct options {
    uint64_t ranks, groups, rows, limit, batches, windows, copies, proxies, streams, gaps, away, open;
    enum sc_reduce_way way;
    bool home, tallies;
};

static const char *const ways[] = {"auto", "gather", "exchange", "tput"};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench-ranks: %s\n", what);
    exit(1);
}

static void *check(void *made)
{
    if (made == NULL)
        fail("out of memory");
    return made;
}

static void need(enum sc_status status, const struct sc_error *err)
{
    if (status != SC_OK)
        fail(err->message);
}

static uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed * UINT64_C(0x9e3779b97f4a7c15) + n * UINT64_C(0xd1342543de82ef95) + 1;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long resident_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

/* ---- reduce ---- */

struct member {
    struct sc_ranks under, ranks;
    struct sc_aggregate aggregate;
    struct sc_groups *groups;
    struct sc_reduce_stats stats;
    const struct sc_reduce_wish *wish;
    uint64_t messages, bytes; /* to and from this rank */
    double ms;                /* of its thread */
    enum sc_status status;
    struct sc_error err;
    pthread_t thread;
};

static enum sc_status count_pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                 struct sc_buf *receive, struct sc_error *err)
{
    struct member *m = arg;
    if (to != SC_NO_RANK) {
        m->messages++;
        m->bytes += send->len;
    }
    enum sc_status status = m->under.pass(m->under.arg, to, send, from, receive, err);
    if (from != SC_NO_RANK && status == SC_OK) {
        m->messages++;
        m->bytes += receive->len;
    }
    return status;
}

/* One row of an address: a flow, a packet, `bytes` bytes. */
static void add_row(struct member *m, uint64_t group, uint64_t bytes)
{
    const struct sc_aggregate *a = &m->aggregate;
    struct sc_addr address = sc_addr_v4((uint32_t)group);
    uint8_t row[SC_MAX_ACCUMULATORS * 8 + 2 + SC_MOST_KEY_BYTES] = {0}; /* the head of a narrow key is 0 */
    memcpy(row + a->key_at + a->keys[0].at[SC_KEY_NARROW], address.b + 12, 4);
    for (uint32_t i = 0; i < a->accumulator_count; i++)
        sc_store_le64(row + (size_t)8 * i, bytes);
    row[a->seen_at] = (uint8_t)((1u << a->accumulator_count) - 1);
    uint8_t *entry = check(sc_groups_find_entry(m->groups, row));
    sc_groups_combine(a, entry, row);
}

/* Of `groups`, by Zipf: about as many rows of the n-th as of the first, by n. */
static uint64_t draw_group(uint64_t seed, uint64_t groups)
{
    double u = (double)(mix(seed, 1) >> 11) * 0x1p-53;
    return (uint64_t)pow((double)groups, u) - 1;
}

static void fill(struct member *members, const struct options *o)
{
    for (uint64_t row = 0; row < o->rows; row++) {
        uint64_t group = draw_group(row, o->groups);
        add_row(&members[mix(o->home ? group : row, 3) % o->ranks], group, mix(row, 4) % 1500);
    }
}

static void *reduce_main(void *arg)
{
    struct member *m = arg;
    double before = thread_ms();
    m->status = sc_reduce_groups(&m->ranks, m->wish, &m->aggregate, &m->groups, &m->stats, &m->err);
    m->ms = thread_ms() - before;
    return NULL;
}

static void start(struct member *members, const struct options *o)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (uint64_t i = 0; i < o->ranks; i++) {
        if (pthread_create(&members[i].thread, &attributes, reduce_main, &members[i]) != 0)
            fail("cannot start a thread");
    }
    pthread_attr_destroy(&attributes);
}

static void print_reduced(const struct member *members, const struct options *o, uint64_t groups, uint64_t ms)
{
    const struct member *root = &members[0];
    uint64_t bytes = 0, messages = 0, busiest = 0, most_messages = 0;
    double other_ms = 0;
    for (uint64_t i = 0; i < o->ranks; i++) {
        const struct member *m = &members[i];
        bytes += m->bytes;
        messages += m->messages;
        busiest = m->bytes > busiest ? m->bytes : busiest;
        most_messages = m->messages > most_messages ? m->messages : most_messages;
        other_ms = i != 0 && m->ms > other_ms ? m->ms : other_ms;
    }
    printf("{\"ranks\": %llu, \"way\": \"%s\", \"rounds\": %u, \"groups\": %llu, \"bytes\": %llu, "
           "\"messages\": %llu,\n"
           " \"root_bytes\": %llu, \"root_messages\": %llu, \"busiest_bytes\": %llu, \"busiest_messages\": "
           "%llu,\n"
           " \"candidates\": %llu, \"root_ms\": %.1f, \"other_ms\": %.1f, \"ms\": %llu, \"resident_mib\": "
           "%ld}\n",
           (unsigned long long)o->ranks, ways[root->stats.way], root->stats.rounds,
           (unsigned long long)groups, (unsigned long long)bytes / 2, (unsigned long long)messages / 2,
           (unsigned long long)root->bytes, (unsigned long long)root->messages, (unsigned long long)busiest,
           (unsigned long long)most_messages, (unsigned long long)root->stats.candidates, root->ms, other_ms,
           (unsigned long long)ms, resident_mib());
}

static void reduce(const struct options *o)
{
    struct sc_error err = {0};
    struct sc_request *request = check(calloc(1, sizeof(*request)));
    need(sc_request_aggregate(NULL, "srcip", "bytes", "flows,packets,bytes", request, &err), &err);
    const struct sc_reduce_wish wish = {
        .orders = request->orders, .order_count = request->order_count, .limit = o->limit, .way = o->way};
    struct sc_ranks_threads *threads = check(sc_ranks_threads_create((uint32_t)o->ranks));
    struct member *members = check(calloc(o->ranks, sizeof(*members)));
    uint64_t groups = 0;
    for (uint64_t i = 0; i < o->ranks; i++) {
        struct member *m = &members[i];
        m->under = m->ranks = sc_ranks_threads_rank(threads, (uint32_t)i);
        m->ranks.pass = count_pass;
        m->ranks.arg = m;
        m->wish = &wish;
        m->aggregate = request->aggregate;
        sc_aggregate_prepare(&m->aggregate);
        m->groups = check(sc_groups_create(&m->aggregate));
    }
    fill(members, o);
    for (uint64_t i = 0; i < o->ranks; i++)
        groups += sc_groups_count(members[i].groups);
    uint64_t begin_ms = sc_clock_mono_ms();
    start(members, o);
    for (uint64_t i = 0; i < o->ranks; i++) {
        pthread_join(members[i].thread, NULL);
        need(members[i].status, &members[i].err);
    }
    print_reduced(members, o, groups, sc_clock_mono_ms() - begin_ms);
    sc_groups_free(members[0].groups);
    sc_ranks_threads_free(threads);
    free(members);
    free(request);
}

/* ---- what ought to be there ---- */

static const struct sc_expected_range always = {.end_ms = UINT64_MAX};

/* `batches` of each lane of a window are safe. */
static void make_expected(struct sc_expected *e, const struct options *o, uint64_t proxies, uint64_t batches)
{
    for (uint64_t p = 0; p < proxies; p++) {
        for (uint64_t w = 0; w < o->windows; w++) {
            struct sc_tally t = {.stream = mix(p, 9), .window_ms = FIRST_MS + w * WINDOW_MS, .window_s = 300};
            snprintf(t.proxy, sizeof(t.proxy), "proxy-%llu", (unsigned long long)p);
            for (uint64_t l = 0; l < o->ranks; l++) {
                struct sc_tally_lane *lane = check(sc_tally_lane(&t, (uint32_t)mix(l, 11) | 1));
                lane->accepted.batches[0] = lane->safe.batches[0] = batches;
            }
            if (sc_expected_add_tally(e, &t) != SC_OK)
                fail("out of memory");
        }
    }
}

/* ---- plan ---- */

/* What a rank's listing of its files comes to: a source with a row group for each window of each lane. */
struct holding {
    struct sc_source source;
    struct sc_segment *segments;
    struct sc_segment **list;
    struct sc_source_group *groups;
    bool *gone; /* of a stream's batches */
};

/* What of the plan's time and bytes falls to whom. */
struct plan_cost {
    uint64_t runs, held_bytes, told_bytes, found_bytes,
        rank_bytes; /* rank_bytes: that one rank sends at most */
    double rank_ms, add_ms, assign_ms, tell_ms, found_ms, judge_ms; /* rank_ms: of the slowest rank */
};

static uint64_t stream_length(const struct options *o)
{
    return o->batches / o->streams;
}

static uint64_t window_of(const struct options *o, uint64_t sequence)
{
    return sequence * o->windows / stream_length(o);
}

static uint32_t lane_of(uint64_t rank)
{
    return (uint32_t)mix(rank, 11) | 1;
}

static bool is_away(const struct options *o, uint64_t rank)
{
    return o->away != 0 && rank % (o->ranks / o->away) == 1 % o->ranks;
}

static void choose_gaps(struct holding *h, const struct options *o, uint64_t seed)
{
    memset(h->gone, 0, stream_length(o) * sizeof(*h->gone));
    for (uint64_t g = 0; g < o->gaps; g++)
        h->gone[mix(seed, g) % stream_length(o)] = true;
}

/* Copy c of a lane whose home is `home`, as it is here; the last window is not sealed yet. */
static void add_lane(struct holding *h, const struct options *o, uint64_t c, uint64_t home)
{
    for (uint64_t s = 0; s < o->streams; s++) {
        choose_gaps(h, o, mix(mix(home, s), c));
        for (uint64_t b = 0; b < stream_length(o); b++) {
            const struct sc_span span = {
                .stream = mix(s, 9), .lane = lane_of(home), .sequence = b, .rows = BATCH_ROWS};
            uint64_t window = window_of(o, b), rank = (c != 0) * SC_RANK_REPLICA + (window + 1 == o->windows);
            if (!h->gone[b] && sc_read_plan_add(&h->source.plan, &span, (uint32_t)(window * o->copies + c),
                                                (uint16_t)rank, true) != SC_OK)
                fail("out of memory");
        }
    }
}

static void make_holding(struct holding *h, const struct options *o, uint64_t rank)
{
    uint64_t count = o->windows * o->copies;
    *h = (struct holding){.segments = check(calloc(count, sizeof(*h->segments))),
                          .list = check(calloc(count, sizeof(struct sc_segment *))),
                          .groups = check(calloc(count, sizeof(*h->groups))),
                          .gone = check(calloc(stream_length(o), sizeof(*h->gone)))};
    for (uint64_t g = 0; g < count; g++) {
        h->segments[g].window_ms = FIRST_MS + g / o->copies * WINDOW_MS;
        h->list[g] = &h->segments[g];
        h->groups[g].segment = (uint32_t)g;
    }
    h->source.segments = h->list;
    h->source.groups = h->groups;
    for (uint64_t c = 0; c < o->copies && !is_away(o, rank); c++)
        add_lane(h, o, c, (rank + o->ranks - c) % o->ranks);
    if (sc_read_plan_assign(&h->source.plan) != SC_OK)
        fail("out of memory");
}

static void free_holding(struct holding *h)
{
    sc_read_plan_free(&h->source.plan);
    free(h->segments);
    free(h->list);
    free(h->groups);
    free(h->gone);
}

static void note_rank(struct plan_cost *cost, double ms, uint64_t bytes)
{
    cost->rank_ms = ms > cost->rank_ms ? ms : cost->rank_ms;
    cost->rank_bytes = bytes > cost->rank_bytes ? bytes : cost->rank_bytes;
}

/* The rank's runs come to rank 0. */
static void tell_held(struct sc_planner *planner, const struct options *o, uint64_t rank,
                      struct plan_cost *cost)
{
    struct holding h;
    struct sc_buf bytes = {0};
    struct sc_id_run *runs;
    uint32_t count;
    make_holding(&h, o, rank);
    double before = thread_ms();
    if (sc_read_plan_runs(&h.source.plan, &runs, &count) != SC_OK)
        fail("out of memory");
    for (uint32_t i = 0; i < count; i++)
        sc_inventory_put_run(&runs[i], &bytes);
    note_rank(cost, thread_ms() - before, bytes.len);
    cost->runs += count;
    cost->held_bytes += bytes.len;
    struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
    before = thread_ms();
    if (!sc_buf_ok(&bytes) || sc_planner_add(planner, &in) != SC_OK)
        fail("the planner takes no more");
    cost->add_ms += thread_ms() - before;
    free(runs);
    sc_buf_free(&bytes);
    free_holding(&h);
}

/* It takes what it is to read, and tells how much that is. */
static void tell_found(const struct sc_buf *told, const struct options *o, uint64_t rank,
                       struct sc_expected *expected, struct plan_cost *cost)
{
    struct holding h;
    struct sc_buf bytes = {0};
    struct sc_id_run *runs;
    uint32_t count, *lost, lost_count;
    struct sc_cursor in = {.data = told->data, .len = told->len};
    make_holding(&h, o, rank);
    double before = thread_ms();
    if (sc_inventory_get_runs(&in, &runs, &count) != SC_OK ||
        sc_read_plan_take(&h.source.plan, runs, count, &lost, &lost_count) != SC_OK)
        fail("a rank does not understand the plan");
    sc_inventory_put_found(&h.source, &bytes);
    note_rank(cost, thread_ms() - before, bytes.len);
    cost->told_bytes += told->len;
    cost->found_bytes += bytes.len;
    in = (struct sc_cursor){.data = bytes.data, .len = bytes.len};
    before = thread_ms();
    if (!sc_buf_ok(&bytes) || sc_inventory_get_found(&in, expected) != SC_OK)
        fail("rank 0 does not understand what was found");
    cost->found_ms += thread_ms() - before;
    free(runs);
    free(lost);
    sc_buf_free(&bytes);
    free_holding(&h);
}

static void count_sentence(void *arg, const char *sentence)
{
    uint64_t *sentences = arg;
    (void)sentence;
    ++*sentences;
}

static void print_plan(const struct options *o, const struct plan_cost *c, uint64_t sentences)
{
    printf("{\"ranks\": %llu, \"copies\": %llu, \"runs\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, "
           "\"bytes_rank\": %llu, \"rank_ms\": %.1f, \"add_ms\": %.1f, \"assign_ms\": %.1f, "
           "\"tell_ms\": %.1f, \"found_ms\": %.1f, \"judge_ms\": %.1f, \"sentences\": %llu, "
           "\"resident_mib\": %ld}\n",
           (unsigned long long)o->ranks, (unsigned long long)(o->ranks * o->batches * o->copies),
           (unsigned long long)c->runs, (unsigned long long)(c->held_bytes + c->found_bytes),
           (unsigned long long)c->told_bytes, (unsigned long long)c->rank_bytes, c->rank_ms, c->add_ms,
           c->assign_ms, c->tell_ms, c->found_ms, c->judge_ms, (unsigned long long)sentences, resident_mib());
}

static void plan(const struct options *o)
{
    struct sc_planner *planner = check(sc_planner_create((uint32_t)o->ranks));
    struct sc_buf *told = check(calloc(o->ranks, sizeof(*told)));
    struct sc_expected expected = {0};
    struct plan_cost cost = {0};
    uint64_t sentences = 0;
    if (o->tallies)
        make_expected(&expected, o, o->streams, stream_length(o) / o->windows);
    for (uint64_t r = 0; r < o->ranks; r++)
        tell_held(planner, o, r, &cost);
    double before = thread_ms();
    if (sc_planner_assign(planner) != SC_OK)
        fail("out of memory");
    cost.assign_ms = thread_ms() - before;
    before = thread_ms();
    sc_planner_put_assignments(planner, told);
    cost.tell_ms = thread_ms() - before;
    for (uint64_t r = 0; r < o->ranks; r++)
        tell_found(&told[r], o, r, &expected, &cost);
    before = thread_ms();
    sc_expected_judge(&expected, &always, count_sentence, &sentences);
    cost.judge_ms = thread_ms() - before;
    print_plan(o, &cost, sentences);
    for (uint64_t r = 0; r < o->ranks; r++)
        sc_buf_free(&told[r]);
    free(told);
    sc_expected_free(&expected);
    sc_planner_free(planner);
}

/* ---- tallies ---- */

/* In the last windows another rank has heard of one batch more. */
static void hear_more(struct sc_expected *e, const struct options *o)
{
    for (uint32_t i = 0; i < e->tally_count; i++) {
        if (e->tallies[i].window_ms >= FIRST_MS + (o->windows - o->open) * WINDOW_MS)
            e->tallies[i].lanes[0].accepted.batches[0]++;
    }
}

/* What a rank tells of the tallies that rank 0 does not know. */
static void put_news(const struct options *o, const struct sc_buf *digest_bytes, struct sc_buf *out)
{
    struct sc_expected own = {0};
    struct sc_inventory_digest digest;
    struct sc_cursor in = {.data = digest_bytes->data, .len = digest_bytes->len};
    make_expected(&own, o, o->proxies, 600);
    hear_more(&own, o);
    double before = thread_ms();
    if (!sc_buf_ok(digest_bytes) || sc_inventory_get_digest(&in, &digest) != SC_OK)
        fail("the digest makes no sense");
    sc_inventory_put_tallies(&own, &always, &digest, out);
    fprintf(stderr, "# a rank finds its news in %.1f ms\n", thread_ms() - before);
    sc_inventory_digest_free(&digest);
    sc_expected_free(&own);
}

/* The way from the last rank to rank 0 through the tree: at each step one rank reads what another sends, merges, and writes. */
static void tallies(const struct options *o)
{
    struct sc_expected own = {0};
    struct sc_buf bytes = {0}, digest = {0};
    unsigned steps = 0;
    make_expected(&own, o, o->proxies, 600);
    double before = thread_ms();
    sc_inventory_put_digest(&own, &always, 1, &digest);
    double put_ms = thread_ms() - before;
    put_news(o, &digest, &bytes);
    before = thread_ms();
    for (uint64_t behind = 1; behind < o->ranks; behind *= 2, steps++) {
        struct sc_cursor in = {.data = bytes.data, .len = bytes.len};
        if (!sc_buf_ok(&bytes) || sc_inventory_get_tallies(&in, &own) != SC_OK)
            fail("the tallies make no sense");
    }
    if (sc_expected_merge_tallies(&own) != SC_OK || own.tally_count != o->proxies * o->windows)
        fail("the tallies do not come together");
    printf("{\"ranks\": %llu, \"bytes_digest\": %llu, \"bytes_each\": %llu, \"steps\": %u, \"put_ms\": %.1f, "
           "\"get_ms\": %.1f, \"resident_mib\": %ld}\n",
           (unsigned long long)o->ranks, (unsigned long long)digest.len, (unsigned long long)bytes.len, steps,
           put_ms, thread_ms() - before, resident_mib());
    sc_buf_free(&bytes);
    sc_buf_free(&digest);
    sc_expected_free(&own);
}

/* ---- words ---- */

static enum sc_reduce_way parse_way(const char *text)
{
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(text, ways[i]) == 0)
            return (enum sc_reduce_way)i;
    }
    fail("--way is auto, gather, exchange or tput");
}

static void parse(int argc, char **argv, struct options *o)
{
    enum { WAY = 'w', HOME = 'h', TALLIES = 't', NUMBERS = 12 };
    uint64_t *const numbers[NUMBERS] = {&o->ranks,   &o->groups,  &o->rows,   &o->limit,
                                        &o->batches, &o->windows, &o->copies, &o->proxies,
                                        &o->streams, &o->gaps,    &o->away,   &o->open};
    static const struct option options[] = {
        {"ranks", 1, NULL, 0},         {"groups", 1, NULL, 1},
        {"rows", 1, NULL, 2},          {"limit", 1, NULL, 3},
        {"batches", 1, NULL, 4},       {"windows", 1, NULL, 5},
        {"copies", 1, NULL, 6},        {"proxies", 1, NULL, 7},
        {"streams", 1, NULL, 8},       {"gaps", 1, NULL, 9},
        {"away", 1, NULL, 10},         {"open", 1, NULL, 11},
        {"tallies", 0, NULL, TALLIES}, {"way", 1, NULL, WAY},
        {"home", 0, NULL, HOME},       {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == WAY)
            o->way = parse_way(optarg);
        else if (option == HOME)
            o->home = true;
        else if (option == TALLIES)
            o->tallies = true;
        else if (option >= 0 && option < NUMBERS)
            *numbers[option] = strtoull(optarg, NULL, 10);
        else
            fail("see the head of bench/ranks.c");
    }
    if (o->ranks == 0 || o->ranks > 4096 || o->groups == 0 || o->batches == 0 || o->copies == 0 ||
        o->copies > o->ranks || o->windows == 0 || o->streams == 0 || o->batches < o->streams * o->windows ||
        o->away > o->ranks || o->open > o->windows || o->batches * o->copies > UINT32_MAX / o->ranks)
        fail("that many cannot be");
}

int main(int argc, char **argv)
{
    struct options o = {.ranks = 8,
                        .groups = 1000000,
                        .rows = 6000000,
                        .limit = 10,
                        .batches = 1000,
                        .windows = 12,
                        .copies = 2,
                        .proxies = 3,
                        .streams = 7,
                        .open = 1};
    const char *what = argc > 1 ? argv[1] : "";
    if (argc > 1)
        parse(argc - 1, argv + 1, &o);
    if (strcmp(what, "reduce") == 0)
        reduce(&o);
    else if (strcmp(what, "plan") == 0)
        plan(&o);
    else if (strcmp(what, "tallies") == 0)
        tallies(&o);
    else
        fail("what? reduce, plan or tallies; see the head of bench/ranks.c");
    return 0;
}
