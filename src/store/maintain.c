// SPDX-License-Identifier: BSD-3-Clause
#include "store/maintain.h"

#include "store/catalogue.h"
#include "store/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct examiner {
    sc_finding_fn *finding;
    void *arg;
    struct sc_io *io;
    struct sc_verify_report *report;
    const struct sc_verify_watch *watch; /* NULL: nobody follows */
    bool repair;
    bool gone; /* a file is not there any more since it was listed: what it held may be in one that was not */
    uint64_t left_damaged;
    enum sc_status
        failed; /* the first failure that is no damage; the other files are examined all the same */
    struct sc_error reason; /* of it */
};

static void tell(const struct examiner *x, const char *path, const char *finding)
{
    if (x->finding != NULL)
        x->finding(x->arg, path, finding);
}

static bool wants(const struct examiner *x, uint64_t window_ms, const uint32_t *lane)
{
    return x->watch == NULL || x->watch->wants(x->watch->arg, window_ms, lane);
}

static void note_failure(struct examiner *x, const char *path, enum sc_status status,
                         const struct sc_error *why)
{
    tell(x, path, why->message);
    if (x->failed != SC_OK)
        return;
    x->failed = status;
    x->reason = *why;
}

/* Here and below: whether it is damaged. */
static bool verify_group(struct examiner *x, struct sc_read_context *context,
                         const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    struct sc_error why = {0};
    uint32_t chunks = 0;
    sc_read_context_reset(context);
    x->report->row_groups++;
    enum sc_status status = sc_row_group_open(context, segment, index, &group, &why);
    if (status == SC_OK) {
        x->report->rows += group->rows;
        status = sc_row_group_verify(group, &chunks, &why);
        if (x->watch != NULL)
            x->watch->group(x->watch->arg, group, status == SC_OK || sc_row_group_has_rows(group));
    }
    if (status == SC_OK)
        return false;
    if (status != SC_DAMAGED && status != SC_NOT_OURS && status != SC_IO) {
        note_failure(x, segment->path, status, &why);
        return false;
    }
    x->report->damaged_row_groups++;
    x->report->damaged_chunks += chunks;
    tell(x, segment->path, why.message);
    return true;
}

static bool report_stretches(struct examiner *x, const struct sc_segment *segment)
{
    char text[128];
    if (segment->head_damaged)
        tell(x, segment->path, "the head is damaged; the footer repeats it");
    if (segment->footer_damaged)
        tell(x, segment->path, "the footer is damaged; row groups were found by scanning");
    if (segment->damaged_stretches != 0) {
        snprintf(text, sizeof(text), "%u stretches (%llu bytes) hold no readable row group",
                 segment->damaged_stretches, (unsigned long long)segment->damaged_bytes);
        tell(x, segment->path, text);
        x->report->damaged_row_groups += segment->damaged_stretches;
    }
    if (segment->unfinished_tail)
        x->report->unfinished_tails++;
    return segment->head_damaged || segment->footer_damaged || segment->damaged_stretches != 0;
}

/* A file that is gone was sealed or expired meanwhile; one that cannot be opened, or is of a newer version,
 * is no damage. */
static bool verify_file(struct examiner *x, const char *path)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_error why = {0};
    tell(x, path, NULL);
    enum sc_status status = sc_segment_open(path, &segment, &why);
    if (status == SC_NOTFOUND) {
        x->gone = true;
        return false;
    }
    if (status == SC_OK && !wants(x, segment->window_ms, &segment->lane)) {
        sc_segment_close(segment);
        return false;
    }
    x->report->segments++;
    if (status == SC_DAMAGED || status == SC_NOT_OURS) {
        tell(x, path, why.message);
        return true;
    }
    if (status == SC_OK && sc_read_context_init(&context) != SC_OK) {
        sc_segment_close(segment);
        status = sc_fail_nomem(&why, path);
    }
    if (status != SC_OK) {
        note_failure(x, path, status, &why);
        return false;
    }
    bool damaged = report_stretches(x, segment);
    for (uint32_t i = 0; i < segment->group_count; i++)
        damaged = verify_group(x, &context, segment, i) || damaged;
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return damaged;
}

/* ---- repair ---- */

struct repair {
    const char *path;
    struct sc_io_names names;
    char kept[PATH_MAX];
    struct sc_merge_report merged;
    bool rewritten; /* the temporary file holds what was whole */
};

static enum sc_status name_files(struct repair *r, const char *path, struct sc_error *err)
{
    *r = (struct repair){.path = path};
    if (!sc_io_name_beside(path, ".repair", &r->names) ||
        snprintf(r->kept, sizeof(r->kept), "%s" SC_DAMAGED_SUFFIX, path) >= (int)sizeof(r->kept))
        return sc_fail(err, SC_IO, "%s: the path is too long", path);
    return SC_OK;
}

/* What is whole to the temporary file. A file of which nothing can be trusted has nothing to rewrite. */
static enum sc_status rewrite(struct examiner *x, struct repair *r, struct sc_error *err)
{
    struct sc_segment *segment;
    enum sc_status status = sc_segment_open(r->path, &segment, err);
    if (status == SC_DAMAGED || status == SC_NOT_OURS)
        return SC_OK;
    SC_TRY(status);
    struct sc_segment_id id = {.window_ms = segment->window_ms,
                               .window_s = segment->window_s,
                               .lane = segment->lane,
                               .stream = segment->stream,
                               .created_ms = segment->created_ms,
                               .format = segment->format};
    sc_segment_close(segment);
    x->io->ops->unlink(x->io, r->names.temporary); /* of a repair that was cut short */
    SC_TRY(sc_merge_segments(x->io, &r->path, 1, r->names.temporary, &id, NULL, NULL, &r->merged, err));
    r->rewritten = r->merged.rows != 0;
    if (!r->rewritten)
        x->io->ops->unlink(x->io, r->names.temporary);
    return SC_OK;
}

/* True when `kept` is the file itself: a repair that was cut short had come that far. */
static bool same_file(const char *path, const char *kept)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(kept, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The old file gets its second name first, so that its rows are never without any. */
static int keep_old(struct sc_io *io, const struct repair *r)
{
    int result = same_file(r->path, r->kept) ? 0 : io->ops->link(io, r->path, r->kept);
    if (result == 0 && !r->rewritten)
        return io->ops->unlink(io, r->path);
    if (result == -EPERM || result == -EOPNOTSUPP || result == -EMLINK) /* a file system without links */
        return io->ops->rename(io, r->path, r->kept);
    return result;
}

static enum sc_status replace_file(struct examiner *x, const struct repair *r, struct sc_error *err)
{
    int result = keep_old(x->io, r);
    if (result == -EEXIST)
        return sc_fail(err, SC_IO, "%s is there already: move it away, then repair again", r->kept);
    if (result >= 0 && r->rewritten)
        result = x->io->ops->rename(x->io, r->names.temporary, r->path);
    if (result >= 0)
        result = x->io->ops->sync_dir(x->io, r->names.folder);
    return result < 0 ? sc_fail_errno(err, -result, "cannot replace %s", r->path) : SC_OK;
}

/* A new sealed segment from what is whole; the old one steps aside. */
static enum sc_status repair_file(struct examiner *x, const char *path, struct sc_error *err)
{
    struct repair *r = malloc(sizeof(*r));
    if (r == NULL)
        return sc_fail_nomem(err, "repair");
    enum sc_status status = name_files(r, path, err);
    if (status == SC_OK)
        status = rewrite(x, r, err);
    if (status == SC_OK)
        status = replace_file(x, r, err);
    if (status != SC_OK && r->rewritten)
        x->io->ops->unlink(x->io, r->names.temporary);
    if (status == SC_OK) {
        char text[160];
        snprintf(text, sizeof(text),
                 "repaired: %llu records kept, %u row groups lost; the old file is kept as .damaged",
                 (unsigned long long)r->merged.rows, r->merged.groups_damaged + r->merged.stretches_damaged);
        tell(x, path, r->rewritten ? text : "no row group can be read; the file is kept as .damaged");
    }
    free(r);
    return status;
}

/* ---- both ---- */

static void examine_file(struct examiner *x, const struct sc_catalogue_file *file)
{
    struct sc_error why = {0};
    if (!verify_file(x, file->path))
        return;
    x->report->damaged_segments++;
    if (!x->repair || !file->sealed) {
        x->left_damaged++;
        return;
    }
    enum sc_status status = repair_file(x, file->path, &why);
    if (status == SC_OK) {
        x->report->repaired_segments++;
        x->report->kept_files++;
        x->report->kept_bytes += file->bytes;
    } else {
        x->left_damaged++;
        note_failure(x, file->path, status, &why);
    }
}

/* Leaves those of a sorted listing that were not in the one before and are wanted. @return their bytes. */
static uint64_t keep_fresh(const struct examiner *x, struct sc_catalogue *now,
                           const struct sc_catalogue *before, bool *fresh)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0, k = 0; i < now->count; i++) {
        while (k < before->count && sc_catalogue_compare(&before->files[k], &now->files[i]) < 0)
            k++;
        fresh[i] = k == before->count || sc_catalogue_compare(&before->files[k], &now->files[i]) != 0;
        fresh[i] = fresh[i] && wants(x, now->files[i].window_ms, NULL);
        bytes += fresh[i] ? now->files[i].bytes : 0;
    }
    return bytes;
}

static enum sc_status examine_listed(struct examiner *x, struct sc_catalogue *now,
                                     const struct sc_catalogue *before, struct sc_error *err)
{
    bool *fresh = calloc((size_t)now->count + 1, sizeof(*fresh));
    if (fresh == NULL)
        return sc_fail_nomem(err, "the list of files");
    uint64_t bytes = 0, of_bytes = keep_fresh(x, now, before, fresh);
    x->gone = false;
    for (uint32_t i = 0; i < now->count; i++) {
        if (!fresh[i])
            continue;
        examine_file(x, &now->files[i]);
        bytes += now->files[i].bytes;
        if (x->watch != NULL)
            x->watch->progress(x->watch->arg, bytes, of_bytes);
    }
    free(fresh);
    return SC_OK;
}

static void report_listing(struct examiner *x, const struct sc_catalogue *c)
{
    x->report->foreign_files = c->foreign;
    x->report->kept_files = c->damaged_files;
    x->report->kept_bytes = c->damaged_bytes;
}

/* Each file once: what is in the listing before was examined, if it is still there. */
static enum sc_status examine_again(struct examiner *x, const char *path, struct sc_catalogue *before,
                                    bool first, struct sc_error *err)
{
    struct sc_catalogue now = {.replicas = true};
    enum sc_status status = sc_catalogue_add(&now, path, err);
    sc_catalogue_sort(&now);
    if (first)
        report_listing(x, &now);
    if (status == SC_OK)
        status = examine_listed(x, &now, before, err);
    sc_catalogue_free(before);
    *before = now;
    return status;
}

#define MOST_LISTINGS 50

static enum sc_status examine_all(struct examiner *x, const char *path, struct sc_error *err)
{
    struct sc_catalogue listed = {0};
    enum sc_status status = SC_OK;
    x->gone = true;
    for (unsigned i = 0; i < MOST_LISTINGS && status == SC_OK && x->gone; i++) {
        status = examine_again(x, path, &listed, i == 0, err);
        if (i != 0 && status == SC_NOTFOUND) { /* all of it has expired, or the one file was sealed */
            status = SC_OK;
            x->gone = false;
        }
    }
    if (status == SC_OK && listed.unreadable != 0)
        status = sc_fail(err, SC_IO, "cannot list %s", listed.unreadable_path);
    else if (status == SC_OK && x->gone)
        status = sc_fail(err, SC_IO, "%s changes faster than it can be read", path);
    sc_catalogue_free(&listed);
    return status;
}

static enum sc_status examine(const char *path, struct examiner *x, struct sc_error *err)
{
    struct sc_error why = {0};
    *x->report = (struct sc_verify_report){0};
    enum sc_status status = examine_all(x, path, &why);
    if (x->failed != SC_OK && (status == SC_OK || status == SC_IO)) {
        status = x->failed;
        why = x->reason;
    }
    if (status != SC_OK && err != NULL)
        *err = why;
    if (status == SC_OK && x->left_damaged != 0)
        status = sc_fail(err, SC_DAMAGED, "%llu segments are damaged", (unsigned long long)x->left_damaged);
    return status;
}

enum sc_status sc_store_verify_watched(const char *path, const struct sc_verify_watch *watch,
                                       sc_finding_fn *finding, void *arg, struct sc_verify_report *out,
                                       struct sc_error *err)
{
    struct examiner x = {.finding = finding, .arg = arg, .report = out, .watch = watch, .io = sc_io_system()};
    return examine(path, &x, err);
}

enum sc_status sc_store_verify(const char *path, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    return sc_store_verify_watched(path, NULL, finding, arg, out, err);
}

enum sc_status sc_store_repair(const char *path, struct sc_io *io, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    struct examiner x = {.finding = finding,
                         .arg = arg,
                         .report = out,
                         .repair = true,
                         .io = io == NULL ? sc_io_system() : io};
    return examine(path, &x, err);
}
