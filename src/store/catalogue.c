// SPDX-License-Identifier: BSD-3-Clause
#include "store/catalogue.h"

#include "base/array.h"
#include "base/buf.h"
#include "store/format.h"
#include "store/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 3 /* year, month, day */

static enum sc_status add_file(struct sc_catalogue_file **list, uint32_t *count,
                               const struct sc_catalogue_file *file)
{
    if (!sc_array_more(*list, *count, 1))
        return SC_NOMEM;
    char *copy = strdup(file->path);
    if (copy == NULL)
        return SC_NOMEM;
    (*list)[*count] = *file;
    (*list)[(*count)++].path = copy;
    return SC_OK;
}

/*
 * A store is listed downwards only: what a path is called, or lies in, says nothing about it. Below it, folders named with four
 * digits (years) or two (months, days) are looked into, as deep as a store is; everything else in it is not. So the same is found
 * whether the path is a store, whatever its name, or a part of one. `level`: how far below the path. Only its own folders can be
 * years.
 */
static bool is_looked_into(const char *name, unsigned level)
{
    size_t digits = sc_name_digits(name);
    return level < MAX_DEPTH && (digits == 2 || (digits == 4 && level == 0));
}

static enum sc_status list_folder(struct sc_catalogue *catalogue, const char *path, unsigned level,
                                  struct sc_error *err);

/* Takes a file that has one of our names; *ours: it has. */
static enum sc_status take_file(struct sc_catalogue *catalogue, const char *path, const char *name,
                                uint64_t bytes, bool *ours)
{
    struct sc_catalogue_file file = {.path = (char *)path, .bytes = bytes};
    bool segment = sc_segment_name_parse(name, &file.window_ms, &file.sealed);
    bool known = segment || sc_window_name_parse(name, &file.window_ms);
    file.damaged = known && sc_name_ends(name, SC_DAMAGED_SUFFIX);
    bool tally = known && sc_name_ends(name, SC_TALLY_SUFFIX);
    *ours = segment || file.damaged || tally;
    catalogue->damaged_files += file.damaged;
    catalogue->damaged_bytes += file.damaged ? bytes : 0;
    if (segment || (file.damaged && catalogue->with_damaged))
        return add_file(&catalogue->files, &catalogue->count, &file);
    return tally ? add_file(&catalogue->tallies, &catalogue->tally_count, &file) : SC_OK;
}

static enum sc_status take_known(struct sc_catalogue *catalogue, const char *folder,
                                 const struct sc_day_file *f)
{
    char path[PATH_MAX];
    bool ours;
    if (!sc_day_file_is_wanted(f, catalogue->some)) {
        catalogue->left_out++;
        return SC_OK;
    }
    if (snprintf(path, sizeof(path), "%s/%s", folder, f->name) >= (int)sizeof(path))
        return SC_OK;
    return take_file(catalogue, path, f->name, f->bytes, &ours);
}

/* A day's folder of which it is known what it holds. @return SC_NOTFOUND: it is not. */
static enum sc_status take_day(struct sc_catalogue *catalogue, const char *path, const struct stat *st)
{
    struct sc_day day;
    enum sc_status status = sc_day_read(path, st, &day);
    for (uint32_t i = 0; i < day.count && status == SC_OK; i++)
        status = take_known(catalogue, path, &day.files[i]);
    if (status == SC_OK) {
        catalogue->damaged_files += day.damaged_files;
        catalogue->damaged_bytes += day.damaged_bytes;
    }
    sc_day_free(&day);
    return status;
}

/* `level`: of the folder that it is in. */
static enum sc_status look_into(struct sc_catalogue *catalogue, const char *path, const struct stat *st,
                                unsigned level, struct sc_error *err)
{
    enum sc_status status = SC_NOTFOUND;
    if (catalogue->some != NULL && level + 1 == MAX_DEPTH)
        status = take_day(catalogue, path, st);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the list of segments");
    return status == SC_OK ? SC_OK : list_folder(catalogue, path, level + 1, err);
}

/* @return SC_NOTFOUND: it is gone since it was listed. */
static enum sc_status look_at(struct sc_catalogue *catalogue, const char *folder, const char *name,
                              unsigned level, struct sc_error *err)
{
    char path[4096];
    struct stat st;
    bool ours = false;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return SC_OK;
    if (stat(path, &st) != 0 && lstat(path, &st) != 0) /* what only lstat sees is a link to nothing */
        return errno == ENOENT ? SC_NOTFOUND : SC_OK;
    if (S_ISDIR(st.st_mode) && is_looked_into(name, level))
        return look_into(catalogue, path, &st, level, err);
    if (S_ISREG(st.st_mode) && take_file(catalogue, path, name, (uint64_t)st.st_size, &ours) != SC_OK)
        return sc_fail_nomem(err, "the list of segments");
    catalogue->foreign += !ours && level != 0;
    return SC_OK;
}

/* ".<name of a segment>.tmp" */
static void look_at_temporary(const struct sc_catalogue *catalogue, const char *folder, const char *name)
{
    char path[4096];
    uint64_t window_ms;
    if (!sc_name_ends(name, ".tmp") || !sc_window_name_parse(name + 1, &window_ms))
        return;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path))
        catalogue->temporary(catalogue->temporary_arg, path);
}

static void forget_files(struct sc_catalogue_file *list, uint32_t *count, uint32_t kept)
{
    while (*count > kept)
        free(list[--*count].path);
}

/* Back to what it was, a copy that was made before. */
static void go_back(struct sc_catalogue *catalogue, const struct sc_catalogue *before)
{
    forget_files(catalogue->files, &catalogue->count, before->count);
    forget_files(catalogue->tallies, &catalogue->tally_count, before->tally_count);
    catalogue->damaged_files = before->damaged_files;
    catalogue->damaged_bytes = before->damaged_bytes;
    catalogue->foreign = before->foreign;
    catalogue->left_out = before->left_out;
}

/* The names in a folder, each with its end. Those that begin with a dot are not for readers. */
static void read_names(const struct sc_catalogue *catalogue, DIR *dir, const char *path, struct sc_buf *out)
{
    const struct dirent *entry;
    sc_buf_clear(out);
    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            sc_buf_append(out, entry->d_name, strlen(entry->d_name) + 1);
        else if (catalogue->temporary != NULL)
            look_at_temporary(catalogue, path, entry->d_name);
    }
}

static bool same_names(const struct sc_buf *x, const struct sc_buf *y)
{
    return x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
}

/*
 * A seal renames one file and unlinks others; a listing that runs meanwhile could see neither. So a folder is listed until two
 * listings in a row are the same: what the first of them missed had its name before the second began; and again when a file is gone
 * before it was looked at. The time of the folder's last change would not tell, as it is the same for all changes within a tick of
 * the file system's clock.
 */
#define MOST_LISTINGS 50

static enum sc_status names_at_rest(struct sc_catalogue *catalogue, DIR *dir, const char *path,
                                    struct sc_buf *names)
{
    struct sc_buf before = {0};
    bool same = false;
    read_names(catalogue, dir, path, names);
    for (unsigned listing = 1; listing < MOST_LISTINGS && !same; listing++) {
        struct sc_buf swap = before;
        before = *names;
        *names = swap;
        read_names(catalogue, dir, path, names);
        same = sc_buf_ok(&before) && sc_buf_ok(names) && same_names(&before, names);
    }
    bool memory = sc_buf_ok(&before) && sc_buf_ok(names);
    sc_buf_free(&before);
    return same ? SC_OK : memory ? SC_AGAIN : SC_NOMEM;
}

static void note_unreadable(struct sc_catalogue *catalogue, const char *path)
{
    catalogue->unreadable++;
    snprintf(catalogue->unreadable_path, sizeof(catalogue->unreadable_path), "%.255s", path);
}

static enum sc_status list_names(struct sc_catalogue *catalogue, const char *path, unsigned level,
                                 const struct sc_buf *names, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    for (size_t at = 0; at < names->len && status == SC_OK;) {
        const char *name = (const char *)names->data + at;
        at += strlen(name) + 1;
        status = look_at(catalogue, path, name, level, err);
    }
    return status;
}

/* @return SC_NOTFOUND: what was listed is gone before it was looked at; SC_AGAIN: the folder does not come to rest. */
static enum sc_status list_once(struct sc_catalogue *catalogue, DIR *dir, const char *path, unsigned level,
                                struct sc_error *err)
{
    struct sc_buf names = {0};
    enum sc_status status = names_at_rest(catalogue, dir, path, &names);
    if (status == SC_NOMEM)
        sc_fail_nomem(err, "the list of segments");
    if (status == SC_OK)
        status = list_names(catalogue, path, level, &names, err);
    sc_buf_free(&names);
    return status;
}

static enum sc_status list_folder(struct sc_catalogue *catalogue, const char *path, unsigned level,
                                  struct sc_error *err)
{
    enum sc_status status = SC_NOTFOUND;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        if (errno != ENOENT) /* expired since it was listed */
            note_unreadable(catalogue, path);
        return SC_OK;
    }
    for (unsigned listing = 0; listing < MOST_LISTINGS && status == SC_NOTFOUND; listing++) {
        const struct sc_catalogue before = *catalogue;
        status = list_once(catalogue, dir, path, level, err);
        if (status == SC_NOTFOUND)
            go_back(catalogue, &before);
    }
    closedir(dir);
    if (status != SC_AGAIN && status != SC_NOTFOUND)
        return status;
    note_unreadable(catalogue,
                    path); /* it changes faster than it can be listed: what it holds is not known */
    return SC_OK;
}

/* STORE/.replica/LANE are laid out as stores. */
static enum sc_status list_replicas(struct sc_catalogue *catalogue, const char *store, struct sc_error *err)
{
    char path[4096];
    const struct dirent *entry;
    enum sc_status status = SC_OK;
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, store);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        if (errno != ENOENT)
            note_unreadable(catalogue, path);
        return SC_OK;
    }
    uint32_t first = catalogue->count;
    while (status == SC_OK && (entry = readdir(dir)) != NULL) {
        char lane[4096];
        if (entry->d_name[0] != '.' &&
            snprintf(lane, sizeof(lane), "%s/%s", path, entry->d_name) < (int)sizeof(lane))
            status = list_folder(catalogue, lane, 0, err);
    }
    closedir(dir);
    for (uint32_t i = first; i < catalogue->count; i++)
        catalogue->files[i].replica = true;
    return status;
}

/* A file that has not one of our names must at least begin as ours do. */
static enum sc_status check_magic(const char *path, const struct stat *st, struct sc_error *err)
{
    char magic[SC_MAGIC_BYTES];
    size_t n = 0;
    if (S_ISREG(st->st_mode))
        SC_TRY(sc_io_read_file(path, magic, sizeof(magic), &n, err));
    if (n == sizeof(magic) && memcmp(magic, SC_SEGMENT_MAGIC, sizeof(magic)) == 0)
        return SC_OK;
    return sc_fail(
        err, SC_NOT_OURS,
        "%s is neither a store nor a segment of one; captures are imported with sc-collector --read", path);
}

static enum sc_status add_single(struct sc_catalogue *catalogue, const char *path, const struct stat *st,
                                 struct sc_error *err)
{
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    struct sc_catalogue_file file = {.path = (char *)path, .bytes = (uint64_t)st->st_size};
    if (!S_ISREG(st->st_mode) || !sc_segment_name_parse(name, &file.window_ms, &file.sealed)) {
        SC_TRY(check_magic(path, st, err));
        file.window_ms = 0; /* its head will tell */
        file.sealed = true;
    }
    return add_file(&catalogue->files, &catalogue->count, &file) == SC_OK
               ? SC_OK
               : sc_fail_nomem(err, "the list of segments");
}

static bool is_mark(const char *name)
{
    static const char *const marks[] = {
        "collector.lock", "control.sock",    "templates.state", "templates.journal", "horizon",
        "outbox",         SC_STREAMS_FOLDER, SC_LOST_FOLDER,    SC_REPLICA_FOLDER,   "lost+found",
        SC_ELEMENTS_FILE, SC_HORIZONS_FILE,  SC_DAYS_FOLDER};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strcmp(name, marks[i]) == 0)
            return true;
    }
    return false;
}

/* Of a folder in which nothing of ours was found: one that holds other things, and no mark of a store, is none; an empty one may be. */
static enum sc_status check_store(const char *path, bool foreign, struct sc_error *err)
{
    const struct dirent *entry;
    bool mark = false, other = foreign;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return sc_fail_errno(err, errno, "cannot list %s", path);
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        mark = mark || is_mark(name);
        other = other || (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !is_looked_into(name, 0));
    }
    closedir(dir);
    return mark || !other
               ? SC_OK
               : sc_fail(err, SC_NOT_OURS, "%s is no store, nor a part of one: it holds other things", path);
}

/* How much of ours a catalogue holds, whatever it is. */
static uint64_t found(const struct sc_catalogue *catalogue)
{
    return (uint64_t)catalogue->count + catalogue->tally_count + catalogue->damaged_files +
           catalogue->left_out;
}

enum sc_status sc_catalogue_add(struct sc_catalogue *catalogue, const char *path, struct sc_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return sc_fail_errno(err, errno, "cannot open %s", path);
    if (!S_ISDIR(st.st_mode))
        return add_single(catalogue, path, &st, err);
    uint64_t before = found(catalogue);
    uint32_t foreign = catalogue->foreign;
    SC_TRY(list_folder(catalogue, path, 0, err));
    if (catalogue->replicas)
        SC_TRY(list_replicas(catalogue, path, err));
    return found(catalogue) != before ? SC_OK : check_store(path, catalogue->foreign != foreign, err);
}

int sc_catalogue_compare(const void *x, const void *y)
{
    const struct sc_catalogue_file *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return strcmp(a->path, b->path);
}

void sc_catalogue_sort(struct sc_catalogue *catalogue)
{
    if (catalogue->count > 1)
        qsort(catalogue->files, catalogue->count, sizeof(*catalogue->files), sc_catalogue_compare);
}

void sc_catalogue_free(struct sc_catalogue *catalogue)
{
    forget_files(catalogue->files, &catalogue->count, 0);
    forget_files(catalogue->tallies, &catalogue->tally_count, 0);
    free(catalogue->files);
    free(catalogue->tallies);
    *catalogue = (struct sc_catalogue){0};
}
