"""Draws docs/images/scaling-law-gate-*.svg and the tables of docs/scaling-law-gate.md from the shipped tables of runs.

``python scripts/plot_scaling_law_gate.py`` writes, ``--check`` only compares the page (exit 1 when out of step).
``--full FOLDER`` draws every world with its absolute losses into a folder of yours: these are answers, keep them out
of the repository.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from open_re_bench import protected, registry
from open_re_bench.environments.scaling_law import table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "scaling-law-gate.md"
IMAGES = ROOT / "docs" / "images"
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
FULL_WORLD = "aside/w1"  # never scored, so that its losses may be printed
WORLDS = {
    "hidden/cpu": "scored",
    "fresh/w3": "check: same law, other seed",
    FULL_WORLD: "set aside",
}
INCHES = 3.2  # of one panel
GREYEST = 0.75  # of the lowest level's line


@dataclass(frozen=True)
class World:
    """A world's runs and what the gate says of them."""

    name: str
    cells: list[table.Cell]
    means: dict[float, dict[int, float]]
    verdict: Any


def gate_module(root: Path) -> ModuleType:
    """The protected gate."""
    spec = importlib.util.spec_from_file_location("_scaling_law_gate", root / "gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def worlds() -> dict[str, World]:
    """Every shipped world, judged."""
    bound = registry.environment("scaling_law", "cpu")
    cap, target = float(bound.scale.constant("cap_flops")), float(bound.scale.constant("target_flops"))
    found = {}
    with protected.files(bound.folder) as root:
        gate = gate_module(root)
        for name in WORLDS:
            if (root / name / "runs.jsonl").exists():
                cells = table.read(root / name / "runs.jsonl")
                verdict = gate.verdict(cells, cap, target)
                found[name] = World(name, cells, table.mean_losses(cells), verdict)
    return found


def save(figure: Figure, file: Path) -> None:
    """Writes an SVG that depends on the data only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "open-re-bench"
    mpl.rcParams["svg.fonttype"] = "none"
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def panels(count: int) -> tuple[Figure, list[Any]]:
    """A figure with `count` panels side by side."""
    figure = Figure(figsize=(INCHES * count, INCHES), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def shade(at: int, count: int) -> str:
    """Grey for the lowest level, black for the highest."""
    return str(round(GREYEST * (1 - at / max(1, count - 1)), 3))


def draw_losses(axes: Any, world: World) -> None:
    """Absolute losses against width, a line per level."""
    for at, (level, row) in enumerate(sorted(world.means.items())):
        widths = sorted(row)
        axes.plot(widths, [row[w] for w in widths], "o-", ms=3, color=shade(at, len(world.means)), label=f"{level:.2g}")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="width", ylabel="loss (nats)", title=world.name)
    axes.legend(title="FLOPs", fontsize=7, title_fontsize=7)


def draw_shapes(axes: Any, world: World) -> None:
    """Loss above the level's best against distance from the level's best width: the shape without the answers."""
    for at, (level, row) in enumerate(sorted(world.means.items())):
        widths, best = sorted(row), world.verdict.best[level]
        axes.plot(
            [math.log2(w / best) for w in widths],
            [row[w] - row[best] for w in widths],
            "o-",
            ms=3,
            color=shade(at, len(world.means)),
            label=f"{level:.2g}",
        )
    axes.set(xlabel="octaves from the level's best width", ylabel="loss above the level's best (nats)")
    axes.set_title(f"{world.name} ({WORLDS[world.name]})", fontsize=8)
    axes.legend(title="FLOPs", fontsize=6, title_fontsize=6)


def draw_misses(axes: Any, world: World, within: float) -> None:
    """How far the fit to capped runs is off above the cap."""
    for level, row in sorted(world.verdict.misses.items()):
        widths, best = sorted(row), world.verdict.best[level]
        axes.plot(
            [math.log2(w / best) for w in widths], [abs(row[w]) for w in widths], "o-", ms=3, label=f"{level:.2g}"
        )
    axes.axhline(within, color="red", lw=1, ls="--")
    axes.set(xlabel="octaves from the level's best width", ylabel="miss of the capped fit (nats)", ylim=(0, 0.06))
    axes.set_title(f"{world.name} ({WORLDS[world.name]})", fontsize=8)
    axes.legend(title="FLOPs", fontsize=7, title_fontsize=7)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows)) + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def verdict_table(found: dict[str, World]) -> str:
    """One row per world."""
    rows = []
    for name, world in found.items():
        near = [abs(m) for row in world.verdict.near.values() for m in row.values()]
        rows.append(
            [
                f"`{name}`",
                WORLDS[name],
                str(len(world.cells)),
                f"{sum(cell.run.cpu_s for cell in world.cells) / 60:.0f} min",
                number(max(near) if near else None),
                "" if world.verdict.moved is None else str(world.verdict.moved),
                number(world.verdict.honest_miss),
                number(world.verdict.naive_miss),
                "refused: " + "; ".join(world.verdict.failures) if world.verdict.failures else "passes",
            ]
        )
    return markdown(
        [
            "world",
            "use",
            "runs",
            "CPU time",
            "largest miss near the best",
            "grid steps moved",
            "miss: honest fit",
            "miss: cap width, cap loss",
            "gate",
        ],
        rows,
    )


def full_table(world: World) -> str:
    """Mean losses of a world that is never scored, by level and width."""
    widths = sorted({w for row in world.means.values() for w in row})
    return markdown(
        ["FLOPs", *map(str, widths)],
        [[f"{level:.3g}", *(number(row.get(w), 4) for w in widths)] for level, row in sorted(world.means.items())],
    )


def main() -> int:
    """Command line."""
    found = worlds()
    if "--full" in sys.argv:
        folder = Path(sys.argv[sys.argv.index("--full") + 1])
        for name, world in found.items():
            figure, (axes,) = panels(1)
            draw_losses(axes, world)
            save(figure, folder / f"{name.replace('/', '-')}.svg")
        return 0
    blocks = {"verdicts": verdict_table(found), "full": full_table(found[FULL_WORLD])}
    text = PAGE.read_text(encoding="utf-8")
    new = MARKED.sub(lambda match: match[1] + blocks[match[2]] + match[3], text)
    if "--check" in sys.argv:
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    with protected.files(registry.folder_of("scaling_law")) as root:
        within = float(gate_module(root).WITHIN)
    figure, all_axes = panels(len(found))
    for axes, world in zip(all_axes, found.values(), strict=True):
        draw_shapes(axes, world)
    save(figure, IMAGES / "scaling-law-gate-shapes.svg")
    figure, all_axes = panels(len(found))
    for axes, world in zip(all_axes, found.values(), strict=True):
        draw_misses(axes, world, within)
    save(figure, IMAGES / "scaling-law-gate-misses.svg")
    figure, (axes,) = panels(1)
    draw_losses(axes, found[FULL_WORLD])
    save(figure, IMAGES / "scaling-law-gate-aside.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
