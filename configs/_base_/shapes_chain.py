# Around every chain of the demo: its images are drawn first, and two stages run at a time.
seed = 0
# On a CPU two small stages share two cores better than one uses both.
jobs = 2
shapes = 'data/shapes'
env = dict(IMG2VEC_SHAPES=shapes)
# The stage that the others need.
images = dict(
    name='images',
    title='Drawing the images',
    command=f'tools/dataset_converters/shapes.py --out {shapes}',
    makes=[shapes],
)
