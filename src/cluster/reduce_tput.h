// SPDX-License-Identifier: BSD-3-Clause
/* The greatest sums, few of many, by thresholds: the way "tput" of cluster/reduce.h. */
#ifndef SC_CLUSTER_REDUCE_TPUT_H
#define SC_CLUSTER_REDUCE_TPUT_H

#include "cluster/reduce_steps.h"

/* True when the wish is one for the greatest sums. */
bool sc_reduce_tput_suits(const struct sc_reduce_wish *wish, const struct sc_aggregate *aggregate);

/* *done false: it is not worth it, at any rank, and *groups is as it was. */
enum sc_status sc_reduce_tput(struct sc_reduce *r, bool *done);

#endif
