// SPDX-License-Identifier: BSD-3-Clause
/*
 * Session records (record.c) read, and the whole states that programs before them wrote. A whole state, little-endian:
 *
 *   u32 magic "SCTS", u32 format version (2), u32 sessions
 *   session:  16 bytes exporter, u16 port, u32 domains
 *   domain:   as in a record, without the time of the last message
 *   u64 XXH3 of all before
 *
 * Its sessions are in the order of their use, the newest last. Reading builds a session apart and gives it to the decoder when
 * all bytes proved whole; one that the decoder has already stays as it is.
 */
#include "wire/record.h"

#include "wire/exporter.h"
#include "wire/options.h"
#include "wire/session.h"
#include "wire/template.h"

#include <stdlib.h>
#include <xxhash.h>

#define MAGIC          UINT32_C(0x53544353)
#define FORMAT_VERSION 2u
#define CHECKSUM_BYTES 8u

/* ---- a session ---- */

struct loader {
    struct sc_cursor in;
    struct sc_decoder *decoder;
    bool whole; /* a whole state, not a record */
    struct sc_wire_field *fields;
    uint64_t now_ms;
};

static bool is_outlived(const struct loader *l, uint64_t seen_ms, uint64_t refresh_ms)
{
    return seen_ms < l->now_ms && l->now_ms - seen_ms > sc_template_lifetime(&l->decoder->limits, refresh_ms);
}

/* One template, left out where the decoder's limits are now narrower or its time is up. */
static enum sc_status load_template(struct loader *l, struct sc_domain *domain)
{
    uint16_t id = sc_cursor_le16(&l->in);
    bool options = sc_cursor_u8(&l->in) != 0;
    uint16_t scopes = sc_cursor_le16(&l->in);
    uint64_t seen_ms = sc_cursor_le64(&l->in), refresh_ms = sc_cursor_le64(&l->in);
    uint32_t count = sc_cursor_le32(&l->in);
    if (l->in.failed || id < 256 || count > sc_cursor_left(&l->in) / 8)
        return SC_DAMAGED;
    bool wanted = count <= l->decoder->limits.max_fields && !is_outlived(l, seen_ms, refresh_ms) &&
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
    struct sc_template *old, *t = sc_template_compile(domain->session, l->fields, count, id, options, scopes);
    if (t == NULL)
        return SC_NOMEM;
    t->seen_ms = seen_ms < l->now_ms ? seen_ms : l->now_ms;
    t->refresh_ms = refresh_ms < UINT32_MAX ? refresh_ms : 0;
    if (!sc_session_has_room(domain->session, t->bytes + sc_roster_growth(&domain->templates, 1))) {
        free(t);
        return SC_OK;
    }
    enum sc_status status = sc_domain_put_template(domain, t, &old);
    if (status != SC_OK)
        free(t);
    return status;
}

static enum sc_status load_samplers(struct loader *l, struct sc_domain *domain, uint32_t count)
{
    for (uint32_t i = 0; i < count && !l->in.failed; i++) {
        uint64_t id = sc_cursor_le64(&l->in), rate = sc_cursor_le64(&l->in);
        if (!l->in.failed && sc_domain_put_sampler(domain, id, rate) == SC_NOMEM)
            return SC_NOMEM;
    }
    return l->in.failed ? SC_DAMAGED : SC_OK;
}

/* Names that the decoder has no room for now are left out. */
static enum sc_status load_names(struct loader *l, struct sc_domain *domain, uint32_t count)
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
        if (sc_domain_put_name(domain, &item) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

static struct sc_addr take_address(struct sc_cursor *in)
{
    struct sc_addr address = {{0}};
    const uint8_t *p = sc_cursor_take(in, sizeof(address.b));
    if (p != NULL)
        memcpy(address.b, p, sizeof(address.b));
    return address;
}

/* SC_LIMIT: the decoder's limits are narrower now than when the state was saved. */
static enum sc_status load_domain(struct loader *l, struct sc_session *session)
{
    uint8_t version = sc_cursor_u8(&l->in);
    uint8_t flags = sc_cursor_u8(&l->in);
    uint32_t id = sc_cursor_le32(&l->in);
    uint64_t init_ms = sc_cursor_le64(&l->in), rate = sc_cursor_le64(&l->in);
    uint32_t samplers = sc_cursor_le32(&l->in), templates = sc_cursor_le32(&l->in);
    uint32_t names = sc_cursor_le32(&l->in);
    struct sc_addr exporter = take_address(&l->in);
    uint64_t told_ms = l->whole ? 0 : sc_cursor_le64(&l->in);
    struct sc_domain *domain;
    if (l->in.failed)
        return SC_DAMAGED;
    SC_TRY(sc_session_domain(session, version, id, &domain));
    domain->init_known = (flags & SC_DOMAIN_INIT_KNOWN) != 0;
    domain->init_ms = init_ms;
    domain->default_rate = rate;
    domain->told_ms = told_ms;
    SC_TRY(load_samplers(l, domain, samplers));
    for (uint32_t i = 0; i < templates; i++)
        SC_TRY(load_template(l, domain));
    if ((flags & SC_DOMAIN_EXPORTER_KNOWN) != 0 && sc_domain_put_exporter(domain, &exporter) == SC_NOMEM)
        return SC_NOMEM;
    return load_names(l, domain, names);
}

/* A session with that many domains. It is as it stands on the disk: nothing of it has changed. */
static enum sc_status load_domains(struct loader *l, struct sc_session *session, uint32_t domains)
{
    for (uint32_t i = 0; i < domains; i++)
        SC_TRY(load_domain(l, session));
    session->noted = session->revision;
    session->recorded_ms = sc_session_last_definition(session);
    session->on_disk = true;
    return SC_OK;
}

static struct sc_session *make_session(struct sc_decoder *decoder, const struct sc_addr *exporter,
                                       uint16_t port)
{
    const struct sc_message_source source = {
        .exporter = *exporter, .port = port, .transport = SC_TRANSPORT_UDP};
    return sc_session_create(decoder, &source);
}

/* ---- records ---- */

static enum sc_status load_facts(struct loader *l, struct sc_session *session, uint32_t length)
{
    struct sc_cursor in = {.data = sc_cursor_take(&l->in, length), .len = length};
    if (in.data == NULL)
        return SC_DAMAGED;
    if (length >= SC_RECORD_FACT_BYTES) {
        uint32_t minutes = sc_cursor_le32(&in);
        session->minutes = minutes < SC_ESTABLISHED_MINUTES ? (uint8_t)minutes : SC_ESTABLISHED_MINUTES;
    }
    return SC_OK;
}

static enum sc_status load_record(struct loader *l, const struct sc_record_head *head,
                                  struct sc_session *session)
{
    sc_cursor_take(&l->in, SC_RECORD_HEAD_BYTES);
    uint32_t domains = sc_load_le32(l->in.data + SC_RECORD_HEAD_BYTES - 4);
    SC_TRY(load_facts(l, session, sc_load_le16(l->in.data + 6)));
    SC_TRY(load_domains(l, session, domains));
    for (uint32_t i = 0; i < session->domains.count; i++)
        sc_domain_at(session, i)->borrowed = head->hearsay;
    return sc_cursor_left(&l->in) == 0 ? SC_OK : SC_DAMAGED;
}

static enum sc_status explain_record(enum sc_status status, const struct sc_record_head *head,
                                     struct sc_error *err)
{
    char text[SC_ADDR_TEXT_MAX];
    sc_addr_format(&head->exporter, text);
    switch (status) {
    case SC_NOMEM:
        return sc_fail_nomem(err, "the record of a session");
    case SC_LIMIT:
        return sc_fail(err, status, "the record of exporter %s port %u is more than there is room for", text,
                       head->port);
    default:
        return sc_fail(err, SC_DAMAGED, "the record of exporter %s port %u has a length that does not fit",
                       text, head->port);
    }
}

enum sc_status sc_record_read(struct sc_decoder *decoder, const uint8_t *record, size_t length,
                              uint64_t now_ms, struct sc_session **out, struct sc_error *err)
{
    struct sc_record_head head;
    struct loader l = {.in = {.data = record, .len = length}, .decoder = decoder, .now_ms = now_ms};
    enum sc_status status = sc_record_head(record, length, &head);
    *out = NULL;
    if (status != SC_OK)
        return sc_fail(err, status, "a record of %zu bytes of a session cannot be read", length);
    if (head.removed)
        return SC_END;
    struct sc_session *session = make_session(decoder, &head.exporter, head.port);
    l.fields = malloc(((size_t)decoder->limits.max_fields + 1) * sizeof(*l.fields));
    status = session == NULL || l.fields == NULL ? SC_NOMEM : load_record(&l, &head, session);
    free(l.fields);
    if (status == SC_OK)
        *out = session;
    else
        sc_session_free(session);
    return status == SC_OK ? SC_OK : explain_record(status, &head, err);
}

enum sc_status sc_decoder_load_record(struct sc_decoder *decoder, const uint8_t *record, size_t length,
                                      uint64_t now_ms, struct sc_error *err)
{
    struct sc_session *session;
    enum sc_status status = sc_record_read(decoder, record, length, now_ms, &session, err);
    if (status == SC_OK && !sc_session_insert(session))
        sc_session_free(session);
    return status == SC_END ? SC_OK : status;
}

/* ---- whole states ---- */

static enum sc_status load_session(struct loader *l, struct sc_session **out)
{
    struct sc_addr exporter = take_address(&l->in);
    uint16_t port = sc_cursor_le16(&l->in);
    uint32_t domains = sc_cursor_le32(&l->in);
    if (l->in.failed)
        return SC_DAMAGED;
    struct sc_session *session = make_session(l->decoder, &exporter, port);
    if (session == NULL)
        return SC_NOMEM;
    enum sc_status status = load_domains(l, session, domains);
    if (status == SC_OK)
        *out = session;
    else
        sc_session_free(session);
    return status;
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
    uint32_t version = sc_cursor_le32(&l->in);
    if (version != FORMAT_VERSION)
        return sc_fail(err, SC_UNSUPPORTED, "saved template state has format %u, this program reads %u",
                       version, FORMAT_VERSION);
    if (XXH3_64bits(bytes, l->in.len) != sc_load_le64(bytes + l->in.len))
        return sc_fail(err, SC_DAMAGED, "saved template state fails its checksum; delete the file");
    *sessions = sc_cursor_le32(&l->in);
    return SC_OK;
}

static enum sc_status load_sessions(struct loader *l, uint32_t count, struct sc_session **list)
{
    for (struct sc_session **end = list; count > 0; count--, end = &(*end)->hash_next)
        SC_TRY(load_session(l, end));
    return sc_cursor_left(&l->in) == 0 ? SC_OK : SC_DAMAGED;
}

void sc_state_free(struct sc_session *sessions)
{
    while (sessions != NULL) {
        struct sc_session *next = sessions->hash_next;
        sc_session_free(sessions);
        sessions = next;
    }
}

enum sc_status sc_state_read(struct sc_decoder *decoder, const uint8_t *bytes, size_t length, uint64_t now_ms,
                             struct sc_session **sessions, struct sc_error *err)
{
    struct loader l = {.decoder = decoder, .whole = true, .now_ms = now_ms};
    uint32_t count = 0;
    *sessions = NULL;
    SC_TRY(check_frame(&l, bytes, length, &count, err));
    l.fields = malloc(((size_t)decoder->limits.max_fields + 1) * sizeof(*l.fields));
    enum sc_status status = l.fields == NULL ? SC_NOMEM : load_sessions(&l, count, sessions);
    free(l.fields);
    if (status == SC_OK)
        return SC_OK;
    sc_state_free(*sessions);
    *sessions = NULL;
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "the saved template state");
    if (status == SC_LIMIT)
        return sc_fail(err, SC_UNSUPPORTED,
                       "saved template state has more of an exporter than there is room for");
    return sc_fail(err, SC_DAMAGED, "saved template state has a length that does not fit; delete the file");
}

enum sc_status sc_decoder_load(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                               uint64_t now_ms, struct sc_error *err)
{
    struct sc_session *s, *next;
    SC_TRY(sc_state_read(decoder, bytes, length, now_ms, &s, err));
    for (; s != NULL; s = next) {
        next = s->hash_next;
        if (!sc_session_insert(s))
            sc_session_free(s);
    }
    return SC_OK;
}
