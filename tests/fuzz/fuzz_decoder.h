// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the three fuzz targets of the decoder share. An input is a sequence of messages of one version:
 *
 *     u8 control, u16 length (little-endian), message
 *
 * control: bits 0-1 source port, 2 transport (UDP, TCP), 3 end the session after it, 4 expire after it, 5 the
 * IPFIX header's length is put right, 6 the message comes without an options sink, 7 save and load into a
 * fresh decoder. The custom mutator now and then appends a message that a small generator wrote (templates
 * over elements of all kinds and lengths, data that fits them), so that no corpus is needed to reach the
 * records.
 */
#ifndef SC_FUZZ_DECODER_H
#define SC_FUZZ_DECODER_H

#include "wire/decoder.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* ---- a generator of messages ---- */

struct fuzz_writer {
    uint8_t *data;
    size_t len, cap;
    uint64_t state;
    size_t set;
};

static inline uint32_t fuzz_random(struct fuzz_writer *w, uint32_t n)
{
    w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w->state >> 33) % n;
}

static inline void fuzz_put(struct fuzz_writer *w, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0) {
        if (w->len < w->cap)
            w->data[w->len++] = (uint8_t)(v >> 8 * bytes);
    }
}

static inline void fuzz_begin_set(struct fuzz_writer *w, uint16_t id)
{
    w->set = w->len;
    fuzz_put(w, id, 2);
    fuzz_put(w, 0, 2);
}

static inline void fuzz_end_set(struct fuzz_writer *w)
{
    if (w->set + 4 <= w->len)
        sc_store_be16(w->data + w->set + 2, (uint16_t)(w->len - w->set));
}

/* The fields of template `id` are the same each time, so that data can be written to fit. */
static inline uint32_t fuzz_fields(struct fuzz_writer *w, uint16_t id, bool ipfix, bool write)
{
    static const uint16_t elements[] = {8,   12,  27,  28,  15,  62,  7,   11,  4,   1,   2,   85,  22,
                                        21,  160, 152, 154, 156, 150, 34,  48,  50,  302, 304, 305, 306,
                                        309, 310, 311, 56,  60,  94,  82,  210, 276, 434, 293, 0,   10,
                                        70,  225, 281, 63,  18,  14,  253, 234, 235, 95};
    static const uint16_t lengths[] = {4, 4, 16, 1, 2, 8, 6, 65535, 0, 3, 4, 16, 8, 4};
    struct fuzz_writer own = {.state = id * UINT64_C(0x9e3779b97f4a7c15)};
    uint32_t n = 1 + fuzz_random(&own, 8), total = 0;
    if (write)
        fuzz_put(w, n, 2);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t element = elements[fuzz_random(&own, sizeof(elements) / sizeof(elements[0]))];
        uint16_t length = lengths[fuzz_random(&own, sizeof(lengths) / sizeof(lengths[0]))];
        bool enterprise = fuzz_random(&own, 8) == 0;
        if (write) {
            fuzz_put(w, enterprise ? element | 0x8000 : element, 2);
            fuzz_put(w, length, 2);
            if (enterprise && ipfix)
                fuzz_put(w, 29305, 4);
        } else if (length == 65535) {
            uint32_t value = fuzz_random(w, 12);
            fuzz_put(w, value, 1);
            for (uint32_t j = 0; j < value; j++)
                fuzz_put(w, fuzz_random(w, 256), 1);
        } else {
            for (uint32_t j = 0; j < length; j++)
                fuzz_put(w, fuzz_random(w, 256), 1);
        }
        total += length;
    }
    return total;
}

static inline void fuzz_options_template(struct fuzz_writer *w, uint16_t id, bool ipfix)
{
    /* One scope field and three others: samplers and the base of sysUpTime; names of interfaces, VRFs and
     * applications; the exporter's address. */
    static const uint16_t fields[][4] = {
        {1, 48, 50, 160}, {2, 10, 82, 83}, {234, 235, 236, 130}, {1, 95, 96, 131}};
    static const uint16_t sizes[][4] = {{4, 1, 4, 8}, {4, 1, 6, 4}, {1, 1, 5, 4}, {4, 1, 4, 16}};
    uint32_t which = id % 4, bytes = 0;
    fuzz_begin_set(w, ipfix ? 3 : 1);
    fuzz_put(w, id, 2);
    fuzz_put(w, 4, 2);
    fuzz_put(w, ipfix ? 1 : 12, 2);
    for (int i = 0; i < 4; i++) {
        fuzz_put(w, fields[which][i], 2);
        fuzz_put(w, sizes[which][i], 2);
        bytes += sizes[which][i];
    }
    fuzz_end_set(w);
    fuzz_begin_set(w, id);
    for (uint32_t n = 1 + fuzz_random(w, 4); n > 0; n--) {
        for (uint32_t i = 0; i < bytes; i++) /* few values, so that records meet; zeros end a name */
            fuzz_put(w, fuzz_random(w, 4) == 0 ? 0 : fuzz_random(w, 3), 1);
    }
    fuzz_end_set(w);
}

/* Flow records with what options data name. */
static inline void fuzz_named_flows(struct fuzz_writer *w, bool ipfix)
{
    static const uint16_t fields[] = {10, 14, 234, 235, 95};
    static const uint16_t sizes[] = {1, 1, 1, 1, 4};
    const uint16_t id = 290;
    fuzz_begin_set(w, ipfix ? 2 : 0);
    fuzz_put(w, id, 2);
    fuzz_put(w, 5, 2);
    for (int i = 0; i < 5; i++) {
        fuzz_put(w, fields[i], 2);
        fuzz_put(w, sizes[i], 2);
    }
    fuzz_end_set(w);
    fuzz_begin_set(w, id);
    for (uint32_t bytes = 8 * fuzz_random(w, 6); bytes > 0; bytes--)
        fuzz_put(w, fuzz_random(w, 3), 1);
    fuzz_end_set(w);
}

static inline void fuzz_sets(struct fuzz_writer *w, bool ipfix)
{
    for (uint32_t sets = 1 + fuzz_random(w, 4); sets > 0; sets--) {
        uint16_t id = (uint16_t)(256 + fuzz_random(w, 24));
        switch (fuzz_random(w, 5)) {
        case 0:
            fuzz_begin_set(w, ipfix ? 2 : 0);
            fuzz_put(w, id, 2);
            fuzz_fields(w, id, ipfix, true);
            fuzz_end_set(w);
            break;
        case 1:
            fuzz_options_template(w, (uint16_t)(300 + fuzz_random(w, 4)), ipfix);
            break;
        case 2:
            fuzz_named_flows(w, ipfix);
            break;
        default:
            fuzz_begin_set(w, id);
            for (uint32_t n = fuzz_random(w, 5); n > 0; n--)
                fuzz_fields(w, id, ipfix, false);
            fuzz_end_set(w);
            break;
        }
    }
}

/* One framed message at `data`. Returns its bytes. */
static inline size_t fuzz_generate(uint8_t *data, size_t room, unsigned seed, uint16_t version)
{
    struct fuzz_writer w = {.data = data, .cap = room, .state = seed};
    if (room < 64)
        return 0;
    fuzz_put(&w, 0x20 | fuzz_random(&w, 4), 1);
    fuzz_put(&w, 0, 2);
    fuzz_put(&w, version, 2);
    uint32_t records = fuzz_random(&w, 4);
    fuzz_put(&w, records, 2);
    unsigned header = version == 5 ? 24 : version == 9 ? 20 : 16;
    for (unsigned i = 4; i < header; i++)
        fuzz_put(&w, fuzz_random(&w, i % 2 == 0 ? 256 : 3), 1);
    if (version == 5) {
        for (uint32_t i = 0; i < 48 * records; i++)
            fuzz_put(&w, fuzz_random(&w, 256), 1);
    } else {
        fuzz_sets(&w, version == 10);
    }
    sc_store_le16(data + 1, (uint16_t)(w.len - 3));
    return w.len;
}

static inline size_t fuzz_mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed, uint16_t version)
{
    if (seed % 4 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    return size + fuzz_generate(data + size, max_size - size, seed / 4, version);
}

/* ---- what must hold after each message ---- */

static inline void fuzz_check_batch(struct sc_batch *batch)
{
    FUZZ_CHECK(sc_batch_finish(batch) == SC_OK);
    for (uint32_t slot = 0; slot < batch->slots; slot++) {
        const struct sc_column *c = batch->columns[slot];
        if (c == NULL || c->rows == 0)
            continue;
        FUZZ_CHECK(c->rows == batch->rows);
        uint32_t nulls = 0, length;
        for (uint32_t row = 0; row < c->rows; row++) {
            nulls += sc_column_is_null(c, row);
            if (c->key.kind == SC_COLUMN_BYTES)
                (void)sc_column_bytes(c, row, &length);
            else if (c->key.kind != SC_COLUMN_ADDRESS && sc_column_is_null(c, row))
                FUZZ_CHECK(sc_column_u64(c, row) == 0);
        }
        FUZZ_CHECK(nulls == c->nulls);
    }
}

/* What is saved is read, whole and a share at a time. */
static inline void fuzz_load_list(struct sc_decoder *decoder, const struct sc_buf *list)
{
    struct sc_cursor in = {.data = list->data, .len = list->len};
    struct sc_record_head head;
    const uint8_t *record;
    uint32_t length;
    while (sc_record_next(&in, &record, &length)) {
        FUZZ_CHECK(sc_record_head(record, length, &head) == SC_OK);
        FUZZ_CHECK(sc_decoder_load_record(decoder, record, length, 0, NULL) == SC_OK);
    }
    FUZZ_CHECK(!in.failed);
}

static inline void fuzz_save_and_load(struct sc_decoder *decoder, const struct sc_decoder_limits *limits)
{
    struct sc_buf first = {0}, second = {0};
    struct sc_decoder *fresh = sc_decoder_create(limits, NULL);
    FUZZ_CHECK(fresh != NULL);
    FUZZ_CHECK(sc_decoder_save(decoder, &first, NULL) == SC_OK);
    fuzz_load_list(fresh, &first);
    while (sc_decoder_changes(decoder, 100, &second) != 0)
        FUZZ_CHECK(sc_buf_ok(&second));
    fuzz_load_list(fresh, &second);
    FUZZ_CHECK(sc_decoder_changes(fresh, SIZE_MAX, &second) == 0);
    FUZZ_CHECK(sc_decoder_save(fresh, &second, NULL) == SC_OK);
    sc_buf_free(&first);
    sc_buf_free(&second);
    sc_decoder_free(fresh);
}

static inline bool fuzz_missing(void *arg, const struct sc_missing_template *missing)
{
    (void)arg;
    FUZZ_CHECK(missing->sets != 0 && missing->id >= 256);
    return missing->sets % 2 == 0;
}

static inline void fuzz_message(struct sc_decoder *decoder, const struct sc_decoder_limits *limits,
                                struct sc_decode_sink *sink, uint8_t control, uint8_t *message, size_t length)
{
    struct sc_decode_outcome outcome;
    struct sc_error err;
    struct sc_message_source source = {.exporter = sc_addr_v4(0x0a000001),
                                       .port = control & 3,
                                       .transport = (control & 4) != 0 ? SC_TRANSPORT_TCP : SC_TRANSPORT_UDP};
    struct sc_decode_sink own = *sink;
    if ((control & 0x40) != 0)
        own.options = NULL;
    if ((control & 0x20) != 0 && length >= 4 && message[1] == 10)
        sc_store_be16(message + 2, (uint16_t)length);
    uint32_t flows = sink->flows->rows, options = sink->options->rows;
    enum sc_status status = sc_decoder_message(decoder, &source, message, length, &own, &outcome, &err);
    FUZZ_CHECK(status == SC_OK || status == SC_MALFORMED || status == SC_UNSUPPORTED || status == SC_LIMIT);
    FUZZ_CHECK(sink->flows->rows == flows + outcome.flows);
    FUZZ_CHECK(own.options == NULL || sink->options->rows == options + outcome.options);
    if ((control & 8) != 0)
        sc_decoder_end_session(decoder, &source);
    if ((control & 0x10) != 0) {
        const struct sc_care care = {.missing = fuzz_missing, .missing_before_ms = UINT64_MAX};
        FUZZ_CHECK(sc_decoder_care(decoder, UINT32_MAX, UINT64_C(1) << 42, &care));
    }
    if ((control & 0x80) != 0)
        fuzz_save_and_load(decoder, limits);
    if (sink->flows->rows > 20000)
        sc_batch_reset(sink->flows);
    if (sink->options->rows > 20000)
        sc_batch_reset(sink->options);
}

static inline void fuzz_messages(const uint8_t *data, size_t size, uint16_t version)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_budget budget = {.limit = size % 5 == 0 ? 40000 : 1 << 20};
    limits.budget = &budget;
    limits.max_unknown_columns = 20;
    limits.share_bytes = size % 3 == 0 ? 65536 : 1 << 20;
    limits.template_scope = size % 2 == 0 ? SC_TEMPLATE_SCOPE_SESSION : SC_TEMPLATE_SCOPE_ADDRESS;
    struct sc_decoder *decoder = sc_decoder_create(&limits, NULL);
    struct sc_decode_sink sink = {.flows = sc_batch_create(SC_RECORDS_FLOWS),
                                  .options = sc_batch_create(SC_RECORDS_OPTIONS)};
    FUZZ_CHECK(decoder != NULL && sink.flows != NULL && sink.options != NULL);
    while (size >= 3) {
        size_t length = sc_load_le16(data + 1);
        length = length < size - 3 ? length : size - 3;
        uint8_t *message = malloc(length + 2);
        FUZZ_CHECK(message != NULL);
        memcpy(message, data + 3, length);
        if (length >= 2)
            sc_store_be16(message, version);
        fuzz_message(decoder, &limits, &sink, data[0], message, length);
        free(message);
        data += 3 + length;
        size -= 3 + length;
    }
    fuzz_check_batch(sink.flows);
    fuzz_check_batch(sink.options);
    sc_batch_free(sink.flows);
    sc_batch_free(sink.options);
    sc_decoder_free(decoder);
}

#endif
