// SPDX-License-Identifier: BSD-3-Clause
#include "relay/link.h"

#include "base/clock.h"

#include <ctype.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    TEMPLATE_SET = 2,
    HELLO = 256,
    BATCH = 257,
    PART = 258,
    ACK = 259,
    BEAT = 260,
    TALLY = 261,
    STREAM_NEWS = 262,
    STATE = 263,
    STATE_PART = 264,
    REFUSED = 265,
    FACTS = 266,
    ASK = 267,
    DIGEST = 268,
    HOLDS = 269,
    GIVEN = 270,
    TOLD_TALLY = 271,
    TOLD_STREAM = 272
};

#define HEADER_BYTES 16u
#define SET_HEAD     4u
#define VARIABLE     65535u
#define FIRST_BYTES  ((size_t)512 << 10)
#define RECORDS_EACH 1000u /* of a message with many short ones */

/* Element ids under SC_LINK_PEN. */
enum {
    LINK_VERSION = 1,
    CLUSTER_VERSION,
    LANE,
    NODE_NAME,
    STREAM,
    SEQUENCE,
    WINDOW_START,
    WINDOW_LENGTH,
    RECORDS,
    RECORD_KIND,
    SIZE,
    HASH,
    OCTETS,
    FIRST,
    LAST,
    FREE_BYTES,
    FULL,
    ACCEPTED, /* and the seven after it: batches and records of flows, of options, accepted; then safe */
    CLOSED = ACCEPTED + 8,
    EARLIER_CLOSED,
    CLOCK,
    AGE,
    INSTANCE,
    HORIZON,
    RING_HASH,
    FILE_HASH,
    COPIES,
    PROGRAM_VERSION,
    WHAT,
    WINDOW_END,
    BATCHES,
    OUTCOME
};

struct field {
    uint16_t id, length;
};

static const struct field hello_fields[] = {
    {LINK_VERSION, 2}, {CLUSTER_VERSION, 8}, {LANE, 4}, {NODE_NAME, VARIABLE}};
static const struct field batch_fields[] = {{STREAM, 8},       {LANE, 4},          {SEQUENCE, 8},
                                            {WINDOW_START, 8}, {WINDOW_LENGTH, 4}, {RECORDS, 4},
                                            {RECORD_KIND, 1},  {SIZE, 4},          {HASH, 8}};
static const struct field part_fields[] = {{OCTETS, VARIABLE}};
static const struct field ack_fields[] = {{STREAM, 8}, {LANE, 4}, {FIRST, 8}, {LAST, 8}};
static const struct field refused_fields[] = {{STREAM, 8}, {LANE, 4}, {SEQUENCE, 8}};
#define TALLY_FIELDS                                                                                         \
    {STREAM, 8}, {LANE, 4}, {WINDOW_START, 8}, {WINDOW_LENGTH, 4}, {ACCEPTED, 8}, {ACCEPTED + 1, 8},         \
        {ACCEPTED + 2, 8}, {ACCEPTED + 3, 8}, {ACCEPTED + 4, 8}, {ACCEPTED + 5, 8}, {ACCEPTED + 6, 8},       \
    {                                                                                                        \
        ACCEPTED + 7, 8                                                                                      \
    }
static const struct field tally_fields[] = {TALLY_FIELDS};
static const struct field told_tally_fields[] = {TALLY_FIELDS, {NODE_NAME, VARIABLE}};
static const struct field stream_fields[] = {{STREAM, 8}, {CLOSED, 1}, {EARLIER_CLOSED, 1}};
static const struct field state_fields[] = {
    {CLOCK, 8}, {AGE, 8}, {SIZE, 4}, {HASH, 8}, {NODE_NAME, VARIABLE}};
static const struct field facts_fields[] = {
    {INSTANCE, 8},        {CLOCK, 8},           {AGE, 8},          {HORIZON, 8},
    {FREE_BYTES, 8},      {CLUSTER_VERSION, 8}, {RING_HASH, 8},    {FILE_HASH, 8},
    {WINDOW_LENGTH, 4},   {COPIES, 4},          {LINK_VERSION, 2}, {PROGRAM_VERSION, VARIABLE},
    {NODE_NAME, VARIABLE}};
static const struct field ask_fields[] = {{WHAT, 1},       {LANE, 4},   {WINDOW_START, 8}, {WINDOW_LENGTH, 4},
                                          {WINDOW_END, 8}, {STREAM, 8}, {SEQUENCE, 8},     {HASH, 8}};
static const struct field digest_fields[] = {
    {LANE, 4}, {WINDOW_START, 8}, {WINDOW_LENGTH, 4}, {BATCHES, 8}, {HASH, 8}};
static const struct field holds_fields[] = {{LANE, 4},   {WINDOW_START, 8}, {WINDOW_LENGTH, 4},
                                            {STREAM, 8}, {FIRST, 8},        {LAST, 8}};
static const struct field given_fields[] = {{WHAT, 1}, {OUTCOME, 1}};
static const struct field told_stream_fields[] = {
    {STREAM, 8}, {CLOSED, 1}, {CLOCK, 8}, {NODE_NAME, VARIABLE}};
static const struct field beat_fields[] = {{FREE_BYTES, 8}, {FULL, 1}};

uint64_t sc_link_hash(const uint8_t *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}

/* ---- writing ---- */

static void put_be(struct sc_buf *out, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0)
        sc_buf_append_u8(out, (uint8_t)(v >> (8 * bytes)));
}

/* A message with one set; the lengths are filled in by end_message. Returns where it begins. */
static size_t begin_message(struct sc_link_writer *w, uint16_t set)
{
    size_t at = w->out.len;
    put_be(&w->out, 10, 2);
    put_be(&w->out, 0, 2);
    put_be(&w->out, sc_clock_wall_ms() / 1000, 4);
    put_be(&w->out, w->sequence, 4);
    put_be(&w->out, 0, 4);
    put_be(&w->out, set, 2);
    put_be(&w->out, 0, 2);
    return at;
}

/* `follow`: bytes that the caller has elsewhere. */
static void end_message(struct sc_link_writer *w, size_t at, uint32_t records, uint32_t follow)
{
    size_t length = w->out.len - at + follow;
    w->sequence += records;
    if (!sc_buf_ok(&w->out))
        return;
    sc_store_be16(w->out.data + at + 2, (uint16_t)length);
    sc_store_be16(w->out.data + at + HEADER_BYTES + 2, (uint16_t)(length - HEADER_BYTES));
}

static void put_template(struct sc_buf *out, uint16_t id, const struct field *fields, unsigned count)
{
    put_be(out, id, 2);
    put_be(out, count, 2);
    for (unsigned i = 0; i < count; i++) {
        put_be(out, 0x8000u | fields[i].id, 2);
        put_be(out, fields[i].length, 2);
        put_be(out, SC_LINK_PEN, 4);
    }
}

#define PUT_TEMPLATE(out, id, fields) put_template(out, id, fields, sizeof(fields) / sizeof((fields)[0]))

static void put_templates(struct sc_link_writer *w)
{
    size_t at = begin_message(w, TEMPLATE_SET);
    PUT_TEMPLATE(&w->out, HELLO, hello_fields);
    PUT_TEMPLATE(&w->out, BATCH, batch_fields);
    PUT_TEMPLATE(&w->out, PART, part_fields);
    PUT_TEMPLATE(&w->out, ACK, ack_fields);
    PUT_TEMPLATE(&w->out, BEAT, beat_fields);
    PUT_TEMPLATE(&w->out, TALLY, tally_fields);
    PUT_TEMPLATE(&w->out, STREAM_NEWS, stream_fields);
    PUT_TEMPLATE(&w->out, STATE, state_fields);
    PUT_TEMPLATE(&w->out, STATE_PART, part_fields);
    PUT_TEMPLATE(&w->out, REFUSED, refused_fields);
    PUT_TEMPLATE(&w->out, FACTS, facts_fields);
    PUT_TEMPLATE(&w->out, ASK, ask_fields);
    PUT_TEMPLATE(&w->out, DIGEST, digest_fields);
    PUT_TEMPLATE(&w->out, HOLDS, holds_fields);
    PUT_TEMPLATE(&w->out, GIVEN, given_fields);
    PUT_TEMPLATE(&w->out, TOLD_TALLY, told_tally_fields);
    PUT_TEMPLATE(&w->out, TOLD_STREAM, told_stream_fields);
    end_message(w, at, 0, 0);
}

static void put_name(struct sc_buf *out, const char name[SC_LINK_NAME_MAX])
{
    size_t length = strnlen(name, SC_LINK_NAME_MAX - 1);
    put_be(out, length, 1);
    sc_buf_append(out, name, length);
}

/* Of octets; RFC 7011 section 7: the three-byte form. */
static void put_length(struct sc_buf *out, uint32_t length)
{
    put_be(out, 255, 1);
    put_be(out, length, 2);
}

void sc_link_put_hello(struct sc_link_writer *w, const struct sc_link_hello *hello)
{
    put_templates(w);
    size_t at = begin_message(w, HELLO);
    put_be(&w->out, hello->version, 2);
    put_be(&w->out, hello->cluster_version, 8);
    put_be(&w->out, hello->lane, 4);
    put_name(&w->out, hello->name);
    end_message(w, at, 1, 0);
}

void sc_link_put_announcement(struct sc_link_writer *w, const struct sc_batch_head *head)
{
    size_t at = begin_message(w, BATCH);
    put_be(&w->out, head->id.stream, 8);
    put_be(&w->out, head->id.lane, 4);
    put_be(&w->out, head->id.sequence, 8);
    put_be(&w->out, head->window_ms, 8);
    put_be(&w->out, head->window_s, 4);
    put_be(&w->out, head->records, 4);
    put_be(&w->out, head->record_kind, 1);
    put_be(&w->out, head->size, 4);
    put_be(&w->out, head->hash, 8);
    end_message(w, at, 1, 0);
}

void sc_link_put_part_head(struct sc_link_writer *w, uint32_t length)
{
    size_t at = begin_message(w, PART);
    put_length(&w->out, length);
    end_message(w, at, 1, length);
}

void sc_link_put_ack(struct sc_link_writer *w, const struct sc_link_ack *ack)
{
    size_t at = begin_message(w, ACK);
    put_be(&w->out, ack->stream, 8);
    put_be(&w->out, ack->lane, 4);
    put_be(&w->out, ack->first, 8);
    put_be(&w->out, ack->last, 8);
    end_message(w, at, 1, 0);
}

void sc_link_put_refused(struct sc_link_writer *w, const struct sc_batch_id *id)
{
    size_t at = begin_message(w, REFUSED);
    put_be(&w->out, id->stream, 8);
    put_be(&w->out, id->lane, 4);
    put_be(&w->out, id->sequence, 8);
    end_message(w, at, 1, 0);
}

void sc_link_put_beat(struct sc_link_writer *w, const struct sc_link_beat *beat)
{
    size_t at = begin_message(w, BEAT);
    put_be(&w->out, beat->free_bytes, 8);
    put_be(&w->out, beat->full, 1);
    end_message(w, at, 1, 0);
}

static void put_count(struct sc_buf *out, const struct sc_tally_count *count)
{
    for (int kind = 0; kind < 2; kind++) {
        put_be(out, count->batches[kind], 8);
        put_be(out, count->records[kind], 8);
    }
}

static void put_tally(struct sc_buf *out, const struct sc_link_tally *tally)
{
    put_be(out, tally->stream, 8);
    put_be(out, tally->lane.lane, 4);
    put_be(out, tally->window_ms, 8);
    put_be(out, tally->window_s, 4);
    put_count(out, &tally->lane.accepted);
    put_count(out, &tally->lane.safe);
}

void sc_link_put_tally(struct sc_link_writer *w, const struct sc_link_tally *tally)
{
    size_t at = begin_message(w, TALLY);
    put_tally(&w->out, tally);
    end_message(w, at, 1, 0);
}

void sc_link_put_told(struct sc_link_writer *w, const struct sc_link_told *told)
{
    size_t at = begin_message(w, told->is_stream ? TOLD_STREAM : TOLD_TALLY);
    if (told->is_stream) {
        put_be(&w->out, told->stream.stream, 8);
        put_be(&w->out, told->stream.closed, 1);
        put_be(&w->out, told->stream.heard_ms, 8);
    } else {
        put_tally(&w->out, &told->tally);
    }
    put_name(&w->out, told->proxy);
    end_message(w, at, 1, 0);
}

void sc_link_put_stream(struct sc_link_writer *w, const struct sc_link_stream *stream)
{
    size_t at = begin_message(w, STREAM_NEWS);
    put_be(&w->out, stream->stream, 8);
    put_be(&w->out, stream->closed, 1);
    put_be(&w->out, stream->earlier_closed, 1);
    end_message(w, at, 1, 0);
}

void sc_link_put_facts(struct sc_link_writer *w, const struct sc_link_facts *facts)
{
    size_t at = begin_message(w, FACTS);
    put_be(&w->out, facts->instance, 8);
    put_be(&w->out, facts->clock_ms, 8);
    put_be(&w->out, facts->age_ms, 8);
    put_be(&w->out, facts->horizon_ms, 8);
    put_be(&w->out, facts->free_bytes, 8);
    put_be(&w->out, facts->cluster_version, 8);
    put_be(&w->out, facts->ring_hash, 8);
    put_be(&w->out, facts->file_hash, 8);
    put_be(&w->out, facts->window_s, 4);
    put_be(&w->out, facts->copies, 4);
    put_be(&w->out, facts->link_version, 2);
    put_name(&w->out, facts->program);
    put_name(&w->out, facts->name);
    end_message(w, at, 1, 0);
}

void sc_link_put_ask(struct sc_link_writer *w, const struct sc_link_ask *ask)
{
    size_t at = begin_message(w, ASK);
    put_be(&w->out, ask->what, 1);
    put_be(&w->out, ask->lane, 4);
    put_be(&w->out, ask->window_ms, 8);
    put_be(&w->out, ask->window_s, 4);
    put_be(&w->out, ask->end_ms, 8);
    put_be(&w->out, ask->stream, 8);
    put_be(&w->out, ask->sequence, 8);
    put_be(&w->out, ask->hash, 8);
    end_message(w, at, 1, 0);
}

static void put_window(struct sc_buf *out, uint32_t lane, uint64_t window_ms, uint32_t window_s)
{
    put_be(out, lane, 4);
    put_be(out, window_ms, 8);
    put_be(out, window_s, 4);
}

void sc_link_put_digests(struct sc_link_writer *w, const struct sc_link_digest *list, uint32_t count)
{
    for (uint32_t done = 0, n; done < count; done += n) {
        size_t at = begin_message(w, DIGEST);
        for (n = 0; n < RECORDS_EACH && done + n < count; n++) {
            const struct sc_link_digest *d = &list[done + n];
            put_window(&w->out, d->lane, d->window_ms, d->window_s);
            put_be(&w->out, d->batches, 8);
            put_be(&w->out, d->hash, 8);
        }
        end_message(w, at, n, 0);
    }
}

void sc_link_put_holds(struct sc_link_writer *w, const struct sc_link_holds *list, uint32_t count)
{
    for (uint32_t done = 0, n; done < count; done += n) {
        size_t at = begin_message(w, HOLDS);
        for (n = 0; n < RECORDS_EACH && done + n < count; n++) {
            const struct sc_link_holds *h = &list[done + n];
            put_window(&w->out, h->lane, h->window_ms, h->window_s);
            put_be(&w->out, h->stream, 8);
            put_be(&w->out, h->first, 8);
            put_be(&w->out, h->last, 8);
        }
        end_message(w, at, n, 0);
    }
}

void sc_link_put_given(struct sc_link_writer *w, const struct sc_link_given *given)
{
    size_t at = begin_message(w, GIVEN);
    put_be(&w->out, given->what, 1);
    put_be(&w->out, given->outcome, 1);
    end_message(w, at, 1, 0);
}

void sc_link_put_state(struct sc_link_writer *w, const struct sc_hearsay_head *state)
{
    size_t at = begin_message(w, STATE);
    put_be(&w->out, state->clock_ms, 8);
    put_be(&w->out, state->age_ms, 8);
    put_be(&w->out, state->size, 4);
    put_be(&w->out, state->hash, 8);
    put_name(&w->out, state->proxy);
    end_message(w, at, 1, 0);
}

void sc_link_put_state_part(struct sc_link_writer *w, const uint8_t *bytes, uint32_t length)
{
    size_t at = begin_message(w, STATE_PART);
    put_length(&w->out, length);
    sc_buf_append(&w->out, bytes, length);
    end_message(w, at, 1, 0);
}

/* ---- reading ---- */

static uint64_t get_be(struct sc_cursor *in, unsigned bytes)
{
    const uint8_t *p = sc_cursor_take(in, bytes);
    return p == NULL ? 0 : sc_load_be(p, bytes);
}

static const uint8_t *get_variable(struct sc_cursor *in, size_t *length)
{
    *length = (size_t)get_be(in, 1);
    if (*length == 255)
        *length = (size_t)get_be(in, 2);
    return sc_cursor_take(in, *length);
}

/* As the membership file has them: names stand in logs and in the files of tallies. */
static bool is_name(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum(name[i]) && name[i] != '-' && name[i] != '.' && name[i] != '_')
            return false;
    }
    return length != 0 && length < SC_LINK_NAME_MAX && isalnum(name[0]);
}

static enum sc_status read_hello(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_hello hello = {.version = (uint16_t)get_be(in, 2)};
    size_t length;
    if (!in->failed && (hello.version == 0 || hello.version > SC_LINK_VERSION)) /* the rest may differ */
        return sc_fail(err, SC_UNSUPPORTED,
                       "the peer speaks version %u of the link, this program %u: update it", hello.version,
                       SC_LINK_VERSION);
    hello.cluster_version = get_be(in, 8);
    hello.lane = (uint32_t)get_be(in, 4);
    const uint8_t *name = get_variable(in, &length);
    if (name == NULL || !is_name(name, length))
        return sc_fail(err, SC_MALFORMED, "a greeting that is no greeting");
    memcpy(hello.name, name, length);
    r->greeted = true;
    return r->hello == NULL ? SC_OK : r->hello(r->arg, &hello);
}

static enum sc_status read_batch(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_batch_head *h = &r->head;
    if (r->announced)
        return sc_fail(err, SC_MALFORMED, "a batch within a batch");
    *h = (struct sc_batch_head){.id = {.stream = get_be(in, 8)}};
    h->id.lane = (uint32_t)get_be(in, 4);
    h->id.sequence = get_be(in, 8);
    h->window_ms = get_be(in, 8);
    h->window_s = (uint32_t)get_be(in, 4);
    h->records = (uint32_t)get_be(in, 4);
    h->record_kind = (uint8_t)get_be(in, 1);
    h->size = (uint32_t)get_be(in, 4);
    h->hash = get_be(in, 8);
    if (in->failed || h->size == 0 || h->size > SC_LINK_MAX_BATCH)
        return sc_fail(err, SC_MALFORMED, "a batch of %u bytes", h->size);
    r->announced = true;
    r->got = 0;
    sc_buf_clear(&r->bytes);
    return SC_OK;
}

/* Memory grows with what has come, not with what was announced; but for batches of a usual size there is one piece. */
static uint8_t *room(struct sc_link_reader *r, uint32_t more)
{
    struct sc_buf *b = &r->bytes;
    if (b->len == 0) {
        size_t first = r->head.size < FIRST_BYTES ? r->head.size : FIRST_BYTES;
        more = more > first ? more : (uint32_t)first;
    }
    return sc_buf_reserve(b, more);
}

static enum sc_status whole(struct sc_link_reader *r)
{
    r->announced = false;
    return r->batch == NULL ? SC_OK : r->batch(r->arg, &r->head, &r->bytes);
}

static enum sc_status read_part(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    size_t length;
    const uint8_t *bytes = get_variable(in, &length);
    if (bytes == NULL || !r->announced || length > r->head.size - r->got)
        return sc_fail(err, SC_MALFORMED, "bytes of no batch");
    if (r->batch != NULL) {
        uint8_t *to = room(r, (uint32_t)length);
        if (to == NULL)
            return sc_fail_nomem(err, "a batch");
        memcpy(to, bytes, length);
        r->bytes.len += length;
    }
    r->got += (uint32_t)length;
    return r->got < r->head.size ? SC_OK : whole(r);
}

bool sc_link_begins_part(const struct sc_link_reader *r, const uint8_t head[SC_LINK_PART_HEAD],
                         uint32_t *length)
{
    uint32_t message = sc_load_be16(head + 2), set = sc_load_be16(head + HEADER_BYTES + 2);
    *length = sc_load_be16(head + SC_LINK_PART_HEAD - 2);
    return r->greeted && r->announced && r->batch != NULL && sc_load_be16(head) == 10 &&
           sc_load_be16(head + HEADER_BYTES) == PART && message == HEADER_BYTES + set &&
           head[HEADER_BYTES + SET_HEAD] == 255 && message == SC_LINK_PART_HEAD + *length && *length != 0 &&
           *length <= r->head.size - r->got;
}

uint8_t *sc_link_part_room(struct sc_link_reader *r, uint32_t most)
{
    return room(r, most);
}

enum sc_status sc_link_part_came(struct sc_link_reader *r, uint32_t length)
{
    r->bytes.len += length;
    r->got += length;
    return r->got < r->head.size ? SC_OK : whole(r);
}

static enum sc_status read_ack(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_ack ack = {.stream = get_be(in, 8)};
    ack.lane = (uint32_t)get_be(in, 4);
    ack.first = get_be(in, 8);
    ack.last = get_be(in, 8);
    if (in->failed || ack.first > ack.last)
        return sc_fail(err, SC_MALFORMED, "an acknowledgement that is none");
    return r->ack == NULL ? SC_OK : r->ack(r->arg, &ack);
}

static enum sc_status read_refused(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_batch_id id = {.stream = get_be(in, 8)};
    id.lane = (uint32_t)get_be(in, 4);
    id.sequence = get_be(in, 8);
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "a refusal that is none");
    return r->refused == NULL ? SC_OK : r->refused(r->arg, &id);
}

static enum sc_status read_beat(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_beat beat = {.free_bytes = get_be(in, 8)};
    beat.full = get_be(in, 1) != 0;
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "a heartbeat that is none");
    return r->beat == NULL ? SC_OK : r->beat(r->arg, &beat);
}

static void get_count(struct sc_cursor *in, struct sc_tally_count *count)
{
    for (int kind = 0; kind < 2; kind++) {
        count->batches[kind] = get_be(in, 8);
        count->records[kind] = get_be(in, 8);
    }
}

static void get_tally(struct sc_cursor *in, struct sc_link_tally *tally)
{
    tally->stream = get_be(in, 8);
    tally->lane.lane = (uint32_t)get_be(in, 4);
    tally->window_ms = get_be(in, 8);
    tally->window_s = (uint32_t)get_be(in, 4);
    get_count(in, &tally->lane.accepted);
    get_count(in, &tally->lane.safe);
}

static enum sc_status read_tally(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_tally tally;
    get_tally(in, &tally);
    if (in->failed || tally.window_s == 0)
        return sc_fail(err, SC_MALFORMED, "a tally that is none");
    return r->tally == NULL ? SC_OK : r->tally(r->arg, &tally);
}

static enum sc_status read_stream(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_stream stream = {.stream = get_be(in, 8)};
    stream.closed = get_be(in, 1) != 0;
    stream.earlier_closed = get_be(in, 1) != 0;
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "news of a stream that are none");
    return r->stream == NULL ? SC_OK : r->stream(r->arg, &stream);
}

static bool get_name(struct sc_cursor *in, char *out, size_t size)
{
    size_t length;
    const uint8_t *text = get_variable(in, &length);
    if (text == NULL || length >= size || !is_name(text, length))
        return false;
    memcpy(out, text, length);
    return true;
}

static enum sc_status read_facts(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_facts f = {.instance = get_be(in, 8)};
    f.clock_ms = get_be(in, 8);
    f.age_ms = get_be(in, 8);
    f.horizon_ms = get_be(in, 8);
    f.free_bytes = get_be(in, 8);
    f.cluster_version = get_be(in, 8);
    f.ring_hash = get_be(in, 8);
    f.file_hash = get_be(in, 8);
    f.window_s = (uint32_t)get_be(in, 4);
    f.copies = (uint32_t)get_be(in, 4);
    f.link_version = (uint16_t)get_be(in, 2);
    if (!get_name(in, f.program, sizeof(f.program)) || !get_name(in, f.name, sizeof(f.name)))
        return sc_fail(err, SC_MALFORMED, "facts that are none");
    return r->facts == NULL ? SC_OK : r->facts(r->arg, &f);
}

static enum sc_status read_ask(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_ask ask = {.what = (uint8_t)get_be(in, 1)};
    ask.lane = (uint32_t)get_be(in, 4);
    ask.window_ms = get_be(in, 8);
    ask.window_s = (uint32_t)get_be(in, 4);
    ask.end_ms = get_be(in, 8);
    ask.stream = get_be(in, 8);
    ask.sequence = get_be(in, 8);
    ask.hash = get_be(in, 8);
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "a question that is none");
    return r->ask == NULL ? SC_OK : r->ask(r->arg, &ask);
}

static enum sc_status read_digest(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_digest digest = {.lane = (uint32_t)get_be(in, 4)};
    digest.window_ms = get_be(in, 8);
    digest.window_s = (uint32_t)get_be(in, 4);
    digest.batches = get_be(in, 8);
    digest.hash = get_be(in, 8);
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "a digest that is none");
    return r->digest == NULL ? SC_OK : r->digest(r->arg, &digest);
}

static enum sc_status read_holds(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_holds holds = {.lane = (uint32_t)get_be(in, 4)};
    holds.window_ms = get_be(in, 8);
    holds.window_s = (uint32_t)get_be(in, 4);
    holds.stream = get_be(in, 8);
    holds.first = get_be(in, 8);
    holds.last = get_be(in, 8);
    if (in->failed || holds.first > holds.last)
        return sc_fail(err, SC_MALFORMED, "an interval that is none");
    return r->holds == NULL ? SC_OK : r->holds(r->arg, &holds);
}

static enum sc_status read_told(struct sc_link_reader *r, bool is_stream, struct sc_cursor *in,
                                struct sc_error *err)
{
    struct sc_link_told told = {.is_stream = is_stream};
    if (is_stream) {
        told.stream.stream = get_be(in, 8);
        told.stream.closed = get_be(in, 1) != 0;
        told.stream.heard_ms = get_be(in, 8);
    } else {
        get_tally(in, &told.tally);
    }
    if (!get_name(in, told.proxy, sizeof(told.proxy)) || (!is_stream && told.tally.window_s == 0))
        return sc_fail(err, SC_MALFORMED, "something that no proxy tells");
    memcpy(told.stream.proxy, told.proxy, sizeof(told.stream.proxy));
    return r->told == NULL ? SC_OK : r->told(r->arg, &told);
}

static enum sc_status read_given(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_link_given given = {.what = (uint8_t)get_be(in, 1)};
    given.outcome = (uint8_t)get_be(in, 1);
    if (in->failed)
        return sc_fail(err, SC_MALFORMED, "the end of an answer that is none");
    return r->given == NULL ? SC_OK : r->given(r->arg, &given);
}

static enum sc_status read_state(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    struct sc_hearsay_head *s = &r->state_head;
    size_t length;
    if (r->state_announced)
        return sc_fail(err, SC_MALFORMED, "a template state within a template state");
    *s = (struct sc_hearsay_head){.clock_ms = get_be(in, 8)};
    s->age_ms = get_be(in, 8);
    s->size = (uint32_t)get_be(in, 4);
    s->hash = get_be(in, 8);
    const uint8_t *name = get_variable(in, &length);
    if (name == NULL || !is_name(name, length) || s->size == 0 || s->size > SC_LINK_MAX_STATE)
        return sc_fail(err, SC_MALFORMED, "a template state of %u bytes", s->size);
    memcpy(s->proxy, name, length);
    r->state_announced = true;
    r->state_got = 0;
    sc_buf_clear(&r->state_bytes);
    return SC_OK;
}

static enum sc_status read_state_part(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    size_t length;
    struct sc_buf *all = &r->state_bytes;
    const uint8_t *bytes = get_variable(in, &length);
    if (bytes == NULL || !r->state_announced || length > r->state_head.size - r->state_got)
        return sc_fail(err, SC_MALFORMED, "bytes of no template state");
    if (r->state != NULL)
        sc_buf_append(all, bytes, length);
    if (!sc_buf_ok(all))
        return sc_fail_nomem(err, "a template state");
    r->state_got += (uint32_t)length;
    if (r->state_got < r->state_head.size)
        return SC_OK;
    r->state_announced = false;
    if (r->state == NULL)
        return SC_OK;
    if (sc_link_hash(all->data, all->len) != r->state_head.hash)
        return sc_fail(err, SC_MALFORMED, "a template state was changed on its way");
    return r->state(r->arg, &r->state_head, all->data);
}

/* One record; those that nobody knows end their set. */
static enum sc_status read_record(struct sc_link_reader *r, uint16_t set, struct sc_cursor *in,
                                  struct sc_error *err)
{
    if (!r->greeted && set != HELLO)
        return sc_fail(err, SC_UNSUPPORTED, "the peer does not greet: it is no member of a cluster");
    switch (set) {
    case HELLO:
        return read_hello(r, in, err);
    case BATCH:
        return read_batch(r, in, err);
    case PART:
        return read_part(r, in, err);
    case ACK:
        return read_ack(r, in, err);
    case REFUSED:
        return read_refused(r, in, err);
    case BEAT:
        return read_beat(r, in, err);
    case TALLY:
        return read_tally(r, in, err);
    case STREAM_NEWS:
        return read_stream(r, in, err);
    case FACTS:
        return read_facts(r, in, err);
    case ASK:
        return read_ask(r, in, err);
    case DIGEST:
        return read_digest(r, in, err);
    case HOLDS:
        return read_holds(r, in, err);
    case GIVEN:
        return read_given(r, in, err);
    case TOLD_TALLY:
    case TOLD_STREAM:
        return read_told(r, set == TOLD_STREAM, in, err);
    case STATE:
        return read_state(r, in, err);
    case STATE_PART:
        return read_state_part(r, in, err);
    default:
        in->pos = in->len;
        return SC_OK;
    }
}

static enum sc_status read_set(struct sc_link_reader *r, struct sc_cursor *in, struct sc_error *err)
{
    uint16_t id = (uint16_t)get_be(in, 2);
    size_t length = (size_t)get_be(in, 2);
    if (in->failed || length < SET_HEAD || length - SET_HEAD > sc_cursor_left(in))
        return sc_fail(err, SC_MALFORMED, "a set that is longer than its message");
    struct sc_cursor set = {.data = in->data + in->pos, .len = length - SET_HEAD};
    in->pos += set.len;
    while (id >= HELLO && sc_cursor_left(&set) > 0) /* templates are known beforehand */
        SC_TRY(read_record(r, id, &set, err));
    return SC_OK;
}

enum sc_status sc_link_read(struct sc_link_reader *r, const uint8_t *message, size_t length,
                            struct sc_error *err)
{
    struct sc_cursor in = {.data = message, .len = length};
    if (length < HEADER_BYTES || sc_load_be16(message) != 10 || sc_load_be16(message + 2) != length)
        return sc_fail(err, SC_MALFORMED, "no IPFIX message");
    in.pos = HEADER_BYTES;
    while (sc_cursor_left(&in) > 0)
        SC_TRY(read_set(r, &in, err));
    return SC_OK;
}

void sc_link_reader_free(struct sc_link_reader *r)
{
    sc_buf_free(&r->bytes);
    sc_buf_free(&r->state_bytes);
}
