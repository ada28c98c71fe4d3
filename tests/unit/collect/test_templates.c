// SPDX-License-Identifier: BSD-3-Clause
/* The saved template state and its journal: a new decoder decodes at once; what is torn or damaged costs no more than itself. */
#include "collect/templates.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW_MS UINT64_C(1700006400000)

static const uint8_t template_message[] = {
    0, 10, 0, 28, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 1, /* header: 28 bytes */
    0, 2,  0, 12, 1,    0,    0,    1,    0, 7, 0, 2,             /* template 256: sourceTransportPort */
};
static const uint8_t data_message[] = {
    0, 10, 0, 24, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 8, 0, 80, 0, 81,
};

struct half {
    struct sc_decoder *decoder;
    struct sc_batch *flows;
};

static void begin(struct half *h)
{
    const struct sc_decoder_limits limits = sc_decoder_default_limits();
    h->decoder = sc_decoder_create(&limits, NULL);
    h->flows = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(h->decoder);
}

static void end(struct half *h)
{
    sc_decoder_free(h->decoder);
    sc_batch_free(h->flows);
}

/* Flows that the message gave. */
static uint32_t decode(struct half *h, const uint8_t *bytes, size_t length, uint16_t port)
{
    const struct sc_message_source source = {.exporter = sc_addr_v4(0x7f000001),
                                             .port = port,
                                             .transport = SC_TRANSPORT_UDP,
                                             .receive_ms = NOW_MS};
    struct sc_decode_sink sink = {.flows = h->flows};
    struct sc_decode_outcome outcome;
    assert_int_equal(sc_decoder_message(h->decoder, &source, bytes, length, &sink, &outcome, NULL), SC_OK);
    return outcome.flows;
}

static char store[64], file[128], journal[128];

static int make_store(void **state)
{
    (void)state;
    strcpy(store, "/tmp/sc-templates-XXXXXX");
    if (mkdtemp(store) == NULL)
        return -1;
    snprintf(file, sizeof(file), "%s/templates.state", store);
    snprintf(journal, sizeof(journal), "%s/templates.journal", store);
    return 0;
}

static int remove_store(void **state)
{
    (void)state;
    unlink(file);
    unlink(journal);
    return rmdir(store); /* nothing else was left there */
}

/* A list of the records of exporters that use ports from `first` on. */
static void make_list(struct sc_buf *list, uint16_t first, unsigned count)
{
    struct half h;
    begin(&h);
    for (unsigned i = 0; i < count; i++)
        decode(&h, template_message, sizeof(template_message), (uint16_t)(first + i));
    assert_int_equal(sc_decoder_save(h.decoder, list, NULL), SC_OK);
    end(&h);
}

static void put_list(struct sc_roll *roll, const struct sc_buf *list)
{
    struct sc_cursor in = {.data = list->data, .len = list->len};
    const uint8_t *record;
    uint32_t length;
    bool news;
    while (sc_record_next(&in, &record, &length))
        assert_int_equal(sc_roll_put(roll, record, length, ++roll->number, &news), SC_OK);
}

static enum sc_status save_list(const struct sc_buf *list, struct sc_io *io, struct sc_error *err)
{
    struct sc_roll roll;
    uint64_t bytes;
    sc_roll_init(&roll, SC_TEMPLATES_MOST_BYTES);
    put_list(&roll, list);
    enum sc_status status = sc_templates_replace(store, &roll, NOW_MS, io, &bytes, err);
    sc_roll_free(&roll);
    return status;
}

/* A state of two exporters, and a journal of a third. */
static void save_three(void)
{
    struct sc_buf list = {0}, frames = {0};
    const uint8_t *record;
    uint32_t length;
    int handle;
    struct sc_io *io = sc_io_system();
    make_list(&list, 1000, 2);
    for (int i = 0; i < 2; i++) /* replaces */
        assert_int_equal(save_list(&list, NULL, NULL), SC_OK);
    sc_buf_clear(&list);
    make_list(&list, 1002, 1);
    struct sc_cursor in = {.data = list.data, .len = list.len};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sc_templates_begin_journal(store, 77, io, &handle, NULL), SC_OK);
        if (i == 0)
            io->ops->close(io, handle);
    }
    assert_true(sc_record_next(&in, &record, &length));
    sc_templates_put_frame(&frames, 77, record, length);
    assert_int_equal(sc_io_write_all(io, handle, frames.data, frames.len), 0);
    io->ops->close(io, handle);
    sc_buf_free(&list);
    sc_buf_free(&frames);
}

static enum sc_status read_store(struct sc_roll *roll, struct sc_templates_read *found, struct sc_error *err)
{
    const struct sc_decoder_limits limits = sc_decoder_default_limits();
    sc_roll_init(roll, SC_TEMPLATES_MOST_BYTES);
    return sc_templates_read(store, &limits, NOW_MS, roll, found, err);
}

/* Which of the ports from 1000 on decode with what the roll has, as bits. */
static unsigned who_decodes(const struct sc_roll *roll)
{
    struct half h;
    unsigned ports = 0;
    begin(&h);
    for (const struct sc_roll_entry *e = sc_roll_after(roll, 0); e != NULL;
         e = sc_roll_after(roll, e->number))
        assert_int_equal(sc_decoder_load_record(h.decoder, e->record, e->length, NOW_MS, NULL), SC_OK);
    for (uint16_t i = 0; i < 4; i++)
        ports |= (unsigned)(decode(&h, data_message, sizeof(data_message), (uint16_t)(1000 + i)) == 2) << i;
    end(&h);
    return ports;
}

static void a_restarted_collector_decodes_at_once(void **state)
{
    (void)state;
    struct sc_roll roll;
    struct sc_templates_read found;
    save_three();
    assert_int_equal(read_store(&roll, &found, NULL), SC_OK);
    assert_int_equal(who_decodes(&roll), 7); /* another exporter's are not the fourth's */
    assert_true(found.state_bytes > 2 * found.journal_bytes / 2 && found.damaged == 0);
    sc_roll_free(&roll);
}

static void without_a_file_all_is_well(void **state)
{
    (void)state;
    struct sc_roll roll;
    struct sc_templates_read found;
    assert_int_equal(read_store(&roll, &found, NULL), SC_OK);
    assert_int_equal(roll.count, 0);
    assert_true(found.state_bytes == 0 && found.journal_bytes == 0);
    sc_roll_free(&roll);
}

static size_t read_bytes(const char *path, uint8_t *bytes, size_t most)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t length = fread(bytes, 1, most, f);
    fclose(f);
    assert_true(length < most);
    return length;
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t length)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

/* A damaged byte costs the record that it is in, or the file whose head it is in; and a cut all that is behind it. */
static void damage_costs_what_is_damaged(void **state)
{
    (void)state;
    static uint8_t bytes[4096];
    struct sc_error err;
    struct sc_templates_read found;
    struct sc_roll roll;
    save_three();
    size_t length = read_bytes(file, bytes, sizeof(bytes)), size = (length - SC_TEMPLATES_HEAD_BYTES) / 2;
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= 0x41;
        write_bytes(file, bytes, length);
        bytes[at] ^= 0x41;
        enum sc_status status = read_store(&roll, &found, &err);
        unsigned left = who_decodes(&roll);
        sc_roll_free(&roll);
        if (at < SC_TEMPLATES_HEAD_BYTES) {
            assert_true((left & 4) != 0); /* the journal is another file */
            assert_true(status != SC_OK || found.damaged == 1 || left == 7);
        } else {
            assert_true(status == SC_OK && found.damaged == 1);
            assert_int_equal(left, (at - SC_TEMPLATES_HEAD_BYTES) / size == 0 ? 6 : 5);
        }
        write_bytes(file, bytes, at);
        status = read_store(&roll, &found, &err);
        assert_int_equal(status, at < SC_TEMPLATES_HEAD_BYTES ? SC_DAMAGED : SC_OK);
        left = who_decodes(&roll);
        assert_int_equal(left, at >= SC_TEMPLATES_HEAD_BYTES + size ? 5 : 4);
        sc_roll_free(&roll);
    }
}

/* ---- the journal as a model ---- */

enum { SESSIONS = 5, STEPS = 40, ROUNDS = 4 };

/* What a session's last record says: the ports of its last template's fields, 0: it has none. */
struct model {
    uint32_t sizes[SESSIONS];
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/* Redefines template 256 of a session with another number of fields, or has the session pushed out. */
static void change(struct half *h, struct model *m, uint32_t *seed)
{
    uint8_t message[28 + 4 * 16];
    uint32_t session = draw(seed) % SESSIONS, fields = 1 + draw(seed) % 16;
    memcpy(message, template_message, sizeof(template_message));
    sc_store_be16(message + 2, (uint16_t)(24 + 4 * fields));
    sc_store_be16(message + 18, (uint16_t)(8 + 4 * fields));
    sc_store_be16(message + 22, (uint16_t)fields);
    for (uint32_t i = 0; i < fields; i++)
        sc_store_be32(message + 24 + 4 * i, 7u << 16 | 2);
    decode(h, message, 24 + 4 * (size_t)fields, (uint16_t)(1000 + session));
    m->sizes[session] = fields;
}

/* Of a roll: the number of fields by the record's length; each has one template. */
static struct model model_of(const struct sc_roll *roll, size_t bare)
{
    struct model m = {{0}};
    for (const struct sc_roll_entry *e = sc_roll_after(roll, 0); e != NULL;
         e = sc_roll_after(roll, e->number))
        m.sizes[e->head.port - 1000] = (uint32_t)(e->length - bare) / 8;
    return m;
}

/* Random changes, each followed by its records in the journal; now and then the state is written anew. Wherever the journal is cut,
 * reading gives what was there after the last whole record. */
static void any_cut_gives_a_state_of_before(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    enum { BARE = 44 + 4 + 58 + 25 }; /* of a record: its head, facts, domain and template without fields */
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct half h;
        struct model now = {{0}}, after[STEPS + 1];
        struct sc_templates_read found;
        struct sc_buf file_bytes = {0}, list = {0};
        struct sc_roll roll;
        size_t ends[STEPS + 1];
        uint32_t seed = round, first = 0;
        begin(&h);
        sc_templates_put_head(&file_bytes, round);
        after[0] = now;
        ends[0] = file_bytes.len;
        for (uint32_t step = 1; step <= STEPS; step++) {
            const uint8_t *record;
            uint32_t length;
            change(&h, &now, &seed);
            sc_buf_clear(&list);
            sc_decoder_changes(h.decoder, SIZE_MAX, &list);
            struct sc_cursor in = {.data = list.data, .len = list.len};
            while (sc_record_next(&in, &record, &length))
                sc_templates_put_frame(&file_bytes, round, record, length);
            after[step] = now;
            ends[step] = file_bytes.len;
            if (step == STEPS / 2 &&
                round % 2 != 0) { /* a compaction that ended before the journal was begun anew */
                write_bytes(journal, file_bytes.data, file_bytes.len);
                uint64_t written;
                assert_int_equal(read_store(&roll, &found, NULL), SC_OK);
                assert_int_equal(sc_templates_replace(store, &roll, NOW_MS, NULL, &written, NULL), SC_OK);
                sc_roll_free(&roll);
                first = step;
            }
        }
        assert_true(file_bytes.len < sizeof(bytes));
        for (size_t cut = ends[first]; cut <= file_bytes.len; cut += 1 + draw(&seed) % 31) {
            uint32_t step = first;
            while (step < STEPS && ends[step + 1] <= cut)
                step++;
            write_bytes(journal, file_bytes.data, cut);
            assert_int_equal(read_store(&roll, &found, NULL), SC_OK);
            struct model got = model_of(&roll, BARE);
            assert_memory_equal(&got, &after[step], sizeof(got));
            assert_int_equal(found.damaged, cut == ends[step] ? 0 : 1);
            sc_roll_free(&roll);
        }
        sc_buf_free(&file_bytes);
        sc_buf_free(&list);
        end(&h);
        unlink(file);
        unlink(journal);
    }
}

/* Bytes that look like a frame within a record are none: nobody outside knows the salt. */
static void nothing_within_a_record_is_a_frame(void **state)
{
    (void)state;
    struct sc_buf list = {0}, inner = {0}, bytes = {0};
    struct sc_templates_read found;
    struct sc_roll roll;
    make_list(&list, 1000, 1);
    sc_templates_put_frame(&inner, 1, list.data + 4, list.len - 4); /* with another salt */
    sc_templates_put_head(&bytes, 2);
    size_t at = bytes.len;
    sc_templates_put_frame(&bytes, 2, inner.data, inner.len);
    bytes.data[at] ^= 1; /* its length does not fit: the reader searches within */
    write_bytes(journal, bytes.data, bytes.len);
    assert_int_equal(read_store(&roll, &found, NULL), SC_OK);
    assert_int_equal(roll.count, 0);
    assert_int_equal(found.damaged, 1);
    sc_roll_free(&roll);
    sc_buf_free(&list);
    sc_buf_free(&inner);
    sc_buf_free(&bytes);
}

/* ---- files of version 1 ---- */

static void a_file_of_version_1_is_read(void **state)
{
    (void)state;
    static const uint8_t head[] = "SCTSTATE\1\0\0\0\2\0\0\0";
    static uint8_t whole[4096];
    struct sc_buf bytes = {0};
    struct sc_templates_read found;
    struct sc_roll roll;
    struct sc_error err;
    uint32_t size = (uint32_t)read_bytes(SC_SOURCE_DIR "/tests/data/v2.templates", whole, sizeof(whole));
    sc_buf_append(&bytes, head, sizeof(head) - 1);
    for (int i = 0; i < 2; i++) {
        sc_buf_append_le32(&bytes, size);
        sc_buf_append(&bytes, whole, size);
    }
    write_bytes(file, bytes.data, bytes.len);
    const struct sc_decoder_limits limits = sc_decoder_default_limits();
    sc_roll_init(&roll, SC_TEMPLATES_MOST_BYTES);
    uint64_t then = UINT64_C(1700000000123); /* when it was saved */
    assert_int_equal(sc_templates_read(store, &limits, then, &roll, &found, &err), SC_OK);
    assert_int_equal(roll.count, 2);
    sc_roll_free(&roll);
    for (size_t cut = 0; cut < bytes.len; cut += 11) { /* the first may be whole */
        write_bytes(file, bytes.data, cut);
        assert_int_equal(sc_templates_read(store, &limits, then, &roll, &found, &err), SC_DAMAGED);
        assert_int_equal(roll.count, cut < sizeof(head) + 3 + size ? 0 : 2);
        sc_roll_free(&roll);
    }
    sc_buf_free(&bytes);
}

/* ---- on the link ---- */

/* In shares: each about as large as wanted, and in the end all is known. */
static void a_state_is_merged_in_shares(void **state)
{
    (void)state;
    enum { MANY = 200, SHARE = 1000 };
    struct sc_buf list = {0}, bytes = {0};
    struct half h;
    struct sc_error err;
    size_t at = 0, before = 0;
    enum sc_status status;
    unsigned shares = 0;
    make_list(&list, 1000, MANY);
    sc_templates_begin_state(&bytes);
    sc_buf_append(&bytes, list.data, list.len);
    begin(&h);
    while ((status = sc_templates_merge(bytes.data, bytes.len, &at, SHARE, h.decoder, NOW_MS, NOW_MS,
                                        &err)) == SC_AGAIN) {
        assert_true(at - before >= SHARE && at - before < SHARE + 200);
        before = at;
        shares++;
    }
    assert_int_equal(status, SC_OK);
    assert_true(shares > MANY * 100 / SHARE);
    for (uint16_t i = 0; i < MANY; i++)
        assert_int_equal(decode(&h, data_message, sizeof(data_message), (uint16_t)(1000 + i)), 2);
    at = 0;
    assert_int_equal(
        sc_templates_merge(bytes.data, bytes.len - 1, &at, SIZE_MAX, h.decoder, NOW_MS, NOW_MS, &err),
        SC_DAMAGED);
    end(&h);
    sc_buf_free(&list);
    sc_buf_free(&bytes);
}

/* ---- disks that refuse ---- */

static ssize_t no_space(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    (void)io;
    (void)handle;
    (void)bytes;
    (void)count;
    return -ENOSPC;
}

static void a_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    struct sc_io_ops ops = *sc_io_system()->ops;
    struct sc_io io = {&ops};
    struct sc_buf list = {0};
    struct sc_error err;
    struct sc_templates_read found;
    struct sc_roll roll;
    int handle;
    save_three();
    ops.write = no_space;
    make_list(&list, 1003, 1);
    assert_int_equal(save_list(&list, &io, &err), SC_FULL);
    assert_non_null(strstr(err.message, file));
    assert_int_equal(sc_templates_begin_journal(store, 1, &io, &handle, &err), SC_FULL);
    assert_int_equal(handle, -1);
    assert_int_equal(read_store(&roll, &found, NULL), SC_DAMAGED); /* the new journal has no head */
    assert_int_equal(who_decodes(&roll), 3);
    sc_roll_free(&roll);
    sc_buf_free(&list);
}

#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

UNIT(test_templates)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(a_restarted_collector_decodes_at_once), IN_STORE(without_a_file_all_is_well),
        IN_STORE(damage_costs_what_is_damaged),          IN_STORE(any_cut_gives_a_state_of_before),
        IN_STORE(nothing_within_a_record_is_a_frame),    IN_STORE(a_file_of_version_1_is_read),
        IN_STORE(a_state_is_merged_in_shares),           IN_STORE(a_full_disk_keeps_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
