"""A ranker as files: an ONNX model, and a program of `torch.export`, both made from one traced graph."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from fleetrec.models.export.ranker import Ranker
from fleetrec.models.runtime.errors import InputError

NEEDED = ("onnx", "onnxscript", "onnxruntime")
_TRACED = 7
"""candidates of the example that is traced: a number of no meaning"""


def check_installed() -> None:
    """InputError where a package that writes or checks ONNX models is missing."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"export: {missing[0]} is not installed; pip install .[phone]")


def traced(ranker: Ranker, kind: str) -> ExportedProgram:
    """What `ranker` computes, for any number of candidates. InputError for a network that cannot be traced."""
    window = torch.zeros(ranker.length, dtype=torch.int64)
    window[:2] = 1
    candidates = torch.ones(_TRACED, dtype=torch.int64)
    with _quietly(kind):
        shapes = {"window": None, "candidates": {0: Dim("count", min=1)}}
        program = torch.export.export(ranker, (window, candidates), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of files on this machine
    return program


def write_programs(program: ExportedProgram, kind: str, onnx: Path, torch_file: Path) -> None:
    """Both files of a traced ranker."""
    with _quietly(kind):
        torch.export.save(program, torch_file)
        model = torch.onnx.export(
            program, dynamo=True, input_names=["window", "candidates"], output_names=["scores"], verbose=False
        )
        assert model is not None
        model.save(str(onnx), external_data=False)


@contextmanager
def _quietly(kind: str) -> Iterator[None]:
    """What the exporters have to say is left out; what they cannot do is one line."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever a network of the user's own or an operation without a counterpart leads to
        told = str(error).strip().splitlines()
        raise InputError(
            f"srm: {kind} cannot be exported: {told[0] if told else type(error).__name__}; its computation must not "
            "hang on the numbers that it is given, and may use what ONNX knows"
        ) from error
    finally:
        logging.disable(before)
