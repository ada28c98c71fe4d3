// SPDX-License-Identifier: BSD-3-Clause
#include "collect/sockets.h"

bool sc_sockets_message(struct sc_sockets *sockets, const struct sc_message_source *source,
                        const uint8_t *bytes, size_t length)
{
    struct sc_error err;
    char address[SC_ADDR_TEXT_MAX], others[SC_COMPLAINT_MAX];
    enum sc_status status = sc_intake_message(sockets->intake, source, bytes, length, &err);
    if (status == SC_LIMIT) /* what there was no room for is told together: tell_overrun */
        return true;
    if (status != SC_OK && sc_complaint_due(sockets->complaints, SC_COMPLAINT_MESSAGE, others)) {
        sc_addr_format(&source->exporter, address);
        sc_log(&sockets->log, SC_LOG_WARNING, "message of %zu bytes from %s %u: %s%s", length, address,
               source->port, err.message, others);
    }
    return status != SC_MALFORMED;
}
