"""What follows: the phase, the outcome of the job, and what is done to its child Jobs and pods."""
