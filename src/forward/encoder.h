// SPDX-License-Identifier: BSD-3-Clause
/*
 * Batches to the messages of one destination of forward/forward.h; no I/O. Belongs to one thread.
 *
 * Flows go as wire/encoder.h says; in IPFIX with the original exporter, domain and receive time as IE 403/404,
 * 405 and 258. The observation domain of the messages is 0: they come from many.
 *
 * Options records go in IPFIX only: NetFlow has no way to say which exporter they are about. Their scope is
 * the original exporter and domain; the fields that were scope where they came from follow as others. Those
 * about sampling or sysUpTime are left out: what they say is in each flow already (IE 34, absolute times), and
 * a collector would take it for all exporters behind the connection.
 */
#ifndef SC_FORWARD_ENCODER_H
#define SC_FORWARD_ENCODER_H

#include "flow/batch.h"
#include "wire/encoder.h"

#define SC_FORWARD_DATAGRAM 1420u

struct sc_forward_message {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t records; /* flow or options records in it */
};

struct sc_forward_encoder;

/* `stream`: TCP. @return NULL with *err. */
struct sc_forward_encoder *sc_forward_encoder_create(enum sc_export_protocol protocol, bool stream,
                                                     struct sc_error *err);
void sc_forward_encoder_free(struct sc_forward_encoder *encoder); /* NULL is allowed */

/* A new transport session: templates go first. */
void sc_forward_encoder_restart(struct sc_forward_encoder *encoder);
/* The destination may be a new process: templates go again. */
void sc_forward_encoder_repeat_templates(struct sc_forward_encoder *encoder);

/*
 * Encodes rows [first, first + n) of a finished batch at the time now_ms (UTC). *messages are the encoder's
 * until the next call; the records that are in none of them cannot be said.
 * @return SC_OK; SC_NOMEM with the messages that were made before.
 */
enum sc_status sc_forward_encode(struct sc_forward_encoder *encoder, const struct sc_batch *batch,
                                 uint32_t first, uint32_t n, uint64_t now_ms,
                                 const struct sc_forward_message **messages, uint32_t *count,
                                 struct sc_error *err);

#endif
