/* What a proxy has used so far, from /proc: the process and its children (nginx's workers, socat's
 * connections). 0 for pid 0. They end the program when the process is gone. */
#ifndef SEVER_TESTS_BENCH_PROCESS_H
#define SEVER_TESTS_BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

double process_cpu_seconds(pid_t pid);     /* user and system time of those that live */
uint64_t process_private_bytes(pid_t pid); /* user memory: Pss, so that shared pages count once */

#endif
