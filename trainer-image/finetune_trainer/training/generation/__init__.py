"""Text generation: decoding settings, batches of prompts, sampled rollouts."""
