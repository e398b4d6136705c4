"""Columns of one table of a run, each read when it is asked for, since those of a run of millions fill memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError


class Columns:
    """Columns by name, in the types in which the file has them."""

    def __init__(self, path: Path, names: tuple[str, ...], rows: NDArray[np.bool_] | None = None):
        """`rows` [those of the file]: which of them it has; none: all. InputError where the file cannot be read or
        lacks one of the columns."""
        self._path, self._names, self._rows = path, names, rows
        try:
            with pq.ParquetFile(path) as file:
                lacking = [name for name in names if name not in file.schema_arrow.names]
                self._length = file.metadata.num_rows if rows is None else int(rows.sum())
        except (OSError, ValueError, ArrowException) as error:
            raise self._unreadable(error) from error
        if lacking:
            raise self._unreadable(ValueError(f"no column {lacking[0]!r}"))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, read anew."""
        return self._kept(self._read(name).to_numpy())

    def coded(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """A column of texts: those that occur, and which of them each row has."""
        column = self._read(name, texts=True)
        return column.dictionary.to_pylist(), self._kept(column.indices.to_numpy()).astype(np.int64)

    def having(self, rows: NDArray[np.bool_]) -> "Columns":
        """The same of some rows [those of the file] alone."""
        return Columns(self._path, self._names, rows)

    def _kept(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._rows is None else values[self._rows]

    def _read(self, name: str, texts: bool = False) -> Any:
        if name not in self._names:
            raise KeyError(name)
        try:
            read = pq.read_table(self._path, columns=[name], read_dictionary=[name] if texts else None).column(0)
        except (OSError, ValueError, ArrowException) as error:
            raise self._unreadable(error) from error
        if not texts:
            return read
        coded = read if pa.types.is_dictionary(read.type) else read.cast(pa.string()).dictionary_encode()
        return coded.unify_dictionaries().combine_chunks()

    def _unreadable(self, error: Exception) -> InputError:
        reason = str(error).splitlines()[0]
        return InputError(f"{self._path}: cannot be read as a run's records ({reason}); run the scenario again")
