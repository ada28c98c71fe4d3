// SPDX-License-Identifier: BSD-3-Clause
/*
 * Healing, expiry and clocks by random walks against a model. Three members with a lane each; batches come to some of them, stores are
 * wiped, windows expire, clocks jump, members leave and come back, the ring, the copies and the retention change; in between one member
 * at a time heals with the programs' own code (healer, lender, stock, lane store, horizon keeper) from those that can be reached. The
 * model knows by sets of numbers and a ring of its own what each is to hold then, whether it may call itself whole, and its horizon.
 *
 * SC_SEED: this walk alone. SC_LONG: more of them.
 */
#include "heal_kit.h"

#include "relay/facts.h"
#include "relay/lender.h"
#include "store/horizon.h"
#include "store/horizons.h"

/* Batch i is the i-th of all, by lane and window; its number in the stream is i. */
enum { IDS = 72, EACH_LANE = IDS / MEMBERS, SPANS = 6, EACH_WINDOW = EACH_LANE / SPANS, PASSES = 10 };

#define NOON_MS (FIRST_MS + SPANS * WINDOW_MS + WINDOW_MS / 2) /* all windows are over */
#define ENDLESS UINT32_MAX

static uint32_t lane_of(uint32_t id)
{
    return id / EACH_LANE;
}

static uint64_t window_of(uint32_t id)
{
    return FIRST_MS + id % EACH_LANE / EACH_WINDOW * WINDOW_MS;
}

/* ---- time: nothing waits for it here ---- */

static atomic_bool hasty;         /* what comes again in a moment comes at once */
static _Atomic uint64_t ahead_ms; /* of the monotonic clock */
static atomic_bool syncing;       /* the healer waits for a commit, and asks nobody */

uint64_t __real_sc_clock_mono_ms(void);
uint64_t __wrap_sc_clock_mono_ms(void);
uint64_t __wrap_sc_clock_mono_ms(void)
{
    return __real_sc_clock_mono_ms() + atomic_load(&ahead_ms);
}

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    enum { A_MOMENT_NS = 60000000, AT_ONCE_NS = 1000000 };
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    int64_t left_ns = (until->tv_sec - soon.tv_sec) * 1000000000 + until->tv_nsec - soon.tv_nsec;
    bool cut = atomic_load(&hasty) && left_ns > AT_ONCE_NS && left_ns < A_MOMENT_NS;
    soon.tv_nsec += AT_ONCE_NS;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    return __real_pthread_cond_timedwait(cond, mutex, cut ? &soon : until);
}

uint32_t __real_sc_lane_store_healed(struct sc_lane_store *store);
uint32_t __wrap_sc_lane_store_healed(struct sc_lane_store *store);
uint32_t __wrap_sc_lane_store_healed(struct sc_lane_store *store)
{
    atomic_store(&syncing, true);
    uint32_t failed = __real_sc_lane_store_healed(store);
    atomic_store(&syncing, false);
    return failed;
}

static void rest(void)
{
    const struct timespec t = {.tv_nsec = 2000000};
    if (atomic_load(&syncing))
        atomic_fetch_add(&ahead_ms, 100);
    nanosleep(&t, NULL);
}

/* ---- the model ---- */

struct model {
    char *path;
    bool held[IDS];
    uint64_t horizon_ms, told_ms[MEMBERS]; /* the own one; those of others that its store knows */
    uint64_t now_ms;
    struct sc_retention retention;
};

struct world {
    uint64_t seed, random;
    uint32_t steps;
    uint32_t order[MEMBERS]; /* the ring */
    enum sc_member_state states[MEMBERS];
    struct sc_member ring[MEMBERS];
    struct model members[MEMBERS];
};

static struct world world; /* threads outlive a test that fails */

static uint32_t any(struct world *w, uint32_t bound)
{
    return (uint32_t)(kit_random(&w->random) % bound);
}

/* `number`: of a member, a batch or a lane. */
static void claim(const struct world *w, bool good, const char *what, uint32_t number)
{
    if (!good)
        fail_msg("seed %llu, step %u: %s (%u)", (unsigned long long)w->seed, w->steps, what, number);
}

static bool has_role(const struct world *w, uint32_t m)
{
    return w->states[m] != SC_MEMBER_GONE;
}

static uint32_t place_of(const struct world *w, uint32_t m)
{
    uint32_t place = 0;
    while (w->order[place] != m)
        place++;
    return place;
}

/* Fewer active members than there are copies stand before it, on the way from the lane's home. */
static bool should_hold(const struct world *w, uint32_t m, uint32_t lane)
{
    uint32_t before = 0;
    for (uint32_t at = place_of(w, lane); w->order[at % MEMBERS] != m; at++)
        before += w->states[w->order[at % MEMBERS]] == SC_MEMBER_ACTIVE;
    return w->states[m] == SC_MEMBER_ACTIVE && before < cluster.replication;
}

static bool share_lane(const struct world *w, uint32_t m, uint32_t other)
{
    bool shared = false;
    for (uint32_t lane = 0; lane < MEMBERS; lane++)
        shared = shared || (should_hold(w, m, lane) && should_hold(w, other, lane));
    return shared;
}

/* Windows that begin before are too old for it. */
static uint64_t kept_by_age(const struct model *m)
{
    return m->retention.age_s == 0 ? 0 : m->now_ms - m->retention.age_s * 1000;
}

static bool is_wanted(const struct world *w, uint32_t m, uint32_t id)
{
    const struct model *model = &w->members[m];
    return should_hold(w, m, lane_of(id)) && window_of(id) >= kept_by_age(model) &&
           window_of(id) + WINDOW_MS + SC_HEALER_SETTLE_MS <= model->now_ms;
}

static uint64_t oldest_held(const struct model *m)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t id = 0; id < IDS; id++)
        oldest = m->held[id] && window_of(id) < oldest ? window_of(id) : oldest;
    return oldest;
}

static uint64_t newest_held(const struct model *m)
{
    uint64_t newest = 0;
    for (uint32_t id = 0; id < IDS; id++)
        newest = m->held[id] && window_of(id) > newest ? window_of(id) : newest;
    return newest;
}

static uint32_t count_held(const struct model *m)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < IDS; id++)
        count += m->held[id];
    return count;
}

/* From here on each lane that it is to hold is kept by another holder, as far as it was told. */
static uint64_t kept_by_others(const struct world *w, uint32_t m)
{
    uint64_t most = 0;
    for (uint32_t lane = 0; lane < MEMBERS; lane++) {
        uint64_t least = UINT64_MAX;
        for (uint32_t other = 0; other < MEMBERS; other++) {
            if (other != m && should_hold(w, other, lane) && w->members[m].told_ms[other] < least)
                least = w->members[m].told_ms[other];
        }
        if (should_hold(w, m, lane) && least > most)
            most = least;
    }
    return most;
}

/* Windows of the lane before this are excused to who reads this member's store alone. */
static uint64_t excused_before(const struct world *w, uint32_t m, uint32_t lane)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t holder = 0; holder < MEMBERS; holder++) {
        uint64_t horizon_ms = holder == m ? w->members[m].horizon_ms : w->members[m].told_ms[holder];
        if (should_hold(w, holder, lane) && horizon_ms < least)
            least = horizon_ms;
    }
    return least;
}

/* ---- what is on the disks ---- */

/* All of a batch is there once, or nothing of it. */
static void look_at(const struct world *w, struct kit_scan *scan, bool out[IDS])
{
    claim(w, scan->damaged == 0, "a store is damaged", scan->damaged);
    for (uint32_t id = 0; id < IDS; id++) {
        out[id] = scan->seen[id * ROWS] != 0;
        for (uint32_t i = 0; i < ROWS; i++)
            claim(w, scan->seen[id * ROWS + i] == out[id], "a batch is not counted once", id);
    }
    kit_scan_free(scan);
}

static void scan_stores(const struct world *w, uint32_t first, uint32_t count, bool out[IDS])
{
    struct sc_catalogue c = {.replicas = true};
    struct kit_scan scan = {.limit = (uint64_t)IDS * ROWS, .seen = calloc(IDS * ROWS, sizeof(uint32_t))};
    assert_non_null(scan.seen);
    for (uint32_t i = first; i < first + count; i++)
        assert_int_equal(sc_catalogue_add(&c, w->members[i].path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++)
        kit_scan_segment(&scan, c.files[i].path);
    sc_catalogue_free(&c);
    look_at(w, &scan, out);
}

static void check_member(const struct world *w, uint32_t m)
{
    bool held[IDS];
    scan_stores(w, m, 1, held);
    for (uint32_t id = 0; id < IDS; id++)
        claim(w, held[id] == w->members[m].held[id], "a store does not hold what the model does", id);
    claim(w, sc_store_horizon(w->members[m].path) == w->members[m].horizon_ms, "another horizon", m);
}

/* Of each window. */
static void weigh(const char *path, uint64_t bytes[SPANS])
{
    struct sc_catalogue c = {.replicas = true};
    memset(bytes, 0, SPANS * sizeof(*bytes));
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++)
        bytes[(c.files[i].window_ms - FIRST_MS) / WINDOW_MS] += c.files[i].bytes;
    sc_catalogue_free(&c);
}

static uint64_t bytes_from(const uint64_t bytes[SPANS], uint64_t window_ms)
{
    uint64_t sum = 0;
    for (uint64_t i = (window_ms - FIRST_MS) / WINDOW_MS; i < SPANS; i++)
        sum += bytes[i];
    return sum;
}

/* ---- steps ---- */

static void append_some(struct world *w, uint32_t m, uint32_t first, uint32_t end, bool sealed)
{
    char path[600];
    const uint32_t lane = lane_of(first);
    const struct sc_store_options options = {.lane = members[lane].lane, .window_s = 300};
    lane_path(w->members[m].path, lane, m, path, sizeof(path));
    struct sc_store_writer *writer = sc_store_writer_open(path, &options, NULL);
    assert_non_null(writer);
    for (uint32_t id = first; id < end; id++) {
        append(writer, id, members[lane].lane, window_of(id));
        w->members[m].held[id] = true;
    }
    if (sealed)
        assert_int_equal(sc_store_writer_seal(writer, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(writer, NULL), SC_OK);
}

/* A few of one lane and window, at whom they reached; also what was there before, as after a replay. */
static void store_batches(struct world *w)
{
    uint32_t begin = any(w, IDS / EACH_WINDOW) * EACH_WINDOW, reached = 1 + any(w, (1 << MEMBERS) - 1);
    uint32_t first = begin + any(w, EACH_WINDOW), end = first + 1 + any(w, EACH_WINDOW);
    bool sealed = any(w, 2) == 0;
    end = end < begin + EACH_WINDOW ? end : begin + EACH_WINDOW;
    for (uint32_t m = 0; m < MEMBERS; m++) {
        if ((reached >> m & 1) == 0 || !has_role(w, m))
            continue;
        append_some(w, m, first, end, sealed);
        check_member(w, m);
    }
}

static void wipe(struct world *w)
{
    struct model *m = &w->members[any(w, MEMBERS)];
    kit_remove(m->path);
    m->path = kit_folder();
    memset(m->held, 0, sizeof(m->held));
    memset(m->told_ms, 0, sizeof(m->told_ms));
    m->horizon_ms = 0;
}

static void forget_window(struct model *m, uint64_t window_ms)
{
    for (uint32_t id = 0; id < IDS; id++)
        m->held[id] = m->held[id] && window_of(id) != window_ms;
}

/* Oldest first, and never the newest; the horizon is where it stops, but never later than now. */
static void expire_model(struct model *m, const struct sc_retention *by)
{
    bool any_gone = false;
    uint64_t bytes[SPANS], oldest = oldest_held(m);
    weigh(m->path, bytes);
    for (; oldest < newest_held(m); oldest = oldest_held(m)) {
        bool old = by->age_s != 0 && oldest < m->now_ms - by->age_s * 1000;
        bool large = by->bytes != 0 && bytes_from(bytes, oldest) > by->bytes;
        if (!old && !large)
            break;
        forget_window(m, oldest);
        any_gone = true;
    }
    oldest = oldest < m->now_ms ? oldest : m->now_ms;
    m->horizon_ms = any_gone && oldest > m->horizon_ms ? oldest : m->horizon_ms;
}

/* By its retention, or as an operator says. */
static void expire(struct world *w)
{
    uint32_t m = any(w, MEMBERS);
    struct model *model = &w->members[m];
    struct sc_retention by = model->retention;
    struct sc_expiry expiry;
    if (any(w, 2) == 0)
        by = (struct sc_retention){.age_s = (1 + any(w, SPANS)) * WINDOW_MS / 1000};
    by.by_window = true;
    expire_model(model, &by);
    assert_int_equal(sc_store_expire(model->path, &by, model->now_ms, false, NULL, &expiry, NULL), SC_OK);
    check_member(w, m);
}

static void change_clock(struct world *w)
{
    w->members[any(w, MEMBERS)].now_ms = NOON_MS + any(w, 8) * WINDOW_MS - 4 * WINDOW_MS;
}

/* None; by age; by size, a part of what somebody holds. */
static void change_retention(struct world *w)
{
    struct sc_retention *r = &w->members[any(w, MEMBERS)].retention;
    uint64_t bytes[SPANS];
    *r = (struct sc_retention){0};
    switch (any(w, 5)) {
    case 0:
        break;
    case 1:
    case 2:
        weigh(w->members[any(w, MEMBERS)].path, bytes);
        r->bytes = bytes_from(bytes, FIRST_MS) * (1 + any(w, 8)) / 8;
        break;
    default:
        r->age_s = (2 + any(w, SPANS)) * WINDOW_MS / 1000;
        break;
    }
}

static void swap_places(struct world *w, uint32_t a, uint32_t b)
{
    uint32_t was = w->order[a];
    w->order[a] = w->order[b];
    w->order[b] = was;
}

/* One stays active. */
static void change_state(struct world *w, uint32_t m)
{
    bool others = false;
    for (uint32_t i = 0; i < MEMBERS; i++)
        others = others || (i != m && w->states[i] == SC_MEMBER_ACTIVE);
    if (w->states[m] != SC_MEMBER_ACTIVE || others)
        w->states[m] = (enum sc_member_state)((w->states[m] + 1 + any(w, 2)) % 3);
}

static void change_members(struct world *w)
{
    switch (any(w, 4)) {
    case 0:
        swap_places(w, any(w, MEMBERS), any(w, MEMBERS));
        break;
    case 1:
        cluster.replication = 1 + any(w, SC_CLUSTER_MAX_COPIES);
        break;
    default:
        change_state(w, any(w, MEMBERS));
        break;
    }
}

/* ---- who gives ---- */

struct other {
    struct peer peer;
    uint64_t random;
    atomic_uint patience; /* questions that it answers before it dies */
};

/* A row group that was given, in the order of all. */
struct given {
    uint32_t asked;
    bool has[IDS];
    uint64_t bytes;
};

static struct {
    pthread_mutex_t mutex;
    struct given list[4 * IDS];
    uint32_t count;
} book = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void write_down(uint32_t asked, const struct sc_buf *bytes)
{
    struct sc_encoded_group group;
    struct given *g = &book.list[book.count];
    if (book.count == 4 * IDS || sc_row_group_check(bytes->data, bytes->len, &group, NULL) != SC_OK)
        return;
    *g = (struct given){.asked = asked, .bytes = bytes->len};
    for (uint32_t i = 0; i < group.span_count; i++)
        g->has[sc_encoded_group_span(&group, i).sequence] = true;
    book.count++;
    sc_encoded_group_free(&group);
}

static void tell_digests(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_link_digest *list;
    uint32_t count;
    assert_int_equal(sc_stock_digests(&p->stock, ask->window_ms, ask->end_ms, &list, &count), SC_OK);
    bool same = ask->hash == sc_digests_hash(list, count);
    if (!same)
        sc_link_put_digests(w, list, count);
    put_given(w, ask, same ? SC_GIVEN_SAME : SC_GIVEN_ALL);
    free(list);
}

/* One by one in any order, some twice: nothing says that they come settled. */
static void tell_holds(struct other *o, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    const struct sc_window window = {ask->window_ms, ask->window_s};
    struct sc_link_holds *list, one[2 * EACH_WINDOW];
    uint32_t count, ones = 0;
    assert_int_equal(sc_stock_holds(&o->peer.stock, ask->lane, &window, &list, &count), SC_OK);
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t id = list[i].first; id <= list[i].last; id++) {
            for (uint64_t times = 1 + kit_random(&o->random) % 2; times > 0; times--) {
                uint32_t at = (uint32_t)(kit_random(&o->random) % ++ones);
                one[ones - 1] = one[at];
                one[at] = list[i];
                one[at].first = one[at].last = id;
            }
        }
    }
    sc_link_put_holds(w, one, ones);
    put_given(w, ask, SC_GIVEN_ALL);
    free(list);
}

static void give_group(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct sc_batch_head head;
    struct sc_buf bytes = {0};
    bool found = take_group(p, ask, &head, &bytes) == SC_OK;
    if (found) {
        pthread_mutex_lock(&book.mutex);
        write_down((uint32_t)ask->sequence, &bytes);
        pthread_mutex_unlock(&book.mutex);
        put_group(w, &head, &bytes);
    }
    put_given(w, ask, found ? SC_GIVEN_ALL : SC_GIVEN_NONE);
    sc_buf_free(&bytes);
}

static bool lends(struct peer *p, const struct sc_link_ask *ask, struct sc_link_writer *w)
{
    struct other *o = (struct other *)p;
    uint32_t left = atomic_load(&o->patience);
    if (left == 0)
        return false;
    atomic_store(&o->patience, left == ENDLESS ? left : left - 1);
    if (ask->what == SC_ASK_DIGESTS)
        tell_digests(p, ask, w);
    else if (ask->what == SC_ASK_HOLDS)
        tell_holds(o, ask, w);
    else if (ask->what == SC_ASK_GROUP)
        give_group(p, ask, w);
    else
        put_given(w, ask, SC_GIVEN_NONE);
    return true;
}

/* ---- a pass: one member heals ---- */

struct pass {
    uint32_t m;
    bool quiet;                  /* a round as they come by themselves; else in a hurry */
    uint32_t patience[MEMBERS];  /* of the others */
    bool sure[IDS], maybe[IDS];  /* it pulls */
    bool all_good, none_missing; /* of those that it asks: all answer to the end; none is away */
    uint64_t bytes[SPANS];       /* before */
    struct model before;
    struct sc_healer_stats stats;
};

static struct other others[MEMBERS]; /* threads outlive a test that fails */
static struct node node;

static bool is_other(const struct world *w, uint32_t m, uint32_t other)
{
    return other != m && has_role(w, other);
}

/* In a hurry everybody is; else who shares a lane, who leaves, and one in turn, who is the first here. */
static bool is_asked(const struct world *w, const struct pass *p, uint32_t other)
{
    return is_other(w, p->m, other) && (!p->quiet || w->states[other] == SC_MEMBER_DRAINING ||
                                        share_lane(w, p->m, other) || w->order[0] == other);
}

static void foresee(const struct world *w, struct pass *p)
{
    p->all_good = p->none_missing = true;
    for (uint32_t other = 0; other < MEMBERS; other++) {
        if (!is_asked(w, p, other))
            continue;
        p->all_good = p->all_good && p->patience[other] == ENDLESS;
        p->none_missing = p->none_missing && p->patience[other] != 0;
        for (uint32_t id = 0; id < IDS; id++) {
            bool lacks = w->members[other].held[id] && !p->before.held[id] && is_wanted(w, p->m, id);
            p->maybe[id] = p->maybe[id] || (lacks && p->patience[other] != 0);
            p->sure[id] = p->sure[id] || (lacks && p->patience[other] == ENDLESS);
        }
    }
}

static void build_ring(struct world *w)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        w->ring[i] = members[w->order[i]];
        w->ring[i].state = w->states[w->order[i]];
        w->ring[i].subcollector = w->ring[i].state != SC_MEMBER_GONE;
    }
    cluster.members = w->ring;
    cluster.version++;
}

static void open_others(struct world *w, const struct pass *p)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        know_member(i, 9);
        if (!is_other(w, p->m, i))
            continue;
        open_peer(&others[i].peer, i, w->members[i].path, lends);
        others[i].random = kit_random(&w->random);
        atomic_store(&others[i].patience, p->patience[i]);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (is_other(w, p->m, i))
            start_peer(&others[i].peer);
    }
}

static void stop_others(const struct world *w, const struct pass *p)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (is_other(w, p->m, i))
            atomic_store(&others[i].peer.stopping, true);
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (is_other(w, p->m, i))
            stop_peer(&others[i].peer);
    }
}

/* Those that are away tell nothing, and who is gone is forgotten. */
static void tell_horizons(struct world *w, const struct pass *p)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct sc_link_facts facts = {.horizon_ms = w->members[i].horizon_ms};
        uint64_t *told = &w->members[p->m].told_ms[i];
        snprintf(facts.name, sizeof(facts.name), "%s", names[i]);
        if (!has_role(w, i))
            *told = 0;
        if (!is_other(w, p->m, i) || p->patience[i] == 0)
            continue;
        sc_facts_hear(node.facts, &facts, sc_facts_now());
        *told = facts.horizon_ms;
    }
}

static uint64_t written_version(const struct world *w)
{
    struct sc_horizons h = {0};
    enum sc_status status = sc_horizons_read(node.path, &h, NULL);
    uint64_t version = h.version;
    claim(w, status == SC_OK || status == SC_NOTFOUND, "the horizons cannot be read", node.self);
    sc_horizons_free(&h);
    return version;
}

/* For the duties of a second, in which it follows the healer and what is told of horizons, and then writes the file. */
static void wait_for_second(const struct world *w, uint32_t hurry_ms)
{
    while (written_version(w) != cluster.version) {
        atomic_fetch_add(&ahead_ms, hurry_ms);
        rest();
    }
}

static void begin_pass(struct world *w, struct pass *p)
{
    p->before = w->members[p->m];
    foresee(w, p);
    book.count = 0;
    open_others(w, p);
    build_ring(w);
    set_time(p->before.now_ms);
    node = (struct node){.path = p->before.path, .self = place_of(w, p->m), .facts = sc_facts_create()};
    assert_non_null(node.facts);
    tell_horizons(w, p);
    open_node(&node, &p->before.retention);
    wait_for_second(w, 0); /* the first one is at once */
    weigh(p->before.path, p->bytes);
}

/* It rests at first, and is woken by news of members; when it was not resting yet they are lost on it. */
static void heal_quietly(struct pass *p)
{
    for (;;) {
        for (uint32_t i = 0; i < 5; i++)
            rest();
        assert_int_equal(sc_healer_set_cluster(node.healer, &cluster, node.self), SC_OK);
        p->stats = (struct sc_healer_stats){0};
        for (uint32_t i = 0; p->stats.rounds == 0 && (i < 200 || p->stats.from[0] != '\0'); i++) {
            rest();
            sc_healer_get_stats(node.healer, &p->stats);
        }
        if (p->stats.rounds != 0)
            return;
        sc_healer_stop(node.healer);
        start_healer(&node, &p->before.retention);
    }
}

/* Until it is whole if it is to be, and some rounds at least. */
static void heal_hurriedly(struct pass *p)
{
    uint64_t enough = 3;
    do {
        sc_healer_hurry(node.healer);
        rest();
        sc_healer_get_stats(node.healer, &p->stats);
        if (p->all_good && p->stats.whole_ms == 0)
            enough = 30;
    } while (p->stats.rounds < enough && !(p->stats.rounds >= 3 && p->stats.whole_ms != 0));
}

static void end_pass(struct world *w, struct pass *p)
{
    sc_healer_stop(node.healer);
    node.healer = NULL;
    atomic_fetch_add(&ahead_ms, 6000); /* what is told then was told after the pass */
    tell_horizons(w, p);
    cluster.version++;
    assert_int_equal(sc_lane_store_set_cluster(node.store, &cluster), SC_OK);
    wait_for_second(w, 100);
    stop_node(&node);
    sc_facts_free(node.facts);
    stop_others(w, p);
}

/* ---- what came of it ---- */

/* Before the i-th row group, of windows from there on: sealed they have less. */
static uint64_t bytes_given(uint32_t i, uint64_t window_ms)
{
    uint64_t bytes = 0;
    while (i-- > 0)
        bytes += window_of(book.list[i].asked) >= window_ms ? book.list[i].bytes : 0;
    return bytes;
}

/* No row group was asked for without a batch that lacks, and what is not asked for does not come. */
static void check_given(const struct world *w, const struct pass *p)
{
    bool here[IDS];
    uint64_t bytes = 0, most = p->before.retention.bytes;
    memcpy(here, p->before.held, sizeof(here));
    for (uint32_t i = 0; i < book.count; i++) {
        const struct given *g = &book.list[i];
        claim(w, p->maybe[g->asked], "a batch is asked for that is not to be pulled", g->asked);
        claim(w, !here[g->asked], "a batch is asked for that is here", g->asked);
        claim(w, most == 0 || bytes_given(i, window_of(g->asked)) < most * 2,
              "more is asked for than there is room for", g->asked);
        for (uint32_t id = 0; id < IDS; id++)
            here[id] = here[id] || g->has[id];
        bytes += g->bytes;
    }
    claim(w, p->stats.bytes * 10 <= bytes * 11, "more bytes than the row groups with what lacks", p->m);
}

static void check_holdings(struct world *w, const struct pass *p)
{
    struct model *m = &w->members[p->m];
    bool unbounded = p->before.retention.bytes == 0;
    scan_stores(w, p->m, 1, m->held);
    for (uint32_t id = 0; id < IDS; id++) {
        claim(w, m->held[id] || !p->before.held[id], "healing deleted a batch", id);
        claim(w, !m->held[id] || p->before.held[id] || p->maybe[id], "a batch came that is not to be here",
              id);
        claim(w, m->held[id] || !p->sure[id] || !unbounded, "a batch was not pulled", id);
        claim(w, m->held[id] || !p->maybe[id] || !unbounded || p->stats.whole_ms == 0,
              "whole without a batch", id);
    }
    claim(w, p->stats.batches <= count_held(m) - count_held(&p->before), "more batches than lacked", p->m);
}

/* Room is for windows, the newest first, that retention by size would keep. When a file is sealed, it has up to a half less. */
static void check_room(const struct world *w, const struct pass *p)
{
    const struct model *m = &w->members[p->m];
    uint64_t bytes[SPANS], most = p->before.retention.bytes;
    weigh(m->path, bytes);
    for (uint32_t id = 0; id < IDS && most != 0; id++) {
        bool came = m->held[id] && !p->before.held[id];
        claim(w, !came || bytes_from(p->bytes, window_of(id)) < most * 2,
              "a batch came that retention deletes", id);
        claim(w, m->held[id] || !p->sure[id] || p->quiet || bytes_from(bytes, window_of(id)) > most / 2,
              "there was room for a batch", id);
    }
}

static void check_whole(const struct world *w, const struct pass *p)
{
    bool whole = p->stats.whole_ms != 0, may_be_full = p->quiet && p->before.retention.bytes != 0;
    claim(w, whole || !p->all_good || may_be_full, "not whole, with all that others give", p->m);
    claim(w, !whole || p->none_missing, "whole, though not all were asked", p->m);
    claim(w, !whole || p->stats.lacking_batches == 0, "whole, and batches lack", p->m);
    claim(w, !whole || p->stats.lacking_since_ms == 0 || !p->all_good, "whole, and something lacks", p->m);
}

/* It goes back to what is here, and is kept by somebody else too; by size it is the healer who knows how far that is. */
static void check_horizon(struct world *w, const struct pass *p)
{
    struct model *m = &w->members[p->m];
    uint64_t found = sc_store_horizon(m->path), floor = kept_by_age(m);
    uint64_t others_ms = kept_by_others(w, p->m), oldest = oldest_held(m), passed_ms = 0;
    passed_ms = others_ms > floor || oldest > floor ? 0 : WINDOW_MS / 4; /* at most; age goes on meanwhile */
    floor = others_ms > floor ? others_ms : floor;
    floor = oldest > floor ? oldest : floor;
    bool back = p->stats.whole_ms != 0 && floor != 0 && floor < m->horizon_ms;
    if (p->before.retention.bytes == 0)
        claim(w, back ? found <= floor + passed_ms : found == m->horizon_ms, "a horizon stays, or went",
              p->m);
    claim(w, found <= m->horizon_ms && (found == m->horizon_ms || (back && found >= floor)),
          "a horizon moved", p->m);
    m->horizon_ms = found;
}

static void check_readers(const struct world *w, const struct pass *p)
{
    struct sc_horizons h = {0};
    assert_int_equal(sc_horizons_add_store(&h, w->members[p->m].path, NULL), SC_OK);
    for (uint32_t lane = 0; lane < MEMBERS; lane++)
        claim(w, sc_horizons_of(&h, members[lane].lane) == excused_before(w, p->m, lane),
              "other windows of a lane are excused", lane);
    sc_horizons_free(&h);
}

static void run_pass(struct world *w, struct pass *p)
{
    begin_pass(w, p);
    if (p->quiet)
        heal_quietly(p);
    else
        heal_hurriedly(p);
    end_pass(w, p);
    check_given(w, p);
    check_holdings(w, p);
    check_room(w, p);
    check_whole(w, p);
    check_horizon(w, p);
    check_readers(w, p);
}

/* Most of the others are there; one may be away, or die. */
static void heal(struct world *w)
{
    struct pass p = {.m = any(w, MEMBERS), .quiet = any(w, 2) == 0};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        uint32_t fate = any(w, 8);
        p.patience[i] = fate == 0 ? 0 : fate == 1 ? 1 + any(w, 6) : ENDLESS;
    }
    if (has_role(w, p.m))
        run_pass(w, &p);
}

/* ---- walks ---- */

static void open_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .random = seed};
    cluster.replication = 2;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        know_member(i, 9);
        w->order[i] = i;
        w->members[i] = (struct model){.path = kit_folder(), .now_ms = NOON_MS};
    }
}

static void close_world(const struct world *w)
{
    for (uint32_t m = 0; m < MEMBERS; m++)
        kit_remove(w->members[m].path);
}

static void step(struct world *w)
{
    uint32_t what = any(w, 100);
    w->steps++;
    if (what < 48)
        store_batches(w);
    else if (what < 64)
        expire(w);
    else if (what < 68)
        wipe(w);
    else if (what < 74)
        change_clock(w);
    else if (what < 85)
        change_retention(w);
    else
        change_members(w);
}

/* All are up and have the time: what anybody has is with all who are to hold it. Somebody who reads all stores counts it once. */
static void come_to_rest(struct world *w)
{
    bool held[IDS], any_held[IDS] = {0};
    for (uint32_t m = 0; m < MEMBERS; m++) {
        struct pass p = {.m = m, .patience = {ENDLESS, ENDLESS, ENDLESS}};
        w->steps++;
        w->members[m].now_ms = NOON_MS;
        w->members[m].retention.bytes = 0;
        if (has_role(w, m))
            run_pass(w, &p);
    }
    for (uint32_t m = 0; m < MEMBERS; m++) {
        for (uint32_t id = 0; id < IDS; id++)
            any_held[id] = any_held[id] || w->members[m].held[id];
    }
    for (uint32_t id = 0; id < IDS; id++) {
        bool given = false;
        for (uint32_t m = 0; m < MEMBERS; m++)
            given = given || (has_role(w, m) && w->members[m].held[id]);
        for (uint32_t m = 0; m < MEMBERS; m++)
            claim(w, !given || !is_wanted(w, m, id) || w->members[m].held[id], "a copy lacks in the end", id);
    }
    scan_stores(w, 0, MEMBERS, held);
    for (uint32_t id = 0; id < IDS; id++)
        claim(w, held[id] == any_held[id], "a reader of all stores finds something else", id);
}

static void walk(uint64_t seed)
{
    struct world *w = &world;
    open_world(w, seed);
    for (uint32_t passes = 0; passes < PASSES; passes++) {
        for (uint32_t steps = 2 + any(w, 6); steps > 0; steps--)
            step(w);
        w->steps++;
        heal(w);
    }
    come_to_rest(w);
    close_world(w);
}

static void members_heal_as_the_model_does(void **state)
{
    (void)state;
    const char *seed = getenv("SC_SEED");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    uint64_t walks = seed != NULL ? 1 : getenv("SC_LONG") != NULL ? 200 : 14;
    atomic_store(&hasty, true);
    for (uint64_t i = 0; i < walks; i++)
        walk(first + i);
    atomic_store(&hasty, false);
}

/* It waits for the commit of what the second member gave, and is stopped, while the third one has what lacks, too. */
static void who_is_stopped_is_not_whole(void **state)
{
    (void)state;
    enum { LATE = EACH_LANE - EACH_WINDOW };
    struct world *w = &world;
    struct pass p = {.patience = {ENDLESS, ENDLESS, ENDLESS}};
    open_world(w, 0);
    cluster.replication = MEMBERS;
    append_some(w, 0, LATE, EACH_LANE, true);
    append_some(w, 1, 0, EACH_WINDOW, true);
    append_some(w, 2, EACH_WINDOW, 2 * EACH_WINDOW, true);
    w->members[0].horizon_ms = window_of(LATE);
    assert_int_equal(sc_store_set_horizon(w->members[0].path, window_of(LATE), NULL, NULL), SC_OK);
    begin_pass(w, &p);
    sc_healer_hurry(node.healer);
    for (; !atomic_load(&syncing) && p.stats.rounds == 0; nap())
        sc_healer_get_stats(node.healer, &p.stats);
    end_pass(w, &p);
    scan_stores(w, 0, 1, w->members[0].held);
    claim(w, w->members[0].held[0], "nothing came from the second member", 0);
    claim(w,
          sc_store_horizon(w->members[0].path) == window_of(LATE) ||
              count_held(&w->members[0]) == 3 * EACH_WINDOW,
          "its horizon went back, though something lacks", 0);
    close_world(w);
}

UNIT(test_heal_model)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_stopped_is_not_whole),
                                       cmocka_unit_test(members_heal_as_the_model_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
