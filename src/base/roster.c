// SPDX-License-Identifier: BSD-3-Clause
#include "base/roster.h"

#include <stdlib.h>

/* The row grows as the chains do. */
static size_t capacity_for(const struct sc_roster *roster, uint32_t more)
{
    size_t capacity = roster->capacity;
    while (capacity < (size_t)roster->count + more)
        capacity = capacity == 0 ? SC_CHAINS_FIRST : capacity * 2;
    return capacity;
}

static bool make_place(struct sc_roster *roster)
{
    size_t capacity = capacity_for(roster, 1);
    if (capacity == roster->capacity)
        return true;
    struct sc_roster_entry **row = realloc(roster->row, capacity * sizeof(struct sc_roster_entry *));
    if (row == NULL)
        return false;
    roster->row = row;
    roster->capacity = (uint32_t)capacity;
    return true;
}

static void stand(struct sc_roster *roster, struct sc_roster_entry *entry, uint32_t place)
{
    roster->row[place] = entry;
    entry->place = place;
}

bool sc_roster_add(struct sc_roster *roster, struct sc_roster_entry *entry, uint64_t hash)
{
    if (!make_place(roster) || !sc_chains_add(&roster->chains, &entry->chain, hash))
        return false;
    stand(roster, entry, roster->count++);
    return true;
}

void sc_roster_remove(struct sc_roster *roster, struct sc_roster_entry *entry)
{
    sc_chains_remove(&roster->chains, &entry->chain);
    stand(roster, roster->row[--roster->count], entry->place);
}

void sc_roster_swap(struct sc_roster *roster, struct sc_roster_entry *entry, uint32_t place)
{
    stand(roster, roster->row[place], entry->place);
    stand(roster, entry, place);
}

void sc_roster_free(struct sc_roster *roster)
{
    sc_chains_free(&roster->chains);
    free(roster->row);
    *roster = (struct sc_roster){0};
}

size_t sc_roster_bytes(const struct sc_roster *roster)
{
    return ((size_t)roster->capacity + roster->chains.size) * sizeof(void *);
}

size_t sc_roster_growth(const struct sc_roster *roster, uint32_t more)
{
    return 2 * (capacity_for(roster, more) - roster->capacity) * sizeof(void *);
}
