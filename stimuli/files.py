"""Files that are either whole or not there, named by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stimuli.errors import EncodingError

TEMPORARY = ".partial-"


def sha256_of(data: bytes) -> str:
    """The hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The hexadecimal SHA-256 of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read; a study folder is often shared.
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_content(folder: Path, data: bytes, extension: str) -> str:
    """Write bytes under their SHA-256 and give it; a damaged file of that name is written again."""
    sha256 = sha256_of(data)
    path = folder / f"{sha256}.{extension}"
    if not is_whole(path, sha256):
        write_atomic(path, data)
    return sha256


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this SHA-256."""
    try:
        return sha256_of_file(path) == sha256
    except OSError:
        return False


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a run that was killed; only under `exclusive`."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder against a second run; raises EncodingError when one is at work.

    The lock belongs to the process and goes with it, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            import fcntl
        except ImportError:  # not on Windows
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EncodingError(f"{folder}: another run is encoding this study; wait for it to end") from None
        yield


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
