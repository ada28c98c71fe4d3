// SPDX-License-Identifier: BSD-3-Clause
/* What is wanted of a reduction (cluster/reduce.h), and what it took. */
#ifndef SC_CLUSTER_REDUCE_WISH_H
#define SC_CLUSTER_REDUCE_WISH_H

#include "group/aggregate.h"

enum sc_reduce_way { SC_REDUCE_AUTO, SC_REDUCE_GATHER, SC_REDUCE_EXCHANGE, SC_REDUCE_TPUT };

/* The same at all ranks. */
struct sc_reduce_wish {
    const struct sc_result_order *orders;
    uint32_t order_count;
    uint64_t limit; /* 0 = all */
    /* AUTO, or what a test wants; TPUT where it cannot be done is done by exchange. */
    enum sc_reduce_way way;
    unsigned threads; /* of this rank, for what need not be one's work; 0: one */
};

struct sc_reduce_stats {
    enum sc_reduce_way way;
    uint32_t rounds;     /* rank 0 heard from all others so many times, for groups */
    uint64_t bytes;      /* sent by this rank */
    uint64_t candidates; /* TPUT, at rank 0: groups that were asked for in the end */
};

#endif
