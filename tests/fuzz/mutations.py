"""Ways to spoil a file: its bytes, its words, or what it says.

A generator of random numbers and a sound file come in, a spoilt one goes out; the same seed spoils in the same way.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBERS = (
    *(
        "0",
        "-0",
        "-1",
        "1",
        "2",
        "0.5",
        "1e-300",
        "1e-9",
        "1e9",
        "1e15",
        "1e308",
        "1e999",
        "-1e308",
        "nan",
        "inf",
        "-inf",
    ),
    *("NaN", "Infinity", ".nan", ".inf", "9" * 19, "9" * 400, "2147483648", "-9223372036854775809", "0x10", "1_000"),
    *("1,5", "١٢", "1e", "--1", "+", "1.2.3", "007", "1e-999", "4096", "99999", "1000000"),
)
WORDS = (
    *("", " ", "\0", "x" * 300, "null", "true", "false", "~", "[]", "{}", "a:b", "os:system", ":", "évil:Class", "-"),
    *("../../x", "/dev/null", "/", ".", "5 kW", "5 parsecs", "-5 kWh", "1e400 h", "200 %", "50 %", "0001-01-01"),
    *("9999-12-31", "2023-02-30", "6025-05-01", "Europe/Amsterdam", "Mars/Olympus", "\ud800", "😀", "%s%n", "ac_0"),
    *("<<", "*a", "&a", "!!int x", "!!python/object:os.system", "|", ">", "'", '"', "#", "@", "`", "\t", "﻿"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 0.5, -0.5, 1e-300, 1e308, -1e308, 10**18, 10**30, float("nan"), float("inf")),
    *("", "x", "1", "nan", "a:b", "1 kW", [], {}, [[]], [None], {"a": 1}, [1, 2, 3], {"": {}}, "\0", "x" * 300),
)


def spoil_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """Flip, cut, double, insert or overwrite some bytes."""
    spoilt = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4, 16]))):
        n = len(spoilt)
        at = int(rng.integers(n + 1))
        length = int(rng.choice([1, 2, 4, 16, 256, 4096]))
        match int(rng.integers(6)):
            case 0 if n:
                spoilt[at % n] ^= 1 << int(rng.integers(8))
            case 1:
                del spoilt[at : at + length]
            case 2:
                spoilt[at:at] = spoilt[at : at + length]
            case 3:
                spoilt[at:at] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            case 4 if n:
                spoilt[at % n] = int(rng.choice([0, 1, 127, 128, 255]))
            case _:
                del spoilt[at:]
    return bytes(spoilt)


def spoil_text(rng: np.random.Generator, content: bytes) -> bytes:
    """Replace numbers and words, and drop, double or move lines."""
    text = content.decode("utf-8", "replace")
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        match int(rng.integers(5)):
            case 0:
                text = _replaced(rng, text, r"[-+]?[0-9][0-9.eE+-]*", NUMBERS)
            case 1:
                text = _replaced(rng, text, r"[A-Za-z_/][\w/:.-]*", WORDS)
            case 2:
                text = _replaced(
                    rng, text, r"[\[\]{}:,;\"'<>=/&-]", ("", "[", "]", "{", "}", ":", ",", "::", "<", ">", '"')
                )
            case 3:
                lines = text.split("\n")
                at, other = (int(rng.integers(len(lines))) for _ in range(2))
                lines[at : at + 1] = [[], [lines[at]] * 2, [lines[at], lines[other]], ["  " + lines[at]]][
                    int(rng.integers(4))
                ]
                text = "\n".join(lines)
            case _:
                words = re.findall(r"[\w/:.-]+", text)
                if words:
                    text = _replaced(rng, text, r"[\w/:.-]+", words)
    return text.encode("utf-8", "surrogatepass" if rng.random() < 0.1 else "replace")


def _replaced(rng: np.random.Generator, text: str, pattern: str, others: Any) -> str:
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    match = found[int(rng.integers(len(found)))]
    return text[: match.start()] + others[int(rng.integers(len(others)))] + text[match.end() :]


def spoil_data(rng: np.random.Generator, data: Any) -> Any:
    """Replace, drop, double, nest or swap parts of nested lists and mappings."""
    spoilt = copy.deepcopy(data)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        places = list(_places(spoilt))
        if not places:
            return spoilt
        holder, key = places[int(rng.integers(len(places)))]
        other, other_key = places[int(rng.integers(len(places)))]
        match int(rng.integers(8)):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
            case 3:
                del holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(int(rng.integers(len(holder) + 1)), copy.deepcopy(holder[key]))
            case 5:
                holder[key] = [holder[key]] if rng.random() < 0.5 else {"x": holder[key]}
            case 6 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                holder[key] = holder[key] * float(rng.choice([-1.0, 0.0, 1e-6, 1e3, 1e6, 1e12]))
            case _:
                holder[key] = copy.deepcopy(other[other_key])
    return spoilt


def _places(data: Any) -> Any:
    """Every holder and key; of long lists some entries."""
    entries = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in entries if len(entries) < 30 else [*entries[:10], *entries[-5:]]:
        yield data, key
        yield from _places(value)


def spoil_json(rng: np.random.Generator, content: bytes) -> bytes:
    """The same file with other data in it, mostly; else other words or bytes."""
    kind = rng.random()
    if kind < 0.6:
        return json.dumps(spoil_data(rng, json.loads(content)), ensure_ascii=bool(rng.random() < 0.5)).encode(
            "utf-8", "surrogatepass"
        )
    return (spoil_text if kind < 0.8 else spoil_bytes)(rng, content)


def either(*ways: Callable[[np.random.Generator, bytes], bytes]) -> Callable[[np.random.Generator, bytes], bytes]:
    """One of several ways, drawn each time."""
    return lambda rng, content: ways[int(rng.integers(len(ways)))](rng, content)
