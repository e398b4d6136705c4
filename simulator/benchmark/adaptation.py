"""Speed and memory of on-device adaptation: every device of a fleet fine-tunes a low-rank adapter of its own, d=32."""

import time
from typing import Any

import torch

from fleetrec.models.srm.adapters import TrainingExamples, adapter_form, apply_exactly, train_in_tiles
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.simulator.scenario import sections

_DIM, _ITEMS = 32, 1_000


def run_adaptation_bench(devices: int, threads: int) -> dict[str, Any]:
    """Fine-tune steps per second (CPU time and wall time), and bytes of parameters and of one step's inputs."""
    settings = sections.Adaptation()
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        form = adapter_form(settings, Gru4Rec(_ITEMS, _DIM, 10, 1, 0.0))
    vectors = torch.randn(_ITEMS, _DIM, generator=generator)
    states = torch.randn(devices, settings.window, _DIM, generator=generator)
    positive = torch.randint(_ITEMS, (devices, settings.window), generator=generator)
    negative = torch.randint(_ITEMS, (devices, settings.negatives), generator=generator)
    own = {name: tensor.repeat(devices, *[1] * tensor.ndim) for name, tensor in form.initial.items()}

    def examples(places: Any) -> TrainingExamples:
        at = torch.from_numpy(places)
        right, others = positive[at], negative[at]
        clash = right[:, :, None] == others[:, None, :]
        return TrainingExamples(
            states[at], vectors[right], vectors[others], clash, torch.ones(len(at), settings.window)
        )

    wall, busy = time.perf_counter(), time.process_time()
    trained = train_in_tiles(
        form, own, examples, torch.arange(devices).numpy(), settings.steps, settings.learning_rate, True
    )
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    applied = time.perf_counter()
    apply_exactly(form, trained, states[:, -1].double())
    steps = devices * settings.steps
    return {
        "adapt_steps_per_s": steps / wall,
        "adapt_steps_per_cpu_s": steps / busy,
        "adapt_step_us": 1e6 * wall / steps,
        "adapter_bytes": 4 * form.size * devices,
        "adapter_bytes_per_device": 4 * form.size,
        "adapted_states_per_s": devices / (time.perf_counter() - applied),
    }
