// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/figures.h"

#include "base/array.h"
#include "cluster/inventory.h"

#include <stdio.h>
#include <stdlib.h>

static void count_batches(const struct sc_source *source, struct sc_node_figures *out)
{
    for (uint32_t i = 0; i < source->plan.count; i++) {
        const struct sc_read_plan_copy *copy = &source->plan.copies[i];
        if (copy->state != SC_COPY_ASSIGNED)
            continue;
        if (copy->rank >= SC_RANK_REPLICA)
            out->replica_batches++;
        else
            out->home_batches++;
    }
}

/* ---- bytes ---- */

static void put(const struct sc_node_figures *f, struct sc_buf *out)
{
    sc_inventory_put_text(f->name, out);
    sc_inventory_put_text(f->version, out);
    sc_buf_append_le64(out, f->home_batches);
    sc_buf_append_le64(out, f->replica_batches);
    sc_buf_append_le64(out, f->scan.units_read);
    sc_buf_append_le64(out, f->scan.units_pruned);
    sc_buf_append_le64(out, f->scan.rows_read);
    sc_buf_append_le64(out, f->scan.rows_selected);
    sc_buf_append_le64(out, f->scan.bytes_read);
    for (unsigned i = 0; i < SC_SCAN_STAGES; i++)
        sc_buf_append_le64(out, f->scan.spent_ns[i]);
    sc_buf_append_le64(out, f->records);
}

static bool get(struct sc_cursor *in, struct sc_node_figures *f)
{
    if (!sc_inventory_copy_text(in, f->name, sizeof(f->name)) ||
        !sc_inventory_copy_text(in, f->version, sizeof(f->version)))
        return false;
    f->home_batches = sc_cursor_le64(in);
    f->replica_batches = sc_cursor_le64(in);
    f->scan.units_read = sc_cursor_le64(in);
    f->scan.units_pruned = sc_cursor_le64(in);
    f->scan.rows_read = sc_cursor_le64(in);
    f->scan.rows_selected = sc_cursor_le64(in);
    f->scan.bytes_read = sc_cursor_le64(in);
    for (unsigned i = 0; i < SC_SCAN_STAGES; i++)
        f->scan.spent_ns[i] = sc_cursor_le64(in);
    f->records = sc_cursor_le64(in);
    return !in->failed;
}

/* ---- nodes ---- */

static struct sc_node_figures *add(struct sc_figures *figures)
{
    if (!sc_array_more(figures->nodes, figures->count, 1))
        return NULL;
    figures->nodes[figures->count] = (struct sc_node_figures){0};
    return &figures->nodes[figures->count++];
}

/* A rank that reads nothing sends nothing. */
static enum sc_status take(void *arg, uint32_t rank, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_figures *out = arg;
    (void)rank;
    if (in->len == 0)
        return SC_OK;
    struct sc_node_figures *f = add(out);
    if (f == NULL)
        return sc_fail_nomem(err, "what the nodes say");
    out->answered++;
    return get(in, f) ? SC_OK : sc_fail(err, SC_DAMAGED, "what a node says of its part makes no sense");
}

enum sc_status sc_figures_gather(const struct sc_ranks *ranks, const char *name,
                                 const struct sc_source *source, const struct sc_scan_stats *scan,
                                 uint64_t records, struct sc_figures *out, struct sc_error *err)
{
    struct sc_node_figures mine = {.version = SC_VERSION, .scan = *scan, .records = records};
    struct sc_buf bytes = {0};
    snprintf(mine.name, sizeof(mine.name), "%s", name);
    count_batches(source, &mine);
    if (name[0] != '\0')
        put(&mine, &bytes);
    enum sc_status status = sc_ranks_collect_short(ranks, &bytes, take, out, err);
    sc_buf_free(&bytes);
    return status;
}

enum sc_status sc_figures_add_absent(struct sc_figures *figures, const char *name, const char *problem)
{
    struct sc_node_figures *f = add(figures);
    if (f == NULL)
        return SC_NOMEM;
    snprintf(f->name, sizeof(f->name), "%s", name);
    snprintf(f->problem, sizeof(f->problem), "%s", problem[0] == '\0' ? "nobody knows why" : problem);
    return SC_OK;
}

void sc_figures_free(struct sc_figures *figures)
{
    free(figures->nodes);
    *figures = (struct sc_figures){0};
}
