// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_job.h"

#include "base/clock.h"
#include "base/text.h"
#include "filter/time_range.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Flows are exported at most so long after their end: their windows may lie so far behind the times asked for. */
#define EXPORT_LAG_MS UINT64_C(1800000)

#define COPY_BYTES 65536u

/* ---- stopping: Ctrl-C and --timeout ---- */

static atomic_int cancel_flag;

const atomic_int *sc_query_cancel_flag(void)
{
    return &cancel_flag;
}

static void on_signal(int number)
{
    atomic_store(&cancel_flag, number == SIGALRM ? 2 : 1);
}

/* A write to a slow reader goes on. */
void sc_query_watch_signals(uint64_t timeout_ms, bool as_rank)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerspec when = {.it_value = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000}};
    timer_t timer;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    if (as_rank) {
        sigaction(SIGUSR1, &action, NULL);
    } else {
        action.sa_flags |= (int)SA_RESETHAND;
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    if (timeout_ms != 0 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}

/* ---- the words of the command line ---- */

int sc_query_report(const struct sc_query_job *job, const struct sc_error *err, int code)
{
    if (job->o.verbosity >= 1 && err->status == SC_USAGE) /* the user's own words, and a line with a caret */
        fprintf(stderr, "sc-query: %s\n", err->message);
    else if (job->o.verbosity >= 1)
        sc_say(stderr, "sc-query:", err->message);
    return code;
}

/* "CET-1CEST", "<+03>-3": three or more letters or a name in < >, then an offset. */
static bool is_posix_zone(const char *zone)
{
    size_t name = strspn(zone, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    const char *end = zone[0] == '<' ? strchr(zone, '>') : NULL;
    if (end != NULL)
        name = (size_t)(end - zone) + 1;
    if (name < 3)
        return false;
    const char *offset = zone + name + (zone[name] == '+' || zone[name] == '-');
    return *offset >= '0' && *offset <= '9';
}

/* A file of the zone database begins so. */
static bool is_zone_file(const char *path)
{
    char magic[4];
    FILE *f = fopen(path, "re");
    bool is = f != NULL && fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
              memcmp(magic, "TZif", sizeof(magic)) == 0;
    if (f != NULL)
        fclose(f);
    return is;
}

/* The C library takes a name that it does not know for UTC, without a word. */
static bool zone_exists(const char *zone)
{
    char path[512];
    const char *folder = getenv("TZDIR");
    if (zone[0] == '\0' || zone[0] == '/' || strstr(zone, "..") != NULL)
        return false;
    snprintf(path, sizeof(path), "%s/%s", folder == NULL ? "/usr/share/zoneinfo" : folder, zone);
    return is_zone_file(path) || is_posix_zone(zone);
}

static int set_time_zone(const char *zone)
{
    bool utc = strcasecmp(zone, "UTC") == 0;
    if (utc || strcasecmp(zone, "system") != 0) {
        if (!utc && !zone_exists(zone))
            return sc_query_fail_usage("--time-zone takes a name such as Europe/Prague, UTC, or system");
        setenv("TZ", utc ? "UTC" : zone, 1);
    }
    tzset();
    return 0;
}

/* Options records have few of the usual columns, and each kind has its own. */
bool sc_query_all_columns(const struct sc_query_job *job)
{
    const struct sc_query_options *o = &job->o;
    return o->fields != NULL ? strcasecmp(o->fields, "all") == 0 : o->options_records != 0;
}

static int parse_times(struct sc_query_job *job)
{
    struct sc_error err = {0};
    struct sc_query_options *o = &job->o;
    uint64_t now = o->now_ms != 0 ? o->now_ms : sc_clock_wall_ms();
    job->scan.time = (struct sc_time_bounds){0, UINT64_MAX, o->time_field};
    o->output.local_time = o->time_zone != NULL;
    int code = o->time_zone == NULL ? 0 : set_time_zone(o->time_zone);
    if (code != 0)
        return code;
    if (o->time_range != NULL &&
        sc_time_parse_range(o->time_range, now, o->output.local_time, &job->scan.time.begin_ms,
                            &job->scan.time.end_ms, &err) != SC_OK)
        return sc_query_report(job, &err, SC_EXIT_BAD_USAGE);
    if (o->time_point != NULL &&
        sc_time_parse(o->time_point, now, o->output.local_time, &job->bounds.window_ms, &err) != SC_OK)
        return sc_query_report(job, &err, SC_EXIT_BAD_USAGE);
    job->bounds.options = o->options_records != 0;
    job->bounds.may_leave_out = !o->items_metadata && !sc_query_all_columns(job);
    if (job->scan.time.end_ms != UINT64_MAX || job->scan.time.begin_ms != 0) {
        job->bounds.begin_ms = job->scan.time.begin_ms;
        job->bounds.end_ms = job->scan.time.end_ms > UINT64_MAX - EXPORT_LAG_MS
                                 ? UINT64_MAX
                                 : job->scan.time.end_ms + EXPORT_LAG_MS;
    }
    return 0;
}

static int make_requests(struct sc_query_job *job)
{
    struct sc_query_options *o = &job->o;
    struct sc_error err = {0};
    unsigned count = o->aggregation != NULL ? 1 : o->statistic_count;
    if (count == 0)
        return 0;
    job->requests = calloc(count, sizeof(*job->requests));
    if (job->requests == NULL)
        return sc_query_fail_usage("out of memory");
    for (unsigned i = 0; i < count; i++) {
        enum sc_status status;
        if (o->aggregation != NULL) {
            status = sc_request_aggregate(&job->learned, o->aggregation, o->order, o->fields,
                                          &job->requests[i], &err);
        } else {
            size_t size = strlen(o->statistics[i]) + 16;
            char *keys = malloc(2 * size);
            if (keys == NULL)
                return sc_query_fail_usage("out of memory");
            status = sc_request_split_statistic(o->statistics[i], keys, keys + size, &err);
            if (status == SC_OK)
                status = sc_request_aggregate(&job->learned, keys, o->order != NULL ? o->order : keys + size,
                                              o->fields, &job->requests[i], &err);
            snprintf(job->requests[i].name, sizeof(job->requests[i].name), "%s", o->statistics[i]);
            free(keys);
        }
        if (status != SC_OK)
            return sc_query_report(job, &err, SC_EXIT_BAD_USAGE);
        if (o->scale)
            sc_request_scale(&job->requests[i]);
        if (o->output.local_time)
            sc_request_local_time(&job->requests[i]);
        job->request_count++;
    }
    return 0;
}

static int make_listing(struct sc_query_job *job)
{
    struct sc_error err = {0};
    job->listing = calloc(1, sizeof(*job->listing));
    if (job->listing == NULL)
        return sc_query_fail_usage("out of memory");
    if (sc_request_list(&job->learned, sc_query_all_columns(job) ? "" : job->o.fields, job->o.order,
                        job->listing, &err) != SC_OK)
        return sc_query_report(job, &err, SC_EXIT_BAD_USAGE);
    if (job->listing->column_count == 0 && !sc_query_all_columns(job))
        return sc_query_fail_usage("--output-fields is empty");
    if (job->o.scale)
        sc_request_list_scale(job->listing);
    return 0;
}

int sc_query_job_parse(struct sc_query_job *job)
{
    struct sc_error err = {0};
    int code = parse_times(job);
    if (code != 0)
        return code;
    if (job->o.filter != NULL && sc_filter_parse(&job->learned, job->o.filter, &job->filter, &err) != SC_OK)
        return sc_query_report(job, &err, SC_EXIT_BAD_USAGE);
    code = make_requests(job);
    return code != 0 || job->request_count != 0 ? code : make_listing(job);
}

void sc_query_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE,
                    &limit); /* without it the query opens files again that it could have kept open */
}

/* ---- listings ---- */

enum sc_status sc_query_begin_listing(struct sc_query_job *job, struct sc_listing *listing,
                                      struct sc_error *err)
{
    const struct sc_query_options *o = &job->o;
    const struct sc_request_listing *l = job->listing;
    struct sc_output *output = sc_output_create(&o->output, l->columns, l->column_count);
    if (output == NULL)
        return sc_fail_nomem(err, "the listing");
    *listing = (struct sc_listing){.output = output,
                                   .fields = l->fields,
                                   .field_count = l->column_count,
                                   .orders = l->orders,
                                   .order_count = l->order_count,
                                   .limit = o->limit,
                                   .memory_limit = o->memory_limit,
                                   .separator = o->output.format == SC_OUTPUT_JSON ? ",\n" : "",
                                   .summarize = o->items_summary,
                                   .fit = o->output.format == SC_OUTPUT_PRETTY && l->column_count != 0};
    sc_print_begin_records(&job->print, NULL, listing->fit || l->column_count == 0 ? NULL : output);
    return SC_OK;
}

/* ---- groups ---- */

/* Groups that are written between two looks at whether to stop: so many at least are shown after a stop. */
#define SHOWN_AT_LEAST 1024u

static enum sc_status print_result(struct sc_query_job *job, const struct sc_request *r,
                                   const struct sc_groups *groups, const struct sc_result *result,
                                   struct sc_output *output, struct sc_error *err)
{
    bool stopped = false;
    if (groups != NULL)
        sc_print_fit_groups(&job->print, output, r, groups, result);
    sc_print_begin_records(&job->print, job->o.statistic_count > 1 ? r->name : NULL, output);
    for (uint64_t i = 0; i < result->count && !job->print.failed && !stopped; i++) {
        stopped = i != 0 && i % SHOWN_AT_LEAST == 0 && atomic_load(&cancel_flag) != 0;
        if (!stopped)
            sc_print_group(&job->print, output, r, groups, result->entries[i], i != 0);
    }
    sc_print_end_records(&job->print);
    return stopped ? sc_fail(err, SC_CANCELLED, "before everything was written") : SC_OK;
}

enum sc_status sc_query_print_groups(struct sc_query_job *job, const struct sc_request *r,
                                     const struct sc_groups *groups, struct sc_error *err)
{
    struct sc_output_column columns[SC_MAX_COLUMNS];
    struct sc_result result = {0};
    for (uint32_t i = 0; i < r->column_count; i++)
        columns[i] = (struct sc_output_column){.field = r->columns[i].field, .label = r->columns[i].label};
    struct sc_output *output = sc_output_create(&job->o.output, columns, r->column_count);
    if (output == NULL)
        return sc_fail_nomem(err, "the result");
    enum sc_status status = SC_OK;
    if (groups != NULL)
        status = sc_groups_top(groups, r->orders, r->order_count, job->o.limit, &result, err);
    if (status == SC_OK || status == SC_CANCELLED) {
        enum sc_status printed = print_result(job, r, groups, &result, output, err);
        status = printed == SC_OK ? status : printed;
        free(result.entries);
    }
    sc_output_free(output);
    return status;
}

/* ---- the answer ---- */

int sc_query_open_spool(void)
{
    const char *folder = getenv("TMPDIR");
    return open(folder == NULL || folder[0] == '\0' ? "/tmp" : folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

bool sc_query_copy_spool(int from, int to)
{
    char bytes[COPY_BYTES];
    ssize_t n;
    lseek(from, 0, SEEK_SET);
    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0, written; at < n; at += written) {
            written = write(to, bytes + at, (size_t)(n - at));
            if (written <= 0)
                return false;
        }
    }
    return n == 0;
}

static bool asks_older(const struct sc_query_job *job)
{
    const struct sc_source_bounds *b = &job->bounds;
    return (b->window_ms != 0 ? b->window_ms : b->begin_ms) < job->source.kept_since_ms;
}

static void say_absent(const struct sc_node_figures *n)
{
    char before[320];
    snprintf(before, sizeof(before), "sc-query: node %s takes no part:", n->name);
    sc_say(stderr, before, n->problem);
}

int sc_query_finish(struct sc_query_job *job, enum sc_status status, const struct sc_summary *summary,
                    const struct sc_row_stats *totals, struct sc_error *err)
{
    if (status == SC_CANCELLED) {
        char why[sizeof(err->message) + 32];
        snprintf(why, sizeof(why), "%s %s",
                 atomic_load(&cancel_flag) == 2 ? "the --timeout passed" : "interrupted",
                 err->status == SC_CANCELLED ? err->message : "before everything was read");
        sc_source_note_missing(&job->source, why);
    } else if (status != SC_OK) {
        sc_print_abort(&job->print);
        return sc_query_report(job, err, SC_EXIT_NOTHING);
    }
    struct sc_print_end end = {.summary = job->o.items_summary ? summary : NULL,
                               .totals = job->o.items_metadata ? totals : NULL,
                               .scaled = job->o.scale,
                               .missing = job->source.missing,
                               .missing_count = job->source.missing_count,
                               .damage = job->source.damage,
                               .damage_count = job->source.damage_count,
                               .known_lost = &job->source.known_lost,
                               .kept_since_ms = job->source.kept_since_ms,
                               .asks_older = asks_older(job),
                               .cluster = job->of_nodes ? &job->figures : NULL,
                               .elapsed_ms = sc_clock_mono_ms() - job->started_ms};
    bool written = sc_print_end(&job->print, &end);
    if (job->print.estimated && job->o.verbosity >= 1 && job->o.output.format != SC_OUTPUT_PRETTY)
        fputs(
            "sc-query: numbers of distinct values are estimates, as the values did not fit the memory limit; "
            "their standard error is 0.8 %\n",
            stderr);
    for (uint32_t i = 0; i < job->source.missing_count && job->o.verbosity >= 2; i++)
        sc_say(stderr, "sc-query: missing:", job->source.missing[i]);
    for (uint32_t i = 0; i < job->source.damage_count && job->o.verbosity >= 2; i++)
        sc_say(stderr, "sc-query: damage:", job->source.damage[i]);
    for (uint32_t i = 0; i < job->figures.count && job->o.verbosity >= 2; i++) {
        const struct sc_node_figures *n = &job->figures.nodes[i];
        if (n->problem[0] != '\0')
            say_absent(n);
    }
    if (!written) {
        fprintf(stderr, "sc-query: cannot write the output: %s\n", strerror(job->print.errnum));
        return SC_EXIT_NOTHING;
    }
    return job->source.missing_count != 0 ? SC_EXIT_PARTIAL : SC_EXIT_COMPLETE;
}

/* Where the records go to a terminal or a pager, a bar would stand between them. */
static bool bar_disturbs(const struct sc_progress *progress)
{
    struct stat st;
    return progress->stream == stdout || fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode);
}

void sc_query_start_output(struct sc_query_job *job)
{
    const struct sc_query_options *o = &job->o;
    if (!sc_progress_init(&job->progress, o->progress, o->progress_dest) && o->verbosity >= 1)
        fprintf(stderr, "sc-query: cannot write the progress to %s: %s\n", o->progress_dest, strerror(errno));
    job->print = (struct sc_print){.format = o->output.format,
                                   .several = o->statistic_count > 1,
                                   .volume = o->output.volume,
                                   .progress = bar_disturbs(&job->progress) ? &job->progress : NULL};
    job->scan.progress = job->progress.type == SC_PROGRESS_NONE ? NULL : sc_progress_show;
    job->scan.progress_arg = &job->progress;
    job->scan.filter = job->filter;
    job->scan.threads = o->threads;
    job->scan.no_bloom = o->no_bloom;
    job->scan.scale_sampling = o->scale;
    job->scan.no_summary = !o->items_summary;
    job->scan.cancel = &cancel_flag;
}

const char *sc_query_stage_name(const struct sc_query_job *job, unsigned stage)
{
    static const char *const stages[SC_SCAN_STAGES] = {
        [SC_SCAN_OPEN] = "open",
        [SC_SCAN_SELECT] = "filter",
        [SC_SCAN_READ] = "read columns",
        [SC_SCAN_JOIN] = "put together",
    };
    if (stage != SC_SCAN_USE)
        return stages[stage];
    return !job->o.items_records ? "sums" : job->request_count != 0 ? "groups" : "texts";
}

void sc_query_job_free(struct sc_query_job *job)
{
    sc_source_close(&job->source);
    sc_figures_free(&job->figures);
    sc_filter_free(job->filter);
    sc_ie_learned_free(&job->learned);
    free(job->requests);
    free(job->listing);
}
