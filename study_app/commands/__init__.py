"""The commands of `matchrate`, a small module a stage of a study; study_app/cli.py lists them."""
