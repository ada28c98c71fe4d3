// SPDX-License-Identifier: BSD-3-Clause
/*
 * An independent IPFIX peer made with libfixbuf, for test_peers.py.
 *
 *   fixbuf_peer collect HOST PORT CONNECTIONS
 *       says "listening", takes so many TCP connections to their ends, prints totals as JSON
 *   fixbuf_peer export HOST PORT RECORDS
 *       sends so many known records over TCP (record_of), prints their totals as JSON
 */
#include <fixbuf/public.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The internal record: widest first, whole words, no gap that fixbuf does not know of. */
struct record {
    uint64_t start_ms, end_ms;
    uint64_t bytes, packets;
    uint8_t source6[16], destination6[16];
    uint32_t source4, destination4;
    uint16_t source_port, destination_port, flags;
    uint8_t protocol;
    uint8_t padding[1];
    fbVarfield_t application;
};

static fbInfoElementSpec_t elements[] = {
    {(char *)"flowStartMilliseconds", 8, 0},
    {(char *)"flowEndMilliseconds", 8, 0},
    {(char *)"octetDeltaCount", 8, 0},
    {(char *)"packetDeltaCount", 8, 0},
    {(char *)"sourceIPv6Address", 16, 0},
    {(char *)"destinationIPv6Address", 16, 0},
    {(char *)"sourceIPv4Address", 4, 0},
    {(char *)"destinationIPv4Address", 4, 0},
    {(char *)"sourceTransportPort", 2, 0},
    {(char *)"destinationTransportPort", 2, 0},
    {(char *)"tcpControlBits", 2, 0},
    {(char *)"protocolIdentifier", 1, 0},
    {(char *)"paddingOctets", 1, 1},
    {(char *)"applicationName", 0, 0},
    FB_IESPEC_NULL,
};

struct totals {
    uint64_t flows, packets, bytes, first_ms, last_ms, ipv6, dns, tcp, named;
};

static void add(struct totals *t, const struct record *r)
{
    static const uint8_t none[16];
    t->flows++;
    t->packets += r->packets;
    t->bytes += r->bytes;
    if (t->flows == 1 || r->start_ms < t->first_ms)
        t->first_ms = r->start_ms;
    if (r->end_ms > t->last_ms)
        t->last_ms = r->end_ms;
    t->ipv6 += memcmp(r->source6, none, sizeof(none)) != 0;
    t->dns += r->destination_port == 53;
    t->tcp += r->protocol == 6;
    t->named += r->application.len != 0;
}

static void print(const struct totals *t)
{
    printf("{\"flows\": %" PRIu64 ", \"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"first_ms\": %" PRIu64
           ", \"last_ms\": %" PRIu64 ", \"ipv6\": %" PRIu64 ", \"dns\": %" PRIu64 ", \"tcp\": %" PRIu64
           ", \"named\": %" PRIu64 "}\n",
           t->flows, t->packets, t->bytes, t->first_ms, t->last_ms, t->ipv6, t->dns, t->tcp, t->named);
}

static int fail(const char *what, const GError *error)
{
    fprintf(stderr, "fixbuf_peer: %s: %s\n", what, error == NULL ? "?" : error->message);
    return 1;
}

/* A template of the elements; `flags` 0 leaves the padding out. */
static fbTemplate_t *make_template(fbInfoModel_t *model, uint32_t flags, GError **error)
{
    fbTemplate_t *t = fbTemplateAlloc(model);
    if (!fbTemplateAppendSpecArray(t, elements, flags, error)) {
        fbTemplateFreeUnused(t);
        return NULL;
    }
    return t;
}

/* ---- collect ---- */

static int read_connection(fBuf_t *buffer, uint16_t template_id, struct totals *t, GError **error)
{
    struct record r;
    fBufSetAutomaticMode(buffer, TRUE);
    if (!fBufSetInternalTemplate(buffer, template_id, error))
        return fail("internal template", *error);
    for (;;) {
        size_t size = sizeof(r);
        memset(&r, 0, sizeof(r));
        if (fBufNext(buffer, (uint8_t *)&r, &size, error)) {
            add(t, &r);
        } else if (g_error_matches(*error, FB_ERROR_DOMAIN, FB_ERROR_EOF)) {
            g_clear_error(error);
            return 0;
        } else {
            return fail("record", *error);
        }
    }
}

static int collect(char *host, char *port, unsigned connections)
{
    GError *error = NULL;
    struct totals t = {0};
    fbConnSpec_t where = {.transport = FB_TCP, .host = host, .svc = port};
    fbInfoModel_t *model = fbInfoModelAlloc();
    fbSession_t *session = fbSessionAlloc(model);
    fbTemplate_t *internal = make_template(model, 1, &error);
    if (internal == NULL)
        return fail("template", error);
    uint16_t id = fbSessionAddTemplate(session, TRUE, FB_TID_AUTO, internal, &error);
    if (id == 0)
        return fail("session", error);
    fbListener_t *listener = fbListenerAlloc(&where, session, NULL, NULL, &error);
    if (listener == NULL)
        return fail("listen", error);
    puts("listening");
    fflush(stdout);
    for (unsigned i = 0; i < connections; i++) {
        fBuf_t *buffer = fbListenerWait(listener, &error);
        if (buffer == NULL)
            return fail("connection", error);
        if (read_connection(buffer, id, &t, &error) != 0)
            return 1;
        fBufFree(buffer);
    }
    print(&t);
    fbListenerFree(listener);
    fbInfoModelFree(model);
    return 0;
}

/* ---- export ---- */

static struct record record_of(uint32_t i)
{
    static const char name[] = "application-0123456789";
    struct record r = {
        .start_ms = UINT64_C(1767225600000) + i,
        .end_ms = UINT64_C(1767225600000) + i + i % 1000,
        .bytes = UINT64_C(100) + (i % 7 == 0 ? UINT64_C(1) << 33 : i),
        .packets = 1 + i % 50,
        .source_port = (uint16_t)(1024 + i % 60000),
        .destination_port = i % 4 == 0 ? 53 : 443,
        .flags = i % 3 == 0 ? 0x1b : 0,
        .protocol = i % 3 == 0 ? 6 : 17,
        .application = {.len = i % 23, .buf = (uint8_t *)(uintptr_t)name},
    };
    if (i % 5 == 0) {
        memcpy(r.source6, "\x20\x01\x0d\xb8", 4);
        memcpy(r.destination6, "\x20\x01\x0d\xb8", 4);
        memcpy(r.source6 + 12, &i, sizeof(i));
        r.destination6[15] = 1;
    } else {
        r.source4 = 0x0a000000 + i % 5000;
        r.destination4 = 0xc0000201;
    }
    return r;
}

static int send_records(fBuf_t *buffer, uint32_t records, struct totals *t, GError **error)
{
    for (uint32_t i = 0; i < records; i++) {
        struct record r = record_of(i);
        if (!fBufAppend(buffer, (uint8_t *)&r, sizeof(r), error))
            return fail("record", *error);
        add(t, &r);
    }
    return fBufEmit(buffer, error) ? 0 : fail("emit", *error);
}

static int export_records(char *host, char *port, uint32_t records)
{
    GError *error = NULL;
    struct totals t = {0};
    fbConnSpec_t where = {.transport = FB_TCP, .host = host, .svc = port};
    fbInfoModel_t *model = fbInfoModelAlloc();
    fbSession_t *session = fbSessionAlloc(model);
    fbTemplate_t *internal = make_template(model, 1, &error), *external = make_template(model, 0, &error);
    if (internal == NULL || external == NULL)
        return fail("template", error);
    uint16_t inside = fbSessionAddTemplate(session, TRUE, FB_TID_AUTO, internal, &error);
    uint16_t outside = fbSessionAddTemplate(session, FALSE, FB_TID_AUTO, external, &error);
    fBuf_t *buffer = fBufAllocForExport(session, fbExporterAllocNet(&where));
    if (inside == 0 || outside == 0 || !fbSessionExportTemplates(session, &error) ||
        !fBufSetInternalTemplate(buffer, inside, &error) || !fBufSetExportTemplate(buffer, outside, &error))
        return fail("session", error);
    int result = send_records(buffer, records, &t, &error);
    if (result == 0)
        print(&t);
    fBufFree(buffer);
    fbInfoModelFree(model);
    return result;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "collect") == 0)
        return collect(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "export") == 0)
        return export_records(argv[2], argv[3], (uint32_t)strtoul(argv[4], NULL, 10));
    fputs("usage: fixbuf_peer collect|export HOST PORT COUNT\n", stderr);
    return 2;
}
