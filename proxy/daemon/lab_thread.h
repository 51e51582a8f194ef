/* The thread that speaks with the lab's keeper, so that the control thread never waits for it.
 *
 * Theory of operation. Work is a function that this thread runs from beginning to end, which may
 * take seconds. What of it touches data of the control thread's it has done there: it asks for a
 * call, which the control thread runs when its loop comes to it (lab_thread_serve), and waits for
 * that. So the two never use the same data at once, and the work reads as if there was one thread.
 * Between works the thread watches one descriptor, which makes work of its own.
 *
 * The keeper's life hangs on this thread (lab/lab.h), so it stays until the end. */
#ifndef SEVER_DAEMON_LAB_THREAD_H
#define SEVER_DAEMON_LAB_THREAD_H

#include <stdbool.h>

#include "proxy/base/error.h"

struct lab_thread;
typedef void (*lab_thread_function)(void *context);

int lab_thread_create(struct lab_thread **thread, struct error *error);
/* Settles, runs the last work, and ends the thread when that is done. NULL is fine. */
void lab_thread_destroy(struct lab_thread *thread, lab_thread_function last, void *context);

/* --- for the control thread --- */

/* One at a time: the work begun before must have asked for its last call. */
void lab_thread_begin(struct lab_thread *thread, lab_thread_function work, void *context);
/* Readable when a call is wanted, the same as long as the thread is there. */
int lab_thread_fd(const struct lab_thread *thread);
/* Whether a call is wanted; costs nothing. */
bool lab_thread_waits(const struct lab_thread *thread);
/* Runs the call that is wanted, if one is: true. */
bool lab_thread_serve(struct lab_thread *thread);
/* No call is taken any more, and no work begun; returns when what runs has ended. */
void lab_thread_settle(struct lab_thread *thread);

/* --- for the work --- */

/* Has the control thread run the call, and waits for that. False: it was not run, for severd ends.
 */
bool lab_thread_ask(struct lab_thread *thread, lab_thread_function call, void *context);
/* Whether severd does not end: work that takes long looks now and then. */
bool lab_thread_goes_on(struct lab_thread *thread);
/* Runs `work` whenever the descriptor is readable between works; -1: watches nothing. */
void lab_thread_watch(struct lab_thread *thread, int fd, lab_thread_function work, void *context);

#endif
