// SPDX-License-Identifier: BSD-3-Clause
#include "export/replay.h"

#include "base/clock.h"
#include "export/pacer.h"
#include "net/capture.h"
#include "wire/decoder.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- senders ---- */

struct senders {
    uint32_t count;
    struct {
        struct sc_addr address;
        uint16_t port;
    } of[SC_SENDER_EXPORTERS_MAX];
};

/* The index of a message's sender; new ones are added while there is room. */
static uint32_t sender_index(struct senders *s, const struct sc_capture_message *m)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->of[i].port == m->port && sc_addr_equal(&s->of[i].address, &m->from))
            return i;
    if (s->count == SC_SENDER_EXPORTERS_MAX)
        return s->count - 1;
    s->of[s->count].address = m->from;
    s->of[s->count].port = m->port;
    return s->count++;
}

/* Version of an export message, 0 when it is none. */
static unsigned version_of(const struct sc_capture_message *m)
{
    unsigned version = m->length < 16 || m->length > UINT16_MAX ? 0 : sc_load_be16(m->bytes);
    return version == 5 || version == 9 || version == 10 ? version : 0;
}

enum sc_status sc_replay_scan(const char *path, struct sc_replay_info *info, struct sc_error *err)
{
    struct senders *senders = calloc(1, sizeof(*senders));
    struct sc_capture *capture = NULL;
    struct sc_capture_message m;
    *info = (struct sc_replay_info){0};
    if (senders == NULL)
        return sc_fail_nomem(err, "senders");
    enum sc_status status = sc_capture_open(path, &capture, err);
    while (status == SC_OK && (status = sc_capture_next(capture, &m, err)) == SC_OK) {
        unsigned version = version_of(&m);
        if (version == 0)
            continue;
        sender_index(senders, &m);
        info->messages++;
        info->not_ipfix += version != 10;
    }
    info->exporters = senders->count;
    free(senders);
    if (capture != NULL)
        sc_capture_close(capture);
    if (status != SC_END && (status != SC_DAMAGED || info->messages == 0))
        return status;
    return info->messages != 0 ? SC_OK : sc_fail(err, SC_NOTFOUND, "%s holds no export message", path);
}

/* ---- counting ---- */

struct replay {
    struct sc_export_run *run;
    struct sc_export_totals *totals;
    struct sc_error *err;
    struct senders senders;
    struct sc_pacer pacer;
    struct sc_decoder *decoder;
    struct sc_batch *flows;
    struct sc_truth_columns fields;
};

static enum sc_status count_truth(struct replay *r)
{
    const struct sc_column *const *columns = (const struct sc_column *const *)r->flows->columns;
    SC_TRY(sc_batch_finish(r->flows));
    for (uint32_t row = 0; row < r->flows->rows; row++)
        SC_TRY(sc_truth_add_row(r->run->truth, &r->fields, columns, r->flows->slots, row));
    return SC_OK;
}

/* Decodes one message and counts it. What cannot be decoded is sent all the same and counts no flow. */
static enum sc_status count_message(struct replay *r, const struct sc_capture_message *m, uint32_t sender,
                                    bool stream, uint64_t *flows)
{
    struct sc_message_source source = {.exporter = m->from,
                                       .port = m->port,
                                       .transport = stream ? SC_TRANSPORT_FILE : SC_TRANSPORT_UDP,
                                       .connection = stream ? sender + 1 : 0,
                                       .receive_ms = m->time_ms};
    struct sc_decode_sink sink = {.flows = r->flows};
    struct sc_decode_outcome outcome = {0};
    sc_batch_reset(r->flows);
    if (sc_decoder_message(r->decoder, &source, m->bytes, m->length, &sink, &outcome, NULL) == SC_NOMEM)
        return sc_fail_nomem(r->err, "the decoder");
    *flows = r->flows->rows;
    if (r->run->truth != NULL && count_truth(r) != SC_OK)
        return sc_fail_nomem(r->err, "the truth");
    return SC_OK;
}

/* ---- sending ---- */

static enum sc_status send_message(struct replay *r, const struct sc_capture_message *m, bool stream)
{
    uint64_t flows = 0;
    uint64_t time_ms = m->time_ms != 0 ? m->time_ms : sc_clock_wall_ms();
    if (version_of(m) == 0) {
        r->totals->not_export++;
        return SC_OK;
    }
    uint32_t sender = sender_index(&r->senders, m);
    SC_TRY(count_message(r, m, sender, stream, &flows));
    SC_TRY(sc_sender_put(r->run->sender, sender, time_ms, m->bytes, m->length, r->err));
    r->totals->messages++;
    r->totals->flows += flows;
    if (r->run->rate != 0) {
        SC_TRY(sc_sender_flush(r->run->sender, r->err));
        sc_pacer_spend(&r->pacer, flows);
    }
    sc_export_report(r->run, r->totals);
    return SC_OK;
}

static enum sc_status open_replay(struct replay *r)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    r->flows = sc_batch_create(SC_RECORDS_FLOWS);
    r->decoder = sc_decoder_create(&limits, r->err);
    if (r->flows == NULL || r->decoder == NULL)
        return sc_fail_nomem(r->err, "the decoder");
    return sc_truth_columns_init(&r->fields, r->err);
}

static void close_replay(struct replay *r)
{
    sc_decoder_free(r->decoder);
    sc_batch_free(r->flows);
    free(r);
}

static enum sc_status replay(struct replay *r, struct sc_capture *capture)
{
    bool stream = sc_capture_kind_of(capture) == SC_CAPTURE_STREAM;
    struct sc_capture_message m;
    enum sc_status status = SC_OK;
    sc_pacer_start(&r->pacer, r->run->rate);
    while (status == SC_OK && *r->run->stop == 0) {
        status = sc_capture_next(capture, &m, r->err);
        if (status == SC_OK)
            status = send_message(r, &m, stream);
    }
    if (status == SC_OK)
        status = SC_CANCELLED;
    if (status == SC_END || status == SC_CANCELLED || status == SC_DAMAGED) {
        SC_TRY(sc_sender_flush(r->run->sender, r->err));
        return status == SC_END ? SC_OK : status;
    }
    return status;
}

/* What lay in the file and was not sent is an error, once all the rest is on its way. */
static enum sc_status check_whole(const char *path, const struct sc_capture *capture, struct sc_error *err)
{
    struct sc_capture_stats stats;
    sc_capture_get_stats(capture, &stats);
    uint64_t packets = stats.fragments + stats.truncated + stats.broken;
    if (packets != 0)
        return sc_fail(err, SC_DAMAGED,
                       "%s: %" PRIu64 " packets could not be sent: IP fragments, cut off or broken", path,
                       packets);
    if (stats.damaged_bytes != 0)
        return sc_fail(err, SC_DAMAGED, "%s: %" PRIu64 " damaged bytes between the messages were not sent",
                       path, stats.damaged_bytes);
    return SC_OK;
}

enum sc_status sc_export_replay(struct sc_export_run *run, const char *path, struct sc_export_totals *totals,
                                struct sc_error *err)
{
    struct sc_capture *capture = NULL;
    *totals = (struct sc_export_totals){0};
    struct replay *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return sc_fail_nomem(err, "a replay");
    r->run = run;
    r->totals = totals;
    r->err = err;
    enum sc_status status = open_replay(r);
    if (status == SC_OK)
        status = sc_capture_open(path, &capture, err);
    if (status == SC_OK)
        status = replay(r, capture);
    if (status == SC_OK)
        status = check_whole(path, capture, err);
    if (capture != NULL)
        sc_capture_close(capture);
    close_replay(r);
    return status;
}
