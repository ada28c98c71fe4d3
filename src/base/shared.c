// SPDX-License-Identifier: BSD-3-Clause
#include "base/shared.h"

#include <stdlib.h>

struct sc_shared *sc_shared_take(struct sc_buf *buf)
{
    struct sc_shared *shared = malloc(sizeof(*shared));
    if (shared == NULL)
        return NULL;
    size_t size = buf->len;
    *shared = (struct sc_shared){.bytes = sc_buf_take(buf), .size = size};
    atomic_init(&shared->holders, 1);
    return shared;
}

struct sc_shared *sc_shared_hold(struct sc_shared *shared)
{
    if (shared != NULL)
        atomic_fetch_add(&shared->holders, 1);
    return shared;
}

void sc_shared_release(struct sc_shared *shared)
{
    if (shared == NULL || atomic_fetch_sub(&shared->holders, 1) != 1)
        return;
    free((void *)(uintptr_t)shared->bytes);
    free(shared);
}
