"""Preparation of click logs by Apache Beam, for a log that outgrows a host: the extra `beam`."""
