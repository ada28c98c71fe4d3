// SPDX-License-Identifier: BSD-3-Clause
#include "store/row_fields.h"

/* A row group and the columns of it that a field needs. */
struct loading {
    struct sc_row_group *group;
    const struct sc_column **columns;
    uint32_t *count;
    struct sc_error *err;
};

static enum sc_status load_field(const struct loading *l, const struct sc_field *field);

/* *out is NULL when the row group has none. */
static enum sc_status load_column(const struct loading *l, struct sc_column_key key,
                                  const struct sc_column **out)
{
    SC_TRY(sc_row_group_column(l->group, key, out, l->err));
    if (*out == NULL)
        return SC_OK;
    for (uint32_t i = 0; i < *l->count; i++) {
        if (l->columns[i] == *out)
            return SC_OK;
    }
    l->columns[(*l->count)++] = *out;
    return SC_OK;
}

static enum sc_status load_key(const struct loading *l, uint32_t pen, uint16_t id)
{
    const struct sc_column *column;
    return load_column(l, (struct sc_column_key){pen, id, 0, SC_COLUMN_UINT}, &column);
}

static enum sc_status load_named(const struct loading *l, const char *name)
{
    struct sc_field field;
    SC_TRY(sc_field_find(NULL, name, strlen(name), &field, l->err));
    return load_field(l, &field);
}

static enum sc_status load_computed(const struct loading *l, const struct sc_field *field)
{
    const char *address, *mask;
    enum sc_field_computed computed = (enum sc_field_computed)field->computed;
    if (sc_field_is_network(field, &address, &mask)) {
        SC_TRY(load_named(l, address));
        return load_named(l, mask);
    }
    if (computed == SC_COMPUTED_FLOWS)
        return load_key(l, SC_PEN_IANA, 3);
    if (computed != SC_COMPUTED_BPP) {
        SC_TRY(load_named(l, "first"));
        SC_TRY(load_named(l, "last"));
    }
    if (computed == SC_COMPUTED_BPS || computed == SC_COMPUTED_BPP)
        SC_TRY(load_named(l, "bytes"));
    if (computed == SC_COMPUTED_PPS || computed == SC_COMPUTED_BPP)
        SC_TRY(load_named(l, "packets"));
    return SC_OK;
}

static enum sc_status load_base(const struct loading *l, enum sc_field_place place)
{
    struct sc_field field;
    sc_field_base(place, &field);
    return load_field(l, &field);
}

static enum sc_status load_operand(const struct loading *l, enum sc_transform transform)
{
    switch (transform) {
    case SC_TRANSFORM_MINUS_INIT:
        return load_key(l, SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT);
    case SC_TRANSFORM_EXPORT_MINUS_US:
        return load_key(l, SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME);
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
        return load_base(l, SC_FIELD_FIRST);
    case SC_TRANSFORM_LAST_MINUS_MS:
    case SC_TRANSFORM_LAST_MINUS_US:
        return load_base(l, SC_FIELD_LAST);
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
        return load_named(l, "exportversion");
    case SC_TRANSFORM_OF_ICMP:
    case SC_TRANSFORM_OF_ICMP_HIGH:
    case SC_TRANSFORM_OF_ICMP_LOW:
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
        return load_named(l, "proto");
    default:
        return SC_OK;
    }
}

/* A source without nulls whose transform always gives a value settles the field: later sources are not read.
 */
static bool settles(const struct sc_field_source *source, const struct sc_column *column)
{
    switch (source->transform) {
    case SC_TRANSFORM_FAMILY_V4:
    case SC_TRANSFORM_FAMILY_V6:
    case SC_TRANSFORM_NOT_ZERO:
    case SC_TRANSFORM_MPLS_LABEL:
    case SC_TRANSFORM_MPLS_EXP:
    case SC_TRANSFORM_MPLS_BOTTOM:
    case SC_TRANSFORM_LEARNED:
    case SC_TRANSFORM_MISFIT:
        return false;
    default:
        return !sc_transform_has_base((enum sc_transform)source->transform) && column->nulls == 0;
    }
}

static enum sc_status load_field(const struct loading *l, const struct sc_field *field)
{
    const struct sc_column *column;
    if (field->scaled)
        SC_TRY(load_column(l, SC_SAMPLING_KEY, &column));
    if (field->computed != SC_COMPUTED_NONE)
        return load_computed(l, field);
    for (unsigned i = 0; i < field->source_count; i++) {
        SC_TRY(load_column(l, field->sources[i].key, &column));
        if (column == NULL)
            continue;
        SC_TRY(load_operand(l, field->sources[i].transform));
        if (settles(&field->sources[i], column))
            break;
    }
    return SC_OK;
}

enum sc_status sc_field_load(const struct sc_field *field, struct sc_row_group *group,
                             const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    return load_field(&(struct loading){group, columns, count, err}, field);
}

const struct sc_column *sc_field_plain(const struct sc_field *field, const struct sc_column *const *columns,
                                       uint32_t count)
{
    if (count != 1 || field->computed != SC_COMPUTED_NONE)
        return NULL;
    for (unsigned i = 0; i < field->source_count; i++) {
        if (sc_column_key_equal(field->sources[i].key, columns[0]->key))
            return field->sources[i].transform == SC_TRANSFORM_NONE ? columns[0] : NULL;
    }
    return NULL;
}

void sc_selection_list(const struct sc_selection *selection, const struct sc_row_group *group, uint32_t *out)
{
    if (selection->count == group->rows) {
        for (uint32_t row = 0; row < group->rows; row++)
            out[row] = row;
    } else {
        sc_bitmap_list(selection->rows, sc_bitmap_words(group->rows), 0, out);
    }
}

void sc_selection_cut(struct sc_selection *selection, const struct sc_row_group *group, uint64_t keep)
{
    uint64_t left = keep;
    if (selection->count <= keep)
        return;
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        uint64_t kept = 0;
        for (uint64_t bits = selection->rows[w]; bits != 0 && left != 0; bits &= bits - 1, left--)
            kept |= bits & (0 - bits);
        selection->rows[w] = kept;
    }
    selection->count = (uint32_t)keep;
    selection->all = false;
}
