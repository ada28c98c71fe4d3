// SPDX-License-Identifier: BSD-3-Clause
#include "relay/healer.h"

#include "base/clock.h"
#include "base/reference.h"
#include "relay/asker.h"
#include "relay/stock.h"
#include "store/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define UNSYNCED_BYTES ((uint64_t)16 << 20) /* handed over and not waited for */
#define AGAIN_MS       2000u
#define AGAIN_MOST_MS  600000u
#define TIGHT_MS       100u
#define TOLD_MS        4u /* for each record of tallies: a node takes so many new ones a second of a proxy */
#define MOST_VAIN      1000u /* questions in a row, of a window: the rest of it waits for others */

/* Of a member, by its place in the list. */
struct partner {
    uint64_t their_hash, own_hash; /* with which nothing lacked; 0: it is not known */
    uint64_t next_ms;
    uint32_t failures;
};

struct sc_healer {
    struct sc_lane_store *store;
    struct sc_lender *lender;
    const struct sc_reference *reference;
    struct sc_log log;
    pthread_t thread;

    /* of the thread */
    struct sc_cluster cluster;
    uint32_t self;
    struct partner *partners;
    uint32_t turn; /* of those who share no lane */
    struct sc_asker *asker;
    uint64_t from_ms, end_ms;                   /* of the windows of this round */
    uint64_t told_from_ms;                      /* of what proxies told */
    uint64_t own_hash, held_bytes, older_bytes; /* of all windows; of those before the one that is pulled */
    struct sc_link_digest *own;                 /* what is here, by lane and window */
    uint32_t own_count;
    uint64_t unsynced;
    uint64_t lacking_windows, lacking_batches; /* that the member of this visit has */
    uint64_t most_windows, most_batches; /* that one of those before it in this round had, and has still */
    uint64_t pulled, passed_over;        /* row groups had, and not had, in this round */
    uint32_t vain;                       /* not had, since the last one that was */
    bool all_asked;                      /* in this round, of those that share a lane */
    bool all_told;                       /* the member's tallies are here, as far as it was asked */

    atomic_bool stopping;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake;
    struct sc_cluster fresh; /* to be taken over; no members: none */
    uint32_t fresh_self;
    struct sc_tls *tls;
    struct sc_retention retention;
    bool asked_to_hurry; /* since the round began */
    struct sc_healer_stats stats;
};

/* ---- figures ---- */

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Members hold the same mostly: what lacks is no less than what one of them has. */
static void tell_lacking(struct sc_healer *h)
{
    pthread_mutex_lock(&h->mutex);
    struct sc_healer_stats *s = &h->stats;
    bool begins = h->lacking_batches != 0 && s->lacking_since_ms == 0;
    s->lacking_windows = greater(h->lacking_windows, h->most_windows);
    s->lacking_batches = greater(h->lacking_batches, h->most_batches);
    if (begins)
        s->lacking_since_ms = sc_clock_wall_ms();
    pthread_mutex_unlock(&h->mutex);
    if (begins)
        sc_log(&h->log, SC_LOG_WARNING,
               "%llu batches of %llu windows that ought to be here are with others only: they are pulled",
               (unsigned long long)h->lacking_batches, (unsigned long long)h->lacking_windows);
}

static void add_lacking(struct sc_healer *h, int64_t windows, int64_t batches)
{
    h->lacking_windows += (uint64_t)windows;
    h->lacking_batches += (uint64_t)batches;
    tell_lacking(h);
}

/* The next member's count begins. */
static void keep_lacking(struct sc_healer *h)
{
    h->most_windows = greater(h->lacking_windows, h->most_windows);
    h->most_batches = greater(h->lacking_batches, h->most_batches);
    h->lacking_windows = h->lacking_batches = 0;
}

static void add_pulled(struct sc_healer *h, uint64_t batches, uint64_t bytes)
{
    h->pulled++;
    pthread_mutex_lock(&h->mutex);
    h->stats.groups++;
    h->stats.batches += batches;
    h->stats.bytes += bytes;
    pthread_mutex_unlock(&h->mutex);
}

static void add_failed(struct sc_healer *h, uint64_t groups, const char *why)
{
    pthread_mutex_lock(&h->mutex);
    h->stats.failed += groups;
    snprintf(h->stats.problem, sizeof(h->stats.problem), "%.191s", why);
    pthread_mutex_unlock(&h->mutex);
}

static bool is_hurried(struct sc_healer *h)
{
    pthread_mutex_lock(&h->mutex);
    bool hurried = h->stats.hurried;
    pthread_mutex_unlock(&h->mutex);
    return hurried;
}

static void wait_for(struct sc_healer *h, uint64_t ms, bool between_rounds)
{
    const struct timespec until = sc_clock_mono_in(ms);
    pthread_mutex_lock(&h->mutex);
    if (!atomic_load(&h->stopping) && !(between_rounds && h->asked_to_hurry))
        pthread_cond_timedwait(&h->wake, &h->mutex, &until);
    pthread_mutex_unlock(&h->mutex);
}

/* Until it is to stop, to hurry, or that the members are others. */
static void pause_for(struct sc_healer *h, uint64_t ms)
{
    wait_for(h, ms, false);
}

/* The same between two rounds: a hurry that was asked for in the last one begins. */
static void rest_for(struct sc_healer *h, uint64_t ms)
{
    wait_for(h, ms, true);
}

/* ---- what is to be here ---- */

static bool holds_lane(const struct sc_cluster *c, uint32_t member, uint32_t lane)
{
    uint32_t holders[SC_CLUSTER_MAX_COPIES];
    uint32_t n = sc_cluster_holders(c, lane, holders);
    for (uint32_t i = 0; i < n; i++) {
        if (holders[i] == member)
            return true;
    }
    return false;
}

/* Whether both are to hold some lane, or one of them leaves it to the other. */
static bool shares_lane(const struct sc_healer *h, uint32_t member)
{
    const struct sc_cluster *c = &h->cluster;
    if (!sc_member_takes(&c->members[member]))
        return true;
    for (uint32_t i = 0; i < c->count; i++) {
        if (holds_lane(c, h->self, c->members[i].lane) && holds_lane(c, member, c->members[i].lane))
            return true;
    }
    return false;
}

static int compare_digests(const struct sc_link_digest *a, const struct sc_link_digest *b)
{
    if (a->lane != b->lane)
        return a->lane < b->lane ? -1 : 1;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    return a->window_s < b->window_s ? -1 : a->window_s > b->window_s;
}

static int compare_for_search(const void *x, const void *y)
{
    return compare_digests(x, y);
}

/* What ought to be there is learned first; that a stream is closed when all else is here. */
static int order_of(const struct sc_link_digest *d)
{
    return d->lane != SC_TOLD_LANE ? 1 : d->window_ms != 0 ? 0 : 2;
}

static int compare_newest_first(const void *x, const void *y)
{
    const struct sc_link_digest *a = x, *b = y;
    if (order_of(a) != order_of(b))
        return order_of(a) - order_of(b);
    if (a->window_ms != b->window_ms)
        return a->window_ms > b->window_ms ? -1 : 1;
    return compare_digests(a, b);
}

static const struct sc_link_digest *own_digest(const struct sc_healer *h, const struct sc_link_digest *theirs)
{
    return h->own_count == 0 ? NULL
                             : bsearch(theirs, h->own, h->own_count, sizeof(*theirs), compare_for_search);
}

/* How many batches lack at least: they may hold others. */
static uint64_t least_lacking(const struct sc_healer *h, const struct sc_link_digest *theirs)
{
    const struct sc_link_digest *own = own_digest(h, theirs);
    uint64_t here = own == NULL ? 0 : own->batches;
    if (theirs->lane == SC_TOLD_LANE)
        return 0;
    return theirs->batches > here ? theirs->batches - here : 0;
}

static bool may_lack(const struct sc_healer *h, const struct sc_link_digest *theirs)
{
    const struct sc_link_digest *own = own_digest(h, theirs);
    if (own != NULL && own->hash == theirs->hash)
        return false;
    if (theirs->lane == SC_TOLD_LANE)
        return theirs->window_ms == 0 || theirs->window_ms >= h->told_from_ms;
    return theirs->window_ms >= h->from_ms && theirs->window_s != 0 &&
           holds_lane(&h->cluster, h->self, theirs->lane);
}

/* Those that may lack something stay, newest first. */
static uint32_t choose(struct sc_healer *h, struct sc_link_digest *list, uint32_t count)
{
    uint32_t kept = 0;
    uint64_t batches = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!may_lack(h, &list[i]))
            continue;
        batches += least_lacking(h, &list[i]);
        list[kept++] = list[i];
    }
    if (kept > 1)
        qsort(list, kept, sizeof(*list), compare_newest_first);
    add_lacking(h, kept, (int64_t)batches);
    return kept;
}

/* ---- asking ---- */

static struct sc_link_ask about_window(uint8_t what, const struct sc_link_digest *d)
{
    return (struct sc_link_ask){
        .what = what, .lane = d->lane, .window_ms = d->window_ms, .window_s = d->window_s};
}

/* Of what digests are asked for. */
static uint64_t begin_of(const struct sc_healer *h)
{
    return h->from_ms < h->told_from_ms ? h->from_ms : h->told_from_ms;
}

/* By retention; 0: there is no bound. */
static uint64_t most_bytes(struct sc_healer *h)
{
    pthread_mutex_lock(&h->mutex);
    uint64_t bytes = h->retention.bytes;
    pthread_mutex_unlock(&h->mutex);
    return sc_room_bytes(bytes);
}

/* What is here now, and what of it retention by size keeps: nobody asks for what is older. */
static enum sc_status look_here(struct sc_healer *h, struct sc_error *err)
{
    const struct sc_link_ask ask = {.what = SC_ASK_DIGESTS, .window_ms = begin_of(h), .end_ms = h->end_ms};
    struct sc_loan *loan = sc_lender_ask_here(h->lender, &ask, most_bytes(h));
    if (loan == NULL || loan->outcome != SC_GIVEN_ALL) {
        sc_loan_free(loan);
        return sc_fail(err, SC_IO, "the own store cannot be read");
    }
    free(h->own);
    h->own = loan->digests;
    h->own_count = loan->count;
    h->own_hash = loan->hash;
    h->held_bytes = loan->held_bytes;
    h->from_ms = loan->kept_from_ms > h->from_ms ? loan->kept_from_ms : h->from_ms;
    loan->digests = NULL;
    sc_loan_free(loan);
    return SC_OK;
}

/* What they hold of a window and this node does not. */
static enum sc_status find_lacking(struct sc_healer *h, const struct sc_link_digest *d,
                                   struct sc_link_holds **out, uint32_t *count, struct sc_error *err)
{
    const struct sc_link_ask ask = about_window(SC_ASK_HOLDS, d);
    struct sc_loan *theirs;
    SC_TRY(sc_asker_ask(h->asker, &ask, &theirs, err));
    struct sc_loan *own = sc_lender_ask_here(h->lender, &ask, 0);
    *out = theirs->holds;
    *count = sc_holds_settle(theirs->holds, theirs->count);
    theirs->holds = NULL;
    bool good = own != NULL && own->outcome == SC_GIVEN_ALL && theirs->outcome == SC_GIVEN_ALL &&
                sc_holds_without(out, count, own->holds, own->count) == SC_OK;
    h->older_bytes = good ? own->held_bytes : 0;
    sc_loan_free(theirs);
    sc_loan_free(own);
    if (good)
        return SC_OK;
    free(*out);
    *out = NULL;
    *count = 0;
    return sc_fail(err, SC_IO, "what is held of a window cannot be read");
}

/* ---- pulling ---- */

/* False: there is none for more. Retention by size deletes what is older first. */
static bool has_room(struct sc_healer *h)
{
    struct sc_lane_store_stats stats;
    uint64_t held = h->held_bytes > h->older_bytes ? h->held_bytes - h->older_bytes : 0;
    uint64_t most = most_bytes(h);
    sc_lane_store_get_stats(h->store, &stats);
    return !stats.full && (most == 0 || held < most);
}

/* The rest of the node comes first. */
static void give_way(struct sc_healer *h, uint64_t bytes)
{
    while (sc_lane_store_tight(h->store) && !atomic_load(&h->stopping))
        pause_for(h, TIGHT_MS);
    if (!is_hurried(h))
        pause_for(h, bytes * 1000 / SC_HEALER_RATE);
}

/* Waits until what was handed over is durable. */
static enum sc_status sync_all(struct sc_healer *h, struct sc_error *err)
{
    uint32_t failed = sc_lane_store_healed(h->store);
    h->unsynced = 0;
    if (failed == 0)
        return SC_OK;
    add_failed(h, failed, "the own store did not take a row group");
    return sc_fail(err, SC_IO, "the own store did not take %u row groups", failed);
}

/* The lane store looks at the head again, and would refuse it. */
static bool is_of_window(const struct sc_batch_head *head, const struct sc_encoded_group *group,
                         const struct sc_link_digest *d)
{
    return head->id.lane == d->lane && head->window_ms == d->window_ms && head->window_s == d->window_s &&
           head->id.stream == group->span.stream && head->id.sequence == group->span.sequence &&
           head->records == group->ref.rows && head->record_kind == group->ref.record_kind;
}

/* Takes the batches of a row group out of what lacks. Only what is whole, and of this lane and window, may be. */
static enum sc_status check_group(const struct sc_loan *loan, const struct sc_link_digest *d,
                                  struct sc_link_holds **lacking, uint32_t *count, uint64_t *batches,
                                  struct sc_error *err)
{
    struct sc_encoded_group group;
    SC_TRY(sc_row_group_check(loan->bytes->bytes, loan->bytes->size, &group, err));
    struct sc_link_holds *held = malloc(group.span_count * sizeof(*held));
    bool good = is_of_window(&loan->head, &group, d);
    for (uint32_t i = 0; held != NULL && i < group.span_count; i++) {
        const struct sc_span span = sc_encoded_group_span(&group, i);
        good = good && span.lane == d->lane;
        held[i] = (struct sc_link_holds){d->lane,     d->window_ms,  d->window_s,
                                         span.stream, span.sequence, span.sequence};
    }
    *batches = sc_holds_batches(*lacking, *count);
    enum sc_status status = held == NULL ? SC_NOMEM : SC_OK;
    if (status == SC_OK && good)
        status = sc_holds_without(lacking, count, held, sc_holds_settle(held, group.span_count));
    *batches -= sc_holds_batches(*lacking, *count);
    free(held);
    sc_encoded_group_free(&group);
    if (status != SC_OK)
        return sc_fail_nomem(err, "a row group");
    return good && *batches != 0 ? SC_OK : sc_fail(err, SC_DAMAGED, "a row group is not what was asked for");
}

/* The loan's bytes are nobody else's. */
static enum sc_status store_group(struct sc_healer *h, const struct sc_loan *loan, struct sc_error *err)
{
    uint8_t *bytes = malloc(loan->bytes->size);
    if (bytes == NULL)
        return sc_fail_nomem(err, "a row group");
    memcpy(bytes, loan->bytes->bytes, loan->bytes->size);
    if (!sc_lane_store_heal(h->store, &loan->head, bytes))
        return sc_fail_nomem(err, "a row group");
    h->unsynced += loan->bytes->size;
    h->held_bytes += loan->bytes->size;
    return h->unsynced < UNSYNCED_BYTES ? SC_OK : sync_all(h, err);
}

/* What they do not give, or not whole, others may. */
static void pass_over(struct sc_healer *h, struct sc_link_holds **lacking, uint32_t *count, const char *why)
{
    struct sc_link_holds *first = &(*lacking)[0];
    add_failed(h, 1, why);
    h->passed_over++;
    h->vain++;
    h->lacking_batches++; /* it lacks still */
    if (first->first++ == first->last)
        memmove(first, first + 1, --*count * sizeof(*first));
}

static enum sc_status pull_group(struct sc_healer *h, const struct sc_link_digest *d,
                                 struct sc_link_holds **lacking, uint32_t *count, struct sc_error *err)
{
    struct sc_link_ask ask = about_window(SC_ASK_GROUP, d);
    struct sc_loan *loan;
    struct sc_error damage = {.message = "a member does not give a row group that it tells of"};
    uint64_t batches;
    ask.stream = (*lacking)[0].stream;
    ask.sequence = (*lacking)[0].first;
    SC_TRY(sc_asker_ask(h->asker, &ask, &loan, err));
    enum sc_status status = SC_OK;
    if (loan->bytes == NULL || check_group(loan, d, lacking, count, &batches, &damage) != SC_OK) {
        pass_over(h, lacking, count, damage.message);
    } else {
        status = store_group(h, loan, err);
        h->vain = 0;
        add_pulled(h, batches, loan->bytes->size);
        give_way(h, loan->bytes->size);
    }
    sc_loan_free(loan);
    return status;
}

static enum sc_status pull_window(struct sc_healer *h, const struct sc_link_digest *d, bool *lacked,
                                  struct sc_error *err)
{
    struct sc_link_holds *lacking;
    uint32_t count;
    uint64_t told = least_lacking(h, d);
    SC_TRY(find_lacking(h, d, &lacking, &count, err));
    enum sc_status status = SC_OK;
    add_lacking(h, 0, (int64_t)(sc_holds_batches(lacking, count) - told));
    *lacked = *lacked || count != 0;
    h->vain = 0;
    while (status == SC_OK && count != 0 && h->vain < MOST_VAIN) {
        uint64_t before = sc_holds_batches(lacking, count);
        status = !has_room(h) ? sc_fail(err, SC_FULL, "there is no room for what lacks here")
                              : pull_group(h, d, &lacking, &count, err);
        add_lacking(h, 0, (int64_t)(sc_holds_batches(lacking, count) - before));
    }
    free(lacking);
    return status;
}

/* What the member was told of a window, or of streams. */
static enum sc_status pull_told(struct sc_healer *h, const struct sc_link_digest *d, struct sc_error *err)
{
    const struct sc_link_ask ask = about_window(SC_ASK_TOLD, d);
    struct sc_loan *loan;
    SC_TRY(sc_asker_ask(h->asker, &ask, &loan, err));
    bool all = loan->outcome == SC_GIVEN_ALL;
    for (uint32_t i = 0; i < loan->count && loan->told != NULL; i++) {
        struct sc_link_told *told = &loan->told[i];
        told->stream.closed = told->stream.closed && h->all_told;
        all = sc_lane_store_told(h->store, told) == SC_REFUSAL_NONE && all;
    }
    h->all_told = h->all_told && all;
    pause_for(h, (uint64_t)loan->count * TOLD_MS);
    sc_loan_free(loan);
    return SC_OK;
}

/* ---- one member ---- */

static enum sc_status pull_windows(struct sc_healer *h, struct sc_link_digest *list, uint32_t count,
                                   bool *lacked, struct sc_error *err)
{
    enum sc_status status = SC_OK;
    uint64_t before = h->passed_over;
    uint32_t left = choose(h, list, count);
    h->all_told = true;
    for (uint32_t i = 0; i < left && status == SC_OK; i++) {
        uint64_t passed_over = h->passed_over;
        status = atomic_load(&h->stopping)      ? sc_fail(err, SC_CANCELLED, "stopping")
                 : list[i].lane == SC_TOLD_LANE ? pull_told(h, &list[i], err)
                                                : pull_window(h, &list[i], lacked, err);
        if (status == SC_OK && h->passed_over == passed_over)
            add_lacking(h, -1, 0);
    }
    struct sc_error unsynced;
    enum sc_status synced = sync_all(h, &unsynced);
    if (status == SC_OK && synced != SC_OK)
        *err = unsynced;
    status = status == SC_OK ? synced : status;
    if (status == SC_OK && h->passed_over != before)
        return sc_fail(err, SC_DAMAGED, "some row groups that it tells of cannot be had");
    return status;
}

/* *lacked: something did. */
static enum sc_status heal_from(struct sc_healer *h, uint32_t member, struct sc_tls *tls, bool *lacked,
                                struct sc_error *err)
{
    struct partner *p = &h->partners[member];
    const struct sc_link_ask ask = {.what = SC_ASK_DIGESTS,
                                    .window_ms = begin_of(h),
                                    .end_ms = h->end_ms,
                                    .hash = p->own_hash == h->own_hash ? p->their_hash : 0};
    struct sc_loan *loan;
    SC_TRY(sc_asker_open(h->asker, &h->cluster, h->self, member, tls, err));
    SC_TRY(sc_asker_ask(h->asker, &ask, &loan, err));
    enum sc_status status = SC_OK;
    uint64_t hash = sc_digests_hash(loan->digests, loan->count);
    if (loan->outcome == SC_GIVEN_FAILED)
        status = sc_fail(err, SC_IO, "%s cannot read its store", h->cluster.members[member].name);
    else if (loan->outcome == SC_GIVEN_ALL)
        status = pull_windows(h, loan->digests, loan->count, lacked, err);
    if (status == SC_OK && !*lacked && loan->outcome == SC_GIVEN_ALL) {
        p->their_hash = hash;
        p->own_hash = h->own_hash;
    }
    sc_loan_free(loan);
    return status;
}

static void note_outcome(struct sc_healer *h, uint32_t member, enum sc_status status, const char *why)
{
    struct partner *p = &h->partners[member];
    uint64_t pause = AGAIN_MS << (p->failures < 12 ? p->failures : 12);
    if (status == SC_OK) {
        p->failures = 0;
        p->next_ms = 0;
        return;
    }
    if (status == SC_CANCELLED)
        return;
    p->failures++;
    p->next_ms = sc_clock_mono_ms() + (pause < AGAIN_MOST_MS ? pause : AGAIN_MOST_MS);
    char what[192];
    snprintf(what, sizeof(what), "%.63s: %.120s", h->cluster.members[member].name, why);
    add_failed(h, 0, what);
}

static void visit(struct sc_healer *h, uint32_t member)
{
    struct sc_error err = {0};
    bool lacked = false;
    pthread_mutex_lock(&h->mutex);
    struct sc_tls *tls = sc_tls_hold(h->tls);
    snprintf(h->stats.from, sizeof(h->stats.from), "%s", h->cluster.members[member].name);
    pthread_mutex_unlock(&h->mutex);
    enum sc_status status = heal_from(h, member, tls, &lacked, &err);
    sc_asker_close(h->asker);
    sc_tls_release(tls);
    note_outcome(h, member, status, err.message);
    keep_lacking(h);
    h->all_asked = h->all_asked && status == SC_OK;
    if (lacked) /* what the next one has may be here now */
        (void)look_here(h, &err);
}

/* ---- a round ---- */

static void take_members(struct sc_healer *h)
{
    pthread_mutex_lock(&h->mutex);
    struct sc_cluster fresh = h->fresh;
    uint32_t self = h->fresh_self;
    h->fresh = (struct sc_cluster){0};
    pthread_mutex_unlock(&h->mutex);
    struct partner *partners = fresh.count == 0 ? NULL : calloc(fresh.count, sizeof(*partners));
    if (partners == NULL) {
        sc_cluster_free(&fresh);
        return;
    }
    sc_cluster_free(&h->cluster);
    free(h->partners);
    h->cluster = fresh;
    h->self = self;
    h->partners = partners;
}

static void begin_round(struct sc_healer *h)
{
    uint64_t now = sc_reference_now(h->reference);
    take_members(h);
    pthread_mutex_lock(&h->mutex);
    uint64_t age_ms = h->retention.age_s * 1000;
    h->stats.problem[0] = '\0';
    h->asked_to_hurry = false;
    pthread_mutex_unlock(&h->mutex);
    h->from_ms = age_ms == 0 || age_ms > now ? 0 : now - age_ms;
    h->end_ms = now - SC_HEALER_SETTLE_MS;
    struct sc_lane_store_stats stats;
    sc_lane_store_get_stats(h->store, &stats);
    h->told_from_ms = stats.told_from_ms;
    h->lacking_windows = h->lacking_batches = h->most_windows = h->most_batches = 0;
    h->pulled = h->passed_over = 0;
    h->all_asked = false;
}

/* Of those that share no lane one in turn: what they have is left from another ring. */
static bool is_due(struct sc_healer *h, uint32_t member, uint32_t turn)
{
    bool shares = shares_lane(h, member), hurried = is_hurried(h);
    if (member == h->self || !h->cluster.members[member].subcollector ||
        (!shares && !hurried && turn != member))
        return false;
    bool waits = !hurried && sc_clock_mono_ms() < h->partners[member].next_ms;
    h->all_asked = h->all_asked && !(waits && shares);
    return !waits;
}

static void visit_all(struct sc_healer *h)
{
    uint32_t turn = h->turn++ % h->cluster.count;
    h->all_asked = true;
    for (uint32_t i = 1; i < h->cluster.count && !atomic_load(&h->stopping); i++) {
        uint32_t member = (h->self + i) % h->cluster.count;
        if (is_due(h, member, turn))
            visit(h, member);
    }
    h->all_asked = h->all_asked && !atomic_load(&h->stopping);
}

/* A hurry ends when there is nothing more to be done for now. @return the pause. */
static uint64_t end_round(struct sc_healer *h)
{
    bool lacks = h->most_batches != 0 || h->most_windows != 0, whole;
    uint64_t since_ms, now = sc_clock_wall_ms();
    tell_lacking(h);
    pthread_mutex_lock(&h->mutex);
    struct sc_healer_stats *s = &h->stats;
    whole = !lacks && h->all_asked && h->fresh.count == 0; /* others may ask more of it */
    since_ms = s->lacking_since_ms;
    s->rounds++;
    s->from[0] = '\0';
    s->hurried = h->asked_to_hurry || (s->hurried && h->pulled != 0);
    s->lacking_since_ms = whole ? 0 : since_ms;
    s->whole_ms = whole ? now : s->whole_ms;
    s->whole_to_ms = whole ? h->end_ms : s->whole_to_ms;
    bool again = s->hurried || s->problem[0] != '\0' || h->pulled != 0;
    pthread_mutex_unlock(&h->mutex);
    if (whole)
        sc_lane_store_is_whole(h->store, h->from_ms);
    if (whole && since_ms != 0)
        sc_log(&h->log, SC_LOG_INFO, "everything that ought to be here is");
    return again ? AGAIN_MS : SC_HEALER_EVERY_MS;
}

static void *run(void *arg)
{
    struct sc_healer *h = arg;
    pthread_setname_np(pthread_self(), "sc-healer");
    rest_for(h, AGAIN_MS); /* the links come up first */
    while (!atomic_load(&h->stopping)) {
        struct sc_error err;
        begin_round(h);
        if (look_here(h, &err) == SC_OK)
            visit_all(h);
        else
            add_failed(h, 0, err.message);
        rest_for(h, end_round(h));
    }
    return NULL;
}

/* ---- outside ---- */

static void free_healer(struct sc_healer *h)
{
    sc_asker_free(h->asker);
    sc_cluster_free(&h->cluster);
    sc_cluster_free(&h->fresh);
    sc_tls_release(h->tls);
    free(h->partners);
    free(h->own);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->mutex);
    free(h);
}

static void init_shared(struct sc_healer *h)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct sc_healer *sc_healer_start(const struct sc_healer_options *options, struct sc_error *err)
{
    struct sc_healer *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        sc_fail_nomem(err, "the healer");
        return NULL;
    }
    init_shared(h);
    h->store = options->store;
    h->lender = options->lender;
    h->reference = options->reference;
    h->log = options->log;
    h->self = options->self;
    h->tls = sc_tls_hold(options->tls);
    h->retention = options->retention;
    h->asker = sc_asker_create(&h->stopping);
    h->partners = calloc(options->cluster->count, sizeof(*h->partners));
    int failed = ENOMEM;
    if (h->asker != NULL && h->partners != NULL && sc_cluster_copy(options->cluster, &h->cluster) == SC_OK)
        failed = pthread_create(&h->thread, NULL, run, h);
    if (failed == 0)
        return h;
    free_healer(h);
    sc_fail_errno(err, failed, "cannot start the healer");
    return NULL;
}

void sc_healer_stop(struct sc_healer *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->mutex);
    atomic_store(&h->stopping, true);
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->mutex);
    pthread_join(h->thread, NULL);
    free_healer(h);
}

enum sc_status sc_healer_set_cluster(struct sc_healer *h, const struct sc_cluster *cluster, uint32_t self)
{
    struct sc_cluster fresh;
    SC_TRY(sc_cluster_copy(cluster, &fresh));
    pthread_mutex_lock(&h->mutex);
    sc_cluster_free(&h->fresh);
    h->fresh = fresh;
    h->fresh_self = self;
    h->stats.whole_ms = h->stats.whole_to_ms = 0;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->mutex);
    return SC_OK;
}

void sc_healer_set_tls(struct sc_healer *h, struct sc_tls *tls)
{
    pthread_mutex_lock(&h->mutex);
    sc_tls_release(h->tls);
    h->tls = sc_tls_hold(tls);
    pthread_mutex_unlock(&h->mutex);
}

void sc_healer_set_retention(struct sc_healer *h, const struct sc_retention *retention)
{
    pthread_mutex_lock(&h->mutex);
    h->retention = *retention;
    pthread_mutex_unlock(&h->mutex);
}

void sc_healer_hurry(struct sc_healer *h)
{
    pthread_mutex_lock(&h->mutex);
    h->stats.hurried = h->asked_to_hurry = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->mutex);
}

void sc_healer_get_stats(struct sc_healer *h, struct sc_healer_stats *out)
{
    pthread_mutex_lock(&h->mutex);
    *out = h->stats;
    pthread_mutex_unlock(&h->mutex);
}
