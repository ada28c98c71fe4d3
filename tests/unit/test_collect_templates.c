// SPDX-License-Identifier: BSD-3-Clause
/* The saved template state: a new decoder decodes at once; a damaged file does no harm. */
#include "collect/templates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static char store[64], file[128];

static int make_store(void **state)
{
    (void)state;
    strcpy(store, "/tmp/sc-templates-XXXXXX");
    if (mkdtemp(store) == NULL)
        return -1;
    snprintf(file, sizeof(file), "%s/templates.state", store);
    return 0;
}

static int remove_store(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(store); /* nothing else was left there */
}

/* The states of three receivers, two of them each with an exporter of its own; the one between has not said anything yet. */
static void save_two(void)
{
    struct sc_buf states[3] = {{0}};
    for (uint16_t i = 0; i < 2; i++) {
        struct half h;
        begin(&h);
        decode(&h, template_message, sizeof(template_message), (uint16_t)(1000 + i));
        assert_int_equal(sc_decoder_save(h.decoder, &states[2 * i], NULL), SC_OK);
        end(&h);
    }
    assert_int_equal(sc_templates_save(store, states, 3, NULL, NULL), SC_OK);
    assert_int_equal(sc_templates_save(store, states, 3, NULL, NULL), SC_OK); /* replaces */
    sc_buf_free(&states[0]);
    sc_buf_free(&states[2]);
}

static void a_restarted_collector_decodes_at_once(void **state)
{
    (void)state;
    struct half h;
    save_two();
    begin(&h);
    assert_int_equal(sc_templates_load(store, h.decoder, NOW_MS, NULL), SC_OK);
    assert_int_equal(decode(&h, data_message, sizeof(data_message), 1000), 2);
    assert_int_equal(decode(&h, data_message, sizeof(data_message), 1001), 2);
    assert_int_equal(decode(&h, data_message, sizeof(data_message), 1002),
                     0); /* another exporter's are not its own */
    end(&h);
}

static void without_a_file_all_is_well(void **state)
{
    (void)state;
    struct half h;
    begin(&h);
    assert_int_equal(sc_templates_load(store, h.decoder, NOW_MS, NULL), SC_OK);
    assert_int_equal(decode(&h, data_message, sizeof(data_message), 1000), 0);
    end(&h);
}

static void write_bytes(const uint8_t *bytes, size_t length)
{
    FILE *f = fopen(file, "wb");
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

static void damage_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    static uint8_t bytes[4096];
    save_two();
    FILE *f = fopen(file, "rb");
    size_t length = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    for (size_t at = 0; at < length; at++) {
        struct half h;
        begin(&h);
        bytes[at] ^= 0x41;
        write_bytes(bytes, length);
        bytes[at] ^= 0x41;
        struct sc_error err = {.message = ""};
        enum sc_status status = sc_templates_load(store, h.decoder, NOW_MS, &err);
        assert_true(status == SC_DAMAGED || status == SC_UNSUPPORTED ||
                    (at >= 12 && at < 16 && status == SC_OK));
        write_bytes(bytes, at);
        assert_int_equal(sc_templates_load(store, h.decoder, NOW_MS, &err), SC_DAMAGED);
        end(&h);
    }
}

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
    struct sc_buf state_bytes = {0};
    struct sc_error err;
    struct half h;
    save_two();
    ops.write = no_space;
    sc_buf_append_str(&state_bytes, "other");
    assert_int_equal(sc_templates_save(store, &state_bytes, 1, &io, &err), SC_FULL);
    assert_non_null(strstr(err.message, file));
    begin(&h);
    assert_int_equal(sc_templates_load(store, h.decoder, NOW_MS, NULL), SC_OK);
    assert_int_equal(decode(&h, data_message, sizeof(data_message), 1001), 2);
    end(&h);
    sc_buf_free(&state_bytes);
}

#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(a_restarted_collector_decodes_at_once),
        IN_STORE(without_a_file_all_is_well),
        IN_STORE(damage_is_noticed_wherever_it_is),
        IN_STORE(a_full_disk_keeps_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
