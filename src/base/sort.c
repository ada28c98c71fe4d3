// SPDX-License-Identifier: BSD-3-Clause
#include "base/sort.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Elements that are sorted, or merged, between two looks at the flag. */
#define RUN 16384u

struct sorting {
    size_t size;
    int (*compare)(const void *, const void *, void *);
    void *arg;
    const atomic_int *cancel;
};

static bool stopped(const struct sorting *s)
{
    return s->cancel != NULL && atomic_load_explicit(s->cancel, memory_order_relaxed) != 0;
}

/* Two sorted stretches that lie one behind the other to `out`; of equals the first comes first. */
static bool merge(const struct sorting *s, const uint8_t *first, uint64_t firsts, uint64_t seconds,
                  uint8_t *out)
{
    const uint8_t *second = first + firsts * s->size;
    for (uint64_t done = 0; firsts != 0 && seconds != 0; done++, out += s->size) {
        if (done % RUN == 0 && stopped(s))
            return false;
        bool from_first = s->compare(first, second, s->arg) <= 0;
        memcpy(out, from_first ? first : second, s->size);
        first += from_first ? s->size : 0;
        second += from_first ? 0 : s->size;
        firsts -= from_first;
        seconds -= !from_first;
    }
    memcpy(out, firsts != 0 ? first : second, (firsts + seconds) * s->size);
    return true;
}

/* All pairs of neighbours of `run` elements each. */
static bool merge_runs(const struct sorting *s, const uint8_t *from, uint64_t count, uint64_t run,
                       uint8_t *to)
{
    for (uint64_t at = 0; at < count; at += 2 * run) {
        uint64_t left = count - at, firsts = left < run ? left : run;
        uint64_t seconds = left - firsts < run ? left - firsts : run;
        if (!merge(s, from + at * s->size, firsts, seconds, to + at * s->size))
            return false;
    }
    return true;
}

static bool sort_runs(const struct sorting *s, uint8_t *base, uint64_t count)
{
    for (uint64_t at = 0; at < count; at += RUN) {
        if (count > RUN && stopped(s))
            return false;
        qsort_r(base + at * s->size, count - at < RUN ? count - at : RUN, s->size, s->compare, s->arg);
    }
    return true;
}

enum sc_status sc_sort(void *base, uint64_t count, size_t size,
                       int (*compare)(const void *, const void *, void *), void *arg,
                       const atomic_int *cancel)
{
    struct sorting s = {.size = size, .compare = compare, .arg = arg, .cancel = cancel};
    if (!sort_runs(&s, base, count))
        return SC_CANCELLED;
    if (count <= RUN)
        return SC_OK;
    uint8_t *other = malloc(count * size), *from = base, *to = other;
    bool going = true;
    if (other == NULL)
        return SC_NOMEM;
    for (uint64_t run = RUN; run < count && going; run *= 2) {
        uint8_t *swap = from;
        going = merge_runs(&s, from, count, run, to);
        from = to;
        to = swap;
    }
    if (going && from == other)
        memcpy(base, other, count * size);
    free(other);
    return going ? SC_OK : SC_CANCELLED;
}
