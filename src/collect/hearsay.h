// SPDX-License-Identifier: BSD-3-Clause
/*
 * What another proxy told of what its decoders know of templates, in the form of collect/templates.h. It is not changed any more, and
 * shared by count among threads; whoever releases it last frees it.
 */
#ifndef SC_COLLECT_HEARSAY_H
#define SC_COLLECT_HEARSAY_H

#include "store/tally.h"

#include <stdatomic.h>

struct sc_hearsay_head {
    char proxy[SC_PROXY_NAME_MAX];
    uint64_t clock_ms; /* the proxy's, when the state was made */
    uint64_t age_ms;   /* since then */
    uint32_t size;     /* bytes */
    uint64_t hash;     /* XXH3 64 of the bytes */
};

struct sc_hearsay {
    struct sc_hearsay_head head; /* `age_ms` when it came */
    uint64_t came_ms;            /* monotonic */
    uint64_t number;             /* of the last record in it, for whoever made it */
    atomic_uint holders;
    uint8_t bytes[];
};

/* Held once; copies head->size bytes. NULL without memory. */
struct sc_hearsay *sc_hearsay_create(const struct sc_hearsay_head *head, const uint8_t *bytes);
struct sc_hearsay *sc_hearsay_hold(struct sc_hearsay *hearsay);
void sc_hearsay_release(struct sc_hearsay *hearsay); /* NULL is allowed */
/* How old it is now, ms. */
uint64_t sc_hearsay_age(const struct sc_hearsay *hearsay);

#endif
