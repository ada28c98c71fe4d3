// SPDX-License-Identifier: BSD-3-Clause
/*
 * Keeps STORE/templates.state and STORE/templates.journal (collect/templates.h): loads them into the receivers' decoders; takes
 * from the receivers the records of sessions that changed and appends them to the journal, synced, on a thread of its own, so that
 * neither a receiver nor the main loop waits for a disk. When the journal is larger than the state and SC_KEEPER_SLACK, that
 * thread writes the state anew and begins another journal. What is changed is on the disk within 2 s, if the disk can. All calls
 * but sc_keeper_look from one thread.
 */
#ifndef SC_COLLECT_KEEPER_H
#define SC_COLLECT_KEEPER_H

#include "collect/receiver.h"
#include "store/io.h"

#define SC_KEEPER_TICK_MS 100u
#define SC_KEEPER_SLACK   ((uint64_t)4 << 20)
#define SC_KEEPER_WAITING                                                                                    \
    ((size_t)16 << 20) /* records that wait for the disk; the rest waits in the decoders */

struct sc_keeper;

struct sc_keeper_options {
    const char *store;                    /* borrowed */
    struct sc_receiver *const *receivers; /* borrowed */
    uint32_t count;
    struct sc_decoder_limits limits; /* of the receivers' decoders */
    struct sc_log log;
    /* Hears of all records, also of those that are loaded. NULL: nobody. */
    void (*tell)(void *arg, const uint8_t *list, size_t length);
    void *arg;
    struct sc_io *io;     /* NULL: the system's */
    size_t waiting_bytes; /* 0: SC_KEEPER_WAITING */
};

struct sc_keeper_view {
    uint64_t state_bytes, journal_bytes;
    uint64_t saved_ms; /* when something was written last; 0: not yet */
    uint64_t left_out; /* sessions that found no room in the state */
};

/* NULL without memory. */
struct sc_keeper *sc_keeper_create(const struct sc_keeper_options *options);
/* Before the receivers run. What cannot be loaded is logged, and not used. */
void sc_keeper_load(struct sc_keeper *keeper);
/* Takes what changed and has it written, unless that is still being done. Call every SC_KEEPER_TICK_MS. */
void sc_keeper_tick(struct sc_keeper *keeper);
/* The files were deleted: they are made anew, and the receivers give all that they know again. */
void sc_keeper_begin_anew(struct sc_keeper *keeper);
/* Another collector has the store: nothing more is written. */
void sc_keeper_give_up(struct sc_keeper *keeper);
/* From any thread. */
void sc_keeper_look(const struct sc_keeper *keeper, struct sc_keeper_view *out);
/* After the receivers: waits for what is being written, writes what has changed since, and frees. NULL is allowed. */
void sc_keeper_finish(struct sc_keeper *keeper);

#endif
