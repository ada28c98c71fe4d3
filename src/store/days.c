// SPDX-License-Identifier: BSD-3-Clause
#include "store/days.h"

#include "base/array.h"
#include "base/clock.h"
#include "store/catalogue.h"
#include "store/day.h"
#include "store/reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A change has the time of a tick of the file system's clock, of two seconds with the coarsest. */
#define REST_NS    UINT64_C(2000000000)
#define SETTLED_NS UINT64_C(10000000000)

static uint64_t wall_ns(void)
{
    return sc_clock_wall_ms() * 1000000;
}

/* A change to come could have the same time. One of the future is of another clock. */
static bool is_fresh(const struct stat *st)
{
    return sc_day_changed_ns(st) + REST_NS > wall_ns();
}

struct making {
    struct sc_io *io;
    unsigned most;
    bool settle, left;
    bool stuck; /* one could not be made: neither could others, and to read them all for nothing takes long */
};

/* ---- one folder ---- */

static void widen(struct sc_day_file *f, const struct sc_group_ref *ref)
{
    for (unsigned i = 0; i < SC_ROW_TIMES; i++) {
        f->begin_ms = ref->times[i].min < f->begin_ms ? ref->times[i].min : f->begin_ms;
        f->end_ms = ref->times[i].max > f->end_ms ? ref->times[i].max : f->end_ms;
    }
}

static enum sc_status look_into(const char *path, struct sc_day_file *f)
{
    struct sc_segment *segment;
    enum sc_status status = sc_segment_open(path, &segment, NULL);
    if (status != SC_OK)
        return status == SC_NOTFOUND || status == SC_NOMEM ? status : SC_OK;
    f->window_s = segment->window_s;
    if (!segment->head_damaged && !segment->footer_damaged && segment->damaged_stretches == 0 &&
        segment->window_ms == f->window_ms) {
        f->begin_ms = UINT64_MAX;
        f->end_ms = 0;
        for (uint32_t g = 0; g < segment->group_count; g++)
            widen(f, &segment->groups[g]);
    }
    sc_segment_close(segment);
    return SC_OK;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static enum sc_status add_file(struct sc_day *day, const struct sc_catalogue_file *file, bool tally)
{
    struct sc_day_file f = {.bytes = file->bytes, .window_ms = file->window_ms, .tally = tally};
    if (strlen(name_of(file->path)) > SC_DAY_NAME_BYTES)
        return SC_UNSUPPORTED;
    snprintf(f.name, sizeof(f.name), "%s", name_of(file->path));
    f.begin_ms = tally ? UINT64_MAX : 0; /* of a tally the window decides */
    f.end_ms = tally ? 0 : UINT64_MAX;
    if (!tally && file->sealed)
        SC_TRY(look_into(file->path, &f));
    if (!sc_array_more(day->files, day->count, 1))
        return SC_NOMEM;
    day->files[day->count++] = f;
    return SC_OK;
}

static enum sc_status fill(const struct sc_catalogue *catalogue, struct sc_day *day)
{
    day->damaged_files = catalogue->damaged_files;
    day->damaged_bytes = catalogue->damaged_bytes;
    for (uint32_t i = 0; i < catalogue->count; i++)
        SC_TRY(add_file(day, &catalogue->files[i], false));
    for (uint32_t i = 0; i < catalogue->tally_count; i++)
        SC_TRY(add_file(day, &catalogue->tallies[i], true));
    return SC_OK;
}

static enum sc_status list(const char *folder, struct sc_catalogue *out)
{
    *out = (struct sc_catalogue){0};
    SC_TRY(sc_catalogue_add(out, folder, NULL));
    sc_catalogue_sort(out);
    if (out->tally_count > 1)
        qsort(out->tallies, out->tally_count, sizeof(*out->tallies), sc_catalogue_compare);
    return out->unreadable == 0 ? SC_OK : SC_AGAIN;
}

static bool same_list(const struct sc_catalogue_file *x, uint32_t count, const struct sc_catalogue_file *y,
                      uint32_t other_count)
{
    bool same = count == other_count;
    for (uint32_t i = 0; i < count && same; i++)
        same = strcmp(x[i].path, y[i].path) == 0 && x[i].bytes == y[i].bytes;
    return same;
}

static bool same_files(const struct sc_catalogue *x, const struct sc_catalogue *y)
{
    return same_list(x->files, x->count, y->files, y->count) &&
           same_list(x->tallies, x->tally_count, y->tallies, y->tally_count) &&
           x->damaged_files == y->damaged_files && x->damaged_bytes == y->damaged_bytes;
}

/*
 * Sets the time of last change back, and lists again: a change before that is in the listing, and one after it has another time.
 * (Files are made under other names, and get theirs by one change.)
 */
static enum sc_status settle(const char *folder, const struct sc_catalogue *before, struct stat *settled)
{
    uint64_t then = wall_ns() - SETTLED_NS;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {(time_t)(then / 1000000000), (long)(then % 1000000000)}};
    struct sc_catalogue after;
    if (utimensat(AT_FDCWD, folder, times, 0) != 0 || stat(folder, settled) != 0 || is_fresh(settled))
        return SC_AGAIN;
    enum sc_status status = list(folder, &after);
    if (status == SC_OK && !same_files(before, &after))
        status = SC_AGAIN;
    sc_catalogue_free(&after);
    return status;
}

static bool is_unchanged(const char *folder, const struct stat *before)
{
    struct stat now;
    return stat(folder, &now) == 0 && now.st_ino == before->st_ino &&
           sc_day_changed_ns(&now) == sc_day_changed_ns(before);
}

/* @return SC_AGAIN: it is not at rest. */
static enum sc_status make_day(const struct making *m, const char *folder, struct stat *st)
{
    struct sc_catalogue catalogue;
    struct sc_day day = {0};
    bool fresh = is_fresh(st);
    if (fresh && !m->settle)
        return SC_AGAIN;
    enum sc_status status = list(folder, &catalogue);
    if (status == SC_OK)
        status = fill(&catalogue, &day);
    if (status == SC_OK && fresh)
        status = settle(folder, &catalogue, st);
    if (status == SC_OK && !is_unchanged(folder, st))
        status = SC_AGAIN;
    day.inode = (uint64_t)st->st_ino;
    day.changed_ns = sc_day_changed_ns(st);
    if (status == SC_OK)
        status = sc_day_write(folder, &day, m->io, NULL);
    sc_day_free(&day);
    sc_catalogue_free(&catalogue);
    return status;
}

/* ---- all of them ---- */

static const size_t digits_of_level[] = {4, 2, 2};

static void consider_day(struct making *m, const char *folder, struct stat *st)
{
    if (sc_day_is_known(folder, st))
        return;
    if (m->most == 0) {
        m->left = !m->stuck;
        return;
    }
    enum sc_status status = make_day(m, folder, st);
    if (status == SC_OK)
        m->most--;
    else if (status != SC_AGAIN && status != SC_NOTFOUND) {
        m->stuck = true;
        m->most = 0;
    }
}

/* Years, months, days. */
static void walk(struct making *m, const char *path, unsigned level)
{
    const struct dirent *entry;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char below[PATH_MAX];
        struct stat st;
        if (sc_name_digits(entry->d_name) != digits_of_level[level] ||
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
            continue;
        if (level < 2)
            walk(m, below, level + 1);
        else if (stat(below, &st) == 0 && S_ISDIR(st.st_mode))
            consider_day(m, below, &st);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Files of days whose folder is gone. */
static void forget_days(const struct making *m, const char *base)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    if (snprintf(path, sizeof(path), "%s/" SC_DAYS_FOLDER, base) >= (int)sizeof(path))
        return;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        char file[PATH_MAX], folder[PATH_MAX];
        if (sc_name_digits(name) == 8 &&
            snprintf(folder, sizeof(folder), "%s/%.4s/%.2s/%.2s", base, name, name + 4, name + 6) <
                (int)sizeof(folder) &&
            snprintf(file, sizeof(file), "%s/%s", path, name) < (int)sizeof(file) &&
            access(folder, F_OK) != 0)
            (void)m->io->ops->unlink(m->io, file);
    }
    if (dir != NULL)
        closedir(dir);
}

static void make_below(struct making *m, const char *base)
{
    walk(m, base, 0);
    forget_days(m, base);
}

bool sc_days_make(const char *store, unsigned most, bool settle, struct sc_io *io)
{
    struct making m = {.io = io == NULL ? sc_io_system() : io, .most = most, .settle = settle};
    char path[PATH_MAX], lane[PATH_MAX];
    const struct dirent *entry;
    make_below(&m, store);
    if (snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, store) >= (int)sizeof(path))
        return m.left;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' &&
            snprintf(lane, sizeof(lane), "%s/%s", path, entry->d_name) < (int)sizeof(lane))
            make_below(&m, lane);
    }
    if (dir != NULL)
        closedir(dir);
    return m.left;
}
