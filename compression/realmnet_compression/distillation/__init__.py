"""A student learns from a teacher's answers: as they are given, or as they were stored."""
