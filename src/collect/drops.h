// SPDX-License-Identifier: BSD-3-Clause
/*
 * Records that the collector itself dropped, by window and kind: gathered by the receivers, recorded durably in tallies by whoever
 * takes the batches, so that every answer over the window says so (source/expect.h), and told in the log once a minute.
 */
#ifndef SC_COLLECT_DROPS_H
#define SC_COLLECT_DROPS_H

#include "base/log.h"
#include "flow/batch.h"
#include "store/tally.h"

enum sc_drop_reason {
    SC_DROP_FULL,   /* the queue was full */
    SC_DROP_ASIDE,  /* records of many columns of their own, while the queue was tight */
    SC_DROP_NOMEM,  /* no memory for a batch */
    SC_DROP_STORE,  /* the store did not take them */
    SC_DROP_OUTBOX, /* a proxy's outbox did not, until its end */
    SC_DROP_REASONS
};

struct sc_drop {
    uint64_t window_ms;
    struct sc_tally_count count;
    bool unwritten; /* not in its tally as it stands here */
};

/* Zero-initialise; sc_drops_free releases. One thread. */
struct sc_drops {
    struct sc_drop *list; /* each window once */
    uint32_t count;
    uint64_t records[SC_DROP_REASONS];
    struct sc_addr exporter[SC_DROP_REASONS]; /* of most records of the batch that was dropped last */
};

void sc_drops_free(struct sc_drops *drops);
/* Without memory for a window more it is counted to the last one. */
void sc_drops_note(struct sc_drops *drops, const struct sc_batch *batch, enum sc_drop_reason reason);
void sc_drops_add(struct sc_drops *to, const struct sc_drops *from);

/* The tallies are gone: all of them are to be written again. */
void sc_drops_rewrite(struct sc_drops *drops);
/* Writes the tallies of all that were added since they were written last. `stream`: a number of this process. `io` NULL: the system's. @return SC_OK, SC_IO,
 * SC_FULL, SC_NOMEM; the rest is for the next call. */
enum sc_status sc_drops_write(struct sc_drops *drops, const char *store, const char *collector,
                              uint64_t stream, uint32_t window_s, struct sc_io *io, struct sc_error *err);

/* Tells the log of drops: the first at once, what follows once a minute, the last when `next_ms` is set to 0. Zero-initialise. */
struct sc_drop_teller {
    struct sc_drops untold; /* records and exporters */
    uint64_t next_ms;
};

void sc_drop_teller_tell(struct sc_drop_teller *teller, const struct sc_drops *drops, uint64_t now_ms,
                         const struct sc_log *log);

#endif
