"""Faster equivalents of library code: LoRA, dropout, logits at labelled positions only, embedding rows."""
