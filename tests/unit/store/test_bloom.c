// SPDX-License-Identifier: BSD-3-Clause
/* Bloom filters of a row group: how their blocks lie, how much of them is read, and what damage of a page means. */
#include "store/bloom.h"

#include "store_kit.h"

enum { MANY = 30000, BLOCK = 32, PAGE_BLOCKS = 127 };

/* One address in eight is IPv6. */
static struct sc_addr address_of(uint64_t number)
{
    uint64_t h = kit_mix(number, 3);
    struct sc_addr a = sc_addr_v4(0x0a000000u | ((uint32_t)h & 0xffffffu));
    if (number % 8 == 0) {
        memset(a.b, 0, sizeof(a.b));
        sc_store_be32(a.b, 0x20010db8u);
        sc_store_be64(a.b + 8, h);
    }
    return a;
}

/* None that address_of makes, nor in a network of such. */
static struct sc_addr absent_of(uint64_t number)
{
    return sc_addr_v4(0xc6000000u | ((uint32_t)kit_mix(number, 4) & 0xffffffu));
}

/* ---- how the blocks lie ---- */

static void lengths(void **state)
{
    (void)state;
    static const struct {
        bool paged;
        uint32_t length, pages, blocks; /* no pages: no filter has this length */
    } cases[] = {
        {false, 0, 0, 0},      {false, 33, 0, 0},    {false, 32, 1, 1},
        {false, 8192, 1, 256}, {true, 0, 0, 0},      {true, 32, 0, 0},
        {true, 65, 0, 0},      {true, 64, 1, 1},     {true, 4096, 1, 127},
        {true, 4128, 0, 0},    {true, 4160, 2, 128}, {true, 8192, 2, 254},
        {true, 8224, 0, 0},    {true, 8288, 3, 256}, {true, 1u << 30, 1u << 18, 127u << 18},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_bloom_layout layout;
        bool possible = sc_bloom_layout(cases[i].paged, cases[i].length, &layout);
        assert_int_equal(possible, cases[i].pages != 0);
        if (!possible)
            continue;
        assert_int_equal(layout.pages, cases[i].pages);
        assert_int_equal(layout.blocks, cases[i].blocks);
    }
}

static bool may_contain(const struct sc_bloom_layout *layout, const uint8_t *filter, const struct sc_addr *a,
                        unsigned bits)
{
    struct sc_bloom_probe probe;
    if (!sc_bloom_ask(layout, a, bits, &probe))
        return true;
    assert_true(probe.page < layout->pages);
    assert_true(probe.offset % BLOCK == 0);
    assert_true(probe.offset + BLOCK <= sc_bloom_page_length(layout, probe.page));
    assert_true(!layout->paged || probe.offset >= BLOCK);
    return sc_bloom_may_contain(&probe, filter + (size_t)probe.page * layout->page_bytes);
}

/* As many addresses as come to one block, some, a page, and little more; the same blocks in both layouts. */
static void check_written(uint32_t count)
{
    struct sc_buf filters[2] = {{0}, {0}};
    struct sc_bloom_layout layouts[2];
    struct sc_addr *addresses = calloc(count, sizeof(*addresses));
    assert_non_null(addresses);
    for (uint32_t i = 0; i < count; i++)
        addresses[i] = sc_addr_v4(0x0a000000u + i);
    for (unsigned paged = 0; paged < 2; paged++) {
        struct sc_bloom_layout *layout = &layouts[paged];
        sc_buf_append(&filters[paged], "before", 6);
        sc_bloom_write(addresses, count, paged, &filters[paged]);
        const uint8_t *filter = filters[paged].data + 6;
        assert_true(sc_bloom_layout(paged, (uint32_t)filters[paged].len - 6, layout));
        for (uint32_t i = 0; i < layout->pages; i++)
            assert_true(sc_bloom_page_is_whole(layout, i, filter + (size_t)i * layout->page_bytes));
        for (uint32_t i = 0; i < count; i++) {
            for (unsigned bits = 112; bits <= 128; bits += 4)
                assert_true(may_contain(layout, filter, &addresses[i], bits));
        }
    }
    assert_int_equal(layouts[1].blocks, layouts[0].blocks);
    for (uint32_t b = 0; b < layouts[0].blocks; b++) {
        size_t at = (size_t)b / PAGE_BLOCKS * SC_BLOOM_PAGE_BYTES + (1 + b % PAGE_BLOCKS) * BLOCK;
        assert_memory_equal(filters[0].data + 6 + (size_t)b * BLOCK, filters[1].data + 6 + at, BLOCK);
    }
    sc_buf_free(&filters[0]);
    sc_buf_free(&filters[1]);
    free(addresses);
}

static void the_last_page_is_short(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 26, 27, 3598, 3599, 3600, 3601, 3610, 7197, 7225, 20000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        check_written(counts[i]);
}

/* ---- a row group in memory ---- */

struct lab {
    struct sc_buf bytes;
    struct sc_group_ref ref;
    struct sc_segment segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    uint8_t *filter; /* in bytes */
    struct sc_bloom_layout layout;
};

static struct sc_batch *make_batch(uint32_t rows)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    struct sc_column *c = sc_batch_begin(batch, kit_keys[KIT_SOURCE], NULL, 8, rows);
    assert_non_null(c);
    for (uint32_t row = 0; row < rows; row++) {
        struct sc_addr a = address_of(row);
        sc_column_put_addr(c, &a);
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 1, 1);
    return batch;
}

static enum sc_status reopen(struct lab *lab)
{
    sc_read_context_reset(&lab->context);
    return sc_row_group_open(&lab->context, &lab->segment, 0, &lab->group, NULL);
}

static void begin(struct lab *lab, uint32_t rows, uint16_t format)
{
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_batch *batch = make_batch(rows);
    *lab = (struct lab){.ref = {.rows = rows, .record_kind = SC_RECORDS_FLOWS}};
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_SEALED, NULL), SC_OK);
    sc_row_group_encoder_set_format(&encoder, format);
    assert_int_equal(sc_row_group_encode(&encoder, batch, &lab->bytes, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    lab->ref.length = lab->bytes.len;
    lab->segment = (struct sc_segment){.path = "memory",
                                       .fd = -1,
                                       .memory = lab->bytes.data,
                                       .file_bytes = lab->bytes.len,
                                       .groups = &lab->ref,
                                       .group_count = 1};
    assert_int_equal(sc_read_context_init(&lab->context), SC_OK);
    assert_int_equal(reopen(lab), SC_OK);
    const struct sc_entry *e = sc_row_group_filter(lab->group);
    assert_non_null(e);
    assert_int_equal(e->role, format == 1 ? SC_CHUNK_BLOOM : SC_CHUNK_FILTER);
    lab->filter = lab->bytes.data + e->offset;
    assert_true(sc_bloom_layout(format > 1, e->length, &lab->layout));
}

static void end(struct lab *lab)
{
    sc_read_context_free(&lab->context);
    sc_buf_free(&lab->bytes);
}

static enum sc_status ask(struct lab *lab, const struct sc_addr *a, bool *possible)
{
    struct sc_error err = {0};
    enum sc_status status = sc_row_group_may_contain(lab->group, a, 128, possible, &err);
    assert_true(status == SC_OK || strstr(err.message, "is damaged; run sc-admin verify and repair") != NULL);
    return status;
}

static uint32_t page_of(const struct lab *lab, const struct sc_addr *a)
{
    struct sc_bloom_probe probe;
    assert_true(sc_bloom_ask(&lab->layout, a, 128, &probe));
    return probe.page;
}

/* An address for which this page is read. */
static struct sc_addr address_in(const struct lab *lab, uint32_t page)
{
    struct sc_addr a = address_of(0);
    for (uint64_t i = 1; page_of(lab, &a) != page; i++)
        a = address_of(i);
    return a;
}

static enum sc_status verify(struct lab *lab, uint32_t *damaged)
{
    assert_int_equal(reopen(lab), SC_OK);
    return sc_row_group_verify(lab->group, damaged, NULL);
}

static uint64_t bytes_for(struct lab *lab, const struct sc_addr *a)
{
    bool possible;
    uint64_t before = lab->context.bytes_read;
    assert_int_equal(ask(lab, a, &possible), SC_OK);
    return lab->context.bytes_read - before;
}

/* ---- what is found, and what is read for it ---- */

static void what_is_there_is_found(void **state)
{
    (void)state;
    for (uint16_t format = 1; format <= SC_SEGMENT_VERSION; format++) {
        struct lab lab;
        bool possible;
        uint32_t kept = 0;
        begin(&lab, MANY, format);
        for (uint32_t i = 0; i < MANY; i++) {
            struct sc_addr a = address_of(i), absent = absent_of(i);
            for (unsigned bits = 8; bits <= 128; bits += 8) {
                assert_int_equal(sc_row_group_may_contain(lab.group, &a, bits, &possible, NULL), SC_OK);
                assert_true(possible);
            }
            assert_int_equal(ask(&lab, &absent, &possible), SC_OK);
            kept += possible;
        }
        assert_true(kept < MANY / 20);
        end(&lab);
    }
}

static void a_page_is_read_once(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab, MANY, 2);
    uint32_t pages = lab.layout.pages, last = pages - 1;
    assert_true(pages >= 8);
    for (unsigned round = 0; round < 3; round++) {
        struct sc_addr first = address_in(&lab, 0), other = address_in(&lab, last);
        assert_int_equal(bytes_for(&lab, &first), round == 0 ? SC_BLOOM_PAGE_BYTES : 0);
        assert_int_equal(bytes_for(&lab, &other), round == 0 ? sc_bloom_page_length(&lab.layout, last) : 0);
    }
    end(&lab);
}

/* A prefix that no filter holds is not worth a page. */
static void short_prefixes_read_nothing(void **state)
{
    (void)state;
    struct lab lab;
    bool possible;
    begin(&lab, MANY, 2);
    struct sc_addr a = address_of(1);
    uint64_t before = lab.context.bytes_read;
    for (unsigned bits = 0; bits < 112; bits++) {
        assert_int_equal(sc_row_group_may_contain(lab.group, &a, bits, &possible, NULL), SC_OK);
        assert_true(possible);
    }
    assert_int_equal(lab.context.bytes_read, before);
    end(&lab);
}

static void the_rest_is_read_at_once(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab, MANY, 2);
    uint32_t pages = lab.layout.pages;
    for (uint32_t page = 0; page < pages; page++) {
        struct sc_addr a = address_in(&lab, page);
        assert_int_equal(bytes_for(&lab, &a), page < pages / 4    ? SC_BLOOM_PAGE_BYTES
                                              : page == pages / 4 ? lab.layout.length
                                                                  : 0);
    }
    end(&lab);
}

static void a_tiny_filter(void **state)
{
    (void)state;
    for (uint16_t format = 1; format <= SC_SEGMENT_VERSION; format++) {
        struct lab lab;
        bool possible;
        uint32_t damaged;
        struct sc_addr there = address_of(0), absent = absent_of(0);
        begin(&lab, 1, format);
        assert_int_equal(lab.layout.length, format == 1 ? 32 : 64);
        assert_int_equal(bytes_for(&lab, &there), lab.layout.length);
        assert_int_equal(bytes_for(&lab, &absent), 0);
        assert_int_equal(ask(&lab, &there, &possible), SC_OK);
        assert_true(possible);
        assert_int_equal(ask(&lab, &absent, &possible), SC_OK);
        assert_false(possible);
        assert_int_equal(verify(&lab, &damaged), SC_OK);
        end(&lab);
    }
}

/* ---- damage ---- */

/* Who asks for page `bad` is told, who asks for others is not, and a verification tells it. */
static void check_bad_page(struct lab *lab, uint32_t bad)
{
    bool possible;
    uint32_t damaged;
    assert_int_equal(verify(lab, &damaged), SC_DAMAGED);
    assert_int_equal(damaged, 1);
    for (unsigned reopens = 0; reopens < 2; reopens++) { /* page by page, and with the rest at once */
        assert_int_equal(reopen(lab), SC_OK);
        for (uint32_t page = 0; page < lab->layout.pages; page++) {
            struct sc_addr a = address_in(lab, page);
            for (unsigned times = 0; times < 2; times++)
                assert_int_equal(ask(lab, &a, &possible), page == bad ? SC_DAMAGED : SC_OK);
            if (reopens != 0)
                assert_int_equal(reopen(lab), SC_OK);
        }
    }
    assert_true(sc_row_group_has_rows(lab->group));
}

/* Each byte of the head of a page, and some behind it; also where the hash of the chunk agrees. */
static void damage_is_told_when_it_matters(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab, MANY, 2);
    uint32_t last = lab.layout.pages - 1;
    for (uint32_t at = 0; at < sc_bloom_page_length(&lab.layout, last); at += at < 40 ? 1 : 61) {
        uint8_t *byte = lab.filter + (size_t)(at % 2 == 0 ? last : 1) * SC_BLOOM_PAGE_BYTES + at;
        *byte ^= 0x10;
        if (at % 3 == 0)
            kit_set_hashes(lab.bytes.data);
        check_bad_page(&lab, at % 2 == 0 ? last : 1);
        *byte ^= 0x10;
        kit_set_hashes(lab.bytes.data);
    }
    end(&lab);
}

/* Each of them is whole, but not in the other's place. */
static void swapped_pages_are_found(void **state)
{
    (void)state;
    struct lab lab;
    bool possible;
    uint32_t damaged;
    uint8_t page[SC_BLOOM_PAGE_BYTES];
    begin(&lab, MANY, 2);
    memcpy(page, lab.filter, sizeof(page));
    memmove(lab.filter, lab.filter + 2 * sizeof(page), sizeof(page));
    memcpy(lab.filter + 2 * sizeof(page), page, sizeof(page));
    kit_set_hashes(lab.bytes.data);
    assert_int_equal(verify(&lab, &damaged), SC_DAMAGED);
    for (uint32_t i = 0; i < 4; i++) {
        struct sc_addr a = address_in(&lab, i);
        assert_int_equal(ask(&lab, &a, &possible), i % 2 == 0 ? SC_DAMAGED : SC_OK);
    }
    end(&lab);
}

/* As of a writer that puts something there: the hash of the page covers it. */
static void reserved_bytes_are_zero(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab, MANY, 2);
    for (uint32_t at = 8; at < BLOCK; at++) {
        uint8_t *page = lab.filter + SC_BLOOM_PAGE_BYTES;
        page[at] = 1;
        sc_store_le64(page, XXH3_64bits_withSeed(page + 8, SC_BLOOM_PAGE_BYTES - 8, 1));
        kit_set_hashes(lab.bytes.data);
        check_bad_page(&lab, 1);
        page[at] = 0;
    }
    end(&lab);
}

static void a_filter_without_pages_is_whole_or_not(void **state)
{
    (void)state;
    struct lab lab;
    bool possible;
    uint32_t damaged;
    begin(&lab, MANY, 1);
    lab.filter[lab.layout.length - 1] ^= 1;
    struct sc_addr a = address_of(1);
    assert_int_equal(ask(&lab, &a, &possible), SC_DAMAGED);
    assert_int_equal(verify(&lab, &damaged), SC_DAMAGED);
    assert_int_equal(damaged, 1);
    end(&lab);
}

static uint8_t *filter_entry(const struct lab *lab)
{
    uint32_t index = (uint32_t)(sc_row_group_filter(lab->group) - lab->group->entries);
    uint8_t *data = lab->bytes.data;
    return data + lab->group->front - (size_t)(lab->group->entry_count - index) * SC_ENTRY_BYTES;
}

/* The role is that of format 2; a row group of format 1 does not say so. */
static void format_1_has_no_pages(void **state)
{
    (void)state;
    struct lab lab;
    begin(&lab, 100, 1);
    filter_entry(&lab)[8] = SC_CHUNK_FILTER;
    kit_set_hashes(lab.bytes.data);
    assert_int_equal(reopen(&lab), SC_DAMAGED);
    end(&lab);
}

/* A filter without pages in format 2, as earlier builds wrote it. */
static void format_2_may_have_no_pages(void **state)
{
    (void)state;
    struct lab lab;
    bool possible;
    uint32_t damaged;
    struct sc_addr a = address_of(1), absent = absent_of(1);
    begin(&lab, MANY, 1);
    sc_store_le16(lab.bytes.data + 40, 2);
    kit_set_hashes(lab.bytes.data);
    assert_int_equal(verify(&lab, &damaged), SC_OK);
    assert_int_equal(bytes_for(&lab, &a), lab.layout.length);
    assert_int_equal(ask(&lab, &absent, &possible), SC_OK);
    assert_false(possible);
    end(&lab);
}

UNIT(test_bloom)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),
        cmocka_unit_test(the_last_page_is_short),
        cmocka_unit_test(what_is_there_is_found),
        cmocka_unit_test(a_page_is_read_once),
        cmocka_unit_test(short_prefixes_read_nothing),
        cmocka_unit_test(the_rest_is_read_at_once),
        cmocka_unit_test(a_tiny_filter),
        cmocka_unit_test(damage_is_told_when_it_matters),
        cmocka_unit_test(swapped_pages_are_found),
        cmocka_unit_test(reserved_bytes_are_zero),
        cmocka_unit_test(a_filter_without_pages_is_whole_or_not),
        cmocka_unit_test(format_1_has_no_pages),
        cmocka_unit_test(format_2_may_have_no_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
