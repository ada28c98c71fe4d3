// SPDX-License-Identifier: BSD-3-Clause
/*
 * The state of another collector beside one's own. The later definition of a template wins, and an exporter that is heard here is
 * not disturbed. Times are compared by their age, because the clocks of two machines need not agree; what travels for a while
 * looks younger than it is, which SLACK_MS makes up for.
 *
 * Collectors tell each other session records (record.c). What a program before them told, little-endian:
 *
 *   u32 magic "SCTO", u32 format version (1), u32 length of the state, the state (state.c)
 *   u32 accounts; account: 16 bytes exporter, u16 port, u8 protocol version, u32 domain, u64 time of the last message, ms
 *   u64 XXH3 of all before
 */
#include "wire/exporter.h"
#include "wire/options.h"
#include "wire/record.h"
#include "wire/session.h"
#include "wire/template.h"

#include <stdlib.h>
#include <xxhash.h>

#define MAGIC          UINT32_C(0x4f544353)
#define FORMAT_VERSION 1u
#define HEAD_BYTES     12u
#define ACCOUNT_BYTES  31u
#define CHECKSUM_BYTES 8u
#define SLACK_MS       2000u

struct merger {
    struct sc_decoder *decoder;
    uint64_t clock_ms, now_ms;
};

/* ---- what is known of both ---- */

static uint64_t by_own_clock(const struct merger *m, uint64_t seen_ms)
{
    uint64_t age = m->clock_ms > seen_ms ? m->clock_ms - seen_ms : 0;
    return m->now_ms > age ? m->now_ms - age : 0;
}

static void set_clocks(const struct merger *m, struct sc_session *theirs)
{
    for (uint32_t i = 0; i < theirs->domains.count; i++) {
        struct sc_domain *domain = sc_domain_at(theirs, i);
        domain->borrowed = true;
        domain->told_ms = domain->told_ms == 0 ? 0 : by_own_clock(m, domain->told_ms);
        for (uint32_t k = 0; k < domain->templates.count; k++)
            sc_template_at(domain, k)->seen_ms = by_own_clock(m, sc_template_at(domain, k)->seen_ms);
    }
}

/* Whether something of that time was said to the other collector after the last word to this one. */
static bool was_said_later(const struct sc_domain *mine, uint64_t seen_ms)
{
    return mine->heard_ms == 0 || seen_ms > mine->heard_ms + SLACK_MS;
}

static enum sc_status take_copy(struct sc_domain *mine, const struct sc_template *theirs, size_t freed)
{
    struct sc_template *old;
    struct sc_template *t = sc_template_compile(mine->session, theirs->fields, theirs->field_count,
                                                theirs->id, theirs->options, theirs->scope_count);
    if (t == NULL)
        return SC_NOMEM;
    t->seen_ms = theirs->seen_ms;
    t->refresh_ms = theirs->refresh_ms;
    t->life = mine->life;
    if (!sc_session_has_room(mine->session, t->bytes - freed + sc_roster_growth(&mine->templates, 1))) {
        free(t);
        return SC_OK;
    }
    enum sc_status status = sc_domain_put_template(mine, t, &old);
    free(status == SC_OK ? old : t);
    mine->recoverable |= status == SC_OK;
    return status;
}

static enum sc_status merge_template(struct sc_domain *mine, const struct sc_template *theirs)
{
    struct sc_template *known = sc_domain_template(mine, theirs->id);
    if (theirs->seen_ms < mine->life_ms)
        return SC_OK; /* the exporter has started anew since */
    if (known == NULL)
        return take_copy(mine, theirs, 0);
    if (theirs->seen_ms <= known->seen_ms || !was_said_later(mine, theirs->seen_ms))
        return SC_OK;
    if (!sc_template_same(known, theirs->fields, theirs->field_count, theirs->options, theirs->scope_count))
        return take_copy(mine, theirs, known->bytes);
    known->seen_ms = theirs->seen_ms;
    known->refresh_ms = theirs->refresh_ms > known->refresh_ms ? theirs->refresh_ms : known->refresh_ms;
    return SC_OK;
}

/* Options data have no times of their own: they are as new as the templates beside them. */
static enum sc_status merge_options(struct sc_domain *mine, const struct sc_domain *theirs, bool newer)
{
    if (theirs->default_rate != 0 && (newer || mine->default_rate == 0))
        sc_domain_put_default_rate(mine, theirs->default_rate);
    if (theirs->init_known && (newer || !mine->init_known))
        sc_domain_put_init(mine, theirs->init_ms);
    for (uint32_t i = 0, n = newer || mine->sampler_count == 0 ? theirs->sampler_count : 0; i < n; i++) {
        const struct sc_sampler *s = &theirs->samplers[i];
        if (sc_domain_put_sampler(mine, s->id, s->rate) == SC_NOMEM)
            return SC_NOMEM;
    }
    return sc_maps_merge(mine, theirs, newer);
}

/* Bounds leave out what is beyond them; they are no reason to take nothing. */
static enum sc_status merge_domain(struct sc_session *session, const struct sc_domain *theirs)
{
    struct sc_domain *mine;
    uint32_t known = session->domains.count;
    enum sc_status status = sc_session_domain(session, theirs->version, theirs->id, &mine);
    if (status != SC_OK)
        return status == SC_LIMIT ? SC_OK : status;
    uint64_t last = sc_domain_last_definition(theirs);
    bool newer = last > sc_domain_last_definition(mine) && was_said_later(mine, last);
    for (uint32_t i = 0; i < theirs->templates.count; i++)
        SC_TRY(merge_template(mine, sc_template_at(theirs, i)));
    mine->borrowed |= session->domains.count != known;
    return merge_options(mine, theirs, newer);
}

/* ---- who was heard when ---- */

/* What the other collector received meanwhile is not lost; that the exporter comes back is news to it. */
static void merge_account(struct sc_session *mine, uint8_t version, uint32_t id, uint64_t heard_ms)
{
    struct sc_domain *domain = mine == NULL ? NULL : sc_session_find_domain(mine, version, id);
    if (domain == NULL || heard_ms <= domain->stats.last_seen_ms + SLACK_MS)
        return;
    domain->sequence = (struct sc_sequence){0};
    domain->unheard = true;
}

static void merge_accounts(struct sc_session *mine, const struct sc_session *theirs)
{
    for (uint32_t i = 0; i < theirs->domains.count; i++) {
        const struct sc_domain *domain = sc_domain_at(theirs, i);
        if (domain->told_ms != 0)
            merge_account(mine, domain->version, domain->id, domain->told_ms);
    }
}

/* ---- sessions ---- */

static struct sc_session *find_mine(const struct merger *m, const struct sc_session *theirs)
{
    const struct sc_message_source source = {
        .exporter = theirs->exporter, .port = theirs->port, .transport = SC_TRANSPORT_UDP};
    return sc_session_find(m->decoder, &source);
}

/* A session without templates is of no use where it is not known. */
static void adopt(struct sc_session *theirs)
{
    theirs->on_disk = false;
    theirs->recorded_ms = 0;
    if (sc_session_last_definition(theirs) == 0 || !sc_session_insert(theirs)) {
        sc_session_free(theirs);
        return;
    }
    sc_session_changed(theirs);
    sc_session_note(theirs);
}

/* Takes `theirs`. */
static enum sc_status merge_session(struct merger *m, struct sc_session *theirs)
{
    struct sc_session *mine = find_mine(m, theirs);
    set_clocks(m, theirs);
    if (mine == NULL) {
        adopt(theirs);
        return SC_OK;
    }
    enum sc_status status = SC_OK;
    for (uint32_t i = 0; i < theirs->domains.count && status == SC_OK; i++)
        status = merge_domain(mine, sc_domain_at(theirs, i));
    sc_exporter_settle(mine);
    merge_accounts(mine, theirs);
    sc_session_free(theirs);
    sc_session_note(mine);
    return status;
}

/* ---- records ---- */

static enum sc_status merge_record(struct merger *m, const uint8_t *record, size_t length,
                                   struct sc_error *err)
{
    struct sc_session *theirs;
    enum sc_status status = sc_record_read(m->decoder, record, length, m->clock_ms, &theirs, err);
    if (status != SC_OK)
        return status == SC_END || status == SC_LIMIT ? SC_OK : status;
    return merge_session(m, theirs) == SC_OK ? SC_OK
                                             : sc_fail_nomem(err, "the templates of another collector");
}

enum sc_status sc_decoder_merge_records(struct sc_decoder *decoder, const uint8_t *list, size_t length,
                                        uint64_t clock_ms, uint64_t now_ms, struct sc_error *err)
{
    struct merger m = {.decoder = decoder, .clock_ms = clock_ms, .now_ms = now_ms};
    struct sc_cursor in = {.data = list, .len = length};
    const uint8_t *record;
    uint32_t size;
    enum sc_status result = SC_OK;
    while (result != SC_NOMEM && sc_record_next(&in, &record, &size)) {
        enum sc_status status = merge_record(&m, record, size, err);
        result = status == SC_OK ? result : status;
    }
    return in.failed ? sc_fail(err, SC_DAMAGED, "a list of sessions' records ends in the middle") : result;
}

/* ---- whole states, of programs before the records ---- */

static enum sc_status merge_state(struct merger *m, const uint8_t *bytes, size_t length, struct sc_error *err)
{
    struct sc_session *theirs;
    SC_TRY(sc_state_read(m->decoder, bytes, length, m->clock_ms, &theirs, err));
    while (theirs != NULL) {
        struct sc_session *next = theirs->hash_next;
        if (merge_session(m, theirs) != SC_OK) {
            sc_state_free(next);
            return sc_fail_nomem(err, "the templates of another collector");
        }
        theirs = next;
    }
    return SC_OK;
}

static void read_account(const struct merger *m, struct sc_cursor *in)
{
    struct sc_message_source source = {.transport = SC_TRANSPORT_UDP};
    memcpy(source.exporter.b, sc_cursor_take(in, sizeof(source.exporter.b)), sizeof(source.exporter.b));
    source.port = sc_cursor_le16(in);
    uint8_t version = sc_cursor_u8(in);
    uint32_t id = sc_cursor_le32(in);
    uint64_t heard_ms = by_own_clock(m, sc_cursor_le64(in));
    merge_account(sc_session_find(m->decoder, &source), version, id, heard_ms);
}

static enum sc_status check_frame(struct sc_cursor *in, struct sc_error *err)
{
    if (in->len < HEAD_BYTES + 4 + CHECKSUM_BYTES || sc_cursor_le32(in) != MAGIC)
        return sc_fail(err, SC_DAMAGED, "it does not begin as a template state for other collectors");
    uint32_t version = sc_cursor_le32(in);
    if (version != FORMAT_VERSION)
        return sc_fail(err, SC_UNSUPPORTED, "it has format %u, this program reads %u: update the older one",
                       version, FORMAT_VERSION);
    in->len -= CHECKSUM_BYTES;
    if (XXH3_64bits(in->data, in->len) != sc_load_le64(in->data + in->len))
        return sc_fail(err, SC_DAMAGED, "it fails its checksum");
    return SC_OK;
}

enum sc_status sc_decoder_merge(struct sc_decoder *decoder, const uint8_t *bytes, size_t length,
                                uint64_t clock_ms, uint64_t now_ms, struct sc_error *err)
{
    struct merger m = {.decoder = decoder, .clock_ms = clock_ms, .now_ms = now_ms};
    struct sc_cursor in = {.data = bytes, .len = length};
    SC_TRY(check_frame(&in, err));
    uint32_t size = sc_cursor_le32(&in);
    const uint8_t *state = sc_cursor_take(&in, size);
    uint32_t accounts = sc_cursor_le32(&in);
    if (in.failed || sc_cursor_left(&in) != (size_t)accounts * ACCOUNT_BYTES)
        return sc_fail(err, SC_DAMAGED, "it has a length that does not fit");
    SC_TRY(merge_state(&m, state, size, err));
    while (accounts-- > 0)
        read_account(&m, &in);
    return SC_OK;
}
