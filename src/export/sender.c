// SPDX-License-Identifier: BSD-3-Clause
#include "export/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE = 64, QUEUE_BYTES = 1 << 20, END_MS = 5000 };

struct queued {
    uint32_t exporter;
    uint32_t length;
    uint64_t time_ms;
    size_t at; /* in `bytes` */
    bool done;
};

struct sc_sender {
    struct sender_target targets[SC_SENDER_TARGETS];
    uint32_t target_count;
    uint32_t exporters;
    struct sc_sender_stats stats;
    struct queued queue[QUEUE];
    uint32_t queued;
    uint8_t *bytes;
    size_t used;
};

/* ---- targets ---- */

/* On failure what was opened is still the target's. */
static enum sc_status open_target(struct sender_target *t, const struct sc_target *target, uint32_t exporters,
                                  struct sc_error *err)
{
    *t = (struct sender_target){.kind = target->kind};
    if (target->kind == SC_TARGET_UDP || target->kind == SC_TARGET_TCP)
        return sc_sender_sockets_open(t, target, exporters, err);
    return sc_sender_file_open(t, target, err);
}

/* Reports what only shows at the end (files: the last write). */
static enum sc_status close_target(struct sender_target *t, uint32_t exporters, struct sc_sender_stats *stats,
                                   struct sc_error *err)
{
    for (uint32_t i = 0; t->sockets != NULL && i < exporters; i++) {
        if (t->kind == SC_TARGET_TCP)
            sc_client_end_stream(t->sockets[i], END_MS);
        else
            sc_sender_end_datagrams(t->sockets[i], stats);
    }
    if (t->file == NULL)
        return SC_OK;
    FILE *file = t->file;
    t->file = NULL;
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return sc_fail_errno(err, errno, "cannot write %s", t->path);
    return SC_OK;
}

static void free_target(struct sender_target *t, uint32_t exporters)
{
    for (uint32_t i = 0; t->sockets != NULL && i < exporters; i++)
        if (t->sockets[i] >= 0)
            close(t->sockets[i]);
    free(t->sockets);
    if (t->file != NULL)
        fclose(t->file);
}

/* ---- all of it ---- */

static void release(struct sc_sender *s)
{
    for (uint32_t i = 0; i < s->target_count; i++)
        free_target(&s->targets[i], s->exporters);
    free(s->bytes);
    free(s);
}

struct sc_sender *sc_sender_open(const struct sc_target *targets, uint32_t target_count, uint32_t exporters,
                                 struct sc_error *err)
{
    if (target_count > SC_SENDER_TARGETS || exporters == 0 || exporters > SC_SENDER_EXPORTERS_MAX) {
        sc_fail(err, SC_USAGE, "at most %u targets and %u exporters", SC_SENDER_TARGETS,
                SC_SENDER_EXPORTERS_MAX);
        return NULL;
    }
    struct sc_sender *s = calloc(1, sizeof(*s));
    if (s != NULL)
        s->bytes = malloc(QUEUE_BYTES);
    if (s == NULL || s->bytes == NULL) {
        free(s);
        sc_fail_nomem(err, "a sender");
        return NULL;
    }
    s->exporters = exporters;
    for (uint32_t i = 0; i < target_count; i++) {
        s->target_count++;
        if (open_target(&s->targets[i], &targets[i], exporters, err) != SC_OK) {
            release(s);
            return NULL;
        }
    }
    return s;
}

/* Takes from the queue the messages that go out in one call: those of one exporter, in order. */
static uint32_t gather(struct sc_sender *s, uint32_t from, struct iovec *out)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < s->queued; i++) {
        struct queued *q = &s->queue[i];
        if (q->done || q->exporter != s->queue[from].exporter)
            continue;
        q->done = true;
        out[n++] = (struct iovec){s->bytes + q->at, q->length};
    }
    return n;
}

static enum sc_status send_queue(struct sc_sender *s, struct sender_target *t, struct sc_error *err)
{
    struct iovec messages[QUEUE];
    for (uint32_t i = 0; i < s->queued; i++)
        s->queue[i].done = false;
    for (uint32_t i = 0; i < s->queued; i++) {
        if (s->queue[i].done)
            continue;
        uint32_t n = gather(s, i, messages);
        int fd = t->sockets[s->queue[i].exporter];
        if (t->kind == SC_TARGET_UDP)
            sc_sender_send_datagrams(fd, messages, n, &s->stats);
        else
            SC_TRY(sc_sender_send_stream(fd, messages, n, &s->stats, err));
    }
    return SC_OK;
}

static enum sc_status write_queue(struct sc_sender *s, struct sender_target *t, struct sc_error *err)
{
    for (uint32_t i = 0; i < s->queued; i++) {
        const struct queued *q = &s->queue[i];
        SC_TRY(sc_sender_write_file(t, q->exporter, q->time_ms, s->bytes + q->at, q->length, err));
        s->stats.sent++;
    }
    return SC_OK;
}

enum sc_status sc_sender_flush(struct sc_sender *s, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < s->target_count && status == SC_OK; i++) {
        struct sender_target *t = &s->targets[i];
        status = t->sockets != NULL ? send_queue(s, t, err) : write_queue(s, t, err);
    }
    s->queued = 0;
    s->used = 0;
    return status;
}

enum sc_status sc_sender_put(struct sc_sender *s, uint32_t exporter, uint64_t time_ms, const uint8_t *message,
                             size_t length, struct sc_error *err)
{
    if (length > UINT16_MAX || exporter >= s->exporters)
        return sc_fail(err, SC_LIMIT, "a message of %zu bytes of exporter %u cannot be sent", length,
                       exporter);
    if (s->queued == QUEUE || s->used + length > QUEUE_BYTES)
        SC_TRY(sc_sender_flush(s, err));
    memcpy(s->bytes + s->used, message, length);
    s->queue[s->queued++] = (struct queued){exporter, (uint32_t)length, time_ms, s->used, false};
    s->used += length;
    s->stats.messages++;
    s->stats.bytes += length;
    return SC_OK;
}

enum sc_status sc_sender_close(struct sc_sender *s, struct sc_sender_stats *stats, struct sc_error *err)
{
    enum sc_status status = sc_sender_flush(s, err);
    for (uint32_t i = 0; i < s->target_count; i++) {
        enum sc_status closed =
            close_target(&s->targets[i], s->exporters, &s->stats, status == SC_OK ? err : NULL);
        status = status == SC_OK ? closed : status;
    }
    if (stats != NULL)
        *stats = s->stats;
    release(s);
    return status;
}

void sc_sender_get_stats(const struct sc_sender *s, struct sc_sender_stats *out)
{
    *out = s->stats;
}
