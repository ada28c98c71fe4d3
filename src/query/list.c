// SPDX-License-Identifier: BSD-3-Clause
/* Listings. In the order of the store: workers format whole row groups and hand the text on in turn. */
#include "query/list_rows.h"
#include "query/sort_key.h"

#include <stdlib.h>

struct stream {
    struct sc_list_run *run;
    pthread_cond_t turned; /* with the run's mutex, which guards all below */
    uint32_t turn;         /* whose text comes next */
    uint64_t written;      /* records */
    bool ended;            /* limit reached, or nobody reads */
};

struct unit_text {
    struct sc_buf text;
    size_t *ends; /* of each record, when there is a limit */
    uint64_t records;
};

static enum sc_status format_unit(const struct sc_listing *listing, struct sc_list_formatter *f,
                                  struct sc_row_group *group, const struct sc_selection *selection,
                                  struct unit_text *out, struct sc_error *err)
{
    if (listing->limit != 0)
        out->ends = sc_arena_alloc(&group->context->arena, selection->count * sizeof(*out->ends));
    if (listing->limit != 0 && out->ends == NULL)
        return sc_fail_nomem(err, "the listing");
    SC_TRY(sc_list_find_cells(f, listing, group, selection->count > group->rows / 16, err));
    if (sc_list_begin_selected(f, selection, group, err) == NULL)
        return SC_NOMEM;
    for (; out->records < selection->count; out->records++) {
        if (out->records != 0)
            sc_buf_append_str(&out->text, listing->separator);
        sc_list_format_next(f, listing, &out->text);
        if (out->ends != NULL)
            out->ends[out->records] = out->text.len;
    }
    return sc_buf_ok(&out->text) ? SC_OK : sc_fail_nomem(err, "the listing; ask for fewer columns");
}

static void give_turn(struct stream *stream, uint32_t turn, bool ended)
{
    pthread_mutex_lock(&stream->run->mutex);
    stream->turn = turn;
    stream->ended = stream->ended || ended;
    pthread_cond_broadcast(&stream->turned);
    pthread_mutex_unlock(&stream->run->mutex);
}

/* Waits for the turn. False when the listing ended meanwhile. */
static bool await_turn(struct stream *stream, uint32_t turn)
{
    pthread_mutex_lock(&stream->run->mutex);
    while (stream->turn != turn && !stream->ended)
        pthread_cond_wait(&stream->turned, &stream->run->mutex);
    bool mine = !stream->ended;
    pthread_mutex_unlock(&stream->run->mutex);
    return mine;
}

static void end_turn(void *arg, uint32_t turn)
{
    struct stream *stream = arg;
    if (await_turn(stream, turn))
        give_turn(stream, turn + 1, false);
}

static bool write_text(struct stream *stream, const struct unit_text *text, uint64_t records)
{
    size_t bytes = text->ends == NULL ? text->text.len : text->ends[records - 1];
    const struct sc_sink *sink = stream->run->sink;
    const char *separator = stream->run->listing->separator;
    if (stream->written != 0 && separator[0] != '\0' && !sink->write(sink->arg, separator, strlen(separator)))
        return false;
    return sink->write(sink->arg, text->text.data, bytes);
}

/* In turn: nobody else touches stream->written. */
static enum sc_status emit(struct stream *stream, struct sc_list_formatter *f, struct sc_row_group *group,
                           struct sc_selection *selection, const struct unit_text *text, struct sc_error *err)
{
    const struct sc_listing *listing = stream->run->listing;
    uint64_t limit = listing->limit, records = text->records;
    if (limit != 0 && records > limit - stream->written)
        records = limit - stream->written;
    bool ended = false;
    if (records != 0) {
        if (listing->summarize) {
            sc_selection_cut(selection, group, records);
            SC_TRY(sc_summary_add_rows(&f->summary, &f->summarizer, group, selection, err));
        }
        ended = !write_text(stream, text, records);
        stream->written += records;
    }
    return ended || (limit != 0 && stream->written >= limit) ? SC_END : SC_OK;
}

/* In turn, while all others wait for theirs: nobody formats before the columns have their widths. */
static enum sc_status fit_unit(struct sc_list_run *run, struct sc_list_formatter *f,
                               struct sc_row_group *group, const struct sc_selection *selection,
                               struct sc_error *err)
{
    const struct sc_listing *listing = run->listing;
    uint64_t left = listing->limit != 0 && listing->limit < SC_MOST_FITTED ? listing->limit : SC_MOST_FITTED;
    SC_TRY(sc_list_find_cells(f, listing, group, false, err));
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w]; bits != 0 && left != 0; bits &= bits - 1, left--)
            sc_list_fit_row(run, f, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits));
    }
    return sc_list_write_header(run) ? SC_OK : SC_END;
}

/* Damage leaves the turn open: the records come from another copy, in the same place. */
static enum sc_status stream_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                  struct sc_selection *selection, struct sc_error *err)
{
    struct stream *stream = arg;
    struct sc_list_run *run = stream->run;
    struct sc_list_formatter *f = &run->formatters[thread];
    struct unit_text text = {0};
    enum sc_status status = SC_OK;
    uint32_t turn = run->source->units[unit].turn;
    if (!sc_list_is_headed(run)) {
        if (!await_turn(stream, turn))
            return SC_END;
        if (!sc_list_is_headed(run))
            status = fit_unit(run, f, group, selection, err);
    }
    if (status == SC_OK)
        status = format_unit(run->listing, f, group, selection, &text, err);
    if (!await_turn(stream, turn))
        status = SC_END;
    else if (status == SC_OK)
        status = emit(stream, f, group, selection, &text, err);
    if (status != SC_OK && status != SC_DAMAGED && status != SC_IO)
        give_turn(stream, turn, true);
    sc_buf_free(&text.text);
    return status;
}

static enum sc_status list_in_order(struct sc_list_run *run, struct sc_scan_stats *stats,
                                    struct sc_error *err)
{
    struct stream stream = {.run = run, .turned = PTHREAD_COND_INITIALIZER};
    struct sc_scan_consumer consumer = {.unit = stream_unit,
                                        .turn_over = end_turn,
                                        .arg = &stream,
                                        .most = run->listing->limit,
                                        .fields = run->listing->fields,
                                        .field_count = run->listing->field_count};
    enum sc_status status = sc_scan_run(run->source, run->options, &consumer, stats, err);
    pthread_cond_destroy(&stream.turned);
    return status;
}

enum sc_status sc_query_list(struct sc_source *source, const struct sc_scan_options *options,
                             const struct sc_listing *listing, const struct sc_sink *sink,
                             struct sc_summary *summary, struct sc_scan_stats *stats, struct sc_error *err)
{
    struct sc_list_run run = {.source = source,
                              .options = options,
                              .listing = listing,
                              .sink = sink,
                              .threads = options->threads == 0 ? 1 : options->threads,
                              .mutex = PTHREAD_MUTEX_INITIALIZER,
                              .headed = !listing->fit};
    *summary = (struct sc_summary){0};
    if (listing->order_count > SC_MAX_SORT_KEYS)
        return sc_fail(err, SC_USAGE, "at most %u sort keys", SC_MAX_SORT_KEYS);
    run.formatters = calloc(run.threads, sizeof(*run.formatters));
    enum sc_status status = run.formatters == NULL ? sc_fail_nomem(err, "the listing") : SC_OK;
    for (unsigned t = 0; t < run.threads && status == SC_OK; t++)
        status = sc_list_formatter_init(&run.formatters[t], &run, err);
    if (status == SC_OK)
        status =
            listing->order_count == 0 ? list_in_order(&run, stats, err) : sc_list_sorted(&run, stats, err);
    if (status == SC_OK || status == SC_CANCELLED)
        (void)sc_list_write_header(&run); /* where no record was */
    for (unsigned t = 0; t < run.threads && run.formatters != NULL; t++) {
        sc_summary_merge(summary, &run.formatters[t].summary);
        sc_list_formatter_free(&run.formatters[t]);
    }
    free(run.formatters);
    pthread_mutex_destroy(&run.mutex);
    return status;
}
