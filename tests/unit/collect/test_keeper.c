// SPDX-License-Identifier: BSD-3-Clause
/* The keeper of template state: what is new is on the disk soon, and stays there whatever the disk refuses later. */
#include "collect/keeper.h"

#include "base/clock.h"
#include "collect/templates.h"
#include "net/socket.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint8_t template_message[] = {
    0, 10, 0, 28, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 12, 1, 0, 0, 1, 0, 7, 0, 2,
};

static char store[64], file[128], journal[128];

static int make_store(void **state)
{
    (void)state;
    strcpy(store, "/tmp/sc-keeper-XXXXXX");
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

/* A receiver whose decoder heard the template of an exporter at each of some ports, and a keeper. */
struct fixture {
    struct sc_queue *queue;
    struct sc_receiver *receiver;
    struct sc_keeper *keeper;
    struct sc_buf told;
    struct sc_log log;
    size_t waiting_bytes;
    int senders[32];
    uint32_t sender_count;
};

static void hear(struct fixture *f, uint16_t first, unsigned count)
{
    struct sc_decode_sink sink = {.flows = sc_batch_create(SC_RECORDS_FLOWS)};
    struct sc_decode_outcome outcome;
    for (unsigned i = 0; i < count; i++) {
        const struct sc_message_source source = {.exporter = sc_addr_v4(0x7f000001),
                                                 .port = (uint16_t)(first + i),
                                                 .transport = SC_TRANSPORT_UDP,
                                                 .receive_ms = sc_clock_wall_ms()};
        assert_int_equal(sc_decoder_message(sc_receiver_decoder(f->receiver), &source, template_message,
                                            sizeof(template_message), &sink, &outcome, NULL),
                         SC_OK);
    }
    sc_batch_free(sink.flows);
}

static void on_tell(void *arg, const uint8_t *list, size_t length)
{
    struct fixture *f = arg;
    sc_buf_append(&f->told, list, length);
}

static void begin(struct fixture *f, struct sc_io *io)
{
    struct sc_error err;
    f->queue = sc_queue_create(1 << 20);
    f->told = (struct sc_buf){0};
    const struct sc_receiver_options options = {
        .intake = {.limits = sc_decoder_default_limits(), .window_s = 300, .queue = f->queue}};
    f->receiver = sc_receiver_create(&options, &err);
    assert_non_null(f->receiver);
    const struct sc_keeper_options kept = {.store = store,
                                           .receivers = &f->receiver,
                                           .count = 1,
                                           .limits = options.intake.limits,
                                           .tell = on_tell,
                                           .log = f->log,
                                           .arg = f,
                                           .io = io,
                                           .waiting_bytes = f->waiting_bytes};
    f->keeper = sc_keeper_create(&kept);
    assert_non_null(f->keeper);
    sc_keeper_load(f->keeper);
}

static void end(struct fixture *f)
{
    sc_receiver_stop(f->receiver);
    sc_keeper_finish(f->keeper);
    sc_receiver_free(f->receiver);
    sc_queue_free(f->queue);
    sc_buf_free(&f->told);
    while (f->sender_count > 0)
        close(f->senders[--f->sender_count]);
}

static uint32_t count(const struct sc_buf *list)
{
    struct sc_cursor in = {.data = list->data, .len = list->len};
    const uint8_t *record;
    uint32_t length, n = 0;
    while (sc_record_next(&in, &record, &length))
        n++;
    return n;
}

/* How many sessions the files have, as a process that starts now sees them. */
static uint32_t count_on_disk(uint64_t *damaged)
{
    const struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_templates_read found;
    struct sc_roll roll;
    struct sc_error err;
    sc_roll_init(&roll, SC_TEMPLATES_MOST_BYTES);
    sc_templates_read(store, &limits, sc_clock_wall_ms(), &roll, &found, &err);
    uint32_t n = roll.count;
    *damaged = found.damaged;
    sc_roll_free(&roll);
    return n;
}

/* Ticks until something was written, for ten seconds. */
static void await_saved(struct fixture *f)
{
    struct sc_keeper_view view = {0};
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    while (view.saved_ms == 0 && sc_clock_mono_ms() < deadline) {
        sc_keeper_tick(f->keeper);
        usleep(5000);
        sc_keeper_look(f->keeper, &view);
    }
    assert_true(view.saved_ms != 0);
    assert_true(view.journal_bytes > SC_TEMPLATES_HEAD_BYTES);
}

static void what_is_new_is_on_the_disk_before_the_end(void **state)
{
    (void)state;
    struct fixture f = {0};
    uint64_t damaged;
    struct sc_error err;
    begin(&f, NULL);
    hear(&f, 1000, 20);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    await_saved(&f);
    assert_int_equal(count(&f.told), 20);
    assert_int_equal(count_on_disk(&damaged), 20); /* as after kill -9 */
    assert_int_equal(damaged, 0);
    end(&f);
    begin(&f, NULL);
    assert_int_equal(count(&f.told), 20); /* what is loaded is told, too */
    struct sc_buf saved = {0};
    assert_int_equal(sc_decoder_save(sc_receiver_decoder(f.receiver), &saved, &err), SC_OK);
    assert_int_equal(count(&saved), 20);
    sc_buf_free(&saved);
    end(&f);
}

/* ---- a disk that refuses from some operation on ---- */

struct bad_io {
    struct sc_io io;
    struct sc_io_ops ops;
    atomic_int left; /* operations that succeed */
    atomic_bool refused;
};

static bool refuses(struct sc_io *io)
{
    struct bad_io *bad = (struct bad_io *)io;
    bool no = atomic_fetch_sub(&bad->left, 1) <= 0;
    if (no)
        atomic_store(&bad->refused, true);
    return no;
}

static int bad_create(struct sc_io *io, const char *path)
{
    return refuses(io) ? -EIO : sc_io_system()->ops->create(io, path);
}

/* Half of it gets there. */
static ssize_t bad_write(struct sc_io *io, int handle, const void *bytes, size_t size)
{
    const struct sc_io_ops *ops = sc_io_system()->ops;
    if (!refuses(io))
        return ops->write(io, handle, bytes, size);
    ops->write(io, handle, bytes, size / 2);
    return -EIO;
}

static int bad_sync(struct sc_io *io, int handle)
{
    return refuses(io) ? -EIO : sc_io_system()->ops->datasync(io, handle);
}

static int bad_rename(struct sc_io *io, const char *from, const char *to)
{
    return refuses(io) ? -EIO : sc_io_system()->ops->rename(io, from, to);
}

static int bad_unlink(struct sc_io *io, const char *path)
{
    return refuses(io) ? -EIO : sc_io_system()->ops->unlink(io, path);
}

static int bad_sync_dir(struct sc_io *io, const char *path)
{
    return refuses(io) ? -EIO : sc_io_system()->ops->sync_dir(io, path);
}

static void open_bad_io(struct bad_io *bad, int left)
{
    *bad = (struct bad_io){.ops = *sc_io_system()->ops};
    bad->io.ops = &bad->ops;
    bad->ops.create = bad_create;
    bad->ops.write = bad_write;
    bad->ops.datasync = bad_sync;
    bad->ops.rename = bad_rename;
    bad->ops.unlink = bad_unlink;
    bad->ops.sync_dir = bad_sync_dir;
    atomic_init(&bad->left, left);
}

/* What was on the disk stays, at whichever operation the next process is stopped: it writes the state anew first. */
static void what_is_kept_stays(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sc_error err;
    uint64_t damaged;
    bool refused = true;
    begin(&f, NULL);
    hear(&f, 1000, 20);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    end(&f);
    assert_int_equal(count_on_disk(&damaged), 20);
    for (int nth = 0; refused; nth++) {
        struct bad_io bad;
        open_bad_io(&bad, nth);
        begin(&f, &bad.io);
        hear(&f, (uint16_t)(2000 + nth), 1);
        assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
        end(&f);
        refused = atomic_load(&bad.refused);
        assert_true(count_on_disk(&damaged) >= 20);
        assert_true(nth < 40);
    }
    assert_true(count_on_disk(&damaged) > 20);
    char temporary[160];
    snprintf(temporary, sizeof(temporary), "%s/.templates.state.tmp", store);
    unlink(temporary);
}

/* Sends the template from `count` more sockets, which stay open, so that each has a port of its own, to the receiver, which runs.
 * Returns when it has heard of all. */
static void send_templates(struct fixture *f, const struct sc_url *to, unsigned count)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    struct sc_intake_stats heard = {0};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (; count > 0; count--) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(
            sendto(fd, template_message, sizeof(template_message), 0, (struct sockaddr *)&at, sizeof(at)),
            sizeof(template_message));
        f->senders[f->sender_count++] = fd;
    }
    while (heard.messages < f->sender_count) {
        usleep(5000);
        sc_receiver_get_intake(f->receiver, &heard);
    }
}

/* Ticks until so many sessions were told, for ten seconds. */
static void await_told(struct fixture *f, uint32_t sessions)
{
    uint64_t deadline = sc_clock_mono_ms() + 10000;
    while (count(&f->told) < sessions && sc_clock_mono_ms() < deadline) {
        sc_keeper_tick(f->keeper);
        usleep(5000);
    }
    assert_int_equal(count(&f->told), sessions);
}

/* While the disk refuses, what waits for it has its bound, over all tries; and the log has one line, not one for each. */
static void what_waits_for_the_disk_is_bounded(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    struct sc_error err;
    struct bad_io bad;
    struct sc_url url;
    int fd;
    struct fixture f = {.log = {.stream = open_memstream(&text, &length), .level = SC_LOG_WARNING},
                        .waiting_bytes = 1024};
    const struct sc_socket_options plain = {0};
    open_bad_io(&bad, 0);
    begin(&f, &bad.io);
    assert_int_equal(sc_receiver_start(f.receiver, &err), SC_OK);
    assert_int_equal(sc_url_parse("udp://127.0.0.1:0", &url, &err), SC_OK);
    assert_int_equal(sc_socket_listen(&url, &plain, &fd, &err), SC_OK);
    assert_int_equal(sc_socket_local(fd, &url, &err), SC_OK);
    assert_int_equal(sc_receiver_add(f.receiver, &url, fd, &err), SC_OK);
    send_templates(&f, &url, 20);
    await_told(&f, 20);
    send_templates(&f, &url, 1);
    while (atomic_load(&bad.left) > -3) { /* three tries */
        sc_keeper_tick(f.keeper);
        usleep(5000);
    }
    assert_int_equal(count(&f.told), 20);
    atomic_store(&bad.left, 1 << 30);
    await_told(&f, 21);
    end(&f);
    fclose(f.log.stream);
    assert_non_null(strstr(text, "template state: "));
    assert_ptr_equal(strchr(text, '\n'), text + length - 1); /* one line */
    free(text);
}

#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

UNIT(test_keeper)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(what_is_new_is_on_the_disk_before_the_end),
        IN_STORE(what_is_kept_stays),
        IN_STORE(what_waits_for_the_disk_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
