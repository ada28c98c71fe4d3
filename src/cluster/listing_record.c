// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/listing_feed.h"

#define NULL_BIT 0x80u

static void put_value(struct sc_buf *out, const struct sc_value *v)
{
    uint64_t bits = v->u;
    sc_buf_append_u8(out, (uint8_t)(v->type | (v->null ? NULL_BIT : 0)));
    if (v->null)
        return;
    switch (v->type) {
    case SC_VALUE_ADDRESS:
        sc_buf_append(out, v->addr.b, sizeof(v->addr.b));
        return;
    case SC_VALUE_BYTES:
    case SC_VALUE_STRING:
        sc_buf_append_le32(out, v->length);
        if (v->length != 0)
            sc_buf_append(out, v->bytes, v->length);
        return;
    case SC_VALUE_FLOAT:
        memcpy(&bits, &v->f, sizeof(bits));
        break;
    default:
        break;
    }
    sc_buf_append_le64(out, bits);
}

void sc_record_put(struct sc_buf *out, const struct sc_value *values, uint32_t count)
{
    size_t start = out->len;
    sc_buf_append_le32(out, 0);
    for (uint32_t i = 0; i < count; i++)
        put_value(out, &values[i]);
    if (sc_buf_ok(out))
        sc_store_le32(out->data + start, (uint32_t)(out->len - start - 4));
}

size_t sc_record_length(const uint8_t *bytes, size_t length)
{
    size_t own = length < 4 ? 0 : (size_t)4 + sc_load_le32(bytes);
    return own > length ? 0 : own;
}

static void get_value(struct sc_cursor *in, struct sc_value *v)
{
    uint8_t head = sc_cursor_u8(in);
    const uint8_t *bytes;
    *v = (struct sc_value){.type = head & ~NULL_BIT, .null = (head & NULL_BIT) != 0};
    if (v->null)
        return;
    switch (v->type) {
    case SC_VALUE_ADDRESS:
        bytes = sc_cursor_take(in, sizeof(v->addr.b));
        if (bytes != NULL)
            memcpy(v->addr.b, bytes, sizeof(v->addr.b));
        return;
    case SC_VALUE_BYTES:
    case SC_VALUE_STRING:
        v->length = sc_cursor_le32(in);
        v->bytes = sc_cursor_take(in, v->length);
        return;
    default:
        v->u = sc_cursor_le64(in);
        break;
    }
    if (v->type == SC_VALUE_FLOAT) {
        memcpy(&v->f, &v->u, sizeof(v->f));
        v->u = 0;
    }
}

enum sc_status sc_record_get(const uint8_t *bytes, size_t length, struct sc_value *values, uint32_t count)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    bool known = sc_cursor_le32(&in) == length - 4;
    for (uint32_t i = 0; i < count; i++) {
        get_value(&in, &values[i]);
        known = known && values[i].type <= SC_VALUE_STRING;
    }
    return known && !in.failed && sc_cursor_left(&in) == 0 ? SC_OK : SC_DAMAGED;
}
