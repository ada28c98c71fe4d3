// SPDX-License-Identifier: BSD-3-Clause
/*
 * Inside the encoder: what it knows, and what its files do. Included by encoder*.c only.
 *
 *   encoder.c           life cycle, the loop over rows
 *   encoder_message.c   one message: header, sets, template records, sequence
 *   encoder_plan.c      columns -> sources, the state of a row, state -> template
 *   encoder_values.c    values in network order
 *   encoder_v5.c        NetFlow v5
 *
 * A *source* is a column with the elements it may become. The *state* of a row says, per source, whether the
 * value is absent (0) or in which of its forms it goes (1, 2; in v9 octets 1 + length). Rows of equal state
 * share a *pattern*: a template and the steps that write a record of it.
 */
#ifndef SC_WIRE_ENCODER_TYPES_H
#define SC_WIRE_ENCODER_TYPES_H

#include "base/bytes.h"
#include "base/table.h"
#include "wire/encoder.h"

#include <stdlib.h>

#define ENCODER_VARIABLE      65535u
#define ENCODER_FIRST_ID      256u
#define ENCODER_SET_HEADER    4u
#define ENCODER_MOST_PATTERNS 2048u
#define ENCODER_ENTERPRISE    0x8000u

struct encoder_spec {
    uint32_t pen;
    uint16_t id;
    uint16_t length; /* ENCODER_VARIABLE: IPFIX variable length */
};

enum encoder_op {
    ENCODER_UINT,    /* low `length` bytes of the integer */
    ENCODER_ADDRESS, /* 4 or 16 bytes */
    ENCODER_FLOAT32,
    ENCODER_BYTES,
    ENCODER_UPTIME /* ms since system_init_ms in 4 bytes */
};

/* What the state of a source depends on besides null. */
enum encoder_vary {
    ENCODER_BY_NULL,
    ENCODER_BY_FAMILY,   /* 1 IPv4, 2 IPv6 */
    ENCODER_BY_FLAGS,    /* v9 TCP flags: 1 one byte, 2 two bytes */
    ENCODER_BY_LENGTH,   /* v9 bytes: 1 + length on the wire */
    ENCODER_BY_UPTIME,   /* outside the range: ENCODER_STATE_IMPOSSIBLE */
    ENCODER_BY_IPV4_ONLY /* an IPv4 element whose value is none counts as absent */
};

#define ENCODER_STATE_IMPOSSIBLE 0xffffu

struct encoder_source {
    const struct sc_column *column;
    /* IANA elements whose value, where the record has one, goes instead; 0: none. And their columns. */
    uint16_t rival_ids[2];
    const struct sc_column *rivals[2];
    struct sc_column_key key;
    uint8_t op;
    uint8_t vary;
    bool text;    /* v9: padded with NUL */
    bool varying; /* for the columns of this call: the state must be looked at in each row */
    struct encoder_spec spec[2];
};

struct encoder_template {
    uint64_t hash;
    uint64_t used;
    uint32_t field_count;
    uint32_t scope_count;
    uint32_t record_length; /* 0: variable */
    uint16_t id;
    bool sent;
    bool too_long; /* never fits a message */
    struct encoder_spec fields[];
};

struct encoder_step {
    uint32_t source;
    uint16_t length;
};

struct encoder_pattern {
    uint16_t *state;
    struct encoder_step *steps;
    struct encoder_template *template; /* NULL: nothing to send */
    uint32_t step_count;
};

/* Sources of the columns last seen, with their patterns. Kept while the columns' keys stay the same. */
struct encoder_plan {
    struct encoder_source *sources;
    uint32_t source_count;
    struct sc_column_key *seen; /* keys of all columns, those left out too */
    uint32_t seen_count;
    uint32_t scope_count;
    uint16_t *state; /* of the row at hand */
    struct encoder_pattern *patterns;
    uint32_t pattern_count;
    uint32_t pattern_capacity;
    struct sc_table table; /* of the patterns, by their states */
};

struct sc_encoder {
    struct sc_encoder_options options;
    sc_encoder_emit emit;
    void *arg;
    uint64_t seed; /* of the hashes of patterns and templates */
    struct sc_encoder_stats stats;
    struct sc_error *err; /* of the call at hand */

    struct encoder_template **templates;
    uint32_t template_count;
    uint16_t next_id;
    uint64_t tick;

    uint8_t *message;
    uint32_t limit;     /* largest message, whole words */
    uint32_t length;    /* 0: none open */
    uint32_t set_start; /* 0: no set open */
    uint16_t set_id;
    uint32_t set_record; /* least length of its records */
    uint32_t records;    /* template and data records in the message */
    uint32_t data_records;
    uint32_t flow_records;
    uint32_t sampling; /* v5: header word of the open message */
    uint64_t now_ms;
    uint32_t sequence;
    uint64_t refreshed_ms;
    uint64_t refreshed_messages; /* stats.messages at that time */
    bool data_since_refresh;     /* without, a refresh has nothing to renew */

    struct encoder_plan flows;
    struct encoder_plan option_records;
};

/* encoder_message.c */
void sc_encoder_message_open(struct sc_encoder *e);
enum sc_status sc_encoder_message_close(struct sc_encoder *e);
/* Whether `bytes` more of set `id`, with the set's header when it must be opened, fit the message. */
bool sc_encoder_has_room(const struct sc_encoder *e, uint16_t id, uint32_t bytes);
/* Goes on in set `id`, whose records have at least `record_length` bytes; there is room. */
void sc_encoder_set_open(struct sc_encoder *e, uint16_t id, uint32_t record_length);
/* UDP: when a refresh is due, marks all templates as not sent, so that each goes again before its next data. */
void sc_encoder_refresh(struct sc_encoder *e);
enum sc_status sc_encoder_send_template(struct sc_encoder *e, struct encoder_template *t);
enum sc_status sc_encoder_withdraw(struct sc_encoder *e, const struct encoder_template *t);
/* Whether the template record and a data record of `record_length` each fit a message. */
bool sc_encoder_fits(const struct sc_encoder *e, const struct encoder_template *t, uint32_t record_length);

/* encoder_plan.c */
enum sc_status sc_encoder_plan_columns(struct sc_encoder *e, struct encoder_plan *plan,
                                       const struct sc_column *const *columns, uint32_t count,
                                       uint32_t scope_count, uint32_t first, uint32_t n);
void sc_encoder_plan_free(struct encoder_plan *plan);
/* Sets plan->state to that of `row`; whether another row has the same. */
void sc_encoder_row_state(const struct sc_encoder *e, struct encoder_plan *plan, uint32_t row);
bool sc_encoder_same_state(const struct sc_encoder *e, const struct encoder_plan *plan, uint32_t row);
/* The pattern of plan->state. SC_NOMEM; what emit returned. */
enum sc_status sc_encoder_pattern_find(struct sc_encoder *e, struct encoder_plan *plan,
                                       struct encoder_pattern **out);

/* encoder_values.c: `n` values from `row` on, the i-th at out + i * stride. */
void sc_encoder_put_values(const struct sc_encoder *e, const struct encoder_source *source, uint32_t length,
                           uint32_t row, uint32_t n, uint8_t *out, size_t stride);
/* Bytes that a value takes with its length prefix. */
uint32_t sc_encoder_variable_length(const struct encoder_source *source, uint32_t row);
void sc_encoder_put_uints(const struct sc_column *column, unsigned length, uint32_t row, uint32_t n,
                          uint8_t *out, size_t stride);

/* Integer of a row, quickly for FLAT. */
static inline uint64_t sc_encoder_load(const struct sc_column *c, uint32_t row)
{
    if (c->form != SC_FORM_FLAT || c->key.kind == SC_COLUMN_INT)
        return sc_column_u64(c, row);
    return sc_column_stored(c, row);
}

/* encoder_v5.c */
enum sc_status sc_encoder_v5_rows(struct sc_encoder *e, const struct sc_column *const *columns,
                                  uint32_t count, uint32_t first, uint32_t n);

#endif
