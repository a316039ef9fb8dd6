"""The environment that whole attempts of people need, prepared once."""

from ..harness.conftest import _prepared

__all__ = ["_prepared"]
