"""Proctored sessions: the person is another user of this machine who reaches the terminal and nothing else.

Whoever runs the study makes a login user without rights, whose only command (`forced_command`) is the terminal
client. The desk admits that user alone (the kernel says who connects), and before a session begins it is tried, as
that user, whether anything of the attempt can be read.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.place import CLIENT
from open_re_bench.paths import cache_directory

SYSTEM_PYTHON = "/usr/bin/python3"
PROBE = 'for path; do if [ -r "$path" ]; then printf "%s\\n" "$path"; fi; done'
PROBE_S = 60
# What knows or decides a score; the home directory is the person's own, and the folder itself must be passable.
HIDDEN = ("plan.json", "instance", "ledger.json", "score-log.jsonl", "result.json", "person.json", "session.jsonl")


def login_uid(name: str) -> int:
    """The login user's id.

    Raises:
        UserError: no such user, or one with rights.
        CannotRunHere: this harness may not act as other users.
    """
    if os.geteuid() != 0:
        raise CannotRunHere("a proctored session needs a harness that runs as root", "start it with sudo")
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise UserError(f"there is no user {name!r} here", f"make one: useradd --create-home {name}") from error
    if user.pw_uid == 0:
        raise UserError("root can read everything", "make a login user without rights for the person")
    return user.pw_uid


def place_name(uid: int) -> str:
    """What the desk's place is derived from: the same for all sessions of a login user."""
    return f"user-{uid}"


def forced_command(directory: Path) -> str:
    """The one command of the login user."""
    return f"{SYSTEM_PYTHON} -I {directory / CLIENT}"


def check_hidden(folder: AttemptFolder, uid: int) -> None:
    """Tries, as the login user, to read what decides the attempt.

    Raises:
        UserError: something can be read.
    """
    log_dir = folder.root.parent.parent
    paths = [folder.root / name for name in HIDDEN] + [folder.submissions, *log_dir.glob("*.eval")]
    for path in paths:
        if path.exists():
            path.chmod(0o700 if path.is_dir() else 0o600)
    readable = readable_by(uid, [folder.root, cache_directory(), cache_directory("assets"), *paths])
    if readable:
        raise UserError(f"the person could read {readable[0]}", "keep it where no other user may look (chmod 700)")


def readable_by(uid: int, paths: list[Path]) -> list[Path]:
    """Those of `paths` that a user can read, tried as that user."""
    user = pwd.getpwuid(uid)
    done = subprocess.run(
        ["/bin/sh", "-c", PROBE, "probe", *map(str, paths)],
        user=uid,
        group=user.pw_gid,
        extra_groups=os.getgrouplist(user.pw_name, user.pw_gid),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=PROBE_S,
    )
    return [Path(line) for line in done.stdout.splitlines()]
