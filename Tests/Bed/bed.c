/* The part of the bed that needs C: an Ethernet switch in user space, with faults that a kernel
   without netem cannot make, and a ghost that announces a service by one raw packet of multicast
   DNS.

     tool switch MACHINES CONTROL SEED
         makes tap1..tapN in this network namespace (moved elsewhere they keep working), then the
         pipe CONTROL, and forwards frames until it is killed. Lines on CONTROL:
           set FROM TO DELAY_MS JITTER_MS LOSS_PERCENT DUPLICATE_PERCENT KBIT_PER_S
           clear
         where * is every machine.
         The same seed and the same traffic give the same faults.
     tool ghost INTERFACE NAME HOST ADDRESS PORT TTL TXT_HEX */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MACHINES_MAX = 64, FRAME_BYTES_MAX = 2048, IN_FLIGHT_MAX = 16384, STATIONS_MAX = 1024 };
static const uint64_t backlog_us_max = 2000000;

/* ---- switch ---------------------------------------------------------------------------------- */

struct fault {
    double delay_ms, jitter_ms, loss_percent, duplicate_percent, kbit_per_s;
    uint64_t busy_until_us; /* of the slow line, when kbit_per_s is set */
};

/* A frame on its way: the earliest stands at the top of the heap. */
struct flight {
    uint64_t due_us, number;
    int to, length;
    unsigned char *bytes;
};

struct station {
    unsigned char address[6];
    int port;
};

static struct fault faults[MACHINES_MAX][MACHINES_MAX];
static struct flight heap[IN_FLIGHT_MAX];
static struct station stations[STATIONS_MAX];
static int flights, station_count, ports, port_fd[MACHINES_MAX];
static uint64_t random_state, next_number;

static double random_unit(void) { /* xorshift64* (Vigna 2016), in [0, 1) */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * 2685821657736338717ull) >> 11) / 9007199254740992.0;
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static int is_earlier(int a, int b) {
    if (heap[a].due_us != heap[b].due_us) return heap[a].due_us < heap[b].due_us;
    return heap[a].number < heap[b].number;
}

static void exchange(int a, int b) {
    struct flight t = heap[a];
    heap[a] = heap[b];
    heap[b] = t;
}

static void launch(struct flight f) {
    int i = flights++;
    heap[i] = f;
    for (; i && is_earlier(i, (i - 1) / 2); i = (i - 1) / 2) exchange(i, (i - 1) / 2);
}

static struct flight land(void) {
    struct flight first = heap[0];
    heap[0] = heap[--flights];
    for (int i = 0;;) {
        int child = 2 * i + 1;
        if (child >= flights) return first;
        if (child + 1 < flights && is_earlier(child + 1, child)) child++;
        if (!is_earlier(child, i)) return first;
        exchange(i, child);
        i = child;
    }
}

static void deliver(int to, const unsigned char *bytes, int length) {
    /* A full queue of the machine loses the frame, as a real switch does. */
    if (write(port_fd[to], bytes, (size_t)length) < 0) return;
}

static void pass(int from, int to, const unsigned char *bytes, int length) {
    struct fault *f = &faults[from][to];
    if (random_unit() * 100 < f->loss_percent) return;
    int copies = random_unit() * 100 < f->duplicate_percent ? 2 : 1;
    for (; copies; copies--) {
        uint64_t now = now_us();
        double wait_us = (f->delay_ms + (2 * random_unit() - 1) * f->jitter_ms) * 1000;
        uint64_t due = now + (wait_us > 0 ? (uint64_t)wait_us : 0);
        if (f->kbit_per_s > 0) {
            if (f->busy_until_us < now) f->busy_until_us = now;
            if (f->busy_until_us - now > backlog_us_max) continue;
            f->busy_until_us += (uint64_t)(length * 8000.0 / f->kbit_per_s);
            due += f->busy_until_us - now;
        }
        if (due == now) {
            deliver(to, bytes, length);
        } else if (flights < IN_FLIGHT_MAX) {
            struct flight flight = {due, next_number++, to, length, malloc((size_t)length)};
            if (!flight.bytes) continue;
            memcpy(flight.bytes, bytes, (size_t)length);
            launch(flight);
        }
    }
}

static struct station *find_station(const unsigned char *address) {
    for (int i = 0; i < station_count; i++)
        if (!memcmp(stations[i].address, address, 6)) return &stations[i];
    return NULL;
}

static void forward(int from, const unsigned char *frame, int length) {
    if (length < 14) return;
    const unsigned char *to = frame, *source = frame + 6;
    if (!(source[0] & 1)) {
        struct station *known = find_station(source);
        if (!known && station_count < STATIONS_MAX) {
            known = &stations[station_count++];
            memcpy(known->address, source, 6);
        }
        if (known) known->port = from;
    }
    struct station *receiver = to[0] & 1 ? NULL : find_station(to);
    for (int port = 0; port < ports; port++)
        if (port != from && (!receiver || receiver->port == port)) pass(from, port, frame, length);
}

static int matches(const char *word, int machine) {
    return *word == '*' || atoi(word) == machine + 1;
}

static void obey(const char *line) {
    char from[16], to[16];
    struct fault f = {0};
    if (!strcmp(line, "clear")) {
        memset(faults, 0, sizeof faults);
        return;
    }
    if (sscanf(line, "set %15s %15s %lf %lf %lf %lf %lf", from, to, &f.delay_ms, &f.jitter_ms,
               &f.loss_percent, &f.duplicate_percent, &f.kbit_per_s) != 7) {
        fprintf(stderr, "not understood: %s\n", line);
        return;
    }
    for (int a = 0; a < ports; a++)
        for (int b = 0; b < ports; b++)
            if (matches(from, a) && matches(to, b)) faults[a][b] = f;
}

static void read_control(int fd) {
    static char text[4096];
    static size_t used;
    ssize_t got = read(fd, text + used, sizeof text - 1 - used);
    if (got <= 0) return;
    used += (size_t)got;
    text[used] = 0;
    char *line = text, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        obey(line);
    }
    used = strlen(line);
    memmove(text, line, used + 1);
    if (used == sizeof text - 1) used = 0;
}

static int open_tap(int number) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "tap%d", number);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        perror("/dev/net/tun");
        exit(1);
    }
    return fd;
}

static void wait_for_frames(struct pollfd *entries) {
    struct timespec pause, *timeout = NULL;
    if (flights) {
        uint64_t now = now_us(), left = heap[0].due_us > now ? heap[0].due_us - now : 0;
        pause = (struct timespec){(time_t)(left / 1000000), (long)(left % 1000000) * 1000};
        timeout = &pause;
    }
    if (ppoll(entries, (nfds_t)ports + 1, timeout, NULL) < 0) {
        if (errno != EINTR) exit(1);
        for (int i = 0; i <= ports; i++) entries[i].revents = 0;
    }
}

static int run_switch(int machines, const char *control, uint64_t seed) {
    static unsigned char frame[FRAME_BYTES_MAX];
    struct pollfd entries[MACHINES_MAX + 1];
    if (machines < 1 || machines > MACHINES_MAX) return 2;
    ports = machines;
    random_state = seed * 0x9e3779b97f4a7c15ull | 1;
    for (int i = 0; i < ports; i++) {
        port_fd[i] = open_tap(i + 1);
        entries[i] = (struct pollfd){port_fd[i], POLLIN, 0};
    }
    if (mkfifo(control, 0600)) return 1;
    entries[ports] = (struct pollfd){open(control, O_RDWR | O_NONBLOCK), POLLIN, 0};
    for (;;) {
        wait_for_frames(entries);
        while (flights && heap[0].due_us <= now_us()) {
            struct flight f = land();
            deliver(f.to, f.bytes, f.length);
            free(f.bytes);
        }
        if (entries[ports].revents & POLLIN) read_control(entries[ports].fd);
        for (int i = 0; i < ports; i++) {
            if (!(entries[i].revents & POLLIN)) continue;
            for (int burst = 0; burst < 64; burst++) {
                ssize_t length = read(port_fd[i], frame, sizeof frame);
                if (length <= 0) break;
                forward(i, frame, (int)length);
            }
        }
    }
}

/* ---- ghost ----------------------------------------------------------------------------------- */

struct packet {
    unsigned char bytes[4096];
    size_t used;
};

static void put(struct packet *p, const void *bytes, size_t count) {
    if (p->used + count > sizeof p->bytes) exit(2);
    memcpy(p->bytes + p->used, bytes, count);
    p->used += count;
}
static void put16(struct packet *p, unsigned value) {
    put(p, (unsigned char[]){(unsigned char)(value >> 8), (unsigned char)value}, 2);
}
static void put_label(struct packet *p, const char *label) {
    unsigned char length = (unsigned char)strnlen(label, 63);
    put(p, &length, 1);
    put(p, label, length);
}
/* Up to three labels and "local". */
static void put_name(struct packet *p, const char *a, const char *b, const char *c) {
    const char *labels[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (labels[i]) put_label(p, labels[i]);
    put_label(p, "local");
    put(p, "", 1);
}
/* Type, class, lifetime and data of a record whose name was put before (RFC 1035 §3.2.1). */
static void put_record(struct packet *p, unsigned type, unsigned class, unsigned ttl,
                       const void *data, size_t count) {
    put16(p, type);
    put16(p, class);
    put16(p, ttl >> 16);
    put16(p, ttl & 0xffff);
    put16(p, (unsigned)count);
    put(p, data, count);
}

static size_t decode_hex(const char *text, unsigned char *out, size_t max) {
    size_t count = 0;
    unsigned byte;
    for (; count < max && sscanf(text, "%2x", &byte) == 1; text += 2) {
        out[count++] = (unsigned char)byte;
        if (!text[1]) break;
    }
    return count;
}

static int run_ghost(char **words) {
    const char *interface = words[0], *name = words[1], *host = words[2], *address = words[3];
    unsigned port = (unsigned)atoi(words[4]), ttl = (unsigned)atoi(words[5]);
    const unsigned in = 1, unique = 0x8001; /* the top bit flushes caches (RFC 6762 §10.2) */
    unsigned char txt[2048];
    size_t txt_bytes = decode_hex(words[6], txt, sizeof txt);
    struct packet packet = {.used = 0}, data = {.used = 0};
    struct in_addr ip;
    if (!inet_aton(address, &ip)) return 2;

    const unsigned header[] = {0, 0x8400, 0, 4, 0, 0};
    for (int i = 0; i < 6; i++) put16(&packet, header[i]);
    put_name(&packet, "_starling", "_tcp", NULL);
    put_name(&data, name, "_starling", "_tcp");
    put_record(&packet, 12, in, ttl, data.bytes, data.used);
    data.used = 0;
    for (int i = 0; i < 2; i++) put16(&data, 0);
    put16(&data, port);
    put_name(&data, host, NULL, NULL);
    put_name(&packet, name, "_starling", "_tcp");
    put_record(&packet, 33, unique, ttl, data.bytes, data.used);
    put_name(&packet, name, "_starling", "_tcp");
    put_record(&packet, 16, unique, ttl, txt, txt_bytes);
    put_name(&packet, host, NULL, NULL);
    put_record(&packet, 1, unique, ttl, &ip, 4);

    int on = 1, hops = 255, fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(5353)}, group = local;
    struct ip_mreqn out = {.imr_ifindex = (int)if_nametoindex(interface)};
    inet_aton("224.0.0.251", &group.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0 ||
        sendto(fd, packet.bytes, packet.used, 0, (struct sockaddr *)&group, sizeof group) < 0) {
        perror("ghost");
        return 1;
    }
    return 0;
}

int main(int count, char **words) {
    if (count == 5 && !strcmp(words[1], "switch"))
        return run_switch(atoi(words[2]), words[3], strtoull(words[4], NULL, 10));
    if (count == 9 && !strcmp(words[1], "ghost")) return run_ghost(words + 2);
    fprintf(stderr, "usage: see the head of bed.c\n");
    return 2;
}
