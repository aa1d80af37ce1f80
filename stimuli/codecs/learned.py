"""Learned codecs: networks of CompressAI from checkpoints of the researcher, with their real bitstreams."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stimuli.codecs.base import Pixels, Scale
from stimuli.codecs.learned_stream import LearnedStream, stored_step, unpack
from stimuli.errors import CodecNotInstalledError, CodecProgramError, CodecSettingsError

if TYPE_CHECKING:
    from stimuli.codecs.learned_network import Network

FAMILY = "learned"
#: The structures of CompressAI's zoo, by its names, and whether the step of their latent can be scaled. The
#: factorised ones code it with learned tables of step 1, and the autoregressive ones add the means to whole
#: numbers in the midst of coding: there a step would part the tables from the values that they code.
ARCHITECTURES = {
    "bmshj2018-factorized": False,
    "bmshj2018_factorized_relu": False,
    "bmshj2018-hyperprior": True,
    "mbt2018-mean": True,
    "mbt2018": False,
    "cheng2020-anchor": False,
    "cheng2020-attn": False,
}
INSTALL = (
    "run `make learned` in the clone for an environment that has it, or: "
    'pip install "matchrate[learned]" && pip install --no-deps "compressai>=1.2.8"'
)
_KEYS = ("checkpoint", "checkpoints", "architecture", "checkpoint_sha256")
_MOST_CHECKPOINTS = 64


class LearnedCodec:
    """One checkpoint, or several of one architecture from the lowest to the highest rate.

    `checkpoint` (with several) chooses one, and `step` scales the quantisation of its latent where the
    architecture allows it: 1 is what the network was trained for. Both are written into the bitstream, which
    is decoded by another instance of the network. All runs on one thread of the CPU; another kind of CPU may
    add up in another order and then cannot always read these bitstreams.
    """

    name = FAMILY
    extension = "mrl"

    def __init__(self, settings: Mapping[str, object], folder: Path = Path()) -> None:
        for key in settings:
            if key not in _KEYS:
                raise CodecSettingsError(key, f"is not a setting of this family; it takes {', '.join(_KEYS)}")
        architecture = settings.get("architecture")
        if architecture is not None and architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise CodecSettingsError("architecture", f"must be one of {known}, got {architecture!r}")
        _check_installed()
        key, checkpoints = _checkpoints(settings)
        if architecture is None:
            raise CodecSettingsError("architecture", f"is missing; write one of {', '.join(ARCHITECTURES)}")
        self._architecture = str(architecture)
        stepped = ARCHITECTURES[self._architecture]
        if len(checkpoints) == 1 and not stepped:
            raise CodecSettingsError(
                key,
                f"names one file, and {self._architecture} has one rate a file: name several of them as "
                "`checkpoints`, from the lowest to the highest rate",
            )
        self.scales = _scales(len(checkpoints), stepped)
        paths = [folder.resolve() / name for name in checkpoints]
        hashes = [_sha256(key, path, folder) for path in paths]
        _check_hashes(settings, checkpoints, hashes)
        self._networks = [
            _load(key, path, sha256, self._architecture, stepped)
            for path, sha256 in zip(paths, hashes, strict=True)
        ]
        self.version = _version(hashes, [network.label for network in self._networks])
        self.settings: dict[str, object] = {
            "architecture": self._architecture,
            "checkpoints": checkpoints,
            "checkpoint_sha256": hashes,
        }
        spec = importlib.util.find_spec("compressai")
        self.location = str(Path(spec.origin).parent) if spec and spec.origin else "compressai"

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The container with the strings of CompressAI's entropy coder."""
        index, step = int(quality.get("checkpoint", 0)), stored_step(quality.get("step", 1))
        strings = self._networks[index].encode(source, step)
        return LearnedStream(index, step, source.shape[1], source.shape[0], strings).pack()

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels, from the bytes and the checkpoint that they name; raises ValueError for other bytes."""
        stream = unpack(bitstream)
        if stream.checkpoint >= len(self._networks):
            raise ValueError(f"names checkpoint {stream.checkpoint} of {len(self._networks)}")
        network = self._networks[stream.checkpoint]
        return network.decode(stream.strings, stream.step, stream.width, stream.height)


def _check_installed() -> None:
    missing = [name for name in ("torch", "compressai") if importlib.util.find_spec(name) is None]
    if missing:
        raise CodecNotInstalledError(FAMILY, f"{' and '.join(missing)} cannot be found: {INSTALL}")


def _checkpoints(settings: Mapping[str, object]) -> tuple[str, list[str]]:
    """The key that names the files, and the files."""
    if "checkpoint" in settings and "checkpoints" in settings:
        raise CodecSettingsError("checkpoints", "and `checkpoint` name files twice; write one of them")
    if "checkpoints" in settings:
        key, value = "checkpoints", settings["checkpoints"]
    elif "checkpoint" in settings:
        key, value = "checkpoint", [settings["checkpoint"]]
    else:
        raise CodecSettingsError(
            "checkpoint",
            'is missing; write checkpoint = "mine.pth" and architecture = "bmshj2018-hyperprior"',
        )
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        what = "a file name" if key == "checkpoint" else "a list of file names"
        raise CodecSettingsError(key, f"must be {what}, got {settings[key]!r}")
    if not 0 < len(value) <= _MOST_CHECKPOINTS:
        raise CodecSettingsError(key, f"must name 1 to {_MOST_CHECKPOINTS} files, got {len(value)}")
    return key, value


def _scales(checkpoints: int, stepped: bool) -> tuple[Scale, ...]:
    coarse = Scale("checkpoint", 0, checkpoints - 1, slope=0.35) if checkpoints > 1 else None
    if not stepped:
        return (coarse,) if coarse else ()
    if coarse is None:
        return (Scale("step", 0.25, 4, 0, increasing=False, log=True, start=1, slope=0.8),)
    # Between checkpoints the step has to bridge one rate to the next; far from 1 another one is better.
    fine = Scale("step", 0.5, 2, 0, increasing=False, log=True, start=1, slope=0.8, reach=(0.6, 0.4))
    return (coarse, fine)


def _sha256(key: str, path: Path, folder: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        what = (
            "which does not exist" if isinstance(error, FileNotFoundError) else f"{error.strerror or error}"
        )
        # As with a program, a study can be read and served where the file is not.
        absent = CodecProgramError(key, f"names the checkpoint {path}, {what}; copy it there")
        absent.family = FAMILY
        raise absent from None


def _check_hashes(settings: Mapping[str, object], checkpoints: list[str], hashes: list[str]) -> None:
    """A manifest, or a careful study, says which files are meant; raises CodecSettingsError for others."""
    meant = settings.get("checkpoint_sha256", hashes)
    if isinstance(meant, str):
        meant = [meant]
    if not isinstance(meant, list) or len(meant) != len(hashes):
        raise CodecSettingsError(
            "checkpoint_sha256", f"must be a list of {len(hashes)} hashes, got {meant!r}"
        )
    for name, wanted, found in zip(checkpoints, meant, hashes, strict=True):
        if wanted != found:
            raise CodecSettingsError(
                "checkpoint_sha256", f"says {wanted} for {name}, which is {found}: it is another checkpoint"
            )


def _load(key: str, path: Path, sha256: str, architecture: str, stepped: bool) -> Network:
    from stimuli.codecs.learned_network import CheckpointError, import_torch, load_network

    try:
        import_torch()
    except ImportError as error:
        raise CodecNotInstalledError(FAMILY, f"its packages do not load ({error}): {INSTALL}") from None
    try:
        return load_network(path, sha256, architecture, stepped=stepped)
    except CheckpointError as error:
        raise CodecSettingsError(key, f"names {path}, which {error}") from None


def _version(hashes: list[str], labels: list[str]) -> str:
    """Packages, hashes, and what the checkpoints say of themselves: no name of an architecture."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("compressai", "torch")]
    told = dict.fromkeys(label for label in labels if label)
    hashed = ", ".join(sha256 if len(hashes) == 1 else sha256[:16] for sha256 in hashes)
    return ", ".join((*packages, f"checkpoint SHA-256 {hashed}", *told))
