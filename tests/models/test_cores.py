"""As many workers as there are cores for them, not as the machine has."""

import os
from pathlib import Path

import pytest

from fleetrec.models.runtime.cores import available_cores


@pytest.mark.parametrize(
    ("said", "cores"), [("max 100000\n", None), ("100000 100000\n", 1), ("50000 100000\n", 1), ("1e9 100000\n", None)]
)
def test_a_control_group_gives_fewer_cores_than_there_are(tmp_path: Path, said: str, cores: int | None) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(said)
    allowed = len(os.sched_getaffinity(0))
    assert available_cores(tmp_path) == (allowed if cores is None else cores)


def test_a_process_that_is_held_to_one_core_has_one() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
