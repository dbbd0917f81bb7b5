"""Magic bytes of binary file formats that are not supported, with a fix for each. Pure."""

from dataclasses import dataclass

_EXPORT = "export the rows as CSV, JSONL or Parquet"
_UNPACK = "unpack it, or pack the table itself as .gz, .bz2, .xz or .zst"
_PAGE = "download the file itself, not the page about it"
_SHEET = "save the sheet as CSV (UTF-8)"
_AS_PARQUET = "write it as Parquet: pyarrow.parquet.write_table, or Dataset.to_parquet"


@dataclass(frozen=True)
class FileKind:
    """A kind of file: the `magic` bytes at `offset`, its name for a message and the fix."""

    magic: bytes
    name: str
    hint: str
    offset: int = 0
    binary: bool = False
    """Whether the magic bytes are plain letters, so that only bytes that no text has make it this kind."""

    def begins(self, start: bytes) -> bool:
        """Whether a file that begins with `start` is of this format."""
        found = start[self.offset : self.offset + len(self.magic)].lower() == self.magic.lower()
        return found and (not self.binary or any(byte < 9 for byte in start[:512]))


_KINDS = (  # special ones before general ones
    FileKind(b"PAR1", "a Parquet file", "set {field}.format: Parquet"),
    FileKind(b"PK\x03\x04\x14\x00\x06\x00", "an Excel sheet or another office file", _SHEET),
    FileKind(b"PK\x03\x04", "a ZIP archive or an Excel sheet", f"unpack it, or {_SHEET}"),
    FileKind(b"PK\x05\x06", "an empty ZIP archive", _UNPACK),
    FileKind(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel sheet or another office file", _SHEET),
    FileKind(b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the data: git lfs pull"),
    FileKind(b"<!doctype", "a web page, not data", _PAGE),
    FileKind(b"<html", "a web page, not data", _PAGE),
    FileKind(b"<?xml", "an XML document", _EXPORT),
    FileKind(b"__label__", "a file for fastText", "write it as CSV with a header: text,label"),
    FileKind(b"%pdf", "a PDF", _EXPORT),
    FileKind(b"sqlite format 3\0", "an SQLite database", _EXPORT),
    FileKind(b"\x1f\x8b", "a gzip file", "unpack it"),
    FileKind(b"BZh", "a bzip2 file", "unpack it", binary=True),
    FileKind(b"\xfd7zXZ\0", "an xz file", "unpack it"),
    FileKind(b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it"),
    FileKind(b"\x04\x22\x4d\x18", "an LZ4 file", _UNPACK),
    FileKind(b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    FileKind(b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    FileKind(b"ustar", "a tar archive", "unpack it and name the files in it", offset=257),
    FileKind(b"ARROW1\0\0", "an Arrow (Feather) file", _AS_PARQUET),
    FileKind(b"\xff\xff\xff\xff", "an Arrow stream, as Dataset.save_to_disk writes", _AS_PARQUET),
    FileKind(b"FEA1", "a Feather file", _AS_PARQUET, binary=True),
    FileKind(b"ORC", "an ORC file", _AS_PARQUET, binary=True),
    FileKind(b"Obj\x01", "an Avro file", _AS_PARQUET),
    FileKind(b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    FileKind(b"\x93NUMPY", "a NumPy array", _EXPORT),
    FileKind(b"RDX2\n", "an R data file", "write it with write.csv"),
    FileKind(b"RDX3\n", "an R data file", "write it with write.csv"),
    FileKind(b"\x89PNG", "a picture", _EXPORT),
    FileKind(b"\xff\xd8\xff", "a picture", _EXPORT),
    *(
        FileKind(
            b"\x80" + bytes([version]), "a Python pickle", f"{_EXPORT}; pickles are never opened, as they can run code"
        )
        for version in range(2, 6)
    ),
)


def known_kind(start: bytes) -> FileKind | None:
    """The format of a file that begins with `start` (some hundred bytes); None for possible text."""
    bare = start.lstrip(b" \t\r\n")
    return next((kind for kind in _KINDS if kind.begins(start) or (not kind.offset and kind.begins(bare))), None)
