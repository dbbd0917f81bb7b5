"""Reference pages in `docs/reference`, written from the API: `python -m finetune_api.reference [--check] [FOLDER]`."""
