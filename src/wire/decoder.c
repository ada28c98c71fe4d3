// SPDX-License-Identifier: BSD-3-Clause
#include "wire/decoder_internal.h"

#include <stdlib.h>
#include <sys/random.h>

/* Data sets that wait longer than this for their template would meet another one of the same number. */
#define WAIT_MS 300000u

struct sc_decoder_limits sc_decoder_default_limits(void)
{
    return (struct sc_decoder_limits){
        .template_lifetime_s = 1800,
        .max_sessions = 4096,
        .max_templates = 1024,
        .max_domains = 256,
        .max_fields = 1024,
        .max_buffered_sets = 64,
        .max_buffered_bytes = 256 * 1024,
        .max_session_bytes = 8 * 1024 * 1024,
        .max_unknown_columns = 256,
        .template_scope = SC_TEMPLATE_SCOPE_SESSION,
    };
}

/* ---- life ---- */

static uint32_t bucket_count(uint32_t sessions)
{
    uint32_t n = 64;
    while (n < sessions && n < 1u << 20)
        n *= 2;
    return n;
}

struct sc_decoder *sc_decoder_create(const struct sc_decoder_limits *limits, struct sc_error *err)
{
    struct sc_decoder *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        sc_fail_nomem(err, "the decoder");
        return NULL;
    }
    d->limits = *limits;
    if (d->limits.max_sessions < 2)
        d->limits.max_sessions = 2;        /* one message may need two: template_scope address */
    memset(&d->own, 0xff, sizeof(d->own)); /* SC_NO_SLOT */
    uint32_t buckets = bucket_count(d->limits.max_sessions);
    d->bucket_mask = buckets - 1;
    d->buckets = calloc(buckets, sizeof(struct sc_session *));
    d->v5 = sc_template_v5(&d->limits);
    if (getrandom(&d->seed, sizeof(d->seed), GRND_NONBLOCK) != (ssize_t)sizeof(d->seed))
        d->seed = (uintptr_t)d; /* the seed only makes collisions hard to plan */
    if (d->buckets == NULL || d->v5 == NULL) {
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
    while (decoder->oldest != NULL)
        sc_session_remove(decoder, decoder->oldest);
    free(decoder->buckets);
    free(decoder->v5);
    free(decoder->positions);
    free(decoder->lengths);
    sc_plan_free(&decoder->plan);
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

static enum sc_status decode_v5(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    uint32_t count = sc_load_be16(bytes + 2);
    if (length != V5_HEADER + (size_t)count * V5_RECORD) {
        job->account->sequence.known = false;
        job->outcome->malformed = 1;
        return bad_message(job, "its length is not 24 bytes and 48 for each flow that the header counts");
    }
    bool late;
    job->outcome->lost = sc_sequence_arrive(job->account, &job->message, &late);
    job->account->pending_gap += job->outcome->lost;
    struct sc_run run = {.decoder = job->decoder,
                         .domain = job->domain,
                         .message = &job->message,
                         .template_record = job->decoder->v5,
                         .base = bytes + V5_HEADER,
                         .count = count};
    SC_TRY(sc_job_append(job, &run));
    sc_sequence_advance(job->account, &job->message, late, true, count);
    return SC_OK;
}

/* ---- ipfix ---- */

static bool zeros(const uint8_t *p, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

static enum sc_status decode_ipfix(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    size_t told = sc_load_be16(bytes + 2);
    if (told < IPFIX_HEADER || told > length || !zeros(bytes + told, length - told)) {
        job->account->sequence.known = false;
        job->outcome->malformed = 1;
        return bad_message(job, "the length in its header is not the message's");
    }
    return sc_message_sets(job, bytes + IPFIX_HEADER, told - IPFIX_HEADER);
}

/* ---- any message ---- */

static enum sc_status find_state(struct sc_job *job, const struct sc_message_source *source)
{
    struct sc_decoder *d = job->decoder;
    const struct sc_message *m = &job->message;
    bool shared = d->limits.template_scope == SC_TEMPLATE_SCOPE_ADDRESS &&
                  source->transport == SC_TRANSPORT_UDP && m->version != 5;
    job->session = sc_session_get(d, source, shared);
    if (job->session == NULL)
        return sc_fail_nomem(job->err, "a session");
    enum sc_status status =
        sc_session_domain(job->session, &d->limits, m->version, m->domain_id, &job->domain);
    job->account = job->domain;
    if (status == SC_OK && shared) {
        struct sc_session *own = sc_session_get(d, source, false);
        status = own == NULL ? SC_NOMEM
                             : sc_session_domain(own, &d->limits, m->version, m->domain_id, &job->account);
    }
    if (status == SC_LIMIT)
        return sc_fail(job->err, status, "domain %u is one too many of its session; its messages are dropped",
                       m->domain_id);
    return status == SC_OK ? SC_OK : sc_fail_nomem(job->err, "an observation domain");
}

static void count_message(struct sc_job *job, size_t length)
{
    struct sc_exporter_stats *stats = &job->account->stats;
    const struct sc_decode_outcome *o = job->outcome;
    job->domain->heard_ms = job->message.receive_ms;
    job->decoder->revision += job->domain->borrowed; /* from now on one's own knowledge */
    job->domain->borrowed = false;
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
    if (status == SC_OK)
        status = find_state(&job, source);
    if (status != SC_OK) {
        outcome->malformed = status == SC_MALFORMED || status == SC_UNSUPPORTED || status == SC_LIMIT;
        return status;
    }
    sc_job_begin(&job, &job.message);
    status = decode(&job, bytes, length);
    if (is_fatal(status)) {
        roll_back(sink->flows, job.start[SC_RECORDS_FLOWS]);
        roll_back(sink->options, job.start[SC_RECORDS_OPTIONS]);
        *outcome = job.sent;
        return status == SC_NOMEM ? sc_fail_nomem(err, "the records of a message") : status;
    }
    count_message(&job, length);
    return status;
}

void sc_decoder_end_session(struct sc_decoder *decoder, const struct sc_message_source *source)
{
    struct sc_session *session = sc_session_find(decoder, source, false);
    if (session != NULL)
        sc_session_forget(session);
}

uint64_t sc_decoder_revision(const struct sc_decoder *decoder)
{
    return decoder->revision;
}

/* ---- care ---- */

static uint64_t lifetime_ms(const struct sc_decoder *decoder, const struct sc_template *t)
{
    uint64_t told = (uint64_t)decoder->limits.template_lifetime_s * 1000;
    return 3 * t->refresh_ms > told ? 3 * t->refresh_ms : told;
}

static void expire_templates(struct sc_decoder *decoder, struct sc_session *session, struct sc_domain *domain,
                             uint64_t now_ms)
{
    for (uint32_t i = domain->template_count; i > 0; i--) {
        const struct sc_template *t = domain->templates[i - 1];
        if (now_ms > t->seen_ms && now_ms - t->seen_ms > lifetime_ms(decoder, t))
            free(sc_domain_take_template(session, domain, t->id));
    }
}

void sc_decoder_expire(struct sc_decoder *decoder, uint64_t now_ms)
{
    for (struct sc_session *s = decoder->newest; s != NULL; s = s->older) {
        sc_session_drop_waiting(s, now_ms > WAIT_MS ? now_ms - WAIT_MS : 0);
        for (uint32_t i = 0; i < s->domain_count && s->transport == SC_TRANSPORT_UDP; i++)
            expire_templates(decoder, s, s->domains[i], now_ms);
    }
}

void sc_decoder_each_exporter(const struct sc_decoder *decoder,
                              bool (*visit)(void *arg, const struct sc_exporter_stats *stats), void *arg)
{
    for (const struct sc_session *s = decoder->newest; s != NULL; s = s->older) {
        for (uint32_t i = 0; i < s->domain_count; i++) {
            struct sc_exporter_stats stats = s->domains[i]->stats;
            stats.templates = s->domains[i]->template_count;
            if (stats.messages != 0 && !visit(arg, &stats))
                return;
        }
    }
}
