"""A rehearsal at a real server on this machine's CPU, with no network: `transformers serve` with continuous batching,
and a small causal language model made here from a configuration, with random weights and a tokenizer made on the spot.

    python benchmarks/rehearsal_demo.py [--scenario FILE] [--out DIR] [OPTION OF `rehearse`]...    # make rehearsal-demo

The server needs fastapi, uvicorn, openai and accelerate, which the extra `dev` brings.
"""

import argparse
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fleetrec.models.llm.api_key import ApiKey
from fleetrec.models.llm.chat_parameters import ChatParameters
from fleetrec.simulator.experiments.rehearsal.sender import Due, Server, send

NEEDED = ("fastapi", "uvicorn", "openai", "accelerate")
_PROMPT = "The Silver River (1994)\n" * 60
_TOKENS, _BUSY, _MINUTES = 64, 1 / 2, 3.5
"""of an answer; the share of the time in which the server is; how long it is: three hundred answers or so, for half of
them have to settle a 95th percentile"""
_WARM_UP = 100
"""requests before those that are measured: a token takes this server a third longer in its first fifty answers"""
_ROOT = Path(__file__).resolve().parent.parent
_TEMPLATE = "{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}<|answer|>"


def lacking() -> list[str]:
    """What the server needs and is not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def write_model(folder: Path, hidden: int = 64, layers: int = 2) -> None:
    """A Llama of about a million random weights, and a tokenizer of the words in this repository's pages."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=2000,
        special_tokens=["<|end|>", "<|user|>", "<|answer|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pages = sorted((_ROOT / "docs" / "how-to").glob("*.md"))
    tokenizer.train_from_iterator([page.read_text(encoding="utf-8") for page in pages], trainer)
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")  # type: ignore[no-untyped-call]
    fast.chat_template = _TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """`transformers serve` of a model on a free port of this machine, until the block ends; its --url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--continuous-batching"]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--cb-block-size", "16", "--cb-num-blocks", "1024", "--cb-max-batch-tokens", "512"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                urlopen(f"{url}/health", timeout=1).close()
                break
            except (URLError, OSError):
                if process.poll() is not None:
                    raise SystemExit(f"the server has ended: {log.read_text()[-500:]}") from None
                time.sleep(0.1)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait()


def speed_of(url: str, model: Path) -> float:
    """How many times as fast as simulated the load has to come for the server to be busy half of the time, by how long
    it takes over one request alone, once it is warm: so often do requests meet in its batch, and a slow machine keeps
    up.

    At its own speed the built-in scenario asks about every other second.
    """
    to = Server(url, str(model), ApiKey(""), ChatParameters(_TOKENS, stream=True), 60.0)

    def took(every_s: float, number: int, most: int) -> list[float]:
        due = [Due(every_s * nth, f"{nth} {_PROMPT}", _TOKENS) for nth in range(number)]
        return [one.ended_s - one.sent_s for one in send(to, due, most, lambda number, one: None).sent]

    print(f"warming the server up with {_WARM_UP} requests", file=sys.stderr, flush=True)
    took(0.4, _WARM_UP, most=2)
    return min(2 * _BUSY / statistics.median(took(2.0, 5, most=5)), 4.0)


def rehearse(scenario: str, url: str, model: Path, out: Path, options: Sequence[str]) -> int:
    """The command, as a user gives it; its exit code."""
    command = [sys.executable, str(_ROOT / "cli.py"), "rehearse", scenario, "--url", url, "--model", str(model)]
    return subprocess.run([*command, "--out", str(out), *options], check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default=str(_ROOT / "scenarios" / "high_churn.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs") / "rehearsal-demo")
    arguments, options = parser.parse_known_args()
    if lacking():
        parser.error(f"{', '.join(lacking())} not installed: pip install 'fleetrec[dev]'")
    model = arguments.out.parent / "rehearsal-demo-model"
    write_model(model, hidden=128, layers=4)
    with served(model, model / "server.log") as url:
        if not options:
            speed = f"{speed_of(url, model):.2g}"
            options = ["--speed", speed, "--minutes", f"{_MINUTES:g}", "--max-tokens", str(_TOKENS), "--overwrite"]
        sys.exit(rehearse(arguments.scenario, url, model, arguments.out, options))


if __name__ == "__main__":
    main()
