"""Manifests of child objects: plain dicts, without access to the cluster."""
