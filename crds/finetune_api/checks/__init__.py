"""Checks of a spec that its schema can't make. Pure: no file, network or model; trainer and operator both call them."""
