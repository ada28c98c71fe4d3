// SPDX-License-Identifier: BSD-3-Clause
/*
 * Retention: whole windows, oldest first. The horizon (start of the oldest window that is kept) is written to
 * STORE/horizon and synced before the first file goes, also on a full disk (horizon.h), so that a reader, or another node, can tell
 * expired from missing. A window has the age of the last of its files that was made, so that what comes late, from an outbox or by a
 * clock that was behind, does not expire on arrival; windows behind it wait for it. What a repair kept of a window (.damaged) counts
 * and goes with it. Tallies, streams and accepted losses stay until all members of a cluster have expired their windows (horizons.h):
 * what one deletes is not to hide what another has lost.
 */
#include "store/store.h"

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
    sum_up(&catalogue, keep, out);
    out->horizon_ms = further(path, keep > 0 ? catalogue.files[keep].window_ms : 0, now_ms);
    if (status == SC_OK && !dry_run)
        status = expire(io, path, &catalogue, keep, out->horizon_ms, err);
    sc_catalogue_free(&catalogue);
    return status;
}
