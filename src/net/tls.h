// SPDX-License-Identifier: BSD-3-Clause
/*
 * Mutual TLS 1.3 between the members of a cluster (OpenSSL, over libevent's buffers): who this node is, and whom it believes. One
 * authority signs the certificates of all members; the names in them, as DNS names, are those of the membership file. Sessions are
 * not resumed: each connection shows its certificate.
 *
 * A folder holds authority.pem, NAME.pem (the certificate, what it is signed with behind it) and NAME.key; sc-admin certs makes it
 * (net/authority.h). What was loaded does not change; it is held by count, by any thread, and a connection keeps what it began with.
 */
#ifndef SC_NET_TLS_H
#define SC_NET_TLS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_TLS_AUTHORITY "authority" /* .pem, .key */

struct bufferevent;
struct event_base;
struct x509_st;
struct sc_tls;

/* Of the node `name`. @return SC_OK; SC_NOTFOUND, SC_IO: a file; SC_USAGE with what is wrong: everybody may read the key, or write
 * another file or the folder, the key is another certificate's or has a password, the certificate is of another name, not signed by the authority, or over; SC_NOMEM. */
enum sc_status sc_tls_load(const char *folder, const char *name, struct sc_tls **out, struct sc_error *err);
struct sc_tls *sc_tls_hold(struct sc_tls *tls); /* NULL is allowed */
void sc_tls_release(struct sc_tls *tls);        /* NULL is allowed */
/* When the certificate is over, or the authority, in seconds since 1970. */
int64_t sc_tls_end_s(const struct sc_tls *tls);

/* A connection over a socket that is connected, which it closes. `member`: the name that the other end must have; NULL: this end was
 * called, and the other says its name later (sc_tls_is). What is written waits for the handshake. NULL without memory. */
struct bufferevent *sc_tls_open(struct sc_tls *tls, struct event_base *base, int fd, const char *member);
/* Whether the other end has shown a certificate with exactly this name. */
bool sc_tls_is(struct bufferevent *io, const char *name);
/* Other keys for what is sent from here on, when no write is under way. GCM wears a key out with some 380 GB (RFC 8446, 5.5). False: not now. */
bool sc_tls_renew(struct bufferevent *io);
#define SC_TLS_KEY_BYTES (UINT64_C(64) << 30)

/* Why an event was an error, e.g. "TLS: its certificate: certificate has expired". */
void sc_tls_reason(struct bufferevent *io, char *out, size_t size);

/* For net/authority.h: whether it is one of the certificate's DNS names, exactly; and OpenSSL's question for a password, unanswered. */
bool sc_tls_has_name(const struct x509_st *certificate, const char *name);
int sc_tls_no_password(char *out, int size, int writes, void *arg);

#endif
