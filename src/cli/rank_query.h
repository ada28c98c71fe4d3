// SPDX-License-Identifier: BSD-3-Clause
/*
 * A query over several nodes, as each of its ranks answers it: plan, scan, reduction, and at rank 0 the printed answer. All ranks call
 * the same functions in the same order:
 *
 *     struct sc_rank_query query = {0};
 *     sc_rank_query_begin(&query);
 *     query.ranks, query.beater
 *     int own = sc_rank_query_parse_own(&query, argc, argv);
 *     int code = sc_rank_query_run(&query, argc - own, argv + own);
 *     sc_rank_query_free(&query);
 *
 * For ranks over MPI: one that cannot go on says why and ends the whole job (sc_ranks_mpi_abort). Signals and the time zone are the
 * process's.
 */
#ifndef SC_CLI_RANK_QUERY_H
#define SC_CLI_RANK_QUERY_H

#include "cli/query_job.h"
#include "cluster/beat.h"
#include "cluster/distributed.h"
#include "cluster/reduce_wish.h"
#include "cluster/words.h"
#include "query/aggregate.h"

#define SC_RANK_MOST_ABSENT 1024u

/* The parts of a query, in their order; a further round comes back to an earlier one. */
enum sc_rank_part {
    SC_RANK_LAUNCH,
    SC_RANK_PLAN,
    SC_RANK_SCAN,
    SC_RANK_REDUCE,
    SC_RANK_PRINT,
    SC_RANK_PARTS
};

struct sc_rank_query {
    /* The caller's. */
    struct sc_ranks ranks;
    struct sc_beater *beater; /* may be NULL */
    /* Of sc_rank_query_parse_own(); texts are borrowed from argv. */
    bool supervised;
    const char *node; /* NULL: not given; "": this rank reads nothing */
    /* What the supervisor alone knows: how often it has tried; nodes that take no part and why, in pairs. */
    uint32_t attempt;
    const char *absent[2 * SC_RANK_MOST_ABSENT];
    unsigned absent_count;
    /* Of the query. */
    struct sc_query_job job;
    struct sc_distributed distributed;
    char **paths;
    unsigned path_count;
    bool reads;
    char host[256]; /* of this machine */
    /* Rank 0 writes its records to a file until it is sure of them. */
    int answer_fd;
    enum sc_rank_part part;
    uint64_t began_wall_ms, entered_ms, spent_ms[SC_RANK_PARTS];
    struct sc_summary summary;
    struct sc_groups *groups[SC_QUERY_MAX_STATISTICS];
    bool reduced; /* the only ones are put together, as this says */
    struct sc_reduce_stats reduced_by;
    struct sc_words words; /* of sc-query, as rank 0 told them */
};

/* Reads the clocks: the query, or its part in this process, begins now. */
void sc_rank_query_begin(struct sc_rank_query *query);

/* The rank's own words, up to "--". @return the index of "--", `argc` where rank 0 has it and what follows; -1: usage. */
int sc_rank_query_parse_own(struct sc_rank_query *query, int argc, char **argv);

/* Answers the words of sc-query, with a program's name before them (supervised: rank 0's, whatever others have), on stdout. @return the exit status (enum sc_query_exit) at rank 0;
 * others' is 0, or that of words that make no sense. */
int sc_rank_query_run(struct sc_rank_query *query, int argc, char **argv);

/* How long each part took, on stderr. Also after sc_rank_query_free(). */
void sc_rank_query_explain(const struct sc_rank_query *query);

/* Ranks, beater and the rank's own words stay. */
void sc_rank_query_free(struct sc_rank_query *query);

#endif
