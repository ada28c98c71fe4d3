// SPDX-License-Identifier: BSD-3-Clause
/* One message: header, sets, template records, sequence number. */
#include "wire/encoder_types.h"

enum { V5_HEADER = 24, V9_HEADER = 20, IPFIX_HEADER = 16 };

static void put_v5_header(struct sc_encoder *e)
{
    uint8_t *h = e->message;
    sc_store_be16(h, 5);
    sc_store_be16(h + 2, (uint16_t)e->records);
    sc_store_be32(h + 4, (uint32_t)(e->now_ms - e->options.system_init_ms));
    sc_store_be32(h + 8, (uint32_t)(e->now_ms / 1000));
    sc_store_be32(h + 12, (uint32_t)(e->now_ms % 1000 * 1000000));
    sc_store_be32(h + 16, e->sequence);
    sc_store_be16(h + 20, (uint16_t)e->options.domain);
    sc_store_be16(h + 22, (uint16_t)e->sampling);
    e->sequence += e->records;
}

static uint32_t header_length(const struct sc_encoder *e)
{
    enum sc_export_protocol protocol = e->options.protocol;
    return protocol == SC_EXPORT_V5 ? V5_HEADER : protocol == SC_EXPORT_V9 ? V9_HEADER : IPFIX_HEADER;
}

void sc_encoder_message_open(struct sc_encoder *e)
{
    e->length = header_length(e);
    e->set_start = 0;
    e->records = 0;
    e->data_records = 0;
    e->flow_records = 0;
}

/*
 * v9 pads sets to whole words (RFC 3954 section 5.3), unless the padding could be taken for another record;
 * IPFIX sets follow each other without.
 */
static uint32_t padding(const struct sc_encoder *e)
{
    uint32_t bytes = (4 - e->length % 4) % 4;
    return e->options.protocol == SC_EXPORT_V9 && e->set_start != 0 && bytes < e->set_record ? bytes : 0;
}

static void close_set(struct sc_encoder *e)
{
    if (e->set_start == 0)
        return;
    for (uint32_t n = padding(e); n > 0; n--)
        e->message[e->length++] = 0;
    sc_store_be16(e->message + e->set_start, e->set_id);
    sc_store_be16(e->message + e->set_start + 2, (uint16_t)(e->length - e->set_start));
    e->set_start = 0;
}

static void put_v9_header(struct sc_encoder *e)
{
    uint64_t seconds = (e->now_ms + 999) / 1000;
    uint8_t *h = e->message;
    sc_store_be16(h, 9);
    sc_store_be16(h + 2, (uint16_t)e->records);
    sc_store_be32(h + 4, (uint32_t)(seconds * 1000 - e->options.system_init_ms));
    sc_store_be32(h + 8, (uint32_t)seconds);
    sc_store_be32(h + 12, e->sequence);
    sc_store_be32(h + 16, e->options.domain);
    e->sequence++;
}

static void put_ipfix_header(struct sc_encoder *e)
{
    uint8_t *h = e->message;
    sc_store_be16(h, 10);
    sc_store_be16(h + 2, (uint16_t)e->length);
    sc_store_be32(h + 4, (uint32_t)(e->now_ms / 1000));
    sc_store_be32(h + 8, e->sequence);
    sc_store_be32(h + 12, e->options.domain);
    e->sequence += e->data_records;
}

enum sc_status sc_encoder_message_close(struct sc_encoder *e)
{
    if (e->length == 0)
        return SC_OK;
    close_set(e);
    if (e->options.protocol == SC_EXPORT_V5)
        put_v5_header(e);
    else if (e->options.protocol == SC_EXPORT_V9)
        put_v9_header(e);
    else
        put_ipfix_header(e);
    e->stats.messages++;
    e->stats.bytes += e->length;
    e->stats.flows += e->flow_records;
    e->stats.options += e->data_records - e->flow_records;
    uint32_t length = e->length;
    e->length = 0;
    enum sc_status status = e->emit(e->arg, e->message, length);
    return status == SC_OK ? SC_OK : sc_fail(e->err, status, "an export message could not be sent");
}

bool sc_encoder_has_room(const struct sc_encoder *e, uint16_t id, uint32_t bytes)
{
    uint32_t at = e->length == 0 ? header_length(e) : e->length;
    if (e->set_start == 0)
        return at + ENCODER_SET_HEADER + bytes <= e->limit;
    if (e->set_id == id)
        return at + bytes <= e->limit;
    return at + padding(e) + ENCODER_SET_HEADER + bytes <= e->limit;
}

void sc_encoder_set_open(struct sc_encoder *e, uint16_t id, uint32_t record_length)
{
    if (e->length == 0)
        sc_encoder_message_open(e);
    if (e->set_start != 0 && e->set_id == id)
        return;
    close_set(e);
    e->set_start = e->length;
    e->set_id = id;
    e->set_record = record_length;
    e->length += ENCODER_SET_HEADER;
}

void sc_encoder_repeat_templates(struct sc_encoder *e)
{
    for (uint32_t i = 0; i < e->template_count; i++)
        e->templates[i]->sent = false;
}

void sc_encoder_refresh(struct sc_encoder *e)
{
    const struct sc_encoder_options *o = &e->options;
    if (o->reliable || e->length != 0 || !e->data_since_refresh)
        return;
    bool by_count =
        o->refresh_messages != 0 && e->stats.messages - e->refreshed_messages >= o->refresh_messages;
    bool by_time =
        o->refresh_seconds != 0 && e->now_ms >= e->refreshed_ms + o->refresh_seconds * UINT64_C(1000);
    if (!by_count && !by_time)
        return;
    sc_encoder_repeat_templates(e);
    e->data_since_refresh = false;
    e->refreshed_ms = e->now_ms;
    e->refreshed_messages = e->stats.messages;
}

static uint32_t spec_length(const struct sc_encoder *e, const struct encoder_spec *spec)
{
    return e->options.protocol == SC_EXPORT_IPFIX && spec->pen != SC_PEN_IANA ? 8 : 4;
}

static uint32_t template_length(const struct sc_encoder *e, const struct encoder_template *t)
{
    uint32_t length = t->scope_count != 0 ? 6 : 4;
    for (uint32_t i = 0; i < t->field_count; i++)
        length += spec_length(e, &t->fields[i]);
    return length;
}

bool sc_encoder_fits(const struct sc_encoder *e, const struct encoder_template *t, uint32_t record_length)
{
    uint32_t room = e->limit - header_length(e) - ENCODER_SET_HEADER;
    return template_length(e, t) <= room && record_length <= room;
}

static uint16_t template_set_id(const struct sc_encoder *e, const struct encoder_template *t)
{
    uint16_t base = e->options.protocol == SC_EXPORT_V9 ? 0 : 2;
    return (uint16_t)(base + (t->scope_count != 0));
}

/* Options templates: IPFIX counts fields and scope fields, v9 their lengths in bytes (RFC 3954 section 6.1). */
static void put_template_header(struct sc_encoder *e, const struct encoder_template *t, uint8_t *out)
{
    sc_store_be16(out, t->id);
    if (t->scope_count == 0) {
        sc_store_be16(out + 2, (uint16_t)t->field_count);
    } else if (e->options.protocol == SC_EXPORT_IPFIX) {
        sc_store_be16(out + 2, (uint16_t)t->field_count);
        sc_store_be16(out + 4, (uint16_t)t->scope_count);
    } else {
        sc_store_be16(out + 2, (uint16_t)(4 * t->scope_count));
        sc_store_be16(out + 4, (uint16_t)(4 * (t->field_count - t->scope_count)));
    }
}

static uint8_t *put_spec(const struct sc_encoder *e, const struct encoder_spec *spec, uint8_t *out)
{
    bool enterprise = spec_length(e, spec) == 8;
    sc_store_be16(out, (uint16_t)(spec->id | (enterprise ? ENCODER_ENTERPRISE : 0)));
    sc_store_be16(out + 2, spec->length);
    if (enterprise)
        sc_store_be32(out + 4, spec->pen);
    return out + (enterprise ? 8 : 4);
}

static enum sc_status make_room(struct sc_encoder *e, uint16_t id, uint32_t bytes)
{
    if (!sc_encoder_has_room(e, id, bytes))
        SC_TRY(sc_encoder_message_close(e));
    sc_encoder_set_open(e, id, 4);
    return SC_OK;
}

enum sc_status sc_encoder_send_template(struct sc_encoder *e, struct encoder_template *t)
{
    uint32_t bytes = template_length(e, t);
    SC_TRY(make_room(e, template_set_id(e, t), bytes));
    put_template_header(e, t, e->message + e->length);
    uint8_t *out = e->message + e->length + (t->scope_count != 0 ? 6 : 4);
    for (uint32_t i = 0; i < t->field_count; i++)
        out = put_spec(e, &t->fields[i], out);
    e->length += bytes;
    e->records++;
    e->stats.templates++;
    t->sent = true;
    return SC_OK;
}

enum sc_status sc_encoder_withdraw(struct sc_encoder *e, const struct encoder_template *t)
{
    SC_TRY(make_room(e, template_set_id(e, t), 4));
    sc_store_be16(e->message + e->length, t->id);
    sc_store_be16(e->message + e->length + 2, 0);
    e->length += 4;
    e->records++;
    return SC_OK;
}
