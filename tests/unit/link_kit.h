// SPDX-License-Identifier: BSD-3-Clause
/* A whole batch into a writer, as the connections of a proxy send it. */
#ifndef LINK_KIT_H
#define LINK_KIT_H

#include "relay/link.h"

static inline void put_batch(struct sc_link_writer *w, const struct sc_batch_head *head, const uint8_t *bytes)
{
    sc_link_put_announcement(w, head);
    for (uint32_t done = 0, n; done < head->size; done += n) {
        n = head->size - done < SC_LINK_PART ? head->size - done : SC_LINK_PART;
        sc_link_put_part_head(w, n);
        sc_buf_append(&w->out, bytes + done, n);
    }
}

#endif
