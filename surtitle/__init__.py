"""The program: command line, settings, and the only place that wires the rooms together."""

from importlib.metadata import version

__version__ = version("surtitle")
