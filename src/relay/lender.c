// SPDX-License-Identifier: BSD-3-Clause
#include "relay/lender.h"

#include "base/clock.h"
#include "relay/stock.h"

#include <pthread.h>
#include <stdlib.h>

#define LIST_EVERY_MS 1000u

struct list {
    struct sc_loan *first, **last;
};

struct sc_lender {
    void (*answered)(void *arg);
    void *arg;
    pthread_t thread;

    /* of the thread */
    struct sc_stock stock;
    uint64_t listed_ms;
    bool listed;

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake, here_is;
    struct list asked, lent;
    struct sc_loan *here; /* the answer to who waits in this process */
    bool stopping;
};

static void list_put(struct list *list, struct sc_loan *loan)
{
    loan->next = NULL;
    *list->last = loan;
    list->last = &loan->next;
}

static struct sc_loan *list_take(struct list *list)
{
    struct sc_loan *loan = list->first;
    if (loan == NULL)
        return NULL;
    list->first = loan->next;
    if (list->first == NULL)
        list->last = &list->first;
    return loan;
}

void sc_loan_free(struct sc_loan *loan)
{
    if (loan == NULL)
        return;
    free(loan->digests);
    free(loan->holds);
    free(loan->told);
    sc_shared_release(loan->bytes);
    free(loan);
}

/* ---- answers ---- */

/* @return false: it cannot be listed, and nothing of it is known. */
static bool list(struct sc_lender *l, bool anew)
{
    if (l->listed && !anew && sc_clock_mono_ms() < l->listed_ms + LIST_EVERY_MS)
        return true;
    l->listed = sc_stock_refresh(&l->stock, NULL) == SC_OK;
    l->listed_ms = sc_clock_mono_ms();
    return l->listed;
}

static uint8_t give_digests(struct sc_lender *l, struct sc_loan *loan)
{
    const struct sc_link_ask *ask = &loan->ask;
    if (sc_stock_digests(&l->stock, ask->window_ms, ask->end_ms, &loan->digests, &loan->count) != SC_OK)
        return SC_GIVEN_FAILED;
    loan->hash = sc_digests_hash(loan->digests, loan->count);
    loan->held_bytes = sc_stock_bytes(&l->stock, UINT64_MAX);
    loan->kept_from_ms = loan->most_bytes == 0 ? 0 : sc_stock_kept_from(&l->stock, loan->most_bytes);
    if (ask->hash != loan->hash)
        return SC_GIVEN_ALL;
    loan->count = 0;
    return SC_GIVEN_SAME;
}

static uint8_t give_holds(struct sc_lender *l, struct sc_loan *loan)
{
    const struct sc_window window = {loan->ask.window_ms, loan->ask.window_s};
    if (sc_stock_holds(&l->stock, loan->ask.lane, &window, &loan->holds, &loan->count) != SC_OK)
        return SC_GIVEN_FAILED;
    loan->held_bytes = sc_stock_bytes(&l->stock, window.begin_ms);
    return SC_GIVEN_ALL;
}

static uint8_t give_told(struct sc_lender *l, struct sc_loan *loan)
{
    enum sc_status status = sc_told_records(&l->stock.told, loan->ask.window_ms, &loan->told, &loan->count);
    return status == SC_OK ? SC_GIVEN_ALL : SC_GIVEN_FAILED;
}

/* A file that was sealed since it was listed has another name now. */
static uint8_t give_group(struct sc_lender *l, struct sc_loan *loan)
{
    const struct sc_link_ask *ask = &loan->ask;
    const struct sc_window window = {ask->window_ms, ask->window_s};
    struct sc_buf bytes = {0};
    enum sc_status status =
        sc_stock_group(&l->stock, ask->lane, &window, ask->stream, ask->sequence, &loan->head, &bytes, NULL);
    if (status == SC_NOTFOUND && list(l, true))
        status = sc_stock_group(&l->stock, ask->lane, &window, ask->stream, ask->sequence, &loan->head,
                                &bytes, NULL);
    if (status == SC_OK)
        loan->bytes = sc_shared_take(&bytes);
    sc_buf_free(&bytes);
    return loan->bytes != NULL ? SC_GIVEN_ALL : status == SC_NOTFOUND ? SC_GIVEN_NONE : SC_GIVEN_FAILED;
}

static void answer(struct sc_lender *l, struct sc_loan *loan)
{
    bool anew = loan->connection == SC_LENDER_HERE && loan->ask.what == SC_ASK_DIGESTS;
    loan->outcome = SC_GIVEN_FAILED;
    if (!list(l, anew))
        return;
    if (loan->ask.what == SC_ASK_DIGESTS)
        loan->outcome = give_digests(l, loan);
    else if (loan->ask.what == SC_ASK_HOLDS)
        loan->outcome = give_holds(l, loan);
    else if (loan->ask.what == SC_ASK_TOLD)
        loan->outcome = give_told(l, loan);
    else if (loan->ask.what == SC_ASK_GROUP)
        loan->outcome = give_group(l, loan);
    else
        loan->outcome = SC_GIVEN_NONE; /* of a newer version */
}

/* ---- the thread ---- */

/* NULL: the end. */
static struct sc_loan *wait_for_one(struct sc_lender *l)
{
    pthread_mutex_lock(&l->mutex);
    while (l->asked.first == NULL && !l->stopping)
        pthread_cond_wait(&l->wake, &l->mutex);
    struct sc_loan *loan = l->stopping ? NULL : list_take(&l->asked);
    pthread_mutex_unlock(&l->mutex);
    return loan;
}

static void give(struct sc_lender *l, struct sc_loan *loan)
{
    bool here = loan->connection == SC_LENDER_HERE;
    pthread_mutex_lock(&l->mutex);
    if (here) {
        sc_loan_free(l->here); /* nobody waited for it */
        l->here = loan;
        pthread_cond_signal(&l->here_is);
    } else {
        list_put(&l->lent, loan);
    }
    pthread_mutex_unlock(&l->mutex);
    if (!here)
        l->answered(l->arg);
}

static void *run(void *arg)
{
    struct sc_lender *l = arg;
    struct sc_loan *loan;
    pthread_setname_np(pthread_self(), "sc-lender");
    while ((loan = wait_for_one(l)) != NULL) {
        answer(l, loan);
        give(l, loan);
    }
    return NULL;
}

/* ---- outside ---- */

static void free_lender(struct sc_lender *l)
{
    struct sc_loan *loan;
    while ((loan = list_take(&l->asked)) != NULL || (loan = list_take(&l->lent)) != NULL)
        sc_loan_free(loan);
    sc_loan_free(l->here);
    sc_stock_free(&l->stock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->here_is);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

struct sc_lender *sc_lender_start(const char *store, void (*answered)(void *arg), void *arg,
                                  struct sc_error *err)
{
    struct sc_lender *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        sc_fail_nomem(err, "the lender");
        return NULL;
    }
    l->stock.store = store;
    l->answered = answered;
    l->arg = arg;
    l->asked.last = &l->asked.first;
    l->lent.last = &l->lent.first;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->wake, NULL);
    pthread_cond_init(&l->here_is, NULL);
    int failed = pthread_create(&l->thread, NULL, run, l);
    if (failed == 0)
        return l;
    free_lender(l);
    sc_fail_errno(err, failed, "cannot start the lender");
    return NULL;
}

void sc_lender_stop(struct sc_lender *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_broadcast(&l->wake);
    pthread_cond_broadcast(&l->here_is);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    free_lender(l);
}

static bool put_question(struct sc_lender *l, uint64_t connection, const struct sc_link_ask *ask,
                         uint64_t most_bytes)
{
    struct sc_loan *loan = calloc(1, sizeof(*loan));
    if (loan == NULL)
        return false;
    loan->connection = connection;
    loan->ask = *ask;
    loan->most_bytes = most_bytes;
    pthread_mutex_lock(&l->mutex);
    list_put(&l->asked, loan);
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->mutex);
    return true;
}

bool sc_lender_ask(struct sc_lender *l, uint64_t connection, const struct sc_link_ask *ask)
{
    return put_question(l, connection, ask, 0);
}

struct sc_loan *sc_lender_take(struct sc_lender *l)
{
    pthread_mutex_lock(&l->mutex);
    struct sc_loan *loan = list_take(&l->lent);
    pthread_mutex_unlock(&l->mutex);
    return loan;
}

struct sc_loan *sc_lender_ask_here(struct sc_lender *l, const struct sc_link_ask *ask, uint64_t most_bytes)
{
    if (!put_question(l, SC_LENDER_HERE, ask, most_bytes))
        return NULL;
    pthread_mutex_lock(&l->mutex);
    while (l->here == NULL && !l->stopping)
        pthread_cond_wait(&l->here_is, &l->mutex);
    struct sc_loan *loan = l->here;
    l->here = NULL;
    pthread_mutex_unlock(&l->mutex);
    return loan;
}
