"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Speed is measured by benchmarks/suite, never by a test.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
