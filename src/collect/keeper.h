// SPDX-License-Identifier: BSD-3-Clause
/*
 * Keeps STORE/templates.state: loads it into the receivers' decoders, and saves it now and then on a thread of its own, so that a
 * disk which takes seconds for a sync does not keep the main loop from answering (a health check would take the collector for
 * dead). All calls from one thread.
 */
#ifndef SC_COLLECT_KEEPER_H
#define SC_COLLECT_KEEPER_H

#include "collect/receiver.h"

struct sc_keeper;

/* `store` and `receivers` are borrowed. NULL without memory. */
struct sc_keeper *sc_keeper_create(const char *store, struct sc_receiver *const *receivers, uint32_t count,
                                   const struct sc_log *log);
/* Before the receivers run. What cannot be loaded is logged, and not used. */
void sc_keeper_load(struct sc_keeper *keeper);
/* Has the states saved when they have changed; does nothing while that is still being done. */
void sc_keeper_save(struct sc_keeper *keeper);
/* Waits for what is being saved, saves what has changed since, and frees. NULL is allowed. */
void sc_keeper_finish(struct sc_keeper *keeper);

#endif
