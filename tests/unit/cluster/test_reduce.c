// SPDX-License-Identifier: BSD-3-Clause
/* Reductions between ranks that are threads: whatever way, what comes to rank 0 is what one table of all would have. */
#include "cluster/reduce.h"
#include "group/part.h"
#include "group_kit.h"
#include "query_kit.h"
#include "ranks_threads.h"

#include <math.h>

#define MAX_RANKS 8u

/* ---- random groups ---- */

struct shape {
    const char *keys, *orders, *fields;
};

static const struct shape shapes[] = {
    {"srcip", "bytes", "flows,bytes,packets"},
    {"srcip,dstport", "bytes#desc,packets#asc", "bytes,packets,min(bytes),max(packets),avg(bytes)"},
    {"srcip,dstip,proto", "flows,bytes", NULL},
    {"appname", "packets", "packets,flags"},
    {"appname,srcport,srcip/24/64", "bytes", "bytes,bps"},
    {"ip", "bytes", "bytes,flows"},
    {"port,srcas", "flows#asc,bytes", "bytes"},
    {"srcmac,proto,first/5m", "duration", "bytes"},
    {"dstport", "bps,bytes", "bytes,packets,flows"},
    {"", "bytes", "bytes,packets,flows"},
    {"srcip", "distinct(dstip)", "distinct(dstip),distinct(dstport),bytes"},
    {"appname,srcip", "p95(bytes)", "p95(bytes),p50(bytes),p99(packets),distinct(appname),flows"},
    {"ip,dstport", "bytes", "distinct(srcmac),p50(duration)"},
    {"", "bytes", "distinct(srcip/24),p50(bytes),bytes"},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* The value of a group's k-th key; few of some, so that groups meet. */
static uint64_t key_number(uint64_t group, uint32_t k)
{
    return k == 0 ? group : kit_mix(group, 100 + k) % 50;
}

/* Some groups have integers that are wider than their element's, at all ranks that meet them. */
#define HUGE_EVERY 5u

static struct sc_value value_of_key(const struct sc_group_key *key, uint64_t number, bool huge, char *text)
{
    struct sc_value v = {.type = key->field.type, .bytes = (const uint8_t *)text};
    v.addr = number % 3 == 0 ? (struct sc_addr){{0x20, 1, 0xd, 0xb8}} : sc_addr_v4(0);
    sc_store_be32(v.addr.b + 12, (uint32_t)number);
    if (number != 7)
        v.length = (uint32_t)sprintf(text, "app-%llx", (unsigned long long)(number * number));
    unsigned width = key->width[SC_KEY_NARROW];
    uint64_t mask = width < 8 ? (UINT64_C(1) << 8 * width) - 1 : UINT64_MAX;
    v.u = huge ? number << 40 | 1 : number & mask;
    return v;
}

/* A value of the row to what distinct values and percentiles of its group are made of. */
static void add_to_values(struct sc_groups *groups, struct sc_value *values, uint64_t seed, bool huge)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint32_t last = a->key_count - 1;
    char text[32];
    uint8_t row[KIT_ROW_BYTES] = {0};
    values[last] = value_of_key(&a->keys[last], kit_mix(seed, 40) % 3000, huge, text);
    values[last].null = kit_mix(seed, 41) % 13 == 0;
    while (a->keys[last].cell == SC_CELL_LOGARITHM && values[last].u > 255)
        values[last].u >>= 1; /* a cell's own value */
    assert_true(kit_put_key(groups, values, row));
    if (a->accumulator_count != 0)
        sc_store_le64(row, 1);
    sc_entry_set_seen(a, row, a->accumulator_count);
    uint8_t *entry = sc_groups_find_entry(groups, row);
    assert_non_null(entry);
    sc_groups_combine(a, entry, row);
}

/* Adds one row: of the group, with values by `seed`. */
static void add_row(struct sc_groups *groups, uint64_t group, uint64_t seed, uint64_t value, bool huge)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint8_t row[KIT_ROW_BYTES] = {0};
    struct sc_value values[SC_MAX_KEYS];
    char texts[SC_MAX_KEYS][32];
    uint64_t seen = 0;
    for (uint32_t k = 0; k < a->key_count; k++) {
        values[k] =
            value_of_key(&a->keys[k], key_number(group, k), huge && group % HUGE_EVERY == 0, texts[k]);
        values[k].null = kit_mix(group, k) % 11 == 0;
    }
    assert_true(kit_put_key(groups, values, row));
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (!sc_accumulates_rows(a->accumulators[i].how))
            continue;
        if (kit_mix(group, 50 + i) % 8 == 0) /* groups without any such value */
            continue;
        seen |= (uint64_t)(kit_mix(seed, i) % 4 != 0) << i;
        sc_store_le64(row + (size_t)8 * i, value + kit_mix(seed, 20 + i) % 4);
    }
    sc_entry_set_seen(a, row, seen);
    uint8_t *entry = sc_groups_find_entry(groups, row);
    assert_non_null(entry);
    sc_groups_combine(a, entry, row);
    uint32_t count;
    assert_int_equal(sc_groups_make_values(groups, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++)
        add_to_values(*sc_groups_values(groups, i), values, kit_mix(seed, 42 + i),
                      huge && group % HUGE_EVERY == 0);
}

/* The group of a row: of `groups`, about as many rows of the n-th as of the first, by n. */
static uint64_t zipf(uint64_t seed, uint64_t groups)
{
    double u = (double)(kit_mix(seed, 1) >> 11) * 0x1p-53;
    return (uint64_t)pow((double)groups, u) - 1;
}

/* ---- the ranks ---- */

struct job {
    struct sc_request *request; /* of rank 0 */
    struct sc_aggregate aggregates[MAX_RANKS];
    struct sc_groups *groups[MAX_RANKS];
    struct sc_reduce_stats stats[MAX_RANKS];
    enum sc_status status[MAX_RANKS];
    bool told[MAX_RANKS]; /* why it failed */
    struct sc_ranks ranks[MAX_RANKS];
    struct sc_aggregate all; /* of `reference` */
    struct sc_groups *reference;
    struct sc_reduce_wish wish;
    uint32_t count;
    uint64_t busiest; /* bytes to and from one rank */
    uint64_t ms;
};

struct fill {
    uint64_t rows, groups, seed;
    bool even; /* not by zipf */
    bool home; /* all of a group's rows at one rank */
    uint64_t values;
    bool huge;      /* some groups have wide keys */
    bool estimated; /* one rank had too many values to keep them */
};

static void fill(struct job *job, const struct fill *f)
{
    job->all = job->request->aggregate;
    job->reference = sc_groups_create(&job->all);
    assert_non_null(job->reference);
    for (uint32_t i = 0; i < job->count; i++) {
        job->aggregates[i] = job->request->aggregate;
        job->groups[i] = sc_groups_create(&job->aggregates[i]);
        assert_non_null(job->groups[i]);
        sc_groups_keep_values(job->groups[i]);
    }
    for (uint64_t row = 0; row < f->rows; row++) {
        uint64_t seed = kit_mix(f->seed, row), group = f->even ? seed % f->groups : zipf(seed, f->groups);
        uint32_t rank = kit_mix(seed, 2) % 4 == 0 ? (uint32_t)(group % job->count)
                                                  : (uint32_t)(kit_mix(seed, 3) % job->count);
        rank = f->home ? (uint32_t)(kit_mix(group, 5) % job->count) : rank;
        uint64_t value = f->values == 0 ? 0 : kit_mix(seed, 4) % f->values;
        add_row(job->groups[rank], group, seed, value, f->huge);
        add_row(job->reference, group, seed, value, f->huge);
    }
    struct sc_error err = {0};
    uint32_t values;
    assert_int_equal(sc_groups_make_values(job->reference, &values), SC_OK);
    for (uint32_t i = 0; i < values && f->estimated; i++) {
        if ((*sc_groups_values(job->reference, i))->aggregate->hash_by_group)
            continue; /* percentiles always are */
        uint32_t rank = (uint32_t)(kit_mix(f->seed, i) % job->count);
        assert_int_equal(sc_groups_make_values(job->groups[rank], &values), SC_OK);
        assert_int_equal(sc_groups_estimate_values(job->groups[rank], i), SC_OK);
        assert_int_equal(sc_groups_estimate_values(job->reference, i), SC_OK);
    }
    uint64_t groups = sc_groups_count(job->reference);
    assert_int_equal(sc_groups_settle_values(job->reference, 3, &err), SC_OK);
    if (sc_groups_count(job->reference) != groups)
        fail_msg("%llu groups were %llu", (unsigned long long)sc_groups_count(job->reference),
                 (unsigned long long)groups);
}

struct member {
    struct job *job;
    uint32_t rank;
};

static void *reduce_main(void *arg)
{
    const struct member *m = arg;
    struct job *job = m->job;
    struct sc_error err = {0};
    job->status[m->rank] = sc_reduce_groups(&job->ranks[m->rank], &job->wish, &job->aggregates[m->rank],
                                            &job->groups[m->rank], &job->stats[m->rank], &err);
    job->told[m->rank] = err.message[0] != '\0';
    return NULL;
}

/* @return bytes that were passed. */
static uint64_t run_ranks(struct job *job, void (*meddle)(struct job *job))
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(job->count);
    pthread_t ids[MAX_RANKS];
    struct member members[MAX_RANKS];
    uint64_t sent = 0;
    assert_non_null(threads);
    for (uint32_t i = 0; i < job->count; i++)
        job->ranks[i] = sc_ranks_threads_rank(threads, i);
    if (meddle != NULL)
        meddle(job);
    uint64_t start = sc_clock_mono_ms();
    for (uint32_t i = 0; i < job->count; i++) {
        members[i] = (struct member){job, i};
        assert_int_equal(pthread_create(&ids[i], NULL, reduce_main, &members[i]), 0);
    }
    for (uint32_t i = 0; i < job->count; i++) {
        pthread_join(ids[i], NULL);
        sent += job->stats[i].bytes;
        assert_true(job->told[i] == (job->status[i] != SC_OK));
    }
    job->ms = sc_clock_mono_ms() - start;
    uint64_t bytes = sc_ranks_threads_bytes(threads, &job->busiest);
    assert_true(job->busiest <= bytes && (sent == bytes || job->status[0] != SC_OK));
    sc_ranks_threads_free(threads);
    return bytes;
}

static void free_job(struct job *job)
{
    for (uint32_t i = 0; i < job->count; i++)
        sc_groups_free(job->groups[i]);
    sc_groups_free(job->reference);
}

/* ---- comparing ---- */

static void check_value(const struct sc_value *x, const struct sc_value *y, const char *what)
{
    bool same = x->null == y->null && x->type == y->type;
    if (same && !x->null && x->type == SC_VALUE_ADDRESS)
        same = sc_addr_equal(&x->addr, &y->addr);
    else if (same && !x->null && (x->type == SC_VALUE_BYTES || x->type == SC_VALUE_STRING))
        same = x->length == y->length && memcmp(x->bytes, y->bytes, x->length) == 0;
    else if (same && !x->null)
        same = x->u == y->u && memcmp(&x->f, &y->f, sizeof(x->f)) == 0; /* an average of none is no number */
    if (!same)
        fail_msg("another value: %s", what);
}

static void check_result(const struct job *job, const char *what)
{
    const struct sc_request *r = job->request;
    struct sc_result want, got;
    const struct sc_reduce_wish *w = &job->wish;
    struct sc_error err;
    assert_int_equal(sc_groups_top(job->reference, w->orders, w->order_count, w->limit, &want, &err), SC_OK);
    assert_int_equal(sc_groups_top(job->groups[0], w->orders, w->order_count, w->limit, &got, &err), SC_OK);
    if (got.count != want.count)
        fail_msg("%s: %llu groups, want %llu", what, (unsigned long long)got.count,
                 (unsigned long long)want.count);
    for (uint64_t i = 0; i < got.count; i++) {
        for (uint32_t c = 0; c < r->column_count; c++) {
            struct sc_value x = sc_groups_value(job->groups[0], got.entries[i], &r->columns[c].result);
            struct sc_value y = sc_groups_value(job->reference, want.entries[i], &r->columns[c].result);
            check_value(&x, &y, what);
        }
    }
    free(want.entries);
    free(got.entries);
}

/* @return bytes that were passed; *way how it was done in the end. */
static uint64_t check(struct sc_request *request, const struct fill *f, uint32_t ranks, uint64_t limit,
                      enum sc_reduce_way *way)
{
    struct job job = {
        .request = request,
        .count = ranks,
        .wish = {
            .orders = request->orders, .order_count = request->order_count, .limit = limit, .way = *way}};
    char what[512];
    fill(&job, f);
    uint64_t bytes = run_ranks(&job, NULL);
    for (uint32_t i = 0; i < ranks; i++) {
        assert_int_equal(job.status[i], SC_OK);
        assert_int_equal(job.stats[i].way, job.stats[0].way);
        assert_true((job.groups[i] != NULL) == (i == 0));
    }
    *way = job.stats[0].way;
    snprintf(what, sizeof(what), "%s: %u ranks, limit %llu, way %d, %s, seed %llu", request->name, ranks,
             (unsigned long long)limit, (int)*way, f->even ? "even" : "zipf", (unsigned long long)f->seed);
    check_result(&job, what);
    free_job(&job);
    return bytes;
}

static struct sc_request *make_request(const struct shape *shape)
{
    struct sc_request *request = malloc(sizeof(*request));
    struct sc_error err;
    assert_non_null(request);
    bool keys = shape->keys[0] != '\0';
    if (sc_request_aggregate(NULL, keys ? shape->keys : "proto", shape->orders, shape->fields, request,
                             &err) != SC_OK)
        fail_msg("%s", err.message);
    if (!keys) { /* one group of all rows */
        request->aggregate.key_count = 0;
        memmove(request->columns, request->columns + 1,
                --request->column_count * sizeof(request->columns[0]));
    }
    sc_aggregate_prepare(&request->aggregate);
    return request;
}

/* ---- tests ---- */

static const uint32_t rank_counts[] = {1, 2, 3, 5, 8};

static void any_way_gives_the_same(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0, 1, 3, 10, 100, 100000};
    unsigned tput = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct sc_request *request = make_request(&shapes[i % SHAPES]);
        uint64_t random = kit_mix(i, 77);
        struct fill f = {.rows = 200 + random % 1500,
                         .groups = 1 + kit_mix(i, 78) % 900,
                         .seed = i,
                         .even = i % 3 == 0,
                         .values = i % 4 == 0   ? 3
                                   : i % 4 == 1 ? 1
                                                : 1000,
                         .huge = kit_mix(i, 82) % 3 == 0,
                         .estimated = kit_mix(i, 83) % 2 == 0};
        uint32_t ranks = rank_counts[kit_mix(i, 80) % 5];
        for (enum sc_reduce_way way = SC_REDUCE_AUTO; way <= SC_REDUCE_TPUT; way++) {
            enum sc_reduce_way used = way;
            check(request, &f, ranks, limits[kit_mix(i, 81) % 6], &used);
            tput += used == SC_REDUCE_TPUT;
            assert_true(used == way || way == SC_REDUCE_AUTO || used == SC_REDUCE_EXCHANGE);
        }
        free(request);
    }
    assert_true(tput > 15);
}

static void few_of_many(void **state)
{
    (void)state;
    struct sc_request *request = make_request(&shapes[1]);
    for (unsigned i = 0; i < 5; i++) {
        struct fill f = {.rows = 30000, .groups = 20000, .seed = 1000 + i, .values = 1500};
        enum sc_reduce_way all = SC_REDUCE_GATHER, way = SC_REDUCE_TPUT, exchange = SC_REDUCE_EXCHANGE;
        uint64_t sent = check(request, &f, rank_counts[i], 10, &all);
        uint64_t least = check(request, &f, rank_counts[i], 10, &way);
        uint64_t shared = check(request, &f, rank_counts[i], 10, &exchange);
        if (i > 0)
            assert_true(way == SC_REDUCE_TPUT && least < sent / 4 && shared < 2 * sent);
    }
    free(request);
}

/* All groups alike: nothing is told apart by what one rank has, and all would have to be told. */
static void level_sums_are_exchanged(void **state)
{
    (void)state;
    struct sc_request *request = make_request(&shapes[0]);
    struct fill f = {.rows = 200000, .groups = 10000, .seed = 5, .even = true, .values = 1};
    enum sc_reduce_way way = SC_REDUCE_AUTO;
    check(request, &f, 5, 400, &way);
    assert_int_equal(way, SC_REDUCE_EXCHANGE);
    f.even = false;
    f.rows = 200000;
    f.groups = 200000;
    f.values = 1500;
    way = SC_REDUCE_AUTO;
    check(request, &f, 3, 20, &way);
    assert_int_equal(way, SC_REDUCE_TPUT);
    free(request);
}

/* Each group at one rank only: any other could have a little less than T of what one has told, and all would have to be asked. */
static void groups_of_one_rank_each_are_exchanged(void **state)
{
    (void)state;
    struct sc_request *request = make_request(&shapes[0]);
    struct fill f = {.rows = 400000, .groups = 200000, .seed = 11, .values = 1500, .home = true};
    enum sc_reduce_way way = SC_REDUCE_AUTO;
    check(request, &f, 8, 100, &way);
    assert_int_equal(way, SC_REDUCE_EXCHANGE);
    f.home = false;
    way = SC_REDUCE_AUTO;
    check(request, &f, 8, 100, &way);
    assert_int_equal(way, SC_REDUCE_TPUT);
    free(request);
}

/* Sums that pass 64 bits wrap, as they do at one node; no rank's own sum tells of that. */
static void huge_sums_are_exchanged(void **state)
{
    (void)state;
    struct sc_request *request = make_request(&shapes[0]);
    struct fill f = {.rows = 2000, .groups = 900, .seed = 6, .even = true, .values = UINT64_MAX};
    enum sc_reduce_way way = SC_REDUCE_TPUT;
    check(request, &f, 5, 10, &way);
    assert_int_equal(way, SC_REDUCE_EXCHANGE);
    free(request);
}

/* ---- failures ---- */

static enum sc_status (*true_pass)(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                   struct sc_buf *receive, struct sc_error *err);

static enum sc_status damaging_pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                    struct sc_buf *receive, struct sc_error *err)
{
    if (to != SC_NO_RANK && send->len > 200)
        send->data[send->len / 2] ^= 0xff, send->data[0] ^= 1;
    return true_pass(arg, to, send, from, receive, err);
}

static void damage_one(struct job *job)
{
    true_pass = job->ranks[1].pass;
    job->ranks[1].pass = damaging_pass;
}

static void failure_ends_all_of(const struct shape *shape)
{
    struct sc_request *request = make_request(shape);
    for (enum sc_reduce_way way = SC_REDUCE_GATHER; way <= SC_REDUCE_TPUT; way++) {
        struct job job = {
            .request = request,
            .count = 3,
            .wish = {
                .orders = request->orders, .order_count = request->order_count, .limit = 20, .way = way}};
        struct fill f = {.rows = 3000, .groups = 1000, .seed = 9, .values = 1500};
        fill(&job, &f);
        run_ranks(&job, damage_one);
        for (uint32_t i = 0; i < job.count; i++)
            assert_int_equal(job.status[i], SC_DAMAGED);
        free_job(&job);
    }
    free(request);
}

static void failure_ends_all(void **state)
{
    (void)state;
    failure_ends_all_of(&shapes[1]);
    failure_ends_all_of(&shapes[SHAPES - 3]);
}

static enum sc_status dying_pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                 struct sc_buf *receive, struct sc_error *err)
{
    (void)arg, (void)to, (void)send, (void)from, (void)receive;
    sc_ranks_threads_stop(*(struct sc_ranks_threads **)arg); /* the first member of what a rank is */
    return sc_fail(err, SC_IO, "gone");
}

static void kill_one(struct job *job)
{
    job->ranks[2].pass = dying_pass;
}

static void dead_rank_ends_all(void **state)
{
    (void)state;
    struct sc_request *request = make_request(&shapes[0]);
    struct job job = {.request = request,
                      .count = 5,
                      .wish = {.orders = request->orders, .order_count = request->order_count, .limit = 20}};
    struct fill f = {.rows = 300, .groups = 100, .seed = 9, .values = 1500};
    fill(&job, &f);
    run_ranks(&job, kill_one);
    for (uint32_t i = 0; i < job.count; i++)
        assert_int_equal(job.status[i], i == 2 ? SC_IO : SC_CANCELLED);
    free_job(&job);
    free(request);
}

/* ---- parts ---- */

static void parts_are_the_whole(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * SHAPES; i++) {
        struct sc_request *request = make_request(&shapes[i % SHAPES]);
        struct job job = {.request = request,
                          .count = 1,
                          .wish = {.orders = request->orders, .order_count = request->order_count}};
        struct fill f = {.rows = 2000, .groups = 700, .seed = i, .values = 100};
        struct sc_result parts[7];
        struct sc_error err;
        uint32_t count = 1 + i % 7;
        fill(&job, &f);
        assert_int_equal(sc_groups_settle_values(job.groups[0], 1, &err), SC_OK);
        struct sc_groups *put = sc_groups_create(&job.aggregates[0]);
        assert_int_equal(sc_groups_split(job.groups[0], count, parts, &err), SC_OK);
        for (uint32_t p = 0; p < count; p++) {
            struct sc_buf bytes = {0};
            uint64_t before = sc_groups_count(put);
            assert_int_equal(sc_groups_write_entries(job.groups[0], &parts[p], &bytes, &err), SC_OK);
            assert_int_equal(sc_groups_read(put, bytes.data, bytes.len, &err), SC_OK);
            assert_int_equal(sc_groups_count(put) - before, parts[p].count);
            for (uint64_t n = 0; n < parts[p].count; n++)
                assert_non_null(sc_groups_lookup(put, job.groups[0], parts[p].entries[n]));
            if (p + 1 < count && parts[p + 1].count != 0)
                assert_null(sc_groups_lookup(put, job.groups[0], parts[p + 1].entries[0]));
            sc_buf_free(&bytes);
        }
        free(parts[0].entries);
        sc_groups_free(job.groups[0]);
        job.groups[0] = put;
        check_result(&job, "parts");
        free_job(&job);
        free(request);
    }
}

/* @return bytes that were passed. */
static uint64_t measure(struct sc_request *request, const struct fill *f, uint64_t limit,
                        enum sc_reduce_way way)
{
    static const char *const names[] = {"auto", "gather", "exchange", "tput"};
    struct job job = {
        .request = request,
        .count = 8,
        .wish = {.orders = request->orders, .order_count = request->order_count, .limit = limit, .way = way}};
    fill(&job, f);
    uint64_t bytes = run_ranks(&job, NULL);
    assert_int_equal(job.status[0], SC_OK);
    assert_int_equal(job.stats[0].way, way);
    check_result(&job, "measured");
    print_message(
        "# %llu groups, 8 ranks, limit %llu, %s: %llu bytes, %llu by one rank, %llu ms, %llu candidates\n",
        (unsigned long long)f->groups, (unsigned long long)limit, names[way], (unsigned long long)bytes,
        (unsigned long long)job.busiest, (unsigned long long)job.ms,
        (unsigned long long)job.stats[0].candidates);
    free_job(&job);
    return bytes;
}

/* Bytes against all that there is; by hand with SC_GROUPS=1000000. */
static void bytes_on_zipf(void **state)
{
    (void)state;
    const char *text = getenv("SC_GROUPS");
    uint64_t groups = text == NULL ? 30000 : strtoull(text, NULL, 10);
    static const struct shape shape = {"srcip", "bytes", "flows,packets,bytes"};
    struct sc_request *request = make_request(&shape);
    struct fill f = {.rows = 6 * groups, .groups = groups, .seed = 3, .values = 1500};
    uint64_t all = measure(request, &f, 10, SC_REDUCE_GATHER);
    measure(request, &f, 10, SC_REDUCE_EXCHANGE);
    for (uint64_t limit = 10; limit <= groups / 1000; limit *= 10)
        assert_true(measure(request, &f, limit, SC_REDUCE_TPUT) < all / 20);
    free(request);
}

UNIT(test_reduce)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_way_gives_the_same),
        cmocka_unit_test(few_of_many),
        cmocka_unit_test(level_sums_are_exchanged),
        cmocka_unit_test(huge_sums_are_exchanged),
        cmocka_unit_test(groups_of_one_rank_each_are_exchanged),
        cmocka_unit_test(failure_ends_all),
        cmocka_unit_test(dead_rank_ends_all),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(bytes_on_zipf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
