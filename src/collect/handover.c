// SPDX-License-Identifier: BSD-3-Clause
#include "collect/handover.h"

#include "base/clock.h"
#include "collect/templates.h"

#include <stdlib.h>

/* ---- to the others ---- */

static uint64_t sum_generations(struct sc_receiver *const *receivers, uint32_t count)
{
    uint64_t sum = 0, generation;
    for (uint32_t i = 0; i < count; i++) {
        sc_receiver_get_own_templates(receivers[i], NULL, &generation);
        sum += generation;
    }
    return sum;
}

static enum sc_status gather(struct sc_receiver *const *receivers, uint32_t count, struct sc_buf *out)
{
    struct sc_buf *states = calloc(count, sizeof(*states));
    enum sc_status status = states == NULL ? SC_NOMEM : SC_OK;
    uint64_t generation;
    for (uint32_t i = 0; i < count && status == SC_OK; i++)
        status = sc_receiver_get_own_templates(receivers[i], &states[i], &generation);
    if (status == SC_OK)
        sc_templates_encode(states, count, out);
    for (uint32_t i = 0; states != NULL && i < count; i++)
        sc_buf_free(&states[i]);
    free(states);
    return status == SC_OK && sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

static enum sc_status put_up(struct sc_handover *h, const struct sc_buf *bytes)
{
    if (bytes->len > SC_LINK_MAX_STATE) {
        if (!h->too_large)
            sc_log(&h->log, SC_LOG_WARNING,
                   "the exporters' templates take %zu bytes, too many for the other proxies to be told",
                   bytes->len);
        h->too_large = true;
        return SC_OK;
    }
    struct sc_link_state head = {.clock_ms = sc_clock_wall_ms(),
                                 .size = (uint32_t)bytes->len,
                                 .hash = sc_link_hash(bytes->data, bytes->len)};
    h->too_large = false;
    snprintf(head.proxy, sizeof(head.proxy), "%s", h->proxy);
    return sc_board_put(h->board, &head, bytes->data);
}

static void tell(struct sc_handover *h, struct sc_receiver *const *receivers, uint32_t count)
{
    uint64_t generations = sum_generations(receivers, count);
    struct sc_buf bytes = {0};
    if (generations == h->generations)
        return;
    if (gather(receivers, count, &bytes) == SC_OK && put_up(h, &bytes) == SC_OK)
        h->generations = generations; /* else the next tick tries again */
    sc_buf_free(&bytes);
}

/* ---- from the others ---- */

static void take(struct sc_handover *h, struct sc_receiver *const *receivers, uint32_t count)
{
    struct sc_board_state *state;
    while ((state = sc_board_next(h->board, h->taken, h->proxy, SC_BOARD_ALL_BUT)) != NULL) {
        h->taken = state->number;
        for (uint32_t i = 0; i < count; i++)
            sc_receiver_merge(receivers[i], state);
        sc_board_release(state);
    }
}

void sc_handover_tick(struct sc_handover *handover, struct sc_receiver *const *receivers, uint32_t count)
{
    tell(handover, receivers, count);
    take(handover, receivers, count);
}
