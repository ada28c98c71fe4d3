// SPDX-License-Identifier: BSD-3-Clause
/*
 * A hash table (base/chains.h) whose members stand in a row too, in no order. To find, to add and to take out costs the same however
 * many there are. Who walks the row from its end to its begin may take out the member at hand, and may stop and go on another time
 * from the place where it stopped: whatever was taken out meanwhile, no member that it has not seen is beyond that place. One thread.
 */
#ifndef SC_BASE_ROSTER_H
#define SC_BASE_ROSTER_H

#include "base/chains.h"

#include <stddef.h>

/* The first member of whatever is kept in a roster. */
struct sc_roster_entry {
    struct sc_chain chain;
    uint32_t place; /* in the row */
};

/* Zero-initialise. */
struct sc_roster {
    struct sc_chains chains;
    struct sc_roster_entry **row;
    uint32_t count, capacity;
};

/* Puts it at the end of the row. @return false without memory. */
bool sc_roster_add(struct sc_roster *roster, struct sc_roster_entry *entry, uint64_t hash);
/* The entry is in the roster; the last one of the row takes its place. */
void sc_roster_remove(struct sc_roster *roster, struct sc_roster_entry *entry);
/* The entry and the one at `place` change places. */
void sc_roster_swap(struct sc_roster *roster, struct sc_roster_entry *entry, uint32_t place);
/* Frees the tables, not what is in them. */
void sc_roster_free(struct sc_roster *roster);

/* Bytes of the tables, and how many more they take with `more` entries more. */
size_t sc_roster_bytes(const struct sc_roster *roster);
size_t sc_roster_growth(const struct sc_roster *roster, uint32_t more);

#endif
