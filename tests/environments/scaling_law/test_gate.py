"""Scaling law: the gate that every shipped source has to pass, on its own real runs."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from open_re_bench import protected, registry
from open_re_bench.environments.scaling_law import table, truth

ROOT = Path(__file__).parents[3]
SCORED, FRESH = "hidden/cpu", "fresh/w3"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The protected material, kept for the module."""
    with protected.files(registry.folder_of("scaling_law")) as root:
        yield root


@pytest.fixture(scope="module")
def gate(shipped):
    """The protected gate."""
    spec = importlib.util.spec_from_file_location("_gate_under_test", shipped / "gate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scale():
    """The scale that the worlds are for."""
    return registry.environment("scaling_law", "cpu").scale


@pytest.fixture(scope="module")
def levels(scale):
    """FLOPs at the cap and at the target."""
    return float(scale.constant("cap_flops")), float(scale.constant("target_flops"))


def test_capped_runs_foretell_the_target_and_naive_extrapolation_does_not(shipped, gate, levels):
    """A capped fit holds within 0.03 nats above the cap, the best width moves, the naive answer is clearly worse."""
    cells = table.read(shipped / SCORED / truth.RUNS)
    found = gate.verdict(cells, *levels)
    assert found.failures == ()
    assert max(abs(miss) for row in found.near.values() for miss in row.values()) <= 0.03
    assert found.moved >= 2
    assert found.naive_miss > 3 * found.honest_miss
    assert len([level for level in table.mean_losses(cells) if level > levels[0]]) >= 2


def test_the_gate_refuses_a_real_world_that_capped_runs_do_not_foretell(shipped, gate, levels):
    """The scored world's law with another seed moves as far, but fits to its capped runs are off by more than the gate
    allows: it is refused, so that no world may score untested.
    """
    found = gate.verdict(table.read(shipped / FRESH / truth.RUNS), *levels)
    assert found.failures
    assert all("off by" in reason for reason in found.failures)
    assert found.moved >= 2
    assert found.naive_miss > 3 * found.honest_miss


def test_every_width_was_run_at_the_target(shipped, scale, levels):
    """The world that scores has a real run for every width that may be chosen, and its loss depends on width."""
    losses = table.mean_losses(table.read(shipped / SCORED / truth.RUNS))[levels[1]]
    assert set(losses) == set(scale.constant("target_widths"))
    assert len(set(losses.values())) == len(losses)


def test_no_world_shares_its_seed_or_its_held_out_text(shipped):
    """Worlds share no text: what is known of one says nothing certain of another."""
    worlds = [json.loads(path.read_text()) for path in shipped.rglob(truth.WORLD)]
    assert len({world["seed"] for world in worlds}) == len(worlds) >= 4
    assert len({world["evaluation_seed"] for world in worlds}) == len(worlds)


def test_every_shipped_world_is_accounted_for(shipped):
    """No world ships that the published page does not name together with what the gate says of it."""
    page = (ROOT / "docs" / "scaling-law-gate.md").read_text()
    for path in shipped.rglob(truth.WORLD):
        assert f"`{path.parent.relative_to(shipped).as_posix()}`" in page


def test_the_gate_refuses_a_source_on_which_nothing_moves(shipped, gate, levels):
    """Tables in which the target looks like the cap, or in which the fit fails, are refused with the reason."""
    cells = table.read(shipped / SCORED / truth.RUNS)
    cap, target = levels
    at_cap = {c.width: c.run for c in cells if c.level == cap}
    frozen = [c for c in cells if c.level < target]
    frozen += [table.Cell(level=target, width=w, seed=0, run=run) for w, run in at_cap.items()]
    refused = gate.verdict(frozen, cap, target)
    assert any("moves by 0" in reason for reason in refused.failures)
    assert any("off by" in reason for reason in refused.failures)
    assert any("not clearly worse" in reason for reason in refused.failures)


def test_the_published_page_is_in_step():
    """docs/scaling-law-gate.md says what the shipped tables say."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "plot_scaling_law_gate.py", "--check"], check=False)
    assert done.returncode == 0, "run scripts/plot_scaling_law_gate.py"


def test_the_published_page_keeps_the_answers_back(shipped):
    """No loss of a world that scores, or of its sister, is printed in docs/ or in a plot."""
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/images/scaling-law*.svg")]
    text = "\n".join(page.read_text() for page in pages)
    for world in (SCORED, FRESH):
        for cell in table.read(shipped / world / truth.RUNS):
            assert f"{cell.run.loss:.4f}" not in text


def test_shipped_tables_are_complete(prepared):
    """Every width that may be chosen was really run at the target, at each scale that runs."""
    for scale in ("cpu", "test"):
        bound = prepared("scaling_law", scale)
        with protected.files(bound.folder) as root:
            folder = root / "hidden" / scale
            losses = truth.load(folder, bound).losses
            assert len({json.loads(line)["run"]["loss"] for line in (folder / truth.RUNS).read_text().splitlines()}) > 5
        assert set(losses) == set(bound.scale.constant("target_widths"))
        assert len(set(losses.values())) == len(losses), "the table must depend on width"
