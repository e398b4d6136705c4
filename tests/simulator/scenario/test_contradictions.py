"""Keys that contradict each other are named in one line, with the way out."""

from pathlib import Path

import pytest

from fleetrec.simulator.scenario import Scenario
from tests.simulator.scenario.mistakes import message

CONTRADICTIONS = {
    "shares below one": (
        "fleet: {classes: [{name: x, share: 0.5}, {name: y, share: 0.4}]}",
        "fleet.classes: the shares must add up to 1, but 0.5 + 0.4 = 0.9; change one",
    ),
    "two classes of one name": (
        "fleet: {classes: [{name: x, share: 0.5}, {name: x, share: 0.5}]}",
        "fleet.classes.1.name: 'x' is the name of class 0 too; rename one",
    ),
    "half an outage": (
        "fleet: {classes: [{name: x, share: 1, link: {kind: lte, outage_every: 1h}}]}",
        "fleet.classes.0.link: 'outage_every' and 'outage_length' go together; add 'outage_length'",
    ),
    "cut at the end": (
        "workload: {split: {kind: global_time, at: 1}}",
        "workload.split.at: expected a share of events between 0 and 1 (both excluded), or an ISO time",
    ),
    "cut at no time": (
        "workload: {split: {kind: global_time, at: yesterday}}",
        "or an ISO time such as 2019-06-01, got",
    ),
    "din with a softmax": ("srm: {kind: din}", "srm.loss: full_softmax is too much for kind din"),
    "heads that do not divide": (
        "srm: {dim: 64, heads: 3}",
        "srm.heads: must divide srm.dim, but 64 is not a multiple",
    ),
    "odd window": ("srm: {max_length: 51}", "srm.max_length: must be even, since windows move by half of it; set 52"),
    "odd window of the LLM": (
        "llm: {candidates: {kind: item_lm, max_length: 51}}",
        "llm.candidates.max_length: must be",
    ),
    "LLM heads that do not divide": (
        "llm: {candidates: {kind: item_lm, dim: 100, heads: 3}}",
        "llm.candidates.heads: must divide llm.candidates.dim, but 100 is not a multiple of 3; change either",
    ),
    "heads of a T5 that do not fit": (
        "llm: {candidates: {kind: p5, dim: 100, heads: 3}}",
        "llm.candidates.heads: must divide llm.candidates.dim, but 100 is not a multiple of 3; change either",
    ),
    "prompt without a history": (
        "llm: {candidates: {kind: text_lm, checkpoint: x, instruction: Name films.}}",
        "llm.candidates.instruction: does not say where the user's titles go; write {history} at that place",
    ),
    "endpoint that nobody pays for": (
        "llm: {candidates: {kind: endpoint, url: http://x/v1, model: m}}",
        "llm.served_as: an endpoint does not say whose speed is charged; name a catalogue model (`fleetrec catalog`)",
    ),
    "beams that nobody searches with": (
        "llm: {candidates: {kind: text_lm, checkpoint: x}, generation: beam}",
        "llm.generation: beam is not how text_lm answers, which writes titles one after the other, and what it writes "
        "is charged; remove it",
    ),
    "illegal beams of a list": (
        "llm: {generation: list, illegal_beams: 0.2}",
        "llm.illegal_beams: no beams are searched for these lists; remove it, or set llm.generation: beam",
    ),
    "illegal beams of no engine": (
        "llm: {illegal_beams: engine}\ncloud: {engine: none}",
        "llm.illegal_beams: engine: cloud.engine names none; give a share, such as 0.2, or all replicas one engine",
    ),
    "illegal beams of several engines": (
        "llm: {illegal_beams: engine}\ncloud: {pools: [{name: a, engine: vllm}, {name: b, engine: sglang}]}",
        "llm.illegal_beams: engine: the replicas have several engines; give a share",
    ),
    "illegal beams of a model that has its own": (
        "llm: {illegal_beams: 0.2, candidates: {kind: p5}}",
        "llm.illegal_beams: p5 writes the ids itself, so that its network says which beams name no item; remove it, or "
        "set llm.candidates.constrained: false",
    ),
    "odd size of an LLM head": ("llm: {candidates: {kind: item_lm, dim: 12, heads: 4}}", "dim / heads must be even"),
    "fewer replicas at most than at least": (
        "cloud: {replicas: 4, autoscale: {min: 4, max: 2}}",
        "cloud.autoscale.min: 4 replicas at least and 2 at most (max) contradict; change either",
    ),
    "replicas outside the autoscaler's limits": (
        "cloud: {replicas: 9, autoscale: {min: 2, max: 6}}",
        "cloud.replicas: 9 at the start are outside autoscale.min 2 to autoscale.max 6; set 6, or widen the limits",
    ),
    "replicas of a pool outside its limits": (
        "cloud: {pools: [{name: x, autoscale: {min: 2}}]}",
        "cloud.pools.0.replicas: 1 at the start are outside autoscale.min 2 to autoscale.max 8; set 2",
    ),
    "utilization that is never reached": (
        "cloud: {autoscale: {target: 1.5}}",
        "cloud.autoscale.target: a utilization of 1.5 is never reached; set a share below 1, such as 0.7",
    ),
    "prices that are no range": (
        "tariffs: {gpu_hour: {low: 4, typical: 3, high: 5}}",
        "tariffs.gpu_hour: 4, 3, 5 is no range; low, typical and high must rise",
    ),
    "a dollar that is no dollar": (
        "tariffs: {currency: {per_usd: 0.9}}",
        "tariffs.currency.per_usd: a US dollar is 1 of USD, not 0.9; name the currency (code)",
    ),
    "a currency that is none": (
        "tariffs: {currency: {code: euro, per_usd: 0.9}}",
        "tariffs.currency.code: expected three capital letters, such as EUR, got 'euro'",
    ),
    "two pools of one name": (
        "cloud: {pools: [{name: x}, {name: x}]}",
        "cloud.pools.1.name: 'x' is the name of pool 0 too; rename one",
    ),
    "more beams than sequences": (
        "cloud: {max_sequences: 16}\nllm: {generation: beam, beams: 50}",
        "cloud.max_sequences: a request of 50 beams (llm.beams) never fits 16 sequences; set at least 50",
    ),
    "drafts for beams": (
        "cloud: {speculation: {kind: ngram, acceptance: 0.4}}",
        "cloud.speculation: engines do not verify drafts for beams, and these requests are answered with beams; set",
    ),
    "chances for other drafts than there are": (
        "llm: {generation: list}\ncloud: {speculation: {kind: ngram, tokens: 3, acceptance: [0.4, 0.3]}}",
        "cloud.speculation.acceptance: 2 chances for 3 drafted tokens; give one for each position, or a single number",
    ),
    "drafts beyond the token budget": (
        "llm: {generation: list}\ncloud: {max_batched_tokens: 1024, speculation: {kind: ngram, acceptance: 0.4}}",
        "cloud.max_batched_tokens: a step of 1,024 tokens has no place for 4 drafts and a token of each of 256 "
        "sequences; set at least 1280",
    ),
    "steps too small for the batch": (
        "cloud: {max_batched_tokens: 128}",
        "cloud.max_batched_tokens: a step of 128 tokens has no place for one token of each of 256 sequences; set at",
    ),
    "prefill and decode apart, beside pools": (
        "cloud: {disaggregation: {prefill: {replicas: 2}}, pools: [{name: a}]}",
        "cloud.disaggregation: and cloud.pools both say which replicas there are; remove either",
    ),
    "a deadline of two replicas": (
        "cloud: {disaggregation: {}, admission: deadline}",
        "cloud.admission: deadline expects an answer from the pace of one replica, and cloud.disaggregation has two "
        "for each; choose queue_limit or random_early",
    ),
    "a tier of KV cache without cached prefixes": (
        "cloud: {kv_offloading: {memory: 64GB}}",
        "cloud.kv_offloading: keeps cached prefixes, and none are cached; set cloud.prefix_caching: true",
    ),
    "sigmoid of softmax logits": (
        "policy: {fusion: {kind: linear, score: sigmoid}}",
        "policy.fusion.score: sigmoid has no meaning for the logits of srm.loss: full_softmax; use rank, zscore",
    ),
    "gated sigmoid of softmax logits": (
        "policy: {fusion: {kind: gated, score: sigmoid}}",
        "policy.fusion.score: sigmoid",
    ),
    "push without histories": (
        "policy: {request: cloud_push}",
        "policy.request: cloud_push needs users' histories in the cloud; set cloud.stores: history (or lists)",
    ),
    "push window that overruns": (
        "cloud: {stores: lists}\npolicy: {request: {kind: cloud_push, every: 1h}}",
        "policy.request.window: 'at' + 'window' must end within 'every'",
    ),
    "staleness without a limit": (
        "policy: {request: staleness}",
        "policy.request: kind staleness takes exactly one of 'threshold' and 'age', but neither is given",
    ),
    "staleness by two limits": (
        "policy: {request: {kind: staleness, threshold: 3, age: 1h}}",
        "but both are given; set one of them to null",
    ),
    "inconsistency without a limit": (
        "policy: {request: inconsistency}",
        "policy.request: kind inconsistency takes exactly one of 'ratio' and 'threshold', but neither is given",
    ),
    "inconsistency without a list": (
        "policy: {slate: srm, request: {kind: inconsistency, ratio: 0.2}}",
        "policy.request: inconsistency needs the LLM's list, but policy.slate is srm; set it to llm or both",
    ),
    "a learned policy without a list": (
        "policy: {slate: srm, request: learned}",
        "policy.request: learned needs the LLM's list, but policy.slate is srm; set it to llm or both",
    ),
    "a backoff that goes down": (
        "policy: {request: {kind: congestion, threshold: 9, longest: 4}}",
        "policy.request.longest: 4 is below 'threshold' 9, which grows; set at least 9",
    ),
    "a night without a link": (
        "policy: {request: nightly_on_wifi}",
        "policy.request.links: no device has such a link, so none would ever ask; name some of 3g, 5g, lte",
    ),
    "sigmoid of a softmax in a fusion that learns": (
        "policy: {fusion: {kind: online, score: sigmoid}}",
        "policy.fusion.score: sigmoid has no meaning",
    ),
    "bucket that never fills": (
        "policy: {budget: {ratio: 0.5, burst: 0.5}}",
        "policy.budget.burst: a bucket of 0.5 never holds the one token that a request costs; set at least 1",
    ),
    "negative carbon": ("tariffs: {carbon: -4}", "tariffs.carbon: expected at least 0 gCO2 per kWh"),
    "cut-off twice": ("metrics: {k: [5, 5]}", "metrics.k: a cut-off stands there twice; name each once"),
    "seed beyond the generators": ("seed: 9223372036854775808", "seed: expected a whole number below 2^63"),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_keys_that_contradict_each_other_are_named(tmp_path: Path, contradiction: str) -> None:
    text, expected = CONTRADICTIONS[contradiction]
    path = tmp_path / "fleet.yaml"
    path.write_text(f"name: a\n{text}\n")
    told = message(path)
    assert told.startswith((f"{path}:2: ", f"{path}:3: "))
    assert expected in told


def test_a_contradiction_between_file_and_command_line_blames_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\npolicy:\n  fusion: {kind: linear, score: sigmoid}\nsrm: {loss: bce}\n")
    Scenario.load(path)
    assert message(path, "srm.max_length=7").startswith("--set srm.max_length=7: srm.max_length: must be even")
