// SPDX-License-Identifier: BSD-3-Clause
/*
 * Programs that are asked something: SC_ASK_AT_ONCE of them run side by side without a shell, each with a process
 * group of its own that ends with its deadline at the latest. Blocking; one thread; no program outlives the call.
 */
#ifndef SC_BASE_ASK_H
#define SC_BASE_ASK_H

#include "base/buf.h"
#include "base/status.h"

#include <stdatomic.h>
#include <sys/types.h>

#define SC_ASK_AT_ONCE    64u
#define SC_ASK_MAX_WORDS  48u
#define SC_ASK_MAX_ANSWER (UINT64_C(64) << 20)

struct sc_ask {
    const char *words[SC_ASK_MAX_WORDS +
                      1]; /* the program, looked up in PATH, and its arguments; NULL behind the last */
    uint32_t word_count;
    const char *input; /* what it reads, borrowed; NULL: nothing */
    /* Where it runs, and with which environment, NULL behind the last; NULL: those of this process. No signal is blocked there. */
    const char *folder;
    char *const *environment;
    bool unheard;            /* nobody wants its answer: it writes it to nowhere */
    const atomic_bool *stop; /* once it is set the program has no more time; NULL: it never is */
    /* What came of it. The buffers are the caller's to free. */
    struct sc_buf answer; /* what it wrote */
    struct sc_buf errors; /* to stderr, the first 4 KiB */
    bool timed_out, too_long;
    int failed;        /* errno when it could not be run, else 0 */
    int exit;          /* exit status; 128 + signal when one ended it */
    pid_t pid;         /* for sc_ask_all; -1: it does not run */
    int pipes[2];      /* likewise */
    uint64_t until_ms; /* likewise: its deadline */
};

/* A list of words, NULL behind the last, malloc'ed. NULL without memory. */
char **sc_ask_copy_words(char *const *words);
void sc_ask_free_words(char **words); /* NULL is allowed */

/* Appends a word (borrowed). @return false when there are too many. */
bool sc_ask_word(struct sc_ask *ask, const char *word);

/* Runs all and waits for them, for each `timeout_ms` from its start at most. */
void sc_ask_all(struct sc_ask *asks, uint32_t count, uint64_t timeout_ms);
/* Likewise; `watch` (NULL: nobody) is called every now and then meanwhile, several times a second: those with a pid run. */
typedef void sc_ask_watch_fn(void *arg, const struct sc_ask *asks, uint32_t count);
void sc_ask_all_watched(struct sc_ask *asks, uint32_t count, uint64_t timeout_ms, sc_ask_watch_fn *watch,
                        void *arg);

/* The first or the last line of an answer or of errors that says something; "": none. */
void sc_ask_line(const struct sc_buf *text, bool last, char *out, size_t size);

#endif
