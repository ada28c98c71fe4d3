// SPDX-License-Identifier: BSD-3-Clause
/*
 * Export messages to columns: NetFlow v5, v9 (RFC 3954) and IPFIX (RFC 7011), recognised by their version
 * word.
 *
 * One decoder serves one thread. It holds the sessions (a transport session, RFC 7011 section 8) with their
 * templates, options data, buffered sets and sequence accounts; nothing is shared between decoders and no
 * I/O is done. Memory is malloc, bounded by `struct sc_decoder_limits`; when a bound is reached the message,
 * set or template concerned is dropped and counted, never the process.
 *
 *     struct sc_decoder *d = sc_decoder_create(&limits, &err);
 *     struct sc_decode_sink sink = {.flows = batch, .options = options_batch};
 *     for (each datagram)
 *         if (sc_decoder_message(d, &source, bytes, length, &sink, &outcome, &err) == SC_MALFORMED)
 *             ...already counted; err says why...
 *     sc_batch_finish(batch);
 *
 * A message appends runs of rows to the sink's batches, and may cut them (struct sc_decode_sink); without that they take all.
 * Values: see flow/batch.h and enum sc_collector_ie in ie/ie.h. Every decoded record carries the collector
 * elements EXPORTER_ADDRESS, EXPORTER_PORT, OBSERVATION_DOMAIN, RECEIVE_TIME, EXPORT_VERSION, EXPORT_TIME,
 * and where they apply SAMPLING_RATE, SEQUENCE_GAP, TIME_QUALITY, FLOW_START, FLOW_END, SYSTEM_INIT. Flow records
 * also carry what options data of their domain said before them: INGRESS_INTERFACE_NAME and so on, TOLD_EXPORTER.
 */
#ifndef SC_WIRE_DECODER_H
#define SC_WIRE_DECODER_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/status.h"
#include "flow/batch.h"

struct sc_decoder;

enum sc_transport { SC_TRANSPORT_UDP, SC_TRANSPORT_TCP, SC_TRANSPORT_FILE };
enum sc_template_scope {
    SC_TEMPLATE_SCOPE_SESSION, /* exporter address and port (RFC 7011 section 8) */
    SC_TEMPLATE_SCOPE_ADDRESS /* exporter address only: exporters whose templates and data use different ports
                               */
};

struct sc_decoder_limits {
    uint32_t template_lifetime_s; /* UDP: a template not seen for so long is forgotten; default 1800 */
    uint32_t max_sessions;        /* default 4096; the least recently used goes */
    uint32_t max_templates;       /* per session and domain; default 1024 */
    uint32_t max_domains;         /* per session; default 256 */
    uint32_t max_fields;          /* per template; default 1024 */
    uint32_t max_buffered_sets;   /* per session: data sets that wait for their template; default 64 */
    uint32_t max_buffered_bytes;  /* per session; default 256 KiB */
    uint32_t max_session_bytes;   /* all memory of a session; default 8 MiB */
    uint32_t max_unknown_columns; /* per session: elements that the registry does not know; default 256 */
    enum sc_template_scope template_scope;
};

/* The defaults above. */
struct sc_decoder_limits sc_decoder_default_limits(void);

/* Returns NULL with *err when memory is short. */
struct sc_decoder *sc_decoder_create(const struct sc_decoder_limits *limits, struct sc_error *err);
void sc_decoder_free(struct sc_decoder *decoder);

/* Where a message came from. (transport, exporter, port, connection) names the session. */
struct sc_message_source {
    struct sc_addr exporter;
    uint16_t port;
    enum sc_transport transport;
    uint64_t connection; /* TCP and files: a number that is never used again; UDP: 0 */
    uint64_t receive_ms; /* collector's clock, or packet time of a capture; 0: use the export time */
};

/*
 * Where records go. Without functions the batches take all that comes. With them it is known before records are appended what the
 * batch will weigh with them when it is finished (sc_batch_finished_bytes):
 *
 *   grant  is asked where that is more than most_bytes[kind]; it raises that, or returns false
 *   cut    where that was refused, or there would be more rows or columns than base/bounds.h says: it sends the batch of this kind on
 *          and puts an empty one in its place, which takes the records in any case. Records that were sent on stay so when the
 *          message fails after all. @return SC_OK or SC_NOMEM
 *   aside  before anything of a message is appended, when its records would give the batch of flows more than most_columns columns
 *          (half of them where the registry does not know all its elements): it may put others in the place of both batches
 */
struct sc_decode_sink {
    struct sc_batch *flows;
    struct sc_batch *options; /* NULL: options records are applied and counted but not kept */
    size_t most_bytes[2];     /* by enum sc_record_kind */
    uint32_t most_columns;
    bool (*grant)(struct sc_decode_sink *sink, enum sc_record_kind kind, size_t bytes);
    enum sc_status (*cut)(struct sc_decode_sink *sink, enum sc_record_kind kind);
    void (*aside)(struct sc_decode_sink *sink);
    void *arg;
};

/* What one message gave. */
struct sc_decode_outcome {
    uint32_t flows;
    uint32_t options;
    uint32_t templates;        /* template records taken, options templates and withdrawals too */
    uint32_t no_template_sets; /* data sets without a template at arrival, buffered or not */
    uint32_t recovered_sets;   /* earlier ones that a template of this message let us decode */
    uint32_t malformed;        /* events: see sc_exporter_stats.malformed */
    uint32_t lost;             /* units missing before this message (WIRE: sequence units) */
};

/*
 * Decodes one message (exactly one; TCP and file readers frame by the header's length). Appends to the
 * sink's batches.
 * @return SC_OK; SC_MALFORMED when the message or a part of it breaks the protocol (what was whole before the
 *   break in NetFlow v9 is kept, WIRE fact 4; an IPFIX message that is malformed is dropped whole, its
 * templates too, RFC 7011 section 9.1); SC_UNSUPPORTED for an unknown version; SC_LIMIT; SC_NOMEM (nothing
 * appended but to batches that were cut off before).
 */
enum sc_status sc_decoder_message(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  const uint8_t *bytes, size_t length, struct sc_decode_sink *sink,
                                  struct sc_decode_outcome *outcome, struct sc_error *err);

/* The session's transport ended (TCP close): its templates and buffered sets go, its statistics stay. */
void sc_decoder_end_session(struct sc_decoder *decoder, const struct sc_message_source *source);

/* Forgets templates past their lifetime and buffered sets that nobody claims. Call every few seconds. */
void sc_decoder_expire(struct sc_decoder *decoder, uint64_t now_ms);

/* Account of one exporter process: session and observation domain. All counters since the start. */
struct sc_exporter_stats {
    struct sc_addr exporter;
    uint16_t port;
    uint8_t version; /* 5, 9, 10: of the last message */
    uint8_t transport;
    uint32_t domain;
    uint64_t last_seen_ms;
    uint64_t messages;
    uint64_t bytes;
    uint64_t flows;
    uint64_t options;
    uint64_t templates; /* active now */
    uint64_t lost;      /* sequence units that never came */
    uint64_t reordered; /* messages that came late */
    uint64_t restarts;  /* sysUptime or sequence went back: the exporter started anew */
    uint64_t no_template_sets;
    uint64_t recovered_sets;
    uint64_t malformed;     /* malformed messages or sets */
    uint64_t sampling_rate; /* last in force, 0: none known */
    uint64_t
        count_mismatches; /* v9 messages whose header counts other than their records: a remark, no fault */
};

/* Calls `visit` for each account until it returns false. */
void sc_decoder_each_exporter(const struct sc_decoder *decoder,
                              bool (*visit)(void *arg, const struct sc_exporter_stats *stats), void *arg);

/*
 * Template state (UDP sessions: templates, options data, sampling, names) to bytes and back, so that a restarted
 * collector decodes at once. The format is private to the decoder, versioned (earlier versions are read) and checksummed; load checks
 * every length and returns SC_DAMAGED or SC_UNSUPPORTED, and the decoder is then as before.
 */
enum sc_status sc_decoder_save(const struct sc_decoder *decoder, struct sc_buf *out, struct sc_error *err);
enum sc_status sc_decoder_load(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                               uint64_t now_ms, struct sc_error *err);

/*
 * The same between collectors, so that one that takes over from another decodes at once. sc_decoder_save_own leaves out
 * sessions that are known from another collector alone, and adds when each exporter was heard last. sc_decoder_merge takes what
 * another collector saved so:
 *
 * - sessions, domains, templates and options data that are not known here;
 * - newer definitions than those known here, where the exporter's last message to this decoder is older than they are;
 * - where an exporter was heard there later than here, its next message here begins a new count of sequence numbers, so that what
 *   the other collector received is not taken for lost.
 *
 * What this decoder hears from an exporter itself is never replaced by what is older. When there are max_sessions, sessions that
 * only other collectors told of make room, and no others. `clock_ms` is what the other collector's clock shows now, `now_ms`
 * this one's: the two need not agree. @return as sc_decoder_load; SC_NOMEM: a part may have been taken.
 */
enum sc_status sc_decoder_save_own(const struct sc_decoder *decoder, struct sc_buf *out,
                                   struct sc_error *err);
enum sc_status sc_decoder_merge(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                                uint64_t clock_ms, uint64_t now_ms, struct sc_error *err);
/* Another number when sc_decoder_save_own has news: a new template, or the first word of an exporter that another collector told of.
 */
uint64_t sc_decoder_revision(const struct sc_decoder *decoder);

#endif
