// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a proxy has accepted, and what of it is safe, by window and lane: what its tallies say. Zero-initialised but for the
 * mutex; accept in the proxy's thread, safe in that of the peers.
 */
#ifndef SC_COLLECT_ACCOUNTS_H
#define SC_COLLECT_ACCOUNTS_H

#include "collect/link.h"

struct sc_accounts;

/* `stream`: this process's own; batches of others are those that an earlier process left. NULL without memory. */
struct sc_accounts *sc_accounts_create(uint64_t stream);
void sc_accounts_free(struct sc_accounts *accounts);

void sc_accounts_accept(struct sc_accounts *accounts, const struct sc_batch_head *head);
void sc_accounts_safe(struct sc_accounts *accounts, const struct sc_batch_head *head);
/* A batch that an earlier process left. */
void sc_accounts_adopt(struct sc_accounts *accounts);

/* `ended`: nothing more will be accepted. */
struct sc_link_stream sc_accounts_stream(struct sc_accounts *accounts, bool ended);

/*
 * The i-th tally that is told each second: windows that are open or not safe yet, and those that ended less than a minute ago.
 * False past the end.
 */
bool sc_accounts_tally(struct sc_accounts *accounts, uint32_t i, uint64_t now_ms, struct sc_link_tally *out);

#endif
