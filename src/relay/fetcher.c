// SPDX-License-Identifier: BSD-3-Clause
#include "relay/fetcher.h"

#include <pthread.h>
#include <stdlib.h>

struct list {
    struct sc_fetch *first, **last;
};

struct sc_fetcher {
    struct sc_outbox *outbox;
    void (*ready)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake;
    struct list asked, there;
    bool untidy, stopping;
};

static void list_init(struct list *list)
{
    *list = (struct list){.last = &list->first};
}

static void list_put(struct list *list, struct sc_fetch *fetch)
{
    fetch->next = NULL;
    *list->last = fetch;
    list->last = &fetch->next;
}

/* NULL: it is empty. */
static struct sc_fetch *list_take(struct list *list)
{
    struct sc_fetch *fetch = list->first;
    if (fetch == NULL)
        return NULL;
    list->first = fetch->next;
    if (list->first == NULL)
        list->last = &list->first;
    return fetch;
}

void sc_fetch_free(struct sc_fetch *fetch)
{
    if (fetch != NULL)
        sc_shared_release(fetch->batch.bytes);
    free(fetch);
}

static void give(struct sc_fetcher *f, struct sc_fetch *fetch)
{
    pthread_mutex_lock(&f->mutex);
    bool first = f->there.first == NULL;
    list_put(&f->there, fetch);
    pthread_mutex_unlock(&f->mutex);
    if (first)
        f->ready(f->arg);
}

/* What is to be done next, reading first. False: the end. */
static bool wait_for_work(struct sc_fetcher *f, struct sc_fetch **fetch)
{
    pthread_mutex_lock(&f->mutex);
    while (f->asked.first == NULL && !f->untidy && !f->stopping)
        pthread_cond_wait(&f->wake, &f->mutex);
    *fetch = list_take(&f->asked);
    f->untidy = f->untidy && *fetch != NULL;
    bool goes_on = !f->stopping;
    pthread_mutex_unlock(&f->mutex);
    return goes_on;
}

static void read_batch(struct sc_fetcher *f, struct sc_fetch *fetch)
{
    struct sc_buf bytes = {0};
    struct sc_accepted *batch = &fetch->batch;
    fetch->err.status = sc_outbox_read(f->outbox, &batch->head, batch->place, &bytes, &fetch->err);
    if (fetch->err.status == SC_OK && (batch->bytes = sc_shared_take(&bytes)) == NULL)
        fetch->err.status = sc_fail_nomem(&fetch->err, "a batch");
    sc_buf_free(&bytes);
}

static void *run(void *arg)
{
    struct sc_fetcher *f = arg;
    struct sc_fetch *fetch;
    pthread_setname_np(pthread_self(), "sc-outbox");
    while (wait_for_work(f, &fetch)) {
        if (fetch == NULL) {
            sc_outbox_tidy(f->outbox);
            continue;
        }
        read_batch(f, fetch);
        give(f, fetch);
    }
    sc_fetch_free(fetch);
    return NULL;
}

static void free_fetcher(struct sc_fetcher *f)
{
    struct sc_fetch *fetch;
    while ((fetch = list_take(&f->asked)) != NULL || (fetch = list_take(&f->there)) != NULL)
        sc_fetch_free(fetch);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

struct sc_fetcher *sc_fetcher_start(struct sc_outbox *outbox, void (*ready)(void *arg), void *arg,
                                    struct sc_error *err)
{
    struct sc_fetcher *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        sc_fail_nomem(err, "the outbox's reader");
        return NULL;
    }
    *f = (struct sc_fetcher){.outbox = outbox, .ready = ready, .arg = arg};
    list_init(&f->asked);
    list_init(&f->there);
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->wake, NULL);
    int failed = pthread_create(&f->thread, NULL, run, f);
    if (failed == 0)
        return f;
    free_fetcher(f);
    sc_fail_errno(err, failed, "cannot start the outbox's reader");
    return NULL;
}

void sc_fetcher_stop(struct sc_fetcher *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->mutex);
    f->stopping = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
    free_fetcher(f);
}

void sc_fetcher_ask(struct sc_fetcher *f, struct sc_fetch *fetch)
{
    pthread_mutex_lock(&f->mutex);
    list_put(&f->asked, fetch);
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mutex);
}

struct sc_fetch *sc_fetcher_take(struct sc_fetcher *f)
{
    pthread_mutex_lock(&f->mutex);
    struct sc_fetch *fetch = list_take(&f->there);
    pthread_mutex_unlock(&f->mutex);
    return fetch;
}

void sc_fetcher_tidy(struct sc_fetcher *f)
{
    pthread_mutex_lock(&f->mutex);
    f->untidy = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mutex);
}
