"""How the SRM's states and candidate scores are best computed on this machine, and whether ranks stay as they are.

    python benchmarks/model_choices.py scenarios/high_churn.yaml [--set key=value]... [--no-compile] [--json]

The rankings are those of a run of the scenario: its trained SRM, its candidate lists, every slate that was on screen.
Against the defaults (states in tiles of the model's own size, scores in float64) each choice says how many states or
rankings it makes a second of wall and of processor time, how many lists it orders differently, and how many ranks of
next items differ.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec import Scenario
from fleetrec.models.prefixes import Encoder, rounded_item_vectors, tiled_states
from fleetrec.models.runtime.progress import NullProgress, RichProgress
from fleetrec.models.srm.base import StateModel
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.held_out import held_out_of
from fleetrec.simulator.preparation.policy_calibration import tune
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import slates_of
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.slates import ListSlates, Queries
from fleetrec.simulator.ranking.srm_logits import StateScores
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TILES = (32, 64, 128, 256, 512, 1024)
REPEATS = 3


Rows = tuple[torch.Tensor, torch.Tensor]
"""rows [R, d] in some arithmetic, and what each is to be multiplied with [R, 1]"""


class Scored(StateScores):
    """Scores of lists in another arithmetic; the item vectors are held in it."""

    cast: Callable[[torch.Tensor], Rows]

    def __init__(self, *given: Any):
        super().__init__(*given)
        self._rows, self._scales = self.cast(torch.from_numpy(self.vectors(np.arange(len(self.known)))))

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        (groups, width), length = steps.shape, items.shape[1]
        states, of_state = self.cast(torch.from_numpy(self.states(np.repeat(users, width), steps.reshape(-1))))
        named = torch.from_numpy(np.maximum(items, 0).reshape(-1))
        vectors = self._rows.index_select(0, named).view(groups, length, -1)
        logits = torch.bmm(states.view(groups, width, -1), vectors.transpose(1, 2)).double()
        logits *= of_state.view(groups, width, 1) * self._scales.index_select(0, named).view(groups, 1, length)
        return np.asarray(logits.numpy())


def as_float(kind: torch.dtype) -> Callable[[torch.Tensor], Rows]:
    """Rows in a shorter floating-point format."""
    return lambda rows: (rows.to(kind), torch.ones(len(rows), 1, dtype=torch.float64))


def as_int8(rows: torch.Tensor) -> Rows:
    """Rows as integers of -127 to 127 and a scale each. PyTorch has no batched product of integers on CPUs, so float32
    holds them, in which sums of 64 such products are exact."""
    scale = rows.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / 127
    return (rows / scale).round().float(), scale


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` returns; wall and processor seconds of its quickest repetition."""
    walls, busy = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - cpu)
    return found, min(walls), min(busy)


class Bench:
    """The slates of one run, ranked again from states or by scores made in another way."""

    def __init__(self, scenario: sections.Scenario, prepared: Prepared):
        assert isinstance(prepared.srm.model, StateModel), "DIN has no user state"
        inputs = SlateInputs.of(scenario)
        tuned = tune(scenario.policy, inputs, prepared, lambda: held_out_of(prepared, "cpu", NullProgress()))
        world = build_world(scenario, prepared, tuned, None)
        world.recorder.slates.keeps_all = True
        run(world, scenario, prepared, NullProgress())
        queries = world.recorder.all_queries()
        self.queries: Queries = queries.take((queries.as_of >= 0) & (queries.target >= 0))
        self.scenario, self.prepared, self.model = scenario, prepared, prepared.srm.model.eval()
        self.first = prepared.first
        self.users = np.unique(prepared.population.users)
        self.vectors = rounded_item_vectors(self.model)
        self.states, self.rows = self.encoded(self.model.states, self.model.tile)
        self.orders, self.ranks = self.ranked(StateScores)

    def encoded(self, encode: Encoder, tile: int) -> tuple[torch.Tensor, Ints]:
        """All states of the run's users."""
        log = self.prepared.trained.split.log
        dim, length, here = self.model.dim, self.model.max_length, torch.device("cpu")
        return tiled_states(encode, here, dim, length, log.offsets, log.items, self.first, self.users, tile)

    def slates(self, kind: type[StateScores], states: torch.Tensor | None = None) -> ListSlates:
        """The scenario's slates from these scores."""
        held = self.states if states is None else states
        scores = kind(held, self.rows, self.first, self.vectors, self.prepared.srm.known)
        made = slates_of(SlateInputs.of(self.scenario), self.prepared.trained, scores, self.prepared.source)
        assert isinstance(made, ListSlates), "the scenario's slate shows no candidate list"
        return made

    def ranked(self, kind: type[StateScores], states: torch.Tensor | None = None) -> tuple[Ints, Ints]:
        """The SRM's order of every list [M, N], and the rank of the next item in every slate [M]."""
        slates = self.slates(kind, states)
        orders = np.zeros((len(self.queries), self.scenario.llm.list_length), dtype=np.int64)

        def keep(chosen: Ints, view: ListView) -> None:
            orders[chosen] = view.lists.srm_order

        slates.look(self.queries, keep)
        return orders, slates.place(self.queries)[0]

    def differing(self, kind: type[StateScores], states: torch.Tensor | None = None) -> dict[str, int]:
        """Lists that are ordered otherwise than by default, and next items whose rank differs."""
        orders, ranks = self.ranked(kind, states)
        return {
            "lists_reordered": int((orders != self.orders).any(axis=1).sum()),
            "ranks_changed": int((ranks != self.ranks).sum()),
        }

    def of_states(self, name: str, encode: Encoder, tile: int) -> dict[str, Any]:
        """A way to make states."""
        (states, _), wall, busy = timed(lambda: self.encoded(encode, tile))
        return {
            "choice": name,
            "per_s": len(states) / wall,
            "per_cpu_s": len(states) / busy,
            "states_changed": int((states != self.states).any(dim=1).sum()),
            **self.differing(StateScores, states),
        }

    def of_scores(self, name: str, kind: type[StateScores]) -> dict[str, Any]:
        """A way to score lists, timed within all the work of ranking."""
        slates = self.slates(kind)
        _, wall, busy = timed(lambda: slates.place(self.queries))
        n = len(self.queries)
        return {"choice": name, "per_s": n / wall, "per_cpu_s": n / busy, **self.differing(kind)}

    def product_share(self) -> float:
        """Share of the processor time of ranking that the scores of lists take."""
        slates, spent = self.slates(StateScores), 0.0
        score = slates._scores.of_lists

        def counted(users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
            nonlocal spent
            begun = time.thread_time()
            try:
                return score(users, steps, items, weights)
            finally:
                spent += time.thread_time() - begun

        torch.set_num_threads(1)  # so that one thread's time is all there is
        slates._scores.of_lists = counted  # type: ignore[method-assign]
        begun = time.thread_time()
        slates.place(self.queries)
        return spent / (time.thread_time() - begun)


def scored_by(cast: Callable[[torch.Tensor], Rows]) -> type[StateScores]:
    """Scores in that arithmetic."""
    return type("Scored", (Scored,), {"cast": staticmethod(cast)})


def measure(bench: Bench, threads: int, compiled: bool) -> dict[str, Any]:
    """All choices, the default first."""
    encode, own = bench.model.states, bench.model.tile
    torch.set_num_threads(threads)
    states = [bench.of_states(f"tiles of {own}, {threads} threads: default", encode, own)]
    states += [bench.of_states(f"tiles of {tile}, {threads} threads", encode, tile) for tile in TILES if tile != own]
    torch.set_num_threads(1)
    states.append(bench.of_states(f"tiles of {own}, 1 thread", encode, own))
    if compiled:
        begun = time.perf_counter()
        fast = torch.compile(encode)
        with torch.no_grad():
            for since in (0, bench.model.max_length // 2):
                fast(torch.zeros(own, bench.model.max_length, dtype=torch.int64), since)
        took = time.perf_counter() - begun
        states.append(bench.of_states(f"torch.compile ({took:.0f} s), 1 thread", fast, own))
    torch.set_num_threads(threads)
    kinds: dict[str, type[StateScores]] = {
        "float64: default": StateScores,
        "float32": scored_by(as_float(torch.float32)),
        "bfloat16": scored_by(as_float(torch.bfloat16)),
        "int8": scored_by(as_int8),
    }
    scores = [bench.of_scores(name, kind) for name, kind in kinds.items()]
    return {
        "srm": bench.model.kind,
        "dim": bench.model.dim,
        "window": bench.model.max_length,
        "rankings": len(bench.queries),
        "states": len(bench.states),
        "of_states": states,
        "of_scores": scores,
        "product_share": bench.product_share(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    scenario = Scenario.load(arguments.scenario, arguments.overrides)
    bench = Bench(scenario, prepare(scenario, "cpu", RichProgress()))
    found = measure(bench, scenario.engine.threads, not arguments.no_compile)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['srm']} d={found['dim']} window {found['window']}: {found['states']:,} states, ", end="")
    print(f"{found['rankings']:,} rankings of {scenario.llm.list_length}")
    for what in ("of_states", "of_scores"):
        for row in found[what]:
            changed = ", ".join(f"{key.replace('_', ' ')} {row[key]:,}" for key in row if key.endswith("ed"))
            print(f"  {row['choice']:38} {row['per_s']:>12,.0f}/s {row['per_cpu_s']:>12,.0f} a CPU second  {changed}")
    print(f"  the scores of lists are {found['product_share']:.0%} of the time of ranking")


if __name__ == "__main__":
    main()
