// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the stores of a cluster lack together, found and recorded as lost in each of them (sc-admin accept-loss --cluster): only who
 * sees all stores may say that something is nowhere. Every subcollector is asked by a survey, and answers for its store; requests and
 * answers are JSON objects, HELD is a list of batches as in cluster/holdings_json.c, and TEXT what stands in STORE/horizons:
 *
 *   {"do": "tell"}                                 {"node": NAME, "now_ms": MS, "horizon_ms": MS, "horizons": TEXT, "held": HELD,
 *                                                   "streams": [{"proxy": NAME, "stream": HEX, "heard_ms": MS, "closed": BOOL}, ...]}
 *   {"do": "tell", "lanes": HELD}                  {"node": NAME, "held": HELD}   of these lanes, batches with their records
 *   {"do": "record", "losses": HELD}               {"node": NAME}
 *   {"do": "undo", "stream": HEX, "dry_run": BOOL} {"node": NAME, "held": HELD}   what was recorded; without a stream: of all
 *
 * Who cannot says {"node": NAME, "problem": SENTENCE}. First all tell which batches they hold, and what the tallies say; of the lanes
 * that seem to lack something the batches are then asked for one by one: what came meanwhile is there, and records are counted once,
 * however many copies there are. One thread; blocking.
 */
#ifndef SC_CLUSTER_ACCEPTANCE_H
#define SC_CLUSTER_ACCEPTANCE_H

#include "cluster/survey.h"
#include "source/expect.h"

/* What a node answers for its store. `node`: its name, or NULL when it has none. NULL without memory. */
json_t *sc_acceptance_answer(const char *store, const char *node, const json_t *request);

/* All of the following ask the subcollectors of a survey that have no problem yet (sc_survey_begin, with options.subcollectors); who does
 * not do what it was asked has a problem then. */

/* What they hold, in nodes[].held. @return SC_OK, or SC_NOMEM. */
enum sc_status sc_acceptance_ask(struct sc_survey *survey, struct sc_error *err);
/* Tells `sink` what they lack together, after sc_acceptance_ask; their holdings are used up. @return SC_OK or SC_NOMEM. */
enum sc_status sc_acceptance_judge(struct sc_survey *survey, const struct sc_loss_sink *sink,
                                   struct sc_error *err);
/* @return SC_OK, whoever recorded it, or SC_NOMEM. */
enum sc_status sc_acceptance_record(struct sc_survey *survey, const struct sc_losses *losses,
                                    struct sc_error *err);
/* Takes back what they have recorded, of one stream or (NULL) of all; nodes[].held.losses is what that was. @return likewise. */
enum sc_status sc_acceptance_undo(struct sc_survey *survey, const uint64_t *stream, bool dry_run,
                                  struct sc_error *err);

#endif
