// SPDX-License-Identifier: BSD-3-Clause
#include "base/radix.h"

#include <string.h>

#define BYTES  8u
#define VALUES 256u

static void count_bytes(const struct sc_keyed *all, uint32_t count, uint32_t counts[BYTES][VALUES])
{
    memset(counts, 0, BYTES * sizeof(counts[0]));
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned byte = 0; byte < BYTES; byte++)
            counts[byte][(all[i].key >> (8 * byte)) & 0xff]++;
    }
}

/* Counts to the places of the first. */
static void add_up(uint32_t counts[VALUES])
{
    uint32_t before = 0;
    for (unsigned v = 0; v < VALUES; v++) {
        uint32_t n = counts[v];
        counts[v] = before;
        before += n;
    }
}

void sc_radix_sort(struct sc_keyed *all, struct sc_keyed *scratch, uint32_t count)
{
    uint32_t counts[BYTES][VALUES];
    struct sc_keyed *from = all, *to = scratch;
    if (count == 0)
        return;
    count_bytes(all, count, counts);
    for (unsigned byte = 0; byte < BYTES; byte++) {
        unsigned shift = 8 * byte;
        if (counts[byte][(all[0].key >> shift) & 0xff] == count)
            continue;
        add_up(counts[byte]);
        for (uint32_t i = 0; i < count; i++)
            to[counts[byte][(from[i].key >> shift) & 0xff]++] = from[i];
        struct sc_keyed *swap = from;
        from = to;
        to = swap;
    }
    if (from != all)
        memcpy(all, from, count * sizeof(*all));
}
