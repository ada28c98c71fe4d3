// SPDX-License-Identifier: BSD-3-Clause
#include "flow/vector.h"
#include "query/engine.h"

/* Rows of which only some count: batches of the others are counted elsewhere. */
static enum sc_status add_ranges(struct sc_row_stats *out, struct sc_row_group *group,
                                 const struct sc_source_unit *unit, struct sc_error *err)
{
    static const char *const names[] = {"proto", "flows", "packets", "bytes"};
    uint64_t *values[4], *valid[4];
    for (unsigned f = 0; f < 4; f++) {
        struct sc_field field;
        const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
        uint32_t count = 0;
        values[f] = sc_arena_alloc(&group->context->arena, SC_ROW_GROUP_ROWS * sizeof(uint64_t));
        valid[f] = sc_arena_alloc(&group->context->arena, SC_ROW_GROUP_ROWS / 8);
        if (values[f] == NULL || valid[f] == NULL)
            return sc_fail_nomem(err, "totals");
        SC_TRY(sc_field_find(NULL, names[f], strlen(names[f]), &field, err));
        SC_TRY(sc_field_load(&field, group, columns, &count, err));
        sc_field_integers(&field, columns, count, group->rows, values[f], valid[f]);
    }
    for (uint32_t r = 0; r < unit->range_count; r++) {
        for (uint32_t i = unit->ranges[r].first; i < unit->ranges[r].first + unit->ranges[r].rows; i++) {
            bool has = (valid[0][i / 64] >> (i % 64) & 1) != 0;
            struct sc_protocol_total one = {.protocol =
                                                has && values[0][i] < 256 ? (uint32_t)values[0][i] : 256,
                                            .records = 1,
                                            .flows = values[1][i],
                                            .packets = values[2][i],
                                            .bytes = values[3][i]};
            struct sc_row_stats row;
            sc_row_stats_init(&row);
            row.protocols = &one;
            row.protocol_count = 1;
            if (sc_row_stats_merge(out, &row) != SC_OK)
                return sc_fail_nomem(err, "totals");
        }
    }
    return SC_OK;
}

/* True when all row groups of flows of the unit's segment follow from here as whole units. */
static bool whole_segment(const struct sc_source *source, uint32_t at, uint32_t *units)
{
    uint32_t segment = source->units[at].segment, flows = 0, n = 0;
    const struct sc_segment *s = source->segments[segment];
    for (uint32_t i = 0; i < s->group_count; i++)
        flows += s->groups[i].record_kind == SC_RECORDS_FLOWS;
    while (at + n < source->unit_count && source->units[at + n].segment == segment) {
        const struct sc_source_unit *unit = &source->units[at + n];
        if (unit->failed || unit->ranges != NULL || s->groups[unit->group].record_kind != 0)
            return false;
        n++;
    }
    *units = n;
    return s->sealed && n == flows;
}

static enum sc_status add_unit(struct sc_source *source, uint32_t number, struct sc_read_context *context,
                               struct sc_row_stats *out)
{
    const struct sc_source_unit *unit = &source->units[number];
    struct sc_row_group *group;
    struct sc_error why = {0};
    sc_read_context_reset(context);
    enum sc_status status =
        sc_row_group_open(context, source->segments[unit->segment], unit->group, &group, &why);
    if (status == SC_OK)
        status = unit->ranges == NULL ? sc_row_stats_merge(out, &group->stats)
                                      : add_ranges(out, group, unit, &why);
    return status == SC_DAMAGED || status == SC_IO ? sc_source_replace(source, number, why.message) : status;
}

/* What stands for failed units is at the end. */
enum sc_status sc_query_totals(struct sc_source *source, struct sc_row_stats *out, struct sc_error *err)
{
    struct sc_read_context context;
    if (sc_read_context_init(&context) != SC_OK)
        return sc_fail_nomem(err, "totals");
    enum sc_status status = SC_OK;
    for (uint32_t u = 0, units; u < source->units_made && status == SC_OK; u += units) {
        units = 1;
        if (source->units[u].failed)
            continue;
        if (u < source->unit_count && whole_segment(source, u, &units)) {
            status = sc_row_stats_merge(out, &source->segments[source->units[u].segment]->flow_stats);
            continue;
        }
        units = 1;
        status = add_unit(source, u, &context, out);
    }
    sc_read_context_free(&context);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "totals");
}
