"""Whom the embedded Postgres runs as: ourselves, or another account when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from study_app.errors import EmbeddedPostgresError


def server_account(data: Path) -> pwd.struct_passwd | None:
    """Whom the server of `study/postgres/data` runs as: None for ourselves.

    Postgres refuses to run as root, which takes the owner of the data or of the study instead, else one of
    the accounts that every system has for such a purpose.

    Raises EmbeddedPostgresError when the data belongs to somebody else, or root finds no account.
    """
    if os.geteuid() != 0:
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise foreign_data(data)
        return None
    for path in (data, data.parent, data.parent.parent):
        uid = path.stat().st_uid if path.exists() else 0
        if uid != 0:
            with suppress(KeyError):
                return pwd.getpwuid(uid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(
        "Postgres refuses to run as root and no account is named postgres or nobody: run as another user"
    )


def take_over(account: pwd.struct_passwd | None, data: Path) -> None:
    """Give root's own cluster to the account: the study was copied by root, as whom no server ever ran.

    Raises OSError when the system refuses.
    """
    if account is None or data.stat().st_uid != 0:
        return
    # The top last: where this is interrupted, the next run begins it again.
    for folder, _, files in os.walk(data, topdown=False):
        for path in (*(Path(folder) / name for name in files), Path(folder)):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def foreign_data(data: Path) -> EmbeddedPostgresError:
    """The error for a cluster that is not ours."""
    uid = data.stat().st_uid
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = str(uid)
    return EmbeddedPostgresError(f"{data} belongs to the user {owner}: run as {owner} or as root")


def run_as(
    account: pwd.struct_passwd | None, folders: Iterable[Path], program: Path
) -> tuple[list[str], dict[str, Any]]:
    """What stands before a program's argv, and the subprocess options, to run it under the account.

    `folders` are those that it must reach. Raises EmbeddedPostgresError when it cannot be made to.
    """
    if account is None:
        return [], {}
    closed = _closed_path([*folders, program.parent.parent / "lib", program])
    if closed is None:
        return [], {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    setpriv = shutil.which("setpriv")
    if setpriv is None or not _may_override():
        raise EmbeddedPostgresError(
            f"as root it runs under the account {account.pw_name}, which may not enter {closed}: "
            f"chmod o+x {closed}, or put the study elsewhere"
        )
    # The one right it keeps is to pass closed folders, as root's own home is: widening their modes
    # instead would outlive the run.
    rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [setpriv, *ids, *rights, "--"], {}


def _closed_path(paths: Iterable[Path]) -> Path | None:
    """The first path, or parent of one, that an account without rights of its own cannot pass, or None."""
    for path in paths:
        for part in (*reversed(path.parents), path):
            if not part.stat().st_mode & stat.S_IXOTH:
                return part
    return None


def _may_override() -> bool:
    """Whether root here holds CAP_DAC_OVERRIDE; containers may take it away."""
    status = Path("/proc/self/status")
    if not status.exists():
        return False
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & 0b10)
    return False
