"""Run file parsing: from the operator's order to a checked job."""

import json
from pathlib import Path

from pydantic import ValidationError

from finetune_api import pod
from finetune_api.addresses import addresses
from finetune_api.base import SecretReference
from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.failures import ManifestUnreadable, NotBuiltYet, Problem, SpecInvalid
from finetune_api.fields import format_path
from finetune_api.job import FineTuneJob, Metadata
from finetune_api.run_file import RunFile
from finetune_api.spec import Spec
from finetune_api.stored import with_current_names
from finetune_trainer import __version__

LARGEST = 1 << 20
_OPERATOR_HINT = "the operator writes this file: check that operator and trainer image are of the same version"
_UNKNOWN_HINT = "leave it out, or take a trainer image of the operator's version (image of the profile, trainer.image)"


def read_order(path: Path) -> RunFile:
    """Read and check the run file.

    Raises:
        ManifestUnreadable: there is no such file, or it is no run file.
        SpecInvalid: its fields are wrong or at odds; lists all of them.
        NotBuiltYet: it asks for what this version can't do.
    """
    try:
        text = with_current_names(RunFile, _text(path))
        order = RunFile.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecInvalid(*_problems(error, _writer(path))) from error
    wrong, unbuilt = semantic_problems(order.spec), unsupported(order.spec)
    if wrong:
        raise SpecInvalid(*wrong, *unbuilt)
    if unbuilt:
        raise NotBuiltYet(*unbuilt)
    return order


def job_of(order: RunFile) -> FineTuneJob:
    """The job as its user applied it, as far as a run needs it."""
    identity = order.job
    metadata = Metadata(name=identity.name, namespace=identity.namespace, uid=identity.uid)
    return FineTuneJob(metadata=metadata, spec=order.spec)


def named_secrets(spec: Spec) -> list[SecretReference]:
    """The Secrets that a spec references, without repetition."""
    named = (address.secret_ref for address in addresses(spec))
    return list({secret.name: secret for secret in named if secret is not None}.values())


def uid_in(path: Path) -> str:
    """The job's uid in an otherwise invalid run file; empty if not found."""
    try:
        uid = json.loads(_text(path))["job"]["uid"]
    except (ManifestUnreadable, ValueError, LookupError, TypeError):
        return ""
    return uid[:128] if isinstance(uid, str) else ""


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ManifestUnreadable(f"the run file {path} can't be read: {reason}", hint=_OPERATOR_HINT) from error
    if not text.strip() or len(text) > LARGEST:
        what = "is empty" if not text.strip() else f"has more than {LARGEST >> 20} MiB"
        raise ManifestUnreadable(f"the run file {path} {what}", hint=_OPERATOR_HINT)
    return text


def _writer(path: Path) -> str:
    """Version of the operator that wrote the run file, as text; empty if unknown."""
    try:
        version = path.with_name(pod.WRITER.name).read_text(encoding="utf-8").strip()[:32]
    except (OSError, UnicodeDecodeError):
        return ""
    return f" {version}" if version else ""


def _problems(error: ValidationError, writer: str) -> list[Problem]:
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "extra_forbidden":
            message = f"trainer {__version__} does not know this field, which operator{writer} has written"
            problems.append(Problem(message, format_path(detail["loc"]), _UNKNOWN_HINT))
            continue
        broken = detail.get("ctx", {}).get("broken", [("", detail["msg"])])
        for field, message in broken:
            problems.append(Problem(message, format_path((*detail["loc"], *filter(None, [field]))), _OPERATOR_HINT))
    return problems
