// SPDX-License-Identifier: BSD-3-Clause
/* What group/values.h keeps of each F: for those who fill it, and those who count it to the groups. */
#ifndef SC_GROUP_VALUE_SET_H
#define SC_GROUP_VALUE_SET_H

#include "group/registers.h"
#include "group/rows.h"

/* Of one F. */
struct sc_values {
    const struct sc_accumulator *of; /* of the groups' aggregate: the first that is made of them */
    uint32_t made;                   /* a bit for each that is */
    uint32_t distinct, harmonic;     /* of these, by how; without meaning for percentiles */
    struct sc_aggregate aggregate, registers;
    struct sc_groups *exact;     /* of `aggregate` */
    struct sc_groups *estimated; /* of `registers`; NULL: all is exact */
    uint64_t tried_at; /* bytes with which it is asked anew whether they may lie beside their groups */
    uint64_t bound;    /* bytes of `exact`; 0: none */
    uint64_t
        again_at; /* entries of `exact` with which it is asked anew whether an estimate spares any; 0: not asked yet */
};

#endif
