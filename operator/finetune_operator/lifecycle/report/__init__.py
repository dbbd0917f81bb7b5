"""What users see: conditions, events, and which status is written when."""
