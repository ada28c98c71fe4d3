// SPDX-License-Identifier: BSD-3-Clause
#include "collect/hearsay.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct sc_hearsay *sc_hearsay_create(const struct sc_hearsay_head *head, const uint8_t *bytes)
{
    struct sc_hearsay *hearsay = malloc(sizeof(*hearsay) + head->size);
    if (hearsay == NULL)
        return NULL;
    *hearsay = (struct sc_hearsay){.head = *head, .came_ms = sc_clock_mono_ms()};
    atomic_init(&hearsay->holders, 1);
    memcpy(hearsay->bytes, bytes, head->size);
    return hearsay;
}

struct sc_hearsay *sc_hearsay_hold(struct sc_hearsay *hearsay)
{
    atomic_fetch_add(&hearsay->holders, 1);
    return hearsay;
}

void sc_hearsay_release(struct sc_hearsay *hearsay)
{
    if (hearsay != NULL && atomic_fetch_sub(&hearsay->holders, 1) == 1)
        free(hearsay);
}

uint64_t sc_hearsay_age(const struct sc_hearsay *hearsay)
{
    return hearsay->head.age_ms + (sc_clock_mono_ms() - hearsay->came_ms);
}
