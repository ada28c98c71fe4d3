// SPDX-License-Identifier: BSD-3-Clause
/* Saved template state: any bytes, as they are and with the frame and checksum of each format put right. */
#include "fuzz_decoder.h"

#include <xxhash.h>

static size_t put_frame(uint8_t *data, size_t size, uint8_t version)
{
    const uint8_t head[8] = {'S', 'C', 'T', 'S', version, 0, 0, 0};
    if (size < 20)
        return size;
    memcpy(data, head, sizeof(head));
    sc_store_le64(data + size - 8, XXH3_64bits(data, size - 8));
    return size;
}

/* As another collector would tell of it, beside what is there, which is the same, and older or younger by the clocks. */
static void merge(struct sc_decoder *decoder, const uint8_t *data, size_t size, enum sc_status wanted)
{
    static const uint8_t head[8] = {'S', 'C', 'T', 'O', 1, 0, 0, 0};
    const uint64_t at_ms = UINT64_C(1700000000000);
    struct sc_buf told = {0};
    struct sc_error err;
    sc_buf_append(&told, head, sizeof(head));
    sc_buf_append_le32(&told, (uint32_t)size);
    sc_buf_append(&told, data, size);
    sc_buf_append_le32(&told, size < 31 ? 0 : 1);
    sc_buf_append(&told, data, size < 31 ? 0 : 31); /* an account */
    sc_buf_append_le64(&told, XXH3_64bits(told.data, told.len));
    FUZZ_CHECK(sc_buf_ok(&told));
    FUZZ_CHECK(sc_decoder_merge(decoder, told.data, told.len, at_ms, at_ms + 900000, &err) == wanted);
    FUZZ_CHECK(sc_decoder_merge(decoder, told.data, told.len, at_ms, 0, &err) == wanted);
    sc_buf_clear(&told);
    FUZZ_CHECK(sc_decoder_save_own(decoder, &told, &err) == SC_OK);
    FUZZ_CHECK(sc_decoder_merge(decoder, told.data, told.len, at_ms, at_ms, &err) == SC_OK);
    sc_buf_free(&told);
}

static void load(const uint8_t *data, size_t size)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_error err;
    struct sc_decoder *decoder = sc_decoder_create(&limits, &err);
    FUZZ_CHECK(decoder != NULL);
    enum sc_status status = sc_decoder_load(decoder, data, size, UINT64_C(1700000000000), &err);
    FUZZ_CHECK(status == SC_OK || status == SC_DAMAGED || status == SC_UNSUPPORTED);
    merge(decoder, data, size, status);
    if (status == SC_OK)
        fuzz_save_and_load(decoder, &limits);
    sc_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    load(copy, size);
    for (uint8_t version = 1; version <= 2; version++)
        load(copy, put_frame(copy, size, version));
    free(copy);
    return 0;
}

/* A state that a decoder saved, of the messages that the generator writes. */
static size_t fresh_state(uint8_t *data, size_t max_size, unsigned seed)
{
    uint8_t messages[2048];
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_buf out = {0};
    struct sc_decoder *decoder = sc_decoder_create(&limits, NULL);
    struct sc_decode_sink sink = {.flows = sc_batch_create(SC_RECORDS_FLOWS),
                                  .options = sc_batch_create(SC_RECORDS_OPTIONS)};
    FUZZ_CHECK(decoder != NULL && sink.flows != NULL && sink.options != NULL);
    for (unsigned i = 0; i < 6; i++) {
        size_t size = fuzz_generate(messages, sizeof(messages), seed + i, i % 2 == 0 ? 9 : 10);
        fuzz_message(decoder, &limits, &sink, messages[0] & 0x23, messages + 3, size - 3);
    }
    FUZZ_CHECK(sc_decoder_save(decoder, &out, NULL) == SC_OK);
    size_t size = out.len < max_size ? out.len : 0;
    memcpy(data, out.data, size);
    sc_buf_free(&out);
    sc_batch_free(sink.flows);
    sc_batch_free(sink.options);
    sc_decoder_free(decoder);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t fresh = seed % 8 == 0 ? fresh_state(data, max_size, seed / 8) : 0;
    return fresh != 0 ? fresh : LLVMFuzzerMutate(data, size, max_size);
}
