"""Fine-tunes a tiny classifier from each of several checkpoints, on all processes; says how each ended.

Usage: train_downstream.py SHAPES OUT_DIR CHECKPOINT ...; OUT_DIR/RANK.json gets the messages, None where it trained.
"""

import json
import os
import sys
from pathlib import Path

import downstream
import torch
from mmengine.runner import Runner

from mmimg2vec import UserError
from mmimg2vec.engine.launch import prepare_launch


def main() -> None:
    shapes, out, *checkpoints = (Path(argument) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    outcomes = []
    for checkpoint in checkpoints:
        cfg = downstream.classifier(shapes, checkpoint)
        cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))
        cfg.work_dir, cfg.experiment_name = str(out / checkpoint.stem), checkpoint.stem
        prepare_launch(cfg, 'pytorch')
        try:
            Runner.from_cfg(cfg).train()
            outcomes.append(None)
        except UserError as error:
            outcomes.append(str(error))
    (out / f'{os.environ["RANK"]}.json').write_text(json.dumps(outcomes))


if __name__ == '__main__':
    main()
