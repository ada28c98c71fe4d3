// SPDX-License-Identifier: BSD-3-Clause
/*
 * A thread that receives and decodes: its event loop, its sockets, its decoder, the batches being filled.
 * Listeners are opened by the caller and handed over; all else is private to the thread, and asked for by
 * snapshot.
 *
 * 1. sc_receiver_create; load template state into sc_receiver_decoder (the thread does not run yet).
 * 2. sc_receiver_start.
 * 3. sc_receiver_add, _remove, _merge, _get_*, _take_changes at any time from any one thread.
 * 4. sc_receiver_end, then sc_receiver_stop: drains the sockets once, sends all batches. Snapshots stay readable.
 * 5. sc_receiver_free, after the queue has given back all parcels.
 */
#ifndef SC_COLLECT_RECEIVER_H
#define SC_COLLECT_RECEIVER_H

#include "base/buf.h"
#include "collect/exporters.h"
#include "collect/hearsay.h"
#include "collect/sockets.h"

#define SC_RECEIVER_TICK_MS 100
#define SC_RECEIVER_LAST_MS 10000u              /* for room in the queue, at the end */
#define SC_RECEIVER_CHANGES ((size_t)256 << 10) /* bytes of records in a tick */
#define SC_RECEIVER_ASK_MS  1000u               /* others for the time, before the first flow is stamped */

struct sc_receiver;

struct sc_receiver_options {
    struct sc_intake_options intake;
    struct sc_log log; /* a copy of its own */
    struct sc_places
        *places; /* for TCP connections; borrowed, shared by all receivers. NULL: without bound */
    struct sc_complaints *complaints; /* borrowed, shared by all receivers. NULL: its own */
    /* Over TCP; 0: a minute for a message that has begun, and for the first one; half an hour without any until a connection may go
     * for a newcomer. */
    uint64_t message_ms, idle_ms;
    bool
        asks; /* there are others who know the time: it reads nothing before the clock was compared, for SC_RECEIVER_ASK_MS at most */
};

/* @return NULL with *err. */
struct sc_receiver *sc_receiver_create(const struct sc_receiver_options *options, struct sc_error *err);
struct sc_decoder *sc_receiver_decoder(struct sc_receiver *receiver);
enum sc_status sc_receiver_start(struct sc_receiver *receiver, struct sc_error *err);

/* Hands over a listening socket; the receiver closes it. SC_NOMEM: the caller still owns it. */
enum sc_status sc_receiver_add(struct sc_receiver *receiver, const struct sc_url *url, int fd,
                               struct sc_error *err);
/* Takes what waits in the listener's sockets, for a tick at most, then closes them. `url` as given to add. */
enum sc_status sc_receiver_remove(struct sc_receiver *receiver, const struct sc_url *url,
                                  struct sc_error *err);

/* Has the decoder merge what another collector knows of templates (collect/templates.h), a share each tick. */
void sc_receiver_merge(struct sc_receiver *receiver, struct sc_hearsay *state);
/* Bytes of what it has not merged yet. Any thread. */
size_t sc_receiver_merging(const struct sc_receiver *receiver);

/*
 * Has it end: it reads what waits in its sockets, of TCP also what comes in two seconds more, and waits for room in the queue until
 * `until_ms` (monotonic). What has none then is dropped and counted, also what is still to be read of UDP: two seconds more for that. Returns at
 * once, so that many end together.
 */
void sc_receiver_end(struct sc_receiver *receiver, uint64_t until_ms);
/* Waits for its end; without sc_receiver_end before, that is SC_RECEIVER_LAST_MS from now. */
void sc_receiver_stop(struct sc_receiver *receiver);
void sc_receiver_free(struct sc_receiver *receiver); /* NULL is allowed */

/* ---- snapshots, at most a second old ---- */

/* *out is malloc'ed for the caller; NULL when *count is 0. */
enum sc_status sc_receiver_get_listeners(struct sc_receiver *receiver, struct sc_listener_view **out,
                                         uint32_t *count);
/* The first SC_EXPORTERS_TOP by flows, in no order, and how many there are. With very many they are some seconds old. */
enum sc_status sc_receiver_get_exporters(struct sc_receiver *receiver, struct sc_exporter_stats **out,
                                         uint32_t *count, struct sc_exporters_sum *sum);
void sc_receiver_get_intake(struct sc_receiver *receiver, struct sc_intake_stats *out);

/*
 * Takes the records of sessions that changed (sc_decoder_changes), into an empty buffer. The thread writes at most
 * SC_RECEIVER_CHANGES of them in each tick of SC_RECEIVER_TICK_MS, and waits when nobody takes them; all of them at its end.
 */
void sc_receiver_take_changes(struct sc_receiver *receiver, struct sc_buf *out);
/* What was taken is lost: it is to be had again, from the next tick on. Any thread. */
void sc_receiver_change_all(struct sc_receiver *receiver);

#endif
