"""From a URI to a folder that can be read and written."""

from collections.abc import Mapping
from pathlib import Path

from finetune_api.failures import DataNotFound, JobFailure
from finetune_trainer.storage.addresses import parse_address
from finetune_trainer.storage.folder import Folder, Patience
from finetune_trainer.storage.local import LocalFolder


def open_folder(
    uri: str,
    base: Path,
    credentials: Mapping[str, str] | None = None,
    *,
    missing: type[JobFailure] = DataNotFound,
    patience: Patience | None = None,
) -> Folder:
    """Open the folder at `uri` (`file://`, `s3://`, `gs://`, `az://`); nothing is read or made yet.

    `base` is what relative `file://` paths start from. `credentials` are named like the environment variables
    (`AWS_ACCESS_KEY_ID` ...), see `mounted_credentials`; without them the environment counts. `missing` is the
    failure that reading something absent raises.

    Raises `SpecInvalid` for a URI that is no storage address, `PermissionDenied` for credentials that can't be used.
    """
    address = parse_address(uri, base)
    if address.local is not None:
        return LocalFolder(address.local, missing)
    from finetune_trainer.storage.objects import ObjectFolder

    return ObjectFolder(address, credentials, missing, patience or Patience())
