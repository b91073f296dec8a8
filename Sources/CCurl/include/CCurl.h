#pragma once
#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

/* Before any other function: null, or a reason and the remedy, as of starling_library_load. */
const char *starling_curl_load(void);

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

/* TLS is verified always, redirections are never followed, nothing of the environment is used. */
CURLcode starling_curl_prepare(CURL *easy, const struct starling_curl_request *request);

long starling_curl_status(CURL *easy);

/* Bytes of the body that were handed to the system so far. */
int64_t starling_curl_uploaded(CURL *easy);

void starling_curl_limit(CURLM *multi, long connections);

/* CURLMsg is a union. The owner of a request that has ended, and its code; null when none has. */
void *starling_curl_ended(CURLM *multi, CURLcode *code);
