"""Whether job and data fit together, once the data is known: what `Auto` left open in the spec. Pure."""

from finetune_api.checks import semantic_problems
from finetune_api.failures import SpecInvalid
from finetune_api.job import Spec
from finetune_api.report import DataReport
from finetune_api.tasks import ProblemType


def check_agreement(spec: Spec, data: DataReport) -> None:
    """Check the spec again with the problem type and the labels that the data turned out to have.

    Raises `SpecInvalid`, for example for a gate on `accuracy` where the labels are numbers to predict.
    """
    found = {"problem_type": ProblemType(data.problem_type), "names": data.label_names}
    labels = spec.data.labels.model_copy(update=found)
    known = spec.model_copy(update={"data": spec.data.model_copy(update={"labels": labels})})
    problems = semantic_problems(known)
    if problems:
        raise SpecInvalid(*problems)
