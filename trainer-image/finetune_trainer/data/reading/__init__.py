"""Readers of data sources: files, folders, hub data sets and standard input, in all formats."""
