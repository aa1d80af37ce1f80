"""The study that `matchrate demo` runs: photographs that ship in declared wheels, six codecs, five rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.contract import REFERENCE_CONDITION
from stimuli.manifest import Manifest
from study_app.errors import StudyAppError
from study_app.simulated_raters import SimulatedTruth


class DemoPhotographError(StudyAppError):
    """A wheel that carries the demo's photographs is not installed, or no longer carries them."""

    def __init__(self, photograph: str, package: str) -> None:
        self.photograph = photograph
        self.package = package
        super().__init__(
            f"the demo photograph {photograph} ships in {package}, where it was not found; "
            "install it with: pip install 'matchrate[demo]'"
        )


@dataclass(frozen=True, slots=True)
class DemoPhotograph:
    """A photograph inside an installed package, and how it becomes a source.

    `halved` photographs were JPEG files: averaging 2 x 2 pixels hides what JPEG did to them. `box` is
    the part (left, top, right, bottom) that is kept, in pixels after halving.
    """

    name: str
    package: str
    path: str
    credit: str
    halved: bool = False
    box: tuple[int, int, int, int] | None = None


PHOTOGRAPHS: tuple[DemoPhotograph, ...] = (
    DemoPhotograph("astronaut", "skimage", "data/astronaut.png", "NASA, public domain"),
    DemoPhotograph("chelsea", "skimage", "data/chelsea.png", "Stéfan van der Walt, CC0"),
    DemoPhotograph("coffee", "skimage", "data/coffee.png", "Rachel Michetti, CC0", box=(44, 0, 556, 400)),
    DemoPhotograph("rocket", "skimage", "data/rocket.jpg", "SpaceX, public domain", halved=True),
    DemoPhotograph("galaxies", "skimage", "data/hubble_deep_field.jpg", "NASA, public domain", halved=True),
    DemoPhotograph("china", "sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0", halved=True),
    DemoPhotograph("flower", "sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0", halved=True),
)


def _locate(photograph: DemoPhotograph) -> Path:
    spec = find_spec(photograph.package)
    if spec is None or spec.origin is None:
        raise DemoPhotographError(photograph.name, photograph.package)
    path = Path(spec.origin).parent / photograph.path
    if not path.is_file():
        raise DemoPhotographError(photograph.name, photograph.package)
    return path


def _source_picture(photograph: DemoPhotograph) -> Image.Image:
    with Image.open(_locate(photograph)) as opened:
        picture = opened.convert("RGB")
        # The colour profile stays with the pixels: reading the source converts it once, as for any study.
        profile = opened.info.get("icc_profile")
    if photograph.halved:
        even = picture.crop((0, 0, picture.width // 2 * 2, picture.height // 2 * 2))
        picture = even.reduce(2)
    if photograph.box is not None:
        picture = picture.crop(photograph.box)
    bare = Image.frombytes("RGB", picture.size, picture.tobytes())
    if profile:
        bare.info["icc_profile"] = profile
    return bare


#: The codec that the demo's BD-rates are measured against.
ANCHOR = "jpeg"
#: Simulated raters, of one session each.
RATERS = 40

STUDY_FILE = """\
# The demo study. `matchrate init DIR` writes a study.toml in which every key is explained.
name = "demo"
title = "Matchrate demo"
question = "Which one looks closer to the original?"
instructions = '''
You will see an original photograph and two compressed versions of it, which share one place. Switch between
the two as often as you like, and choose the one that is closer to the original. Some pairs differ little:
look at edges, fine texture and smooth areas.
'''
targets = [0.2, 0.35, 0.6, 1.0, 1.7]
tolerance = 0.01
session_length = 40
seed = 20260801

[sources]
folder = "sources"

[pairing]
include_reference = true

[[codecs]]
name = "jpeg"

[[codecs]]
name = "jpeg2000"

[[codecs]]
name = "webp"

# The last three are quicker than by default: a demo should not be waited for.
[[codecs]]
name = "heic"
preset = "slow"

[[codecs]]
name = "jpegxl"
effort = 7

[[codecs]]
name = "avif"
speed = 6
"""

#: How many times fewer bits than JPEG the simulated raters take each codec to need. An assumption that makes
#: a demo, and no finding about these codecs.
ASSUMED_SAVINGS = {"jpeg": 1.0, "jpeg2000": 1.1, "webp": 1.35, "heic": 1.6, "jpegxl": 1.75, "avif": 1.9}
#: Elo a unit of ln bpp; published studies have 700 to 950.
SLOPE = 700.0
#: How the slope falls towards high rates, in Elo a squared unit of ln bpp.
BEND = 80.0
MIDDLE_BPP = 0.6
#: Standard deviations in Elo: of a condition about its curve, and of a rater's opinion about a codec.
CONDITION_SD = 20.0
RATER_SD = 60.0
#: How far above the best condition the simulated raters see the original.
REFERENCE_LEAD = 120.0
SEED = 20260801


def simulated_truth(manifest: Manifest) -> SimulatedTruth:
    """The Elo that the demo's simulated raters answer by: a seeded table, known to nobody but them."""
    rng = np.random.default_rng(SEED)
    elo: dict[str, float] = {}
    codec_of: dict[str, str] = {}
    for condition in manifest.conditions:
        x = math.log(condition.target * ASSUMED_SAVINGS[condition.codec] / MIDDLE_BPP)
        elo[condition.name] = 1500.0 + SLOPE * x - BEND * x * x + float(rng.normal(0.0, CONDITION_SD))
        codec_of[condition.name] = condition.codec
    elo[REFERENCE_CONDITION] = max(elo.values()) + REFERENCE_LEAD
    codec_of[REFERENCE_CONDITION] = REFERENCE_CONDITION
    return SimulatedTruth(elo=elo, codec_of=codec_of, rater_sd=RATER_SD, seed=SEED)


def write_demo_study(folder: Path) -> None:
    """Write study.toml and the sources into `folder`, where they are not there already.

    Raises DemoPhotographError when a wheel with the photographs is missing.
    """
    sources = folder / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for photograph in PHOTOGRAPHS:
        target = sources / f"{photograph.name}.png"
        if target.exists():
            continue
        picture = _source_picture(photograph)
        half_written = target.with_suffix(".part")
        picture.save(half_written, "PNG", icc_profile=picture.info.get("icc_profile"))
        half_written.replace(target)
    study_file = folder / "study.toml"
    if not study_file.exists():
        half_written = study_file.with_suffix(".part")
        half_written.write_text(STUDY_FILE, encoding="utf-8")
        half_written.replace(study_file)
