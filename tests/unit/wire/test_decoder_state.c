// SPDX-License-Identifier: BSD-3-Clause
/* Template state to records and back: all that decoding needs comes back, damage is seen, nothing half-loaded; a share at a time. */
#include "decoder_kit.h"

#include <stdio.h>
#include <xxhash.h>

/* The files of tests/data are those of the format's time, not of a writer that came later. */
#define V2_HASH UINT64_C(0x92af84dcc9da9dab)

/* Templates, samplers, a domain-wide rate and a base of sysUpTime in several sessions and domains. */
static void fill(struct kit *k)
{
    kit_open(k);
    for (uint16_t port = 1000; port < 1003; port++) {
        k->source.port = port;
        begin_v9(k, 1);
        put_options_template(k, 300, 1, 4, 1, 4, 48, 2, 49, 1, 50, 4);
        begin_set(k, 300);
        put32(k, 0);
        put16(k, 1);
        put8(k, 2);
        put32(k, port);
        end_set(k);
        put_template(k, 256, 4, 8, 4, 39001, 2, 48, 2, 94, 65535);
        assert_int_equal(deliver(k), SC_OK);
        begin_ipfix_at(k, KIT_SECONDS, 0, port);
        put_options_template(k, 301, 1, 3, 143, 4, 160, 8, 34, 4);
        begin_set(k, 301);
        put32(k, 1);
        put64(k, (uint64_t)KIT_SECONDS * 1000 - 90000);
        put32(k, 777);
        end_set(k);
        put_template(k, 257, 2, 22, 4, 27, 16);
        assert_int_equal(deliver(k), SC_OK);
    }
    assert_int_equal(k->sink.flows->rows, 0);
}

static void save(struct kit *k, struct sc_buf *out)
{
    *out = (struct sc_buf){0};
    assert_int_equal(sc_decoder_save(k->decoder, out, &k->err), SC_OK);
}

/* Loads each record of the list. The first status that is not SC_OK, in any case all are tried. */
static enum sc_status load_at(struct kit *k, const struct sc_buf *list, uint64_t now_ms)
{
    struct sc_cursor in = {.data = list->data, .len = list->len};
    const uint8_t *record;
    uint32_t length;
    enum sc_status first = SC_OK;
    while (sc_record_next(&in, &record, &length)) {
        enum sc_status status = sc_decoder_load_record(k->decoder, record, length, now_ms, &k->err);
        first = first == SC_OK ? status : first;
    }
    assert_false(in.failed);
    return first;
}

static enum sc_status load(struct kit *k, const struct sc_buf *list)
{
    return load_at(k, list, KIT_RECEIVED);
}

/* Data only, to a decoder that must know the rest. Returns the flows decoded. */
static uint32_t probe(struct kit *k, uint16_t port)
{
    k->source.port = port;
    begin_v9(k, 2);
    begin_set(k, 256);
    put32(k, 0x0a000001);
    put16(k, 0xbeef);
    put16(k, 1);
    put_bytes(k, "\2ok", 3);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    uint32_t flows = k->outcome.flows;
    begin_ipfix_at(k, KIT_SECONDS, 1, port);
    begin_set(k, 257);
    put32(k, 1000);
    put_v6(k, 5);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    return flows + k->outcome.flows;
}

static void assert_all_came_back(struct kit *k)
{
    for (uint16_t port = 1000; port < 1003; port++) {
        uint32_t row = k->sink.flows->rows;
        assert_int_equal(probe(k, port), 2);
        assert_addr(k->sink.flows, row, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "10.0.0.1");
        assert_bytes(k->sink.flows, row, SC_PEN_V9, 39001, 0, "\xbe\xef", 2);
        assert_bytes(k->sink.flows, row, 0, 94, 0, "ok", 2);
        assert_int_equal(flow_own(k, row, SC_IE_SAMPLING_RATE), port);
        assert_int_equal(flow_own(k, row + 1, SC_IE_FLOW_START), (uint64_t)KIT_SECONDS * 1000 - 89000);
        assert_int_equal(flow_own(k, row + 1, SC_IE_SAMPLING_RATE), 777);
        assert_addr(k->sink.flows, row + 1, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, "2001:db8::5");
    }
}

static void all_that_decoding_needs_comes_back(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved;
    fill(&k);
    save(&k, &saved);
    kit_open(&again);
    assert_int_equal(load(&again, &saved), SC_OK);
    assert_all_came_back(&again);
    sc_buf_free(&saved);
    kit_close(&k);
    kit_close(&again);
}

static void saving_what_was_loaded_gives_the_same_bytes(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf first, second;
    fill(&k);
    save(&k, &first);
    kit_open(&again);
    assert_int_equal(load(&again, &first), SC_OK);
    save(&again, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    sc_buf_free(&first);
    sc_buf_free(&second);
    kit_close(&k);
    kit_close(&again);
}

/* ---- names ---- */

/* A name of each map and the exporter's own address, in one domain of each of two sessions. */
static void fill_names(struct kit *k)
{
    kit_open(k);
    for (uint16_t port = 1000; port < 1002; port++) {
        k->source.port = port;
        begin_ipfix(k, 0);
        put_options_template(k, 300, 1, 7, 144, 4, 10, 4, 82, 8, 234, 4, 236, 8, 95, 4, 96, 8);
        begin_set(k, 300);
        put32(k, 1);
        put32(k, 7);
        put_bytes(k, port == 1000 ? "eth7\0\0\0\0" : "ge-0/0/7", 8);
        put32(k, 0);
        put_bytes(k, "default\0", 8);
        put32(k, 0x0300000d);
        put_bytes(k, "dns\0\0\0\0\0", 8);
        end_set(k);
        put_options_template(k, 301, 1, 2, 144, 4, 130, 4);
        begin_set(k, 301);
        put32(k, 1);
        put32(k, 0xc6336401);
        end_set(k);
        put_template(k, 256, 4, 10, 4, 14, 4, 235, 4, 95, 4);
        assert_int_equal(deliver(k), SC_OK);
    }
}

static void assert_names(struct kit *k, uint16_t port, const char *interface)
{
    k->source.port = port;
    begin_ipfix(k, 2);
    begin_set(k, 256);
    put32(k, 7);
    put32(k, 8);
    put32(k, 0);
    put32(k, 0x0300000d);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
    uint32_t row = k->sink.flows->rows - 1;
    const struct sc_batch *flows = k->sink.flows;
    assert_bytes(flows, row, SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, 0, interface,
                 (uint32_t)strlen(interface));
    assert_true(
        is_null(column(flows, SC_PEN_COLLECTOR, SC_IE_EGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES), row));
    assert_bytes(flows, row, SC_PEN_COLLECTOR, SC_IE_EGRESS_VRF_NAME, 0, "default", 7);
    assert_bytes(flows, row, SC_PEN_COLLECTOR, SC_IE_APPLICATION_NAME, 0, "dns", 3);
    assert_addr(flows, row, SC_PEN_COLLECTOR, SC_IE_TOLD_EXPORTER, "198.51.100.1");
}

static void names_come_back(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved, second;
    fill_names(&k);
    save(&k, &saved);
    kit_open(&again);
    assert_int_equal(load(&again, &saved), SC_OK);
    assert_names(&again, 1000, "eth7");
    assert_names(&again, 1001, "ge-0/0/7");
    save(&again, &second);
    assert_int_equal(second.len, saved.len);
    sc_buf_free(&saved);
    sc_buf_free(&second);
    kit_close(&k);
    kit_close(&again);
}

static void cut_and_damaged_names_are_seen(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved;
    fill_names(&k);
    save(&k, &saved);
    kit_open(&again);
    uint32_t size = sc_load_le32(saved.data);
    for (uint32_t length = 0; length < size; length++) {
        uint8_t *copy = malloc(length + 1); /* of its own size, so that the sanitizer sees a byte behind it */
        memcpy(copy, saved.data + 4, length);
        enum sc_status status = sc_decoder_load_record(again.decoder, copy, length, KIT_RECEIVED, &again.err);
        assert_int_equal(status, SC_DAMAGED);
        free(copy);
    }
    /* The last name begins with its map: 1 + 8 + 8 + 1 bytes and "dns" before the end. */
    saved.data[saved.len - 21] = 3;
    assert_int_equal(load(&again, &saved), SC_DAMAGED);
    sc_buf_free(&saved);
    kit_close(&k);
    kit_close(&again);
}

/* The row of a flow of template 256 when the state is loaded into a session of at most `bytes`, and whether it
 * has a name. */
static bool decodes_within(const struct sc_buf *saved, uint32_t bytes, bool *named)
{
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(bytes);
    kit_open_with(&k, &limits);
    enum sc_status status = load(&k, saved);
    assert_true(status == SC_OK || status == SC_LIMIT); /* not even the domain */
    k.source.port = 1000;
    begin_ipfix(&k, 2);
    begin_set(&k, 256);
    put32(&k, 7);
    put_zeros(&k, 12);
    end_set(&k);
    deliver(&k);
    bool decoded = k.outcome.flows == 1;
    *named =
        !is_null(column(k.sink.flows, SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES), 0);
    kit_close(&k);
    return decoded;
}

/* Templates go first. */
static void names_without_room_are_left_out(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf saved;
    bool named;
    uint32_t bytes = 256;
    fill_names(&k);
    save(&k, &saved);
    while (!decodes_within(&saved, bytes, &named))
        bytes += 16;
    assert_false(named);
    assert_true(decodes_within(&saved, 2 * bytes + 4096, &named));
    assert_true(named);
    sc_buf_free(&saved);
    kit_close(&k);
}

/* ---- what programs of the format before left ---- */

static void read_golden(const char *name, struct sc_buf *out)
{
    char path[512];
    *out = (struct sc_buf){0};
    snprintf(path, sizeof(path), "%s/tests/data/%s", SC_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *place = sc_buf_reserve(out, 4096);
    assert_non_null(place);
    out->len = fread(place, 1, 4096, file);
    assert_true(feof(file) != 0);
    fclose(file);
}

static enum sc_status load_whole(struct kit *k, const struct sc_buf *saved)
{
    return sc_decoder_load(k->decoder, saved->data, saved->len, KIT_RECEIVED, &k->err);
}

/* tests/data/v2.templates is what fill_names() gave to a program of format 2. */
static void format_2_is_read(void **state)
{
    (void)state;
    struct kit again;
    struct sc_buf saved;
    read_golden("v2.templates", &saved);
    assert_int_equal(sc_load_le32(saved.data + 4), 2);
    assert_true(XXH3_64bits(saved.data, saved.len) == V2_HASH);
    kit_open(&again);
    assert_int_equal(load_whole(&again, &saved), SC_OK);
    assert_names(&again, 1000, "eth7");
    assert_names(&again, 1001, "ge-0/0/7");
    sc_buf_free(&saved);
    kit_close(&again);
}

static void empty_state(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf saved;
    kit_open(&k);
    save(&k, &saved);
    assert_int_equal(load(&k, &saved), SC_OK);
    sc_buf_free(&saved);
    kit_close(&k);
}

/* They begin with their templates; a number of a connection is never used again. */
static void tcp_and_file_sessions_are_not_saved(void **state)
{
    (void)state;
    struct kit k, empty;
    struct sc_buf saved, nothing;
    kit_open(&k);
    kit_open(&empty);
    for (int i = 0; i < 2; i++) {
        k.source.transport = i == 0 ? SC_TRANSPORT_TCP : SC_TRANSPORT_FILE;
        begin_ipfix(&k, 0);
        put_template(&k, 256, 1, 2, 4);
        assert_int_equal(deliver(&k), SC_OK);
    }
    save(&k, &saved);
    save(&empty, &nothing);
    assert_int_equal(saved.len, nothing.len);
    sc_buf_free(&saved);
    sc_buf_free(&nothing);
    kit_close(&k);
    kit_close(&empty);
}

/* Whole states carry a checksum; records get theirs where they are kept. */
static void a_damaged_whole_state_is_seen(void **state)
{
    (void)state;
    struct kit again;
    struct sc_buf saved;
    read_golden("v2.templates", &saved);
    kit_open(&again);
    for (size_t i = 0; i < saved.len; i++) {
        saved.data[i] ^= 0x10;
        assert_int_equal(load_whole(&again, &saved), i >= 4 && i < 8 ? SC_UNSUPPORTED : SC_DAMAGED);
        saved.data[i] ^= 0x10;
        uint8_t *copy = malloc(i + 1);
        memcpy(copy, saved.data, i);
        for (int fits = 0; fits < 2;
             fits++) { /* with a checksum that fits, the structure itself must give it away */
            const struct sc_buf cut = {.data = copy, .len = i};
            assert_int_equal(load_whole(&again, &cut), SC_DAMAGED);
            if (i >= 20)
                sc_store_le64(copy + i - 8, XXH3_64bits(copy, i - 8));
        }
        free(copy);
    }
    sc_buf_free(&saved);
    kit_close(&again);
}

/* Any byte of a record may be another: what comes of it is a session or an error. */
static void a_record_is_not_trusted(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf saved;
    fill_names(&k);
    save(&k, &saved);
    for (size_t i = 0; i < saved.len - 4; i++) {
        struct kit again;
        kit_open(&again);
        saved.data[4 + i] ^= 0x90;
        uint32_t size = sc_load_le32(saved.data);
        sc_decoder_load_record(again.decoder, saved.data + 4, size, KIT_RECEIVED, &again.err);
        saved.data[4 + i] ^= 0x90;
        assert_int_equal(load(&again, &saved), SC_OK); /* unharmed */
        assert_names(&again, 1001, "ge-0/0/7");
        kit_close(&again);
        i += i > 100 ? 7 : 0;
    }
    sc_buf_free(&saved);
    kit_close(&k);
}

static void outlived_templates_are_left_out(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved;
    fill(&k);
    save(&k, &saved);
    kit_open(&again);
    uint64_t late = KIT_RECEIVED + 1800001;
    assert_int_equal(load_at(&again, &saved, late), SC_OK);
    assert_int_equal(probe(&again, 1000), 0);
    sc_buf_free(&saved);
    kit_close(&k);
    kit_close(&again);
}

static void a_session_that_is_there_stays(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved;
    fill(&k);
    save(&k, &saved);
    kit_open(&again);
    again.source.port = 1000;
    begin_v9(&again, 1);
    put_template(&again, 256, 1, 2, 1);
    assert_int_equal(deliver(&again), SC_OK);
    assert_int_equal(load(&again, &saved), SC_OK);
    begin_v9(&again, 2);
    begin_set(&again, 256);
    put32(&again, 0);
    end_set(&again);
    assert_int_equal(deliver(&again), SC_OK);
    assert_int_equal(again.outcome.flows, 4); /* of the newer template */
    assert_int_equal(probe(&again, 1001), 2);
    sc_buf_free(&saved);
    kit_close(&k);
    kit_close(&again);
}

static void narrower_limits_leave_out_the_rest(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf saved;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.max_fields = 2;
    fill(&k);
    save(&k, &saved);
    kit_open_with(&again, &limits);
    assert_int_equal(load(&again, &saved), SC_OK);
    assert_int_equal(probe(&again, 1002), 1); /* the IPFIX template has 2 fields */
    assert_int_equal(probe(&again, 1001), 1);
    sc_buf_free(&saved);
    kit_close(&k);
    kit_close(&again);
}

/* ---- changes ---- */

static size_t changes(struct kit *k, size_t most, struct sc_buf *out)
{
    sc_buf_clear(out);
    size_t done = sc_decoder_changes(k->decoder, most, out);
    assert_true(sc_buf_ok(out));
    return done;
}

static uint32_t count_records(const struct sc_buf *list, struct sc_record_head *last)
{
    struct sc_cursor in = {.data = list->data, .len = list->len};
    const uint8_t *record;
    uint32_t length, count = 0;
    for (; sc_record_next(&in, &record, &length); count++)
        assert_int_equal(sc_record_head(record, length, last), SC_OK);
    assert_false(in.failed);
    return count;
}

static void define_at(struct kit *k, uint64_t at, unsigned fields)
{
    k->source.receive_ms = KIT_RECEIVED + at;
    begin_v9(k, 1);
    begin_set(k, 0);
    put16(k, 256);
    put16(k, (uint16_t)fields);
    for (unsigned i = 0; i < fields; i++)
        put32(k, 7u << 16 | 2);
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
}

static void a_change_is_recorded_once(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf list = {0};
    struct sc_record_head head;
    fill(&k);
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 3);
    assert_false(head.bare || head.hearsay || head.removed || head.established);
    kit_open(&again);
    assert_int_equal(load(&again, &list), SC_OK);
    assert_all_came_back(&again);
    assert_int_equal(changes(&k, SIZE_MAX, &list), 0);
    probe(&k, 1000); /* data is no change */
    assert_int_equal(changes(&k, SIZE_MAX, &list), 0);
    changes(&again, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 3); /* that they were heard here is one, the first time */
    probe(&again, 1000);
    assert_int_equal(changes(&again, SIZE_MAX, &list), 0);
    sc_buf_free(&list);
    kit_close(&k);
    kit_close(&again);
}

static void repetitions_count_rarely(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf list = {0};
    struct sc_record_head head;
    kit_open(&k);
    define_at(&k, 0, 1);
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_true(head.seen_ms == KIT_RECEIVED && head.outlived_ms == KIT_RECEIVED + 1800000);
    for (uint64_t at = 60000; at <= 600000; at += 60000)
        define_at(&k, at, 1);
    assert_int_equal(changes(&k, SIZE_MAX, &list), 0);
    define_at(&k, 660000, 1);
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_true(head.seen_ms == KIT_RECEIVED + 660000);
    define_at(&k, 720000, 1);
    assert_int_equal(changes(&k, SIZE_MAX, &list), 0);
    sc_decoder_refresh(k.decoder); /* at the end of the process */
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    define_at(&k, 720001, 2); /* another layout at once */
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    sc_buf_free(&list);
    kit_close(&k);
}

/* Junk that is pushed out leaves nothing on the disk; what was recorded does. */
static void what_is_pushed_out_is_told(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf list = {0};
    struct sc_record_head head;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(4000);
    kit_open_with(&k, &limits);
    k.source.port = 1;
    define_at(&k, 0, 1);
    changes(&k, SIZE_MAX, &list);
    for (uint16_t port = 2; port < 20; port++) { /* each pushes out the one before it, unrecorded */
        k.source.port = port;
        k.source.receive_ms += 60000;
        begin_v9(&k, 1);
        begin_set(&k, 300); /* waits: of use, and nothing to record */
        put_zeros(&k, 1000);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
    }
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_true(head.removed && head.forget && head.port == 1 && head.seen_ms == KIT_RECEIVED);
    sc_buf_free(&list);
    kit_close(&k);
}

/* `from` on: so many names of interfaces, as options data. */
static void name_interfaces(struct kit *k, uint32_t from, uint32_t count)
{
    char name[33];
    begin_ipfix(k, 0);
    put_options_template(k, 300, 1, 2, 10, 4, 82, 32);
    begin_set(k, 300);
    for (uint32_t i = from; i < from + count; i++) {
        snprintf(name, sizeof(name), "interface-%022u", i);
        put32(k, i);
        put_bytes(k, name, 32);
    }
    end_set(k);
    assert_int_equal(deliver(k), SC_OK);
}

/* Sessions full of names, 8 MiB each in memory: each call writes its share and no more, and the small one between them comes in its
 * turn. */
static void large_sessions_are_written_in_shares(void **state)
{
    (void)state;
    enum { SHARE = 64 << 10, LARGEST_ITEM = 24 << 10, SESSIONS = 4 };
    struct kit k, again;
    struct sc_buf list = {0}, all = {0};
    struct sc_record_head head;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(64 << 20);
    kit_open_with(&k, &limits);
    for (uint16_t port = 1; port <= SESSIONS; port++) {
        k.source.port = port;
        for (uint32_t i = 0; i < 65000; i += 1000)
            name_interfaces(&k, i, 1000);
    }
    k.source.port = 1000;
    define_at(&k, 0, 1);
    size_t sum = 0, done;
    while ((done = changes(&k, SHARE, &list)) != 0) {
        assert_true(done <= SHARE + LARGEST_ITEM);
        sum += done;
        sc_buf_append(&all, list.data, list.len);
    }
    assert_int_equal(count_records(&all, &head), SESSIONS + 1);
    assert_true(head.port == 1000);
    assert_true(sum > 8 << 20);
    kit_open_with(&again, &limits);
    assert_int_equal(load(&again, &all), SC_OK);
    sc_buf_free(&list);
    save(&again, &list);
    assert_int_equal(count_records(&list, &head), SESSIONS + 1);
    assert_int_equal(list.len, all.len);
    sc_buf_free(&list);
    sc_buf_free(&all);
    kit_close(&k);
    kit_close(&again);
}

/* One that changes all the time is written when it rests, and holds up nobody. */
static void one_that_never_rests_holds_up_nobody(void **state)
{
    (void)state;
    struct kit k;
    struct sc_buf list = {0};
    struct sc_record_head head;
    kit_open(&k);
    k.source.port = 1;
    for (uint32_t i = 0; i < 10000; i += 1000)
        name_interfaces(&k, i, 1000);
    assert_true(changes(&k, 1000, &list) >= 1000);
    assert_int_equal(count_records(&list, &head), 0);
    k.source.port = 2;
    define_at(&k, 0, 1);
    k.source.port = 1;
    name_interfaces(&k, 20000, 1);
    changes(&k, 1000, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_int_equal(head.port, 2);
    for (uint32_t i = 0; i < 5; i++) {
        name_interfaces(&k, 30000 + i, 1);
        changes(&k, 1000, &list);
        assert_int_equal(count_records(&list, &head), 0);
    }
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_int_equal(head.port, 1);
    sc_buf_free(&list);
    kit_close(&k);
}

/* Flows in ten different minutes make an exporter an established one; that is recorded, and comes back. */
static void who_is_established_stays_so(void **state)
{
    (void)state;
    struct kit k, again;
    struct sc_buf list = {0};
    struct sc_record_head head;
    kit_open(&k);
    define_at(&k, 0, 1);
    changes(&k, SIZE_MAX, &list);
    for (unsigned minute = 0; minute < SC_ESTABLISHED_MINUTES; minute++) {
        assert_int_equal(changes(&k, SIZE_MAX, &list), 0);
        k.source.receive_ms = KIT_RECEIVED + minute * 60000;
        begin_v9(&k, 2 + minute);
        begin_set(&k, 256);
        put32(&k, 1);
        end_set(&k);
        assert_int_equal(deliver(&k), SC_OK);
        assert_int_equal(k.outcome.flows, 2);
    }
    changes(&k, SIZE_MAX, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_true(head.established);
    kit_open(&again);
    assert_int_equal(load(&again, &list), SC_OK);
    sc_buf_free(&list);
    save(&again, &list);
    assert_int_equal(count_records(&list, &head), 1);
    assert_true(head.established);
    sc_buf_free(&list);
    kit_close(&k);
    kit_close(&again);
}

static void define_in(struct kit *k, uint32_t domain)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    put_template(k, 256, 2, 8, 4, 12, 4);
    assert_int_equal(deliver(k), SC_OK);
}

/* A third of a record with two domains is written; then one comes, or all go. What is written in the end can be read. */
static void what_comes_and_goes_leaves_records_whole(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 2; what++) {
        struct kit k, other;
        struct sc_buf list = {0};
        struct sc_record_head head;
        kit_open(&k);
        define_in(&k, 5);
        define_in(&k, 9);
        changes(&k, 60, &list);
        assert_int_equal(list.len, 0);
        if (what == 0) { /* one whose data wait: no template of it came yet */
            begin_ipfix_at(&k, KIT_SECONDS, 0, 1);
            begin_set(&k, 300);
            put32(&k, 1);
            end_set(&k);
            assert_int_equal(deliver(&k), SC_OK);
        } else {
            k.source.receive_ms += 1800001; /* beyond the lifetime of what domain 9 has not repeated */
            define_in(&k, 5);
            changes(&k, 60, &list);
            sc_decoder_expire(k.decoder, k.source.receive_ms);
        }
        changes(&k, SIZE_MAX, &list);
        assert_int_equal(count_records(&list, &head), 1);
        kit_open(&other);
        assert_int_equal(load_at(&other, &list, k.source.receive_ms), SC_OK);
        kit_close(&other);
        kit_close(&k);
        sc_buf_free(&list);
    }
}

/* Its own share counts also for what it had before a restart. */
static void a_larger_share_holds_for_what_is_loaded(void **state)
{
    (void)state;
    struct kit k, other;
    struct sc_buf saved;
    struct sc_record_head head;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = 16 << 10;
    kit_open(&k);
    name_interfaces(&k, 0, 200);
    save(&k, &saved);
    assert_int_equal(count_records(&saved, &head), 1);
    const struct sc_budget_share share = {.network = head.exporter, .bits = 128, .bytes = 64 << 20};
    limits.shares = &share;
    limits.share_count = 1;
    kit_open_with(&other, &limits);
    assert_int_equal(load(&other, &saved), SC_OK);
    struct sc_buf again;
    save(&other, &again);
    assert_int_equal(again.len, saved.len);
    sc_buf_free(&again);
    sc_buf_free(&saved);
    kit_close(&other);
    kit_close(&k);
}

UNIT(test_decoder_state)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_decoding_needs_comes_back),
        cmocka_unit_test(saving_what_was_loaded_gives_the_same_bytes),
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(cut_and_damaged_names_are_seen),
        cmocka_unit_test(names_without_room_are_left_out),
        cmocka_unit_test(format_2_is_read),
        cmocka_unit_test(empty_state),
        cmocka_unit_test(tcp_and_file_sessions_are_not_saved),
        cmocka_unit_test(a_damaged_whole_state_is_seen),
        cmocka_unit_test(a_record_is_not_trusted),
        cmocka_unit_test(outlived_templates_are_left_out),
        cmocka_unit_test(a_session_that_is_there_stays),
        cmocka_unit_test(narrower_limits_leave_out_the_rest),
        cmocka_unit_test(a_change_is_recorded_once),
        cmocka_unit_test(repetitions_count_rarely),
        cmocka_unit_test(what_is_pushed_out_is_told),
        cmocka_unit_test(large_sessions_are_written_in_shares),
        cmocka_unit_test(one_that_never_rests_holds_up_nobody),
        cmocka_unit_test(who_is_established_stays_so),
        cmocka_unit_test(what_comes_and_goes_leaves_records_whole),
        cmocka_unit_test(a_larger_share_holds_for_what_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
