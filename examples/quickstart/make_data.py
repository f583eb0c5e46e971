"""Write the quickstart's four sources: small exercises with one right answer, the same files for the same seed.

    python examples/quickstart/make_data.py [--seed 0] [--records 224] [--out examples/quickstart/data]

The kinds are those that seed sets for instruction tuning have: mathematics, code, following instructions (with a
rejected answer beside the chosen one), and writing instructions. Each file has another of the usual formats.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

PEOPLE = "Ada Ben Cleo Dan Eve Finn Gus Hana Ivo Jun Kim Leo Mia Noa Oli Pia Rui Sam Tess Uma".split()
THINGS = "apples books coins dolls eggs figs grapes hats ideas jars kites lamps maps nuts pens rings seeds toys".split()
WORDS = """river stone cloud tiger lemon candle silver forest button garden window pepper rocket violin anchor meadow
basket copper dragon engine falcon guitar hammer island jacket kettle ladder magnet needle orange pencil quartz ribbon
saddle tunnel valley walnut yellow zipper bridge castle desert feather""".split()
TOPICS = """gardening chess sailing baking astronomy cycling painting hiking fishing knitting pottery swimming coding
camping running skiing photography beekeeping carpentry dancing archery rowing origami juggling""".split()
AUDIENCES = "children beginners teachers students parents tourists nurses farmers artists engineers".split()


def mathematics(draw: random.Random) -> dict[str, str]:
    """An addition, subtraction or multiplication in a sentence; the answer shows the sum and a marked result."""
    who, what = draw.choice(PEOPLE), draw.choice(THINGS)
    a, b = draw.randint(2, 20), draw.randint(2, 20)
    kind = draw.randrange(3)
    if kind == 0:
        question, sign, result = f"{who} has {a} {what} and gets {b} more. How many now?", "+", a + b
    elif kind == 1:
        question, sign, result = f"{who} has {a + b} {what} and gives away {b}. How many are left?", "-", a
        a = a + b
    else:
        a, b = a % 9 + 2, b % 9 + 2
        question, sign, result = f"{who} fills {a} boxes with {b} {what} each. How many in all?", "*", a * b
    return {"instruction": question, "output": f"{a} {sign} {b} = {result}\n#### {result}"}


def code(draw: random.Random) -> dict[str, object]:
    """A one-line Python function described in words."""
    name, n = f"{draw.choice(WORDS)}_{draw.choice(WORDS)}", draw.randint(2, 30)
    wish, body = draw.choice(
        [
            (f"adds {n} to x", f"x + {n}"),
            (f"multiplies x by {n}", f"x * {n}"),
            (f"subtracts {n} from x", f"x - {n}"),
            (f"says whether x is above {n}", f"x > {n}"),
            (f"gives the rest of x divided by {n}", f"x % {n}"),
            (f"gives the first {n} items of x", f"x[:{n}]"),
        ]
    )
    answer = f"def {name}(x):\n    return {body}"
    return {"messages": [{"role": "user", "content": f"Write {name}, which {wish}."}, {"role": "assistant", "content": answer}]}


def following(draw: random.Random) -> dict[str, str]:
    """A rule for writing some words; the rejected answer chats instead of following it."""
    first, second, third = draw.sample(WORDS, 3)
    wish, chosen = draw.choice(
        [
            (f"Write {first}, {second} in capitals, joined by a dash.", f"{first.upper()}-{second.upper()}"),
            (f"Put {first}, {second}, {third} in alphabetical order.", ", ".join(sorted([first, second, third]))),
            (f"Repeat {first} three times with slashes between.", "/".join([first] * 3)),
            (f"Wrap {first} and {second} in square brackets each.", f"[{first}] [{second}]"),
            (f"Give {first}, {second}, {third} as a numbered list.", f"1. {first}\n2. {second}\n3. {third}"),
        ]
    )
    rejected = draw.choice(
        [
            f"Sure! {first.capitalize()} is a nice word.",
            f"I think you mean {first} or {second}.",
            f"Here you go: {first}!",
        ]
    )
    return {"prompt": wish, "chosen": chosen, "rejected": rejected}


def generation(draw: random.Random) -> dict[str, str]:
    """An instruction to be written from a kind, a topic and an audience."""
    topic, audience, n = draw.choice(TOPICS), draw.choice(AUDIENCES), draw.randint(3, 9)
    kind, instruction = draw.choice(
        [
            ("list", f"List {n} tips on {topic} that help {audience}."),
            ("question", f"What are {n} things {audience} should ask about {topic}?"),
            ("story", f"Write a story of {n} sentences about {topic} for {audience}."),
            ("summary", f"Summarise {topic} for {audience} in {n} sentences."),
        ]
    )
    return {"prompt": f"Kind: {kind}; topic: {topic}; readers: {audience}; count: {n}. Write the instruction.", "completion": instruction}


def unique(make: Callable[[random.Random], dict[str, object]], draw: random.Random, records: int) -> Iterator[dict[str, object]]:
    """Yield that many different exercises of one kind."""
    seen: set[str] = set()
    while len(seen) < records:
        row = make(draw)
        text = json.dumps(row)
        if text not in seen:
            seen.add(text)
            yield row


def write(out: Path, seed: int, records: int) -> None:
    """Write math.jsonl, code.jsonl, following.jsonl and generation.csv below a folder."""
    out.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[random.Random], dict[str, object]]] = {
        "math": mathematics,  # type: ignore[dict-item]  # each maker's rows are narrower than the common row
        "code": code,
        "following": following,  # type: ignore[dict-item]  # as above
        "generation": generation,  # type: ignore[dict-item]  # as above
    }
    for name, make in makers.items():
        rows = list(unique(make, random.Random(f"{seed}/{name}"), records))
        if name == "generation":
            with (out / "generation.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=["prompt", "completion"])
                writer.writeheader()
                writer.writerows(rows)
        else:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=int, default=128, help="records a source")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    arguments = parser.parse_args()
    write(arguments.out, arguments.seed, arguments.records)


if __name__ == "__main__":
    main()
