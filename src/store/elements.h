// SPDX-License-Identifier: BSD-3-Clause
/*
 * What exporters told about their own elements (RFC 5610), beside the segments: STORE/elements. Segments hold the raw bytes;
 * queries read this file to name and type them, so that it also holds for flows that were stored before.
 *
 * The file is text, replaced as a whole, at most 1 MiB. Its first line is "# securitycloud elements 1"; lines that begin with #
 * are remarks. Every other line is one element, as ie/learned.h has it:
 *
 *     PEN ID TYPE SEMANTICS UNIT SINCE NAME
 *     64999 7 unsigned32 deltaCounter octets 1764055070000 myCounter
 *
 * in the words of IANA's registries, SINCE in ms UTC by the clock of the collector that received the definition. A line that is no
 * definition is skipped: it is learned again when the exporter tells it again.
 */
#ifndef SC_STORE_ELEMENTS_H
#define SC_STORE_ELEMENTS_H

#include "base/log.h"
#include "ie/learned.h"
#include "store/io.h"
#include "store/names.h"
#include "store/reader.h"

/*
 * Adds the definitions of the store that `path` is, or is a part of (a folder of a year, month or day, a segment, a replica).
 * @return SC_OK, also when it has none; SC_IO, SC_NOMEM; SC_NOT_OURS: another file lies there; SC_DAMAGED: lines were skipped.
 */
enum sc_status sc_elements_load(const char *path, struct sc_ie_learned *into, struct sc_error *err);

/* The definitions of a store that is being written. Of one thread. */
struct sc_elements {
    const char *store;        /* borrowed, as are the next two */
    struct sc_io *io;         /* never NULL */
    const struct sc_log *log; /* may be NULL */
    struct sc_ie_learned table;
    bool changed;     /* since the file was written */
    bool told_change; /* each was logged once */
    bool told_full;
    bool told_failure;
};

/* Reads what is there. A file that cannot be read is a warning in the log, and is written anew when something is learned. */
void sc_elements_init(struct sc_elements *elements, const char *store, struct sc_io *io,
                      const struct sc_log *log);

/* Takes the definitions among options records. Flows are not looked at. */
void sc_elements_learn(struct sc_elements *elements, const struct sc_batch *batch);
/* As above, of a row group that was checked. */
void sc_elements_learn_encoded(struct sc_elements *elements, const struct sc_encoded_group *group);

/* Writes the file, durably, when something has changed; before records are called durable, and now and then. What
 * fails is logged, and is tried again by the next call. */
void sc_elements_write(struct sc_elements *elements);

void sc_elements_free(struct sc_elements *elements);

#endif
