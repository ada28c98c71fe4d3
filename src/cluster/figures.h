// SPDX-License-Identifier: BSD-3-Clause
/* What each node had to do with an answer, so that whoever reads it knows what it covers. */
#ifndef SC_CLUSTER_FIGURES_H
#define SC_CLUSTER_FIGURES_H

#include "cluster/ranks.h"
#include "query/scan.h"
#include "source/source.h"

#define SC_FIGURES_TEXT_MAX 256u

struct sc_node_figures {
    char name[SC_FIGURES_TEXT_MAX];
    char problem[SC_FIGURES_TEXT_MAX]; /* why it took no part; "": it did */
    char version[32];
    /* Batches that were read here: in the store of their lane's home, or as a replica on another node. What has no batch ids (a
     * collector outside of a cluster wrote it) is in neither. */
    uint64_t home_batches, replica_batches;
    struct sc_scan_stats scan; /* of all rounds */
    uint64_t records;          /* that matched, of the last round */
};

/* Zero-initialise. */
struct sc_figures {
    struct sc_node_figures *nodes; /* those that took part in the order of their ranks, then the others */
    uint32_t count, answered;
    uint32_t rounds;   /* of reading */
    uint32_t attempts; /* of the whole query; 0: not known */
};

/*
 * Called by all ranks: rank 0 gets the figures of those that read. `name` "": this rank reads nothing. `source` is as it was
 * assigned last. @return SC_OK; SC_DAMAGED: what a rank says makes no sense; SC_NOMEM; what `ranks` returns.
 */
enum sc_status sc_figures_gather(const struct sc_ranks *ranks, const char *name,
                                 const struct sc_source *source, const struct sc_scan_stats *scan,
                                 uint64_t records, struct sc_figures *out, struct sc_error *err);
/* A node that took no part. @return SC_OK or SC_NOMEM. */
enum sc_status sc_figures_add_absent(struct sc_figures *figures, const char *name, const char *problem);
void sc_figures_free(struct sc_figures *figures);

#endif
