// SPDX-License-Identifier: BSD-3-Clause
/* v9 and IPFIX messages. */
#ifndef SC_WIRE_MESSAGE_H
#define SC_WIRE_MESSAGE_H

#include "wire/decoder_types.h"

/* The sets of a v9 or IPFIX message, header already read. */
enum sc_status sc_message_sets(struct sc_job *job, const uint8_t *sets, size_t length);
void sc_plan_free(struct sc_plan *plan);

#endif
