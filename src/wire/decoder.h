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
#include "base/budget.h"
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

/*
 * Memory: all state of exporters comes from one pool. An exporter, which is an IPv4 address or an IPv6 /64, may hold a share of it;
 * as long as it is new, an eighth of that, and all newcomers together a quarter of the pool (wire/budget.c).
 */
struct sc_decoder_limits {
    uint32_t template_lifetime_s; /* UDP: a template not seen for so long is forgotten; default 1800 */
    uint32_t max_fields;          /* per template; default 1024 */
    uint32_t max_buffered_sets;   /* per session: data sets that wait for their template; default 64 */
    uint32_t max_buffered_bytes;  /* per session; default 256 KiB */
    uint32_t max_unknown_columns; /* per new exporter: unknown to the registry; default 256; later * 4 */
    enum sc_template_scope template_scope;
    uint64_t share_bytes;                 /* default 64 MiB */
    const struct sc_budget_share *shares; /* where it is another: the longest prefix; outlive the decoder */
    uint32_t share_count;
    struct sc_budget *budget; /* the pool, shared with other decoders, outlives them; NULL: 2 GiB alone */
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
    uint32_t over_budget;      /* sessions, domains, templates, names, unknown elements without room */
    uint32_t lost; /* units missing before this message (v5: flows, v9: packets, IPFIX: data records) */
};

/*
 * Decodes one message (exactly one; TCP and file readers frame by the header's length). Appends to the
 * sink's batches.
 *
 * What breaks the protocol or passes a bound is left out and counted, not what stands beside it (docs/conformance.md,
 * which departs from RFC 7011 section 9.1): a template record whose extent is known costs itself, another one the
 * rest of its set, and the id that it redefines is forgotten; of data the set; a set whose length is wrong the rest
 * of the message.
 *
 * @return SC_OK; SC_MALFORMED or SC_LIMIT when something was left out, with the outcome and the records of the rest;
 * SC_UNSUPPORTED for an unknown version; SC_NOMEM (nothing appended but to batches that
 * were cut off before).
 */
enum sc_status sc_decoder_message(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  const uint8_t *bytes, size_t length, struct sc_decode_sink *sink,
                                  struct sc_decode_outcome *outcome, struct sc_error *err);

/* The session's transport ended (TCP close): its templates and buffered sets go, its statistics stay. */
void sc_decoder_end_session(struct sc_decoder *decoder, const struct sc_message_source *source);

/* Forgets templates past their lifetime, buffered sets that nobody claims, and who was not heard for long. Looks at all. */
void sc_decoder_expire(struct sc_decoder *decoder, uint64_t now_ms);

/* A template that data sets of an exporter came without. */
struct sc_missing_template {
    struct sc_addr exporter;
    uint16_t port; /* 0: any, template_scope address */
    uint8_t version;
    uint32_t domain;
    uint16_t id;
    uint64_t since_ms; /* receive time of the first of them */
    uint64_t sets;     /* so far */
};

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
    uint64_t restarts;  /* sysUptime or sequence went back, by two messages: the exporter started anew */
    uint64_t no_template_sets;
    uint64_t recovered_sets;
    uint64_t malformed;   /* malformed messages or sets */
    uint64_t over_budget; /* of the exporter, all its accounts: what there was no room for */
    uint64_t dropped; /* likewise: records that were decoded and then dropped, because the queue was full */
    uint64_t sampling_rate;    /* last in force, 0: none known */
    double flows_per_s;        /* over about ten seconds; kept by sc_decoder_care */
    uint64_t count_mismatches; /* v9 messages whose header counts other than their records: no fault */
};

/* Who is told what during a step of care; what is NULL is not wanted. */
struct sc_care {
    /* Each account; first NULL, when a pass begins. */
    void (*account)(void *arg, const struct sc_exporter_stats *stats);
    /* Each template that is not there yet and that data sets came without at or before `missing_before_ms` for the first time: once,
     * unless it returns false, which keeps it for another pass. 32 of a domain are known by their ids at a time. */
    bool (*missing)(void *arg, const struct sc_missing_template *missing);
    uint64_t missing_before_ms;
    void *arg;
};

/*
 * sc_decoder_expire in steps, for a thread that must not stand still: looks at as much as about so many exporters with a few templates
 * have; who has more, sessions, domains or templates, takes more calls. `care` may be NULL.
 * @return true when a pass over all exporters is complete; the next call begins another.
 */
bool sc_decoder_care(struct sc_decoder *decoder, uint32_t exporters, uint64_t now_ms,
                     const struct sc_care *care);

/* What was left out because there was no room, and who went to make some. All since the last call; reset by it. */
struct sc_overrun {
    uint64_t left_out;       /* sessions, domains, templates, names, unknown elements */
    uint64_t pushed_out;     /* exporters and sessions that made room for others */
    struct sc_addr exporter; /* the last one that had something left out */
    bool own_share;          /* it holds its share; else the pool is used up */
};
void sc_decoder_take_overrun(struct sc_decoder *decoder, struct sc_overrun *out);

/* So many records of an exporter were given up after they were decoded. */
void sc_decoder_note_dropped(struct sc_decoder *decoder, const struct sc_addr *exporter, uint64_t records);

/* Calls `visit` for each account until it returns false. */
void sc_decoder_each_exporter(const struct sc_decoder *decoder,
                              bool (*visit)(void *arg, const struct sc_exporter_stats *stats), void *arg);

/*
 * Session records: what a decoder knows of a UDP session (templates, options data, sampling, names, who was heard when), so that a
 * restarted collector decodes at once, and one that takes over from another. A record is self-describing, and replaces an earlier
 * one of the same session (exporter and port; 0: any port). Records come in lists: u32 length, the record, and so on. The format
 * is private to the decoder, versioned, and made for bytes that are not trusted; who stores records adds checksums.
 */
/* Bytes of a record: what is larger is neither kept nor told to others; the overrun tells it. */
#define SC_RECORD_MAX (10u << 20)

struct sc_record_head {
    struct sc_addr exporter;
    uint16_t port;
    bool removed;         /* the session is gone: there is nothing else in the record */
    bool bare;            /* no templates: worth something to other collectors only */
    bool forget;          /* removed or bare: an earlier record of it may be on the disk */
    bool hearsay;         /* known from another collector alone */
    bool established;     /* flows were decoded in SC_ESTABLISHED_MINUTES different minutes */
    uint64_t seen_ms;     /* the last definition of a template */
    uint64_t outlived_ms; /* from then on nothing in it is valid */
};

#define SC_ESTABLISHED_MINUTES 10u

/* @return SC_OK; SC_DAMAGED; SC_UNSUPPORTED: of a newer program. */
enum sc_status sc_record_head(const uint8_t *record, size_t length, struct sc_record_head *out);
/* The next record of a list. False at its end; list->failed: it ends in the middle of one. */
bool sc_record_next(struct sc_cursor *list, const uint8_t **record, uint32_t *length);
void sc_record_append(struct sc_buf *list, const uint8_t *record, size_t length);

/*
 * Appends records of sessions that changed to the list, those first that wait longest, and goes on where it ended when it is
 * called again: it writes at most `most` bytes, and one item (a template, the samplers of a domain) more. A session that changes
 * while it is written is written anew. A mere repetition of templates is a change when a third of their lifetime has passed.
 * @return bytes written, of unfinished records too. Without memory `out` says so (sc_buf_ok), and nothing is lost.
 */
size_t sc_decoder_changes(struct sc_decoder *decoder, size_t most, struct sc_buf *out);
/* What was written of them is lost: all sessions whose records are kept count as changed. */
void sc_decoder_change_all(struct sc_decoder *decoder);
/* From here on sessions whose templates were repeated since their last record count as changed. */
void sc_decoder_refresh(struct sc_decoder *decoder);
/* Appends the records of all sessions that have templates, the least recently used first. */
enum sc_status sc_decoder_save(const struct sc_decoder *decoder, struct sc_buf *out, struct sc_error *err);

/* Takes a session that it does not know; what is outlived, and what the limits have no room for, is left out. @return SC_OK;
 * SC_DAMAGED, SC_UNSUPPORTED, SC_LIMIT, SC_NOMEM: the decoder is as before. */
enum sc_status sc_decoder_load_record(struct sc_decoder *decoder, const uint8_t *record, size_t length,
                                      uint64_t now_ms, struct sc_error *err);
/* The same of a whole state that a program before the records saved. */
enum sc_status sc_decoder_load(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                               uint64_t now_ms, struct sc_error *err);

/*
 * Takes a list of records that another collector wrote:
 *
 * - sessions, domains, templates and options data that are not known here;
 * - newer definitions than those known here, where the exporter's last message to this decoder is older than they are;
 * - where an exporter was heard there later than here, its next message here begins a new count of sequence numbers, so that what
 *   the other collector received is not taken for lost.
 *
 * What this decoder hears from an exporter itself is never replaced by what is older. What there is no
 * room for is left out. `clock_ms` is what the other collector's clock shows now, `now_ms`
 * this one's: the two need not agree. @return SC_OK; SC_DAMAGED, SC_UNSUPPORTED: of a record that was left out, the others are
 * taken; SC_NOMEM: a part may have been taken.
 */
enum sc_status sc_decoder_merge_records(struct sc_decoder *decoder, const uint8_t *list, size_t length,
                                        uint64_t clock_ms, uint64_t now_ms, struct sc_error *err);
/* The same of a whole state that another collector's program before the records sent; all of it or nothing when it is damaged. */
enum sc_status sc_decoder_merge(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                                uint64_t clock_ms, uint64_t now_ms, struct sc_error *err);

#endif
