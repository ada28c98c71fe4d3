// SPDX-License-Identifier: BSD-3-Clause
/*
 * Proxies by name, each with its share of something that all of them use: whoever keeps what they tell puts a struct sc_teller first
 * into what it has of each. Names are those of members: there are not many, and they stay. Malloc. Zero-initialise.
 */
#ifndef SC_RELAY_TELLERS_H
#define SC_RELAY_TELLERS_H

#include "store/tally.h"

struct sc_teller {
    char proxy[SC_PROXY_NAME_MAX];
    uint32_t begun; /* in the period that began then: */
    uint64_t period_ms;
};

struct sc_tellers {
    struct sc_teller **list;
    uint32_t count;
    uint32_t turn; /* modulo their number: whose is next */
};

void sc_tellers_free(struct sc_tellers *tellers);

/* NULL: it told nothing yet. */
struct sc_teller *sc_tellers_find(const struct sc_tellers *tellers, const char *proxy);
/* Made of `size` bytes, zeros behind the name, when it told nothing yet. NULL without memory. Stays where it is. */
struct sc_teller *sc_tellers_get(struct sc_tellers *tellers, const char *proxy, size_t size);
/* One after the other, round and round; there is one. */
struct sc_teller *sc_tellers_next(struct sc_tellers *tellers);
/* Whether it may begin one more: `most` in a period of `length_ms`. */
bool sc_teller_begins(struct sc_teller *teller, uint64_t now_ms, uint64_t length_ms, uint32_t most);

#endif
