"""What is kept about a person: pseudonyms, consent, answers; and how it is redacted and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from open_re_bench.errors import UserError
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan, create, now_text
from open_re_bench.people import person, privacy, recording
from open_re_bench.people.person import QUESTIONS, PersonFolder, PersonRecord, Questionnaire, SessionEvent
from open_re_bench.people.recording import Recording
from open_re_bench.scoring.score_log import ScoreEntry, ScoreLog


def attempt(log_dir: Path, number: int = 1) -> AttemptFolder:
    plan = AttemptPlan.model_construct(
        attempt_id=f"optimize_kernel-test-p1-{number}",
        environment="optimize_kernel",
        scale="test",
        version="1-A",
        task_version=1,
        budget_s=60.0,
        agent=person.AGENT,
        model="",
        participant_kind="human",
        instance_seed="0" * 32,
        planned_at=now_text(),
    )
    folder = create(log_dir, plan)
    PersonFolder(folder).write(PersonRecord(pseudonym="p1"))
    return folder


def scored(folder: AttemptFolder, *digests: str) -> None:
    log = ScoreLog(folder.score_log)
    for n, digest in enumerate(digests, 1):
        (folder.submissions / digest).mkdir(parents=True, exist_ok=True)
        (folder.submissions / digest / "solution.py").write_text(digest)
        log.append(
            ScoreEntry(
                n=n,
                kind="intermediate",
                asked_at=now_text(),
                budget_s=0.0,
                working_s=0.0,
                waiting_s=0.0,
                scoring_s=0.0,
                paused_s=0.0,
                raw=1.0,
                normalised=0.0,
                valid=True,
                failure=None,
                message="",
                submission=digest,
            )
        )


def test_pseudonyms_are_drawn_and_checked() -> None:
    """Promise: nobody is asked for a name; what looks like one, or like a path, is refused with the rule."""
    assert person.pseudonym(None) != person.pseudonym(None)
    assert person.pseudonym("study2-p07") == "study2-p07"
    for wrong in ("Ada Lovelace", "ada@example.org", "../up", "", "x" * 40):
        with pytest.raises(UserError, match="never a name"):
            person.pseudonym(wrong)


def test_answers_are_choices_numbers_or_free_text() -> None:
    """Promise: a choice is taken by word or number, anything else is asked again, Enter skips."""
    issues = next(question for question in QUESTIONS if question.key == "issues")
    assert issues.accepts(" Major ") == "major"
    assert issues.accepts("2") == "minor"
    assert issues.accepts("4") is None
    assert issues.accepts("dreadful") is None
    assert issues.accepts("") == ""
    free = next(question for question in QUESTIONS if question.key == "remarks")
    assert free.accepts(" all fine ") == "all fine"


def test_nobody_is_asked_what_went_wrong_when_nothing_did() -> None:
    """Promise: a question that an earlier answer settles is passed over, like one that is answered."""
    which = next(question for question in QUESTIONS if question.key == "issues_text")
    assert which.is_open({})
    assert which.is_open({"issues": "minor"})
    assert not which.is_open({"issues": "none"})
    assert not which.is_open({"issues": "minor", "issues_text": "the screen"})


def test_consent_can_decline_the_recording_but_not_switch_it_on(tmp_path: Path) -> None:
    """Promise: terminals are recorded only where both the study and the person want it."""
    kept = PersonFolder(attempt(tmp_path))
    assert kept.consent(recorded=False).recorded is False
    kept.write(PersonRecord(pseudonym="p1", recorded=False))
    record = kept.consent(recorded=True)
    assert record.recorded is False
    assert record.consented_at is not None


def test_a_session_record_survives_a_crash_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """Promise: whole lines are kept, and files about a person are readable by the harness's user only."""
    folder = attempt(tmp_path)
    kept = PersonFolder(folder)
    kept.append(SessionEvent(at=now_text(), event="started"))
    with (folder.root / "session.jsonl").open("a") as end:
        end.write('{"at": "2026-')
    assert [event.event for event in kept.events()] == ["started"]
    kept.write_questionnaire(Questionnaire(answers={"years": "7"}))
    for name in ("person.json", "session.jsonl", "questionnaire.json"):
        assert (folder.root / name).stat().st_mode & 0o077 == 0


def test_nothing_of_a_session_record_is_lost(tmp_path: Path) -> None:
    """Promise: a note is kept whatever characters it has, and so is what is written after a line cut off by a crash;
    redaction loses nothing either."""
    folder = attempt(tmp_path)
    kept = PersonFolder(folder)
    notes = ["line\u2028separator", "next\u0085line", "form\x0cfeed"]
    for note in notes:
        kept.append(SessionEvent(at=now_text(), event="noted", text=note))
    with (folder.root / "session.jsonl").open("a") as end:
        end.write('{"at": "2026-')
    kept.append(SessionEvent(at=now_text(), event="noted", text="afterwards"))
    kept.append(SessionEvent(at=now_text(), event="stopped"))
    assert [event.text for event in kept.events()] == [*notes, "afterwards", ""]
    privacy.redact(folder, ["afterwards"])
    assert [event.text for event in kept.events()][:3] == notes
    assert len(kept.events()) == 5


def test_redaction_reaches_recordings_notes_and_answers(tmp_path: Path) -> None:
    """Promise: a text is overwritten in everything a person said or saw, and the number of places is told."""
    folder = attempt(tmp_path)
    kept = PersonFolder(folder)
    terminal = Recording(kept.next_terminal(), 24, 80, "xterm")
    terminal.output(b"my key is hun")
    terminal.output(b"ter2\r\n")
    terminal.close()
    kept.append(SessionEvent(at=now_text(), event="noted", text="used hunter2 again"))
    kept.write_questionnaire(Questionnaire(answers={"remarks": "hunter2?"}))
    assert privacy.redact(folder, ["hunter2"]) == 3
    (file,) = kept.recordings()
    everything = recording.shown(file) + kept.events()[0].text + kept.questionnaire().answers["remarks"]
    assert "hunter2" not in everything
    assert "my key is" in everything
    for path in folder.root.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes()


def test_deletion_takes_everything_of_the_attempt_and_nothing_of_others(tmp_path: Path) -> None:
    """Promise: after deletion nothing of the attempt is left; another attempt keeps a submission that both made."""
    first, second = attempt(tmp_path, 1), attempt(tmp_path, 2)
    scored(first, "aa", "bb")
    scored(second, "bb", "cc")
    privacy.delete(first)
    assert not first.root.exists()
    assert sorted(path.name for path in second.submissions.iterdir()) == ["bb", "cc"]
    assert second.score_log.exists()


def test_recordings_alone_can_be_deleted(tmp_path: Path) -> None:
    """Promise: the result stays when only what the terminals showed is deleted."""
    folder = attempt(tmp_path)
    scored(folder, "aa")
    Recording(PersonFolder(folder).next_terminal(), 24, 80, "xterm").close()
    assert len(privacy.delete_recordings(folder)) == 1
    assert PersonFolder(folder).recordings() == []
    assert folder.score_log.exists()
