"""Clusters of masks by their crops: what the features are, when they are kept, and what is written."""

import json

import cv2
import pytest
import torch
from mmengine.config import Config

from leopart_mm.apis.cluster_masks import ClusterSettings, cluster_masks
from leopart_mm.apis.mask_crops import CropFeatures
from leopart_mm.datasets.image_reading import ImageReadError
from tests.apis.mask_scenes import config_of, write_file, write_scene, write_truth
from tests.models.backbones.builders import tiny_vit

VOC = ('aeroplane', 'dog', 'tvmonitor')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """The file of a small ViT with random weights."""
    file = tmp_path_factory.mktemp('weights') / 'vit.pth'
    torch.save(tiny_vit().state_dict(), file)
    return str(file)


def read(path):
    return json.loads(path.read_text())


def categories_of(path):
    return [entry['category_id'] for entry in read(path)['annotations']]


def same_partition(found, expected):
    return len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))


def test_the_clusters_are_those_of_the_objects_whatever_batches_workers_and_where(tmp_path, weights):
    images, annotations, kinds = write_scene(tmp_path / 'images', 15)
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    report = cluster_masks(config_of(weights), masks, tmp_path / 'out.json', tmp_path / 'images')
    written = read(tmp_path / 'out.json')
    assert same_partition(categories_of(tmp_path / 'out.json'), kinds)
    assert written['categories'] == [dict(id=number, name=f'cluster {number}') for number in range(3)]
    assert written['images'] == images
    assert [dict(entry, category_id=0, score=1.) for entry in written['annotations']] == [
        dict(entry, score=1.) for entry in annotations]
    assert 'matching' not in written['info']
    assert report.sizes == written['info']['masks_per_cluster'] == [5, 5, 5]
    assert (report.computed, report.names) == (15, None)
    assert 'there is no ground truth' in report.summary()
    moved = tmp_path / 'elsewhere'
    write_scene(moved, 15)
    for number, options in enumerate((dict(crops_per_batch=1), dict(num_workers=2))):
        out = tmp_path / f'{number}.json'
        cluster_masks(config_of(weights, data_root=str(moved)), masks, out, **options)
        assert categories_of(out) == categories_of(tmp_path / 'out.json')
    assert (tmp_path / '1.json').read_bytes() == (tmp_path / 'out.json').read_bytes()


def test_a_killed_run_resumes_and_what_changed_is_computed_again(tmp_path, weights, monkeypatch):
    images, annotations, _ = write_scene(tmp_path / 'images', 15)
    masks = write_file(tmp_path / 'masks.json', images, annotations)

    def run(out='out.json', weights=weights, cache=tmp_path / 'kept', **options):
        return cluster_masks(config_of(weights), masks, tmp_path / out, tmp_path / 'images', cache=cache, **options)

    run('whole.json', cache=tmp_path / 'other')
    compute, calls = CropFeatures._compute, []

    def dies(self, crops):
        calls.append(len(crops))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(self, crops)

    with monkeypatch.context() as patch:
        patch.setattr(CropFeatures, '_compute', dies)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not (tmp_path / 'out.json').exists()
    assert run().computed == 15 - sum(calls[:2])
    assert (tmp_path / 'out.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert run().computed == 0
    for kept in (tmp_path / 'kept').glob('*.safetensors'):  # a damaged file is noticed
        kept.write_bytes(kept.read_bytes()[:50])
        break
    assert 0 < run().computed <= 4
    assert (tmp_path / 'out.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    image = cv2.imread(str(tmp_path / 'images' / '03.png'))
    cv2.imwrite(str(tmp_path / 'images' / '03.png'), 255 - image)
    assert 0 < run().computed <= 4  # the batch of that image
    annotations[0]['bbox'][0] += 1
    write_file(masks, images, annotations)
    assert 0 < run().computed <= 4
    torch.save(tiny_vit(seed=1).state_dict(), tmp_path / 'other.pth')
    assert run(weights=str(tmp_path / 'other.pth')).computed == 15
    assert run(max_side=9).computed == 15


def test_names_by_a_ground_truth_and_a_support_set_that_is_not_written(tmp_path, weights):
    images, annotations, kinds = write_scene(tmp_path / 'images')
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    truth = write_truth(tmp_path / 'truth.json', images, annotations, kinds)
    others = write_scene(tmp_path / 'support', 9, seed=1, name='s{}.png')
    support = write_file(tmp_path / 'support.json', *others[:2])
    out = tmp_path / 'out.json'
    report = cluster_masks(config_of(weights, num_clusters=None), masks, out, tmp_path / 'images', support,
                           tmp_path / 'support', truth)
    assert categories_of(out) == [(3, 7, 20)[kind] for kind in kinds]
    written = read(out)
    assert written['categories'] == read(truth)['categories']
    info = written['info']
    assert (info['matched_by'], sorted(info['matching'])) == ('hungarian', [3, 7, 20])
    assert (info['accuracy'], info['nmi'], info['ari']) == pytest.approx((100, 100, 100))
    assert (info['masks_with_target'], info['masks_without_target'], info['support_masks']) == (12, 9, 9)
    assert report.sizes == [4, 4, 4]
    assert info['box_ap50'] == pytest.approx(100)  # boxes are a pixel off
    assert '9 masks are of images without a known object' in report.summary()
    own = write_truth(tmp_path / 'own.json', *others)
    report = cluster_masks(config_of(weights, overcluster=2), masks, out, tmp_path / 'images', support,
                           tmp_path / 'support', truth, own)
    assert report.without_target == 0
    assert read(out)['info']['matched_by'] == 'majority'
    assert categories_of(out) == [(3, 7, 20)[kind] for kind in kinds]
    with pytest.raises(ValueError, match='have different categories'):
        cluster_masks(config_of(weights), masks, out, tmp_path / 'images', support, tmp_path / 'support', truth,
                      write_file(tmp_path / 'odd.json', images, annotations))


def test_names_by_the_files_of_voc_for_a_list_of_results(tmp_path, weights):
    images, annotations, kinds = write_scene(tmp_path / 'images')
    (tmp_path / 'VOC' / 'Annotations').mkdir(parents=True)
    for image, entry, kind in zip(images, annotations, kinds, strict=True):
        x, y, w, h = entry['bbox']
        (tmp_path / 'VOC' / 'Annotations' / f'{image["file_name"][:2]}.xml').write_text(
            f'<annotation><object><name>{VOC[kind]}</name><difficult>1</difficult><bndbox><xmin>{x + 1}</xmin>'
            f'<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object></annotation>')
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    out = tmp_path / 'out.json'
    cluster_masks(config_of(weights), masks, out, tmp_path / 'images', gt=tmp_path / 'VOC')
    assert categories_of(out) == [(0, 11, 19)[kind] for kind in kinds]
    assert [entry['name'] for entry in read(out)['categories']][11] == 'dog'
    # a detector's results name their images as the ground truth does, here without suffix
    truth = write_truth(tmp_path / 'truth.json', images, annotations, kinds)
    listed = [dict(image_id=image['file_name'][:2], category_id=5, score=score, bbox=box)
              for image, entry in zip(images, annotations, strict=True)
              for score, box in ((0.5, [0, 0, 9, 9]), (0.75, entry['bbox']), (0.75, [1, 1, 5, 5]))]
    (tmp_path / 'results.json').write_text(json.dumps(listed))
    content = read(truth)
    for image in content['images']:
        image['file_name'] = image['file_name'].removesuffix('.png')
    truth.write_text(json.dumps(content))
    cluster_masks(config_of(weights), tmp_path / 'results.json', out, tmp_path / 'images', gt=truth)
    assert categories_of(out) == [(3, 7, 20)[kind] for kind in kinds]
    assert {entry['score'] for entry in read(out)['annotations']} == {0.75}
    with pytest.raises(ValueError, match='is a list of results, which says nothing of its images'):
        cluster_masks(config_of(weights), tmp_path / 'results.json', out, tmp_path / 'images', gt=tmp_path / 'VOC')


def test_a_crowd_is_no_target_unless_it_is_asked_for(tmp_path, weights):
    images, annotations, kinds = write_scene(tmp_path / 'images')
    truth = write_truth(tmp_path / 'truth.json', images, annotations, kinds)
    content = read(truth)
    content['annotations'] = [dict(entry, category_id=20, iscrowd=1) for entry in content['annotations']] + [
        dict(entry, bbox=[0, 0, 30, 30]) for entry in content['annotations']]
    truth.write_text(json.dumps(content))
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    out = tmp_path / 'out.json'
    cluster_masks(config_of(weights), masks, out, tmp_path / 'images', gt=truth)
    assert categories_of(out) == [(3, 7, 20)[kind] for kind in kinds]
    report = cluster_masks(config_of(weights, crowds=True), masks, out, tmp_path / 'images', gt=truth)
    assert report.names.accuracy == pytest.approx(1 / 3)  # all are of class 20, which one cluster alone may be


def test_objects_of_a_ground_truth_need_a_box_but_no_area(tmp_path, weights):
    images, annotations, kinds = write_scene(tmp_path / 'images', 6)
    truth = write_truth(tmp_path / 'truth.json', images, annotations, kinds)
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    content = read(truth)
    for entry in content['annotations']:
        del entry['area']
    truth.write_text(json.dumps(content))
    report = cluster_masks(config_of(weights), masks, tmp_path / 'out.json', tmp_path / 'images', gt=truth)
    assert report.box_ap50 == pytest.approx(1)
    del content['annotations'][2]['bbox']
    truth.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'truth\.json: annotation 13 has no bbox'):
        cluster_masks(config_of(weights), masks, tmp_path / 'out.json', tmp_path / 'images', gt=truth)


def test_grey_images_are_images_too(tmp_path, weights):
    images, annotations, _ = write_scene(tmp_path / 'images', 3)
    for image in images:
        file = str(tmp_path / 'images' / image['file_name'])
        cv2.imwrite(file, cv2.imread(file, cv2.IMREAD_GRAYSCALE))
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    assert cluster_masks(config_of(weights), masks, tmp_path / 'out.json', tmp_path / 'images').sizes == [1, 1, 1]


@pytest.mark.parametrize(('change', 'error', 'words'), [
    (dict(image=dict(height=7), mask=dict(segmentation=[])), ValueError, 'has 41x33 pixels, but the file .* says 41x7'),
    (dict(image=dict(height=7)), ValueError, 'annotation 1 has a mask of 33 x 41 pixels, but its image 100 has 7 x'),
    (dict(mask=dict(image_id=7)), ValueError, r'masks\.json: annotation 1 is of image 7'),
    (dict(image=dict(file_name='gone.png')), FileNotFoundError, r'1 of the 3 images of .*json are not in .*gone'),
    (dict(mask=dict(bbox=[90, 0, 5, 5])), ValueError, r'masks\.json: mask 1 of 00\.png has no usable box: .* outside'),
    (dict(mask=dict(bbox=[])), ValueError, r'mask 1 of 00\.png has no usable box'),
    (dict(content=b'\x89PNG\r\n'), ImageReadError, r'00\.png'),
    (dict(settings=dict(num_clusters=4)), ValueError, '3 masks cannot form 4 clusters'),
    (dict(settings=dict(num_clusters=None)), ValueError, 'How many clusters'),
    (dict(settings=dict(num_cluster=4)), ValueError, 'mask_clusters has no num_cluster; there are: num_clusters, '),
    (dict(settings=dict(overcluster=0)), ValueError, r'mask_clusters\.overcluster must be positive'),
    (dict(images=None), ValueError, 'Where are the images'),
    (dict(gt='other.json'), ValueError, r'other\.json has no object in any image of the masks'),
    (dict(arch='vit_base_patch16_siglip_224'), TypeError, 'Masks are clustered by class tokens, and DenseViT'),
])
def test_what_cannot_be_clustered_is_said_and_nothing_is_written(tmp_path, weights, change, error, words):
    images, annotations, kinds = write_scene(tmp_path / 'images', 3)
    write_truth(tmp_path / 'other.json', [dict(image, file_name=f'x{image["file_name"]}') for image in images],
                annotations, kinds)
    images[0].update(change.get('image', {}))
    annotations[0].update(change.get('mask', {}))
    if 'content' in change:
        (tmp_path / 'images' / '00.png').write_bytes(change['content'])
    config = config_of(weights, **change.get('settings', {}))
    if 'arch' in change:
        config.model.backbone.update(arch=change['arch'], checkpoint=None)
    masks = write_file(tmp_path / 'masks.json', images, annotations)
    with pytest.raises(error, match=words):
        cluster_masks(config, masks, tmp_path / 'out.json', change.get('images', tmp_path / 'images'),
                      gt=tmp_path / change['gt'] if 'gt' in change else None)
    assert not (tmp_path / 'out.json').exists()


def test_settings_of_the_command_line_win():
    config = Config(dict(mask_clusters=dict(num_clusters=5, overcluster=1.5)))
    assert ClusterSettings.from_config(config, num_clusters=None).number(None) == 8
    assert ClusterSettings.from_config(config, num_clusters=2, n_init=None).number(None) == 3
