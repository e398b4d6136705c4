"""What a list is worth by its age, under each fusion rule and slate, at no latency: no simulated time, every streamed
interaction is ranked as if its device had held a list of that age. --json adds paired differences in NDCG@10, each
with half of its 95% interval (users as clusters): to the SRM alone over the catalogue, the LLM's order, SRM re-ranking.

    python benchmarks/list_age.py scenarios/movielens_1m.yaml [--ages 0,1,2] [--set key=value]... [--json]
"""

import argparse
import json
from typing import Any

import numpy as np

from fleetrec import Scenario
from fleetrec.models.metrics import accuracy, accuracy_per_query, clustered_mean
from fleetrec.models.runtime.progress import RichProgress
from fleetrec.simulator.policies.fusion.gated import GatedFusion
from fleetrec.simulator.policies.fusion.linear import LinearFusion
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.reciprocal_rank import ReciprocalRankFusion
from fleetrec.simulator.policies.fusion.srm_only import SrmOnly
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.preparation.training import candidate_source, first_deployed, slates_of
from fleetrec.simulator.ranking.list_age import AGES, ranks_at_age
from fleetrec.simulator.results.baselines import baseline_ranks
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs, SlateInputs

ALONE, LLM, RE_RANK = "SRM alone", "LLM order", "SRM re-rank"
RULES: dict[str, sections.FusionRule] = {
    LLM: LlmOnly(),
    RE_RANK: SrmOnly(),
    "fused, weight 0.5": LinearFusion(srm_weight=0.5),
    "fused, weight 1": LinearFusion(srm_weight=1.0),
    "fused, weight 2": LinearFusion(srm_weight=2.0),
    "gated": GatedFusion(),
    "reciprocal rank": ReciprocalRankFusion(),
}


def main() -> None:
    """Print HR@10 / NDCG@10 by age and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ages", type=lambda text: [int(age) for age in text.split(",")], default=list(AGES))
    arguments = parser.parse_args()
    ages, oldest = arguments.ages, max(arguments.ages)
    scenario = Scenario.load(arguments.scenario, [*arguments.overrides, f"fleet.preloaded.lag={oldest}"])
    prepared = prepare(scenario, "cpu", RichProgress())
    population, trained = prepared.population, prepared.trained
    owner = np.repeat(np.arange(population.n_devices), np.diff(population.stream.device_offsets))
    users, steps = population.users[owner], population.stream.step.astype(np.int64)
    enough = steps - 1 - oldest >= 0
    users, steps = users[enough], steps[enough]
    first = np.maximum(trained.split.history - 1 - oldest, 0)
    exclude_seen, length = scenario.workload.hides_seen, scenario.llm.list_length
    base = baseline_ranks(trained, prepared.srm, prepared.scores, users, steps, length, exclude_seen, RichProgress())
    judged = base["srm"] >= -1  # all, but for an SRM without a user state
    worth = {(ALONE, age): accuracy_per_query(base["srm"], (10,))["ndcg@10"] for age in ages}
    found: dict[str, Any] = {"interactions": len(users), "by_rule": {}, "baselines": {}}
    joined = {"joined, weight 1": LinearFusion(srm_weight=1.0)}
    for slate, rules in (("llm", RULES), ("both", joined), ("cloud_srm", {"cloud SRM": LlmOnly()})):
        for name, rule in rules.items():
            policy = scenario.policy.model_copy(update={"fusion": rule, "slate": sections.Slate.of(slate)})
            chosen = scenario.model_copy(update={"policy": policy})
            inputs = PreparationInputs.of(chosen)
            srm = first_deployed(inputs.item_table, trained)
            source, _ = candidate_source(inputs.lists, trained, srm, first, prepared.scores, "cpu", RichProgress())
            slates = slates_of(SlateInputs.of(chosen), trained, prepared.scores, source)
            row: dict[int, dict[str, Any]] = {}
            for age in ages:
                ranks = ranks_at_age(slates, trained.histories, users, steps, age)
                row[age] = accuracy(ranks, (10,))
                worth[name, age] = accuracy_per_query(ranks, (10,))["ndcg@10"]
                for other in (ALONE, LLM, RE_RANK):
                    if (other, age) in worth:
                        lead = (worth[name, age] - worth[other, age])[judged]
                        row[age][f"minus {other}"] = clustered_mean(lead, users[judged])
            found["by_rule"][name] = row
    if prepared.source is not None:
        prepared.source.save()
    for name, ranks in base.items():
        found["baselines"][name] = accuracy(ranks[ranks >= -1], (10,))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{scenario.name}: {found['interactions']} interactions, HR@10/NDCG@10 by age of the list in interactions")
    print(f"{'':20}" + "".join(f"{age:>14}" for age in ages))
    for name, by_age in found["by_rule"].items():
        print(f"{name:20}" + "".join(_pair(figures).rjust(14) for figures in by_age.values()))
    for name, figures in found["baselines"].items():
        print(f"baseline {name:11}{_pair(figures)}")


def _pair(figures: dict[str, Any]) -> str:
    return f"{figures['hr@10']:.4f}/{figures['ndcg@10']:.4f}".replace("0.", ".")


if __name__ == "__main__":
    main()
