// SPDX-License-Identifier: BSD-3-Clause
/*
 * The state of another collector beside one's own. The later definition of a template wins, and an exporter that is heard here is
 * not disturbed. Times are compared by their age, because the clocks of two machines need not agree; what travels for a while
 * looks younger than it is, which SLACK_MS makes up for.
 */
#include "wire/decoder_internal.h"

#include <stdlib.h>

#define SLACK_MS 2000u

struct merger {
    struct sc_decoder *decoder;
    uint64_t clock_ms, now_ms;
    struct sc_session *next; /* where the search for a session that may go begins */
    bool searched;           /* up to the newest: none may go any more */
};

/* ---- what is known of both ---- */

static uint64_t by_own_clock(const struct merger *m, uint64_t seen_ms)
{
    uint64_t age = m->clock_ms > seen_ms ? m->clock_ms - seen_ms : 0;
    return m->now_ms > age ? m->now_ms - age : 0;
}

static void set_clocks(const struct merger *m, struct sc_session *theirs)
{
    for (uint32_t i = 0; i < theirs->domain_count; i++) {
        struct sc_domain *domain = theirs->domains[i];
        domain->borrowed = true;
        for (uint32_t k = 0; k < domain->template_count; k++)
            domain->templates[k]->seen_ms = by_own_clock(m, domain->templates[k]->seen_ms);
    }
}

static uint64_t last_definition(const struct sc_domain *domain)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < domain->template_count; i++)
        last = domain->templates[i]->seen_ms > last ? domain->templates[i]->seen_ms : last;
    return last;
}

/* Whether something of that time was said to the other collector after the last word to this one. */
static bool was_said_later(const struct sc_domain *mine, uint64_t seen_ms)
{
    return mine->heard_ms == 0 || seen_ms > mine->heard_ms + SLACK_MS;
}

static enum sc_status take_copy(const struct sc_decoder_limits *limits, struct sc_session *session,
                                struct sc_domain *mine, const struct sc_template *theirs, size_t freed)
{
    struct sc_template *old;
    struct sc_template *t = sc_template_compile(session, limits, theirs->fields, theirs->field_count,
                                                theirs->id, theirs->options, theirs->scope_count);
    if (t == NULL)
        return SC_NOMEM;
    t->seen_ms = theirs->seen_ms;
    t->refresh_ms = theirs->refresh_ms;
    if (session->bytes - freed + t->bytes > limits->max_session_bytes) {
        free(t);
        return SC_OK;
    }
    enum sc_status status = sc_domain_put_template(session, mine, t, &old);
    free(status == SC_OK ? old : t);
    mine->recoverable |= status == SC_OK;
    return status;
}

static enum sc_status merge_template(const struct sc_decoder_limits *limits, struct sc_session *session,
                                     struct sc_domain *mine, const struct sc_template *theirs)
{
    struct sc_template *known = sc_domain_template(mine, theirs->id);
    if (known == NULL)
        return mine->template_count >= limits->max_templates ? SC_OK
                                                             : take_copy(limits, session, mine, theirs, 0);
    if (theirs->seen_ms <= known->seen_ms || !was_said_later(mine, theirs->seen_ms))
        return SC_OK;
    if (!sc_template_same(known, theirs->fields, theirs->field_count, theirs->options, theirs->scope_count))
        return take_copy(limits, session, mine, theirs, known->bytes);
    known->seen_ms = theirs->seen_ms;
    known->refresh_ms = theirs->refresh_ms > known->refresh_ms ? theirs->refresh_ms : known->refresh_ms;
    return SC_OK;
}

/* Options data have no times of their own: they are as new as the templates beside them. */
static enum sc_status merge_options(const struct sc_decoder_limits *limits, struct sc_session *session,
                                    struct sc_domain *mine, const struct sc_domain *theirs, bool newer)
{
    if (theirs->default_rate != 0 && (newer || mine->default_rate == 0))
        mine->default_rate = theirs->default_rate;
    if (theirs->init_known && (newer || !mine->init_known)) {
        mine->init_known = true;
        mine->init_ms = theirs->init_ms;
    }
    for (uint32_t i = 0, n = newer || mine->sampler_count == 0 ? theirs->sampler_count : 0; i < n; i++) {
        const struct sc_sampler *s = &theirs->samplers[i];
        if (sc_domain_put_sampler(session, limits, mine, s->id, s->rate) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* Bounds leave out what is beyond them; they are no reason to take nothing. */
static enum sc_status merge_domain(const struct sc_decoder_limits *limits, struct sc_session *session,
                                   const struct sc_domain *theirs)
{
    struct sc_domain *mine;
    uint32_t known = session->domain_count;
    enum sc_status status = sc_session_domain(session, limits, theirs->version, theirs->id, &mine);
    if (status != SC_OK)
        return status == SC_LIMIT ? SC_OK : status;
    uint64_t last = last_definition(theirs);
    bool newer = last > last_definition(mine) && was_said_later(mine, last);
    for (uint32_t i = 0; i < theirs->template_count; i++)
        SC_TRY(merge_template(limits, session, mine, theirs->templates[i]));
    mine->borrowed |= session->domain_count != known;
    if (newer)
        mine->sequence = (struct sc_sequence){0};
    return merge_options(limits, session, mine, theirs, newer);
}

/* ---- sessions ---- */

static bool is_borrowed(const struct sc_session *session)
{
    for (uint32_t i = 0; i < session->domain_count; i++) {
        if (!session->domains[i]->borrowed)
            return false;
    }
    return session->transport == SC_TRANSPORT_UDP && session->domain_count != 0;
}

/* The least recently used of those that nobody spoke of here goes. The search never begins anew, so that all sessions
 * together cost one walk. */
static bool make_room(struct merger *m)
{
    struct sc_decoder *d = m->decoder;
    if (d->session_count < d->limits.max_sessions)
        return true;
    if (m->next == NULL && !m->searched)
        m->next = d->oldest;
    m->searched = true;
    while (m->next != NULL) {
        struct sc_session *s = m->next;
        m->next = s->newer;
        if (is_borrowed(s)) {
            sc_session_remove(d, s);
            return true;
        }
    }
    return false;
}

static enum sc_status merge_session(struct merger *m, struct sc_session *theirs)
{
    const struct sc_decoder_limits *limits = &m->decoder->limits;
    const struct sc_message_source source = {
        .exporter = theirs->exporter, .port = theirs->port, .transport = SC_TRANSPORT_UDP};
    struct sc_session *mine = sc_session_find(m->decoder, &source, false);
    set_clocks(m, theirs);
    if (mine == NULL && make_room(m)) {
        sc_session_insert(m->decoder, theirs);
        return SC_OK;
    }
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < theirs->domain_count && status == SC_OK && mine != NULL; i++)
        status = merge_domain(limits, mine, theirs->domains[i]);
    sc_session_free(theirs);
    return status;
}

enum sc_status sc_decoder_merge(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                                uint64_t clock_ms, uint64_t now_ms, struct sc_error *err)
{
    struct merger m = {.decoder = decoder, .clock_ms = clock_ms, .now_ms = now_ms};
    struct sc_session *theirs;
    SC_TRY(sc_state_read(&decoder->limits, bytes, length, clock_ms, &theirs, err));
    while (theirs != NULL) {
        struct sc_session *next = theirs->hash_next;
        if (merge_session(&m, theirs) != SC_OK) {
            sc_state_free(next);
            return sc_fail_nomem(err, "the templates of another collector");
        }
        theirs = next;
    }
    return SC_OK;
}
