"""Top floor: the web application that runs a study and keeps its judgments."""

__version__ = "0.1.0"
