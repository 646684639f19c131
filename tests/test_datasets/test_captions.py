import json
from pathlib import Path

import pytest
from mmengine.registry import DATASETS

from mmimg2vec import UserError
from mmimg2vec.datasets.folders import build_dataset

WORDS = ('a', 'dark', 'bright', 'thing')


@pytest.fixture
def captions(image_folder):
    """A caption file of the images: its path, and its content."""
    names = sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob('*.jpg'))
    content = {
        name: {'caption': f'a {WORDS[1 + index % 2]} thing', 'name': 'thing'} for index, name in enumerate(names)
    }
    path = image_folder.parent / 'captions.json'
    path.write_text(json.dumps(content))
    return path, content


def build(image_folder, **kwargs):
    config = dict(
        type='mmimg2vec.CaptionDataset',
        data_root=str(image_folder.parent),
        data_prefix=image_folder.name,
        caption_file='captions.json',
        pipeline=[
            dict(type='mmimg2vec.LoadImage'),
            dict(type='mmpretrain.PackInputs', meta_keys=('caption', 'img_path')),
        ],
    )
    return build_dataset({**config, **kwargs}, DATASETS, 'train_dataloader.dataset.dataset')


def test_samples_carry_the_caption_of_their_file(image_folder, captions):
    dataset = build(image_folder, vocabulary=WORDS)
    assert len(dataset) == 12
    for index in range(12):
        sample = dataset[index]['data_samples']
        path = Path(sample.img_path)
        assert sample.caption == captions[1][f'{path.parent.name}/{path.name}']['caption']
        assert sample.gt_label.item() == int(path.parent.name[-1])
    assert {dataset.get_data_info(i)['caption'] for i in range(12)} == {
        'a dark thing',
        'a bright thing',
    }


def no_file(path, content):
    path.unlink()


def no_json(path, content):
    path.write_text('{"class_0/00.jpg": ')


def a_list(path, content):
    path.write_text('[]')


def one_less(path, content):
    del content['class_1/03.jpg']
    path.write_text(json.dumps(content))


def text_itself(path, content):
    path.write_text(json.dumps({name: entry['caption'] for name, entry in content.items()}))


def other_word(path, content):
    content['class_1/03.jpg']['caption'] = 'a purple thing'
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (no_file, 'no caption file .*captions.json: set caption_file'),
        (no_json, 'captions.json is no JSON'),
        (a_list, 'has to map each image'),
        (one_less, 'captions.json has no caption of class_1/03.jpg'),
        (text_itself, 'captions.json has no caption of class_0/00.jpg'),
        (other_word, "class_1/03.jpg .*the word 'purple', which is not in the vocabulary"),
    ],
)
def test_mistakes_are_one_line(spoil, message, image_folder, captions):
    spoil(*captions)
    with pytest.raises(UserError, match=message) as caught:
        build(image_folder, vocabulary=WORDS)
    assert '\n' not in str(caught.value)


def test_any_word_goes_where_no_vocabulary_is_given(image_folder, captions):
    other_word(*captions)
    assert 'a purple thing' in {build(image_folder).get_data_info(index)['caption'] for index in range(12)}
