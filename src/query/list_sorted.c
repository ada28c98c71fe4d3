// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sorted listings. Of the first of many a first scan keeps sort keys and places only (a heap of `limit` of them per thread), a second
 * formats the winners. All, or more than fit the memory, are formatted in one scan, and sorted as text (query/sorted_runs.h).
 */
#include "base/array.h"
#include "base/sort.h"
#include "query/compare.h"
#include "query/list_rows.h"
#include "query/sort_bound.h"
#include "query/sorted_runs.h"
#include "show/cells.h"

#include <stdlib.h>

/* ---- sorted: first scan ---- */

struct heap {
    uint8_t *places;
    uint64_t count;
    struct sc_comparer comparer; /* for what is beyond the bound */
};

struct picked {
    uint64_t number; /* sc_place_number */
    uint64_t rank;
};

struct text_piece {
    size_t offset;
    uint32_t length;
    uint32_t thread;
};

struct sorter {
    struct sc_list_run *run;
    struct heap *heaps; /* per thread */
    size_t place_bytes;
    /* With a limit, where the first order is bounded (query/sort_bound.h): */
    bool bounded;
    atomic_ullong bound; /* rows of a greater number are none of the first */
    uint64_t *best;      /* per turn: no row of it has a smaller number; NULL: not looked for */
    uint32_t *order;     /* turns by that */
    /* Of the second scan. */
    struct picked *picked; /* by number */
    uint64_t count;
    struct sc_buf *texts;      /* per thread */
    struct text_piece *pieces; /* by rank */
    bool fitting;              /* the first records are looked at for the widths of their columns */
    /* Where all records are wanted there is only one scan, and: */
    struct sc_sorted_runs *runs;
};

static struct sc_place *place_at(const struct sorter *sorter, const struct heap *heap, uint64_t i)
{
    return (struct sc_place *)(heap->places + i * sorter->place_bytes);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_places(const void *x, const void *y, void *sorter)
{
    return sc_place_compare(x, y, ((const struct sorter *)sorter)->run->listing->order_count);
}

static void replace_root(struct sorter *sorter, const struct heap *heap, const struct sc_place *place)
{
    uint64_t at = 0;
    for (uint64_t child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count &&
            compare_places(place_at(sorter, heap, child + 1), place_at(sorter, heap, child), sorter) > 0)
            child++;
        if (compare_places(place_at(sorter, heap, child), place, sorter) <= 0)
            break;
        memcpy(place_at(sorter, heap, at), place_at(sorter, heap, child), sorter->place_bytes);
        at = child;
    }
    memcpy(place_at(sorter, heap, at), place, sorter->place_bytes);
}

/* With a limit the places are a heap whose root is the last of those kept. */
static bool keep_place(struct sorter *sorter, struct heap *heap, const struct sc_place *place)
{
    uint64_t at = heap->count, limit = sorter->run->listing->limit;
    if (limit != 0 && at == limit) {
        if (compare_places(place, place_at(sorter, heap, 0), sorter) < 0)
            replace_root(sorter, heap, place);
        return true;
    }
    if (at == sc_array_room(at) && !sc_array_grow(&heap->places, sorter->place_bytes, at, 1))
        return false;
    heap->count++;
    for (uint64_t parent; limit != 0 && at != 0; at = parent) {
        parent = (at - 1) / 2;
        if (compare_places(place, place_at(sorter, heap, parent), sorter) <= 0)
            break;
        memcpy(place_at(sorter, heap, at), place_at(sorter, heap, parent), sorter->place_bytes);
    }
    memcpy(place_at(sorter, heap, at), place, sorter->place_bytes);
    return true;
}

/* A full heap tells all threads what is not among the first. */
static void tell_bound(struct sorter *sorter, const struct heap *heap)
{
    const struct sc_listing *listing = sorter->run->listing;
    if (!sorter->bounded || heap->count != listing->limit)
        return;
    const struct sc_place *last = place_at(sorter, heap, 0);
    uint64_t number = (last->nulls & 1) != 0 ? UINT64_MAX : last->keys[0].low;
    unsigned long long bound = atomic_load_explicit(&sorter->bound, memory_order_relaxed);
    while (number < bound && !atomic_compare_exchange_weak(&sorter->bound, &bound, number))
        ;
}

static bool is_beyond(struct sorter *sorter, uint64_t number)
{
    return number > atomic_load_explicit(&sorter->bound, memory_order_relaxed);
}

/* Leaves the rows that may be among the first, as a filter would; no other row's keys are read then. */
static enum sc_status drop_beyond(struct sorter *sorter, struct heap *heap, struct sc_row_group *group,
                                  struct sc_selection *selection, struct sc_error *err)
{
    const struct sc_list_order *order = &sorter->run->listing->orders[0];
    uint64_t bound = atomic_load_explicit(&sorter->bound, memory_order_relaxed);
    struct sc_filter_range range = {.low = order->descending ? ~bound : bound};
    const struct sc_filter filter = {.kind = SC_FILTER_COMPARE,
                                     .compare = order->descending ? SC_COMPARE_GE : SC_COMPARE_LE,
                                     .field = order->field,
                                     .ranges = &range,
                                     .range_count = 1};
    size_t words = sc_bitmap_words(group->rows);
    if (bound == UINT64_MAX) /* nulls, too */
        return SC_OK;
    uint64_t *kept = sc_arena_alloc(&group->context->arena, words * sizeof(*kept));
    if (kept == NULL)
        return sc_fail_nomem(err, "sorting");
    SC_TRY(sc_compare_rows(&heap->comparer, group, &filter, kept, err));
    for (size_t w = 0; w < words; w++)
        kept[w] &= selection->rows[w];
    *selection = (struct sc_selection){.rows = kept, .count = sc_bitmap_count(kept, words)};
    return sc_row_group_want(group, kept, err);
}

static enum sc_status load_keys(const struct sc_listing *listing, struct sc_row_group *group,
                                const struct sc_selection *selection, struct sc_cells *keys,
                                struct sc_error *err)
{
    bool many = selection->count > group->rows / 16;
    for (uint32_t o = 0; o < listing->order_count && selection->count != 0; o++)
        SC_TRY(sc_cells_of_group(&keys[o], &listing->orders[o].field, group, many, err));
    return SC_OK;
}

/* Keys [from, to) of place->row; those before them are set. */
static void set_keys(const struct sc_listing *listing, const struct sc_cells *keys, uint32_t from,
                     uint32_t to, struct sc_place *place)
{
    unsigned nulls = place->nulls & ((1u << from) - 1);
    for (uint32_t o = from; o < to; o++) {
        struct sc_value v;
        sc_cells_value(&keys[o], place->row, &v);
        nulls |= (unsigned)sc_sort_key_is_null(&v) << o;
        place->keys[o] = sc_sort_key_of(&v, listing->orders[o].descending);
    }
    place->nulls = (uint16_t)nulls;
}

/* By the first key alone, which settles it for most rows. */
static bool is_behind(const struct sorter *sorter, const struct heap *heap, const struct sc_place *place)
{
    const struct sc_listing *listing = sorter->run->listing;
    if (listing->limit == 0 || heap->count < listing->limit)
        return false;
    const struct sc_place *last = place_at(sorter, heap, 0);
    return sc_sort_keys_compare(place->keys, place->nulls, last->keys, last->nulls, 1) > 0;
}

/* Of the rows that may be among the first; what is wanted is afterwards as it was. */
static enum sc_status find_keys(struct sorter *sorter, struct heap *heap, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_cells *keys, struct sc_error *err)
{
    struct sc_wanted before = group->wanted;
    if (sorter->bounded)
        SC_TRY(drop_beyond(sorter, heap, group, selection, err));
    SC_TRY(load_keys(sorter->run->listing, group, selection, keys, err));
    group->wanted = before;
    return SC_OK;
}

static enum sc_status keep_rows(struct sorter *sorter, struct heap *heap, uint32_t unit,
                                struct sc_row_group *group, const struct sc_selection *selection,
                                const struct sc_cells *keys, struct sc_error *err)
{
    const struct sc_listing *listing = sorter->run->listing;
    struct sc_place *place = sc_arena_zalloc(&group->context->arena, sorter->place_bytes);
    if (place == NULL)
        return sc_fail_nomem(err, "sorting");
    place->unit = unit;
    for (size_t w = 0; w < sc_bitmap_words(group->rows); w++) {
        for (uint64_t bits = selection->rows[w]; bits != 0; bits &= bits - 1) {
            place->row = (uint16_t)(w * 64 + (size_t)__builtin_ctzll(bits));
            set_keys(listing, keys, 0, 1, place);
            if (is_behind(sorter, heap, place))
                continue;
            set_keys(listing, keys, 1, listing->order_count, place);
            if (!keep_place(sorter, heap, place))
                return sc_fail_nomem(err, "sorting so many records; give a limit with -l");
        }
    }
    tell_bound(sorter, heap);
    return SC_OK;
}

/* What cannot be among the first counts in the summary only: that is of all that match. */
static enum sc_status sort_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct sorter *sorter = arg;
    const struct sc_listing *listing = sorter->run->listing;
    struct sc_list_formatter *f = &sorter->run->formatters[thread];
    struct sc_cells keys[SC_MAX_SORT_KEYS];
    struct sc_selection left = *selection;
    bool beyond = sorter->bounded && is_beyond(sorter, sc_sort_bound(&listing->orders[0], group));
    if (!beyond)
        SC_TRY(find_keys(sorter, &sorter->heaps[thread], group, &left, keys, err));
    if (listing->summarize)
        SC_TRY(sc_summary_add_rows(&f->summary, &f->summarizer, group, selection, err));
    return beyond || left.count == 0
               ? SC_OK
               : keep_rows(sorter, &sorter->heaps[thread], unit, group, &left, keys, err);
}

/* ---- sorted: the best row groups first ---- */

static enum sc_status note_best(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct sorter *sorter = arg;
    uint64_t *best = &sorter->best[sorter->run->source->units[unit].turn];
    uint64_t bound = sc_sort_bound(&sorter->run->listing->orders[0], group);
    (void)thread;
    (void)selection;
    (void)err;
    *best = bound < *best ? bound : *best;
    return SC_OK;
}

static int compare_turns(const void *x, const void *y, void *sorter)
{
    const uint32_t *a = x, *b = y;
    const uint64_t *best = ((const struct sorter *)sorter)->best;
    return best[*a] != best[*b] ? compare_numbers(best[*a], best[*b]) : compare_numbers(*a, *b);
}

/* Reads the directories. Without memory the row groups are taken as they come. */
static enum sc_status find_order(struct sorter *sorter, struct sc_error *err)
{
    const struct sc_list_run *run = sorter->run;
    uint32_t count = run->source->unit_count;
    struct sc_scan_options options = *run->options;
    struct sc_scan_consumer consumer = {.unit = note_best, .arg = sorter};
    sorter->best = malloc(((size_t)count + 1) * sizeof(*sorter->best));
    sorter->order = malloc(((size_t)count + 1) * sizeof(*sorter->order));
    if (sorter->best == NULL || sorter->order == NULL)
        return SC_OK;
    for (uint32_t turn = 0; turn < count; turn++) {
        sorter->best[turn] = UINT64_MAX;
        sorter->order[turn] = turn;
    }
    options.filter = NULL;
    options.progress = NULL;
    SC_TRY(sc_scan_run(run->source, &options, &consumer, NULL, err));
    for (uint32_t turn = 0; turn < count; turn++) { /* where nothing is known anything may be */
        if (sorter->best[turn] == UINT64_MAX)
            sorter->best[turn] = 0;
    }
    return sc_sort(sorter->order, count, sizeof(*sorter->order), compare_turns, sorter, NULL) == SC_OK
               ? SC_OK
               : sc_fail_nomem(err, "sorting");
}

static bool skip_turn(void *arg, uint32_t turn)
{
    struct sorter *sorter = arg;
    return is_beyond(sorter, sorter->best[turn]);
}

/* ---- sorted: second scan ---- */

static uint64_t first_of_unit(const struct sorter *sorter, uint32_t unit)
{
    uint64_t low = 0, high = sorter->count;
    while (low < high) {
        uint64_t mid = (low + high) / 2;
        if (sorter->picked[mid].number >> 16 < unit)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void pick_rows(void *arg, uint32_t unit, uint64_t *rows)
{
    const struct sorter *sorter = arg;
    for (uint64_t i = first_of_unit(sorter, unit);
         i < sorter->count && sorter->picked[i].number >> 16 == unit; i++) {
        uint32_t row = sorter->picked[i].number & 0xffff;
        rows[row / 64] |= UINT64_C(1) << row % 64;
    }
}

static enum sc_status pick_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct sorter *sorter = arg;
    struct sc_list_run *run = sorter->run;
    struct sc_list_formatter *f = &run->formatters[thread];
    struct sc_buf *text = &sorter->texts[thread];
    SC_TRY(sc_list_find_cells(f, run->listing, group, false, err));
    if (sc_list_begin_selected(f, selection, group, err) == NULL)
        return SC_NOMEM;
    for (uint64_t i = first_of_unit(sorter, unit); i < sorter->count; i++) {
        const struct picked *picked = &sorter->picked[i];
        size_t start = text->len;
        if (picked->number >> 16 != unit)
            break;
        if (sorter->fitting) {
            if (picked->rank < SC_MOST_FITTED)
                sc_list_fit_row(run, f, picked->number & 0xffff);
            continue;
        }
        sc_list_format_next(f, run->listing, text);
        sorter->pieces[picked->rank] =
            (struct text_piece){.offset = start, .length = (uint32_t)(text->len - start), .thread = thread};
    }
    return sc_buf_ok(text) ? SC_OK : sc_fail_nomem(err, "the listing; give a limit with -l");
}

/* Reads the units of all that is picked, or `fitting` of the first records. */
static enum sc_status scan_picked(struct sorter *sorter, const struct sc_scan_options *options, bool fitting,
                                  struct sc_error *err)
{
    const struct sc_list_run *run = sorter->run;
    uint8_t *wanted = calloc((size_t)run->source->unit_count + 1, 1);
    if (wanted == NULL)
        return sc_fail_nomem(err, "sorting");
    for (uint64_t i = 0; i < sorter->count; i++) {
        if (!fitting || sorter->picked[i].rank < SC_MOST_FITTED)
            wanted[run->source->units[sorter->picked[i].number >> 16].turn] = 1;
    }
    struct sc_scan_options only = *options;
    only.wanted = wanted;
    sorter->fitting = fitting;
    struct sc_scan_consumer consumer = {.unit = pick_unit,
                                        .pick = pick_rows,
                                        .arg = sorter,
                                        .fields = run->listing->fields,
                                        .field_count = run->listing->field_count};
    enum sc_status status = sc_scan_run(run->source, &only, &consumer, NULL, err);
    free(wanted);
    return status;
}

/* Records that are written between two looks at whether to stop. */
#define WRITTEN_AT_LEAST 1024u

/* Even after a stop so few are written. */
static bool little(const struct sc_listing *listing)
{
    return listing->limit != 0 && listing->limit <= WRITTEN_AT_LEAST;
}

/* False when it was stopped on the way. */
static bool write_pieces(const struct sorter *sorter, const atomic_int *cancel)
{
    const struct sc_sink *sink = sorter->run->sink;
    const char *separator = sorter->run->listing->separator;
    bool some = false;
    for (uint64_t rank = 0; rank < sorter->count; rank++) {
        if (rank % WRITTEN_AT_LEAST == 0 && rank != 0 && cancel != NULL && atomic_load(cancel) != 0)
            return false;
        const struct text_piece *piece = &sorter->pieces[rank];
        if (piece->length == 0) /* its row group could not be read again: noted as missing */
            continue;
        if (some && separator[0] != '\0' && !sink->write(sink->arg, separator, strlen(separator)))
            return true;
        if (!sink->write(sink->arg, sorter->texts[piece->thread].data + piece->offset, piece->length))
            return true;
        some = true;
    }
    return true;
}

/*
 * `stopped`: the first scan was; what it found is shown where a limit says that it is little. @return SC_AGAIN,
 * with nothing written, when row groups turned out to be damaged that the first scan had counted.
 */
static enum sc_status list_picked(struct sorter *sorter, const struct sc_scan_options *options, bool stopped,
                                  struct sc_error *err)
{
    struct sc_list_run *run = sorter->run;
    uint32_t failed = run->source->units_failed;
    enum sc_status status = run->listing->fit ? scan_picked(sorter, options, true, err) : SC_OK;
    if (status == SC_OK && (stopped || failed == run->source->units_failed))
        status = scan_picked(sorter, options, false, err);
    if (status == SC_OK && !stopped && failed != run->source->units_failed)
        return SC_AGAIN;
    if ((status == SC_OK || status == SC_CANCELLED) && !sc_list_write_header(run))
        return status;
    if (status == SC_CANCELLED && little(run->listing))
        (void)write_pieces(sorter, NULL);
    if (status == SC_OK && !write_pieces(sorter, options->cancel))
        return sc_fail(err, SC_CANCELLED, "before everything was written");
    return status;
}

/* All threads' places in one array, sorted and cut to the limit. */
static enum sc_status gather(struct sorter *sorter, const atomic_int *cancel, struct heap *all)
{
    unsigned threads = sorter->run->threads;
    uint64_t at = 0, limit = sorter->run->listing->limit;
    for (unsigned t = 0; t < threads; t++)
        all->count += sorter->heaps[t].count;
    all->places = malloc(all->count * sorter->place_bytes + 1);
    if (all->places == NULL)
        return SC_NOMEM;
    for (unsigned t = 0; t < threads; t++) {
        struct heap *heap = &sorter->heaps[t];
        if (heap->count != 0)
            memcpy(place_at(sorter, all, at), heap->places, heap->count * sorter->place_bytes);
        at += heap->count;
        free(heap->places);
        heap->places = NULL;
        heap->count = 0;
    }
    enum sc_status status =
        sc_sort(all->places, all->count, sorter->place_bytes, compare_places, sorter, cancel);
    if (limit != 0 && all->count > limit)
        all->count = limit;
    return status;
}

static int compare_picked(const void *x, const void *y, void *unused)
{
    (void)unused;
    return compare_numbers(((const struct picked *)x)->number, ((const struct picked *)y)->number);
}

/* Takes what is sorted over to sorter->picked, with room for its texts. */
static enum sc_status pick(struct sorter *sorter, const struct heap *sorted, const atomic_int *cancel)
{
    sorter->count = sorted->count;
    sorter->picked = malloc((sorted->count + 1) * sizeof(*sorter->picked));
    sorter->texts = calloc(sorter->run->threads, sizeof(*sorter->texts));
    sorter->pieces = calloc(sorted->count + 1, sizeof(*sorter->pieces));
    if (sorter->picked == NULL || sorter->texts == NULL || sorter->pieces == NULL)
        return SC_NOMEM;
    for (uint64_t i = 0; i < sorted->count; i++)
        sorter->picked[i] =
            (struct picked){.number = sc_place_number(place_at(sorter, sorted, i)), .rank = i};
    return sc_sort(sorter->picked, sorted->count, sizeof(*sorter->picked), compare_picked, NULL, cancel);
}

static void free_picked(struct sorter *sorter)
{
    for (unsigned t = 0; t < sorter->run->threads && sorter->texts != NULL; t++)
        sc_buf_free(&sorter->texts[t]);
    free(sorter->texts);
    free(sorter->pieces);
    free(sorter->picked);
}

static enum sc_status write_sorted(struct sorter *sorter, bool stopped, struct sc_error *err)
{
    struct heap all = {0};
    struct sc_scan_options again = *sorter->run->options;
    again.progress = NULL;
    if (stopped && little(sorter->run->listing))
        again.cancel = NULL;
    enum sc_status status = gather(sorter, again.cancel, &all);
    if (status == SC_OK)
        status = pick(sorter, &all, again.cancel);
    free(all.places);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "sorting so many records; give a limit with -l");
    if (status != SC_OK)
        return sc_fail(err, status, "before everything was sorted");
    return list_picked(sorter, &again, stopped, err);
}

static void free_heaps(struct heap *heaps, unsigned threads)
{
    for (unsigned t = 0; t < threads && heaps != NULL; t++) {
        free(heaps[t].places);
        sc_comparer_free(&heaps[t].comparer);
    }
    free(heaps);
}

/* One per thread; NULL without memory. */
static struct heap *make_heaps(unsigned threads)
{
    struct heap *heaps = calloc(threads, sizeof(*heaps));
    for (unsigned t = 0; t < threads && heaps != NULL; t++) {
        if (sc_comparer_init(&heaps[t].comparer, false, NULL) != SC_OK) {
            free_heaps(heaps, threads);
            return NULL;
        }
    }
    return heaps;
}

static enum sc_status scan_keys(struct sorter *sorter, struct sc_scan_stats *stats, struct sc_error *err)
{
    struct sc_field fields[SC_MAX_SORT_KEYS];
    const struct sc_list_run *run = sorter->run;
    struct sc_scan_options options = *run->options;
    for (uint32_t i = 0; i < run->listing->order_count; i++)
        fields[i] = run->listing->orders[i].field;
    struct sc_scan_consumer consumer = {
        .unit = sort_unit, .arg = sorter, .fields = fields, .field_count = run->listing->order_count};
    if (sorter->bounded) {
        SC_TRY(find_order(sorter, err));
        consumer.field_count = 0; /* sort_unit reads what it needs, before it counts anything */
        options.order = sorter->order;
        if (sorter->order != NULL && sorter->best != NULL && !run->listing->summarize)
            consumer.skip = skip_turn;
    }
    return sc_scan_run(run->source, &options, &consumer, stats, err);
}

/* Both scans. @return SC_AGAIN when they are to be run anew. */
static enum sc_status sort_and_write(struct sorter *sorter, struct sc_scan_stats *stats, struct sc_error *err)
{
    const struct sc_list_run *run = sorter->run;
    for (unsigned t = 0; t < run->threads; t++)
        run->formatters[t].summary = (struct sc_summary){0};
    enum sc_status status = scan_keys(sorter, stats, err);
    free(sorter->best);
    free(sorter->order);
    if (status != SC_OK && status != SC_CANCELLED)
        return status;
    enum sc_status written = write_sorted(sorter, status == SC_CANCELLED, err);
    free_picked(sorter);
    return written == SC_OK ? status : written;
}

/* With a larger limit each row group has some of the first. */
#define MOST_BOUNDED 10000u

static enum sc_status list_first(struct sc_list_run *run, struct sc_scan_stats *stats, struct sc_error *err)
{
    size_t place_bytes = sc_place_bytes(run->listing->order_count);
    struct heap *heaps = make_heaps(run->threads);
    enum sc_status status = heaps == NULL ? sc_fail_nomem(err, "sorting") : SC_AGAIN;
    while (status == SC_AGAIN) {
        struct sorter sorter = {.run = run,
                                .heaps = heaps,
                                .place_bytes = place_bytes,
                                .bounded = run->listing->limit != 0 && run->listing->limit <= MOST_BOUNDED &&
                                           sc_sort_is_bounded(&run->listing->orders[0]),
                                .bound = UINT64_MAX};
        status = sort_and_write(&sorter, stats, err);
    }
    free_heaps(heaps, run->threads);
    return status;
}

/* ---- sorted, all of them, or more than fit the memory ---- */

/* What a record takes in memory, about, when it is one of the first: its place in heaps, its place in order, its text. */
#define PICKED_BYTES 256u

static bool are_too_many(const struct sc_listing *listing)
{
    return listing->limit == 0 ||
           (listing->memory_limit != 0 && listing->limit > listing->memory_limit / 2 / PICKED_BYTES);
}

/* Looks at the first records, for the widths of their columns. */
static enum sc_status fit_first(struct sc_list_run *run, struct sc_error *err)
{
    const struct sc_listing *listing = run->listing;
    struct sc_listing few = *listing;
    struct heap all = {0}, *heaps = make_heaps(run->threads);
    struct sorter sorter = {
        .run = run, .heaps = heaps, .place_bytes = sc_place_bytes(listing->order_count), .bound = UINT64_MAX};
    few.limit = SC_MOST_FITTED;
    few.summarize = false;
    sorter.bounded = sc_sort_is_bounded(&listing->orders[0]);
    run->listing = &few;
    enum sc_status status = heaps == NULL ? SC_NOMEM : scan_keys(&sorter, NULL, err);
    if (status == SC_OK)
        status = gather(&sorter, run->options->cancel, &all);
    if (status == SC_OK)
        status = pick(&sorter, &all, run->options->cancel);
    if (status == SC_OK)
        status = scan_picked(&sorter, run->options, true, err);
    run->listing = listing;
    free_heaps(heaps, run->threads);
    free(all.places);
    free(sorter.best);
    free(sorter.order);
    free_picked(&sorter);
    return status == SC_NOMEM ? sc_fail_nomem(err, "sorting") : status;
}

static enum sc_status put_next(struct sorter *sorter, unsigned thread, const struct sc_place *place,
                               struct sc_error *err)
{
    struct sc_list_run *run = sorter->run;
    sc_list_format_next(&run->formatters[thread], run->listing, sc_sorted_runs_begin(sorter->runs, thread));
    return sc_sorted_runs_end(sorter->runs, thread, place, err);
}

static enum sc_status runs_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                struct sc_selection *selection, struct sc_error *err)
{
    struct sorter *sorter = arg;
    const struct sc_listing *listing = sorter->run->listing;
    struct sc_list_formatter *f = &sorter->run->formatters[thread];
    struct sc_cells keys[SC_MAX_SORT_KEYS];
    struct sc_place *place = sc_arena_zalloc(&group->context->arena, sorter->place_bytes);
    if (place == NULL)
        return sc_fail_nomem(err, "sorting");
    SC_TRY(load_keys(listing, group, selection, keys, err));
    SC_TRY(sc_list_find_cells(f, listing, group, selection->count > group->rows / 16, err));
    if (listing->summarize)
        SC_TRY(sc_summary_add_rows(&f->summary, &f->summarizer, group, selection, err));
    place->unit = unit;
    const uint32_t *rows = sc_list_begin_selected(f, selection, group, err);
    if (rows == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < selection->count; i++) {
        place->row = (uint16_t)rows[i];
        set_keys(listing, keys, 0, listing->order_count, place);
        SC_TRY(put_next(sorter, thread, place, err));
    }
    return SC_OK;
}

/* One scan, which reads all that it needs before it counts anything. */
static enum sc_status scan_all(struct sorter *sorter, struct sc_scan_stats *stats, struct sc_error *err)
{
    const struct sc_list_run *run = sorter->run;
    const struct sc_listing *listing = run->listing;
    struct sc_field *fields = malloc((listing->field_count + listing->order_count) * sizeof(*fields));
    if (fields == NULL)
        return sc_fail_nomem(err, "sorting");
    for (uint32_t i = 0; i < listing->field_count; i++)
        fields[i] = listing->fields[i];
    for (uint32_t i = 0; i < listing->order_count; i++)
        fields[listing->field_count + i] = listing->orders[i].field;
    struct sc_scan_consumer consumer = {.unit = runs_unit,
                                        .arg = sorter,
                                        .fields = fields,
                                        .field_count = listing->field_count + listing->order_count};
    enum sc_status status = sc_scan_run(run->source, run->options, &consumer, stats, err);
    free(fields);
    return status == SC_CANCELLED ? sc_fail(err, status, "before everything was sorted") : status;
}

static enum sc_status list_runs(struct sc_list_run *run, struct sc_scan_stats *stats, struct sc_error *err)
{
    const struct sc_listing *listing = run->listing;
    struct sorter sorter = {.run = run, .place_bytes = sc_place_bytes(listing->order_count)};
    sorter.runs = sc_sorted_runs_create(listing->order_count, run->threads, listing->memory_limit,
                                        run->options->cancel);
    enum sc_status status = sorter.runs == NULL ? sc_fail_nomem(err, "sorting") : SC_OK;
    if (status == SC_OK && listing->fit)
        status = fit_first(run, err);
    if (status == SC_OK)
        status = scan_all(&sorter, stats, err);
    if (status == SC_OK && sc_list_write_header(run))
        status = sc_sorted_runs_write(sorter.runs, run->sink, listing->separator, listing->limit, err);
    sc_sorted_runs_free(sorter.runs);
    return status;
}

enum sc_status sc_list_sorted(struct sc_list_run *run, struct sc_scan_stats *stats, struct sc_error *err)
{
    return are_too_many(run->listing) ? list_runs(run, stats, err) : list_first(run, stats, err);
}
