// SPDX-License-Identifier: BSD-3-Clause
/*
 * A hash table (base/table.h) of objects that others point to, so that they don't move: they stand in a row, in no order, and the
 * table has their places. To find, to add and to take out costs the same however many there are. Who walks the row from its end to its
 * begin may take out the member at hand, and may stop and go on another time from the place where it stopped: whatever was taken out
 * meanwhile, no member that it has not seen is beyond that place. Hashes are the caller's, seeded (base/hash.h). One thread.
 */
#ifndef SC_BASE_ROSTER_H
#define SC_BASE_ROSTER_H

#include "base/table.h"

/* The first member of whatever is kept in a roster. */
struct sc_roster_entry {
    uint32_t place; /* in the row */
    uint32_t hash;
};

/* Zero-initialise. */
struct sc_roster {
    struct sc_table table;
    struct sc_roster_entry **row; /* has room for what the table has */
    uint32_t count;
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

static inline struct sc_roster_entry *sc_roster_at(const struct sc_roster *roster, const struct sc_probe *p)
{
    return p->number == SC_TABLE_NONE ? NULL : roster->row[p->number];
}

/* The entries with this hash, one after the other, and some others maybe; NULL: there are no more. */
static inline struct sc_roster_entry *sc_roster_first(const struct sc_roster *roster, uint64_t hash,
                                                      struct sc_probe *p)
{
    *p = sc_table_first(&roster->table, hash);
    return sc_roster_at(roster, p);
}

static inline struct sc_roster_entry *sc_roster_next(const struct sc_roster *roster, struct sc_probe *p)
{
    sc_table_next(&roster->table, p);
    return sc_roster_at(roster, p);
}

#endif
