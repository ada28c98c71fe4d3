// SPDX-License-Identifier: BSD-3-Clause
#include "cli/options.h"

#include "base/text.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

int sc_options_fail(const struct sc_options *options, const char *sentence)
{
    fprintf(stderr, "%s: %s\n%s", options->program, sentence, options->hint);
    return SC_EXIT_USAGE;
}

static enum sc_status take_number(const struct sc_option *o, const char *text, void *place,
                                  struct sc_error *err)
{
    uint64_t v = 0, most = o->most == 0 ? UINT64_MAX : o->most;
    bool read = o->read == NULL ? sc_text_number(text, false, &v) : o->read(text, &v);
    if (!read || v < o->least || v > most)
        return o->wrong != NULL
                   ? sc_fail(err, SC_USAGE, "%s", o->wrong)
                   : sc_fail(err, SC_USAGE, "--%s %s: a number from %" PRIu64 " to %" PRIu64 " is expected",
                             o->name, text, o->least, most);
    if (o->type == SC_OPTION_NUMBER)
        *(uint64_t *)place = v;
    else
        *(uint32_t *)place = (uint32_t)v;
    return SC_OK;
}

static int choose(const struct sc_options *options, const struct sc_option *o, const char *text, void *place)
{
    for (const struct sc_choice *c = o->choices; c->name != NULL; c++) {
        if (strcasecmp(text, c->name) == 0) {
            memcpy(place, &c->value, sizeof(c->value));
            return -1;
        }
    }
    fprintf(stderr, "%s: --%s=%s: choose", options->program, o->name, text);
    for (const struct sc_choice *c = o->choices; c->name != NULL; c++)
        fprintf(stderr, "%s %s", c == o->choices ? "" : ",", c->name);
    fputs("\n", stderr);
    return SC_EXIT_USAGE;
}

static enum sc_status take(const struct sc_options *options, const struct sc_option *o, const char *text,
                           void *out, struct sc_error *err)
{
    char *place = (char *)out + o->place;
    const char **words = (const char **)(void *)place;
    switch (o->type) {
    case SC_OPTION_FLAG:
        *(bool *)place = true;
        return SC_OK;
    case SC_OPTION_TEXT:
        if (o->wrong != NULL && *words != NULL)
            return sc_fail(err, SC_USAGE, "%s", o->wrong);
        *words = text;
        return SC_OK;
    case SC_OPTION_NUMBER:
    case SC_OPTION_SMALL:
        return take_number(o, text, place, err);
    default:
        return options->take(out, o->id, text, err);
    }
}

static int read_option(const struct sc_options *options, const struct sc_option *o, const char *text,
                       void *out)
{
    struct sc_error err;
    if (o->given != 0)
        *(const char **)(void *)((char *)out + o->given) = o->name;
    if (o->type == SC_OPTION_SAY) {
        fputs(o->wrong, stdout);
        return 0;
    }
    if (o->type == SC_OPTION_CHOICE)
        return choose(options, o, text, (char *)out + o->place);
    if (take(options, o, text, out, &err) == SC_OK)
        return -1;
    if (!options->names_taken)
        return sc_options_fail(options, err.message);
    fprintf(stderr, "%s: --%s: %s\n%s", options->program, o->name, err.message, options->hint);
    return SC_EXIT_USAGE;
}

/* Of a word that is no option; getopt has said so when the words are its own. */
static int fail_unknown(const struct sc_options *options, int what, const char *word)
{
    struct sc_error err;
    if (!options->own_words) {
        fputs(options->hint, stderr);
        return SC_EXIT_USAGE;
    }
    sc_fail(&err, SC_USAGE, what == ':' ? "option %s needs a value" : "unknown or ambiguous option %s", word);
    return sc_options_fail(options, err.message);
}

int sc_options_read(const struct sc_options *options, int argc, char **argv, void *out)
{
    struct option names[SC_OPTIONS_MOST + 1] = {{0}};
    char letters[2 * SC_OPTIONS_MOST + 2] = ":", *end = letters + options->own_words;
    for (size_t i = 0; i < options->count; i++) {
        const struct sc_option *o = &options->rows[i];
        bool bare = o->type == SC_OPTION_FLAG || o->type == SC_OPTION_SAY;
        int value = bare                              ? no_argument
                    : o->type == SC_OPTION_TAKE_MAYBE ? optional_argument
                                                      : required_argument;
        names[i] = (struct option){o->name, value, NULL, SC_OPTION_LETTER + (int)i};
        if (o->id != 0 && o->id < SC_OPTION_LETTER)
            end += sprintf(end, "%c:", o->id);
    }
    *end = '\0';
    int code = -1;
    optind = 1;
    for (int got; code < 0 && (got = getopt_long(argc, argv, letters, names, NULL)) != -1;) {
        size_t i = got < SC_OPTION_LETTER ? 0 : (size_t)(got - SC_OPTION_LETTER);
        while (got < SC_OPTION_LETTER && i < options->count && options->rows[i].id != got)
            i++;
        code = i < options->count ? read_option(options, &options->rows[i], optarg, out)
                                  : fail_unknown(options, got, argv[optind - 1]);
    }
    return code;
}
