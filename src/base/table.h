// SPDX-License-Identifier: BSD-3-Clause
/*
 * A hash table of numbers, which are places in an array of the caller's, or name what he likes. It knows no keys: a slot has 32 bits
 * of a hash beside the number, keys are compared by the caller where those agree, and the table grows, and closes the gap of what is
 * taken out, by the hashes that it has. Open addressing, slot after slot, at most half full. Hashes are seeded (base/hash.h). One
 * thread.
 *
 *   if (!sc_table_reserve(&table, 1))                           only to add
 *       return SC_NOMEM;
 *   struct sc_probe p = sc_table_first(&table, hash);
 *   while (p.number != SC_TABLE_NONE && !is_same(&entries[p.number], key))
 *       sc_table_next(&table, &p);
 *   if (p.number == SC_TABLE_NONE)                              it is not there: here it would go
 *       sc_table_put(&table, &p, count++);
 */
#ifndef SC_BASE_TABLE_H
#define SC_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_TABLE_NONE UINT32_MAX

/* Zero-initialise. */
struct sc_table {
    uint64_t *slots; /* 0: empty; else the hash above the number + 1 */
    uint32_t size;   /* a power of two, or 0 */
    uint32_t count;
};

/* Where a search stands. */
struct sc_probe {
    uint32_t at, hash;
    uint32_t number; /* SC_TABLE_NONE: there are no more with this hash */
};

/* What the table will be when it has room for `count` numbers; 0 without any, UINT32_MAX: there is no such table. */
uint32_t sc_table_size(uint32_t count);
/* Called by sc_table_reserve. */
bool sc_table_grow(struct sc_table *table, uint32_t count);
/* The number is in the table under this hash. */
void sc_table_remove(struct sc_table *table, uint64_t hash, uint32_t number);
/* Gives an entry, whose number `from` is in the table under this hash, another number. */
void sc_table_renumber(struct sc_table *table, uint64_t hash, uint32_t from, uint32_t to);
/* Takes all out, keeps the memory. */
void sc_table_clear(struct sc_table *table);
void sc_table_free(struct sc_table *table);

/* Room for `more` numbers. @return false without memory: the table is as it was. */
static inline bool sc_table_reserve(struct sc_table *table, uint32_t more)
{
    uint64_t count = (uint64_t)table->count + more;
    return 2 * count <= table->size || (count < SC_TABLE_NONE && sc_table_grow(table, (uint32_t)count));
}

static inline void sc_table_look(const struct sc_table *table, struct sc_probe *p)
{
    uint64_t slot = table->slots[p->at];
    while (slot != 0 && (uint32_t)(slot >> 32) != p->hash) {
        p->at = (p->at + 1) & (table->size - 1);
        slot = table->slots[p->at];
    }
    p->number = (uint32_t)slot - 1;
}

static inline struct sc_probe sc_table_first(const struct sc_table *table, uint64_t hash)
{
    struct sc_probe p = {.hash = (uint32_t)hash, .number = SC_TABLE_NONE};
    if (table->size != 0) {
        p.at = p.hash & (table->size - 1);
        sc_table_look(table, &p);
    }
    return p;
}

static inline void sc_table_next(const struct sc_table *table, struct sc_probe *p)
{
    p->at = (p->at + 1) & (table->size - 1);
    sc_table_look(table, p);
}

/* Where the search ended without finding, in a table with room. */
static inline void sc_table_put(struct sc_table *table, const struct sc_probe *p, uint32_t number)
{
    table->slots[p->at] = (uint64_t)p->hash << 32 | (number + 1);
    table->count++;
}

/* Of an entry that is known not to be in the table, which has room. */
static inline void sc_table_add(struct sc_table *table, uint64_t hash, uint32_t number)
{
    struct sc_probe p = sc_table_first(table, hash);
    while (p.number != SC_TABLE_NONE)
        sc_table_next(table, &p);
    sc_table_put(table, &p, number);
}

#endif
