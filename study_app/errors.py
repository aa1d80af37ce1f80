"""The errors of the application: each message names the thing and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class StudyAppError(Exception):
    """Root of every error that `study_app` raises on purpose; its text is one line for a person."""


class UsageError(StudyAppError):
    """A file, folder or option that the command cannot work with."""


class SettingError(StudyAppError):
    """An environment variable has a value that cannot be used."""

    def __init__(self, variable: str, value: str, reason: str) -> None:
        self.variable, self.value, self.reason = variable, value, reason
        super().__init__(f"environment variable {variable}: {reason}")


class DatabaseError(StudyAppError):
    """The database cannot be used as it is."""


class EmbeddedPostgresError(DatabaseError):
    """The embedded Postgres did not start or stop; `log` is the file that says why."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        self.reason, self.log = reason, log
        where = f"; its log is {log}" if log is not None else ""
        super().__init__(f"the embedded Postgres cannot run: {reason}{where}")


class SchemaError(DatabaseError):
    """The tables are not those of this version; `found` and `expected` are Alembic revisions."""

    def __init__(self, found: str | None, expected: str, *, known: bool = True) -> None:
        self.found, self.expected, self.known = found, expected, known
        if found is None:
            message = (
                "the database is empty: run `matchrate load` to put the study into it, "
                "or `matchrate db upgrade` to make the tables alone"
            )
        elif known:
            message = (
                f"the database schema is {found}, this version needs {expected}: run `matchrate db upgrade`"
            )
        else:
            message = (
                f"the database schema {found} is unknown to this version, which knows {expected}: "
                "a newer Matchrate wrote it, so install that version"
            )
        super().__init__(message)


class StudyNotLoaded(StudyAppError):  # noqa: N818 - reads as what happened
    """The database has no study of that name."""

    def __init__(self, study: str) -> None:
        self.study = study
        super().__init__(f"the database has no study named {study!r}: run `matchrate load` first")


class ManifestConflict(StudyAppError):  # noqa: N818
    """The manifest differs from a study that already has judgments."""

    def __init__(self, study: str, judgments: int, differences: Sequence[str]) -> None:
        self.study, self.judgments, self.differences = study, judgments, tuple(differences)
        shown = "; ".join(self.differences[:5])
        more = f"; and {len(self.differences) - 5} more" if len(self.differences) > 5 else ""
        super().__init__(
            f"study {study!r} has {judgments} judgments and manifest.json disagrees with what was judged: "
            f"{shown}{more}. Give the changed study another name in study.toml, or undo the change and run "
            "`matchrate encode` again"
        )


class DisconnectedDesign(StudyAppError):  # noqa: N818
    """The pairs do not connect all conditions, so no common scale can hold them."""

    def __init__(self, study: str, components: Sequence[Sequence[str]]) -> None:
        self.study, self.components = study, tuple(tuple(component) for component in components)
        groups = " | ".join(", ".join(component) for component in self.components)
        super().__init__(
            f"study {study!r}: the pairs leave {len(self.components)} groups of conditions that are never "
            f"compared: {groups}. Turn on pairing.same_rate and pairing.adjacent_across in study.toml, or "
            "reach the targets that were left out"
        )


class EmptyDesign(StudyAppError):  # noqa: N818
    """Nothing can be asked."""

    def __init__(self, study: str) -> None:
        self.study = study
        super().__init__(
            f"study {study!r} has no pair of stimuli to compare: see the left-out stimuli in manifest.json, "
            "then widen the tolerance or the pairing in study.toml and run `matchrate encode` again"
        )


class PictureMissing(StudyAppError):  # noqa: N818
    """A picture of the manifest is not in the study folder."""

    def __init__(self, path: Path, of: str) -> None:
        self.path, self.of = path, of
        super().__init__(f"{path}: the picture of {of} is missing; run `matchrate encode` again")


class RequestError(StudyAppError):
    """A rater's request that cannot be done; `status` is its HTTP status."""

    status = 400


class JudgmentInvalid(RequestError):  # noqa: N818
    """A field of a judgment has a wrong type or an absurd value."""

    status = 400

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class NotEnrolled(RequestError):  # noqa: N818
    """The request carries no cookie of a session."""

    status = 401

    def __init__(self) -> None:
        super().__init__("no session: start at the first page of the study")


class EnrolmentRefused(RequestError):  # noqa: N818
    """Consent or the right to enrol as asked is missing."""

    status = 403


class TrialUnknown(RequestError):  # noqa: N818
    """The session has no such trial; it may be another session's."""

    status = 404

    def __init__(self, trial: str) -> None:
        self.trial = trial
        super().__init__("this session has no such trial: reload the page")


class TrialAnswered(RequestError):  # noqa: N818
    """The trial has an answer under another client_uuid, or the client_uuid another answer."""

    status = 409

    def __init__(self, message: str) -> None:
        super().__init__(message)
