"""What a model learns to do: one module a task."""
