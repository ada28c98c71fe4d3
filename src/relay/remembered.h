// SPDX-License-Identifier: BSD-3-Clause
/*
 * Batch ids that are known to be in the store, so that what is sent again is acknowledged and not stored again. The batches of a stream
 * and lane are numbered one behind the other, and mostly all of them come: so ids are kept as ranges, few for any number of batches.
 * When there are too many ranges (a peer can number as it likes) the older ones are forgotten, which costs disk and no truth: readers
 * count an id once. Never says that an id is here that was not added.
 *
 * Zero-initialise; one thread.
 */
#ifndef SC_RELAY_REMEMBERED_H
#define SC_RELAY_REMEMBERED_H

#include "flow/batch.h"

#define SC_REMEMBERED_RANGES (1u << 14) /* of each of two generations: 512 KiB */

struct sc_id_range {
    uint64_t stream, first, last;
    uint32_t lane;
};

/* Ascending by stream, lane, first; neither touch nor overlap. */
struct sc_id_ranges {
    struct sc_id_range *list;
    uint32_t count;
};

struct sc_remembered {
    struct sc_id_ranges newer, older;
};

/* Without memory it is not remembered. */
void sc_remembered_add(struct sc_remembered *remembered, const struct sc_span *span);
bool sc_remembered_has(const struct sc_remembered *remembered, const struct sc_span *span);
/* Forgets all. */
void sc_remembered_free(struct sc_remembered *remembered);

#endif
