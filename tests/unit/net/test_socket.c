// SPDX-License-Identifier: BSD-3-Clause
/* Sockets on loopback: reception in bulk, the kernel's drop counter, sockets that share a port, own addresses. */
#include "net/client.h"
#include "net/socket.h"
#include "net/udp.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int listen_at(const char *text, const struct sc_socket_options *options, struct sc_url *local)
{
    struct sc_error err;
    int fd;
    assert_int_equal(sc_url_parse(text, local, &err), SC_OK);
    if (sc_socket_listen(local, options, &fd, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_socket_local(fd, local, &err), SC_OK);
    assert_true(local->port != 0);
    return fd;
}

static int sender_from(const char *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    inet_pton(AF_INET, address, &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void send_to(int fd, uint16_t port, const void *bytes, size_t length)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(sendto(fd, bytes, length, 0, (struct sockaddr *)&to, sizeof(to)), length);
}

static void datagrams_come_in_bulk_with_their_senders(void **state)
{
    (void)state;
    const struct sc_socket_options options = {.receive_buffer = 4 << 20};
    struct sc_url local;
    struct sc_udp_bulk bulk;
    int fd = listen_at("udp://[::]:0", &options, &local), sender = sender_from("127.0.0.2");
    struct sc_udp_ring *ring = sc_udp_ring_create();
    assert_int_equal(sc_udp_receive(ring, fd, &bulk, NULL), SC_AGAIN);
    static uint8_t large[60000];
    memset(large, 0x5a, sizeof(large));
    for (uint32_t i = 0; i < SC_UDP_BULK + 10; i++)
        send_to(sender, local.port, i == 3 ? large : (void *)&i, i == 3 ? sizeof(large) : sizeof(i));
    uint32_t seen = 0;
    while (sc_udp_receive(ring, fd, &bulk, NULL) == SC_OK) {
        assert_true(bulk.count <= SC_UDP_BULK);
        for (uint32_t i = 0; i < bulk.count; i++, seen++) {
            const struct sc_datagram *d = &bulk.datagrams[i];
            assert_int_equal(sc_addr_get_v4(&d->from), 0x7f000002);
            assert_true(sc_addr_is_v4(&d->from));
            if (seen == 3) {
                assert_int_equal(d->length, sizeof(large));
                assert_memory_equal(d->bytes, large, sizeof(large));
            } else {
                assert_int_equal(d->length, sizeof(seen));
                assert_memory_equal(d->bytes, &seen, sizeof(seen));
            }
        }
    }
    assert_int_equal(seen, SC_UDP_BULK + 10);
    sc_udp_ring_free(ring);
    close(fd);
    close(sender);
}

static void drops_of_the_kernel_are_told(void **state)
{
    (void)state;
    const struct sc_socket_options options = {.receive_buffer = 4096};
    struct sc_url local;
    struct sc_udp_bulk bulk;
    uint8_t bytes[1400] = {0};
    uint32_t received = 0, told = 0, asked = 0;
    int fd = listen_at("udp://127.0.0.1:0", &options, &local), sender = sender_from("127.0.0.1");
    struct sc_udp_ring *ring = sc_udp_ring_create();
    for (int i = 0; i < 100; i++)
        send_to(sender, local.port, bytes, sizeof(bytes));
    while (sc_udp_receive(ring, fd, &bulk, NULL) == SC_OK)
        received += bulk.count;
    send_to(sender, local.port, bytes, sizeof(bytes));
    while (sc_udp_receive(ring, fd, &bulk, NULL) == SC_OK)
        told = bulk.has_drops ? bulk.drops : told;
    assert_true(received < 100);
    assert_int_equal(told, 100 - received);
    assert_true(sc_socket_drops(fd, &asked));
    assert_int_equal(asked, told);
    sc_udp_ring_free(ring);
    close(fd);
    close(sender);
}

/* All ports of an address reach one socket, and several addresses are spread over the sockets. */
static void exporters_are_spread_by_address(void **state)
{
    (void)state;
    const struct sc_socket_options options = {
        .receive_buffer = 1 << 20, .share_port = true, .spread_by_address = 2};
    struct sc_url local;
    int fds[2];
    fds[0] = listen_at("udp://127.0.0.1:0", &options, &local);
    assert_int_equal(sc_socket_listen(&local, &options, &fds[1], NULL), SC_OK);
    for (int host = 1; host <= 8; host++) {
        char address[32];
        snprintf(address, sizeof(address), "127.0.0.%d", host);
        for (int i = 0; i < 8; i++) { /* each from another port */
            int sender = sender_from(address);
            send_to(sender, local.port, &host, sizeof(host));
            close(sender);
        }
    }
    struct sc_udp_ring *ring = sc_udp_ring_create();
    uint32_t counts[2][9] = {{0}};
    for (int s = 0; s < 2; s++) {
        struct sc_udp_bulk bulk;
        while (sc_udp_receive(ring, fds[s], &bulk, NULL) == SC_OK) {
            for (uint32_t i = 0; i < bulk.count; i++)
                counts[s][sc_addr_get_v4(&bulk.datagrams[i].from) & 15]++;
        }
        close(fds[s]);
    }
    for (int host = 1; host <= 8; host++) {
        assert_int_equal(counts[1 - host % 2][host], 0);
        assert_int_equal(counts[host % 2][host], 8);
    }
    sc_udp_ring_free(ring);
}

static void a_port_in_use_and_a_name_are_refused(void **state)
{
    (void)state;
    const struct sc_socket_options options = {0};
    struct sc_url local, name;
    struct sc_error err;
    int second;
    int fd = listen_at("tcp://127.0.0.1:0", &options, &local);
    assert_int_equal(sc_socket_listen(&local, &options, &second, &err), SC_IO);
    assert_int_equal(err.errnum, EADDRINUSE);
    assert_non_null(strstr(err.message, "cannot listen at tcp://127.0.0.1:"));
    assert_int_equal(sc_url_parse("udp://localhost:1", &name, &err), SC_OK);
    assert_int_equal(sc_socket_listen(&name, &options, &second, &err), SC_USAGE);
    close(fd);
}

static void connections_are_taken(void **state)
{
    (void)state;
    const struct sc_socket_options options = {0};
    struct sc_url local;
    struct sc_addr from;
    uint16_t port;
    int fd = listen_at("tcp://[::1]:0", &options, &local);
    assert_int_equal(sc_socket_accept(fd, &from, &port), -EAGAIN);
    int client = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(local.port), .sin6_addr = in6addr_loopback};
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 5000), 1);
    int taken = sc_socket_accept(fd, &from, &port);
    assert_true(taken >= 0);
    assert_int_equal(from.b[15], 1);
    assert_true(port != 0);
    close(taken);
    close(client);
    close(fd);
}

static void own_addresses_are_told_from_others(void **state)
{
    static const char *const own[] = {"127.0.0.1", "127.0.77.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"},
                             *const others[] = {"192.0.2.77", "2001:db8::77", "224.0.0.1", "255.255.255.255"};
    struct sc_addr address;
    (void)state;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        assert_true(sc_addr_parse(own[i], strlen(own[i]), &address));
        assert_true(sc_client_is_local(&address));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(sc_addr_parse(others[i], strlen(others[i]), &address));
        assert_false(sc_client_is_local(&address));
    }
}

UNIT(test_socket)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_come_in_bulk_with_their_senders),
        cmocka_unit_test(drops_of_the_kernel_are_told),
        cmocka_unit_test(exporters_are_spread_by_address),
        cmocka_unit_test(a_port_in_use_and_a_name_are_refused),
        cmocka_unit_test(connections_are_taken),
        cmocka_unit_test(own_addresses_are_told_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
