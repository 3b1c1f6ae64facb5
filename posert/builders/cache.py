"""`PlanCache`: built plans in a folder of the user's own, each under a name that says everything it was built from."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from posert.errors import BuildError
from posert.extras import require

VARIABLE = "POSERT_CACHE"
"""Environment variable that names the cache's folder."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIGEST = hashlib.sha256().digest_size
_WAIT = 1800.0  # seconds; the longest builds that are known take minutes


class CachedPlan(NamedTuple):
    """A plan, and where it came from."""

    data: bytes
    identity: Mapping[str, Any]
    path: Path
    built: bool
    """Whether it was built now; otherwise the cache had it."""


def default_folder() -> Path:
    """``$POSERT_CACHE``, else ``posert`` in the cache folder that the system's conventions name for this user.

    On Linux that is ``$XDG_CACHE_HOME`` where it is an absolute path, as the XDG Base Directory Specification demands, else
    ``~/.cache``; on Windows ``%LOCALAPPDATA%``.
    """
    chosen = os.environ.get(VARIABLE)
    base = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME") or "")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return (base if base.is_absolute() else Path.home() / ".cache") / "posert"
    except RuntimeError as error:
        raise BuildError(f"no home folder for the plan cache ({error}); set {VARIABLE} to a folder of your own") from error


class PlanCache:
    """Plans on disk. Threads and processes may share one folder: whoever comes first builds, the others wait and read.

    Plans are code, so the folder must belong to the user, and nobody else may write in it; it is made with mode 0700. Beside
    each plan lies a record of what it was built from and of its SHA-256: a plan that does not have it is built again.

    Attributes:
        folder: where the plans lie; it may be deleted at any time.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Use a folder, which is made when the first plan is asked for; None = `default_folder`."""
        self.folder = (default_folder() if folder is None else Path(folder)) / "plans"

    def get(self, identity: Mapping[str, Any], build: Callable[[], bytes]) -> CachedPlan:
        """The plan of an identity, built if it is not there or damaged.

        Args:
            identity: everything that changes the plan, as a JSON document; plans with the same are the same.
            build: makes the plan.

        Raises:
            BuildError: the folder cannot be used, or is open to others, or another process has been building for half an hour.
            PosertError: what `build` raises; then nothing is kept.
        """
        self.prepare()
        filelock = require("filelock", "the plan cache")
        text, name = _document(identity), digest(identity)
        plan, record = self.folder / f"{name}.plan", self.folder / f"{name}.json"
        lock = filelock.FileLock(self.folder / f"{name[:2]}.lock", timeout=_WAIT, mode=0o600)  # few files, few waits for others
        with self._guarded():
            try:
                lock.acquire()
            except filelock.Timeout as error:
                waited = f"{_WAIT / 60:.0f} minutes"
                raise BuildError(f"{lock.lock_file} has been held for {waited}; end the process that holds it") from error
        try:
            with self._guarded():
                data = _read(plan, record, json.loads(text))
            if data is not None:
                return CachedPlan(data, identity, plan, built=False)
            data = build()
            content = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "identity": identity}
            with self._guarded():
                _write(plan, data)
                _write(record, json.dumps(content, sort_keys=True, indent=1).encode())
            return CachedPlan(data, identity, plan, built=True)
        finally:
            lock.release()

    def load(self, name: str) -> bytes:
        """What `store` keeps under a name; nothing where there is nothing, or it is damaged.

        Raises:
            BuildError: the folder cannot be used, or is open to others.
        """
        self.prepare()
        with self._guarded():
            try:
                content = (self.folder / f"{name}.bin").read_bytes()
            except FileNotFoundError:
                return b""
        data = content[_DIGEST:]
        return data if hashlib.sha256(data).digest() == content[:_DIGEST] else b""

    def store(self, name: str, data: bytes) -> None:
        """Keep something that is useful and may be lost, in place of what had the name before.

        Raises:
            BuildError: the folder cannot be used, or is open to others.
        """
        self.prepare()
        with self._guarded():
            _write(self.folder / f"{name}.bin", hashlib.sha256(data).digest() + data)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Say which folder it is that cannot be used."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise BuildError(
                f"cannot use the plan cache {self.folder}: {reason}; set {VARIABLE} to a folder of your own"
            ) from error

    def prepare(self) -> None:
        """Make the folder, or check that it is the user's alone.

        Raises:
            BuildError: it cannot be used, or is open to others.
            MissingDependency: the package that guards it is not installed.
        """
        require("filelock", "the plan cache")
        with self._guarded():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
            found = self.folder.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if sys.platform != "win32":  # where a user's folders are closed to others by what they inherit, not by a mode
                self._refuse_strangers(found)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _refuse_strangers(self, found: os.stat_result) -> None:
        """Nobody but the user may write in the folder, and nobody else may read in it from now on."""
        if found.st_uid != os.geteuid():
            raise BuildError(
                f"the plan cache {self.folder} belongs to another user (id {found.st_uid}), and plans are code; "
                f"set {VARIABLE} to a folder of your own"
            )
        if found.st_mode & _OTHERS_WRITE:
            raise BuildError(
                f"others may write in the plan cache {self.folder} (mode {stat.S_IMODE(found.st_mode):04o}), and plans are code; "
                f"delete it, or set {VARIABLE} to a folder of your own"
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            self.folder.chmod(0o700)


def digest(identity: Mapping[str, Any]) -> str:
    """A name for a JSON document, the same whatever the order of its keys."""
    return hashlib.sha256(_document(identity).encode()).hexdigest()


def _document(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read(plan: Path, record: Path, identity: Mapping[str, Any]) -> bytes | None:
    """The plan, or None if it is not there or not as the record says."""
    try:
        content = json.loads(record.read_bytes())
        data = plan.read_bytes()
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("identity") != identity:
        return None
    return data if content.get("sha256") == hashlib.sha256(data).hexdigest() else None


def _write(path: Path, data: bytes) -> None:
    """Write a file under another name, and then give it its own: nobody meets half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
