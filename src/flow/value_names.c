// SPDX-License-Identifier: BSD-3-Clause
#include "flow/value_names.h"

#include <string.h>
#include <strings.h>

struct value_name {
    const char *name;
    uint16_t value;
};

static const struct value_name protocols[] = {
    {"icmp", 1},        {"igmp", 2},       {"ipip", 4},    {"tcp", 6},        {"egp", 8},       {"igp", 9},
    {"udp", 17},        {"dccp", 33},      {"ipv6", 41},   {"rsvp", 46},      {"gre", 47},      {"esp", 50},
    {"ah", 51},         {"icmp6", 58},     {"icmpv6", 58}, {"ipv6-icmp", 58}, {"eigrp", 88},    {"ospf", 89},
    {"pim", 103},       {"vrrp", 112},     {"l2tp", 115},  {"sctp", 132},     {"udplite", 136}, {"hopopt", 0},
    {"ipv6-route", 43}, {"ipv6-frag", 44},
};
static const struct value_name services[] = {
    {"ftp-data", 20}, {"ftp", 21},    {"ssh", 22},    {"telnet", 23}, {"smtp", 25},  {"domain", 53},
    {"dns", 53},      {"tftp", 69},   {"http", 80},   {"pop3", 110},  {"ntp", 123},  {"imap", 143},
    {"snmp", 161},    {"bgp", 179},   {"ldap", 389},  {"https", 443}, {"smb", 445},  {"syslog", 514},
    {"ldaps", 636},   {"imaps", 993}, {"pop3s", 995}, {"rdp", 3389},  {"sip", 5060},
};
static const struct value_name directions[] = {{"in", 0},  {"ingress", 0}, {"input", 0},
                                               {"out", 1}, {"egress", 1},  {"output", 1}};
static const struct value_name end_reasons[] = {
    {"idle", 1}, {"active", 2}, {"end", 3}, {"forced", 4}, {"lack", 5}};
static const struct value_name nat_events[] = {
    {"create", 1},
    {"add", 1},
    {"delete", 2},
    {"exhausted", 3},
    {"nat44-create", 4},
    {"nat44-delete", 5},
    {"nat64-create", 6},
    {"nat64-delete", 7},
    {"nat44-bib-create", 8},
    {"nat44-bib-delete", 9},
    {"nat64-bib-create", 10},
    {"nat64-bib-delete", 11},
    {"ports-exhausted", 12},
    {"quota-exceeded", 13},
    {"binding-create", 14},
    {"binding-delete", 15},
    {"block-alloc", 16},
    {"addpool", 16},
    {"pblkalloc", 16},
    {"block-free", 17},
    {"delpool", 17},
    {"pblkfree", 17},
    {"threshold", 18},
};
static const struct value_name firewall_events[] = {{"ignore", 0}, {"create", 1}, {"delete", 2},
                                                    {"term", 2},   {"deny", 3},   {"denied", 3},
                                                    {"alert", 4},  {"update", 5}};

#define NAMES(list) list, sizeof(list) / sizeof((list)[0])

static const struct {
    uint16_t id;
    const struct value_name *names;
    size_t count;
} named_elements[] = {
    {4, NAMES(protocols)},         {7, NAMES(services)},      {11, NAMES(services)},
    {61, NAMES(directions)},       {136, NAMES(end_reasons)}, {230, NAMES(nat_events)},
    {233, NAMES(firewall_events)},
};

struct names {
    const struct value_name *list;
    size_t count;
};

static struct names names_of(uint16_t element)
{
    for (size_t i = 0; element != 0 && i < sizeof(named_elements) / sizeof(named_elements[0]); i++) {
        if (named_elements[i].id == element)
            return (struct names){named_elements[i].names, named_elements[i].count};
    }
    return (struct names){0};
}

int sc_value_number(uint16_t element, const char *text, size_t length)
{
    struct names names = names_of(element);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.list[i].name;
        if (strncasecmp(name, text, length) == 0 && name[length] == '\0')
            return names.list[i].value;
    }
    return -1;
}

const char *sc_value_name(uint16_t element, uint64_t value)
{
    struct names names = names_of(element);
    for (size_t i = 0; i < names.count; i++) {
        if (names.list[i].value == value)
            return names.list[i].name;
    }
    return NULL;
}
