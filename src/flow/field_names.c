// SPDX-License-Identifier: BSD-3-Clause
/* The table of fields, and finding one by its name. */
#include "flow/field.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* ---- the table of short names ---- */

struct short_source {
    uint32_t pen;
    uint16_t id;
    uint8_t transform;
};

struct short_field {
    const char *name;
    const char
        *aliases; /* space-separated, lower case, without `-`, `_` and spaces, which a lookup ignores */
    uint8_t type;
    uint8_t combine;
    uint8_t computed;
    const char *unit;
    struct short_source sources[SC_FIELD_SOURCES]; /* up to the first with id 0 */
};

#define SOURCE(pen, id, how)                                                                                 \
    {                                                                                                        \
        pen, id, SC_TRANSFORM_##how                                                                          \
    }
#define IE_AS(id, how)            SOURCE(SC_PEN_IANA, id, how)
#define IE(id)                    SOURCE(SC_PEN_IANA, id, NONE)
#define REVERSE(id)               SOURCE(SC_PEN_REVERSE, id, NONE)
#define OURS_AS(id, how)          SOURCE(SC_PEN_COLLECTOR, SC_IE_##id, how)
#define OURS(id)                  SOURCE(SC_PEN_COLLECTOR, SC_IE_##id, NONE)
#define V9_AS(id, how)            SOURCE(SC_PEN_V9, id, how)
#define FIELD(type, how)          SC_VALUE_##type, SC_COMBINE_##how, SC_COMPUTED_NONE
#define COMPUTED(type, how, what) SC_VALUE_##type, SC_COMBINE_##how, SC_COMPUTED_##what

/* The n-th entry of a label stack: its label and its traffic class. */
#define MPLS(n, id, aliases)                                                                                 \
    {"mpls" #n, aliases "mplslabel" #n, FIELD(UINT, NONE), "-", {IE_AS(id, MPLS_LABEL)}},                    \
    {                                                                                                        \
        "mplsexp" #n, "", FIELD(UINT, NONE), "-",                                                            \
        {                                                                                                    \
            IE_AS(id, MPLS_EXP)                                                                              \
        }                                                                                                    \
    }

/* The first rows stand in the order of enum sc_field_place: computed fields refer to them. */
static const struct short_field short_fields[] = {
    [SC_FIELD_FIRST] = {"first",
                        "ts start firstseen",
                        FIELD(TIME_MS, MIN),
                        "milliseconds",
                        {IE(152), IE_AS(150, SECONDS_TO_MS), IE_AS(154, NTP_TO_MS), IE_AS(156, NTP_TO_MS),
                         OURS(FLOW_START), IE_AS(158, EXPORT_MINUS_US), IE_AS(161, LAST_MINUS_MS),
                         IE_AS(162, LAST_MINUS_US), IE(323), IE_AS(322, SECONDS_TO_MS), IE_AS(324, NTP_TO_MS),
                         IE_AS(325, NTP_TO_MS)}},
    [SC_FIELD_LAST] = {"last",
                       "te end lastseen",
                       FIELD(TIME_MS, MAX),
                       "milliseconds",
                       {IE(153), IE_AS(151, SECONDS_TO_MS), IE_AS(155, NTP_TO_MS), IE_AS(157, NTP_TO_MS),
                        OURS(FLOW_END), IE_AS(159, EXPORT_MINUS_US), IE_AS(161, FIRST_PLUS_MS),
                        IE_AS(162, FIRST_PLUS_US)}},
    [SC_FIELD_BYTES] = {"bytes",
                        "octets inbytes inoctets byt ibyt byte",
                        FIELD(UINT, SUM),
                        "octets",
                        {IE(1), IE(85), IE(231)}},
    [SC_FIELD_PACKETS] = {"packets",
                          "pkts inpackets inpkts pkt ipkt packet",
                          FIELD(UINT, SUM),
                          "packets",
                          {IE(2), IE(86), IE(298)}},
    [SC_FIELD_DURATION] = {"duration", "td dur", COMPUTED(UINT, NONE, DURATION), "milliseconds", {{0}}},
    {"received", "tr recv receivedtime", FIELD(TIME_MS, NONE), "milliseconds", {OURS(RECEIVE_TIME), IE(258)}},
    {"flows", "fl flow", COMPUTED(UINT, SUM, FLOWS), "flows", {IE_AS(3, COUNT_OR_ONE)}},
    {"outbytes", "outoctets obyt outbyte", FIELD(UINT, SUM), "octets", {IE(23), REVERSE(1), IE(232)}},
    {"outpackets", "outpkts opkt outpacket", FIELD(UINT, SUM), "packets", {IE(24), REVERSE(2), IE(299)}},
    {"bps", "", COMPUTED(FLOAT, NONE, BPS), "bits/s", {{0}}},
    {"pps", "", COMPUTED(FLOAT, NONE, PPS), "packets/s", {{0}}},
    {"bpp", "", COMPUTED(FLOAT, NONE, BPP), "octets/packet", {{0}}},
    {"srcip", "sa srcaddr srchost sip sourceip", FIELD(ADDRESS, NONE), "-", {OURS(SOURCE_ADDRESS)}},
    {"dstip", "da dstaddr dsthost dip destinationip", FIELD(ADDRESS, NONE), "-", {OURS(DESTINATION_ADDRESS)}},
    {"srcnet", "", COMPUTED(ADDRESS, NONE, SRCNET), "-", {{0}}},
    {"dstnet", "", COMPUTED(ADDRESS, NONE, DSTNET), "-", {{0}}},
    {"srcport", "sp sport sourceport", FIELD(UINT, NONE), "-", {IE(7), IE(180), IE(182)}},
    {"dstport", "dp dport destinationport", FIELD(UINT, NONE), "-", {IE(11), IE(181), IE(183)}},
    {"proto", "pr protocol prot", FIELD(UINT, NONE), "-", {IE(4), IE(193)}},
    {"flags", "tcpflags flg", FIELD(UINT, OR), "-", {IE(6)}},
    {"tos", "srctos", FIELD(UINT, NONE), "-", {IE(5)}},
    {"dsttos", "", FIELD(UINT, NONE), "-", {IE(55)}},
    {"nexthop", "ipnexthop nh nexthopip nextip nhip", FIELD(ADDRESS, NONE), "-", {OURS(NEXT_HOP)}},
    {"bgpnexthop", "nhb bgpnexthopip bgpnextip nhbip", FIELD(ADDRESS, NONE), "-", {OURS(BGP_NEXT_HOP)}},
    {"srcas", "sas", FIELD(UINT, NONE), "-", {IE(16)}},
    {"dstas", "das", FIELD(UINT, NONE), "-", {IE(17)}},
    {"nextas", "nas", FIELD(UINT, NONE), "-", {IE(128)}},
    {"prevas", "pas", FIELD(UINT, NONE), "-", {IE(129)}},
    {"srcmask", "smk", FIELD(UINT, NONE), "bits", {IE(9), IE(29)}},
    {"dstmask", "dmk", FIELD(UINT, NONE), "bits", {IE(13), IE(30)}},
    {"inif", "input srcif ingressif ininterface", FIELD(UINT, NONE), "-", {IE(10), IE(252)}},
    {"outif", "output dstif egressif outinterface", FIELD(UINT, NONE), "-", {IE(14), IE(253)}},
    {"inifname", "inputname srcifname", FIELD(STRING, NONE), "-", {OURS(INGRESS_INTERFACE_NAME)}},
    {"outifname", "outputname dstifname", FIELD(STRING, NONE), "-", {OURS(EGRESS_INTERFACE_NAME)}},
    {"srcvlan",
     "svln invlan vlanin",
     FIELD(UINT, NONE),
     "-",
     {IE_AS(58, NOT_ZERO), IE_AS(243, NOT_ZERO), IE(58), IE(243)}},
    {"dstvlan",
     "dvln outvlan vlanout",
     FIELD(UINT, NONE),
     "-",
     {IE_AS(59, NOT_ZERO), IE_AS(254, NOT_ZERO), IE(59), IE(254)}},
    {"srcmac", "", FIELD(MAC, NONE), "-", {IE(56), IE(81)}},
    {"dstmac", "", FIELD(MAC, NONE), "-", {IE(80), IE(57)}},
    {"insrcmac", "ismc", FIELD(MAC, NONE), "-", {IE(56)}},
    {"outdstmac", "odmc", FIELD(MAC, NONE), "-", {IE(57)}},
    {"indstmac", "idmc", FIELD(MAC, NONE), "-", {IE(80)}},
    {"outsrcmac", "osmc", FIELD(MAC, NONE), "-", {IE(81)}},
    MPLS(1, 70, "mpls "),
    MPLS(2, 71, ""),
    MPLS(3, 72, ""),
    MPLS(4, 73, ""),
    MPLS(5, 74, ""),
    MPLS(6, 75, ""),
    MPLS(7, 76, ""),
    MPLS(8, 77, ""),
    MPLS(9, 78, ""),
    MPLS(10, 79, ""),
    {"mplseos",
     "mplsbottom",
     FIELD(UINT, NONE),
     "-",
     {IE_AS(70, MPLS_BOTTOM), IE_AS(71, MPLS_BOTTOM), IE_AS(72, MPLS_BOTTOM), IE_AS(73, MPLS_BOTTOM),
      IE_AS(74, MPLS_BOTTOM), IE_AS(75, MPLS_BOTTOM), IE_AS(76, MPLS_BOTTOM), IE_AS(77, MPLS_BOTTOM),
      IE_AS(78, MPLS_BOTTOM), IE_AS(79, MPLS_BOTTOM)}},
    {"dir", "direction flowdir", FIELD(UINT, NONE), "-", {IE(61)}},
    {"fwd", "fwdstatus fwdstat", FIELD(UINT, NONE), "-", {IE(89)}},
    {"icmptype",
     "",
     FIELD(UINT, NONE),
     "-",
     {IE_AS(176, OF_ICMP), IE_AS(178, OF_ICMP), IE_AS(32, OF_ICMP_HIGH), IE_AS(139, OF_ICMP_HIGH),
      IE_AS(11, ICMP_TYPE)}},
    {"icmpcode",
     "",
     FIELD(UINT, NONE),
     "-",
     {IE_AS(177, OF_ICMP), IE_AS(179, OF_ICMP), IE_AS(32, OF_ICMP_LOW), IE_AS(139, OF_ICMP_LOW),
      IE_AS(11, ICMP_CODE)}},
    {"ttl", "minttl", FIELD(UINT, NONE), "hops", {IE(192), IE(52)}},
    {"flowendreason", "endreason", FIELD(UINT, NONE), "-", {IE(136)}},
    {"exporterip",
     "routerip router exporter ra",
     FIELD(ADDRESS, NONE),
     "-",
     {IE(403), IE(404), IE(130), IE(131), OURS(TOLD_EXPORTER), OURS(EXPORTER_ADDRESS)}},
    {"exporterport", "", FIELD(UINT, NONE), "-", {OURS(EXPORTER_PORT)}},
    {"odid", "domain exporterid sourceid", FIELD(UINT, NONE), "-", {IE(405), OURS(OBSERVATION_DOMAIN)}},
    {"sampling", "samplerate samplerinterval", FIELD(UINT, NONE), "packets", {OURS(SAMPLING_RATE)}},
    {"gap", "lost", FIELD(UINT, SUM), "-", {OURS(SEQUENCE_GAP)}},
    {"exportversion", "exporterversion version", FIELD(UINT, NONE), "-", {OURS(EXPORT_VERSION)}},
    {"exporttime", "", FIELD(TIME_MS, NONE), "milliseconds", {OURS(EXPORT_TIME)}},
    {"natsrcip", "xsrcip nsrcip srcnatip srcxip nsa", FIELD(ADDRESS, NONE), "-", {OURS(POST_NAT_SOURCE)}},
    {"natdstip",
     "xdstip ndstip dstnatip dstxip nda",
     FIELD(ADDRESS, NONE),
     "-",
     {OURS(POST_NAT_DESTINATION)}},
    {"natsrcport", "xsrcport nsrcport srcnatport srcxport nsp", FIELD(UINT, NONE), "-", {IE(227)}},
    {"natdstport", "xdstport ndstport dstnatport dstxport ndp", FIELD(UINT, NONE), "-", {IE(228)}},
    {"natevent", "nevent", FIELD(UINT, NONE), "-", {IE(230)}},
    {"fwevent", "asaevent firewallevent event", FIELD(UINT, NONE), "-", {IE(233)}},
    {"eventtime",
     "",
     FIELD(TIME_MS, NONE),
     "milliseconds",
     {IE(323), IE_AS(322, SECONDS_TO_MS), IE_AS(324, NTP_TO_MS), IE_AS(325, NTP_TO_MS)}},
    {"invrf", "ivrf ingressvrf", FIELD(UINT, NONE), "-", {IE(234)}},
    {"outvrf", "evrf egressvrf", FIELD(UINT, NONE), "-", {IE(235)}},
    {"invrfname", "ivrfname", FIELD(STRING, NONE), "-", {OURS(INGRESS_VRF_NAME)}},
    {"outvrfname", "evrfname", FIELD(STRING, NONE), "-", {OURS(EGRESS_VRF_NAME)}},
    {"app", "appid application nbar", FIELD(BYTES, NONE), "-", {IE(95)}},
    {"appname", "", FIELD(STRING, NONE), "-", {IE_AS(96, V9_STRING), OURS(APPLICATION_NAME)}},
    {"username", "user", FIELD(STRING, NONE), "-", {IE_AS(371, V9_STRING), V9_AS(40000, V9_STRING)}},
    {"blockstart", "pbstart bstart", FIELD(UINT, NONE), "-", {IE(361)}},
    {"blockend", "pbend bend", FIELD(UINT, NONE), "-", {IE(362)}},
    {"blockstep", "pbstep bstep", FIELD(UINT, NONE), "-", {IE(363)}},
    {"blocksize", "pbsize bsize", FIELD(UINT, NONE), "-", {IE(364)}},
    {"enginetype", "systype", FIELD(UINT, NONE), "-", {IE(38), OURS_AS(OBSERVATION_DOMAIN, V5_ENGINE_TYPE)}},
    {"engineid", "engine sysid", FIELD(UINT, NONE), "-", {IE(39), OURS_AS(OBSERVATION_DOMAIN, V5_ENGINE_ID)}},
};

#define SHORT_COUNT (sizeof(short_fields) / sizeof(short_fields[0]))

/* Words for two fields, of either direction. */
static const struct {
    const char *names;
    const char *fields[2];
} pairs[] = {
    {"ip host addr pairip", {"srcip", "dstip"}},
    {"net pairnet", {"srcnet", "dstnet"}},
    {"port pairport", {"srcport", "dstport"}},
    {"as pairas", {"srcas", "dstas"}},
    {"if interface pairif", {"inif", "outif"}},
    {"ifname pairifname", {"inifname", "outifname"}},
    {"vlan pairvlan", {"srcvlan", "dstvlan"}},
    {"mac pairmac", {"srcmac", "dstmac"}},
    {"mask", {"srcmask", "dstmask"}},
    {"xip nip natip", {"natsrcip", "natdstip"}},
    {"xport nport natport", {"natsrcport", "natdstport"}},
};

/* Words of filters for all fields in which such a value may stand. */
static const struct {
    const char *names;
    const char *fields;
} wholes[] = {
    {"mac", "insrcmac outdstmac indstmac outsrcmac"},
    {"srcmac", "insrcmac outsrcmac"},
    {"dstmac", "indstmac outdstmac"},
    {"inmac", "insrcmac indstmac"},
    {"outmac", "outsrcmac outdstmac"},
    {"mplsany mplslabel mpls", "mpls1 mpls2 mpls3 mpls4 mpls5 mpls6 mpls7 mpls8 mpls9 mpls10"},
};

/* ---- names ---- */

/* Lower case, without the characters that people put between words. Returns 0 when it is too long to be a
 * name. */
static size_t fold_name(const char *name, size_t length, char out[SC_IE_NAME_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == ' ' || name[i] == '-' || name[i] == '_')
            continue;
        if (n + 1 >= SC_IE_NAME_MAX)
            return 0;
        out[n++] = (char)tolower((unsigned char)name[i]);
    }
    out[n] = '\0';
    return n;
}

/* Cuts the next word off a space-separated list; false at the end. */
static bool next_word(const char **list, const char **word, size_t *length)
{
    const char *p = *list;
    while (*p == ' ')
        p++;
    *word = p;
    while (*p != '\0' && *p != ' ')
        p++;
    *length = (size_t)(p - *word);
    *list = p;
    return *length != 0;
}

static bool list_has(const char *list, const char *name, size_t length)
{
    const char *word;
    size_t n;
    while (next_word(&list, &word, &n)) {
        if (n == length && memcmp(word, name, n) == 0)
            return true;
    }
    return false;
}

/* After the name of an element whose values had a wrong length and so stand, as bytes, in a column of their
 * own: no two columns of a record have one name. */
static const char bytes_mark[] = ":bytes";

/* Names in the table are short; a long one was cut by the caller's buffer anyway. */
static void set_name(struct sc_field *out, const char *name, unsigned instance)
{
    char text[SC_IE_NAME_MAX + 24];
    if (instance == 0)
        snprintf(text, sizeof(text), "%s", name);
    else
        snprintf(text, sizeof(text), "%s#%u", name, instance + 1);
    memcpy(out->name, text, sizeof(out->name));
    out->name[sizeof(out->name) - 1] = '\0';
}

static uint8_t kind_of_element(uint32_t pen, uint16_t id)
{
    const struct sc_ie *e = sc_ie_find(pen, id);
    return (uint8_t)(e == NULL ? SC_COLUMN_BYTES : sc_column_kind_of((enum sc_ie_type)e->type));
}

static void add_source(struct sc_field *out, uint32_t pen, uint16_t id, unsigned instance, uint8_t kind,
                       enum sc_transform transform)
{
    out->sources[out->source_count++] = (struct sc_field_source){
        .key = {.pen = pen, .id = id, .instance = (uint8_t)instance, .kind = kind},
        .transform = (uint8_t)transform,
    };
}

static void make_short(size_t index, struct sc_field *out)
{
    const struct short_field *f = &short_fields[index];
    *out =
        (struct sc_field){.type = f->type, .combine = f->combine, .computed = f->computed, .unit = f->unit};
    set_name(out, f->name, 0);
    for (size_t i = 0; i < SC_FIELD_SOURCES && f->sources[i].id != 0; i++) {
        const struct short_source *s = &f->sources[i];
        add_source(out, s->pen, s->id, 0, kind_of_element(s->pen, s->id), (enum sc_transform)s->transform);
    }
}

bool sc_field_at(size_t i, struct sc_field *out, const char **aliases)
{
    if (i >= SHORT_COUNT)
        return false;
    make_short(i, out);
    if (aliases != NULL)
        *aliases = short_fields[i].aliases;
    return true;
}

static bool find_short(const char *name, size_t length, struct sc_field *out)
{
    char folded[SC_IE_NAME_MAX];
    size_t n = fold_name(name, length, folded);
    for (size_t i = 0; n != 0 && i < SHORT_COUNT; i++) {
        if (strcmp(short_fields[i].name, folded) == 0 || list_has(short_fields[i].aliases, folded, n)) {
            make_short(i, out);
            return true;
        }
    }
    return false;
}

bool sc_field_find_pair(const char *name, size_t length, struct sc_field out[2])
{
    char folded[SC_IE_NAME_MAX];
    size_t n = fold_name(name, length, folded);
    for (size_t i = 0; n != 0 && i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (list_has(pairs[i].names, folded, n))
            return find_short(pairs[i].fields[0], strlen(pairs[i].fields[0]), &out[0]) &&
                   find_short(pairs[i].fields[1], strlen(pairs[i].fields[1]), &out[1]);
    }
    return false;
}

uint32_t sc_field_find_all(const char *name, size_t length, struct sc_field out[SC_FIELDS_OF_WORD])
{
    char folded[SC_IE_NAME_MAX];
    size_t n = fold_name(name, length, folded);
    uint32_t count = 0;
    for (size_t i = 0; n != 0 && count == 0 && i < sizeof(wholes) / sizeof(wholes[0]); i++) {
        const char *list = wholes[i].fields, *word;
        size_t letters;
        while (list_has(wholes[i].names, folded, n) && next_word(&list, &word, &letters))
            count += find_short(word, letters, &out[count]);
    }
    return count;
}

static bool is_of_the_other(const struct sc_field_source *source)
{
    return source->transform >= SC_TRANSFORM_FIRST_PLUS_MS && source->transform <= SC_TRANSFORM_LAST_MINUS_US;
}

void sc_field_base(enum sc_field_place place, struct sc_field *out)
{
    unsigned kept = 0;
    sc_field_at(place, out, NULL);
    for (unsigned i = 0; i < out->source_count; i++) {
        out->sources[kept] = out->sources[i];
        kept += !is_of_the_other(&out->sources[i]);
    }
    out->source_count = (uint8_t)kept;
}

void sc_field_scale(struct sc_field *field)
{
    static const char *const counters[] = {"bytes", "packets", "outbytes", "outpackets", "bps", "pps", "bpp"};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        field->scaled = field->scaled || strcmp(field->name, counters[i]) == 0;
}

/* ---- elements ---- */

static enum sc_value_type type_of_kind(uint8_t kind)
{
    switch (kind) {
    case SC_COLUMN_INT:
        return SC_VALUE_INT;
    case SC_COLUMN_FLOAT:
        return SC_VALUE_FLOAT;
    case SC_COLUMN_ADDRESS:
        return SC_VALUE_ADDRESS;
    case SC_COLUMN_BYTES:
        return SC_VALUE_BYTES;
    default:
        return SC_VALUE_UINT;
    }
}

static enum sc_value_type value_type_of(enum sc_ie_type type)
{
    switch (type) {
    case SC_TYPE_MAC_ADDRESS:
        return SC_VALUE_MAC;
    case SC_TYPE_STRING:
        return SC_VALUE_STRING;
    case SC_TYPE_DATE_TIME_SECONDS:
    case SC_TYPE_DATE_TIME_MILLISECONDS:
        return SC_VALUE_TIME_MS;
    case SC_TYPE_DATE_TIME_MICROSECONDS:
    case SC_TYPE_DATE_TIME_NANOSECONDS:
        return SC_VALUE_TIME_NS;
    default:
        return type_of_kind((uint8_t)sc_column_kind_of(type));
    }
}

static enum sc_combine combine_of(const struct sc_ie *e)
{
    bool integer = sc_column_kind_of((enum sc_ie_type)e->type) == SC_COLUMN_UINT;
    bool counter = strcmp(e->semantics, "deltaCounter") == 0 || strcmp(e->semantics, "totalCounter") == 0;
    if (counter && integer) /* counters are unsigned: RFC 7012 section 3.2 */
        return SC_COMBINE_SUM;
    if (strcmp(e->semantics, "flags") == 0 && integer)
        return SC_COMBINE_OR;
    if (e->pen == SC_PEN_COLLECTOR)
        return e->id == SC_IE_FLOW_START ? SC_COMBINE_MIN
               : e->id == SC_IE_FLOW_END ? SC_COMBINE_MAX
                                         : SC_COMBINE_NONE;
    if (e->pen == SC_PEN_IANA && e->id >= 150 && e->id <= 157) /* flowStart and flowEnd by turns */
        return e->id % 2 == 0 ? SC_COMBINE_MIN : SC_COMBINE_MAX;
    return SC_COMBINE_NONE;
}

/* What every user knows stays what it is, whatever an exporter calls its elements. */
static bool is_taken(const char *name)
{
    struct sc_field ignored[2];
    size_t length = strlen(name);
    return find_short(name, length, ignored) || sc_field_find_pair(name, length, ignored);
}

/* A column of raw bytes whose element has a learned type: its values, or what fits none. */
static bool make_learned(const struct sc_ie_learned *learned, struct sc_column_key key, bool misfits,
                         struct sc_field *out)
{
    char name[SC_IE_NAME_MAX + sizeof(bytes_mark)];
    struct sc_ie e;
    if (key.kind != SC_COLUMN_BYTES || !sc_ie_learned_find(learned, key.pen, key.id, &e))
        return false;
    size_t length = e.name != NULL && !is_taken(e.name) ? (size_t)snprintf(name, sizeof(name), "%s", e.name)
                                                        : sc_ie_name(key.pen, key.id, name);
    enum sc_ie_type type = (enum sc_ie_type)e.type;
    enum sc_value_type value = value_type_of(type);
    bool bytes = sc_column_kind_of(type) == SC_COLUMN_BYTES;
    bool number = value == SC_VALUE_UINT || value == SC_VALUE_INT; /* an exporter may call a text a counter */
    enum sc_transform transform = misfits ? SC_TRANSFORM_MISFIT
                                  : bytes ? sc_transform_of(type)
                                          : SC_TRANSFORM_LEARNED;
    *out = (struct sc_field){.type = SC_VALUE_BYTES, .unit = "-"};
    if (misfits) {
        memcpy(name + length, bytes_mark, sizeof(bytes_mark));
    } else {
        out->type = (uint8_t)value;
        out->combine = (uint8_t)(number ? combine_of(&e) : SC_COMBINE_NONE);
        out->unit = e.unit;
    }
    set_name(out, name, key.instance);
    add_source(out, key.pen, key.id, key.instance, key.kind, transform);
    out->sources[0].type = e.type;
    return true;
}

bool sc_field_of_misfits(const struct sc_ie_learned *learned, struct sc_column_key key, struct sc_field *out)
{
    return make_learned(learned, key, true, out) &&
           sc_column_kind_of((enum sc_ie_type)out->sources[0].type) != SC_COLUMN_BYTES;
}

void sc_field_of_column(const struct sc_ie_learned *learned, struct sc_column_key key, struct sc_field *out)
{
    if (make_learned(learned, key, false, out))
        return;
    char name[SC_IE_NAME_MAX + sizeof(bytes_mark)];
    size_t length = sc_ie_name(key.pen, key.id, name);
    *out = (struct sc_field){.type = (uint8_t)type_of_kind(key.kind), .unit = "-"};
    const struct sc_ie *e = sc_ie_find(key.pen, key.id);
    bool fits = e != NULL && sc_column_kind_of((enum sc_ie_type)e->type) == key.kind;
    if (e != NULL && !fits)
        memcpy(name + length, bytes_mark, sizeof(bytes_mark));
    set_name(out, name, key.instance);
    enum sc_transform transform = SC_TRANSFORM_NONE;
    if (fits) {
        out->type = (uint8_t)value_type_of((enum sc_ie_type)e->type);
        out->combine = (uint8_t)combine_of(e);
        out->unit = e->unit;
        transform = sc_transform_of((enum sc_ie_type)e->type);
    }
    add_source(out, key.pen, key.id, key.instance, key.kind, transform);
}

/* Where the decoder keeps the first instance of an element that has no column of its own in most records. */
static const struct {
    uint16_t id;
    uint16_t ours;
    uint8_t transform;
} unified[] = {
    {8, SC_IE_SOURCE_ADDRESS, SC_TRANSFORM_FAMILY_V4},
    {27, SC_IE_SOURCE_ADDRESS, SC_TRANSFORM_FAMILY_V6},
    {12, SC_IE_DESTINATION_ADDRESS, SC_TRANSFORM_FAMILY_V4},
    {28, SC_IE_DESTINATION_ADDRESS, SC_TRANSFORM_FAMILY_V6},
    {15, SC_IE_NEXT_HOP, SC_TRANSFORM_FAMILY_V4},
    {62, SC_IE_NEXT_HOP, SC_TRANSFORM_FAMILY_V6},
    {18, SC_IE_BGP_NEXT_HOP, SC_TRANSFORM_FAMILY_V4},
    {63, SC_IE_BGP_NEXT_HOP, SC_TRANSFORM_FAMILY_V6},
    {225, SC_IE_POST_NAT_SOURCE, SC_TRANSFORM_FAMILY_V4},
    {281, SC_IE_POST_NAT_SOURCE, SC_TRANSFORM_FAMILY_V6},
    {226, SC_IE_POST_NAT_DESTINATION, SC_TRANSFORM_FAMILY_V4},
    {282, SC_IE_POST_NAT_DESTINATION, SC_TRANSFORM_FAMILY_V6},
    {22, SC_IE_FLOW_START, SC_TRANSFORM_MINUS_INIT},
    {21, SC_IE_FLOW_END, SC_TRANSFORM_MINUS_INIT},
};

/* The element's own column comes first: it is there only where the unified one holds something else. */
static void make_element(const struct sc_ie_learned *learned, uint32_t pen, uint16_t id, unsigned instance,
                         struct sc_field *out)
{
    struct sc_column_key key = {pen, id, (uint8_t)instance, kind_of_element(pen, id)};
    sc_field_of_column(learned, key, out);
    if (pen != SC_PEN_IANA || instance != 0)
        return;
    for (size_t i = 0; i < sizeof(unified) / sizeof(unified[0]); i++) {
        if (unified[i].id == id)
            add_source(out, SC_PEN_COLLECTOR, unified[i].ours, 0,
                       kind_of_element(SC_PEN_COLLECTOR, unified[i].ours),
                       (enum sc_transform)unified[i].transform);
    }
}

/* "#2" to "#256" after a name is an instance. Cuts it off `length`. */
static bool cut_instance(const char *name, size_t *length, unsigned *instance)
{
    *instance = 0;
    const char *mark = memchr(name, '#', *length);
    if (mark == NULL)
        return true;
    unsigned n = 0;
    const char *end = name + *length;
    for (const char *p = mark + 1; p < end; p++) {
        if (!isdigit((unsigned char)*p) || n > 256)
            return false;
        n = n * 10 + (unsigned)(*p - '0');
    }
    *length = (size_t)(mark - name);
    *instance = n - 1;
    return n >= 1 && n <= 256;
}

static bool cut_bytes_mark(const char *name, size_t *length)
{
    size_t mark = sizeof(bytes_mark) - 1;
    if (*length <= mark || strncasecmp(name + *length - mark, bytes_mark, mark) != 0)
        return false;
    *length -= mark;
    return true;
}

static bool parse_learned(const struct sc_ie_learned *learned, const char *name, size_t length, uint32_t *pen,
                          uint16_t *id)
{
    struct sc_ie e;
    if (!sc_ie_learned_find_name(learned, name, length, &e) || is_taken(e.name))
        return false;
    *pen = e.pen;
    *id = e.id;
    return true;
}

static bool find_element(const struct sc_ie_learned *learned, const char *name, size_t length,
                         struct sc_field *out)
{
    uint32_t pen;
    uint16_t id;
    unsigned instance;
    if (!cut_instance(name, &length, &instance))
        return false;
    bool bytes = cut_bytes_mark(name, &length);
    if (length == 0 ||
        (!sc_ie_parse(name, length, &pen, &id) && !parse_learned(learned, name, length, &pen, &id)))
        return false;
    struct sc_column_key key = {pen, id, (uint8_t)instance, SC_COLUMN_BYTES};
    if (!bytes)
        make_element(learned, pen, id, instance, out);
    else if (!make_learned(learned, key, true, out))
        sc_field_of_column(NULL, key, out);
    return true;
}

/* ---- near names ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, drop, replace, swap neighbours) from a to b, both shorter than SC_IE_NAME_MAX. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    uint8_t rows[3][SC_IE_NAME_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= n; i++) {
        uint8_t *row = rows[i % 3];
        const uint8_t *up = rows[(i - 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = least(up[j], row[j - 1]) + 1u;
            cost = least(cost, up[j - 1] + (size_t)(a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost = least(cost, rows[(i - 2) % 3][j - 2] + 1u);
            row[j] = (uint8_t)cost;
        }
    }
    return rows[n % 3][m];
}

struct near_name {
    const char *asked;
    size_t length;
    size_t distance; /* of the best so far */
    char best[SC_IE_NAME_MAX];
};

/* `shown` is what the user would write when `candidate` is near. */
static void consider(struct near_name *near, const char *candidate, size_t length, const char *shown)
{
    char folded[SC_IE_NAME_MAX];
    size_t n = fold_name(candidate, length, folded);
    if (n < 2)
        return;
    size_t gap = n > near->length ? n - near->length : near->length - n;
    if (gap >= near->distance)
        return;
    size_t d = edit_distance(near->asked, near->length, folded, n);
    if (d < near->distance) {
        near->distance = d;
        snprintf(near->best, sizeof(near->best), "%s", shown);
    }
}

static void find_near(const struct sc_ie_learned *learned, struct near_name *near)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *list = pairs[i].names, *word;
        size_t n;
        if (next_word(&list, &word, &n)) { /* the first is the one to recommend */
            char shown[SC_IE_NAME_MAX];
            snprintf(shown, sizeof(shown), "%.*s", (int)n, word);
            consider(near, word, n, shown);
        }
    }
    for (size_t i = 0; i < SHORT_COUNT; i++) {
        const char *list = short_fields[i].aliases, *word;
        size_t n;
        consider(near, short_fields[i].name, strlen(short_fields[i].name), short_fields[i].name);
        while (next_word(&list, &word, &n))
            consider(near, word, n, short_fields[i].name);
    }
    const struct sc_ie *e;
    for (size_t i = 0; (e = sc_ie_at(i)) != NULL; i++)
        consider(near, e->name, strlen(e->name), e->name);
    for (uint32_t i = 0; learned != NULL && i < learned->count; i++) {
        const char *name = learned->entries[i].name;
        consider(near, name, strlen(name), name);
    }
}

static enum sc_status unknown_name(const struct sc_ie_learned *learned, const char *name, size_t length,
                                   struct sc_error *err)
{
    char folded[SC_IE_NAME_MAX];
    size_t n = fold_name(name, length, folded);
    int shown = (int)least(length, 60);
    struct sc_field pair[2];
    if (sc_field_find_pair(name, length, pair))
        return sc_fail(err, SC_NOTFOUND,
                       "\"%.*s\" stands for two fields and is for filters and keys: ask for %s or %s", shown,
                       name, pair[0].name, pair[1].name);
    struct near_name near = {.asked = folded, .length = n, .distance = n < 4 ? 2 : least(n / 3 + 1, 4)};
    if (n >= 2)
        find_near(learned, &near);
    if (near.best[0] != '\0')
        return sc_fail(err, SC_NOTFOUND, "unknown field \"%.*s\": did you mean \"%s\"?", shown, name,
                       near.best);
    return sc_fail(err, SC_NOTFOUND,
                   "unknown field \"%.*s\": use a short name (srcip, dstport, bytes, ...), the name of an "
                   "information element or its \"pen:id\"",
                   shown, name);
}

enum sc_status sc_field_find(const struct sc_ie_learned *learned, const char *name, size_t length,
                             struct sc_field *out, struct sc_error *err)
{
    if (find_short(name, length, out) || find_element(learned, name, length, out))
        return SC_OK;
    return err == NULL ? SC_NOTFOUND
                       : unknown_name(learned, name, length, err); /* looking for near names takes a while */
}
