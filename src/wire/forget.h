// SPDX-License-Identifier: BSD-3-Clause
/* What goes: sessions, and what they hold. */
#ifndef SC_WIRE_FORGET_H
#define SC_WIRE_FORGET_H

#include "wire/decoder_types.h"

/* Out of the order of use. */
static inline void sc_session_unlink_use(struct sc_decoder *decoder, struct sc_session *s)
{
    *(s->newer != NULL ? &s->newer->older : &decoder->newest) = s->older;
    *(s->older != NULL ? &s->older->newer : &decoder->oldest) = s->newer;
}

void sc_session_free(struct sc_session *session);
/* Drops templates, options data and waiting sets; accounts stay. */
void sc_session_forget(struct sc_session *session);
/* Its exporter stays, perhaps without sessions. */
void sc_session_remove(struct sc_decoder *decoder, struct sc_session *session);
/* Frees a domain. */
void sc_session_drop_domain(struct sc_session *session, struct sc_domain *domain);
/* Takes a template out; it is the caller's. NULL: there is none. The others may stand elsewhere in the row. */
struct sc_template *sc_domain_take_template(struct sc_session *session, struct sc_domain *domain,
                                            struct sc_template *t);

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
void sc_missing_free(struct sc_session *session, struct sc_domain *domain);

#endif
