"""The model gateway: lets code in the workshop use a language model that the run was started with.

``--model-role coder=PROVIDER/MODEL`` names the model; any provider of Inspect and any small model will do. Code in
the workshop reaches it as service ``model`` (OpenAI-shaped requests, see `open_re_bench.scoring.chat`) and nothing
else: any other model name is refused, so that the evaluated model cannot call itself. Retries, keys, caching and the
log of usage by role are Inspect's; budgets are `Meter`'s.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from inspect_ai.model import (
    ChatMessage as InspectMessage,
)
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelOutput,
    ModelUsage,
    get_model,
    get_model_info,
    model_roles,
)

from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.harness.model_roles import CODER as ROLE
from open_re_bench.harness.model_roles import refuse_itself
from open_re_bench.inspect_internals import PrerequisiteError
from open_re_bench.scoring.chat import CODER, ChatRefused, ChatRequest, Choice, Coder, Price, Usage, count_tokens

ATTEMPT_S = 90  # one try of one request; a small model answers in seconds
TOTAL_S = 300  # all tries of one request
RETRIES = 3  # Inspect waits between them, longer each time
FINISH = {"max_tokens": "length", "model_length": "length", "content_filter": "content_filter"}


def connect(
    evaluated: str = "",
    role: str = ROLE,
    *,
    attempt_s: int = ATTEMPT_S,
    total_s: float = TOTAL_S,
    retries: int = RETRIES,
) -> Coder | None:
    """Connects this attempt's services and scorings to the model of `role`; call it inside the Inspect sample.

    Args:
        evaluated: The participant's own model, which must not serve as `role`.

    Returns:
        The connected model (also set as `CODER` in this context), None where the run has no such role.

    Raises:
        UserError: the role is bound to a list of models, or to the evaluated model.
    """
    bound = model_roles().get(role)
    if bound is None:
        CODER.set(None)
        return None
    if isinstance(bound, list):
        raise UserError(f"the role {role} has {len(bound)} models", f"give one: --model-role {role}=PROVIDER/MODEL")
    refuse_itself(role, str(bound), evaluated)
    coder = serve_model(bound, asyncio.get_running_loop(), attempt_s=attempt_s, total_s=total_s, retries=retries)
    CODER.set(coder)
    return coder


def bound_roles() -> dict[str, str]:
    """Names of the models of the running sample's roles."""
    return {role: str(model) for role, model in model_roles().items() if not isinstance(model, list)}


@contextmanager
def outside_a_sample(roles: Mapping[str, str]) -> Iterator[None]:
    """Connects the coder of `roles` (if there is one) for a scoring without Inspect sample, such as a regrade.

    Raises:
        CannotRunHere: Inspect cannot make the model: its key is missing, or its provider is not installed.
    """
    if ROLE not in roles:
        yield
        return
    try:
        model = get_model(roles[ROLE], memoize=False)
    except (PrerequisiteError, ValueError) as error:
        raise CannotRunHere(
            f"the attempt's coder, {roles[ROLE]}, cannot be reached", "set its provider's key and address"
        ) from error
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    token = CODER.set(serve_model(model, loop))
    try:
        yield
    finally:
        CODER.reset(token)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def serve_model(
    model: Model,
    loop: asyncio.AbstractEventLoop,
    *,
    attempt_s: int = ATTEMPT_S,
    total_s: float = TOTAL_S,
    retries: int = RETRIES,
) -> Coder:
    """`model` as a blocking, thread-safe function for threads beside `loop`.

    The generations run on `loop` in a copy of the caller's context, so that Inspect books them to the caller's sample.
    """

    def chat(request: ChatRequest) -> tuple[list[Choice], Usage]:
        future = asyncio.run_coroutine_threadsafe(_complete(model, request, attempt_s, retries), loop)
        try:
            return future.result(total_s)
        except concurrent.futures.TimeoutError as error:
            future.cancel()
            raise ChatRefused(
                504, "timeout", "the model did not answer in time; this call was not charged", retry=True
            ) from error
        except ChatRefused:
            raise
        except Exception as error:
            # what a provider says may hold keys or addresses: participants read a fixed sentence, the log has the rest
            raise ChatRefused(
                502, "provider_error", "the model's provider failed; this call was not charged", retry=True
            ) from error

    info = get_model_info(model)
    cost = info.cost if info is not None else None
    return Coder(chat, str(model), Price(cost.input, cost.output) if cost is not None else None)


async def _complete(model: Model, request: ChatRequest, attempt_s: int, retries: int) -> tuple[list[Choice], Usage]:
    """Completions of `request`, `n` of them even where the provider gives one at a time."""
    messages = _messages(request)
    first = await model.generate(messages, config=_config(request, request.n, attempt_s, retries))
    outputs = [first]
    missing = request.n - len(first.choices)
    if missing > 0:
        # equal requests must not come from a cache, and one that fails must not lose the others that were paid for
        more = (model.generate(messages, config=_config(request, 1, attempt_s, retries)) for _ in range(missing))
        outputs += [
            output for output in await asyncio.gather(*more, return_exceptions=True) if isinstance(output, ModelOutput)
        ]
    choices = [
        Choice(choice.message.text, FINISH.get(choice.stop_reason, "stop"))
        for output in outputs
        for choice in output.choices
    ]
    if not choices:
        raise ValueError("the provider returned no choices")
    usage = Usage()
    for output in outputs:
        usage = usage + _usage(output.usage, request, [choice.message.text for choice in output.choices])
    return choices[: request.n], usage


def _config(request: ChatRequest, n: int, attempt_s: int, retries: int) -> GenerateConfig:
    return GenerateConfig(
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        num_choices=n if n > 1 else None,  # some providers refuse the parameter, even as 1
        stop_seqs=request.stop,
        seed=request.seed,
        attempt_timeout=attempt_s,
        max_retries=retries,
    )


def _messages(request: ChatRequest) -> list[InspectMessage]:
    kinds = {
        "system": ChatMessageSystem,
        "developer": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
    }
    return [kinds[message.role](content=message.content) for message in request.messages]


def _usage(usage: ModelUsage | None, request: ChatRequest, texts: Sequence[str]) -> Usage:
    """What a generation cost; estimated where the provider does not say."""
    if usage is None or usage.total_tokens == 0:
        return Usage(request.prompt_tokens, sum(map(count_tokens, texts)))
    prompt = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    return Usage(prompt, usage.output_tokens, usage.total_cost or 0.0)
