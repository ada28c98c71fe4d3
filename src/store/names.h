// SPDX-License-Identifier: BSD-3-Clause
/* What the files and folders of a store are called. */
#ifndef SC_STORE_NAMES_H
#define SC_STORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of sealed and of live segment files end so. */
#define SC_SEGMENT_SUFFIX ".scs"
#define SC_LIVE_SUFFIX    ".sclive"

#define SC_DAMAGED_SUFFIX ".damaged" /* behind the name of a file that a repair or a seal kept */
#define SC_TALLY_SUFFIX   ".tally"   /* see tally.h */

/* Below a store: other lanes' batches that it holds, each lane in a folder that is laid out as a store. */
#define SC_REPLICA_FOLDER ".replica"
#define SC_STREAMS_FOLDER ".streams" /* see tally.h */
#define SC_LOST_FOLDER    ".lost"    /* see loss.h */
#define SC_ELEMENTS_FILE  "elements" /* see elements.h */
#define SC_HORIZONS_FILE  "horizons" /* see horizons.h */

/* Whether the name ends so, and begins with something else. */
bool sc_name_ends(const char *name, const char *suffix);

/* How many digits the name is of; 0: of other characters too. Folders of years have four, those of months and days two. */
size_t sc_name_digits(const char *name);

/* "YYYYMMDDTHHMMSSZ-" at the front of a name. */
bool sc_window_name_parse(const char *name, uint64_t *window_ms);

/* "YYYYMMDDTHHMMSSZ-<stream>-<n>.scs|.sclive" to its window; false for other names. */
bool sc_segment_name_parse(const char *name, uint64_t *window_ms, bool *sealed);

/* Folder of a window below a store, "YYYY/MM/DD", and the file name without suffix. */
void sc_segment_name_format(uint64_t window_ms, uint64_t stream, uint32_t number, char folder[11],
                            char name[64]);

#endif
