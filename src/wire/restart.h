// SPDX-License-Identifier: BSD-3-Clause
/* What a restart does. */
#ifndef SC_WIRE_RESTART_H
#define SC_WIRE_RESTART_H

#include "wire/decoder_types.h"

/* Judges the message and says of which life it is. Changes nothing but the job. */
void sc_job_judge(struct sc_job *job);
/* Accounts its arrival; templates and waiting sets of a life that is over go. */
void sc_job_arrive(struct sc_job *job);

#endif
