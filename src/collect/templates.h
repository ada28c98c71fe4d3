// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the decoders know of the exporters' templates, in files and on the link: session records (wire/decoder.h), so that a restarted
 * collector decodes at once. Little-endian.
 *
 *   STORE/templates.state    of each session the last record, when it was written; replaced as a whole
 *   STORE/templates.journal  the records since then, appended; a later one replaces an earlier one of the same session
 *
 *   a file:   "SCTSTATE", u32 version (2), u32 0, u64 salt, drawn for each file; then frames
 *   a frame:  u32 length, u32 low half of the XXH3 64 of the length, u64 XXH3 64 of the record, both with the salt as seed; the record
 *   on the link (a STATE): "SCTSTATE", u32 version (2), then a list of records: u32 length, the record
 *
 * A reader goes from frame to frame. Where a record does not fit its hash it goes on behind it; where a length does not fit, at
 * the next place where one does: nobody who doesn't know the salt can write bytes into a name that look like a frame. What is cut off
 * at the end was being written. Version 1, of earlier programs, is a list of whole states:
 *
 *   "SCTSTATE", u32 version (1), u32 count, then count times: u32 length, bytes (sc_decoder_load, sc_decoder_merge)
 */
#ifndef SC_COLLECT_TEMPLATES_H
#define SC_COLLECT_TEMPLATES_H

#include "base/buf.h"
#include "base/status.h"
#include "collect/roll.h"
#include "store/io.h"
#include "wire/decoder.h"

#define SC_TEMPLATES_HEAD_BYTES  24u /* of a file */
#define SC_TEMPLATES_FRAME_BYTES 16u /* before a record */
#define SC_TEMPLATES_MOST_BYTES                                                                              \
    ((size_t)256 << 20) /* of records, in memory while they are read and in templates.state */

/* ---- on the link ---- */

#define SC_TEMPLATES_STATE_BYTES 12u /* before the list */
void sc_templates_begin_state(struct sc_buf *out);
/* The list of records behind the head of a state. False: it is no state of this version. */
bool sc_templates_list(const uint8_t *bytes, size_t length, struct sc_cursor *list);
/* Merges about `most` bytes of a state from *at on, which is 0 at first. @return SC_AGAIN: there is more; else as
 * sc_decoder_merge_records and sc_decoder_merge. */
enum sc_status sc_templates_merge(const uint8_t *bytes, size_t length, size_t *at, size_t most,
                                  struct sc_decoder *decoder, uint64_t clock_ms, uint64_t now_ms,
                                  struct sc_error *err);

/* ---- in files ---- */

void sc_templates_put_head(struct sc_buf *out, uint64_t salt);
void sc_templates_put_frame(struct sc_buf *out, uint64_t salt, const uint8_t *record, size_t length);

struct sc_templates_read {
    uint64_t state_bytes, journal_bytes; /* 0: there is no such file */
    uint64_t damaged;                    /* places where something was skipped */
};

/*
 * Reads both files of a store into a roll. A file of version 1 is read by a decoder with these limits. @return SC_OK, also when
 * there is none; SC_DAMAGED, SC_UNSUPPORTED, SC_IO, SC_NOMEM: of what could be read all is in the roll.
 */
enum sc_status sc_templates_read(const char *store, const struct sc_decoder_limits *limits, uint64_t now_ms,
                                 struct sc_roll *roll, struct sc_templates_read *found, struct sc_error *err);
/* Replaces STORE/templates.state, durably, by what is not outlived in the roll. `io` NULL: the system's. */
enum sc_status sc_templates_replace(const char *store, const struct sc_roll *roll, uint64_t now_ms,
                                    struct sc_io *io, uint64_t *bytes, struct sc_error *err);
/* Begins an empty STORE/templates.journal, in place of the one that is there. *handle: to append to. */
enum sc_status sc_templates_begin_journal(const char *store, uint64_t salt, struct sc_io *io, int *handle,
                                          struct sc_error *err);

#endif
