// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a proxy has accepted, and what of it is safe, by stream, window and lane: what its tallies say.
 *
 * What is accepted is kept beside the outbox as well, so that the next process can tell what this one did not come to say: else
 * nobody would miss the batches of a proxy's last second when, later, all who hold them are lost. OUTBOX/<stream>.accounts is an
 * array of records of 72 bytes, one per window and lane, written in place through the page cache (it survives the death of the
 * process; after a loss of power the counts may be those of some seconds before). Little-endian:
 *
 *   offset  size
 *        0     4  "SCAC"
 *        4     4  window length, s
 *        8     8  window, ms
 *       16     4  lane
 *       20     4  when it was written, wall clock, s since 1970; 0: by an earlier version
 *       24     8  the sequence after the last one that was accepted
 *       32    32  batches of flows, batches of options, records of flows, records of options
 *       64     8  XXH3 64 of the 64 bytes before
 *
 * A record whose hash does not agree is passed over. Zeros are space for the next records, which is taken while the disk has some: what
 * a full one does not take is to be told, too. What was written in the last five minutes of a process is told again by the next.
 * A file goes when all in it is safe and has been told for a minute.
 *
 * Accept, lose, look and tidy in the proxy's thread: these touch the files, and no lock is held while they do. Safe and tell in that of the
 * peers.
 */
#ifndef SC_RELAY_ACCOUNTS_H
#define SC_RELAY_ACCOUNTS_H

#include "relay/link.h"
#include "store/io.h"

struct sc_accounts;

/*
 * `folder`: the outbox, which need not exist yet; what earlier processes kept there is read. `stream`: this process's own.
 * One that cannot be read is left to the next process, and until then nothing of earlier ones is called closed.
 * `mono_ms`: sc_clock_mono_ms, but in tests. `io` NULL: the system's. NULL without memory.
 */
struct sc_accounts *sc_accounts_open(const char *folder, uint64_t stream, uint64_t (*mono_ms)(void),
                                     struct sc_io *io);
/* The first file that could not be read, for the log. False: all were. */
bool sc_accounts_unread(const struct sc_accounts *accounts, char *path, size_t size);
/* The file stays, for the next process. NULL is allowed. */
void sc_accounts_free(struct sc_accounts *accounts);

void sc_accounts_accept(struct sc_accounts *accounts, const struct sc_batch_head *head);
void sc_accounts_safe(struct sc_accounts *accounts, const struct sc_batch_head *head);
/* What this process lost before it was accepted: in the lane of what was dropped (store/tally.h), as safe. */
void sc_accounts_lose(struct sc_accounts *accounts, uint64_t window_ms, uint32_t window_s,
                      const struct sc_tally_count *lost);
/* A batch that an earlier process left in the outbox; in the order of their sequences in each lane. */
void sc_accounts_adopt(struct sc_accounts *accounts, const struct sc_batch_head *head);

/* When the own file was deleted by others all are written again, in the proxy's thread: what is known here is not lost. */
void sc_accounts_look(struct sc_accounts *accounts);
/* Removes the files of earlier processes of which all is told. `now_ms`: wall clock. */
void sc_accounts_tidy(struct sc_accounts *accounts, uint64_t now_ms);

/* `ended`: nothing more will be accepted. */
struct sc_link_stream sc_accounts_stream(struct sc_accounts *accounts, bool ended);

/*
 * The next of the tallies that are told each second: windows that are open or not safe yet, and those that ended or changed less than
 * a minute ago. `*at`: 0 for the first. `now_ms`: wall clock. False past the end. One that moves meanwhile may be left out: it is told
 * in the next second.
 */
bool sc_accounts_tally(struct sc_accounts *accounts, uint32_t *at, uint64_t now_ms,
                       struct sc_link_tally *out);

#endif
