// SPDX-License-Identifier: BSD-3-Clause
/*
 * The link between proxy and subcollector over arbitrary bytes, cut into messages by their lengths. What is read is written and
 * read once more: it must be the same; so must what is read from a buffer that is filled in pieces, and how it ends. A subcollector's
 * judgement of it is kept to its bounds. The mutator adds messages of the writer, since no chance finds the hash of a state.
 */
#include "../unit/link_kit.h"

#include "net/framer.h"
#include "relay/lane_names.h"
#include "relay/link_stream.h"
#include "relay/stream_owners.h"
#include "relay/tally_keeper.h"

#include <event2/buffer.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void must(bool true_)
{
    if (!true_)
        __builtin_trap();
}

/* ---- reading, and what was read as a new stream ---- */

#define NOWHERE "/dev/null/store" /* there is nothing, and nothing can be made there */

struct echo {
    struct sc_link_writer writer;
    uint32_t records;
    struct sc_lane_names names;
    struct sc_stream_owners owners;
    struct sc_tally_keeper tallies;
    char proxy[SC_LINK_NAME_MAX];
};

/* As a subcollector does: what is admitted stays admitted, whoever else speaks, and all of it is bounded. */
static void judge(struct echo *e, const struct sc_link_tally *tally)
{
    static struct sc_member alpha = {.name = "alpha", .lane = 7};
    const struct sc_cluster one = {.members = &alpha, .count = 1};
    bool lane = sc_lane_names_admit(&e->names, &one, tally->lane.lane);
    bool mine = sc_stream_owners_claim(&e->owners, &one, tally->stream, e->proxy);
    must(lane == sc_lane_names_admit(&e->names, &one, tally->lane.lane));
    must(lane || tally->lane.lane != alpha.lane);
    must(mine == sc_stream_owners_claim(&e->owners, &one, tally->stream, e->proxy));
    if (lane && mine && sc_tally_keeper_take(&e->tallies, e->proxy, tally, e->records) == SC_REFUSAL_NONE)
        must(sc_tally_keeper_take(&e->tallies, e->proxy, tally, e->records) == SC_REFUSAL_NONE);
    must(e->names.count <= SC_LANES_OTHER && e->owners.count <= SC_STREAMS_KNOWN);
    must(e->tallies.count <= SC_TALLIES_NEW * (1 + e->records / 1000) * (1 + e->tallies.tellers.count));
}

static void free_echo(struct echo *e)
{
    sc_buf_free(&e->writer.out);
    sc_lane_names_free(&e->names);
    sc_stream_owners_free(&e->owners);
    sc_tally_keeper_free(&e->tallies);
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    struct echo *e = arg;
    must(memchr(hello->name, '\0', sizeof(hello->name)) != NULL && hello->version >= 1 &&
         hello->version <= SC_LINK_VERSION);
    e->records++;
    memcpy(e->proxy, hello->name, sizeof(e->proxy));
    sc_link_put_hello(&e->writer, hello);
    return SC_OK;
}

static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct echo *e = arg;
    must(head->size != 0 && head->size <= SC_LINK_MAX_BATCH && bytes->len == head->size);
    e->records++;
    put_batch(&e->writer, head, bytes->data);
    if (head->hash % 2 != 0)
        sc_buf_free(bytes);
    return SC_OK;
}

static enum sc_status on_ack(void *arg, const struct sc_link_ack *ack)
{
    struct echo *e = arg;
    must(ack->first <= ack->last);
    e->records++;
    sc_link_put_ack(&e->writer, ack);
    return SC_OK;
}

static enum sc_status on_refused(void *arg, const struct sc_batch_id *id)
{
    struct echo *e = arg;
    e->records++;
    sc_link_put_refused(&e->writer, id);
    return SC_OK;
}

static enum sc_status on_beat(void *arg, const struct sc_link_beat *beat)
{
    struct echo *e = arg;
    e->records++;
    sc_link_put_beat(&e->writer, beat);
    return SC_OK;
}

static enum sc_status on_tally(void *arg, const struct sc_link_tally *tally)
{
    struct echo *e = arg;
    must(tally->window_s != 0);
    e->records++;
    judge(e, tally);
    sc_link_put_tally(&e->writer, tally);
    return SC_OK;
}

static enum sc_status on_stream(void *arg, const struct sc_link_stream *stream)
{
    struct echo *e = arg;
    e->records++;
    sc_link_put_stream(&e->writer, stream);
    return SC_OK;
}

static enum sc_status on_facts(void *arg, const struct sc_link_facts *facts)
{
    struct echo *e = arg;
    e->records++;
    must(memchr(facts->name, '\0', sizeof(facts->name)) != NULL);
    sc_link_put_facts(&e->writer, facts);
    return SC_OK;
}

static enum sc_status on_state(void *arg, const struct sc_hearsay_head *state, const uint8_t *bytes)
{
    struct echo *e = arg;
    must(state->size != 0 && state->size <= SC_LINK_MAX_STATE &&
         sc_link_hash(bytes, state->size) == state->hash);
    must(memchr(state->proxy, '\0', sizeof(state->proxy)) != NULL);
    e->records++;
    sc_link_put_state(&e->writer, state);
    for (uint32_t done = 0, n; done < state->size; done += n) {
        n = state->size - done < SC_LINK_PART ? state->size - done : SC_LINK_PART;
        sc_link_put_state_part(&e->writer, bytes + done, n);
    }
    return SC_OK;
}

static struct sc_link_reader reader_of(struct echo *echo)
{
    return (struct sc_link_reader){.hello = on_hello,
                                   .batch = on_batch,
                                   .ack = on_ack,
                                   .refused = on_refused,
                                   .beat = on_beat,
                                   .tally = on_tally,
                                   .stream = on_stream,
                                   .facts = on_facts,
                                   .state = on_state,
                                   .arg = echo};
}

/* The messages in memory of their very sizes, until one is refused or is not whole. */
static enum sc_status read_all(const uint8_t *bytes, size_t length, struct echo *echo)
{
    struct sc_link_reader reader = reader_of(echo);
    enum sc_status status = SC_OK;
    while (status == SC_OK && length != 0) {
        size_t n;
        status = sc_framer_length(bytes, length, &n, NULL);
        if (status != SC_OK)
            break;
        uint8_t *message = malloc(n);
        must(message != NULL);
        memcpy(message, bytes, n);
        status = sc_link_read(&reader, message, n, NULL);
        free(message);
        bytes += n;
        length -= n;
    }
    if (status == SC_AGAIN)
        status = SC_OK;
    must(status == SC_OK || status == SC_MALFORMED || status == SC_UNSUPPORTED);
    sc_link_reader_free(&reader);
    return status;
}

/* The same from a buffer, whose pieces have lengths that the bytes themselves give. */
static enum sc_status drain_all(const uint8_t *bytes, size_t length, struct echo *echo)
{
    struct sc_link_reader reader = reader_of(echo);
    struct evbuffer *in = evbuffer_new();
    enum sc_status status = SC_OK;
    must(in != NULL);
    for (size_t at = 0, n; at < length && status == SC_OK; at += n) {
        n = 1 + (bytes[at] * 7u + bytes[length - 1 - at]) % 90;
        n = n > length - at ? length - at : n;
        must(evbuffer_add(in, bytes + at, n) == 0);
        status = sc_link_drain(in, &reader, NULL);
    }
    evbuffer_free(in);
    sc_link_reader_free(&reader);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct echo first = {.owners.store = NOWHERE, .tallies.store = NOWHERE}, second = first, pieces = first;
    enum sc_status status = read_all(bytes, length, &first);
    must(drain_all(bytes, length, &pieces) == status);
    must(first.records == pieces.records && first.writer.out.len == pieces.writer.out.len);
    must(read_all(first.writer.out.data, first.writer.out.len, &second) == SC_OK);
    must(first.records == second.records && first.writer.out.len == second.writer.out.len);
    free_echo(&first);
    free_echo(&second);
    free_echo(&pieces);
    return 0;
}

/* ---- inputs ---- */

static void put_some_batch(struct sc_link_writer *w, uint64_t random)
{
    uint8_t bytes[300];
    uint32_t size = 1 + (uint32_t)(random % sizeof(bytes));
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(random >> (i % 8 * 8));
    const struct sc_batch_head head = {.id = {.stream = random, .sequence = random >> 8, .lane = 7},
                                       .window_ms = UINT64_C(1800000000000),
                                       .window_s = 300,
                                       .records = 1,
                                       .size = size,
                                       .hash = sc_link_hash(bytes, size)};
    put_batch(w, &head, bytes);
}

static void put_state(struct sc_link_writer *w, uint64_t random)
{
    uint8_t bytes[8];
    uint32_t size = 1 + (uint32_t)(random % sizeof(bytes));
    sc_store_le64(bytes, random);
    sc_link_put_state(
        w, &(struct sc_hearsay_head){
               .proxy = "beta", .clock_ms = random, .size = size, .hash = sc_link_hash(bytes, size)});
    sc_link_put_state_part(w, bytes, size);
}

static void put_any(struct sc_link_writer *w, uint64_t random)
{
    switch (random % 8) {
    case 0:
        put_some_batch(w, random);
        break;
    case 1:
        sc_link_put_ack(w, &(struct sc_link_ack){random, 7, random >> 40, random >> 30});
        break;
    case 2:
        sc_link_put_beat(w, &(struct sc_link_beat){random, (random >> 9 & 1) != 0});
        break;
    case 3:
        put_state(w, random);
        break;
    case 4:
        sc_link_put_refused(w, &(struct sc_batch_id){.stream = random, .lane = 7, .sequence = random >> 20});
        break;
    case 5:
        sc_link_put_tally(w, &(struct sc_link_tally){.stream = random, .window_s = 300, .lane = {.lane = 7}});
        break;
    case 6:
        sc_link_put_facts(w, &(struct sc_link_facts){.name = "alpha", .program = "0", .instance = random});
        break;
    default:
        sc_link_put_stream(w, &(struct sc_link_stream){random, (random >> 9 & 1) != 0, false});
        break;
    }
}

/* An empty input becomes a greeting; sometimes a whole message of the writer is added; else any change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct sc_link_writer w = {0};
    uint64_t random = (seed + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    random ^= random >> 31;
    if (size > 4 && seed % 8 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (size <= 4) {
        size = 0;
        sc_link_put_hello(&w,
                          &(struct sc_link_hello){.version = SC_LINK_VERSION, .lane = 7, .name = "alpha"});
    }
    put_any(&w, random >> 3);
    if (size + w.out.len <= max_size) {
        memcpy(data + size, w.out.data, w.out.len);
        size += w.out.len;
    }
    sc_buf_free(&w.out);
    return size == 0 ? LLVMFuzzerMutate(data, size, max_size) : size;
}
