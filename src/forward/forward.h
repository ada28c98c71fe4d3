// SPDX-License-Identifier: BSD-3-Clause
/*
 * Forwarding: what the receivers take goes to third-party collectors too, without acknowledgements, as
 * NetFlow v5, v9 or IPFIX over UDP, or IPFIX over TCP. It is outside the promise that storing and the proxy
 * give: a destination that is slow, dead or unknown holds up nothing and nobody, and what does not fit its
 * queue is dropped, whole batches, and counted.
 *
 * Each destination has a queue and a thread (forward/peer.h). Batches are shared, not copied: a
 * receiver offers a finished parcel before it pushes it to the queue of the store or proxy.
 *
 * Destinations of mode `all` get every batch. Those of mode round-robin share the batches: each goes to the
 * next of them that is connected and has room; when none is, to the next that has room; when none has, it is
 * dropped and counted with the one whose turn it was.
 *
 * All functions but create and free may be called from any thread.
 */
#ifndef SC_FORWARD_FORWARD_H
#define SC_FORWARD_FORWARD_H

#include "conf/config.h"
#include "forward/peer.h"

struct sc_forward;

#define SC_FORWARD_DRAIN_MS 5000u /* how long a destination that goes is still sent what waits for it */

/* No destination yet. @return NULL without memory. */
struct sc_forward *sc_forward_create(const struct sc_log *log);

/*
 * Makes the destinations those of the configuration. Those that stay keep their connections and queues; those
 * that go are sent what waits for them, by the way. @return SC_OK; SC_NOMEM or SC_IO: some are missing.
 */
enum sc_status sc_forward_apply(struct sc_forward *forward, const struct sc_config *config,
                                struct sc_error *err);

/* For sc_intake_options.offer: a finished batch, of which the caller is a holder. Never waits. `forward`: a struct sc_forward, or
 * NULL. */
void sc_forward_offer(void *forward, struct sc_parcel *parcel);

/* The destinations, in the order of the configuration; *views is the caller's to free. @return SC_OK, SC_NOMEM. */
enum sc_status sc_forward_get(struct sc_forward *forward, struct sc_forward_view **views, uint32_t *count);

/* Takes no more, goes on sending what waits for drain_ms at most. Returns at once. NULL is allowed. */
void sc_forward_close(struct sc_forward *forward, uint64_t drain_ms);
/* After close: waits for the end of that. All parcels have gone home. NULL is allowed. */
void sc_forward_free(struct sc_forward *forward);

/*
 * Refuses a destination that is a listener of the same configuration, as far as it can be told from here:
 * flows would go round for ever. @return SC_OK, SC_USAGE.
 */
enum sc_status sc_forward_check(const struct sc_config *config, struct sc_error *err);

#endif
