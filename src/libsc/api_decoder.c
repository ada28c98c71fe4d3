// SPDX-License-Identifier: BSD-3-Clause
/* The decoder of libsc.h: each message to batches of flow and options records, as a rule one of each, whose rows are given one by one. */
#include "libsc/api_values.h"

#include "base/array.h"
#include "wire/decoder.h"

#include <stdlib.h>

_Static_assert((int)LIBSC_UDP == SC_TRANSPORT_UDP && (int)LIBSC_TCP == SC_TRANSPORT_TCP &&
                   (int)LIBSC_FILE == SC_TRANSPORT_FILE,
               "transports are taken over");
_Static_assert(sizeof(struct libsc_source) == 40, "part of the binary interface");

/* Records of one kind of the last message. */
struct records {
    struct sc_batch *batch; /* NULL: not asked for; the one that is filled, or whose rows are given */
    struct sc_batch **
        more; /* of a message whose records one batch could not hold: those before it, the first at the end */
    uint32_t more_count;
    struct sc_api_columns columns;
    const struct sc_column **present; /* of the batch, those with a value */
    uint32_t capacity;
    struct sc_arena arena;
    uint32_t next; /* row */
    uint32_t rows;
};

struct libsc_decoder {
    struct sc_decoder *decoder;
    struct records flows, options;
};

/* ---- making ---- */

static enum sc_status init_records(struct records *r, enum sc_record_kind kind, const char *fields,
                                   struct sc_error *err)
{
    SC_TRY(sc_api_columns_init(&r->columns, NULL, fields, err));
    r->batch = sc_batch_create(kind);
    return r->batch != NULL ? SC_OK : sc_fail_nomem(err, "a decoder");
}

static void drop_more(struct records *r)
{
    while (r->more_count != 0)
        sc_batch_free(r->more[--r->more_count]);
    free((void *)r->more);
    r->more = NULL;
}

static void free_records(struct records *r)
{
    drop_more(r);
    sc_batch_free(r->batch);
    sc_api_columns_free(&r->columns);
    free((void *)r->present);
    sc_arena_free(&r->arena);
}

static enum sc_status prepare(struct libsc_decoder *d, const char *fields, const char *option_fields,
                              struct sc_error *err)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    SC_TRY(init_records(&d->flows, SC_RECORDS_FLOWS, fields, err));
    if (option_fields != NULL)
        SC_TRY(init_records(&d->options, SC_RECORDS_OPTIONS, option_fields, err));
    d->decoder = sc_decoder_create(&limits, err);
    return d->decoder != NULL ? SC_OK : SC_NOMEM;
}

enum libsc_status libsc_decoder_create(const char *fields, const char *option_fields,
                                       struct libsc_decoder **out, struct libsc_error *err)
{
    struct sc_error why = {0};
    if (out == NULL)
        return sc_api_usage(err, "libsc_decoder_create: no place for the decoder is given");
    *out = NULL;
    struct libsc_decoder *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return sc_api_status(sc_fail_nomem(&why, "a decoder"), &why, err);
    enum sc_status status = prepare(d, fields, option_fields, &why);
    if (status != SC_OK)
        libsc_decoder_free(d);
    else
        *out = d;
    return sc_api_status(status, &why, err);
}

void libsc_decoder_free(struct libsc_decoder *d)
{
    if (d == NULL)
        return;
    sc_decoder_free(d->decoder);
    free_records(&d->flows);
    free_records(&d->options);
    free(d);
}

/* ---- messages ---- */

static void forget(struct records *r)
{
    r->next = 0;
    r->rows = 0;
    drop_more(r);
    if (r->batch != NULL)
        sc_batch_reset(r->batch);
}

/* The columns of the batch without its gaps. */
static enum sc_status list_present(struct records *r, uint32_t *count, struct sc_error *err)
{
    const struct sc_batch *batch = r->batch;
    if (!sc_array_reserve(r->present, r->capacity, batch->slots))
        return sc_fail_nomem(err, "the records of a message");
    *count = 0;
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *column = batch->columns[i];
        if (column != NULL && column->rows != 0 && column->nulls < column->rows)
            r->present[(*count)++] = column;
    }
    return SC_OK;
}

static enum sc_status ready(struct records *r, struct sc_error *err)
{
    uint32_t count = 0;
    if (r->batch == NULL || r->batch->rows == 0)
        return SC_OK;
    if (sc_batch_finish(r->batch) != SC_OK)
        return sc_fail_nomem(err, "the records of a message");
    SC_TRY(list_present(r, &count, err));
    sc_arena_reset(&r->arena);
    for (uint32_t i = 0; i < r->columns.count; i++)
        SC_TRY(sc_cells_of_columns(&r->columns.cells[i], &r->columns.fields[i], r->present, count,
                                   r->batch->rows, &r->arena, err));
    r->rows = r->batch->rows;
    return SC_OK;
}

static struct sc_message_source inner_source(const struct libsc_source *source)
{
    struct sc_message_source inner = {.port = source->port,
                                      .transport = (enum sc_transport)source->transport,
                                      .connection = source->connection,
                                      .receive_ms = source->receive_ms};
    memcpy(inner.exporter.b, source->address, sizeof(inner.exporter.b));
    return inner;
}

static void give_outcome(const struct sc_decode_outcome *from, struct libsc_outcome *to)
{
    if (to == NULL)
        return;
    *to = (struct libsc_outcome){.flows = from->flows,
                                 .options = from->options,
                                 .templates = from->templates,
                                 .no_template_sets = from->no_template_sets,
                                 .recovered_sets = from->recovered_sets,
                                 .malformed = from->malformed,
                                 .lost = from->lost};
}

static bool refuse(struct sc_decode_sink *sink, enum sc_record_kind kind, size_t bytes)
{
    (void)sink, (void)kind, (void)bytes;
    return false;
}

/* Puts the batch aside and an empty one in its place. */
static enum sc_status cut(struct sc_decode_sink *sink, enum sc_record_kind kind)
{
    struct libsc_decoder *d = sink->arg;
    struct records *r = kind == SC_RECORDS_FLOWS ? &d->flows : &d->options;
    if (!sc_array_more(r->more, r->more_count, 1))
        return SC_NOMEM;
    struct sc_batch *empty = sc_batch_create(kind);
    if (empty == NULL)
        return SC_NOMEM;
    memmove((void *)(r->more + 1), (const void *)r->more, r->more_count++ * sizeof(struct sc_batch *));
    r->more[0] = r->batch;
    r->batch = empty;
    *(kind == SC_RECORDS_FLOWS ? &sink->flows : &sink->options) = empty;
    return SC_OK;
}

/* The batches of the message change places so that the first one's rows are given first; the others follow. */
static void turn_to_first(struct records *r)
{
    if (r->more_count == 0)
        return;
    struct sc_batch *first = r->more[r->more_count - 1];
    memmove((void *)(r->more + 1), (const void *)r->more, (r->more_count - 1) * sizeof(struct sc_batch *));
    r->more[0] = r->batch;
    r->batch = first;
}

static struct sc_decode_sink sink_of(struct libsc_decoder *d)
{
    return (struct sc_decode_sink){.flows = d->flows.batch,
                                   .options = d->options.batch,
                                   .most_bytes = {SC_BOUND_BATCH_BYTES, SC_BOUND_BATCH_BYTES},
                                   .grant = refuse,
                                   .cut = cut,
                                   .arg = d};
}

enum libsc_status libsc_decoder_message(struct libsc_decoder *d, const struct libsc_source *source,
                                        const void *bytes, size_t length, struct libsc_outcome *outcome,
                                        struct libsc_error *err)
{
    struct sc_error why = {0};
    struct sc_decode_outcome inner = {0};
    struct sc_decode_sink sink = sink_of(d);
    forget(&d->flows);
    forget(&d->options);
    give_outcome(&inner, outcome);
    if (source->transport > LIBSC_FILE)
        return sc_api_usage(err, "libsc_decoder_message: the source has an unknown transport");
    struct sc_message_source from = inner_source(source);
    enum sc_status status = sc_decoder_message(d->decoder, &from, bytes, length, &sink, &inner, &why);
    give_outcome(&inner, outcome);
    turn_to_first(&d->flows);
    turn_to_first(&d->options);
    enum sc_status made = ready(&d->flows, &why);
    if (made == SC_OK)
        made = ready(&d->options, &why);
    if (made != SC_OK) {
        forget(&d->flows);
        forget(&d->options);
        status = made;
    }
    return sc_api_status(status, &why, err);
}

static enum libsc_status next_record(struct records *r, const struct libsc_value **row)
{
    *row = NULL;
    while (r->next >= r->rows && r->more_count != 0) {
        sc_batch_free(r->batch);
        r->batch = r->more[--r->more_count];
        r->next = r->rows = 0;
        if (ready(r, NULL) != SC_OK)
            return LIBSC_NO_MEMORY;
    }
    if (r->next >= r->rows)
        return LIBSC_END;
    *row = sc_api_columns_row(&r->columns, r->next++);
    return LIBSC_OK;
}

enum libsc_status libsc_decoder_next(struct libsc_decoder *d, const struct libsc_value **row)
{
    return next_record(&d->flows, row);
}

enum libsc_status libsc_decoder_next_option(struct libsc_decoder *d, const struct libsc_value **row)
{
    return next_record(&d->options, row);
}

void libsc_decoder_end_session(struct libsc_decoder *d, const struct libsc_source *source)
{
    struct sc_message_source from = inner_source(source);
    if (source->transport <= LIBSC_FILE)
        sc_decoder_end_session(d->decoder, &from);
}

void libsc_decoder_expire(struct libsc_decoder *d, uint64_t now_ms)
{
    sc_decoder_expire(d->decoder, now_ms);
}

/* ---- what it is ---- */

size_t libsc_decoder_columns(const struct libsc_decoder *d)
{
    return d->flows.columns.count;
}

int libsc_decoder_column(const struct libsc_decoder *d, size_t i, struct libsc_column *out)
{
    return sc_api_columns_describe(&d->flows.columns, i, out);
}

size_t libsc_decoder_option_columns(const struct libsc_decoder *d)
{
    return d->options.columns.count;
}

int libsc_decoder_option_column(const struct libsc_decoder *d, size_t i, struct libsc_column *out)
{
    return sc_api_columns_describe(&d->options.columns, i, out);
}

struct visit {
    int (*visit)(void *arg, const struct libsc_exporter *exporter);
    void *arg;
};

static bool give_exporter(void *arg, const struct sc_exporter_stats *s)
{
    const struct visit *visit = arg;
    struct libsc_exporter exporter = {.port = s->port,
                                      .version = s->version,
                                      .transport = s->transport,
                                      .domain = s->domain,
                                      .last_seen_ms = s->last_seen_ms,
                                      .messages = s->messages,
                                      .bytes = s->bytes,
                                      .flows = s->flows,
                                      .options = s->options,
                                      .templates = s->templates,
                                      .lost = s->lost,
                                      .reordered = s->reordered,
                                      .restarts = s->restarts,
                                      .no_template_sets = s->no_template_sets,
                                      .recovered_sets = s->recovered_sets,
                                      .malformed = s->malformed,
                                      .sampling_interval = s->sampling_rate};
    memcpy(exporter.address, s->exporter.b, sizeof(exporter.address));
    return visit->visit(visit->arg, &exporter) != 0;
}

void libsc_decoder_exporters(const struct libsc_decoder *d,
                             int (*visit)(void *arg, const struct libsc_exporter *exporter), void *arg)
{
    struct visit each = {.visit = visit, .arg = arg};
    sc_decoder_each_exporter(d->decoder, give_exporter, &each);
}
