"""`python -m study_app` is the command `matchrate`."""

from study_app.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
