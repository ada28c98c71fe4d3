// SPDX-License-Identifier: BSD-3-Clause
#include "store/catalogue.h"

#include "base/clock.h"
#include "store/elements.h"
#include "store/format.h"
#include "store/loss.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 3 /* year, month, day */

/* "YYYYMMDDTHHMMSSZ-" at the front of a name. */
static bool parse_window(const char *name, uint64_t *window_ms)
{
    struct sc_civil c = {0};
    unsigned year;
    int used = 0;
    if (sscanf(name, "%4u%2u%2uT%2u%2u%2uZ-%n", &year, &c.month, &c.day, &c.hour, &c.minute, &c.second,
               &used) != 6 ||
        used != 17)
        return false;
    c.year = (int)year;
    *window_ms = (uint64_t)sc_time_from_civil(&c);
    return true;
}

bool sc_segment_name_parse(const char *name, uint64_t *window_ms, bool *sealed)
{
    size_t length = strlen(name);
    if (!parse_window(name, window_ms))
        return false;
    size_t suffix = strlen(SC_SEGMENT_SUFFIX), live = strlen(SC_LIVE_SUFFIX);
    if (length > suffix && strcmp(name + length - suffix, SC_SEGMENT_SUFFIX) == 0)
        *sealed = true;
    else if (length > live && strcmp(name + length - live, SC_LIVE_SUFFIX) == 0)
        *sealed = false;
    else
        return false;
    return true;
}

void sc_segment_name_format(uint64_t window_ms, uint64_t stream, uint32_t number, char folder[11],
                            char name[64])
{
    struct sc_civil c = sc_time_to_civil((int64_t)window_ms);
    snprintf(folder, 11, "%04u/%02u/%02u", (unsigned)c.year % 10000, c.month % 100, c.day % 100);
    snprintf(name, 64, "%04u%02u%02uT%02u%02u%02uZ-%016llx-%08u", (unsigned)c.year % 10000, c.month % 100,
             c.day % 100, c.hour % 100, c.minute % 100, c.second % 100, (unsigned long long)stream, number);
}

static enum sc_status add_file(struct sc_catalogue *catalogue, const char *path, uint64_t window_ms,
                               uint64_t bytes, bool sealed)
{
    if (catalogue->count == catalogue->capacity) {
        uint32_t capacity = catalogue->capacity == 0 ? 64 : catalogue->capacity * 2;
        struct sc_catalogue_file *files = realloc(catalogue->files, capacity * sizeof(*files));
        if (files == NULL)
            return SC_NOMEM;
        catalogue->files = files;
        catalogue->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return SC_NOMEM;
    catalogue->files[catalogue->count++] =
        (struct sc_catalogue_file){.path = copy, .window_ms = window_ms, .bytes = bytes, .sealed = sealed};
    return SC_OK;
}

static bool is_tally(const char *name)
{
    size_t length = strlen(name), suffix = strlen(SC_TALLY_SUFFIX);
    return length > suffix && strcmp(name + length - suffix, SC_TALLY_SUFFIX) == 0;
}

static bool add_tally(struct sc_catalogue *catalogue, const char *path, uint64_t window_ms)
{
    struct sc_catalogue_tally *tallies =
        realloc(catalogue->tallies, ((size_t)catalogue->tally_count + 1) * sizeof(*tallies));
    if (tallies == NULL)
        return false;
    catalogue->tallies = tallies;
    tallies[catalogue->tally_count].path = strdup(path);
    tallies[catalogue->tally_count].window_ms = window_ms;
    return tallies[catalogue->tally_count++].path != NULL;
}

/* Year, month and day folders have names of digits only; everything else in a store is not looked into. */
static bool is_number(const char *name)
{
    size_t n = strspn(name, "0123456789");
    return (n == 4 || n == 2) && name[n] == '\0';
}

static enum sc_status list_folder(struct sc_catalogue *catalogue, const char *path, unsigned depth,
                                  struct sc_error *err);

static enum sc_status look_at(struct sc_catalogue *catalogue, const char *folder, const char *name,
                              unsigned depth, struct sc_error *err)
{
    char path[4096];
    struct stat st;
    uint64_t window_ms;
    bool sealed;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) || stat(path, &st) != 0)
        return SC_OK; /* gone since it was listed */
    if (S_ISDIR(st.st_mode)) {
        if (depth == 0 || !is_number(name))
            return SC_OK;
        return list_folder(catalogue, path, depth - 1, err);
    }
    if (S_ISREG(st.st_mode) && sc_segment_name_parse(name, &window_ms, &sealed)) {
        if (add_file(catalogue, path, window_ms, (uint64_t)st.st_size, sealed) != SC_OK)
            return sc_fail_nomem(err, "the list of segments");
    } else if (S_ISREG(st.st_mode) && is_tally(name) && parse_window(name, &window_ms)) {
        if (!add_tally(catalogue, path, window_ms))
            return sc_fail_nomem(err, "the list of segments");
    } else if (depth == 0 && strstr(name, ".damaged") == NULL) {
        catalogue->foreign++;
    }
    return SC_OK;
}

/* ".<name of a segment>.tmp" */
static void look_at_temporary(const struct sc_catalogue *catalogue, const char *folder, const char *name)
{
    char path[4096];
    uint64_t window_ms;
    size_t length = strlen(name);
    if (length < 5 || strcmp(name + length - 4, ".tmp") != 0 || !parse_window(name + 1, &window_ms))
        return;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path))
        catalogue->temporary(catalogue->temporary_arg, path);
}

static void forget_tallies(struct sc_catalogue *catalogue, uint32_t count)
{
    while (catalogue->tally_count > count)
        free(catalogue->tallies[--catalogue->tally_count].path);
}

static void forget_from(struct sc_catalogue *catalogue, uint32_t count)
{
    while (catalogue->count > count)
        free(catalogue->files[--catalogue->count].path);
}

static bool same_time(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum sc_status list_once(struct sc_catalogue *catalogue, DIR *dir, const char *path, unsigned depth,
                                struct sc_error *err)
{
    const struct dirent *entry;
    enum sc_status status = SC_OK;
    while (status == SC_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            status = look_at(catalogue, path, entry->d_name, depth, err);
        else if (catalogue->temporary != NULL)
            look_at_temporary(catalogue, path, entry->d_name);
    }
    return status;
}

/*
 * A seal renames one file and unlinks another; a listing that runs meanwhile could see neither. So it is done
 * again when the folder changed under it, a bounded number of times (a live file can only be seen once too
 * often then).
 */
static enum sc_status list_folder(struct sc_catalogue *catalogue, const char *path, unsigned depth,
                                  struct sc_error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL && errno == ENOENT) /* expired since it was listed */
        return SC_OK;
    if (dir == NULL) {
        catalogue->unreadable++;
        snprintf(catalogue->unreadable_path, sizeof(catalogue->unreadable_path), "%s", path);
        return SC_OK;
    }
    enum sc_status status = SC_OK;
    uint32_t start = catalogue->count, foreign = catalogue->foreign, tallies = catalogue->tally_count;
    for (int attempt = 0; attempt < 5 && status == SC_OK; attempt++) {
        struct stat before, after;
        forget_from(catalogue, start);
        forget_tallies(catalogue, tallies);
        catalogue->foreign = foreign;
        rewinddir(dir);
        if (fstat(dirfd(dir), &before) != 0)
            break;
        status = list_once(catalogue, dir, path, depth, err);
        if (fstat(dirfd(dir), &after) != 0 || same_time(&before, &after))
            break;
    }
    closedir(dir);
    return status;
}

/* STORE/.replica/LANE are laid out as stores. */
static enum sc_status list_replicas(struct sc_catalogue *catalogue, const char *store, struct sc_error *err)
{
    char path[4096];
    const struct dirent *entry;
    enum sc_status status = SC_OK;
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, store);
    DIR *dir = opendir(path);
    if (dir == NULL && errno == ENOENT)
        return SC_OK;
    if (dir == NULL) {
        catalogue->unreadable++;
        snprintf(catalogue->unreadable_path, sizeof(catalogue->unreadable_path), "%.255s", path);
        return SC_OK;
    }
    while (status == SC_OK && (entry = readdir(dir)) != NULL) {
        char lane[4096];
        if (entry->d_name[0] != '.' &&
            snprintf(lane, sizeof(lane), "%s/%s", path, entry->d_name) < (int)sizeof(lane))
            status = list_folder(catalogue, lane, MAX_DEPTH, err);
    }
    closedir(dir);
    return status;
}

static unsigned digits_at_end(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", path);
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/')
        copy[--length] = '\0';
    const char *name = strrchr(copy, '/') == NULL ? copy : strrchr(copy, '/') + 1;
    return is_number(name) ? (unsigned)strlen(name) : 0;
}

/* A file that has not one of our names must at least begin as ours do. */
static enum sc_status check_magic(const char *path, const struct stat *st, struct sc_error *err)
{
    char magic[SC_MAGIC_BYTES] = {0};
    FILE *f = S_ISREG(st->st_mode) ? fopen(path, "rbe") : NULL;
    if (f == NULL && S_ISREG(st->st_mode))
        return sc_fail_errno(err, errno, "cannot read %s", path);
    size_t n = f == NULL ? 0 : fread(magic, 1, sizeof(magic), f);
    if (f != NULL)
        fclose(f);
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
    uint64_t window_ms = 0;
    bool sealed = true;
    if (!S_ISREG(st->st_mode) || !sc_segment_name_parse(name, &window_ms, &sealed))
        SC_TRY(check_magic(path, st, err));
    return add_file(catalogue, path, window_ms, (uint64_t)st->st_size, sealed) == SC_OK
               ? SC_OK
               : sc_fail_nomem(err, "the list of segments");
}

static bool is_mark(const char *name)
{
    static const char *const marks[] = {
        "collector.lock",  "control.sock", "templates.state", "templates.journal", "horizon",       "outbox",
        SC_STREAMS_FOLDER, SC_LOST_FOLDER, SC_REPLICA_FOLDER, "lost+found",        SC_ELEMENTS_FILE};
    uint64_t window_ms;
    bool sealed;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strcmp(name, marks[i]) == 0)
            return true;
    }
    return is_number(name) || sc_segment_name_parse(name, &window_ms, &sealed);
}

/* A folder that holds other things, and nothing that a store holds, is none; an empty one may be. */
static enum sc_status check_store(DIR *dir, const char *path, struct sc_error *err)
{
    const struct dirent *entry;
    bool other = false;
    while ((entry = readdir(dir)) != NULL) {
        if (is_mark(entry->d_name))
            return SC_OK;
        other = other || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0);
    }
    return other ? sc_fail(err, SC_NOT_OURS, "%s is no store, nor a part of one: it holds other things", path)
                 : SC_OK;
}

enum sc_status sc_catalogue_add(struct sc_catalogue *catalogue, const char *path, struct sc_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return sc_fail_errno(err, errno, "cannot open %s", path);
    if (!S_ISDIR(st.st_mode))
        return add_single(catalogue, path, &st, err);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return sc_fail_errno(err, errno, "cannot list %s", path);
    enum sc_status ours = digits_at_end(path) == 0 ? check_store(dir, path, err) : SC_OK;
    closedir(dir);
    SC_TRY(ours);
    /* A folder named like a part of a store may be one: looking as deep as a store does no harm. */
    unsigned depth = digits_at_end(path) == 4 ? 2 : MAX_DEPTH;
    SC_TRY(list_folder(catalogue, path, depth, err));
    return catalogue->replicas ? list_replicas(catalogue, path, err) : SC_OK;
}

static int compare_files(const void *x, const void *y)
{
    const struct sc_catalogue_file *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return strcmp(a->path, b->path);
}

void sc_catalogue_sort(struct sc_catalogue *catalogue)
{
    if (catalogue->count > 1)
        qsort(catalogue->files, catalogue->count, sizeof(*catalogue->files), compare_files);
}

void sc_catalogue_free(struct sc_catalogue *catalogue)
{
    forget_from(catalogue, 0);
    forget_tallies(catalogue, 0);
    free(catalogue->tallies);
    free(catalogue->files);
    *catalogue = (struct sc_catalogue){0};
}
