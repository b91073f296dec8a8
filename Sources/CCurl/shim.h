#pragma once
#include <curl/curl.h>
#include <stdint.h>

/* curl_easy_setopt, curl_easy_getinfo and curl_multi_setopt are variadic: Swift cannot call them. Each of
   these is their only use for its purpose. */

/* One request, as plain pointers that live until its handle is cleaned up. */
struct starling_curl_request {
    const char *url, *method;
    const char *ca_file;           /* null for the system's authorities */
    const char *proxy;             /* null for none, whatever the environment says */
    const struct curl_slist *headers;
    const uint8_t *body;
    int64_t body_bytes;
    int has_body;
    long connect_milliseconds;
    size_t (*received)(char *bytes, size_t size, size_t count, void *owner);
    size_t (*header)(char *bytes, size_t size, size_t count, void *owner);
    void *owner;
    char *error;                   /* CURL_ERROR_SIZE bytes */
};

#define STARLING_CURL_SET(option, value) \
    do { \
        CURLcode code = curl_easy_setopt(easy, option, value); \
        if (code != CURLE_OK) return code; \
    } while (0)

/* TLS is verified always, redirections are never followed, nothing of the environment is used. */
static inline CURLcode starling_curl_prepare(CURL *easy, const struct starling_curl_request *r) {
    STARLING_CURL_SET(CURLOPT_ERRORBUFFER, r->error);
    STARLING_CURL_SET(CURLOPT_NOSIGNAL, 1L);
    STARLING_CURL_SET(CURLOPT_NOPROGRESS, 1L);
    STARLING_CURL_SET(CURLOPT_URL, r->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    STARLING_CURL_SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    STARLING_CURL_SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    STARLING_CURL_SET(CURLOPT_FOLLOWLOCATION, 0L);
    STARLING_CURL_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    STARLING_CURL_SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    STARLING_CURL_SET(CURLOPT_SSL_VERIFYPEER, 1L);
    STARLING_CURL_SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (r->ca_file) {
        STARLING_CURL_SET(CURLOPT_CAINFO, r->ca_file);
        STARLING_CURL_SET(CURLOPT_CAPATH, (char *)0);
    }
    STARLING_CURL_SET(CURLOPT_PROXY, r->proxy ? r->proxy : "");
    STARLING_CURL_SET(CURLOPT_NOPROXY, "");
    STARLING_CURL_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    STARLING_CURL_SET(CURLOPT_CONNECTTIMEOUT_MS, r->connect_milliseconds);
    STARLING_CURL_SET(CURLOPT_TCP_KEEPALIVE, 1L);
    STARLING_CURL_SET(CURLOPT_MAXAGE_CONN, 50L);
    STARLING_CURL_SET(CURLOPT_HTTPHEADER, r->headers);
    if (r->has_body) {
        STARLING_CURL_SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes);
        STARLING_CURL_SET(CURLOPT_POSTFIELDS, r->body_bytes ? (const char *)r->body : "");
    }
    STARLING_CURL_SET(CURLOPT_CUSTOMREQUEST, r->method);
    STARLING_CURL_SET(CURLOPT_WRITEFUNCTION, r->received);
    STARLING_CURL_SET(CURLOPT_WRITEDATA, r->owner);
    STARLING_CURL_SET(CURLOPT_HEADERFUNCTION, r->header);
    STARLING_CURL_SET(CURLOPT_HEADERDATA, r->owner);
    STARLING_CURL_SET(CURLOPT_PRIVATE, r->owner);
    return CURLE_OK;
}

static inline long starling_curl_status(CURL *easy) {
    long status = 0;
    return curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK ? status : 0;
}

/* Bytes of the body that were handed to the system so far. */
static inline int64_t starling_curl_uploaded(CURL *easy) {
    curl_off_t bytes = 0;
    return curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &bytes) == CURLE_OK ? bytes : 0;
}

static inline void starling_curl_limit(CURLM *multi, long connections) {
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections);
}

/* CURLMsg is a union. The owner of a request that has ended, and its code; null when none has. */
static inline void *starling_curl_ended(CURLM *multi, CURLcode *code) {
    int left = 0;
    for (;;) {
        CURLMsg *message = curl_multi_info_read(multi, &left);
        if (!message) return 0;
        if (message->msg != CURLMSG_DONE) continue;
        char *owner = 0;
        *code = message->data.result;
        if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner) == CURLE_OK && owner)
            return owner;
    }
}
