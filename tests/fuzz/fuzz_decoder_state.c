// SPDX-License-Identifier: BSD-3-Clause
/* Saved template state: any bytes, as they are and with the frame and checksum put right. */
#include "fuzz_decoder.h"

#include <xxhash.h>

static size_t put_frame(uint8_t *data, size_t size)
{
    static const uint8_t head[8] = {'S', 'C', 'T', 'S', 1, 0, 0, 0};
    if (size < 20)
        return size;
    memcpy(data, head, sizeof(head));
    sc_store_le64(data + size - 8, XXH3_64bits(data, size - 8));
    return size;
}

static void load(const uint8_t *data, size_t size)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_schema schema;
    struct sc_error err;
    sc_schema_init(&schema, 400);
    struct sc_decoder *decoder = sc_decoder_create(&limits, &schema, &err);
    FUZZ_CHECK(decoder != NULL);
    enum sc_status status = sc_decoder_load(decoder, data, size, UINT64_C(1700000000000), &err);
    FUZZ_CHECK(status == SC_OK || status == SC_DAMAGED || status == SC_UNSUPPORTED);
    /* Beside what is there, which is the same, and older or younger by the clocks. */
    FUZZ_CHECK(sc_decoder_merge(decoder, data, size, UINT64_C(1700000000000), UINT64_C(1700000900000),
                                &err) == status);
    FUZZ_CHECK(sc_decoder_merge(decoder, data, size, UINT64_C(1700000000000), 0, &err) == status);
    if (status == SC_OK)
        fuzz_save_and_load(decoder, &limits);
    sc_decoder_free(decoder);
    sc_schema_free(&schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    load(copy, size);
    load(copy, put_frame(copy, size));
    free(copy);
    return 0;
}

/* A state that a decoder saved, of the messages that the generator writes. */
static size_t fresh_state(uint8_t *data, size_t max_size, unsigned seed)
{
    uint8_t messages[2048];
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_schema schema;
    struct sc_buf out = {0};
    sc_schema_init(&schema, 400);
    struct sc_decoder *decoder = sc_decoder_create(&limits, &schema, NULL);
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
    sc_schema_free(&schema);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t fresh = seed % 8 == 0 ? fresh_state(data, max_size, seed / 8) : 0;
    return fresh != 0 ? fresh : LLVMFuzzerMutate(data, size, max_size);
}
