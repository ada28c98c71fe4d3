// SPDX-License-Identifier: BSD-3-Clause
/* sc-query: lists, filters, sorts and aggregates the records of stores. */
#include "base/clock.h"
#include "cli/query_cluster.h"
#include "cli/query_job.h"
#include "filter/filter.h"
#include "query/request.h"
#include "query/stored_columns.h"
#include "store/elements.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What cannot be read leaves elements without their names: that is no reason to answer nothing. */
static void load_elements(struct sc_query_job *job)
{
    for (unsigned i = 0; i < job->o.path_count; i++) {
        struct sc_error err;
        if (sc_elements_load(job->o.paths[i], &job->learned, &err) != SC_OK && job->o.verbosity >= 2)
            fprintf(stderr, "sc-query: %s; elements defined in it may have no names\n", err.message);
    }
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The words that are no files, a blank between each. */
static bool join_absent(const struct sc_query_job *job, struct sc_buf *out)
{
    for (unsigned i = 0; i < job->o.path_count; i++) {
        if (!is_there(job->o.paths[i]))
            sc_buf_printf(out, out->len == 0 ? "%s" : " %s", job->o.paths[i]);
    }
    if (out->len != 0)
        sc_buf_append_u8(out, '\0');
    return out->len != 0 && sc_buf_ok(out);
}

/* A filter without -f, as nfdump takes it, looks like paths that are not there: nothing is answered, least of all without it. */
static int refuse_filter(const struct sc_query_job *job)
{
    struct sc_buf text = {0};
    struct sc_filter *filter = NULL;
    bool found = join_absent(job, &text) &&
                 sc_filter_parse(&job->learned, (const char *)text.data, &filter, NULL) == SC_OK;
    if (found) {
        fprintf(stderr,
                "sc-query: there is no \"%s\", but it is a filter, which comes with -f:\n    sc-query ... -f "
                "'%s'",
                text.data, text.data);
        for (unsigned i = 0; i < job->o.path_count; i++) {
            if (is_there(job->o.paths[i]))
                fprintf(stderr, " %s", job->o.paths[i]);
        }
        fputc('\n', stderr);
    }
    sc_filter_free(filter);
    sc_buf_free(&text);
    return found ? SC_EXIT_BAD_USAGE : 0;
}

static int open_source(struct sc_query_job *job)
{
    struct sc_error err = {0};
    sc_query_raise_files();
    enum sc_status status = sc_source_open(job->o.paths, job->o.path_count, &job->bounds, &job->source, &err);
    return status == SC_OK ? 0 : sc_query_report(job, &err, SC_EXIT_NOTHING);
}

/* "all": every column that any row group has, under its own name. */
static int add_stored_columns(struct sc_query_job *job)
{
    struct sc_error err = {0};
    struct sc_stored_columns columns;
    sc_stored_columns_init(&columns, &job->learned);
    enum sc_status status = sc_stored_columns_find(&columns, &job->source, &err);
    if (status == SC_OK)
        status = sc_stored_columns_list(&columns, job->listing, &err);
    sc_stored_columns_free(&columns);
    return status == SC_OK ? 0 : sc_query_report(job, &err, SC_EXIT_NOTHING);
}

static enum sc_status run_listing(struct sc_query_job *job, struct sc_summary *summary, struct sc_error *err)
{
    struct sc_listing listing;
    struct sc_sink sink = {.write = sc_print_write, .arg = &job->print};
    SC_TRY(sc_query_begin_listing(job, &listing, err));
    enum sc_status status =
        sc_query_list(&job->source, &job->scan, &listing, &sink, summary, &job->stats, err);
    sc_print_end_records(&job->print);
    sc_output_free(listing.output);
    return status;
}

static enum sc_status run_groups(struct sc_query_job *job, struct sc_summary *summary, struct sc_error *err)
{
    struct sc_top tops[SC_QUERY_MAX_STATISTICS];
    struct sc_groups *groups[SC_QUERY_MAX_STATISTICS] = {NULL};
    for (unsigned i = 0; i < job->request_count; i++) {
        struct sc_request *r = &job->requests[i];
        tops[i] = (struct sc_top){.aggregate = &r->aggregate,
                                  .orders = r->orders,
                                  .order_count = r->order_count,
                                  .limit = job->o.limit};
    }
    enum sc_status status = sc_query_top(&job->source, &job->scan, tops, job->request_count,
                                         job->o.memory_limit, groups, summary, &job->stats, err);
    bool usable = status == SC_OK || status == SC_CANCELLED;
    for (unsigned i = 0; i < job->request_count && usable; i++) {
        enum sc_status printed = sc_query_print_groups(job, &job->requests[i], groups[i], err);
        if (printed != SC_OK)
            status = printed;
    }
    for (unsigned i = 0; i < job->request_count; i++)
        sc_groups_free(groups[i]);
    return status;
}

static enum sc_status run_query(struct sc_query_job *job, struct sc_summary *summary, struct sc_error *err)
{
    const struct sc_query_options *o = &job->o;
    enum sc_status status = SC_OK;
    if (o->items_records && job->request_count == 0)
        status = run_listing(job, summary, err);
    else if (o->items_records)
        status = run_groups(job, summary, err);
    else if (o->items_summary) {
        struct sc_groups *none[1];
        status = sc_query_aggregate(&job->source, &job->scan, NULL, 0, 0, none, summary, &job->stats, err);
    }
    return status;
}

static void explain(const struct sc_query_job *job)
{
    struct sc_buf text = {0};
    char begin[32], end[32] = "now or later";
    sc_time_format_utc(job->scan.time.begin_ms, begin, sizeof(begin));
    if (job->scan.time.end_ms != UINT64_MAX)
        sc_time_format_utc(job->scan.time.end_ms, end, sizeof(end));
    if (job->filter != NULL)
        sc_filter_format(job->filter, &text);
    fprintf(stderr,
            "filter: %.*s\ntime: from %s to %s\nsegments: %u, %llu bytes; row groups: %u, of which %llu were "
            "left "
            "out by time, %llu read (%llu bytes)\nthreads: %u\n",
            text.len == 0 ? 3 : (int)text.len, text.len == 0 ? "any" : (const char *)text.data,
            job->scan.time.begin_ms == 0 ? "the beginning" : begin, end, job->source.segment_count,
            (unsigned long long)job->source.bytes, job->source.unit_count,
            (unsigned long long)job->stats.units_pruned, (unsigned long long)job->stats.units_read,
            (unsigned long long)job->stats.bytes_read, job->o.threads);
    sc_buf_free(&text);
}

/* What the time of the query went into. */
static void analyze(const struct sc_query_job *job)
{
    const struct sc_scan_stats *s = &job->stats;
    fprintf(stderr, "rows: %llu looked at, %llu selected; time by stage, of all threads:\n",
            (unsigned long long)s->rows_read, (unsigned long long)s->rows_selected);
    for (unsigned i = 0; i < SC_SCAN_STAGES; i++)
        fprintf(stderr, "  %-14s %10.1f ms\n", sc_query_stage_name(job, i), (double)s->spent_ns[i] / 1e6);
    fprintf(stderr, "  %-14s %10llu ms, by the clock\n", "all",
            (unsigned long long)(sc_clock_mono_ms() - job->started_ms));
}

static int run(struct sc_query_job *job)
{
    struct sc_error err = {0};
    struct sc_summary summary = {0};
    load_elements(job);
    int code = sc_query_job_parse(job);
    if (code != 0)
        return code;
    code = refuse_filter(job);
    if (code != 0)
        return code;
    sc_query_watch_signals(job->o.timeout_ms, false);
    code = open_source(job);
    if (code != 0)
        return code;
    if (job->listing != NULL && sc_query_all_columns(job)) {
        code = add_stored_columns(job);
        if (code != 0)
            return code;
    }
    sc_query_start_output(job);
    enum sc_status status = run_query(job, &summary, &err);
    sc_progress_end(&job->progress);
    struct sc_row_stats totals;
    sc_row_stats_init(&totals);
    if (job->o.items_metadata && (status == SC_OK || status == SC_CANCELLED) &&
        sc_query_totals(&job->source, &totals, &err) != SC_OK)
        status = err.status;
    code = sc_query_finish(job, status, &summary, &totals, &err);
    sc_row_stats_free(&totals);
    if (job->o.explain)
        explain(job);
    if (job->o.analyze)
        analyze(job);
    return code;
}

/* Under mpiexec this is a rank: mpiexec ... sc-query runs on every node what the user asks, as fdistdump does. */
static bool under_mpiexec(void)
{
    return getenv("OMPI_COMM_WORLD_RANK") != NULL || getenv("PMI_RANK") != NULL;
}

int main(int argc, char **argv)
{
    struct sc_query_job job = {.started_ms = sc_clock_mono_ms()};
    if (under_mpiexec())
        return sc_query_become_rank(argc, argv);
    int code = sc_query_options_parse(argc, argv, &job.o);
    if (code < 0)
        code = job.o.of_cluster ? sc_query_cluster(&job, argc, argv) : run(&job);
    sc_query_job_free(&job);
    return code;
}
