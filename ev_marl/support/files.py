"""Files that others wrote: found and read without surprises, whatever they are called and whatever is in them."""

from __future__ import annotations

from pathlib import Path

from ev_marl.support.errors import EvMarlError


class FileError(EvMarlError, ValueError):
    """A file that cannot be read.

    Attributes
    ----------
    line : int
        Line of the fault, 0 where it has none.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; no text, however long or odd, is an error."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a loop of links
        return False


def read_bytes(path: Path, most: int) -> bytes:
    """Contents of a file.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Largest size [bytes].

    Raises
    ------
    FileError
        If there is no such file, or it is larger, or the system refuses it.
    """
    if not is_file(path):
        raise FileError("there is no such file")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise FileError(f"this is larger than {most / 1e6:g} MB; that is the most that is read")
    return content


def read_text(path: Path, most: int) -> str:
    """Contents of a UTF-8 text file, without its byte-order mark; see `read_bytes`."""
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"this is not UTF-8 text: byte 0x{content[error.start]:02x} in line {line}; save it as UTF-8", line
        ) from error
