"""`open_folder`: a storage URI to a `Folder`."""

from finetune_api.base import SecretReference
from finetune_api.failures import DataNotFound, JobFailure
from finetune_trainer.storage.addresses import Address, parse_address
from finetune_trainer.storage.credentials import store_settings
from finetune_trainer.storage.folder import Folder, Patience
from finetune_trainer.storage.local import LocalFolder
from finetune_trainer.storage.mounted import on_disk
from finetune_trainer.storage.site import Site


def open_folder(
    uri: str,
    site: Site,
    secret: SecretReference | None = None,
    *,
    missing: type[JobFailure] = DataNotFound,
    patience: Patience | None = None,
) -> Folder:
    """Open the folder at `uri` (`file://`, `s3://`, `gs://`, `az://`, `pvc://`); nothing is read or created yet.

    `site` says what relative files, claims and `secret` are here. `missing` is the failure that reading something
    absent raises.

    Raises `SpecInvalid` for a URI that is no storage address or needs a cluster, `PermissionDenied` for credentials
    that can't be used and for files that may not be read.
    """
    return open_address(parse_address(uri, site.base), site, secret, missing=missing, patience=patience)


def open_address(
    address: Address,
    site: Site,
    secret: SecretReference | None = None,
    *,
    missing: type[JobFailure] = DataNotFound,
    patience: Patience | None = None,
) -> Folder:
    """Open the folder at a parsed address."""
    place = on_disk(address, site)
    if place is not None:
        return LocalFolder(place, address, missing)
    from finetune_trainer.storage.objects import ObjectFolder

    settings = store_settings(address.scheme, secret, site)
    return ObjectFolder(address, settings, missing, patience or Patience())
