// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a node holds of recent windows: batch ids as intervals, and what the proxies' tallies say ought to exist; and from
 * several nodes' holdings, how many copies there are of what. A node reads its own from its store's files (heads of row groups,
 * no values) and gives them to others as JSON.
 *
 * Zero-initialise; sc_holdings_free releases. One thread.
 */
#ifndef SC_CLUSTER_HOLDINGS_H
#define SC_CLUSTER_HOLDINGS_H

#include "base/status.h"
#include "store/horizons.h"
#include "store/loss.h"

#include <jansson.h>

#define SC_HOLDINGS_MAX_WINDOWS 1000u

/* The batches `first` to `last` of a stream and lane, in a window. With rows 0 nobody asked for their records; else each has so many,
 * of the kind (enum sc_record_kind). */
struct sc_holding {
    uint64_t window_ms, stream, first, last;
    uint32_t lane;
    uint32_t rows, kind;
};

struct sc_holdings {
    struct sc_holding *list; /* by window, stream, lane, number; disjoint */
    uint32_t count;
    struct sc_tally *tallies; /* one per stream and window; settled: by window and stream */
    uint32_t tally_count;
    bool in_order;           /* the tallies */
    struct sc_losses losses; /* that an operator accepted */
    uint32_t
        unreadable; /* files and row groups of these windows, and folders, that could not be read: their batches are not listed */
};

/* The last `windows` windows of which the store has segments or tallies. @return SC_OK; as sc_catalogue_add. */
enum sc_status sc_holdings_read(const char *store, uint32_t windows, struct sc_holdings *out,
                                struct sc_error *err);
/* Of these windows, streams and lanes only (`lanes`, settled; its numbers do not matter), the batches with their records; no tallies
 * and losses. @return as sc_holdings_read. */
enum sc_status sc_holdings_read_lanes(const char *store, const struct sc_holdings *lanes,
                                      struct sc_holdings *out, struct sc_error *err);
/* Tallies and losses alone. @return likewise. */
enum sc_status sc_holdings_read_told(const char *store, struct sc_holdings *out, struct sc_error *err);
void sc_holdings_free(struct sc_holdings *holdings);

struct sc_row_group;
/* Adds the batches of a row group; of these lanes only with their records, where `lanes` (settled) is not NULL. @return SC_OK or SC_NOMEM. */
enum sc_status sc_holdings_add_group(struct sc_holdings *holdings, const struct sc_row_group *group,
                                     const struct sc_holdings *lanes);
/* Adds intervals and tallies; sc_holdings_settle then sorts and joins. @return SC_OK or SC_NOMEM. */
enum sc_status sc_holdings_add(struct sc_holdings *holdings, const struct sc_holding *holding);
enum sc_status sc_holdings_add_tally(struct sc_holdings *holdings, struct sc_tally *tally); /* taken over */
void sc_holdings_settle(struct sc_holdings *holdings);
/* By window, stream, lane and first number, as qsort asks for it; by the first three only. */
int sc_holding_compare(const void *x, const void *y);
int sc_holding_compare_lanes(const void *x, const void *y);
/* The first of a lane's intervals in a settled list, NULL when there is none; those that follow are its neighbours. */
const struct sc_holding *sc_holdings_find(const struct sc_holdings *holdings, uint64_t window_ms,
                                          uint64_t stream, uint32_t lane);
/* The first of a window's in a settled list, likewise. */
const struct sc_holding *sc_holdings_window(const struct sc_holdings *holdings, uint64_t window_ms);

/* Whether it can be the name of a proxy: it goes into files and tables, as one word. */
bool sc_holdings_is_proxy(const char *text);
/* {"windows": [...], "losses": [...], "unreadable": N}; NULL without memory. */
json_t *sc_holdings_to_json(const struct sc_holdings *holdings);
/* What another node sent: anything that makes no sense is SC_MALFORMED. */
enum sc_status sc_holdings_from_json(const json_t *json, struct sc_holdings *out, struct sc_error *err);

/* Of a window, in batches. */
struct sc_window_copies {
    uint64_t window_ms;
    uint64_t known;   /* held by somebody, or ought to be */
    uint64_t whole;   /* with as many copies as there ought to be */
    uint64_t fewer;   /* with fewer, but more than one */
    uint64_t single;  /* with one, where there ought to be more */
    uint64_t missing; /* safe by the tallies, and nobody who answered holds them */
    uint64_t waiting; /* accepted, not safe yet, and not held: in a proxy's outbox */
    uint64_t lost;    /* what would be missing, or waiting for ever, and was accepted as lost */
};

/*
 * Compares the holdings of `count` nodes; NULL for one that did not answer. Only the last `windows` windows of which anybody has
 * something or should have: what was expired by all who should hold it (`horizons`, settled) is neither missing nor waiting. *out, by
 * window, is malloc'ed. @return SC_OK or SC_NOMEM.
 */
enum sc_status sc_copies_compare(const struct sc_holdings *const *nodes, uint32_t count, uint32_t replication,
                                 uint32_t windows, const struct sc_horizons *horizons,
                                 struct sc_window_copies **out, uint32_t *out_count);

#endif
