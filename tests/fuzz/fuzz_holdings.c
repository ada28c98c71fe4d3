// SPDX-License-Identifier: BSD-3-Clause
/*
 * What another node says that it holds, as JSON that nobody trusts: what is read is in order, can be compared, and is the same once it was
 * written and read again. The mutator begins with what a node writes.
 */
#include "cluster/holdings.h"
#include "cluster/lacking.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void must(bool true_)
{
    if (!true_)
        __builtin_trap();
}

static int compare_ids(const struct sc_holding *a, const struct sc_holding *b)
{
    if (a->window_ms != b->window_ms)
        return a->window_ms < b->window_ms ? -1 : 1;
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    return a->lane < b->lane ? -1 : a->lane > b->lane;
}

static void check(const struct sc_holdings *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        must(h->list[i].first <= h->list[i].last);
        if (i == 0)
            continue;
        int order = compare_ids(&h->list[i - 1], &h->list[i]);
        must(order < 0 || (order == 0 && h->list[i - 1].last < h->list[i].first));
    }
}

static void compare(const struct sc_holdings *h)
{
    const struct sc_holdings *nodes[] = {h, NULL, h};
    const struct sc_horizons none = {0};
    for (uint32_t windows = 1; windows <= SC_HOLDINGS_MAX_WINDOWS; windows *= 10) {
        struct sc_window_copies *copies;
        uint32_t count;
        must(sc_copies_compare(nodes, 3, 2, windows, &none, &copies, &count) == SC_OK && count <= windows);
        for (uint32_t i = 0; i < count; i++)
            must(i == 0 || copies[i - 1].window_ms < copies[i].window_ms);
        free(copies);
    }
}

/* Two that tell the same, as whole or as damaged, and one that tells nothing: who has it all lacks nothing, and no sum exceeds what
 * was told. */
static void find_lacks(const struct sc_holdings *h)
{
    static struct sc_member members[] = {{.name = "a", .lane = 1, .subcollector = true},
                                         {.name = "b", .lane = 2, .subcollector = true},
                                         {.name = "c", .lane = 3, .subcollector = true}};
    const struct sc_cluster cluster = {.members = members, .count = 3, .replication = 3};
    const struct sc_holdings none = {0};
    const struct sc_lacking_member told[] = {{h, &none, 0}, {&none, h, 0}, {0}};
    struct sc_lack *list;
    uint32_t count;
    must(sc_lacking_find(&cluster, told, &list, &count) == SC_OK);
    for (uint32_t i = 0; i < count; i++)
        must(list[i].member == 1 && list[i].absent == 0 && list[i].damaged > 0 && list[i].left == 1);
    must(sc_lacking_sum(list, count) <= count && (count == 0) == (h->count == 0));
    free(list);
}

static void write_and_read(const struct sc_holdings *h)
{
    struct sc_holdings again;
    json_t *json = sc_holdings_to_json(h);
    must(json != NULL && sc_holdings_from_json(json, &again, NULL) == SC_OK);
    json_t *second = sc_holdings_to_json(&again);
    must(second != NULL && json_equal(json, second));
    json_decref(json);
    json_decref(second);
    sc_holdings_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct sc_holdings h;
    json_t *json = json_loadb((const char *)bytes, length, 0, NULL);
    enum sc_status status = sc_holdings_from_json(json, &h, NULL);
    must(status == SC_OK || status == SC_MALFORMED);
    if (status == SC_OK) {
        check(&h);
        write_and_read(&h);
        compare(&h);
        find_lacks(&h);
    } else {
        must(h.count == 0 && h.tally_count == 0);
    }
    sc_holdings_free(&h);
    json_decref(json);
    return 0;
}

/* ---- inputs ---- */

static char *make_text(unsigned seed)
{
    struct sc_holdings h = {.unreadable = seed % 3};
    struct sc_tally t = {.proxy = "alpha", .stream = seed % 5, .window_ms = 300000, .window_s = 300};
    for (uint64_t i = 0; i < 4; i++) {
        const struct sc_holding one = {.window_ms = 300000 * (i / 2 + 1),
                                       .stream = seed % 5,
                                       .first = 2 * i,
                                       .last = 2 * i + seed % 2,
                                       .lane = seed % 7,
                                       .rows = seed / 7 % 2 == 0 ? 0 : 1 + seed % 3,
                                       .kind = seed / 7 % 2 == 0 ? 0 : seed / 14 % 2};
        must(sc_holdings_add(&h, &one) == SC_OK);
    }
    struct sc_tally_lane *lane = sc_tally_lane(&t, seed % 7);
    must(lane != NULL);
    lane->safe = (struct sc_tally_count){{4, 0}, {400, 0}};
    lane->accepted = (struct sc_tally_count){{5, 1}, {500, 1}};
    const struct sc_loss loss = {t.stream, 300000, 300, seed % 7, {{1, 0}, {100, 0}}};
    const struct sc_stream lost = {.proxy = "alpha", .stream = t.stream, .closed = seed % 2 != 0};
    must(sc_losses_add_stream(&h.losses, &lost) == SC_OK && sc_losses_add(&h.losses, &loss) == SC_OK);
    must(sc_holdings_add_tally(&h, &t) == SC_OK);
    sc_holdings_settle(&h);
    json_t *json = sc_holdings_to_json(&h);
    char *text = json_dumps(json, JSON_COMPACT);
    must(text != NULL);
    json_decref(json);
    sc_holdings_free(&h);
    return text;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size > 8 && seed % 64 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    char *text = make_text(seed / 64);
    size_t length = strlen(text);
    bool fits = length <= max_size;
    if (fits)
        memcpy(data, text, length);
    free(text);
    return fits ? length : LLVMFuzzerMutate(data, size, max_size);
}
