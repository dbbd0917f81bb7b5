"""White space in what a language model learns: kept, unless the job says otherwise."""

from finetune_api.data import Clean


def keeping_white_space(clean: Clean) -> Clean:
    """The cleaning with its open choice made: line breaks and indentation are part of the text."""
    return clean.model_copy(update={"collapse_whitespace": bool(clean.collapse_whitespace)})
