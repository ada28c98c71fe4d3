// SPDX-License-Identifier: BSD-3-Clause
/*
 * A hash table of objects that carry their own links, for objects that others point to: nothing moves. It grows by doubling; when
 * memory for that is short the chains get longer, and nothing fails. Hashes are the caller's, seeded (base/hash.h). One thread.
 */
#ifndef SC_BASE_CHAINS_H
#define SC_BASE_CHAINS_H

#include <stdbool.h>
#include <stdint.h>

#define SC_CHAINS_FIRST 4u /* heads that a table begins with */

/* The first member of whatever is kept in a table. */
struct sc_chain {
    struct sc_chain *next;
    uint64_t hash;
};

/* Zero-initialise. */
struct sc_chains {
    struct sc_chain **heads;
    uint32_t size; /* heads: a power of two, or 0 */
    uint32_t count;
};

/* @return false without memory for the first heads. */
bool sc_chains_add(struct sc_chains *chains, struct sc_chain *link, uint64_t hash);
/* The link is in the table. */
void sc_chains_remove(struct sc_chains *chains, struct sc_chain *link);
/* Frees the heads, not what hangs from them. */
void sc_chains_free(struct sc_chains *chains);

/* The chain that anything with this hash is in; others are in it too. */
static inline struct sc_chain *sc_chains_first(const struct sc_chains *chains, uint64_t hash)
{
    return chains->size == 0 ? 0 : chains->heads[hash & (chains->size - 1)];
}

#endif
