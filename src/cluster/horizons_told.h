// SPDX-License-Identifier: BSD-3-Clause
/*
 * How far a node and, as it knows, the others have expired, in what it answers to a survey: "horizon_ms" of its own store, and
 * "horizons", the text of store/horizons.h, which nodes of earlier versions do not tell.
 */
#ifndef SC_CLUSTER_HORIZONS_TOLD_H
#define SC_CLUSTER_HORIZONS_TOLD_H

#include "store/horizons.h"

#include <jansson.h>

void sc_horizons_to_answer(const char *store, json_t *answer);
/* Adds what a node answered to what others did. @return SC_OK or SC_NOMEM. */
enum sc_status sc_horizons_from_answer(const json_t *answer, struct sc_horizons *all);

#endif
