// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages in, batches out: one thread's decoder, and the batches that are being filled. A batch goes to the queue when it has
 * SC_INTAKE_ROWS rows, when its first record is SC_INTAKE_AGE_MS old (or as the options say), at the edge of a window, and before it
 * would weigh more than the queue grants. Belongs to one thread.
 *
 * Records that came over TCP have batches of their own: what the queue has no room for is kept and pushed again at each tick, and
 * the receiver reads no TCP as long as sc_intake_is_tight. So do records of messages that would crowd a batch with columns: they are
 * dropped before those of others are (collect/queue.h).
 */
#ifndef SC_COLLECT_INTAKE_H
#define SC_COLLECT_INTAKE_H

#include "base/log.h"
#include "base/reference.h"
#include "collect/queue.h"
#include "wire/decoder.h"

#define SC_INTAKE_ROWS    61440u /* a message's records on top fit a row group of 65,536, as a rule */
#define SC_INTAKE_AGE_MS  500u
#define SC_INTAKE_COLUMNS 512u              /* more than these do not come into the batch of all */
#define SC_INTAKE_ASIDE   ((size_t)8 << 20) /* bytes of a batch aside */

struct sc_intake_options {
    struct sc_decoder_limits limits;
    uint32_t window_s;
    struct sc_queue *queue;
    /* Is shown every finished batch, also one that the queue refuses, and may hold its parcel; NULL: nobody is. */
    void (*offer)(void *arg, struct sc_parcel *parcel);
    void *offer_arg;
    uint32_t rows;   /* that a batch is sent on with; 0: SC_INTAKE_ROWS */
    uint32_t age_ms; /* likewise; 0: SC_INTAKE_AGE_MS */
    /* The time by others, by which windows are stamped while the own clock is more than a window off it. Of messages that come live; NULL:
     * the time of their arrival counts, whatever it is. */
    const struct sc_reference *reference;
    uint64_t patience_ms; /* how long a full queue is waited for before a batch is dropped; 0: not at all */
};

/* All since the start. */
struct sc_intake_stats {
    uint64_t messages;
    uint64_t bytes;
    uint64_t flows;
    uint64_t options;
    uint64_t templates;
    uint64_t malformed; /* messages or parts of them that break their protocol, and unknown versions */
    uint64_t no_template_sets;
    uint64_t recovered_sets;
    uint64_t lost;
    uint64_t over_budget; /* sessions, domains, templates and names of exporters that there was no room for */
    uint64_t refused;     /* messages dropped for want of memory or at a bound of the decoder */
    uint64_t dropped_full; /* records in batches dropped because the queue was full, or there was no memory */
    uint64_t dropped_aside;   /* records with many columns of their own, dropped because it was tight */
    uint64_t dropped_batches; /* the batches of both */
};

struct sc_intake;

/* @return NULL with *err when memory is short. */
struct sc_intake *sc_intake_create(const struct sc_intake_options *options, struct sc_error *err);
/* Batches not flushed are dropped. The queue must have given back all parcels. */
void sc_intake_free(struct sc_intake *intake);

/* Decodes one message. @return what sc_decoder_message says; everything is counted already. */
enum sc_status sc_intake_message(struct sc_intake *intake, const struct sc_message_source *source,
                                 const uint8_t *bytes, size_t length, struct sc_error *err);

/* Whether senders that can be made to wait should be. */
bool sc_intake_is_tight(const struct sc_intake *intake);

/* Sends batches whose first record is old. Call at least every 100 ms. */
void sc_intake_tick(struct sc_intake *intake);
/* Sends all batches. */
void sc_intake_flush(struct sc_intake *intake);
/* The last batches come: from now on a full queue is waited for, until `until_ms` (monotonic, not 0), and nothing is kept. */
void sc_intake_end(struct sc_intake *intake, uint64_t until_ms);

struct sc_decoder *sc_intake_decoder(struct sc_intake *intake);
const struct sc_intake_stats *sc_intake_stats_of(const struct sc_intake *intake);

#endif
