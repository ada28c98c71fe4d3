// SPDX-License-Identifier: BSD-3-Clause
/* What an encoder is asked for, and what it gives. */
#ifndef SC_WIRE_ENCODER_OPTIONS_H
#define SC_WIRE_ENCODER_OPTIONS_H

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

#endif
