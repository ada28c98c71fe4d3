// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/beat.h"

#include "base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256u

struct sc_beater {
    int fd;
    uint32_t rank;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stopping;
    _Atomic(const char *) phase;
    atomic_ullong done, total, rows, bytes;
};

/* A marked line as a string without its mark; false: it is none. */
static bool unmark(const char *line, size_t length, char text[LINE_MAX_BYTES])
{
    if (length < 2 || length >= LINE_MAX_BYTES || line[0] != SC_BEAT_MARK)
        return false;
    memcpy(text, line + 1, length - 1);
    text[length - 1] = '\0';
    return true;
}

bool sc_beat_parse(const char *line, size_t length, struct sc_beat *out)
{
    char text[LINE_MAX_BYTES];
    int end = -1;
    *out = (struct sc_beat){0};
    return unmark(line, length, text) &&
           sscanf(text, "sc-beat %" SCNu32 " %15[a-z] %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
                  &out->rank, out->phase, &out->done, &out->total, &out->rows, &out->bytes, &end) == 6 &&
           end == (int)length - 1;
}

/* One write, so that lines of several processes do not mix. */
static void write_line(int fd, const char *line, int length)
{
    ssize_t written = write(fd, line, (size_t)length);
    (void)written;
}

void sc_exit_line_write(int fd, int status)
{
    char line[LINE_MAX_BYTES];
    write_line(fd, line, snprintf(line, sizeof(line), "%csc-exit %d\n", SC_BEAT_MARK, status));
}

bool sc_exit_line_parse(const char *line, size_t length, int *status)
{
    char text[LINE_MAX_BYTES];
    int end = -1;
    return unmark(line, length, text) && sscanf(text, "sc-exit %d%n", status, &end) == 1 &&
           end == (int)length - 1;
}

void sc_leave_out_line_write(int fd, uint32_t rank, const char *why)
{
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof(line), "%csc-leave-out %" PRIu32 " %.*s", SC_BEAT_MARK, rank,
                     (int)SC_LEAVE_OUT_MAX - 1, why);
    for (char *p = line + 1; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ')
            *p = '?';
    }
    line[n++] = '\n';
    write_line(fd, line, n);
}

bool sc_leave_out_line_parse(const char *line, size_t length, uint32_t *rank, char why[SC_LEAVE_OUT_MAX])
{
    char text[LINE_MAX_BYTES];
    int begin = -1;
    if (!unmark(line, length, text) || sscanf(text, "sc-leave-out %" SCNu32 " %n", rank, &begin) != 1 ||
        begin < 0 || text[begin] == '\0' || strlen(text) != length - 1 ||
        strlen(text + begin) >= SC_LEAVE_OUT_MAX)
        return false;
    for (const char *p = text + begin; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ')
            return false;
    }
    snprintf(why, SC_LEAVE_OUT_MAX, "%s", text + begin);
    return true;
}

void sc_died_line_write(int fd, uint32_t rank, int signal)
{
    char line[LINE_MAX_BYTES];
    write_line(fd, line,
               snprintf(line, sizeof(line), "%csc-died %" PRIu32 " %d\n", SC_BEAT_MARK, rank, signal));
}

bool sc_died_line_parse(const char *line, size_t length, uint32_t *rank, int *signal)
{
    char text[LINE_MAX_BYTES];
    int end = -1;
    return unmark(line, length, text) && sscanf(text, "sc-died %" SCNu32 " %d%n", rank, signal, &end) == 2 &&
           end == (int)length - 1;
}

uint32_t sc_rank_by_launcher(void)
{
    const char *text = getenv("OMPI_COMM_WORLD_RANK");
    return (uint32_t)strtoul(text == NULL ? "0" : text, NULL, 10);
}

/* A line that cannot be written is no loss: another follows. */
static void beat(struct sc_beater *b)
{
    char line[LINE_MAX_BYTES];
    int n = snprintf(line, sizeof(line), "%csc-beat %" PRIu32 " %s %llu %llu %llu %llu\n", SC_BEAT_MARK,
                     b->rank, atomic_load(&b->phase), (unsigned long long)atomic_load(&b->done),
                     (unsigned long long)atomic_load(&b->total), (unsigned long long)atomic_load(&b->rows),
                     (unsigned long long)atomic_load(&b->bytes));
    write_line(b->fd, line, n);
}

static void *run(void *arg)
{
    struct sc_beater *b = arg;
    pthread_mutex_lock(&b->mutex);
    while (!b->stopping) {
        beat(b);
        const struct timespec until = sc_clock_mono_in(SC_BEAT_MS);
        pthread_cond_timedwait(&b->wake, &b->mutex, &until);
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

struct sc_beater *sc_beater_start(int fd, uint32_t rank, struct sc_error *err)
{
    struct sc_beater *b = calloc(1, sizeof(*b));
    pthread_condattr_t attributes;
    if (b == NULL) {
        sc_fail_nomem(err, "the signs of life");
        return NULL;
    }
    b->fd = fd;
    b->rank = rank;
    atomic_store(&b->phase, "launch");
    pthread_mutex_init(&b->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&b->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int failed = pthread_create(&b->thread, NULL, run, b);
    if (failed == 0)
        return b;
    sc_fail_errno(err, failed, "cannot start a thread");
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->mutex);
    free(b);
    return NULL;
}

void sc_beater_phase(struct sc_beater *b, const char *phase)
{
    atomic_store(&b->phase, phase);
}

void sc_beater_progress(struct sc_beater *b, uint64_t done, uint64_t total, uint64_t rows, uint64_t bytes)
{
    atomic_store(&b->done, done);
    atomic_store(&b->total, total);
    atomic_store(&b->rows, rows);
    atomic_store(&b->bytes, bytes);
}

void sc_beater_stop(struct sc_beater *b)
{
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->mutex);
    b->stopping = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->mutex);
    pthread_join(b->thread, NULL);
    sc_beater_phase(b, "end");
    beat(b);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->mutex);
    free(b);
}
