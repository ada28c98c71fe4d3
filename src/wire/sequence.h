// SPDX-License-Identifier: BSD-3-Clause
/* Sequence numbers. */
#ifndef SC_WIRE_SEQUENCE_H
#define SC_WIRE_SEQUENCE_H

#include "wire/decoder_types.h"

/* What a message is, going by its numbers and times. Changes nothing. */
struct sc_arrival sc_sequence_judge(const struct sc_sequence *sequence, const struct sc_message *message);
/* Takes the judgement to the account. */
void sc_sequence_arrive(struct sc_domain *account, const struct sc_arrival *arrival);
/* The message held `units`. */
void sc_sequence_advance(struct sc_domain *account, const struct sc_message *message,
                         const struct sc_arrival *arrival, bool units_known, uint32_t units);

#endif
