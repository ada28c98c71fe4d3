// SPDX-License-Identifier: BSD-3-Clause
/* Options data: sampling, systemInitTime. */
#ifndef SC_WIRE_OPTIONS_H
#define SC_WIRE_OPTIONS_H

#include "wire/run.h"

/* The rate in force for record i of flow records; 0: unknown. */
uint64_t sc_sampling_in_force(const struct sc_run *run, uint32_t i);
uint64_t sc_sampling_of_domain(const struct sc_domain *domain);
/* Takes note of what the options records of a run say. */
enum sc_status sc_options_apply(struct sc_session *session, const struct sc_decoder_limits *limits,
                                const struct sc_run *run);
enum sc_status sc_domain_put_sampler(struct sc_session *session, const struct sc_decoder_limits *limits,
                                     struct sc_domain *domain, uint64_t id, uint64_t rate);
void sc_domain_put_default_rate(struct sc_session *session, struct sc_domain *domain, uint64_t rate);
void sc_domain_put_init(struct sc_session *session, struct sc_domain *domain, uint64_t init_ms);

#endif
