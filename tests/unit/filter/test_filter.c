// SPDX-License-Identifier: BSD-3-Clause
/* The filter language: what texts mean, which trees they become, which records they match, how errors show
 * their place. */
#include "filter/filter.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0 UINT64_C(1795428672345)

static struct sc_filter *parse(const char *text)
{
    struct sc_filter *filter = NULL;
    struct sc_error err = {0};
    if (sc_filter_parse(NULL, text, &filter, &err) != SC_OK)
        fail_msg("%s", err.message);
    return filter;
}

/* The text that a filter is printed as; it must mean itself. */
static void check_text(const char *text, const char *expected)
{
    const char *from[] = {text, expected};
    for (int i = 0; i < 2; i++) {
        struct sc_filter *filter = parse(from[i]);
        struct sc_buf out = {0};
        sc_filter_format(filter, &out);
        sc_buf_append_u8(&out, '\0');
        if (strcmp((const char *)out.data, expected) != 0)
            fail_msg("%s is %s, want %s", from[i], (const char *)out.data, expected);
        sc_buf_free(&out);
        sc_filter_free(filter);
    }
}

/* The whole message: what is wrong, the line, the caret. */
static void check_error(const char *text, const char *expected)
{
    struct sc_filter *filter = (struct sc_filter *)&filter;
    struct sc_error err = {0};
    assert_int_equal(sc_filter_parse(NULL, text, &filter, &err), SC_USAGE);
    assert_null(filter);
    assert_string_equal(err.message, expected);
}

/* ---- texts and trees ---- */

static void empty_texts_match_all(void **state)
{
    (void)state;
    check_text("", "any");
    check_text("  \n\t ", "any");
    check_text("# nothing but a remark", "any");
    check_text("any", "any");
}

static void precedence(void **state)
{
    (void)state;
    check_text("proto 1 or proto 2 and proto 3", "proto = 1 or (proto = 2 and proto = 3)");
    check_text("(proto 1 or proto 2) and proto 3", "(proto = 1 or proto = 2) and proto = 3");
    check_text("not proto 1 and proto 2", "not proto = 1 and proto = 2");
    check_text("not (proto 1 and proto 2)", "not (proto = 1 and proto = 2)");
    check_text("!proto 1 && !!proto 2 || proto 3", "(not proto = 1 and not not proto = 2) or proto = 3");
    check_text("proto 1 AND proto 2 Or NOT proto 3", "(proto = 1 and proto = 2) or not proto = 3");
}

static void comparators(void **state)
{
    (void)state;
    check_text("bytes = 5", "bytes = 5");
    check_text("bytes == 5", "bytes = 5");
    check_text("bytes eq 5", "bytes = 5");
    check_text("bytes 5", "bytes = 5");
    check_text("bytes != 5", "not bytes = 5");
    check_text("bytes < 5", "bytes < 5");
    check_text("bytes le 5", "bytes <= 5");
    check_text("bytes>5", "bytes > 5");
    check_text("bytes >= 5", "bytes >= 5");
    check_text("bytes gt 5 and bytes lt 9 and bytes ge 6", "(bytes > 5 and bytes < 9) and bytes >= 6");
}

static void names_of_fields(void **state)
{
    (void)state;
    check_text("src ip 1.2.3.4", "srcip = 1.2.3.4");
    check_text("DST PORT 53", "dstport = 53");
    check_text("sa 1.2.3.4", "srcip = 1.2.3.4");
    check_text("next hop 1.2.3.4", "nexthop = 1.2.3.4");
    check_text("bgp next hop 1.2.3.4", "bgpnexthop = 1.2.3.4");
    check_text("in if 3", "inif = 3");
    check_text("out if 3", "outif = 3");
    check_text("in src mac 00:00:00:00:00:01", "insrcmac = 00:00:00:00:00:01");
    check_text("icmp-type 8", "icmptype = 8");
    check_text("icmp type 8", "icmptype = 8");
    check_text("exporter ip 1.2.3.4", "exporterip = 1.2.3.4");
    check_text("octetDeltaCount 5", "octetDeltaCount = 5");
    check_text("vlanId#2 5", "vlanId#2 = 5");
    check_text("0:1 5", "octetDeltaCount = 5");
    check_text("29305:1 > 5", "reverseOctetDeltaCount > 5");
    check_text("77:8 0x0a0b", "77:8 = \"\\x0a\\x0b\"");
}

static void pair_words(void **state)
{
    (void)state;
    check_text("port 53", "srcport = 53 or dstport = 53");
    check_text("src or dst port 53", "srcport = 53 or dstport = 53");
    check_text("src and dst port 53", "srcport = 53 and dstport = 53");
    check_text("dst and src as 5", "dstas = 5 and srcas = 5");
    check_text("in or out if 5", "inif = 5 or outif = 5");
    check_text("if 5", "inif = 5 or outif = 5");
    check_text("port != 53", "not (srcport = 53 or dstport = 53)");
    check_text("src and dst port != 53", "not (srcport = 53 or dstport = 53)");
    check_text("port > 1023", "srcport > 1023 or dstport > 1023");
    check_text("exists ip", "exists srcip or exists dstip");
}

static void words_for_all_places(void **state)
{
    (void)state;
    check_text("src mac 00:00:00:00:00:01", "insrcmac = 00:00:00:00:00:01 or outsrcmac = 00:00:00:00:00:01");
    check_text("dst mac != 00:00:00:00:00:01",
               "not (indstmac = 00:00:00:00:00:01 or outdstmac = 00:00:00:00:00:01)");
    check_text("in mac 00:00:00:00:00:01", "insrcmac = 00:00:00:00:00:01 or indstmac = 00:00:00:00:00:01");
    check_text("out mac 00:00:00:00:00:01", "outsrcmac = 00:00:00:00:00:01 or outdstmac = 00:00:00:00:00:01");
    check_text("exists mac",
               "(exists insrcmac or exists outdstmac) or (exists indstmac or exists outsrcmac)");
    check_text("mpls1 16001", "mpls1 = 16001");
    check_text("mpls label2 > 5", "mpls2 > 5");
    check_text("mpls exp1 5", "mplsexp1 = 5");
    check_text("mpls eos 16001", "mplseos = 16001");
    struct sc_filter *any = parse("mpls any 16001");
    unsigned terms = 0;
    for (const struct sc_filter *f = any; f != NULL; f = f->kind == SC_FILTER_OR ? f->left : NULL)
        terms++;
    assert_int_equal(terms, 5); /* the depth of ten */
    sc_filter_free(any);
    check_text("observation domain id 42", "odid = 42");
    check_text("observationDomainId 42", "observationDomainId = 42");
    check_text("nat event addpool", "natevent = 16");
    check_text("natevent in [block-alloc block-free]", "natevent = 16..17");
    check_text("asa event term", "fwevent = 2");
}

/* `not flags SA` is nfdump's: none of them. Every other `not` is the complement of what stands behind it. */
static void negated_flags(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool none, one, all; /* of the flags SA are set */
    } cases[] = {
        {"not flags SA", true, false, false},          {"not not flags SA", false, true, true},
        {"not (flags SA)", true, true, false},         {"not ((flags SA))", true, true, false},
        {"not (flags SA and any)", true, true, false}, {"not (not flags SA)", false, true, true},
        {"not (not (flags SA))", false, false, true},  {"flags SA", false, false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sc_filter *filter = parse(cases[i].text);
        static const uint8_t flags[] = {0x01, 0x02, 0x12};
        const bool want[] = {cases[i].none, cases[i].one, cases[i].all};
        struct sc_buf text = {0};
        sc_filter_format(filter, &text);
        sc_buf_append_u8(&text, '\0');
        struct sc_filter *again = parse((const char *)text.data);
        for (unsigned k = 0; k < 3; k++) {
            struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
            assert_non_null(batch);
            struct sc_column_key key = {0, 6, 0, SC_COLUMN_UINT};
            struct sc_column *c = sc_batch_begin(batch, key, NULL, 1, 1);
            assert_non_null(c);
            sc_column_put_u64(c, flags[k]);
            sc_batch_commit(batch, 1);
            const struct sc_column *columns[] = {c};
            bool got = sc_filter_match(filter, columns, 1, 0);
            if (got != want[k] || sc_filter_match(again, columns, 1, 0) != want[k])
                fail_msg("%s: %s of flags 0x%x", cases[i].text, got ? "true" : "false", flags[k]);
            sc_batch_free(batch);
        }
        sc_buf_free(&text);
        sc_filter_free(filter);
        sc_filter_free(again);
    }
}

static void sets_are_sorted_and_merged(void **state)
{
    (void)state;
    check_text("dstport in [80 443 8000-8080]", "dstport in [80 443 8000..8080]");
    check_text("dstport [80, 443]", "dstport in [80 443]");
    check_text("dstport in {5,4 , 3,1}", "dstport in [1 3..5]");
    check_text("dstport in (1 2)", "dstport = 1..2");
    check_text("dstport not in [1 3]", "not dstport in [1 3]");
    check_text("dstport in 1-3", "dstport = 1..3");
    check_text("dstport in [10-20 15-30 31 33]", "dstport in [10..31 33]");
    check_text("srcip in [10.0.0.2 10.0.0.1 10.0.0.0/32 2001:db8::/127]",
               "srcip in [10.0.0.0..10.0.0.2 2001:db8::..2001:db8::1]");
    check_text("proto in [tcp udp 50..51]", "proto in [6 17 50..51]");
    check_text("username in [a 'b c']", "username = \"a\" or username = \"b c\"");
    check_text("bytes in [0..18446744073709551615 5]", "bytes = 0..18446744073709551615");
}

static void numbers_and_units(void **state)
{
    (void)state;
    check_text("bytes > 10k", "bytes > 10000");
    check_text("bytes > 1.5M", "bytes > 1500000");
    check_text("bytes > 64Ki", "bytes > 65536");
    check_text("bytes > 2GiB", "bytes > 2147483648");
    check_text("bytes > 1T", "bytes > 1000000000000");
    check_text("bytes 1k..2k", "bytes = 1000..2000");
    check_text("srcport 0x35", "srcport = 53");
    check_text("bytes 18446744073709551615", "bytes = 18446744073709551615");
    check_text("duration > 10s", "duration > 10000");
    check_text("duration > 2m", "duration > 120000");
    check_text("duration > 1500", "duration > 1500");
    check_text("bps > 1M", "bps > 1000000");
    check_text("bpp 1.5..2", "bpp = 1.5..2");
    check_text("mibObjectValueInteger in [5 -3]", "mibObjectValueInteger in [-3 5]");
    check_text("mibObjectValueInteger -3..-2", "mibObjectValueInteger = -3..-2");
    check_text("port https", "srcport = 443 or dstport = 443");
    check_text("port ftp-data", "srcport = 20 or dstport = 20");
}

static void addresses_and_networks(void **state)
{
    (void)state;
    check_text("srcip 10.1.2.3/8", "srcip = 10.0.0.0..10.255.255.255");
    check_text("src net 10.0.0.0 255.255.0.0", "srcip = 10.0.0.0..10.0.255.255");
    check_text("src net 10/8", "srcip = 10.0.0.0..10.255.255.255");
    check_text("src net 172.16/12", "srcip = 172.16.0.0..172.31.255.255");
    check_text("srcip 10.0.0.1-10.0.0.9", "srcip = 10.0.0.1..10.0.0.9");
    check_text("srcip 0.0.0.0/0", "srcip = 0.0.0.0..255.255.255.255");
    check_text("srcip 2001:db8::/32", "srcip = 2001:db8::..2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    /* IPv4 lies among the IPv6 addresses and is no part of an IPv6 network. */
    check_text("srcip ::/0",
               "srcip in [::..::fffe:ffff:ffff ::1:0:0:0..ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]");
    check_text("inet6", "srcip in [::..::fffe:ffff:ffff ::1:0:0:0..ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]");
    check_text("srcip ::/80", "srcip = ::..::fffe:ffff:ffff");
    check_text("ipv4", "srcip = 0.0.0.0..255.255.255.255");
    check_text("srcip < 10.0.0.0", "srcip < 10.0.0.0");
}

static void protocols_and_flags(void **state)
{
    (void)state;
    check_text("tcp", "proto = 6");
    check_text("not UDP or icmp6", "not proto = 17 or proto = 58");
    check_text("proto TCP", "proto = 6");
    check_text("proto ipv6-icmp", "proto = 58");
    check_text("flags S", "flags 0x2");
    check_text("flags sa", "flags 0x12");
    check_text("flags 0x12", "flags 0x12");
    check_text("flags 18", "flags 0x12");
    check_text("flags = S", "flags = 2");
    check_text("flags ...A..S.", "flags 0x12");
    check_text("flags 0", "flags = 0");
    check_text("flags != S", "not flags = 2");
    check_text("flags S and not flags AFRPU", "flags 0x2 and not flags 0x3d");
    check_text("flags in [S SA]", "flags in [2 18]");
    check_text("dir out", "dir = 1");
}

static void times(void **state)
{
    (void)state;
    check_text("first >= 2026-01-01", "first >= @1767225600.000");
    check_text("first > 2026-11-23 10:00 and tcp", "first > @1795428000.000 and proto = 6");
    check_text("first > \"2026-11-23 10:00\"", "first > @1795428000.000");
    check_text("last < 2026-11-23T10:00:00.5+01:00", "last < @1795424400.500");
    check_text("first 2026-01-01..2026-01-02", "first = @1767225600.000..@1767312000.000");
    check_text("flowStartNanoseconds = @1.250", "flowStartNanoseconds = @1.250");
    struct sc_filter *filter = parse("flowStartNanoseconds > @1.250"); /* past the whole millisecond */
    assert_int_equal(filter->ranges->low, 1250999999);
    sc_filter_free(filter);
}

static void texts(void **state)
{
    (void)state;
    check_text("appname dns", "appname = \"dns\"");
    check_text("appname 'a \"b\" c'", "appname = \"a \\\"b\\\" c\"");
    check_text("appname contains \"\\x41\\n\\\\\"", "appname contains \"A\\x0a\\\\\"");
    check_text("app 0x0300000d", "app = \"\\x03\\x00\\x00\\x0d\"");
    check_text("app contains 0x000d", "app contains \"\\x00\\x0d\"");
    check_text("exists appname", "exists appname");
    check_text("present appname and not exists bytes", "exists appname and not exists bytes");
}

static void remarks_and_lines(void **state)
{
    (void)state;
    check_text("port 53 # the resolver's\nand udp# and no more",
               "(srcport = 53 or dstport = 53) and proto = 17");
}

/* ---- errors ---- */

static void errors_show_their_place(void **state)
{
    (void)state;
    check_error("scrport 53", "unknown field \"scrport\": did you mean \"srcport\"?\n"
                              "scrport 53\n"
                              "^");
    check_error("tcp and src ip", "expected an address after \"src ip\"\n"
                                  "tcp and src ip\n"
                                  "              ^");
    check_error("src ip 300.1.1.1",
                "\"300.1.1.1\" is no address: expected one such as 10.1.2.3, 2001:db8::1 or "
                "10.0.0.0/8 (names are not looked up)\n"
                "src ip 300.1.1.1\n"
                "       ^");
    check_error("port 70000", "70000 does not fit \"srcport\": the greatest value is 65535\n"
                              "port 70000\n"
                              "     ^");
    check_error("port in [80 70000]", "70000 does not fit \"srcport\": the greatest value is 65535\n"
                                      "port in [80 70000]\n"
                                      "            ^");
    check_error("(tcp or udp", "the \"(\" is not closed: expected \")\" after its terms\n"
                               "(tcp or udp\n"
                               "^");
    check_error("tcp)", "there is no \"(\" for this \")\"\n"
                        "tcp)\n"
                        "   ^");
    check_error("10.1.2.3", "expected a field before \"10.1.2.3\", such as \"ip 10.1.2.3\"\n"
                            "10.1.2.3\n"
                            "^");
    check_error("tcp 5", "\"tcp\" takes no value: expected \"and\" or \"or\"\n"
                         "tcp 5\n"
                         "    ^");
    check_error("appname \"dns", "the quoted text has no end: expected another \"\n"
                                 "appname \"dns\n"
                                 "        ^");
    check_error("ip 10.0.0.0/33", "the prefix length \"33\" is not between 0 and 32\n"
                                  "ip 10.0.0.0/33\n"
                                  "            ^");
}

static void errors_show_the_line_only(void **state)
{
    (void)state;
    check_error("tcp and\n\tport x\nor udp",
                "\"x\" is not what \"srcport\" takes: expected a port number, as in 80, 0x50, "
                "10k, 1.5M, 64Ki\n"
                " port x\n"
                "      ^");
    /* Columns, not bytes. */
    check_error("user '\xc5\xa1\xc5\xa1' and scrport 5",
                "unknown field \"scrport\": did you mean \"srcport\"?\n"
                "user '\xc5\xa1\xc5\xa1' and scrport 5\n"
                "              ^");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    char text[4096];
    struct sc_filter *filter;
    struct sc_error err;
    size_t n = 0;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "port 1 or ");
    snprintf(text + n, sizeof(text) - n, "prt 2 or port 3");
    assert_int_equal(sc_filter_parse(NULL, text, &filter, &err), SC_USAGE);
    const char *line = strchr(err.message, '\n') + 1, *caret = strchr(line, '\n') + 1;
    assert_true(strncmp(line, "...", 3) == 0);
    assert_true(strncmp(line + strlen(caret) - 1, "prt 2", 5) == 0);
}

static void all_these_are_errors(void **state)
{
    (void)state;
    static const char *const texts_[] = {
        "and",
        "tcp and",
        "tcp udp",
        "not",
        "()",
        "port",
        "port =",
        "port = =",
        "port in",
        "port in [",
        "port in []",
        "port in [1",
        "port in [1}",
        "port in [and]",
        "port 1 2",
        "port 5-3",
        "port > 1-2",
        "port contains 1",
        "src",
        "src and",
        "src and dst",
        "src and src port 1",
        "net 10.0.0.0",
        "srcip 1.2.3.4 5.6.7.8",
        "srcip > 10.0.0.0/8",
        "bytes 1.5",
        "bytes 99999999999999999999",
        "bytes 18446744073709551616",
        "bytes 0x10000000000000000",
        "proto 256",
        "proto foo",
        "flags Q",
        "flags 65536",
        "mac 00:11:22",
        "first foo",
        "first 2026-13-01",
        "appname > x",
        "appname a b",
        "app 0x123",
        "app 7",
        "bps inf",
        "bps 0x10",
        "bps 1e999",
        "mibObjectValueInteger 9223372036854775808",
        "exists",
        "exists 5",
        "exists bytes 5",
        "\"x\" 5",
        "bytes ! 5",
        "port not 5",
        "any any",
        "[tcp]",
        "srcip 1.2.3.4/x",
        "srcip /8",
        "srcip 1.2.3.4/",
        "vlanId#0 5",
        ",",
        "= 5",
        "port 1..",
        "port ..1",
        "1",
        "ip ::1/129",
        "tcp or or udp",
    };
    for (size_t i = 0; i < sizeof(texts_) / sizeof(texts_[0]); i++) {
        struct sc_filter *filter;
        struct sc_error err = {0};
        if (sc_filter_parse(NULL, texts_[i], &filter, &err) != SC_USAGE)
            fail_msg("\"%s\" was taken", texts_[i]);
        size_t lines = 1;
        for (const char *c = err.message; *c != '\0'; c++)
            lines += *c == '\n';
        assert_int_equal(lines, 3);
        assert_int_equal(err.message[strlen(err.message) - 1], '^');
        assert_int_equal(sc_filter_parse(NULL, texts_[i], &filter, NULL), SC_USAGE);
    }
}

/* ---- bounds ---- */

static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
    size_t n = strlen(unit), at = strlen(head);
    char *text = malloc(at + n * count + strlen(tail) + 1);
    assert_non_null(text);
    memcpy(text, head, at);
    for (size_t i = 0; i < count; i++, at += n)
        memcpy(text + at, unit, n);
    strcpy(text + at, tail);
    return text;
}

static unsigned depth_of(const struct sc_filter *f)
{
    unsigned left = f->left == NULL ? 0 : depth_of(f->left),
             right = f->right == NULL ? 0 : depth_of(f->right);
    return 1 + (left > right ? left : right);
}

static void long_chains_are_shallow(void **state)
{
    (void)state;
    char *text = repeat("", "srcport 5 or ", 100000, "srcport 6");
    struct sc_filter *filter = parse(text);
    assert_true(depth_of(filter) <= 18);
    sc_filter_free(filter);
    free(text);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const char *const units[] = {"(", "not ", "(tcp and (udp or not ("};
    struct sc_filter *filter;
    for (size_t i = 0; i < 3; i++) {
        struct sc_error err = {0};
        char *text = repeat("", units[i], 50000, "tcp");
        assert_int_equal(sc_filter_parse(NULL, text, &filter, &err), SC_USAGE);
        assert_non_null(strstr(err.message, "nests too deeply"));
        free(text);
    }
    char *text = repeat("", "not ", 1000, "tcp");
    filter = parse(text);
    assert_int_equal(depth_of(filter), 1001);
    sc_filter_free(filter);
    free(text);
}

static void big_sets_are_taken_bigger_are_not(void **state)
{
    (void)state;
    struct sc_filter *filter;
    struct sc_error err;
    char *text = repeat("srcip in [", "10.0.0.1 10.0.0.9,", 50000, "]");
    filter = parse(text);
    assert_int_equal(filter->range_count, 2);
    sc_filter_free(filter);
    free(text);
    text = repeat("srcport in [", "1 ", 100001, "]");
    assert_int_equal(sc_filter_parse(NULL, text, &filter, &err), SC_USAGE);
    assert_non_null(strstr(err.message, "100001 values"));
    free(text);
    text = repeat("", " ", (2u << 20) + 1, "tcp");
    assert_int_equal(sc_filter_parse(NULL, text, &filter, &err), SC_USAGE);
    free(text);
}

/* ---- matching ---- */

/* Two records: one with all that the filters below ask for, one with nothing but a protocol. */
struct records {
    struct sc_batch *batch;
};

static struct sc_column *begin(struct records *r, uint32_t pen, uint16_t id, enum sc_column_kind kind,
                               unsigned width)
{
    struct sc_column_key key = {pen, id, 0, (uint8_t)kind};
    struct sc_column *c = sc_batch_begin(r->batch, key, NULL, width, 2);
    assert_non_null(c);
    return c;
}

static void put(struct records *r, uint32_t pen, uint16_t id, uint64_t value)
{
    struct sc_column *c = begin(r, pen, id, SC_COLUMN_UINT, 8);
    sc_column_put_u64(c, value);
    assert_int_equal(sc_column_put_null(c), SC_OK);
}

static void put_addr(struct records *r, uint16_t id, const char *text)
{
    struct sc_column *c = begin(r, SC_PEN_COLLECTOR, id, SC_COLUMN_ADDRESS, 16);
    struct sc_addr a;
    assert_true(sc_addr_parse(text, strlen(text), &a));
    sc_column_put_addr(c, &a);
    assert_int_equal(sc_column_put_null(c), SC_OK);
}

static int set_up(void **state)
{
    struct records *r = calloc(1, sizeof(*r));
    r->batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column *proto = begin(r, 0, 4, SC_COLUMN_UINT, 1);
    sc_column_put_u64(proto, 6);
    sc_column_put_u64(proto, 17);
    put_addr(r, SC_IE_SOURCE_ADDRESS, "10.1.2.3");
    put_addr(r, SC_IE_DESTINATION_ADDRESS, "2001:db8::53");
    put(r, 0, 7, 50000);
    put(r, 0, 11, 53);
    put(r, 0, 6, 0x1b);
    put(r, 0, 1, 12000);
    put(r, 0, 2, 10);
    put(r, 0, 152, T0);
    put(r, 0, 153, T0 + 2000);
    struct sc_column *name = begin(r, 0, 96, SC_COLUMN_BYTES, 0);
    assert_int_equal(sc_column_put_bytes(name, "DNS over TLS\0\0", 14), SC_OK);
    assert_int_equal(sc_column_put_null(name), SC_OK);
    struct sc_column *number = begin(r, 0, 434, SC_COLUMN_INT, 4);
    sc_column_put_u64(number, (uint64_t)-5);
    assert_int_equal(sc_column_put_null(number), SC_OK);
    sc_batch_commit(r->batch, 2);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct records *r = *state;
    sc_batch_free(r->batch);
    free(r);
    return 0;
}

static void check_match(struct records *r, const char *text, bool first, bool second)
{
    struct sc_filter *filter = parse(text);
    const struct sc_column *const *columns = (const struct sc_column *const *)r->batch->columns;
    bool got[2] = {sc_filter_match(filter, columns, r->batch->slots, 0),
                   sc_filter_match(filter, columns, r->batch->slots, 1)};
    sc_filter_free(filter);
    if (got[0] != first || got[1] != second)
        fail_msg("%s matches %d %d, want %d %d", text, got[0], got[1], first, second);
}

static void matches(void **state)
{
    static const char *const yes[] = {
        "any",
        "tcp",
        "proto 6",
        "srcip 10.1.2.3",
        "ip 10.1.2.3",
        "src ip 10.0.0.0/8 and (dst port 53 or dst port 80)",
        "dst net 2001:db8::/32",
        "ip in [192.0.2.1 10.1.2.3]",
        "inet",
        "ipv4",
        "port 53",
        "port > 40000",
        "src or dst port 53",
        "flags S",
        "flags SA",
        "flags = 0x1b",
        "flags FPSA",
        "bytes 12k",
        "bytes >= 12000",
        "bytes < 12001",
        "duration = 2s",
        "duration 2000",
        "bps = 48k",
        "pps 5",
        "bpp > 1199.9",
        "bpp 1000..1300",
        "first = 2026-11-23T10:11:12.345Z",
        "first >= 2026-11-23 and last < 2026-11-24",
        "appname contains dns",
        "appname contains \"over t\"",
        "appname \"DNS over TLS\"",
        "exists bytes",
        "exists ip",
        "srcip < 11.0.0.0",
        "mibObjectValueInteger < 0",
        "mibObjectValueInteger -5",
        "mibObjectValueInteger in [-10..-1 7]",
        "dst ip ::/0",
        "srcport in [1-3 49999..50001]",
        "flowStartMilliseconds > @1",
    };
    static const char *const no[] = {
        "srcip 10.1.2.4",
        "src ip ::/0",
        "dst ip 0.0.0.0/0",
        "inet6",
        "src and dst port 53",
        "flags R",
        "flags = S",
        "bytes > 12000",
        "bytes <= 11999",
        "bps < 48000",
        "appname dns",
        "appname contains \"dns under\"",
        "last < 2026-11-23",
        "exists outbytes",
        "mibObjectValueInteger > 0",
        "port in [1 2 3 52 54 49999 50001]",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        check_match(*state, yes[i], true, strcmp(yes[i], "any") == 0);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        check_match(*state, no[i], false, false);
}

/* A comparison of null is false; `not` and `!=` are its complement. */
static void nulls_do_not_compare(void **state)
{
    check_match(*state, "bytes = 0", false, false);
    check_match(*state, "bytes < 1", false, false);
    check_match(*state, "bytes != 0", true, true);
    check_match(*state, "not srcport 53", true, true);
    check_match(*state, "srcport not in [50000 1]", false, true);
    check_match(*state, "flags != 0x1b", false, true);
    /* 0x1b: nfdump's `not flags` means none of them, `flags` all of them */
    check_match(*state, "not flags R", true, true);
    check_match(*state, "not flags SR", false, true);
    check_match(*state, "not (flags S and flags R)", true, true);
    check_match(*state, "not exists bytes", false, true);
    check_match(*state, "exists flows and flows 1", true, true);
    check_match(*state, "port != 53", false, true);
    check_match(*state, "duration 0", false, false);
}

static void errors_need_no_message(void **state)
{
    (void)state;
    struct sc_filter *filter;
    assert_int_equal(sc_filter_parse(NULL, "tcp and", &filter, NULL), SC_USAGE);
    assert_null(filter);
    sc_filter_free(NULL);
}

UNIT(test_filter)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_texts_match_all),
        cmocka_unit_test(precedence),
        cmocka_unit_test(comparators),
        cmocka_unit_test(names_of_fields),
        cmocka_unit_test(pair_words),
        cmocka_unit_test(words_for_all_places),
        cmocka_unit_test(negated_flags),
        cmocka_unit_test(sets_are_sorted_and_merged),
        cmocka_unit_test(numbers_and_units),
        cmocka_unit_test(addresses_and_networks),
        cmocka_unit_test(protocols_and_flags),
        cmocka_unit_test(times),
        cmocka_unit_test(texts),
        cmocka_unit_test(remarks_and_lines),
        cmocka_unit_test(errors_show_their_place),
        cmocka_unit_test(errors_show_the_line_only),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(all_these_are_errors),
        cmocka_unit_test(long_chains_are_shallow),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(big_sets_are_taken_bigger_are_not),
        cmocka_unit_test_setup_teardown(matches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nulls_do_not_compare, set_up, tear_down),
        cmocka_unit_test(errors_need_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
