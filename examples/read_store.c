// SPDX-License-Identifier: BSD-3-Clause
/*
 * Flow records of a store as comma-separated values.
 *
 *     cc -o read_store read_store.c $(pkg-config --cflags --libs libsc)
 *     ./read_store -f 'proto udp and dst port 53' -o first,srcip,dstip,bytes /var/lib/securitycloud
 *
 * Exit: 0 complete, 1 nothing could be read, 2 usage, 3 a part could not be read.
 */
#include <securitycloud/libsc.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static void print_bytes(const struct libsc_value *v)
{
    for (uint32_t i = 0; i < v->length; i++)
        printf("%02x", v->as.bytes[i]);
}

static void print_address(const struct libsc_value *v)
{
    char text[INET6_ADDRSTRLEN];
    if (v->is_v4)
        inet_ntop(AF_INET, v->as.address + 12, text, sizeof(text));
    else
        inet_ntop(AF_INET6, v->as.address, text, sizeof(text));
    fputs(text, stdout);
}

static void print_value(const struct libsc_value *v)
{
    if (v->null) /* nothing between the commas: absent is not zero */
        return;
    switch (v->type) {
    case LIBSC_ADDRESS:
        print_address(v);
        break;
    case LIBSC_INT:
        printf("%" PRId64, v->as.i64);
        break;
    case LIBSC_FLOAT:
        printf("%.3f", v->as.f64);
        break;
    case LIBSC_BYTES:
        print_bytes(v);
        break;
    case LIBSC_STRING:
        printf("\"%.*s\"", (int)v->length, (const char *)v->as.bytes);
        break;
    default: /* numbers, times in ms or ns, MAC addresses */
        printf("%" PRIu64, v->as.u64);
        break;
    }
}

static void print_row(const struct libsc_value *row, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        if (i != 0)
            putchar(',');
        print_value(&row[i]);
    }
    putchar('\n');
}

static void print_names(const struct libsc_reader *reader)
{
    struct libsc_column column;
    for (size_t i = 0; libsc_reader_column(reader, i, &column) == 0; i++)
        printf("%s%s", i == 0 ? "" : ",", column.name);
    putchar('\n');
}

int main(int argc, char **argv)
{
    const char *filter = NULL, *fields = NULL;
    for (int option; (option = getopt(argc, argv, "f:o:")) != -1;) {
        if (option == 'f')
            filter = optarg;
        else if (option == 'o')
            fields = optarg;
        else
            return 2;
    }

    const char *const *paths = (const char *const *)(argv + optind);
    struct libsc_reader *reader;
    struct libsc_error err;
    enum libsc_status status =
        libsc_reader_open(paths, (size_t)(argc - optind), filter, fields, &reader, &err);
    if (status != LIBSC_OK) {
        fprintf(stderr, "read_store: %s\n", err.message);
        return status == LIBSC_USAGE ? 2 : 1;
    }

    const struct libsc_value *row;
    print_names(reader);
    while ((status = libsc_reader_next(reader, &row, &err)) == LIBSC_OK)
        print_row(row, libsc_reader_columns(reader));
    if (status != LIBSC_END)
        fprintf(stderr, "read_store: %s\n", err.message);

    /* Asked after the last row: only then is it known what could not be read. */
    size_t missing = 0;
    for (; libsc_reader_missing(reader, missing) != NULL; missing++)
        fprintf(stderr, "missing: %s\n", libsc_reader_missing(reader, missing));
    libsc_reader_close(reader);
    return status != LIBSC_END || missing != 0 ? 3 : 0;
}
