// SPDX-License-Identifier: BSD-3-Clause
#include "forward/encoder.h"

#include "base/array.h"
#include "base/buf.h"

#include <stdlib.h>

#define REFRESH_MESSAGES 1000u
#define REFRESH_S        30u

/* sysUpTime is 32 bits of ms, 49.7 days: before they are used up the exporter "restarts". */
#define BEFORE_MS (UINT64_C(20) * 86400 * 1000)
#define RENEW_MS  (UINT64_C(45) * 86400 * 1000)

struct sc_forward_encoder {
    struct sc_encoder_options options;
    struct sc_encoder *encoder;
    struct sc_buf bytes; /* the messages one after another */
    struct sc_forward_message *messages;
    uint32_t count, capacity;
    uint64_t said; /* records in them, as of the encoder's statistics */
    const struct sc_column **columns;
    uint32_t column_capacity;
};

static uint64_t records_of(const struct sc_encoder *encoder)
{
    struct sc_encoder_stats stats;
    sc_encoder_get_stats(encoder, &stats);
    return stats.flows + stats.options;
}

static enum sc_status emit(void *arg, const uint8_t *message, size_t length)
{
    struct sc_forward_encoder *e = arg;
    uint64_t records = records_of(e->encoder);
    if (!sc_array_reserve(e->messages, e->capacity, e->count + 1))
        return SC_NOMEM;
    sc_buf_append(&e->bytes, message, length);
    if (!sc_buf_ok(&e->bytes))
        return SC_NOMEM;
    e->messages[e->count++] =
        (struct sc_forward_message){.length = (uint32_t)length, .records = (uint32_t)(records - e->said)};
    e->said = records;
    return SC_OK;
}

struct sc_forward_encoder *sc_forward_encoder_create(enum sc_export_protocol protocol, bool stream,
                                                     struct sc_error *err)
{
    struct sc_forward_encoder *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        sc_fail_nomem(err, "a destination");
        return NULL;
    }
    e->options = sc_encoder_default_options();
    e->options.protocol = protocol;
    e->options.max_message = stream ? SC_ENCODER_MESSAGE_MAX : SC_FORWARD_DATAGRAM;
    e->options.reliable = stream;
    e->options.refresh_messages = REFRESH_MESSAGES;
    e->options.refresh_seconds = REFRESH_S;
    e->options.origin = true;
    return e;
}

void sc_forward_encoder_free(struct sc_forward_encoder *e)
{
    if (e == NULL)
        return;
    sc_encoder_free(e->encoder);
    sc_buf_free(&e->bytes);
    free(e->messages);
    free(e->columns);
    free(e);
}

void sc_forward_encoder_restart(struct sc_forward_encoder *e)
{
    if (e->encoder != NULL)
        sc_encoder_restart(e->encoder);
}

void sc_forward_encoder_repeat_templates(struct sc_forward_encoder *e)
{
    if (e->encoder != NULL)
        sc_encoder_repeat_templates(e->encoder);
}

/* An encoder whose sysUpTime covers the clock. */
static enum sc_status need_encoder(struct sc_forward_encoder *e, uint64_t now_ms, struct sc_error *err)
{
    bool relative = e->options.protocol != SC_EXPORT_IPFIX;
    if (e->encoder != NULL && (!relative || now_ms - e->options.system_init_ms < RENEW_MS))
        return SC_OK;
    sc_encoder_free(e->encoder);
    e->options.system_init_ms = now_ms > BEFORE_MS ? now_ms - BEFORE_MS : 1;
    e->encoder = sc_encoder_create(&e->options, emit, e, err);
    return e->encoder != NULL ? SC_OK : err->status;
}

/* ---- options records ---- */

/* Elements that collectors apply to all that comes over the connection. */
static bool is_applied(struct sc_column_key key)
{
    if (key.pen == SC_PEN_COLLECTOR)
        return key.id == SC_IE_SAMPLING_RATE;
    return key.pen == SC_PEN_IANA && (key.id == 34 || key.id == 48 || key.id == 50 || key.id == 160 ||
                                      key.id == 302 || (key.id >= 304 && key.id <= 311));
}

/* SAMPLING_RATE is the collector's own remark; the record itself is not about sampling. */
static bool is_about_sampling(const struct sc_batch *batch, uint32_t row)
{
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i];
        if (c != NULL && c->rows != 0 && c->key.pen != SC_PEN_COLLECTOR && is_applied(c->key) &&
            !sc_column_is_null(c, row))
            return true;
    }
    return false;
}

static const struct sc_column *present(const struct sc_batch *batch, struct sc_column_key key, uint32_t row)
{
    const struct sc_column *c = sc_batch_find(batch, key);
    return c != NULL && !sc_column_is_null(c, row) ? c : NULL;
}

struct scope {
    const struct sc_column *exporter, *domain; /* never NULL in a record that was decoded */
};

/* What the record itself says of its origin goes before what the collector added. */
static struct scope scope_of(const struct sc_batch *batch, uint32_t row)
{
    const struct sc_column_key v4 = {.id = 403, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column_key v6 = {.id = 404, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column_key domain = {.id = 405, .kind = SC_COLUMN_UINT};
    const struct sc_column_key our_exporter = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_EXPORTER_ADDRESS, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column_key our_domain = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_OBSERVATION_DOMAIN, .kind = SC_COLUMN_UINT};
    struct scope s = {present(batch, v4, row), present(batch, domain, row)};
    if (s.exporter == NULL)
        s.exporter = present(batch, v6, row);
    if (s.exporter == NULL)
        s.exporter = present(batch, our_exporter, row);
    if (s.domain == NULL)
        s.domain = present(batch, our_domain, row);
    return s;
}

/* The scope first, then the rest. @return how many. */
static uint32_t arrange(struct sc_forward_encoder *e, const struct sc_batch *batch, const struct scope *s)
{
    uint32_t n = 0;
    e->columns[n++] = s->exporter;
    e->columns[n++] = s->domain;
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i];
        if (c != NULL && c != s->exporter && c != s->domain && !is_applied(c->key))
            e->columns[n++] = c;
    }
    return n;
}

static enum sc_status encode_options(struct sc_forward_encoder *e, const struct sc_batch *batch,
                                     uint32_t first, uint32_t n, uint64_t now_ms, struct sc_error *err)
{
    if (!sc_array_reserve(e->columns, e->column_capacity, batch->slots + 2))
        return sc_fail_nomem(err, "options records");
    for (uint32_t row = first, end; row < first + n; row = end) {
        struct scope s = scope_of(batch, row);
        end = row + 1;
        if (s.exporter == NULL || s.domain == NULL || is_about_sampling(batch, row))
            continue;
        for (; end < first + n && !is_about_sampling(batch, end); end++) {
            struct scope next = scope_of(batch, end);
            if (next.exporter != s.exporter || next.domain != s.domain)
                break;
        }
        SC_TRY(sc_encoder_options_records(e->encoder, e->columns, arrange(e, batch, &s), 2, row, end - row,
                                          now_ms, err));
    }
    return SC_OK;
}

/* ---- batches ---- */

static enum sc_status encode(struct sc_forward_encoder *e, const struct sc_batch *batch, uint32_t first,
                             uint32_t n, uint64_t now_ms, struct sc_error *err)
{
    SC_TRY(need_encoder(e, now_ms, err));
    e->said = records_of(e->encoder);
    if (batch->record_kind == SC_RECORDS_FLOWS)
        SC_TRY(sc_encoder_flows(e->encoder, (const struct sc_column *const *)batch->columns, batch->slots,
                                first, n, now_ms, err));
    else if (e->options.protocol == SC_EXPORT_IPFIX)
        SC_TRY(encode_options(e, batch, first, n, now_ms, err));
    return sc_encoder_flush(e->encoder, now_ms, err);
}

enum sc_status sc_forward_encode(struct sc_forward_encoder *e, const struct sc_batch *batch, uint32_t first,
                                 uint32_t n, uint64_t now_ms, const struct sc_forward_message **messages,
                                 uint32_t *count, struct sc_error *err)
{
    e->count = 0;
    sc_buf_clear(&e->bytes);
    enum sc_status status = encode(e, batch, first, n, now_ms, err);
    if (status != SC_OK && e->encoder != NULL)
        sc_encoder_restart(e->encoder); /* what is left in the open message belongs to no call */
    const uint8_t *at = e->bytes.data;
    for (uint32_t i = 0; i < e->count; i++) {
        e->messages[i].bytes = at;
        at += e->messages[i].length;
    }
    *messages = e->messages;
    *count = e->count;
    return status;
}
