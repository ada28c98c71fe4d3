// SPDX-License-Identifier: BSD-3-Clause
#include "relay/lane_store.h"

#include "base/clock.h"
#include "relay/horizon_keeper.h"
#include "relay/lane_names.h"
#include "relay/remembered.h"
#include "relay/stream_keeper.h"
#include "store/catalogue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIGHT_BYTES      ((uint64_t)64 << 20)
#define SYNC_BYTES       ((uint64_t)16 << 20)
#define SYNC_AFTER_MS    200u
#define FULL_FOR_MS      5000u
#define TOLD_AFTER_MS    5000u /* a horizon is read, published and told once a second each; with time to spare */
#define NEWS_MS          50u    /* of the disk's time that news may take in one go */
#define STOPPING_MS      10000u /* of the last go */
#define ANSWERS_AT_ONCE  1024u  /* batches, with the mutex */
#define ANSWERS_BACK     8u     /* lanes take turns: the one before is among the last */
#define LANE_DESCRIPTORS 6u /* of one lane: its lock, one live file, three of a seal; its streams' folder */
#define LAST_WINDOW_MS   UINT64_C(7258118400000) /* the year 2200: later ones would only litter the store */

/* Of a proxy: a tally, or its stream; or what another member knows of a stream. */
enum news_kind { NEWS_TALLY, NEWS_STREAM, NEWS_TOLD };

struct news {
    struct news *next;
    char proxy[SC_PROXY_NAME_MAX];
    enum news_kind kind;
    struct sc_link_tally tally;
    struct sc_link_stream stream;
    struct sc_stream told;
};

/* What one proxy has of what all share. */
struct share {
    struct sc_teller teller;
    uint32_t waiting; /* of its news */
};

struct sc_lane_store {
    struct sc_lane_store_options options;
    struct sc_io *io;
    struct sc_stores stores;
    pthread_t thread;

    /* of the thread alone */
    struct sc_cluster cluster; /* for the names of lanes */
    struct sc_remembered here;
    struct sc_lane_batch *unsynced, **last; /* appended */
    uint64_t full_until_ms;
    struct news *heard; /* in order; to be judged */
    struct sc_lane_names names;
    struct sc_stream_owners owners;
    struct sc_tally_keeper tallies;
    struct sc_stream_keeper streams;
    struct sc_horizon_keeper horizons;
    bool tallies_wait; /* to be written without delay */
    struct sc_lane_store_stats stats;

    pthread_mutex_t mutex; /* what follows is shared */
    pthread_cond_t wake;
    struct sc_lane_batch *waiting, **waiting_last;
    uint64_t waiting_bytes;
    struct news *news, **last_news;                /* the thread takes them when it has judged the others */
    struct sc_lane_batch *answers, **answers_last; /* batches that are done with */
    uint32_t healing, not_healed;                  /* row groups that members gave: not done with; failed */
    pthread_cond_t healed;
    uint64_t
        whole_since_ms; /* what others hold is here, since a time of the monotonic clock; 0: it may not be */
    uint64_t whole_from_ms; /* from which window on */
    struct sc_tellers shares;
    struct sc_cluster fresh; /* to be taken over; no members: none */
    bool stopping;
    struct sc_lane_store_stats published;
};

/* ---- answers ---- */

static void free_bytes(struct sc_lane_batch *b)
{
    free(b->bytes);
    b->bytes = NULL;
}

static void free_batch(struct sc_lane_batch *b)
{
    free_bytes(b);
    free(b->spans);
    free(b);
}

/* Nobody is answered; who waits for all of them is told. */
static void done_healing(struct sc_lane_store *s, struct sc_lane_batch *b, enum sc_lane_outcome outcome)
{
    pthread_mutex_lock(&s->mutex);
    s->waiting_bytes -= b->head.size;
    s->not_healed += outcome != SC_LANE_DURABLE;
    if (--s->healing == 0)
        pthread_cond_signal(&s->healed);
    pthread_mutex_unlock(&s->mutex);
    free_batch(b);
}

/* The batch itself is the answer: it needs no memory, so that none is ever owed. */
static void done(struct sc_lane_store *s, struct sc_lane_batch *b, enum sc_lane_outcome outcome)
{
    if (b->healed) {
        done_healing(s, b, outcome);
        return;
    }
    free_bytes(b);
    b->outcome = outcome;
    b->next = NULL;
    pthread_mutex_lock(&s->mutex);
    s->waiting_bytes -= b->head.size;
    *s->answers_last = b;
    s->answers_last = &b->next;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- lanes ---- */

/* Of a lane that is not the own. */
static void lane_path(const struct sc_lane_store *s, uint32_t lane, char *out, size_t size)
{
    char folder[SC_LANE_FOLDER_MAX];
    sc_lane_names_folder(&s->names, &s->cluster, lane, folder);
    snprintf(out, size, "%s/" SC_REPLICA_FOLDER "/%s", s->stores.options.path, folder);
}

/* What came before the member was known lies under its lane's number: it moves to the name. */
static void adopt_unnamed(const struct sc_lane_store *s, uint32_t lane, const char *path)
{
    char before[4096];
    snprintf(before, sizeof(before), "%s/" SC_REPLICA_FOLDER "/lane-%08x", s->stores.options.path, lane);
    if (strcmp(before, path) != 0 && access(path, F_OK) != 0)
        (void)s->io->ops->rename(s->io, before, path); /* mostly there is none */
}

static enum sc_status find_lane(struct sc_lane_store *s, uint32_t number, struct sc_stores_lane **out,
                                struct sc_error *err)
{
    char path[4096];
    *out = sc_stores_find(&s->stores, number);
    if (*out != NULL)
        return SC_OK;
    lane_path(s, number, path, sizeof(path));
    adopt_unnamed(s, number, path);
    return sc_stores_add(&s->stores, number, path, out, err);
}

static bool has_live_files(const char *path)
{
    struct sc_catalogue c = {0};
    bool any = false;
    (void)sc_catalogue_add(&c, path, NULL);
    for (uint32_t i = 0; i < c.count; i++)
        any = any || !c.files[i].sealed;
    sc_catalogue_free(&c);
    return any;
}

/* What an earlier process left in lanes that may get no batch any more is sealed, too: opening does it. */
static void open_left_lanes(struct sc_lane_store *s)
{
    char path[4096];
    struct sc_error err;
    struct sc_stores_lane *lane;
    for (uint32_t i = 0; i < s->names.count; i++) {
        uint32_t number = s->names.list[i].lane;
        lane_path(s, number, path, sizeof(path));
        if (has_live_files(path) && find_lane(s, number, &lane, &err) != SC_OK)
            sc_log(&s->options.log, SC_LOG_WARNING, "%s; its windows stay readable in their live files",
                   err.message);
    }
}

/* ---- ids that are here ---- */

static struct sc_span span_of(const struct sc_batch_id *id)
{
    return (struct sc_span){.stream = id->stream, .lane = id->lane, .sequence = id->sequence};
}

static bool is_here(const struct sc_lane_store *s, const struct sc_batch_id *id)
{
    const struct sc_span span = span_of(id);
    return sc_remembered_has(&s->here, &span);
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

/* Of any length that a configuration may have: a proxy's may be another than this node's (relay/facts.h tells). */
static bool is_window(uint64_t window_ms, uint32_t window_s)
{
    return window_s != 0 && 86400 % window_s == 0 && window_ms % ((uint64_t)window_s * 1000) == 0 &&
           window_ms < LAST_WINDOW_MS;
}

/* Of a batch or a tally; lanes are judged when the rest is good. */
static enum sc_refusal judge(struct sc_lane_store *s, const char *proxy, uint64_t stream, uint64_t window_ms)
{
    if (window_ms > sc_reference_now(s->options.reference) + SC_WINDOW_AHEAD_MS)
        return SC_REFUSAL_WINDOW;
    return sc_stream_owners_claim(&s->owners, &s->cluster, stream, proxy) ? SC_REFUSAL_NONE
                                                                          : SC_REFUSAL_STREAM;
}

/* ---- storing ---- */

static void refuse(struct sc_lane_store *s, struct sc_lane_batch *b, const struct sc_error *err)
{
    uint64_t now = sc_clock_mono_ms();
    s->stats.refused++;
    snprintf(s->stats.problem, sizeof(s->stats.problem), "%.255s", err->message);
    if (now >= s->full_until_ms)
        sc_log_complain(&s->options.log, SC_LOG_ERROR, "",
                        "%s; the proxies keep their batches and send them elsewhere", err->message);
    s->full_until_ms = now + FULL_FOR_MS;
    done(s, b, SC_LANE_LOST);
}

static void accept(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    const struct sc_span span = span_of(&b->head.id);
    s->stats.batches += !b->healed;
    s->stats.records += b->healed ? 0 : b->head.records;
    s->stats.healed += b->healed;
    s->stats.problem[0] = '\0';
    sc_remembered_add(&s->here, &span);
    for (uint32_t i = 0; i < b->span_count; i++)
        sc_remembered_add(&s->here, &b->spans[i]);
    done(s, b, SC_LANE_DURABLE);
}

/* When it failed, everything since the last good commit may be lost with its file. */
static void on_committed(void *arg, const struct sc_error *failure)
{
    struct sc_lane_store *s = arg;
    while (s->unsynced != NULL) {
        struct sc_lane_batch *b = s->unsynced;
        s->unsynced = b->next;
        if (failure == NULL)
            accept(s, b);
        else
            refuse(s, b, failure);
    }
    s->last = &s->unsynced;
    s->options.answered(s->options.arg);
}

/* The head is what the proxy promised; the row group must be that batch. */
static enum sc_status check(const struct sc_lane_batch *b, struct sc_encoded_group *out, struct sc_error *err)
{
    const struct sc_batch_head *h = &b->head;
    SC_TRY(sc_row_group_check(b->bytes, h->size, out, err));
    bool same = out->span.stream == h->id.stream && out->span.lane == h->id.lane &&
                out->span.sequence == h->id.sequence && out->ref.rows == h->records &&
                out->ref.record_kind == h->record_kind && (b->healed || out->span_count == 1);
    if (same)
        return SC_OK;
    sc_encoded_group_free(out);
    return sc_fail(err, SC_DAMAGED, "a batch is not what it was announced as");
}

static enum sc_status append(struct sc_lane_store *s, const struct sc_lane_batch *b,
                             const struct sc_encoded_group *group, struct sc_error *err)
{
    struct sc_stores_lane *l;
    SC_TRY(find_lane(s, b->head.id.lane, &l, err));
    const struct sc_window window = {b->head.window_ms, b->head.window_s};
    /* A member had it before: its age is that of its window, or a new disk would keep it twice as long as retention says. */
    uint64_t came_ms = b->healed ? sc_window_end(&window) : 0;
    return sc_stores_append_encoded(&s->stores, l, &window, came_ms, group, b->head.size, err);
}

/* What this process has acknowledged is gone: who sends it again is not to hear that it is here. */
static void on_wiped(void *arg)
{
    struct sc_lane_store *s = arg;
    sc_remembered_free(&s->here);
    sc_tally_keeper_rewrite(&s->tallies);
    sc_stream_keeper_rewrite(&s->streams);
    sc_horizon_keeper_rewrite(&s->horizons);
    s->tallies_wait = true;
    s->full_until_ms = 0; /* the new one takes what comes */
    s->stats.problem[0] = '\0';
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
    if (!is_window(b->head.window_ms, b->head.window_s)) {
        note(s, SC_REFUSAL_WINDOW, b->proxy);
        turn_away(s, b);
        return false;
    }
    if (check(b, group, &err) != SC_OK) {
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

/* All in it are of one lane. */
static bool note_spans(struct sc_lane_batch *b, const struct sc_encoded_group *group)
{
    b->spans = malloc(group->span_count * sizeof(*b->spans));
    if (b->spans == NULL)
        return false;
    for (; b->span_count < group->span_count; b->span_count++) {
        b->spans[b->span_count] = sc_encoded_group_span(group, b->span_count);
        if (b->spans[b->span_count].lane != b->head.id.lane)
            return false;
    }
    return true;
}

/* A member is trusted in whose the batches are; that they are whole is looked at. */
static void take_healed(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    struct sc_encoded_group group;
    struct sc_error err = {0};
    enum sc_status status = check(b, &group, &err);
    if (status != SC_OK) {
        done(s, b, SC_LANE_REFUSED);
        return;
    }
    bool good = is_window(b->head.window_ms, b->head.window_s) && note_spans(b, &group) &&
                sc_lane_names_admit(&s->names, &s->cluster, b->head.id.lane);
    if (good)
        status = append(s, b, &group, &err);
    sc_encoded_group_free(&group);
    free_bytes(b);
    if (!good) {
        done(s, b, SC_LANE_REFUSED);
        return;
    }
    *s->last = b;
    s->last = &b->next;
    if (status != SC_OK)
        on_committed(s, &err);
}

/* No answer is complete because nobody told: that there is such a stream is on the disk before any of it is acknowledged. */
static bool has_word(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    struct sc_error err;
    enum sc_status status =
        sc_stream_keeper_admit(&s->streams, b->proxy, b->head.id.stream, sc_clock_mono_ms(), &err);
    if (status == SC_OK)
        return true;
    if (status == SC_LIMIT) {
        note(s, SC_REFUSAL_STREAM, b->proxy);
        turn_away(s, b);
        return false;
    }
    refuse(s, b, &err);
    s->options.answered(s->options.arg);
    return false;
}

static void take(struct sc_lane_store *s, struct sc_lane_batch *b)
{
    struct sc_encoded_group group;
    struct sc_error err = {0};
    b->next = NULL;
    if (b->healed) {
        take_healed(s, b);
        return;
    }
    if (is_here(s, &b->head.id) && sc_stores_are_there(&s->stores)) {
        s->stats.duplicates++;
        done(s, b, SC_LANE_DURABLE);
        s->options.answered(s->options.arg);
        return;
    }
    if (!is_taken(s, b, &group))
        return;
    if (!has_word(s, b)) {
        sc_encoded_group_free(&group);
        return;
    }
    enum sc_status status = append(s, b, &group, &err);
    sc_encoded_group_free(&group);
    free_bytes(b);
    *s->last = b;
    s->last = &b->next;
    if (status != SC_OK) /* the writer may have given up a file with unsynced batches in it */
        on_committed(s, &err);
}

/* ---- tallies ---- */

static enum sc_refusal judge_tally(struct sc_lane_store *s, const struct news *n)
{
    const struct sc_link_tally *t = &n->tally;
    if (!is_window(t->window_ms, t->window_s))
        return SC_REFUSAL_WINDOW; /* its batches are refused too */
    if (t->window_ms < sc_horizon_keeper_least(&s->horizons))
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

static void take_word(struct sc_lane_store *s, const struct news *n)
{
    enum sc_refusal why = sc_stream_keeper_take(&s->streams, n->proxy, &n->stream, sc_clock_mono_ms());
    if (why != SC_REFUSAL_NONE)
        note(s, why, n->proxy);
}

static struct news *collect_news(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct news *all = s->news;
    s->news = NULL;
    s->last_news = &s->news;
    for (uint32_t i = 0; i < s->shares.count; i++)
        ((struct share *)s->shares.list[i])->waiting = 0;
    pthread_mutex_unlock(&s->mutex);
    return all;
}

static void take_one(struct sc_lane_store *s)
{
    struct news *n = s->heard;
    s->heard = n->next;
    if (n->kind == NEWS_TALLY)
        take_tally(s, n);
    else if (n->kind == NEWS_STREAM)
        take_word(s, n);
    else
        sc_stream_keeper_told(&s->streams, &n->told);
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

/* ---- horizons ---- */

/* When all that others hold is here the horizon goes back as far as theirs; what they told before they were asked says nothing, as what they
 * expired since was not pulled. */
static void follow_healing(struct sc_lane_store *s, const struct sc_horizon_sources *sources)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t begin_ms = s->whole_from_ms, since_ms = s->whole_since_ms;
    uint64_t others_ms = since_ms == 0 ? UINT64_MAX : sc_horizon_keeper_others(sources, since_ms);
    s->whole_since_ms = others_ms == UINT64_MAX ? since_ms : 0;
    pthread_mutex_unlock(&s->mutex);
    if (others_ms != UINT64_MAX)
        sc_stores_take_back_horizon(&s->stores, begin_ms > others_ms ? begin_ms : others_ms);
}

static void keep_horizons(struct sc_lane_store *s)
{
    struct sc_error err;
    struct sc_horizon_sources sources = {.store = s->stores.options.path,
                                         .io = s->io,
                                         .cluster = &s->cluster,
                                         .node = s->stores.options.lane,
                                         .facts = s->options.facts};
    follow_healing(s, &sources);
    sources.own_ms = s->stores.horizon_ms;
    if (s->stores.stats.taken)
        return;
    if (sc_horizon_keeper_tick(&s->horizons, &sources, &err) != SC_OK)
        sc_log_complain(&s->options.log, SC_LOG_WARNING, "", "%s", err.message);
}

/* ---- figures ---- */

static void publish(struct sc_lane_store *s)
{
    sc_stores_get_stats(&s->stores, &s->stats.stores);
    s->stats.told_from_ms = sc_horizon_keeper_least(&s->horizons);
    s->stats.full =
        s->stats.stores.disk.free_bytes < SC_LINK_LEAST_FREE || sc_clock_mono_ms() < s->full_until_ms;
    pthread_mutex_lock(&s->mutex);
    s->published = s->stats;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- other members ---- */

/* Whether there are two others, whose clocks make a median. */
static bool can_ask(const struct sc_lane_store *s)
{
    return s->cluster.count > 2;
}

static bool gets_name(const struct sc_lane_store *s, const struct sc_stores_lane *l)
{
    char path[4096], unnamed[32];
    const char *name = strrchr(l->path, '/');
    snprintf(unnamed, sizeof(unnamed), "/lane-%08x", l->lane);
    lane_path(s, l->lane, path, sizeof(path));
    return name != NULL && strcmp(name, unnamed) == 0 && strcmp(l->path, path) != 0;
}

/* Lanes that get a name are opened anew under it. */
static void take_members(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct sc_cluster fresh = s->fresh;
    s->fresh = (struct sc_cluster){0};
    pthread_mutex_unlock(&s->mutex);
    if (fresh.count == 0)
        return;
    sc_lane_names_keep(&s->names, &s->cluster, &fresh);
    sc_cluster_free(&s->cluster);
    s->cluster = fresh;
    s->stores.clock.others = can_ask(s);
    sc_stores_set_format(&s->stores, (uint16_t)s->cluster.format);
    for (uint32_t i = s->stores.lane_count; --i > 0;) { /* the first is the own */
        if (gets_name(s, &s->stores.lanes[i]))
            sc_stores_drop(&s->stores, &s->stores.lanes[i]);
    }
}

/* ---- the thread ---- */

/* All that waits, or NULL after a while. */
static struct sc_lane_batch *wait_for_batches(struct sc_lane_store *s, bool *stopping)
{
    const struct timespec until = sc_clock_mono_in(50);
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

static void commit_when_due(struct sc_lane_store *s)
{
    if (sc_stores_commit_due(&s->stores, sc_clock_mono_ms()))
        sc_stores_commit(&s->stores);
}

static void *run(void *arg)
{
    struct sc_lane_store *s = arg;
    pthread_setname_np(pthread_self(), "sc-lanes");
    open_left_lanes(s);
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
            commit_when_due(s);
        }
        commit_when_due(s);
        if (!s->stores.stats.taken)
            take_news(s, NEWS_MS);
        if (sc_stores_each_second(&s->stores, sc_clock_mono_ms())) {
            keep_horizons(s);
            publish(s);
        }
    }
    sc_stores_commit(&s->stores);
    if (!s->stores.stats.taken)
        take_news(s, STOPPING_MS);
    publish(s);
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
    sc_lane_names_free(&s->names);
    sc_stream_keeper_free(&s->streams);
    sc_horizon_keeper_free(&s->horizons);
    sc_stream_owners_free(&s->owners);
    sc_tally_keeper_free(&s->tallies);
    free_news(s->heard);
    free_news(s->news);
    sc_tellers_free(&s->shares);
    sc_remembered_free(&s->here);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->healed);
    while (s->answers != NULL) {
        struct sc_lane_batch *b = s->answers;
        s->answers = b->next;
        free(b);
    }
    sc_cluster_free(&s->cluster);
    sc_cluster_free(&s->fresh);
    free(s);
}

static void init_shared(struct sc_lane_store *s)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&s->healed, NULL);
    s->answers_last = &s->answers;
    s->waiting_last = &s->waiting;
    s->last_news = &s->news;
}

static enum sc_status open_stores(struct sc_lane_store *s, struct sc_error *err)
{
    const struct sc_lane_store_options *o = &s->options;
    const struct sc_stores_options how = {.path = o->store,
                                          .lane = s->cluster.members[o->self].lane,
                                          .window_s = o->window_s,
                                          .format = (uint16_t)s->cluster.format,
                                          .commit_ms = SYNC_AFTER_MS,
                                          .commit_bytes = SYNC_BYTES,
                                          .retention = o->retention,
                                          .reference = o->reference,
                                          .others = can_ask(s),
                                          .archive = o->archive,
                                          .verify = o->verify,
                                          .io = s->io,
                                          .log = &o->log,
                                          .committed = on_committed,
                                          .wiped = on_wiped,
                                          .arg = s};
    return sc_stores_open(&s->stores, &how, err);
}

/* What lies beside the segments. */
static enum sc_status open_rest(struct sc_lane_store *s, struct sc_error *err)
{
    char replicas[4096];
    snprintf(replicas, sizeof(replicas), "%s/" SC_REPLICA_FOLDER, s->stores.options.path);
    int made = s->io->ops->mkdir(s->io, replicas);
    if (made < 0)
        return sc_fail_errno(err, -made, "cannot create %s", replicas);
    sc_lane_names_load(&s->names, s->stores.options.path);
    sc_horizon_keeper_load(&s->horizons, s->stores.options.path);
    s->owners.store = s->tallies.store = s->stores.options.path;
    s->tallies.io = s->io;
    s->streams = (struct sc_stream_keeper){.store = s->stores.options.path,
                                           .io = s->io,
                                           .cluster = &s->cluster,
                                           .owners = &s->owners,
                                           .tallies = &s->tallies};
    return SC_OK;
}

static enum sc_status open_and_run(struct sc_lane_store *s, struct sc_error *err)
{
    SC_TRY(open_stores(s, err));
    enum sc_status status = open_rest(s, err);
    int failed = 0;
    if (status == SC_OK) {
        publish(s);
        failed = pthread_create(&s->thread, NULL, run, s);
    }
    if (failed != 0)
        status = sc_fail_errno(err, failed, "cannot start the store thread");
    if (status != SC_OK)
        sc_stores_close(&s->stores, false, NULL, NULL);
    return status;
}

enum sc_status sc_lane_store_start(const struct sc_lane_store_options *options, struct sc_lane_store **out,
                                   struct sc_error *err)
{
    struct sc_error unwanted;
    struct sc_lane_store *s = calloc(1, sizeof(*s));
    if (s == NULL || sc_cluster_copy(options->cluster, &s->cluster) != SC_OK) {
        free(s);
        return sc_fail_nomem(err, "the store thread");
    }
    s->options = *options;
    s->io = options->io == NULL ? sc_io_system() : options->io;
    s->last = &s->unsynced;
    init_shared(s);
    enum sc_status status = open_and_run(s, err == NULL ? &unwanted : err);
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

bool sc_lane_store_heal(struct sc_lane_store *s, const struct sc_batch_head *head, uint8_t *bytes)
{
    struct sc_lane_batch *batch = malloc(sizeof(*batch));
    if (batch == NULL) {
        free(bytes);
        return false;
    }
    *batch = (struct sc_lane_batch){.head = *head, .bytes = bytes, .healed = true};
    pthread_mutex_lock(&s->mutex);
    s->healing++;
    pthread_mutex_unlock(&s->mutex);
    sc_lane_store_push(s, batch);
    return true;
}

uint32_t sc_lane_store_healed(struct sc_lane_store *s)
{
    pthread_mutex_lock(&s->mutex);
    while (s->healing != 0)
        pthread_cond_wait(&s->healed, &s->mutex);
    uint32_t failed = s->not_healed;
    s->not_healed = 0;
    pthread_mutex_unlock(&s->mutex);
    return failed;
}

static enum sc_refusal tell(struct sc_lane_store *s, const char *proxy, const struct news *what)
{
    struct news *n = malloc(sizeof(*n));
    if (n == NULL)
        return SC_REFUSAL_NONE;
    *n = *what;
    snprintf(n->proxy, sizeof(n->proxy), "%.63s", proxy);
    pthread_mutex_lock(&s->mutex);
    struct share *share = (struct share *)sc_tellers_get(&s->shares, n->proxy, sizeof(*share));
    bool fits = share != NULL && share->waiting < SC_NEWS_EACH;
    if (fits) {
        share->waiting++;
        *s->last_news = n;
        s->last_news = &n->next;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!fits)
        free(n);
    return fits ? SC_REFUSAL_NONE : SC_REFUSAL_TALLIES;
}

enum sc_refusal sc_lane_store_tally(struct sc_lane_store *s, const char *proxy,
                                    const struct sc_link_tally *tally)
{
    return tell(s, proxy, &(struct news){.kind = NEWS_TALLY, .tally = *tally});
}

enum sc_refusal sc_lane_store_stream(struct sc_lane_store *s, const char *proxy,
                                     const struct sc_link_stream *stream)
{
    return tell(s, proxy, &(struct news){.kind = NEWS_STREAM, .stream = *stream});
}

void sc_lane_store_is_whole(struct sc_lane_store *s, uint64_t begin_ms)
{
    pthread_mutex_lock(&s->mutex);
    s->whole_from_ms = begin_ms;
    if (s->whole_since_ms == 0)
        s->whole_since_ms = sc_clock_mono_ms() + TOLD_AFTER_MS;
    pthread_mutex_unlock(&s->mutex);
}

enum sc_refusal sc_lane_store_told(struct sc_lane_store *s, const struct sc_link_told *told)
{
    if (told->is_stream)
        return tell(s, told->proxy, &(struct news){.kind = NEWS_TOLD, .told = told->stream});
    return sc_lane_store_tally(s, told->proxy, &told->tally);
}

uint32_t sc_lane_store_descriptors(uint32_t members)
{
    return SC_STORES_FILES + (members + SC_LANES_OTHER) * LANE_DESCRIPTORS;
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
            id->sequence != 0 && a->last == id->sequence - 1 &&
            id->sequence - a->id.sequence < SC_LINK_ACK_IDS) {
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
    for (uint32_t left = ANSWERS_AT_ONCE; left > 0 && n < most && s->answers != NULL; left--) {
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

enum sc_status sc_lane_store_set_archive(struct sc_lane_store *s, const struct sc_archive_command *command)
{
    return sc_stores_set_archive(&s->stores, command);
}

void sc_lane_store_set_retention(struct sc_lane_store *s, const struct sc_retention *retention)
{
    sc_stores_set_retention(&s->stores, retention);
}

void sc_lane_store_get_stats(struct sc_lane_store *s, struct sc_lane_store_stats *out)
{
    pthread_mutex_lock(&s->mutex);
    *out = s->published;
    out->waiting_bytes = s->waiting_bytes;
    pthread_mutex_unlock(&s->mutex);
}

void sc_lane_store_stop(struct sc_lane_store *s, struct sc_lane_store_stats *last)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    if (last != NULL)
        sc_lane_store_get_stats(s, last);
    sc_stores_close(&s->stores, false, NULL, NULL);
    free_store(s);
}
