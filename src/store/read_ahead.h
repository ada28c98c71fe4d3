// SPDX-License-Identifier: BSD-3-Clause
/*
 * Reading what the page cache has, and asking for what it has not. One chunk after the other would each wait for the disk; what the row
 * group before was read for is asked for all at once, when the first chunk of it is missing. Where all is in memory nothing is asked.
 */
#ifndef SC_STORE_READ_AHEAD_H
#define SC_STORE_READ_AHEAD_H

#include "store/reader.h"

/* Whether all of it was in the page cache; else nothing is said of `out`. Where the file system cannot tell it is read, whatever that takes. */
bool sc_read_cached(int fd, uint64_t offset, void *out, size_t count);

typedef void sc_read_ahead(const struct sc_row_group *group, int fd);

/* A chunk of the group is about to be read. */
void sc_read_note(const struct sc_row_group *group, const struct sc_entry *entry);
/* Asks for the chunks that the row group before was read for, and that have not been noted yet; once for a row group. */
sc_read_ahead sc_read_chunks_ahead;
/* Asks for the directories of a row group and of those behind it. */
sc_read_ahead sc_read_heads_ahead;
/* Another row group is opened: what was noted is from now on that of the one before. */
void sc_read_next(struct sc_read_context *context);

#endif
