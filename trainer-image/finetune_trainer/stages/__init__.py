"""The stages of a run, in its order: preparing, training (or merging), measuring, exporting, publishing."""
