// SPDX-License-Identifier: BSD-3-Clause
#include "relay/lane_store.h"

#include "base/array.h"
#include "base/clock.h"
#include "collect/disk.h"
#include "collect/window_clock.h"
#include "relay/lane_names.h"
#include "relay/stream_keeper.h"
#include "store/elements.h"
#include "store/horizon.h"
#include "store/span_set.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIGHT_BYTES        ((uint64_t)64 << 20)
#define SYNC_BYTES         ((uint64_t)16 << 20)
#define SYNC_AFTER_MS      200u
#define LEAST_FREE         ((uint64_t)64 << 20)
#define FULL_FOR_MS        5000u
#define RETENTION_EVERY_MS 60000u
#define REMEMBERED_IDS     (1u << 20) /* of each of two generations */
#define NEWS_MS            50u        /* of the disk's time that news may take in one go */
#define STOPPING_MS        10000u     /* of the last go */
#define ANSWERS_BACK       8u         /* lanes take turns: the one before is among the last */
#define LANE_DESCRIPTORS   6u /* of one lane: its lock, one live file, three of a seal; its streams' folder */
#define LAST_WINDOW_MS     UINT64_C(7258118400000) /* the year 2200: later ones would only litter the store */

/* The store of one lane. */
struct lane {
    uint32_t lane;
    bool own;
    char *path;
    struct sc_store_writer *writer;
    struct sc_window_clock windows;
    bool dirty;
};

/* Of a proxy: a tally, or its stream. */
struct news {
    struct news *next;
    char proxy[SC_PROXY_NAME_MAX];
    bool is_tally;
    struct sc_link_tally tally;
    struct sc_link_stream stream;
};

/* What one proxy has of what all share. */
struct share {
    char proxy[SC_PROXY_NAME_MAX];
    uint32_t waiting; /* of its news */
};

struct sc_lane_store {
    struct sc_lane_store_options options;
    pthread_t thread;
    char *path;
    uint32_t own_lane;

    /* of the thread alone */
    struct sc_cluster cluster; /* for the names of lanes */
    struct lane *lanes;
    uint32_t lane_count;
    struct sc_open_files open_files;        /* of all lanes */
    struct sc_span_set durable, earlier;    /* ids known to be here: the newer ones, those before */
    struct sc_lane_batch *unsynced, **last; /* appended */
    uint64_t unsynced_bytes, first_unsynced_ms;
    uint64_t next_second_ms, next_retention_ms;
    uint64_t full_until_ms;
    struct news *heard; /* in order; to be judged */
    struct sc_lane_names names;
    struct sc_stream_owners owners;
    struct sc_tally_keeper tallies;
    struct sc_stream_keeper streams;
    bool tallies_wait;           /* to be written without delay */
    uint64_t horizon_ms;         /* as the store has it */
    struct sc_elements elements; /* of all lanes: the whole store is asked at once */
    struct sc_lane_store_stats stats;

    pthread_mutex_t mutex; /* what follows is shared */
    pthread_cond_t wake;
    struct sc_lane_batch *waiting, **waiting_last;
    uint64_t waiting_bytes;
    struct news *news; /* the newest first; the thread takes them when it has judged the others */
    struct sc_lane_batch *answers, **answers_last; /* batches that are done with */
    struct share *shares;                          /* by member, few */
    uint32_t share_count;
    struct sc_cluster fresh; /* to be taken over; no members: none */
    struct sc_retention retention;
    bool stopping;
    struct sc_lane_store_stats published;
};

/* ---- answers ---- */

/* The batch itself is the answer: it needs no memory, so that none is ever owed. */
static void done(struct sc_lane_store *s, struct sc_lane_batch *b, enum sc_lane_outcome outcome)
{
    b->outcome = outcome;
    b->next = NULL;
    pthread_mutex_lock(&s->mutex);
    s->waiting_bytes -= b->head.size;
    *s->answers_last = b;
    s->answers_last = &b->next;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- lanes ---- */

static void lane_path(const struct sc_lane_store *s, uint32_t lane, bool own, char *out, size_t size)
{
    char folder[SC_LANE_FOLDER_MAX];
    sc_lane_names_folder(&s->names, &s->cluster, lane, folder);
    if (own)
        snprintf(out, size, "%s", s->path);
    else
        snprintf(out, size, "%s/" SC_REPLICA_FOLDER "/%s", s->path, folder);
}

/* What came before the member was known lies under its lane's number: it moves to the name. */
static void adopt_unnamed(const struct sc_lane_store *s, uint32_t lane, const char *path)
{
    char before[4096];
    snprintf(before, sizeof(before), "%s/" SC_REPLICA_FOLDER "/lane-%08x", s->path, lane);
    if (strcmp(before, path) != 0 && access(path, F_OK) != 0)
        (void)rename(before, path); /* mostly there is none */
}

static enum sc_status open_lane(struct sc_lane_store *s, uint32_t number, struct lane **out,
                                struct sc_error *err)
{
    char path[4096];
    bool own = s->own_lane == number;
    if (!sc_array_more(s->lanes, s->lane_count, 1))
        return sc_fail_nomem(err, "a lane");
    lane_path(s, number, own, path, sizeof(path));
    if (!own)
        adopt_unnamed(s, number, path);
    const struct sc_store_options how = {.window_s = s->options.window_s,
                                         .lane = number,
                                         .io = s->options.io,
                                         .log = &s->options.log,
                                         .open_files = &s->open_files};
    struct lane *l = &s->lanes[s->lane_count];
    *l = (struct lane){.lane = number, .own = own, .path = strdup(path)};
    if (l->path == NULL)
        return sc_fail_nomem(err, "a lane");
    l->writer = sc_store_writer_open(path, &how, err);
    if (l->writer == NULL) {
        free(l->path);
        return err->status;
    }
    uint64_t now = sc_clock_wall_ms(), length = (uint64_t)s->options.window_s * 1000;
    (void)sc_store_writer_seal(l->writer, now - now % length, NULL); /* what an earlier process left */
    sc_window_clock_note(&l->windows, now - now % length, length);
    s->lane_count++;
    s->open_files.most = SC_LANE_FILES + s->lane_count;
    *out = l;
    return SC_OK;
}

static enum sc_status find_lane(struct sc_lane_store *s, uint32_t number, struct lane **out,
                                struct sc_error *err)
{
    for (uint32_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].lane == number) {
            *out = &s->lanes[i];
            return SC_OK;
        }
    }
    return open_lane(s, number, out, err);
}

/* ---- ids that are here ---- */

static struct sc_span span_of(const struct sc_batch_id *id)
{
    return (struct sc_span){.stream = id->stream, .lane = id->lane, .sequence = id->sequence};
}

static bool is_here(const struct sc_lane_store *s, const struct sc_batch_id *id)
{
    struct sc_span span = span_of(id);
    return sc_span_set_has(&s->durable, &span) || sc_span_set_has(&s->earlier, &span);
}

/* Forgetting costs disk, no truth: readers count an id once. */
static void remember(struct sc_lane_store *s, const struct sc_batch_id *id)
{
    struct sc_span span = span_of(id);
    bool fresh;
    if (s->durable.count >= REMEMBERED_IDS) {
        sc_span_set_free(&s->earlier);
        s->earlier = s->durable;
        s->durable = (struct sc_span_set){0};
    }
    (void)sc_span_set_add(&s->durable, &span, &fresh);
}

/* ---- judging ---- */

static void note(struct sc_lane_store *s, enum sc_refusal why, const char *proxy)
{
    sc_refusals_note(s->options.refusals, &s->options.log, why, proxy, sc_clock_mono_ms());
}

/* A proxy can send as many of these as it likes. */
static void note_damage(struct sc_lane_store *s, const char *proxy, const struct sc_error *err)
{
    char what[160];
    s->stats.damaged++;
    snprintf(what, sizeof(what), "%.63s: %.94s", proxy, err->message);
    note(s, SC_REFUSAL_BATCH, what);
}

static bool is_window(uint64_t window_ms, uint32_t window_s)
{
    return window_ms % ((uint64_t)window_s * 1000) == 0 && window_ms < LAST_WINDOW_MS;
}

/* Of a batch or a tally; lanes are judged when the rest is good. */
static enum sc_refusal judge(struct sc_lane_store *s, const char *proxy, uint64_t stream, uint64_t window_ms)
{
    if (window_ms > sc_clock_wall_ms() + SC_WINDOW_AHEAD_MS)
        return SC_REFUSAL_WINDOW;
    return sc_stream_owners_claim(&s->owners, &s->cluster, stream, proxy) ? SC_REFUSAL_NONE
                                                                          : SC_REFUSAL_STREAM;
}

/* ---- storing ---- */

static void refuse(struct sc_lane_store *s, struct sc_lane_batch *b, const struct sc_error *err)
{
    uint64_t now = sc_clock_mono_ms();
    s->stats.refused++;
    if (now >= s->full_until_ms)
        sc_log(&s->options.log, SC_LOG_ERROR, "%s; the proxies keep their batches and send them elsewhere",
               err->message);
    s->full_until_ms = now + FULL_FOR_MS;
    done(s, b, SC_LANE_LOST);
}

/* Everything since the last good sync may be lost with its file. */
static void refuse_unsynced(struct sc_lane_store *s, const struct sc_error *err)
{
    while (s->unsynced != NULL) {
        struct sc_lane_batch *b = s->unsynced;
        s->unsynced = b->next;
        refuse(s, b, err);
    }
    s->last = &s->unsynced;
    s->unsynced_bytes = 0;
}

static void sync_all(struct sc_lane_store *s)
{
    struct sc_error err = {0};
    enum sc_status status = SC_OK;
    if (s->unsynced == NULL)
        return;
    sc_elements_write(&s->elements); /* an exporter need not tell again what is acknowledged */
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct lane *l = &s->lanes[i];
        enum sc_status one =
            l->dirty ? sc_store_writer_sync(l->writer, status == SC_OK ? &err : NULL) : SC_OK;
        l->dirty = false;
        status = status == SC_OK ? one : status;
    }
    if (status != SC_OK) {
        refuse_unsynced(s, &err);
        s->options.answered(s->options.arg);
        return;
    }
    while (s->unsynced != NULL) {
        struct sc_lane_batch *b = s->unsynced;
        s->unsynced = b->next;
        s->stats.batches++;
        s->stats.records += b->head.records;
        remember(s, &b->head.id);
        done(s, b, SC_LANE_DURABLE);
    }
    s->last = &s->unsynced;
    s->unsynced_bytes = 0;
    s->options.answered(s->options.arg);
}

static enum sc_status check_window(const struct sc_batch_head *h, uint32_t window_s, struct sc_error *err)
{
    if (h->window_s != window_s)
        return sc_fail(err, SC_USAGE,
                       "a proxy has windows of %u s, this node of %u s: they must be the same in a cluster",
                       h->window_s, window_s);
    if (!is_window(h->window_ms, window_s))
        return sc_fail(err, SC_USAGE,
                       "a proxy sends a window that begins %llu ms after 1970: is its clock right?",
                       (unsigned long long)h->window_ms);
    return SC_OK;
}

/* The head is what the proxy promised; the row group must be that batch. */
static enum sc_status check(const struct sc_lane_batch *b, uint32_t window_s, struct sc_encoded_group *out,
                            struct sc_error *err)
{
    const struct sc_batch_head *h = &b->head;
    SC_TRY(check_window(h, window_s, err));
    SC_TRY(sc_row_group_check(b->bytes, h->size, out, err));
    bool same = out->span.stream == h->id.stream && out->span.lane == h->id.lane &&
                out->span.sequence == h->id.sequence && out->ref.rows == h->records &&
                out->ref.record_kind == h->record_kind;
    if (same)
        return SC_OK;
    sc_encoded_group_free(out);
    return sc_fail(err, SC_DAMAGED, "a batch is not what it was announced as");
}

static enum sc_status append(struct sc_lane_store *s, const struct sc_lane_batch *b,
                             const struct sc_encoded_group *group, struct sc_error *err)
{
    struct lane *l;
    SC_TRY(find_lane(s, b->head.id.lane, &l, err));
    SC_TRY(sc_store_writer_append_encoded(l->writer, b->head.window_ms, group, err));
    l->dirty = true;
    sc_window_clock_note(&l->windows, b->head.window_ms, (uint64_t)s->options.window_s * 1000);
    return SC_OK;
}

static void turn_away(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    done(s, b, SC_LANE_REFUSED);
    s->options.answered(s->options.arg);
}

/* Bytes that are not those that were announced were changed on their way: they are to be sent again. */
static void not_whole(struct sc_lane_store *s, struct sc_lane_batch *b, const struct sc_error *err)
{
    bool changed = sc_link_hash(b->bytes, b->head.size) != b->head.hash;
    const struct sc_error why = {.message = "a batch was changed on its way"};
    note_damage(s, b->proxy, changed ? &why : err);
    done(s, b, changed ? SC_LANE_LOST : SC_LANE_REFUSED);
    s->options.answered(s->options.arg);
}

/* What is not taken is answered for. */
static bool is_taken(struct sc_lane_store *s, struct sc_lane_batch *b, struct sc_encoded_group *group)
{
    struct sc_error err;
    if (check(b, s->options.window_s, group, &err) != SC_OK) {
        not_whole(s, b, &err);
        return false;
    }
    enum sc_refusal why = judge(s, b->proxy, b->head.id.stream, b->head.window_ms);
    if (why == SC_REFUSAL_NONE && !sc_lane_names_admit(&s->names, &s->cluster, b->head.id.lane))
        why = SC_REFUSAL_LANE;
    if (why == SC_REFUSAL_NONE)
        return true;
    sc_encoded_group_free(group);
    note(s, why, b->proxy);
    turn_away(s, b);
    return false;
}

static void take(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    struct sc_encoded_group group;
    struct sc_error err = {0};
    b->next = NULL;
    if (is_here(s, &b->head.id)) {
        s->stats.duplicates++;
        done(s, b, SC_LANE_DURABLE);
        s->options.answered(s->options.arg);
        return;
    }
    if (!is_taken(s, b, &group))
        return;
    enum sc_status status = append(s, b, &group, &err);
    if (status == SC_OK)
        sc_elements_learn_encoded(&s->elements, &group);
    sc_encoded_group_free(&group);
    if (status != SC_OK) { /* the writer may have given up a file with unsynced batches in it */
        refuse_unsynced(s, &err);
        refuse(s, b, &err);
        s->options.answered(s->options.arg);
        return;
    }
    if (s->unsynced == NULL)
        s->first_unsynced_ms = sc_clock_mono_ms();
    *s->last = b;
    s->last = &b->next;
    s->unsynced_bytes += b->head.size;
}

/* ---- tallies ---- */

static enum sc_refusal judge_tally(struct sc_lane_store *s, const struct news *n)
{
    const struct sc_link_tally *t = &n->tally;
    if (t->window_s != s->options.window_s || !is_window(t->window_ms, s->options.window_s))
        return SC_REFUSAL_WINDOW; /* its batches are refused too */
    if (t->window_ms < s->horizon_ms)
        return SC_REFUSAL_EXPIRED;
    enum sc_refusal why = judge(s, n->proxy, t->stream, t->window_ms);
    if (why != SC_REFUSAL_NONE)
        return why;
    if (t->lane.lane == SC_DROPPED_LANE) /* what the proxy dropped: it has no folder */
        return SC_REFUSAL_NONE;
    return sc_lane_names_admit(&s->names, &s->cluster, t->lane.lane) ? SC_REFUSAL_NONE : SC_REFUSAL_LANE;
}

static void take_tally(struct sc_lane_store *s, const struct news *n)
{
    enum sc_refusal why = judge_tally(s, n);
    if (why == SC_REFUSAL_NONE)
        why = sc_tally_keeper_take(&s->tallies, n->proxy, &n->tally, sc_clock_mono_ms());
    if (why != SC_REFUSAL_NONE)
        note(s, why, n->proxy);
}

/* The proxy's share, made when missing; with the mutex. NULL without memory. */
static struct share *share_of(struct sc_lane_store *s, const char *proxy)
{
    for (uint32_t i = 0; i < s->share_count; i++) {
        if (strcmp(s->shares[i].proxy, proxy) == 0)
            return &s->shares[i];
    }
    if (!sc_array_more(s->shares, s->share_count, 1))
        return NULL;
    struct share *share = &s->shares[s->share_count++];
    *share = (struct share){0};
    snprintf(share->proxy, SC_PROXY_NAME_MAX, "%.63s", proxy);
    return share;
}

static void take_word(struct sc_lane_store *s, const struct news *n)
{
    enum sc_refusal why = sc_stream_keeper_take(&s->streams, n->proxy, &n->stream, sc_clock_mono_ms());
    if (why != SC_REFUSAL_NONE)
        note(s, why, n->proxy);
}

static struct news *collect_news(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct news *all = s->news, *in_order = NULL;
    s->news = NULL;
    for (uint32_t i = 0; i < s->share_count; i++)
        s->shares[i].waiting = 0;
    pthread_mutex_unlock(&s->mutex);
    while (all != NULL) { /* it was a stack */
        struct news *next = all->next;
        all->next = in_order;
        in_order = all;
        all = next;
    }
    return in_order;
}

static void take_one(struct sc_lane_store *s)
{
    struct news *n = s->heard;
    s->heard = n->next;
    if (n->is_tally)
        take_tally(s, n);
    else
        take_word(s, n);
    free(n);
}

/* Each may need a look at a file. One at least. @return whether there were any. */
static bool judge_news(struct sc_lane_store *s, uint64_t until_ms)
{
    bool any = false;
    do {
        if (s->heard == NULL)
            s->heard = collect_news(s);
        if (s->heard == NULL)
            return any;
        take_one(s);
        any = true;
    } while (sc_clock_mono_ms() < until_ms);
    return any;
}

/* Those that the disk does not take wait for the next news. */
static void write_tallies(struct sc_lane_store *s, uint64_t most_ms)
{
    uint32_t before = s->tallies.changed;
    (void)sc_tally_keeper_write(&s->tallies, sc_clock_mono_ms(), most_ms);
    s->tallies_wait = s->tallies.changed != 0 && s->tallies.changed < before;
}

/* One step at least. */
static void write_streams(struct sc_lane_store *s, uint64_t until_ms)
{
    struct sc_stream_step step;
    do {
        if (!sc_stream_keeper_step(&s->streams, sc_clock_mono_ms(), &step))
            return;
        if (step.why != SC_REFUSAL_NONE)
            note(s, step.why, step.proxy);
    } while (sc_clock_mono_ms() < until_ms);
}

/* Half of the time to judge what was heard, the rest to write it. What there was no time for waits for the next go. */
static void take_news(struct sc_lane_store *s, uint64_t most_ms)
{
    uint64_t begun_ms = sc_clock_mono_ms(), until_ms = begun_ms + most_ms;
    bool any = judge_news(s, begun_ms + most_ms / 2);
    if (any || s->tallies_wait) {
        uint64_t now_ms = sc_clock_mono_ms();
        write_tallies(s, now_ms < until_ms ? until_ms - now_ms : 0);
    }
    write_streams(s, until_ms);
}

/* ---- once a second ---- */

static void seal_ended(struct sc_lane_store *s, uint64_t now)
{
    uint64_t window_ms;
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct lane *l = &s->lanes[i];
        while (sc_window_clock_due(&l->windows, now, &window_ms)) {
            struct sc_error err;
            sync_all(s); /* sealing syncs: what it finds must have been answered for */
            if (sc_store_writer_seal(l->writer, window_ms + (uint64_t)s->options.window_s * 1000, &err) !=
                SC_OK)
                sc_log(&s->options.log, SC_LOG_WARNING, "%s; the windows stay readable in their live files",
                       err.message);
        }
    }
}

/* Of all lanes together. */
static void run_retention(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    const struct sc_retention now = s->retention, *retention = &now;
    pthread_mutex_unlock(&s->mutex);
    struct sc_expiry expiry = {0};
    struct sc_error err;
    if (retention->age_s == 0 && retention->bytes == 0)
        return;
    if (sc_store_expire(s->path, retention, sc_clock_wall_ms(), false, s->options.io, &expiry, &err) != SC_OK)
        sc_log(&s->options.log, SC_LOG_WARNING, "retention: %s", err.message);
    else if (expiry.windows != 0)
        sc_log(&s->options.log, SC_LOG_INFO, "retention: %llu windows, %llu bytes deleted",
               (unsigned long long)expiry.windows, (unsigned long long)expiry.bytes);
    s->horizon_ms = sc_store_horizon(s->path);
}

static void add_stats(struct sc_store_stats *sum, const struct sc_store_stats *one)
{
    sum->flows += one->flows;
    sum->options += one->options;
    sum->row_groups += one->row_groups;
    sum->bytes_written += one->bytes_written;
    sum->segments_sealed += one->segments_sealed;
    sum->sync_failures += one->sync_failures;
    sum->write_failures += one->write_failures;
    sum->full_events += one->full_events;
    sum->last_sync_ms = one->last_sync_ms > sum->last_sync_ms ? one->last_sync_ms : sum->last_sync_ms;
}

static void publish(struct sc_lane_store *s, uint64_t now)
{
    struct sc_disk disk = {s->stats.free_bytes, s->stats.size_bytes};
    sc_disk_look(s->path, &disk);
    s->stats.free_bytes = disk.free_bytes;
    s->stats.size_bytes = disk.size_bytes;
    s->stats.full = s->stats.free_bytes < LEAST_FREE || now < s->full_until_ms;
    s->stats.own = (struct sc_store_stats){0};
    s->stats.replicas = (struct sc_store_stats){0};
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct sc_store_stats one;
        sc_store_writer_stats(s->lanes[i].writer, &one);
        add_stats(s->lanes[i].own ? &s->stats.own : &s->stats.replicas, &one);
    }
    pthread_mutex_lock(&s->mutex);
    s->published = s->stats;
    pthread_mutex_unlock(&s->mutex);
}

static void each_second(struct sc_lane_store *s, uint64_t now)
{
    if (now < s->next_second_ms)
        return;
    s->next_second_ms = now + 1000;
    seal_ended(s, now);
    sc_elements_write(&s->elements);
    if (now >= s->next_retention_ms) {
        s->next_retention_ms = now + RETENTION_EVERY_MS;
        run_retention(s);
    }
    publish(s, now);
}

/* ---- other members ---- */

static bool gets_name(const struct sc_lane_store *s, const struct lane *l)
{
    char path[4096], unnamed[32];
    const char *name = strrchr(l->path, '/');
    snprintf(unnamed, sizeof(unnamed), "/lane-%08x", l->lane);
    lane_path(s, l->lane, l->own, path, sizeof(path));
    return !l->own && name != NULL && strcmp(name, unnamed) == 0 && strcmp(l->path, path) != 0;
}

/* Lanes that get a name are opened anew under it. */
static void take_members(struct sc_lane_store *s)
{
    uint32_t kept = 0;
    pthread_mutex_lock(&s->mutex);
    struct sc_cluster fresh = s->fresh;
    s->fresh = (struct sc_cluster){0};
    pthread_mutex_unlock(&s->mutex);
    if (fresh.count == 0)
        return;
    sc_lane_names_keep(&s->names, &s->cluster, &fresh);
    sc_cluster_free(&s->cluster);
    s->cluster = fresh;
    sync_all(s); /* closing syncs: what it finds must have been answered for */
    for (uint32_t i = 0; i < s->lane_count; i++) {
        struct lane *l = &s->lanes[i];
        if (!gets_name(s, l)) {
            s->lanes[kept++] = *l;
            continue;
        }
        sc_store_writer_close(l->writer, NULL);
        free(l->path);
    }
    s->lane_count = kept;
}

/* ---- the thread ---- */

/* All that waits, or NULL after a while. */
static struct sc_lane_batch *wait_for_batches(struct sc_lane_store *s, bool *stopping)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 50 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&s->mutex);
    while (s->waiting == NULL && !s->stopping) {
        if (pthread_cond_timedwait(&s->wake, &s->mutex, &until) == ETIMEDOUT)
            break;
    }
    struct sc_lane_batch *all = s->waiting;
    s->waiting = NULL;
    s->waiting_last = &s->waiting;
    *stopping = s->stopping;
    pthread_mutex_unlock(&s->mutex);
    return all;
}

static bool sync_due(const struct sc_lane_store *s)
{
    return s->unsynced_bytes > SYNC_BYTES ||
           (s->unsynced != NULL && sc_clock_mono_ms() >= s->first_unsynced_ms + SYNC_AFTER_MS);
}

static void *run(void *arg)
{
    struct sc_lane_store *s = arg;
    pthread_setname_np(pthread_self(), "sc-lanes");
    for (;;) {
        bool stopping;
        take_members(s);
        struct sc_lane_batch *all = wait_for_batches(s, &stopping);
        if (all == NULL && stopping)
            break;
        while (all != NULL) {
            struct sc_lane_batch *next = all->next;
            take(s, all);
            all = next;
            if (sync_due(s))
                sync_all(s);
        }
        if (sync_due(s))
            sync_all(s);
        take_news(s, NEWS_MS);
        each_second(s, sc_clock_mono_ms());
    }
    sync_all(s);
    take_news(s, STOPPING_MS);
    sc_elements_write(&s->elements);
    publish(s, sc_clock_mono_ms());
    return NULL;
}

/* ---- outside the thread ---- */

static void free_news(struct news *n)
{
    while (n != NULL) {
        struct news *next = n->next;
        free(n);
        n = next;
    }
}

static void free_store(struct sc_lane_store *s)
{
    for (uint32_t i = 0; i < s->lane_count; i++) {
        sc_store_writer_close(s->lanes[i].writer, NULL);
        free(s->lanes[i].path);
    }
    sc_lane_names_free(&s->names);
    sc_stream_keeper_free(&s->streams);
    sc_stream_owners_free(&s->owners);
    sc_tally_keeper_free(&s->tallies);
    free_news(s->heard);
    free_news(s->news);
    free(s->shares);
    sc_elements_free(&s->elements);
    sc_span_set_free(&s->durable);
    sc_span_set_free(&s->earlier);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    while (s->answers != NULL) {
        struct sc_lane_batch *b = s->answers;
        s->answers = b->next;
        free(b);
    }
    sc_cluster_free(&s->cluster);
    sc_cluster_free(&s->fresh);
    free(s->lanes);
    free(s->path);
    free(s);
}

enum sc_status sc_lane_store_start(const struct sc_lane_store_options *options, struct sc_lane_store **out,
                                   struct sc_error *err)
{
    struct sc_lane_store *s = calloc(1, sizeof(*s));
    struct sc_error unwanted;
    struct lane *own;
    if (err == NULL)
        err = &unwanted;
    pthread_condattr_t monotonic;
    if (s == NULL || (s->path = strdup(options->store)) == NULL ||
        sc_cluster_copy(options->cluster, &s->cluster) != SC_OK) {
        free(s == NULL ? NULL : s->path);
        free(s);
        return sc_fail_nomem(err, "the store thread");
    }
    s->options = *options;
    s->own_lane = s->cluster.members[options->self].lane;
    s->retention = options->retention;
    s->answers_last = &s->answers;
    s->owners.store = s->tallies.store = s->path;
    s->tallies.io = options->io;
    s->streams = (struct sc_stream_keeper){.store = s->path,
                                           .io = options->io,
                                           .cluster = &s->cluster,
                                           .owners = &s->owners,
                                           .tallies = &s->tallies};
    s->last = &s->unsynced;
    s->waiting_last = &s->waiting;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum sc_status status = find_lane(s, s->own_lane, &own, err);
    if (status == SC_OK) {
        char replicas[4096];
        snprintf(replicas, sizeof(replicas), "%s/" SC_REPLICA_FOLDER, s->path);
        if (mkdir(replicas, 0750) != 0 && errno != EEXIST)
            status = sc_fail_errno(err, errno, "cannot create %s", replicas);
    }
    if (status == SC_OK) {
        sc_lane_names_load(&s->names, s->path);
        (void)sc_store_prepare_horizon(s->path, s->options.io,
                                       NULL); /* else retention tells it, when it comes to that */
        s->horizon_ms = sc_store_horizon(s->path);
        sc_elements_init(&s->elements, s->path, s->options.io, &s->options.log);
        publish(s, sc_clock_mono_ms());
        int failed = pthread_create(&s->thread, NULL, run, s);
        if (failed != 0)
            status = sc_fail_errno(err, failed, "cannot start the store thread");
    }
    if (status != SC_OK) {
        free_store(s);
        return status;
    }
    *out = s;
    return SC_OK;
}

void sc_lane_store_push(struct sc_lane_store *s, struct sc_lane_batch *batch)
{
    batch->next = NULL;
    pthread_mutex_lock(&s->mutex);
    *s->waiting_last = batch;
    s->waiting_last = &batch->next;
    s->waiting_bytes += batch->head.size;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

static enum sc_refusal tell(struct sc_lane_store *s, const char *proxy, const struct news *what)
{
    struct news *n = malloc(sizeof(*n));
    if (n == NULL)
        return SC_REFUSAL_NONE;
    *n = *what;
    snprintf(n->proxy, sizeof(n->proxy), "%.63s", proxy);
    pthread_mutex_lock(&s->mutex);
    struct share *share = share_of(s, n->proxy);
    bool fits = share != NULL && share->waiting < SC_NEWS_EACH;
    if (fits) {
        share->waiting++;
        n->next = s->news;
        s->news = n;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!fits)
        free(n);
    return fits ? SC_REFUSAL_NONE : SC_REFUSAL_TALLIES;
}

enum sc_refusal sc_lane_store_tally(struct sc_lane_store *s, const char *proxy,
                                    const struct sc_link_tally *tally)
{
    return tell(s, proxy, &(struct news){.is_tally = true, .tally = *tally});
}

enum sc_refusal sc_lane_store_stream(struct sc_lane_store *s, const char *proxy,
                                     const struct sc_link_stream *stream)
{
    return tell(s, proxy, &(struct news){.stream = *stream});
}

uint32_t sc_lane_store_descriptors(uint32_t members)
{
    return SC_LANE_FILES + (members + SC_LANES_OTHER) * LANE_DESCRIPTORS;
}

bool sc_lane_store_tight(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    bool tight = s->waiting_bytes > TIGHT_BYTES;
    pthread_mutex_unlock(&s->mutex);
    return tight;
}

/* Adds it to one of the last answers, when it comes next behind that. */
static bool follows(struct sc_lane_answer *answers, uint32_t count, const struct sc_lane_batch *b)
{
    const struct sc_batch_id *id = &b->head.id;
    for (uint32_t back = 1; back <= count && back <= ANSWERS_BACK; back++) {
        struct sc_lane_answer *a = &answers[count - back];
        if (b->outcome == SC_LANE_DURABLE && a->outcome == SC_LANE_DURABLE &&
            a->connection == b->connection && a->id.stream == id->stream && a->id.lane == id->lane &&
            id->sequence != 0 && a->last == id->sequence - 1) {
            a->last = id->sequence;
            return true;
        }
    }
    return false;
}

uint32_t sc_lane_store_answers(struct sc_lane_store *s, struct sc_lane_answer *out, uint32_t most)
{
    uint32_t n = 0;
    pthread_mutex_lock(&s->mutex);
    while (n < most && s->answers != NULL) {
        struct sc_lane_batch *b = s->answers;
        s->answers = b->next;
        if (!follows(out, n, b))
            out[n++] = (struct sc_lane_answer){b->connection, b->head.id, b->head.id.sequence, b->outcome};
        free(b);
    }
    if (s->answers == NULL)
        s->answers_last = &s->answers;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

enum sc_status sc_lane_store_set_cluster(struct sc_lane_store *s, const struct sc_cluster *cluster)
{
    struct sc_cluster fresh;
    SC_TRY(sc_cluster_copy(cluster, &fresh));
    pthread_mutex_lock(&s->mutex);
    sc_cluster_free(&s->fresh);
    s->fresh = fresh;
    pthread_mutex_unlock(&s->mutex);
    return SC_OK;
}

void sc_lane_store_set_retention(struct sc_lane_store *s, const struct sc_retention *retention)
{
    pthread_mutex_lock(&s->mutex);
    s->retention = *retention;
    pthread_mutex_unlock(&s->mutex);
}

void sc_lane_store_get_stats(struct sc_lane_store *s, struct sc_lane_store_stats *out)
{
    pthread_mutex_lock(&s->mutex);
    *out = s->published;
    out->waiting_bytes = s->waiting_bytes;
    pthread_mutex_unlock(&s->mutex);
}

void sc_lane_store_stop(struct sc_lane_store *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    free_store(s);
}
