"""Checkpoints: what training needs to go on, kept in the output so that nothing is lost with a process or a pod."""
