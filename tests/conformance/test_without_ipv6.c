/* severd on a kernel without IPv6: a seccomp filter refuses such sockets with EAFNOSUPPORT. Every
 * address of the machine, which is IPv6's where there is one, is IPv4's alone then. */
#include "tests/conformance/server.h"

#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

static char directory[64];
static struct server server;
static struct answer answer;

static int refuse_ipv6(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), /* low word */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return -1;
    return socket(AF_INET6, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT ? 0 : -1;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/sever-test-XXXXXX");
    return mkdtemp(directory) && refuse_ipv6() == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    text_free(&answer.text);
    child_kill(&server.child);
    text_free(&server.log);
    return rmdir(directory);
}

/* Somebody takes connections at the address in the answer, behind "listen" of the proxy named. */
static void check_listening(const char *name)
{
    char wanted[128];
    snprintf(wanted, sizeof(wanted), "\"name\":\"%s\",\"listen\":\"0.0.0.0:", name);
    const char *found = strstr(text_get(&answer.text), wanted);
    if (!found)
        fail_msg("no %s in %s", wanted, text_get(&answer.text));
    int fd = connect_to((int)strtol(found + strlen(wanted), NULL, 10));
    assert_true(fd >= 0);
    close(fd);
}

static void every_address_is_ipv4s(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/proxies.json", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("[{\"name\": \"file\", \"listen\": \":0\", \"upstream\": \"127.0.0.1:1\"}]", file);
    fclose(file);
    const char *const extra[] = {"-host=", "--no-token", "-config", path, NULL};
    server_start(&server, extra, NULL);
    assert_int_equal(unlink(path), 0);
    assert_non_null(strstr(server.url, "http://0.0.0.0:"));
    server_ask(&server, "GET", "/proxies", "", NULL, &answer);
    check_listening("file");
    server_ask(&server, "POST", "/proxies", "",
               "{\"name\":\"one\",\"listen\":\":0\",\"upstream\":\"127.0.0.1:1\"}", &answer);
    check_listening("one");
    server_ask(&server, "POST", "/populate", "",
               "[{\"name\":\"two\",\"listen\":\":0\",\"upstream\":\"127.0.0.1:1\"},"
               "{\"name\":\"three\",\"upstream\":\"127.0.0.1:1\"}]",
               &answer);
    check_listening("two");
    check_listening("three");
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_address_is_ipv4s)};
    return cmocka_run_group_tests_name("conformance/without_ipv6", tests, set_up, tear_down);
}
