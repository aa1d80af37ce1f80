"""A scale as study.toml and recipes write it: `{ range = [0, 63], step = 1, direction = "down" }`."""

from __future__ import annotations

from collections.abc import Mapping

from stimuli.codecs.base import Scale, Setting
from stimuli.errors import CodecSettingsError
from stimuli.records import is_number

_KEYS = ("range", "step", "direction", "scale", "start", "slope", "reach", "turns")
_EXAMPLE = "{ range = [0, 100], step = 1 }"


def read_scale(name: str, value: object) -> Scale:
    """The scale that a table describes; raises CodecSettingsError."""
    if not isinstance(value, Mapping) or "range" not in value:
        raise CodecSettingsError(name, f"must be a table with a range, as {_EXAMPLE}")
    for key in value:
        if key not in _KEYS:
            raise CodecSettingsError(f"{name}.{key}", f"is not known; a scale takes {', '.join(_KEYS)}")
    low, high = _two_numbers(f"{name}.range", value["range"])
    for key in ("step", "start", "slope"):
        if key in value and not is_number(value[key]):
            raise CodecSettingsError(f"{name}.{key}", f"must be a number, got {value[key]!r}")
    start, slope = value.get("start"), value.get("slope")
    if start is not None and not low <= start <= high:
        raise CodecSettingsError(f"{name}.start", f"must lie in the range, got {start!r}")
    if slope is not None and slope <= 0:
        raise CodecSettingsError(f"{name}.slope", f"must be positive, got {slope!r}")
    reach = _two_numbers(f"{name}.reach", value["reach"]) if "reach" in value else None
    if reach is not None and min(reach) < 0:
        raise CodecSettingsError(f"{name}.reach", f"must not be negative, got {value['reach']!r}")
    try:
        return Scale(
            name,
            low,
            high,
            float(value.get("step", 1)),
            increasing=_choice(name, value, "direction", "up", "down") == "up",
            log=_choice(name, value, "scale", "linear", "log") == "log",
            start=None if start is None else float(start),
            slope=None if slope is None else float(slope),
            reach=reach,
            turns=Setting(False).read(f"{name}.turns", value.get("turns", False)) is True,
        )
    except ValueError as error:
        raise CodecSettingsError(name, f"is not a scale: {error}") from None


def _choice(name: str, value: Mapping[str, object], key: str, default: str, other: str) -> str:
    return str(Setting(default, (default, other)).read(f"{name}.{key}", value.get(key, default)))


def _two_numbers(key: str, value: object) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(is_number(end) for end in value):
        raise CodecSettingsError(key, f"must be two numbers, got {value!r}")
    return float(value[0]), float(value[1])
