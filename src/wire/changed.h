// SPDX-License-Identifier: BSD-3-Clause
/* Sessions that changed since their last record. */
#ifndef SC_WIRE_CHANGED_H
#define SC_WIRE_CHANGED_H

#include "wire/decoder_types.h"

/* The list of sessions that changed since their last record. */
void sc_changed_append(struct sc_decoder *decoder, struct sc_session *session);
void sc_changed_unlink(struct sc_decoder *decoder, struct sc_session *session);
/* Puts a session that changed since it was noted into the list of those to be recorded. */
void sc_session_note(struct sc_decoder *decoder, struct sc_session *session);

/* A template was repeated: that is worth a record now and then. */
void sc_template_refreshed(const struct sc_decoder *decoder, struct sc_session *session, uint64_t seen_ms);

#endif
