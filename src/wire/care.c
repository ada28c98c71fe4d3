// SPDX-License-Identifier: BSD-3-Clause
/*
 * What time does to the state of exporters: templates expire, data sets that wait are given up, domains, sessions and exporters
 * that nobody heard of for long go; rates are computed, and accounts and missing templates told. All in steps over the table of
 * exporters, so that no number of them stops the thread.
 */
#include "wire/decoder_internal.h"

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

static bool is_idle(uint64_t since_ms, uint64_t now_ms, uint64_t for_ms)
{
    return now_ms > since_ms && now_ms - since_ms > for_ms;
}

static void expire_templates(struct sc_decoder *decoder, struct sc_session *session, struct sc_domain *domain,
                             uint64_t now_ms)
{
    for (uint32_t i = domain->templates.count; i > 0; i--) {
        struct sc_template *t = sc_template_at(domain, i - 1);
        if (is_idle(t->seen_ms, now_ms, sc_template_lifetime(&decoder->limits, t->refresh_ms)))
            free(sc_domain_take_template(session, domain, t));
    }
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

static void care_domain(struct sc_session *s, struct sc_domain *domain, uint64_t now_ms,
                        const struct sc_care *care)
{
    sample_rate(domain, now_ms);
    if (domain->missing_count != 0)
        sc_missing_care(s, domain, care);
    if (care->account != NULL)
        give_account(s->owner, domain, care);
}

static void care_domains(struct sc_session *s, uint64_t now_ms, const struct sc_care *care)
{
    for (uint32_t i = s->domains.count; i > 0; i--) {
        struct sc_domain *domain = sc_domain_at(s, i - 1);
        if (s->transport == SC_TRANSPORT_UDP)
            expire_templates(s->owner->decoder, s, domain, now_ms);
        if (is_over(s, domain, now_ms))
            sc_session_drop_domain(s, domain);
        else
            care_domain(s, domain, now_ms, care);
    }
}

static void care_session(struct sc_session *s, uint64_t now_ms, const struct sc_care *care)
{
    struct sc_exporter *e = s->owner;
    const struct sc_waiting_choice waited = {.before_ms = now_ms > WAIT_MS ? now_ms - WAIT_MS : 1};
    if (s->waiting != NULL)
        sc_session_drop_waiting(s, &waited);
    care_domains(s, now_ms, care);
    sc_exporter_settle(s);
    if (s->domains.count == 0)
        sc_session_remove(e->decoder, s);
}

static void care_exporter(struct sc_exporter *e, uint64_t now_ms, const struct sc_care *care)
{
    for (struct sc_session *s = e->newest, *next; s != NULL; s = next) {
        next = s->sibling_older;
        care_session(s, now_ms, care);
    }
    if (e->newest == NULL && is_idle(e->used_ms, now_ms, ESTABLISHED_IDLE_MS))
        sc_exporter_destroy(e);
    else
        sc_exporter_tidy(e);
}

bool sc_decoder_care(struct sc_decoder *decoder, uint32_t exporters, uint64_t now_ms,
                     const struct sc_care *care)
{
    static const struct sc_care nobody;
    struct sc_chains *all = &decoder->exporters;
    care = care == NULL ? &nobody : care;
    if (decoder->care_size != all->size)
        decoder->care_head = 0;
    decoder->care_size = all->size;
    if (decoder->care_head == 0 && care->account != NULL)
        care->account(care->arg, NULL);
    for (; decoder->care_head < all->size && exporters > 0; decoder->care_head++, exporters--) {
        for (struct sc_chain *c = all->heads[decoder->care_head], *next; c != NULL; c = next) {
            next = c->next;
            care_exporter((struct sc_exporter *)c, now_ms, care);
        }
    }
    if (decoder->care_head < all->size)
        return false;
    decoder->care_head = 0;
    return true;
}

void sc_decoder_expire(struct sc_decoder *decoder, uint64_t now_ms)
{
    decoder->care_head = 0;
    sc_decoder_care(decoder, UINT32_MAX, now_ms, NULL);
}
