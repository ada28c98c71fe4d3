// SPDX-License-Identifier: BSD-3-Clause
#include "group/key.h"

static bool same_key(const struct sc_group_key *x, const struct sc_group_key *y)
{
    return x->prefix4 == y->prefix4 && x->prefix6 == y->prefix6 && x->bucket == y->bucket &&
           x->local == y->local;
}

bool sc_accumulator_same(const struct sc_accumulator *x, const struct sc_accumulator *y)
{
    return x->how == y->how && x->permille == y->permille && strcmp(x->field.name, y->field.name) == 0 &&
           same_key(&x->key, &y->key);
}

uint32_t sc_aggregate_add_like(struct sc_aggregate *a, const struct sc_accumulator *accumulator)
{
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        if (sc_accumulator_same(&a->accumulators[i], accumulator))
            return i;
    }
    if (a->accumulator_count == SC_MAX_ACCUMULATORS)
        return UINT32_MAX;
    a->accumulators[a->accumulator_count] = *accumulator;
    return a->accumulator_count++;
}

uint32_t sc_aggregate_add(struct sc_aggregate *a, const struct sc_field *field, enum sc_accumulate how)
{
    const struct sc_accumulator accumulator = {.field = *field, .how = (uint8_t)how};
    return sc_aggregate_add_like(a, &accumulator);
}

/* Bytes that the values of a field usually need. */
static unsigned usual_width(const struct sc_group_key *key)
{
    const struct sc_field *f = &key->field;
    bool integer = f->type == SC_VALUE_UINT && f->computed == SC_COMPUTED_NONE && f->source_count > 0;
    const struct sc_ie *ie = integer ? sc_ie_find(f->sources[0].key.pen, f->sources[0].key.id) : NULL;
    unsigned width = ie == NULL ? 8 : sc_column_width_of(ie->type);
    return width == 0 || width > 8 ? 8 : width;
}

static void set_widths(struct sc_group_key *key)
{
    key->address = key->field.type == SC_VALUE_ADDRESS && key->cell == SC_CELL_ALL;
    key->interned =
        key->cell == SC_CELL_ALL && (key->field.type == SC_VALUE_BYTES || key->field.type == SC_VALUE_STRING);
    if (key->cell != SC_CELL_ALL) { /* it decides no layout */
        memset(key->width, key->cell == SC_CELL_REGISTER ? 2 : 8, sizeof(key->width));
        return;
    }
    unsigned usual = key->address || key->interned ? 4 : usual_width(key);
    key->width[SC_KEY_NARROW] = (uint8_t)usual;
    key->width[SC_KEY_MIDDLE] = key->address ? 16 : (uint8_t)usual;
    key->width[SC_KEY_WIDE] = key->address ? 16 : key->interned ? 4 : 8;
}

void sc_aggregate_prepare(struct sc_aggregate *a)
{
    a->interns = false;
    a->hash_by_group = a->key_count != 0 && a->keys[a->key_count - 1].cell == SC_CELL_LOGARITHM;
    a->seen_at = 8 * a->accumulator_count;
    a->key_at = a->seen_at + (a->accumulator_count > 8 ? 2 : 1);
    for (uint32_t k = 0; k < a->key_count; k++) {
        set_widths(&a->keys[k]);
        a->interns = a->interns || a->keys[k].interned;
    }
    a->hash_special = a->interns || a->hash_by_group || a->beside != NULL;
    for (unsigned layout = 0; layout < SC_KEY_LAYOUTS; layout++) {
        uint32_t at = sc_head_bytes(a);
        for (uint32_t k = 0; k < a->key_count; k++) {
            a->keys[k].at[layout] = (uint16_t)at;
            at += a->keys[k].width[layout];
        }
        a->key_bytes[layout] = at < SC_MIN_KEY_BYTES ? SC_MIN_KEY_BYTES : at;  /* the rest is zero */
        a->entry_bytes[layout] = (a->key_at + a->key_bytes[layout] + 3) & ~3u; /* loads may be unaligned */
    }
}
