"""Pages from templates: one file that holds its styles, scripts and data, asks no network and runs no other script."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.reports.data.metric_names import WORLDS
from fleetrec.reports.html.glossary import GLOSSARY, linked, word_id
from fleetrec.simulator.core.money import currency

_HERE = Path(__file__).parent / "templates"
_SCRIPTS = ("drawing", "experiment", "tables", "page")
"""what the page's own script is made of, in this order"""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"linked": linked, "word_id": word_id}
    environment.globals |= {"glossary": GLOSSARY, "worlds": WORLDS}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False, "separators": (",", ":")}
    return environment


def prepare(template: str) -> None:
    """Have it compiled, and what every page embeds read: for a process of which others are copies."""
    _environment().get_template(template)
    get_plotlyjs()


def write_page(path: Path, template: str, page: Mapping[str, Any], data: Mapping[str, Any]) -> Path:
    """Render `template` with `page`, embed `data` for the page's script, and write the file whole.

    The page's Content-Security-Policy admits these two scripts by their hashes and no connection at all, so that
    nothing that a scenario's names could smuggle in would run.
    """
    own = "\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    scripts = [Markup(get_plotlyjs()), Markup(f'"use strict";\n(() => {{\n{own}}})();\n')]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    text = (
        _environment()
        .get_template(template)
        .render(
            **page,
            data={**data, "money": currency().sign},
            scripts=scripts,
            script_hashes=hashes,
            styles=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
