"""From pictures to findings."""
