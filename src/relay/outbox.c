// SPDX-License-Identifier: BSD-3-Clause
#include "relay/outbox.h"

#include "base/array.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HEAD_BYTES    64u
#define RELEASED_AT   53u
#define RELEASED      0x52u
#define PIECE_BYTES   ((size_t)64 << 10)   /* that are in memory at once while a file is looked through */
#define FILE_BYTES    ((uint64_t)32 << 20) /* a file that is larger is not appended to; of small outboxes: */
#define LEAST_FILES   8u                   /* a file is at most this part of the bound */
#define DEFAULT_LIMIT ((uint64_t)4 << 30)
#define SUFFIX        ".scout"

static const char magic[] = {'S', 'C', 'O', 'B'};

#define NONE SC_OUTBOX_NOWHERE

struct out_file {
    uint32_t number; /* never used again */
    char *path;
    uint64_t stream; /* of all records in it */
    uint64_t bytes;
    uint32_t waiting; /* batches not released */
    bool deleted;     /* by others */
};

struct sc_outbox {
    char *path;
    uint64_t stream;
    struct sc_outbox_options options;
    struct sc_io *io;
    uint64_t file_bytes;

    /* of the thread that appends */
    int handle; /* of the current file; -1: there is none */
    uint32_t number_in_name;

    /* of the thread that reads and tidies */
    int open_handle; /* of the file that was read last; -1: none is open */
    uint32_t open_number;

    pthread_mutex_t mutex;  /* of what follows; never held while a file is touched */
    struct out_file *files; /* by number */
    uint32_t count, made;
    uint32_t current;              /* the number of the file that is appended to; NONE */
    uint32_t gone;                 /* files in which nothing waits, but for the current one */
    struct sc_outbox_place *marks; /* to be written */
    uint32_t mark_count;
    struct sc_outbox_stats stats;
};

/* ---- files ---- */

/* With the mutex held. NULL: it is gone. */
static struct out_file *find_file(const struct sc_outbox *o, uint32_t number)
{
    uint32_t first = 0, end = o->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (o->files[middle].number < number)
            first = middle + 1;
        else
            end = middle;
    }
    return first < o->count && o->files[first].number == number ? &o->files[first] : NULL;
}

/* Its number, or NONE without memory. */
static uint32_t add_file(struct sc_outbox *o, const char *path, uint64_t stream, uint64_t bytes)
{
    uint32_t number = NONE;
    char *copy = strdup(path);
    pthread_mutex_lock(&o->mutex);
    bool added = copy != NULL && sc_array_more(o->files, o->count, 1);
    if (added) {
        number = o->made++;
        o->files[o->count++] =
            (struct out_file){.number = number, .path = copy, .stream = stream, .bytes = bytes};
        o->stats.bytes += bytes;
    }
    pthread_mutex_unlock(&o->mutex);
    if (!added)
        free(copy);
    return number;
}

/* One in which nothing waits leaves the list. False: there is none. */
static bool take_gone(struct sc_outbox *o, struct out_file *out)
{
    bool found = false;
    pthread_mutex_lock(&o->mutex);
    for (uint32_t i = 0; i < o->count && o->gone != 0 && !found; i++) {
        *out = o->files[i];
        found = out->waiting == 0 && out->number != o->current;
        if (found)
            memmove(&o->files[i], &o->files[i + 1], (o->count - i - 1) * sizeof(*o->files));
    }
    o->count -= found;
    o->gone -= found;
    pthread_mutex_unlock(&o->mutex);
    return found;
}

static void remove_gone(struct sc_outbox *o)
{
    struct out_file f = {0};
    while (take_gone(o, &f)) {
        o->io->ops->unlink(o->io, f.path);
        free(f.path);
        pthread_mutex_lock(&o->mutex);
        o->stats.bytes -= f.bytes;
        pthread_mutex_unlock(&o->mutex);
    }
}

/* A file that is not appended to any more goes when nothing in it waits. */
static void end_current(struct sc_outbox *o)
{
    if (o->current == NONE)
        return;
    pthread_mutex_lock(&o->mutex);
    o->gone += find_file(o, o->current)->waiting == 0;
    o->current = NONE;
    pthread_mutex_unlock(&o->mutex);
    o->io->ops->close(o->io, o->handle);
    o->handle = -1;
    remove_gone(o);
}

/* For the thread that reads: a file that is removed takes its space for as long as it is open. */
static void close_read(struct sc_outbox *o)
{
    if (o->open_handle >= 0)
        o->io->ops->close(o->io, o->open_handle);
    o->open_handle = -1;
}

/* For the thread that reads. @return a handle that stays until the next call; -errno, -ENOENT: it is gone, -ESTALE: others
 * have deleted it. */
static int open_file(struct sc_outbox *o, uint32_t number)
{
    char path[4096] = "";
    if (o->open_handle >= 0 && o->open_number == number)
        return o->open_handle;
    pthread_mutex_lock(&o->mutex);
    const struct out_file *f = find_file(o, number);
    if (f != NULL)
        snprintf(path, sizeof(path), "%s", f->path);
    pthread_mutex_unlock(&o->mutex);
    int handle = o->io->ops->open(o->io, path, false);
    if (handle < 0)
        return handle == -ENOENT && path[0] != '\0' ? -ESTALE : handle;
    close_read(o);
    o->open_handle = handle;
    o->open_number = number;
    return handle;
}

static enum sc_status new_file(struct sc_outbox *o, struct sc_error *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%016llx-%08u" SUFFIX, o->path, (unsigned long long)o->stream,
             o->number_in_name++);
    int handle = o->io->ops->create(o->io, path);
    if (handle == -ENOENT && sc_io_make_folders(o->io, o->path, strlen(o->path)) == 0)
        handle = o->io->ops->create(o->io, path); /* the folder was deleted */
    if (handle < 0)
        return sc_fail_errno(err, -handle, "cannot create %s", path);
    int synced = o->options.sync ? o->io->ops->sync_dir(o->io, o->path) : 0;
    uint32_t number = synced == 0 ? add_file(o, path, o->stream, 0) : NONE;
    if (number == NONE) {
        o->io->ops->close(o->io, handle);
        o->io->ops->unlink(o->io, path);
        return synced == 0 ? sc_fail_nomem(err, "the outbox")
                           : sc_fail_errno(err, -synced, "cannot sync %s", o->path);
    }
    pthread_mutex_lock(&o->mutex);
    o->current = number;
    pthread_mutex_unlock(&o->mutex);
    o->handle = handle;
    return SC_OK;
}

/* ---- records ---- */

static void put_head(const struct sc_batch_head *head, uint8_t out[HEAD_BYTES])
{
    memset(out, 0, HEAD_BYTES);
    memcpy(out, magic, sizeof(magic));
    sc_store_le32(out + 4, head->size);
    sc_store_le64(out + 8, head->id.stream);
    sc_store_le64(out + 16, head->id.sequence);
    sc_store_le64(out + 24, head->window_ms);
    sc_store_le64(out + 32, head->hash);
    sc_store_le32(out + 40, head->id.lane);
    sc_store_le32(out + 44, head->window_s);
    sc_store_le32(out + 48, head->records);
    out[52] = head->record_kind;
    sc_store_le64(out + 56, sc_link_hash(out, 56));
}

/* The mark is no part of what is hashed: it is set later, in place. */
static bool get_head(const uint8_t in[HEAD_BYTES], struct sc_batch_head *head, bool *released)
{
    uint8_t hashed[56];
    memcpy(hashed, in, sizeof(hashed));
    hashed[RELEASED_AT] = 0;
    *released = in[RELEASED_AT] == RELEASED;
    if (memcmp(in, magic, sizeof(magic)) != 0 ||
        sc_load_le64(in + 56) != sc_link_hash(hashed, sizeof(hashed)))
        return false;
    *head = (struct sc_batch_head){
        .id = {.stream = sc_load_le64(in + 8),
               .sequence = sc_load_le64(in + 16),
               .lane = sc_load_le32(in + 40)},
        .window_ms = sc_load_le64(in + 24),
        .window_s = sc_load_le32(in + 44),
        .records = sc_load_le32(in + 48),
        .size = sc_load_le32(in + 4),
        .record_kind = in[52],
        .hash = sc_load_le64(in + 32),
    };
    return head->size != 0 && head->size <= SC_LINK_MAX_BATCH;
}

static enum sc_status read_all(const struct sc_outbox *o, int handle, uint64_t offset, uint8_t *out,
                               size_t count)
{
    size_t got;
    if (sc_io_read_all_at(o->io, handle, offset, out, count, &got) < 0)
        return SC_IO;
    return got == count ? SC_OK : SC_END;
}

static enum sc_status read_bytes(const struct sc_outbox *o, int handle, const struct sc_batch_head *head,
                                 uint64_t offset, struct sc_buf *out)
{
    sc_buf_clear(out);
    uint8_t *place = sc_buf_reserve(out, head->size);
    if (place == NULL)
        return SC_NOMEM;
    SC_TRY(read_all(o, handle, offset + HEAD_BYTES, place, head->size));
    out->len = head->size;
    return sc_link_hash(place, head->size) == head->hash ? SC_OK : SC_DAMAGED;
}

/* ---- what an earlier process left ---- */

struct scan {
    struct sc_outbox *outbox;
    struct out_file *file;
    int handle;
    sc_outbox_found *found;
    void *arg;
    uint8_t *piece; /* PIECE_BYTES */
};

/* @return SC_OK: they agree; SC_DAMAGED; SC_IO. */
static enum sc_status check_bytes(const struct scan *s, const struct sc_batch_head *head, uint64_t offset)
{
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    offset += HEAD_BYTES;
    for (size_t left = head->size; left > 0;) {
        size_t n = left < PIECE_BYTES ? left : PIECE_BYTES;
        SC_TRY(read_all(s->outbox, s->handle, offset, s->piece, n));
        XXH3_64bits_update(&hash, s->piece, n);
        offset += n;
        left -= n;
    }
    return XXH3_64bits_digest(&hash) == head->hash ? SC_OK : SC_DAMAGED;
}

/* A whole record of this file's stream begins in `raw`, with `left` bytes to the end of the file. */
static bool is_record(const struct out_file *f, const uint8_t *raw, uint64_t left, struct sc_batch_head *head,
                      bool *released)
{
    return left >= HEAD_BYTES && get_head(raw, head, released) && head->id.stream == f->stream &&
           head->size <= left - HEAD_BYTES;
}

/*
 * Where the next record begins at or after *offset; the end of the file when none does. Nobody outside knows the number of
 * the stream, so that no flow can be made to look like a record.
 */
static enum sc_status find_record(const struct scan *s, uint64_t *offset)
{
    const struct out_file *f = s->file;
    struct sc_batch_head head;
    bool released;
    while (f->bytes - *offset >= HEAD_BYTES) {
        size_t n = f->bytes - *offset < PIECE_BYTES ? (size_t)(f->bytes - *offset) : PIECE_BYTES;
        SC_TRY(read_all(s->outbox, s->handle, *offset, s->piece, n));
        for (size_t i = 0; i + HEAD_BYTES <= n; i++) {
            if (!is_record(f, s->piece + i, f->bytes - *offset - i, &head, &released))
                continue;
            *offset += i;
            return SC_OK;
        }
        *offset += n - HEAD_BYTES + 1;
    }
    *offset = f->bytes;
    return SC_OK;
}

/* No record begins at *offset: goes to the next. At the end of a file that is one that was never accepted. */
static enum sc_status skip(const struct scan *s, uint64_t *offset, bool whole_head)
{
    const struct out_file *f = s->file;
    struct sc_outbox_stats *stats = &s->outbox->stats;
    uint64_t from = *offset, left = f->bytes - from;
    ++*offset;
    SC_TRY(find_record(s, offset));
    if (*offset == f->bytes && (whole_head || left < HEAD_BYTES)) {
        stats->cut_short++;
        return SC_OK;
    }
    stats->damaged++;
    stats->skipped_bytes += *offset - from;
    return SC_OK;
}

/* What begins at *offset, and on to what comes after it. */
static enum sc_status scan_record(const struct scan *s, uint64_t *offset)
{
    struct sc_outbox *o = s->outbox;
    struct out_file *f = s->file;
    struct sc_batch_head head;
    uint8_t raw[HEAD_BYTES] = {0};
    uint64_t left = f->bytes - *offset;
    bool released;
    SC_TRY(read_all(s->outbox, s->handle, *offset, raw, left < HEAD_BYTES ? (size_t)left : HEAD_BYTES));
    if (!is_record(f, raw, left, &head, &released))
        return skip(s, offset, get_head(raw, &head, &released) && head.id.stream == f->stream);
    uint64_t size = HEAD_BYTES + (uint64_t)head.size;
    enum sc_status status = released ? SC_OK : check_bytes(s, &head, *offset);
    if (status == SC_OK && !released) {
        enum sc_status found = s->found(s->arg, &head, (struct sc_outbox_place){f->number, *offset});
        if (found != SC_OK && found != SC_END)
            return found;
        f->waiting += found == SC_OK;
        o->stats.batches += found == SC_OK;
    }
    *offset += size;
    if (status != SC_DAMAGED)
        return status;
    o->stats.damaged++;
    o->stats.damaged_records += head.records;
    o->stats.skipped_bytes += size;
    return SC_OK;
}

static enum sc_status scan_file(struct sc_outbox *o, struct out_file *file, int handle,
                                sc_outbox_found *found, void *arg)
{
    struct scan s = {o, file, handle, found, arg, malloc(PIECE_BYTES)};
    enum sc_status status = s.piece == NULL ? SC_NOMEM : SC_OK;
    for (uint64_t offset = 0; status == SC_OK && offset < file->bytes;)
        status = scan_record(&s, &offset);
    free(s.piece);
    return status == SC_END ? SC_IO : status; /* the file shrank */
}

/* Nobody else knows the outbox yet: the file stays where it is in the list. */
static enum sc_status adopt(struct sc_outbox *o, const char *name, sc_outbox_found *found, void *arg,
                            struct sc_error *err)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", o->path, name);
    if (stat(path, &st) != 0)
        return sc_fail_errno(err, errno, "cannot read %s", path);
    int handle = o->io->ops->open(o->io, path, false);
    if (handle < 0)
        return sc_fail_errno(err, -handle, "cannot read %s", path);
    uint32_t number = add_file(o, path, strtoull(name, NULL, 16), (uint64_t)st.st_size);
    enum sc_status status = number == NONE ? SC_NOMEM : SC_OK;
    struct out_file *file = status == SC_OK ? find_file(o, number) : NULL;
    if (file != NULL) {
        status = scan_file(o, file, handle, found, arg);
        o->gone += file->waiting == 0 && status == SC_OK;
    }
    o->io->ops->close(o->io, handle);
    return status == SC_OK ? SC_OK : sc_fail(err, status, "cannot read the outbox file %s", path);
}

static enum sc_status adopt_all(struct sc_outbox *o, sc_outbox_found *found, void *arg, struct sc_error *err)
{
    struct dirent **names;
    int count = scandir(o->path, &names, NULL, alphasort);
    if (count < 0)
        return sc_fail_errno(err, errno, "cannot list the outbox %s", o->path);
    enum sc_status status = SC_OK;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(names[i]->d_name), suffix = strlen(SUFFIX);
        bool ours = length > suffix && strcmp(names[i]->d_name + length - suffix, SUFFIX) == 0;
        if (ours && status == SC_OK)
            status = adopt(o, names[i]->d_name, found, arg, err);
        free(names[i]);
    }
    free(names);
    if (status == SC_OK)
        remove_gone(o);
    return status;
}

static enum sc_status make_folder(const struct sc_outbox *o, struct sc_error *err)
{
    const char *slash = strrchr(o->path, '/');
    int made = o->io->ops->mkdir(o->io, o->path);
    if (made == 0 && o->options.sync) /* its name is for good */
        made = sc_io_make_folders(o->io, o->path, slash == NULL ? 0 : (size_t)(slash - o->path));
    return made < 0 ? sc_fail_errno(err, -made, "cannot create the outbox %s", o->path) : SC_OK;
}

struct sc_outbox *sc_outbox_open(const char *path, uint64_t stream, const struct sc_outbox_options *options,
                                 sc_outbox_found *found, void *arg, struct sc_error *err)
{
    struct sc_outbox *o = calloc(1, sizeof(*o));
    if (o == NULL || (o->path = strdup(path)) == NULL) {
        free(o);
        sc_fail_nomem(err, "the outbox");
        return NULL;
    }
    pthread_mutex_init(&o->mutex, NULL);
    o->stream = stream;
    o->current = NONE;
    o->handle = o->open_handle = -1;
    if (options != NULL)
        o->options = *options;
    o->io = o->options.io == NULL ? sc_io_system() : o->options.io;
    if (o->options.limit_bytes == 0)
        o->options.limit_bytes = DEFAULT_LIMIT;
    o->stats.limit_bytes = o->options.limit_bytes;
    o->file_bytes =
        o->options.limit_bytes / LEAST_FILES < FILE_BYTES ? o->options.limit_bytes / LEAST_FILES : FILE_BYTES;
    enum sc_status status = make_folder(o, err);
    if (status == SC_OK)
        status = adopt_all(o, found, arg, err);
    if (status == SC_OK)
        return o;
    sc_outbox_close(o);
    return NULL;
}

void sc_outbox_close(struct sc_outbox *o)
{
    if (o == NULL)
        return;
    end_current(o);
    sc_outbox_tidy(o);
    for (uint32_t i = 0; i < o->count; i++)
        free(o->files[i].path);
    pthread_mutex_destroy(&o->mutex);
    free(o->files);
    free(o->marks);
    free(o->path);
    free(o);
}

/* ---- appending, reading, releasing ---- */

/* The current file has its size; or it keeps others out and nothing in it waits. *end: where it ends. */
static bool is_over(struct sc_outbox *o, uint64_t more, uint64_t *end)
{
    pthread_mutex_lock(&o->mutex);
    const struct out_file *f = find_file(o, o->current);
    *end = f == NULL ? 0 : f->bytes;
    bool over = f != NULL && (f->bytes >= o->file_bytes ||
                              (f->waiting == 0 && o->stats.bytes + more > o->options.limit_bytes));
    pthread_mutex_unlock(&o->mutex);
    return over;
}

static uint64_t bytes_of(struct sc_outbox *o)
{
    struct sc_outbox_stats stats;
    sc_outbox_get_stats(o, &stats);
    return stats.bytes;
}

/* A file with room, which ends at *end. */
static enum sc_status make_room(struct sc_outbox *o, uint64_t size, uint64_t *end, struct sc_error *err)
{
    if (is_over(o, size, end)) {
        end_current(o);
        *end = 0;
    }
    if (bytes_of(o) + size > o->options.limit_bytes)
        remove_gone(o);
    uint64_t bytes = bytes_of(o);
    if (bytes + size > o->options.limit_bytes)
        return sc_fail(err, SC_FULL, "the outbox %s holds %llu bytes, its bound", o->path,
                       (unsigned long long)bytes);
    return o->current == NONE ? new_file(o, err) : SC_OK;
}

/* What could not be written whole is cut off. A file that holds others is ended: it need not be full to go, then. */
static enum sc_status write_batch(struct sc_outbox *o, const struct sc_batch_head *head, const uint8_t *bytes,
                                  uint64_t end, struct sc_error *err)
{
    uint8_t raw[HEAD_BYTES];
    put_head(head, raw);
    int result = sc_io_write_all(o->io, o->handle, raw, sizeof(raw));
    if (result == 0)
        result = sc_io_write_all(o->io, o->handle, bytes, head->size);
    if (result == 0 && o->options.sync)
        result = o->io->ops->datasync(o->io, o->handle);
    if (result == 0)
        return SC_OK;
    enum sc_status status = sc_fail_errno(err, -result, "cannot write to the outbox %s", o->path);
    if (o->io->ops->truncate(o->io, o->handle, end) != 0 || end != 0 || o->options.sync)
        end_current(o);
    return status;
}

static void count_appended(struct sc_outbox *o, uint64_t size, enum sc_status status)
{
    pthread_mutex_lock(&o->mutex);
    o->stats.refused += status != SC_OK;
    if (status == SC_OK) {
        struct out_file *f = find_file(o, o->current);
        f->bytes += size;
        f->waiting++;
        o->stats.bytes += size;
        o->stats.batches++;
        o->stats.appended++;
    }
    pthread_mutex_unlock(&o->mutex);
}

enum sc_status sc_outbox_append(struct sc_outbox *o, const struct sc_batch_head *head, const uint8_t *bytes,
                                struct sc_outbox_place *place, struct sc_error *err)
{
    uint64_t size = HEAD_BYTES + (uint64_t)head->size, end = 0;
    enum sc_status status = make_room(o, size, &end, err);
    if (status == SC_OK)
        status = write_batch(o, head, bytes, end, err);
    if (status == SC_OK)
        *place = (struct sc_outbox_place){o->current, end};
    count_appended(o, size, status);
    return status;
}

static enum sc_status not_opened(const struct sc_outbox *o, int failed, struct sc_error *err)
{
    if (failed == ENOENT)
        return sc_fail(err, SC_NOTFOUND, "a batch was released before it was read from the outbox %s",
                       o->path);
    if (failed == ESTALE)
        return sc_fail(err, SC_DAMAGED, "a file of the outbox %s was deleted with a batch that was not safe",
                       o->path);
    if (failed == EMFILE || failed == ENFILE || failed == ENOMEM) /* no fault of the batch */
        return sc_fail(err, SC_NOMEM, "no descriptor or memory to read from the outbox %s", o->path);
    return sc_fail_errno(err, failed, "cannot read from the outbox %s", o->path);
}

enum sc_status sc_outbox_read(struct sc_outbox *o, const struct sc_batch_head *head,
                              struct sc_outbox_place place, struct sc_buf *out, struct sc_error *err)
{
    int handle = open_file(o, place.file);
    if (handle < 0)
        return not_opened(o, -handle, err);
    enum sc_status status = read_bytes(o, handle, head, place.offset, out);
    if (status == SC_OK)
        return SC_OK;
    return status == SC_NOMEM ? sc_fail_nomem(err, "a batch")
                              : sc_fail(err, status == SC_IO ? SC_IO : SC_DAMAGED,
                                        "a batch in the outbox %s cannot be read", o->path);
}

/* With the mutex held. A mark that does not get there costs a copy after the next start, no more. */
static void note_mark(struct sc_outbox *o, struct sc_outbox_place place)
{
    if (sc_array_more(o->marks, o->mark_count, 1))
        o->marks[o->mark_count++] = place;
}

void sc_outbox_release(struct sc_outbox *o, struct sc_outbox_place place)
{
    if (place.file == SC_OUTBOX_NOWHERE)
        return;
    pthread_mutex_lock(&o->mutex);
    struct out_file *f = find_file(o, place.file);
    f->waiting--;
    o->stats.batches--;
    o->stats.released++;
    if (f->waiting == 0 && f->number != o->current)
        o->gone++;
    else
        note_mark(o, place);
    pthread_mutex_unlock(&o->mutex);
}

void sc_outbox_tidy(struct sc_outbox *o)
{
    const uint8_t mark = RELEASED;
    remove_gone(o);
    pthread_mutex_lock(&o->mutex);
    struct sc_outbox_place *marks = o->marks;
    uint32_t count = o->mark_count;
    o->marks = NULL;
    o->mark_count = 0;
    pthread_mutex_unlock(&o->mutex);
    for (uint32_t i = 0; i < count; i++) {
        int handle = open_file(o, marks[i].file);
        if (handle >= 0)
            (void)sc_io_write_all_at(o->io, handle, marks[i].offset + RELEASED_AT, &mark, 1);
    }
    free(marks);
    close_read(o);
}

/* ---- files that others delete ---- */

/* The first from *number on that was there the last time. False: there is none. */
static bool next_known(struct sc_outbox *o, uint32_t *number, char path[4096])
{
    bool found = false;
    pthread_mutex_lock(&o->mutex);
    for (uint32_t i = 0; i < o->count && !found; i++) {
        const struct out_file *f = &o->files[i];
        found = f->number >= *number && !f->deleted;
        if (found) {
            *number = f->number;
            snprintf(path, 4096, "%s", f->path);
        }
    }
    pthread_mutex_unlock(&o->mutex);
    return found;
}

/* Of the current one whether it is the same, too: what is appended goes into that. */
static bool is_there(const struct sc_outbox *o, uint32_t number, const char *path)
{
    struct sc_file_id id;
    if (number == o->current && o->io->ops->identify(o->io, o->handle, path, &id) == 0)
        return sc_io_is_at(o->io, &id, path);
    int result = o->io->ops->identify(o->io, -1, path, &id);
    return result != -ENOENT && result != -ENOTDIR;
}

/* False: it was released, and went, meanwhile. */
static bool note_deleted(struct sc_outbox *o, uint32_t number)
{
    pthread_mutex_lock(&o->mutex);
    struct out_file *f = find_file(o, number);
    bool lost = f != NULL && (f->waiting != 0 || number == o->current);
    if (lost) {
        f->deleted = true;
        o->stats.deleted_files++;
        o->stats.deleted_batches += f->waiting;
    }
    pthread_mutex_unlock(&o->mutex);
    if (lost && number == o->current)
        end_current(o);
    return lost;
}

bool sc_outbox_look(struct sc_outbox *o)
{
    char path[4096];
    bool any = false;
    for (uint32_t number = 0; next_known(o, &number, path); number++) {
        if (!is_there(o, number, path))
            any |= note_deleted(o, number);
    }
    return any;
}

void sc_outbox_get_stats(struct sc_outbox *o, struct sc_outbox_stats *out)
{
    pthread_mutex_lock(&o->mutex);
    *out = o->stats;
    pthread_mutex_unlock(&o->mutex);
}
