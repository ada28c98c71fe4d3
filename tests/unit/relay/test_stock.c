// SPDX-License-Identifier: BSD-3-Clause
/* Which batches a node holds: intervals of ids against a set of them, and what is told of files that come, grow, are sealed and go. */
#include "store_kit.h"

#include "relay/stock.h"
#include "store/room.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 20, LANE = 0x1a, OTHER_LANE = 0x2b, LENGTH = 300 };

/* ---- a set of ids: of three streams the sequences near 0, those near the greatest, and all that are between, as one ---- */

enum { STREAMS = 3, EDGE = 24, PLACES = 2 * EDGE + 1, INTERVALS = 40, ROUNDS = 3000 };

static const uint64_t streams[STREAMS] = {0, 7, UINT64_MAX};

struct model {
    bool has[STREAMS][PLACES];
};

static uint64_t first_of(uint32_t place)
{
    return place <= EDGE ? place : UINT64_MAX - (PLACES - 1 - place);
}

static uint64_t last_of(uint32_t place)
{
    return place == EDGE ? UINT64_MAX - EDGE : first_of(place);
}

static struct sc_link_holds any_interval(uint64_t *random, struct model *model)
{
    uint32_t s = (uint32_t)(kit_random(random) % STREAMS), from = (uint32_t)(kit_random(random) % PLACES);
    uint32_t count = 1 + (uint32_t)(kit_random(random) % (kit_random(random) % 4 == 0 ? PLACES : 4));
    uint32_t end = from + count < PLACES ? from + count : PLACES;
    for (uint32_t place = from; place < end; place++)
        model->has[s][place] = true;
    return (struct sc_link_holds){LANE, KIT_WINDOW, LENGTH, streams[s], first_of(from), last_of(end - 1)};
}

/* malloc'ed, with room for one at least. */
static struct sc_link_holds *any_list(uint64_t *random, struct model *model, uint32_t *count)
{
    *count = (uint32_t)(kit_random(random) % INTERVALS);
    *model = (struct model){0};
    struct sc_link_holds *list = calloc(*count + 1, sizeof(*list));
    assert_non_null(list);
    for (uint32_t i = 0; i < *count; i++)
        list[i] = any_interval(random, model);
    return list;
}

/* In order, and none touches the next. */
static void assert_settled(const struct sc_link_holds *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(list[i].first <= list[i].last);
        assert_int_equal(list[i].lane, LANE);
        assert_int_equal(list[i].window_s, LENGTH);
        if (i == 0 || list[i - 1].stream < list[i].stream)
            continue;
        assert_true(list[i - 1].stream == list[i].stream);
        assert_true(list[i - 1].last < list[i].first && list[i].first - list[i - 1].last > 1);
    }
}

static bool list_has(const struct sc_link_holds *list, uint32_t count, uint64_t stream, uint64_t sequence)
{
    bool has = false;
    for (uint32_t i = 0; i < count; i++)
        has = has || (list[i].stream == stream && list[i].first <= sequence && sequence <= list[i].last);
    return has;
}

static void assert_is(const struct sc_link_holds *list, uint32_t count, const struct model *model)
{
    uint64_t batches = 0;
    assert_settled(list, count);
    for (uint32_t s = 0; s < STREAMS; s++) {
        for (uint32_t place = 0; place < PLACES; place++) {
            bool has = model->has[s][place];
            assert_int_equal(list_has(list, count, streams[s], first_of(place)), has);
            assert_int_equal(list_has(list, count, streams[s], last_of(place)), has);
            batches += has ? last_of(place) - first_of(place) + 1 : 0;
        }
    }
    assert_true(sc_holds_batches(list, count) == batches);
}

static void intervals_settle_to_the_same_ids(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct model model;
        uint32_t count;
        struct sc_link_holds *list = any_list(&random, &model, &count);
        assert_is(list, sc_holds_settle(list, count), &model);
        free(list);
    }
}

static void what_is_without_others_is_the_rest(void **state)
{
    (void)state;
    uint64_t random = 12;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct model model, others_model;
        uint32_t count, other_count;
        struct sc_link_holds *list = any_list(&random, &model, &count);
        struct sc_link_holds *others = any_list(&random, &others_model, &other_count);
        count = sc_holds_settle(list, count);
        other_count = sc_holds_settle(others, other_count);
        assert_int_equal(sc_holds_without(&list, &count, others, other_count), SC_OK);
        for (uint32_t s = 0; s < STREAMS; s++) {
            for (uint32_t place = 0; place < PLACES; place++)
                model.has[s][place] = model.has[s][place] && !others_model.has[s][place];
        }
        assert_is(list, count, &model);
        assert_is(others, other_count, &others_model);
        free(list);
        free(others);
    }
}

/* ---- stores ---- */

static struct sc_store_writer *open_writer(const char *path, uint32_t lane, uint32_t window_s)
{
    struct sc_error err = {0};
    const struct sc_store_options options = {.lane = lane, .window_s = window_s};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, &err);
    if (w == NULL)
        fail_msg("%s", err.message);
    return w;
}

/* One row group with so many batches. */
static void append(struct sc_store_writer *w, uint32_t lane, uint64_t window_ms, uint64_t stream,
                   uint64_t first, uint32_t count)
{
    struct sc_batch *batch = kit_batch(first * ROWS, count * ROWS, window_ms);
    struct sc_error err = {0};
    free(batch->spans);
    batch->spans = calloc(count, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = count;
    for (uint32_t i = 0; i < count; i++)
        batch->spans[i] = (struct sc_span){
            .stream = stream, .sequence = first + i, .lane = lane, .first_row = i * ROWS, .rows = ROWS};
    if (sc_store_writer_append(w, batch, &err) != SC_OK || sc_store_writer_sync(w, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_batch_free(batch);
}

static void close_writer(struct sc_store_writer *w, bool seal)
{
    if (seal)
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
}

/* A file with these batches, in row groups of one or of all. */
static void fill(const char *path, uint64_t window_ms, uint32_t window_s, uint64_t first, uint32_t count,
                 bool together, bool sealed)
{
    struct sc_store_writer *w = open_writer(path, LANE, window_s);
    for (uint32_t i = 0; i < (together ? 1 : count); i++)
        append(w, LANE, window_ms, 5, first + i, together ? count : 1);
    close_writer(w, sealed);
}

static void refresh(struct sc_stock *stock)
{
    struct sc_error err = {0};
    if (sc_stock_refresh(stock, &err) != SC_OK)
        fail_msg("%s", err.message);
}

static struct sc_stock look_at(const char *path)
{
    struct sc_stock stock = {.store = path};
    refresh(&stock);
    return stock;
}

/* The path of the only segment, malloc'ed. */
static char *only_file(const char *path)
{
    struct sc_catalogue c = {.replicas = true};
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    assert_int_equal(c.count, 1);
    char *file = strdup(c.files[0].path);
    assert_non_null(file);
    sc_catalogue_free(&c);
    return file;
}

static void flip(const char *file, uint64_t at)
{
    size_t length;
    uint8_t *bytes = kit_read_file(file, &length);
    assert_true(at < length);
    bytes[at] ^= 0x55;
    kit_write_file(file, bytes, length);
    free(bytes);
}

/* ---- digests ---- */

static void assert_same_digests(const struct sc_stock *x, const struct sc_stock *y)
{
    struct sc_link_digest *a, *b;
    uint32_t a_count, b_count;
    assert_int_equal(sc_stock_digests(x, 0, UINT64_MAX, &a, &a_count), SC_OK);
    assert_int_equal(sc_stock_digests(y, 0, UINT64_MAX, &b, &b_count), SC_OK);
    assert_int_equal(a_count, b_count);
    for (uint32_t i = 0; i < a_count; i++) {
        assert_true(a[i].lane == b[i].lane && a[i].window_ms == b[i].window_ms);
        assert_true(a[i].window_s == b[i].window_s && a[i].batches == b[i].batches);
        assert_true(a[i].hash == b[i].hash);
    }
    assert_true(sc_digests_hash(a, a_count) == sc_digests_hash(b, b_count));
    free(a);
    free(b);
}

/* Batch by batch or together, live or sealed, in one file or several, and some of them twice. */
static void the_same_ids_have_the_same_digest(void **state)
{
    (void)state;
    char *one = kit_folder();
    fill(one, KIT_WINDOW, LENGTH, 10, 12, false, false);
    struct sc_stock reference = look_at(one);
    assert_int_equal(reference.digest_count, 1);
    assert_int_equal(reference.digests[0].batches, 12);
    for (uint32_t kind = 0; kind < 8; kind++) {
        char *other = kit_folder();
        bool together = (kind & 1) != 0, sealed = (kind & 2) != 0, several = (kind & 4) != 0;
        fill(other, KIT_WINDOW, LENGTH, several ? 15 : 10, several ? 7 : 12, together, sealed);
        if (several)
            fill(other, KIT_WINDOW, LENGTH, 10, 9, !together, false); /* a seal would join the two */
        struct sc_stock stock = look_at(other);
        assert_int_equal(stock.unreadable, 0);
        assert_int_equal(stock.count, several ? 2 : 1);
        assert_same_digests(&reference, &stock);
        sc_stock_free(&stock);
        kit_remove(other);
    }
    sc_stock_free(&reference);
    kit_remove(one);
}

/* Other ids, another stream: the number of batches alone does not tell. */
static void other_ids_have_another_digest(void **state)
{
    (void)state;
    uint64_t hashes[4];
    for (uint32_t i = 0; i < 4; i++) {
        char *path = kit_folder();
        struct sc_store_writer *w = open_writer(path, LANE, LENGTH);
        append(w, LANE, KIT_WINDOW, i == 1 ? 6 : 5, i == 2 ? 1 : 0, 3);
        append(w, LANE, KIT_WINDOW, i == 3 ? 4 : 9, 0, 1);
        close_writer(w, false);
        struct sc_stock stock = look_at(path);
        assert_int_equal(stock.digest_count, 1);
        assert_int_equal(stock.digests[0].batches, 4);
        hashes[i] = stock.digests[0].hash;
        for (uint32_t k = 0; k < i; k++)
            assert_true(hashes[k] != hashes[i]);
        sc_stock_free(&stock);
        kit_remove(path);
    }
}

/* Lanes, windows and lengths of windows are told apart, own and replica alike, in order; of a range those that lie in it. */
static void lanes_and_windows_are_apart(void **state)
{
    (void)state;
    char *path = kit_folder(), replica[512];
    struct sc_link_digest *list;
    uint32_t count;
    fill(path, KIT_WINDOW, LENGTH, 0, 3, true, true);
    fill(path, KIT_WINDOW, 60, 10, 4, true, false);
    fill(path, KIT_WINDOW + 300000, LENGTH, 20, 5, true, true);
    snprintf(replica, sizeof(replica), "%s/" SC_REPLICA_FOLDER, path);
    assert_int_equal(mkdir(replica, 0755), 0);
    snprintf(replica, sizeof(replica), "%s/" SC_REPLICA_FOLDER "/beta", path);
    struct sc_store_writer *w = open_writer(replica, OTHER_LANE, LENGTH);
    append(w, OTHER_LANE, KIT_WINDOW, 5, 0, 6);
    close_writer(w, true);
    struct sc_stock stock = look_at(path);
    static const uint32_t lengths[] = {60, LENGTH, LENGTH, LENGTH}, batches[] = {4, 3, 5, 6};
    assert_int_equal(sc_stock_digests(&stock, 0, UINT64_MAX, &list, &count), SC_OK);
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(list[i].lane, i < 3 ? LANE : OTHER_LANE);
        assert_true(list[i].window_ms == KIT_WINDOW + (i == 2 ? 300000 : 0));
        assert_int_equal(list[i].window_s, lengths[i]);
        assert_int_equal(list[i].batches, batches[i]);
    }
    free(list);
    assert_int_equal(sc_stock_digests(&stock, KIT_WINDOW + 1, UINT64_MAX, &list, &count), SC_OK);
    assert_int_equal(count, 1);
    free(list);
    assert_int_equal(sc_stock_digests(&stock, 0, KIT_WINDOW + 299999, &list, &count), SC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].window_s, 60);
    free(list);
    sc_stock_free(&stock);
    kit_remove(path);
}

/* The earliest time: a millisecond before it windows have as much, or more. */
static void what_a_bound_keeps_begins_with_a_window(void **state)
{
    (void)state;
    char *path = kit_folder();
    uint64_t random = 14;
    for (uint32_t i = 0; i < 5; i++)
        fill(path, KIT_WINDOW + i * UINT64_C(300000), LENGTH, 10 * i, 1 + i, true, i % 2 == 0);
    struct sc_stock stock = look_at(path);
    const uint64_t all = sc_stock_bytes(&stock, UINT64_MAX);
    assert_int_equal(sc_stock_kept_from(&stock, all + 1), 0);
    assert_true(sc_stock_kept_from(&stock, all) == KIT_WINDOW + 1);
    assert_true(sc_stock_kept_from(&stock, 1) == KIT_WINDOW + 4 * UINT64_C(300000) + 1);
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t most = 1 + kit_random(&random) % all, from = sc_stock_kept_from(&stock, most);
        assert_true(all - sc_stock_bytes(&stock, from) < most);
        assert_true(all - sc_stock_bytes(&stock, from - 1) >= most);
        uint64_t listed, retention = 1 + kit_random(&random) % (2 * all);
        assert_int_equal(sc_room_in_store(path, retention, &listed, NULL), SC_OK);
        assert_true(listed == sc_stock_kept_from(&stock, sc_room_bytes(retention)));
    }
    assert_true(sc_room_bytes(0) == 0 && sc_room_bytes(1) == 1 && sc_room_bytes(1000) == 950);
    sc_stock_free(&stock);
    kit_remove(path);
}

static uint64_t held_batches(const struct sc_stock *stock)
{
    struct sc_link_holds *list;
    const struct sc_window window = {KIT_WINDOW, LENGTH};
    uint32_t count;
    assert_int_equal(sc_stock_holds(stock, LANE, &window, &list, &count), SC_OK);
    uint64_t batches = sc_holds_batches(list, count);
    free(list);
    return batches;
}

static void rename_as(const char *file, const char *end)
{
    char to[4200];
    snprintf(to, sizeof(to), "%s%s", file, end);
    assert_int_equal(rename(file, to), 0);
}

/* Retention by bytes counts what a repair kept and what nobody can read, too: were it not counted here, healing would pull what is deleted
 * again, for ever. */
static void bytes_are_those_that_retention_counts(void **state)
{
    (void)state;
    char *path = kit_folder();
    const struct sc_retention least = {.bytes = 1};
    struct sc_expiry expiry;
    struct sc_error err = {0};
    fill(path, KIT_WINDOW, LENGTH, 0, 4, true, true);
    char *damaged = only_file(path);
    rename_as(damaged, ".damaged");
    fill(path, KIT_WINDOW, LENGTH, 0, 3, true, true);
    fill(path, KIT_WINDOW + 300000, LENGTH, 10, 5, true, true);
    fill(path, KIT_WINDOW + 600000, LENGTH, 20, 2, true, true);
    struct sc_stock stock = look_at(path);
    for (uint32_t i = 0; i < stock.count; i++) {
        if (stock.files[i].window_ms == KIT_WINDOW + 300000)
            kit_write_file(stock.files[i].path, "nothing that anybody can read", 29);
    }
    sc_stock_free(&stock);
    stock = look_at(path);
    assert_int_equal(stock.unreadable, 1);
    assert_int_equal(sc_store_expire(path, &least, KIT_WINDOW + 700000, true, NULL, &expiry, &err), SC_OK);
    assert_int_equal(expiry.windows, 2); /* all but the newest */
    assert_true(sc_stock_bytes(&stock, KIT_WINDOW + 600000) == expiry.bytes);
    assert_int_equal(held_batches(&stock), 3);
    refresh(&stock); /* nothing of it is taken for known */
    assert_true(sc_stock_bytes(&stock, KIT_WINDOW + 600000) == expiry.bytes);
    sc_stock_free(&stock);
    free(damaged);
    kit_remove(path);
}

/* ---- files change between two looks ---- */

static void a_file_grows_is_sealed_and_expires(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_expiry expiry;
    struct sc_error err = {0};
    const struct sc_retention retention = {.age_s = 1};
    struct sc_stock stock = look_at(path);
    assert_int_equal(stock.digest_count, 0);
    struct sc_store_writer *w = open_writer(path, LANE, LENGTH);
    for (uint32_t i = 0; i < 5; i++) {
        append(w, LANE, KIT_WINDOW, 5, 3 * i, 2);
        refresh(&stock);
        assert_int_equal(held_batches(&stock), 2 * (i + 1));
        assert_int_equal(stock.digests[0].batches, 2 * (i + 1));
        assert_true(sc_stock_bytes(&stock, UINT64_MAX) != 0);
        assert_int_equal(sc_stock_bytes(&stock, KIT_WINDOW), 0);
    }
    uint64_t hash = stock.digests[0].hash;
    close_writer(w, true);
    refresh(&stock);
    assert_int_equal(held_batches(&stock), 10);
    assert_true(stock.digests[0].hash == hash);
    fill(path, KIT_WINDOW + 300000, LENGTH, 50, 1, true, true); /* the newest window stays */
    assert_int_equal(sc_store_expire(path, &retention, UINT64_MAX / 2, false, NULL, &expiry, &err), SC_OK);
    assert_int_equal(expiry.files, 1);
    refresh(&stock);
    assert_int_equal(held_batches(&stock), 0);
    assert_int_equal(stock.digest_count, 1);
    assert_int_equal(stock.digests[0].batches, 1);
    assert_int_equal(sc_stock_bytes(&stock, KIT_WINDOW + 300000), 0);
    assert_true(sc_stock_bytes(&stock, KIT_WINDOW + 300001) != 0);
    sc_stock_free(&stock);
    kit_remove(path);
}

enum { SEALED_WINDOWS = 40, SEALED_STORES = 20 };

struct sealer {
    const char *path;
    atomic_bool done;
};

static void *seal_all(void *arg)
{
    struct sealer *s = arg;
    close_writer(open_writer(s->path, LANE, LENGTH), true);
    atomic_store(&s->done, true);
    return NULL;
}

static void expect_windows(const char *path)
{
    struct sc_stock stock = look_at(path);
    uint64_t batches = 0;
    for (uint32_t i = 0; i < stock.digest_count; i++)
        batches += stock.digests[i].batches;
    sc_stock_free(&stock);
    assert_int_equal(batches, SEALED_WINDOWS);
}

/* What was sealed between the listing and the reading stands in another file. */
static void nothing_is_missed_while_files_are_sealed(void **state)
{
    (void)state;
    for (uint32_t store = 0; store < SEALED_STORES; store++) {
        struct sealer sealer = {.path = kit_folder()};
        pthread_t thread;
        for (uint32_t i = 0; i < SEALED_WINDOWS; i++)
            fill(sealer.path, KIT_WINDOW + i * UINT64_C(300000), LENGTH, i, 1, true, false);
        assert_int_equal(pthread_create(&thread, NULL, seal_all, &sealer), 0);
        while (!atomic_load(&sealer.done))
            expect_windows(sealer.path);
        assert_int_equal(pthread_join(thread, NULL), 0);
        expect_windows(sealer.path);
        kit_remove((char *)sealer.path);
    }
}

/* A file that has not grown is not read again: what is damaged is found by who reads it. A row group with a damaged head is not held. */
static void a_damaged_row_group_is_not_held(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_segment *segment;
    fill(path, KIT_WINDOW, LENGTH, 0, 4, false, false);
    char *file = only_file(path);
    assert_int_equal(sc_segment_open(file, &segment, NULL), SC_OK);
    assert_int_equal(segment->group_count, 4);
    uint64_t spans_at = segment->groups[2].offset + SC_ROW_GROUP_HEAD_BYTES + 8;
    sc_segment_close(segment);
    struct sc_stock before = look_at(path);
    flip(file, spans_at);
    refresh(&before);
    assert_int_equal(held_batches(&before), 4);
    struct sc_stock after = look_at(path);
    assert_int_equal(held_batches(&after), 3);
    assert_true(after.unreadable != 0);
    flip(file, spans_at); /* so it is looked at until it is whole */
    refresh(&after);
    assert_int_equal(held_batches(&after), 4);
    assert_int_equal(after.unreadable, 0);
    assert_same_digests(&before, &after);
    sc_stock_free(&before);
    sc_stock_free(&after);
    free(file);
    kit_remove(path);
}

/* A file that can't be opened, and a folder that is none any more. */
static void what_cannot_be_read_is_not_held(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_error err = {0};
    fill(path, KIT_WINDOW, LENGTH, 0, 4, true, true);
    char *file = only_file(path);
    flip(file, 0);
    struct sc_stock stock = look_at(path);
    uint64_t batches = held_batches(&stock);
    assert_true(batches == 4 || stock.unreadable != 0); /* the footer repeats the head */
    size_t length;
    uint8_t *bytes = kit_read_file(file, &length);
    kit_write_file(file, "nothing", 7);
    refresh(&stock);
    assert_int_equal(held_batches(&stock), 0);
    assert_int_equal(stock.unreadable, 1);
    kit_write_file(file, bytes, length);
    flip(file, 0);
    refresh(&stock);
    assert_int_equal(held_batches(&stock), 4);
    stock.store = file + strlen(file); /* no such folder: all stays as it was */
    assert_int_not_equal(sc_stock_refresh(&stock, &err), SC_OK);
    assert_int_equal(held_batches(&stock), 4);
    sc_stock_free(&stock);
    free(bytes);
    free(file);
    kit_remove(path);
}

/* ---- row groups ---- */

static const struct sc_window kit_window = {KIT_WINDOW, LENGTH};

/* What is given is whole, is what its head says, and the batch is in it. @return how many batches are */
static uint32_t check_group(struct sc_stock *stock, uint64_t stream, uint64_t sequence)
{
    struct sc_batch_head head;
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    struct sc_error err = {0};
    bool in = false;
    if (sc_stock_group(stock, LANE, &kit_window, stream, sequence, &head, &bytes, &err) != SC_OK)
        fail_msg("%llu: %s", (unsigned long long)sequence, err.message);
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
    assert_true(head.size == bytes.len && head.hash == sc_link_hash(bytes.data, bytes.len));
    assert_true(head.window_ms == KIT_WINDOW && head.window_s == LENGTH && head.id.lane == LANE);
    assert_true(head.id.stream == group.span.stream && head.id.sequence == group.span.sequence);
    assert_true(head.records == group.ref.rows && head.record_kind == group.ref.record_kind);
    for (uint32_t i = 0; i < group.span_count; i++) {
        const struct sc_span span = sc_encoded_group_span(&group, i);
        assert_true(span.lane == LANE && span.rows == ROWS && span.first_row == i * ROWS);
        in = in || (span.stream == stream && span.sequence == sequence);
    }
    assert_true(in);
    uint32_t batches = group.span_count;
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
    return batches;
}

static enum sc_status status_of(struct sc_stock *stock, const struct sc_window *window, uint32_t lane,
                                uint64_t stream, uint64_t sequence)
{
    struct sc_batch_head head;
    struct sc_buf bytes = {0};
    enum sc_status status = sc_stock_group(stock, lane, window, stream, sequence, &head, &bytes, NULL);
    sc_buf_free(&bytes);
    return status;
}

/* Sealed, batches that came one by one are in one row group, and it is given for each of them. */
static void a_row_group_is_given_for_each_of_its_batches(void **state)
{
    (void)state;
    for (uint32_t sealed = 0; sealed < 2; sealed++) {
        char *path = kit_folder();
        fill(path, KIT_WINDOW, LENGTH, 100, 50, false, sealed != 0);
        struct sc_stock stock = look_at(path);
        for (uint32_t i = 0; i < 50; i++)
            assert_int_equal(check_group(&stock, 5, 100 + i), sealed ? 50 : 1);
        assert_int_equal(status_of(&stock, &kit_window, LANE, 5, 99), SC_NOTFOUND);
        assert_int_equal(status_of(&stock, &kit_window, LANE, 5, 150), SC_NOTFOUND);
        assert_int_equal(status_of(&stock, &kit_window, LANE, 6, 120), SC_NOTFOUND);
        assert_int_equal(status_of(&stock, &kit_window, OTHER_LANE, 5, 120), SC_NOTFOUND);
        const struct sc_window other = {KIT_WINDOW, 60};
        assert_int_equal(status_of(&stock, &other, LANE, 5, 120), SC_NOTFOUND);
        sc_stock_free(&stock);
        kit_remove(path);
    }
}

/* Of files there are more than are kept open, and what was open is read as it is now. */
static void row_groups_of_many_files(void **state)
{
    (void)state;
    enum { FILES = 3 * SC_STOCK_OPEN };
    char *path = kit_folder();
    for (uint32_t i = 0; i < FILES; i++)
        fill(path, KIT_WINDOW, LENGTH, 10 * i, 3, true, true);
    struct sc_store_writer *w = open_writer(path, LANE, LENGTH);
    append(w, LANE, KIT_WINDOW, 5, 1000, 1);
    struct sc_stock stock = look_at(path);
    assert_int_equal(stock.count, FILES + 1);
    uint64_t random = 13;
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(check_group(&stock, 5, 10 * (kit_random(&random) % FILES) + i % 3), 3);
        assert_true(kit_open_files(".seg") <= SC_STOCK_OPEN + 1);
    }
    for (uint32_t i = 0; i < 5; i++) { /* a live one that is open, too, grows */
        assert_int_equal(check_group(&stock, 5, 1000 + i), 1);
        append(w, LANE, KIT_WINDOW, 5, 1001 + i, 1);
        assert_int_equal(status_of(&stock, &kit_window, LANE, 5, 1001 + i), SC_NOTFOUND);
        refresh(&stock);
    }
    close_writer(w, false);
    sc_stock_free(&stock);
    assert_int_equal(kit_open_files(".seg"), 0);
    kit_remove(path);
}

/* It is told of still, as nobody has listed the store since. */
static void a_file_that_is_gone_gives_nothing(void **state)
{
    (void)state;
    char *path = kit_folder();
    fill(path, KIT_WINDOW, LENGTH, 0, 3, false, false);
    struct sc_stock stock = look_at(path);
    char *file = only_file(path);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(status_of(&stock, &kit_window, LANE, 5, 1), SC_NOTFOUND);
    refresh(&stock);
    assert_int_equal(held_batches(&stock), 0);
    sc_stock_free(&stock);
    free(file);
    kit_remove(path);
}

/* Where a batch is held twice, the whole one is given. */
static void a_damaged_copy_is_not_the_only_one(void **state)
{
    (void)state;
    for (uint32_t damaged = 0; damaged < 2; damaged++) {
        char *path = kit_folder();
        struct sc_segment *segment;
        for (uint32_t i = 0; i < 2; i++)
            fill(path, KIT_WINDOW, LENGTH, 0, 3, true, false);
        struct sc_stock stock = look_at(path);
        assert_int_equal(stock.count, 2);
        const char *file = stock.files[damaged].path;
        assert_int_equal(sc_segment_open(file, &segment, NULL), SC_OK);
        uint64_t at = segment->groups[0].offset + segment->groups[0].length - 20; /* in a chunk */
        sc_segment_close(segment);
        flip(file, at);
        assert_int_equal(check_group(&stock, 5, 1), 3);
        flip(stock.files[!damaged].path, at);
        assert_int_equal(status_of(&stock, &kit_window, LANE, 5, 1), SC_DAMAGED);
        sc_stock_free(&stock);
        kit_remove(path);
    }
}

UNIT(test_stock)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_settle_to_the_same_ids),
        cmocka_unit_test(what_is_without_others_is_the_rest),
        cmocka_unit_test(the_same_ids_have_the_same_digest),
        cmocka_unit_test(other_ids_have_another_digest),
        cmocka_unit_test(lanes_and_windows_are_apart),
        cmocka_unit_test(what_a_bound_keeps_begins_with_a_window),
        cmocka_unit_test(bytes_are_those_that_retention_counts),
        cmocka_unit_test(a_file_grows_is_sealed_and_expires),
        cmocka_unit_test(nothing_is_missed_while_files_are_sealed),
        cmocka_unit_test(a_damaged_row_group_is_not_held),
        cmocka_unit_test(what_cannot_be_read_is_not_held),
        cmocka_unit_test(a_row_group_is_given_for_each_of_its_batches),
        cmocka_unit_test(row_groups_of_many_files),
        cmocka_unit_test(a_file_that_is_gone_gives_nothing),
        cmocka_unit_test(a_damaged_copy_is_not_the_only_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
