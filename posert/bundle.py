"""`Bundle`: the `.posert` file, read and written (docs/bundle.md is the format)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from posert.errors import BundleError, InputError
from posert.manifest import MANIFEST_LIMIT, Manifest
from posert.paths import path_kind

MANIFEST = "manifest.json"
SIZE_LIMIT = (1 << 32) - 1
"""Most bytes that a bundle may have: it is a ZIP without the 64-bit extension."""

_MEMBER_LIMIT = 256
_CHUNK = 1 << 20
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION_NEEDED = 10
_MADE_BY = 3 << 8 | 20
_DATE = 1 << 5 | 1  # 1 January 1980, the first day that a ZIP can name
_MODE = 0o100644 << 16
_EXTERNAL_DATA = b"\x0a\x08location"  # the key that every reference to a file outside the model has, as protobuf writes it
_REPAIR = "copy or download it again"


class _Member(NamedTuple):
    name: str
    crc: int
    size: int
    offset: int

    def local_header(self) -> bytes:
        name = self.name.encode()
        return _LOCAL.pack(b"PK\3\4", _VERSION_NEEDED, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(name), 0) + name

    def central_header(self) -> bytes:
        name = self.name.encode()
        common = (_VERSION_NEEDED, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(name))
        return _CENTRAL.pack(b"PK\1\2", _MADE_BY, *common, 0, 0, 0, 0, _MODE, self.offset) + name

    @property
    def start(self) -> int:
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        return self.start + self.size


class Bundle:
    """A checked `.posert` file.

    Opening reads the whole file once, in pieces, and compares every byte with what the format and the hashes demand. Reading a
    member checks its hash again, so a file that changed meanwhile is noticed.

    Attributes:
        path: the file.
        manifest: what it says about itself.
    """

    def __init__(self, path: Path, manifest: Manifest, members: Mapping[str, _Member]) -> None:
        self.path = path
        self.manifest = manifest
        self._members = members

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {self.manifest.name!r})"

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open and check a bundle.

        Args:
            path: of a `.posert` file.

        Raises:
            InputError: there is no such file, or it cannot be read.
            BundleError: the file is not a bundle, is damaged, or is of another version.
        """
        path = Path(path)
        with _reading(path) as (file, size):
            members = _read_directory(file, size, path)
            manifest = _read_manifest(file, members, path)
            for name, entry in manifest.files.items():
                digest, crc = _hash(file, members[name])
                if digest != entry.sha256 or crc != members[name].crc:
                    raise BundleError(f"{path}: member {name!r} does not have the manifest's hash: damaged; {_REPAIR}")
        return cls(path, manifest, members)

    @property
    def members(self) -> dict[str, int]:
        """Size in bytes of every member, manifest.json first."""
        return {name: member.size for name, member in self._members.items()}

    def read(self, member: str) -> bytes:
        """The bytes of one member, with the hash that the manifest gives.

        Raises:
            InputError: there is no such member, or the file is gone.
            BundleError: the file was changed since it was opened.
        """
        if member not in self._members:
            raise InputError(f"{self.path} has no member {member!r}; it has {list(self._members)}")
        entry = self._members[member]
        with _reading(self.path) as (file, _):
            file.seek(entry.start)
            data = file.read(entry.size)
        wanted = self.manifest.files.get(member)
        same = zlib.crc32(data) == entry.crc if wanted is None else hashlib.sha256(data).hexdigest() == wanted.sha256
        if len(data) != entry.size or not same:
            raise BundleError(f"{self.path}: member {member!r} was changed since the bundle was opened; open it again")
        return data

    @staticmethod
    def write(path: str | os.PathLike[str], manifest: Manifest | Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
        """Write a bundle: to a temporary file in the same folder, which then takes the name. The same input gives the same bytes.

        Args:
            path: of the file to write; a file that is there is replaced.
            manifest: the manifest, or its JSON document, whose ``"files"`` may be left out: they are filled in from `files`.
            files: the content of every member except manifest.json.

        Returns:
            The bundle that was written, opened.

        Raises:
            InputError: the file cannot be written there, or is too large.
            BundleError: the manifest is not valid, or names other files than those given.
        """
        path = Path(path)
        document = manifest.document() if isinstance(manifest, Manifest) else dict(manifest)
        entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in sorted(files.items())}
        if document.setdefault("files", entries) != entries:
            raise BundleError("the manifest's files are not those given: leave them out, or give exactly the same content")
        checked = Manifest.of(document)
        head = checked.text.encode()
        if len(head) > MANIFEST_LIMIT or len(files) >= _MEMBER_LIMIT:
            raise BundleError(f"a manifest may have {MANIFEST_LIMIT} bytes and a bundle {_MEMBER_LIMIT} members: too many")
        if len(head) + sum(map(len, files.values())) > SIZE_LIMIT - (1 << 20):
            raise InputError(f"a bundle may have {SIZE_LIMIT} bytes; these files are larger")
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        try:
            with open(temporary, "xb") as file:
                _write_members(file, {MANIFEST: head, **dict(sorted(files.items()))})
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}; choose a folder that can be written") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return Bundle.open(path)


def check_self_contained(network: str, onnx: bytes) -> None:
    """Refuse an ONNX file that would make its reader open other files.

    Args:
        network: its name, for the message.
        onnx: the file's bytes.

    Raises:
        BundleError: its weights, or some of them, lie outside.
    """
    if _EXTERNAL_DATA in onnx:
        raise BundleError(f"network {network!r} refers to a file outside the bundle; its weights must be inside")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The open file and its size, with errors of the file system turned into posert's."""
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} cannot be a path: it holds a NUL character")
    if path_kind(path) in ("folder", "other"):
        raise InputError(f"{path} is not a file; give a .posert file")
    try:
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}; give a zoo name or the path of a .posert file") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _write_members(file: BinaryIO, files: Mapping[str, bytes]) -> None:
    directory = []
    for name, data in files.items():
        member = _Member(name, zlib.crc32(data), len(data), file.tell())
        file.write(member.local_header())
        file.write(data)
        directory.append(member.central_header())
    start, size = file.tell(), sum(map(len, directory))
    file.write(b"".join(directory))
    file.write(_END.pack(b"PK\5\6", 0, 0, len(directory), len(directory), size, start, 0))


def _read_directory(file: BinaryIO, size: int, path: Path) -> dict[str, _Member]:
    """The members by name; every header byte is compared with what `Bundle.write` writes."""
    if size < _END.size or size > SIZE_LIMIT:
        raise BundleError(f"{path}: {size} bytes cannot be a .posert file: truncated, or another kind of file; {_REPAIR}")
    file.seek(size - _END.size)
    mark, disk, first, here, count, length, start, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\5\6" or (disk, first, comment) != (0, 0, 0) or here != count:
        raise BundleError(f"{path}: no plain ZIP end record at the end: truncated, or not a .posert file; {_REPAIR}")
    if not 1 <= count <= _MEMBER_LIMIT or length > _MEMBER_LIMIT * 512 or start + length + _END.size != size:
        raise BundleError(f"{path}: a ZIP directory of {count} members, {length} bytes at {start} does not fit; {_REPAIR}")
    file.seek(start)
    directory = file.read(length)
    members: dict[str, _Member] = {}
    position = offset = 0
    for _ in range(count):
        member = _read_entry(directory, position, offset, path)
        if member.name in members:
            raise BundleError(f"{path}: member {member.name!r} is there twice; {_REPAIR}")
        if member.end > start:
            raise BundleError(f"{path}: member {member.name!r} of {member.size} bytes reaches beyond the file's data; {_REPAIR}")
        file.seek(offset)
        if file.read(member.start - offset) != member.local_header():
            raise BundleError(f"{path}: the header of member {member.name!r} differs from the ZIP directory; {_REPAIR}")
        members[member.name] = member
        position += len(member.central_header())
        offset = member.end
    if position != length or offset != start:
        raise BundleError(f"{path}: there are bytes that belong to no member; {_REPAIR}")
    if next(iter(members)) != MANIFEST or list(members)[1:] != sorted(list(members)[1:]):
        raise BundleError(f"{path}: members must be {MANIFEST}, then the others in sorted order; found {list(members)[:8]}")
    return members


def _read_entry(directory: bytes, position: int, offset: int, path: Path) -> _Member:
    """One entry of the ZIP directory, which must describe a stored member at `offset`."""
    if position + _CENTRAL.size > len(directory):
        raise BundleError(f"{path}: the ZIP directory ends early; {_REPAIR}")
    fields = _CENTRAL.unpack_from(directory, position)
    method, crc, packed, size, name_length = fields[4], fields[7], fields[8], fields[9], fields[10]
    name = directory[position + _CENTRAL.size : position + _CENTRAL.size + name_length]
    if not name.isascii() or not name.decode("ascii", "replace").isprintable():
        raise BundleError(f"{path}: member name {name[:40]!r} is not allowed; {_REPAIR}")
    member = _Member(name.decode("ascii"), crc, size, offset)
    if method or packed != size:
        raise BundleError(f"{path}: member {member.name!r} is compressed (method {method}); members must be stored")
    if set(member.name.split("/")) & {"", ".", ".."} or "\\" in member.name:
        raise BundleError(f"{path}: member name {member.name!r} is absolute or leaves the bundle")
    if directory[position : position + _CENTRAL.size + name_length] != member.central_header():
        raise BundleError(f"{path}: the ZIP directory's entry of {member.name!r} is not as Bundle.write writes it; {_REPAIR}")
    return member


def _read_manifest(file: BinaryIO, members: Mapping[str, _Member], path: Path) -> Manifest:
    """The checked manifest, whose list of files is that of the ZIP directory."""
    entry = members[MANIFEST]
    if entry.size > MANIFEST_LIMIT:
        raise BundleError(f"{path}: {MANIFEST} has {entry.size} bytes; at most {MANIFEST_LIMIT} are allowed")
    file.seek(entry.start)
    data = file.read(entry.size)
    if zlib.crc32(data) != entry.crc:
        raise BundleError(f"{path}: {MANIFEST} does not have the checksum that the ZIP directory gives: damaged; {_REPAIR}")
    try:
        manifest = Manifest.parse(data)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    listed = {name: entry.bytes for name, entry in manifest.files.items()}
    found = {name: member.size for name, member in members.items() if name != MANIFEST}
    if listed != found:
        names = sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))
        raise BundleError(f"{path}: the manifest and the ZIP directory disagree about {names[:8]}; {_REPAIR}")
    return manifest


def _hash(file: BinaryIO, member: _Member) -> tuple[str, int]:
    """SHA-256 and CRC-32 of a member, read in pieces."""
    file.seek(member.start)
    digest, crc, left = hashlib.sha256(), 0, member.size
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            break
        digest.update(piece)
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    return digest.hexdigest(), crc
