// SPDX-License-Identifier: BSD-3-Clause
#include "relay/handover.h"

#include "base/clock.h"
#include "collect/templates.h"

/* ---- to the others ---- */

static void put_up(struct sc_handover *h, const struct sc_buf *bytes)
{
    struct sc_hearsay_head head = {.clock_ms = sc_clock_wall_ms(), .size = (uint32_t)bytes->len};
    snprintf(head.proxy, sizeof(head.proxy), "%s", h->proxy);
    if (!sc_buf_ok(bytes) || sc_board_put(h->board, &head, bytes->data) != SC_OK)
        sc_log(&h->log, SC_LOG_WARNING,
               "out of memory: the other proxies are not told of some of the exporters' templates");
}

void sc_handover_tell(void *handover, const uint8_t *list, size_t length)
{
    struct sc_handover *h = handover;
    struct sc_cursor in = {.data = list, .len = length};
    struct sc_buf bytes = {0};
    struct sc_record_head head;
    const uint8_t *record;
    uint32_t size;
    sc_templates_begin_state(&bytes);
    while (sc_record_next(&in, &record, &size)) {
        if (sc_record_head(record, size, &head) == SC_OK && !head.hearsay)
            sc_record_append(&bytes, record, size);
    }
    if (bytes.len > SC_TEMPLATES_STATE_BYTES || !sc_buf_ok(&bytes))
        put_up(h, &bytes);
    sc_buf_free(&bytes);
}

/* ---- from the others ---- */

/* What a receiver has not merged yet would else pile up beside the board, which has a bound. */
static bool keep_up(struct sc_receiver *const *receivers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (sc_receiver_merging(receivers[i]) >= SC_HANDOVER_MERGING)
            return false;
    }
    return true;
}

void sc_handover_take(struct sc_handover *h, struct sc_receiver *const *receivers, uint32_t count)
{
    struct sc_hearsay *state;
    while (keep_up(receivers, count) &&
           (state = sc_board_next(h->board, h->taken, h->proxy, SC_BOARD_ALL_BUT)) != NULL) {
        h->taken = state->number;
        for (uint32_t i = 0; i < count; i++)
            sc_receiver_merge(receivers[i], state);
        sc_hearsay_release(state);
    }
    sc_board_complain(h->board, &h->log);
}
