// SPDX-License-Identifier: BSD-3-Clause
/* What a subcollector lacks and pulls (relay/healer.h), for the status and for sc-admin heal. */
#ifndef SC_DAEMON_HEALING_JSON_H
#define SC_DAEMON_HEALING_JSON_H

#include "daemon/control.h"
#include "relay/healer.h"

#include <jansson.h>

/* NULL without memory. */
json_t *sc_healing_json(struct sc_healer *healer);
/* What an operator ought to know. False: nothing lacks. */
bool sc_healing_problem(struct sc_healer *healer, char *out, size_t size);
/* {"healing": {...}}, or {"error": "..."} of a node that holds no batches (NULL); *out is empty. @return SC_OK or SC_NOMEM. */
enum sc_status sc_healing_answer(struct sc_healer *healer, struct sc_control_status *out);

#endif
