// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the decoder takes, the store seals, the link carries and the query reads back equal. Random records of all shapes and
 * sizes up to the bounds go as messages through the intake; each of its batches is stored by a single node's writer, and is
 * cut, encoded, sent, received and stored as in a cluster; both stores are sealed, opened as a query opens them, and compared
 * value by value. No value is remembered: all follow from the seed, the record's number and the field.
 *
 * SC_LONG: more rounds, and larger ones.
 */
#include "link_kit.h"
#include "store_kit.h"

#include "base/bounds.h"
#include "collect/intake.h"
#include "flow/gather.h"
#include "relay/lane_store.h"
#include "source/source.h"
#include "store/row_group_encode.h"

#include <time.h>

enum {
    MOST_SHAPES = 64,
    FIRST_TEMPLATE = 256,
    MESSAGE_ROOM = 65535,
    FLOW_ID = 148,
    STREAM = 31,
    WINDOW_S = 300,
    UNKNOWN_PEN = 64999,
    VARIABLE = 65535,
};

#define WINDOW_MS   UINT64_C(1699999800000) /* in the past: a batch of tomorrow is refused */
#define RECEIVED_MS (WINDOW_MS + 5)

/* ---- shapes of records ---- */

struct field {
    struct sc_column_key key;
    uint8_t type;    /* enum sc_ie_type */
    uint16_t length; /* VARIABLE: up to `most` */
};

/* Field 0 is the record's number. */
struct shape {
    struct field fields[SC_BOUND_FIELDS];
    uint32_t count;
    uint32_t most; /* bytes of a value of variable length */
};

struct round {
    uint64_t seed, random;
    struct shape shapes[MOST_SHAPES];
    uint32_t shape_count;
    uint32_t records;

    struct sc_queue *queue;
    struct sc_intake *intake;
    uint8_t message[MESSAGE_ROOM];
    uint32_t length, sequence;
    struct sc_store_writer *single;
    struct sc_gather part;
    struct sc_row_group_encoder encoder;
    struct sc_buf encoded;
    struct sc_link_writer writer;
    struct sc_link_reader reader;
    struct sc_cluster cluster;
    struct sc_member member;
    struct sc_lane_store *lanes;
    char *folder;
    char paths[2][256]; /* of the single node, of the cluster's */
    uint64_t batches, answered;
    uint8_t *seen;
};

static uint32_t below(struct round *r, uint32_t n)
{
    return (uint32_t)(kit_random(&r->random) >> 32) % n;
}

/* Elements whose values are stored as they come: no addresses of pairs, no times relative to sysUpTime. */
static bool is_plain(const struct sc_ie *ie)
{
    static const uint16_t others[] = {FLOW_ID, 8, 27, 12, 28, 15, 62, 18, 63, 225, 281, 226, 282, 21, 22};
    if (ie == NULL || ie->pen != SC_PEN_IANA)
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (ie->id == others[i])
            return false;
    }
    return true;
}

static uint16_t length_for(struct round *r, enum sc_ie_type type)
{
    switch (type) {
    case SC_TYPE_MAC_ADDRESS:
        return 6;
    case SC_TYPE_DATE_TIME_SECONDS:
    case SC_TYPE_IPV4_ADDRESS:
        return 4;
    case SC_TYPE_FLOAT32:
    case SC_TYPE_FLOAT64:
        return below(r, 2) == 0 ? 4 : 8;
    case SC_TYPE_DATE_TIME_MILLISECONDS:
    case SC_TYPE_DATE_TIME_MICROSECONDS:
    case SC_TYPE_DATE_TIME_NANOSECONDS:
        return 8;
    case SC_TYPE_IPV6_ADDRESS:
        return 16;
    default:
        return (uint16_t)(1 + below(r, 8));
    }
}

static void add_field(struct shape *s, uint32_t pen, uint16_t id, enum sc_ie_type type, uint16_t length)
{
    uint8_t instance = 0;
    for (uint32_t i = 0; i < s->count; i++)
        instance += s->fields[i].key.pen == pen && s->fields[i].key.id == id;
    bool fits = length == VARIABLE || sc_column_length_fits(type, length);
    s->fields[s->count++] = (struct field){
        .key = {pen, id, instance, (uint8_t)(fits ? sc_column_kind_of(type) : SC_COLUMN_BYTES)},
        .type = (uint8_t)(fits ? type : SC_TYPE_OCTET_ARRAY),
        .length = length};
}

/* A registered element, sometimes of a length that its type does not have; or one that nobody knows. */
static void add_random_field(struct round *r, struct shape *s)
{
    if (below(r, 16) == 0) {
        uint16_t id = (uint16_t)(1 + below(r, 40)), length = (uint16_t)(1 + below(r, 30));
        add_field(s, UNKNOWN_PEN, id, SC_TYPE_OCTET_ARRAY, below(r, 2) == 0 ? VARIABLE : length);
        return;
    }
    const struct sc_ie *ie;
    do
        ie = sc_ie_find(SC_PEN_IANA, (uint16_t)(1 + below(r, 500)));
    while (!is_plain(ie));
    enum sc_ie_type type = (enum sc_ie_type)ie->type;
    bool bytes = sc_column_kind_of(type) == SC_COLUMN_BYTES;
    uint16_t length = below(r, 64) == 0 ? 9 + (uint16_t)below(r, 5) : length_for(r, type);
    add_field(s, SC_PEN_IANA, ie->id, type, bytes && below(r, 4) != 0 ? VARIABLE : length);
}

static struct shape *add_shape(struct round *r, uint32_t fields, uint32_t most)
{
    struct shape *s = &r->shapes[r->shape_count++];
    *s = (struct shape){.most = most};
    add_field(s, SC_PEN_IANA, FLOW_ID, SC_TYPE_UNSIGNED64, 8);
    while (s->count < fields)
        add_random_field(r, s);
    return s;
}

static uint32_t shape_of(const struct round *r, uint64_t number)
{
    return (uint32_t)(kit_mix(number / (1 + kit_mix(r->seed, number >> 6) % 16), r->seed) % r->shape_count);
}

/* ---- values: functions of the seed, the record and the field ---- */

/* Few distinct values in some fields, many in others; in some every second one is null (of length 0). */
static uint64_t choose(const struct round *r, uint64_t number, uint32_t field)
{
    uint64_t kind = kit_mix(r->seed, field) % 4;
    return kind == 0   ? kit_mix(field, 5)
           : kind == 1 ? kit_mix(number % 7, field)
                       : kit_mix(number, field ^ r->seed);
}

static void fill_float(uint64_t h, uint16_t length, uint8_t *out)
{
    float f = (float)(int16_t)h / 8;
    double d = (double)(int32_t)h / 64;
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, &f, sizeof(narrow));
    memcpy(&wide, &d, sizeof(wide));
    if (length == 4)
        sc_store_be32(out, narrow);
    else
        sc_store_be64(out, wide);
}

/* The bytes of a value on the wire, and how many. */
static uint32_t value_of(const struct round *r, uint64_t number, uint32_t field, uint8_t *out)
{
    const struct shape *s = &r->shapes[shape_of(r, number)];
    const struct field *f = &s->fields[field];
    uint64_t h = choose(r, number, field), state = h;
    if (field == 0) {
        sc_store_be64(out, number);
        return 8;
    }
    if (f->key.kind == SC_COLUMN_FLOAT) {
        fill_float(h, f->length, out);
        return f->length;
    }
    uint32_t length = f->length;
    if (length == VARIABLE)
        length = h % 8 == 0 ? (uint32_t)(h >> 8) % (s->most + 1) : h % 3 == 0 ? 0 : (uint32_t)(h >> 8) % 20;
    if (length > s->most && f->length == VARIABLE)
        length = s->most;
    if (s->most > 1000 && field == 1) { /* a fat one, and like no other */
        state = kit_mix(number, r->seed);
        length = s->most - (uint32_t)(state % 300);
    }
    for (uint32_t at = 0; at < length; at += 8) {
        uint64_t word = h % 5 == 0 && at >= 16 ? UINT64_C(0x7878787878787878) : kit_random(&state);
        memcpy(out + at, &word, length - at < 8 ? length - at : 8);
    }
    return length;
}

static void check_value(const struct round *r, uint64_t number, uint32_t field, const struct sc_column *c,
                        uint32_t row)
{
    static uint8_t bytes[MESSAGE_ROOM + 8];
    const struct field *f = &r->shapes[shape_of(r, number)].fields[field];
    uint32_t length = value_of(r, number, field, bytes), got;
    if (c == NULL || sc_column_is_null(c, row))
        fail_msg("record %llu has lost element %u:%u", (unsigned long long)number, f->key.pen, f->key.id);
    uint64_t want = length >= 1 && length <= 8 ? sc_load_be(bytes, length) : 0;
    unsigned shift = length >= 1 && length <= 8 ? 64 - 8 * length : 0;
    switch (f->key.kind) {
    case SC_COLUMN_BYTES: {
        const uint8_t *value = sc_column_bytes(c, row, &got);
        assert_int_equal(got, length);
        assert_memory_equal(value, bytes, length);
        return;
    }
    case SC_COLUMN_ADDRESS: {
        struct sc_addr address = sc_addr_v4(0);
        memcpy(address.b + 16 - length, bytes, length);
        assert_true(sc_addr_equal(sc_column_addr(c, row), &address));
        return;
    }
    case SC_COLUMN_INT:
        want = (uint64_t)((int64_t)(want << shift) >> shift);
        break;
    case SC_COLUMN_FLOAT: {
        double d = sc_load_be_float(bytes, length);
        memcpy(&want, &d, sizeof(want));
        break;
    }
    default:
        break;
    }
    if (sc_column_u64(c, row) != want)
        fail_msg("record %llu element %u: %llx, want %llx", (unsigned long long)number, f->key.id,
                 (unsigned long long)sc_column_u64(c, row), (unsigned long long)want);
}

/* ---- messages ---- */

static void begin_message(struct round *r)
{
    sc_store_be16(r->message, 10);
    sc_store_be32(r->message + 4, (uint32_t)(WINDOW_MS / 1000));
    sc_store_be32(r->message + 8, r->sequence);
    sc_store_be32(r->message + 12, 1);
    r->length = 16;
}

static void take_parcels(struct round *r);

static void send_message(struct round *r)
{
    const struct sc_message_source source = {.exporter = sc_addr_v4(0x0a000001),
                                             .port = 4739,
                                             .transport = SC_TRANSPORT_TCP,
                                             .connection = 1,
                                             .receive_ms = RECEIVED_MS};
    struct sc_error err = {0};
    sc_store_be16(r->message + 2, (uint16_t)r->length);
    if (sc_intake_message(r->intake, &source, r->message, r->length, &err) != SC_OK)
        fail_msg("%s", err.message);
    take_parcels(r);
}

static void send_template(struct round *r, uint32_t shape)
{
    const struct shape *s = &r->shapes[shape];
    begin_message(r);
    uint8_t *p = r->message + r->length + 4;
    sc_store_be16(p, (uint16_t)(FIRST_TEMPLATE + shape));
    sc_store_be16(p + 2, (uint16_t)s->count);
    p += 4;
    for (uint32_t i = 0; i < s->count; i++) {
        bool enterprise = s->fields[i].key.pen != SC_PEN_IANA;
        sc_store_be16(p, (uint16_t)(s->fields[i].key.id | (enterprise ? 0x8000u : 0)));
        sc_store_be16(p + 2, s->fields[i].length);
        p += 4;
        if (enterprise) {
            sc_store_be32(p, s->fields[i].key.pen);
            p += 4;
        }
    }
    uint32_t set = (uint32_t)(p - r->message) - r->length;
    sc_store_be16(r->message + r->length, 2);
    sc_store_be16(r->message + r->length + 2, (uint16_t)set);
    r->length += set;
    send_message(r);
}

/* The record as a set of its own, at `out`; its length. */
static uint32_t make_set(const struct round *r, uint64_t number, uint8_t *out)
{
    static uint8_t value[MESSAGE_ROOM + 8];
    uint32_t shape = shape_of(r, number);
    const struct shape *s = &r->shapes[shape];
    uint8_t *p = out + 4;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t length = value_of(r, number, i, value);
        if (s->fields[i].length == VARIABLE) {
            bool wide = length >= 255 || number % 2 == 0;
            *p++ = wide ? 255 : (uint8_t)length;
            if (wide) {
                sc_store_be16(p, (uint16_t)length);
                p += 2;
            }
        }
        memcpy(p, value, length);
        p += length;
    }
    sc_store_be16(out, (uint16_t)(FIRST_TEMPLATE + shape));
    sc_store_be16(out + 2, (uint16_t)(p - out));
    return (uint32_t)(p - out);
}

static void send_records(struct round *r)
{
    uint8_t *set = malloc(2 * MESSAGE_ROOM);
    assert_non_null(set);
    begin_message(r);
    for (uint64_t number = 0; number < r->records; number++) {
        uint32_t length = make_set(r, number, set);
        assert_true(16 + length <= MESSAGE_ROOM);
        if (r->length + length > MESSAGE_ROOM || (r->length > 16 && number % 97 == 0)) {
            send_message(r);
            begin_message(r);
        }
        memcpy(r->message + r->length, set, length);
        r->length += length;
        r->sequence++;
    }
    send_message(r);
    sc_intake_flush(r->intake);
    take_parcels(r);
    free(set);
}

/* ---- the way through a cluster ---- */

static void pass_time(struct round *r)
{
    static const struct timespec moment = {.tv_nsec = 2000000};
    struct sc_lane_answer answers[16];
    uint32_t n = sc_lane_store_answers(r->lanes, answers, 16);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(answers[i].outcome == SC_LANE_DURABLE);
        r->answered += answers[i].last - answers[i].id.sequence + 1;
    }
    if (n == 0)
        nanosleep(&moment, NULL);
}

static enum sc_status on_batch(void *arg, const struct sc_batch_head *head, struct sc_buf *bytes)
{
    struct round *r = arg;
    struct sc_lane_batch *b = malloc(sizeof(*b));
    assert_non_null(b);
    *b = (struct sc_lane_batch){.head = *head, .bytes = sc_buf_take(bytes)};
    sc_lane_store_push(r->lanes, b);
    while (sc_lane_store_tight(r->lanes))
        pass_time(r);
    return SC_OK;
}

static enum sc_status on_hello(void *arg, const struct sc_link_hello *hello)
{
    (void)arg;
    (void)hello;
    return SC_OK;
}

static void on_answered(void *arg)
{
    (void)arg;
}

static void carry(struct round *r)
{
    struct sc_error err = {0};
    assert_true(sc_buf_ok(&r->writer.out));
    for (size_t at = 0; at < r->writer.out.len;) {
        size_t length = sc_load_be16(r->writer.out.data + at + 2);
        if (sc_link_read(&r->reader, r->writer.out.data + at, length, &err) != SC_OK)
            fail_msg("the link: %s", err.message);
        at += length;
    }
    sc_buf_clear(&r->writer.out);
}

static void send_part(struct round *r, const struct sc_batch *batch, uint32_t first, uint32_t n)
{
    const struct sc_span span = {
        .stream = STREAM, .lane = r->member.lane, .sequence = r->batches++, .first_row = first, .rows = n};
    struct sc_row_stats stats;
    struct sc_error err = {0};
    assert_int_equal(sc_gather_reset(&r->part), SC_OK);
    assert_int_equal(sc_gather_add(&r->part, (const struct sc_column *const *)batch->columns, batch->slots,
                                   &span, &sc_batch_bounds),
                     SC_OK);
    assert_int_equal(sc_batch_finish(r->part.batch), SC_OK);
    sc_buf_clear(&r->encoded);
    if (sc_row_group_encode(&r->encoder, r->part.batch, &r->encoded, &stats, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_row_stats_free(&stats);
    assert_true(r->encoded.len <= SC_BOUND_ENCODED(SC_BOUND_BATCH_BYTES));
    const struct sc_batch_head head = {.id = {.stream = STREAM, .sequence = span.sequence, .lane = span.lane},
                                       .window_ms = batch->window_ms,
                                       .window_s = WINDOW_S,
                                       .records = n,
                                       .size = (uint32_t)r->encoded.len,
                                       .record_kind = batch->record_kind,
                                       .hash = sc_link_hash(r->encoded.data, r->encoded.len)};
    put_batch(&r->writer, &head, r->encoded.data);
    carry(r);
}

static void take_parcels(struct round *r)
{
    struct sc_parcel *parcel;
    while ((parcel = sc_queue_pop(r->queue, 0)) != NULL) {
        struct sc_batch *batch = parcel->batch;
        const struct sc_column *const *columns = (const struct sc_column *const *)batch->columns;
        struct sc_error err = {0};
        for (uint32_t first = 0, n; first < batch->rows; first += n) {
            n = sc_bounds_cut(&sc_batch_bounds, columns, batch->slots, first, batch->rows - first);
            send_part(r, batch, first, n);
        }
        if (sc_store_writer_append(r->single, batch, &err) != SC_OK)
            fail_msg("%s", err.message);
        sc_queue_done(r->queue, parcel);
    }
}

/* ---- stores ---- */

static void set_up(struct round *r)
{
    struct sc_error err = {0};
    const struct sc_store_options how = {.window_s = WINDOW_S};
    r->folder = kit_folder();
    snprintf(r->paths[0], sizeof(r->paths[0]), "%s/single", r->folder);
    snprintf(r->paths[1], sizeof(r->paths[1]), "%s/node", r->folder);
    r->queue = sc_queue_create(UINT64_C(1) << 34);
    const struct sc_intake_options intake = {
        .limits = sc_decoder_default_limits(), .window_s = WINDOW_S, .queue = r->queue, .age_ms = 3600000};
    r->intake = sc_intake_create(&intake, &err);
    r->single = sc_store_writer_open(r->paths[0], &how, &err);
    r->member = (struct sc_member){.name = "alpha", .lane = 7, .weight = 1, .subcollector = true};
    r->cluster =
        (struct sc_cluster){.version = 1, .format = 1, .replication = 1, .members = &r->member, .count = 1};
    const struct sc_lane_store_options lanes = {
        .store = r->paths[1], .cluster = &r->cluster, .window_s = WINDOW_S, .answered = on_answered};
    assert_true(r->intake != NULL && r->single != NULL);
    assert_int_equal(sc_lane_store_start(&lanes, &r->lanes, &err), SC_OK);
    assert_int_equal(sc_gather_init(&r->part, SC_RECORDS_FLOWS), SC_OK);
    assert_int_equal(sc_row_group_encoder_init(&r->encoder, SC_EFFORT_LIVE, &err), SC_OK);
    r->reader = (struct sc_link_reader){.hello = on_hello, .batch = on_batch, .arg = r};
    sc_link_put_hello(&r->writer, &(struct sc_link_hello){.version = SC_LINK_VERSION, .name = "proxy"});
    carry(r);
}

static void seal_both(struct round *r)
{
    struct sc_error err = {0};
    const struct sc_store_options how = {.window_s = WINDOW_S, .lane = r->member.lane};
    while (r->answered < r->batches)
        pass_time(r);
    sc_lane_store_stop(r->lanes, NULL);
    struct sc_store_writer *node = sc_store_writer_open(r->paths[1], &how, &err);
    assert_non_null(node);
    if (sc_store_writer_seal(node, UINT64_MAX, &err) != SC_OK ||
        sc_store_writer_seal(r->single, UINT64_MAX, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_store_writer_close(node, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(r->single, &err), SC_OK);
}

static void tear_down(struct round *r)
{
    sc_queue_free(r->queue);
    sc_intake_free(r->intake);
    sc_gather_free(&r->part);
    sc_row_group_encoder_free(&r->encoder);
    sc_buf_free(&r->encoded);
    sc_buf_free(&r->writer.out);
    sc_link_reader_free(&r->reader);
    kit_remove(r->folder);
    free(r->seen);
}

/* ---- reading back ---- */

struct view {
    struct sc_row_group *group;
    const struct sc_column **columns; /* by entry; NULL: not an exporter's */
    const struct sc_column **fields;  /* by shape and field, once `known` */
    bool known[MOST_SHAPES];
};

static void open_view(struct view *v, struct sc_read_context *context, const struct sc_segment *segment,
                      uint32_t index)
{
    struct sc_error err = {0};
    if (sc_row_group_open(context, segment, index, &v->group, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_true(v->group->entry_count <= SC_BOUND_COLUMNS + 2);
    v->columns = calloc(v->group->entry_count + 1, sizeof(*v->columns));
    v->fields = calloc((size_t)MOST_SHAPES * SC_BOUND_FIELDS, sizeof(*v->fields));
    assert_true(v->columns != NULL && v->fields != NULL);
    memset(v->known, 0, sizeof(v->known));
    for (uint32_t i = 0; i < v->group->entry_count; i++) {
        const struct sc_column *c;
        if (sc_row_group_column_at(v->group, i, &c, &err) != SC_OK)
            fail_msg("%s", err.message);
        v->columns[i] = c != NULL && c->key.pen != SC_PEN_COLLECTOR ? c : NULL;
    }
    struct sc_weight weight = sc_batch_weight((const struct sc_column *const *)v->group->columns,
                                              v->group->entry_count, 0, v->group->rows);
    assert_true(sc_bounds_hold(&sc_group_bounds, &weight));
}

static const struct sc_column **fields_of(const struct round *r, struct view *v, uint32_t shape)
{
    const struct sc_column **fields = v->fields + (size_t)shape * SC_BOUND_FIELDS;
    for (uint32_t i = 0; i < r->shapes[shape].count && !v->known[shape]; i++)
        assert_int_equal(sc_row_group_column(v->group, r->shapes[shape].fields[i].key, &fields[i], NULL),
                         SC_OK);
    v->known[shape] = true;
    return fields;
}

/* The row has the values of its record, and no others. */
static void check_row(struct round *r, struct view *v, uint32_t row)
{
    const struct sc_column_key id = {SC_PEN_IANA, FLOW_ID, 0, SC_COLUMN_UINT};
    const struct sc_column *numbers;
    assert_int_equal(sc_row_group_column(v->group, id, &numbers, NULL), SC_OK);
    assert_true(numbers != NULL && !sc_column_is_null(numbers, row));
    uint64_t number = sc_column_u64(numbers, row);
    assert_true(number < r->records && r->seen[number]++ == 0);
    uint32_t shape = shape_of(r, number), values = 0;
    const struct sc_column **fields = fields_of(r, v, shape);
    for (uint32_t i = 0; i < r->shapes[shape].count; i++)
        check_value(r, number, i, fields[i], row);
    for (uint32_t i = 0; i < v->group->entry_count; i++)
        values += v->columns[i] != NULL && !sc_column_is_null(v->columns[i], row);
    assert_int_equal(values, r->shapes[shape].count);
}

static void check_unit(struct round *r, struct sc_read_context *context, const struct sc_source *source,
                       uint32_t index)
{
    const struct sc_source_unit *unit = &source->units[index];
    const struct sc_segment *segment = source->segments[unit->segment];
    struct view v;
    assert_true(segment->sealed);
    sc_read_context_reset(context);
    open_view(&v, context, segment, unit->group);
    const struct sc_row_range all = {0, v.group->rows};
    const struct sc_row_range *ranges = unit->ranges == NULL ? &all : unit->ranges;
    for (uint32_t i = 0; i < (unit->ranges == NULL ? 1 : unit->range_count); i++) {
        for (uint32_t row = ranges[i].first; row < ranges[i].first + ranges[i].rows; row++)
            check_row(r, &v, row);
    }
    free(v.columns);
    free(v.fields);
}

static void check_store(struct round *r, const char *path)
{
    const struct sc_source_bounds all = {0};
    struct sc_source source;
    struct sc_read_context context;
    struct sc_error err = {0};
    if (sc_source_open(&path, 1, &all, &source, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(source.missing_count + source.damage_count, 0);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    r->seen = realloc(r->seen, r->records);
    assert_non_null(r->seen);
    memset(r->seen, 0, r->records);
    for (uint32_t i = 0; i < source.unit_count; i++)
        check_unit(r, &context, &source, i);
    for (uint32_t i = 0; i < r->records; i++)
        assert_int_equal(r->seen[i], 1);
    sc_read_context_free(&context);
    sc_source_close(&source);
}

static void run(struct round *r)
{
    set_up(r);
    for (uint32_t i = 0; i < r->shape_count; i++)
        send_template(r, i);
    send_records(r);
    assert_int_equal(sc_intake_stats_of(r->intake)->flows, r->records);
    seal_both(r);
    check_store(r, r->paths[0]);
    check_store(r, r->paths[1]);
    tear_down(r);
}

/* ---- rounds ---- */

static bool is_long(void)
{
    return getenv("SC_LONG") != NULL;
}

static struct round *new_round(uint64_t seed, uint32_t records)
{
    struct round *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->seed = seed;
    r->random = seed;
    r->records = records;
    return r;
}

static void many_small_records(void **state)
{
    (void)state;
    struct round *r = new_round(1, is_long() ? 200000 : 70000);
    add_shape(r, 1, 0);
    add_shape(r, 2, 5);
    add_shape(r, 4, 20);
    run(r);
    free(r);
}

/* As large as a message lets a record be. */
static void fat_records(void **state)
{
    (void)state;
    struct round *r = new_round(2, is_long() ? 1300 : 300);
    struct shape *s = add_shape(r, 1, 65000);
    add_field(s, SC_PEN_IANA, 82, SC_TYPE_STRING, VARIABLE);
    s = add_shape(r, 1, 64000);
    add_field(s, UNKNOWN_PEN, 3, SC_TYPE_OCTET_ARRAY, VARIABLE);
    add_field(s, SC_PEN_IANA, 4, SC_TYPE_UNSIGNED8, 1);
    run(r);
    free(r);
}

/* As many fields as a template may have, and more columns than a batch or a row group has. */
static void wide_records(void **state)
{
    (void)state;
    struct round *r = new_round(3, is_long() ? 1000 : 120);
    for (uint32_t i = 0; i < 8; i++)
        add_shape(r, SC_BOUND_FIELDS, 12);
    run(r);
    free(r);
}

static void records_of_all_shapes(void **state)
{
    (void)state;
    uint64_t rounds = is_long() ? 8 : 3;
    for (uint64_t seed = 10; seed < 10 + rounds; seed++) {
        struct round *r = new_round(seed, 0);
        uint32_t shapes = 1 + below(r, is_long() ? MOST_SHAPES : 12);
        for (uint32_t i = 0; i < shapes; i++) {
            uint32_t fields = 1 + below(r, below(r, 4) == 0 ? 700 : 40);
            add_shape(r, fields, fields < 50 && below(r, 4) == 0 ? 900 : 30);
        }
        r->records = 1 + below(r, is_long() ? 6000 : 2500);
        run(r);
        free(r);
    }
}

UNIT(test_bounds_property)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_small_records),
        cmocka_unit_test(fat_records),
        cmocka_unit_test(wide_records),
        cmocka_unit_test(records_of_all_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
