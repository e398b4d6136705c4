"""What an interaction costs to learn from: processor microseconds of both models of a scenario, and on what they go.

    python benchmarks/training_cost.py scenarios/movielens_1m.yaml [--steps 12] [--turns 5] [--set key=value]

On one thread, all in float32, the softmax in bfloat16 (`softmax_precision`), and the encoder too (`encoder_precision`),
in turns over the same batches: the median turn of each, the median ratio to the turn of float32 beside it, what their
products alone would take at the speed of large matrices, and the shares of PyTorch's operations in one more turn, which
is profiled.
"""

import argparse
import time
from collections.abc import Iterator
from functools import cache
from itertools import islice
from statistics import median

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fleetrec import Scenario
from fleetrec.models.llm.network import TrainableItemLm, new_llama
from fleetrec.models.runtime.precision import Precision
from fleetrec.models.sequences import TrainingSet, even_length
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.batches import Batch, epoch_batches
from fleetrec.models.srm.losses import full_softmax_backward
from fleetrec.models.srm.training import deterministic
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.training import CALIBRATION_TAIL, VALIDATION_SEED, load_workload
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.workload.splitting import split_log, training_set

SIDE = 1024  # of large matrices
WAYS: dict[str, tuple[Precision, Precision]] = {
    "float32": ("float32", "float32"),
    "softmax in bfloat16": ("bfloat16", "float32"),
    "all in bfloat16": ("bfloat16", "bfloat16"),
}
"""precisions of the softmax and of the encoder"""
KINDS = {
    "products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"),
    "attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ),
    "softmax": ("aten::_softmax",),
    "dropout": ("aten::bernoulli_", "aten::random_"),
}
"""PyTorch's operations by kind"""


def models_of(scenario: sections.Scenario, data: TrainingSet) -> Iterator[tuple[str, StateModel, int, float]]:
    """Name, untrained model, windows a step and learning rate of those that learn by a full softmax."""
    srm, llm = scenario.srm, scenario.llm.candidates
    small = srm.network(data.n_items, data.n_users)
    if isinstance(small, StateModel) and srm.loss == "full_softmax":
        yield f"{srm.kind} d={srm.dim}", small, srm.training.batch_size, srm.training.learning_rate
    if isinstance(llm, ItemLm):
        length = even_length(llm.max_length)
        lm = new_llama(data.n_items, llm.dim, llm.layers, llm.heads, length)
        attributes = data.attributes if llm.item_text else None
        model = TrainableItemLm(lm, data.n_items, length, llm.training.dropout, attributes)
        yield f"item LM d={llm.dim}", model, llm.training.batch_size, llm.training.learning_rate


class Learner:
    """A model in training on the same few batches again and again."""

    def __init__(self, model: StateModel, batches: list[Batch], learning_rate: float):
        self._model, self._batches = model.train(), batches
        self._optimiser = {
            encoder: torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=encoder == "bfloat16" or None)
            for encoder in ("float32", "bfloat16")
        }
        self.count = sum(len(windows.filled) for batch in batches for windows in batch)

    def turn(self, softmax: Precision, encoder: Precision) -> float:
        """Processor microseconds an interaction."""
        begun = time.process_time()
        for batch in self._batches:
            self._optimiser[encoder].zero_grad(set_to_none=True)
            full_softmax_backward(self._model, batch, softmax, encoder)
            nn.utils.clip_grad_norm_(self._model.parameters(), 5.0)
            self._optimiser[encoder].step()
        return (time.process_time() - begun) / self.count * 1e6

    def products_alone(self, softmax: Precision, encoder: Precision) -> float:
        """Microseconds an interaction of its products at the speed of large ones of the same formats."""
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            for batch in self._batches:
                for windows in batch:
                    self._model.states(windows.inputs)
        last = 3 * 2 * self._model.dim * self._model.n_items * self.count
        others = 3 * float(counted.get_total_flops())  # each product has two of its size in the way back
        return (last * seconds_per_flop(softmax) + others * seconds_per_flop(encoder)) / self.count * 1e6

    def shares(self, softmax: Precision, encoder: Precision) -> dict[str, float]:
        """Of the time of PyTorch's operations, by kind."""
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            self.turn(softmax, encoder)
        found = dict.fromkeys([*KINDS, "other"], 0.0)
        for event in profiled.key_averages():
            kinds = [kind for kind, names in KINDS.items() if event.key in names]
            found[kinds[0] if kinds else "other"] += event.self_cpu_time_total
        return {kind: took / sum(found.values()) for kind, took in found.items()}


@cache
def seconds_per_flop(precision: Precision) -> float:
    """Of large products on one thread, the quickest of five."""
    left, right = (torch.randn(SIDE, SIDE).to(getattr(torch, precision)) for _ in range(2))
    took = []
    for _ in range(5):
        begun = time.process_time()
        torch.mm(left, right)
        took.append(time.process_time() - begun)
    return min(took) / (2 * SIDE**3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--steps", type=int, default=12, help="of the optimiser in a turn")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    scenario = Scenario.load(given.scenario, given.set)
    split = split_log(load_workload(scenario.workload), scenario.workload.split)
    validated = scenario.workload.split.validation_users
    data = training_set(split, VALIDATION_SEED, validated, CALIBRATION_TAIL)
    with deterministic(1, 1, "cpu"):
        for name, model, size, rate in models_of(scenario, data):
            generator = torch.Generator().manual_seed(1)
            batches = list(islice(epoch_batches(data, model.max_length, size, generator), given.steps))
            learner = Learner(model, batches, rate)
            for way in WAYS.values():
                learner.turn(*way)
            turns = [[learner.turn(*way) for way in WAYS.values()] for _ in range(given.turns)]
            print(name)
            for (said, way), took in zip(WAYS.items(), zip(*turns, strict=True), strict=True):
                ratio = median(one / turn[0] for one, turn in zip(took, turns, strict=True))
                shares = "  ".join(f"{kind} {share:.0%}" for kind, share in learner.shares(*way).items())
                alone = learner.products_alone(*way)
                print(f"  {said:20s}{median(took):6.1f} us an interaction, {ratio:.2f} of float32's; ", end="")
                print(f"products alone {alone:.1f};  {shares}")


if __name__ == "__main__":
    main()
