// SPDX-License-Identifier: BSD-3-Clause
/*
 * So that a proxy that takes over from another decodes at once: what the receivers' decoders know of templates goes to the
 * board, from which the link sends it, and what other proxies sent goes from there to all receivers, since an exporter may reach
 * any of them. Belongs to one thread.
 */
#ifndef SC_COLLECT_HANDOVER_H
#define SC_COLLECT_HANDOVER_H

#include "collect/receiver.h"

#define SC_HANDOVER_TICK_MS 100u

struct sc_handover {
    struct sc_board *board;       /* borrowed */
    char proxy[SC_LINK_NAME_MAX]; /* this one's name */
    struct sc_log log;
    uint64_t generations; /* of what was told last, summed over the receivers */
    uint64_t taken;       /* the board's number of what came last */
    bool too_large;       /* said already */
};

/* Call every SC_HANDOVER_TICK_MS while the receivers live. */
void sc_handover_tick(struct sc_handover *handover, struct sc_receiver *const *receivers, uint32_t count);

#endif
