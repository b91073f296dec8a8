#include "CMicroHTTPD.h"

#include "CLibrary.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FUNCTIONS(X) \
    X(enum MHD_Result, MHD_is_feature_supported, (enum MHD_FEATURE feature), (feature)) \
    X(MHD_socket, MHD_quiesce_daemon, (struct MHD_Daemon *daemon), (daemon)) \
    X(void, MHD_stop_daemon, (struct MHD_Daemon *daemon), (daemon)) \
    X(void, MHD_suspend_connection, (struct MHD_Connection *connection), (connection)) \
    X(void, MHD_resume_connection, (struct MHD_Connection *connection), (connection)) \
    X(const char *, MHD_lookup_connection_value, \
      (struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key), \
      (connection, kind, key)) \
    X(enum MHD_Result, MHD_lookup_connection_value_n, \
      (struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key, \
       size_t key_bytes, const char **value, size_t *value_bytes), \
      (connection, kind, key, key_bytes, value, value_bytes)) \
    X(struct MHD_Response *, MHD_create_response_from_buffer_with_free_callback_cls, \
      (size_t bytes, void *body, MHD_ContentReaderFreeCallback release, void *owner), \
      (bytes, body, release, owner)) \
    X(struct MHD_Response *, MHD_create_response_from_callback, \
      (uint64_t bytes, size_t block, MHD_ContentReaderCallback read, void *owner, \
       MHD_ContentReaderFreeCallback release), \
      (bytes, block, read, owner, release)) \
    X(void, MHD_destroy_response, (struct MHD_Response *response), (response)) \
    X(enum MHD_Result, MHD_add_response_header, \
      (struct MHD_Response *response, const char *name, const char *value), \
      (response, name, value)) \
    X(enum MHD_Result, MHD_queue_response, \
      (struct MHD_Connection *connection, unsigned status, struct MHD_Response *response), \
      (connection, status, response))

/* Those that are variadic. */
#define OWN_FUNCTIONS(X) \
    X(struct MHD_Daemon *, MHD_start_daemon, , ) \
    X(const union MHD_ConnectionInfo *, MHD_get_connection_info, , )

FUNCTIONS(STARLING_POINTER)
OWN_FUNCTIONS(STARLING_POINTER)
FUNCTIONS(STARLING_CALL)

static const struct starling_symbol symbols[] = {
    FUNCTIONS(STARLING_SYMBOL) OWN_FUNCTIONS(STARLING_SYMBOL){0, 0}};

static struct starling_library library = {
    .names = {
        "libmicrohttpd.so.12", "libmicrohttpd.12.dylib",
        "/opt/homebrew/lib/libmicrohttpd.12.dylib"},
    .remedy = "to run a relay needs libmicrohttpd: apt install libmicrohttpd12",
    .symbols = symbols,
};

const char *starling_http_load(void) { return starling_library_load(&library); }

/* The library's own words about its connections name peers' bytes; nothing of it is logged. */
static void silence(void *owner, const char *format, va_list arguments) {
    (void)owner;
    (void)format;
    (void)arguments;
}

struct MHD_Daemon *starling_http_start(const struct starling_http_settings *s) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem options[16];
    int n = 0;
    options[n++] = (struct MHD_OptionItem){
        MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)silence, 0};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_LISTEN_SOCKET, s->listener, 0};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_LIMIT, s->connections, 0};
    options[n++] = (struct MHD_OptionItem){
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, s->connections_per_address, 0};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_TIMEOUT, s->idle_seconds, 0};
    options[n++] = (struct MHD_OptionItem){
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)s->connection_bytes, 0};
    options[n++] = (struct MHD_OptionItem){
        MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)s->completed, s->owner};
    options[n++] = (struct MHD_OptionItem){
        MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)s->connected, s->owner};
    if (s->threads > 1)
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, s->threads, 0};
    if (s->key) {
        flags |= MHD_USE_TLS;
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)s->key};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)s->certificate};
        options[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"};
    }
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_END, 0, 0};
    return found_MHD_start_daemon(
        flags, 0, 0, 0, s->handler, s->owner, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

int starling_http_socket(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        found_MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

void starling_http_address(
    struct MHD_Connection *connection, char *text, size_t bytes) {
    text[0] = 0;
    const union MHD_ConnectionInfo *info =
        found_MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr) return;
    socklen_t length = info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                 : sizeof(struct sockaddr_in);
    if (getnameinfo(info->client_addr, length, text, (socklen_t)bytes, 0, 0, NI_NUMERICHOST) != 0)
        text[0] = 0;
}

int starling_http_listen(const char *host, const char *port) {
    struct addrinfo hints, *found = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    if (getaddrinfo(host, port, &hints, &found) != 0 || !found) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int code = EADDRNOTAVAIL, listener = -1;
    for (struct addrinfo *one = found; one && listener < 0; one = one->ai_next) {
        int fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            code = errno;
            continue;
        }
        int on = 1, off = 0;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (one->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, one->ai_addr, one->ai_addrlen) == 0 && listen(fd, 1024) == 0) {
            listener = fd;
        } else {
            code = errno;
            close(fd);
        }
    }
    freeaddrinfo(found);
    errno = code;
    return listener;
}

int starling_http_port(int listener) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &length) != 0) return -1;
    return ntohs(
        address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                      : ((struct sockaddr_in *)&address)->sin_port);
}

uint64_t starling_raise_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    return limit.rlim_cur;
}
