// SPDX-License-Identifier: BSD-3-Clause
/*
 * Columns to export messages: NetFlow v5, v9 (RFC 3954) and IPFIX (RFC 7011); the way back of wire/decoder.h.
 *
 * One encoder is one exporter process towards one collector: it holds the templates, the sequence number and
 * the message that is being filled. It does no I/O: each finished message goes to the `emit` callback.
 *
 *     struct sc_encoder *e = sc_encoder_create(&options, emit, socket, &err);
 *     sc_encoder_flows(e, columns, column_count, 0, rows, now_ms, &err);
 *     sc_encoder_flush(e, now_ms, &err);
 *     sc_encoder_free(e);
 *
 * Rows keep their order. Templates are derived from the columns: one per set of elements that are present
 * together, so that null is never sent as 0 and IPv4 and IPv6 records have templates of their own. At most
 * `max_templates` live at a time; the least recently used gives way and its id is not used again until all
 * others were.
 *
 * What the columns become. The unified addresses of SC_PEN_COLLECTOR become IE 8/27, 12/28, 15/62, 18/63,
 * 225/281, 226/282 by family; FLOW_START and FLOW_END IE 152 and 153 in IPFIX, 22 and 21 in v9; SAMPLING_RATE
 * IE 34 where the record has no IE 34 itself. What else the collector added to a record is left out unless
 * `origin` and `collector_pen` ask for it. Elements of enterprises (and lists) go as they are in IPFIX,
 * strings and octets with variable length; v9 knows no enterprise and no variable length: such elements are
 * left out and counted, octets take a template per length, strings are padded with NUL to 8, 16, 32 ...
 * bytes.
 *
 * v5 has no null and no template: absent ports, flags, interfaces, next hop and AS are sent as 0, AS numbers
 * above 65535 as 23456 (RFC 6793). A record without IPv4 addresses, times, packets or bytes, or with a value
 * too large for its place, is not expressible: it is skipped and counted. So are, in every protocol, records
 * longer than a message and in v9 times that lie outside sysUpTime's 49.7 days from `system_init_ms`.
 *
 * The v9 header carries whole seconds: its time is the export time rounded up, and sysUpTime is the distance
 * from system_init_ms to that, so that a collector computes the flow times without error.
 *
 * Memory is malloc; an encoder and its callback belong to one thread at a time.
 */
#ifndef SC_WIRE_ENCODER_H
#define SC_WIRE_ENCODER_H

#include "base/status.h"
#include "flow/batch.h"

enum sc_export_protocol { SC_EXPORT_V5 = 5, SC_EXPORT_V9 = 9, SC_EXPORT_IPFIX = 10 };

/* Smallest and largest `max_message`. Over UDP, 65,507 is the most that IPv4 carries. */
#define SC_ENCODER_MESSAGE_MIN 512u
#define SC_ENCODER_MESSAGE_MAX 65535u

struct sc_encoder_options {
    enum sc_export_protocol protocol;
    uint32_t domain;        /* IPFIX observation domain, v9 source id, v5 engine type << 8 | id */
    uint32_t max_message;   /* bytes; default 1400. v5 has 30 records, 1,464 bytes, whatever it says */
    uint32_t max_templates; /* 1 to 65,279; default 1024 */
    bool reliable; /* TCP and files: templates are sent once and withdrawn (IPFIX) when they give way */
    uint32_t refresh_messages; /* UDP: all templates again every N messages (0: not by count); default 100 */
    uint32_t refresh_seconds;  /* UDP: and every N seconds of export time (0: not by time); default 60 */
    uint64_t system_init_ms;   /* v5, v9: when sysUpTime was 0; 0: 20 days before the first export time */
    /* IPFIX only. What the collector added: EXPORTER_ADDRESS, OBSERVATION_DOMAIN and RECEIVE_TIME as IE
     * 403/404, 405 and 258, unless the record has these itself. */
    bool origin;
    uint32_t collector_pen; /* ... and all else with its id under this enterprise; 0: left out */
};

struct sc_encoder_stats {
    uint64_t messages;
    uint64_t bytes;
    uint64_t flows;          /* flow records sent */
    uint64_t options;        /* options records sent */
    uint64_t templates;      /* template records sent, repeats included */
    uint64_t skipped;        /* records that the protocol cannot express */
    uint64_t values_dropped; /* values of elements that the protocol cannot express */
};

/* Takes one whole message, which is the encoder's again after the return. Anything but SC_OK ends the call
 * that led here with that status; the message counts as sent. */
typedef enum sc_status (*sc_encoder_emit)(void *arg, const uint8_t *message, size_t length);

/* The defaults, IPFIX, domain 0. */
struct sc_encoder_options sc_encoder_default_options(void);

struct sc_encoder;

/* @return NULL with *err: SC_USAGE for options outside their bounds, SC_NOMEM. */
struct sc_encoder *sc_encoder_create(const struct sc_encoder_options *options, sc_encoder_emit emit,
                                     void *arg, struct sc_error *err);
/* Drops what was not flushed. NULL is allowed. */
void sc_encoder_free(struct sc_encoder *encoder);

/*
 * Encodes rows [first, first + n) of flow records. Columns: finished (all of one length), any form, in any
 * order; entries may be NULL. Full messages are emitted, the last stays open until it is full or flushed.
 * `export_ms` is the export time of the messages that end in this call; it never goes back.
 * @return SC_OK, also when records were skipped (see the statistics); SC_NOMEM; what emit returned. Rows
 * before the failure may have been sent.
 */
enum sc_status sc_encoder_flows(struct sc_encoder *encoder, const struct sc_column *const *columns,
                                uint32_t column_count, uint32_t first, uint32_t n, uint64_t export_ms,
                                struct sc_error *err);

/*
 * As sc_encoder_flows, for options records: the first `scope_count` columns (at least one, not NULL) are the
 * scope, in this order; a row without one of them is skipped. v9 scopes are columns of SC_PEN_V9_SCOPE.
 * @return SC_UNSUPPORTED in v5.
 */
enum sc_status sc_encoder_options_records(struct sc_encoder *encoder, const struct sc_column *const *columns,
                                          uint32_t column_count, uint32_t scope_count, uint32_t first,
                                          uint32_t n, uint64_t export_ms, struct sc_error *err);

/* Emits the open message, if any. */
enum sc_status sc_encoder_flush(struct sc_encoder *encoder, uint64_t export_ms, struct sc_error *err);

/* Records in the open message: 0 when nothing waits for a flush. */
uint32_t sc_encoder_pending(const struct sc_encoder *encoder);

/* A new transport session: drops the open message, sends all templates anew, sequence from 0. Statistics
 * stay. */
void sc_encoder_restart(struct sc_encoder *encoder);

/* UDP: all templates go again before their next data, as when a refresh is due. */
void sc_encoder_repeat_templates(struct sc_encoder *encoder);

void sc_encoder_get_stats(const struct sc_encoder *encoder, struct sc_encoder_stats *out);

#endif
