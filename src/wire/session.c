// SPDX-License-Identifier: BSD-3-Clause
#include "wire/decoder_internal.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

/* ---- sessions ---- */

struct session_key {
    struct sc_addr exporter;
    uint64_t connection;
    uint16_t port;
    uint16_t transport;
    uint32_t zero;
};

static struct session_key make_key(const struct sc_message_source *source, bool any_port)
{
    return (struct session_key){.exporter = source->exporter,
                                .connection = source->connection,
                                .port = any_port ? 0 : source->port,
                                .transport = (uint16_t)source->transport};
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

static void unlink_use(struct sc_decoder *decoder, struct sc_session *s)
{
    *(s->newer != NULL ? &s->newer->older : &decoder->newest) = s->older;
    *(s->older != NULL ? &s->older->newer : &decoder->oldest) = s->newer;
}

static void link_newest(struct sc_decoder *decoder, struct sc_session *s)
{
    s->newer = NULL;
    s->older = decoder->newest;
    *(s->older != NULL ? &s->older->newer : &decoder->oldest) = s;
    decoder->newest = s;
}

struct sc_session *sc_session_create(const struct sc_decoder *decoder, const struct sc_message_source *source,
                                     bool any_port)
{
    struct sc_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->exporter = source->exporter;
    s->connection = source->connection;
    s->port = any_port ? 0 : source->port;
    s->transport = (uint8_t)source->transport;
    s->used_ms = source->receive_ms;
    s->seed = decoder->seed;
    s->bytes = sizeof(*s);
    s->waiting_end = &s->waiting;
    return s;
}

static void forget_domain(struct sc_session *session, struct sc_domain *domain)
{
    session->shape++;
    while (domain->templates.count != 0)
        free(sc_domain_take_template(session, domain, sc_template_at(domain, domain->templates.count - 1)));
    session->bytes -= sc_roster_bytes(&domain->templates);
    sc_roster_free(&domain->templates);
    session->bytes -= sc_array_bytes(domain->samplers, domain->sampler_count);
    free(domain->samplers);
    domain->samplers = NULL;
    domain->sampler_count = 0;
    domain->default_rate = 0;
    sc_domain_forget_maps(session, domain);
    sc_missing_free(session, domain);
    domain->init_known = false;
    domain->sequence = (struct sc_sequence){0};
}

void sc_session_forget(struct sc_session *session)
{
    sc_session_drop_waiting(session, &(struct sc_waiting_choice){0});
    for (uint32_t i = 0; i < session->domains.count; i++)
        forget_domain(session, sc_domain_at(session, i));
}

void sc_session_free(struct sc_session *session)
{
    if (session == NULL)
        return;
    sc_session_forget(session);
    for (uint32_t i = 0; i < session->domains.count; i++)
        free(sc_domain_at(session, i));
    sc_roster_free(&session->domains);
    free(session);
}

void sc_session_remove(struct sc_decoder *decoder, struct sc_session *session)
{
    if (decoder->care.session == session)
        decoder->care.session = NULL;
    sc_roster_remove(&decoder->sessions, &session->entry);
    unlink_use(decoder, session);
    sc_session_unnote(decoder, session);
    sc_exporter_disown(session);
    if (decoder->last == session)
        decoder->last = NULL;
    sc_session_free(session);
}

static enum sc_status own_session(struct sc_decoder *decoder, struct sc_session *session,
                                  const struct session_key *key)
{
    struct sc_exporter *owner = sc_exporter_adopt(decoder, session);
    if (owner == NULL)
        return SC_NOMEM;
    enum sc_status status = SC_OK;
    if (!sc_session_has_room(session, &decoder->limits, 0))
        status = SC_LIMIT;
    else if (!sc_roster_add(&decoder->sessions, &session->entry, hash_of(decoder, key)))
        status = SC_NOMEM;
    if (status != SC_OK) {
        sc_exporter_disown(session);
        sc_exporter_tidy(owner);
        return status;
    }
    sc_exporter_settle(session);
    link_newest(decoder, session);
    return SC_OK;
}

bool sc_session_insert(struct sc_decoder *decoder, struct sc_session *session)
{
    struct session_key key = {.exporter = session->exporter,
                              .connection = session->connection,
                              .port = session->port,
                              .transport = session->transport};
    return find_key(decoder, &key) == NULL && own_session(decoder, session, &key) == SC_OK;
}

struct sc_session *sc_session_find(const struct sc_decoder *decoder, const struct sc_message_source *source,
                                   bool any_port)
{
    struct session_key key = make_key(source, any_port);
    return find_key(decoder, &key);
}

static enum sc_status add_session(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  bool any_port, const struct session_key *key, struct sc_session **out)
{
    struct sc_session *s = sc_session_create(decoder, source, any_port);
    enum sc_status status = s == NULL ? SC_NOMEM : own_session(decoder, s, key);
    if (status != SC_OK)
        sc_session_free(s);
    else
        *out = s;
    return status;
}

enum sc_status sc_session_get(struct sc_decoder *decoder, const struct sc_message_source *source,
                              bool any_port, struct sc_session **out)
{
    struct session_key key = make_key(source, any_port);
    struct sc_session *s = decoder->last;
    if (s == NULL || !is_session(s, &key))
        s = find_key(decoder, &key);
    if (s == NULL)
        SC_TRY(add_session(decoder, source, any_port, &key, &s));
    if (decoder->newest != s) {
        unlink_use(decoder, s);
        link_newest(decoder, s);
    }
    decoder->last = s;
    *out = s;
    return SC_OK;
}

/* ---- domains ---- */

static uint64_t hash_of_domain(const struct sc_session *session, uint8_t version, uint32_t id)
{
    return sc_hash_u64((uint64_t)version << 32 | id, session->seed);
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
    domain->seed = session->seed;
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

enum sc_status sc_session_domain(struct sc_session *session, const struct sc_decoder_limits *limits,
                                 uint8_t version, uint32_t id, struct sc_domain **out)
{
    *out = session->last;
    if (*out == NULL || !is_domain(*out, version, id))
        *out = session->last = sc_session_find_domain(session, version, id);
    if (*out != NULL)
        return SC_OK;
    size_t size = sizeof(struct sc_domain) + sc_roster_growth(&session->domains, 1);
    if (!sc_session_has_room(session, limits, size))
        return SC_LIMIT;
    *out = session->last = add_domain(session, version, id);
    return *out == NULL ? SC_NOMEM : SC_OK;
}

void sc_session_drop_domain(struct sc_session *session, struct sc_domain *domain)
{
    forget_domain(session, domain);
    session->bytes -= sizeof(*domain);
    sc_roster_remove(&session->domains, &domain->entry);
    if (session->last == domain)
        session->last = NULL;
    free(domain);
}

static bool is_of_use(const struct sc_session *session, const struct sc_domain *domain)
{
    if (domain->useful || domain->missing_count != 0 || domain->stats.no_template_sets != 0)
        return true;
    for (const struct sc_waiting_set *w = session->waiting; w != NULL; w = w->next) {
        if (w->domain == domain)
            return true;
    }
    return false;
}

void sc_session_tidy(struct sc_decoder *decoder, struct sc_session *session, struct sc_domain *domain)
{
    if (domain != NULL && !is_of_use(session, domain))
        sc_session_drop_domain(session, domain);
    sc_exporter_settle(session);
    if (session->domains.count != 0)
        return;
    struct sc_exporter *owner = session->owner;
    sc_session_remove(decoder, session);
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

enum sc_status sc_domain_put_template(struct sc_session *session, struct sc_domain *domain,
                                      struct sc_template *t, struct sc_template **old)
{
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
    *old = sc_domain_take_template(session, domain, known);
    sc_session_changed(session);
    return SC_OK;
}

struct sc_template *sc_domain_take_template(struct sc_session *session, struct sc_domain *domain,
                                            struct sc_template *t)
{
    if (t == NULL)
        return NULL;
    if (!t->options)
        sc_roster_swap(&domain->templates, &t->entry, --domain->flow_templates);
    sc_roster_remove(&domain->templates, &t->entry);
    session->shape++;
    session->bytes -= t->bytes;
    return t;
}

/* ---- data sets that wait for their template ---- */

/* Takes a set out of the queue that *link points to. */
static void unlink_waiting(struct sc_session *session, struct sc_waiting_set **link)
{
    struct sc_waiting_set *w = *link;
    *link = w->next;
    if (w->next == NULL)
        session->waiting_end = link;
    session->waiting_count--;
    session->waiting_bytes -= w->length;
    session->bytes -= sizeof(*w) + w->length;
}

static void drop_waiting(struct sc_session *session, struct sc_waiting_set **link)
{
    struct sc_waiting_set *w = *link;
    unlink_waiting(session, link);
    free(w);
}

static bool is_chosen(const struct sc_waiting_set *w, const struct sc_waiting_choice *choice)
{
    return (choice->domain == NULL || w->domain == choice->domain) &&
           (choice->id == 0 || w->id == choice->id) &&
           (choice->before_ms == 0 || w->message.receive_ms < choice->before_ms) &&
           (choice->before_life == 0 || w->message.life < choice->before_life);
}

void sc_session_drop_waiting(struct sc_session *session, const struct sc_waiting_choice *choice)
{
    struct sc_waiting_set **link = &session->waiting;
    while (*link != NULL) {
        if (is_chosen(*link, choice))
            drop_waiting(session, link);
        else
            link = &(*link)->next;
    }
}

void sc_session_wait(struct sc_session *session, const struct sc_decoder_limits *limits,
                     struct sc_domain *domain, const struct sc_message *message,
                     const struct sc_planned_set *set)
{
    if (set->length > limits->max_buffered_bytes || limits->max_buffered_sets == 0)
        return;
    while (session->waiting != NULL && (session->waiting_count >= limits->max_buffered_sets ||
                                        session->waiting_bytes + set->length > limits->max_buffered_bytes))
        drop_waiting(session, &session->waiting);
    size_t size = sizeof(struct sc_waiting_set) + set->length;
    if (!sc_session_has_room(session, limits, size))
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

struct sc_waiting_set *sc_session_claim(struct sc_session *session, const struct sc_domain *domain,
                                        struct sc_template **t)
{
    struct sc_waiting_set **link = &session->waiting;
    for (struct sc_waiting_set *w = *link; w != NULL; link = &w->next, w = *link) {
        if (w->domain != domain || (*t = sc_domain_template(domain, w->id)) == NULL ||
            sc_domain_doubts(domain, (*t)->life) != sc_domain_doubts(domain, w->message.life))
            continue;
        unlink_waiting(session, link);
        return w;
    }
    return NULL;
}
