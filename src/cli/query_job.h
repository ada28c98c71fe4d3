// SPDX-License-Identifier: BSD-3-Clause
/* A query from its words to its printed answer: what sc-query and the ranks of a cluster query have in common. */
#ifndef SC_CLI_QUERY_JOB_H
#define SC_CLI_QUERY_JOB_H

#include "cli/query_options.h"
#include "filter/filter.h"
#include "query/request.h"

#include <stdatomic.h>

struct sc_query_job {
    struct sc_query_options o;
    struct sc_ie_learned learned; /* elements that exporters defined, of all paths */
    struct sc_filter *filter;
    struct sc_source source;
    struct sc_source_bounds bounds;
    struct sc_scan_options scan;
    struct sc_scan_stats stats;
    struct sc_progress progress;
    struct sc_print print;
    struct sc_figures figures; /* of the nodes; at rank 0 of a cluster query */
    bool of_nodes;             /* such a query */
    struct sc_request *requests;
    unsigned request_count;
    struct sc_request_listing *listing;
    uint64_t started_ms;
};

/* Says it on stderr, unless -v 0. @return `code`. */
int sc_query_report(const struct sc_query_job *job, const struct sc_error *err, int code);

/*
 * Times, filter, requests or listing from job->o; job->learned is filled by the caller before. @return 0, or the exit status, and
 * what there is to say was said.
 */
int sc_query_job_parse(struct sc_query_job *job);
/* Of what the time of a query goes into (enum sc_scan_stage). */
const char *sc_query_stage_name(const struct sc_query_job *job, unsigned stage);
void sc_query_job_free(struct sc_query_job *job);

/* As many descriptors as the process may have: what a query holds open stays readable while retention runs. */
void sc_query_raise_files(void);

/* A listing of every column that is stored. */
bool sc_query_all_columns(const struct sc_query_job *job);

/* The first Ctrl-C and the time-out ask the query to end, the second Ctrl-C ends the program. Whoever started a rank sends it SIGUSR1
 * for Ctrl-C; SIGINT and SIGTERM end it. */
void sc_query_watch_signals(uint64_t timeout_ms, bool as_rank);
/* For sc_scan_options.cancel; 1 for a signal, 2 for the time-out. */
const atomic_int *sc_query_cancel_flag(void);

/* A file in TMPDIR (/tmp) without a name, for an answer until it is sure. @return its descriptor; -1 with errno. */
int sc_query_open_spool(void);
/* All of it, from its beginning. False with errno. */
bool sc_query_copy_spool(int from, int to);
/* Progress and the frame of the answer; sets job->scan. */
void sc_query_start_output(struct sc_query_job *job);
/* A listing of job->listing, and what stands before its records. The output is to be freed. */
enum sc_status sc_query_begin_listing(struct sc_query_job *job, struct sc_listing *listing,
                                      struct sc_error *err);
/* `groups` NULL: they were not put together, and none are shown. */
enum sc_status sc_query_print_groups(struct sc_query_job *job, const struct sc_request *request,
                                     const struct sc_groups *groups, struct sc_error *err);
/* The end of the answer. `totals` by protocol, where they are asked for. @return the exit status. */
int sc_query_finish(struct sc_query_job *job, enum sc_status status, const struct sc_summary *summary,
                    const struct sc_row_stats *totals, struct sc_error *err);

#endif
