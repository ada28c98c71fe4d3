// SPDX-License-Identifier: BSD-3-Clause
/*
 * What an operator has accepted as lost for good (sc-admin accept-loss): batches that ought to exist by the tallies and are in no
 * store, and streams that will not be heard of again. Answers are complete without them, and say how much it is.
 *
 *   STORE/.lost/<stream>   a small text file, replaced as a whole
 *
 * Its lines: "securitycloud lost 1", "proxy NAME", "closed 0" or "closed 1", and for each window and lane
 * "window MS SECONDS lane HEX" with four numbers: batches and records of flows, batches and records of options.
 */
#ifndef SC_STORE_LOSS_H
#define SC_STORE_LOSS_H

#include "store/names.h"
#include "store/tally.h"

/* Of one stream, window and lane. */
struct sc_loss {
    uint64_t stream, window_ms;
    uint32_t window_s, lane;
    struct sc_tally_count lost;
};

/* Zero-initialise; sc_losses_free releases. One thread. */
struct sc_losses {
    struct sc_loss *list; /* by stream, window, lane, each once */
    uint32_t count;
    struct sc_stream *streams; /* each once; heard_ms is not kept */
    uint32_t stream_count;
};

void sc_losses_free(struct sc_losses *losses);

/* The greater numbers count where something is there already. @return SC_OK or SC_NOMEM. */
enum sc_status sc_losses_add(struct sc_losses *losses, const struct sc_loss *loss);
enum sc_status sc_losses_add_stream(struct sc_losses *losses, const struct sc_stream *stream);
enum sc_status sc_losses_add_all(struct sc_losses *losses, const struct sc_losses *more);
/* NULL: nothing is known to be lost there. */
const struct sc_loss *sc_losses_find(const struct sc_losses *losses, uint64_t stream, uint64_t window_ms,
                                     uint32_t lane);

/* Whether the stream was given up: it counts as closed. */
bool sc_losses_closed(const struct sc_losses *losses, uint64_t stream);

/* Adds what a store has recorded; nothing when it has no such folder. @return SC_OK; SC_DAMAGED, SC_IO; SC_NOMEM. */
enum sc_status sc_losses_read(const char *store, struct sc_losses *losses, struct sc_error *err);
/* Replaces the files of all streams (sc_io_replace); what a store has recorded is to be read before. @return SC_OK; SC_IO, SC_FULL. */
enum sc_status sc_losses_write(const char *store, const struct sc_losses *losses, struct sc_io *io,
                               struct sc_error *err);
/* Adds to what a store has recorded. @return as both. */
enum sc_status sc_losses_record(const char *store, const struct sc_losses *more, struct sc_io *io,
                                struct sc_error *err);
/* Takes back what a store has recorded, of one stream or (NULL) of all, and adds to *was what that was, as far as it can be read: damaged
 * files go, too. `dry_run`: only looks. @return SC_OK, also when there was nothing; SC_IO; SC_NOMEM. */
enum sc_status sc_losses_undo(const char *store, const uint64_t *stream, bool dry_run, struct sc_losses *was,
                              struct sc_io *io, struct sc_error *err);

#endif
