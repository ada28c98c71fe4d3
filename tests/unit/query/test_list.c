// SPDX-License-Identifier: BSD-3-Clause
/* Listings: the order of the store, sorted by any keys, limits, the same text for any number of threads, and
 * what happens when nobody reads on or the query is stopped. */
#include "query_kit.h"

/* ---- running a listing into memory ---- */

struct collected {
    struct sc_buf text;
    unsigned writes, most; /* the sink stops behind `most` writes; 0: never */
    atomic_int *cancel;    /* set by the first write when not NULL */
};

static bool collect(void *arg, const void *bytes, size_t count)
{
    struct collected *c = arg;
    sc_buf_append(&c->text, bytes, count);
    if (c->cancel != NULL)
        atomic_store(c->cancel, 1);
    c->writes++;
    return c->most == 0 || c->writes < c->most;
}

struct listing {
    const char *fields, *orders, *filter;
    uint64_t limit;
    unsigned threads;
    enum sc_output_format format;
    bool no_summary, fit;
    uint64_t memory_limit;
    /* what came of it */
    struct collected out;
    struct sc_summary summary;
    struct sc_scan_stats stats;
    enum sc_status status;
};

static void run(struct sc_source *source, struct listing *l)
{
    struct sc_request_listing *request = malloc(sizeof(*request));
    struct sc_error err = {0};
    struct sc_filter *filter = l->filter == NULL ? NULL : query_parse(l->filter);
    assert_non_null(request);
    if (sc_request_list(NULL, l->fields, l->orders, request, &err) != SC_OK)
        fail_msg("%s", err.message);
    struct sc_output_options options = {.format = l->format};
    struct sc_output *output = sc_output_create(&options, request->columns, request->column_count);
    struct sc_listing listing = {.output = output,
                                 .fields = request->fields,
                                 .field_count = request->column_count,
                                 .orders = request->orders,
                                 .order_count = request->order_count,
                                 .limit = l->limit,
                                 .memory_limit = l->memory_limit,
                                 .separator = l->format == SC_OUTPUT_JSON ? ",\n" : "",
                                 .summarize = !l->no_summary,
                                 .fit = l->fit};
    struct sc_scan_options scan = {
        .filter = filter, .time = Q_ALWAYS, .threads = l->threads, .cancel = l->out.cancel};
    struct sc_sink sink = {collect, &l->out};
    l->status = sc_query_list(source, &scan, &listing, &sink, &l->summary, &l->stats, &err);
    sc_output_free(output);
    sc_filter_free(filter);
    free(request);
    assert_true(sc_buf_ok(&l->out.text));
}

static void done(struct listing *l)
{
    sc_buf_free(&l->out.text);
    l->out = (struct collected){0};
}

/* The record numbers of a csv listing of flowId. */
static uint64_t read_numbers(const struct listing *l, uint64_t *numbers, uint64_t most)
{
    uint64_t n = 0;
    const char *p = (const char *)l->out.text.data, *end = p + l->out.text.len;
    while (p < end) {
        char *next;
        assert_true(n < most);
        numbers[n++] = strtoull(p, &next, 10);
        assert_true(next > p && next < end && *next == '\n');
        p = next + 1;
    }
    return n;
}

/* ---- the reference ---- */

struct sorting {
    const struct query_table *t;
    struct sc_field fields[4];
    bool descending[4];
    uint32_t count;
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

static int compare_records(const void *x, const void *y, void *arg)
{
    const struct sorting *s = arg;
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    for (uint32_t i = 0; i < s->count; i++) {
        struct sc_value u = query_field_value(s->t, &s->fields[i], a);
        struct sc_value v = query_field_value(s->t, &s->fields[i], b);
        if (u.null != v.null)
            return u.null ? 1 : -1;
        int order = u.null ? 0 : compare_scalars(&u, &v);
        if (order != 0)
            return s->descending[i] ? -order : order;
    }
    uint64_t v = s->t->batches[s->t->batch_of[a]]->window_ms, w = s->t->batches[s->t->batch_of[b]]->window_ms;
    return v != w ? (v < w ? -1 : 1) : a < b ? -1 : a > b;
}

static uint64_t expected(const struct query_table *t, const char *filter_text, struct sorting *s,
                         uint64_t *out)
{
    struct sc_filter *filter = filter_text == NULL ? NULL : query_parse(filter_text);
    uint64_t n = 0;
    for (uint64_t id = 0; id < t->records; id++) {
        if (query_matches(t, filter, id))
            out[n++] = id;
    }
    s->t = t;
    if (n > 1)
        qsort_r(out, n, sizeof(*out), compare_records, s);
    sc_filter_free(filter);
    return n;
}

static void check_numbers(const struct query_table *t, struct sc_source *source, struct listing *l,
                          struct sorting *s)
{
    uint64_t *want = malloc((t->records + 1) * sizeof(*want)), *got = malloc((t->records + 1) * sizeof(*got));
    assert_non_null(want);
    assert_non_null(got);
    uint64_t count = expected(t, l->filter, s, want);
    run(source, l);
    assert_int_equal(l->status, SC_OK);
    uint64_t n = read_numbers(l, got, t->records);
    uint64_t shown = l->limit != 0 && l->limit < count ? l->limit : count;
    if (n != shown)
        fail_msg("%s: %llu records, want %llu", l->orders == NULL ? "" : l->orders, (unsigned long long)n,
                 (unsigned long long)shown);
    for (uint64_t i = 0; i < n; i++) {
        if (got[i] != want[i])
            fail_msg("%s, limit %llu: record %llu is %llu, want %llu", l->orders == NULL ? "" : l->orders,
                     (unsigned long long)l->limit, (unsigned long long)i, (unsigned long long)got[i],
                     (unsigned long long)want[i]);
    }
    if (!l->no_summary)
        assert_int_equal(l->summary.records, l->orders == NULL ? n : count);
    free(want);
    free(got);
    done(l);
}

/* ---- tests ---- */

static void order_of_the_store(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 11, 40, 150);
    query_open(&source, t.store);
    static const char *const filters[] = {NULL, "proto in [0-100]", "not any", "flowId 17",
                                          "bytes > 1000 or tcp"};
    for (unsigned i = 0; i < 60; i++) {
        static const uint64_t limits[] = {0, 1, 7, 64, 1000, 1u << 30};
        struct sorting s = {.count = 0};
        struct listing l = {.fields = "flowId",
                            .filter = filters[i % 5],
                            .limit = limits[i % 6],
                            .threads = 1 + i % 8,
                            .format = SC_OUTPUT_CSV,
                            .no_summary = i % 7 == 0};
        check_numbers(&t, &source, &l, &s);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- the text of the records ---- */

static const char text_fields[] = "flowId,first,last,received,duration,srcip,dstip,nexthop,exporterip,"
                                  "srcport,dstport,proto,flags,tos,bytes,packets,flows,bps,pps,bpp,"
                                  "srcas,dstas,inif,outif,srcvlan,srcmac,icmptype,interfaceName,"
                                  "applicationName,applicationId,mibObjectValueInteger,absoluteError";

/* No texts or bytes of any length: csv of such is put together in another way. */
static const char short_fields[] =
    "flowId,first,last,received,duration,srcip,dstip,nexthop,exporterip,"
    "srcport,dstport,proto,flags,tos,bytes,packets,flows,bps,pps,bpp,"
    "srcas,dstas,inif,outif,srcvlan,srcmac,icmptype,mibObjectValueInteger,absoluteError";

/* Of one record, value by value. */
static void put_reference(const struct query_table *t, const struct sc_output *output,
                          const struct sc_request_listing *request, uint64_t id, struct sc_buf *out)
{
    struct sc_value values[64];
    assert_true(request->column_count <= 64);
    for (uint32_t i = 0; i < request->column_count; i++)
        values[i] = query_field_value(t, &request->fields[i], id);
    sc_buf_clear(out);
    sc_output_row(output, values, out);
}

/* Each line of a listing, which begins with the record's number behind `skip` characters, is that of the record. */
static uint64_t check_texts(const struct query_table *t, struct listing *l, size_t skip)
{
    struct sc_request_listing *request = malloc(sizeof(*request));
    struct sc_output_options options = {.format = l->format};
    struct sc_buf line = {0}, header = {0};
    uint64_t n = 0;
    assert_non_null(request);
    assert_int_equal(sc_request_list(NULL, l->fields, NULL, request, NULL), SC_OK);
    struct sc_output *output = sc_output_create(&options, request->columns, request->column_count);
    sc_output_header(output, &header);
    for (const char *p = (const char *)l->out.text.data, *end = p + l->out.text.len; p < end; n++) {
        while (n == 0 && header.len != 0 && (size_t)(end - p) >= header.len &&
               memcmp(p, header.data, header.len) == 0)
            p += header.len;
        put_reference(t, output, request, strtoull(p + skip, NULL, 10), &line);
        if ((size_t)(end - p) < line.len || memcmp(p, line.data, line.len) != 0)
            fail_msg("wanted %.*s, got %.*s", (int)line.len, (const char *)line.data, (int)line.len, p);
        p += line.len;
    }
    sc_output_free(output);
    sc_buf_free(&line);
    sc_buf_free(&header);
    free(request);
    return n;
}

/* All values of all records, most of a row group or few, as text in every format: what is made once for many rows is what each has. */
static void every_text(void **state)
{
    (void)state;
    static const char *const filters[] = {NULL, "bytes > 100000", "srcport < 700 and tcp"};
    static const struct {
        enum sc_output_format format;
        size_t skip;
        const char *fields;
    } formats[] = {{SC_OUTPUT_CSV, 0, text_fields},
                   {SC_OUTPUT_CSV, 0, short_fields},
                   {SC_OUTPUT_NDJSON, sizeof("{\"flowId\":") - 1, text_fields},
                   {SC_OUTPUT_PRETTY, 0, text_fields}};
    for (uint64_t seed = 40; seed < 46; seed++) {
        struct query_table t;
        struct sc_source source;
        uint64_t records = 0;
        query_table_make(&t, seed, 12, seed % 2 == 0 ? 3000 : 200);
        query_open(&source, t.store);
        for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
            for (unsigned f = 0; f < 3; f++) {
                struct listing l = {.fields = formats[i].fields,
                                    .filter = filters[f],
                                    .threads = 2,
                                    .format = formats[i].format};
                run(&source, &l);
                assert_int_equal(l.status, SC_OK);
                records += check_texts(&t, &l, formats[i].skip);
                done(&l);
            }
        }
        assert_true(records > 3 * t.records);
        sc_source_close(&source);
        query_table_free(&t);
    }
}

/* With the first each record goes to a file by itself. */
static const uint64_t memory_limits[] = {1, 20000, 1000000, 0};

static void sorted_by_any_keys(void **state)
{
    (void)state;
    static const char *const names[] = {"srcip", "bytes", "first",    "duration", "bps",
                                        "flags", "proto", "srcmac",   "last",     "mibObjectValueInteger",
                                        "tos",   "flows", "received", "dstip",    "absoluteError"};
    for (uint64_t seed = 21; seed < 23; seed++) {
        struct query_table t;
        struct sc_source source;
        query_table_make(&t, seed, 30, 120);
        query_open(&source, t.store);
        for (unsigned i = 0; i < 60; i++) {
            char orders[128] = "";
            struct sorting s = {.count = 1 + (uint32_t)(kit_random(&t.seed) % 3)};
            for (uint32_t k = 0; k < s.count; k++) {
                const char *name = names[kit_random(&t.seed) % (sizeof(names) / sizeof(names[0]))];
                s.fields[k] = query_field(name);
                s.descending[k] = kit_random(&t.seed) % 2 == 0;
                snprintf(orders + strlen(orders), sizeof(orders) - strlen(orders), "%s%s#%s",
                         k == 0 ? "" : ",", name, s.descending[k] ? "desc" : "asc");
            }
            static const uint64_t limits[] = {0, 1, 10, 333, 1u << 30};
            struct listing l = {.fields = "flowId",
                                .orders = orders,
                                .filter = i % 3 == 0 ? "proto in [0-100]" : NULL,
                                .limit = limits[i % 5],
                                .threads = 1 + i % 4,
                                .format = SC_OUTPUT_CSV,
                                .no_summary = i % 4 == 0,
                                .memory_limit = memory_limits[kit_random(&t.seed) % 4]};
            check_numbers(&t, &source, &l, &s);
        }
        sc_source_close(&source);
        query_table_free(&t);
    }
}

/* Sizes and rates from the top, names and times from the bottom. */
static void default_directions(void **state)
{
    (void)state;
    struct sc_request_listing *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    static const struct {
        const char *name;
        bool descending;
    } cases[] = {{"bytes", true},  {"packets", true}, {"flows", true},    {"bps", true},
                 {"first", false}, {"srcip", false},  {"duration", true}, {"dstport", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sc_request_list(NULL, NULL, cases[i].name, r, &err), SC_OK);
        assert_int_equal(r->orders[0].descending, cases[i].descending);
    }
    free(r);
}

static void same_text_for_any_number_of_threads(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 33, 30, 200);
    query_open(&source, t.store);
    static const char *const orders[] = {NULL, "bytes", "proto#asc,srcip#desc"};
    for (unsigned format = SC_OUTPUT_PRETTY; format <= SC_OUTPUT_NDJSON; format++) {
        for (unsigned o = 0; o < 3; o++) {
            struct listing first = {.threads = 1,
                                    .orders = orders[o],
                                    .limit = o == 2 ? 700 : 0,
                                    .format = (enum sc_output_format)format,
                                    .fields =
                                        "first,last,duration,proto,srcip,srcport,dstip,dstport,flags,packets,"
                                        "bytes,bps,pps,bpp,appname,app,interfaceName,srcmac,absoluteError,"
                                        "mibObjectValueInteger,flows,nexthop,64999:77,sampling"};
            run(&source, &first);
            assert_int_equal(first.status, SC_OK);
            for (unsigned threads = 2; threads <= 8; threads += 2) {
                struct listing again = first;
                again.out = (struct collected){0};
                again.threads = threads;
                run(&source, &again);
                assert_int_equal(again.out.text.len, first.out.text.len);
                assert_memory_equal(again.out.text.data, first.out.text.data, first.out.text.len);
                done(&again);
            }
            done(&first);
        }
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* json: separators between the records and nowhere else, whatever is left out. */
static void separators(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 34, 20, 60);
    query_open(&source, t.store);
    for (unsigned i = 0; i < 12; i++) {
        struct listing l = {.fields = "flowId",
                            .limit = i / 2 * 10,
                            .threads = 1 + i % 3,
                            .orders = i % 2 == 0 ? NULL : "bytes",
                            .filter = i < 4 ? "proto in [0-60]" : NULL,
                            .format = SC_OUTPUT_JSON};
        run(&source, &l);
        uint64_t records = 0;
        for (size_t k = 0; k < l.out.text.len; k++)
            records += l.out.text.data[k] == '{';
        assert_true(records > 0);
        assert_true(l.limit == 0 || records <= l.limit);
        uint64_t commas = 0;
        for (size_t k = 0; k + 1 < l.out.text.len; k++)
            commas += memcmp(l.out.text.data + k, ",\n", 2) == 0;
        assert_int_equal(commas, records - 1);
        assert_true(l.out.text.data[0] == '{' && l.out.text.data[l.out.text.len - 1] != '\n');
        done(&l);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

static void a_limit_saves_reading(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 35, 60, 40);
    query_open(&source, t.store);
    assert_true(source.unit_count > 20);
    struct listing l = {.fields = "flowId", .limit = 3, .threads = 1, .format = SC_OUTPUT_CSV};
    run(&source, &l);
    assert_int_equal(l.status, SC_OK);
    assert_int_equal(l.stats.units_read, 1);
    done(&l);
    static const char *const sorted[] = {"flowId#desc", "flowId#asc", "flowId#desc,srcip"};
    for (unsigned i = 0; i < 3; i++) { /* the numbers of a row group tell that it has none of the first */
        struct listing best = {
            .fields = "flowId", .orders = sorted[i], .limit = 3, .threads = 1, .format = SC_OUTPUT_CSV};
        best.no_summary = i != 1;
        run(&source, &best);
        assert_int_equal(best.status, SC_OK);
        if (best.no_summary)
            assert_int_equal(best.stats.units_read, 1);
        else
            assert_int_equal(best.summary.records, t.records); /* of all that match */
        done(&best);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* A sink that stops, as a closed pipe does: no error, and no record after it. */
static void nobody_reads_on(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 36, 40, 60);
    query_open(&source, t.store);
    for (unsigned i = 0; i < 24; i++) {
        const char *orders = i % 2 == 0 ? NULL : "bytes";
        struct listing all = {
            .fields = "flowId,srcip", .orders = orders, .threads = 2, .format = SC_OUTPUT_CSV};
        struct listing some = all;
        some.threads = 1 + i % 4;
        some.out.most = 1 + i / 2;
        run(&source, &all);
        run(&source, &some);
        assert_int_equal(some.status, SC_OK);
        assert_true(some.out.writes <= some.out.most);
        assert_memory_equal(some.out.text.data, all.out.text.data, some.out.text.len);
        done(&all);
        done(&some);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

static void stopped(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 37, 60, 60);
    query_open(&source, t.store);
    for (unsigned i = 0; i < 8; i++) {
        atomic_int cancel = 0;
        struct listing all = {.fields = "flowId,srcip", .threads = 2, .format = SC_OUTPUT_CSV};
        struct listing some = all;
        some.threads = 1 + i % 4;
        some.out.cancel = &cancel;
        run(&source, &all);
        run(&source, &some);
        assert_int_equal(some.status, SC_CANCELLED);
        assert_true(some.out.text.len > 0 && some.out.text.len < all.out.text.len);
        assert_memory_equal(some.out.text.data, all.out.text.data, some.out.text.len);
        assert_int_equal(some.out.text.data[some.out.text.len - 1], '\n');
        uint64_t lines = 0;
        for (size_t k = 0; k < some.out.text.len; k++)
            lines += some.out.text.data[k] == '\n';
        assert_int_equal(some.summary.records, lines);
        done(&all);
        done(&some);
        /* Stopped before the first row group: an empty, partial answer, sorted or not. */
        struct listing none = {
            .fields = "flowId", .threads = 2, .format = SC_OUTPUT_CSV, .orders = i % 2 == 0 ? NULL : "bytes"};
        none.limit = i;
        none.out.cancel = &cancel;
        run(&source, &none);
        assert_int_equal(none.status, SC_CANCELLED);
        assert_int_equal(none.out.text.len, 0);
        done(&none);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

static uint64_t count_lines(const struct sc_buf *text)
{
    uint64_t lines = 0;
    for (size_t k = 0; k < text->len; k++)
        lines += text->data[k] == '\n';
    return lines;
}

/* All records are there to be written, and nobody waits for them any more: some are, and no half of one. */
static void stopped_while_writing(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 38, 60, 60);
    query_open(&source, t.store);
    atomic_int cancel = 0;
    struct listing all = {.fields = "flowId,srcip", .orders = "bytes", .threads = 2, .format = SC_OUTPUT_CSV};
    struct listing some = all, few = all;
    some.out.cancel = few.out.cancel = &cancel;
    few.limit = 1000;
    run(&source, &all);
    assert_true(count_lines(&all.out.text) > 1500);
    run(&source, &some);
    assert_int_equal(some.status, SC_CANCELLED);
    assert_int_equal(count_lines(&some.out.text), 1024);
    assert_memory_equal(some.out.text.data, all.out.text.data, some.out.text.len);
    atomic_store(&cancel, 0);
    run(&source, &few);
    assert_int_equal(few.status, SC_OK);
    assert_int_equal(count_lines(&few.out.text), 1000);
    done(&all);
    done(&some);
    done(&few);
    sc_source_close(&source);
    query_table_free(&t);
}

/* The header and all records stand in line, whatever the order and the number of threads. */
static void columns_fit_the_records(void **state)
{
    (void)state;
    static const char *const orders[] = {NULL, "bytes", "srcip"};
    struct query_table t;
    struct sc_source source;
    query_table_make(&t, 39, 20, 40);
    query_open(&source, t.store);
    for (unsigned o = 0; o < 3; o++) {
        struct listing first = {
            .fields = "srcip,dstip,bytes", .orders = orders[o], .threads = 1, .fit = true};
        struct listing other = first, nothing = first;
        other.threads = 4;
        other.memory_limit = memory_limits[o];
        nothing.filter = "bytes > 18446744073709551614";
        run(&source, &first);
        run(&source, &other);
        run(&source, &nothing);
        assert_int_equal(first.status, SC_OK);
        assert_int_equal(count_lines(&first.out.text), 1 + first.summary.records);
        const char *line = (const char *)first.out.text.data, *end = line + first.out.text.len;
        size_t length = strcspn(line, "\n");
        for (; line < end; line += length + 1)
            assert_int_equal(strcspn(line, "\n"), length);
        assert_int_equal(first.out.text.len, other.out.text.len);
        assert_memory_equal(first.out.text.data, other.out.text.data, first.out.text.len);
        assert_int_equal(count_lines(&nothing.out.text), 1); /* the header alone */
        done(&first);
        done(&other);
        done(&nothing);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

static void sampling_in_the_summary(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_field sampling = query_field("sampling");
    query_table_make(&t, 38, 30, 80);
    query_open(&source, t.store);
    static const char *const filters[] = {NULL, "proto in [0-90]", "sampling in [1 2 3 4]", "sampling = 1",
                                          "not any"};
    for (unsigned i = 0; i < 10; i++) {
        struct sc_filter *filter = filters[i % 5] == NULL ? NULL : query_parse(filters[i % 5]);
        uint64_t sampled = 0;
        uint8_t met[1024] = {0};
        for (uint64_t id = 0; id < t.records; id++) {
            struct sc_value v = query_field_value(&t, &sampling, id);
            if (!query_matches(&t, filter, id) || v.null || v.u <= 1)
                continue;
            sampled++;
            met[v.u] = 1;
        }
        struct listing l = {
            .fields = "flowId", .filter = filters[i % 5], .threads = 1 + i / 5, .format = SC_OUTPUT_CSV};
        run(&source, &l);
        assert_int_equal(l.summary.sampled, sampled);
        uint32_t intervals = 0;
        for (unsigned v = 0; v < 1024; v++)
            intervals += met[v];
        assert_int_equal(l.summary.more_intervals, intervals > SC_MAX_INTERVALS);
        assert_int_equal(l.summary.interval_count,
                         intervals > SC_MAX_INTERVALS ? SC_MAX_INTERVALS : intervals);
        for (unsigned v = 0, k = 0; v < 1024; v++) { /* the least ones, ascending */
            if (met[v] && k < l.summary.interval_count)
                assert_int_equal(l.summary.intervals[k++], v);
        }
        done(&l);
        sc_filter_free(filter);
    }
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- more than the memory limit ---- */

static void run_all(struct sc_source *source, uint64_t memory_limit, struct listing *l)
{
    *l = (struct listing){.fields = text_fields,
                          .orders = "bytes,flowId",
                          .threads = 3,
                          .format = SC_OUTPUT_JSON,
                          .memory_limit = memory_limit,
                          .out = l->out};
    run(source, l);
}

static void sorted_in_a_file(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    atomic_int cancel = 0;
    struct listing all = {0}, few = {0}, none = {0}, stopped = {.out = {.cancel = &cancel}},
                   unread = {.out = {.most = 7}};
    query_table_make(&t, 51, 40, 300);
    query_open(&source, t.store);
    run_all(&source, 0, &all);
    assert_int_equal(all.summary.records, t.records);
    for (uint64_t limit = 1000; limit < 100000000; limit *= 10) {
        run_all(&source, limit, &few);
        assert_int_equal(few.status, SC_OK);
        assert_int_equal(few.out.text.len, all.out.text.len);
        assert_memory_equal(few.out.text.data, all.out.text.data, all.out.text.len);
        done(&few);
    }
    run_all(&source, 5000, &unread); /* as head does */
    assert_int_equal(unread.status, SC_OK);
    assert_int_equal(unread.out.writes, 7);
    run_all(&source, 5000, &stopped); /* by the first record */
    assert_int_equal(stopped.status, SC_CANCELLED);
    assert_true(stopped.out.text.len < all.out.text.len);
    assert_memory_equal(stopped.out.text.data, all.out.text.data, stopped.out.text.len);
    setenv("TMPDIR", "/nonexistent/folder", 1);
    run_all(&source, 5000, &none);
    unsetenv("TMPDIR");
    assert_int_equal(none.status, SC_FULL);
    assert_int_equal(none.out.text.len, 0);
    done(&all);
    done(&stopped);
    done(&unread);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- damage ---- */

static void flip_byte(const char *path, uint64_t at)
{
    size_t length;
    uint8_t *bytes = kit_read_file(path, &length);
    bytes[at] ^= 0x40;
    kit_write_file(path, bytes, length);
    free(bytes);
}

/* Three row groups; the packets of the second are damaged. */
static char *store_with_damage(void)
{
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_read_context context;
    struct sc_row_group *group;
    char *store = kit_folder(), path[1024];
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 3; b++) {
        struct sc_batch *batch = kit_batch(b * 1000, 1000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(source.unit_count, 3);
    snprintf(path, sizeof(path), "%s", source.segments[0]->path);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, source.segments[0], 1, &group, &err), SC_OK);
    const struct sc_entry *e = sc_row_group_entry(group, kit_keys[KIT_PACKETS]);
    uint64_t at = group->ref->offset + e->offset + e->length / 2;
    sc_read_context_free(&context);
    sc_source_close(&source);
    flip_byte(path, at);
    return store;
}

static void damage_in_a_listing(void **state)
{
    (void)state;
    char *store = store_with_damage();
    static const char *const fields[] = {"flowId,packets", "flowId"};
    static const char *const orders[] = {NULL, "flowId#desc", "flowId#asc", "packets,flowId#asc"};
    for (unsigned i = 0; i < 16; i++) {
        struct sc_source source;
        const char *field = fields[i % 2], *order = orders[i / 2 % 4];
        bool needed = i % 2 == 0 || (order != NULL && order[0] == 'p');
        struct listing l = {.fields = field,
                            .orders = order,
                            .threads = 1 + i % 3,
                            .limit = i >= 8 ? 1500 : 0,
                            .format = SC_OUTPUT_CSV,
                            .no_summary = true,
                            .memory_limit = memory_limits[i % 4]};
        query_open(&source, store);
        run(&source, &l);
        assert_int_equal(l.status, SC_OK);
        uint64_t lines = 0, damaged = 0;
        const char *p = (const char *)l.out.text.data, *end = p + l.out.text.len;
        for (; p < end; p = memchr(p, '\n', (size_t)(end - p)), p++) {
            uint64_t id = strtoull(p, NULL, 10);
            damaged += id >= 1000 && id < 2000;
            lines++;
        }
        uint64_t there = needed ? 2000 : 3000;
        assert_int_equal(lines, l.limit != 0 && l.limit < there ? l.limit : there);
        /* A limited listing in order of the store may end before it meets the damage. */
        if (needed) {
            assert_int_equal(damaged, 0);
            assert_int_equal(source.missing_count, 1);
        } else {
            assert_int_equal(source.missing_count, 0);
        }
        done(&l);
        sc_source_close(&source);
    }
    kit_remove(store);
}

UNIT(test_list)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_the_store),
        cmocka_unit_test(every_text),
        cmocka_unit_test(sorted_by_any_keys),
        cmocka_unit_test(sorted_in_a_file),
        cmocka_unit_test(default_directions),
        cmocka_unit_test(same_text_for_any_number_of_threads),
        cmocka_unit_test(separators),
        cmocka_unit_test(a_limit_saves_reading),
        cmocka_unit_test(nobody_reads_on),
        cmocka_unit_test(stopped),
        cmocka_unit_test(stopped_while_writing),
        cmocka_unit_test(columns_fit_the_records),
        cmocka_unit_test(sampling_in_the_summary),
        cmocka_unit_test(damage_in_a_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
