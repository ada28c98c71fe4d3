// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a proxy and a subcollector say to each other: well-formed IPFIX over TCP (RFC 7011), with elements of our own under
 * SC_LINK_PEN, so that any IPFIX tool can frame and skip it.
 *
 * A batch is the bytes of one row group with one span, as the subcollector will store it: it is encoded once, at the cut, and
 * what is sent, sent again, acknowledged and stored is the same bytes for ever (docs/decisions.md, "The link").
 *
 *   proxy         templates, HELLO, then for each batch BATCH and its bytes in PARTs; each second STREAM and TALLYs
 *   subcollector  templates, HELLO, ACKs when batches are durable, BEATs every 200 ms from a thread that no disk holds up
 *
 * Templates (the ids are fixed; numbers are unsigned, big-endian; the length in bytes stands behind the name):
 *
 *   256 HELLO  linkVersion 2, clusterVersion 8, lane 4, nodeName variable
 *   257 BATCH  stream 8, lane 4, sequence 8, windowStart 8 (ms), windowLength 4 (s), records 4, recordKind 1, size 4, hash 8
 *   258 PART   octets variable: the next bytes of the batch that was announced last
 *   259 ACK    stream 8, lane 4, first 8, last 8: these sequences are durable here
 *   260 BEAT   freeBytes 8, full 1
 *   261 TALLY  stream 8, lane 4, windowStart 8 (ms), windowLength 4 (s), then eight numbers of 8: see store/tally.h
 *   262 STREAM stream 8, closed 1, earlierClosed 1: the proxy's own, once a second
 *
 * A peer that speaks a newer version says so in HELLO; templates and messages that are not known are skipped.
 */
#ifndef SC_COLLECT_LINK_H
#define SC_COLLECT_LINK_H

#include "base/buf.h"
#include "base/status.h"
#include "store/tally.h"

#define SC_LINK_VERSION   1u
#define SC_LINK_PEN       32473u
#define SC_LINK_NAME_MAX  64u
#define SC_LINK_MAX_BATCH (64u << 20) /* bytes; a subcollector refuses more */

struct sc_batch_id {
    uint64_t stream;
    uint64_t sequence;
    uint32_t lane;
};

struct sc_batch_head {
    struct sc_batch_id id;
    uint64_t window_ms;
    uint32_t window_s;
    uint32_t records;
    uint32_t size;       /* bytes */
    uint8_t record_kind; /* enum sc_record_kind */
    uint64_t hash;       /* XXH3 64 of the bytes */
};

struct sc_link_hello {
    uint16_t version;
    uint64_t cluster_version;
    uint32_t lane; /* of the sender, 0: it is no subcollector */
    char name[SC_LINK_NAME_MAX];
};

struct sc_link_ack {
    uint64_t stream;
    uint32_t lane;
    uint64_t first, last;
};

struct sc_link_beat {
    uint64_t free_bytes;
    bool full; /* takes no new batches */
};

/* The batches of one stream, lane and window. */
struct sc_link_tally {
    uint64_t stream;
    uint64_t window_ms;
    uint32_t window_s;
    struct sc_tally_lane lane;
};

struct sc_link_stream {
    uint64_t stream;
    bool closed;         /* everything is safe, and nothing will come */
    bool earlier_closed; /* the same of all earlier streams of this proxy */
};

/* One direction of a connection; zero-initialise. Messages are appended to `out`, which the caller sends. */
struct sc_link_writer {
    struct sc_buf out;
    uint32_t sequence;
};

void sc_link_put_hello(struct sc_link_writer *w, const struct sc_link_hello *hello);
void sc_link_put_batch(struct sc_link_writer *w, const struct sc_batch_head *head, const uint8_t *bytes);
void sc_link_put_ack(struct sc_link_writer *w, const struct sc_link_ack *ack);
void sc_link_put_beat(struct sc_link_writer *w, const struct sc_link_beat *beat);
void sc_link_put_tally(struct sc_link_writer *w, const struct sc_link_tally *tally);
void sc_link_put_stream(struct sc_link_writer *w, const struct sc_link_stream *stream);

/* What a reader makes of messages; zero-initialise. Callbacks may be NULL: such records are skipped. */
struct sc_link_reader {
    /* Anything but SC_OK ends the message with that status. */
    enum sc_status (*hello)(void *arg, const struct sc_link_hello *hello);
    /* A whole batch whose hash agrees; `bytes` are borrowed. */
    enum sc_status (*batch)(void *arg, const struct sc_batch_head *head, const uint8_t *bytes);
    enum sc_status (*ack)(void *arg, const struct sc_link_ack *ack);
    enum sc_status (*beat)(void *arg, const struct sc_link_beat *beat);
    enum sc_status (*tally)(void *arg, const struct sc_link_tally *tally);
    enum sc_status (*stream)(void *arg, const struct sc_link_stream *stream);
    void *arg;
    /* of the reader */
    bool greeted;
    bool announced; /* `head` waits for its bytes */
    struct sc_batch_head head;
    struct sc_buf bytes;
};

/*
 * Takes one message (framed by its length). @return SC_OK; SC_MALFORMED, SC_UNSUPPORTED (the first record is no HELLO, or of
 * an unknown version), SC_NOMEM: close the connection; what a callback returned.
 */
enum sc_status sc_link_read(struct sc_link_reader *reader, const uint8_t *message, size_t length,
                            struct sc_error *err);
void sc_link_reader_free(struct sc_link_reader *reader);

uint64_t sc_link_hash(const uint8_t *bytes, size_t length);

#endif
