// SPDX-License-Identifier: BSD-3-Clause
/*
 * The tallies that a subcollector keeps beside its segments: the last word of each stream and window in memory, from there to the
 * file (store/tally.h). In order of stream and window, so that a tally costs a binary search. What has changed is written one of each
 * proxy in turn, a proxy's own in the order in which they changed: however many one has, another's waits for one of each.
 *
 * A proxy has a share: SC_TALLIES_EACH windows in memory (it need not tell a window any more a minute after its end, and it is
 * forgotten here ten minutes after that), and SC_TALLIES_NEW new ones a second. What is beyond is refused; proxies tell again each
 * second. Malloc; one thread. Zero-initialise but for `store` and `io`.
 */
#ifndef SC_RELAY_TALLY_KEEPER_H
#define SC_RELAY_TALLY_KEEPER_H

#include "relay/link.h"
#include "relay/refusals.h"
#include "relay/tellers.h"
#include "store/io.h"

#define SC_TALLIES_EACH 16384u
#define SC_TALLIES_NEW  256u

struct sc_tally_keeper {
    const char *store;
    struct sc_io *io;           /* NULL: the system's */
    struct sc_kept_tally **all; /* by stream and window */
    uint32_t count;
    uint32_t changed; /* of them, not on the disk yet */
    struct sc_tellers tellers;
};

void sc_tally_keeper_free(struct sc_tally_keeper *keeper);

/* @return SC_REFUSAL_NONE, also without memory: it is told again; SC_REFUSAL_TALLIES. */
enum sc_refusal sc_tally_keeper_take(struct sc_tally_keeper *keeper, const char *proxy,
                                     const struct sc_link_tally *tally, uint64_t now_ms);
/* Writes what has changed, for `most_ms` at most and one at least, and forgets what was not told for long. @return whether all is
 * on the disk. */
bool sc_tally_keeper_write(struct sc_tally_keeper *keeper, uint64_t now_ms, uint64_t most_ms);
/* The files are gone: all that is in memory is to be written again. */
void sc_tally_keeper_rewrite(struct sc_tally_keeper *keeper);
/* Whether all that this proxy told is on the disk. */
bool sc_tally_keeper_settled(const struct sc_tally_keeper *keeper, const char *proxy);

#endif
