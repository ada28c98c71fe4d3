// SPDX-License-Identifier: BSD-3-Clause
#include "store/room.h"

#include "store/catalogue.h"

#define ROOM_PERCENT 95u

uint64_t sc_room_bytes(uint64_t retention_bytes)
{
    return retention_bytes / 100 * ROOM_PERCENT + retention_bytes % 100;
}

uint64_t sc_room_from(uint64_t most, uint64_t (*bytes_before)(const void *arg, uint64_t before_ms),
                      const void *arg)
{
    uint64_t low = 0, high = UINT64_MAX, all = bytes_before(arg, UINT64_MAX);
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (all - bytes_before(arg, mid) < most)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static uint64_t listed_before(const void *arg, uint64_t before_ms)
{
    const struct sc_catalogue *c = arg;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->count; i++)
        bytes += c->files[i].window_ms >= before_ms ? 0 : c->files[i].bytes;
    return bytes;
}

enum sc_status sc_room_in_store(const char *store, uint64_t retention_bytes, uint64_t *from_ms,
                                struct sc_error *err)
{
    struct sc_catalogue c = {.replicas = true, .with_damaged = true};
    *from_ms = 0;
    enum sc_status status = retention_bytes == 0 ? SC_OK : sc_catalogue_add(&c, store, err);
    if (status == SC_OK && retention_bytes != 0)
        *from_ms = sc_room_from(sc_room_bytes(retention_bytes), listed_before, &c);
    sc_catalogue_free(&c);
    return status == SC_NOTFOUND ? SC_OK : status;
}
