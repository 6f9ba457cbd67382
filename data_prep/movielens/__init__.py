"""Preparation of MovieLens."""
