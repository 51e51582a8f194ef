/* What severctl prints for answers as proxy/doc/API.md shows them. */
#include "tests/lib/test.h"

#include <string.h>

#include "ctl/format.h"
#include "ctl/table.h"

typedef void (*table_format)(struct text *text, json_t *answer, bool colour);

static json_t *parse(const char *source)
{
    json_error_t why;
    json_t *json = json_loads(source, 0, &why);
    if (!json)
        fail_msg("%s: %s", why.text, source);
    return json;
}

static void check_table(table_format format, const char *source, const char *expected)
{
    struct text text = {0};
    json_t *answer = parse(source);
    format(&text, answer, false);
    assert_string_equal(text_get(&text), expected);
    json_decref(answer);
    text_free(&text);
}

static void check_value(void (*format)(struct text *text, json_t *value), const char *source,
                        const char *expected)
{
    struct text text = {0};
    json_t *value = parse(source);
    format(&text, value);
    assert_string_equal(text_get(&text), expected);
    json_decref(value);
    text_free(&text);
}

static const char *size_of(uint64_t bytes)
{
    static struct text text;
    text_clear(&text);
    format_size(&text, bytes);
    return text_get(&text);
}

static const char *uptime_of(uint64_t seconds)
{
    static struct text text;
    text_clear(&text);
    format_uptime(&text, seconds * 1000000000);
    return text_get(&text);
}

static void test_sizes_and_uptimes(void **state)
{
    (void)state;
    assert_string_equal(size_of(0), "0");
    assert_string_equal(size_of(1023), "1023");
    assert_string_equal(size_of(1024), "1KiB");
    assert_string_equal(size_of(1536), "1.5KiB");
    assert_string_equal(size_of(65536), "64KiB");
    assert_string_equal(size_of(10 * 1048576 + 1), "10MiB");
    assert_string_equal(size_of(UINT64_MAX), "16777215.9TiB");
    assert_string_equal(uptime_of(0), "0s");
    assert_string_equal(uptime_of(59), "59s");
    assert_string_equal(uptime_of(245), "4m05s");
    assert_string_equal(uptime_of(7380), "2h03m");
    assert_string_equal(uptime_of(86400 + 7200), "1d02h");
}

static void test_fault_parameters(void **state)
{
    (void)state;
    check_value(format_fault_parameters,
                "{\"type\":\"latency\",\"delay_ns\":80000000,\"jitter_ns\":20000000,"
                "\"distribution\":\"normal\"}",
                "80ms±20ms normal");
    check_value(format_fault_parameters,
                "{\"type\":\"latency\",\"delay_ns\":80000000,\"jitter_ns\":0,"
                "\"distribution\":\"uniform\"}",
                "80ms");
    check_value(format_fault_parameters, "{\"type\":\"loss\",\"probability\":0.05}", "5%");
    check_value(format_fault_parameters, "{\"type\":\"loss\",\"probability\":1}", "100%");
    check_value(format_fault_parameters, "{\"type\":\"loss\",\"probability\":0.000000001}",
                "0.0000001%");
    check_value(format_fault_parameters,
                "{\"type\":\"rate\",\"bytes_per_s\":1250000,\"burst_bytes\":65536,"
                "\"queue_bytes\":1048576}",
                "10mbit burst 64KiB queue 1MiB");
    check_value(format_fault_parameters,
                "{\"type\":\"rate\",\"bytes_per_s\":1250000,\"queue_packets\":100}",
                "10mbit queue 100packets");
    check_value(format_fault_parameters, "{\"type\":\"rate\",\"bytes_per_s\":0,\"shared\":true}",
                "0 shared");
    check_value(format_fault_parameters,
                "{\"type\":\"latency\",\"delay_ns\":1000,\"jitter_ns\":5,\"distribution\":"
                "\"table\",\"table\":\"lte\",\"correlation\":0.25,\"reorder\":true}",
                "1us±5ns table lte correlation 25% reorder");
    check_value(format_fault_parameters,
                "{\"type\":\"loss\",\"model\":\"random\",\"probability\":0,\"correlation\":0}",
                "0%");
    check_value(format_fault_parameters,
                "{\"type\":\"loss\",\"model\":\"gilbert-elliott\",\"to_bad\":0.01,\"to_good\":0.2,"
                "\"lost_in_bad\":1,\"lost_in_good\":0}",
                "gilbert-elliott to_bad 1% to_good 20% lost_in_bad 100%");
    check_value(format_fault_parameters, "{\"type\":\"loss\",\"model\":\"every\",\"every\":10}",
                "every 10");
    check_value(format_fault_parameters,
                "{\"type\":\"slicer\",\"average_bytes\":1500,\"variation_bytes\":0,\"delay_ns\":0,"
                "\"first_connections\":3,\"after_ns\":5000000000,\"match\":\"udp\"}",
                "1500B first 3 after 5s match udp");
    check_value(format_fault_parameters, "{\"type\":\"reset_peer\",\"timeout_ns\":0}", "");
    check_value(format_fault_parameters, "{\"type\":\"noop\",\"toxicity\":0.0}", "toxicity 0%");
    check_value(format_fault_parameters, "{\"type\":\"to come\"}", "");
}

static void test_fault_places(void **state)
{
    (void)state;
    check_value(format_fault_place, "{\"link\":\"n1<->n2\"}", "n1<->n2");
    check_value(format_fault_place, "{\"route\":\"r\",\"direction\":\"both\"}", "route r");
    check_value(format_fault_place, "{\"route\":\"r\",\"direction\":\"upstream\"}",
                "route r upstream");
}

static void check_links(const char *source, size_t limit, const char *expected)
{
    struct text text = {0};
    json_t *links = parse(source);
    format_links_short(&text, links, limit);
    assert_string_equal(text_get(&text), expected);
    json_decref(links);
    text_free(&text);
}

static void test_pairs_of_links_are_joined(void **state)
{
    (void)state;
    check_links("[\"n1->n2\",\"n2->n1\"]", 6, "n1<->n2");
    check_links("[\"n1->n2\",\"n2->n3\",\"n3->n2\"]", 6, "n1->n2 n2<->n3");
    check_links("[\"n1->n11\",\"n1->n1\"]", 6, "n1->n11 n1->n1");
    check_links("[\"n1->n2\",\"n1->n3\",\"n2->n1\",\"n1->n4\",\"n1->n5\"]", 2,
                "n1<->n2 n1->n3 and 2 more");
    check_links("[]", 6, "");
    check_links("[\"odd\", 5]", 6, "odd");
}

static void test_clock_shifts(void **state)
{
    (void)state;
    check_value(format_clock_shift, "{\"offset_ns\":0,\"drift_ppb\":0}", "true time");
    check_value(format_clock_shift, "{\"offset_ns\":2000000,\"drift_ppb\":0}", "+2ms");
    check_value(format_clock_shift, "{\"offset_ns\":-1000000000,\"drift_ppb\":50000}",
                "-1s drift 50ppm");
    check_value(format_clock_shift, "{\"offset_ns\":0,\"drift_ppb\":-20000}", "drift -20ppm");
}

static void test_events(void **state)
{
    (void)state;
    check_value(format_event, "{\"version\":3}", "ruleset 3");
    check_value(format_event,
                "{\"version\":12,\"by\":\"severctl\",\"changes\":[\"partition split set\","
                "\"clock n1 +2ms\"]}",
                "ruleset 12 by severctl: partition split set; clock n1 +2ms");
}

static void test_empty_lists_are_sentences(void **state)
{
    (void)state;
    check_table(format_nodes, "{\"nodes\":[]}", "no nodes: add one with severctl nodes add NAME\n");
    check_table(format_links, "{\"links\":[]}",
                "no links: a link joins two nodes (severctl nodes)\n");
    check_table(format_routes, "{}",
                "no routes: add one with severctl routes add NAME LISTEN UPSTREAM\n");
    check_table(format_partitions, "{\"partitions\":[]}", "no partitions: every link is open\n");
    check_table(format_faults, "{\"faults\":[]}", "no faults\n");
    check_table(format_tables, "{\"tables\":[]}",
                "no tables: add one with severctl tables add NAME FILE\n");
    check_table(format_clocks, "{\"clocks\":[]}",
                "no clocks: each node has one (severctl nodes)\n");
}

static void test_nodes_and_routes(void **state)
{
    (void)state;
    check_table(format_nodes,
                "{\"nodes\":[{\"name\":\"n1\",\"kind\":\"member\",\"addresses\":"
                "[\"127.0.1.1\",\"::1\"]},{\"name\":\"laptop\",\"kind\":\"client\","
                "\"addresses\":[]}]}",
                "NODE    KIND    ADDRESSES\n"
                "n1      member  127.0.1.1,::1\n"
                "laptop  client\n");
    check_table(format_routes,
                "{\"routes\":[{\"name\":\"n2\",\"protocol\":\"tcp\",\"listen\":\"127.0.0.1:0\","
                "\"upstream\":\"127.0.1.2:7001\",\"from\":null,\"to\":\"n2\",\"enabled\":true,"
                "\"listening\":\"127.0.0.1:40001\"},{\"name\":\"u\",\"protocol\":\"udp\","
                "\"listen\":\"127.0.0.1:53\",\"upstream\":\"127.0.1.2:53\",\"from\":\"n1\","
                "\"to\":null,\"enabled\":true,\"listening\":null,\"error\":\"address in use\"},"
                "{\"name\":\"off\",\"protocol\":\"tcp\",\"listen\":\"[::1]:1\","
                "\"upstream\":\"unix:/s\",\"from\":null,\"to\":null,\"enabled\":false}]}",
                "ROUTE  PROTOCOL  LISTEN           UPSTREAM        FROM        TO  STATE\n"
                "n2     tcp       127.0.0.1:40001  127.0.1.2:7001  by address  n2  listening\n"
                "u      udp       127.0.0.1:53     127.0.1.2:53    n1          -   address in use\n"
                "off    tcp       [::1]:1          unix:/s         by address  -   disabled\n");
}

static const char links_now[] =
    "{\"links\":[{\"link\":\"n1->n2\",\"open\":false,\"partitions\":[\"cut-1\",\"split-1\"],"
    "\"faults\":[],\"units\":12,\"bytes\":3456,\"dropped\":{\"cut\":3,\"loss\":1,\"queue\":2},"
    "\"held_bytes\":120,\"held_connections\":2,\"connections\":4,\"refused\":1},"
    "{\"link\":\"n2->n1\",\"open\":true,\"partitions\":[],\"faults\":[\"latency-1\"],"
    "\"units\":0,\"bytes\":0,\"dropped\":{\"cut\":0,\"loss\":0,\"queue\":0},\"held_bytes\":0,"
    "\"connections\":0,\"refused\":0}]}";

static void test_links(void **state)
{
    (void)state;
    check_table(
        format_links, links_now,
        "LINK    STATE  PARTITIONS     FAULTS     CONNS  UNITS   BYTES  DROPPED  HELD  REFUSED\n"
        "n1->n2  cut    cut-1,split-1                 4     12  3.3KiB        6   120        1\n"
        "n2->n1  open                  latency-1      0      0       0        0     0        0\n");
}

static void test_partitions_faults_and_clocks(void **state)
{
    (void)state;
    check_table(format_partitions,
                "{\"partitions\":[{\"name\":\"split-1\",\"links\":[\"n1->n3\",\"n3->n1\"],"
                "\"set_by\":\"severctl\",\"set_at_ns\":1760000000000000000}]}",
                "PARTITION  SET BY    SET AT                LINKS CUT\n"
                "split-1    severctl  2025-10-09T08:53:20Z  n1<->n3\n");
    check_table(format_faults,
                "{\"faults\":[{\"name\":\"loss-1\",\"type\":\"loss\",\"link\":\"n1<->n2\","
                "\"probability\":0.05,\"set_by\":\"api\",\"set_at_ns\":0,\"touched\":7,"
                "\"applied\":\"udp routes only\"}]}",
                "FAULT   TYPE  WHERE    PARAMETERS  TOUCHED  SET BY  SET AT  APPLIES TO\n"
                "loss-1  loss  n1<->n2  5%                7  api             udp routes only\n");
    check_table(format_clocks,
                "{\"clocks\":[{\"node\":\"n1\",\"offset_ns\":2000000,\"drift_ppb\":0,"
                "\"page\":\"/run/n1.clock\"},{\"node\":\"n2\",\"offset_ns\":0,\"drift_ppb\":0,"
                "\"page\":\"\"}]}",
                "NODE  CLOCK      PAGE\n"
                "n1    +2ms       /run/n1.clock\n"
                "n2    true time\n");
}

static void test_status(void **state)
{
    (void)state;
    struct text text = {0};
    json_t *status = parse(
        "{\"program\":\"severd\",\"program_version\":\"0.1.0\",\"pid\":1234,"
        "\"uptime_ns\":245000000000,\"ruleset_version\":12,\"workers\":2,\"nodes\":3,\"routes\":3,"
        "\"partitions\":[\"split\"],\"faults\":1,\"cut_links\":4,"
        "\"connections\":{\"open\":6,\"total\":10},\"sessions\":{\"open\":0,\"total\":0},"
        "\"mechanisms\":{\"cut\":{\"tcp\":\"stall: slow\",\"udp\":\"drop\"}},"
        "\"timer_lateness_ns\":{\"count\":100,\"p50\":60000,\"p99\":200000,\"p999\":400000}}");
    format_status(&text, status, "unix:/s");
    assert_string_equal(text_get(&text), "severd 0.1.0 at unix:/s, pid 1234, 2 workers, up 4m05s\n"
                                         "ruleset      12: 3 nodes, 3 routes, 1 fault\n"
                                         "partitions   split: 4 links cut\n"
                                         "a cut is     TCP routes: stall: slow; UDP routes: drop\n"
                                         "connections  6 open of 10; UDP sessions 0 open of 0\n"
                                         "timers late  p50 60us p99 200us p99.9 400us (of 100)\n");
    json_object_set_new(status, "partitions", json_array());
    text_clear(&text);
    format_status(&text, status, "x");
    assert_non_null(strstr(text_get(&text), "partitions   none: every link is open\n"));
    json_decref(status);
    text_free(&text);
}

static void test_doctor(void **state)
{
    (void)state;
    check_table(format_doctor,
                "{\"checks\":[{\"name\":\"open files\",\"ok\":false,\"needed\":true,"
                "\"found\":\"64: 0 connections\",\"means\":\"severd refuses\","
                "\"advice\":\"ulimit -n 20000\"},"
                "{\"name\":\"tun\",\"ok\":true,\"needed\":false,\"found\":\"there\","
                "\"means\":\"labs\",\"advice\":\"\"},"
                "{\"name\":\"veth\",\"ok\":false,\"needed\":false,\"found\":\"refused\","
                "\"means\":\"no labs\",\"advice\":\"load veth\"}]}",
                "CHECK       STATE    FOUND              WHAT FOLLOWS\n"
                "open files  MISSING  64: 0 connections  severd refuses\n"
                "tun         ok       there              labs\n"
                "veth        no       refused            no labs\n"
                "\n"
                "What to do:\n"
                "  open files: ulimit -n 20000\n"
                "  veth: load veth\n");
    check_table(format_doctor,
                "{\"checks\":[{\"name\":\"tun\",\"ok\":true,\"found\":\"there\","
                "\"means\":\"labs\"}]}",
                "CHECK  STATE  FOUND  WHAT FOLLOWS\n"
                "tun    ok     there  labs\n");
}

static void test_tables_align_characters_and_colour(void **state)
{
    (void)state;
    struct text text = {0};
    struct table table;
    table_begin(&table, (const char *const[]){"A", ">N", "END", NULL});
    table_add(&table, TABLE_RED, "±±");
    table_add(&table, TABLE_PLAIN, "%d", 7);
    table_add(&table, TABLE_PLAIN, "x");
    table_add(&table, TABLE_PLAIN, "abc");
    table_add(&table, TABLE_GREEN, "%d", 1000);
    table_add(&table, TABLE_PLAIN, " ");
    table_end(&table, true, &text);
    assert_string_equal(text_get(&text), "A       N  END\n"
                                         "\033[31m±±\033[0m      7  x\n"
                                         "abc  \033[32m1000\033[0m\n");
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_uptimes),
        cmocka_unit_test(test_fault_parameters),
        cmocka_unit_test(test_fault_places),
        cmocka_unit_test(test_pairs_of_links_are_joined),
        cmocka_unit_test(test_clock_shifts),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_empty_lists_are_sentences),
        cmocka_unit_test(test_nodes_and_routes),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_partitions_faults_and_clocks),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_doctor),
        cmocka_unit_test(test_tables_align_characters_and_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
