// SPDX-License-Identifier: BSD-3-Clause
/* What was accepted as lost: kept, added to, and never guessed at. */
#include "store/loss.h"

#include "store_kit.h"

static struct sc_loss make(uint64_t stream, uint32_t window, uint32_t lane, uint64_t batches)
{
    return (struct sc_loss){
        stream, KIT_WINDOW + window * 300000, 300, lane, {{batches, 1}, {batches * 100, UINT64_MAX}}};
}

static void add(struct sc_losses *l, uint64_t stream, uint32_t window, uint32_t lane, uint64_t batches)
{
    const struct sc_loss loss = make(stream, window, lane, batches);
    assert_int_equal(sc_losses_add(l, &loss), SC_OK);
}

static void assert_there(const struct sc_losses *l, uint64_t stream, uint32_t window, uint32_t lane,
                         uint64_t batches)
{
    const struct sc_loss want = make(stream, window, lane, batches);
    const struct sc_loss *is = sc_losses_find(l, stream, want.window_ms, lane);
    assert_non_null(is);
    assert_int_equal(is->window_s, 300);
    assert_memory_equal(&is->lost, &want.lost, sizeof(want.lost));
}

/* Each (stream, window, lane) once, whatever the order in which they come; the greater numbers count. */
static void the_greater_number_counts(void **state)
{
    (void)state;
    struct sc_losses l = {0};
    uint64_t random = 4;
    for (uint32_t i = 0; i < 40000; i++) {
        uint64_t r = kit_random(&random);
        add(&l, r % 5, r / 5 % 20, (uint32_t)(r / 100 % 4), 1 + r / 400 % 3);
    }
    for (uint64_t stream = 0; stream < 5; stream++) {
        for (uint32_t at = 0; at < 80; at++)
            assert_there(&l, stream, at / 4, at % 4, 3);
    }
    assert_int_equal(l.count, 400);
    assert_null(sc_losses_find(&l, 5, KIT_WINDOW, 0));
    assert_null(sc_losses_find(&l, 0, KIT_WINDOW + 1, 0));
    sc_losses_free(&l);
}

static void kept_in_the_store(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_losses l = {0}, read = {0};
    struct sc_error err;
    assert_int_equal(sc_losses_read(store, &read, &err), SC_OK);
    assert_int_equal(read.count + read.stream_count, 0);
    const struct sc_stream streams[] = {
        {.proxy = "alpha", .stream = UINT64_MAX, .heard_ms = 7, .closed = true}, {.proxy = "b", .stream = 2}};
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(sc_losses_add_stream(&l, &streams[i]), SC_OK);
    add(&l, UINT64_MAX, 0, UINT32_MAX, 5);
    add(&l, UINT64_MAX, 1, 1, 6);
    add(&l, 2, 0, 1, 7);
    for (int times = 0; times < 2; times++)
        assert_int_equal(sc_losses_write(store, &l, NULL, &err), SC_OK);
    assert_int_equal(sc_losses_read(store, &read, &err), SC_OK);
    assert_int_equal(read.count, 3);
    assert_int_equal(read.stream_count, 2);
    assert_there(&read, UINT64_MAX, 0, UINT32_MAX, 5);
    assert_there(&read, UINT64_MAX, 1, 1, 6);
    assert_there(&read, 2, 0, 1, 7);
    for (uint32_t i = 0; i < 2; i++) {
        const struct sc_stream *s = &read.streams[i];
        assert_int_equal(s->closed, s->stream == UINT64_MAX);
        assert_string_equal(s->proxy, s->stream == 2 ? "b" : "alpha");
        assert_int_equal(s->heard_ms, 0);
    }
    assert_int_equal(sc_losses_read(store, &read, &err), SC_OK); /* of another store, the same */
    assert_int_equal(read.count, 3);
    sc_losses_free(&l);
    sc_losses_free(&read);
    kit_remove(store);
}

static void damaged_files_are_named(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "securitycloud lost 2\nproxy p\nclosed 0\n", "securitycloud lost 1\nproxy p\n",
        "securitycloud lost 1\nproxy p\nclosed 0\nwindow 1 300 lane 00000001 1 2 3\n",
        "securitycloud lost 1\nproxy p\nclosed 0\nrubbish\n"};
    char *store = kit_folder(), path[512];
    struct sc_error err;
    struct sc_losses l = {0};
    snprintf(path, sizeof(path), "%s/" SC_LOST_FOLDER, store);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/" SC_LOST_FOLDER "/README", store);
    kit_write_file(path, (const uint8_t *)"x", 1);
    assert_int_equal(sc_losses_read(store, &l, &err), SC_OK);
    snprintf(path, sizeof(path), "%s/" SC_LOST_FOLDER "/00000000000000ff", store);
    for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        kit_write_file(path, (const uint8_t *)texts[i], strlen(texts[i]));
        assert_int_equal(sc_losses_read(store, &l, &err), SC_DAMAGED);
        assert_non_null(strstr(err.message, "00000000000000ff"));
    }
    sc_losses_free(&l);
    kit_remove(store);
    assert_int_not_equal(sc_losses_write("/proc/none", &l, NULL, &err), SC_OK);
}

/* Adds to what is there; the word can be taken back, for one stream or all, also where it cannot be read any more. */
static void recorded_and_taken_back(void **state)
{
    (void)state;
    char *store = kit_folder(), path[512];
    struct sc_error err;
    struct sc_losses was = {0};
    const uint64_t first = 1;
    assert_int_equal(sc_losses_undo(store, NULL, false, &was, NULL, &err), SC_OK);
    for (uint64_t stream = 1; stream < 4; stream++) {
        struct sc_losses l = {0};
        add(&l, stream, 0, 1, stream);
        assert_int_equal(sc_losses_add_stream(&l, &(struct sc_stream){.proxy = "p", .stream = stream}),
                         SC_OK);
        assert_int_equal(sc_losses_record(store, &l, NULL, &err), SC_OK);
        sc_losses_free(&l);
    }
    assert_int_equal(sc_losses_undo(store, &first, true, &was, NULL, &err), SC_OK);
    assert_true(was.count == 1 && was.stream_count == 1);
    assert_there(&was, 1, 0, 1, 1);
    sc_losses_free(&was);
    assert_int_equal(sc_losses_undo(store, &first, false, &was, NULL, &err), SC_OK);
    assert_int_equal(was.count, 1);
    sc_losses_free(&was);
    assert_int_equal(sc_losses_read(store, &was, &err), SC_OK);
    assert_true(was.count == 2 && was.stream_count == 2);
    sc_losses_free(&was);
    snprintf(path, sizeof(path), "%s/" SC_LOST_FOLDER "/00000000000000ff", store);
    kit_write_file(path, (const uint8_t *)"rubbish", 7);
    assert_int_equal(sc_losses_undo(store, NULL, true, &was, NULL, &err), SC_OK);
    assert_int_equal(sc_losses_undo(store, NULL, false, &was, NULL, &err), SC_OK);
    sc_losses_free(&was);
    snprintf(path, sizeof(path), "%s/" SC_LOST_FOLDER, store);
    assert_int_equal(access(path, F_OK), -1);
    kit_remove(store);
}

UNIT(test_loss)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_greater_number_counts),
        cmocka_unit_test(kept_in_the_store),
        cmocka_unit_test(damaged_files_are_named),
        cmocka_unit_test(recorded_and_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
