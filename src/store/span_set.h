// SPDX-License-Identifier: BSD-3-Clause
/* A set of batch ids (stream, lane, sequence). Zero-initialise; one thread. */
#ifndef SC_STORE_SPAN_SET_H
#define SC_STORE_SPAN_SET_H

#include "base/buf.h"
#include "base/table.h"
#include "flow/batch.h"

struct sc_span_id {
    uint64_t stream;
    uint64_t sequence;
    uint32_t lane;
};

struct sc_span_set {
    uint64_t seed; /* drawn with the first id */
    struct sc_span_id *ids;
    uint32_t count;
    struct sc_table table; /* of the ids */
};

/* Adds the id of a span. *fresh tells whether it was new. @return SC_OK or SC_NOMEM. */
enum sc_status sc_span_set_add(struct sc_span_set *set, const struct sc_span *span, bool *fresh);
bool sc_span_set_has(const struct sc_span_set *set, const struct sc_span *span);
void sc_span_set_free(struct sc_span_set *set);

/* True when the spans of the batch follow one another and cover its rows, as a reader will ask for. */
bool sc_spans_cover(const struct sc_batch *batch);
struct sc_span sc_span_read(struct sc_cursor *in);
/* Reads the `count` spans of a row group. @return SC_OK; SC_DAMAGED: they are cut, or do not cover its rows. */
enum sc_status sc_spans_read(struct sc_cursor *in, struct sc_span *spans, uint32_t count, uint32_t rows);

#endif
