// SPDX-License-Identifier: BSD-3-Clause
/*
 * decode_dump [--no-buffer] CAPTURE.pcap
 *
 * Feeds the UDP payloads of a classic pcap (Ethernet or raw IP) to the decoder and writes one JSON line for
 * each record: {"kind":"flow"|"options","fields":[[pen,id,instance,"u|i|f|a|b",value],..]}, options after
 * flows, and at the end {"kind":"outcome",..} with the sums. Values are as the batch has them: addresses as
 * text, bytes as hex.
 */
#include "flow/batch.h"
#include "wire/decoder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct capture {
    uint8_t *bytes;
    size_t length;
    size_t at;
    uint32_t link;
    bool nanoseconds;
};

struct datagram {
    struct sc_message_source source;
    const uint8_t *payload;
    size_t length;
};

static bool load_file(const char *path, struct capture *c)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    bool ok = fseek(f, 0, SEEK_END) == 0;
    long size = ok ? ftell(f) : -1;
    ok = size >= 24 && fseek(f, 0, SEEK_SET) == 0;
    c->bytes = ok ? malloc((size_t)size) : NULL;
    c->length = (size_t)size;
    ok = c->bytes != NULL && fread(c->bytes, 1, c->length, f) == c->length;
    (void)fclose(f);
    uint32_t magic = ok ? sc_load_le32(c->bytes) : 0;
    c->nanoseconds = magic == 0xa1b23c4d;
    c->link = ok ? sc_load_le32(c->bytes + 20) : 0;
    c->at = 24;
    return magic == 0xa1b2c3d4 || c->nanoseconds;
}

/* The UDP datagram in an IP packet; false when it is something else. */
static bool parse_ip(const uint8_t *p, size_t length, struct datagram *d)
{
    size_t header = 40;
    if (length < 20)
        return false;
    if (p[0] >> 4 == 4) {
        header = (size_t)(p[0] & 15) * 4;
        d->source.exporter = sc_addr_v4(sc_load_be32(p + 12));
        if (p[9] != 17)
            return false;
    } else if (length < 40 || p[6] != 17) {
        return false;
    } else {
        memcpy(d->source.exporter.b, p + 8, 16);
    }
    if (length < header + 8)
        return false;
    d->source.port = sc_load_be16(p + header);
    size_t udp = sc_load_be16(p + header + 4);
    if (udp < 8 || udp > length - header)
        return false;
    d->payload = p + header + 8;
    d->length = udp - 8;
    return true;
}

static bool next_datagram(struct capture *c, struct datagram *d)
{
    while (c->length - c->at >= 16) {
        const uint8_t *h = c->bytes + c->at;
        uint32_t captured = sc_load_le32(h + 8);
        if (captured > c->length - c->at - 16)
            return false;
        c->at += 16 + captured;
        *d = (struct datagram){.source.transport = SC_TRANSPORT_UDP};
        d->source.receive_ms =
            (uint64_t)sc_load_le32(h) * 1000 + sc_load_le32(h + 4) / (c->nanoseconds ? 1000000 : 1000);
        size_t skip = c->link == 1 ? 14 : 0;
        if (captured >= skip && parse_ip(h + 16 + skip, captured - skip, d))
            return true;
    }
    return false;
}

static void print_value(const struct sc_column *c, uint32_t row)
{
    char text[SC_ADDR_TEXT_MAX];
    uint32_t length;
    const uint8_t *bytes;
    uint64_t u;
    double f;
    switch (c->key.kind) {
    case SC_COLUMN_ADDRESS:
        sc_addr_format(sc_column_addr(c, row), text);
        printf("\"a\",\"%s\"", text);
        break;
    case SC_COLUMN_BYTES:
        bytes = sc_column_bytes(c, row, &length);
        printf("\"b\",\"");
        for (uint32_t i = 0; i < length; i++)
            printf("%02x", bytes[i]);
        printf("\"");
        break;
    case SC_COLUMN_INT:
        printf("\"i\",%" PRId64, (int64_t)sc_column_u64(c, row));
        break;
    case SC_COLUMN_FLOAT:
        u = sc_column_u64(c, row);
        memcpy(&f, &u, sizeof(f));
        printf("\"f\",%.17g", f);
        break;
    default:
        printf("\"u\",%" PRIu64, sc_column_u64(c, row));
        break;
    }
}

static void print_batch(const struct sc_batch *batch, const char *kind)
{
    for (uint32_t row = 0; row < batch->rows; row++) {
        const char *comma = "";
        printf("{\"kind\":\"%s\",\"fields\":[", kind);
        for (uint32_t slot = 0; slot < batch->slots; slot++) {
            const struct sc_column *c = batch->columns[slot];
            if (c == NULL || row >= c->rows || sc_column_is_null(c, row))
                continue;
            printf("%s[%u,%u,%u,", comma, c->key.pen, c->key.id, c->key.instance);
            print_value(c, row);
            printf("]");
            comma = ",";
        }
        printf("]}\n");
    }
}

static void add_outcome(struct sc_decode_outcome *sum, const struct sc_decode_outcome *o)
{
    sum->flows += o->flows;
    sum->options += o->options;
    sum->templates += o->templates;
    sum->no_template_sets += o->no_template_sets;
    sum->recovered_sets += o->recovered_sets;
    sum->malformed += o->malformed;
    sum->lost += o->lost;
}

static int dump(struct capture *capture, struct sc_decoder *decoder, struct sc_decode_sink *sink)
{
    struct sc_decode_outcome sum = {0}, outcome;
    struct datagram d;
    struct sc_error err;
    while (next_datagram(capture, &d)) {
        enum sc_status status =
            sc_decoder_message(decoder, &d.source, d.payload, d.length, sink, &outcome, &err);
        if (status == SC_NOMEM)
            return 1;
        if (status != SC_OK)
            fprintf(stderr, "%s\n", err.message);
        add_outcome(&sum, &outcome);
    }
    if (sc_batch_finish(sink->flows) != SC_OK || sc_batch_finish(sink->options) != SC_OK)
        return 1;
    print_batch(sink->flows, "flow");
    print_batch(sink->options, "options");
    printf("{\"kind\":\"outcome\",\"flows\":%u,\"options\":%u,\"templates\":%u,\"no_template_sets\":%u,"
           "\"recovered_sets\":%u,\"malformed\":%u,\"lost\":%u}\n",
           sum.flows, sum.options, sum.templates, sum.no_template_sets, sum.recovered_sets, sum.malformed,
           sum.lost);
    return 0;
}

int main(int argc, char **argv)
{
    struct sc_decoder_limits limits = sc_decoder_default_limits();
    if (argc > 2 && strcmp(argv[1], "--no-buffer") == 0)
        limits.max_buffered_sets = 0; /* data sets that come before their template stay undecoded */
    struct capture capture = {0};
    if (argc < 2 || !load_file(argv[argc - 1], &capture)) {
        fprintf(stderr, "usage: decode_dump [--no-buffer] CAPTURE.pcap\n");
        free(capture.bytes);
        return 2;
    }
    struct sc_error err;
    struct sc_decoder *decoder = sc_decoder_create(&limits, &err);
    struct sc_decode_sink sink = {.flows = sc_batch_create(SC_RECORDS_FLOWS),
                                  .options = sc_batch_create(SC_RECORDS_OPTIONS)};
    int rc = 1;
    if (decoder != NULL && sink.flows != NULL && sink.options != NULL)
        rc = dump(&capture, decoder, &sink);
    sc_batch_free(sink.flows);
    sc_batch_free(sink.options);
    sc_decoder_free(decoder);
    free(capture.bytes);
    return rc;
}
