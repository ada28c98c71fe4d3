// SPDX-License-Identifier: BSD-3-Clause
#include "base/chains.h"

#include <stdlib.h>

#define MOST_SIZE (1u << 26)

static void hang(struct sc_chain **heads, uint32_t size, struct sc_chain *link)
{
    struct sc_chain **head = &heads[link->hash & (size - 1)];
    link->next = *head;
    *head = link;
}

static void grow(struct sc_chains *chains)
{
    uint32_t size = chains->size == 0 ? SC_CHAINS_FIRST : chains->size * 2;
    struct sc_chain **heads = size > MOST_SIZE ? NULL : calloc(size, sizeof(struct sc_chain *));
    if (heads == NULL)
        return;
    for (uint32_t i = 0; i < chains->size; i++) {
        for (struct sc_chain *link = chains->heads[i], *next; link != NULL; link = next) {
            next = link->next;
            hang(heads, size, link);
        }
    }
    free(chains->heads);
    chains->heads = heads;
    chains->size = size;
}

bool sc_chains_add(struct sc_chains *chains, struct sc_chain *link, uint64_t hash)
{
    if (chains->count >= chains->size)
        grow(chains);
    if (chains->size == 0)
        return false;
    link->hash = hash;
    hang(chains->heads, chains->size, link);
    chains->count++;
    return true;
}

void sc_chains_remove(struct sc_chains *chains, struct sc_chain *link)
{
    struct sc_chain **at = &chains->heads[link->hash & (chains->size - 1)];
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    chains->count--;
}

void sc_chains_free(struct sc_chains *chains)
{
    free(chains->heads);
    *chains = (struct sc_chains){0};
}
