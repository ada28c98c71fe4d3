// SPDX-License-Identifier: BSD-3-Clause
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 8u
#define MOST_SIZE  (UINT32_C(1) << 31)

uint32_t sc_table_size(uint32_t count)
{
    if (count > MOST_SIZE / 2)
        return UINT32_MAX;
    uint32_t size = count == 0 ? 0 : FIRST_SIZE;
    while (size / 2 < count)
        size *= 2;
    return size;
}

static uint32_t free_slot(const struct sc_table *table, uint32_t hash)
{
    uint32_t at = hash & (table->size - 1);
    while (table->slots[at] != 0)
        at = (at + 1) & (table->size - 1);
    return at;
}

bool sc_table_grow(struct sc_table *table, uint32_t count)
{
    struct sc_table wide = {.size = sc_table_size(count), .count = table->count};
    if (wide.size != 0 && wide.size <= MOST_SIZE)
        wide.slots = calloc(wide.size, sizeof(*wide.slots));
    if (wide.slots == NULL)
        return false;
    for (uint32_t i = 0; i < table->size; i++) {
        uint64_t slot = table->slots[i];
        if (slot != 0)
            wide.slots[free_slot(&wide, (uint32_t)(slot >> 32))] = slot;
    }
    free(table->slots);
    *table = wide;
    return true;
}

static uint32_t slot_of(const struct sc_table *table, uint64_t hash, uint32_t number)
{
    struct sc_probe p = sc_table_first(table, hash);
    while (p.number != number)
        sc_table_next(table, &p);
    return p.at;
}

void sc_table_remove(struct sc_table *table, uint64_t hash, uint32_t number)
{
    uint32_t mask = table->size - 1, gap = slot_of(table, hash, number);
    for (uint32_t i = (gap + 1) & mask; table->slots[i] != 0; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)(table->slots[i] >> 32);
        if (((i - home) & mask) >= ((i - gap) & mask)) { /* a search for it comes by the gap */
            table->slots[gap] = table->slots[i];
            gap = i;
        }
    }
    table->slots[gap] = 0;
    table->count--;
}

void sc_table_renumber(struct sc_table *table, uint64_t hash, uint32_t from, uint32_t to)
{
    uint64_t *slot = &table->slots[slot_of(table, hash, from)];
    *slot = (*slot >> 32) << 32 | (to + 1);
}

void sc_table_clear(struct sc_table *table)
{
    if (table->count != 0)
        memset(table->slots, 0, table->size * sizeof(*table->slots));
    table->count = 0;
}

void sc_table_free(struct sc_table *table)
{
    free(table->slots);
    *table = (struct sc_table){0};
}
