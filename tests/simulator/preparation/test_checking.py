"""What is told before a log is read or anything is trained."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.scenario import Scenario, load_scenario

PROFILE = """
model: llama-3.1-8b
gpu: l4
gpus_per_replica: 1
engine_limits: {kv_blocks: 2587, max_batched_tokens: 2048, max_sequences: 256, block_tokens: 16,
                prefix_caching: true, order: fcfs, async_scheduling: true}
compute: {fixed_s: 0.002, per_token_s: 1.0e-4, per_sequence_s: 1.0e-5, per_context_token_s: 1.0e-7, per_pair_s: 0.0}
memory: {fixed_s: 0.02, per_token_s: 0.0, per_sequence_s: 1.0e-5, per_context_token_s: 1.0e-7, per_pair_s: 0.0}
experts: null
source: {log: x.jsonl, sha256: '0', requests: 1, fitted_first: 1}
in_sample: {}
held_out: null
"""


@pytest.mark.parametrize(
    ("setting", "content", "message"),
    [
        ("cloud.gpu=h10", "", "the catalogue has no GPU 'h10'; did you mean h100"),
        ("llm.served_as=llama-3.1-70b", "", "does not fit 1 x h100"),
        ("cloud={gpu: h100, profile: FILE}", PROFILE, "the profile is of 1 x l4, these replicas are 1 x h100"),
        ("fleet.churn={kind: trace, path: FILE}", "device,start_s,end_s\n0,9,5\n", "row 2: end_s 5 is not after"),
        ("fleet.churn={kind: trace, path: FILE}", "device,start_s,end_s\n99,0,5\n", "row 2: unknown device 99"),
        ("fleet.classes.0.link={kind: trace, path: FILE}", "0 5\n1 fast\n", "row 2: expected a finite number"),
        (
            "regions=[{name: a, share: 0.5}, {name: b, share: 0.5, link: {kind: trace, path: FILE}}]",
            "0 5\n1 fast\n",
            "row 2: expected a finite number",
        ),
        ("tariffs.carbon=FILE", "time,g\n0,300\n1,-2\n", "row 3: the value -2 is negative"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_trained(
    tmp_path: Path, setting: str, content: str, message: str
) -> None:
    (tmp_path / "fleet.yaml").write_text("name: a\nfleet: {devices: 9}\nllm: {served_as: llama-3.1-8b}\n")
    (tmp_path / "file").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        check_inputs(load_scenario(tmp_path / "fleet.yaml", [setting.replace("FILE", str(tmp_path / "file"))]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        ("name: a\n\ncloud:\n  gpu: h10\n", [], "fleet.yaml:4: cloud.gpu: the catalogue has no GPU 'h10'"),
        (
            "name: a\nllm: {served_as: llama-3.1-8b}\ncloud:\n  gpu: t4\n",
            [],
            "fleet.yaml:4: cloud.gpu: llama-3.1-8b does not fit",
        ),
        ("name: a\nllm:\n  served_as: llama3\n", [], "fleet.yaml:3: llm.served_as: the catalogue has no model"),
        (
            "name: a\ncloud:\n  pools:\n    - {name: x}\n    - {name: y, gpu: h10}\n",
            [],
            "fleet.yaml:5: cloud.pools.1.gpu: the catalogue has no GPU",
        ),
        ("name: a\ncloud: {gpu: h100}\n", ["cloud.gpu=h10"], "--set cloud.gpu=h10: cloud.gpu: the catalogue"),
        ("name: a\n\ntariffs: {carbon: no.csv}\n", [], "fleet.yaml:3: tariffs.carbon: no.csv does not exist"),
    ],
)
def test_what_is_wrong_with_a_file_or_the_cloud_is_told_with_its_line(
    tmp_path: Path, text: str, overrides: list[str], told: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Scenario.load(path, overrides, check=check_inputs)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(told)


def test_the_content_of_another_file_is_told_by_its_own_row_and_the_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "carbon.csv").write_text("time,g\n0,300\n1,-2\n")
    (tmp_path / "fleet.yaml").write_text(f"name: a\ntariffs:\n  carbon: {tmp_path}/carbon.csv\n")
    with pytest.raises(InputError, match=r"fleet\.yaml:3: tariffs\.carbon .*carbon\.csv, row 3: the value -2"):
        Scenario.load(tmp_path / "fleet.yaml", check=check_inputs)
