"""The errors of this floor: each message names the file or key and the next step."""

from __future__ import annotations

from pathlib import Path


class StimuliError(Exception):
    """Root of every error that `stimuli` raises on purpose; its text is one line for a person."""

    def __reduce__(self) -> tuple[object, ...]:
        # These errors cross from worker processes, and the default pickle calls __init__ with the message.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[StimuliError], args: tuple[object, ...], state: dict[str, object]) -> StimuliError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class StudyFileError(StimuliError):
    """A study.toml, or a picture it names, that cannot be used.

    `problems` has one line for each thing to repair; the text of the error is all of them, a line each.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        # A name from the file may hold a line break, and a problem is one line.
        self.problems = tuple(" ".join(problem.splitlines()) for problem in problems)
        super().__init__("\n".join(self.problems))


class PictureError(StimuliError):
    """A picture file that cannot serve as a source or reconstruction."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class CodecSettingsError(StimuliError):
    """A setting that a codec family does not take, or not with this value."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key} {reason}")


class CodecNotInstalledError(StimuliError):
    """A codec whose library or program is absent from this machine."""

    def __init__(self, family: str, remedy: str) -> None:
        self.family = family
        self.remedy = remedy
        super().__init__(f"codec family {family!r} is not installed; {remedy}")


class CodecBrokenError(CodecNotInstalledError):
    """An installed package whose entry point gives no codec.

    A study can be read and served without it, as without an absent library.
    """

    def __init__(self, family: str, reason: str) -> None:
        self.family = family
        self.reason = reason
        self.remedy = "repair the package that provides it, or uninstall it"
        StimuliError.__init__(self, f"codec family {family!r}: its entry point {reason}; {self.remedy}")


class CodecProgramError(CodecNotInstalledError):
    """A program that a setting names and that cannot be run on this machine.

    A study can be read and served without it, as without an absent library.
    """

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        self.family = "command"
        self.remedy = reason
        StimuliError.__init__(self, f"{key} {reason}")


class CodecError(StimuliError):
    """A codec that failed on a picture or a bitstream, or returned something that is neither."""

    def __init__(self, codec: str, reason: str, *, source: str | None = None) -> None:
        self.codec = codec
        self.reason = reason
        self.source = source
        where = f"codec {codec!r}" + (f" on source {source!r}" if source is not None else "")
        super().__init__(f"{where}: {reason}")


class MetricError(StimuliError):
    """A metric that is unknown, absent from this machine, or that failed on a picture."""

    def __init__(self, metric: str, reason: str) -> None:
        self.metric = metric
        self.reason = reason
        super().__init__(f"metric {metric!r} {reason}")


class ManifestError(StimuliError):
    """A manifest that is absent, malformed or contradicts itself."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class TimingError(StimuliError):
    """A table of times that cannot be read, or a study whose codecs cannot be timed."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class EncodingError(StimuliError):
    """An encoding run that could not go on; what was finished is kept and the next run resumes."""


class TemplateError(StimuliError):
    """A folder in which a new study cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")
