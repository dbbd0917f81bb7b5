"""Settings of a compute profile by pod field, for refusals of the API server."""

_SETTINGS = {
    ".resources": "requests and limits",
    ".image:": "image",
    "sizeLimit": "workSize and sharedMemorySize",
    ".nodeSelector": "nodeSelector",
    ".tolerations": "tolerations",
    ".affinity": "affinity",
    ".runtimeClassName": "runtimeClassName",
    ".priorityClassName": "priorityClassName",
    ".terminationGracePeriodSeconds": "terminationGraceSeconds",
    "template.labels": "labels",
    "template.metadata.labels": "labels",
    "template.annotations": "annotations",
    "template.metadata.annotations": "annotations",
}
"""Part of a field's path in a pod template, and the settings that it is made from."""


def settings_named(message: str) -> list[str]:
    """Profile settings behind the pod fields in `message`; empty without any."""
    return list(dict.fromkeys(setting for field, setting in _SETTINGS.items() if field in message))


def profile_hint(message: str, profile: str) -> str:
    """Hint on the refused settings; `profile` is its name in the settings file. Empty where unclear."""
    found = settings_named(message)
    return f"that is {' and '.join(found)} of {profile}, which the platform team sets" if found else ""
