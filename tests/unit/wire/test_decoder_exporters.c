// SPDX-License-Identifier: BSD-3-Clause
/* Budgets: what one exporter sends costs no other one its state (src/wire/budget.c). */
#include "base/hash.h"
#include "decoder_kit.h"

#define MINUTE_MS 60000u

static void from(struct kit *k, uint32_t host)
{
    k->source.exporter = sc_addr_v4(host);
}

static void define(struct kit *k, uint32_t domain)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    put_template(k, 256, 1, 2, 2);
    assert_int_equal(deliver(k), SC_OK);
}

/* One record, by the template that `define` gave. */
static uint32_t data(struct kit *k, uint32_t domain)
{
    begin_ipfix_at(k, KIT_SECONDS, 0, domain);
    begin_set(k, 256);
    put16(k, 0x0102);
    end_set(k);
    enum sc_status status = deliver(k);
    assert_true(status == SC_OK || status == SC_LIMIT);
    uint32_t flows = k->outcome.flows;
    sc_batch_reset(k->sink.flows);
    return flows;
}

static void establish(struct kit *k)
{
    for (int i = 0; i < 12; i++) {
        assert_int_equal(data(k, 7), 1);
        k->source.receive_ms += MINUTE_MS;
    }
}

static bool count_account(void *arg, const struct sc_exporter_stats *stats)
{
    (void)stats;
    ++*(uint32_t *)arg;
    return true;
}

static uint32_t accounts(struct kit *k)
{
    uint32_t count = 0;
    sc_decoder_each_exporter(k->decoder, count_account, &count);
    return count;
}

/* Five thousand were too many once: the table had 4,096 places, and round robin found none of them. */
static void a_hundred_thousand_exporters_round_robin(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    const uint32_t many = 100000;
    for (uint32_t i = 0; i < many; i++) {
        from(&k, 0x0a000000 + i);
        define(&k, 7);
    }
    for (int round = 0; round < 2; round++) {
        uint32_t flows = 0;
        for (uint32_t i = 0; i < many; i++) {
            from(&k, 0x0a000000 + i);
            flows += data(&k, 7);
        }
        assert_int_equal(flows, many);
    }
    kit_close(&k);
}

static void state_that_was_never_of_use_is_not_kept(void **state)
{
    (void)state;
    struct kit k;
    struct sc_budget budget = {.limit = 1 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open_with(&k, &limits);
    for (uint32_t i = 0; i < 5000; i++) {
        k.source.port = (uint16_t)(1 + i);
        begin_v9(&k, i); /* a header alone */
        deliver(&k);
        begin_ipfix_at(&k, KIT_SECONDS, i, i);
        put8(&k, 1); /* and one with a byte too many */
        deliver(&k);
    }
    assert_int_equal(accounts(&k), 0);
    assert_int_equal(sc_budget_used(&budget, false), 0);
    kit_close(&k);
}

/* Room for the session, and none for its domain: neither stays, whatever the room. */
static void a_session_without_room_for_a_domain_is_not_kept(void **state)
{
    (void)state;
    uint32_t refused = 0;
    for (unsigned scope = 0; scope < 2; scope++) {
        for (size_t room = 64; room < 4096; room += 32) {
            struct kit k;
            struct sc_budget pool = {.limit = 4 * room};
            struct sc_decoder_limits limits = sc_decoder_default_limits();
            limits.budget = &pool;
            limits.template_scope = scope == 0 ? SC_TEMPLATE_SCOPE_SESSION : SC_TEMPLATE_SCOPE_ADDRESS;
            kit_open_with(&k, &limits);
            begin_ipfix_at(&k, KIT_SECONDS, 0, 1);
            put_template(&k, 256, 1, 2, 2);
            if (deliver(&k) == SC_LIMIT) {
                assert_int_equal(sc_budget_used(&pool, false), 0);
                refused++;
            }
            kit_close(&k);
            assert_int_equal(sc_budget_used(&pool, false), 0);
        }
    }
    assert_true(refused > 20);
}

/* Junk domains of an exporter that is known leave nothing either. */
static void a_domain_that_was_never_of_use_is_not_kept(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    define(&k, 7);
    for (uint32_t domain = 100; domain < 5100; domain++) {
        begin_ipfix_at(&k, KIT_SECONDS, 0, domain);
        assert_int_equal(deliver(&k), SC_OK);
    }
    assert_int_equal(accounts(&k), 1);
    assert_int_equal(data(&k, 7), 1);
    kit_close(&k);
}

static void any_number_of_domains_comes_and_goes(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (int round = 0; round < 3; round++) {
        for (uint32_t domain = 0; domain < 1000; domain++)
            define(&k, domain * 5 + (uint32_t)round);
        for (uint32_t domain = 1000; domain > 0; domain--)
            assert_int_equal(data(&k, (domain - 1) * 5 + (uint32_t)round), 1);
        assert_int_equal(accounts(&k), 1000);
        k.source.receive_ms += 3 * 3600000;
        sc_decoder_expire(k.decoder, k.source.receive_ms);
        assert_int_equal(accounts(&k), 0);
    }
    kit_close(&k);
}

/* What there is no room for is refused to who asks, counted on its account, and told; it is not malformed. */
static void who_is_over_the_share_is_told(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(100000);
    kit_open_with(&k, &limits);
    uint64_t refused = 0;
    for (uint32_t domain = 0; domain < 1000; domain++) {
        begin_ipfix_at(&k, KIT_SECONDS, 0, domain);
        put_template(&k, 256, 1, 2, 2);
        refused += deliver(&k) == SC_LIMIT;
        assert_int_equal(k.outcome.malformed, 0);
    }
    assert_true(refused > 500 && refused < 1000);
    struct sc_overrun overrun;
    sc_decoder_take_overrun(k.decoder, &overrun);
    assert_int_equal(overrun.left_out, refused);
    assert_true(overrun.own_share);
    assert_true(sc_addr_equal(&overrun.exporter, &k.source.exporter));
    sc_decoder_take_overrun(k.decoder, &overrun);
    assert_int_equal(overrun.left_out, 0);
    from(&k, 0x0a000001); /* another one does not feel it */
    define(&k, 7);
    assert_int_equal(data(&k, 7), 1);
    kit_close(&k);
}

/* All ports and all addresses of a /64 are one exporter. */
static void a_share_is_that_of_an_address_and_of_a_64(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct kit k;
        struct sc_budget budget = {.limit = 1 << 30};
        struct sc_decoder_limits limits = sc_decoder_default_limits();
        limits.share_bytes = KIT_SHARE(100000);
        limits.budget = &budget;
        kit_open_with(&k, &limits);
        for (uint32_t i = 0; i < 5000; i++) {
            k.source.port = (uint16_t)(1 + i);
            if (v6) {
                k.source.exporter = (struct sc_addr){{0x20, 1, 0xd, 0xb8}};
                sc_store_be32(k.source.exporter.b + 12, i);
            }
            begin_ipfix(&k, 0);
            put_template(&k, 256, 1, 2, 2);
            deliver(&k);
        }
        assert_true(sc_budget_used(&budget, false) <= 100000);
        kit_close(&k);
    }
}

/* Forged ports of an address: those that are idle make room, the one that is in use stays. */
static void idle_sessions_of_an_exporter_make_room_for_its_others(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(100000);
    kit_open_with(&k, &limits);
    k.source.port = 1;
    define(&k, 7);
    for (uint32_t i = 0; i < 2000; i++) {
        k.source.receive_ms += 1000;
        k.source.port = (uint16_t)(1000 + i);
        define(&k, 7);
        k.source.port = 1;
        assert_int_equal(data(&k, 7), 1);
    }
    kit_close(&k);
}

static void newcomers_share_a_quarter_and_never_push_out_the_established(void **state)
{
    (void)state;
    struct kit k;
    struct sc_budget budget = {.limit = 4 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open_with(&k, &limits);
    for (uint32_t i = 0; i < 100; i++) {
        from(&k, 0xc0000200 + i);
        k.source.receive_ms = KIT_RECEIVED;
        define(&k, 7);
        establish(&k);
    }
    assert_int_equal(sc_budget_used(&budget, true), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        from(&k, 0x0a000000 + i);
        k.source.receive_ms += 1;
        begin_ipfix(&k, 0);
        put_template(&k, 256, 1, 2, 2);
        begin_set(&k, 256);
        put16(&k, 0x0102);
        end_set(&k);
        deliver(&k);
        assert_true(sc_budget_used(&budget, true) <= 1 << 20);
    }
    for (uint32_t i = 0; i < 100; i++) {
        from(&k, 0xc0000200 + i);
        assert_int_equal(data(&k, 7), 1);
    }
    kit_close(&k);
    assert_int_equal(sc_budget_used(&budget, false), 0);
}

/* There is no cliff: one newcomer more than has room is refused, the others go on. */
static void newcomers_that_send_keep_their_room(void **state)
{
    (void)state;
    struct kit k;
    struct sc_budget budget = {.limit = 1 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open_with(&k, &limits);
    uint32_t served = 0;
    for (int round = 0; round < 5; round++) {
        uint32_t now = 0;
        for (uint32_t i = 0; i < 2000; i++) {
            from(&k, 0x0a000000 + i);
            begin_ipfix(&k, 0);
            put_template(&k, 256, 1, 2, 2);
            begin_set(&k, 256);
            put16(&k, 0x0102);
            end_set(&k);
            deliver(&k);
            now += k.outcome.flows;
        }
        assert_true(round == 0 || now == served);
        served = now;
        k.source.receive_ms += 5000;
    }
    assert_true(served > 100 && served < 2000);
    struct sc_overrun overrun;
    sc_decoder_take_overrun(k.decoder, &overrun);
    assert_true(overrun.left_out >= 5 * (2000 - served));
    assert_false(overrun.own_share);
    kit_close(&k);
}

/* Who never sent a flow goes before who does. */
static void strangers_go_first(void **state)
{
    (void)state;
    struct kit k;
    struct sc_budget budget = {.limit = 1 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open_with(&k, &limits);
    from(&k, 0xc0000201);
    define(&k, 7);
    assert_int_equal(data(&k, 7), 1);
    k.source.receive_ms += MINUTE_MS;
    for (uint32_t i = 0; i < 20000; i++) {
        from(&k, 0x0a000000 + i);
        define(&k, 7);
    }
    from(&k, 0xc0000201);
    assert_int_equal(data(&k, 7), 1);
    from(&k, 0x0a000000);
    assert_int_equal(data(&k, 7), 0);
    kit_close(&k);
}

/* Templates come once over TCP: an open connection keeps its state, however many others come. */
static void open_connections_are_not_pushed_out(void **state)
{
    (void)state;
    struct kit k;
    struct sc_budget budget = {.limit = 1 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &budget;
    kit_open_with(&k, &limits);
    struct sc_message_source tcp = k.source;
    tcp.transport = SC_TRANSPORT_TCP;
    tcp.connection = 1;
    tcp.exporter = sc_addr_v4(0xc0000203);
    k.source = tcp;
    define(&k, 7);
    k.source.transport = SC_TRANSPORT_UDP;
    k.source.connection = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        from(&k, 0x0a000000 + i);
        define(&k, 7);
    }
    k.source = tcp;
    assert_int_equal(data(&k, 7), 1);
    sc_decoder_end_session(k.decoder, &tcp);
    sc_decoder_expire(k.decoder, KIT_RECEIVED + 2 * 3600000);
    assert_int_equal(accounts(&k), 0);
    kit_close(&k);
}

static void a_network_may_have_another_share(void **state)
{
    (void)state;
    struct kit k;
    const struct sc_budget_share shares[] = {{sc_addr_v4(0xc0000000), 96 + 8, KIT_SHARE(10000)},
                                             {sc_addr_v4(0xc0000200), 96 + 24, KIT_SHARE(400000)}};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(100000);
    limits.shares = shares;
    limits.share_count = 2;
    kit_open_with(&k, &limits);
    const uint32_t hosts[] = {0xc0000301, 0x0a000001, 0xc0000201};
    uint32_t kept[3] = {0};
    for (int i = 0; i < 3; i++) {
        from(&k, hosts[i]);
        for (uint32_t domain = 0; domain < 2000; domain++) {
            begin_ipfix_at(&k, KIT_SECONDS, 0, domain);
            put_template(&k, 256, 1, 2, 2);
            kept[i] += deliver(&k) == SC_OK;
        }
    }
    assert_true(kept[0] > 0 && kept[1] > 5 * kept[0] && kept[2] > 3 * kept[1]);
    kit_close(&k);
}

/* Templates of unknown elements, each once; the records that a template without room for them still gives. */
static void define_unknown(struct kit *k, uint32_t first, uint32_t count)
{
    begin_ipfix(k, 0);
    begin_set(k, 2);
    put16(k, 256);
    put16(k, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        put16(k, (uint16_t)(0x8000 | (1 + (first + i) % 1000)));
        put16(k, 1);
        put32(k, 60000 + (first + i) / 1000);
    }
    end_set(k);
    begin_set(k, 256);
    put_zeros(k, count);
    end_set(k);
    deliver(k);
}

static uint32_t columns_of(const struct kit *k, uint32_t first, uint32_t count)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_column_key key = {.pen = 60000 + (first + i) / 1000,
                                          .id = (uint16_t)(1 + (first + i) % 1000),
                                          .kind = SC_COLUMN_BYTES};
        found += sc_batch_find(k->sink.flows, key) != NULL;
    }
    return found;
}

/* One exporter's unknown elements take none from another, and they come back. */
static void unknown_elements_are_a_budget_that_comes_back(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    for (uint32_t port = 0; port < 70; port++) { /* once they used up the places of all, for ever */
        k.source.port = (uint16_t)(1 + port);
        define_unknown(&k, port * 256, 256);
        sc_batch_reset(k.sink.flows);
    }
    struct sc_overrun overrun;
    sc_decoder_take_overrun(k.decoder, &overrun);
    assert_int_equal(overrun.left_out, 69 * 256);
    from(&k, 0x0a000001);
    define_unknown(&k, 900000, 256);
    assert_int_equal(columns_of(&k, 900000, 256), 256);
    from(&k, 0xc0000201);
    k.source.receive_ms += 2 * 3600000;
    define_unknown(&k, 300000, 256);
    assert_int_equal(columns_of(&k, 300000, 256), 256);
    kit_close(&k);
}

/* A pass in steps sees each account once, and tells when it is complete. */
struct seen {
    uint32_t accounts, begun;
};

static void see(void *arg, const struct sc_exporter_stats *stats)
{
    struct seen *seen = arg;
    if (stats != NULL) {
        seen->accounts++;
        return;
    }
    seen->begun++;
    seen->accounts = 0;
}

static void care_goes_in_steps(void **state)
{
    (void)state;
    struct kit k;
    struct seen seen = {0};
    const struct sc_care watching = {.account = see, .arg = &seen};
    kit_open(&k);
    for (uint32_t i = 0; i < 1000; i++) {
        from(&k, 0x0a000000 + i);
        define(&k, 7);
    }
    uint32_t steps = 1;
    while (!sc_decoder_care(k.decoder, 100, KIT_RECEIVED, &watching))
        steps++;
    assert_int_equal(seen.accounts, 1000);
    assert_int_equal(seen.begun, 1);
    assert_true(steps > 5 && steps < 100);
    sc_decoder_care(k.decoder, 100, KIT_RECEIVED, &watching);
    for (uint32_t i = 1000; i < 3000;
         i++) { /* the tables grow under the pass: who comes is seen in the next */
        from(&k, 0x0a000000 + i);
        define(&k, 7);
    }
    for (uint32_t accounts = 1000; accounts <= 3000; accounts += 2000) {
        while (!sc_decoder_care(k.decoder, 100, KIT_RECEIVED, &watching))
            continue;
        assert_int_equal(seen.accounts, accounts);
    }
    assert_int_equal(seen.begun, 3);
    kit_close(&k);
}

/* Templates that went leave the tables in which they stood, which are charged too: or who defines and withdraws in one domain after
 * the other would have them for nothing. */
static void room_for_templates_is_charged_after_they_went(void **state)
{
    (void)state;
    struct kit k;
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(4 << 20);
    kit_open_with(&k, &limits);
    k.source.transport = SC_TRANSPORT_TCP;
    uint32_t domains = 0;
    for (uint32_t domain = 0; domain < 2000; domain++) {
        begin_ipfix_at(&k, KIT_SECONDS, 0, domain);
        for (uint16_t id = 256; id < 256 + 1000; id++)
            put_template(&k, id, 1, 2, 2);
        put_template(&k, 2, 0); /* a withdrawal of all */
        put_template(&k, 256, 1, 2, 2);
        domains += deliver(&k) == SC_OK;
    }
    assert_true(domains > 100 && domains <= (4 << 20) / (1000 * sizeof(void *)));
    kit_close(&k);
}

/* A tick for 100 exporters looks at no more than 800 things, and 200 accounts, whatever one exporter has. */
#define TICK          100u
#define TICK_ACCOUNTS 200u
#define TICK_STEPS    800u

static void open_for_many(struct kit *k)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(64 << 20);
    kit_open_with(k, &limits);
}

static void assert_ticks_are_bounded(struct kit *k, uint32_t all)
{
    struct seen seen = {0};
    const struct sc_care watching = {.account = see, .arg = &seen};
    uint32_t before = 0;
    bool complete = false;
    while (!complete) {
        complete = sc_decoder_care(k->decoder, TICK, KIT_RECEIVED, &watching);
        assert_true(seen.accounts - before <= TICK_ACCOUNTS);
        before = seen.accounts;
    }
    assert_int_equal(seen.accounts, all);
    assert_int_equal(seen.begun, 1);
}

static void many_sessions_of_one_exporter_do_not_stop_a_tick(void **state)
{
    (void)state;
    struct kit k;
    open_for_many(&k);
    for (uint32_t port = 1; port <= 20000; port++) {
        k.source.port = (uint16_t)port;
        define(&k, 7);
    }
    assert_ticks_are_bounded(&k, 20000);
    kit_close(&k);
}

static void many_domains_of_one_session_do_not_stop_a_tick(void **state)
{
    (void)state;
    struct kit k;
    open_for_many(&k);
    for (uint32_t domain = 20000; domain > 0; domain--)
        define(&k, domain);
    assert_ticks_are_bounded(&k, 20000);
    kit_close(&k);
}

static void define_many(struct kit *k, uint32_t count)
{
    for (uint32_t i = 0; i < count;) {
        begin_ipfix_at(k, KIT_SECONDS, 0, 7);
        for (uint32_t end = i + 1000; i < end && i < count; i++)
            put_template(k, (uint16_t)(256 + i), 1, 2, 2);
        assert_int_equal(deliver(k), SC_OK);
    }
}

static void many_templates_expire_in_steps(void **state)
{
    (void)state;
    struct kit k;
    open_for_many(&k);
    define_many(&k, 20000);
    uint64_t before = stats_of(&k, 10, 7).templates;
    assert_int_equal(before, 20000);
    bool complete = false;
    while (before != 0) {
        complete = sc_decoder_care(k.decoder, TICK, KIT_RECEIVED + 1800001, NULL);
        uint64_t left = accounts(&k) == 0 ? 0 : stats_of(&k, 10, 7).templates;
        assert_true(before - left <= TICK_STEPS);
        before = left;
    }
    assert_true(complete || sc_decoder_care(k.decoder, TICK, KIT_RECEIVED + 1800001, NULL));
    kit_close(&k);
}

struct watch {
    uint32_t passes;
    uint32_t kept; /* accounts of port 1 in this pass */
};

static void see_kept(void *arg, const struct sc_exporter_stats *stats)
{
    struct watch *watch = arg;
    watch->kept = stats == NULL ? 0 : watch->kept + (stats->port == 1);
}

/* Sessions come and are pushed out while a pass stands among them. */
static void a_pass_in_steps_sees_who_stays_once(void **state)
{
    (void)state;
    struct kit k;
    struct watch watch = {0};
    const struct sc_care watching = {.account = see_kept, .arg = &watch};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.share_bytes = KIT_SHARE(200000);
    kit_open_with(&k, &limits);
    for (uint32_t i = 0; i < 20000; i++) {
        k.source.receive_ms += 500;
        k.source.port = (uint16_t)(2 + i % 5000);
        define(&k, i % 3);
        k.source.port = 1;
        define(&k, 7);
        if (!sc_decoder_care(k.decoder, 1, k.source.receive_ms, &watching))
            continue;
        assert_int_equal(watch.kept, 1);
        watch.passes++;
    }
    assert_true(watch.passes > 20);
    kit_close(&k);
}

#define HOSTS        64u
#define HOST_DOMAINS 40u

struct told {
    uint32_t passes;
    uint8_t times[HOSTS][HOST_DOMAINS]; /* in this pass */
};

static void see_each(void *arg, const struct sc_exporter_stats *stats)
{
    struct told *told = arg;
    if (stats == NULL) {
        memset(told->times, 0, sizeof(told->times));
        return;
    }
    uint32_t host = sc_addr_get_v4(&stats->exporter) & 0xffff;
    if (host < HOSTS)
        assert_int_equal(++told->times[host][stats->domain], 1);
}

/* Exporters with many domains and with few come, grow, are pushed out and come again, and a pass pauses within them: rows of the
 * table change their places all the time. */
static void a_pass_tells_no_account_twice(void **state)
{
    (void)state;
    struct kit k;
    static struct told told;
    const struct sc_care watching = {.account = see_each, .arg = &told};
    struct sc_budget pool = {.limit = 4 << 20};
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    limits.budget = &pool;
    kit_open_with(&k, &limits);
    for (uint32_t i = 0; i < 60000; i++) {
        uint64_t random = sc_hash_pair(i, 1, 0);
        uint32_t host = random % 4 != 0 ? (uint32_t)(random >> 8) % HOSTS : HOSTS + (random >> 8) % 4000;
        k.source.receive_ms += random >> 56;
        from(&k, 0x0a000000 + host);
        begin_ipfix_at(&k, KIT_SECONDS, 0, (uint32_t)(random >> 32) % (host % 7 == 0 ? HOST_DOMAINS : 2));
        for (uint16_t id = 256; id < 257 + (random >> 40) % 20; id++)
            put_template(&k, id, 1, 2, 2);
        (void)deliver(&k);
        if (i % 3 == 0 && sc_decoder_care(k.decoder, 1, k.source.receive_ms, &watching))
            told.passes++;
    }
    assert_true(told.passes > 20);
    kit_close(&k);
}

static void rates_follow_what_is_sent(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    define(&k, 7);
    uint64_t now = KIT_RECEIVED;
    for (int second = 0; second < 60; second++) {
        now += 1000;
        k.source.receive_ms = now;
        for (int i = 0; i < 50; i++)
            assert_int_equal(data(&k, 7), 1);
        sc_decoder_expire(k.decoder, now);
    }
    double rate = stats_of(&k, 10, 7).flows_per_s;
    assert_true(rate > 49 && rate < 51);
    for (int second = 0; second < 100; second++)
        sc_decoder_expire(k.decoder, now += 1000);
    assert_true(stats_of(&k, 10, 7).flows_per_s < 0.01);
    kit_close(&k);
}

UNIT(test_decoder_exporters)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_exporters_round_robin),
        cmocka_unit_test(state_that_was_never_of_use_is_not_kept),
        cmocka_unit_test(a_session_without_room_for_a_domain_is_not_kept),
        cmocka_unit_test(a_domain_that_was_never_of_use_is_not_kept),
        cmocka_unit_test(any_number_of_domains_comes_and_goes),
        cmocka_unit_test(who_is_over_the_share_is_told),
        cmocka_unit_test(a_share_is_that_of_an_address_and_of_a_64),
        cmocka_unit_test(idle_sessions_of_an_exporter_make_room_for_its_others),
        cmocka_unit_test(newcomers_share_a_quarter_and_never_push_out_the_established),
        cmocka_unit_test(newcomers_that_send_keep_their_room),
        cmocka_unit_test(strangers_go_first),
        cmocka_unit_test(open_connections_are_not_pushed_out),
        cmocka_unit_test(a_network_may_have_another_share),
        cmocka_unit_test(unknown_elements_are_a_budget_that_comes_back),
        cmocka_unit_test(care_goes_in_steps),
        cmocka_unit_test(room_for_templates_is_charged_after_they_went),
        cmocka_unit_test(many_sessions_of_one_exporter_do_not_stop_a_tick),
        cmocka_unit_test(many_domains_of_one_session_do_not_stop_a_tick),
        cmocka_unit_test(many_templates_expire_in_steps),
        cmocka_unit_test(a_pass_in_steps_sees_who_stays_once),
        cmocka_unit_test(a_pass_tells_no_account_twice),
        cmocka_unit_test(rates_follow_what_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
