// SPDX-License-Identifier: BSD-3-Clause
#include "source/units.h"

#include "base/array.h"
#include "base/clock.h"
#include "store/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

void sc_source_close(struct sc_source *source)
{
    for (uint32_t i = 0; i < source->segment_count; i++)
        sc_segment_close(source->segments[i]);
    for (uint32_t i = 0; i < source->units_made; i++)
        free(source->units[i].ranges);
    for (uint32_t i = 0; i < source->missing_count; i++)
        free(source->missing[i]);
    for (uint32_t i = 0; i < source->damage_count; i++)
        free(source->damage[i]);
    sc_read_plan_free(&source->plan);
    free(source->segments);
    free(source->units);
    free(source->groups);
    free(source->first_group);
    free(source->missing);
    free(source->damage);
    free(source->lost);
    *source = (struct sc_source){0};
}

static enum sc_status note_stretches(struct sc_source *source, const struct sc_expected *expected,
                                     const struct sc_segment *segment)
{
    char text[SC_ERROR_MAX];
    if (segment->damaged_stretches == 0)
        return SC_OK;
    snprintf(text, sizeof(text),
             "%s: %u damaged stretches (%llu bytes) were skipped; run sc-admin verify and repair",
             segment->path, segment->damaged_stretches, (unsigned long long)segment->damaged_bytes);
    return sc_source_note_unreadable(source, expected, segment->window_ms, segment->lane, text);
}

/*
 * Descriptors. A segment that keeps its descriptor can be read whatever becomes of its name. All that are asked for keep theirs, up to
 * a quarter of what the process may have, and live files a quarter of their own: these are sealed first, and few. The others are
 * opened when they are read (store/reader.h).
 */
struct keeping {
    uint64_t sealed, live; /* how many more may be kept */
};

static struct keeping keep_a_quarter(void)
{
    struct rlimit limit;
    uint64_t most = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 64;
    return (struct keeping){most / 4, most / 4};
}

static void keep_or_release(struct keeping *keeping, const struct sc_source_bounds *bounds,
                            struct sc_segment *segment)
{
    uint64_t *left = segment->sealed ? &keeping->sealed : &keeping->live;
    if (*left == 0 || !sc_source_asks_for(bounds, segment))
        sc_segment_release(segment);
    else
        --*left;
}

/* No window is longer than a day. A file without a name of ours has no window before it is opened. */
#define MOST_WINDOW_MS UINT64_C(86400000)

static bool named_otherwise(const struct sc_source_bounds *bounds, const struct sc_catalogue_file *file)
{
    return bounds->window_ms != 0 && file->window_ms != 0 &&
           (file->window_ms > bounds->window_ms || bounds->window_ms - file->window_ms >= MOST_WINDOW_MS);
}

/* What opening needs to know. */
struct opening {
    struct sc_source *source;
    const struct sc_source_bounds *bounds;
    struct sc_expected *expected;
    struct keeping keeping;
};

/* @return SC_NOTFOUND when the file was sealed or expired since it was listed: list again. */
static enum sc_status open_segment(struct opening *o, const struct sc_catalogue_file *file)
{
    struct sc_source *source = o->source;
    const struct sc_expected *expected = o->expected;
    struct sc_segment *segment;
    struct sc_error why = {0};
    enum sc_status status = sc_segment_open(file->path, &segment, &why);
    if (status == SC_NOTFOUND || status == SC_NOMEM)
        return status;
    if (status != SC_OK)
        return sc_source_note_unreadable(source, expected, file->window_ms, SC_ANY_LANE, why.message);
    if (!sc_array_more(source->segments, source->segment_count, 1)) {
        sc_segment_close(segment);
        return SC_NOMEM;
    }
    source->segments[source->segment_count++] = segment;
    source->bytes += segment->file_bytes;
    segment->replica = file->replica;
    keep_or_release(&o->keeping, o->bounds, segment);
    return note_stretches(source, expected, segment);
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
    if (!sc_array_more(opened->paths, opened->count, 1))
        return SC_NOMEM;
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
static enum sc_status open_new(struct opening *o, const struct sc_catalogue *catalogue, struct opened *opened,
                               bool *changed)
{
    uint32_t sorted = opened->count;
    const char *last = NULL;
    *changed = false;
    for (uint32_t i = 0; i < catalogue->count; i++) {
        const struct sc_catalogue_file *file = &catalogue->files[i];
        bool again = last != NULL && strcmp(last, file->path) == 0;
        last = file->path;
        if (again || named_otherwise(o->bounds, file) || is_opened(opened, sorted, file->path))
            continue;
        enum sc_status status = open_segment(o, file);
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
                                  const struct sc_source_bounds *bounds, struct sc_expected *expected,
                                  struct sc_error *err)
{
    struct opening opening = {source, bounds, expected, keep_a_quarter()};
    struct opened opened = {0};
    const struct sc_day_bounds some = {bounds->begin_ms, bounds->end_ms == 0 ? UINT64_MAX : bounds->end_ms};
    struct sc_error first;
    enum sc_status status = SC_OK;
    bool changed = true;
    for (unsigned listing = 0; listing < MOST_LISTINGS && status == SC_OK && changed; listing++) {
        struct sc_catalogue catalogue = {.replicas = true, .some = bounds->may_leave_out ? &some : NULL};
        status = list_paths(source, paths, path_count, &catalogue, &first);
        if (status == SC_OK && listing == 0 && !source->planned_above)
            status =
                sc_expected_load(expected, paths, path_count, &catalogue, sc_clock_wall_ms(), note, source);
        if (status == SC_OK)
            status = sc_expected_horizon(expected, paths, path_count);
        if (status == SC_OK)
            status = open_new(&opening, &catalogue, &opened, &changed);
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

static enum sc_status end_open(enum sc_status status, struct sc_source *source, struct sc_error *err)
{
    if (status != SC_OK)
        sc_source_close(source);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the list of segments");
    if (status == SC_AGAIN)
        return sc_fail(err, SC_IO, "the store changes faster than it can be listed; try again");
    return status;
}

enum sc_status sc_source_list(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_expected *expected,
                              struct sc_source *out, struct sc_error *err)
{
    *out = (struct sc_source){.planned_above = true};
    enum sc_status status = open_listed(out, paths, path_count, bounds, expected, err);
    if (status == SC_OK)
        status = sc_source_list_copies(out, bounds, expected);
    return end_open(status, out, err);
}

enum sc_status sc_source_open(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_source *out,
                              struct sc_error *err)
{
    struct sc_expected expected = {.sink = bounds->sink};
    const struct sc_expected_range range = {
        .kind = bounds->options ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS,
        .begin_ms = bounds->window_ms != 0 ? bounds->window_ms : bounds->begin_ms,
        .end_ms = bounds->window_ms != 0 ? bounds->window_ms + 1
                  : bounds->end_ms != 0  ? bounds->end_ms
                                         : UINT64_MAX,
    };
    *out = (struct sc_source){0};
    enum sc_status status = open_listed(out, paths, path_count, bounds, &expected, err);
    if (status == SC_OK)
        status = sc_source_plan_units(out, bounds, &expected);
    out->unread = out->missing_count + out->damage_count;
    if (status == SC_OK)
        sc_expected_judge(&expected, &range, note, out);
    out->known_lost = expected.known_lost;
    out->kept_since_ms = expected.horizons.kept_since_ms;
    sc_expected_free(&expected);
    return end_open(status, out, err);
}
