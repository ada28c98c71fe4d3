// SPDX-License-Identifier: BSD-3-Clause
#include "export/generate.h"

#include "export/pacer.h"

#include <stdlib.h>

enum { CHUNK = 480, WAIT_MS = 1000 };

/* sysUpTime of the exporters at the start; flows begin after it. */
#define UPTIME_MS (UINT64_C(10) * 86400 * 1000)

struct job;

struct exporter {
    struct job *job;
    struct sc_encoder *encoder;
    uint32_t index;
    uint32_t rows;      /* of the chunk at hand */
    uint64_t messages;  /* when the open message was looked at last */
    uint64_t opened_ms; /* export time at which it had its first record */
};

struct job {
    struct sc_export_run *run;
    const struct sc_generate_options *options;
    struct sc_export_totals *totals;
    struct sc_error *err;
    struct sc_generator *generator;
    struct sc_batch *batch;
    struct exporter *exporters;
    struct sc_generated records[CHUNK]; /* as generated */
    struct sc_generated sorted[CHUNK];  /* by exporter */
    uint64_t now_ms;
};

static enum sc_status emit(void *arg, const uint8_t *message, size_t length)
{
    struct exporter *x = arg;
    return sc_sender_put(x->job->run->sender, x->index, x->job->now_ms, message, length, x->job->err);
}

static bool open_exporters(struct job *j)
{
    uint32_t n = j->options->generator.exporters;
    j->exporters = calloc(n, sizeof(*j->exporters));
    for (uint32_t i = 0; j->exporters != NULL && i < n; i++) {
        struct exporter *x = &j->exporters[i];
        struct sc_encoder_options encoder = j->options->encoder;
        encoder.domain = i + 1;
        encoder.system_init_ms = j->options->generator.start_ms - UPTIME_MS;
        x->job = j;
        x->index = i;
        x->encoder = sc_encoder_create(&encoder, emit, x, j->err);
        if (x->encoder == NULL)
            return false;
    }
    return j->exporters != NULL;
}

static struct job *open_job(struct sc_export_run *run, const struct sc_generate_options *options,
                            struct sc_export_totals *totals, struct sc_error *err)
{
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return NULL;
    j->run = run;
    j->options = options;
    j->totals = totals;
    j->err = err;
    j->batch = sc_batch_create(SC_RECORDS_FLOWS);
    j->generator = sc_generator_create(&options->generator);
    return j;
}

static void close_job(struct job *j)
{
    if (j == NULL)
        return;
    for (uint32_t i = 0; j->exporters != NULL && i < j->options->generator.exporters; i++)
        sc_encoder_free(j->exporters[i].encoder);
    free(j->exporters);
    sc_generator_free(j->generator);
    sc_batch_free(j->batch);
    free(j);
}

static enum sc_status count_truth(struct job *j, uint32_t n)
{
    for (uint32_t i = 0; j->run->truth != NULL && i < n; i++) {
        const struct sc_generated *r = &j->records[i];
        struct sc_truth_flow flow = {.source = &r->source,
                                     .destination = &r->destination,
                                     .flows = 1,
                                     .packets = r->packets,
                                     .bytes = r->bytes,
                                     .first_ms = r->first_ms,
                                     .last_ms = r->last_ms,
                                     .source_port = r->source_port,
                                     .destination_port = r->destination_port,
                                     .protocol = r->protocol};
        SC_TRY(sc_truth_add(j->run->truth, &flow));
    }
    return SC_OK;
}

/* Sends the message that has been open for too long. */
static enum sc_status flush_old(struct job *j, struct exporter *x)
{
    struct sc_encoder_stats stats;
    sc_encoder_get_stats(x->encoder, &stats);
    if (sc_encoder_pending(x->encoder) == 0) {
        x->opened_ms = 0;
    } else if (x->opened_ms == 0 || stats.messages != x->messages) {
        x->opened_ms = j->now_ms;
    } else if (j->now_ms >= x->opened_ms + WAIT_MS) {
        SC_TRY(sc_encoder_flush(x->encoder, j->now_ms, j->err));
        x->opened_ms = 0;
    }
    x->messages = stats.messages;
    return SC_OK;
}

static enum sc_status encode(struct job *j, struct exporter *x, const struct sc_generated *records)
{
    if (x->rows != 0) {
        sc_batch_reset(j->batch);
        if (sc_generated_append(records, x->rows, j->batch) != SC_OK || sc_batch_finish(j->batch) != SC_OK)
            return sc_fail_nomem(j->err, "generated flows");
        SC_TRY(sc_encoder_flows(x->encoder, (const struct sc_column *const *)j->batch->columns,
                                j->batch->slots, 0, j->batch->rows, j->now_ms, j->err));
    }
    return flush_old(j, x);
}

/* Puts the records of each exporter together, in order, and encodes them. */
static enum sc_status encode_chunk(struct job *j, uint32_t n)
{
    uint32_t count = j->options->generator.exporters;
    if (count == 1) {
        j->exporters[0].rows = n;
        return encode(j, &j->exporters[0], j->records);
    }
    uint32_t start[SC_SENDER_EXPORTERS_MAX + 1] = {0};
    for (uint32_t i = 0; i < n; i++)
        start[j->records[i].exporter + 1]++;
    for (uint32_t e = 0; e < count; e++) {
        j->exporters[e].rows = start[e + 1];
        start[e + 1] += start[e];
    }
    uint32_t at[SC_SENDER_EXPORTERS_MAX];
    memcpy(at, start, count * sizeof(at[0]));
    for (uint32_t i = 0; i < n; i++)
        j->sorted[at[j->records[i].exporter]++] = j->records[i];
    for (uint32_t e = 0; e < count; e++)
        SC_TRY(encode(j, &j->exporters[e], j->sorted + start[e]));
    return SC_OK;
}

static void add_up(struct job *j)
{
    struct sc_sender_stats sent;
    sc_sender_get_stats(j->run->sender, &sent);
    j->totals->messages = sent.messages;
    j->totals->skipped = 0;
    j->totals->values_dropped = 0;
    for (uint32_t e = 0; e < j->options->generator.exporters; e++) {
        struct sc_encoder_stats stats;
        sc_encoder_get_stats(j->exporters[e].encoder, &stats);
        j->totals->skipped += stats.skipped;
        j->totals->values_dropped += stats.values_dropped;
    }
}

static enum sc_status generate(struct job *j)
{
    struct sc_pacer pacer;
    sc_pacer_start(&pacer, j->run->rate);
    uint32_t chunk = sc_pacer_chunk(j->options->rate, CHUNK);
    uint64_t total = j->options->flows;
    while ((total == 0 || j->totals->flows < total) && *j->run->stop == 0) {
        uint64_t left = total == 0 ? chunk : total - j->totals->flows;
        uint32_t n = left < chunk ? (uint32_t)left : chunk;
        for (uint32_t i = 0; i < n; i++)
            sc_generator_next(j->generator, &j->records[i]);
        j->now_ms = sc_generator_clock_ms(j->generator);
        if (count_truth(j, n) != SC_OK)
            return sc_fail_nomem(j->err, "the truth");
        SC_TRY(encode_chunk(j, n));
        j->totals->flows += n;
        if (j->run->rate != 0)
            SC_TRY(sc_sender_flush(j->run->sender, j->err));
        add_up(j);
        sc_export_report(j->run, j->totals);
        sc_pacer_spend(&pacer, n);
    }
    for (uint32_t e = 0; e < j->options->generator.exporters; e++)
        SC_TRY(sc_encoder_flush(j->exporters[e].encoder, j->now_ms, j->err));
    SC_TRY(sc_sender_flush(j->run->sender, j->err));
    add_up(j);
    return total == 0 || j->totals->flows < total ? SC_CANCELLED : SC_OK;
}

enum sc_status sc_export_generate(struct sc_export_run *run, const struct sc_generate_options *options,
                                  struct sc_export_totals *totals, struct sc_error *err)
{
    *totals = (struct sc_export_totals){0};
    struct job *j = open_job(run, options, totals, err);
    enum sc_status status;
    if (j == NULL || j->batch == NULL || j->generator == NULL)
        status = sc_fail_nomem(err, "the generator");
    else if (!open_exporters(j))
        status = j->exporters == NULL ? sc_fail_nomem(err, "the exporters") : SC_NOMEM;
    else
        status = generate(j);
    close_job(j);
    return status;
}
