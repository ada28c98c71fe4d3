// SPDX-License-Identifier: BSD-3-Clause
/*
 * Template state as bytes, little-endian:
 *
 *   u32 magic "SCTS", u32 format version (2), u32 sessions
 *   session:  16 bytes exporter, u16 port, u32 domains
 *   domain:   u8 protocol version, u8 flags (bit 0: init_ms is known, 1: the exporter's address too), u32 id,
 *             u64 init_ms, u64 default rate, u32 samplers, u32 templates,
 *             from version 2 on: u32 names, 16 bytes exporter as it tells itself;
 *             then its samplers, templates and names
 *   sampler:  u64 id, u64 rate
 *   template: u16 id, u8 options, u16 scopes, u64 seen_ms, u64 refresh_ms, u32 fields
 *   field:    u32 pen, u16 id, u16 length
 *   name:     u8 enum sc_map_kind, u64 low, u64 high of struct sc_map_key, u8 length, bytes; in no order
 *   u64 XXH3 of all before
 *
 * Sessions are in the order of their use, the newest last. Only UDP sessions that hold something are written:
 * others begin with their templates. Loading builds the sessions apart and gives them to the decoder when all
 * bytes proved whole; one that the decoder has already stays as it is.
 */
#include "wire/decoder_internal.h"

#include <stdlib.h>
#include <xxhash.h>

#define MAGIC          UINT32_C(0x53544353)
#define FORMAT_VERSION 2u
#define CHECKSUM_BYTES 8u

enum { INIT_KNOWN = 1, EXPORTER_KNOWN = 2 }; /* flags of a domain */

/* ---- save ---- */

static void save_template(struct sc_buf *out, const struct sc_template *t)
{
    sc_buf_append_le16(out, t->id);
    sc_buf_append_u8(out, t->options);
    sc_buf_append_le16(out, t->scope_count);
    sc_buf_append_le64(out, t->seen_ms);
    sc_buf_append_le64(out, t->refresh_ms);
    sc_buf_append_le32(out, t->field_count);
    for (uint32_t i = 0; i < t->field_count; i++) {
        sc_buf_append_le32(out, t->fields[i].pen);
        sc_buf_append_le16(out, t->fields[i].id);
        sc_buf_append_le16(out, t->fields[i].length);
    }
}

static void save_name(struct sc_buf *out, unsigned kind, const struct sc_map_entry *entry)
{
    sc_buf_append_u8(out, (uint8_t)kind);
    sc_buf_append_le64(out, entry->key.low);
    sc_buf_append_le64(out, entry->key.high);
    sc_buf_append(out, entry->name, (size_t)entry->name[0] + 1);
}

static void save_names(struct sc_buf *out, const struct sc_domain_maps *maps)
{
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++) {
        const struct sc_name_map *map = &maps->names[kind];
        for (uint32_t i = 0; i < map->capacity; i++) {
            if (map->entries[i].name != NULL)
                save_name(out, kind, &map->entries[i]);
        }
    }
}

static void save_domain(struct sc_buf *out, const struct sc_domain *domain)
{
    static const struct sc_domain_maps none;
    const struct sc_domain_maps *maps = domain->maps == NULL ? &none : domain->maps;
    uint32_t names = 0;
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++)
        names += maps->names[kind].count;
    sc_buf_append_u8(out, domain->version);
    sc_buf_append_u8(out,
                     (domain->init_known ? INIT_KNOWN : 0) | (maps->exporter_known ? EXPORTER_KNOWN : 0));
    sc_buf_append_le32(out, domain->id);
    sc_buf_append_le64(out, domain->init_ms);
    sc_buf_append_le64(out, domain->default_rate);
    sc_buf_append_le32(out, domain->sampler_count);
    sc_buf_append_le32(out, domain->template_count);
    sc_buf_append_le32(out, names);
    sc_buf_append(out, maps->exporter.b, sizeof(maps->exporter.b));
    for (uint32_t i = 0; i < domain->sampler_count; i++) {
        sc_buf_append_le64(out, domain->samplers[i].id);
        sc_buf_append_le64(out, domain->samplers[i].rate);
    }
    for (uint32_t i = 0; i < domain->template_count; i++)
        save_template(out, domain->templates[i]);
    save_names(out, maps);
}

static bool is_worth_saving(const struct sc_session *session, bool own)
{
    for (uint32_t i = 0; i < session->domain_count && session->transport == SC_TRANSPORT_UDP; i++) {
        if (session->domains[i]->template_count != 0 && !(own && session->domains[i]->borrowed))
            return true;
    }
    return false;
}

enum sc_status sc_state_write(const struct sc_decoder *decoder, bool own, struct sc_buf *out,
                              struct sc_error *err)
{
    size_t start = out->len;
    uint32_t sessions = 0;
    for (const struct sc_session *s = decoder->oldest; s != NULL; s = s->newer)
        sessions += is_worth_saving(s, own);
    sc_buf_append_le32(out, MAGIC);
    sc_buf_append_le32(out, FORMAT_VERSION);
    sc_buf_append_le32(out, sessions);
    for (const struct sc_session *s = decoder->oldest; s != NULL; s = s->newer) {
        if (!is_worth_saving(s, own))
            continue;
        sc_buf_append(out, s->exporter.b, sizeof(s->exporter.b));
        sc_buf_append_le16(out, s->port);
        sc_buf_append_le32(out, s->domain_count);
        for (uint32_t i = 0; i < s->domain_count; i++)
            save_domain(out, s->domains[i]);
    }
    if (sc_buf_ok(out))
        sc_buf_append_le64(out, XXH3_64bits(out->data + start, out->len - start));
    if (sc_buf_ok(out))
        return SC_OK;
    out->len = start;
    return sc_fail_nomem(err, "the saved template state");
}

enum sc_status sc_decoder_save(const struct sc_decoder *decoder, struct sc_buf *out, struct sc_error *err)
{
    return sc_state_write(decoder, false, out, err);
}

/* ---- load ---- */

struct loader {
    struct sc_cursor in;
    const struct sc_decoder *decoder;
    const struct sc_decoder_limits *limits; /* the decoder's */
    uint32_t version;
    struct sc_wire_field *fields;
    uint64_t now_ms;
};

static bool is_outlived(const struct loader *l, uint64_t seen_ms, uint64_t refresh_ms)
{
    uint64_t lifetime = (uint64_t)l->limits->template_lifetime_s * 1000;
    if (refresh_ms < UINT64_MAX / 3 && 3 * refresh_ms > lifetime)
        lifetime = 3 * refresh_ms;
    return seen_ms < l->now_ms && l->now_ms - seen_ms > lifetime;
}

/* One template, left out where the decoder's limits are now narrower or its time is up. */
static enum sc_status load_template(struct loader *l, struct sc_session *session, struct sc_domain *domain)
{
    uint16_t id = sc_cursor_le16(&l->in);
    bool options = sc_cursor_u8(&l->in) != 0;
    uint16_t scopes = sc_cursor_le16(&l->in);
    uint64_t seen_ms = sc_cursor_le64(&l->in), refresh_ms = sc_cursor_le64(&l->in);
    uint32_t count = sc_cursor_le32(&l->in);
    if (l->in.failed || id < 256 || count > sc_cursor_left(&l->in) / 8)
        return SC_DAMAGED;
    bool wanted = count <= l->limits->max_fields && !is_outlived(l, seen_ms, refresh_ms) &&
                  sc_domain_template(domain, id) == NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_wire_field field = {.pen = sc_cursor_le32(&l->in)};
        field.id = sc_cursor_le16(&l->in);
        field.length = sc_cursor_le16(&l->in);
        if (wanted)
            l->fields[i] = field;
    }
    if (!wanted)
        return SC_OK;
    struct sc_template *old,
        *t = sc_template_compile(session, l->limits, l->fields, count, id, options, scopes);
    if (t == NULL)
        return SC_NOMEM;
    t->seen_ms = seen_ms < l->now_ms ? seen_ms : l->now_ms;
    t->refresh_ms = refresh_ms < UINT32_MAX ? refresh_ms : 0;
    if (!sc_session_has_room(session, l->limits, t->bytes)) {
        free(t);
        return SC_OK;
    }
    enum sc_status status = sc_domain_put_template(session, domain, t, &old);
    if (status != SC_OK)
        free(t);
    return status;
}

static enum sc_status load_samplers(struct loader *l, struct sc_session *session, struct sc_domain *domain,
                                    uint32_t count)
{
    for (uint32_t i = 0; i < count && !l->in.failed; i++) {
        uint64_t id = sc_cursor_le64(&l->in), rate = sc_cursor_le64(&l->in);
        if (!l->in.failed && sc_domain_put_sampler(session, l->limits, domain, id, rate) == SC_NOMEM)
            return SC_NOMEM;
    }
    return l->in.failed ? SC_DAMAGED : SC_OK;
}

/* Names that the decoder has no room for now are left out. */
static enum sc_status load_names(struct loader *l, struct sc_session *session, struct sc_domain *domain,
                                 uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind = sc_cursor_u8(&l->in);
        struct sc_map_item item = {.kind = (enum sc_map_kind)kind};
        item.key.low = sc_cursor_le64(&l->in);
        item.key.high = sc_cursor_le64(&l->in);
        item.length = sc_cursor_u8(&l->in);
        item.name = sc_cursor_take(&l->in, item.length);
        if (l->in.failed || kind >= SC_MAP_COUNT)
            return SC_DAMAGED;
        if (sc_domain_put_name(l->decoder, session, domain, &item) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* How many names follow, and the exporter's own address: from version 2 on. */
static enum sc_status load_names_head(struct loader *l, struct sc_addr *exporter, uint32_t *names)
{
    *names = 0;
    if (l->version < 2)
        return SC_OK;
    *names = sc_cursor_le32(&l->in);
    const uint8_t *p = sc_cursor_take(&l->in, sizeof(exporter->b));
    if (p == NULL)
        return SC_DAMAGED;
    memcpy(exporter->b, p, sizeof(exporter->b));
    return SC_OK;
}

/* SC_LIMIT: the decoder's limits are narrower now than when the state was saved. */
static enum sc_status load_domain(struct loader *l, struct sc_session *session)
{
    uint8_t version = sc_cursor_u8(&l->in);
    uint8_t flags = sc_cursor_u8(&l->in);
    uint32_t id = sc_cursor_le32(&l->in);
    uint64_t init_ms = sc_cursor_le64(&l->in), rate = sc_cursor_le64(&l->in);
    uint32_t samplers = sc_cursor_le32(&l->in), templates = sc_cursor_le32(&l->in), names;
    struct sc_addr exporter;
    SC_TRY(load_names_head(l, &exporter, &names));
    if (l->in.failed)
        return SC_DAMAGED;
    struct sc_domain *domain;
    enum sc_status status = sc_session_domain(session, l->limits, version, id, &domain);
    if (status != SC_OK)
        return status;
    domain->init_known = (flags & INIT_KNOWN) != 0;
    domain->init_ms = init_ms;
    domain->default_rate = rate;
    SC_TRY(load_samplers(l, session, domain, samplers));
    for (uint32_t i = 0; i < templates; i++)
        SC_TRY(load_template(l, session, domain));
    if (l->version >= 2 && (flags & EXPORTER_KNOWN) != 0 &&
        sc_domain_put_exporter(l->decoder, session, domain, &exporter) == SC_NOMEM)
        return SC_NOMEM;
    return load_names(l, session, domain, names);
}

static enum sc_status load_session(struct loader *l, struct sc_session **out)
{
    struct sc_message_source source = {.transport = SC_TRANSPORT_UDP};
    const uint8_t *exporter = sc_cursor_take(&l->in, sizeof(source.exporter.b));
    source.port = sc_cursor_le16(&l->in);
    uint32_t domains = sc_cursor_le32(&l->in);
    if (exporter == NULL || l->in.failed)
        return SC_DAMAGED;
    memcpy(source.exporter.b, exporter, sizeof(source.exporter.b));
    struct sc_session *session = sc_session_create(&source, false);
    if (session == NULL)
        return SC_NOMEM;
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < domains && status == SC_OK; i++)
        status = load_domain(l, session);
    if (status != SC_OK) {
        sc_session_free(session);
        return status;
    }
    *out = session;
    return SC_OK;
}

static enum sc_status check_frame(struct loader *l, const uint8_t *bytes, size_t length, uint32_t *sessions,
                                  struct sc_error *err)
{
    if (length < 12 + CHECKSUM_BYTES)
        return sc_fail(err, SC_DAMAGED, "saved template state of %zu bytes is too short; delete the file",
                       length);
    l->in = (struct sc_cursor){.data = bytes, .len = length - CHECKSUM_BYTES};
    if (sc_cursor_le32(&l->in) != MAGIC)
        return sc_fail(err, SC_DAMAGED, "saved template state does not begin as such; delete the file");
    l->version = sc_cursor_le32(&l->in);
    if (l->version < 1 || l->version > FORMAT_VERSION)
        return sc_fail(err, SC_UNSUPPORTED, "saved template state has format %u, this program reads up to %u",
                       l->version, FORMAT_VERSION);
    if (XXH3_64bits(bytes, l->in.len) != sc_load_le64(bytes + l->in.len))
        return sc_fail(err, SC_DAMAGED, "saved template state fails its checksum; delete the file");
    *sessions = sc_cursor_le32(&l->in);
    return SC_OK;
}

/* All sessions or none; newest first in the list. */
static enum sc_status load_sessions(struct loader *l, uint32_t count, struct sc_session **list)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sc_session *session;
        enum sc_status status = load_session(l, &session);
        if (status != SC_OK)
            return status;
        session->hash_next = *list;
        *list = session;
    }
    return sc_cursor_left(&l->in) == 0 ? SC_OK : SC_DAMAGED;
}

/* The list was built with the newest first. */
static struct sc_session *oldest_first(struct sc_session *list)
{
    struct sc_session *oldest = NULL;
    while (list != NULL) {
        struct sc_session *next = list->hash_next;
        list->hash_next = oldest;
        oldest = list;
        list = next;
    }
    return oldest;
}

void sc_state_free(struct sc_session *sessions)
{
    while (sessions != NULL) {
        struct sc_session *next = sessions->hash_next;
        sc_session_free(sessions);
        sessions = next;
    }
}

enum sc_status sc_state_read(const struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                             uint64_t now_ms, struct sc_session **sessions, struct sc_error *err)
{
    struct loader l = {.decoder = decoder, .limits = &decoder->limits, .now_ms = now_ms};
    uint32_t count = 0;
    *sessions = NULL;
    SC_TRY(check_frame(&l, bytes, length, &count, err));
    l.fields = malloc(((size_t)decoder->limits.max_fields + 1) * sizeof(*l.fields));
    struct sc_session *list = NULL;
    enum sc_status status = l.fields == NULL ? SC_NOMEM : load_sessions(&l, count, &list);
    free(l.fields);
    if (status == SC_OK) {
        *sessions = oldest_first(list);
        return SC_OK;
    }
    sc_state_free(list);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the saved template state");
    if (status == SC_LIMIT)
        return sc_fail(err, SC_UNSUPPORTED, "saved template state has more domains than max_domains allows");
    return sc_fail(err, SC_DAMAGED, "saved template state has a length that does not fit; delete the file");
}

enum sc_status sc_decoder_load(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                               uint64_t now_ms, struct sc_error *err)
{
    struct sc_session *s, *next;
    SC_TRY(sc_state_read(decoder, bytes, length, now_ms, &s, err));
    for (; s != NULL; s = next) {
        next = s->hash_next;
        if (!sc_session_insert(decoder, s))
            sc_session_free(s);
    }
    return SC_OK;
}
