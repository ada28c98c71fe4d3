// SPDX-License-Identifier: BSD-3-Clause
#include "collect/exporters.h"

#include "base/array.h"

#include <stdlib.h>

void sc_exporters_free(struct sc_exporters *exporters)
{
    free(exporters->top);
    *exporters = (struct sc_exporters){0};
}

int sc_exporters_compare(const void *x, const void *y)
{
    const struct sc_exporter_stats *a = x, *b = y;
    if (a->flows != b->flows)
        return a->flows > b->flows ? -1 : 1;
    int order = sc_addr_compare(&a->exporter, &b->exporter);
    if (order == 0 && a->port != b->port)
        order = a->port < b->port ? -1 : 1;
    if (order == 0)
        order = a->domain < b->domain ? -1 : a->domain > b->domain;
    return order;
}

/* Whether `a` leaves the heap before `b`. */
static bool is_less(const struct sc_exporter_stats *a, const struct sc_exporter_stats *b)
{
    return sc_exporters_compare(a, b) > 0;
}

static void swap(struct sc_exporter_stats *a, struct sc_exporter_stats *b)
{
    struct sc_exporter_stats c = *a;
    *a = *b;
    *b = c;
}

static void sift_up(struct sc_exporter_stats *heap, uint32_t i)
{
    for (; i != 0 && is_less(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void sift_down(struct sc_exporter_stats *heap, uint32_t count)
{
    for (uint32_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_less(&heap[child + 1], &heap[child]))
            child++;
        if (!is_less(&heap[child], &heap[i]))
            return;
        swap(&heap[child], &heap[i]);
    }
}

static void keep(struct sc_exporters *e, const struct sc_exporter_stats *stats)
{
    if (e->count == SC_EXPORTERS_TOP) {
        if (is_less(stats, &e->top[0]))
            return;
        e->top[0] = *stats;
        sift_down(e->top, e->count);
    } else if (sc_array_reserve(e->top, e->capacity, e->count + 1)) {
        e->top[e->count] = *stats;
        sift_up(e->top, e->count++);
    }
}

void sc_exporters_visit(struct sc_exporters *e, const struct sc_exporter_stats *stats)
{
    if (stats == NULL) {
        e->count = 0;
        e->sum = (struct sc_exporters_sum){0};
    } else if (stats->flows + stats->options + stats->templates != 0) {
        e->sum.accounts++;
        keep(e, stats);
    } else {
        e->sum.strangers++;
        e->sum.strangers_messages += stats->messages;
        e->sum.strangers_no_template_sets += stats->no_template_sets;
        e->sum.strangers_malformed += stats->malformed;
    }
}
