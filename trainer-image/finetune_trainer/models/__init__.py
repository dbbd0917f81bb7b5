"""Base models: where their files come from and how they are loaded, safely."""
