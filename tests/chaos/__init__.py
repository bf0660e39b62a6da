"""Whole clusters of real processes, things in them killed while people speak, and a judge."""
