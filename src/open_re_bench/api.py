"""The Python interface: load an environment, prepare it, lay out a workspace, score a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from open_re_bench import registry
from open_re_bench.environment import Environment
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    from open_re_bench.environment import Instance
    from open_re_bench.scoring.pipeline import Score


@dataclass(frozen=True)
class LoadedEnvironment(Environment):
    """An environment bound to a scale, with what a person at a Python prompt wants to do with it."""

    def prepare(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Builds toolchain and assets unless they are there (seconds to minutes; cached)."""
        from open_re_bench import assets

        assets.prepare(self, progress)

    def score_directory(self, directory: str | Path, *, seed: int | None = None) -> Score:
        """Scores the folder `directory` in the scoring sandbox; the result's class is always local.

        Args:
            directory: Holds the submission's files as they would lie in ~/solution. A folder made by
                `lay_out_workspace` is scored on the instance drawn for it.
            seed: Fixes the scoring's randomness (tests); None draws a fresh secret.

        Raises:
            UserError: no such folder, not prepared, or this machine cannot run the scale.
        """
        from open_re_bench.paths import cache_directory
        from open_re_bench.sandbox.machine_locks import scoring_alone
        from open_re_bench.scoring.pipeline import Circumstances, score_folder

        folder = Path(directory)
        if not folder.is_dir():
            raise UserError(
                f"{folder} is not a folder", "lay one out with `lay_out_workspace`, or `re-bench workspace`"
            )
        instance = self._workspace_instance(folder)
        with scoring_alone(instance.environment.spec.timed_scoring):
            return score_folder(
                instance,
                folder / "solution" if (folder / "solution").is_dir() else folder,
                cache_directory("workspaces", "submissions"),
                seed=seed,
                circumstances=Circumstances(workspace=True),
            )

    def lay_out_workspace(self, directory: str | Path) -> Path:
        """Lays out the starting files to work by hand, without harness: ``solution/``, ``task.md``, assets, kit.

        Raises:
            UserError: `directory` exists and is not empty.
        """
        from open_re_bench.scoring.workspace import write_workspace

        folder = Path(directory)
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty", "give a new folder")
        instance = self._workspace_instance(folder)
        write_workspace(instance, folder)
        return folder

    def _workspace_instance(self, folder: Path) -> Instance:
        """The instance of the workspace `folder`; its seed lies in the cache, not in the folder."""
        import hashlib

        from open_re_bench import assets
        from open_re_bench.paths import cache_directory
        from open_re_bench.scoring import instances

        found = assets.find(self)
        if found is None:
            raise UserError(
                f"{self.name} is not prepared at scale {self.scale_name}",
                f"run `re-bench prepare {self.name} --scale {self.scale_name}`",
            )
        key = hashlib.sha256(f"{self.name}/{self.scale_name}/{folder.resolve()}".encode()).hexdigest()[:24]
        home = cache_directory("workspaces", f"{self.name}-{key}")
        seed_file = home / "seed"
        if not seed_file.exists():
            seed_file.write_text(f"{instances.draw_seed():x}")
            seed_file.chmod(0o600)
        if (home / "assets").exists() and (home / "assets").read_text() != found[1].sha256:
            shutil.rmtree(home / "instance", ignore_errors=True)  # assets were prepared anew since
        (home / "assets").write_text(found[1].sha256)
        return instances.lay_out(self, found[0], home / "instance", int(seed_file.read_text(), 16))


def load_environment(name: str, scale: str = "cpu") -> LoadedEnvironment:
    """Loads a registered environment.

    Args:
        name: Such as ``optimize_kernel`` (`re-bench list` shows all).
        scale: ``cpu``, ``gpu`` or ``paper``.

    Raises:
        UserError: unknown name or scale (nearest names offered), or a malformed `environment.toml`.
    """
    return loaded(registry.environment(name, scale))


def loaded(bound: Environment) -> LoadedEnvironment:
    """Any bound environment (a registered one, or `registry.environment_in` a folder) with the same methods."""
    return LoadedEnvironment(
        spec=bound.spec,
        scale_name=bound.scale_name,
        scale=bound.scale,
        folder=bound.folder,
        package=bound.package,
    )
