// SPDX-License-Identifier: BSD-3-Clause
/* Which sessions changed since their last record. */
#include "wire/record.h"

#define COARSE 3u /* a repetition counts when 1/3 of the lifetime has passed */

void sc_changed_append(struct sc_session *session)
{
    struct sc_decoder *decoder = session->decoder;
    session->changed_next = NULL;
    session->changed_before = decoder->last_changed;
    *(decoder->last_changed != NULL ? &decoder->last_changed->changed_next : &decoder->first_changed) =
        session;
    decoder->last_changed = session;
    session->in_changed = true;
}

void sc_changed_unlink(struct sc_session *session)
{
    struct sc_decoder *decoder = session->decoder;
    if (!session->in_changed)
        return;
    struct sc_session *next = session->changed_next, *before = session->changed_before;
    *(before != NULL ? &before->changed_next : &decoder->first_changed) = next;
    *(next != NULL ? &next->changed_before : &decoder->last_changed) = before;
    session->in_changed = false;
}

void sc_session_note(struct sc_session *session)
{
    if (session->revision == session->noted || session->transport != SC_TRANSPORT_UDP)
        return;
    session->noted = session->revision;
    if (!session->in_changed)
        sc_changed_append(session);
}

void sc_template_refreshed(struct sc_session *session, uint64_t seen_ms)
{
    uint64_t coarse_ms = (uint64_t)session->decoder->limits.template_lifetime_s * 1000 / COARSE;
    if (seen_ms > session->recorded_ms && seen_ms - session->recorded_ms > coarse_ms)
        sc_session_changed(session);
}

void sc_decoder_change_all(struct sc_decoder *decoder)
{
    for (struct sc_session *s = decoder->oldest; s != NULL; s = s->newer) {
        if (s->transport == SC_TRANSPORT_UDP && !s->in_changed)
            sc_changed_append(s);
    }
}
