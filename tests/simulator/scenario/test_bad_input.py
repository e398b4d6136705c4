"""Every mistake in a scenario's file ends with one line that says what is wrong, where, and how to mend it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import load_scenario
from tests.simulator.scenario.mistakes import message

BAD_FILES = {
    # text of the file: (line of the mistake, 0 for the file itself; what the message says)
    "unknown key": ("name: a\npolcy: {}\n", 2, "unknown key 'polcy' (did you mean 'policy'?)"),
    "unknown key in a section": (
        "name: a\nfleet:\n  devics: 5\n",
        3,
        "unknown key 'devics' in fleet (did you mean 'devices'?)",
    ),
    "unknown key inside a kind": (
        "name: a\npolicy:\n  request:\n    kind: random\n    ratoi: 0.3\n",
        5,
        "unknown key 'ratoi' in policy.request of kind 'random' (did you mean 'ratio'?)",
    ),
    "key of another kind": (
        "name: a\npolicy:\n  request: {kind: every, ratio: 0.3}\n",
        3,
        "unknown key 'ratio' in policy.request of kind 'every' (keys: kind, n)",
    ),
    "unknown key in a list": (
        "name: a\nfleet:\n  classes:\n  - name: x\n    share: 1\n    sped: 3\n",
        6,
        "unknown key 'sped' in fleet.classes.0 (did you mean 'speed'?)",
    ),
    "unknown kind": (
        "name: a\npolicy:\n  request:\n    kind: randm\n",
        4,
        "policy.request: unknown kind 'randm' (did you mean 'random'? kinds: always, cloud_push, congestion, every, ",
    ),
    "unknown bare kind": (
        "name: a\nfleet: {churn: sometimes}\n",
        2,
        "fleet.churn: unknown kind 'sometimes' (kinds: always_on, on_off, trace)",
    ),
    "missing kind": (
        "name: a\nworkload:\n  split:\n    last: 10\n",
        3,
        "workload.split: 'kind' is missing; give one of global_time, per_user (these keys fit: per_user)",
    ),
    "missing required key": ("seed: 1\n", 0, "'name' is missing; give text"),
    "missing required key in a list": (
        "name: a\nfleet:\n  classes:\n  - share: 1\n",
        4,
        "fleet.classes.0: 'name' is missing; give text",
    ),
    "update without an SRM": (
        "name: a\npolicy: {slate: popular, update: fleet}\n",
        2,
        "policy.update: no device ranks by the SRM with policy.slate popular; set it to llm, srm or both",
    ),
    "update that the SRM's order does not matter to": (
        "name: a\npolicy: {fusion: llm_only, update: on_device}\n",
        2,
        "policy.update: the SRM decides nothing with fusion llm_only",
    ),
    "retraining after the run": (
        "name: a\nduration: 2h\npolicy:\n  update: {kind: fleet, every: 3h}\n",
        4,
        "policy.update.every: a schedule of every 10,800 s never fires in a run of 7,200 s; shorten it",
    ),
    "retraining on nothing": (
        "name: a\npolicy:\n  request: never\n  update: fleet\n",
        4,
        "policy.update.upload: no device ever asks, so nothing is uploaded to learn from; give a period such as 1h",
    ),
    "stages that shrink": (
        "name: a\npolicy:\n  update:\n    kind: fleet\n    stages: [{share: 0.5}, {share: 0.1, after: 1h}]\n",
        5,
        "policy.update.stages: shares must grow from stage to stage",
    ),
    "a link that no device has": (
        "name: a\npolicy:\n  update: {kind: fleet, links: [wifi]}\n",
        3,
        "policy.update.links: no device has one of these links, so no version is ever fetched; the fleet has 3g, 5g",
    ),
    "adapting a model without a state": (
        "name: a\nsrm: {kind: din, loss: bce}\npolicy:\n  update: on_device\n",
        4,
        "policy.update: an SRM of kind din has no user state to adapt",
    ),
    "a catalogue that is not on the device": (
        "name: a\nsrm: {item_table: with_list}\npolicy: {slate: both}\n",
        2,
        "srm.item_table: policy.slate both ranks the catalogue on the device, whose vectors with_list does not install",
    ),
    "share above one": (
        "name: a\nfleet:\n  classes:\n  - name: x\n    share: 1.5\n",
        5,
        "fleet.classes.0.share: expected a number between 0 and 1, got '1.5'",
    ),
    "negative size": (
        "name: a\nfleet: {devices: -3}\n",
        2,
        "fleet.devices: expected a whole number of at least 1 such as 2000, 500k or 2M, got '-3'",
    ),
    "zero devices": (
        "name: a\nfleet: {devices: 0}\n",
        2,
        "fleet.devices: expected a whole number of at least 1 such as 2000, 500k or 2M, got '0'",
    ),
    "fraction for a count": ("name: a\nseed: 1.5\n", 2, "seed: expected a whole number of at least 0, got '1.5'"),
    "boolean for a number": ("name: a\nseed: true\n", 2, "seed: expected a whole number of at least 0, got 'true'"),
    "word for a number": (
        "name: a\ntariffs: {gb_up: cheap}\n",
        2,
        "tariffs.gb_up: expected a number of at least 0, got 'cheap'",
    ),
    "number for a boolean": (
        "name: a\nengine: {batching: 7}\n",
        2,
        "engine.batching: expected true or false, got '7'",
    ),
    "not a number": ("name: a\nllm: {prompt: {tokens_per_item: .nan}}\n", 2, "expected a number above 0, got '.nan'"),
    "infinite duration": ("name: a\nduration: .inf\n", 2, "duration: expected a duration above 0 s such as"),
    "wrong unit": (
        "name: a\nduration: 5 parsecs\n",
        2,
        "got '5 parsecs' (units: us, ms, s, min, m, h, d)",
    ),
    "unit of something else": (
        "name: a\ncloud:\n  request_timeout: 2MB\n",
        3,
        "cloud.request_timeout: expected a duration above 0 s such as 250ms, 30min or 6h, got '2MB'",
    ),
    "carbon beyond sums": ("name: a\ntariffs: {carbon: 1e308}\n", 2, "got '1e308' (at most 1e+21)"),
    "endless duration": ("name: a\nduration: 1e308s\n", 2, r"got '1e308s' (at most 1e+10s)"),
    "negative duration": ("name: a\nduration: -3s\n", 2, "expected a duration above 0 s such as 250ms"),
    "unknown choice": (
        "name: a\npolicy: {slate: lmm}\n",
        2,
        "policy.slate: unknown kind 'lmm' (did you mean 'llm'? kinds: both, cloud_srm, frequent, llm, markov, popular, "
        "recent, srm)",
    ),
    "unknown router": (
        "name: a\ncloud: {router: least_outstandin}\n",
        2,
        "cloud.router: unknown kind 'least_outstandin' (did you mean 'least_outstanding'? kinds: device_affine, "
        "least_kv, least_outstanding, prefix_aware, random, round_robin)",
    ),
    "pool without a name": (
        "name: a\ncloud:\n  pools:\n  - gpu: l4\n",
        4,
        "cloud.pools.0: 'name' is missing; give text",
    ),
    "list for a value": ("name: a\nseed: [1, 2]\n", 2, "seed: expected a whole number of at least 0, got a list"),
    "value for a section": (
        "name: a\nfleet: 2000\n",
        2,
        "fleet: expected a section (keys with values below it), got '2000'",
    ),
    "value for a list": (
        "name: a\nmetrics: {k: 10}\n",
        2,
        "metrics.k: expected a list, each a whole number of at least 1, got '10'",
    ),
    "bad item in a list": (
        "name: a\nmetrics:\n  k:\n  - 5\n  - 0\n",
        5,
        "metrics.k.1: expected a whole number of at least 1, got '0'",
    ),
    "empty list": ("name: a\nmetrics: {k: []}\n", 2, "metrics.k: expected a list, each a whole number of at least 1"),
    "path without its key": (
        "name: a\nworkload: {interactions: log.csv}\n",
        2,
        "workload.interactions: expected synthetic, or a section such as {path: ...}, got 'log.csv'",
    ),
    "nothing for a value": ("name: a\nseed:\n", 2, "seed: expected a whole number of at least 0, got nothing"),
    "name that is no folder": ("name: a/b\n", 1, "name: expected text of letters, digits"),
    "duplicate key": ("name: a\nseed: 1\nseed: 2\n", 3, "duplicate key 'seed' (first on line 2)"),
    "duplicate key deep down": (
        "name: a\nsrm:\n  dim: 32\n  heads: 2\n  dim: 64\n",
        5,
        "duplicate key 'dim' (first on line 3)",
    ),
    "broken YAML": ("name: a\nfleet: {devices: 3\nseed: 2\n", 3, "cannot be read as YAML: "),
    "tab": ("name: a\nfleet:\n\tdevices: 3\n", 3, "indent with spaces, not tabs"),
    "two documents": ("name: a\n---\nname: b\n", 2, "more than one document"),
    "tag": ("name: !!python/name:os.system\n", 1, "is not allowed in a scenario; write plain values"),
    "anchor that holds itself": ("name: a\nfleet: &f\n  churn: *f\n", 3, "an anchor holds itself"),
    "merge of a list": ("name: a\nfleet:\n  <<: [1, 2]\n", 3, "'<<' merges mappings only"),
    "list at the top": ("- name: a\n", 0, "expected keys such as 'name: my_fleet' at the top of the file"),
    "text at the top": ("hello\n", 0, "expected keys such as 'name: my_fleet' at the top of the file"),
    "empty file": ("", 0, "is empty; the least that a scenario holds is 'name: my_fleet'"),
    "comments only": ("# nothing\n", 0, "is empty"),
    "control character": ("name: a\ndescription: \x07\n", 2, "holds a character that YAML does not allow"),
}


@pytest.mark.parametrize("mistake", BAD_FILES)
def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path: Path, mistake: str) -> None:
    text, line, expected = BAD_FILES[mistake]
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    told = message(path)
    assert told.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert expected in told


def test_of_several_mistakes_the_first_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\nsrm:\n  dim: 1000\nfleet:\n  devics: 5\n  represents: -1\n")
    assert message(path) == f"{path}:3: srm.dim: expected a whole number between 4 and 128, got '1000' (and 2 more)"


def test_a_missing_file_suggests_its_near_namesake(tmp_path: Path) -> None:
    (tmp_path / "high_churn.yaml").write_text("name: a\n")
    assert f"no such file (did you mean {tmp_path / 'high_churn.yaml'}?)" in message(tmp_path / "high_chrun.yaml")
    assert f"did you mean {tmp_path / 'high_churn.yaml'}?" in message(tmp_path / "high_churn")
    assert "(there are: high_churn.yaml)" in message(tmp_path / "zzz")
    assert "does not exist)" in message(tmp_path / "nowhere" / "a.yaml")


@pytest.mark.parametrize("text", ['description: "a\\e[2Jb"', '"a\\rb": 1', 'description: "\\x9b2J"'])
def test_what_would_move_the_cursor_of_a_terminal_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(f"name: s\n{text}\n", encoding="utf-8")
    told = message(tmp_path / "s.yaml")
    assert told.startswith(f"{tmp_path / 's.yaml'}:2: ")
    assert "holds a control character; remove it" in told
    assert told.isprintable()


def test_a_directory_is_not_a_scenario(tmp_path: Path) -> None:
    assert message(tmp_path).startswith(f"{tmp_path}: is a directory")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"name: \xff\xfe\x00")
    assert message(path) == f"{path}: is not UTF-8 text (byte 6); save it as UTF-8"


def test_a_data_file_is_not_read_as_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"1,2,3\n" * 300_000)
    assert "has 1,800,000 bytes; a scenario file is a short YAML text" in message(path)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\n")

    def refuse(_path: Path) -> bytes:  # as for a user who is not root, which the user of the tests may be
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert message(path) == f"{path}: no permission to read it"


def test_nesting_and_anchors_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: " + "[\n " * 5_000)
    assert "nested too deeply" in message(path)
    laughs = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    path.write_text("\n".join(laughs))
    assert "expands to more than 20,000 values" in message(path)


GOOD = "name: a\nfleet:\n  churn: {kind: on_off, online: 2h}\n  classes:\n  - {name: x, share: 1, link: 5g}\nseed: 3\n"
SCRAPS = st.sampled_from(
    [":", "{", "}", "[", "]", "'", "- ", "\n", "&a", "*a", "<<: ", "null", "nan", "1e999", "!!int x"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 9), SCRAPS | st.text(max_size=3)), max_size=3),
    override=st.none() | st.builds("{}={}".format, st.sampled_from(["fleet.churn", "fleet.classes.0", "seed"]), SCRAPS),
)
def test_whatever_is_written_ends_in_a_scenario_or_in_one_line(
    tmp_path: Path, edits: list[tuple[int, int, str]], override: str | None
) -> None:
    text = GOOD
    for at, cut, scrap in edits:
        text = text[:at] + scrap + text[at + cut :]
    path = tmp_path / "fleet.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_scenario(path, [override] if override else [])
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
