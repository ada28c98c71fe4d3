// SPDX-License-Identifier: BSD-3-Clause
/*
 * STORE/templates.state, and what proxies tell each other: what the decoders know of the exporters' templates, so that a restarted collector
 * decodes at once. The file is a list of the states of all receivers (sc_decoder_save); each receiver loads
 * all of them, because an exporter may reach another receiver after a restart.
 *
 *   "SCTSTATE", u32 version (1), u32 count, then count times: u32 length, bytes.    Little-endian.
 */
#ifndef SC_COLLECT_TEMPLATES_H
#define SC_COLLECT_TEMPLATES_H

#include "base/buf.h"
#include "base/status.h"
#include "store/io.h"
#include "wire/decoder.h"

/* The states as one, in the form of the file; empty ones, of receivers that have not said anything yet, are left out. Check `out`
 * with sc_buf_ok. */
void sc_templates_encode(const struct sc_buf *states, uint32_t count, struct sc_buf *out);
/* Merges what another collector encoded; as sc_decoder_merge for each of its states. */
enum sc_status sc_templates_merge(const uint8_t *bytes, size_t length, struct sc_decoder *decoder,
                                  uint64_t clock_ms, uint64_t now_ms, struct sc_error *err);

/* Replaces the file (sc_io_replace). */
enum sc_status sc_templates_save(const char *store, const struct sc_buf *states, uint32_t count,
                                 struct sc_io *io, struct sc_error *err);

/*
 * Loads the file into a decoder. @return SC_OK, also when there is no file; SC_DAMAGED, SC_UNSUPPORTED,
 * SC_IO, SC_NOMEM: the caller warns and goes on without (states before the damaged one are loaded).
 */
enum sc_status sc_templates_load(const char *store, struct sc_decoder *decoder, uint64_t now_ms,
                                 struct sc_error *err);

#endif
