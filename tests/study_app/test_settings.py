"""Settings come from the environment, and a bad value is refused by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import study_app
from study_app.errors import SettingError
from study_app.settings import Settings


def test_an_empty_environment_means_the_embedded_postgres(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {"MATCHRATE_DATABASE_URL": " "})
    assert settings == Settings(folder=tmp_path.resolve())
    assert settings.lease_s == 20 * 60
    assert not settings.is_https


def test_values_are_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        tmp_path,
        {
            "MATCHRATE_DATABASE_URL": "postgresql://u@h/d",
            "MATCHRATE_PUBLIC_URL": "https://study.example/",
            "MATCHRATE_LEASE_MINUTES": "0.5",
        },
    )
    assert settings.database_url == "postgresql://u@h/d"
    assert (settings.public_url, settings.is_https) == ("https://study.example", True)
    assert settings.lease_s == 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MATCHRATE_PUBLIC_URL", "study.example"),
        ("MATCHRATE_PUBLIC_URL", "ftp://study.example"),
        *[("MATCHRATE_LEASE_MINUTES", value) for value in ("soon", "0", "-1", "nan", "inf", "100000")],
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_with_the_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        Settings.from_environment(tmp_path, {name: value})
    assert "\n" not in str(caught.value)


def test_no_other_module_reads_the_environment() -> None:
    readers = set()
    for path in Path(study_app.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                readers.add(path.name)
    assert readers == {"settings.py"}
