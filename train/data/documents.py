"""A document: the unit that is split, deduplicated and closed by a separator."""

from dataclasses import dataclass

from windtunnel.train.errors import InputError


@dataclass(frozen=True)
class Document:
    """Text with the group it may not be parted from, and where it was read."""

    text: str
    group: str | None  # None: a group of its own
    where: str  # for messages: the file, and line or row

    def encoded(self) -> bytes:
        """UTF-8. Raises InputError for a NUL (the separator of the byte vocabulary, and a sure sign of binary data) or
        a lone surrogate.
        """
        try:
            data = self.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{self.where}: character {error.start} is half of a surrogate pair, so the text is not UTF-8: mend it"
            ) from None
        if b"\0" in data:
            raise InputError(
                f"{self.where}: a NUL byte at offset {data.index(0)}, so this is binary, not text: leave it out"
            )
        return data
