/* Rates that are 0, and rates that flows share (test_pipeline has the rest). */
#include "tests/unit/proxy/fault/world.h"

#include "proxy/base/random.h"

static struct ruleset_fault on_route(uint64_t bytes_per_s, uint64_t burst, bool shared)
{
    struct ruleset_fault fault = rate("f", bytes_per_s, burst, 0);
    memset(&fault.link, 0, sizeof(fault.link));
    put(fault.route, "r");
    fault.rate.shared = shared;
    return fault;
}

static void set_rate(struct world *world, uint64_t bytes_per_s, uint64_t now_ns)
{
    world_fault(world, "f")->rate.bytes_per_s = bytes_per_s;
    world->now_ns = now_ns;
    world_publish(world);
}

static void run_all(struct world *world, uint64_t now_ns)
{
    for (size_t i = 0; i < world->flow_count; i++)
        harness_run(world->flows[i].harness, now_ns);
}

static void at_a_rate_of_zero_nothing_passes(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(0, 1000, false)); /* a burst is no way out */
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    for (uint64_t i = 0; i < 4; i++)
        harness_push(harness, 100, SECOND + i * MS);
    harness_push_end(harness, 2 * SECOND);
    assert_true(fault_pipeline_is_needed(&harness->pipeline));
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    harness_run(harness, 3 * SECOND);
    assert_int_equal(harness->record_count, 0);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 401);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 4096);
    ruleset_remove_fault(&world->ruleset, "f");
    world->now_ns = 3 * SECOND;
    world_publish(world);
    for (uint32_t i = 0; i < 5; i++)
        expect_delivered(harness, i, i, 3 * SECOND);
    world_free(world);
}

static void a_rate_that_is_raised_from_zero_sends_what_waits(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(0, 0, false));
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    for (int i = 0; i < 3; i++)
        harness_push(harness, 1000, SECOND);
    harness_push_end(harness, SECOND);
    set_rate(world, 1000000, 5 * SECOND); /* a byte per microsecond, from now on */
    harness_push(harness, 500, 5 * SECOND);
    harness_run(harness, 6 * SECOND);
    for (uint32_t i = 0; i < 3; i++)
        expect_delivered(harness, i, i, 5 * SECOND + (i + 1) * MS);
    expect_delivered(harness, 3, 3, 5 * SECOND + 3 * MS);
    expect_delivered(harness, 4, 4, 5 * SECOND + 3500 * US);
    world_free(world);
}

static void a_rate_that_stops_and_goes_on_loses_no_byte(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(1000000, 0, false));
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t begin_ns = world->now_ns;
    for (int i = 0; i < 4; i++)
        harness_push(harness, 1000, begin_ns);
    set_rate(world, 0, begin_ns + 1500 * US); /* half of the second is gone */
    assert_int_equal(harness->record_count, 1);
    harness_push(harness, 1000, begin_ns + 10 * MS);
    set_rate(world, 0, begin_ns + 20 * MS);
    world_fault(world, "f")->rate.burst_bytes = 1; /* a change, but none of the rate */
    set_rate(world, 0, begin_ns + 25 * MS);
    set_rate(world, 500000, begin_ns + 30 * MS);
    harness_run(harness, begin_ns + SECOND);
    expect_delivered(harness, 1, 1, begin_ns + 31 * MS); /* 500 bytes at half the rate */
    for (uint32_t i = 2; i < 5; i++)
        expect_delivered(harness, i, i, begin_ns + 31 * MS + (i - 1) * 2 * MS);
    world_free(world);
}

/* Tokens that were there when the rate stopped are there when it goes on. */
static void a_stop_keeps_the_bucket(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(1000000, 1000, false));
    world_publish(world);
    struct harness *harness = world_begin(world, FAULT_STREAM, 0, 16);
    uint64_t begin_ns = world->now_ns;
    harness_push(harness, 600, begin_ns);
    expect_delivered(harness, 0, 0, begin_ns);
    set_rate(world, 0, begin_ns);
    harness_push(harness, 300, begin_ns + MS);
    harness_push(harness, 300, begin_ns + MS);
    assert_int_equal(harness->record_count, 1);
    set_rate(world, 1000000, begin_ns + SECOND);
    expect_delivered(harness, 1, 1, begin_ns + SECOND); /* 400 tokens are there */
    harness_run(harness, begin_ns + 2 * SECOND);
    expect_delivered(harness, 2, 2, begin_ns + SECOND + 200 * US);
    world_free(world);
}

static void a_stopped_queue_drops_datagrams_above_its_limit(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct world *world = world_create(1);
        struct ruleset_fault fault = on_route(0, 0, shared);
        fault.rate.queue_bytes = 2500;
        world_add(world, fault);
        world_publish(world);
        struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, 8);
        for (int i = 0; i < 4; i++)
            harness_push(harness, 1000, world->now_ns + (uint64_t)i);
        assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 2000);
        assert_int_equal(harness->record_count, 2);
        assert_int_equal(harness->records[0].cause, FAULT_CAUSE_QUEUE);
        world_free(world);
    }
}

/* Everything that leaves, of all flows, in the order of its time. */
struct departure {
    uint64_t at_ns;
    uint32_t bytes;
};

static int compare_departures(const void *a, const void *b)
{
    const struct departure *x = a, *y = b;
    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

static size_t departures_of(const struct world *world, struct departure *departures, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < world->flow_count; i++)
        for (size_t k = 0; k < world->flows[i].harness->record_count; k++) {
            const struct record *record = &world->flows[i].harness->records[k];
            assert_true(count < room);
            assert_int_equal(record->cause, FAULT_CAUSES);
            departures[count++] =
                (struct departure){.at_ns = record->at_ns, .bytes = record->bytes};
        }
    qsort(departures, count, sizeof(departures[0]), compare_departures);
    return count;
}

/* Many flows that always have something to send: the sum is the rate, to the nanosecond. */
static void a_shared_rate_is_the_sum_of_its_flows(void **state)
{
    (void)state;
    enum { FLOWS = 20, UNITS = 50 };
    static const uint64_t rates[] = {1000000, 7000003, 125000000};
    for (size_t r = 0; r < COUNT_OF(rates); r++) {
        static struct departure departures[FLOWS * UNITS];
        struct random_stream dice = {.key = r};
        struct world *world = world_create(1);
        world_add(world, on_route(rates[r], 0, true));
        world_publish(world);
        uint64_t begin_ns = world->now_ns;
        for (uint64_t f = 0; f < FLOWS; f++)
            world_begin(world, FAULT_STREAM, f, UNITS);
        for (int i = 0; i < FLOWS * UNITS; i++)
            harness_push(world->flows[i % FLOWS].harness,
                         1 + (uint32_t)random_below(random_next(&dice), 3000), begin_ns);
        run_all(world, begin_ns + 1000 * SECOND);
        size_t count = departures_of(world, departures, COUNT_OF(departures));
        assert_int_equal(count, FLOWS * UNITS);
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += departures[i].bytes;
            uint64_t exact = (sum * SECOND + rates[r] - 1) / rates[r]; /* rounded up */
            assert_int_equal(departures[i].at_ns, begin_ns + exact);
        }
        world_free(world);
    }
}

static void each_direction_of_a_route_shares_its_own(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(1000000, 0, true));
    world_publish(world);
    uint64_t begin_ns = world->now_ns;
    world_connect(world, "n1", "r", 0);
    world_connect(world, "n1", "r", 1);
    for (size_t i = 0; i < 4; i++)
        harness_push(world->flows[i].harness, 1000, begin_ns);
    run_all(world, begin_ns + SECOND);
    for (size_t i = 0; i < 4; i++)
        expect_delivered(world->flows[i].harness, 0, 0, begin_ns + (1 + i / 2) * MS);
    world_free(world);
}

/* The rate changes under a backlog of all flows: bytes sent before and after add up. */
static void a_change_converts_a_shared_clock_once(void **state)
{
    (void)state;
    enum { FLOWS = 10, UNITS = 20, BYTES = 1000 };
    static const uint64_t after[] = {250000, 4000000, 1000001, 0};
    static struct departure departures[FLOWS * UNITS];
    for (size_t a = 0; a < COUNT_OF(after); a++) {
        struct world *world = world_create(1);
        world_add(world, on_route(1000000, 0, true));
        world_publish(world);
        uint64_t begin_ns = world->now_ns, changed_ns = begin_ns + 50500 * US,
                 since_ns = changed_ns;
        for (uint64_t f = 0; f < FLOWS; f++)
            world_begin(world, FAULT_STREAM, f, UNITS);
        for (int i = 0; i < FLOWS * UNITS; i++)
            harness_push(world->flows[i % FLOWS].harness, BYTES, begin_ns);
        set_rate(world, after[a], changed_ns); /* 50.5 units are gone */
        uint64_t rate_now = after[a];
        if (rate_now == 0) {
            run_all(world, changed_ns + 100 * SECOND);
            rate_now = 2000000;
            since_ns = changed_ns + 100 * SECOND;
            set_rate(world, rate_now, since_ns);
        }
        run_all(world, since_ns + 1000 * SECOND);
        size_t count = departures_of(world, departures, COUNT_OF(departures));
        assert_int_equal(count, FLOWS * UNITS);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t bytes_after = i < 50 ? 0 : (i + 1) * BYTES - 50500;
            uint64_t exact_ns = i < 50
                                    ? begin_ns + (i + 1) * MS
                                    : since_ns + (bytes_after * SECOND + rate_now - 1) / rate_now;
            assert_true(departures[i].at_ns >= exact_ns && departures[i].at_ns <= exact_ns + 2);
        }
        world_free(world);
    }
}

/* A new flow meets the clock as it is. */
static void a_flow_that_joins_waits_its_turn(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(1000000, 0, true));
    world_publish(world);
    uint64_t begin_ns = world->now_ns;
    harness_push(world_begin(world, FAULT_STREAM, 0, 1), 5000, begin_ns);
    harness_push(world_begin(world, FAULT_STREAM, 1, 1), 1000, begin_ns + MS);
    run_all(world, begin_ns + SECOND);
    expect_delivered(world->flows[0].harness, 0, 0, begin_ns + 5 * MS);
    expect_delivered(world->flows[1].harness, 0, 0, begin_ns + 6 * MS);
    /* and a fault that is set again starts with a new clock */
    harness_push(world_begin(world, FAULT_STREAM, 2, 2), 50000, begin_ns + SECOND);
    struct ruleset_fault fault = *world_fault(world, "f");
    ruleset_remove_fault(&world->ruleset, "f");
    world->now_ns = begin_ns + SECOND;
    world_publish(world);
    world_add(world, fault);
    world_publish(world);
    harness_push(world->flows[2].harness, 1000, begin_ns + SECOND);
    run_all(world, begin_ns + 2 * SECOND);
    expect_delivered(world->flows[2].harness, 1, 1, begin_ns + SECOND + MS);
    world_free(world);
}

/* From a rate of its own to a shared one and back: what is held is sent again from now on. */
static void sharing_can_begin_and_end(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    world_add(world, on_route(1000000, 0, false));
    world_publish(world);
    uint64_t begin_ns = world->now_ns;
    for (uint64_t f = 0; f < 2; f++)
        for (int i = 0; i < 4; i++)
            harness_push(i ? world->flows[f].harness : world_begin(world, FAULT_STREAM, f, 8), 1000,
                         begin_ns);
    world_fault(world, "f")->rate.shared = true;
    world->now_ns = begin_ns + MS;
    world_publish(world); /* three are left of each */
    world_fault(world, "f")->rate.shared = false;
    world->now_ns = begin_ns + 5 * MS;
    world_publish(world); /* four went at the shared rate: those of flow 0 first */
    run_all(world, begin_ns + SECOND);
    for (uint32_t i = 0; i < 4; i++)
        expect_delivered(world->flows[0].harness, i, i, begin_ns + (i + 1) * MS);
    expect_delivered(world->flows[1].harness, 0, 0, begin_ns + MS);
    expect_delivered(world->flows[1].harness, 1, 1, begin_ns + 5 * MS);
    expect_delivered(world->flows[1].harness, 2, 2, begin_ns + 6 * MS);
    expect_delivered(world->flows[1].harness, 3, 3, begin_ns + 7 * MS);
    world_free(world);
}

static void datagrams_share_a_queue(void **state)
{
    (void)state;
    struct world *world = world_create(1);
    struct ruleset_fault fault = on_route(1000000, 0, true);
    fault.rate.queue_bytes = 3000;
    world_add(world, fault);
    world_publish(world);
    uint64_t begin_ns = world->now_ns;
    for (uint64_t f = 0; f < 5; f++)
        harness_push(world_begin(world, FAULT_DATAGRAM, f, 4), 1000, begin_ns);
    for (size_t f = 0; f < 5; f++) {
        const struct harness *harness = world->flows[f].harness;
        assert_int_equal(harness->record_count, f >= 3);
        if (f >= 3)
            assert_int_equal(harness->records[0].cause, FAULT_CAUSE_QUEUE);
    }
    harness_push(world->flows[4].harness, 1000, begin_ns + MS);
    run_all(world, begin_ns + SECOND);
    expect_delivered(world->flows[4].harness, 1, 1, begin_ns + 4 * MS);
    world_free(world);
}

/* Another stage in front delivers into the shared rate while the plan changes. */
static void units_that_come_during_a_change_are_in_the_right_terms(void **state)
{
    (void)state;
    enum { FLOWS = 8 };
    struct world *world = world_create(1);
    world_add(world, latency("l", "r", 10 * MS));
    world_add(world, on_route(1000000, 0, true));
    world_publish(world);
    uint64_t begin_ns = world->now_ns;
    static struct departure departures[FLOWS * 2];
    for (uint64_t f = 0; f < FLOWS; f++) {
        struct harness *harness = world_begin(world, FAULT_STREAM, f, 4);
        harness_push(harness, 1000, begin_ns);
        harness_push(harness, 1000, begin_ns);
    }
    set_rate(world, 1000, begin_ns + 10 * MS); /* just when the latency lets all go */
    run_all(world, begin_ns + 100 * SECOND);
    size_t count = departures_of(world, departures, COUNT_OF(departures));
    assert_int_equal(count, FLOWS * 2);
    for (size_t i = 0; i < count; i++)
        assert_true(departures[i].at_ns <= begin_ns + 10 * MS + (i + 1) * SECOND + 10);
    assert_true(departures[count - 1].at_ns >= begin_ns + 15 * SECOND);
    world_free(world);
}

/* One link with a rate of a byte per microsecond and datagrams of random size at random times,
 * beside a model: the times at which those that were let in have gone. */
static void a_queue_in_packets_holds_so_many(void **state)
{
    (void)state;
    enum { DATAGRAMS = 2000 };
    struct random_stream dice = {.key = 5};
    for (uint32_t packets = 1; packets < 40; packets += 7) {
        for (uint64_t bytes = 0; bytes <= 20000; bytes += 20000) {
            struct world *world = world_create(1);
            struct ruleset_fault fault = rate("f", 1000000, 0, bytes);
            fault.rate.queue_packets = packets;
            world_add(world, fault);
            world_publish(world);
            struct harness *harness = world_begin(world, FAULT_DATAGRAM, 0, DATAGRAMS);
            static uint64_t gone_ns[DATAGRAMS];
            static uint32_t sizes[DATAGRAMS];
            uint64_t now_ns = world->now_ns, last_ns = now_ns, dropped = 0;
            size_t first = 0, end = 0; /* of those that wait */
            for (size_t i = 0; i < DATAGRAMS; i++) {
                uint32_t size = 1 + (uint32_t)random_below(random_next(&dice), 1500);
                uint64_t waiting = 0;
                now_ns += random_below(random_next(&dice), 1200 * US);
                while (first < end && gone_ns[first] <= now_ns)
                    first++;
                for (size_t k = first; k < end; k++)
                    waiting += sizes[k];
                bool full = end - first >= packets || (bytes && waiting + size > bytes);
                if (!(full && end > first)) {
                    last_ns = (last_ns > now_ns ? last_ns : now_ns) + size * US;
                    sizes[end] = size;
                    gone_ns[end++] = last_ns;
                }
                dropped += full && end > first;
                harness_push(harness, size, now_ns);
                assert_int_equal(harness->pipeline.stages[0].queue.units, end - first);
            }
            assert_true(packets > 30 || dropped > 0);
            harness_run(harness, now_ns + 100 * SECOND);
            assert_int_equal(harness->record_count, DATAGRAMS);
            for (size_t i = 0, k = 0; i < DATAGRAMS; i++) {
                const struct record *record = &harness->records[i];
                assert_true(record->cause == FAULT_CAUSES || record->cause == FAULT_CAUSE_QUEUE);
                if (record->cause == FAULT_CAUSES)
                    assert_int_equal(record->at_ns, gone_ns[k++]);
            }
            world_free(world);
        }
    }
}

/* More than the default of 64 KiB, which a limit in packets is in place of. */
static void a_queue_in_packets_has_no_default_in_bytes(void **state)
{
    (void)state;
    struct ruleset_fault fault = rate("f", 1000, 0, 0);
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 200);
    fault.rate.queue_packets = 100;
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 101; i++)
        harness_push(harness, 1000, 0);
    assert_int_equal(harness->record_count, 1);
    assert_int_equal(harness->records[0].id, 100);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 100000);
    harness_run(harness, 1000 * SECOND);
    harness_free(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_a_rate_of_zero_nothing_passes),
        cmocka_unit_test(a_rate_that_is_raised_from_zero_sends_what_waits),
        cmocka_unit_test(a_rate_that_stops_and_goes_on_loses_no_byte),
        cmocka_unit_test(a_stop_keeps_the_bucket),
        cmocka_unit_test(a_stopped_queue_drops_datagrams_above_its_limit),
        cmocka_unit_test(a_shared_rate_is_the_sum_of_its_flows),
        cmocka_unit_test(each_direction_of_a_route_shares_its_own),
        cmocka_unit_test(a_change_converts_a_shared_clock_once),
        cmocka_unit_test(a_flow_that_joins_waits_its_turn),
        cmocka_unit_test(sharing_can_begin_and_end),
        cmocka_unit_test(datagrams_share_a_queue),
        cmocka_unit_test(units_that_come_during_a_change_are_in_the_right_terms),
        cmocka_unit_test(a_queue_in_packets_holds_so_many),
        cmocka_unit_test(a_queue_in_packets_has_no_default_in_bytes),
    };
    return cmocka_run_group_tests_name("proxy/fault/stage_rate", tests, NULL, NULL);
}
