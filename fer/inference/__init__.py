"""Emotions in one's own pictures and videos."""
