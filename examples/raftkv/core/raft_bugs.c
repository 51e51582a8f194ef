/* The names of the defects that can be switched on. Each is a condition on raft_has_bug at the
 * place where the mistake is made in practice. */
#include <string.h>

#include "examples/raftkv/core/raft.h"

static const char *const names[RAFT_BUG_COUNT] = {
    [RAFT_BUG_HALF_QUORUM] = "half-quorum",
    [RAFT_BUG_VOTE_NOT_PERSISTED] = "vote-not-persisted",
    [RAFT_BUG_TERM_NOT_PERSISTED] = "term-not-persisted",
    [RAFT_BUG_VOTE_CLEARED] = "vote-cleared",
    [RAFT_BUG_VOTE_COUNTED_TWICE] = "vote-counted-twice",
    [RAFT_BUG_STALE_REPLY] = "stale-reply",
    [RAFT_BUG_COMMIT_OLD_TERM] = "commit-old-term",
    [RAFT_BUG_NO_UP_TO_DATE_CHECK] = "no-up-to-date-check",
    [RAFT_BUG_NO_PREV_TERM_CHECK] = "no-prev-term-check",
    [RAFT_BUG_NO_TRUNCATE] = "no-truncate",
    [RAFT_BUG_TRUNCATE_ALWAYS] = "truncate-always",
    [RAFT_BUG_COMMIT_BEYOND_MATCH] = "commit-beyond-match",
    [RAFT_BUG_MATCH_OPTIMISTIC] = "match-optimistic",
    [RAFT_BUG_NO_STEP_DOWN] = "no-step-down",
    [RAFT_BUG_LOCAL_READS] = "local-reads",
    [RAFT_BUG_EARLY_READ_INDEX] = "early-read-index",
    [RAFT_BUG_NO_CHECK_QUORUM] = "no-check-quorum",
    [RAFT_BUG_NO_PRE_VOTE] = "no-pre-vote",
};

const char *raft_bug_name(unsigned bug)
{
    return bug < RAFT_BUG_COUNT ? names[bug] : NULL;
}

uint32_t raft_bug_by_name(const char *name)
{
    for (unsigned bug = 0; bug < RAFT_BUG_COUNT; bug++)
        if (strcmp(names[bug], name) == 0)
            return 1u << bug;
    return 0;
}
