"""Forging scores, logs, receipts and results: from inside the workshop, and by somebody who holds the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

from open_re_bench.conformance.attacks.rig import VERDICT, rig
from open_re_bench.conformance.check import Check, require
from open_re_bench.conformance.subject import Subject
from open_re_bench.environment import Environment
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.regrade import Verdict, regrade
from open_re_bench.scoring.score_log import GENESIS, chain_hash, read

INSIDE = f"""
for name in score-log.jsonl ledger.json result.json plan.json receipt.json decisions.json score.log reward.txt; do
  for folder in ~ ~/solution /tmp /run/open-re-bench /opt/open-re-bench /opt /var/tmp /dev/shm; do
    echo '{VERDICT}' >> $folder/$name
  done
done
find / -xdev \\( -name '*score*' -o -name '*ledger*' -o -name '*result*' -o -name '*.jsonl' \\) -type f -writable \
  -exec sh -c 'echo "{{}}" >> "$1"' _ {{}} \\;
true
"""
Change = Callable[[list[dict[str, Any]]], None]
BETTER = 7.5
HONEST = "honest-attempt"  # below the subject's workspace: log directory of the attempt that forgeries start from


def checks(environment: Environment) -> list[Check]:
    """The checks."""
    promise = "A forged record is found by regrading."
    found = [Check("attack_forgery:from_inside", "No file in a workshop is a record of ours.", _inside)]
    for name, change in EDITS.items():
        found.append(Check(f"attack_forgery:{name}", promise, partial(_edited, change=change, relink=False)))
    for name, change in RELINKED.items():
        found.append(Check(f"attack_forgery:{name}", promise, partial(_edited, change=change, relink=True)))
    for name, fields in RESULTS.items():
        found.append(Check(f"attack_forgery:result_{name}", promise, partial(_result, fields=fields)))
    found.append(Check("attack_forgery:swapped_submission", promise, _swapped))
    found.append(Check("attack_forgery:whole_chain", "A forged chain is found by scoring again.", _whole_chain))
    return found


def _inside(subject: Subject) -> str:
    with rig(subject) as attacked:
        attacked.score()
        head, before = attacked.attempt.log.head, attacked.attempt.ledger.tick().budget_s
        attacked.shell(INSIDE)
        require(read(attacked.folder.score_log)[1] == head, "the score log changed")
        require(attacked.attempt.ledger.tick().budget_s >= before, "the budget decreased")
        attacked.judge(attacked.score())
        record = attacked.finalise()
        outcome = regrade(attacked.folder, rescore=False, bound=subject.environment)
        require(outcome.verdict is Verdict.AGREES, f"regrade: {outcome.problems}")
        return f"{record.scorings} scorings, records agree"


def _honest(subject: Subject) -> AttemptFolder:
    """An attempt's folder after two scorings and the end, for one forgery: a copy, so that a slow scorer runs once."""
    made = subject.workspace / HONEST
    if not made.exists():
        with rig(subject) as attacked:
            attacked.score()
            attacked.shell('touch -d @0 "$F"')
            attacked.score()
            attacked.finalise()
            outcome = regrade(attacked.folder, rescore=False, bound=subject.environment)
            require(outcome.verdict is Verdict.AGREES, f"before any change: {outcome.problems}")
            copied = subject.new_folder("honest")
            shutil.copytree(attacked.folder.root.parent.parent, copied, symlinks=True)
            copied.rename(made)  # whole or not at all
    log_dir = subject.new_folder("forged")
    shutil.copytree(made, log_dir, symlinks=True)
    (root,) = (log_dir / "attempts").iterdir()
    return AttemptFolder(root)


def records_of(folder: AttemptFolder) -> list[dict[str, Any]]:
    """The lines of an attempt's score log, parsed and unchecked."""
    return [json.loads(line) for line in folder.score_log.read_text().splitlines()]


def rewrite(folder: AttemptFolder, records: list[dict[str, Any]], relink: bool = False) -> str:
    """Replaces an attempt's score log, as only the owner of the host could.

    Args:
        folder: The attempt.
        records: The log's lines, parsed; changed in place when relinked.
        relink: Whether the hash chain is made again, so that it holds.

    Returns:
        The chain's last hash.
    """
    head = GENESIS
    for record in records:
        if relink:
            record["previous"], record["hash"] = head, chain_hash(head, record["entry"])
        head = record["hash"]
    folder.score_log.write_text("".join(json.dumps(record) + "\n" for record in records))
    if relink:
        data = json.loads(folder.result_file.read_text())
        data["receipt"]["score_log_head"] = head
        folder.result_file.write_text(json.dumps(data))
    return head


def _set(at: int, **values: Any) -> Change:
    def change(records: list[dict[str, Any]]) -> None:
        records[at]["entry"].update(values)

    return change


def _set_receipt(at: int, **values: Any) -> Change:
    def change(records: list[dict[str, Any]]) -> None:
        records[at]["entry"]["receipt"].update(values)

    return change


def _swap(records: list[dict[str, Any]]) -> None:
    records[0], records[1] = records[1], records[0]


def _drop_first(records: list[dict[str, Any]]) -> None:
    del records[0]


def _drop_last(records: list[dict[str, Any]]) -> None:
    del records[-1]


def _doubled(records: list[dict[str, Any]]) -> None:
    copy = json.loads(json.dumps(records[0]))
    copy["entry"]["n"] = len(records) + 1
    records.append(copy)


def _same_seed(records: list[dict[str, Any]]) -> None:
    records[1]["entry"]["receipt"]["scoring_seed"] = records[0]["entry"]["receipt"]["scoring_seed"]


EDITS: dict[str, Change] = {
    "edited_score": _set(0, normalised=BETTER),
    "edited_time": _set(1, budget_s=0.0),
    "edited_failure": _set(0, valid=False, failure="infrastructure"),
    "edited_receipt": _set_receipt(0, start_raw=BETTER),
    "reordered": _swap,
    "dropped_first": _drop_first,
    "dropped_last": _drop_last,
}
RELINKED: dict[str, Change] = {
    "appended_copy": _doubled,
    "receipt_of_another_attempt": _set_receipt(0, instance_seed="0" * 32),
    "receipt_of_another_environment": _set_receipt(1, environment="another"),
    "receipt_of_another_submission": _set_receipt(1, submission_sha256="0" * 64),
    "seed_used_twice": _same_seed,
    "final_score_edited": _set(-1, normalised=BETTER),
    "final_of_an_unscored_submission": _set(-1, submission="0" * 64),
}


RESULTS: dict[str, dict[str, Any]] = {
    "score": {"normalised": BETTER, "valid": True},
    "class": {"class": "official", "isolation": "forged"},
    "model": {"model": "another/model"},
    "agent": {"agent": "another"},
    "kind": {"participant_kind": "human"},
    "version": {"version": "99-Z"},
    "rules": {"rules_version": 0},
    "scorings": {"scorings": 1},
    "trace": {"trace": []},
    "best": {"best_logged_normalised": BETTER},
    "time": {"ledger": {"working_s": 0.0, "waiting_s": 0.0, "scoring_s": 0.0, "paused_s": 0.0, "budget_s": 0.0}},
    "receipt": {"receipt": {}},
}


def _tampered(subject: Subject, folder: AttemptFolder) -> str:
    outcome = regrade(folder, rescore=False, bound=subject.environment)
    require(outcome.verdict is Verdict.TAMPERED, f"not found: {outcome.verdict}")
    return outcome.problems[0]


def _edited(subject: Subject, change: Change, relink: bool) -> str:
    folder = _honest(subject)
    records = records_of(folder)
    change(records)
    rewrite(folder, records, relink)
    return _tampered(subject, folder)


def _result(subject: Subject, fields: dict[str, Any]) -> str:
    folder = _honest(subject)
    data = json.loads(folder.result_file.read_text())
    require(any(data[key] != value for key, value in fields.items()), "the forgery changes nothing")
    folder.result_file.write_text(json.dumps(data | fields))
    return _tampered(subject, folder)


def _swapped(subject: Subject) -> str:
    folder = _honest(subject)
    digest = next(entry["entry"]["submission"] for entry in records_of(folder))
    stored = folder.submissions / digest
    shutil.rmtree(stored)
    stored.mkdir()
    first = subject.environment.spec.submission.required[0]
    (stored / first.replace("/", "_")).write_text("another submission\n")
    return _tampered(subject, folder)


def _whole_chain(subject: Subject) -> str:
    """Who holds all files can relink everything around a better number: only scoring again tells."""
    folder = _honest(subject)
    records = records_of(folder)
    for record in records:
        record["entry"].update(normalised=BETTER)
    rewrite(folder, records, relink=True)
    data = json.loads(folder.result_file.read_text())
    for scoring in data["trace"]:
        scoring["normalised"] = BETTER
    folder.result_file.write_text(json.dumps(data | {"normalised": BETTER, "best_logged_normalised": BETTER}))
    blind = regrade(folder, rescore=False, bound=subject.environment)
    require(blind.verdict is Verdict.AGREES, f"the forgery is not even consistent: {blind.problems}")
    outcome = regrade(folder, bound=subject.environment)
    require(outcome.verdict is Verdict.DIFFERS, f"not found: {outcome.verdict} {outcome.problems}")
    return outcome.problems[-1]
