"""Preparation of Criteo's click logs."""
