// SPDX-License-Identifier: BSD-3-Clause
#include "wire/decoder_internal.h"

#include <stdlib.h>
#include <xxhash.h>

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

static uint32_t bucket_of(const struct sc_decoder *decoder, const struct session_key *key)
{
    return (uint32_t)XXH3_64bits_withSeed(key, sizeof(*key), decoder->seed) & decoder->bucket_mask;
}

static bool is_session(const struct sc_session *s, const struct session_key *key)
{
    return s->port == key->port && s->connection == key->connection && s->transport == key->transport &&
           sc_addr_equal(&s->exporter, &key->exporter);
}

static struct sc_session *find_key(const struct sc_decoder *decoder, const struct session_key *key)
{
    struct sc_session *s = decoder->buckets[bucket_of(decoder, key)];
    while (s != NULL && !is_session(s, key))
        s = s->hash_next;
    return s;
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

struct sc_session *sc_session_create(const struct sc_message_source *source, bool any_port)
{
    struct sc_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->exporter = source->exporter;
    s->connection = source->connection;
    s->port = any_port ? 0 : source->port;
    s->transport = (uint8_t)source->transport;
    s->bytes = sizeof(*s);
    s->waiting_end = &s->waiting;
    return s;
}

void sc_session_drop_waiting(struct sc_session *session, uint64_t before_ms)
{
    struct sc_waiting_set **link = &session->waiting;
    while (*link != NULL) {
        struct sc_waiting_set *w = *link;
        if (w->message.receive_ms >= before_ms) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        session->waiting_count--;
        session->waiting_bytes -= w->length;
        session->bytes -= sizeof(*w) + w->length;
        free(w);
    }
    session->waiting_end = link;
}

static void forget_domain(struct sc_session *session, struct sc_domain *domain)
{
    while (domain->template_count != 0)
        free(sc_domain_take_template(session, domain, domain->templates[domain->template_count - 1]->id));
    session->bytes -= domain->sampler_count * sizeof(*domain->samplers);
    free(domain->samplers);
    domain->samplers = NULL;
    domain->sampler_count = 0;
    domain->default_rate = 0;
    sc_domain_forget_maps(session, domain);
    domain->init_known = false;
    domain->sequence = (struct sc_sequence){0};
}

void sc_session_forget(struct sc_session *session)
{
    sc_session_drop_waiting(session, UINT64_MAX);
    for (uint32_t i = 0; i < session->domain_count; i++)
        forget_domain(session, session->domains[i]);
}

void sc_session_free(struct sc_session *session)
{
    if (session == NULL)
        return;
    sc_session_forget(session);
    for (uint32_t i = 0; i < session->domain_count; i++) {
        free(session->domains[i]->templates);
        free(session->domains[i]);
    }
    free(session->domains);
    free(session->unknown);
    free(session);
}

void sc_session_remove(struct sc_decoder *decoder, struct sc_session *session)
{
    struct session_key key = {.exporter = session->exporter,
                              .connection = session->connection,
                              .port = session->port,
                              .transport = session->transport};
    struct sc_session **link = &decoder->buckets[bucket_of(decoder, &key)];
    while (*link != session)
        link = &(*link)->hash_next;
    *link = session->hash_next;
    unlink_use(decoder, session);
    sc_session_unnote(decoder, session);
    decoder->session_count--;
    if (decoder->last == session)
        decoder->last = NULL;
    sc_session_free(session);
}

bool sc_session_insert(struct sc_decoder *decoder, struct sc_session *session)
{
    struct session_key key = {.exporter = session->exporter,
                              .connection = session->connection,
                              .port = session->port,
                              .transport = session->transport};
    if (find_key(decoder, &key) != NULL)
        return false;
    if (decoder->session_count >= decoder->limits.max_sessions)
        sc_session_remove(decoder, decoder->oldest);
    struct sc_session **bucket = &decoder->buckets[bucket_of(decoder, &key)];
    session->hash_next = *bucket;
    *bucket = session;
    link_newest(decoder, session);
    decoder->session_count++;
    return true;
}

struct sc_session *sc_session_find(const struct sc_decoder *decoder, const struct sc_message_source *source,
                                   bool any_port)
{
    struct session_key key = make_key(source, any_port);
    return find_key(decoder, &key);
}

struct sc_session *sc_session_get(struct sc_decoder *decoder, const struct sc_message_source *source,
                                  bool any_port)
{
    struct session_key key = make_key(source, any_port);
    struct sc_session *s = decoder->last;
    if (s == NULL || !is_session(s, &key))
        s = find_key(decoder, &key);
    if (s == NULL) {
        s = sc_session_create(source, any_port);
        if (s == NULL)
            return NULL;
        sc_session_insert(decoder, s);
    } else if (decoder->newest != s) {
        unlink_use(decoder, s);
        link_newest(decoder, s);
    }
    decoder->last = s;
    return s;
}

/* ---- domains ---- */

static struct sc_domain *add_domain(struct sc_session *session, uint8_t version, uint32_t id)
{
    struct sc_domain **domains =
        realloc(session->domains, (session->domain_count + 1) * sizeof(struct sc_domain *));
    if (domains == NULL)
        return NULL;
    session->domains = domains;
    struct sc_domain *domain = calloc(1, sizeof(*domain));
    if (domain == NULL)
        return NULL;
    domain->id = id;
    domain->version = version;
    domain->stats.exporter = session->exporter;
    domain->stats.port = session->port;
    domain->stats.transport = session->transport;
    domain->stats.version = version;
    domain->stats.domain = id;
    domain->unheard = true;
    domains[session->domain_count++] = domain;
    session->bytes += sizeof(*domain) + sizeof(struct sc_domain *);
    return domain;
}

enum sc_status sc_session_domain(struct sc_session *session, const struct sc_decoder_limits *limits,
                                 uint8_t version, uint32_t id, struct sc_domain **out)
{
    for (uint32_t i = 0; i < session->domain_count; i++) {
        *out = session->domains[i];
        if ((*out)->id == id && (*out)->version == version)
            return SC_OK;
    }
    *out = NULL;
    if (session->domain_count >= limits->max_domains ||
        session->bytes + sizeof(struct sc_domain) > limits->max_session_bytes)
        return SC_LIMIT;
    *out = add_domain(session, version, id);
    return *out == NULL ? SC_NOMEM : SC_OK;
}

/* Index of the first template whose id is not below `id`. */
static uint32_t template_index(const struct sc_domain *domain, uint16_t id)
{
    uint32_t low = 0, high = domain->template_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (domain->templates[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct sc_template *sc_domain_template(const struct sc_domain *domain, uint16_t id)
{
    uint32_t i = template_index(domain, id);
    return i < domain->template_count && domain->templates[i]->id == id ? domain->templates[i] : NULL;
}

enum sc_status sc_domain_put_template(struct sc_session *session, struct sc_domain *domain,
                                      struct sc_template *t, struct sc_template **old)
{
    uint32_t i = template_index(domain, t->id);
    *old = NULL;
    if (i < domain->template_count && domain->templates[i]->id == t->id) {
        *old = domain->templates[i];
        session->bytes -= (*old)->bytes;
    } else {
        if (domain->template_count == domain->template_capacity) {
            uint32_t capacity = domain->template_capacity == 0 ? 8 : domain->template_capacity * 2;
            struct sc_template **grown = realloc(domain->templates, capacity * sizeof(struct sc_template *));
            if (grown == NULL)
                return SC_NOMEM;
            domain->templates = grown;
            domain->template_capacity = capacity;
        }
        memmove(domain->templates + i + 1, domain->templates + i,
                (domain->template_count - i) * sizeof(struct sc_template *));
        domain->template_count++;
    }
    domain->templates[i] = t;
    session->bytes += t->bytes;
    sc_session_changed(session);
    return SC_OK;
}

struct sc_template *sc_domain_take_template(struct sc_session *session, struct sc_domain *domain, uint16_t id)
{
    uint32_t i = template_index(domain, id);
    if (i == domain->template_count || domain->templates[i]->id != id)
        return NULL;
    struct sc_template *t = domain->templates[i];
    session->bytes -= t->bytes;
    domain->template_count--;
    memmove(domain->templates + i, domain->templates + i + 1,
            (domain->template_count - i) * sizeof(struct sc_template *));
    return t;
}

/* ---- data sets that wait for their template ---- */

static void drop_oldest_waiting(struct sc_session *session)
{
    struct sc_waiting_set *w = session->waiting;
    session->waiting = w->next;
    if (session->waiting == NULL)
        session->waiting_end = &session->waiting;
    session->waiting_count--;
    session->waiting_bytes -= w->length;
    session->bytes -= sizeof(*w) + w->length;
    free(w);
}

void sc_session_wait(struct sc_session *session, const struct sc_decoder_limits *limits,
                     struct sc_domain *domain, const struct sc_message *message,
                     const struct sc_planned_set *set)
{
    if (set->length > limits->max_buffered_bytes || limits->max_buffered_sets == 0)
        return;
    while (session->waiting != NULL && (session->waiting_count >= limits->max_buffered_sets ||
                                        session->waiting_bytes + set->length > limits->max_buffered_bytes))
        drop_oldest_waiting(session);
    size_t size = sizeof(struct sc_waiting_set) + set->length;
    if (session->bytes + size > limits->max_session_bytes)
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
        if (w->domain != domain || (*t = sc_domain_template(domain, w->id)) == NULL)
            continue;
        *link = w->next;
        if (*link == NULL)
            session->waiting_end = link;
        session->waiting_count--;
        session->waiting_bytes -= w->length;
        session->bytes -= sizeof(*w) + w->length;
        return w;
    }
    return NULL;
}
