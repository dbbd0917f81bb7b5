"""What is: attempts, pods, checkpoints, progress and dependencies of one FineTuneJob, read from a snapshot."""
