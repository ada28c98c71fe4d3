// SPDX-License-Identifier: BSD-3-Clause
/*
 * What ought to be in the stores of a survey's nodes and is in none, by what they told: tallies and accepted losses (nodes[].held), and in
 * their answers (nodes[].root) the horizons (cluster/horizons_told.h), and
 *
 *   "now_ms": MS, "streams": [{"proxy": NAME, "stream": HEX, "heard_ms": MS, "closed": BOOL}, ...]
 *
 *     sc_expectation_begin(&x, survey, now_ms, sink);      by the batches that they told, without their records
 *     ask the nodes for the batches of x.lanes with their records: survey->nodes[].held again
 *     sc_expectation_find(&x, survey);
 *     sc_expectation_judge(&x, end_ms, missing, arg);
 *     sc_expectation_free(&x);                             in any case
 *
 * One thread.
 */
#ifndef SC_CLUSTER_EXPECTATION_H
#define SC_CLUSTER_EXPECTATION_H

#include "cluster/survey.h"
#include "source/expect.h"

struct sc_expectation {
    struct sc_expected of[2]; /* flows, and options records: a judgement is of one kind */
    struct sc_holdings lanes; /* that seem to lack something; settled, their numbers do not matter */
};

/* Puts the streams that a store knows into a node's answer, and its clock. @return SC_OK, SC_IO, SC_NOMEM. */
enum sc_status sc_streams_to_answer(const char *store, json_t *answer, struct sc_error *err);

/* `now_ms`: when the nodes were asked. @return SC_OK or SC_NOMEM. */
enum sc_status sc_expectation_begin(struct sc_expectation *expectation, const struct sc_survey *survey,
                                    uint64_t now_ms, const struct sc_loss_sink *sink);
/* Takes what the nodes told of these lanes for all that is there; with horizons in the answers, what expired meanwhile is not expected
 * any more. @return likewise. */
enum sc_status sc_expectation_find(struct sc_expectation *expectation, const struct sc_survey *survey);
/* As sc_expected_judge, of both kinds: windows that begin before `end_ms`. */
void sc_expectation_judge(struct sc_expectation *expectation, uint64_t end_ms,
                          void (*missing)(void *arg, const char *sentence), void *arg);
void sc_expectation_free(struct sc_expectation *expectation);

#endif
