"""The arguments of each program that stands in for another, and what it does with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from samples import (
    Picture,
    from_raw,
    read_picture,
    read_y4m,
    to_raw,
    write_picture,
    write_y4m,
)
from transform import compress, decompress

Given = dict[str, str]
Rule = Callable[[str], bool]


def main(name: str) -> None:
    """Run the program of this name with the arguments of this process."""
    PROGRAMS[name](sys.argv[1:])


def parse(argv: list[str], options: dict[str, Rule | None], positions: int) -> Given:
    """Options and their values, and arguments without an option under "0", "1"; anything else is refused.

    An option that ends in `=` has its value behind that, another one in the next argument; a rule of None
    takes no value.
    """
    given: Given = {}
    rest = list(argv)
    count = 0
    while rest:
        word = rest.pop(0)
        option, sign, value = word.partition("=")
        if sign and option + sign in options:
            option += sign
        elif word in options:
            option, value = word, ""
            if options[word] is not None:
                value = rest.pop(0) if rest else ""
        elif not word.startswith("-") and count < positions:
            given[str(count)] = word
            count += 1
            continue
        else:
            raise SystemExit(f"Error: Unrecognized option {word}")
        if option in given:
            raise SystemExit(f"Error: {option} is given twice")
        rule = options[option]
        if rule is not None and not rule(value):
            raise SystemExit(f"Error: Invalid value {value!r} for {option}")
        given[option] = value
    return given


def whole(low: int, high: int) -> Rule:
    return lambda value: value.lstrip("-").isdigit() and low <= int(value) <= high


def number(low: float, high: float) -> Rule:
    def rule(value: str) -> bool:
        try:
            return low <= float(value) <= high
        except ValueError:
            return False

    return rule


def one_of(*words: str) -> Rule:
    return lambda value: value in words


def file(value: str) -> bool:
    return bool(value)


def save(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


# aomenc, aomdec, avmenc, avmdec


def aomenc(argv: list[str]) -> None:
    if argv == ["--help"]:
        print("Usage: aomenc <options> -o dst_filename src_filename\n\nIncluded encoders:\n")
        print("    av1    - AOMedia Project AV1 Encoder v0.0-stand-in (default)")
        return
    given = parse(
        argv,
        {
            "--codec=": one_of("av1"),
            "--allintra": None,
            "--obu": None,
            "--ivf": None,
            "--limit=": whole(0, 1000),
            "--passes=": one_of("1", "2"),
            "--end-usage=": one_of("q", "cq", "vbr", "cbr"),
            "--cq-level=": whole(0, 63),
            "--cpu-used=": whole(0, 9),
            "--tune=": one_of("psnr", "ssim", "butteraugli"),
            "--deltaq-mode=": whole(0, 4),
            "--deltaq-strength=": whole(0, 1000),
            "--sharpness=": whole(0, 7),
            "--threads=": whole(1, 64),
            "--row-mt=": one_of("0", "1"),
            "--tile-columns=": whole(0, 6),
            "--tile-rows=": whole(0, 6),
            "--bit-depth=": one_of("8", "10", "12"),
            "--input-bit-depth=": whole(8, 16),
            "--color-primaries=": one_of("bt709"),
            "--transfer-characteristics=": one_of("srgb"),
            "--matrix-coefficients=": one_of("bt709"),
            "-o": file,
        },
        1,
    )
    picture = read_y4m(Path(given["0"]))
    if str(picture.bits) != given["--bit-depth="]:
        raise SystemExit("Error: the depth of the file is another")
    strength = int(given.get("--deltaq-strength=", "0"))
    step = 2.0 * 2 ** (int(given["--cq-level="]) / 10) * 1.0012**strength
    save(given["-o"], compress(picture, b"aom1", step))


def aomdec(argv: list[str]) -> None:
    _decode_to_y4m(argv, b"aom1", {"--threads=": whole(1, 64), "--output-bit-depth=": one_of("8", "10")})


def avmenc(argv: list[str]) -> None:
    if argv == ["--help"]:
        print("Included encoders:\n\n    av2    - AOMedia Project AV2 Encoder v0.0-stand-in (default)")
        return
    given = parse(
        argv,
        {
            "--obu": None,
            "--limit=": whole(0, 1000),
            "--passes=": one_of("1"),
            "--end-usage=": one_of("q"),
            "--qp=": whole(-48, 255),
            "--cpu-used=": whole(0, 9),
            "--coeff-cost-upd-freq=": whole(0, 2),
            "--mode-cost-upd-freq=": whole(0, 3),
            "--threads=": whole(1, 64),
            "--row-mt=": one_of("0", "1"),
            "--tile-columns=": whole(0, 6),
            "--tile-rows=": whole(0, 6),
            "--bit-depth=": one_of("8", "10"),
            "--lag-in-frames=": whole(0, 48),
            "--kf-max-dist=": whole(0, 9999),
            "-o": file,
        },
        1,
    )
    step = 2.0 * 2 ** (int(given["--qp="]) / 40) * 1.004 ** int(given.get("--mode-cost-upd-freq=", "0"))
    save(given["-o"], compress(read_y4m(Path(given["0"])), b"avm1", step))


def avmdec(argv: list[str]) -> None:
    _decode_to_y4m(argv, b"avm1", {"--threads=": whole(1, 64), "--output-bit-depth=": one_of("8", "10")})


def _decode_to_y4m(argv: list[str], magic: bytes, options: dict[str, Rule | None]) -> None:
    given = parse(argv, {**options, "-o": file}, 1)
    write_y4m(Path(given["-o"]), decompress(Path(given["0"]).read_bytes(), magic))


# cjxl, djxl


def cjxl(argv: list[str]) -> None:
    if argv == ["--version"]:
        print("cjxl v0.0.0 [stand-in]\nnobody's")
        return
    given = parse(
        argv,
        {
            "--distance=": number(0, 25),
            "--effort=": whole(1, 9),
            "--num_threads=": whole(-1, 64),
            "--container=": one_of("0", "1"),
            "--quiet": None,
        },
        2,
    )
    step = 8 * max(float(given["--distance="]), 0.05)
    save(given["1"], compress(read_picture(Path(given["0"])), b"jxl1", step))


def djxl(argv: list[str]) -> None:
    given = parse(argv, {"--num_threads=": whole(0, 64), "--quiet": None}, 2)
    write_picture(Path(given["1"]), decompress(Path(given["0"]).read_bytes(), b"jxl1"))


# bpgenc, bpgdec


def bpgenc(argv: list[str]) -> None:
    if argv == ["-h"]:
        print("BPG Image Encoder version 0.0-stand-in\nusage: bpgenc [options] infile.[jpg|png]")
        raise SystemExit(1)
    given = parse(
        argv,
        {
            "-e": one_of("jctvc"),
            "-f": one_of("420", "422", "444"),
            "-b": whole(8, 12),
            "-m": whole(1, 9),
            "-q": whole(0, 51),
            "-o": file,
        },
        1,
    )
    step = 2 ** ((int(given["-q"]) - 4) / 6)
    save(given["-o"], compress(read_picture(Path(given["0"])), b"bpg1", step))


def bpgdec(argv: list[str]) -> None:
    given = parse(argv, {"-o": file, "-b": one_of("8", "16")}, 1)
    write_picture(Path(given["-o"]), decompress(Path(given["0"]).read_bytes(), b"bpg1"))


# vvencapp, vvdecapp


def vvencapp(argv: list[str]) -> None:
    if argv == ["--version"]:
        print("vvencapp version 0.0-stand-in")
        return
    given = parse(
        argv,
        {
            "-i": file,
            "--y4m": None,
            "-f": one_of("1"),
            "--preset": one_of("faster", "fast", "medium", "slow", "slower"),
            "--qp": whole(0, 63),
            "--qpa": one_of("0", "1"),
            "-t": whole(-1, 64),
            "--mtprofile": one_of("auto", "off", "-1", "0", "1", "2", "3"),
            "-ip": whole(0, 1000),
            "--range": one_of("unknown", "limited", "full"),
            "--additional": file,
            "-o": file,
        },
        0,
    )
    more = dict(word.split("=") for word in given["--additional"].split())
    if unknown := set(more) - {"GOPSize", "AccessUnitDelimiter", "HrdParametersPresent", "LambdaModifierI"}:
        raise SystemExit(f"Error: Unknown option: {unknown.pop()}")
    picture = read_y4m(Path(given["-i"]))
    if (picture.chroma, picture.bits) != ("420", 10) or picture.width % 2 or picture.height % 2:
        raise SystemExit("picture height is not an integer multiple of the specified chroma subsampling")
    step = 2 ** ((int(given["--qp"]) - 4) / 6) * float(more["LambdaModifierI"]) ** 0.4
    save(given["-o"], compress(picture, b"vvc1", step))


def vvdecapp(argv: list[str]) -> None:
    given = parse(argv, {"-b": file, "-o": file, "--y4m": None, "-t": whole(-1, 64), "-p": whole(-1, 64)}, 0)
    write_y4m(Path(given["-o"]), decompress(Path(given["-b"]).read_bytes(), b"vvc1"))


# EncoderAppStatic, DecoderAppStatic of VTM and of ECM


def reference_encoder(name: str) -> Callable[[list[str]], None]:
    def run(argv: list[str]) -> None:
        if argv == ["--help"]:
            print(f"\nVVCSoftware: {name} Encoder Version 0.0-stand-in [Nowhere][64 bit]")
            raise SystemExit(1)
        given = parse(
            argv,
            {
                "-c": lambda value: "IntraPeriod" in Path(value).read_text(),
                "-i": file,
                "-b": file,
                "-o": file,
                "--SourceWidth=": whole(1, 20000),
                "--SourceHeight=": whole(1, 20000),
                "--FrameRate=": whole(1, 300),
                "--FramesToBeEncoded=": one_of("1"),
                "--TemporalSubsampleRatio=": one_of("1", "8"),
                "--InputBitDepth=": one_of("8", "10"),
                "--InternalBitDepth=": one_of("8", "10"),
                "--OutputBitDepth=": one_of("8", "10"),
                "--InputChromaFormat=": one_of("420", "444"),
                "--ChromaFormatIDC=": one_of("420", "444"),
                "--ConformanceWindowMode=": one_of("0", "1", "2", "3"),
                "--QP=": whole(-12, 63),
                "--LambdaModifierI=": number(0.01, 100),
                "--SEIDecodedPictureHash=": one_of("0", "1", "2", "3"),
            },
            0,
        )
        half = given["--InputChromaFormat="] == "420"
        if half and (int(given["--SourceWidth="]) % 2 or int(given["--SourceHeight="]) % 2):
            raise SystemExit("picture width is not an integer multiple of the specified chroma subsampling")
        picture = from_raw(
            Path(given["-i"]).read_bytes(),
            int(given["--SourceWidth="]),
            int(given["--SourceHeight="]),
            given["--InputChromaFormat="],
            int(given["--InputBitDepth="]),
        )
        step = 2 ** ((int(given["--QP="]) - 4) / 6) * float(given["--LambdaModifierI="]) ** 0.2
        save(given["-b"], compress(picture, b"vtm1", step))

    return run


def reference_decoder(argv: list[str]) -> None:
    given = parse(argv, {"-b": file, "-o": file, "-d": one_of("0", "8", "10")}, 0)
    picture = decompress(Path(given["-b"]).read_bytes(), b"vtm1")
    if given["-d"] != str(picture.bits):
        raise SystemExit("another depth")
    save(given["-o"], to_raw(picture))


# The python of JPEG AI's environment, with two modules of its checkout


def python_of_jpegai(argv: list[str]) -> None:
    if not Path("cfg/tools_on.json").is_file():
        raise SystemExit("No module named src.reco")
    if argv[:2] == ["-m", "src.reco.coders.encoder"]:
        source, target, *options = argv[2:]
        where = options.index("--cfg")
        cfg, options = options[where + 1 : where + 3], options[:where] + options[where + 3 :]
        for name in cfg:
            Path(name).read_text()
        given = parse(
            options, {"--set_target_bpp": whole(1, 1000), "-target_device": one_of("cpu", "gpu")}, 0
        )
        picture = read_picture(Path(source))
        save(target, compress(picture, b"jai1", 1200 / int(given["--set_target_bpp"])))
    elif argv[:2] == ["-m", "src.reco.coders.decoder"]:
        given = parse(argv[2:], {"-target_device": one_of("cpu", "gpu")}, 2)
        write_picture(Path(given["1"]), decompress(Path(given["0"]).read_bytes(), b"jai1"))
    else:
        raise SystemExit("No such module")


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "aomenc": aomenc,
    "aomdec": aomdec,
    "avmenc": avmenc,
    "avmdec": avmdec,
    "cjxl": cjxl,
    "djxl": djxl,
    "bpgenc": bpgenc,
    "bpgdec": bpgdec,
    "vvencapp": vvencapp,
    "vvdecapp": vvdecapp,
    "EncoderAppStatic": reference_encoder("VTM"),
    "DecoderAppStatic": reference_decoder,
    "ecm-EncoderAppStatic": reference_encoder("ECM"),
    "ecm-DecoderAppStatic": reference_decoder,
    "python-of-jpegai": python_of_jpegai,
}

__all__ = ["PROGRAMS", "Picture", "main"]
