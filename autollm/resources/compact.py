"""Compact forms of the facts of which there can be thousands: a status has room for some fifty bytes of each."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

DIGEST_PREFIX = "sha256:"
CHUNK = r"^[-a-z0-9]{0,40} (-|[0-9]{4}) ([mpt][0-9]{1,12}){0,3} [-_A-Za-z0-9]{43}$"
"""A chunk: its source, its number (or a dash where it is the only one), its records by shape, its digest in base64."""

SHAPES = {"m": "messages", "p": "preference", "t": "text"}

KEY_BYTES = 8
"""Bytes by which a delta's key is known among the few thousand of a run."""

WEIGHT_UNIT = Decimal("1e-8")
_PACKED = struct.Struct(f">{KEY_BYTES}si")


def write_chunks(chunks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return each chunk as a line, such as `math 0003 m2000 3q2-7w…`; where its source is that of the line before, it is left out."""
    lines, before = [], ""
    for chunk in chunks:
        source, name = chunk["source"], chunk["name"]
        number = "-" if name == source else name.removeprefix(f"{source}-")
        counts = "".join(f"{shape[0]}{count}" for shape, count in chunk["shapes"].items())
        lines.append(f"{'' if source == before else source} {number} {counts} {_base64(bytes.fromhex(chunk['digest'][7:]))}")
        before = source
    return lines


def read_chunks(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each chunk; raises ValueError for what `write_chunks` does not write."""
    source = ""
    for line in lines:
        if not re.fullmatch(CHUNK, line):
            raise ValueError(f"{line!r} is not a chunk")
        named, number, counts, digest = line.split(" ")
        source = named or source
        shapes = {SHAPES[letter]: int(count) for letter, count in re.findall(r"([mpt])([0-9]+)", counts)}
        name = source if number == "-" else f"{source}-{number}"
        yield {"name": name, "source": source, "digest": _digest(digest), "records": sum(shapes.values()), "shapes": shapes}


def short_key(key: str) -> str:
    """Return the beginning of a delta's key, as hexadecimal digits."""
    return key.removeprefix(DIGEST_PREFIX)[: 2 * KEY_BYTES]


def by_short_key(weights: Mapping[str, Decimal], deltas: Mapping[str, str]) -> dict[str, Decimal]:
    """Return the weights that are not 0 by the short keys of their deltas; under two names one delta is added twice."""
    found: dict[str, Decimal] = {}
    for name, weight in weights.items():
        if weight != 0:
            key = short_key(deltas[name])
            found[key] = found.get(key, Decimal(0)) + weight
    return found


def pack_weights(weights: Mapping[str, Decimal]) -> str:
    """Return weights of at most eight decimals, by key or short key, as base64 of twelve bytes each."""
    parts = (_PACKED.pack(bytes.fromhex(short_key(key)), int(weight / WEIGHT_UNIT)) for key, weight in weights.items())
    return base64.b64encode(b"".join(parts)).decode()


def unpack_weights(packed: str) -> dict[str, Decimal]:
    """Return the weights by short key; raises ValueError where the text is cut short."""
    try:
        return {key.hex(): weight * WEIGHT_UNIT for key, weight in _PACKED.iter_unpack(base64.b64decode(packed, validate=True))}
    except struct.error as error:
        raise ValueError(f"packed weights are cut short: {error}") from error


def pack_bits(bits: Iterable[bool]) -> str:
    """Return one bit for each, the first being the lowest of the first byte, as base64."""
    number = sum(1 << place for place, bit in enumerate(bits) if bit)
    return base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "little")).decode()


def chosen(bits: str, among: Sequence[str]) -> Iterator[str]:
    """Yield those whose bit is set."""
    number = int.from_bytes(base64.b64decode(bits, validate=True), "little")
    yield from (one for place, one in enumerate(among) if number >> place & 1)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _digest(text: str) -> str:
    return DIGEST_PREFIX + base64.urlsafe_b64decode(text + "=").hex()
