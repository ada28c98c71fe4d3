// SPDX-License-Identifier: BSD-3-Clause
/* How far a query is: a bar, a line for each node, or JSON, on a terminal or in a file that is rewritten. */
#ifndef SC_CLI_QUERY_PROGRESS_H
#define SC_CLI_QUERY_PROGRESS_H

#include "query/scan.h"

#include <pthread.h>
#include <stdio.h>

enum sc_progress_type {
    SC_PROGRESS_DEFAULT, /* the bar, only on a terminal or in a file */
    SC_PROGRESS_TOTAL,
    SC_PROGRESS_NONE,
    SC_PROGRESS_JSON,
    SC_PROGRESS_NODES
};

/* Of one node of a cluster. */
struct sc_progress_node {
    const char *name, *phase;
    uint64_t done, total; /* row groups; total 0: not known yet */
    uint64_t rows, bytes; /* read */
};

struct sc_progress {
    enum sc_progress_type type;
    const char *path; /* a file that is rewritten; NULL: `stream` */
    FILE *stream;
    bool terminal; /* lines are written over those before */
    uint64_t shown_ms;
    pthread_mutex_t lock; /* of what follows: threads that read show, one that writes records hides */
    uint32_t lines;       /* on the terminal; 1: a bar without an end of line */
    bool shown;
    bool over;
};

/* False when the file cannot be written. */
bool sc_progress_init(struct sc_progress *progress, enum sc_progress_type type, const char *dest);
/* For sc_scan_options.progress, about five times a second at most. */
void sc_progress_show(void *arg, const struct sc_scan_progress *so_far);
/* The same of several nodes; `last`: whatever was shown a moment ago. */
void sc_progress_show_nodes(struct sc_progress *progress, const struct sc_progress_node *nodes,
                            uint32_t count, bool last);
/* What stands on a terminal is wiped off, for the records to come, and not shown again. */
void sc_progress_end(struct sc_progress *progress);

#endif
