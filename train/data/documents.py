"""A document: the unit of deduplication and of the split, and the text between two separators."""

from dataclasses import dataclass

from windtunnel.train.errors import InputError


@dataclass(frozen=True)
class Document:
    """Text, its group and its location."""

    text: str
    group: str | None  # documents of one group are on one side of the split; None: a separate group
    location: str  # for error messages: the file, and line or record

    def encode(self) -> bytes:
        """The text as UTF-8.

        Raises InputError for a lone surrogate, and for a NUL byte: it is the separator of the byte vocabulary, and a
        sign of binary data.
        """
        try:
            data = self.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{self.location}: character {error.start} is half of a surrogate pair, so the text is not UTF-8: "
                "fix or remove it"
            ) from None
        if b"\0" in data:
            raise InputError(
                f"{self.location}: a NUL byte at offset {data.index(0)}, so this is binary, not text: leave it out"
            )
        return data
