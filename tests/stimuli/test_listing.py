"""The list of codec families: all of them, whatever is missing or broken on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stimuli.codecs import registry
from stimuli.codecs.listing import KINDS, Family, list_families
from stimuli.codecs.recipe import shipped_recipes

#: The families that the wheels of the extra `test` hold.
WHEELS = (
    *("jpeg", "mozjpeg", "webp", "jpeg2000", "avif", "heic", "jpegxl"),
    *("av1", "svtav1", "vvc"),
)


@pytest.fixture(scope="module")
def listed() -> dict[str, Family]:
    """The list of this machine, by name."""
    return {family.name: family for family in list_families()}


def test_every_family_that_a_study_can_name_is_listed(listed: dict[str, Family]) -> None:
    assert tuple(listed) == registry.family_names()
    assert {family.kind for family in listed.values()} <= set(KINDS)


@pytest.mark.parametrize("name", WHEELS)
def test_the_codecs_from_wheels_are_ready(listed: dict[str, Family], name: str) -> None:
    family = listed[name]
    assert (family.status, family.kind, family.note) == ("ready", "built in", None)
    assert family.version
    assert family.location
    assert Path(family.location).exists()
    assert family.scales
    assert family.settings == registry.make_codec(name, {}, Path()).settings


def test_what_only_study_toml_can_describe_says_what_to_write(listed: dict[str, Family]) -> None:
    for name, words in {"command": "encode, decode and quality", "reconstructions": "folder"}.items():
        assert listed[name].status == "needs settings"
        assert words in str(listed[name].note)


def test_a_record_is_json_and_tells_directions(listed: dict[str, Family]) -> None:
    records = json.loads(json.dumps([family.record() for family in listed.values()]))
    (jpeg2000,) = (record for record in records if record["name"] == "jpeg2000")
    assert [scale["direction"] for scale in jpeg2000["scales"]] == ["down", "up"]
    assert "increasing" not in jpeg2000["scales"][0]


MODULES = {"heic": "pillow_heif", "jpegxl": "pillow_jxl", "mozjpeg": "jpeglib"}


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_library_is_listed_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """None in sys.modules is how Python marks a module that cannot be imported."""
    before = len(registry.family_names())
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    families = {family.name: family for family in list_families()}
    assert len(families) == before
    missing = families[name]
    assert (missing.status, missing.version, missing.location) == ("missing", None, None)
    assert "pip install" in str(missing.note)
    assert missing.scales[0].name == "quality"
    assert families["jpeg"].status == "ready"


def test_a_recipe_without_its_programs_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    recipes = [family for family in list_families() if family.kind == "recipe"]
    assert recipes
    for family in recipes:
        assert family.status in ("missing", "needs settings")
        assert str(shipped_recipes()[family.name].get) in str(family.note)
        assert family.scales
        assert family.title
        assert family.not_run == shipped_recipes()[family.name].texts.get("not_run")
    assert any("names the program 'aomenc', which is not on PATH" in str(family.note) for family in recipes)


CASES = {
    "raise ImportError('no torch')": "its entry point thincodec:ThinCodec fails: ImportError('no torch')",
    "raise SystemExit('no licence')": "its entry point thincodec:ThinCodec fails: SystemExit('no licence')",
    "ThinCodec = int": "lacks",
}


@pytest.mark.usefixtures("thin_codec")
@pytest.mark.parametrize("code", CASES)
def test_a_broken_entry_point_breaks_its_own_line_only(tmp_path: Path, code: str) -> None:
    (tmp_path / "site" / "thincodec.py").write_text(
        code if code != "ThinCodec = int" else "def ThinCodec(settings): return 1\n"
    )
    sys.modules.pop("thincodec", None)
    families = {family.name: family for family in list_families()}
    thin = families["thin"]
    assert (thin.kind, thin.status) == ("entry point", "broken")
    assert CASES[code] in str(thin.note)
    assert "not installed" not in str(thin.note)
    assert families["jpeg"].status == "ready"


@pytest.mark.usefixtures("thin_codec")
def test_an_entry_point_is_listed_as_the_built_in_families_are(tmp_path: Path) -> None:
    thin = {family.name: family for family in list_families()}["thin"]
    assert (thin.kind, thin.status, thin.version) == ("entry point", "ready", "1.0")
    assert thin.scales


def test_an_error_that_nobody_expects_breaks_its_own_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is there and cannot be loaded raises what it likes."""
    make = registry.make_codec

    def failing(family: str, settings: dict[str, object], folder: Path) -> object:
        if family == "webp":
            raise OSError("libwebp.so.7: cannot open\nshared object file")
        return make(family, settings, folder)

    monkeypatch.setattr(registry, "make_codec", failing)
    families = {family.name: family for family in list_families()}
    assert families["webp"].status == "broken"
    assert "libwebp.so.7" in str(families["webp"].note)
    assert "\n" not in str(families["webp"].note)
    assert families["jpeg"].status == "ready"
