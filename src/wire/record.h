// SPDX-License-Identifier: BSD-3-Clause
/* Session records. */
#ifndef SC_WIRE_RECORD_H
#define SC_WIRE_RECORD_H

#include "wire/decoder_types.h"

enum {
    SC_RECORD_REMOVED = 1,
    SC_RECORD_BARE = 2,
    SC_RECORD_FORGET = 4,
    SC_RECORD_HEARSAY = 8,
    SC_RECORD_ESTABLISHED = 16
};
enum { SC_DOMAIN_INIT_KNOWN = 1, SC_DOMAIN_EXPORTER_KNOWN = 2 }; /* flags of a domain */

#define SC_RECORD_VERSION    1u
#define SC_RECORD_HEAD_BYTES 44u
#define SC_RECORD_FACT_BYTES 4u

/* The session goes: out of the list, and its record from where it is kept. */
void sc_session_unnote(struct sc_decoder *decoder, struct sc_session *session);
uint64_t sc_session_last_definition(const struct sc_session *session);

#endif
