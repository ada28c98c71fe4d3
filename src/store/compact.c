// SPDX-License-Identifier: BSD-3-Clause
#include "store/compact.h"

#include "base/clock.h"
#include "store/catalogue.h"
#include "store/days.h"
#include "store/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct compactor {
    const struct sc_compact_options *options;
    struct sc_io *io;
    struct sc_compaction *out;
    uint64_t stream; /* of the files that are made */
    uint32_t number;
    uint64_t begun_ms, read_bytes;
    uint16_t format;
};

/* The files of one window in one folder. */
struct pile {
    const char **paths;
    uint32_t count, live;
    uint64_t bytes;
    char folder[PATH_MAX];
    struct sc_segment_id id; /* of what is made of them */
    bool worth;              /* something would change */
    const char *left;
    struct sc_error why; /* words of `left`, where they are of that file */
};

/* ---- what there is ---- */

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

static bool same_folder(const char *x, const char *y)
{
    size_t n = folder_length(x);
    return n == folder_length(y) && memcmp(x, y, n) == 0;
}

/* Takes the files of the window of files[first] in its folder out of the catalogue, where they lie behind one another. */
static bool take_pile(const struct sc_catalogue *c, uint32_t first, bool *taken, struct pile *pile)
{
    *pile = (struct pile){.paths = calloc(c->count - first, sizeof(*pile->paths))};
    size_t length = folder_length(c->files[first].path);
    if (pile->paths == NULL || length >= sizeof(pile->folder))
        return false;
    memcpy(pile->folder, c->files[first].path, length);
    if (length == 0) /* a file that was named itself: in the working directory, or in the root */
        pile->folder[0] = c->files[first].path[0] == '/' ? '/' : '.';
    pile->id.window_ms = c->files[first].window_ms;
    for (uint32_t i = first; i < c->count && c->files[i].window_ms == pile->id.window_ms; i++) {
        if (taken[i] || !same_folder(c->files[i].path, c->files[first].path))
            continue;
        taken[i] = true;
        pile->live += !c->files[i].sealed;
        pile->paths[pile->count++] = c->files[i].path;
        pile->bytes += c->files[i].bytes;
    }
    return true;
}

/* A seal of format 1 makes files as small as they go. */
static bool packs(const struct compactor *x)
{
    return !x->options->quick && x->format > 1;
}

/* Whether all row groups are as this compaction would make them. */
static enum sc_status look_at_groups(const struct compactor *x, const struct sc_segment *segment,
                                     bool *as_wanted, struct sc_error *err)
{
    struct sc_read_context context;
    struct sc_row_group *group;
    enum sc_status status =
        sc_read_context_init(&context) == SC_OK ? SC_OK : sc_fail_nomem(err, "compaction");
    for (uint32_t i = 0; i < segment->group_count && status == SC_OK && *as_wanted; i++) {
        sc_read_context_reset(&context);
        status = sc_row_group_open(&context, segment, i, &group, err);
        if (status == SC_OK && group->entry_count <= SC_BOUND_COLUMNS + 2) /* more can only be copied */
            *as_wanted = packs(x) ? group->packed : !group->packed && group->format == x->format;
    }
    sc_read_context_free(&context);
    return status;
}

/* Adds what is to be known of a file. */
static enum sc_status look_at_file(const struct compactor *x, const char *path, bool first, struct pile *pile,
                                   struct sc_error *err)
{
    struct sc_segment *segment;
    bool as_wanted = true;
    SC_TRY(sc_segment_open(path, &segment, err));
    enum sc_status status = SC_OK;
    if (segment->footer_damaged || segment->head_damaged || segment->damaged_stretches != 0)
        status = sc_fail(err, SC_DAMAGED, "%s is damaged", path);
    else if (!first && (segment->window_s != pile->id.window_s || segment->lane != pile->id.lane))
        pile->left = "its files are of windows of different lengths, or of different lanes";
    else
        status = look_at_groups(x, segment, &as_wanted, err);
    pile->id.window_s = segment->window_s;
    pile->id.lane = segment->lane;
    pile->id.created_ms =
        segment->created_ms > pile->id.created_ms ? segment->created_ms : pile->id.created_ms;
    pile->worth = pile->worth || segment->format != x->format || !as_wanted;
    sc_segment_close(segment);
    return status;
}

/* A file that cannot be read leaves its window alone; a disk that is full, or no memory, ends it all. */
static enum sc_status leave(struct pile *pile, enum sc_status status, struct sc_error *err)
{
    if (status != SC_IO && status != SC_UNSUPPORTED)
        return status;
    pile->why = *err;
    pile->left = pile->why.message;
    return SC_OK;
}

static const char damaged_words[] = "a file is damaged: sc-admin verify says what, sc-admin repair mends it";

static enum sc_status look_at_pile(const struct compactor *x, struct pile *pile, struct sc_error *err)
{
    pile->worth = pile->count > 1;
    for (uint32_t i = 0; i < pile->count && pile->left == NULL; i++) {
        enum sc_status status = look_at_file(x, pile->paths[i], i == 0, pile, err);
        if (status == SC_NOTFOUND)
            pile->left = "a file went away meanwhile";
        else if (status == SC_DAMAGED || status == SC_NOT_OURS)
            pile->left = damaged_words;
        else
            SC_TRY(leave(pile, status, err));
    }
    return SC_OK;
}

/* ---- one window ---- */

struct fresh {
    char temporary[PATH_MAX], path[PATH_MAX];
};

static enum sc_status name_fresh(struct compactor *x, struct pile *pile, struct fresh *f,
                                 struct sc_error *err)
{
    char day[11], name[64];
    sc_segment_name_format(pile->id.window_ms, x->stream, ++x->number, day, name);
    if (snprintf(f->temporary, sizeof(f->temporary), "%s/.%.17scompact", pile->folder, name) >=
            (int)sizeof(f->temporary) ||
        snprintf(f->path, sizeof(f->path), "%s/%s" SC_SEGMENT_SUFFIX, pile->folder, name) >=
            (int)sizeof(f->path))
        return sc_fail(err, SC_IO, "%s: the path is too long", pile->folder);
    pile->id.stream = x->stream;
    pile->id.format = x->format;
    pile->id.anew = packs(x) ? SC_EFFORT_PACKED : SC_EFFORT_SEALED;
    return SC_OK;
}

static bool all_there(const struct compactor *x, const struct pile *pile)
{
    struct sc_file_id id;
    for (uint32_t i = 0; i < pile->count; i++) {
        if (x->io->ops->identify(x->io, -1, pile->paths[i], &id) < 0)
            return false;
    }
    return true;
}

static enum sc_status sync_folder(const struct compactor *x, const struct pile *pile, struct sc_error *err)
{
    int result = x->io->ops->sync_dir(x->io, pile->folder);
    return result < 0 ? sc_fail_errno(err, -result, "cannot sync %s", pile->folder) : SC_OK;
}

/* What is merged takes the place of the files: it has its name for good before they lose theirs. */
static enum sc_status replace(const struct compactor *x, struct pile *pile, const struct fresh *f,
                              struct sc_error *err)
{
    int result = x->io->ops->rename(x->io, f->temporary, f->path);
    if (result < 0) {
        x->io->ops->unlink(x->io, f->temporary);
        return sc_fail_errno(err, -result, "cannot rename %s", f->temporary);
    }
    SC_TRY(sync_folder(x, pile, err));
    if (!all_there(x, pile)) {
        pile->left = "a file went away meanwhile";
        x->io->ops->unlink(x->io, f->path);
        return sync_folder(x, pile, err);
    }
    for (uint32_t i = 0; i < pile->count; i++) {
        result = x->io->ops->unlink(x->io, pile->paths[i]);
        if (result < 0 && result != -ENOENT)
            return sc_fail_errno(err, -result, "cannot remove %s, of which a smaller file has all",
                                 pile->paths[i]);
    }
    return sync_folder(x, pile, err);
}

static enum sc_status compact_pile(struct compactor *x, struct pile *pile, uint64_t *after,
                                   struct sc_error *err)
{
    struct sc_merge_report report;
    struct fresh f;
    SC_TRY(name_fresh(x, pile, &f, err));
    x->io->ops->unlink(x->io, f.temporary);
    SC_TRY(sc_merge_segments(x->io, pile->paths, pile->count, f.temporary, &pile->id, NULL,
                             x->options->cancel, &report, err));
    if (report.groups_damaged != 0 || report.stretches_damaged != 0 || report.rows == 0) {
        pile->left = damaged_words;
        x->io->ops->unlink(x->io, f.temporary);
        return SC_OK;
    }
    *after = report.bytes_written;
    return replace(x, pile, &f, err);
}

/* ---- all ---- */

static bool is_cancelled(const struct compactor *x)
{
    return x->options->cancel != NULL && __atomic_load_n(x->options->cancel, __ATOMIC_RELAXED) != 0;
}

/* Until so much may have been read. */
static void rest(const struct compactor *x)
{
    const uint64_t rate = x->options->bytes_per_s;
    const struct timespec moment = {.tv_nsec = 50000000};
    while (rate != 0 && !is_cancelled(x) &&
           (double)(sc_clock_mono_ms() - x->begun_ms) * (double)rate / 1000 < (double)x->read_bytes)
        nanosleep(&moment, NULL);
}

static void note(struct compactor *x, const struct pile *pile, uint64_t after)
{
    const struct sc_compacted one = {.window_ms = pile->id.window_ms,
                                     .folder = pile->folder,
                                     .files = pile->count,
                                     .before = pile->bytes,
                                     .after = after,
                                     .left = pile->left};
    if (pile->left != NULL) {
        x->out->left++;
    } else {
        x->out->compacted++;
        x->out->files_before += pile->count;
        x->out->files_after++;
        x->out->bytes_before += pile->bytes;
        x->out->bytes_after += after;
    }
    if (x->options->tell != NULL)
        x->options->tell(x->options->arg, &one);
}

/* A window that is still written to is not spoken of. */
static enum sc_status consider(struct compactor *x, struct pile *pile, struct sc_error *err)
{
    uint64_t after = 0;
    x->out->windows++;
    if (pile->live != 0)
        return SC_OK;
    SC_TRY(look_at_pile(x, pile, err));
    if (!pile->worth && pile->left == NULL)
        return SC_OK;
    if (pile->left == NULL && !x->options->dry_run) {
        SC_TRY(leave(pile, compact_pile(x, pile, &after, err), err));
        x->read_bytes += pile->bytes;
    }
    note(x, pile, after);
    rest(x);
    return SC_OK;
}

static enum sc_status compact_all(struct compactor *x, const struct sc_catalogue *c, struct sc_error *err)
{
    bool *taken = calloc((size_t)c->count + 1, sizeof(*taken));
    enum sc_status status = taken == NULL ? sc_fail_nomem(err, "compaction") : SC_OK;
    for (uint32_t i = 0; i < c->count && status == SC_OK; i++) {
        struct pile pile;
        if (taken[i])
            continue;
        if (is_cancelled(x)) {
            status = sc_fail(err, SC_CANCELLED, "stopped");
            break;
        }
        status = take_pile(c, i, taken, &pile) ? consider(x, &pile, err) : sc_fail_nomem(err, "compaction");
        free(pile.paths);
    }
    free(taken);
    return status;
}

static enum sc_status compact_listed(struct compactor *x, const char *path, struct sc_error *err)
{
    struct sc_catalogue catalogue = {.replicas = true};
    enum sc_status status = sc_catalogue_add(&catalogue, path, err);
    sc_catalogue_sort(&catalogue);
    if (status == SC_OK)
        status = compact_all(x, &catalogue, err);
    if (status == SC_OK && catalogue.unreadable != 0)
        status = sc_fail(err, SC_IO, "cannot list %s", catalogue.unreadable_path);
    sc_catalogue_free(&catalogue);
    return status;
}

enum sc_status sc_store_compact(const char *path, const struct sc_compact_options *options,
                                struct sc_compaction *out, struct sc_error *err)
{
    struct compactor x = {.options = options,
                          .io = options->io == NULL ? sc_io_system() : options->io,
                          .out = out,
                          .begun_ms = sc_clock_mono_ms(),
                          .format = options->format == 0 ? SC_SEGMENT_VERSION : options->format};
    *out = (struct sc_compaction){0};
    if (getrandom(&x.stream, sizeof(x.stream), 0) != sizeof(x.stream))
        return sc_fail_errno(err, errno, "no random numbers");
    int folder = open(path, O_RDONLY | O_CLOEXEC);
    if (folder < 0)
        return sc_fail_errno(err, errno, "cannot open %s", path);
    enum sc_status status = flock(folder, LOCK_EX | LOCK_NB) == 0
                                ? compact_listed(&x, path, err)
                                : sc_fail(err, SC_TAKEN, "%s is being compacted already", path);
    close(folder);
    if (!options->dry_run)
        (void)sc_days_make(path, UINT_MAX, true, x.io);
    return status;
}
