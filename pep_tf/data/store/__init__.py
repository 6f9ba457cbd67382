"""Stores: rows prepared once into blocks on disk, checked when they are read, streamed in any order."""
