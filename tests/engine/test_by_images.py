"""Settings that follow from the number of images; what is given wins."""

import pytest
from PIL import Image

from leopart_mm.engine.by_images import choose_by_images
from leopart_mm.engine.config import load_config
from tests.paths import REPO

CONFIGS = REPO / 'configs'
LEOPART, NECO = CONFIGS / 'leopart/leopart_dino-vits16_folder.py', CONFIGS / 'neco/neco_dinov2r-vits14_folder.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """300 images."""
    root = tmp_path_factory.mktemp('images')
    Image.new('RGB', (8, 8)).save(root / '0.png')
    content = (root / '0.png').read_bytes()
    for number in range(1, 300):
        (root / f'{number}.png').write_bytes(content)
    return root


def chosen(path, folder, **options):
    options = dict(options, data_root=str(folder))
    return choose_by_images(load_config(path, options), options)


def test_few_images(folder):
    assert chosen(LEOPART, folder).options == dict(iterations=375, trainable='lora', backbone_lr=5e-5)  # 40·300/32
    assert chosen(NECO, folder).options == dict(iterations=200, trainable='lora', backbone_lr=5e-5,
                                                crop_sizes=[224, 98])
    text = chosen(NECO, folder).text()
    assert text.startswith('Chosen by the number of images (300): iterations=200, 40 passes over the images in batches')
    assert text.endswith("by_images=None keeps what the config says.")


def test_the_choice_reaches_every_place(folder):
    options = dict(chosen(NECO, folder).options, data_root=str(folder))
    config = load_config(NECO, options)
    assert config.train_cfg.max_iters == config.param_scheduler[0].T_max == 200
    assert config.model.backbone.trainable == 'lora'
    assert config.optim_wrapper.optimizer.lr == 5e-5
    assert config.train_dataloader.dataset.pipeline[1]['sizes'] == [224, 98]


def test_what_is_given_wins(folder):
    choice = chosen(LEOPART, folder, iterations=50, trainable='last_4')
    assert choice.options == {}
    assert 'Given, so kept: iterations, trainable.' in choice.text()
    assert chosen(LEOPART, folder, **{'model.backbone.trainable': 'last_2'}).options == dict(iterations=375)
    assert chosen(LEOPART, folder, backbone_lr=1e-6).options == dict(iterations=375, trainable='lora')
    assert chosen(LEOPART, folder, by_images=None) is None


def test_a_network_without_weights_is_trained_whole(folder):
    assert chosen(LEOPART, folder, checkpoint=None).options == dict(iterations=375)


def test_what_an_inheriting_config_says_wins(folder, tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = ['{LEOPART}']\niterations = 2000\n")
    choice = chosen(own, folder)
    assert (choice.options, choice.kept) == (dict(trainable='lora', backbone_lr=5e-5), ['iterations'])


def test_many_images_are_trained_as_the_config_says(folder, monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.by_images.count_images', lambda config: 5000)
    assert chosen(LEOPART, folder).options == {}
    assert chosen(LEOPART, folder, trainable='lora_4').options == dict(backbone_lr=5e-5)


def test_other_configs_choose_nothing():
    assert choose_by_images(load_config(CONFIGS / 'leopart/leopart_dino-vits16_coco.py')) is None
