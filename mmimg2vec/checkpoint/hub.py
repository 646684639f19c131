"""An exported folder on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

_FILES = ('README.md', 'config.json', 'model.safetensors')


def push_to_hub(folder: str | Path, repository: str, private: bool = True) -> str:
    """Upload a folder that ``export_backbone`` wrote; a repository that is not there is made.

    Who uploads is who has logged in with the hub's own client, ``hf auth login``.

    Args:
        folder: With weights, ``config.json`` and the model card.
        repository: ``USER/NAME``.
        private: Whether a new repository is seen by its owner alone.

    Returns:
        Address of the upload.

    Raises:
        UserError: huggingface_hub is missing, the folder is no exported one, or the hub refuses.
    """
    folder = Path(folder)
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f'{folder} has no {missing[0]}: name a folder that export_backbone.py --to timm (or transformers) wrote'
        )
    hub = require('huggingface_hub', 'Uploading to the hub')
    api = hub.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=str(folder)))
    except (OSError, ValueError) as error:  # of the network, of the hub (HTTP errors are OSErrors), of the name
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{repository} cannot be uploaded: {reason}') from error
