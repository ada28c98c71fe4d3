// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which templates data sets came without, by domain: MOST of them at most, the others are counted in the account
 * only. An entry goes when its template is there.
 */
#include "wire/missing.h"

#include "wire/budget.h"
#include "wire/forget.h"
#include "wire/session.h"

#include <stdlib.h>

#define MOST 32u

static struct sc_missing *find(struct sc_domain *domain, uint16_t id)
{
    for (uint32_t i = 0; i < domain->missing_count; i++) {
        if (domain->missing[i].id == id)
            return &domain->missing[i];
    }
    return NULL;
}

static struct sc_missing *add(struct sc_session *session, const struct sc_decoder_limits *limits,
                              struct sc_domain *domain, const struct sc_missing *entry)
{
    if (domain->missing_count == MOST || !sc_session_has_room(session, limits, sizeof(*entry)))
        return NULL;
    struct sc_missing *grown = realloc(domain->missing, (domain->missing_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL; /* it is counted all the same */
    domain->missing = grown;
    session->bytes += sizeof(*grown);
    grown[domain->missing_count] = *entry;
    return &grown[domain->missing_count++];
}

void sc_missing_note(struct sc_session *session, const struct sc_decoder_limits *limits,
                     struct sc_domain *domain, uint16_t id, uint64_t now_ms)
{
    const struct sc_missing fresh = {.id = id, .since_ms = now_ms};
    struct sc_missing *entry = find(domain, id);
    if (entry == NULL)
        entry = add(session, limits, domain, &fresh);
    if (entry != NULL)
        entry->sets++;
}

static void drop_found(struct sc_session *session, struct sc_domain *domain)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < domain->missing_count; i++) {
        if (sc_domain_template(domain, domain->missing[i].id) == NULL)
            domain->missing[kept++] = domain->missing[i];
    }
    session->bytes -= (domain->missing_count - kept) * sizeof(*domain->missing);
    domain->missing_count = kept;
    if (kept == 0)
        sc_missing_free(session, domain);
}

void sc_missing_care(struct sc_session *session, struct sc_domain *domain, const struct sc_care *care)
{
    drop_found(session, domain);
    for (uint32_t i = 0; i < domain->missing_count && care->missing != NULL; i++) {
        struct sc_missing *entry = &domain->missing[i];
        const struct sc_missing_template missing = {.exporter = session->exporter,
                                                    .port = session->port,
                                                    .version = domain->version,
                                                    .domain = domain->id,
                                                    .id = entry->id,
                                                    .since_ms = entry->since_ms,
                                                    .sets = entry->sets};
        if (!entry->told && entry->since_ms <= care->missing_before_ms)
            entry->told = care->missing(care->arg, &missing);
    }
}
