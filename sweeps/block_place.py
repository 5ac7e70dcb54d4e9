"""Where in a study file the settings of a run stand, so that what is wrong with one names its line."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sweeps.cells import Settings
from sweeps.study_file import StudyFile
from sweeps.yaml_document import Place
from train.errors import InputError

Value = TypeVar("Value")
MOST_SHOWN = 4  # settings of a run in a message


@dataclass(frozen=True)
class BlockPlace:
    """A block of the study: the `number`th of `section`."""

    file: StudyFile
    section: str
    number: int

    def named(self, cell: Settings, work: Callable[..., Value], *arguments: object) -> Value:
        """What `work` gives of these arguments, for the run of a cell. Its InputError gets the line of the setting that
        it is about, else that of the block.
        """
        try:
            return work(*arguments)
        except InputError as error:
            raise self._fault(cell, str(error)) from None

    def _fault(self, cell: Settings, message: str) -> InputError:
        begins = re.split(r"[=:]", message)[0].strip()
        settings = {**self.file.study.fixed, **cell}
        if begins in settings:
            return self.file.fault(self._place_of(begins, cell), message)
        # It is about several settings at once: the first that it speaks of, and of which run.
        # In the data's own messages `evaluation_tokens` is `data.evaluation_tokens`.
        spoken = [key for key in settings if key.endswith(f".{begins}")]
        spoken += [key for key in settings if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message)]
        kin = [key for key in settings if key.startswith(f"{begins}.")]
        shown = ", ".join(f"{key}={value}" for key, value in list(cell.items())[:MOST_SHOWN])
        place = self._place_of((spoken or kin)[0], cell) if spoken or kin else (self.section, self.number)
        return self.file.fault(place, f"{message} (the run of {shown})" if shown else message)

    def _place_of(self, key: str, cell: Settings) -> Place:
        block = (self.file.study.family if self.section == "family" else self.file.study.targets)[self.number]
        here = (self.section, self.number)
        if key in block.grid:
            values = block.grid[key]
            among = [values.index(cell[key])] if isinstance(values, list) and cell[key] in values else []
            return (*here, "grid", key, *among)
        for number, row in enumerate(block.rows or ()):
            if key in row and row.items() <= cell.items():
                return (*here, "rows", number, key)
        return ("fixed", key)
