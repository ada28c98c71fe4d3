// SPDX-License-Identifier: BSD-3-Clause
/* Options data: sampling, systemInitTime, names. */
#ifndef SC_WIRE_OPTIONS_H
#define SC_WIRE_OPTIONS_H

#include "wire/run.h"

/* The rate in force for record i of flow records; 0: unknown. */
uint64_t sc_sampling_in_force(const struct sc_run *run, uint32_t i);
uint64_t sc_sampling_of_domain(const struct sc_domain *domain);
/* Takes note of what the options records of a run say. */
enum sc_status sc_options_apply(const struct sc_run *run);
enum sc_status sc_domain_put_sampler(struct sc_domain *domain, uint64_t id, uint64_t rate);
void sc_domain_put_default_rate(struct sc_domain *domain, uint64_t rate);
void sc_domain_put_init(struct sc_domain *domain, uint64_t init_ms);

/* ---- maps.c ---- */

struct sc_map_item {
    enum sc_map_kind kind;
    struct sc_map_key key;
    const uint8_t *name; /* zero bytes at its end do not count */
    uint32_t length;
};

/* Takes note of a name; an empty or overlong one removes what was there. SC_LIMIT: there is no room, and the
 * key has no name then. */
enum sc_status sc_domain_put_name(struct sc_domain *domain, const struct sc_map_item *item);
enum sc_status sc_domain_put_exporter(struct sc_domain *domain, const struct sc_addr *exporter);
/* Takes note of what the options records of a run name. */
enum sc_status sc_maps_apply(const struct sc_run *run);
/* Takes over what another collector knows; where both know a name, theirs when it is `newer`. */
enum sc_status sc_maps_merge(struct sc_domain *mine, const struct sc_domain *theirs, bool newer);
/* Appends the columns of names to a run of flow records; the domain has maps. */
enum sc_status sc_maps_append(const struct sc_run *run);

#endif
