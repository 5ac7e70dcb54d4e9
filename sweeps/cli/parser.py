"""The argument parser of every verb: errors of one line, renamed options, argument names shown as options."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

# Old name -> new name, for one release. A verb that has the new option also accepts the old one.
RENAMED_OPTIONS = {
    "--few-points": "--allow-few-points",
    "--far": "--allow-extrapolation",
    "--mixed": "--allow-mixed",
    "--hold": "--holdout",
    "--out": "--output",
    "--no-rivals": "--no-baselines",
    "--floor": "--min-rate",
    "--runs-directory": "--runs",
    "--data-directory": "--data",
}
# How the library names an argument in a message: `allow_extrapolation=True` for a flag, `where=...` for a value.
ARGUMENT = re.compile(r"(?<![\w.])([a-z]\w*)=(True\b|\.\.\.)")


class Parser(argparse.ArgumentParser):
    """The parser of one verb. An error is one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")

    def parse_words(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments of a verb. Old option names are accepted and reported on standard error."""
        words = [self._current_name(word) for word in words]
        self._check_no_empty_value(words)
        return self.parse_args(words)

    def _current_name(self, word: str) -> str:
        name, equals, value = word.partition("=")
        new = RENAMED_OPTIONS.get(name)
        if new is None or new not in self._option_string_actions or name in self._option_string_actions:
            return word
        print_renamed(name, new)
        return f"{new}{equals}{value}"

    def _check_no_empty_value(self, words: Sequence[str]) -> None:
        """An empty path would mean the working directory; most often it is a shell variable that was not set."""
        for before, word in zip(["", *words], words, strict=False):
            if not word:
                self.error(f"an empty value{f' after {before}' if before.startswith('-') else ''}: give one")
            if word.startswith("--") and word.endswith("="):
                self.error(f"an empty value after {word.removesuffix('=')}: give one")


def print_renamed(old: str, new: str) -> None:
    print(f"windtunnel: {old} is now {new}", file=sys.stderr)


def name_options(text: str, parser: argparse.ArgumentParser) -> str:
    """The text with names of library arguments replaced by the options of `parser`.

    `allow_extrapolation=True` becomes `--allow-extrapolation` and `where=...` becomes `--where`. The names of arguments
    that the parser does not have stay.
    """

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        for action in parser._actions:
            if action.dest == name and (action.nargs == 0) == (value == "True"):
                return action.option_strings[-1] if action.option_strings else str(action.metavar or name)
        return match[0]

    return ARGUMENT.sub(option, text)
