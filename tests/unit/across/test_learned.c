// SPDX-License-Identifier: BSD-3-Clause
/* Elements that exporters define (RFC 5610): the table, its file, the fields made of them, and queries over them. */
#include "fault_io.h"

#include "filter/filter.h"
#include "flow/vector.h"
#include "query/engine.h"
#include "query/request.h"
#include "securitycloud/libsc.h"
#include "store/elements.h"
#include "store/row_group_encode.h"

enum { PEN = 64999 };

static struct sc_ie_definition define(uint16_t id, enum sc_ie_type type, const char *name)
{
    struct sc_ie_definition d = {.pen = PEN, .id = id, .type = (uint8_t)type, .since_ms = 1000};
    sc_ie_definition_name(&d, name, strlen(name));
    return d;
}

static enum sc_ie_learning add(struct sc_ie_learned *table, uint16_t id, enum sc_ie_type type,
                               const char *name)
{
    struct sc_ie_definition d = define(id, type, name);
    return sc_ie_learned_add(table, &d);
}

/* ---- the table ---- */

static void found_by_number_and_name(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    struct sc_ie e;
    struct sc_ie_definition d = define(7, SC_TYPE_UNSIGNED32, "myCounter");
    d.semantics = 3;
    d.units = 2;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_KNOWN);
    assert_int_equal(add(&t, 5, SC_TYPE_STRING, "myName"), SC_IE_NEW);
    assert_true(sc_ie_learned_find(&t, PEN, 7, &e));
    assert_string_equal(e.name, "myCounter");
    assert_string_equal(e.semantics, "deltaCounter");
    assert_string_equal(e.unit, "octets");
    assert_int_equal(e.type, SC_TYPE_UNSIGNED32);
    assert_true(sc_ie_learned_find_name(&t, "MYNAMEs", 6, &e));
    assert_true(e.pen == PEN && e.id == 5);
    assert_false(sc_ie_learned_find(&t, PEN, 6, &e));
    assert_false(sc_ie_learned_find(&t, PEN + 1, 7, &e));
    assert_false(sc_ie_learned_find(NULL, PEN, 7, &e));
    assert_false(sc_ie_learned_find_name(&t, "myNam", 5, &e));
    assert_false(sc_ie_learned_find_name(&t, "", 0, &e));
    assert_false(sc_ie_learned_find_name(NULL, "myName", 6, &e));
    sc_ie_learned_free(&t);
}

static void the_latest_definition_holds(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    struct sc_ie e;
    struct sc_ie_definition d = define(7, SC_TYPE_UNSIGNED32, "a1");
    d.since_ms = 2000;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    d.since_ms = 1500; /* of another store: the same, told earlier */
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_KNOWN);
    assert_int_equal(t.entries[0].since_ms, 1500);
    d = define(7, SC_TYPE_UNSIGNED64, "a2");
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_KNOWN); /* earlier: not now */
    d.since_ms = 1500;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_CHANGED);
    assert_true(sc_ie_learned_find(&t, PEN, 7, &e) && e.type == SC_TYPE_UNSIGNED64);
    assert_int_equal(t.count, 1);
    sc_ie_learned_free(&t);
}

static void what_cannot_be_learned(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    static const uint32_t pens[] = {SC_PEN_COLLECTOR, SC_PEN_V9_SCOPE, SC_PEN_V9};
    struct sc_ie_definition d = define(1, SC_TYPE_STRING, "mine");
    d.pen = SC_PEN_IANA; /* octetDeltaCount */
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_REFUSED);
    d.id = 18;
    d.pen = SC_PEN_CERT;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_REFUSED);
    for (size_t i = 0; i < 3; i++) {
        d = define(9999, SC_TYPE_STRING, "mine");
        d.pen = pens[i];
        assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_REFUSED);
    }
    assert_int_equal(add(&t, 7, SC_TYPE_COUNT, "mine"), SC_IE_REFUSED);
    assert_int_equal(add(&t, 0, SC_TYPE_STRING, "mine"), SC_IE_REFUSED);
    assert_int_equal(t.count, 0);
    d = define(7, SC_TYPE_STRING, "mine"); /* numbers that IANA has not given out mean nothing */
    d.semantics = 200;
    d.units = 60000;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    assert_true(t.entries[0].semantics == 0 && t.entries[0].units == 0);
    sc_ie_learned_free(&t);
}

static void hostile_names_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "1abc", "_a",   "a b", "a\nb",     "a:b",
                                      "a#2", "a,b",  "a(b)", "a/b", "a\x1b[2J", "caf\xc3\xa9",
                                      "-",   "a\"b", "a'b",  "a=b", "\xff"};
    char longest[SC_IE_LEARNED_NAME_MAX + 1];
    struct sc_ie_definition d;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sc_ie_definition_name(&d, bad[i], strlen(bad[i]));
        if (d.name[0] != '\0')
            fail_msg("\"%s\" was taken", bad[i]);
    }
    sc_ie_definition_name(&d, "a\0b", 3);
    assert_string_equal(d.name, "");
    sc_ie_definition_name(&d, "a\0\0", 3);
    assert_string_equal(d.name, "a");
    sc_ie_definition_name(&d, "\0\0", 2);
    assert_string_equal(d.name, "");
    memset(longest, 'n', sizeof(longest));
    sc_ie_definition_name(&d, longest, SC_IE_LEARNED_NAME_MAX - 1);
    assert_int_equal(strlen(d.name), SC_IE_LEARNED_NAME_MAX - 1);
    sc_ie_definition_name(&d, longest, SC_IE_LEARNED_NAME_MAX);
    assert_string_equal(d.name, "");
}

static void the_first_keeps_a_name(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    struct sc_ie e;
    struct sc_ie_definition d = define(9, SC_TYPE_UNSIGNED8, "wanted");
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    d = define(3, SC_TYPE_STRING, "WANTED"); /* lower, but later */
    d.since_ms = 1001;
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    assert_true(sc_ie_learned_find_name(&t, "wanted", 6, &e) && e.id == 9);
    assert_true(sc_ie_learned_find(&t, PEN, 3, &e) && e.name == NULL && e.type == SC_TYPE_STRING);
    d = define(4, SC_TYPE_STRING, "sourceIPv4Address");
    assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
    assert_true(sc_ie_learned_find(&t, PEN, 4, &e) && e.name == NULL);
    sc_ie_learned_free(&t);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    struct sc_ie e;
    for (uint32_t i = SC_IE_LEARNED_MAX; i > 0; i--)
        assert_int_equal(add(&t, (uint16_t)i, SC_TYPE_UNSIGNED8, ""), SC_IE_NEW);
    assert_int_equal(add(&t, 5000, SC_TYPE_UNSIGNED8, ""), SC_IE_FULL);
    assert_int_equal(add(&t, 1, SC_TYPE_UNSIGNED8, ""), SC_IE_KNOWN);
    for (uint32_t i = 1; i <= SC_IE_LEARNED_MAX; i++)
        assert_true(sc_ie_learned_find(&t, PEN, (uint16_t)i, &e) && e.id == i);
    sc_ie_learned_free(&t);
}

static void lines_and_back(void **state)
{
    (void)state;
    char line[SC_IE_LEARNED_LINE_MAX], longest[SC_IE_LEARNED_NAME_MAX];
    struct sc_ie_definition d = define(65535, SC_TYPE_SUB_TEMPLATE_MULTI_LIST, ""), back;
    memset(longest, 'n', sizeof(longest));
    for (unsigned i = 0; i < 16; i++) {
        d.pen = UINT32_MAX - i;
        d.type = (uint8_t)(i + 7);
        d.units = (uint16_t)i;
        d.semantics = (uint8_t)(i % 9);
        d.since_ms = UINT64_MAX - i;
        sc_ie_definition_name(&d, longest, 4 * i < sizeof(longest) ? 4 * i : sizeof(longest) - 1);
        size_t length = sc_ie_definition_format(&d, line);
        assert_int_equal(length, strlen(line));
        assert_true(sc_ie_definition_parse(line, length, &back));
        assert_true(back.pen == d.pen && back.id == d.id && back.type == d.type && back.units == d.units &&
                    back.semantics == d.semantics && back.since_ms == d.since_ms);
        assert_string_equal(back.name, d.name);
    }
    assert_true(sc_ie_definition_parse("1 2 string default - 3 x", 24, &back));
    static const char *const bad[] = {
        "",
        "1 2 string default - 3",
        "1 2 string default - 3 x y",
        "1  2 string default - 3 x",
        " 1 2 string default - 3 x",
        "1 2 string default - 3 ",
        "4294967296 2 string default - 3 x",
        "1 65536 string default - 3 x",
        "-1 2 string default - 3 x",
        "1 2 text default - 3 x",
        "1 2 string counter - 3 x",
        "1 2 string default miles 3 x",
        "1 2 string default - 18446744073709551616 x",
        "1 2 string default - 3 1x",
        "1 2 string default - 3 x\x01",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sc_ie_definition_parse(bad[i], strlen(bad[i]), &back))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_false(sc_ie_definition_parse("1 2 string default - 3 x\0", 25, &back));
}

/* ---- options records that define elements ---- */

struct told {
    uint32_t pen;
    uint16_t id;
    uint8_t type, semantics;
    uint16_t units;
    const char *name; /* NULL: the row is something else */
};

static const struct told told[] = {
    {PEN, 7, SC_TYPE_UNSIGNED32, 3, 2, "myCounter"},
    {PEN, 8, SC_TYPE_STRING, 0, 0, "myName"},
    {0, 0, 0, 0, 0, NULL},
    {PEN, 0x8000 | 9, SC_TYPE_IPV4_ADDRESS, 0, 0, "myHost"},
    {SC_PEN_CERT, 18, SC_TYPE_STRING, 0, 0, "mine"},
    {PEN, 10, SC_TYPE_FLOAT64, 0, 0, "bytes"},
};

enum { TOLD = sizeof(told) / sizeof(told[0]) };

static struct sc_column *begin(struct sc_batch *batch, uint32_t pen, uint16_t id, uint8_t kind,
                               unsigned width, uint32_t rows)
{
    struct sc_column *c = sc_batch_begin(batch, (struct sc_column_key){pen, id, 0, kind}, NULL, width, rows);
    assert_non_null(c);
    return c;
}

static void put(struct sc_column *c, bool there, uint64_t v)
{
    if (there)
        sc_column_put_u64(c, v);
    else
        assert_int_equal(sc_column_put_null(c), SC_OK);
}

static struct sc_batch *definitions(uint64_t received_ms)
{
    struct sc_batch *b = sc_batch_create(SC_RECORDS_OPTIONS);
    struct sc_column *pen = begin(b, 0, 346, SC_COLUMN_UINT, 4, TOLD);
    struct sc_column *id = begin(b, 0, 303, SC_COLUMN_UINT, 2, TOLD);
    struct sc_column *type = begin(b, 0, 339, SC_COLUMN_UINT, 1, TOLD);
    struct sc_column *semantics = begin(b, 0, 344, SC_COLUMN_UINT, 1, TOLD);
    struct sc_column *units = begin(b, 0, 345, SC_COLUMN_UINT, 2, TOLD);
    struct sc_column *name = begin(b, 0, 341, SC_COLUMN_BYTES, 0, TOLD);
    struct sc_column *received = begin(b, SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, SC_COLUMN_UINT, 8, TOLD);
    for (uint32_t i = 0; i < TOLD; i++) {
        bool there = told[i].name != NULL;
        put(pen, there, told[i].pen);
        put(id, there, told[i].id);
        put(type, there, told[i].type);
        put(semantics, there, told[i].semantics);
        put(units, there, told[i].units);
        put(received, true, received_ms);
        if (there)
            assert_int_equal(sc_column_put_bytes(name, told[i].name, (uint32_t)strlen(told[i].name)), SC_OK);
        else
            assert_int_equal(sc_column_put_null(name), SC_OK);
    }
    sc_batch_commit(b, TOLD);
    assert_int_equal(sc_batch_finish(b), SC_OK);
    b->window_ms = KIT_WINDOW;
    return b;
}

static void check_learned(const struct sc_ie_learned *t)
{
    struct sc_ie e;
    assert_int_equal(t->count, 4);
    assert_true(sc_ie_learned_find_name(t, "myCounter", 9, &e));
    assert_true(e.pen == PEN && e.id == 7 && e.type == SC_TYPE_UNSIGNED32);
    assert_string_equal(e.unit, "octets");
    assert_true(sc_ie_learned_find_name(t, "myName", 6, &e));
    assert_true(sc_ie_learned_find(t, PEN, 9, &e) && strcmp(e.name, "myHost") == 0);
    assert_true(sc_ie_learned_find(t, PEN, 10, &e) && e.type == SC_TYPE_FLOAT64);
}

static void path_of(const char *store, const char *more, char out[256])
{
    snprintf(out, 256, "%s/%s", store, more);
}

static void make_folders(const char *store)
{
    static const char *const folders[] = {"2026",        "2026/11",          "2026/11/23", ".replica",
                                          ".replica/n2", ".replica/n2/2026", "other"};
    char path[256];
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        path_of(store, folders[i], path);
        assert_int_equal(mkdir(path, 0750), 0);
    }
}

static void a_store_keeps_them(void **state)
{
    (void)state;
    char *store = kit_folder(), path[256];
    struct sc_error err = {0};
    struct sc_elements e;
    struct sc_batch *batch = definitions(5000);
    struct fault_io *io = fault_create_io(FAULT_NONE, 0);
    make_folders(store);
    sc_elements_init(&e, store, &io->io, NULL);
    sc_elements_write(&e);
    assert_int_equal(io->count, 0); /* nothing to write */
    sc_elements_learn(&e, batch);
    sc_elements_write(&e);
    check_learned(&e.table);
    uint64_t operations = io->count;
    assert_true(operations > 0);
    sc_elements_learn(&e, batch);
    sc_elements_write(&e);
    assert_int_equal(io->count, operations); /* told again: nothing new */
    sc_elements_free(&e);
    sc_elements_init(&e, store, &io->io, NULL);
    check_learned(&e.table);
    assert_false(e.changed);
    sc_elements_free(&e);
    static const char *const parts[] = {".",        "2026",        "2026/11",         "2026/11/23/",
                                        ".replica", ".replica/n2", ".replica/n2/2026"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct sc_ie_learned t = {0};
        path_of(store, parts[i], path);
        assert_int_equal(sc_elements_load(path, &t, &err), SC_OK);
        check_learned(&t);
        assert_int_equal(sc_elements_load(store, &t, &err), SC_OK); /* and once more: the union */
        check_learned(&t);
        sc_ie_learned_free(&t);
    }
    struct sc_ie_learned none = {0};
    path_of(store, "other", path); /* lies in the store's folder, and is no part of it */
    assert_int_equal(sc_elements_load(path, &none, &err), SC_OK);
    assert_int_equal(sc_elements_load("/nonexistent/store", &none, &err), SC_OK);
    assert_int_equal(none.count, 0);
    sc_batch_free(batch);
    fault_free_io(io);
    kit_remove(store);
}

static void a_disk_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct sc_batch *batch = definitions(5000);
    for (uint64_t at = 0; at < 7; at++) {
        char *store = kit_folder();
        struct sc_elements e;
        struct sc_error err = {0};
        struct sc_ie_learned t = {0};
        struct fault_io *io = fault_create_io(FAULT_EIO, at);
        sc_elements_init(&e, store, &io->io, NULL);
        sc_elements_learn(&e, batch);
        sc_elements_write(&e);
        bool failed = e.changed;
        assert_int_equal(sc_elements_load(store, &t, &err), SC_OK);
        assert_true(t.count == 0 || t.count == 4); /* whole or not at all */
        assert_true(failed || t.count == 4);
        assert_true(failed || at == 0 ||
                    at > 5); /* 0: the old temporary file cannot be unlinked, nor is there one */
        sc_elements_write(&e);
        assert_false(e.changed);
        sc_ie_learned_free(&t);
        assert_int_equal(sc_elements_load(store, &t, &err), SC_OK);
        check_learned(&t);
        sc_ie_learned_free(&t);
        sc_elements_free(&e);
        fault_free_io(io);
        kit_remove(store);
    }
    sc_batch_free(batch);
}

/* The machine stops after any operation of a second writing: the file is the old one or the new one, and then it stays. */
static void a_machine_that_stops(void **state)
{
    (void)state;
    struct sc_batch *batch = definitions(5000);
    for (unsigned at = 0; at < 9; at++) {
        for (unsigned loss = 0; loss < LOSS_KINDS; loss++) {
            char *store = kit_folder();
            struct sc_elements e;
            struct sc_error err = {0};
            struct sc_ie_learned t = {0};
            struct fault_io *io = fault_create_io(FAULT_NONE, 0);
            struct sc_ie_definition more = define(77, SC_TYPE_STRING, "more");
            sc_elements_init(&e, store, &io->io, NULL);
            sc_elements_learn(&e, batch);
            sc_elements_write(&e);
            io->fault = at % 2 == 0 ? FAULT_STOP : FAULT_STOP_TORN;
            io->at = io->count + at;
            assert_int_equal(sc_ie_learned_add(&e.table, &more), SC_IE_NEW);
            e.changed = true;
            sc_elements_write(&e);
            bool written = !e.changed;
            fault_lose(io, (enum loss)loss, at);
            assert_int_equal(sc_elements_load(store, &t, &err), SC_OK);
            assert_true(t.count == 5 || (t.count == 4 && !written));
            sc_ie_learned_free(&t);
            sc_elements_free(&e);
            fault_free_io(io);
            kit_remove(store);
        }
    }
    sc_batch_free(batch);
}

/* Cut or changed anywhere, the file gives what its whole lines say. */
static void damaged_files(void **state)
{
    (void)state;
    char *store = kit_folder(), path[256];
    struct sc_error err = {0};
    struct sc_elements e;
    struct sc_batch *batch = definitions(5000);
    sc_elements_init(&e, store, NULL, NULL);
    sc_elements_learn(&e, batch);
    sc_elements_write(&e);
    sc_elements_free(&e);
    path_of(store, SC_ELEMENTS_FILE, path);
    size_t length;
    uint8_t *bytes = kit_read_file(path, &length);
    for (size_t n = 0; n < length; n++) {
        struct sc_ie_learned t = {0};
        kit_write_file(path, bytes, n);
        enum sc_status status = sc_elements_load(store, &t, &err);
        assert_true(status == SC_OK || status == SC_DAMAGED || status == SC_NOT_OURS);
        assert_true(t.count < 4);
        sc_ie_learned_free(&t);
        bytes[n] ^= 0x15;
        kit_write_file(path, bytes, length);
        (void)sc_elements_load(store, &t, &err);
        assert_true(t.count <= 5); /* a changed number may be another element */
        sc_ie_learned_free(&t);
        bytes[n] ^= 0x15;
    }
    kit_write_file(path, "other things\n", 13);
    struct sc_ie_learned t = {0};
    assert_int_equal(sc_elements_load(store, &t, &err), SC_NOT_OURS);
    sc_elements_init(&e, store, NULL, NULL); /* the writer goes on, and makes it whole */
    sc_elements_learn(&e, batch);
    sc_elements_write(&e);
    sc_elements_free(&e);
    assert_int_equal(sc_elements_load(store, &t, &err), SC_OK);
    check_learned(&t);
    sc_ie_learned_free(&t);
    free(bytes);
    sc_batch_free(batch);
    kit_remove(store);
}

static void encoded_row_groups(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_batch *batch = definitions(5000);
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    struct sc_encoded_group group;
    struct sc_elements e;
    kit_span(batch, 77, 1);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    assert_int_equal(sc_row_group_check(out.data, out.len, &group, NULL), SC_OK);
    sc_elements_init(&e, store, NULL, NULL);
    sc_elements_learn_encoded(&e, &group);
    check_learned(&e.table);
    sc_elements_free(&e);
    sc_elements_init(&e, store, NULL, NULL);
    group.ref.record_kind = SC_RECORDS_FLOWS;
    sc_elements_learn_encoded(&e, &group);
    assert_int_equal(e.table.count, 0);
    group.ref.record_kind = SC_RECORDS_OPTIONS;
    for (size_t cut = 0; cut < out.len; cut += 8) { /* shorter than it says: nothing is read beyond */
        group.length = cut;
        sc_elements_learn_encoded(&e, &group);
        sc_ie_learned_free(&e.table);
    }
    sc_elements_free(&e);
    sc_encoded_group_free(&group);
    sc_row_group_encoder_free(&encoder);
    sc_buf_free(&out);
    sc_batch_free(batch);
    kit_remove(store);
}

/* ---- fields ---- */

static struct sc_field find(const struct sc_ie_learned *t, const char *name)
{
    struct sc_field field;
    struct sc_error err = {0};
    if (sc_field_find(t, name, strlen(name), &field, &err) != SC_OK)
        fail_msg("%s", err.message);
    return field;
}

static void assert_same(const struct sc_field *a, const struct sc_field *b)
{
    assert_string_equal(a->name, b->name);
    assert_true(a->type == b->type && a->combine == b->combine && a->source_count == b->source_count);
    assert_true(sc_column_key_equal(a->sources[0].key, b->sources[0].key));
    assert_true(a->sources[0].transform == b->sources[0].transform &&
                a->sources[0].type == b->sources[0].type);
}

/* The value of element 7 with these bytes, when it is of the type; `misfit`: what NAME:bytes shows. */
static struct sc_value value_of(enum sc_ie_type type, const char *bytes, uint32_t length,
                                struct sc_value *misfit)
{
    static struct sc_batch *batch; /* values borrow from it */
    struct sc_ie_learned t = {0};
    sc_batch_free(batch);
    batch = NULL;
    if (bytes == NULL)
        return (struct sc_value){0};
    batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column *c = begin(batch, PEN, 7, SC_COLUMN_BYTES, 0, 1);
    assert_int_equal(sc_column_put_bytes(c, bytes, length), SC_OK);
    assert_int_equal(add(&t, 7, type, "mine"), SC_IE_NEW);
    struct sc_field by_name = find(&t, "mine"), by_number = find(&t, "64999:7"),
                    rest = find(&t, "mine:bytes");
    assert_string_equal(by_name.name, "mine");
    assert_same(&by_name, &by_number);
    assert_string_equal(rest.name, "mine:bytes");
    assert_int_equal(rest.type, SC_VALUE_BYTES);
    const struct sc_column *columns[] = {c};
    *misfit = sc_field_value(&rest, columns, 1, 0);
    struct sc_value v = sc_field_value(&by_name, columns, 1, 0);
    uint64_t number, valid;
    if (v.type == SC_VALUE_UINT || v.type == SC_VALUE_TIME_MS || v.type == SC_VALUE_TIME_NS ||
        v.type == SC_VALUE_MAC)
        assert_true(sc_field_integers(&by_name, columns, 1, 1, &number, &valid) == !v.null &&
                    (v.null || number == v.u));
    sc_ie_learned_free(&t);
    return v;
}

static void check_number(enum sc_ie_type type, const char *bytes, uint32_t length, enum sc_value_type as,
                         uint64_t expected)
{
    struct sc_value misfit, v = value_of(type, bytes, length, &misfit);
    if (v.null || v.type != as || v.u != expected)
        fail_msg("%s of %u bytes: %s type %u, %llu", sc_ie_type_name(type), length, v.null ? "null" : "",
                 v.type, (unsigned long long)v.u);
    assert_true(misfit.null);
}

static void check_misfit(enum sc_ie_type type, uint32_t length)
{
    static const char bytes[40] = {1, 2, 3};
    struct sc_value misfit, v = value_of(type, bytes, length, &misfit);
    if (!v.null || misfit.null || misfit.length != length || memcmp(misfit.bytes, bytes, length) != 0)
        fail_msg("%s of %u bytes", sc_ie_type_name(type), length);
}

static void values_of_each_type(void **state)
{
    (void)state;
    const uint64_t ntp_ns = UINT64_C(1700000000) * 1000000000 + 500000000;
    static const char ntp[] = "\xe8\xfe\x6f\x80\x80\x00\x00\x00";
    struct sc_value misfit, v;
    check_number(SC_TYPE_UNSIGNED8, "\xff", 1, SC_VALUE_UINT, 255);
    check_number(SC_TYPE_UNSIGNED16, "\x01\x02", 2, SC_VALUE_UINT, 0x0102);
    check_number(SC_TYPE_UNSIGNED32, "\x01\x02\x03", 3, SC_VALUE_UINT, 0x010203); /* reduced size */
    check_number(SC_TYPE_UNSIGNED64, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8, SC_VALUE_UINT, UINT64_MAX - 1);
    check_number(SC_TYPE_SIGNED8, "\xff", 1, SC_VALUE_INT, UINT64_MAX);
    check_number(SC_TYPE_SIGNED16, "\x7f\xff", 2, SC_VALUE_INT, 32767);
    check_number(SC_TYPE_SIGNED32, "\xff\x00\x00", 3, SC_VALUE_INT, 0 - UINT64_C(65536));
    check_number(SC_TYPE_SIGNED64, "\x80\x00\x00\x00\x00\x00\x00\x00", 8, SC_VALUE_INT, UINT64_C(1) << 63);
    check_number(SC_TYPE_BOOLEAN, "\x02", 1, SC_VALUE_UINT, 2);
    check_number(SC_TYPE_MAC_ADDRESS, "\x00\x1b\x21\x3c\x9d\xf8", 6, SC_VALUE_MAC, UINT64_C(0x001b213c9df8));
    check_number(SC_TYPE_DATE_TIME_SECONDS, "\x65\x53\xf1\x00", 4, SC_VALUE_TIME_MS, UINT64_C(1700000000000));
    check_number(SC_TYPE_DATE_TIME_MILLISECONDS, "\x00\x00\x01\x8b\xcf\xe5\x68\x01", 8, SC_VALUE_TIME_MS,
                 UINT64_C(1700000000001));
    check_number(SC_TYPE_DATE_TIME_MICROSECONDS, ntp, 8, SC_VALUE_TIME_NS, ntp_ns);
    check_number(SC_TYPE_DATE_TIME_NANOSECONDS, ntp, 8, SC_VALUE_TIME_NS, ntp_ns);
    v = value_of(SC_TYPE_FLOAT32, "\x3f\xc0\x00\x00", 4, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_FLOAT && v.f == 1.5 && misfit.null);
    v = value_of(SC_TYPE_FLOAT64, "\xbf\xf8\x00\x00\x00\x00\x00\x00", 8, &misfit);
    assert_true(!v.null && v.f == -1.5);
    v = value_of(SC_TYPE_FLOAT64, "\x3f\xc0\x00\x00", 4, &misfit);
    assert_true(!v.null && v.f == 1.5);
    v = value_of(SC_TYPE_IPV4_ADDRESS, "\xc0\x00\x02\x01", 4, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_ADDRESS && sc_addr_is_v4(&v.addr) && v.addr.b[15] == 1);
    v = value_of(SC_TYPE_IPV6_ADDRESS, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_ADDRESS && v.addr.b[0] == 0x20 && v.addr.b[15] == 1);
    v = value_of(SC_TYPE_STRING, "abc\0\0", 5, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_STRING && v.length == 3 && misfit.null);
    v = value_of(SC_TYPE_STRING, "", 0, &misfit);
    assert_true(!v.null && v.length == 0 && misfit.null);
    v = value_of(SC_TYPE_OCTET_ARRAY, "abc\0", 4, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_BYTES && v.length == 4 && misfit.null);
    v = value_of(SC_TYPE_BASIC_LIST, "abc", 3, &misfit);
    assert_true(!v.null && v.type == SC_VALUE_BYTES);
    value_of(SC_TYPE_STRING, NULL, 0, NULL);
}

static void values_of_wrong_length(void **state)
{
    (void)state;
    for (uint32_t length = 0; length <= 20; length++) {
        for (unsigned type = SC_TYPE_UNSIGNED8; type <= SC_TYPE_SIGNED64; type++) {
            if (length == 0 || length > 8)
                check_misfit((enum sc_ie_type)type, length);
        }
        if (length != 4)
            check_misfit(SC_TYPE_IPV4_ADDRESS, length);
        if (length != 4)
            check_misfit(SC_TYPE_DATE_TIME_SECONDS, length);
        if (length != 16)
            check_misfit(SC_TYPE_IPV6_ADDRESS, length);
        if (length != 6)
            check_misfit(SC_TYPE_MAC_ADDRESS, length);
        if (length != 8)
            check_misfit(SC_TYPE_DATE_TIME_MILLISECONDS, length);
        if (length != 8)
            check_misfit(SC_TYPE_DATE_TIME_NANOSECONDS, length);
        if (length != 4 && length != 8)
            check_misfit(SC_TYPE_FLOAT32, length);
    }
    value_of(SC_TYPE_STRING, NULL, 0, NULL);
}

static void names_that_users_know_stay(void **state)
{
    (void)state;
    static const char *const names[] = {"srcip", "src_ip", "SA", "ip", "port", "bytes", "octetDeltaCount"};
    struct sc_ie_learned t = {0};
    struct sc_field field;
    char number[32];
    for (uint16_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sc_field before, after;
        size_t length = strlen(names[i]);
        enum sc_status status = sc_field_find(NULL, names[i], length, &before, NULL);
        assert_int_equal(add(&t, (uint16_t)(100 + i), SC_TYPE_UNSIGNED32, names[i]), SC_IE_NEW);
        assert_int_equal(sc_field_find(&t, names[i], length, &after, NULL), status);
        if (status == SC_OK)
            assert_same(&before, &after);
        snprintf(number, sizeof(number), "64999:%u", 100 + i);
        field = find(&t, number);
        assert_string_equal(field.name, number);
        assert_int_equal(field.type, SC_VALUE_UINT);
    }
    /* Instances, other kinds, near names. */
    assert_int_equal(add(&t, 7, SC_TYPE_UNSIGNED32, "myCounter"), SC_IE_NEW);
    field = find(&t, "MYCOUNTER#2");
    assert_string_equal(field.name, "myCounter#2");
    assert_int_equal(field.sources[0].key.instance, 1);
    field = find(&t, "64999:7:bytes#2");
    assert_string_equal(field.name, "myCounter:bytes#2");
    field = find(NULL, "64999:7:bytes#2");
    assert_string_equal(field.name, "64999:7#2");
    sc_ie_learned_free(&t);
}

static void semantics_decide_what_groups_do(void **state)
{
    (void)state;
    static const struct {
        enum sc_ie_type type;
        uint8_t semantics;
        enum sc_combine combine;
    } cases[] = {
        {SC_TYPE_UNSIGNED64, 3, SC_COMBINE_SUM},   {SC_TYPE_UNSIGNED64, 2, SC_COMBINE_SUM},
        {SC_TYPE_UNSIGNED64, 0, SC_COMBINE_NONE},  {SC_TYPE_UNSIGNED8, 5, SC_COMBINE_OR},
        {SC_TYPE_SIGNED32, 3, SC_COMBINE_NONE},    {SC_TYPE_STRING, 3, SC_COMBINE_NONE},
        {SC_TYPE_FLOAT64, 3, SC_COMBINE_NONE},     {SC_TYPE_IPV4_ADDRESS, 3, SC_COMBINE_NONE},
        {SC_TYPE_MAC_ADDRESS, 3, SC_COMBINE_NONE}, {SC_TYPE_DATE_TIME_SECONDS, 2, SC_COMBINE_NONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_ie_learned t = {0};
        struct sc_ie_definition d = define(7, cases[i].type, "mine");
        d.semantics = cases[i].semantics;
        assert_int_equal(sc_ie_learned_add(&t, &d), SC_IE_NEW);
        assert_int_equal(find(&t, "mine").combine, cases[i].combine);
        assert_int_equal(find(&t, "mine:bytes").combine, SC_COMBINE_NONE);
        sc_ie_learned_free(&t);
    }
}

/* ---- filters ---- */

static bool parses(const struct sc_ie_learned *t, const char *text)
{
    struct sc_filter *filter;
    bool good = sc_filter_parse(t, text, &filter, NULL) == SC_OK;
    sc_filter_free(filter);
    return good;
}

static void filters_know_the_names(void **state)
{
    (void)state;
    static const char *const good[] = {"myCounter > 5",       "mycounter 10k",        "64999:7 = 5",
                                       "myName contains abc", "exists myCounter",     "not myCounter < 3",
                                       "myCounter in [1 2]",  "myCounter:bytes 0x00", "myCounter#2 5"};
    static const char *const usual[] = {"proto tcp", "dir ingress",         "src net 10/8",
                                        "tcp",       "src and dst port 53", "dst port http"};
    struct sc_ie_learned t = {0};
    assert_int_equal(add(&t, 7, SC_TYPE_UNSIGNED32, "myCounter"), SC_IE_NEW);
    assert_int_equal(add(&t, 8, SC_TYPE_STRING, "myName"), SC_IE_NEW);
    static const char *const hostile[] = {"prototcp",  "diringress",  "tcp",      "src",
                                          "srcport53", "dstporthttp", "porthttp", "srcnet10"};
    for (uint16_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
        assert_int_equal(add(&t, (uint16_t)(20 + i), SC_TYPE_UNSIGNED32, hostile[i]), SC_IE_NEW);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!parses(&t, good[i]) || (strncmp(good[i], "64999", 5) != 0 && parses(NULL, good[i])))
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        struct sc_filter *with, *without;
        struct sc_buf a = {0}, b = {0};
        assert_int_equal(sc_filter_parse(&t, usual[i], &with, NULL), SC_OK);
        assert_int_equal(sc_filter_parse(NULL, usual[i], &without, NULL), SC_OK);
        sc_filter_format(with, &a);
        sc_filter_format(without, &b);
        assert_true(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
        sc_filter_free(with);
        sc_filter_free(without);
        sc_buf_free(&a);
        sc_buf_free(&b);
    }
    sc_ie_learned_free(&t);
}

static void what_filters_do_not_know(void **state)
{
    (void)state;
    struct sc_ie_learned t = {0};
    struct sc_error err = {0};
    struct sc_filter *none;
    assert_int_equal(add(&t, 7, SC_TYPE_UNSIGNED32, "myCounter"), SC_IE_NEW);
    assert_int_equal(add(&t, 40, SC_TYPE_UNSIGNED32, "srcfoo"), SC_IE_NEW);
    assert_int_equal(sc_filter_parse(&t, "src foo 5", &none, &err), SC_USAGE);
    assert_memory_equal(err.message, "unknown field", 13);
    assert_int_equal(add(&t, 41, SC_TYPE_IPV4_ADDRESS, "customerNet"), SC_IE_NEW);
    assert_true(parses(&t, "customerNet 192.0.2.1"));
    assert_int_equal(sc_filter_parse(&t, "myCountre > 5", &none, &err), SC_USAGE);
    assert_non_null(strstr(err.message, "\"myCounter\""));
    sc_ie_learned_free(&t);
}

/* ---- a store ---- */

enum { FLOWS = 1000 };

/* Flow i: element 7 is i (4 bytes, 3 of them, 9 of them, or none), element 8 "odd" or "even". */
static struct sc_batch *flows(void)
{
    struct sc_batch *b = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column *counter = begin(b, PEN, 7, SC_COLUMN_BYTES, 0, FLOWS);
    struct sc_column *name = begin(b, PEN, 8, SC_COLUMN_BYTES, 0, FLOWS);
    struct sc_column *received = begin(b, SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, SC_COLUMN_UINT, 8, FLOWS);
    for (uint32_t i = 0; i < FLOWS; i++) {
        static const uint32_t lengths[] = {4, 3, 9, 4};
        uint8_t bytes[9] = {0};
        uint32_t length = lengths[i % 4];
        bytes[length - 2] = (uint8_t)(i >> 8);
        bytes[length - 1] = (uint8_t)i;
        enum sc_status status =
            i % 4 == 3 ? sc_column_put_null(counter) : sc_column_put_bytes(counter, bytes, length);
        assert_int_equal(status, SC_OK);
        assert_int_equal(sc_column_put_bytes(name, i % 2 != 0 ? "odd" : "even", i % 2 != 0 ? 3 : 4), SC_OK);
        sc_column_put_u64(received, KIT_WINDOW + i);
    }
    sc_batch_commit(b, FLOWS);
    assert_int_equal(sc_batch_finish(b), SC_OK);
    b->window_ms = KIT_WINDOW;
    return b;
}

static char *make_store(void)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    const struct sc_store_options options = {.window_s = 300};
    struct sc_store_writer *writer = sc_store_writer_open(store, &options, &err);
    struct sc_batch *batch = flows(), *later = definitions(KIT_WINDOW);
    struct sc_elements e;
    assert_non_null(writer);
    assert_int_equal(sc_store_writer_append(writer, batch, &err), SC_OK);
    assert_int_equal(sc_store_writer_seal(writer, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(writer, &err), SC_OK);
    sc_elements_init(&e, store, NULL, NULL);
    sc_elements_learn(&e, later);
    sc_elements_write(&e);
    sc_elements_free(&e);
    sc_batch_free(batch);
    sc_batch_free(later);
    return store;
}

struct sums {
    uint64_t counter, flows;
};

static void check_groups(const struct sc_request *r, const struct sc_groups *groups,
                         const struct sums expected[2])
{
    struct sc_result result;
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &result, NULL), SC_OK);
    assert_int_equal(result.count, 2);
    for (uint64_t i = 0; i < 2; i++) {
        struct sc_value key = sc_groups_value(groups, result.entries[i], &r->columns[0].result);
        struct sc_value sum = sc_groups_value(groups, result.entries[i], &r->columns[1].result);
        struct sc_value count = sc_groups_value(groups, result.entries[i], &r->columns[2].result);
        assert_false(key.null);
        bool odd = key.length == 3 && memcmp(key.bytes, "odd", 3) == 0;
        assert_int_equal(sum.u, expected[odd].counter);
        assert_int_equal(count.u, expected[odd].flows);
    }
    free(result.entries);
}

static void aggregated_by_name(void **state)
{
    (void)state;
    char *store = make_store();
    const char *path = store;
    struct sc_ie_learned t = {0};
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_source_bounds bounds = {0};
    struct sc_request *r = calloc(1, sizeof(*r));
    struct sc_groups *groups;
    struct sc_summary summary = {0};
    struct sc_scan_stats stats = {0};
    struct sums expected[2] = {{0}};
    struct sc_scan_options scan = {.threads = 1, .time = {0, UINT64_MAX, SC_TIME_FIRST}};
    struct sc_filter *filter;
    assert_int_equal(sc_elements_load(store, &t, &err), SC_OK);
    assert_int_equal(sc_request_aggregate(&t, "myName", NULL, "myCounter,flows", r, &err), SC_OK);
    assert_int_equal(sc_filter_parse(&t, "myCounter > 100", &filter, &err), SC_OK);
    sc_ie_learned_free(&t); /* nothing is kept of it */
    for (uint32_t i = 101; i < FLOWS; i++) {
        if (i % 4 < 2) {
            expected[i % 2].counter += i;
            expected[i % 2].flows++;
        }
    }
    scan.filter = filter;
    assert_int_equal(sc_source_open(&path, 1, &bounds, &source, &err), SC_OK);
    assert_int_equal(sc_query_aggregate(&source, &scan, &r->aggregate, 1, 0, &groups, &summary, &stats, &err),
                     SC_OK);
    check_groups(r, groups, expected);
    sc_groups_free(groups);
    sc_filter_free(filter);
    sc_source_close(&source);
    free(r);
    kit_remove(store);
}

static void the_library_reads_them(void **state)
{
    (void)state;
    char *store = make_store();
    const char *path = store;
    struct libsc_reader *reader;
    struct libsc_column column;
    struct libsc_error err;
    const struct libsc_value *row;
    uint64_t values = 0, misfits = 0;
    assert_int_equal(libsc_reader_open(&path, 1, "myName odd or myCounter:bytes contains 0x00",
                                       "myCounter,myCounter:bytes,64999:8", &reader, &err),
                     LIBSC_OK);
    assert_int_equal(libsc_reader_column(reader, 0, &column), 0);
    assert_int_equal(column.type, LIBSC_UINT);
    assert_string_equal(column.unit, "octets");
    assert_int_equal(libsc_reader_column(reader, 2, &column), 0);
    assert_int_equal(column.type, LIBSC_STRING);
    while (libsc_reader_next(reader, &row, &err) == LIBSC_OK) {
        assert_true(row[0].null || row[0].as.u64 % 4 == 1);
        assert_true(row[1].null || row[1].length == 9);
        values += !row[0].null;
        misfits += !row[1].null;
    }
    assert_int_equal(values, FLOWS / 4);
    assert_int_equal(misfits, FLOWS / 4);
    libsc_reader_close(reader);
    assert_int_equal(libsc_reader_open(&path, 1, NULL, "noSuchName", &reader, &err), LIBSC_NOT_FOUND);
    kit_remove(store);
}

UNIT(test_learned)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_number_and_name),
        cmocka_unit_test(the_latest_definition_holds),
        cmocka_unit_test(what_cannot_be_learned),
        cmocka_unit_test(hostile_names_are_none),
        cmocka_unit_test(the_first_keeps_a_name),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(lines_and_back),
        cmocka_unit_test(a_store_keeps_them),
        cmocka_unit_test(a_disk_that_fails_is_tried_again),
        cmocka_unit_test(a_machine_that_stops),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(encoded_row_groups),
        cmocka_unit_test(values_of_each_type),
        cmocka_unit_test(values_of_wrong_length),
        cmocka_unit_test(names_that_users_know_stay),
        cmocka_unit_test(semantics_decide_what_groups_do),
        cmocka_unit_test(filters_know_the_names),
        cmocka_unit_test(what_filters_do_not_know),
        cmocka_unit_test(aggregated_by_name),
        cmocka_unit_test(the_library_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
