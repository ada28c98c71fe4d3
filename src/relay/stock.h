// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which batches a node holds, by lane and window: read from the heads of the row groups in its files, each file once. What is told of a
 * lane and window in short (a digest), of what proxies told too (relay/told.h), is the same on every node that holds the same batches, in whatever files.
 *
 * Touches the disk. Malloc; one thread. Zero-initialise but for `store`, which outlives it.
 */
#ifndef SC_RELAY_STOCK_H
#define SC_RELAY_STOCK_H

#include "relay/told.h"
#include "store/store.h"

#define SC_STOCK_OPEN 4u /* files that are kept open for row groups: one for each that pulls */

struct sc_stock_file {
    char *path;
    uint64_t bytes;
    bool known;              /* it was read, at that size */
    uint32_t lane, window_s; /* 0: of what could not be read, or was not to be */
    uint64_t window_ms;
    struct sc_link_holds *list; /* settled */
    uint32_t count;
};

/* A file with what is in each of its row groups. */
struct sc_stock_open {
    struct sc_segment *segment;
    struct sc_link_holds
        *list; /* of all row groups, one behind the other; `lane` is the number of the row group */
    uint32_t count;
    uint64_t used;
};

struct sc_stock {
    const char *store;
    struct sc_stock_file *files; /* by lane, window and path */
    uint32_t count;
    struct sc_told told;            /* what proxies said ought to be there */
    struct sc_link_digest *digests; /* by lane and window */
    uint32_t digest_count;
    uint32_t unreadable; /* files and row groups */
    uint64_t ticks;
    struct sc_stock_open open[SC_STOCK_OPEN];
};

void sc_stock_free(struct sc_stock *stock);

/* Lists the store, and reads what is new; again while files are sealed meanwhile. @return SC_OK; SC_NOMEM: it may be that nothing is
 * known any more; SC_IO: it does not come to rest; what sc_catalogue_add says: it is as before. */
enum sc_status sc_stock_refresh(struct sc_stock *stock, struct sc_error *err);

/* Those of windows that begin from `from_ms` on and end by `end_ms`, malloc'ed. @return SC_OK, SC_NOMEM. */
enum sc_status sc_stock_digests(const struct sc_stock *stock, uint64_t from_ms, uint64_t end_ms,
                                struct sc_link_digest **out, uint32_t *count);
/* Of them all, in their order; never 0. */
uint64_t sc_digests_hash(const struct sc_link_digest *list, uint32_t count);
/* How many bytes the files have, of windows that begin before a time: all that retention counts (sc_store_expire), readable or not. */
uint64_t sc_stock_bytes(const struct sc_stock *stock, uint64_t before_ms);
/* The earliest time from which on windows have less than `most` bytes. */
uint64_t sc_stock_kept_from(const struct sc_stock *stock, uint64_t most);
/* What is held of a lane and window, settled, malloc'ed. @return SC_OK, SC_NOMEM. */
enum sc_status sc_stock_holds(const struct sc_stock *stock, uint32_t lane, const struct sc_window *window,
                              struct sc_link_holds **out, uint32_t *count);
/* Reads a row group in which a batch lies, whole. *head: as it is announced. @return SC_OK; SC_NOTFOUND: it is not here, or not any more;
 * SC_IO, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_stock_group(struct sc_stock *stock, uint32_t lane, const struct sc_window *window,
                              uint64_t stream, uint64_t sequence, struct sc_batch_head *head,
                              struct sc_buf *bytes, struct sc_error *err);

/* Sorts intervals of one lane and window, and joins those that touch. @return how many are left. */
uint32_t sc_holds_settle(struct sc_link_holds *list, uint32_t count);
/* Takes out of a settled list what is in another. *list is malloc'ed anew where it has to be. @return SC_OK or SC_NOMEM. */
enum sc_status sc_holds_without(struct sc_link_holds **list, uint32_t *count,
                                const struct sc_link_holds *others, uint32_t other_count);
uint64_t sc_holds_batches(const struct sc_link_holds *list, uint32_t count);

#endif
