// SPDX-License-Identifier: BSD-3-Clause
/* Session records: who is due for one; written, read. */
#ifndef SC_WIRE_RECORD_H
#define SC_WIRE_RECORD_H

#include "wire/decoder_types.h"

enum {
    SC_RECORD_REMOVED = 1,
    SC_RECORD_BARE = 2,
    SC_RECORD_FORGET = 4,
    SC_RECORD_HEARSAY = 8,
    SC_RECORD_ESTABLISHED = 16
};
enum { SC_DOMAIN_INIT_KNOWN = 1, SC_DOMAIN_EXPORTER_KNOWN = 2 }; /* flags of a domain */

#define SC_RECORD_VERSION    1u
#define SC_RECORD_HEAD_BYTES 44u
#define SC_RECORD_FACT_BYTES 4u

/* The session goes: out of the list, and its record from where it is kept. */
void sc_session_unnote(struct sc_session *session);
/* Of a template: when. 0: there is none. */
uint64_t sc_domain_last_definition(const struct sc_domain *domain);
uint64_t sc_session_last_definition(const struct sc_session *session);

/* ---- changed.c ---- */

/* The list of sessions that changed since their last record. */
void sc_changed_append(struct sc_session *session);
void sc_changed_unlink(struct sc_session *session);
/* Puts a session that changed since it was noted into the list of those to be recorded. */
void sc_session_note(struct sc_session *session);

/* A template was repeated: that is worth a record now and then. */
void sc_template_refreshed(struct sc_session *session, uint64_t seen_ms);

/* ---- state.c ---- */

/* The session of a record, which no decoder has; its domains' `told_ms` are set. SC_END: of a session that is gone. */
enum sc_status sc_record_read(struct sc_decoder *decoder, const uint8_t *record, size_t length,
                              uint64_t now_ms, struct sc_session **out, struct sc_error *err);
/* Sessions of a whole state that no decoder has, the oldest first, by hash_next; all or none. */
enum sc_status sc_state_read(struct sc_decoder *decoder, const uint8_t *bytes, size_t length, uint64_t now_ms,
                             struct sc_session **sessions, struct sc_error *err);
void sc_state_free(struct sc_session *sessions);

#endif
