// SPDX-License-Identifier: BSD-3-Clause
#include "relay/proxy.h"

#include "base/array.h"
#include "base/clock.h"
#include "flow/gather.h"
#include "store/format.h"
#include "store/row_group_encode.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

_Static_assert(SC_CLUSTER_MAX_FORMAT == SC_SEGMENT_VERSION && SC_LINK_VERSION == SC_SEGMENT_VERSION,
               "what a membership file may ask for is what is written, and read by peers");

#define POP_MS   100u
#define RETRY_MS 50u

/* The next number of a lane's batches. */
struct lane_sequence {
    uint32_t lane;
    uint64_t next;
};

struct sc_proxy {
    struct sc_proxy_options options;
    char *folder; /* of the outbox */
    struct sc_outbox *outbox;
    struct sc_dispatch *dispatch;
    struct sc_accounts *accounts;
    struct sc_peers *peers;
    pthread_t thread;
    atomic_bool ending;
    atomic_ullong end_ms; /* monotonic: an outbox that takes nothing is borne until then */

    /* of the thread alone */
    struct sc_row_group_encoder encoder;
    size_t usual_bytes; /* of a batch */
    struct lane_sequence *sequences;
    uint32_t sequence_count;
    struct sc_drop_teller teller;
    struct sc_proxy_stats stats;

    pthread_mutex_t mutex;
    struct sc_proxy_stats published;
};

/* ---- accepting ---- */

static void released(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place)
{
    struct sc_proxy *p = arg;
    sc_accounts_safe(p->accounts, head);
    sc_outbox_release(p->outbox, place);
}

/* It is missing, perhaps until a later start can read it: whoever asks is to be told so, as of what was safe and is not there. */
static void given_up(void *arg, const struct sc_batch_head *head)
{
    struct sc_proxy *p = arg;
    sc_accounts_safe(p->accounts, head);
}

static enum sc_status found(void *arg, const struct sc_batch_head *head, struct sc_outbox_place place)
{
    struct sc_proxy *p = arg;
    enum sc_status status =
        sc_dispatch_add(p->dispatch, &(struct sc_accepted){.head = *head, .place = place});
    if (status != SC_OK)
        return status;
    p->stats.replayed++;
    sc_accounts_adopt(p->accounts, head);
    return SC_OK;
}

static void publish(struct sc_proxy *p)
{
    pthread_mutex_lock(&p->mutex);
    p->published = p->stats;
    pthread_mutex_unlock(&p->mutex);
}

static void nap(uint64_t ms)
{
    const struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static void note_problem(struct sc_proxy *p, const struct sc_error *err)
{
    snprintf(p->stats.problem, sizeof(p->stats.problem), "%.255s", err->message);
    if (!p->stats.blocked) {
        sc_log_complain(&p->options.log, SC_LOG_ERROR, "", "%s; nothing is accepted until this passes",
                        err->message);
        p->stats.blocked_ms = sc_clock_mono_ms();
    }
    p->stats.blocked = true;
    publish(p);
}

/* What the receivers dropped is told to all members with the tallies, so that any node's answers tell it. */
static void account(struct sc_proxy *p, const struct sc_drops *drops)
{
    for (uint32_t i = 0; i < drops->count; i++)
        sc_accounts_lose(p->accounts, drops->list[i].window_ms, p->options.window_s, &drops->list[i].count);
    sc_drop_teller_tell(&p->teller, drops, sc_clock_mono_ms(), &p->options.log);
}

static void account_drops(struct sc_proxy *p)
{
    struct sc_drops drops = sc_queue_take_drops(p->options.queue);
    account(p, &drops);
    sc_drops_free(&drops);
}

/* Records that the outbox did not take until the end are drops, too. */
static void lose_last(struct sc_proxy *p, const struct sc_batch *batch)
{
    struct sc_drops drops = {0};
    sc_drops_note(&drops, batch, SC_DROP_OUTBOX);
    p->stats.lost_records += batch->rows;
    account(p, &drops);
    sc_drops_free(&drops);
}

/* Of a batch that this thread can do nothing with. */
static void lose(struct sc_proxy *p, const struct sc_batch *batch, const char *why)
{
    struct sc_tally_count lost = {0};
    lost.batches[batch->record_kind] = 1;
    lost.records[batch->record_kind] = batch->rows;
    p->stats.lost_records += batch->rows;
    sc_accounts_lose(p->accounts, batch->window_ms, p->options.window_s, &lost);
    sc_log_complain(&p->options.log, SC_LOG_ERROR, "", "%u records are lost: %s", batch->rows, why);
}

/* One that the outbox refused goes on in memory: at the end only, while members are there to make it durable. */
static bool goes_unwritten(struct sc_proxy *p, struct sc_accepted *batch)
{
    if (!atomic_load(&p->ending) || !sc_dispatch_takes(p->dispatch, batch->bytes->size))
        return false;
    batch->place = (struct sc_outbox_place){.file = SC_OUTBOX_NOWHERE};
    return true;
}

/* Writes the batch into the outbox, however long that takes. False: it is the end, and its patience is over. */
static bool accept_batch(struct sc_proxy *p, struct sc_accepted *batch)
{
    struct sc_error err;
    while (sc_outbox_append(p->outbox, &batch->head, batch->bytes->bytes, &batch->place, &err) != SC_OK) {
        note_problem(p, &err);
        if (goes_unwritten(p, batch))
            return true;
        if (sc_clock_mono_ms() >= atomic_load(&p->end_ms))
            return false;
        account_drops(p); /* meanwhile the queue fills */
        nap(RETRY_MS);
    }
    if (p->stats.blocked)
        sc_log_complain(&p->options.log, SC_LOG_WARNING, "", "batches are accepted again");
    p->stats.blocked = false;
    p->stats.problem[0] = '\0';
    return true;
}

/* The batch as the row group that is stored; *bytes is to be released. */
static enum sc_status encode(struct sc_proxy *p, struct sc_batch *batch, const struct sc_batch_id *id,
                             struct sc_shared **bytes, struct sc_error *err)
{
    struct sc_span span = {
        .stream = id->stream, .lane = id->lane, .sequence = id->sequence, .rows = batch->rows};
    struct sc_span *kept = batch->spans;
    uint32_t count = batch->span_count;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    batch->spans = &span;
    batch->span_count = 1;
    if (sc_buf_reserve(&out, p->usual_bytes) == NULL) /* so that it need not grow */
        sc_buf_clear(&out);
    enum sc_status status = sc_row_group_encode(&p->encoder, batch, &out, &stats, err);
    batch->spans = kept;
    batch->span_count = count;
    if (status == SC_OK)
        sc_row_stats_free(&stats);
    p->usual_bytes = out.len + out.len / 8;
    if (status == SC_OK && (*bytes = sc_shared_take(&out)) == NULL)
        status = sc_fail_nomem(err, "a batch");
    sc_buf_free(&out);
    return status;
}

/* NULL without memory. */
static struct lane_sequence *sequence_of(struct sc_proxy *p, uint32_t lane)
{
    for (uint32_t i = 0; i < p->sequence_count; i++) {
        if (p->sequences[i].lane == lane)
            return &p->sequences[i];
    }
    if (!sc_array_more(p->sequences, p->sequence_count, 1))
        return NULL;
    p->sequences[p->sequence_count] = (struct lane_sequence){.lane = lane};
    return &p->sequences[p->sequence_count++];
}

/* From here on nothing loses it. */
static void hand_over(struct sc_proxy *p, const struct sc_accepted *batch)
{
    sc_accounts_accept(p->accounts, &batch->head);
    p->stats.batches++;
    p->stats.records += batch->head.records;
    if (sc_dispatch_add(p->dispatch, batch) != SC_OK)
        sc_log(&p->options.log, SC_LOG_ERROR,
               batch->place.file == SC_OUTBOX_NOWHERE
                   ? "out of memory: a batch is lost"
                   : "out of memory: a batch waits in the outbox for the next start");
    sc_peers_wake(p->peers);
}

/* One that keeps to the bounds of a batch. */
static void send_batch(struct sc_proxy *p, struct sc_batch *batch)
{
    struct sc_error err = {.message = "out of memory"};
    uint32_t lane = sc_dispatch_home(p->dispatch);
    struct lane_sequence *sequence = sequence_of(p, lane);
    struct sc_accepted sent = {.head = {.id = {.stream = p->stats.stream,
                                               .lane = lane,
                                               .sequence = sequence == NULL ? 0 : sequence->next},
                                        .window_ms = batch->window_ms,
                                        .window_s = p->options.window_s,
                                        .records = batch->rows,
                                        .record_kind = batch->record_kind}};
    if (sequence == NULL || encode(p, batch, &sent.head.id, &sent.bytes, &err) != SC_OK) {
        lose(p, batch, err.message);
        return;
    }
    sent.head.size = (uint32_t)sent.bytes->size;
    sent.head.hash = sc_link_hash(sent.bytes->bytes, sent.bytes->size);
    if (accept_batch(p, &sent)) {
        sequence->next++;
        hand_over(p, &sent);
    } else {
        lose_last(p, batch);
    }
    sc_shared_release(sent.bytes);
}

static void send_part(struct sc_proxy *p, const struct sc_batch *batch, uint32_t first, uint32_t n)
{
    const struct sc_span rows = {.first_row = first, .rows = n};
    struct sc_gather part;
    enum sc_status status = sc_gather_init(&part, (enum sc_record_kind)batch->record_kind);
    if (status == SC_OK)
        status = sc_gather_add(&part, (const struct sc_column *const *)batch->columns, batch->slots, &rows,
                               &sc_batch_bounds);
    if (status == SC_OK)
        status = sc_batch_finish(part.batch);
    if (status == SC_OK) {
        part.batch->window_ms = batch->window_ms;
        send_batch(p, part.batch);
    } else {
        lose(p,
             &(struct sc_batch){.rows = n, .record_kind = batch->record_kind, .window_ms = batch->window_ms},
             status == SC_LIMIT ? "one of them is more than a batch may hold" : "out of memory");
    }
    sc_gather_free(&part);
}

/* A parcel of more rows, columns or bytes than a batch has goes in parts. */
static void send_parcel(struct sc_proxy *p, struct sc_batch *batch)
{
    const struct sc_column *const *columns = (const struct sc_column *const *)batch->columns;
    struct sc_weight weight = sc_batch_weight(columns, batch->slots, 0, batch->rows);
    if (sc_bounds_hold(&sc_batch_bounds, &weight)) {
        send_batch(p, batch);
        return;
    }
    for (uint32_t first = 0, n; first < batch->rows; first += n) {
        n = sc_bounds_cut(&sc_batch_bounds, columns, batch->slots, first, batch->rows - first);
        send_part(p, batch, first, n);
    }
}

/* The folder may be deleted under this process. Before more is accepted: the accounts lie in it, too. */
static void look_after_folder(struct sc_proxy *p)
{
    struct sc_outbox_stats now;
    if (sc_outbox_look(p->outbox)) {
        sc_outbox_get_stats(p->outbox, &now);
        sc_log_complain(
            &p->options.log, SC_LOG_ERROR, "",
            "files of the outbox %s were deleted, so far %llu with %llu batches that were not safe: "
            "those that are in memory are sent, the others are lost",
            p->folder, (unsigned long long)now.deleted_files, (unsigned long long)now.deleted_batches);
    }
    sc_accounts_look(p->accounts);
}

/* A few times a second. */
static void do_duties(struct sc_proxy *p)
{
    look_after_folder(p);
    sc_accounts_tidy(p->accounts, sc_reference_now(p->options.reference));
    sc_disk_look(p->folder, &p->stats.disk);
    account_drops(p);
    publish(p);
}

static void *run(void *arg)
{
    struct sc_proxy *p = arg;
    uint64_t next_ms = 0;
    pthread_setname_np(pthread_self(), "sc-proxy");
    while (!sc_queue_is_finished(p->options.queue)) {
        struct sc_parcel *parcel = sc_queue_pop(p->options.queue, POP_MS);
        if (parcel != NULL) {
            send_parcel(p, parcel->batch);
            sc_queue_done(p->options.queue, parcel);
        }
        uint64_t now = sc_clock_mono_ms();
        if (now >= next_ms) {
            next_ms = now + 200;
            do_duties(p);
        }
    }
    p->teller.next_ms = 0; /* the last word */
    account_drops(p);
    publish(p);
    return NULL;
}

/* ---- outside ---- */

static void free_proxy(struct sc_proxy *p)
{
    sc_peers_stop(p->peers);
    sc_dispatch_free(p->dispatch);
    sc_accounts_free(p->accounts);
    sc_outbox_close(p->outbox);
    sc_row_group_encoder_free(&p->encoder);
    pthread_mutex_destroy(&p->mutex);
    free(p->sequences);
    free(p->folder);
    free(p);
}

static void tell_unread(struct sc_proxy *p)
{
    char path[4096];
    if (sc_accounts_unread(p->accounts, path, sizeof(path)))
        sc_log(&p->options.log, SC_LOG_ERROR,
               "%s cannot be read: what an earlier run accepted is not told in full, and is left to the next "
               "start; "
               "remove it when it can never be read",
               path);
}

static enum sc_status make(struct sc_proxy *p, struct sc_error *err)
{
    const struct sc_proxy_options *o = &p->options;
    if (getrandom(&p->stats.stream, sizeof(p->stats.stream), 0) != sizeof(p->stats.stream))
        return sc_fail_errno(err, errno, "no random numbers");
    SC_TRY(sc_row_group_encoder_init(&p->encoder, SC_EFFORT_LIVE, err));
    const struct sc_dispatch_events events = {.released = released, .given_up = given_up, .arg = p};
    p->dispatch = sc_dispatch_create(o->cluster, &events);
    p->accounts = sc_accounts_open(o->outbox, p->stats.stream, sc_clock_mono_ms, o->how.io);
    p->folder = strdup(o->outbox);
    if (p->dispatch == NULL || p->accounts == NULL || p->folder == NULL)
        return sc_fail_nomem(err, "the proxy");
    tell_unread(p);
    p->outbox = sc_outbox_open(o->outbox, p->stats.stream, &o->how, found, p, err);
    if (p->outbox == NULL)
        return err->status;
    if (p->stats.replayed != 0)
        sc_log(&o->log, SC_LOG_INFO, "%llu batches of earlier runs wait in the outbox",
               (unsigned long long)p->stats.replayed);
    struct sc_outbox_stats outbox;
    sc_outbox_get_stats(p->outbox, &outbox);
    if (outbox.damaged != 0)
        sc_log(
            &o->log, SC_LOG_ERROR,
            "the outbox is damaged in %llu places: %llu bytes are skipped, with %llu records and more that "
            "are not known",
            (unsigned long long)outbox.damaged, (unsigned long long)outbox.skipped_bytes,
            (unsigned long long)outbox.damaged_records);
    const struct sc_peers_options peers = {.cluster = o->cluster,
                                           .self = o->self,
                                           .dispatch = p->dispatch,
                                           .outbox = p->outbox,
                                           .accounts = p->accounts,
                                           .board = o->board,
                                           .tls = o->tls,
                                           .facts = o->facts,
                                           .reference = o->reference,
                                           .log = o->log};
    return sc_peers_start(&peers, &p->peers, err);
}

enum sc_status sc_proxy_start(const struct sc_proxy_options *options, struct sc_proxy **out,
                              struct sc_error *err)
{
    struct sc_proxy *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return sc_fail_nomem(err, "the proxy");
    p->options = *options;
    atomic_init(&p->ending, false);
    atomic_init(&p->end_ms, UINT64_MAX);
    pthread_mutex_init(&p->mutex, NULL);
    enum sc_status status = make(p, err);
    if (status == SC_OK) {
        sc_disk_look(p->folder, &p->stats.disk);
        publish(p);
        int failed = pthread_create(&p->thread, NULL, run, p);
        if (failed != 0)
            status = sc_fail_errno(err, failed, "cannot start the proxy's thread");
    }
    if (status != SC_OK) {
        free_proxy(p);
        return status;
    }
    *out = p;
    return SC_OK;
}

void sc_proxy_get_stats(struct sc_proxy *p, struct sc_proxy_stats *out)
{
    pthread_mutex_lock(&p->mutex);
    *out = p->published;
    pthread_mutex_unlock(&p->mutex);
    sc_outbox_get_stats(p->outbox, &out->outbox);
    sc_dispatch_get_stats(p->dispatch, &out->dispatch);
    sc_peers_get_refused(p->peers, out->refused);
}

bool sc_proxy_get_member(struct sc_proxy *p, uint32_t lane, struct sc_peer_view *view,
                         struct sc_dispatch_member *queue)
{
    return sc_peers_get(p->peers, lane, view, queue);
}

enum sc_status sc_proxy_set_cluster(struct sc_proxy *p, const struct sc_cluster *cluster, uint32_t self)
{
    return sc_peers_set_cluster(p->peers, cluster, self);
}

void sc_proxy_set_tls(struct sc_proxy *p, struct sc_tls *tls)
{
    sc_peers_set_tls(p->peers, tls);
}

void sc_proxy_end(struct sc_proxy *p)
{
    if (p != NULL)
        atomic_store(&p->ending, true);
}

/* Until all is with the subcollectors, or the time is over: that of what is in memory only ends later, as no next start has it. */
static void drain(struct sc_proxy *p, uint64_t drain_ms, struct sc_dispatch_stats *left)
{
    uint64_t until_ms = sc_clock_mono_ms() + drain_ms;
    uint64_t last_ms = atomic_load(&p->end_ms) + drain_ms;
    for (;;) {
        sc_dispatch_get_stats(p->dispatch, left);
        uint64_t now_ms = sc_clock_mono_ms();
        bool waits = left->usable != 0 && now_ms < until_ms;
        if (left->batches == 0 || (!waits && (left->unwritten == 0 || now_ms >= last_ms)))
            return;
        nap(20);
    }
}

static void tell_left(const struct sc_proxy *p, const struct sc_dispatch_stats *left)
{
    if (left->batches != left->unwritten)
        sc_log(&p->options.log, SC_LOG_WARNING,
               "%llu batches with %llu records stay in the outbox for the next start",
               (unsigned long long)(left->batches - left->unwritten),
               (unsigned long long)(left->records - left->unwritten_records));
    if (left->unwritten != 0)
        sc_log(
            &p->options.log, SC_LOG_ERROR,
            "%llu batches with %llu records, which the outbox did not take, were not acknowledged: answers "
            "name what nobody has of them",
            (unsigned long long)left->unwritten, (unsigned long long)left->unwritten_records);
}

void sc_proxy_finish(struct sc_proxy *p, uint64_t patience_ms, uint64_t drain_ms, struct sc_proxy_stats *last)
{
    if (p == NULL)
        return;
    struct sc_dispatch_stats left;
    atomic_store(&p->end_ms, sc_clock_mono_ms() + patience_ms);
    pthread_join(p->thread, NULL);
    drain(p, drain_ms, &left);
    tell_left(p, &left);
    sc_dispatch_abandon(p->dispatch);
    if (left.batches == left.unwritten)
        sc_peers_end(p->peers);
    if (last != NULL)
        sc_proxy_get_stats(p, last);
    free_proxy(p);
}
