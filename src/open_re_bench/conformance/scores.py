"""Checks on scores: floor, start, reference, room above it, controls, and agreement of repeated scorings."""

from __future__ import annotations

import math
import statistics
from functools import partial

from open_re_bench import exemplars
from open_re_bench.conformance.check import Check, CheckFailed, require
from open_re_bench.conformance.subject import EXACT, SIGMAS, Subject, unfloored
from open_re_bench.environment import Environment, Failure
from open_re_bench.exemplars import Kind
from open_re_bench.specification import size_of

CONTROL_CEILING = 0.35  # design: no control may look like half a solution
SECOND_LOOK = 3  # scorings whose median decides when the first falls outside
MANY = 5
SPREAD = 2.15  # sqrt(18.5 / 4): the deviation of 5 scorings exceeds so many true ones once in 1000 times (chi-square)


def checks(environment: Environment) -> list[Check]:
    """The checks that apply to `environment`."""
    folder = environment.folder
    found = [
        Check("empty", "An empty submission scores the floor, attributed to the participant.", _empty),
        Check("no_op", "A participant who does nothing scores the floor.", _no_op),
        Check("start", "The starting solution scores 0 within its declared noise.", _start),
        Check("reference", "The reference solution scores 1 within its declared noise.", _reference),
        Check("rescore", "Scoring the same submission again agrees within noise.", _rescore),
    ]
    found += [
        Check(f"better:{name}", "A known better solution scores above 1.", partial(_better, name=name))
        for name in exemplars.names(folder, Kind.BETTER, environment.scale_name)
    ]
    found += [
        Check(
            f"control:{name}",
            f"A published control scores at most {CONTROL_CEILING}.",
            partial(_control, name=name),
        )
        for name in exemplars.names(folder, Kind.CONTROL, size_of(environment.scale_name))
    ]
    return found


def _median(subject: Subject, kind: Kind, target: float, tolerance: float, name: str = "") -> tuple[float, int]:
    """Unfloored normalised score: the first scoring when it is near `target`, else the median of three."""
    for count in (1, SECOND_LOOK):
        scores = subject.scores(kind, name, at_least=count)[:count]
        for score in scores:
            require(score.valid, f"invalid, attributed to {score.failure}: {score.message} {score.details or ''}")
        value = statistics.median(unfloored(score) for score in scores)
        if abs(value - target) <= tolerance:
            return value, count
    return value, SECOND_LOOK


def _near(subject: Subject, kind: Kind, target: float) -> str:
    sigma = subject.noise(reference=kind is Kind.REFERENCE)
    tolerance = max(SIGMAS * sigma, EXACT)
    value, count = _median(subject, kind, target, tolerance)
    seen = f"normalised {value:.4f} over {count} scoring{'s' if count > 1 else ''}, declared noise {sigma:.4f}"
    require(abs(value - target) <= tolerance, f"{seen}: more than {SIGMAS:g} standard deviations from {target:g}")
    return seen


def _start(subject: Subject) -> str:
    return _near(subject, Kind.START, 0.0)


def _reference(subject: Subject) -> str:
    return _near(subject, Kind.REFERENCE, 1.0)


def _no_op(subject: Subject) -> str:
    from open_re_bench.scoring.workspace import SOLUTION, write_home

    home = subject.new_folder("no-op")
    write_home(subject.instance, home)
    score = subject.score_folder(home / SOLUTION)
    if not score.valid:
        require(score.failure is Failure.PARTICIPANT, f"attributed to {score.failure}: {score.message}")
        return f"invalid, attributed to the participant: {score.message}"
    tolerance = max(SIGMAS * subject.noise(reference=False), EXACT)
    require(score.normalised <= tolerance, f"normalised {score.normalised:.4f} for nothing")
    return f"normalised {score.normalised:.4f}"


def _empty(subject: Subject) -> str:
    folder = subject.new_folder("empty")
    folder.mkdir()
    score = subject.score_folder(folder)
    require(not score.valid, f"scored {score.raw}")
    require(score.failure is Failure.PARTICIPANT, f"attributed to {score.failure}")
    require(score.normalised == 0.0, f"normalised {score.normalised}")
    return score.message


def _rescore(subject: Subject) -> str:
    first, second = subject.scores(Kind.REFERENCE, at_least=2)[:2]
    for score in (first, second):
        require(score.valid, f"invalid: {score.message}")
    difference = abs(unfloored(first) - unfloored(second))
    # The difference of two independent scorings has sqrt(2) times the noise of one.
    tolerance = max(SIGMAS * math.sqrt(2) * subject.noise(reference=True), EXACT)
    if difference > tolerance:
        values = [unfloored(score) for score in subject.scores(Kind.REFERENCE, at_least=MANY)]
        spread, noise = statistics.stdev(values), subject.noise(reference=True)
        seen = f"standard deviation {spread:.4f} over {MANY} scorings, declared {noise:.4f}"
        require(spread <= max(SPREAD * noise, EXACT), seen)
        return seen
    return f"normalised scores differ by {difference:.4f}"


def _better(subject: Subject, name: str) -> str:
    noise = subject.noise(reference=True)
    score = subject.scores(Kind.BETTER, name)[0]
    require(score.valid, f"invalid: {score.message}")
    require(unfloored(score) > 1.0 + SIGMAS * noise, f"normalised {unfloored(score):.4f}, noise {noise:.4f}")
    return f"normalised {unfloored(score):.4f}"


def _control(subject: Subject, name: str) -> str:
    score = subject.scores(Kind.CONTROL, name)[0]
    if not score.valid and score.failure is not Failure.PARTICIPANT:
        raise CheckFailed(f"attributed to {score.failure}: {score.message}")
    require(score.normalised <= CONTROL_CEILING, f"normalised {score.normalised:.4f}")
    return f"normalised {score.normalised:.4f}" if score.valid else f"invalid: {score.message}"
