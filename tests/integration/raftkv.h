/* A client of raftkv's nodes. */
#ifndef SEVER_TESTS_INTEGRATION_RAFTKV_H
#define SEVER_TESTS_INTEGRATION_RAFTKV_H

#include "tests/lib/test.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proxy/base/address.h"

/* The election timeout of nodes that are to keep their leader, whatever the machine does besides:
 * the thread sanitizer's stand still for longer. */
#ifdef __SANITIZE_THREAD__
#define RAFTKV_PATIENT "3s"
#else
#define RAFTKV_PATIENT "1s"
#endif

/* host: numeric; its port 6379. An answer is waited for that long. -1: nobody is there. */
static inline int raftkv_dial(const char *host, int patience_s)
{
    struct address address;
    struct timeval patience = {.tv_sec = patience_s};
    char text[48];
    snprintf(text, sizeof(text), "%s:6379", host);
    assert_int_equal(address_parse(text, &address, NULL), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&address.storage, address.length) == 0)
        return fd;
    close(fd);
    return -1;
}

#endif
