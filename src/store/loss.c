// SPDX-License-Identifier: BSD-3-Clause
#include "store/loss.h"

#include "base/array.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 256

void sc_losses_free(struct sc_losses *l)
{
    free(l->list);
    free(l->streams);
    *l = (struct sc_losses){0};
}

/* ---- the list ---- */

static int compare(const struct sc_loss *x, uint64_t stream, uint64_t window_ms, uint32_t lane)
{
    if (x->stream != stream)
        return x->stream < stream ? -1 : 1;
    if (x->window_ms != window_ms)
        return x->window_ms < window_ms ? -1 : 1;
    return x->lane < lane ? -1 : x->lane > lane;
}

/* Where it is, or would be. */
static uint32_t place_of(const struct sc_losses *l, uint64_t stream, uint64_t window_ms, uint32_t lane)
{
    uint32_t low = 0, high = l->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&l->list[middle], stream, window_ms, lane) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct sc_loss *sc_losses_find(const struct sc_losses *l, uint64_t stream, uint64_t window_ms,
                                     uint32_t lane)
{
    uint32_t i = place_of(l, stream, window_ms, lane);
    return i < l->count && compare(&l->list[i], stream, window_ms, lane) == 0 ? &l->list[i] : NULL;
}

enum sc_status sc_losses_add(struct sc_losses *l, const struct sc_loss *loss)
{
    uint32_t i = place_of(l, loss->stream, loss->window_ms, loss->lane);
    if (i < l->count && compare(&l->list[i], loss->stream, loss->window_ms, loss->lane) == 0) {
        sc_tally_count_grow(&l->list[i].lost, &loss->lost);
        return SC_OK;
    }
    if (!sc_array_more(l->list, l->count, 1))
        return SC_NOMEM;
    memmove(&l->list[i + 1], &l->list[i], (l->count - i) * sizeof(*l->list));
    l->list[i] = *loss;
    l->count++;
    return SC_OK;
}

enum sc_status sc_losses_add_stream(struct sc_losses *l, const struct sc_stream *stream)
{
    for (uint32_t i = 0; i < l->stream_count; i++) {
        if (l->streams[i].stream != stream->stream)
            continue;
        l->streams[i].closed = l->streams[i].closed || stream->closed;
        return SC_OK;
    }
    if (!sc_array_more(l->streams, l->stream_count, 1))
        return SC_NOMEM;
    l->streams[l->stream_count] = *stream;
    l->streams[l->stream_count++].heard_ms = 0;
    return SC_OK;
}

enum sc_status sc_losses_add_all(struct sc_losses *to, const struct sc_losses *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        SC_TRY(sc_losses_add(to, &from->list[i]));
    for (uint32_t i = 0; i < from->stream_count; i++)
        SC_TRY(sc_losses_add_stream(to, &from->streams[i]));
    return SC_OK;
}

bool sc_losses_closed(const struct sc_losses *l, uint64_t stream)
{
    for (uint32_t i = 0; i < l->stream_count; i++) {
        if (l->streams[i].stream == stream)
            return l->streams[i].closed;
    }
    return false;
}

/* ---- reading ---- */

static bool read_head(FILE *file, struct sc_stream *out)
{
    char line[LINE_BYTES];
    int closed = 0;
    bool good = fgets(line, sizeof(line), file) != NULL && strcmp(line, "securitycloud lost 1\n") == 0 &&
                fgets(line, sizeof(line), file) != NULL && sscanf(line, "proxy %63s", out->proxy) == 1 &&
                fgets(line, sizeof(line), file) != NULL && sscanf(line, "closed %1d", &closed) == 1;
    out->closed = closed != 0;
    return good;
}

static bool read_loss(const char *line, struct sc_loss *out)
{
    struct sc_tally_count *c = &out->lost;
    return sscanf(line,
                  "window %" SCNu64 " %" SCNu32 " lane %8" SCNx32 " %" SCNu64 " %" SCNu64 " %" SCNu64
                  " %" SCNu64,
                  &out->window_ms, &out->window_s, &out->lane, &c->batches[0], &c->records[0], &c->batches[1],
                  &c->records[1]) == 7;
}

static enum sc_status read_file(FILE *file, uint64_t stream, struct sc_losses *losses)
{
    char line[LINE_BYTES];
    struct sc_stream head = {.stream = stream};
    if (!read_head(file, &head))
        return SC_DAMAGED;
    SC_TRY(sc_losses_add_stream(losses, &head));
    while (fgets(line, sizeof(line), file) != NULL) {
        struct sc_loss loss = {.stream = stream};
        if (!read_loss(line, &loss))
            return SC_DAMAGED;
        SC_TRY(sc_losses_add(losses, &loss));
    }
    return ferror(file) != 0 ? SC_IO : SC_OK;
}

static enum sc_status read_path(const char *path, uint64_t stream, struct sc_losses *losses,
                                struct sc_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return sc_fail_errno(err, errno, "cannot read %s", path);
    enum sc_status status = read_file(file, stream, losses);
    fclose(file);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "what is lost");
    return status == SC_OK
               ? SC_OK
               : sc_fail(err, status, "%s is damaged: what was accepted as lost is not known", path);
}

static bool is_stream_name(const char *name)
{
    return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16;
}

static bool is_meant(const char *name, const uint64_t *stream)
{
    return is_stream_name(name) && (stream == NULL || *stream == strtoull(name, NULL, 16));
}

/* Of one stream or (NULL) of all. */
static enum sc_status read_of(const char *store, const uint64_t *stream, struct sc_losses *losses,
                              struct sc_error *err)
{
    char folder[4096], path[4096 + 32];
    const struct dirent *entry;
    snprintf(folder, sizeof(folder), "%s/" SC_LOST_FOLDER, store);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT || errno == ENOTDIR ? SC_OK
                                                   : sc_fail_errno(err, errno, "cannot list %s", folder);
    enum sc_status status = SC_OK;
    while (status == SC_OK && (entry = readdir(dir)) != NULL) {
        if (!is_meant(entry->d_name, stream))
            continue;
        snprintf(path, sizeof(path), "%s/%.16s", folder, entry->d_name);
        status = read_path(path, strtoull(entry->d_name, NULL, 16), losses, err);
    }
    closedir(dir);
    return status;
}

enum sc_status sc_losses_read(const char *store, struct sc_losses *losses, struct sc_error *err)
{
    return read_of(store, NULL, losses, err);
}

/* ---- writing ---- */

static void print_loss(const struct sc_loss *l, struct sc_buf *out)
{
    char line[LINE_BYTES];
    const struct sc_tally_count *c = &l->lost;
    snprintf(line, sizeof(line),
             "window %" PRIu64 " %" PRIu32 " lane %08" PRIx32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
             "\n",
             l->window_ms, l->window_s, l->lane, c->batches[0], c->records[0], c->batches[1], c->records[1]);
    sc_buf_append_str(out, line);
}

static void print_stream(const struct sc_losses *losses, const struct sc_stream *stream, struct sc_buf *out)
{
    char head[LINE_BYTES];
    snprintf(head, sizeof(head), "securitycloud lost 1\nproxy %s\nclosed %d\n", stream->proxy,
             stream->closed);
    sc_buf_append_str(out, head);
    for (uint32_t i = place_of(losses, stream->stream, 0, 0);
         i < losses->count && losses->list[i].stream == stream->stream; i++)
        print_loss(&losses->list[i], out);
}

static enum sc_status write_stream(struct sc_io *io, const char *folder, const struct sc_losses *losses,
                                   const struct sc_stream *stream, struct sc_error *err)
{
    char path[4096 + 32];
    struct sc_buf text = {0};
    snprintf(path, sizeof(path), "%s/%016" PRIx64, folder, stream->stream);
    print_stream(losses, stream, &text);
    enum sc_status status = sc_buf_ok(&text) ? sc_io_replace(io, path, text.data, text.len, err)
                                             : sc_fail_nomem(err, "what is lost");
    sc_buf_free(&text);
    return status;
}

enum sc_status sc_losses_write(const char *store, const struct sc_losses *losses, struct sc_io *io,
                               struct sc_error *err)
{
    char folder[4096];
    if (io == NULL)
        io = sc_io_system();
    snprintf(folder, sizeof(folder), "%s/" SC_LOST_FOLDER, store);
    int result = io->ops->mkdir(io, folder);
    if (result == 0)
        result = io->ops->sync_dir(io, store);
    if (result != 0)
        return sc_fail_errno(err, -result, "cannot create %s", folder);
    for (uint32_t i = 0; i < losses->stream_count; i++)
        SC_TRY(write_stream(io, folder, losses, &losses->streams[i], err));
    return SC_OK;
}

enum sc_status sc_losses_record(const char *store, const struct sc_losses *more, struct sc_io *io,
                                struct sc_error *err)
{
    struct sc_losses all = {0};
    enum sc_status status = sc_losses_read(store, &all, err);
    if (status == SC_OK && sc_losses_add_all(&all, more) != SC_OK)
        status = sc_fail_nomem(err, "what is lost");
    if (status == SC_OK)
        status = sc_losses_write(store, &all, io, err);
    sc_losses_free(&all);
    return status;
}

/* ---- taking back ---- */

static int remove_files(struct sc_io *io, const char *folder, DIR *dir, const uint64_t *stream)
{
    char path[4096 + 32];
    const struct dirent *entry;
    int result = 0;
    while (result == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_meant(entry->d_name, stream))
            continue;
        snprintf(path, sizeof(path), "%s/%.16s", folder, entry->d_name);
        result = io->ops->unlink(io, path);
        result = result == -ENOENT ? 0 : result;
    }
    return result;
}

static enum sc_status remove_of(const char *store, const uint64_t *stream, struct sc_io *io,
                                struct sc_error *err)
{
    char folder[4096];
    if (io == NULL)
        io = sc_io_system();
    snprintf(folder, sizeof(folder), "%s/" SC_LOST_FOLDER, store);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT ? SC_OK : sc_fail_errno(err, errno, "cannot list %s", folder);
    int result = remove_files(io, folder, dir, stream);
    closedir(dir);
    if (result == 0) /* the folder as well, which may be of another user's making */
        result = io->ops->sync_dir(io, rmdir(folder) == 0 ? store : folder);
    return result == 0 ? SC_OK : sc_fail_errno(err, -result, "cannot take back what %s holds", folder);
}

enum sc_status sc_losses_undo(const char *store, const uint64_t *stream, bool dry_run, struct sc_losses *was,
                              struct sc_io *io, struct sc_error *err)
{
    enum sc_status status = read_of(store, stream, was, err);
    if (status == SC_NOMEM || (dry_run && status != SC_DAMAGED))
        return status;
    return dry_run ? SC_OK : remove_of(store, stream, io, err);
}
