// SPDX-License-Identifier: BSD-3-Clause
/* sc-query over the nodes of a cluster: the supervisor, which never touches MPI (docs/architecture.md). */
#ifndef SC_CLI_QUERY_CLUSTER_H
#define SC_CLI_QUERY_CLUSTER_H

#include "cli/query_job.h"

/* Launches the ranks, watches them, launches anew without a node that is lost, and writes the answer. @return the exit status. */
int sc_query_cluster(struct sc_query_job *job, int argc, char **argv);

/* Runs sc-query-rank in place of this program. Returns only when that fails: an exit status. */
int sc_query_become_rank(int argc, char **argv);

#endif
