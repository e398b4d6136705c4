"""Where compiled code keeps what: a row of integers and one of times for each replica, and for each request.

All rows are indexed in place: a view of a row takes as long as a step.
"""

NOBODY = -1

# A replica's integers `S`. First what its engine allows:
TOKENS, MOST, BLOCK, KV_BLOCKS, WINDOW, SEPARATE, RESERVE, ASYNC, CACHING, KIND = range(10)
EACH, DRAFT = 10, 11  # tokens of a sequence that a step passes, drafts with it; the kind that drafts, NOBODY for none
N_ENGINE = 12
# its memory, and those that are here:
FREE, RESERVED, OUTSTANDING, WAITING, RUNNING, NUMBERS = range(12, 18)
PREEMPTIONS, PASSED = 18, 19  # tokens that passed through the weights
LINE, FRESH, FRESH_LAST = 20, 21, 22  # root of the heap of those that wait; those that it has not seen, as a list
PARTIAL, PAUSED, PREFILLS, LEAVING, HELD, HELD_WIDTH = range(23, 29)  # lengths of lists; held sequences
LEFT, LEFT_LAST = 29, 30  # list of those that have left since this was last asked
STEPS, ALONE, PLANNED = 31, 32, 33  # of the run at hand; whether it is one step with prompts; steps of the run planned
STEP, SEQUENCES, CONTEXT, DECODING = 34, 35, 36, 37  # of those that decode; how many requests these are
SEARCHES, FURTHER, SQUARES, AGAIN = 38, 39, 40, 41  # see Beams
COUNTED_WAITING, COUNTED = 42, 43  # as the node last counted them
AT_ENDS, AT_ENDING, AT_PREFILLS, AT_LEAVING, AT_HELD, AT_OPENED = range(44, 50)  # columns where lists begin
QUEUE, QUEUE_LAST = 50, 51  # of free blocks, where prefixes are cached (see memory.py)
COMING = 52  # requests whose KV cache is on its way
RING = 53  # steps round the ring of the blocks that they open, where drafts are verified
PHASES = 54
# and its times `X`: of the run at hand and of the one planned each a run (see timing.py).
CLOCK, BUSY_S, START_S, END_S, PLANNED_END_S, ARMED_S = range(6)
LINK_FREE_S, LINK_TOKEN_S, LINK_LATENCY_S = 6, 7, 8  # of the link that a prefill replica sends over
HAD, GROWTH = 9, 10  # tokens of KV cache of those that decode with drafts, and how many more each step
RUN, PLAN = 11, 48
N_TIMES = 85

# A request's integers `J`: what it asks, and how far it has come.
PROMPT, OUTPUT, WIDTH, STATE, NUMBER, GENERATED, COMPUTED, PREFILL = range(8)
BLOCKS, FINISH, WINDOWED, TIMES, SMALLER, LARGER, NEXT, LEAVES = range(8, 16)  # TIMES: preempted
MACHINE, OUTCOME, SETTLED = 16, 17, 18
SHARED, CACHED, PREFIX, PREFIX_TOKENS, CHAIN, OWN, HOLDER_BEFORE, HOLDER_AFTER = range(19, 27)  # see memory.py
ROLE, COMES, NEWEST = 27, 28, 29  # whether its KV cache is on its way; the row of its newest job
TICKET = (
    NEWEST  # of a live node, where no job goes on elsewhere: its place in order of arrival, NOBODY where it is gone
)
DECODE_STEPS, JOINED = 30, 31  # that its tokens after the first take, where drafts are verified; when it joined those
LISTED = 32  # in how many lists of its replica it stands: the row may be another request's where it is in none
N_JOB = 33
BOTH, PREFILLS_ALONE, DECODES = 0, 1, 2
NEW, IN_LINE, IN_PREFILL, IN_DECODE, FINISHED, REMOVED = range(6)
# and its times `T`.
KEY, ADDED_S, STARTED_S, FIRST_S, ENDED_S, SHARE_S, JOINED_S, TOLD_S, ARRIVED_S, DEADLINE_S = range(10)
N_JOB_TIMES = 10


def replica_columns(block: int, most: int, ring: int) -> tuple[list[int], int]:
    """Where each list of a replica's integers begins, for blocks of so many tokens, so many sequences and so many steps
    round the ring; and how many integers that is."""
    lists = [PHASES + block + part * (most + 1) for part in range(6)]
    return lists, lists[5] + ring
