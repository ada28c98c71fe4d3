// SPDX-License-Identifier: BSD-3-Clause
/*
 * The store thread of a subcollector: batches in, each to the store of its lane (its own under STORE, others under
 * STORE/.replica/NAME; collect/stores.h writes them), and out the news that they are durable.
 *
 * A batch that the disk refuses is forgotten, and its connection is told to end: the proxy has it and sends it again. So nothing
 * is kept here that is not on the disk, and no failure needs memory.
 *
 * It takes lanes of members, and few others (relay/lane_names.h); of a stream only what its owner sends (relay/stream_owners.h);
 * windows of any past, and of the future by a day. A batch that is not taken is refused by name; news that are not are passed over.
 */
#ifndef SC_RELAY_LANE_STORE_H
#define SC_RELAY_LANE_STORE_H

#include "base/log.h"
#include "collect/stores.h"
#include "conf/cluster.h"
#include "relay/facts.h"
#include "relay/link.h"
#include "relay/refusals.h"

#define SC_NEWS_EACH 16384u /* tallies and words on streams that wait, of one proxy */
#define SC_WINDOW_AHEAD_MS                                                                                   \
    86400000u /* of the time by others, or this node's clock; a batch of a later window is not taken */

struct sc_lane_store;

enum sc_lane_outcome {
    SC_LANE_DURABLE,
    SC_LANE_REFUSED, /* never taken as it is, or not now: say so */
    SC_LANE_LOST, /* the disk failed, or the way did: end the connection, so that all that is in flight is sent again */
};

/* A batch on its way, malloc'ed as its bytes are, owned by whoever has it. The bytes are only there until they are written: what waits
 * for the sync is small, and the next batch is read into memory that is still warm. */
struct sc_lane_batch {
    struct sc_lane_batch *next;
    uint64_t connection;
    char proxy[SC_PROXY_NAME_MAX]; /* who sends it */
    struct sc_batch_head head;
    enum sc_lane_outcome outcome; /* of the lane store */
    uint8_t *bytes;               /* head.size */
    bool healed;                  /* sc_lane_store_heal: */
    struct sc_span *spans;        /* what else is in it, malloc'ed */
    uint32_t span_count;
};

/* What became of one; of durable ones that followed each other, together. */
struct sc_lane_answer {
    uint64_t connection;
    struct sc_batch_id id;
    uint64_t last; /* sequence */
    enum sc_lane_outcome outcome;
};

struct sc_lane_store_options {
    const char *store;
    const struct sc_cluster *cluster; /* copied */
    uint32_t self;                    /* member */
    uint32_t window_s;
    struct sc_retention retention;
    const struct sc_reference *reference; /* the time by the other members; NULL: nobody tells it */
    struct sc_archive_command archive;
    enum sc_verify verify; /* of what is sealed */
    struct sc_log log;
    struct sc_refusals *refusals; /* outlives the store; NULL: nobody counts */
    struct sc_facts
        *facts;       /* of other members, for their horizons; outlives it too; NULL: nothing is heard */
    struct sc_io *io; /* NULL: the system's */
    void (*answered)(void *arg); /* called in the store thread when answers wait */
    void *arg;
};

struct sc_lane_store_stats {
    uint64_t batches, records; /* durable since the start */
    uint64_t duplicates;       /* batches that were here already */
    uint64_t refused;          /* by the disk */
    uint64_t damaged;          /* no whole row groups, or not what their heads said */
    uint64_t healed;           /* row groups that other members gave, durable since the start */
    uint64_t waiting_bytes;
    bool full;         /* too little is free, or the disk refused something just now */
    char problem[256]; /* the last that it refused for; empty when all is well */
    struct sc_stores_stats stores;
    uint64_t told_from_ms; /* what proxies told of windows before it is over for all members */
};

/* Opens the own store and starts the thread. @return SC_OK, or what sc_store_writer_open says. */
enum sc_status sc_lane_store_start(const struct sc_lane_store_options *options, struct sc_lane_store **out,
                                   struct sc_error *err);

/* Hands a batch over; never waits. Look at sc_lane_store_tight to know when to stop reading. */
void sc_lane_store_push(struct sc_lane_store *store, struct sc_lane_batch *batch);
/* Stores a row group as another member holds it, whatever batches of its lane are in it; those that are here already do no harm. Takes
 * the bytes, malloc'ed. False: no memory. Any number may be handed over, within bounds that the caller has, before: */
bool sc_lane_store_heal(struct sc_lane_store *store, const struct sc_batch_head *head, uint8_t *bytes);
/* Waits until all of them are durable, or have failed. @return how many have failed since the last call; they are not here. One thread. */
uint32_t sc_lane_store_healed(struct sc_lane_store *store);
/* Nothing lacks here of this node's lanes that others hold and that begins from `begin_ms` on: a horizon that was set too far goes back,
 * as soon as they have told theirs anew. Other members meanwhile change nothing of that: at worst it calls missing what all have expired. */
void sc_lane_store_is_whole(struct sc_lane_store *store, uint64_t begin_ms);
/* What a proxy says ought to be here or elsewhere, kept with the segments. Without memory it is told again in a second. @return
 * SC_REFUSAL_NONE; SC_REFUSAL_TALLIES: SC_NEWS_EACH of this proxy wait already, and this one is passed over. */
enum sc_refusal sc_lane_store_tally(struct sc_lane_store *store, const char *proxy,
                                    const struct sc_link_tally *tally);
enum sc_refusal sc_lane_store_stream(struct sc_lane_store *store, const char *proxy,
                                     const struct sc_link_stream *stream);
/* The same of what another member was told, and of streams when they were heard of by its clock. */
enum sc_refusal sc_lane_store_told(struct sc_lane_store *store, const struct sc_link_told *told);
bool sc_lane_store_tight(struct sc_lane_store *store);

/* Takes up to `most` answers. */
uint32_t sc_lane_store_answers(struct sc_lane_store *store, struct sc_lane_answer *out, uint32_t most);

/* Other members (copied), for the names of lanes; a little later. @return SC_OK or SC_NOMEM. */
enum sc_status sc_lane_store_set_cluster(struct sc_lane_store *store, const struct sc_cluster *cluster);
void sc_lane_store_set_retention(struct sc_lane_store *store, const struct sc_retention *retention);
/* As sc_stores_set_archive. */
enum sc_status sc_lane_store_set_archive(struct sc_lane_store *store,
                                         const struct sc_archive_command *command);

/* How many descriptors it has open at most when there are so many members. */
uint32_t sc_lane_store_descriptors(uint32_t members);

void sc_lane_store_get_stats(struct sc_lane_store *store, struct sc_lane_store_stats *out);

/* Makes durable what was handed over, closes the stores, ends the thread, frees. NULL is allowed. *last (may be NULL): the last figures. */
void sc_lane_store_stop(struct sc_lane_store *store, struct sc_lane_store_stats *last);

#endif
