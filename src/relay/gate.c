// SPDX-License-Identifier: BSD-3-Clause
#include "relay/gate.h"

#include <stdlib.h>
#include <string.h>

#define MOST_EACH (1 + SC_CLUSTER_MAX_FROM + SC_GATE_FOUND_MOST)

void sc_gate_free(struct sc_gate *gate)
{
    sc_cluster_free(&gate->cluster);
    free(gate->entries);
    *gate = (struct sc_gate){0};
}

static bool has(const struct sc_gate *gate, uint32_t member, const struct sc_addr *address)
{
    for (uint32_t i = 0; i < gate->count; i++) {
        if (gate->entries[i].member == member && sc_addr_equal(&gate->entries[i].address, address))
            return true;
    }
    return false;
}

/* There is room for MOST_EACH of each. What is found may be among the given ones too, which may go with the next file. */
static void add(struct sc_gate *gate, uint32_t member, const struct sc_addr *address, bool found)
{
    if (found || !has(gate, member, address))
        gate->entries[gate->count++] = (struct sc_gate_entry){*address, member, found};
}

static void forget_found(struct sc_gate *gate, uint32_t member)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < gate->count; i++) {
        if (gate->entries[i].member != member || !gate->entries[i].found)
            gate->entries[kept++] = gate->entries[i];
    }
    gate->count = kept;
}

/* What was found before, of members that are to be found by the same host name. */
static void keep_found(struct sc_gate *fresh, const struct sc_gate *before)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const struct sc_member *old = &before->cluster.members[before->entries[i].member];
        uint32_t member =
            before->entries[i].found ? sc_cluster_find(&fresh->cluster, old->name) : SC_NO_MEMBER;
        if (member == SC_NO_MEMBER)
            continue;
        const struct sc_url *now = &fresh->cluster.members[member].address;
        if (!now->numeric && strcmp(now->host, old->address.host) == 0)
            add(fresh, member, &before->entries[i].address, true);
    }
}

enum sc_status sc_gate_set_members(struct sc_gate *gate, struct sc_cluster *cluster)
{
    struct sc_gate fresh = {.cluster = *cluster};
    *cluster = (struct sc_cluster){0};
    fresh.entries = calloc((size_t)fresh.cluster.count * MOST_EACH + 1, sizeof(*fresh.entries));
    if (fresh.entries == NULL) {
        sc_gate_free(&fresh);
        return SC_NOMEM;
    }
    for (uint32_t i = 0; i < fresh.cluster.count; i++) {
        const struct sc_member *m = &fresh.cluster.members[i];
        if (m->address.numeric)
            add(&fresh, i, &m->address.address, false);
        for (uint32_t k = 0; k < m->from_count; k++)
            add(&fresh, i, &m->from[k], false);
    }
    keep_found(&fresh, gate);
    sc_gate_free(gate);
    *gate = fresh;
    return SC_OK;
}

void sc_gate_found(struct sc_gate *gate, const char *member, const struct sc_addr *addresses, uint32_t count)
{
    uint32_t i = sc_cluster_find(&gate->cluster, member);
    if (i == SC_NO_MEMBER || count == 0)
        return;
    forget_found(gate, i);
    for (uint32_t k = 0; k < count && k < SC_GATE_FOUND_MOST; k++)
        add(gate, i, &addresses[k], true);
}

bool sc_gate_is_found(const struct sc_gate *gate, const char *member)
{
    uint32_t number = sc_cluster_find(&gate->cluster, member);
    uint32_t i = 0;
    while (i < gate->count && (gate->entries[i].member != number || !gate->entries[i].found))
        i++;
    return i < gate->count;
}

bool sc_gate_opens(const struct sc_gate *gate, const struct sc_addr *from)
{
    for (uint32_t i = 0; i < gate->count; i++) {
        if (sc_addr_equal(&gate->entries[i].address, from))
            return true;
    }
    return false;
}

bool sc_gate_admits(const struct sc_gate *gate, const char *name, const struct sc_addr *from)
{
    uint32_t i = sc_cluster_find(&gate->cluster, name);
    return i != SC_NO_MEMBER && has(gate, i, from);
}
