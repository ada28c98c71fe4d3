// SPDX-License-Identifier: BSD-3-Clause
#include "store/address_dict.h"

#include "base/array.h"
#include "base/hash.h"
#include "base/radix.h"

#include <stdlib.h>

#define FIRST_CAPACITY 1024u
#define KEPT_CAPACITY  (1u << 17) /* 4 MiB */

static bool grow_set(struct sc_address_set *set)
{
    uint32_t room = set->count == 0 ? FIRST_CAPACITY : set->count * 2;
    return sc_array_reserve(set->values, set->capacity, room) &&
           sc_table_reserve(&set->table, room - set->count);
}

bool sc_address_set_reserve(struct sc_address_set *set, uint32_t count)
{
    return sc_array_reserve(set->values, set->capacity, count);
}

uint32_t sc_address_set_add(struct sc_address_set *set, const struct sc_addr *address)
{
    if (set->count == set->table.size / 2 && !grow_set(set))
        return UINT32_MAX;
    uint64_t hash = sc_hash_pair(sc_load_le64(address->b), sc_load_le64(address->b + 8), set->seed);
    struct sc_probe p = sc_table_first(&set->table, hash);
    while (p.number != SC_TABLE_NONE && !sc_addr_equal(&set->values[p.number], address))
        sc_table_next(&set->table, &p);
    if (p.number != SC_TABLE_NONE)
        return p.number;
    set->values[set->count] = *address;
    sc_table_put(&set->table, &p, set->count);
    return set->count++;
}

uint32_t sc_address_set_append(struct sc_address_set *set, const struct sc_addr *address)
{
    set->values[set->count] = *address;
    return set->count++;
}

/* By one half of their bits: first the lower, then the upper one, in which IPv4 addresses are alike. */
static void sort_half(const struct sc_addr *values, unsigned half, struct sc_keyed *order,
                      struct sc_keyed *scratch, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        order[i].key = sc_load_be64(values[order[i].value].b + 8 * half);
    sc_radix_sort(order, scratch, count);
}

/* IPv4 addresses to the front of `order`, the others behind them. @return how many are IPv4. */
static uint32_t part_families(const struct sc_address_set *set, struct sc_keyed *order)
{
    uint32_t v4 = 0, end = set->count;
    for (uint32_t i = 0; i < set->count; i++)
        order[sc_addr_is_v4(&set->values[i]) ? v4++ : --end].value = i;
    return v4;
}

/* The next of the sorted addresses to its place; one that was there just before has the same. */
static void put_sorted(struct sc_address_set *set, const struct sc_keyed *order, uint32_t count,
                       struct sc_addr *values, uint32_t *at)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_addr *next = &set->values[order[i].value];
        if (*at == 0 || !sc_addr_equal(&values[*at - 1], next))
            values[(*at)++] = *next;
        set->rank[order[i].value] = *at - 1;
    }
}

/* Of sorted addresses that are not IPv4: how many are less than all that are. */
static uint32_t count_below(const struct sc_address_set *set, const struct sc_keyed *order, uint32_t count)
{
    const struct sc_addr first_v4 = sc_addr_v4(0);
    uint32_t below = 0;
    while (below < count && sc_addr_compare(&set->values[order[below].value], &first_v4) < 0)
        below++;
    return below;
}

/* @return how many different ones there are. */
static uint32_t sort(struct sc_address_set *set, struct sc_keyed *order, struct sc_addr *sorted)
{
    uint32_t at = 0, v4 = part_families(set, order), others = set->count - v4;
    struct sc_keyed *rest = order + v4, *scratch = order + set->count;
    sort_half(set->values, 1, order, scratch, v4);
    sort_half(set->values, 1, rest, scratch, others);
    sort_half(set->values, 0, rest, scratch, others);
    uint32_t below = count_below(set, rest, others);
    put_sorted(set, rest, below, sorted, &at);
    put_sorted(set, order, v4, sorted, &at);
    put_sorted(set, rest + below, others - below, sorted, &at);
    return at;
}

enum sc_status sc_address_set_sort(struct sc_address_set *set)
{
    struct sc_keyed *order = malloc(((size_t)set->count * 2 + 1) * sizeof(*order));
    struct sc_addr *sorted = malloc(((size_t)set->capacity + 1) * sizeof(*sorted));
    free(set->rank);
    set->rank = malloc(((size_t)set->count + 1) * sizeof(*set->rank));
    if (order == NULL || sorted == NULL || set->rank == NULL) {
        free(order);
        free(sorted);
        return SC_NOMEM;
    }
    set->count = sort(set, order, sorted);
    free(order);
    free(set->values);
    set->values = sorted;
    return SC_OK;
}

void sc_address_set_clear(struct sc_address_set *set)
{
    if (set->capacity > KEPT_CAPACITY || set->count <= set->capacity / 8) {
        sc_address_set_free(set);
        return;
    }
    free(set->rank);
    set->rank = NULL;
    set->count = 0;
    sc_table_clear(&set->table);
}

void sc_address_set_free(struct sc_address_set *set)
{
    free(set->values);
    sc_table_free(&set->table);
    free(set->rank);
    *set = (struct sc_address_set){0};
}

enum sc_status sc_address_dict_write(struct sc_stream_encoder *encoder, const struct sc_addr *sorted,
                                     uint32_t count, struct sc_buf *out)
{
    uint32_t below = 0, v4 = 0;
    while (below < count && !sc_addr_is_v4(&sorted[below]) && sc_load_be64(sorted[below].b) == 0 &&
           sc_load_be64(sorted[below].b + 8) < UINT64_C(0xffff00000000))
        below++;
    while (below + v4 < count && sc_addr_is_v4(&sorted[below + v4]))
        v4++;
    uint32_t others = count - v4;
    uint64_t *numbers = malloc(((size_t)count + 1) * sizeof(*numbers));
    if (numbers == NULL)
        return SC_NOMEM;
    sc_buf_append_le32(out, below);
    sc_buf_append_le32(out, v4);
    sc_buf_append_le32(out, others - below);
    for (uint32_t i = 0; i < v4; i++)
        numbers[i] = sc_addr_get_v4(&sorted[below + i]);
    enum sc_status status = sc_stream_put_integers(encoder, numbers, v4, out);
    for (unsigned half = 0; half < 2 && status == SC_OK; half++) {
        for (uint32_t i = 0; i < others; i++)
            numbers[i] = sc_load_be64(sorted[i < below ? i : i + v4].b + 8 * half);
        status = sc_stream_put_integers(encoder, numbers, others, out);
    }
    free(numbers);
    return status;
}

static enum sc_status read_numbers(struct sc_stream_decoder *decoder, struct sc_cursor *in, uint32_t count,
                                   unsigned width, void *numbers)
{
    struct sc_stream_head head;
    SC_TRY(sc_stream_head_read(in, count, &head));
    if (head.count != count)
        return SC_DAMAGED;
    return sc_stream_get_integers(decoder, in, &head, width, numbers);
}

/* IPv4 addresses to values[count]. False: they do not ascend. */
static bool take_v4(const uint32_t *numbers, uint32_t count, struct sc_addr *values)
{
    bool descends = false;
    for (uint32_t i = 1; i < count; i++)
        descends |= numbers[i - 1] >= numbers[i];
    for (uint32_t i = 0; i < count; i++)
        values[i] = sc_addr_v4(numbers[i]);
    return !descends;
}

/* The others, of which `gap` addresses stand behind the first `below`. */
static bool take_others(const uint64_t *upper, const uint64_t *lower, uint32_t count, uint32_t below,
                        uint32_t gap, struct sc_addr *values)
{
    bool descends = false;
    for (uint32_t i = 1; i < count; i++)
        descends |= upper[i - 1] > upper[i] || (upper[i - 1] == upper[i] && lower[i - 1] >= lower[i]);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *to = values[i < below ? i : i + gap].b;
        sc_store_be64(to, upper[i]);
        sc_store_be64(to + 8, lower[i]);
    }
    return !descends;
}

/* Where there is nothing on one side of a place, all is in order. */
static bool ascends_at(const struct sc_addr *values, uint32_t count, uint32_t place)
{
    return place == 0 || place >= count || sc_addr_compare(&values[place - 1], &values[place]) < 0;
}

enum sc_status sc_address_dict_read(struct sc_stream_decoder *decoder, struct sc_cursor *in,
                                    uint32_t max_count, struct sc_arena *arena, struct sc_address_dict *out)
{
    uint32_t below = sc_cursor_le32(in), v4 = sc_cursor_le32(in), above = sc_cursor_le32(in);
    if (in->failed || below > max_count || v4 > max_count || above > max_count ||
        below + v4 + above > max_count)
        return SC_DAMAGED;
    uint32_t count = below + v4 + above, others = below + above;
    uint32_t *numbers = sc_arena_alloc(arena, (size_t)v4 * sizeof(*numbers));
    uint64_t *halves = sc_arena_alloc(arena, 2 * (size_t)others * sizeof(*halves));
    struct sc_addr *values = sc_arena_alloc(arena, (size_t)count * sizeof(*values));
    if (numbers == NULL || halves == NULL || values == NULL)
        return SC_NOMEM;
    SC_TRY(read_numbers(decoder, in, v4, sizeof(*numbers), numbers));
    SC_TRY(read_numbers(decoder, in, others, sizeof(*halves), halves));
    SC_TRY(read_numbers(decoder, in, others, sizeof(*halves), halves + others));
    bool ascend = take_v4(numbers, v4, values + below);
    ascend = take_others(halves, halves + others, others, below, v4, values) && ascend;
    *out = (struct sc_address_dict){.values = values, .count = count};
    return ascend && ascends_at(values, count, below) && ascends_at(values, count, below + v4) ? SC_OK
                                                                                               : SC_DAMAGED;
}
