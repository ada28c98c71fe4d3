// SPDX-License-Identifier: BSD-3-Clause
/* A name service that does not answer: the collector ends all the same, and everything it lent comes home. */
#include "forward/peer.h"

#include "base/clock.h"

#include "unit.h"

#include <netdb.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS 20000u
#define SLOW        "slow.example"

static atomic_bool asked, answered, returned;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);

/* In place of the C library's (CMakeLists.txt): for one name it answers when it is told to, and then that it cannot. */
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    if (strcmp(host, SLOW) != 0)
        return __real_getaddrinfo(host, service, hints, found);
    *found = NULL;
    atomic_store(&asked, true);
    while (!atomic_load(&answered))
        nap();
    atomic_store(&returned, true);
    return EAI_AGAIN;
}

static void wait_for(atomic_bool *flag)
{
    uint64_t end = sc_clock_mono_ms() + PATIENCE_MS;
    while (!atomic_load(flag)) {
        assert_true(sc_clock_mono_ms() < end);
        nap();
    }
}

static void a_name_service_that_hangs_does_not_hold_up_the_end(void **state)
{
    (void)state;
    struct sc_forward_peer *peer;
    struct sc_forward_peer_options options = {.protocol = SC_EXPORT_IPFIX, .limit_bytes = 1 << 20};
    struct sc_pool *pool = sc_pool_create(SC_RECORDS_FLOWS, 1 << 24);
    assert_int_equal(sc_url_parse("tcp://" SLOW ":4739", &options.to, NULL), SC_OK);
    assert_int_equal(sc_forward_peer_start(&options, &peer, NULL), SC_OK);
    wait_for(&asked);
    for (int i = 0; i < 3; i++) {
        struct sc_parcel *parcel = sc_pool_take(pool);
        sc_forward_peer_offer(peer, parcel, 100);
        sc_parcel_release(parcel);
    }
    sc_forward_peer_close(peer, 10);
    sc_forward_peer_free(peer);
    assert_false(atomic_load(&returned));
    sc_pool_free(pool); /* all parcels are back */
    atomic_store(&answered, true);
    wait_for(&returned);
    for (int i = 0; i < 25; i++) /* the thread ends, and the sanitizer looks at what it touches */
        nap();
}

UNIT(test_lookup)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_service_that_hangs_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
