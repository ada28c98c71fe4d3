// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who may come in at the link port: members of the cluster, each from its own addresses. A member's addresses are the `address` that
 * the membership file gives it, the addresses that its host name was found to have when it is a name, and those under `from`.
 *
 * Pure bookkeeping, no I/O; one thread. Zero-initialise.
 */
#ifndef SC_RELAY_GATE_H
#define SC_RELAY_GATE_H

#include "conf/cluster.h"

#define SC_GATE_FOUND_MOST 8u /* addresses of a host name that are looked at */

struct sc_gate_entry {
    struct sc_addr address;
    uint32_t member;
    bool found; /* for its host name */
};

struct sc_gate {
    struct sc_cluster cluster; /* owned */
    struct sc_gate_entry *entries;
    uint32_t count;
};

void sc_gate_free(struct sc_gate *gate);

/* Takes the members over, whatever it returns. What was found for a member's host name stays, when it has that name still, until it is
 * told again: the name service may be away. @return SC_OK, SC_NOMEM: as before. */
enum sc_status sc_gate_set_members(struct sc_gate *gate, struct sc_cluster *cluster);
/* The addresses that the host name of a member has now, in place of those that it had; `count` 0: it could not be found, and keeps
 * them. One that is no member (any more) is passed over. */
void sc_gate_found(struct sc_gate *gate, const char *member, const struct sc_addr *addresses, uint32_t count);
/* Whether any address is known for the host name of a member. */
bool sc_gate_is_found(const struct sc_gate *gate, const char *member);

/* Whether any member has this address. */
bool sc_gate_opens(const struct sc_gate *gate, const struct sc_addr *from);
/* Whether the member of this name has it. */
bool sc_gate_admits(const struct sc_gate *gate, const char *name, const struct sc_addr *from);

#endif
