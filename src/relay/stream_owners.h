// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whose a stream is: that member's who named it first, here or by the files of the store (store/tally.h), until it is no member any
 * more: then it is who names it next, as a node that got another name sends on what its outbox holds.
 *
 * A cache of at most SC_STREAMS_KNOWN; when it is full it begins anew from the files. Malloc; one thread. Zero-initialise but for
 * `store`.
 */
#ifndef SC_RELAY_STREAM_OWNERS_H
#define SC_RELAY_STREAM_OWNERS_H

#include "conf/cluster.h"
#include "store/tally.h"

#define SC_STREAMS_KNOWN 4096u

struct sc_stream_owner {
    uint64_t stream;
    char proxy[SC_PROXY_NAME_MAX];
};

struct sc_stream_owners {
    const char *store;
    struct sc_stream_owner *list; /* by stream */
    uint32_t count;
};

void sc_stream_owners_free(struct sc_stream_owners *owners);

/* Whether the stream is, from now on, this proxy's. Without memory: yes, unless it is known to be another's. */
bool sc_stream_owners_claim(struct sc_stream_owners *owners, const struct sc_cluster *cluster,
                            uint64_t stream, const char *proxy);

#endif
