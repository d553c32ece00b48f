"""Archives of files that go into containers and come out of them (tar), and what is known of one path.

`ArchiveGuard` reads along with an archive on its way into a container. It refuses what unpacks to more than was sent:
compressed archives and sparse files. Where an entry ends up is the runtime's business, which unpacks inside the
container's own root.
"""

from dataclasses import dataclass

from jeroboam.domain.errors import Invalid

BLOCK = 512
_MAGIC_AT, _MAGIC = 257, b"ustar"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x5d\x00\x00": "lzma",
}
_SIZE = slice(124, 136)
_TYPE = slice(156, 157)
_PAX, _GLOBAL_PAX = b"x", b"g"
# Links, devices, folders, pipes: their size is not that of data that follows.
_HEADER_ONLY = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_SPARSE = b"S"
# Extended headers are a few names and times; Docker and Python read no larger ones than this.
_LARGEST_EXTENDED_HEADER = 1 << 20
_BASE_256 = 0x80


@dataclass(frozen=True, kw_only=True, slots=True)
class PathStat:
    """A file or folder in a container (contract: container, section 2, `get_archive`)."""

    name: str
    size: int
    mode: int
    """The bits of Go's `os.FileMode`, as Docker shows them."""
    mtime: str
    """The time of the last change, as Docker writes it."""
    link_target: str = ""


class ArchiveGuard:
    """Follows an archive that comes in pieces: `feed` takes each, `finish` comes last. Both raise `Invalid`."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._skip = 0
        self._extended = bytearray()
        self._extended_left = 0
        self._is_global = False
        self._real_size: int | None = None
        self._is_first = True

    def feed(self, piece: bytes) -> None:
        """Check the next piece."""
        view = memoryview(piece)
        while view:
            if self._skip:
                step = min(self._skip, len(view))
                self._keep_extended(view[:step])
                self._skip -= step
                view = view[step:]
                continue
            step = min(BLOCK - len(self._header), len(view))
            self._header += view[:step]
            view = view[step:]
            if len(self._header) == BLOCK:
                self._read_header(bytes(self._header))
                self._header.clear()

    def finish(self) -> None:
        """Check that the archive does not end within a header or a file."""
        if self._is_first and self._header:
            _check_form(bytes(self._header))
        if self._header or self._skip:
            raise Invalid("The archive is cut off.", field="data")

    def _keep_extended(self, data: memoryview) -> None:
        step = min(self._extended_left, len(data))
        if not step:
            return
        self._extended += data[:step]
        self._extended_left -= step
        if not self._extended_left:
            self._read_extended(bytes(self._extended))
            self._extended.clear()

    def _read_header(self, header: bytes) -> None:
        if self._is_first:
            self._is_first = False
            _check_form(header)
        if not any(header):
            return
        kind = header[_TYPE]
        if kind == _SPARSE:
            raise _refuse_sparse()
        size = _read_number(header[_SIZE])
        if kind in {_PAX, _GLOBAL_PAX}:
            if size > _LARGEST_EXTENDED_HEADER:
                raise Invalid("The archive has an extended header of more than 1 MiB.", field="data")
            self._extended_left, self._is_global = size, kind == _GLOBAL_PAX
        elif self._real_size is not None:
            size, self._real_size = self._real_size, None
        if kind in _HEADER_ONLY:
            size = 0
        self._skip = (size + BLOCK - 1) // BLOCK * BLOCK

    def _read_extended(self, records: bytes) -> None:
        """Read the records of an extended header: `<length> <key>=<value>` and a newline."""
        while records:
            length_text, blank, _rest = records.partition(b" ")
            length = int(length_text) if blank and length_text.isdigit() and len(length_text) < len("1048577") else 0
            if length <= len(length_text):
                raise Invalid("The archive has an extended header that cannot be read.", field="data")
            key, _, value = records[len(length_text) + 1 : length].rstrip(b"\n").partition(b"=")
            if key.startswith(b"GNU.sparse."):
                raise _refuse_sparse()
            if key == b"size" and value.isdigit() and not self._is_global:
                self._real_size = int(value)
            records = records[length:]


def _check_form(header: bytes) -> None:
    for magic, name in _COMPRESSED.items():
        if header.startswith(magic):
            raise Invalid(f"The archive is compressed ({name}); it has to be a plain tar archive.", field="data")
    if any(header) and header[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC and not _has_checksum(header):
        raise Invalid("It is not a tar archive.", field="data")


def _has_checksum(header: bytes) -> bool:
    """Whether the header's checksum is right, as in archives that are older than the magic word."""
    stored = header[148:156].strip(b" \0")
    return _is_octal(stored) and int(stored, 8) == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


def _read_number(raw: bytes) -> int:
    """The size of an entry: octal digits, or a number of base 256."""
    if raw[0] & _BASE_256:
        return int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:])
    digits = raw.strip(b" \0") or b"0"
    if not _is_octal(digits):
        raise Invalid("The archive has an entry whose size cannot be read.", field="data")
    return int(digits, 8)


def _is_octal(digits: bytes) -> bool:
    return bool(digits) and all(digit in b"01234567" for digit in digits)


def _refuse_sparse() -> Invalid:
    return Invalid("The archive has a sparse file; archive it without --sparse.", field="data")
