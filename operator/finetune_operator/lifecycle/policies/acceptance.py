"""Acceptance of a spec: supported by this version, consistent, and offered by the platform team."""

from collections.abc import Iterator

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.failures import JobFailure, NotBuiltYet, Problem, ProfileUnknown, SpecInvalid
from finetune_api.naming import near_names
from finetune_api.quantity import amount
from finetune_api.run_file import Mode
from finetune_operator.labels import QUEUE_LABEL
from finetune_operator.lifecycle.context import ReconcileContext
from finetune_operator.lifecycle.observe.dependencies import cycle
from finetune_operator.manifests.job_inputs import ANNOTATION_BYTES, JobInputs, run_file_json
from finetune_operator.settings import Profile


def rejection(context: ReconcileContext) -> JobFailure | None:
    """Failure of a spec that can't run; None where it can."""
    not_built = unsupported(context.spec)
    if not_built:
        return NotBuiltYet(*not_built)
    name = context.spec.compute.profile
    profile = context.snapshot.settings.profiles.get(name)
    if profile is None:
        return _unknown_profile(name, sorted(context.snapshot.settings.profiles))
    problems = [*semantic_problems(context.spec), *_for_a_cluster(context, profile), *filter(None, [cycle(context)])]
    return SpecInvalid(*problems) if problems else None


def job_inputs_for(context: ReconcileContext, remaining: int | None) -> JobInputs:
    """`JobInputs` of the next Job of an accepted spec.

    Raises `KeyError` for a profile that is not there.
    """
    settings, mode = context.snapshot.settings, context.mode
    profile = settings.profiles[context.spec.compute.profile]
    memory = profile.gpu_memory if mode is Mode.VALIDATE and context.spec.compute.gpus_per_node else None
    if mode is Mode.VALIDATE:  # a place of its own, but the same cache: what it fetches, training need not
        check = settings.check_profile
        profile = check if check.cache is not None else check.model_copy(update={"cache": profile.cache})
    return JobInputs(
        context.spec, context.identity, mode, profile, settings, remaining, tuple(context.stored.parents),
        queue=context.queue, queue_priority=context.finetune_job.queue_priority, suspend=context.is_suspending,
        gpu_memory=None if memory is None else int(amount(memory)),
    )  # fmt: skip


def _unknown_profile(name: str, known: list[str]) -> ProfileUnknown:
    near = near_names(name, known, count=1)
    hint = f"did you mean {near[0]}? " if near else ""
    problem = f"there is no compute profile {name!r}"
    return ProfileUnknown(problem, where="spec.compute.profile", hint=f"{hint}profiles: {', '.join(known[:20])}")


def _for_a_cluster(context: ReconcileContext, profile: Profile) -> Iterator[Problem]:
    compute, output = context.spec.compute, context.spec.output.uri
    if compute.gpus_per_node > profile.max_gpus_per_node:
        most = profile.max_gpus_per_node
        allowed = f"the profile {compute.profile} has at most {most}" if most else f"{compute.profile} has no GPUs"
        roomy = [
            n for n, p in context.snapshot.settings.profiles.items() if p.max_gpus_per_node >= compute.gpus_per_node
        ]
        hint = f"choose one of {', '.join(sorted(roomy)[:20])}" if roomy else "no profile has so many; ask for fewer"
        yield Problem(f"{compute.gpus_per_node} GPUs per node: {allowed}", "spec.compute.gpusPerNode", hint)
    wanted = compute.priority_class_name
    if wanted and wanted not in {profile.priority_class_name, *profile.priority_class_names}:
        may = [*filter(None, [profile.priority_class_name]), *profile.priority_class_names]
        hint = f"choose one of {', '.join(may[:20])}" if may else "leave it out"
        hint = f"{hint}; the platform team lists others in priorityClassNames of the profile"
        where = "spec.compute.priorityClassName"
        yield Problem(f"the profile {compute.profile} does not allow the priority class {wanted}", where, hint)
    if context.finetune_job.queue and compute.queue and compute.queue != context.finetune_job.queue:
        label = context.finetune_job.queue
        message = f"the label {QUEUE_LABEL} of this job names {label}, compute.queue {compute.queue}"
        yield Problem(message, "spec.compute.queue", "name the LocalQueue in one of them, or the same in both")
    if output.startswith("file://"):
        hint = "use s3://, gs://, az:// or pvc://; file:// is for local runs"
        yield Problem(f"{output} would be gone with the pod", "spec.output.uri", hint)
    size = len(run_file_json(job_inputs_for(context, None)).encode())
    if size > ANNOTATION_BYTES:
        hint = "shorten data.labels.names or the list of data sources"
        yield Problem(f"the spec takes {size // 1024} KiB, at most {ANNOTATION_BYTES // 1024} fit", "spec", hint)
