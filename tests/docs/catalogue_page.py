"""docs/reference/catalogue.md: the language models and GPUs that a scenario can name, from the catalogue itself.

python -m tests.docs.catalogue_page       # writes the page anew
"""

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.precision import WEIGHTS
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "catalogue.md"
_HEAD = """# The catalogue

*Which language models and GPUs can a scenario name, and where do their figures come from?* {models} models go into
`llm.served_as` and {gpus} GPUs into `cloud.gpu`; `python cli.py catalog` prints them, with `--json` every figure and
its source. A path to a model's `config.json` stands for its name too ([the LLM
node](../background/llm_node.md#the-catalogue) says which are read). This page is written by `python -m
tests.docs.catalogue_page`.

## Models

Billions of parameters, in all and of those that one token meets (the output projection among them, the input
embedding not); layers: behind a plus those that predict further tokens, which count in no other column
(`cloud.speculation: {{kind: mtp}}`); experts: those of a token, of those of a layer; window: layers that see no more
than so many tokens; weights: their format as published, and their size in memory; KV cache: bytes of one token in all
layers. What the architecture says and the published total differ by less than 0.05%, of glm-4.5, whose card rounds, by
0.6%.

| model | parameters | active | layers x hidden | heads/KV heads | experts | window | weights | GB | KV kB | source |
|---|---|---|---|---|---|---|---|---|---|---|
{model_rows}

## GPUs

Dense peaks in TFLOP/s (a dash: it has no such arithmetic, and weights of that format are computed in 16 bits); memory
that a program can allocate; bandwidth and link, one direction, in GB/s; watts idle and at the board's limit; USD per
hour as the lowest, a typical and the highest list price of 2026, of which results charge the typical one
(`tariffs.gpu_hour`).

| GPU | memory GB | bandwidth | 16-bit | INT8 | FP8 | FP4 | link | W | USD/h | hardware | prices |
|---|---|---|---|---|---|---|---|---|---|---|---|
{gpu_rows}

## Number formats

Bits of a weight, its share of the scales included, and the arithmetic of its products. Embedding tables and the
output projection keep 16 bits. `cloud.precision` chooses: `weights` (those of experts too), `experts`, `kv_cache`.

| format | bits | products in |
|---|---|---|
{format_rows}
"""


def page() -> str:
    """The whole page, as Markdown."""
    catalogue = default_catalogue()
    return _HEAD.format(
        models=len(catalogue.models),
        gpus=len(catalogue.gpus),
        model_rows="\n".join(map(_model_row, catalogue.models.values())),
        gpu_rows="\n".join(map(_gpu_row, catalogue.gpus.values())),
        format_rows="\n".join(
            _row(name, f"{8 * one.bytes:.4g}", {"32bit": "32 bits", "16bit": "16 bits"}.get(one.rate, one.rate.upper()))
            for name, one in WEIGHTS.items()
        ),
    )


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _model_row(model: ModelSpec) -> str:
    experts = f"{model.experts_per_token}/{model.experts}" if model.experts > 1 else ""
    formats = model.weights if model.expert_weights is None else f"{model.weights}, experts {model.expert_weights}"
    return _row(
        f"`{model.name}`",
        f"{model.n_params / 1e9:.2f}",
        f"{model.active_params / 1e9:.2f}",
        f"{model.layers}{f' + {model.mtp_layers}' if model.mtp_layers else ''} x {model.hidden}",
        "MLA" if model.latent is not None else f"{model.heads}/{model.kv_heads}",
        experts,
        f"{model.window_layers} x {model.window}" if model.window is not None else "",
        formats,
        f"{model.weight_bytes / 1e9:.1f}",
        f"{model.kv_bytes_per_token / 1e3:.1f}",
        model.source.removeprefix("huggingface.co/").removesuffix(" config.json"),
    )


def _gpu_row(gpu: GpuSpec) -> str:
    peaks = (gpu.flops_16bit, gpu.flops_int8, gpu.flops_fp8, gpu.flops_fp4)
    return _row(
        f"`{gpu.name}`",
        f"{gpu.memory_bytes / 1e9:.1f}",
        f"{gpu.bandwidth_bytes_per_s / 1e9:.0f}",
        *(f"{peak / 1e12:g}" if peak else "-" for peak in peaks),
        f"{gpu.link_bytes_per_s / 1e9:.0f}",
        f"{gpu.idle_power_w:.0f}/{gpu.power_w:.0f}",
        f"{gpu.price.low:.2f} / {gpu.price.typical:.2f} / {gpu.price.high:.2f}",
        gpu.sources.hardware,
        gpu.sources.price,
    )


if __name__ == "__main__":
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
