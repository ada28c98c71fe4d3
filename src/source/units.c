// SPDX-License-Identifier: BSD-3-Clause
/*
 * The units of a source. Where a batch may lie in several row groups (segments of one window, live files, whatever stores they
 * are of) the row groups' spans go into a plan, and a unit is made of what the plan assigns of each. A segment that is alone in
 * its window is taken whole, without a look into its row groups.
 */
#include "source/units.h"

#include "base/array.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- which row groups ---- */

static bool window_wanted(const struct sc_source_bounds *bounds, const struct sc_segment *segment)
{
    return bounds->window_ms == 0 ||
           (segment->window_ms <= bounds->window_ms &&
            bounds->window_ms < segment->window_ms + (uint64_t)segment->window_s * 1000);
}

/* Rows that none of their times brings into what is asked for are in no answer. Batches count in the windows that are judged. */
static bool is_asked(const struct sc_source_bounds *bounds, const struct sc_segment *segment,
                     const struct sc_group_ref *ref)
{
    uint64_t begin = bounds->begin_ms, end = bounds->end_ms != 0 ? bounds->end_ms : UINT64_MAX;
    if (segment->window_ms < end && segment->window_ms + (uint64_t)segment->window_s * 1000 > begin)
        return true;
    return (ref->time_min < end || ref->received_min < end || ref->first_min < end || ref->last_min < end) &&
           (ref->time_max >= begin || ref->received_max >= begin || ref->first_max >= begin ||
            ref->last_max >= begin);
}

bool sc_source_asks_for(const struct sc_source_bounds *bounds, const struct sc_segment *segment)
{
    bool asked = false;
    for (uint32_t g = 0; g < segment->group_count && !asked; g++)
        asked = is_asked(bounds, segment, &segment->groups[g]);
    return asked && window_wanted(bounds, segment);
}

static bool shares_window(const struct sc_source *source, uint32_t i)
{
    uint64_t window = source->segments[i]->window_ms;
    return (i > 0 && source->segments[i - 1]->window_ms == window) ||
           (i + 1 < source->segment_count && source->segments[i + 1]->window_ms == window);
}

static int compare_segments(const void *x, const void *y)
{
    const struct sc_segment *a = *(struct sc_segment *const *)x, *b = *(struct sc_segment *const *)y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return strcmp(a->path, b->path);
}

static bool make_groups(struct sc_source *source)
{
    size_t count = 0;
    for (uint32_t i = 0; i < source->segment_count; i++)
        count += source->segments[i]->group_count;
    source->first_group = calloc((size_t)source->segment_count + 1, sizeof(*source->first_group));
    source->groups = calloc(count + 1, sizeof(*source->groups));
    return source->first_group != NULL && source->groups != NULL;
}

/* Segments of one window may hold a batch twice: copies of several stores, a sealed file beside the live one, a retry after a
 * failed sync. Within a live file it may stand twice too; sealing drops the second. */
static enum sc_status list_groups(struct sc_source *source, const struct sc_source_bounds *bounds,
                                  const struct sc_expected *expected)
{
    if (!make_groups(source))
        return SC_NOMEM;
    for (uint32_t i = 0; i < source->segment_count; i++) {
        const struct sc_segment *segment = source->segments[i];
        bool by_batches = source->planned_above || !segment->sealed || shares_window(source, i) ||
                          expected->tally_count != 0;
        source->first_group[i] = source->group_count;
        for (uint32_t g = 0; g < segment->group_count; g++) {
            struct sc_source_group *group = &source->groups[source->group_count++];
            bool options = segment->groups[g].record_kind == SC_RECORDS_OPTIONS;
            group->segment = i;
            group->group = g;
            if (options != bounds->options || !window_wanted(bounds, segment))
                continue;
            if (!by_batches)
                group->use = SC_GROUP_WHOLE; /* the scan looks at its times */
            else if (is_asked(bounds, segment, &segment->groups[g]))
                group->use = SC_GROUP_BY_BATCHES;
        }
    }
    return SC_OK;
}

/* The home of a lane first; sealed files before live ones. */
static uint16_t rank_of(const struct sc_segment *segment)
{
    return (uint16_t)(SC_RANK_REPLICA * segment->replica + !segment->sealed);
}

static enum sc_status add_spans(struct sc_source *source, uint32_t number, const struct sc_span *spans,
                                uint32_t count)
{
    const struct sc_segment *segment = source->segments[source->groups[number].segment];
    for (uint32_t i = 0; i < count; i++)
        SC_TRY(sc_read_plan_add(&source->plan, &spans[i], number, rank_of(segment), true));
    return SC_OK;
}

/* A footer tells the batches, or else the row group: what is damaged of the former is found when it is read. */
static enum sc_status add_copies(struct sc_source *source, uint32_t number, struct sc_read_context *context,
                                 const struct sc_expected *expected)
{
    struct sc_source_group *group = &source->groups[number];
    const struct sc_segment *segment = source->segments[group->segment];
    const struct sc_group_ref *ref = &segment->groups[group->group];
    struct sc_row_group *open;
    struct sc_error why = {0};
    if (ref->span_count != 0)
        return add_spans(source, number, ref->spans, ref->span_count);
    sc_read_context_reset(context);
    enum sc_status status = sc_row_group_open(context, segment, group->group, &open, &why);
    if (status == SC_NOMEM)
        return status;
    if (status != SC_OK) {
        group->use = SC_GROUP_LEFT_OUT;
        return sc_source_note_unreadable(source, expected, segment->window_ms, segment->lane, why.message);
    }
    return add_spans(source, number, open->spans, open->span_count);
}

static enum sc_status make_plan(struct sc_source *source, const struct sc_expected *expected)
{
    struct sc_read_context context;
    SC_TRY(sc_read_context_init(&context));
    enum sc_status status = SC_OK;
    for (uint32_t g = 0; g < source->group_count && status == SC_OK; g++) {
        if (source->groups[g].use == SC_GROUP_BY_BATCHES)
            status = add_copies(source, g, &context, expected);
    }
    sc_read_context_free(&context);
    SC_TRY(status);
    return sc_read_plan_assign(&source->plan);
}

static enum sc_status tell_found(const struct sc_source *source, struct sc_expected *expected)
{
    for (uint32_t i = 0; i < source->plan.count; i++) {
        const struct sc_read_plan_copy *copy = &source->plan.copies[i];
        const struct sc_segment *segment = source->segments[source->groups[copy->group].segment];
        if (copy->state == SC_COPY_ASSIGNED)
            SC_TRY(sc_expected_found(expected, &copy->span, segment->window_ms));
    }
    return SC_OK;
}

/* ---- units ---- */

/* The next unit, of a row group; there is room for all that can ever be made. */
static struct sc_source_unit *new_unit(struct sc_source *source, uint32_t number)
{
    const struct sc_source_group *group = &source->groups[number];
    struct sc_source_unit *unit = &source->units[source->units_made];
    *unit = (struct sc_source_unit){.segment = group->segment,
                                    .group = group->group,
                                    .turn = source->units_made,
                                    .next = SC_NO_UNIT,
                                    .by_batches = group->use == SC_GROUP_BY_BATCHES};
    source->units_made++;
    return unit;
}

/* The rows of some copies in one row group, ascending; NULL ranges when they are all of its rows. */
static enum sc_status set_ranges(const struct sc_source *source, struct sc_source_unit *unit,
                                 const uint32_t *copies, uint32_t count)
{
    const struct sc_group_ref *ref = &source->segments[unit->segment]->groups[unit->group];
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++)
        rows += source->plan.copies[copies[i]].span.rows;
    if (rows == ref->rows)
        return SC_OK;
    unit->ranges = malloc((size_t)count * sizeof(*unit->ranges));
    if (unit->ranges == NULL)
        return SC_NOMEM;
    unit->range_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_span *span = &source->plan.copies[copies[i]].span;
        unit->ranges[i] = (struct sc_row_range){span->first_row, span->rows};
    }
    return SC_OK;
}

/* One unit of the assigned copies of a row group, or none. `list` has room for them. */
static enum sc_status unit_of_group(struct sc_source *source, uint32_t number, uint32_t *list)
{
    uint32_t first, end, count = 0;
    sc_read_plan_group(&source->plan, number, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (source->plan.copies[i].state == SC_COPY_ASSIGNED)
            list[count++] = i;
    }
    return count == 0 ? SC_OK : set_ranges(source, new_unit(source, number), list, count);
}

static void free_units(struct sc_source *source)
{
    for (uint32_t i = 0; i < source->units_made; i++)
        free(source->units[i].ranges);
    free(source->units);
    source->units = NULL;
    source->unit_count = source->units_made = source->units_failed = 0;
}

/* Units never move, because others are read while more are made: each spare copy is good for one more at most. */
static enum sc_status make_units(struct sc_source *source)
{
    size_t most = 1 + source->plan.count - source->plan.batches;
    free_units(source);
    for (uint32_t g = 0; g < source->group_count; g++)
        most += source->groups[g].use != SC_GROUP_LEFT_OUT;
    source->units = malloc(most * sizeof(*source->units));
    uint32_t *list = malloc(((size_t)source->plan.count + 1) * sizeof(*list));
    enum sc_status status = source->units == NULL || list == NULL ? SC_NOMEM : SC_OK;
    for (uint32_t g = 0; g < source->group_count && status == SC_OK; g++) {
        if (source->groups[g].use == SC_GROUP_BY_BATCHES)
            status = unit_of_group(source, g, list);
        else if (source->groups[g].use == SC_GROUP_WHOLE)
            new_unit(source, g);
    }
    free(list);
    source->unit_count = source->units_made;
    return status;
}

enum sc_status sc_source_list_copies(struct sc_source *source, const struct sc_source_bounds *bounds,
                                     const struct sc_expected *expected)
{
    if (source->segment_count > 1)
        qsort(source->segments, source->segment_count, sizeof(struct sc_segment *), compare_segments);
    SC_TRY(list_groups(source, bounds, expected));
    return make_plan(source, expected);
}

enum sc_status sc_source_plan_units(struct sc_source *source, const struct sc_source_bounds *bounds,
                                    struct sc_expected *expected)
{
    SC_TRY(sc_source_list_copies(source, bounds, expected));
    SC_TRY(tell_found(source, expected));
    return make_units(source);
}

enum sc_status sc_source_assign(struct sc_source *source, const struct sc_id_run *runs, uint32_t count)
{
    free(source->lost);
    SC_TRY(sc_read_plan_take(&source->plan, runs, count, &source->lost, &source->lost_count));
    return make_units(source);
}

/* ---- units that cannot be read ---- */

static bool in_unit(const struct sc_source_unit *unit, const struct sc_span *span)
{
    bool in = unit->ranges == NULL;
    for (uint32_t r = 0; r < unit->range_count && !in; r++)
        in = unit->ranges[r].first == span->first_row;
    return in;
}

/* The copies that the unit was made of. Others of its row group will not be turned to either. */
static uint32_t failed_copies(struct sc_source *source, const struct sc_source_unit *unit, uint32_t first,
                              uint32_t end, uint32_t *failed)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++) {
        const struct sc_read_plan_copy *copy = &source->plan.copies[i];
        if (copy->state == SC_COPY_ASSIGNED && in_unit(unit, &copy->span))
            failed[count++] = i;
        else
            sc_read_plan_exclude(&source->plan, i);
    }
    return count;
}

/* Adds units for copies in the order of their row groups to the end of the turn that `unit` is part of. */
static enum sc_status add_to_turn(struct sc_source *source, uint32_t unit, const uint32_t *work,
                                  uint32_t count)
{
    uint32_t last = unit;
    while (source->units[last].next != SC_NO_UNIT)
        last = source->units[last].next;
    for (uint32_t i = 0, n; i < count; i += n) {
        uint32_t number = source->plan.copies[work[i]].group;
        for (n = 1; i + n < count && source->plan.copies[work[i + n]].group == number;)
            n++;
        uint32_t made = source->units_made;
        struct sc_source_unit *added = new_unit(source, number);
        added->turn = source->units[unit].turn;
        SC_TRY(set_ranges(source, added, &work[i], n));
        source->units[last].next = made;
        last = made;
    }
    return SC_OK;
}

/* How many of the spans, sorted by id, are of the first one's stream and lane. */
static uint32_t spans_of_lane(const struct sc_span *spans, uint32_t count, uint64_t *records)
{
    uint32_t n = 0;
    *records = 0;
    for (; n < count && spans[n].stream == spans[0].stream && spans[n].lane == spans[0].lane; n++)
        *records += spans[n].rows;
    return n;
}

/* Stream by stream; the numbers tell the sentences of one row group apart. */
enum sc_status sc_source_note_lost(struct sc_source *source, uint64_t window_ms, const struct sc_span *spans,
                                   uint32_t count, const char *sentence)
{
    char when[32], text[SC_ERROR_MAX + 256];
    sc_time_format_utc(window_ms, when, sizeof(when));
    for (uint32_t i = 0, n; i < count; i += n) {
        uint64_t records;
        n = spans_of_lane(&spans[i], count - i, &records);
        snprintf(text, sizeof(text),
                 "window %s: %u batches (numbers %llu to %llu) of stream %016llx, lane %08x, are missing, "
                 "with %llu records, as no whole copy is here: %s",
                 when, n, (unsigned long long)spans[i].sequence,
                 (unsigned long long)spans[i + n - 1].sequence, (unsigned long long)spans[i].stream,
                 spans[i].lane, (unsigned long long)records, sentence);
        SC_TRY(sc_source_note_missing(source, text));
    }
    return SC_OK;
}

/* For who planned this. */
static enum sc_status list_lost(struct sc_source *source, const struct sc_read_plan_news *news,
                                const char *sentence)
{
    if (!sc_array_more(source->lost, source->lost_count, news->lost_count))
        return SC_NOMEM;
    memcpy(source->lost + source->lost_count, news->lost, news->lost_count * sizeof(*news->lost));
    source->lost_count += news->lost_count;
    return sc_source_note_damage(source, sentence);
}

static enum sc_status note_lost(struct sc_source *source, const struct sc_segment *segment,
                                const struct sc_read_plan_news *news, const char *sentence)
{
    struct sc_span *spans = malloc((size_t)news->lost_count * sizeof(*spans));
    if (spans == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < news->lost_count; i++)
        spans[i] = source->plan.copies[news->lost[i]].span;
    enum sc_status status =
        sc_source_note_lost(source, segment->window_ms, spans, news->lost_count, sentence);
    free(spans);
    return status;
}

static enum sc_status note_lost_group(struct sc_source *source, const struct sc_segment *segment,
                                      uint32_t group, const char *sentence)
{
    char when[32], text[SC_ERROR_MAX + 256];
    sc_time_format_utc(segment->window_ms, when, sizeof(when));
    snprintf(text, sizeof(text), "window %s: %u records are missing: %s", when, segment->groups[group].rows,
             sentence);
    return sc_source_note_missing(source, text);
}

static enum sc_status note_replaced(struct sc_source *source, const char *sentence)
{
    char text[SC_ERROR_MAX + 64];
    snprintf(text, sizeof(text), "%s; its batches were read from another copy", sentence);
    return sc_source_note_damage(source, text);
}

enum sc_status sc_source_replace(struct sc_source *source, uint32_t unit, const char *sentence)
{
    struct sc_source_unit *u = &source->units[unit];
    const struct sc_segment *segment = source->segments[u->segment];
    if (u->failed)
        return SC_OK;
    u->failed = true;
    source->units_failed++;
    if (!u->by_batches)
        return note_lost_group(source, segment, u->group, sentence);
    uint32_t first, end;
    struct sc_read_plan_news news = {0};
    sc_read_plan_group(&source->plan, source->first_group[u->segment] + u->group, &first, &end);
    uint32_t *failed = malloc(((size_t)(end - first) + 1) * sizeof(*failed));
    enum sc_status status = failed == NULL ? SC_NOMEM : SC_OK;
    if (status == SC_OK) {
        uint32_t count = failed_copies(source, u, first, end, failed);
        status = sc_read_plan_reassign(&source->plan, failed, count, &news);
    }
    if (status == SC_OK)
        status = add_to_turn(source, unit, news.work, news.work_count);
    if (status == SC_OK && news.lost_count != 0 && source->planned_above)
        status = list_lost(source, &news, sentence);
    else if (status == SC_OK && news.lost_count != 0)
        status = note_lost(source, segment, &news, sentence);
    else if (status == SC_OK)
        status = note_replaced(source, sentence);
    free(failed);
    sc_read_plan_news_free(&news);
    return status;
}
