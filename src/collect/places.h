// SPDX-License-Identifier: BSD-3-Clause
/*
 * The places for TCP connections of exporters: how many may be open over all receivers, in all and of one exporter (an IPv4
 * address, or an IPv6 /64). They come out of what the process may open (RLIMIT_NOFILE) when the store, the outbox, the link and the
 * control socket have what they need, so that nobody who connects can take it from these.
 *
 * Any thread.
 */
#ifndef SC_COLLECT_PLACES_H
#define SC_COLLECT_PLACES_H

#include "base/addr.h"

#define SC_PLACES_MOST 4096u /* unless configured */

struct sc_places;

struct sc_places_limits {
    uint32_t most;
    uint32_t each; /* of one exporter */
};

struct sc_places_view {
    struct sc_places_limits limits;
    uint32_t taken;
};

enum sc_place { SC_PLACE_TAKEN, SC_PLACE_NONE_LEFT, SC_PLACE_OVER_SHARE, SC_PLACE_NO_MEMORY };

/* Raises the soft limit of descriptors to the hard one. @return what it is then. */
uint64_t sc_places_raise_descriptors(void);

/*
 * Of `descriptors`, `reserved` are for others. `wanted`: as configured; 0: SC_PLACES_MOST, and an eighth of all for one exporter.
 * Never less than 8 in all.
 */
struct sc_places_limits sc_places_limits(uint64_t descriptors, uint64_t reserved,
                                         struct sc_places_limits wanted);

/* NULL without memory. */
struct sc_places *sc_places_create(struct sc_places_limits limits);
void sc_places_free(struct sc_places *places); /* NULL is allowed */

/* `places` NULL: there is no bound. */
enum sc_place sc_places_take(struct sc_places *places, const struct sc_addr *from);
void sc_places_give_back(struct sc_places *places, const struct sc_addr *from);
void sc_places_get(struct sc_places *places, struct sc_places_view *out);

#endif
