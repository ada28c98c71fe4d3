// SPDX-License-Identifier: BSD-3-Clause
/*
 * Rows of batches put together, and cut, within the bounds of base/bounds.h: who makes a batch of the cluster or a row group
 * makes it here.
 *
 *     n = sc_bounds_cut(&sc_batch_bounds, columns, count, first, left);   the rows that the next batch may have
 *     sc_gather_add(&gather, columns, count, &span, &sc_group_bounds)     SC_LIMIT: take what is gathered, reset, add again
 *
 * Memory is malloc; a gather belongs to one thread.
 */
#ifndef SC_FLOW_GATHER_H
#define SC_FLOW_GATHER_H

#include "flow/batch.h"

struct sc_bounds {
    uint32_t rows;
    uint32_t columns;
    uint64_t bytes; /* in columns */
};

extern const struct sc_bounds sc_batch_bounds; /* of a batch of the cluster, a span */
extern const struct sc_bounds sc_group_bounds; /* of a row group */

bool sc_bounds_hold(const struct sc_bounds *bounds, const struct sc_weight *weight);
/* The most of the `left` rows from `first` on that keep to the bounds; at least one, which does by its own bounds. */
uint32_t sc_bounds_cut(const struct sc_bounds *bounds, const struct sc_column *const *columns,
                       uint32_t column_count, uint32_t first, uint32_t left);

struct sc_gather {
    struct sc_batch *batch; /* with a span for each sc_gather_add; to be finished before it is read */
    enum sc_record_kind kind;
    bool pools;                      /* addresses stay codes */
    bool reused;                     /* the batch has columns of before the last reset */
    struct sc_weight weight;         /* of the batch */
    const struct sc_column **picked; /* scratch: columns of the rows that are being added */
    uint32_t picked_count, picked_cap;
};

/* @return SC_OK or SC_NOMEM; to be freed in both cases. */
enum sc_status sc_gather_init(struct sc_gather *gather, enum sc_record_kind kind);
void sc_gather_free(struct sc_gather *gather);
/* Before the first row: as sc_batch_pool_addresses. Then sc_gather_next_source goes before the rows of another row group. */
void sc_gather_pool_addresses(struct sc_gather *gather);
void sc_gather_next_source(struct sc_gather *gather);
/* Forgets all rows, keeps memory as far as that is usual. @return SC_OK or SC_NOMEM: then it can only be freed, or reset once more. */
enum sc_status sc_gather_reset(struct sc_gather *gather);

/*
 * Adds the rows of a span (span->first_row, span->rows) of a finished batch or read columns, in any form, and the span.
 * @return SC_OK; SC_LIMIT: with what is there they would pass the bounds; SC_NOMEM. It is as it was when not SC_OK.
 */
enum sc_status sc_gather_add(struct sc_gather *gather, const struct sc_column *const *columns,
                             uint32_t column_count, const struct sc_span *span,
                             const struct sc_bounds *bounds);

#endif
