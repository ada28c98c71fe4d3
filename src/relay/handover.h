// SPDX-License-Identifier: BSD-3-Clause
/*
 * So that a proxy that takes over from another decodes at once: what changes in what the receivers' decoders know of templates goes
 * to the board, from which the link sends it, and what other proxies sent goes from there to all receivers, since an exporter may
 * reach any of them. Belongs to one thread.
 */
#ifndef SC_RELAY_HANDOVER_H
#define SC_RELAY_HANDOVER_H

#include "collect/receiver.h"
#include "relay/board.h"

#define SC_HANDOVER_MERGING ((size_t)1 << 20)

struct sc_handover {
    struct sc_board *board;       /* borrowed */
    char proxy[SC_LINK_NAME_MAX]; /* this one's name */
    struct sc_log log;
    uint64_t taken; /* the board's number of what came last */
};

/* Puts up records of this one's decoders. What they know from other proxies alone is not passed on. */
void sc_handover_tell(void *handover, const uint8_t *list, size_t length);
/* Gives the receivers what came, as long as none has SC_HANDOVER_MERGING bytes to merge: the rest stays on the board.
 * Call every SC_KEEPER_TICK_MS while they live. */
void sc_handover_take(struct sc_handover *handover, struct sc_receiver *const *receivers, uint32_t count);

#endif
