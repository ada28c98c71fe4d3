// SPDX-License-Identifier: BSD-3-Clause
/* How many copies there are of what. The intervals of all nodes, lane by lane, are swept from their first number to their last:
 * between two ends the number of nodes that hold the batches does not change. */
#include "cluster/holdings.h"

#include <stdlib.h>

/* Both are sorted and found by their first member (sc_holding_compare). */

/* From at.first on the number of copies is another one. */
struct edge {
    struct sc_holding at;
    int change;
};

/* How many batches of a window, stream and lane somebody holds. */
struct lane_copies {
    struct sc_holding of; /* first 0 */
    uint64_t held;
};

struct comparison {
    struct edge *edges;
    size_t edge_count;
    struct lane_copies *lanes; /* by window, stream, lane */
    size_t lane_count;
    struct sc_holdings tallies;       /* of all nodes, and what they know to be lost; no intervals */
    struct sc_window_copies *windows; /* ascending */
    uint32_t window_count;
    uint32_t replication;
    const struct sc_horizons *horizons;
};

static enum sc_status gather(struct comparison *c, const struct sc_holdings *const *nodes, uint32_t count)
{
    size_t most = 0;
    for (uint32_t n = 0; n < count; n++)
        most += nodes[n] == NULL ? 0 : nodes[n]->count;
    c->edges = malloc((2 * most + 1) * sizeof(*c->edges));
    c->lanes = malloc((most + 1) * sizeof(*c->lanes));
    if (c->edges == NULL || c->lanes == NULL)
        return SC_NOMEM;
    for (uint32_t n = 0; n < count; n++) {
        for (uint32_t i = 0; nodes[n] != NULL && i < nodes[n]->count; i++) {
            const struct sc_holding *h = &nodes[n]->list[i];
            c->edges[c->edge_count++] = (struct edge){.at = *h, .change = 1};
            c->edges[c->edge_count] = (struct edge){.at = *h, .change = -1};
            c->edges[c->edge_count++].at.first = h->last + 1;
        }
    }
    if (c->edge_count > 1)
        qsort(c->edges, c->edge_count, sizeof(*c->edges), sc_holding_compare);
    return SC_OK;
}

static bool is_excused(const struct comparison *c, const struct sc_tally *t, const struct sc_tally_lane *lane)
{
    return t->window_ms < sc_horizons_of(c->horizons, lane->lane);
}

/* Whether anything is expected of it. */
static bool expects(const struct comparison *c, const struct sc_tally *t)
{
    for (uint32_t i = 0; i < t->lane_count; i++) {
        if (!is_excused(c, t, &t->lanes[i]))
            return true;
    }
    return false;
}

static enum sc_status gather_tallies(struct comparison *c, const struct sc_holdings *const *nodes,
                                     uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        for (uint32_t i = 0; nodes[n] != NULL && i < nodes[n]->tally_count; i++) {
            const struct sc_tally *from = &nodes[n]->tallies[i];
            struct sc_tally copy = *from;
            if (!expects(c, from))
                continue;
            copy.lanes = NULL;
            copy.lane_count = 0;
            if (sc_tally_merge(&copy, from) != SC_OK) {
                sc_tally_free(&copy);
                return SC_NOMEM;
            }
            SC_TRY(sc_holdings_add_tally(&c->tallies, &copy));
        }
    }
    return SC_OK;
}

static enum sc_status gather_losses(struct comparison *c, const struct sc_holdings *const *nodes,
                                    uint32_t count)
{
    struct sc_losses *all = &c->tallies.losses;
    for (uint32_t n = 0; n < count; n++) {
        for (uint32_t i = 0; nodes[n] != NULL && i < nodes[n]->losses.count; i++)
            SC_TRY(sc_losses_add(all, &nodes[n]->losses.list[i]));
        for (uint32_t i = 0; nodes[n] != NULL && i < nodes[n]->losses.stream_count; i++)
            SC_TRY(sc_losses_add_stream(all, &nodes[n]->losses.streams[i]));
    }
    return SC_OK;
}

/* ---- windows ---- */

static int compare_windows(const void *x, const void *y)
{
    const struct sc_window_copies *a = x, *b = y;
    return a->window_ms < b->window_ms ? -1 : a->window_ms > b->window_ms;
}

/* The last windows that anybody knows of. */
static enum sc_status list_windows(struct comparison *c, uint32_t most)
{
    size_t count = 0;
    struct sc_window_copies *w = calloc(c->edge_count + c->tallies.tally_count + 1, sizeof(*w));
    if (w == NULL)
        return SC_NOMEM;
    for (size_t i = 0; i < c->edge_count; i++)
        w[count++].window_ms = c->edges[i].at.window_ms;
    for (uint32_t i = 0; i < c->tallies.tally_count; i++)
        w[count++].window_ms = c->tallies.tallies[i].window_ms;
    if (count > 1)
        qsort(w, count, sizeof(*w), compare_windows);
    for (size_t i = 0; i < count; i++) {
        if (c->window_count == 0 || w[c->window_count - 1].window_ms != w[i].window_ms)
            w[c->window_count++].window_ms = w[i].window_ms;
    }
    c->windows = w;
    uint32_t early = c->window_count > most ? c->window_count - most : 0;
    for (uint32_t i = 0; i < c->window_count - early; i++)
        w[i].window_ms = w[i + early].window_ms;
    c->window_count -= early;
    return SC_OK;
}

static struct sc_window_copies *window_of(const struct comparison *c, uint64_t window_ms)
{
    struct sc_window_copies key = {.window_ms = window_ms};
    return bsearch(&key, c->windows, c->window_count, sizeof(key), compare_windows);
}

/* ---- the sweep ---- */

static void count_batches(const struct comparison *c, struct sc_window_copies *w, uint64_t batches,
                          int copies)
{
    if (copies >= (int)c->replication)
        w->whole += batches;
    else if (copies > 1)
        w->fewer += batches;
    else
        w->single += batches;
}

static bool same_lane(const struct sc_holding *a, const struct sc_holding *b)
{
    return a->window_ms == b->window_ms && a->stream == b->stream && a->lane == b->lane;
}

static void sweep(struct comparison *c)
{
    for (size_t i = 0, n; i < c->edge_count; i += n) {
        const struct edge *first = &c->edges[i];
        struct sc_window_copies *w = window_of(c, first->at.window_ms);
        struct lane_copies *lane = &c->lanes[c->lane_count++];
        int copies = 0;
        *lane = (struct lane_copies){.of = first->at};
        lane->of.first = 0;
        for (n = 0; i + n < c->edge_count && same_lane(&first->at, &first[n].at); n++) {
            uint64_t batches = n == 0 ? 0 : first[n].at.first - first[n - 1].at.first;
            if (copies > 0 && w != NULL) {
                count_batches(c, w, batches, copies);
                lane->held += batches;
            }
            copies += first[n].change;
        }
    }
}

/* ---- what ought to be there ---- */

/* Takes from `from` what is still left of an accepted loss. */
static uint64_t take_known(uint64_t *from, uint64_t *left)
{
    uint64_t n = *from < *left ? *from : *left;
    *from -= n;
    *left -= n;
    return n;
}

/* What waits is lost only where the stream was given up: a proxy may be about to send it. */
static void judge_lane(const struct comparison *c, const struct sc_tally *t, const struct sc_tally_lane *lane,
                       struct sc_window_copies *w)
{
    struct lane_copies key = {{.window_ms = t->window_ms, .stream = t->stream, .lane = lane->lane}, 0};
    const struct lane_copies *found = bsearch(&key, c->lanes, c->lane_count, sizeof(key), sc_holding_compare);
    const struct sc_loss *accepted_loss =
        sc_losses_find(&c->tallies.losses, t->stream, t->window_ms, lane->lane);
    uint64_t held = found == NULL ? 0 : found->held;
    uint64_t safe = lane->safe.batches[0] + lane->safe.batches[1];
    uint64_t accepted = lane->accepted.batches[0] + lane->accepted.batches[1];
    uint64_t there = held > safe ? held : safe;
    uint64_t missing = safe > held ? safe - held : 0;
    uint64_t waiting = accepted > there ? accepted - there : 0;
    uint64_t left =
        accepted_loss == NULL ? 0 : accepted_loss->lost.batches[0] + accepted_loss->lost.batches[1];
    w->lost += take_known(&missing, &left);
    if (sc_losses_closed(&c->tallies.losses, t->stream))
        w->lost += take_known(&waiting, &left);
    w->missing += missing;
    w->waiting += waiting;
}

static void judge(struct comparison *c)
{
    for (uint32_t i = 0; i < c->tallies.tally_count; i++) {
        const struct sc_tally *t = &c->tallies.tallies[i];
        struct sc_window_copies *w = window_of(c, t->window_ms);
        for (uint32_t l = 0; w != NULL && l < t->lane_count; l++) {
            if (!is_excused(c, t, &t->lanes[l]))
                judge_lane(c, t, &t->lanes[l], w);
        }
    }
    for (uint32_t i = 0; i < c->window_count; i++) {
        struct sc_window_copies *w = &c->windows[i];
        w->known = w->whole + w->fewer + w->single + w->missing + w->waiting + w->lost;
    }
}

enum sc_status sc_copies_compare(const struct sc_holdings *const *nodes, uint32_t count, uint32_t replication,
                                 uint32_t windows, const struct sc_horizons *horizons,
                                 struct sc_window_copies **out, uint32_t *out_count)
{
    struct comparison c = {.replication = replication, .horizons = horizons};
    enum sc_status status = gather(&c, nodes, count);
    if (status == SC_OK)
        status = gather_tallies(&c, nodes, count);
    if (status == SC_OK)
        status = gather_losses(&c, nodes, count);
    if (status == SC_OK)
        status = list_windows(&c, windows);
    if (status == SC_OK) {
        sweep(&c);
        judge(&c);
        *out = c.windows;
        *out_count = c.window_count;
    } else {
        free(c.windows);
    }
    free(c.edges);
    free(c.lanes);
    sc_holdings_free(&c.tallies);
    return status;
}
