// SPDX-License-Identifier: BSD-3-Clause
/*
 * The way of a batch in a cluster as a small state machine, and all that can happen to it: two proxies, three nodes, three
 * batches with two copies each, and up to FAULTS faults in any place: a node or a proxy is killed, a connection breaks with what
 * is on it lost, or delivered when nobody waits for an answer any more. Heals are free, and may come late or never.
 *
 * In every state that can be reached:
 *   - what was accepted is in the outbox of its proxy, or durable on a node;
 *   - a batch that leaves the outbox is durable on as many nodes as it should be, or on all that its proxy can use;
 *   - nothing is on a disk or on its way that was not accepted;
 *   - when everything is healed, all outboxes become empty and each batch is durable somewhere.
 * That the code does what the model does is the matter of relay/test_dispatch and of tests/cluster. A model that is wrong in one
 * of three ways has to be found out.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROXIES = 2, NODES = 3, BATCHES = 3, COPIES = 2, FAULTS = 2, ALL_NODES = (1 << NODES) - 1 };
enum phase { UNBORN, ACCEPTED, RELEASED };
enum mistake { NONE, ACK_BEFORE_SYNC, NO_REPLAY, ONE_COPY };

static const unsigned proxy_of[BATCHES] = {0, 0, 1}, home_of[BATCHES] = {0, 1, 2};

/*
 * Sets of nodes are bits. What a node has in memory is still on its way: it is lost with the node, and unanswered when the
 * connection breaks before it is durable.
 */
struct batch {
    uint8_t phase;
    uint8_t sent;    /* by this process, on this connection */
    uint8_t acked;   /* as the proxy knows */
    uint8_t wire;    /* on its way, and the connection stands */
    uint8_t ghost;   /* on its way on a connection that the proxy, or the network, gave up */
    uint8_t durable; /* on the node's disk */
};

struct state {
    uint8_t faults; /* still to come */
    uint8_t nodes, proxies;
    uint8_t usable[PROXIES], valid[PROXIES]; /* in the proxy's eyes; in truth */
    struct batch batches[BATCHES];
};

struct key {
    uint64_t a, b;
};

struct world {
    enum mistake mistake;
    struct state *states; /* all that were met, in order: also the queue */
    struct key *keys;
    uint32_t count, capacity;
    uint32_t *table; /* 1 + number of a state; open addressing */
    uint32_t size;
    const char *wrong;
};

/* ---- the set of states ---- */

static struct key pack(const struct state *s)
{
    struct key k = {s->faults, 0};
    k.a = k.a << 3 | s->nodes;
    k.a = k.a << 2 | s->proxies;
    for (unsigned p = 0; p < PROXIES; p++)
        k.a = k.a << 6 | (uint64_t)s->usable[p] << 3 | s->valid[p];
    for (unsigned i = 0; i < BATCHES; i++) {
        const struct batch *b = &s->batches[i];
        k.b = k.b << 15 | (uint64_t)b->sent << 12 | (uint64_t)b->acked << 9 | (uint64_t)b->wire << 6 |
              (uint64_t)b->ghost << 3 | b->durable;
        k.a = k.a << 2 | b->phase;
    }
    return k;
}

static uint32_t slot_of(const struct world *w, const struct key *k)
{
    uint64_t h = (k->a * UINT64_C(0x9e3779b97f4a7c15)) ^ (k->b * UINT64_C(0xbf58476d1ce4e5b9));
    h ^= h >> 29;
    uint32_t i = (uint32_t)(h * UINT64_C(0x94d049bb133111eb) >> 32) & (w->size - 1);
    while (w->table[i] != 0 && memcmp(&w->keys[w->table[i] - 1], k, sizeof(*k)) != 0)
        i = (i + 1) & (w->size - 1);
    return i;
}

static void grow(struct world *w)
{
    w->capacity = w->capacity == 0 ? 1 << 16 : w->capacity * 2;
    w->size = w->capacity * 2;
    w->states = realloc(w->states, w->capacity * sizeof(*w->states));
    w->keys = realloc(w->keys, w->capacity * sizeof(*w->keys));
    free(w->table);
    w->table = calloc(w->size, sizeof(*w->table));
    assert_true(w->states != NULL && w->keys != NULL && w->table != NULL);
    for (uint32_t i = 0; i < w->count; i++)
        w->table[slot_of(w, &w->keys[i])] = i + 1;
}

/* ---- the protocol ---- */

static unsigned size_of(unsigned set)
{
    return (unsigned)__builtin_popcount(set);
}

/* The first usable nodes on the ring from the home. */
static unsigned targets_of(const struct state *s, unsigned i)
{
    unsigned targets = 0;
    for (unsigned k = 0; k < NODES && size_of(targets) < COPIES; k++)
        targets |= s->usable[proxy_of[i]] & 1u << (home_of[i] + k) % NODES;
    return targets;
}

static void release_if_safe(struct world *w, struct state *s, unsigned i)
{
    struct batch *b = &s->batches[i];
    unsigned usable = s->usable[proxy_of[i]], wanted = size_of(usable) < COPIES ? size_of(usable) : COPIES;
    if (b->phase != ACCEPTED || wanted == 0 ||
        size_of(b->acked & usable) < (w->mistake == ONE_COPY ? 1 : wanted))
        return;
    if (size_of(b->durable) < wanted)
        w->wrong = "released, and not durable where it should be";
    b->phase = RELEASED;
    b->sent = b->acked = 0;
}

static void release_all(struct world *w, struct state *s, unsigned p)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        if (proxy_of[i] == p)
            release_if_safe(w, s, i);
    }
}

static void acknowledge(struct world *w, struct state *s, unsigned i, unsigned node)
{
    if ((s->valid[proxy_of[i]] & node) == 0 || s->batches[i].phase != ACCEPTED)
        return;
    s->batches[i].acked |= (uint8_t)node;
    release_if_safe(w, s, i);
}

static void send(struct state *s, unsigned p, unsigned node)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *b = &s->batches[i];
        if (proxy_of[i] != p || b->phase != ACCEPTED ||
            (targets_of(s, i) & node & ~(b->sent | b->acked)) == 0)
            continue;
        b->sent |= (uint8_t)node;
        b->wire |= (uint8_t)(node & s->valid[p]);
    }
}

/* It becomes durable, and then the answer goes back if the connection stands. */
static void deliver(struct world *w, struct state *s, unsigned i, unsigned node)
{
    struct batch *b = &s->batches[i];
    b->wire &= (uint8_t)~node;
    b->durable |= (uint8_t)node;
    acknowledge(w, s, i, node);
}

/* What is on the connection may come yet, but no answer goes back. */
static void cut(struct state *s, unsigned p, unsigned nodes)
{
    s->valid[p] &= (uint8_t)~nodes;
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *b = &s->batches[i];
        if (proxy_of[i] != p)
            continue;
        b->ghost |= (uint8_t)(b->wire & nodes);
        b->wire &= (uint8_t)~nodes;
    }
}

static void kill_node(struct state *s, unsigned node)
{
    s->nodes &= (uint8_t)~node;
    for (unsigned p = 0; p < PROXIES; p++)
        cut(s, p, node);
    for (unsigned i = 0; i < BATCHES; i++)
        s->batches[i].ghost &= (uint8_t)~node;
}

static void kill_proxy(struct state *s, unsigned p)
{
    s->proxies &= (uint8_t) ~(1u << p);
    cut(s, p, ALL_NODES);
    s->usable[p] = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        if (proxy_of[i] == p)
            s->batches[i].sent = s->batches[i].acked = 0;
    }
}

/* `again`: what was released lies in a file that has not gone, and is sent again. */
static void start_proxy(struct world *w, struct state *s, unsigned p, bool again)
{
    s->proxies |= (uint8_t)(1u << p);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *b = &s->batches[i];
        if (proxy_of[i] != p)
            continue;
        if (again && b->phase == RELEASED)
            b->phase = ACCEPTED;
        if (w->mistake == NO_REPLAY && b->phase == ACCEPTED)
            b->phase = RELEASED;
    }
}

/* The proxy sees that a connection is gone. */
static void notice(struct world *w, struct state *s, unsigned p, unsigned node)
{
    s->usable[p] &= (uint8_t)~node;
    for (unsigned i = 0; i < BATCHES; i++) {
        if (proxy_of[i] == p)
            s->batches[i].sent &= (uint8_t)~node;
    }
    release_all(w, s, p);
}

static void join(struct world *w, struct state *s, unsigned p, unsigned node)
{
    s->usable[p] |= (uint8_t)node;
    s->valid[p] |= (uint8_t)node;
    release_all(w, s, p);
}

/* ---- what may come next ---- */

/*
 * What is to be sent is sent at once: sent later is the same as delivered later, and not sent before a fault the same as lost with
 * the connection. What is still on its way of a batch that is released, or to a node that has it, changes nothing any more.
 */
static void meet(struct world *w, struct state *s)
{
    for (unsigned p = 0; p < PROXIES; p++) {
        for (unsigned node = 1; node <= ALL_NODES; node <<= 1)
            send(s, p, node);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *b = &s->batches[i];
        b->ghost &= (uint8_t)~b->durable;
        if (b->phase == RELEASED)
            b->wire = b->ghost = 0;
    }
    if (w->count == w->capacity)
        grow(w);
    const struct key k = pack(s);
    uint32_t i = slot_of(w, &k);
    if (w->table[i] != 0)
        return;
    w->keys[w->count] = k;
    w->states[w->count++] = *s;
    w->table[i] = w->count;
}

static void batch_steps(struct world *w, const struct state *from, unsigned i)
{
    const struct batch *b = &from->batches[i];
    bool in_turn = i == 0 || proxy_of[i - 1] != proxy_of[i] || from->batches[i - 1].phase != UNBORN;
    struct state s = *from;
    if (b->phase == UNBORN && in_turn && (from->proxies >> proxy_of[i] & 1) != 0) {
        s.batches[i].phase = ACCEPTED;
        meet(w, &s);
    }
    for (unsigned node = 1; node <= ALL_NODES; node <<= 1) {
        if ((from->nodes & b->wire & node) != 0) {
            s = *from;
            deliver(w, &s, i, node);
            meet(w, &s);
        }
        if ((from->nodes & b->wire & node) != 0 && w->mistake == ACK_BEFORE_SYNC) {
            s = *from;
            acknowledge(w, &s, i, node);
            meet(w, &s);
        }
        if ((from->nodes & b->ghost & node) != 0) {
            s = *from;
            s.batches[i].durable |= (uint8_t)node;
            meet(w, &s);
        }
    }
}

static void link_steps(struct world *w, const struct state *from, unsigned p, unsigned node)
{
    bool usable = (from->usable[p] & node) != 0, valid = (from->valid[p] & node) != 0;
    struct state s = *from;
    if (usable && !valid) {
        notice(w, &s, p, node);
        meet(w, &s);
    } else if (!usable && (from->proxies >> p & 1) != 0 && (from->nodes & node) != 0) {
        join(w, &s, p, node);
        meet(w, &s);
    } else if (valid && from->faults != 0) {
        s.faults--;
        cut(&s, p, node);
        meet(w, &s);
    }
}

static void node_steps(struct world *w, const struct state *from, unsigned node)
{
    struct state s = *from;
    if ((from->nodes & node) == 0) {
        s.nodes |= (uint8_t)node;
        meet(w, &s);
        return;
    }
    if (from->faults != 0) {
        s.faults--;
        kill_node(&s, node);
        meet(w, &s);
    }
}

static void proxy_steps(struct world *w, const struct state *from, unsigned p)
{
    bool alive = (from->proxies >> p & 1) != 0;
    for (int again = 0; again < 2 && !alive; again++) {
        struct state s = *from;
        start_proxy(w, &s, p, again);
        meet(w, &s);
    }
    if (alive && from->faults != 0) {
        struct state s = *from;
        s.faults--;
        kill_proxy(&s, p);
        meet(w, &s);
    }
}

static void all_steps(struct world *w, const struct state *from)
{
    for (unsigned i = 0; i < BATCHES; i++)
        batch_steps(w, from, i);
    for (unsigned node = 1; node <= ALL_NODES; node <<= 1) {
        node_steps(w, from, node);
        for (unsigned p = 0; p < PROXIES; p++)
            link_steps(w, from, p, node);
    }
    for (unsigned p = 0; p < PROXIES; p++)
        proxy_steps(w, from, p);
}

/* ---- what must hold ---- */

static void check_now(struct world *w, const struct state *s)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        const struct batch *b = &s->batches[i];
        if (b->phase == UNBORN && (b->wire | b->ghost | b->durable) != 0)
            w->wrong = "what was not accepted is under way";
        if (b->phase == RELEASED && b->durable == 0)
            w->wrong = "what was accepted is nowhere";
    }
}

/* Everything is healed, and what was on old connections is lost. */
static void check_healed(struct world *w, struct state s)
{
    s.nodes = ALL_NODES;
    for (unsigned p = 0; p < PROXIES; p++) {
        if ((s.proxies >> p & 1) == 0)
            start_proxy(w, &s, p, false);
        for (unsigned node = 1; node <= ALL_NODES; node <<= 1) {
            if ((s.usable[p] & ~s.valid[p] & node) != 0)
                notice(w, &s, p, node);
            if ((s.usable[p] & node) == 0)
                join(w, &s, p, node);
            send(&s, p, node);
        }
    }
    for (unsigned node = 1; node <= ALL_NODES; node <<= 1) {
        for (unsigned i = 0; i < BATCHES; i++) {
            if ((s.batches[i].wire & node) != 0)
                deliver(w, &s, i, node);
        }
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        if (s.batches[i].phase == ACCEPTED)
            w->wrong = "all is healed, and a batch stays in the outbox";
    }
    check_now(w, &s);
}

/* Visits all states, or until something is wrong. @return how many. */
static uint32_t explore(struct world *w)
{
    struct state start = {.faults = FAULTS,
                          .nodes = ALL_NODES,
                          .proxies = (1 << PROXIES) - 1,
                          .usable = {ALL_NODES, ALL_NODES},
                          .valid = {ALL_NODES, ALL_NODES}};
    meet(w, &start);
    for (uint32_t i = 0; i < w->count && w->wrong == NULL; i++) {
        const struct state s = w->states[i];
        check_now(w, &s);
        check_healed(w, s);
        all_steps(w, &s);
    }
    uint32_t count = w->count;
    free(w->states);
    free(w->keys);
    free(w->table);
    return count;
}

static void nothing_is_lost_whatever_happens(void **state)
{
    (void)state;
    struct world w = {.mistake = NONE};
    uint32_t count = explore(&w);
    if (w.wrong != NULL)
        fail_msg("after %u states: %s", count, w.wrong);
    print_message("# %u states\n", count);
    assert_true(count > 100000);
}

static void mistakes_are_found(void **state)
{
    (void)state;
    for (enum mistake mistake = ACK_BEFORE_SYNC; mistake <= ONE_COPY; mistake++) {
        struct world w = {.mistake = mistake};
        explore(&w);
        assert_non_null(w.wrong);
    }
}

UNIT(test_model)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_whatever_happens),
        cmocka_unit_test(mistakes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
