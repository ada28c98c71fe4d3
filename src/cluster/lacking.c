// SPDX-License-Identifier: BSD-3-Clause
/* The intervals of all members, lane by lane, are swept from their first number to their last: between two ends nobody's holding
 * changes (as in copies.c). */
#include "cluster/lacking.h"

#include "base/array.h"

#include <stdlib.h>

/* From at.first on a member holds the lane's batches, whole or damaged, or does not any more. Sorted by `at`. */
struct edge {
    struct sc_holding at;
    uint32_t member;
    int whole, damaged;
};

/* A member that is to hold the lane, at the place of the sweep. */
struct holder {
    uint32_t member;
    bool told;
    int whole, damaged;
    struct sc_lack lack;
};

struct sweep {
    const struct sc_cluster *cluster;
    const struct sc_lacking_member *members;
    struct edge *edges;
    size_t edge_count;
    struct holder holders[SC_CLUSTER_MAX_COPIES];
    uint32_t holder_count;
    int whole, damaged; /* copies, wherever they are */
    struct sc_lack *out;
    uint32_t count;
};

/* ---- edges ---- */

static size_t most_edges(const struct sweep *s)
{
    size_t most = 0;
    for (uint32_t n = 0; n < s->cluster->count; n++) {
        const struct sc_lacking_member *m = &s->members[n];
        most += m->whole == NULL ? 0 : 2 * ((size_t)m->whole->count + m->damaged->count);
    }
    return most;
}

static void add_edges(struct sweep *s, uint32_t member, const struct sc_holdings *held, int whole,
                      int damaged)
{
    for (uint32_t i = 0; i < held->count; i++) {
        struct edge *e = &s->edges[s->edge_count];
        e[0] = (struct edge){held->list[i], member, whole, damaged};
        e[1] = (struct edge){held->list[i], member, -whole, -damaged};
        e[1].at.first = held->list[i].last + 1;
        s->edge_count += 2;
    }
}

static enum sc_status gather(struct sweep *s)
{
    s->edges = malloc((most_edges(s) + 1) * sizeof(*s->edges));
    if (s->edges == NULL)
        return SC_NOMEM;
    for (uint32_t n = 0; n < s->cluster->count; n++) {
        if (s->members[n].whole == NULL)
            continue;
        add_edges(s, n, s->members[n].whole, 1, 0);
        add_edges(s, n, s->members[n].damaged, 0, 1);
    }
    if (s->edge_count > 1)
        qsort(s->edges, s->edge_count, sizeof(*s->edges), sc_holding_compare);
    return SC_OK;
}

/* ---- the sweep ---- */

static void begin_lane(struct sweep *s, const struct sc_holding *lane)
{
    uint32_t targets[SC_CLUSTER_MAX_COPIES];
    s->whole = s->damaged = 0;
    s->holder_count = sc_cluster_holders(s->cluster, lane->lane, targets);
    for (uint32_t i = 0; i < s->holder_count; i++) {
        const struct sc_lack none = {
            .window_ms = lane->window_ms, .stream = lane->stream, .lane = lane->lane, .member = targets[i]};
        s->holders[i] =
            (struct holder){.member = targets[i], .told = s->members[targets[i]].whole != NULL, .lack = none};
    }
}

static void take_edge(struct sweep *s, const struct edge *e)
{
    s->whole += e->whole;
    s->damaged += e->damaged;
    for (uint32_t i = 0; i < s->holder_count; i++) {
        if (s->holders[i].member != e->member)
            continue;
        s->holders[i].whole += e->whole;
        s->holders[i].damaged += e->damaged;
    }
}

static void count_lack(const struct sweep *s, struct holder *h, uint64_t batches)
{
    struct sc_lack *lack = &h->lack;
    bool expired = lack->window_ms < s->members[h->member].kept_from_ms;
    if (!h->told || h->whole > 0 || (h->damaged == 0 && expired))
        return;
    bool first = lack->absent + lack->damaged == 0;
    *(h->damaged > 0 ? &lack->damaged : &lack->absent) += batches;
    if (first || (uint32_t)s->whole < lack->left)
        lack->left = (uint32_t)s->whole;
}

/* What lies before the edge that comes next. */
static void take_stretch(struct sweep *s, uint64_t batches)
{
    for (uint32_t i = 0; i < s->holder_count && batches != 0 && s->whole + s->damaged > 0; i++)
        count_lack(s, &s->holders[i], batches);
}

static enum sc_status end_lane(struct sweep *s)
{
    for (uint32_t i = 0; i < s->holder_count; i++) {
        const struct sc_lack *lack = &s->holders[i].lack;
        if (lack->absent + lack->damaged == 0)
            continue;
        if (!sc_array_more(s->out, s->count, 1))
            return SC_NOMEM;
        s->out[s->count++] = *lack;
    }
    return SC_OK;
}

static enum sc_status sweep_all(struct sweep *s)
{
    for (size_t i = 0, n; i < s->edge_count; i += n) {
        const struct edge *first = &s->edges[i];
        begin_lane(s, &first->at);
        for (n = 0; i + n < s->edge_count && sc_holding_compare_lanes(&first->at, &first[n].at) == 0; n++) {
            take_stretch(s, n == 0 ? 0 : first[n].at.first - first[n - 1].at.first);
            take_edge(s, &first[n]);
        }
        SC_TRY(end_lane(s));
    }
    return SC_OK;
}

enum sc_status sc_lacking_find(const struct sc_cluster *cluster, const struct sc_lacking_member *members,
                               struct sc_lack **out, uint32_t *count)
{
    struct sweep s = {.cluster = cluster, .members = members};
    enum sc_status status = gather(&s);
    if (status == SC_OK)
        status = sweep_all(&s);
    free(s.edges);
    if (status != SC_OK) {
        free(s.out);
        return status;
    }
    *out = s.out;
    *count = s.count;
    return SC_OK;
}

/* ---- the sum ---- */

static int compare_sums(const void *x, const void *y)
{
    const struct sc_lack *a = x, *b = y;
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    if (a->lane != b->lane)
        return a->lane < b->lane ? -1 : 1;
    return a->member < b->member ? -1 : a->member > b->member;
}

uint32_t sc_lacking_sum(struct sc_lack *list, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 1)
        qsort(list, count, sizeof(*list), compare_sums);
    for (uint32_t i = 0; i < count; i++) {
        list[i].stream = 0;
        if (i == 0 || compare_sums(&list[kept - 1], &list[i]) != 0) {
            list[kept++] = list[i];
            continue;
        }
        struct sc_lack *sum = &list[kept - 1];
        sum->absent += list[i].absent;
        sum->damaged += list[i].damaged;
        sum->left = list[i].left < sum->left ? list[i].left : sum->left;
    }
    return kept;
}
