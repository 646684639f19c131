"""Version of the package and the windows of the packages it builds on."""

__version__ = '0.1.0'

# import name -> (lowest version, first version that is not accepted); the versions in requirements/ are the tested
# ones.
WINDOWS = {
    'mmengine': ('0.10.4', '1.0.0'),
    'mmcv': ('2.1.0', '2.4.0'),
    'mmpretrain': ('1.2.0', '2.0.0'),
}
