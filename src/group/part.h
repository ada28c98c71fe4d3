// SPDX-License-Identifier: BSD-3-Clause
/*
 * Parts of groups, for a planner that moves partial results between machines: entries are chosen, and written with nothing but the
 * strings that they use. The groups are joined (sc_groups_join); entries are borrowed from them.
 */
#ifndef SC_GROUP_PART_H
#define SC_GROUP_PART_H

#include "group/aggregate.h"

/*
 * All entries, in out[0] to out[parts - 1] by the hash of their keys: a group is in the same part wherever it was met. out[0].entries
 * is malloc'ed for the caller and holds them all. @return SC_OK, SC_NOMEM.
 */
enum sc_status sc_groups_split(const struct sc_groups *groups, uint32_t parts, struct sc_result *out,
                               struct sc_error *err);

/* Those whose accumulator has a value of at least `least`; entries is malloc'ed for the caller. @return SC_OK, SC_NOMEM. */
enum sc_status sc_groups_at_least(const struct sc_groups *groups, uint32_t accumulator, uint64_t least,
                                  struct sc_result *out, struct sc_error *err);

/* The greatest value of an accumulator; 0 where none has one. */
uint64_t sc_groups_greatest(const struct sc_groups *groups, uint32_t accumulator);

/* As sc_groups_write, of some entries: appends what sc_groups_read merges. @return SC_OK, SC_NOMEM. */
enum sc_status sc_groups_write_entries(const struct sc_groups *groups, const struct sc_result *entries,
                                       struct sc_buf *out, struct sc_error *err);

/* ---- sketches: one accumulator, and by how many it was told ---- */

#define SC_SKETCH_VALUE 0u /* the accumulator */
#define SC_SKETCH_TOLD  1u /* how many sketches were merged that had the group */

/* The same keys as of `full`, laid out alike, and the two accumulators above. */
void sc_aggregate_sketch(const struct sc_aggregate *full, uint32_t accumulator, struct sc_aggregate *out);

/* As sc_groups_write_entries, for groups of `sketch`. */
enum sc_status sc_groups_write_sketch(const struct sc_groups *groups, const struct sc_result *entries,
                                      const struct sc_aggregate *sketch, uint32_t accumulator,
                                      struct sc_buf *out, struct sc_error *err);

/* ---- what distinct(F) and percentiles are made of, as groups that can be moved like others ---- */

/* sc_groups_join leaves them where they are, instead of adding them up; sc_groups_settle_values does that. */
void sc_groups_keep_values(struct sc_groups *groups);
/* As sc_groups_join of one partial result, when all its values have met. */
enum sc_status sc_groups_settle_values(struct sc_groups *groups, unsigned threads, struct sc_error *err);

/* How many there are, in an order that the aggregate decides; told without memory, too. @return SC_OK, SC_NOMEM. */
enum sc_status sc_groups_make_values(struct sc_groups *groups, uint32_t *count);
const struct sc_aggregate *sc_groups_aggregate(const struct sc_groups *groups);
/* The i-th, which may be replaced by groups of the same aggregate. */
struct sc_groups **sc_groups_values(struct sc_groups *groups, uint32_t i);
/* Once one of those that are to meet is estimated, all must be. @return SC_OK, SC_NOMEM. */
bool sc_groups_values_estimated(const struct sc_groups *groups, uint32_t i);
enum sc_status sc_groups_estimate_values(struct sc_groups *groups, uint32_t i);

/* ---- between groups whose keys are laid out alike ---- */

/* The entry of the same group as `entry` of `from`; NULL when there is none. */
const uint8_t *sc_groups_lookup(struct sc_groups *groups, const struct sc_groups *from, const uint8_t *entry);

#endif
