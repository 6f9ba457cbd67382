"""Preparation of Avazu's click logs."""
