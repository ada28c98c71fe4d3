// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which windows were over at a moment. A window is as long as the longest that a tally tells of its begin; where no tally tells, as the
 * longest of all that do; a day, when there is none. Zero-initialise but for end_ms; sc_over_free releases. One thread; malloc.
 */
#ifndef SC_CLUSTER_OVER_H
#define SC_CLUSTER_OVER_H

#include "cluster/holdings.h"
#include "store/store.h"

struct sc_over {
    uint64_t end_ms; /* the moment */
    struct sc_window *
        list; /* of which tallies tell, that may not be over; settled: by begin, each once, with the longest */
    uint32_t count;
    uint32_t longest_s;    /* of all tallies; 0: there is none */
    uint64_t left_from_ms; /* the earliest begin of what was left out; 0: nothing was */
};

/* Hears the tallies of one who told; when all did, sc_over_settle. @return SC_OK or SC_NOMEM. */
enum sc_status sc_over_hear(struct sc_over *over, const struct sc_holdings *held);
void sc_over_settle(struct sc_over *over);
bool sc_over_has(const struct sc_over *over, uint64_t window_ms);
/* Takes the batches and tallies out of a settled list whose windows were not over. */
void sc_over_leave_out(struct sc_over *over, struct sc_holdings *held);
void sc_over_free(struct sc_over *over);

#endif
