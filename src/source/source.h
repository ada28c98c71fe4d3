// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a query reads: segments, and of each the row groups or parts of them. A planner may hand in any list
 * of (segment, row ranges); sc_source_open makes the list for paths, with every batch id counted once. Built
 * by one thread, then shared; what fails while it is read is replaced by sc_source_replace, unit by unit.
 */
#ifndef SC_SOURCE_SOURCE_H
#define SC_SOURCE_SOURCE_H

#include "source/expect.h"
#include "source/read_plan.h"
#include "store/reader.h"

struct sc_row_range {
    uint32_t first, rows;
};

#define SC_NO_UNIT UINT32_MAX

/* Of copies in the plan: from this rank on they lie in a folder of replicas, not in the store of their lane's home. */
#define SC_RANK_REPLICA 2u

/* One unit of work: a row group, whole or in part. */
struct sc_source_unit {
    uint32_t segment;
    uint32_t group;
    struct sc_row_range *ranges; /* NULL: all rows; else ascending, disjoint; owned by the source */
    uint32_t range_count;
    uint32_t turn; /* the planned unit in whose place this one is read; of a planned unit its own number */
    uint32_t next; /* what is read behind it in the same turn; SC_NO_UNIT */
    bool
        failed; /* cannot be read: those behind it in the same turn stand for it, as far as there are copies */
    bool by_batches; /* its batches are in the plan */
};

/* A row group of a source. Its index is its number in the plan. */
struct sc_source_group {
    uint32_t segment, group;
    enum { SC_GROUP_LEFT_OUT, SC_GROUP_WHOLE, SC_GROUP_BY_BATCHES } use;
};

struct sc_source {
    struct sc_segment **segments;
    uint32_t segment_count;
    struct sc_source_unit
        *units;          /* planned: by window, file, place in the file; then what stands for failed ones */
    uint32_t unit_count; /* planned */
    uint32_t units_made; /* with those that stand for failed ones */
    uint32_t units_failed;
    struct sc_source_group *groups; /* by segment and place in it */
    uint32_t group_count;
    uint32_t *first_group;    /* of each segment */
    struct sc_read_plan plan; /* of the row groups whose batches others may hold too */
    /* Sentences on what could not be read; the answer is partial when there are any. */
    char **missing;
    uint32_t missing_count;
    /* Sentences on damage that takes nothing from the answer: the batches were found elsewhere. */
    char **damage;
    uint32_t damage_count;
    uint32_t
        unread; /* sentences on what could not be read when it was opened; the others are on what is not there */
    struct sc_known_lost known_lost; /* what is not there, and need not be */
    uint64_t
        kept_since_ms; /* older windows were expired on purpose, of some lane by all who held it; 0: none were */
    uint32_t readable_paths; /* of those given */
    uint64_t bytes;          /* of all segments */
    /* A planner above this source assigns the copies: those that could not be read, and whose ids are in no other copy here, are
     * listed for it instead of being called missing. */
    bool planned_above;
    uint32_t *lost; /* indices in plan.copies, one of each id */
    uint32_t lost_count;
};

struct sc_source_bounds {
    bool options;       /* options records instead of flows */
    uint64_t window_ms; /* only the windows that hold this time; 0 = all */
    /* The times that are asked for, and so those for which it is judged what is missing; 0 and 0 = all. */
    uint64_t begin_ms, end_ms;
    /* Segments that have nothing of these times need not be in the source at all. */
    bool may_leave_out;
    const struct sc_loss_sink *sink; /* wants to know what is missing; NULL: nobody does */
};

/*
 * Opens all segments under `paths`. What cannot be read is noted in source->missing and left out.
 * @return SC_OK also when nothing is there; SC_NOMEM; when no path at all could be read: the status of the
 * first.
 */
enum sc_status sc_source_open(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_source *out,
                              struct sc_error *err);
void sc_source_close(struct sc_source *source);

struct sc_expected;

/*
 * For a planner above several sources, the nodes of a cluster: opens what is under `paths`, and lists the copies of all batches
 * in out->plan, as if all were to be read here; which of them are is for sc_source_assign to say. *expected was loaded
 * by the caller, before any of the nodes listed its files: what it calls safe is there then. Else as sc_source_open.
 */
enum sc_status sc_source_list(const char *const *paths, uint32_t path_count,
                              const struct sc_source_bounds *bounds, struct sc_expected *expected,
                              struct sc_source *out, struct sc_error *err);

/* Makes the units of a listed source: of these of its ids. May be called again, when nobody reads the source; what was lost then is
 * forgotten, and what cannot be read any more is lost at once. @return SC_OK; SC_NOMEM; SC_DAMAGED: those are not its ids. */
enum sc_status sc_source_assign(struct sc_source *source, const struct sc_id_run *runs, uint32_t count);

/* Says that there is no copy of these batches of a window, sorted by id; `sentence` why. */
enum sc_status sc_source_note_lost(struct sc_source *source, uint64_t window_ms, const struct sc_span *spans,
                                   uint32_t count, const char *sentence);

/*
 * The unit cannot be read (`sentence` says why), and no row of it has contributed to anything. Units of other copies of its
 * batches are added to its turn; what there is no copy of is noted as missing, by window, stream and lane. One thread at a time;
 * others may read units of other turns meanwhile. @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_source_replace(struct sc_source *source, uint32_t unit, const char *sentence);

/* Notes damage that takes nothing from the answer. As sc_source_note_missing. */
enum sc_status sc_source_note_damage(struct sc_source *source, const char *sentence);

/* Notes something that is missing from the answer (copied; once, however often it is met). Not for use while
 * other threads read. */
enum sc_status sc_source_note_missing(struct sc_source *source, const char *sentence);

#endif
