// SPDX-License-Identifier: BSD-3-Clause
/* An outbox, batches for it that are a function of their sequence, and what the next process finds. */
#ifndef OUTBOX_KIT_H
#define OUTBOX_KIT_H

#include "store_kit.h"

#include "relay/outbox.h"

enum { FOUND_MAX = 4096 };

#define STREAM UINT64_C(0xfedcba9876543210)

/* ---- batches that are a function of their sequence ---- */

static inline struct sc_batch_head make(uint64_t sequence, uint32_t size, uint8_t *bytes)
{
    uint64_t random = sequence * 7919 + size;
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t r = kit_random(&random);
        memcpy(bytes + i, &r, size - i < 8 ? size - i : 8);
    }
    return (struct sc_batch_head){.id = {.stream = sequence < 5000 ? STREAM : 2,
                                         .sequence = sequence,
                                         .lane = (uint32_t)sequence * 3 + 1},
                                  .window_ms = KIT_WINDOW + sequence,
                                  .window_s = 300,
                                  .records = 1 + (uint32_t)sequence % 8192,
                                  .record_kind = (uint8_t)(sequence % 2),
                                  .size = size,
                                  .hash = sc_link_hash(bytes, size)};
}

static inline enum sc_status append_with(struct sc_outbox *o, uint64_t sequence, uint32_t size,
                                         struct sc_outbox_place *place, struct sc_error *err)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    const struct sc_batch_head head = make(sequence, size, bytes);
    enum sc_status status = sc_outbox_append(o, &head, bytes, place, err);
    free(bytes);
    return status;
}

static inline struct sc_outbox_place append(struct sc_outbox *o, uint64_t sequence, uint32_t size)
{
    struct sc_outbox_place place;
    struct sc_error err = {0};
    if (append_with(o, sequence, size, &place, &err) != SC_OK)
        fail_msg("%s", err.message);
    return place;
}

/* A batch is whole, and it is the one of that sequence. */
static inline void check(struct sc_outbox *o, const struct sc_batch_head *head, struct sc_outbox_place place,
                         uint64_t sequence, uint32_t size)
{
    struct sc_buf out = {0};
    struct sc_error err = {0};
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    const struct sc_batch_head want = make(sequence, size, bytes);
    assert_true(head->id.stream == want.id.stream && head->id.sequence == want.id.sequence);
    assert_true(head->id.lane == want.id.lane && head->hash == want.hash && head->size == want.size);
    assert_true(head->window_ms == want.window_ms && head->window_s == want.window_s);
    assert_true(head->records == want.records && head->record_kind == want.record_kind);
    if (sc_outbox_read(o, head, place, &out, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(out.len, size);
    assert_true(memcmp(out.data, bytes, size) == 0);
    sc_buf_free(&out);
    free(bytes);
}

/* ---- opening, and what is found ---- */

struct found {
    uint32_t count;
    enum sc_status answer;
    uint32_t answer_at;
    struct sc_batch_head heads[FOUND_MAX];
    struct sc_outbox_place places[FOUND_MAX];
};

static inline enum sc_status on_found(void *arg, const struct sc_batch_head *head,
                                      struct sc_outbox_place place)
{
    struct found *f = arg;
    assert_true(f->count < FOUND_MAX);
    if (f->answer != SC_OK && f->count == f->answer_at)
        return f->answer;
    f->heads[f->count] = *head;
    f->places[f->count++] = place;
    return SC_OK;
}

static inline struct sc_outbox *open_with(const char *path, uint64_t stream,
                                          const struct sc_outbox_options *options, struct found *found)
{
    struct sc_error err = {0};
    *found = (struct found){0};
    struct sc_outbox *o = sc_outbox_open(path, stream, options, on_found, found, &err);
    if (o == NULL)
        fail_msg("%s", err.message);
    return o;
}

#endif
