"""What an environment needs of this machine, and whether it is here."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from open_re_bench import receipt, rust_compiler
from open_re_bench.environment import Environment, Scale
from open_re_bench.errors import CannotRunHere, UserError

if TYPE_CHECKING:
    from open_re_bench.sandbox.capability import Guarantees
    from open_re_bench.sandbox.leases import Demand

PACKAGES = {"cc": "gcc", "gcc": "gcc", "g++": "g++", "bwrap": "bubblewrap", "make": "make", "rustc": "rustc"}
MEMORY_SLACK = 0.9  # a machine sold as 8 GB reports a little less


def install_line(*tools: str) -> str:
    """The one line that installs `tools` on Debian and Ubuntu, or names what to install elsewhere."""
    names = " ".join(dict.fromkeys(PACKAGES.get(tool, tool) for tool in tools))
    if shutil.which("apt-get"):
        return f"run `sudo apt-get install -y {names}`"
    return f"install {names} with your system's package manager"


def guarantees() -> Guarantees:
    """What a sandbox here guarantees, found out by really starting one.

    Raises:
        UserError: none starts; says why and what to do.
    """
    from open_re_bench.sandbox import capability

    try:
        return capability.detect()
    except FileNotFoundError as error:  # one of util-linux's commands
        raise CannotRunHere(f"{error.filename} is missing", install_line("util-linux")) from error


def sandbox_obstacle() -> str:
    """Why no sandbox can start here; empty when one does."""
    try:
        guarantees()
    except UserError as error:
        return str(error)
    return ""


def demand(scale: Scale) -> Demand:
    """What one attempt at this scale holds while it runs."""
    from open_re_bench.sandbox.leases import Demand

    return Demand(cores=scale.cores, memory_gb=scale.memory_gb, gpus=scale.gpus)


def missing_tools(scale: Scale) -> list[str]:
    """Commands the scale needs that are not here."""
    return [tool for tool in scale.system_tools if not find_tool(tool)]


def find_tool(name: str) -> str:
    """Where the command `name` is; empty when it is not here. A Rust compiler need not be on the PATH, but must run."""
    if name != rust_compiler.COMMAND:
        return shutil.which(name) or ""
    try:
        return str(rust_compiler.find().rustc)
    except CannotRunHere:
        return ""


def smaller_than_declared(scale: Scale) -> str:
    """What a result from this machine must mention; empty on hardware of the declared size."""
    machine = receipt.machine()
    if machine.cores < scale.cores:
        return f"{machine.cores} of {scale.cores} cores: results are local"
    if machine.memory_gb < scale.memory_gb * MEMORY_SLACK:
        return f"{machine.memory_gb:g} of {scale.memory_gb:g} GB memory: results are local"
    return ""


def obstacle(bound: Environment) -> str:
    """Why an attempt of `bound` cannot start here; empty when it can (after `prepare`)."""
    scale = bound.scale
    if scale.unavailable:
        return scale.unavailable
    if gpus := max(0, scale.gpus - len(receipt.machine().gpus)):
        return f"needs {gpus} more GPU{'s' if gpus > 1 else ''}"
    if missing := missing_tools(scale):
        return f"{', '.join(missing)} missing; {install_line(*missing)}"
    if scale.data_variable and not os.path.isdir(os.environ.get(scale.data_variable, "")):
        from open_re_bench import assets

        if assets.find(bound) is None:
            return f"needs your own data: set {scale.data_variable} to its folder"
    return sandbox_obstacle()


def toolchain_ready(scale: Scale) -> bool:
    """Whether the scale's Python toolchain is built."""
    from open_re_bench.sandbox import toolchain

    return scale.toolchain == "none" or toolchain.find(scale.toolchain) is not None
