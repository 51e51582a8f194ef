#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

#include "chaos/nemesis/select.h"

static const char names[5][RULESET_NAME_MAX] = {"n1", "n2", "n3", "n4", "n5"};
static const bool all_usable[5] = {true, true, true, true, true};

static struct select_view view_of(int leader, const bool *usable)
{
    return (struct select_view){.nodes = names, .count = 5, .usable = usable, .leader = leader};
}

static struct experiment_selector selector(enum experiment_selector_kind kind, const char *name,
                                           unsigned count)
{
    struct experiment_selector result = {.kind = kind, .count = count};
    strncpy(result.name, name, sizeof(result.name) - 1);
    return result;
}

#define NAMED(name) selector(EXPERIMENT_NODE_NAMED, name, 0)
#define LEADER selector(EXPERIMENT_NODE_LEADER, "", 0)
#define FOLLOWER selector(EXPERIMENT_NODE_FOLLOWER, "", 0)
#define MORE(count) selector(EXPERIMENT_NODE_MORE, "", count)
#define REST selector(EXPERIMENT_NODE_REST, "", 0)

static void one_node(void **state)
{
    (void)state;
    struct select_view view = view_of(2, all_usable);
    struct random_stream stream = select_stream(1, 0);
    struct error error = {0};
    size_t node;
    struct experiment_selector named = NAMED("n4"), nobody = NAMED("n9"), leader = LEADER,
                               rest = REST;
    assert_int_equal(select_node(&named, &view, NULL, &stream, &node, NULL), 0);
    assert_int_equal(node, 3);
    assert_int_equal(select_node(&nobody, &view, NULL, &stream, &node, &error), -ENOENT);
    assert_non_null(strstr(error.message, "n9"));
    assert_int_equal(select_node(&leader, &view, NULL, &stream, &node, NULL), 0);
    assert_int_equal(node, 2);
    view.leader = SELECT_NO_LEADER;
    assert_int_equal(select_node(&leader, &view, NULL, &stream, &node, &error), -ENOENT);
    assert_int_equal(select_node(&rest, &view, NULL, &stream, &node, &error), -EINVAL);
}

static void followers_are_usable_and_vary_with_the_seed(void **state)
{
    (void)state;
    const bool usable[5] = {true, false, true, true, true};
    struct select_view view = view_of(0, usable);
    struct experiment_selector follower = FOLLOWER;
    unsigned hits[5] = {0};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct random_stream stream = select_stream(seed, 4), again = select_stream(seed, 4);
        size_t node, same;
        assert_int_equal(select_node(&follower, &view, NULL, &stream, &node, NULL), 0);
        assert_int_equal(select_node(&follower, &view, NULL, &again, &same, NULL), 0);
        assert_int_equal(node, same);
        hits[node]++;
    }
    assert_int_equal(hits[0], 0);
    assert_int_equal(hits[1], 0);
    for (size_t i = 2; i < 5; i++)
        assert_in_range(hits[i], 60, 140);
    const bool none[5] = {true, false, false, false, false};
    struct random_stream stream = select_stream(1, 1);
    size_t node;
    view.usable = none;
    assert_int_equal(select_node(&follower, &view, NULL, &stream, &node, NULL), -ENOENT);
}

static void leader_and_one_more_against_the_rest(void **state)
{
    (void)state;
    struct experiment_selector first[] = {LEADER, MORE(1)}, second[] = {REST};
    struct experiment_group groups[] = {{first, 2}, {second, 1}};
    struct select_view view = view_of(3, all_usable);
    unsigned with[5] = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random_stream stream = select_stream(seed, 0);
        int group_of[5];
        size_t small = 0;
        assert_int_equal(select_groups(groups, 2, &view, &stream, group_of, NULL), 0);
        assert_int_equal(group_of[3], 0);
        for (size_t i = 0; i < 5; i++) {
            assert_true(group_of[i] == 0 || group_of[i] == 1);
            small += group_of[i] == 0;
            with[i] += group_of[i] == 0;
        }
        assert_int_equal(small, 2);
    }
    for (size_t i = 0; i < 5; i++)
        assert_true(with[i] > 20);
}

static void more_never_takes_a_node_that_a_later_group_names(void **state)
{
    (void)state;
    struct experiment_selector first[] = {MORE(2)}, second[] = {NAMED("n1"), LEADER},
                               third[] = {FOLLOWER};
    struct experiment_group groups[] = {{first, 1}, {second, 2}, {third, 1}};
    struct select_view view = view_of(1, all_usable);
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct random_stream stream = select_stream(seed, 0);
        int group_of[5];
        assert_int_equal(select_groups(groups, 3, &view, &stream, group_of, NULL), 0);
        assert_int_equal(group_of[0], 1);
        assert_int_equal(group_of[1], 1);
    }
}

static void nodes_in_no_group_stay_out(void **state)
{
    (void)state;
    struct experiment_selector first[] = {NAMED("n1")}, second[] = {NAMED("n2"), NAMED("n5")};
    struct experiment_group groups[] = {{first, 1}, {second, 2}};
    struct select_view view = view_of(SELECT_NO_LEADER, all_usable);
    struct random_stream stream = select_stream(1, 0);
    struct text text = {0};
    int group_of[5];
    assert_int_equal(select_groups(groups, 2, &view, &stream, group_of, NULL), 0);
    assert_int_equal(group_of[2], SELECT_NO_GROUP);
    select_format_groups(&view, group_of, 2, &text);
    assert_string_equal(text_get(&text), "n1 / n2,n5");
    text_free(&text);
}

static void impossible_groups(void **state)
{
    (void)state;
    struct experiment_selector leader[] = {LEADER}, n1[] = {NAMED("n1")}, rest[] = {REST},
                               six[] = {MORE(6)}, all[] = {MORE(5)};
    struct select_view view = view_of(0, all_usable);
    struct random_stream stream = select_stream(1, 0);
    struct error error = {0};
    int group_of[5];
    struct experiment_group twice[] = {{leader, 1}, {n1, 1}};
    assert_int_equal(select_groups(twice, 2, &view, &stream, group_of, &error), -EINVAL);
    assert_non_null(strstr(error.message, "two groups"));
    struct experiment_group many[] = {{six, 1}, {rest, 1}};
    assert_int_equal(select_groups(many, 2, &view, &stream, group_of, &error), -EINVAL);
    struct experiment_group nothing_left[] = {{all, 1}, {rest, 1}};
    assert_int_equal(select_groups(nothing_left, 2, &view, &stream, group_of, &error), -EINVAL);
    assert_non_null(strstr(error.message, "empty"));
    struct experiment_selector both[] = {LEADER, NAMED("n1")};
    struct experiment_group same[] = {{both, 2}, {rest, 1}};
    assert_int_equal(select_groups(same, 2, &view, &stream, group_of, NULL), 0);
}

static void who_leads_matters_only_to_some_steps(void **state)
{
    (void)state;
    struct experiment_selector leader[] = {LEADER};
    struct experiment_group groups[] = {{leader, 1}};
    struct experiment_step split = {.action = EXPERIMENT_SPLIT, .groups = groups, .group_count = 1};
    struct experiment_step kill = {.action = EXPERIMENT_KILL, .node = LEADER};
    struct experiment_step restart = {.action = EXPERIMENT_RESTART, .node = LEADER};
    struct experiment_step cut = {.action = EXPERIMENT_CUT, .from = NAMED("n1"), .to = FOLLOWER};
    struct experiment_step heal = {.action = EXPERIMENT_HEAL};
    struct experiment_step pause = {.action = EXPERIMENT_PAUSE, .node = NAMED("n1")};
    assert_true(select_needs_leader(&split));
    assert_true(select_needs_leader(&kill));
    assert_true(select_needs_leader(&cut));
    assert_false(select_needs_leader(&restart));
    assert_false(select_needs_leader(&heal));
    assert_false(select_needs_leader(&pause));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node),
        cmocka_unit_test(followers_are_usable_and_vary_with_the_seed),
        cmocka_unit_test(leader_and_one_more_against_the_rest),
        cmocka_unit_test(more_never_takes_a_node_that_a_later_group_names),
        cmocka_unit_test(nodes_in_no_group_stay_out),
        cmocka_unit_test(impossible_groups),
        cmocka_unit_test(who_leads_matters_only_to_some_steps),
    };
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
