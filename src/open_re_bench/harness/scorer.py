"""The Inspect scorer: mirrors intermediate scorings while a sample runs, finalises the attempt when it has ended."""

from __future__ import annotations

import json

from inspect_ai.model import ChatMessageAssistant
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState

from open_re_bench.harness.session import as_inspect_score, close_session, current_session
from open_re_bench.scoring.chat import CODER


def commands(state: TaskState) -> list[str]:
    """What the participant had its tools run, as text."""
    return [
        json.dumps(call.arguments, ensure_ascii=False)
        for message in state.messages
        if isinstance(message, ChatMessageAssistant)
        for call in message.tool_calls or []
    ]


@metric(name="normalised")
def mean_normalised() -> Metric:
    """Mean of the attempts' normalised scores (floored at 0, uncapped)."""

    def compute(scores: list[SampleScore]) -> float:
        values = [float(sample.score.value) for sample in scores if isinstance(sample.score.value, (int, float))]
        return sum(values) / len(values) if values else 0.0

    return compute


@scorer(metrics=[mean_normalised()], name="attempt")
def attempt_scorer() -> Scorer:
    """Final score of an attempt (`AttemptRecord` in its metadata)."""

    async def score(state: TaskState, target: Target) -> Score:
        session = current_session()
        CODER.set(session.coder)  # Inspect scores outside of the context in which the attempt was opened
        if session.pending is not None:
            return as_inspect_score(session.pending)
        if not state.completed:  # an operator asks for a score in the middle of the run
            session.attempt.on_scored = None
            try:
                return as_inspect_score(await session.attempt.score("operator"))
            finally:
                session.attempt.on_scored = session.mirror
        try:
            record = await session.attempt.finalise(commands(state), session.spending.before())
        finally:
            await close_session(session)
        return Score(
            value=record.normalised,
            answer=record.submission_sha256,
            explanation=record.message,
            metadata=record.to_metadata(),
        )

    return score
