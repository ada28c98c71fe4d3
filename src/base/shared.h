// SPDX-License-Identifier: BSD-3-Clause
/* Bytes that several hold, by count, and that nobody changes any more. Whoever releases them last frees them. Any thread. */
#ifndef SC_BASE_SHARED_H
#define SC_BASE_SHARED_H

#include "base/buf.h"

#include <stdatomic.h>

struct sc_shared {
    atomic_uint holders;
    const uint8_t *bytes;
    size_t size;
};

/* Takes the bytes out of the buffer, which is empty then; held once. NULL without memory: the buffer is as before. */
struct sc_shared *sc_shared_take(struct sc_buf *buf);
struct sc_shared *sc_shared_hold(struct sc_shared *shared); /* NULL is allowed */
void sc_shared_release(struct sc_shared *shared);           /* NULL is allowed */

#endif
