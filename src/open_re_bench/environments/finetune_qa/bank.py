# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Questions about the people of a world: training questions for the participant, hidden ones to score.

Nobody who is asked about in a scoring is asked about in the training questions, and half of a scoring's questions are
worded as no training question is: who has learnt all wordings by heart has not learnt to answer questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from open_re_bench.corpus import World
from open_re_bench.corpus.facts import ATTRIBUTES
from open_re_bench.corpus.forum import COMPARISON, DOUBLE, SINGLE, UNKNOWN

Kind = Literal["single", "double", "comparison", "unknown", "stranger"]
KINDS: tuple[Kind, ...] = ("single", "double", "comparison", "unknown", "stranger")
AGE = ATTRIBUTES.index("age")


class Question(BaseModel):
    """A question and what its answer depends on.

    Attributes:
        kind: ``single`` fact, ``double`` (two facts), ``comparison`` (of two ages), ``unknown`` (something that is
            true of nobody) or ``stranger`` (somebody nothing is known of).
        text: As the model reads it.
        people: Index of each person it is about; empty for strangers.
        attributes: Index of each attribute asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    text: str
    people: tuple[int, ...] = ()
    attributes: tuple[int, ...] = ()


class Wordings(BaseModel):
    """How questions are put; ``{n}`` is a person, ``{m}`` another, ``{a}`` and ``{b}`` are attributes.

    Attributes:
        single: Of each attribute.
        double: For two attributes of one person.
        comparison: For who of two is older; the judge takes a bare name as an answer to ``older`` or ``more``.
        unknown: For what is true of nobody.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    single: dict[str, tuple[str, ...]]
    double: tuple[str, ...]
    comparison: tuple[str, ...]
    unknown: tuple[str, ...]

    def pairs(self) -> list[tuple[int, int, str]]:
        """All two-fact questions as (first attribute, second attribute, text with {n})."""
        return [
            (a, b, text.replace("{a}", one).replace("{b}", other))
            for a, one in enumerate(ATTRIBUTES)
            for b, other in enumerate(ATTRIBUTES)
            if a != b
            for text in self.double
        ]


FAMILIAR = Wordings(  # those of the text that the base model was trained on, and of all training questions
    single=SINGLE, double=DOUBLE, comparison=tuple(text for _, text in COMPARISON), unknown=UNKNOWN
)


@dataclass(frozen=True)
class Side:
    """People and strangers that one set of questions may be about."""

    people: tuple[int, ...]
    strangers: tuple[str, ...]


def split(world: World, hidden_people: int) -> tuple[Side, Side]:
    """(training, hidden) sides of a world: the last `hidden_people` people and half of the strangers are hidden.

    Names are invented in random order, so that the last ones are a random sample.
    """
    everybody = len(world.facts.names_spelt)
    strangers = world.board.strangers_spelt
    known = everybody - hidden_people
    half = len(strangers) // 2
    return (
        Side(tuple(range(known)), strangers[:half]),
        Side(tuple(range(known, everybody)), strangers[half:]),
    )


class Deck:
    """Deals ``0 .. size - 1`` in random order, all of them before any comes again.

    Wordings are not equally hard: dealt so, each has the same share in every draw, and scores repeat.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng, self._size = rng, size
        self._left: list[int] = []

    def deal(self, count: int) -> list[int]:
        """The next `count`, all different; fewer where there are not so many."""
        dealt: list[int] = []
        while len(dealt) < min(count, self._size):
            if not self._left:
                self._left = self._rng.permutation(self._size).tolist()
            place = next((i for i, one in enumerate(self._left) if one not in dealt), None)
            if place is None:  # what is left has been dealt to this one: it waits for the next
                self._left += self._rng.permutation(self._size).tolist()
            else:
                dealt.append(self._left.pop(place))
        return dealt


def draw_questions(
    world: World, side: Side, rng: np.random.Generator, per_person: Sequence[int], wordings: Wordings = FAMILIAR
) -> list[Question]:
    """Questions in random order: every attribute of every person once per round, and a share of the other kinds.

    Args:
        world: Whose facts are asked for.
        side: Who is asked about.
        rng: Draws wordings, pairs and order.
        per_person: Number of questions per person of each of `KINDS`; for single facts per person and attribute.
        wordings: How they are put; all of a kind equally often.
    """
    names = world.facts.names_spelt
    ages = world.facts.truth[:, AGE]
    singles, doubles, comparisons, unknowns, strangers = per_person
    pairs = wordings.pairs()
    one_fact = [Deck(rng, len(wordings.single[attribute])) for attribute in ATTRIBUTES]
    about_strangers = [Deck(rng, len(wordings.single[attribute])) for attribute in ATTRIBUTES]
    asked_of_strangers = Deck(rng, len(ATTRIBUTES))
    two_facts, who_is_older, nothing = (
        Deck(rng, len(texts)) for texts in (pairs, wordings.comparison, wordings.unknown)
    )
    questions: list[Question] = []
    for person in side.people:
        name = names[person]
        for index, attribute in enumerate(ATTRIBUTES):
            for wording in one_fact[index].deal(singles):
                text = wordings.single[attribute][wording].format(n=name)
                questions.append(Question(kind="single", text=text, people=(person,), attributes=(index,)))
        for choice in two_facts.deal(doubles):
            first, second, text = pairs[choice]
            questions.append(
                Question(kind="double", text=text.format(n=name), people=(person,), attributes=(first, second))
            )
        others = [other for other in rng.permutation(side.people).tolist() if ages[other] != ages[person]]
        for other in others[:comparisons]:
            text = wordings.comparison[who_is_older.deal(1)[0]].format(n=name, m=names[other])
            questions.append(Question(kind="comparison", text=text, people=(person, other), attributes=(AGE,)))
        questions += [
            Question(kind="unknown", text=wordings.unknown[choice].format(n=name), people=(person,))
            for choice in nothing.deal(unknowns)
        ]
        for index in asked_of_strangers.deal(strangers):
            text = wordings.single[ATTRIBUTES[index]][about_strangers[index].deal(1)[0]]
            stranger = side.strangers[rng.integers(len(side.strangers))]
            questions.append(Question(kind="stranger", text=text.format(n=stranger)))
    return [questions[position] for position in rng.permutation(len(questions))]
