# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Trusted side: lets the submitted model answer hidden questions and holds its answers against fixed opponents'.

Generation is ours (greedy, NumPy); no code of the participant runs.

The score is the mean over the opponents of the logarithm of the odds of winning, ties left out. A win rate, in which a
tie counts one half, is linear in the share of questions answered well and ends where an opponent's own right answers
are tied: a model that answered 97 % fully had 1.25 of 1.27 that were to be had. In log-odds every halving of the
losses counts the same.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from open_re_bench.corpus import Tokenizer, World, WorldConfig
from open_re_bench.corpus.transformer import ModelRefused, Shape, Weights, greedy, read_model
from open_re_bench.environment import Assets, Environment, Failure, Judgement, Layout, Scoring, Submission
from open_re_bench.environments.finetune_qa.bank import FAMILIAR, KINDS, Question, Side, Wordings, draw_questions, split
from open_re_bench.environments.finetune_qa.judge import Comparison, FactJudge, Judge, JudgeFailed, Verdict

MODEL = "model.safetensors"
BASE = "base.safetensors"
WORLD = "world.json"
WORDINGS = "wordings.json"
QUESTIONS = "questions.json"
TOKENIZER = "tokenizer.json"
PROMPT = "<doc> question : {question} reply :"
TURNS = ("question", "reply", "<doc>")  # words that begin another turn: an answer ends before them
EXAMPLES = 400  # most questions whose answers are kept in the log's details
PRIOR = 1.0  # wins and losses added to those counted, so that a model that never loses has a score (Laplace)

QUESTION_LIST = TypeAdapter(list[Question])


class HiddenWorld(BaseModel):
    """What only the host knows (protected/hidden/<scale>/world.json)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    world_seed: int
    question_seed: int


def shape_of(bound: Environment) -> Shape:
    """Sizes of the model at this scale."""
    return Shape(**{key: int(value) for key, value in bound.scale.constant("model").items()})


def world_of(bound: Environment, assets: Assets) -> World:
    """The hidden world of this scale."""
    secret = HiddenWorld.model_validate_json((assets.hidden / WORLD).read_text(encoding="utf-8"))
    constant = bound.scale.constant
    config = WorldConfig(entities=int(constant("people")), fame=int(constant("fame")), mix=dict(constant("mix")))
    return World(secret.world_seed, config)


def judge_of(bound: Environment, assets: Assets, discreet: bool = False) -> Judge:
    """The judge of this scale; `discreet` where a participant asks it."""
    return FactJudge(world_of(bound, assets), discreet)


def training_questions(assets: Assets) -> list[Question]:
    """The participant's questions with what they ask for, in the order of their public numbers."""
    return QUESTION_LIST.validate_json((assets.hidden / QUESTIONS).read_text(encoding="utf-8"))


def lay_out(layout: Layout) -> None:
    """The model to start from is the base model."""
    target = layout.public / "solution" / MODEL
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(layout.assets.public / BASE, target)


def answers(
    weights: Weights, shape: Shape, tokenizer: Tokenizer, questions: Sequence[Question], longest: int
) -> list[str]:
    """Greedy answers: the text up to the next turn or `longest` tokens."""
    stop = frozenset(ids[0] for word in TURNS if len(ids := tokenizer.encode_word(word)) == 1)
    prompts = [tokenizer.encode(PROMPT.format(question=question.text)) for question in questions]
    replies = []
    for reply in greedy(weights, shape, prompts, longest, stop):
        words: list[str] = []
        for word in tokenizer.decode(reply).split():
            if word in TURNS:
                break
            words.append(word)
        replies.append(" ".join(words))
    return replies


@dataclass(frozen=True)
class Record:
    """Comparisons won and lost against one opponent, both orders of showing counted, and the questions lost on."""

    wins: int
    losses: int
    lost_on: frozenset[int]

    @property
    def log_odds(self) -> float:
        """Logarithm of the odds of winning, ties left out."""
        return math.log((self.wins + PRIOR) / (self.losses + PRIOR))


def hold_against(judge: Judge, questions: Sequence[Question], ours: Sequence[str], theirs: Sequence[str]) -> Record:
    """Compares answers with an opponent's, each pair in both orders.

    Raises:
        JudgeFailed: the judge gave no verdict.
    """
    shown_first = judge.prefer([Comparison(q, a, b) for q, a, b in zip(questions, ours, theirs, strict=True)])
    shown_second = judge.prefer([Comparison(q, b, a) for q, a, b in zip(questions, ours, theirs, strict=True)])
    wins = shown_first.count(Verdict.FIRST) + shown_second.count(Verdict.SECOND)
    losses = shown_first.count(Verdict.SECOND) + shown_second.count(Verdict.FIRST)
    pairs = enumerate(zip(shown_first, shown_second, strict=True))
    return Record(wins, losses, frozenset(i for i, (a, b) in pairs if a is Verdict.SECOND or b is Verdict.FIRST))


def hidden_questions(
    world: World, side: Side, rng: np.random.Generator, per_person: Sequence[int], unfamiliar: Wordings
) -> list[Question]:
    """Questions of a scoring: the first half in the wordings of the training questions, the second half in others."""
    familiar = draw_questions(world, side, rng, per_person, FAMILIAR)
    return familiar + draw_questions(world, side, rng, per_person, unfamiliar)


def score(submission: Submission, scoring: Scoring) -> Judgement:
    """Mean log-odds of winning against the opponents on hidden questions drawn for this scoring."""
    bound, assets = scoring.environment, scoring.instance.assets
    shape, constant = shape_of(bound), bound.scale.constant
    try:
        weights = read_model(submission.read_bytes(MODEL), shape)
    except ModelRefused as refusal:
        return Judgement.invalid(f"{refusal}; save float32 tensors as kit's model.save does")
    world = world_of(bound, assets)
    tokenizer = Tokenizer.load(assets.public / TOKENIZER)
    _, hidden = split(world, int(constant("hidden_people")))
    unfamiliar = Wordings.model_validate_json((assets.hidden / WORDINGS).read_text(encoding="utf-8"))
    questions = hidden_questions(world, hidden, scoring.rng("questions"), constant("test_per_person"), unfamiliar)
    longest = int(constant("answer_tokens"))
    ours = answers(weights, shape, tokenizer, questions, longest)
    judge = judge_of(bound, assets)
    records: dict[str, Record] = {}
    try:
        for opponent in constant("opponents"):
            rival = read_model((assets.hidden / f"{opponent}.safetensors").read_bytes(), shape)
            theirs = answers(rival, shape, tokenizer, questions, longest)
            records[opponent] = hold_against(judge, questions, ours, theirs)
    except JudgeFailed:
        return Judgement.invalid("the judge could not be asked", Failure.INFRASTRUCTURE)
    raw = sum(record.log_odds for record in records.values()) / len(records)
    told = ", ".join(f"{r.wins} won and {r.losses} lost against the {name} opponent" for name, r in records.items())
    return Judgement(
        raw=raw,
        message=f"{told}; score {raw:.4f} over {len(questions)} hidden questions, each shown in both orders",
        details={
            "lost": _lost(questions, records),
            "answers": [f"{q.text} -> {a}" for q, a in list(zip(questions, ours, strict=True))[:: _every(questions)]],
            "questions": len(questions),
        },
    )


def _every(questions: Sequence[Question]) -> int:
    """Step that keeps at most `EXAMPLES` questions."""
    return -(-len(questions) // EXAMPLES)


def _lost(questions: Sequence[Question], records: dict[str, Record]) -> dict[str, JsonValue]:
    """Share of the questions lost against each opponent, by kind and wording."""
    half = len(questions) // 2
    shares: dict[str, JsonValue] = {}
    for words, span in (("familiar", range(half)), ("unfamiliar", range(half, len(questions)))):
        for kind in KINDS:
            asked = {i for i in span if questions[i].kind == kind}
            for opponent, record in records.items():
                shares[f"{opponent}/{kind}/{words}"] = round(len(record.lost_on & asked) / len(asked), 4)
    return shares


def public_questions(questions: Sequence[Question]) -> str:
    """What the participant gets of the training questions: number and text."""
    return json.dumps([{"id": number, "text": question.text} for number, question in enumerate(questions)], indent=0)
