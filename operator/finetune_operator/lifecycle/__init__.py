"""What happens to a FineTuneJob and why: one module for each policy, all of them pure."""
