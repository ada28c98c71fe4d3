// SPDX-License-Identifier: BSD-3-Clause
/* Records into a batch. */
#ifndef SC_WIRE_RECORDS_H
#define SC_WIRE_RECORDS_H

#include "wire/run.h"

/* Appends the records of a scanned run. The caller rolls the batch back when it fails. */
enum sc_status sc_run_append(struct sc_run *run);
/* Gives rows from `first` on whose base of sysUpTime was not known the one that is now, or an estimate. */
enum sc_status sc_run_settle_times(struct sc_decoder *decoder, const struct sc_domain *domain,
                                   const struct sc_message *message, struct sc_batch *batch, uint32_t first);

#endif
