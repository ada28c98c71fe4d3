// SPDX-License-Identifier: BSD-3-Clause
/*
 * Session records. A record, little-endian:
 *
 *   u8 format version (1), u8 flags (SC_RECORD_*), u8 transport (0: UDP), u8 0, u16 port, u16 bytes of facts, 16 bytes exporter,
 *   u64 seen_ms, u64 outlived_ms, u32 domains       44 bytes; the names are those of struct sc_record_head
 *   facts:    u32 different minutes in which the exporter sent flows; a reader takes those that it knows and that are there
 *   domain:   u8 protocol version, u8 flags (bit 0: init_ms is known, 1: the exporter's address too), u32 id,
 *             u64 init_ms, u64 default rate, u32 samplers, u32 templates, u32 names, 16 bytes exporter as it tells itself,
 *             u64 time of the last message, 0: never heard; then its samplers, templates and names
 *   sampler:  u64 id, u64 rate
 *   template: u16 id, u8 options, u16 scopes, u64 seen_ms, u64 refresh_ms, u32 fields
 *   field:    u32 pen, u16 id, u16 length
 *   name:     u8 enum sc_map_kind, u64 low, u64 high of struct sc_map_key, u8 length, bytes; in no order
 *
 * Only UDP sessions are recorded: others begin with their templates. That templates expire is no change: a record says until when
 * they are valid.
 */
#include "wire/record.h"

#include "wire/exporter.h"
#include "wire/template.h"

#define NAME_RUN     64u               /* names that are one item */
#define MOST_REMOVED ((size_t)1 << 20) /* bytes; what is beyond is left to be outlived */

/* ---- lists and heads ---- */

/* The place of an entry whose length is told by end_entry. */
static size_t begin_entry(struct sc_buf *list)
{
    sc_buf_append_le32(list, 0);
    return list->len;
}

static void end_entry(struct sc_buf *list, size_t at)
{
    if (sc_buf_ok(list))
        sc_store_le32(list->data + at - sizeof(uint32_t), (uint32_t)(list->len - at));
}

void sc_record_append(struct sc_buf *list, const uint8_t *record, size_t length)
{
    size_t before = list->len;
    sc_buf_append_le32(list, (uint32_t)length);
    sc_buf_append(list, record, length);
    if (!sc_buf_ok(list))
        list->len = before;
}

bool sc_record_next(struct sc_cursor *list, const uint8_t **record, uint32_t *length)
{
    if (sc_cursor_left(list) == 0 || list->failed)
        return false;
    *length = sc_cursor_le32(list);
    *record = sc_cursor_take(list, *length);
    return *record != NULL;
}

enum sc_status sc_record_head(const uint8_t *record, size_t length, struct sc_record_head *out)
{
    struct sc_cursor in = {.data = record, .len = length};
    uint8_t version = sc_cursor_u8(&in), flags = sc_cursor_u8(&in);
    if (in.failed || version != SC_RECORD_VERSION)
        return in.failed ? SC_DAMAGED : SC_UNSUPPORTED;
    if (length < SC_RECORD_HEAD_BYTES || length > SC_RECORD_MAX)
        return SC_DAMAGED;
    uint16_t transport = sc_cursor_le16(&in);
    *out = (struct sc_record_head){.port = sc_cursor_le16(&in),
                                   .removed = (flags & SC_RECORD_REMOVED) != 0,
                                   .bare = (flags & SC_RECORD_BARE) != 0,
                                   .forget = (flags & SC_RECORD_FORGET) != 0,
                                   .hearsay = (flags & SC_RECORD_HEARSAY) != 0,
                                   .established = (flags & SC_RECORD_ESTABLISHED) != 0};
    sc_cursor_le16(&in); /* bytes of facts */
    memcpy(out->exporter.b, sc_cursor_take(&in, sizeof(out->exporter.b)), sizeof(out->exporter.b));
    out->seen_ms = sc_cursor_le64(&in);
    out->outlived_ms = sc_cursor_le64(&in);
    return transport == SC_TRANSPORT_UDP ? SC_OK : SC_UNSUPPORTED;
}

/* ---- what of a session changes ---- */

uint64_t sc_domain_last_definition(const struct sc_domain *domain)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < domain->templates.count; i++)
        last = sc_template_at(domain, i)->seen_ms > last ? sc_template_at(domain, i)->seen_ms : last;
    return last;
}

uint64_t sc_session_last_definition(const struct sc_session *session)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < session->domains.count; i++) {
        uint64_t at = sc_domain_last_definition(sc_domain_at(session, i));
        last = at > last ? at : last;
    }
    return last;
}

void sc_decoder_refresh(struct sc_decoder *decoder)
{
    for (struct sc_session *s = decoder->oldest; s != NULL; s = s->newer) {
        if (sc_session_last_definition(s) > s->recorded_ms)
            sc_session_changed(s);
        sc_session_note(s);
    }
}

/* ---- a record's parts ---- */

static void put_template(struct sc_buf *out, const struct sc_template *t)
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

static void put_name(struct sc_buf *out, unsigned kind, const struct sc_map_entry *entry)
{
    sc_buf_append_u8(out, (uint8_t)kind);
    sc_buf_append_le64(out, entry->key.low);
    sc_buf_append_le64(out, entry->key.high);
    sc_buf_append(out, entry->name, (size_t)entry->name[0] + 1);
}

/* The names in one run; the runs count on from table to table. False: there is no such run. */
static bool put_names(struct sc_buf *out, const struct sc_domain_maps *maps, uint32_t run)
{
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++) {
        const struct sc_name_map *map = &maps->names[kind];
        uint32_t runs = (map->count + NAME_RUN - 1) / NAME_RUN;
        if (run >= runs) {
            run -= runs;
            continue;
        }
        for (uint32_t i = run * NAME_RUN; i < map->count && i < (run + 1) * NAME_RUN; i++)
            put_name(out, kind, &map->entries[i]);
        return true;
    }
    return false;
}

static void put_domain_head(struct sc_buf *out, const struct sc_domain *domain)
{
    static const struct sc_domain_maps none;
    const struct sc_domain_maps *maps = domain->maps == NULL ? &none : domain->maps;
    uint32_t names = 0;
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++)
        names += maps->names[kind].count;
    sc_buf_append_u8(out, domain->version);
    sc_buf_append_u8(out, (domain->init_known ? SC_DOMAIN_INIT_KNOWN : 0) |
                              (maps->exporter_known ? SC_DOMAIN_EXPORTER_KNOWN : 0));
    sc_buf_append_le32(out, domain->id);
    sc_buf_append_le64(out, domain->init_ms);
    sc_buf_append_le64(out, domain->default_rate);
    sc_buf_append_le32(out, domain->sampler_count);
    sc_buf_append_le32(out, domain->templates.count);
    sc_buf_append_le32(out, names);
    sc_buf_append(out, maps->exporter.b, sizeof(maps->exporter.b));
    sc_buf_append_le64(out, domain->stats.messages != 0 ? domain->stats.last_seen_ms : domain->told_ms);
    for (uint32_t i = 0; i < domain->sampler_count; i++) {
        sc_buf_append_le64(out, domain->samplers[i].id);
        sc_buf_append_le64(out, domain->samplers[i].rate);
    }
}

/* False: the domain has no such item. */
static bool put_item(struct sc_buf *out, const struct sc_domain *domain, uint32_t item)
{
    if (item == 0)
        put_domain_head(out, domain);
    else if (item <= domain->templates.count)
        put_template(out, sc_template_at(domain, item - 1));
    else
        return domain->maps != NULL && put_names(out, domain->maps, item - domain->templates.count - 1);
    return true;
}

static bool has_templates(const struct sc_session *session)
{
    for (uint32_t i = 0; i < session->domains.count; i++) {
        if (sc_domain_at(session, i)->templates.count != 0)
            return true;
    }
    return false;
}

/* All that is known of it was told by other collectors. */
static bool is_hearsay(const struct sc_session *session)
{
    for (uint32_t i = 0; i < session->domains.count; i++) {
        if (!sc_domain_at(session, i)->borrowed)
            return false;
    }
    return session->domains.count != 0;
}

static uint64_t outlived_at(const struct sc_session *session)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < session->domains.count; i++) {
        const struct sc_domain *domain = sc_domain_at(session, i);
        for (uint32_t k = 0; k < domain->templates.count; k++) {
            const struct sc_template *t = sc_template_at(domain, k);
            uint64_t at = t->seen_ms + sc_template_lifetime(&session->decoder->limits, t->refresh_ms);
            last = at > last ? at : last;
        }
    }
    return last;
}

static uint32_t minutes_of(const struct sc_session *session)
{
    return session->owner != NULL ? session->owner->minutes : session->minutes;
}

static void put_head(struct sc_buf *out, const struct sc_session *session, unsigned flags, uint64_t seen_ms,
                     uint64_t outlived_ms)
{
    bool removed = (flags & SC_RECORD_REMOVED) != 0;
    sc_buf_append_u8(out, SC_RECORD_VERSION);
    sc_buf_append_u8(out, (uint8_t)flags);
    sc_buf_append_le16(out, SC_TRANSPORT_UDP);
    sc_buf_append_le16(out, session->port);
    sc_buf_append_le16(out, removed ? 0 : SC_RECORD_FACT_BYTES);
    sc_buf_append(out, session->exporter.b, sizeof(session->exporter.b));
    sc_buf_append_le64(out, seen_ms);
    sc_buf_append_le64(out, outlived_ms);
    sc_buf_append_le32(out, removed ? 0 : session->domains.count);
    if (removed)
        return;
    sc_buf_append_le32(out, minutes_of(session));
}

static void put_session_head(struct sc_buf *out, const struct sc_session *session)
{
    bool bare = !has_templates(session);
    unsigned flags = (bare ? SC_RECORD_BARE : 0) | (bare && session->on_disk ? SC_RECORD_FORGET : 0) |
                     (is_hearsay(session) ? SC_RECORD_HEARSAY : 0) |
                     (minutes_of(session) >= SC_ESTABLISHED_MINUTES ? SC_RECORD_ESTABLISHED : 0);
    uint64_t seen_ms = bare ? session->recorded_ms : sc_session_last_definition(session);
    put_head(out, session, flags, seen_ms, outlived_at(session));
}

void sc_session_unnote(struct sc_session *session)
{
    struct sc_decoder *decoder = session->decoder;
    sc_changed_unlink(session);
    if (decoder->writer.session == session)
        decoder->writer.session = NULL;
    if (!session->recorded || decoder->removed.len > MOST_REMOVED)
        return;
    size_t at = begin_entry(&decoder->removed);
    put_head(&decoder->removed, session, SC_RECORD_REMOVED | SC_RECORD_BARE | SC_RECORD_FORGET,
             session->recorded_ms, 0);
    end_entry(&decoder->removed, at);
}

/* ---- writing, a share at a time ---- */

static void begin_record(struct sc_record_writer *w, struct sc_session *session)
{
    sc_buf_clear(&w->bytes);
    w->session = session;
    w->revision = session->revision;
    w->shape = session->shape;
    w->domain = w->item = 0;
    put_session_head(&w->bytes, session);
    w->total += w->bytes.len;
}

/* Goes on until `end` bytes were written in all. True: the record is whole. */
static bool go_on(struct sc_record_writer *w, uint64_t end)
{
    while (w->domain < w->session->domains.count) {
        size_t before = w->bytes.len;
        if (w->total >= end || !sc_buf_ok(&w->bytes))
            return false;
        bool any = put_item(&w->bytes, sc_domain_at(w->session, w->domain), w->item++);
        w->total += w->bytes.len - before;
        w->domain += !any;
        w->item = any ? w->item : 0;
    }
    return sc_buf_ok(&w->bytes);
}

static void count_as_recorded(struct sc_session *session)
{
    bool bare = !has_templates(session);
    session->on_disk = session->recorded = !bare;
    if (!bare)
        session->recorded_ms = sc_session_last_definition(session);
}

/* What is written of the session still stands. */
static bool stands(const struct sc_record_writer *w, const struct sc_session *session)
{
    return w->session == session && w->revision == session->revision && w->shape == session->shape;
}

/* One that never rests lets the others go first. */
static struct sc_session *first_in_turn(struct sc_decoder *decoder)
{
    struct sc_session *session = decoder->first_changed;
    if (decoder->writer.session != session || stands(&decoder->writer, session))
        return session;
    sc_changed_unlink(session);
    sc_changed_append(session);
    return decoder->first_changed;
}

/* False: its record is not whole at `end`, or there is no memory. */
static bool record_first(struct sc_decoder *decoder, uint64_t end, struct sc_buf *out)
{
    struct sc_record_writer *w = &decoder->writer;
    struct sc_session *session = first_in_turn(decoder);
    if (!stands(w, session))
        begin_record(w, session);
    if (!go_on(w, end))
        return false;
    if (w->bytes.len <= SC_RECORD_MAX)
        sc_record_append(out, w->bytes.data, w->bytes.len);
    else
        (void)sc_exporter_refuse(session->owner, true);
    if (!sc_buf_ok(out))
        return false;
    sc_changed_unlink(session);
    count_as_recorded(session);
    w->session = NULL;
    return true;
}

static void put_removed(struct sc_decoder *decoder, struct sc_buf *out)
{
    sc_buf_append(out, decoder->removed.data, decoder->removed.len);
    if (!sc_buf_ok(out))
        return;
    decoder->writer.total += decoder->removed.len;
    sc_buf_free(&decoder->removed);
}

/* What is half-written is no use without memory for the rest: it begins anew another time. */
static void drop_writing(struct sc_record_writer *w)
{
    sc_buf_free(&w->bytes);
    w->session = NULL;
}

size_t sc_decoder_changes(struct sc_decoder *decoder, size_t most, struct sc_buf *out)
{
    struct sc_record_writer *w = &decoder->writer;
    uint64_t start = w->total, end = most > UINT64_MAX - start ? UINT64_MAX : start + most;
    put_removed(decoder, out);
    while (sc_buf_ok(out) && w->total < end && decoder->first_changed != NULL &&
           record_first(decoder, end, out))
        continue;
    if (!sc_buf_ok(&w->bytes)) {
        drop_writing(w);
        out->failed = true;
    }
    return (size_t)(w->total - start);
}

enum sc_status sc_decoder_save(const struct sc_decoder *decoder, struct sc_buf *out, struct sc_error *err)
{
    size_t start = out->len;
    for (struct sc_session *s = decoder->oldest; s != NULL && sc_buf_ok(out); s = s->newer) {
        if (s->transport != SC_TRANSPORT_UDP || !has_templates(s))
            continue;
        size_t at = begin_entry(out);
        put_session_head(out, s);
        for (uint32_t i = 0; i < s->domains.count; i++) {
            for (uint32_t item = 0; sc_buf_ok(out) && put_item(out, sc_domain_at(s, i), item); item++)
                continue;
        }
        end_entry(out, at);
    }
    if (sc_buf_ok(out))
        return SC_OK;
    out->len = start;
    return sc_fail_nomem(err, "the template state");
}
