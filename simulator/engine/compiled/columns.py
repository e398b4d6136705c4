"""Where the compiled engine keeps what: a row of integers and one of times and amounts for each device and request."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.compiling import Floats, Ints

NOBODY = -1

# A device's integers `D`, as in device.py:
ROW, END, STEP, AS_OF, SHOWN_SLATE, NEXT_SLATE, IN_FLIGHT, ASKED_STEP, AGAIN, AWAITED = range(10)
ASKED, DECISIONS, RANKINGS = 10, 11, 12  # ASKED: the row of the request that was decided and is to be sent
STORED, FOLLOWING, JOINED = 13, 14, 15  # newest list that the cloud has kept; the next that wakes in its bucket
N_DEVICE = 16
# and its times and amounts `F`:
LIST_TIME_S, NEXT_READY_S, SINCE_S, FIRST_READY_S, NEWEST_S, LAST_GAP_S, OTHER_J = range(7)
REACHABLE_UNTIL_S, ONLINE_S, WAKES_S, TOKENS = 7, 8, 9, 10  # TOKENS: of its budget
LEFT_S, COMPUTE_S, COMPUTE_J, BATTERY_J = 11, 12, 13, 14
UP_BYTE_S, DOWN_BYTE_S, ONE_WAY_S, JITTER, KEPT, RADIO_W = range(15, 21)
N_DEVICE_TIMES = 21

# A request's integers `R`:
NUMBER, DEVICE, OF_STEP, OF_ATTEMPT, HAS_TICKET, OUTCOME, PROMPT_TOKENS, OUTPUT_TOKENS, REPLICA, STATE = range(10)
N_REQUEST = 10
FREE, UNDER_WAY, CONCLUDED, ENDED = 0, 1, 2, 3  # states; CONCLUDED: its device knows, and it is still being served
# and its times and bytes `Q`:
ISSUED_S, DEADLINE_S, ARRIVED_S, STARTED_S, FINISHED_S, DELIVERED_S, BYTES_UP, BYTES_DOWN = range(8)
N_REQUEST_TIMES = 8
UNFINISHED, COMPLETED, TIMED_OUT, REJECTED, LOST, ABANDONED = range(6)
OUTCOMES = ("unfinished", "completed", "timed_out", "rejected", "lost", "abandoned")

# The rules of a run: integers `G`,
AT_INTERACTION, ONLINE, AT_ANSWER, BLOCKING, FAILS_OFFLINE, EMPTY_IS_MISS, BUDGETED, STORES_LISTS, STORES_HISTORY = (
    range(9)
)
HISTORY_ITEMS, PLAN, PLAN_NUMBER, UP_SEED, DOWN_SEED, FIRST_DEVICE = range(9, 15)
N_RULES = 15
# and amounts `H`:
PATIENCE_S, TIMEOUT_S, ANSWER_BYTES, OVERHEAD_BYTES, ITEM_BYTES, RATIO, BURST, PLAN_S = range(8)
N_AMOUNTS = 8

# What is counted `C`:
ISSUED, SLATES, INTERACTIONS, RUNS, RANKED, RECORDED, CAME, SEEN, BUCKET, SPARE, ROWS_USED, ZOMBIES = range(12)
CLOSED_UPTO = 12
N_COUNTS = 13
NEAR_S, NOW_S = 0, 1  # its times

# Columns of what is handed over: of a request that is recorded, after those of the table that the world itself knows,
SHARE_S, PASSED, FIRST_TOKEN_S, TICKET_STARTED_S, TICKET_FINISHED_S, MACHINE, RECORDED_OUTCOME = range(13, 20)
N_RECORDED = 20
N_RUN, N_SLATES, N_CAME = 8, 6, 6  # of a run of interactions, of one of slates, of a request that came to the cloud


class Fleet(NamedTuple):
    """Devices, their streams and links, and the rules by which they behave."""

    D: Ints
    F: Floats
    G: Ints
    H: Floats
    times: Floats
    """[S] of the stream"""
    next_tie: NDArray[np.int32]
    """[S] see Device"""
    next_ask: NDArray[np.int32]
    """[S] by the plan"""
    asks: NDArray[np.bool_]
    """[S] whether a device asks that decides after this row, by the plan"""
    joining: NDArray[np.bool_]
    """[n] whether it decides as it joins"""
    asks_joining: NDArray[np.bool_]
    """[n] whether it asks before its first row, by the plan"""
    first_row: Ints
    """[n]"""
    offsets: Ints
    """[n + 1] of presence"""
    edges: Floats
    tokens: Ints
    """[steps x 3] of a request by its step, from -1 on: of the prompt, of each sequence, and how many these are"""
    assigned: Ints
    """[n] the replica that a device's requests go to; -1: the least loaded"""
    heads: Ints
    """of the buckets of those that wake later, the first device"""
    waiting: Ints
    """how many are in each"""


class Told(NamedTuple):
    """What is handed over to those who record, and what has been counted."""

    C: Ints
    clock: Floats
    runs: Floats
    slates: Floats
    requests: Floats
    came: Floats


class Requests(NamedTuple):
    """Requests that are under way; rows that none has."""

    R: Ints
    Q: Floats
    spare: Ints
    """rows that are free, a stack"""
    zombies: Ints
    """rows of requests that have ended and still stand in a list of a replica"""
