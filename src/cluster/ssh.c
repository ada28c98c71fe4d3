// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/ssh.h"

#include <ctype.h>
#include <string.h>

/* Names, addresses of both kinds, with a zone. ssh itself runs no shell on them, but what it starts may. */
enum sc_status sc_ssh_check_host(const char *host, struct sc_error *err)
{
    bool good = host[0] != '\0' && host[0] != '-';
    for (const char *p = host; good && *p != '\0'; p++)
        good = isalnum((unsigned char)*p) || strchr(".-_:%", *p) != NULL;
    return good ? SC_OK : sc_fail(err, SC_USAGE, "\"%.200s\" is no host that can be asked", host);
}

enum sc_status sc_ssh_words(struct sc_ask *ask, char *command, const char *host, struct sc_error *err)
{
    static const char *const manners[] = {"-o", "BatchMode=yes",         "-o", "ConnectTimeout=5",
                                          "-o", "ServerAliveInterval=5", "--"};
    bool room = true;
    char *state = NULL;
    SC_TRY(sc_ssh_check_host(host, err));
    for (char *word = strtok_r(command, " \t", &state); word != NULL; word = strtok_r(NULL, " \t", &state))
        room = room && sc_ask_word(ask, word);
    if (ask->word_count == 0)
        return sc_fail(err, SC_USAGE, "the ssh command is empty");
    for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++)
        room = room && sc_ask_word(ask, manners[i]);
    return room && sc_ask_word(ask, host) ? SC_OK
                                          : sc_fail(err, SC_USAGE, "the ssh command has too many words");
}
