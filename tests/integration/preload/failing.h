/* A page that a test shares with a program under libsever-failing.so: which call is to fail, and
 * whether it has. The library is loaded by LD_PRELOAD; the page is the file that
 * SEVER_FAILING_PAGE names. For tests only. */
#ifndef SEVER_TESTS_INTEGRATION_FAILING_H
#define SEVER_TESTS_INTEGRATION_FAILING_H

#include <stdatomic.h>
#include <stdint.h>

#define FAILING_PAGE "SEVER_FAILING_PAGE"

/* name, and the errno that the call fails with: one that the kernel gives when something has run
 * out, or that a peer can bring about. */
/* clang-format off */
#define FAILING_CALLS(call) \
    call(malloc, ENOMEM) \
    call(calloc, ENOMEM) \
    call(realloc, ENOMEM) \
    call(mmap, ENOMEM) \
    call(socket, EMFILE) \
    call(accept4, EMFILE) \
    call(connect, EADDRNOTAVAIL) \
    call(bind, EADDRINUSE) \
    call(listen, EADDRINUSE) \
    call(epoll_create1, EMFILE) \
    call(epoll_ctl, ENOSPC) \
    call(eventfd, EMFILE) \
    call(signalfd, EMFILE) \
    call(pthread_create, EAGAIN) \
    call(setsockopt, ENOMEM) \
    call(getsockopt, ENOMEM) \
    call(getsockname, ENOBUFS) \
    call(recv, ECONNRESET) \
    call(send, ECONNRESET) \
    call(recvmmsg, ENOMEM) \
    call(sendmmsg, ENOBUFS) \
    call(sendmsg, ENOBUFS) \
    call(fcntl, EMFILE) \
    call(open, EMFILE) \
    call(mkdir, ENOSPC) \
    call(posix_fallocate, ENOSPC) \
    call(write, ENOSPC) \
    call(pipe2, EMFILE) \
    call(splice, ENOMEM)
/* clang-format on */

enum failing_call {
#define FAILING_ENUM(name, code) FAILING_##name,
    FAILING_CALLS(FAILING_ENUM)
#undef FAILING_ENUM
        FAILING_CALLS_END
};

struct failing_page {
    _Atomic uint32_t armed; /* counts, and fails, only while it is not 0 */
    _Atomic uint32_t call;  /* enum failing_call */
    _Atomic uint64_t at;    /* the call that fails, from 1 on; 0: none */
    _Atomic uint64_t seen[FAILING_CALLS_END];
    _Atomic uint64_t failed;
    char where[128]; /* who called: the program or library, and the place in it */
};

#endif
