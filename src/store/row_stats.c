// SPDX-License-Identifier: BSD-3-Clause
/* Statistics of rows: merged over row groups, written to row group and footer. */
#include "base/saturate.h"
#include "store/format.h"

#include <stdlib.h>

void sc_row_stats_init(struct sc_row_stats *stats)
{
    *stats = (struct sc_row_stats){
        .first_min = UINT64_MAX, .last_min = UINT64_MAX, .received_min = UINT64_MAX, .time_min = UINT64_MAX};
}

void sc_row_stats_free(struct sc_row_stats *stats)
{
    free(stats->protocols);
    sc_row_stats_init(stats);
}

static void widen(struct sc_time_range *range, uint64_t min, uint64_t max)
{
    range->min = min < range->min ? min : range->min;
    range->max = max > range->max ? max : range->max;
}

static void add_total(struct sc_protocol_total *to, const struct sc_protocol_total *from)
{
    to->records += from->records;
    to->flows = sc_add_saturated(to->flows, from->flows);
    to->packets = sc_add_saturated(to->packets, from->packets);
    to->bytes = sc_add_saturated(to->bytes, from->bytes);
}

enum sc_status sc_row_stats_merge(struct sc_row_stats *to, const struct sc_row_stats *from)
{
    uint32_t most = to->protocol_count + from->protocol_count;
    struct sc_protocol_total *merged = malloc(((size_t)most + 1) * sizeof(*merged));
    if (merged == NULL)
        return SC_NOMEM;
    for (unsigned i = 0; i < SC_ROW_TIMES; i++)
        widen(&to->times[i], from->times[i].min, from->times[i].max);
    uint32_t a = 0, b = 0, n = 0;
    while (a < to->protocol_count || b < from->protocol_count) {
        if (b == from->protocol_count ||
            (a < to->protocol_count && to->protocols[a].protocol < from->protocols[b].protocol)) {
            merged[n++] = to->protocols[a++];
        } else {
            merged[n] = from->protocols[b++];
            if (a < to->protocol_count && to->protocols[a].protocol == merged[n].protocol)
                add_total(&merged[n], &to->protocols[a++]);
            n++;
        }
    }
    free(to->protocols);
    to->protocols = merged;
    to->protocol_count = n;
    return SC_OK;
}

size_t sc_row_stats_size(const struct sc_row_stats *stats)
{
    return sizeof(stats->times) + 8 + (size_t)stats->protocol_count * 40;
}

void sc_row_stats_write(const struct sc_row_stats *stats, struct sc_buf *out)
{
    for (unsigned i = 0; i < SC_ROW_TIMES; i++) {
        sc_buf_append_le64(out, stats->times[i].min);
        sc_buf_append_le64(out, stats->times[i].max);
    }
    sc_buf_append_le32(out, stats->protocol_count);
    sc_buf_append_le32(out, 0);
    for (uint32_t i = 0; i < stats->protocol_count; i++) {
        const struct sc_protocol_total *p = &stats->protocols[i];
        sc_buf_append_le64(out, p->protocol);
        sc_buf_append_le64(out, p->records);
        sc_buf_append_le64(out, p->flows);
        sc_buf_append_le64(out, p->packets);
        sc_buf_append_le64(out, p->bytes);
    }
}

enum sc_status sc_row_stats_read(struct sc_cursor *in, struct sc_row_stats *stats)
{
    sc_row_stats_init(stats);
    for (unsigned i = 0; i < SC_ROW_TIMES; i++) {
        stats->times[i].min = sc_cursor_le64(in);
        stats->times[i].max = sc_cursor_le64(in);
    }
    uint32_t count = sc_cursor_le32(in);
    sc_cursor_le32(in);
    if (in->failed || count > 257)
        return SC_DAMAGED;
    stats->protocols = calloc((size_t)count + 1, sizeof(*stats->protocols));
    if (stats->protocols == NULL)
        return SC_NOMEM;
    stats->protocol_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_protocol_total *p = &stats->protocols[i];
        p->protocol = (uint32_t)sc_cursor_le64(in);
        p->records = sc_cursor_le64(in);
        p->flows = sc_cursor_le64(in);
        p->packets = sc_cursor_le64(in);
        p->bytes = sc_cursor_le64(in);
        if (i > 0 && p->protocol <= p[-1].protocol)
            in->failed = true;
    }
    if (in->failed) {
        sc_row_stats_free(stats);
        return SC_DAMAGED;
    }
    return SC_OK;
}
