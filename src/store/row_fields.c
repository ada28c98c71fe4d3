// SPDX-License-Identifier: BSD-3-Clause
#include "store/row_fields.h"

static enum sc_status load_key(struct sc_row_group *group, struct sc_column_key key,
                               const struct sc_column **columns, uint32_t *count,
                               const struct sc_column **out, struct sc_error *err)
{
    SC_TRY(sc_row_group_column(group, key, out, err));
    if (*out == NULL)
        return SC_OK;
    for (uint32_t i = 0; i < *count; i++) {
        if (columns[i] == *out)
            return SC_OK;
    }
    columns[(*count)++] = *out;
    return SC_OK;
}

static enum sc_status load_named(const char *name, struct sc_row_group *group,
                                 const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    struct sc_field field;
    SC_TRY(sc_field_find(NULL, name, strlen(name), &field, err));
    return sc_field_load(&field, group, columns, count, err);
}

static enum sc_status load_computed(const struct sc_field *field, struct sc_row_group *group,
                                    const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    if (field->computed == SC_COMPUTED_FLOWS)
        return load_key(group, (struct sc_column_key){SC_PEN_IANA, 3, 0, SC_COLUMN_UINT}, columns, count,
                        &unused, err);
    if (field->computed != SC_COMPUTED_BPP) {
        SC_TRY(load_named("first", group, columns, count, err));
        SC_TRY(load_named("last", group, columns, count, err));
    }
    if (field->computed == SC_COMPUTED_BPS || field->computed == SC_COMPUTED_BPP)
        SC_TRY(load_named("bytes", group, columns, count, err));
    if (field->computed == SC_COMPUTED_PPS || field->computed == SC_COMPUTED_BPP)
        SC_TRY(load_named("packets", group, columns, count, err));
    return SC_OK;
}

static enum sc_status load_operand(enum sc_transform transform, struct sc_row_group *group,
                                   const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    struct sc_column_key init = {SC_PEN_COLLECTOR, SC_IE_SYSTEM_INIT, 0, SC_COLUMN_UINT};
    struct sc_column_key export = {SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, 0, SC_COLUMN_UINT};
    switch (transform) {
    case SC_TRANSFORM_MINUS_INIT:
        return load_key(group, init, columns, count, &unused, err);
    case SC_TRANSFORM_EXPORT_MINUS_US:
        return load_key(group, export, columns, count, &unused, err);
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
        return load_named("first", group, columns, count, err);
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
        return load_named("exportversion", group, columns, count, err);
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
        return load_key(group, (struct sc_column_key){SC_PEN_IANA, 4, 0, SC_COLUMN_UINT}, columns, count,
                        &unused, err);
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
    case SC_TRANSFORM_MINUS_INIT:
    case SC_TRANSFORM_EXPORT_MINUS_US:
    case SC_TRANSFORM_FIRST_PLUS_MS:
    case SC_TRANSFORM_FIRST_PLUS_US:
    case SC_TRANSFORM_ICMP_TYPE:
    case SC_TRANSFORM_ICMP_CODE:
    case SC_TRANSFORM_V5_ENGINE_TYPE:
    case SC_TRANSFORM_V5_ENGINE_ID:
    case SC_TRANSFORM_LEARNED:
    case SC_TRANSFORM_MISFIT:
        return false;
    default:
        return column->nulls == 0;
    }
}

enum sc_status sc_field_load(const struct sc_field *field, struct sc_row_group *group,
                             const struct sc_column **columns, uint32_t *count, struct sc_error *err)
{
    const struct sc_column *unused;
    if (field->scaled)
        SC_TRY(load_key(group, SC_SAMPLING_KEY, columns, count, &unused, err));
    if (field->computed != SC_COMPUTED_NONE)
        return load_computed(field, group, columns, count, err);
    for (unsigned i = 0; i < field->source_count; i++) {
        const struct sc_column *column;
        SC_TRY(load_key(group, field->sources[i].key, columns, count, &column, err));
        if (column == NULL)
            continue;
        SC_TRY(load_operand(field->sources[i].transform, group, columns, count, err));
        if (settles(&field->sources[i], column))
            break;
    }
    return SC_OK;
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
