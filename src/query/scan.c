// SPDX-License-Identifier: BSD-3-Clause
#include "query/scan.h"

#include "base/clock.h"

#include <stdlib.h>

struct scan {
    struct sc_source *source;
    const struct sc_scan_options *options;
    const struct sc_scan_consumer *consumer;
    atomic_uint next;
    atomic_int stop;
    pthread_mutex_t mutex;
    /* guarded by the mutex */
    enum sc_status status;
    struct sc_error error;
    struct sc_scan_progress so_far;
};

struct worker {
    struct scan *scan;
    unsigned number;
    pthread_t thread;
    struct sc_read_context context;
    struct sc_selector selector;
    struct sc_scan_stats stats;
    uint64_t rows_told, bytes_told; /* in scan->so_far */
};

static void fail(struct scan *scan, enum sc_status status, const struct sc_error *err)
{
    pthread_mutex_lock(&scan->mutex);
    if (scan->status == SC_OK) {
        scan->status = status;
        scan->error = *err;
        scan->error.status = status;
    }
    pthread_mutex_unlock(&scan->mutex);
    atomic_store(&scan->stop, 1);
}

static enum sc_status replace(struct scan *scan, uint32_t unit, const struct sc_error *err)
{
    pthread_mutex_lock(&scan->mutex);
    enum sc_status status = sc_source_replace(scan->source, unit, err->message);
    pthread_mutex_unlock(&scan->mutex);
    return status;
}

static void report_progress(struct worker *w)
{
    struct scan *scan = w->scan;
    if (scan->options->progress == NULL)
        return;
    pthread_mutex_lock(&scan->mutex);
    scan->so_far.done++;
    scan->so_far.rows += w->stats.rows_read - w->rows_told;
    scan->so_far.bytes += w->context.bytes_read - w->bytes_told;
    scan->options->progress(scan->options->progress_arg, &scan->so_far);
    pthread_mutex_unlock(&scan->mutex);
    w->rows_told = w->stats.rows_read;
    w->bytes_told = w->context.bytes_read;
}

/* Adds the time since *from to a stage, and begins the next one. */
static void spend(struct worker *w, enum sc_scan_stage stage, uint64_t *from)
{
    uint64_t now = sc_clock_mono_ns();
    w->stats.spent_ns[stage] += now - *from;
    *from = now;
}

static enum sc_status load_fields(const struct sc_scan_consumer *consumer, struct sc_row_group *group,
                                  struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    for (uint32_t i = 0; i < consumer->field_count; i++) {
        uint32_t count = 0;
        SC_TRY(sc_field_load(&consumer->fields[i], group, columns, &count, err));
    }
    return SC_OK;
}

/* Of what is selected. */
static enum sc_status take_first(uint64_t most, struct sc_row_group *group, struct sc_selection *selection,
                                 struct sc_error *err)
{
    if (most == 0 || selection->count <= most)
        return SC_OK;
    sc_selection_cut(selection, group, most);
    return sc_row_group_want(group, selection->rows, err);
}

static enum sc_status pick_rows(const struct sc_scan_consumer *consumer, uint32_t index,
                                struct sc_row_group *group, struct sc_selection *selection,
                                struct sc_error *err)
{
    size_t words = sc_bitmap_words(group->rows);
    selection->rows = sc_arena_zalloc(&group->context->arena, words * sizeof(*selection->rows));
    if (selection->rows == NULL)
        return sc_fail_nomem(err, "a set of rows");
    consumer->pick(consumer->arg, index, selection->rows);
    selection->count = sc_bitmap_count(selection->rows, words);
    selection->all = selection->count == group->rows;
    return sc_row_group_want(group, selection->rows, err);
}

/* Opens, selects and reads; *group stays NULL when no row is selected. */
static enum sc_status prepare(struct worker *w, uint32_t index, struct sc_row_group **group,
                              struct sc_selection *selection, uint64_t *clock, struct sc_error *err)
{
    const struct scan *scan = w->scan;
    const struct sc_source_unit *unit = &scan->source->units[index];
    const struct sc_segment *segment = scan->source->segments[unit->segment];
    struct sc_row_group *opened;
    *group = NULL;
    const struct sc_scan_consumer *consumer = scan->consumer;
    if ((scan->options->wanted != NULL && !scan->options->wanted[unit->turn]) ||
        (consumer->skip != NULL && consumer->skip(consumer->arg, unit->turn)) ||
        !sc_selector_group_possible(&w->selector, &segment->groups[unit->group])) {
        w->stats.units_pruned++;
        return SC_OK;
    }
    w->stats.units_read++;
    w->stats.rows_read += segment->groups[unit->group].rows;
    SC_TRY(sc_row_group_open(&w->context, segment, unit->group, &opened, err));
    spend(w, SC_SCAN_OPEN, clock);
    if (consumer->pick != NULL)
        SC_TRY(pick_rows(consumer, index, opened, selection, err));
    else
        SC_TRY(sc_selector_run(&w->selector, opened, unit, selection, err));
    spend(w, SC_SCAN_SELECT, clock);
    w->stats.rows_selected += selection->count;
    if (selection->count == 0)
        return SC_OK;
    SC_TRY(take_first(consumer->most, opened, selection, err));
    SC_TRY(load_fields(consumer, opened, err));
    spend(w, SC_SCAN_READ, clock);
    *group = opened;
    return SC_OK;
}

static void run_unit(struct worker *w, uint32_t index)
{
    struct scan *scan = w->scan;
    const struct sc_scan_consumer *consumer = scan->consumer;
    struct sc_row_group *group;
    struct sc_selection selection = {0};
    struct sc_error err = {0};
    uint64_t clock = sc_clock_mono_ns();
    sc_read_context_reset(&w->context);
    enum sc_status status = prepare(w, index, &group, &selection, &clock, &err);
    if (status == SC_OK && group != NULL) {
        status = consumer->unit(consumer->arg, w->number, index, group, &selection, &err);
        spend(w, SC_SCAN_USE, &clock);
    }
    if (status == SC_DAMAGED || status == SC_IO)
        status = replace(scan, index, &err);
    if (status == SC_END)
        atomic_store(&scan->stop, 1);
    else if (status != SC_OK)
        fail(scan, status, &err);
}

/* A unit that fails puts others behind itself. */
static void run_turn(struct worker *w, uint32_t turn)
{
    struct scan *scan = w->scan;
    const struct sc_source_unit *units = scan->source->units;
    for (uint32_t u = turn; u != SC_NO_UNIT; u = units[u].next) {
        if (!units[u].failed)
            run_unit(w, u);
        if (atomic_load_explicit(&scan->stop, memory_order_relaxed))
            break;
    }
    if (scan->consumer->turn_over != NULL)
        scan->consumer->turn_over(scan->consumer->arg, turn);
    report_progress(w);
}

static bool cancelled(const struct scan *scan)
{
    return scan->options->cancel != NULL &&
           atomic_load_explicit(scan->options->cancel, memory_order_relaxed) != 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct scan *scan = w->scan;
    struct sc_error err = {0};
    for (;;) {
        if (atomic_load_explicit(&scan->stop, memory_order_relaxed) ||
            atomic_load(&scan->next) >= scan->source->unit_count)
            break;
        if (cancelled(scan)) {
            sc_fail(&err, SC_CANCELLED, "before everything was read");
            fail(scan, SC_CANCELLED, &err);
            break;
        }
        uint32_t index = atomic_fetch_add(&scan->next, 1);
        if (index >= scan->source->unit_count)
            break;
        run_turn(w, scan->options->order != NULL ? scan->options->order[index] : index);
    }
    return NULL;
}

static enum sc_status start_worker(struct worker *w, struct scan *scan, unsigned number, struct sc_error *err)
{
    *w = (struct worker){.scan = scan, .number = number};
    if (sc_read_context_init(&w->context) != SC_OK)
        return sc_fail_nomem(err, "a query thread");
    const struct sc_scan_options *o = scan->options;
    return sc_selector_init(&w->selector, o->filter, &o->time, !o->no_bloom, err);
}

static void end_worker(struct worker *w, struct sc_scan_stats *sum)
{
    if (sum != NULL) {
        sum->units_read += w->stats.units_read;
        sum->units_pruned += w->stats.units_pruned;
        sum->rows_read += w->stats.rows_read;
        sum->rows_selected += w->stats.rows_selected;
        sum->bytes_read += w->context.bytes_read;
        for (unsigned i = 0; i < SC_SCAN_STAGES; i++)
            sum->spent_ns[i] += w->stats.spent_ns[i];
    }
    sc_selector_free(&w->selector);
    sc_read_context_free(&w->context);
}

/* Worker 0 is the calling thread. */
static enum sc_status run_workers(struct scan *scan, struct worker *workers, unsigned count,
                                  struct sc_scan_stats *stats, struct sc_error *err)
{
    unsigned ready = 0, started = 1;
    enum sc_status status = SC_OK;
    for (; ready < count && status == SC_OK; ready++)
        status = start_worker(&workers[ready], scan, ready, err);
    if (status == SC_OK) {
        while (started < count &&
               pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]) == 0)
            started++;
        worker_main(&workers[0]);
        for (unsigned i = 1; i < started; i++)
            pthread_join(workers[i].thread, NULL);
    }
    for (unsigned i = 0; i < ready; i++)
        end_worker(&workers[i], stats);
    return status;
}

enum sc_status sc_scan_run(struct sc_source *source, const struct sc_scan_options *options,
                           const struct sc_scan_consumer *consumer, struct sc_scan_stats *stats,
                           struct sc_error *err)
{
    struct scan scan = {
        .source = source, .options = options, .consumer = consumer, .so_far = {.total = source->unit_count}};
    unsigned count = options->threads == 0 ? 1 : options->threads;
    struct worker *workers = calloc(count, sizeof(*workers));
    if (workers == NULL)
        return sc_fail_nomem(err, "query threads");
    pthread_mutex_init(&scan.mutex, NULL);
    enum sc_status status = run_workers(&scan, workers, count, stats, err);
    pthread_mutex_destroy(&scan.mutex);
    free(workers);
    if (status == SC_OK && scan.status != SC_OK) {
        status = scan.status;
        if (err != NULL)
            *err = scan.error;
    }
    return status;
}
