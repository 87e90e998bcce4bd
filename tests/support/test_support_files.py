"""Files that others wrote: odd names, sizes, damage; and folders of one's own."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ev_marl.support.files import FileError, is_file, read_arrays, read_text
from ev_marl.support.signature import is_signed_here, sign


@pytest.mark.parametrize("name", ["nothing", "a\0b", "x" * 300, "y/" * 3000, "loop", "", "."])
def test_odd_names_are_no_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert not is_file(tmp_path / name)
    with pytest.raises(FileError, match="there is no such file"):
        read_text(tmp_path / name, 10)


def test_text(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"\xef\xbb\xbfa\nb\xe4\n")
    with pytest.raises(FileError, match="byte 0xe4 in line 2") as caught:
        read_text(file, 10)
    assert caught.value.line == 2
    with pytest.raises(FileError, match="larger than 5e-06 MB"):
        read_text(file, 5)
    file.write_bytes(b"\xef\xbb\xbfab")
    assert read_text(file, 5) == "ab"


def test_arrays(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yz"]), "c": np.asfortranarray(np.eye(3)[:2])}
    np.savez_compressed(file, **arrays)
    read = read_arrays(file)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
    with pytest.raises(FileError, match="larger than 1e-05 MB"):
        read_arrays(file, 10)


def bad_header(shape: str, kind: str = "<f8") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "member",
    [b"", b"no array", bad_header("(10000000000000,)"), bad_header("(1,)", "|O"), bad_header("(-1,)"), bad_header("x")],
    ids=["empty", "no array", "promises much", "objects", "less than nothing", "no shape"],
)
def test_arrays_that_are_none(tmp_path: Path, member: bytes) -> None:
    file = tmp_path / "arrays.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(FileError, match="not a file of arrays, or it is damaged"):
        read_arrays(file)


def test_damaged_arrays(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.arange(100.0))
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    file = tmp_path / "arrays.npz"
    for k in range(300):
        content = bytearray(whole)
        if k % 3 == 0:
            content = content[: int(rng.integers(len(whole)))]
        else:
            content[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(content))
        try:
            read = read_arrays(file)
        except FileError:
            continue
        assert all(np.array_equal(array, np.arange(100.0)) for array in read.values())


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "me"))
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_bytes(b"content")
    assert not is_signed_here(folder)
    sign(folder)
    assert is_signed_here(folder)
    assert os.stat(tmp_path / "me" / "ev_marl" / "key").st_mode & 0o077 == 0
    (folder / "below" / "file").write_bytes(b"another")
    assert not is_signed_here(folder)
    sign(folder)
    (folder / "below" / "file").rename(folder / "file")
    assert not is_signed_here(folder)
    sign(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else"))
    assert not is_signed_here(folder)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "a file"))
    sign(folder)  # where no key can be kept, nothing is signed
    assert not is_signed_here(folder)
