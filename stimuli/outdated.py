"""What study.toml says now and the manifest does not: a study that was changed after it was encoded."""

from __future__ import annotations

from stimuli.goals import plain_goals
from stimuli.manifest import Manifest
from stimuli.study import Study

_PLAIN = (
    "name",
    "title",
    "question",
    "instructions",
    "session_length",
    "seed",
    "tolerance",
    "allow_mismatch",
    "pairing",
    "rate",
    "metrics",
)


def outdated_keys(study: Study, manifest: Manifest) -> tuple[str, ...]:
    """The keys of study.toml whose values differ from what was encoded, in the file's words.

    Pictures that were exchanged under the same name, and settings of a codec, are not looked at.
    """
    keys = [key for key in _PLAIN if getattr(study, key) != getattr(manifest.study, key)]
    if str(study.match) != manifest.study.match:
        keys.append("match")
    if study.conditions != manifest.conditions:
        keys.append("targets")
    if [(codec.name, codec.family) for codec in study.codecs] != [
        (codec.name, codec.family) for codec in manifest.codecs
    ]:
        keys.append("codecs")
    if [(source.name, source.crop) for source in study.sources] != [
        (source.name, source.crop) for source in manifest.sources
    ]:
        keys.append("sources")
    elif "targets" not in keys and study.match.codec is None:
        # The shares of a codec's rate are not known before it has encoded.
        goals = plain_goals(study)
        rates = [
            tuple(goals[source.name][target] for target in study.rate_points) for source in study.sources
        ]
        if rates != [source.targets for source in manifest.sources]:
            keys.append("sources.targets")
    return tuple(keys)
