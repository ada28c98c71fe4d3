// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/words.h"

#include "base/array.h"
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *sc_words_expand(const char *pattern, const char *host, const char *node)
{
    struct sc_buf out = {0};
    for (const char *p = pattern; *p != '\0'; p++) {
        if (p[0] != '%' || (p[1] != 'h' && p[1] != 'n' && p[1] != '%')) {
            sc_buf_append_u8(&out, (uint8_t)*p);
            continue;
        }
        p++;
        sc_buf_append_str(&out, *p == 'h' ? host : *p == 'n' ? node : "%");
    }
    sc_buf_append_u8(&out, 0);
    if (sc_buf_ok(&out))
        return (char *)out.data;
    sc_buf_free(&out);
    return NULL;
}

void sc_words_add(struct sc_words *words, const char *word)
{
    char *copy = sc_array_more(words->list, words->count, 2) ? strdup(word) : NULL;
    if (copy == NULL) {
        words->failed = true;
        return;
    }
    words->list[words->count++] = copy;
    words->list[words->count] = NULL;
}

void sc_words_addf(struct sc_words *words, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        words->failed = true;
        return;
    }
    sc_words_add(words, text);
    free(text);
}

void sc_words_free(struct sc_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->list[i]);
    free(words->list);
    *words = (struct sc_words){0};
}
