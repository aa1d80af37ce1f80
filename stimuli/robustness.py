"""How far a codec gives elsewhere what it gave before: counts a codec, as a table for papers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stimuli.codecs.base import Pixels
from stimuli.files import write_atomic
from stimuli.manifest import Deviation, Machine


@dataclass(frozen=True, slots=True)
class Difference:
    """How a picture differs from what it should be: pixels with any difference, of how many, and levels.

    `levels` is the largest difference of any sample, of 255.
    """

    pixels: int
    area: int
    levels: int

    def __str__(self) -> str:
        verb = "differs" if self.pixels == 1 else "differ"
        levels = "level" if self.levels == 1 else "levels"
        return f"{self.pixels} of {self.area} pixels {verb} by up to {self.levels} {levels}"


def difference(picture: Pixels, wanted: Pixels) -> Difference:
    """Compare two pictures of one size, height x width x 3 of 8-bit sRGB."""
    moved = np.abs(picture.astype(np.int16) - wanted).max(axis=2)
    return Difference(int(np.count_nonzero(moved)), moved.size, int(moved.max(initial=0)))


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encode that was made again: its bytes beside those of the manifest.

    `picture` compares what the new bytes decode to with the picture of the manifest; None where that could
    not be compared. `reason` says why there is no encode.
    """

    bytes: int | None = None
    bytes_before: int = 0
    same: bool = False
    picture: Difference | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.reason is not None:
            return f"cannot be encoded again: {self.reason}"
        how = "a picture that could not be compared"
        if self.picture is not None:
            how = f"a picture of which {self.picture}" if self.picture.pixels else "the same picture"
        return f"encodes to other bytes now ({self.bytes}, and {self.bytes_before} before; {how})"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one stimulus of a codec.

    `bitstream` is None for a given reconstruction, `picture` where nothing could be decoded or compared,
    `encoded` where no encode was asked for or there is none.
    """

    codec: str
    bitstream: bool | None
    picture: Difference | None
    encoded: Encoded | None = None


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One codec: what of its stimuli is the same here.

    Of `stimuli`, `bitstreams` have one, and those of `bitstreams_same` are byte for byte what was encoded.
    `pictures` were decoded and compared: of all their `pixels`, `pixels_differ` do, by at most
    `largest_levels`. `encodes` were made again, and `bytes_differ` is the sum of their differences in size;
    the columns `encoded_*` compare the pictures of the new encodes.
    """

    codec: str
    version: str
    version_here: str | None
    stimuli: int
    bitstreams: int
    bitstreams_same: int
    pictures: int
    pictures_same: int
    pictures_differ: int
    pixels: int
    pixels_differ: int
    pixels_differ_share: float
    largest_levels: int
    not_compared: int
    encodes: int | None = None
    encodes_same: int | None = None
    encodes_differ: int | None = None
    not_encoded: int | None = None
    bytes_differ: int | None = None
    largest_bytes: int | None = None
    encoded_pixels_differ: int | None = None
    encoded_pixels_differ_share: float | None = None
    encoded_largest_levels: int | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying a study: `notes` tell of other versions, `deviations` of all that differs."""

    study: str | None
    made_on: Machine | None
    here: Machine
    notes: tuple[str, ...]
    rows: tuple[CodecRow, ...]
    deviations: tuple[Deviation, ...]


def codec_row(
    codec: str, version: str, version_here: str | None, found: Sequence[Checked], *, encoded: bool
) -> CodecRow:
    """The counts over the stimuli of a codec; `encoded` says whether encodes were asked for."""
    pictures = [check.picture for check in found if check.picture is not None]
    streams = [check.bitstream for check in found if check.bitstream is not None]
    row = CodecRow(
        codec=codec,
        version=version,
        version_here=version_here,
        stimuli=len(found),
        bitstreams=len(streams),
        bitstreams_same=sum(streams),
        pictures=len(pictures),
        pictures_same=sum(picture.pixels == 0 for picture in pictures),
        pictures_differ=sum(picture.pixels > 0 for picture in pictures),
        pixels=sum(picture.area for picture in pictures),
        pixels_differ=sum(picture.pixels for picture in pictures),
        pixels_differ_share=_share(pictures),
        largest_levels=max((picture.levels for picture in pictures), default=0),
        not_compared=len(found) - len(pictures),
    )
    again = [check.encoded for check in found if check.encoded is not None]
    if not encoded or not streams:
        return row
    made = [encode for encode in again if encode.bytes is not None]
    moved = [abs((encode.bytes or 0) - encode.bytes_before) for encode in made]
    shown = [encode.picture for encode in made if encode.picture is not None]
    fields = {name: getattr(row, name) for name in CodecRow.__slots__}
    return CodecRow(
        **fields
        | {
            "encodes": len(made),
            "encodes_same": sum(encode.same for encode in made),
            "encodes_differ": sum(not encode.same for encode in made),
            "not_encoded": len(streams) - len(made),
            "bytes_differ": sum(moved),
            "largest_bytes": max(moved, default=0),
            "encoded_pixels_differ": sum(picture.pixels for picture in shown),
            "encoded_pixels_differ_share": _share(shown),
            "encoded_largest_levels": max((picture.levels for picture in shown), default=0),
        }
    )


def _share(pictures: Iterable[Difference]) -> float:
    pictures = list(pictures)
    area = sum(picture.area for picture in pictures)
    return sum(picture.pixels for picture in pictures) / area if area else 0.0


def table_lines(rows: Sequence[CodecRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and rows of the table for a terminal."""
    header = (
        *("codec", "stimuli", "bitstreams same", "pictures same", "differ", "pixels", "share", "levels"),
        "not compared",
    )
    return header, [
        (
            *(row.codec, str(row.stimuli)),
            f"{row.bitstreams_same} of {row.bitstreams}" if row.bitstreams else "given",
            *(f"{row.pictures_same} of {row.pictures}", str(row.pictures_differ), str(row.pixels_differ)),
            *(_percent(row.pixels_differ_share), str(row.largest_levels), str(row.not_compared)),
        )
        for row in rows
    ]


def encode_lines(rows: Sequence[CodecRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and rows of the table of encodes that were made again; no rows where none was asked for."""
    header = ("codec", "encodes same", "differ", "bytes", "pixels", "share", "levels", "not encoded")
    return header, [
        (
            *(row.codec, f"{row.encodes_same} of {row.encodes}", str(row.encodes_differ)),
            *(str(row.bytes_differ), str(row.encoded_pixels_differ)),
            _percent(row.encoded_pixels_differ_share or 0.0),
            *(str(row.encoded_largest_levels), str(row.not_encoded)),
        )
        for row in rows
        if row.encodes is not None
    ]


def _percent(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:.3g} %"


def write_table(path: Path, verification: Verification) -> None:
    """Write a verification as .json, whole, or as .csv, its table with both machines in every row."""
    if path.suffix == ".json":
        text = json.dumps(asdict(verification), indent=2, ensure_ascii=False) + "\n"
    else:
        made_on = "" if verification.made_on is None else str(verification.made_on)
        machines = {"study": verification.study, "made_on": made_on, "here": str(verification.here)}
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [*machines, *CodecRow.__slots__], lineterminator="\n")
        writer.writeheader()
        writer.writerows(machines | asdict(row) for row in verification.rows)
        text = buffer.getvalue()
    write_atomic(path, text.encode())
