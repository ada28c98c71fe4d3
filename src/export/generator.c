// SPDX-License-Identifier: BSD-3-Clause
#include "export/generator.h"

#include "export/network.h"

#include <stdlib.h>

enum { TCP = 6, UDP = 17, ICMP = 1, ICMP6 = 58 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { INACTIVE_MS = 15000, ACTIVE_MS = 60000, BYTES_MAX = 1500, PACKETS_MAX = 2000000 };
enum { ANSWERS = 256, FAMILY_RUN = 32, SCANNERS = 3, SCAN_LENGTH = 3000 };

/* How a service's conversations look. */
enum traffic { BULK, DATAGRAM_STREAM, LOOKUP, CLOCK, INTERACTIVE, MAIL, PEERS, PING };

struct service {
    uint16_t port; /* 0: both ports random */
    uint8_t protocol;
    uint8_t traffic;
    uint8_t weight;   /* of 1000 / 4 conversations */
    uint8_t shift;    /* concentration on few servers */
    uint8_t inbound;  /* percent: the client is outside */
    uint8_t internal; /* percent: client and server are both inside */
};

static const struct service services[] = {
    {443, TCP, BULK, 86, 0, 22, 6},
    {443, UDP, DATAGRAM_STREAM, 26, 2, 6, 0},
    {80, TCP, BULK, 24, 0, 30, 5},
    {53, UDP, LOOKUP, 46, 6, 25, 45},
    {123, UDP, CLOCK, 8, 6, 20, 20},
    {22, TCP, INTERACTIVE, 4, 4, 50, 20},
    {25, TCP, MAIL, 5, 5, 60, 10},
    {993, TCP, INTERACTIVE, 4, 6, 30, 10},
    {587, TCP, MAIL, 2, 6, 40, 20},
    {8080, TCP, BULK, 4, 3, 20, 30},
    {3389, TCP, INTERACTIVE, 2, 5, 30, 60},
    {445, TCP, BULK, 3, 6, 5, 90},
    {5060, UDP, LOOKUP, 3, 5, 50, 10},
    {161, UDP, LOOKUP, 4, 5, 0, 100},
    {1194, UDP, DATAGRAM_STREAM, 1, 6, 70, 0},
    {3478, UDP, LOOKUP, 3, 4, 0, 0},
    {5223, TCP, INTERACTIVE, 3, 5, 0, 0},
    {0, TCP, PEERS, 6, 0, 40, 10},
    {0, UDP, PEERS, 9, 0, 45, 5},
    {0, ICMP, PING, 7, 1, 40, 30},
};

enum { SERVICE_COUNT = sizeof(services) / sizeof(services[0]), WEIGHT_TOTAL = 250 };

struct answers {
    struct sc_generated flows[ANSWERS];
    uint32_t count;
};

/* One source that tries many destinations: one port over a prefix, or random ports of one host. */
struct scanner {
    const struct sc_network_host *source;
    const struct sc_network_host *target;
    uint16_t port;
    bool over_ports;
    uint32_t left;
};

struct sc_generator {
    struct sc_generator_options options;
    struct sc_network *network;
    struct sc_random random;
    uint64_t count; /* records given */
    uint8_t service_of[WEIGHT_TOTAL];
    unsigned family; /* 0 IPv4, 1 IPv6, of the run at hand */
    unsigned family_left;
    struct answers answers[2];
    struct scanner scanners[SCANNERS];
};

struct sc_generator_options sc_generator_default_options(void)
{
    return (struct sc_generator_options){.seed = 1, .hosts = 65536, .exporters = 1, .rate = 10000};
}

static void fill_services(struct sc_generator *g)
{
    uint32_t at = 0;
    for (unsigned i = 0; i < SERVICE_COUNT; i++)
        for (uint32_t k = 0; k < services[i].weight && at < WEIGHT_TOTAL; k++)
            g->service_of[at++] = (uint8_t)i;
    while (at < WEIGHT_TOTAL)
        g->service_of[at++] = 0;
}

struct sc_generator *sc_generator_create(const struct sc_generator_options *options)
{
    struct sc_generator *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    g->options = *options;
    g->network = sc_network_create(options->seed, options->hosts);
    if (g->network == NULL) {
        free(g);
        return NULL;
    }
    sc_random_seed(&g->random, options->seed);
    fill_services(g);
    return g;
}

void sc_generator_free(struct sc_generator *g)
{
    if (g == NULL)
        return;
    sc_network_free(g->network);
    free(g);
}

uint64_t sc_generator_clock_ms(const struct sc_generator *g)
{
    return g->options.start_ms + g->count * 1000 / g->options.rate;
}

/* ---- one side of a conversation ---- */

static uint16_t exporter_of(const struct sc_generator *g, const struct sc_network_host *host)
{
    uint32_t n = g->options.exporters;
    if (n <= 1)
        return 0;
    if (n <= g->network->internal_prefixes / 2)
        return (uint16_t)(host->prefix % n);
    return (uint16_t)(sc_random_mix((uint64_t)(host - g->network->hosts)) % n);
}

static void set_route(const struct sc_generator *g, struct sc_generated *f,
                      const struct sc_network_host *from, const struct sc_network_host *to)
{
    const struct sc_network_prefix *source = sc_network_prefix_of(g->network, from);
    const struct sc_network_prefix *destination = sc_network_prefix_of(g->network, to);
    unsigned family = g->family;
    f->source = from->address[family];
    f->destination = to->address[family];
    f->next_hop = destination->next_hop[family];
    f->source_as = source->as;
    f->destination_as = destination->as;
    f->source_length = source->length[family];
    f->destination_length = destination->length[family];
    f->input = source->interface;
    f->output = destination->interface;
    bool inside = from->prefix < g->network->internal_prefixes;
    f->exporter = exporter_of(g, inside ? from : to);
}

/* Bytes from packets and a mean: every packet between the least and 1500 bytes. */
static void set_volume(struct sc_generator *g, struct sc_generated *f, uint64_t packets, uint32_t mean)
{
    uint32_t least = g->family == 0 ? 40 : 60;
    if (f->protocol == UDP)
        least -= 12;
    if (packets > PACKETS_MAX)
        packets = PACKETS_MAX;
    if (mean < least)
        mean = least;
    if (mean > BYTES_MAX)
        mean = BYTES_MAX;
    uint64_t bytes = packets * mean;
    uint32_t spread = (uint32_t)(bytes / 4 < mean ? bytes / 4 : mean);
    bytes += sc_random_below(&g->random, 2 * spread + 1);
    bytes -= spread;
    if (bytes < packets * least)
        bytes = packets * least;
    if (bytes > packets * BYTES_MAX)
        bytes = packets * BYTES_MAX;
    f->packets = (uint32_t)packets;
    f->bytes = (uint32_t)bytes;
}

static uint8_t draw_tos(struct sc_generator *g)
{
    static const uint8_t marks[] = {0x28, 0x48, 0xb8, 0x20, 0x02, 0x10, 0x60, 0x08};
    return sc_random_percent(&g->random, 93) ? 0 : marks[sc_random_below(&g->random, sizeof(marks))];
}

static uint8_t draw_tcp_flags(struct sc_generator *g, const struct sc_generated *f)
{
    if (f->packets == 1)
        return sc_random_percent(&g->random, 60) ? ACK : (uint8_t)(FIN | ACK);
    if (f->last_ms - f->first_ms >= ACTIVE_MS * 9 / 10) /* cut by the active timeout */
        return PSH | ACK;
    uint32_t draw = sc_random_below(&g->random, 100);
    if (draw < 78)
        return FIN | SYN | PSH | ACK;
    if (draw < 88)
        return SYN | RST | PSH | ACK;
    return draw < 94 ? (uint8_t)(PSH | ACK) : (uint8_t)(FIN | PSH | ACK);
}

/* When a flow ended before its export, and how long it took. */
static void set_times(struct sc_generator *g, struct sc_generated *f, uint64_t duration)
{
    uint64_t delay = 100 + sc_random_below(&g->random, 1000); /* answers end up to 60 ms later */
    if (f->protocol != TCP)
        delay += INACTIVE_MS;
    if (f->packets == 1)
        duration = 0;
    if (duration > ACTIVE_MS)
        duration = ACTIVE_MS - sc_random_below(&g->random, ACTIVE_MS / 20);
    f->last_ms = sc_generator_clock_ms(g) - delay;
    f->first_ms = f->last_ms - duration;
}

/* ---- conversations ---- */

struct volumes {
    uint64_t ask_packets, answer_packets;
    uint32_t ask_mean, answer_mean;
    uint64_t duration;
};

static struct volumes draw_bulk(struct sc_random *r)
{
    uint64_t ask = sc_random_pareto(r, 5, 125);
    uint64_t answer = ask * sc_random_between(r, 60, 180) / 100;
    uint64_t duration = sc_random_pareto(r, 25, 165);
    uint32_t full = (uint32_t)(answer > 400 ? 400 : answer);
    return (struct volumes){ask, answer + 1, sc_random_between(r, 52, 260),
                            180 + full * 3 + sc_random_below(r, 300), duration};
}

static struct volumes draw_lookup(struct sc_random *r)
{
    uint64_t packets = sc_random_percent(r, 90) ? 1 : 2;
    return (struct volumes){packets, packets, sc_random_between(r, 55, 85),
                            (uint32_t)sc_random_pareto(r, 75, 90), sc_random_pareto(r, 8, 128)};
}

static struct volumes draw_interactive(struct sc_random *r)
{
    uint64_t ask = sc_random_pareto(r, 8, 140);
    uint64_t answer = ask * sc_random_between(r, 70, 140) / 100;
    return (struct volumes){ask, answer + 1, sc_random_between(r, 56, 160), sc_random_between(r, 70, 420),
                            sc_random_pareto(r, 200, 175)};
}

static struct volumes draw_mail(struct sc_random *r)
{
    uint64_t ask = sc_random_pareto(r, 11, 110);
    return (struct volumes){ask, ask * 3 / 4 + 4, sc_random_between(r, 300, 1300),
                            sc_random_between(r, 56, 110), sc_random_pareto(r, 300, 130)};
}

static struct volumes draw_peers(struct sc_random *r)
{
    uint64_t ask = sc_random_pareto(r, 1, 135);
    return (struct volumes){ask, ask * sc_random_between(r, 50, 150) / 100 + 1, sc_random_between(r, 60, 900),
                            sc_random_between(r, 60, 1100), sc_random_pareto(r, 30, 160)};
}

static struct volumes draw_volumes(struct sc_random *r, enum traffic traffic)
{
    struct volumes v;
    switch (traffic) {
    case LOOKUP:
        return draw_lookup(r);
    case CLOCK:
        return (struct volumes){1, 1, 76, 76, 0};
    case INTERACTIVE:
        return draw_interactive(r);
    case MAIL:
        return draw_mail(r);
    case PEERS:
        return draw_peers(r);
    case PING:
        v.ask_packets = sc_random_pareto(r, 1, 100);
        v.answer_packets = v.ask_packets;
        v.ask_mean = v.answer_mean = sc_random_percent(r, 70) ? 84 : 60;
        v.duration = (v.ask_packets - 1) * 1000 + sc_random_below(r, 100);
        return v;
    default:
        return draw_bulk(r);
    }
}

static uint16_t draw_client_port(struct sc_random *r)
{
    /* Linux and newer systems: 32768 to 60999; IANA's range; translators use all above 1024. */
    uint32_t draw = sc_random_below(r, 100);
    if (draw < 45)
        return (uint16_t)sc_random_between(r, 32768, 60999);
    return (uint16_t)(draw < 85 ? sc_random_between(r, 49152, 65535) : sc_random_between(r, 1024, 65535));
}

static void set_ports(struct sc_generator *g, const struct service *s, struct sc_generated *ask)
{
    if (s->protocol == ICMP) {
        ask->protocol = g->family == 0 ? ICMP : ICMP6;
        ask->source_port = 0;
        ask->destination_port = g->family == 0 ? 8 << 8 : 128 << 8;
        return;
    }
    ask->protocol = s->protocol;
    ask->source_port = draw_client_port(&g->random);
    ask->destination_port = s->port != 0 ? s->port : draw_client_port(&g->random);
}

static void draw_hosts(struct sc_generator *g, const struct service *s, const struct sc_network_host **client,
                       const struct sc_network_host **server)
{
    uint32_t draw = sc_random_below(&g->random, 100);
    uint32_t number = (uint32_t)(s - services) + 1;
    bool inside = draw >= s->inbound && draw < (uint32_t)s->inbound + s->internal;
    bool inbound = draw < s->inbound;
    *client =
        inbound ? sc_network_external(g->network, &g->random) : sc_network_internal(g->network, &g->random);
    *server = sc_network_server(g->network, &g->random, inbound || inside, number, s->shift);
}

static void make_answer(struct sc_generator *g, const struct sc_generated *ask, const struct volumes *v,
                        const struct sc_network_host *client, const struct sc_network_host *server)
{
    struct answers *a = &g->answers[g->family];
    struct sc_generated *f = &a->flows[a->count++];
    *f = (struct sc_generated){.protocol = ask->protocol, .tos = ask->tos};
    set_route(g, f, server, client);
    f->exporter = ask->exporter;
    f->source_port = ask->destination_port;
    f->destination_port = ask->source_port;
    if (ask->protocol == ICMP || ask->protocol == ICMP6) {
        f->source_port = 0;
        f->destination_port = ask->protocol == ICMP ? 0 : 129 << 8;
    }
    set_volume(g, f, v->answer_packets, v->answer_mean);
    uint32_t delay = sc_random_below(&g->random, 60); /* the way there */
    f->first_ms = ask->first_ms + delay;
    f->last_ms = f->packets == 1 ? f->first_ms : ask->last_ms + delay / 2;
    if (f->last_ms < f->first_ms)
        f->last_ms = f->first_ms;
    if (f->protocol == TCP)
        f->flags = draw_tcp_flags(g, f);
}

static void start_conversation(struct sc_generator *g, struct sc_generated *f)
{
    const struct service *s = &services[g->service_of[sc_random_below(&g->random, WEIGHT_TOTAL)]];
    const struct sc_network_host *client, *server;
    draw_hosts(g, s, &client, &server);
    struct volumes v = draw_volumes(&g->random, (enum traffic)s->traffic);
    set_route(g, f, client, server);
    set_ports(g, s, f);
    bool answered = sc_random_below(&g->random, 100) < 93;
    if (!answered && s->protocol == TCP) {
        set_volume(g, f, sc_random_between(&g->random, 1, 3), g->family == 0 ? 60 : 80);
        set_times(g, f, (f->packets - 1) * UINT64_C(1000));
        f->flags = SYN;
    } else {
        set_volume(g, f, v.ask_packets, v.ask_mean);
        set_times(g, f, v.duration);
        f->flags = f->protocol == TCP ? draw_tcp_flags(g, f) : 0;
    }
    f->tos = draw_tos(g);
    if (answered)
        make_answer(g, f, &v, client, server);
}

/* ---- scans ---- */

static void aim(struct sc_generator *g, struct scanner *s)
{
    static const uint16_t ports[] = {22, 23, 80, 443, 445, 1433, 2323, 3389, 5900, 6379, 8080, 8443};
    s->source = sc_network_external(g->network, &g->random);
    s->target = sc_network_internal(g->network, &g->random);
    s->port = ports[sc_random_below(&g->random, sizeof(ports) / sizeof(ports[0]))];
    s->over_ports = sc_random_percent(&g->random, 25);
    s->left = sc_random_between(&g->random, SCAN_LENGTH / 10, SCAN_LENGTH);
}

static void probe(struct sc_generator *g, struct sc_generated *f)
{
    struct scanner *s = &g->scanners[sc_random_below(&g->random, SCANNERS)];
    if (s->left == 0)
        aim(g, s);
    s->left--;
    f->protocol = TCP;
    set_route(g, f, s->source, s->target);
    f->source_port = draw_client_port(&g->random);
    if (s->over_ports) {
        f->destination_port = (uint16_t)sc_random_between(&g->random, 1, 10000);
    } else {
        const struct sc_network_prefix *p = sc_network_prefix_of(g->network, s->target);
        uint32_t host = sc_random_below(&g->random, g->family == 0 ? 1u << (32 - p->length[0]) : 65536);
        f->destination = p->base[g->family];
        f->destination.b[15] = (uint8_t)host;
        f->destination.b[14] |= (uint8_t)(host >> 8);
        f->destination_port = s->port;
    }
    f->packets = 1;
    f->bytes = g->family == 0 ? 40 : 60;
    f->flags = SYN;
    set_times(g, f, 0);
}

/* ---- the stream ---- */

static void turn_family(struct sc_generator *g)
{
    if (g->family_left-- != 0)
        return;
    g->family_left = FAMILY_RUN - 1;
    g->family = g->options.ipv6_percent != 0 && sc_random_percent(&g->random, g->options.ipv6_percent);
}

void sc_generator_next(struct sc_generator *g, struct sc_generated *out)
{
    turn_family(g);
    struct answers *a = &g->answers[g->family];
    *out = (struct sc_generated){0};
    if (sc_random_below(&g->random, ANSWERS / 2) < a->count) {
        uint32_t i = sc_random_below(&g->random, a->count);
        *out = a->flows[i];
        a->flows[i] = a->flows[--a->count];
    } else if (sc_random_below(&g->random, 1000) < 38) {
        probe(g, out);
    } else {
        start_conversation(g, out);
    }
    g->count++;
}

/* ---- columns ---- */

#define MEMBER(name) offsetof(struct sc_generated, name), sizeof(((struct sc_generated *)NULL)->name)

static const struct {
    struct sc_column_key key;
    uint8_t at, width; /* of the member */
} members[] = {
    {{SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS}, MEMBER(source)},
    {{SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, 0, SC_COLUMN_ADDRESS}, MEMBER(destination)},
    {{SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, 0, SC_COLUMN_ADDRESS}, MEMBER(next_hop)},
    {{SC_PEN_IANA, 10, 0, SC_COLUMN_UINT}, MEMBER(input)},
    {{SC_PEN_IANA, 14, 0, SC_COLUMN_UINT}, MEMBER(output)},
    {{SC_PEN_IANA, 2, 0, SC_COLUMN_UINT}, MEMBER(packets)},
    {{SC_PEN_IANA, 1, 0, SC_COLUMN_UINT}, MEMBER(bytes)},
    {{SC_PEN_COLLECTOR, SC_IE_FLOW_START, 0, SC_COLUMN_UINT}, MEMBER(first_ms)},
    {{SC_PEN_COLLECTOR, SC_IE_FLOW_END, 0, SC_COLUMN_UINT}, MEMBER(last_ms)},
    {{SC_PEN_IANA, 7, 0, SC_COLUMN_UINT}, MEMBER(source_port)},
    {{SC_PEN_IANA, 11, 0, SC_COLUMN_UINT}, MEMBER(destination_port)},
    {{SC_PEN_IANA, 6, 0, SC_COLUMN_UINT}, MEMBER(flags)},
    {{SC_PEN_IANA, 4, 0, SC_COLUMN_UINT}, MEMBER(protocol)},
    {{SC_PEN_IANA, 5, 0, SC_COLUMN_UINT}, MEMBER(tos)},
    {{SC_PEN_IANA, 16, 0, SC_COLUMN_UINT}, MEMBER(source_as)},
    {{SC_PEN_IANA, 17, 0, SC_COLUMN_UINT}, MEMBER(destination_as)},
};

enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* `width` is a constant where it is inlined. */
static inline void copy(uint8_t *out, const uint8_t *from, unsigned width, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, out += width, from += sizeof(struct sc_generated))
        memcpy(out, from, width);
}

/* Writes one member of all records as a column of the member's width. */
static enum sc_status append_member(const struct sc_generated *records, uint32_t n, struct sc_batch *batch,
                                    unsigned which)
{
    uint32_t slot = which;
    unsigned width = members[which].width;
    struct sc_column *c = sc_batch_begin(batch, members[which].key, &slot, width, n);
    if (c == NULL)
        return SC_NOMEM;
    if (c->width != width)
        return SC_UNSUPPORTED;
    uint8_t *out = (uint8_t *)c->values + (size_t)c->rows * width;
    const uint8_t *from = (const uint8_t *)records + members[which].at;
    switch (width) {
    case 1:
        copy(out, from, 1, n);
        break;
    case 2:
        copy(out, from, 2, n);
        break;
    case 4:
        copy(out, from, 4, n);
        break;
    case 8:
        copy(out, from, 8, n);
        break;
    default:
        copy(out, from, sizeof(struct sc_addr), n);
        break;
    }
    c->rows += n;
    return SC_OK;
}

/* Prefix lengths are elements of their own in each family: null where a record is of the other. */
static enum sc_status append_lengths(const struct sc_generated *records, uint32_t n, struct sc_batch *batch,
                                     bool v6)
{
    const struct sc_column_key source = {SC_PEN_IANA, v6 ? 29 : 9, 0, SC_COLUMN_UINT};
    const struct sc_column_key destination = {SC_PEN_IANA, v6 ? 30 : 13, 0, SC_COLUMN_UINT};
    struct sc_column *s = sc_batch_begin(batch, source, NULL, 1, n);
    struct sc_column *d = sc_batch_begin(batch, destination, NULL, 1, n);
    if (s == NULL || d == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        if (sc_addr_is_v4(&records[i].source) == !v6) {
            sc_column_put_u64(s, records[i].source_length);
            sc_column_put_u64(d, records[i].destination_length);
        } else {
            SC_TRY(sc_column_put_null(s));
            SC_TRY(sc_column_put_null(d));
        }
    }
    return SC_OK;
}

enum sc_status sc_generated_append(const struct sc_generated *records, uint32_t n, struct sc_batch *batch)
{
    uint32_t v6 = 0;
    for (uint32_t i = 0; i < n; i++)
        v6 += !sc_addr_is_v4(&records[i].source);
    enum sc_status status = SC_OK;
    for (unsigned which = 0; which < MEMBERS && status == SC_OK; which++)
        status = append_member(records, n, batch, which);
    if (status == SC_OK && v6 < n)
        status = append_lengths(records, n, batch, false);
    if (status == SC_OK && v6 != 0)
        status = append_lengths(records, n, batch, true);
    if (status == SC_OK)
        sc_batch_commit(batch, n);
    else
        sc_batch_rollback(batch);
    return status;
}
