"""Cross-field checks beyond the schema. Pure: without file, network or model; for trainer and operator."""
