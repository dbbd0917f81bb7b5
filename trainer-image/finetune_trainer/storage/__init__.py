"""Folders of files on disk, S3, Google Cloud Storage and Azure by one interface.

`objects` is the only module that knows the object-store client, `local` the only one that writes to disk;
both translate what goes wrong into failures of the catalogue. Secrets never appear in a message.
"""

from finetune_trainer.storage.addresses import Address, parse_address
from finetune_trainer.storage.credentials import mounted_credentials
from finetune_trainer.storage.folder import Folder, Patience
from finetune_trainer.storage.opening import open_folder

__all__ = ["Address", "Folder", "Patience", "mounted_credentials", "open_folder", "parse_address"]
