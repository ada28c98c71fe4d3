// SPDX-License-Identifier: BSD-3-Clause
/* What the tests of the query engine share: stores of random records that the test also keeps in memory, so
 * that every answer can be compared with the scalar field access over the same rows. */
#ifndef TESTS_QUERY_KIT_H
#define TESTS_QUERY_KIT_H

#include "base/clock.h"
#include "flow/vector.h"
#include "query/engine.h"
#include "query/request.h"
#include "store_kit.h"

/* ---- columns ---- */

enum query_column {
    Q_ID, /* the record's number, in every record */
    Q_RECEIVED,
    Q_SOURCE,
    Q_DESTINATION,
    Q_NEXT_HOP,
    Q_EXPORTER,
    Q_PROTO,
    Q_SOURCE_PORT,
    Q_UDP_SOURCE_PORT,
    Q_DESTINATION_PORT,
    Q_FLAGS,
    Q_TOS,
    Q_BYTES,
    Q_TOTAL_BYTES,
    Q_PACKETS,
    Q_TOTAL_PACKETS,
    Q_FLOWS,
    Q_FIRST_MS,
    Q_FIRST_S,
    Q_FLOW_START,
    Q_FIRST_DELTA_US,
    Q_LAST_MS,
    Q_LAST_S,
    Q_FLOW_END,
    Q_DURATION_MS,
    Q_SYSTEM_INIT,
    Q_EXPORT_TIME,
    Q_OBSERVED,
    Q_SOURCE_AS,
    Q_DESTINATION_AS,
    Q_IN_IF,
    Q_OUT_IF,
    Q_SOURCE_VLAN,
    Q_DESTINATION_VLAN,
    Q_SOURCE_MAC,
    Q_ICMP,
    Q_SAMPLING,
    Q_INTERFACE_NAME,
    Q_APP_NAME,
    Q_APP_ID,
    Q_SIGNED,
    Q_FLOAT,
    Q_UNKNOWN,
    Q_COLUMNS
};

struct query_column_rule {
    struct sc_column_key key;
    uint8_t bits;     /* of the greatest number */
    uint8_t presence; /* of 8 batches, how many have the column */
};

#define Q_IANA(id) SC_PEN_IANA, id, 0, SC_COLUMN_UINT
#define Q_OURS(id) SC_PEN_COLLECTOR, SC_IE_##id, 0, SC_COLUMN_UINT

static const struct query_column_rule query_rules[Q_COLUMNS] = {
    [Q_ID] = {{Q_IANA(148)}, 64, 8},
    [Q_RECEIVED] = {{Q_OURS(RECEIVE_TIME)}, 64, 8},
    [Q_SOURCE] = {{SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS}, 0, 7},
    [Q_DESTINATION] = {{SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, 0, SC_COLUMN_ADDRESS}, 0, 7},
    [Q_NEXT_HOP] = {{SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, 0, SC_COLUMN_ADDRESS}, 0, 4},
    [Q_EXPORTER] = {{SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, 0, SC_COLUMN_ADDRESS}, 0, 7},
    [Q_PROTO] = {{Q_IANA(4)}, 8, 7},
    [Q_SOURCE_PORT] = {{Q_IANA(7)}, 16, 6},
    [Q_UDP_SOURCE_PORT] = {{Q_IANA(180)}, 16, 3},
    [Q_DESTINATION_PORT] = {{Q_IANA(11)}, 16, 7},
    [Q_FLAGS] = {{Q_IANA(6)}, 16, 6},
    [Q_TOS] = {{Q_IANA(5)}, 8, 4},
    [Q_BYTES] = {{Q_IANA(1)}, 40, 7},
    [Q_TOTAL_BYTES] = {{Q_IANA(85)}, 40, 2},
    [Q_PACKETS] = {{Q_IANA(2)}, 20, 7},
    [Q_TOTAL_PACKETS] = {{Q_IANA(86)}, 20, 2},
    [Q_FLOWS] = {{Q_IANA(3)}, 3, 3},
    [Q_FIRST_MS] = {{Q_IANA(152)}, 64, 5},
    [Q_FIRST_S] = {{Q_IANA(150)}, 32, 2},
    [Q_FLOW_START] = {{Q_OURS(FLOW_START)}, 64, 3},
    [Q_FIRST_DELTA_US] = {{Q_IANA(158)}, 24, 2},
    [Q_LAST_MS] = {{Q_IANA(153)}, 64, 5},
    [Q_LAST_S] = {{Q_IANA(151)}, 32, 2},
    [Q_FLOW_END] = {{Q_OURS(FLOW_END)}, 64, 3},
    [Q_DURATION_MS] = {{Q_IANA(161)}, 16, 2},
    [Q_SYSTEM_INIT] = {{Q_OURS(SYSTEM_INIT)}, 64, 3},
    [Q_EXPORT_TIME] = {{Q_OURS(EXPORT_TIME)}, 64, 5},
    [Q_OBSERVED] = {{Q_IANA(323)}, 64, 2},
    [Q_SOURCE_AS] = {{Q_IANA(16)}, 32, 5},
    [Q_DESTINATION_AS] = {{Q_IANA(17)}, 32, 5},
    [Q_IN_IF] = {{Q_IANA(10)}, 32, 5},
    [Q_OUT_IF] = {{Q_IANA(14)}, 32, 5},
    [Q_SOURCE_VLAN] = {{Q_IANA(58)}, 12, 3},
    [Q_DESTINATION_VLAN] = {{Q_IANA(59)}, 12, 3},
    [Q_SOURCE_MAC] = {{Q_IANA(56)}, 48, 4},
    [Q_ICMP] = {{Q_IANA(32)}, 16, 3},
    [Q_SAMPLING] = {{Q_OURS(SAMPLING_RATE)}, 10, 3},
    [Q_INTERFACE_NAME] = {{SC_PEN_IANA, 82, 0, SC_COLUMN_BYTES}, 0, 4},
    [Q_APP_NAME] = {{SC_PEN_IANA, 96, 0, SC_COLUMN_BYTES}, 0, 4},
    [Q_APP_ID] = {{SC_PEN_IANA, 95, 0, SC_COLUMN_BYTES}, 0, 3},
    [Q_SIGNED] = {{SC_PEN_IANA, 434, 0, SC_COLUMN_INT}, 32, 4},
    [Q_FLOAT] = {{SC_PEN_IANA, 320, 0, SC_COLUMN_FLOAT}, 0, 4},
    [Q_UNKNOWN] = {{64999, 77, 0, SC_COLUMN_BYTES}, 0, 2},
};

/* ---- values ---- */

#define Q_WINDOW_S 60u

/* How the values of a column are spread over one batch. */
struct query_spread {
    uint64_t salt;
    uint64_t variety; /* distinct values; 0: as many as there are rows */
    uint32_t null_of_256;
};

static inline uint64_t query_time(enum query_column column, uint64_t h, uint64_t window_ms)
{
    uint64_t ms = window_ms + h % (Q_WINDOW_S * 1000);
    switch (column) {
    case Q_FIRST_MS:
    case Q_FLOW_START:
    case Q_OBSERVED:
        return ms - 30000 - (h >> 32 & 0xffff);
    case Q_FIRST_S:
        return (ms - 60000) / 1000;
    case Q_LAST_S:
        return ms / 1000;
    case Q_SYSTEM_INIT:
        return window_ms - 100000000;
    default:
        return ms - (h >> 32 & 0x7fff);
    }
}

static inline void query_bytes(enum query_column column, uint64_t h, struct kit_value *v)
{
    static const char *const names[] = {"eth0",    "Eth0",   "ge-0/0/1",   "",
                                        "vlan 10", "a\"b,c", "\xc3\xa9th", "eth"};
    if (column == Q_INTERFACE_NAME || column == Q_APP_NAME) {
        v->length = (uint32_t)snprintf((char *)v->bytes, sizeof(v->bytes), "%s%.0u", names[h % 8],
                                       (unsigned)(h >> 8 & 1));
        if (column == Q_APP_NAME && (h >> 9 & 1) != 0 && v->length < 20) /* padded as v9 pads */
            v->bytes[v->length++] = 0;
        return;
    }
    v->length = column == Q_APP_ID ? 4 : (uint32_t)(h >> 8 & 7);
    for (uint32_t i = 0; i < v->length; i++)
        v->bytes[i] = (uint8_t)(kit_mix(h, i) & 3);
}

static inline struct kit_value query_value(enum query_column column, const struct query_spread *spread,
                                           uint64_t id, uint64_t window_ms)
{
    struct kit_value v = {0};
    const struct query_column_rule *rule = &query_rules[column];
    if (column == Q_ID) {
        v.number = id;
        return v;
    }
    uint64_t own = kit_mix(id, spread->salt);
    if (own % 256 < spread->null_of_256) {
        v.null = true;
        return v;
    }
    uint64_t h = spread->variety == 0 ? own : kit_mix((own >> 8) % spread->variety, spread->salt + column);
    if (rule->key.kind == SC_COLUMN_ADDRESS) {
        kit_address(h, &v.address);
        if (h % 97 == 0)
            memset(v.address.b, h % 2 == 0 ? 0 : 0xff, sizeof(v.address.b));
    } else if (rule->key.kind == SC_COLUMN_BYTES) {
        query_bytes(column, h, &v);
    } else if (rule->key.kind == SC_COLUMN_FLOAT) {
        double d = (double)(int64_t)(h & 0xffff) / 16 - 2000;
        memcpy(&v.number, &d, sizeof(d));
    } else if (rule->key.kind == SC_COLUMN_INT) {
        v.number = (uint64_t)(int64_t)(int32_t)h;
    } else if (rule->bits == 64 || column == Q_FIRST_S || column == Q_LAST_S) {
        v.number = query_time(column, h, window_ms);
    } else {
        v.number = (h >> 5) & kit_mask(rule->bits) >> (h % 4 == 0 ? 0 : rule->bits / 2);
    }
    return v;
}

/* ---- tables: records in memory and in a store ---- */

#define Q_MAX_BATCHES 512

struct query_table {
    uint64_t seed;
    char *store;
    struct sc_batch *batches[Q_MAX_BATCHES];
    uint32_t batch_count;
    uint32_t *batch_of; /* by record number */
    uint32_t *row_of;
    uint64_t records;
    uint64_t sequence; /* of the next span */
};

static inline struct sc_batch *query_batch(struct query_table *t, uint32_t rows, uint64_t window_ms,
                                           enum sc_record_kind kind)
{
    struct sc_batch *batch = sc_batch_create(kind);
    assert_non_null(batch);
    batch->window_ms = window_ms;
    for (unsigned i = 0; i < Q_COLUMNS; i++) {
        const struct query_column_rule *rule = &query_rules[i];
        uint64_t h = kit_random(&t->seed);
        static const uint32_t nulls[] = {0, 0, 0, 0, 20, 128, 250, 256};
        static const uint64_t varieties[] = {0, 0, 1, 1, 3, 40, 200, 1000};
        struct query_spread spread = {.salt = h >> 3 & 0xff,
                                      .variety = varieties[h >> 20 & 7],
                                      .null_of_256 = rule->presence == 8 ? 0 : nulls[h >> 24 & 7]};
        if (h % 8 >= rule->presence)
            continue;
        struct sc_column *c = sc_batch_begin(batch, rule->key, NULL, 8, rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++) {
            struct kit_value v = query_value((enum query_column)i, &spread, t->records + row, window_ms);
            kit_put(c, &v);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 77, t->sequence++);
    return batch;
}

static inline void query_keep(struct query_table *t, struct sc_batch *batch)
{
    assert_true(t->batch_count < Q_MAX_BATCHES);
    uint64_t records = t->records + batch->rows;
    t->batch_of = realloc(t->batch_of, records * sizeof(*t->batch_of));
    t->row_of = realloc(t->row_of, records * sizeof(*t->row_of));
    assert_non_null(t->batch_of);
    assert_non_null(t->row_of);
    for (uint32_t row = 0; row < batch->rows; row++) {
        t->batch_of[t->records + row] = t->batch_count;
        t->row_of[t->records + row] = row;
    }
    t->records = records;
    t->batches[t->batch_count++] = batch;
}

static inline void query_append(struct sc_store_writer *writer, struct sc_batch *batch)
{
    struct sc_error err = {0};
    if (sc_store_writer_append(writer, batch, &err) != SC_OK)
        fail_msg("%s", err.message);
}

/* Of a row: a value, or null, to each of the columns. */
typedef void query_put_fn(struct sc_column *const *columns, uint64_t id, const void *arg);

/* A store of flows with some columns in `batches` row groups; ids go through all. */
static KIT_UNUSED char *query_make_store(const enum query_column *which, unsigned count, uint32_t batches,
                                         uint32_t rows, query_put_fn *put, const void *arg)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_column *columns[Q_COLUMNS];
    assert_non_null(w);
    for (uint64_t b = 0; b < batches; b++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        assert_non_null(batch);
        batch->window_ms = KIT_WINDOW;
        for (unsigned i = 0; i < count; i++) {
            columns[i] = sc_batch_begin(batch, query_rules[which[i]].key, NULL, 8, rows);
            assert_non_null(columns[i]);
        }
        for (uint64_t id = b * rows; id < (b + 1) * rows; id++)
            put(columns, id, arg);
        sc_batch_commit(batch, rows);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    return store;
}

static inline void query_options(struct sc_store_writer *writer, struct query_table *t, uint64_t window_ms)
{
    uint64_t records = t->records;
    t->records = 1u << 30; /* numbers that no flow has */
    struct sc_batch *batch = query_batch(t, 3, window_ms, SC_RECORDS_OPTIONS);
    t->records = records;
    query_append(writer, batch);
    sc_batch_free(batch);
}

/*
 * A store of `batches` random batches of at most `most` rows over four windows: the first two sealed, the
 * others live; some batches are held twice, some windows have options records.
 */
static KIT_UNUSED void query_table_make(struct query_table *t, uint64_t seed, uint32_t batches, uint32_t most)
{
    struct sc_store_options options = {.window_s = Q_WINDOW_S, .format = seed % 4 == 0 ? 1 : 0};
    struct sc_error err = {0};
    *t = (struct query_table){.seed = seed, .store = kit_folder()};
    for (unsigned part = 0; part < 2; part++) {
        struct sc_store_writer *w = sc_store_writer_open(t->store, &options, &err);
        if (w == NULL)
            fail_msg("%s", err.message);
        for (uint32_t i = 0; i < batches / 2; i++) {
            uint64_t window = KIT_WINDOW + (2 * part + kit_random(&t->seed) % 2) * Q_WINDOW_S * 1000;
            uint32_t rows = 1 + (uint32_t)(kit_random(&t->seed) % most);
            struct sc_batch *batch = query_batch(t, rows, window, SC_RECORDS_FLOWS);
            query_append(w, batch);
            if (kit_random(&t->seed) % 4 == 0) /* a retry: the same batch once more */
                query_append(w, batch);
            if (kit_random(&t->seed) % 4 == 0)
                query_options(w, t, window);
            query_keep(t, batch);
        }
        assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
        if (part == 0)
            assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
        assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    }
}

static KIT_UNUSED void query_table_free(struct query_table *t)
{
    for (uint32_t i = 0; i < t->batch_count; i++)
        sc_batch_free(t->batches[i]);
    free(t->batch_of);
    free(t->row_of);
    kit_remove(t->store);
}

static KIT_UNUSED struct sc_value query_field_value(const struct query_table *t, const struct sc_field *field,
                                                    uint64_t id)
{
    const struct sc_batch *b = t->batches[t->batch_of[id]];
    return sc_field_value(field, (const struct sc_column *const *)b->columns, b->slots, t->row_of[id]);
}

static KIT_UNUSED struct sc_field query_field(const char *name)
{
    struct sc_field field;
    struct sc_error err = {0};
    if (sc_field_find(NULL, name, strlen(name), &field, &err) != SC_OK)
        fail_msg("%s", err.message);
    return field;
}

static KIT_UNUSED bool query_matches(const struct query_table *t, const struct sc_filter *filter, uint64_t id)
{
    const struct sc_batch *b = t->batches[t->batch_of[id]];
    return filter == NULL ||
           sc_filter_match(filter, (const struct sc_column *const *)b->columns, b->slots, t->row_of[id]);
}

static KIT_UNUSED void query_open(struct sc_source *source, const char *path)
{
    struct sc_source_bounds bounds = {0};
    struct sc_error err = {0};
    if (sc_source_open(&path, 1, &bounds, source, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static KIT_UNUSED struct sc_filter *query_parse(const char *text)
{
    struct sc_filter *filter = NULL;
    struct sc_error err = {0};
    if (sc_filter_parse(NULL, text, &filter, &err) != SC_OK)
        fail_msg("%s", err.message);
    return filter;
}

#define Q_ALWAYS                                                                                             \
    (struct sc_time_bounds)                                                                                  \
    {                                                                                                        \
        .end_ms = UINT64_MAX                                                                                 \
    }

/* Each variant of vector code in turn, for what is begun from now on. */
static inline void query_set_vectors(unsigned turn)
{
    static const char *const vectors[] = {"portable", "avx2", "avx512"};
    setenv("SC_VECTORS", vectors[turn % 3], 1);
}

/* ---- random filters ---- */

struct query_words {
    const char *name;
    const char *operators; /* n order, f flags, c contains, e equality, p presence, s sets */
};

static const struct query_words query_filter_fields[] = {
    {"srcip", "nesp"},
    {"dstip", "nesp"},
    {"nexthop", "nesp"},
    {"exporterip", "nesp"},
    {"ip", "es"},
    {"srcport", "nesp"},
    {"dstport", "nesp"},
    {"port", "nes"},
    {"proto", "nesp"},
    {"flags", "nefsp"},
    {"tos", "nes"},
    {"bytes", "nesp"},
    {"packets", "nesp"},
    {"flows", "nes"},
    {"first", "nesp"},
    {"last", "nesp"},
    {"received", "nes"},
    {"duration", "nesp"},
    {"bps", "np"},
    {"pps", "np"},
    {"bpp", "np"},
    {"srcas", "nesp"},
    {"as", "nes"},
    {"inif", "nes"},
    {"vlan", "nes"},
    {"srcmac", "nesp"},
    {"icmptype", "nesp"},
    {"icmpcode", "nes"},
    {"sampling", "nesp"},
    {"appname", "cesp"},
    {"interfaceName", "cep"},
    {"app", "ep"},
    {"mibObjectValueInteger", "nep"},
    {"absoluteError", "np"},
    {"flowStartSysUpTime", "nep"},
    {"sourceIPv4Address", "nesp"},
    {"sourceIPv6Address", "nesp"},
    {"64999:77", "ep"},
    {"eventtime", "nep"},
};

static inline void query_put_quoted(struct sc_buf *out, const uint8_t *bytes, uint32_t length)
{
    sc_buf_append_u8(out, '"');
    for (uint32_t i = 0; i < length; i++)
        sc_buf_printf(out, "\\x%02x", bytes[i]);
    sc_buf_append_u8(out, '"');
}

/* A value that some record has, or near one; "" where the field is null there. */
static inline void query_put_value(struct query_table *t, const char *name, struct sc_buf *out)
{
    struct sc_field pair[2], field;
    bool both = sc_field_find_pair(name, strlen(name), pair);
    field = both ? pair[kit_random(&t->seed) % 2] : query_field(name);
    struct sc_value v = {.null = true};
    for (unsigned i = 0; i < 20 && v.null; i++)
        v = query_field_value(t, &field, kit_random(&t->seed) % t->records);
    char text[SC_ADDR_TEXT_MAX];
    double d = v.null ? 1.5 : v.f;
    switch (field.type) {
    case SC_VALUE_ADDRESS:
        sc_addr_format(&v.addr, text);
        sc_buf_append_str(out, v.null ? "10.0.0.1" : text);
        break;
    case SC_VALUE_FLOAT:
        sc_buf_printf(out, "%.6f", d);
        break;
    case SC_VALUE_INT:
        sc_buf_printf(out, "%lld", (long long)(int64_t)v.u);
        break;
    case SC_VALUE_MAC:
        sc_buf_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned)(v.u >> 40 & 0xff),
                      (unsigned)(v.u >> 32 & 0xff), (unsigned)(v.u >> 24 & 0xff),
                      (unsigned)(v.u >> 16 & 0xff), (unsigned)(v.u >> 8 & 0xff), (unsigned)(v.u & 0xff));
        break;
    case SC_VALUE_BYTES:
        sc_buf_append_str(out, "0x");
        for (uint32_t i = 0; i < v.length; i++)
            sc_buf_printf(out, "%02x", v.bytes[i]);
        if (v.length == 0)
            sc_buf_append_str(out, "00");
        break;
    case SC_VALUE_STRING:
        query_put_quoted(out, v.bytes, v.length);
        break;
    case SC_VALUE_TIME_MS: {
        char time[32];
        sc_time_format_utc(v.null ? KIT_WINDOW : v.u, time, sizeof(time));
        sc_buf_printf(out, "\"%s\"", time);
        break;
    }
    default:
        sc_buf_append_u64(out, kit_random(&t->seed) % 8 == 0 ? v.u + 1 : v.u);
        break;
    }
}

static inline void query_put_set(struct query_table *t, const char *name, struct sc_buf *out)
{
    unsigned count = 1 + (unsigned)(kit_random(&t->seed) % 6);
    sc_buf_append_str(out, "in [");
    for (unsigned i = 0; i < count; i++) {
        sc_buf_append_u8(out, ' ');
        query_put_value(t, name, out);
    }
    sc_buf_append_str(out, " ]");
}

static inline void query_put_compare(struct query_table *t, struct sc_buf *out)
{
    static const char *const order[] = {"<", "<=", ">", ">="};
    size_t count = sizeof(query_filter_fields) / sizeof(query_filter_fields[0]);
    const struct query_words *w = &query_filter_fields[kit_random(&t->seed) % count];
    bool address = strstr(w->name, "ip") != NULL || strstr(w->name, "Address") != NULL;
    char op = w->operators[kit_random(&t->seed) % strlen(w->operators)];
    if (op == 'p') {
        sc_buf_printf(out, "exists %s", w->name);
        return;
    }
    sc_buf_printf(out, "%s ", w->name);
    if (op == 's') {
        query_put_set(t, w->name, out);
        return;
    }
    if (op == 'n')
        sc_buf_printf(out, "%s ", order[kit_random(&t->seed) % 4]);
    else if (op == 'c')
        sc_buf_append_str(out, "contains ");
    else if (op == 'e')
        sc_buf_append_str(out, kit_random(&t->seed) % 4 == 0 ? "!= " : "= ");
    query_put_value(t, w->name, out);
    if (op == 'e' && address && kit_random(&t->seed) % 2 == 0) {
        bool v6 = memchr(out->data, ':', out->len) != NULL;
        sc_buf_printf(out, "/%u", (unsigned)(kit_random(&t->seed) % (v6 ? 129 : 33)));
    }
}

static inline void query_put_filter(struct query_table *t, unsigned depth, struct sc_buf *out)
{
    uint64_t h = kit_random(&t->seed) % 8;
    if (depth == 0 || h < 2) {
        struct sc_buf one = {0};
        query_put_compare(t, &one);
        sc_buf_append(out, one.data, one.len);
        sc_buf_free(&one);
        return;
    }
    sc_buf_append_str(out, h == 2 ? "not (" : "(");
    query_put_filter(t, depth - 1, out);
    if (h != 2) {
        sc_buf_append_str(out, h % 2 == 0 ? ") and (" : ") or (");
        query_put_filter(t, depth - 1, out);
    }
    sc_buf_append_str(out, ")");
}

/* Random filter text, terminated; freed by the caller. */
static KIT_UNUSED char *query_random_filter(struct query_table *t, unsigned depth)
{
    struct sc_buf out = {0};
    query_put_filter(t, depth, &out);
    sc_buf_append_u8(&out, '\0');
    assert_true(sc_buf_ok(&out));
    return (char *)out.data;
}

/* Of an entry, by the label of a column. */
static KIT_UNUSED struct sc_value query_result_value(const struct sc_request *r,
                                                     const struct sc_groups *groups, const uint8_t *entry,
                                                     const char *label)
{
    for (uint32_t i = 0; i < r->column_count; i++) {
        if (strcmp(r->columns[i].label, label) == 0)
            return sc_groups_value(groups, entry, &r->columns[i].result);
    }
    fail_msg("no column %s", label);
    return (struct sc_value){.null = true};
}

#endif
