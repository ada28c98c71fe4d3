// SPDX-License-Identifier: BSD-3-Clause
#include "relay/stream_owners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sc_stream_owners_free(struct sc_stream_owners *o)
{
    free(o->list);
    *o = (struct sc_stream_owners){.store = o->store};
}

/* Where it is, or would be. */
static uint32_t place_of(const struct sc_stream_owners *o, uint64_t stream)
{
    uint32_t low = 0, high = o->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->list[middle].stream < stream)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A place for the stream; NULL without memory. */
static struct sc_stream_owner *insert(struct sc_stream_owners *o, uint64_t stream)
{
    if (o->list == NULL)
        o->list = calloc(SC_STREAMS_KNOWN, sizeof(*o->list));
    if (o->list == NULL)
        return NULL;
    if (o->count == SC_STREAMS_KNOWN)
        o->count = 0;
    uint32_t at = place_of(o, stream);
    memmove(&o->list[at + 1], &o->list[at], (o->count - at) * sizeof(*o->list));
    o->count++;
    o->list[at] = (struct sc_stream_owner){.stream = stream};
    return &o->list[at];
}

static bool is_mine(struct sc_stream_owner *owner, const struct sc_cluster *cluster, const char *proxy)
{
    if (strcmp(owner->proxy, proxy) == 0)
        return true;
    if (owner->proxy[0] != '\0' && sc_cluster_find(cluster, owner->proxy) != SC_NO_MEMBER)
        return false;
    snprintf(owner->proxy, sizeof(owner->proxy), "%.63s", proxy);
    return true;
}

bool sc_stream_owners_claim(struct sc_stream_owners *o, const struct sc_cluster *cluster, uint64_t stream,
                            const char *proxy)
{
    struct sc_stream before;
    struct sc_stream_owner unkept = {0}, *owner = NULL;
    uint32_t at = place_of(o, stream);
    if (at < o->count && o->list[at].stream == stream)
        return is_mine(&o->list[at], cluster, proxy);
    owner = insert(o, stream);
    owner = owner == NULL ? &unkept : owner;
    if (sc_stream_read(o->store, stream, &before) == SC_OK)
        memcpy(owner->proxy, before.proxy, sizeof(owner->proxy));
    return is_mine(owner, cluster, proxy);
}
