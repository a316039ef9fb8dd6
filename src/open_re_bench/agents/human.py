"""A person as a participant: opens the workshop at the desk and waits until the person submits or the time is up.

Inspect's own `human_cli` keeps its clock, its recording and its commands inside the sandbox and cannot be resumed; here
all three live in the harness.
"""

from __future__ import annotations

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.util import sandbox

from open_re_bench.errors import UserError
from open_re_bench.harness.session import current_session
from open_re_bench.people import desk as desks
from open_re_bench.people.commands import PersonCommands
from open_re_bench.people.desk_link import Link
from open_re_bench.people.person import PersonFolder
from open_re_bench.sandbox.provider import BwrapSandbox


@agent(name="human")
def human_agent() -> Agent:
    """Builds the agent; `re-bench human` opens the desk that it needs."""

    async def execute(state: AgentState) -> AgentState:
        session = current_session()
        desk = desks.find(session.attempt.plan.attempt_id)
        if desk is None or session.door is None:
            raise UserError("a person needs a place to sit", "use `re-bench human ENV`")
        commands = PersonCommands(session, PersonFolder(session.attempt.folder), desk.clock)
        session.door.handlers.update(commands.handlers())
        commands.record("opened")
        desk.serve(Link(commands, sandbox().as_type(BwrapSandbox).sandbox))
        try:
            await commands.submitted.wait()
        finally:
            desk.measure()
            commands.record("closed")
        return state

    return execute
