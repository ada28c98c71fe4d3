// SPDX-License-Identifier: BSD-3-Clause
/* Ranks over MPI. The only file of src/ that includes mpi.h is ranks_mpi.c, and only the rank's program has it. */
#ifndef SC_CLUSTER_RANKS_MPI_H
#define SC_CLUSTER_RANKS_MPI_H

#include "cluster/ranks.h"

/* Once per process. @return SC_OK; SC_UNSUPPORTED without a library that works. */
enum sc_status sc_ranks_mpi_begin(int *argc, char ***argv, struct sc_ranks *out, struct sc_error *err);
void sc_ranks_mpi_end(void);
/* Ends all ranks, and mostly this process: one that comes back ends by itself. */
void sc_ranks_mpi_abort(int status);

#endif
