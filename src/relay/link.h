// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a proxy and a subcollector say to each other: well-formed IPFIX over TCP (RFC 7011), with elements of our own under
 * SC_LINK_PEN, so that any IPFIX tool can frame and skip it.
 *
 * A batch is the bytes of one row group with one span, as the subcollector will store it: it is encoded once, at the cut, and
 * what is sent, sent again, acknowledged and stored is the same bytes for ever (docs/decisions.md, "The link").
 *
 *   proxy         templates, HELLO, then for each batch BATCH and its bytes in PARTs; each second STREAM and TALLYs; STATE and its
 *                 STATE PARTs when it has learned of templates; FACTS
 *   subcollector  templates, HELLO, ACKs when batches are durable, REFUSEDs where they are not taken, BEATs every 200 ms from a thread that
 *                 no disk holds up; STATEs of what other proxies know; FACTS
 *
 * Templates (the ids are fixed; numbers are unsigned, big-endian; the length in bytes stands behind the name):
 *
 *   256 HELLO  linkVersion 2, clusterVersion 8, lane 4, nodeName variable
 *   257 BATCH  stream 8, lane 4, sequence 8, windowStart 8 (ms), windowLength 4 (s), records 4, recordKind 1, size 4, hash 8
 *   258 PART   octets variable: the next bytes of the batch that was announced last
 *   259 ACK    stream 8, lane 4, first 8, last 8: these sequences, which came over this connection, are durable here, each of them
 *   260 BEAT   freeBytes 8, full 1
 *   261 TALLY  stream 8, lane 4, windowStart 8 (ms), windowLength 4 (s), then eight numbers of 8: see store/tally.h
 *   262 STREAM stream 8, closed 1, earlierClosed 1: the proxy's own, once a second
 *   263 STATE  clock 8 (ms), age 8 (ms), size 4, hash 8, nodeName variable: what that proxy's decoders know of exporters' templates,
 *              some sessions' records (collect/templates.h); its clock when it was made, and how long that is ago
 *   264 STATE PART  octets variable: the next bytes of the STATE that was announced last; BATCH and PARTs may come between
 *   265 REFUSED  stream 8, lane 4, sequence 8: this batch is not taken, now or as it is; the proxy keeps it, and gives it to others
 *   266 FACTS  instance 8, clock 8 (ms), age 8 (ms), horizon 8 (ms), freeBytes 8, clusterVersion 8, ringHash 8, fileHash 8, windowLength 4 (s),
 *              copies 4, linkVersion 2, programVersion variable, nodeName variable: what that node is, each second; its own, and those of
 *              others that it was told
 *   267 ASK    what 1, lane 4, windowStart 8 (ms), windowLength 4 (s), windowEnd 8 (ms), stream 8, sequence 8, hash 8: see struct sc_link_ask
 *   268 DIGEST lane 4, windowStart 8 (ms), windowLength 4 (s), batches 8, hash 8: what is held of a lane and window, in short
 *   269 HOLDS  lane 4, windowStart 8 (ms), windowLength 4 (s), stream 8, first 8, last 8: these batches are held, each of them
 *   270 GIVEN  what 1, outcome 1: the end of an answer
 *   271 TOLD TALLY   as TALLY, then nodeName variable: what that proxy told
 *   272 TOLD STREAM  stream 8, closed 1, clock 8 (ms), nodeName variable: when it was heard of last, by the clock of who tells it
 *
 * A subcollector that lacks batches connects to others as proxies do, and sends nothing but ASKs, one at a time. The answer is DIGESTs,
 * HOLDSs, TOLDs, or a row group as BATCH and PARTs (with all batches that are in it; the id is that of the first), and GIVEN behind them.
 *
 * The version of HELLO is the format of the row groups that come over the link or are lent (store/format.h), as the membership file asks
 * for it; a peer that cannot read it closes the connection. In FACTS it is the newest that the program reads. Templates and messages that
 * are not known are skipped.
 */
#ifndef SC_RELAY_LINK_H
#define SC_RELAY_LINK_H

#include "base/bounds.h"
#include "base/buf.h"
#include "base/status.h"
#include "collect/hearsay.h"
#include "store/tally.h"

#define SC_LINK_VERSION   2u
#define SC_LINK_PEN       32473u
#define SC_LINK_NAME_MAX  SC_PROXY_NAME_MAX
#define SC_LINK_MAX_BATCH SC_BOUND_LINK_BATCH /* bytes; a subcollector refuses more */
#define SC_LINK_MAX_STATE (16u << 20)         /* bytes; a reader refuses more. What is sent: relay/board.h */
#define SC_LINK_PART      65000u              /* bytes of a part, at most */

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

/* What a node is, for the others to compare with what they are (relay/facts.h). */
struct sc_link_facts {
    char name[SC_LINK_NAME_MAX];
    char program[SC_LINK_NAME_MAX]; /* its version */
    uint64_t instance;              /* of its process, drawn at the start */
    uint64_t clock_ms;              /* its wall clock when it told this */
    uint64_t age_ms;                /* since then, by those who passed it on */
    uint64_t horizon_ms;            /* store/horizon.h; 0: nothing has expired */
    uint64_t free_bytes;
    uint64_t cluster_version, ring_hash, file_hash; /* conf/cluster.h */
    uint32_t window_s, copies;
    uint16_t link_version;
};

#define SC_LINK_ACK_IDS 128u /* of a longer interval a proxy looks at what is in flight only */

struct sc_link_ack {
    uint64_t stream;
    uint32_t lane;
    uint64_t first, last;
};

#define SC_LINK_LEAST_FREE                                                                                   \
    ((uint64_t)64 << 20) /* of a subcollector's disk; with less it takes no new batches */

struct sc_link_beat {
    uint64_t free_bytes;
    bool
        full; /* takes no new batches: for want of room or, when more than SC_LINK_LEAST_FREE is free, because the disk refuses */
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

/* What a subcollector wants of another (relay/healer.h). */
enum sc_link_what {
    SC_ASK_NOTHING, /* behind the greeting: this one will only ask. A program that gives nothing does not answer */
    SC_ASK_DIGESTS =
        1, /* of all lanes' windows that begin from window_ms on and end by end_ms; `hash` as it was told before, or 0 */
    SC_ASK_HOLDS, /* all batches of this lane and window */
    SC_ASK_GROUP, /* the row group with this batch */
    SC_ASK_TOLD,  /* what proxies told of this window; of window 0: of their streams */
};

struct sc_link_ask {
    uint8_t what;
    uint32_t lane;
    uint64_t window_ms;
    uint32_t window_s;
    uint64_t end_ms;
    uint64_t stream, sequence;
    uint64_t hash;
};

enum sc_link_outcome {
    SC_GIVEN_ALL = 1,
    SC_GIVEN_SAME,   /* digests: nothing has changed since they had that hash */
    SC_GIVEN_NONE,   /* it is not here, or not any more */
    SC_GIVEN_FAILED, /* the disk, or no memory */
};

/* Of a lane and window. */
struct sc_link_digest {
    uint32_t lane;
    uint64_t window_ms;
    uint32_t window_s;
    uint64_t batches, hash;
};

struct sc_link_holds {
    uint32_t lane;
    uint64_t window_ms;
    uint32_t window_s;
    uint64_t stream, first, last;
};

/* The lane of digests of what proxies told. */
#define SC_TOLD_LANE (UINT32_MAX - 2)

/* A tally of one lane, or a stream. */
struct sc_link_told {
    bool is_stream;
    char proxy[SC_LINK_NAME_MAX];
    struct sc_link_tally tally;
    struct sc_stream stream;
};

struct sc_link_given {
    uint8_t what, outcome;
};

/* One direction of a connection; zero-initialise. Messages are appended to `out`, which the caller sends. */
struct sc_link_writer {
    struct sc_buf out;
    uint32_t sequence;
};

void sc_link_put_hello(struct sc_link_writer *w, const struct sc_link_hello *hello);
/* A batch is its announcement, then parts of at most SC_LINK_PART bytes, each a head with its bytes behind it. */
void sc_link_put_announcement(struct sc_link_writer *w, const struct sc_batch_head *head);
void sc_link_put_part_head(struct sc_link_writer *w, uint32_t length);
void sc_link_put_ack(struct sc_link_writer *w, const struct sc_link_ack *ack);
void sc_link_put_refused(struct sc_link_writer *w, const struct sc_batch_id *id);
void sc_link_put_beat(struct sc_link_writer *w, const struct sc_link_beat *beat);
void sc_link_put_tally(struct sc_link_writer *w, const struct sc_link_tally *tally);
void sc_link_put_stream(struct sc_link_writer *w, const struct sc_link_stream *stream);
void sc_link_put_facts(struct sc_link_writer *w, const struct sc_link_facts *facts);
void sc_link_put_ask(struct sc_link_writer *w, const struct sc_link_ask *ask);
void sc_link_put_digests(struct sc_link_writer *w, const struct sc_link_digest *list, uint32_t count);
void sc_link_put_holds(struct sc_link_writer *w, const struct sc_link_holds *list, uint32_t count);
void sc_link_put_told(struct sc_link_writer *w, const struct sc_link_told *told);
void sc_link_put_given(struct sc_link_writer *w, const struct sc_link_given *given);
/* The parts are put one by one, so that a large state need not be in the socket's way at once. */
void sc_link_put_state(struct sc_link_writer *w, const struct sc_hearsay_head *state);
void sc_link_put_state_part(struct sc_link_writer *w, const uint8_t *bytes, uint32_t length);

/* What a reader makes of messages; zero-initialise. Callbacks may be NULL: such records are skipped, and nothing of
 * them is kept. */
struct sc_link_reader {
    /* Anything but SC_OK ends the message with that status. */
    enum sc_status (*hello)(void *arg, const struct sc_link_hello *hello);
    /* A whole batch; *bytes may be taken out of the buffer. Whether the hash agrees is for the taker to look at, when they make no
     * sense. */
    enum sc_status (*batch)(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes);
    enum sc_status (*ack)(void *arg, const struct sc_link_ack *ack);
    enum sc_status (*refused)(void *arg, const struct sc_batch_id *id);
    enum sc_status (*beat)(void *arg, const struct sc_link_beat *beat);
    enum sc_status (*tally)(void *arg, const struct sc_link_tally *tally);
    enum sc_status (*stream)(void *arg, const struct sc_link_stream *stream);
    enum sc_status (*facts)(void *arg, const struct sc_link_facts *facts);
    enum sc_status (*ask)(void *arg, const struct sc_link_ask *ask);
    enum sc_status (*digest)(void *arg, const struct sc_link_digest *digest);
    enum sc_status (*holds)(void *arg, const struct sc_link_holds *holds);
    enum sc_status (*told)(void *arg, const struct sc_link_told *told);
    enum sc_status (*given)(void *arg, const struct sc_link_given *given);
    /* A whole one whose hash agrees; `bytes` are borrowed. */
    enum sc_status (*state)(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes);
    void *arg;
    /* of the reader */
    bool greeted;
    bool announced; /* `head` waits for its bytes */
    uint32_t got;   /* of them */
    uint32_t part;  /* bytes of a part that are still to come */
    struct sc_batch_head head;
    struct sc_buf bytes;
    bool state_announced; /* `state_head` waits for its bytes */
    uint32_t state_got;   /* of them */
    struct sc_hearsay_head state_head;
    struct sc_buf state_bytes;
};

/*
 * The bytes of a batch need not come through a message in memory: *length is how many of a part follow the SC_LINK_PART_HEAD bytes of
 * `head`, which are then done with. False: what begins there is to be read as a message. Then sc_link_part_room gives the place of
 * the next ones, for `most` at most, NULL without memory; sc_link_part_came takes how many of them are there now. @return as
 * sc_link_read.
 */
#define SC_LINK_PART_HEAD 23u
bool sc_link_begins_part(const struct sc_link_reader *reader, const uint8_t head[SC_LINK_PART_HEAD],
                         uint32_t *length);
uint8_t *sc_link_part_room(struct sc_link_reader *reader, uint32_t most);
enum sc_status sc_link_part_came(struct sc_link_reader *reader, uint32_t length);

/*
 * Takes one message (framed by its length). @return SC_OK; SC_MALFORMED, SC_UNSUPPORTED (the first record is no HELLO, or of
 * an unknown version), SC_NOMEM: close the connection; what a callback returned.
 */
enum sc_status sc_link_read(struct sc_link_reader *reader, const uint8_t *message, size_t length,
                            struct sc_error *err);
void sc_link_reader_free(struct sc_link_reader *reader);

uint64_t sc_link_hash(const uint8_t *bytes, size_t length);

#endif
