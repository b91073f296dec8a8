#pragma once
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Before any other function: null, or a reason and the remedy, as of starling_library_load. */
const char *starling_http_load(void);

/* What MHD_start_daemon takes as variadic options. */
struct starling_http_settings {
    int listener;
    unsigned threads, connections, connections_per_address, idle_seconds;
    size_t connection_bytes;
    const char *key, *certificate; /* PEM texts; both null for plain HTTP. */
    MHD_AccessHandlerCallback handler;
    MHD_RequestCompletedCallback completed;
    MHD_NotifyConnectionCallback connected;
    void *owner;
};

/* MHD_start_daemon is variadic: Swift cannot call it. */
struct MHD_Daemon *starling_http_start(const struct starling_http_settings *settings);

/* MHD_get_connection_info is variadic: the socket of a connection, -1 when there is none. */
int starling_http_socket(struct MHD_Connection *connection);

/* Variadic as above: the peer's address as text, without its port. */
void starling_http_address(struct MHD_Connection *connection, char *text, size_t bytes);

/* addrinfo is a list of C: a listening socket at host and port, or -1 with errno set. */
int starling_http_listen(const char *host, const char *port);

/* sockaddr_storage needs casts between pointers to structs: the port of a listening socket. */
int starling_http_port(int listener);

/* RLIMIT_NOFILE is an enumeration that setrlimit takes as another type: as many descriptors as the
   system allows this process, and how many those are. */
uint64_t starling_raise_files(void);
