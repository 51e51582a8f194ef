/* Every row of the table in proxy/doc/API.md, through the client. */
#include "tests/unit/proxy/api/fixture.h"

static void status_and_ruleset(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
    assert_has("\"program\":\"severd\"");
    assert_has("\"ruleset_version\":1");
    assert_has("\"nodes\":4");
    assert_has("\"mechanisms\":{\"cut\":{\"tcp\":\"stall\",\"udp\":\"drop\"},\"loss\":{\"tcp\":"
               "false,\"udp\":true},\"clock\":{\"library\":"
               "\"/usr/lib/x.so\",\"directory\":\"\"}}");
    assert_has("\"timer_lateness_ns\":{\"count\":100,\"p50\":0,\"p99\":200000,\"p999\":0}");
    assert_int_equal(ask("GET", "/v1/ruleset", NULL), 0);
    assert_has("{\"version\":1,\"seed\":42,\"nodes\":[{\"name\":\"n1\",\"kind\":\"member\","
               "\"addresses\":[\"127.0.1.1\"]}");
}

static void the_whole_ruleset(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/partitions", "{\"name\":\"p\",\"links\":[\"n1->n2\"]}"), 0);
    /* Unchanged things keep who set them; new ones get the asker; the seed stays when absent. */
    assert_int_equal(ask("PUT", "/v1/ruleset",
                         "{\"version\":2,\"nodes\":[{\"name\":\"n1\"},{\"name\":\"n2\"}],"
                         "\"partitions\":[{\"name\":\"p\",\"links\":[\"n1->n2\"],\"set_by\":"
                         "\"somebody\",\"set_at_ns\":5},{\"name\":\"q\",\"links\":[\"n2->n1\"]}]}"),
                     0);
    assert_has("{\"version\":3,\"seed\":42,");
    assert_has(
        "{\"name\":\"p\",\"links\":[\"n1->n2\"],\"set_by\":\"test\",\"set_at_ns\":1760000000}");
    assert_has(
        "{\"name\":\"q\",\"links\":[\"n2->n1\"],\"set_by\":\"test\",\"set_at_ns\":1760000000}");
    assert_int_equal(ask("PUT", "/v1/ruleset", "{\"version\":2}"), -ESTALE);
    assert_has("version: the ruleset has moved on to version 3");
    assert_int_equal(ask("PUT", "/v1/ruleset", "{\"nodes\":[{\"name\":\"a\"},{\"name\":\"a\"}]}"),
                     -EINVAL);
    assert_has("nodes[1].name");
    assert_int_equal(ask("PUT", "/v1/ruleset",
                         "{\"faults\":[{\"name\":\"f\",\"type\":\"rate\","
                         "\"link\":\"n1->n2\",\"bytes_per_s\":1,"
                         "\"probability\":1}]}"),
                     -EINVAL);
    assert_has("faults[0].probability");
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
    assert_has("\"ruleset_version\":3");
    assert_has("\"cut_links\":2");
}

static void the_doctor_tells_its_checks(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/v1/doctor", NULL), 0);
    assert_has("{\"checks\":[{\"name\":\"open files\",\"ok\":true,\"needed\":true,"
               "\"found\":\"20000\",\"means\":\"fine\",\"advice\":\"\"},"
               "{\"name\":\"veth\",\"ok\":false,\"needed\":false,\"found\":");
    assert_has("\"means\":\"no labs\",\"advice\":\"load veth\"}]}");
    assert_int_equal(ask("GET", "/v1/doctor?x=1", NULL), -EINVAL);
}

static void what_was_read_can_be_written_back(void **state)
{
    (void)state;
    json_t *answer = NULL, *again = NULL;
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"type\":\"loss\",\"link\":\"n1<->n2\","
                         "\"probability\":0.05}"),
                     0);
    assert_int_equal(ask("POST", "/v1/routes",
                         "{\"name\":\"r\",\"listen\":\"127.0.0.1:0\","
                         "\"upstream\":\"127.0.0.1:1\",\"to\":\"n1\"}"),
                     0);
    assert_int_equal(ask("PUT", "/v1/clocks/n1", "{\"offset_ns\":-5}"), 0);
    assert_int_equal(
        wire_client_request(fixture->client, "GET", "/v1/ruleset", NULL, &answer, NULL), 0);
    assert_int_equal(
        wire_client_request(fixture->client, "PUT", "/v1/ruleset", answer, &again, NULL), 0);
    json_object_del(answer, "version");
    json_object_del(again, "version");
    assert_true(json_equal(answer, again));
    json_decref(answer);
    json_decref(again);
    /* Each thing as its own path reports it, too. */
    assert_int_equal(
        wire_client_request(fixture->client, "GET", "/v1/faults/loss-1", NULL, &answer, NULL), 0);
    assert_int_equal(
        wire_client_request(fixture->client, "PATCH", "/v1/faults/loss-1", answer, NULL, NULL), 0);
    json_decref(answer);
}

static void nodes(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/v1/nodes", NULL), 0);
    assert_has("{\"nodes\":[{\"name\":\"n1\"");
    assert_int_equal(ask("POST", "/v1/nodes", "{\"name\":\"n6\",\"addresses\":[\"127.0.1.6\"]}"),
                     0);
    assert_string_equal(text_get(&text),
                        "{\"name\":\"n6\",\"kind\":\"member\",\"addresses\":[\"127.0.1.6\"]}");
    assert_int_equal(ask("POST", "/v1/nodes", "{\"name\":\"n6\"}"), -EEXIST);
    assert_has("name: ");
    assert_int_equal(ask("POST", "/v1/nodes", "{\"name\":\"a b\"}"), -EINVAL);
    assert_int_equal(ask("GET", "/v1/nodes/n6", NULL), 0);
    assert_int_equal(ask("GET", "/v1/nodes/n7", NULL), -ENOENT);
    assert_has("there is no node 'n7' (nodes: n1, n2, n3, c1, n6)");
    assert_int_equal(ask("POST", "/v1/partitions", "{\"isolate\":\"n6\"}"), 0);
    assert_int_equal(ask("DELETE", "/v1/nodes/n6", NULL), -EINVAL);
    assert_has("partitions[0].links[0]");
    assert_has("partition 'isolate-1' names node 'n6': remove that first");
    assert_int_equal(ask("DELETE", "/v1/partitions/isolate-1", NULL), 0);
    static const struct {
        const char *path, *body, *removed, *wanted;
    } uses[] = {
        {"/v1/routes",
         "{\"name\":\"db\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"from\":"
         "\"n6\"}",
         "/v1/routes/db", "routes[0].from: route 'db' names node 'n6': remove that first"},
        {"/v1/routes",
         "{\"name\":\"db\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"to\":\"n6\"}",
         "/v1/routes/db", "routes[0].to: route 'db' names node 'n6': remove that first"},
        {"/v1/faults", "{\"type\":\"loss\",\"link\":\"n1->n6\",\"probability\":1}",
         "/v1/faults/loss-1", "faults[0].link: fault 'loss-1' names node 'n6': remove that first"},
    };
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        assert_int_equal(ask("POST", uses[i].path, uses[i].body), 0);
        assert_int_equal(ask("DELETE", "/v1/nodes/n6", NULL), -EINVAL);
        assert_has(uses[i].wanted);
        assert_int_equal(ask("DELETE", uses[i].removed, NULL), 0);
    }
    assert_int_equal(ask("PUT", "/v1/clocks/n6", "{\"offset_ns\":5}"), 0);
    assert_int_equal(ask("DELETE", "/v1/nodes/n6", NULL), -EINVAL);
    assert_has("clocks[0].node: clock 'n6' names node 'n6': remove that first");
    assert_int_equal(ask("DELETE", "/v1/clocks/n6", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/nodes/n6", NULL), 0);
    assert_string_equal(text_get(&text), "");
    assert_int_equal(ask("DELETE", "/v1/nodes/n6", NULL), -ENOENT);
}

static void links(void **state)
{
    (void)state;
    char path[WIRE_PATH_MAX] = "/v1/links";
    ask("POST", "/v1/partitions", "{\"name\":\"a\",\"links\":[\"n1->n2\"]}");
    ask("POST", "/v1/partitions", "{\"name\":\"b\",\"links\":[\"n1<->n2\"]}");
    ask("POST", "/v1/faults",
        "{\"name\":\"f\",\"type\":\"latency\",\"link\":\"*<->n2\",\"delay_ns\":1}");
    assert_int_equal(ask("GET", path, NULL), 0);
    assert_has(
        "{\"link\":\"n1->n2\",\"open\":false,\"partitions\":[\"a\",\"b\"],\"faults\":[\"f\"],"
        "\"units\":2,\"bytes\":2,\"dropped\":{\"cut\":7,\"loss\":0,\"queue\":0,"
        "\"reject\":8,\"discard\":0},"
        "\"held_bytes\":0,\"held_connections\":0,\"connections\":0,\"refused\":0}");
    assert_has("{\"link\":\"n2->n1\",\"open\":false,\"partitions\":[\"b\"],\"faults\":[\"f\"],");
    assert_has("{\"link\":\"n1->n3\",\"open\":true,\"partitions\":[],\"faults\":[],");
    wire_path_append_query(path, sizeof(path), "node", "c1");
    json_t *answer = NULL;
    assert_int_equal(wire_client_request(fixture->client, "GET", path, NULL, &answer, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(answer, "links")), 6);
    json_decref(answer);
    assert_int_equal(ask("GET", "/v1/links?node=n9", NULL), -ENOENT);
    assert_has("(nodes: n1, n2, n3, c1)");
    assert_int_equal(ask("GET", "/v1/links?nod=n1", NULL), -EINVAL);
    assert_has("'nod' is not known here");
    assert_int_equal(ask("GET", "/v1/links?node=n1&node=n2", NULL), -EINVAL);
    assert_int_equal(ask("GET", "/v1/links?node=%4", NULL), -EINVAL);
    assert_int_equal(ask("GET", "/v1/status", NULL), 0);
    assert_has("\"cut_links\":2");
}

static void routes(void **state)
{
    (void)state;
    const char *name = "n2 \xe2\x86\x92 50%/x?";
    char path[WIRE_PATH_MAX] = "/v1/routes";
    wire_path_append(path, sizeof(path), name);
    assert_int_equal(ask("POST", "/v1/routes",
                         "{\"name\":\"n2 \xe2\x86\x92 50%/x?\",\"listen\":\"127.0.0.1:0\","
                         "\"upstream\":\"127.0.0.1:1\",\"to\":\"n2\",\"from\":null}"),
                     0);
    assert_has("\"protocol\":\"tcp\"");
    assert_has("\"from\":null,\"to\":\"n2\",\"enabled\":true,\"spread\":false,"
               "\"close_unreached\":false,"
               "\"listening\":\"127.0.0.1:4242\",\"refusing\":false}");
    assert_int_equal(ask("GET", path, NULL), 0);
    assert_int_equal(ask("PATCH", path, "{\"enabled\":false}"), 0);
    assert_has("\"enabled\":false,\"spread\":false,\"close_unreached\":false,"
               "\"listening\":null,\"refusing\":false}");
    assert_int_equal(ask("PATCH", path, "{\"upstream\":\"127.0.0.1:2\",\"enabled\":true}"), 0);
    assert_has("\"upstream\":\"127.0.0.1:2\"");
    assert_int_equal(ask("PATCH", path, "{\"listen\":\"127.0.0.1:2\"}"), -EINVAL);
    assert_has("listen: only upstream and enabled can change");
    assert_int_equal(ask("PATCH", path, "{\"sisten\":1}"), -EINVAL);
    assert_has("sisten: 'sisten' is not known here");
    json_t *reported = NULL; /* what was read can be written back */
    assert_int_equal(wire_client_request(fixture->client, "GET", path, NULL, &reported, NULL), 0);
    assert_int_equal(wire_client_request(fixture->client, "PATCH", path, reported, NULL, NULL), 0);
    json_decref(reported);
    assert_int_equal(ask("PATCH", path, "{\"upstream\":\"\"}"), -EINVAL);
    assert_has("upstream: ");
    assert_int_equal(ask("GET", "/v1/routes", NULL), 0);
    assert_has("{\"routes\":[{\"name\":");
    ask("POST", "/v1/faults",
        "{\"type\":\"rate\",\"route\":\"n2 \xe2\x86\x92 50%/x?\",\"bytes_per_s\":1}");
    assert_int_equal(ask("DELETE", path, NULL), -EINVAL);
    assert_has(
        "faults[0].route: fault 'rate-1' is on route 'n2 \xe2\x86\x92 50%/x?': remove that first");
    assert_int_equal(ask("DELETE", "/v1/faults/rate-1", NULL), 0);
    assert_int_equal(ask("DELETE", path, NULL), 0);
    assert_int_equal(ask("GET", path, NULL), -ENOENT);
    assert_int_equal(ask("PATCH", path, "{}"), -ENOENT);
    assert_int_equal(ask("DELETE", path, NULL), -ENOENT);
}

static void a_route_that_cannot_be_bound_is_refused(void **state)
{
    (void)state;
    static const struct {
        int code, seen;
    } cases[] = {{-EADDRINUSE, -EINVAL}, {-EACCES, -EINVAL}, {-ENOMEM, -EIO}, {-EEXIST, -EEXIST}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        atomic_store(&fixture->fail_code, cases[i].code);
        assert_int_equal(ask("POST", "/v1/routes",
                             "{\"name\":\"r\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:"
                             "1\"}"),
                         cases[i].seen);
        assert_string_equal(text_get(&text), "the backend was told to fail");
    }
    assert_int_equal(ask("GET", "/v1/routes", NULL), 0);
    assert_string_equal(text_get(&text), "{\"routes\":[]}");
}

/* ENOENT of a directory is not that of the path that was asked for. */
static void a_file_that_is_not_there_is_no_404(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *place;
        int seen;
        const char *told;
    } cases[] = {
        {-ENOENT, "routes[0].listen", -EINVAL, "listen: the backend was told to fail"},
        {-EPERM, "routes[0].listen", -EINVAL, "listen: the backend was told to fail"},
        {-EROFS, "routes[0].listen", -EINVAL, "listen: the backend was told to fail"},
        {-EMFILE, "routes[0].listen", -EIO, "listen: the backend was told to fail"},
        {-E2BIG, "routes[0]", -EINVAL, "the backend was told to fail"},
        {-E2BIG, "routes[0]x", -EINVAL, "routes[0]x: the backend was told to fail"},
        {-ENOENT, "/run/n9.clock", -EIO, "/run/n9.clock: the backend was told to fail"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture->fail_place = cases[i].place;
        atomic_store(&fixture->fail_code, cases[i].code);
        assert_int_equal(ask("POST", "/v1/routes",
                             "{\"name\":\"r\",\"listen\":\"unix:/x/y\",\"upstream\":\"h:1\"}"),
                         cases[i].seen);
        assert_string_equal(text_get(&text), cases[i].told);
    }
}

static void faults(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"type\":\"latency\",\"link\":\"n1->n2\","
                         "\"delay_ns\":80000000}"),
                     0);
    assert_string_equal(text_get(&text),
                        "{\"name\":\"latency-1\",\"type\":\"latency\",\"link\":\"n1->n2\","
                        "\"delay_ns\":80000000,\"jitter_ns\":0,\"distribution\":\"uniform\","
                        "\"correlation\":0.0,\"reorder\":false,"
                        "\"set_by\":\"test\",\"set_at_ns\":1760000000,\"touched\":9,"
                        "\"applied\":\"all routes\"}");
    ask("POST", "/v1/faults", "{\"type\":\"latency\",\"link\":\"n2->n1\",\"delay_ns\":1}");
    assert_has("\"name\":\"latency-2\"");
    assert_int_equal(ask("DELETE", "/v1/faults/latency-1", NULL), 0);
    ask("POST", "/v1/faults", "{\"type\":\"latency\",\"link\":\"n1<->n3\",\"delay_ns\":1}");
    assert_has("\"name\":\"latency-1\""); /* the lowest that is free */
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"name\":\"latency-1\",\"type\":\"loss\","
                         "\"link\":\"n1->n2\",\"probability\":1}"),
                     -EEXIST);
    assert_int_equal(ask("POST", "/v1/faults",
                         "{\"type\":\"latency\",\"link\":\"n1->n2\","
                         "\"delay_ns\":3600000000001}"),
                     -EINVAL);
    assert_has("delay_ns: a delay is at most one hour");
    assert_int_equal(ask("PATCH", "/v1/faults/latency-1", "{\"delay_ns\":7}"), 0);
    assert_has("\"delay_ns\":7,");
    assert_int_equal(ask("PATCH", "/v1/faults/latency-1", "{\"type\":\"loss\"}"), -EINVAL);
    assert_int_equal(ask("PATCH", "/v1/faults/latency-9", "{}"), -ENOENT);
    assert_int_equal(ask("GET", "/v1/faults/latency-9", NULL), -ENOENT);
    assert_int_equal(ask("DELETE", "/v1/faults/latency-9", NULL), -ENOENT);
    assert_int_equal(ask("GET", "/v1/faults", NULL), 0);
    assert_has("{\"faults\":[{\"name\":\"latency-2\"");
}

static void faults_are_removed_by_link(void **state)
{
    (void)state;
    static const char *const on[] = {"n1->n2", "n2->n1", "n1<->n2", "n1->n3", "*->n2"};
    static const struct {
        const char *link;
        const char *left[6];
    } cases[] = {
        {"n1->n2", {"n2->n1", "n1<->n2", "n1->n3", "*->n2"}},
        {"n1<->n2", {"n1->n3", "*->n2"}},
        {"*->n2", {"n2->n1", "n1<->n2", "n1->n3"}},
        {"n1->*", {"n2->n1", "n1<->n2", "*->n2"}},
        {"n3->n1", {"n1->n2", "n2->n1", "n1<->n2", "n1->n3", "*->n2"}},
        {NULL, {NULL}},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        char path[WIRE_PATH_MAX] = "/v1/faults", body[256];
        for (size_t i = 0; i < 5; i++) {
            snprintf(body, sizeof(body),
                     "{\"name\":\"f%zu\",\"type\":\"loss\",\"link\":\"%s\",\"probability\":0.5}", i,
                     on[i]);
            assert_int_equal(ask("POST", "/v1/faults", body), 0);
        }
        if (cases[c].link)
            wire_path_append_query(path, sizeof(path), "link", cases[c].link);
        assert_int_equal(ask("DELETE", path, NULL), 0);
        json_t *answer = NULL;
        wire_client_request(fixture->client, "GET", "/v1/faults", NULL, &answer, NULL);
        json_t *left = json_object_get(answer, "faults");
        size_t count = 0;
        for (; cases[c].left[count]; count++)
            assert_string_equal(
                json_string_value(json_object_get(json_array_get(left, count), "link")),
                cases[c].left[count]);
        assert_int_equal(json_array_size(left), count);
        json_decref(answer);
        assert_int_equal(ask("DELETE", "/v1/faults", NULL), 0);
    }
    assert_int_equal(ask("DELETE", "/v1/faults?link=n1", NULL), -EINVAL);
    assert_has("link: write a link as n1->n2");
}

static void partitions(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/partitions", "{\"groups\":[[\"n1\",\"n2\"],[\"n3\"]]}"), 0);
    assert_string_equal(text_get(&text),
                        "{\"name\":\"split-1\",\"links\":[\"n1->n3\",\"n2->n3\",\"n3->n1\","
                        "\"n3->n2\"],\"set_by\":\"test\",\"set_at_ns\":1760000000,"
                        "\"mechanism\":{\"tcp\":\"stall\",\"udp\":\"drop\"}}");
    assert_int_equal(ask("POST", "/v1/partitions", "{\"isolate\":\"c1\"}"), 0);
    assert_has("\"name\":\"isolate-1\"");
    assert_int_equal(ask("POST", "/v1/partitions", "{\"links\":[\"n1->n2\"]}"), 0);
    assert_has("\"name\":\"cut-1\"");
    assert_int_equal(ask("POST", "/v1/partitions", "{\"name\":\"cut-1\",\"isolate\":\"n1\"}"),
                     -EEXIST);
    assert_int_equal(ask("POST", "/v1/partitions", "{\"links\":[\"n1->n9\"]}"), -EINVAL);
    assert_has("links[0]: ");
    assert_int_equal(ask("POST", "/v1/partitions", "{\"groups\":[[\"n1\"],[\"n1\"]]}"), -EINVAL);
    assert_has("groups[1][0]: ");
    assert_int_equal(ask("GET", "/v1/partitions/cut-1", NULL), 0);
    assert_int_equal(ask("GET", "/v1/partitions", NULL), 0);
    assert_has("{\"partitions\":[{\"name\":\"split-1\"");
    assert_int_equal(ask("DELETE", "/v1/partitions/split-1", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/partitions/split-1", NULL), -ENOENT);
    assert_int_equal(ask("GET", "/v1/partitions/split-1", NULL), -ENOENT);
    assert_int_equal(ask("DELETE", "/v1/partitions", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/partitions", NULL), 0);
    assert_int_equal(ask("GET", "/v1/partitions", NULL), 0);
    assert_string_equal(text_get(&text), "{\"partitions\":[]}");
}

static void clocks(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/v1/clocks", NULL), 0);
    assert_has("{\"clocks\":[{\"node\":\"n1\",\"offset_ns\":0,\"drift_ppb\":0,\"page\":"
               "\"/run/n1.clock\"}");
    assert_int_equal(ask("PUT", "/v1/clocks/n1", "{\"offset_ns\":2000000,\"drift_ppb\":-50}"), 0);
    assert_string_equal(text_get(&text), "{\"node\":\"n1\",\"offset_ns\":2000000,\"drift_ppb\":-50,"
                                         "\"page\":\"/run/n1.clock\"}");
    assert_int_equal(ask("PUT", "/v1/clocks/n1", "{\"drift_ppb\":2000000000}"), -EINVAL);
    assert_has("drift_ppb: ");
    assert_int_equal(ask("PUT", "/v1/clocks/n1", "{\"node\":\"n2\"}"), -EINVAL);
    assert_int_equal(ask("PUT", "/v1/clocks/n9", "{}"), -ENOENT);
    assert_int_equal(ask("DELETE", "/v1/clocks/n1", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/clocks/n1", NULL), 0);
    assert_int_equal(ask("DELETE", "/v1/clocks/n9", NULL), -ENOENT);
    assert_int_equal(fixture->ruleset.clock_count, 0);
}

static void versions_guard_changes(void **state)
{
    (void)state;
    struct error error = {0};
    json_t *body = json_pack("{s:s}", "isolate", "n1");
    assert_int_equal(wire_client_request_matching(fixture->client, "POST", "/v1/partitions", 7,
                                                  body, NULL, &error),
                     -ESTALE);
    assert_string_equal(error.place, "If-Match");
    assert_int_equal(wire_client_request_matching(fixture->client, "POST", "/v1/partitions", 1,
                                                  body, NULL, &error),
                     0);
    assert_int_equal(wire_client_request_matching(fixture->client, "DELETE", "/v1/partitions", 1,
                                                  NULL, NULL, &error),
                     -ESTALE);
    assert_int_equal(wire_client_request_matching(fixture->client, "DELETE", "/v1/partitions", 2,
                                                  NULL, NULL, &error),
                     0);
    json_decref(body);
}

static void unknown_paths_name_the_closest(void **state)
{
    (void)state;
    static const struct {
        const char *path, *closest;
    } cases[] = {
        {"/v1/partition", "/v1/partitions"},          {"/v1/falts", "/v1/faults"},
        {"/v1/node/n1", "/v1/nodes/{name}"},          {"/v1/status/", "/v1/status"},
        {"/v1/nothing-like-it-at-all", "/v1/status"}, {"/v1/clocks/", "/v1/clocks/{name}"},
        {"/v1/nodes/%zz", "/v1/nodes/{name}"},        {"/v1/nodes/n1/n2/n3/n4", "/v1/nodes/{name}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[128];
        assert_int_equal(ask("GET", cases[i].path, NULL), -ENOENT);
        snprintf(wanted, sizeof(wanted), "the closest is %s", cases[i].closest);
        const char *at = strstr(text_get(&text), wanted);
        if (!at || at[strlen(wanted)] != '\0')
            fail_msg("%s: %s", cases[i].path, text_get(&text));
    }
}

static void unix_sockets_serve_too(void **state)
{
    (void)state;
    char folder[] = "/tmp/sever-api-XXXXXX", listen[64];
    assert_non_null(mkdtemp(folder));
    snprintf(listen, sizeof(listen), "unix:%s/s", folder);
    struct fixture *other = fixture_start(listen);
    struct text answer = {0};
    assert_int_equal(fixture_ask(other, "GET", "/v1/nodes", NULL, &answer), 0);
    assert_int_equal(fixture_ask(other, "POST", "/v1/partitions", "{\"isolate\":\"n2\"}", &answer),
                     0);
    fixture_stop(other);
    text_free(&answer);
    unlink(listen + 5);
    rmdir(folder);
}

static void bad_arguments_of_create(void **state)
{
    (void)state;
    struct api_backend backend = fixture_backend(fixture);
    struct api *api = NULL;
    struct error error = {0};
    int none[1] = {-1};
    assert_int_equal(api_create(&backend, none, 0, &api, &error), -EINVAL);
    assert_int_equal(api_create(&backend, none, 1, &api, &error), -EBADF);
    assert_null(api);
    api_destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(status_and_ruleset),
        TEST(the_whole_ruleset),
        TEST(what_was_read_can_be_written_back),
        TEST(the_doctor_tells_its_checks),
        TEST(nodes),
        TEST(links),
        TEST(routes),
        TEST(a_route_that_cannot_be_bound_is_refused),
        TEST(a_file_that_is_not_there_is_no_404),
        TEST(faults),
        TEST(faults_are_removed_by_link),
        TEST(partitions),
        TEST(clocks),
        TEST(versions_guard_changes),
        TEST(unknown_paths_name_the_closest),
        TEST(unix_sockets_serve_too),
        TEST(bad_arguments_of_create),
    };
    return cmocka_run_group_tests_name("proxy/api", tests, NULL, NULL);
}
