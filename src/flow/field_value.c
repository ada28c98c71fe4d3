// SPDX-License-Identifier: BSD-3-Clause
/* The value of a field in one row of a set of columns. */
#include "flow/field.h"

#include "base/bytes.h"
#include "base/clock.h"

uint64_t sc_transform_u64(enum sc_transform transform, uint64_t value, uint64_t base)
{
    switch (transform) {
    case SC_TRANSFORM_SECONDS_TO_MS:
        return value * 1000;
    case SC_TRANSFORM_NTP_TO_MS:
        return sc_ntp_to_ms(value);
    case SC_TRANSFORM_NTP_TO_NS:
        return sc_ntp_to_ns(value);
    case SC_TRANSFORM_HIGH_BYTE:
    case SC_TRANSFORM_OF_ICMP_HIGH:
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_V5_ENGINE_TYPE:
        return value >> 8 & 0xff;
    case SC_TRANSFORM_LOW_BYTE:
    case SC_TRANSFORM_OF_ICMP_LOW:
    case SC_TRANSFORM_ICMP_CODE:
    case SC_TRANSFORM_V5_ENGINE_ID:
        return value & 0xff;
    case SC_TRANSFORM_COUNT_OR_ONE:
        return value == 0 ? 1 : value;
    case SC_TRANSFORM_MINUS_INIT:
        return (value - base) & 0xffffffffu;
    case SC_TRANSFORM_EXPORT_MINUS_US:
        return value / 1000 > base ? 0 : base - value / 1000;
    case SC_TRANSFORM_FIRST_PLUS_MS:
        return base + value;
    case SC_TRANSFORM_FIRST_PLUS_US:
        return base + value / 1000;
    case SC_TRANSFORM_LAST_MINUS_MS:
        return value > base ? 0 : base - value;
    case SC_TRANSFORM_LAST_MINUS_US:
        return value / 1000 > base ? 0 : base - value / 1000;
    default:
        return value;
    }
}

struct row_view {
    const struct sc_column *const *columns;
    uint32_t count;
    uint32_t row;
};

/* The column of `key` where the row has a value, else NULL. */
static const struct sc_column *present_column(const struct row_view *view, struct sc_column_key key)
{
    for (uint32_t i = 0; i < view->count; i++) {
        const struct sc_column *c = view->columns[i];
        if (c != NULL && view->row < c->rows && sc_column_key_equal(c->key, key))
            return sc_column_is_null(c, view->row) ? NULL : c;
    }
    return NULL;
}

static struct sc_value field_from_sources(const struct sc_field *field, const struct row_view *view);

/* The number in a column of its own; 0 and false where there is none. */
static bool find_number(const struct row_view *view, uint32_t pen, uint16_t id, uint64_t *out)
{
    const struct sc_column *c = present_column(view, (struct sc_column_key){pen, id, 0, SC_COLUMN_UINT});
    *out = c == NULL ? 0 : sc_column_u64(c, view->row);
    return c != NULL;
}

/* NetFlow has no field for type and code in most templates, and many IPFIX exporters use none: the port holds both. Where nothing
 * says which protocol it is, an element of ICMP says so itself. */
static bool is_icmp(const struct row_view *view, bool otherwise)
{
    uint64_t protocol;
    if (!find_number(view, SC_PEN_IANA, 4, &protocol) && !find_number(view, SC_PEN_IANA, 193, &protocol))
        return otherwise;
    return protocol == 1 || protocol == 58;
}

static bool find_other(const struct row_view *view, enum sc_field_place place, uint64_t *base)
{
    struct sc_field field;
    sc_field_base(place, &field);
    struct sc_value value = field_from_sources(&field, view);
    *base = value.u;
    return !value.null;
}

static bool find_base(const struct row_view *view, enum sc_transform transform, uint64_t *base)
{
    switch (transform) {
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
        return find_other(view, SC_FIELD_FIRST, base);
    case SC_TRANSFORM_LAST_MINUS_MS:
    case SC_TRANSFORM_LAST_MINUS_US:
        return find_other(view, SC_FIELD_LAST, base);
    case SC_TRANSFORM_OF_ICMP:
    case SC_TRANSFORM_OF_ICMP_HIGH:
    case SC_TRANSFORM_OF_ICMP_LOW:
        return is_icmp(view, true);
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
        return is_icmp(view, false);
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
        return find_number(view, SC_PEN_COLLECTOR, SC_IE_EXPORT_VERSION, base) && *base == 5;
    case SC_TRANSFORM_MINUS_INIT:
        return find_number(view, SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT, base);
    default:
        return find_number(view, SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, base);
    }
}

static bool address_value(const struct sc_column *c, uint32_t row, enum sc_transform transform,
                          struct sc_value *out)
{
    out->addr = *sc_column_addr(c, row);
    if (transform == SC_TRANSFORM_FAMILY_V4)
        return sc_addr_is_v4(&out->addr);
    return transform != SC_TRANSFORM_FAMILY_V6 || !sc_addr_is_v4(&out->addr);
}

static void learned_value(enum sc_ie_type type, struct sc_value *out)
{
    const uint8_t *p = out->bytes;
    uint32_t length = out->length;
    switch (sc_column_kind_of(type)) {
    case SC_COLUMN_ADDRESS:
        if (length == 4)
            out->addr = sc_addr_v4(sc_load_be32(p));
        else
            memcpy(out->addr.b, p, sizeof(out->addr.b));
        break;
    case SC_COLUMN_FLOAT:
        out->f = sc_load_be_float(p, length);
        break;
    case SC_COLUMN_INT:
        out->u = sc_load_be(p, length);
        if (length < 8 && (*p & 0x80) != 0) /* the sign goes on */
            out->u |= UINT64_MAX << (8 * length);
        break;
    default:
        out->u = sc_transform_u64(sc_transform_of(type), sc_load_be(p, length), 0);
    }
}

/* An entry of a label stack: 20 bits, 3, 1; a fourth byte, where it is told, is the time to live. */
static bool mpls_value(enum sc_transform transform, struct sc_value *out)
{
    if (out->length < 3)
        return false;
    uint64_t entry = sc_load_be(out->bytes, 3);
    out->u = transform == SC_TRANSFORM_MPLS_EXP ? entry >> 1 & 7 : entry >> 4;
    return transform != SC_TRANSFORM_MPLS_BOTTOM || (entry & 1) != 0;
}

static bool bytes_value(const struct sc_column *c, uint32_t row, const struct sc_field_source *source,
                        struct sc_value *out)
{
    enum sc_ie_type type = (enum sc_ie_type)source->type;
    out->bytes = sc_column_bytes(c, row, &out->length);
    switch (source->transform) {
    case SC_TRANSFORM_LEARNED:
        if (!sc_column_length_fits(type, out->length))
            return false;
        learned_value(type, out);
        return true;
    case SC_TRANSFORM_MISFIT:
        return !sc_column_length_fits(type, out->length);
    case SC_TRANSFORM_MPLS_LABEL:
    case SC_TRANSFORM_MPLS_EXP:
    case SC_TRANSFORM_MPLS_BOTTOM:
        return mpls_value((enum sc_transform)source->transform, out);
    case SC_TRANSFORM_V9_STRING:
        while (out->length != 0 && out->bytes[out->length - 1] == 0)
            out->length--;
        return true;
    default:
        return true;
    }
}

/* False where this source has nothing for the row. */
static bool source_value(const struct row_view *view, const struct sc_field_source *source,
                         struct sc_value *out)
{
    const struct sc_column *c = present_column(view, source->key);
    enum sc_transform transform = (enum sc_transform)source->transform;
    uint64_t base = 0;
    if (c == NULL || (sc_transform_has_base(transform) && !find_base(view, transform, &base)))
        return false;
    switch (c->key.kind) {
    case SC_COLUMN_ADDRESS:
        return address_value(c, view->row, transform, out);
    case SC_COLUMN_BYTES:
        return bytes_value(c, view->row, source, out);
    case SC_COLUMN_FLOAT:
        out->u = sc_column_u64(c, view->row);
        memcpy(&out->f, &out->u, sizeof(out->f));
        return true;
    default:
        out->u = sc_transform_u64(transform, sc_column_u64(c, view->row), base);
        return transform != SC_TRANSFORM_NOT_ZERO || out->u != 0;
    }
}

static struct sc_value field_from_sources(const struct sc_field *field, const struct row_view *view)
{
    struct sc_value value = {.null = true, .type = field->type};
    for (unsigned i = 0; i < field->source_count; i++) {
        if (source_value(view, &field->sources[i], &value)) {
            value.null = false;
            value.event = sc_field_source_is_event(field, &field->sources[i]);
            return value;
        }
    }
    return (struct sc_value){.null = true, .type = field->type};
}

static struct sc_value counter_value(const struct row_view *view, enum sc_field_place place, bool scaled)
{
    struct sc_field field;
    sc_field_at(place, &field, NULL);
    field.scaled = scaled;
    return sc_field_value(&field, view->columns, view->count, view->row);
}

static struct sc_value short_value(const struct row_view *view, enum sc_field_place place)
{
    return counter_value(view, place, false);
}

static struct sc_value duration_value(const struct row_view *view)
{
    struct sc_value first = short_value(view, SC_FIELD_FIRST), last = short_value(view, SC_FIELD_LAST);
    bool null = first.null || last.null;
    return (struct sc_value){
        .null = null,
        .type = SC_VALUE_UINT,
        .u = null || last.u < first.u ? 0 : last.u - first.u,
    };
}

static struct sc_value named_value(const struct row_view *view, const char *name)
{
    struct sc_field field;
    sc_field_find(NULL, name, strlen(name), &field, NULL);
    return field_from_sources(&field, view);
}

static struct sc_value network_value(const struct sc_field *field, const struct row_view *view)
{
    const char *address, *mask;
    sc_field_is_network(field, &address, &mask);
    struct sc_value value = named_value(view, address), bits = named_value(view, mask);
    if (value.null || bits.null)
        return (struct sc_value){.null = true, .type = SC_VALUE_ADDRESS};
    unsigned most = sc_addr_is_v4(&value.addr) ? 32 : 128;
    value.null = bits.u > most;
    value.addr = sc_addr_mask(&value.addr, value.null ? 0 : 128 - most + (unsigned)bits.u);
    return value;
}

static struct sc_value rate_value(struct sc_value amount, struct sc_value per, double factor)
{
    bool null = amount.null || per.null;
    return (struct sc_value){
        .null = null,
        .type = SC_VALUE_FLOAT,
        .f = null || per.u == 0 ? 0 : factor * (double)amount.u / (double)per.u,
    };
}

struct sc_value sc_field_value(const struct sc_field *field, const struct sc_column *const *columns,
                               uint32_t column_count, uint32_t row)
{
    struct row_view view = {columns, column_count, row};
    struct sc_value value;
    uint64_t interval;
    switch (field->computed) {
    case SC_COMPUTED_FLOWS:
        value = field_from_sources(field, &view);
        return value.null ? (struct sc_value){.type = SC_VALUE_UINT, .u = 1} : value;
    case SC_COMPUTED_DURATION:
        return duration_value(&view);
    case SC_COMPUTED_BPS:
        return rate_value(counter_value(&view, SC_FIELD_BYTES, field->scaled),
                          short_value(&view, SC_FIELD_DURATION), 8000);
    case SC_COMPUTED_PPS:
        return rate_value(counter_value(&view, SC_FIELD_PACKETS, field->scaled),
                          short_value(&view, SC_FIELD_DURATION), 1000);
    case SC_COMPUTED_SRCNET:
    case SC_COMPUTED_DSTNET:
        return network_value(field, &view);
    case SC_COMPUTED_BPP:
        return rate_value(counter_value(&view, SC_FIELD_BYTES, field->scaled),
                          counter_value(&view, SC_FIELD_PACKETS, field->scaled), 1);
    default:
        value = field_from_sources(field, &view);
        if (field->scaled && !value.null &&
            find_number(&view, SC_PEN_COLLECTOR, SC_IE_SAMPLING_RATE, &interval))
            value.u = sc_scale_u64(value.u, interval);
        return value;
    }
}
