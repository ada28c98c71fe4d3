// SPDX-License-Identifier: BSD-3-Clause
/*
 * sc-query-rank: one rank of a query over several nodes, under mpiexec. Started by sc-query, which hands its own words on:
 *
 *     sc-query-rank [--supervised] [--node NAME] [--attempt N] [--absent NAME WHY]... -- SC-QUERY-OPTIONS [PATH...]
 *
 * Supervised ranks but rank 0 have no `--` and what follows: rank 0 tells them. There may be more of it than fits mpiexec's command once
 * for each node.
 *
 * Every rank reads the stores of its node: PATH, in which %h stands for the name of the machine and %n for NAME; without a PATH the
 * store of the node's own configuration. Rank 0 also makes the answer. With --node '' this rank reads nothing. Supervised, each rank
 * beats on stderr (cluster/beat.h), rank 0 writes its exit status there, and all end with 0.
 */
#include "cli/rank_query.h"
#include "cluster/ranks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The mpiexec of another MPI than this program was built with makes each rank a world of its own. */
static bool is_stray(const struct sc_rank_query *q)
{
    const char *size =
        getenv("OMPI_COMM_WORLD_SIZE") != NULL ? getenv("OMPI_COMM_WORLD_SIZE") : getenv("PMI_SIZE");
    return size != NULL && strtoul(size, NULL, 10) > q->ranks.count;
}

static int run(struct sc_rank_query *q, int argc, char **argv)
{
    static char program[] = "sc-query";
    int own = sc_rank_query_parse_own(q, argc, argv);
    if (own < 0)
        return sc_query_fail_usage("sc-query-rank is run by sc-query --cluster, and by mpiexec ... sc-query");
    if (is_stray(q))
        return sc_query_fail_usage("this mpiexec is not of the MPI that sc-query-rank was built with");
    argv[own] = program;
    if (q->ranks.rank != 0)
        fclose(stdout); /* one rank answers */
    return sc_rank_query_run(q, argc - own, argv + own);
}

int main(int argc, char **argv)
{
    struct sc_rank_query q = {0};
    struct sc_error err = {0};
    sc_rank_query_begin(&q);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("sc-query " SC_RANKS_VERSION);
        return SC_EXIT_COMPLETE;
    }
    bool supervised = argc > 1 && strcmp(argv[1], "--supervised") == 0;
    if (supervised) /* before MPI, in whose beginning all wait for all: who hangs there can be told then */
        q.beater = sc_beater_start(STDERR_FILENO, sc_rank_by_launcher(), &err);
    if (sc_ranks_mpi_begin(&argc, &argv, &q.ranks, &err) != SC_OK) {
        fprintf(stderr, "sc-query: %s\n", err.message);
        return SC_EXIT_NOTHING;
    }
    int code = run(&q, argc, argv);
    const bool is_root = q.ranks.rank == 0;
    sc_rank_query_free(&q);
    if (is_root && q.job.o.explain)
        sc_rank_query_explain(&q);
    if (is_root)
        fflush(stdout);
    if (supervised && is_root)
        sc_exit_line_write(STDERR_FILENO, code);
    sc_beater_stop(q.beater);
    sc_ranks_mpi_end();
    return supervised || !is_root ? 0 : code;
}
