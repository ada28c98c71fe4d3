// SPDX-License-Identifier: BSD-3-Clause
#include "wire/decoder.h"

#include "base/bounds.h"
#include "base/hash.h"
#include "wire/exporter.h"
#include "wire/job.h"
#include "wire/record.h"
#include "wire/session.h"
#include "wire/template.h"

#include <stdlib.h>

#define DEFAULT_POOL ((size_t)2 << 30)

struct sc_decoder_limits sc_decoder_default_limits(void)
{
    return (struct sc_decoder_limits){
        .template_lifetime_s = 1800,
        .max_fields = SC_BOUND_FIELDS,
        .max_buffered_sets = 64,
        .max_buffered_bytes = 256 * 1024,
        .max_unknown_columns = 256,
        .template_scope = SC_TEMPLATE_SCOPE_SESSION,
        .share_bytes = UINT64_C(64) << 20,
    };
}

/* ---- life ---- */

struct sc_decoder *sc_decoder_create(const struct sc_decoder_limits *limits, struct sc_error *err)
{
    struct sc_decoder *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        sc_fail_nomem(err, "the decoder");
        return NULL;
    }
    d->limits = *limits;
    memset(&d->own, 0xff, sizeof(d->own)); /* SC_NO_SLOT */
    d->own_budget.limit = DEFAULT_POOL;
    d->budget = limits->budget != NULL ? limits->budget : &d->own_budget;
    d->seed = sc_hash_draw_seed();
    d->v5 = sc_template_v5();
    if (d->v5 == NULL) {
        sc_decoder_free(d);
        sc_fail_nomem(err, "the decoder");
        return NULL;
    }
    return d;
}

void sc_decoder_free(struct sc_decoder *decoder)
{
    if (decoder == NULL)
        return;
    sc_exporters_free_all(decoder);
    sc_roster_free(&decoder->sessions);
    free(decoder->v5);
    free(decoder->positions);
    free(decoder->lengths);
    sc_plan_free(&decoder->plan);
    sc_buf_free(&decoder->removed);
    sc_buf_free(&decoder->writer.bytes);
    free(decoder);
}

/* ---- headers ---- */

#define V5_HEADER    24u
#define V5_RECORD    48u
#define V9_HEADER    20u
#define IPFIX_HEADER 16u

static enum sc_status bad_message(struct sc_job *job, const char *what)
{
    char text[SC_ADDR_TEXT_MAX];
    sc_addr_format(&job->message.exporter, text);
    return sc_fail(job->err, SC_MALFORMED, "message of exporter %s port %u: %s", text, job->message.port,
                   what);
}

/* The moment at which sysUptime was 0; where the header puts it before 1970, a round of 2^32 ms later. */
static void set_init(struct sc_message *m)
{
    m->init_known = true;
    m->init_ms = m->export_ms - m->uptime_ms;
    if (m->export_ms < m->uptime_ms)
        m->init_ms += UINT64_C(1) << 32;
}

static void read_v5_header(struct sc_message *m, const uint8_t *p)
{
    m->uptime_ms = sc_load_be32(p + 4);
    m->export_ms = (uint64_t)sc_load_be32(p + 8) * 1000 + sc_load_be32(p + 12) / 1000000;
    m->sequence = sc_load_be32(p + 16);
    m->domain_id = (uint32_t)p[20] << 8 | p[21];
    m->v5_rate = sc_load_be16(p + 22) & 0x3fff;
    set_init(m);
}

static void read_v9_header(struct sc_message *m, const uint8_t *p)
{
    m->count = sc_load_be16(p + 2);
    m->uptime_ms = sc_load_be32(p + 4);
    m->export_ms = (uint64_t)sc_load_be32(p + 8) * 1000;
    m->sequence = sc_load_be32(p + 12);
    m->domain_id = sc_load_be32(p + 16);
    set_init(m);
}

static void read_ipfix_header(struct sc_message *m, const uint8_t *p)
{
    m->export_ms = (uint64_t)sc_load_be32(p + 4) * 1000;
    m->sequence = sc_load_be32(p + 8);
    m->domain_id = sc_load_be32(p + 12);
}

static enum sc_status read_header(struct sc_message *m, const struct sc_message_source *source,
                                  const uint8_t *bytes, size_t length, struct sc_error *err)
{
    uint16_t version = length < 2 ? 0 : sc_load_be16(bytes);
    if (version != 5 && version != 9 && version != 10)
        return sc_fail(
            err, SC_UNSUPPORTED,
            "a message of %zu bytes has the version word %u; NetFlow v5, v9 and IPFIX (10) are read", length,
            version);
    *m = (struct sc_message){.version = (uint8_t)version, .port = source->port, .exporter = source->exporter};
    size_t header = version == 5 ? V5_HEADER : version == 9 ? V9_HEADER : IPFIX_HEADER;
    if (length < header)
        return sc_fail(err, SC_MALFORMED, "a message of %zu bytes is shorter than the header of version %u",
                       length, version);
    if (version == 5)
        read_v5_header(m, bytes);
    else if (version == 9)
        read_v9_header(m, bytes);
    else
        read_ipfix_header(m, bytes);
    m->receive_ms = source->receive_ms != 0 ? source->receive_ms : m->export_ms;
    return SC_OK;
}

/* ---- v5 ---- */

/* Records lie 48 bytes apart, whatever the header counts: those that it counts and that are there are taken. */
static enum sc_status decode_v5(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    uint32_t told = sc_load_be16(bytes + 2), there = (uint32_t)((length - V5_HEADER) / V5_RECORD);
    bool fits = length == V5_HEADER + (size_t)told * V5_RECORD;
    struct sc_run run = {.decoder = job->decoder,
                         .domain = job->domain,
                         .message = &job->message,
                         .template_record = job->decoder->v5,
                         .base = bytes + V5_HEADER,
                         .count = told < there ? told : there};
    sc_job_judge(job);
    sc_job_arrive(job);
    SC_TRY(sc_job_append(job, &run));
    sc_sequence_advance(job->account, &job->message, &job->arrival, fits, run.count);
    if (fits)
        return SC_OK;
    job->outcome->malformed = 1;
    return bad_message(job, "its length is not 24 bytes and 48 for each flow that the header counts");
}

/* ---- ipfix ---- */

/* A header that tells more bytes than there are frames nothing; what follows the bytes that it tells is left out. */
static enum sc_status decode_ipfix(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    size_t told = sc_load_be16(bytes + 2);
    bool frames = told >= IPFIX_HEADER && told <= length;
    if (frames)
        SC_TRY(sc_message_sets(job, bytes + IPFIX_HEADER, told - IPFIX_HEADER));
    if (frames && sc_all_zero(bytes + told, length - told))
        return SC_OK;
    job->account->sequence.last.known = false;
    job->outcome->malformed++;
    return bad_message(job, "the length in its header is not the message's");
}

/* ---- any message ---- */

/* The session and the domain of a source: those that hold templates, or the accounts. */
static enum sc_status find_part(struct sc_job *job, const struct sc_message_source *source,
                                struct sc_session **busy, struct sc_session **session,
                                struct sc_domain **domain)
{
    SC_TRY(sc_session_get(job->decoder, source, session));
    *busy = *session;
    sc_exporter_use(*session, job->message.receive_ms);
    return sc_session_domain(*session, job->message.version, job->message.domain_id, domain);
}

static enum sc_status find_state(struct sc_job *job, const struct sc_message_source *source)
{
    struct sc_decoder *d = job->decoder;
    bool shared = d->limits.template_scope == SC_TEMPLATE_SCOPE_ADDRESS &&
                  source->transport == SC_TRANSPORT_UDP && job->message.version != 5;
    struct sc_message_source holder = *source;
    holder.port = shared ? 0 : source->port;
    enum sc_status status = find_part(job, &holder, &d->busy[shared], &job->session, &job->domain);
    job->own = job->session;
    job->account = job->domain;
    if (status == SC_OK && shared)
        status = find_part(job, source, &d->busy[0], &job->own, &job->account);
    if (status == SC_LIMIT) {
        char text[SC_ADDR_TEXT_MAX];
        sc_addr_format(&source->exporter, text);
        return sc_fail(job->err, status,
                       "exporter %s port %u, domain %u: no room for its state (see \"exporter-memory\")",
                       text, source->port, job->message.domain_id);
    }
    return status == SC_OK ? SC_OK : sc_fail_nomem(job->err, "the state of an exporter");
}

/* That the exporter was heard here, where others may have heard it last or nobody yet, is worth a record. */
static void hear(struct sc_job *job)
{
    const struct sc_decode_outcome *o = job->outcome;
    bool decoded = o->flows + o->options + o->templates != 0;
    if (job->domain->borrowed)
        sc_session_changed(job->session);
    if (job->account->unheard && decoded)
        sc_session_changed(job->own);
    job->domain->borrowed = false;
    job->account->unheard &= !decoded;
    job->domain->heard_ms = job->message.receive_ms;
}

/* State that was never of use is not kept; what is, is charged. */
static void leave_state(struct sc_job *job)
{
    struct sc_decoder *d = job->decoder;
    const struct sc_decode_outcome *o = job->outcome;
    if (o->flows + o->options != 0 || (o->templates != 0 && job->domain->templates.count != 0))
        job->domain->useful = job->account->useful = true;
    if (o->flows != 0)
        sc_exporter_decoded(job->session->owner, job->message.receive_ms);
    d->busy[0] = d->busy[1] = NULL;
    if (job->session != NULL)
        sc_session_note(job->session);
    if (job->own != NULL)
        sc_session_note(job->own);
    if (job->own != job->session)
        sc_session_tidy(job->own, job->account);
    if (job->session != NULL)
        sc_session_tidy(job->session, job->domain);
}

static void count_message(struct sc_job *job, size_t length)
{
    struct sc_exporter_stats *stats = &job->account->stats;
    const struct sc_decode_outcome *o = job->outcome;
    stats->last_seen_ms = job->message.receive_ms;
    stats->messages++;
    stats->bytes += length;
    stats->flows += o->flows;
    stats->options += o->options;
    stats->no_template_sets += o->no_template_sets;
    stats->recovered_sets += o->recovered_sets;
    stats->malformed += o->malformed;
}

static void roll_back(struct sc_batch *batch, uint32_t rows)
{
    if (batch == NULL)
        return;
    batch->rows = rows;
    sc_batch_rollback(batch);
}

static bool is_fatal(enum sc_status status)
{
    return status != SC_OK && status != SC_MALFORMED && status != SC_LIMIT;
}

static enum sc_status decode(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    switch (job->message.version) {
    case 5:
        return decode_v5(job, bytes, length);
    case 9:
        return sc_message_sets(job, bytes + V9_HEADER, length - V9_HEADER);
    default:
        return decode_ipfix(job, bytes, length);
    }
}

enum sc_status sc_decoder_message(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  const uint8_t *bytes, size_t length, struct sc_decode_sink *sink,
                                  struct sc_decode_outcome *outcome, struct sc_error *err)
{
    *outcome = (struct sc_decode_outcome){0};
    struct sc_job job = {.decoder = decoder, .sink = sink, .outcome = outcome, .err = err};
    enum sc_status status = read_header(&job.message, source, bytes, length, err);
    if (status != SC_OK) {
        outcome->malformed = 1;
        return status;
    }
    uint64_t left_out = decoder->overrun.left_out;
    status = find_state(&job, source);
    if (status != SC_OK) {
        leave_state(&job);
        outcome->over_budget = status == SC_LIMIT;
        return status;
    }
    sc_job_begin(&job);
    status = decode(&job, bytes, length);
    if (is_fatal(status)) {
        roll_back(sink->flows, job.start[SC_RECORDS_FLOWS]);
        roll_back(sink->options, job.start[SC_RECORDS_OPTIONS]);
        *outcome = job.sent;
        leave_state(&job);
        return status == SC_NOMEM ? sc_fail_nomem(err, "the records of a message") : status;
    }
    count_message(&job, length);
    hear(&job);
    outcome->over_budget = (uint32_t)(decoder->overrun.left_out - left_out);
    leave_state(&job);
    return status;
}

void sc_decoder_end_session(struct sc_decoder *decoder, const struct sc_message_source *source)
{
    struct sc_session *session = sc_session_find(decoder, source);
    if (session == NULL)
        return;
    sc_session_forget(session);
    sc_exporter_end(session);
    sc_exporter_settle(session);
}
