// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which templates data sets came without, by domain: MOST of them at most, the others are counted in the account
 * only. An entry goes when its template is there.
 */
#include "wire/session.h"

#include "base/array.h"
#include "wire/exporter.h"

#define MOST 32u

static struct sc_missing *find(struct sc_domain *domain, uint16_t id)
{
    for (uint32_t i = 0; i < domain->missing_count; i++) {
        if (domain->missing[i].id == id)
            return &domain->missing[i];
    }
    return NULL;
}

static struct sc_missing *add(struct sc_domain *domain, const struct sc_missing *entry)
{
    size_t more =
        sc_array_bytes(entry, domain->missing_count + 1) - sc_array_bytes(entry, domain->missing_count);
    if (domain->missing_count == MOST || !sc_session_has_room(domain->session, more))
        return NULL;
    if (!sc_array_more(domain->missing, domain->missing_count, 1))
        return NULL; /* it is counted all the same */
    domain->session->bytes += more;
    domain->missing[domain->missing_count] = *entry;
    return &domain->missing[domain->missing_count++];
}

void sc_missing_note(struct sc_domain *domain, uint16_t id, uint64_t now_ms)
{
    const struct sc_missing fresh = {.id = id, .since_ms = now_ms};
    struct sc_missing *entry = find(domain, id);
    if (entry == NULL)
        entry = add(domain, &fresh);
    if (entry != NULL)
        entry->sets++;
}

static void drop_found(struct sc_domain *domain)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < domain->missing_count; i++) {
        if (sc_domain_template(domain, domain->missing[i].id) == NULL)
            domain->missing[kept++] = domain->missing[i];
    }
    domain->session->bytes -=
        sc_array_bytes(domain->missing, domain->missing_count) - sc_array_bytes(domain->missing, kept);
    domain->missing_count = kept;
    if (kept == 0)
        sc_missing_free(domain);
}

void sc_missing_care(struct sc_domain *domain, const struct sc_care *care)
{
    drop_found(domain);
    for (uint32_t i = 0; i < domain->missing_count && care->missing != NULL; i++) {
        struct sc_missing *entry = &domain->missing[i];
        const struct sc_missing_template missing = {.exporter = domain->session->exporter,
                                                    .port = domain->session->port,
                                                    .version = domain->version,
                                                    .domain = domain->id,
                                                    .id = entry->id,
                                                    .since_ms = entry->since_ms,
                                                    .sets = entry->sets};
        if (!entry->told && entry->since_ms <= care->missing_before_ms)
            entry->told = care->missing(care->arg, &missing);
    }
}
