// SPDX-License-Identifier: BSD-3-Clause
/* Templates that data sets came without. */
#ifndef SC_WIRE_MISSING_H
#define SC_WIRE_MISSING_H

#include "wire/decoder_types.h"

/* A data set of template `id` came without it. */
void sc_missing_note(struct sc_session *session, const struct sc_decoder_limits *limits,
                     struct sc_domain *domain, uint16_t id, uint64_t now_ms);
/* Drops entries whose template is there, and tells of the others. */
void sc_missing_care(struct sc_session *session, struct sc_domain *domain, const struct sc_care *care);

#endif
