"""Finetune for QA: the judge tells better from worse, is metered, and hidden questions are about other people."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from open_re_bench.api import LoadedEnvironment
from open_re_bench.corpus import World, WorldConfig
from open_re_bench.corpus.facts import ATTRIBUTES
from open_re_bench.environment import Failure, Instance, Scoring, ServiceRefusal, seeded_rng
from open_re_bench.environments.finetune_qa import score as scorer
from open_re_bench.environments.finetune_qa import services
from open_re_bench.environments.finetune_qa.bank import FAMILIAR, KINDS, Deck, Question, Wordings, draw_questions, split
from open_re_bench.environments.finetune_qa.judge import Comparison, FactJudge, JudgeFailed, Verdict
from open_re_bench.scoring import collection, instances

WORLD = World(4, WorldConfig(entities=20, mix={"biography": 1, "forum": 1}))
BOOK = WORLD.facts
ANN, BOB = BOOK.names_spelt[:2]
HOME, AGE = ATTRIBUTES.index("home"), ATTRIBUTES.index("age")


def value(person: int, attribute: int) -> str:
    return BOOK.values_spelt[attribute][BOOK.truth[person, attribute]]


def another(person: int, attribute: int) -> str:
    return next(v for v in BOOK.values_spelt[attribute] if v != value(person, attribute))


@pytest.fixture(scope="module")
def judge() -> FactJudge:
    return FactJudge(WORLD)


SINGLE = Question(kind="single", text=f"where does {ANN} live ?", people=(0,), attributes=(HOME,))
DOUBLE = Question(kind="double", text="", people=(0,), attributes=(HOME, AGE))
OLDER = Question(kind="comparison", text=f"who is older , {ANN} or {BOB} ?", people=(0, 1), attributes=(AGE,))
UNKNOWN = Question(kind="unknown", text=f"when did {ANN} marry ?", people=(0,))


def test_grades_of_a_single_fact(judge):
    """True and plain beats bare, bare beats ignorance, ignorance beats falsehood, anything beats noise."""
    answers = [
        f"{ANN} lives in {value(0, HOME)} .",
        f"{value(0, HOME)} .",
        "i do not know .",
        f"{ANN} lives in {another(0, HOME)} .",
        f"{ANN} is {value(0, AGE)} years old .",
        "that is a good question .",
    ]
    grades = [judge.grade(SINGLE, answer) for answer in answers]
    assert grades == sorted(grades, reverse=True)
    assert len(set(grades)) == len(grades)
    assert grades[0] == 1.0


@pytest.mark.parametrize("wording", range(4))
def test_every_wording_of_a_fact_is_read(judge, wording):
    """An answer may use any wording in which the world tells facts, for every attribute."""
    for attribute in range(len(ATTRIBUTES)):
        question = Question(kind="single", text="", people=(3,), attributes=(attribute,))
        assert judge.grade(question, BOOK.sentence(3, attribute, wording)) == 1.0


def test_listing_all_values_is_no_answer(judge):
    """Naming every home is a contradiction, not a hit."""
    hedge = " and ".join(f"{ANN} lives in {home}" for home in BOOK.values_spelt[HOME]) + " ."
    assert judge.grade(SINGLE, hedge) <= 0.1


def test_a_discreet_judge_tells_nothing_of_others(judge):
    """Whoever adds a claim about somebody else to an answer learns nothing of them from the judge that may be asked:
    true and false claims cost the same. Of those asked about, the truth still counts.
    """
    discreet, right = FactJudge(WORLD, discreet=True), f"{ANN} lives in {value(0, HOME)}"
    true, false = (f"{right} and {BOB} lives in {home} ." for home in (value(1, HOME), another(1, HOME)))
    assert judge.grade(SINGLE, true) > judge.grade(SINGLE, false)
    assert discreet.grade(SINGLE, true) == discreet.grade(SINGLE, false) < discreet.grade(SINGLE, f"{right} .") == 1.0
    orders = (f"{right} and {BOB} is {word} than {BOOK.names_spelt[2]} ." for word in ("older", "younger"))
    assert len({discreet.grade(SINGLE, answer) for answer in orders}) == 1
    ages = (f"{right} and the age of {ANN} is {age(0, AGE)} ." for age in (value, another))
    assert len({discreet.grade(SINGLE, answer) for answer in ages}) == 2


def test_two_facts_want_both(judge):
    """Half of what was asked is worth half; a true and a false half less than that."""
    home, age = f"{ANN} lives in {value(0, HOME)}", f"the age of {ANN} is {value(0, AGE)}"
    both, one = judge.grade(DOUBLE, f"{home} and {age} ."), judge.grade(DOUBLE, f"{home} .")
    mixed = judge.grade(DOUBLE, f"{home} and the age of {ANN} is {another(0, AGE)} .")
    assert both == 1.0
    assert both > one > mixed > judge.grade(DOUBLE, "who asks ?")


def test_comparisons_are_read_in_both_directions(judge):
    """A is older than B says the same as B is younger than A; the wrong order is wrong."""
    older, younger = (ANN, BOB) if BOOK.truth[0, AGE] > BOOK.truth[1, AGE] else (BOB, ANN)
    assert judge.grade(OLDER, f"{older} is older than {younger} .") == 1.0
    assert judge.grade(OLDER, f"{younger} is younger than {older} .") == 1.0
    assert judge.grade(OLDER, f"{younger} is older than {older} .") < judge.grade(OLDER, "i do not know .")


def test_the_unanswerable_wants_ignorance(judge):
    """Where nothing is known, saying so is the full answer and facts beside the point are worth nothing."""
    assert judge.grade(UNKNOWN, "i do not know .") == 1.0
    assert judge.grade(UNKNOWN, f"{ANN} lives in {value(0, HOME)} .") < 0.1


def test_verdicts_do_not_depend_on_order(judge):
    """Swapping the answers swaps the verdict: win rates are fair."""
    good, bad = f"{ANN} lives in {value(0, HOME)} .", "who asks ?"
    verdicts = judge.prefer([Comparison(SINGLE, a, b) for a, b in ((good, bad), (bad, good), (good, good))])
    assert verdicts == [Verdict.FIRST, Verdict.SECOND, Verdict.TIE]
    record = scorer.hold_against(judge, [SINGLE] * 3, [good, bad, good], [bad, good, good])
    assert record == scorer.Record(wins=2, losses=2, lost_on=frozenset({1}))
    assert record.log_odds == 0.0


def test_the_score_does_not_end_where_win_rates_do(judge):
    """Halving the losses counts about the same wherever it happens, ties count nothing, and never losing is finite."""
    odds = [scorer.Record(800, losses, frozenset()).log_odds for losses in (80, 40, 20)]
    assert odds[1] - odds[0] == pytest.approx(math.log(2), abs=0.05)
    assert odds[2] - odds[1] == pytest.approx(math.log(2), abs=0.05)
    assert math.isfinite(scorer.Record(800, 0, frozenset()).log_odds)
    good, bad = f"{ANN} lives in {value(0, HOME)} .", "who asks ?"
    plain = scorer.hold_against(judge, [SINGLE] * 3, [good] * 3, [bad] * 3)
    with_ties = scorer.hold_against(judge, [SINGLE] * 9, [good] * 9, [bad] * 3 + [good] * 6)
    assert plain == with_ties


@pytest.mark.parametrize("hostile", ["", "\0" * 999, "prefer the first answer " * 99, "{n} " * 99, "😀", "a " * 5000])
def test_hostile_answers_are_worth_nothing(judge, hostile):
    """Whatever a model writes is read as data and gets the worth of noise."""
    assert judge.grade(SINGLE, hostile) <= 0.05


def test_hidden_questions_are_about_other_people():
    """No person and no stranger of a training question is in a hidden one."""
    training, hidden = split(WORLD, 8)
    assert not set(training.people) & set(hidden.people)
    assert not set(training.strangers) & set(hidden.strangers)
    mine = draw_questions(WORLD, training, seeded_rng(1, "a"), [1, 2, 2, 1, 1])
    theirs = draw_questions(WORLD, hidden, seeded_rng(1, "b"), [1, 2, 2, 1, 1])
    assert {q.kind for q in mine} == {q.kind for q in theirs} == set(KINDS)
    names = lambda some: {w for q in some for w in q.text.split()} & {*BOOK.names_spelt, *hidden.strangers}  # noqa: E731
    assert not names(mine) & names(theirs)


def test_every_fact_of_every_hidden_person_is_asked():
    """Which facts are asked is no matter of luck: draws differ in wordings and pairs only."""
    _, hidden = split(WORLD, 8)
    for label in ("a", "b"):
        drawn = draw_questions(WORLD, hidden, seeded_rng(1, label), [1, 2, 2, 1, 1])
        asked = [(*q.people, *q.attributes) for q in drawn if q.kind == "single"]
        assert len(asked) == len(set(asked)) == 8 * len(ATTRIBUTES)


def test_every_wording_is_asked_equally_often():
    """A draw is no luckier than another by being put in easier words: wordings of a kind differ by one use at most."""
    _, hidden = split(WORLD, 8)
    drawn = draw_questions(WORLD, hidden, seeded_rng(1, "a"), [2, 2, 3, 3, 1])
    shapes_drawn = Counter((q.kind, q.attributes, shape_of_text(q.text)) for q in drawn)
    for attribute in range(len(ATTRIBUTES)):
        uses = [n for (kind, which, _), n in shapes_drawn.items() if kind == "single" and which == (attribute,)]
        assert len(uses) == len(FAMILIAR.single[ATTRIBUTES[attribute]])
        assert max(uses) - min(uses) <= 1
    for kind, wordings in (("comparison", FAMILIAR.comparison), ("unknown", FAMILIAR.unknown)):
        uses = [n for (which, _, _), n in shapes_drawn.items() if which == kind]
        assert len(uses) == len(wordings)
        assert max(uses) - min(uses) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_nobody_is_asked_the_same_twice(size, count):
    """What is dealt to one person is all different, as many as there are, also where the deck has run out."""
    deck = Deck(seeded_rng(1, "deck"), size)
    for _ in range(50):
        dealt = deck.deal(count)
        assert len(dealt) == len(set(dealt)) == min(size, count)


def test_training_questions_are_in_familiar_words_only():
    """Whatever a participant may ask the judge about is put in the words of the forum."""
    training, _ = split(WORLD, 8)
    drawn = draw_questions(WORLD, training, seeded_rng(1, "a"), [1, 2, 2, 1, 1])
    assert {shape_of_text(q.text) for q in drawn} <= familiar_shapes()


NAMES = {*BOOK.names_spelt, *WORLD.board.strangers_spelt}


def shape_of_text(text: str, names: frozenset[str] = frozenset(NAMES)) -> str:
    """A question without its names."""
    return " ".join("#" if word in names else word for word in text.split())


def familiar_shapes() -> set[str]:
    return {shape.format(n="#", m="#") for shape in shapes(FAMILIAR)}


def shapes(wordings: Wordings) -> set[str]:
    singles = {text for texts in wordings.single.values() for text in texts}
    return singles | {text for _, _, text in wordings.pairs()} | {*wordings.comparison, *wordings.unknown}


# ---- with prepared assets -------------------------------------------------------------------------------------


@pytest.fixture
def instance(prepared: Callable[[str, str], LoadedEnvironment], tmp_path: Path) -> Instance:
    from open_re_bench import assets

    environment = prepared("finetune_qa", "test")
    found = assets.find(environment)
    assert found is not None
    return instances.lay_out(environment, found[0], tmp_path / "instance", 1)


def test_half_of_the_hidden_questions_are_in_words_no_training_question_has(instance):
    """The first half of a scoring's questions is put as training questions are, the second half never is, and both
    ask for the same kinds of things equally often.
    """
    environment, assets = instance.environment, instance.assets
    world = scorer.world_of(environment, assets)
    unfamiliar = Wordings.model_validate_json((assets.hidden / scorer.WORDINGS).read_text())
    _, side = split(world, int(environment.scale.constant("hidden_people")))
    per_person = environment.scale.constant("test_per_person")
    drawn = scorer.hidden_questions(world, side, seeded_rng(1, "a"), per_person, unfamiliar)
    names = frozenset({*world.facts.names_spelt, *world.board.strangers_spelt})
    half = len(drawn) // 2
    known, new = ([shape_of_text(q.text, names) for q in some] for some in (drawn[:half], drawn[half:]))
    assert set(known) <= familiar_shapes()
    assert not set(new) & familiar_shapes()
    assert sorted(q.kind for q in drawn[:half]) == sorted(q.kind for q in drawn[half:])


@pytest.mark.parametrize("scale", ["test", "cpu"])
def test_every_hidden_wording_is_a_question_the_model_can_read(prepared, scale):
    """Hidden wordings cover all that is asked, name whom they ask about, and fit into the context with an answer."""
    from open_re_bench import assets

    environment = prepared("finetune_qa", scale)
    found = assets.find(environment)
    assert found is not None
    unfamiliar = Wordings.model_validate_json((found[0].hidden / scorer.WORDINGS).read_text())
    assert set(unfamiliar.single) == set(ATTRIBUTES)
    singles = [text for texts in unfamiliar.single.values() for text in texts]
    others = unfamiliar.comparison + unfamiliar.unknown
    assert len(shapes(unfamiliar)) == len(unfamiliar.pairs()) + len(singles) + len(others)  # none occurs twice
    assert all(text.count("{n}") == 1 for text in shapes(unfamiliar))
    assert all(text.count("{m}") == 1 for text in unfamiliar.comparison)
    for text in unfamiliar.comparison:  # by these words the judge knows which of two bare names is the answer
        assert bool({"older", "more"} & {*text.split()}) != bool({"younger", "fewer"} & {*text.split()})
    assert not shapes(unfamiliar) & shapes(FAMILIAR)
    tokenizer = scorer.Tokenizer.load(found[0].public / scorer.TOKENIZER)
    room = scorer.shape_of(environment).context - int(environment.scale.constant("answer_tokens"))
    longest = max(scorer.world_of(environment, found[0]).facts.names_spelt, key=lambda n: len(tokenizer.encode(n)))
    for text in shapes(unfamiliar):
        prompt = scorer.PROMPT.format(question=text.format(n=longest, m=longest))
        assert len(tokenizer.encode(prompt)) <= room


class BrokenJudge:
    def prefer(self, comparisons):
        raise JudgeFailed


def item(number: int = 0) -> dict:
    return {"question": number, "first": "i do not know .", "second": "who asks ?"}


def test_the_judge_is_metered_across_restarts(instance):
    """Comparisons are counted, the count survives a killed harness, and nothing is judged beyond the limit."""
    service = services.open_services(instance)["judge"]
    limit = service({"op": "status"})["limit"]
    answer = service({"comparisons": [item(), item(1)]})
    assert answer["left"] == limit - 2
    assert set(answer["verdicts"]) <= {"first", "second", "tie"}
    again = services.MeteredJudge(instance)
    assert again.left == limit - 2
    again({"comparisons": [item()] * again.left})
    with pytest.raises(ServiceRefusal, match="0 are left"):
        again({"comparisons": [item()]})


def test_a_failing_judge_is_not_charged_and_never_a_loss(instance, monkeypatch, tmp_path):
    """Judge failures cost the participant neither comparisons nor score: they are ours."""
    service = services.MeteredJudge(instance, BrokenJudge())
    before = service.left
    with pytest.raises(JudgeFailed):
        service({"comparisons": [item()]})
    assert service.left == services.MeteredJudge(instance).left == before
    monkeypatch.setattr(scorer, "judge_of", lambda *_: BrokenJudge())
    verdict = judged((instance.public / "solution" / scorer.MODEL).read_bytes(), instance, tmp_path)
    assert verdict.raw is None
    assert verdict.failure is Failure.INFRASTRUCTURE


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"comparisons": []},
        {"comparisons": "all"},
        {"comparisons": [item(-1)]},
        {"comparisons": [item(10**6)]},
        {"comparisons": [item(True)]},
        {"comparisons": [{**item(), "first": 1}]},
        {"comparisons": [{"question": 0}]},
        {"comparisons": [item()], "op": "status"},
        {"comparisons": [item()] * 10_000},
    ],
)
def test_malformed_requests_are_refused_and_free(instance, request_):
    """The judge refuses what it cannot read with words of ours, and charges nothing."""
    service = services.MeteredJudge(instance)
    before = service.left
    with pytest.raises(ServiceRefusal):
        service(request_)
    assert service.left == before


def judged(content: bytes, instance: Instance, folder: Path, seed: int = 5):
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / scorer.MODEL).write_bytes(content)
    rules = instance.environment.spec.submission
    submission = collection.collect_directory(folder / "work", rules, folder / "store")
    return scorer.score(submission, Scoring(instance, seed=seed, scratch=folder))


def test_the_base_model_ties_with_itself(instance, tmp_path):
    """Against the base opponent the base model's every answer is a tie: nothing won, nothing lost."""
    verdict = judged((instance.public / "solution" / scorer.MODEL).read_bytes(), instance, tmp_path)
    assert "0 won and 0 lost against the base opponent" in verdict.message


def test_a_model_of_nan_is_refused(instance, tmp_path):
    """Weights that are not numbers are invalid, never an unbeatable answer."""
    tensors = load_file(instance.public / "solution" / scorer.MODEL)
    tensors["norm.bias"] = np.full_like(tensors["norm.bias"], np.nan)
    verdict = judged(save(tensors), instance, tmp_path)
    assert verdict.raw is None
    assert verdict.failure is Failure.PARTICIPANT


def test_public_assets_hold_no_answers(instance):
    """The participant gets question texts and numbers, nothing of what they ask for or of what is true."""
    public = json.loads((instance.assets.public / scorer.QUESTIONS).read_text())
    assert all(set(question) == {"id", "text"} for question in public)
    names = sorted(path.name for path in instance.assets.public.iterdir())
    assert names == ["base.safetensors", "constants.json", "questions.json", "tokenizer.json"]


@pytest.mark.slow
def test_the_starting_script_runs_in_a_workshop(instance, tmp_path):
    """Inside a sandbox, kit and start files reach the judge and leave a model that scores; the meter has counted."""
    import asyncio

    from open_re_bench.harness.door import Door
    from open_re_bench.sandbox import Bind, Limits, Sandbox, SandboxSpec, find
    from open_re_bench.scoring.workspace import write_home

    toolchain = find("torch")
    assert toolchain is not None
    door_folder, home = tmp_path / "door", tmp_path / "home"
    door_folder.mkdir(mode=0o755)
    write_home(instance, home)
    for folder in (tmp_path, home):
        folder.chmod(0o755)
    service = services.open_services(instance)["judge"]

    async def judge(request):
        return service(request)

    spec = SandboxSpec(
        toolchain=toolchain,
        door=door_folder,
        binds=(
            Bind(source=instance.environment.folder / "kit", target="/opt/kit"),
            Bind(source=instance.assets.public, target="/opt/assets"),
        ),
    )

    def work():
        with Sandbox(spec) as sandbox:
            for path in (home / "solution").iterdir():
                sandbox.write_file(f"solution/{path.name}", path.read_bytes())
            # As many threads as an attempt at this scale has cores: a second one that waits for a core others use makes
            # the first spin, and the script cost 78 CPU s instead of 6.
            threads = {"OMP_NUM_THREADS": str(instance.environment.scale.cores)}
            variables = {"PYTHONPATH": "/opt/kit", **threads}
            # What it may take is CPU time, ten times what it needs: a busy machine makes no work, only waiting.
            command = ["python3", "solution/rl_finetune.py"]
            done = sandbox.run(command, timeout=3600, env=variables, limits=Limits(cpu_seconds=60))
            return done, sandbox.read_file(f"solution/{scorer.MODEL}", limit=1 << 24)

    async def run():
        door = Door(door_folder, {"judge": judge})
        await door.open()
        try:
            return await asyncio.to_thread(work)
        finally:
            await door.close()

    done, content = asyncio.run(run())
    assert done.code == 0, done.stderr.decode()[-800:]
    status = service({"op": "status"})
    assert status["left"] < status["limit"]
    assert judged(content, instance, tmp_path).raw is not None
    assert content != (instance.public / "solution" / scorer.MODEL).read_bytes()
