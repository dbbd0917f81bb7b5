"""What the spec and the settings allow: deadlines, limits and clean-up, each a module."""
