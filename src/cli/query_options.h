// SPDX-License-Identifier: BSD-3-Clause
/* The command line of sc-query, also as a rank of a cluster query reads it. */
#ifndef SC_CLI_QUERY_OPTIONS_H
#define SC_CLI_QUERY_OPTIONS_H

#include "cli/query_print.h"
#include "query/select.h"

#define SC_QUERY_MAX_STATISTICS 16

enum sc_query_exit { SC_EXIT_COMPLETE = 0, SC_EXIT_NOTHING = 1, SC_EXIT_BAD_USAGE = 2, SC_EXIT_PARTIAL = 3 };

struct sc_query_options {
    const char *filter;
    const char *time_range, *time_point, *time_zone;
    enum sc_time_field time_field;
    unsigned options_records; /* 1: what exporters tell about themselves, not flows */
    bool scale;
    const char *aggregation;
    const char *statistics[SC_QUERY_MAX_STATISTICS];
    unsigned statistic_count;
    const char *order;
    const char *limit_given; /* NULL: by the statistics */
    uint64_t limit;          /* 0: all */
    const char *fields;
    struct sc_output_options output;
    bool items_records, items_summary, items_metadata;
    unsigned threads;
    uint64_t timeout_ms, node_timeout_ms;
    uint64_t memory_limit;
    bool no_bloom;
    bool explain, analyze;
    unsigned verbosity;
    enum sc_progress_type progress;
    const char *progress_dest;
    const char *const *paths;
    unsigned path_count;
    bool paths_given;
    uint64_t now_ms;           /* of relative times; 0: the clock */
    bool stream;               /* records are written before it is sure that nothing is missing */
    bool of_cluster;           /* --cluster; its file, NULL: that of the configuration */
    const char *cluster, *ssh; /* NULL: not given */
};
/* Texts are borrowed from argv. @return -1: go on; else the exit status, and what there is to say was said. */
int sc_query_options_parse(int argc, char **argv, struct sc_query_options *out);

/* Says the sentence on stderr. @return SC_EXIT_BAD_USAGE. */
int sc_query_fail_usage(const char *sentence);

#endif
