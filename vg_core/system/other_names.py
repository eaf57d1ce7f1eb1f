"""Option names of the field's other programs, translated into ours: ``other_names.toml`` beside this file."""

import tomllib
from itertools import chain, pairwise
from pathlib import Path

TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMES = {f"--{theirs}": f"--{ours}" for theirs, ours in TABLES["names"].items()}
VALUES = {f"--{pair}": ours.split() for pair, ours in TABLES["values"].items()}
for block in range(1, 25):  # DVGL keeps so many blocks of a transformer, and freezes those up to a number, from 0
    VALUES |= {f"--layer {block}": [f"block{block - 1}"], f"--freeze {block}": [f"block{block}"]}
SENTENCES = {f"--{name}": said for names, said in TABLES["no_equivalent"].items() for name in names.split(", ")}


class NoEquivalent(ValueError):
    """There is no such option, or value, here; the message says what takes its place."""


def translated(arguments: list[str]) -> list[str]:
    """A command line in our names, where "-" in the name of an option is as good as "_"; raises NoEquivalent."""
    words = [word for argument in arguments for word in _words(argument)]
    pairs = [f"{option} {value}" for option, value in pairwise(["", *words])]
    for word in (*words, *pairs):
        if word in SENTENCES:
            raise NoEquivalent(f"{word}: {SENTENCES[word]}")
    return [*chain.from_iterable(VALUES.get(pair, [word]) for pair, word in zip(pairs, words, strict=True))]


def _words(argument: str) -> list[str]:
    """Our name of an option and its value, apart unless the value looks like an option; any other word as it is."""
    if not argument.startswith("--"):
        return [argument]
    name, equals, value = argument.partition("=")
    name = "--" + name[2:].replace("-", "_")
    name = NAMES.get(name, name)
    return [name + equals + value] if value.startswith("-") else [name, value][: 1 + len(equals)]
