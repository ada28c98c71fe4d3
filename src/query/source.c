// SPDX-License-Identifier: BSD-3-Clause
#include "query/source.h"

#include "base/clock.h"
#include "query/expect.h"
#include "store/catalogue.h"
#include "store/span_set.h"

#include <stdio.h>
#include <stdlib.h>

enum sc_status sc_source_note_missing(struct sc_source *source, const char *sentence)
{
    for (uint32_t i = 0; i < source->missing_count; i++) {
        if (strcmp(source->missing[i], sentence) == 0)
            return SC_OK;
    }
    char **missing = realloc(source->missing, ((size_t)source->missing_count + 1) * sizeof(*missing));
    if (missing == NULL)
        return SC_NOMEM;
    source->missing = missing;
    missing[source->missing_count] = strdup(sentence);
    if (missing[source->missing_count] == NULL)
        return SC_NOMEM;
    source->missing_count++;
    return SC_OK;
}

void sc_source_close(struct sc_source *source)
{
    for (uint32_t i = 0; i < source->segment_count; i++)
        sc_segment_close(source->segments[i]);
    for (uint32_t i = 0; i < source->unit_count; i++)
        free(source->units[i].ranges);
    for (uint32_t i = 0; i < source->missing_count; i++)
        free(source->missing[i]);
    free(source->segments);
    free(source->units);
    free(source->missing);
    *source = (struct sc_source){0};
}

static enum sc_status note_damage(struct sc_source *source, const struct sc_segment *segment)
{
    char text[SC_ERROR_MAX];
    if (segment->damaged_stretches == 0)
        return SC_OK;
    snprintf(text, sizeof(text),
             "%s: %u damaged stretches (%llu bytes) were skipped; run sc-admin verify and repair",
             segment->path, segment->damaged_stretches, (unsigned long long)segment->damaged_bytes);
    return sc_source_note_missing(source, text);
}

/* @return SC_NOTFOUND when the file was sealed or expired since it was listed: list again. */
static enum sc_status open_segment(struct sc_source *source, const char *path)
{
    struct sc_segment *segment;
    struct sc_error why = {0};
    enum sc_status status = sc_segment_open(path, &segment, &why);
    if (status == SC_NOTFOUND || status == SC_NOMEM)
        return status;
    if (status != SC_OK)
        return sc_source_note_missing(source, why.message);
    struct sc_segment **segments =
        realloc(source->segments, ((size_t)source->segment_count + 1) * sizeof(struct sc_segment *));
    if (segments == NULL) {
        sc_segment_close(segment);
        return SC_NOMEM;
    }
    source->segments = segments;
    segments[source->segment_count++] = segment;
    source->bytes += segment->file_bytes;
    return note_damage(source, segment);
}

static bool window_wanted(const struct sc_source_bounds *bounds, const struct sc_segment *segment)
{
    return bounds->window_ms == 0 ||
           (segment->window_ms <= bounds->window_ms &&
            bounds->window_ms < segment->window_ms + (uint64_t)segment->window_s * 1000);
}

static struct sc_source_unit *add_unit(struct sc_source *source, uint32_t segment, uint32_t group)
{
    if ((source->unit_count & (source->unit_count + 1)) == 0) {
        size_t capacity = ((size_t)source->unit_count + 1) * 2;
        struct sc_source_unit *units = realloc(source->units, capacity * sizeof(*units));
        if (units == NULL)
            return NULL;
        source->units = units;
    }
    struct sc_source_unit *unit = &source->units[source->unit_count++];
    *unit = (struct sc_source_unit){.segment = segment, .group = group};
    return unit;
}

/* The rows of a row group whose batches were not met before. */
static enum sc_status fresh_ranges(struct sc_span_set *seen, struct sc_expected *expected,
                                   const struct sc_row_group *group, struct sc_source_unit *unit, bool *all)
{
    unit->ranges = malloc(((size_t)group->span_count + 1) * sizeof(*unit->ranges));
    if (unit->ranges == NULL)
        return SC_NOMEM;
    *all = true;
    for (uint32_t i = 0; i < group->span_count; i++) {
        bool fresh;
        SC_TRY(sc_span_set_add(seen, &group->spans[i], &fresh));
        if (!fresh) {
            *all = false;
            continue;
        }
        SC_TRY(sc_expected_found(expected, &group->spans[i], group->segment->window_ms));
        unit->ranges[unit->range_count++] =
            (struct sc_row_range){group->spans[i].first_row, group->spans[i].rows};
    }
    return SC_OK;
}

/* Segments of one window may hold a batch twice: a sealed file beside the live one, a retry after a failed
 * sync. Within a live file it may stand twice too; sealing drops the second. */
static enum sc_status add_units_once(struct sc_source *source, uint32_t segment, uint32_t group,
                                     struct sc_read_context *context, struct sc_span_set *seen,
                                     struct sc_expected *expected)
{
    struct sc_row_group *open;
    struct sc_error why = {0};
    sc_read_context_reset(context);
    enum sc_status status = sc_row_group_open(context, source->segments[segment], group, &open, &why);
    if (status == SC_NOMEM)
        return status;
    if (status != SC_OK)
        return sc_source_note_missing(source, why.message);
    struct sc_source_unit *unit = add_unit(source, segment, group);
    bool all;
    if (unit == NULL)
        return SC_NOMEM;
    SC_TRY(fresh_ranges(seen, expected, open, unit, &all));
    if (all || unit->range_count == 0) {
        free(unit->ranges);
        unit->ranges = NULL;
        if (!all)
            source->unit_count--;
        unit->range_count = 0;
    }
    return SC_OK;
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

static enum sc_status list_units(struct sc_source *source, const struct sc_source_bounds *bounds,
                                 struct sc_expected *expected)
{
    struct sc_span_set seen = {0};
    struct sc_read_context context;
    SC_TRY(sc_read_context_init(&context));
    enum sc_status status = SC_OK;
    if (source->segment_count > 1)
        qsort(source->segments, source->segment_count, sizeof(struct sc_segment *), compare_segments);
    for (uint32_t i = 0; i < source->segment_count && status == SC_OK; i++) {
        const struct sc_segment *segment = source->segments[i];
        bool once = !segment->sealed || shares_window(source, i) || expected->tally_count != 0;
        for (uint32_t g = 0; g < segment->group_count && status == SC_OK; g++) {
            bool options = segment->groups[g].record_kind == SC_RECORDS_OPTIONS;
            if (options != bounds->options || !window_wanted(bounds, segment))
                continue;
            if (once)
                status = add_units_once(source, i, g, &context, &seen, expected);
            else if (add_unit(source, i, g) == NULL)
                status = SC_NOMEM;
        }
    }
    sc_read_context_free(&context);
    sc_span_set_free(&seen);
    return status;
}

/*
 * The paths that were opened, sorted. A seal renames one file and unlinks others; a listing that runs meanwhile
 * may see neither. So a store is listed until no sealed file has come: what a seal took away before it was
 * seen lies in a file that the next listing shows. Batches that both files hold are counted once.
 */
struct opened {
    char **paths;
    uint32_t count;
};

#define MOST_LISTINGS 50

static int compare_paths(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static bool is_opened(const struct opened *opened, uint32_t sorted, const char *path)
{
    return sorted != 0 &&
           bsearch(&path, opened->paths, sorted, sizeof(*opened->paths), compare_paths) != NULL;
}

static enum sc_status remember(struct opened *opened, const char *path)
{
    if ((opened->count & (opened->count + 1)) == 0) {
        size_t capacity = ((size_t)opened->count + 1) * 2;
        char **paths = realloc(opened->paths, capacity * sizeof(*paths));
        if (paths == NULL)
            return SC_NOMEM;
        opened->paths = paths;
    }
    opened->paths[opened->count] = strdup(path);
    return opened->paths[opened->count++] == NULL ? SC_NOMEM : SC_OK;
}

static void forget(struct opened *opened)
{
    for (uint32_t i = 0; i < opened->count; i++)
        free(opened->paths[i]);
    free(opened->paths);
}

/* Opens what a listing shows and was not opened before. *changed: a sealed file came, or one went away. */
static enum sc_status open_new(struct sc_source *source, const struct sc_catalogue *catalogue,
                               struct opened *opened, bool *changed)
{
    uint32_t sorted = opened->count;
    const char *last = NULL;
    *changed = false;
    for (uint32_t i = 0; i < catalogue->count; i++) {
        const struct sc_catalogue_file *file = &catalogue->files[i];
        bool again = last != NULL && strcmp(last, file->path) == 0;
        last = file->path;
        if (again || is_opened(opened, sorted, file->path))
            continue;
        enum sc_status status = open_segment(source, file->path);
        *changed = *changed || file->sealed || status == SC_NOTFOUND;
        if (status == SC_OK)
            status = remember(opened, file->path);
        if (status != SC_OK && status != SC_NOTFOUND)
            return status;
    }
    if (opened->count > 1)
        qsort(opened->paths, opened->count, sizeof(*opened->paths), compare_paths);
    return SC_OK;
}

/* Lists all paths. *err: why the first of those that cannot be listed cannot. */
static enum sc_status list_paths(struct sc_source *source, const char *const *paths, uint32_t path_count,
                                 struct sc_catalogue *catalogue, struct sc_error *err)
{
    source->readable_paths = 0;
    *err = (struct sc_error){0};
    for (uint32_t i = 0; i < path_count; i++) {
        struct sc_error why = {0};
        enum sc_status status = sc_catalogue_add(catalogue, paths[i], &why);
        if (status == SC_OK) {
            source->readable_paths++;
            continue;
        }
        if (err->status == SC_OK)
            *err = why;
        SC_TRY(status == SC_NOMEM ? status : sc_source_note_missing(source, why.message));
    }
    if (catalogue->unreadable != 0) {
        char text[512];
        snprintf(text, sizeof(text), "cannot list %s", catalogue->unreadable_path);
        SC_TRY(sc_source_note_missing(source, text));
    }
    sc_catalogue_sort(catalogue);
    return SC_OK;
}

static void note(void *arg, const char *sentence)
{
    (void)sc_source_note_missing(arg, sentence);
}

/* @return SC_AGAIN when the listings never came to rest. */
static enum sc_status open_listed(struct sc_source *source, const char *const *paths, uint32_t path_count,
                                  struct sc_expected *expected, struct sc_error *err)
{
    struct opened opened = {0};
    struct sc_error first;
    enum sc_status status = SC_OK;
    bool changed = true;
    for (unsigned listing = 0; listing < MOST_LISTINGS && status == SC_OK && changed; listing++) {
        struct sc_catalogue catalogue = {.replicas = true};
        status = list_paths(source, paths, path_count, &catalogue, &first);
        if (status == SC_OK && listing == 0)
            status =
                sc_expected_load(expected, paths, path_count, &catalogue, sc_clock_wall_ms(), note, source);
        if (status == SC_OK)
            status = open_new(source, &catalogue, &opened, &changed);
        changed = changed || listing == 0;
        sc_catalogue_free(&catalogue);
    }
    forget(&opened);
    if (status == SC_OK && source->readable_paths == 0) {
        if (err != NULL)
            *err = first;
        return first.status;
    }
    return status == SC_OK && changed ? SC_AGAIN : status;
}

enum sc_status sc_source_open(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_source *out,
                              struct sc_error *err)
{
    struct sc_expected expected = {0};
    const struct sc_expected_range range = {
        .kind = bounds->options ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS,
        .begin_ms = bounds->window_ms != 0 ? bounds->window_ms : bounds->begin_ms,
        .end_ms = bounds->window_ms != 0 ? bounds->window_ms + 1
                  : bounds->end_ms != 0  ? bounds->end_ms
                                         : UINT64_MAX,
    };
    *out = (struct sc_source){0};
    enum sc_status status = open_listed(out, paths, path_count, &expected, err);
    if (status == SC_OK)
        status = list_units(out, bounds, &expected);
    if (status == SC_OK)
        sc_expected_judge(&expected, &range, note, out);
    sc_expected_free(&expected);
    if (status != SC_OK)
        sc_source_close(out);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the list of segments");
    if (status == SC_AGAIN)
        return sc_fail(err, SC_IO, "the store changes faster than it can be listed; try again");
    return status;
}
