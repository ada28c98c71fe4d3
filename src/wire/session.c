// SPDX-License-Identifier: BSD-3-Clause
#include "wire/session.h"

#include "base/hash.h"
#include "wire/exporter.h"

#include <stdlib.h>

/* ---- sessions ---- */

struct session_key {
    struct sc_addr exporter;
    uint64_t connection;
    uint16_t port;
    uint16_t transport;
    uint32_t zero;
};

static struct session_key make_key(const struct sc_message_source *source)
{
    return (struct session_key){.exporter = source->exporter,
                                .connection = source->connection,
                                .port = source->port,
                                .transport = (uint16_t)source->transport};
}

static struct session_key key_of(const struct sc_session *s)
{
    return (struct session_key){
        .exporter = s->exporter, .connection = s->connection, .port = s->port, .transport = s->transport};
}

static uint64_t hash_of(const struct sc_decoder *decoder, const struct session_key *key)
{
    return sc_hash_bytes(key, sizeof(*key), decoder->seed);
}

static bool is_session(const struct sc_session *s, const struct session_key *key)
{
    return s->port == key->port && s->connection == key->connection && s->transport == key->transport &&
           sc_addr_equal(&s->exporter, &key->exporter);
}

static struct sc_session *find_key(const struct sc_decoder *decoder, const struct session_key *key)
{
    uint64_t hash = hash_of(decoder, key);
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&decoder->sessions, hash, &p);
    while (e != NULL && !is_session((struct sc_session *)e, key))
        e = sc_roster_next(&decoder->sessions, &p);
    return (struct sc_session *)e;
}

static void link_newest(struct sc_session *s)
{
    struct sc_decoder *decoder = s->decoder;
    s->newer = NULL;
    s->older = decoder->newest;
    *(s->older != NULL ? &s->older->newer : &decoder->oldest) = s;
    decoder->newest = s;
}

struct sc_session *sc_session_create(struct sc_decoder *decoder, const struct sc_message_source *source)
{
    struct sc_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->decoder = decoder;
    s->exporter = source->exporter;
    s->connection = source->connection;
    s->port = source->port;
    s->transport = (uint8_t)source->transport;
    s->used_ms = source->receive_ms;
    s->bytes = sizeof(*s);
    s->waiting_end = &s->waiting;
    return s;
}

static enum sc_status own_session(struct sc_session *session, const struct session_key *key)
{
    struct sc_decoder *decoder = session->decoder;
    struct sc_exporter *owner = sc_exporter_adopt(session);
    if (owner == NULL)
        return SC_NOMEM;
    enum sc_status status = SC_OK;
    if (!sc_session_has_room(session, 0))
        status = SC_LIMIT;
    else if (!sc_roster_add(&decoder->sessions, &session->entry, hash_of(decoder, key)))
        status = SC_NOMEM;
    if (status != SC_OK) {
        sc_exporter_disown(session);
        sc_exporter_tidy(owner);
        return status;
    }
    session->cared = decoder->care.pass; /* the pass that is under way does without it */
    sc_exporter_settle(session);
    link_newest(session);
    return SC_OK;
}

bool sc_session_insert(struct sc_session *session)
{
    struct session_key key = key_of(session);
    return find_key(session->decoder, &key) == NULL && own_session(session, &key) == SC_OK;
}

struct sc_session *sc_session_find(const struct sc_decoder *decoder, const struct sc_message_source *source)
{
    struct session_key key = make_key(source);
    return find_key(decoder, &key);
}

static enum sc_status add_session(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  const struct session_key *key, struct sc_session **out)
{
    struct sc_session *s = sc_session_create(decoder, source);
    enum sc_status status = s == NULL ? SC_NOMEM : own_session(s, key);
    if (status != SC_OK)
        sc_session_free(s);
    else
        *out = s;
    return status;
}

enum sc_status sc_session_get(struct sc_decoder *decoder, const struct sc_message_source *source,
                              struct sc_session **out)
{
    struct session_key key = make_key(source);
    struct sc_session *s = decoder->last;
    if (s == NULL || !is_session(s, &key))
        s = find_key(decoder, &key);
    if (s == NULL)
        SC_TRY(add_session(decoder, source, &key, &s));
    if (decoder->newest != s) {
        sc_session_unlink_use(s);
        link_newest(s);
    }
    decoder->last = s;
    *out = s;
    return SC_OK;
}

/* ---- domains ---- */

static uint64_t hash_of_domain(const struct sc_session *session, uint8_t version, uint32_t id)
{
    return sc_hash_u64((uint64_t)version << 32 | id, session->decoder->seed);
}

static bool put_domain(struct sc_session *session, struct sc_domain *domain)
{
    size_t tables = sc_roster_bytes(&session->domains);
    bool added = sc_roster_add(&session->domains, &domain->entry,
                               hash_of_domain(session, domain->version, domain->id));
    session->bytes += sc_roster_bytes(&session->domains) - tables;
    return added;
}

static struct sc_domain *add_domain(struct sc_session *session, uint8_t version, uint32_t id)
{
    struct sc_domain *domain = calloc(1, sizeof(*domain));
    if (domain == NULL)
        return NULL;
    domain->id = id;
    domain->version = version;
    domain->session = session;
    domain->seed = session->decoder->seed;
    domain->stats.exporter = session->exporter;
    domain->stats.port = session->port;
    domain->stats.transport = session->transport;
    domain->stats.version = version;
    domain->stats.domain = id;
    domain->sampled_ms = session->used_ms;
    domain->unheard = true;
    if (!put_domain(session, domain)) {
        free(domain);
        return NULL;
    }
    session->shape++;
    session->bytes += sizeof(*domain);
    return domain;
}

static bool is_domain(const struct sc_domain *domain, uint8_t version, uint32_t id)
{
    return domain->id == id && domain->version == version;
}

struct sc_domain *sc_session_find_domain(const struct sc_session *session, uint8_t version, uint32_t id)
{
    uint64_t hash = hash_of_domain(session, version, id);
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&session->domains, hash, &p);
    while (e != NULL && !is_domain((struct sc_domain *)e, version, id))
        e = sc_roster_next(&session->domains, &p);
    return (struct sc_domain *)e;
}

enum sc_status sc_session_domain(struct sc_session *session, uint8_t version, uint32_t id,
                                 struct sc_domain **out)
{
    *out = session->last;
    if (*out == NULL || !is_domain(*out, version, id))
        *out = session->last = sc_session_find_domain(session, version, id);
    if (*out != NULL)
        return SC_OK;
    size_t size = sizeof(struct sc_domain) + sc_roster_growth(&session->domains, 1);
    if (!sc_session_has_room(session, size))
        return SC_LIMIT;
    *out = session->last = add_domain(session, version, id);
    return *out == NULL ? SC_NOMEM : SC_OK;
}

static bool is_of_use(const struct sc_domain *domain)
{
    if (domain->useful || domain->missing_count != 0 || domain->stats.no_template_sets != 0)
        return true;
    for (const struct sc_waiting_set *w = domain->session->waiting; w != NULL; w = w->next) {
        if (w->domain == domain)
            return true;
    }
    return false;
}

void sc_session_tidy(struct sc_session *session, struct sc_domain *domain)
{
    if (domain != NULL && !is_of_use(domain))
        sc_domain_drop(domain);
    sc_exporter_settle(session);
    if (session->domains.count != 0)
        return;
    struct sc_exporter *owner = session->owner;
    sc_session_remove(session);
    sc_exporter_tidy(owner);
}

/* ---- templates ---- */

static uint64_t hash_of_id(const struct sc_domain *domain, uint16_t id)
{
    return sc_hash_u64(id, domain->seed);
}

struct sc_template *sc_domain_template(const struct sc_domain *domain, uint16_t id)
{
    struct sc_probe p;
    struct sc_roster_entry *e = sc_roster_first(&domain->templates, hash_of_id(domain, id), &p);
    while (e != NULL && ((struct sc_template *)e)->id != id)
        e = sc_roster_next(&domain->templates, &p);
    return (struct sc_template *)e;
}

enum sc_status sc_domain_put_template(struct sc_domain *domain, struct sc_template *t,
                                      struct sc_template **old)
{
    struct sc_session *session = domain->session;
    struct sc_roster *all = &domain->templates;
    struct sc_template *known = sc_domain_template(domain, t->id);
    size_t tables = sc_roster_bytes(all);
    bool added = sc_roster_add(all, &t->entry, hash_of_id(domain, t->id));
    session->bytes += sc_roster_bytes(all) - tables;
    if (!added)
        return SC_NOMEM;
    if (!t->options)
        sc_roster_swap(all, &t->entry, domain->flow_templates++);
    session->bytes += t->bytes;
    *old = sc_domain_take_template(domain, known);
    sc_session_changed(session);
    return SC_OK;
}

/* ---- data sets that wait for their template ---- */

void sc_domain_wait(struct sc_domain *domain, const struct sc_message *message,
                    const struct sc_planned_set *set)
{
    struct sc_session *session = domain->session;
    const struct sc_decoder_limits *limits = &session->decoder->limits;
    if (set->length > limits->max_buffered_bytes || limits->max_buffered_sets == 0)
        return;
    while (session->waiting != NULL && (session->waiting_count >= limits->max_buffered_sets ||
                                        session->waiting_bytes + set->length > limits->max_buffered_bytes))
        sc_waiting_drop(session, &session->waiting);
    size_t size = sizeof(struct sc_waiting_set) + set->length;
    if (!sc_session_has_room(session, size))
        return;
    struct sc_waiting_set *w = malloc(size);
    if (w == NULL)
        return; /* waiting is a courtesy: the set is counted as undecodable either way */
    w->next = NULL;
    w->domain = domain;
    w->message = *message;
    w->id = set->id;
    w->length = set->length;
    memcpy(w->body, set->body, set->length);
    *session->waiting_end = w;
    session->waiting_end = &w->next;
    session->waiting_count++;
    session->waiting_bytes += w->length;
    session->bytes += size;
}

struct sc_waiting_set *sc_domain_claim(const struct sc_domain *domain, struct sc_template **t)
{
    struct sc_waiting_set **link = &domain->session->waiting;
    for (struct sc_waiting_set *w = *link; w != NULL; link = &w->next, w = *link) {
        if (w->domain != domain || (*t = sc_domain_template(domain, w->id)) == NULL ||
            sc_domain_doubts(domain, (*t)->life) != sc_domain_doubts(domain, w->message.life))
            continue;
        sc_waiting_unlink(domain->session, link);
        return w;
    }
    return NULL;
}
