// SPDX-License-Identifier: BSD-3-Clause
/*
 * Listings. In the order of the store: workers format whole row groups and hand the text on in turn. Sorted:
 * a first scan keeps sort keys and places only (a heap of `limit` of them per thread), a second formats the
 * winners.
 */
#include "query/engine.h"

#include "base/array.h"
#include "base/sort.h"
#include "flow/vector.h"
#include "query/sort_key.h"
#include "show/cells.h"

#include <assert.h>
#include <stdlib.h>

struct formatter {
    struct sc_summarizer summarizer;
    struct sc_summary summary;
    struct sc_value *values; /* one per output column */
    struct sc_cells *cells;  /* likewise */
};

/* ---- one row to text ---- */

static enum sc_status make_formatter(struct formatter *f, const struct sc_listing *listing, bool scaled,
                                     struct sc_error *err)
{
    size_t fields = (size_t)listing->field_count + 1;
    f->values = calloc(fields, sizeof(*f->values));
    f->cells = calloc(fields, sizeof(*f->cells));
    if (f->values == NULL || f->cells == NULL)
        return sc_fail_nomem(err, "the listing");
    return sc_summarizer_init(&f->summarizer, scaled, err);
}

static void free_formatter(struct formatter *f)
{
    free(f->values);
    free(f->cells);
    sc_summarizer_free(&f->summarizer);
}

/* Finds the values of each field. Columns are decoded already; when `many` rows follow, numbers are computed
 * for all at once. */
static enum sc_status find_cells(struct formatter *f, const struct sc_listing *listing,
                                 struct sc_row_group *group, bool many, struct sc_error *err)
{
    for (uint32_t i = 0; i < listing->field_count; i++)
        SC_TRY(sc_cells_of_group(&f->cells[i], &listing->fields[i], group, many, err));
    return SC_OK;
}

static void format_row(struct formatter *f, const struct sc_listing *listing, uint32_t row,
                       struct sc_buf *out)
{
    for (uint32_t i = 0; i < listing->field_count; i++)
        sc_cells_value(&f->cells[i], row, &f->values[i]);
    if (listing->put != NULL)
        listing->put(listing->put_arg, f->values, out);
    else
        sc_output_row(listing->output, f->values, out);
}

/* ---- the header, when columns fit the first records ---- */

struct head {
    const struct sc_listing *listing;
    const struct sc_sink *sink;
    bool done; /* nothing to fit or to write (any more) */
};

static void fit_row(struct formatter *f, const struct sc_listing *listing, uint32_t row)
{
    for (uint32_t i = 0; i < listing->field_count; i++)
        sc_cells_value(&f->cells[i], row, &f->values[i]);
    sc_output_fit(listing->output, f->values);
}

/* False when nobody reads. */
static bool write_header(struct head *head)
{
    struct sc_buf text = {0};
    if (head->done)
        return true;
    head->done = true;
    sc_output_header(head->listing->output, &text);
    bool going = sc_buf_ok(&text) && head->sink->write(head->sink->arg, text.data, text.len);
    sc_buf_free(&text);
    return going;
}

/* ---- in the order of the store ---- */

struct stream {
    const struct sc_source *source;
    const struct sc_listing *listing;
    const struct sc_sink *sink;
    struct formatter *formatters;
    pthread_mutex_t mutex;
    pthread_cond_t turned;
    uint32_t turn;    /* whose text comes next; guarded by the mutex as all below */
    uint64_t written; /* records */
    bool ended;       /* limit reached, or nobody reads */
    struct head *head;
};

struct unit_text {
    struct sc_buf text;
    size_t *ends; /* of each record, when there is a limit */
    uint64_t records;
};

static enum sc_status format_unit(const struct stream *stream, struct formatter *f,
                                  struct sc_row_group *group, const struct sc_selection *selection,
                                  struct unit_text *out, struct sc_error *err)
{
    const struct sc_listing *listing = stream->listing;
    uint64_t most = selection->count;
    if (listing->limit != 0 && listing->limit < most)
        most = listing->limit;
    if (listing->limit != 0)
        out->ends = sc_arena_alloc(&group->context->arena, most * sizeof(*out->ends));
    if (listing->limit != 0 && out->ends == NULL)
        return sc_fail_nomem(err, "the listing");
    SC_TRY(find_cells(f, listing, group, most > group->rows / 16, err));
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w]; bits != 0 && out->records < most; bits &= bits - 1) {
            if (out->records != 0)
                sc_buf_append_str(&out->text, listing->separator);
            format_row(f, listing, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits), &out->text);
            if (out->ends != NULL)
                out->ends[out->records] = out->text.len;
            out->records++;
        }
    }
    return sc_buf_ok(&out->text) ? SC_OK : sc_fail_nomem(err, "the listing; ask for fewer columns");
}

/* Only the first `keep` selected rows stay. */
static void cut_selection(struct sc_selection *selection, uint32_t rows, uint64_t keep)
{
    uint64_t left = keep;
    for (size_t w = 0; w < sc_bitmap_words(rows); w++) {
        uint64_t kept = 0;
        for (uint64_t bits = selection->rows[w]; bits != 0 && left != 0; bits &= bits - 1, left--)
            kept |= bits & (0 - bits);
        selection->rows[w] = kept;
    }
    selection->count = (uint32_t)keep;
    selection->all = selection->count == rows;
}

/* Waits for the turn. False when the listing ended meanwhile. */
static bool await_turn(struct stream *stream, uint32_t turn)
{
    pthread_mutex_lock(&stream->mutex);
    while (stream->turn != turn && !stream->ended)
        pthread_cond_wait(&stream->turned, &stream->mutex);
    bool mine = !stream->ended;
    pthread_mutex_unlock(&stream->mutex);
    return mine;
}

static void end_listing(struct stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    stream->ended = true;
    pthread_cond_broadcast(&stream->turned);
    pthread_mutex_unlock(&stream->mutex);
}

static void end_turn(void *arg, uint32_t turn)
{
    struct stream *stream = arg;
    if (!await_turn(stream, turn))
        return;
    pthread_mutex_lock(&stream->mutex);
    stream->turn = turn + 1;
    pthread_cond_broadcast(&stream->turned);
    pthread_mutex_unlock(&stream->mutex);
}

static bool write_text(struct stream *stream, const struct unit_text *text, uint64_t records)
{
    size_t bytes = text->ends == NULL ? text->text.len : text->ends[records - 1];
    const struct sc_sink *sink = stream->sink;
    if (stream->written != 0 && stream->listing->separator[0] != '\0' &&
        !sink->write(sink->arg, stream->listing->separator, strlen(stream->listing->separator)))
        return false;
    return sink->write(sink->arg, text->text.data, bytes);
}

/* In turn: nobody else touches stream->written. */
static enum sc_status emit(struct stream *stream, struct formatter *f, struct sc_row_group *group,
                           struct sc_selection *selection, const struct unit_text *text, struct sc_error *err)
{
    uint64_t limit = stream->listing->limit, records = text->records;
    if (limit != 0 && records > limit - stream->written)
        records = limit - stream->written;
    bool ended = false;
    if (records != 0) {
        if (stream->listing->summarize) {
            if (records < selection->count)
                cut_selection(selection, group->rows, records);
            SC_TRY(sc_summary_add_rows(&f->summary, &f->summarizer, group, selection, err));
        }
        ended = !write_text(stream, text, records);
        stream->written += records;
    }
    return ended || (limit != 0 && stream->written >= limit) ? SC_END : SC_OK;
}

static bool head_done(struct stream *stream)
{
    pthread_mutex_lock(&stream->mutex);
    bool done = stream->head->done;
    pthread_mutex_unlock(&stream->mutex);
    return done;
}

/* In turn, while all others wait for theirs: nobody formats before the columns have their widths. */
static enum sc_status fit_unit(struct stream *stream, struct formatter *f, struct sc_row_group *group,
                               const struct sc_selection *selection, struct sc_error *err)
{
    const struct sc_listing *listing = stream->listing;
    uint64_t left = listing->limit != 0 && listing->limit < SC_MOST_FITTED ? listing->limit : SC_MOST_FITTED;
    SC_TRY(find_cells(f, listing, group, false, err));
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w]; bits != 0 && left != 0; bits &= bits - 1, left--)
            fit_row(f, listing, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits));
    }
    pthread_mutex_lock(&stream->mutex);
    bool going = write_header(stream->head);
    pthread_mutex_unlock(&stream->mutex);
    return going ? SC_OK : SC_END;
}

/* Damage leaves the turn open: the records come from another copy, in the same place. */
static enum sc_status stream_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                  struct sc_selection *selection, struct sc_error *err)
{
    struct stream *stream = arg;
    struct formatter *f = &stream->formatters[thread];
    struct unit_text text = {0};
    enum sc_status status = SC_OK;
    uint32_t turn = stream->source->units[unit].turn;
    if (!head_done(stream)) {
        if (!await_turn(stream, turn))
            return SC_END;
        if (!head_done(stream))
            status = fit_unit(stream, f, group, selection, err);
    }
    if (status == SC_OK)
        status = format_unit(stream, f, group, selection, &text, err);
    if (!await_turn(stream, turn))
        status = SC_END;
    else if (status == SC_OK)
        status = emit(stream, f, group, selection, &text, err);
    if (status != SC_OK && status != SC_DAMAGED && status != SC_IO)
        end_listing(stream);
    sc_buf_free(&text.text);
    return status;
}

static enum sc_status list_in_order(struct sc_source *source, const struct sc_scan_options *options,
                                    struct stream *stream, struct sc_scan_stats *stats, struct sc_error *err)
{
    struct sc_scan_consumer consumer = {.unit = stream_unit,
                                        .turn_over = end_turn,
                                        .arg = stream,
                                        .fields = stream->listing->fields,
                                        .field_count = stream->listing->field_count};
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->turned, NULL);
    enum sc_status status = sc_scan_run(source, options, &consumer, stats, err);
    pthread_mutex_destroy(&stream->mutex);
    pthread_cond_destroy(&stream->turned);
    return status;
}

/* ---- sorted: first scan ---- */

/* `order_count` sort keys stand behind the head. */
struct place {
    uint32_t unit;
    uint16_t row;
    uint16_t nulls; /* bit i: sort key i is null */
    struct sc_sort_key keys[];
};
static_assert(SC_ROW_GROUP_ROWS <= 65536, "rows of a row group are 16 bits");

struct heap {
    uint8_t *places;
    uint64_t count;
};

struct sorter {
    const struct sc_listing *listing;
    struct formatter *formatters;
    struct heap *heaps; /* per thread */
    size_t place_bytes;
};

static struct place *place_at(const struct heap *heap, size_t place_bytes, uint64_t i)
{
    return (struct place *)(heap->places + i * place_bytes);
}

static int compare_places(const void *x, const void *y, void *arg)
{
    const struct place *a = x, *b = y;
    int order = sc_sort_keys_compare(a->keys, a->nulls, b->keys, b->nulls, *(const uint32_t *)arg);
    if (order != 0)
        return order;
    if (a->unit != b->unit)
        return a->unit < b->unit ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static void swap_places(const struct heap *heap, size_t bytes, uint64_t i, uint64_t j)
{
    uint8_t *x = heap->places + i * bytes, *y = heap->places + j * bytes;
    for (size_t k = 0; k < bytes; k++) {
        uint8_t swap = x[k];
        x[k] = y[k];
        y[k] = swap;
    }
}

/* With a limit the places are a heap whose root is the last of those kept. */
static bool keep_place(struct heap *heap, const struct sorter *sorter, struct place *place)
{
    size_t bytes = sorter->place_bytes;
    uint32_t orders = sorter->listing->order_count;
    uint64_t limit = sorter->listing->limit;
    uint64_t at;
    if (limit == 0 || heap->count < limit) {
        if (heap->count == sc_array_room(heap->count) && !sc_array_grow(&heap->places, bytes, heap->count, 1))
            return false;
        memcpy(place_at(heap, bytes, heap->count), place, bytes);
        at = heap->count++;
        for (; limit != 0 && at > 0; at = (at - 1) / 2) {
            if (compare_places(place_at(heap, bytes, at), place_at(heap, bytes, (at - 1) / 2), &orders) <= 0)
                break;
            swap_places(heap, bytes, at, (at - 1) / 2);
        }
        return true;
    }
    if (compare_places(place, place_at(heap, bytes, 0), &orders) >= 0)
        return true;
    memcpy(place_at(heap, bytes, 0), place, bytes);
    at = 0;
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= heap->count)
            return true;
        if (child + 1 < heap->count &&
            compare_places(place_at(heap, bytes, child + 1), place_at(heap, bytes, child), &orders) > 0)
            child++;
        if (compare_places(place_at(heap, bytes, child), place_at(heap, bytes, at), &orders) <= 0)
            return true;
        swap_places(heap, bytes, child, at);
        at = child;
    }
}

static enum sc_status sort_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct sorter *sorter = arg;
    const struct sc_listing *listing = sorter->listing;
    struct formatter *f = &sorter->formatters[thread];
    const struct sc_column *columns[16][4 * SC_FIELD_COLUMNS];
    uint32_t counts[16] = {0};
    struct place *place = sc_arena_zalloc(&group->context->arena, sorter->place_bytes);
    if (place == NULL)
        return sc_fail_nomem(err, "sorting");
    for (uint32_t o = 0; o < listing->order_count; o++)
        SC_TRY(sc_field_load(&listing->orders[o].field, group, columns[o], &counts[o], err));
    if (listing->summarize)
        SC_TRY(sc_summary_add_rows(&f->summary, &f->summarizer, group, selection, err));
    place->unit = unit;
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w]; bits != 0; bits &= bits - 1) {
            place->row = (uint16_t)(w * 64 + (size_t)__builtin_ctzll(bits));
            place->nulls = 0;
            for (uint32_t o = 0; o < listing->order_count; o++) {
                struct sc_value v =
                    sc_field_value(&listing->orders[o].field, columns[o], counts[o], place->row);
                place->nulls = (uint16_t)(place->nulls | sc_sort_key_is_null(&v) << o);
                place->keys[o] = sc_sort_key_of(&v, listing->orders[o].descending);
            }
            if (!keep_place(&sorter->heaps[thread], sorter, place))
                return sc_fail_nomem(err, "sorting so many records; give a limit with -l");
        }
    }
    return SC_OK;
}

/* ---- sorted: second scan ---- */

struct picked {
    uint32_t unit, row;
    uint64_t rank;
};

struct text_piece {
    size_t offset;
    uint32_t length;
    uint32_t thread;
};

struct second_scan {
    const struct sc_listing *listing;
    struct formatter *formatters;
    const struct picked *picked; /* by unit, row */
    uint64_t count;
    struct sc_buf *texts;      /* per thread */
    struct text_piece *pieces; /* by rank */
    pthread_mutex_t *fitting;  /* guards the output's widths while records are fitted */
};

static uint64_t first_of_unit(const struct second_scan *scan, uint32_t unit)
{
    uint64_t low = 0, high = scan->count;
    while (low < high) {
        uint64_t mid = (low + high) / 2;
        if (scan->picked[mid].unit < unit)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum sc_status pick_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct second_scan *scan = arg;
    struct formatter *f = &scan->formatters[thread];
    struct sc_buf *text = &scan->texts[thread];
    (void)selection;
    SC_TRY(find_cells(f, scan->listing, group, false, err));
    for (uint64_t i = first_of_unit(scan, unit); i < scan->count && scan->picked[i].unit == unit; i++) {
        size_t start = text->len;
        format_row(f, scan->listing, scan->picked[i].row, text);
        scan->pieces[scan->picked[i].rank] =
            (struct text_piece){.offset = start, .length = (uint32_t)(text->len - start), .thread = thread};
    }
    return sc_buf_ok(text) ? SC_OK : sc_fail_nomem(err, "the listing; give a limit with -l");
}

static enum sc_status fit_picked(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                 struct sc_selection *selection, struct sc_error *err)
{
    struct second_scan *scan = arg;
    struct formatter *f = &scan->formatters[thread];
    (void)selection;
    SC_TRY(find_cells(f, scan->listing, group, false, err));
    pthread_mutex_lock(scan->fitting);
    for (uint64_t i = first_of_unit(scan, unit); i < scan->count && scan->picked[i].unit == unit; i++) {
        if (scan->picked[i].rank < SC_MOST_FITTED)
            fit_row(f, scan->listing, scan->picked[i].row);
    }
    pthread_mutex_unlock(scan->fitting);
    return SC_OK;
}

/* Reads the units of the first records only, for the widths of their columns. */
static enum sc_status fit_first(struct sc_source *source, const struct sc_scan_options *options,
                                struct second_scan *scan, struct sc_error *err)
{
    uint8_t *wanted = calloc((size_t)source->unit_count + 1, 1);
    if (wanted == NULL)
        return sc_fail_nomem(err, "sorting");
    for (uint64_t i = 0; i < scan->count; i++) {
        if (scan->picked[i].rank < SC_MOST_FITTED)
            wanted[source->units[scan->picked[i].unit].turn] = 1;
    }
    struct sc_scan_options only = *options;
    only.wanted = wanted;
    pthread_mutex_t fitting = PTHREAD_MUTEX_INITIALIZER;
    scan->fitting = &fitting;
    struct sc_scan_consumer consumer = {.unit = fit_picked,
                                        .arg = scan,
                                        .fields = scan->listing->fields,
                                        .field_count = scan->listing->field_count};
    enum sc_status status = sc_scan_run(source, &only, &consumer, NULL, err);
    pthread_mutex_destroy(&fitting);
    scan->fitting = NULL;
    free(wanted);
    return status;
}

static int compare_picked(const void *x, const void *y, void *unused)
{
    (void)unused;
    const struct picked *a = x, *b = y;
    if (a->unit != b->unit)
        return a->unit < b->unit ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* Records that are written between two looks at whether to stop. */
#define WRITTEN_AT_LEAST 1024u

/* Even after a stop so few are written. */
static bool little(const struct sc_listing *listing)
{
    return listing->limit != 0 && listing->limit <= WRITTEN_AT_LEAST;
}

/* False when it was stopped on the way. */
static bool write_pieces(const struct second_scan *scan, const struct sc_sink *sink, const atomic_int *cancel)
{
    size_t separator = strlen(scan->listing->separator);
    bool some = false;
    for (uint64_t rank = 0; rank < scan->count; rank++) {
        if (rank % WRITTEN_AT_LEAST == 0 && rank != 0 && cancel != NULL && atomic_load(cancel) != 0)
            return false;
        const struct text_piece *piece = &scan->pieces[rank];
        if (piece->length == 0) /* its row group could not be read again: noted as missing */
            continue;
        if (some && separator != 0 && !sink->write(sink->arg, scan->listing->separator, separator))
            return true;
        if (!sink->write(sink->arg, scan->texts[piece->thread].data + piece->offset, piece->length))
            return true;
        some = true;
    }
    return true;
}

/*
 * `stopped`: the first scan was; what it found is shown where a limit says that it is little. @return SC_AGAIN,
 * with nothing written, when row groups turned out to be damaged that the first scan had counted.
 */
static enum sc_status list_picked(struct sc_source *source, const struct sc_scan_options *options,
                                  bool stopped, struct second_scan *scan, struct head *head,
                                  struct sc_error *err)
{
    uint32_t failed = source->units_failed;
    uint8_t *wanted = calloc((size_t)source->unit_count + 1, 1);
    if (wanted == NULL)
        return sc_fail_nomem(err, "sorting");
    for (uint64_t i = 0; i < scan->count; i++)
        wanted[source->units[scan->picked[i].unit].turn] = 1;
    struct sc_scan_options again = *options;
    again.wanted = wanted;
    again.progress = NULL;
    if (stopped && little(scan->listing))
        again.cancel = NULL;
    struct sc_scan_consumer consumer = {.unit = pick_unit,
                                        .arg = scan,
                                        .fields = scan->listing->fields,
                                        .field_count = scan->listing->field_count};
    enum sc_status status = scan->listing->fit ? fit_first(source, &again, scan, err) : SC_OK;
    if (status == SC_OK && !stopped && failed != source->units_failed)
        status = SC_AGAIN;
    if (status == SC_OK)
        status = sc_scan_run(source, &again, &consumer, NULL, err);
    free(wanted);
    if (status == SC_OK && !stopped && failed != source->units_failed)
        return SC_AGAIN;
    if ((status == SC_OK || status == SC_CANCELLED) && !write_header(head))
        return status;
    if (status == SC_CANCELLED && little(scan->listing))
        (void)write_pieces(scan, head->sink, NULL);
    if (status == SC_OK && !write_pieces(scan, head->sink, again.cancel))
        return sc_fail(err, SC_CANCELLED, "before everything was written");
    return status;
}

static enum sc_status sort_failed(enum sc_status status, struct sc_error *err)
{
    return status == SC_NOMEM ? sc_fail_nomem(err, "sorting so many records; give a limit with -l")
                              : sc_fail(err, status, "before everything was sorted");
}

/* All threads' places in one array, sorted and cut to the limit. */
static enum sc_status gather(struct sorter *sorter, unsigned threads, const atomic_int *cancel,
                             struct heap *all)
{
    for (unsigned t = 0; t < threads; t++)
        all->count += sorter->heaps[t].count;
    all->places = malloc(all->count * sorter->place_bytes + 1);
    if (all->places == NULL)
        return SC_NOMEM;
    uint64_t at = 0;
    for (unsigned t = 0; t < threads; t++) {
        if (sorter->heaps[t].count != 0)
            memcpy(all->places + at * sorter->place_bytes, sorter->heaps[t].places,
                   sorter->heaps[t].count * sorter->place_bytes);
        at += sorter->heaps[t].count;
        free(sorter->heaps[t].places);
        sorter->heaps[t] = (struct heap){0};
    }
    uint32_t orders = sorter->listing->order_count;
    enum sc_status status =
        sc_sort(all->places, all->count, sorter->place_bytes, compare_places, &orders, cancel);
    if (sorter->listing->limit != 0 && all->count > sorter->listing->limit)
        all->count = sorter->listing->limit;
    return status;
}

static enum sc_status write_sorted(struct sc_source *source, const struct sc_scan_options *options,
                                   bool stopped, struct sorter *sorter, unsigned threads, struct head *head,
                                   struct sc_error *err)
{
    struct heap all = {0};
    const atomic_int *cancel = stopped && little(sorter->listing) ? NULL : options->cancel;
    enum sc_status status = gather(sorter, threads, cancel, &all);
    if (status != SC_OK) {
        free(all.places);
        return sort_failed(status, err);
    }
    struct picked *picked = malloc((all.count + 1) * sizeof(*picked));
    struct second_scan scan = {.listing = sorter->listing,
                               .formatters = sorter->formatters,
                               .picked = picked,
                               .count = all.count,
                               .texts = calloc(threads, sizeof(struct sc_buf)),
                               .pieces = calloc(all.count + 1, sizeof(struct text_piece))};
    if (picked == NULL || scan.texts == NULL || scan.pieces == NULL)
        status = sc_fail_nomem(err, "sorting so many records; give a limit with -l");
    for (uint64_t i = 0; i < all.count && status == SC_OK; i++) {
        const struct place *place = place_at(&all, sorter->place_bytes, i);
        picked[i] = (struct picked){.unit = place->unit, .row = place->row, .rank = i};
    }
    free(all.places);
    if (status == SC_OK) {
        status = sc_sort(picked, all.count, sizeof(*picked), compare_picked, NULL, cancel);
        status = status != SC_OK ? sort_failed(status, err)
                                 : list_picked(source, options, stopped, &scan, head, err);
    }
    for (unsigned t = 0; t < threads && scan.texts != NULL; t++)
        sc_buf_free(&scan.texts[t]);
    free(scan.texts);
    free(scan.pieces);
    free(picked);
    return status;
}

/* Both scans. @return SC_AGAIN when they are to be run anew. */
static enum sc_status sort_and_write(struct sc_source *source, const struct sc_scan_options *options,
                                     struct sorter *sorter, unsigned threads, struct head *head,
                                     struct sc_scan_stats *stats, struct sc_error *err)
{
    struct sc_field fields[16];
    const struct sc_listing *listing = sorter->listing;
    for (uint32_t i = 0; i < listing->order_count; i++)
        fields[i] = listing->orders[i].field;
    struct sc_scan_consumer consumer = {
        .unit = sort_unit, .arg = sorter, .fields = fields, .field_count = listing->order_count};
    enum sc_status status = sc_scan_run(source, options, &consumer, stats, err);
    if (status != SC_OK && status != SC_CANCELLED)
        return status;
    bool stopped = status == SC_CANCELLED;
    enum sc_status written = write_sorted(source, options, stopped, sorter, threads, head, err);
    return stopped && written == SC_OK ? status : written;
}

static enum sc_status list_sorted(struct sc_source *source, const struct sc_scan_options *options,
                                  const struct sc_listing *listing, struct formatter *formatters,
                                  unsigned threads, struct head *head, struct sc_scan_stats *stats,
                                  struct sc_error *err)
{
    struct sorter sorter = {.listing = listing,
                            .formatters = formatters,
                            .heaps = calloc(threads, sizeof(struct heap)),
                            .place_bytes =
                                sizeof(struct place) + listing->order_count * sizeof(struct sc_sort_key)};
    if (sorter.heaps == NULL)
        return sc_fail_nomem(err, "sorting");
    enum sc_status status;
    do {
        for (unsigned t = 0; t < threads; t++)
            formatters[t].summary = (struct sc_summary){0};
        status = sort_and_write(source, options, &sorter, threads, head, stats, err);
    } while (status == SC_AGAIN);
    for (unsigned t = 0; t < threads; t++)
        free(sorter.heaps[t].places);
    free(sorter.heaps);
    return status;
}

enum sc_status sc_query_list(struct sc_source *source, const struct sc_scan_options *options,
                             const struct sc_listing *listing, const struct sc_sink *sink,
                             struct sc_summary *summary, struct sc_scan_stats *stats, struct sc_error *err)
{
    unsigned threads = options->threads == 0 ? 1 : options->threads;
    *summary = (struct sc_summary){0};
    if (listing->order_count > 16)
        return sc_fail(err, SC_USAGE, "at most 16 sort keys");
    struct formatter *formatters = calloc(threads, sizeof(*formatters));
    enum sc_status status = formatters == NULL ? sc_fail_nomem(err, "the listing") : SC_OK;
    for (unsigned t = 0; t < threads && status == SC_OK; t++)
        status = make_formatter(&formatters[t], listing, options->scale_sampling, err);
    struct head head = {.listing = listing, .sink = sink, .done = !listing->fit};
    struct stream stream = {
        .source = source, .listing = listing, .sink = sink, .formatters = formatters, .head = &head};
    if (status == SC_OK && listing->order_count == 0)
        status = list_in_order(source, options, &stream, stats, err);
    else if (status == SC_OK)
        status = list_sorted(source, options, listing, formatters, threads, &head, stats, err);
    if (status == SC_OK || status == SC_CANCELLED)
        (void)write_header(&head); /* where no record was */
    for (unsigned t = 0; t < threads && formatters != NULL; t++) {
        sc_summary_merge(summary, &formatters[t].summary);
        free_formatter(&formatters[t]);
    }
    free(formatters);
    return status;
}
