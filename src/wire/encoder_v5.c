// SPDX-License-Identifier: BSD-3-Clause
/*
 * NetFlow v5: a header of 24 bytes and up to 30 records of 48. Offsets in the record:
 *
 *   0 srcaddr  4 dstaddr  8 nexthop  12 input(2) 14 output(2)  16 packets 20 octets  24 first 28 last
 *   32 srcport(2) 34 dstport(2)  36 pad 37 tcp_flags 38 proto 39 tos  40 src_as(2) 42 dst_as(2)
 *   44 src_mask 45 dst_mask  46 pad(2)
 */
#include "base/clock.h"
#include "wire/encoder_types.h"

enum { V5_HEADER = 24, V5_RECORD = 48, V5_RECORDS = 30, V5_AS_TRANS = 23456, V5_SAMPLING_MAX = 0x3fff };

/* The columns that a v5 record is made of; NULL where there is none. */
struct v5_columns {
    const struct sc_column *source, *destination, *next_hop;
    const struct sc_column *input, *output, *packets, *bytes;
    const struct sc_column *source_port, *destination_port, *flags, *protocol, *tos;
    const struct sc_column *source_as, *destination_as, *source_length, *destination_length;
    const struct sc_column *first[5], *last[5]; /* FLOW_*, milliseconds, seconds, microseconds, nanoseconds */
    const struct sc_column *sampling;
};

/* What one record needs beyond plain copying. */
struct v5_row {
    uint32_t first, last;
    uint32_t sampling;
};

static const struct sc_column *find(const struct sc_column *const *columns, uint32_t count, uint32_t pen,
                                    uint16_t id, enum sc_column_kind kind)
{
    struct sc_column_key key = {pen, id, 0, (uint8_t)kind};
    for (uint32_t i = 0; i < count; i++)
        if (columns[i] != NULL && columns[i]->rows != 0 && sc_column_key_equal(columns[i]->key, key))
            return columns[i];
    return NULL;
}

static void find_times(const struct sc_column *const *columns, uint32_t count, bool start,
                       const struct sc_column *out[5])
{
    static const uint16_t starts[] = {152, 150, 154, 156};
    out[0] =
        find(columns, count, SC_PEN_COLLECTOR, start ? SC_IE_FLOW_START : SC_IE_FLOW_END, SC_COLUMN_UINT);
    for (unsigned i = 0; i < 4; i++)
        out[i + 1] = find(columns, count, SC_PEN_IANA, (uint16_t)(starts[i] + !start), SC_COLUMN_UINT);
}

static struct v5_columns find_columns(const struct sc_column *const *columns, uint32_t count)
{
#define ADDRESS(id) find(columns, count, SC_PEN_COLLECTOR, id, SC_COLUMN_ADDRESS)
#define NUMBER(id)  find(columns, count, SC_PEN_IANA, id, SC_COLUMN_UINT)
    struct v5_columns v = {
        .source = ADDRESS(SC_IE_SOURCE_ADDRESS),
        .destination = ADDRESS(SC_IE_DESTINATION_ADDRESS),
        .next_hop = ADDRESS(SC_IE_NEXT_HOP),
        .input = NUMBER(10),
        .output = NUMBER(14),
        .packets = NUMBER(2),
        .bytes = NUMBER(1),
        .source_port = NUMBER(7),
        .destination_port = NUMBER(11),
        .flags = NUMBER(6),
        .protocol = NUMBER(4),
        .tos = NUMBER(5),
        .source_as = NUMBER(16),
        .destination_as = NUMBER(17),
        .source_length = NUMBER(9),
        .destination_length = NUMBER(13),
        .sampling = find(columns, count, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, SC_COLUMN_UINT),
    };
#undef ADDRESS
#undef NUMBER
    find_times(columns, count, true, v.first);
    find_times(columns, count, false, v.last);
    return v;
}

static bool has_value(const struct sc_column *c, uint32_t row)
{
    return c != NULL && !sc_column_is_null(c, row);
}

static uint64_t number_of(const struct sc_column *c, uint32_t row)
{
    return c == NULL ? 0 : sc_encoder_load(c, row);
}

/* ms UTC of the first present of the five kinds of time. */
static bool time_of(const struct sc_column *const columns[5], uint32_t row, uint64_t *ms)
{
    for (unsigned i = 0; i < 5; i++) {
        if (!has_value(columns[i], row))
            continue;
        uint64_t v = sc_encoder_load(columns[i], row);
        *ms = i < 2 ? v : i == 2 ? v * 1000 : sc_ntp_to_ms(v);
        return true;
    }
    return false;
}

static bool uptime_of(const struct sc_encoder *e, const struct sc_column *const columns[5], uint32_t row,
                      uint32_t *out)
{
    uint64_t ms;
    if (!time_of(columns, row, &ms) || ms - e->options.system_init_ms > UINT32_MAX)
        return false;
    *out = (uint32_t)(ms - e->options.system_init_ms);
    return true;
}

static bool is_v4(const struct sc_column *c, uint32_t row)
{
    return has_value(c, row) && sc_addr_is_v4(sc_column_addr(c, row));
}

/* Fills *out; false when a v5 record cannot say it. */
static bool examine(const struct sc_encoder *e, const struct v5_columns *v, uint32_t row, struct v5_row *out)
{
    if (!is_v4(v->source, row) || !is_v4(v->destination, row))
        return false;
    if (has_value(v->next_hop, row) && !is_v4(v->next_hop, row))
        return false;
    if (!has_value(v->packets, row) || !has_value(v->bytes, row))
        return false;
    if ((sc_encoder_load(v->packets, row) | sc_encoder_load(v->bytes, row)) > UINT32_MAX)
        return false;
    if ((number_of(v->input, row) | number_of(v->output, row)) > UINT16_MAX ||
        number_of(v->flags, row) > UINT8_MAX)
        return false;
    uint64_t sampling = number_of(v->sampling, row);
    if (sampling > V5_SAMPLING_MAX)
        return false;
    out->sampling = sampling == 0 ? 0 : 1u << 14 | (uint32_t)sampling;
    return uptime_of(e, v->first, row, &out->first) && uptime_of(e, v->last, row, &out->last);
}

/* `n` values of a column down the records; those of absent values stay 0. */
static void put_numbers(const struct sc_column *c, unsigned length, uint32_t row, uint32_t n, uint8_t *out)
{
    if (c != NULL)
        sc_encoder_put_uints(c, length, row, n, out, V5_RECORD);
}

static void put_addresses(const struct sc_column *c, uint32_t row, uint32_t n, uint8_t *out)
{
    for (uint32_t i = 0; c != NULL && i < n; i++, out += V5_RECORD)
        if (!sc_column_is_null(c, row + i))
            memcpy(out, sc_column_addr(c, row + i)->b + 12, 4);
}

static void put_as(const struct sc_column *c, uint32_t row, uint32_t n, uint8_t *out)
{
    for (uint32_t i = 0; c != NULL && i < n; i++, out += V5_RECORD) {
        uint64_t as = sc_encoder_load(c, row + i);
        sc_store_be16(out, (uint16_t)(as > UINT16_MAX ? V5_AS_TRANS : as));
    }
}

static void put_records(struct sc_encoder *e, const struct v5_columns *v, uint32_t row, uint32_t n,
                        const struct v5_row *rows)
{
    uint8_t *out = e->message + e->length;
    memset(out, 0, (size_t)n * V5_RECORD);
    put_addresses(v->source, row, n, out);
    put_addresses(v->destination, row, n, out + 4);
    put_addresses(v->next_hop, row, n, out + 8);
    put_numbers(v->input, 2, row, n, out + 12);
    put_numbers(v->output, 2, row, n, out + 14);
    put_numbers(v->packets, 4, row, n, out + 16);
    put_numbers(v->bytes, 4, row, n, out + 20);
    for (uint32_t i = 0; i < n; i++) {
        sc_store_be32(out + i * V5_RECORD + 24, rows[i].first);
        sc_store_be32(out + i * V5_RECORD + 28, rows[i].last);
    }
    put_numbers(v->source_port, 2, row, n, out + 32);
    put_numbers(v->destination_port, 2, row, n, out + 34);
    put_numbers(v->flags, 1, row, n, out + 37);
    put_numbers(v->protocol, 1, row, n, out + 38);
    put_numbers(v->tos, 1, row, n, out + 39);
    put_as(v->source_as, row, n, out + 40);
    put_as(v->destination_as, row, n, out + 42);
    put_numbers(v->source_length, 1, row, n, out + 44);
    put_numbers(v->destination_length, 1, row, n, out + 45);
    e->length += n * V5_RECORD;
    e->records += n;
    e->data_records += n;
    e->flow_records += n;
}

/* A run of expressible rows with one sampling word, up to the end of the message. */
static uint32_t take_run(const struct sc_encoder *e, const struct v5_columns *v, uint32_t row, uint32_t limit,
                         struct v5_row *rows)
{
    uint32_t n = 0;
    while (n < limit && examine(e, v, row + n, &rows[n]) && rows[n].sampling == rows[0].sampling)
        n++;
    return n;
}

enum sc_status sc_encoder_v5_rows(struct sc_encoder *e, const struct sc_column *const *columns,
                                  uint32_t count, uint32_t first, uint32_t n)
{
    struct v5_columns v = find_columns(columns, count);
    struct v5_row rows[V5_RECORDS];
    for (uint32_t row = first; row < first + n;) {
        uint32_t room = V5_RECORDS - (e->length == 0 ? 0 : e->records);
        uint32_t left = first + n - row;
        uint32_t run = take_run(e, &v, row, left < room ? left : room, rows);
        if (run == 0) {
            e->stats.skipped++;
            row++;
            continue;
        }
        if (e->length != 0 && e->sampling != rows[0].sampling) {
            SC_TRY(sc_encoder_message_close(e));
            continue;
        }
        if (e->length == 0)
            sc_encoder_message_open(e);
        e->sampling = rows[0].sampling;
        put_records(e, &v, row, run, rows);
        row += run;
        if (e->records == V5_RECORDS)
            SC_TRY(sc_encoder_message_close(e));
    }
    return SC_OK;
}
