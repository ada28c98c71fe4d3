// SPDX-License-Identifier: BSD-3-Clause
/* For the tests of the encoder: build columns, take the messages, decode them, compare. */
#ifndef SC_TESTS_ENCODER_SUPPORT_H
#define SC_TESTS_ENCODER_SUPPORT_H

// clang-format off
// clang-format on

#include "base/buf.h"
#include "unit.h"
#include "wire/decoder.h"
#include "wire/encoder.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT_MS UINT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

/* ---- messages ---- */

#define MESSAGES_MAX 4096

struct messages {
    struct sc_buf bytes;
    uint32_t start[MESSAGES_MAX + 1];
    uint32_t count;
};

static inline enum sc_status take_message(void *arg, const uint8_t *message, size_t length)
{
    struct messages *m = arg;
    assert_true(m->count < MESSAGES_MAX);
    sc_buf_append(&m->bytes, message, length);
    assert_true(sc_buf_ok(&m->bytes));
    m->start[++m->count] = (uint32_t)m->bytes.len;
    return SC_OK;
}

static inline const uint8_t *message_at(const struct messages *m, uint32_t i, uint32_t *length)
{
    assert_true(i < m->count);
    *length = m->start[i + 1] - m->start[i];
    return m->bytes.data + m->start[i];
}

/* ---- columns ---- */

struct table {
    struct sc_batch *batch;
};

static inline void table_open(struct table *t)
{
    t->batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(t->batch);
}

static inline void table_close(struct table *t)
{
    sc_batch_free(t->batch);
}

static inline struct sc_column_key key_of(uint32_t pen, uint16_t id, enum sc_column_kind kind)
{
    return (struct sc_column_key){pen, id, 0, (uint8_t)kind};
}

/* A column of the run of `n` rows that begins at the end of the batch; the caller commits. */
static inline struct sc_column *table_column(struct table *t, struct sc_column_key key, unsigned width,
                                             uint32_t n)
{
    struct sc_column *c = sc_batch_begin(t->batch, key, NULL, width, n);
    assert_non_null(c);
    return c;
}

static inline void put_uint(struct table *t, uint32_t pen, uint16_t id, unsigned width, uint64_t v)
{
    sc_column_put_u64(table_column(t, key_of(pen, id, SC_COLUMN_UINT), width, 1), v);
}

static inline void put_address(struct table *t, uint32_t pen, uint16_t id, const char *text)
{
    struct sc_addr a;
    assert_true(sc_addr_parse(text, strlen(text), &a));
    sc_column_put_addr(table_column(t, key_of(pen, id, SC_COLUMN_ADDRESS), 16, 1), &a);
}

static inline void put_bytes(struct table *t, uint32_t pen, uint16_t id, const void *bytes, uint32_t length)
{
    struct sc_column *c = table_column(t, key_of(pen, id, SC_COLUMN_BYTES), 0, 1);
    assert_int_equal(sc_column_put_bytes(c, bytes, length), SC_OK);
}

static inline const struct sc_column *const *table_columns(const struct table *t)
{
    return (const struct sc_column *const *)t->batch->columns;
}

static inline void table_commit(struct table *t)
{
    sc_batch_commit(t->batch, 1);
}

/* One plain IPv4 flow whose values follow from i. */
static inline void put_flow(struct table *t, uint32_t i)
{
    struct sc_addr source = sc_addr_v4(0x0a000000 + i), destination = sc_addr_v4(0xc0000200 + i % 200);
    sc_column_put_addr(
        table_column(t, key_of(SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, SC_COLUMN_ADDRESS), 16, 1), &source);
    sc_column_put_addr(
        table_column(t, key_of(SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, SC_COLUMN_ADDRESS), 16, 1),
        &destination);
    put_uint(t, SC_PEN_IANA, 2, 8, 1 + i);
    put_uint(t, SC_PEN_IANA, 1, 8, 100 + 1000 * (uint64_t)i);
    put_uint(t, SC_PEN_COLLECTOR, SC_IE_FLOW_START, 8, EXPORT_MS - 5000 - i);
    put_uint(t, SC_PEN_COLLECTOR, SC_IE_FLOW_END, 8, EXPORT_MS - 1000 - i % 7);
    put_uint(t, SC_PEN_IANA, 7, 2, 1024 + i % 60000);
    put_uint(t, SC_PEN_IANA, 11, 2, 53 + i % 3);
    put_uint(t, SC_PEN_IANA, 4, 1, i % 2 == 0 ? 17 : 6);
    put_uint(t, SC_PEN_IANA, 6, 1, i % 2 == 0 ? 0 : 0x1b);
}

static inline void put_flows(struct table *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        put_flow(t, i);
        table_commit(t);
    }
    assert_int_equal(sc_batch_finish(t->batch), SC_OK);
}

/* ---- encode and decode ---- */

static inline struct sc_encoder *encoder_of(enum sc_export_protocol protocol, struct messages *m)
{
    struct sc_encoder_options options = sc_encoder_default_options();
    options.protocol = protocol;
    options.domain = 0x0107;
    struct sc_encoder *e = sc_encoder_create(&options, take_message, m, NULL);
    assert_non_null(e);
    return e;
}

static inline void encode_all(struct sc_encoder *e, const struct table *t, uint64_t export_ms)
{
    struct sc_error err;
    assert_int_equal(
        sc_encoder_flows(e, table_columns(t), t->batch->slots, 0, t->batch->rows, export_ms, &err), SC_OK);
    assert_int_equal(sc_encoder_flush(e, export_ms, &err), SC_OK);
}

/* Decodes all messages; each must be without fault and in sequence. */
static inline void decode_all(const struct messages *m, struct table *flows, struct table *options)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = UINT64_C(512) << 20; /* an eighth of it for who is new */
    struct sc_decoder *d = sc_decoder_create(&limits, NULL);
    struct sc_message_source source = {
        .exporter = sc_addr_v4(0x7f000001), .port = 2055, .receive_ms = EXPORT_MS};
    struct sc_decode_sink sink = {.flows = flows->batch, .options = options == NULL ? NULL : options->batch};
    assert_non_null(d);
    for (uint32_t i = 0; i < m->count; i++) {
        struct sc_decode_outcome outcome;
        struct sc_error err;
        uint32_t length;
        const uint8_t *bytes = message_at(m, i, &length);
        assert_int_equal(sc_decoder_message(d, &source, bytes, length, &sink, &outcome, &err), SC_OK);
        assert_int_equal(outcome.malformed, 0);
        assert_int_equal(outcome.lost, 0);
        assert_int_equal(outcome.no_template_sets, 0);
    }
    assert_int_equal(sc_batch_finish(flows->batch), SC_OK);
    if (options != NULL)
        assert_int_equal(sc_batch_finish(options->batch), SC_OK);
    sc_decoder_free(d);
}

/* ---- compare ---- */

static inline bool is_exported(const struct sc_column *c)
{
    if (c == NULL || c->rows == 0 || c->nulls == c->rows)
        return false;
    if (c->key.pen != SC_PEN_COLLECTOR)
        return true;
    return c->key.id >= SC_IE_SOURCE_ADDRESS && c->key.id <= SC_IE_FLOW_END;
}

static inline void assert_same_value(const struct sc_column *x, const struct sc_column *y, uint32_t row)
{
    assert_int_equal(sc_column_is_null(x, row), sc_column_is_null(y, row));
    if (sc_column_is_null(x, row))
        return;
    if (x->key.kind == SC_COLUMN_ADDRESS) {
        assert_memory_equal(sc_column_addr(x, row), sc_column_addr(y, row), 16);
    } else if (x->key.kind == SC_COLUMN_BYTES) {
        uint32_t a, b;
        const uint8_t *p = sc_column_bytes(x, row, &a), *q = sc_column_bytes(y, row, &b);
        assert_int_equal(a, b);
        assert_memory_equal(p, q, a);
    } else {
        assert_int_equal(sc_column_u64(x, row), sc_column_u64(y, row));
    }
}

/* The column of a key; FLOW_START and FLOW_END may have become 152 and 153, and the other way round. */
static inline const struct sc_column *find_exported(const struct table *t, struct sc_column_key key)
{
    const struct sc_column *c = sc_batch_find(t->batch, key);
    if (c != NULL)
        return c;
    if (key.pen == SC_PEN_COLLECTOR && (key.id == SC_IE_FLOW_START || key.id == SC_IE_FLOW_END))
        return sc_batch_find(t->batch,
                             key_of(SC_PEN_IANA, key.id == SC_IE_FLOW_START ? 152 : 153, SC_COLUMN_UINT));
    if (key.pen == SC_PEN_IANA && (key.id == 152 || key.id == 153))
        return sc_batch_find(
            t->batch,
            key_of(SC_PEN_COLLECTOR, key.id == 152 ? SC_IE_FLOW_START : SC_IE_FLOW_END, SC_COLUMN_UINT));
    return NULL;
}

/* Every exported column of x is in y, value by value. */
static inline void assert_within(const struct table *x, const struct table *y)
{
    assert_int_equal(x->batch->rows, y->batch->rows);
    for (uint32_t i = 0; i < x->batch->slots; i++) {
        const struct sc_column *c = x->batch->columns[i];
        if (!is_exported(c))
            continue;
        const struct sc_column *other = find_exported(y, c->key);
        assert_non_null(other);
        for (uint32_t row = 0; row < c->rows; row++)
            assert_same_value(c, other, row);
    }
}

static inline void assert_same_table(const struct table *x, const struct table *y)
{
    assert_within(x, y);
    assert_within(y, x);
}

#endif
