"""MaskDistill in one run of stages: masks, clusters, detector, label maps, DeepLab, and rounds with a CRF.

Source: docs/methods/maskdistill.md §1, §9.2. Each round starts from the initial backbone again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from leopart_mm.apis.cluster_masks import cluster_masks
from leopart_mm.apis.generate_masks import generate_masks
from leopart_mm.apis.image_catalogue import image_entries
from leopart_mm.apis.image_inputs import ImageList, named_images
from leopart_mm.apis.inferencer import LeopartInferencer
from leopart_mm.apis.label_scores import map_names, score_folder
from leopart_mm.apis.listed_images import read_image_list
from leopart_mm.apis.maskdistill_settings import ChainConfigs
from leopart_mm.apis.network_labels import LabelRun
from leopart_mm.apis.pseudo_labels import generate_pseudo_labels
from leopart_mm.apis.runner_stages import (
    TESTED_BY,
    TRAINED_BY,
    data_fingerprint,
    mask_settings_of,
    own_config,
    predict,
    save_best,
    score,
    settings_of,
    train,
)
from leopart_mm.apis.stages import Outcome, Stage, run_stages
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.datasets.coco_json import read_coco, write_coco, write_results
from leopart_mm.datasets.converters.voc_instances import convert
from leopart_mm.datasets.file_lists import find_files, read_lines
from leopart_mm.datasets.labelled_images import LIST
from leopart_mm.datasets.output_marks import mark_outputs, refuse_images_among, refuse_strangers
from leopart_mm.datasets.voc_layout import read_meta
from leopart_mm.evaluation.foreground_iou import mask_iou_of_file
from leopart_mm.evaluation.instance_ap import instance_scores
from leopart_mm.evaluation.instance_writer import RESULTS
from leopart_mm.files import printable, save_torch_whole
from leopart_mm.fingerprints import files_fingerprint, text_fingerprint
from leopart_mm.folder_lock import lock_folder
from leopart_mm.worker_processes import cpu_count

TRUTH, SUPPORT, MASKS, MASK_SCORES, CLUSTERS, DETECTOR, PREDICTIONS, INSTANCES = (
    'ground_truth', 'support', 'masks', 'mask_scores', 'clusters', 'detector', 'predictions', 'instances')
REPORT, SCORES, MODEL = 'report.html', 'scores.json', 'model.pth'
OBJECTS, FILES, ANNOTATIONS, CLUSTERED, CATALOGUE, MAPS = (
    'objects.json', 'files', 'annotations.json', 'clusters.json', 'images.json', 'maps')
PICTURES = 24  # of the detector


def labels_stage(number: int) -> str:
    """Name of the stage that makes the label maps of a round."""
    return f'labels_{number}'


def deeplab_stage(number: int) -> str:
    """Name of the stage that trains DeepLab on the label maps of a round."""
    return f'deeplab_{number}'


def scores_stage(number: int) -> str:
    """Name of the stage that tests the DeepLab of a round."""
    return f'scores_{number}'


class MaskDistillRun:
    """The stages of a run.

    Args:
        configs: The configs.
        folder: Folder of the run; each stage has a folder of its name in it.
        workers: Processes beside this one for masks, label maps and CRF; None: one per CPU core. No result depends on
            it.

    Raises:
        FileNotFoundError: If the data are missing.
        ValueError: If outputs would replace or hide images.
    """

    def __init__(self, configs: ChainConfigs, folder: str | os.PathLike, workers: int | None = None) -> None:
        self.configs, self.settings, self.folder = configs, configs.settings, Path(folder).expanduser()
        self.workers = cpu_count() if workers is None else workers
        self.settings.check_folders()
        self.train_images = self.settings.train_images()
        self.truth = self.settings.ground_truth
        self.matching = 'hungarian' if self.truth is None else 'direct'
        root = self.settings.root
        self.class_maps = None if self.truth is None else root / self.truth.class_maps
        self.detected = self._detected(root)
        self.stages = self._stages(root)
        refuse_images_among(self.folder, [stage.name for stage in self.stages], self.detected.images)

    def run(self) -> dict[str, Outcome]:
        """Run the stages that are not finished.

        Raises:
            FolderInUseError: If another run writes there.
            FileNotFoundError: If weights are missing.
            ValueError: If the folder holds files that no run wrote where this one writes.
        """
        lock = lock_folder(self.folder)
        if not any((self.folder / stage.name).is_dir() for stage in self.stages):
            refuse_strangers(self.folder, [REPORT, SCORES, MODEL])
        self.configs.check_weights()
        # of all that is written none is an image, should the folder lie among the images
        mark_outputs(self.folder, [REPORT, SCORES, MODEL, *(stage.name for stage in self.stages)])
        outcomes = run_stages(self.stages, self.folder)
        del lock
        return outcomes

    def keep_model(self, outcomes: Mapping[str, Outcome]) -> Path:
        """Write the last DeepLab with its config into ``model.pth``, which tools/segment_folder.py takes."""
        stage, file = deeplab_stage(self.settings.rounds), self.folder / MODEL
        checkpoint = load_checkpoint_file(self.folder / stage / outcomes[stage].result['checkpoint'])
        save_torch_whole({key: checkpoint[key] for key in ('meta', 'state_dict')}, file)
        return file

    def _detected(self, root: Path) -> ImageList:
        """Images that the detector predicts: those of the label maps, then those whose objects are known."""
        if self.truth is None:
            return self.train_images
        paths = dict.fromkeys(self.train_images.images)
        for listing in self.truth.list_files(root):
            paths.update(dict.fromkeys(read_image_list(self.settings.images, listing).images))
        return named_images(list(paths), self.settings.images)

    def _stages(self, root: Path) -> list[Stage]:
        parts, paths = self.configs.parts, self._left_out()
        stages: dict[str, Stage] = {}

        def add(name: str, run: Any, settings: Mapping[str, Any], outputs: tuple[str, ...] = (), **inputs: Any) -> None:
            stages[name] = Stage(name, run, settings, inputs, outputs)

        if self.truth is not None:
            maps = {self.truth.objects_from} | ({self.truth.objects} - {'components'})
            named = dict(names=self._truth_names(), classes=read_meta(root)['classes'])
            add(TRUTH, self._convert, dict(truth=asdict(self.truth)), (OBJECTS, ),
                lists=text_fingerprint(json.dumps(named)),
                maps=files_fingerprint(file for folder in sorted(maps) for file in sorted(find_files(root / folder))))
        for name in (SUPPORT, MASKS):
            if name in parts:
                add(name, partial(self._make_masks, parts[name]), mask_settings_of(parts[name], paths),
                    (f'{FILES}/{ANNOTATIONS}', ), images=data_fingerprint(parts[name], 'proposal_dataloader'))
        if self.class_maps is not None:
            add(MASK_SCORES, self._score_masks, {}, maps=files_fingerprint(sorted(find_files(self.class_maps))),
                **{MASKS: stages[MASKS]})
        named_by = {} if self.truth is None else {TRUTH: stages[TRUTH]} if self.truth.boxes is None else dict(
            boxes=files_fingerprint(sorted(find_files(root / self.truth.boxes))))
        add(CLUSTERS, self._cluster, settings_of(parts['clusters'], ('model', 'mask_clusters'), paths), (CLUSTERED, ),
            **{name: stages[name] for name in (MASKS, SUPPORT) if name in stages}, **named_by)
        add(DETECTOR, partial(train, parts['detector'], self._train_detector),
            _training_settings(parts['detector'], paths), **{CLUSTERS: stages[CLUSTERS]})
        add(PREDICTIONS, self._predict, settings_of(parts['detector'], TESTED_BY, paths), (RESULTS, CATALOGUE),
            images=files_fingerprint(self.detected.images), **{DETECTOR: stages[DETECTOR]})
        if self.truth is not None:
            add(INSTANCES, self._score_instances, {}, **{PREDICTIONS: stages[PREDICTIONS], TRUTH: stages[TRUTH]})
        scored_by = {} if self.class_maps is None else dict(class_maps=files_fingerprint(
            file for name in self.train_images.names if (file := self.class_maps / f'{name}.png').is_file()))
        trained = _training_settings(parts['deeplab'], paths)
        tested = settings_of(parts['deeplab'], TESTED_BY, paths)
        images = files_fingerprint(self.train_images.images)
        chosen_by = dict(validation=data_fingerprint(parts['deeplab'], 'val_dataloader')) if save_best(
            parts['deeplab']) else {}
        test_images, listed = data_fingerprint(parts['deeplab'], 'test_dataloader'), (f'{MAPS}/{LIST}', )
        for number in range(self.settings.rounds + 1):
            if number == 0:
                add(labels_stage(0), self._merge, dict(label_maps=asdict(self.settings.label_maps)), listed,
                    images=images, **{PREDICTIONS: stages[PREDICTIONS]}, **scored_by)
            else:
                crf = None if self.settings.crf is None else asdict(self.settings.crf)
                before = deeplab_stage(number - 1)
                settings = dict(crf=crf, network=tested.get('model'), pipeline=tested.get('test_dataloader'))
                add(labels_stage(number), partial(self._label, number), settings, listed,
                    images=images, **{before: stages[before]}, **scored_by)
            labels, deeplab = labels_stage(number), deeplab_stage(number)
            add(deeplab, partial(train, parts['deeplab'], partial(self._train_deeplab, number)), trained,
                **{labels: stages[labels]}, **chosen_by)
            if parts['deeplab'].get('test_dataloader'):
                add(scores_stage(number), partial(score, parts['deeplab'], partial(self._test_deeplab, number)),
                    dict(tested, matching=self.matching), images=test_images,
                    **{deeplab: stages[deeplab]})
        return list(stages.values())

    def _left_out(self) -> list[str]:
        """Paths in configs that decide nothing: of the data, which count by content, and of what stages write."""
        parts = self.configs.parts
        return [os.fspath(path) for path in (
            self.settings.data_root, self.settings.images, self.settings.support_root,
            *(part.get(key) for part in parts.values()
              for key in ('data_root', 'val_data_root', 'ann_file', 'test_ann_file', 'label_folder', 'labels')))
            if path]

    def _convert(self, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        report = convert(self.settings.root, folder / OBJECTS, self._truth_names(), self.truth.objects,
                         class_folder=self.truth.objects_from)
        return dict(objects=report.annotations, images=report.images, left_out=report.too_small + report.without_class)

    def _truth_names(self) -> list[str]:
        """Lines of the lists of images whose objects count, each once."""
        return list(dict.fromkeys(line for listing in self.truth.list_files(self.settings.root)
                                  for line in read_lines(listing)))

    def _make_masks(self, cfg: Config, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        report = generate_masks(own_config(cfg, folder.name), folder / FILES, workers=self.workers)
        if not sum(report.masks.values()):
            images = self.settings.images if folder.name == MASKS else self.settings.support_images
            raise ValueError(f'No image of {printable(images)} has an object by the settings of the masks: try '
                             'masks.proposals.center_keys=True masks.proposals.softmax=True, another block '
                             '(masks.proposals.block=5), or other weights.')
        return dict(images=len(report.masks), masks=sum(report.masks.values()), without_masks=len(report.empty),
                    filled=len(report.filled), unreadable=len(report.corrupt))

    def _score_masks(self, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        scored = mask_iou_of_file(self.folder / MASKS / FILES / ANNOTATIONS, self.class_maps)
        if not scored.images:
            return dict(scored_images=0)
        return dict(mask_iou=100 * scored.mean_iou, whole_image_iou=100 * scored.whole_image,
                    scored_images=scored.images)

    def _cluster(self, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        support = self.folder / SUPPORT / FILES / ANNOTATIONS if SUPPORT in before else None
        named_by = None
        if self.truth is not None:
            named_by = (self.folder / TRUTH / OBJECTS if self.truth.boxes is None else
                        self.settings.root / self.truth.boxes)
        report = cluster_masks(
            own_config(self.configs.parts[CLUSTERS], folder.name), self.folder / MASKS / FILES / ANNOTATIONS,
            folder / CLUSTERED, self.settings.images, support, self.settings.support_images, named_by,
            show=folder / 'clusters.jpg')
        found: dict[str, Any] = dict(masks_per_cluster=report.sizes, support_masks=report.support)
        if report.names is not None:
            found |= dict(matching=report.matching, **{key: 100 * value for key, value in (
                ('accuracy', report.names.accuracy), ('nmi', report.names.nmi), ('ari', report.names.ari),
                ('box_ap50', report.box_ap50)) if value is not None})
        return found

    def _train_detector(self, cfg: Config, folder: Path, before: Mapping[str, Any]) -> None:
        cfg.train_dataloader.dataset.update(data_root=os.fspath(self.settings.images),
                                            ann_file=os.fspath((folder / CLUSTERS / CLUSTERED).absolute()))

    def _predict(self, folder: Path, before: Mapping[str, Any]) -> dict[str, float]:
        categories = read_coco(self.folder / CLUSTERS / CLUSTERED).categories
        entries = image_entries(self.settings.images, [os.path.relpath(path, self.settings.images)
                                                       for path in self.detected.images])
        write_coco(folder / CATALOGUE, entries, [], categories)

        def change(cfg: Config, run: Path, results: Mapping[str, Any]) -> None:
            cfg.load_from = os.fspath(run / DETECTOR / results[DETECTOR]['checkpoint'])
            cfg.test_dataloader.dataset.update(data_root=os.fspath(self.settings.images),
                                               ann_file=os.fspath((folder / CATALOGUE).absolute()))
            if hook := (cfg.get('default_hooks') or {}).get('visualization'):
                hook['interval'] = max(len(entries) // PICTURES, 1)

        return predict(self.configs.parts[DETECTOR], change, folder, before)

    def _score_instances(self, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        truth = read_coco(self.folder / TRUTH / OBJECTS)
        known = {image['id'] for image in truth.images}
        results = [entry for entry in read_coco(self.folder / PREDICTIONS / RESULTS, 'results').annotations
                   if entry['image_id'] in known]
        found: dict[str, Any] = dict(images=len(known), objects=len(truth.annotations), predictions=len(results))
        for mode in ('multi', 'single'):
            for aware in (True, False):
                scored = instance_scores(truth, results, mode=mode, class_aware=aware)
                found[f'AP50_{mode}' + ('' if aware else '_agnostic')] = 100 * scored.ap50
        return found

    def _merge(self, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        """Label maps of the detector's predictions on the training images."""
        catalogue = read_coco(self.folder / PREDICTIONS / CATALOGUE)
        wanted = set(self.train_images.names)
        images = [image for image in catalogue.images if image['id'] in wanted]
        write_coco(folder / CATALOGUE, images, [], catalogue.categories)
        write_results(folder / RESULTS, (
            entry for entry in read_coco(self.folder / PREDICTIONS / RESULTS, 'results').annotations
            if entry['image_id'] in wanted))
        report = generate_pseudo_labels(
            folder / RESULTS, self.settings.images, folder / MAPS, self.settings.label_maps, folder / CATALOGUE,
            self.configs.num_categories, self.workers if self.settings.label_maps.shape == 'grabcut' else 0)
        if not report.num_done + report.num_present:
            raise ValueError(f'The detector predicts nothing in any of {len(images)} images, so there is no label map '
                             'to train on: train it longer (detector.iterations=N), or lower detector.score_thr.')
        return dict(maps=report.num_done + report.num_present, without_prediction=len(report.without),
                    below=report.below, background=_percent(report.background), selected=report.selected,
                    predictions=report.instances, unreadable=len(report.corrupt),
                    **self._score_maps(folder))

    def _label(self, number: int, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
        """Label maps of the training images by the DeepLab of the round before."""
        trained = deeplab_stage(number - 1)
        inferencer = LeopartInferencer(self.folder / trained / before[trained]['checkpoint'],
                                       own_config(self.configs.parts['deeplab'], folder.name))
        report = LabelRun(inferencer, folder / MAPS, self.settings.crf, workers=self.workers).run(self.train_images)
        return dict(maps=report.num_done + report.num_present, unreadable=len(report.corrupt),
                    **self._score_maps(folder))

    def _score_maps(self, folder: Path) -> dict[str, Any]:
        if self.class_maps is None:
            return {}
        if not any((self.class_maps / f'{name}.png').is_file() for name in map_names(folder / MAPS)):
            return dict(scored_maps=0)
        found = score_folder(folder / MAPS, self.class_maps, self.configs.num_categories + 1,
                             self.configs.num_categories + 1, self.matching)
        return dict(mIoU=100 * found.scores.miou, aAcc=100 * found.scores.pixel_accuracy, scored_maps=found.maps,
                    matching=found.matching)

    def _train_deeplab(self, number: int, cfg: Config, folder: Path, before: Mapping[str, Any]) -> None:
        cfg.train_dataloader.dataset.update(data_root=os.fspath(self.settings.images),
                                            labels=os.fspath((folder / labels_stage(number) / MAPS).absolute()))

    def _test_deeplab(self, number: int, cfg: Config, folder: Path, before: Mapping[str, Any]) -> None:
        stage = deeplab_stage(number)
        cfg.load_from = os.fspath(folder / stage / before[stage]['checkpoint'])
        evaluators = cfg.get('test_evaluator') or []
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if 'matching' in evaluator:
                evaluator['matching'] = self.matching


def _percent(share: float) -> float | None:
    return None if share != share else 100 * share


def _training_settings(cfg: Config, paths: list[str]) -> dict[str, str]:
    """What decides a training; how the model is tested does not, unless its scores choose the checkpoint."""
    if not save_best(cfg):
        cfg = own_config(cfg, '')
        for name in ('test_cfg', 'postprocessors'):
            cfg.model.pop(name, None)
    return settings_of(cfg, TRAINED_BY, paths)
