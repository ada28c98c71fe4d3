// SPDX-License-Identifier: BSD-3-Clause
/* Framing of an IPFIX stream: the same messages come out wherever the stream is cut. */
#include "net/framer.h"

#include "base/bytes.h"

#include "unit.h"

#define MESSAGES 40u

struct stream {
    uint8_t bytes[400000];
    size_t length;
    size_t message[MESSAGES];
};

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

/* Messages from 16 to 65,535 bytes, each filled with its number. */
static void fill(struct stream *s, uint64_t *seed)
{
    s->length = 0;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        size_t length = i == 7 ? 65535 : i % 5 == 0 ? 16 : 16 + next_random(seed) % 3000;
        uint8_t *at = s->bytes + s->length;
        memset(at, (int)i, length);
        sc_store_be16(at, 10);
        sc_store_be16(at + 2, (uint16_t)length);
        s->message[i] = length;
        s->length += length;
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void cut_and_check(const struct stream *s, uint64_t *seed, size_t largest_piece)
{
    struct sc_framer framer = {0};
    size_t sent = 0, found = 0;
    while (sent < s->length) {
        size_t size;
        uint8_t *room = sc_framer_room(&framer, &size);
        assert_non_null(room);
        assert_true(size > 0);
        size_t piece = least(least(1 + next_random(seed) % largest_piece, size), s->length - sent);
        memcpy(room, s->bytes + sent, piece);
        sc_framer_filled(&framer, piece);
        sent += piece;
        const uint8_t *message;
        size_t length;
        enum sc_status status;
        while ((status = sc_framer_next(&framer, &message, &length, NULL)) == SC_OK) {
            assert_int_equal(length, s->message[found]);
            assert_int_equal(sc_load_be16(message), 10);
            if (length > 4)
                assert_int_equal(message[length - 1], found);
            found++;
        }
        assert_int_equal(status, SC_AGAIN);
    }
    assert_int_equal(found, MESSAGES);
    assert_int_equal(sc_framer_pending(&framer), 0);
    sc_framer_free(&framer);
}

static void any_cut_gives_the_same_messages(void **state)
{
    (void)state;
    static struct stream s;
    uint64_t seed = 1;
    static const size_t largest[] = {1, 3, 17, 1500, 70000, 131072};
    for (size_t i = 0; i < sizeof(largest) / sizeof(largest[0]); i++) {
        for (int round = 0; round < 5; round++) {
            fill(&s, &seed);
            cut_and_check(&s, &seed, largest[i]);
        }
    }
}

/* For buffers of others: what is needed is told, and no byte behind the length is looked at. */
static void a_length_is_judged_by_four_bytes(void **state)
{
    (void)state;
    static const uint8_t head[] = {0, 10, 1, 0};
    size_t length = 0;
    for (size_t have = 0; have < 300; have++) {
        assert_int_equal(sc_framer_length(head, have, &length, NULL), have < 256 ? SC_AGAIN : SC_OK);
        assert_int_equal(length, have < 4 ? SC_FRAMER_LOOK : 256);
    }
}

static enum sc_status frame(const uint8_t *bytes, size_t length, struct sc_error *err)
{
    struct sc_framer framer = {0};
    const uint8_t *message;
    size_t size;
    memcpy(sc_framer_room(&framer, &size), bytes, length);
    sc_framer_filled(&framer, length);
    enum sc_status status = sc_framer_next(&framer, &message, &size, err);
    sc_framer_free(&framer);
    return status;
}

static void what_cannot_be_framed_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct sc_error err;
    static const uint8_t v9[] = {0, 9, 0, 1}, v5[] = {0, 5}, text[] = "GET / HTTP/1.1",
                         shorter[] = {0, 10, 0, 15};
    assert_int_equal(frame(v9, sizeof(v9), &err), SC_MALFORMED);
    assert_string_equal(err.message,
                        "NetFlow v9 over TCP: its messages carry no length; send it over UDP, or IPFIX here");
    assert_int_equal(frame(v5, sizeof(v5), &err), SC_MALFORMED);
    assert_string_equal(err.message,
                        "NetFlow v5 over TCP: its messages carry no length; send it over UDP, or IPFIX here");
    assert_int_equal(frame(text, sizeof(text), &err), SC_MALFORMED);
    assert_string_equal(err.message, "no IPFIX: a message begins with version 18245 instead of 10");
    assert_int_equal(frame(shorter, sizeof(shorter), &err), SC_MALFORMED);
    assert_string_equal(err.message, "an IPFIX message of 15 bytes is shorter than its header");
    assert_int_equal(frame(shorter, 1, &err), SC_AGAIN);
    assert_int_equal(frame(shorter, 3, &err), SC_AGAIN);
    assert_int_equal(frame(shorter, 0, &err), SC_AGAIN);
}

UNIT(test_framer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_messages),
        cmocka_unit_test(a_length_is_judged_by_four_bytes),
        cmocka_unit_test(what_cannot_be_framed_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
