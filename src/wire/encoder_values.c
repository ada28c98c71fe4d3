// SPDX-License-Identifier: BSD-3-Clause
/* Values of a column in network order, a column at a time: the inner loops of the encoder. */
#include "wire/encoder_types.h"

static void put_be(uint8_t *out, uint64_t v, unsigned length)
{
    for (unsigned i = length; i > 0; i--, v >>= 8)
        out[i - 1] = (uint8_t)v;
}

void sc_encoder_put_uints(const struct sc_column *column, unsigned length, uint32_t row, uint32_t n,
                          uint8_t *out, size_t stride)
{
    switch (length) {
    case 1:
        for (uint32_t i = 0; i < n; i++, out += stride)
            *out = (uint8_t)sc_encoder_load(column, row + i);
        break;
    case 2:
        for (uint32_t i = 0; i < n; i++, out += stride)
            sc_store_be16(out, (uint16_t)sc_encoder_load(column, row + i));
        break;
    case 4:
        for (uint32_t i = 0; i < n; i++, out += stride)
            sc_store_be32(out, (uint32_t)sc_encoder_load(column, row + i));
        break;
    case 8:
        for (uint32_t i = 0; i < n; i++, out += stride)
            sc_store_be64(out, sc_encoder_load(column, row + i));
        break;
    default:
        for (uint32_t i = 0; i < n; i++, out += stride)
            put_be(out, sc_encoder_load(column, row + i), length);
        break;
    }
}

static void put_addresses(const struct sc_column *column, unsigned length, uint32_t row, uint32_t n,
                          uint8_t *out, size_t stride)
{
    for (uint32_t i = 0; i < n; i++, out += stride)
        memcpy(out, sc_column_addr(column, row + i)->b + 16 - length, length);
}

static void put_uptimes(const struct sc_encoder *e, const struct sc_column *column, uint32_t row, uint32_t n,
                        uint8_t *out, size_t stride)
{
    for (uint32_t i = 0; i < n; i++, out += stride)
        sc_store_be32(out, (uint32_t)(sc_encoder_load(column, row + i) - e->options.system_init_ms));
}

static void put_floats(const struct sc_column *column, uint32_t row, uint32_t n, uint8_t *out, size_t stride)
{
    for (uint32_t i = 0; i < n; i++, out += stride) {
        uint64_t bits = sc_column_u64(column, row + i);
        double wide;
        memcpy(&wide, &bits, sizeof(wide));
        float narrow = (float)wide;
        uint32_t word;
        memcpy(&word, &narrow, sizeof(word));
        sc_store_be32(out, word);
    }
}

uint32_t sc_encoder_variable_length(const struct encoder_source *source, uint32_t row)
{
    uint32_t length;
    sc_column_bytes(source->column, row, &length);
    return length < 255 ? length + 1 : length + 3;
}

/* RFC 7011 section 7: one byte of length below 255, else 255 and two bytes. */
static void put_variable(const struct sc_column *column, uint32_t row, uint8_t *out)
{
    uint32_t length;
    const uint8_t *bytes = sc_column_bytes(column, row, &length);
    if (length < 255) {
        *out++ = (uint8_t)length;
    } else {
        *out++ = 255;
        sc_store_be16(out, (uint16_t)length);
        out += 2;
    }
    if (length != 0)
        memcpy(out, bytes, length);
}

static void put_padded(const struct sc_column *column, uint32_t length, uint32_t row, uint32_t n,
                       uint8_t *out, size_t stride)
{
    for (uint32_t i = 0; i < n; i++, out += stride) {
        uint32_t have;
        const uint8_t *bytes = sc_column_bytes(column, row + i, &have);
        if (have != 0)
            memcpy(out, bytes, have);
        memset(out + have, 0, length - have);
    }
}

void sc_encoder_put_values(const struct sc_encoder *e, const struct encoder_source *source, uint32_t length,
                           uint32_t row, uint32_t n, uint8_t *out, size_t stride)
{
    switch (source->op) {
    case ENCODER_UINT:
        sc_encoder_put_uints(source->column, length, row, n, out, stride);
        break;
    case ENCODER_ADDRESS:
        put_addresses(source->column, length, row, n, out, stride);
        break;
    case ENCODER_UPTIME:
        put_uptimes(e, source->column, row, n, out, stride);
        break;
    case ENCODER_FLOAT32:
        put_floats(source->column, row, n, out, stride);
        break;
    default:
        if (length == ENCODER_VARIABLE)
            put_variable(source->column, row, out);
        else
            put_padded(source->column, length, row, n, out, stride);
        break;
    }
}
