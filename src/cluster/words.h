// SPDX-License-Identifier: BSD-3-Clause
/* The words of commands for other nodes. Nothing here is read by a shell. */
#ifndef SC_CLUSTER_WORDS_H
#define SC_CLUSTER_WORDS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* A path with %h for the machine's name, %n for the node's, %% for %. malloc'ed; NULL without memory. */
char *sc_words_expand(const char *pattern, const char *host, const char *node);

/* A growing list of words, NULL behind the last. Zero-initialise. */
struct sc_words {
    char **list;
    size_t count;
    bool failed; /* for want of memory */
};

void sc_words_add(struct sc_words *words, const char *word);
void sc_words_addf(struct sc_words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sc_words_free(struct sc_words *words);

#endif
