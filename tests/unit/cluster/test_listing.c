// SPDX-License-Identifier: BSD-3-Clause
/* Listings of several ranks, each with a store of its own: what comes to rank 0 is what the local engine lists of each store, one
 * behind the other, or merged by the sort keys. */
#include "cluster/listing.h"
#include "cluster/listing_feed.h"
#include "query_kit.h"
#include "ranks_threads.h"

#define MAX_RANKS 8u

/* ---- stores ---- */

static struct query_table tables[MAX_RANKS];

static int make_tables(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MAX_RANKS; i++)
        query_table_make(&tables[i], 300 + i, 2 + 20 * (i % 4), 150);
    return 0;
}

static int free_tables(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MAX_RANKS; i++)
        query_table_free(&tables[i]);
    return 0;
}

/* ---- a listing, here or of ranks ---- */

struct asked {
    const char *fields, *orders, *filter;
    uint64_t limit;
    enum sc_output_format format;
    bool fit, no_summary;
    unsigned most_writes; /* then nobody reads; 0: never */
    bool cancel;          /* from the beginning */
};

struct text {
    struct sc_buf bytes;
    unsigned writes, most;
};

static bool collect(void *arg, const void *bytes, size_t count)
{
    struct text *t = arg;
    sc_buf_append(&t->bytes, bytes, count);
    return ++t->writes != t->most;
}

/* What both need, from words. */
struct made {
    struct sc_request_listing *request;
    struct sc_output *output;
    struct sc_filter *filter;
    struct sc_listing listing;
};

static void make(const struct asked *a, struct made *m)
{
    struct sc_error err = {0};
    m->request = malloc(sizeof(*m->request));
    assert_non_null(m->request);
    if (sc_request_list(NULL, a->fields, a->orders, m->request, &err) != SC_OK)
        fail_msg("%s", err.message);
    struct sc_output_options options = {.format = a->format};
    m->output = sc_output_create(&options, m->request->columns, m->request->column_count);
    m->filter = a->filter == NULL ? NULL : query_parse(a->filter);
    m->listing = (struct sc_listing){.output = m->output,
                                     .fields = m->request->fields,
                                     .field_count = m->request->column_count,
                                     .orders = m->request->orders,
                                     .order_count = m->request->order_count,
                                     .limit = a->limit,
                                     .separator = a->format == SC_OUTPUT_JSON ? ",\n" : "",
                                     .summarize = !a->no_summary,
                                     .fit = a->fit};
}

static void unmake(struct made *m)
{
    sc_output_free(m->output);
    sc_filter_free(m->filter);
    free(m->request);
}

struct rank {
    struct sc_ranks ranks, under;
    const struct asked *asked;
    struct sc_source source;
    struct text text;
    struct sc_summary summary;
    struct sc_scan_stats stats;
    struct sc_cluster_list_stats list_stats;
    struct sc_error err;
    enum sc_status status;
    size_t largest; /* message that it sent */
    bool damages;
    pthread_t thread;
};

static enum sc_status watching_pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                                    struct sc_buf *receive, struct sc_error *err)
{
    struct rank *r = arg;
    if (to != SC_NO_RANK && send->len > r->largest)
        r->largest = send->len;
    if (to != SC_NO_RANK && send->len > 100 && r->damages)
        send->data[50] ^= 0xff, send->data[2] ^= 0xff;
    return r->under.pass(r->under.arg, to, send, from, receive, err);
}

static void *rank_main(void *arg)
{
    struct rank *r = arg;
    struct made m;
    make(r->asked, &m);
    atomic_int cancel = r->asked->cancel;
    struct sc_scan_options options = {
        .filter = m.filter, .time = Q_ALWAYS, .threads = 1 + r->ranks.rank % 3, .cancel = &cancel};
    struct sc_sink sink = {collect, &r->text};
    r->text.most = r->asked->most_writes;
    if (r->ranks.rank != 0)
        m.listing.output = NULL;
    r->status = sc_cluster_list(&r->ranks, &r->source, &options, &m.listing, &sink, &r->summary, &r->stats,
                                &r->list_stats, &r->err);
    unmake(&m);
    return NULL;
}

static void run_ranks(const struct asked *a, struct rank *ranks, uint32_t count, bool damage)
{
    struct sc_ranks_threads *threads = sc_ranks_threads_create(count);
    assert_non_null(threads);
    for (uint32_t i = 0; i < count; i++) {
        ranks[i] = (struct rank){.under = sc_ranks_threads_rank(threads, i), .asked = a};
        ranks[i].ranks = ranks[i].under;
        ranks[i].ranks.pass = watching_pass;
        ranks[i].ranks.arg = &ranks[i];
        ranks[i].damages = damage && i == count - 1;
        query_open(&ranks[i].source, tables[i].store);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]), 0);
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(ranks[i].thread, NULL);
        sc_source_close(&ranks[i].source);
        assert_true(ranks[i].largest < SC_FEED_PIECE + 8192);
        assert_true(i == 0 || ranks[i].text.writes == 0);
    }
    sc_ranks_threads_free(threads);
}

static void list_here(const struct asked *a, uint32_t table, struct text *out, struct sc_summary *summary)
{
    struct made m;
    struct sc_source source;
    struct sc_error err = {0};
    make(a, &m);
    query_open(&source, tables[table].store);
    struct sc_scan_options options = {.filter = m.filter, .time = Q_ALWAYS, .threads = 2};
    struct sc_sink sink = {collect, out};
    assert_int_equal(sc_query_list(&source, &options, &m.listing, &sink, summary, NULL, &err), SC_OK);
    sc_source_close(&source);
    unmake(&m);
}

/* ---- the reference ---- */

struct reference {
    const struct asked *asked;
    struct text lines[MAX_RANKS], ids[MAX_RANKS];
    const uint8_t *line[MAX_RANKS], *id[MAX_RANKS]; /* the first that is not used */
    struct sc_summary summaries[MAX_RANKS];
    struct made made;
};

static int compare_scalars(const struct sc_value *x, const struct sc_value *y)
{
    if (x->type == SC_VALUE_ADDRESS)
        return memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
    if (x->type == SC_VALUE_FLOAT)
        return x->f < y->f ? -1 : x->f > y->f;
    if (x->type == SC_VALUE_INT)
        return (int64_t)x->u < (int64_t)y->u ? -1 : (int64_t)x->u > (int64_t)y->u;
    return x->u < y->u ? -1 : x->u > y->u;
}

static bool stands_before(const struct reference *ref, uint32_t x, uint32_t y)
{
    const struct sc_listing *l = &ref->made.listing;
    uint64_t a = strtoull((const char *)ref->id[x], NULL, 10);
    uint64_t b = strtoull((const char *)ref->id[y], NULL, 10);
    for (uint32_t i = 0; i < l->order_count; i++) {
        struct sc_value u = query_field_value(&tables[x], &l->orders[i].field, a);
        struct sc_value v = query_field_value(&tables[y], &l->orders[i].field, b);
        if (u.null != v.null)
            return v.null;
        int order = u.null ? 0 : compare_scalars(&u, &v);
        if (order != 0)
            return (order < 0) != l->orders[i].descending;
    }
    return x < y;
}

static bool at_end(const struct reference *ref, uint32_t rank)
{
    return ref->line[rank] == ref->lines[rank].bytes.data + ref->lines[rank].bytes.len;
}

static const uint8_t *behind_line(const uint8_t *line)
{
    return (const uint8_t *)strchr((const char *)line, '\n') + 1;
}

/* @return how many records. used[rank]: of each. */
static uint64_t refer(const struct asked *a, uint32_t ranks, struct sc_buf *out, uint64_t *used)
{
    struct reference ref = {.asked = a};
    struct asked lines = *a, ids = *a;
    uint64_t records = 0;
    lines.limit = ids.limit = 0;
    lines.fit = ids.fit = false;
    ids.fields = "flowId";
    ids.format = SC_OUTPUT_CSV;
    make(a, &ref.made);
    for (uint32_t i = 0; i < ranks; i++) {
        list_here(&lines, i, &ref.lines[i], &ref.summaries[i]);
        list_here(&ids, i, &ref.ids[i], &ref.summaries[i]);
        sc_buf_append_u8(&ref.lines[i].bytes, 0);
        sc_buf_append_u8(&ref.ids[i].bytes, 0);
        ref.lines[i].bytes.len--;
        ref.line[i] = ref.lines[i].bytes.data;
        ref.id[i] = ref.ids[i].bytes.data;
        used[i] = 0;
    }
    for (; a->limit == 0 || records < a->limit; records++) {
        uint32_t first = UINT32_MAX;
        for (uint32_t i = 0; i < ranks; i++) {
            if (!at_end(&ref, i) &&
                (first == UINT32_MAX || (a->orders != NULL && stands_before(&ref, i, first))))
                first = i;
        }
        if (first == UINT32_MAX)
            break;
        const uint8_t *next = behind_line(ref.line[first]);
        sc_buf_append(out, ref.line[first], (size_t)(next - ref.line[first]));
        ref.line[first] = next;
        ref.id[first] = behind_line(ref.id[first]);
        used[first]++;
    }
    for (uint32_t i = 0; i < ranks; i++) {
        sc_buf_free(&ref.lines[i].bytes);
        sc_buf_free(&ref.ids[i].bytes);
    }
    unmake(&ref.made);
    return records;
}

/* Of records that are in the answer; sorted: of all. */
static void check_summaries(const struct asked *a, const struct rank *ranks, uint32_t count,
                            const uint64_t *used)
{
    for (uint32_t i = 0; i < count; i++) {
        struct text unused = {0};
        struct sc_summary want = {0};
        struct asked own = *a;
        own.fit = false;
        own.limit = used[i];
        if ((used[i] != 0 || a->orders != NULL) && !a->no_summary)
            list_here(&own, i, &unused, &want);
        sc_buf_free(&unused.bytes);
        assert_int_equal(ranks[i].list_stats.records, used[i]);
        assert_memory_equal(&ranks[i].summary, &want, sizeof(want));
    }
}

static void squeeze(struct sc_buf *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->len; i++) {
        bool blank = text->data[i] == ' ' &&
                     (kept == 0 || text->data[kept - 1] == ' ' || text->data[kept - 1] == '\n');
        if (!blank)
            text->data[kept++] = text->data[i];
    }
    text->len = kept;
}

/* @return the number of records. */
static uint64_t check(const struct asked *a, uint32_t count)
{
    struct rank ranks[MAX_RANKS];
    uint64_t used[MAX_RANKS];
    struct sc_buf want = {0};
    struct made m;
    make(a, &m);
    if (a->fit)
        sc_output_header(m.output, &want);
    unmake(&m);
    uint64_t records = refer(a, count, &want, used);
    run_ranks(a, ranks, count, false);
    struct sc_buf *got = &ranks[0].text.bytes;
    if (a->fit) {
        squeeze(got);
        squeeze(&want);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ranks[i].status != SC_OK)
            fail_msg("rank %u: %s", i, ranks[i].err.message);
    }
    if (got->len != want.len || (want.len != 0 && memcmp(got->data, want.data, want.len) != 0))
        fail_msg("%u ranks, %s, limit %llu: %zu bytes, want %zu", count, a->orders == NULL ? "" : a->orders,
                 (unsigned long long)a->limit, got->len, want.len);
    check_summaries(a, ranks, count, used);
    sc_buf_free(&want);
    sc_buf_free(got);
    return records;
}

/* ---- tests ---- */

static const uint32_t rank_counts[] = {1, 2, 3, 5, 8};
static const uint64_t limits[] = {0, 1, 7, 64, 1000, 1u << 30};
static const char *const filters[] = {NULL, "proto in [0-100]", "not any", "flowId 17",
                                      "bytes > 1000 or tcp"};
#define MANY_FIELDS                                                                                          \
    "flowId,srcip,dstip,srcport,proto,bytes,packets,first,duration,bps,flags,srcmac,appname,64999:77,"       \
    "mibObjectValueInteger,absoluteError,interfaceName,nexthop,received"

static void rank_by_rank(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct asked a = {.fields = i % 3 == 0 ? MANY_FIELDS : "flowId,srcip",
                          .filter = filters[i % 5],
                          .limit = limits[i % 6],
                          .format = i % 3 != 0 ? SC_OUTPUT_CSV : SC_OUTPUT_NDJSON,
                          .no_summary = i % 7 == 0};
        check(&a, rank_counts[kit_mix(i, 1) % 5]);
    }
}

static void sorted(void **state)
{
    (void)state;
    static const char *const orders[] = {"bytes",         "srcip#asc,bytes",  "proto",
                                         "first#desc",    "bps,duration#asc", "flags,proto#desc,srcport",
                                         "absoluteError", "srcmac#asc",       "mibObjectValueInteger",
                                         "tos#asc,proto"};
    for (unsigned i = 0; i < 60; i++) {
        struct asked a = {.fields = i % 3 == 0 ? MANY_FIELDS : "flowId,srcip",
                          .orders = orders[i % 10],
                          .filter = filters[kit_mix(i, 2) % 5],
                          .limit = limits[kit_mix(i, 3) % 6],
                          .format = i % 3 != 0 ? SC_OUTPUT_CSV : SC_OUTPUT_NDJSON,
                          .no_summary = i % 7 == 0};
        check(&a, rank_counts[kit_mix(i, 4) % 5]);
    }
}

static void columns_fit(void **state)
{
    (void)state;
    uint64_t most = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct asked a = {.fields = "flowId,srcip,bytes,appname",
                          .orders = i % 2 == 0 ? NULL : "bytes",
                          .filter = filters[kit_mix(i, 2) % 5],
                          .limit = limits[kit_mix(i, 3) % 6],
                          .format = SC_OUTPUT_PRETTY,
                          .fit = true};
        uint64_t records = check(&a, rank_counts[i % 5]);
        most = records > most ? records : most;
    }
    assert_true(most > SC_MOST_FITTED);
    struct asked a = {
        .fields = "flowId,srcip,bytes", .orders = "bytes", .format = SC_OUTPUT_PRETTY, .fit = true};
    struct rank rank;
    struct text want = {0};
    struct sc_summary summary;
    run_ranks(&a, &rank, 1, false);
    list_here(&a, 0, &want, &summary);
    assert_int_equal(rank.text.bytes.len, want.bytes.len);
    assert_memory_equal(rank.text.bytes.data, want.bytes.data, want.bytes.len);
    sc_buf_free(&rank.text.bytes);
    sc_buf_free(&want.bytes);
}

/* Ranks behind the one that has enough send nothing. */
static void enough_is_enough(void **state)
{
    (void)state;
    struct asked a = {.fields = MANY_FIELDS, .limit = 5, .format = SC_OUTPUT_CSV};
    struct rank ranks[5];
    run_ranks(&a, ranks, 5, false);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(ranks[i].status, SC_OK);
        assert_int_equal(ranks[i].list_stats.records, i == 0 ? 5 : 0);
        assert_int_equal(ranks[i].summary.records, i == 0 ? 5 : 0);
        assert_int_equal(ranks[i].list_stats.bytes, 0);
    }
    sc_buf_free(&ranks[0].text.bytes);
}

static void nobody_reads(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct asked a = {.fields = MANY_FIELDS,
                          .orders = i % 2 == 0 ? NULL : "bytes",
                          .format = SC_OUTPUT_CSV,
                          .most_writes = 1 + i};
        struct rank ranks[5];
        run_ranks(&a, ranks, 5, false);
        for (uint32_t k = 0; k < 5; k++)
            assert_int_equal(ranks[k].status, SC_OK);
        assert_int_equal(ranks[0].text.writes, 1 + i);
        sc_buf_free(&ranks[0].text.bytes);
    }
}

static void stopped(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct asked a = {.fields = MANY_FIELDS,
                          .orders = i % 2 == 0 ? NULL : "bytes",
                          .limit = i < 2 ? 0 : 10,
                          .format = SC_OUTPUT_CSV,
                          .cancel = true};
        struct rank ranks[3];
        run_ranks(&a, ranks, 3, false);
        for (uint32_t k = 0; k < 3; k++)
            assert_int_equal(ranks[k].status, SC_CANCELLED);
        sc_buf_free(&ranks[0].text.bytes);
    }
}

static void damage_ends_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct asked a = {.fields = MANY_FIELDS, .orders = i == 0 ? NULL : "bytes", .format = SC_OUTPUT_CSV};
        struct rank ranks[3];
        run_ranks(&a, ranks, 3, true);
        for (uint32_t k = 0; k < 3; k++) {
            assert_int_equal(ranks[k].status, SC_DAMAGED);
            assert_true(ranks[k].err.message[0] != '\0');
        }
        sc_buf_free(&ranks[0].text.bytes);
    }
}

static void hostile_records(void **state)
{
    (void)state;
    struct sc_value values[4] = {{.type = SC_VALUE_UINT, .u = 7},
                                 {.type = SC_VALUE_STRING, .bytes = (const uint8_t *)"abc", .length = 3},
                                 {.type = SC_VALUE_FLOAT, .f = -1.5},
                                 {.type = SC_VALUE_ADDRESS, .null = true}};
    struct sc_value back[4];
    struct sc_buf bytes = {0};
    sc_record_put(&bytes, values, 4);
    assert_int_equal(sc_record_length(bytes.data, bytes.len), bytes.len);
    assert_int_equal(sc_record_length(bytes.data, bytes.len - 1), 0);
    assert_int_equal(sc_record_get(bytes.data, bytes.len, back, 4), SC_OK);
    assert_true(back[0].u == 7 && back[1].length == 3 && back[2].f == -1.5 && back[3].null);
    assert_int_equal(sc_record_get(bytes.data, bytes.len, back, 3), SC_DAMAGED);
    for (size_t at = 0; at < bytes.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t *copy = malloc(bytes.len); /* of its exact size, for ASan */
            assert_non_null(copy);
            memcpy(copy, bytes.data, bytes.len);
            copy[at] ^= (uint8_t)(1u << bit);
            size_t length = sc_record_length(copy, bytes.len);
            if (length != 0)
                (void)sc_record_get(copy, length, back, 4);
            free(copy);
        }
    }
    sc_buf_free(&bytes);
}

UNIT(test_listing)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_by_rank),     cmocka_unit_test(sorted),          cmocka_unit_test(columns_fit),
        cmocka_unit_test(enough_is_enough), cmocka_unit_test(nobody_reads),    cmocka_unit_test(stopped),
        cmocka_unit_test(damage_ends_all),  cmocka_unit_test(hostile_records),
    };
    return cmocka_run_group_tests(tests, make_tables, free_tables);
}
