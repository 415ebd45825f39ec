/*
 * A counter that is reached by HTTP.
 *
 *   GET /get_counter                 the number
 *   GET /increment_counter           the number after one was added to it
 *   GET /get_and_increment_counter   the number before one was added to it
 *   GET /reset_counter               0
 *
 * One thread serves all clients from one epoll loop, so that no two requests ever touch the number at once and a slow client
 * keeps nobody waiting. A connection carries one request. It has LIFETIME milliseconds for everything, so the list of
 * connections, in which new ones go to the end, is sorted by their deadlines.
 *
 * SIGTERM and SIGINT close the door: whoever is in is served, nobody else comes in, and the program ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 8080,
    LIFETIME = 5000,       /* milliseconds that a connection lasts at most */
    LONGEST_REQUEST = 8192 /* bytes of a request up to its empty line */
};

struct connection {
    int fd;
    int64_t deadline;
    bool answered; /* what still comes is thrown away: closing before it was read would take the answer from the client */
    size_t length;
    struct connection *previous, *next;
    char request[LONGEST_REQUEST + 1];
};

static uint64_t counter;

static int epoll_fd, listener, signals;
static bool resting; /* there was no descriptor or memory for another client; the next one that leaves wakes the listener */
static struct connection *first, *last;

static void fail(const char *what)
{
    fprintf(stderr, "counter: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Makes epoll tell of `fd`; `data` is the connection, or one of the two descriptors that are none. */
static bool watch(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Opens the door again, if it was closed for want of room. */
static void wake(void)
{
    if (resting && listener >= 0)
        resting = !watch(listener, &listener);
}

static void hang_up(struct connection *client)
{
    *(client->previous ? &client->previous->next : &first) = client->next;
    *(client->next ? &client->next->previous : &last) = client->previous;
    close(client->fd);
    free(client);
    wake();
}

static void let_in(void)
{
    struct connection *client = NULL;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
        return; /* the client has gone again */
    if (fd >= 0)
        client = malloc(sizeof *client);
    if (!client || !watch(fd, client)) {
        free(client);
        if (fd >= 0)
            close(fd);
        /* Without anybody inside, nobody would wake it. */
        if (first && epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL) == 0)
            resting = true;
        return;
    }
    client->fd = fd;
    client->deadline = now() + LIFETIME;
    client->answered = false;
    client->length = 0;
    client->previous = last;
    client->next = NULL;
    *(last ? &last->next : &first) = client;
    last = client;
}

/* Sends an answer of one line. It is far smaller than the buffer of a fresh socket, so it goes at once or not at all. */
__attribute__((format(printf, 3, 4)))
static void answer(struct connection *client, const char *status, const char *format, ...)
{
    char text[128], head[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    length = snprintf(head, sizeof head,
                      "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
                      "%sConnection: close\r\n\r\n%s\n",
                      status, length + 1, strncmp(status, "405", 3) ? "" : "Allow: GET\r\n", text);
    if (send(client->fd, head, (size_t)length, MSG_NOSIGNAL) == length)
        shutdown(client->fd, SHUT_WR);
    else
        shutdown(client->fd, SHUT_RDWR);
    client->answered = true;
}

/* Carries out a request whose head is complete. */
static void serve(struct connection *client)
{
    char *rest = client->request;
    const char *method = strsep(&rest, " ");
    char *target = strsep(&rest, " ");
    const char *version = strsep(&rest, "\r\n");
    if (!target || target[0] != '/' || !version || strncmp(version, "HTTP/1.", 7) != 0) {
        answer(client, "400 Bad Request", "this is not a request of HTTP/1.1");
        return;
    }
    if (strcmp(method, "GET") != 0) {
        answer(client, "405 Method Not Allowed", "only GET is understood");
        return;
    }
    target[strcspn(target, "?#")] = '\0';
    uint64_t number;
    if (strcmp(target, "/get_counter") == 0) {
        number = counter;
    } else if (strcmp(target, "/increment_counter") == 0) {
        number = ++counter;
    } else if (strcmp(target, "/get_and_increment_counter") == 0) {
        number = counter++;
    } else if (strcmp(target, "/reset_counter") == 0) {
        number = counter = 0;
    } else {
        answer(client, "404 Not Found", "there is no such page");
        return;
    }
    answer(client, "200 OK", "%" PRIu64, number);
}

/* Takes what a client has sent. */
static void listen_to(struct connection *client)
{
    if (client->answered)
        client->length = 0;
    char *end = client->request + client->length;
    ssize_t got = recv(client->fd, end, LONGEST_REQUEST - client->length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(client);
        return;
    }
    if (client->answered)
        return;
    client->length += (size_t)got;
    client->request[client->length] = '\0';
    if (memchr(end, '\0', (size_t)got))
        answer(client, "400 Bad Request", "this is not text");
    else if (strstr(client->request, "\r\n\r\n") || strstr(client->request, "\n\n"))
        serve(client);
    else if (client->length == LONGEST_REQUEST)
        answer(client, "431 Request Header Fields Too Large", "the request is too long");
}

/* Hangs up on those whose time is over, and returns how long nobody else's will be; -1 is for ever. */
static int expire(void)
{
    int64_t time = now();
    while (first && first->deadline <= time)
        hang_up(first);
    return first ? (int)(first->deadline - time) : -1;
}

static void open_door(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0
        || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, SOMAXCONN) != 0)
        fail("cannot listen");

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (signals < 0 || epoll_fd < 0 || !watch(listener, &listener) || !watch(signals, &signals))
        fail("cannot wait for clients");

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc > 1 ? strtoul(argv[1], &end, 10) : PORT;
    if (argc > 2 || (end && *end) || port == 0 || port > UINT16_MAX) {
        fprintf(stderr, "usage: counter [PORT]\n");
        return 2;
    }
    open_door((uint16_t)port);
    for (;;) {
        int patience = expire();
        if (listener < 0 && !first)
            return EXIT_SUCCESS;
        /* One at a time: what follows may take away the connection that another event would be about. */
        struct epoll_event event;
        int told = epoll_wait(epoll_fd, &event, 1, patience);
        if (told < 0 && errno != EINTR)
            fail("cannot wait for clients");
        if (told <= 0)
            continue;
        if (event.data.ptr == &signals) {
            close(listener);
            close(signals);
            listener = -1;
        } else if (event.data.ptr == &listener) {
            let_in();
        } else {
            listen_to(event.data.ptr);
        }
    }
}
