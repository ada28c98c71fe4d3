// SPDX-License-Identifier: BSD-3-Clause
/* Rows of a row group to groups: keys and accumulated values column by column, then row by row into the
 * table. */
#include "group/rows.h"

#include "flow/vector.h"
#include "group/direct.h"
#include "group/time_bucket.h"

#include <stdlib.h>

#define PACE   4096u            /* rows between two looks at the table's size */
#define NO_ID  UINT32_MAX       /* not looked up yet, or no memory */
#define ABSENT (UINT32_MAX - 1) /* not among the strings of closed groups: no group can have it */

static bool make_values(struct sc_row_values *v)
{
    v->values = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
    v->valid = malloc(SC_ROW_GROUP_ROWS / 8);
    return v->values != NULL && v->valid != NULL;
}

static struct sc_group_scratch *make_scratch(const struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->rows = malloc((SC_ROW_GROUP_ROWS + SC_BITMAP_SLACK) * sizeof(*s->rows));
    bool ok = s->rows != NULL && sc_packed_init(&s->packed, a);
    for (uint32_t k = 0; k < a->key_count && ok; k++)
        ok = make_values(&s->keys[k].numbers) && (!a->keys[k].pair || make_values(&s->others[k].numbers));
    s->fed = sc_groups_fed(groups);
    s->vectors = sc_machine_vectors();
    sc_group_set_ways(a, s->fed, &s->ways);
    for (uint32_t i = 0; i < a->accumulator_count && ok; i++)
        ok = (s->fed >> i & 1) == 0 || make_values(&s->accumulators[i]);
    if (!ok) {
        sc_group_scratch_free(s);
        return NULL;
    }
    return s;
}

static bool all_set(const uint64_t *bits, uint32_t rows)
{
    for (uint32_t w = 0; w < rows / 64; w++) {
        if (bits[w] != ~UINT64_C(0))
            return false;
    }
    return rows % 64 == 0 || bits[rows / 64] == (UINT64_C(1) << (rows % 64)) - 1;
}

/* The dictionary column that alone decides the field, or NULL: then each distinct value is looked at only
 * once. */
static const struct sc_column *deciding_dictionary(const struct sc_field *field,
                                                   const struct sc_column *const *columns, uint32_t count)
{
    if (count != 1 || columns[0]->form == SC_FORM_FLAT || field->computed != SC_COMPUTED_NONE)
        return NULL;
    return columns[0];
}

/* ---- keys that are strings ---- */

static uint32_t intern_row(struct sc_groups *groups, const struct sc_field *field,
                           const struct sc_column *const *columns, uint32_t count, uint32_t row, bool *null)
{
    struct sc_value v = sc_field_value(field, columns, count, row);
    *null = v.null;
    if (v.null)
        return 0;
    if (!groups->closed)
        return sc_interner_add(&groups->interner, v.bytes, v.length);
    uint32_t id = sc_interner_find(&groups->interner, v.bytes, v.length);
    return id == UINT32_MAX ? ABSENT : id;
}

static enum sc_status intern_rows(struct sc_groups *groups, const struct sc_field *field,
                                  struct sc_row_group *group, const struct sc_column *const *columns,
                                  uint32_t count, uint32_t row_count, struct sc_row_values *out)
{
    const struct sc_column *dict = deciding_dictionary(field, columns, count);
    const uint32_t *rows = groups->scratch->rows;
    uint32_t *ids = NULL;
    if (dict != NULL) {
        ids = sc_arena_alloc(&group->context->arena, (size_t)dict->dict.count * sizeof(*ids));
        if (ids == NULL)
            return SC_NOMEM;
        memset(ids, 0xff, (size_t)dict->dict.count * sizeof(*ids));
    }
    memset(out->valid, 0, sc_bitmap_words(group->rows) * sizeof(*out->valid));
    for (uint32_t i = 0; i < row_count; i++) {
        uint32_t row = rows[i], id = NO_ID;
        bool null = dict != NULL && sc_column_is_null(dict, row);
        uint32_t code = dict != NULL && !null ? sc_column_code(dict, row) : 0;
        if (dict != NULL && !null)
            id = ids[code];
        if (id == NO_ID && !null) {
            id = intern_row(groups, field, columns, count, row, &null);
            if (id == NO_ID)
                return SC_NOMEM;
            if (dict != NULL && !null)
                ids[code] = id;
        }
        out->values[row] = null ? 0 : id;
        if (!null)
            out->valid[row / 64] |= UINT64_C(1) << (row % 64);
    }
    return SC_OK;
}

/* ---- keys that are addresses ---- */

/* Rows lead to the dictionary, or to a copy of it that is cut to the prefixes: that takes no address to another family. */
static enum sc_status code_rows(const struct sc_group_key *key, struct sc_row_group *group,
                                const struct sc_column *dict, struct sc_key_rows *out)
{
    const struct sc_addr *addresses = dict->dict.values;
    uint32_t count = dict->dict.count;
    out->codes = dict;
    out->addresses = addresses;
    sc_addresses_find_v4(addresses, count, &out->first4, &out->count4);
    out->count4 -= out->first4;
    if (key->prefix4 == SC_NO_PREFIX && key->prefix6 == SC_NO_PREFIX)
        return SC_OK;
    struct sc_addr *cut = sc_arena_alloc(&group->context->arena, (size_t)count * sizeof(*cut));
    for (uint32_t code = 0; code < count && cut != NULL; code++)
        cut[code] = sc_group_mask_key(key, &addresses[code]);
    out->addresses = cut;
    return cut == NULL ? SC_NOMEM : SC_OK;
}

static enum sc_status address_rows(struct sc_groups *groups, const struct sc_group_key *key,
                                   const struct sc_field *field, struct sc_row_group *group,
                                   const struct sc_column *const *columns, uint32_t count, uint32_t row_count,
                                   struct sc_key_rows *out)
{
    const struct sc_column *dict = deciding_dictionary(field, columns, count);
    const uint32_t *rows = groups->scratch->rows;
    uint64_t *valid = out->numbers.valid;
    size_t words = sc_bitmap_words(group->rows);
    if (dict != NULL && dict->key.kind == SC_COLUMN_ADDRESS && sc_field_plain(field, &dict, 1) != NULL) {
        if (dict->valid != NULL)
            memcpy(valid, dict->valid, words * sizeof(*valid));
        out->numbers.all_valid = dict->nulls == 0;
        return code_rows(key, group, dict, out);
    }
    if (out->own == NULL)
        out->own = malloc(SC_ROW_GROUP_ROWS * sizeof(*out->own));
    if (out->own == NULL)
        return SC_NOMEM;
    memset(valid, 0, words * sizeof(*valid));
    for (uint32_t i = 0; i < row_count; i++) {
        struct sc_value v = sc_field_value(field, columns, count, rows[i]);
        out->own[rows[i]] = sc_group_mask_key(key, &v.addr);
        valid[rows[i] / 64] |= (uint64_t)!v.null << (rows[i] % 64);
    }
    out->codes = NULL;
    out->addresses = out->own;
    out->numbers.all_valid = all_set(valid, group->rows);
    return SC_OK;
}

/* ---- columns of keys and accumulators ---- */

/* True when the rows' integers can be taken from the column itself. */
static bool find_plain(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                       struct sc_row_values *out)
{
    const struct sc_column *c = sc_field_plain(field, columns, count);
    out->plain = c != NULL && c->key.kind == SC_COLUMN_UINT && c->nulls == 0 ? c : NULL;
    out->ones = field->computed == SC_COMPUTED_FLOWS && count == 0;
    out->all_valid = true;
    return out->plain != NULL || out->ones;
}

/* Values to the begins of their buckets; a null row keeps its 0. */
static void round_rows(const struct sc_group_key *key, uint32_t rows, struct sc_row_values *v)
{
    struct sc_time_bucket bucket = {.size = key->bucket};
    for (uint32_t i = 0; key->local && i < rows; i++) {
        if (sc_row_is_set(v->valid, i))
            v->values[i] = sc_time_bucket_start(&bucket, v->values[i]);
    }
    for (uint32_t i = 0; key->bucket != 0 && !key->local && i < rows; i++)
        v->values[i] -= v->values[i] % key->bucket;
    for (uint32_t i = 0; key->cell == SC_CELL_LOGARITHM && i < rows; i++)
        v->values[i] &= ~UINT64_C(0) << sc_cell_bits(v->values[i]);
}

static enum sc_status key_rows(struct sc_groups *groups, const struct sc_group_key *key,
                               const struct sc_field *field, struct sc_row_group *group, uint32_t row_count,
                               struct sc_key_rows *out, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    struct sc_row_values *numbers = &out->numbers;
    enum sc_status status = SC_OK;
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, group, columns, &count, err));
    numbers->plain = NULL;
    numbers->ones = false;
    if (key->address) {
        status = address_rows(groups, key, field, group, columns, count, row_count, out);
        return status == SC_OK ? SC_OK : sc_fail_nomem(err, "groups");
    }
    if (key->interned) {
        status = intern_rows(groups, field, group, columns, count, row_count, numbers);
    } else if (key->bucket == 0 && !key->pair && key->cell == SC_CELL_ALL &&
               find_plain(field, columns, count, numbers)) {
        return SC_OK;
    } else {
        sc_field_integers(field, columns, count, group->rows, numbers->values, numbers->valid);
        round_rows(key, group->rows, numbers);
    }
    numbers->all_valid = all_set(numbers->valid, group->rows);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "groups");
}

static enum sc_status accumulator_rows(const struct sc_accumulator *a, struct sc_row_group *group,
                                       struct sc_row_values *out, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(&a->field, group, columns, &count, err));
    if (a->how != SC_ACCUMULATE_COUNT && find_plain(&a->field, columns, count, out))
        return SC_OK;
    out->plain = NULL;
    out->ones = false;
    sc_field_integers(&a->field, columns, count, group->rows, out->values, out->valid);
    out->all_valid = all_set(out->valid, group->rows);
    for (uint32_t i = 0; a->how == SC_ACCUMULATE_COUNT && i < group->rows; i++)
        out->values[i] = 1;
    return SC_OK;
}

/* A selection is of rows that are wanted. */
static void list_rows(const struct sc_row_group *group, const struct sc_selection *selection, uint32_t *out)
{
    if (selection->count == group->rows) {
        for (uint32_t row = 0; row < group->rows; row++)
            out[row] = row;
    } else if (group->wanted.bits != NULL && group->wanted.count == selection->count) {
        memcpy(out, group->wanted.list.rows, selection->count * sizeof(*out));
    } else {
        sc_bitmap_list(selection->rows, sc_bitmap_words(group->rows), 0, out);
    }
}

/* ---- adding ---- */

/* Up to SC_GROUP_CHUNK rows. */
static enum sc_status add_chunk(struct sc_groups *groups, const struct sc_key_rows *const *keys,
                                const uint32_t *rows, uint32_t n)
{
    struct sc_group_scratch *s = groups->scratch;
    uint32_t found = 0;
    sc_group_pack(groups, &s->packed, keys, rows, n);
    SC_TRY(sc_group_search(groups, &s->packed, n, s->entries));
    for (uint32_t j = 0; j < n; j++) {
        s->entries[found] = s->entries[j];
        s->found[found] = rows[j];
        found += s->entries[j] != NULL;
    }
    sc_group_add_values(groups->aggregate, s, s->found, found);
    return SC_OK;
}

/* The entries of a chunk are fetched while the chunk before it is added. */
static enum sc_status add_direct(struct sc_groups *groups, const struct sc_key_rows *const *keys,
                                 uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    uint32_t n = count < SC_GROUP_CHUNK ? count : SC_GROUP_CHUNK;
    bool here = sc_group_find_direct(groups, &keys[0]->numbers, s->rows, n), next_here = true;
    for (uint32_t i = 0, next; i < count; i += n, n = next, here = next_here) {
        next = count - i - n < SC_GROUP_CHUNK ? count - i - n : SC_GROUP_CHUNK;
        memcpy(s->entries, s->ahead, n * sizeof(*s->entries));
        if (next != 0)
            next_here = sc_group_find_direct(groups, &keys[0]->numbers, s->rows + i + n, next);
        if (here)
            sc_group_add_values(groups->aggregate, s, s->rows + i, n);
        else
            SC_TRY(add_chunk(groups, keys, s->rows + i, n));
    }
    return SC_OK;
}

static enum sc_status add_listed(struct sc_groups *groups, struct sc_row_group *group,
                                 const struct sc_key_rows *const *keys, uint32_t count)
{
    if (groups->cells != NULL) {
        sc_cells_add(groups, group, keys, groups->scratch->rows, count);
        return SC_OK;
    }
    sc_groups_need_direct(groups, count);
    if (groups->scratch->direct != NULL)
        return add_direct(groups, keys, count);
    for (uint32_t i = 0; i < count; i += SC_GROUP_CHUNK) {
        uint32_t n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        SC_TRY(add_chunk(groups, keys, groups->scratch->rows + i, n));
        groups->spill.unseen += n;
        if (groups->closed || groups->spill.unseen < PACE)
            continue;
        SC_TRY(sc_groups_consider_spill(groups, groups->spill.unseen));
        groups->spill.unseen = 0;
    }
    return SC_OK;
}

static bool same_value(const struct sc_group_key *key, const struct sc_key_rows *x,
                       const struct sc_key_rows *y, uint32_t row)
{
    if (!key->address)
        return x->numbers.values[row] == y->numbers.values[row];
    return sc_addr_equal(x->addresses + (x->codes == NULL ? row : sc_column_code(x->codes, row)),
                         y->addresses + (y->codes == NULL ? row : sc_column_code(y->codes, row)));
}

static bool has_value(const struct sc_key_rows *key, uint32_t row)
{
    return key->numbers.all_valid || sc_row_is_set(key->numbers.valid, row);
}

/*
 * The two passes of a pair key. First pass: rows by the first value, save those that have only the second.
 * Second pass: rows that have a second value which is another one.
 */
static uint32_t pair_rows(const struct sc_group_key *key, const struct sc_key_rows *first,
                          const struct sc_key_rows *second, bool second_pass, const uint32_t *all,
                          uint32_t count, uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = all[i];
        bool has_first = has_value(first, row), has_second = has_value(second, row);
        bool take = second_pass ? has_second && (!has_first || !same_value(key, first, second, row))
                                : has_first || !has_second;
        if (take)
            out[n++] = row;
    }
    return n;
}

/* Rows whose key is of no group that is there leave the list; returns how many are left. */
static uint32_t drop_absent(struct sc_group_scratch *s, const struct sc_key_rows *key, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->rows[n] = s->rows[i];
        n += key->numbers.values[s->rows[i]] != ABSENT;
    }
    return n;
}

static enum sc_status add_pair(struct sc_groups *groups, struct sc_row_group *group,
                               const struct sc_key_rows **keys, uint32_t k, uint32_t *all, uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    const struct sc_group_key *key = &groups->aggregate->keys[k];
    uint32_t *listed = s->rows;
    enum sc_status status = SC_OK;
    memcpy(all, listed, count * sizeof(*all));
    for (int pass = 0; pass < 2 && status == SC_OK; pass++) {
        uint32_t n = pair_rows(key, &s->keys[k], &s->others[k], pass == 1, all, count, listed);
        keys[k] = pass == 0 ? &s->keys[k] : &s->others[k];
        if (groups->closed && key->interned)
            n = drop_absent(s, keys[k], n);
        status = add_listed(groups, group, keys, n);
    }
    return status;
}

/* Learned addresses are bytes in the store. */
static bool is_of_dictionary(const struct sc_field *field)
{
    for (unsigned i = 0; i < field->source_count; i++) {
        if (field->sources[i].key.kind != SC_COLUMN_ADDRESS)
            return false;
    }
    return field->computed == SC_COMPUTED_NONE;
}

/* Whether the row group may have rows of closed groups, by its addresses. */
static enum sc_status may_have_seeds(const struct sc_groups *groups, struct sc_row_group *group, bool *may,
                                     struct sc_error *err)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_dictionary *dict;
    *may = true;
    for (uint32_t k = 0; k < a->key_count && *may && groups->closed; k++) {
        const struct sc_seeds *seeds = &groups->seeds[k];
        if (!a->keys[k].address || seeds->null || !is_of_dictionary(&a->keys[k].field))
            continue; /* both fields of a pair are of one kind */
        SC_TRY(sc_row_group_addresses(group, &dict, err));
        *may = sc_seeds_mark(seeds, &a->keys[k], dict->values, dict->count, NULL);
    }
    return SC_OK;
}

/* Rows of closed groups' addresses stay in the list; returns how many these are, UINT32_MAX without memory. */
static uint32_t drop_foreign(struct sc_groups *groups, uint32_t k, struct sc_row_group *group, uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    const struct sc_column *dict = s->keys[k].codes;
    uint8_t *marks = sc_arena_zalloc(&group->context->arena, (size_t)dict->dict.count + 1);
    uint32_t n = 0;
    if (marks == NULL)
        return UINT32_MAX;
    sc_seeds_mark(&groups->seeds[k], &groups->aggregate->keys[k], dict->dict.values, dict->dict.count, marks);
    marks[dict->dict.count] = groups->seeds[k].null;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = s->rows[i];
        bool null = dict->nulls != 0 && sc_column_is_null(dict, row);
        s->rows[n] = row;
        n += marks[null ? dict->dict.count : sc_column_code(dict, row)];
    }
    return n;
}

/* The values of one key, and of a pair of both, to the scratch; *count becomes the number of rows that are left. */
static enum sc_status load_key(struct sc_groups *groups, uint32_t k, struct sc_row_group *group,
                               uint32_t *count, struct sc_error *err)
{
    const struct sc_group_key *key = &groups->aggregate->keys[k];
    struct sc_group_scratch *s = groups->scratch;
    SC_TRY(key_rows(groups, key, &key->field, group, *count, &s->keys[k], err));
    if (key->pair)
        return key_rows(groups, key, &key->other, group, *count, &s->others[k], err);
    if (groups->closed && key->interned)
        *count = drop_absent(s, &s->keys[k], *count);
    if (groups->closed && key->address && s->keys[k].codes != NULL)
        *count = drop_foreign(groups, k, group, *count);
    return *count == UINT32_MAX ? sc_fail_nomem(err, "groups") : SC_OK;
}

/* *pair becomes the number of a pair key. */
static enum sc_status load_keys(struct sc_groups *groups, struct sc_row_group *group,
                                const struct sc_key_rows **keys, uint32_t *count, uint32_t *pair,
                                struct sc_error *err)
{
    bool may;
    SC_TRY(may_have_seeds(groups, group, &may, err));
    if (!may)
        *count = 0;
    for (uint32_t k = 0; k < groups->aggregate->key_count && *count != 0; k++) {
        SC_TRY(load_key(groups, k, group, count, err));
        keys[k] = &groups->scratch->keys[k];
        *pair = groups->aggregate->keys[k].pair ? k : *pair;
    }
    return SC_OK;
}

/* Whether the only key is an address whose values are those of a dictionary. */
static bool is_coded(const struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_column *codes = groups->scratch->keys[0].codes;
    return a->key_count == 1 && a->keys[0].address && !a->keys[0].pair && codes != NULL &&
           codes->form == SC_FORM_DICT;
}

static enum sc_status add_keyed(struct sc_groups *groups, struct sc_row_group *group,
                                const struct sc_key_rows **keys, uint32_t pair, uint32_t count)
{
    if (pair == SC_MAX_KEYS)
        return add_listed(groups, group, keys, count);
    uint32_t *all = sc_arena_alloc(&group->context->arena, (size_t)count * sizeof(*all));
    return all == NULL ? SC_NOMEM : add_pair(groups, group, keys, pair, all, count);
}

/* Rows with a group in a chosen cell stay in the list; returns how many these are, UINT32_MAX without memory. */
static uint32_t drop_unchosen(struct sc_groups *groups, struct sc_row_group *group,
                              const struct sc_key_rows *const *keys, uint32_t pair, uint32_t count)
{
    const struct sc_key_rows *others[SC_MAX_KEYS];
    uint32_t *rows = groups->scratch->rows;
    if (is_coded(groups))
        return sc_cells_drop_codes(groups, group, keys[0], rows, count);
    memcpy(others, keys, sizeof(others));
    if (pair != SC_MAX_KEYS)
        others[pair] = &groups->scratch->others[pair];
    return sc_cells_drop(groups, group, keys, pair == SC_MAX_KEYS ? NULL : others, rows, count);
}

/* Of closed groups few rows may be left: only of these the values are read. */
static void mark_listed(const struct sc_groups *groups, uint32_t count, uint64_t *bits)
{
    memset(bits, 0, SC_ROW_GROUP_ROWS / 8);
    for (uint32_t i = 0; i < count; i++)
        bits[groups->scratch->rows[i] / 64] |= UINT64_C(1) << groups->scratch->rows[i] % 64;
}

/* The accumulators' values of the listed rows, and the columns of those that are made of values. */
static enum sc_status accumulators_of(struct sc_groups *groups, struct sc_row_group *group,
                                      struct sc_error *err)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    for (uint32_t i = 0; i < a->accumulator_count; i++) {
        uint32_t count = 0;
        if ((groups->scratch->fed >> i & 1) != 0)
            SC_TRY(accumulator_rows(&a->accumulators[i], group, &groups->scratch->accumulators[i], err));
        else if ((groups->known >> i & 1) == 0)
            SC_TRY(sc_field_load(&a->accumulators[i].field, group, columns, &count, err));
    }
    groups->scratch->only_listed = group->wanted.bits != NULL;
    return SC_OK;
}

enum sc_status sc_rows_prepare(struct sc_groups *groups, struct sc_row_group *group,
                               const struct sc_selection *selection, struct sc_rows_left *out,
                               struct sc_error *err)
{
    uint32_t count = selection->count;
    out->before = group->wanted;
    out->selection = *selection;
    out->pair = SC_MAX_KEYS;
    if (groups->scratch == NULL && (groups->scratch = make_scratch(groups)) == NULL)
        return sc_fail_nomem(err, "groups");
    list_rows(group, selection, groups->scratch->rows);
    SC_TRY(load_keys(groups, group, out->keys, &count, &out->pair, err));
    if (groups->chosen != NULL && count != 0)
        count = drop_unchosen(groups, group, out->keys, out->pair, count);
    if (count == UINT32_MAX)
        return sc_fail_nomem(err, "groups");
    if (count == selection->count)
        return SC_OK;
    out->selection = (struct sc_selection){.rows = out->bits, .count = count};
    mark_listed(groups, count, out->bits);
    return sc_row_group_want(group, out->bits, err);
}

enum sc_status sc_rows_add(struct sc_groups *groups, struct sc_row_group *group,
                           const struct sc_rows_left *rows, struct sc_error *err)
{
    struct sc_group_scratch *s = groups->scratch;
    const struct sc_key_rows *keys[SC_MAX_KEYS];
    uint32_t count = rows->selection.count;
    memcpy(keys, rows->keys, sizeof(keys));
    SC_TRY(accumulators_of(groups, group, err));
    sc_group_bound_sums(groups, group->rows, count);
    enum sc_status status = SC_OK;
    if (!is_coded(groups))
        status = add_keyed(groups, group, keys, rows->pair, count);
    else
        status = (groups->cells != NULL ? sc_cells_add_coded
                                        : sc_groups_add_coded)(groups, group, &s->keys[0], s->rows, count);
    if (status == SC_FULL)
        return sc_fail(err, SC_FULL, "%s", groups->spill.why.message);
    return status == SC_OK ? SC_OK : sc_fail_nomem(err, "groups; ask for fewer keys or a narrower filter");
}

void sc_rows_done(struct sc_row_group *group, const struct sc_rows_left *rows)
{
    group->wanted = rows->before;
}
