/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libsc: reads stores of the SecurityCloud collector, decodes NetFlow v5, NetFlow v9 and IPFIX.
 *
 * This header is the manual. Two contexts do the work: a *reader* gives the flow records of one or more
 * stores, a *decoder* those of export messages that the program received in its own way. Both give *rows*:
 * one `struct libsc_value` for each *field* that was asked for, in the order of the asking. C and C++.
 *
 * ---- a complete program ----
 *
 *     #include <securitycloud/libsc.h>
 *
 *     #include <inttypes.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)                 // cc https.c $(pkg-config --cflags --libs libsc)
 *     {                                               // ./a.out /var/lib/securitycloud
 *         const char *const *paths = (const char *const *)argv + 1;
 *         const char *filter = "proto tcp and dst port 443";
 *         const struct libsc_value *row;
 *         struct libsc_reader *reader;
 *         struct libsc_error err;
 *         enum libsc_status status;
 *         uint64_t bytes = 0;
 *
 *         if (libsc_reader_open(paths, (size_t)argc - 1, filter, "srcip,bytes", &reader, &err) != LIBSC_OK) {
 *             fprintf(stderr, "%s\n", err.message);
 *             return 1;
 *         }
 *         while ((status = libsc_reader_next(reader, &row, &err)) == LIBSC_OK)
 *             bytes += row[1].as.u64; // zero where absent
 *         for (size_t i = 0; libsc_reader_missing(reader, i) != NULL; i++)
 *             fprintf(stderr, "missing: %s\n", libsc_reader_missing(reader, i));
 *         if (status != LIBSC_END)
 *             fprintf(stderr, "%s\n", err.message);
 *         else
 *             printf("%" PRIu64 " bytes\n", bytes);
 *         libsc_reader_close(reader);
 *         return status != LIBSC_END;
 *     }
 *
 * Longer ones, for both contexts, are examples/read_store.c and examples/decode_datagram.c.
 *
 * ---- rules ----
 *
 * Ownership  A context belongs to who made it, until libsc_reader_close or libsc_decoder_free, which
 *            take NULL too. Texts and bytes passed in are copied or used up before the function returns.
 *            What a function points to in return belongs to the context; each says how long it lives.
 * Threads    There is no global state. A context may move between threads, but only one may use it at a
 *            time. The library starts no threads, installs no signal handlers and does not change the
 *            locale.
 * Errors     A function that can fail returns a status and, when it failed, writes a sentence to *err
 *            for a person: what, where, what to do. `err` may be NULL. When a function that makes a
 *            context fails, there is nothing to free and *out is NULL. The library never prints and
 *            never ends the process. Contexts, sources and places for results must not be NULL unless it
 *            says so. Below, statuses are named without LIBSC_.
 * Fields     Names as in sc-query(1): srcip, dstport, bytes, first ... (with nfdump's aliases), any
 *            element of the IPFIX registry (octetDeltaCount; "name#2" is its second occurrence in a
 *            record), or "pen:id". A reader also knows the names and types that exporters gave their
 *            own elements (RFC 5610). In a list they are separated by commas; NULL is the list that
 *            sc-query shows by itself. At most 256.
 * Units      Those of IPFIX, or as libsc_column.unit says: counters are raw (nothing is multiplied by a
 *            sampling interval), times UTC, durations ms.
 * Stability  Within one major version of the shared library (libsc.so.0) structs keep their layout, and
 *            enums only gain members.
 */
#ifndef SECURITYCLOUD_LIBSC_H
#define SECURITYCLOUD_LIBSC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, such as "0.1.0". */
const char *libsc_version(void);

/* ---- errors ---- */

enum libsc_status {
    LIBSC_OK = 0,
    LIBSC_END = 1, /* no error: there are no more rows */
    LIBSC_NO_MEMORY = 2,
    LIBSC_IO = 3,          /* the operating system refused; `errnum` says why */
    LIBSC_NOT_FOUND = 4,   /* no such path or field */
    LIBSC_DAMAGED = 5,     /* a store's bytes that are no longer whole */
    LIBSC_NOT_OURS = 6,    /* a file that no collector of this kind wrote */
    LIBSC_UNSUPPORTED = 7, /* of a newer version than the library knows */
    LIBSC_MALFORMED = 8,   /* an export message that breaks its protocol */
    LIBSC_LIMIT = 9,       /* a bound that protects the process was reached */
    LIBSC_USAGE = 10       /* a filter, a list of fields or an argument is wrong */
};

struct libsc_error {
    enum libsc_status status;
    int errnum;         /* errno of the failed system call, 0 when there was none */
    char message[1024]; /* without a newline at its end; that of a filter has three lines */
};

/* ---- values ---- */

enum libsc_type {
    LIBSC_UINT = 0,
    LIBSC_INT = 1,
    LIBSC_FLOAT = 2,
    LIBSC_ADDRESS = 3, /* IPv4 or IPv6 */
    LIBSC_MAC = 4,     /* the 48 bits in as.u64, first octet highest */
    LIBSC_TIME_MS = 5, /* milliseconds since 1970 UTC, in as.u64 */
    LIBSC_TIME_NS = 6, /* nanoseconds since 1970 UTC, in as.u64 */
    LIBSC_BYTES = 7,
    LIBSC_STRING = 8 /* as exported: usually UTF-8, which nobody checked */
};

struct libsc_value {
    uint8_t null;  /* 1: the record has no such value; `as` is zero. Absent is not zero. */
    uint8_t type;  /* enum libsc_type, that of the column */
    uint8_t is_v4; /* ADDRESS: 1 for IPv4 */
    uint8_t reserved;
    uint32_t length; /* BYTES, STRING: bytes of as.bytes */
    union {
        uint64_t u64; /* UINT, MAC, TIME_MS, TIME_NS */
        int64_t i64;  /* INT */
        double f64;   /* FLOAT */
        /* Network order; IPv4 a.b.c.d is ::ffff:a.b.c.d, so that its bytes begin at address + 12. */
        uint8_t address[16];
        const uint8_t *bytes; /* BYTES, STRING: not terminated; valid as long as the row */
    } as;
};

/* What a row's value number i is. The texts live as long as the context. */
struct libsc_column {
    const char *name; /* as spelt in the list of fields */
    const char *unit; /* "octets", "milliseconds" ...; "-" when there is none */
    enum libsc_type type;
};

/* ---- reader ---- */

struct libsc_reader;

/*
 * Opens the flow records under `paths`: stores, or parts of one (a day, a segment). Each record is met once,
 * also when paths overlap. The reader sees the store as it is now: what a running collector adds later is for
 * another reader, what it deletes meanwhile is still read. It needs no running collector and writes nothing.
 *
 * `filter` selects records: the language of sc-query(1), NULL for all; times in it narrow what is read, as in
 * "first >= 2026-01-31 and src ip 10.0.0.0/8". `fields`: see above.
 * @return OK, also when there is no record at all, or when only a part of the paths can be read (see
 *   libsc_reader_missing); NOT_FOUND, IO, NOT_OURS or another when none can; NOT_FOUND for an unknown field;
 *   USAGE for the syntax of filter or fields; NO_MEMORY.
 */
enum libsc_status libsc_reader_open(const char *const *paths, size_t path_count, const char *filter,
                                    const char *fields, struct libsc_reader **out, struct libsc_error *err);

/* How many values a row has. */
size_t libsc_reader_columns(const struct libsc_reader *reader);

/* What value number i is. @return 0, or -1 when there is no such column (*out is untouched). */
int libsc_reader_column(const struct libsc_reader *reader, size_t i, struct libsc_column *out);

/*
 * The next selected record, in the order of the store (by window, then arrival). *row is an array of
 * libsc_reader_columns() values, valid until the next call with this reader.
 * @return OK; END after the last; NO_MEMORY. After anything but OK, *row is NULL and the same
 * comes back again. Damage is no error here: a damaged part is left out whole and noted as missing.
 */
enum libsc_status libsc_reader_next(struct libsc_reader *reader, const struct libsc_value **row,
                                    struct libsc_error *err);

/*
 * Sentence number i, from 0, on what could not be read so far: paths, segments, damaged parts. NULL past the
 * last. The answer is complete when libsc_reader_next has returned END and there is none. A sentence
 * lives as long as the reader.
 */
const char *libsc_reader_missing(const struct libsc_reader *reader, size_t i);

void libsc_reader_close(struct libsc_reader *reader);

/* ---- decoder ---- */

/*
 * Keeps what the protocols demand of a collector: sessions with their templates, options data, sampling, data
 * that came before its template (bounded), sequence numbers. Memory is bounded too: some MiB for each
 * session, 4096 sessions, of which the least recently used goes.
 */
struct libsc_decoder;

enum libsc_transport { LIBSC_UDP = 0, LIBSC_TCP = 1, LIBSC_FILE = 2 };

/* Where a message came from. All but the time name its session (RFC 7011 section 8). */
struct libsc_source {
    uint8_t address[16]; /* of the exporter, as in libsc_value: IPv4 is ::ffff:a.b.c.d */
    uint16_t port;       /* of the exporter */
    uint8_t transport;   /* enum libsc_transport */
    uint8_t reserved[5];
    uint64_t connection; /* TCP, FILE: a number that no other connection or file had; UDP: 0 */
    uint64_t receive_ms; /* when it came, ms since 1970 UTC; 0: take the export time of the message */
};

/* What one message gave. */
struct libsc_outcome {
    uint32_t flows;            /* flow records */
    uint32_t options;          /* options records */
    uint32_t templates;        /* templates, options templates, withdrawals */
    uint32_t no_template_sets; /* data sets that came without a template, waiting for it or dropped */
    uint32_t recovered_sets;   /* earlier such sets that this message let us decode */
    uint32_t malformed;        /* malformed sets or messages */
    uint32_t lost; /* missing before this message: flows in v5, messages in v9, records in IPFIX */
};

/* The account of one exporter: session and observation domain. All counters since the start. */
struct libsc_exporter {
    uint8_t address[16];
    uint16_t port;
    uint8_t version;   /* 5, 9, 10 (IPFIX): of the last message */
    uint8_t transport; /* enum libsc_transport */
    uint32_t domain;   /* observation domain, source id, or engine */
    uint64_t last_seen_ms;
    uint64_t messages;
    uint64_t bytes;
    uint64_t flows;
    uint64_t options;
    uint64_t templates; /* in force now */
    uint64_t lost;
    uint64_t reordered; /* messages that came late */
    uint64_t restarts;  /* times that the exporter started anew */
    uint64_t no_template_sets;
    uint64_t recovered_sets;
    uint64_t malformed;
    uint64_t sampling_interval; /* last in force; 0: none known */
};

/*
 * `fields`: what rows of flow records hold. `option_fields`: of options records, which are always applied but
 * only given to the program when this is not NULL. @return OK; NOT_FOUND for an unknown field; USAGE;
 * NO_MEMORY.
 */
enum libsc_status libsc_decoder_create(const char *fields, const char *option_fields,
                                       struct libsc_decoder **out, struct libsc_error *err);

/* As libsc_reader_columns and libsc_reader_column, for the rows of flow records ... */
size_t libsc_decoder_columns(const struct libsc_decoder *decoder);
int libsc_decoder_column(const struct libsc_decoder *decoder, size_t i, struct libsc_column *out);
/* ... and of options records. */
size_t libsc_decoder_option_columns(const struct libsc_decoder *decoder);
int libsc_decoder_option_column(const struct libsc_decoder *decoder, size_t i, struct libsc_column *out);

/*
 * Decodes exactly one message of `length` bytes: a datagram, or what the length in the header of an IPFIX
 * message (its third and fourth byte, the highest first) cuts from a stream or file. The bytes need not be
 * trusted. Rows of the message before that were not taken are dropped. `outcome` may be NULL.
 * @return OK; MALFORMED or LIMIT when a part of it was left out (the rows of the rest are there); UNSUPPORTED for
 * an unknown version; NO_MEMORY; USAGE for an unknown transport. The decoder can go on after each.
 */
enum libsc_status libsc_decoder_message(struct libsc_decoder *decoder, const struct libsc_source *source,
                                        const void *bytes, size_t length, struct libsc_outcome *outcome,
                                        struct libsc_error *err);

/*
 * The next flow record of the last message. *row is an array of libsc_decoder_columns() values, valid until
 * the next libsc_decoder_next or libsc_decoder_message. @return OK, or END and *row NULL.
 */
enum libsc_status libsc_decoder_next(struct libsc_decoder *decoder, const struct libsc_value **row);

/* The next options record, likewise; the two sequences are independent. */
enum libsc_status libsc_decoder_next_option(struct libsc_decoder *decoder, const struct libsc_value **row);

/* The connection or file is at its end: its templates go, its account stays. */
void libsc_decoder_end_session(struct libsc_decoder *decoder, const struct libsc_source *source);

/* Forgets templates of UDP that were not sent again for 30 minutes. Call every few seconds with the time. */
void libsc_decoder_expire(struct libsc_decoder *decoder, uint64_t now_ms);

/* Calls `visit` with each exporter's account until it returns 0. The account is valid during the call only;
 * `visit` must not use the decoder. */
void libsc_decoder_exporters(const struct libsc_decoder *decoder,
                             int (*visit)(void *arg, const struct libsc_exporter *exporter), void *arg);

void libsc_decoder_free(struct libsc_decoder *decoder);

#ifdef __cplusplus
}
#endif

#endif
