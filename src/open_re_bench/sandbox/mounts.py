"""What a sandbox can see: an allow-list of mounts, never the host's own tree.

``/usr`` read-only without ``/usr/local`` and without anybody's Python packages, a generated ``/etc``, private
``/home/agent``, ``/tmp``, ``/var/tmp``, ``/opt`` and ``/dev/shm`` of limited size, new ``/proc`` and ``/dev``, no
``/sys``, the toolchain at ``/opt/toolchain``, the base Python at ``/opt/python`` (unless it lives in ``/usr``).
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, field_validator

AGENT, AGENT_ID = "agent", 1000
HOME = "/home/agent"
ROOT_HOME = "/root"  # of the sandbox's own root
TOOLCHAIN = "/opt/toolchain"
PYTHON = "/opt/python"
DOOR = "/run/open-re-bench"
INSIDE_PARENT = "/run"
TOOLS = "/usr/local/bin"
MEGABYTE = 1 << 20
SMALL_MB = 512  # /var/tmp and /opt: enough for Inspect's injected tools (about 60 MB)
RUN_MB = 8
SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# From the host's /etc: what programs need and nothing about this machine's users or network.
SHARED_ETC = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "os-release",
    "debian_version",
    "localtime",
    "bash.bashrc",
    "inputrc",
    "login.defs",
    "adduser.conf",
    "deluser.conf",
    "services",
    "protocols",
    "mime.types",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "crypto-policies",
)
SKELETON = {
    ".profile": '[ -n "$BASH_VERSION" ] && [ -f "$HOME/.bashrc" ] && . "$HOME/.bashrc"\n',
    ".bashrc": "",
}


class Bind(BaseModel):
    """A host file or folder shown inside.

    Attributes:
        source: Host path.
        target: Absolute path inside.
        writable: Whether the sandbox may write there (then it must be writable for the sandbox's user ids).
    """

    model_config = ConfigDict(frozen=True)

    source: Path
    target: str
    writable: bool = False

    @field_validator("target")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ".." in value.split("/"):
            raise ValueError("must be an absolute path inside the sandbox without '..'")
        return value


@dataclass
class Plan:
    """Mount arguments for bubblewrap, with host sources by number so that they can be staged (`launch`).

    Attributes:
        steps: Bubblewrap arguments; a source is the placeholder ``{n}``.
        sources: Host paths, by number.
    """

    steps: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)

    def add(self, *arguments: str) -> None:
        """Arguments that have no host source."""
        self.steps += arguments

    def bind(self, source: Path, target: str, *, writable: bool = False) -> None:
        """Show a host path inside."""
        self.sources.append(source)
        self.steps += ["--bind" if writable else "--ro-bind", f"{{{len(self.sources) - 1}}}", target]

    def tmpfs(self, target: str, megabytes: int, mode: str = "0755") -> None:
        """A private, empty, size-limited folder in memory."""
        self.steps += ["--perms", mode, "--size", str(megabytes * MEGABYTE), "--tmpfs", target]

    def mask(self, target: str) -> None:
        """Hide a folder behind an empty read-only one."""
        self.tmpfs(target, 1)
        self.steps += ["--remount-ro", target]


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def base_prefix() -> Path:
    """Where the interpreter that runs us is installed, links resolved."""
    return Path(sys.base_prefix).resolve()


def python_executable() -> str:
    """The base interpreter's path inside a sandbox."""
    prefix = "/usr" if base_prefix() == Path("/usr") else PYTHON
    return f"{prefix}/bin/{_version()}"


def search_path(toolchain: bool) -> str:
    """``PATH`` inside a sandbox."""
    parts = [f"{TOOLCHAIN}/bin"] if toolchain else []
    parts.append(TOOLS)
    if base_prefix() != Path("/usr"):
        parts.append(f"{PYTHON}/bin")
    return ":".join([*parts, "/usr/bin", "/bin", "/usr/sbin", "/sbin"])


def environment(toolchain: bool, hostname: str) -> dict[str, str]:
    """The whole environment of a process inside; nothing of the host's is ever taken over."""
    variables = {
        "PATH": search_path(toolchain),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "HOSTNAME": hostname,
        "PYTHONDONTWRITEBYTECODE": "1",
        # OpenMP threads spin while they wait for each other, by default so long that where other work holds a core a
        # small model's training takes ten times its CPU time (78 s against 7.6 s without spinning, 2 cores, load 10). A
        # short spin costs an idle machine a tenth (2.9 s against 2.5 s; none at all: 6.6 s).
        "GOMP_SPINCOUNT": "20000",
    }
    if base_prefix() != Path("/usr") and sysconfig.get_config_var("Py_ENABLE_SHARED"):
        variables["LD_LIBRARY_PATH"] = f"{PYTHON}/lib"
    return variables


def _system(plan: Plan) -> None:
    plan.bind(Path("/usr"), "/usr")
    for name in SYSTEM_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            plan.add("--symlink", os.readlink(path).lstrip("/"), f"/{name}")
        elif path.is_dir():
            plan.bind(path, f"/{name}")
    if Path("/usr/local").is_dir():
        plan.tmpfs("/usr/local", 1)
        plan.add("--perms", "0755", "--dir", TOOLS)
    usr_lib = Path("/usr/lib")
    for folder in [usr_lib / "python3", *sorted(usr_lib.glob("python3.*"))]:
        for packages in ("dist-packages", "site-packages"):
            if (folder / packages).is_dir():
                plan.mask(str(folder / packages))


def _python(plan: Plan) -> None:
    prefix = base_prefix()
    if prefix == Path("/usr"):
        return
    version = _version()
    if prefix == Path("/usr/local"):  # shared with other software: only the interpreter's own parts
        plan.bind(prefix / "bin" / version, f"{PYTHON}/bin/{version}")
        plan.add("--symlink", version, f"{PYTHON}/bin/python3")
        plan.bind(prefix / "lib" / version, f"{PYTHON}/lib/{version}")
        plan.bind(prefix / "include" / version, f"{PYTHON}/include/{version}")
        for library in sorted((prefix / "lib").glob("libpython3*.so*")):
            plan.bind(library, f"{PYTHON}/lib/{library.name}")
    else:
        plan.bind(prefix, PYTHON)
    if (prefix / "lib" / version / "site-packages").is_dir():
        plan.mask(f"{PYTHON}/lib/{version}/site-packages")


def build(
    *,
    etc: Path,
    etc_writable: bool,
    inside: Path,
    toolchain: Path | None,
    home: Path | None,
    disk_mb: int,
    door: Path | None,
    binds: tuple[Bind, ...],
    devices: tuple[Path, ...],
    read_only_root: bool = True,
) -> Plan:
    """The mounts of one sandbox.

    Args:
        etc: Generated ``/etc`` (`write_etc`).
        inside: Our package for process 1.
        home: Host folder kept as ``/home/agent``; None for a private one in memory.
        disk_mb: Size limit in MiB of ``/home/agent`` (when in memory), ``/tmp`` and ``/dev/shm``, each.
    """
    plan = Plan()
    _system(plan)
    plan.bind(etc, "/etc", writable=etc_writable)
    for name in SHARED_ETC:
        if (source := Path("/etc") / name).is_dir():
            plan.bind(source.resolve(), f"/etc/{name}")
    plan.add("--proc", "/proc", "--dev", "/dev")
    plan.tmpfs("/dev/shm", disk_mb, "1777")
    for device in devices:
        plan.sources.append(device)
        plan.add("--dev-bind", f"{{{len(plan.sources) - 1}}}", str(device))
    plan.tmpfs("/tmp", disk_mb, "1777")
    plan.add("--perms", "0755", "--dir", "/var")
    plan.tmpfs("/home", SMALL_MB)  # for users that the sandbox's root adds
    plan.tmpfs(ROOT_HOME, disk_mb, "0700")
    plan.tmpfs("/var/tmp", SMALL_MB, "1777")
    plan.tmpfs("/opt", SMALL_MB)
    plan.tmpfs("/run", RUN_MB)
    plan.bind(inside, f"{INSIDE_PARENT}/inside")
    _python(plan)
    if toolchain is not None:
        plan.bind(toolchain, TOOLCHAIN)
    if home is None:
        plan.tmpfs(HOME, disk_mb)
    else:
        plan.bind(home, HOME, writable=True)
    if door is not None:
        plan.bind(door, DOOR)
    for bind in binds:
        for parent in reversed(PurePosixPath(bind.target).parents[:-1]):
            plan.add("--perms", "0755", "--dir", str(parent))  # bubblewrap's own choice is 0700
        plan.bind(bind.source, bind.target, writable=bind.writable)
    if Path("/usr/local").is_dir():
        plan.add("--remount-ro", "/usr/local")
    plan.add("--remount-ro", "/dev")
    if read_only_root:
        plan.add("--remount-ro", "/")
    return plan


@lru_cache(maxsize=1)
def _shared_files() -> dict[str, bytes]:
    """The host's files of `SHARED_ETC`; copying them takes less time than a mount each."""
    return {name: path.read_bytes() for name in SHARED_ETC if (path := Path("/etc") / name).is_file()}


def write_etc(folder: Path, hostname: str, owner: int | None) -> None:
    """Generate ``/etc``: the two users, the names this sandbox knows, and places for what is shared (`SHARED_ETC`).

    Args:
        folder: Does not exist yet.
        hostname: The sandbox's own name.
        owner: Host user id of the sandbox's root, who may change the users; None when it has none.
    """
    # Set-uid programs have no effect inside, so these rules permit nothing: they let the sandbox's root use `adduser`.
    rules = "".join(f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "password", "session"))
    files = {
        "passwd": f"root:x:0:0:root:{ROOT_HOME}:/bin/bash\n{AGENT}:x:{AGENT_ID}:{AGENT_ID}:{AGENT}:{HOME}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "group": f"root:x:0:\ntty:x:5:\n{AGENT}:x:{AGENT_ID}:\nusers:x:100:\nnogroup:x:65534:\n",
        "shadow": f"root:*:19000:0:99999:7:::\n{AGENT}:*:19000:0:99999:7:::\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n",
        "hostname": f"{hostname}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "resolv.conf": "",
        # The host's would set PATH anew, and Inspect's bash tool starts login shells.
        "profile": '[ -n "$BASH_VERSION" ] && [ -f /etc/bash.bashrc ] && . /etc/bash.bashrc\ntrue\n',
        "shells": "/bin/sh\n/bin/bash\n",
        "pam.d/other": rules,
        **{f"skel/{name}": text for name, text in SKELETON.items()},
    }
    contents = {name: text.encode() for name, text in files.items()} | _shared_files()
    folders = {str(parent) for name in contents for parent in Path(name).parents}
    for name in SHARED_ETC:
        if (Path("/etc") / name).is_dir():  # shown by `build`
            folders |= {name, *map(str, Path(name).parents)}
    for name in sorted(folders):
        os.mkdir(folder / name)
        os.chmod(folder / name, 0o755)  # whatever this process's umask is
    for name, content in contents.items():
        with open(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb", 0) as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o600 if name == "shadow" else 0o644)
    if owner is not None:
        for name in ("", "passwd", "group", "shadow"):
            os.chown(folder / name, owner, owner)
