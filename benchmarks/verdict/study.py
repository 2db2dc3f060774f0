"""How well numbers without labels agree with mIoU: the study behind the verdict at the end of a training.

    python -m benchmarks.verdict.study --out work_dirs/verdict_study --weights vit_tiny_patch16_224.safetensors \\
        --msrc21 data/msrc21 --voc data/voc2012_subset --scenes data/sample --scenes-weights start.pth

Checkpoints come from short fine-tunings with good and bad settings (`checkpoints`) and from --extra. Each is
scored by overclustering on the val split; the numbers without labels see training images only. Whatever was made before
is kept, so --minutes N lets the study run in parts. Writes study.json, in the form of
leopart_mm/evaluation/verdict_study.json, which holds the figures that docs/verdict.md reports; `document` makes the
tables of either.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.verdict.checkpoints import DATA, SEEDS, make_next
from leopart_mm.evaluation.verdict_study import StudiedCheckpoint, read_study
from leopart_mm.files import write_text_whole

IMAGES = 64
START = 'start'
KNOWN = ('name', 'step', 'checkpoint', 'miou', 'miou_std', 'per_image')  # what is no number


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of the study')
    parser.add_argument('--weights', type=Path, help='weights that fine-tunings on photographs start from')
    parser.add_argument('--scenes-weights', type=Path, help='weights that fine-tunings on generated scenes start from')
    for key, data in DATA.items():
        parser.add_argument(f'--{key}', type=Path, help=f'{data.name}, in the layout of VOC')
    parser.add_argument('--extra', nargs='*', default=[], metavar='SET:NAME=FILE',
                        help='further checkpoints of a data set, such as msrc21:longer=iter_60.pth. NAME began from '
                             'NAME_start if that is there too, else from the weights')
    parser.add_argument('--minutes', type=float, help='begin nothing new after so long')
    return parser


def main() -> None:
    """Make what is missing, then the file of the study."""
    args = build_parser().parse_args()
    roots = {key: getattr(args, key) for key in DATA if getattr(args, key) is not None}
    until = time.monotonic() + 60 * (args.minutes or 1e6)
    extra: dict[str, dict[str, Path]] = {key: {} for key in DATA}
    for text in args.extra:
        where, _, file = text.partition('=')
        key, _, name = where.partition(':')
        extra[key][name] = Path(file)
    while time.monotonic() < until:
        worked = False
        for key, root in roots.items():
            weights = args.scenes_weights if key == 'scenes' else args.weights
            worked |= measure(key, root, args.out, until)
            if time.monotonic() < until:
                worked |= make_next(DATA[key], root, weights, args.out / key, extra[key])
        if not worked:
            break
    file = args.out / 'study.json'
    write_study(file, studied(args.out))
    print(f'Wrote {file}. Its tables: python -m benchmarks.verdict.document --study {file}')


def measure(key: str, root: Path, out: Path, until: float) -> bool:
    """The numbers without labels of the checkpoints that have none yet; whether there were any."""
    import torch

    from leopart_mm.datasets.image_reading import read_image
    from leopart_mm.engine.config import load_config
    from leopart_mm.evaluation.image_views import SeenTwice, sample_evenly, see_twice
    from leopart_mm.registry import MODELS
    file, scores = out / key / 'numbers.json', read(out / key / 'scores.json')
    rows = read(file)
    known = {label(row) for row in rows}
    missing = [row for row in scores if label(row) not in known]
    if not missing:
        return False
    from benchmarks.verdict.candidates import candidates
    names = (root / 'ImageSets/Segmentation/train.txt').read_text().split()
    images = [read_image(root / 'JPEGImages' / f'{names[index]}.jpg', 'rgb')
              for index in sample_evenly(len(names), IMAGES, 0)]
    cfg = load_config(DATA[key].test, dict(data_root=str(root)))
    colours = cfg.model.data_preprocessor
    for row in missing:
        if time.monotonic() > until:
            break
        start = time.perf_counter()
        features = out / key / 'features' / f'{label(row).replace("/", "_")}.pt'
        if features.is_file():
            seen = [SeenTwice(*(part.float() for part in parts)) for parts in torch.load(features)]
            rows.append(dict(row, **candidates(seen)))
            continue
        backbone = MODELS.build({**cfg.model.backbone, 'checkpoint': row['checkpoint']})
        backbone.init_weights()
        seen = see_twice(backbone.eval(), images, torch.tensor(colours.mean).float(),
                         torch.tensor(colours.std).float(), DATA[key].size)
        seconds = time.perf_counter() - start
        features.parent.mkdir(exist_ok=True)
        torch.save([[part.half() for part in vars(one).values()] for one in seen], features)
        rows.append(dict(row, **candidates(seen)))
        write_text_whole(file, json.dumps(rows, indent=1) + '\n')
        print(f'{DATA[key].name}: {label(row)}: numbers in {seconds:.1f} + '
              f'{time.perf_counter() - start - seconds:.1f} s', flush=True)
    write_text_whole(file, json.dumps(rows, indent=1) + '\n')
    return True


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; none if it is not there."""
    return json.loads(file.read_text()) if file.is_file() else []


def label(row: dict[str, Any]) -> str:
    """Name of a checkpoint."""
    return f'{row["name"]} step {row["step"]}'


def studied(out: Path) -> list[StudiedCheckpoint]:
    """The measured checkpoints of a folder of the study.

    The choice of the verdict's numbers saw those that it saw in the shipped study; any other one was made later.
    """
    seen = {one.key for one in read_study() if one.chosen_on}
    found = []
    for key, data in DATA.items():
        rows = read(out / key / 'numbers.json')
        starts = {START, *(row['name'] for row in rows if row['name'].endswith(f'_{START}'))}
        for row in rows:
            own = f'{row["name"]}_{START}'
            start = '' if row['name'] in starts else own if own in starts else START
            numbers = {name: round(value, 4) for name, value in row.items() if name not in KNOWN}
            per_image = {name: [round(value, 3) for value in values] for name, values in row['per_image'].items()}
            found.append(StudiedCheckpoint(
                data.name, row['name'], row['step'], start, (data.name, row['name'], row['step']) in seen,
                round(row['miou'], 4), round(row['miou_std'], 4), SEEDS, numbers, per_image))
    return found


def write_study(file: Path, study: list[StudiedCheckpoint]) -> None:
    """Write a study, a checkpoint per line."""
    lines = ',\n'.join(json.dumps(asdict(one), ensure_ascii=False) for one in study)
    write_text_whole(file, f'[\n{lines}\n]\n')


if __name__ == '__main__':
    main()
