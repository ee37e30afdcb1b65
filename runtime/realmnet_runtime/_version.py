"""The one version of the runtime and the toolkit."""

__version__ = "0.1.0"
