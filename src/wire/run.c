// SPDX-License-Identifier: BSD-3-Clause
/* The records of one data set: those of fixed length are found by their stride; for others a pass notes where each field lies. */
#include "wire/run.h"

#include "base/array.h"

/* A set may be padded by as many bytes as exporters are seen to add, of any value. */
#define MAX_PADDING 7u

static bool reserve_cells(struct sc_decoder *decoder, size_t cells)
{
    return sc_array_reserve(decoder->positions, decoder->position_capacity, cells) &&
           sc_array_reserve(decoder->lengths, decoder->length_capacity, cells);
}

/* RFC 7011 section 7: one byte, or 255 and two bytes. False when the value reaches beyond `end`. */
static bool take_variable(const uint8_t *body, uint32_t end, uint32_t *at, uint32_t *length)
{
    if (*at >= end)
        return false;
    *length = body[(*at)++];
    if (*length == 255) {
        if (end - *at < 2)
            return false;
        *length = sc_load_be16(body + *at);
        *at += 2;
    }
    return *length <= end - *at;
}

static bool scan_record(const struct sc_template *t, const uint8_t *body, uint32_t end, uint32_t *at,
                        uint32_t *positions, uint16_t *lengths)
{
    for (uint32_t j = 0; j < t->anchor_count; j++) {
        uint32_t length = t->anchors[j];
        if (length == SC_VARIABLE_STRETCH ? !take_variable(body, end, at, &length) : length > end - *at)
            return false;
        positions[j] = *at;
        lengths[j] = (uint16_t)length;
        *at += length;
    }
    return true;
}

static enum sc_status scan_variable(struct sc_run *run, const uint8_t *body, uint32_t length)
{
    const struct sc_template *t = run->template_record;
    struct sc_decoder *decoder = run->decoder;
    uint32_t at = 0, count = 0;
    while (length - at >= t->record_length) {
        size_t first = (size_t)count * t->anchor_count;
        if (!reserve_cells(decoder, first + t->anchor_count))
            return SC_NOMEM;
        uint32_t start = at;
        if (!scan_record(t, body, length, &at, decoder->positions + first, decoder->lengths + first)) {
            at = start;
            break;
        }
        count++;
    }
    run->base = body;
    run->count = count;
    run->positions = decoder->positions;
    run->lengths = decoder->lengths;
    return length - at >= t->record_length && length - at > MAX_PADDING ? SC_MALFORMED : SC_OK;
}

enum sc_status sc_run_scan(struct sc_run *run, const uint8_t *body, uint32_t length)
{
    const struct sc_template *t = run->template_record;
    run->count = 0;
    run->positions = NULL;
    run->lengths = NULL;
    run->base = body;
    if (t->record_length == 0)
        return length <= MAX_PADDING ? SC_OK : SC_MALFORMED;
    if (t->variable)
        return scan_variable(run, body, length);
    run->count = length / t->record_length;
    return SC_OK;
}

bool sc_run_bytes(const struct sc_run *run, enum sc_special special, uint32_t i, const uint8_t **bytes,
                  uint32_t *length)
{
    const struct sc_template *t = run->template_record;
    if (t->special[special] == 0)
        return false;
    const struct sc_op *op = &t->ops[t->special[special] - 1];
    *bytes = sc_run_cell(run, op, i);
    *length = sc_run_cell_length(run, op, i);
    return true;
}
