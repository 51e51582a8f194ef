/* The list of actions: growing arrays that are emptied and used again, and messages' ownership. */
#include <stdlib.h>
#include <string.h>

#include "examples/raftkv/core/raft_state.h"

void raft_message_copy(struct raft_message *to, const struct raft_message *from)
{
    *to = *from;
    to->entries = NULL;
    if (from->entry_count == 0)
        return;
    size_t capacity = 0;
    to->entries = raft_grow(NULL, &capacity, from->entry_count, sizeof(*to->entries));
    memcpy(to->entries, from->entries, from->entry_count * sizeof(*to->entries));
    for (uint32_t i = 0; i < to->entry_count; i++)
        raft_payload_hold(to->entries[i].payload);
}

void raft_message_release(struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++)
        raft_payload_release(message->entries[i].payload);
    free(message->entries);
    memset(message, 0, sizeof(*message));
}

void raft_actions_clear(struct raft_actions *actions)
{
    for (size_t i = 0; i < actions->message_count; i++)
        raft_message_release(&actions->messages[i]);
    actions->message_count = 0;
    actions->proposal_count = 0;
    actions->read_count = 0;
    actions->transition_count = 0;
    actions->hard_state = false;
    actions->entries_first = 0;
    actions->overwritten_first = 0;
}

void raft_actions_free(struct raft_actions *actions)
{
    raft_actions_clear(actions);
    free(actions->messages);
    free(actions->proposals);
    free(actions->reads);
    free(actions->transitions);
    memset(actions, 0, sizeof(*actions));
}

/* The message is in the list, addressed and with the current term; the caller fills in the rest.
 * Valid until the next one is added. */
struct raft_message *raft_add_message(struct raft *raft, struct raft_actions *actions,
                                      enum raft_message_type type, uint8_t to)
{
    actions->messages = raft_grow(actions->messages, &actions->message_capacity,
                                  actions->message_count + 1, sizeof(*actions->messages));
    struct raft_message *message = &actions->messages[actions->message_count++];
    *message = (struct raft_message){
        .type = type, .from = raft->config.self, .to = to, .term = raft->term};
    return message;
}

void raft_add_proposal(struct raft_actions *actions, const struct raft_proposal *proposal)
{
    actions->proposals = raft_grow(actions->proposals, &actions->proposal_capacity,
                                   actions->proposal_count + 1, sizeof(*actions->proposals));
    actions->proposals[actions->proposal_count++] = *proposal;
}

void raft_add_read(struct raft_actions *actions, uint64_t request, bool granted, uint64_t index)
{
    actions->reads = raft_grow(actions->reads, &actions->read_capacity, actions->read_count + 1,
                               sizeof(*actions->reads));
    actions->reads[actions->read_count++] =
        (struct raft_read){.request = request, .granted = granted, .index = index};
}

void raft_add_transition(struct raft *raft, struct raft_actions *actions, enum raft_role from,
                         enum raft_cause cause)
{
    actions->transitions = raft_grow(actions->transitions, &actions->transition_capacity,
                                     actions->transition_count + 1, sizeof(*actions->transitions));
    actions->transitions[actions->transition_count++] = (struct raft_transition){
        .from = from, .to = raft->role, .cause = cause, .term = raft->term, .leader = raft->leader};
}

void raft_persist_hard_state(const struct raft *raft, struct raft_actions *actions)
{
    actions->hard_state = true;
    actions->term = raft->term;
    actions->vote = raft->vote;
}

void raft_persist_entries(struct raft_actions *actions, uint64_t first)
{
    if (actions->entries_first == 0 || first < actions->entries_first)
        actions->entries_first = first;
}
