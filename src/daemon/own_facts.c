// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/own_facts.h"

#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>

enum sc_status sc_own_facts_open(struct sc_own_facts *own)
{
    own->facts = sc_facts_create();
    own->instance = sc_hash_draw_seed() | 1;
    return own->facts == NULL ? SC_NOMEM : SC_OK;
}

void sc_own_facts_close(struct sc_own_facts *own)
{
    sc_facts_free(own->facts);
    *own = (struct sc_own_facts){0};
}

static void tell(const struct sc_own_facts *own, const struct sc_own_facts_source *s)
{
    const struct sc_cluster *c = s->cluster;
    struct sc_holder_stats stats = {0};
    if (s->holder != NULL)
        sc_holder_get_stats(s->holder, &stats);
    struct sc_link_facts facts = {.program = SC_VERSION,
                                  .instance = own->instance,
                                  .horizon_ms = stats.store.stores.horizon_ms,
                                  .free_bytes = stats.store.stores.disk.free_bytes,
                                  .cluster_version = c->version,
                                  .ring_hash = sc_cluster_ring_hash(c),
                                  .file_hash = sc_cluster_file_hash(c),
                                  .window_s = s->window_s,
                                  .copies = c->replication,
                                  .link_version = SC_LINK_VERSION};
    snprintf(facts.name, sizeof(facts.name), "%s", c->members[s->self].name);
    sc_facts_tell(own->facts, &facts, sc_facts_now());
}

/* Sentences without their numbers: a clock that goes on is no news. */
static void add_words(void *arg, const char *sentence)
{
    uint64_t *hash = arg;
    for (; *sentence != '\0'; sentence++) {
        if (*sentence < '0' || *sentence > '9')
            *hash = sc_hash_u64(*hash ^ (unsigned char)*sentence, 1);
    }
}

static void log_words(void *arg, const char *sentence)
{
    sc_log(arg, SC_LOG_WARNING, "%s", sentence);
}

void sc_own_facts_tick(struct sc_own_facts *own, const struct sc_own_facts_source *s)
{
    uint64_t words = 0;
    sc_facts_follow(own->facts, sc_facts_now());
    if (sc_clock_mono_ms() < own->next_ms)
        return;
    own->next_ms = sc_clock_mono_ms() + SC_FACTS_EVERY_MS;
    tell(own, s);
    sc_facts_compare(own->facts, s->cluster, sc_facts_now(), add_words, &words);
    if (words != own->told && words != 0)
        sc_facts_compare(own->facts, s->cluster, sc_facts_now(), log_words, (void *)(uintptr_t)s->log);
    if (words == 0 && own->told != 0)
        sc_log(s->log, SC_LOG_INFO, "the members of the cluster agree again");
    own->told = words;
}
