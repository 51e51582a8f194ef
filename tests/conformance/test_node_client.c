/* The public Node client, unchanged, against severd: node/drive.js says what is tried. */
#include "tests/conformance/server.h"

#include <limits.h>

/* Where the client was installed; *skipped says why it was not, "" when it was. */
static void find_client(char *folder, size_t size, char *skipped, size_t skipped_size)
{
    char path[PATH_MAX];
    files_find_built("conformance/node", folder, size);
    snprintf(path, sizeof(path), "%s/skipped", folder);
    FILE *file = fopen(path, "r");
    skipped[0] = '\0';
    if (!file)
        return;
    if (!fgets(skipped, (int)skipped_size, file))
        snprintf(skipped, skipped_size, "unknown reason");
    fclose(file);
}

/* Whoever runs the tests has a registry of his own choice. */
static void the_lock_file_names_no_registry(void **state)
{
    (void)state;
    char folder[PATH_MAX], path[PATH_MAX + 32], skipped[256], line[4096];
    size_t packages = 0;
    find_client(folder, sizeof(folder), skipped, sizeof(skipped));
    snprintf(path, sizeof(path), "%s/package-lock.json", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        assert_null(strstr(line, "\"resolved\""));
        packages += strstr(line, "\"integrity\"") != NULL;
    }
    fclose(file);
    assert_true(packages > 0);
}

static void all_that_the_client_offers(void **state)
{
    (void)state;
    struct server server;
    struct text output = {0};
    char folder[PATH_MAX], script[PATH_MAX + 32], skipped[256];
    find_client(folder, sizeof(folder), skipped, sizeof(skipped));
    if (skipped[0]) {
        printf("skipped, the public client could not be installed: %s\n", skipped);
        skip();
    }
    snprintf(script, sizeof(script), "%s/drive.js", folder);
    server_start(&server, NULL, NULL);
    const char *const argv[] = {"node", script, server.url, NULL};
    int code = child_run(argv, NULL, NULL, &output);
    if (code != 0 || !strstr(text_get(&output), "all held\n"))
        fail_msg("exit %d\n%s", code, text_get(&output));
    text_free(&output);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lock_file_names_no_registry),
        cmocka_unit_test(all_that_the_client_offers),
    };
    return cmocka_run_group_tests_name("node client", tests, NULL, NULL);
}
