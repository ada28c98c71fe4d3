// SPDX-License-Identifier: BSD-3-Clause
/*
 * The options of a program as a table. A row says where the value goes in the program's own struct, and what it may be; what is more
 * than that is done by the program's `take`. Beside getopt_long, which reads the words, this says what is wrong with them.
 */
#ifndef SC_CLI_OPTIONS_H
#define SC_CLI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_EXIT_USAGE    2
#define SC_OPTIONS_MOST  40u
#define SC_OPTION_LETTER 256 /* `id` below it is the short form of the option, too */

enum sc_option_type {
    SC_OPTION_FLAG, /* bool */
    SC_OPTION_TEXT, /* const char *; with `wrong` once only: of two the first would be dropped without a word */
    SC_OPTION_NUMBER,     /* uint64_t, from `least` to `most` */
    SC_OPTION_SMALL,      /* uint32_t, likewise */
    SC_OPTION_CHOICE,     /* an enum, one of `choices` */
    SC_OPTION_TAKE,       /* sc_options.take reads it */
    SC_OPTION_TAKE_MAYBE, /* it may stand without a value: then that is NULL */
    SC_OPTION_SAY         /* writes the sentence `wrong` to stdout, and nothing else is done */
};

struct sc_choice {
    const char *name; /* NULL behind the last one */
    unsigned value;
};

struct sc_option {
    const char *name;
    int id; /* the program's, for `take`; 0: none */
    enum sc_option_type type;
    size_t place;                                  /* of the value in the program's struct */
    size_t given;                                  /* 0, or the place of a const char * that gets the name */
    bool (*read)(const char *text, uint64_t *out); /* of a number; NULL: digits */
    uint64_t least, most;                          /* most 0: any */
    const struct sc_choice *choices;
    const char
        *wrong; /* what is said of a number that is none of these (NULL: its bounds), or of a second text */
};

struct sc_options {
    const char *program, *hint; /* stand before and behind what is said about a wrong word */
    const struct sc_option *rows;
    size_t count; /* SC_OPTIONS_MOST at most */
    enum sc_status (*take)(void *out, int id, const char *value, struct sc_error *err);
    bool names_taken; /* "--NAME: " stands before what `take` complains about */
    bool own_words;   /* unknown options are told of in words of ours, not of getopt's */
};

/* Reads the options into *out; optind is the first word that is none. @return -1: go on; else the exit status: all is said. */
int sc_options_read(const struct sc_options *options, int argc, char **argv, void *out);

/* Says the sentence and the hint on stderr. @return SC_EXIT_USAGE. */
int sc_options_fail(const struct sc_options *options, const char *sentence);

#endif
