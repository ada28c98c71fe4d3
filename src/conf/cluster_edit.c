// SPDX-License-Identifier: BSD-3-Clause
/*
 * The places of what is to be changed come from the YAML library (conf/yaml_index.h); the text is then cut there. Whether that was right is
 * not believed: what comes out is read as the collector reads it, and must differ from what was there in just what was asked for.
 */
#include "conf/cluster_edit.h"

#include "conf/yaml_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What stands in [begin, end) of the text, in bytes, is to become `text`. */
struct change {
    size_t begin, end;
    char text[64];
};

struct document {
    const char *name;
    const uint8_t *bytes;
    size_t length;
    struct sc_yaml_index index;
    struct sc_cluster cluster;
    uint32_t member;
};

/* Of a number of characters of UTF-8; a mark at the beginning is none. */
static size_t offset_of(const struct document *d, size_t characters)
{
    size_t at = d->length >= 3 && memcmp(d->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < d->length && characters != 0) {
        at++;
        while (at < d->length && (d->bytes[at] & 0xc0) == 0x80)
            at++;
        characters--;
    }
    return at;
}

static size_t end_of_line(const struct document *d, size_t at)
{
    while (at < d->length && d->bytes[at] != '\n' && d->bytes[at] != '\r')
        at++;
    return at;
}

static struct change replace_value(const struct document *d, const struct sc_yaml_place *place)
{
    return (struct change){.begin = offset_of(d, place->value_begin), .end = offset_of(d, place->value_end)};
}

/* Behind the member's name, where it has no state yet: in its braces, or on a line of its own. */
static struct change insert_state(const struct document *d, const struct sc_yaml_place *name,
                                  const char *state)
{
    size_t at = offset_of(d, name->value_end);
    struct change c = {.begin = name->flow ? at : end_of_line(d, at)};
    c.end = c.begin;
    if (name->flow)
        snprintf(c.text, sizeof(c.text), ", state: %s", state);
    else
        snprintf(c.text, sizeof(c.text), "\n%*sstate: %s", (int)(name->column < 32 ? name->column : 32), "",
                 state);
    return c;
}

static struct change change_state(const struct document *d, const struct sc_yaml_place *name,
                                  const char *state)
{
    char path[64];
    snprintf(path, sizeof(path), "members[%u].state", d->member);
    const struct sc_yaml_place *place = sc_yaml_index_find(&d->index, path);
    if (place == NULL)
        return insert_state(d, name, state);
    struct change c = replace_value(d, place);
    snprintf(c.text, sizeof(c.text), "%s", state);
    return c;
}

static void append_changed(const struct document *d, const struct change *first, const struct change *second,
                           struct sc_buf *out)
{
    sc_buf_append(out, d->bytes, first->begin);
    sc_buf_append(out, first->text, strlen(first->text));
    sc_buf_append(out, d->bytes + first->end, second->begin - first->end);
    sc_buf_append(out, second->text, strlen(second->text));
    sc_buf_append(out, d->bytes + second->end, d->length - second->end);
}

/* False: it can't be written in this text. */
static bool write_changed(const struct document *d, const char *state, struct sc_buf *out)
{
    char path[64];
    snprintf(path, sizeof(path), "members[%u].name", d->member);
    const struct sc_yaml_place *version = sc_yaml_index_find(&d->index, "version");
    const struct sc_yaml_place *name = sc_yaml_index_find(&d->index, path);
    if (version == NULL || name == NULL)
        return false;
    struct change one = replace_value(d, version), other = change_state(d, name, state);
    snprintf(one.text, sizeof(one.text), "%" PRIu64, d->cluster.version + 1);
    bool first = one.end <= other.begin;
    if (!first && other.end > one.begin)
        return false;
    append_changed(d, first ? &one : &other, first ? &other : &one, out);
    return true;
}

static enum sc_status cannot_change(const struct document *d, enum sc_member_state state,
                                    struct sc_error *err)
{
    return sc_fail(err, SC_UNSUPPORTED,
                   "%s is written in a way that is to be changed by hand: state: %s at the member, "
                   "and version counted up",
                   d->name, sc_member_state_name(state));
}

/* Whether the text says what the document does, but for the state of the member and the version. */
static enum sc_status check_changed(struct document *d, enum sc_member_state state, const struct sc_buf *text,
                                    struct sc_error *err)
{
    struct sc_cluster changed;
    SC_TRY(sc_cluster_parse(d->name, text->data, text->len, &changed, err));
    struct sc_member *was = &d->cluster.members[d->member];
    const struct sc_member *is = &changed.members[d->member < changed.count ? d->member : 0];
    bool good = is->state == state;
    was->state = is->state;
    was->proxy = is->proxy; /* who is gone has no roles */
    was->subcollector = is->subcollector;
    d->cluster.version++;
    good = good && sc_cluster_equal(&d->cluster, &changed);
    sc_cluster_free(&changed);
    return good ? SC_OK : cannot_change(d, state, err);
}

static enum sc_status change_document(struct document *d, const char *member, enum sc_member_state state,
                                      struct sc_buf *out, struct sc_error *err)
{
    d->member = sc_cluster_find(&d->cluster, member);
    if (d->member == SC_NO_MEMBER)
        return sc_fail(err, SC_USAGE, "%s: no member is called \"%s\"", d->name, member);
    if (d->cluster.members[d->member].state == state)
        return sc_fail(err, SC_USAGE, "%s: %s is %s already", d->name, member, sc_member_state_name(state));
    SC_TRY(sc_yaml_index_build(d->name, d->bytes, d->length, &d->index, err));
    if (!write_changed(d, sc_member_state_name(state), out))
        return cannot_change(d, state, err);
    return sc_buf_ok(out) ? check_changed(d, state, out, err) : sc_fail_nomem(err, d->name);
}

enum sc_status sc_cluster_set_state(const char *name, const uint8_t *bytes, size_t length, const char *member,
                                    enum sc_member_state state, struct sc_buf *out, struct sc_error *err)
{
    struct document d = {.name = name, .bytes = bytes, .length = length};
    SC_TRY(sc_cluster_parse(name, bytes, length, &d.cluster, err));
    enum sc_status status = change_document(&d, member, state, out, err);
    sc_yaml_index_free(&d.index);
    sc_cluster_free(&d.cluster);
    return status;
}
