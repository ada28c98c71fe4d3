// SPDX-License-Identifier: BSD-3-Clause
/* Who may hold how much. */
#ifndef SC_WIRE_BUDGET_H
#define SC_WIRE_BUDGET_H

#include "wire/decoder_types.h"

/* Whether the session may hold `size` bytes more, within its exporter's share and the pool. Others make room: idle sessions of the
 * same exporter, then strangers, then newcomers. What is refused is counted. */
bool sc_session_has_room(struct sc_session *session, const struct sc_decoder_limits *limits, size_t size);

/* The same for names, which leave a quarter of the share to templates. */
bool sc_session_has_room_for_names(struct sc_session *session, const struct sc_decoder_limits *limits,
                                   size_t size);

/* With all their sessions. */
void sc_exporters_free_all(struct sc_decoder *decoder);

#endif
