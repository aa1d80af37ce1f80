"""Train a tiny network for seconds and run a real study with it: the road of learned codecs, end to end.

    make learned

What it trains is far below any codec, and says so in its checkpoint: it is there to show that bitstreams,
rates and decoded pictures of the family `learned` are what they claim. The result is no measure of the
structure that it borrows.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stimuli.codecs.learned import LearnedCodec
from stimuli.codecs.learned_network import import_torch
from stimuli.encoding import encode_study
from stimuli.manifest import Manifest, picture_path, verify_manifest
from stimuli.pictures import png_pixels
from stimuli.study import read_study

Pixels = npt.NDArray[np.uint8]
#: Structure and size of what is trained here; the study calls it `tiny`, as it is none of the published ones.
ARCHITECTURE, N, M = "mbt2018-mean", 32, 48
NAME = "tiny"
STUDY = """
name = "learned"
title = "A tiny network that was trained for seconds, beside JPEG"
targets = [{targets}]
sources = {{ folder = "sources" }}

[[codecs]]
name = "tiny"
family = "learned"
checkpoint = "tiny.pth"
architecture = "{architecture}"

[[codecs]]
name = "jpeg"
"""


def pictures_to_train_on() -> list[Pixels]:
    """Photographs of scikit-image that the study does not show."""
    import skimage.data

    return [np.asarray(skimage.data.coffee()), np.asarray(skimage.data.rocket())]


def pictures_to_show() -> dict[str, Pixels]:
    """The sources of the study: no multiple of 64 in any of their sides, so that padding is met."""
    import skimage.data

    return {
        "astronaut": np.ascontiguousarray(skimage.data.astronaut()[20:170, 150:350]),
        "chelsea": np.ascontiguousarray(skimage.data.chelsea()[60:210, 120:320]),
    }


def train(
    path: Path,
    *,
    architecture: str = ARCHITECTURE,
    seconds: float = math.inf,
    steps: float = math.inf,
    weight: float = 0.02,
    seed: int = 1,
) -> str:
    """Train for some seconds or steps, write the checkpoint, and give the label that it carries.

    `weight` is lambda of the loss bpp + lambda x 255^2 x MSE.
    """
    torch = import_torch()
    from compressai.zoo.image import model_architectures

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    model = model_architectures[architecture](N, M).train()
    quantiles = [value for name, value in model.named_parameters() if name.endswith("quantiles")]
    others = [value for name, value in model.named_parameters() if not name.endswith("quantiles")]
    optimiser = torch.optim.Adam(others, lr=2e-3)
    auxiliary = torch.optim.Adam(quantiles, lr=2e-2)
    pictures = pictures_to_train_on()
    # CPU time, so that a busy machine trains no less.
    start, done = time.process_time(), 0
    while time.process_time() - start < seconds and done < steps:
        batch = _patches(torch, pictures, rng)
        out = model(batch)
        area = batch.shape[0] * batch.shape[2] * batch.shape[3]
        bits = sum(-value.log2().sum() for value in out["likelihoods"].values())
        loss = bits / area + weight * 255**2 * (out["x_hat"] - batch).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        optimiser.step()
        auxiliary.zero_grad()
        model.aux_loss().backward()
        auxiliary.step()
        done += 1
    model.eval()
    model.update(force=True)
    spent = f"{seconds:g} s" if done < steps else f"{done} steps"
    label = f"tiny model trained for {spent}: not a published codec"
    torch.save({"state_dict": model.state_dict(), "label": label}, path)
    return label


def _patches(torch: Any, pictures: list[Pixels], rng: np.random.Generator) -> Any:
    patches = []
    for _ in range(8):
        picture = pictures[rng.integers(len(pictures))]
        top, left = rng.integers(picture.shape[0] - 64), rng.integers(picture.shape[1] - 64)
        patches.append(picture[top : top + 64, left : left + 64])
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255


def write_study(folder: Path, pictures: Mapping[str, Pixels]) -> None:
    """A study of the checkpoint in `folder` at three rates that it reaches on every picture."""
    from PIL import Image

    (folder / "sources").mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / "sources" / f"{name}.png")
    codec = LearnedCodec({"checkpoint": "tiny.pth", "architecture": ARCHITECTURE}, folder)

    def bpp(pixels: Pixels, step: float) -> float:
        return 8 * len(codec.encode(pixels, {"step": step})) / (pixels.shape[0] * pixels.shape[1])

    low = max(bpp(pixels, 2) for pixels in pictures.values())
    high = min(bpp(pixels, 0.5) for pixels in pictures.values())
    targets = [round(low ** (1 - share) * high**share, 3) for share in (0.2, 0.5, 0.8)]
    toml = STUDY.format(targets=", ".join(map(str, targets)), architecture=ARCHITECTURE)
    (folder / "study.toml").write_text(toml, encoding="utf-8")


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio over the three channels, in dB."""
    error = float(np.mean((one.astype(float) - other) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def show(folder: Path, manifest: Manifest) -> None:
    """Print bytes and PSNR of every stimulus."""
    originals = {source.name: source.picture_sha256 for source in manifest.sources}
    print(f"{'source':<10} {'codec':<5} {'target':>6} {'bytes':>6} {'bpp':>6} {'PSNR dB':>8}  status")
    for stimulus in manifest.stimuli:
        one, other = (
            png_pixels(picture_path(folder, sha256).read_bytes())
            for sha256 in (originals[stimulus.source], stimulus.picture_sha256)
        )
        print(
            f"{stimulus.source:<10} {stimulus.codec:<5} {stimulus.target_bpp:>6} {stimulus.bytes:>6} "
            f"{stimulus.bpp:>6.3f} {psnr(one, other):>8.2f}  {stimulus.status}"
        )


def main() -> int:
    """Train, encode, verify; 1 when a stimulus of the network misses its rate or decodes to other pixels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the checkpoint and the study are written")
    parser.add_argument("--seconds", type=float, default=30, help="CPU time to train for")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    label = train(args.folder / "tiny.pth", seconds=args.seconds)
    print(label)
    write_study(args.folder, pictures_to_show())
    manifest = encode_study(read_study(args.folder), workers=2, progress=False)
    show(args.folder, manifest)
    # Two workers, so that every bitstream is decoded by a process that did not make it.
    deviations = verify_manifest(args.folder, workers=2, progress=False)
    for deviation in deviations:
        print(deviation)
    missed = [s for s in manifest.stimuli if s.codec == NAME and s.status != "matched"]
    print(f"{len(missed)} stimuli of {NAME!r} missed; {len(deviations)} deviations when decoded again")
    return 1 if missed or deviations else 0


if __name__ == "__main__":
    sys.exit(main())
