// SPDX-License-Identifier: BSD-3-Clause
/*
 * How far the members of a cluster have expired, and who is to hold what, so that a reader of a few stores, or of one, can tell expired
 * from missing: a window of a lane is excused only when all who should hold it have expired it. What one node deletes never hides what
 * another has lost.
 *
 *   STORE/horizons   a small text file, replaced as a whole, written by the collector of a cluster when something in it has changed
 *
 *   securitycloud horizons 1
 *   version N          of the membership file
 *   node LANE          whose store this is; lanes are eight hexadecimal digits, and stand for the members that are their homes
 *   member LANE MS NAME   each that holds segments: the last horizon that it told, milliseconds since 1970; 0: none, or never heard of
 *   lane LANE LANE...  each lane, and the members that are to hold it, all of them above
 *
 * Of its own node the file `horizon` tells (horizon.h), and so does that of another member whose store is read too: a horizon may go
 * back when a gap is filled. Of the others the greatest that is told counts. A lane that is not here is excused when all members have
 * expired its window. A store without the file knows no members: its own horizon holds for all that it knows, as long as no store that
 * is read with it has one.
 *
 * Malloc; one thread. Zero-initialise; sc_horizons_free releases.
 */
#ifndef SC_STORE_HORIZONS_H
#define SC_STORE_HORIZONS_H

#include "base/buf.h"
#include "store/io.h"
#include "store/tally.h"

#define SC_HORIZONS_MAX     1024u /* members, and lanes */
#define SC_HORIZONS_HOLDERS 3u    /* of a lane */

struct sc_member_horizon {
    uint32_t lane;
    bool own; /* its own store tells it */
    uint64_t horizon_ms;
    char name[SC_PROXY_NAME_MAX]; /* may be empty */
};

struct sc_lane_holders {
    uint32_t lane;
    uint32_t count;
    uint32_t holders[SC_HORIZONS_HOLDERS];
    uint64_t horizon_ms; /* settled: the least of its holders */
};

struct sc_horizons {
    uint64_t version; /* of the membership file that members and lanes are from */
    uint32_t node;    /* of a file; else 0 */
    struct sc_member_horizon *members;
    uint32_t member_count;
    struct sc_lane_holders *lanes;
    uint32_t lane_count;
    uint64_t alone_ms; /* the greatest horizon of a store that knows no members */
    /* Settled: */
    uint64_t least_ms;      /* windows before it are excused in every lane */
    uint64_t kept_since_ms; /* from here on every lane is kept by somebody who should; 0: all ever was */
};

void sc_horizons_free(struct sc_horizons *horizons);

/* By hand, in any order; then to be settled. @return SC_OK; SC_LIMIT; SC_NOMEM. */
enum sc_status sc_horizons_add_member(struct sc_horizons *horizons, const struct sc_member_horizon *member);
enum sc_status sc_horizons_add_lane(struct sc_horizons *horizons, const struct sc_lane_holders *lane);
void sc_horizons_settle(struct sc_horizons *horizons);

/* What a member told, if it is one: the word of its own store before those of others, else the greatest. Then to be settled. */
void sc_horizons_tell(struct sc_horizons *horizons, const struct sc_member_horizon *told);
/* What others know, too: members and lanes are those of the greatest version. Settles. @return SC_OK or SC_NOMEM. */
enum sc_status sc_horizons_add_all(struct sc_horizons *horizons, const struct sc_horizons *more);
/* What a store knows, and its own horizon. Settles. @return SC_OK, also when it knows nothing; SC_DAMAGED, SC_IO; SC_NOMEM. */
enum sc_status sc_horizons_add_store(struct sc_horizons *horizons, const char *store, struct sc_error *err);

/* Windows of the lane before this are excused. */
uint64_t sc_horizons_of(const struct sc_horizons *horizons, uint32_t lane);

/* The file as text, which is used up; *out is zero-initialised, and settled. @return SC_OK; SC_DAMAGED, SC_NOMEM: *out is empty. */
enum sc_status sc_horizons_parse(char *text, struct sc_horizons *out);
void sc_horizons_print(const struct sc_horizons *horizons, struct sc_buf *out);
/* The file alone, settled; *out is zero-initialised, and stays so unless it can be read. @return SC_OK; SC_NOTFOUND; SC_DAMAGED, SC_IO;
 * SC_NOMEM. */
enum sc_status sc_horizons_read(const char *store, struct sc_horizons *out, struct sc_error *err);
/* @return SC_OK; SC_IO, SC_FULL; SC_NOMEM. */
enum sc_status sc_horizons_write(const char *store, const struct sc_horizons *horizons, struct sc_io *io,
                                 struct sc_error *err);

#endif
