// SPDX-License-Identifier: BSD-3-Clause
/*
 * Two stores of one cluster hold the same batches, in other row groups. Damage of one copy takes nothing from any answer and is
 * told; damage of both takes exactly what no copy is left of, by the batch.
 */
#include "query_kit.h"
#include "source/expect.h"
#include "store/tally.h"

#include <fcntl.h>

#define STREAM       UINT64_C(0x5ca1ab1e00000001)
#define LANE         7u
#define BATCHES      24u /* twelve in each of two windows */
#define BATCH_ROWS   500u
#define RECORDS      (BATCHES * BATCH_ROWS)
#define MOST_GROUPS  64u
#define WINDOW_OF(b) (KIT_WINDOW + (b) / 12 * 300000)

/* TSan watches how threads meet: every third damage will do. ASan's build tries each. */
#ifdef __SANITIZE_THREAD__
#define DAMAGE_STEP 3u
#else
#define DAMAGE_STEP 1u
#endif

/* ---- the stores ---- */

/* A row group of `count` batches from `first`. */
static struct sc_batch *make_batch(uint32_t first, uint32_t count)
{
    struct sc_batch *batch = kit_batch((uint64_t)first * BATCH_ROWS, count * BATCH_ROWS, WINDOW_OF(first));
    free(batch->spans);
    batch->spans = calloc(count, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = count;
    for (uint32_t i = 0; i < count; i++)
        batch->spans[i] = (struct sc_span){.stream = STREAM,
                                           .lane = LANE,
                                           .sequence = first + i,
                                           .first_row = i * BATCH_ROWS,
                                           .rows = BATCH_ROWS};
    return batch;
}

/* Batches [begin, end) in row groups of `together`; the window of the first is sealed when `sealed`. */
static void write_store(const char *path, uint32_t begin, uint32_t end, uint32_t together, bool sealed)
{
    struct sc_error err = {0};
    struct sc_store_options options = {.lane = LANE};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, &err);
    assert_non_null(w);
    for (uint32_t b = begin; b < end; b += together) {
        uint32_t count = b + together > end ? end - b : together;
        if (WINDOW_OF(b + count - 1) != WINDOW_OF(b))
            count = 12 - b % 12;
        struct sc_batch *batch = make_batch(b, count);
        query_append(w, batch);
        sc_batch_free(batch);
        b -= together - count;
    }
    if (sealed)
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
}

/* What a proxy told both: all is safe, and nothing will come. */
static void write_tallies(const char *store)
{
    struct sc_error err = {0};
    struct sc_stream stream = {.proxy = "p1", .stream = STREAM, .heard_ms = KIT_WINDOW, .closed = true};
    assert_int_equal(sc_stream_write(store, &stream, NULL, &err), SC_OK);
    for (uint32_t window = 0; window < 2; window++) {
        struct sc_tally t = {
            .proxy = "p1", .stream = STREAM, .window_ms = WINDOW_OF(12 * window), .window_s = 300};
        struct sc_tally_lane *l = sc_tally_lane(&t, LANE);
        assert_non_null(l);
        l->accepted = (struct sc_tally_count){{12, 0}, {(uint64_t)12 * BATCH_ROWS, 0}};
        l->safe = l->accepted;
        assert_int_equal(sc_tally_write(store, &t, NULL, &err), SC_OK);
        sc_tally_free(&t);
    }
}

struct row_group {
    char path[512];
    uint64_t head, chunk;  /* places in the file that are damaged */
    uint32_t first, count; /* batches */
    unsigned store;
    bool damaged;
};

struct cluster {
    char *stores[2];
    char lanes[2][1024]; /* where the lane lies in each: the first is its home */
    struct row_group groups[MOST_GROUPS];
    uint32_t count;
    uint64_t memory; /* see find_memory */
    unsigned scans;
};

static void list_row_groups(struct cluster *c, unsigned store)
{
    struct sc_source source;
    struct sc_read_context context;
    struct sc_row_group *group;
    struct sc_error err = {0};
    query_open(&source, c->stores[store]);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    for (uint32_t s = 0; s < source.segment_count; s++) {
        for (uint32_t g = 0; g < source.segments[s]->group_count; g++) {
            struct row_group *r = &c->groups[c->count++];
            assert_true(c->count <= MOST_GROUPS);
            sc_read_context_reset(&context);
            assert_int_equal(sc_row_group_open(&context, source.segments[s], g, &group, &err), SC_OK);
            const struct sc_entry *e = sc_row_group_entry(group, kit_keys[KIT_PACKETS]);
            assert_non_null(e);
            snprintf(r->path, sizeof(r->path), "%s", source.segments[s]->path);
            r->head = group->ref->offset + SC_ROW_GROUP_HEAD_BYTES + 70;
            r->chunk = group->ref->offset + e->offset + e->length / 2;
            r->first = (uint32_t)group->spans[0].sequence;
            r->count = group->span_count;
            r->store = store;
        }
    }
    sc_read_context_free(&context);
    sc_source_close(&source);
}

/* The home holds batches [0, 24 - less) two by two, the other [less, 24) three by three. */
static void make_cluster(struct cluster *c, uint32_t less, unsigned sealed, bool tallies)
{
    *c = (struct cluster){.stores = {kit_folder(), kit_folder()}};
    char path[512];
    snprintf(path, sizeof(path), "%s/" SC_REPLICA_FOLDER, c->stores[1]);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(c->lanes[0], sizeof(c->lanes[0]), "%s", c->stores[0]);
    snprintf(c->lanes[1], sizeof(c->lanes[1]), "%s/n1", path);
    write_store(c->lanes[0], 0, BATCHES - less, 2, sealed & 1);
    write_store(c->lanes[1], less, BATCHES, 3, sealed & 2);
    for (unsigned i = 0; i < 2; i++) {
        if (tallies)
            write_tallies(c->stores[i]);
        list_row_groups(c, i);
    }
}

static void free_cluster(struct cluster *c)
{
    kit_remove(c->stores[0]);
    kit_remove(c->stores[1]);
}

static void flip(const struct row_group *r, uint64_t at)
{
    int fd = open(r->path, O_RDWR);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* ---- the questions ---- */

static enum sc_status open_cluster(const struct cluster *c, struct sc_source *source)
{
    struct sc_source_bounds bounds = {0};
    struct sc_error err = {0};
    const char *paths[] = {c->stores[1], c->stores[0]};
    return sc_source_open(paths, 2, &bounds, source, &err);
}

static bool collect(void *arg, const void *bytes, size_t count)
{
    sc_buf_append(arg, bytes, count);
    return true;
}

/* A listing; the summary is added as a line of its own. */
static void list_times(struct sc_source *source, const char *order, uint64_t limit,
                       struct sc_time_bounds time, struct sc_buf *out)
{
    struct sc_request_listing *request = malloc(sizeof(*request));
    struct sc_error err = {0};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    assert_non_null(request);
    assert_int_equal(sc_request_list(NULL, "flowId,srcip,packets,bytes", order, request, &err), SC_OK);
    struct sc_output_options options = {.format = SC_OUTPUT_CSV};
    struct sc_output *output = sc_output_create(&options, request->columns, request->column_count);
    struct sc_listing listing = {.output = output,
                                 .fields = request->fields,
                                 .field_count = request->column_count,
                                 .orders = request->orders,
                                 .order_count = request->order_count,
                                 .limit = limit,
                                 .separator = "",
                                 .summarize = true};
    struct sc_scan_options scan = {.time = time, .threads = 3};
    struct sc_sink sink = {collect, out};
    assert_int_equal(sc_query_list(source, &scan, &listing, &sink, &summary, &stats, &err), SC_OK);
    sc_buf_printf(out, "%llu %llu\n", (unsigned long long)summary.records,
                  (unsigned long long)summary.packets);
    sc_output_free(output);
    free(request);
}

static void list(struct sc_source *source, const char *order, uint64_t limit, struct sc_buf *out)
{
    list_times(source, order, limit, Q_ALWAYS, out);
}

/* Groups, best first; with little memory in two scans. */
static enum sc_status group(struct sc_source *source, const char *keys, const char *fields, uint64_t memory,
                            unsigned *scans, struct sc_buf *out)
{
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_groups *groups[1] = {NULL};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_result result;
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, keys, "bytes", fields, r, &err), SC_OK);
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 10};
    enum sc_status status = sc_query_top(source, &options, &top, 1, memory, groups, &summary, &stats, &err);
    *scans = (unsigned)(stats.units_read / source->unit_count);
    if (status == SC_OK) {
        assert_int_equal(sc_groups_top(groups[0], r->orders, r->order_count, 10, &result, &err), SC_OK);
        for (uint64_t i = 0; i < result.count; i++) {
            for (uint32_t k = 0; k < r->column_count; k++) {
                struct sc_value v = sc_groups_value(groups[0], result.entries[i], &r->columns[k].result);
                sc_buf_printf(out, "%llu ", (unsigned long long)(v.null ? 0 : v.u));
            }
            sc_buf_append_str(out, "\n");
        }
        sc_buf_printf(out, "%llu %llu\n", (unsigned long long)summary.records,
                      (unsigned long long)summary.packets);
        free(result.entries);
    }
    sc_groups_free(groups[0]);
    free(r);
    return status;
}

#define MANY_GROUPS "flowId", "bytes,packets,min(packets),flows,first,last"

static enum sc_status open_cluster(const struct cluster *c, struct sc_source *source);

/* The least memory in which very many groups can be had: that takes two scans. */
static void find_memory(struct cluster *c)
{
    enum sc_status status = SC_NOMEM;
    unsigned scans = 0;
    for (c->memory = 1 << 20; status != SC_OK; c->memory += c->memory / 16) {
        struct sc_source source;
        struct sc_buf out = {0};
        assert_int_equal(open_cluster(c, &source), SC_OK);
        status = group(&source, MANY_GROUPS, c->memory, &scans, &out);
        sc_buf_free(&out);
        sc_source_close(&source);
        if (status == SC_OK)
            break;
        assert_true(c->memory < 1 << 26);
    }
    c->scans = scans;
}

#define QUESTIONS 6u

static void ask(const struct cluster *c, struct sc_source *source, unsigned question, struct sc_buf *out)
{
    unsigned scans;
    switch (question) {
    case 0:
        list(source, NULL, 0, out);
        break;
    case 1:
        list(source, "packets,flowId", 0, out);
        break;
    case 2:
        list(source, "flowId#desc", 700, out); /* finds the damage in the second scan */
        break;
    case 3:
        assert_int_equal(group(source, "proto", "flows,packets,bytes", 0, &scans, out), SC_OK);
        break;
    case 4: /* so does this */
        assert_int_equal(group(source, MANY_GROUPS, c->memory, &scans, out), SC_OK);
        break;
    default:
        assert_int_equal(group(source, "srcport", "flows,packets,bytes,max(packets)", 0, &scans, out), SC_OK);
        break;
    }
}

/* Opens, asks, and leaves the source open for what it says. */
static struct sc_buf answer(const struct cluster *c, struct sc_source *source, unsigned question)
{
    struct sc_buf out = {0};
    assert_int_equal(open_cluster(c, source), SC_OK);
    ask(c, source, question, &out);
    assert_true(sc_buf_ok(&out));
    return out;
}

static int compare_lines(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* A listing in the order of the store gives the same records; those of a damaged row group may come in the order of another. */
static void check_same(unsigned question, struct sc_buf *got, struct sc_buf *want)
{
    assert_int_equal(got->len, want->len);
    if (question != 0) {
        assert_memory_equal(got->data, want->data, got->len);
        return;
    }
    char **lines[2];
    for (unsigned i = 0; i < 2; i++) {
        struct sc_buf *b = i == 0 ? got : want;
        lines[i] = calloc(RECORDS + 2, sizeof(char *));
        size_t n = 0;
        sc_buf_append_u8(b, 0);
        char *state = NULL;
        for (char *l = strtok_r((char *)b->data, "\n", &state); l != NULL; l = strtok_r(NULL, "\n", &state))
            lines[i][n++] = l;
        assert_int_equal(n, RECORDS + 1);
        qsort(lines[i], n, sizeof(char *), compare_lines);
    }
    for (size_t i = 0; i < RECORDS + 1; i++)
        assert_string_equal(lines[0][i], lines[1][i]);
    free(lines[0]);
    free(lines[1]);
}

/* The batches and records that sentences say are missing. */
static void said_missing(const struct sc_source *source, uint64_t *batches, uint64_t *records)
{
    *batches = *records = 0;
    for (uint32_t i = 0; i < source->missing_count; i++) {
        unsigned long long b, n;
        const char *window = strstr(source->missing[i], ": "), *with = strstr(source->missing[i], ", with ");
        assert_non_null(window);
        assert_non_null(with);
        assert_int_equal(sscanf(window, ": %llu", &b), 1);
        assert_int_equal(sscanf(with, ", with %llu records", &n), 1);
        *batches += b;
        *records += n;
    }
}

/* ---- the facts ---- */

/* Whatever one row group of one copy is damaged, and however, every answer is what it was, and names the file. */
static void one_copy_damaged(void **state)
{
    (void)state;
    unsigned told = 0, scans = 0;
    for (unsigned sealed = 0; sealed < 4; sealed += 2) {
        struct cluster c;
        make_cluster(&c, 0, sealed, true);
        find_memory(&c);
        scans += c.scans;
        for (unsigned question = 0; question < QUESTIONS; question++) {
            struct sc_source source;
            struct sc_buf want = answer(&c, &source, question);
            assert_int_equal(source.missing_count, 0);
            assert_int_equal(source.damage_count, 0);
            sc_source_close(&source);
            for (uint32_t g = 0; g < 2 * c.count; g += DAMAGE_STEP) {
                const struct row_group *r = &c.groups[g / 2];
                uint64_t at = g % 2 == 0 ? r->chunk : r->head;
                flip(r, at);
                struct sc_buf got = answer(&c, &source, question);
                if (source.missing_count != 0)
                    fail_msg("%s", source.missing[0]);
                struct sc_buf expected = {0};
                sc_buf_append(&expected, want.data, want.len);
                check_same(question, &got, &expected);
                /* A chunk of a copy that nobody reads is not looked at; a spare copy's head is, where no footer tells its batches. */
                bool has_footer = sc_name_ends(r->path, SC_SEGMENT_SUFFIX);
                assert_true(source.damage_count <= 1);
                assert_true(source.damage_count == 1 ||
                            ((g % 2 == 0 || has_footer) && (r->store == 1 || question == 2)));
                if (source.damage_count == 1)
                    assert_non_null(strstr(source.damage[0], r->path));
                told += source.damage_count;
                sc_source_close(&source);
                sc_buf_free(&got);
                sc_buf_free(&expected);
                flip(r, at);
            }
            sc_buf_free(&want);
        }
        free_cluster(&c);
    }
    assert_true(told > 50);
    assert_true(scans > 2); /* some in two */
}

/* The home's own copy is what is read while it is whole. */
static void home_is_preferred(void **state)
{
    (void)state;
    struct cluster c;
    struct sc_source source;
    make_cluster(&c, 3, 0, true);
    assert_int_equal(open_cluster(&c, &source), SC_OK);
    uint32_t rows[2] = {0, 0};
    for (uint32_t u = 0; u < source.unit_count; u++) {
        const struct sc_source_unit *unit = &source.units[u];
        const struct sc_segment *segment = source.segments[unit->segment];
        uint32_t n = unit->ranges == NULL ? segment->groups[unit->group].rows : 0;
        for (uint32_t r = 0; r < unit->range_count; r++)
            n += unit->ranges[r].rows;
        rows[strstr(segment->path, SC_REPLICA_FOLDER) != NULL] += n;
    }
    assert_int_equal(rows[0], 21 * BATCH_ROWS);
    assert_int_equal(rows[1], 3 * BATCH_ROWS);
    sc_source_close(&source);
    free_cluster(&c);
}

/* Row groups at random, of both: what is missing is what has no copy outside of them, to the batch. */
static void any_damage(void **state)
{
    (void)state;
    uint64_t random = 5;
    unsigned partial = 0, whole = 0;
    for (unsigned round = 0; round < 40; round++) {
        struct cluster c;
        uint32_t less = (uint32_t)(kit_random(&random) % 4) * 2;
        bool tallies = kit_random(&random) % 2 == 0;
        make_cluster(&c, less, kit_random(&random) % 4, tallies);
        bool found[BATCHES] = {false};
        unsigned of_eight = 1 + (unsigned)(kit_random(&random) % 6);
        for (uint32_t g = 0; g < c.count; g++) {
            struct row_group *r = &c.groups[g];
            r->damaged = kit_random(&random) % 8 < of_eight;
            /* Without tallies nobody knows what was in a row group whose directory is gone. */
            if (r->damaged)
                flip(r, tallies && kit_random(&random) % 3 == 0 ? r->head : r->chunk);
            for (uint32_t b = 0; b < r->count && !r->damaged; b++)
                found[r->first + b] = true;
        }
        uint64_t lost = 0, batches, records;
        for (uint32_t b = 0; b < BATCHES; b++)
            lost += !found[b];
        struct sc_source source;
        static const unsigned of_every_row[] = {0, 1, 3};
        struct sc_buf got = answer(&c, &source, of_every_row[kit_random(&random) % 3]);
        said_missing(&source, &batches, &records);
        if (batches != lost) {
            for (uint32_t i = 0; i < source.missing_count; i++)
                print_error("%s\n", source.missing[i]);
            fail_msg("round %u: %llu batches are said to be missing, %llu are", round,
                     (unsigned long long)batches, (unsigned long long)lost);
        }
        assert_int_equal(records, lost * BATCH_ROWS);
        char *last = (char *)got.data + got.len - 1; /* the line of the summary */
        *last = '\0';
        while (last > (char *)got.data && last[-1] != '\n')
            last--;
        assert_int_equal(strtoull(last, NULL, 10), (BATCHES - lost) * BATCH_ROWS);
        partial += lost != 0;
        whole += lost == 0;
        sc_source_close(&source);
        sc_buf_free(&got);
        free_cluster(&c);
    }
    assert_true(partial > 8);
    assert_true(whole > 8);
}

static void names_what_is_missing(void **state)
{
    (void)state;
    struct cluster c;
    struct sc_source source;
    make_cluster(&c, 0, 0, false);
    for (uint32_t g = 0; g < c.count; g++) { /* batches 14 and 15 here, 15 to 17 there */
        if ((c.groups[g].store == 0 && c.groups[g].first == 14) ||
            (c.groups[g].store == 1 && c.groups[g].first == 15))
            flip(&c.groups[g], c.groups[g].chunk);
    }
    struct sc_buf got = answer(&c, &source, 0);
    assert_int_equal(source.missing_count, 1);
    const char *want =
        "window 2027-01-15T08:05:00.000Z: 1 batches (numbers 15 to 15) of stream 5ca1ab1e00000001, "
        "lane 00000007, are missing, with 500 records";
    if (strstr(source.missing[0], want) == NULL)
        fail_msg("%s", source.missing[0]);
    assert_int_equal(source.damage_count, 1);
    sc_source_close(&source);
    sc_buf_free(&got);
    free_cluster(&c);
}

/* The records of a row group that is damaged come where they would have come. */
static void in_its_place(void **state)
{
    (void)state;
    struct cluster c;
    struct sc_source source;
    make_cluster(&c, 0, 0, true);
    for (uint32_t g = 0; g < c.count; g++) {
        if (c.groups[g].store == 0 &&
            c.groups[g].first % 6 == 0) /* the first two of what the other has together */
            flip(&c.groups[g], c.groups[g].chunk);
    }
    struct sc_buf got = {0}, want = {0};
    assert_int_equal(open_cluster(&c, &source), SC_OK);
    list(&source, NULL, 0, &got);
    assert_int_equal(source.damage_count, 4);
    sc_source_close(&source);
    assert_int_equal(open_cluster(&c, &source), SC_OK);
    list(&source, "flowId#asc", 0, &want);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, got.len);
    sc_source_close(&source);
    sc_buf_free(&got);
    sc_buf_free(&want);
    free_cluster(&c);
}

/* A file that cannot even be opened, and one that is gone, are no matter while the other store has all. */
static void whole_files(void **state)
{
    (void)state;
    struct cluster c;
    make_cluster(&c, 0, 3, true);
    for (uint32_t g = 0; g < c.count; g++) {
        struct sc_source source;
        size_t length;
        uint8_t *bytes = kit_read_file(c.groups[g].path, &length);
        kit_write_file(c.groups[g].path, "neither head nor footer", 23);
        struct sc_buf got = answer(&c, &source, 3);
        assert_int_equal(source.missing_count, 0);
        assert_int_equal(source.damage_count, 1);
        assert_non_null(strstr(source.damage[0], c.groups[g].path));
        sc_source_close(&source);
        sc_buf_free(&got);
        assert_int_equal(unlink(c.groups[g].path), 0);
        got = answer(&c, &source, 3);
        assert_int_equal(source.missing_count + source.damage_count, 0);
        sc_source_close(&source);
        sc_buf_free(&got);
        kit_write_file(c.groups[g].path, bytes, length);
        free(bytes);
    }
    free_cluster(&c);
}

struct mover {
    const struct cluster *c;
    atomic_bool stop;
    unsigned moved;
};

/* Takes one file away, puts it back, and so on: never two at a time. */
static void *move_files(void *arg)
{
    struct mover *m = arg;
    char away[600];
    snprintf(away, sizeof(away), "%s/away", m->c->stores[0]);
    for (uint32_t g = 0; !atomic_load(&m->stop); g = (g + 1) % m->c->count) {
        m->moved += rename(m->c->groups[g].path, away) == 0;
        usleep(1500);
        (void)rename(away, m->c->groups[g].path);
        usleep(1500);
    }
    return NULL;
}

/* A file that is gone between the listing and its opening is no matter while another store has what it held. */
static void files_come_and_go(void **state)
{
    (void)state;
    struct cluster c;
    pthread_t thread;
    make_cluster(&c, 0, 2, true);
    struct mover m = {.c = &c};
    assert_int_equal(pthread_create(&thread, NULL, move_files, &m), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct sc_source source;
        enum sc_status status = open_cluster(&c, &source);
        if (status == SC_IO) /* it changes faster than it can be listed: said, not answered */
            continue;
        assert_int_equal(status, SC_OK);
        if (source.missing_count != 0)
            fail_msg("%s", source.missing[0]);
        uint64_t rows = 0;
        for (uint32_t k = 0; k < source.plan.count; k++)
            rows += source.plan.copies[k].state == SC_COPY_ASSIGNED ? source.plan.copies[k].span.rows : 0;
        assert_int_equal(rows, RECORDS);
        sc_source_close(&source);
    }
    atomic_store(&m.stop, true);
    pthread_join(thread, NULL);
    assert_true(m.moved > 10);
    free_cluster(&c);
}

/* ---- times ---- */

/* Opened for all times or those asked for, in ms after the first window; returns how many units there are. */
static uint32_t list_range(const struct cluster *c, bool narrow, uint64_t begin, uint64_t end,
                           enum sc_time_field field, struct sc_buf *out, uint32_t *missing)
{
    const struct sc_time_bounds time = {
        .begin_ms = KIT_WINDOW + begin, .end_ms = KIT_WINDOW + end, .field = field};
    const struct sc_source_bounds bounds = {.begin_ms = narrow ? time.begin_ms : 0,
                                            .end_ms = narrow ? time.end_ms : 0};
    const char *paths[] = {c->stores[1], c->stores[0]};
    struct sc_source source;
    struct sc_error err = {0};
    assert_int_equal(sc_source_open(paths, 2, &bounds, &source, &err), SC_OK);
    list_times(&source, "flowId", 0, time, out);
    uint32_t units = source.unit_count;
    *missing = source.missing_count;
    sc_source_close(&source);
    return units;
}

/* The flows of window 0 are of its first 18 s; those of window 1, from 300 s on, are of the 18 s after these. */
static void only_what_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        uint64_t begin, end;
        bool fewer, first_judged;
    } ranges[] = {
        {0, 2000, true, true},           /* of window 0, and nothing of window 1 */
        {19000, 22000, true, true},      /* some of window 1, though it is later */
        {10000, 500000, false, true},    /* both windows are judged */
        {400000, 500000, true, false},   /* no flows at all */
        {700000, 800000, true, false},   /* nor a window */
        {33000, 100000000, false, true}, /* the last of them */
    };
    struct cluster c;
    uint32_t missing;
    make_cluster(&c, 0, 0, true); /* live files: sealing makes one row group of a window */
    for (unsigned i = 0; i < 4 * sizeof(ranges) / sizeof(ranges[0]); i++) {
        uint64_t begin = ranges[i / 4].begin, end = ranges[i / 4].end;
        struct sc_buf all = {0}, some = {0};
        uint32_t units = list_range(&c, false, begin, end, (enum sc_time_field)(i % 4), &all, &missing);
        uint32_t fewer = list_range(&c, true, begin, end, (enum sc_time_field)(i % 4), &some, &missing);
        if (all.len != some.len || memcmp(all.data, some.data, all.len) != 0)
            fail_msg("range %u, field %u", i / 4, i % 4);
        assert_int_equal(missing, 0);
        assert_true(ranges[i / 4].fewer ? fewer < units : fewer == units);
        sc_buf_free(&all);
        sc_buf_free(&some);
    }
    for (uint32_t g = 0; g < c.count; g++) {
        if (c.groups[g].first < 12)
            (void)unlink(c.groups[g].path);
    }
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct sc_buf out = {0};
        list_range(&c, true, ranges[i].begin, ranges[i].end, SC_TIME_FIRST, &out, &missing);
        assert_int_equal(missing, ranges[i].first_judged);
        sc_buf_free(&out);
    }
    free_cluster(&c);
}

UNIT(test_copies)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_copy_damaged),  cmocka_unit_test(home_is_preferred),
        cmocka_unit_test(any_damage),        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(in_its_place),      cmocka_unit_test(whole_files),
        cmocka_unit_test(files_come_and_go), cmocka_unit_test(only_what_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
