"""Assembles the Inspect task of an environment: one sample per attempt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.agent import Agent
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import SandboxEnvironmentSpec

from open_re_bench import assets, registry
from open_re_bench.attempt import TaskRecord
from open_re_bench.environment import Environment
from open_re_bench.errors import UserError
from open_re_bench.harness import conversation
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
from open_re_bench.harness.door import door_directory
from open_re_bench.harness.gateway import bound_roles
from open_re_bench.harness.scorer import attempt_scorer
from open_re_bench.harness.session import AttemptStore, close_session, live_sessions, open_session
from open_re_bench.harness.tools import score, score_log
from open_re_bench.inspect_internals import solver_name
from open_re_bench.requirements import demand
from open_re_bench.sandbox.provider import BwrapConfig
from open_re_bench.scoring.workspace import task_text

WALL_CLOCK_FACTOR = 6  # Inspect's time limit is only a backstop: waiting and scoring are not charged
WALL_CLOCK_SLACK_S = 3600
ON_PATH = "/opt/open-re-bench/bin"
INSIDE = Path(__file__).parent / "inside"
PERSON_PATH = "/opt/open-re-bench/person"
INSIDE_PERSON = Path(__file__).parent / "inside_person"


def attempt_task(folders: Sequence[AttemptFolder], participant: Agent | Solver, sandbox: str = "bwrap") -> Task:
    """The Inspect task that carries out (or resumes) planned attempts of one environment at one scale.

    Args:
        folders: Attempts, all of one environment and scale.
        participant: The agent (``--solver`` replaces it).
        sandbox: Inspect sandbox provider; anything but ``bwrap`` makes the results local.

    Raises:
        UserError: the scale cannot run here.
    """
    plans = [folder.read_plan() for folder in folders]
    first = plans[0]
    bound = registry.environment(first.environment, first.scale)
    found, _ = assets.prepare(bound)
    by_id = {plan.attempt_id: folder for plan, folder in zip(plans, folders, strict=True)}
    samples = [
        Sample(
            id=plan.attempt_id,
            input=task_text(bound, plan.budget_s),
            sandbox=_sandbox(sandbox, bound, plan, by_id[plan.attempt_id], found.public),
            metadata={"environment": bound.name, "scale": bound.scale_name},
        )
        for plan in plans
    ]
    record = TaskRecord(
        environment=bound.name,
        scale=bound.scale_name,
        version=bound.spec.version,
        human_comparison=bound.scale.human_comparison,
        final_rule=bound.spec.final.value,
        budget_s=first.budget_s,
    )
    # A person may stop the clock for days, of which Inspect's own limits know nothing. No working limit for anybody: it
    # counts free scorings and standing aside as work and would end attempts within the rules.
    unlimited = first.participant_kind == "human"
    budget_s = max(plan.budget_s for plan in plans)
    return Task(
        name=bound.name,
        dataset=MemoryDataset(samples, name=f"{bound.name}-{bound.scale_name}"),
        setup=_serve(by_id),
        solver=participant,
        scorer=attempt_scorer(),
        cleanup=_release,
        fail_on_error=False,
        time_limit=None if unlimited else int(budget_s * WALL_CLOCK_FACTOR + WALL_CLOCK_SLACK_S),
        cost_limit=first.max_cost,
        token_limit=first.max_tokens,
        version=bound.spec.version,
        metadata=record.to_metadata(),
    )


def _sandbox(
    name: str, bound: Environment, plan: AttemptPlan, folder: AttemptFolder, public: Path
) -> SandboxEnvironmentSpec:
    if name != "bwrap":
        return SandboxEnvironmentSpec(name)
    binds: dict[str, str] = {str(INSIDE): ON_PATH, str(public): "/opt/assets"}
    path = [ON_PATH]
    if plan.participant_kind == "human":
        binds[str(INSIDE_PERSON)] = PERSON_PATH
        path.append(PERSON_PATH)
    if (bound.folder / "kit").is_dir():
        binds[str(bound.folder / "kit")] = "/opt/kit"
    config: dict[str, Any] = {
        "toolchain": bound.scale.toolchain,
        "memory_mb": int(bound.scale.memory_gb * 1024),
        "read_only_binds": binds,
        "door": str(door_directory(folder.key)),
        "state_dir": str(folder.home),
        "path": path,
        "environment": {"PYTHONPATH": "/opt/kit"},
        "lease": demand(bound.scale),
    }
    return SandboxEnvironmentSpec("bwrap", BwrapConfig.model_validate(config))


async def _release(state: TaskState) -> None:
    """Whatever became of the sample: its door is closed and its share of the machine given back."""
    session = live_sessions().get(state.store_as(AttemptStore).attempt_id)  # not that of another epoch
    if session is not None:
        await close_session(session)


@solver
def _serve(folders: dict[str, AttemptFolder]) -> Solver:
    """Setup: opens the attempt of the running sample before the participant starts."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        del generate
        folder = folders[str(state.sample_id)]
        plan = folder.read_plan()
        # Of several epochs one serves the attempt, whichever got the workshop's home first.
        if plan.attempt_id in live_sessions() or folder.read_result() is not None:
            raise UserError("attempts are not epochs", "use -T runs=K instead of --epochs K")
        if not plan.agent:  # ``inspect eval``: only now is it known who works with what
            plan = folder.name_participant(solver_name(), str(state.model), bound_roles())
        session = await open_session(plan, folder)
        state.tools = [score(), score_log()]  # for solvers that bring a shell of their own and take the task's tools
        if folder.has_ended:  # by an earlier harness, which failed while it measured: nobody works on
            state.messages = conversation.load(folder) or state.messages
            state.completed = True
        elif session.resumed:
            state.messages = [*(conversation.load(folder) or state.messages), *session.resumption_messages()]
        return state

    return solve
