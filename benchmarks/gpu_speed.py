"""Training, user states and candidate generation a second, on a GPU or a CPU, against the ceilings of that machine.

    python benchmarks/gpu_speed.py scenarios/movielens_1m.yaml --device cuda [--batch 1024] [--set key=value] [--json]
    python benchmarks/gpu_speed.py scenarios/movielens_1m.yaml --users 500          # two cores, a part of the users

The scenario's log, split and models, whose weights are as drawn: speed does not depend on what they say. The two
ceilings are measured first: products of large matrices, and a copy that is larger than any cache. For each kind of work
it prints what it does a second, and which share of the ceilings that takes: floating-point operations of its products
over those of large bfloat16 products (CPU: float32), and bytes that its operations read and write over those of a copy.
Operations and bytes are counted on one batch; recurrent layers hide theirs.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fleetrec import Scenario
from fleetrec.models.candidates import CandidateSource
from fleetrec.models.llm.item_ids import item_ids
from fleetrec.models.llm.item_lm import ItemLmCandidates, TrainedItemLm
from fleetrec.models.llm.network import TrainableItemLm, new_llama
from fleetrec.models.llm.p5_network import RESERVED, P5Network, new_t5
from fleetrec.models.llm.p5_search import BeamSearch
from fleetrec.models.prefixes import prefix_states
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.sequences import TrainingSet, even_length, n_transitions, training_set
from fleetrec.models.srm.base import SmallModel, StateModel
from fleetrec.models.srm.training import deterministic, fine_tune
from fleetrec.models.srm.updating import Plan
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.training import load_workload
from fleetrec.simulator.results.run_folder import usable_device
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.workload.splitting import split_log
from fleetrec.simulator.workload.splitting import training_set as learning_part

SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices of a ceiling
COPIED = {"cpu": 2**29, "cuda": 2**33}  # bytes
P5_DIM, P5_ITEMS, P5_BEAMS = 128, 20, 20
COUNTED_USERS = {"cpu": 128, "cuda": 4096}  # of states and lists


class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in tree_leaves(answer) if isinstance(leaf, torch.Tensor)]
        storages = {leaf.untyped_storage().data_ptr() for leaf in given if not leaf.is_sparse}
        in_place = func._schema.is_mutable
        fresh = [leaf for leaf in made if leaf.is_sparse or leaf.untyped_storage().data_ptr() not in storages]
        if fresh or in_place:
            self.bytes += sum(map(bytes_of, (*given, *(made if in_place else fresh))))
        return answer


def bytes_of(tensor: torch.Tensor) -> int:
    """What is read or written of it; of a sparse one, its values."""
    held = tensor._values() if tensor.is_sparse else tensor
    return held.numel() * held.element_size()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], device: str, repeats: int = 3) -> float:
    """The quickest of `repeats`, after one that is not counted."""
    took = []
    for _ in range(repeats + 1):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        took.append(time.perf_counter() - begun)
    return min(took[1:])


def ceilings(device: str) -> dict[str, float]:
    """Operations a second of large products by format, and bytes a second that a copy reads and writes."""
    found = {}
    n = SIDE[device]
    formats = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
    for name, kind in formats.items():
        left, right = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
        found[f"{name}_flops_per_s"] = 2 * n**3 / seconds(lambda: left @ right, device)  # noqa: B023
    source = torch.randn(COPIED[device] // 4, device=device)
    target = torch.empty_like(source)
    found["bytes_per_s"] = 2 * COPIED[device] / seconds(lambda: target.copy_(source), device)
    return found


def counted(work: Callable[[], Any]) -> tuple[float, float]:
    """(floating-point operations of products, bytes of operations) of `work`, on one thread, where both can count."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Traffic() as traffic:
        work()
    with FlopCounterMode(display=False) as flops:
        work()
    torch.set_num_threads(threads)
    return float(flops.get_total_flops()), float(traffic.bytes)


def part_of(data: TrainingSet, users: int) -> TrainingSet:
    """The first `users` of a training set."""
    n = min(users, data.n_users)
    offsets = data.offsets[: n + 1]
    return training_set(
        offsets, data.items[: offsets[-1]], data.n_items, data.fit_end[:n], data.valid_end[:n], data.attributes
    )


class Bench:
    """One scenario on one device."""

    def __init__(self, scenario: sections.Scenario, device: str, users: int | None):
        self.scenario, self.device = scenario, device
        split = split_log(load_workload(scenario.workload), scenario.workload.split)
        data = learning_part(split, 1, 512, 20)
        self.data = data if users is None else part_of(data, users)
        self.limits = ceilings(device)
        self.rows: list[dict[str, Any]] = []

    def row(self, what: str, of: str, amount: int, took_s: float, each: tuple[float, float]) -> None:
        """`amount` of things in `took_s`, each of so many operations and bytes."""
        per_s = amount / took_s
        best = self.limits["bfloat16_flops_per_s" if self.device == "cuda" else "float32_flops_per_s"]
        self.rows.append(
            {
                "what": what,
                "of": of,
                "amount": amount,
                "seconds": took_s,
                "per_s": per_s,
                "flops_each": each[0],
                "bytes_each": each[1],
                "share_of_arithmetic": per_s * each[0] / best,
                "share_of_bandwidth": per_s * each[1] / self.limits["bytes_per_s"],
            }
        )
        print(line(self.rows[-1]), flush=True)

    def training(self, what: str, model: SmallModel, plan: Plan) -> None:
        """An epoch over the learning part, without validation."""
        size, some = plan.training.batch_size, part_of(self.data, plan.training.batch_size)
        with deterministic(1, torch.get_num_threads(), self.device):
            took = seconds(lambda: fine_tune(model, plan, self.data, NullProgress()), self.device, repeats=1)
            flops, moved = counted(lambda: fine_tune(model, plan, some, NullProgress()))
        known = n_transitions(some)
        each = flops / known, moved / known
        self.row(f"training {what}, {size} windows a step", "interactions", n_transitions(self.data), took, each)

    def states(self, what: str, model: StateModel) -> None:
        """All states of all users."""
        data, first = self.data, np.zeros(self.data.n_users, dtype=np.int64)
        model.requires_grad_(False)

        def encode(users: NDArray[np.int64] | None = None) -> Any:
            return prefix_states(model, data.offsets, data.items, first, users)

        some = np.arange(min(data.n_users, COUNTED_USERS[self.device]))
        flops, moved = counted(lambda: encode(some))
        count = float(data.offsets[len(some)])
        took = seconds(encode, self.device)
        self.row(f"states of {what}", "states", int(data.offsets[-1]), took, (flops / count, moved / count))

    def lists(self, what: str, source: Callable[[], CandidateSource | BeamSearch], most: int | None = None) -> None:
        """Lists of all users as of all positions, encoding included."""
        data = self.data
        users, as_of = ragged(np.diff(data.offsets))
        if most is not None and most < len(users):
            chosen = np.linspace(0, len(users) - 1, most).astype(np.int64)
            users, as_of = users[chosen], as_of[chosen]
        took = seconds(lambda: source().lists(users, as_of), self.device, repeats=1)
        few = users < COUNTED_USERS[self.device]
        flops, moved = counted(lambda: source().lists(users[few], as_of[few]))
        count = len(users[few])
        self.row(f"lists of {what}", "lists", len(users), took, (flops / count, moved / count))


def plan_of(config: Any, batch_size: int) -> Plan:
    """Training of one epoch in batches of that size."""
    training = config.training.model_copy(update={"batch_size": batch_size})
    loss = getattr(config, "loss", "full_softmax")
    return Plan(config.kind, loss, 1, training)


def line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['what']:48s} {row['per_s']:14,.0f} {row['of']}/s  arithmetic {row['share_of_arithmetic']:7.2%}  "
        f"bandwidth {row['share_of_bandwidth']:7.2%}"
    )


def measure(bench: Bench, batches: list[int], searched: int) -> None:
    """All rows."""
    scenario, data, device = bench.scenario, bench.data, bench.device
    srm, llm = scenario.srm, scenario.llm.candidates
    for size in [srm.training.batch_size, *batches]:
        bench.training(
            f"{srm.kind} d={srm.dim}", srm.network(data.n_items, data.n_users).to(device), plan_of(srm, size)
        )
    small = srm.network(data.n_items, data.n_users).to(device)
    if isinstance(small, StateModel):
        bench.states(f"{srm.kind} d={srm.dim}", small)
    if isinstance(llm, ItemLm):
        length = even_length(llm.max_length)
        attributes = data.attributes if llm.item_text else None

        def fresh() -> TrainableItemLm:
            lm = new_llama(data.n_items, llm.dim, llm.layers, llm.heads, length)
            return TrainableItemLm(lm, data.n_items, length, llm.training.dropout, attributes).to(device)

        for size in [llm.training.batch_size, *batches]:
            bench.training(f"item LM d={llm.dim}", fresh(), plan_of(llm, size))
        model = fresh().eval().requires_grad_(False)
        ready = TrainedItemLm(lambda: model, {}, {}, None, device, "untrained")  # type: ignore[arg-type]
        first, n = np.zeros(data.n_users, dtype=np.int64), scenario.llm.list_length
        exclude = scenario.workload.hides_seen
        bench.lists(
            f"item LM, {n} of {data.n_items:,}",
            lambda: ItemLmCandidates(ready, data.offsets, data.items, first, n, exclude),
        )
    ids = item_ids("collaborative", data, 1)
    network = P5Network(new_t5(ids, P5_DIM, 2, 4, 0.0), ids, RESERVED, []).to(device).eval().requires_grad_(False)
    search = BeamSearch(network, ids, data.offsets, data.items, P5_ITEMS, P5_BEAMS, P5_BEAMS, False)
    bench.lists(f"P5 d={P5_DIM}, {P5_BEAMS} beams", lambda: search, searched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--users", type=int, help="of the log; default: all")
    parser.add_argument("--batch", type=int, nargs="*", default=[], help="further batch sizes")
    parser.add_argument("--p5-lists", type=int, default=2000, help="lists of P5 to search for")
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON object at the end")
    given = parser.parse_args()
    scenario = Scenario.load(given.scenario, given.set)
    torch.set_num_threads(scenario.engine.threads)
    bench = Bench(scenario, usable_device(given.device), given.users)
    name = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    limits = bench.limits
    print(
        f"{name}: products {limits['bfloat16_flops_per_s'] / 1e12:,.2f} (bfloat16), "
        f"{limits['float32_flops_per_s'] / 1e12:,.2f} (float32), {limits['float64_flops_per_s'] / 1e12:,.2f} (float64) "
        f"TFLOP/s; copy {limits['bytes_per_s'] / 1e9:,.0f} GB/s"
    )
    measure(bench, given.batch, given.p5_lists)
    if given.json:
        print(json.dumps({"device": name, "torch": torch.__version__, "ceilings": limits, "rows": bench.rows}))


if __name__ == "__main__":
    main()
