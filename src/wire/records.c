// SPDX-License-Identifier: BSD-3-Clause
/*
 * The records of one data set, field by field: each operation of the template makes one pass over the records
 * and writes one column.
 */
#include "wire/run.h"

#include "wire/options.h"

/* ---- columns ---- */

static struct sc_column *begin_key(const struct sc_run *run, uint32_t *slot, struct sc_column_key key,
                                   unsigned width)
{
    return sc_batch_begin(run->batch, key, slot, width, run->count);
}

static unsigned integer_width(uint32_t length)
{
    return length <= 2 ? length : length <= 4 ? 4 : 8;
}

/* Where the values of one field of fixed length lie: by a stride, or by the positions of its stretches. */
struct places {
    const uint8_t *base;
    size_t stride;             /* records of fixed length */
    const uint32_t *positions; /* others; NULL: the stride */
    size_t step;
    uint32_t count;
};

static struct places places_of(const struct sc_run *run, const struct sc_op *op)
{
    const struct sc_template *t = run->template_record;
    return (struct places){.base = run->base + op->offset,
                           .stride = t->record_length,
                           .positions = run->positions == NULL ? NULL : run->positions + op->anchor,
                           .step = t->anchor_count,
                           .count = run->count};
}

/* TYPE is a type's name: it cannot stand in parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define FILL_LOOP(TYPE, LOAD)                                                                                \
    if (at->positions == NULL) {                                                                             \
        const uint8_t *p = at->base;                                                                         \
        for (uint32_t i = 0; i < at->count; i++, p += at->stride)                                            \
            out[i] = (TYPE)(LOAD);                                                                           \
    } else {                                                                                                 \
        const uint32_t *position = at->positions;                                                            \
        for (uint32_t i = 0; i < at->count; i++, position += at->step) {                                     \
            const uint8_t *p = at->base + *position;                                                         \
            out[i] = (TYPE)(LOAD);                                                                           \
        }                                                                                                    \
    }

#define DEFINE_FILL(NAME, TYPE)                                                                              \
    static void NAME(TYPE *out, const struct places *at, uint32_t length)                                    \
    {                                                                                                        \
        switch (length) {                                                                                    \
        case 1:                                                                                              \
            FILL_LOOP(TYPE, *p);                                                                             \
            break;                                                                                           \
        case 2:                                                                                              \
            FILL_LOOP(TYPE, sc_load_be16(p));                                                                \
            break;                                                                                           \
        case 4:                                                                                              \
            FILL_LOOP(TYPE, sc_load_be32(p));                                                                \
            break;                                                                                           \
        case 8:                                                                                              \
            FILL_LOOP(TYPE, sc_load_be64(p));                                                                \
            break;                                                                                           \
        default:                                                                                             \
            FILL_LOOP(TYPE, sc_load_be(p, length));                                                          \
            break;                                                                                           \
        }                                                                                                    \
    }

/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_FILL(fill_u8, uint8_t)
DEFINE_FILL(fill_u16, uint16_t)
DEFINE_FILL(fill_u32, uint32_t)
DEFINE_FILL(fill_u64, uint64_t)

/* Unsigned integers of fixed length: the way of nearly all bytes. */
static enum sc_status put_uints(const struct sc_run *run, struct sc_op *op)
{
    struct sc_column *c = begin_key(run, &op->slot, op->key, integer_width(op->length));
    if (c == NULL)
        return SC_NOMEM;
    struct places at = places_of(run, op);
    switch (c->width) {
    case 1:
        fill_u8((uint8_t *)c->values + c->rows, &at, op->length);
        break;
    case 2:
        fill_u16((uint16_t *)c->values + c->rows, &at, op->length);
        break;
    case 4:
        fill_u32((uint32_t *)c->values + c->rows, &at, op->length);
        break;
    default:
        fill_u64((uint64_t *)c->values + c->rows, &at, op->length);
        break;
    }
    c->rows += run->count;
    return SC_OK;
}

static struct sc_addr load_address(const uint8_t *p, uint32_t length)
{
    struct sc_addr a;
    if (length == 4)
        return sc_addr_v4(sc_load_be32(p));
    memcpy(a.b, p, sizeof(a.b));
    return a;
}

static enum sc_status put_value(struct sc_column *c, const struct sc_op *op, const uint8_t *p,
                                uint32_t length)
{
    switch (op->key.kind) {
    case SC_COLUMN_ADDRESS: {
        struct sc_addr a = load_address(p, length);
        sc_column_put_addr(c, &a);
        return SC_OK;
    }
    case SC_COLUMN_FLOAT: {
        double d = sc_load_be_float(p, length);
        uint64_t bits;
        memcpy(&bits, &d, sizeof(bits));
        sc_column_put_u64(c, bits);
        return SC_OK;
    }
    case SC_COLUMN_INT: {
        unsigned shift = (64 - 8 * length) & 63; /* of 1 to 8 bytes */
        sc_column_put_u64(c, (uint64_t)((int64_t)(sc_load_be(p, length) << shift) >> shift));
        return SC_OK;
    }
    case SC_COLUMN_BYTES:
        return sc_column_put_bytes(c, p, length);
    default:
        sc_column_put_u64(c, sc_load_be(p, length));
        return SC_OK;
    }
}

/* Values of fixed length, one at a time. */
static enum sc_status put_fixed(const struct sc_run *run, struct sc_op *op)
{
    unsigned width = op->key.kind == SC_COLUMN_FLOAT ? 8 : integer_width(op->length);
    struct sc_column *c = begin_key(run, &op->slot, op->key, width);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++)
        SC_TRY(put_value(c, op, sc_run_cell(run, op, i), op->length));
    return SC_OK;
}

/* ---- values of variable length ---- */

/* An element of any type may be sent so: what is not of the type's length goes to a BYTES column. */
static bool value_fits(const struct sc_op *op, uint32_t length)
{
    return sc_column_length_fits((enum sc_ie_type)op->type, length);
}

static enum sc_status put_fitting(const struct sc_run *run, struct sc_op *op, unsigned width)
{
    struct sc_column *c = begin_key(run, &op->slot, op->key, width);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t length = sc_run_cell_length(run, op, i);
        SC_TRY(value_fits(op, length) ? put_value(c, op, sc_run_cell(run, op, i), length)
                                      : sc_column_put_null(c));
    }
    return SC_OK;
}

static enum sc_status put_unfitting(const struct sc_run *run, struct sc_op *op)
{
    struct sc_column_key key = op->key;
    key.kind = SC_COLUMN_BYTES;
    struct sc_column *c = begin_key(run, &op->alt_slot, key, 0);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t length = sc_run_cell_length(run, op, i);
        bool keep = length != 0 && !value_fits(op, length);
        SC_TRY(keep ? sc_column_put_bytes(c, sc_run_cell(run, op, i), length) : sc_column_put_null(c));
    }
    return SC_OK;
}

static enum sc_status put_variable(const struct sc_run *run, struct sc_op *op)
{
    uint32_t fitting = 0, unfitting = 0;
    unsigned width = 1;
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t length = sc_run_cell_length(run, op, i);
        if (value_fits(op, length)) {
            fitting++;
            unsigned w = length > 8 ? 8 : integer_width(length);
            width = w > width ? w : width;
        } else {
            unfitting += length != 0;
        }
    }
    if (op->key.kind == SC_COLUMN_FLOAT)
        width = 8;
    if (fitting != 0)
        SC_TRY(put_fitting(run, op, width));
    return unfitting == 0 ? SC_OK : put_unfitting(run, op);
}

/* ---- addresses ---- */

/* The element's own column, beside the unified one. */
static struct sc_column *begin_raw(const struct sc_run *run, struct sc_op *op)
{
    const struct sc_column_key key = {.pen = SC_PEN_IANA, .id = op->element, .kind = SC_COLUMN_ADDRESS};
    return begin_key(run, &op->alt_slot, key, sizeof(struct sc_addr));
}

/* Rows of a unified column that hold ::ffff:a.b.c.d from an IPv6 element say so by its own column. */
static enum sc_status keep_mapped(const struct sc_run *run, struct sc_op *op, const struct sc_addr *values)
{
    uint32_t mapped = 0;
    for (uint32_t i = 0; i < run->count; i++)
        mapped += sc_addr_is_v4(&values[i]);
    if (mapped == 0)
        return SC_OK;
    struct sc_column *c = begin_raw(run, op);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++) {
        if (sc_addr_is_v4(&values[i]))
            sc_column_put_addr(c, &values[i]);
        else
            SC_TRY(sc_column_put_null(c));
    }
    return SC_OK;
}

static enum sc_status put_unified(const struct sc_run *run, struct sc_op *op)
{
    struct sc_column *c = begin_key(run, &op->slot, op->key, sizeof(struct sc_addr));
    if (c == NULL)
        return SC_NOMEM;
    struct sc_addr *out = (struct sc_addr *)c->values + c->rows;
    if (op->length == 4) {
        for (uint32_t i = 0; i < run->count; i++)
            out[i] = sc_addr_v4(sc_load_be32(sc_run_cell(run, op, i)));
    } else {
        for (uint32_t i = 0; i < run->count; i++)
            memcpy(out[i].b, sc_run_cell(run, op, i), sizeof(out[i].b));
    }
    c->rows += run->count;
    return op->length == 4 ? SC_OK : keep_mapped(run, op, out);
}

/* Some records carry both families: ipVersion decides, else the one that is not zero; IPv4 when that decides nothing. */
static bool choose_v6(const struct sc_run *run, uint32_t i, const uint8_t *v4, const uint8_t *v6)
{
    static const uint8_t zero[16];
    uint64_t version;
    if (sc_run_special(run, SC_SPECIAL_IP_VERSION, i, &version) && (version == 4 || version == 6))
        return version == 6;
    return sc_load_be32(v4) == 0 && memcmp(v6, zero, sizeof(zero)) != 0;
}

struct pair_columns {
    struct sc_column *unified, *v4, *v6;
};

static enum sc_status put_pair_record(const struct pair_columns *to, const uint8_t *p4, const uint8_t *p6,
                                      bool v6)
{
    struct sc_addr a4 = load_address(p4, 4), a6 = load_address(p6, 16);
    sc_column_put_addr(to->unified, v6 ? &a6 : &a4);
    if (v6)
        sc_column_put_addr(to->v4, &a4);
    else
        SC_TRY(sc_column_put_null(to->v4));
    if (v6 && !sc_addr_is_v4(&a6))
        return sc_column_put_null(to->v6);
    sc_column_put_addr(to->v6, &a6);
    return SC_OK;
}

static enum sc_status put_pair(const struct sc_run *run, struct sc_op *op)
{
    struct sc_op *partner = &run->template_record->ops[op->partner];
    struct pair_columns to = {.unified = begin_key(run, &op->slot, op->key, sizeof(struct sc_addr)),
                              .v4 = begin_raw(run, op),
                              .v6 = begin_raw(run, partner)};
    if (to.unified == NULL || to.v4 == NULL || to.v6 == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++) {
        const uint8_t *p4 = sc_run_cell(run, op, i), *p6 = sc_run_cell(run, partner, i);
        SC_TRY(put_pair_record(&to, p4, p6, choose_v6(run, i, p4, p6)));
    }
    return SC_OK;
}

/* ---- times relative to sysUpTime ---- */

#define SENTINEL      UINT32_MAX /* some exporters send it for "no time": taken as it stands */
#define HALF_ROUND    (UINT64_C(1) << 31)
#define ONE_ROUND     (UINT64_C(1) << 32)
#define LATE_SLACK_MS 60000u

/* v5, v9: the header tells the exporter's sysUptime, so that a value from before or after a wrap shows. */
static inline uint64_t absolute_by_uptime(uint64_t init, uint32_t uptime, uint32_t value)
{
    if (value > uptime && value - uptime >= HALF_ROUND && value != SENTINEL && init + value >= ONE_ROUND)
        return init + value - ONE_ROUND;
    if (uptime > value && uptime - value >= ONE_ROUND - LATE_SLACK_MS)
        return init + value + ONE_ROUND;
    return init + value;
}

/* IPFIX: an exporter that has been up for more than 49.7 days has wrapped; times lie before the export. */
static inline uint64_t absolute_by_export(uint64_t init, uint64_t export_ms, uint32_t value)
{
    uint64_t time = init + value;
    return time < export_ms ? time + (export_ms - time) / ONE_ROUND * ONE_ROUND : time;
}

/* The base of record i; false when nobody told it yet: times are then left relative and settled at the end. */
static bool base_of(const struct sc_run *run, uint32_t i, uint64_t *init)
{
    if (run->message->init_known) {
        *init = run->message->init_ms;
        return true;
    }
    if (sc_run_special(run, SC_SPECIAL_SYSTEM_INIT, i, init))
        return true;
    *init = run->domain->init_ms;
    return run->domain->init_known;
}

static enum sc_status put_relative(const struct sc_run *run, struct sc_op *op)
{
    struct sc_column *c = begin_key(run, &op->slot, op->key, 8);
    if (c == NULL)
        return SC_NOMEM;
    uint64_t *out = (uint64_t *)c->values + c->rows;
    const struct sc_message *m = run->message;
    for (uint32_t i = 0; i < run->count; i++) {
        uint32_t value = (uint32_t)sc_load_be(sc_run_cell(run, op, i), op->length);
        uint64_t init;
        if (m->init_known)
            out[i] = absolute_by_uptime(m->init_ms, m->uptime_ms, value);
        else if (base_of(run, i, &init))
            out[i] = absolute_by_export(init, m->export_ms, value);
        else
            out[i] = value;
    }
    c->rows += run->count;
    return SC_OK;
}

static void fill_u64_run(struct sc_column *c, uint32_t n, uint64_t value)
{
    uint32_t row = c->rows;
    switch (c->width) {
    case 1:
        memset((uint8_t *)c->values + row, (int)value, n);
        break;
    case 2:
        for (uint32_t i = 0; i < n; i++)
            ((uint16_t *)c->values)[row + i] = (uint16_t)value;
        break;
    case 4:
        for (uint32_t i = 0; i < n; i++)
            ((uint32_t *)c->values)[row + i] = (uint32_t)value;
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            ((uint64_t *)c->values)[row + i] = value;
        break;
    }
    c->rows = row + n;
}

/* SYSTEM_INIT, and TIME_QUALITY where the base is not known (yet). */
static enum sc_status put_bases(const struct sc_run *run)
{
    struct sc_own_slots *own = &run->decoder->own;
    const struct sc_column_key init_key = {.pen = SC_PEN_COLLECTOR, .id = SC_IE_SYSTEM_INIT};
    const struct sc_column_key quality_key = {.pen = SC_PEN_COLLECTOR, .id = SC_IE_TIME_QUALITY};
    struct sc_column *init = begin_key(run, &own->init, init_key, 8), *quality = NULL;
    if (init == NULL)
        return SC_NOMEM;
    if (run->message->init_known) {
        fill_u64_run(init, run->count, run->message->init_ms);
        return SC_OK;
    }
    for (uint32_t i = 0; i < run->count; i++) {
        uint64_t base = 0;
        bool known = base_of(run, i, &base);
        sc_column_put_u64(init, known ? base : 0);
        if (known && quality == NULL)
            continue;
        if (quality == NULL) {
            quality = begin_key(run, &own->quality, quality_key, 1);
            if (quality == NULL)
                return SC_NOMEM;
            for (uint32_t j = 0; j < i; j++)
                SC_TRY(sc_column_put_null(quality));
        }
        if (known)
            SC_TRY(sc_column_put_null(quality));
        else
            sc_column_put_u64(quality, 1);
    }
    return SC_OK;
}

/* ---- the collector's own columns ---- */

static enum sc_status put_constant(const struct sc_run *run, uint32_t *slot, uint16_t id, unsigned width,
                                   uint64_t value)
{
    const struct sc_column_key key = {.pen = SC_PEN_COLLECTOR, .id = id, .kind = SC_COLUMN_UINT};
    struct sc_column *c = begin_key(run, slot, key, width);
    if (c == NULL)
        return SC_NOMEM;
    fill_u64_run(c, run->count, value);
    return SC_OK;
}

static enum sc_status put_exporter(const struct sc_run *run)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_EXPORTER_ADDRESS, .kind = SC_COLUMN_ADDRESS};
    struct sc_column *c = begin_key(run, &run->decoder->own.exporter, key, sizeof(struct sc_addr));
    if (c == NULL)
        return SC_NOMEM;
    struct sc_addr *out = (struct sc_addr *)c->values + c->rows;
    for (uint32_t i = 0; i < run->count; i++)
        out[i] = run->message->exporter;
    c->rows += run->count;
    return SC_OK;
}

static uint32_t clamp_rate(uint64_t rate)
{
    return rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
}

static enum sc_status put_rates(const struct sc_run *run)
{
    uint32_t *slot = &run->decoder->own.rate;
    if (!run->template_record->has_sampling) {
        uint64_t rate =
            run->message->version == 5 ? run->message->v5_rate : sc_sampling_of_domain(run->domain);
        return rate == 0 ? SC_OK : put_constant(run, slot, SC_IE_SAMPLING_RATE, 4, clamp_rate(rate));
    }
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_SAMPLING_RATE, .kind = SC_COLUMN_UINT};
    struct sc_column *c = begin_key(run, slot, key, 4);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++) {
        uint64_t rate = sc_sampling_in_force(run, i);
        if (rate != 0)
            sc_column_put_u64(c, clamp_rate(rate));
        else
            SC_TRY(sc_column_put_null(c));
    }
    return SC_OK;
}

static enum sc_status put_own_columns(const struct sc_run *run)
{
    struct sc_own_slots *own = &run->decoder->own;
    const struct sc_message *m = run->message;
    SC_TRY(put_exporter(run));
    SC_TRY(put_constant(run, &own->port, SC_IE_EXPORTER_PORT, 2, m->port));
    SC_TRY(put_constant(run, &own->domain, SC_IE_OBSERVATION_DOMAIN, 4, m->domain_id));
    SC_TRY(put_constant(run, &own->receive, SC_IE_RECEIVE_TIME, 8, m->receive_ms));
    SC_TRY(put_constant(run, &own->version, SC_IE_EXPORT_VERSION, 1, m->version));
    SC_TRY(put_constant(run, &own->export_time, SC_IE_EXPORT_TIME, 8, m->export_ms));
    if (run->template_record->has_relative_time)
        SC_TRY(put_bases(run));
    if (run->template_record->options)
        return SC_OK;
    if (run->domain->maps != NULL)
        SC_TRY(sc_maps_append(run));
    return put_rates(run);
}

/* ---- the whole ---- */

static enum sc_status put_field(const struct sc_run *run, struct sc_op *op)
{
    switch (op->action) {
    case SC_OP_NONE:
        return SC_OK;
    case SC_OP_UNIFIED:
        return put_unified(run, op);
    case SC_OP_PAIR:
        return put_pair(run, op);
    case SC_OP_START:
    case SC_OP_END:
        return put_relative(run, op);
    default:
        break;
    }
    if (op->length == SC_VARIABLE_LENGTH)
        return put_variable(run, op);
    return op->action == SC_OP_UINT ? put_uints(run, op) : put_fixed(run, op);
}

enum sc_status sc_run_append(struct sc_run *run)
{
    if (run->count == 0 || run->batch == NULL)
        return SC_OK;
    struct sc_template *t = run->template_record;
    for (uint32_t j = 0; j < t->op_count; j++)
        SC_TRY(put_field(run, &t->ops[j]));
    return put_own_columns(run);
}

/* ---- times whose base was not known when their record was read ---- */

static struct sc_column *column_at(struct sc_batch *batch, uint16_t id, uint32_t hint, uint32_t row)
{
    const struct sc_column_key key = {.pen = SC_PEN_COLLECTOR, .id = id, .kind = SC_COLUMN_UINT};
    uint32_t slot = sc_batch_slot(batch, key, hint);
    return slot != SC_NO_SLOT && batch->columns[slot]->rows > row ? batch->columns[slot] : NULL;
}

static bool is_open(const struct sc_column *quality, uint32_t row)
{
    return row < quality->rows && !sc_column_is_null(quality, row);
}

static uint64_t greatest(const struct sc_column *c, const struct sc_column *quality, uint32_t first,
                         uint64_t max)
{
    for (uint32_t row = first; c != NULL && row < c->rows; row++) {
        uint64_t v = is_open(quality, row) ? ((uint64_t *)c->values)[row] : 0;
        max = v > max ? v : max;
    }
    return max;
}

enum sc_status sc_run_settle_times(struct sc_decoder *decoder, const struct sc_domain *domain,
                                   const struct sc_message *message, struct sc_batch *batch, uint32_t first)
{
    if (batch == NULL || batch->rows == first || message->init_known)
        return SC_OK;
    const struct sc_own_slots *own = &decoder->own;
    struct sc_column *quality = column_at(batch, SC_IE_TIME_QUALITY, own->quality, first);
    if (quality == NULL)
        return SC_OK;
    struct sc_column *start = column_at(batch, SC_IE_FLOW_START, own->start, first);
    struct sc_column *end = column_at(batch, SC_IE_FLOW_END, own->end, first);
    struct sc_column *init = column_at(batch, SC_IE_SYSTEM_INIT, own->init, first);
    uint64_t max = greatest(end, quality, first, greatest(start, quality, first, 0));
    uint64_t base = domain->init_known ? domain->init_ms : message->export_ms - max;
    if (!domain->init_known && message->export_ms < max)
        base += ONE_ROUND; /* never before 1970; the same modulo 2^32 */
    struct sc_column *times[] = {start, end};
    for (uint32_t row = first; row < quality->rows; row++) {
        if (!is_open(quality, row))
            continue;
        for (int k = 0; k < 2; k++) {
            struct sc_column *c = times[k];
            if (c != NULL && row < c->rows && !sc_column_is_null(c, row)) {
                uint64_t *v = (uint64_t *)c->values + row;
                *v = absolute_by_export(base, message->export_ms, (uint32_t)*v);
            }
        }
        ((uint64_t *)init->values)[row] = base;
        if (domain->init_known) {
            SC_TRY(sc_column_mark_null(quality, row, 1));
            memset((uint8_t *)quality->values + (size_t)row * quality->width, 0, quality->width);
        }
    }
    return SC_OK;
}
