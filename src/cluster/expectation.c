// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/expectation.h"

#include "base/clock.h"
#include "cluster/horizons_told.h"
#include "cluster/json_number.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- what ought to be there ---- */

static enum sc_status expect_tallies(struct sc_expected *e, const struct sc_holdings *held)
{
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < held->tally_count && status == SC_OK; i++) {
        struct sc_tally copy = held->tallies[i];
        copy.lanes = NULL;
        copy.lane_count = 0;
        status = sc_tally_merge(&copy, &held->tallies[i]);
        if (status == SC_OK)
            status = sc_expected_add_tally(e, &copy);
        sc_tally_free(&copy);
    }
    return status;
}

/* A stream that was given up is closed. */
static enum sc_status expect_losses(struct sc_expected *e, const struct sc_losses *losses)
{
    SC_TRY(sc_losses_add_all(&e->losses, losses));
    for (uint32_t i = 0; i < losses->stream_count; i++) {
        if (losses->streams[i].closed)
            SC_TRY(sc_expected_add_stream(e, &losses->streams[i]));
    }
    return SC_OK;
}

enum sc_status sc_streams_to_answer(const char *store, json_t *answer, struct sc_error *err)
{
    struct sc_stream *streams;
    uint32_t count;
    json_t *list = json_array();
    json_object_set_new(answer, "now_ms", json_integer((json_int_t)sc_clock_wall_ms()));
    json_object_set_new(answer, "streams", list);
    SC_TRY(sc_stream_list(store, &streams, &count, err));
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:I, s:b}", "proxy", streams[i].proxy, "stream",
                                        json_sprintf("%016" PRIx64, streams[i].stream), "heard_ms",
                                        (json_int_t)streams[i].heard_ms, "closed", (int)streams[i].closed));
    free(streams);
    return SC_OK;
}

/* How long ago it was heard of is told by the clock of the node that heard it. */
static enum sc_status expect_streams(struct sc_expected *e, const json_t *root)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(root, "streams"), i, one)
    {
        const char *proxy = json_string_value(json_object_get(one, "proxy"));
        const char *hex = json_string_value(json_object_get(one, "stream"));
        struct sc_stream stream = {.stream = strtoull(hex == NULL ? "" : hex, NULL, 16),
                                   .heard_ms = sc_json_number(one, "heard_ms") + e->now_ms -
                                               sc_json_number(root, "now_ms"),
                                   .closed = json_is_true(json_object_get(one, "closed"))};
        if (proxy == NULL || !sc_holdings_is_proxy(proxy))
            continue; /* no word that could be recorded */
        memcpy(stream.proxy, proxy, strlen(proxy) + 1);
        SC_TRY(sc_expected_add_stream(e, &stream));
    }
    return SC_OK;
}

static enum sc_status expect(struct sc_expected *e, const struct sc_survey *v)
{
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        const struct sc_survey_node *node = &v->nodes[i];
        if (!node->has_held)
            continue;
        SC_TRY(sc_horizons_from_answer(node->root, &e->horizons));
        SC_TRY(expect_tallies(e, &node->held));
        SC_TRY(expect_losses(e, &node->held.losses));
        SC_TRY(expect_streams(e, node->root));
    }
    return sc_expected_merge_tallies(e);
}

/* ---- what is there ---- */

/* The batches that anybody holds, each once. */
static enum sc_status unite(const struct sc_survey *v, struct sc_holdings *all)
{
    for (uint32_t n = 0; n < v->cluster->count; n++) {
        const struct sc_survey_node *node = &v->nodes[n];
        for (uint32_t i = 0; node->has_held && i < node->held.count; i++)
            SC_TRY(sc_holdings_add(all, &node->held.list[i]));
    }
    sc_holdings_settle(all);
    return SC_OK;
}

static uint64_t count_held(const struct sc_holdings *all, const struct sc_tally *t, uint32_t lane)
{
    const struct sc_holding *one = sc_holdings_find(all, t->window_ms, t->stream, lane), *first = one;
    uint64_t batches = 0;
    for (; one != NULL && one < all->list + all->count && sc_holding_compare_lanes(one, first) == 0; one++)
        batches += one->last - one->first + 1;
    return batches;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* By how many batches there are, of both kinds together, whatever their numbers: at the first look nobody tells kinds and records. A lane
 * that has less is asked for both. */
static bool is_whole(const struct sc_tally *t, const struct sc_tally_lane *l, const struct sc_holdings *all)
{
    const uint64_t *accepted = l->accepted.batches, *safe = l->safe.batches;
    return count_held(all, t, l->lane) >= most(accepted[0], safe[0]) + most(accepted[1], safe[1]);
}

/* What is whole is nobody's question any more: it is there as told. */
static enum sc_status found_whole(struct sc_expected *e, int kind, const struct sc_tally *t,
                                  const struct sc_tally_lane *l)
{
    const struct sc_held found = {t->stream, t->window_ms,
                                  most(l->accepted.batches[kind], l->safe.batches[kind]),
                                  most(l->accepted.records[kind], l->safe.records[kind]), l->lane};
    return sc_expected_found_all(e, &found);
}

static enum sc_status ask_for(struct sc_expectation *x, const struct sc_tally *t,
                              const struct sc_tally_lane *l)
{
    const struct sc_holding one = {.window_ms = t->window_ms, .stream = t->stream, .lane = l->lane};
    if (l->lane == SC_DROPPED_LANE || sc_expected_excuses(&x->of[0], t->window_ms, l->lane))
        return SC_OK;
    return sc_holdings_add(&x->lanes, &one);
}

static enum sc_status look_at_lane(struct sc_expectation *x, const struct sc_tally *t,
                                   const struct sc_tally_lane *l, const struct sc_holdings *all)
{
    if (!is_whole(t, l, all))
        return ask_for(x, t, l);
    SC_TRY(found_whole(&x->of[0], 0, t, l));
    return found_whole(&x->of[1], 1, t, l);
}

static enum sc_status look_at_all(struct sc_expectation *x, const struct sc_holdings *all)
{
    for (uint32_t i = 0; i < x->of[0].tally_count; i++) {
        const struct sc_tally *t = &x->of[0].tallies[i];
        for (uint32_t l = 0; l < t->lane_count; l++)
            SC_TRY(look_at_lane(x, t, &t->lanes[l], all));
    }
    sc_holdings_settle(&x->lanes);
    return SC_OK;
}

enum sc_status sc_expectation_begin(struct sc_expectation *x, const struct sc_survey *v, uint64_t now_ms,
                                    const struct sc_loss_sink *sink)
{
    struct sc_holdings all = {0};
    enum sc_status status = unite(v, &all);
    *x = (struct sc_expectation){.of = {{.now_ms = now_ms, .sink = sink}, {.now_ms = now_ms, .sink = sink}}};
    for (int kind = 0; kind < 2 && status == SC_OK; kind++)
        status = expect(&x->of[kind], v);
    if (status == SC_OK)
        status = look_at_all(x, &all);
    sc_holdings_free(&all);
    return status;
}

void sc_expectation_free(struct sc_expectation *x)
{
    sc_expected_free(&x->of[0]);
    sc_expected_free(&x->of[1]);
    sc_holdings_free(&x->lanes);
}

/* ---- the judgement ---- */

static bool was_asked_for(const struct sc_expectation *x, const struct sc_holding *one)
{
    return sc_holdings_find(&x->lanes, one->window_ms, one->stream, one->lane) != NULL;
}

/* How far they have expired since they told it first, those who tell it again. */
static enum sc_status hear_horizons(struct sc_expectation *x, const struct sc_survey *v)
{
    for (uint32_t i = 0; i < 2 * v->cluster->count; i++) {
        const struct sc_survey_node *node = &v->nodes[i / 2];
        if (node->has_held && json_object_get(node->root, "horizon_ms") != NULL)
            SC_TRY(sc_horizons_from_answer(node->root, &x->of[i % 2].horizons));
    }
    return SC_OK;
}

enum sc_status sc_expectation_find(struct sc_expectation *x, const struct sc_survey *v)
{
    struct sc_holdings all = {0};
    enum sc_status status = hear_horizons(x, v);
    if (status == SC_OK)
        status = unite(v, &all);
    for (uint32_t i = 0; i < all.count && status == SC_OK; i++) {
        const struct sc_holding *one = &all.list[i];
        uint64_t batches = one->last - one->first + 1;
        const struct sc_held found = {one->stream, one->window_ms, batches, batches * one->rows, one->lane};
        if (was_asked_for(x, one))
            status = sc_expected_found_all(&x->of[one->kind], &found);
    }
    sc_holdings_free(&all);
    return status;
}

void sc_expectation_judge(struct sc_expectation *x, uint64_t end_ms,
                          void (*missing)(void *arg, const char *sentence), void *arg)
{
    for (int kind = 0; kind < 2; kind++) {
        const struct sc_expected_range range = {(enum sc_record_kind)kind, 0, end_ms};
        sc_expected_judge(&x->of[kind], &range, missing, arg);
    }
}
