# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Metered services of the workshop: the coder and the judge, on the validation problems only."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from open_re_bench.environment import Instance, Service, ServiceRefusal
from open_re_bench.environments.rust_codecontests.episodes import DIFFICULTIES, Episodes
from open_re_bench.scoring.chat import (
    CODER,
    ChatRefused,
    ChatRequest,
    Meter,
    Price,
    Reservation,
    Usage,
)

SPENT = "development.json"
CALLS_AT_ONCE = 8  # of each service: scaffolds are asyncio programs; the judge itself runs one program per core


@dataclass
class KeptMeter(Meter):
    """The meter of one attempt. What was used survives a killed harness: a call's worst case is on disk before it.

    Args:
        file: Where it is kept; what is found there was used.
    """

    file: Path = field(kw_only=True)

    def __post_init__(self) -> None:
        """Goes on from the file; a call that a kill cut short has cost its worst case, for nobody knows better."""
        if self.file.exists():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.used = Usage(**kept["used"]) + Usage(kept["under_way"]["tokens"], 0, kept["under_way"]["cost_usd"])

    def reserve(self, request: ChatRequest, price: Price | None = None) -> Reservation:
        """As `Meter.reserve`, durably."""
        need = super().reserve(request, price)
        try:
            self._keep()
        except OSError as error:
            with self._lock:
                self._add_reserved(-need.tokens, -need.cost_usd)
            raise ChatRefused(
                502, "unavailable", "the call could not be booked on our side; it was not charged", retry=True
            ) from error
        return need

    def settle(self, reserved: Reservation, usage: Usage) -> None:
        """As `Meter.settle`, durably."""
        super().settle(reserved, usage)
        with contextlib.suppress(OSError):  # the worst case is there
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            kept = {"used": vars(self.used), "under_way": vars(self._reserved)}
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.file.with_suffix(".new")
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(kept, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.file)


def open_services(instance: Instance) -> Mapping[str, Service]:
    """``model`` and ``judge``; the judge also opens validation episodes and grades their answers."""
    scale = instance.environment.scale
    meter = KeptMeter(
        int(scale.constant("development_tokens")),
        cost_usd=scale.constant("development_cost_usd"),
        file=instance.hidden / SPENT,
    )
    episodes = Episodes(instance.environment, instance.assets.hidden, meter, CODER.get())
    opened: dict[tuple[int, int], int] = {}
    lock = threading.Lock()

    def judge(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if request.get("op") == "open":
            index, draw = (
                _number(request, "problem", len(episodes.splits["valid"])),
                _number(request, "draw", len(DIFFICULTIES)),
            )
            with lock:
                again = opened[index, draw] = opened.get((index, draw), -1) + 1
            ticket = episodes.open(episodes.splits["valid"][index], draw, f"valid/{instance.seed:x}/{again}")
            return {"ticket": ticket, "tokens_left": meter.left}
        if request.get("op") == "grade":
            source, episode = request.get("source"), episodes.episode(request)
            if not isinstance(source, str):
                raise ServiceRefusal("source must be text")
            return {"verdict": episodes.grade(episode.posed, source).value}
        return episodes.serve_judge(request)

    return {"model": episodes.serve_model, "judge": judge}


def _number(request: Mapping[str, JsonValue], name: str, count: int) -> int:
    value = request.get(name, 0)
    if not isinstance(value, int) or not 0 <= value < count:
        raise ServiceRefusal(f"{name} must be a whole number from 0 to {count - 1}")
    return value
