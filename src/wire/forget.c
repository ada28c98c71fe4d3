// SPDX-License-Identifier: BSD-3-Clause
/* What a session, a domain or a template leaves when it goes. */
#include "wire/session.h"

#include "base/array.h"
#include "wire/exporter.h"
#include "wire/record.h"

#include <stdlib.h>

void sc_waiting_unlink(struct sc_session *session, struct sc_waiting_set **link)
{
    struct sc_waiting_set *w = *link;
    *link = w->next;
    if (w->next == NULL)
        session->waiting_end = link;
    session->waiting_count--;
    session->waiting_bytes -= w->length;
    session->bytes -= sizeof(*w) + w->length;
}

void sc_waiting_drop(struct sc_session *session, struct sc_waiting_set **link)
{
    struct sc_waiting_set *w = *link;
    sc_waiting_unlink(session, link);
    free(w);
}

static bool is_chosen(const struct sc_waiting_set *w, const struct sc_waiting_choice *choice)
{
    return (choice->domain == NULL || w->domain == choice->domain) &&
           (choice->id == 0 || w->id == choice->id) &&
           (choice->before_ms == 0 || w->message.receive_ms < choice->before_ms) &&
           (choice->before_life == 0 || w->message.life < choice->before_life);
}

void sc_session_drop_waiting(struct sc_session *session, const struct sc_waiting_choice *choice)
{
    struct sc_waiting_set **link = &session->waiting;
    while (*link != NULL) {
        if (is_chosen(*link, choice))
            sc_waiting_drop(session, link);
        else
            link = &(*link)->next;
    }
}

static void forget_maps(struct sc_domain *domain)
{
    struct sc_domain_maps *maps = domain->maps;
    if (maps == NULL)
        return;
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++) {
        for (uint32_t i = 0; i < maps->names[kind].count; i++)
            free(maps->names[kind].entries[i].name);
        free(maps->names[kind].entries);
        sc_table_free(&maps->names[kind].table);
    }
    domain->session->bytes -= maps->bytes;
    free(maps);
    domain->maps = NULL;
}

void sc_missing_free(struct sc_domain *domain)
{
    domain->session->bytes -= sc_array_bytes(domain->missing, domain->missing_count);
    free(domain->missing);
    domain->missing = NULL;
    domain->missing_count = 0;
}

static void forget_domain(struct sc_domain *domain)
{
    struct sc_session *session = domain->session;
    session->shape++;
    while (domain->templates.count != 0)
        free(sc_domain_take_template(domain, sc_template_at(domain, domain->templates.count - 1)));
    session->bytes -= sc_roster_bytes(&domain->templates);
    sc_roster_free(&domain->templates);
    session->bytes -= sc_array_bytes(domain->samplers, domain->sampler_count);
    free(domain->samplers);
    domain->samplers = NULL;
    domain->sampler_count = 0;
    domain->default_rate = 0;
    forget_maps(domain);
    sc_missing_free(domain);
    domain->init_known = false;
    domain->sequence = (struct sc_sequence){0};
}

void sc_session_forget(struct sc_session *session)
{
    sc_session_drop_waiting(session, &(struct sc_waiting_choice){0});
    for (uint32_t i = 0; i < session->domains.count; i++)
        forget_domain(sc_domain_at(session, i));
}

void sc_session_free(struct sc_session *session)
{
    if (session == NULL)
        return;
    sc_session_forget(session);
    for (uint32_t i = 0; i < session->domains.count; i++)
        free(sc_domain_at(session, i));
    sc_roster_free(&session->domains);
    free(session);
}

void sc_session_remove(struct sc_session *session)
{
    struct sc_decoder *decoder = session->decoder;
    if (decoder->care.session == session)
        decoder->care.session = NULL;
    sc_roster_remove(&decoder->sessions, &session->entry);
    sc_session_unlink_use(session);
    sc_session_unnote(session);
    sc_exporter_disown(session);
    if (decoder->last == session)
        decoder->last = NULL;
    sc_session_free(session);
}

void sc_domain_drop(struct sc_domain *domain)
{
    struct sc_session *session = domain->session;
    forget_domain(domain);
    session->bytes -= sizeof(*domain);
    sc_roster_remove(&session->domains, &domain->entry);
    if (session->last == domain)
        session->last = NULL;
    free(domain);
}

struct sc_template *sc_domain_take_template(struct sc_domain *domain, struct sc_template *t)
{
    if (t == NULL)
        return NULL;
    if (!t->options)
        sc_roster_swap(&domain->templates, &t->entry, --domain->flow_templates);
    sc_roster_remove(&domain->templates, &t->entry);
    domain->session->shape++;
    domain->session->bytes -= t->bytes;
    return t;
}
