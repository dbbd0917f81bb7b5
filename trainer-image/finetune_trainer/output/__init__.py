"""What a run leaves behind: written to local disk first, then published, manifest last."""
