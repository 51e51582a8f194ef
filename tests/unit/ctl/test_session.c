/* What a session makes of a severd that answers the change and is gone for the question after it.
 */
#include "tests/lib/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/session.h"

struct fixture {
    char directory[64], url[128];
    int listener;
    pthread_t server;
    struct session session;
};

/* One request, answered with 204; nobody is there for a second one. */
static void *serve_once(void *context)
{
    static const char answer[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    struct fixture *fixture = context;
    char request[4096] = "";
    size_t length = 0;
    int peer = accept(fixture->listener, NULL, NULL);
    while (peer >= 0 && !strstr(request, "\r\n\r\n")) {
        ssize_t got = read(peer, request + length, sizeof(request) - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
        request[length] = '\0';
    }
    close(fixture->listener);
    if (write(peer, answer, sizeof(answer) - 1) != (ssize_t)sizeof(answer) - 1)
        fixture->url[0] = '\0';
    close(peer);
    return NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *state = fixture;
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/sever-session-XXXXXX");
    if (!mkdtemp(fixture->directory))
        return -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", fixture->directory);
    snprintf(fixture->url, sizeof(fixture->url), "unix:%s", address.sun_path);
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fixture->listener, (struct sockaddr *)&address, sizeof(address)) ||
        listen(fixture->listener, 1) ||
        wire_client_create(fixture->url, "test", &fixture->session.client, &fixture->session.error))
        return -1;
    return pthread_create(&fixture->server, NULL, serve_once, fixture);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    pthread_join(fixture->server, NULL);
    wire_client_destroy(fixture->session.client);
    text_free(&fixture->session.out);
    unlink(fixture->url + strlen("unix:"));
    int result = rmdir(fixture->directory);
    free(fixture);
    return result;
}

static void expect_removed(struct session *session, const char *printed)
{
    assert_int_equal(session_remove(session, "/v1/nodes/n1", "n1", "node n1 removed"),
                     SESSION_DONE);
    assert_string_equal(text_get(&session->out), printed);
    assert_string_equal(session->error.message, "");
    assert_true(session->changed);
}

static void test_removed_although_the_version_is_not_known(void **state)
{
    expect_removed(&((struct fixture *)*state)->session, "node n1 removed\n");
}

static void test_removed_as_json_although_the_version_is_not_known(void **state)
{
    struct fixture *fixture = *state;
    fixture->session.json = true;
    expect_removed(&fixture->session, "{\n  \"removed\": \"n1\"\n}\n");
}

static void test_a_question_changes_nothing(void **state)
{
    struct session *session = &((struct fixture *)*state)->session;
    assert_int_equal(session_request(session, "GET", "/v1/status", NULL, NULL), SESSION_DONE);
    assert_false(session->changed);
    assert_int_equal(session_request(session, "DELETE", "/v1/faults", NULL, NULL),
                     SESSION_UNREACHABLE);
    assert_false(session->changed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(removed_although_the_version_is_not_known),
        TEST(removed_as_json_although_the_version_is_not_known),
        TEST(a_question_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
