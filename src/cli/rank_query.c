// SPDX-License-Identifier: BSD-3-Clause
#include "cli/rank_query.h"

#include "base/clock.h"
#include "base/text.h"
#include "cluster/cells.h"
#include "cluster/listing.h"
#include "cluster/ranks.h"
#include "cluster/reduce.h"
#include "cluster/share.h"
#include "conf/config.h"
#include "store/elements.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_root(const struct sc_rank_query *r)
{
    return r->ranks.rank == 0;
}

static const char *const parts[SC_RANK_PARTS] = {"launch", "plan", "scan", "reduce", "print"};

static void enter(struct sc_rank_query *r, enum sc_rank_part part)
{
    uint64_t now = sc_clock_mono_ms();
    r->spent_ms[r->part] += now - r->entered_ms;
    r->entered_ms = now;
    r->part = part;
    if (r->beater != NULL)
        sc_beater_phase(r->beater, parts[part]);
}

/* The query began when the supervisor read the clock for --now; without one, with this process. */
static void count_launch(struct sc_rank_query *r)
{
    uint64_t now_ms = r->job.o.now_ms;
    uint64_t before = now_ms == 0 || now_ms > r->began_wall_ms ? 0 : r->began_wall_ms - now_ms;
    r->spent_ms[SC_RANK_LAUNCH] += before;
    r->job.started_ms -= before < r->job.started_ms ? before : 0;
}

void sc_rank_query_explain(const struct sc_rank_query *r)
{
    char line[256] = "";
    int at = 0;
    for (unsigned i = 0; i < SC_RANK_PARTS; i++)
        at += snprintf(line + at, sizeof(line) - (size_t)at, "%s %s %llu ms", i == 0 ? "" : ",", parts[i],
                       (unsigned long long)r->spent_ms[i]);
    fprintf(stderr, "parts:%s\n", line); /* one write: beats and other ranks' lines go the same way */
}

static _Noreturn void end_all(int code)
{
    sc_ranks_mpi_abort(code);
    _exit(code);
}

/* One that cannot go on ends all. */
static _Noreturn void give_up(const struct sc_rank_query *r, const struct sc_error *err, int code)
{
    fprintf(stderr, "sc-query: %s%s%s\n", r->node, r->node[0] == '\0' ? "" : ": ", err->message);
    fflush(stderr);
    if (r->supervised)
        sc_exit_line_write(STDERR_FILENO, code);
    end_all(code);
}

static void need(const struct sc_rank_query *r, enum sc_status status, const struct sc_error *err)
{
    if (status != SC_OK)
        give_up(r, err, SC_EXIT_NOTHING);
}

/* ---- arguments ---- */

int sc_rank_query_parse_own(struct sc_rank_query *r, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--supervised") == 0)
            r->supervised = true;
        else if (strcmp(argv[i], "--node") == 0 && i + 1 < argc)
            r->node = argv[++i];
        else if (strcmp(argv[i], "--attempt") == 0 && i + 1 < argc)
            r->attempt = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--absent") == 0 && i + 2 < argc && r->absent_count < SC_RANK_MOST_ABSENT) {
            r->absent[2 * r->absent_count] = argv[++i];
            r->absent[2 * r->absent_count++ + 1] = argv[++i];
        } else
            return -1;
    }
    return i < argc || (r->supervised && !is_root(r)) ? i : -1;
}

/* The store of the configuration when no path is given. */
static enum sc_status choose_paths(struct sc_rank_query *r, bool given, struct sc_error *err)
{
    struct sc_config config;
    if (!r->reads)
        return SC_OK;
    unsigned count = given ? r->job.o.path_count : 1;
    r->paths = calloc(count, sizeof(char *));
    if (r->paths == NULL)
        return sc_fail_nomem(err, "the paths");
    if (!given) {
        SC_TRY(sc_config_init(&config, err));
        enum sc_status status = access(SC_CONFIG_DEFAULT_FILE, F_OK) == 0
                                    ? sc_config_load(SC_CONFIG_DEFAULT_FILE, &config, err)
                                    : SC_OK;
        if (status == SC_OK)
            r->paths[r->path_count++] = strdup(config.store);
        sc_config_free(&config);
        return status != SC_OK || r->paths[0] != NULL ? status : sc_fail_nomem(err, "the paths");
    }
    for (; r->path_count < count; r->path_count++) {
        r->paths[r->path_count] = sc_words_expand(r->job.o.paths[r->path_count], r->host, r->node);
        if (r->paths[r->path_count] == NULL)
            return sc_fail_nomem(err, "the paths");
    }
    return SC_OK;
}

/* A disk that is not there. One store of several that is missing is told in the answer, and so it is where nobody could start anew. */
static enum sc_status find_stores(const struct sc_rank_query *r, struct sc_error *err)
{
    if (r->path_count == 0 || !r->supervised)
        return SC_OK;
    for (unsigned i = 0; i < r->path_count; i++) {
        if (r->paths[i] != NULL && access(r->paths[i], R_OK) == 0)
            return SC_OK;
    }
    return sc_fail_errno(err, errno, "%s", r->paths[r->path_count - 1]);
}

/* ---- what ranks have in common ---- */

/* In and out: sc-query's words, with the program's name before them. */
static void share_words(struct sc_rank_query *r, int *argc, char ***argv)
{
    struct sc_error err = {0};
    for (int i = 0; is_root(r) && i < *argc; i++)
        sc_words_add(&r->words, (*argv)[i]);
    need(r, sc_share_words(&r->ranks, &r->words, &err), &err);
    *argc = (int)r->words.count;
    *argv = r->words.list;
}

static void share_learned(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    for (unsigned i = 0; i < r->path_count; i++)
        (void)sc_elements_load(r->paths[i], &r->job.learned, NULL);
    need(r, sc_share_learned(&r->ranks, &r->job.learned, &err), &err);
}

/* Groups meet by the hash of their keys: all ranks take the seed that rank 0 drew. */
static void share_seed(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    for (unsigned i = 0; i < r->job.request_count; i++)
        need(r, sc_ranks_tell(&r->ranks, &r->job.requests[i].aggregate.seed, 1, &err), &err);
}

static void share_columns(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    struct sc_stored_columns columns;
    sc_stored_columns_init(&columns, &r->job.learned);
    need(r, sc_stored_columns_find(&columns, &r->distributed.source, &err), &err);
    need(r, sc_share_columns(&r->ranks, &columns, &err), &err);
    need(r, sc_stored_columns_list(&columns, r->job.listing, &err), &err);
    sc_stored_columns_free(&columns);
}

static void share_totals(struct sc_rank_query *r, struct sc_row_stats *totals)
{
    struct sc_error err = {0};
    need(r, sc_query_totals(&r->distributed.source, totals, &err), &err);
    need(r, sc_share_totals(&r->ranks, totals, &err), &err);
}

/* ---- who takes part ---- */

typedef enum sc_status muster_fn(const struct sc_muster *muster, const char *text, struct sc_error *err);

/* Returns when all may go on. A supervisor that was told who may not starts another job. */
static void muster(const struct sc_rank_query *r, muster_fn *hold, const char *text)
{
    struct sc_error err = {0};
    const struct sc_muster m = {&r->ranks, r->node, r->supervised ? STDERR_FILENO : -1};
    enum sc_status status = hold(&m, text, &err);
    if (status != SC_UNSUPPORTED || !r->supervised)
        need(r, status, &err);
    else
        end_all(SC_EXIT_NOTHING);
}

/* ---- rank 0's records, until they are sure ---- */

static void hold_answer(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    if (!is_root(r) || r->job.o.stream)
        return;
    int fd = sc_query_open_spool();
    r->answer_fd = fd < 0 ? -1 : dup(STDOUT_FILENO);
    if (r->answer_fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
        need(r, sc_fail_errno(&err, errno, "cannot hold the records in a temporary file"), &err);
    close(fd);
}

static void forget_answer(struct sc_rank_query *r)
{
    if (r->answer_fd < 0)
        return;
    fflush(stdout);
    if (ftruncate(STDOUT_FILENO, 0) == 0)
        lseek(STDOUT_FILENO, 0, SEEK_SET);
}

static void release_answer(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    if (r->answer_fd < 0)
        return;
    fflush(stdout);
    if (!sc_query_copy_spool(STDOUT_FILENO, r->answer_fd) || dup2(r->answer_fd, STDOUT_FILENO) < 0)
        need(r, sc_fail_errno(&err, errno, "cannot write the output"), &err);
    close(r->answer_fd);
    r->answer_fd = -1;
}

/* ---- reading ---- */

static void on_progress(void *arg, const struct sc_scan_progress *so_far)
{
    sc_beater_progress(arg, so_far->done, so_far->total, so_far->rows, so_far->bytes);
}

/* A supervisor shows the progress of all; without one rank 0 shows its own. */
static void start_output(struct sc_rank_query *r)
{
    sc_query_start_output(&r->job);
    if (r->beater == NULL)
        return;
    r->job.scan.progress = on_progress;
    r->job.scan.progress_arg = r->beater;
}

static void free_groups(struct sc_rank_query *r)
{
    for (unsigned i = 0; i < r->job.request_count; i++) {
        sc_groups_free(r->groups[i]);
        r->groups[i] = NULL;
    }
}

/* Groups that nobody wants to see are not made: then only the summary is. */
static unsigned wanted_groups(const struct sc_rank_query *r)
{
    return r->job.o.items_records ? r->job.request_count : 0;
}

static struct sc_reduce_wish wish_of(const struct sc_rank_query *r, unsigned i)
{
    const struct sc_request *q = &r->job.requests[i];
    return (struct sc_reduce_wish){.orders = q->orders,
                                   .order_count = q->order_count,
                                   .limit = r->job.o.limit,
                                   .threads = r->job.o.threads};
}

static struct sc_top first_top(struct sc_rank_query *r)
{
    struct sc_request *q = &r->job.requests[0];
    return (struct sc_top){&q->aggregate, q->orders, q->order_count, r->job.o.limit};
}

static bool is_by_sum(struct sc_rank_query *r)
{
    const struct sc_top top = first_top(r);
    return sc_by_cells_suits(&top);
}

static enum sc_status top_by_cells(struct sc_rank_query *r, struct sc_error *err)
{
    const struct sc_top top = first_top(r);
    struct sc_cluster_top all = {.by = {.source = &r->distributed.source,
                                        .options = &r->job.scan,
                                        .top = &top,
                                        .memory_limit = r->job.o.memory_limit,
                                        .keep_values = true,
                                        .stats = &r->job.stats},
                                 .wish = wish_of(r, 0),
                                 .summary = &r->summary,
                                 .stats = &r->reduced_by};
    enum sc_status status = sc_cluster_top(&r->ranks, &all, &r->groups[0], err);
    r->reduced = all.reduced;
    return status;
}

static enum sc_status scan_groups(struct sc_rank_query *r, struct sc_error *err)
{
    struct sc_query_job *job = &r->job;
    struct sc_aggregate *aggregates[SC_QUERY_MAX_STATISTICS];
    for (unsigned i = 0; i < job->request_count; i++)
        aggregates[i] = &job->requests[i].aggregate;
    struct sc_aggregate_run request = {.aggregates = aggregates,
                                       .count = wanted_groups(r),
                                       .memory_limit = job->o.memory_limit,
                                       .keep_values = true};
    free_groups(r);
    r->reduced = false;
    if (request.count == 1 && is_by_sum(r))
        return top_by_cells(r, err);
    return sc_aggregate_run(&request, &r->distributed.source, &job->scan, r->groups, &r->summary, &job->stats,
                            err);
}

static enum sc_status list(struct sc_rank_query *r, struct sc_error *err)
{
    struct sc_query_job *job = &r->job;
    struct sc_cluster_list_stats list_stats = {0};
    struct sc_listing listing;
    struct sc_sink sink = {.write = sc_print_write, .arg = &job->print};
    forget_answer(r);
    if (is_root(r))
        start_output(r);
    SC_TRY(sc_query_begin_listing(job, &listing, err));
    enum sc_status status = sc_cluster_list(&r->ranks, &r->distributed.source, &job->scan, &listing, &sink,
                                            &r->summary, &job->stats, &list_stats, err);
    sc_print_end_records(&job->print);
    sc_output_free(listing.output);
    return status;
}

/* All that is assigned. */
static enum sc_status read_once(void *arg, struct sc_error *err)
{
    struct sc_rank_query *r = arg;
    const struct sc_query_options *o = &r->job.o;
    enter(r, SC_RANK_SCAN);
    r->summary = (struct sc_summary){0};
    if (o->items_records && r->job.request_count == 0)
        return list(r, err);
    return o->items_records || o->items_summary ? scan_groups(r, err) : SC_OK;
}

/* SC_CANCELLED: the answer is partial. */
static enum sc_status read_all(struct sc_rank_query *r, struct sc_error *err)
{
    enum sc_status status = sc_distributed_read(&r->distributed, read_once, r, err);
    if (status != SC_CANCELLED)
        need(r, status, err);
    return status;
}

static void reduce_one(struct sc_rank_query *r, unsigned i, struct sc_reduce_stats *stats,
                       struct sc_error *err)
{
    struct sc_aggregate *aggregate = &r->job.requests[i].aggregate;
    const struct sc_reduce_wish wish = wish_of(r, i);
    if (r->groups[i] == NULL) /* this rank was stopped, and has put none together */
        r->groups[i] = sc_groups_create(aggregate);
    if (r->groups[i] == NULL)
        need(r, sc_fail_nomem(err, "groups"), err);
    need(r, sc_reduce_groups(&r->ranks, &wish, aggregate, &r->groups[i], stats, err), err);
}

static enum sc_status reduce(struct sc_rank_query *r, enum sc_status status, struct sc_error *err)
{
    static const char *const ways[] = {"-", "gather", "exchange", "tput"}; /* enum sc_reduce_way */
    struct sc_query_job *job = &r->job;
    enter(r, SC_RANK_REDUCE);
    for (unsigned i = 0; i < wanted_groups(r); i++) {
        struct sc_request *q = &job->requests[i];
        struct sc_reduce_stats stats = r->reduced_by;
        if (!r->reduced)
            reduce_one(r, i, &stats, err);
        if (is_root(r) && job->o.explain)
            fprintf(stderr, "reduce: %s%s, %u rounds, %llu bytes from rank 0\n", r->reduced ? "cells, " : "",
                    ways[stats.way], stats.rounds, (unsigned long long)stats.bytes);
        if (!is_root(r))
            continue;
        enum sc_status printed = sc_query_print_groups(job, q, r->groups[i], err);
        status = printed == SC_OK ? status : printed;
    }
    return status;
}

/* ---- the whole ---- */

/* A node that takes no part is no gap in itself where tallies say what ought to be there. */
static void note_absent(struct sc_rank_query *r)
{
    for (unsigned i = 0; is_root(r) && i < r->absent_count; i++) {
        char text[SC_ERROR_MAX + 320];
        snprintf(text, sizeof(text), "node %s takes no part: %s", r->absent[2 * i], r->absent[2 * i + 1]);
        if (r->distributed.expected.tally_count == 0)
            (void)sc_source_note_missing(&r->distributed.source, text);
    }
}

/* Before the ranks' summaries are added up. */
static void gather_figures(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    struct sc_figures *figures = &r->job.figures;
    need(r,
         sc_figures_gather(&r->ranks, r->reads ? r->node : "", &r->distributed.source, &r->job.stats,
                           r->summary.records, figures, &err),
         &err);
    for (unsigned i = 0; is_root(r) && i < r->absent_count; i++) {
        if (sc_figures_add_absent(figures, r->absent[2 * i], r->absent[2 * i + 1]) != SC_OK)
            need(r, sc_fail_nomem(&err, "the nodes"), &err);
    }
    figures->rounds = r->distributed.rounds;
    figures->attempts = r->attempt;
    r->job.of_nodes = true;
}

/* What the time of each node went into, in one write: other ranks' lines go the same way. */
static void analyze(const struct sc_rank_query *r)
{
    struct sc_buf text = {0};
    for (uint32_t i = 0; i < r->job.figures.count; i++) {
        const struct sc_node_figures *n = &r->job.figures.nodes[i];
        if (n->problem[0] != '\0')
            continue;
        sc_buf_append_visible(&text, n->name, strlen(n->name));
        sc_buf_printf(&text, ": %llu rows looked at, %llu selected; of all threads",
                      (unsigned long long)n->scan.rows_read, (unsigned long long)n->scan.rows_selected);
        for (unsigned stage = 0; stage < SC_SCAN_STAGES; stage++)
            sc_buf_printf(&text, "%s %s %.1f ms", stage == 0 ? "" : ",", sc_query_stage_name(&r->job, stage),
                          (double)n->scan.spent_ns[stage] / 1e6);
        sc_buf_append_str(&text, "\n");
    }
    if (sc_buf_ok(&text))
        fwrite(text.data, 1, text.len, stderr);
    sc_buf_free(&text);
}

static int answer(struct sc_rank_query *r)
{
    struct sc_error err = {0};
    struct sc_query_job *job = &r->job;
    struct sc_row_stats totals;
    const struct sc_distributed_options options = {.ranks = &r->ranks,
                                                   .node = r->node,
                                                   .paths = (const char *const *)r->paths,
                                                   .path_count = r->path_count,
                                                   .bounds = job->bounds};
    need(r, sc_distributed_open(&r->distributed, &options, &err), &err);
    note_absent(r);
    if (job->listing != NULL && sc_query_all_columns(job))
        share_columns(r);
    hold_answer(r);
    start_output(r);
    enum sc_status status = reduce(r, read_all(r, &err), &err);
    enter(r, SC_RANK_PRINT);
    gather_figures(r);
    need(r, sc_distributed_summary(&r->distributed, &r->summary, &err), &err);
    sc_row_stats_init(&totals);
    if (job->o.items_metadata)
        share_totals(r, &totals);
    struct sc_error notes_err = {0};
    need(r, sc_distributed_notes(&r->distributed, &notes_err), &notes_err);
    job->source = r->distributed.source;
    r->distributed.source = (struct sc_source){0};
    int code = is_root(r) ? sc_query_finish(job, status, &r->summary, &totals, &err) : SC_EXIT_COMPLETE;
    release_answer(r);
    if (is_root(r) && job->o.analyze)
        analyze(r);
    sc_row_stats_free(&totals);
    enter(r, SC_RANK_PRINT);
    return code;
}

int sc_rank_query_run(struct sc_rank_query *r, int argc, char **argv)
{
    struct sc_error err = {0};
    r->reads = r->node == NULL || r->node[0] != '\0';
    r->node = r->node == NULL ? r->host : r->node;
    muster(r, sc_muster_version, SC_RANKS_VERSION);
    if (r->supervised)
        share_words(r, &argc, &argv);
    int code = sc_query_options_parse(argc, argv, &r->job.o);
    if (code >= 0)
        return is_root(r) ? code : 0;
    if (!is_root(r))
        r->job.o.verbosity = 0;
    if (!is_root(r) || r->beater != NULL)
        r->job.o.progress = SC_PROGRESS_NONE;
    bool ready = choose_paths(r, r->job.o.paths_given, &err) == SC_OK && find_stores(r, &err) == SC_OK;
    muster(r, sc_muster_excuse, ready ? "" : err.message);
    sc_query_watch_signals(r->job.o.timeout_ms, true);
    count_launch(r);
    enter(r, SC_RANK_PLAN);
    share_learned(r);
    code = sc_query_job_parse(&r->job);
    if (code != 0)
        return code;
    share_seed(r);
    sc_query_raise_files();
    return answer(r);
}

void sc_rank_query_begin(struct sc_rank_query *r)
{
    r->answer_fd = -1;
    r->job.started_ms = r->entered_ms = sc_clock_mono_ms();
    r->began_wall_ms = sc_clock_wall_ms();
    gethostname(r->host, sizeof(r->host) - 1);
}

void sc_rank_query_free(struct sc_rank_query *r)
{
    free_groups(r);
    sc_query_job_free(&r->job);
    sc_distributed_close(&r->distributed);
    for (unsigned i = 0; i < r->path_count; i++)
        free(r->paths[i]);
    free(r->paths);
    sc_words_free(&r->words);
}
