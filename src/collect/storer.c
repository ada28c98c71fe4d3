// SPDX-License-Identifier: BSD-3-Clause
#include "collect/storer.h"

#include "base/clock.h"
#include "base/hash.h"
#include "collect/window_clock.h"
#include "store/elements.h"
#include "store/horizon.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SYNC_AFTER_MS      400u /* after the first append that is not durable */
#define SYNC_BYTES         ((size_t)64 << 20)
#define RETENTION_EVERY_MS 60000u
#define RETRY_FIRST_MS     100u
#define RETRY_MOST_MS      5000u
#define PATIENCE_MS        10000u
#define REMIND_MS          60000u

struct parcel_list {
    struct sc_parcel *first, *last;
    size_t memory;
};

struct sc_storer {
    struct sc_storer_options options;
    struct sc_store_writer *writer;
    pthread_t thread;
    char *path;

    /* of the store thread alone: */
    struct parcel_list again;    /* to be appended before what is in the queue */
    struct parcel_list unsynced; /* appended, not known to be durable */
    uint64_t first_unsynced_ms;
    uint64_t retry_at_ms, retry_pause_ms;
    uint64_t blocked_since_ms, reminded_ms;
    uint64_t ending_since_ms; /* the queue was found closed; 0: it is open */
    uint64_t next_second_ms, next_retention_ms;
    struct sc_window_clock windows;
    uint64_t newest_window_ms; /* import */
    struct sc_elements elements;
    struct sc_drops drops; /* of this process, all */
    struct sc_drop_teller teller;
    uint64_t drop_stream;
    char host[SC_PROXY_NAME_MAX];
    struct sc_storer_stats stats;
    enum sc_status result;
    struct sc_error error;

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_storer_stats published;
    struct sc_retention retention;
};

/* ---- lists ---- */

static void list_append(struct parcel_list *list, struct sc_parcel *parcel)
{
    parcel->next = NULL;
    if (list->last == NULL)
        list->first = parcel;
    else
        list->last->next = parcel;
    list->last = parcel;
    list->memory += parcel->memory;
}

static struct sc_parcel *list_take(struct parcel_list *list)
{
    struct sc_parcel *parcel = list->first;
    if (parcel == NULL)
        return NULL;
    list->first = parcel->next;
    if (list->first == NULL)
        list->last = NULL;
    list->memory -= parcel->memory;
    return parcel;
}

/* Puts all of `from` before what is in `to`. */
static void list_prepend_all(struct parcel_list *to, struct parcel_list *from)
{
    if (from->first == NULL)
        return;
    from->last->next = to->first;
    if (to->last == NULL)
        to->last = from->last;
    to->first = from->first;
    to->memory += from->memory;
    *from = (struct parcel_list){0};
}

/* ---- failure and recovery ---- */

static bool is_passing(enum sc_status status)
{
    return status == SC_FULL || status == SC_IO || status == SC_NOMEM || status == SC_NOTFOUND;
}

static void note_failure(struct sc_storer *s, const struct sc_error *err)
{
    uint64_t now = sc_clock_mono_ms();
    s->stats.retries++;
    snprintf(s->stats.problem, sizeof(s->stats.problem), "%.255s", err->message);
    if (!s->stats.blocked) {
        s->stats.blocked = true;
        s->blocked_since_ms = now;
        s->retry_pause_ms = RETRY_FIRST_MS;
        s->reminded_ms = now;
        if (err->status == SC_FULL)
            s->next_retention_ms = now; /* perhaps it can make room; from then on once a minute, as always */
        sc_log(&s->options.log, SC_LOG_ERROR,
               "%s; received flows are kept in memory and stored when this passes", err->message);
    } else {
        s->retry_pause_ms = s->retry_pause_ms * 2 < RETRY_MOST_MS ? s->retry_pause_ms * 2 : RETRY_MOST_MS;
        if (now - s->reminded_ms >= REMIND_MS) {
            s->reminded_ms = now;
            sc_log(&s->options.log, SC_LOG_ERROR, "%s; for %llu s now", err->message,
                   (unsigned long long)(now - s->blocked_since_ms) / 1000);
        }
    }
    s->retry_at_ms = now + s->retry_pause_ms;
}

static void note_success(struct sc_storer *s)
{
    if (!s->stats.blocked)
        return;
    s->stats.blocked = false;
    s->stats.problem[0] = '\0';
    sc_log(&s->options.log, SC_LOG_WARNING, "the store takes flows again after %llu s",
           (unsigned long long)(sc_clock_mono_ms() - s->blocked_since_ms) / 1000);
}

/* What a failed file held may not be durable: it is appended once more, under the same batch ids. */
static void append_unsynced_again(struct sc_storer *s)
{
    list_prepend_all(&s->again, &s->unsynced);
}

/* Answers over its window tell it, where that can still be written; but a capture can be imported again. */
static void record_lost(struct sc_storer *s, const struct sc_parcel *parcel)
{
    struct sc_drops lost = {0};
    sc_drops_note(&lost, parcel->batch, SC_DROP_STORE);
    if (!s->options.import)
        sc_drops_add(&s->drops, &lost);
    sc_drop_teller_tell(&s->teller, &lost, sc_clock_mono_ms(), &s->options.log);
    sc_drops_free(&lost);
}

static void give_up(struct sc_storer *s, struct sc_parcel *parcel, const struct sc_error *err)
{
    if (s->stats.lost_records == 0)
        sc_log(&s->options.log, SC_LOG_ERROR, "records are lost: %s", err->message);
    s->stats.lost_records += parcel->batch->rows;
    s->result = err->status;
    s->error = *err;
    record_lost(s, parcel);
    sc_queue_done(s->options.queue, parcel);
}

/* ---- windows ---- */

static uint64_t window_length(const struct sc_storer *s)
{
    return (uint64_t)s->options.window_s * 1000;
}

static void seal(struct sc_storer *s, uint64_t before_ms)
{
    struct sc_error err;
    if (sc_store_writer_seal(s->writer, before_ms, &err) == SC_OK)
        return;
    append_unsynced_again(s);
    if (s->again.first != NULL)
        note_failure(s, &err);
    else
        sc_log(&s->options.log, SC_LOG_WARNING, "%s; the windows stay readable in their live files",
               err.message);
}

static void seal_ended(struct sc_storer *s)
{
    uint64_t window_ms;
    while (sc_window_clock_due(&s->windows, sc_clock_mono_ms(), &window_ms))
        seal(s, window_ms + window_length(s));
}

/* Import: a window is sealed when the data is two windows on. Late records open it again; all are sealed at
 * the end. */
static void seal_passed(struct sc_storer *s, uint64_t window_ms)
{
    if (window_ms <= s->newest_window_ms)
        return;
    s->newest_window_ms = window_ms;
    seal(s, window_ms);
}

/* ---- appending ---- */

static void sync_now(struct sc_storer *s)
{
    struct sc_error err;
    struct sc_parcel *parcel;
    if (s->unsynced.first == NULL)
        return;
    sc_elements_write(&s->elements);
    if (sc_store_writer_sync(s->writer, &err) != SC_OK) {
        append_unsynced_again(s);
        note_failure(s, &err);
        return;
    }
    note_success(s);
    while ((parcel = list_take(&s->unsynced)) != NULL)
        sc_queue_done(s->options.queue, parcel);
}

static void append(struct sc_storer *s, struct sc_parcel *parcel)
{
    struct sc_error err;
    enum sc_status status = sc_store_writer_append(s->writer, parcel->batch, &err);
    if (status == SC_OK) {
        if (s->unsynced.first == NULL)
            s->first_unsynced_ms = sc_clock_mono_ms();
        list_append(&s->unsynced, parcel);
        if (s->options.import)
            seal_passed(s, parcel->batch->window_ms);
        else
            sc_window_clock_note(&s->windows, parcel->batch->window_ms, window_length(s));
        sc_elements_learn(&s->elements, parcel->batch);
        return;
    }
    if (!is_passing(status)) {
        give_up(s, parcel, &err);
        return;
    }
    struct parcel_list failed = {0};
    list_append(&failed, parcel);
    list_prepend_all(&s->again, &failed);
    append_unsynced_again(s);
    note_failure(s, &err);
}

/* ---- once a second ---- */

static void run_retention(struct sc_storer *s)
{
    struct sc_retention retention;
    pthread_mutex_lock(&s->mutex);
    retention = s->retention;
    pthread_mutex_unlock(&s->mutex);
    if (s->options.import || (retention.age_s == 0 && retention.bytes == 0))
        return;
    struct sc_expiry expiry = {0};
    struct sc_error err;
    if (sc_store_expire(s->path, &retention, sc_clock_wall_ms(), false, s->options.io, &expiry, &err) !=
        SC_OK) {
        sc_log(&s->options.log, SC_LOG_WARNING, "retention: %s", err.message);
        return;
    }
    s->stats.expired_windows += expiry.windows;
    s->stats.expired_bytes += expiry.bytes;
    if (expiry.windows != 0)
        sc_log(&s->options.log, SC_LOG_INFO, "retention: %llu windows, %llu bytes deleted",
               (unsigned long long)expiry.windows, (unsigned long long)expiry.bytes);
}

/* What the receivers dropped: told, and recorded so that answers tell it too. What cannot be written now is with the next. */
static enum sc_status record_drops(struct sc_storer *s, struct sc_error *err)
{
    struct sc_drops drops = sc_queue_take_drops(s->options.queue);
    sc_drops_add(&s->drops, &drops);
    sc_drop_teller_tell(&s->teller, &drops, sc_clock_mono_ms(), &s->options.log);
    sc_drops_free(&drops);
    return sc_drops_write(&s->drops, s->path, s->host, s->drop_stream, s->options.window_s, err);
}

static void publish(struct sc_storer *s)
{
    sc_store_writer_stats(s->writer, &s->stats.store);
    sc_disk_look(s->path, &s->stats.disk);
    pthread_mutex_lock(&s->mutex);
    s->published = s->stats;
    pthread_mutex_unlock(&s->mutex);
}

static void each_second(struct sc_storer *s, uint64_t now)
{
    if (now < s->next_second_ms)
        return;
    s->next_second_ms = now + 1000;
    if (!s->options.import)
        seal_ended(s);
    sc_elements_write(&s->elements);
    (void)record_drops(s, NULL);
    if (now >= s->next_retention_ms) {
        s->next_retention_ms = now + RETENTION_EVERY_MS;
        run_retention(s);
    }
    publish(s);
}

/* ---- the thread ---- */

static uint64_t until(uint64_t deadline, uint64_t now)
{
    return deadline > now ? deadline - now : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The next parcel, waiting for one no longer than to the next duty. NULL: do the duties. */
static struct sc_parcel *next_parcel(struct sc_storer *s, uint64_t now)
{
    uint64_t wait = until(s->next_second_ms, now);
    if (s->unsynced.first != NULL)
        wait = least(wait, until(s->first_unsynced_ms + SYNC_AFTER_MS, now));
    if (s->stats.blocked && s->again.first != NULL) {
        uint64_t pause = least(until(s->retry_at_ms, now), wait);
        if (until(s->retry_at_ms, now) != 0) {
            struct timespec nap = {.tv_sec = (time_t)(pause / 1000),
                                   .tv_nsec = (long)(pause % 1000) * 1000000};
            nanosleep(&nap, NULL);
            return NULL;
        }
    }
    if (s->again.first != NULL)
        return list_take(&s->again);
    return sc_queue_pop(s->options.queue, wait);
}

/* Whatever the disk did before: at the end it is tried at once, and again as if it had just failed. */
static void note_ending(struct sc_storer *s, uint64_t now)
{
    if (s->ending_since_ms != 0 || !sc_queue_is_closed(s->options.queue))
        return;
    s->ending_since_ms = now;
    s->retry_at_ms = now;
    s->retry_pause_ms = RETRY_FIRST_MS;
}

static bool is_hopeless(const struct sc_storer *s, uint64_t now)
{
    bool ending = s->ending_since_ms != 0;
    uint64_t since = s->blocked_since_ms;
    if (ending && !s->options.import && s->ending_since_ms > since)
        since = s->ending_since_ms;
    return s->stats.blocked && (ending || s->options.import) && now >= since + s->options.patience_ms;
}

static void lose_everything(struct sc_storer *s)
{
    struct sc_error err = {.status = SC_IO};
    struct sc_parcel *parcel;
    snprintf(err.message, sizeof(err.message), "%s", s->stats.problem);
    sc_queue_close(s->options.queue);
    append_unsynced_again(s);
    while ((parcel = list_take(&s->again)) != NULL || (parcel = sc_queue_pop(s->options.queue, 0)) != NULL)
        give_up(s, parcel, &err);
}

static void record_last_drops(struct sc_storer *s)
{
    struct sc_error err;
    s->teller.next_ms = 0; /* the last word */
    if (record_drops(s, &err) != SC_OK)
        sc_log(&s->options.log, SC_LOG_ERROR, "answers will not tell that records were dropped: %s",
               err.message);
}

static void *run(void *arg)
{
    struct sc_storer *s = arg;
    pthread_setname_np(pthread_self(), "sc-store");
    for (;;) {
        uint64_t now = sc_clock_mono_ms();
        each_second(s, now);
        note_ending(s, now);
        if (is_hopeless(s, now)) {
            lose_everything(s);
            break;
        }
        struct sc_parcel *parcel = next_parcel(s, now);
        if (parcel != NULL)
            append(s, parcel);
        now = sc_clock_mono_ms();
        bool finished = s->again.first == NULL && sc_queue_is_finished(s->options.queue);
        if (finished || s->unsynced.memory > SYNC_BYTES || now >= s->first_unsynced_ms + SYNC_AFTER_MS)
            sync_now(s);
        if (finished && s->again.first == NULL)
            break;
    }
    sc_elements_write(&s->elements);
    record_last_drops(s);
    publish(s);
    return NULL;
}

/* ---- outside the thread ---- */

/* Live files that an earlier process left are sealed like those of this one. */
static void seal_leftovers(struct sc_storer *s)
{
    uint64_t now = sc_clock_wall_ms(), window_ms = now - now % window_length(s);
    struct sc_error err;
    if (s->options.import)
        return;
    if (sc_store_writer_seal(s->writer, window_ms, &err) != SC_OK)
        sc_log(&s->options.log, SC_LOG_WARNING, "%s; the windows stay readable in their live files",
               err.message);
    sc_window_clock_note(&s->windows, window_ms, window_length(s));
}

static void free_storer(struct sc_storer *s)
{
    sc_elements_free(&s->elements);
    sc_drops_free(&s->drops);
    pthread_mutex_destroy(&s->mutex);
    free(s->path);
    free(s);
}

enum sc_status sc_storer_start(const struct sc_storer_options *options, struct sc_storer **out,
                               struct sc_error *err)
{
    struct sc_storer *s = calloc(1, sizeof(*s));
    if (s == NULL || (s->path = strdup(options->store)) == NULL) {
        free(s);
        return sc_fail_nomem(err, "the store thread");
    }
    pthread_mutex_init(&s->mutex, NULL);
    s->options = *options;
    s->options.store = s->path;
    if (s->options.patience_ms == 0)
        s->options.patience_ms = PATIENCE_MS;
    s->retention = options->retention;
    const struct sc_store_options how = {
        .window_s = options->window_s, .io = options->io, .log = &s->options.log};
    s->writer = sc_store_writer_open(s->path, &how, err);
    if (s->writer == NULL) {
        enum sc_status status = err == NULL ? SC_IO : err->status;
        free_storer(s);
        return status;
    }
    (void)sc_store_prepare_horizon(s->path, s->options.io,
                                   NULL); /* else retention tells it, when it comes to that */
    sc_elements_init(&s->elements, s->path, s->options.io, &s->options.log);
    s->next_second_ms = sc_clock_mono_ms();
    s->drop_stream = sc_hash_draw_seed();
    if (gethostname(s->host, sizeof(s->host) - 1) != 0 || s->host[0] == '\0')
        snprintf(s->host, sizeof(s->host), "collector");
    seal_leftovers(s);
    publish(s);
    int failed = pthread_create(&s->thread, NULL, run, s);
    if (failed != 0) {
        sc_store_writer_close(s->writer, NULL);
        free_storer(s);
        return sc_fail_errno(err, failed, "cannot start the store thread");
    }
    *out = s;
    return SC_OK;
}

void sc_storer_set_retention(struct sc_storer *storer, const struct sc_retention *retention)
{
    pthread_mutex_lock(&storer->mutex);
    storer->retention = *retention;
    pthread_mutex_unlock(&storer->mutex);
}

void sc_storer_get_stats(struct sc_storer *storer, struct sc_storer_stats *out)
{
    pthread_mutex_lock(&storer->mutex);
    *out = storer->published;
    pthread_mutex_unlock(&storer->mutex);
}

enum sc_status sc_storer_finish(struct sc_storer *storer, bool seal_all, struct sc_storer_stats *stats,
                                struct sc_error *err)
{
    pthread_join(storer->thread, NULL);
    enum sc_status status = storer->result;
    if (status != SC_OK && err != NULL)
        *err = storer->error;
    if (seal_all) {
        enum sc_status sealed =
            sc_store_writer_seal(storer->writer, UINT64_MAX, status == SC_OK ? err : NULL);
        status = status == SC_OK ? sealed : status;
    }
    sc_store_writer_stats(storer->writer, &storer->stats.store);
    if (stats != NULL)
        *stats = storer->stats;
    enum sc_status closed = sc_store_writer_close(storer->writer, status == SC_OK ? err : NULL);
    free_storer(storer);
    return status == SC_OK ? closed : status;
}
