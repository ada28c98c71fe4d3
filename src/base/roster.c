// SPDX-License-Identifier: BSD-3-Clause
#include "base/roster.h"

#include "base/array.h"

#include <stdlib.h>

/* Places of the row that go with a table of this size. */
static uint32_t places_of(uint32_t size)
{
    return size / 2;
}

static bool make_place(struct sc_roster *roster)
{
    uint32_t places = places_of(roster->table.size);
    if (roster->count < places)
        return true;
    return sc_array_more(roster->row, places, 1) && sc_table_reserve(&roster->table, 1);
}

bool sc_roster_add(struct sc_roster *roster, struct sc_roster_entry *entry, uint64_t hash)
{
    if (!make_place(roster))
        return false;
    *entry = (struct sc_roster_entry){.place = roster->count++, .hash = (uint32_t)hash};
    roster->row[entry->place] = entry;
    sc_table_add(&roster->table, hash, entry->place);
    return true;
}

static void move(struct sc_roster *roster, struct sc_roster_entry *entry, uint32_t place)
{
    sc_table_renumber(&roster->table, entry->hash, entry->place, place);
    roster->row[place] = entry;
    entry->place = place;
}

void sc_roster_remove(struct sc_roster *roster, struct sc_roster_entry *entry)
{
    struct sc_roster_entry *last = roster->row[--roster->count];
    sc_table_remove(&roster->table, entry->hash, entry->place);
    if (last != entry)
        move(roster, last, entry->place);
}

void sc_roster_swap(struct sc_roster *roster, struct sc_roster_entry *entry, uint32_t place)
{
    struct sc_roster_entry *other = roster->row[place];
    uint32_t from = entry->place;
    if (other == entry)
        return;
    sc_table_remove(&roster->table, entry->hash, from);
    move(roster, other, from);
    sc_table_add(&roster->table, entry->hash, place);
    roster->row[place] = entry;
    entry->place = place;
}

void sc_roster_free(struct sc_roster *roster)
{
    sc_table_free(&roster->table);
    free(roster->row);
    *roster = (struct sc_roster){0};
}

static size_t bytes_of(uint32_t size)
{
    return (size_t)size * sizeof(uint64_t) + (size_t)places_of(size) * sizeof(struct sc_roster_entry *);
}

size_t sc_roster_bytes(const struct sc_roster *roster)
{
    return bytes_of(roster->table.size);
}

size_t sc_roster_growth(const struct sc_roster *roster, uint32_t more)
{
    uint32_t size = sc_table_size(roster->count + more);
    return size <= roster->table.size ? 0 : bytes_of(size) - bytes_of(roster->table.size);
}
