"""Small studies to write into a folder; `conftest.py` makes fixtures of them.

Other rooms load this file by its path; it needs nothing but the project and scikit-image.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

HERE = Path(__file__).parent
THIRD_PARTY = HERE / "third_party"
#: Real reconstructions by published codecs, beside the project and not part of it.
PICO = HERE.parents[2] / "shared" / "data" / "pico"

Pixels = npt.NDArray[np.uint8]


def photographs(width: int = 128, height: int = 96) -> dict[str, Pixels]:
    """Two crops of real photographs (scikit-image: NASA's astronaut, and chelsea)."""
    astronaut, chelsea = skimage.data.astronaut(), skimage.data.chelsea()
    return {
        "astronaut": np.ascontiguousarray(astronaut[20 : 20 + height, 150 : 150 + width]),
        "chelsea": np.ascontiguousarray(chelsea[60 : 60 + height, 120 : 120 + width]),
    }


def write_study(folder: Path, toml: str, pictures: Mapping[str, Pixels] | None = None) -> Path:
    """Write study.toml and `sources/<name>.png`; gives the folder."""
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    for name, pixels in (photographs() if pictures is None else pictures).items():
        Image.fromarray(pixels).save(folder / "sources" / f"{name}.png")
    (folder / "study.toml").write_text(toml, encoding="utf-8")
    return folder


def command_study(folder: Path) -> Path:
    """JPEG beside somebody else's program, which is copied into the study folder."""
    write_study(
        folder,
        """
        name = "with-a-program"
        targets = [2.0, 4.0]
        sources = { folder = "sources" }

        [[codecs]]
        name = "jpeg"
        subsampling = "4:4:4"

        [[codecs]]
        name = "toy"
        family = "command"
        encode = ["{python}", "{study}/toycodec.py", "enc", "{input}", "{output}", "{quality}"]
        decode = ["{python}", "{study}/toycodec.py", "dec", "{input}", "{output}"]
        quality = { range = [4, 120], step = 0.002, direction = "down", scale = "log", start = 40 }
        version = "1.0"
        extension = "toy"
        input = "ppm"
        timeout = 60
        """,
    )
    shutil.copy(THIRD_PARTY / "toycodec.py", folder)
    return folder


def entry_point_study(folder: Path) -> Path:
    """JPEG beside somebody else's class; `install_thin_codec` must have run for this process."""
    return write_study(
        folder,
        """
        name = "with-an-entry-point"
        targets = [1.0, 2.0]
        sources = { folder = "sources" }

        [[codecs]]
        name = "jpeg"

        [[codecs]]
        name = "thin-9"
        family = "thin"
        level = 9
        """,
    )


def install_thin_codec(site: Path) -> Path:
    """Lay the third party's module and its dist-info into `site`; put that on sys.path to install it."""
    return _install(site, "thin", "ThinCodec")


def install_brittle_codec(site: Path) -> Path:
    """The module of `brittlecodec.py` and its dist-info in `site`; put that on sys.path to install it."""
    return _install(site, "brittle", "BrittleCodec")


def install_block_codec(site: Path) -> Path:
    """The module of `blockcodec.py` and its dist-info in `site`; put that on sys.path to install it."""
    return _install(site, "block", "BlockCodec")


def install_fickle_codec(site: Path) -> Path:
    """The module of `ficklecodec.py` and its dist-info in `site`; put that on sys.path to install it."""
    return _install(site, "fickle", "FickleCodec")


def _install(site: Path, family: str, codec: str) -> Path:
    module = f"{family}codec"
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(THIRD_PARTY / f"{module}.py", site)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[matchrate.codecs]\n{family} = {module}:{codec}\n")
    return site


def pico_study(folder: Path) -> Path:
    """PICO, HiFiC, DCVC-RT, VVC and BPG on the three Kodak scenes, as they were published."""
    scenes = ("kodak_kodim04", "kodim15", "kodim23")
    codecs = ("pico", "hific", "dcvc", "vvc", "bpg")
    sources = "".join(
        f"""
        [[sources]]
        name = "{scene}"
        file = "{(PICO / scene / "reference.png").as_posix()}"
        dataset = "kodak"
        """
        for scene in scenes
    )
    reconstructions = "".join(
        f"""
        [[codecs]]
        name = "{codec}"
        family = "reconstructions"
        folder = "{PICO.as_posix()}"
        """
        for codec in codecs
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(
        f"""
        name = "pico-kodak"
        targets = [0.27]
        {sources}
        {reconstructions}
        """
    )
    return folder
