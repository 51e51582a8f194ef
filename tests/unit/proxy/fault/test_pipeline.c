/* The pipeline under virtual time, to the nanosecond. */
#include "tests/unit/proxy/fault/harness.h"

static void an_empty_pipeline_passes_at_once(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    harness_push(harness, 10, 5);
    expect_delivered(harness, 0, 0, 5);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 65536);
    harness_run(harness, 100);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
    assert_int_equal(harness->record_count, 1);
    harness_free(harness);
}

static void a_sink_need_not_hear_of_touches(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 4);
    struct ruleset_fault fault = latency("l", "n1->n2", 5);
    harness->pipeline.sink.touched = NULL;
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 1, 0);
    harness_run(harness, 5);
    expect_delivered(harness, 0, 0, 5);
    harness_free(harness);
}

static void latency_delays_each_unit_from_its_arrival(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault fault = latency("l", "n1->n2", 80 * MS);
    harness_apply(harness, &fault, 1, 0);
    for (uint64_t i = 0; i < 4; i++)
        harness_push(harness, 1000, i * MS);
    assert_int_equal(harness->record_count, 0);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 4000);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 80 * MS);
    harness_run(harness, 80 * MS - 1);
    assert_int_equal(harness->record_count, 0);
    harness_run(harness, 80 * MS);
    assert_int_equal(harness->record_count, 1);
    expect_delivered(harness, 0, 0, 80 * MS);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 81 * MS);
    harness_run(harness, 83 * MS);
    for (uint32_t i = 0; i < 4; i++)
        expect_delivered(harness, i, i, 80 * MS + i * MS);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 0);
    assert_int_equal(harness->touched[0], 4);
    harness_free(harness);
}

static void no_delay_touches_nothing(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 2);
    struct ruleset_fault fault = latency("l", "n1->n2", 0);
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 1, 3);
    expect_delivered(harness, 0, 0, 3);
    assert_int_equal(harness->touched[0], 0);
    harness_free(harness);
}

static void rate_sends_one_after_the_other(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault fault = rate("r", 1000000, 0, 0); /* a byte per microsecond */
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 3; i++)
        harness_push(harness, 100, 7);
    harness_run(harness, SECOND);
    for (uint32_t i = 0; i < 3; i++)
        expect_delivered(harness, i, i, 7 + (i + 1) * 100 * US);
    harness_push(harness, 100, 2 * SECOND); /* idle time earns nothing */
    harness_run(harness, 3 * SECOND);
    expect_delivered(harness, 3, 3, 2 * SECOND + 100 * US);
    assert_int_equal(harness->touched[0], 4);
    harness_free(harness);
}

static void rate_loses_nothing_by_rounding(void **state)
{
    (void)state;
    enum { UNITS = 30000 };
    struct harness *harness = harness_create(FAULT_STREAM, 0, UNITS);
    struct ruleset_fault fault = rate("r", 7000003, 0, 0);
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < UNITS; i++)
        harness_push(harness, 13, 11);
    harness_run(harness, SECOND);
    assert_int_equal(harness->record_count, UNITS);
    for (uint64_t i = 0; i < UNITS; i++) {
        uint64_t exact = ((i + 1) * 13 * SECOND + 7000003 - 1) / 7000003; /* rounded up */
        expect_delivered(harness, i, i, 11 + exact);
    }
    harness_free(harness);
}

static void a_burst_passes_and_refills_at_the_rate(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
    struct ruleset_fault fault = rate("r", 1000000, 300, 0);
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 5; i++)
        harness_push(harness, 100, 0);
    /* three from the full bucket, two as tokens come */
    assert_int_equal(harness->record_count, 3);
    assert_int_equal(harness->touched[0], 2);
    harness_run(harness, SECOND);
    for (uint32_t i = 0; i < 5; i++)
        expect_delivered(harness, i, i, i < 3 ? 0 : (i - 2) * 100 * US);
    /* at 200 us it was empty; at 350 us it has 150 tokens: one passes, the next waits 50 us */
    struct harness *again = harness_create(FAULT_STREAM, 0, 16);
    harness_apply(again, &fault, 1, 0);
    for (int i = 0; i < 5; i++)
        harness_push(again, 100, 0);
    harness_push(again, 100, 350 * US);
    harness_push(again, 100, 350 * US);
    harness_run(again, SECOND);
    expect_delivered(again, 5, 5, 350 * US);
    expect_delivered(again, 6, 6, 400 * US);
    /* a long pause fills it to 300, no more */
    for (int i = 0; i < 4; i++)
        harness_push(again, 100, 5 * SECOND);
    harness_run(again, 6 * SECOND);
    expect_delivered(again, 9, 9, 5 * SECOND);
    expect_delivered(again, 10, 10, 5 * SECOND + 100 * US);
    /* a unit above the burst waits for what is missing */
    harness_push(again, 400, 10 * SECOND);
    harness_run(again, 11 * SECOND);
    expect_delivered(again, 11, 11, 10 * SECOND + 100 * US);
    harness_free(harness);
    harness_free(again);
}

static void a_full_queue_drops_datagrams_at_its_tail(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 16);
    struct ruleset_fault fault = rate("r", 1000000, 0, 250);
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 4; i++)
        harness_push(harness, 100, 0);
    assert_int_equal(harness->record_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(harness->records[i].id, i + 2);
        assert_int_equal(harness->records[i].cause, FAULT_CAUSE_QUEUE);
        assert_int_equal(harness->records[i].fault_slot, 0);
        assert_int_equal(harness->records[i].at_ns, 0);
    }
    assert_int_equal(harness->touched[0], 4);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 200);
    harness_push(harness, 100, 100 * US); /* the first leaves just then */
    expect_delivered(harness, 2, 0, 100 * US);
    harness_run(harness, SECOND);
    expect_delivered(harness, 3, 1, 200 * US);
    expect_delivered(harness, 4, 4, 300 * US);
    harness_push(harness, 1000, SECOND); /* an empty queue takes any unit */
    harness_push(harness, 1, SECOND);
    assert_int_equal(harness->records[5].id, 6);
    assert_int_equal(harness->records[5].cause, FAULT_CAUSE_QUEUE);
    harness_run(harness, 2 * SECOND);
    expect_delivered(harness, 6, 5, SECOND + MS);
    harness_free(harness);
}

static void the_default_queue_is_a_second_or_64_kib(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate;
        uint32_t bytes, held;
    } cases[] = {{1000, 1024, 64}, {100000, 1000, 100}, {65536, 1024, 64}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 200);
        struct ruleset_fault fault = rate("r", cases[i].rate, 0, 0);
        harness_apply(harness, &fault, 1, 0);
        for (int k = 0; k < 150; k++)
            harness_push(harness, cases[i].bytes, 0);
        assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline),
                         cases[i].held * cases[i].bytes);
        assert_int_equal(harness->record_count, 150 - cases[i].held);
        fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
        harness_free(harness);
    }
}

static void no_queue_is_above_a_gibibyte(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 4);
    struct ruleset_fault fault = rate("r", RULESET_RATE_MAX, 0, 0);
    harness_apply(harness, &fault, 1, 0);
    for (int i = 0; i < 3; i++)
        harness_push(harness, (uint32_t)(RULESET_QUEUE_MAX / 2), 0);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), RULESET_QUEUE_MAX);
    assert_int_equal(harness->record_count, 1);
    assert_int_equal(harness->records[0].cause, FAULT_CAUSE_QUEUE);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
    harness_free(harness);
}

static void streams_are_never_dropped(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 1000);
    struct ruleset_fault faults[] = {loss("x", 1000000000), rate("r", 1000000, 0, 100)};
    harness_apply(harness, faults, 2, 0);
    for (int i = 0; i < 1000; i++)
        harness_push_segments(harness, 100, 44, 0);
    harness_run(harness, SECOND);
    assert_int_equal(harness->record_count, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        expect_delivered(harness, i, i, (i + 1) * 100 * US);
    assert_int_equal(harness->touched[0], 0);
    assert_int_equal(harness->touched[1], 1000);
    harness_free(harness);
}

static void loss_of_one_drops_all_and_of_zero_none(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 200);
    struct ruleset_fault faults[] = {loss("x", 0), loss("y", 1000000000)};
    harness_apply(harness, faults, 1, 0);
    for (int i = 0; i < 100; i++)
        harness_push_segments(harness, 1, 1 + (uint32_t)i, 1);
    for (uint32_t i = 0; i < 100; i++)
        expect_delivered(harness, i, i, 1);
    harness_apply(harness, faults, 2, 2);
    for (int i = 0; i < 100; i++)
        harness_push_segments(harness, 1, 1 + (uint32_t)i, 3);
    for (size_t i = 100; i < 200; i++) {
        assert_int_equal(harness->records[i].cause, FAULT_CAUSE_LOSS);
        assert_int_equal(harness->records[i].fault_slot, 1);
    }
    assert_int_equal(harness->touched[0], 0);
    assert_int_equal(harness->touched[1], 100);
    harness_free(harness);
}

/* latency then rate and rate then latency: the same here, since both keep gaps of 100 us. */
static void chains_add_up_in_both_orders(void **state)
{
    (void)state;
    struct ruleset_fault delay = latency("l", "n1->n2", 10 * MS);
    struct ruleset_fault slow = rate("r", 1000000, 0, 0);
    struct ruleset_fault orders[2][2] = {{delay, slow}, {slow, delay}};
    for (size_t order = 0; order < 2; order++) {
        struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
        harness_apply(harness, orders[order], 2, 0);
        for (int i = 0; i < 5; i++)
            harness_push(harness, 100, 0);
        while (fault_pipeline_next_due(&harness->pipeline) != FAULT_NEVER)
            harness_run(harness, fault_pipeline_next_due(&harness->pipeline));
        assert_int_equal(harness->record_count, 5);
        for (uint32_t i = 0; i < 5; i++)
            expect_delivered(harness, i, i, 10 * MS + (i + 1) * 100 * US);
        assert_int_equal(harness->touched[0], 5);
        assert_int_equal(harness->touched[1], 5);
        harness_free(harness);
    }
}

/* Whatever the timer does, the logical times are those of a punctual one; queue drops included. */
static void late_runs_do_not_add_up(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {jitter("a", 3 * MS, MS, RULESET_NORMAL),
                                     rate("r", 1000000, 150, 1200), latency("l", "n1->n2", MS),
                                     rate("s", 900000, 0, 700)};
    enum { UNITS = 400 };
    struct harness *punctual = harness_create(FAULT_DATAGRAM, 3, UNITS);
    struct harness *late = harness_create(FAULT_DATAGRAM, 3, UNITS);
    harness_apply(punctual, faults, COUNT_OF(faults), 0);
    harness_apply(late, faults, COUNT_OF(faults), 0);
    for (uint64_t i = 0; i < UNITS; i++) {
        uint64_t now = i * 100 * US;
        while (fault_pipeline_next_due(&punctual->pipeline) <= now)
            harness_run(punctual, fault_pipeline_next_due(&punctual->pipeline));
        harness_push(punctual, 60 + (uint32_t)(i * 7 % 90), now);
        harness_push(late, 60 + (uint32_t)(i * 7 % 90), now);
    }
    while (fault_pipeline_next_due(&punctual->pipeline) != FAULT_NEVER)
        harness_run(punctual, fault_pipeline_next_due(&punctual->pipeline));
    harness_run(late, 100 * SECOND);
    assert_int_equal(punctual->record_count, UNITS);
    assert_int_equal(late->record_count, UNITS);
    uint64_t dropped = 0, times[2][UNITS] = {{0}};
    enum fault_cause causes[2][UNITS];
    for (size_t i = 0; i < UNITS; i++) {
        const struct record *records[] = {&punctual->records[i], &late->records[i]};
        for (size_t k = 0; k < 2; k++) {
            times[k][records[k]->id] = records[k]->at_ns;
            causes[k][records[k]->id] = records[k]->cause;
        }
        dropped += records[0]->cause != FAULT_CAUSES;
    }
    assert_memory_equal(times[0], times[1], sizeof(times[0]));
    assert_memory_equal(causes[0], causes[1], sizeof(causes[0]));
    assert_true(dropped > 10 && dropped < UNITS / 2);
    assert_memory_equal(punctual->touched, late->touched, sizeof(late->touched));
    harness_free(punctual);
    harness_free(late);
}

static void new_parameters_are_for_new_units(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault before = latency("l", "n1->n2", 10 * MS);
    struct ruleset_fault after = latency("l", "n1->n2", 2 * MS);
    harness_apply(harness, &before, 1, 0);
    harness_push(harness, 1, 0);
    harness_push(harness, 1, 5 * MS);
    harness_apply(harness, &after, 1, 6 * MS);
    memset(&before, 0xee, sizeof(before)); /* the old plan may go */
    harness_push(harness, 1, 7 * MS);      /* due at 9 ms, but never before the one ahead */
    harness_push(harness, 1, 14 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 10 * MS);
    expect_delivered(harness, 1, 1, 15 * MS);
    expect_delivered(harness, 2, 2, 15 * MS);
    expect_delivered(harness, 3, 3, 16 * MS);
    harness_free(harness);
}

static void a_new_rate_drains_what_is_queued(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault slow = rate("r", 1000, 0, 0), fast = rate("r", 1000000, 0, 0);
    harness_apply(harness, &slow, 1, 0);
    for (int i = 0; i < 3; i++)
        harness_push(harness, 1000, 0);
    /* at 0.5 s, 500 bytes of the first are left */
    harness_apply(harness, &fast, 1, SECOND / 2);
    harness_push(harness, 1000, SECOND / 2);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, SECOND / 2 + 500 * US);
    expect_delivered(harness, 1, 1, SECOND / 2 + 1500 * US);
    expect_delivered(harness, 2, 2, SECOND / 2 + 2500 * US);
    expect_delivered(harness, 3, 3, SECOND / 2 + 3500 * US);
    /* and back: 1000 bytes at a thousandth of the rate */
    harness_push(harness, 1000, 2 * SECOND);
    harness_apply(harness, &slow, 1, 2 * SECOND);
    harness_run(harness, 10 * SECOND);
    expect_delivered(harness, 4, 4, 3 * SECOND);
    harness_free(harness);
}

static void a_new_burst_keeps_the_tokens_that_are_there(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
    struct ruleset_fault large = rate("r", 1000000, 1000, 0), small = rate("r", 1000000, 300, 0);
    harness_apply(harness, &large, 1, 0);
    harness_push(harness, 500, 0);
    harness_apply(harness, &small, 1, 0); /* 500 tokens are there, 300 fit */
    harness_push(harness, 300, 0);
    harness_push(harness, 100, 0);
    harness_apply(harness, &large, 1, 0); /* none there, 100 bytes wait; no gift */
    harness_push(harness, 50, 0);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 0);
    expect_delivered(harness, 1, 1, 0);
    expect_delivered(harness, 2, 2, 100 * US);
    expect_delivered(harness, 3, 3, 150 * US);
    harness_free(harness);
}

static void a_huge_change_of_rate_keeps_order(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 64);
    struct ruleset_fault fast = rate("r", RULESET_RATE_MAX, 0, 0), slow = rate("r", 1, 7, 0);
    for (uint64_t round = 0; round < 8; round++) {
        harness_apply(harness, round % 2 ? &slow : &fast, 1, round);
        for (int i = 0; i < 4; i++)
            harness_push(harness, 1 + (uint32_t)i * 1000, round);
    }
    harness_run(harness, FAULT_NEVER - 1);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 0);
    assert_int_equal(harness->record_count, 32);
    for (size_t i = 1; i < 32; i++) {
        assert_true(harness->records[i].id > harness->records[i - 1].id);
        assert_true(harness->records[i].at_ns >= harness->records[i - 1].at_ns);
    }
    harness_free(harness);
}

static void the_end_of_time_is_no_problem(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
    struct ruleset_fault faults[] = {latency("l", "n1->n2", RULESET_DELAY_NS_MAX),
                                     rate("r", 1, 0, 0)};
    harness_apply(harness, faults, 2, FAULT_NEVER - 2);
    for (int i = 0; i < 8; i++)
        harness_push(harness, UINT32_MAX, FAULT_NEVER - 2);
    harness_run(harness, FAULT_NEVER - 1);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 0);
    for (uint32_t i = 0; i < 8; i++)
        expect_delivered(harness, i, i, FAULT_NEVER - 1);
    harness_free(harness);
}

/* Slots as the plan would give them: faults[i] has slot slots[i]. */
static void apply_slots(struct harness *harness, const struct ruleset_fault *const *faults,
                        const uint16_t *slots, size_t count, uint64_t now_ns)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct fault_entry){
            .spec = faults[i], .key = slots[i], .slot = slots[i], .generation = 1};
    fault_pipeline_apply(&harness->pipeline, entries, count, now_ns);
}

static void a_removed_stage_flushes_into_the_next(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault a = latency("a", "n1->n2", 100 * MS), b = latency("b", "n1->n2", 10 * MS),
                         c = latency("c", "n1->n2", MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&a, &b, &c}, (uint16_t[]){1, 2, 3}, 3, 0);
    harness_push(harness, 1, 0);
    harness_push(harness, 1, 5 * MS);
    harness_run(harness, 100 * MS); /* unit 0 is in b now, due at 110 ms */
    harness_push(harness, 1, 101 * MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&c}, (uint16_t[]){3}, 1, 103 * MS);
    memset(&a, 0xee, sizeof(a));
    memset(&b, 0xee, sizeof(b));
    assert_int_equal(harness->record_count, 0);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 3);
    assert_int_equal(fault_pipeline_next_due(&harness->pipeline), 104 * MS);
    harness_run(harness, 104 * MS);
    for (uint32_t i = 0; i < 3; i++)
        expect_delivered(harness, i, i, 104 * MS);
    assert_int_equal(harness->touched[1], 3);
    assert_int_equal(harness->touched[2], 1); /* a's flush goes past b, which goes as well */
    assert_int_equal(harness->touched[3], 3);
    harness_free(harness);
}

static void removing_all_delivers_in_order(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault faults[] = {latency("a", "n1->n2", 10 * MS), rate("r", 100, 0, 0)};
    harness_apply(harness, faults, 2, 0);
    for (uint64_t i = 0; i < 5; i++)
        harness_push(harness, 100, i * 3 * MS);
    harness_run(harness, 12 * MS);
    harness_apply(harness, NULL, 0, 15 * MS);
    assert_int_equal(harness->record_count, 5);
    for (uint32_t i = 0; i < 5; i++)
        expect_delivered(harness, i, i, 15 * MS);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    harness_free(harness);
}

static void what_is_due_leaves_before_a_change(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault fault = latency("a", "n1->n2", 10 * MS);
    harness_apply(harness, &fault, 1, 0);
    harness_push(harness, 1, 0);
    harness_apply(harness, NULL, 0, 20 * MS); /* the timer was late: its time is still 10 ms */
    expect_delivered(harness, 0, 0, 10 * MS);
    harness_free(harness);
}

static void a_slot_that_changed_hands_is_a_new_stage(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault fault = latency("a", "n1->n2", 10 * MS);
    struct fault_entry entry = {.spec = &fault, .key = 1, .slot = 4, .generation = 1};
    fault_pipeline_apply(&harness->pipeline, &entry, 1, 0);
    harness_push(harness, 1, 0);
    assert_int_equal(harness->pipeline.stages[0].sequence, 1);
    entry.generation = 2;
    fault_pipeline_apply(&harness->pipeline, &entry, 1, MS);
    expect_delivered(harness, 0, 0, MS);
    assert_int_equal(harness->pipeline.stages[0].sequence, 0);
    harness_free(harness);
}

static void new_stages_do_not_disturb_old_ones(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 8);
    struct ruleset_fault a = latency("a", "n1->n2", 10 * MS), b = latency("b", "n1->n2", MS),
                         c = latency("c", "n1->n2", 2 * MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&a}, (uint16_t[]){1}, 1, 0);
    harness_push(harness, 1, 0);
    apply_slots(harness, (const struct ruleset_fault *[]){&b, &a, &c}, (uint16_t[]){2, 1, 3}, 3,
                MS);
    harness_push(harness, 1, MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 12 * MS); /* in a since 0, then through the new c */
    expect_delivered(harness, 1, 1, 14 * MS);
    assert_int_equal(harness->pipeline.stages[1].sequence, 2);
    harness_free(harness);
}

static void stages_that_swap_keep_order_and_sequence(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 16);
    struct ruleset_fault a = latency("a", "n1->n2", 10 * MS), b = latency("b", "n1->n2", 5 * MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&a, &b}, (uint16_t[]){1, 2}, 2, 0);
    for (uint64_t i = 0; i < 8; i++)
        harness_push(harness, 1, i * 2 * MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&b, &a}, (uint16_t[]){2, 1}, 2, 14 * MS);
    for (uint64_t i = 8; i < 16; i++)
        harness_push(harness, 1, i * 2 * MS);
    assert_int_equal(harness->pipeline.stages[0].fault_slot, 2);
    assert_int_equal(harness->pipeline.stages[0].sequence, 16);
    assert_int_equal(harness->pipeline.stages[1].fault_slot, 1);
    assert_true(harness->pipeline.stages[1].sequence >= 8);
    harness_run(harness, SECOND);
    assert_int_equal(harness->record_count, 16);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(harness->records[i].id, i);
    expect_delivered(harness, 15, 15, 45 * MS);
    harness_free(harness);
}

static void a_stage_that_let_go_holds_nobody_back(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 4);
    struct ruleset_fault slow = latency("a", "n1->n2", SECOND), a = latency("a", "n1->n2", MS),
                         b = latency("b", "n1->n2", 5 * MS);
    apply_slots(harness, (const struct ruleset_fault *[]){&slow, &b}, (uint16_t[]){1, 2}, 2, 0);
    harness_push(harness, 1, 0);
    apply_slots(harness, (const struct ruleset_fault *[]){&b, &a}, (uint16_t[]){2, 1}, 2, MS);
    harness_push(harness, 1, 2 * MS);
    harness_run(harness, SECOND);
    expect_delivered(harness, 0, 0, 7 * MS); /* let go at 1 ms, b, and a once more */
    expect_delivered(harness, 1, 1, 8 * MS);
    harness_free(harness);
}

static void clear_hands_everything_back_in_order(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
    struct ruleset_fault faults[] = {latency("a", "n1->n2", 10 * MS), rate("r", 1000, 0, 0)};
    harness_apply(harness, faults, 2, 0);
    for (uint64_t i = 0; i < 4; i++)
        harness_push(harness, 100, i * 5 * MS);
    harness_run(harness, 16 * MS);
    uint64_t touched = harness->touched[0] + harness->touched[1];
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
    assert_int_equal(harness->record_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(harness->records[i].id, i);
        assert_int_equal(harness->records[i].cause, FAULT_CAUSE_CUT);
        assert_int_equal(harness->records[i].fault_slot, i < 2);
    }
    assert_int_equal(harness->touched[0] + harness->touched[1], touched);
    assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), 0);
    assert_true(fault_pipeline_next_due(&harness->pipeline) == FAULT_NEVER);
    harness_push(harness, 1, 20 * MS); /* the stages are still there */
    assert_int_equal(harness->record_count, 4);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
    harness_free(harness);
}

static void clear_at_first_delivery(void *context, struct fault_unit *unit)
{
    struct harness *harness = context;
    harness_record(harness, unit, FAULT_CAUSES, UINT16_MAX);
    fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
}

/* As a relay does when its peer is gone: from run, from push and from apply. */
static void clear_may_be_called_from_deliver(void **state)
{
    (void)state;
    struct ruleset_fault faults[] = {latency("a", "n1->n2", 10 * MS), latency("b", "n1->n2", MS)};
    for (int way = 0; way < 3; way++) {
        struct harness *harness = harness_create(FAULT_DATAGRAM, 0, 8);
        harness->pipeline.sink.deliver = clear_at_first_delivery;
        harness_apply(harness, faults, 2, 0);
        for (uint64_t i = 0; i < 5; i++)
            harness_push(harness, 10, i);
        harness_run(harness, 10 * MS + 1); /* two in b, three in a */
        assert_int_equal(harness->record_count, 0);
        if (way == 0)
            harness_run(harness, SECOND);
        else if (way == 1)
            harness_push(harness, 10, SECOND);
        else
            harness_apply(harness, NULL, 0, 10 * MS + 2);
        assert_int_equal(harness->record_count, 5);
        expect_delivered(harness, 0, 0, way == 2 ? 10 * MS + 2 : 11 * MS);
        for (uint32_t i = 1; i < 5; i++)
            assert_int_equal(harness->records[i].cause, FAULT_CAUSE_CUT);
        assert_int_equal(fault_pipeline_held_bytes(&harness->pipeline), way == 1 ? 10 : 0);
        fault_pipeline_clear(&harness->pipeline, FAULT_CAUSE_CUT);
        harness_free(harness);
    }
}

static void chunks_are_ten_milliseconds_of_the_lowest_rate(void **state)
{
    (void)state;
    struct harness *harness = harness_create(FAULT_STREAM, 0, 2);
    struct ruleset_fault faults[] = {rate("r", 1000000, 0, 0), latency("l", "n1->n2", MS),
                                     rate("s", 250000, 0, 0)};
    harness_apply(harness, faults, 3, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 2500);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 1000), 1000);
    harness_apply(harness, faults, 2, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 10000);
    faults[0].rate.bytes_per_s = 5;
    harness_apply(harness, faults, 1, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 1);
    harness_apply(harness, &faults[1], 1, 0);
    assert_int_equal(fault_pipeline_next_chunk(&harness->pipeline, 65536), 65536);
    harness_free(harness);
}

static void causes_have_names(void **state)
{
    (void)state;
    assert_string_equal(fault_cause_name(FAULT_CAUSE_CUT), "cut");
    assert_string_equal(fault_cause_name(FAULT_CAUSE_LOSS), "loss");
    assert_string_equal(fault_cause_name(FAULT_CAUSE_QUEUE), "queue");
    assert_string_equal(fault_cause_name(FAULT_CAUSES), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_pipeline_passes_at_once),
        cmocka_unit_test(a_sink_need_not_hear_of_touches),
        cmocka_unit_test(latency_delays_each_unit_from_its_arrival),
        cmocka_unit_test(no_delay_touches_nothing),
        cmocka_unit_test(rate_sends_one_after_the_other),
        cmocka_unit_test(rate_loses_nothing_by_rounding),
        cmocka_unit_test(a_burst_passes_and_refills_at_the_rate),
        cmocka_unit_test(a_full_queue_drops_datagrams_at_its_tail),
        cmocka_unit_test(the_default_queue_is_a_second_or_64_kib),
        cmocka_unit_test(no_queue_is_above_a_gibibyte),
        cmocka_unit_test(streams_are_never_dropped),
        cmocka_unit_test(loss_of_one_drops_all_and_of_zero_none),
        cmocka_unit_test(chains_add_up_in_both_orders),
        cmocka_unit_test(late_runs_do_not_add_up),
        cmocka_unit_test(new_parameters_are_for_new_units),
        cmocka_unit_test(a_new_rate_drains_what_is_queued),
        cmocka_unit_test(a_new_burst_keeps_the_tokens_that_are_there),
        cmocka_unit_test(a_huge_change_of_rate_keeps_order),
        cmocka_unit_test(the_end_of_time_is_no_problem),
        cmocka_unit_test(a_removed_stage_flushes_into_the_next),
        cmocka_unit_test(removing_all_delivers_in_order),
        cmocka_unit_test(what_is_due_leaves_before_a_change),
        cmocka_unit_test(a_slot_that_changed_hands_is_a_new_stage),
        cmocka_unit_test(new_stages_do_not_disturb_old_ones),
        cmocka_unit_test(stages_that_swap_keep_order_and_sequence),
        cmocka_unit_test(a_stage_that_let_go_holds_nobody_back),
        cmocka_unit_test(clear_hands_everything_back_in_order),
        cmocka_unit_test(clear_may_be_called_from_deliver),
        cmocka_unit_test(chunks_are_ten_milliseconds_of_the_lowest_rate),
        cmocka_unit_test(causes_have_names),
    };
    return cmocka_run_group_tests_name("proxy/fault/pipeline", tests, NULL, NULL);
}
