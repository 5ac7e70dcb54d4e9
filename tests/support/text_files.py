"""A folder of text files, for tests that prepare a dataset."""

from pathlib import Path

import pytest


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of twenty short text files."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(20):
        text = f"Document {number}: été, {'word ' * (10 + number)}end.\n"
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder
