// SPDX-License-Identifier: BSD-3-Clause
#include "collect/places.h"

#include "base/array.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LEAST      8u
#define SHARE      8u  /* one exporter gets this part of all, */
#define LEAST_EACH 16u /* but so many at least */

struct holder {
    struct sc_addr exporter;
    uint32_t taken;
};

struct sc_places {
    pthread_mutex_t mutex; /* of what follows */
    struct sc_places_view view;
    struct holder *holders; /* in the order of their addresses */
    uint32_t count;
};

uint64_t sc_places_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    const struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? limit.rlim_max : limit.rlim_cur;
}

static uint32_t least(uint64_t a, uint64_t b)
{
    uint64_t less = a < b ? a : b;
    return less < UINT32_MAX ? (uint32_t)less : UINT32_MAX;
}

struct sc_places_limits sc_places_limits(uint64_t descriptors, uint64_t reserved,
                                         struct sc_places_limits wanted)
{
    uint64_t left = descriptors > reserved + LEAST ? descriptors - reserved : LEAST;
    struct sc_places_limits out = {.most = least(left, wanted.most != 0 ? wanted.most : SC_PLACES_MOST)};
    uint32_t each = out.most / SHARE > LEAST_EACH ? out.most / SHARE : LEAST_EACH;
    out.each = least(out.most, wanted.each != 0 ? wanted.each : each);
    return out;
}

struct sc_places *sc_places_create(struct sc_places_limits limits)
{
    struct sc_places *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    pthread_mutex_init(&p->mutex, NULL);
    p->view.limits = limits;
    return p;
}

void sc_places_free(struct sc_places *p)
{
    if (p == NULL)
        return;
    pthread_mutex_destroy(&p->mutex);
    free(p->holders);
    free(p);
}

static struct sc_addr exporter_of(const struct sc_addr *from)
{
    return sc_addr_is_v4(from) ? *from : sc_addr_mask(from, 64);
}

/* Where the exporter is, or belongs. */
static uint32_t find(const struct sc_places *p, const struct sc_addr *exporter, bool *found)
{
    uint32_t first = 0, end = p->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (sc_addr_compare(&p->holders[middle].exporter, exporter) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    *found = first < p->count && sc_addr_equal(&p->holders[first].exporter, exporter);
    return first;
}

static bool insert(struct sc_places *p, uint32_t at, const struct sc_addr *exporter)
{
    if (!sc_array_more(p->holders, p->count, 1))
        return false;
    memmove(&p->holders[at + 1], &p->holders[at], (p->count - at) * sizeof(*p->holders));
    p->holders[at] = (struct holder){.exporter = *exporter};
    p->count++;
    return true;
}

static enum sc_place take(struct sc_places *p, const struct sc_addr *exporter)
{
    bool found;
    uint32_t at = find(p, exporter, &found);
    if (found && p->holders[at].taken >= p->view.limits.each)
        return SC_PLACE_OVER_SHARE;
    if (p->view.taken >= p->view.limits.most)
        return SC_PLACE_NONE_LEFT;
    if (!found && !insert(p, at, exporter))
        return SC_PLACE_NO_MEMORY;
    p->holders[at].taken++;
    p->view.taken++;
    return SC_PLACE_TAKEN;
}

enum sc_place sc_places_take(struct sc_places *p, const struct sc_addr *from)
{
    if (p == NULL)
        return SC_PLACE_TAKEN;
    const struct sc_addr exporter = exporter_of(from);
    pthread_mutex_lock(&p->mutex);
    enum sc_place place = take(p, &exporter);
    pthread_mutex_unlock(&p->mutex);
    return place;
}

void sc_places_give_back(struct sc_places *p, const struct sc_addr *from)
{
    bool found;
    if (p == NULL)
        return;
    const struct sc_addr exporter = exporter_of(from);
    pthread_mutex_lock(&p->mutex);
    uint32_t at = find(p, &exporter, &found);
    if (found) {
        p->view.taken--;
        if (--p->holders[at].taken == 0) {
            p->count--;
            memmove(&p->holders[at], &p->holders[at + 1], (p->count - at) * sizeof(*p->holders));
        }
    }
    pthread_mutex_unlock(&p->mutex);
}

void sc_places_get(struct sc_places *p, struct sc_places_view *out)
{
    *out = (struct sc_places_view){0};
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->mutex);
    *out = p->view;
    pthread_mutex_unlock(&p->mutex);
}
