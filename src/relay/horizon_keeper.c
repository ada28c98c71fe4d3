// SPDX-License-Identifier: BSD-3-Clause
#include "relay/horizon_keeper.h"

#include <stdio.h>

_Static_assert(SC_CLUSTER_MAX_MEMBERS <= SC_HORIZONS_MAX && SC_CLUSTER_MAX_COPIES <= SC_HORIZONS_HOLDERS &&
                   SC_CLUSTER_NAME_MAX <= SC_PROXY_NAME_MAX,
               "what a membership file may say fits");

void sc_horizon_keeper_load(struct sc_horizon_keeper *k, const char *store)
{
    (void)sc_horizons_read(store, &k->known, NULL);
}

void sc_horizon_keeper_free(struct sc_horizon_keeper *k)
{
    sc_horizons_free(&k->known);
}

void sc_horizon_keeper_rewrite(struct sc_horizon_keeper *k)
{
    k->known.node = 0; /* nobody's: it differs from what is to be written */
}

uint64_t sc_horizon_keeper_least(const struct sc_horizon_keeper *k)
{
    return k->known.least_ms;
}

static uint64_t last_known(const struct sc_horizon_keeper *k, uint32_t lane)
{
    for (uint32_t i = 0; i < k->known.member_count; i++) {
        if (k->known.members[i].lane == lane)
            return k->known.members[i].horizon_ms;
    }
    return 0;
}

/* ---- what others keep ---- */

/* What a member told since then; UINT64_MAX: nothing. */
static uint64_t told_since(const struct sc_horizon_sources *s, const struct sc_member *m, uint64_t since_ms)
{
    struct sc_link_facts heard;
    int64_t ahead_ms;
    struct sc_facts_time now = sc_facts_now();
    bool told = s->facts != NULL && sc_facts_get(s->facts, m->name, now, &heard, &ahead_ms) &&
                now.mono_ms - heard.age_ms >= since_ms;
    return told ? heard.horizon_ms : UINT64_MAX;
}

/* The least horizon of the others who are to hold the lane, when all have told; 0: this node is not to. */
static uint64_t others_of(const struct sc_horizon_sources *s, uint32_t lane, uint64_t since_ms)
{
    bool own = false, all = true;
    uint64_t least = UINT64_MAX;
    uint32_t holders[SC_CLUSTER_MAX_COPIES], count = sc_cluster_holders(s->cluster, lane, holders);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_member *m = &s->cluster->members[holders[i]];
        uint64_t horizon_ms = m->lane == s->node ? UINT64_MAX : told_since(s, m, since_ms);
        own = own || m->lane == s->node;
        all = all && (m->lane == s->node || horizon_ms != UINT64_MAX);
        least = horizon_ms < least ? horizon_ms : least;
    }
    return !own ? 0 : all ? least : UINT64_MAX;
}

uint64_t sc_horizon_keeper_others(const struct sc_horizon_sources *s, uint64_t since_ms)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->cluster->count; i++) {
        uint64_t others_ms = others_of(s, s->cluster->members[i].lane, since_ms);
        most = others_ms > most ? others_ms : most;
    }
    return most;
}

/* ---- what is to be kept ---- */

/* A horizon may have gone back: what a member tells now counts. */
static uint64_t horizon_of(const struct sc_horizon_keeper *k, const struct sc_horizon_sources *s,
                           const struct sc_member *m)
{
    struct sc_link_facts heard;
    int64_t ahead_ms;
    if (m->lane == s->node)
        return s->own_ms;
    if (s->facts != NULL && sc_facts_get(s->facts, m->name, sc_facts_now(), &heard, &ahead_ms))
        return heard.horizon_ms;
    return last_known(k, m->lane);
}

static enum sc_status add_lane(const struct sc_cluster *c, const struct sc_member *m, struct sc_horizons *out)
{
    uint32_t holders[SC_CLUSTER_MAX_COPIES];
    struct sc_lane_holders lane = {.lane = m->lane, .count = sc_cluster_holders(c, m->lane, holders)};
    for (uint32_t i = 0; i < lane.count; i++)
        lane.holders[i] = c->members[holders[i]].lane;
    return sc_horizons_add_lane(out, &lane);
}

static enum sc_status add_member(const struct sc_horizon_keeper *k, const struct sc_horizon_sources *s,
                                 const struct sc_member *m, struct sc_horizons *out)
{
    struct sc_member_horizon member = {.lane = m->lane, .horizon_ms = horizon_of(k, s, m)};
    snprintf(member.name, sizeof(member.name), "%s", m->name);
    return sc_horizons_add_member(out, &member);
}

/* Who is gone holds nothing any more, and what was told of it last is forgotten. */
static enum sc_status list(const struct sc_horizon_keeper *k, const struct sc_horizon_sources *s,
                           struct sc_horizons *out)
{
    const struct sc_cluster *c = s->cluster;
    *out = (struct sc_horizons){.version = c->version, .node = s->node};
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->members[i].subcollector)
            SC_TRY(add_member(k, s, &c->members[i], out));
    }
    for (uint32_t i = 0; i < c->count; i++)
        SC_TRY(add_lane(c, &c->members[i], out));
    sc_horizons_settle(out);
    return SC_OK;
}

/* ---- keeping it ---- */

static bool equal(const struct sc_horizons *x, const struct sc_horizons *y)
{
    bool same = x->version == y->version && x->node == y->node && x->member_count == y->member_count &&
                x->lane_count == y->lane_count;
    for (uint32_t i = 0; same && i < x->member_count; i++)
        same =
            x->members[i].lane == y->members[i].lane && x->members[i].horizon_ms == y->members[i].horizon_ms;
    return same;
}

enum sc_status sc_horizon_keeper_tick(struct sc_horizon_keeper *k, const struct sc_horizon_sources *s,
                                      struct sc_error *err)
{
    struct sc_horizons now;
    enum sc_status status = list(k, s, &now);
    bool changed = status == SC_OK && !equal(&now, &k->known);
    if (status != SC_OK)
        sc_fail_nomem(err, "the horizons");
    if (changed)
        status = sc_horizons_write(s->store, &now, s->io, err);
    if (changed && status == SC_OK) {
        sc_horizons_free(&k->known);
        k->known = now;
    } else {
        sc_horizons_free(&now);
    }
    return status;
}
