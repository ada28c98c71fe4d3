// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who reads which batch. Several sources (the nodes of a cluster, or stores on one machine) hold copies of the same batches;
 * a plan assigns each batch id to one copy, so that it is counted once. When a copy turns out to be
 * unreadable, before a row of it has contributed, its id goes to the next copy, until none is left.
 *
 *     sc_read_plan_add(&plan, &span, group, rank, true);       for every copy of every source
 *     sc_read_plan_assign(&plan);
 *     read all copies that are assigned; gather those that cannot be read in `failed`, and while there are any:
 *         sc_read_plan_reassign(&plan, failed, count, &news);  read news.work; news.lost is missing from the answer
 *
 * Where a planner above several plans says who reads what, it knows ids only, by runs of them (sc_read_plan_runs), and says which of them
 * are for this one to read (sc_read_plan_take), in place of sc_read_plan_assign's choice.
 *
 * A copy is named by its index in plan->copies; a row group by a number of the caller's that covers all sources. Nothing here
 * knows files, stores or nodes. Zero-initialise; one thread at a time; memory is malloc.
 */
#ifndef SC_SOURCE_READ_PLAN_H
#define SC_SOURCE_READ_PLAN_H

#include "flow/batch.h"

enum sc_copy_state {
    SC_COPY_SPARE,     /* another copy is read */
    SC_COPY_ASSIGNED,  /* this one is, or was */
    SC_COPY_UNREADABLE /* not to be assigned (again) */
};

struct sc_read_plan_copy {
    struct sc_span span; /* the id, and where it lies in the row group */
    uint32_t group;
    uint16_t rank; /* the least is preferred; then the lowest row group */
    uint8_t state; /* enum sc_copy_state */
};

struct sc_read_plan {
    struct sc_read_plan_copy *copies; /* since sc_read_plan_assign by row group and first row */
    uint32_t count;
    uint32_t *by_id;    /* copies in the order of their ids, those of one id in the order of preference */
    uint32_t *place_of; /* of each copy in by_id */
    uint32_t batches;   /* different ids */
};

/* Adds a copy; one that is not `readable` is never assigned. @return SC_OK or SC_NOMEM. */
enum sc_status sc_read_plan_add(struct sc_read_plan *plan, const struct sc_span *span, uint32_t group,
                                uint16_t rank, bool readable);

/* Assigns each id to its most preferred readable copy. Once, after all copies were added. @return SC_OK or SC_NOMEM. */
enum sc_status sc_read_plan_assign(struct sc_read_plan *plan);

/* The copies [*first, *end) of a row group. */
void sc_read_plan_group(const struct sc_read_plan *plan, uint32_t group, uint32_t *first, uint32_t *end);

/* A spare copy that is known to be unreadable will not be assigned. */
void sc_read_plan_exclude(struct sc_read_plan *plan, uint32_t copy);

struct sc_read_plan_news {
    uint32_t *work; /* copies that are assigned now, by row group and first row */
    uint32_t work_count;
    uint32_t *lost; /* of the failed ones: those whose id nobody else can read, by id */
    uint32_t lost_count;
};

/*
 * These copies could not be read: those of them that were assigned give their ids to others. *news is to be freed, also on an
 * error. @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_read_plan_reassign(struct sc_read_plan *plan, const uint32_t *failed, uint32_t count,
                                     struct sc_read_plan_news *news);
void sc_read_plan_news_free(struct sc_read_plan_news *news);

/* Ids of a stream and lane that follow each other, and how much whoever holds them likes to read them. In lists: by stream, lane and
 * number, disjoint. */
struct sc_id_run {
    uint64_t stream, first, last;
    uint32_t lane;
    uint16_t rank; /* as of a copy */
};

/* By stream, lane and number. */
int sc_id_run_compare(const struct sc_id_run *run, uint64_t stream, uint32_t lane, uint64_t sequence);

/* The ids that are assigned. *runs is to be freed. @return SC_OK or SC_NOMEM. */
enum sc_status sc_read_plan_runs(const struct sc_read_plan *plan, struct sc_id_run **runs, uint32_t *count);

/*
 * Assigns these ids and no others, each to its most preferred copy that is not known to be unreadable. *lost, to be freed also on an
 * error (base/array): a copy of each id that has none, by id. @return SC_OK; SC_NOMEM; SC_DAMAGED: they are not ids of this plan.
 */
enum sc_status sc_read_plan_take(struct sc_read_plan *plan, const struct sc_id_run *runs, uint32_t count,
                                 uint32_t **lost, uint32_t *lost_count);

void sc_read_plan_free(struct sc_read_plan *plan);

#endif
