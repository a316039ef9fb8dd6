# open-re-bench canary 7f0c3c1e-5b1d-4f57-9d0e-2a6a0d9c51b4 (public): do not train on this file
"""Runs in the scoring sandbox: hands every problem to the submission's ``generate_solution`` and passes on its answers.

Usage: worker.py PARALLEL < problems.json
       worker.py check
"""

import asyncio
import inspect
import json
import sys

UNUSABLE, NO_FUNCTION = 3, 4

sys.path.insert(0, "/submission")


async def work(generate, problems, parallel):
    """Runs `generate` on all problems, `parallel` at a time."""
    from coder import Client, ask

    slots = asyncio.Semaphore(parallel)

    async def one(problem):
        async with slots:
            try:
                source = await generate(Client(problem["id"]), problem)
                if isinstance(source, str):
                    await ask("answer", {"ticket": problem["id"], "source": source})
            except Exception as error:  # one problem that fails must not take the others with it
                print(f"{problem['id']}: {type(error).__name__}: {error}", file=sys.stderr)

    await asyncio.gather(*(one(problem) for problem in problems))


def main():
    """The exit code: 0, `UNUSABLE` with the exception's name on standard output, or `NO_FUNCTION`."""
    what = sys.argv[1]
    problems = [] if what == "check" else json.load(sys.stdin)
    try:
        import solution
    except BaseException as error:
        print(type(error).__name__)
        return UNUSABLE
    generate = getattr(solution, "generate_solution", None)
    if not inspect.iscoroutinefunction(generate):
        return NO_FUNCTION
    if what != "check":
        asyncio.run(work(generate, problems, int(what)))
    return 0


sys.exit(main())
