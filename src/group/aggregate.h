// SPDX-License-Identifier: BSD-3-Clause
/*
 * Aggregation: rows to groups. A `struct sc_aggregate` describes what is grouped and summed; it is immutable
 * and shared. A `struct sc_groups` is a partial result: each thread (and each node) fills its own, partial
 * results merge, and they can be written to bytes and read back, so that a planner may move them between
 * machines.
 *
 * A group's entry is: accumulators of 8 bytes; one bit for each of them that has seen a value; the packed key. That begins with a head,
 * its layout and one bit for each of its values that is null, and goes on with the values. There are three layouts, the narrowest in
 * which all values fit is a key's: so a group has one form, and few bytes where it can.
 *
 *   NARROW  integers in 1, 2, 4 or 8 bytes, as their elements have; IPv4 addresses in 4
 *   MIDDLE  addresses of either family in 16
 *   WIDE    integers in 8, too: an exporter may send more bytes than the element has
 *
 * Strings are 4-byte numbers of an interner that belongs to the groups.
 *
 * How many distinct values a group has, and percentiles, are counted from groups of groups: the keys, and the value behind them
 * (group/values.h). They belong to the groups, and are added up to these when they are joined.
 */
#ifndef SC_GROUP_AGGREGATE_H
#define SC_GROUP_AGGREGATE_H

#include "group/interner.h"
#include "store/row_fields.h"

#include <stdatomic.h>

#define SC_MAX_KEYS         16u
#define SC_MAX_ACCUMULATORS 16u
#define SC_NO_PREFIX        255u
#define SC_MIN_KEY_BYTES    4u

enum sc_key_layout { SC_KEY_NARROW, SC_KEY_MIDDLE, SC_KEY_WIDE, SC_KEY_LAYOUTS };

/* What a key keeps of a value; all but ALL only of the last key, in groups of group/values.c. */
enum sc_key_cell { SC_CELL_ALL, SC_CELL_LOGARITHM, SC_CELL_REGISTER };

struct sc_group_key {
    struct sc_field field;
    struct sc_field
        other; /* pair keys: the second field; a record counts once under each of the two values */
    bool pair;
    uint8_t prefix4, prefix6; /* SC_NO_PREFIX: whole address */
    uint64_t bucket;          /* times (ms) and numbers: rounded down to a multiple; 0 = not */
    bool local;               /* the bucket is one of the wall clock: sc_time_bucket_start */
    uint8_t cell;             /* enum sc_key_cell */
    /* set by sc_aggregate_prepare */
    bool interned, address;
    uint8_t width[SC_KEY_LAYOUTS]; /* bytes of its value */
    uint16_t at[SC_KEY_LAYOUTS];   /* from the begin of the packed key */
};

enum sc_accumulate {
    SC_ACCUMULATE_SUM,
    SC_ACCUMULATE_MIN,
    SC_ACCUMULATE_MAX,
    SC_ACCUMULATE_OR,
    SC_ACCUMULATE_COUNT,
    /* No row adds to these; they come from groups of groups (group/values.h): */
    SC_ACCUMULATE_DISTINCT,  /* values, or registers of an estimate */
    SC_ACCUMULATE_HARMONIC,  /* what its registers hold; not seen where the number is exact */
    SC_ACCUMULATE_PERCENTILE /* a value: not less than `permille` thousandths of all */
};

static inline bool sc_accumulates_rows(enum sc_accumulate how)
{
    return how <= SC_ACCUMULATE_COUNT;
}

struct sc_accumulator {
    struct sc_field field;
    uint8_t how;       /* enum sc_accumulate */
    uint16_t permille; /* PERCENTILE */
    struct sc_group_key
        key; /* not accumulated from rows: what is made of a value, as if it were a key; `field` is its field */
};

struct sc_aggregate {
    struct sc_group_key keys[SC_MAX_KEYS];
    uint32_t key_count; /* 0: one group of all rows */
    struct sc_accumulator accumulators[SC_MAX_ACCUMULATORS];
    uint32_t accumulator_count;
    uint64_t seed; /* of the hashes; the same in all partial results that meet, at all ranks */
    /* Borrowed, prepared before this one; its keys are all of these but the last. A group lies in the partition of its group there. NULL: none. */
    const struct sc_aggregate *beside;
    /* set by sc_aggregate_prepare */
    bool interns;       /* some key is a string */
    bool hash_by_group; /* the last key is a cell of a percentile: group/values.h */
    bool hash_special;  /* strings, or some bits are of some keys only: sc_key_hash_special */
    uint32_t seen_at, key_at;
    uint32_t key_bytes[SC_KEY_LAYOUTS], entry_bytes[SC_KEY_LAYOUTS];
};

/* The index of an accumulator, added when new; UINT32_MAX when there are too many. */
uint32_t sc_aggregate_add(struct sc_aggregate *aggregate, const struct sc_field *field,
                          enum sc_accumulate how);
/* Likewise one of any kind, all that prepare sets left aside. */
uint32_t sc_aggregate_add_like(struct sc_aggregate *aggregate, const struct sc_accumulator *accumulator);
/* Whether both are of the same values, in the same way. */
bool sc_accumulator_same(const struct sc_accumulator *x, const struct sc_accumulator *y);

/* Lays out the entry. Call after the last change. */
void sc_aggregate_prepare(struct sc_aggregate *aggregate);

struct sc_groups;

/* NULL without memory. `aggregate` is borrowed. */
struct sc_groups *sc_groups_create(const struct sc_aggregate *aggregate);
void sc_groups_free(struct sc_groups *groups);
uint64_t sc_groups_count(const struct sc_groups *groups);
/* How many entries are held before sc_groups_join: at least one for each group. */
uint64_t sc_groups_entries(const struct sc_groups *groups);
/* Bytes held; grows with the groups only. */
size_t sc_groups_memory(const struct sc_groups *groups);

/*
 * Adds the selected rows of a row group.
 * @return SC_OK; SC_NOMEM, SC_IO, SC_DAMAGED; SC_FULL: no room for the file. Unless SC_OK the groups are not usable, save after SC_DAMAGED and SC_IO, which come before any
 * row is added.
 */
enum sc_status sc_groups_add_rows(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_selection *selection, struct sc_error *err);

/*
 * Where most rows begin a group of their own, entries leave the table and are held apart (group/table.h): the bytes that
 * they may take before those of one group are added up; 64 MiB unless set.
 */
void sc_groups_set_spill_budget(struct sc_groups *groups, uint64_t bytes);
/*
 * With a memory limit (0: none) of `bytes` for `sharers` groups that are filled at once, such entries go to a file without a name
 * (group/spill_file.h) when they would pass their share, and sc_groups_join fails with SC_NOMEM when what it puts together, of all of
 * it or with `keep` of a partition, would pass the limit.
 */
void sc_groups_set_memory_limit(struct sc_groups *groups, uint64_t bytes, unsigned sharers);

/*
 * Makes the group of `entry`, an entry of `from`, without values. Both have the same keys.
 * After sc_groups_close only the groups that are there take rows; all other rows are left out. @return SC_OK or SC_NOMEM, both.
 */
enum sc_status sc_groups_seed(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry);
enum sc_status sc_groups_close(struct sc_groups *groups);
/* As sc_groups_seed, with the values of the accumulators that both have; the others have none. */
enum sc_status sc_groups_carry(struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry);
/* Rows add nothing to accumulators that `from` has, too: sc_groups_carry brings them. */
void sc_groups_know(struct sc_groups *groups, const struct sc_groups *from);

/*
 * Once *cancel is not 0, sc_groups_join and sc_groups_top give up with SC_CANCELLED where they would take long. NULL: never.
 * It must live as long as the groups.
 */
void sc_groups_set_cancel(struct sc_groups *groups, const atomic_int *cancel);

/* Bytes and back: `read` merges them into `to`, which has the same aggregate. Checks all lengths: SC_DAMAGED.
 */
enum sc_status sc_groups_write(const struct sc_groups *groups, struct sc_buf *out);
enum sc_status sc_groups_read(struct sc_groups *to, const uint8_t *bytes, size_t length,
                              struct sc_error *err);

/* ---- results ---- */

enum sc_result_source {
    SC_RESULT_KEY,
    SC_RESULT_ACCUMULATOR,
    SC_RESULT_COMPUTED,
    SC_RESULT_AVERAGE,
    SC_RESULT_DISTINCT
};

/* One column of the result and where it comes from. */
struct sc_result_column {
    uint8_t source;   /* enum sc_result_source */
    uint8_t computed; /* COMPUTED: enum sc_field_computed */
    uint8_t type;     /* enum sc_value_type of the values */
    uint32_t a, b, c; /* KEY: key; ACCUMULATOR: index; AVERAGE: sum, count; DISTINCT: of its name, HARMONIC;
                         COMPUTED: first, last, bytes/packets (BPP: a bytes, b packets) */
};

struct sc_result_order {
    struct sc_result_column column;
    bool descending;
};

/* All that is wanted of some groups: the first `limit` by the orders, as of sc_groups_top. */
struct sc_keep {
    const struct sc_result_order *orders;
    uint32_t order_count;
    uint64_t limit; /* not 0 */
};

/*
 * Moves the groups of all partial results into the first one, with up to `threads` threads. The others are empty
 * afterwards, and must still be freed. To be called for a single one, too, before anything is asked of it:
 * sc_groups_add_rows may hold several entries of one group apart.
 * `keep` may be NULL; else groups that are not among the first by it may be left out.
 * @return SC_OK; SC_NOMEM, SC_FULL (the file cannot be read), SC_CANCELLED (sc_groups_set_cancel of the first): none of them is usable
 * any more.
 */
enum sc_status sc_groups_join(struct sc_groups *const *partials, uint32_t count, const struct sc_keep *keep,
                              unsigned threads, struct sc_error *err);

/* Entries in order, borrowed from the groups. */
struct sc_result {
    const uint8_t **entries;
    uint64_t count;
};

/*
 * The first `limit` (0 = all) groups by `orders`, ties by the keys' values, so that the result does not
 * depend on threads. Nulls come last. entries is malloc'ed for the caller. @return SC_OK, SC_NOMEM, SC_CANCELLED.
 */
enum sc_status sc_groups_top(const struct sc_groups *groups, const struct sc_result_order *orders,
                             uint32_t order_count, uint64_t limit, struct sc_result *out,
                             struct sc_error *err);

/* The value of a column in an entry; bytes borrowed from the groups. */
struct sc_value sc_groups_value(const struct sc_groups *groups, const uint8_t *entry,
                                const struct sc_result_column *column);

#endif
