// SPDX-License-Identifier: BSD-3-Clause
/*
 * The writing side of a store: which live file a batch goes to, and when live files are sealed.
 *
 * A live file is in one of three states: open (we append to it), closed (given up after an error, rotated by
 * size, or left behind by an earlier process: waits for the end of its window), queued (the sealer has it;
 * forgotten here).
 */
#include "store/store.h"

#include "base/array.h"
#include "base/bounds.h"
#include "base/clock.h"
#include "flow/gather.h"
#include "store/catalogue.h"
#include "store/hold.h"
#include "store/merge.h"
#include "store/sealer.h"
#include "store/span_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define DEFAULT_WINDOW_S   300u
#define DEFAULT_SEAL_BYTES ((uint64_t)1 << 30)
#define OWN_OPEN_FILES     64u

struct live_file {
    struct sc_segment_writer writer; /* handle -1 when closed */
    char *path;
    struct sc_window window;
    uint64_t came_ms; /* that appends may say; 0: as it is written, and of what an earlier process left */
    bool dirty;       /* appended to since the last sync */
    bool large;       /* closed for its size: to be sealed before its window ends */
    uint64_t used;    /* tick of the last append */
};

struct sc_store_writer {
    char *path;
    struct sc_store_options options;
    struct sc_io *io;
    struct sc_sealer *sealer;
    struct sc_row_group_encoder encoder,
        full_encoder; /* the other one for what the seal will take as it is */
    struct live_file *files;
    uint32_t file_count;
    struct sc_open_files own_files,
        *open_files;              /* the bound that it has for itself, and the one that holds */
    struct sc_store_writer *next; /* of those that share it */
    uint64_t stream;              /* of this process */
    uint64_t sequence;            /* next batch of our own */
    uint32_t number;              /* next file of ours */
    bool compresses;              /* there is such an encoder */
    bool hurry;
    bool lost; /* rows appended since the last sync are in a file that we gave up before it was synced */
    char synced_folder[11];     /* the day whose folders are known to be durable; empty: none */
    struct sc_seal_job *failed; /* to be tried again with the next seal */
    struct sc_hold hold;
    struct sc_store_stats stats;
};

/* ---- opening ---- */

static struct live_file *add_file(struct sc_store_writer *w, const char *path, const struct sc_window *window)
{
    if (!sc_array_more(w->files, w->file_count, 1))
        return NULL;
    struct live_file *f = &w->files[w->file_count];
    *f = (struct live_file){.writer = {.handle = -1}, .path = strdup(path), .window = *window};
    if (f->path == NULL)
        return NULL;
    w->file_count++;
    return f;
}

static void forget_file(struct sc_store_writer *w, uint32_t index)
{
    free(w->files[index].path);
    w->files[index] = w->files[--w->file_count];
}

static void remove_temporary(void *arg, const char *path)
{
    struct sc_store_writer *w = arg;
    w->io->ops->unlink(w->io, path);
}

static bool add_leftover(struct sc_store_writer *w, const struct sc_catalogue_file *file)
{
    const struct sc_window window = {file->window_ms, sc_segment_window_s(file->path, w->options.window_s)};
    return add_file(w, file->path, &window) != NULL;
}

static enum sc_status find_leftovers(struct sc_store_writer *w, struct sc_error *err)
{
    struct sc_catalogue catalogue = {.temporary = remove_temporary, .temporary_arg = w};
    enum sc_status status = sc_catalogue_add(&catalogue, w->path, err);
    sc_catalogue_sort(&catalogue);
    for (uint32_t i = 0; i < catalogue.count && status == SC_OK; i++) {
        if (!catalogue.files[i].sealed && !add_leftover(w, &catalogue.files[i]))
            status = sc_fail_nomem(err, "the store");
    }
    sc_catalogue_free(&catalogue);
    return status;
}

static enum sc_status open_parts(struct sc_store_writer *w, struct sc_error *err)
{
    SC_TRY(sc_hold_take(&w->hold, w->path, w->io, err));
    SC_TRY(find_leftovers(w, err));
    if (getrandom(&w->stream, sizeof(w->stream), 0) != sizeof(w->stream))
        return sc_fail_errno(err, errno, "no random numbers");
    SC_TRY(sc_row_group_encoder_init(&w->encoder, SC_EFFORT_LIVE, err));
    w->sealer = sc_sealer_create(w->io, w->options.log, err);
    return w->sealer == NULL ? SC_NOMEM : SC_OK;
}

static void share_files(struct sc_store_writer *w)
{
    w->own_files.most = OWN_OPEN_FILES;
    w->open_files = w->options.open_files == NULL ? &w->own_files : w->options.open_files;
    w->next = w->open_files->writers;
    w->open_files->writers = w;
}

static void leave_files(struct sc_store_writer *w)
{
    struct sc_store_writer **at = &w->open_files->writers;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static void free_files(struct sc_store_writer *w)
{
    for (uint32_t i = 0; i < w->file_count; i++) {
        if (w->files[i].writer.handle >= 0)
            sc_segment_writer_abandon(&w->files[i].writer);
        free(w->files[i].path);
    }
    w->file_count = 0;
}

static void free_writer(struct sc_store_writer *w)
{
    leave_files(w);
    sc_sealer_free(w->sealer);
    sc_seal_jobs_free(w->failed);
    free_files(w);
    free(w->files);
    sc_row_group_encoder_free(&w->encoder);
    sc_row_group_encoder_free(&w->full_encoder);
    sc_hold_release(&w->hold);
    free(w->path);
    free(w);
}

struct sc_store_writer *sc_store_writer_open(const char *path, const struct sc_store_options *options,
                                             struct sc_error *err)
{
    struct sc_store_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        sc_fail_nomem(err, "the store");
        return NULL;
    }
    w->hold = SC_NO_HOLD;
    if (options != NULL)
        w->options = *options;
    share_files(w);
    sc_store_writer_set_format(w, w->options.format);
    if (w->options.window_s == 0)
        w->options.window_s = DEFAULT_WINDOW_S;
    if (w->options.seal_bytes == 0)
        w->options.seal_bytes = DEFAULT_SEAL_BYTES;
    w->io = w->options.io == NULL ? sc_io_system() : w->options.io;
    w->path = strdup(path);
    enum sc_status status = w->path == NULL ? sc_fail_nomem(err, "the store") : SC_OK;
    if (status == SC_OK && (strlen(path) == 0 || strlen(path) > 3000 || 86400 % w->options.window_s != 0))
        status = sc_fail(err, SC_USAGE,
                         "store \"%s\" with a window of %u s: give a path, and a window that divides a day",
                         path, w->options.window_s);
    if (status == SC_OK)
        status = open_parts(w, err);
    if (status != SC_OK) {
        free_writer(w);
        return NULL;
    }
    return w;
}

/* ---- appending ---- */

static const struct sc_column *const *columns_of(const struct sc_batch *batch)
{
    return (const struct sc_column *const *)batch->columns;
}

static enum sc_status add_own_span(struct sc_store_writer *w, struct sc_batch *batch, uint32_t first,
                                   uint32_t rows)
{
    if (!sc_array_more(batch->spans, batch->span_count, 1))
        return SC_NOMEM;
    batch->spans[batch->span_count++] = (struct sc_span){.stream = w->stream,
                                                         .lane = w->options.lane,
                                                         .first_row = first,
                                                         .sequence = w->sequence++,
                                                         .rows = rows};
    return SC_OK;
}

/* Numbers for batches that bring none, in our own stream: such as a proxy would cut. */
static enum sc_status set_spans(struct sc_store_writer *w, struct sc_batch *batch)
{
    enum sc_status status = SC_OK;
    if (batch->span_count != 0)
        return SC_OK;
    for (uint32_t first = 0, n; first < batch->rows && status == SC_OK; first += n) {
        n = sc_bounds_cut(&sc_batch_bounds, columns_of(batch), batch->slots, first, batch->rows - first);
        status = add_own_span(w, batch, first, n);
    }
    if (status != SC_OK) {
        free(batch->spans);
        batch->spans = NULL;
        batch->span_count = 0;
    }
    return status;
}

static void close_file(struct live_file *f)
{
    sc_segment_writer_abandon(&f->writer);
    f->dirty = false;
}

static void note_failure(struct sc_store_writer *w, enum sc_status status)
{
    if (status == SC_FULL)
        w->stats.full_events++;
    else if (status == SC_IO)
        w->stats.write_failures++;
}

static bool is_same(const struct sc_window *x, const struct sc_window *y)
{
    return x->begin_ms == y->begin_ms && x->length_s == y->length_s;
}

static struct live_file *open_file(struct sc_store_writer *w, const struct sc_window *window,
                                   uint64_t came_ms, uint16_t format)
{
    for (uint32_t i = 0; i < w->file_count; i++) {
        struct live_file *f = &w->files[i];
        if (f->writer.handle >= 0 && is_same(&f->window, window) && f->came_ms == came_ms &&
            f->writer.format >= format)
            return f;
    }
    return NULL;
}

/* Bytes of a file that has lost its name are not durable, whatever a sync says of them. */
static enum sc_status sync_file(struct sc_store_writer *w, struct live_file *f, struct sc_error *err)
{
    struct sc_file_id id;
    SC_TRY(sc_segment_writer_sync(&f->writer, err));
    if (w->io->ops->identify(w->io, f->writer.handle, f->path, &id) != 0 || sc_io_is_at(w->io, &id, f->path))
        return SC_OK;
    return sc_fail(err, SC_NOTFOUND, "%s was deleted while it was written", f->path);
}

/* Closing forgets nothing: what cannot be synced now is told by the next sync. */
static enum sc_status sync_and_close(struct sc_store_writer *w, struct live_file *f, struct sc_error *err)
{
    enum sc_status status = f->dirty ? sync_file(w, f, err) : SC_OK;
    if (status != SC_OK)
        w->lost = true;
    close_file(f);
    return status;
}

/* What a writer has open, and of that the longest unused. */
struct holding {
    struct sc_store_writer *writer;
    struct live_file *oldest;
    uint32_t open;
};

static struct holding look_at(struct sc_store_writer *w)
{
    struct holding h = {.writer = w};
    for (uint32_t i = 0; i < w->file_count; i++) {
        struct live_file *f = &w->files[i];
        if (f->writer.handle < 0)
            continue;
        h.open++;
        if (h.oldest == NULL || f->used < h.oldest->used)
            h.oldest = f;
    }
    return h;
}

static bool gives_before(const struct holding *x, const struct holding *y)
{
    return x->open != y->open ? x->open > y->open : x->open != 0 && x->oldest->used < y->oldest->used;
}

/* Keeps the number of open files bounded, over all that share the bound. */
static enum sc_status make_room(struct sc_store_writer *w, struct sc_error *err)
{
    struct holding most = {0};
    uint32_t open = 0;
    for (struct sc_store_writer *other = w->open_files->writers; other != NULL; other = other->next) {
        struct holding h = look_at(other);
        open += h.open;
        if (gives_before(&h, &most))
            most = h;
    }
    if (open < w->open_files->most || open == 0)
        return SC_OK;
    return sync_and_close(most.writer, most.oldest, err);
}

/* After a failed write: a file without a whole row group goes, any other stays closed until its window ends.
 */
static void give_up_file(struct sc_store_writer *w, struct live_file *f)
{
    if (f->writer.group_count != 0) {
        (void)sync_and_close(w, f, NULL);
        return;
    }
    close_file(f);
    w->io->ops->unlink(w->io, f->path);
    forget_file(w, (uint32_t)(f - w->files));
}

/* The day's folder, durable. */
static enum sc_status make_day(struct sc_store_writer *w, const char *path, const char *day,
                               struct sc_error *err)
{
    bool known = strcmp(w->synced_folder, day) == 0;
    int result = sc_io_make_folders(w->io, path, known ? strlen(path) : strlen(w->path));
    if (result < 0) {
        w->synced_folder[0] = '\0';
        return sc_fail_errno(err, -result, "cannot create %s", path);
    }
    memcpy(w->synced_folder, day, sizeof(w->synced_folder));
    return SC_OK;
}

static struct sc_segment_id id_of(const struct sc_store_writer *w, const struct sc_window *window,
                                  uint64_t created_ms)
{
    return (struct sc_segment_id){.window_ms = window->begin_ms,
                                  .window_s = window->length_s,
                                  .lane = w->options.lane,
                                  .stream = w->stream,
                                  .created_ms = created_ms,
                                  .format = w->options.format,
                                  .verify = w->options.verify};
}

/* Of at least this format: what came encoded may be newer than what is encoded here. */
static enum sc_status create_file(struct sc_store_writer *w, const struct sc_window *window, uint64_t came_ms,
                                  uint16_t format, const char *folder, const char *name,
                                  struct live_file **out, struct sc_error *err)
{
    const uint64_t created_ms = came_ms != 0 ? came_ms : sc_reference_now(w->options.reference);
    char path[4096 + 128];
    snprintf(path, sizeof(path), "%s/%s%s", folder, name, SC_LIVE_SUFFIX);
    struct live_file *f = add_file(w, path, window);
    if (f == NULL)
        return sc_fail_nomem(err, "a live file");
    f->came_ms = came_ms;
    struct sc_segment_id id = id_of(w, window, created_ms);
    id.format = format > id.format ? format : id.format;
    w->number++;
    enum sc_status status = sc_segment_writer_create(&f->writer, w->io, path, &id, err);
    if (status != SC_OK) {
        forget_file(w, w->file_count - 1);
        return status;
    }
    int result = w->io->ops->sync_dir(w->io, folder);
    if (result < 0) {
        give_up_file(w, f);
        return sc_fail_errno(err, -result, "cannot sync %s", folder);
    }
    *out = f;
    return SC_OK;
}

static enum sc_status new_file(struct sc_store_writer *w, const struct sc_window *window, uint64_t came_ms,
                               uint16_t format, struct live_file **out, struct sc_error *err)
{
    char day[11], name[64], folder[4096];
    SC_TRY(make_room(w, err));
    sc_segment_name_format(window->begin_ms, w->stream, w->number, day, name);
    snprintf(folder, sizeof(folder), "%s/%s", w->path, day);
    SC_TRY(make_day(w, folder, day, err));
    return create_file(w, window, came_ms, format, folder, name, out, err);
}

/* Without memory for the other one the seal compresses. */
static struct sc_row_group_encoder *encoder_for(struct sc_store_writer *w, const struct sc_batch *batch)
{
    if (batch->rows < SC_FULL_ROWS || w->hurry)
        return &w->encoder;
    if (!w->compresses)
        w->compresses = sc_row_group_encoder_init(&w->full_encoder, SC_EFFORT_SEALED, NULL) == SC_OK;
    if (w->compresses)
        sc_row_group_encoder_set_format(&w->full_encoder, w->options.format);
    return w->compresses ? &w->full_encoder : &w->encoder;
}

/* One of `batch` and `encoded` is not NULL. */
static enum sc_status append_group(struct sc_store_writer *w, const struct sc_window *window,
                                   uint64_t came_ms, const struct sc_batch *batch,
                                   const struct sc_encoded_group *encoded, struct sc_error *err)
{
    const uint16_t format = encoded != NULL ? encoded->format : w->options.format;
    struct live_file *f = open_file(w, window, came_ms, format);
    if (f == NULL)
        SC_TRY(new_file(w, window, came_ms, format, &f, err));
    uint64_t before = f->writer.offset;
    enum sc_status status = batch != NULL
                                ? sc_segment_writer_add(&f->writer, encoder_for(w, batch), batch, err)
                                : sc_segment_writer_add_encoded(&f->writer, encoded, err);
    if (status == SC_NOMEM || status == SC_LIMIT) /* nothing was written */
        return status;
    if (status != SC_OK) {
        give_up_file(w, f);
        return status;
    }
    f->dirty = true;
    f->used = ++w->open_files->tick;
    w->stats.row_groups++;
    w->stats.bytes_written += f->writer.offset - before;
    return SC_OK;
}

static enum sc_status append_part(struct sc_store_writer *w, struct sc_gather *part,
                                  const struct sc_window *window, struct sc_error *err)
{
    if (sc_batch_finish(part->batch) != SC_OK)
        return sc_fail_nomem(err, "a row group");
    SC_TRY(append_group(w, window, 0, part->batch, NULL, err));
    return sc_gather_reset(part) == SC_OK ? SC_OK : sc_fail_nomem(err, "a row group");
}

static struct sc_window window_of(const struct sc_store_writer *w, const struct sc_batch *batch)
{
    return (struct sc_window){batch->window_ms, w->options.window_s};
}

static enum sc_status append_span(struct sc_store_writer *w, struct sc_gather *part,
                                  const struct sc_batch *batch, const struct sc_span *span,
                                  struct sc_error *err)
{
    const struct sc_window window = window_of(w, batch);
    enum sc_status status = sc_gather_add(part, columns_of(batch), batch->slots, span, &sc_group_bounds);
    if (status == SC_LIMIT && part->batch->rows != 0) {
        SC_TRY(append_part(w, part, &window, err));
        status = sc_gather_add(part, columns_of(batch), batch->slots, span, &sc_group_bounds);
    }
    if (status == SC_LIMIT)
        return sc_fail(err, SC_LIMIT,
                       "a batch of %u records is more than a row group holds: %u columns, %u MiB in columns",
                       span->rows, SC_BOUND_COLUMNS, SC_BOUND_GROUP_BYTES >> 20);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "a row group");
}

/* A batch of more than a row group holds goes in parts, each of whole spans. */
static enum sc_status append_parts(struct sc_store_writer *w, const struct sc_batch *batch,
                                   struct sc_error *err)
{
    const struct sc_window window = window_of(w, batch);
    struct sc_gather part;
    enum sc_status status = sc_gather_init(&part, batch->record_kind);
    if (status != SC_OK)
        (void)sc_fail_nomem(err, "a row group");
    for (uint32_t i = 0; i < batch->span_count && status == SC_OK; i++)
        status = append_span(w, &part, batch, &batch->spans[i], err);
    if (status == SC_OK)
        status = append_part(w, &part, &window, err);
    sc_gather_free(&part);
    return status;
}

static bool is_one_group(const struct sc_batch *batch)
{
    struct sc_weight weight = sc_batch_weight(columns_of(batch), batch->slots, 0, batch->rows);
    return sc_bounds_hold(&sc_group_bounds, &weight);
}

static void count_appended(struct sc_store_writer *w, enum sc_status status, uint16_t record_kind,
                           uint32_t rows)
{
    if (status != SC_OK)
        note_failure(w, status);
    else if (record_kind == SC_RECORDS_FLOWS)
        w->stats.flows += rows;
    else
        w->stats.options += rows;
}

enum sc_status sc_store_writer_append(struct sc_store_writer *w, struct sc_batch *batch, struct sc_error *err)
{
    if (batch->rows == 0)
        return SC_OK;
    if (set_spans(w, batch) != SC_OK)
        return sc_fail_nomem(err, "a batch");
    if (!sc_spans_cover(batch))
        return sc_fail(err, SC_LIMIT, "the spans of a batch do not cover its %u rows", batch->rows);
    const struct sc_window window = window_of(w, batch);
    enum sc_status status =
        is_one_group(batch) ? append_group(w, &window, 0, batch, NULL, err) : append_parts(w, batch, err);
    count_appended(w, status, batch->record_kind, batch->rows);
    return status;
}

void sc_store_writer_set_format(struct sc_store_writer *w, uint16_t format)
{
    w->options.format = format == 0 ? SC_SEGMENT_VERSION : format;
}

void sc_store_writer_set_hurry(struct sc_store_writer *w, bool hurry)
{
    w->hurry = hurry;
}

enum sc_status sc_store_writer_append_encoded(struct sc_store_writer *w, const struct sc_window *window,
                                              uint64_t came_ms, const struct sc_encoded_group *group,
                                              struct sc_error *err)
{
    enum sc_status status = append_group(w, window, came_ms, NULL, group, err);
    count_appended(w, status, group->ref.record_kind, group->ref.rows);
    return status;
}

enum sc_status sc_store_writer_sync(struct sc_store_writer *w, struct sc_error *err)
{
    enum sc_status worst = SC_OK;
    for (uint32_t i = 0; i < w->file_count; i++) {
        struct live_file *f = &w->files[i];
        if (f->writer.handle < 0 || !f->dirty)
            continue;
        enum sc_status status = sync_file(w, f, err);
        f->dirty = false;
        if (status != SC_OK) {
            worst = status;
            w->stats.sync_failures++;
            close_file(f);
            if (status == SC_NOTFOUND) {
                w->synced_folder[0] = '\0';
                forget_file(w, i--);
            }
        } else if (f->writer.offset > w->options.seal_bytes) {
            close_file(f);
            f->large = true;
        }
    }
    if (worst == SC_OK && w->lost)
        worst = sc_fail(err, SC_IO, "a live file of %s could not be synced before it was given up", w->path);
    w->lost = false;
    if (worst == SC_OK)
        w->stats.last_sync_ms = sc_clock_wall_ms();
    return worst;
}

/* ---- sealing ---- */

static char *join(const char *folder, const char *prefix, const char *name, const char *suffix)
{
    char *path;
    return asprintf(&path, "%s/%s%s%s", folder, prefix, name, suffix) < 0 ? NULL : path;
}

static struct sc_seal_job *make_job(struct sc_store_writer *w, const struct sc_window *window)
{
    char day[11], name[64], folder[4096];
    struct sc_seal_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    sc_segment_name_format(window->begin_ms, w->stream, w->number++, day, name);
    snprintf(folder, sizeof(folder), "%s/%s", w->path, day);
    job->id = id_of(w, window, 0);
    job->folder = strdup(folder);
    job->temporary = join(folder, ".", name, ".tmp");
    job->sealed = join(folder, "", name, SC_SEGMENT_SUFFIX);
    job->inputs = calloc(w->file_count, sizeof(char *));
    if (job->folder == NULL || job->temporary == NULL || job->sealed == NULL || job->inputs == NULL) {
        sc_seal_jobs_free(job);
        return NULL;
    }
    return job;
}

static int compare_paths(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* The sealed files of the window that are there already: a crash, or the size of a file, made them. */
static enum sc_status find_sealed(struct sc_seal_job *job, struct sc_error *err)
{
    struct sc_catalogue catalogue = {0};
    enum sc_status status = sc_catalogue_add(&catalogue, job->folder, err);
    if (status == SC_NOTFOUND) /* expired */
        return SC_OK;
    if (status == SC_OK && catalogue.count != 0)
        job->before = calloc(catalogue.count, sizeof(char *));
    if (status == SC_OK && catalogue.count != 0 && job->before == NULL)
        status = sc_fail_nomem(err, "sealing");
    for (uint32_t i = 0; i < catalogue.count && status == SC_OK; i++) {
        struct sc_catalogue_file *file = &catalogue.files[i];
        if (!file->sealed || file->window_ms != job->id.window_ms)
            continue;
        job->before[job->before_count++] = file->path;
        file->path = NULL;
    }
    sc_catalogue_free(&catalogue);
    return status;
}

/* What was somewhere else before says so by its head, also when another process wrote it; the last of all else came just now. */
static uint64_t when_it_came(const struct sc_store_writer *w, const struct live_file *f)
{
    uint64_t end_ms = sc_window_end(&f->window);
    return sc_segment_created_ms(f->path) == end_ms ? end_ms : sc_reference_now(w->options.reference);
}

static bool is_due(const struct live_file *f, const struct sc_window *window, bool large_only)
{
    return is_same(&f->window, window) && (f->large || !large_only);
}

/* The live files of the window, all or the large ones, become one job. They are synced; those open are
 * closed. */
static enum sc_status queue_window(struct sc_store_writer *w, const struct sc_window *window, bool large_only,
                                   struct sc_error *err)
{
    struct sc_seal_job *job = make_job(w, window);
    if (job == NULL)
        return sc_fail_nomem(err, "sealing");
    enum sc_status status = find_sealed(job, err);
    if (status != SC_OK) {
        sc_seal_jobs_free(job);
        return status;
    }
    for (uint32_t i = 0; i < w->file_count;) {
        struct live_file *f = &w->files[i];
        if (!is_due(f, window, large_only)) {
            i++;
            continue;
        }
        if (f->writer.handle >= 0)
            close_file(f);
        uint64_t came_ms = when_it_came(w, f);
        job->id.created_ms = came_ms > job->id.created_ms ? came_ms : job->id.created_ms;
        job->inputs[job->input_count++] = f->path;
        f->path = NULL;
        forget_file(w, i);
    }
    qsort(job->inputs, job->input_count, sizeof(char *), compare_paths);
    sc_sealer_add(w->sealer, job);
    return SC_OK;
}

/* Jobs that failed, to our own list; the name and the reason of one for the user. */
static enum sc_status collect_failed(struct sc_store_writer *w, struct sc_error *err)
{
    struct sc_seal_job *job;
    while ((job = sc_sealer_failed(w->sealer)) != NULL) {
        job->next = w->failed;
        w->failed = job;
    }
    job = w->failed;
    if (job == NULL)
        return SC_OK;
    return sc_fail(err, job->why == NULL ? SC_NOMEM : job->why->status,
                   "cannot seal %s: %.600s; its records stay readable in the live files", job->sealed,
                   job->why == NULL ? "out of memory" : job->why->message);
}

/* Those that have rested; all when everything is to be sealed. */
static void retry_failed(struct sc_store_writer *w, bool all)
{
    uint64_t now_ms = sc_clock_mono_ms();
    (void)collect_failed(w, NULL);
    for (struct sc_seal_job **at = &w->failed; *at != NULL;) {
        struct sc_seal_job *job = *at;
        if (!all && now_ms < job->retry_ms) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        sc_sealer_add(w->sealer, job);
    }
}

bool sc_store_writer_window(const struct sc_store_writer *w, uint32_t *at, struct sc_window *out)
{
    if (*at >= w->file_count)
        return false;
    *out = w->files[(*at)++].window;
    return true;
}

enum sc_status sc_store_writer_seal(struct sc_store_writer *w, uint64_t before_ms, struct sc_error *err)
{
    SC_TRY(sc_store_writer_sync(w, err));
    retry_failed(w, before_ms == UINT64_MAX);
    for (uint32_t i = 0; i < w->file_count;) {
        const struct sc_window window = w->files[i].window;
        bool over = before_ms == UINT64_MAX || sc_window_end(&window) <= before_ms;
        if (!over && !w->files[i].large) {
            i++;
            continue;
        }
        SC_TRY(queue_window(w, &window, !over, err));
        i = 0; /* the list has changed */
    }
    if (before_ms != UINT64_MAX)
        return SC_OK;
    sc_sealer_wait(w->sealer);
    return collect_failed(w, err);
}

/* ---- a store that was deleted ---- */

bool sc_store_writer_is_there(const struct sc_store_writer *w)
{
    return sc_hold_is_there(&w->hold, w->path);
}

const struct sc_file_id *sc_store_writer_lock_id(const struct sc_store_writer *w)
{
    return &w->hold.id;
}

/* Its live files are gone, and what was to be sealed; `sealer`: in place of the one that has such jobs. */
static void forget_all(struct sc_store_writer *w, struct sc_sealer *sealer)
{
    struct sc_store_stats until_now;
    sc_store_writer_stats(w, &until_now);
    w->stats = until_now;
    sc_sealer_free(w->sealer);
    w->sealer = sealer;
    sc_seal_jobs_free(w->failed);
    w->failed = NULL;
    free_files(w);
    w->lost = false;
    w->synced_folder[0] = '\0';
}

enum sc_status sc_store_writer_renew(struct sc_store_writer *w, struct sc_error *err)
{
    struct sc_sealer *sealer = sc_sealer_create(w->io, w->options.log, err);
    if (sealer == NULL)
        return SC_NOMEM;
    enum sc_status status = sc_hold_renew(&w->hold, w->path, err);
    if (status != SC_OK) {
        sc_sealer_free(sealer);
        return status;
    }
    forget_all(w, sealer);
    (void)find_leftovers(w, NULL); /* mostly there are none; what is not found now the next process seals */
    return SC_OK;
}

void sc_store_writer_abandon(struct sc_store_writer *w)
{
    free_writer(w);
}

void sc_store_writer_stats(const struct sc_store_writer *w, struct sc_store_stats *out)
{
    uint64_t segments, bytes, failures;
    *out = w->stats;
    sc_sealer_stats(w->sealer, &segments, &bytes, &failures);
    out->segments_sealed += segments;
    out->bytes_written += bytes;
    out->write_failures += failures;
}

enum sc_status sc_store_writer_close(struct sc_store_writer *w, struct sc_error *err)
{
    if (w == NULL)
        return SC_OK;
    enum sc_status status = sc_store_writer_sync(w, err);
    free_writer(w);
    return status;
}
