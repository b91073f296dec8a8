#pragma once
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

/* SIG_IGN is a cast of 1 to a function pointer, which Swift cannot form: a write to a closed
   socket must be an error of that write, not the end of the process. */
static inline void starling_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

/* pthread_t is a number in one C library and a pointer in another: a comparable name of the
   calling thread. */
static inline uintptr_t starling_thread(void) { return (uintptr_t)pthread_self(); }

/* SOCK_STREAM is an enumeration in one C library and a macro in another: what getaddrinfo is
   asked for. */
static inline struct addrinfo starling_tcp_hints(void) {
    struct addrinfo hints;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_protocol = IPPROTO_TCP;
    return hints;
}

/* sun_path is an array of fixed size, which Swift sees as a tuple of 108 members: the longest path
   of a socket in bytes, without its final NUL. */
static inline size_t starling_unix_path_max(void) {
    return sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
}

/* The same tuple: asks without waiting whether somebody listens at the path. 0 when somebody does,
   else errno; ECONNREFUSED means that the socket file is stale. */
static inline int starling_unix_probe(const char *path) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int code = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return code == EAGAIN ? 0 : code; /* The queue of a live listener is full. */
}
