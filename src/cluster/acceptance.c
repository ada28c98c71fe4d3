// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/acceptance.h"

#include "base/array.h"
#include "base/clock.h"
#include "cluster/horizons_told.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

static uint64_t integer(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* Two names of one machine would stand for two stores, and what lies in the other one would seem lost. */
static bool is_another(struct sc_survey_node *node)
{
    const char *name = json_string_value(json_object_get(node->root, "node"));
    char text[SC_SURVEY_PROBLEM_MAX];
    if (name != NULL && strcmp(name, node->member->name) == 0)
        return false;
    if (name == NULL)
        snprintf(text, sizeof(text), "its answer makes no sense, or its configuration names no node");
    else
        snprintf(text, sizeof(text), "it takes itself for member %.64s", name);
    sc_survey_set_problem(node, text);
    return true;
}

/* Who was to tell something and did not is not taken for one that has nothing. */
static void read_held(struct sc_survey_node *node)
{
    struct sc_error err;
    struct sc_holdings held;
    if (sc_holdings_from_json(json_object_get(node->root, "held"), &held, &err) != SC_OK) {
        sc_survey_set_problem(node, err.message);
        return;
    }
    sc_holdings_free(&node->held);
    node->held = held;
    node->has_held = true;
}

static void read_answer(struct sc_survey_node *node, bool with_held)
{
    const char *problem = json_string_value(json_object_get(node->root, "problem"));
    if (is_another(node))
        return;
    if (problem != NULL)
        sc_survey_set_problem(node, problem);
    else if (with_held)
        read_held(node);
}

/* Takes over the request. */
static enum sc_status ask(struct sc_survey *v, json_t *request, bool with_held, struct sc_error *err)
{
    char *text = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL)
        return sc_fail_nomem(err, "the request");
    sc_survey_ask(v, text);
    free(text);
    for (uint32_t i = 0; i < v->cluster->count; i++) {
        v->nodes[i].has_held = false;
        if (v->nodes[i].answered)
            read_answer(&v->nodes[i], with_held);
    }
    return SC_OK;
}

enum sc_status sc_acceptance_ask(struct sc_survey *v, struct sc_error *err)
{
    return ask(v, json_pack("{s:s}", "do", "tell"), true, err);
}

/* ---- what ought to be there ---- */

/* Of one kind of records each: a judgement is of one. */
struct expectation {
    struct sc_expected of[2];
};

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
                                   .heard_ms = integer(one, "heard_ms") + e->now_ms - integer(root, "now_ms"),
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

/* What is whole is nobody's question any more. */
static void keep_lacking(struct sc_tally *t, const struct sc_holdings *all)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->lane_count; i++) {
        const uint64_t *accepted = t->lanes[i].accepted.batches, *safe = t->lanes[i].safe.batches;
        uint64_t told =
            (accepted[0] > safe[0] ? accepted[0] : safe[0]) + (accepted[1] > safe[1] ? accepted[1] : safe[1]);
        if (count_held(all, t, t->lanes[i].lane) < told)
            t->lanes[kept++] = t->lanes[i];
    }
    t->lane_count = kept;
}

static enum sc_status list_lanes(const struct sc_expected *e, struct sc_holdings *lanes)
{
    for (uint32_t i = 0; i < e->tally_count; i++) {
        const struct sc_tally *t = &e->tallies[i];
        for (uint32_t l = 0; l < t->lane_count; l++) {
            const struct sc_holding one = {
                .window_ms = t->window_ms, .stream = t->stream, .lane = t->lanes[l].lane};
            if (one.lane != SC_DROPPED_LANE && !sc_expected_excuses(e, t->window_ms, one.lane))
                SC_TRY(sc_holdings_add(lanes, &one));
        }
    }
    sc_holdings_settle(lanes);
    return SC_OK;
}

static enum sc_status expect_lacking(struct expectation *x, const struct sc_survey *v)
{
    struct sc_holdings all = {0};
    enum sc_status status = unite(v, &all);
    for (int kind = 0; kind < 2 && status == SC_OK; kind++) {
        struct sc_expected *e = &x->of[kind];
        status = expect(e, v);
        for (uint32_t i = 0; i < e->tally_count; i++)
            keep_lacking(&e->tallies[i], &all);
    }
    sc_holdings_free(&all);
    return status;
}

/* The batches of the lanes that seem to lack something, with their records. */
static enum sc_status ask_lanes(struct sc_survey *v, const struct expectation *x, struct sc_error *err)
{
    struct sc_holdings lanes = {0};
    enum sc_status status = list_lanes(&x->of[0], &lanes);
    if (status != SC_OK)
        sc_fail_nomem(err, "the lanes");
    else
        status =
            ask(v, json_pack("{s:s, s:o}", "do", "tell", "lanes", sc_holdings_to_json(&lanes)), true, err);
    sc_holdings_free(&lanes);
    return status;
}

static enum sc_status find_batches(struct expectation *x, const struct sc_survey *v)
{
    struct sc_holdings all = {0};
    enum sc_status status = unite(v, &all);
    for (uint32_t i = 0; i < all.count && status == SC_OK; i++) {
        const struct sc_holding *one = &all.list[i];
        uint64_t batches = one->last - one->first + 1;
        const struct sc_held found = {one->stream, one->window_ms, batches, batches * one->rows, one->lane};
        status = sc_expected_found_all(&x->of[one->kind], &found);
    }
    sc_holdings_free(&all);
    return status;
}

/* ---- the judgement ---- */

static void pass_over(void *arg, const char *sentence)
{
    (void)arg;
    (void)sentence;
}

static enum sc_status judge(struct sc_survey *v, struct expectation *x, struct sc_error *err)
{
    if (expect_lacking(x, v) != SC_OK)
        return sc_fail_nomem(err, "what ought to be there");
    SC_TRY(ask_lanes(v, x, err));
    if (find_batches(x, v) != SC_OK)
        return sc_fail_nomem(err, "what is there");
    for (int kind = 0; kind < 2; kind++) {
        const struct sc_expected_range all = {(enum sc_record_kind)kind, 0, UINT64_MAX};
        sc_expected_judge(&x->of[kind], &all, pass_over, NULL);
    }
    return SC_OK;
}

enum sc_status sc_acceptance_judge(struct sc_survey *v, const struct sc_loss_sink *sink, struct sc_error *err)
{
    const uint64_t now_ms = sc_clock_wall_ms();
    struct expectation x = {{{.now_ms = now_ms, .sink = sink}, {.now_ms = now_ms, .sink = sink}}};
    enum sc_status status = judge(v, &x, err);
    sc_expected_free(&x.of[0]);
    sc_expected_free(&x.of[1]);
    return status;
}

/* ---- the word of the operator ---- */

enum sc_status sc_acceptance_record(struct sc_survey *v, const struct sc_losses *losses, struct sc_error *err)
{
    const struct sc_holdings told = {.losses = *losses}; /* lent */
    return ask(v, json_pack("{s:s, s:o}", "do", "record", "losses", sc_holdings_to_json(&told)), false, err);
}

enum sc_status sc_acceptance_undo(struct sc_survey *v, const uint64_t *stream, bool dry_run,
                                  struct sc_error *err)
{
    json_t *request = json_pack("{s:s, s:b}", "do", "undo", "dry_run", (int)dry_run);
    if (stream != NULL)
        json_object_set_new(request, "stream", json_sprintf("%016" PRIx64, *stream));
    return ask(v, request, true, err);
}
