// SPDX-License-Identifier: BSD-3-Clause
/*
 * Saved template state: any bytes, as a list of records; as a journal, as it is and with each frame put right, then torn; and as the whole
 * states of earlier programs, with frame and checksum put right.
 */
#include "fuzz_decoder.h"

#include "collect/templates.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static size_t put_frame(uint8_t *data, size_t size)
{
    const uint8_t head[8] = {'S', 'C', 'T', 'S', 2, 0, 0, 0};
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
    FUZZ_CHECK(sc_decoder_save(decoder, &told, &err) == SC_OK);
    FUZZ_CHECK(sc_decoder_merge_records(decoder, told.data, told.len, at_ms, at_ms, &err) == SC_OK);
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

/* ---- records ---- */

static bool is_allowed(enum sc_status status)
{
    return status == SC_OK || status == SC_DAMAGED || status == SC_UNSUPPORTED || status == SC_LIMIT;
}

/* A list, to be loaded and to be merged, in shares. */
static void load_records(const uint8_t *data, size_t size)
{
    const uint64_t at_ms = UINT64_C(1700000000000);
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_error err;
    struct sc_cursor in = {.data = data, .len = size};
    const uint8_t *record;
    uint32_t length;
    size_t at = 0;
    struct sc_decoder *decoder = sc_decoder_create(&limits, &err);
    FUZZ_CHECK(decoder != NULL);
    while (sc_record_next(&in, &record, &length))
        FUZZ_CHECK(is_allowed(sc_decoder_load_record(decoder, record, length, at_ms, &err)));
    FUZZ_CHECK(is_allowed(sc_decoder_merge_records(decoder, data, size, at_ms, at_ms + 900000, &err)));
    struct sc_buf state = {0};
    sc_templates_begin_state(&state);
    sc_buf_append(&state, data, size);
    enum sc_status status;
    do {
        status = sc_templates_merge(state.data, state.len, &at, 64, decoder, at_ms, 0, &err);
    } while (status == SC_AGAIN);
    FUZZ_CHECK(is_allowed(status));
    sc_buf_free(&state);
    fuzz_save_and_load(decoder, &limits);
    sc_decoder_free(decoder);
}

/* ---- files ---- */

#define SALT UINT64_C(0x5a17)

struct store {
    char folder[64], state[96], journal[96];
};

static void write_bytes(const char *path, const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL && fwrite(bytes, 1, length, file) == length);
    fclose(file);
}

/* Returns the number of sessions. */
static uint32_t read_store(const struct store *s)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    struct sc_templates_read found;
    struct sc_roll roll;
    struct sc_error err;
    sc_roll_init(&roll, 1 << 20);
    FUZZ_CHECK(
        is_allowed(sc_templates_read(s->folder, &limits, UINT64_C(1700000000000), &roll, &found, &err)));
    FUZZ_CHECK(roll.bytes <= roll.most);
    uint32_t count = 0;
    for (const struct sc_roll_entry *e = sc_roll_after(&roll, 0); e != NULL;
         e = sc_roll_after(&roll, e->number))
        count++;
    FUZZ_CHECK(count == roll.count);
    sc_roll_free(&roll);
    return count;
}

/* The bytes as a file; each record of the list as a frame of a journal, with a torn end and with a byte changed. */
static void read_files(const struct store *s, const uint8_t *data, size_t size)
{
    struct sc_cursor in = {.data = data, .len = size};
    struct sc_buf file = {0};
    const uint8_t *record;
    uint32_t length;
    write_bytes(s->state, data, size);
    read_store(s);
    sc_templates_put_head(&file, SALT);
    while (sc_record_next(&in, &record, &length))
        sc_templates_put_frame(&file, SALT, record, length);
    FUZZ_CHECK(sc_buf_ok(&file));
    write_bytes(s->journal, file.data, file.len);
    read_store(s);
    if (size != 0) {
        size_t at = (size_t)XXH3_64bits(data, size) % file.len;
        write_bytes(s->journal, file.data, at);
        read_store(s);
        file.data[at] ^= (uint8_t)(1 + size % 255);
        write_bytes(s->journal, file.data, file.len);
        read_store(s);
    }
    sc_buf_free(&file);
}

static void read_as_files(const uint8_t *data, size_t size)
{
    struct store s;
    snprintf(s.folder, sizeof(s.folder), "/tmp/sc-fuzz-state-%ld", (long)getpid());
    snprintf(s.state, sizeof(s.state), "%s/templates.state", s.folder);
    snprintf(s.journal, sizeof(s.journal), "%s/templates.journal", s.folder);
    mkdir(s.folder, 0700);
    read_files(&s, data, size);
    unlink(s.state);
    unlink(s.journal);
    rmdir(s.folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    load_records(copy, size);
    read_as_files(copy, size);
    load(copy, size);
    load(copy, put_frame(copy, size));
    free(copy);
    return 0;
}

/* The records that a decoder saved, of the messages that the generator writes. */
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
