// SPDX-License-Identifier: BSD-3-Clause
/* NetFlow v5: a header of 24 bytes and up to 30 records of 48, made of `fields` and two times; what else is in them is 0. */
#include "base/clock.h"
#include "wire/encoder_types.h"

enum { V5_RECORD = 48, V5_RECORDS = 30, V5_AS_TRANS = 23456, V5_SAMPLING_MAX = 0x3fff };
enum { FIRST_AT = 24, LAST_AT = 28 };

/* Those that are more than copied. */
enum { SOURCE, DESTINATION, NEXT_HOP, SOURCE_AS, DESTINATION_AS, INPUT, OUTPUT, PACKETS, BYTES, FLAGS };

static const struct {
    uint16_t id;        /* up to NEXT_HOP an address of the collector's, else a number of IANA's */
    uint8_t at, length; /* in the record */
} fields[] = {
    [SOURCE] = {SC_IE_SOURCE_ADDRESS, 0, 4},
    [DESTINATION] = {SC_IE_DESTINATION_ADDRESS, 4, 4},
    [NEXT_HOP] = {SC_IE_NEXT_HOP, 8, 4},
    [SOURCE_AS] = {16, 40, 2},
    [DESTINATION_AS] = {17, 42, 2},
    [INPUT] = {10, 12, 2},
    [OUTPUT] = {14, 14, 2},
    [PACKETS] = {2, 16, 4},
    [BYTES] = {1, 20, 4},
    [FLAGS] = {6, 37, 1},
    {7, 32, 2},  /* source port */
    {11, 34, 2}, /* destination port */
    {4, 38, 1},  /* protocol */
    {5, 39, 1},  /* type of service */
    {9, 44, 1},  /* source prefix length */
    {13, 45, 1}, /* destination prefix length */
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

/* The columns that a v5 record is made of; NULL where there is none. */
struct v5_columns {
    const struct sc_column *of[FIELDS];
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
    struct v5_columns v = {.sampling =
                               find(columns, count, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, SC_COLUMN_UINT)};
    for (unsigned f = 0; f < FIELDS; f++)
        v.of[f] = f <= NEXT_HOP ? find(columns, count, SC_PEN_COLLECTOR, fields[f].id, SC_COLUMN_ADDRESS)
                                : find(columns, count, SC_PEN_IANA, fields[f].id, SC_COLUMN_UINT);
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
    const struct sc_column *const *of = v->of;
    if (!is_v4(of[SOURCE], row) || !is_v4(of[DESTINATION], row))
        return false;
    if (has_value(of[NEXT_HOP], row) && !is_v4(of[NEXT_HOP], row))
        return false;
    if (!has_value(of[PACKETS], row) || !has_value(of[BYTES], row))
        return false;
    if ((sc_encoder_load(of[PACKETS], row) | sc_encoder_load(of[BYTES], row)) > UINT32_MAX)
        return false;
    if ((number_of(of[INPUT], row) | number_of(of[OUTPUT], row)) > UINT16_MAX ||
        number_of(of[FLAGS], row) > UINT8_MAX)
        return false;
    uint64_t sampling = number_of(v->sampling, row);
    if (sampling > V5_SAMPLING_MAX)
        return false;
    out->sampling = sampling == 0 ? 0 : 1u << 14 | (uint32_t)sampling;
    return uptime_of(e, v->first, row, &out->first) && uptime_of(e, v->last, row, &out->last);
}

static void put_addresses(const struct sc_column *c, uint32_t row, uint32_t n, uint8_t *out)
{
    for (uint32_t i = 0; i < n; i++, out += V5_RECORD)
        if (!sc_column_is_null(c, row + i))
            memcpy(out, sc_column_addr(c, row + i)->b + 12, 4);
}

static void put_as(const struct sc_column *c, uint32_t row, uint32_t n, uint8_t *out)
{
    for (uint32_t i = 0; i < n; i++, out += V5_RECORD) {
        uint64_t as = sc_encoder_load(c, row + i);
        sc_store_be16(out, (uint16_t)(as > UINT16_MAX ? V5_AS_TRANS : as));
    }
}

/* `n` values of a column down the records; those of absent values stay 0. */
static void put_field(unsigned field, const struct sc_column *c, uint32_t row, uint32_t n, uint8_t *out)
{
    if (field <= NEXT_HOP)
        put_addresses(c, row, n, out);
    else if (field <= DESTINATION_AS)
        put_as(c, row, n, out);
    else
        sc_encoder_put_uints(c, fields[field].length, row, n, out, V5_RECORD);
}

static void put_records(struct sc_encoder *e, const struct v5_columns *v, uint32_t row, uint32_t n,
                        const struct v5_row *rows)
{
    uint8_t *out = e->message + e->length;
    memset(out, 0, (size_t)n * V5_RECORD);
    for (unsigned f = 0; f < FIELDS; f++) {
        if (v->of[f] != NULL)
            put_field(f, v->of[f], row, n, out + fields[f].at);
    }
    for (uint32_t i = 0; i < n; i++, out += V5_RECORD) {
        sc_store_be32(out + FIRST_AT, rows[i].first);
        sc_store_be32(out + LAST_AT, rows[i].last);
    }
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
