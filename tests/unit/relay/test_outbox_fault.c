// SPDX-License-Identifier: BSD-3-Clause
/* The outbox over a disk that fails, for every operation in turn: what was accepted is there after a new start. */
#include "fault_io.h"
#include "outbox_kit.h"

enum { OFFERED = 12, SIZE = 300, TRIES = 4 };

struct attempt {
    struct fault_io *io;
    const char *path;
    struct sc_outbox_options options; /* three batches in a file */
    bool accepted[OFFERED], released[OFFERED];
};

static struct sc_outbox *try_to_open(const struct attempt *t)
{
    static struct found found;
    struct sc_outbox *o = NULL;
    found.count = 0;
    for (unsigned i = 0; i < TRIES && o == NULL && !t->io->stopped; i++)
        o = sc_outbox_open(t->path, STREAM, &t->options, on_found, &found, NULL);
    return o;
}

/* What cannot be read now is not called damaged, and can be read later. */
static void try_to_read(const struct attempt *t, struct sc_outbox *o, uint64_t sequence,
                        struct sc_outbox_place place)
{
    uint8_t bytes[SIZE];
    const struct sc_batch_head head = make(sequence, SIZE, bytes);
    struct sc_buf out = {0};
    enum sc_status status = SC_IO;
    for (unsigned i = 0; i < TRIES && (status == SC_IO || status == SC_FULL); i++)
        status = sc_outbox_read(o, &head, place, &out, NULL);
    if (!t->io->stopped) {
        if (status != SC_OK)
            fail_msg("fault %d at operation %llu: reading says %d", t->io->fault,
                     (unsigned long long)t->io->at, status);
        assert_true(out.len == SIZE && memcmp(out.data, bytes, SIZE) == 0);
    }
    sc_buf_free(&out);
}

/* Each is offered until it is taken, one of two is released, as a proxy does. */
static void offer_all(struct attempt *t)
{
    struct sc_outbox *o = try_to_open(t);
    for (uint64_t n = 0; n < OFFERED && o != NULL && !t->io->stopped; n++) {
        struct sc_outbox_place place;
        for (unsigned i = 0; i < TRIES && !t->accepted[n] && !t->io->stopped; i++)
            t->accepted[n] = append_with(o, n, SIZE, &place, NULL) == SC_OK;
        if (!t->accepted[n])
            continue;
        try_to_read(t, o, n, place);
        t->released[n] = n % 2 == 0;
        if (t->released[n])
            sc_outbox_release(o, place);
        sc_outbox_tidy(o);
    }
    sc_outbox_close(o);
}

/* The next process finds what was accepted and not released, whole; again at most what was in hand when the disk failed. */
static void check_found(const struct attempt *t, bool failed)
{
    static struct found found;
    unsigned count[OFFERED] = {0};
    const struct sc_outbox_options options = {.limit_bytes = t->options.limit_bytes};
    struct sc_outbox *o = open_with(t->path, 2, &options, &found);
    for (uint32_t i = 0; i < found.count; i++) {
        assert_true(found.heads[i].id.sequence < OFFERED);
        count[found.heads[i].id.sequence]++;
        check(o, &found.heads[i], found.places[i], found.heads[i].id.sequence, SIZE);
    }
    for (unsigned n = 0; n < OFFERED; n++) {
        bool waits = t->accepted[n] && !t->released[n];
        if (waits ? count[n] == 0 || (count[n] > 1 && !failed) : count[n] != 0 && !failed)
            fail_msg("fault %d at operation %llu: batch %u is found %u times", t->io->fault,
                     (unsigned long long)t->io->at, n, count[n]);
    }
    sc_outbox_close(o);
}

static bool with_fault(enum fault fault, uint64_t at, enum loss loss)
{
    char *folder = kit_folder(), path[512];
    snprintf(path, sizeof(path), "%s/outbox", folder);
    struct attempt t = {.path = path, .io = fault_create_io(fault, at)};
    t.options = (struct sc_outbox_options){
        .limit_bytes = 8 * 1000, .sync = loss != LOSS_NONE || fault == FAULT_DROP, .io = &t.io->io};
    offer_all(&t);
    fault_lose(t.io, loss, at);
    bool hit = t.io->hit;
    for (unsigned n = 0; n < OFFERED && fault != FAULT_FULL && !t.io->stopped; n++)
        assert_true(t.accepted[n]); /* at the second try */
    if (access(path, F_OK) == 0)
        check_found(&t, hit || loss != LOSS_NONE); /* that a file is gone is not synced */
    else
        assert_false(t.accepted[0]);
    fault_free_io(t.io);
    kit_remove(folder);
    return hit;
}

static void every_operation_failing(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        enum loss loss;
    } cases[] = {{FAULT_EIO, LOSS_NONE},  {FAULT_TWICE, LOSS_NONE},    {FAULT_ENOSPC, LOSS_NONE},
                 {FAULT_TORN, LOSS_NONE}, {FAULT_DROP, LOSS_NONE},     {FAULT_FULL, LOSS_NONE},
                 {FAULT_STOP, LOSS_NONE}, {FAULT_STOP, LOSS_ALL},      {FAULT_STOP, LOSS_ZEROS},
                 {FAULT_EIO, LOSS_BYTES}, {FAULT_STOP, LOSS_NAMES},    {FAULT_STOP_TORN, LOSS_NONE},
                 {FAULT_TORN, LOSS_ALL},  {FAULT_STOP_TORN, LOSS_SOME}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t at = 0;
        while (with_fault(cases[i].fault, at, cases[i].loss))
            at++;
        assert_true(at > 20);
    }
}

/* A write that does less than it should is gone on with. */
static void short_writes(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 60; at++)
        (void)with_fault(FAULT_SHORT, at, LOSS_NONE);
}

UNIT(test_outbox_fault)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_failing),
        cmocka_unit_test(short_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
