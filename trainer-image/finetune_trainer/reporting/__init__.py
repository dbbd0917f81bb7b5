"""Report page and model card, rendered from a `Report` without I/O."""
