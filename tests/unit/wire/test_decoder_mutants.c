// SPDX-License-Identifier: BSD-3-Clause
/*
 * A property of random valid messages: when one template record of a message is mutated, all other sets decode as they
 * do without it. Each record is the last of its template set; data of the mutated one stand at the end of the message.
 */
#include "decoder_kit.h"

#define TEMPLATES 6u
#define ROUNDS    4000u

struct random_state {
    uint64_t state;
};

static uint32_t draw(struct random_state *r, uint32_t n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(r->state >> 33) % n;
}

/* Elements and their lengths; 0: of variable length. */
static const struct {
    uint16_t id, length;
} elements[] = {{2, 4}, {1, 8}, {4, 1}, {7, 2}, {11, 2}, {10, 4}, {22, 4}, {94, 0}};
#define ELEMENTS (sizeof(elements) / sizeof(elements[0]))

struct layout {
    uint16_t id;
    bool options;
    uint32_t count;
    uint8_t fields[8]; /* of `elements` */
};

/* A message: its layouts, one of which may be left out or mutated. */
struct plan {
    bool ipfix;
    struct layout layouts[TEMPLATES];
    uint32_t mutated; /* index */
    uint64_t data_seed, mutation_seed;
};

static struct plan draw_plan(struct random_state *r)
{
    struct plan p = {.ipfix = draw(r, 2) == 0, .mutated = draw(r, TEMPLATES)};
    for (uint32_t i = 0; i < TEMPLATES; i++) {
        struct layout *l = &p.layouts[i];
        l->id = (uint16_t)(256 + i);
        l->options = draw(r, 3) == 0;
        l->count = 1 + draw(r, 7);
        for (uint32_t j = 1; j < l->count; j++)
            l->fields[j] = (uint8_t)draw(r, ELEMENTS);
    }
    p.data_seed = draw(r, UINT32_MAX);
    p.mutation_seed = draw(r, UINT32_MAX);
    return p;
}

static void put_record(struct kit *k, const struct plan *p, const struct layout *l)
{
    put16(k, l->id);
    put16(k, (uint16_t)(!l->options || p->ipfix ? l->count : 4));
    if (l->options)
        put16(k, (uint16_t)(p->ipfix ? 1 : 4 * (l->count - 1)));
    for (uint32_t i = 0; i < l->count; i++) {
        put16(k, elements[l->fields[i]].id);
        put16(k, elements[l->fields[i]].length == 0 ? 65535 : elements[l->fields[i]].length);
    }
}

/* Words of the record's head, an enterprise bit or the end; ids of other templates stay untouched. */
static void mutate(struct kit *k, const struct plan *p, size_t record)
{
    static const uint16_t words[] = {0, 1, 2, 3, 5, 7, 8, 9, 40, 255, 1000, 0x8002, 65535};
    struct random_state r = {p->mutation_seed};
    uint8_t *bytes = k->message.data + record;
    for (uint32_t n = 1 + draw(&r, 2); n > 0; n--) {
        uint32_t word = draw(&r, 4);
        uint16_t value = words[draw(&r, sizeof(words) / sizeof(words[0]))];
        if (word == 0)
            value = value < 256 ? value : 60000;
        if (word == 3 && k->message.len - record >= 8) /* the first field, or what follows the scope count */
            bytes[6] ^= 0x80;
        else if (word < 3 && k->message.len - record >= 6)
            sc_store_be16(bytes + (size_t)2 * word, value);
    }
    if (draw(&r, 4) == 0)
        k->message.len -= draw(&r, (uint32_t)(k->message.len - record - 4));
}

static void put_layouts(struct kit *k, const struct plan *p, bool mutated)
{
    for (uint32_t i = 0; i < TEMPLATES; i++) {
        const struct layout *l = &p->layouts[i];
        if (i == p->mutated && !mutated)
            continue;
        begin_set(k, (uint16_t)(l->options + (p->ipfix ? 2 : 0)));
        size_t record = k->message.len;
        put_record(k, p, l);
        if (i == p->mutated)
            mutate(k, p, record);
        end_set(k);
    }
}

static void put_values(struct kit *k, const struct layout *l, struct random_state *r)
{
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t length = elements[l->fields[i]].length;
        if (length == 0) {
            length = draw(r, 20);
            put8(k, (uint8_t)length);
        }
        while (length-- > 0)
            put8(k, (uint8_t)draw(r, 256));
    }
}

static void put_data(struct kit *k, const struct plan *p, bool mutated)
{
    struct random_state r = {p->data_seed};
    for (uint32_t n = 0; n <= TEMPLATES; n++) {
        uint32_t i = n == TEMPLATES ? p->mutated : n;
        if (n == p->mutated || (n == TEMPLATES && !mutated))
            continue;
        begin_set(k, p->layouts[i].id);
        for (uint32_t records = 1 + draw(&r, 3); records > 0; records--)
            put_values(k, &p->layouts[i], &r);
        end_set(k);
    }
}

static void send_plan(struct kit *k, const struct plan *p, bool mutated)
{
    kit_open(k);
    if (p->ipfix)
        begin_ipfix(k, 0);
    else
        begin_v9(k, 0);
    put_layouts(k, p, mutated);
    put_data(k, p, mutated);
    enum sc_status status = deliver(k);
    assert_true(status == SC_OK || (mutated && status == SC_MALFORMED));
    assert_int_equal(sc_batch_finish(k->sink.flows), SC_OK);
    assert_int_equal(sc_batch_finish(k->sink.options), SC_OK);
}

static bool same_cell(const struct sc_column *a, const struct sc_column *b, uint32_t row)
{
    uint32_t length, other;
    if (is_null(a, row) || is_null(b, row))
        return is_null(a, row) == is_null(b, row);
    if (a->key.kind != SC_COLUMN_BYTES)
        return sc_column_u64(a, row) == sc_column_u64(b, row);
    const uint8_t *p = sc_column_bytes(a, row, &length), *q = sc_column_bytes(b, row, &other);
    return length == other && (length == 0 || memcmp(p, q, length) == 0);
}

/* The first rows of `got` are those of `want`, in all columns that were exported. */
static void assert_same_rows(const struct sc_batch *want, const struct sc_batch *got)
{
    static const uint8_t kinds[] = {SC_COLUMN_UINT, SC_COLUMN_BYTES};
    assert_true(got->rows >= want->rows);
    for (size_t i = 0; i < ELEMENTS; i++) {
        for (size_t kind = 0; kind < 2; kind++) {
            for (uint8_t instance = 0; instance < 8; instance++) {
                const struct sc_column *a = column(want, 0, elements[i].id, instance, kinds[kind]);
                const struct sc_column *b = column(got, 0, elements[i].id, instance, kinds[kind]);
                for (uint32_t row = 0; row < want->rows; row++)
                    assert_true(same_cell(a, b, row));
            }
        }
    }
}

static void other_sets_decode_as_without_it(void **state)
{
    (void)state;
    uint32_t malformed = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct random_state r = {seed};
        struct plan p = draw_plan(&r);
        struct kit without, with;
        send_plan(&without, &p, false);
        send_plan(&with, &p, true);
        assert_int_equal(without.outcome.no_template_sets, 0);
        assert_same_rows(without.sink.flows, with.sink.flows);
        assert_same_rows(without.sink.options, with.sink.options);
        malformed += with.outcome.malformed != 0;
        kit_close(&without);
        kit_close(&with);
    }
    assert_true(malformed > ROUNDS / 4 && malformed < ROUNDS); /* mutations break templates, and not all do */
}

UNIT(test_decoder_mutants)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_sets_decode_as_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
