"""Files of users: found and read with an error of our own for every bad name or content."""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from ev_marl.support.errors import EvMarlError

PART = ".part"  # suffix of a file while it is being written
OLD_PART_S = 600.0


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
    """Whether there is such a file; never raises an error, whatever the text."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a loop of links
        return False


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; never raises an error, whatever the text."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError, RuntimeError):
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
        If there is no such file, it is larger, or the system does not allow reading it.
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
    return decoded(read_bytes(path, most))


def decoded(content: bytes) -> str:
    """UTF-8 text, without its byte-order mark.

    Raises
    ------
    FileError
        If it is none; with the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise FileError(f"this is not UTF-8 text: byte 0x{byte:02x} in line {line}; save it as UTF-8", line) from error


def parse_json(text: str) -> Any:
    """The content of a JSON text.

    Raises
    ------
    FileError
        If it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"this is not JSON: {error}") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is either complete or not there."""
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove temporary files of `write_atomically` of processes that were killed; recent ones may still be in use."""
    for part in folder.glob(f".*{PART}"):
        try:
            if part.is_file() and time.time() - part.stat().st_mtime > OLD_PART_S:
                part.unlink()
        except FileNotFoundError:
            continue  # its writer has finished in the meantime


def is_empty(folder: Path) -> bool:
    """Whether a folder has only temporary files of running or killed processes."""
    return all(entry.name.startswith(".") and entry.name.endswith(PART) for entry in folder.iterdir())


def read_arrays(path: Path, most: int = 2 * 10**9) -> dict[str, np.ndarray]:
    """Arrays of a file that `numpy.savez` wrote, none of them of Python objects.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Largest size of all arrays together, unpacked [bytes].

    Raises
    ------
    FileError
        If there is no such file, or it is damaged, or larger.
    """
    if not is_file(path):
        raise FileError("there is no such file")
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most:
                raise FileError(f"its arrays are larger than {most / 1e6:g} MB; that is the most that is read")
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
    except FileError:
        raise
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise FileError(f"this is not a file of arrays, or it is damaged: {error}") from error
    return arrays


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """One array; its header may not claim more data than the file has."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = reader(file)
    count = math.prod(shape)
    if kind.hasobject or min(shape, default=0) < 0 or count * kind.itemsize > size:
        raise ValueError(f"an array of shape {shape} and type {kind} does not fit into it")
    array = np.frombuffer(file.read(count * kind.itemsize), dtype=kind, count=count)
    return array.reshape(shape, order="F" if fortran else "C").copy()
