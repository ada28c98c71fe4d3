// SPDX-License-Identifier: BSD-3-Clause
#include "wire/options.h"

#include "base/array.h"
#include "wire/exporter.h"

/* Samplers of one domain: more than any exporter has, and a bound. */
#define MAX_SAMPLERS 1024u

/* Selector algorithms of RFC 5477 section 8.2.1 (psamp-parameters registry). */
enum { SYSTEMATIC_COUNT = 1, SYSTEMATIC_TIME = 2, RANDOM_N_OUT_OF_N = 3, UNIFORM_PROBABILITY = 4 };

/* (taken + left out) / taken, to the nearest; 0 when `taken` is 0. */
static uint64_t share(uint64_t taken, uint64_t population)
{
    if (taken == 0 || population < taken)
        return 0;
    return population / taken + (population % taken >= taken - taken / 2 ? 1 : 0);
}

static uint64_t get(const struct sc_run *run, enum sc_special special, uint32_t i)
{
    uint64_t v = 0;
    return sc_run_special(run, special, i, &v) ? v : 0;
}

static uint64_t systematic(const struct sc_run *run, uint32_t i, enum sc_special interval,
                           enum sc_special space)
{
    uint64_t taken, left;
    if (!sc_run_special(run, interval, i, &taken) || !sc_run_special(run, space, i, &left) ||
        left > UINT64_MAX - taken)
        return 0;
    return share(taken, taken + left);
}

static uint64_t probabilistic(const struct sc_run *run, uint32_t i)
{
    const uint8_t *bytes;
    uint32_t length;
    if (!sc_run_bytes(run, SC_SPECIAL_PROBABILITY, i, &bytes, &length) || (length != 4 && length != 8))
        return 0;
    double p = sc_load_be_float(bytes, length);
    return p > 0.0 && p <= 1.0 && 1.0 / p <= 4294967295.0 ? (uint64_t)(1.0 / p + 0.5) : 0;
}

static uint64_t random_share(const struct sc_run *run, uint32_t i)
{
    return share(get(run, SC_SPECIAL_SAMPLING_SIZE, i), get(run, SC_SPECIAL_SAMPLING_POPULATION, i));
}

/* PSAMP: by the algorithm when it is told, else by the parameters that are there. */
static uint64_t psamp(const struct sc_run *run, uint32_t i)
{
    uint64_t rate;
    switch (get(run, SC_SPECIAL_SELECTOR_ALGORITHM, i)) {
    case SYSTEMATIC_COUNT:
        return systematic(run, i, SC_SPECIAL_PACKET_INTERVAL, SC_SPECIAL_PACKET_SPACE);
    case SYSTEMATIC_TIME:
        return systematic(run, i, SC_SPECIAL_TIME_INTERVAL, SC_SPECIAL_TIME_SPACE);
    case RANDOM_N_OUT_OF_N:
        return random_share(run, i);
    case UNIFORM_PROBABILITY:
        return probabilistic(run, i);
    default:
        rate = systematic(run, i, SC_SPECIAL_PACKET_INTERVAL, SC_SPECIAL_PACKET_SPACE);
        rate = rate != 0 ? rate : random_share(run, i);
        return rate != 0 ? rate : probabilistic(run, i);
    }
}

/* Packets per sampled packet as the record itself tells, 0: it does not. */
static uint64_t rate_of_record(const struct sc_run *run, uint32_t i)
{
    if (!run->template_record->has_sampling)
        return 0;
    uint64_t rate = get(run, SC_SPECIAL_SAMPLER_INTERVAL, i);
    if (rate == 0)
        rate = get(run, SC_SPECIAL_SAMPLING_INTERVAL, i);
    return rate != 0 ? rate : psamp(run, i);
}

static uint32_t sampler_index(const struct sc_domain *domain, uint64_t id)
{
    return sc_array_below(domain->samplers, sizeof(*domain->samplers), domain->sampler_count, id);
}

static bool selector_of(const struct sc_run *run, uint32_t i, uint64_t *id)
{
    return sc_run_special(run, SC_SPECIAL_SELECTOR_ID, i, id) ||
           sc_run_special(run, SC_SPECIAL_SAMPLER_ID, i, id);
}

uint64_t sc_sampling_of_domain(const struct sc_domain *domain)
{
    if (domain->default_rate != 0)
        return domain->default_rate;
    return domain->sampler_count == 1 ? domain->samplers[0].rate : 0;
}

uint64_t sc_sampling_in_force(const struct sc_run *run, uint32_t i)
{
    uint64_t id, rate = rate_of_record(run, i);
    if (rate != 0)
        return rate;
    if (!selector_of(run, i, &id))
        return sc_sampling_of_domain(run->domain);
    uint32_t at = sampler_index(run->domain, id);
    bool found = at < run->domain->sampler_count && run->domain->samplers[at].id == id;
    return found ? run->domain->samplers[at].rate : 0;
}

enum sc_status sc_domain_put_sampler(struct sc_domain *domain, uint64_t id, uint64_t rate)
{
    struct sc_session *session = domain->session;
    uint32_t at = sampler_index(domain, id);
    if (at < domain->sampler_count && domain->samplers[at].id == id) {
        if (domain->samplers[at].rate != rate)
            sc_session_changed(session);
        domain->samplers[at].rate = rate;
        return SC_OK;
    }
    struct sc_sampler **all = &domain->samplers;
    size_t more =
        sc_array_bytes(*all, domain->sampler_count + 1) - sc_array_bytes(*all, domain->sampler_count);
    if (domain->sampler_count >= MAX_SAMPLERS || !sc_session_has_room(session, more))
        return SC_LIMIT;
    if (!sc_array_more(*all, domain->sampler_count, 1))
        return SC_NOMEM;
    memmove(*all + at + 1, *all + at, (domain->sampler_count - at) * sizeof(**all));
    (*all)[at] = (struct sc_sampler){.id = id, .rate = rate};
    domain->sampler_count++;
    session->bytes += more;
    sc_session_changed(session);
    return SC_OK;
}

void sc_domain_put_default_rate(struct sc_domain *domain, uint64_t rate)
{
    if (domain->default_rate != rate)
        sc_session_changed(domain->session);
    domain->default_rate = rate;
}

void sc_domain_put_init(struct sc_domain *domain, uint64_t init_ms)
{
    if (!domain->init_known || domain->init_ms != init_ms)
        sc_session_changed(domain->session);
    domain->init_known = true;
    domain->init_ms = init_ms;
}

static enum sc_status apply_record(const struct sc_run *run, uint32_t i)
{
    struct sc_domain *domain = run->domain;
    uint64_t id, init = get(run, SC_SPECIAL_SYSTEM_INIT, i);
    if (init != 0)
        sc_domain_put_init(domain, init);
    uint64_t rate = run->template_record->interface_scope ? 0 : rate_of_record(run, i);
    if (rate == 0)
        return SC_OK;
    if (!selector_of(run, i, &id)) {
        sc_domain_put_default_rate(domain, rate);
        return SC_OK;
    }
    enum sc_status status = sc_domain_put_sampler(domain, id, rate);
    return status == SC_LIMIT ? SC_OK : status; /* one sampler too many stays unknown */
}

enum sc_status sc_options_apply(const struct sc_run *run)
{
    const struct sc_template *t = run->template_record;
    if (t->names != 0 || t->tells_exporter)
        SC_TRY(sc_maps_apply(run));
    if (!t->has_sampling && t->special[SC_SPECIAL_SYSTEM_INIT] == 0)
        return SC_OK;
    for (uint32_t i = 0; i < run->count; i++)
        SC_TRY(apply_record(run, i));
    return SC_OK;
}
