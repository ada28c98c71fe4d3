// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/verification.h"

#include "base/array.h"
#include "base/clock.h"
#include "cluster/expectation.h"
#include "cluster/json_number.h"
#include "cluster/over.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_MS UINT64_C(60000) /* by so much a member's clock may differ from that of who asks */

/* ---- what was answered ---- */

static void take_damaged(struct sc_survey_node *node, struct sc_verified_member *m)
{
    struct sc_error err;
    m->told = sc_holdings_from_json(json_object_get(node->root, "damaged"), &m->damaged, &err) == SC_OK;
    if (m->told)
        return;
    sc_survey_set_problem(node, err.message);
    node->has_held = false;
}

/* By a clock that is wrong nobody knows which windows are over, nor what a member need not have. It said its time when its turn had come,
 * from `asked_ms` on until now: of many members some wait for others. */
static bool has_good_clock(struct sc_survey_node *node, uint64_t asked_ms)
{
    uint64_t theirs_ms = sc_json_number(node->root, "now_ms"), now_ms = sc_clock_wall_ms();
    bool told = theirs_ms != 0, ahead = theirs_ms > now_ms;
    uint64_t by_ms = ahead ? theirs_ms - now_ms : theirs_ms < asked_ms ? asked_ms - theirs_ms : 0;
    char text[SC_SURVEY_PROBLEM_MAX] = "its clock is not in its answer; is it of another version?";
    if (told && by_ms <= CLOCK_MS)
        return true;
    if (told)
        snprintf(text, sizeof(text),
                 "its clock is %" PRIu64 " s %s this one's: set right the one that is wrong", by_ms / 1000,
                 ahead ? "ahead of" : "behind");
    sc_survey_set_problem(node, text);
    return node->has_held = false;
}

/* By the clock of who asks, as both had it at the first look. 0: there is no such time. */
static uint64_t kept_from(const json_t *root, const json_t *first, uint64_t now_ms)
{
    uint64_t told_ms = sc_json_number(root, "kept_from_ms"), theirs_ms = sc_json_number(first, "now_ms");
    if (told_ms == 0 || told_ms + now_ms < theirs_ms)
        return 0;
    if (theirs_ms <= now_ms + CLOCK_MS) /* else it had to wait for its turn */
        told_ms += now_ms - theirs_ms;
    return told_ms < now_ms ? told_ms : now_ms;
}

/* What a member did not have to keep when it was asked first, it does not have to have when it is asked again. */
static void take_kept(struct sc_verification *v)
{
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        const struct sc_survey_node *node = &v->survey.nodes[i];
        struct sc_verified_member *m = &v->members[i];
        uint64_t from_ms = node->has_held ? kept_from(node->root, m->answer, v->asked_ms) : 0;
        if (from_ms > m->kept_from_ms)
            m->kept_from_ms = from_ms;
    }
}

/* What stands for an answer is kept: the second one takes its place. */
static void take_answers(struct sc_verification *v)
{
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        struct sc_survey_node *node = &v->survey.nodes[i];
        struct sc_verified_member *m = &v->members[i];
        if (!node->has_held || !has_good_clock(node, v->asked_ms))
            continue;
        take_damaged(node, m);
        m->unreadable = node->held.unreadable;
        m->answer = m->told ? json_incref(node->root) : NULL;
        json_object_del(m->answer, "held"); /* which was read, and may be large */
        json_object_del(m->answer, "damaged");
    }
    take_kept(v);
}

/* ---- the windows that are over ---- */

/* The earliest moment at which anybody looked. */
static uint64_t first_look(const struct sc_verification *v)
{
    uint64_t now_ms = v->asked_ms;
    for (uint32_t i = 0; i < v->survey.cluster->count; i++) {
        uint64_t theirs_ms = sc_json_number(v->members[i].answer, "now_ms");
        if (v->members[i].told && theirs_ms < now_ms)
            now_ms = theirs_ms;
    }
    return now_ms;
}

static enum sc_status hear_all(const struct sc_verification *v, struct sc_over *over)
{
    for (uint32_t i = 0; i < v->survey.cluster->count; i++)
        SC_TRY(sc_over_hear(over, &v->survey.nodes[i].held));
    sc_over_settle(over);
    return SC_OK;
}

static enum sc_status leave_out_unsettled(struct sc_verification *v, uint64_t settle_ms)
{
    uint64_t end_ms = first_look(v);
    struct sc_over over = {.end_ms = end_ms > settle_ms ? end_ms - settle_ms : 0};
    enum sc_status status = hear_all(v, &over);
    for (uint32_t i = 0; status == SC_OK && i < v->survey.cluster->count; i++) {
        sc_over_leave_out(&over, &v->survey.nodes[i].held);
        sc_over_leave_out(&over, &v->members[i].damaged);
    }
    v->over_ms = over.end_ms;
    v->left_from_ms = over.left_from_ms;
    sc_over_free(&over);
    return status;
}

/* ---- who lacks what ---- */

/* Adds what a node told now, without its records. */
static enum sc_status keep_whole(struct sc_verification *v)
{
    for (uint32_t n = 0; n < v->survey.cluster->count; n++) {
        const struct sc_survey_node *node = &v->survey.nodes[n];
        for (uint32_t i = 0; node->has_held && i < node->held.count; i++) {
            struct sc_holding one = node->held.list[i];
            one.rows = one.kind = 0;
            SC_TRY(sc_holdings_add(&v->members[n].whole, &one));
        }
        sc_holdings_settle(&v->members[n].whole);
    }
    return SC_OK;
}

static enum sc_status find_lacks(struct sc_verification *v)
{
    struct sc_lacking_member *told = calloc((size_t)v->survey.cluster->count + 1, sizeof(*told));
    if (told == NULL)
        return SC_NOMEM;
    for (uint32_t n = 0; n < v->survey.cluster->count; n++) {
        const struct sc_verified_member *m = &v->members[n];
        if (m->told)
            told[n] = (struct sc_lacking_member){&m->whole, &m->damaged, m->kept_from_ms};
    }
    free(v->lacks);
    v->lacks = NULL;
    v->lack_count = 0;
    enum sc_status status = sc_lacking_find(v->survey.cluster, told, &v->lacks, &v->lack_count);
    free(told);
    return status;
}

/* Who could not be asked again has a problem, and is not said to lack what may have come to it meanwhile. */
static void leave_out_unconfirmed(struct sc_verification *v)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < v->lack_count; i++) {
        struct sc_lack lack = v->lacks[i];
        if (!sc_survey_is_well(&v->survey.nodes[lack.member]))
            lack.absent = 0;
        if (lack.absent + lack.damaged != 0)
            v->lacks[kept++] = lack;
    }
    v->lack_count = kept;
}

static void sum_lacks(struct sc_verification *v)
{
    leave_out_unconfirmed(v);
    v->lack_count = sc_lacking_sum(v->lacks, v->lack_count);
    for (uint32_t i = 0; i < v->lack_count; i++) {
        v->members[v->lacks[i].member].absent += v->lacks[i].absent;
        v->members[v->lacks[i].member].damaged_batches += v->lacks[i].damaged;
    }
}

/* ---- the second look ---- */

/* What nobody seems to have, of each; what one seems to lack, of this one. */
static enum sc_status lanes_for(const struct sc_verification *v, const struct sc_expectation *x,
                                uint32_t member, struct sc_holdings *out)
{
    for (uint32_t i = 0; i < x->lanes.count; i++)
        SC_TRY(sc_holdings_add(out, &x->lanes.list[i]));
    for (uint32_t i = 0; i < v->lack_count; i++) {
        const struct sc_lack *lack = &v->lacks[i];
        const struct sc_holding one = {
            .window_ms = lack->window_ms, .stream = lack->stream, .lane = lack->lane};
        if (lack->member == member && lack->absent != 0)
            SC_TRY(sc_holdings_add(out, &one));
    }
    sc_holdings_settle(out);
    return SC_OK;
}

/* *any: somebody is to be asked something. */
static enum sc_status add_lanes(const struct sc_verification *v, const struct sc_expectation *x,
                                json_t *request, bool *any)
{
    json_t *all = json_object();
    json_object_set_new(request, "lanes", all);
    for (uint32_t n = 0; n < v->survey.cluster->count; n++) {
        struct sc_holdings lanes = {0};
        enum sc_status status = v->members[n].told ? lanes_for(v, x, n, &lanes) : SC_OK;
        if (status == SC_OK && lanes.count != 0) {
            json_object_set_new(all, v->survey.cluster->members[n].name, sc_holdings_to_json(&lanes));
            *any = true;
        }
        sc_holdings_free(&lanes);
        SC_TRY(status);
    }
    return SC_OK;
}

static enum sc_status look_again(struct sc_verification *v, struct sc_expectation *x, struct sc_error *err)
{
    bool any = false;
    json_t *request = json_object();
    if (add_lanes(v, x, request, &any) != SC_OK) {
        json_decref(request);
        return sc_fail_nomem(err, "what seems to lack");
    }
    if (!any) {
        json_decref(request);
        return SC_OK;
    }
    SC_TRY(sc_survey_request(&v->survey, request, true, err));
    take_kept(v);
    if (keep_whole(v) != SC_OK || find_lacks(v) != SC_OK || sc_expectation_find(x, &v->survey) != SC_OK)
        return sc_fail_nomem(err, "what is there");
    return SC_OK;
}

/* ---- what was found ---- */

bool sc_verified_is_damaged(const struct sc_verified_member *m)
{
    return m->damaged_batches != 0 || m->unreadable != 0 || sc_json_number(m->answer, "damaged_files") != 0 ||
           sc_json_number(m->answer, "more_findings") != 0 || json_object_get(m->answer, "failed") != NULL ||
           json_array_size(json_object_get(m->answer, "findings")) != 0;
}

/* ---- all of it ---- */

static void note_missing(void *arg, const char *sentence)
{
    struct sc_verification *v = arg;
    char *copy = strdup(sentence);
    if (copy != NULL && sc_array_more(v->missing, v->missing_count, 1)) {
        v->missing[v->missing_count++] = copy;
        return;
    }
    free(copy);
    v->short_of_memory = true;
}

/* Streams are silent that were not heard of since the last window that is judged was over. */
static enum sc_status judge(struct sc_verification *v, struct sc_error *err)
{
    struct sc_expectation x;
    enum sc_status status = sc_expectation_begin(&x, &v->survey, v->asked_ms, NULL);
    if (status == SC_OK && (keep_whole(v) != SC_OK || find_lacks(v) != SC_OK))
        status = SC_NOMEM;
    if (status != SC_OK)
        sc_fail_nomem(err, "what ought to be there");
    if (status == SC_OK)
        status = look_again(v, &x, err);
    if (status == SC_OK) {
        sc_expectation_judge(&x, v->over_ms, note_missing, v);
        v->kept_since_ms = x.of[0].horizons.kept_since_ms;
        v->known_lost = x.of[0].known_lost;
        v->known_lost.batches += x.of[1].known_lost.batches;
        v->known_lost.records += x.of[1].known_lost.records;
        sum_lacks(v);
    }
    sc_expectation_free(&x);
    return status == SC_OK && v->short_of_memory ? sc_fail_nomem(err, "what is missing") : status;
}

enum sc_status sc_verification_run(struct sc_verification *v, const struct sc_survey_options *options,
                                   const struct sc_cluster *cluster, uint64_t settle_ms, struct sc_error *err)
{
    *v = (struct sc_verification){.asked_ms = sc_clock_wall_ms()};
    v->members = calloc((size_t)cluster->count + 1, sizeof(*v->members));
    SC_TRY(sc_survey_begin(&v->survey, options, cluster, err));
    if (v->members == NULL)
        return sc_fail_nomem(err, "the members");
    SC_TRY(sc_survey_request(&v->survey, json_object(), true, err));
    take_answers(v);
    if (leave_out_unsettled(v, settle_ms) != SC_OK)
        return sc_fail_nomem(err, "the windows");
    return judge(v, err);
}

void sc_verification_free(struct sc_verification *v)
{
    for (uint32_t i = 0; v->members != NULL && i < v->survey.cluster->count; i++) {
        sc_holdings_free(&v->members[i].whole);
        sc_holdings_free(&v->members[i].damaged);
        json_decref(v->members[i].answer);
    }
    for (uint32_t i = 0; i < v->missing_count; i++)
        free(v->missing[i]);
    free(v->missing);
    free(v->members);
    free(v->lacks);
    sc_survey_free(&v->survey);
    *v = (struct sc_verification){0};
}
