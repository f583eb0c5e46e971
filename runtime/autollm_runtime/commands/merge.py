"""Merge deltas into a model, exactly, and write the result."""

from __future__ import annotations

import time
from pathlib import Path

import click

SIZES = {"MB": 10**6, "GB": 10**9, "MIB": 1 << 20, "GIB": 1 << 30}


class Weighted(click.ParamType[tuple[str, float]]):
    """DELTA=WEIGHT."""

    name = "DELTA=WEIGHT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Split at the last equals sign."""
        if isinstance(value, tuple):
            return value
        delta, separator, weight = str(value).rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            separator = ""
        if not separator or not delta or number != number or abs(number) == float("inf"):
            self.fail(f"{value!r} is not DELTA=WEIGHT with a finite number, such as runs/math/adapter=0.5", param, ctx)
        return delta, number


class Size(click.ParamType[int]):
    """A number of bytes with its unit."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read 5GB, 500MB or 2GiB."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        unit = next((unit for unit in SIZES if text.upper().endswith(unit)), None)
        try:
            size = int(float(text[: -len(unit)]) * SIZES[unit]) if unit else 0
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is not a size such as 5GB, 500MB or 2GiB", param, ctx)
        return size


@click.command()
@click.option("--model", required=True, help="The base: a folder in safetensors, hf://org/name[@revision] or s3://…")
@click.option(
    "--delta",
    "deltas",
    type=Weighted(),
    multiple=True,
    required=True,
    help="A delta and its weight: PEFT's adapter, a whole tuned model (its difference to the base), or one of a run. Repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new folder; it must not exist, or be empty.")
@click.option(
    "--dtype", type=click.Choice(["BFloat16", "Float16", "Float32"]), help="The number format that is written; absent: that of the base."
)
@click.option("--max-shard-size", type=Size(), default="5GB", show_default=True, help="Files of weights are at most this large.")
def command(model: str, deltas: tuple[tuple[str, float], ...], out: Path, dtype: str | None, max_shard_size: int) -> None:
    """Write MODEL + Σ WEIGHT · DELTA to a folder that loads with `from_pretrained`.

    Sums are made in fp32 from the base as it is stored, and rounded once.
    """
    names = [name for name, _ in deltas]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.UsageError(f"--delta {twice} is given twice; give it once with the sum of its weights")
    from autollm_runtime.commands.merging import merge_named

    started = time.monotonic()
    merged = merge_named(model, dict(deltas), out, dtype, max_shard_size)
    count = f"{len(merged.files)} files" if len(merged.files) > 1 else merged.files[0]
    click.echo(f"{out}: {merged.parameters:,} parameters in {count}, {time.monotonic() - started:.1f} s")
