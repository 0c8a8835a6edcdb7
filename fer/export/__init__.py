"""Models for deployment, checked against the original before they are kept."""
