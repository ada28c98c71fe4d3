// SPDX-License-Identifier: BSD-3-Clause
#include "collect/outbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

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

/* fd -1: gone. */
struct out_file {
    int fd;
    char *path;
    uint64_t stream; /* of all records in it */
    uint64_t bytes;
    uint32_t waiting; /* batches not released */
};

struct sc_outbox {
    char *path;
    uint64_t stream;
    struct sc_outbox_options options;
    uint64_t file_bytes;
    pthread_mutex_t mutex;
    struct out_file *files;
    uint32_t count;
    uint32_t current; /* the file that is appended to; UINT32_MAX: none */
    uint32_t number;
    struct sc_outbox_stats stats;
};

/* ---- files ---- */

static uint32_t add_file(struct sc_outbox *o, int fd, const char *path)
{
    uint32_t index = 0;
    while (index < o->count && o->files[index].fd >= 0)
        index++;
    char *copy = strdup(path);
    struct out_file *files = o->files;
    if (copy != NULL && index == o->count)
        files = realloc(o->files, ((size_t)o->count + 1) * sizeof(*files));
    if (copy == NULL || files == NULL) {
        free(copy);
        return UINT32_MAX;
    }
    o->files = files;
    o->count += index == o->count;
    files[index] = (struct out_file){.fd = fd, .path = copy};
    return index;
}

static void remove_file(struct sc_outbox *o, struct out_file *f)
{
    close(f->fd);
    unlink(f->path);
    o->stats.bytes -= f->bytes;
    free(f->path);
    *f = (struct out_file){.fd = -1};
}

/* A file that is not appended to any more goes when nothing in it waits. */
static void end_current(struct sc_outbox *o)
{
    if (o->current == UINT32_MAX)
        return;
    struct out_file *f = &o->files[o->current];
    o->current = UINT32_MAX;
    if (f->waiting == 0)
        remove_file(o, f);
}

/* So that the names in a folder survive a loss of power. */
static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int failed = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return failed;
}

static enum sc_status new_file(struct sc_outbox *o, struct sc_error *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%016llx-%08u" SUFFIX, o->path, (unsigned long long)o->stream, o->number);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return sc_fail_errno(err, errno, "cannot create %s", path);
    int failed = o->options.sync ? sync_folder(o->path) : 0;
    uint32_t index = failed == 0 ? add_file(o, fd, path) : UINT32_MAX;
    if (index == UINT32_MAX) {
        close(fd);
        unlink(path);
        return failed == 0 ? sc_fail_nomem(err, "the outbox")
                           : sc_fail_errno(err, failed, "cannot sync %s", o->path);
    }
    o->files[index].stream = o->stream;
    o->current = index;
    o->number++;
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

static enum sc_status read_all(int fd, uint64_t offset, uint8_t *out, size_t count)
{
    while (count > 0) {
        ssize_t n = pread(fd, out, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? SC_IO : SC_END;
        out += n;
        offset += (uint64_t)n;
        count -= (size_t)n;
    }
    return SC_OK;
}

static enum sc_status read_bytes(int fd, const struct sc_batch_head *head, uint64_t offset,
                                 struct sc_buf *out)
{
    sc_buf_clear(out);
    uint8_t *place = sc_buf_reserve(out, head->size);
    if (place == NULL)
        return SC_NOMEM;
    SC_TRY(read_all(fd, offset + HEAD_BYTES, place, head->size));
    out->len = head->size;
    return sc_link_hash(place, head->size) == head->hash ? SC_OK : SC_DAMAGED;
}

/* ---- what an earlier process left ---- */

struct scan {
    struct sc_outbox *outbox;
    uint32_t index;
    sc_outbox_found *found;
    void *arg;
    uint8_t *piece; /* PIECE_BYTES */
};

/* @return SC_OK: they agree; SC_DAMAGED; SC_IO. */
static enum sc_status check_bytes(const struct scan *s, int fd, const struct sc_batch_head *head,
                                  uint64_t offset)
{
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    offset += HEAD_BYTES;
    for (size_t left = head->size; left > 0;) {
        size_t n = left < PIECE_BYTES ? left : PIECE_BYTES;
        SC_TRY(read_all(fd, offset, s->piece, n));
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
    const struct out_file *f = &s->outbox->files[s->index];
    struct sc_batch_head head;
    bool released;
    while (f->bytes - *offset >= HEAD_BYTES) {
        size_t n = f->bytes - *offset < PIECE_BYTES ? (size_t)(f->bytes - *offset) : PIECE_BYTES;
        SC_TRY(read_all(f->fd, *offset, s->piece, n));
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
    const struct out_file *f = &s->outbox->files[s->index];
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
    struct out_file *f = &o->files[s->index];
    struct sc_batch_head head;
    uint8_t raw[HEAD_BYTES] = {0};
    uint64_t left = f->bytes - *offset;
    bool released;
    SC_TRY(read_all(f->fd, *offset, raw, left < HEAD_BYTES ? (size_t)left : HEAD_BYTES));
    if (!is_record(f, raw, left, &head, &released))
        return skip(s, offset, get_head(raw, &head, &released) && head.id.stream == f->stream);
    uint64_t size = HEAD_BYTES + (uint64_t)head.size;
    enum sc_status status = released ? SC_OK : check_bytes(s, f->fd, &head, *offset);
    if (status == SC_OK && !released) {
        SC_TRY(s->found(s->arg, &head, (struct sc_outbox_place){s->index, *offset}));
        f->waiting++;
        o->stats.batches++;
    }
    *offset += size;
    if (status != SC_DAMAGED)
        return status;
    o->stats.damaged++;
    o->stats.damaged_records += head.records;
    o->stats.skipped_bytes += size;
    return SC_OK;
}

static enum sc_status scan_file(struct sc_outbox *o, uint32_t index, sc_outbox_found *found, void *arg)
{
    struct scan s = {o, index, found, arg, malloc(PIECE_BYTES)};
    enum sc_status status = s.piece == NULL ? SC_NOMEM : SC_OK;
    for (uint64_t offset = 0; status == SC_OK && offset < o->files[index].bytes;)
        status = scan_record(&s, &offset);
    free(s.piece);
    return status == SC_END ? SC_IO : status; /* the file shrank */
}

static enum sc_status adopt(struct sc_outbox *o, const char *name, sc_outbox_found *found, void *arg,
                            struct sc_error *err)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", o->path, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return sc_fail_errno(err, errno, "cannot read %s", path);
    uint32_t index = add_file(o, fd, path);
    if (index == UINT32_MAX) {
        close(fd);
        return sc_fail_nomem(err, "the outbox");
    }
    o->files[index].stream = strtoull(name, NULL, 16);
    o->files[index].bytes = (uint64_t)st.st_size;
    o->stats.bytes += (uint64_t)st.st_size;
    enum sc_status status = scan_file(o, index, found, arg);
    if (status != SC_OK)
        return sc_fail(err, status, "cannot read the outbox file %s", path);
    if (o->files[index].waiting == 0)
        remove_file(o, &o->files[index]);
    return SC_OK;
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
    return status;
}

static enum sc_status make_folder(const struct sc_outbox *o, struct sc_error *err)
{
    char above[4096];
    if (mkdir(o->path, 0750) != 0)
        return errno == EEXIST ? SC_OK : sc_fail_errno(err, errno, "cannot create the outbox %s", o->path);
    snprintf(above, sizeof(above), "%s/..", o->path);
    int failed = o->options.sync ? sync_folder(above) : 0;
    return failed == 0 ? SC_OK : sc_fail_errno(err, failed, "cannot sync %s", above);
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
    o->current = UINT32_MAX;
    if (options != NULL)
        o->options = *options;
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
    for (uint32_t i = 0; i < o->count; i++) {
        if (o->files[i].fd >= 0)
            close(o->files[i].fd);
        free(o->files[i].path);
    }
    pthread_mutex_destroy(&o->mutex);
    free(o->files);
    free(o->path);
    free(o);
}

/* ---- appending, reading, releasing ---- */

static int write_record(int fd, uint64_t offset, uint8_t *head, const uint8_t *bytes, size_t size)
{
    size_t done = 0, total = HEAD_BYTES + size;
    while (done < total) {
        struct iovec parts[2];
        int count = 0;
        if (done < HEAD_BYTES)
            parts[count++] = (struct iovec){head + done, HEAD_BYTES - done};
        size_t from = done < HEAD_BYTES ? 0 : done - HEAD_BYTES;
        parts[count++] = (struct iovec){(void *)(uintptr_t)(bytes + from), size - from};
        ssize_t n = pwritev(fd, parts, count, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

/* The file has its size; or it keeps others out and nothing in it waits. */
static bool is_over(const struct sc_outbox *o, const struct out_file *f, uint64_t more)
{
    return f->bytes >= o->file_bytes || (f->waiting == 0 && o->stats.bytes + more > o->options.limit_bytes);
}

/* With the mutex held. A record that could not be written whole is cut off, or its file is ended. */
static enum sc_status append(struct sc_outbox *o, const struct sc_batch_head *head, const uint8_t *bytes,
                             struct sc_outbox_place *place, struct sc_error *err)
{
    uint8_t raw[HEAD_BYTES];
    uint64_t size = HEAD_BYTES + (uint64_t)head->size;
    if (o->current != UINT32_MAX && is_over(o, &o->files[o->current], size))
        end_current(o);
    if (o->stats.bytes + size > o->options.limit_bytes)
        return sc_fail(err, SC_FULL, "the outbox %s holds %llu bytes, its bound", o->path,
                       (unsigned long long)o->stats.bytes);
    if (o->current == UINT32_MAX)
        SC_TRY(new_file(o, err));
    struct out_file *f = &o->files[o->current];
    put_head(head, raw);
    int failed = write_record(f->fd, f->bytes, raw, bytes, head->size);
    if (failed == 0 && o->options.sync && fdatasync(f->fd) != 0)
        failed = errno;
    if (failed != 0) {
        enum sc_status status = sc_fail_errno(err, failed, "cannot write to %s", f->path);
        if (ftruncate(f->fd, (off_t)f->bytes) != 0 || o->options.sync)
            end_current(o);
        return status;
    }
    *place = (struct sc_outbox_place){o->current, f->bytes};
    f->bytes += size;
    f->waiting++;
    o->stats.bytes += size;
    o->stats.batches++;
    o->stats.appended++;
    return SC_OK;
}

enum sc_status sc_outbox_append(struct sc_outbox *o, const struct sc_batch_head *head, const uint8_t *bytes,
                                struct sc_outbox_place *place, struct sc_error *err)
{
    pthread_mutex_lock(&o->mutex);
    enum sc_status status = append(o, head, bytes, place, err);
    o->stats.refused += status != SC_OK;
    pthread_mutex_unlock(&o->mutex);
    return status;
}

enum sc_status sc_outbox_read(struct sc_outbox *o, const struct sc_batch_head *head,
                              struct sc_outbox_place place, struct sc_buf *out, struct sc_error *err)
{
    pthread_mutex_lock(&o->mutex);
    int fd = o->files[place.file].fd; /* it stays: the batch is not released */
    pthread_mutex_unlock(&o->mutex);
    enum sc_status status = read_bytes(fd, head, place.offset, out);
    if (status == SC_OK)
        return SC_OK;
    return status == SC_NOMEM ? sc_fail_nomem(err, "a batch")
                              : sc_fail(err, status == SC_IO ? SC_IO : SC_DAMAGED,
                                        "a batch in the outbox %s cannot be read", o->path);
}

void sc_outbox_release(struct sc_outbox *o, struct sc_outbox_place place)
{
    const uint8_t mark = RELEASED;
    pthread_mutex_lock(&o->mutex);
    struct out_file *f = &o->files[place.file];
    f->waiting--;
    o->stats.batches--;
    o->stats.released++;
    if (f->waiting == 0 && place.file != o->current)
        remove_file(o, f);
    else /* a mark that does not get there costs a copy after the next start, no more */
        (void)!pwrite(f->fd, &mark, 1, (off_t)(place.offset + RELEASED_AT));
    pthread_mutex_unlock(&o->mutex);
}

void sc_outbox_get_stats(struct sc_outbox *o, struct sc_outbox_stats *out)
{
    pthread_mutex_lock(&o->mutex);
    *out = o->stats;
    pthread_mutex_unlock(&o->mutex);
}
