// SPDX-License-Identifier: BSD-3-Clause
/*
 * Asks another subcollector over the link what it holds, and for row groups: one question at a time, each waited for. Its connection is
 * one like a proxy's, to the same door (relay/holder.h). One thread, which has a loop of its own here.
 */
#ifndef SC_RELAY_ASKER_H
#define SC_RELAY_ASKER_H

#include "conf/cluster.h"
#include "net/tls.h"
#include "relay/lender.h"

#include <stdatomic.h>

#define SC_ASKER_CONNECT_MS 3000u
#define SC_ASKER_GIVES_MS   2000u  /* a member that gives anything says so at once */
#define SC_ASKER_SILENT_MS  5000u  /* a member beats every 200 ms */
#define SC_ASKER_STILL_MS   30000u /* and its disk may take so long for the next piece of an answer */

struct sc_asker;

/* Gives up what it waits for when *stopping. NULL without memory or descriptors. */
struct sc_asker *sc_asker_create(const atomic_bool *stopping);
void sc_asker_free(struct sc_asker *asker); /* NULL is allowed */

/* Connects to a member as the member `self`; `tls` NULL: plain. All are borrowed until it is closed. @return SC_OK; SC_IO,
 * SC_UNSUPPORTED, SC_NOMEM with the reason; SC_CANCELLED: stopping. */
enum sc_status sc_asker_open(struct sc_asker *asker, const struct sc_cluster *cluster, uint32_t self,
                             uint32_t member, struct sc_tls *tls, struct sc_error *err);
void sc_asker_close(struct sc_asker *asker);

/* @return SC_OK: *out is the answer, its row group not verified; else as sc_asker_open, and the connection is closed. */
enum sc_status sc_asker_ask(struct sc_asker *asker, const struct sc_link_ask *ask, struct sc_loan **out,
                            struct sc_error *err);

#endif
