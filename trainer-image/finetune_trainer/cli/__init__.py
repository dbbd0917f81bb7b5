"""The command line: everything a person sees. Nothing here imports torch before it is needed."""
