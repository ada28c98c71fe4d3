// SPDX-License-Identifier: BSD-3-Clause
/* What retention by size leaves room for, of windows that came by: healing asks for no more, and who looks at a store (sc-admin verify
 * --cluster) misses no more in it. Any thread. */
#ifndef SC_STORE_ROOM_H
#define SC_STORE_ROOM_H

#include "base/status.h"

#include <stdint.h>

/* Of retention's bytes: what is beyond would only be deleted again. 0: there is no bound. */
uint64_t sc_room_bytes(uint64_t retention_bytes);
/* The earliest time from which on windows have less than `most` bytes. `bytes_before`: how many those have that begin before a time. */
uint64_t sc_room_from(uint64_t most, uint64_t (*bytes_before)(const void *arg, uint64_t before_ms),
                      const void *arg);
/* Likewise of all that retention counts in a store now; 0 when there is no bound, or no store. @return SC_OK; what sc_catalogue_add says. */
enum sc_status sc_room_in_store(const char *store, uint64_t retention_bytes, uint64_t *from_ms,
                                struct sc_error *err);

#endif
