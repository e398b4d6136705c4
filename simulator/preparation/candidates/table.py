"""A table of answers that the user's own LLM has given (models/llm/table.py)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from fleetrec.simulator.scenario.sections.candidates import Candidates
from fleetrec.simulator.scenario.text_files import resolve_path
from fleetrec.simulator.scenario.units import Share

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class CandidateTable(Candidates):
    """The user's own LLM's answers: Parquet of user_id, as_of or as_of_time, item_id, rank or score."""

    kind: Literal["table"] = "table"
    path: str = Field(description="the Parquet file; `${VARIABLE}` and `~` are expanded")
    missing: Literal["error", "previous", "fail_request"] = Field(
        "error",
        description="no list for (user, as_of): the run ends, the newest older list serves, or the request fails; of "
        "users who react, no list so far: the run ends, or (both others) the request fails",
    )
    max_invalid: Share = Field(0.05, description="share of unknown items above which the table is refused")

    dear: ClassVar[bool] = True
    recorded: ClassVar[bool] = True
    lists_ahead: ClassVar[float] = 0  # which one it will be is not known

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        from fleetrec.models.llm.latest_of_table import LatestOfTable
        from fleetrec.models.llm.table import TableCandidates

        found = self.model_copy(update={"path": str(resolve_path(self.path))})
        if inputs.grown is None:
            return TableCandidates(found, inputs.log, inputs.list_length), None
        older = found.model_copy(update={"missing": "previous"})
        table = TableCandidates(older, inputs.grown.log, inputs.list_length)
        own = inputs.grown, inputs.log.offsets, found.path, self.missing == "error"
        return LatestOfTable(table, *own), None

    def exact(self) -> Self:
        return self.model_copy(update={"missing": "fail_request"})

    def files(self) -> Iterator[tuple[str, str]]:
        yield "path", self.path

    def brings_latency(self) -> bool:
        from fleetrec.models.llm.table_reading import brings_latency

        return brings_latency(resolve_path(self.path))

    def label(self) -> str:
        return f"table {Path(self.path).name}"

    def described(self, served_as: str | None) -> str:
        return "the table's"

    def when_missing(self, reacts: bool) -> str:
        return (
            "rejected"
            if self.missing == "fail_request" and not reacts
            else "given the user's newest older list, if any"
        )
