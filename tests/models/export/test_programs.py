"""An exported program scores as the model that it was made of, in ONNX and in PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from fleetrec.models.export.programs import traced, write_programs
from fleetrec.models.export.ranker import Ranker
from fleetrec.models.srm.deployment import Precision
from tests.models.srm_cases import Config

CASES: list[tuple[str, Precision]] = [("gru4rec", "int8"), ("sasrec", "float16"), ("din", "float32")]


@pytest.mark.parametrize(("kind", "precision"), CASES)
def test_programs_score_as_the_model_with_the_weights_that_they_hold(
    kind: str, precision: Precision, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model = Config(kind, loss="bce").network(40, 2).eval()
    ranker = Ranker(model, precision)
    onnx, torch_file = tmp_path / "srm.onnx", tmp_path / "srm.pt2"
    write_programs(traced(ranker, kind), kind, onnx, torch_file)
    session, program = onnxruntime.InferenceSession(str(onnx)), torch.export.load(torch_file).module()
    for window, count in (([3, 1, 7], 1), ([5, 40, 2, 2, 9, 1, 11, 4], 40)):
        padded = torch.tensor(window + [0] * (ranker.length - len(window)))
        candidates = torch.arange(count)
        whole = model.window_logits(padded[None], candidates[None], torch.zeros(1, dtype=torch.int64))[0].detach()
        asked = {"window": padded.numpy(), "candidates": candidates.numpy() + 1}
        found = session.run(["scores"], asked)[0]
        with torch.no_grad():
            assert np.allclose(found, ranker(padded, candidates + 1), atol=1e-5)
            assert np.allclose(found, program(padded, candidates + 1), atol=1e-5)
        near = {"float32": 1e-5, "float16": 1e-2, "int8": 0.1}[precision]
        assert np.allclose(found, whole, atol=near * float(whole.abs().max()))
    assert b"/models/" not in onnx.read_bytes()  # no file of this machine is named
