"""Which settings of a compute profile a refusal of the API server is about: by the field of the pod that it names."""

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
    """The settings that fields in `message` come from, each once; empty where it names none of them."""
    return list(dict.fromkeys(setting for field, setting in _SETTINGS.items() if field in message))


def profile_hint(message: str, profile: str) -> str:
    """Whose settings are refused, in words; `profile` is its name in the settings file. Empty where it is not clear."""
    found = settings_named(message)
    return f"that is {' and '.join(found)} of {profile}, which the platform team sets" if found else ""
