"""Keras models of the kinds that people have, each made small in the same few lines."""
