"""Memory of a pass: what is available, bytes by part, tokens that fit, and what happens where they do not."""
