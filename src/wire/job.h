// SPDX-License-Identifier: BSD-3-Clause
/* A message in flight. */
#ifndef SC_WIRE_JOB_H
#define SC_WIRE_JOB_H

#include "wire/run.h"

/*
 * Everything about one message in flight. The records of `decoded`, which is the message or that of a set that waited, begin in the
 * sink's batches at row `first`, those of all at row `start`: both by enum sc_record_kind. `sent`: records in batches that were cut
 * off, which nothing takes back.
 */
struct sc_job {
    struct sc_decoder *decoder;
    struct sc_session *session; /* holds templates */
    struct sc_session *own;     /* of this port; the same unless template_scope is address */
    struct sc_domain *domain;   /* of `session`: holds templates */
    struct sc_domain *account;  /* of `own`: holds sequence and statistics */
    struct sc_message message;
    struct sc_arrival arrival;
    struct sc_decode_sink *sink;
    struct sc_decode_outcome *outcome;
    struct sc_error *err;
    const struct sc_message *decoded;
    uint32_t first[2], start[2];
    struct sc_decode_outcome sent;
};

/* ---- restart.c ---- */

/* Judges the message and says of which life it is. Changes nothing but the job. */
void sc_job_judge(struct sc_job *job);
/* Accounts its arrival; templates and waiting sets of a life that is over go. */
void sc_job_arrive(struct sc_job *job);

/* ---- sequence.c ---- */

/* What a message is, going by its numbers and times. Changes nothing. */
struct sc_arrival sc_sequence_judge(const struct sc_sequence *sequence, const struct sc_message *message);
/* Takes the judgement to the account. */
void sc_sequence_arrive(struct sc_domain *account, const struct sc_arrival *arrival);
/* The message held `units`. */
void sc_sequence_advance(struct sc_domain *account, const struct sc_message *message,
                         const struct sc_arrival *arrival, bool units_known, uint32_t units);

/* ---- message.c ---- */

/* The sets of a v9 or IPFIX message, header already read. */
enum sc_status sc_message_sets(struct sc_job *job, const uint8_t *sets, size_t length);
void sc_plan_free(struct sc_plan *plan);

/* ---- append.c ---- */

/* Before the first records of the message. */
void sc_job_begin(struct sc_job *job);
/* Before those of a set that waited, and those of the message's own sets. */
void sc_job_decodes(struct sc_job *job, const struct sc_message *message);
/* Another batch for a message that would crowd the one at hand with columns. */
void sc_job_choose_batch(struct sc_job *job);
/* Appends one run of records and accounts it. */
enum sc_status sc_job_append(struct sc_job *job, struct sc_run *run);
/* Behind the last of them: times whose base was not known (sc_run_settle_times). */
enum sc_status sc_job_settle(struct sc_job *job);

#endif
