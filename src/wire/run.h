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
bool sc_run_probability(const struct sc_run *run, uint32_t i, double *value);
/* Bytes of a special field of record i; false when the template has none. */
bool sc_run_bytes(const struct sc_run *run, enum sc_special special, uint32_t i, const uint8_t **bytes,
                  uint32_t *length);

#endif
