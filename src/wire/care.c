// SPDX-License-Identifier: BSD-3-Clause
/*
 * What time does to the state of exporters: templates expire, data sets that wait are given up, domains, sessions and exporters
 * that nobody heard of for long go; rates are computed, and accounts and missing templates told.
 *
 * All in steps, so that no number of exporters, and nothing that one of them may have, stops the thread. A pass goes over all sessions,
 * within a session over its domains, within a domain over its templates, then over the exporters, from the end of each row
 * (base/roster.h). It may pause before any of these, while others come and go; who comes meanwhile is looked at in the next pass.
 */
#include "wire/exporter.h"
#include "wire/session.h"
#include "wire/template.h"

#include <stdlib.h>

/* Data sets that wait longer than this for their template would meet another one of the same number. */
#define WAIT_MS 300000u

/* Accounts without templates are kept so long after the last message. */
#define STRANGER_IDLE_MS    WAIT_MS
#define NEWCOMER_IDLE_MS    3600000u
#define ESTABLISHED_IDLE_MS 86400000u

/* flows_per_s is computed over at least the first, and forgets within the second. */
#define RATE_LEAST_MS 900u
#define RATE_OVER_MS  10000u

/* What is looked at counts one, a domain more for its account. An exporter as most are, with a few templates, comes to about so many. */
#define DOMAIN_STEPS   4u
#define EXPORTER_STEPS 8u

#define ALL UINT32_MAX /* of a row: none was looked at */

struct pass {
    struct sc_decoder *decoder;
    struct sc_care_place *at; /* the decoder's */
    const struct sc_care *care;
    uint64_t now_ms;
    uint64_t left; /* steps until it pauses */
};

static void spend(struct pass *p, uint64_t steps)
{
    p->left -= steps < p->left ? steps : p->left;
}

static bool is_idle(uint64_t since_ms, uint64_t now_ms, uint64_t for_ms)
{
    return now_ms > since_ms && now_ms - since_ms > for_ms;
}

/* What is left of a row of `count`. */
static uint32_t left_of(uint32_t left, uint32_t count)
{
    return left < count ? left : count;
}

/* True: all were looked at. */
static bool expire_templates(struct pass *p, struct sc_domain *domain)
{
    uint32_t *left = &p->at->templates;
    for (*left = left_of(*left, domain->templates.count); *left > 0 && p->left > 0; --*left) {
        struct sc_template *t = sc_template_at(domain, *left - 1);
        if (is_idle(t->seen_ms, p->now_ms, sc_template_lifetime(&p->decoder->limits, t->refresh_ms)))
            free(sc_domain_take_template(domain, t));
        spend(p, 1);
    }
    return *left == 0;
}

static void sample_rate(struct sc_domain *domain, uint64_t now_ms)
{
    uint64_t flows = domain->stats.flows - domain->sampled_flows;
    if (now_ms < domain->sampled_ms + RATE_LEAST_MS)
        return;
    double span = (double)(now_ms - domain->sampled_ms);
    double rate = (double)flows * 1000 / span;
    double weight = domain->sampled_flows == 0 || span > RATE_OVER_MS ? 1 : span / RATE_OVER_MS;
    domain->stats.flows_per_s += (rate - domain->stats.flows_per_s) * weight;
    domain->sampled_ms = now_ms;
    domain->sampled_flows = domain->stats.flows;
}

static struct sc_exporter_stats account_of(const struct sc_exporter *e, const struct sc_domain *domain)
{
    struct sc_exporter_stats stats = domain->stats;
    stats.templates = domain->templates.count;
    stats.over_budget = e->over_budget;
    stats.dropped = e->dropped;
    return stats;
}

void sc_decoder_each_exporter(const struct sc_decoder *decoder,
                              bool (*visit)(void *arg, const struct sc_exporter_stats *stats), void *arg)
{
    for (const struct sc_session *s = decoder->newest; s != NULL; s = s->older) {
        for (uint32_t i = 0; i < s->domains.count; i++) {
            const struct sc_exporter_stats stats = account_of(s->owner, sc_domain_at(s, i));
            if (stats.messages != 0 && !visit(arg, &stats))
                return;
        }
    }
}

static void give_account(const struct sc_exporter *e, const struct sc_domain *domain,
                         const struct sc_care *care)
{
    const struct sc_exporter_stats stats = account_of(e, domain);
    if (stats.messages != 0)
        care->account(care->arg, &stats);
}

static uint64_t patience_ms(const struct sc_exporter *e, const struct sc_domain *domain)
{
    if (domain->stats.flows + domain->stats.options == 0)
        return STRANGER_IDLE_MS;
    return e->standing == SC_ESTABLISHED ? ESTABLISHED_IDLE_MS : NEWCOMER_IDLE_MS;
}

static bool is_over(const struct sc_session *s, const struct sc_domain *domain, uint64_t now_ms)
{
    return domain->templates.count == 0 && s->waiting == NULL &&
           is_idle(domain->heard_ms, now_ms, patience_ms(s->owner, domain));
}

static void care_domain(const struct sc_exporter *e, struct sc_domain *domain, uint64_t now_ms,
                        const struct sc_care *care)
{
    sample_rate(domain, now_ms);
    if (domain->missing_count != 0)
        sc_missing_care(domain, care);
    if (care->account != NULL)
        give_account(e, domain, care);
}

/* True: all were looked at. */
static bool care_domains(struct pass *p, struct sc_session *s)
{
    uint32_t *left = &p->at->domains;
    for (*left = left_of(*left, s->domains.count); *left > 0 && p->left > 0; --*left) {
        struct sc_domain *domain = sc_domain_at(s, *left - 1);
        if (s->transport == SC_TRANSPORT_UDP && !expire_templates(p, domain))
            return false;
        spend(p, DOMAIN_STEPS + domain->missing_count);
        p->at->templates = ALL;
        if (is_over(s, domain, p->now_ms))
            sc_domain_drop(domain);
        else
            care_domain(s->owner, domain, p->now_ms, p->care);
    }
    return *left == 0;
}

static void care_waiting(struct pass *p, struct sc_session *s)
{
    const struct sc_waiting_choice waited = {.before_ms = p->now_ms > WAIT_MS ? p->now_ms - WAIT_MS : 1};
    spend(p, 1 + (uint64_t)s->waiting_count);
    if (s->waiting != NULL)
        sc_session_drop_waiting(s, &waited);
}

static void enter(struct pass *p, struct sc_session *s)
{
    p->at->session = s;
    p->at->domains = p->at->templates = ALL;
    care_waiting(p, s);
}

static void leave(struct pass *p, struct sc_session *s)
{
    struct sc_exporter *e = s->owner;
    s->cared = p->at->pass;
    p->at->session = NULL;
    if (s->domains.count != 0)
        return;
    sc_session_remove(s);
    sc_exporter_tidy(e);
}

/* False: not all of it was looked at. */
static bool care_session(struct pass *p, struct sc_session *s)
{
    if (s->cared == p->at->pass) /* it stood farther back when it was looked at */
        return true;
    if (s != p->at->session)
        enter(p, s);
    bool done = care_domains(p, s);
    sc_exporter_settle(s);
    if (done)
        leave(p, s);
    return done;
}

/* True: all were looked at. */
static bool care_sessions(struct pass *p)
{
    const struct sc_roster *all = &p->decoder->sessions;
    uint32_t *left = &p->at->sessions;
    if (p->at->session != NULL && p->left > 0 && !care_session(p, p->at->session))
        return false; /* wherever it stands in the row now */
    for (*left = left_of(*left, all->count); *left > 0 && p->left > 0; --*left) {
        if (!care_session(p, (struct sc_session *)all->row[*left - 1]))
            return false;
    }
    return *left == 0;
}

/* True: all were looked at. */
static bool care_exporters(struct pass *p)
{
    const struct sc_roster *all = &p->decoder->exporters;
    uint32_t *left = &p->at->exporters;
    for (*left = left_of(*left, all->count); *left > 0 && p->left > 0; --*left) {
        struct sc_exporter *e = (struct sc_exporter *)all->row[*left - 1];
        spend(p, 1);
        if (e->newest == NULL && is_idle(e->used_ms, p->now_ms, ESTABLISHED_IDLE_MS))
            sc_exporter_release(e);
        else
            sc_exporter_tidy(e);
    }
    return *left == 0;
}

static void begin_or_go_on(struct pass *p)
{
    if (p->at->begun)
        return;
    *p->at =
        (struct sc_care_place){.begun = true, .pass = p->at->pass + 1, .sessions = ALL, .exporters = ALL};
    if (p->care->account != NULL)
        p->care->account(p->care->arg, NULL);
}

bool sc_decoder_care(struct sc_decoder *decoder, uint32_t exporters, uint64_t now_ms,
                     const struct sc_care *care)
{
    static const struct sc_care nobody;
    struct pass p = {.decoder = decoder,
                     .at = &decoder->care,
                     .care = care == NULL ? &nobody : care,
                     .now_ms = now_ms,
                     .left = (uint64_t)exporters * EXPORTER_STEPS};
    begin_or_go_on(&p);
    p.at->begun = !care_sessions(&p) || !care_exporters(&p);
    return !p.at->begun;
}

void sc_decoder_expire(struct sc_decoder *decoder, uint64_t now_ms)
{
    decoder->care.begun = false;
    sc_decoder_care(decoder, UINT32_MAX, now_ms, NULL);
}
