#pragma once
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Swift imports no macro that casts its arguments; each of these wraps one. */

/* SSL_CTX_set_min_proto_version and SSL_CTX_set_max_proto_version: TLS 1.3 and nothing else. */
static inline int starling_tls13_only(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1
        && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1;
}

/* EVP_CIPHER_CTX_ctrl takes the tag as a void pointer that it writes to or reads from: the two uses. */
static inline int starling_get_tag(EVP_CIPHER_CTX *context, int count, uint8_t *tag) {
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, count, tag);
}
static inline int starling_expect_tag(EVP_CIPHER_CTX *context, int count, const uint8_t *tag) {
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, count, (void *)tag);
}

/* SSL_CTX_set1_sigalgs_list and SSL_CTX_set1_groups_list. */
static inline int starling_tls_algorithms(SSL_CTX *context, const char *signatures, const char *groups) {
    return SSL_CTX_set1_sigalgs_list(context, signatures) == 1
        && SSL_CTX_set1_groups_list(context, groups) == 1;
}

/* SSL_CTX_set_session_cache_mode, SSL_CTX_set_max_cert_list, SSL_CTX_set_mode, and options that are
   macros: no resumption in any form, no second handshake. */
static inline void starling_tls_settings(SSL_CTX *context, long certificate_bytes_max) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_max_cert_list(context, certificate_bytes_max);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        | SSL_MODE_RELEASE_BUFFERS);
}

/* BIO_set_mem_eof_return: an empty memory BIO means "later", not the end. */
static inline void starling_bio_never_ends(BIO *bio) { BIO_set_mem_eof_return(bio, -1); }

typedef int (*starling_verify)(X509 *leaf, void *owner);

/* SSL_set_app_data and SSL_get_app_data. */
static inline void starling_set_owner(SSL *ssl, void *owner) { SSL_set_app_data(ssl, owner); }

static inline int starling_verify_leaf(X509_STORE_CTX *store, void *argument) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    void *owner = ssl ? SSL_get_app_data(ssl) : 0;
    int accepted = leaf && owner && ((starling_verify)argument)(leaf, owner);
    X509_STORE_CTX_set_error(store, accepted ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return accepted;
}

/* SSL_CTX_set_cert_verify_callback takes the verifier as a void pointer, which Swift cannot make of a
   function. It replaces the verification of chains: there are none, only keys that are known. */
static inline void starling_tls_verify(SSL_CTX *context, starling_verify verify) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, 0);
    SSL_CTX_set_cert_verify_callback(context, starling_verify_leaf, (void *)verify);
}
