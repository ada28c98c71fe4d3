// SPDX-License-Identifier: BSD-3-Clause
/* Whom sessions belong to, and who may hold how much. */
#ifndef SC_WIRE_EXPORTER_H
#define SC_WIRE_EXPORTER_H

#include "wire/decoder_types.h"

/* It is not established. */
static inline bool sc_exporter_is_new(const struct sc_exporter *e)
{
    return e->standing != SC_ESTABLISHED;
}

/* TCP or a file, and not at its end: its templates come once. */
static inline bool sc_session_is_stream(const struct sc_session *session)
{
    return session->transport != SC_TRANSPORT_UDP && !session->ended;
}

/* What it may hold; and a session that no decoder has. */
size_t sc_exporter_share(const struct sc_exporter *e);
size_t sc_session_share(const struct sc_session *session);
/* Something of it was left out, because it holds too much itself or all together do: counted and told. @return false. */
bool sc_exporter_refuse(struct sc_exporter *e, bool own_share);
/* Gives the session an owner. NULL: no memory. */
struct sc_exporter *sc_exporter_adopt(struct sc_session *session);
void sc_exporter_disown(struct sc_session *session);
/* Charges what the session holds now. */
void sc_exporter_settle(struct sc_session *session);
/* A message of the session has come. */
void sc_exporter_use(struct sc_session *session, uint64_t now_ms);
/* It brought flows. */
void sc_exporter_decoded(struct sc_exporter *exporter, uint64_t now_ms);
/* Its transport ended. */
void sc_exporter_end(struct sc_session *session);
/* Whether the exporter may have this element, which the registry does not foresee, in a template. */
bool sc_exporter_may_bring(struct sc_session *session, const struct sc_wire_field *field, uint32_t instance);
/* Frees an exporter that has no sessions; the second: if it has no standing worth keeping. */
void sc_exporter_release(struct sc_exporter *e);
void sc_exporter_tidy(struct sc_exporter *exporter);

/* ---- budget.c ---- */

/* Whether the session may hold `size` bytes more, within its exporter's share and the pool. Others make room: idle sessions of the
 * same exporter, then strangers, then newcomers. What is refused is counted. */
bool sc_session_has_room(struct sc_session *session, size_t size);

/* The same for names, which leave a quarter of the share to templates. */
bool sc_session_has_room_for_names(struct sc_session *session, size_t size);

/* With all their sessions. */
void sc_exporters_free_all(struct sc_decoder *decoder);

#endif
