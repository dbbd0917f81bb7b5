"""Shows what a run found out to people: the report page and the model card. Takes a `Report`, does no I/O."""
