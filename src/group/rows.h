// SPDX-License-Identifier: BSD-3-Clause
/* What sc_groups_add_rows works with: the values of the rows of a row group, and the entries found for them. Only the files of
 * this room include it; belongs to the thread that fills the groups. */
#ifndef SC_GROUP_ROWS_H
#define SC_GROUP_ROWS_H

#include "group/table.h"

#define SC_GROUP_CHUNK 64u /* rows at a time */

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

struct sc_group_scratch {
    struct sc_row_values keys[SC_MAX_KEYS];
    struct sc_row_values others[SC_MAX_KEYS]; /* pair keys */
    struct sc_row_values accumulators[SC_MAX_ACCUMULATORS];
    bool sums_fit;  /* none passes 64 bits by the rows of this row group: see sc_group_bound_sums */
    uint32_t *rows; /* the selected ones */
    uint8_t *packed;
    uint64_t hashes[SC_GROUP_CHUNK];
    uint64_t nulls[SC_GROUP_CHUNK];
    uint8_t *entries[SC_GROUP_CHUNK]; /* of the rows in `found` */
    uint8_t *ahead[SC_GROUP_CHUNK];   /* of the chunk behind it */
    uint32_t found[SC_GROUP_CHUNK];
    /*
     * For one key whose values are numbered: the entry of each value, so that a row needs no search. Index 0 is
     * null, then come the values; NULL where not looked up yet. Without memory for it there is none.
     */
    uint8_t **known;
    uint64_t known_count;
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

/* The values of a chunk of rows, 0 where null. */
void sc_group_take_values(const struct sc_row_values *v, const uint32_t *rows, uint32_t n, uint64_t *out);

/*
 * Before the values of `count` rows of a row group are added: whether that can take a sum past 64 bits. What all rows before could have
 * added to one group is known (groups->most), so that rows of usual counters are added without a look at each sum.
 */
void sc_group_bound_sums(struct sc_groups *groups, uint32_t group_rows, uint32_t count);

/* The rows' values to scratch->entries, which are those of the rows. */
void sc_group_add_values(const struct sc_aggregate *aggregate, const struct sc_group_scratch *scratch,
                         const uint32_t *rows, uint32_t n);

/* Room in scratch->known for all values that the only key can have now. */
void sc_groups_need_known(struct sc_groups *groups);

/*
 * Adds rows whose only key is an address: `dict` is its column, of the form DICT. Each distinct address is looked up once,
 * and a row leads from its code to its entry. The accumulators' values are in the scratch.
 * @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_groups_add_coded(struct sc_groups *groups, struct sc_row_group *group,
                                   const struct sc_column *dict, const uint32_t *rows, uint32_t count);

/* An address cut to the prefix of the key. */
struct sc_addr sc_group_mask_key(const struct sc_group_key *key, const struct sc_addr *address);

#endif
