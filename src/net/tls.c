// SPDX-License-Identifier: BSD-3-Clause
#include "net/tls.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MOST 4096
#define CIPHERS   "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct sc_tls {
    atomic_uint holders;
    SSL_CTX *context;
    int64_t end_s;
};

/* ---- loading ---- */

struct files {
    char authority[PATH_MOST], certificate[PATH_MOST], key[PATH_MOST];
};

static void name_files(const char *folder, const char *name, struct files *f)
{
    snprintf(f->authority, sizeof(f->authority), "%s/" SC_TLS_AUTHORITY ".pem", folder);
    snprintf(f->certificate, sizeof(f->certificate), "%s/%s.pem", folder, name);
    snprintf(f->key, sizeof(f->key), "%s/%s.key", folder, name);
}

/* OpenSSL's first complaint; the others are of its callers. */
static enum sc_status fail_ssl(struct sc_error *err, const char *path, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason =
        ERR_GET_LIB(code) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    ERR_clear_error();
    return sc_fail(err, SC_USAGE, "%s %s: %s", path, what, reason == NULL ? "for an unknown reason" : reason);
}

/* Opens it, so that what is judged is what is read. `forbidden`: to everybody. */
static enum sc_status open_file(const char *path, mode_t forbidden, FILE **out, struct sc_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *out = fd < 0 ? NULL : fdopen(fd, "r");
    if (*out == NULL) {
        int failed = errno;
        if (fd >= 0)
            close(fd);
        return sc_fail_errno(err, failed, "cannot read %s (sc-admin certs makes it)", path);
    }
    bool known = fstat(fd, &st) == 0;
    if (known && S_ISREG(st.st_mode) && (st.st_mode & forbidden) == 0)
        return SC_OK;
    fclose(*out);
    if (!known || !S_ISREG(st.st_mode))
        return sc_fail(err, SC_USAGE, "%s is no file", path);
    return sc_fail(err, SC_USAGE,
                   "%s is open to everybody: chmod o-rwx %s, and make it anew if others have an account here",
                   path, path);
}

static enum sc_status check_file(const char *path, struct sc_error *err)
{
    FILE *file;
    SC_TRY(open_file(path, S_IWOTH, &file, err));
    fclose(file);
    return SC_OK;
}

/* Who can put a file there is whom this node believes. */
static enum sc_status check_folder(const char *folder, struct sc_error *err)
{
    struct stat st;
    if (stat(folder, &st) != 0)
        return sc_fail_errno(err, errno, "cannot read %s (sc-admin certs makes it)", folder);
    if ((st.st_mode & S_IWOTH) != 0)
        return sc_fail(err, SC_USAGE, "everybody may write to %s: chmod o-w %s, and look at what is there",
                       folder, folder);
    return SC_OK;
}

/* A daemon has nobody to ask. */
int sc_tls_no_password(char *out, int size, int writes, void *arg)
{
    (void)out;
    (void)size;
    (void)writes;
    (void)arg;
    return -1;
}

static bool set_rules(SSL_CTX *context)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* A process that was killed says no farewell; what counts is acknowledged. */
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* No partial writes: libevent takes what is written of a piece for all of it. */
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(context, CIPHERS) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1;
}

static enum sc_status read_key(SSL_CTX *context, const char *path, struct sc_error *err)
{
    FILE *file;
    SC_TRY(open_file(path, S_IRWXO, &file, err));
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, sc_tls_no_password, NULL);
    bool good = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    fclose(file);
    return good ? SC_OK : fail_ssl(err, path, "is not the key of the certificate, or has a password");
}

static enum sc_status read_files(SSL_CTX *context, const char *folder, const struct files *f,
                                 struct sc_error *err)
{
    SC_TRY(check_folder(folder, err));
    SC_TRY(check_file(f->authority, err));
    SC_TRY(check_file(f->certificate, err));
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, f->authority) != 1)
        return fail_ssl(err, f->authority, "holds no certificate");
    if (SSL_CTX_use_certificate_chain_file(context, f->certificate) != 1)
        return fail_ssl(err, f->certificate, "holds no certificate");
    return read_key(context, f->key, err);
}

bool sc_tls_has_name(const X509 *certificate, const char *name)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t length = strlen(name);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        found = n->type == GEN_DNS && (size_t)ASN1_STRING_length(n->d.dNSName) == length &&
                memcmp(ASN1_STRING_get0_data(n->d.dNSName), name, length) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int64_t end_of(const X509 *certificate)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool known =
        epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(certificate)) == 1;
    ASN1_TIME_free(epoch);
    return known ? (int64_t)days * 86400 + seconds : 0;
}

static void note_end(struct sc_tls *tls, const X509 *certificate)
{
    int64_t end = end_of(certificate);
    tls->end_s = tls->end_s == 0 || end < tls->end_s ? end : tls->end_s;
}

/* As the others will, when it calls them and when they call it. */
static enum sc_status verify_as(struct sc_tls *tls, X509_STORE_CTX *check, int purpose, const char *path,
                                struct sc_error *err)
{
    STACK_OF(X509) *behind = NULL;
    SSL_CTX_get0_chain_certs(tls->context, &behind);
    if (X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(tls->context),
                            SSL_CTX_get0_certificate(tls->context), behind) != 1)
        return sc_fail_nomem(err, "TLS");
    X509_STORE_CTX_set_purpose(check, purpose);
    bool good = X509_verify_cert(check) == 1;
    if (!good)
        return sc_fail(err, SC_USAGE, "%s: %s", path,
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(check);
    for (int i = 0; i < sk_X509_num(chain); i++)
        note_end(tls, sk_X509_value(chain, i));
    return SC_OK;
}

static enum sc_status verify(struct sc_tls *tls, const char *name, const char *path, struct sc_error *err)
{
    static const int purposes[] = {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER};
    enum sc_status status = SC_OK;
    if (!sc_tls_has_name(SSL_CTX_get0_certificate(tls->context), name))
        return sc_fail(err, SC_USAGE, "%s is no certificate of %s: that is none of its DNS names", path,
                       name);
    for (int i = 0; i < 2 && status == SC_OK; i++) {
        X509_STORE_CTX *check = X509_STORE_CTX_new();
        status = check == NULL ? sc_fail_nomem(err, "TLS") : verify_as(tls, check, purposes[i], path, err);
        X509_STORE_CTX_free(check);
    }
    return status;
}

enum sc_status sc_tls_load(const char *folder, const char *name, struct sc_tls **out, struct sc_error *err)
{
    struct files files;
    struct sc_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL || (tls->context = SSL_CTX_new(TLS_method())) == NULL) {
        free(tls);
        return sc_fail_nomem(err, "TLS");
    }
    atomic_init(&tls->holders, 1);
    name_files(folder, name, &files);
    enum sc_status status = set_rules(tls->context)
                                ? read_files(tls->context, folder, &files, err)
                                : sc_fail(err, SC_UNSUPPORTED, "OpenSSL has no TLS 1.3 here");
    if (status == SC_OK)
        status = verify(tls, name, files.certificate, err);
    if (status == SC_OK)
        *out = tls;
    else
        sc_tls_release(tls);
    return status;
}

struct sc_tls *sc_tls_hold(struct sc_tls *tls)
{
    if (tls != NULL)
        atomic_fetch_add(&tls->holders, 1);
    return tls;
}

void sc_tls_release(struct sc_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub(&tls->holders, 1) != 1)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

int64_t sc_tls_end_s(const struct sc_tls *tls)
{
    return tls->end_s;
}

/* ---- connections ---- */

/* A name that looks like an address is a name all the same. */
static bool expect(SSL *ssl, const char *member)
{
    X509_VERIFY_PARAM *rules = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(rules,
                                    X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(rules, member, 0) == 1;
}

struct bufferevent *sc_tls_open(struct sc_tls *tls, struct event_base *base, int fd, const char *member)
{
    SSL *ssl = SSL_new(tls->context);
    if (ssl == NULL || (member != NULL && !expect(ssl, member))) {
        SSL_free(ssl);
        return NULL;
    }
    enum bufferevent_ssl_state begins =
        member == NULL ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING;
    /* Without memory it frees the SSL itself. */
    return bufferevent_openssl_socket_new(base, fd, ssl, begins, BEV_OPT_CLOSE_ON_FREE);
}

bool sc_tls_renew(struct bufferevent *io)
{
    bool asked = SSL_key_update(bufferevent_openssl_get_ssl(io), SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
    ERR_clear_error();
    return asked;
}

bool sc_tls_is(struct bufferevent *io, const char *name)
{
    SSL *ssl = bufferevent_openssl_get_ssl(io);
    X509 *shown = SSL_get0_peer_certificate(ssl);
    return shown != NULL && SSL_get_verify_result(ssl) == X509_V_OK && sc_tls_has_name(shown, name);
}

void sc_tls_reason(struct bufferevent *io, char *out, size_t size)
{
    unsigned long code = bufferevent_get_openssl_error(io);
    long verdict = SSL_get_verify_result(bufferevent_openssl_get_ssl(io));
    const char *reason = ERR_reason_error_string(code);
    if (verdict != X509_V_OK)
        snprintf(out, size, "TLS: its certificate: %s", X509_verify_cert_error_string(verdict));
    else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(out, size, "TLS: it speaks none (has it link: plain?)");
    else if (reason != NULL)
        snprintf(out, size, "TLS: %s", reason);
    else
        snprintf(out, size, "%s", strerror(errno));
}
