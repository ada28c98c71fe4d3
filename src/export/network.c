// SPDX-License-Identifier: BSD-3-Clause
#include "export/network.h"

#include <stdlib.h>

enum { AS_COUNT = 1500, UPSTREAMS = 6, ACCESS_INTERFACES = 12 };

static void alias_free(struct sc_alias *a)
{
    free(a->threshold);
    free(a->other);
}

/* Vose's construction on integer weights: each slot keeps `threshold` of its own and gives the rest to one
 * other. */
static bool alias_fill(struct sc_alias *a, const uint64_t *weights)
{
    uint32_t n = a->count;
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += weights[i];
    uint64_t *scaled = malloc(n * sizeof(*scaled));
    uint32_t *work = malloc(n * sizeof(*work));
    if (scaled == NULL || work == NULL) {
        free(scaled);
        free(work);
        return false;
    }
    uint32_t small = 0, large = n; /* two stacks in one array, from both ends */
    for (uint32_t i = 0; i < n; i++) {
        scaled[i] = weights[i] * n;
        if (scaled[i] < total)
            work[small++] = i;
        else
            work[--large] = i;
    }
    while (small > 0 && large < n) {
        uint32_t s = work[--small], l = work[large];
        a->threshold[s] = (uint32_t)((unsigned __int128)scaled[s] * UINT32_MAX / total);
        a->other[s] = l;
        scaled[l] -= total - scaled[s];
        if (scaled[l] < total) {
            large++;
            work[small++] = l;
        }
    }
    free(scaled);
    free(work);
    return true;
}

/* Weights of Zipf and Mandelbrot: 1 / (rank + 3). */
static bool alias_zipf(struct sc_alias *a, uint32_t n)
{
    uint64_t *weights = malloc(n * sizeof(*weights));
    a->count = n;
    a->threshold = malloc(n * sizeof(*a->threshold));
    a->other = malloc(n * sizeof(*a->other));
    bool done = weights != NULL && a->threshold != NULL && a->other != NULL;
    for (uint32_t i = 0; done && i < n; i++) {
        weights[i] = (UINT64_C(1) << 36) / (i + 3);
        a->threshold[i] = UINT32_MAX;
        a->other[i] = i;
    }
    done = done && alias_fill(a, weights);
    free(weights);
    return done;
}

static uint32_t alias_draw(const struct sc_alias *a, struct sc_random *random)
{
    uint64_t v = sc_random_next(random);
    uint32_t i = (uint32_t)((v >> 32) * a->count >> 32);
    return (uint32_t)v <= a->threshold[i] ? i : a->other[i];
}

/* ---- prefixes ---- */

/* Public unicast space; not private, loopback, link local, shared, documentation or benchmark addresses. */
static bool is_public(uint32_t v4)
{
    uint32_t a = v4 >> 24, b = v4 >> 16 & 0xff;
    if (a < 2 || a > 222 || a == 10 || a == 127)
        return false;
    if ((a == 100 && (b & 0xc0) == 64) || (a == 169 && b == 254) || (a == 172 && (b & 0xf0) == 16))
        return false;
    if ((a == 192 && (b == 0 || b == 168)) || (a == 198 && (b == 18 || b == 19 || b == 51)))
        return false;
    return !(a == 203 && b == 0);
}

static struct sc_addr v6_base(uint32_t high, uint32_t low)
{
    struct sc_addr a = {{0}};
    sc_store_be32(a.b, high);
    sc_store_be32(a.b + 4, low);
    return a;
}

static void make_next_hop(struct sc_network_prefix *p, uint32_t v4, uint16_t router)
{
    p->next_hop[0] = sc_addr_v4(v4);
    p->next_hop[1] = v6_base(0x20010db8, 0xffff0000);
    p->next_hop[1].b[15] = (uint8_t)router;
}

static void make_internal(struct sc_network_prefix *p, uint32_t i, struct sc_random *random)
{
    static const uint8_t lengths[] = {16, 18, 20, 20, 22, 24};
    uint8_t length = lengths[sc_random_below(random, sizeof(lengths))];
    p->base[0] = sc_addr_v4((10u << 24 | (i + 1) << 18) & ~((1u << (32 - length)) - 1));
    p->base[1] = v6_base(0x20010db8, (i + 1) << 16);
    p->length[0] = length;
    p->length[1] = 48;
    p->as = i < 30 ? 64512 : 64513 + i % 3;
    p->interface = (uint16_t)(1 + i % ACCESS_INTERFACES);
    make_next_hop(p, 0x0affff00u + p->interface, p->interface);
}

static void make_external(struct sc_network_prefix *p, struct sc_random *random)
{
    static const uint8_t lengths[] = {11, 13, 14, 15, 16, 16, 17, 18, 19, 20,
                                      20, 21, 22, 22, 22, 23, 24, 24, 24, 24};
    uint8_t length = lengths[sc_random_below(random, sizeof(lengths))];
    uint32_t v4;
    do {
        v4 = (uint32_t)sc_random_next(random) & ~((1u << (32 - length)) - 1);
    } while (!is_public(v4));
    p->base[0] = sc_addr_v4(v4);
    p->base[1] = v6_base(0x24000000u | ((uint32_t)sc_random_next(random) & 0x07ffffffu), 0);
    p->length[0] = length;
    p->length[1] = 32;
    uint32_t rank = (uint32_t)sc_random_pareto(random, 8, 150) % AS_COUNT;
    p->as = 1000 + (uint32_t)(sc_random_mix(rank) % 60000);
    p->interface = (uint16_t)(101 + sc_random_mix(p->as) % UPSTREAMS);
    make_next_hop(p, 0xc6120000u + (uint32_t)(p->interface - 100) * 4 + 1, p->interface);
}

/* ---- hosts ---- */

static struct sc_addr host_v4(const struct sc_network_prefix *p, uint64_t bits)
{
    uint32_t size = 1u << (32 - p->length[0]);
    uint32_t host = (uint32_t)bits % size;
    if (host == 0 || host == size - 1)
        host = 1;
    return sc_addr_v4(sc_addr_get_v4(&p->base[0]) | host);
}

/* Servers and routers have short interface identifiers, clients random ones. */
static struct sc_addr host_v6(const struct sc_network_prefix *p, uint64_t bits)
{
    struct sc_addr a = p->base[1];
    a.b[7] = (uint8_t)(bits & 0x1f);
    if (bits >> 40 & 1)
        sc_store_be64(a.b + 8, sc_random_mix(bits) & ~(UINT64_C(2) << 56));
    else
        sc_store_be16(a.b + 14, (uint16_t)(bits >> 8 | 1));
    return a;
}

static void make_hosts(struct sc_network *n, struct sc_random *random)
{
    uint32_t all = n->internal_hosts + n->external_hosts;
    for (uint32_t i = 0; i < all; i++) {
        struct sc_network_host *h = &n->hosts[i];
        if (i < n->internal_hosts)
            h->prefix = sc_random_below(random, n->internal_prefixes);
        else
            h->prefix = n->internal_prefixes + sc_random_below(random, n->external_prefixes);
        uint64_t bits = sc_random_next(random);
        h->address[0] = host_v4(&n->prefixes[h->prefix], bits);
        h->address[1] = host_v6(&n->prefixes[h->prefix], bits);
    }
}

struct sc_network *sc_network_create(uint64_t seed, uint32_t hosts)
{
    struct sc_network *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->internal_prefixes = SC_NETWORK_INTERNAL_PREFIXES;
    n->internal_hosts = hosts / 5;
    n->external_hosts = hosts - n->internal_hosts;
    n->external_prefixes = n->external_hosts / 12 + 16;
    n->prefixes = calloc((size_t)n->internal_prefixes + n->external_prefixes, sizeof(*n->prefixes));
    n->hosts = calloc(hosts, sizeof(*n->hosts));
    if (n->prefixes == NULL || n->hosts == NULL || !alias_zipf(&n->internal_popularity, n->internal_hosts) ||
        !alias_zipf(&n->external_popularity, n->external_hosts)) {
        sc_network_free(n);
        return NULL;
    }
    struct sc_random random;
    sc_random_seed(&random, seed ^ UINT64_C(0x6e6574776f726b));
    for (uint32_t i = 0; i < n->internal_prefixes; i++)
        make_internal(&n->prefixes[i], i, &random);
    for (uint32_t i = 0; i < n->external_prefixes; i++)
        make_external(&n->prefixes[n->internal_prefixes + i], &random);
    make_hosts(n, &random);
    return n;
}

void sc_network_free(struct sc_network *n)
{
    if (n == NULL)
        return;
    alias_free(&n->internal_popularity);
    alias_free(&n->external_popularity);
    free(n->prefixes);
    free(n->hosts);
    free(n);
}

const struct sc_network_host *sc_network_internal(const struct sc_network *n, struct sc_random *random)
{
    return &n->hosts[alias_draw(&n->internal_popularity, random)];
}

const struct sc_network_host *sc_network_external(const struct sc_network *n, struct sc_random *random)
{
    return &n->hosts[n->internal_hosts + alias_draw(&n->external_popularity, random)];
}

const struct sc_network_host *sc_network_server(const struct sc_network *n, struct sc_random *random,
                                                bool internal, uint32_t service, unsigned shift)
{
    const struct sc_alias *popularity = internal ? &n->internal_popularity : &n->external_popularity;
    uint32_t rank = alias_draw(popularity, random) >> shift;
    uint32_t at = (uint32_t)((rank + sc_random_mix(service)) % popularity->count);
    return &n->hosts[internal ? at : n->internal_hosts + at];
}
