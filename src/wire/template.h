// SPDX-License-Identifier: BSD-3-Clause
/* Template records, compiled. */
#ifndef SC_WIRE_TEMPLATE_H
#define SC_WIRE_TEMPLATE_H

#include "wire/decoder_types.h"

/* Compiles field specifiers. Unknown elements count on the exporter's account. NULL: no memory. */
struct sc_template *sc_template_compile(struct sc_session *session, const struct sc_wire_field *fields,
                                        uint32_t count, uint16_t id, bool options, uint16_t scope_count);
bool sc_template_same(const struct sc_template *t, const struct sc_wire_field *fields, uint32_t count,
                      bool options, uint16_t scope_count);
/* The layout of a NetFlow v5 record. */
struct sc_template *sc_template_v5(void);
/* How long a template is valid, ms. */
uint64_t sc_template_lifetime(const struct sc_decoder_limits *limits, uint64_t refresh_ms);

#endif
