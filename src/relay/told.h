// SPDX-License-Identifier: BSD-3-Clause
/*
 * What proxies have told a node, as it stands in its files: tallies by window, and streams (store/tally.h). In short, as digests in
 * the lane SC_TOLD_LANE, the streams as of a window that begins at 0; and as records, for a node that was not there to hear it.
 *
 * Touches the disk. Malloc; one thread. Zero-initialise but for `store`, which outlives it.
 */
#ifndef SC_RELAY_TOLD_H
#define SC_RELAY_TOLD_H

#include "relay/link.h"
#include "store/catalogue.h"

struct sc_told_file {
    char *path;
    int64_t changed_ns;
    uint64_t bytes;
    uint64_t window_ms;
    uint32_t window_s; /* 0: it can't be read, and is looked at again */
    uint64_t hash;
};

struct sc_told {
    const char *store;
    struct sc_told_file *files; /* of tallies, by name: by window and stream */
    uint32_t count;
    uint64_t streams_hash; /* 0: there are none */
    uint32_t streams;
};

void sc_told_free(struct sc_told *told);

/* Reads the listed tallies that are new or changed, and the streams. @return SC_OK, SC_NOMEM. */
enum sc_status sc_told_refresh(struct sc_told *told, const struct sc_catalogue *listed);
/* Appends the digests, in order, to a list with room by sc_array_more. @return SC_OK, SC_NOMEM. */
enum sc_status sc_told_digests(const struct sc_told *told, struct sc_link_digest **list, uint32_t *count);
/* What was told of a window, or of streams, malloc'ed. @return SC_OK, SC_NOMEM. */
enum sc_status sc_told_records(const struct sc_told *told, uint64_t window_ms, struct sc_link_told **out,
                               uint32_t *count);

#endif
