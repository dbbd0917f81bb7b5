"""From rows to tokens: what a model reads and what it is to learn of it, cached, batched and padded."""
