// SPDX-License-Identifier: BSD-3-Clause
#include "query/stored_columns.h"

#define KEY_BYTES 9u

void sc_stored_columns_init(struct sc_stored_columns *columns, const struct sc_ie_learned *learned)
{
    *columns = (struct sc_stored_columns){.learned = learned};
    sc_schema_init(&columns->schema, SC_MAX_COLUMNS);
}

void sc_stored_columns_free(struct sc_stored_columns *columns)
{
    sc_schema_free(&columns->schema);
}

static enum sc_status add_key(struct sc_stored_columns *columns, struct sc_column_key key, uint32_t *slot,
                              struct sc_error *err)
{
    uint32_t known = columns->schema.count;
    *slot = sc_schema_slot(&columns->schema, key);
    if (*slot == SC_NO_SLOT)
        return known < SC_MAX_COLUMNS
                   ? sc_fail_nomem(err, "the columns")
                   : sc_fail(err, SC_LIMIT, "more than %u columns: name those you want", SC_MAX_COLUMNS);
    if (*slot == known)
        columns->may_misfit[*slot] = sc_field_of_misfits(columns->learned, key, &columns->misfits[*slot]);
    return SC_OK;
}

static enum sc_status find_misfits(struct sc_stored_columns *columns, uint32_t slot,
                                   struct sc_row_group *group, struct sc_error *err)
{
    const struct sc_column *column;
    bool *found = &columns->has_misfits[slot];
    if (*found || !columns->may_misfit[slot])
        return SC_OK;
    SC_TRY(sc_row_group_column(group, columns->schema.keys[slot], &column, err));
    for (uint32_t row = 0; column != NULL && row < group->rows && !*found; row++)
        *found = !sc_field_value(&columns->misfits[slot], &column, 1, row).null;
    return SC_OK;
}

static enum sc_status note_columns(struct sc_stored_columns *columns, struct sc_row_group *group,
                                   struct sc_error *err)
{
    for (uint32_t i = 0; i < group->entry_count; i++) {
        uint32_t slot;
        if (group->entries[i].role != SC_CHUNK_COLUMN)
            continue;
        SC_TRY(add_key(columns, group->entries[i].key, &slot, err));
        if (find_misfits(columns, slot, group, err) == SC_NOMEM) /* damage is noted when it is scanned */
            return SC_NOMEM;
    }
    return SC_OK;
}

enum sc_status sc_stored_columns_find(struct sc_stored_columns *columns, const struct sc_source *source,
                                      struct sc_error *err)
{
    struct sc_read_context context;
    enum sc_status status = sc_read_context_init(&context);
    if (status != SC_OK)
        return sc_fail_nomem(err, "the columns");
    for (uint32_t u = 0; u < source->unit_count && status == SC_OK; u++) {
        const struct sc_source_unit *unit = &source->units[u];
        struct sc_row_group *group;
        sc_read_context_reset(&context);
        if (sc_row_group_open(&context, source->segments[unit->segment], unit->group, &group, err) == SC_OK)
            status = note_columns(columns, group, err);
    }
    sc_read_context_free(&context);
    return status;
}

void sc_stored_columns_put(const struct sc_stored_columns *columns, struct sc_buf *out)
{
    for (uint32_t i = 0; i < columns->schema.count; i++) {
        const struct sc_column_key *key = &columns->schema.keys[i];
        sc_buf_append_le32(out, key->pen);
        sc_buf_append_le16(out, key->id);
        sc_buf_append_u8(out, key->instance);
        sc_buf_append_u8(out, key->kind);
        sc_buf_append_u8(out, columns->has_misfits[i]);
    }
}

enum sc_status sc_stored_columns_take(struct sc_stored_columns *columns, struct sc_cursor *in,
                                      struct sc_error *err)
{
    while (sc_cursor_left(in) >= KEY_BYTES) {
        uint32_t slot;
        struct sc_column_key key = {.pen = sc_cursor_le32(in)};
        key.id = sc_cursor_le16(in);
        key.instance = sc_cursor_u8(in);
        key.kind = sc_cursor_u8(in);
        bool misfits = sc_cursor_u8(in) != 0;
        SC_TRY(add_key(columns, key, &slot, err));
        columns->has_misfits[slot] |= misfits && columns->may_misfit[slot];
    }
    return sc_cursor_left(in) == 0 ? SC_OK : sc_fail(err, SC_DAMAGED, "the columns of a node make no sense");
}

enum sc_status sc_stored_columns_list(const struct sc_stored_columns *columns,
                                      struct sc_request_listing *listing, struct sc_error *err)
{
    struct sc_field field;
    for (uint32_t i = 0; i < columns->schema.count; i++) {
        const struct sc_field *misfits = &columns->misfits[i];
        sc_field_of_column(columns->learned, columns->schema.keys[i], &field);
        SC_TRY(sc_request_add_column(listing, &field, field.name, err));
        if (columns->has_misfits[i])
            SC_TRY(sc_request_add_column(listing, misfits, misfits->name, err));
    }
    return SC_OK;
}
