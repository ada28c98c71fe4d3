// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether this node takes flows of exporters now: what a virtual IP depends on. It does not while its outbox, or the store of a single
 * node, has refused all that it was given for 2 s: one that is at its bound and emptied by subcollectors takes something all the
 * time, and is no reason to move an address. A subcollector that is no proxy never does. Memory is read, and no disk is waited for.
 */
#ifndef SC_DAEMON_ACCEPTS_H
#define SC_DAEMON_ACCEPTS_H

#include "daemon/status_json.h"

/* {"accepts": true}, or {"accepts": false, "why": "..."} with a sentence; *out is empty. @return SC_OK or SC_NOMEM. */
enum sc_status sc_accepts_json(const struct sc_status_source *source, struct sc_control_status *out);

#endif
