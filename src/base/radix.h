// SPDX-License-Identifier: BSD-3-Clause
/* Numbers in ascending order, each with a number of its owner's that goes along. Equal ones stay in the order in which they came. */
#ifndef SC_BASE_RADIX_H
#define SC_BASE_RADIX_H

#include <stdint.h>

struct sc_keyed {
    uint64_t key;
    uint32_t value;
};

/* Byte by byte, those that are alike in all numbers left out. `scratch` has as much room; what is in it afterwards is of no use. */
void sc_radix_sort(struct sc_keyed *all, struct sc_keyed *scratch, uint32_t count);

#endif
