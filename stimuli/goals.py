"""What each target of a study means for each source, in bits per pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstructions
from stimuli.errors import CodecSettingsError, StudyFileError
from stimuli.study import Source, Study

#: For each source by name, the bits per pixel of each target of study.toml.
Goals = Mapping[str, Mapping[float, float]]


def plain_goals(study: Study, anchors: Mapping[str, float] | None = None) -> Goals:
    """The rates of every source: its own where it has some, else the targets of the study.

    `anchors` gives for each source the rate of the codec that `match` names: targets are shares of it.
    """
    return {
        source.name: {target: _goal(source, target, anchors) for target in study.rate_points}
        for source in study.sources
    }


def _goal(source: Source, target: float, anchors: Mapping[str, float] | None) -> float:
    if anchors is not None:
        return target * anchors[source.name]
    return target if source.targets is None else source.targets.get(target, target)


def given_anchors(study: Study) -> dict[str, float] | None:
    """The rate of each source under the reconstructions that `match` names, None when it names others.

    Raises StudyFileError when a source has no rate there, or several.
    """
    spec = next((codec for codec in study.codecs if codec.name == study.match.codec), None)
    if spec is None or spec.family != RECONSTRUCTIONS:
        return None
    given = Reconstructions(spec.settings, study.folder, spec.name)
    anchors: dict[str, float] = {}
    problems: list[str] = []
    for source in study.sources:
        try:
            anchors[source.name] = given.only_rate(source.name)
        except CodecSettingsError as error:
            problems.append(f"{study.file}: match: {error.reason}")
    if problems:
        raise StudyFileError(tuple(problems))
    return anchors


def targets_of(goals: Goals, source: str, ladder: Sequence[float]) -> dict[float, float]:
    """The bits per pixel of one source at each target of a ladder."""
    return {target: goals[source][target] for target in ladder}
