// SPDX-License-Identifier: BSD-3-Clause
/* Distinct byte strings to small numbers. Zero-initialise, give it a seed of its owner's before the first string;
 * written by one thread, read by many. */
#ifndef SC_GROUP_INTERNER_H
#define SC_GROUP_INTERNER_H

#include "base/buf.h"

struct sc_interner {
    uint64_t seed;      /* of the hashes */
    struct sc_buf heap; /* of each string: its bytes */
    uint64_t *offsets;  /* count + 1 */
    uint32_t *hashes;   /* of each string */
    uint32_t count;
    uint32_t capacity;
    uint64_t *table; /* hash << 32 | id + 1 */
    uint32_t table_size;
};

/* The id, new when the string is; UINT32_MAX without memory. */
uint32_t sc_interner_add(struct sc_interner *interner, const void *bytes, uint32_t length);
/* The id, or UINT32_MAX when the string is not there. */
uint32_t sc_interner_find(const struct sc_interner *interner, const void *bytes, uint32_t length);
const uint8_t *sc_interner_bytes(const struct sc_interner *interner, uint32_t id, uint32_t *length);
size_t sc_interner_memory(const struct sc_interner *interner);
/* The ids of another one's strings here, likewise; `arg` is a transfer. */
struct sc_string_transfer {
    struct sc_interner *to; /* of find it is only read */
    const struct sc_interner *from;
};
uint32_t sc_string_add(const void *arg, uint32_t id);
uint32_t sc_string_find(const void *arg, uint32_t id);

void sc_interner_free(struct sc_interner *interner);

#endif
