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
    enum sc_status
        failed; /* the first failure that is no damage; the other files are examined all the same */
    struct sc_error reason; /* of it */
};

static void tell(const struct examiner *x, const char *path, const char *finding)
{
    if (x->finding != NULL)
        x->finding(x->arg, path, finding);
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
    if (status == SC_NOTFOUND)
        return false;
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
    struct sc_segment_id id = {segment->window_ms, segment->window_s, segment->lane, segment->stream,
                               segment->created_ms};
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

static void examine_file(struct examiner *x, const struct sc_catalogue_file *file, bool repair,
                         uint64_t *left)
{
    struct sc_error why = {0};
    if (!verify_file(x, file->path))
        return;
    x->report->damaged_segments++;
    if (!repair || !file->sealed) {
        (*left)++;
        return;
    }
    enum sc_status status = repair_file(x, file->path, &why);
    if (status == SC_OK) {
        x->report->repaired_segments++;
        x->report->kept_files++;
        x->report->kept_bytes += file->bytes;
    } else {
        (*left)++;
        note_failure(x, file->path, status, &why);
    }
}

static enum sc_status examine(const char *path, bool repair, struct examiner *x, struct sc_error *err)
{
    struct sc_catalogue catalogue = {.replicas = true};
    uint64_t left_damaged = 0;
    *x->report = (struct sc_verify_report){0};
    enum sc_status status = sc_catalogue_add(&catalogue, path, err);
    sc_catalogue_sort(&catalogue);
    for (uint32_t i = 0; i < catalogue.count && status == SC_OK; i++)
        examine_file(x, &catalogue.files[i], repair, &left_damaged);
    x->report->foreign_files = catalogue.foreign;
    x->report->kept_files += catalogue.damaged_files;
    x->report->kept_bytes += catalogue.damaged_bytes;
    if (status == SC_OK && x->failed != SC_OK) {
        status = x->failed;
        if (err != NULL)
            *err = x->reason;
    }
    if (status == SC_OK && catalogue.unreadable != 0)
        status = sc_fail(err, SC_IO, "cannot list %s", catalogue.unreadable_path);
    if (status == SC_OK && left_damaged != 0)
        status = sc_fail(err, SC_DAMAGED, "%llu segments are damaged", (unsigned long long)left_damaged);
    sc_catalogue_free(&catalogue);
    return status;
}

enum sc_status sc_store_verify(const char *path, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    struct examiner x = {.finding = finding, .arg = arg, .report = out, .io = sc_io_system()};
    return examine(path, false, &x, err);
}

enum sc_status sc_store_repair(const char *path, struct sc_io *io, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    struct examiner x = {
        .finding = finding, .arg = arg, .report = out, .io = io == NULL ? sc_io_system() : io};
    return examine(path, true, &x, err);
}
