"""Tokenisation of rows: input ids and labels, cached, batched and padded."""
