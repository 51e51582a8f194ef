/* Faults on UDP routes: what crosses is, datagram by datagram, what the engine decides for the same
 * flow when it is asked here, beside the plane; and all that does not cross is counted. */
#include "tests/unit/proxy/datagram/rig.h"

enum { SENT = 2000, LENGTH = 40, KEPT = 2 * SENT + 2, BATCH = 20 };

/* The engine's own answer: the same plan, flow and units, with nothing behind the sink. */
struct oracle_unit {
    struct fault_unit unit; /* first */
    uint32_t length;
    unsigned char room[IP_HEADER_ROOM], bytes[LENGTH];
};

struct oracle {
    struct fault_pipeline pipeline;
    struct fault_flow flow;
    struct oracle_unit units[KEPT];
    size_t unit_count;
    const struct oracle_unit *delivered[KEPT];
    size_t delivered_count;
    uint64_t dropped[FAULT_CAUSES], touched;
    const struct match_set *matches;
    struct address source, destination;
};

static void oracle_deliver(void *context, struct fault_unit *unit)
{
    struct oracle *oracle = context;
    oracle->delivered[oracle->delivered_count++] = (struct oracle_unit *)(void *)unit;
}

static void oracle_drop(void *context, struct fault_unit *unit, enum fault_cause cause,
                        uint16_t fault_slot)
{
    (void)unit;
    (void)fault_slot;
    ((struct oracle *)context)->dropped[cause]++;
}

static void oracle_touched(void *context, uint16_t fault_slot)
{
    (void)fault_slot;
    ((struct oracle *)context)->touched++;
}

static bool oracle_flip(void *context, struct fault_unit *unit, uint64_t bit)
{
    (void)context;
    ((struct oracle_unit *)(void *)unit)->bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    return true;
}

static struct fault_unit *oracle_copy(void *context, const struct fault_unit *unit)
{
    struct oracle *oracle = context;
    struct oracle_unit *copy = &oracle->units[oracle->unit_count++];
    memcpy(copy, unit, sizeof(*copy));
    return &copy->unit;
}

static bool oracle_matches(void *context, const struct fault_unit *unit,
                           const struct ruleset_fault *spec, uint16_t fault_slot)
{
    struct oracle *oracle = context;
    struct oracle_unit copy;
    (void)spec;
    memcpy(&copy, unit, sizeof(copy));
    return match_datagram(match_set_find(oracle->matches, fault_slot), &oracle->source,
                          &oracle->destination, copy.bytes, copy.unit.bytes);
}

/* Puts the rig's faults of this direction in force. */
static void oracle_apply(struct oracle *oracle, struct rig *rig, bool down)
{
    struct fault_entry entries[FAULT_CHAIN_MAX];
    uint16_t a = rig->spec.from, b = rig->spec.to;
    size_t count = fault_plan_chain(rig->plan, down ? b : a, down ? a : b, rig->spec.slot,
                                    down ? RULESET_DOWNSTREAM : RULESET_UPSTREAM, entries);
    oracle->matches = rig->matches;
    fault_pipeline_apply(&oracle->pipeline, entries, count, 0);
}

static struct oracle *oracle_new(struct rig *rig, bool down, uint64_t ordinal)
{
    struct oracle *oracle = calloc(1, sizeof(*oracle));
    struct address client = {.length = sizeof(client.storage)};
    assert_non_null(oracle);
    oracle->flow = (struct fault_flow){.medium = FAULT_DATAGRAM, .ordinal = ordinal};
    struct fault_sink sink = {.deliver = oracle_deliver,
                              .drop = oracle_drop,
                              .touched = oracle_touched,
                              .flip = oracle_flip,
                              .copy = oracle_copy,
                              .matches = oracle_matches,
                              .context = oracle};
    fault_pipeline_init(&oracle->pipeline, &oracle->flow, &sink);
    assert_int_equal(getsockname(rig->client, (struct sockaddr *)&client.storage, &client.length),
                     0);
    oracle->source = down ? rig->server_address : client;
    oracle->destination = down ? client : rig->server_address;
    oracle_apply(oracle, rig, down);
    return oracle;
}

static void fill(unsigned char *bytes, uint32_t number)
{
    memset(bytes, 0x55, LENGTH);
    memcpy(bytes, &number, sizeof(number));
}

static void oracle_push(struct oracle *oracle, uint32_t number)
{
    struct oracle_unit *unit = &oracle->units[oracle->unit_count++];
    assert_true(oracle->unit_count <= KEPT);
    *unit = (struct oracle_unit){.unit = {.bytes = LENGTH, .segments = 1}};
    fill(unit->bytes, number);
    fault_pipeline_push(&oracle->pipeline, &unit->unit, 0);
}

/* One run of a fault in one direction over one family. */
struct run {
    struct rig rig;
    bool down;
    struct address session;
    struct oracle *oracle;
    size_t compared; /* of the oracle's deliveries */
    uint32_t sent;
};

static struct fault_link_counters *run_link(struct run *run)
{
    return rig_link(&run->rig, run->down ? "b" : "a", run->down ? "a" : "b");
}

static uint64_t run_dropped(struct run *run, enum fault_cause cause)
{
    return fault_counter_get(&run_link(run)->dropped[cause]);
}

/* The session begins before there is a fault, in either direction. */
static void run_open(struct run *run, const char *host, bool down)
{
    *run = (struct run){.down = down};
    rig_open(&run->rig, (struct rig_options){.host = host});
    rig_greet(&run->rig, &run->session);
}

static void run_close(struct run *run)
{
    free(run->oracle);
    rig_close(&run->rig);
}

static void run_on_apply(struct rig *rig)
{
    struct run *run = rig->context;
    oracle_apply(run->oracle, rig, run->down);
}

static void run_add(struct run *run, struct ruleset_fault fault)
{
    snprintf(fault.name, sizeof(fault.name), "f");
    rig_add_fault_to(&run->rig, fault, run->down);
    run->oracle = oracle_new(&run->rig, run->down, 0);
    run->rig.context = run;
    run->rig.on_apply = run_on_apply;
}

static void run_send_one(struct run *run)
{
    unsigned char bytes[LENGTH];
    fill(bytes, run->sent);
    oracle_push(run->oracle, run->sent++);
    const struct address *to = &run->session;
    ssize_t sent = run->down ? sendto(run->rig.server, bytes, LENGTH, 0,
                                      (const struct sockaddr *)&to->storage, to->length)
                             : send(run->rig.client, bytes, LENGTH, 0);
    if (sent < 0 && errno == ECONNREFUSED) /* a reject fault tells the sender */
        sent = run->down ? sendto(run->rig.server, bytes, LENGTH, 0,
                                  (const struct sockaddr *)&to->storage, to->length)
                         : send(run->rig.client, bytes, LENGTH, 0);
    assert_int_equal(sent, LENGTH);
}

/* Reads what has come; each must be the oracle's next. */
static bool run_compare(struct run *run)
{
    unsigned char bytes[LENGTH + 1];
    int fd = run->down ? run->rig.client : run->rig.server;
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED) {
        if (got < 0)
            continue;
        assert_true(run->compared < run->oracle->delivered_count);
        const struct oracle_unit *expected = run->oracle->delivered[run->compared++];
        assert_int_equal(got, expected->unit.bytes);
        assert_memory_equal(bytes, expected->bytes, (size_t)got);
    }
    return run->compared == run->oracle->delivered_count;
}

/* Sends `count` more, and waits until each is delivered or dropped as the oracle says. */
static void run_send(struct run *run, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        run_send_one(run);
        if (i % BATCH == BATCH - 1)
            await(&run->rig, run_compare(run));
    }
    await(&run->rig, run_compare(run));
    for (int cause = 0; cause < FAULT_CAUSES; cause++)
        await(&run->rig, run_dropped(run, (enum fault_cause)cause) == run->oracle->dropped[cause]);
}

/* Every datagram, and every copy, is in exactly one counter. */
static void run_balance(struct run *run, uint64_t copies)
{
    uint64_t out = fault_counter_get(&run_link(run)->units);
    for (int cause = 0; cause < FAULT_CAUSES; cause++)
        out += run_dropped(run, (enum fault_cause)cause);
    assert_int_equal(out, run->sent + copies + !run->down); /* the greeting */
}

static void each_way(const struct ruleset_fault *fault, uint64_t *touched, uint64_t *copies)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 4; i++) {
        struct run run;
        run_open(&run, hosts[i / 2], i % 2 == 1);
        run_add(&run, *fault);
        run_send(&run, SENT);
        *touched = rig_touched(&run.rig, "f");
        *copies = run.oracle->unit_count - SENT;
        assert_int_equal(*touched, run.oracle->touched);
        run_balance(&run, *copies);
        run_close(&run);
    }
}

static void loss_models_lose_what_the_engine_says(void **state)
{
    (void)state;
    static const struct ruleset_fault faults[] = {
        {.type = RULESET_LOSS, .loss = {.probability_ppb = 200000000}},
        {.type = RULESET_LOSS,
         .loss = {.probability_ppb = 200000000, .correlation_ppb = 500000000}},
        {.type = RULESET_LOSS,
         .loss = {.model = RULESET_LOSS_GILBERT_ELLIOTT,
                  .to_bad_ppb = 50000000,
                  .to_good_ppb = 300000000,
                  .lost_in_bad_ppb = 900000000,
                  .lost_in_good_ppb = 1000000}},
        {.type = RULESET_LOSS,
         .loss = {.model = RULESET_LOSS_MARKOV,
                  .p13_ppb = 50000000,
                  .p31_ppb = 300000000,
                  .p32_ppb = 300000000,
                  .p23_ppb = 400000000,
                  .p14_ppb = 10000000}},
        {.type = RULESET_LOSS, .loss = {.model = RULESET_LOSS_EVERY, .every = 7}},
    };
    uint64_t touched, copies;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        each_way(&faults[i], &touched, &copies);
        assert_in_range(touched, SENT / 50, SENT / 2);
    }
    assert_int_equal(touched, SENT / 7);
}

static void duplicates_follow_their_original(void **state)
{
    (void)state;
    uint64_t touched, copies;
    each_way(&(struct ruleset_fault){.type = RULESET_DUPLICATE,
                                     .duplicate = {.probability_ppb = 300000000}},
             &touched, &copies);
    assert_int_equal(touched, copies);
    assert_in_range(copies, SENT / 5, SENT / 2);
}

static void bits_are_flipped(void **state)
{
    (void)state;
    uint64_t touched, copies;
    each_way(
        &(struct ruleset_fault){.type = RULESET_CORRUPT, .corrupt = {.probability_ppb = 300000000}},
        &touched, &copies);
    assert_in_range(touched, SENT / 5, SENT / 2);
}

static void datagrams_are_cut_short(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 5, LENGTH - 1};
    uint64_t touched, copies;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        each_way(&(struct ruleset_fault){.type = RULESET_TRUNCATE,
                                         .truncate = {.probability_ppb = 300000000,
                                                      .bytes = lengths[i]}},
                 &touched, &copies);
        assert_in_range(touched, SENT / 5, SENT / 2);
    }
}

static void rejected_ones_do_not_cross(void **state)
{
    (void)state;
    uint64_t touched, copies;
    each_way(
        &(struct ruleset_fault){.type = RULESET_REJECT, .reject = {.probability_ppb = 300000000}},
        &touched, &copies);
    assert_in_range(touched, SENT / 5, SENT / 2);
}

static void a_match_means_some_of_them(void **state)
{
    (void)state;
    static const char *const matches[] = {"ip[28] & 3 = 1 or ip6[48] & 3 = 1", "udp and len < 10"};
    struct ruleset_fault fault = {.type = RULESET_LOSS,
                                  .loss = {.model = RULESET_LOSS_EVERY, .every = 1}};
    uint64_t touched, copies;
    for (size_t i = 0; i < 2; i++) {
        snprintf(fault.match, sizeof(fault.match), "%s", matches[i]);
        each_way(&fault, &touched, &copies);
        assert_int_equal(touched, i == 0 ? SENT / 4 : 0);
    }
}

/* The expression sees the client's address and the upstream's, by the way that it crosses. */
static void a_match_sees_both_ends(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 4; i++) {
        struct run run;
        struct ruleset_fault fault = {.type = RULESET_LOSS,
                                      .loss = {.model = RULESET_LOSS_EVERY, .every = 1}};
        bool down = i % 2 == 1;
        run_open(&run, hosts[i / 2], down);
        struct address client = {.length = sizeof(client.storage)};
        getsockname(run.rig.client, (struct sockaddr *)&client.storage, &client.length);
        uint16_t client_port = address_port(&client);
        uint16_t server_port = address_port(&run.rig.server_address);
        snprintf(fault.match, sizeof(fault.match),
                 "src port %u and dst port %u and src host %s and dst host %s",
                 down ? server_port : client_port, down ? client_port : server_port, hosts[i / 2],
                 hosts[i / 2]);
        run_add(&run, fault);
        run_send(&run, BATCH);
        assert_int_equal(run_dropped(&run, FAULT_CAUSE_LOSS), BATCH);
        run_close(&run);
    }
}

/* Parameters change, the fault goes, and comes back: draws go on where they were, or anew. */
static void changes_and_removal_are_live(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        struct run run;
        run_open(&run, "::1", down == 1);
        run_add(&run, (struct ruleset_fault){.type = RULESET_LOSS,
                                             .loss = {.probability_ppb = 200000000}});
        run_send(&run, 300);
        ruleset_find_fault(&run.rig.ruleset, "f")->loss.probability_ppb = 700000000;
        rig_apply(&run.rig);
        uint64_t before = run_dropped(&run, FAULT_CAUSE_LOSS);
        assert_in_range(before, 30, 90);
        run_send(&run, 300);
        assert_in_range(run_dropped(&run, FAULT_CAUSE_LOSS) - before, 180, 240);
        assert_true(ruleset_remove_fault(&run.rig.ruleset, "f"));
        rig_apply(&run.rig);
        before = run_dropped(&run, FAULT_CAUSE_LOSS);
        run_send(&run, 300);
        assert_int_equal(run_dropped(&run, FAULT_CAUSE_LOSS), before);
        run_balance(&run, 0);
        run_close(&run);
    }
}

/* Those that a reorder fault holds arrive behind others, once each; both kinds keep their order. */
static void reordered_ones_are_overtaken(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        struct run run;
        bool held[SENT] = {false};
        uint32_t last[2] = {0, 0}, number, count = 0, overtaken = 0, highest = 0;
        run_open(&run, "127.0.0.1", down == 1);
        run_add(&run, (struct ruleset_fault){
                          .type = RULESET_REORDER,
                          .reorder = {.probability_ppb = 200000000, .delay_ns = 5 * NS_PER_MS}});
        int fd = down ? run.rig.client : run.rig.server;
        for (uint32_t i = 0; i < SENT; i++) {
            size_t passed = run.oracle->delivered_count;
            run_send_one(&run);
            held[i] = run.oracle->delivered_count == passed;
            if (i % BATCH == 0)
                rig_turn(&run.rig);
            while (count < SENT && recv(fd, &number, sizeof(number), MSG_DONTWAIT) > 0) {
                assert_true(number < SENT && (last[held[number]] <= number));
                last[held[number]] = number;
                overtaken += number < highest;
                highest = number > highest ? number : highest;
                count++;
            }
        }
        while (count < SENT) {
            await(&run.rig, recv(fd, &number, sizeof(number), MSG_DONTWAIT) > 0);
            assert_true(number < SENT && last[held[number]] <= number);
            last[held[number]] = number;
            overtaken += number < highest;
            count++;
        }
        assert_int_equal(rig_touched(&run.rig, "f"), run.oracle->touched);
        assert_true(overtaken > 0 && overtaken <= run.oracle->touched);
        assert_true(run.oracle->touched > SENT / 10);
        run_balance(&run, 0);
        run_close(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_models_lose_what_the_engine_says),
        cmocka_unit_test(duplicates_follow_their_original),
        cmocka_unit_test(bits_are_flipped),
        cmocka_unit_test(datagrams_are_cut_short),
        cmocka_unit_test(rejected_ones_do_not_cross),
        cmocka_unit_test(a_match_means_some_of_them),
        cmocka_unit_test(a_match_sees_both_ends),
        cmocka_unit_test(changes_and_removal_are_live),
        cmocka_unit_test(reordered_ones_are_overtaken),
    };
    return cmocka_run_group_tests_name("proxy/datagram/faults", tests, NULL, NULL);
}
