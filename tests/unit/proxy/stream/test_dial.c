/* Plans that change while an upstream is looked up or dialled. */
#include "tests/unit/proxy/stream/rig.h"

#include "proxy/io/filter.h"

static void open_named(struct rig *rig, const char *name)
{
    struct rig_options options = {.connections_max = 4, .pool_bytes = 8 << 20, .names = true};
    rig_open_with(rig, &options);
    rig->spec.upstream = (struct address){0};
    rig->spec.upstream_name = name;
    rig->spec.upstream_port = address_port(&rig->upstream_address);
    rig->spec.serial++;
    rig_apply(rig);
}

/* The text of the name belongs to the table of routes, and goes with it. */
static void a_look_up_outlives_its_table(void **state)
{
    (void)state;
    struct rig rig;
    char before[] = "localhost";
    int server;
    open_named(&rig, before);
    int client = rig_connect(&rig);
    rig_await(&rig, stream_plane_total(rig.plane) == 1); /* it is answered in a later turn */
    rig.spec.upstream_name = "localhost";
    rig_apply(&rig);
    memset(before, 'x', sizeof(before) - 1);
    rig_await(&rig, rig_try_accept(&rig, &server));
    close(client);
    close(server);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_up_outlives_its_table),
    };
    return cmocka_run_group_tests_name("proxy/stream dial", tests, NULL, NULL);
}
