// SPDX-License-Identifier: BSD-3-Clause
/*
 * The distinct addresses of all address columns of a row group, in ascending order; a code is an index into
 * it. Addresses are 128 bit numbers, most significant byte first; IPv4 a.b.c.d is ::ffff:a.b.c.d, so that all
 * IPv4 addresses lie together. The chunk (role ADDRESSES): three counts u32 (addresses below the IPv4 range,
 * IPv4, above it), then always three integer streams: IPv4 addresses as 32 bit numbers; upper 64 bits of the
 * others, those below before those above; lower 64 bits of the others.
 */
#ifndef SC_STORE_ADDRESS_DICT_H
#define SC_STORE_ADDRESS_DICT_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/table.h"
#include "store/stream.h"

struct sc_address_dict {
    struct sc_addr *values;
    uint32_t count;
};

/* Collects addresses by hash; the code order is known only when sorted, so that nothing of the seed is stored. Zero-initialise, but
 * for the seed; one thread. */
struct sc_address_set {
    uint64_t seed;
    struct sc_addr *values; /* in order of arrival */
    uint32_t count;
    uint32_t capacity;
    struct sc_table table; /* of arrival indexes */
    uint32_t *rank;        /* after sorting: arrival index to code */
};

/* Arrival index of the address, added when new; UINT32_MAX without memory. */
uint32_t sc_address_set_add(struct sc_address_set *set, const struct sc_addr *address);
/* Or without looking whether it is there already: then nothing is added otherwise, and there must be room for it. */
bool sc_address_set_reserve(struct sc_address_set *set, uint32_t count);
uint32_t sc_address_set_append(struct sc_address_set *set, const struct sc_addr *address);
/* Sorts values, takes out doubles and fills rank. @return SC_OK or SC_NOMEM. */
enum sc_status sc_address_set_sort(struct sc_address_set *set);
/* Empties it for other addresses, with as much memory as those before needed. */
void sc_address_set_clear(struct sc_address_set *set);
void sc_address_set_free(struct sc_address_set *set);

enum sc_status sc_address_dict_write(struct sc_stream_encoder *encoder, const struct sc_addr *sorted,
                                     uint32_t count, struct sc_buf *out);
/* Reads, checks strict ascending order. `values` lies in the arena. */
enum sc_status sc_address_dict_read(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                    uint32_t max_count, struct sc_arena *arena, struct sc_address_dict *out);

#endif
