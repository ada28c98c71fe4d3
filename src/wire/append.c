// SPDX-License-Identifier: BSD-3-Clause
/* The records of a message on their way into the batches of a sink: which batch, whether there is room, what was sent on. */
#include "wire/job.h"

#include "wire/options.h"

static struct sc_batch *batch_of(const struct sc_job *job, const struct sc_template *t)
{
    return t->options ? job->sink->options : job->sink->flows;
}

static uint32_t rows_of(const struct sc_batch *batch)
{
    return batch == NULL ? 0 : batch->rows;
}

void sc_job_decodes(struct sc_job *job, const struct sc_message *message)
{
    job->decoded = message;
    job->first[SC_RECORDS_FLOWS] = rows_of(job->sink->flows);
    job->first[SC_RECORDS_OPTIONS] = rows_of(job->sink->options);
}

void sc_job_begin(struct sc_job *job)
{
    sc_job_decodes(job, &job->message);
    memcpy(job->start, job->first, sizeof(job->start));
}

enum sc_status sc_job_settle(struct sc_job *job)
{
    SC_TRY(sc_run_settle_times(job->decoder, job->domain, job->decoded, job->sink->flows,
                               job->first[SC_RECORDS_FLOWS]));
    return sc_run_settle_times(job->decoder, job->domain, job->decoded, job->sink->options,
                               job->first[SC_RECORDS_OPTIONS]);
}

/* What was decoded of the message so far goes its way. */
static enum sc_status cut(struct sc_job *job, enum sc_record_kind kind)
{
    struct sc_batch *batch = kind == SC_RECORDS_FLOWS ? job->sink->flows : job->sink->options;
    SC_TRY(sc_run_settle_times(job->decoder, job->domain, job->decoded, batch, job->first[kind]));
    SC_TRY(job->sink->cut(job->sink, kind));
    job->first[kind] = job->start[kind] = 0;
    if (kind == SC_RECORDS_FLOWS)
        job->sent.flows = job->outcome->flows;
    else
        job->sent.options = job->outcome->options;
    return SC_OK;
}

/* Memory is asked for before it is taken. */
static enum sc_status make_room(struct sc_job *job, const struct sc_run *run)
{
    struct sc_decode_sink *sink = job->sink;
    enum sc_record_kind kind = run->template_record->options ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS;
    size_t bytes = 0;
    enum sc_fit fit =
        sc_run_fits(run, batch_of(job, run->template_record), run->count, sink->most_bytes[kind], &bytes);
    if (fit == SC_FITS || (fit == SC_FIT_HEAVY && sink->grant(sink, kind, bytes)))
        return SC_OK;
    if (rows_of(batch_of(job, run->template_record)) != 0)
        SC_TRY(cut(job, kind));
    if (sc_run_fits(run, batch_of(job, run->template_record), run->count, sink->most_bytes[kind], &bytes) !=
        SC_FITS)
        sink->grant(sink, kind, bytes);
    return SC_OK;
}

/* Units lost before the message stand on the first flow record after them. */
static enum sc_status put_gap(struct sc_job *job, const struct sc_run *run)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_SEQUENCE_GAP, .kind = SC_COLUMN_UINT};
    struct sc_column *c = sc_batch_begin(run->batch, key, &job->decoder->own.gap, 4, run->count);
    if (c == NULL)
        return SC_NOMEM;
    sc_column_put_u64(c, job->account->pending_gap);
    job->account->pending_gap = 0;
    return SC_OK;
}

static enum sc_status append_part(struct sc_job *job, struct sc_run *part)
{
    bool options = part->template_record->options;
    if (job->sink->cut != NULL)
        SC_TRY(make_room(job, part));
    part->batch = batch_of(job, part->template_record);
    if (sc_run_append(part) != SC_OK)
        return SC_NOMEM; /* also when a column of bytes passes 4 GiB: the batch cannot take these rows */
    if (!options && job->account->pending_gap != 0)
        SC_TRY(put_gap(job, part));
    *(options ? &job->outcome->options : &job->outcome->flows) += part->count;
    sc_batch_commit(part->batch, part->count);
    return SC_OK;
}

/* The records behind a part. */
static void step_over(struct sc_run *part)
{
    const struct sc_template *t = part->template_record;
    if (part->positions == NULL) {
        part->base += (size_t)part->count * t->record_length;
    } else {
        part->positions += (size_t)part->count * t->anchor_count;
        part->lengths += (size_t)part->count * t->anchor_count;
    }
}

static enum sc_status append_parts(struct sc_job *job, const struct sc_run *run)
{
    struct sc_run part = *run;
    uint32_t most = job->sink->cut == NULL ? run->count : sc_run_part(run);
    for (uint32_t left = run->count; left != 0; left -= part.count) {
        part.count = left < most ? left : most;
        SC_TRY(append_part(job, &part));
        step_over(&part);
    }
    return SC_OK;
}

enum sc_status sc_job_append(struct sc_job *job, struct sc_run *run)
{
    bool options = run->template_record->options;
    if (options)
        SC_TRY(sc_options_apply(run));
    if (options && job->sink->options == NULL) {
        job->outcome->options += run->count;
        return SC_OK;
    }
    SC_TRY(append_parts(job, run));
    if (!options && run->count != 0)
        job->account->stats.sampling_rate =
            run->message->version == 5 ? run->message->v5_rate : sc_sampling_in_force(run, 0);
    return SC_OK;
}

/* ---- which batch ---- */

/* Columns that the batch of flows would have with the records of the message, at most. */
static uint32_t columns_with(const struct sc_job *job, bool exactly)
{
    const struct sc_plan *plan = &job->decoder->plan;
    const struct sc_batch *flows = job->sink->flows;
    uint32_t columns = flows->used;
    for (uint32_t i = 0; i < plan->set_count; i++) {
        struct sc_template *t = plan->sets[i].template_record;
        if (t != NULL)
            columns += exactly ? sc_need_exact(flows, t).columns : sc_need_known(flows, t).columns;
    }
    return columns;
}

static bool has_unregistered(const struct sc_plan *plan)
{
    for (uint32_t i = 0; i < plan->set_count; i++) {
        if (plan->sets[i].template_record != NULL && plan->sets[i].template_record->unregistered)
            return true;
    }
    return false;
}

void sc_job_choose_batch(struct sc_job *job)
{
    struct sc_decode_sink *sink = job->sink;
    uint32_t half = sink->most_columns / 2;
    if (sink->aside == NULL || columns_with(job, false) <= half)
        return;
    uint32_t most = has_unregistered(&job->decoder->plan) ? half : sink->most_columns;
    if (columns_with(job, true) <= most)
        return;
    sink->aside(sink);
    sc_job_begin(job);
}
