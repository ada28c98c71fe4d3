// SPDX-License-Identifier: BSD-3-Clause
/* Sessions, their domains, templates and waiting sets; what of them goes. */
#ifndef SC_WIRE_SESSION_H
#define SC_WIRE_SESSION_H

#include "wire/decoder_types.h"

/* The session of a source, made when new. SC_LIMIT: there is no room for one. */
enum sc_status sc_session_get(struct sc_decoder *decoder, const struct sc_message_source *source,
                              struct sc_session **out);
struct sc_session *sc_session_find(const struct sc_decoder *decoder, const struct sc_message_source *source);
/* A session that no decoder has; sc_session_insert gives it to this one (false: there is one with the same
 * source, no room, or no memory). */
struct sc_session *sc_session_create(struct sc_decoder *decoder, const struct sc_message_source *source);
bool sc_session_insert(struct sc_session *session);
/* Removes a domain that is of no use: nothing of it was ever decoded and nothing waits; with its last one the session, and with
 * that the exporter. NULL: there was no room for the domain. */
void sc_session_tidy(struct sc_session *session, struct sc_domain *domain);

/* SC_LIMIT and *out NULL when there is no room for another domain. */
enum sc_status sc_session_domain(struct sc_session *session, uint8_t version, uint32_t id,
                                 struct sc_domain **out);
/* NULL: there is none. */
struct sc_domain *sc_session_find_domain(const struct sc_session *session, uint8_t version, uint32_t id);
struct sc_template *sc_domain_template(const struct sc_domain *domain, uint16_t id);
/* Takes `t`, which replaces one of the same id (returned in *old, now the caller's). */
enum sc_status sc_domain_put_template(struct sc_domain *domain, struct sc_template *t,
                                      struct sc_template **old);

/* Keeps a copy of a set until its template comes; older ones go when there are too many. */
void sc_domain_wait(struct sc_domain *domain, const struct sc_message *message,
                    const struct sc_planned_set *set);
/* Unlinks the first waiting set of the domain that has a template of its life now (*t); the caller frees it. */
struct sc_waiting_set *sc_domain_claim(const struct sc_domain *domain, struct sc_template **t);

/* ---- forget.c ---- */

/* Out of the order of use. */
static inline void sc_session_unlink_use(struct sc_session *s)
{
    struct sc_decoder *decoder = s->decoder;
    *(s->newer != NULL ? &s->newer->older : &decoder->newest) = s->older;
    *(s->older != NULL ? &s->older->newer : &decoder->oldest) = s->newer;
}

void sc_session_free(struct sc_session *session);
/* Drops templates, options data and waiting sets; accounts stay. */
void sc_session_forget(struct sc_session *session);
/* Its exporter stays, perhaps without sessions. */
void sc_session_remove(struct sc_session *session);
/* Frees it. */
void sc_domain_drop(struct sc_domain *domain);
/* Takes a template out; it is the caller's. NULL: there is none. The others may stand elsewhere in the row. */
struct sc_template *sc_domain_take_template(struct sc_domain *domain, struct sc_template *t);

/* Which waiting sets: what is 0 or NULL does not matter. */
struct sc_waiting_choice {
    const struct sc_domain *domain;
    uint64_t before_ms;   /* received before */
    uint64_t before_life; /* of an earlier life */
    uint16_t id;
};

/* The set that *link points to: out of its queue, to be freed by the caller; or freed. */
void sc_waiting_unlink(struct sc_session *session, struct sc_waiting_set **link);
void sc_waiting_drop(struct sc_session *session, struct sc_waiting_set **link);
/* Frees those. */
void sc_session_drop_waiting(struct sc_session *session, const struct sc_waiting_choice *choice);

/* Forgets which templates data sets came without. */
void sc_missing_free(struct sc_domain *domain);

/* ---- missing.c ---- */

/* A data set of template `id` came without it. */
void sc_missing_note(struct sc_domain *domain, uint16_t id, uint64_t now_ms);
/* Drops entries whose template is there, and tells of the others. */
void sc_missing_care(struct sc_domain *domain, const struct sc_care *care);

#endif
