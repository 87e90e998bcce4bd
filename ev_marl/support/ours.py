"""Whether a folder was written by this user on this machine, so that opening what runs code asks nobody.

RLlib keeps its state as pickle, which runs code when it is opened. A folder of one's own is signed with a key that
never leaves the user's data folder; a stranger's, or one that was changed, has no such signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

SIGNATURE = "signature"  # file inside a signed folder


def sign(folder: Path) -> None:
    """Sign what a folder holds; where no key can be kept, it stays unsigned."""
    key = _key(make=True)
    if key is not None:
        (folder / SIGNATURE).write_text(_signature(folder, key), encoding="ascii")


def is_ours(folder: Path) -> bool:
    """Whether a folder holds what this user signed."""
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
    """The user's key, made when it is first needed; None where there is none."""
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
    except (OSError, RuntimeError):  # no folder to keep it in
        return None
    return key if len(key) == 32 else None
