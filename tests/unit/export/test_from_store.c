// SPDX-License-Identifier: BSD-3-Clause
/* What a store holds is sent once, with its origin, and only what matches. */
#include "export_kit.h"

#include "export/from_store.h"
#include "export/generator.h"
#include "export/replay.h"
#include "net/capture.h"
#include "store/store.h"
#include "wire/decoder.h"

#include <ftw.h>

enum { FLOWS = 3000 };
#define WINDOW_MS UINT64_C(1767225600000)

static char folder[] = "/tmp/sc-from-store-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void put_origin(struct sc_batch *batch, uint32_t rows)
{
    const struct sc_column_key exporter = {SC_PEN_COLLECTOR, SC_IE_EXPORTER_ADDRESS, 0, SC_COLUMN_ADDRESS};
    const struct sc_column_key domain = {SC_PEN_COLLECTOR, SC_IE_OBSERVATION_DOMAIN, 0, SC_COLUMN_UINT};
    const struct sc_column_key received = {SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, 0, SC_COLUMN_UINT};
    struct sc_addr router = sc_addr_v4(0xc0000263);
    struct sc_column *e = sc_batch_begin(batch, exporter, NULL, 16, rows);
    struct sc_column *d = sc_batch_begin(batch, domain, NULL, 4, rows);
    struct sc_column *r = sc_batch_begin(batch, received, NULL, 8, rows);
    for (uint32_t i = 0; i < rows; i++) {
        sc_column_put_addr(e, &router);
        sc_column_put_u64(d, 4711);
        sc_column_put_u64(r, WINDOW_MS + i);
    }
}

/* A batch of generated flows, all in one window, one second after they were exported. */
static struct sc_batch *make_batch(void)
{
    struct sc_generator_options o = sc_generator_default_options();
    o.hosts = 1000;
    o.start_ms = WINDOW_MS;
    o.ipv6_percent = 20;
    struct sc_generator *g = sc_generator_create(&o);
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_generated *records = calloc(FLOWS, sizeof(*records));
    assert_true(g != NULL && batch != NULL && records != NULL);
    for (uint32_t i = 0; i < FLOWS; i++)
        sc_generator_next(g, &records[i]);
    put_origin(batch, FLOWS);
    assert_int_equal(sc_generated_append(records, FLOWS, batch), SC_OK);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    batch->window_ms = WINDOW_MS;
    free(records);
    sc_generator_free(g);
    return batch;
}

/* The same batch twice, under one id: a reader counts it once. */
static int make_store(void **state)
{
    (void)state;
    struct sc_error err;
    struct sc_store_options options = {.window_s = 300};
    assert_non_null(mkdtemp(folder));
    struct sc_batch *batch = make_batch();
    struct sc_store_writer *w = sc_store_writer_open(path_of("store"), &options, &err);
    assert_non_null(w);
    assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK);
    assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK); /* with the spans that it has now */
    assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    sc_batch_free(batch);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_store(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool match_udp(void *arg, const struct sc_column *const *columns, uint32_t column_count, uint32_t row)
{
    const uint64_t *protocol = arg;
    for (uint32_t i = 0; i < column_count; i++)
        if (columns[i] != NULL && columns[i]->key.pen == SC_PEN_IANA && columns[i]->key.id == 4)
            return sc_column_u64(columns[i], row) == *protocol;
    return false;
}

static json_t *send_store(const char *to, struct sc_from_store_options *options,
                          struct sc_export_totals *totals)
{
    struct sc_export_run run = run_to_file(to, 1);
    options->path = path_of("store");
    assert_int_equal(sc_export_from_store(&run, options, totals, NULL), SC_OK);
    return end_run(&run);
}

static void test_all_once_in_every_protocol(void **state)
{
    (void)state;
    static const enum sc_export_protocol protocols[] = {SC_EXPORT_V5, SC_EXPORT_V9, SC_EXPORT_IPFIX};
    for (unsigned i = 0; i < 3; i++) {
        struct sc_from_store_options o = {.encoder = sc_encoder_default_options()};
        struct sc_export_totals totals, again;
        o.encoder.protocol = protocols[i];
        json_t *truth = send_store(path_of("a.pcap"), &o, &totals);
        assert_int_equal(totals.flows + totals.skipped, FLOWS);
        assert_int_equal(totals.skipped != 0, protocols[i] == SC_EXPORT_V5); /* IPv6 */
        assert_int_equal(truth_number(truth, "flows"), totals.flows);
        struct sc_replay_info info;
        assert_int_equal(sc_replay_scan(path_of("a.pcap"), &info, NULL), SC_OK);
        struct sc_export_run run = run_to_file(path_of("b.pcap"), 1);
        assert_int_equal(sc_export_replay(&run, path_of("a.pcap"), &again, NULL), SC_OK);
        json_t *decoded = end_run(&run);
        assert_true(json_equal(truth, decoded)); /* what arrives is what was counted */
        json_decref(truth);
        json_decref(decoded);
    }
}

static void test_only_what_matches(void **state)
{
    (void)state;
    uint64_t udp = 17, none = 200;
    struct sc_export_totals totals;
    struct sc_from_store_options o = {
        .encoder = sc_encoder_default_options(), .match = match_udp, .arg = &udp};
    json_t *truth = send_store(path_of("a.pcap"), &o, &totals);
    const json_t *protocols = json_object_get(truth, "protocols");
    assert_int_equal(json_array_size(protocols), 1);
    assert_int_equal(truth_number(json_array_get(protocols, 0), "proto"), 17);
    assert_true(totals.flows > 0 && totals.flows < FLOWS);
    json_decref(truth);
    o.arg = &none;
    truth = send_store(path_of("a.pcap"), &o, &totals);
    assert_int_equal(totals.flows, 0);
    assert_int_equal(totals.messages, 0);
    json_decref(truth);
}

static void test_origin_travels_in_ipfix(void **state)
{
    (void)state;
    struct sc_from_store_options o = {.encoder = sc_encoder_default_options()};
    struct sc_export_totals totals;
    o.encoder.reliable = true;
    json_decref(send_store(path_of("a.ipfix"), &o, &totals));
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_capture *capture;
    struct sc_capture_message m;
    struct sc_batch *flows = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_decoder *d = sc_decoder_create(&limits, NULL);
    struct sc_decode_sink sink = {.flows = flows};
    struct sc_message_source source = {.transport = SC_TRANSPORT_FILE, .connection = 1};
    struct sc_decode_outcome outcome;
    assert_int_equal(sc_capture_open(path_of("a.ipfix"), &capture, NULL), SC_OK);
    while (sc_capture_next(capture, &m, NULL) == SC_OK)
        assert_int_equal(sc_decoder_message(d, &source, m.bytes, m.length, &sink, &outcome, NULL), SC_OK);
    sc_capture_close(capture);
    assert_int_equal(sc_batch_finish(flows), SC_OK);
    assert_int_equal(flows->rows, FLOWS);
    const struct sc_column *exporter =
        sc_batch_find(flows, (struct sc_column_key){SC_PEN_IANA, 403, 0, SC_COLUMN_ADDRESS});
    const struct sc_column *domain =
        sc_batch_find(flows, (struct sc_column_key){SC_PEN_IANA, 405, 0, SC_COLUMN_UINT});
    const struct sc_column *received =
        sc_batch_find(flows, (struct sc_column_key){SC_PEN_IANA, 258, 0, SC_COLUMN_UINT});
    assert_true(exporter != NULL && domain != NULL && received != NULL);
    for (uint32_t i = 0; i < FLOWS; i++) {
        assert_int_equal(sc_addr_get_v4(sc_column_addr(exporter, i)), 0xc0000263);
        assert_int_equal(sc_column_u64(domain, i), 4711);
        assert_int_equal(sc_column_u64(received, i), WINDOW_MS + i);
    }
    sc_decoder_free(d);
    sc_batch_free(flows);
}

static void test_no_store(void **state)
{
    (void)state;
    struct sc_from_store_options o = {.encoder = sc_encoder_default_options(), .path = "/nonexistent/store"};
    struct sc_export_totals totals;
    struct sc_export_run run = run_to_file(path_of("a.pcap"), 1);
    assert_int_equal(sc_export_from_store(&run, &o, &totals, NULL), SC_NOTFOUND);
    json_decref(end_run(&run));
}

UNIT(test_from_store)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_once_in_every_protocol),
        cmocka_unit_test(test_only_what_matches),
        cmocka_unit_test(test_origin_travels_in_ipfix),
        cmocka_unit_test(test_no_store),
    };
    return cmocka_run_group_tests(tests, make_store, remove_store);
}
