"""Output of a run: staged on local disk, then published, manifest last."""
