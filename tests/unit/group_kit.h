// SPDX-License-Identifier: BSD-3-Clause
/* Rows as entries of groups, made of values: what group/pack.c does with columns, one value after the other. */
#ifndef TESTS_GROUP_KIT_H
#define TESTS_GROUP_KIT_H

#include "group/table.h"

#define KIT_ROW_BYTES (SC_MAX_ACCUMULATORS * 8 + 2 + SC_MOST_KEY_BYTES)

static inline bool kit_fits(const struct sc_group_key *key, const struct sc_value *v,
                            enum sc_key_layout layout)
{
    unsigned width = key->width[layout];
    if (v->null || key->interned)
        return true;
    if (key->address)
        return width == 16 || sc_addr_is_v4(&v->addr);
    return width == 8 || v->u >> (8 * width) == 0;
}

/* Packs one value for each key; false without memory for a string. The rest of the row is the caller's. */
static inline bool kit_put_key(struct sc_groups *groups, const struct sc_value *values, uint8_t *row)
{
    const struct sc_aggregate *a = groups->aggregate;
    uint8_t *packed = row + a->key_at;
    uint32_t layout = SC_KEY_NARROW, head;
    for (uint32_t k = 0; k < a->key_count; k++) {
        while (!kit_fits(&a->keys[k], &values[k], (enum sc_key_layout)layout))
            layout++;
    }
    head = layout;
    for (uint32_t k = 0; k < a->key_count; k++) {
        const struct sc_group_key *key = &a->keys[k];
        const struct sc_value *v = &values[k];
        uint8_t *at = packed + key->at[layout], number[8], null[16] = {0};
        head |= v->null ? SC_HEAD_NULL(k) : 0;
        sc_store_le64(number, key->interned && !v->null
                                  ? sc_interner_add(&groups->interner, v->bytes, v->length)
                                  : v->u);
        if (key->interned && !v->null && sc_load_le32(number) == UINT32_MAX)
            return false;
        struct sc_addr none = sc_addr_v4(0), address = v->null ? none : v->addr;
        if (key->address)
            memcpy(at, address.b + 16 - key->width[layout], key->width[layout]);
        else
            memcpy(at, v->null ? null : number, key->width[layout]);
    }
    sc_key_set_head(a, packed, head);
    return true;
}

#endif
