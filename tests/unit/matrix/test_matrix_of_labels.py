"""Each task that gives labels, scores or hidden words by each method that is built for it."""

from matrix_checks import (
    WRITING,
    test_it_learns_goes_on_where_it_was_and_predicts,
    test_the_top_layer_alone_is_trained,
)

from finetune_api.tasks import BUILT

TASKS = sorted(BUILT.keys() - WRITING)

__all__ = ["TASKS", "test_it_learns_goes_on_where_it_was_and_predicts", "test_the_top_layer_alone_is_trained"]
