"""The renderer: Mitsuba 3 in its scalar variant, which needs neither LLVM nor a GPU."""

from __future__ import annotations

from types import ModuleType

VARIANT = "scalar_rgb"


def mitsuba() -> ModuleType:
    """The `mitsuba` module, ready for use (importing it takes a second, so callers do it late)."""
    import mitsuba as mi

    if mi.variant() != VARIANT:
        mi.set_variant(VARIANT)
        mi.set_log_level(mi.LogLevel.Error)
    return mi


def limit_threads(count: int) -> None:
    """Let this process render with `count` threads: with a process per core, one each."""
    import drjit as dr

    mitsuba()
    dr.set_thread_count(count)
