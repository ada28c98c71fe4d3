// SPDX-License-Identifier: BSD-3-Clause
/*
 * The small authority of a cluster: a key and a certificate that signs those of the members (ECDSA over P-256, SHA-256). Bytes in and
 * out are PEM; no I/O here.
 */
#ifndef SC_NET_AUTHORITY_H
#define SC_NET_AUTHORITY_H

#include "base/buf.h"
#include "base/status.h"

#define SC_AUTHORITY_NAME_MAX 64u   /* with its end: a common name (X.520), and a member's */
#define SC_AUTHORITY_EARLY_S  86400 /* certificates begin a day before they are made: members' clocks differ */

struct sc_authority;

/* Bytes of a certificate and of its key. Zero-initialise; sc_certified_free wipes the key. */
struct sc_certified {
    struct sc_buf certificate, key;
};

void sc_certified_free(struct sc_certified *made);

/* A new one. @return SC_OK, SC_NOMEM; SC_IO: OpenSSL does not. */
enum sc_status sc_authority_create(uint32_t days, struct sc_authority **out, struct sc_error *err);
/* One that was made before. @return also SC_USAGE: these are no certificate and its key. */
enum sc_status sc_authority_read(const struct sc_certified *bytes, struct sc_authority **out,
                                 struct sc_error *err);
void sc_authority_free(struct sc_authority *authority); /* NULL is allowed */

enum sc_status sc_authority_write(const struct sc_authority *authority, struct sc_certified *out,
                                  struct sc_error *err);
/* Whole days that it is valid yet; what it signs is not valid for longer. */
uint32_t sc_authority_days_left(const struct sc_authority *authority);
/* A certificate of this name, for both ends of a connection, with a key of its own. */
enum sc_status sc_authority_issue(const struct sc_authority *authority, const char *name, uint32_t days,
                                  struct sc_certified *out, struct sc_error *err);

/* Whether these are a certificate and its key, of this name, signed by the authority, valid for so many days yet. */
bool sc_authority_knows(const struct sc_authority *authority, const struct sc_certified *bytes,
                        const char *name, uint32_t days);

#endif
