"""Storage folders in volumes, S3, Google Cloud Storage and Azure behind one interface.

`objects` is the only module that knows the object-store client, `local` the only one that writes to disk;
both translate what goes wrong into failures of the catalogue. Secrets never appear in a message.
"""

from finetune_trainer.storage.addresses import Address, parse_address
from finetune_trainer.storage.commits import commit
from finetune_trainer.storage.credentials import hub_token, ignored_keys
from finetune_trainer.storage.folder import Folder, NotCreateOnlyError, Patience
from finetune_trainer.storage.mounted import check_present, find_address, on_disk
from finetune_trainer.storage.opening import open_address, open_folder
from finetune_trainer.storage.redaction import redacted
from finetune_trainer.storage.site import Mounts, Site

__all__ = [
    "Address",
    "Folder",
    "Mounts",
    "NotCreateOnlyError",
    "Patience",
    "Site",
    "check_present",
    "commit",
    "find_address",
    "hub_token",
    "ignored_keys",
    "on_disk",
    "open_address",
    "open_folder",
    "parse_address",
    "redacted",
]
