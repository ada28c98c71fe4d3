// SPDX-License-Identifier: BSD-3-Clause
#include "conf/cluster.h"

#include "base/bytes.h"
#include "base/text.h"
#include "conf/yaml_load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WEIGHT 1000u

struct raw_member {
    char *name, *address, *weight, *state;
    char **roles, **from;
    unsigned roles_count, from_count;
};

struct raw_cluster {
    char *version, *replication, *format;
    struct raw_member *members;
    unsigned members_count;
};

static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t member_fields[] = {
    SC_YAML_TEXT("name", CYAML_FLAG_OPTIONAL, struct raw_member, name),
    SC_YAML_TEXT("address", CYAML_FLAG_OPTIONAL, struct raw_member, address),
    CYAML_FIELD_SEQUENCE("roles", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_member, roles,
                         &text_schema, 0, CYAML_UNLIMITED),
    SC_YAML_TEXT("weight", CYAML_FLAG_OPTIONAL, struct raw_member, weight),
    SC_YAML_TEXT("state", CYAML_FLAG_OPTIONAL, struct raw_member, state),
    CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_member, from,
                         &text_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t member_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_member, member_fields),
};

static const cyaml_schema_field_t fields[] = {
    SC_YAML_TEXT("version", CYAML_FLAG_OPTIONAL, struct raw_cluster, version),
    SC_YAML_TEXT("replication", CYAML_FLAG_OPTIONAL, struct raw_cluster, replication),
    SC_YAML_TEXT("format", CYAML_FLAG_OPTIONAL, struct raw_cluster, format),
    CYAML_FIELD_SEQUENCE("members", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_cluster, members,
                         &member_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_cluster, fields)};

/* ---- values ---- */

/* NULL leaves what there is. */
static enum sc_status read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out,
                                  struct sc_error *err)
{
    uint64_t value;
    if (text == NULL)
        return SC_OK;
    if (!sc_text_number(text, false, &value) || value < least || value > most)
        return sc_fail(err, SC_USAGE, "\"%s\" is no number from %llu to %llu", text,
                       (unsigned long long)least, (unsigned long long)most);
    *out = value;
    return SC_OK;
}

/* Complains with the line of what it is missing in. */
static enum sc_status missing(const struct sc_yaml *d, const char *in, const char *key)
{
    return sc_fail(d->err, SC_USAGE, "%s:%u: %s%s\"%s\" is missing", d->name,
                   sc_yaml_index_line(&d->index, in, 0), in, in[0] == '\0' ? "" : ": ", key);
}

uint32_t sc_cluster_lane(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash == 0 ? 1 : hash;
}

/* Names stand in paths and on command lines. */
static enum sc_status read_name(const char *text, char out[SC_CLUSTER_NAME_MAX], struct sc_error *err)
{
    size_t length = strlen(text);
    bool good = length != 0 && length < SC_CLUSTER_NAME_MAX && isalnum((unsigned char)text[0]);
    for (size_t i = 0; i < length && good; i++)
        good = isalnum((unsigned char)text[i]) || strchr("-._", text[i]) != NULL;
    if (!good)
        return sc_fail(err, SC_USAGE, "\"%s\" is no name of letters, digits, '-', '.' and '_' (at most %u)",
                       text, SC_CLUSTER_NAME_MAX - 1);
    memcpy(out, text, length + 1);
    return SC_OK;
}

static enum sc_status read_address(const char *text, struct sc_url *out, struct sc_error *err)
{
    char url[SC_URL_TEXT_MAX];
    int length = snprintf(url, sizeof(url), "tcp://%s", text);
    if (length < 0 || (size_t)length >= sizeof(url) || strstr(text, "://") != NULL)
        return sc_fail(err, SC_USAGE, "\"%s\" is no HOST:PORT", text);
    return sc_url_parse(url, out, err);
}

static enum sc_status read_roles(const struct raw_member *raw, struct sc_member *m, struct sc_error *err)
{
    m->proxy = m->subcollector = raw->roles_count == 0;
    for (unsigned i = 0; i < raw->roles_count; i++) {
        bool proxy = strcmp(raw->roles[i], "proxy") == 0;
        if (!proxy && strcmp(raw->roles[i], "subcollector") != 0)
            return sc_fail(err, SC_USAGE, "\"%s\" is no role; proxy and subcollector are", raw->roles[i]);
        m->proxy = m->proxy || proxy;
        m->subcollector = m->subcollector || !proxy;
    }
    return SC_OK;
}

const char *sc_member_state_name(enum sc_member_state state)
{
    static const char *const names[] = {
        [SC_MEMBER_ACTIVE] = "active", [SC_MEMBER_DRAINING] = "draining", [SC_MEMBER_GONE] = "gone"};
    return names[state];
}

/* After the roles. */
static enum sc_status read_state(const char *text, struct sc_member *m, struct sc_error *err)
{
    if (text == NULL || strcmp(text, "active") == 0)
        return SC_OK;
    m->state = strcmp(text, "gone") == 0 ? SC_MEMBER_GONE : SC_MEMBER_DRAINING;
    if (m->state == SC_MEMBER_GONE)
        m->proxy = m->subcollector = false;
    else if (strcmp(text, "draining") != 0)
        return sc_fail(err, SC_USAGE, "\"%s\" is no state; active, draining and gone are", text);
    return SC_OK;
}

/* Numbers only: a name would have to be asked for, and `address` may be one. */
static enum sc_status read_from(const struct raw_member *raw, struct sc_member *m, struct sc_error *err)
{
    if (raw->from_count > SC_CLUSTER_MAX_FROM)
        return sc_fail(err, SC_USAGE, "more than %u addresses", SC_CLUSTER_MAX_FROM);
    for (; m->from_count < raw->from_count; m->from_count++) {
        const char *text = raw->from[m->from_count];
        if (!sc_addr_parse(text, strlen(text), &m->from[m->from_count]))
            return sc_fail(err, SC_USAGE, "\"%s\" is no IP address", text);
    }
    return SC_OK;
}

static enum sc_status check_distinct(const struct sc_cluster *c, uint32_t index, struct sc_error *err)
{
    const struct sc_member *m = &c->members[index];
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(c->members[i].name, m->name) == 0)
            return sc_fail(err, SC_USAGE, "\"%s\" is there already", m->name);
        if (c->members[i].lane == m->lane)
            return sc_fail(err, SC_USAGE,
                           "\"%s\" and \"%s\" get the same lane number: rename the newer of them",
                           c->members[i].name, m->name);
    }
    return SC_OK;
}

/* `status` is that of the value of a member's key. */
static enum sc_status of_member(const struct sc_yaml *d, uint32_t index, const char *key,
                                enum sc_status status)
{
    char path[64];
    snprintf(path, sizeof(path), "members[%u].%s", index, key);
    return sc_yaml_located(d, path, status);
}

static enum sc_status read_member(const struct sc_yaml *d, const struct raw_member *raw, struct sc_cluster *c,
                                  uint32_t i)
{
    struct sc_member *m = &c->members[i];
    char path[64];
    snprintf(path, sizeof(path), "members[%u]", i);
    if (raw->name == NULL || raw->address == NULL)
        return missing(d, path, raw->name == NULL ? "name" : "address");
    SC_TRY(of_member(d, i, "name", read_name(raw->name, m->name, d->err)));
    m->lane = sc_cluster_lane(m->name);
    SC_TRY(of_member(d, i, "name", check_distinct(c, i, d->err)));
    SC_TRY(of_member(d, i, "address", read_address(raw->address, &m->address, d->err)));
    SC_TRY(of_member(d, i, "roles", read_roles(raw, m, d->err)));
    SC_TRY(of_member(d, i, "state", read_state(raw->state, m, d->err)));
    uint64_t weight = 1;
    SC_TRY(of_member(d, i, "weight", read_number(raw->weight, 1, MAX_WEIGHT, &weight, d->err)));
    m->weight = (uint32_t)weight;
    return of_member(d, i, "from", read_from(raw, m, d->err));
}

static enum sc_status check_whole(const struct sc_yaml *d, const struct sc_cluster *c)
{
    uint32_t subcollectors = 0;
    for (uint32_t i = 0; i < c->count; i++)
        subcollectors += sc_member_takes(&c->members[i]);
    if (subcollectors >= c->replication)
        return SC_OK;
    return sc_yaml_fail(d, "members", "%u subcollectors cannot hold %u copies of each batch", subcollectors,
                        c->replication);
}

static int compare_lanes(const void *x, const void *y, void *members)
{
    const struct sc_member *all = members;
    uint32_t a = all[*(const uint32_t *)x].lane, b = all[*(const uint32_t *)y].lane;
    return a < b ? -1 : a > b;
}

static bool sort_lanes(struct sc_cluster *c)
{
    c->by_lane = malloc(((size_t)c->count + 1) * sizeof(*c->by_lane));
    for (uint32_t i = 0; c->by_lane != NULL && i < c->count; i++)
        c->by_lane[i] = i;
    if (c->by_lane != NULL && c->count > 1)
        qsort_r(c->by_lane, c->count, sizeof(*c->by_lane), compare_lanes, c->members);
    return c->by_lane != NULL;
}

static enum sc_status read_format(const char *text, struct sc_cluster *c, struct sc_error *err)
{
    uint64_t format = 1;
    SC_TRY(read_number(text, 1, UINT32_MAX, &format, err));
    c->format = (uint32_t)format;
    return format <= SC_CLUSTER_MAX_FORMAT ? SC_OK
                                           : sc_fail(err, SC_USAGE,
                                                     "this program writes formats up to %u: update it on all "
                                                     "members before the file asks for %llu",
                                                     SC_CLUSTER_MAX_FORMAT, (unsigned long long)format);
}

static enum sc_status read_values(const struct sc_yaml *d, const struct raw_cluster *raw,
                                  struct sc_cluster *c)
{
    uint64_t replication = raw->members_count == 1 ? 1 : 2;
    if (raw->version == NULL || raw->members == NULL)
        return missing(d, "", raw->version == NULL ? "version" : "members");
    if (raw->members_count > SC_CLUSTER_MAX_MEMBERS)
        return sc_yaml_fail(d, "members", "more than %u", SC_CLUSTER_MAX_MEMBERS);
    SC_TRY(sc_yaml_located(d, "version", read_number(raw->version, 1, UINT64_MAX, &c->version, d->err)));
    SC_TRY(sc_yaml_located(d, "replication",
                           read_number(raw->replication, 1, SC_CLUSTER_MAX_COPIES, &replication, d->err)));
    c->replication = (uint32_t)replication;
    SC_TRY(sc_yaml_located(d, "format", read_format(raw->format, c, d->err)));
    c->members = calloc(raw->members_count, sizeof(*c->members));
    if (c->members == NULL)
        return sc_fail_nomem(d->err, "the members");
    for (; c->count < raw->members_count; c->count++)
        SC_TRY(read_member(d, &raw->members[c->count], c, c->count));
    if (!sort_lanes(c))
        return sc_fail_nomem(d->err, "the members");
    return check_whole(d, c);
}

/* ---- loading ---- */

enum sc_status sc_cluster_parse(const char *name, const uint8_t *bytes, size_t length, struct sc_cluster *out,
                                struct sc_error *err)
{
    struct sc_yaml document;
    struct sc_cluster cluster = {0};
    struct sc_error own;
    if (err == NULL)
        err = &own;
    SC_TRY(sc_yaml_parse(name, bytes, length, &schema, &document, err));
    enum sc_status status = document.data == NULL
                                ? sc_fail(err, SC_USAGE, "%s: empty; version and members are needed", name)
                                : read_values(&document, document.data, &cluster);
    sc_yaml_free(&document);
    if (status != SC_OK)
        sc_cluster_free(&cluster);
    else
        *out = cluster;
    return status;
}

enum sc_status sc_cluster_load(const char *path, struct sc_cluster *out, struct sc_error *err)
{
    uint8_t *bytes;
    size_t length;
    SC_TRY(sc_yaml_read_file(path, "membership file", &bytes, &length, err));
    enum sc_status status = sc_cluster_parse(path, bytes, length, out, err);
    free(bytes);
    return status;
}

enum sc_status sc_cluster_load_for(const char *path, const char *name, struct sc_cluster *out, uint32_t *self,
                                   struct sc_error *err)
{
    SC_TRY(sc_cluster_load(path, out, err));
    *self = sc_cluster_find(out, name);
    if (*self != SC_NO_MEMBER && out->members[*self].state != SC_MEMBER_GONE)
        return SC_OK;
    bool gone = *self != SC_NO_MEMBER;
    sc_cluster_free(out);
    if (gone)
        return sc_fail(err, SC_USAGE,
                       "%s: the member \"%s\", as this node is called, is gone: it takes no part any more",
                       path, name);
    return sc_fail(err, SC_USAGE, "%s: no member is called \"%s\", as this node is (key \"node\")", path,
                   name);
}

enum sc_status sc_cluster_copy(const struct sc_cluster *cluster, struct sc_cluster *out)
{
    const size_t count = cluster->count;
    struct sc_cluster copy = *cluster;
    copy.members = calloc(count + 1, sizeof(*copy.members));
    copy.by_lane = cluster->by_lane == NULL ? NULL : malloc((count + 1) * sizeof(*copy.by_lane));
    if (copy.members == NULL || (copy.by_lane == NULL) != (cluster->by_lane == NULL)) {
        sc_cluster_free(&copy);
        return SC_NOMEM;
    }
    memcpy(copy.members, cluster->members, count * sizeof(*copy.members));
    if (copy.by_lane != NULL)
        memcpy(copy.by_lane, cluster->by_lane, count * sizeof(*copy.by_lane));
    *out = copy;
    return SC_OK;
}

static bool equal_members(const struct sc_member *x, const struct sc_member *y)
{
    return strcmp(x->name, y->name) == 0 && strcmp(x->address.host, y->address.host) == 0 &&
           x->address.port == y->address.port && x->weight == y->weight && x->state == y->state &&
           x->proxy == y->proxy && x->subcollector == y->subcollector && x->from_count == y->from_count &&
           memcmp(x->from, y->from, x->from_count * sizeof(x->from[0])) == 0;
}

bool sc_cluster_equal(const struct sc_cluster *x, const struct sc_cluster *y)
{
    bool equal = x->version == y->version && x->replication == y->replication && x->format == y->format &&
                 x->count == y->count;
    for (uint32_t i = 0; i < x->count && equal; i++)
        equal = equal_members(&x->members[i], &y->members[i]);
    return equal;
}

void sc_cluster_free(struct sc_cluster *cluster)
{
    free(cluster->members);
    free(cluster->by_lane);
    *cluster = (struct sc_cluster){0};
}

/* ---- the ring ---- */

#define HASH_BEGIN UINT64_C(14695981039346656037) /* FNV-1a */

static uint64_t hash_more(uint64_t hash, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
    uint8_t bytes[8];
    sc_store_le64(bytes, number);
    return hash_more(hash, bytes, sizeof(bytes));
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_more(hash, text, strlen(text) + 1);
}

uint64_t sc_cluster_ring_hash(const struct sc_cluster *cluster)
{
    uint64_t hash = HASH_BEGIN;
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct sc_member *m = &cluster->members[i];
        hash = hash_text(hash, m->name);
        hash = hash_number(hash, (uint64_t)m->state << 32 | (uint64_t)m->weight << 2 |
                                     (unsigned)m->proxy << 1 | m->subcollector);
    }
    return hash;
}

uint64_t sc_cluster_file_hash(const struct sc_cluster *cluster)
{
    uint64_t hash = hash_number(sc_cluster_ring_hash(cluster), cluster->replication);
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct sc_member *m = &cluster->members[i];
        hash = hash_number(hash_text(hash, m->address.host), m->address.port);
        for (uint32_t k = 0; k < m->from_count; k++)
            hash = hash_more(hash, m->from[k].b, sizeof(m->from[k].b));
    }
    return hash;
}

uint32_t sc_cluster_find_lane(const struct sc_cluster *cluster, uint32_t lane)
{
    uint32_t low = 0, high = cluster->count;
    if (cluster->by_lane == NULL) {
        while (low < high && cluster->members[low].lane != lane)
            low++;
        return low < high ? low : SC_NO_MEMBER;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cluster->members[cluster->by_lane[middle]].lane < lane)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < cluster->count && cluster->members[cluster->by_lane[low]].lane == lane;
    return found ? cluster->by_lane[low] : SC_NO_MEMBER;
}

/* A lane is that of one name. */
uint32_t sc_cluster_find(const struct sc_cluster *cluster, const char *name)
{
    uint32_t i = 0;
    if (cluster->by_lane != NULL) {
        i = sc_cluster_find_lane(cluster, sc_cluster_lane(name));
        return i != SC_NO_MEMBER && strcmp(cluster->members[i].name, name) == 0 ? i : SC_NO_MEMBER;
    }
    while (i < cluster->count && strcmp(cluster->members[i].name, name) != 0)
        i++;
    return i < cluster->count ? i : SC_NO_MEMBER;
}

uint32_t sc_cluster_home(const struct sc_cluster *cluster, uint32_t lane)
{
    uint32_t i = sc_cluster_find_lane(cluster, lane);
    return i != SC_NO_MEMBER ? i : lane % cluster->count;
}

uint32_t sc_cluster_holders(const struct sc_cluster *cluster, uint32_t lane, uint32_t *out)
{
    uint32_t home = sc_cluster_home(cluster, lane), n = 0;
    for (uint32_t step = 0; step < cluster->count && n < cluster->replication; step++) {
        uint32_t i = (home + step) % cluster->count;
        if (sc_member_takes(&cluster->members[i]))
            out[n++] = i;
    }
    return n;
}

uint32_t sc_cluster_targets(const struct sc_cluster *cluster, uint32_t home, const bool *usable,
                            uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t step = 0; step < cluster->count && n < cluster->replication; step++) {
        uint32_t i = (home + step) % cluster->count;
        if (cluster->members[i].subcollector && usable[i])
            out[n++] = i;
    }
    return n;
}
