// SPDX-License-Identifier: BSD-3-Clause
#include "group/seeds.h"

#include <stdlib.h>

struct sc_addr sc_group_mask_key(const struct sc_group_key *key, const struct sc_addr *address)
{
    bool v4 = sc_addr_is_v4(address);
    unsigned prefix = v4 ? key->prefix4 : key->prefix6;
    return prefix == SC_NO_PREFIX ? *address : sc_addr_mask(address, v4 ? prefix + 96 : prefix);
}

static int compare(const void *x, const void *y)
{
    return sc_addr_compare(x, y);
}

void sc_seeds_sort(struct sc_seeds *seeds)
{
    uint32_t n = 0;
    if (seeds->count != 0)
        qsort(seeds->addresses, seeds->count, sizeof(*seeds->addresses), compare);
    for (uint32_t i = 0; i < seeds->count; i++) {
        if (n == 0 || !sc_addr_equal(&seeds->addresses[n - 1], &seeds->addresses[i]))
            seeds->addresses[n++] = seeds->addresses[i];
    }
    seeds->count = n;
}

/* Addresses of one family that lie together. A cut address is the least that is cut to it. */
static bool mark_family(const struct sc_seeds *seeds, const struct sc_group_key *key,
                        const struct sc_addr *addresses, uint32_t count, uint8_t *marks)
{
    bool any = false;
    for (uint32_t i = 0, at = 0; i < seeds->count && at < count; i++) {
        at += sc_addresses_below(addresses + at, count - at, &seeds->addresses[i]);
        for (; at < count; at++) {
            struct sc_addr cut = sc_group_mask_key(key, &addresses[at]);
            if (!sc_addr_equal(&cut, &seeds->addresses[i]))
                break;
            any = true;
            if (marks == NULL)
                return true;
            marks[at] = 1;
        }
    }
    return any;
}

/* A short prefix of IPv6 has addresses on both sides of IPv4. */
bool sc_seeds_mark(const struct sc_seeds *seeds, const struct sc_group_key *key,
                   const struct sc_addr *addresses, uint32_t count, uint8_t *marks)
{
    uint32_t at[4] = {0, 0, 0, count};
    bool any = false;
    sc_addresses_find_v4(addresses, count, &at[1], &at[2]);
    for (unsigned i = 0; i < 3 && !(any && marks == NULL); i++)
        any = mark_family(seeds, key, addresses + at[i], at[i + 1] - at[i],
                          marks == NULL ? NULL : marks + at[i]) ||
              any;
    return any;
}
