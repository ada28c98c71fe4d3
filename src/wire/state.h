// SPDX-License-Identifier: BSD-3-Clause
/* Session records, read. */
#ifndef SC_WIRE_STATE_H
#define SC_WIRE_STATE_H

#include "wire/decoder_types.h"

/* The session of a record, which no decoder has; its domains' `told_ms` are set. SC_END: of a session that is gone. */
enum sc_status sc_record_read(const struct sc_decoder *decoder, const uint8_t *record, size_t length,
                              uint64_t now_ms, struct sc_session **out, struct sc_error *err);
/* Sessions of a whole state that no decoder has, the oldest first, by hash_next; all or none. */
enum sc_status sc_state_read(const struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                             uint64_t now_ms, struct sc_session **sessions, struct sc_error *err);
void sc_state_free(struct sc_session *sessions);

#endif
