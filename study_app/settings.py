"""Settings from the environment: the only reader of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from study_app.errors import SettingError

LEASE_MINUTES = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the application needs to know besides the study itself."""

    folder: Path
    """The study folder, absolute."""
    database_url: str | None = None
    """`MATCHRATE_DATABASE_URL`; without it the embedded Postgres in the study folder is used."""
    public_url: str | None = None
    """`MATCHRATE_PUBLIC_URL`: the address that raters use when a proxy stands before the server."""
    lease_s: float = LEASE_MINUTES * 60
    """`MATCHRATE_LEASE_MINUTES` in seconds: an open trial older than this counts no longer as open."""

    @property
    def pictures(self) -> Path:
        """Where the pictures that raters see are."""
        return self.folder / "stimuli" / "pictures"

    @property
    def manifest(self) -> Path:
        """The manifest that `matchrate encode` writes."""
        return self.folder / "stimuli" / "manifest.json"

    @property
    def is_https(self) -> bool:
        """Whether cookies must be sent over https only."""
        return self.public_url is not None and self.public_url.startswith("https://")

    @classmethod
    def from_environment(cls, folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings of one study folder.

        Raises
        ------
        SettingError
            A variable cannot be used; the message names it.
        """
        found = os.environ if environment is None else environment
        public_url = found.get("MATCHRATE_PUBLIC_URL", "").strip().rstrip("/") or None
        if public_url is not None:
            parts = urlsplit(public_url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise SettingError(
                    "MATCHRATE_PUBLIC_URL", public_url, "write it as https://name or http://name"
                )
        lease = found.get("MATCHRATE_LEASE_MINUTES", "").strip()
        try:
            minutes = float(lease) if lease else LEASE_MINUTES
        except ValueError:
            minutes = 0.0
        if not 0 < minutes <= 24 * 60:
            raise SettingError(
                "MATCHRATE_LEASE_MINUTES", lease, f"{lease!r} is no number of minutes up to 1440"
            )
        return cls(
            folder=folder.expanduser().resolve(),
            database_url=found.get("MATCHRATE_DATABASE_URL", "").strip() or None,
            public_url=public_url,
            lease_s=minutes * 60,
        )
