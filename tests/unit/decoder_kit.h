// SPDX-License-Identifier: BSD-3-Clause
/* Export messages written byte by byte, a decoder to send them to, and looks at what came of it. */
#ifndef SC_TEST_DECODER_KIT_H
#define SC_TEST_DECODER_KIT_H

#include "wire/decoder.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

struct kit {
    struct sc_decoder *decoder;
    struct sc_decode_sink sink;
    struct sc_decode_outcome outcome;
    struct sc_error err;
    struct sc_message_source source;
    struct sc_buf message;
    size_t set; /* where the open set begins */
};

/* What an exporter that is new may hold is an eighth of the share. */
#define KIT_SHARE(bytes) ((uint64_t)(bytes)*8)

#define KIT_RECEIVED UINT64_C(1700000000123)
#define KIT_SECONDS  UINT32_C(1700000000)

static inline void kit_open_with(struct kit *k, const struct sc_decoder_limits *limits)
{
    memset(k, 0, sizeof(*k));
    k->decoder = sc_decoder_create(limits, &k->err);
    assert_non_null(k->decoder);
    k->sink.flows = sc_batch_create(SC_RECORDS_FLOWS);
    k->sink.options = sc_batch_create(SC_RECORDS_OPTIONS);
    k->source = (struct sc_message_source){.exporter = sc_addr_v4(0xc0000201),
                                           .port = 40000,
                                           .transport = SC_TRANSPORT_UDP,
                                           .receive_ms = KIT_RECEIVED};
}

static inline void kit_open(struct kit *k)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    kit_open_with(k, &limits);
}

static inline void kit_close(struct kit *k)
{
    sc_decoder_free(k->decoder);
    sc_batch_free(k->sink.flows);
    sc_batch_free(k->sink.options);
    sc_buf_free(&k->message);
}

/* ---- writing ---- */

static inline void put8(struct kit *k, uint8_t v)
{
    sc_buf_append_u8(&k->message, v);
}

static inline void put16(struct kit *k, uint16_t v)
{
    uint8_t b[2];
    sc_store_be16(b, v);
    sc_buf_append(&k->message, b, sizeof(b));
}

static inline void put32(struct kit *k, uint32_t v)
{
    uint8_t b[4];
    sc_store_be32(b, v);
    sc_buf_append(&k->message, b, sizeof(b));
}

static inline void put64(struct kit *k, uint64_t v)
{
    uint8_t b[8];
    sc_store_be64(b, v);
    sc_buf_append(&k->message, b, sizeof(b));
}

static inline void put_bytes(struct kit *k, const void *bytes, size_t n)
{
    sc_buf_append(&k->message, bytes, n);
}

static inline void put_zeros(struct kit *k, size_t n)
{
    while (n-- > 0)
        put8(k, 0);
}

/* 2001:db8::<last> */
static inline void put_v6(struct kit *k, uint32_t last)
{
    put32(k, 0x20010db8);
    put64(k, 0);
    put32(k, last);
}

static inline void begin_v5(struct kit *k, uint16_t count, uint32_t uptime, uint32_t sequence)
{
    sc_buf_clear(&k->message);
    put16(k, 5);
    put16(k, count);
    put32(k, uptime);
    put32(k, KIT_SECONDS);
    put32(k, 500000000); /* ns */
    put32(k, sequence);
    put8(k, 1); /* engine type */
    put8(k, 2); /* engine id */
    put16(k, 0x4000 | 100);
}

static inline void begin_v9_at(struct kit *k, uint32_t uptime, uint32_t seconds, uint32_t sequence,
                               uint32_t domain)
{
    sc_buf_clear(&k->message);
    put16(k, 9);
    put16(k, 1); /* wrong on purpose nearly always, as exporters' are */
    put32(k, uptime);
    put32(k, seconds);
    put32(k, sequence);
    put32(k, domain);
}

static inline void begin_v9(struct kit *k, uint32_t sequence)
{
    begin_v9_at(k, 1000000, KIT_SECONDS, sequence, 7);
}

static inline void begin_ipfix_at(struct kit *k, uint32_t seconds, uint32_t sequence, uint32_t domain)
{
    sc_buf_clear(&k->message);
    put16(k, 10);
    put16(k, 0); /* by deliver */
    put32(k, seconds);
    put32(k, sequence);
    put32(k, domain);
}

static inline void begin_ipfix(struct kit *k, uint32_t sequence)
{
    begin_ipfix_at(k, KIT_SECONDS, sequence, 7);
}

static inline void begin_set(struct kit *k, uint16_t id)
{
    k->set = k->message.len;
    put16(k, id);
    put16(k, 0);
}

static inline void end_set(struct kit *k)
{
    sc_store_be16(k->message.data + k->set + 2, (uint16_t)(k->message.len - k->set));
}

/* Template record: `n` pairs of element id and length follow; ends the set. IPFIX: set 2, v9: set 0. */
static inline void put_template(struct kit *k, uint16_t id, unsigned n, ...)
{
    va_list args;
    begin_set(k, sc_load_be16(k->message.data) == 10 ? 2 : 0);
    put16(k, id);
    put16(k, (uint16_t)n);
    va_start(args, n);
    for (unsigned i = 0; i < 2 * n; i++)
        put16(k, (uint16_t)va_arg(args, int));
    va_end(args);
    end_set(k);
}

/* Options template record: `scopes` of the `n` pairs are scope fields. */
static inline void put_options_template(struct kit *k, uint16_t id, unsigned scopes, unsigned n, ...)
{
    bool ipfix = sc_load_be16(k->message.data) == 10;
    va_list args;
    begin_set(k, ipfix ? 3 : 1);
    put16(k, id);
    put16(k, (uint16_t)(ipfix ? n : scopes * 4));
    put16(k, (uint16_t)(ipfix ? scopes : (n - scopes) * 4));
    va_start(args, n);
    for (unsigned i = 0; i < 2 * n; i++)
        put16(k, (uint16_t)va_arg(args, int));
    va_end(args);
    end_set(k);
}

/* Sends what was written, as it is; the length of an IPFIX header is set when it is still 0. */
static inline enum sc_status deliver(struct kit *k)
{
    assert_true(sc_buf_ok(&k->message));
    uint8_t *p = k->message.data;
    if (k->message.len >= 16 && sc_load_be16(p) == 10 && sc_load_be16(p + 2) == 0)
        sc_store_be16(p + 2, (uint16_t)k->message.len);
    /* An exact copy, so that a sanitizer sees each byte read past the end. */
    uint8_t *copy = malloc(k->message.len + (k->message.len == 0));
    assert_non_null(copy);
    if (k->message.len != 0)
        memcpy(copy, p, k->message.len);
    enum sc_status status =
        sc_decoder_message(k->decoder, &k->source, copy, k->message.len, &k->sink, &k->outcome, &k->err);
    free(copy);
    return status;
}

/* ---- looking ---- */

static inline const struct sc_column *column(const struct sc_batch *batch, uint32_t pen, uint16_t id,
                                             uint8_t instance, enum sc_column_kind kind)
{
    struct sc_column_key key = {.pen = pen, .id = id, .instance = instance, .kind = (uint8_t)kind};
    return sc_batch_find(batch, key);
}

static inline bool is_null(const struct sc_column *c, uint32_t row)
{
    return c == NULL || row >= c->rows || sc_column_is_null(c, row);
}

static inline bool has_uint(const struct sc_batch *batch, uint32_t row, uint32_t pen, uint16_t id)
{
    return !is_null(column(batch, pen, id, 0, SC_COLUMN_UINT), row);
}

static inline uint64_t uint_at(const struct sc_batch *batch, uint32_t row, uint32_t pen, uint16_t id)
{
    const struct sc_column *c = column(batch, pen, id, 0, SC_COLUMN_UINT);
    assert_false(is_null(c, row));
    return sc_column_u64(c, row);
}

#define flow_u(k, row, id)       uint_at((k)->sink.flows, row, SC_PEN_IANA, id)
#define flow_own(k, row, id)     uint_at((k)->sink.flows, row, SC_PEN_COLLECTOR, id)
#define flow_has(k, row, id)     has_uint((k)->sink.flows, row, SC_PEN_IANA, id)
#define flow_has_own(k, row, id) has_uint((k)->sink.flows, row, SC_PEN_COLLECTOR, id)

static inline bool has_addr(const struct sc_batch *batch, uint32_t row, uint32_t pen, uint16_t id)
{
    return !is_null(column(batch, pen, id, 0, SC_COLUMN_ADDRESS), row);
}

static inline void assert_addr(const struct sc_batch *batch, uint32_t row, uint32_t pen, uint16_t id,
                               const char *text)
{
    char found[SC_ADDR_TEXT_MAX];
    const struct sc_column *c = column(batch, pen, id, 0, SC_COLUMN_ADDRESS);
    assert_false(is_null(c, row));
    sc_addr_format(sc_column_addr(c, row), found);
    assert_string_equal(found, text);
}

static inline void assert_bytes(const struct sc_batch *batch, uint32_t row, uint32_t pen, uint16_t id,
                                uint8_t instance, const void *bytes, uint32_t length)
{
    uint32_t found;
    const struct sc_column *c = column(batch, pen, id, instance, SC_COLUMN_BYTES);
    assert_false(is_null(c, row));
    const uint8_t *p = sc_column_bytes(c, row, &found);
    assert_int_equal(found, length);
    if (length != 0)
        assert_memory_equal(p, bytes, length);
}

/* The account of a version and domain of the kit's source address; asserts that there is one. */
struct kit_wanted {
    uint8_t version;
    uint32_t domain;
    unsigned found;
    struct sc_exporter_stats stats;
};

static inline bool kit_visit(void *arg, const struct sc_exporter_stats *stats)
{
    struct kit_wanted *w = arg;
    if (stats->version == w->version && stats->domain == w->domain) {
        w->stats = *stats;
        w->found++;
    }
    return true;
}

static inline struct sc_exporter_stats stats_of(struct kit *k, uint8_t version, uint32_t domain)
{
    struct kit_wanted w = {.version = version, .domain = domain};
    sc_decoder_each_exporter(k->decoder, kit_visit, &w);
    assert_int_equal(w.found, 1);
    return w.stats;
}

#endif
