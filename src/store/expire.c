// SPDX-License-Identifier: BSD-3-Clause
/*
 * Retention: whole windows, oldest first. The horizon (start of the oldest window that is kept) is written to
 * STORE/horizon and synced before the first file goes, also on a full disk (horizon.h), so that a reader, or another node, can tell
 * expired from missing. A window has the age of the last of its files that was made, so that what comes late, from an outbox or by a
 * clock that was behind, does not expire on arrival; windows behind it wait for it. What healing pulled is as old as its window. What a
 * repair kept of a window (.damaged) counts and goes with it. Tallies, streams and accepted losses stay until all members of a cluster have expired their windows (horizons.h):
 * what one deletes is not to hide what another has lost. When somebody is to have a window before it goes (an archive), it waits for
 * him, and those behind it do.
 */
#include "store/store.h"

#include "base/array.h"
#include "store/catalogue.h"
#include "store/horizon.h"
#include "store/horizons.h"
#include "store/loss.h"
#include "store/reader.h"
#include "store/tally.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* A file that is made further ahead than retention reaches back was made by a clock that was never right: it says nothing, lest it
 * keeps all behind it for ever. */
static bool came_since(const struct sc_catalogue_file *file, uint64_t then_ms, uint64_t now_ms)
{
    uint64_t created_ms = sc_segment_created_ms(file->path);
    return created_ms >= then_ms && created_ms <= now_ms + (now_ms - then_ms);
}

/* Whether the window of the file is old, and those of its files that come next. */
static bool is_old(const struct sc_catalogue *catalogue, uint32_t i, const struct sc_retention *retention,
                   uint64_t now_ms)
{
    uint64_t age_ms = retention->age_s * 1000, window_ms = catalogue->files[i].window_ms;
    if (age_ms == 0 || now_ms <= age_ms || window_ms >= now_ms - age_ms)
        return false;
    for (; i < catalogue->count && catalogue->files[i].window_ms == window_ms; i++) {
        if (!retention->by_window && came_since(&catalogue->files[i], now_ms - age_ms, now_ms))
            return false;
    }
    return true;
}

/* Index of the first file that is kept. The newest window is never expired: it may be being written. */
static uint32_t first_kept(const struct sc_catalogue *catalogue, const struct sc_retention *retention,
                           uint64_t now_ms)
{
    uint64_t total = 0;
    uint32_t i = 0;
    for (uint32_t k = 0; k < catalogue->count; k++)
        total += catalogue->files[k].bytes;
    while (i < catalogue->count) {
        uint64_t window = catalogue->files[i].window_ms;
        if (window == catalogue->files[catalogue->count - 1].window_ms)
            break;
        bool large = retention->bytes != 0 && total > retention->bytes;
        if (!large && !is_old(catalogue, i, retention, now_ms))
            break;
        for (; i < catalogue->count && catalogue->files[i].window_ms == window; i++)
            total -= catalogue->files[i].bytes;
    }
    return i;
}

/* The folders of a window that is gone, when nothing else is in them; never `store` itself or what lies above. */
static void remove_folders(const char *store, const char *path)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s", path);
    for (int level = 0; level < 3; level++) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) <= strlen(store))
            break;
        *slash = '\0';
        if (rmdir(folder) != 0) /* not empty yet */
            break;
    }
}

static enum sc_status remove_files(struct sc_io *io, const char *store, const struct sc_catalogue *catalogue,
                                   uint32_t count, struct sc_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *path = catalogue->files[i].path;
        int result = io->ops->unlink(io, path);
        if (result < 0 && result != -ENOENT)
            return sc_fail_errno(err, -result, "cannot remove %s", path);
        remove_folders(store, path);
    }
    return SC_OK;
}

/* Tallies of windows that nobody keeps say nothing any more. @return whether there were any. */
static bool remove_tallies(struct sc_io *io, const char *store, const struct sc_catalogue *catalogue,
                           uint64_t least_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < catalogue->tally_count; i++) {
        const struct sc_catalogue_file *tally = &catalogue->tallies[i];
        if (tally->window_ms >= least_ms)
            continue;
        any = io->ops->unlink(io, tally->path) == 0 || any;
        remove_folders(store, tally->path);
    }
    return any;
}

/* A stream that was heard of last this long before the horizon has no window behind it, whoever's clock counts. */
#define STREAM_MARGIN_MS UINT64_C(86400000)

static void remove_of_stream(struct sc_io *io, const char *store, const char *folder, uint64_t stream)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/%016llx", store, folder, (unsigned long long)stream);
    io->ops->unlink(io, path);
}

static bool has_loss(const struct sc_losses *losses, uint64_t stream, uint64_t from_ms)
{
    for (uint32_t i = 0; i < losses->count; i++) {
        if (losses->list[i].stream == stream && losses->list[i].window_ms >= from_ms)
            return true;
    }
    return false;
}

static bool is_over(const struct sc_stream *s, const struct sc_losses *losses, uint64_t horizon_ms)
{
    return (s->closed || sc_losses_closed(losses, s->stream)) &&
           s->heard_ms + STREAM_MARGIN_MS < horizon_ms && !has_loss(losses, s->stream, horizon_ms);
}

/* Closed streams that are over, and of them then what was accepted as lost: the word that closes a silent stream must not go before
 * the stream. */
static void remove_streams(struct sc_io *io, const char *store, const struct sc_stream *all, uint32_t count,
                           const struct sc_losses *losses, uint64_t horizon_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_over(&all[i], losses, horizon_ms))
            continue;
        remove_of_stream(io, store, SC_STREAMS_FOLDER, all[i].stream);
        remove_of_stream(io, store, SC_LOST_FOLDER, all[i].stream);
    }
}

static bool is_among(const struct sc_stream *all, uint32_t count, uint64_t stream)
{
    while (count != 0 && all[count - 1].stream != stream)
        count--;
    return count != 0;
}

/* Files go whole, never in part: an operator may be writing one. */
static void remove_losses(struct sc_io *io, const char *store, uint64_t horizon_ms)
{
    struct sc_losses losses = {0};
    struct sc_stream *all;
    uint32_t count;
    enum sc_status status = sc_losses_read(store, &losses, NULL);
    if (status == SC_OK && sc_stream_list(store, &all, &count, NULL) == SC_OK) {
        remove_streams(io, store, all, count, &losses, horizon_ms);
        for (uint32_t i = 0; i < losses.stream_count; i++) {
            const struct sc_stream *s = &losses.streams[i];
            bool closes = s->closed && is_among(all, count, s->stream);
            if (!closes && has_loss(&losses, s->stream, 0) && !has_loss(&losses, s->stream, horizon_ms))
                remove_of_stream(io, store, SC_LOST_FOLDER, s->stream);
        }
        free(all);
    }
    sc_losses_free(&losses);
}

/* It never goes back: what was expired once is not missing because older windows were imported since. Nor is it ever later than now:
 * windows that were stamped ahead and had to make room are missing, not expired. */
static uint64_t further(const char *store, uint64_t kept_ms, uint64_t now_ms)
{
    uint64_t horizon_ms = sc_store_horizon(store);
    kept_ms = kept_ms < now_ms ? kept_ms : now_ms;
    return kept_ms > horizon_ms ? kept_ms : horizon_ms;
}

/* The least horizon of all members. When nobody knows, all is kept. */
static uint64_t least_horizon(const char *store)
{
    struct sc_horizons all = {0};
    uint64_t least = sc_horizons_add_store(&all, store, NULL) == SC_OK ? all.least_ms : 0;
    sc_horizons_free(&all);
    return least;
}

/* What is told of windows that all have expired. */
static void remove_told(struct sc_io *io, const char *store, const struct sc_catalogue *catalogue,
                        bool expired)
{
    uint64_t least_ms = least_horizon(store);
    if (remove_tallies(io, store, catalogue, least_ms) || expired)
        remove_losses(io, store, least_ms);
}

/* ---- what somebody is to have before it goes ---- */

void sc_window_files_free(struct sc_window_files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct sc_window_files){0};
}

static uint32_t end_of_window(const struct sc_catalogue *catalogue, uint32_t first)
{
    uint32_t i = first;
    while (i < catalogue->count && catalogue->files[i].window_ms == catalogue->files[first].window_ms)
        i++;
    return i;
}

static uint64_t mark_of(const struct sc_catalogue_file *files, uint32_t count)
{
    uint64_t mark = 0;
    for (uint32_t i = 0; i < count; i++)
        mark = XXH3_64bits_withSeed(files[i].path, strlen(files[i].path), mark + files[i].bytes);
    return mark;
}

static bool add_path(struct sc_window_files *out, const char *store, const char *path)
{
    const char *below = path + strlen(store);
    if (!sc_array_more(out->paths, out->count, 1))
        return false;
    out->paths[out->count] = strdup(below + strspn(below, "/"));
    return out->paths[out->count] != NULL && ++out->count != 0;
}

static bool is_at_rest(const struct sc_catalogue_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!files[i].sealed && !files[i].damaged)
            return false;
    }
    return true;
}

/* None, while a file of it is written to, or without memory. */
static void list_window(const struct sc_catalogue *catalogue, uint32_t first, const char *store,
                        struct sc_window_files *out)
{
    const struct sc_catalogue_file *files = catalogue->files + first;
    uint32_t count = end_of_window(catalogue, first) - first;
    bool good = is_at_rest(files, count);
    out->window_ms = files->window_ms;
    out->mark = mark_of(files, count);
    for (uint32_t i = 0; i < count && good; i++)
        good = add_path(out, store, files[i].path);
    for (uint32_t i = 0; i < catalogue->tally_count && good; i++) {
        if (catalogue->tallies[i].window_ms == out->window_ms)
            good = add_path(out, store, catalogue->tallies[i].path);
    }
    if (!good)
        sc_window_files_free(out);
}

static uint64_t bytes_of(const struct sc_catalogue_file *files, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += files[i].bytes;
    return bytes;
}

/* Whether the window of these files may go. */
static bool may_go(const struct sc_archived *archived, const struct sc_catalogue_file *files, uint32_t count,
                   struct sc_expiry *out)
{
    if (files->window_ms == archived->window_ms && mark_of(files, count) == archived->mark)
        return true;
    if (out->unarchived_bytes >= archived->lacking_bytes)
        return false;
    out->unarchived_windows++;
    out->unarchived_bytes += bytes_of(files, count);
    return true;
}

static uint32_t count_windows(const struct sc_catalogue *catalogue, uint32_t first, uint32_t end)
{
    uint32_t windows = 0;
    for (; first < end; first = end_of_window(catalogue, first))
        windows++;
    return windows;
}

/* How many of the first `keep` files go: those behind a window that nobody has yet wait for it. */
static uint32_t hold_back(const struct sc_catalogue *catalogue, uint32_t keep, const char *store,
                          const struct sc_archived *archived, struct sc_expiry *out)
{
    uint32_t gone = 0;
    while (gone < keep && archived != NULL) {
        uint32_t end = end_of_window(catalogue, gone);
        if (!may_go(archived, catalogue->files + gone, end - gone, out)) {
            out->waiting_windows = count_windows(catalogue, gone, keep);
            list_window(catalogue, gone, store, &out->next);
            return gone;
        }
        gone = end;
    }
    return keep;
}

/* ---- all of it ---- */

static void sum_up(const struct sc_catalogue *catalogue, uint32_t keep, struct sc_expiry *out)
{
    for (uint32_t i = 0; i < keep; i++) {
        out->windows += i == 0 || catalogue->files[i].window_ms != catalogue->files[i - 1].window_ms;
        out->bytes += catalogue->files[i].bytes;
        out->files++;
    }
}

/* The files before `keep`, when the horizon says so durably. */
static enum sc_status expire(struct sc_io *io, const char *path, const struct sc_catalogue *catalogue,
                             uint32_t keep, uint64_t horizon_ms, struct sc_error *err)
{
    if (keep > 0)
        SC_TRY(sc_store_set_horizon(path, horizon_ms, io, err));
    remove_told(io, path, catalogue, keep > 0);
    return remove_files(io, path, catalogue, keep, err);
}

enum sc_status sc_store_expire(const char *path, const struct sc_retention *retention, uint64_t now_ms,
                               bool dry_run, struct sc_io *io, struct sc_expiry *out, struct sc_error *err)
{
    struct sc_catalogue catalogue = {.replicas = true, .with_damaged = true};
    *out = (struct sc_expiry){0};
    if (io == NULL)
        io = sc_io_system();
    enum sc_status status = sc_catalogue_add(&catalogue, path, err);
    sc_catalogue_sort(&catalogue);
    uint32_t keep = status == SC_OK ? first_kept(&catalogue, retention, now_ms) : 0;
    keep = hold_back(&catalogue, keep, path, retention->archived, out);
    sum_up(&catalogue, keep, out);
    out->horizon_ms = further(path, keep > 0 ? catalogue.files[keep].window_ms : 0, now_ms);
    if (status == SC_OK && !dry_run)
        status = expire(io, path, &catalogue, keep, out->horizon_ms, err);
    sc_catalogue_free(&catalogue);
    return status;
}
