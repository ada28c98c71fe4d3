// SPDX-License-Identifier: BSD-3-Clause
#include "collect/storer.h"

#include "base/clock.h"
#include "base/hash.h"
#include "collect/stores.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SYNC_AFTER_MS  400u /* after the first append that is not durable */
#define SYNC_BYTES     ((uint64_t)64 << 20)
#define RETRY_FIRST_MS 100u
#define RETRY_MOST_MS  5000u
#define PATIENCE_MS    10000u
#define REMIND_MS      60000u

struct parcel_list {
    struct sc_parcel *first, *last;
};

struct sc_storer {
    struct sc_storer_options options;
    struct sc_stores stores;
    pthread_t thread;

    /* of the store thread alone: */
    struct parcel_list again;    /* to be appended before what is in the queue */
    struct parcel_list unsynced; /* appended, not known to be durable */
    uint64_t retry_at_ms, retry_pause_ms;
    uint64_t reminded_ms;
    uint64_t ending_since_ms; /* the queue was found closed; 0: it is open */
    struct sc_drops drops;    /* of this process, all */
    struct sc_drop_teller teller;
    uint64_t drop_stream;
    char host[SC_PROXY_NAME_MAX];
    struct sc_storer_stats stats;
    enum sc_status result;
    struct sc_error error;

    pthread_mutex_t mutex; /* what follows is shared */
    struct sc_storer_stats published;
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
}

static struct sc_parcel *list_take(struct parcel_list *list)
{
    struct sc_parcel *parcel = list->first;
    if (parcel == NULL)
        return NULL;
    list->first = parcel->next;
    if (list->first == NULL)
        list->last = NULL;
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
    *from = (struct parcel_list){0};
}

/* ---- failure and recovery ---- */

static void note_failure(struct sc_storer *s, const struct sc_error *err)
{
    uint64_t now = sc_clock_mono_ms();
    s->stats.retries++;
    snprintf(s->stats.problem, sizeof(s->stats.problem), "%.255s", err->message);
    if (!s->stats.blocked) {
        s->stats.blocked = true;
        s->stats.blocked_ms = now;
        s->retry_pause_ms = RETRY_FIRST_MS;
        s->reminded_ms = now;
        sc_log_complain(&s->options.log, SC_LOG_ERROR, "",
                        "%s; received flows are kept in memory and stored when this passes", err->message);
    } else {
        s->retry_pause_ms = s->retry_pause_ms * 2 < RETRY_MOST_MS ? s->retry_pause_ms * 2 : RETRY_MOST_MS;
        if (now - s->reminded_ms >= REMIND_MS) {
            s->reminded_ms = now;
            sc_log(&s->options.log, SC_LOG_ERROR, "%s; for %llu s now", err->message,
                   (unsigned long long)(now - s->stats.blocked_ms) / 1000);
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
    sc_log_complain(&s->options.log, SC_LOG_WARNING, "", "the store takes flows again after %llu s",
                    (unsigned long long)(sc_clock_mono_ms() - s->stats.blocked_ms) / 1000);
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

/* ---- appending ---- */

static void on_committed(void *arg, const struct sc_error *failure)
{
    struct sc_storer *s = arg;
    struct sc_parcel *parcel;
    if (failure != NULL) {
        append_unsynced_again(s);
        note_failure(s, failure);
        return;
    }
    note_success(s);
    while ((parcel = list_take(&s->unsynced)) != NULL)
        sc_queue_done(s->options.queue, parcel);
}

static void on_wiped(void *arg)
{
    struct sc_storer *s = arg;
    sc_drops_rewrite(&s->drops);
}

/* More comes than is compressed in time. An import can wait. */
static bool is_behind(const struct sc_storer *s)
{
    struct sc_queue_stats stats;
    sc_queue_get_stats(s->options.queue, &stats);
    return !s->options.import && stats.waiting > 1;
}

static void append(struct sc_storer *s, struct sc_parcel *parcel)
{
    struct sc_error err;
    enum sc_status status = sc_stores_append(&s->stores, parcel->batch, parcel->memory, is_behind(s), &err);
    if (status != SC_OK && !sc_stores_is_passing(status)) {
        give_up(s, parcel, &err);
        return;
    }
    list_append(&s->unsynced, parcel);
    if (status != SC_OK)
        on_committed(s, &err);
}

/* ---- once a second ---- */

/* What the receivers dropped: told, and recorded so that answers tell it too. What cannot be written now is with the next. */
static enum sc_status record_drops(struct sc_storer *s, struct sc_error *err)
{
    struct sc_drops drops = sc_queue_take_drops(s->options.queue);
    sc_drops_add(&s->drops, &drops);
    sc_drop_teller_tell(&s->teller, &drops, sc_clock_mono_ms(), &s->options.log);
    sc_drops_free(&drops);
    return sc_drops_write(&s->drops, s->stores.options.path, s->host, s->drop_stream, s->options.window_s,
                          s->options.io, err);
}

static void publish(struct sc_storer *s)
{
    sc_stores_get_stats(&s->stores, &s->stats.stores);
    pthread_mutex_lock(&s->mutex);
    s->published = s->stats;
    pthread_mutex_unlock(&s->mutex);
}

static void each_second(struct sc_storer *s, uint64_t now)
{
    if (!sc_stores_each_second(&s->stores, now))
        return;
    (void)record_drops(s, NULL);
    publish(s);
}

/* ---- the thread ---- */

/* The next parcel, waiting for one no longer than to the next duty. NULL: do the duties. */
static struct sc_parcel *next_parcel(struct sc_storer *s, uint64_t now)
{
    uint64_t wait = sc_stores_wait(&s->stores, now);
    if (s->again.first == NULL)
        return sc_queue_pop(s->options.queue, wait);
    if (!s->stats.blocked || now >= s->retry_at_ms)
        return list_take(&s->again);
    uint64_t pause = s->retry_at_ms - now < wait ? s->retry_at_ms - now : wait;
    struct timespec nap = {.tv_sec = (time_t)(pause / 1000), .tv_nsec = (long)(pause % 1000) * 1000000};
    nanosleep(&nap, NULL);
    return NULL;
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
    uint64_t since = s->stats.blocked_ms;
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
        bool finished = s->again.first == NULL && sc_queue_is_finished(s->options.queue);
        if (finished || sc_stores_commit_due(&s->stores, sc_clock_mono_ms()))
            sc_stores_commit(&s->stores);
        if (finished && s->again.first == NULL)
            break;
    }
    record_last_drops(s);
    publish(s);
    return NULL;
}

/* ---- outside the thread ---- */

static void free_storer(struct sc_storer *s)
{
    sc_drops_free(&s->drops);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static enum sc_status open_and_run(struct sc_storer *s, struct sc_error *err)
{
    const struct sc_stores_options how = {.path = s->options.store,
                                          .window_s = s->options.window_s,
                                          .import = s->options.import,
                                          .commit_ms = SYNC_AFTER_MS,
                                          .commit_bytes = SYNC_BYTES,
                                          .retention = s->options.retention,
                                          .archive = s->options.archive,
                                          .verify = s->options.verify,
                                          .io = s->options.io,
                                          .log = &s->options.log,
                                          .committed = on_committed,
                                          .wiped = on_wiped,
                                          .arg = s};
    SC_TRY(sc_stores_open(&s->stores, &how, err));
    publish(s);
    int failed = pthread_create(&s->thread, NULL, run, s);
    if (failed == 0)
        return SC_OK;
    sc_stores_close(&s->stores, false, NULL, NULL);
    return sc_fail_errno(err, failed, "cannot start the store thread");
}

enum sc_status sc_storer_start(const struct sc_storer_options *options, struct sc_storer **out,
                               struct sc_error *err)
{
    struct sc_error unwanted;
    struct sc_storer *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return sc_fail_nomem(err, "the store thread");
    pthread_mutex_init(&s->mutex, NULL);
    s->options = *options;
    if (s->options.patience_ms == 0)
        s->options.patience_ms = PATIENCE_MS;
    s->drop_stream = sc_hash_draw_seed();
    if (gethostname(s->host, sizeof(s->host) - 1) != 0 || s->host[0] == '\0')
        snprintf(s->host, sizeof(s->host), "collector");
    enum sc_status status = open_and_run(s, err == NULL ? &unwanted : err);
    if (status == SC_OK)
        *out = s;
    else
        free_storer(s);
    return status;
}

enum sc_status sc_storer_set_archive(struct sc_storer *storer, const struct sc_archive_command *command)
{
    return sc_stores_set_archive(&storer->stores, command);
}

void sc_storer_set_retention(struct sc_storer *storer, const struct sc_retention *retention)
{
    sc_stores_set_retention(&storer->stores, retention);
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
    enum sc_status closed =
        sc_stores_close(&storer->stores, seal_all, &storer->stats.stores, status == SC_OK ? err : NULL);
    if (stats != NULL)
        *stats = storer->stats;
    free_storer(storer);
    return status == SC_OK ? closed : status;
}
