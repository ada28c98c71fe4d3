// SPDX-License-Identifier: BSD-3-Clause
/*
 * What ought to exist, recorded apart from what does, so that a loss is seen: the tallies that proxies tell and nodes keep. Small
 * text files, replaced as a whole.
 *
 *   STORE/YYYY/MM/DD/YYYYMMDDTHHMMSSZ-<stream>.tally   a proxy's batches of one window, by lane
 *   STORE/.streams/<stream>                            when the proxy of a stream was heard of last, and whether it is closed
 *
 * The lines of a tally: "securitycloud tally 1", "proxy NAME", "stream HEX", "window MS SECONDS", and for each lane, by number,
 * "lane HEX" with eight numbers: batches and records of flows, batches and records of options, accepted; the same four of those
 * that are safe, that is durable on as many nodes as they should be. Numbers only grow.
 *
 * What a collector itself dropped is told in the same way, in a lane of its own (SC_DROPPED_LANE), by a collector without a cluster
 * too: as safe, so that every answer over the window says that it is missing.
 */
#ifndef SC_STORE_TALLY_H
#define SC_STORE_TALLY_H

#include "base/status.h"
#include "store/io.h"
#include "store/names.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_PROXY_NAME_MAX 64u
#define SC_TALLY_MAX_LANES                                                                                   \
    2048u /* of twice as many members as a cluster has (conf/cluster.h): names come and go */

/* The lane of records that the collector itself dropped (its queue was full): they ought to be there, and are nowhere. */
#define SC_DROPPED_LANE (UINT32_MAX - 1)

/* Batches and records, of flows and of options records: index by enum sc_record_kind. */
struct sc_tally_count {
    uint64_t batches[2];
    uint64_t records[2];
};

static inline void sc_tally_count_add(struct sc_tally_count *to, const struct sc_tally_count *from)
{
    for (int kind = 0; kind < 2; kind++) {
        to->batches[kind] += from->batches[kind];
        to->records[kind] += from->records[kind];
    }
}

/* The greater of each number. */
void sc_tally_count_grow(struct sc_tally_count *to, const struct sc_tally_count *from);

struct sc_tally_lane {
    uint32_t lane;
    struct sc_tally_count accepted, safe;
};

struct sc_tally {
    char proxy[SC_PROXY_NAME_MAX];
    uint64_t stream;
    uint64_t window_ms;
    uint32_t window_s;
    uint32_t lane_count;
    struct sc_tally_lane *lanes; /* by number; malloc'ed */
};

/* The lane's entry, made when missing; NULL without memory or beyond SC_TALLY_MAX_LANES. */
struct sc_tally_lane *sc_tally_lane(struct sc_tally *tally, uint32_t lane);
bool sc_tally_lane_equal(const struct sc_tally_lane *x, const struct sc_tally_lane *y);
/* The greater of each number. */
enum sc_status sc_tally_merge(struct sc_tally *to, const struct sc_tally *from);
void sc_tally_free(struct sc_tally *tally);

/* Where the tally of a stream and window lies. */
void sc_tally_path(const char *store, uint64_t stream, uint64_t window_ms, char *out, size_t size);
/* Replaces the file (sc_io_replace). `io` NULL: the system's. @return SC_OK, SC_IO, SC_FULL. */
enum sc_status sc_tally_write(const char *store, const struct sc_tally *tally, struct sc_io *io,
                              struct sc_error *err);
/* @return SC_OK; SC_NOTFOUND; SC_DAMAGED; SC_IO; SC_NOMEM. */
enum sc_status sc_tally_read(const char *path, struct sc_tally *out, struct sc_error *err);

struct sc_stream {
    char proxy[SC_PROXY_NAME_MAX];
    uint64_t stream;
    uint64_t heard_ms; /* wall clock */
    bool closed;       /* nothing of it waits anywhere, and nothing will come */
};

/* Replaces what is known of the stream: durably when it is new or closed; else it is told again in a second. */
enum sc_status sc_stream_write(const char *store, const struct sc_stream *stream, struct sc_io *io,
                               struct sc_error *err);
/* What is known of one. @return SC_OK; SC_NOTFOUND, also when its file is damaged. */
enum sc_status sc_stream_read(const char *store, uint64_t stream, struct sc_stream *out);
/* The streams of a store one by one, so that who has other work may stop in between and go on later; none when it has no such
 * folder. What comes or changes meanwhile may be met or not. Zero-initialise; one descriptor from begin to end. */
struct sc_stream_walk {
    DIR *dir;
};
enum sc_status sc_stream_walk_begin(struct sc_stream_walk *walk, const char *store, struct sc_error *err);
/* @return whether there was another one. */
bool sc_stream_walk_next(struct sc_stream_walk *walk, const char *store, struct sc_stream *out);
void sc_stream_walk_end(struct sc_stream_walk *walk);
/* All of them, malloc'ed. */
enum sc_status sc_stream_list(const char *store, struct sc_stream **out, uint32_t *count,
                              struct sc_error *err);

#endif
