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
    struct sc_verify_report *report;
    struct sc_error *err;
};

static void tell(const struct examiner *x, const char *path, const char *finding)
{
    if (x->finding != NULL)
        x->finding(x->arg, path, finding);
}

static void verify_group(struct examiner *x, struct sc_read_context *context,
                         const struct sc_segment *segment, uint32_t index, bool *damaged)
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
        return;
    x->report->damaged_row_groups++;
    x->report->damaged_chunks += chunks;
    *damaged = true;
    tell(x, segment->path, why.message);
}

static void report_stretches(struct examiner *x, const struct sc_segment *segment, bool *damaged)
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
    *damaged =
        *damaged || segment->head_damaged || segment->footer_damaged || segment->damaged_stretches != 0;
}

/* @return SC_OK and *damaged, or SC_NOTFOUND when the file is gone (sealed or expired meanwhile). */
static enum sc_status verify_file(struct examiner *x, const char *path, bool *damaged)
{
    struct sc_segment *segment;
    struct sc_error why = {0};
    *damaged = false;
    tell(x, path, NULL);
    enum sc_status status = sc_segment_open(path, &segment, &why);
    if (status == SC_NOTFOUND)
        return SC_NOTFOUND;
    x->report->segments++;
    if (status != SC_OK) {
        tell(x, path, why.message);
        *damaged = true;
        return SC_OK;
    }
    struct sc_read_context context;
    if (sc_read_context_init(&context) == SC_OK) {
        report_stretches(x, segment, damaged);
        for (uint32_t i = 0; i < segment->group_count; i++)
            verify_group(x, &context, segment, i, damaged);
        sc_read_context_free(&context);
    } else {
        status = sc_fail_nomem(x->err, "verify");
    }
    sc_segment_close(segment);
    return status;
}

/* A new sealed segment from what is whole; then the old one steps aside. */
static enum sc_status repair_file(struct examiner *x, struct sc_io *io, const char *path)
{
    struct sc_segment *segment;
    struct sc_merge_report merged;
    char temporary[4096], kept[4096], folder[4096];
    const char *slash = strrchr(path, '/');
    int dir_length = slash == NULL ? 0 : (int)(slash - path);
    const char *name = slash == NULL ? path : slash + 1;
    snprintf(folder, sizeof(folder), "%.*s", dir_length == 0 ? 1 : dir_length, slash == NULL ? "." : path);
    if (snprintf(temporary, sizeof(temporary), "%s/.%s.tmp", folder, name) >= (int)sizeof(temporary) ||
        snprintf(kept, sizeof(kept), "%s.damaged", path) >= (int)sizeof(kept))
        return sc_fail(x->err, SC_IO, "%s: the path is too long", path);
    if (access(kept, F_OK) == 0)
        return sc_fail(x->err, SC_IO, "%s is there already: move it away, then repair again", kept);
    struct sc_segment_id id = {0};
    if (sc_segment_open(path, &segment, NULL) == SC_OK) {
        id = (struct sc_segment_id){segment->window_ms, segment->window_s, segment->lane, segment->stream};
        sc_segment_close(segment);
    } else { /* its head is gone: nothing in it can be trusted */
        tell(x, path, "no row group can be read; the file is kept as .damaged");
        int result = io->ops->rename(io, path, kept);
        return result < 0 ? sc_fail_errno(x->err, -result, "cannot rename %s", path) : SC_OK;
    }
    io->ops->unlink(io, temporary);
    SC_TRY(sc_merge_segments(io, &path, 1, temporary, &id, NULL, &merged, x->err));
    int result = io->ops->rename(io, path, kept);
    if (result >= 0)
        result = merged.rows == 0 ? io->ops->unlink(io, temporary) : io->ops->rename(io, temporary, path);
    if (result >= 0)
        result = io->ops->sync_dir(io, folder);
    if (result < 0)
        return sc_fail_errno(x->err, -result, "cannot replace %s", path);
    char text[160];
    snprintf(text, sizeof(text),
             "repaired: %llu records kept, %u row groups lost; the old file is kept as .damaged",
             (unsigned long long)merged.rows, merged.groups_damaged + merged.stretches_damaged);
    tell(x, path, text);
    return SC_OK;
}

static enum sc_status examine(const char *path, struct sc_io *io, bool repair, struct examiner *x)
{
    struct sc_catalogue catalogue = {0};
    uint64_t left_damaged = 0;
    *x->report = (struct sc_verify_report){0};
    enum sc_status status = sc_catalogue_add(&catalogue, path, x->err);
    sc_catalogue_sort(&catalogue);
    for (uint32_t i = 0; i < catalogue.count && status == SC_OK; i++) {
        const struct sc_catalogue_file *file = &catalogue.files[i];
        bool damaged = false;
        status = verify_file(x, file->path, &damaged);
        if (status == SC_NOTFOUND)
            status = SC_OK;
        if (!damaged)
            continue;
        x->report->damaged_segments++;
        if (!repair || !file->sealed) {
            left_damaged++;
            continue;
        }
        status = repair_file(x, io, file->path);
        x->report->repaired_segments += status == SC_OK;
    }
    x->report->foreign_files = catalogue.foreign;
    if (status == SC_OK && catalogue.unreadable != 0)
        status = sc_fail(x->err, SC_IO, "cannot list %s", catalogue.unreadable_path);
    sc_catalogue_free(&catalogue);
    if (status == SC_OK && left_damaged != 0)
        status = sc_fail(x->err, SC_DAMAGED, "%llu segments are damaged", (unsigned long long)left_damaged);
    return status;
}

enum sc_status sc_store_verify(const char *path, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    struct examiner x = {.finding = finding, .arg = arg, .report = out, .err = err};
    return examine(path, sc_io_system(), false, &x);
}

enum sc_status sc_store_repair(const char *path, struct sc_io *io, sc_finding_fn *finding, void *arg,
                               struct sc_verify_report *out, struct sc_error *err)
{
    struct examiner x = {.finding = finding, .arg = arg, .report = out, .err = err};
    return examine(path, io == NULL ? sc_io_system() : io, true, &x);
}
