// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/reach.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void sc_reach_number(uint32_t index, char out[SC_REACH_NUMBER_MAX])
{
    uint32_t number = index + 1;
    snprintf(out, SC_REACH_NUMBER_MAX, "0.0.%u.%u", number >> 8 & 0xff, number & 0xff);
}

void sc_reach_put(struct sc_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == ':' || *text == '%')
            sc_buf_append_str(out, *text == ':' ? "%3A" : "%25");
        else
            sc_buf_append_u8(out, (uint8_t)*text);
    }
}

/* What sc_reach_put wrote, as it was. */
static void restore(char *word)
{
    char *to = word;
    for (; *word != '\0'; word++) {
        bool colon = strncmp(word, "%3A", 3) == 0, percent = strncmp(word, "%25", 3) == 0;
        *to++ = colon ? ':' : *word;
        word += colon || percent ? 2 : 0;
    }
    *to = '\0';
}

/* Cuts the list behind the host with that index. NULL: there is none. */
static char *cut_out(char *list, uint32_t index)
{
    char *host = NULL;
    for (uint32_t i = 0; i <= index; i++)
        host = strsep(&list, ",");
    return host == NULL || host[0] == '\0' ? NULL : host;
}

/* @return whether the word is the number of a host; *index is it. */
static bool read_number(const char *word, uint32_t *index)
{
    struct in_addr number;
    bool is = inet_pton(AF_INET, word, &number) == 1;
    *index = is ? ntohl(number.s_addr) - 1 : 0;
    return is && *index < SC_REACH_MOST;
}

bool sc_reach_resolve(char **words)
{
    uint32_t index;
    char **word = words + 1;
    for (; *word != NULL && !read_number(*word, &index); word++)
        restore(*word);
    if (*word == NULL)
        return false;
    *word = cut_out(words[0], index);
    if (*word != NULL)
        restore(*word);
    return *word != NULL;
}
