// SPDX-License-Identifier: BSD-3-Clause
/* Records on their way into batches. */
#ifndef SC_WIRE_APPEND_H
#define SC_WIRE_APPEND_H

#include "wire/run.h"

/* Before the first records of the message. */
void sc_job_begin(struct sc_job *job, const struct sc_message *message);
/* Before those of a set that waited, and those of the message's own sets. */
void sc_job_decodes(struct sc_job *job, const struct sc_message *message);
/* Another batch for a message that would crowd the one at hand with columns. */
void sc_job_choose_batch(struct sc_job *job);
/* Appends one run of records and accounts it. */
enum sc_status sc_job_append(struct sc_job *job, struct sc_run *run);
/* Behind the last of them: times whose base was not known (sc_run_settle_times). */
enum sc_status sc_job_settle(struct sc_job *job);

#endif
