// SPDX-License-Identifier: BSD-3-Clause
#include "net/authority.h"

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_S       86400L
#define SERIAL_BITS 127
#define TITLE       "SecurityCloud cluster"

struct sc_authority {
    X509 *certificate;
    EVP_PKEY *key;
};

static enum sc_status fail_ssl(struct sc_error *err, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return sc_fail(err, SC_IO, "OpenSSL does not make %s: %s", what,
                   reason == NULL ? "for an unknown reason" : reason);
}

void sc_certified_free(struct sc_certified *made)
{
    if (made->key.data != NULL)
        OPENSSL_cleanse(made->key.data, made->key.cap);
    sc_buf_free(&made->key);
    sc_buf_free(&made->certificate);
}

/* ---- making ---- */

static bool set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool set = number != NULL && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

static bool set_subject(X509 *certificate, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) ==
           1;
}

static bool add_extension(X509 *certificate, X509 *issuer, int what, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
    bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* Names of members have letters, digits, '-', '.' and '_' (conf/cluster.h): no configuration text of OpenSSL's is made of them. */
static bool add_name(X509 *certificate, X509 *issuer, const char *name)
{
    char text[SC_AUTHORITY_NAME_MAX + 8];
    int length = snprintf(text, sizeof(text), "DNS:%s", name);
    return length > 0 && (size_t)length < sizeof(text) && strpbrk(name, ",:;=\n") == NULL &&
           add_extension(certificate, issuer, NID_subject_alt_name, text);
}

static bool add_purposes(X509 *certificate, X509 *issuer, const char *name)
{
    bool signs = name == NULL;
    const char *can = signs ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE";
    const char *uses = signs ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
    return add_extension(certificate, issuer, NID_basic_constraints, can) &&
           add_extension(certificate, issuer, NID_key_usage, uses) &&
           add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
           (signs || (add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
                      add_name(certificate, issuer, name)));
}

/* `name` NULL: the authority itself, then by is NULL too. */
static bool fill(X509 *certificate, EVP_PKEY *key, const struct sc_authority *by, const char *name,
                 uint32_t days)
{
    X509 *issuer = by == NULL ? certificate : by->certificate;
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -SC_AUTHORITY_EARLY_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * DAY_S) != NULL &&
           X509_set_pubkey(certificate, key) == 1 && set_subject(certificate, name == NULL ? TITLE : name) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
           add_purposes(certificate, issuer, name) &&
           X509_sign(certificate, by == NULL ? key : by->key, EVP_sha256()) > 0;
}

static enum sc_status make(const struct sc_authority *by, const char *name, uint32_t days,
                           struct sc_authority *out, struct sc_error *err)
{
    ERR_clear_error();
    *out = (struct sc_authority){.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    if (out->certificate != NULL && out->key != NULL && fill(out->certificate, out->key, by, name, days))
        return SC_OK;
    X509_free(out->certificate);
    EVP_PKEY_free(out->key);
    return fail_ssl(err, "a certificate");
}

/* ---- bytes ---- */

static enum sc_status take_bytes(BIO *from, struct sc_buf *to)
{
    char *bytes;
    long length = BIO_get_mem_data(from, &bytes);
    sc_buf_append(to, bytes, (size_t)length);
    return sc_buf_ok(to) ? SC_OK : SC_NOMEM;
}

enum sc_status sc_authority_write(const struct sc_authority *a, struct sc_certified *out,
                                  struct sc_error *err)
{
    BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_secmem());
    enum sc_status status = SC_OK;
    if (certificate == NULL || key == NULL || PEM_write_bio_X509(certificate, a->certificate) != 1 ||
        PEM_write_bio_PrivateKey(key, a->key, NULL, NULL, 0, NULL, NULL) != 1)
        status = fail_ssl(err, "PEM");
    if (status == SC_OK)
        status = take_bytes(certificate, &out->certificate);
    if (status == SC_OK)
        status = take_bytes(key, &out->key);
    BIO_free(certificate);
    BIO_free(key);
    return status == SC_NOMEM ? sc_fail_nomem(err, "a certificate") : status;
}

static X509 *read_certificate(const struct sc_buf *bytes)
{
    BIO *in = BIO_new_mem_buf(bytes->data, (int)bytes->len);
    X509 *certificate = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    ERR_clear_error();
    return certificate;
}

static EVP_PKEY *read_key(const struct sc_buf *bytes)
{
    BIO *in = BIO_new_mem_buf(bytes->data, (int)bytes->len);
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, sc_tls_no_password, NULL);
    BIO_free(in);
    ERR_clear_error();
    return key;
}

/* ---- outside ---- */

enum sc_status sc_authority_create(uint32_t days, struct sc_authority **out, struct sc_error *err)
{
    struct sc_authority *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return sc_fail_nomem(err, "the authority");
    enum sc_status status = make(NULL, NULL, days, a, err);
    if (status == SC_OK)
        *out = a;
    else
        free(a);
    return status;
}

/* NULL: they are no certificate and its key. */
static struct sc_authority *read_both(const struct sc_certified *bytes)
{
    struct sc_authority *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    *a = (struct sc_authority){.certificate = read_certificate(&bytes->certificate),
                               .key = read_key(&bytes->key)};
    if (a->certificate != NULL && a->key != NULL && X509_check_private_key(a->certificate, a->key) == 1)
        return a;
    ERR_clear_error();
    sc_authority_free(a);
    return NULL;
}

enum sc_status sc_authority_read(const struct sc_certified *bytes, struct sc_authority **out,
                                 struct sc_error *err)
{
    struct sc_authority *a = read_both(bytes);
    if (a == NULL)
        return sc_fail(err, SC_USAGE, "these are no certificate and its key without a password");
    *out = a;
    return SC_OK;
}

void sc_authority_free(struct sc_authority *a)
{
    if (a == NULL)
        return;
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
    free(a);
}

uint32_t sc_authority_days_left(const struct sc_authority *authority)
{
    int days = 0, seconds = 0;
    bool known = ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(authority->certificate)) == 1;
    return known && days > 0 ? (uint32_t)days : 0;
}

enum sc_status sc_authority_issue(const struct sc_authority *authority, const char *name, uint32_t days,
                                  struct sc_certified *out, struct sc_error *err)
{
    struct sc_authority issued;
    SC_TRY(make(authority, name, days, &issued, err));
    enum sc_status status = sc_authority_write(&issued, out, err);
    X509_free(issued.certificate);
    EVP_PKEY_free(issued.key);
    return status;
}

bool sc_authority_knows(const struct sc_authority *by, const struct sc_certified *bytes, const char *name,
                        uint32_t days)
{
    time_t then = time(NULL) + (time_t)days * DAY_S;
    struct sc_authority *a = read_both(bytes);
    bool knows = a != NULL && sc_tls_has_name(a->certificate, name) &&
                 X509_verify(a->certificate, by->key) == 1 &&
                 X509_cmp_time(X509_get0_notAfter(a->certificate), &then) > 0;
    sc_authority_free(a);
    ERR_clear_error();
    return knows;
}
