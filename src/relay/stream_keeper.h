// SPDX-License-Identifier: BSD-3-Clause
/*
 * The words on streams that a subcollector keeps beside its segments: the last of each proxy and stream in memory, from there to the
 * file (store/tally.h), step by step: a step writes one file, or looks at one.
 *
 * A proxy has a share: SC_WORDS_EACH streams whose words wait (it needs one), SC_STREAMS_NEW new ones a minute, and one step in turn,
 * so that it waits for one step of each of the others, whatever they say. A word that says what the file says is not written; when
 * the stream was heard of is, twice a second at most.
 *
 * That a proxy's other streams are closed is looked for in the folder once, one file a step, and again when another stream of this
 * proxy was opened or says it. Nothing is closed before all tallies of its proxy are on the disk: until then the word waits.
 *
 * A stream whose first batch comes before any word on it is written down at once: a proxy that dies within its first second is
 * missed (sc_stream_keeper_admit).
 *
 * Malloc; one thread. Zero-initialise but for `store`, `io`, `cluster`, `owners` and `tallies`, which outlive it.
 */
#ifndef SC_RELAY_STREAM_KEEPER_H
#define SC_RELAY_STREAM_KEEPER_H

#include "relay/link.h"
#include "relay/refusals.h"
#include "relay/stream_owners.h"
#include "relay/tally_keeper.h"

#define SC_WORDS_EACH   8u
#define SC_STREAMS_NEW  64u
#define SC_STREAM_EVERY 500u /* ms between two words that only say that a stream is heard of */

struct sc_stream_keeper {
    const char *store;
    struct sc_io *io; /* NULL: the system's */
    const struct sc_cluster *cluster;
    struct sc_stream_owners *owners;
    const struct sc_tally_keeper *tallies;
    struct sc_tellers tellers;
    uint64_t walks; /* through the folder, so far */
};

/* What a step found. */
struct sc_stream_step {
    enum sc_refusal why; /* SC_REFUSAL_STREAM: the word was passed over */
    const char *proxy;   /* valid until the next call */
};

void sc_stream_keeper_free(struct sc_stream_keeper *keeper);

/* The files are gone: the words that are in memory are to be written again, of streams that are open with the next that is told. */
void sc_stream_keeper_rewrite(struct sc_stream_keeper *keeper);

/* Touches no disk. @return SC_REFUSAL_NONE, also without memory: it is told again; SC_REFUSAL_STREAM: SC_WORDS_EACH others wait. */
enum sc_refusal sc_stream_keeper_take(struct sc_stream_keeper *keeper, const char *proxy,
                                      const struct sc_link_stream *word, uint64_t now_ms);
/* What another member knows of a stream that tells nothing here: taken over, durably; closed only when all tallies of its proxy are on
 * the disk. What fails is told again. */
void sc_stream_keeper_told(struct sc_stream_keeper *keeper, const struct sc_stream *told);
/* Before a batch of the stream may be acknowledged: that there is such a stream is durable when this returns SC_OK. It costs no look
 * at the disk when it is known to be. SC_LIMIT: it is another's, or this proxy began SC_STREAMS_NEW within a minute: the batch is
 * refused, is given to others, and is offered again when the minute is over. SC_IO, SC_FULL, SC_NOMEM: not now. */
enum sc_status sc_stream_keeper_admit(struct sc_stream_keeper *keeper, const char *proxy, uint64_t stream,
                                      uint64_t now_ms, struct sc_error *err);
/* One step. @return false: there was nothing to do, and *out is not set. */
bool sc_stream_keeper_step(struct sc_stream_keeper *keeper, uint64_t now_ms, struct sc_stream_step *out);

#endif
