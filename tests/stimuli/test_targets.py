"""Facts of targets: rates of sources, ladders of codecs, match rules, payload rates and fast presets."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from stimuli.encoding import encode_study
from stimuli.errors import StudyFileError
from stimuli.manifest import Manifest, read_manifest, verify_manifest
from stimuli.match_rule import EACH, MatchRule, read_match_rule
from stimuli.outdated import outdated_keys
from stimuli.study import read_study

HEAD = """
name = "targets"
targets = [0.6, 1.2]
metrics = []
"""
SOURCES = """
[sources]
folder = "sources"
"""
JPEG = '[[codecs]]\nname = "jpeg"\n'
WEBP = '[[codecs]]\nname = "webp"\n'


def study(studies: ModuleType, folder: Path, *parts: str) -> Path:
    path: Path = studies.write_study(folder, "\n".join(parts))
    return path


def encoded(folder: Path, workers: int = 1) -> Manifest:
    manifest = encode_study(read_study(folder), workers=workers, progress=False, isolated=workers > 1)
    assert read_manifest(folder) == manifest
    return manifest


def problems(folder: Path) -> str:
    with pytest.raises(StudyFileError) as caught:
        read_study(folder)
    return "\n".join(caught.value.problems)


def test_match_rules_are_read_and_written_alike() -> None:
    for text in ("each", "set-mean", "vvc qp 32", "vvc qp 32 lambda 1.5", "jxl distance 1.234567", "pico"):
        assert str(read_match_rule(text)) == text
    assert read_match_rule("each") == EACH
    assert read_match_rule(" vvc  qp 32 ") == MatchRule("codec", "vvc", {"qp": 32.0})
    for text in ("", "vvc qp", "vvc qp x", "vvc qp nan"):
        with pytest.raises(ValueError, match=r"is empty|vvc qp 32"):
            read_match_rule(text)


def test_a_source_may_have_rates_of_its_own(studies: ModuleType, tmp_path: Path) -> None:
    folder = study(studies, tmp_path, HEAD, SOURCES, "[sources.targets]\nchelsea = [0.5, 0.9]", JPEG)
    manifest = encoded(folder)
    assert {(s.source, s.condition): s.target_bpp for s in manifest.stimuli} == {
        ("astronaut", "jpeg@0.6"): 0.6,
        ("astronaut", "jpeg@1.2"): 1.2,
        ("chelsea", "jpeg@0.6"): 0.5,
        ("chelsea", "jpeg@1.2"): 0.9,
    }
    assert all(abs(s.residual) < 0.02 for s in manifest.stimuli)
    assert verify_manifest(folder, workers=1, progress=False) == ()
    assert outdated_keys(read_study(folder), manifest) == ()
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("[0.5, 0.9]", "[0.5, 0.8]"))
    assert outdated_keys(read_study(folder), manifest) == ("sources.targets",)


def test_a_codec_may_have_a_ladder_of_its_own(studies: ModuleType, tmp_path: Path) -> None:
    folder = study(studies, tmp_path, HEAD, SOURCES, JPEG, WEBP + "targets = [0.3, 0.6]")
    manifest = encoded(folder)
    assert [(c.name, c.rate_point) for c in manifest.conditions] == [
        ("jpeg@0.6", 1),
        ("jpeg@1.2", 2),
        ("webp@0.3", 0),
        ("webp@0.6", 1),
    ]
    # Only the codecs that have a rate point are asked for it.
    assert all(s.included for s in manifest.stimuli if s.status == "matched" and s.condition == "jpeg@1.2")
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_set_mean_meets_the_total_with_one_quality_for_all(studies: ModuleType, tmp_path: Path) -> None:
    folder = study(studies, tmp_path, HEAD, 'match = "set-mean"', SOURCES, JPEG, WEBP)
    manifest = encoded(folder)
    for condition in manifest.conditions:
        stimuli = [s for s in manifest.stimuli if s.condition == condition.name]
        assert len({tuple((s.quality or {}).items()) for s in stimuli}) == 1
        total = 8 * sum(s.bytes or 0 for s in stimuli) / sum(s.width * s.height for s in stimuli)
        assert total == pytest.approx(condition.target, rel=0.01)
        assert {s.status for s in stimuli} == {"matched"}
        # Single pictures are as far from it as their content is.
        assert max(abs(s.residual) for s in stimuli) > 0.02
        assert all(s.included for s in stimuli)
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_targets_may_be_shares_of_another_codecs_rate(studies: ModuleType, tmp_path: Path) -> None:
    head = HEAD.replace("[0.6, 1.2]", "[0.5, 1.0]")
    folder = study(studies, tmp_path, head, 'match = "jpeg quality 60"', SOURCES, JPEG, WEBP)
    manifest = encoded(folder)
    own = {s.source: s for s in manifest.stimuli if s.condition == "jpeg@1.0x"}
    assert {s.residual for s in own.values()} == {0.0}
    assert {tuple((s.quality or {}).values()) for s in own.values()} == {(60.0,)}
    for stimulus in manifest.stimuli:
        share = 0.5 if stimulus.condition.endswith("@0.5x") else 1.0
        assert stimulus.target_bpp == pytest.approx(share * own[stimulus.source].bpp)
        assert abs(stimulus.residual) < 0.02
    assert manifest.study.match == "jpeg quality 60"
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_payload_rates_leave_the_container_out(studies: ModuleType, tmp_path: Path) -> None:
    avif = '[[codecs]]\nname = "avif"\nspeed = 8\n'
    folder = study(studies, tmp_path, HEAD, 'rate = "payload"', SOURCES, JPEG, avif)
    manifest = encoded(folder)
    for s in manifest.stimuli:
        assert s.bytes is not None
        assert s.payload_bytes is not None
        assert s.residual == pytest.approx(8 * s.payload_bytes / (s.width * s.height) / s.target_bpp - 1)
        assert s.bpp == pytest.approx(8 * s.bytes / (s.width * s.height))
        assert abs(s.residual) < 0.02
    # AVIF's container is worth a tenth of such a small file.
    assert all(s.bpp > 1.05 * s.target_bpp for s in manifest.stimuli if s.codec == "avif")
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_fast_applies_where_a_family_has_it_and_what_is_written_wins(
    studies: ModuleType, tmp_path: Path
) -> None:
    toml = study(
        studies, tmp_path, "fast = true", HEAD, SOURCES, JPEG, '[[codecs]]\nname = "avif"\nspeed = 3'
    )
    codecs = {codec.name: codec.settings for codec in read_study(toml).codecs}
    assert codecs["avif"]["fast"] is True
    folder = study(studies, tmp_path / "one", HEAD, SOURCES, JPEG, '[[codecs]]\nname = "avif"\nfast = false')
    assert {c.name: dict(c.settings) for c in read_study(folder).codecs} == {
        "jpeg": {},
        "avif": {"fast": False},
    }


def test_processes_change_nothing_of_a_prior(studies: ModuleType, tmp_path: Path) -> None:
    """The first source teaches the others, however many processes there are."""
    manifests = []
    for workers in (1, 2):
        manifest = encoded(study(studies, tmp_path / str(workers), HEAD, SOURCES, JPEG, WEBP), workers)
        stimuli = tuple(replace(s, encode_s=None, decode_s=None) for s in manifest.stimuli)
        manifests.append(replace(manifest, stimuli=stimuli))
    assert manifests[0] == manifests[1]
    assert all(math.isfinite(s.bpp) for s in manifests[0].stimuli)


MISTAKES = {
    'match = "avif quality 30"': "match names no codec of the study: 'avif'; it has jpeg, webp, or "
    "write each or set-mean",
    'match = "jpeg"': "match must say the quality of 'jpeg', as 'jpeg quality 50'",
    'match = "jpeg qp 30"': "match must say the quality of 'jpeg', as 'jpeg quality 50'",
    'match = "jpeg quality 300"': "match has quality 300; it lies between 1 and 100",
    'match = "jpeg quality 60.3"': "match has quality 60.3, between two steps; the nearest is 60.3125",
    'match = "jpeg quality"': "match must be each, set-mean, or a codec with a value",
    'rate = "bits"': "rate must be 'file' or 'payload', got 'bits'",
    'metrics = ["pnsr"]': "metrics[0] must be one of psnr,",
    'metrics = ["psnr", "psnr"]': "metrics[1] repeats 'psnr'",
    "fast = 1": "fast must be true or false, got 1",
    "timeout = 0": "timeout must be a number above 0",
    "memory = 0": "memory must be a whole number from",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_key_that_says_nothing_sound_is_one_line(studies: ModuleType, tmp_path: Path, line: str) -> None:
    head = HEAD.replace("metrics = []", "") if line.startswith("metrics") else HEAD
    told = problems(study(studies, tmp_path, head, line, SOURCES, JPEG, WEBP))
    assert MISTAKES[line] in told
    assert "\n" not in told


TABLES = {
    "[sources.targets]\nnobody = [0.5, 0.9]": "sources.targets.nobody names no source of this table",
    "[sources.targets]\nchelsea = [0.5]": "sources.targets.chelsea has 1 rate",
    "[sources.targets]\nchelsea = [0.9, 0.5]": "sources.targets.chelsea must rise",
    "[sources.targets]\nchelsea = [0.5, -1]": "sources.targets.chelsea[1] must be a positive number",
}


@pytest.mark.parametrize("table", TABLES)
def test_rates_of_sources_are_checked(studies: ModuleType, tmp_path: Path, table: str) -> None:
    assert TABLES[table] in problems(study(studies, tmp_path, HEAD, SOURCES, table, JPEG))


def test_rates_of_sources_go_with_no_other_rule(studies: ModuleType, tmp_path: Path) -> None:
    own = "[sources.targets]\nchelsea = [0.5, 0.9]"
    folder = study(studies, tmp_path / "a", HEAD, 'match = "set-mean"', SOURCES, own, JPEG)
    assert "match is set-mean, but source 'chelsea' has targets of its own" in problems(folder)
    folder = study(studies, tmp_path / "b", HEAD, SOURCES, own, JPEG + "targets = [0.7]")
    assert "codecs[0].targets has 0.7, for which source 'chelsea' has no rate" in problems(folder)


@pytest.mark.parametrize(
    ("study_has", "codec_has"), [("[1.2, 1.20000001]", ""), ("[1.2]", "targets = [1.21, 3]")]
)
def test_rates_that_one_file_would_answer_are_one(
    studies: ModuleType, tmp_path: Path, study_has: str, codec_has: str
) -> None:
    folder = study(studies, tmp_path, HEAD.replace("[0.6, 1.2]", study_has), SOURCES, JPEG, WEBP + codec_has)
    assert "are less than 1 % apart; write the same number or take one" in problems(folder)
