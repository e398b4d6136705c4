"""A world in which users react: the log as far as it had come, with room for what its users will choose, and the log
that it has become once the run is over.

A device takes its user's place in the log; of several that share one, the others get a place of their own at its end.
So where users happen to do what the log says, everything is numbered, computed and recorded as in replay.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.baselines import all_baselines
from fleetrec.models.llm.cache import CachedCandidates
from fleetrec.models.llm.source_inputs import Grown
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.preparation.fitted_users import exposed, fit_users
from fleetrec.simulator.preparation.prepare import Memo, Prepared, preloaded_lists
from fleetrec.simulator.preparation.training import TrainedModels, grown_source, srm_scores
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.records.recorder import Streamed
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.users.fitted import FittedUsers
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.truth import SyntheticTruth
from fleetrec.simulator.workload.users.utility import Past, UserModel

Ints = NDArray[np.int64]


def grown_models(trained: TrainedModels, places: Ints, first_step: Ints, rooms: Ints) -> tuple[TrainedModels, Ints]:
    """What was trained, for devices [D] whose users have `places` in the log: of each the interactions before
    `first_step` have happened, and there is room for `rooms` more. With it where each user's history is [D]."""
    split = trained.split
    log = split.log
    _, first_device = np.unique(places, return_index=True)
    others = np.setdiff1d(np.arange(len(places)), first_device)
    users = places.copy()
    users[others] = log.n_users + np.arange(len(others))
    numbers = np.concatenate([np.arange(log.n_users), places[others]])

    # Of each user, how many of the log's interactions it has had, and how many it may have.
    before = log.lengths[numbers].copy()
    before[users] = first_step
    may_have = before.copy()
    may_have[users] += rooms
    offsets = np.concatenate(([0], np.cumsum(may_have)))
    items = np.full(int(offsets[-1]), -1, dtype=np.int32)
    who, nth = ragged(before)
    items[offsets[who] + nth] = log.items[log.offsets[numbers[who]] + nth]
    histories = GrowingHistories(offsets, items, log.n_items, before, numbers)

    def of_all(values: Ints, of_others: Ints) -> Ints:
        return np.concatenate([values, of_others])

    nothing = np.zeros(len(others), dtype=np.int64)
    training = replace(
        trained.training,
        offsets=offsets,
        items=items,
        fit_end=of_all(trained.training.fit_end, nothing),
        valid_end=of_all(trained.training.valid_end, nothing),
    )
    now = replace(
        split,
        log=_with(log, numbers, offsets, items, None),
        history=of_all(split.history, split.history[places[others]]),
        train_end=of_all(split.train_end, nothing),
        streamed=np.concatenate([split.streamed, np.ones(len(others), dtype=bool)]),
    )
    return replace(trained, split=now, training=training, histories=histories), users


def grown(prepared: Prepared, device: str, progress: Progress) -> Prepared:
    """What was prepared, for users whose histories grow as they choose."""
    population = prepared.population
    trained, users = grown_models(prepared.trained, population.users, population.first_step, population.n_interactions)
    histories, log = trained.histories, prepared.trained.split.log
    assert isinstance(histories, GrowingHistories)
    first = prepared.first[histories.numbers]
    scores = srm_scores(trained, first, users, prepared.srm)
    population = replace(population, users=users)
    source = None
    if prepared.source is not None:
        reached = histories.reached if population.stream.zero_s is not None else None
        answerer = prepared.source.answerer if isinstance(prepared.source, CachedCandidates) else None
        grown_from = Grown(log, histories.numbers, reached, answerer)
        lists = prepared.inputs.lists
        source = grown_source(lists, trained, prepared.srm, first, scores, device, progress, grown_from)
    prepared = replace(prepared, trained=trained, population=population, first=first, scores=scores, source=source)
    return replace(prepared, preloaded=preloaded_lists(prepared.inputs, population, source))


def lived(before: Prepared, grown: Prepared, streamed: Streamed) -> Prepared:
    """What was `grown` from what was prepared `before` the run, with the log that the run has come to: of the stream's
    rows those that happened, at the steps and with the items that `streamed` has."""
    trained, population, stream = grown.trained, grown.population, before.population.stream
    histories = trained.histories
    assert isinstance(histories, GrowingHistories)
    who, nth = ragged(histories.lengths)
    offsets = np.concatenate(([0], np.cumsum(histories.lengths)))
    items = histories.items[histories.offsets[who] + nth]
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    early = np.arange(len(owner)) < population.first_row[owner]
    kept = streamed.happened | early
    log, numbers = before.trained.split.log, histories.numbers
    times = np.zeros(len(items))
    known = nth < before.trained.split.history[numbers][who]
    times[known] = log.times[log.offsets[numbers[who]] + nth][known]
    counts = np.bincount(owner[kept], minlength=population.n_devices)
    begins = np.concatenate(([0], np.cumsum(counts)))
    lived_stream = replace(
        stream, device_offsets=begins, step=streamed.step[kept].astype(np.int32), t_s=stream.t_s[kept]
    )
    times[offsets[population.users[owner[kept]]] + streamed.step[kept]] = stream.t_s[kept] + (stream.zero_s or 0.0)
    first_row = begins[:-1] + np.bincount(owner[early], minlength=population.n_devices)
    split = replace(trained.split, log=_with(log, numbers, offsets, items, times))
    learnt = before.trained.training.valid_end
    learn_end = np.concatenate([learnt, np.zeros(len(numbers) - len(learnt), dtype=np.int64)])
    trained = replace(
        trained,
        split=split,
        training=before.trained.training,
        histories=Histories(offsets, items, log.n_items),
        baselines=all_baselines(offsets, items, log.n_items, learn_end),
    )
    here = replace(population, stream=lived_stream, first_row=first_row, end_row=begins[1:])
    return replace(grown, trained=trained, population=here, memo=Memo())


def _with(
    log: InteractionLog, numbers: Ints, offsets: Ints, items: NDArray[np.int32], times: NDArray[np.float64] | None
) -> InteractionLog:
    """The log with other interactions, of users who are `numbers` [U] in it."""
    told = np.zeros(len(items)) if times is None else times
    ids = log.user_ids[numbers]
    if times is not None and np.array_equal(offsets, log.offsets) and np.array_equal(items, log.items):
        return log
    return replace(
        log, user_ids=ids, offsets=offsets, items=items, times=told, content_hash=content_hash("lived", offsets, items)
    )


def past_of(before: Prepared) -> Past:
    """What the users of a fleet have had before they choose."""
    population, log = before.population, before.trained.split.log
    device, nth = ragged(population.first_step)
    at = log.offsets[population.users[device]] + nth
    ends = np.cumsum(population.first_step)
    zero_s = population.stream.zero_s
    newest = log.times[at[np.maximum(ends - 1, 0)]] if len(at) else np.zeros(len(ends))
    begun = np.full(len(ends), zero_s) if zero_s is not None else newest
    times = np.minimum(log.times[at] - begun[device], 0.0)
    offsets = np.concatenate(([0], ends))
    return Past(population.users, offsets, log.items[at].astype(np.int64), times)


def opportunities_of(population: Population, users: sections.Users) -> Opportunities:
    """When the users of a fleet may do something."""
    return Opportunities.of(population.stream.t_s, population.first_row, population.end_row, users.pause_s())


def fitted_users(workload: sections.Workload, trained: TrainedModels, threads: int, progress: Progress) -> FittedUsers:
    """The users of a log on disk: fitted on so many threads, which takes a minute, where the cache does not have
    them."""
    return exposed(fit_users(trained.split, trained.store, threads, progress), trained.split, workload)


def user_model(workload: sections.Workload, before: Prepared, times: Opportunities, past: Past) -> UserModel:
    """What items are worth to the users of a scenario: the truth of the built-in world, or what was fitted on a log."""
    if workload.interactions != "synthetic":
        return fitted_users(workload, before.trained, before.inputs.training.threads, NullProgress())
    return SyntheticTruth(workload.synthetic, times, before.draws, past)
