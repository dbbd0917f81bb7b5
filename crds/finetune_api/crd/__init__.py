"""The CustomResourceDefinition of `FineTuneJob`, made from the models: `python -m finetune_api.crd`.

`dialect` makes pydantic speak the API server's dialect of JSON schema, `structural` turns the result into one tree,
`definition` puts it into the envelope, `manifest_text` writes it for people to read.
"""
