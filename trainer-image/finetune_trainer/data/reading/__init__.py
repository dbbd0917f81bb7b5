"""From addresses to rows: files, folders, hub data sets and standard input, whatever their format."""
