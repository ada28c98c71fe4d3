// SPDX-License-Identifier: BSD-3-Clause
/* What sc_groups_add_rows works with: the values of the rows of a row group, and the entries found for them. Only the files of
 * this room include it; belongs to the thread that fills the groups. */
#ifndef SC_GROUP_ROWS_H
#define SC_GROUP_ROWS_H

#include "base/machine.h"
#include "group/table.h"

#define SC_GROUP_CHUNK 64u /* rows at a time: a bit of a word for each */

/*
 * Integers of one key or accumulator for all rows of the row group, and which of them are not null. In the plain case they stay in
 * the column as it was decoded, so that a chunk of rows is all that is widened at a time.
 */
struct sc_row_values {
    uint64_t *values;
    uint64_t *valid;
    bool all_valid;
    const struct sc_column *plain; /* no value is null; `values` and `valid` are not set */
    bool ones;                     /* every value is 1; likewise */
};

/* A cell of a percentile (group/values.h): the 8 uppermost bits of a number, so that what is below 256 is exact. */
static inline unsigned sc_cell_bits(uint64_t value)
{
    return value < 256 ? 0 : 56 - (unsigned)__builtin_clzll(value);
}

/* One key in all rows: its numbers (of strings those of the interner), or its addresses. */
struct sc_key_rows {
    struct sc_row_values numbers; /* of addresses only which rows are valid */
    const struct sc_addr *addresses;
    const struct sc_column *codes; /* addresses[code of the row]; NULL: addresses[row] */
    uint32_t first4, count4;       /* with codes: those of IPv4, which lie together */
    struct sc_addr *own;           /* room for addresses[row] */
};

/* Rows to packed keys (group/pack.c). */
struct sc_packed {
    uint32_t stride;
    uint8_t *keys; /* that of the j-th row of a chunk at j * stride */
    uint64_t hashes[SC_GROUP_CHUNK];
    uint8_t layouts[SC_GROUP_CHUNK];
};

/* What is done with the values of each of the first 8 accumulators; a bit for each that is fed. */
struct sc_ways {
    uint8_t sums, leasts, greatests, ors;
};

struct sc_group_scratch {
    struct sc_key_rows keys[SC_MAX_KEYS];
    struct sc_key_rows others[SC_MAX_KEYS]; /* pair keys */
    struct sc_row_values accumulators[SC_MAX_ACCUMULATORS];
    uint32_t fed; /* a bit for each accumulator that takes values from rows */
    enum sc_vectors vectors;
    struct sc_ways ways;
    bool only_listed; /* the values of other rows than `rows` have no meaning: sc_row_group_want */
    bool sums_fit;    /* none passes 64 bits by the rows of this row group: see sc_group_bound_sums */
    uint32_t *rows;   /* the selected ones */
    struct sc_packed packed;
    uint8_t *entries[SC_GROUP_CHUNK]; /* of the rows in `found` */
    uint8_t *ahead[SC_GROUP_CHUNK];   /* of the chunk behind it */
    uint32_t found[SC_GROUP_CHUNK];
    /*
     * For one key of 1 or 2 bytes and many rows: an entry for each value it can have, null first, that is found without any
     * search. The topmost bit of `seen` tells that there were rows.
     */
    uint8_t *direct;
    uint64_t direct_seen; /* this bit; 0 while there is no such table */
};

static inline bool sc_row_is_set(const uint64_t *bits, uint32_t row)
{
    return (bits[row / 64] >> (row % 64) & 1) != 0;
}

/* The accumulators that take values from rows, a bit for each. */
static inline uint32_t sc_groups_fed(const struct sc_groups *groups)
{
    uint32_t fed = 0;
    for (uint32_t i = 0; i < groups->aggregate->accumulator_count; i++)
        fed |= (uint32_t)sc_accumulates_rows(groups->aggregate->accumulators[i].how) << i;
    return fed & ~groups->known;
}

/* The rows of a row group that are to be added, whose keys are loaded. */
struct sc_rows_left {
    struct sc_selection selection;
    const struct sc_key_rows *keys[SC_MAX_KEYS];
    uint32_t pair;           /* the number of a pair key */
    struct sc_wanted before; /* of the row group */
    uint64_t bits[SC_ROW_GROUP_ROWS / 64];
};

/*
 * Those of the selection that may be of a group; where these are fewer than were selected only they are read, until sc_rows_done.
 * @return as of sc_groups_add_rows; sc_rows_done is due in any case.
 */
enum sc_status sc_rows_prepare(struct sc_groups *groups, struct sc_row_group *group,
                               const struct sc_selection *selection, struct sc_rows_left *out,
                               struct sc_error *err);
/* All that is read of the row group is read before any row is added, also what accumulators that are not fed are made of. */
enum sc_status sc_rows_add(struct sc_groups *groups, struct sc_row_group *group,
                           const struct sc_rows_left *rows, struct sc_error *err);
void sc_rows_done(struct sc_row_group *group, const struct sc_rows_left *rows);

void sc_group_scratch_free(struct sc_group_scratch *scratch);

/* Room for the keys of a chunk. False without memory. */
bool sc_packed_init(struct sc_packed *packed, const struct sc_aggregate *aggregate);

/* Packs the keys of up to SC_GROUP_CHUNK rows, keys[k] those of key k, with their layouts and hashes. */
void sc_group_pack(const struct sc_groups *groups, struct sc_packed *packed,
                   const struct sc_key_rows *const *keys, const uint32_t *rows, uint32_t n);

/* Of the only key, n addresses (at most SC_GROUP_CHUNK) that are not null. */
void sc_group_pack_addresses(const struct sc_groups *groups, struct sc_packed *packed,
                             const struct sc_addr *const *addresses, uint32_t n);

/* An entry of each of n packed keys; NULL in *out where the groups are closed and have none. @return SC_OK or SC_NOMEM. */
enum sc_status sc_group_search(struct sc_groups *groups, const struct sc_packed *packed, uint32_t n,
                               uint8_t **out);

/* The values of a chunk of rows, 0 where null. */
void sc_group_take_values(const struct sc_row_values *v, const uint32_t *rows, uint32_t n, uint64_t *out);

/*
 * Before the values of `count` rows of a row group are added: whether that can take a sum past 64 bits. What all rows before could have
 * added to one group is known (groups->most), so that rows of usual counters are added without a look at each sum.
 */
void sc_group_bound_sums(struct sc_groups *groups, uint32_t group_rows, uint32_t count);

void sc_group_set_ways(const struct sc_aggregate *aggregate, uint32_t fed, struct sc_ways *out);

/* The rows' values to scratch->entries, which are those of the rows. */
void sc_group_add_values(const struct sc_aggregate *aggregate, const struct sc_group_scratch *scratch,
                         const uint32_t *rows, uint32_t n);

/*
 * Adds rows whose only key is an address of a dictionary. Each distinct address is looked up once, and a row leads from its code to its
 * entry. The accumulators' values are in the scratch.
 * @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_groups_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                   const struct sc_key_rows *key, const uint32_t *rows, uint32_t count);

/* ---- with cells in place of groups, and rows of chosen ones (group/cells.h) ---- */

/* Adds rows to the cells; the second of them as sc_groups_add_coded. */
void sc_cells_add(struct sc_groups *groups, struct sc_row_group *group, const struct sc_key_rows *const *keys,
                  const uint32_t *rows, uint32_t count);
enum sc_status sc_cells_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_key_rows *key, const uint32_t *rows, uint32_t count);
/* Rows of groups in other cells leave the list; returns how many are left, UINT32_MAX without memory. `others`: the keys of the other group
 * of each row, or NULL. The second one: where the only key is an address of a dictionary. */
uint32_t sc_cells_drop(struct sc_groups *groups, struct sc_row_group *group,
                       const struct sc_key_rows *const *keys, const struct sc_key_rows *const *others,
                       uint32_t *rows, uint32_t count);
uint32_t sc_cells_drop_codes(struct sc_groups *groups, struct sc_row_group *group,
                             const struct sc_key_rows *key, uint32_t *rows, uint32_t n);

#endif
