"""Gives an error about one run of a block the line of the setting that caused it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from windtunnel.sweeps.study.grid import Settings
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.schema import Block
from windtunnel.sweeps.study.yaml_document import Location
from windtunnel.train.errors import InputError

MAX_SHOWN_SETTINGS = 4  # of a run, in a message


@dataclass(frozen=True)
class BlockErrors:
    """The block at `index` of a section of the study, "family" or "targets"."""

    file: StudyFile
    section: str
    index: int

    @property
    def block(self) -> Block:
        return (self.file.study.family if self.section == "family" else self.file.study.targets)[self.index]

    @contextmanager
    def located(self, settings: Settings) -> Iterator[None]:
        """Errors about the run with these settings name a line of the file."""
        try:
            yield
        except InputError as error:
            raise self._locate(settings, str(error)) from None

    def _locate(self, settings: Settings, message: str) -> InputError:
        subject = re.split(r"[=:]", message)[0].strip()
        all_settings = {**self.file.study.fixed, **settings}
        if subject in all_settings:
            return self.file.error_at(self._location(subject, settings), message)
        # The message is about several settings. Take the first that it mentions, and name the run.
        # Messages about data write `evaluation_tokens` for `data.evaluation_tokens`.
        mentioned = [key for key in all_settings if key.endswith(f".{subject}")]
        mentioned += [key for key in all_settings if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message)]
        related = [key for key in all_settings if key.startswith(f"{subject}.")]
        shown = ", ".join(f"{key}={value}" for key, value in list(settings.items())[:MAX_SHOWN_SETTINGS])
        keys = mentioned or related
        location = self._location(keys[0], settings) if keys else (self.section, self.index)
        return self.file.error_at(location, f"{message} (the run of {shown})" if shown else message)

    def _location(self, key: str, settings: Settings) -> Location:
        start = (self.section, self.index)
        if key in self.block.grid:
            values = self.block.grid[key]
            if isinstance(values, list) and settings[key] in values:
                return (*start, "grid", key, values.index(settings[key]))
            return (*start, "grid", key)
        for index, row in enumerate(self.block.rows or ()):
            if key in row and row.items() <= settings.items():
                return (*start, "rows", index, key)
        return ("fixed", key)
