// SPDX-License-Identifier: BSD-3-Clause
/* The records of one data set. */
#ifndef SC_WIRE_RUN_H
#define SC_WIRE_RUN_H

#include "wire/decoder_types.h"

struct sc_run {
    struct sc_decoder *decoder;
    struct sc_domain *domain;
    const struct sc_message *message;
    struct sc_template *template_record;
    struct sc_batch *batch; /* NULL: records are counted and applied only */
    const uint8_t *base;
    uint32_t count;
    const uint32_t *positions; /* variable length: of stretch j of record i at [i * anchor_count + j] */
    const uint16_t *lengths;
};

/* Where a field of a record lies, and its length. */
static inline const uint8_t *sc_run_cell(const struct sc_run *run, const struct sc_op *op, uint32_t i)
{
    const struct sc_template *t = run->template_record;
    if (run->positions == NULL)
        return run->base + (size_t)i * t->record_length + op->offset;
    return run->base + run->positions[(size_t)i * t->anchor_count + op->anchor] + op->offset;
}

static inline uint32_t sc_run_cell_length(const struct sc_run *run, const struct sc_op *op, uint32_t i)
{
    if (op->length != SC_VARIABLE_LENGTH)
        return op->length;
    const struct sc_template *t = run->template_record;
    return run->lengths[(size_t)i * t->anchor_count + op->anchor];
}

/* Finds the records of a set body: fills run->base, count, positions, lengths. SC_MALFORMED: a record reaches
 * beyond the set, or the records have no length (count: the whole ones before). */
enum sc_status sc_run_scan(struct sc_run *run, const uint8_t *body, uint32_t length);
/* Unsigned value of a special field of record i; false when the template has none or its length is no
 * integer's. */
static inline bool sc_run_special(const struct sc_run *run, enum sc_special special, uint32_t i,
                                  uint64_t *value)
{
    const struct sc_template *t = run->template_record;
    if (t->special[special] == 0)
        return false;
    const struct sc_op *op = &t->ops[t->special[special] - 1];
    uint32_t length = sc_run_cell_length(run, op, i);
    if (length == 0 || length > 8)
        return false;
    *value = sc_load_be(sc_run_cell(run, op, i), length);
    return true;
}
/* Bytes of a special field of record i; false when the template has none. */
bool sc_run_bytes(const struct sc_run *run, enum sc_special special, uint32_t i, const uint8_t **bytes,
                  uint32_t *length);

/* ---- records.c ---- */

/* Appends the records of a scanned run. The caller rolls the batch back when it fails. */
enum sc_status sc_run_append(struct sc_run *run);
/* Gives rows from `first` on whose base of sysUpTime was not known the one that is now, or an estimate. */
enum sc_status sc_run_settle_times(struct sc_decoder *decoder, const struct sc_domain *domain,
                                   const struct sc_message *message, struct sc_batch *batch, uint32_t first);

/* ---- room.c ---- */

/* What records of the template can add to a batch, at most: as far as that is known, and looked up. What was looked up holds for the
 * batch as long as it is not reset: it only gets more columns, and wider ones. */
struct sc_need sc_need_known(const struct sc_batch *batch, const struct sc_template *t);
struct sc_need sc_need_exact(const struct sc_batch *batch, struct sc_template *t);
/* Sets what records of the template can have at most. */
void sc_template_measure(struct sc_template *t);
/* Records of the run that are appended at once: so many that they alone pass no bound. */
uint32_t sc_run_part(const struct sc_run *run);

enum sc_fit {
    SC_FITS,
    SC_FIT_HEAVY, /* the batch would weigh too much */
    SC_FIT_NEVER  /* it would have too many rows or columns */
};
/* Whether the batch may take `n` records of the run. *bytes: its weight with them (not for rows too many). */
enum sc_fit sc_run_fits(const struct sc_run *run, const struct sc_batch *batch, uint32_t n, size_t most_bytes,
                        size_t *bytes);

#endif
