// SPDX-License-Identifier: BSD-3-Clause
#include "relay/tellers.h"

#include "base/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sc_tellers_free(struct sc_tellers *tellers)
{
    for (uint32_t i = 0; i < tellers->count; i++)
        free(tellers->list[i]);
    free(tellers->list);
    *tellers = (struct sc_tellers){0};
}

struct sc_teller *sc_tellers_find(const struct sc_tellers *tellers, const char *proxy)
{
    for (uint32_t i = 0; i < tellers->count; i++) {
        if (strcmp(tellers->list[i]->proxy, proxy) == 0)
            return tellers->list[i];
    }
    return NULL;
}

struct sc_teller *sc_tellers_get(struct sc_tellers *tellers, const char *proxy, size_t size)
{
    struct sc_teller *teller = sc_tellers_find(tellers, proxy);
    if (teller != NULL)
        return teller;
    if (sc_array_more(tellers->list, tellers->count, 1))
        teller = calloc(1, size);
    if (teller == NULL)
        return NULL;
    snprintf(teller->proxy, sizeof(teller->proxy), "%s", proxy);
    return tellers->list[tellers->count++] = teller;
}

struct sc_teller *sc_tellers_next(struct sc_tellers *tellers)
{
    return tellers->list[tellers->turn++ % tellers->count];
}

bool sc_teller_begins(struct sc_teller *teller, uint64_t now_ms, uint64_t length_ms, uint32_t most)
{
    if (now_ms - teller->period_ms >= length_ms) {
        teller->period_ms = now_ms;
        teller->begun = 0;
    }
    bool may = teller->begun < most;
    teller->begun += may;
    return may;
}
