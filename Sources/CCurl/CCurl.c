#define CURL_DISABLE_TYPECHECK
#include "CCurl.h"

#include "CLibrary.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define FUNCTIONS(X) \
    X(CURLcode, curl_global_init, (long flags), (flags)) \
    X(CURL *, curl_easy_init, (void), ()) \
    X(void, curl_easy_cleanup, (CURL *easy), (easy)) \
    X(const char *, curl_easy_strerror, (CURLcode code), (code)) \
    X(CURLM *, curl_multi_init, (void), ()) \
    X(CURLMcode, curl_multi_cleanup, (CURLM *multi), (multi)) \
    X(CURLMcode, curl_multi_add_handle, (CURLM *multi, CURL *easy), (multi, easy)) \
    X(CURLMcode, curl_multi_remove_handle, (CURLM *multi, CURL *easy), (multi, easy)) \
    X(CURLMcode, curl_multi_perform, (CURLM *multi, int *running), (multi, running)) \
    X(CURLMcode, curl_multi_poll, \
      (CURLM *multi, struct curl_waitfd *more, unsigned count, int milliseconds, int *ready), \
      (multi, more, count, milliseconds, ready)) \
    X(CURLMcode, curl_multi_wakeup, (CURLM *multi), (multi)) \
    X(struct curl_slist *, curl_slist_append, (struct curl_slist *list, const char *text), \
      (list, text)) \
    X(void, curl_slist_free_all, (struct curl_slist *list), (list))

/* Those that are variadic, or used here alone. */
#define OWN_FUNCTIONS(X) \
    X(CURLcode, curl_easy_setopt, , ) \
    X(CURLcode, curl_easy_getinfo, , ) \
    X(CURLMcode, curl_multi_setopt, , ) \
    X(CURLMsg *, curl_multi_info_read, , )

FUNCTIONS(STARLING_POINTER)
OWN_FUNCTIONS(STARLING_POINTER)
FUNCTIONS(STARLING_CALL)

static const struct starling_symbol symbols[] = {
    FUNCTIONS(STARLING_SYMBOL) OWN_FUNCTIONS(STARLING_SYMBOL){0, 0}};

static struct starling_library library = {
    .names = {"libcurl.so.4", "libcurl.4.dylib"},
    .remedy = "a relay needs libcurl: apt install libcurl4",
    .symbols = symbols,
};

const char *starling_curl_load(void) { return starling_library_load(&library); }

#define SET(option, value) \
    do { \
        CURLcode code = found_curl_easy_setopt(easy, option, value); \
        if (code != CURLE_OK) return code; \
    } while (0)

CURLcode starling_curl_prepare(CURL *easy, const struct starling_curl_request *r) {
    SET(CURLOPT_ERRORBUFFER, r->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_URL, r->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (r->ca_file) {
        SET(CURLOPT_CAINFO, r->ca_file);
        SET(CURLOPT_CAPATH, (char *)0);
    }
    SET(CURLOPT_PROXY, r->proxy ? r->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, r->connect_milliseconds);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, 50L);
    SET(CURLOPT_HTTPHEADER, r->headers);
    if (r->has_body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes);
        SET(CURLOPT_POSTFIELDS, r->body_bytes ? (const char *)r->body : "");
    }
    SET(CURLOPT_CUSTOMREQUEST, r->method);
    SET(CURLOPT_WRITEFUNCTION, r->received);
    SET(CURLOPT_WRITEDATA, r->owner);
    SET(CURLOPT_HEADERFUNCTION, r->header);
    SET(CURLOPT_HEADERDATA, r->owner);
    SET(CURLOPT_PRIVATE, r->owner);
    return CURLE_OK;
}

long starling_curl_status(CURL *easy) {
    long status = 0;
    CURLcode code = found_curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return code == CURLE_OK ? status : 0;
}

int64_t starling_curl_uploaded(CURL *easy) {
    curl_off_t bytes = 0;
    CURLcode code = found_curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &bytes);
    return code == CURLE_OK ? bytes : 0;
}

void starling_curl_limit(CURLM *multi, long connections) {
    found_curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections);
}

void *starling_curl_ended(CURLM *multi, CURLcode *code) {
    int left = 0;
    for (;;) {
        CURLMsg *message = found_curl_multi_info_read(multi, &left);
        if (!message) return 0;
        if (message->msg != CURLMSG_DONE) continue;
        char *owner = 0;
        *code = message->data.result;
        if (found_curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner) == CURLE_OK
            && owner)
            return owner;
    }
}
