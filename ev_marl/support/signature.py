"""Signatures of folders, to know which ones this user wrote on this machine.

RLlib stores its state as pickle, which runs code when it is opened. Folders of the user are signed with a key that
stays in the user's data folder. A folder from somebody else, or one that was changed, has no valid signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

SIGNATURE = "signature"  # file inside a signed folder


def sign(folder: Path) -> None:
    """Sign the content of a folder; without a place for the key, it stays unsigned."""
    key = _key(make=True)
    if key is not None:
        (folder / SIGNATURE).write_text(_signature(folder, key), encoding="ascii")


def is_signed_here(folder: Path) -> bool:
    """Whether the content of a folder is as this user signed it."""
    key = _key(make=False)
    try:
        written = (folder / SIGNATURE).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return key is not None and hmac.compare_digest(written, _signature(folder, key))


def _signature(folder: Path, key: bytes) -> str:
    made = hmac.new(key, digestmod=hashlib.sha256)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / SIGNATURE:
            made.update(path.relative_to(folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()


def _key(*, make: bool) -> bytes | None:
    """The user's key, created when first needed; None if it cannot be stored."""
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    path = Path(base) / "ev_marl" / "key"
    try:
        if make and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".key.{os.getpid()}")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            part.replace(path)
        key = path.read_bytes()
    except (OSError, RuntimeError):  # no folder to store it in
        return None
    return key if len(key) == 32 else None
