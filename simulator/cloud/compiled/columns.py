"""Where compiled code keeps what: a row of integers and one of times for each replica, and for each request.

All rows are indexed in place: a view of a row takes as long as a step.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., object])
_COUNTS_NO_REFERENCES: dict[str, Any] = {"nogil": True, "_nrt": False}


def compiled(function: Function) -> Function:
    """The same function as a part of machine code. It makes no arrays, so nobody counts who refers to them: at each
    call that would take longer than most parts."""
    return cast(Function, njit(**_COUNTS_NO_REFERENCES)(function))


def making_arrays(function: Function) -> Function:
    """The same function as a part of machine code that makes arrays."""
    return cast(Function, njit(nogil=True)(function))


def kept(function: Function) -> Function:
    """The same function in machine code, with its parts kept on disk; other threads go on while it runs."""
    return cast(Function, njit(cache=True, nogil=True)(function))


NOBODY = -1

# A replica's integers `S`. First what its engine allows:
TOKENS, MOST, BLOCK, KV_BLOCKS, WINDOW, SEPARATE, RESERVE, ASYNC, CACHING, KIND = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
N_ENGINE = 10
# its memory, and those that are here:
FREE, RESERVED, OUTSTANDING, WAITING, RUNNING, NUMBERS = 10, 11, 12, 13, 14, 15
PREEMPTIONS, PASSED = 16, 17  # tokens that passed through the weights
LINE, FRESH, FRESH_LAST = 18, 19, 20  # root of the heap of those that wait; those that it has not seen, as a list
PARTIAL, PAUSED, PREFILLS, LEAVING, HELD, HELD_WIDTH = 21, 22, 23, 24, 25, 26  # lengths of lists; held sequences
LEFT, LEFT_LAST = 27, 28  # list of those that have left since this was last asked
STEPS, ALONE, PLANNED = 29, 30, 31  # of the run at hand; whether it is one step with prompts; steps of the run planned
STEP, SEQUENCES, CONTEXT, DECODING = 32, 33, 34, 35  # of those that decode; how many requests these are
SEARCHES, FURTHER, SQUARES, AGAIN = 36, 37, 38, 39  # see Beams
COUNTED_WAITING, COUNTED = 40, 41  # as the node last counted them
AT_ENDS, AT_ENDING, AT_PREFILLS, AT_LEAVING, AT_HELD = 42, 43, 44, 45, 46  # columns where lists begin
QUEUE, QUEUE_LAST = 47, 48  # of free blocks, where prefixes are cached (see memory.py)
COMING = 49  # requests whose KV cache is on its way
PHASES = 50
# and its times `X`: of the run at hand and of the one planned each a run (see timing.py).
CLOCK, BUSY_S, START_S, END_S, PLANNED_END_S, ARMED_S = 0, 1, 2, 3, 4, 5
LINK_FREE_S, LINK_TOKEN_S, LINK_LATENCY_S = 6, 7, 8  # of the link that a prefill replica sends over
RUN, PLAN = 9, 20
N_TIMES = 31

# A request's integers `J`: what it asks, and how far it has come.
PROMPT, OUTPUT, WIDTH, STATE, NUMBER, GENERATED, COMPUTED, PREFILL = 0, 1, 2, 3, 4, 5, 6, 7
BLOCKS, FINISH, WINDOWED, TIMES, SMALLER, LARGER, NEXT, LEAVES = 8, 9, 10, 11, 12, 13, 14, 15  # TIMES: preempted
MACHINE, OUTCOME, SETTLED = 16, 17, 18
SHARED, CACHED, PREFIX, PREFIX_TOKENS, CHAIN, OWN, HOLDER_BEFORE, HOLDER_AFTER = range(19, 27)  # see memory.py
ROLE, COMES, NEWEST = 27, 28, 29  # whether its KV cache is on its way; the row of its newest job
N_JOB = 30
BOTH, PREFILLS_ALONE, DECODES = 0, 1, 2
NEW, IN_LINE, IN_PREFILL, IN_DECODE, FINISHED, REMOVED = 0, 1, 2, 3, 4, 5
# and its times `T`.
KEY, ADDED_S, STARTED_S, FIRST_S, ENDED_S, SHARE_S, JOINED_S, TOLD_S, ARRIVED_S, DEADLINE_S = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
)
N_JOB_TIMES = 10


def replica_columns(block: int, most: int) -> tuple[list[int], int]:
    """Where each list of a replica's integers begins, for blocks of so many tokens and so many sequences; and how many
    integers that is."""
    lists = [PHASES + block + part * (most + 1) for part in range(6)]
    return lists[:5], lists[5]
